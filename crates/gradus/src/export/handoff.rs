//! The files that a trainer wants beside the data: scripts and configurations with every limit spelled out.
//!
//! Trainers cut long rows without a word unless told otherwise, shuffle a curriculum, or add thinking parts of their own;
//! what they are told here stands in templates, one a file.

mod family;
mod numbers;

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde_json::{Value, json};

use super::ExportFacts;
use super::layout::Of;
use super::manifest::quoted;
use super::shards::Written;
use super::tally::Tally;
use crate::config::{Export, SamplingConfig, Training};
use numbers::Numbers;

/// Longest prompt in tokens for the trainer that must be told one; a guess.
const MAX_PROMPT: u64 = 2_048;

/// Replies to one question that GRPO compares. TRL's default.
const GENERATIONS: u64 = 8;

/// What the files must know.
#[derive(Debug, Clone, Copy)]
pub(super) struct HandoffFacts<'a> {
    /// The student, as a trainer loads it.
    pub(super) student: &'a str,
    /// Rows of the format.
    pub(super) rows: u64,
    /// Longest row in tokens, rounded up to a multiple of 1024.
    pub(super) max_length: u64,
    /// Who counted it.
    pub(super) counted: Counted,
    /// Most tokens that the student could write when it was probed; none if that is not known.
    pub(super) max_answer: Option<u64>,
    /// Whether rows are to be seen in their order.
    pub(super) keep_order: bool,
    /// The numbers to begin with.
    pub(super) training: Training,
    /// Seed of the trainer's draws.
    pub(super) seed: u64,
}

impl<'a> HandoffFacts<'a> {
    /// What was written of a format, and what is known about its rows.
    pub(super) fn new(of: Of, written: &Written, config: &Export, facts: &ExportFacts<'a>, tally: &Tally) -> Self {
        let is_checked = tally.checks.as_ref().is_some_and(|checks| checks.proposed_max_length.is_some());
        let by_others = if tally.longest.tokens.is_some() { Counted::Teacher } else { Counted::Guessed };
        // Only selected chains of thought are counted by the student's tokenizer: those of pairs may be longer.
        let (max_length, counted) = match of {
            Of::Sft(_) if is_checked => (tally.max_length(), Counted::Student),
            _ => (tally.max_length().max(tally.longest.max_length()), by_others),
        };
        let student = facts.run.models.iter().find(|model| model.role == "student");
        Self {
            student: facts.student,
            rows: written.n_rows,
            max_length,
            counted,
            max_answer: student
                .and_then(|student| student.sampling.as_ref())
                .map(|sampling| sampling.max_tokens.into()),
            keep_order: config.keeps_order(),
            training: config.training,
            seed: facts.run.seed,
        }
    }
}

/// Who counted the tokens of the longest row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// The student's own tokenizer.
    Student,
    /// The teacher's server: an eighth is added.
    Teacher,
    /// Nobody: two characters to a token.
    Guessed,
}

impl Counted {
    fn words(self) -> &'static str {
        match self {
            Self::Student => "counted by the student's tokenizer, rounded up",
            Self::Teacher => "the teacher's count and an eighth more, rounded up",
            Self::Guessed => "a guess, two characters to a token: nobody counted",
        }
    }
}

/// Name and template of every file for a format.
fn templates(format: &str) -> &'static [(&'static str, &'static str)] {
    match format {
        "trl" | "trl_text" => &[("train_sft.py", "train_sft.py.jinja")],
        "dpo" => &[("train_dpo.py", "train_dpo.py.jinja")],
        "kto" => &[("train_kto.py", "train_kto.py.jinja")],
        "trl_grpo" => &[("train_grpo.py", "train_grpo.py.jinja")],
        "llama_factory" => {
            &[("dataset_info.json", "dataset_info.json.jinja"), ("sft.yaml", "llama_factory.yaml.jinja")]
        }
        "dpo_llama_factory" => {
            &[("dataset_info.json", "dataset_info.json.jinja"), ("dpo.yaml", "llama_factory.yaml.jinja")]
        }
        "axolotl" => &[("axolotl.yaml", "axolotl.yaml.jinja")],
        "stepwise" => &[("axolotl_prm.yaml", "axolotl_prm.yaml.jinja")],
        "verl_sft" => &[("train_sft.sh", "verl_sft.sh.jinja")],
        "verl" => &[("train_grpo.sh", "verl_grpo.sh.jinja")],
        "openrlhf" => &[("train_sft.sh", "openrlhf_sft.sh.jinja")],
        _ => &[],
    }
}

/// The files for a format, by name: those that train on its rows. None for a format without rows, which no trainer
/// loads, or without a trainer of its own. Same facts: same bytes.
pub(super) fn files(format: &str, facts: &HandoffFacts<'_>) -> Vec<(&'static str, String)> {
    if facts.rows == 0 {
        return Vec::new();
    }
    let environment = environment();
    let context = context(format, facts);
    templates(format)
        .iter()
        .map(|(file, template)| {
            let template = environment.get_template(template).expect("every template is one of the program's");
            let text = template.render(minijinja::Value::from(Serde(&context)));
            (*file, text.expect("the templates are fixed and every value is given"))
        })
        .collect()
}

