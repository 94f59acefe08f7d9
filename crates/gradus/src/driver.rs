//! Asks the world what a stage is missing, and nothing twice.
//!
//! The driver keeps a bounded number of pieces of work in flight, writes every result to the ledger before
//! the stage sees it, and calls the stage again. It knows no stage, and it is the only place of the library
//! that waits. A slow question delays only itself. What the stage finally says is not kept here: tables are
//! derived from the ledger afterwards ([`crate::derive`]), so memory stays flat and the order in which
//! replies arrive changes nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gradus_model::{Completion, Fault, FaultKind, Identity, Raw, Scores, StepScore, TokenScores, Usage};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::attempt::{Key, Source};
use crate::budget::{self, Bill, Purse, Spend};
use crate::config;
use crate::derive;
use crate::ledger::{self, Entry, Form, Ledger, LedgerError, Reader, Request, Settled};
use crate::question::Question;
use crate::work::{Answered, Keys, Next, Outcome, Reason, Slot, Task, Work};

/// First pause after a failed try; doubled with each further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries that the server did not ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// So many pieces of work given up in a row, without one success between them, end the drive.
const GIVEN_UP_IN_A_ROW: u32 = 32;

/// The outside: models and the sandbox.
#[async_trait]
pub trait World: Send + Sync + 'static {
    /// One try of one piece of work.
    async fn perform(&self, asked: &Asked) -> Result<Performed, Fault>;

    /// Milliseconds since 1970, UTC.
    fn now_ms(&self) -> i64;

    /// US dollars for so many tokens of this work, if its price is known.
    fn cost(&self, work: &Work, usage: &Usage) -> Option<f64>;

    /// Begins nothing more: work that still waits for its turn may fail with [`FaultKind::Stopped`].
    fn wind_down(&self) {}
}

/// A piece of work with what the world needs beside it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is to be done.
    pub work: Work,
    /// Its keys.
    pub keys: Keys,
    /// Ids of the question it belongs to.
    pub source_ids: Arc<[String]>,
}

/// What a successful try brought.
#[derive(Debug, Clone)]
pub enum Performed {
    /// An answer of a model, and what it says.
    Answered(Raw, Completion),
    /// Scores of steps, and what they say.
    Scored(Raw, Scores),
    /// Scores of tokens, and what they say.
    Measured(Raw, TokenScores),
    /// A run of a program.
    Executed(gradus_sandbox::Outcome),
}

/// Something happened; for progress.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A phase begins with so many questions.
    Begins(u64),
    /// A question is being worked on.
    Opened,
    /// An attempt was judged.
    Judged(crate::verdict::Outcome),
    /// A piece of work was settled by asking.
    Asked(&'a Outcome),
    /// A piece of work was found in the ledger.
    Found,
    /// A try failed.
    Fault(FaultKind),
    /// A question is settled (`true`) or left (`false`).
    Closed(bool),
}

/// Receives events; called from one thread at a time.
pub type Observer<'a> = &'a (dyn Fn(Event<'_>) + Send + Sync);

/// How a drive is told to end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    No,
    /// Ask for nothing more, wait for what is in flight.
    Drain,
    /// Leave at once; what is in flight is lost.
    Now,
}

/// What a drive did.
#[derive(Debug, Default)]
pub struct Driven {
    /// Work that could not be had, and why.
    pub failures: Failures,
    /// Questions whose stage said that it is done.
    pub n_done: u64,
    /// Questions that left.
    pub n_dropped: u64,
    /// Why it ended before its questions did.
    pub ended: Option<Ended>,
}

/// Why a drive ended before its questions did.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// A fault that further asking cannot mend.
    Fault(Fault),
    /// The budget is used up; so much was spent.
    Budget(Spend),
}

/// Work that could not be had in this run; it is asked for again in the next.
#[derive(Debug, Default, Clone)]
pub struct Failures(HashMap<Key, (Source, Reason)>);

impl Failures {
    /// Why this work has no result; `not_asked` if it was never tried.
    pub fn reason(&self, key: &Key) -> Reason {
        let known = self.0.get(key).map(|(_, reason)| reason.clone());
        known.unwrap_or_else(|| Reason::new(Reason::NOT_ASKED, "not asked in this run"))
    }

