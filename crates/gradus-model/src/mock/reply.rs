//! What the mock answers.
//!
//! - A question of the bank, standing on lines of its own in the last user message, gets its right or its
//!   wrong reply. Each question has a rate of right answers, drawn from its text; each request draws from
//!   its seed. A model that thinks gets three draws.
//! - Anything else gets a plausible answer in `\boxed{}`, which is right only by chance.
//! - A judge's prompt gets a well-formed grade, by these rules, the first that fits:
//!   a message holds `<score>`: the grade 0..9 between `<score>` and `</score>`;
//!   a message speaks of JSON and of a score or a verdict: an object with the keys that stand in the
//!   message as `"key":` (those of its last paragraph, if it has some), or `score` and `verdict` if none do
//!   (a key that ends in `scores` gets one number in 0..1 for each line that begins with `Step N`,
//!   `verdict` one of `correct`, `incorrect`, `process` one of `sound`, `flawed`, `unclear`, a key of
//!   reasons a sentence, any other 0..9);
//!   a message holds `\boxed{correct`: that box, or `\boxed{incorrect}`.
//!
//! - A JSON schema in `response_format` is filled in.
//! - A request with `continue_final_message` gets what follows the last message, as far as that has tokens.
//!
//! Everything is a function of the model's name, the messages and the seed in the request.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::MockLacks;

/// A question that the mock can answer.
#[derive(Debug, Clone)]
pub struct MockQuestion {
    /// Its text, as it stands in prompts.
    pub question: String,
    /// A whole reply that answers it rightly, with its `\boxed{}`, letter or code.
    pub reply_right: String,
    /// A whole reply that answers it wrongly.
    pub reply_wrong: String,
}

/// Where the mock puts the thinking part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThinkStyle {
    /// `<think>` tags in `content`.
    #[default]
    Tags,
    /// The field `reasoning`, as vLLM does.
    Reasoning,
    /// The field `reasoning_content`, as SGLang, llama.cpp and DeepSeek do.
    ReasoningContent,
}

/// What the mock can say. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replies {
    bank: Arc<Bank>,
    /// Share of right answers, the same for every question; `None`: by question, with some never and some
    /// always answered.
    pub right_rate: Option<f64>,
    /// A model whose name holds one of these, in lower case, thinks.
    pub thinking_names: Vec<String>,
    /// Where the thinking goes.
    pub think_style: ThinkStyle,
    /// About how many tokens a reply has; shorter replies get more steps ahead of them.
    pub tokens: usize,
}

impl Default for Replies {
    fn default() -> Self {
        Replies::new(Vec::new())
    }
}

#[derive(Debug, Default)]
struct Bank {
    questions: Vec<MockQuestion>,
    /// Questions by hash of their first line.
    by_first_line: HashMap<u64, Vec<u32>>,
}

impl Replies {
    /// Replies to the questions of a bank.
    pub fn new(questions: Vec<MockQuestion>) -> Self {
        let mut by_first_line: HashMap<u64, Vec<u32>> = HashMap::with_capacity(questions.len());
        for (at, question) in questions.iter().enumerate() {
            let line = question.question.trim().lines().next().unwrap_or("");
            by_first_line.entry(draw(&[line.trim().as_bytes()])).or_default().push(at as u32);
        }
        Replies {
            bank: Arc::new(Bank { questions, by_first_line }),
            right_rate: None,
            thinking_names: vec!["think".to_owned(), "teacher".to_owned()],
            think_style: ThinkStyle::default(),
            tokens: 0,
        }
    }

    /// The answers to a request, as many as it wants, 16 at most.
    pub(super) fn all(&self, request: &Request) -> Vec<Reply> {
        let n = request.n.unwrap_or(1).clamp(1, 16);
        (0..n).map(|at| self.numbered(request, at)).collect()
    }

    /// The answer to a request.
    pub fn reply(&self, request: &Request) -> Reply {
        self.numbered(request, 0)
    }

