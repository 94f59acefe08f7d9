//! What a format is: its columns, and what stands in them.

use gradus_model::Message;
use serde_json::Value;

use super::Render;
use super::asked::Asked;
use super::axolotl::Axolotl;
use super::code_rl::CodeRl;
use super::dpo::Dpo;
use super::dpo_llama_factory::DpoLlamaFactory;
use super::kto::Kto;
use super::llama_factory::LlamaFactory;
use super::messages::Messages;
use super::openrlhf::Openrlhf;
use super::pairs::Pair;
use super::rl::Task;
use super::stepwise::Stepwise;
use super::trl::Trl;
use super::trl_grpo::TrlGrpo;
use super::trl_text::TrlText;
use super::verl::Verl;
use super::verl_sft::VerlSft;
use crate::config::Format;

/// What a column holds; every one may be null, as in the hub's own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Int,
    Float,
    Bool,
    /// Any number of the same.
    List(&'static Shape),
    /// Named fields.
    Fields(&'static [Column]),
}

impl Shape {
    /// A list of texts.
    pub(super) const TEXTS: Self = Self::List(&Self::Text);
    /// A turn of a conversation.
    pub(super) const MESSAGE: Self = Self::Fields(&[("role", Self::Text), ("content", Self::Text)]);
    /// A list of messages with role and content.
    pub(super) const MESSAGES: Self = Self::List(&Self::MESSAGE);
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

/// A format of selected chains of thought, one a row: columns of its own, then those of provenance.
pub(super) trait Sft: Layout {
    /// The values of its own columns, or why a conversation cannot stand in it.
    fn fill(&self, turns: &Turns<'_>) -> Result<Vec<Value>, Unfit>;
}

/// A conversation to learn from: what is asked, and what the assistant is to say.
pub(super) struct Turns<'a> {
    pub(super) prompt: &'a [Message],
    pub(super) completion: &'a Message,
    pub(super) render: Option<Render<'a>>,
}

impl Turns<'_> {
    /// The whole of it in one list.
    pub(super) fn messages(&self) -> Vec<&Message> {
        self.prompt.iter().chain([self.completion]).collect()
    }
}

/// Why a conversation cannot stand in a format: a fixed word, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) reason: &'static str,
    pub(super) found: String,
}

/// A format of preference pairs: columns of its own, then those of [`super::pairs`].
pub(super) trait Pairs: Layout {
    /// The values of its own columns, or why the conversation cannot stand in it.
    fn fill(&self, asked: &Asked, pair: &Pair) -> Result<Vec<Value>, Unfit>;
}

/// A format of questions with references.
pub(super) trait Rl: Layout {
    /// Whether it is for such questions at all.
    fn is_for(&self, _task: &Task) -> bool {
        true
    }
    /// The values of one row; `index` is its place. None if this format has no words for how it is checked.
    fn fill(&self, task: &Task, index: u64) -> Option<Vec<Value>>;
}

/// A format by what its rows are.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Sft(&'static dyn Sft),
    Pairs(&'static dyn Pairs),
    Labels(&'static Kto),
    Steps(&'static Stepwise),
    Questions(&'static dyn Rl),
}

impl Of {
    pub(super) fn layout(self) -> &'static dyn Layout {
        match self {
            Self::Sft(layout) => layout,
            Self::Pairs(layout) => layout,
            Self::Labels(layout) => layout,
            Self::Steps(layout) => layout,
            Self::Questions(layout) => layout,
        }
    }
}

/// Every format there is.
pub(super) const ALL: [Format; 14] = [
    Format::Trl,
    Format::Messages,
    Format::TrlText,
    Format::LlamaFactory,
    Format::Axolotl,
    Format::VerlSft,
    Format::Openrlhf,
    Format::Dpo,
    Format::DpoLlamaFactory,
    Format::Kto,
    Format::Stepwise,
    Format::Verl,
    Format::TrlGrpo,
    Format::CodeRl,
];

/// The layout of a configured format.
pub(super) fn of(format: Format) -> Of {
    match format {
        Format::Trl => Of::Sft(&Trl),
        Format::Messages => Of::Sft(&Messages),
        Format::TrlText => Of::Sft(&TrlText),
        Format::LlamaFactory => Of::Sft(&LlamaFactory),
        Format::Axolotl => Of::Sft(&Axolotl),
        Format::VerlSft => Of::Sft(&VerlSft),
        Format::Openrlhf => Of::Sft(&Openrlhf),
        Format::Dpo => Of::Pairs(&Dpo),
        Format::DpoLlamaFactory => Of::Pairs(&DpoLlamaFactory),
        Format::Kto => Of::Labels(&Kto),
        Format::Stepwise => Of::Steps(&Stepwise),
        Format::Verl => Of::Questions(&Verl),
        Format::TrlGrpo => Of::Questions(&TrlGrpo),
        Format::CodeRl => Of::Questions(&CodeRl),
    }
}
