//! What is counted while rows go by, and what a user should know of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::asked::Asked;
use super::join::Cot;
use super::layout::Unfit;
use super::rl::Taken;
use super::{ExportFacts, UNCHECKED, think};
use crate::config::{Export, Think};
use crate::lint::Checks;
use crate::metrics::{Partial, RunFacts};
use crate::tables::QuestionRow;

/// The longest row: what a trainer's limit must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Longest {
    /// Tokens of prompt and completion as the teacher's server counted them; none if it did not.
    pub tokens: Option<u64>,
    /// Characters of prompt and completion.
    pub chars: u64,
}

impl Longest {
    /// A limit in tokens that holds the longest row: an eighth more, for the student's tokenizer is another one,
    /// rounded up to a multiple of 1024. Without a token count: two characters to a token, a guess.
    pub fn max_length(&self) -> u64 {
        let tokens = self.tokens.unwrap_or(self.chars / 2);
        (tokens + tokens / 8).max(1).next_multiple_of(1024)
    }
}

/// What is counted while rows go by.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether a format is made from chains of thought.
    pub(super) has_cots: bool,
    pub(super) taken: Taken,
    /// Selected chains of thought.
    pub(super) rows: u64,
    /// Those of them whose answer is not right, or was not decided.
    pub(super) n_not_correct: u64,
    pub(super) longest: Longest,
    pub(super) n_without_thinking: u64,
    pub(super) n_own_tags: u64,
    pub(super) n_uncounted: u64,
    /// What the student's own files say about the rows, if they are known.
    pub(super) checks: Option<Checks>,
    pub(super) levels: BTreeMap<String, u64>,
    pub(super) sources: BTreeMap<(String, Option<String>), u64>,
    pub(super) teachers: BTreeSet<String>,
    /// What formats leave out, by format and fixed word.
    pub(super) left_out: BTreeMap<&'static str, BTreeMap<&'static str, LeftOut>>,
    /// Set if rows of steps were wanted and nobody scored any.
    pub(super) without_scores: bool,
}

/// What a format leaves out for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// What is counted: `questions`, `chains of thought`, `pairs`, `attempts`.
    pub(super) unit: &'static str,
    pub(super) n: u64,
    /// What was found the first time, where the word alone does not say it.
    found: Option<String>,
}

impl Tally {
    /// A limit in tokens that holds the longest row: counted by the student's own tokenizer, if it is known.
    pub(super) fn max_length(&self) -> u64 {
        let counted = self.checks.as_ref().and_then(|checks| checks.proposed_max_length);
        counted.unwrap_or_else(|| self.longest.max_length())
    }

    /// Counts a selected chain of thought.
    pub(super) fn count(&mut self, asked: &Asked, at: usize) {
        let cot = asked.cot(at);
        self.rows += 1;
        self.n_not_correct += u64::from(cot.is_correct() != Some(true));
        self.n_uncounted += u64::from(cot.row.completion_tokens.is_none());
        self.count_length(asked, at);
        let Cot { row, .. } = cot;
        let has_thinking = row.reasoning.as_ref().is_some_and(|reasoning| !reasoning.trim().is_empty());
        self.n_without_thinking += u64::from(!has_thinking);
        let parts = [&row.reasoning, &row.answer];
        self.n_own_tags += u64::from(parts.into_iter().flatten().any(|part| think::holds_tags(part)));
        let level = asked.group.level.as_ref().map_or("none", |level| &level.level);
        *self.levels.entry(level.to_owned()).or_default() += 1;
        self.count_source(&asked.group.question);
        self.teachers.insert(row.teacher.clone());
    }

    /// Counts the length of a chain of thought that stands in a row.
    pub(super) fn count_length(&mut self, asked: &Asked, at: usize) {
        let row = &asked.cot(at).row;
        let chars = asked.prompt.messages.iter().map(|message| message.content.chars().count()).sum::<usize>();
        self.longest.chars = self.longest.chars.max((chars + asked.reply(at).content.chars().count()) as u64);
        if let Some(tokens) = row.completion_tokens {
            let tokens = (tokens + row.prompt_tokens.unwrap_or(0)).max(0) as u64;
            self.longest.tokens = self.longest.tokens.max(Some(tokens));
        }
    }

