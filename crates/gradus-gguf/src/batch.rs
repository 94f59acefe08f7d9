//! What is worked on now? One thread that reads and writes tokens for many requests at once.
//!
//! Each round reads one token of every sequence that is being written and a few dozen tokens of prompts. A sequence that
//! ends makes room for the next at once. A prompt that was read before is not read again: its keys and
//! values are shared, as far as two prompts agree.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};

use gradus_model::Sampling;
use tokio::sync::oneshot;

use crate::engine::{Measured, TokenScore};
use crate::kernel::Isa;
use crate::matrix::Workers;
use crate::sample::{Sampler, best, logprob_and_rank, logprobs};
use crate::structured::{Form, Schema};
use crate::tokenizer::Tokenizer;
use crate::transformer::{Cache, Step, Transformer};

/// Tokens of prompts read in one round; more make a round longer for those who are writing.
const PROMPT_TOKENS: usize = 64;
/// The same when all their logits are wanted, which take room.
const SCORED_TOKENS: usize = 32;

/// What the engine is asked to do.
pub(crate) enum Job {
    /// Write a continuation.
    Write(Writing),
    /// Measure how likely the tokens are.
    Score(Scoring),
    /// Measure how likely some tokens would be at some places.
    Watch(Watching),
}

/// A continuation to write.
pub(crate) struct Writing {
    /// At least one token.
    pub(crate) prompt: Vec<u32>,
    pub(crate) sampling: Sampling,
    pub(crate) seed: u64,
    /// Most tokens to write; with the prompt they fit the context.
    pub(crate) n_most: usize,
    /// What is written has to be of this schema, if any, and ends with it.
    pub(crate) schema: Option<Arc<Schema>>,
    pub(crate) reply: oneshot::Sender<Option<Written>>,
}

/// Tokens to measure from one of them on; they fit the context.
pub(crate) struct Scoring {
    pub(crate) tokens: Vec<u32>,
    /// The first that is measured: at least 1, since the first token follows nothing, and less than their number.
    pub(crate) from: usize,
    pub(crate) reply: oneshot::Sender<Vec<TokenScore>>,
}

/// Tokens to read, and others to measure behind some of them.
pub(crate) struct Watching {
    /// At least one; they fit the context.
    pub(crate) tokens: Vec<u32>,
    /// Indices of tokens, rising, at least one; the last one is that of the last token.
    pub(crate) places: Vec<usize>,
    /// What is measured behind each of these.
    pub(crate) watched: Vec<u32>,
    /// ln of the probability of each watched token at each place, at temperature 1.
    pub(crate) reply: oneshot::Sender<Vec<Vec<f32>>>,
}

/// A finished continuation; none if the logits were not finite.
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) n_tokens: usize,
    /// Ended by itself, not at the limit.
    pub(crate) stopped: bool,
}

/// Limits of the work at once.
pub(crate) struct Limits {
    /// Sequences.
    pub(crate) n_sequences: usize,
    /// Tokens whose keys and values are held, kept prompts included; one sequence may always run.
    pub(crate) n_tokens: usize,
}

/// The engine's thread.
pub(crate) struct Batch {
    transformer: Transformer,
    tokenizer: Arc<Tokenizer>,
    workers: Workers,
    isa: Isa,
    limits: Limits,
    /// Set when nothing more is to be begun.
    closing: Arc<AtomicBool>,
    waiting: VecDeque<Job>,
    active: Vec<Sequence>,
    /// Prompts that were read, the last used at the end.
    prompts: VecDeque<Prompt>,
}

struct Sequence {
    work: Work,
    cache: Cache,
    /// Tokens whose keys and values are in the cache.
    n_read: usize,
}

enum Work {
    Write {
        job: Writing,
        sampler: Box<Sampler>,
        form: Option<Form>,
        /// The token written last; none while the prompt is read.
        last: Option<u32>,
        n_written: usize,
        bytes: Vec<u8>,
    },
    Score {
        job: Scoring,
        scores: Vec<TokenScore>,
    },
    Watch {
        job: Watching,
        rows: Vec<Vec<f32>>,
    },
}

