//! TRL's conversational prompt and completion: loss on the completion alone.

use gradus_model::Message;

use super::layout::{Column, Layout, Sft};
use super::row;

/// `{"prompt":[…],"completion":[…]}`.
pub(super) struct Trl;

impl Layout for Trl {
    fn name(&self) -> &'static str {
        "trl"
    }

    fn about(&self) -> &'static str {
        "`prompt` and `completion`, each a list of messages; TRL's SFTTrainer computes the loss on the completion alone"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&["prompt", "completion"])
    }
}

impl Sft for Trl {
    fn fill(&self, prompt: Vec<Message>, completion: Message) -> Vec<Vec<Message>> {
        vec![prompt, vec![completion]]
    }
}
