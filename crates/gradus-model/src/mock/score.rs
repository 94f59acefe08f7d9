//! What the mock says of steps, in each form that a process reward model is asked.
//!
//! How right a step is depends on its last three words alone, so that all forms agree about a step that has
//! three. Of a thousand steps, about 750 are rather right than wrong.

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::reply::{Request, pieces, unit};

/// How the mock knows steps and labels.
#[derive(Debug, Clone)]
pub struct MockPrm {
    /// Texts that end a step in `/pooling` and in prompts.
    pub marks: Vec<String>,
    /// Label of a right step and of a wrong one.
    pub labels: [String; 2],
}

impl Default for MockPrm {
    fn default() -> Self {
        MockPrm { marks: vec!["<extra_0>".to_owned(), "ки".to_owned()], labels: ["+".to_owned(), "-".to_owned()] }
    }
}

/// Probability that is left for tokens that are no label.
const REST: f64 = 0.05;

impl MockPrm {
    /// The probability that a step is right, 0..=1.
    pub fn p_right(step: &str) -> f64 {
        let mut words: Vec<&str> = step.split_whitespace().rev().take(3).collect();
        words.reverse();
        unit(&[b"step", words.join(" ").as_bytes()]).powf(0.5)
    }

    /// Whether a request for a chat completion asks for a label: one token, with those beside it.
    pub(super) fn asks_label(request: &Request) -> bool {
        request.max_tokens() == 1 && request.wants_logprobs() && request.n_top() > 0
    }

    /// A row of class probabilities for each mark of the assistant's turns: vLLM's `/pooling`.
    pub(super) fn pooling(&self, request: &Request) -> Bytes {
        let answer: String =
            request.messages.iter().filter(|message| message.role == "assistant").map(|m| m.content.as_str()).collect();
        let rows: Vec<[f64; 2]> = self.steps(&answer).map(Self::p_right).map(|right| [1.0 - right, right]).collect();
        let n_tokens = request.prompt_tokens();
        let body = json!({
            "id": "pool-mock", "object": "list", "created": 0, "model": request.model,
            "data": [{ "index": 0, "object": "pooling", "data": rows }],
            "usage": { "prompt_tokens": n_tokens, "completion_tokens": 0, "total_tokens": n_tokens },
        });
        body.to_string().into()
    }

