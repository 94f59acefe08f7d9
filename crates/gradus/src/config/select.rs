//! Which chains of thought are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, Score};

/// Which chains of thought are kept (arXiv 2505.10937). `by` names a set of the settings below it: what a setting says
/// goes before what `by` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// By which rule.
    pub by: SelectBy,
    /// Most chains of thought per question.
    pub per_question: u32,
    /// Which chains of thought may be kept.
    pub candidates: CandidateSet,
    /// Whether the process has to be right.
    pub process: ProcessRule,
    /// Cognitive Difficulty that the student can follow: a number 0..9, "by experience" in the paper, or `measured`.
    pub ability: Option<AbilityConfig>,
    /// How fast the chance falls with the Cognitive Difficulty beyond the ability: exp(-beta * excess). 0.5 as in the
    /// paper's later version; what it multiplies is open.
    pub beta: f64,
    /// How fast it falls with the distance between Cognitive Difficulty and Reasoning Verbosity, or from the target of
    /// the verbosity: exp(-gamma * distance). Open in the paper: a guess.
    pub gamma: f64,
    /// Least and greatest Reasoning Verbosity, 0..9; as `by` says if absent.
    pub rv: Option<[f64; 2]>,
    /// Least and greatest Cognitive Difficulty, 0..9; as `by` says if absent.
    pub cd: Option<[f64; 2]>,
    /// Which Reasoning Verbosity counts; as `by` says if absent.
    pub rv_score: Option<RvScore>,
    /// Wanted Reasoning Verbosity for easy and levels 1..5: takes the place of the distance to the Cognitive Difficulty.
    pub rv_target_by_level: Option<[f64; 6]>,
    /// Whether a chain of thought may be longer than the student's own correct attempts suggest.
    pub length_budget: Option<LengthBudget>,
    /// Quantile of the lengths of the student's correct attempts at a level from which its limit is made, 0..=1. A guess.
    pub length_quantile: f64,
    /// The limit is this many times that quantile. A guess.
    pub length_factor: f64,
    /// Which measure of fit `student_fit` goes by.
    pub fit: Fit,
    /// Whether chance decides, or the greatest weight; as `by` says if absent.
    pub draw: Option<DrawBy>,
    /// Most chains of thought in the whole selection; questions are taken in keyed order until the next would exceed it.
    pub max_rows: Option<u64>,
    /// The same in tokens of the chains of thought.
    pub max_tokens: Option<u64>,
}

impl Default for Select {
    fn default() -> Self {
        Self {
            by: SelectBy::Random,
            per_question: 1,
            candidates: CandidateSet::Verified,
            process: ProcessRule::Ignore,
            ability: None,
            beta: 0.5,
            gamma: 1.0,
            rv: None,
            cd: None,
            rv_score: None,
            rv_target_by_level: None,
            length_budget: None,
            length_quantile: 0.9,
            length_factor: 2.0,
            fit: Fit::Rsr,
            draw: None,
            max_rows: None,
            max_tokens: None,
        }
    }
}

/// Rule of selection among the chains of thought of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// Keyed draw, all alike.
    Random,
    /// Fewest tokens first.
    Shortest,
    /// Most tokens first.
    Longest,
    /// Difficulty within the student's ability, verbosity that fits the difficulty (arXiv 2505.10937).
    Omnithought,
    /// Its part about verbosity alone: `rv` and `rv_target_by_level`.
    #[serde(alias = "rv-only")]
    RvOnly,
    /// Its part about difficulty alone: `ability`, `beta` and `cd`.
    #[serde(alias = "cd-only")]
    CdOnly,
    /// Thresholds of the paper's ablation with a student of 7B: RV 3..5, CD 0..6.
    #[serde(rename = "omnithought_ablation_7b", alias = "omnithought-ablation-7b")]
    OmnithoughtAblation7b,
    /// Thresholds of the filter that was released with the paper's models: RV 3..5, CD 4.
    #[serde(rename = "easydistill_1_0", alias = "easydistill-1.0", alias = "easydistill-1-0")]
    Easydistill10,
    /// The released mixer: CD below 3, below 6 and from there on; in each the RV nearest to 2, 6, 10.
    #[serde(rename = "easydistill_2_0", alias = "easydistill-2.0", alias = "easydistill-2-0")]
    Easydistill20,
    /// What fits the student best by its own log-probabilities: `fit`.
    #[serde(alias = "student-fit")]
    StudentFit,
}

