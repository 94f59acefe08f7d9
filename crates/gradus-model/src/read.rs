//! What do these bytes say? Every server's dialect of the chat-completion wire in one normal form.
//!
//! Pure: the same bytes give the same [`Completion`] or [`Fault`], today and after an upgrade of the
//! server. Unknown fields are skipped without being parsed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fault::{Said, excerpt};
use crate::think;
use crate::{Completion, Fault, FaultKind, Finish, Raw, Usage, Wire};

impl Raw {
    /// Reads the answer.
    ///
    /// `content: null` with reasoning is a result (thinking never ended), and so is an empty answer at
    /// the token limit.
    ///
    /// # Errors
    /// A [`Fault`] for a 200 that is none: an error inside the body or the stream, no choices, a
    /// generation that the server aborted, a stream cut before its end, bytes that are no such answer,
    /// or nothing written at all. The fault carries the body.
    pub fn read(&self) -> Result<Completion, Fault> {
        self.read_after("")
    }

    /// Reads an answer that goes on from a text: the whole, that text and what came, in normal form. Its tokens are
    /// those of what came.
    ///
    /// # Errors
    /// As [`Raw::read`].
    pub fn read_after(&self, ahead: &str) -> Result<Completion, Fault> {
        let read = match self.wire {
            Wire::ChatJson => read_json(&self.body, ahead),
            Wire::ChatSse => read_sse(&self.body, ahead),
            Wire::PoolingJson | Wire::CompletionJson | Wire::ScoresJson | Wire::TokensJson => {
                Err(Fault::new(FaultKind::Transient, "expected a chat completion, found scores"))
            }
        };
        read.map_err(|fault| fault.with_body(self.body.clone()))
    }
}

/// A response object or a chunk of one. Fields stay unparsed until they are needed, so that a field of
/// an unexpected type spoils nothing.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    /// llama.cpp's own counts.
    #[serde(borrow, default)]
    timings: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<Part<'a>>,
    #[serde(borrow, default)]
    delta: Option<Part<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    /// OpenRouter: the upstream server failed after it had begun.
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A message, or the next piece of one.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    /// vLLM, OpenRouter.
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    /// SGLang, llama.cpp, DeepSeek.
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    /// OpenRouter.
    #[serde(borrow, default)]
    reasoning_details: Option<&'a RawValue>,
    /// Ollama.
    #[serde(borrow, default)]
    thinking: Option<&'a RawValue>,
    /// OpenAI.
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
}

/// A text with what was written behind it. What stands in a field of its own is thinking if the thinking had not ended;
/// else a server that saw no mark only took it for that.
fn continued(ahead: &str, reasoning: Option<&str>, content: &str) -> String {
    let thinks = think::split(ahead).answer.is_none();
    match reasoning {
        Some(reasoning) if thinks && !content.trim().is_empty() => {
            format!("{ahead}{reasoning}\n</think>\n\n{}", content.trim_start_matches(['\r', '\n']))
        }
        reasoning => format!("{ahead}{}{content}", reasoning.unwrap_or_default()),
    }
}

/// What has been written so far, by field. Bytes, because a character can come in two pieces.
#[derive(Default)]
struct Written {
    content: Vec<u8>,
    /// Thinking parts inside `content` (Mistral).
    content_thinking: Vec<u8>,
    reasoning: Vec<u8>,
    reasoning_content: Vec<u8>,
    reasoning_details: Vec<u8>,
    thinking: Vec<u8>,
    refusal: Vec<u8>,
    finish: Option<String>,
    model: Option<String>,
    usage: Usage,
    cost_usd: Option<f64>,
}

impl Written {
    fn add_part(&mut self, part: &Part) {
        match part.content.map(RawValue::get) {
            Some(list) if list.starts_with('[') => self.add_content_list(list),
            _ => add_text(&mut self.content, part.content),
        }
        add_text(&mut self.reasoning, part.reasoning);
        add_text(&mut self.reasoning_content, part.reasoning_content);
        add_text(&mut self.thinking, part.thinking);
        add_text(&mut self.refusal, part.refusal);
        if let Some(Value::Array(details)) = part.reasoning_details.and_then(value) {
            for detail in &details {
                for key in ["text", "summary"] {
                    if let Some(Value::String(text)) = detail.get(key) {
                        self.reasoning_details.extend_from_slice(text.as_bytes());
                    }
                }
            }
        }
    }

