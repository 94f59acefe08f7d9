//! How likely does a model find a text that it did not write? One forward pass over a chain of thought.
//!
//! What is asked ([`Measure`]), and the one normal form of the answer ([`TokenScores`]): log-probability and rank of
//! each token, and what the tokens of a step come to if the model sees a few steps before it only ([`Local`]). What
//! they mean for training is none of this file's business.

use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::fault::excerpt;
use crate::read::read_usage;
use crate::{Fault, FaultKind, Message, Raw, Usage, Wire};

/// Opens a thinking part.
const OPEN: &str = "<think>";

/// One measurement to ask for.
///
/// Measured are the tokens of the completion, each after the prompt and all tokens before it. The token that ends the
/// turn is left out, as in the authors' code for the Rank-Surprisal Ratio (arXiv 2601.14249). Prompt and completion are
/// cut into tokens each for itself, as they are when the model goes on from its own prompt; nothing else of the chat
/// template is looked at, because many templates drop the thinking part of a turn that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// The asking side.
    pub messages: Vec<Message>,
    /// What the assistant is taken to have said, thinking part included.
    pub completion: String,
    /// How it is cut into steps, if these are measured in windows too.
    pub local: Option<Local>,
    /// Further fields of the request body, as the user's config gives them.
    pub extra: Map<String, Value>,
    /// Id of the work in the ledger; sent as `X-Request-Id`.
    pub request_id: String,
}

/// The steps of a completion, and how many of them are seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Local {
    /// Where each step ends, in bytes of the completion: rising, the last one its length.
    pub ends: Vec<usize>,
    /// Most steps between the prompt and the step that is measured.
    pub context: u32,
}

/// What a model thinks of one token where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenScore {
    /// Natural logarithm of its probability at temperature 1; at most 0.
    pub logprob: f32,
    /// 1 if no token was likelier.
    pub rank: u32,
}

/// What a model thinks of a step after few others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSum {
    /// Sum of its tokens' log-probabilities; at most 0.
    pub logprob: f64,
    /// How many tokens those are; 0 if a token reaches over all of it.
    pub n_tokens: u32,
}

/// What a model thinks of a completion.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenScores {
    /// Each token of the completion, at least one.
    pub tokens: Vec<TokenScore>,
    /// Each step of it in its window, if that was asked for. Their tokens are those of the completion.
    pub local: Option<Vec<StepSum>>,
    /// Token counts; tokens that are read in several windows count as often.
    pub usage: Usage,
    /// Cost as the server reports it, in US dollars.
    pub cost_usd: Option<f64>,
    /// Model name in the response.
    pub model: Option<String>,
}

/// The tokens of a step, and where its window begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The first token that stands behind the prompt in this window.
    pub begin: usize,
    /// The tokens that are measured; may be none.
    pub step: Range<usize>,
}

impl Measure {
    /// Whether this can be asked at all.
    ///
    /// # Errors
    /// A `BadRequest`: a completion without a sign, or ends of steps that do not fit it.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |why: &str| Fault::new(FaultKind::BadRequest, format!("this text cannot be measured: {why}"));
        if self.completion.trim().is_empty() {
            return Err(bad("it is empty"));
        }
        let Some(Local { ends, .. }) = &self.local else { return Ok(()) };
        let rising = ends.windows(2).all(|pair| pair[0] < pair[1]) && ends.first() != Some(&0);
        let fits = ends.last() == Some(&self.completion.len());
        if !rising || !fits || ends.iter().any(|end| !self.completion.is_char_boundary(*end)) {
            return Err(bad("its steps do not join to it"));
        }
        Ok(())
    }

    /// How many bytes of the completion the end of the prompt says already: chat templates of thinking models write
    /// `<think>` themselves. Those bytes are not measured.
    pub fn n_opened(&self, prompt: &str) -> usize {
        let Some(at) = prompt.rfind(OPEN).filter(|_| prompt.trim_end().ends_with(OPEN)) else { return 0 };
        let (said, completion) = (&prompt.as_bytes()[at..], self.completion.as_bytes());
        let common = said.iter().zip(completion).take_while(|(a, b)| a == b).count();
        if common < OPEN.len() { 0 } else { self.completion.floor_char_boundary(common) }
    }
}

impl Local {
    /// The window of each step. `starts` are the bytes of the completion at which the first sign of each token stands,
    /// in order; a token belongs to the step in which that sign is.
    pub fn windows(&self, starts: &[usize]) -> Vec<Window> {
        let mut begin = 0;
        let steps: Vec<Range<usize>> = self
            .ends
            .iter()
            .map(|end| {
                let step = begin..starts.partition_point(|start| start < end).max(begin);
                begin = step.end;
                step
            })
            .collect();
        let context = self.context as usize;
        let window = |(at, step): (usize, &Range<usize>)| Window {
            begin: steps[at.saturating_sub(context)].start,
            step: step.clone(),
        };
        steps.iter().enumerate().map(window).collect()
    }
}

/// Where the first sign of a piece of text stands that begins at a byte; the byte itself if it has none.
pub fn first_sign(begin: usize, piece: &[u8]) -> usize {
    begin + piece.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0)
}

