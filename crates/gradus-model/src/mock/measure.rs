//! How likely the mock finds a text: `/tokenize`, `/detokenize`, and log-probabilities of prompts given as tokens.
//!
//! A token is a word with the blank ahead of it, or another sign, cut into pieces of six bytes at most; its number
//! holds the bytes, so that a prompt can be read without a table. How likely a token is depends on the model's name and
//! the two tokens before it, and it is likelier where it stood before: the more is seen, the less surprises.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::reply::{Request, RequestMessage, pieces, unit};

/// Longest token in bytes; with its length it fits a number that JSON holds exactly.
const LONGEST: usize = 6;

/// The tokens of a text.
pub(super) fn tokens(text: &str) -> Vec<u64> {
    let mut tokens = Vec::new();
    for mut piece in pieces(text) {
        while !piece.is_empty() {
            let end = (1..=LONGEST.min(piece.len())).rev().find(|end| piece.is_char_boundary(*end));
            let (token, rest) = piece.split_at(end.expect("a character has at most four bytes"));
            tokens.push(token.bytes().fold(token.len() as u64, |number, byte| number << 8 | u64::from(byte)));
            piece = rest;
        }
    }
    tokens
}

/// The text of a token; none if no text has it.
pub(super) fn text(token: u64) -> Option<String> {
    let bytes = token.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0)?;
    let (length, token) = (usize::from(bytes[first]), &bytes[first + 1..]);
    (length == token.len()).then(|| String::from_utf8(token.to_vec()).ok())?
}

/// A conversation as the mock's template writes it.
fn rendered(request: &Request) -> String {
    let turn = |message: &RequestMessage| format!("<|im_start|>{}\n{}<|im_end|>\n", message.role, message.content);
    let turns: String = request.messages.iter().map(turn).collect();
    if request.adds_generation_prompt() { turns + "<|im_start|>assistant\n" } else { turns }
}

/// The answer of `/tokenize`.
pub(super) fn tokenized(request: &Request, max_model_len: u32) -> Bytes {
    let tokens = match &request.text {
        Some(text) => tokens(text),
        None => tokens(&rendered(request)),
    };
    let body = json!({ "count": tokens.len(), "max_model_len": max_model_len, "tokens": tokens, "token_strs": null });
    body.to_string().into()
}

/// The answer of `/detokenize`.
pub(super) fn detokenized(request: &Request) -> Bytes {
    json!({ "prompt": request.text }).to_string().into()
}

/// A completion of one token for each prompt, with the log-probabilities of the prompt if they are asked for.
pub(super) fn completion(request: &Request, prompts: &[Vec<u64>], with_ranks: bool) -> Bytes {
    let choices: Vec<Value> = prompts
        .iter()
        .enumerate()
        .map(|(index, prompt)| {
            let seen = request.prompt_logprobs().map(|_| positions(&request.model, prompt, with_ranks));
            json!({
                "index": index, "text": " So", "finish_reason": "length", "logprobs": null, "prompt_logprobs": seen,
            })
        })
        .collect();
    let n_tokens: usize = prompts.iter().map(Vec::len).sum();
    let body = json!({
        "id": "cmpl-mock", "object": "text_completion", "created": 0, "model": request.model, "choices": choices,
        "usage": {
            "prompt_tokens": n_tokens, "completion_tokens": prompts.len(), "total_tokens": n_tokens + prompts.len(),
        },
    });
    body.to_string().into()
}

fn positions(model: &str, prompt: &[u64], with_ranks: bool) -> Vec<Value> {
    let mut known = HashSet::new();
    let position = |(at, token): (usize, &u64)| {
        let before: Vec<u8> = prompt[at.saturating_sub(2)..=at].iter().flat_map(|token| token.to_le_bytes()).collect();
        let drawn = unit(&[b"measure", model.as_bytes(), &before]).max(1e-5);
        let p = if known.insert(*token) { drawn } else { drawn.sqrt() };
        if at == 0 {
            return Value::Null;
        }
        let mut entry = json!({ "logprob": p.ln(), "decoded_token": text(*token) });
        if with_ranks {
            // So many tokens at most can be as likely.
            entry["rank"] = ((1.0 / p).floor() as u64).into();
        }
        json!({ token.to_string(): entry })
    };
    prompt.iter().enumerate().map(position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_from_its_tokens() {
        for sample in ["", "So 2 + 2 = 4, incontrovertibly.\n\n", "né\u{1f600}\u{1f600}", "<think>\nx\0\n</think>"] {
            let back: String = tokens(sample).into_iter().map(|token| text(token).expect("a token of it")).collect();
            assert_eq!(back, sample);
        }
        for odd in [0, 1, 0x0261, u64::MAX, 0x01ff] {
            assert_eq!(text(odd), None, "{odd:x}");
        }
    }
}