struct Prompt {
    tokens: Vec<u32>,
    cache: Cache,
    /// Of the token after it.
    logits: Vec<f32>,
}

/// Whether a sequence goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Stopped,
    AtLimit,
    Broken,
}

impl Batch {
    pub(crate) fn new(
        transformer: Transformer,
        tokenizer: Arc<Tokenizer>,
        workers: Workers,
        isa: Isa,
        limits: Limits,
        closing: Arc<AtomicBool>,
    ) -> Self {
        let (waiting, active, prompts) = (VecDeque::new(), Vec::new(), VecDeque::new());
        Self { transformer, tokenizer, workers, isa, limits, closing, waiting, active, prompts }
    }

    /// Works until the other end of the channel is gone.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            if self.active.is_empty() && self.waiting.is_empty() {
                match jobs.recv() {
                    Ok(job) => self.waiting.push_back(job),
                    Err(_) => return,
                }
            }
            loop {
                match jobs.try_recv() {
                    Ok(job) => self.waiting.push_back(job),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if self.closing.load(Ordering::Relaxed) {
                self.waiting.clear();
            }
            self.waiting.retain(Job::is_wanted);
            self.active.retain(|sequence| sequence.work.is_wanted());
            self.admit();
            self.round();
        }
    }

    /// Starts what there is room for, in the order of arrival. A prompt that is being read for another request is
    /// waited for.
    fn admit(&mut self) {
        let mut passed = VecDeque::new();
        while self.active.len() < self.limits.n_sequences
            && let Some(job) = self.waiting.pop_front()
        {
            if self.is_being_read(&job) {
                passed.push_back(job);
            } else if self.make_room(&job) {
                self.start(job);
            } else {
                // Others do not overtake it, or a long one might wait for ever.
                passed.push_back(job);
                break;
            }
        }
        passed.append(&mut self.waiting);
        self.waiting = passed;
    }

    fn is_being_read(&self, job: &Job) -> bool {
        let Job::Write(job) = job else { return false };
        self.active.iter().any(|other| match &other.work {
            Work::Write { job: other, last: None, .. } => other.prompt == job.prompt,
            _ => false,
        })
    }

    /// Whether the job's tokens fit beside what is held, if need be after forgetting prompts.
    fn make_room(&mut self, job: &Job) -> bool {
        let wanted = job.n_tokens();
        let active: usize = self.active.iter().map(|sequence| sequence.work.n_tokens()).sum();
        if active + wanted > self.limits.n_tokens && !self.active.is_empty() {
            return false;
        }
        let mut kept: usize = self.prompts.iter().map(|prompt| prompt.tokens.len()).sum();
        while active + wanted + kept > self.limits.n_tokens {
            let Some(oldest) = self.prompts.pop_front() else { break };
            kept -= oldest.tokens.len();
        }
        true
    }

    fn start(&mut self, job: Job) {
        let job = match job {
            Job::Write(job) => job,
            Job::Score(job) => return self.start_scoring(job),
            Job::Watch(job) => return self.start_watching(job),
        };
        let sampler = Box::new(Sampler::new(&job.sampling, job.seed));
        let (cache, n_read, logits) = self.remembered(&job.prompt);
        let form = job.schema.clone().map(Form::new);
        let work = Work::Write { job, sampler, form, last: None, n_written: 0, bytes: Vec::new() };
        let mut sequence = Sequence { work, cache, n_read };
        let progress = match logits {
            Some(mut logits) => sequence.work.advance(self.isa, &self.tokenizer, &mut logits),
            None => Progress::More,
        };
        match progress {
            Progress::More => self.active.push(sequence),
            ended => sequence.work.reply(ended),
        }
    }

    fn start_scoring(&mut self, job: Scoring) {
        let (cache, n_read, logits) = self.remembered(&job.tokens[..job.from]);
        let scores = Vec::with_capacity(job.tokens.len() - job.from);
        let mut work = Work::Score { job, scores };
        match logits.map(|mut logits| work.advance(self.isa, &self.tokenizer, &mut logits)) {
            None | Some(Progress::More) => self.active.push(Sequence { work, cache, n_read }),
            Some(ended) => work.reply(ended),
        }
    }

    fn start_watching(&mut self, job: Watching) {
        // What was read before is not measured any more, so all places must lie behind it.
        let one_place = job.places.len() == 1;
        let (cache, n_read, logits) =
            if one_place { self.remembered(&job.tokens) } else { (Cache::default(), 0, None) };
        let mut work = Work::Watch { job, rows: Vec::new() };
        match logits.map(|mut logits| work.advance(self.isa, &self.tokenizer, &mut logits)) {
            Some(ended) => work.reply(ended),
            None => self.active.push(Sequence { work, cache, n_read }),
        }
    }

    /// Keys and values of the longest known beginning of a prompt, its length, and the logits if it is all of it.
    fn remembered(&mut self, prompt: &[u32]) -> (Cache, usize, Option<Vec<f32>>) {
        let whole = self.prompts.iter().position(|known| known.tokens == prompt);
        if let Some(known) = whole.and_then(|at| self.prompts.remove(at)) {
            let found = (known.cache.clone(), prompt.len(), Some(known.logits.clone()));
            self.prompts.push_back(known);
            return found;
        }
        // The last token has to be read for its logits.
        let common = |known: &Prompt| {
            let n = known.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
            n.min(prompt.len() - 1)
        };
        match self.prompts.iter().map(|known| (common(known), known)).max_by_key(|&(n, _)| n) {
            Some((n, known)) => (known.cache.fork(n), n, None),
            None => (Cache::default(), 0, None),
        }
    }

    /// Reads the next tokens of all sequences and deals with what follows.
    fn round(&mut self) {
        let mut steps = Vec::new();
        let mut n_prompt_tokens = 0;
        for (i, sequence) in self.active.iter().enumerate() {
            sequence.next_steps(i, &mut n_prompt_tokens, &mut steps);
        }
        if steps.is_empty() {
            return;
        }
        let mut caches: Vec<&mut Cache> = self.active.iter_mut().map(|sequence| &mut sequence.cache).collect();
        let mut logits = self.transformer.forward(&self.workers, &mut caches, &steps).into_iter();
        let mut ended = Vec::new();
        for step in steps {
            let sequence = &mut self.active[step.cache];
            sequence.n_read = step.position + 1;
            if !step.logits {
                continue;
            }
            let mut logits = logits.next().expect("one row per step that wants it");
            let prompt = match &sequence.work {
                Work::Write { job, last: None, .. } => Some(&job.prompt),
                Work::Watch { job, .. } if job.places.len() == 1 => Some(&job.tokens),
                _ => None,
            };
            if let Some(prompt) = prompt {
                let (tokens, cache) = (prompt.clone(), sequence.cache.clone());
                self.prompts.push_back(Prompt { tokens, cache, logits: logits.clone() });
                if self.prompts.len() > 2 * self.limits.n_sequences {
                    self.prompts.pop_front();
                }
            }
            match sequence.work.advance(self.isa, &self.tokenizer, &mut logits) {
                Progress::More => {}
                end => ended.push((step.cache, end)),
            }
        }
        ended.sort_unstable_by_key(|&(i, _)| std::cmp::Reverse(i));
        for (i, end) in ended {
            self.active.remove(i).work.reply(end);
        }
    }
}