    fn numbered(&self, request: &Request, at: u64) -> Reply {
        let model = request.model.to_lowercase();
        let thinks = self.thinking_names.iter().any(|name| model.contains(name.as_str()));
        let seed = request.seed.unwrap_or(0).wrapping_add_unsigned(at).to_le_bytes();
        let content = request.content_hash().to_le_bytes();
        let drawn = |what: &[u8], below: u64| draw(&[what, &seed, &content]) % below;

        let asked = request.messages.iter().rfind(|message| message.role != "assistant");
        let asked = asked.map_or("", |message| message.content.as_str());
        let text = if let Some(schema) = request.schema() {
            fitting(schema, &drawn, &mut 0, 0).to_string()
        } else if let Some(grade) = judge_reply(request, &drawn) {
            grade
        } else if let Some(question) = self.bank.find(asked) {
            let rate = self.rate(&question.question);
            let rate = if thinks { 1.0 - (1.0 - rate).powi(3) } else { rate };
            let right = unit(&[b"right", &seed, request.model.as_bytes(), question.question.as_bytes()]) < rate;
            if right { question.reply_right.clone() } else { question.reply_wrong.clone() }
        } else {
            format!("Adding up what is given, we get \\boxed{{{}}}.", 2 + drawn(b"guess", 97))
        };

        let steps = self.steps(&text, thinks, drawn(b"steps", 1 << 32));
        let (reasoning, content) = match (thinks, self.think_style) {
            (true, ThinkStyle::Tags) => (None, format!("<think>\n{steps}\n</think>\n\n{text}")),
            (true, _) => (Some(steps), text),
            (false, _) if steps.is_empty() => (None, text),
            (false, _) => (None, format!("{steps}\n\n{text}")),
        };
        let mut reply = Reply { reasoning, content, finish: "stop", style: self.think_style };
        if let Some(so_far) = request.goes_on_from() {
            reply.go_on(so_far);
        }
        reply.limit(request.max_tokens());
        reply
    }

    fn rate(&self, question: &str) -> f64 {
        let by_question = || unit(&[b"rate", question.as_bytes()]).mul_add(1.4, -0.2).clamp(0.0, 1.0);
        self.right_rate.unwrap_or_else(by_question)
    }

    /// Steps of reasoning, as many as the wanted length needs; a thinking model writes two at least.
    fn steps(&self, text: &str, thinks: bool, key: u64) -> String {
        let missing = self.tokens.saturating_sub(pieces(text).count());
        let n_steps = (missing / TOKENS_PER_STEP).max(if thinks { 2 } else { 0 });
        let mut steps = String::new();
        for n in 1..=n_steps as u64 {
            let value = (key.wrapping_mul(n) >> 7) % 90 + 10;
            if n > 1 {
                steps.push_str("\n\n");
            }
            write!(steps, "Step {n}: we take {value} from what is given and check it again.")
                .expect("a String takes all");
        }
        steps
    }
}

impl Bank {
    /// The question that stands in a text on lines of its own; the last, and of those the longest.
    fn find(&self, text: &str) -> Option<&MockQuestion> {
        if self.questions.is_empty() {
            return None;
        }
        let mut found: Option<&MockQuestion> = None;
        let mut from = 0;
        for line in text.split('\n') {
            let rest = text[from..].trim_start();
            from += line.len() + 1;
            if line.trim().is_empty() {
                continue;
            }
            let candidates = self.by_first_line.get(&draw(&[line.trim().as_bytes()])).into_iter().flatten();
            let longest = candidates
                .map(|at| &self.questions[*at as usize])
                .filter(|question| rest.starts_with(question.question.trim()))
                .max_by_key(|question| question.question.len());
            found = longest.or(found);
        }
        found
    }
}

/// A value that fits a JSON schema, as far as the mock knows schemas: objects, arrays, choices and plain types.
/// `place` counts the values, so that each is drawn by itself.
fn fitting(schema: &Value, drawn: &dyn Fn(&[u8], u64) -> u64, place: &mut u32, depth: u32) -> Value {
    *place += 1;
    let key = place.to_le_bytes();
    if let Some(choices) = schema.get("enum").and_then(Value::as_array).filter(|choices| !choices.is_empty()) {
        return choices[drawn(&key, choices.len() as u64) as usize].clone();
    }
    let whole = |key: &str| schema.get(key).and_then(Value::as_u64);
    match schema.get("type").and_then(Value::as_str) {
        Some("object") if depth < 8 => {
            let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            properties.map(|(key, schema)| (key.clone(), fitting(schema, drawn, place, depth + 1))).collect()
        }
        Some("array") if depth < 8 => {
            let n = whole("minItems").unwrap_or(1).min(1000);
            let items = schema.get("items").unwrap_or(&Value::Null);
            (0..n).map(|_| fitting(items, drawn, place, depth + 1)).collect()
        }
        Some("integer") => {
            let low = whole("minimum").unwrap_or(0);
            let high = whole("maximum").unwrap_or(low.saturating_add(9)).max(low);
            low.saturating_add(drawn(&key, (high - low).saturating_add(1))).into()
        }
        Some("number") => (drawn(&key, 101) as f64 / 100.0).into(),
        Some("boolean") => (drawn(&key, 2) == 1).into(),
        Some("null") => Value::Null,
        _ => "The steps were read one after another.".into(),
    }
}

