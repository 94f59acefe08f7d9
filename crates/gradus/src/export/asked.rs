//! A question as the exported conversation asks it, with every reply that was written to it.

use gradus_model::{Message, Speaker};

use super::join::{Cot, Group};
use super::{ExportFacts, Prompt, think};
use crate::config::Think;

/// A question with its chains of thought as they are exported.
pub(super) struct Asked {
    pub(super) group: Group,
    pub(super) prompt: Prompt,
    /// What the assistant says, by the place of the chain of thought in the group.
    replies: Vec<Message>,
    /// By the same place: whether it is longer than the student's files and the settings allow.
    too_long: Vec<bool>,
}

impl Asked {
    pub(super) fn new(group: Group, think: Think, facts: &ExportFacts<'_>) -> Self {
        let prompt = (facts.prompt)(&group.question);
        let reply = |cot: &Cot| {
            let (reasoning, answer) = (cot.row.reasoning.as_deref(), cot.row.answer.as_deref());
            let content = think::content(think, &group.question.kind, reasoning, answer);
            Message { role: Speaker::Assistant, content }
        };
        let replies: Vec<Message> = group.cots.iter().map(reply).collect();
        let too_long = vec![false; replies.len()];
        Self { group, prompt, replies, too_long }
    }

    /// The chain of thought at a place.
    pub(super) fn cot(&self, at: usize) -> &Cot {
        &self.group.cots[at]
    }

    /// What the assistant says in the chain of thought at a place.
    pub(super) fn reply(&self, at: usize) -> &Message {
        &self.replies[at]
    }

    /// The places of all chains of thought.
    pub(super) fn places(&self) -> std::ops::Range<usize> {
        0..self.replies.len()
    }

    /// Marks what is longer than allowed.
    pub(super) fn mark_too_long(&mut self, is_too_long: impl Fn(&[Message], &str) -> bool) {
        let marks = self.replies.iter().map(|reply| is_too_long(&self.prompt.messages, &reply.content));
        self.too_long = marks.collect();
    }

    /// Whether what is said at a place is longer than allowed.
    pub(super) fn is_too_long(&self, at: usize) -> bool {
        self.too_long[at]
    }

    /// Whether nothing is said at a place.
    pub(super) fn is_empty(&self, at: usize) -> bool {
        self.replies[at].content.trim().is_empty()
    }
}
