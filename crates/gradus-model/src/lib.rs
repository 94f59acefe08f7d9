//! What does the model say? Asks models: OpenAI-compatible endpoints, recorded answers, a mock server.
//!
//! The only crate that opens a socket to a model. An answer is handed out as the bytes that came
//! ([`Raw`]), so that they can be stored before anybody parses them; [`Raw::read`] makes a
//! [`Completion`] of them, the one normal form of every server's dialect.

pub mod capability;
pub mod chat;
mod fault;
pub mod fetch;
pub mod limit;
pub mod measure;
pub mod mock;
pub mod name;
pub mod openai;
pub mod pool;
pub mod price;
mod read;
pub mod replay;
pub mod score;
pub mod think;
mod zeroeval;

use std::sync::Arc;
use std::time::Duration;

use crate::capability::Capabilities;
pub use crate::measure::{Local, Measure, TokenScores};
pub use crate::score::{Score, ScoreForm, Scores, StepScore};

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// Instructions ahead of the conversation.
    System,
    /// The asking side.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Speaker,
    /// What is said.
    pub content: String,
}

/// Sampling settings. Every field is sent explicitly, because servers have defaults of their own.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// Nucleus, 0..=1.
    pub top_p: f64,
    /// Highest-ranked tokens kept; `None` means the field is not sent (OpenAI refuses it).
    pub top_k: Option<u32>,
    /// Least probability relative to the best token; `None` means the field is not sent.
    pub min_p: Option<f64>,
    /// Most tokens to write.
    pub max_tokens: u32,
    /// Texts that end a generation.
    pub stop: Vec<String>,
}

/// One generation to ask for.
#[derive(Debug, Clone)]
pub struct Generate {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// How to sample.
    pub sampling: Sampling,
    /// Seed sent with the request, below 2^31; derived from content and attempt, never from the clock.
    pub seed: u64,
    /// Further fields of the request body, as the user's config gives them.
    pub extra: serde_json::Map<String, serde_json::Value>,
    /// Id of the attempt in the ledger; sent as `X-Request-Id`.
    pub request_id: String,
    /// For which question this is asked: every source id it has. Only replay looks at it.
    pub source_ids: Arc<[String]>,
    /// Which attempt of that question this is, from 0. Only replay looks at it.
    pub attempt: u32,
}

/// How the bytes of an answer are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// One chat-completion JSON object (perhaps after blank keep-alive lines).
    ChatJson,
    /// Server-sent events of chat-completion chunks.
    ChatSse,
    /// One JSON object of vLLM's `/pooling`.
    PoolingJson,
    /// One JSON object of a completion with log-probabilities of the prompt.
    CompletionJson,
    /// Scores as this crate writes them itself: replay, the embedded engine.
    ScoresJson,
    /// Scores of tokens as this crate writes them itself, whoever gave them.
    TokensJson,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// How to read the bytes.
    pub wire: Wire,
    /// The bytes of the response body.
    pub body: bytes::Bytes,
}

/// Why a generation ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Finish {
    /// By itself.
    Stop,
    /// At the token limit: a result, not a fault.
    Length,
    /// Stopped by a filter.
    ContentFilter,
    /// Any other word.
    Other(String),
}

/// Token counts as far as the server tells them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub prompt: Option<u64>,
    /// Tokens read that came from a cache.
    pub cached: Option<u64>,
    /// Tokens written, reasoning included.
    pub completion: Option<u64>,
    /// Tokens of reasoning, as the server counts them (often 0 or absent).
    pub reasoning: Option<u64>,
}

/// One answer in normal form.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The thinking part, from whichever field or tag it came.
    pub reasoning: Option<String>,
    /// The part after the thinking; `None` if thinking never ended.
    pub answer: Option<String>,
    /// Why it ended.
    pub finish: Finish,
    /// Token counts.
    pub usage: Usage,
    /// Cost as the server reports it, in US dollars.
    pub cost_usd: Option<f64>,
    /// Model name in the response.
    pub model: Option<String>,
}

