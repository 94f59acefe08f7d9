//! How the student measures a chain of thought: which numbers its log-probabilities become.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SplitBy, StepSplit};

/// How well a chain of thought fits the student, by one forward pass of the student over it: the Rank-Surprisal Ratio
/// (arXiv 2601.14249) and Local Naturalness (arXiv 2510.03988).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Measure {
    /// A token's rank counts as this at most in the Rank-Surprisal Ratio. 100 in the authors' code.
    pub rank_clip: u32,
    /// Measure naturalness too. Each step is then read once more in a window of its own: with its question and
    /// `local_context` steps before it, which is about six times the reading.
    pub local: bool,
    /// Steps that the student sees before the one it measures, besides the question. A guess: those who write about
    /// the paper tell 4 steps, or a share of the steps before.
    pub local_context: u32,
    /// What is a step; what is left out of it is as in `scoring.steps`. The paper's example is the sentence; its exact rule is open, and so are our fragments of fewer
    /// than 3 words and signs and the 1,000 steps at most.
    pub steps: StepSplit,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            rank_clip: 100,
            local: true,
            local_context: 4,
            steps: StepSplit { by: SplitBy::Sentences, fragment: 3, max_steps: 1_000 },
        }
    }
}

impl Measure {
    /// What is wrong with these settings: a path, what is wanted, what is found.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str, String)> {
        if self.rank_clip == 0 {
            return Some(("measure.rank_clip", "at least 1", "0".into()));
        }
        if self.steps.max_steps == 0 {
            return Some(("measure.steps.max_steps", "at least 1", "0".into()));
        }
        None
    }
}