impl Job {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Write(job) => !job.reply.is_closed(),
            Self::Score(job) => !job.reply.is_closed(),
            Self::Watch(job) => !job.reply.is_closed(),
        }
    }

    /// The most tokens it will hold.
    fn n_tokens(&self) -> usize {
        match self {
            Self::Write(job) => job.prompt.len() + job.n_most,
            Self::Score(job) => job.tokens.len(),
            Self::Watch(job) => job.tokens.len(),
        }
    }
}

impl Sequence {
    /// What to read in this round.
    fn next_steps(&self, i: usize, n_prompt_tokens: &mut usize, steps: &mut Vec<Step>) {
        let (tokens, limit, wanted): (&[u32], _, &dyn Fn(usize) -> bool) = match &self.work {
            &Work::Write { last: Some(token), .. } => {
                steps.push(Step { token, cache: i, position: self.n_read, logits: true });
                return;
            }
            Work::Write { job, .. } => (&job.prompt, PROMPT_TOKENS, &|position| position + 1 == job.prompt.len()),
            // Nothing follows the last one.
            Work::Score { job, .. } => {
                (&job.tokens[..job.tokens.len() - 1], SCORED_TOKENS, &|position| position + 1 >= job.from)
            }
            Work::Watch { job, .. } => {
                (&job.tokens, SCORED_TOKENS, &|position| job.places.binary_search(&position).is_ok())
            }
        };
        let n = limit.saturating_sub(*n_prompt_tokens).min(tokens.len() - self.n_read);
        *n_prompt_tokens += n;
        for (position, &token) in tokens.iter().enumerate().skip(self.n_read).take(n) {
            steps.push(Step { token, cache: i, position, logits: wanted(position) });
        }
    }
}

