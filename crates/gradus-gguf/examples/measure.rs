//! Do the engine's measurements agree with others about the same file?
//!
//! `cargo run --release -p gradus-gguf --example measure -- MODEL.gguf q8|f32 REFERENCE.jsonl`
//!
//! One JSON object per line of the reference, as `compare_transformers.py measure` writes them: a question and a chain of
//! thought with the ends of its steps, and what another implementation makes of it.

use std::path::Path;

use gradus_gguf::{Engine, EngineConfig, Precision};
use gradus_model::{Local, Measure, Message, Model};
use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Ranks count as this at most: arXiv 2601.14249.
const RANK_CLIP: u32 = 100;
const NAMES: [&str; 3] = ["mean_nll", "rsr", "naturalness"];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, precision, reference] = &arguments[..] else {
        return Err("measure MODEL.gguf q8|f32 REFERENCE.jsonl".into());
    };
    let precision = match precision.as_str() {
        "q8" => Precision::Q8,
        "f32" => Precision::F32,
        other => return Err(format!("q8 or f32, not {other}").into()),
    };
    let engine = Engine::load(Path::new(path), &EngineConfig { precision, ..EngineConfig::default() })?;
    let (mut sums, mut most, mut n, mut n_tokens) = ([0.0; 3], [0.0_f64; 3], 0.0, 0);
    for line in std::fs::read_to_string(reference)?.lines() {
        let line: Value = serde_json::from_str(line)?;
        let ends: Vec<usize> = serde_json::from_value(line["ends"].clone())?;
        let n_steps = ends.len();
        let context = serde_json::from_value(line["context"].clone())?;
        let messages: Vec<Message> = serde_json::from_value(line["messages"].clone())?;
        let completion = serde_json::from_value(line["completion"].clone())?;
        let (local, extra) = (Some(Local { ends, context }), serde_json::Map::new());
        let request = Measure { messages, completion, local, extra, request_id: String::new() };
        let scores = engine.measure(&request).await?.read_tokens(Some(n_steps))?;
        if line["n_tokens"].as_u64() != Some(scores.tokens.len() as u64) {
            return Err(format!("other tokens for {line}").into());
        }
        let nll: f64 = scores.tokens.iter().map(|token| -f64::from(token.logprob)).sum();
        let ranks: u32 = scores.tokens.iter().map(|token| token.rank.min(RANK_CLIP)).sum();
        let steps = scores.local.ok_or("steps were asked for")?;
        let means: f64 = steps.iter().map(|step| step.logprob / f64::from(step.n_tokens)).sum();
        let own = [nll / scores.tokens.len() as f64, f64::from(ranks) / nll, means / steps.len() as f64];
        for (at, name) in NAMES.iter().enumerate() {
            let other = line[name].as_f64().ok_or("the reference has another form")?;
            sums[at] += own[at];
            most[at] = most[at].max((own[at] - other).abs());
        }
        n += 1.0;
        n_tokens += scores.tokens.len();
    }
    println!("{n} texts, {n_tokens} tokens");
    for (at, name) in NAMES.iter().enumerate() {
        println!("{name}: {:.4} on average, at most {:.5} from the reference", sums[at] / n, most[at]);
    }
    Ok(())
}
