//! What was found about all rows: `CHECKS.json`, and sentences for the user.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Checked, Flaw, Linter};

/// Version of `CHECKS.json`.
pub const CHECKS_VERSION: u32 = 1;

/// `CHECKS.json`: what the student's own files say about the rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checks {
    /// [`CHECKS_VERSION`].
    pub version: u32,
    /// Whose chat template and tokenizer.
    pub student: String,
    /// What is wrong with a conversation of our own with a thinking part: the template's verdict, whatever the rows.
    pub template: Vec<Flaw>,
    /// Rows looked at.
    pub rows: u64,
    /// Rows with at least one flaw.
    pub flawed: u64,
    /// Rows left out because they are longer than `max_length`.
    pub dropped: u64,
    /// Rows by flaw.
    pub flaws: BTreeMap<Flaw, u64>,
    /// Tokens of a row, those left out included; none if nothing could be rendered.
    pub tokens: Option<Tokens>,
    /// The limit that was set.
    pub max_length: Option<u64>,
    /// Share of the rows above it, 0..=1.
    pub share_over: Option<f64>,
    /// A limit for the trainer: the one that was set, else the longest row, rounded up to a multiple of 1024.
    pub proposed_max_length: Option<u64>,
    /// The first rows with flaws.
    pub examples: Vec<Example>,
    /// What is wrong and what to do, a sentence or two each.
    pub hints: Vec<String>,
}

/// Tokens of a row over all rows: the least number that so many percent of them do not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Half of them.
    pub p50: u64,
    /// 90 of 100.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// All.
    pub max: u64,
}

/// A row with flaws.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Its place among the rows that were looked at, from 1.
    pub row: u64,
    /// What is wrong with it.
    pub flaws: Vec<Flaw>,
    /// Its tokens.
    pub tokens: Option<u64>,
    /// What the template or the tokenizer said, if it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Example {
    pub(super) fn new(row: u64, checked: &Checked) -> Self {
        let error = checked.refused.as_ref().map(ToString::to_string);
        Self { row, flaws: checked.flaws.iter().copied().collect(), tokens: checked.n_tokens, error }
    }
}

impl Tokens {
    /// From the number of rows of each length.
    fn of(lengths: &BTreeMap<u64, u64>) -> Option<Self> {
        let n: u64 = lengths.values().sum();
        let (max, _) = lengths.last_key_value()?;
        let percentile = |percent: u64| {
            let wanted = (n * percent).div_ceil(100);
            let mut below = 0;
            let reached = lengths.iter().find(|(_, rows)| {
                below += **rows;
                below >= wanted
            });
            reached.map_or(*max, |(length, _)| *length)
        };
        Some(Self { p50: percentile(50), p90: percentile(90), p99: percentile(99), max: *max })
    }
}

impl Checks {
    pub(super) fn new(linter: Linter<'_>) -> Self {
        let Linter { chat, config, own, n_rows, n_flawed, n_dropped, flaws, lengths, longest, examples } = linter;
        let proposed = config.max_length.or((longest > 0).then(|| longest.next_multiple_of(1024)));
        let share_over = config.max_length.filter(|_| n_rows > 0);
        let mut checks = Self {
            version: CHECKS_VERSION,
            student: chat.name().to_owned(),
            template: own.flaws.iter().copied().collect(),
            rows: n_rows,
            flawed: n_flawed,
            dropped: n_dropped,
            tokens: Tokens::of(&lengths),
            max_length: config.max_length,
            share_over: share_over.map(|_| flaws[&Flaw::TooLong] as f64 / n_rows as f64),
            proposed_max_length: proposed,
            flaws,
            examples,
            hints: Vec::new(),
        };
        let refused = own.refused.map(|error| error.to_string());
        let refused = checks.examples.iter().find_map(|example| example.error.clone()).or(refused);
        let ends = chat.ends().iter().map(|end| format!("`{end}`")).collect::<Vec<_>>().join(" or ");
        let hints = Flaw::ALL.into_iter().filter_map(|flaw| checks.hint(flaw, &ends, refused.as_deref()));
        checks.hints = hints.collect();
        checks
    }

    /// Whether neither a row nor the template has a flaw.
    pub fn is_clean(&self) -> bool {
        self.flawed == 0 && self.template.is_empty()
    }

    /// What a user should know before training.
    pub fn notes(&self) -> Vec<String> {
        let dropped = (self.dropped > 0).then(|| {
            let most = self.max_length.unwrap_or_default();
            format!("{} rows are left out: they have more than {most} tokens (`export.lint`)", self.dropped)
        });
        let is_told = |hint: &&String| !(self.dropped > 0 && hint.starts_with(Flaw::TooLong.name()));
        dropped.into_iter().chain(self.hints.iter().filter(is_told).cloned()).collect()
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names, numbers and lists") + "\n"
    }

    /// What a flaw means here and what to do; none if it does not occur.
    fn hint(&self, flaw: Flaw, ends: &str, refused: Option<&str>) -> Option<String> {
        const INSTEAD: &str = "train on rendered text (`export.formats: [trl_text]`), or with a chat template made for \
                               training";
        let n = self.flaws[&flaw];
        if n == 0 && !self.template.contains(&flaw) {
            return None;
        }
        let student = &self.student;
        let what = match flaw {
            Flaw::ThinkingLost => format!(
                "the chat template of {student} deletes the thinking part: the student would learn answers alone; {INSTEAD}"
            ),
            Flaw::AnswerLost => format!("the chat template of {student} loses the answer; {INSTEAD}"),
            Flaw::PromptNotPrefix => format!(
                "the chat template of {student} asks for an answer in other words than it writes one down with: a trainer \
                 that masks the prompt by its length masks the wrong tokens; {INSTEAD}"
            ),
            Flaw::NoEos if ends.is_empty() => {
                format!(
                    "the files of {student} name no end-of-sequence token: set `eos_token` in tokenizer_config.json"
                )
            }
            Flaw::NoEos => format!(
                "what is learned does not end with {ends}: the student would not learn to stop; name the token that its chat \
                 template ends with as `eos_token`"
            ),
            Flaw::TooLong if self.dropped > 0 => {
                format!("longer than {} tokens, and left out", self.max_length.unwrap_or_default())
            }
            Flaw::TooLong => {
                let longest = self.tokens.map_or(0, |tokens| tokens.max);
                format!(
                    "longer than {} tokens, the longest has {longest}: a trainer would cut the answer off; raise the limit, or \
                     leave them out (`export.lint.over_length: drop`)",
                    self.max_length.unwrap_or(longest)
                )
            }
            Flaw::TemplateError => format!("cannot be rendered: {}", refused.unwrap_or("no reason is given")),
        };
        let rows = match (n, self.rows) {
            (_, 0) => String::new(),
            (n, rows) => format!(" ({n} of {rows} rows)"),
        };
        Some(format!("{}{rows}: {what}", flaw.name()))
    }
}
