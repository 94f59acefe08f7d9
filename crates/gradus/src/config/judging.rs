//! How answers are judged: limits of programs, and the model that is asked where no rule decides.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SamplingConfig;

/// How answers are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Judging {
    /// Who is asked where the rules cannot decide.
    pub judge: AnswerJudge,
    /// Share of the answers that the rules did decide which the judge is asked about all the same, 0..=1: for the
    /// report's agreement of the two. The rules' verdict stands.
    pub check_share: f64,
    /// File with the words in which the judge is asked (`{question}`, `{reference}`, `{answer}`); the built-in ones if
    /// absent.
    pub prompt: Option<PathBuf>,
    /// Ask the judge for a JSON schema (`response_format`), where the server has it.
    pub structured: bool,
    /// Most replies asked for until one can be read.
    pub tries: u32,
    /// How the judge samples.
    pub sampling: SamplingConfig,
    /// Limits of each test of a code question.
    pub cpu_ms: u64,
    /// Wall time of each test in milliseconds.
    pub wall_ms: u64,
    /// Memory of each test in bytes.
    pub memory_bytes: u64,
}

impl Default for Judging {
    fn default() -> Self {
        Self {
            judge: AnswerJudge::Rules,
            check_share: 0.0,
            prompt: None,
            structured: false,
            tries: 3,
            sampling: SamplingConfig { max_tokens: 4_096, ..SamplingConfig::default() },
            cpu_ms: 10_000,
            wall_ms: 30_000,
            memory_bytes: 1 << 30,
        }
    }
}

impl Judging {
    /// Whether the judge is asked about answers.
    pub fn asks_judge(&self) -> bool {
        self.judge == AnswerJudge::Llm || self.check_share > 0.0
    }
}

/// Who is asked where the rules cannot decide whether an answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerJudge {
    /// Nobody: the verdict is undecided.
    Rules,
    /// The model `judge`, with the reference in view. Never asked about code, or without a reference.
    Llm,
}