    /// Who was asked for this work in vain, if anybody was.
    pub fn source(&self, key: &Key) -> Option<Source> {
        self.0.get(key).map(|(source, _)| *source)
    }

    /// Takes over those of another drive.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are that were asked for in vain.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a drive could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DriveError<E> {
    /// The ledger cannot be written or read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The questions cannot be read.
    #[error(transparent)]
    Questions(E),
}

/// Asks what a stage is missing.
pub struct Driver<W> {
    /// The outside.
    pub world: Arc<W>,
    /// Where results go.
    pub ledger: Arc<Ledger>,
    /// Limits and patience.
    pub config: config::Driver,
    /// What may be spent; what the ledger holds counts.
    pub budget: config::Budget,
    /// Ask no model: generations and scorings that the ledger lacks are `not_asked`. Programs are run.
    pub offline: bool,
    /// Turns to [`Stop::Drain`] or [`Stop::Now`] when the drive is to end.
    pub stop: watch::Receiver<Stop>,
}

/// A question being worked on.
struct Open {
    question: Question,
    answers: Vec<Answered>,
    asked: HashSet<Slot>,
}

/// What is asked, as JSON, and compressed as soon as it is needed so: once for all attempts at it.
type Payload = Arc<(String, OnceLock<Vec<u8>>)>;

/// What became of a piece of work in flight.
enum Landed {
    /// Never begun.
    Left,
    Settled(Outcome),
    Failed(Reason, FaultKind),
    Fatal(Fault),
    Ledger(LedgerError),
}

impl<W: World> Driver<W> {
    /// [`Self::drive`] for callers that do not wait themselves.
    pub fn drive_on<Row, E>(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        questions: impl Iterator<Item = Result<Question, E>>,
        next: impl Fn(&Question, &[Answered]) -> Next<Row>,
        observer: Observer<'_>,
    ) -> Result<Driven, DriveError<E>> {
        runtime.block_on(self.drive(questions, next, observer))
    }