    /// Content in typed parts: `{"type":"text","text":..}`, `{"type":"thinking","thinking":[..]}`.
    fn add_content_list(&mut self, list: &str) {
        let Ok(Value::Array(parts)) = serde_json::from_str(list) else { return };
        for part in &parts {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
            if matches!(kind, "thinking" | "reasoning") {
                for key in ["thinking", "reasoning", "text", "summary"] {
                    collect_text(part.get(key), &mut self.content_thinking);
                }
            } else {
                collect_text(part.get("text"), &mut self.content);
            }
        }
    }

    fn add_body(&mut self, body: &Body) -> Result<(), Fault> {
        if self.model.is_none() {
            self.model = body.model.and_then(text).filter(|model| !model.is_empty()).map(Cow::into_owned);
        }
        if let Some(usage) = body.usage.and_then(value) {
            self.usage = read_usage(&usage);
            let cost = usage.get("cost").and_then(Value::as_f64);
            self.cost_usd = cost.filter(|cost| cost.is_finite() && *cost >= 0.0).or(self.cost_usd);
        }
        if let Some(timings) = body.timings.and_then(value) {
            let read = count(timings.get("prompt_n")).map(|n| n + count(timings.get("cache_n")).unwrap_or(0));
            self.usage.prompt = self.usage.prompt.or(read);
            self.usage.cached = self.usage.cached.or(count(timings.get("cache_n")));
            self.usage.completion = self.usage.completion.or(count(timings.get("predicted_n")));
        }
        for choice in body.choices.iter().flatten() {
            if choice.index.and_then(value).and_then(|index| index.as_u64()).unwrap_or(0) != 0 {
                continue;
            }
            if let Some(error) = choice.error.and_then(value) {
                return Err(Said::of_error(&error).inside_success());
            }
            if let Some(part) = &choice.delta {
                self.add_part(part);
            }
            if let Some(part) = &choice.message {
                // Some streams close with the whole message again.
                if self.is_blank() {
                    self.add_part(part);
                }
            }
            if let Some(finish) = choice.finish_reason.and_then(text).filter(|finish| !finish.is_empty()) {
                self.finish = Some(finish.into_owned());
            }
        }
        Ok(())
    }

    fn is_blank(&self) -> bool {
        [&self.content, &self.content_thinking, &self.reasoning, &self.reasoning_content]
            .into_iter()
            .chain([&self.reasoning_details, &self.thinking, &self.refusal])
            .all(Vec::is_empty)
    }

    fn into_completion(self, ahead: &str) -> Result<Completion, Fault> {
        let mut finish = match self.finish.as_deref() {
            None => Finish::Other(String::new()),
            Some("stop" | "STOP" | "eos" | "eos_token" | "end_turn" | "stop_sequence" | "COMPLETE") => Finish::Stop,
            Some("length" | "max_tokens" | "MAX_TOKENS" | "model_length" | "model_context_window_exceeded") => {
                Finish::Length
            }
            Some("content_filter" | "SAFETY" | "RECITATION") => Finish::ContentFilter,
            Some(word @ ("abort" | "error" | "cancelled" | "insufficient_system_resource")) => {
                let message = format!("the server gave the generation up (finish_reason `{word}`)");
                return Err(Fault::new(FaultKind::Transient, message));
            }
            Some(word) => Finish::Other(word.to_owned()),
        };

        let fields = [self.reasoning, self.reasoning_content, self.reasoning_details, self.thinking];
        let reasoning =
            fields.into_iter().chain([self.content_thinking]).map(joined).find(|text| !text.trim().is_empty());
        let content = joined(self.content);
        let came = reasoning.is_some() || !content.trim().is_empty();
        let (reasoning, mut answer) = if !ahead.is_empty() {
            let parts = think::split(&continued(ahead, reasoning.as_deref(), &content));
            (parts.reasoning, parts.answer)
        } else if let Some(reasoning) = reasoning {
            let answer = content.trim_start_matches(['\r', '\n']);
            (Some(reasoning.trim().to_owned()), (!answer.trim().is_empty()).then(|| answer.to_owned()))
        } else {
            let parts = think::split(&content);
            (parts.reasoning, parts.answer)
        };
        let refusal = joined(self.refusal);
        if answer.is_none() && !refusal.trim().is_empty() {
            answer = Some(refusal);
            finish = Finish::Other("refusal".to_owned());
        }

        // Nothing at all, and no reason for it: a broken server, unless it says that it wrote something
        // (an end-of-text token alone is an answer, an empty one).
        let unexplained = finish == Finish::Stop || finish == Finish::Other(String::new());
        let is_nothing =
            if ahead.is_empty() { reasoning.is_none() && answer.is_none() } else { !came && answer.is_none() };
        if is_nothing && unexplained && self.usage.completion.unwrap_or(0) == 0 {
            return Err(Fault::new(FaultKind::Transient, "the server answered with neither content nor reasoning"));
        }
        Ok(Completion { reasoning, answer, finish, usage: self.usage, cost_usd: self.cost_usd, model: self.model })
    }
}

