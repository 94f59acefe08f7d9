//! The chains of thought of each question with all that is known about them: one pass over the tables, side by side.

use std::iter::Peekable;
use std::path::Path;

use super::ExportError;
use crate::tables::{
    AnnotationRow, CotRow, LevelRow, QuestionRow, Row, SelectionRow, TableError, TableReader, VerdictRow, path,
};

/// A question with every chain of thought that was written for it.
pub(super) struct Group {
    pub(super) question: QuestionRow,
    pub(super) level: Option<LevelRow>,
    pub(super) cots: Vec<Cot>,
}

/// A chain of thought with what was decided about it.
pub(super) struct Cot {
    pub(super) row: CotRow,
    pub(super) verdict: VerdictRow,
    pub(super) selection: SelectionRow,
    /// None in runs without the table.
    pub(super) annotation: Option<AnnotationRow>,
}

impl Cot {
    /// Whether its answer is right; none if that could not be told.
    pub(super) fn is_correct(&self) -> Option<bool> {
        is_correct(&self.row.verdict)
    }

    /// Whether it was cut off at the token limit.
    pub(super) fn is_cut_off(&self) -> bool {
        self.row.finish == CUT_OFF
    }

    /// Whether it is right and was not cut off.
    pub(super) fn is_sound(&self) -> bool {
        self.is_correct() == Some(true) && !self.is_cut_off()
    }
}

/// The `finish` of what was cut off at the token limit.
pub(super) const CUT_OFF: &str = "length";

/// What a verdict says of an answer; none if it says nothing.
pub(super) fn is_correct(verdict: &str) -> Option<bool> {
    match verdict {
        "correct" => Some(true),
        "incorrect" | "no_answer" => Some(false),
        _ => None,
    }
}

/// Reads the tables forward only; relies on their common order: bank, then teacher, then attempt. Every row is found
/// by its ids: a row of a sibling or of another question is never taken for it.
pub(super) struct Join {
    cots: Peekable<TableReader<CotRow>>,
    verdicts: TableReader<VerdictRow>,
    selection: TableReader<SelectionRow>,
    annotations: Option<TableReader<AnnotationRow>>,
    questions: Graded,
}

impl Join {
    /// Opens the tables in a folder.
    pub(super) fn open(tables: &Path) -> Result<Self, ExportError> {
        Ok(Self {
            cots: TableReader::open(tables)?.peekable(),
            verdicts: TableReader::open(tables)?,
            selection: TableReader::open(tables)?,
            annotations: open_if_there(tables)?,
            questions: Graded::open(tables)?,
        })
    }

    /// The next question that has chains of thought, or `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Group>, ExportError> {
        let Some(first) = self.cots.next().transpose()? else {
            return match self.selection.next().transpose()? {
                Some(left) => Err(missing::<CotRow>(&left.cot_id)),
                None => Ok(None),
            };
        };
        let id = first.question_id.clone();
        let mut cots = vec![self.known(first)?];
        while let Some(row) = self.cots.next_if(|row| is_of(row, |row| row.question_id == id)).transpose()? {
            cots.push(self.known(row)?);
        }
        let (question, level) = loop {
            let (question, level) = self.questions.next()?.ok_or_else(|| missing::<QuestionRow>(&id))?;
            if question.question_id == id {
                break (question, level);
            }
        };
        Ok(Some(Group { question, level, cots }))
    }

    fn known(&mut self, row: CotRow) -> Result<Cot, ExportError> {
        // The student's verdicts stand among these; one that teaches itself shares attempts between the roles.
        let verdict = find(&mut self.verdicts, &row.cot_id, |verdict| {
            verdict.attempt_id == row.cot_id && verdict.role == "teacher" && verdict.question_id == row.question_id
        })?;
        let selection = next(&mut self.selection, &row.cot_id, |selection| {
            selection.cot_id == row.cot_id && selection.question_id == row.question_id
        })?;
        let annotation = match &mut self.annotations {
            Some(annotations) => Some(next(annotations, &row.cot_id, |annotation| {
                annotation.cot_id == row.cot_id && annotation.question_id == row.question_id
            })?),
            None => None,
        };
        Ok(Cot { row, verdict, selection, annotation })
    }
}

/// Questions with their levels, in bank order.
pub(super) struct Graded {
    questions: TableReader<QuestionRow>,
    levels: Peekable<TableReader<LevelRow>>,
}

impl Graded {
    /// Opens the tables in a folder.
    pub(super) fn open(tables: &Path) -> Result<Self, ExportError> {
        Ok(Self { questions: TableReader::open(tables)?, levels: TableReader::open(tables)?.peekable() })
    }

    /// The next question, or `None` after the last. Not every one has a level; those that have stand in the same order.
    pub(super) fn next(&mut self) -> Result<Option<(QuestionRow, Option<LevelRow>)>, ExportError> {
        let Some(question) = self.questions.next().transpose()? else { return Ok(None) };
        let mut level = None;
        while let Some(row) =
            self.levels.next_if(|row| is_of(row, |row| row.question_id == question.question_id)).transpose()?
        {
            level.get_or_insert(row);
        }
        Ok(Some((question, level)))
    }
}

/// Opens a table that some runs do not have.
pub(super) fn open_if_there<R: Row>(tables: &Path) -> Result<Option<TableReader<R>>, TableError> {
    path::<R>(tables).exists().then(|| TableReader::open(tables)).transpose()
}

/// Whether a row that was read is one of those wanted; a row that cannot be read is taken, so that its error is seen.
pub(super) fn is_of<R: Row>(row: &Result<R, TableError>, wanted: impl Fn(&R) -> bool) -> bool {
    row.as_ref().map_or(true, wanted)
}

/// Goes on to the next row that is the one wanted.
pub(super) fn find<R: Row>(table: &mut TableReader<R>, id: &str, is_it: impl Fn(&R) -> bool) -> Result<R, ExportError> {
    for row in table {
        let row = row?;
        if is_it(&row) {
            return Ok(row);
        }
    }
    Err(missing::<R>(id))
}

/// The next row, which must be the one wanted.
fn next<R: Row>(table: &mut TableReader<R>, id: &str, is_it: impl Fn(&R) -> bool) -> Result<R, ExportError> {
    let row = table.next().transpose()?;
    row.filter(is_it).ok_or_else(|| missing::<R>(id))
}

/// A table does not hold what the others say it holds.
pub(super) fn missing<R: Row>(id: &str) -> ExportError {
    ExportError::OutOfStep { table: R::TABLE, id: id.to_owned() }
}