    /// What stands before each mark, back to the mark before.
    fn steps<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let ends = self.marks.iter().filter_map(|mark| Some((rest.find(mark.as_str())?, mark.len())));
            let (at, len) = ends.min()?;
            let step = &rest[..at];
            rest = &rest[at + len..];
            Some(step)
        })
    }

    /// A label for the last message, with the tokens beside it.
    pub(super) fn label(&self, request: &Request) -> Bytes {
        let step = request.messages.last().map_or("", |message| message.content.as_str());
        let tokens = self.likely(step, request.n_top());
        let entry =
            |(token, p): &(String, f64)| json!({ "token": token, "logprob": p.ln(), "bytes": token.as_bytes() });
        let mut first = entry(&tokens[0]);
        first["top_logprobs"] = tokens.iter().map(entry).collect();
        let n_tokens = request.prompt_tokens();
        let body = json!({
            "id": "chatcmpl-mock", "object": "chat.completion", "created": 0, "model": request.model,
            "choices": [{
                "index": 0, "message": { "role": "assistant", "content": tokens[0].0 }, "finish_reason": "length",
                "logprobs": { "content": [first] },
            }],
            "usage": { "prompt_tokens": n_tokens, "completion_tokens": 1, "total_tokens": n_tokens + 1 },
        });
        body.to_string().into()
    }

    /// The likeliest tokens behind a step, in falling order.
    fn likely(&self, step: &str, n: usize) -> Vec<(String, f64)> {
        let right = Self::p_right(step);
        let [positive, negative] = &self.labels;
        let labels = [(positive.clone(), right * (1.0 - REST)), (negative.clone(), (1.0 - right) * (1.0 - REST))];
        let others = (0..18).map(|rank| (format!("w{rank}"), REST * 0.5_f64.powi(rank + 1)));
        let mut tokens: Vec<(String, f64)> = labels.into_iter().chain(others).collect();
        tokens.sort_by(|a, b| b.1.total_cmp(&a.1));
        tokens.truncate(n);
        tokens
    }

    /// A completion with the log-probabilities of its prompt, if they are asked for: vLLM's `prompt_logprobs`.
    pub(super) fn completion(&self, request: &Request, text: &str, with_ranks: bool) -> Bytes {
        let prompt = request.messages.first().map_or("", |message| message.content.as_str());
        let tokens: Vec<&str> = pieces(prompt).collect();
        let n_top = request.prompt_logprobs();
        let prompt_logprobs =
            n_top.map(|n_top| (0..tokens.len()).map(|at| self.position(&tokens, at, n_top, with_ranks)).collect());
        let ids = || tokens.iter().map(|token| id(token)).collect();
        let body = Completion {
            id: "cmpl-mock",
            object: "text_completion",
            created: 0,
            model: &request.model,
            choices: [CompletionChoice {
                index: 0,
                text,
                finish_reason: "length",
                logprobs: None,
                prompt_logprobs,
                prompt_token_ids: request.wants_token_ids().then(ids),
            }],
            usage: json!({
                "prompt_tokens": tokens.len(), "completion_tokens": 1, "total_tokens": tokens.len() + 1,
            }),
        };
        serde_json::to_vec(&body).expect("strings and finite numbers serialise").into()
    }

    /// The token at a place and the likeliest ones there. Nothing is told of the first.
    fn position(&self, tokens: &[&str], at: usize, n_top: usize, with_ranks: bool) -> Option<Position> {
        let before = at.checked_sub(1)?;
        let is_mark = |token: &&str| self.marks.iter().any(|mark| token.trim() == mark);
        let likely = if is_mark(&tokens[before]) {
            let start = tokens[..before].iter().rposition(is_mark).map_or(0, |mark| mark + 1);
            self.likely(&tokens[start..before].concat(), n_top)
        } else {
            (0..n_top as i32).map(|rank| (format!("w{rank}"), 0.5_f64.powi(rank + 1))).collect()
        };
        let entry = |p: f64, rank: usize, token: &str| {
            let rank = with_ranks.then_some(rank);
            (id(token), Entry { logprob: p.ln(), rank, decoded_token: token.to_owned() })
        };
        let mut entries = vec![entry(1e-4, 40, tokens[at])];
        let others = likely.iter().enumerate().map(|(rank, (token, p))| entry(*p, rank + 1, token));
        entries.extend(others.filter(|(_, entry)| entry.decoded_token != tokens[at]));
        Some(Position(entries))
    }
}

/// A number for a token; two tokens may share one, as long as nobody asks for millions.
fn id(token: &str) -> u64 {
    (unit(&[b"token", token.as_bytes()]) * f64::from(1 << 30)) as u64
}

/// A completion, with its fields in vLLM's order: which token stands at a place shows in the order alone.
#[derive(Serialize)]
struct Completion<'a> {
    id: &'static str,
    object: &'static str,
    created: u32,
    model: &'a str,
    choices: [CompletionChoice<'a>; 1],
    usage: Value,
}

#[derive(Serialize)]
struct CompletionChoice<'a> {
    index: u32,
    text: &'a str,
    finish_reason: &'static str,
    logprobs: Option<()>,
    prompt_logprobs: Option<Vec<Option<Position>>>,
    prompt_token_ids: Option<Vec<u64>>,
}

/// The tokens named at one place of a prompt, the one that stands there first.
struct Position(Vec<(u64, Entry)>);

#[derive(Serialize)]
struct Entry {
    logprob: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<usize>,
    decoded_token: String,
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.collect_map(self.0.iter().map(|(id, entry)| (id.to_string(), entry)))
    }
}
