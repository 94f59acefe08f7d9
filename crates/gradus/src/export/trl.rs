//! TRL's conversational prompt and completion: loss on the completion alone.

use serde_json::{Value, json};

use super::layout::{Column, Layout, Sft, Shape, Turns, Unfit};
use super::row;

/// `{"prompt":[…],"completion":[…]}`.
pub(super) struct Trl;

impl Layout for Trl {
    fn name(&self) -> &'static str {
        "trl"
    }

    fn about(&self) -> &'static str {
        "`prompt` and `completion`, each a list of messages; TRL's SFTTrainer computes the loss on the completion alone"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&[("prompt", Shape::MESSAGES), ("completion", Shape::MESSAGES)])
    }
}

impl Sft for Trl {
    fn fill(&self, turns: &Turns<'_>) -> Result<Vec<Value>, Unfit> {
        Ok(vec![json!(turns.prompt), json!([turns.completion])])
    }
}
