//! What can the student solve? Asks it a number of times and has every attempt judged.

use std::ops::Range;

use crate::adaptive;
use crate::attempt::Source;
use crate::config::{Adaptive, Grade, OnTruncated};
use crate::grade::counts;
use crate::judge::{self, Judge, Judged, find};
use crate::prompt::Asker;
use crate::question::{Kind, Question};
use crate::work::{Answered, Next, Slot, Step};

/// How the student is probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Whom to ask, and how.
    pub asker: Asker,
    /// Attempts per question; the most, if `adaptive`.
    pub attempts: u32,
    /// When fewer are enough.
    pub adaptive: Option<Adaptive>,
    /// What attempts count, and which level they make: the rule that says when they are enough.
    pub grade: Grade,
    /// Limit of a second try at a truncated attempt.
    pub longer: Option<u32>,
    /// How attempts are judged.
    pub judge: Judge,
}

impl Probe {
    /// Whether a truncated attempt is asked once more, and with which limit.
    pub fn longer(config: &crate::config::Config) -> Option<u32> {
        (config.grade.on_truncated == OnTruncated::RetryLonger).then_some(config.probe.longer_max_tokens).flatten()
    }
}

/// The student's attempts at a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// In order; at least one was answered.
    pub attempts: Vec<Judged>,
}

/// What a question still needs, or its attempts. It leaves if no attempt at all was answered.
pub fn next(config: &Probe, question: &Question, answers: &[Answered]) -> Next<Probed> {
    let unasked = |attempts: Range<u32>| {
        let mut work = config.asker.ask(question, Source::Student, attempts);
        work.retain(|work| find(answers, work.slot).is_none());
        work
    };
    // A verdict by rules asks for nothing: it can wait until all attempts are there.
    if config.adaptive.is_none() && question.kind != Kind::Code && config.longer.is_none() {
        let missing = unasked(0..config.attempts);
        if !missing.is_empty() {
            return Next::Ask(missing);
        }
    }
    let mut missing = Vec::new();
    let mut attempts: Vec<Judged> = Vec::new();
    for attempt in 0..config.attempts {
        // Attempts behind the longest settled prefix are not looked at: they may not be needed.
        if let Some(adaptive) = &config.adaptive {
            let so_far: Vec<_> = attempts.iter().map(|judged| counts(&config.grade, judged)).collect();
            let n_left = config.attempts - attempt;
            if adaptive::is_enough(adaptive, &config.grade, &so_far, n_left) {
                break;
            }
            let certain = attempt + adaptive::n_certain(adaptive, &config.grade, &so_far, n_left);
            missing = unasked(attempt..certain);
        } else if attempt == 0 {
            missing = unasked(0..config.attempts);
        }
        match judged(config, question, attempt, answers) {
            Next::Done(judged) => attempts.push(judged),
            Next::Ask(work) => {
                missing.extend(work);
                if config.adaptive.is_some() {
                    break;
                }
            }
            Next::Drop(reason) => return Next::Drop(reason),
        }
    }
    if !missing.is_empty() {
        return Next::Ask(missing);
    }
    let failure = |only: Option<&str>| {
        attempts
            .iter()
            .filter_map(|judged| judged.result.as_ref().err())
            .find(|reason| only.is_none_or(|code| reason.code == code))
    };
    // A level from half of the attempts would be another level.
    if let Some(reason) = failure(Some("not_asked")) {
        return Next::Drop(reason.clone());
    }
    match failure(None) {
        Some(reason) if attempts.iter().all(|judged| judged.result.is_err()) => Next::Drop(reason.clone()),
        _ => Next::Done(Probed { attempts }),
    }
}

/// An attempt with its verdict, or what that needs beside the attempt itself.
fn judged(config: &Probe, question: &Question, attempt: u32, answers: &[Answered]) -> Next<Judged> {
    let slot = Slot { source: Source::Student, attempt, step: Step::Generate };
    let Some(answered) = find(answers, slot) else { return Next::Ask(Vec::new()) };
    let first = judge::next(&config.judge, question, slot, answered, answers);
    let (Some(longer), Next::Done(judged)) = (config.longer, &first) else { return first };
    if !judged.is_truncated() {
        return first;
    }
    match find(answers, Slot { step: Step::Longer, ..slot }) {
        Some(second) => judge::next(&config.judge, question, slot, second, answers),
        None => Next::Ask(vec![config.asker.ask_longer(question, Source::Student, attempt, longer)]),
    }
}
