//! What a stage can ask the world for, and what it can say about a question.

use std::collections::BTreeMap;
use std::sync::Arc;

use gradus_model::{
    Completion, Fault, Identity, Local, Measure, Message, Raw, Sampling, Score, ScoreForm, Scores, Speaker,
    TokenScores, Usage,
};
use gradus_sandbox::{Language, Limits, Program, Tests};
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
    /// Further on from where it was cut off.
    Further {
        /// Which part of the whole, from 1; the first is the generation itself.
        part: u32,
    },
    /// The run of its code.
    Execute {
        /// Of the code in the second, longer text.
        longer: bool,
    },
    /// A judge's word on its answer.
    JudgeAnswer {
        /// On the answer in the second, longer text.
        longer: bool,
        /// Which try at a reply that can be read, from 0.
        n_try: u32,
    },
    /// The scoring of it.
    Score {
        /// Which step, from 0, where each is asked for by itself; else 0.
        part: u32,
        /// Which try at a reply that can be read, from 0.
        n_try: u32,
    },
    /// A judge's rating of it as a chain of thought.
    Rate {
        /// By the second judge.
        second: bool,
        /// What is asked for.
        what: Rated,
        /// Which rating of this kind, from 0.
        repeat: u8,
        /// Which try at a reply that can be read, from 0.
        n_try: u32,
    },
    /// The student's log-probabilities of it.
    Measure,
}

/// What a judge of a chain of thought is asked for in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rated {
    /// One score.
    Score(crate::config::Score),
    /// All scores.
    Joint,
    /// Whether the process is right.
    Process,
}

impl Slot {
    /// Who is asked for the work of this slot.
    pub fn asked(&self) -> Source {
        match self.step {
            Step::JudgeAnswer { .. } | Step::Rate { second: false, .. } => Source::Judge,
            Step::Rate { second: true, .. } => Source::SecondJudge,
            // A teacher's attempt is measured by the student.
            Step::Measure => Source::Measurer,
            _ => self.source,
        }
    }
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
    /// A model gives probabilities to the steps of an attempt.
    Score(Arc<Scoring>),
    /// A model tells how likely it finds the tokens of an attempt.
    Measure(Arc<Measuring>),
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
            Self::Score(scoring) => {
                let bytes = scoring.question.len() + scoring.steps.iter().map(String::len).sum::<usize>();
                let prompt = bytes.div_ceil(2) as u64 + TEMPLATE_TOKENS + scoring.steps.len() as u64;
                // One token is written where labels are.
                Some(Usage { prompt: Some(prompt), completion: Some(1), ..Usage::default() })
            }
            Self::Measure(measuring) => {
                let asked: usize = measuring.messages.iter().map(|message| message.content.len()).sum();
                let tokens = |bytes: usize| bytes.div_ceil(2) as u64 + TEMPLATE_TOKENS;
                let whole = tokens(asked + measuring.completion.len());
                let windows = measuring.windows().map(|bytes| tokens(asked + bytes));
                let (n, prompt) = windows.fold((1, whole), |(n, sum), more| (n + 1, sum + more));
                // One token is written for each text that is read.
                Some(Usage { prompt: Some(prompt), completion: Some(n), ..Usage::default() })
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

/// A scoring of steps, as far as it determines the scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Scoring {
    /// Which model.
    pub model: Identity,
    /// How it is asked.
    pub form: ScoreForm,
    /// What was to be answered.
    pub question: String,
    /// The steps of the attempt; where a form scores one step at a time, up to that step.
    pub steps: Vec<String>,
    /// Further fields of the request body.
    pub extra: Map<String, Value>,
}

/// A measurement of a text, as far as it determines the scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Measuring {
    /// Which model.
    pub model: Identity,
    /// The asking side.
    pub messages: Vec<Message>,
    /// What is measured: the assistant's turn, as it would be trained on.
    pub completion: String,
    /// How it is cut into steps, if these are measured in windows too.
    pub local: Option<Local>,
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
    /// How it is built and run: the entries of its language and of its checker's, none for Python.
    pub entries: BTreeMap<String, Language>,
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

/// Field that asks a server to go on with the last message.
pub(crate) const GO_ON: &str = "continue_final_message";

impl Generation {
    /// The text that it goes on from, if it does.
    pub fn goes_on_from(&self) -> Option<&str> {
        let last = self.messages.last().filter(|message| message.role == Speaker::Assistant)?;
        (self.extra.get(GO_ON) == Some(&Value::Bool(true))).then_some(last.content.as_str())
    }

