//! The words a model is asked with. Prompts are files (`prompts/*.txt`, our own wording); a user can replace each.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_model::{Completion, Identity, Message, Sampling, Speaker};
use gradus_sandbox::Tests;
use serde_json::{Map, Value};

use crate::attempt::Source;
use crate::config;
use crate::question::{Kind, Question};
use crate::words;
use crate::work::{GO_ON, Generation, Slot, Step, Task, Work};

/// One template per kind of question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    math: String,
    choice: String,
    text: String,
    code: String,
}

/// Why a prompt template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The file cannot be read.
    #[error("prompt template {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It has no place for the question.
    #[error("prompt template {path} has no `{{question}}` in it: the question would not be asked")]
    NoQuestion {
        /// Which file.
        path: PathBuf,
    },
}

/// Stands for the short wording in place of a file: models of some hundred million parameters answer it better than
/// the long ones.
const BRIEF: &str = "builtin:brief";

impl Default for Prompts {
    fn default() -> Self {
        Self {
            math: include_str!("prompts/math.txt").to_owned(),
            choice: include_str!("prompts/choice.txt").to_owned(),
            text: include_str!("prompts/text.txt").to_owned(),
            code: include_str!("prompts/code.txt").to_owned(),
        }
    }
}

impl Prompts {
    /// The built-in templates, each replaced by the file that the config names for it.
    pub fn load(config: &config::Prompts, base: &Path) -> Result<Self, PromptError> {
        let mut prompts = Self::default();
        for (file, template) in [
            (&config.math, &mut prompts.math),
            (&config.choice, &mut prompts.choice),
            (&config.text, &mut prompts.text),
            (&config.code, &mut prompts.code),
        ] {
            let Some(file) = file else { continue };
            if file.as_os_str() == BRIEF {
                include_str!("prompts/brief.txt").clone_into(template);
                continue;
            }
            let path = base.join(file);
            *template =
                std::fs::read_to_string(&path).map_err(|source| PromptError::Io { path: path.clone(), source })?;
            if !template.contains("{question}") {
                return Err(PromptError::NoQuestion { path });
            }
        }
        Ok(prompts)
    }

    /// Templates by what they are for; the built-in one where `text` knows none.
    pub fn from_texts(text: impl Fn(&str) -> Option<String>) -> Self {
        let built_in = Self::default();
        let of = |name: &str, built_in: String| text(name).unwrap_or(built_in);
        Self {
            math: of("math", built_in.math),
            choice: of("choice", built_in.choice),
            text: of("text", built_in.text),
            code: of("code", built_in.code),
        }
    }

    /// Every template with what it is for.
    pub fn templates(&self) -> [(&'static str, &str); 4] {
        [("math", &self.math), ("choice", &self.choice), ("text", &self.text), ("code", &self.code)]
    }

    /// The first 16 hex digits of a hash over all templates; kept with every grade.
    pub fn hash(&self) -> String {
        let all = self.templates().map(|(_, text)| text).join("\0");
        blake3::hash(all.as_bytes()).to_hex()[..16].to_owned()
    }

    /// The question as the user's message asks it.
    pub fn render(&self, question: &Question) -> String {
        let template = match question.kind {
            Kind::Math => &self.math,
            Kind::Choice => &self.choice,
            Kind::Text => &self.text,
            Kind::Code => &self.code,
        };
        let mut text = words::question(question);
        if question.kind == Kind::Code && !question.starter.is_empty() && !text.contains(question.starter.trim()) {
            text.push_str(&format!("\n\nBegin with this code:\n{}", question.starter.trim_end()));
        }
        if let Some(Tests::Function { entry_point, test_code, .. }) = question.tests.as_deref() {
            text.push_str(&interface(&text, entry_point, test_code));
        }
        let language = question.tests.as_deref().map_or("python", Tests::language);
        template.trim_end().replace("{language}", language).replace("{question}", &text)
    }
}

/// What a task must say besides, if it does not name the function that its tests call: the first of them, or the name.
fn interface(text: &str, entry_point: &str, test_code: &str) -> String {
    let words = |text: &'_ str| {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        text.split(move |c| !is_name(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let Some(name) = words(entry_point).pop() else { return String::new() };
    if words(text).contains(&name) {
        return String::new();
    }
    let calls = |line: &&str| line.starts_with("assert ") && words(line).contains(&name);
    match test_code.lines().map(str::trim).find(calls) {
        Some(test) => format!("\n\nYour code must pass this test, among others:\n{test}"),
        None => format!("\n\nName the function `{name}`."),
    }
}

/// Whether the text has lines that begin with `A)` and `B)` or the like.
pub(crate) fn lists_options(text: &str) -> bool {
    ["A", "B"].iter().all(|letter| {
        text.lines().any(|line| {
            let line = line.trim_start().trim_start_matches('(');
            line.strip_prefix(letter).is_some_and(|rest| rest.starts_with([')', '.', ':']))
        })
    })
}

/// Everything about a generation but the question.
#[derive(Debug, Clone, PartialEq)]
pub struct Asker {
    /// Which model.
    pub model: Identity,
    /// System prompt.
    pub system: Option<String>,
    /// How to sample.
    pub sampling: Sampling,
    /// Further fields of the request body.
    pub extra: Map<String, Value>,
    /// In which words.
    pub prompts: Arc<Prompts>,
}

impl Asker {
    /// The conversation that asks this question.
    pub fn messages(&self, question: &Question) -> Vec<Message> {
        conversation(self.system.as_deref(), &self.prompts, question)
    }

