//! Asks an endpoint how likely its model finds a text: `/tokenize`, then `prompt_logprobs` with ranks, as vLLM has them.
//!
//! Nothing is believed that did not come: a server that answers 200 without ranks, or without log-probabilities of the
//! prompt, or reads another text than it was sent, cannot measure, and the fault says so.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, OpenAi};
use crate::fault::excerpt;
use crate::limit::Outcome;
use crate::measure::{StepSum, TokenScore, TokenScores, Window};
use crate::read::{error_in_value, read_usage};
use crate::{Fault, FaultKind, Measure, Usage};

/// Tokens at the end of a prompt that are turned back into text, to see whether it opens a thinking part.
const TAIL: usize = 8;
/// Most windows in one request.
const WINDOWS: usize = 64;
/// Most tokens of the windows in one request: each comes back with some 100 bytes.
const WINDOW_TOKENS: usize = 1 << 16;
/// So far a token is looked for behind tokens that are parts of characters.
const RESYNC: usize = 64;

impl OpenAi {
    /// One try. Its requests are sent one after another, in one place among those of this endpoint.
    pub(super) async fn token_scores(&self, request: &Measure) -> Result<TokenScores, Fault> {
        request.check()?;
        let asked: usize = request.messages.iter().map(|message| message.content.len()).sum();
        let permit = self.permit((asked + request.completion.len()) as u64 / 4).await?;
        match self.ask_tokens(request).await {
            Ok(scores) => {
                permit.settle(Outcome::Answered, scores.usage.prompt);
                Ok(scores)
            }
            Err(failure) => {
                permit.settle(failure.outcome, None);
                Err(self.scrubbed(failure.fault))
            }
        }
    }

    async fn ask_tokens(&self, request: &Measure) -> Result<TokenScores, Failure> {
        let model = &self.config.model;
        let mut chat = json!({ "model": model, "messages": request.messages, "add_generation_prompt": true });
        super::merge(chat.as_object_mut().expect("made as an object"), &request.extra);
        let Tokenized { tokens: prompt, max_model_len } = self.tokenize(request, &chat).await?;
        let opened = if request.completion.starts_with("<think>") {
            request.n_opened(&self.detokenize(request, &prompt[prompt.len().saturating_sub(TAIL)..]).await?)
        } else {
            0
        };
        let text = &request.completion[opened..];
        let plain = json!({ "model": model, "prompt": text, "add_special_tokens": false });
        let Tokenized { tokens: completion, .. } = self.tokenize(request, &plain).await?;
        let n_prompt = prompt.len();
        let n_tokens = n_prompt + completion.len();
        if let Some(most) = max_model_len.filter(|most| n_tokens as u64 >= *most) {
            let message = format!("prompt and text have {n_tokens} tokens, the context of `{model}` {most}");
            return Err(Failure::of(Fault::new(FaultKind::ContextTooLong, message)));
        }

        let mut usage = Usage { prompt: Some(0), completion: Some(0), ..Usage::default() };
        let whole = [[prompt.as_slice(), &completion].concat()];
        let answered = self.prompt_logprobs(request, &whole, &mut usage).await?;
        let (seen, returned) = answered.read(&whole, &[n_prompt]).map_err(Failure::of)?;
        let [seen] = <[_; 1]>::try_from(seen).expect("one prompt, one list");
        let decoded: Vec<&str> = seen.iter().map(|(_, decoded)| decoded.as_ref()).collect();
        let Some(starts) = starts(text, &decoded) else {
            return Err(Failure::of(refuse(
                "expected the tokens of the text that was sent, found those of another: does the server change it?",
            )));
        };

        let mut local = None;
        if let Some(wanted) = &request.local {
            let starts: Vec<usize> = starts.iter().map(|start| start + opened).collect();
            let windows = wanted.windows(&starts);
            local = Some(self.windows(request, &prompt, &completion, &windows, &mut usage).await?);
        }
        let tokens = seen.into_iter().map(|(score, _)| score).collect();
        Ok(TokenScores { tokens, local, usage, cost_usd: None, model: returned })
    }

