//! How hard may one endpoint be pressed? Concurrency, rates, and when to leave it alone.
//!
//! Concurrency grows additively and shrinks multiplicatively (AIMD): one more for every window of
//! successes, half as many on 429, 503 or a timeout, once per window. Until the first such sign the
//! window counts as one answer (slow start), because most servers queue and never complain.
//! A breaker opens after consecutive transport failures; one request then tries for all.
//! All times are tokio's, so tests can pause them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Settings of one endpoint's limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Requests in flight at the beginning; at least 1.
    pub start: usize,
    /// Most requests in flight; at least 1.
    pub ceiling: usize,
    /// Requests a minute, if the provider limits them.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, read and written together, if the provider limits them.
    pub tokens_per_minute: Option<u32>,
    /// Consecutive transport failures that open the breaker; 0 means never.
    pub breaker_failures: u32,
    /// First wait of an open breaker; doubles up to 60 s with every failed try.
    pub breaker_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            start: 8,
            ceiling: 256,
            requests_per_minute: None,
            tokens_per_minute: None,
            breaker_failures: 10,
            breaker_pause: Duration::from_secs(1),
        }
    }
}

/// Longest pause on a server's word; the fault carries the whole wait, and whoever retries decides.
const PAUSE_MAX: Duration = Duration::from_mins(2);
/// Longest wait of an open breaker.
const BREAKER_PAUSE_MAX: Duration = Duration::from_mins(1);

/// What became of a request, as far as the limits care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, or refused for a reason of the request's own.
    Answered,
    /// 429, overload: fewer at once, and nothing before the wait is over (2 min at most).
    Overloaded(Option<Duration>),
    /// No answer in time: fewer at once, and a transport failure.
    TimedOut,
    /// Connection refused or broken: a transport failure.
    Broken,
}

/// The breaker is open and the try that went ahead has failed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Down {
    /// Consecutive transport failures so far.
    pub failures: u32,
    /// Until the next try.
    pub retry_after: Duration,
}

/// Why a request may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The endpoint is down.
    Down(Down),
    /// No more requests are to be begun.
    Closed,
}

/// The limits of one endpoint and where they stand. Cheap to clone; clones share.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slots: Arc<Semaphore>,
    state: Mutex<State>,
    /// The breaker changed.
    changed: Notify,
    breaker_failures: u32,
    breaker_pause: Duration,
}

#[derive(Debug)]
struct State {
    limit: usize,
    ceiling: usize,
    in_flight: usize,
    /// Permits to take away as they come back.
    debt: usize,
    /// Successes since the limit last grew.
    successes: usize,
    slow_start: bool,
    /// Counts shrinkings; a request begun before the last one does not shrink again.
    epoch: u64,
    not_before: Option<Instant>,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    breaker: Breaker,
    failures: u32,
    /// Failed tries of an open breaker, ever.
    failed_tries: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaker {
    Closed,
    /// Nobody may go before this time; `n` tries have failed.
    Open {
        until: Instant,
        n: u32,
    },
    /// One request is on its way to see whether the endpoint is back.
    Trying {
        n: u32,
    },
}

/// A token bucket that may be overdrawn: a debt is waited off.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    burst: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_minute: u32) -> Self {
        let per_second = f64::from(per_minute.max(1)) / 60.0;
        let burst = per_second.max(1.0);
        Bucket { per_second, burst, level: burst, at: Instant::now() }
    }

    fn refill(&mut self, now: Instant) {
        self.level = (self.level + self.per_second * (now - self.at).as_secs_f64()).min(self.burst);
        self.at = now;
    }

    /// How long until `n` are there; more than a burst never is, so a full bucket gives it on credit.
    fn wait(&mut self, n: f64, now: Instant) -> Option<Duration> {
        self.refill(now);
        let missing = n.min(self.burst) - self.level;
        // A millisecond is the timer's grain.
        (missing > 1e-9).then(|| Duration::from_secs_f64(missing / self.per_second) + Duration::from_millis(1))
    }
}