    /// Calls the stage for every question until it needs nothing more.
    ///
    /// # Errors
    /// If the ledger fails, or the questions cannot be read. A failing model is no error: see [`Driven`].
    pub async fn drive<Row, E>(
        &mut self,
        mut questions: impl Iterator<Item = Result<Question, E>>,
        next: impl Fn(&Question, &[Answered]) -> Next<Row>,
        observer: Observer<'_>,
    ) -> Result<Driven, DriveError<E>> {
        let reader = self.ledger.reader()?;
        let mut driven = Driven::default();
        let mut open: HashMap<u64, Open> = HashMap::new();
        let mut n_opened = 0;
        let mut exhausted = false;
        let mut waiting: VecDeque<(u64, Asked, Payload)> = VecDeque::new();
        let mut flying: JoinSet<(Key, Landed, Bill)> = JoinSet::new();
        let mut purse = Purse::open(self.budget, &reader)?;
        // Questions that wait for a key in flight: two of them can want the same.
        let mut wanted: HashMap<Key, Vec<(u64, Slot)>> = HashMap::new();
        // What landed while work was waiting: that work was looked up in the ledger before.
        let mut landed_since: HashSet<Key> = HashSet::new();
        let mut given_up = 0;
        let limit = self.config.in_flight as usize;

        loop {
            let mut out_of_budget = false;
            while driven.ended.is_none() && flying.len() < limit {
                if let Some((id, asked, payload)) = waiting.pop_front() {
                    let slot = asked.work.slot;
                    let Some(opened) = open.get_mut(&id) else { continue };
                    // The same work may have landed for another slot since this was queued.
                    let again = landed_since.contains(&asked.keys.attempt);
                    if waiting.is_empty() {
                        landed_since.clear();
                    }
                    if again && let Some(outcome) = known(&asked.work, &asked.keys.attempt, &reader, &driven.failures)?
                    {
                        observer(Event::Found);
                        answer(&mut opened.answers, Answered { slot, key: asked.keys.attempt, outcome });
                        advance(id, &mut open, &next, &reader, &mut driven, &mut waiting, observer)?;
                        continue;
                    }
                    if self.offline && !matches!(asked.work.task, Task::Execute(_)) {
                        let outcome = Outcome::Failed(driven.failures.reason(&asked.keys.attempt));
                        answer(&mut opened.answers, Answered { slot, key: asked.keys.attempt, outcome });
                        advance(id, &mut open, &next, &reader, &mut driven, &mut waiting, observer)?;
                        continue;
                    }
                    let worst = purse.as_ref().and_then(|_| worst_case(&*self.world, &asked.work));
                    if let (Some(purse), Some(worst)) = (&mut purse, worst)
                        && !wanted.contains_key(&asked.keys.attempt)
                    {
                        if !purse.allows_another() {
                            waiting.push_front((id, asked, payload));
                            // What costs nothing need not wait behind it.
                            let free = waiting.iter().position(|(_, asked, _)| asked.work.task.worst_case().is_none());
                            let Some(free) = free else {
                                out_of_budget = true;
                                break;
                            };
                            let free = waiting.remove(free).expect("its place was found just now");
                            waiting.push_front(free);
                            continue;
                        }
                        purse.reserve(asked.keys.attempt, worst);
                    }
                    let waiters = wanted.entry(asked.keys.attempt).or_default();
                    waiters.push((id, slot));
                    if waiters.len() == 1 {
                        let settle = settle(
                            self.world.clone(),
                            self.ledger.clone(),
                            self.config.clone(),
                            asked,
                            payload,
                            self.stop.clone(),
                        );
                        flying.spawn(settle);
                    }
                } else if !exhausted && *self.stop.borrow() == Stop::No {
                    let Some(question) = questions.next() else {
                        exhausted = true;
                        continue;
                    };
                    let question = question.map_err(DriveError::Questions)?;
                    observer(Event::Opened);
                    open.insert(n_opened, Open { question, answers: Vec::new(), asked: HashSet::new() });
                    advance(n_opened, &mut open, &next, &reader, &mut driven, &mut waiting, observer)?;
                    n_opened += 1;
                } else {
                    break;
                }
            }
            if driven.ended.is_none() && *self.stop.borrow() != Stop::No && !(exhausted && open.is_empty()) {
                driven.ended = Some(Ended::Stopped);
            }
            if let (true, true, None, Some(purse)) = (out_of_budget, flying.is_empty(), &driven.ended, &purse) {
                driven.ended = Some(Ended::Budget(purse.spent()));
            }
            if driven.ended.is_some() {
                waiting.clear();
            }
            if *self.stop.borrow() != Stop::No {
                self.world.wind_down();
            }
            if *self.stop.borrow() == Stop::Now {
                flying.shutdown().await;
                return Ok(driven);
            }
            let landed = tokio::select! {
                biased;
                landed = flying.join_next() => landed,
                Ok(()) = self.stop.changed() => continue,
            };
            let Some(landed) = landed else { return Ok(driven) };
            let (key, landed, bill) = landed.expect("work in flight does not panic and is not cancelled");
            if let Some(purse) = &mut purse
                && !purse.land(&key, bill)
            {
                driven.ended.get_or_insert_with(|| Ended::Fault(uncounted()));
            }
            if !waiting.is_empty() {
                landed_since.insert(key);
            }
            let outcome = match landed {
                Landed::Settled(outcome) => {
                    given_up = 0;
                    observer(Event::Asked(&outcome));
                    outcome
                }
                Landed::Failed(reason, kind) => {
                    observer(Event::Fault(kind));
                    if matches!(kind, FaultKind::Transient | FaultKind::RateLimited | FaultKind::BadRequest) {
                        given_up += 1;
                        if given_up >= GIVEN_UP_IN_A_ROW && driven.ended.is_none() {
                            let message =
                                format!("{given_up} requests in a row came to nothing; the last: {}", reason.detail);
                            let fault = Fault { kind, message, status: None, retry_after: None, body: None };
                            driven.ended = Some(Ended::Fault(fault));
                        }
                    }
                    let source = wanted[&key][0].1.asked();
                    driven.failures.0.insert(key, (source, reason.clone()));
                    Outcome::Failed(reason)
                }
                Landed::Left => {
                    wanted.remove(&key);
                    continue;
                }
                Landed::Fatal(fault) => {
                    observer(Event::Fault(fault.kind));
                    wanted.remove(&key);
                    driven.ended.get_or_insert(Ended::Fault(fault));
                    continue;
                }
                Landed::Ledger(error) => {
                    flying.shutdown().await;
                    return Err(error.into());
                }
            };
            for (id, slot) in wanted.remove(&key).unwrap_or_default() {
                let Some(opened) = open.get_mut(&id) else { continue };
                answer(&mut opened.answers, Answered { slot, key, outcome: outcome.clone() });
                advance(id, &mut open, &next, &reader, &mut driven, &mut waiting, observer)?;
            }
        }
    }
}

