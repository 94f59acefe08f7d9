//! Everything that was paid for: one SQLite file that is written before anybody sees a result.
//!
//! [`Ledger::record`] returns after the transaction is durable (WAL, `synchronous=FULL`). Transactions are
//! grouped: up to [`GROUP_ROWS`] entries or [`GROUP_WAIT`], whichever comes first, so that a kill loses only
//! what was in flight and what sat in one such window. Bodies come compressed, so the writer does no work but
//! writing. What the tables hold can always be rebuilt from here; nothing here can be rebuilt.

mod audit;
mod store;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gradus_model::Wire;
use tokio::sync::oneshot;
use zstd::bulk::{Compressor, Decompressor};

pub use audit::{AttemptStats, Problem, ShowError, Shown, Stats, Try};
pub use store::{Merged, Reader};

use crate::attempt::Key;
use crate::work::Keys;
use store::Store;

/// Most entries in one transaction.
pub const GROUP_ROWS: usize = 64;
/// Longest time an entry waits for company.
pub const GROUP_WAIT: Duration = Duration::from_millis(20);
/// How long the writer sleeps while it waits for company.
const GROUP_NAP: Duration = Duration::from_millis(2);
/// Version of the file's layout.
pub const VERSION: i64 = 1;

/// Why the ledger could not be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// SQLite refused.
    #[error("ledger {path}: {source}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        source: Arc<rusqlite::Error>,
    },
    /// Written by a newer version of Gradus.
    #[error("ledger {path} has layout version {found}, this gradus knows up to {VERSION}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// A run has made the file and come no further.
    #[error("ledger {path} is empty: nothing was recorded in it yet")]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The file is an SQLite database, but no ledger, or a value in it cannot be read.
    #[error("ledger {path}: {message}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was expected, what was found.
        message: String,
    },
    /// Under a known name another model answers.
    #[error(
        "the model named `{name}` was `{recorded}` when this ledger was begun, and is `{found}` now: answers of two models would be mixed"
    )]
    ModelChanged {
        /// Name of the model.
        name: String,
        /// What identified it before.
        recorded: String,
        /// What identifies it now.
        found: String,
    },
    /// The writer is gone: an earlier write failed.
    #[error("the ledger's writer has stopped after an earlier error")]
    Stopped,
}

/// One try on the wire (or in the sandbox), with its result if it had one.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The try.
    pub request: Request,
    /// The attempt it settled; none for a failed try.
    pub attempt: Option<Settled>,
}

/// One try.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which piece of work.
    pub key: Key,
    /// Number of the try within this process, from 0.
    pub n_try: u32,
    /// When it began: milliseconds since 1970, UTC.
    pub started_ms: i64,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// Kind of the fault, or `ok`.
    pub fault: String,
    /// HTTP status, if any.
    pub status: Option<u16>,
    /// The fault's message, or empty.
    pub message: String,
    /// Tokens read, if told.
    pub prompt_tokens: Option<u64>,
    /// Tokens written, if told.
    pub completion_tokens: Option<u64>,
    /// US dollars, by the server or by the configured price.
    pub cost_usd: Option<f64>,
    /// What came with a fault, compressed.
    pub body: Option<Vec<u8>>,
}

/// The result of a piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Keys of the work.
    pub keys: Keys,
    /// `generation`, `scoring` or `execution`.
    pub kind: &'static str,
    /// Model name, or the language of a program.
    pub model: String,
    /// Revision of the model, or version of the runner.
    pub revision: String,
    /// Number of the attempt.
    pub number: u32,
    /// What was asked, as compressed JSON.
    pub payload: Vec<u8>,
    /// How `body` is to be read.
    pub form: Form,
    /// Why the generation ended, or a summary of the outcome.
    pub finish: String,
    /// The result, compressed.
    pub body: Vec<u8>,
    /// The first half of the hash of the uncompressed result.
    pub body_hash: [u8; 16],
}

/// How the body of a settled attempt is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A chat completion in one JSON object.
    ChatJson,
    /// Server-sent events of chat completion chunks.
    ChatSse,
    /// vLLM's answer of `/pooling`, in one JSON object.
    PoolingJson,
    /// A completion with log-probabilities of the prompt, in one JSON object.
    CompletionJson,
    /// Scores of steps as Gradus writes them, where no server spoke.
    ScoresJson,
    /// Scores of tokens as Gradus writes them, whoever gave them.
    TokensJson,
    /// The outcome of a sandbox run as JSON.
    Outcome,
    /// A refusal that will not change: `{"code", "detail"}`.
    Refusal,
}

impl Form {
    const ALL: [Self; 8] = [
        Self::ChatJson,
        Self::ChatSse,
        Self::PoolingJson,
        Self::CompletionJson,
        Self::ScoresJson,
        Self::TokensJson,
        Self::Outcome,
        Self::Refusal,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ChatJson => "chat_json",
            Self::ChatSse => "chat_sse",
            Self::PoolingJson => "pooling_json",
            Self::CompletionJson => "completion_json",
            Self::ScoresJson => "scores_json",
            Self::TokensJson => "tokens_json",
            Self::Outcome => "outcome",
            Self::Refusal => "refusal",
        }
    }
}

impl From<Wire> for Form {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::ChatJson => Self::ChatJson,
            Wire::ChatSse => Self::ChatSse,
            Wire::PoolingJson => Self::PoolingJson,
            Wire::CompletionJson => Self::CompletionJson,
            Wire::ScoresJson => Self::ScoresJson,
            Wire::TokensJson => Self::TokensJson,
        }
    }
}

