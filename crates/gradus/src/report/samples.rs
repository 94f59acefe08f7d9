//! A few questions of every level with what was said to them: drawn by a key, so that nobody picks the nice ones.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use crate::level::Level;
use crate::stats::draw;
use crate::tables::{
    AttemptRow, CotRow, DroppedRow, LevelRow, QuestionRow, SelectionRow, TableError, VerdictRow, each,
};

/// Questions per level.
const PER_LEVEL: usize = 3;
/// Attempts shown per question and role.
const PER_ROLE: usize = 4;
/// Characters shown of a text.
const MAX_CHARS: usize = 12_000;

/// What is shown of a level.
#[derive(Debug, Serialize)]
pub(super) struct LevelSamples {
    level: String,
    questions: Vec<Shown>,
}

/// A question with its attempts.
#[derive(Debug, Default, Serialize)]
struct Shown {
    id: String,
    kind: String,
    source: String,
    text: String,
    options: Vec<String>,
    references: String,
    pass: String,
    reason: Option<String>,
    fate: String,
    student: Vec<Reply>,
    teacher: Vec<Reply>,
    n_student: usize,
    n_teacher: usize,
}

/// What a model said.
#[derive(Debug, Default, Serialize)]
struct Reply {
    id: String,
    model: String,
    number: i64,
    verdict: String,
    extracted: Option<String>,
    explanation: String,
    finish: String,
    tokens: Option<i64>,
    reasoning: Option<String>,
    answer: Option<String>,
    kept: bool,
}

/// Draws the questions and gathers what the tables hold about them. Memory is bounded by what is shown.
pub(super) fn pick(tables: &Path, seed: u64) -> Result<Vec<LevelSamples>, TableError> {
    // Per level the questions with the lowest draws.
    let mut drawn: Vec<Vec<(u64, LevelRow)>> = (0..=Level::COUNT).map(|_| Vec::new()).collect();
    each::<LevelRow>(tables, |row| {
        let order = draw(seed, "report", row.question_id.as_bytes());
        let level = &mut drawn[Level::parse(&row.level).map_or(Level::COUNT, Level::index)];
        level.push((order, row));
        level.sort_by_key(|(order, _)| *order);
        level.truncate(PER_LEVEL);
    })?;
    let mut shown: HashMap<String, Shown> = HashMap::new();
    for (_, row) in drawn.iter().flatten() {
        let pass = format!("{} of {} attempts correct", row.n_correct, row.n_countable);
        let (id, reason) = (row.question_id.clone(), row.reason.clone());
        shown.insert(id.clone(), Shown { id, pass, reason, ..Shown::default() });
    }
    each::<QuestionRow>(tables, |row| {
        if let Some(question) = shown.get_mut(&row.question_id) {
            question.kind = row.kind;
            question.source = row.source;
            question.text = cut(&row.question);
            question.options = row.options;
            question.references = match row.tests {
                Some(_) => "unit tests".to_owned(),
                None => row.references.join("  or  "),
            };
        }
    })?;
    each::<AttemptRow>(tables, |row| {
        if let Some(question) = shown.get_mut(&row.question_id) {
            question.n_student += 1;
            if question.student.len() < PER_ROLE {
                question.student.push(Reply {
                    id: row.attempt_id,
                    model: row.model,
                    number: row.attempt,
                    finish: row.finish,
                    tokens: row.completion_tokens,
                    reasoning: row.reasoning.as_deref().map(cut),
                    answer: row.answer.as_deref().map(cut),
                    ..Reply::default()
                });
            }
        }
    })?;
    each::<CotRow>(tables, |row| {
        if let Some(question) = shown.get_mut(&row.question_id) {
            question.n_teacher += 1;
            if question.teacher.len() < PER_ROLE {
                question.teacher.push(Reply {
                    id: row.cot_id,
                    model: row.teacher,
                    number: row.attempt,
                    verdict: row.verdict,
                    finish: row.finish,
                    tokens: row.completion_tokens,
                    reasoning: row.reasoning.as_deref().map(cut),
                    answer: row.answer.as_deref().map(cut),
                    ..Reply::default()
                });
            }
        }
    })?;
    each::<VerdictRow>(tables, |row| {
        if let Some(question) = shown.get_mut(&row.question_id) {
            let replies = if row.role == "student" { &mut question.student } else { &mut question.teacher };
            for reply in replies.iter_mut().filter(|reply| reply.id == row.attempt_id) {
                reply.verdict.clone_from(&row.verdict);
                reply.extracted = row.extracted.as_deref().map(cut);
                reply.explanation = cut(&row.explanation);
            }
        }
    })?;
    each::<DroppedRow>(tables, |row| {
        if row.item_kind == "question"
            && let Some(question) = shown.get_mut(&row.item)
        {
            question.fate = format!("left at {}: {}", row.stage, cut(&row.detail));
        }
    })?;
    each::<SelectionRow>(tables, |row| {
        if let Some(question) = shown.get_mut(&row.question_id).filter(|_| row.selected) {
            "kept".clone_into(&mut question.fate);
            question.teacher.iter_mut().filter(|reply| reply.id == row.cot_id).for_each(|reply| reply.kept = true);
        }
    })?;
    let names = Level::ALL.iter().map(ToString::to_string).chain(["ungraded".to_owned()]);
    let levels = names.zip(drawn).filter(|(_, drawn)| !drawn.is_empty()).map(|(level, drawn)| {
        let questions = drawn.iter().filter_map(|(_, row)| shown.remove(&row.question_id)).collect();
        LevelSamples { level, questions }
    });
    Ok(levels.collect())
}

/// The beginning of a text, and how much of it is missing.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}\n[… {} more characters]", &text[..at], text[at..].chars().count()),
    }
}
