//! Asks any endpoint that speaks the OpenAI chat-completion protocol, over HTTP or HTTPS.
//!
//! One try per call: retries and their records are the driver's. What this file adds to a bare HTTP
//! client: every sampling field is sent, silence is bounded (length is not), the endpoint's limits are
//! kept ([`crate::limit`]), and each failure is named ([`FaultKind`]).

mod capability;
mod measure;
mod score;

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::capability::Capabilities;
use crate::fault::{Said, duration, excerpt, seconds_checked};
use crate::limit::{Denied, Limiter, Limits, Outcome, Permit};
use crate::{Completion, Fault, FaultKind, Generate, Identity, Info, Measure, Message, Model, Raw, Score, Wire};

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a value; blanks around it (a line end from a file) go.
    pub fn new(value: impl AsRef<str>) -> Self {
        Secret(value.as_ref().trim().to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One endpoint and how to ask it.
#[derive(Clone)]
pub struct OpenAiConfig {
    /// Base URL: `http://host:8000`, `https://host/v1`, or one that ends in `/chat/completions`.
    pub url: String,
    /// Model name in requests; empty means the only one that the server lists ([`OpenAi::connect`]).
    pub model: String,
    /// Revision or other mark of the weights for [`Identity`]; may be empty.
    pub revision: String,
    /// Sent as `Authorization: Bearer`.
    pub key: Option<Secret>,
    /// Whether answers are streamed. A stream keeps proxies alive and shows a hang early.
    pub stream: bool,
    /// Name of the field that limits the tokens written: OpenAI's newer models want
    /// `max_completion_tokens`.
    pub max_tokens_field: String,
    /// Longest time to open a connection.
    pub connect_timeout: Duration,
    /// Longest silence, before the first byte and between two. `None`: 300 s for streams, and 30 min
    /// otherwise, because then the whole generation is silent.
    pub idle_timeout: Option<Duration>,
    /// Longest time for a whole answer; `None` means no limit, as long CoTs need it.
    pub total_timeout: Option<Duration>,
    /// Concurrency, rates, breaker.
    pub limits: Limits,
}

impl OpenAiConfig {
    /// The defaults for a model at a URL: streaming, no key.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> Self {
        OpenAiConfig {
            url: url.into(),
            model: model.into(),
            revision: String::new(),
            key: None,
            stream: true,
            max_tokens_field: "max_tokens".to_owned(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: None,
            total_timeout: None,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // A URL may hold a password.
        f.debug_struct("OpenAiConfig")
            .field("url", &shown(&self.url))
            .field("model", &self.model)
            .field("key", &self.key)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A configuration that cannot work, whatever the server says.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

/// An OpenAI-compatible endpoint.
pub struct OpenAi {
    identity: Identity,
    client: Client,
    /// With a slash at the end.
    base: Url,
    config: OpenAiConfig,
    limiter: Limiter,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("OpenAi").field("config", &self.config).field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

/// Largest answer taken in.
const MAX_BODY: usize = 256 << 20;
/// Longest wait for the end of the connection after `[DONE]`.
const AFTER_DONE: Duration = Duration::from_secs(1);
/// A connection that is lost within this time, without a byte of an answer, was closed while it was idle:
/// llama.cpp closes kept connections after a stream without saying so. That was no try.
const DROPPED: Duration = Duration::from_secs(1);
/// Longest time for a question about the server.
const INFO_TIMEOUT: Duration = Duration::from_secs(15);

impl OpenAi {
    /// Prepares an endpoint; opens no connection.
    ///
    /// # Errors
    /// [`BadConfig`] for a URL that is none, an empty model name, or a key with forbidden characters.
    pub fn new(config: OpenAiConfig) -> Result<Self, BadConfig> {
        if config.model.is_empty() {
            return Err(BadConfig(format!("expected a model name for {}, found none", shown(&config.url))));
        }
        Self::unnamed(config)
    }

    /// Like [`OpenAi::new`], but an empty model name is filled in from `/v1/models`.
    ///
    /// # Errors
    /// What [`OpenAi::new`] refuses, as `BadRequest`; the server's faults; `ModelNotFound` if it does not
    /// list exactly one model.
    pub async fn connect(config: OpenAiConfig) -> Result<Self, Fault> {
        let ask = config.model.is_empty();
        let mut model = Self::unnamed(config).map_err(|error| Fault::new(FaultKind::BadRequest, error.to_string()))?;
        if ask {
            let served = model.info().await?.served;
            let [only] = served.as_slice() else {
                let url = shown(model.base.as_str());
                let message = if served.is_empty() {
                    format!("{url} lists no models; name one: openai:{url}#MODEL")
                } else {
                    format!("{url} serves {} models ({}); name one: openai:{url}#MODEL", served.len(), few(&served))
                };
                return Err(Fault::new(FaultKind::ModelNotFound, message));
            };
            model.identity.name.clone_from(only);
            model.config.model.clone_from(only);
        }
        Ok(model)
    }

    fn unnamed(config: OpenAiConfig) -> Result<Self, BadConfig> {
        let base = base_url(&config.url)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = config.key.as_ref().filter(|key| !key.0.is_empty()) {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.0))
                .map_err(|_| BadConfig("the API key holds characters that no HTTP header may hold".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(reqwest::header::AUTHORIZATION, value);
        }
        // A second installation fails, and the first one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("gradus/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(config.connect_timeout)
            .tcp_keepalive(Duration::from_mins(1));
        if let Some(timeout) = config.total_timeout {
            builder = builder.timeout(timeout);
        }
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if base.scheme() == "http" {
            // No certificates are needed, and slim containers have none.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| BadConfig(format!("no HTTP client: {}", causes(&error))))?;
        let identity = Identity { name: config.model.clone(), revision: config.revision.clone() };
        let limiter = Limiter::new(&config.limits);
        Ok(OpenAi { identity, client, base, config, limiter })
    }

    /// Where the endpoint's limits stand.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// The base URL, without user name and password.
    pub fn url(&self) -> String {
        shown(self.base.as_str())
    }

    /// A route below the base URL, whose query goes with it.
    fn at(&self, path: &str) -> Url {
        let mut url = self.base.join(path).expect("a relative path joins any base");
        url.set_query(self.base.query());
        url
    }

    fn idle_timeout(&self) -> Duration {
        let default = Duration::from_secs(if self.config.stream { 300 } else { 1800 });
        self.config.idle_timeout.unwrap_or(default)
    }

    /// From the base URL to the server's root, where the routes stand that OpenAI does not have.
    fn root(&self) -> &'static str {
        if self.base.path().ends_with("/v1/") { "../" } else { "" }
    }

    /// A place among the requests of this endpoint, for about so many tokens.
    async fn permit(&self, estimate: u64) -> Result<Permit, Fault> {
        self.limiter.acquire(estimate).await.map_err(|denied| match denied {
            Denied::Down(down) => {
                let message = format!("{} is down: {} requests in a row failed", self.url(), down.failures);
                Fault { retry_after: Some(down.retry_after), ..Fault::new(FaultKind::Transient, message) }
            }
            Denied::Closed => Fault::new(FaultKind::Stopped, "not sent: no more requests are begun"),
        })
    }

    /// Sends the request, takes in the answer and reads it.
    async fn ask(&self, request: &Generate) -> Result<(Raw, Completion), Failure> {
        let body = self.request_body(request);
        let idle = self.idle_timeout();
        let (body, is_events, cut) = self.post("chat/completions", &request.request_id, body, idle).await?;
        let looks_like_events =
            ["data:", "event:", ":"].iter().any(|mark| body.trim_ascii_start().starts_with(mark.as_bytes()));
        let wire = if is_events || looks_like_events { Wire::ChatSse } else { Wire::ChatJson };
        let raw = Raw { wire, body };
        match (raw.read(), cut) {
            // Whole although the connection broke, or the server never closed it.
            (Ok(completion), _) => Ok((raw, completion)),
            (Err(fault), Some(cut)) if fault.kind == FaultKind::Transient => {
                Err(Failure { fault: self.scrubbed(cut.fault.with_body(raw.body)), ..cut })
            }
            (Err(fault), _) => Err(Failure::of(self.scrubbed(Fault { status: Some(200), ..fault }))),
        }
    }

    /// Posts a body to a route and takes in the answer of a success: the bytes, whether they are called events,
    /// and why they broke off, if they did.
    async fn post(
        &self,
        path: &str,
        request_id: &str,
        body: Vec<u8>,
        idle: Duration,
    ) -> Result<(Bytes, bool, Option<Failure>), Failure> {
        let body = Bytes::from(body);
        let response = match self.send(path, request_id, body.clone(), idle).await {
            Err(Unsent::Dropped(_)) => self.send(path, request_id, body, idle).await,
            response => response,
        };
        let response = response.map_err(|(Unsent::Dropped(failure) | Unsent::Failed(failure))| failure)?;
        if let Some(wait) = budget_wait(response.headers()) {
            self.limiter.pause(wait);
        }
        if !response.status().is_success() {
            return Err(self.refused(response, idle).await);
        }
        let type_of = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let is_events = type_of.starts_with("text/event-stream");
        let (body, cut) = self.take_in(response, idle).await;
        Ok((body, is_events, cut))
    }

    /// Sends a request and waits for the head of the answer.
    async fn send(&self, path: &str, request_id: &str, body: Bytes, idle: Duration) -> Result<Response, Unsent> {
        let mut sent = self.client.post(self.at(path)).header(CONTENT_TYPE, "application/json").body(body);
        if let Ok(id) = HeaderValue::try_from(request_id) {
            sent = sent.header(HeaderName::from_static("x-request-id"), id);
        }
        let start = tokio::time::Instant::now();
        match tokio::time::timeout(idle, sent.send()).await {
            Ok(Ok(response)) => Ok(response),
            Err(_) => Err(Unsent::Failed(self.silent(idle))),
            Ok(Err(error)) if !error.is_connect() && !error.is_timeout() && start.elapsed() < DROPPED => {
                Err(Unsent::Dropped(self.broken(&error, "no answer")))
            }
            Ok(Err(error)) => Err(Unsent::Failed(self.broken(&error, "no answer"))),
        }
    }

    /// Takes in a body; if it breaks off, what came and why.
    async fn take_in(&self, mut response: Response, idle: Duration) -> (Bytes, Option<Failure>) {
        // One chunk is the rule for short answers, and needs no copy.
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        let mut done = false;
        let cut = loop {
            let wait = if done { AFTER_DONE.min(idle) } else { idle };
            match tokio::time::timeout(wait, response.chunk()).await {
                Ok(Ok(None)) => break None,
                Err(_) if done => break None,
                Err(_) => break Some(self.silent(idle)),
                Ok(Err(error)) => break Some(self.broken(&error, "the answer broke off")),
                Ok(Ok(Some(chunk))) => {
                    if first.is_empty() && all.is_empty() {
                        first = chunk;
                    } else {
                        if all.is_empty() {
                            all.extend_from_slice(&std::mem::take(&mut first));
                        }
                        all.extend_from_slice(&chunk);
                    }
                    let so_far: &[u8] = if all.is_empty() { &first } else { &all };
                    if so_far.len() > MAX_BODY {
                        let message = format!("the answer is larger than {} MiB", MAX_BODY >> 20);
                        break Some(Failure::of(Fault::new(FaultKind::Transient, message)));
                    }
                    done = so_far.trim_ascii_end().ends_with(b"data: [DONE]");
                }
            }
        };
        (if all.is_empty() { first } else { all.freeze() }, cut)
    }

    fn request_body(&self, request: &Generate) -> Vec<u8> {
        let sampling = &request.sampling;
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            messages: &'a [Message],
            temperature: f64,
            top_p: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            top_k: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            min_p: Option<f64>,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            stop: &'a [String],
            seed: u64,
            stream: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            stream_options: Option<StreamOptions>,
            #[serde(flatten)]
            rest: Map<String, Value>,
        }
        #[derive(Serialize)]
        struct StreamOptions {
            include_usage: bool,
        }
        let mut rest = Map::new();
        rest.insert(self.config.max_tokens_field.clone(), sampling.max_tokens.into());
        let body = Body {
            model: &self.config.model,
            messages: &request.messages,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            min_p: sampling.min_p,
            stop: &sampling.stop,
            seed: request.seed,
            stream: self.config.stream,
            stream_options: self.config.stream.then_some(StreamOptions { include_usage: true }),
            rest,
        };
        if request.extra.is_empty() {
            return serde_json::to_vec(&body).expect("strings and finite numbers serialise");
        }
        let Ok(Value::Object(mut object)) = serde_json::to_value(&body) else {
            unreachable!("a struct serialises to an object");
        };
        merge(&mut object, &request.extra);
        serde_json::to_vec(&object).expect("JSON values serialise")
    }

    async fn refused(&self, response: Response, idle: Duration) -> Failure {
        let status = response.status();
        let headers = response.headers().clone();
        let (body, _) = self.take_in(response, idle).await;
        let said = Said::of_body(&body);
        let wait = retry_after(&headers).or(said.retry_after);
        let should_retry = headers.get("x-should-retry").and_then(|value| match value.as_bytes() {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        });
        let kind = said.kind(status.as_u16(), wait.is_some(), should_retry);
        let mut words = said.words;
        if let Some(to) = headers.get("location").filter(|_| status.is_redirection()) {
            words = format!("moved to {}; use that URL", shown(&String::from_utf8_lossy(to.as_bytes())));
        }
        let colon = if words.is_empty() { "" } else { ": " };
        let message = format!("{} answered {}{colon}{words}", self.url(), reason(status));
        let wait = wait.or_else(|| budget_wait(&headers).filter(|_| kind == FaultKind::RateLimited));
        let fault = Fault { kind, message, status: Some(status.as_u16()), retry_after: wait, body: None };
        Failure::of(self.scrubbed(fault.with_body(body)))
    }

    fn silent(&self, idle: Duration) -> Failure {
        let message = format!("{} sent nothing for {} s", self.url(), idle.as_secs_f64());
        Failure { fault: Fault::new(FaultKind::Transient, message), outcome: Outcome::TimedOut }
    }

    fn broken(&self, error: &reqwest::Error, what: &str) -> Failure {
        let message = format!("{}: {what}: {}", self.url(), causes(error));
        let outcome = if error.is_timeout() { Outcome::TimedOut } else { Outcome::Broken };
        Failure { fault: Fault::new(FaultKind::Transient, message), outcome }
    }

    /// The fault without the key, should the server have echoed it.
    fn scrubbed(&self, mut fault: Fault) -> Fault {
        let Some(key) = self.config.key.as_ref().filter(|key| key.0.len() >= 4) else { return fault };
        if fault.message.contains(&key.0) {
            fault.message = fault.message.replace(&key.0, "[key]");
        }
        if let Some(body) = fault.body.take() {
            let has_key = body.windows(key.0.len()).any(|window| window == key.0.as_bytes());
            fault.body =
                Some(if has_key { String::from_utf8_lossy(&body).replace(&key.0, "[key]").into() } else { body });
        }
        fault
    }

    /// Asks something about the server; `Ok(None)` if it has no such route.
    async fn get(&self, url: Url) -> Result<Option<Value>, Fault> {
        let response = match tokio::time::timeout(INFO_TIMEOUT, self.client.get(url).send()).await {
            Err(_) => return Err(self.silent(INFO_TIMEOUT).fault),
            Ok(Err(error)) => return Err(self.broken(&error, "no answer").fault),
            Ok(Ok(response)) => response,
        };
        if !response.status().is_success() {
            let fault = self.refused(response, INFO_TIMEOUT).await.fault;
            let missing = matches!(fault.kind, FaultKind::ModelNotFound | FaultKind::BadRequest)
                || fault.status.is_some_and(|status| status == 501);
            return if missing { Ok(None) } else { Err(fault) };
        }
        let (body, cut) = self.take_in(response, INFO_TIMEOUT).await;
        match cut {
            Some(failure) => Err(failure.fault),
            None => Ok(serde_json::from_slice(&body).ok()),
        }
    }
}

/// The body with the fields of the config: `null` takes one out.
fn merge(body: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (key, value) in extra {
        if value.is_null() {
            body.remove(key);
        } else {
            body.insert(key.clone(), value.clone());
        }
    }
}

/// Why there is no head of an answer.
enum Unsent {
    /// The connection had been closed; the request may be sent once more.
    Dropped(Failure),
    Failed(Failure),
}

/// A fault, and what it means for the endpoint's limits.
struct Failure {
    fault: Fault,
    outcome: Outcome,
}

impl Failure {
    /// The failure that a server's words are.
    fn of(fault: Fault) -> Self {
        let outcome = match (fault.kind, fault.status) {
            (FaultKind::RateLimited, _) => Outcome::Overloaded(fault.retry_after),
            (FaultKind::Transient, Some(408 | 504)) => Outcome::TimedOut,
            (FaultKind::Transient, None | Some(500..)) => Outcome::Broken,
            _ => Outcome::Answered,
        };
        Failure { fault, outcome }
    }
}

#[async_trait::async_trait]
impl Model for OpenAi {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn info(&self) -> Result<Info, Fault> {
        let root = self.root();
        // The list decides whether the server is there; the others exist only in some servers.
        let models = self.get(self.at("models")).await?.unwrap_or_default();
        let props = self.get(self.at(&format!("{root}props"))).await.ok().flatten().unwrap_or_default();
        let version = self.get(self.at(&format!("{root}version"))).await.ok().flatten().unwrap_or_default();
        let info = read_info(&models, &props, &version, &self.config.model);
        if let Some(slots) = info.slots {
            self.limiter.lower_ceiling(slots as usize);
        }
        Ok(info)
    }

    fn wind_down(&self) {
        self.limiter.close();
    }

    async fn generate(&self, request: &Generate) -> Result<Raw, Fault> {
        self.answer(request).await.map(|(raw, _)| raw)
    }

    async fn answer(&self, request: &Generate) -> Result<(Raw, Completion), Fault> {
        // About four bytes a token; what was really used is settled afterwards.
        let estimate = request.messages.iter().map(|message| message.content.len() as u64).sum::<u64>() / 4;
        let permit = self.permit(estimate).await?;
        match self.ask(request).await {
            Ok((raw, completion)) => {
                let tokens = completion.usage.prompt.zip(completion.usage.completion);
                permit.settle(Outcome::Answered, tokens.map(|(prompt, completion)| prompt + completion));
                Ok((raw, completion))
            }
            Err(failure) => {
                permit.settle(failure.outcome, None);
                Err(failure.fault)
            }
        }
    }

    async fn score(&self, request: &Score) -> Result<Raw, Fault> {
        self.scores(request).await.map(|(raw, _)| raw)
    }

    async fn measure(&self, request: &Measure) -> Result<Raw, Fault> {
        self.token_scores(request).await.map(|scores| scores.to_raw())
    }

    async fn capabilities(&self) -> Result<Capabilities, Fault> {
        self.probe_all().await
    }
}

/// What `/v1/models`, llama.cpp's `/props` and `/version` say together.
fn read_info(models: &Value, props: &Value, version: &Value, model: &str) -> Info {
    let empty = Vec::new();
    let list = models.get("data").or_else(|| models.get("models")).unwrap_or(models).as_array().unwrap_or(&empty);
    let id = |entry: &Value| entry.get("id").or_else(|| entry.get("name")).and_then(Value::as_str).map(str::to_owned);
    let served: Vec<String> = list.iter().filter_map(id).collect();
    let entry = list
        .iter()
        .find(|entry| id(entry).as_deref() == Some(model))
        .or_else(|| list.first().filter(|_| list.len() == 1));
    let number =
        |value: Option<&Value>| value.and_then(Value::as_u64).filter(|n| *n > 0).and_then(|n| u32::try_from(n).ok());
    let entry_number = |key: &str| number(entry.and_then(|entry| entry.get(key)));
    let slots = number(props.get("total_slots"));
    let n_ctx = number(props.pointer("/default_generation_settings/n_ctx"));
    let context = n_ctx
        .or_else(|| {
            ["max_model_len", "context_length", "max_context_length", "context_window"]
                .iter()
                .find_map(|key| entry_number(key))
        })
        .or_else(|| number(entry.and_then(|entry| entry.pointer("/meta/n_ctx_train"))));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let owner = text(entry.and_then(|entry| entry.get("owned_by"))).unwrap_or_default();
    let server = match owner.as_str() {
        "vllm" | "sglang" | "gradus-mock" => owner,
        _ if owner == "llamacpp" || slots.is_some() => "llama.cpp".to_owned(),
        // vLLM lists fine-tuned adapters under other owners.
        _ if entry_number("max_model_len").is_some() && version.get("version").is_some() => "vllm".to_owned(),
        _ => String::new(),
    };
    let fingerprint = text(props.get("model_path")).or_else(|| text(entry.and_then(|entry| entry.get("root"))));
    Info { server, served, context, fingerprint, slots }
}

fn base_url(text: &str) -> Result<Url, BadConfig> {
    let bad = |why: &str| BadConfig(format!("expected http(s)://HOST[:PORT][/PATH], found `{}`: {why}", shown(text)));
    let mut url = Url::parse(text.trim()).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("the scheme is neither http nor https"));
    }
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/chat/completions").unwrap_or(path);
    let path = if path.is_empty() { "/v1/".to_owned() } else { format!("{path}/") };
    url.set_path(&path);
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// A URL as it may be shown: without user, password, query and trailing slash.
fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url.trim()) else { return excerpt(url) };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

fn few(names: &[String]) -> String {
    let more = if names.len() > 5 { ", \u{2026}" } else { "" };
    format!("{}{more}", names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", "))
}

fn reason(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// An error and its causes on one line, without the URL, which may hold secrets.
fn causes(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if words.last() != Some(&text) {
            words.push(text);
        }
        cause = error.source();
    }
    if words.is_empty() {
        words.push(if error.is_timeout() { "timed out".to_owned() } else { "connection lost".to_owned() });
    }
    excerpt(&words.join(": "))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The wait that headers ask for: `retry-after-ms`, or `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let ms = header(headers, "retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok());
    if let Some(wait) = ms.and_then(|ms| seconds_checked(ms / 1000.0)) {
        return Some(wait);
    }
    let text = header(headers, "retry-after")?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds_checked(seconds);
    }
    let until = http_date(text)?;
    // The server's own clock, if it tells: ours may be off.
    let now = header(headers, "date").and_then(http_date).unwrap_or_else(jiff::Timestamp::now);
    seconds_checked((until.as_second() - now.as_second()).max(0) as f64)
}

fn http_date(text: &str) -> Option<jiff::Timestamp> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

/// The wait until a budget that is used up is filled again (`x-ratelimit-remaining-*`, `-reset-*`).
fn budget_wait(headers: &HeaderMap) -> Option<Duration> {
    let wait = |prefix: &str, what: &str| {
        let (remaining, reset) = match prefix {
            "x-" => (format!("x-ratelimit-remaining-{what}"), format!("x-ratelimit-reset-{what}")),
            _ => (format!("anthropic-ratelimit-{what}-remaining"), format!("anthropic-ratelimit-{what}-reset")),
        };
        let left: f64 = header(headers, &remaining)?.trim().parse().ok()?;
        // A time of day instead of a wait is not read: the 429 that follows says how long.
        duration(header(headers, &reset)?).filter(|_| left < 1.0)
    };
    let waits = [("x-", "requests"), ("x-", "tokens"), ("anthropic-", "requests"), ("anthropic-", "tokens")];
    waits.into_iter().filter_map(|(prefix, what)| wait(prefix, what)).max()
}
