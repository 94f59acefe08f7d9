//! What is written, and in which formats.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lint, Pairs, Stepwise, Training};

/// What is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// Formats to write.
    pub formats: Vec<Format>,
    /// What to do with a response that has no thinking part.
    pub think: Think,
    /// Which questions go into the formats for reinforcement learning.
    pub rl: Rl,
    /// Which chains of thought make a preference pair.
    pub pairs: Pairs,
    /// What stands in rows of steps.
    pub stepwise: Stepwise,
    /// How rows are checked against the student's own chat template and tokenizer.
    pub lint: Lint,
    /// With which numbers the files for trainers begin.
    pub training: Training,
    /// Order of the rows; steps of attempts stay in that of the bank.
    pub order: Order,
    /// Train on rows in their order, as a curriculum wants it; trainers shuffle unless they are told.
    pub keep_order: bool,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            formats: vec![Format::Trl, Format::Messages],
            think: Think::Keep,
            rl: Rl::default(),
            pairs: Pairs::default(),
            stepwise: Stepwise::default(),
            lint: Lint::default(),
            training: Training::default(),
            order: Order::Bank,
            keep_order: false,
        }
    }
}

impl Export {
    /// Whether trainers are told to see the rows in their order: rows by level would be of no use to them otherwise.
    pub fn keeps_order(&self) -> bool {
        self.keep_order || self.order == Order::Level
    }
}

/// Order of exported rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// That of the bank.
    Bank,
    /// By level of the question, easiest first and ungraded ones last; within a level that of the bank.
    Level,
}

/// Export format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// TRL prompt and completion: loss on the completion alone.
    Trl,
    /// Chat messages: loss on all tokens unless the trainer masks.
    Messages,
    /// TRL prompt and completion as texts, rendered with the student's chat template: for templates that delete the
    /// thinking part.
    TrlText,
    /// Chat messages as LLaMA-Factory's `sharegpt` wants them.
    LlamaFactory,
    /// Chat messages for axolotl's `chat_template`.
    Axolotl,
    /// Chat messages for verl's SFT trainer.
    VerlSft,
    /// Input and output for OpenRLHF.
    Openrlhf,
    /// TRL preference pairs with their prompt.
    Dpo,
    /// LLaMA-Factory preference pairs.
    DpoLlamaFactory,
    /// Every chain of thought of a question, labelled right or wrong, for TRL's KTO.
    Kto,
    /// Attempts step by step, each step labelled, for process reward models.
    Stepwise,
    /// Questions with references for verl's reinforcement learning.
    Verl,
    /// Questions with references for TRL's GRPO and RLOO.
    TrlGrpo,
    /// Code questions with their tests as open-r1 has them (`verification_info`).
    CodeRl,
}

impl Format {
    /// Whether its rows are questions with references, not chains of thought.
    pub fn is_rl(self) -> bool {
        matches!(self, Self::Verl | Self::TrlGrpo | Self::CodeRl)
    }

    /// Whether its rows are selected chains of thought to learn from, one each.
    pub fn is_sft(self) -> bool {
        !self.is_rl() && !matches!(self, Self::Dpo | Self::DpoLlamaFactory | Self::Kto | Self::Stepwise)
    }

    /// Whether it is made from chains of thought, so that a teacher must have been asked.
    pub fn needs_cots(self) -> bool {
        !self.is_rl() && self != Self::Stepwise
    }
}

/// Which questions go into the formats for reinforcement learning: those that the student solves now and then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rl {
    /// Least pass rate of the student, 0..=1.
    pub min_pass_rate: f64,
    /// Greatest pass rate of the student, 0..=1.
    pub max_pass_rate: f64,
    /// What verl chooses its reward function by; by the kind of question if absent.
    pub data_source: Option<String>,
}

/// All questions that have a pass rate.
impl Default for Rl {
    fn default() -> Self {
        Self { min_pass_rate: 0.0, max_pass_rate: 1.0, data_source: None }
    }
}

/// What to do with a response that has no thinking part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Think {
    /// Export it as it is.
    Keep,
    /// Put what stands before the final answer into a thinking block.
    Wrap,
}
