//! Does the engine agree with others about the same file?
//!
//! `cargo run --release -p gradus-gguf --example compare -- MODEL q8|f32|tokens|none HOST:PORT|REFERENCE.jsonl [TEXT]`
//!
//! The model is a GGUF file or a folder of safetensors. With an address: a llama.cpp server that runs the same model. With a file: one JSON object per line, with `tokens`, and
//! `logprobs` and `likeliest` of all tokens but the first, and the `text` if the tokens are to be compared as well
//! (`compare_transformers.py` writes such files). The text is cut into pieces of 4,000 bytes; it may be such a file too,
//! for its tokens. With `tokens`, only the tokens of each line are compared. With `none`, the engine stays out of it: a
//! server or a file is compared with a file.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use gradus_gguf::{Engine, EngineConfig, Precision};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What another implementation thinks of a text.
struct Reference {
    text: Option<String>,
    tokens: Vec<u32>,
    /// Of all tokens but the first, as the next; none if the other side did not tell.
    logprobs: Vec<Option<f64>>,
    likeliest: Vec<Option<u32>>,
}

const TEXT: &str = "A lighthouse keeper counts 17 ships in the morning and 25 more before noon; how many ships is that? \
    First add the tens: 10 + 20 = 30. Then add the ones: 7 + 5 = 12. Together that is 30 + 12 = 42 ships.\n\n\
    def total(ships):\n    \"\"\"Adds up the ships of all watches.\"\"\"\n    return sum(watch.count for watch in ships)\n\n\
    Water boils at 100 degrees Celsius at sea level, but at a lower temperature on a high mountain, because the pressure \
    of the air is lower there. Überraschung: naïve façade, 3 × 4 ≠ 13, x² + y² = z².\n";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, precision, source, rest @ ..] = &arguments[..] else {
        return Err("compare MODEL.gguf q8|f32|tokens HOST:PORT|REFERENCE.jsonl [TEXT]".into());
    };
    let text = rest.first().map_or(Ok(TEXT.to_owned()), std::fs::read_to_string)?;
    if precision == "tokens" {
        let engine = Engine::load(Path::new(path), &EngineConfig::default())?;
        return compare_tokens(&engine, source, &text);
    }
    if precision == "none" {
        let file = rest.first().ok_or("which file is it compared with?")?;
        let references = from_file(file)?;
        let others = if Path::new(source).exists() {
            from_file(source)?
        } else {
            from_server(source, references.iter().map(|reference| reference.tokens.clone()).collect())?
        };
        let mut agreement = Agreement::default();
        for (other, reference) in others.iter().zip(&references) {
            if other.tokens != reference.tokens {
                return Err("the files have other tokens".into());
            }
            for i in 0..other.likeliest.len() {
                agreement.add(other.logprobs[i], other.likeliest[i], reference.logprobs[i], reference.likeliest[i]);
            }
        }
        return agreement.print();
    }
    let precision = match precision.as_str() {
        "q8" => Precision::Q8,
        "f32" => Precision::F32,
        other => return Err(format!("q8, f32, tokens or none, not {other}").into()),
    };
    let engine = Engine::load(Path::new(path), &EngineConfig { precision, ..EngineConfig::default() })?;
    let references = if Path::new(source).exists() {
        from_file(source)?
    } else {
        from_server(source, pieces(&engine, source, rest.first(), &text)?)?
    };
    let mut agreement = Agreement::default();
    for reference in &references {
        if let Some(text) = &reference.text
            && !engine.tokenizer().encode(text).starts_with(&reference.tokens)
        {
            println!("other tokens for {text:?}");
        }
        let scores = engine.prompt_logprobs(&reference.tokens).await?;
        for ((score, logprob), likeliest) in scores[1..].iter().zip(&reference.logprobs).zip(&reference.likeliest) {
            let measured = score.measured.ok_or("only the first is not measured")?;
            agreement.add(Some(measured.logprob.into()), Some(measured.likeliest), *logprob, *likeliest);
        }
    }
    agreement.print()
}

/// How far two opinions on the same tokens agree.
#[derive(Default)]
struct Agreement {
    n: u32,
    n_same: u32,
    n_compared: u32,
    difference: f64,
    most: f64,
}