fn read_json(bytes: &[u8], ahead: &str) -> Result<Completion, Fault> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
    if bytes.is_empty() {
        return Err(Fault::new(FaultKind::Transient, "expected a chat completion, found an empty body"));
    }
    let body = parse(bytes)?;
    if let Some(fault) = error_in(&body, bytes) {
        return Err(fault);
    }
    if body.choices.as_ref().is_none_or(Vec::is_empty) {
        let keys = excerpt(&String::from_utf8_lossy(bytes));
        return Err(Fault::new(FaultKind::Transient, format!("expected at least one choice, found: {keys}")));
    }
    let mut written = Written::default();
    written.add_body(&body)?;
    written.into_completion(ahead)
}

fn read_sse(bytes: &[u8], ahead: &str) -> Result<Completion, Fault> {
    let mut written = Written::default();
    let mut done = false;
    let mut n_chunks = 0_usize;
    for event in Events::new(bytes) {
        let data = event.data.trim_ascii();
        if data.is_empty() {
            continue;
        }
        if data == b"[DONE]" {
            done = true;
            break;
        }
        let body = match parse(data) {
            Ok(body) => body,
            // The last line may have been cut in the middle.
            Err(_) if !event.ended && n_chunks > 0 => break,
            Err(fault) => return Err(fault),
        };
        if let Some(fault) = error_in(&body, data) {
            return Err(fault);
        }
        if event.is_error {
            return Err(Said::of_body(data).inside_success());
        }
        n_chunks += 1;
        written.add_body(&body)?;
    }
    if n_chunks == 0 {
        let found = excerpt(&String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]));
        let message = format!("expected a stream of chat-completion chunks, found: {found}");
        return Err(Fault::new(FaultKind::Transient, message));
    }
    if !done && written.finish.is_none() {
        return Err(Fault::new(FaultKind::Transient, format!("the stream was cut after {n_chunks} chunks")));
    }
    written.into_completion(ahead)
}

fn parse(bytes: &[u8]) -> Result<Body<'_>, Fault> {
    serde_json::from_slice(bytes).map_err(|error| {
        let found = excerpt(&String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]));
        Fault::new(FaultKind::Transient, format!("expected chat-completion JSON ({error}), found: {found}"))
    })
}

/// The error that a body reports, wrapped (`{"error": ..}`) or flat (`{"object": "error", ..}`).
fn error_in(body: &Body, bytes: &[u8]) -> Option<Fault> {
    let wrapped = body.error.and_then(value).filter(|error| *error != Value::Bool(false) && *error != "");
    if let Some(error) = wrapped {
        return Some(Said::of_error(&error).inside_success());
    }
    let flat = body.object.and_then(text).is_some_and(|object| object == "error");
    let no_choices = body.choices.is_none() && body.usage.is_none() && body.timings.is_none();
    let named = || serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value.get("detail").is_some());
    (flat || no_choices && named()).then(|| Said::of_body(bytes).inside_success())
}

/// [`error_in`] of a body that holds no choices by its nature, such as scores.
pub(crate) fn error_in_value(value: &Value) -> Option<Said> {
    let wrapped = value.get("error").filter(|error| !error.is_null() && **error != false && **error != "");
    let flat = value.get("object").and_then(Value::as_str) == Some("error");
    let named =
        value.get("detail").is_some() && ["choices", "data", "usage"].iter().all(|key| value.get(key).is_none());
    match wrapped {
        Some(error) => Some(Said::of_error(error)),
        None => (flat || named).then(|| Said::of_object(value)),
    }
}

pub(crate) fn read_usage(usage: &Value) -> Usage {
    let inner = |outer: &str, key: &str| usage.get(outer).and_then(|details| count(details.get(key)));
    Usage {
        prompt: count(usage.get("prompt_tokens")).or_else(|| count(usage.get("input_tokens"))),
        cached: inner("prompt_tokens_details", "cached_tokens")
            .or_else(|| count(usage.get("prompt_cache_hit_tokens")))
            .or_else(|| count(usage.get("cached_tokens"))),
        completion: count(usage.get("completion_tokens")).or_else(|| count(usage.get("output_tokens"))),
        reasoning: inner("completion_tokens_details", "reasoning_tokens")
            .or_else(|| count(usage.get("reasoning_tokens"))),
    }
}

fn count(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    // `as` saturates; a count is far below 2^53.
    value.as_u64().or_else(|| value.as_f64().filter(|n| n.is_finite() && *n >= 0.0).map(|n| n as u64))
}

