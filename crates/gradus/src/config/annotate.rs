//! What is found out about chains of thought: ratings by a judge, and how well they fit the student.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, SamplingConfig};

/// What is found out about chains of thought (arXiv 2505.10937). Nothing is asked unless it is named here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Annotate {
    /// Which scores the `judge` gives.
    pub scores: Vec<Score>,
    /// Have the judge say whether the process is right: steps follow, nothing is contradicted, the answer is derived.
    pub process: bool,
    /// Measure how well each fits the student (`measure`): by its own log-probabilities, without a judge.
    pub student_fit: bool,
    /// Which chains of thought.
    pub of: Annotated,
    /// Ratings of each score. The paper's evidence rests on three.
    pub ratings: u32,
    /// Whether each score is asked for by itself, as published, or all at once.
    pub calls: Calls,
    /// Share of the chains of thought that are rated once in the other way of `calls` too, 0..=1: for the report's
    /// agreement of the two.
    pub compare_calls: f64,
    /// Weight of the judge's rating in the fused Reasoning Verbosity, 0..=1; the rest is the length's. Open in the
    /// paper: a guess, the middle.
    pub lambda: f64,
    /// Files of ratings that came with imported chains of thought (`gradus import`); they go before those of a judge.
    /// All of them are taken if `scores` names none.
    pub recorded: Vec<PathBuf>,
    /// Ask for a JSON schema (`response_format`), where the server has it.
    pub structured: bool,
    /// Most replies asked for until one can be read; then the rating is null.
    pub tries: u32,
    /// Files with the words in which the judge is asked; the built-in ones if absent.
    pub prompts: AnnotatePrompts,
    /// How the judge samples. Open in the paper.
    pub sampling: SamplingConfig,
}

impl Default for Annotate {
    fn default() -> Self {
        Self {
            scores: Vec::new(),
            process: false,
            student_fit: false,
            of: Annotated::Correct,
            ratings: 3,
            calls: Calls::Separate,
            compare_calls: 0.0,
            lambda: 0.5,
            recorded: Vec::new(),
            structured: false,
            tries: 3,
            prompts: AnnotatePrompts::default(),
            sampling: SamplingConfig { max_tokens: 4_096, ..SamplingConfig::default() },
        }
    }
}

/// A score that a judge gives a chain of thought, 0..9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Reasoning Verbosity: how much is said.
    Rv,
    /// How well that amount fits what the question needs.
    RvFit,
    /// Cognitive Difficulty: the competence needed to follow and reproduce it.
    Cd,
}

impl Score {
    /// Every score.
    pub const ALL: [Self; 3] = [Self::Rv, Self::RvFit, Self::Cd];

    /// Its name in tables, replies and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rv => "rv",
            Self::RvFit => "rv_fit",
            Self::Cd => "cd",
        }
    }
}

/// Which chains of thought are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Annotated {
    /// Those that are right and were not cut off.
    Correct,
    /// Every one that was answered.
    All,
}

/// How a judge is asked for several scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// One score a call; the chain of thought comes first, so that calls share it as a prefix. As published.
    Separate,
    /// All scores in one call: a third of the input.
    Joint,
}

impl Calls {
    /// Its name in tables and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Separate => "separate",
            Self::Joint => "joint",
        }
    }

    /// The other way.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Separate => Self::Joint,
            Self::Joint => Self::Separate,
        }
    }
}

/// Files with the words in which a judge of chains of thought is asked (`{question}`, `{reference}`, `{cot}`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnnotatePrompts {
    /// For Reasoning Verbosity.
    pub rv: Option<PathBuf>,
    /// For its fit.
    pub rv_fit: Option<PathBuf>,
    /// For Cognitive Difficulty.
    pub cd: Option<PathBuf>,
    /// For all at once.
    pub joint: Option<PathBuf>,
    /// For the process.
    pub process: Option<PathBuf>,
}

impl Annotate {
    /// Whether a judge is asked.
    pub fn asks_judge(&self) -> bool {
        self.process || (!self.scores.is_empty() && self.ratings > 0)
    }

    /// What is wrong with these settings: a path, what is wanted, what is found.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str, String)> {
        if self.tries == 0 {
            return Some(("annotate.tries", "at least 1", "0".into()));
        }
        for (path, share) in [("annotate.compare_calls", self.compare_calls), ("annotate.lambda", self.lambda)] {
            if !(0.0..=1.0).contains(&share) {
                return Some((path, "from 0 to 1", share.to_string()));
            }
        }
        if self.ratings > MOST_RATINGS {
            return Some(("annotate.ratings", "at most 255", self.ratings.to_string()));
        }
        let twice = self.scores.iter().enumerate().any(|(at, score)| self.scores[..at].contains(score));
        twice.then(|| ("annotate.scores", "each score once", "one twice".into()))
    }
}

/// Most ratings of one score: their number is part of a key.
const MOST_RATINGS: u32 = 255;

impl Config {
    /// Whether what is to be judged in words has a judge.
    pub(super) fn check_judges(&self) -> Result<(), ConfigError> {
        let missing = |what: &str| {
            Err(ConfigError {
                message: format!("{what} needs a model, and no `judge` is set"),
                hint: Some("set one, for example `judge: openai:URL#MODEL`".into()),
            })
        };
        if self.judge.is_some() {
            return Ok(());
        }
        let came_along = !self.annotate.recorded.is_empty() && !self.annotate.process;
        if self.annotate.asks_judge() && !came_along {
            return missing("`annotate.scores` or `annotate.process`");
        }
        if self.judging.asks_judge() {
            return missing("`judging.judge: llm` or `judging.check_share`");
        }
        Ok(())
    }
}