fn judge_reply(request: &Request, drawn: &dyn Fn(&[u8], u64) -> u64) -> Option<String> {
    let any = |has: &dyn Fn(&str) -> bool| request.messages.iter().any(|message| has(&message.content));
    if any(&|text| text.contains("<score>")) {
        return Some(format!("The chain is easy to follow.\n<score>{}</score>", drawn(b"score", 10)));
    }
    let asks_json = |text: &str| text.contains("JSON") && (text.contains("score") || text.contains("verdict"));
    if any(&asks_json) {
        let text = request.messages.iter().rev().map(|message| &message.content).find(|text| asks_json(text))?;
        // How to answer is said last; what stands before may hold keys of its own.
        let last = text.trim_end().rsplit("\n\n").next().unwrap_or(text);
        let mut keys: Vec<&str> = [last, text].map(keys).into_iter().find(|keys| !keys.is_empty()).unwrap_or_default();
        if keys.is_empty() {
            keys = vec!["score", "verdict"];
        }
        let n_steps =
            request.messages.iter().flat_map(|message| message.content.lines()).filter(|line| is_step(line)).count();
        let object: Map<String, Value> = keys
            .into_iter()
            .map(|key| {
                let name = key.to_lowercase();
                let value = if name.ends_with("scores") {
                    let score = |n: usize| drawn(format!("{key}{n}").as_bytes(), 101) as f64 / 100.0;
                    (0..n_steps.max(1)).map(score).collect::<Vec<f64>>().into()
                } else if name.contains("verdict") {
                    ["correct", "incorrect"][drawn(key.as_bytes(), 2) as usize].into()
                } else if name == "process" {
                    ["sound", "flawed", "unclear"][drawn(key.as_bytes(), 3) as usize].into()
                } else if ["reason", "explanation", "comment"].iter().any(|word| name.contains(word)) {
                    "The steps were read one after another.".into()
                } else {
                    drawn(key.as_bytes(), 10).into()
                };
                (key.to_owned(), value)
            })
            .collect();
        return Some(Value::Object(object).to_string());
    }
    let boxed = any(&|text| text.contains("\\boxed{correct"));
    boxed.then(|| format!("\\boxed{{{}}}", ["correct", "incorrect"][drawn(b"box", 2) as usize]))
}

