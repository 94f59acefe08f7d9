//! A chain of thought that was cut off is gone on with until it ends, or the rounds or tokens run out.
//!
//! Each part is a generation of its own, whose request holds what was written so far as the beginning of the answer.
//! Its reading is the whole text ([`crate::work::Generation::read`]), so the last part alone is judged.

use gradus_model::{Completion, Finish, Usage};

use crate::attempt::Key;
use crate::config::{self, CutOff};
use crate::judge::find;
use crate::prompt::Asker;
use crate::question::Question;
use crate::work::{Answered, Next, Outcome, Step};

/// How far a chain of thought is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Further {
    /// Most times.
    pub rounds: u32,
    /// Most tokens over all parts.
    pub max_total_tokens: Option<u32>,
}

impl Further {
    /// None if what was cut off stays as it came.
    pub fn of(config: &config::Distil) -> Option<Self> {
        (config.on_truncated == CutOff::Continue)
            .then_some(Self { rounds: config.max_rounds, max_total_tokens: config.max_total_tokens })
    }
}

/// A generation with what it was gone on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// The whole text with the tokens of all parts, under slot and key of the first.
    pub answered: Answered,
    /// Keys of the parts, in order.
    pub parts: Vec<Key>,
}

/// What a generation still needs to be whole, or the whole.
pub fn next(
    config: Option<&Further>,
    asker: &Asker,
    question: &Question,
    first: &Answered,
    answers: &[Answered],
) -> Next<Whole> {
    let mut whole = Whole { answered: first.clone(), parts: vec![first.key] };
    let Some(config) = config else { return Next::Done(whole) };
    for part in 1..=config.rounds {
        let Outcome::Completed(so_far) = &whole.answered.outcome else { break };
        if so_far.finish != Finish::Length {
            break;
        }
        let max_tokens = match config.max_total_tokens {
            None => asker.sampling.max_tokens,
            Some(most) => {
                // A server that counts nothing is taken to have written as much as it might.
                let most_written = u64::from(asker.sampling.max_tokens) * u64::from(part);
                let left = u64::from(most).saturating_sub(so_far.usage.completion.unwrap_or(most_written));
                asker.sampling.max_tokens.min(u32::try_from(left).unwrap_or(u32::MAX))
            }
        };
        if max_tokens == 0 {
            break;
        }
        let Some(answered) = find(answers, crate::work::Slot { step: Step::Further { part }, ..first.slot }) else {
            return Next::Ask(vec![asker.ask_further(question, first.slot, part, so_far, max_tokens)]);
        };
        match &answered.outcome {
            Outcome::Completed(longer) => {
                let grew = (&longer.reasoning, &longer.answer) != (&so_far.reasoning, &so_far.answer);
                let joined = Completion { usage: sum(&so_far.usage, &longer.usage), ..longer.clone() };
                whole.answered.outcome = Outcome::Completed(joined);
                whole.parts.push(answered.key);
                if !grew {
                    break;
                }
            }
            // It stays cut off.
            Outcome::Failed(reason) if matches!(reason.code, "context_too_long" | "content_filtered" | "refused") => {
                break;
            }
            // Not had in this run: asked for again in the next.
            Outcome::Failed(reason) => whole.answered.outcome = Outcome::Failed(reason.clone()),
            Outcome::Scored(_) | Outcome::Measured(_) | Outcome::Executed(_) => {
                unreachable!("a generation is answered by a completion")
            }
        }
    }
    Next::Done(whole)
}

/// Tokens of two parts; none where one of them is not known.
fn sum(one: &Usage, other: &Usage) -> Usage {
    let both = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
    Usage {
        prompt: both(one.prompt, other.prompt),
        cached: both(one.cached, other.cached),
        completion: both(one.completion, other.completion),
        reasoning: both(one.reasoning, other.reasoning),
    }
}