    /// Each step after its window, several in one request.
    async fn windows(
        &self,
        request: &Measure,
        prompt: &[u64],
        completion: &[u64],
        windows: &[Window],
        usage: &mut Usage,
    ) -> Result<Vec<StepSum>, Failure> {
        let mut sums = Vec::with_capacity(windows.len());
        let mut rest = windows;
        while !rest.is_empty() {
            let mut n_tokens = 0;
            let fits = |window: &&Window| {
                n_tokens += prompt.len() + window.step.end - window.begin;
                n_tokens <= WINDOW_TOKENS
            };
            let n = rest.iter().take(WINDOWS).take_while(fits).count().max(1);
            let (now, later) = rest.split_at(n);
            rest = later;
            let measured: Vec<&Window> = now.iter().filter(|window| !window.step.is_empty()).collect();
            let prompts: Vec<Vec<u64>> =
                measured.iter().map(|window| [prompt, &completion[window.begin..window.step.end]].concat()).collect();
            let from: Vec<usize> =
                measured.iter().map(|window| prompt.len() + window.step.start - window.begin).collect();
            let mut seen = Vec::new().into_iter();
            let answered;
            if !prompts.is_empty() {
                answered = self.prompt_logprobs(request, &prompts, usage).await?;
                seen = answered.read(&prompts, &from).map_err(Failure::of)?.0.into_iter();
            }
            sums.extend(now.iter().map(|window| {
                if window.step.is_empty() {
                    return StepSum { logprob: 0.0, n_tokens: 0 };
                }
                let tokens = seen.next().expect("one list for each window");
                let logprob = tokens.iter().map(|(score, _)| f64::from(score.logprob)).sum();
                StepSum { logprob, n_tokens: tokens.len() as u32 }
            }));
        }
        Ok(sums)
    }

    /// The log-probabilities of some prompts, given as tokens.
    async fn prompt_logprobs(
        &self,
        request: &Measure,
        prompts: &[Vec<u64>],
        usage: &mut Usage,
    ) -> Result<Answered, Failure> {
        // With 0 some versions take the field for absent.
        let mut body = json!({
            "model": self.config.model, "max_tokens": 1, "temperature": 0.0, "stream": false, "prompt_logprobs": 1,
        });
        body["prompt"] = match prompts {
            [one] => json!(one),
            several => json!(several),
        };
        super::merge(body.as_object_mut().expect("made as an object"), &request.extra);
        let value = self.ask_object("completions", request, &body).await?;
        let answered = Answered::deserialize(value)
            .map_err(|error| refuse(format!("expected a completion with log-probabilities: {error}")));
        let answered = answered.map_err(Failure::of)?;
        let read = if answered.usage.is_null() { Usage::default() } else { read_usage(&answered.usage) };
        // What is not told is known: the tokens were counted before they were sent.
        let n_tokens: usize = prompts.iter().map(Vec::len).sum();
        let add = |sum: &mut Option<u64>, more: u64| *sum = sum.map(|sum| sum + more);
        add(&mut usage.prompt, read.prompt.unwrap_or(n_tokens as u64));
        add(&mut usage.completion, read.completion.unwrap_or(prompts.len() as u64));
        if let Some(cached) = read.cached {
            usage.cached = Some(usage.cached.unwrap_or(0) + cached);
        }
        Ok(answered)
    }

    /// The tokens of a conversation or a text.
    async fn tokenize(&self, request: &Measure, body: &Value) -> Result<Tokenized, Failure> {
        let value = self.ask_object(&format!("{}tokenize", self.root()), request, body).await?;
        let read = Tokenized::deserialize(&value).ok().filter(|read| !read.tokens.is_empty());
        read.ok_or_else(|| {
            let found = excerpt(&value.to_string());
            Failure::of(refuse(format!("expected `tokens` of `/tokenize` as vLLM lists them, found {found}")))
        })
    }

    /// The text of tokens.
    async fn detokenize(&self, request: &Measure, tokens: &[u64]) -> Result<String, Failure> {
        let body = json!({ "model": self.config.model, "tokens": tokens });
        let value = self.ask_object(&format!("{}detokenize", self.root()), request, &body).await?;
        value["prompt"].as_str().map(str::to_owned).ok_or_else(|| {
            let found = excerpt(&value.to_string());
            Failure::of(refuse(format!("expected `prompt` of `/detokenize` as vLLM writes it, found {found}")))
        })
    }

