//! Chat messages in one list: loss on all tokens unless the trainer masks.

use gradus_model::Message;

use super::layout::{Column, Layout, Sft};
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
        row::after(&["messages"])
    }
}

impl Sft for Messages {
    fn fill(&self, mut prompt: Vec<Message>, completion: Message) -> Vec<Vec<Message>> {
        prompt.push(completion);
        vec![prompt]
    }
}
