//! What a format is: names of its columns of messages, and what stands in them.

use gradus_model::Message;

use super::messages::Messages;
use super::trl::Trl;
use crate::config::Format;

/// A format: every row has its columns of messages first, then the columns of provenance.
pub(super) trait Layout {
    /// Name of its folder and of its configuration in the card.
    fn name(&self) -> &'static str;
    /// One line for the card.
    fn about(&self) -> &'static str;
    /// Names of the columns that hold lists of messages.
    fn columns(&self) -> &'static [&'static str];
    /// The lists of one row, one per column.
    fn fill(&self, prompt: Vec<Message>, completion: Message) -> Vec<Vec<Message>>;
}

/// Every format there is.
pub(super) const ALL: [&dyn Layout; 2] = [&Trl, &Messages];

/// The layout of a configured format.
pub(super) fn of(format: Format) -> &'static dyn Layout {
    match format {
        Format::Trl => &Trl,
        Format::Messages => &Messages,
    }
}