fn value(raw: &RawValue) -> Option<Value> {
    serde_json::from_str(raw.get()).ok().filter(|value: &Value| !value.is_null())
}

fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    if !raw.starts_with('"') {
        return None;
    }
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(&raw[1..raw.len() - 1]));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// Adds a JSON string; anything else adds nothing. Half a surrogate pair is kept in three bytes (WTF-8)
/// until its other half has come.
fn add_text(to: &mut Vec<u8>, raw: Option<&RawValue>) {
    let Some(raw) = raw.map(RawValue::get).filter(|raw| raw.starts_with('"')) else { return };
    if !raw.contains('\\') {
        to.extend_from_slice(&raw.as_bytes()[1..raw.len() - 1]);
        return;
    }
    let mut json = serde_json::Deserializer::from_str(raw);
    if let Ok(bytes) = serde_json_bytes(&mut json) {
        to.extend_from_slice(&bytes);
    }
}

/// Decodes a JSON string to bytes, which unlike `String` may hold lone surrogates.
fn serde_json_bytes<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Vec<u8>, D::Error> {
    struct Bytes;
    impl serde::de::Visitor<'_> for Bytes {
        type Value = Vec<u8>;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("a string")
        }
        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
    json.deserialize_bytes(Bytes)
}

fn collect_text(value: Option<&Value>, to: &mut Vec<u8>) {
    match value {
        Some(Value::String(text)) => to.extend_from_slice(text.as_bytes()),
        Some(Value::Array(parts)) => parts.iter().for_each(|part| match part {
            Value::String(text) => to.extend_from_slice(text.as_bytes()),
            part => collect_text(part.get("text"), to),
        }),
        _ => {}
    }
}

/// The bytes as text: two halves of a surrogate pair become their character, a lone half U+FFFD.
fn joined(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => error.into_bytes(),
    };
    let surrogate = |at: usize| match bytes.get(at..at + 3) {
        Some(&[0xed, high @ 0xa0..=0xbf, low @ 0x80..=0xbf]) => {
            Some(0xd000 | u32::from(high & 0x3f) << 6 | u32::from(low & 0x3f))
        }
        _ => None,
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let Some(first) = surrogate(at) else {
            out.push(bytes[at]);
            at += 1;
            continue;
        };
        let pair = surrogate(at + 3).filter(|second| first < 0xdc00 && *second >= 0xdc00);
        let scalar = pair.and_then(|second| char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)));
        at += if scalar.is_some() { 6 } else { 3 };
        let mut buffer = [0; 4];
        let scalar = scalar.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(scalar.encode_utf8(&mut buffer).as_bytes());
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One server-sent event.
struct Event<'a> {
    data: Cow<'a, [u8]>,
    /// The event's name is `error`.
    is_error: bool,
    /// A line end followed; `false` for what stands at the very end of the bytes.
    ended: bool,
}

/// Splits server-sent events. Comments (`: keep-alive`) and unknown fields are skipped.
struct Events<'a> {
    rest: &'a [u8],
}

impl<'a> Events<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Events { rest: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) }
    }

    /// The next line and whether it was ended by `\n`, `\r\n` or `\r`.
    fn line(&mut self) -> Option<(&'a [u8], bool)> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(end) = self.rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            return Some((std::mem::take(&mut self.rest), false));
        };
        let line = &self.rest[..end];
        let skip = if self.rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        self.rest = &self.rest[end + skip..];
        Some((line, true))
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let mut event = Event { data: Cow::Borrowed(b""), is_error: false, ended: true };
        let mut has_data = false;
        loop {
            let before = self.rest;
            let Some((line, ended)) = self.line() else { break };
            if line.is_empty() {
                if has_data {
                    return Some(event);
                }
                event.is_error = false;
                continue;
            }
            event.ended = ended;
            // A bare JSON line is what proxies write when the server breaks off.
            let data = if line.starts_with(b"{") { Some(line) } else { line.strip_prefix(b"data:") };
            if let Some(data) = data {
                let data = data.strip_prefix(b" ").unwrap_or(data);
                // Some servers leave out the empty line between two events.
                if has_data && event.data.ends_with(b"}") && (data.starts_with(b"{") || data == b"[DONE]") {
                    self.rest = before;
                    event.ended = true;
                    return Some(event);
                }
                if has_data {
                    let joined = event.data.to_mut();
                    joined.push(b'\n');
                    joined.extend_from_slice(data);
                } else {
                    event.data = Cow::Borrowed(data);
                }
                has_data = true;
            } else if let Some(name) = line.strip_prefix(b"event:") {
                event.is_error = name.trim_ascii() == b"error";
            }
        }
        has_data.then_some(event)
    }
}
