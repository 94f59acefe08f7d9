//! A few questions of every level with what was said to them: drawn by a key, so that nobody picks the nice ones.

use std::path::Path;

use serde::Serialize;

use crate::level::Level;
use crate::stats::draw;
use crate::tables::{AttemptRow, CotRow, LevelRow, TableError, VerdictRow, each};
use crate::why::{self, Story};

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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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

/// Draws the questions and gathers what the tables hold about them. Memory is bounded by what they hold about the
/// questions drawn.
pub(super) fn pick(tables: &Path, seed: u64) -> Result<Vec<LevelSamples>, TableError> {
    // Per level the questions with the lowest draws.
    let mut drawn: Vec<Vec<(u64, String)>> = (0..=Level::COUNT).map(|_| Vec::new()).collect();
    each::<LevelRow>(tables, |row| {
        let order = draw(seed, "report", row.question_id.as_bytes());
        let level = &mut drawn[index(&row)];
        level.push((order, row.question_id));
        level.sort_by_key(|(order, _)| *order);
        level.truncate(PER_LEVEL);
    })?;
    let ids: Vec<String> = drawn.into_iter().flatten().map(|(_, id)| id).collect();
    let names = Level::ALL.iter().map(ToString::to_string).chain(["ungraded".to_owned()]);
    let mut levels: Vec<LevelSamples> = names.map(|level| LevelSamples { level, questions: Vec::new() }).collect();
    for mut story in why::tell(tables, &ids)? {
        if let Some(level) = story.level.take() {
            levels[index(&level)].questions.push(shown(story, level));
        }
    }
    levels.retain(|level| !level.questions.is_empty());
    Ok(levels)
}

/// Place of a level among all, what has none last.
fn index(row: &LevelRow) -> usize {
    Level::parse(&row.level).map_or(Level::COUNT, Level::index)
}

fn shown(story: Story, level: LevelRow) -> Shown {
    let Story { question, attempts, cots, dropped, .. } = story;
    let left = dropped.iter().rfind(|row| row.item_kind == "question");
    let kept = cots.iter().any(|(.., selection)| selection.as_ref().is_some_and(|row| row.selected));
    let (n_student, n_teacher) = (attempts.len(), cots.len());
    Shown {
        id: question.question_id,
        kind: question.kind,
        source: question.source,
        text: cut(&question.question),
        options: question.options,
        references: match question.tests {
            Some(_) => "unit tests".to_owned(),
            None => question.references.join("  or  "),
        },
        pass: format!("{} of {} attempts correct", level.n_correct, level.n_countable),
        reason: level.reason,
        fate: if kept {
            "kept".to_owned()
        } else {
            left.map(|row| format!("left at {}: {}", row.stage, cut(&row.detail))).unwrap_or_default()
        },
        student: attempts.into_iter().take(PER_ROLE).map(|(attempt, verdict)| reply(attempt, verdict)).collect(),
        teacher: cots
            .into_iter()
            .take(PER_ROLE)
            .map(|(cot, verdict, selection)| Reply {
                // Stands there before there are verdicts.
                verdict: cot.verdict.clone(),
                kept: selection.is_some_and(|row| row.selected),
                ..reply(attempt(cot), verdict)
            })
            .collect(),
        n_student,
        n_teacher,
    }
}

/// A chain of thought as what it is: an attempt of a teacher.
fn attempt(cot: CotRow) -> AttemptRow {
    AttemptRow {
        attempt_id: cot.cot_id,
        question_id: cot.question_id,
        model: cot.teacher,
        attempt: cot.attempt,
        reasoning: cot.reasoning,
        answer: cot.answer,
        finish: cot.finish,
        prompt_tokens: cot.prompt_tokens,
        completion_tokens: cot.completion_tokens,
        cost_usd: cot.cost_usd,
    }
}

fn reply(attempt: AttemptRow, verdict: Option<VerdictRow>) -> Reply {
    let judged = verdict.map(|row| (row.verdict, row.extracted.as_deref().map(cut), cut(&row.explanation)));
    let (verdict, extracted, explanation) = judged.unwrap_or_default();
    Reply {
        id: attempt.attempt_id,
        model: attempt.model,
        number: attempt.attempt,
        verdict,
        extracted,
        explanation,
        finish: attempt.finish,
        tokens: attempt.completion_tokens,
        reasoning: attempt.reasoning.as_deref().map(cut),
        answer: attempt.answer.as_deref().map(cut),
        kept: false,
    }
}

/// The beginning of a text, and how much of it is missing.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}\n[… {} more characters]", &text[..at], text[at..].chars().count()),
    }
}
