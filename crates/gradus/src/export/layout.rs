//! What a format is: its columns, and what stands in them.

use gradus_model::Message;
use serde_json::Value;

use super::messages::Messages;
use super::rl::Task;
use super::trl::Trl;
use super::trl_grpo::TrlGrpo;
use super::verl::Verl;
use crate::config::Format;

/// What a column holds; every one may be null, as in the hub's own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Int,
    Float,
    /// A list of texts.
    Texts,
    /// A list of messages with role and content.
    Messages,
    /// Named fields.
    Fields(&'static [Column]),
}

/// A column: its name and what it holds.
pub(super) type Column = (&'static str, Shape);

/// A format as every reader of it sees it.
pub(super) trait Layout {
    /// Name of its folder and of its configuration in the card.
    fn name(&self) -> &'static str;
    /// One line for the card.
    fn about(&self) -> &'static str;
    /// Its columns, in order.
    fn columns(&self) -> Vec<Column>;
}

/// A format of chains of thought: columns of messages first, then the columns of provenance.
pub(super) trait Sft: Layout {
    /// The lists of one row, one per column of messages.
    fn fill(&self, prompt: Vec<Message>, completion: Message) -> Vec<Vec<Message>>;
}

/// A format of questions with references.
pub(super) trait Rl: Layout {
    /// The values of one row; `index` is its place. None if this format has no words for how it is checked.
    fn fill(&self, task: &Task, index: u64) -> Option<Vec<Value>>;
}

/// A format by what its rows are.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Cots(&'static dyn Sft),
    Questions(&'static dyn Rl),
}

impl Of {
    pub(super) fn layout(self) -> &'static dyn Layout {
        match self {
            Self::Cots(layout) => layout,
            Self::Questions(layout) => layout,
        }
    }
}

/// Every format there is.
pub(super) const ALL: [Of; 4] = [Of::Cots(&Trl), Of::Cots(&Messages), Of::Questions(&Verl), Of::Questions(&TrlGrpo)];

/// The layout of a configured format.
pub(super) fn of(format: Format) -> Of {
    match format {
        Format::Trl => Of::Cots(&Trl),
        Format::Messages => Of::Cots(&Messages),
        Format::Verl => Of::Questions(&Verl),
        Format::TrlGrpo => Of::Questions(&TrlGrpo),
    }
}
