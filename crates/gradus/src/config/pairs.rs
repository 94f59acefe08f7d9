//! What stands in preference pairs and in rows of steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Export;

/// Which chains of thought of a question make a pair: one to prefer and one to reject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pairs {
    /// Which may be preferred. Always right, and never cut off.
    pub chosen_from: ChosenFrom,
    /// What makes another one worse, in order of preference.
    pub rejected_by: Vec<RejectedBy>,
    /// With `verdict`: reject those too that were cut off before their wrong answer was complete.
    pub truncated_as_rejected: bool,
    /// With `rv_cd`: least distance, the sum of the differences in fused Reasoning Verbosity and in Cognitive
    /// Difficulty, 0..=18. A guess.
    pub min_distance: f64,
    /// With `length`: how many times as long, or as short, at least; above 1. A guess.
    pub length_ratio: f64,
    /// Most pairs per question.
    pub per_question: u32,
    /// Leave out the hardest questions: their pairs teach a student what it cannot yet do.
    pub skip_hardest: bool,
    /// Level from which on a question is among the hardest, 1..=5.
    pub hardest_from: u8,
    /// Fills the column `beta`; null without it.
    pub beta: Option<Beta>,
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            chosen_from: ChosenFrom::Selected,
            rejected_by: vec![RejectedBy::Verdict, RejectedBy::RvCd, RejectedBy::Length],
            truncated_as_rejected: false,
            min_distance: 2.0,
            length_ratio: 2.0,
            per_question: 1,
            skip_hardest: false,
            hardest_from: 5,
            beta: None,
        }
    }
}

/// Which chains of thought may be preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChosenFrom {
    /// Those that selection kept, best first; none of them is rejected for its verbosity, difficulty or length.
    Selected,
    /// Every right one.
    Correct,
}

/// What makes a chain of thought the worse one of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RejectedBy {
    /// Its answer is wrong. One without an answer, or undecided, is never rejected.
    Verdict,
    /// It is right, and furthest from the preferred one in verbosity and difficulty, by the same judge.
    RvCd,
    /// It is right, and much longer or much shorter.
    Length,
}

impl RejectedBy {
    /// Its name in the rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::RvCd => "rv_cd",
            Self::Length => "length",
        }
    }
}

/// How strongly a pair holds the student to what it was: `base * (1 + slope * distance / 18)`. Ours: the further the
/// two lie apart in verbosity and difficulty, the stronger. A pair without that distance has `base`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Beta {
    /// DPO's beta at no distance, above 0.
    pub base: f64,
    /// What it grows by up to the greatest distance, as a share of `base`; from 0 on. A guess.
    pub slope: f64,
}

/// TRL's own beta, doubled at the greatest distance.
impl Default for Beta {
    fn default() -> Self {
        Self { base: 0.1, slope: 1.0 }
    }
}

/// What stands in rows of steps (`stepwise`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stepwise {
    /// A step with at least this score is right, 0..=1. A guess, the middle.
    pub threshold: f64,
    /// What becomes of an attempt with a step that could not be decided.
    pub undecided: UndecidedLabel,
    /// Add the student's right attempts and the right ones among the selected chains of thought, every step right;
    /// split as `scoring.steps` says.
    pub correct: bool,
}

impl Default for Stepwise {
    fn default() -> Self {
        Self { threshold: 0.5, undecided: UndecidedLabel::Cut, correct: false }
    }
}

/// What becomes of an attempt with a step that could not be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UndecidedLabel {
    /// Its row ends before that step.
    Cut,
    /// It is left out.
    Drop,
}

impl Export {
    /// What is wrong with these settings: a path, what is wanted, what is found.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str, String)> {
        let Pairs { min_distance, length_ratio, per_question, hardest_from, beta, .. } = &self.pairs;
        let threshold = self.stepwise.threshold;
        let finite_from = |number: f64, least: f64| number.is_finite() && number >= least;
        let wrong_beta =
            beta.filter(|beta| !(finite_from(beta.base, f64::MIN_POSITIVE) && finite_from(beta.slope, 0.0)));
        if !finite_from(*min_distance, 0.0) {
            return Some(("export.pairs.min_distance", "a number from 0 on", min_distance.to_string()));
        }
        if !(length_ratio.is_finite() && *length_ratio > 1.0) {
            return Some(("export.pairs.length_ratio", "above 1", length_ratio.to_string()));
        }
        if *per_question == 0 {
            return Some(("export.pairs.per_question", "at least 1", "0".into()));
        }
        if !(1..=5).contains(hardest_from) {
            return Some(("export.pairs.hardest_from", "from 1 to 5", hardest_from.to_string()));
        }
        if let Some(beta) = wrong_beta {
            let found = format!("base {} and slope {}", beta.base, beta.slope);
            return Some(("export.pairs.beta", "a base above 0 and a slope from 0 on", found));
        }
        (!(0.0..=1.0).contains(&threshold)).then(|| ("export.stepwise.threshold", "from 0 to 1", threshold.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_sense_are_named() {
        let fault = |change: &dyn Fn(&mut Export)| {
            let mut export = Export::default();
            change(&mut export);
            export.fault().map(|(path, ..)| path)
        };
        assert_eq!(fault(&|_| ()), None);
        assert_eq!(fault(&|export| export.pairs.min_distance = -1.0), Some("export.pairs.min_distance"));
        assert_eq!(fault(&|export| export.pairs.length_ratio = 1.0), Some("export.pairs.length_ratio"));
        assert_eq!(fault(&|export| export.pairs.per_question = 0), Some("export.pairs.per_question"));
        assert_eq!(fault(&|export| export.pairs.hardest_from = 6), Some("export.pairs.hardest_from"));
        let beta = |base, slope| fault(&|export| export.pairs.beta = Some(Beta { base, slope }));
        assert_eq!((beta(0.0, 1.0), beta(0.1, 0.0)), (Some("export.pairs.beta"), None));
        assert_eq!(fault(&|export| export.stepwise.threshold = f64::NAN), Some("export.stepwise.threshold"));
    }
}