    pub(super) fn count_source(&mut self, question: &QuestionRow) {
        let source = (question.source.clone(), question.license.clone());
        *self.sources.entry(source).or_default() += 1;
    }

    /// Counts what a format leaves out.
    pub(super) fn leave_out(&mut self, format: &'static str, unit: &'static str, reason: &'static str) {
        let reasons = self.left_out.entry(format).or_default();
        reasons.entry(reason).or_insert(LeftOut { unit, n: 0, found: None }).n += 1;
    }

    /// Counts a conversation that does not fit into a format.
    pub(super) fn leave_out_unfit(&mut self, format: &'static str, unit: &'static str, unfit: Unfit) {
        self.leave_out(format, unit, unfit.reason);
        let left_out = self.left_out.get_mut(format).and_then(|reasons| reasons.get_mut(unfit.reason));
        left_out.expect("it was counted just now").found.get_or_insert(unfit.found);
    }

    /// What a user should know before training on it.
    pub(super) fn notes(&self, config: &Export, facts: &ExportFacts<'_>) -> Vec<String> {
        let mut notes: Vec<String> = facts.partial.map(Partial::sentence).into_iter().collect();
        let all_too_long = self.checks.as_ref().is_some_and(|checks| checks.dropped > 0);
        if self.has_cots && self.rows == 0 && !all_too_long {
            notes.push("nothing was selected: the files hold their columns and no row".to_owned());
        }
        if self.n_not_correct > 0 {
            notes.push(format!(
                "{} of {} rows were selected without a right answer: `is_correct` tells them apart",
                self.n_not_correct, self.rows
            ));
        }
        if self.n_without_thinking > 0 {
            let what = match config.think {
                Think::Keep => "exported as they came (`export.think: wrap` puts tags around what precedes the answer)",
                Think::Wrap => "wrapped where something precedes the final answer",
            };
            notes.push(format!("{} of {} rows have no thinking part: {what}", self.n_without_thinking, self.rows));
        }
        let recorded = recorded_teachers(facts.run).into_iter().collect::<Vec<_>>().join(", ");
        if !recorded.is_empty() {
            let what = "were recorded: they answer another prompt than the one exported with them";
            notes.push(format!("the chains of thought of {recorded} {what}"));
        }
        if self.n_own_tags > 0 {
            notes.push(format!("{} rows hold think tags of their own in their text", self.n_own_tags));
        }
        if self.n_uncounted > 0 {
            notes.push(format!("{} rows have no token count from a server", self.n_uncounted));
        }
        let without = self.sources.iter().filter(|((_, license), _)| license.is_none()).map(|(_, n)| n).sum::<u64>();
        if without > 0 {
            notes.push(format!("{without} rows have no licence: name it in `bank.license` before you publish"));
        }
        match &self.checks {
            Some(checks) => notes.extend(checks.notes()),
            None if self.has_cots => notes.push(UNCHECKED.to_owned()),
            None => {}
        }
        for (format, reasons) in &self.left_out {
            for (reason, LeftOut { unit, n, found }) in reasons {
                let found = found.as_ref().map(|found| format!(": {found}")).unwrap_or_default();
                notes.push(format!("`{format}` leaves out {n} {unit} ({reason}{found})"));
            }
        }
        if self.without_scores {
            let what = "no step was scored (`grade.grader: prm` or `generative` asks for scores)";
            notes.push(format!("`stepwise` holds no wrong attempt: {what}"));
        }
        notes.extend(self.taken.notes(&config.rl));
        notes
    }
}

/// Teachers whose answers come from a recording, each once.
pub(super) fn recorded_teachers(run: &RunFacts) -> BTreeSet<&str> {
    let recorded = run.models.iter().filter(|model| model.role == "teacher" && model.recorded);
    recorded.map(|model| model.model.as_str()).collect()
}