/// What one request for this work costs at most; none if no model is asked.
fn worst_case<W: World>(world: &W, work: &Work) -> Option<Spend> {
    let usage = work.task.worst_case()?;
    Some(Spend { usd: world.cost(work, &usage).unwrap_or(0.0), tokens: budget::tokens(&usage).unwrap_or(0) })
}

/// A budget cannot be kept on a server that does not count.
fn uncounted() -> Fault {
    let message = "an answer came without a count of its tokens: a budget cannot be kept with this server".to_owned();
    Fault { kind: FaultKind::BadRequest, message, status: None, retry_after: None, body: None }
}

/// Puts an answer where it belongs: answers are sorted by slot.
pub(crate) fn answer(answers: &mut Vec<Answered>, answered: Answered) {
    let at = answers.partition_point(|other| other.slot < answered.slot);
    answers.insert(at, answered);
}

/// What is known of a piece of work: its result in the ledger, or that it was asked for in vain.
fn known(work: &Work, key: &Key, reader: &Reader, failures: &Failures) -> Result<Option<Outcome>, LedgerError> {
    Ok(match reader.get(key)? {
        Some(stored) => Some(derive::read(&stored, &work.task)),
        None => failures.0.get(key).map(|(_, reason)| Outcome::Failed(reason.clone())),
    })
}

/// Calls the stage with all that is known of a question, until it is settled or has to wait.
fn advance<Row>(
    id: u64,
    open: &mut HashMap<u64, Open>,
    next: &impl Fn(&Question, &[Answered]) -> Next<Row>,
    reader: &Reader,
    driven: &mut Driven,
    waiting: &mut VecDeque<(u64, Asked, Payload)>,
    observer: Observer<'_>,
) -> Result<(), LedgerError> {
    let Open { question, answers, asked } = open.get_mut(&id).expect("only open questions are advanced");
    loop {
        let work = match next(question, answers) {
            Next::Ask(work) => work,
            Next::Done(_) => {
                driven.n_done += 1;
                break observer(Event::Closed(true));
            }
            Next::Drop(_) => {
                driven.n_dropped += 1;
                break observer(Event::Closed(false));
            }
        };
        let mut found = false;
        let mut last: Option<(Work, Key, Payload)> = None;
        for work in work {
            if !asked.insert(work.slot) {
                continue;
            }
            if !last.as_ref().is_some_and(|(other, ..)| other.shares_payload(&work)) {
                let (text, keys) = work.keys();
                last = Some((work.clone(), keys.payload, Arc::new((text, OnceLock::new()))));
            }
            let (_, hash, payload) = last.as_ref().expect("set above");
            let keys = work.keys_under(*hash);
            let key = keys.attempt;
            if let Some(outcome) = known(&work, &key, reader, &driven.failures)? {
                found = true;
                observer(Event::Found);
                answer(answers, Answered { slot: work.slot, key, outcome });
            } else {
                waiting.push_back((id, Asked { work, keys, source_ids: question.source_ids.clone() }, payload.clone()));
            }
        }
        if !found {
            assert!(answers.len() < asked.len(), "a stage asks only for what it has not got yet");
            return Ok(());
        }
    }
    open.remove(&id);
    Ok(())
}