/// Words that stand in a text as `"word":`, each once.
fn keys(text: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    for (end, _) in text.match_indices("\":") {
        let Some(start) = text[..end].rfind('"') else { continue };
        let key = &text[start + 1..end];
        let is_word = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_word && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn is_step(line: &str) -> bool {
    line.trim_start().strip_prefix("Step ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A request, as far as the mock looks at it.
#[derive(Debug, Default, Deserialize)]
pub struct Request {
    /// Any name.
    #[serde(default)]
    pub model: String,
    /// The conversation.
    pub messages: Vec<RequestMessage>,
    /// Counts as 0 if none is sent.
    #[serde(default)]
    pub seed: Option<i64>,
    /// Whether to stream.
    #[serde(default)]
    pub stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    top_logprobs: Option<usize>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default)]
    response_format: Option<ResponseFormat>,
    #[serde(default)]
    prompt_logprobs: Option<usize>,
    #[serde(default)]
    return_token_ids: bool,
    #[serde(default)]
    continue_final_message: bool,
    #[serde(default)]
    add_generation_prompt: Option<bool>,
    /// A text that is no conversation: of `/tokenize`, or what the tokens of `/detokenize` say.
    #[serde(skip)]
    pub(super) text: Option<String>,
    /// Prompts of a completion that come as tokens.
    #[serde(skip)]
    pub(super) prompts: Option<Vec<Vec<u64>>>,
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    #[serde(default)]
    json_schema: Option<JsonSchema>,
}

#[derive(Debug, Deserialize)]
struct JsonSchema {
    #[serde(default)]
    schema: Value,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// One message of a request.
#[derive(Debug, Deserialize)]
pub struct RequestMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Request {
    /// Reads a request body.
    ///
    /// # Errors
    /// The body is not JSON, or has no messages with text.
    pub fn read(body: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
    }

    /// Reads the body of a completion: its prompt becomes the only message, and stays apart if it is of tokens.
    ///
    /// # Errors
    /// The body is not JSON, or its prompt is neither text nor tokens.
    pub fn read_completion(body: &[u8]) -> serde_json::Result<Self> {
        let mut body: Map<String, Value> = serde_json::from_slice(body)?;
        // A number here, a yes or no in chat.
        body.remove("logprobs");
        let prompt = body.remove("prompt").unwrap_or_default();
        let mut prompts: Option<Vec<Vec<u64>>> = None;
        let said = match &prompt {
            Value::Array(list) if list.first().is_some_and(Value::is_array) => {
                prompts = Some(serde_json::from_value(prompt)?);
                Value::String(String::new())
            }
            Value::Array(_) => {
                prompts = Some(vec![serde_json::from_value(prompt)?]);
                Value::String(String::new())
            }
            _ => prompt,
        };
        body.insert("messages".to_owned(), json!([{ "role": "user", "content": said }]));
        Ok(Request { prompts, ..serde_json::from_value(Value::Object(body))? })
    }

    /// Reads the body of `/tokenize` or `/detokenize`: a conversation, a text, or the tokens of one.
    ///
    /// # Errors
    /// The body is not JSON, or holds none of them.
    pub fn read_tokenize(body: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Plain {
            #[serde(default)]
            prompt: Option<String>,
            #[serde(default)]
            tokens: Option<Vec<u64>>,
        }
        let Plain { prompt, tokens } = serde_json::from_slice(body)?;
        let said = tokens.map(|tokens| tokens.into_iter().filter_map(super::measure::text).collect());
        let mut object: Map<String, Value> = serde_json::from_slice(body)?;
        let text = prompt.or(said);
        if text.is_some() {
            object.insert("messages".to_owned(), json!([]));
        }
        Ok(Request { text, ..serde_json::from_value(Value::Object(object))? })
    }

    /// Tokens of the prompt, at about four bytes each, or of the longest one that came as tokens.
    pub fn prompt_tokens(&self) -> u64 {
        match &self.prompts {
            Some(prompts) => prompts.iter().map(|prompt| prompt.len() as u64).max().unwrap_or(0),
            None => self.messages.iter().map(|message| message.content.len() as u64 / 4 + 4).sum(),
        }
    }

    /// Whether a conversation ends with the beginning of the model's turn: so it is unless it is not wanted.
    pub(super) fn adds_generation_prompt(&self) -> bool {
        self.add_generation_prompt != Some(false)
    }

    pub(super) fn max_tokens(&self) -> usize {
        self.max_tokens.or(self.max_completion_tokens).map_or(usize::MAX, |n| n as usize)
    }

    pub(super) fn wants_logprobs(&self) -> bool {
        self.logprobs == Some(true)
    }

    /// How many of the likeliest tokens are wanted, 20 at most.
    pub(super) fn n_top(&self) -> usize {
        self.top_logprobs.unwrap_or(0).min(20)
    }

    /// How many of the likeliest tokens are wanted at each place of the prompt, if any, 20 at most.
    pub(super) fn prompt_logprobs(&self) -> Option<usize> {
        self.prompt_logprobs.map(|n| n.min(20))
    }

    pub(super) fn wants_token_ids(&self) -> bool {
        self.return_token_ids
    }

    /// The request as a server reads it that does not know some fields.
    pub(super) fn forget(&mut self, lacks: MockLacks) {
        if lacks.logprobs {
            self.logprobs = None;
        }
        if lacks.n {
            self.n = None;
        }
        if lacks.json_schema {
            self.response_format = None;
        }
        if lacks.prompt_logprobs {
            self.prompt_logprobs = None;
        }
    }

    /// The model's own text that it is to go on with.
    fn goes_on_from(&self) -> Option<&str> {
        let last = self.messages.last().filter(|message| message.role == "assistant")?;
        self.continue_final_message.then_some(last.content.as_str())
    }

    fn schema(&self) -> Option<&Value> {
        Some(&self.response_format.as_ref()?.json_schema.as_ref()?.schema)
    }

    fn content_hash(&self) -> u64 {
        let mut parts = vec![self.model.as_bytes()];
        for message in &self.messages {
            parts.extend([message.role.as_bytes(), message.content.as_bytes()]);
        }
        draw(&parts)
    }
}

/// An answer before it is put on the wire.
#[derive(Debug, Clone)]
pub struct Reply {
    reasoning: Option<String>,
    content: String,
    finish: &'static str,
    style: ThinkStyle,
}

impl Reply {
    /// Stops half-way, as at a token limit.
    pub fn truncate(&mut self) {
        let half = self.n_tokens() / 2;
        self.limit(half.max(1));
    }

    /// Leaves out as many tokens as stand in a text already, of the thinking and of what follows it.
    fn go_on(&mut self, so_far: &str) {
        let (thought, said) = match so_far.strip_prefix("<think>\n") {
            None => ("", Some(so_far)),
            Some(thought) => match thought.split_once("</think>") {
                None => (thought, None),
                Some((thought, said)) => (thought, Some(said.trim_start())),
            },
        };
        let in_tags = self.content.strip_prefix("<think>\n").and_then(|text| text.split_once("\n</think>\n\n"));
        let (thinking, text) = match (&self.reasoning, in_tags) {
            (Some(thinking), _) => (thinking.as_str(), self.content.as_str()),
            (None, Some(parts)) => parts,
            (None, None) => ("", self.content.as_str()),
        };
        let rest = |text: &str, n: usize| pieces(text).skip(n).collect::<String>();
        let (thinking, text) = match said {
            None => (rest(thinking, pieces(thought).count()), text.to_owned()),
            Some(said) => (String::new(), rest(text, pieces(said).count())),
        };
        // Something is always written: a server that writes nothing is broken.
        let text = if text.is_empty() { ".".to_owned() } else { text };
        self.content = match (&self.reasoning, said) {
            (None, None) => format!("{thinking}\n</think>\n\n{text}"),
            _ => text,
        };
        self.reasoning = self.reasoning.is_some().then_some(thinking);
    }

    /// What is written after the thinking.
    pub(super) fn content(&self) -> &str {
        &self.content
    }

    fn n_tokens(&self) -> usize {
        pieces(self.reasoning.as_deref().unwrap_or("")).count() + pieces(&self.content).count()
    }

    /// Keeps at most so many tokens.
    fn limit(&mut self, mut n_tokens: usize) {
        if self.n_tokens() <= n_tokens {
            return;
        }
        self.finish = "length";
        for text in self.reasoning.iter_mut().chain([&mut self.content]) {
            let kept: usize = pieces(text).take(n_tokens).map(str::len).sum();
            n_tokens -= pieces(text).take(n_tokens).count();
            text.truncate(kept);
        }
    }

    fn reasoning_field(&self) -> &'static str {
        if self.style == ThinkStyle::ReasoningContent { "reasoning_content" } else { "reasoning" }
    }

    /// The answer as one JSON object.
    pub fn to_json(&self, request: &Request) -> Bytes {
        Reply::all_to_json(std::slice::from_ref(self), request)
    }

    /// Several answers to one request as one JSON object; at least one.
    pub(super) fn all_to_json(replies: &[Reply], request: &Request) -> Bytes {
        let choices: Vec<Value> =
            replies.iter().enumerate().map(|(index, reply)| reply.choice(index, request)).collect();
        let prompt = request.prompt_tokens();
        let completion: usize = replies.iter().map(Reply::n_tokens).sum();
        let body = json!({
            "id": "chatcmpl-mock", "object": "chat.completion", "created": 0, "model": request.model,
            "choices": choices, "usage": usage(prompt, completion as u64),
        });
        body.to_string().into()
    }

    fn choice(&self, index: usize, request: &Request) -> Value {
        let mut message = json!({ "role": "assistant", "content": self.content });
        if let Some(reasoning) = &self.reasoning {
            message[self.reasoning_field()] = reasoning.as_str().into();
            if self.content.is_empty() {
                message["content"] = Value::Null;
            }
        }
        let mut choice = json!({ "index": index, "message": message, "finish_reason": self.finish });
        if request.wants_logprobs() {
            choice["logprobs"] = logprobs(&pieces(&self.content).collect::<Vec<_>>(), request);
        }
        choice
    }

    /// The answer as server-sent events.
    pub fn to_sse(&self, request: &Request) -> Bytes {
        #[derive(Serialize)]
        struct Chunk<'a> {
            id: &'static str,
            object: &'static str,
            created: u32,
            model: &'a str,
            choices: Vec<Choice<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            usage: Option<Value>,
        }
        #[derive(Serialize)]
        struct Choice<'a> {
            index: u32,
            delta: HashMap<&'static str, &'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            logprobs: Option<Value>,
            finish_reason: Option<&'a str>,
        }
        let mut sse = Vec::with_capacity(256 + self.content.len() * 4);
        let mut event = |choices: Vec<Choice>, usage: Option<Value>| {
            let chunk = Chunk {
                id: "chatcmpl-mock",
                object: "chat.completion.chunk",
                created: 0,
                model: &request.model,
                choices,
                usage,
            };
            sse.extend_from_slice(b"data: ");
            serde_json::to_writer(&mut sse, &chunk).expect("a Vec takes all");
            sse.extend_from_slice(b"\n\n");
        };
        let delta = |field: &'static str, text| Choice {
            index: 0,
            delta: HashMap::from([(field, text)]),
            logprobs: None,
            finish_reason: None,
        };
        event(vec![delta("role", "assistant")], None);
        for (text, field) in
            self.reasoning.iter().map(|text| (text, self.reasoning_field())).chain([(&self.content, "content")])
        {
            for (piece, tokens) in chunks(text) {
                let mut choice = delta(field, piece);
                if field == "content" && request.wants_logprobs() {
                    choice.logprobs = Some(logprobs(&tokens, request));
                }
                event(vec![choice], None);
            }
        }
        event(vec![Choice { index: 0, delta: HashMap::new(), logprobs: None, finish_reason: Some(self.finish) }], None);
        if request.stream_options.as_ref().is_some_and(|options| options.include_usage) {
            event(Vec::new(), Some(usage(request.prompt_tokens(), self.n_tokens() as u64)));
        }
        sse.extend_from_slice(b"data: [DONE]\n\n");
        sse.into()
    }
}

