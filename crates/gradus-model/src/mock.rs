//! A server that pretends to be a model: for demonstrations, tests and measurements.
//!
//! It speaks the OpenAI chat-completion protocol under any model name, streaming or not, scores steps in the
//! forms of process reward models ([`MockPrm`]), measures texts (`/tokenize`, `prompt_logprobs`), and gives the same answer to the same request, whenever and
//! in whatever order it comes ([`reply`]). Faults come only
//! if asked for, each drawn from a seed and the number of the request. It runs on a thread of its own, so
//! that neither the caller's runtime nor a paused clock touches it.
//!
//! `GET /stats` tells what has been asked, as JSON: see [`Stats`].

mod measure;
pub mod reply;
mod score;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures::StreamExt;
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use reply::{Replies, Reply, Request};
pub use score::MockPrm;

/// What the server says and how badly it behaves. The default behaves well.
#[derive(Debug, Clone)]
pub struct MockConfig {
    /// Where to listen; port 0 takes any free port.
    pub addr: SocketAddr,
    /// Names that `/v1/models` lists; other names are answered all the same.
    pub served: Vec<String>,
    /// `root` in `/v1/models`: what identifies the weights.
    pub root: String,
    /// Name in every answer, in place of the one that was asked.
    pub answers_as: Option<String>,
    /// `max_model_len` in `/v1/models`; a longer prompt is refused. In tokens of about four bytes.
    pub max_model_len: u32,
    /// If set, requests must carry it as a bearer token.
    pub key: Option<String>,
    /// What is answered.
    pub replies: Replies,
    /// How steps are known and scored.
    pub prm: MockPrm,
    /// What the server silently does not do.
    pub lacks: MockLacks,
    /// Time before the first byte of every answer.
    pub latency: Duration,
    /// Up to this much more, drawn for each request.
    pub jitter: Duration,
    /// Requests a second; more are refused with 429.
    pub rate_limit: Option<u32>,
    /// How often what goes wrong.
    pub faults: MockFaults,
}

impl Default for MockConfig {
    fn default() -> Self {
        MockConfig {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            served: vec!["mock-student".to_owned()],
            root: "mock-weights".to_owned(),
            answers_as: None,
            max_model_len: 32_768,
            key: None,
            replies: Replies::default(),
            prm: MockPrm::default(),
            lacks: MockLacks::default(),
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            rate_limit: None,
            faults: MockFaults::default(),
        }
    }
}

/// What the server does not do, without saying so: as real servers, it skips fields that it does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of a request by itself")]
pub struct MockLacks {
    /// Log-probabilities of the tokens that it writes.
    pub logprobs: bool,
    /// Log-probabilities of the prompt.
    pub prompt_logprobs: bool,
    /// Ranks beside them.
    pub ranks: bool,
    /// The routes `/tokenize` and `/detokenize`, which are then not found.
    pub tokenize: bool,
    /// Several answers to one request.
    pub n: bool,
    /// Answers that fit a JSON schema.
    pub json_schema: bool,
    /// The route `/pooling`, which is then not found.
    pub pooling: bool,
}

/// Shares of requests, 0..=1 each and 1 at most together, that go wrong in a way.
#[derive(Debug, Clone, Default)]
pub struct MockFaults {
    /// Draws depend on this and the number of the request.
    pub seed: u64,
    /// 429 with `Retry-After`.
    pub rate_limited: f64,
    /// The wait that a 429 asks for; zero sends no header.
    pub retry_after: Duration,
    /// 500, 502 and 503 by turns.
    pub server_error: f64,
    /// The connection breaks in the middle of the answer.
    pub cut: f64,
    /// 200 with something that is no answer.
    pub garbage: f64,
    /// 200 with an error in the body, or in the stream.
    pub error_in_200: f64,
    /// The answer stops half-way with `finish_reason: length`. Drawn from the request's content, not its
    /// number: it is a result, and results repeat.
    pub truncated: f64,
    /// Nothing more comes, and the connection stays open.
    pub hang: f64,
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    RateLimited,
    ServerError,
    Cut,
    Garbage,
    ErrorIn200,
    Hang,
}

