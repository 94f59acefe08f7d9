//! A model in this process that can be asked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use gradus_model::capability::{Capabilities, Support};
use gradus_model::{Fault, FaultKind, Generate, Identity, Info, Measure, Message, Model, Raw, Score, Wire};
use gradus_template::Template;
use tokio::sync::oneshot;

use crate::Error;
use crate::batch::{Batch, Job, Limits, Scoring, Watching, Writing, Written};
use crate::chat;
use crate::folder::{self, Folder};
use crate::gguf::Gguf;
use crate::kernel::Isa;
use crate::matrix::{Precision, Workers};
use crate::structured::Schema;
use crate::tokenizer::Tokenizer;
use crate::transformer::Transformer;

/// How to run a model.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// What the model is called; the name in the file if absent, else the file's.
    pub name: Option<String>,
    /// Threads that compute.
    pub n_threads: usize,
    /// Sequences worked on at once.
    pub n_sequences: usize,
    /// Longest context in tokens; the model's own if that is less.
    pub n_context: usize,
    /// Bytes for keys and values of all sequences and kept prompts (one sequence may always run).
    pub n_cache_bytes: u64,
    /// Form of the weights.
    pub precision: Precision,
    /// Instruction set of the kernels; changes the speed and nothing else.
    pub isa: Isa,
}

impl Default for EngineConfig {
    /// All cores, 32 sequences, 32,768 tokens of context, 2 GiB of keys and values, 8-bit weights.
    fn default() -> Self {
        Self {
            name: None,
            n_threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n_sequences: 32,
            n_context: 32_768,
            n_cache_bytes: 2 << 30,
            precision: Precision::Q8,
            isa: Isa::best(),
        }
    }
}

/// A token of a text and what the model thought of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenScore {
    /// The token.
    pub token: u32,
    /// Nothing for the first token, which follows nothing.
    pub measured: Option<Measured>,
}

/// How likely a token was after those before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Natural logarithm of its probability at temperature 1.
    pub logprob: f32,
    /// 1 if no token was likelier.
    pub rank: u32,
    /// The likeliest token.
    pub likeliest: u32,
}

/// A loaded model and the thread that runs it. The thread ends when this is dropped.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    info: Info,
    n_context: usize,
    tokenizer: Arc<Tokenizer>,
    template: Option<Template>,
    jobs: mpsc::Sender<Job>,
    /// Set when nothing more is to be begun.
    closing: Arc<AtomicBool>,
}