impl Work {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Write { job, .. } => !job.reply.is_closed(),
            Self::Score { job, .. } => !job.reply.is_closed(),
            Self::Watch { job, .. } => !job.reply.is_closed(),
        }
    }

    fn n_tokens(&self) -> usize {
        match self {
            Self::Write { job, .. } => job.prompt.len() + job.n_most,
            Self::Score { job, .. } => job.tokens.len(),
            Self::Watch { job, .. } => job.tokens.len(),
        }
    }

    /// Deals with the logits of the token after those that were read.
    fn advance(&mut self, isa: Isa, tokenizer: &Tokenizer, logits: &mut [f32]) -> Progress {
        match self {
            Self::Score { job, scores } => {
                let token = job.tokens[job.from + scores.len()];
                let (logprob, rank) = logprob_and_rank(logits, token);
                let measured = Some(Measured { logprob, rank, likeliest: best(logits) as u32 });
                scores.push(TokenScore { token, measured });
                if job.from + scores.len() == job.tokens.len() { Progress::Stopped } else { Progress::More }
            }
            Self::Watch { job, rows } => {
                rows.push(logprobs(logits, &job.watched));
                if rows.len() == job.places.len() { Progress::Stopped } else { Progress::More }
            }
            Self::Write { job, sampler, form, last, n_written, bytes } => {
                if job.n_most == 0 {
                    return Progress::AtLimit;
                }
                let drawn = match form {
                    None => sampler.draw(isa, logits),
                    Some(form) => {
                        let allowed = form.allowed(tokenizer);
                        let mut logits: Vec<f32> = allowed.iter().map(|&token| logits[token as usize]).collect();
                        sampler.draw(isa, &mut logits).map(|at| allowed[at as usize])
                    }
                };
                let Some(token) = drawn else { return Progress::Broken };
                *last = Some(token);
                *n_written += 1;
                if tokenizer.is_end(token) {
                    return Progress::Stopped;
                }
                if !tokenizer.is_control(token) {
                    let n = bytes.len();
                    bytes.extend_from_slice(tokenizer.piece(token));
                    if let Some(at) = first_stop(bytes, n, &job.sampling.stop) {
                        bytes.truncate(at);
                        return Progress::Stopped;
                    }
                }
                if let Some(form) = form {
                    form.take(tokenizer.piece(token));
                    if form.is_complete() {
                        return Progress::Stopped;
                    }
                }
                if *n_written == job.n_most { Progress::AtLimit } else { Progress::More }
            }
        }
    }

    /// Hands out the result. That nobody waits for it any more is no error.
    fn reply(self, end: Progress) {
        match self {
            Self::Score { job, scores } => drop(job.reply.send(scores)),
            Self::Watch { job, rows } => drop(job.reply.send(rows)),
            Self::Write { job, n_written, bytes, .. } => {
                let written = Written { bytes, n_tokens: n_written, stopped: end == Progress::Stopped };
                drop(job.reply.send((end != Progress::Broken).then_some(written)));
            }
        }
    }
}

/// Where the first of the texts begins that ends after byte `n`.
fn first_stop(bytes: &[u8], n: usize, stop: &[String]) -> Option<usize> {
    let find = |text: &String| {
        let first = (n + 1).saturating_sub(text.len());
        let at = bytes[first..].windows(text.len().max(1)).position(|window| window == text.as_bytes())?;
        Some(first + at)
    };
    stop.iter().filter_map(find).min()
}