impl SelectBy {
    /// Every rule.
    pub const ALL: [Self; 10] = [
        Self::Random,
        Self::Shortest,
        Self::Longest,
        Self::Omnithought,
        Self::RvOnly,
        Self::CdOnly,
        Self::OmnithoughtAblation7b,
        Self::Easydistill10,
        Self::Easydistill20,
        Self::StudentFit,
    ];

    /// Its name in tables and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Shortest => "shortest",
            Self::Longest => "longest",
            Self::Omnithought => "omnithought",
            Self::RvOnly => "rv_only",
            Self::CdOnly => "cd_only",
            Self::OmnithoughtAblation7b => "omnithought_ablation_7b",
            Self::Easydistill10 => "easydistill_1_0",
            Self::Easydistill20 => "easydistill_2_0",
            Self::StudentFit => "student_fit",
        }
    }

    /// Reads its name; hyphens and dots count as underscores.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.replace(['-', '.'], "_");
        Self::ALL.into_iter().find(|by| by.name() == text)
    }
}

/// Which chains of thought may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CandidateSet {
    /// Those that are right and were not cut off.
    Verified,
    /// Every one that was not cut off, right or wrong.
    All,
    /// Every one that was answered is kept, and its verdict is its label: `by` and `per_question` say nothing.
    Labelled,
}

/// Whether the process of a chain of thought has to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProcessRule {
    /// No.
    Ignore,
    /// Only one that the judge calls sound may be kept (`annotate.process`).
    Require,
}

/// What the student can follow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a number from 0 to 9, or `measured`")]
pub enum AbilityConfig {
    /// A Cognitive Difficulty, 0..9.
    Given(f64),
    /// Found out.
    Found(FoundOut),
}

/// How the ability is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundOut {
    /// The Cognitive Difficulty that the student solves with probability 1/2, from its own verdicts.
    Measured,
}

/// Which Reasoning Verbosity counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RvScore {
    /// The judge's rating fused with the length.
    Fused,
    /// The judge's rating alone.
    Judge,
}

/// Where a limit of length comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LengthBudget {
    /// The student's own correct attempts at the level.
    Student,
}

/// A measure of how well a chain of thought fits the student.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Lowest Rank-Surprisal Ratio.
    Rsr,
    /// Highest Local Naturalness.
    Naturalness,
    /// Lowest mean negative log-likelihood.
    Nll,
}

/// What decides among the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrawBy {
    /// Chance, in proportion to the weights; keyed by seed and chain of thought.
    Keyed,
    /// The greatest weight; chance among equals.
    Argmax,
}

impl Select {
    /// What is wrong with these settings: a path, what is wanted, what is found.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str, String)> {
        let within = |score: f64| (0.0..=9.0).contains(&score);
        if self.per_question == 0 {
            return Some(("select.per_question", "at least 1", "0".into()));
        }
        for (path, range) in [("select.rv", self.rv), ("select.cd", self.cd)] {
            if let Some([low, high]) = range.filter(|[low, high]| !(within(*low) && within(*high) && low <= high)) {
                return Some((path, "two rising numbers within 0 to 9", format!("{low} to {high}")));
            }
        }
        for (path, number) in
            [("select.beta", self.beta), ("select.gamma", self.gamma), ("select.length_factor", self.length_factor)]
        {
            if !(number.is_finite() && number >= 0.0) {
                return Some((path, "a number from 0 on", number.to_string()));
            }
        }
        if !(0.0..=1.0).contains(&self.length_quantile) {
            return Some(("select.length_quantile", "from 0 to 1", self.length_quantile.to_string()));
        }
        if let Some(targets) = self.rv_target_by_level.filter(|targets| !targets.iter().all(|rv| within(*rv))) {
            return Some(("select.rv_target_by_level", "six numbers within 0 to 9", format!("{targets:?}")));
        }
        match self.ability {
            Some(AbilityConfig::Given(ability)) if !within(ability) => {
                Some(("select.ability", "from 0 to 9, or `measured`", ability.to_string()))
            }
            _ => None,
        }
    }
}