impl Engine {
    /// Loads a GGUF file, or a folder of safetensors. Takes some five seconds per gigabyte and core; everything is read,
    /// hashed and repacked.
    ///
    /// # Errors
    /// If a file is unreadable, broken, or of a kind that is not supported.
    pub fn load(path: &Path, config: &EngineConfig) -> Result<Self, Error> {
        let Opened { gguf, tokenizer, template, files } = Opened::open(path)?;
        let tokenizer = Arc::new(tokenizer);
        let transformer = Transformer::load(&gguf, config.precision, config.isa)?;
        if transformer.shape.n_vocabulary != tokenizer.n_tokens() {
            return Err(gguf.bad(format!(
                "the vocabulary has {} tokens, the weights are for {}",
                tokenizer.n_tokens(),
                transformer.shape.n_vocabulary
            )));
        }
        let name = config.name.clone().unwrap_or_else(|| chat::name(&gguf));
        let hash = hash(&files)?;
        let mark = match (gguf.is_folder(), config.precision) {
            (false, Precision::Q8) => "gguf",
            (false, Precision::F32) => "gguf-f32",
            (true, Precision::Q8) => "safetensors",
            (true, Precision::F32) => "safetensors-f32",
        };
        let identity = Identity { name, revision: format!("{mark}:{}", &hash[..16]) };
        let n_context = transformer.shape.n_context.min(config.n_context).max(2);
        let info = Info {
            server: "gguf".into(),
            served: vec![identity.name.clone()],
            context: Some(n_context as u32),
            fingerprint: Some(identity.revision.clone()),
            slots: Some(config.n_sequences.max(1) as u32),
        };
        let limits = Limits {
            n_sequences: config.n_sequences.max(1),
            n_tokens: (config.n_cache_bytes / transformer.shape.n_cache_bytes() as u64) as usize,
        };
        let workers = Workers::new(config.n_threads)?;
        let closing = Arc::new(AtomicBool::new(false));
        let batch = Batch::new(transformer, Arc::clone(&tokenizer), workers, config.isa, limits, closing.clone());
        let (jobs, receiver) = mpsc::channel();
        std::thread::Builder::new()
            .name("gguf".into())
            .spawn(move || batch.run(&receiver))
            .map_err(|error| Error::Threads(error.to_string()))?;
        Ok(Self { identity, info, n_context, tokenizer, template, jobs, closing })
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The prompt that asks for the assistant's next message, by the model's own chat template.
    ///
    /// # Errors
    /// If the file has no template, or the template refuses the conversation.
    pub fn render(&self, messages: &[Message]) -> Result<String, Fault> {
        let Some(template) = &self.template else {
            return Err(fault(FaultKind::BadRequest, "the model's file has no chat template".into()));
        };
        template
            .render(messages, true)
            .map_err(|error| fault(FaultKind::BadRequest, format!("the model's chat template: {error:#}")))
    }

    /// How likely each token was after those before it.
    ///
    /// # Errors
    /// If there are no tokens, unknown ones, or more than the context holds.
    pub async fn prompt_logprobs(&self, tokens: &[u32]) -> Result<Vec<TokenScore>, Fault> {
        if tokens.is_empty() || tokens.iter().any(|&token| token as usize >= self.tokenizer.n_tokens()) {
            return Err(fault(FaultKind::BadRequest, "there are no tokens or unknown ones".into()));
        }
        if tokens.len() > self.n_context {
            return Err(self.too_long(tokens.len()));
        }
        let mut scores = vec![TokenScore { token: tokens[0], measured: None }];
        if tokens.len() > 1 {
            scores.extend(self.measured(tokens.to_vec(), 1)?.await.map_err(|_| self.gone())?);
        }
        Ok(scores)
    }

    /// The scores of known tokens from one of them on, when they will be there: at least 1, less than their number,
    /// which fits the context.
    pub(crate) fn measured(&self, tokens: Vec<u32>, from: usize) -> Result<oneshot::Receiver<Vec<TokenScore>>, Fault> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Score(Scoring { tokens, from, reply }))?;
        Ok(answer)
    }

    /// ln of the probabilities of the watched tokens behind some of the tokens, at temperature 1: a row for each place.
    pub(crate) async fn watch(
        &self,
        tokens: Vec<u32>,
        places: Vec<usize>,
        watched: Vec<u32>,
    ) -> Result<Vec<Vec<f32>>, Fault> {
        if tokens.len() > self.n_context {
            return Err(self.too_long(tokens.len()));
        }
        let (reply, answer) = oneshot::channel();
        self.send(Job::Watch(Watching { tokens, places, watched, reply }))?;
        let rows = answer.await.map_err(|_| self.gone())?;
        if rows.iter().flatten().any(|logprob| logprob.is_nan()) {
            return Err(self.broken());
        }
        Ok(rows)
    }

    pub(crate) fn broken(&self) -> Fault {
        let message = format!("the logits of `{}` are not finite: its weights are broken", self.identity.name);
        fault(FaultKind::BadRequest, message)
    }

    /// Why a job was dropped. If not because nothing more is to be begun, its thread is gone, which only a bug can bring
    /// about: nothing that is asked now will ever be answered.
    pub(crate) fn gone(&self) -> Fault {
        if self.closing.load(Ordering::Relaxed) {
            fault(FaultKind::Stopped, "not begun: nothing more is begun".into())
        } else {
            fault(FaultKind::ModelNotFound, "the embedded engine has stopped working".into())
        }
    }

    fn send(&self, job: Job) -> Result<(), Fault> {
        self.jobs.send(job).map_err(|_| self.gone())
    }

    pub(crate) fn name(&self) -> &str {
        &self.identity.name
    }

    pub(crate) fn n_context(&self) -> usize {
        self.n_context
    }

    pub(crate) fn too_long(&self, n: usize) -> Fault {
        fault(
            FaultKind::ContextTooLong,
            format!("the prompt has {n} tokens, the context of `{}` {}", self.identity.name, self.n_context),
        )
    }
}

#[async_trait::async_trait]
impl Model for Engine {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn info(&self) -> Result<Info, Fault> {
        Ok(self.info.clone())
    }

    /// The same request gives the same bytes, whatever else is worked on.
    async fn generate(&self, request: &Generate) -> Result<Raw, Fault> {
        let schema = self.schema(request)?;
        let prompt = self.tokenizer.encode_prompt(&self.render(&request.messages)?);
        if prompt.is_empty() {
            return Err(fault(FaultKind::BadRequest, "the prompt is empty".into()));
        }
        if prompt.len() >= self.n_context {
            return Err(self.too_long(prompt.len()));
        }
        let n_prompt = prompt.len();
        let n_most = (request.sampling.max_tokens as usize).min(self.n_context - n_prompt);
        let (reply, answer) = oneshot::channel();
        let sampling = request.sampling.clone();
        self.send(Job::Write(Writing { prompt, sampling, seed: request.seed, n_most, schema, reply }))?;
        let Some(written) = answer.await.map_err(|_| self.gone())? else {
            return Err(self.broken());
        };
        Ok(self.chat_json(request, n_prompt, &written))
    }

