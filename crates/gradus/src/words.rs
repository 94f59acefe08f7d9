//! Asking a model to judge in words: templates with named places, and tries until a reply can be read.
//!
//! What is asked and how a reply is read belongs to who asks: [`crate::score`], [`crate::judge`], [`crate::annotate`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_model::{Identity, Message, Sampling, Speaker};
use serde_json::{Map, Value};

use crate::attempt::Key;
use crate::judge::find;
use crate::prompt::lists_options;
use crate::question::Question;
use crate::work::{Answered, Generation, Next, Outcome, Reason, Slot, Task, Work};

/// Why the words to ask with cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("`{setting}` {path}: {source}")]
    Io {
        /// Which setting names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A place is missing.
    #[error("`{setting}` {path} has no `{{{place}}}` in it")]
    Place {
        /// Which setting names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is missing.
        place: &'static str,
    },
}

/// The built-in words, or those of the file that a setting names; every one of `places` must be in it.
///
/// # Errors
/// If the file cannot be read, or lacks a place.
pub fn load(
    setting: &'static str,
    built_in: &str,
    file: Option<&Path>,
    base: &Path,
    places: &[&'static str],
) -> Result<Arc<str>, TemplateError> {
    let Some(file) = file else { return Ok(built_in.into()) };
    let path = base.join(file);
    let text =
        std::fs::read_to_string(&path).map_err(|source| TemplateError::Io { setting, path: path.clone(), source })?;
    match places.iter().find(|place| !text.contains(&format!("{{{place}}}"))) {
        Some(place) => Err(TemplateError::Place { setting, path, place }),
        None => Ok(text.into()),
    }
}

/// Puts values in their places, in one pass: a place that a value names stays as it is.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let place = values.iter().find(|(name, _)| rest[1..].strip_prefix(name).is_some_and(|r| r.starts_with('}')));
        let length = if let Some((name, value)) = place {
            text.push_str(value);
            name.len() + 2
        } else {
            text.push('{');
            1
        };
        rest = &rest[length..];
    }
    text + rest
}

/// What an answer is checked with, as a judge reads it.
pub(crate) fn reference(question: &Question) -> String {
    match &question.tests {
        Some(_) => "what passes its unit tests".to_owned(),
        None if question.references.is_empty() => "not known".to_owned(),
        None => question.references.join(" or "),
    }
}

/// A question as a judge reads it, its options below it.
pub(crate) fn question(question: &Question) -> String {
    let mut text = question.text.trim().to_owned();
    if !lists_options(&text) {
        for (letter, option) in ('A'..='Z').zip(&question.options) {
            text.push_str(&format!("\n{letter}) {option}"));
        }
    }
    text
}

/// A model that judges in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Speaking {
    /// Which model.
    pub model: Identity,
    /// System prompt.
    pub system: Option<String>,
    /// Further fields of the request body.
    pub extra: Map<String, Value>,
    /// How it samples.
    pub sampling: Sampling,
    /// Ask for a JSON schema, where the server has it.
    pub structured: bool,
    /// Most replies asked for until one can be read.
    pub tries: u32,
}

/// What came of asking until a reply could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard<T> {
    /// What was said, or why nothing.
    pub said: Result<T, Reason>,
    /// Key of the reply that was read, or of the last one.
    pub key: Option<Key>,
    /// Replies that were asked for.
    pub n_tries: u32,
}

impl Speaking {
    /// Asks with these words until `read` makes something of a reply; `slot` is where a try belongs. `schema` is that of
    /// a reply that can be read, with its name.
    pub fn hear<T>(
        &self,
        answers: &[Answered],
        slot: impl Fn(u32) -> Slot,
        content: impl Fn() -> String,
        schema: impl Fn() -> (&'static str, Value),
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Next<Heard<T>> {
        let mut wrong = String::new();
        let mut key = None;
        for n_try in 0..self.tries {
            let slot = slot(n_try);
            let Some(answered) = find(answers, slot) else {
                let generation = self.generation(content(), schema);
                return Next::Ask(vec![Work { slot, task: Task::Generate(Arc::new(generation)) }]);
            };
            let heard = |said| Next::Done(Heard { said, key: Some(answered.key), n_tries: n_try + 1 });
            match &answered.outcome {
                Outcome::Completed(completion) => {
                    let reply = completion.answer.as_deref().ok_or("nothing follows the thinking".to_owned());
                    match reply.and_then(&read) {
                        Ok(said) => return heard(Ok(said)),
                        Err(fault) => wrong = fault,
                    }
                }
                Outcome::Failed(reason) => return heard(Err(reason.clone())),
                Outcome::Scored(_) | Outcome::Measured(_) | Outcome::Executed(_) => {
                    unreachable!("a generation is answered by a completion")
                }
            }
            key = Some(answered.key);
        }
        let hint =
            if self.structured { "" } else { "; with `structured: true` a server that can holds them to a schema" };
        let detail = format!("none of {} replies can be read; the last: {wrong}{hint}", self.tries);
        Next::Done(Heard { said: Err(Reason::new("unreadable", detail)), key, n_tries: self.tries })
    }

    fn generation(&self, content: String, schema: impl Fn() -> (&'static str, Value)) -> Generation {
        let system = self.system.clone().map(|content| Message { role: Speaker::System, content });
        let messages = system.into_iter().chain([Message { role: Speaker::User, content }]).collect();
        let mut extra = self.extra.clone();
        if self.structured {
            let (name, schema) = schema();
            extra.insert("response_format".into(), crate::marks::response_format(name, &schema));
        }
        Generation { model: self.model.clone(), messages, sampling: self.sampling.clone(), extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_what_is_filled_in_stay_as_they_are() {
        let values = [("question", "Is {steps} = {x}?"), ("steps", "[Step 1]\n{question}")];
        assert_eq!(
            fill("{question}|{steps}|{\"1\": {}}", &values),
            "Is {steps} = {x}?|[Step 1]\n{question}|{\"1\": {}}"
        );
    }
}