    /// Posts a body to a route and takes in a JSON object that reports no error.
    async fn ask_object(&self, path: &str, request: &Measure, body: &Value) -> Result<Value, Failure> {
        let bytes = serde_json::to_vec(body).expect("JSON values serialise");
        let answered = self.post(path, &request.request_id, bytes, self.idle_timeout()).await;
        let (body, _, cut) = answered.map_err(|failure| without_route(failure, path))?;
        if let Some(cut) = cut {
            return Err(Failure { fault: cut.fault.with_body(body), ..cut });
        }
        let fault = |fault: Fault| Failure::of(Fault { status: Some(200), ..fault }.with_body(body.clone()));
        let value: Value = serde_json::from_slice(body.trim_ascii()).map_err(|error| {
            let found = excerpt(&String::from_utf8_lossy(&body[..body.len().min(2000)]));
            fault(Fault::new(FaultKind::Transient, format!("expected JSON ({error}), found: {found}")))
        })?;
        match error_in_value(&value) {
            Some(said) => Err(fault(said.inside_success())),
            None => Ok(value),
        }
    }
}

/// A missing route says that this server cannot measure, not that it lacks the model.
fn without_route(mut failure: Failure, path: &str) -> Failure {
    if matches!(failure.fault.status, Some(404 | 405 | 501)) {
        let route = path.trim_start_matches("../");
        failure.fault.message += &format!(" (asked at `/{route}`: without that route it cannot measure)");
        if route != "completions" {
            failure.fault.kind = FaultKind::BadRequest;
            failure.outcome = Outcome::Answered;
        }
    }
    failure
}

/// A fault that no other try will mend.
fn refuse(message: impl Into<String>) -> Fault {
    Fault { status: Some(200), ..Fault::new(FaultKind::BadRequest, message) }
}

#[derive(Deserialize)]
struct Tokenized {
    tokens: Vec<u64>,
    #[serde(default)]
    max_model_len: Option<u64>,
}

/// A completion, as far as it speaks of its prompts.
#[derive(Deserialize)]
struct Answered {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    model: Option<String>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    #[serde(default)]
    prompt_logprobs: Option<Vec<Option<HashMap<String, Entry>>>>,
}

#[derive(Deserialize)]
struct Entry {
    logprob: f64,
    #[serde(default)]
    rank: Option<u32>,
    #[serde(default)]
    decoded_token: Option<String>,
}

/// A token's score and its text.
type Seen<'a> = (TokenScore, Cow<'a, str>);

impl Answered {
    /// What is said of each prompt's tokens, each from one of them on; and the name of the model.
    fn read(&self, prompts: &[Vec<u64>], from: &[usize]) -> Result<(Vec<Vec<Seen<'_>>>, Option<String>), Fault> {
        let mut choices: Vec<&Choice> = self.choices.iter().collect();
        choices.sort_by_key(|choice| choice.index);
        if choices.len() != prompts.len() {
            return Err(refuse(format!("expected {} choices, found {}", prompts.len(), choices.len())));
        }
        let seen = choices.iter().zip(prompts).zip(from).map(|((choice, prompt), from)| choice.read(prompt, *from));
        Ok((seen.collect::<Result<_, _>>()?, self.model.clone().filter(|model| !model.is_empty())))
    }
}

impl Choice {
    fn read(&self, prompt: &[u64], from: usize) -> Result<Vec<Seen<'_>>, Fault> {
        let Some(positions) = self.prompt_logprobs.as_ref().filter(|positions| !positions.is_empty()) else {
            return Err(refuse(
                "expected log-probabilities of the prompt, found none: the server ignores `prompt_logprobs`",
            ));
        };
        if positions.len() != prompt.len() {
            return Err(refuse(format!(
                "expected log-probabilities of {} tokens, found {}: was the prompt cut?",
                prompt.len(),
                positions.len()
            )));
        }
        let seen = prompt.iter().zip(positions).skip(from).map(|(id, position)| {
            let entry = position.as_ref().and_then(|position| position.get(&id.to_string()));
            let entry =
                entry.ok_or_else(|| refuse(format!("expected the log-probability of token {id}, found none")))?;
            // Rounding puts certain tokens a little above zero.
            if !(entry.logprob.is_finite() && entry.logprob <= 1e-2) {
                return Err(refuse(format!("expected a log-probability, at most 0, found {}", entry.logprob)));
            }
            let Some(rank) = entry.rank.filter(|rank| *rank > 0) else {
                return Err(refuse(
                    "expected the ranks of the prompt's tokens, found log-probabilities alone: the server does not \
                     tell ranks",
                ));
            };
            let decoded = entry.decoded_token.as_deref().unwrap_or_default();
            Ok((TokenScore { logprob: entry.logprob.min(0.0) as f32, rank }, Cow::Borrowed(decoded)))
        });
        seen.collect()
    }
}

