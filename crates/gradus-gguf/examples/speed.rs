//! How fast does the engine write? Tokens per second of CPU time and of the clock, with 1, 8 and 32 sequences.
//!
//! `cargo run --release -p gradus-gguf --example speed -- MODEL.gguf [THREADS [INSTRUCTIONS]]`

use std::path::Path;
use std::time::Instant;

use gradus_gguf::{Engine, EngineConfig, Isa};
use gradus_model::{Generate, Message, Model, Sampling, Speaker};

const N_TOKENS: u32 = 128;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which GGUF file?")?;
    let n_threads = arguments.next().map_or(Ok(1), |n| n.parse())?;
    let name = arguments.next().unwrap_or_else(|| Isa::best().name().into());
    let isa = Isa::all().into_iter().find(|isa| isa.name() == name).ok_or("this CPU has no such instructions")?;
    let start = Instant::now();
    let config = EngineConfig { n_threads, isa, ..EngineConfig::default() };
    let engine = Engine::load(Path::new(&path), &config)?;
    println!("loaded in {:.2} s; {n_threads} threads, {}", start.elapsed().as_secs_f64(), isa.name());
    for n_sequences in [1, 8, 32] {
        // The prompt is read beforehand: what follows is writing.
        ask(&engine, n_sequences, 0, 1).await?;
        let (start, cpu) = (Instant::now(), cpu_seconds()?);
        let n = ask(&engine, n_sequences, 1, N_TOKENS).await?;
        let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        let n = n as f64;
        println!("{n_sequences:3} sequences: {:6.1} tokens/CPU-s {:6.1} tokens/s", n / cpu, n / wall);
    }
    Ok(())
}

/// Tokens written.
async fn ask(engine: &Engine, n: usize, seed: u64, max_tokens: u32) -> Result<u64, Box<dyn std::error::Error>> {
    let requests: Vec<Generate> = (0..n)
        .map(|i| Generate {
            messages: vec![Message {
                role: Speaker::User,
                content: "Write a long story about a lighthouse keeper and the sea.".into(),
            }],
            sampling: Sampling {
                temperature: 1.0,
                top_p: 0.95,
                top_k: None,
                min_p: None,
                max_tokens,
                stop: Vec::new(),
            },
            seed: seed * 1000 + i as u64,
            extra: serde_json::Map::new(),
            request_id: String::new(),
            source_ids: [].into(),
            attempt: 0,
        })
        .collect();
    let mut n_tokens = 0;
    for raw in futures::future::join_all(requests.iter().map(|request| engine.generate(request))).await {
        let body: serde_json::Value = serde_json::from_slice(&raw?.body)?;
        n_tokens += body["usage"]["completion_tokens"].as_u64().ok_or("no usage")?;
    }
    Ok(n_tokens)
}

/// CPU time of this process, from /proc (in hundredths of a second).
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no fields")?.split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}