impl MockFaults {
    fn draw(&self, number: u64) -> Option<Mishap> {
        let shares = [
            (self.rate_limited, Mishap::RateLimited),
            (self.server_error, Mishap::ServerError),
            (self.cut, Mishap::Cut),
            (self.garbage, Mishap::Garbage),
            (self.error_in_200, Mishap::ErrorIn200),
            (self.hang, Mishap::Hang),
        ];
        if shares.iter().all(|(share, _)| *share <= 0.0) {
            return None;
        }
        let drawn = reply::unit(&[b"mishap", &self.seed.to_le_bytes(), &number.to_le_bytes()]);
        let mut below = 0.0;
        shares.into_iter().find_map(|(share, mishap)| {
            below += share;
            (drawn < below).then_some(mishap)
        })
    }
}

/// What has been asked so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests for completions.
    pub requests: u64,
    /// Of those, answered well and whole as far as the server can tell.
    pub answered: u64,
    /// Different request bodies.
    pub distinct_bodies: u64,
    /// Requests whose body had been answered well before: work done twice.
    pub asked_again: u64,
    /// Most requests at work at one time.
    pub most_in_flight: u64,
}

#[derive(Debug, Default)]
struct Counters {
    requests: u64,
    answered: u64,
    asked_again: u64,
    in_flight: u64,
    most_in_flight: u64,
    /// Requests and good answers by hash of the body.
    bodies: HashMap<u128, (u32, u32)>,
    /// Requests by hash of `X-Request-Id`.
    ids: HashMap<u128, u32>,
}

/// Starts servers.
#[derive(Debug)]
pub struct Mock;

impl Mock {
    /// Starts a server; it stops, connections included, when the handle is dropped.
    ///
    /// # Errors
    /// The address cannot be listened on, or no thread can be started.
    pub fn start(config: MockConfig) -> io::Result<MockHandle> {
        let listener = TcpListener::bind(config.addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let counters = Arc::new(Mutex::new(Counters::default()));
        let server = Arc::new(Server { config, counters: Arc::clone(&counters), bucket: Mutex::new(None) });
        let thread = std::thread::Builder::new().name("gradus-mock".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is non-blocking");
                let listener = listener.tap_io(|stream| {
                    // Without it, small pieces of a stream wait for each other.
                    let _ = stream.set_nodelay(true);
                });
                let app = router(server);
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    _ = stopped => {}
                }
            });
            // Dropping the runtime closes what is still open.
        })?;
        Ok(MockHandle { addr, counters, stop: Some(stop), thread: Some(thread) })
    }
}

/// A running server.
#[derive(Debug)]
pub struct MockHandle {
    addr: SocketAddr,
    counters: Arc<Mutex<Counters>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl MockHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// What has been asked so far.
    pub fn stats(&self) -> Stats {
        stats(&self.counters)
    }

    /// How often a request with this `X-Request-Id` has come.
    pub fn n_requests(&self, request_id: &str) -> u32 {
        lock(&self.counters).ids.get(&hash(request_id.as_bytes())).copied().unwrap_or(0)
    }

    /// How often each different body has come, in no order.
    pub fn requests_per_body(&self) -> Vec<u32> {
        lock(&self.counters).bodies.values().map(|(requests, _)| *requests).collect()
    }
}

impl Drop for MockHandle {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(counters: &Mutex<Counters>) -> std::sync::MutexGuard<'_, Counters> {
    counters.lock().expect("nothing panics while it holds the lock")
}

fn stats(counters: &Mutex<Counters>) -> Stats {
    let counters = lock(counters);
    Stats {
        requests: counters.requests,
        answered: counters.answered,
        distinct_bodies: counters.bodies.len() as u64,
        asked_again: counters.asked_again,
        most_in_flight: counters.most_in_flight,
    }
}

fn hash(bytes: &[u8]) -> u128 {
    let hash = blake3::hash(bytes);
    u128::from_le_bytes(hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes"))
}

#[derive(Debug)]
struct Server {
    config: MockConfig,
    counters: Arc<Mutex<Counters>>,
    /// Requests left in this second, and when they were counted.
    bucket: Mutex<Option<(f64, Instant)>>,
}

fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completion))
        .route("/pooling", post(pooling))
        .route("/tokenize", post(tokenize))
        .route("/detokenize", post(detokenize))
        .route("/v1/models", get(models))
        .route("/health", get(|| async { "" }))
        .route("/version", get(|| async { axum::Json(json!({ "version": env!("CARGO_PKG_VERSION") })) }))
        .route("/stats", get(|State(server): State<Arc<Server>>| async move { axum::Json(stats(&server.counters)) }))
        .layer(axum::extract::DefaultBodyLimit::max(256 << 20))
        .with_state(server)
}

