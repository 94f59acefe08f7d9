//! Input and output as OpenRLHF's SFT reads them.

use serde_json::{Value, json};

use super::layout::{Column, Layout, Sft, Shape, Turns, Unfit};
use super::row;

/// `{"input":[…],"output":[…]}`: lists of messages, which OpenRLHF joins before it renders them. As texts they would
/// lose a system prompt.
pub(super) struct Openrlhf;

impl Layout for Openrlhf {
    fn name(&self) -> &'static str {
        "openrlhf"
    }

    fn about(&self) -> &'static str {
        "`input` and `output`, each a list of messages, for OpenRLHF with `input_key input`, `output_key output` and \
         `apply_chat_template`"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&[("input", Shape::MESSAGES), ("output", Shape::MESSAGES)])
    }
}

impl Sft for Openrlhf {
    fn fill(&self, turns: &Turns<'_>) -> Result<Vec<Value>, Unfit> {
        Ok(vec![json!(turns.prompt), json!([turns.completion])])
    }
}
