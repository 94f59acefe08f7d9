//! Rows of tables from what stages say, and questions back from their rows.

use std::path::Path;
use std::sync::Arc;

use crate::grade::{Graded, Grading};
use crate::judge::Judged;
use crate::level::Level;
use crate::question::{Kind, Question, QuestionId};
use crate::score::{Scored, Scorer};
use crate::tables::{LevelRow, QuestionRow, TableError, TableReader, VerdictRow};
use crate::verdict::Verdict;

/// The questions of a run directory, in bank order.
pub fn questions(tables: &Path) -> Result<impl Iterator<Item = Result<Question, TableError>> + use<>, TableError> {
    let reader = TableReader::<QuestionRow>::open(tables)?;
    let path = crate::tables::path::<QuestionRow>(tables);
    Ok(reader.map(move |row| {
        let row = row?;
        let id = row.question_id.clone();
        question(row).ok_or_else(|| TableError::Shape {
            path: path.clone(),
            message: format!("question {id} does not read back; delete the table, it is rebuilt"),
        })
    }))
}

/// A question as a row.
pub fn question_row(question: &Question) -> QuestionRow {
    let json = |value: serde_json::Result<String>| value.expect("plain data becomes JSON");
    QuestionRow {
        question_id: question.id.to_string(),
        source_ids: question.source_ids.to_vec(),
        kind: question.kind.name().to_owned(),
        question: question.text.clone(),
        references: question.references.clone(),
        tolerance: question.tolerance.map(|tolerance| json(serde_json::to_string(&tolerance))),
        tests: question.tests.as_ref().map(|tests| json(serde_json::to_string(&**tests))),
        starter: question.starter.clone(),
        options: question.options.clone(),
        bank_level: question.level.clone(),
        subject: question.subject.clone(),
        source: question.source.clone(),
        license: question.license.clone(),
    }
}

/// The question of a row; none if a column does not hold what [`question_row`] wrote.
pub fn question(row: QuestionRow) -> Option<Question> {
    Some(Question {
        id: QuestionId::parse(&row.question_id)?,
        source_ids: row.source_ids.into(),
        kind: Kind::ALL.into_iter().find(|kind| kind.name() == row.kind)?,
        text: row.question,
        references: row.references,
        tolerance: row.tolerance.map(|json| serde_json::from_str(&json)).transpose().ok()?,
        tests: row.tests.map(|json| serde_json::from_str(&json)).transpose().ok()?.map(Arc::new),
        starter: row.starter,
        options: row.options,
        level: row.bank_level,
        subject: row.subject,
        source: row.source,
        license: row.license,
    })
}

pub(super) fn verdict_row(judged: &Judged, verdict: &Verdict, id: &str, role: &str, model: &str) -> VerdictRow {
    VerdictRow {
        attempt_id: judged.key.short(),
        question_id: id.to_owned(),
        role: role.to_owned(),
        model: model.to_owned(),
        verdict: verdict.outcome.name().to_owned(),
        method: verdict.method.clone(),
        version: verdict.version.to_owned(),
        extracted: verdict.extracted.clone(),
        explanation: verdict.explanation.clone(),
        tests_passed: verdict.tests.map(|(passed, _)| i64::from(passed)),
        tests_total: verdict.tests.map(|(_, total)| i64::from(total)),
        llm_verdict: verdict.heard.as_ref().and_then(|heard| Some(heard.as_ref().ok()?.name().to_owned())),
        llm_reason: verdict
            .heard
            .as_ref()
            .and_then(|heard| heard.as_ref().err().map(|reason| format!("{}: {}", reason.code, reason.detail))),
    }
}

pub(super) fn level_row(
    graded: &Graded,
    scored: &[Scored],
    id: &str,
    student: &str,
    prompts: &str,
    config: &Grading,
) -> LevelRow {
    let pass_rate = graded.pass_rate();
    LevelRow {
        question_id: id.to_owned(),
        student: student.to_owned(),
        prompts: prompts.to_owned(),
        grader: config.settings.grader.name().to_owned(),
        level: graded.level.as_ref().map_or_else(|_| "ungraded".to_owned(), Level::to_string),
        reason: graded.level.as_ref().err().map(|reason| format!("{}: {}", reason.code, reason.detail)),
        score: graded.score,
        pass_rate: pass_rate.map(|(rate, ..)| rate),
        pass_rate_low: pass_rate.map(|(_, low, _)| low),
        pass_rate_high: pass_rate.map(|(.., high)| high),
        n_attempts: i64::from(graded.n_attempts),
        n_countable: i64::from(graded.n_countable),
        n_correct: i64::from(graded.n_correct),
        n_truncated: i64::from(graded.n_truncated),
        n_undecided: i64::from(graded.n_undecided),
        scorer: config.scorer.as_ref().map(|scorer| scorer.model.name.clone()),
        form: config.scorer.as_ref().map(|scorer| scorer.form().to_owned()),
        aggregate: config.scorer.as_ref().and_then(Scorer::aggregate).map(|aggregate| aggregate.name().to_owned()),
        n_scored: scored.iter().filter(|one| one.result.is_ok()).count() as i64,
    }
}
