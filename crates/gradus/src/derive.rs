//! What a stage says about a question, from the ledger alone: nobody is asked.

use gradus_model::{Finish, Raw};
use serde_json::json;

use crate::attempt::Key;
use crate::driver::{Failures, answer};
use crate::ledger::{Form, LedgerError, Reader, Stored};
use crate::question::Question;
use crate::work::{Answered, Next, Outcome, Reason, Task, Work};

/// What a stage says in the end.
#[derive(Debug, Clone, PartialEq)]
pub enum Derived<Row> {
    /// The question is settled.
    Done(Row),
    /// The question leaves.
    Drop(Reason),
}

/// Calls the stage with what the ledger holds. Work that is not there counts as failed, for the reason the
/// drive gave.
pub fn derive<Row>(
    question: &Question,
    next: impl Fn(&Question, &[Answered]) -> Next<Row>,
    reader: &Reader,
    failures: &Failures,
) -> Result<Derived<Row>, LedgerError> {
    let mut answers = Vec::new();
    loop {
        match next(question, &answers) {
            Next::Done(row) => return Ok(Derived::Done(row)),
            Next::Drop(reason) => return Ok(Derived::Drop(reason)),
            Next::Ask(work) => {
                let n_answers = answers.len();
                resolve(work, &mut answers, reader, |key| Some(Outcome::Failed(failures.reason(key))))?;
                assert!(answers.len() > n_answers, "a stage asks only for what it has not got yet");
            }
        }
    }
}

/// The work a stage would have to ask for next, given what the ledger holds: empty if it needs nothing. `answers` are
/// what is assumed beside, and take in what the ledger had.
pub(crate) fn missing<Row>(
    question: &Question,
    next: impl Fn(&Question, &[Answered]) -> Next<Row>,
    reader: Option<&Reader>,
    answers: &mut Vec<Answered>,
) -> Result<Vec<Work>, LedgerError> {
    loop {
        let Next::Ask(work) = next(question, answers) else { return Ok(Vec::new()) };
        let n_answers = answers.len();
        let missing = match reader {
            Some(reader) => resolve(work, answers, reader, |_| None)?,
            None => work.into_iter().filter(|work| answers.iter().all(|known| known.slot != work.slot)).collect(),
        };
        if answers.len() == n_answers {
            return Ok(missing);
        }
    }
}

/// Adds the answers to this work, as far as they are known; gives back the rest.
fn resolve(
    work: Vec<Work>,
    answers: &mut Vec<Answered>,
    reader: &Reader,
    otherwise: impl Fn(&Key) -> Option<Outcome>,
) -> Result<Vec<Work>, LedgerError> {
    let mut missing = Vec::new();
    let mut last: Option<(Work, Key)> = None;
    for work in work {
        if answers.iter().any(|answered| answered.slot == work.slot) {
            continue;
        }
        let payload = match &last {
            Some((other, payload)) if other.shares_payload(&work) => *payload,
            _ => work.keys().1.payload,
        };
        let key = work.keys_under(payload).attempt;
        last = Some((work.clone(), payload));
        let outcome = match reader.get(&key)? {
            Some(stored) => Some(read(&stored, &work.task)),
            None => otherwise(&key),
        };
        match outcome {
            Some(outcome) => answer(answers, Answered { slot: work.slot, key, outcome }),
            None => missing.push(work),
        }
    }
    Ok(missing)
}

/// Reads the result of a task out of the ledger with today's parsers.
pub fn read(stored: &Stored, task: &Task) -> Outcome {
    let unreadable = |message: String| Outcome::Failed(Reason::new("unreadable", message));
    let Some(wire) = stored.form.wire() else {
        return match (stored.form, serde_json::from_slice(&stored.body)) {
            (Form::Refusal, _) => Outcome::Failed(read_refusal(&stored.body)),
            (_, Ok(outcome)) => Outcome::Executed(outcome),
            (_, Err(error)) => unreadable(error.to_string()),
        };
    };
    let raw = Raw { wire, body: stored.body.clone().into() };
    let outcome = match task {
        Task::Score(scoring) => raw.read_scores(&scoring.form, scoring.steps.len()).map(Outcome::Scored),
        Task::Measure(measuring) => raw.read_tokens(measuring.n_steps()).map(Outcome::Measured),
        Task::Generate(generation) => generation.read(&raw).map(Outcome::Completed),
        Task::Execute(_) => raw.read().map(Outcome::Completed),
    };
    outcome.unwrap_or_else(|fault| unreadable(fault.message))
}

/// Under which name a model gave this result, if it said so.
pub fn returned_name(stored: &Stored) -> Option<String> {
    let raw = Raw { wire: stored.form.wire()?, body: stored.body.clone().into() };
    if let Ok(completion) = raw.read() {
        return completion.model;
    }
    let body: serde_json::Value = serde_json::from_slice(&stored.body).ok()?;
    body["model"].as_str().map(str::to_owned)
}

/// A final refusal as it stands in the ledger.
pub(crate) fn refusal(reason: &Reason) -> Vec<u8> {
    json!({"code": reason.code, "detail": reason.detail}).to_string().into_bytes()
}

fn read_refusal(body: &[u8]) -> Reason {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let detail = value["detail"].as_str().unwrap_or_default().to_owned();
    let code = match value["code"].as_str() {
        Some("context_too_long") => "context_too_long",
        Some("content_filtered") => "content_filtered",
        _ => "refused",
    };
    Reason { code, detail }
}

/// Name of a finish reason in tables and ledger.
pub fn finish_name(finish: &Finish) -> &str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ContentFilter => "content_filter",
        Finish::Other(other) => other,
    }
}