impl Config {
    /// Whether selection will have what it goes by.
    pub(super) fn check_select(&self) -> Result<(), ConfigError> {
        let (select, annotate) = (&self.select, &self.annotate);
        let wrong = |message: String, hint: &str| Err(ConfigError { message, hint: Some(hint.to_owned()) });
        if select.candidates == CandidateSet::Labelled {
            return Ok(());
        }
        let by = select.by.name();
        let needs = select.needs();
        if needs.ability && select.ability.is_none() {
            return wrong(
                format!("`select.by: {by}` needs `select.ability`, which has no default"),
                "a Cognitive Difficulty from 0 to 9 that the student can follow, or `ability: measured`",
            );
        }
        let recorded = !annotate.recorded.is_empty();
        for (needed, score) in [(needs.cd, Score::Cd), (needs.rv, Score::Rv)] {
            if needed && !recorded && !(annotate.scores.contains(&score) && annotate.ratings > 0) {
                let name = score.name();
                return wrong(
                    format!("`select` goes by `{name}`, and nobody rates it"),
                    "`annotate: {scores: [rv, cd]}` with a `judge`, or files of ratings in `annotate.recorded`",
                );
            }
        }
        if needs.fit && !annotate.student_fit {
            return wrong(
                format!("`select.by: {by}` goes by the student's log-probabilities, and nobody measures them"),
                "`annotate: {student_fit: true}`",
            );
        }
        if select.process == ProcessRule::Require && !annotate.process && !recorded {
            return wrong(
                "`select.process: require` needs a word on the process, and nobody is asked for it".into(),
                "`annotate: {process: true}` with a `judge`",
            );
        }
        Ok(())
    }
}

/// What a rule has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    ability: bool,
    cd: bool,
    rv: bool,
    fit: bool,
}

impl Select {
    fn needs(&self) -> Needs {
        let rule = crate::select::Rule::of(self, None);
        Needs {
            ability: rule.needs_ability(),
            cd: rule.needs_cd(),
            rv: rule.needs_rv(),
            fit: self.by == SelectBy::StudentFit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_selection_goes_by_must_be_rated_or_recorded() {
        for (yaml, word) in [
            ("select: {by: omnithought}", "select.ability"),
            ("select: {by: omnithought, ability: 5}", "`cd`"),
            ("judge: mock\nannotate: {scores: [cd]}\nselect: {by: omnithought, ability: 5}", "`rv`"),
            ("select: {by: cd_only, ability: measured}", "`cd`"),
            ("select: {rv: [3, 5]}", "`rv`"),
            ("select: {by: easydistill-2.0}", "`cd`"),
            ("select: {by: student_fit}", "log-probabilities"),
            ("select: {process: require}", "process"),
        ] {
            let error = Config::read(yaml, &[]).unwrap_err();
            assert!(error.message.contains(word) && error.hint.is_some(), "{yaml}: {error}");
        }
        for yaml in [
            "judge: smollm2\nannotate: {scores: [cd, rv]}\nselect: {by: omnithought, ability: 4}",
            "annotate: {recorded: [r.jsonl]}\nselect: {by: omnithought, ability: measured}",
            "annotate: {recorded: [r.jsonl]}\nselect: {by: omnithought-ablation-7b, ability: 4.5}",
            "annotate: {student_fit: true}\nselect: {by: student-fit, fit: nll}",
            "select: {by: omnithought, candidates: labelled}",
        ] {
            let config = Config::read(yaml, &[]).unwrap();
            assert_eq!(Config::read(&config.to_yaml(), &[]).unwrap(), config, "{yaml}");
        }
    }

    #[test]
    fn numbers_off_the_scale_are_refused() {
        for yaml in [
            "select: {per_question: 0}",
            "select: {rv: [5, 3]}",
            "select: {cd: [0, 12]}",
            "select: {beta: -1}",
            "select: {length_quantile: 2}",
            "select: {ability: 10}",
            "select: {ability: guessed}",
            "select: {rv_target_by_level: [1, 2, 3, 4, 5, 10]}",
        ] {
            assert!(Config::read(yaml, &[]).is_err(), "{yaml}");
        }
        let error = Config::read("select: {ability: guessed}", &[]).unwrap_err();
        assert!(error.message.contains("measured"), "{error}");
    }

    #[test]
    fn rules_are_known_by_their_names_however_they_are_joined() {
        for by in SelectBy::ALL {
            assert_eq!(SelectBy::parse(by.name()), Some(by));
            assert_eq!(serde_json::to_value(by).unwrap(), by.name());
        }
        assert_eq!(SelectBy::parse("easydistill-2.0"), Some(SelectBy::Easydistill20));
        assert_eq!(SelectBy::parse("best"), None);
    }
}
