//! How good is a grader? Its levels and scores against measured pass rates, or against another grader's levels.
//!
//! A grader is accepted by a number (method): the rank correlation of its levels with pass rates of attempts that it has
//! not seen. Intervals are bootstraps over questions.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::level::Level;
use crate::stats::rank::{bootstrap_pairs, kendall, spearman};
use crate::stats::wilson;
use crate::tables::{LevelRow, TableError, each};

/// What one run says of a question.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownLevel {
    /// Its level.
    pub level: Level,
    /// The score behind a level above easy, 0..1, higher being easier.
    pub score: Option<f64>,
    /// Correct attempts.
    pub n_correct: u64,
    /// Attempts that count.
    pub n_countable: u64,
}

/// The levels of a run, by question id; ungraded questions are left out. None if it has no levels.
///
/// # Errors
/// If the table cannot be read.
pub fn known_levels(tables: &Path) -> Result<Option<BTreeMap<String, KnownLevel>>, TableError> {
    let mut levels = BTreeMap::new();
    let there = each::<LevelRow>(tables, |row| {
        if let Some(level) = Level::parse(&row.level) {
            let count = |n: i64| n.max(0) as u64;
            let (n_correct, n_countable) = (count(row.n_correct), count(row.n_countable));
            levels.insert(row.question_id, KnownLevel { level, score: row.score, n_correct, n_countable });
        }
    })?;
    Ok(there.then_some(levels))
}

/// A rank correlation with its 95 % interval; none where it is not defined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Correlation {
    /// -1..1; positive if the two agree.
    pub value: Option<f64>,
    /// 95 % interval, by bootstrap over questions.
    pub ci95: Option<(f64, f64)>,
}

/// Two orders of the same questions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// What is compared, e.g. `levels with pass rates`.
    pub of: &'static str,
    /// Questions that have both.
    pub n: u64,
    /// Spearman's rank correlation.
    pub spearman: Correlation,
    /// Kendall's tau-b.
    pub kendall: Correlation,
}

/// Pass rate of a level's questions in the other run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelRate {
    /// The level, by the grader under assessment.
    pub level: String,
    /// Its questions.
    pub n_questions: u64,
    /// Their mean pass rate; none without questions.
    pub pass_rate: Option<f64>,
    /// 95 % interval of the pooled attempts (Wilson): too narrow where questions have several.
    pub ci95: Option<(f64, f64)>,
}

/// What came of an assessment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessment {
    /// Questions that both have graded.
    pub n_questions: u64,
    /// Questions that only one of them has graded.
    pub n_only_one: u64,
    /// Attempts behind a measured pass rate, on average.
    pub attempts_per_question: f64,
    /// The correlations.
    pub agreements: Vec<Agreement>,
    /// Questions by level: rows by the grader under assessment, columns by the other, easy first.
    pub confusion: [[u64; Level::COUNT]; Level::COUNT],
    /// Share of questions with the same level in both, 0..1; none without questions.
    pub same_level: Option<f64>,
    /// Measured pass rates by level.
    pub levels: Vec<LevelRate>,
    /// Whether the pass rate falls from level to level, of those that have questions.
    pub monotone: bool,
    /// Pairs of neighbouring levels of which the harder has the higher pass rate.
    pub violations: Vec<(String, String)>,
}

/// The two figures of a question that are correlated, if it has both.
type Pairing<'a> = &'a dyn Fn(&KnownLevel, &KnownLevel) -> Option<(f64, f64)>;

