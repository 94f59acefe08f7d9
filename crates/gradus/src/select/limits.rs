//! How long may a chain of thought be for this student? From the lengths of its own correct attempts, level by level.

use std::collections::HashMap;
use std::path::Path;

use super::pass::SelectError;
use crate::config::Select;
use crate::level::Level;
use crate::stats::quantile;
use crate::tables::{AttemptHead, AttemptText, LevelRow, Row, TableReader, VerdictHead, each};
use crate::verdict::Outcome;

/// What lengths are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Tokens, as a server counts them.
    Tokens,
    /// Characters.
    Characters,
}

impl Unit {
    /// Its name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Characters => "characters",
        }
    }
}

/// Characters of a text in two parts.
pub(super) fn characters(reasoning: Option<&str>, answer: Option<&str>) -> u64 {
    [reasoning, answer].into_iter().flatten().map(|text| text.chars().count() as u64).sum()
}

/// The level of each graded question.
pub(super) fn levels(tables: &Path) -> Result<HashMap<String, Level>, SelectError> {
    let mut levels = HashMap::new();
    each::<LevelRow>(tables, |row| levels.extend(Level::parse(&row.level).map(|level| (row.question_id, level))))?;
    Ok(levels)
}

/// The greatest length at each level: a quantile of the lengths of the student's correct attempts at it, times a factor.
/// A level without any takes that of the nearest, the harder of two.
///
/// # Errors
/// If the student has no correct attempt whose length is known, or a table cannot be read.
pub(super) fn of_student(
    select: &Select,
    tables: &Path,
    levels: &HashMap<String, Level>,
    unit: Unit,
) -> Result<[f64; Level::COUNT], SelectError> {
    let mut lengths: [Vec<f64>; Level::COUNT] = std::array::from_fn(|_| Vec::new());
    let mut verdicts = TableReader::<VerdictHead>::view(tables)?;
    let mut texts = (unit == Unit::Characters).then(|| TableReader::<AttemptText>::view(tables)).transpose()?;
    for attempt in TableReader::<AttemptHead>::view(tables)? {
        let attempt = attempt?;
        let text = texts.as_mut().and_then(Iterator::next).transpose()?;
        // The student's verdicts stand in the order of its attempts.
        let verdict = verdicts.find(|row| row.as_ref().map_or(true, |row| row.role == "student")).transpose()?;
        let verdict = verdict
            .filter(|row| row.attempt_id == attempt.attempt_id && row.question_id == attempt.question_id)
            .ok_or_else(|| SelectError::OutOfStep { table: VerdictHead::TABLE, id: attempt.attempt_id.clone() })?;
        if verdict.verdict != Outcome::Correct.name() || attempt.finish == "length" {
            continue;
        }
        let length = match text {
            Some(text) => Some(characters(text.reasoning.as_deref(), text.answer.as_deref()) as f64),
            None => attempt.completion_tokens.map(|tokens| tokens as f64),
        };
        if let (Some(level), Some(length)) = (levels.get(&attempt.question_id), length) {
            lengths[level.index()].push(length);
        }
    }
    let limits = lengths.map(|mut lengths| {
        lengths.sort_unstable_by(f64::total_cmp);
        quantile(&lengths, select.length_quantile).map(|length| length * select.length_factor)
    });
    nearest(&limits).ok_or(SelectError::NoLengths(unit))
}

/// Fills every gap from the nearest place that has a number, the later of two; none if there is no number.
fn nearest(known: &[Option<f64>; Level::COUNT]) -> Option<[f64; Level::COUNT]> {
    let mut filled = [0.0; Level::COUNT];
    for (at, filled) in filled.iter_mut().enumerate() {
        let near = (0..Level::COUNT)
            .filter(|&other| known[other].is_some())
            .min_by_key(|&other| (other.abs_diff(at), std::cmp::Reverse(other)));
        *filled = known[near?]?;
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_without_correct_attempts_takes_the_nearest() {
        let known = [Some(10.0), None, None, Some(40.0), None, None];
        assert_eq!(nearest(&known), Some([10.0, 10.0, 40.0, 40.0, 40.0, 40.0]));
        let even = [Some(10.0), None, Some(30.0), None, None, None];
        assert_eq!(nearest(&even).unwrap()[1], 30.0, "the harder of two");
        assert_eq!(nearest(&[None; Level::COUNT]), None);
    }
}
