//! How hard is a question for this student? Attempts become a level.
//!
//! arXiv 2504.11919 (method): solved is easy, otherwise a score in 0..1 of the wrong attempts gives one of
//! five levels, a lower score being harder. Which score and which cut points is open in the paper; ours stand
//! in the config by name. Probing and the scoring of wrong attempts are composed here: a question that is easy
//! asks for no score.

use crate::config::{Easy, Grade, Grader, OnTruncated};
use crate::judge::Judged;
use crate::level::Level;
use crate::probe::{self, Probe, Probed};
use crate::question::Question;
use crate::score::{self, Scored, Scorer};
use crate::stats::wilson;
use crate::verdict::Outcome;
use crate::work::{Answered, Next, Reason};

/// How probed questions are graded.
#[derive(Debug, Clone, PartialEq)]
pub struct Grading {
    /// What gives the level.
    pub settings: Grade,
    /// Who scores wrong attempts, if the grader asks a model.
    pub scorer: Option<Scorer>,
}

/// A question with its attempts, what was said of the wrong ones, and its level.
#[derive(Debug, Clone, PartialEq)]
pub struct GradedQuestion {
    /// The student's attempts.
    pub probed: Probed,
    /// The wrong attempts with their scores, in order; empty if the grader asks no model, or the question is easy.
    pub scored: Vec<Scored>,
    /// The level.
    pub graded: Graded,
}

/// What a question still needs to get its level, or its level. It leaves if no attempt was answered, or if a score
/// was never asked for: a level from half of the scores would be another level.
pub fn next(probe: &Probe, config: &Grading, question: &Question, answers: &[Answered]) -> Next<GradedQuestion> {
    let probed = match probe::next(probe, question, answers) {
        Next::Done(probed) => probed,
        Next::Ask(work) => return Next::Ask(work),
        Next::Drop(reason) => return Next::Drop(reason),
    };
    let scored = match &config.scorer {
        Some(scorer) => match score_wrong(scorer, &config.settings, question, &probed, answers) {
            Next::Done(scored) => scored,
            Next::Ask(work) => return Next::Ask(work),
            Next::Drop(reason) => return Next::Drop(reason),
        },
        None => Vec::new(),
    };
    let graded = grade(&config.settings, &probed, &scored);
    Next::Done(GradedQuestion { probed, scored, graded })
}

/// Scores of the wrong attempts of a question that is not easy.
fn score_wrong(
    scorer: &Scorer,
    config: &Grade,
    question: &Question,
    probed: &Probed,
    answers: &[Answered],
) -> Next<Vec<Scored>> {
    let countable = countable(config, probed);
    if countable.is_empty() || is_easy(config, &countable) {
        return Next::Done(Vec::new());
    }
    let mut missing = Vec::new();
    let mut scored = Vec::new();
    for (judged, _) in countable.iter().filter(|(_, correct)| !correct) {
        match score::next(scorer, question, judged, answers) {
            Next::Ask(work) => missing.extend(work),
            Next::Done(one) => scored.push(one),
            Next::Drop(reason) => return Next::Drop(reason),
        }
    }
    if !missing.is_empty() {
        return Next::Ask(missing);
    }
    let not_asked = scored.iter().filter_map(|one| one.result.as_ref().err()).find(|reason| reason.code == "not_asked");
    not_asked.map_or_else(|| Next::Done(scored.clone()), |reason| Next::Drop(reason.clone()))
}

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
    /// Sets the level by other edges.
    pub fn cut(&mut self, edges: &[f64; 4]) {
        if let (Ok(Level::Hard(_)), Some(score)) = (&self.level, self.score) {
            self.level = Ok(Level::Hard(level(edges, score)));
        }
    }

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

/// The attempts that count, each with whether it is correct.
fn countable<'a>(config: &Grade, probed: &'a Probed) -> Vec<(&'a Judged, bool)> {
    probed.attempts.iter().filter_map(|judged| counts(config, judged).map(|correct| (judged, correct))).collect()
}

fn pass_rate(countable: &[(&Judged, bool)]) -> f64 {
    countable.iter().filter(|(_, correct)| *correct).count() as f64 / countable.len() as f64
}

fn is_easy(config: &Grade, countable: &[(&Judged, bool)]) -> bool {
    let easy = match config.grader {
        Grader::FirstCorrect => Easy::FirstCorrect,
        Grader::PassRate => Easy::PassRate,
        Grader::Prm | Grader::Generative | Grader::Tests | Grader::Judge => config.easy,
    };
    match easy {
        Easy::FirstCorrect => countable.first().is_some_and(|(_, correct)| *correct),
        Easy::PassRate => pass_rate(countable) >= config.tau,
    }
}

/// Gives a probed question its level. `scored` are its wrong attempts with their scores, for the graders that ask a
/// model for them.
pub fn grade(config: &Grade, probed: &Probed, scored: &[Scored]) -> Graded {
    let attempts = &probed.attempts;
    let countable = countable(config, probed);
    let mut graded = Graded {
        level: Ok(Level::Easy),
        score: None,
        n_attempts: attempts.len() as u32,
        n_countable: countable.len() as u32,
        n_correct: countable.iter().filter(|(_, correct)| *correct).count() as u32,
        n_truncated: attempts.iter().filter(|judged| judged.is_truncated()).count() as u32,
        n_undecided: attempts.iter().filter(|judged| judged.outcome() == Some(Outcome::Undecided)).count() as u32,
    };
    if countable.is_empty() {
        let detail = format!(
            "of {} attempts {} were undecided, {} truncated, the rest failed",
            graded.n_attempts, graded.n_undecided, graded.n_truncated
        );
        graded.level = Err(Reason::new("no_countable_attempt", detail));
    } else if !is_easy(config, &countable) {
        match score(config, &countable, scored) {
            Ok(score) => {
                graded.score = Some(score);
                graded.level = Ok(Level::Hard(level(&config.edges, score)));
            }
            Err(reason) => graded.level = Err(reason),
        }
    }
    graded
}

/// The score of a question that is not easy, 0..1, or why it has none.
fn score(config: &Grade, countable: &[(&Judged, bool)], scored: &[Scored]) -> Result<f64, Reason> {
    match config.grader {
        Grader::FirstCorrect => Ok(tests_passed(countable).unwrap_or_else(|| pass_rate(countable))),
        Grader::PassRate => Ok(pass_rate(countable)),
        Grader::Tests => tests_passed(countable)
            .ok_or_else(|| Reason::new("no_tests", "no wrong attempt was run against unit tests")),
        Grader::Prm | Grader::Generative | Grader::Judge => mean_score(countable, scored),
    }
}

/// Mean over the wrong attempts that have a score.
fn mean_score(countable: &[(&Judged, bool)], scored: &[Scored]) -> Result<f64, Reason> {
    let scores: Vec<f64> =
        scored.iter().filter_map(|one| one.result.as_ref().ok()).map(score::Bounds::middle).collect();
    if !scores.is_empty() {
        return Ok(scores.iter().sum::<f64>() / scores.len() as f64);
    }
    let n_wrong = countable.iter().filter(|(_, correct)| !correct).count();
    let reason = scored.iter().find_map(|one| one.result.as_ref().err());
    Err(reason.map_or_else(
        || Reason::new("not_scored", "no wrong attempt was scored"),
        |reason| Reason::new(reason.code, format!("none of {n_wrong} wrong attempts has a score: {}", reason.detail)),
    ))
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