impl Agreement {
    fn add(&mut self, logprob: Option<f64>, likeliest: Option<u32>, other: Option<f64>, other_likeliest: Option<u32>) {
        if let (Some(a), Some(b)) = (likeliest, other_likeliest) {
            self.n += 1;
            self.n_same += u32::from(a == b);
        }
        if let (Some(a), Some(b)) = (logprob, other) {
            self.n_compared += 1;
            self.difference += (a - b).abs();
            self.most = self.most.max((a - b).abs());
        }
    }

    fn print(&self) -> Result<()> {
        if self.n_compared == 0 {
            return Err("there was nothing to compare".into());
        }
        let percent = 100.0 * f64::from(self.n_same) / f64::from(self.n);
        println!("{} positions: the same token is the likeliest in {percent:.1} %", self.n);
        let mean = self.difference / f64::from(self.n_compared);
        println!(
            "{} log-probabilities compared: mean difference {mean:.5}, greatest {:.5}",
            self.n_compared, self.most
        );
        Ok(())
    }
}

fn compare_tokens(engine: &Engine, address: &str, text: &str) -> Result<()> {
    let (mut n, mut n_other) = (0, 0);
    for line in text.split_inclusive('\n') {
        let answer = post(address, "/tokenize", &json!({ "content": line }))?;
        let expected: Vec<u32> = serde_json::from_value(answer["tokens"].clone())?;
        n += 1;
        if engine.tokenizer().encode(line) != expected {
            n_other += 1;
            println!("{line:?}: {:?}, {expected:?} expected", engine.tokenizer().encode(line));
        }
    }
    println!("{n} lines, {n_other} with other tokens");
    Ok(())
}

fn from_file(path: &str) -> Result<Vec<Reference>> {
    let mut references = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let value: Value = serde_json::from_str(line)?;
        references.push(Reference {
            text: value["text"].as_str().map(str::to_owned),
            tokens: serde_json::from_value(value["tokens"].clone())?,
            logprobs: serde_json::from_value(value["logprobs"].clone())?,
            likeliest: serde_json::from_value(value["likeliest"].clone())?,
        });
    }
    Ok(references)
}

/// The tokens to ask a server about: a text's, or those of a file.
fn pieces(engine: &Engine, address: &str, path: Option<&String>, text: &str) -> Result<Vec<Vec<u32>>> {
    if let Some(path) = path
        && Path::new(path).extension().is_some_and(|extension| extension == "jsonl")
    {
        return Ok(from_file(path)?.into_iter().map(|reference| reference.tokens).collect());
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = (0..=rest.len().min(4000)).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        let answer = post(address, "/tokenize", &json!({ "content": piece }))?;
        let tokens: Vec<u32> = serde_json::from_value(answer["tokens"].clone())?;
        if tokens != engine.tokenizer().encode(piece) {
            println!("other tokens for {piece:?}");
        }
        pieces.push(tokens[..tokens.len().min(512)].to_vec());
    }
    Ok(pieces)
}

/// Asks for the token after every beginning of each piece.
fn from_server(address: &str, pieces: Vec<Vec<u32>>) -> Result<Vec<Reference>> {
    let mut references = Vec::new();
    for tokens in pieces {
        let mut reference =
            Reference { text: None, tokens: tokens.clone(), logprobs: Vec::new(), likeliest: Vec::new() };
        for n in 1..tokens.len() {
            let request = json!({
                "prompt": tokens[..n], "n_predict": 1, "n_probs": 500, "temperature": 1.0, "cache_prompt": true,
                "top_k": 0, "top_p": 1.0, "min_p": 0.0, "id_slot": 0,
            });
            // No probabilities come with a token that is part of a character: another is drawn, a few times.
            let mut top = Vec::new();
            for _ in 0..4 {
                let answer = post(address, "/completion", &request)?;
                if let Some(entries) = answer["completion_probabilities"][0]["top_logprobs"].as_array() {
                    top.clone_from(entries);
                    break;
                }
            }
            reference.likeliest.push(top.first().and_then(|entry| entry["id"].as_u64()).map(|id| id as u32));
            let own = top.iter().find(|entry| entry["id"] == tokens[n]);
            reference.logprobs.push(own.and_then(|entry| entry["logprob"].as_f64()));
        }
        references.push(reference);
    }
    Ok(references)
}

fn post(address: &str, path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no end of the headers")?;
    Ok(serde_json::from_str(body)?)
}