impl Raw {
    /// Reads an answer to a measurement; `n_steps` if steps were to be measured.
    ///
    /// # Errors
    /// A [`Fault`] that carries the body: something that is no such answer, numbers that are no log-probabilities or
    /// no ranks, another number of steps, or steps whose tokens are not those of the whole.
    pub fn read_tokens(&self, n_steps: Option<usize>) -> Result<TokenScores, Fault> {
        let read = if self.wire == Wire::TokensJson {
            read(&self.body, n_steps)
        } else {
            Err(refuse(format!("expected scores of tokens, found {:?}", self.wire)))
        };
        read.map_err(|fault| fault.with_body(self.body.clone()))
    }
}

/// What stands in such an answer.
const OBJECT: &str = "gradus.token_scores";

impl TokenScores {
    /// The scores as this crate writes them: [`Wire::TokensJson`].
    ///
    /// `{"object": "gradus.token_scores", "model", "tokens": [[logprob, rank], ..], "local": [[sum, n], ..], "usage"}`.
    pub fn to_raw(&self) -> Raw {
        let tokens: Vec<(f32, u32)> = self.tokens.iter().map(|token| (token.logprob, token.rank)).collect();
        let pairs = |steps: &Vec<StepSum>| steps.iter().map(|step| (step.logprob, step.n_tokens)).collect();
        let local: Option<Vec<(f64, u32)>> = self.local.as_ref().map(pairs);
        #[derive(serde::Serialize)]
        struct Body<'a> {
            object: &'static str,
            model: &'a Option<String>,
            tokens: Vec<(f32, u32)>,
            #[serde(skip_serializing_if = "Option::is_none")]
            local: Option<Vec<(f64, u32)>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            usage: Option<Value>,
        }
        let usage = self.usage.prompt.map(|prompt| {
            let mut usage = json!({ "prompt_tokens": prompt, "completion_tokens": self.usage.completion.unwrap_or(0) });
            if let Some(cost) = self.cost_usd {
                usage["cost"] = cost.into();
            }
            usage
        });
        let body = Body { object: OBJECT, model: &self.model, tokens, local, usage };
        let body = serde_json::to_vec(&body).expect("numbers and strings serialise");
        Raw { wire: Wire::TokensJson, body: body.into() }
    }
}

/// A fault that no other try will mend.
fn refuse(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::BadRequest, message)
}

fn read(bytes: &[u8], n_steps: Option<usize>) -> Result<TokenScores, Fault> {
    #[derive(Deserialize)]
    struct Body {
        object: String,
        model: Option<String>,
        tokens: Vec<(f32, u32)>,
        local: Option<Vec<(f64, u32)>>,
        #[serde(default)]
        usage: Value,
    }
    let body: Body = serde_json::from_slice(bytes).map_err(|error| {
        let found = excerpt(&String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]));
        Fault::new(FaultKind::Transient, format!("expected scores of tokens ({error}), found: {found}"))
    })?;
    if body.object != OBJECT {
        return Err(refuse(format!("expected `{OBJECT}`, found `{}`", excerpt(&body.object))));
    }
    if body.tokens.is_empty() {
        return Err(refuse("expected scores of tokens, found none"));
    }
    let bad = |(logprob, rank): &&(f32, u32)| !(logprob.is_finite() && *logprob <= 0.0 && *rank > 0);
    if let Some((logprob, rank)) = body.tokens.iter().find(bad) {
        return Err(refuse(format!(
            "expected a log-probability, at most 0, and a rank from 1 on, found {logprob} and {rank}"
        )));
    }
    let found = body.local.as_ref().map(Vec::len);
    if found != n_steps {
        return Err(refuse(format!("expected {} steps, found {}", n_steps.unwrap_or(0), found.unwrap_or(0))));
    }
    if let Some(steps) = &body.local {
        let bad = |(sum, n): &&(f64, u32)| !(sum.is_finite() && *sum <= 0.0 && (*n > 0 || *sum == 0.0));
        if let Some((sum, n)) = steps.iter().find(bad) {
            return Err(refuse(format!("expected a sum of log-probabilities, at most 0, found {sum} of {n} tokens")));
        }
        let n_tokens: u64 = steps.iter().map(|(_, n)| u64::from(*n)).sum();
        if n_tokens != body.tokens.len() as u64 {
            return Err(refuse(format!("expected steps of {} tokens together, found {n_tokens}", body.tokens.len())));
        }
    }
    let usage = if body.usage.is_null() { Usage::default() } else { read_usage(&body.usage) };
    Ok(TokenScores {
        tokens: body.tokens.into_iter().map(|(logprob, rank)| TokenScore { logprob, rank }).collect(),
        local: body
            .local
            .map(|steps| steps.into_iter().map(|(logprob, n_tokens)| StepSum { logprob, n_tokens }).collect()),
        usage,
        cost_usd: body.usage["cost"].as_f64().filter(|cost| cost.is_finite() && *cost >= 0.0),
        model: body.model.filter(|model| !model.is_empty()),
    })
}
