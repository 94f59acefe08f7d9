//! The kept chains of thought with all that is known about them: one pass over the tables, side by side.

use std::path::Path;

use super::ExportError;
use crate::tables::{CotRow, LevelRow, QuestionRow, Row, SelectionRow, TableReader, VerdictRow};

/// A kept chain of thought.
pub(super) struct Kept {
    pub(super) selection: SelectionRow,
    pub(super) cot: CotRow,
    pub(super) verdict: VerdictRow,
    pub(super) question: QuestionRow,
    pub(super) level: Option<LevelRow>,
}

/// Reads the tables forward only; relies on their common order: bank, then teacher, then attempt.
pub(super) struct Join {
    selection: TableReader<SelectionRow>,
    cots: TableReader<CotRow>,
    verdicts: TableReader<VerdictRow>,
    questions: TableReader<QuestionRow>,
    levels: std::iter::Peekable<TableReader<LevelRow>>,
    /// The question that was read last, with its level: several of its chains of thought may be kept.
    current: Option<(QuestionRow, Option<LevelRow>)>,
}

impl Join {
    /// Opens the tables in a folder.
    pub(super) fn open(tables: &Path) -> Result<Self, ExportError> {
        Ok(Self {
            selection: TableReader::open(tables)?,
            cots: TableReader::open(tables)?,
            verdicts: TableReader::open(tables)?,
            questions: TableReader::open(tables)?,
            levels: TableReader::open(tables)?.peekable(),
            current: None,
        })
    }

    /// The next kept chain of thought, or `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Kept>, ExportError> {
        let selection = loop {
            match self.selection.next().transpose()? {
                None => return Ok(None),
                Some(row) if row.selected => break row,
                Some(_) => {}
            }
        };
        let cot = find(&mut self.cots, &selection.cot_id, |row| {
            row.cot_id == selection.cot_id && row.question_id == selection.question_id
        })?;
        let verdict = find(&mut self.verdicts, &cot.cot_id, |row| {
            // A student that teaches itself shares attempts between the roles.
            row.attempt_id == cot.cot_id && row.role == "teacher" && row.question_id == cot.question_id
        })?;
        if self.current.as_ref().is_none_or(|(question, _)| question.question_id != cot.question_id) {
            self.current = Some(self.question(&cot.question_id)?);
        }
        let (question, level) = self.current.clone().expect("it was read just now");
        Ok(Some(Kept { selection, cot, verdict, question, level }))
    }

    /// Goes on to a question, keeping in step with the levels: not every question has one.
    fn question(&mut self, id: &str) -> Result<(QuestionRow, Option<LevelRow>), ExportError> {
        loop {
            let Some(question) = self.questions.next().transpose()? else {
                return Err(missing::<QuestionRow>(id));
            };
            let mut level = None;
            while let Some(row) = self
                .levels
                .next_if(|row| row.as_ref().map_or(true, |row| row.question_id == question.question_id))
                .transpose()?
            {
                level.get_or_insert(row);
            }
            if question.question_id == id {
                return Ok((question, level));
            }
        }
    }
}

/// Goes on to the next row that is the one wanted.
fn find<R: Row>(table: &mut TableReader<R>, id: &str, is_it: impl Fn(&R) -> bool) -> Result<R, ExportError> {
    for row in table {
        let row = row?;
        if is_it(&row) {
            return Ok(row);
        }
    }
    Err(missing::<R>(id))
}

fn missing<R: Row>(id: &str) -> ExportError {
    ExportError::OutOfStep { table: R::TABLE, id: id.to_owned() }
}
