//! Which chains of thought are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which chains of thought are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// By which rule.
    pub by: SelectBy,
    /// Most chains of thought per question.
    pub per_question: u32,
}

impl Default for Select {
    fn default() -> Self {
        Self { by: SelectBy::Random, per_question: 1 }
    }
}

/// Rule of selection among the correct chains of thought of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// Keyed draw, all alike.
    Random,
    /// Fewest tokens first.
    Shortest,
    /// Most tokens first.
    Longest,
}