/// Tries a piece of work until it is settled or given up; every try is recorded before anybody hears of it.
async fn settle<W: World>(
    world: Arc<W>,
    ledger: Arc<Ledger>,
    config: config::Driver,
    asked: Asked,
    payload: Payload,
    mut stop: watch::Receiver<Stop>,
) -> (Key, Landed, Bill) {
    let key = asked.keys.attempt;
    let began = Instant::now();
    let patience = Duration::from_secs(config.give_up_after_s);
    let mut n_counted = 0;
    for n_try in 0.. {
        let started_ms = world.now_ms();
        let started = Instant::now();
        let performed = world.perform(&asked).await;
        let request = Request {
            key,
            n_try,
            started_ms,
            took_ms: started.elapsed().as_millis() as i64,
            fault: "ok".into(),
            status: None,
            message: String::new(),
            prompt_tokens: None,
            completion_tokens: None,
            cost_usd: None,
            body: None,
        };
        let fault = match read(performed, &asked.work, &*world) {
            Ok(result) => {
                let entry = result.entry(request, &asked, &payload);
                let asks_model = asked.work.task.worst_case().is_some();
                let bill = if asks_model { Bill::new(&result.usage, result.cost_usd) } else { Bill::NOTHING };
                return (key, acknowledged(&ledger, entry, Landed::Settled(result.outcome)).await, bill);
            }
            Err(fault) => fault,
        };
        let request = Request {
            fault: fault_name(fault.kind).into(),
            status: fault.status,
            message: fault.message.clone(),
            body: fault.body.as_ref().map(|body| ledger::compress(body)),
            ..request
        };
        let reason = Reason::new(fault_name(fault.kind), fault.message.clone());
        match fault.kind {
            FaultKind::NotRecorded => return (key, Landed::Failed(reason, fault.kind), Bill::NOTHING),
            FaultKind::Stopped => return (key, Landed::Left, Bill::NOTHING),
            FaultKind::Quota | FaultKind::Auth | FaultKind::ModelNotFound => {
                let entry = Entry { request, attempt: None };
                return (key, acknowledged(&ledger, entry, Landed::Fatal(fault)).await, Bill::NOTHING);
            }
            FaultKind::ContextTooLong | FaultKind::ContentFiltered => {
                let refusal = derive::refusal(&reason);
                let refused = Recorded {
                    form: Form::Refusal,
                    body: refusal.into(),
                    usage: Usage::default(),
                    cost_usd: None,
                    finish: reason.code.into(),
                    outcome: Outcome::Failed(reason),
                };
                let entry = refused.entry(request, &asked, &payload);
                return (key, acknowledged(&ledger, entry, Landed::Settled(refused.outcome)).await, Bill::NOTHING);
            }
            FaultKind::BadRequest => {
                let entry = Entry { request, attempt: None };
                return (key, acknowledged(&ledger, entry, Landed::Failed(reason, fault.kind)).await, Bill::NOTHING);
            }
            FaultKind::Transient => n_counted += 1,
            FaultKind::RateLimited => {}
        }
        let pause = pause(&key, n_try, fault.retry_after);
        let given_up = n_counted >= config.max_tries || began.elapsed() + pause > patience;
        let landed = Landed::Failed(reason, fault.kind);
        let landed = acknowledged(&ledger, Entry { request, attempt: None }, landed).await;
        if given_up || matches!(landed, Landed::Ledger(_)) {
            return (key, landed, Bill::NOTHING);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = told_to_stop(&mut stop) => return (key, Landed::Left, Bill::NOTHING),
        }
    }
    unreachable!("the loop has no end of its own")
}

