//! Chat messages as verl's SFT trainer reads them.

use serde_json::{Value, json};

use super::layout::{Column, Layout, Sft, Shape, Turns, Unfit};
use super::{row, think};

/// `{"messages":[…],"enable_thinking":…}`.
pub(super) struct VerlSft;

impl Layout for VerlSft {
    fn name(&self) -> &'static str {
        "verl_sft"
    }

    fn about(&self) -> &'static str {
        "`messages` for verl's SFT trainer, and `enable_thinking`, which it hands to the chat template: whether the \
         reply has a thinking part"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&[("messages", Shape::MESSAGES), ("enable_thinking", Shape::Bool)])
    }
}

impl Sft for VerlSft {
    fn fill(&self, turns: &Turns<'_>) -> Result<Vec<Value>, Unfit> {
        Ok(vec![json!(turns.messages()), think::is_opened(&turns.completion.content).into()])
    }
}
