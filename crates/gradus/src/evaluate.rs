//! How well does a model do on a benchmark? A benchmark is a bank: its questions are probed and judged as in a run,
//! and what the ledger then holds is counted.
//!
//! Counting stands in `figures`, the majority of a question's answers in `vote`, the order of options in `options`, two
//! models on the same questions in [`compare`].

use std::io;

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::derive::{Derived, derive, finish_name};
use crate::driver::{DriveError, Driver, Ended, Event, Observer, World};
use crate::judge::Judged;
use crate::ledger::LedgerError;
use crate::probe::{self, Probe};
use crate::question::Question;
use crate::work::{Answered, Next};
use figures::Tally;

pub mod compare;
mod figures;
mod options;
mod table;
mod vote;

pub use figures::{Curve, Group, Lengths, Majority, Score, Settings, Spread, Summary, VERSION};
pub use options::shuffle;
pub use table::markdown;

/// A bank put to a model.
pub struct Evaluation<'a, W> {
    /// Whom to ask, how often, how attempts are judged.
    pub probe: &'a Probe,
    /// Asks the world.
    pub driver: Driver<W>,
    /// Runs the driver.
    pub runtime: &'a Runtime,
    /// Hears of progress.
    pub observer: Observer<'a>,
}

/// One line of `verdicts.jsonl`: an attempt with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictLine {
    /// The id under which the bank knows the question: its first source id.
    pub question_id: String,
    /// The question's own id, which follows from its content: the `question_id` of the tables.
    pub content_id: String,
    /// Number of the attempt, from 0.
    pub attempt: u32,
    /// `correct`, `incorrect`, `no_answer` or `undecided`.
    pub verdict: String,
    /// The final answer (or the code) that was looked at.
    pub extracted: Option<String>,
    /// Which rule decided.
    pub method: String,
    /// Version of that rule's code.
    pub version: String,
    /// One sentence for a person.
    pub explanation: String,
    /// `math`, `choice`, `text` or `code`.
    pub kind: String,
    /// The bank's own level.
    pub level: Option<String>,
    /// Subject.
    pub subject: Option<String>,
    /// `stop`, `length`, `content_filter` or the server's own word.
    pub finish: String,
    /// Cut off at the token limit before a correct final answer.
    pub truncated: bool,
    /// Tokens written, thinking included, as the server counts them.
    pub completion_tokens: Option<u64>,
    /// Of these, tokens of thinking, where the server counts them apart.
    pub thinking_tokens: Option<u64>,
    /// Characters written, thinking included.
    pub characters: u64,
    /// Of these, characters of thinking.
    pub thinking_characters: u64,
    /// Id of the attempt: the first 16 hex digits of its key in the ledger.
    pub attempt_id: String,
}

/// What an evaluation came to.
#[derive(Debug)]
pub struct Evaluated {
    /// The figures; nothing is counted if it ended early.
    pub summary: Summary,
    /// Why it ended early.
    pub ended: Option<Ended>,
}

/// Why an evaluation could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError<E> {
    /// The ledger cannot be written or read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The questions cannot be read.
    #[error("{0}")]
    Questions(E),
    /// A verdict could not be handed on.
    #[error("{0}")]
    Lines(io::Error),
}

impl<E> From<DriveError<E>> for EvaluateError<E> {
    fn from(error: DriveError<E>) -> Self {
        match error {
            DriveError::Ledger(error) => Self::Ledger(error),
            DriveError::Questions(error) => Self::Questions(error),
        }
    }
}

impl<W: World> Evaluation<'_, W> {
    /// Asks for what the ledger lacks, then counts what it holds. `questions` are gone through twice, in bank order;
    /// each verdict goes to `line`.
    ///
    /// # Errors
    /// If ledger or questions cannot be read, or `line` fails.
    pub fn run<E, I: Iterator<Item = Result<Question, E>>>(
        mut self,
        settings: Settings,
        n_questions: u64,
        questions: impl Fn() -> I,
        mut line: impl FnMut(&VerdictLine) -> io::Result<()>,
    ) -> Result<Evaluated, EvaluateError<E>> {
        let (probe, observer) = (self.probe, self.observer);
        observer(Event::Begins(n_questions));
        let next = |question: &Question, answers: &[Answered]| {
            let next = probe::next(probe, question, answers);
            if let Next::Done(probed) = &next {
                probed.attempts.iter().filter_map(Judged::outcome).for_each(|told| observer(Event::Judged(told)));
            }
            next
        };
        let driven = self.driver.drive_on(self.runtime, questions(), next, observer)?;
        let mut tally = Tally::default();
        if driven.ended.is_some() {
            return Ok(Evaluated { summary: tally.summary(settings), ended: driven.ended });
        }
        let reader = self.driver.ledger.reader()?;
        reader.pin()?;
        for question in questions() {
            let question = question.map_err(EvaluateError::Questions)?;
            let next = |question: &Question, answers: &[Answered]| probe::next(probe, question, answers);
            match derive(&question, next, &reader, &driven.failures)? {
                Derived::Drop(reason) => tally.leave(&reason),
                Derived::Done(probed) => {
                    for judged in &probed.attempts {
                        if let Some(verdict) = verdict_line(&question, judged) {
                            line(&verdict).map_err(EvaluateError::Lines)?;
                            tally.attempt(&verdict);
                        }
                    }
                    tally.question(&question, &probed);
                }
            }
        }
        Ok(Evaluated { summary: tally.summary(settings), ended: None })
    }
}

fn verdict_line(question: &Question, judged: &Judged) -> Option<VerdictLine> {
    let (completion, verdict) = judged.result.as_ref().ok()?;
    let characters = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count() as u64);
    let thinking_characters = characters(&completion.reasoning);
    // Servers that do not count thinking apart often say 0.
    let counted = completion.usage.reasoning.filter(|tokens| *tokens > 0 || thinking_characters == 0);
    let nothing = (thinking_characters == 0 && completion.usage.completion.is_some()).then_some(0);
    Some(VerdictLine {
        question_id: question.source_ids[0].clone(),
        content_id: question.id.to_string(),
        attempt: judged.number,
        verdict: verdict.outcome.name().to_owned(),
        extracted: verdict.extracted.clone(),
        method: verdict.method.clone(),
        version: verdict.version.to_owned(),
        explanation: verdict.explanation.clone(),
        kind: question.kind.name().to_owned(),
        level: question.level.clone(),
        subject: question.subject.clone(),
        finish: finish_name(&completion.finish).to_owned(),
        truncated: judged.is_truncated(),
        completion_tokens: completion.usage.completion,
        thinking_tokens: counted.or(nothing),
        characters: thinking_characters + characters(&completion.answer),
        thinking_characters,
        attempt_id: judged.key.short(),
    })
}