async fn models(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    if let Some(refused) = server.unauthorised(&headers) {
        return refused;
    }
    let config = &server.config;
    let list = config.served.iter().map(|id| {
        json!({
            "id": id, "object": "model", "created": 0, "owned_by": "gradus-mock",
            "root": config.root, "max_model_len": config.max_model_len,
        })
    });
    axum::Json(json!({ "object": "list", "data": list.collect::<Vec<_>>() })).into_response()
}

/// One request at work.
struct InFlight<'a>(&'a Mutex<Counters>);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        lock(self.0).in_flight -= 1;
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Chat,
    Completion,
    Pooling,
    Tokenize,
    Detokenize,
}

async fn chat(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    answer(&server, Route::Chat, &headers, body).await
}

async fn completion(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    answer(&server, Route::Completion, &headers, body).await
}

async fn pooling(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    if server.config.lacks.pooling {
        return not_found();
    }
    answer(&server, Route::Pooling, &headers, body).await
}

async fn tokenize(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    if server.config.lacks.tokenize {
        return not_found();
    }
    answer(&server, Route::Tokenize, &headers, body).await
}

async fn detokenize(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    if server.config.lacks.tokenize {
        return not_found();
    }
    answer(&server, Route::Detokenize, &headers, body).await
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, axum::Json(json!({ "detail": "Not Found" }))).into_response()
}

async fn answer(server: &Server, route: Route, headers: &HeaderMap, body: Bytes) -> Response {
    let config = &server.config;
    if let Some(refused) = server.unauthorised(headers) {
        return refused;
    }
    let body_hash = hash(&body);
    let number = {
        let mut counters = lock(&server.counters);
        counters.requests += 1;
        counters.in_flight += 1;
        counters.most_in_flight = counters.most_in_flight.max(counters.in_flight);
        if let Some(id) = headers.get("x-request-id") {
            *counters.ids.entry(hash(id.as_bytes())).or_default() += 1;
        }
        let (requests, answered) = counters.bodies.entry(body_hash).or_default();
        *requests += 1;
        let again = *answered > 0;
        counters.asked_again += u64::from(again);
        counters.requests
    };
    let _in_flight = InFlight(&server.counters);

    let read = match route {
        Route::Chat | Route::Pooling => Request::read(&body),
        Route::Completion => Request::read_completion(&body),
        Route::Tokenize | Route::Detokenize => Request::read_tokenize(&body),
    };
    let mut request = match read {
        Ok(mut request) => {
            request.forget(config.lacks);
            request.stream &= route == Route::Chat;
            request
        }
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "BadRequestError", &error.to_string(), None),
    };
    if let Some(wait) = server.over_rate() {
        return refusal(StatusCode::TOO_MANY_REQUESTS, "RateLimitError", "too many requests a second", Some(wait));
    }
    let prompt_tokens = request.prompt_tokens();
    let reads = !matches!(route, Route::Tokenize | Route::Detokenize);
    if reads && prompt_tokens >= u64::from(config.max_model_len) {
        let message = format!(
            "This model's maximum context length is {} tokens. However, your messages resulted in {prompt_tokens} tokens.",
            config.max_model_len
        );
        return refusal(StatusCode::BAD_REQUEST, "BadRequestError", &message, None);
    }
    let jitter =
        config.jitter.mul_f64(reply::unit(&[b"jitter", &config.faults.seed.to_le_bytes(), &number.to_le_bytes()]));
    let wait = config.latency + jitter;
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }

    let mishap = config.faults.draw(number);
    match mishap {
        Some(Mishap::RateLimited) => {
            let wait = Some(config.faults.retry_after).filter(|wait| !wait.is_zero());
            return refusal(StatusCode::TOO_MANY_REQUESTS, "RateLimitError", "slow down", wait);
        }
        Some(Mishap::ServerError) => {
            let statuses =
                [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];
            let status = statuses[(number % 3) as usize];
            return refusal(status, "InternalServerError", "the mock was told to fail", None);
        }
        Some(Mishap::Garbage) => return ok("text/html", "<html><body>It works!</body></html>".into()),
        Some(Mishap::ErrorIn200) if !request.stream => {
            let error = json!({ "error": { "code": 502, "message": "upstream failed" } });
            return ok("application/json", error.to_string().into());
        }
        Some(Mishap::Hang) if !request.stream => std::future::pending::<()>().await,
        _ => {}
    }

    let mut replies = if reads && request.prompts.is_none() { config.replies.all(&request) } else { Vec::new() };
    let truncated = config.faults.truncated;
    if truncated > 0.0
        && reply::unit(&[b"cut", &config.faults.seed.to_le_bytes(), &body_hash.to_le_bytes()]) < truncated
    {
        replies.iter_mut().take(1).for_each(Reply::truncate);
    }
    if let Some(name) = &config.answers_as {
        request.model.clone_from(name);
    }
    let kind = if request.stream { "text/event-stream" } else { "application/json" };
    let bytes = match route {
        Route::Pooling => config.prm.pooling(&request),
        Route::Completion => match &request.prompts {
            Some(prompts) => measure::completion(&request, prompts, !config.lacks.ranks),
            None => config.prm.completion(&request, replies[0].content(), !config.lacks.ranks),
        },
        Route::Tokenize => measure::tokenized(&request, config.max_model_len),
        Route::Detokenize => measure::detokenized(&request),
        Route::Chat if request.stream => replies[0].to_sse(&request),
        Route::Chat if MockPrm::asks_label(&request) => config.prm.label(&request),
        Route::Chat => Reply::all_to_json(&replies, &request),
    };
    match mishap {
        None => {
            let mut counters = lock(&server.counters);
            counters.answered += 1;
            if let Some((_, answered)) = counters.bodies.get_mut(&body_hash) {
                *answered += 1;
            }
            ok(kind, bytes)
        }
        Some(mishap) => {
            let half = bytes.slice(..bytes.len() / 2);
            let error = b"\n\ndata: {\"error\":{\"message\":\"engine died\",\"type\":\"InternalServerError\",\"code\":500}}\n\n";
            let rest = match mishap {
                Mishap::Hang => futures::stream::pending().boxed(),
                Mishap::ErrorIn200 => {
                    // The error stands between two whole events.
                    let end = half.windows(2).rposition(|pair| pair == b"\n\n").unwrap_or(0);
                    let events = half.slice(..end);
                    let parts = [Ok(events), Ok(Bytes::from_static(error))];
                    return from_stream(kind, futures::stream::iter(parts).boxed());
                }
                _ => futures::stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]).boxed(),
            };
            from_stream(kind, futures::stream::iter([Ok(half)]).chain(rest).boxed())
        }
    }
}