/// Waits until the drive is to end; for ever if nobody is left to say so.
async fn told_to_stop(stop: &mut watch::Receiver<Stop>) {
    if stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until the entry is durable.
async fn acknowledged(ledger: &Ledger, entry: Entry, landed: Landed) -> Landed {
    match ledger.record(entry).await {
        Ok(Ok(())) => landed,
        Ok(Err(error)) => Landed::Ledger(error),
        Err(_) => Landed::Ledger(LedgerError::Stopped),
    }
}

/// A result about to be recorded.
struct Recorded {
    form: Form,
    body: Bytes,
    usage: Usage,
    cost_usd: Option<f64>,
    finish: String,
    outcome: Outcome,
}

impl Recorded {
    fn entry(&self, request: Request, asked: &Asked, (payload, compressed): &(String, OnceLock<Vec<u8>>)) -> Entry {
        let named = |model: &Identity| (model.name.clone(), model.revision.clone());
        let (model, revision) = match &asked.work.task {
            Task::Generate(generation) => named(&generation.model),
            Task::Score(scoring) => named(&scoring.model),
            Task::Measure(measuring) => named(&measuring.model),
            Task::Execute(execution) => (execution.program.language.clone(), gradus_sandbox::VERSION.to_owned()),
        };
        Entry {
            request: Request {
                prompt_tokens: self.usage.prompt,
                completion_tokens: self.usage.completion,
                cost_usd: self.cost_usd,
                ..request
            },
            attempt: Some(Settled {
                keys: asked.keys,
                kind: asked.work.kind(),
                model,
                revision,
                number: asked.work.number(),
                payload: compressed.get_or_init(|| ledger::compress(payload.as_bytes())).clone(),
                form: self.form,
                finish: self.finish.clone(),
                body: ledger::compress(&self.body),
                body_hash: ledger::body_hash(&self.body),
            }),
        }
    }
}

/// Reads what came, so far as to tell a result from a fault.
fn read<W: World>(performed: Result<Performed, Fault>, work: &Work, world: &W) -> Result<Recorded, Fault> {
    match performed? {
        Performed::Answered(raw, completion) => Ok(Recorded {
            form: raw.wire.into(),
            body: raw.body,
            usage: completion.usage,
            cost_usd: completion.cost_usd.or_else(|| world.cost(work, &completion.usage)),
            finish: derive::finish_name(&completion.finish).to_owned(),
            outcome: Outcome::Completed(completion),
        }),
        Performed::Scored(raw, scores) => {
            let n_decided = scores.steps.iter().chain(&scores.whole).filter(|score| **score != StepScore::Undecided);
            Ok(Recorded {
                form: raw.wire.into(),
                body: raw.body,
                usage: scores.usage,
                cost_usd: scores.cost_usd.or_else(|| world.cost(work, &scores.usage)),
                finish: format!("{}/{}", n_decided.count(), scores.steps.len() + usize::from(scores.whole.is_some())),
                outcome: Outcome::Scored(scores),
            })
        }
        Performed::Measured(raw, scores) => Ok(Recorded {
            form: raw.wire.into(),
            body: raw.body,
            usage: scores.usage,
            cost_usd: scores.cost_usd.or_else(|| world.cost(work, &scores.usage)),
            finish: format!("{} tokens", scores.tokens.len()),
            outcome: Outcome::Measured(scores),
        }),
        Performed::Executed(outcome) => Ok(Recorded {
            form: Form::Outcome,
            body: serde_json::to_vec(&outcome).expect("an outcome is plain data").into(),
            usage: Usage::default(),
            cost_usd: None,
            finish: format!("{}/{}", outcome.passed(), outcome.total),
            outcome: Outcome::Executed(outcome),
        }),
    }
}

/// Full jitter, keyed so that a run can be repeated; at least what the server asks for.
fn pause(key: &Key, n_try: u32, asked: Option<Duration>) -> Duration {
    let ceiling = FIRST_PAUSE.saturating_mul(1 << n_try.min(10)).min(LONGEST_PAUSE);
    let draw = blake3::keyed_hash(&key.0, &n_try.to_le_bytes());
    let share = f64::from(u16::from_le_bytes([draw.as_bytes()[0], draw.as_bytes()[1]])) / f64::from(u16::MAX);
    let jittered = ceiling.mul_f64(share);
    asked.map_or(jittered, |asked| asked + jittered.min(FIRST_PAUSE))
}

/// Name of a fault in the ledger, in drops and in the report.
pub fn fault_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Transient => "endpoint_error",
        FaultKind::RateLimited => "rate_limited",
        FaultKind::Quota => "quota",
        FaultKind::Auth => "auth",
        FaultKind::ModelNotFound => "model_not_found",
        FaultKind::ContextTooLong => "context_too_long",
        FaultKind::ContentFiltered => "content_filtered",
        FaultKind::BadRequest => "bad_request",
        FaultKind::NotRecorded => "not_recorded",
        FaultKind::Stopped => "stopped",
    }
}
