//! The columns of provenance that follow a format's own in every format of chains of thought.

use serde_json::Value;

use super::asked::Asked;
use super::join::Cot;
use super::layout::{Column, Shape};

/// Name, type and meaning of each column, in order.
pub(super) const COLUMNS: [(&str, Shape, &str); 30] = [
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
    ("rv", Shape::Float, "Reasoning Verbosity by the judge, 0 to 9"),
    ("cd", Shape::Float, "Cognitive Difficulty by the judge, 0 to 9"),
    ("s_rv", Shape::Float, "Reasoning Verbosity fused of the rating and the length, 0 to 9"),
    ("process", Shape::Text, "what the judge said of the process: sound, flawed or undecided"),
    ("mean_nll", Shape::Float, "mean negative log-likelihood per token under the student, in nats"),
    ("rsr", Shape::Float, "Rank-Surprisal Ratio under the student; lower fits better"),
    ("naturalness", Shape::Float, "local naturalness under the student; higher fits better"),
    ("selection_probability", Shape::Float, "chance with which the rule draws it first"),
    ("judge", Shape::Text, "the model that rated it"),
    ("is_correct", Shape::Bool, "whether its answer is right; null if that could not be told"),
];

/// These columns, then [`COLUMNS`].
pub(super) fn after(own: &[Column]) -> Vec<Column> {
    own.iter().copied().chain(COLUMNS.iter().map(|(name, shape, _)| (*name, *shape))).collect()
}

/// The values of [`COLUMNS`] for a chain of thought of a question.
pub(super) fn values(asked: &Asked, cot: &Cot) -> [Value; COLUMNS.len()] {
    let (question, level) = (&asked.group.question, asked.group.level.as_ref());
    let Cot { row, verdict, selection, annotation } = cot;
    let annotation = annotation.as_ref();
    [
        question.question_id.as_str().into(),
        question.source_ids.first().cloned().into(),
        question.kind.as_str().into(),
        question.subject.clone().into(),
        question.source.as_str().into(),
        question.license.clone().into(),
        level.map(|level| level.student.clone()).into(),
        level.map(|level| level.level.clone()).into(),
        level.and_then(|level| level.pass_rate).into(),
        row.teacher.as_str().into(),
        row.cot_id.as_str().into(),
        row.attempt.into(),
        row.verdict.as_str().into(),
        verdict.method.as_str().into(),
        verdict.version.as_str().into(),
        row.finish.as_str().into(),
        row.completion_tokens.into(),
        selection.rank.into(),
        selection.reason.as_str().into(),
        asked.prompt.hash.as_str().into(),
        annotation.and_then(|annotation| annotation.rv).into(),
        annotation.and_then(|annotation| annotation.cd).into(),
        annotation.and_then(|annotation| annotation.s_rv).into(),
        annotation.and_then(|annotation| annotation.process.clone()).into(),
        annotation.and_then(|annotation| annotation.mean_nll).into(),
        annotation.and_then(|annotation| annotation.rsr).into(),
        annotation.and_then(|annotation| annotation.naturalness).into(),
        selection.probability.into(),
        annotation.and_then(|annotation| annotation.judge.clone()).into(),
        cot.is_correct().into(),
    ]
}
