//! What can the student solve? Asks it a number of times and has every attempt judged.

use crate::attempt::Source;
use crate::config::OnTruncated;
use crate::judge::{self, Judge, Judged, find};
use crate::prompt::Asker;
use crate::question::{Kind, Question};
use crate::work::{Answered, Next, Slot, Step};

/// How the student is probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Whom to ask, and how.
    pub asker: Asker,
    /// Attempts per question.
    pub attempts: u32,
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
    let slot = |attempt| Slot { source: Source::Student, attempt, step: Step::Generate };
    let unasked = (0..config.attempts).any(|attempt| find(answers, slot(attempt)).is_none());
    let mut missing =
        if unasked { config.asker.ask(question, Source::Student, 0..config.attempts) } else { Vec::new() };
    missing.retain(|work| find(answers, work.slot).is_none());
    // A verdict by rules asks for nothing: it can wait until all attempts are there.
    if unasked && question.kind != Kind::Code && config.longer.is_none() {
        return Next::Ask(missing);
    }
    let mut attempts = Vec::new();
    for attempt in 0..config.attempts {
        let slot = slot(attempt);
        let Some(mut answered) = find(answers, slot) else { continue };
        let mut judged = judge::next(&config.judge, question, slot, answered, answers);
        if let (Some(longer), Next::Done(first)) = (config.longer, &judged)
            && first.is_truncated()
        {
            let Some(second) = find(answers, Slot { step: Step::Longer, ..slot }) else {
                missing.push(config.asker.ask_longer(question, Source::Student, attempt, longer));
                continue;
            };
            answered = second;
            judged = judge::next(&config.judge, question, slot, answered, answers);
        }
        match judged {
            Next::Done(judged) => attempts.push(judged),
            Next::Ask(work) => missing.extend(work),
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