/// What kind of failure a try was; decides whether it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Connection, timeout, 408/409/5xx, cut stream, garbage in a 200: try again.
    Transient,
    /// 429 or overload: wait, then try again.
    RateLimited,
    /// Money or quota is used up: stop the run.
    Quota,
    /// Key missing or refused: stop the run.
    Auth,
    /// The server does not know the model: stop the run.
    ModelNotFound,
    /// This prompt is too long for the model: this attempt will never succeed.
    ContextTooLong,
    /// Refused by a filter: this attempt will never succeed.
    ContentFiltered,
    /// The server refuses the request for another reason: this attempt will never succeed.
    BadRequest,
    /// A replay holds no answer for this question and attempt.
    NotRecorded,
    /// Nothing was sent: the model was told to begin nothing more ([`Model::wind_down`]).
    Stopped,
}

/// A failed try.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// What was expected and what was found; never holds a secret.
    pub message: String,
    /// HTTP status, if there was a response.
    pub status: Option<u16>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// What came, if anything: it may have been paid for.
    pub body: Option<bytes::Bytes>,
}

/// What a model is called in keys: the same for all replicas, wherever they run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Model name as in the request.
    pub name: String,
    /// Revision, file hash or other mark of the very weights, if known; else empty.
    pub revision: String,
}

/// What a server says about the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Info {
    /// Kind of server as far as can be told: `vllm`, `sglang`, `llama.cpp`, `replay`, `gguf`, `gradus-mock`, or empty.
    pub server: String,
    /// Names of the models it serves.
    pub served: Vec<String>,
    /// Longest context in tokens.
    pub context: Option<u32>,
    /// What identifies the weights behind the name (`root` of /v1/models, llama.cpp's model path): changes when another model is served under the same name.
    pub fingerprint: Option<String>,
    /// How many requests it works on at once (llama.cpp's slots).
    pub slots: Option<u32>,
}

/// A model that can be asked.
#[async_trait::async_trait]
pub trait Model: Send + Sync {
    /// What it is called in keys.
    fn identity(&self) -> &Identity;

    /// What the server says about it; opens a connection.
    async fn info(&self) -> Result<Info, Fault>;

    /// One try of one generation. No retries: the driver does those and records each try.
    /// Waits for the endpoint's own concurrency and rate limits. What it gives, [`Raw::read`] accepts;
    /// what cannot be read comes as the body of a [`Fault`].
    async fn generate(&self, request: &Generate) -> Result<Raw, Fault>;

    /// [`Model::generate`], and what the answer says.
    async fn answer(&self, request: &Generate) -> Result<(Raw, Completion), Fault> {
        let raw = self.generate(request).await?;
        let completion = raw.read()?;
        Ok((raw, completion))
    }

    /// One try of one scoring, as [`Model::generate`] is of a generation. What it gives,
    /// [`Raw::read_scores`] accepts.
    async fn score(&self, _request: &Score) -> Result<Raw, Fault> {
        Err(Fault::new(FaultKind::BadRequest, format!("`{}` cannot score steps", self.identity().name)))
    }

    /// One try of one measurement, as [`Model::generate`] is of a generation. What it gives,
    /// [`Raw::read_tokens`] accepts.
    async fn measure(&self, _request: &Measure) -> Result<Raw, Fault> {
        Err(Fault::new(FaultKind::BadRequest, format!("`{}` cannot measure texts", self.identity().name)))
    }

    /// What it can do beside plain generations, found out with [`Capabilities::N_REQUESTS`] tiny requests, which
    /// an endpoint may charge for.
    async fn capabilities(&self) -> Result<Capabilities, Fault> {
        Err(Fault::new(
            FaultKind::BadRequest,
            format!("`{}` is no endpoint that could be probed", self.identity().name),
        ))
    }

    /// Tokens of a text in this model's tokenizer, if it can count them cheaply and offline.
    fn n_tokens(&self, _text: &str) -> Option<usize> {
        None
    }

    /// Begins nothing more: what still waits for its turn fails with [`FaultKind::Stopped`], what is on its way comes to
    /// its end. For models where nothing waits, nothing.
    fn wind_down(&self) {}

    /// The recording that it answers from, if it is one.
    fn recording(&self) -> Option<&replay::Replay> {
        None
    }
}
