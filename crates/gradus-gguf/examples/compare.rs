//! Does the engine agree with others about the same file?
//!
//! `cargo run --release -p gradus-gguf --example compare -- MODEL.gguf q8|f32 HOST:PORT|REFERENCE.jsonl [TEXT]`
//!
//! With an address: a llama.cpp server that runs the same model. With a file: one JSON object per line, with `tokens`, and
//! `logprobs` and `likeliest` of all tokens but the first. The text is cut into pieces of 4,000 bytes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use gradus_gguf::{Engine, EngineConfig, Precision};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What another implementation thinks of a text.
struct Reference {
    tokens: Vec<u32>,
    /// Of all tokens but the first; none if the other side did not tell.
    logprobs: Vec<Option<f64>>,
    likeliest: Vec<u32>,
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
        return Err("compare MODEL.gguf q8|f32 HOST:PORT|REFERENCE.jsonl [TEXT]".into());
    };
    let precision = match precision.as_str() {
        "q8" => Precision::Q8,
        "f32" => Precision::F32,
        other => return Err(format!("q8 or f32, not {other}").into()),
    };
    let engine = Engine::load(Path::new(path), &EngineConfig { precision, ..EngineConfig::default() })?;
    let text = rest.first().map_or(Ok(TEXT.to_owned()), std::fs::read_to_string)?;
    let references = if Path::new(source).exists() { from_file(source)? } else { from_server(&engine, source, &text)? };
    let (mut n, mut n_same, mut n_compared, mut difference, mut most) = (0, 0, 0, 0.0, 0.0_f64);
    for reference in &references {
        let scores = engine.prompt_logprobs(&reference.tokens).await?;
        for ((score, logprob), likeliest) in scores[1..].iter().zip(&reference.logprobs).zip(&reference.likeliest) {
            let measured = score.measured.ok_or("only the first is not measured")?;
            n += 1;
            n_same += usize::from(measured.likeliest == *likeliest);
            if let Some(logprob) = logprob {
                n_compared += 1;
                difference += (f64::from(measured.logprob) - logprob).abs();
                most = most.max((f64::from(measured.logprob) - logprob).abs());
            }
        }
    }
    println!(
        "{n} positions: the same token is the likeliest in {:.1} %",
        100.0 * f64::from(n_same as u32) / f64::from(n)
    );
    println!(
        "{n_compared} log-probabilities compared: mean difference {:.5}, greatest {most:.5}",
        difference / f64::from(n_compared)
    );
    Ok(())
}

fn from_file(path: &str) -> Result<Vec<Reference>> {
    let mut references = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let value: Value = serde_json::from_str(line)?;
        references.push(Reference {
            tokens: serde_json::from_value(value["tokens"].clone())?,
            logprobs: serde_json::from_value(value["logprobs"].clone())?,
            likeliest: serde_json::from_value(value["likeliest"].clone())?,
        });
    }
    Ok(references)
}

/// Asks for the token after every beginning of the text.
fn from_server(engine: &Engine, address: &str, text: &str) -> Result<Vec<Reference>> {
    let mut references = Vec::new();
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
        let tokens = tokens[..tokens.len().min(512)].to_vec();
        let mut reference = Reference { tokens: tokens.clone(), logprobs: Vec::new(), likeliest: Vec::new() };
        for n in 1..tokens.len() {
            let request = json!({
                "prompt": tokens[..n], "n_predict": 1, "n_probs": 500, "temperature": 1.0, "cache_prompt": true,
                "top_k": 0, "top_p": 1.0, "min_p": 0.0, "id_slot": 0,
            });
            let answer = post(address, "/completion", &request)?;
            let top = answer["completion_probabilities"][0]["top_logprobs"].as_array().ok_or("no probabilities")?;
            reference.likeliest.push(top[0]["id"].as_u64().ok_or("no id")? as u32);
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