fn usage(prompt: u64, completion: u64) -> Value {
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

/// Tokens of one made-up step, blank lines included.
const TOKENS_PER_STEP: usize = 17;
/// Tokens that travel in one event.
const TOKENS_PER_EVENT: usize = 8;

/// A text in pieces of a few tokens each.
fn chunks(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let tokens: Vec<&str> = pieces(rest).take(TOKENS_PER_EVENT).collect();
        let (piece, after) = rest.split_at(tokens.iter().map(|token| token.len()).sum());
        rest = after;
        (!piece.is_empty()).then_some((piece, tokens))
    })
}

/// A text in tokens: words with the blank ahead of them, and every other sign by itself.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let head = first.len_utf8();
        let word = |c: char| c.is_alphanumeric();
        let len = if first == ' ' || word(first) {
            head + rest[head..].find(|c| !word(c)).unwrap_or(rest.len() - head)
        } else {
            head
        };
        let (piece, after) = rest.split_at(len);
        rest = after;
        Some(piece)
    })
}

/// Log-probabilities that fall with the rank and sum to less than one.
fn logprobs(tokens: &[&str], request: &Request) -> Value {
    let n_top = request.n_top();
    let one = |token: &str, rank: usize| {
        // 0.6, 0.24, 0.096, ...
        let logprob = (0.6 * 0.4_f64.powi(rank as i32)).ln();
        json!({ "token": token, "logprob": logprob, "bytes": token.as_bytes() })
    };
    let content = tokens.iter().map(|token| {
        let mut entry = one(token, 0);
        let others = (1..n_top).map(|rank| one(&format!("{token}{rank}"), rank));
        let top: Vec<Value> = std::iter::once(one(token, 0)).chain(others).take(n_top).collect();
        entry["top_logprobs"] = top.into();
        entry
    });
    json!({ "content": content.collect::<Vec<_>>() })
}

/// A number from what it depends on.
fn draw(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// A number in 0..1 from what it depends on.
pub(super) fn unit(parts: &[&[u8]]) -> f64 {
    (draw(parts) >> 11) as f64 / (1_u64 << 53) as f64
}