/// Assesses the levels of one run by another over the same bank, whose attempts measure the pass rates.
pub fn assess(graded: &BTreeMap<String, KnownLevel>, measured: &BTreeMap<String, KnownLevel>, seed: u64) -> Assessment {
    let both: Vec<(&KnownLevel, &KnownLevel)> =
        graded.iter().filter_map(|(id, known)| measured.get(id).map(|other| (known, other))).collect();
    let n = both.len() as u64;
    let ease = |known: &KnownLevel| -(known.level.index() as f64);
    let rate = |known: &KnownLevel| (known.n_countable > 0).then(|| known.n_correct as f64 / known.n_countable as f64);
    let agreement = |of, pair: Pairing<'_>| {
        let pairs: Vec<(f64, f64)> = both.iter().filter_map(|(one, other)| pair(one, other)).collect();
        let correlation = |figure: fn(&[(f64, f64)]) -> Option<f64>| Correlation {
            value: figure(&pairs),
            ci95: bootstrap_pairs(seed, &pairs, figure),
        };
        Agreement { of, n: pairs.len() as u64, spearman: correlation(spearman), kendall: correlation(kendall) }
    };
    let agreements = vec![
        agreement("levels with pass rates", &|one, other| Some((ease(one), rate(other)?))),
        agreement("scores of what is not easy with pass rates", &|one, other| Some((one.score?, rate(other)?))),
        agreement("levels with levels", &|one, other| Some((ease(one), ease(other)))),
    ];
    let mut confusion = [[0; Level::COUNT]; Level::COUNT];
    for (one, other) in &both {
        confusion[one.level.index()][other.level.index()] += 1;
    }
    let n_same: u64 = (0..Level::COUNT).map(|level| confusion[level][level]).sum();
    let levels: Vec<LevelRate> = Level::ALL.map(|level| level_rate(level, &both, &rate)).into();
    let filled: Vec<(&LevelRate, f64)> = levels.iter().filter_map(|level| Some((level, level.pass_rate?))).collect();
    let violations: Vec<(String, String)> = filled
        .windows(2)
        .filter(|two| two[1].1 > two[0].1)
        .map(|two| (two[0].0.level.clone(), two[1].0.level.clone()))
        .collect();
    let n_attempts: u64 = both.iter().map(|(_, other)| other.n_countable).sum();
    Assessment {
        n_questions: n,
        n_only_one: graded.len() as u64 + measured.len() as u64 - 2 * n,
        attempts_per_question: n_attempts as f64 / n.max(1) as f64,
        agreements,
        confusion,
        same_level: (n > 0).then(|| n_same as f64 / n as f64),
        monotone: violations.is_empty(),
        levels,
        violations,
    }
}

fn level_rate(
    level: Level,
    both: &[(&KnownLevel, &KnownLevel)],
    rate: &dyn Fn(&KnownLevel) -> Option<f64>,
) -> LevelRate {
    let others: Vec<&KnownLevel> = both.iter().filter(|(one, _)| one.level == level).map(|(_, other)| *other).collect();
    let rates: Vec<f64> = others.iter().filter_map(|other| rate(other)).collect();
    let sum = |count: fn(&KnownLevel) -> u64| others.iter().map(|other| count(other)).sum::<u64>();
    let (n_correct, n_countable) = (sum(|other| other.n_correct), sum(|other| other.n_countable));
    LevelRate {
        level: level.to_string(),
        n_questions: others.len() as u64,
        pass_rate: (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64),
        ci95: (n_countable > 0).then(|| wilson(n_correct, n_countable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank(levels: &[(u8, Option<f64>, u64)]) -> BTreeMap<String, KnownLevel> {
        levels
            .iter()
            .enumerate()
            .map(|(at, &(level, score, n_correct))| {
                let level = Level::ALL[usize::from(level)];
                (format!("q{at}"), KnownLevel { level, score, n_correct, n_countable: 8 })
            })
            .collect()
    }

    #[test]
    fn a_grader_that_knows_the_pass_rates_agrees_with_them() {
        let graded = bank(&[(0, None, 8), (1, Some(0.7), 6), (3, Some(0.4), 4), (5, Some(0.0), 0), (5, Some(0.1), 1)]);
        let found = assess(&graded, &graded, 0);
        assert_eq!((found.n_questions, found.n_only_one), (5, 0));
        let levels = &found.agreements[0];
        assert!(levels.spearman.value.unwrap() > 0.9 && levels.kendall.value.unwrap() > 0.9, "{levels:?}");
        assert_eq!(found.agreements[1].n, 4);
        assert_eq!(found.agreements[1].spearman.value, Some(1.0));
        assert!(found.monotone && found.same_level == Some(1.0));
        assert_eq!(found.levels[5].pass_rate, Some(0.0625));
        assert_eq!(found.confusion[5][5], 2);
    }

    #[test]
    fn a_level_that_is_easier_than_the_one_below_it_is_named() {
        let graded = bank(&[(1, None, 1), (1, None, 2), (2, None, 7), (4, None, 3)]);
        let mut measured = graded.clone();
        measured.remove("q3");
        measured.insert("other".into(), graded["q0"].clone());
        let found = assess(&graded, &measured, 0);
        assert_eq!((found.n_questions, found.n_only_one), (3, 2));
        assert!(!found.monotone);
        assert_eq!(found.violations, [("1".to_owned(), "2".to_owned())]);
        assert!(found.agreements[0].spearman.value.unwrap() < 0.0);
        assert_eq!(found.levels[0].pass_rate, None);
    }

    #[test]
    fn nothing_in_common_says_nothing() {
        let found = assess(&bank(&[(1, None, 1)]), &BTreeMap::new(), 0);
        assert_eq!((found.n_questions, found.n_only_one, found.same_level), (0, 1, None));
        assert!(found.agreements.iter().all(|agreement| agreement.spearman.value.is_none()));
    }
}
