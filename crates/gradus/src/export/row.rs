//! The columns of provenance that follow the messages in every format.

use arrow::datatypes::DataType;
use serde_json::Value;

use super::join::Kept;

/// Type of a column of provenance; every one may be null, as in the hub's own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int,
    Float,
}

impl Type {
    /// In Arrow.
    pub(super) fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
        }
    }

    /// In the words of `datasets`.
    pub(super) fn dtype(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Int => "int64",
            Self::Float => "float64",
        }
    }
}

/// Name, type and meaning of each column, in order.
pub(super) const COLUMNS: [(&str, Type, &str); 20] = [
    ("question_id", Type::Text, "content id of the question"),
    ("source_id", Type::Text, "id under which its source knows it"),
    ("kind", Type::Text, "how its answer is checked: math, choice, text or code"),
    ("subject", Type::Text, "subject, as the source names it"),
    ("source", Type::Text, "name of the source"),
    ("license", Type::Text, "licence of the question"),
    ("student", Type::Text, "the model that was probed"),
    ("level", Type::Text, "difficulty for that student: easy, 1 to 5 (hardest)"),
    ("pass_rate", Type::Float, "share of the student's attempts that were correct"),
    ("teacher", Type::Text, "the model that wrote the chain of thought"),
    ("cot_id", Type::Text, "id of the chain of thought"),
    ("attempt", Type::Int, "number of the teacher's attempt, from 0"),
    ("verdict", Type::Text, "what was decided about it"),
    ("verdict_method", Type::Text, "which rule decided"),
    ("verdict_version", Type::Text, "version of that rule's code"),
    ("finish", Type::Text, "why the teacher stopped"),
    ("completion_tokens", Type::Int, "tokens the teacher wrote, as its server counts them"),
    ("selection_rank", Type::Int, "position among the candidates of its question, from 0"),
    ("selection_reason", Type::Text, "why it was kept"),
    ("prompt_hash", Type::Text, "hash of the prompt template"),
];

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
