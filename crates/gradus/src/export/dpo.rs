//! TRL's preference pairs with an explicit prompt, for DPO and reward models.

use serde_json::{Value, json};

use super::asked::Asked;
use super::layout::{Column, Layout, Pairs, Shape, Unfit};
use super::pairs::{self, Pair};

/// `{"prompt":[…],"chosen":[…],"rejected":[…]}`.
pub(super) struct Dpo;

impl Layout for Dpo {
    fn name(&self) -> &'static str {
        "dpo"
    }

    fn about(&self) -> &'static str {
        "`prompt`, `chosen` and `rejected`, each a list of messages, for TRL's DPOTrainer and RewardTrainer"
    }

    fn columns(&self) -> Vec<Column> {
        pairs::after(&["prompt", "chosen", "rejected"].map(|name| (name, Shape::MESSAGES)))
    }
}

impl Pairs for Dpo {
    fn fill(&self, asked: &Asked, pair: &Pair) -> Result<Vec<Value>, Unfit> {
        let turn = |at| json!([asked.reply(at)]);
        Ok(vec![json!(asked.prompt.messages), turn(pair.chosen), turn(pair.rejected)])
    }
}