    /// The same request gives the same bytes. Both labels are measured exactly, so that no score is bounded.
    async fn score(&self, request: &Score) -> Result<Raw, Fault> {
        self.step_scores(request).await.map(|scores| scores.to_raw())
    }

    /// The same request gives the same bytes.
    async fn measure(&self, request: &Measure) -> Result<Raw, Fault> {
        self.token_scores(request).await.map(|scores| scores.to_raw())
    }

    fn wind_down(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Known without asking.
    async fn capabilities(&self) -> Result<Capabilities, Fault> {
        let none = || Support::Refused("the embedded engine has no such thing".to_owned());
        Ok(Capabilities {
            logprobs: Support::Yes("for step scores, of both labels exactly".to_owned()),
            prompt_logprobs: Support::Yes("of each token, and of both labels of step scores exactly".to_owned()),
            ranks: Support::Yes("of each token".to_owned()),
            echo: none(),
            several: none(),
            json_schema: Support::Yes(
                "of objects of words, whole numbers in a range, and numbers from 0 to 1".to_owned(),
            ),
            reasoning: Support::Yes("as tags inside the content, where the model writes them".to_owned()),
            pooling: none(),
        })
    }

    fn n_tokens(&self, text: &str) -> Option<usize> {
        Some(self.tokenizer.encode(text).len())
    }
}

impl Engine {
    /// What the reply has to be, if the request says so. It knows no other further field.
    fn schema(&self, request: &Generate) -> Result<Option<Arc<Schema>>, Fault> {
        let bad = |problem| fault(FaultKind::BadRequest, problem);
        let mut schema = None;
        for (field, value) in &request.extra {
            if field != "response_format" {
                return Err(bad(format!("the embedded engine knows no field `{field}`")));
            }
            let read = Schema::read(value).map_err(|problem| bad(format!("the embedded engine: {problem}")))?;
            if !read.fits(&self.tokenizer) {
                return Err(bad(format!("`{}` has no tokens for all letters of the schema", self.identity.name)));
            }
            schema = Some(Arc::new(read));
        }
        Ok(schema)
    }

    fn chat_json(&self, request: &Generate, n_prompt: usize, written: &Written) -> Raw {
        // A character that was cut by the limit is left out; one that the model got wrong is shown as such.
        let bytes = match std::str::from_utf8(&written.bytes) {
            Err(error) if error.error_len().is_none() => &written.bytes[..error.valid_up_to()],
            _ => &written.bytes[..],
        };
        let body = serde_json::json!({
            "id": format!("gguf-{}", request.request_id),
            "object": "chat.completion",
            "model": self.identity.name,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": String::from_utf8_lossy(bytes) },
                "finish_reason": if written.stopped { "stop" } else { "length" },
            }],
            "usage": {
                "prompt_tokens": n_prompt,
                "completion_tokens": written.n_tokens,
                "total_tokens": n_prompt + written.n_tokens,
            },
        });
        Raw { wire: Wire::ChatJson, body: body.to_string().into() }
    }
}

/// What a path leads to.
struct Opened {
    gguf: Gguf,
    tokenizer: Tokenizer,
    template: Option<Template>,
    /// Every file that an answer depends on.
    files: Vec<PathBuf>,
}

impl Opened {
    fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            let Folder { gguf, student, files } = folder::open(path)?;
            let (tokenizer, template) = Tokenizer::of_folder(&gguf, student)?;
            return Ok(Self { gguf, tokenizer, template, files });
        }
        let gguf = Gguf::open(path)?;
        let tokenizer = Tokenizer::load(&gguf)?;
        let template = chat::template(&gguf, &tokenizer)?;
        Ok(Self { gguf, tokenizer, template, files: vec![path.to_owned()] })
    }
}

/// One hash over the contents of files.
fn hash(paths: &[PathBuf]) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        let io = |error| Error::Io { path: path.clone(), error };
        hasher.update_reader(File::open(path).map_err(io)?).map_err(io)?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

pub(crate) fn fault(kind: FaultKind, message: String) -> Fault {
    Fault { kind, message, status: None, retry_after: None, body: None }
}
