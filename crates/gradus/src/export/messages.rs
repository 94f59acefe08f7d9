//! Chat messages in one list: loss on all tokens unless the trainer masks.

use gradus_model::Message;

use super::layout::Layout;

/// `{"messages":[…]}`.
pub(super) struct Messages;

impl Layout for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn about(&self) -> &'static str {
        "`messages`, one list; the loss is on all tokens unless the trainer masks the prompt"
    }

    fn columns(&self) -> &'static [&'static str] {
        &["messages"]
    }

    fn fill(&self, mut prompt: Vec<Message>, completion: Message) -> Vec<Vec<Message>> {
        prompt.push(completion);
        vec![prompt]
    }
}