    /// Reads the answer: where it goes on from a text, the whole.
    ///
    /// # Errors
    /// As [`Raw::read`].
    pub fn read(&self, raw: &Raw) -> Result<Completion, Fault> {
        raw.read_after(self.goes_on_from().unwrap_or_default())
    }
}

impl Scoring {
    /// What the model is asked; the caller adds for whom and under which id.
    pub fn request(&self) -> Score {
        Score {
            form: self.form.clone(),
            question: self.question.clone(),
            steps: self.steps.clone(),
            extra: self.extra.clone(),
            request_id: String::new(),
            source_ids: Arc::new([]),
            attempt: 0,
        }
    }

    /// Everything that determines the scores.
    pub fn payload(&self) -> Value {
        json!({
            "kind": "scoring",
            "model": self.model.name,
            "revision": self.model.revision,
            "form": self.form,
            "question": self.question,
            "steps": self.steps,
            "extra": self.extra,
        })
    }
}

impl Measuring {
    /// What the model is asked; the caller adds under which id.
    pub fn request(&self) -> Measure {
        Measure {
            messages: self.messages.clone(),
            completion: self.completion.clone(),
            local: self.local.clone(),
            extra: self.extra.clone(),
            request_id: String::new(),
        }
    }

    /// How many steps are measured in windows; none if that is not asked for.
    pub fn n_steps(&self) -> Option<usize> {
        self.local.as_ref().map(|local| local.ends.len())
    }

    /// Bytes of the completion in each window.
    pub(crate) fn windows(&self) -> impl Iterator<Item = usize> {
        let local = self.local.iter();
        local.flat_map(|local| {
            let first =
                move |at: usize| at.checked_sub(local.context as usize + 1).map_or(0, |before| local.ends[before]);
            local.ends.iter().enumerate().map(move |(at, end)| end - first(at))
        })
    }

    /// Everything that determines the scores.
    pub fn payload(&self) -> Value {
        json!({
            "kind": "measuring",
            "model": self.model.name,
            "revision": self.model.revision,
            "messages": self.messages,
            "completion": self.completion,
            "local": self.local,
            "extra": self.extra,
        })
    }
}

impl Execution {
    /// Everything that determines the outcome.
    pub fn payload(&self) -> Value {
        let mut payload = json!({
            "kind": "execution",
            "runner": gradus_sandbox::VERSION,
            "language": self.program.language,
            "source": self.program.source,
            "tests": *self.tests,
            "limits": self.limits,
        });
        if !self.entries.is_empty() {
            payload["languages"] = json!(self.entries);
        }
        payload
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
    /// The payload and the keys of this work.
    pub fn keys(&self) -> (String, Keys) {
        let payload = match &self.task {
            Task::Generate(generation) => generation.payload(),
            Task::Score(scoring) => scoring.payload(),
            Task::Measure(measuring) => measuring.payload(),
            Task::Execute(execution) => execution.payload(),
        };
        let payload = payload.to_string();
        let keys = self.keys_under(Key(*blake3::hash(payload.as_bytes()).as_bytes()));
        (payload, keys)
    }

    /// The keys of this work, given that of its payload.
    pub(crate) fn keys_under(&self, payload: Key) -> Keys {
        Keys { payload, attempt: Key(*attempt_key(&payload.0, self.number()).as_bytes()) }
    }

    /// The number in the key: which answer to the payload this is. Scorings, measurements and executions have one answer. A
    /// generation that scores an attempt holds that attempt in its payload, and counts its own tries.
    pub(crate) fn number(&self) -> u32 {
        match (&self.task, self.slot.step) {
            (Task::Generate(_), Step::Score { n_try, .. } | Step::JudgeAnswer { n_try, .. }) => n_try,
            // More ratings or more tries leave the keys of those before as they are.
            (Task::Generate(_), Step::Rate { repeat, n_try, .. }) => n_try << 8 | u32::from(repeat),
            (Task::Generate(_), _) => self.slot.attempt,
            (Task::Score(_) | Task::Measure(_) | Task::Execute(_), _) => 0,
        }
    }

    /// What it is for, in the ledger: `generation`, `scoring` (in words and by the student too) or `execution`.
    pub(crate) fn kind(&self) -> &'static str {
        match (&self.task, self.slot.step) {
            (Task::Score(_) | Task::Measure(_), _)
            | (_, Step::Score { .. } | Step::JudgeAnswer { .. } | Step::Rate { .. }) => "scoring",
            (Task::Generate(_), _) => "generation",
            (Task::Execute(_), _) => "execution",
        }
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
    /// The model gave scores.
    Scored(Scores),
    /// The model told how likely it finds a text.
    Measured(TokenScores),
    /// The program was run.
    Executed(gradus_sandbox::Outcome),
    /// It cannot be had: the reason is final for this run.
    Failed(Reason),
}