/// Commands to type next for a format in this folder, ready to paste into a POSIX shell.
pub(super) fn command(format: &str, export: &Path, facts: &HandoffFacts<'_>) -> Option<String> {
    let (file, _) = templates(format).last().filter(|_| facts.rows > 0)?;
    let folder = export.join(format);
    let path = quoted(&folder.join(file).display().to_string());
    let inside = quoted(&folder.display().to_string());
    let run = export.parent().map(|run| quoted(&run.display().to_string())).unwrap_or_default();
    let ours = |script: &str| format!("gradus train --run-dir {run} --script {script}");
    Some(match format {
        "trl" => ours("sft"),
        "dpo" => ours("dpo"),
        "trl_grpo" => ours("grpo"),
        "llama_factory" | "dpo_llama_factory" => format!("(cd {inside} && llamafactory-cli train {file})"),
        "axolotl" | "stepwise" => format!("(cd {inside} && axolotl train {file})"),
        "verl_sft" | "verl" | "openrlhf" => format!("bash {path}"),
        _ => format!("python3 {path}"),
    })
}

fn context(format: &str, facts: &HandoffFacts<'_>) -> Value {
    let (method, numbers) = match format {
        "dpo" | "dpo_llama_factory" => ("dpo", numbers::dpo()),
        "kto" => ("kto", numbers::kto()),
        "trl_grpo" | "verl" => ("grpo", numbers::grpo()),
        "stepwise" => ("prm", numbers::prm()),
        _ => ("sft", numbers::sft(facts.training)),
    };
    let (config, trainer) = match method {
        "dpo" => ("DPOConfig", "DPOTrainer"),
        "kto" => ("KTOConfig", "KTOTrainer"),
        "grpo" => ("GRPOConfig", "GRPOTrainer"),
        _ => ("SFTConfig", "SFTTrainer"),
    };
    let template = family::template(facts.student);
    let (max_answer, answer_from) = match facts.max_answer {
        Some(tokens) => (tokens, "what the student was allowed when it was probed"),
        None => (SamplingConfig::default().max_tokens.into(), "a guess: what reasoning models are often allowed"),
    };
    json!({
        "student": facts.student, "rows": facts.rows, "seed": facts.seed, "keep_order": facts.keep_order,
        "method": method, "config": config, "trainer": trainer, "wheel": format == "trl_grpo",
        "numbers": numbers, "warmup_steps": warmup_steps(&numbers, method, facts.rows),
        // A reply is cut at its own limit where it is generated.
        "max_length": (method != "grpo").then_some(facts.max_length), "counted": facts.counted.words(),
        "max_answer": max_answer, "answer_from": answer_from, "max_prompt": MAX_PROMPT,
        "max_row": (MAX_PROMPT + max_answer).next_multiple_of(1024),
        "template": template.map(|(name, _)| name), "adds_thinking": template.is_some_and(|(_, adds)| adds),
        // A batch of questions is never larger than their number: the last one of an epoch is left out if it is not full.
        "question_batch": facts.rows.min(64),
    })
}

fn warmup_steps(numbers: &Numbers, method: &str, rows: u64) -> u64 {
    numbers.warmup_steps(rows, if method == "grpo" { GENERATIONS } else { 1 })
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters are fine"));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("shell", quoted);
    for (name, text) in [
        ("head.py.jinja", include_str!("handoff/head.py.jinja")),
        ("shared.py.jinja", include_str!("handoff/shared.py.jinja")),
        ("train_sft.py.jinja", include_str!("handoff/train_sft.py.jinja")),
        ("train_dpo.py.jinja", include_str!("handoff/train_dpo.py.jinja")),
        ("train_kto.py.jinja", include_str!("handoff/train_kto.py.jinja")),
        ("train_grpo.py.jinja", include_str!("handoff/train_grpo.py.jinja")),
        ("dataset_info.json.jinja", include_str!("handoff/dataset_info.json.jinja")),
        ("llama_factory.yaml.jinja", include_str!("handoff/llama_factory.yaml.jinja")),
        ("axolotl.yaml.jinja", include_str!("handoff/axolotl.yaml.jinja")),
        ("axolotl_prm.yaml.jinja", include_str!("handoff/axolotl_prm.yaml.jinja")),
        ("verl_sft.sh.jinja", include_str!("handoff/verl_sft.sh.jinja")),
        ("verl_grpo.sh.jinja", include_str!("handoff/verl_grpo.sh.jinja")),
        ("openrlhf_sft.sh.jinja", include_str!("handoff/openrlhf_sft.sh.jinja")),
    ] {
        environment.add_template(name, text).expect("the templates of the program can be read");
    }
    environment
}

#[cfg(test)]
mod tests;
