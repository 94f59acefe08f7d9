//! Chat messages as axolotl's `chat_template` reads them.

use serde_json::{Value, json};

use super::layout::{Column, Layout, Sft, Shape, Turns, Unfit};
use super::row;

/// `{"messages":[…]}`.
pub(super) struct Axolotl;

impl Layout for Axolotl {
    fn name(&self) -> &'static str {
        "axolotl"
    }

    fn about(&self) -> &'static str {
        "`messages` for axolotl's `type: chat_template` with `field_messages: messages` and `roles_to_train: [assistant]`"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&[("messages", Shape::MESSAGES)])
    }
}

impl Sft for Axolotl {
    fn fill(&self, turns: &Turns<'_>) -> Result<Vec<Value>, Unfit> {
        Ok(vec![json!(turns.messages())])
    }
}
