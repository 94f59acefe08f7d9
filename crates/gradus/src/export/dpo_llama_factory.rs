//! Preference pairs as LLaMA-Factory's `sharegpt` with `ranking: true` reads them.

use serde_json::{Value, json};

use super::asked::Asked;
use super::layout::{Column, Layout, Pairs, Shape, Unfit};
use super::llama_factory::in_turn;
use super::pairs::{self, Pair};

/// `{"messages":[…],"chosen":{…},"rejected":{…}}`: the messages end with a user's, the others are one message each.
pub(super) struct DpoLlamaFactory;

impl Layout for DpoLlamaFactory {
    fn name(&self) -> &'static str {
        "dpo_llama_factory"
    }

    fn about(&self) -> &'static str {
        "`messages` up to the user's turn, `chosen` and `rejected`, one message each, for LLaMA-Factory with \
         `formatting: sharegpt` and `ranking: true`"
    }

    fn columns(&self) -> Vec<Column> {
        pairs::after(&[("messages", Shape::MESSAGES), ("chosen", Shape::MESSAGE), ("rejected", Shape::MESSAGE)])
    }
}

impl Pairs for DpoLlamaFactory {
    fn fill(&self, asked: &Asked, pair: &Pair) -> Result<Vec<Value>, Unfit> {
        in_turn(&asked.prompt.messages)?;
        Ok(vec![json!(asked.prompt.messages), json!(asked.reply(pair.chosen)), json!(asked.reply(pair.rejected))])
    }
}
