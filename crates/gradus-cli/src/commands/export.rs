//! gradus export: training data once more from the tables, perhaps with other settings.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use gradus::config::{Config, Export, Format};
use gradus::export::{ExportError, ExportFacts, Exported, Prompt, Render};
use gradus::metrics::Metrics;
use gradus::prompt::{Prompts, conversation};
use gradus::tables::{LevelRow, QuestionRow, SelectionRow, path};
use gradus_model::{Message, Speaker};
use serde_json::json;

use crate::commands::run::title;
use crate::error::CommandError;
use crate::session::Past;
use crate::student;

/// Write training data again from the tables of a run, with what a trainer wants beside it; asks nobody
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Trainer to write for, instead of the formats that the config names
    #[arg(value_enum, value_name = "TRAINER")]
    trainer: Option<Trainer>,
    /// Directory of the run
    #[arg(short = 'd', long, default_value = "gradus-run", value_name = "DIR")]
    run_dir: PathBuf,
    /// Override a setting of the run, for example `--set export.think=wrap`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the summary as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// What is trained with, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Trainer {
    /// TRL, fine-tuning on chains of thought
    Trl,
    /// LLaMA-Factory, the same and preference pairs
    LlamaFactory,
    /// Axolotl, fine-tuning on chains of thought
    Axolotl,
    /// verl, fine-tuning on chains of thought and reinforcement learning
    Verl,
    /// OpenRLHF, fine-tuning on chains of thought
    Openrlhf,
    /// TRL, preference pairs
    Dpo,
    /// TRL, right and wrong chains of thought without pairs
    Kto,
    /// Axolotl, a process reward model
    Stepwise,
    /// TRL, reinforcement learning
    Grpo,
    /// Each of them
    All,
}

impl Trainer {
    /// The formats that it reads, as the config names them.
    fn formats(self) -> Vec<&'static str> {
        match self {
            Self::Trl => vec!["trl"],
            Self::LlamaFactory => vec!["llama_factory", "dpo_llama_factory"],
            Self::Axolotl => vec!["axolotl"],
            Self::Verl => vec!["verl_sft", "verl"],
            Self::Openrlhf => vec!["openrlhf"],
            Self::Dpo => vec!["dpo"],
            Self::Kto => vec!["kto"],
            Self::Stepwise => vec!["stepwise"],
            Self::Grpo => vec!["trl_grpo"],
            Self::All => {
                Self::value_variants().iter().filter(|one| **one != Self::All).flat_map(|one| one.formats()).collect()
            }
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    // What is set by hand comes last, and counts.
    let trainer = args.trainer.map(|trainer| format!("export.formats=[{}]", trainer.formats().join(", ")));
    let set: Vec<String> = trainer.into_iter().chain(args.set.iter().cloned()).collect();
    let past = Past::open(&args.run_dir, &set)?;
    let tables = past.folder.join("tables");
    let only_questions = !past.config.export.formats.iter().any(|format| format.needs_cots());
    if only_questions && !path::<LevelRow>(&tables).exists() {
        return Err(CommandError::usage(format!("nothing is graded in {} yet", past.folder.display()))
            .hint("`gradus grade` asks the student"));
    }
    if !only_questions && !path::<SelectionRow>(&tables).exists() {
        return Err(CommandError::usage(format!("nothing is selected in {} yet", past.folder.display()))
            .hint("`gradus run` goes on to the end"));
    }
    let exported = write(&past.folder, Path::new(""), &past.config, &past.metrics)?;
    if args.json {
        println!(
            "{}",
            json!({
                "rows": exported.rows,
                "questions": exported.questions,
                "others": exported.others,
                "checks": exported.checks,
                "files": exported.files,
            })
        );
        return Ok(());
    }
    println!("wrote     {}/export: {}", past.folder.display(), told(&exported, &past.config.export));
    exported.notes.iter().for_each(|note| println!("note      {note}"));
    exported.next.iter().for_each(|command| println!("next      {command}"));
    Ok(())
}

/// Refuses what cannot be exported, before anything is asked for it.
pub(crate) fn check(config: &Config, base: &Path) -> Result<(), CommandError> {
    let chat = student::of_config(config, base)?;
    if chat.is_none() && config.export.formats.contains(&Format::TrlText) {
        return Err(ExportError::NoTemplate("trl_text").into());
    }
    Ok(())
}

/// How much was written, in words.
pub(crate) fn told(exported: &Exported, config: &Export) -> String {
    let n_cots =
        config.formats.iter().any(|format| format.is_sft()).then(|| format!("{} rows per format", exported.rows));
    let others = exported.others.iter().map(|(format, n)| format!("{n} rows in {format}"));
    let questions = exported.questions.iter().map(|(format, n)| format!("{n} questions in {format}"));
    n_cots.into_iter().chain(others).chain(questions).collect::<Vec<_>>().join(", ")
}

/// Writes the export of a run directory from its tables. Relative files of the config start at `base`.
pub(crate) fn write(folder: &Path, base: &Path, config: &Config, metrics: &Metrics) -> Result<Exported, CommandError> {
    let run = &metrics.run;
    let prompts = Prompts::from_texts(|name| {
        run.prompts.iter().find(|prompt| prompt.name == name).map(|prompt| prompt.text.clone())
    });
    let system = config.student.as_ref().and_then(|student| student.system.as_deref());
    let hash = prompts.hash();
    let prompt = |row: &QuestionRow| Prompt {
        messages: gradus::run::question(row.clone())
            .map(|question| conversation(system, &prompts, &question))
            .unwrap_or_default(),
        hash: hash.clone(),
    };
    let student = run.models.iter().find(|model| model.role == "student");
    let chat = student::of_config(config, base)?;
    let render = chat.as_deref().map(|chat| {
        move |messages: &[Message]| {
            let asks = messages.last().is_none_or(|last| last.role != Speaker::Assistant);
            let messages: Vec<_> = messages.iter().map(|message| json!(message)).collect();
            chat.render(&messages, asks).map_err(|error| error.to_string())
        }
    });
    let facts = ExportFacts {
        name: &title(folder),
        student: student.map_or("", |student| &student.model),
        languages: &[],
        run,
        funnel: &metrics.funnel,
        partial: metrics.partial.as_ref(),
        prompt: &prompt,
        chat: chat.as_deref(),
        render: render.as_ref().map(|render| render as Render<'_>),
        scoring: &config.scoring,
    };
    Ok(gradus::export::write(folder, &config.export, &facts)?)
}