impl Server {
    fn unauthorised(&self, headers: &HeaderMap) -> Option<Response> {
        let key = self.config.key.as_ref()?;
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let known = given.and_then(|value| value.strip_prefix("Bearer ")) == Some(key);
        // As OpenAI does, the answer repeats what came: clients must not print it.
        let message = format!("Incorrect API key provided: {}", given.unwrap_or("none"));
        (!known).then(|| refusal(StatusCode::UNAUTHORIZED, "invalid_request_error", &message, None))
    }

    /// Takes one request from this second's budget, or says how long until there is one.
    fn over_rate(&self) -> Option<Duration> {
        let rate = f64::from(self.config.rate_limit?.max(1));
        let mut bucket = self.bucket.lock().expect("nothing panics while it holds the lock");
        let now = Instant::now();
        let (left, at) = bucket.unwrap_or((rate, now));
        let left = (left + rate * (now - at).as_secs_f64()).min(rate);
        let over = left < 1.0;
        *bucket = Some((if over { left } else { left - 1.0 }, now));
        over.then(|| Duration::from_secs_f64((1.0 - left) / rate))
    }
}

fn ok(kind: &'static str, body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn from_stream(kind: &'static str, stream: futures::stream::BoxStream<'static, io::Result<Bytes>>) -> Response {
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(stream)).into_response()
}

fn refusal(status: StatusCode, kind: &str, message: &str, wait: Option<Duration>) -> Response {
    let error = json!({ "error": { "message": message, "type": kind, "param": null, "code": status.as_u16() } });
    let mut response = (status, axum::Json(error)).into_response();
    if let Some(wait) = wait {
        let headers = response.headers_mut();
        headers.insert("retry-after-ms", header::HeaderValue::from(wait.as_millis().max(1) as u64));
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from(wait.as_secs_f64().ceil().max(1.0) as u64));
    }
    response
}
