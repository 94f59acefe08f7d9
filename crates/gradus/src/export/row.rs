//! The columns of provenance that follow the messages in every format.

use serde_json::Value;

use super::join::Kept;
use super::layout::{Column, Shape};

/// Name, type and meaning of each column, in order.
pub(super) const COLUMNS: [(&str, Shape, &str); 20] = [
    ("question_id", Shape::Text, "content id of the question"),
    ("source_id", Shape::Text, "id under which its source knows it"),
    ("kind", Shape::Text, "how its answer is checked: math, choice, text or code"),
    ("subject", Shape::Text, "subject, as the source names it"),
    ("source", Shape::Text, "name of the source"),
    ("license", Shape::Text, "licence of the question"),
    ("student", Shape::Text, "the model that was probed"),
    ("level", Shape::Text, "difficulty for that student: easy, 1 to 5 (hardest)"),
    ("pass_rate", Shape::Float, "share of the student's attempts that were correct"),
    ("teacher", Shape::Text, "the model that wrote the chain of thought"),
    ("cot_id", Shape::Text, "id of the chain of thought"),
    ("attempt", Shape::Int, "number of the teacher's attempt, from 0"),
    ("verdict", Shape::Text, "what was decided about it"),
    ("verdict_method", Shape::Text, "which rule decided"),
    ("verdict_version", Shape::Text, "version of that rule's code"),
    ("finish", Shape::Text, "why the teacher stopped"),
    ("completion_tokens", Shape::Int, "tokens the teacher wrote, as its server counts them"),
    ("selection_rank", Shape::Int, "position among the candidates of its question, from 0"),
    ("selection_reason", Shape::Text, "why it was kept"),
    ("prompt_hash", Shape::Text, "hash of the prompt template"),
];

/// These columns of messages, then [`COLUMNS`].
pub(super) fn after(messages: &[&'static str]) -> Vec<Column> {
    let messages = messages.iter().map(|name| (*name, Shape::Messages));
    messages.chain(COLUMNS.iter().map(|(name, shape, _)| (*name, *shape))).collect()
}

/// The values of [`COLUMNS`] for a kept chain of thought.
pub(super) fn values(kept: &Kept, prompt_hash: &str) -> [Value; COLUMNS.len()] {
    let Kept { selection, cot, verdict, question, level } = kept;
    [
        question.question_id.as_str().into(),
        question.source_ids.first().cloned().into(),
        question.kind.as_str().into(),
        question.subject.clone().into(),
        question.source.as_str().into(),
        question.license.clone().into(),
        level.as_ref().map(|level| level.student.clone()).into(),
        level.as_ref().map(|level| level.level.clone()).into(),
        level.as_ref().and_then(|level| level.pass_rate).into(),
        cot.teacher.as_str().into(),
        cot.cot_id.as_str().into(),
        cot.attempt.into(),
        cot.verdict.as_str().into(),
        verdict.method.as_str().into(),
        verdict.version.as_str().into(),
        cot.finish.as_str().into(),
        cot.completion_tokens.into(),
        selection.rank.into(),
        selection.reason.as_str().into(),
        prompt_hash.into(),
    ]
}
