//! Every chain of thought of a question with a label, for TRL's KTO: no pair is needed.

use serde_json::{Value, json};

use super::asked::Asked;
use super::layout::{Column, Layout, Shape};
use super::row;

/// `{"prompt":[…],"completion":[…],"label":…}`.
pub(super) struct Kto;

impl Layout for Kto {
    fn name(&self) -> &'static str {
        "kto"
    }

    fn about(&self) -> &'static str {
        "`prompt` and `completion`, each a list of messages, and `label`: whether the answer is right and was not cut \
         off; all chains of thought of a question, for TRL's KTOTrainer"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&[("prompt", Shape::MESSAGES), ("completion", Shape::MESSAGES), ("label", Shape::Bool)])
    }
}

impl Kto {
    /// The row of the chain of thought at a place, or in a fixed word why it has none: `undecided`, `empty`,
    /// `too_long`.
    pub(super) fn fill(asked: &Asked, at: usize) -> Result<Vec<Value>, &'static str> {
        let cot = asked.cot(at);
        if cot.is_correct().is_none() {
            return Err("undecided");
        }
        if asked.is_empty(at) {
            return Err("empty");
        }
        if asked.is_too_long(at) {
            return Err("too_long");
        }
        let mut values = vec![json!(asked.prompt.messages), json!([asked.reply(at)]), cot.is_sound().into()];
        values.extend(row::values(asked, cot));
        Ok(values)
    }
}
