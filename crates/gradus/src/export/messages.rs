//! Chat messages in one list: loss on all tokens unless the trainer masks.

use serde_json::{Value, json};

use super::layout::{Column, Layout, Sft, Shape, Turns, Unfit};
use super::row;

/// `{"messages":[…]}`.
pub(super) struct Messages;

impl Layout for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn about(&self) -> &'static str {
        "`messages`, one list; the loss is on all tokens unless the trainer masks the prompt"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&[("messages", Shape::MESSAGES)])
    }
}

impl Sft for Messages {
    fn fill(&self, turns: &Turns<'_>) -> Result<Vec<Value>, Unfit> {
        Ok(vec![json!(turns.messages())])
    }
}