    /// Attempts of a source at a question, with these numbers.
    pub fn ask(&self, question: &Question, source: Source, numbers: std::ops::Range<u32>) -> Vec<Work> {
        let generation = Arc::new(Generation {
            model: self.model.clone(),
            messages: self.messages(question),
            sampling: self.sampling.clone(),
            extra: self.extra.clone(),
        });
        let work = |attempt| Work {
            slot: Slot { source, attempt, step: Step::Generate },
            task: Task::Generate(generation.clone()),
        };
        numbers.map(work).collect()
    }

    /// The same attempt once more, with a larger limit.
    pub fn ask_longer(&self, question: &Question, source: Source, attempt: u32, max_tokens: u32) -> Work {
        let longer = Self { sampling: Sampling { max_tokens, ..self.sampling.clone() }, ..self.clone() };
        let mut work = longer.ask(question, source, attempt..attempt + 1).pop().expect("one number, one attempt");
        work.slot.step = Step::Longer;
        work
    }

    /// The same attempt further on from where it was cut off: what was written so far is the beginning of its answer.
    pub fn ask_further(
        &self,
        question: &Question,
        slot: Slot,
        part: u32,
        so_far: &Completion,
        max_tokens: u32,
    ) -> Work {
        let mut messages = self.messages(question);
        messages.push(Message { role: Speaker::Assistant, content: as_written(so_far) });
        let mut extra = self.extra.clone();
        extra.insert("add_generation_prompt".into(), false.into());
        extra.insert(GO_ON.into(), true.into());
        let sampling = Sampling { max_tokens, ..self.sampling.clone() };
        let generation = Generation { model: self.model.clone(), messages, sampling, extra };
        Work { slot: Slot { step: Step::Further { part }, ..slot }, task: Task::Generate(Arc::new(generation)) }
    }
}

/// What a model wrote, as it stands in its own turn.
pub(crate) fn as_written(completion: &Completion) -> String {
    match (&completion.reasoning, &completion.answer) {
        (Some(reasoning), Some(answer)) => format!("<think>\n{reasoning}\n</think>\n\n{answer}"),
        (Some(reasoning), None) => format!("<think>\n{reasoning}"),
        (None, answer) => answer.clone().unwrap_or_default(),
    }
}

/// The conversation that asks a question.
pub fn conversation(system: Option<&str>, prompts: &Prompts, question: &Question) -> Vec<Message> {
    let system = system.map(|content| Message { role: Speaker::System, content: content.to_owned() });
    let user = Message { role: Speaker::User, content: prompts.render(question) };
    system.into_iter().chain([user]).collect()
}

impl From<&config::SamplingConfig> for Sampling {
    fn from(config: &config::SamplingConfig) -> Self {
        Self {
            temperature: config.temperature,
            top_p: config.top_p,
            top_k: config.top_k,
            min_p: config.min_p,
            max_tokens: config.max_tokens,
            stop: config.stop.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_names_no_function_shows_how_it_is_called() {
        let tests = "assert double_it(2) == 4\nassert double_it(0) == 0\n";
        let shown = interface("Write a function that doubles a number.", "double_it", tests);
        assert_eq!(shown, "\n\nYour code must pass this test, among others:\nassert double_it(2) == 4");
        assert_eq!(interface("Write `double_it(n)`.", "double_it", tests), "");
        assert_eq!(interface("class Solution:\n  def twice(self, n):", "Solution().twice", tests), "");
        let elsewhere = "def check(candidate):\n    assert candidate(2) == 4\n";
        assert_eq!(interface("Double a number.", "Solution().twice", elsewhere), "\n\nName the function `twice`.");
        assert_eq!(interface("Double a number.", "", elsewhere), "");
    }
}