/// The right to have one request in flight; settle it with what became of the request.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    slot: Option<OwnedSemaphorePermit>,
    epoch: u64,
    /// The limit was at least half used when the request began.
    busy: bool,
    trying: bool,
    estimated: u64,
}

impl Limiter {
    /// Limits at their beginning.
    pub fn new(limits: &Limits) -> Self {
        let ceiling = limits.ceiling.clamp(1, Semaphore::MAX_PERMITS);
        let limit = limits.start.clamp(1, ceiling);
        Limiter(Arc::new(Shared {
            slots: Arc::new(Semaphore::new(limit)),
            state: Mutex::new(State {
                limit,
                ceiling,
                in_flight: 0,
                debt: 0,
                successes: 0,
                slow_start: true,
                epoch: 0,
                not_before: None,
                requests: limits.requests_per_minute.map(Bucket::new),
                tokens: limits.tokens_per_minute.map(Bucket::new),
                breaker: Breaker::Closed,
                failures: 0,
                failed_tries: 0,
            }),
            changed: Notify::new(),
            breaker_failures: limits.breaker_failures,
            breaker_pause: limits.breaker_pause,
        }))
    }

    /// Waits until a request of about this many tokens may be sent.
    ///
    /// # Errors
    /// [`Denied`]: the breaker is open and the one request that tried for all has failed, or the limiter was closed.
    pub async fn acquire(&self, tokens: u64) -> Result<Permit, Denied> {
        let shared = &self.0;
        let slot = Arc::clone(&shared.slots).acquire_owned().await.map_err(|_| Denied::Closed)?;
        let failed_tries = shared.lock().failed_tries;
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if shared.slots.is_closed() {
                return Err(Denied::Closed);
            }
            let wait = {
                let mut state = shared.lock();
                let now = Instant::now();
                match state.breaker {
                    // Somebody tried while we waited, and failed: that holds for us too.
                    Breaker::Open { until, .. } if state.failed_tries > failed_tries => {
                        return Err(Denied::Down(Down {
                            failures: state.failures,
                            retry_after: until.saturating_duration_since(now),
                        }));
                    }
                    Breaker::Open { until, .. } if now < until => Some(until - now),
                    Breaker::Trying { .. } => None,
                    Breaker::Open { .. } | Breaker::Closed => match state.rate_wait(tokens, now) {
                        Some(wait) => Some(wait),
                        None => return Ok(shared.admit(&mut state, slot, tokens)),
                    },
                }
            };
            match wait {
                Some(wait) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// Lets no more request through, neither those that wait nor any to come. Those in flight go on.
    pub fn close(&self) {
        self.0.slots.close();
        self.0.changed.notify_waiters();
    }

    /// Lowers the ceiling, as when a server tells how many slots it has.
    pub fn lower_ceiling(&self, ceiling: usize) {
        let mut state = self.0.lock();
        state.ceiling = state.ceiling.min(ceiling.max(1));
        let to = state.limit.min(state.ceiling);
        self.0.shrink(&mut state, to);
    }

    /// Nothing is sent for this long (2 min at most), because the server said that its budget is used up.
    pub fn pause(&self, wait: Duration) {
        self.0.lock().pause(wait);
    }

    /// Requests that may be in flight now.
    pub fn limit(&self) -> usize {
        self.0.lock().limit
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> usize {
        self.0.lock().in_flight
    }

    /// Whether a request should rather go elsewhere: the breaker is open, and it is not time for a try.
    pub fn is_down(&self) -> bool {
        match self.0.lock().breaker {
            Breaker::Closed => false,
            Breaker::Open { until, .. } => Instant::now() < until,
            Breaker::Trying { .. } => true,
        }
    }
}

impl State {
    fn rate_wait(&mut self, tokens: u64, now: Instant) -> Option<Duration> {
        let pause = self.not_before.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero());
        let requests = self.requests.as_mut().and_then(|bucket| bucket.wait(1.0, now));
        let tokens = self.tokens.as_mut().and_then(|bucket| bucket.wait(tokens as f64, now));
        [pause, requests, tokens].into_iter().flatten().max()
    }

    fn is_busy(&self) -> bool {
        self.in_flight * 2 >= self.limit
    }

    fn pause(&mut self, wait: Duration) {
        let until = Instant::now() + wait.min(PAUSE_MAX);
        self.not_before = Some(self.not_before.map_or(until, |before| before.max(until)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    fn admit(self: &Arc<Self>, state: &mut State, slot: OwnedSemaphorePermit, tokens: u64) -> Permit {
        let mut trying = false;
        if let Breaker::Open { n, .. } = state.breaker {
            state.breaker = Breaker::Trying { n };
            trying = true;
            self.changed.notify_waiters();
        }
        state.in_flight += 1;
        if let Some(bucket) = &mut state.requests {
            bucket.level -= 1.0;
        }
        if let Some(bucket) = &mut state.tokens {
            bucket.level -= tokens as f64;
        }
        let busy = state.is_busy();
        Permit { shared: Arc::clone(self), slot: Some(slot), epoch: state.epoch, busy, trying, estimated: tokens }
    }

    fn grow(&self, state: &mut State) {
        if state.limit >= state.ceiling {
            return;
        }
        state.limit += 1;
        if state.debt > 0 {
            state.debt -= 1;
        } else {
            self.slots.add_permits(1);
        }
    }

    fn shrink(&self, state: &mut State, to: usize) {
        state.debt += state.limit.saturating_sub(to);
        state.limit = state.limit.min(to);
        state.debt -= self.slots.forget_permits(state.debt);
    }
}

impl Permit {
    /// Gives the permit back. `tokens` is what the request used, read and written together, if known.
    pub fn settle(mut self, outcome: Outcome, tokens: Option<u64>) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        if let (Some(bucket), Some(tokens)) = (&mut state.tokens, tokens) {
            bucket.level -= tokens as f64 - self.estimated as f64;
        }
        match outcome {
            Outcome::Answered => {
                // An unused limit proves nothing.
                state.successes += usize::from(self.busy || state.is_busy());
                let window = if state.slow_start { 1 } else { state.limit };
                if state.successes >= window {
                    state.successes = 0;
                    shared.grow(&mut state);
                }
            }
            Outcome::Overloaded(_) | Outcome::TimedOut => {
                state.slow_start = false;
                state.successes = 0;
                if self.epoch == state.epoch {
                    state.epoch += 1;
                    let to = (state.limit / 2).max(1);
                    shared.shrink(&mut state, to);
                }
                if let Outcome::Overloaded(Some(wait)) = outcome {
                    state.pause(wait);
                }
            }
            Outcome::Broken => {}
        }
        if matches!(outcome, Outcome::Broken | Outcome::TimedOut) {
            state.failures = state.failures.saturating_add(1);
            let tried = match state.breaker {
                Breaker::Trying { n } if self.trying => {
                    state.failed_tries += 1;
                    Some(n + 1)
                }
                Breaker::Closed if shared.breaker_failures > 0 && state.failures >= shared.breaker_failures => Some(0),
                _ => None,
            };
            if let Some(n) = tried {
                let pause = shared.breaker_pause.saturating_mul(1 << n.min(16)).min(BREAKER_PAUSE_MAX);
                state.breaker = Breaker::Open { until: Instant::now() + pause, n };
                shared.changed.notify_waiters();
            }
        } else {
            state.failures = 0;
            if state.breaker != Breaker::Closed {
                state.breaker = Breaker::Closed;
                shared.changed.notify_waiters();
            }
        }
        self.trying = false;
        drop(state);
        drop(self);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.in_flight -= 1;
        if self.trying {
            // Cancelled before it knew: the next one may try at once.
            if let Breaker::Trying { n } = state.breaker {
                state.breaker = Breaker::Open { until: Instant::now(), n };
                self.shared.changed.notify_waiters();
            }
        }
        if let Some(slot) = self.slot.take() {
            if state.debt > 0 {
                state.debt -= 1;
                slot.forget();
            } else {
                drop(slot);
            }
        }
    }
}
