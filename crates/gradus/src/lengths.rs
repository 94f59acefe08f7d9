//! How many questions do so many tokens pay for? From the lengths of the student's own attempts, by level.
//!
//! Before a teacher is asked, the student's attempts are all there is to tell how long a chain of thought for a question
//! will be: a proxy, ours. Teachers that think longer than the student cost more than planned; `budget` is what holds.

use std::collections::HashMap;
use std::path::Path;

use crate::assess::known_levels;
use crate::config::{Config, Sample, SampleBy};
use crate::level::Level;
use crate::sample::bank_level;
use crate::tables::{AttemptRow, LevelRow, QuestionRow, TableError, each};

/// Why tokens or dollars say nothing about a number of questions.
#[derive(Debug, thiserror::Error)]
pub enum SizeError {
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// No attempt has a count.
    #[error("`sample.tokens` and `sample.usd` need counts of tokens, and no attempt of the student has one")]
    NoLengths,
    /// Dollars without a price.
    #[error("`sample.usd` needs the first teacher's price of tokens written")]
    NoPrice,
}

/// The size of a sample: as given, or what `tokens` or `usd` come to; none if none of them is set. `shares` are those of
/// the levels, easy first.
///
/// # Errors
/// If lengths or price are not known, or the tables of attempts and levels cannot be read.
pub fn size(config: &Config, tables: &Path, shares: &[f64; Level::COUNT]) -> Result<Option<u64>, SizeError> {
    let sample = &config.sample;
    let tokens = match (sample.tokens, sample.usd) {
        (Some(tokens), _) => tokens as f64,
        (None, Some(usd)) => {
            let price = config.teacher.first().and_then(|teacher| teacher.price.as_ref()).map(|price| price.output);
            usd / price.filter(|price| *price > 0.0).ok_or(SizeError::NoPrice)? * 1e6
        }
        (None, None) => return Ok(sample.size),
    };
    n_questions(tokens, shares, &by_level(sample, tables)?).map(Some).ok_or(SizeError::NoLengths)
}

/// How many questions drawn by these shares come to so many tokens, given the mean length at each level; none if no
/// length is known.
fn n_questions(tokens: f64, shares: &[f64; Level::COUNT], lengths: &[Option<f64>; Level::COUNT]) -> Option<u64> {
    let known: Vec<f64> = lengths.iter().flatten().copied().collect();
    let otherwise = known.iter().sum::<f64>() / known.len() as f64;
    let sum: f64 = shares.iter().sum();
    let each: f64 = shares.iter().zip(lengths).map(|(share, length)| share / sum * length.unwrap_or(otherwise)).sum();
    (each.is_finite() && each > 0.0).then(|| (tokens / each) as u64)
}

/// The level by which each graded question is drawn: the student's own, the bank's, or that of another run.
///
/// # Errors
/// If a table cannot be read.
pub fn drawn_by(config: &Sample, tables: &Path) -> Result<HashMap<String, Level>, TableError> {
    let mut levels: HashMap<String, Level> = HashMap::new();
    each::<LevelRow>(tables, |row| levels.extend(Level::parse(&row.level).map(|level| (row.question_id, level))))?;
    if config.by == SampleBy::Static {
        let mut own = HashMap::new();
        each::<QuestionRow>(tables, |row| {
            let level = bank_level(row.bank_level.as_deref()).filter(|_| levels.contains_key(&row.question_id));
            own.extend(level.map(|level| (row.question_id, level)));
        })?;
        return Ok(own);
    }
    if let Some(run) = &config.levels_from {
        let there = known_levels(&run.join("tables"))?.unwrap_or_default();
        let both = there.into_iter().filter(|(id, _)| levels.contains_key(id));
        return Ok(both.map(|(id, known)| (id, known.level)).collect());
    }
    Ok(levels)
}

/// Mean tokens that the student wrote per attempt, by the level at which questions are drawn; none where no server
/// counted.
fn by_level(config: &Sample, tables: &Path) -> Result<[Option<f64>; Level::COUNT], TableError> {
    let levels = drawn_by(config, tables)?;
    let mut sums = [(0.0, 0_u64); Level::COUNT];
    each::<AttemptRow>(tables, |row| {
        if let (Some(level), Some(tokens)) = (levels.get(&row.question_id), row.completion_tokens) {
            let (sum, n) = &mut sums[level.index()];
            *sum += tokens as f64;
            *n += 1;
        }
    })?;
    Ok(sums.map(|(sum, n)| (n > 0).then(|| sum / n as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_answers_leave_room_for_fewer_questions() {
        let lengths = [Some(100.0), None, None, None, None, Some(500.0)];
        let only = |level: usize| std::array::from_fn(|at| if at == level { 3.0 } else { 0.0 });
        assert_eq!(n_questions(10_000.0, &only(0), &lengths), Some(100));
        assert_eq!(n_questions(10_000.0, &only(5), &lengths), Some(20));
        // A level without attempts counts as the mean of the others.
        assert_eq!(n_questions(9_000.0, &only(2), &lengths), Some(30));
        assert_eq!(n_questions(9_000.0, &[1.0; Level::COUNT], &lengths), Some(30));
        assert_eq!(n_questions(9_000.0, &only(0), &[None; Level::COUNT]), None);
    }
}
