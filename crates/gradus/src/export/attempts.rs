//! The student's attempts of each question with the scores of their steps: one pass over the tables, side by side.

use std::iter::Peekable;
use std::path::Path;

use super::ExportError;
use super::join::{Graded, find, is_of, missing, open_if_there};
use crate::tables::{AttemptRow, LevelRow, QuestionRow, ScoreRow, TableReader, VerdictRow};

/// A question with the student's attempts at it.
pub(super) struct Attempted {
    pub(super) question: QuestionRow,
    pub(super) level: Option<LevelRow>,
    pub(super) attempts: Vec<Attempt>,
}

/// An attempt of the student.
pub(super) struct Attempt {
    pub(super) row: AttemptRow,
    pub(super) verdict: VerdictRow,
    /// The scores of its steps; none if it was not scored.
    pub(super) scores: Vec<ScoreRow>,
}

/// Reads the tables forward only; relies on their common order, that of the bank. Every row is found by its ids.
pub(super) struct Attempts {
    questions: Graded,
    attempts: Peekable<TableReader<AttemptRow>>,
    verdicts: TableReader<VerdictRow>,
    scores: Option<Peekable<TableReader<ScoreRow>>>,
}

impl Attempts {
    /// Opens the tables in a folder.
    pub(super) fn open(tables: &Path) -> Result<Self, ExportError> {
        Ok(Self {
            questions: Graded::open(tables)?,
            attempts: TableReader::open(tables)?.peekable(),
            verdicts: TableReader::open(tables)?,
            scores: open_if_there(tables)?.map(Iterator::peekable),
        })
    }

    /// The next question, or `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Attempted>, ExportError> {
        let Some((question, level)) = self.questions.next()? else {
            let attempt = self.attempts.next().transpose()?.map(|row| row.question_id);
            let score = self.scores.as_mut().and_then(Iterator::next).transpose()?.map(|row| row.question_id);
            return match attempt.or(score) {
                Some(id) => Err(missing::<QuestionRow>(&id)),
                None => Ok(None),
            };
        };
        let id = question.question_id.as_str();
        let mut scores = Vec::new();
        if let Some(table) = &mut self.scores {
            while let Some(score) = table.next_if(|row| is_of(row, |row| row.question_id == id)).transpose()? {
                scores.push(score);
            }
        }
        let mut attempts = Vec::new();
        while let Some(row) = self.attempts.next_if(|row| is_of(row, |row| row.question_id == id)).transpose()? {
            let verdict = find(&mut self.verdicts, &row.attempt_id, |verdict| {
                verdict.attempt_id == row.attempt_id && verdict.role == "student" && verdict.question_id == id
            })?;
            let (own, others) = scores.into_iter().partition(|score: &ScoreRow| score.attempt_id == row.attempt_id);
            scores = others;
            attempts.push(Attempt { row, verdict, scores: own });
        }
        match scores.first() {
            Some(left) => Err(missing::<AttemptRow>(&left.attempt_id)),
            None => Ok(Some(Attempted { question, level, attempts })),
        }
    }
}
