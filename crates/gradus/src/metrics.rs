//! The figures of a run: what `metrics.json` holds and the report shows.

use serde::{Deserialize, Serialize};

use crate::config::{Price, SamplingConfig};

/// What the caller knows about a run and no table holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunFacts {
    /// Name and version of the tool, e.g. `gradus 0.1.0`.
    pub tool: String,
    /// Hash of the frozen configuration.
    pub config_hash: String,
    /// Seed of every draw.
    pub seed: u64,
    /// The prompt templates in use.
    pub prompts: Vec<PromptFact>,
    /// The models in use.
    pub models: Vec<ModelFact>,
}

/// A prompt template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptFact {
    /// What it is for, e.g. `math`.
    pub name: String,
    /// Hash of its text.
    pub hash: String,
    /// The template itself.
    pub text: String,
}

/// A model in a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFact {
    /// `student`, `teacher`, `judge` or `prm`.
    pub role: String,
    /// Model name, without the address of its server.
    pub model: String,
    /// Mark of the weights.
    pub revision: Option<String>,
    /// How it was sampled.
    pub sampling: Option<SamplingConfig>,
    /// What it cost.
    pub price: Option<Price>,
}

/// One step of the funnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelStep {
    /// What happened, e.g. `graded`.
    pub step: String,
    /// What is counted: `questions` or `cots`.
    pub unit: String,
    /// How many are left.
    pub count: u64,
}
