//! How hard is a question for this student? Attempts become a level.
//!
//! arXiv 2504.11919 (method): solved is easy, otherwise a score in 0..1 of the wrong attempts gives one of
//! five levels, a lower score being harder. Which score and which cut points is open in the paper; ours stand
//! in the config by name.

use crate::config::{Grade, Grader, OnTruncated};
use crate::judge::Judged;
use crate::level::Level;
use crate::probe::Probed;
use crate::stats::wilson;
use crate::verdict::Outcome;
use crate::work::Reason;

/// The level of a question, with what led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Graded {
    /// The level, or why there is none.
    pub level: Result<Level, Reason>,
    /// Score behind a level above easy, 0..1.
    pub score: Option<f64>,
    /// Attempts asked.
    pub n_attempts: u32,
    /// Attempts that count.
    pub n_countable: u32,
    /// Correct ones.
    pub n_correct: u32,
    /// Cut off before a final answer.
    pub n_truncated: u32,
    /// Undecided ones.
    pub n_undecided: u32,
}

impl Graded {
    /// Share of correct ones among the countable, with its 95 % interval (Wilson).
    pub fn pass_rate(&self) -> Option<(f64, f64, f64)> {
        (self.n_countable > 0).then(|| {
            let (low, high) = wilson(u64::from(self.n_correct), u64::from(self.n_countable));
            (f64::from(self.n_correct) / f64::from(self.n_countable), low, high)
        })
    }
}

/// Whether an attempt counts, and as what: correct is true.
pub(crate) fn counts(config: &Grade, judged: &Judged) -> Option<bool> {
    if judged.is_truncated() {
        return (config.on_truncated != OnTruncated::Ungraded).then_some(false);
    }
    match judged.outcome()? {
        Outcome::Correct => Some(true),
        Outcome::Incorrect | Outcome::NoAnswer => Some(false),
        Outcome::Undecided => None,
    }
}

/// Gives a probed question its level.
pub fn grade(config: &Grade, probed: &Probed) -> Graded {
    let attempts = &probed.attempts;
    let countable: Vec<(&Judged, bool)> =
        attempts.iter().filter_map(|judged| counts(config, judged).map(|correct| (judged, correct))).collect();
    let n_correct = countable.iter().filter(|(_, correct)| *correct).count() as u32;
    let mut graded = Graded {
        level: Ok(Level::Easy),
        score: None,
        n_attempts: attempts.len() as u32,
        n_countable: countable.len() as u32,
        n_correct,
        n_truncated: attempts.iter().filter(|judged| judged.is_truncated()).count() as u32,
        n_undecided: attempts.iter().filter(|judged| judged.outcome() == Some(Outcome::Undecided)).count() as u32,
    };
    let Some((_, first_correct)) = countable.first() else {
        let detail = format!(
            "of {} attempts {} were undecided, {} truncated, the rest failed",
            graded.n_attempts, graded.n_undecided, graded.n_truncated
        );
        graded.level = Err(Reason::new("no_countable_attempt", detail));
        return graded;
    };
    let pass_rate = f64::from(n_correct) / countable.len() as f64;
    let easy = match config.grader {
        Grader::FirstCorrect => *first_correct,
        Grader::PassRate => pass_rate >= config.tau,
    };
    if !easy {
        let score = match config.grader {
            Grader::FirstCorrect => tests_passed(&countable).unwrap_or(pass_rate),
            Grader::PassRate => pass_rate,
        };
        graded.score = Some(score);
        graded.level = Ok(Level::Hard(level(&config.edges, score)));
    }
    graded
}

/// Mean share of tests passed over the wrong attempts, for code.
fn tests_passed(countable: &[(&Judged, bool)]) -> Option<f64> {
    let wrong = countable.iter().filter(|(_, correct)| !correct);
    let mut shares = Vec::new();
    let mut any = false;
    for (judged, _) in wrong {
        let tests = judged.result.as_ref().ok().and_then(|(_, verdict)| verdict.tests);
        any |= tests.is_some();
        shares.push(tests.map_or(0.0, |(passed, total)| f64::from(passed) / f64::from(total.max(1))));
    }
    any.then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Level 5 below the first edge, 1 from the last on.
pub(crate) fn level(edges: &[f64; 4], score: f64) -> u8 {
    5 - edges.iter().filter(|edge| score >= **edge).count() as u8
}