/// The byte of the text at which the first sign of each token stands, from what the server calls the tokens; none if
/// those make another text. Blanks are not compared, since tokenisers that put one before each word do not tell it. A
/// token that is a part of a character has no text of its own; the next one that has is looked for.
fn starts(text: &str, decoded: &[&str]) -> Option<Vec<usize>> {
    let mut at = 0;
    let mut lost = false;
    let mut starts = Vec::with_capacity(decoded.len());
    for token in decoded {
        let signs = token.trim();
        if signs.is_empty() && !token.is_empty() {
            starts.push(at);
            continue;
        }
        let far = text[at..].char_indices().map(|(offset, _)| at + offset).take(if lost { RESYNC } else { 1 });
        let found = far.filter(|_| !signs.is_empty()).find_map(|begin| Some((begin, reach(text, begin, signs)?)));
        match found {
            Some((begin, end)) => {
                starts.push(next_sign(text, begin));
                at = end;
                lost = false;
            }
            None if token.is_empty() || token.contains('\u{fffd}') => {
                starts.push(next_sign(text, at));
                lost = true;
            }
            None => return None,
        }
    }
    (lost || text[at..].trim().is_empty()).then_some(starts)
}

fn next_sign(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start().len()
}

/// Where the signs end if they stand at this byte, blanks apart.
fn reach(text: &str, begin: usize, signs: &str) -> Option<usize> {
    let mut at = begin;
    for sign in signs.chars().filter(|sign| !sign.is_whitespace()) {
        at = next_sign(text, at);
        at += text[at..].strip_prefix(sign).map(|_| sign.len_utf8())?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, decoded: &[&str], expected: Option<&[usize]>) {
        assert_eq!(starts(text, decoded).as_deref(), expected, "{text:?} {decoded:?}");
    }

    #[test]
    fn tokens_are_found_in_the_text_they_are_of() {
        check("So it is\n\n 4.", &["So", " it", " is", "\n\n", " ", "4", "."], Some(&[0, 3, 6, 8, 8, 11, 12]));
        // SentencePiece tells no blank of its own.
        check("So it is", &["So", "it", "is"], Some(&[0, 3, 6]));
        check("So it is", &["So", "it"], None);
        check("So it is", &["So", "it", "was"], None);
        check("So", &["So", "\n"], Some(&[0, 2]));
    }

    #[test]
    fn parts_of_characters_are_passed_over() {
        check("a \u{1f600} b", &["a", " \u{fffd}", "\u{fffd}", " b"], Some(&[0, 2, 2, 7]));
        check("\u{1f600}", &["\u{fffd}", ""], Some(&[0, 0]));
        check("\u{fffd} b", &["\u{fffd}", " b"], Some(&[0, 4]));
        check("\u{1f600} c", &["\u{fffd}", " b"], None);
    }

    proptest! {
        #[test]
        fn any_cut_of_a_text_is_found_again(text in "[a-c \n.é]{1,40}", cuts in proptest::collection::vec(1_usize..4, 40)) {
            let chars: Vec<char> = text.chars().collect();
            let mut pieces: Vec<String> = Vec::new();
            let mut at = 0;
            for cut in cuts {
                let end = (at + cut).min(chars.len());
                if end > at {
                    pieces.push(chars[at..end].iter().collect());
                }
                at = end;
            }
            let decoded: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let found = starts(&text, &decoded).expect("they are of this text");
            let mut begin = 0;
            for (piece, start) in pieces.iter().zip(found) {
                if !piece.trim().is_empty() {
                    prop_assert_eq!(start, begin + piece.len() - piece.trim_start().len());
                }
                begin += piece.len();
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}", decoded in proptest::collection::vec("(\\PC{0,3}|\u{fffd}|)", 0..12)) {
            let decoded: Vec<&str> = decoded.iter().map(String::as_str).collect();
            if let Some(starts) = starts(&text, &decoded) {
                prop_assert_eq!(starts.len(), decoded.len());
                prop_assert!(starts.iter().all(|start| text.is_char_boundary(*start)));
            }
        }
    }
}
