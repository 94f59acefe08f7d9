//! Questions for reinforcement learning: those whose pass rate for the student lies in the configured window.

use std::collections::BTreeMap;

use gradus_model::Message;
use gradus_sandbox::Tests;

use super::Prompt;
use crate::config::Rl;
use crate::tables::{LevelRow, QuestionRow};

/// A question that a student may learn from by trying.
pub(super) struct Task<'a> {
    pub(super) question: QuestionRow,
    pub(super) level: LevelRow,
    pub(super) prompt: &'a Prompt,
    /// Unit tests, for code.
    pub(super) tests: Option<Tests>,
    /// What verl chooses its reward function by, if the config says so.
    pub(super) data_source: Option<&'a str>,
}

impl Task<'_> {
    pub(super) fn messages(&self) -> &[Message] {
        &self.prompt.messages
    }

    /// The first accepted answer.
    pub(super) fn answer(&self) -> Option<&str> {
        self.question.references.first().map(String::as_str)
    }

    /// The allowed distance as a share of the reference; none if there is none or it is not relative alone.
    pub(super) fn tolerance(&self) -> Option<f64> {
        let tolerance: serde_json::Value = serde_json::from_str(self.question.tolerance.as_deref()?).ok()?;
        let absolute = tolerance["absolute"].as_f64().unwrap_or(0.0);
        tolerance["relative"].as_f64().filter(|_| absolute == 0.0)
    }
}

/// What was taken and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub(super) struct Taken {
    /// Rows by format.
    pub(super) rows: BTreeMap<String, u64>,
    /// Questions outside of the window of pass rates.
    pub(super) n_outside: u64,
    /// Questions without a pass rate.
    pub(super) n_without_rate: u64,
    /// Questions that have neither an answer nor tests.
    pub(super) n_unverifiable: u64,
    /// Questions with tests that a format has no words for, by format.
    pub(super) n_inexpressible: BTreeMap<String, u64>,
}

impl Taken {
    /// What a user should know.
    pub(super) fn notes(&self, config: &Rl) -> Vec<String> {
        let mut notes = Vec::new();
        if self.n_outside > 0 {
            let window = format!("{} to {}", config.min_pass_rate, config.max_pass_rate);
            notes.push(format!(
                "{} questions have a pass rate outside of {window} and are not among those for reinforcement learning",
                self.n_outside
            ));
        }
        if self.n_without_rate + self.n_unverifiable > 0 {
            notes.push(format!(
                "{} questions without a pass rate and {} without reference or tests are not among those for \
                 reinforcement learning",
                self.n_without_rate, self.n_unverifiable
            ));
        }
        for (format, n) in &self.n_inexpressible {
            notes.push(format!(
                "{n} code questions are not in `{format}`: their tests are no pairs of input and output"
            ));
        }
        notes
    }
}

/// Whether a pass rate lies in the window, both ends included.
pub(super) fn is_within(config: &Rl, pass_rate: f64) -> bool {
    (config.min_pass_rate..=config.max_pass_rate).contains(&pass_rate)
}