impl Form {
    /// How a model's answer came; none if no model gave it.
    pub(crate) fn wire(self) -> Option<Wire> {
        match self {
            Self::ChatJson => Some(Wire::ChatJson),
            Self::ChatSse => Some(Wire::ChatSse),
            Self::PoolingJson => Some(Wire::PoolingJson),
            Self::CompletionJson => Some(Wire::CompletionJson),
            Self::ScoresJson => Some(Wire::ScoresJson),
            Self::TokensJson => Some(Wire::TokensJson),
            Self::Outcome | Self::Refusal => None,
        }
    }
}

/// A result as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// How to read the body.
    pub form: Form,
    /// The body, uncompressed.
    pub body: Vec<u8>,
}

/// Level of zstd for bodies.
const ZSTD_LEVEL: i32 = 3;
/// Longest body that is unpacked in one piece; one that claims to be longer grows as it goes, in bytes.
const ONE_PIECE: u64 = 1 << 28;

thread_local! {
    // A context is large and costs more to make than a short body costs to compress.
    static COMPRESSOR: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(ZSTD_LEVEL).expect("the level is one of zstd's"));
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("no dictionary is loaded"));
}

/// Compresses a body for the ledger. Call it off the writer.
pub fn compress(body: &[u8]) -> Vec<u8> {
    COMPRESSOR.with_borrow_mut(|zstd| zstd.compress(body)).expect("compressing to memory does not fail")
}

/// Undoes [`compress`].
fn decompress(body: &[u8]) -> io::Result<Vec<u8>> {
    match zstd::zstd_safe::get_frame_content_size(body) {
        Ok(Some(length)) if length <= ONE_PIECE => {
            DECOMPRESSOR.with_borrow_mut(|zstd| zstd.decompress(body, length as usize))
        }
        _ => zstd::stream::decode_all(body),
    }
}

/// Hash kept beside a body.
pub fn body_hash(body: &[u8]) -> [u8; 16] {
    blake3::hash(body).as_bytes()[..16].try_into().expect("a hash has 32 bytes")
}

/// An open ledger: one writer, and readers as needed.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    sender: Sender,
    writer: Option<JoinHandle<()>>,
}

type Ack = oneshot::Sender<Result<(), LedgerError>>;

#[derive(Debug)]
enum Sender {
    Thread(Option<mpsc::Sender<(Entry, Ack)>>),
    Task(tokio::sync::mpsc::UnboundedSender<(Entry, Ack)>, tokio::task::AbortHandle),
}

impl Ledger {
    /// Opens or creates a ledger, with its writer on a thread of its own.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut store = Store::open(path, store::Durability::Full)?;
        let (sender, receiver) = mpsc::channel::<(Entry, Ack)>();
        let writer = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || {
                while let Ok(first) = receiver.recv() {
                    let deadline = Instant::now() + GROUP_WAIT;
                    let mut group = vec![first];
                    while group.len() < GROUP_ROWS {
                        match receiver.try_recv() {
                            Ok(next) => group.push(next),
                            // Asleep, it need not be woken for each entry.
                            Err(mpsc::TryRecvError::Empty) => {
                                let left = deadline.saturating_duration_since(Instant::now());
                                if left.is_zero() {
                                    break;
                                }
                                std::thread::sleep(left.min(GROUP_NAP));
                            }
                            Err(mpsc::TryRecvError::Disconnected) => break,
                        }
                    }
                    commit(&mut store, group);
                }
            })
            .expect("a thread can be started");
        Ok(Self { path: path.to_owned(), sender: Sender::Thread(Some(sender)), writer: Some(writer) })
    }

    /// Opens a ledger whose writer is a task on the current runtime and obeys its (paused) clock; nothing is
    /// synced to disk. For the simulator: dropping it loses the open group, as a power cut would.
    pub fn simulated(path: &Path) -> Result<Self, LedgerError> {
        let mut store = Store::open(path, store::Durability::Off)?;
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<(Entry, Ack)>();
        let task = tokio::spawn(async move {
            while let Some(first) = receiver.recv().await {
                let deadline = tokio::time::Instant::now() + GROUP_WAIT;
                let mut group = vec![first];
                while group.len() < GROUP_ROWS {
                    let Ok(Some(next)) = tokio::time::timeout_at(deadline, receiver.recv()).await else { break };
                    group.push(next);
                }
                commit(&mut store, group);
            }
        });
        Ok(Self { path: path.to_owned(), sender: Sender::Task(sender, task.abort_handle()), writer: None })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a reader; it sees everything acknowledged before each call.
    pub fn reader(&self) -> Result<Reader, LedgerError> {
        Reader::open(&self.path)
    }

    /// Hands an entry to the writer. The receiver resolves once it is durable.
    pub fn record(&self, entry: Entry) -> oneshot::Receiver<Result<(), LedgerError>> {
        let (ack, acked) = oneshot::channel();
        // A writer that is gone drops `ack`, which the caller sees as a closed channel.
        match &self.sender {
            Sender::Thread(Some(sender)) => drop(sender.send((entry, ack))),
            Sender::Thread(None) => drop(ack),
            Sender::Task(sender, _) => drop(sender.send((entry, ack))),
        }
        acked
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        match &mut self.sender {
            Sender::Thread(sender) => drop(sender.take()),
            Sender::Task(_, task) => task.abort(),
        }
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has already failed every record it held.
            drop(writer.join());
        }
    }
}

fn commit(store: &mut Store, group: Vec<(Entry, Ack)>) {
    let (entries, acks): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    let result = store.commit(&entries);
    for ack in acks {
        // Nobody waits any more when the driver was dropped.
        drop(ack.send(result.clone()));
    }
}
