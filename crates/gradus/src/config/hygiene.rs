//! Settings of what keeps a bank clean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BankConfig, one_or_many};

/// How the bank is looked through for near duplicates, families, and questions of benchmarks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hygiene {
    /// What to do with questions that nearly repeat an earlier one and do not contradict its answer.
    pub near_duplicates: Action,
    /// Least Jaccard similarity of near duplicates. A guess.
    pub threshold: f64,
    /// Tokens in a shingle. A guess.
    pub shingle: u32,
    /// Questions that differ in numbers alone: `off` or `report`. They are never dropped.
    pub families: Families,
    /// Benchmarks that must not be in the bank.
    pub decontaminate: Option<Contamination>,
}

impl Default for Hygiene {
    fn default() -> Self {
        Self { near_duplicates: Action::Off, threshold: 0.8, shingle: 3, families: Families::Off, decontaminate: None }
    }
}

impl Hygiene {
    /// Whether there is anything to look for.
    pub fn is_off(&self) -> bool {
        self.near_duplicates == Action::Off && self.families == Families::Off && self.decontaminate.is_none()
    }

    /// The first setting that makes no sense: its path, what it must be, what it is.
    pub fn fault(&self) -> Option<(&'static str, &'static str, String)> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Some(("hygiene.threshold", "above 0 and at most 1", self.threshold.to_string()));
        }
        if self.shingle == 0 {
            return Some(("hygiene.shingle", "at least 1", "0".into()));
        }
        let rule = self.decontaminate.as_ref()?;
        if rule.against.is_empty() {
            return Some(("hygiene.decontaminate.against", "a bank or a list of banks", "absent".into()));
        }
        if !(rule.least() > 0.0 && rule.least() <= 1.0) {
            return Some(("hygiene.decontaminate.threshold", "above 0 and at most 1", rule.least().to_string()));
        }
        (rule.n_gram() == 0).then(|| ("hygiene.decontaminate.n_gram", "at least 1", "0".into()))
    }
}

/// What to do with what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is not looked for.
    Off,
    /// It stands in the table `hygiene`.
    Report,
    /// It stands there, and leaves.
    Drop,
}

/// What to do with questions that differ in numbers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Families {
    /// They are not looked for.
    Off,
    /// They stand in the table `hygiene`.
    Report,
}

/// Benchmarks, and how their questions are recognised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Contamination {
    /// Files of questions.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "super::OneOrMany<BankConfig>")]
    pub against: Vec<BankConfig>,
    /// By which rule.
    pub mode: ContaminationMode,
    /// What to do with questions that are found.
    pub action: Action,
    /// For `omnithought`, least Indel similarity (0.75 if absent); for `overlap`, least share of the benchmark's question
    /// that is covered (0.7 if absent). Both are guesses.
    pub threshold: Option<f64>,
    /// Words or tokens in a row; 8, 10 or 13 if absent, by the mode.
    pub n_gram: Option<u32>,
    /// For `overlap`: a run of tokens in more questions than this is a set phrase, and no sign. A guess.
    pub common: u32,
}

impl Default for Contamination {
    fn default() -> Self {
        Self {
            against: Vec::new(),
            mode: ContaminationMode::Overlap,
            action: Action::Drop,
            threshold: None,
            n_gram: None,
            common: 10,
        }
    }
}

impl Contamination {
    /// The threshold, given or the mode's own.
    pub fn least(&self) -> f64 {
        self.threshold.unwrap_or(if self.mode == ContaminationMode::Omnithought { 0.75 } else { 0.7 })
    }

    /// Words or tokens in a row, given or the mode's own.
    pub fn n_gram(&self) -> u32 {
        self.n_gram.unwrap_or(match self.mode {
            ContaminationMode::Overlap => 13,
            ContaminationMode::Word8 => 8,
            ContaminationMode::Omnithought => 10,
        })
    }
}

/// A rule by which a question is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContaminationMode {
    /// Common n-grams over tokens that do not depend on typesetting, set phrases left out (ours).
    Overlap,
    /// Some eight words in a row, lower-cased, split at white space (arXiv 2501.19393, Open-R1).
    Word8,
    /// Indel similarity of the texts as they stand, or some ten words in a row (arXiv 2505.10937).
    Omnithought,
}

impl ContaminationMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Overlap, Self::Word8, Self::Omnithought];

    /// Its name in config, tables and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Word8 => "word8",
            Self::Omnithought => "omnithought",
        }
    }
}
