//! Chat messages as LLaMA-Factory's `sharegpt` reads them. It skips a row that it cannot read without an error, so such
//! a row is left out here, and counted.

use gradus_model::{Message, Speaker};
use serde_json::{Value, json};

use super::layout::{Column, Layout, Sft, Shape, Turns, Unfit};
use super::row;

/// `{"messages":[…]}`: a system message or none, then user and assistant in turn.
pub(super) struct LlamaFactory;

impl Layout for LlamaFactory {
    fn name(&self) -> &'static str {
        "llama_factory"
    }

    fn about(&self) -> &'static str {
        "`messages` for LLaMA-Factory with `formatting: sharegpt` and the tags `role` and `content`: a system message or \
         none, then user and assistant in turn"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&[("messages", Shape::MESSAGES)])
    }
}

impl Sft for LlamaFactory {
    fn fill(&self, turns: &Turns<'_>) -> Result<Vec<Value>, Unfit> {
        in_turn(turns.prompt)?;
        Ok(vec![json!(turns.messages())])
    }
}

/// Whether a prompt is a system message or none, then user and assistant in turn up to a user.
pub(super) fn in_turn(prompt: &[Message]) -> Result<(), Unfit> {
    let unfit = |found| Err(Unfit { reason: "not_in_turn", found });
    let turns = match prompt {
        [Message { role: Speaker::System, .. }, rest @ ..] => rest,
        all => all,
    };
    for (at, turn) in turns.iter().enumerate() {
        let expected = if at.is_multiple_of(2) { Speaker::User } else { Speaker::Assistant };
        if turn.role != expected {
            return unfit(format!("turn {} is of {:?}, expected {expected:?}", at + 1, turn.role));
        }
    }
    if turns.len().is_multiple_of(2) {
        return unfit(format!("{} turns, expected an odd number up to a user's", turns.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_turns_in_order_pass() {
        let turns = |roles: &str| {
            let turn = |role| Message { role, content: "x".into() };
            let role = |c| match c {
                's' => Speaker::System,
                'u' => Speaker::User,
                _ => Speaker::Assistant,
            };
            in_turn(&roles.chars().map(role).map(turn).collect::<Vec<_>>())
        };
        for fine in ["u", "su", "uau", "suau"] {
            assert_eq!(turns(fine), Ok(()), "{fine}");
        }
        for wrong in ["", "s", "ua", "uu", "usu", "au"] {
            assert!(turns(wrong).is_err(), "{wrong}");
        }
    }
}
