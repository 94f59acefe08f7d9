//! What a stage can ask the world for, and what it can say about a question.

use std::sync::Arc;

use gradus_model::{Completion, Identity, Message, Sampling, Usage};
use gradus_sandbox::{Limits, Program, Tests};
use serde_json::{Map, Value, json};

use crate::attempt::{Key, Source};

/// What a stage says about one question.
#[derive(Debug, Clone, PartialEq)]
pub enum Next<Row> {
    /// It needs these; those already asked for may stand among them. Never empty.
    Ask(Vec<Work>),
    /// It is settled.
    Done(Row),
    /// The question leaves.
    Drop(Reason),
}

/// Why an item leaves, in a word for tables and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A fixed word, for counting.
    pub code: &'static str,
    /// What exactly, for this item.
    pub detail: String,
}

impl Reason {
    /// The code of what was never tried in this run.
    pub const NOT_ASKED: &str = "not_asked";

    /// Whether it was never tried in this run.
    pub fn is_not_asked(&self) -> bool {
        self.code == Self::NOT_ASKED
    }

    /// A reason with its detail.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Where an answer belongs among the answers of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Whose attempt.
    pub source: Source,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// What is done about it.
    pub step: Step,
}

/// The pieces of work an attempt can need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The generation itself.
    Generate,
    /// The same once more with a larger limit, because it was truncated.
    Longer,
    /// The run of its code.
    Execute,
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Where its answer belongs.
    pub slot: Slot,
    /// What is to be done.
    pub task: Task,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// A model writes.
    Generate(Arc<Generation>),
    /// The sandbox runs a program against tests.
    Execute(Arc<Execution>),
}

/// Tokens that a chat template may add to a prompt, in a worst case.
const TEMPLATE_TOKENS: u64 = 64;

impl Task {
    /// Most tokens that one request for this can use; none if no model is asked. The prompt is estimated: a token has
    /// seldom fewer than two bytes.
    pub fn worst_case(&self) -> Option<Usage> {
        match self {
            Self::Generate(generation) => {
                let bytes: usize = generation.messages.iter().map(|message| message.content.len()).sum();
                let prompt = bytes.div_ceil(2) as u64 + TEMPLATE_TOKENS;
                let completion = u64::from(generation.sampling.max_tokens);
                Some(Usage { prompt: Some(prompt), completion: Some(completion), ..Usage::default() })
            }
            Self::Execute(_) => None,
        }
    }
}

/// A generation, as far as it determines the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Which model.
    pub model: Identity,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// How to sample.
    pub sampling: Sampling,
    /// Further fields of the request body.
    pub extra: Map<String, Value>,
}

/// A run of a program against tests.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// What is run.
    pub program: Program,
    /// Against what.
    pub tests: Arc<Tests>,
    /// Under which limits.
    pub limits: Limits,
}

impl Generation {
    /// Everything that determines the answer but the number of the attempt, as one JSON object.
    pub fn payload(&self) -> Value {
        json!({
            "kind": "generation",
            "model": self.model.name,
            "revision": self.model.revision,
            "messages": self.messages,
            "sampling": self.sampling,
            "extra": self.extra,
        })
    }
}

impl Execution {
    /// Everything that determines the outcome.
    pub fn payload(&self) -> Value {
        json!({
            "kind": "execution",
            "runner": gradus_sandbox::VERSION,
            "language": self.program.language,
            "source": self.program.source,
            "tests": *self.tests,
            "limits": self.limits,
        })
    }
}

/// Keys of one piece of work: of its payload alone, and with the number of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keys {
    /// Hash of the payload, shared by all attempts at it.
    pub payload: Key,
    /// Hash of payload and attempt: the key in the ledger.
    pub attempt: Key,
}

impl Work {
    /// The payload and the keys of this work. An execution does not depend on the number of the attempt.
    pub fn keys(&self) -> (String, Keys) {
        let payload = match &self.task {
            Task::Generate(generation) => generation.payload(),
            Task::Execute(execution) => execution.payload(),
        };
        let payload = payload.to_string();
        let keys = self.keys_under(Key(*blake3::hash(payload.as_bytes()).as_bytes()));
        (payload, keys)
    }

    /// The keys of this work, given that of its payload.
    pub(crate) fn keys_under(&self, payload: Key) -> Keys {
        let attempt = match &self.task {
            Task::Generate(_) => self.slot.attempt,
            Task::Execute(_) => 0,
        };
        Keys { payload, attempt: Key(*attempt_key(&payload.0, attempt).as_bytes()) }
    }

    /// Whether this is another attempt at the very same generation. If not, the payloads may be equal all the same.
    pub(crate) fn shares_payload(&self, other: &Self) -> bool {
        match (&self.task, &other.task) {
            (Task::Generate(one), Task::Generate(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Key of an attempt at the payload with this hash.
pub(crate) fn attempt_key(payload: &[u8; 32], attempt: u32) -> blake3::Hash {
    blake3::keyed_hash(payload, &attempt.to_le_bytes())
}

impl Key {
    /// Seed sent with a generation, below 2^31: from what is asked and the attempt, never from the run.
    pub fn seed(&self) -> u64 {
        u64::from(u32::from_le_bytes(self.0[..4].try_into().expect("a key has 32 bytes")) >> 1)
    }
}

/// A settled piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Where it belongs.
    pub slot: Slot,
    /// Its key in the ledger.
    pub key: Key,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a piece of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The model wrote.
    Completed(Completion),
    /// The program was run.
    Executed(gradus_sandbox::Outcome),
    /// It cannot be had: the reason is final for this run.
    Failed(Reason),
}
