//! The engine on a tiny model: right, reproducible, and independent of what else is asked.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod tiny;

use std::path::Path;
use std::time::Duration;

use gradus_gguf::{Engine, EngineConfig, Error, Isa, Precision};
use gradus_model::{FaultKind, Generate, Message, Model, Sampling, Speaker};
use tiny::Tiny;

fn config() -> EngineConfig {
    EngineConfig { n_threads: 1, ..EngineConfig::default() }
}

fn load(tiny: &Tiny, config: &EngineConfig) -> Engine {
    let (_folder, path) = tiny.write();
    Engine::load(&path, config).unwrap()
}

fn request(content: &str, seed: u64, max_tokens: u32) -> Generate {
    Generate {
        messages: vec![Message { role: Speaker::User, content: content.into() }],
        sampling: Sampling {
            temperature: 0.9,
            top_p: 0.95,
            top_k: Some(100),
            min_p: Some(0.001),
            max_tokens,
            stop: Vec::new(),
        },
        seed,
        extra: serde_json::Map::new(),
        request_id: "r".into(),
        source_ids: [].into(),
        attempt: 0,
    }
}

async fn ask(engine: &Engine, request: &Generate) -> serde_json::Value {
    serde_json::from_slice(&engine.generate(request).await.unwrap().body).unwrap()
}

fn content(answer: &serde_json::Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

/// Differences of log-probability from the reference, for a text longer than a page and than a part of a prompt.
async fn differences(tiny: &Tiny, precision: Precision) -> Vec<f32> {
    let engine = load(tiny, &EngineConfig { precision, ..config() });
    let tokens: Vec<u32> = (0..100_u32).map(|i| i * i % 251).collect();
    let expected = tiny.logprobs(&tokens);
    let scores = engine.prompt_logprobs(&tokens).await.unwrap();
    let mut differences = Vec::new();
    for i in 1..tokens.len() {
        let measured = scores[i].measured.unwrap();
        let row = &expected[i - 1];
        differences.push((measured.logprob - row[tokens[i] as usize]).abs());
        if precision == Precision::F32 {
            let rank = 1 + row.iter().filter(|&&x| x > row[tokens[i] as usize] + 0.02).count();
            let last_rank = row.iter().filter(|&&x| x > row[tokens[i] as usize] - 0.02).count().max(1);
            assert!((rank..=last_rank).contains(&(measured.rank as usize)), "{} {rank}..={last_rank}", measured.rank);
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!(row[measured.likeliest as usize] > most - 0.02);
        }
    }
    differences
}

#[tokio::test]
async fn logprobs_are_those_of_the_plain_forward_pass() {
    for architecture in ["llama", "qwen2"] {
        let tiny = Tiny::new(architecture);
        let most = differences(&tiny, Precision::F32).await.into_iter().fold(0.0, f32::max);
        assert!(most < 0.01, "{architecture}: {most}");
        let differences = differences(&tiny, Precision::Q8).await;
        let mean = differences.iter().sum::<f32>() / differences.len() as f32;
        assert!(mean < 0.05, "{architecture}: {mean}");
    }
}

#[tokio::test]
async fn probabilities_of_all_tokens_sum_to_one_and_have_all_ranks() {
    let tiny = Tiny::new("llama");
    let engine = load(&tiny, &config());
    let n = tiny.n_vocabulary() as u32;
    let texts: Vec<[u32; 3]> = (0..n).map(|token| [7, 99, token]).collect();
    let (mut sum, mut ranks) = (0.0, Vec::new());
    for text in &texts {
        let scores = engine.prompt_logprobs(text).await.unwrap();
        let measured = scores[2].measured.unwrap();
        sum += f64::from(measured.logprob).exp();
        ranks.push(measured.rank);
        assert_eq!(measured.rank == 1, measured.likeliest == text[2]);
    }
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    ranks.sort_unstable();
    assert_eq!(ranks, (1..=n).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_answer_depends_on_its_request_alone() {
    let tiny = Tiny::new("qwen2");
    let long = "the 12 ".repeat(20);
    let requests: Vec<Generate> =
        (0..24).map(|i| request(["the 12 ships", "the 1", &long][i % 3], i as u64 / 6, 20 + i as u32)).collect();
    let alone = load(&tiny, &EngineConfig { n_sequences: 1, n_cache_bytes: 0, ..config() });
    let mut expected = Vec::new();
    for request in &requests {
        expected.push(alone.generate(request).await.unwrap().body);
    }
    let mut different = expected.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), expected.len());
    let mut configs = vec![
        EngineConfig { n_sequences: 5, ..config() },
        EngineConfig { n_threads: 3, ..config() },
        // Room for a few sequences only.
        EngineConfig { n_cache_bytes: 300 << 10, ..config() },
    ];
    configs.extend(Isa::all().into_iter().map(|isa| EngineConfig { isa, ..config() }));
    for config in configs {
        let engine = load(&tiny, &config);
        // Twice: prompts are known the second time.
        for _ in 0..2 {
            let answers = futures::future::join_all(requests.iter().map(|request| engine.generate(request))).await;
            for (answer, expected) in answers.into_iter().zip(&expected) {
                assert_eq!(&answer.unwrap().body, expected, "{config:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_ends_at_its_limit_at_a_stop_text_or_by_itself() {
    let engine = load(&Tiny::new("llama"), &config());
    let full = ask(&engine, &request("the", 3, 200)).await;
    let mut ends = 0;
    for seed in 0..40 {
        let answer = ask(&engine, &request("the", seed, 200)).await;
        let n = answer["usage"]["completion_tokens"].as_u64().unwrap();
        match answer["choices"][0]["finish_reason"].as_str().unwrap() {
            "length" => assert_eq!(n, 200),
            reason => {
                assert_eq!((reason, n < 200), ("stop", true));
                ends += 1;
            }
        }
        assert!(!content(&answer).contains("<|"), "{answer}");
    }
    assert!(ends > 0);
    let text = content(&full);
    let at = text.char_indices().map(|(at, _)| at).nth(10).unwrap();
    let stop: String = text[at..].chars().take(3).collect();
    let mut stopped = request("the", 3, 200);
    stopped.sampling.stop = vec!["never".repeat(9), stop.clone()];
    let answer = ask(&engine, &stopped).await;
    assert_eq!(content(&answer), &text[..text.find(&stop).unwrap()]);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let nothing = ask(&engine, &request("the", 3, 0)).await;
    assert_eq!((content(&nothing), &nothing["choices"][0]["finish_reason"]), ("", &"length".into()));
}

#[tokio::test]
async fn the_context_is_never_exceeded() {
    let engine = load(&Tiny::new("llama"), &config());
    assert_eq!(engine.info().await.unwrap().context, Some(512));
    let prompt = engine.render(&request(&"x".repeat(440), 0, 1).messages).unwrap();
    let n_prompt = engine.n_tokens(&prompt).unwrap() as u64;
    for seed in 0..5 {
        let answer = ask(&engine, &request(&"x".repeat(440), seed, 10_000)).await;
        assert_eq!(answer["usage"]["prompt_tokens"], n_prompt);
        let total = answer["usage"]["total_tokens"].as_u64().unwrap();
        let at_limit = answer["choices"][0]["finish_reason"] == "length";
        assert!(if at_limit { total == 512 } else { total <= 512 }, "{total}");
    }
    let fault = engine.generate(&request(&"x".repeat(600), 0, 1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::ContextTooLong);
    assert_eq!(engine.prompt_logprobs(&[1; 513]).await.unwrap_err().kind, FaultKind::ContextTooLong);
    assert_eq!(engine.prompt_logprobs(&[9999]).await.unwrap_err().kind, FaultKind::BadRequest);
    let mut unknown = request("x", 0, 1);
    unknown.extra.insert("guided_json".into(), true.into());
    assert!(engine.generate(&unknown).await.unwrap_err().message.contains("guided_json"));
}

/// A request for two numbers and a word as JSON.
fn structured(content: &str, seed: u64, max_tokens: u32) -> Generate {
    let number = serde_json::json!({ "type": "integer", "minimum": 0, "maximum": 99 });
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "rv": number, "cd": number, "process": { "type": "string", "enum": ["sound", "the end"] } },
        "required": ["rv", "cd", "process"],
    });
    let mut request = request(content, seed, max_tokens);
    let format = serde_json::json!({ "type": "json_schema", "json_schema": { "name": "scores", "schema": schema } });
    request.extra.insert("response_format".into(), format);
    request
}

#[tokio::test]
async fn a_reply_is_held_to_its_schema_and_ends_with_it() {
    let engine = load(&Tiny::new("qwen2"), &config());
    let mut requests: Vec<Generate> = (0..60).map(|seed| structured("the", seed, 100)).collect();
    // Among others that are free to write what they like.
    requests.extend((0..10).map(|seed| request("the", seed, 30)));
    let answers = futures::future::join_all(requests.iter().map(|request| ask(&engine, request))).await;
    let mut told = std::collections::BTreeSet::new();
    for answer in &answers[..60] {
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{answer}");
        let reply: serde_json::Value = serde_json::from_str(content(answer)).unwrap();
        assert_eq!(reply.as_object().unwrap().keys().collect::<Vec<_>>(), ["rv", "cd", "process"]);
        assert!(["rv", "cd"].iter().all(|name| reply[name].as_u64().unwrap() < 100), "{reply}");
        assert!(["sound", "the end"].contains(&reply["process"].as_str().unwrap()), "{reply}");
        told.insert(content(answer));
    }
    assert!(told.len() > 30, "{told:?}");
    // A model with random weights says nothing of the kind by itself.
    assert!(answers[60..].iter().all(|answer| !content(answer).starts_with('{')));
    assert_eq!(ask(&engine, &structured("the", 5, 100)).await, answers[5], "the same, asked alone");
    let cut = ask(&engine, &structured("the", 5, 6)).await;
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
    assert!(content(&answers[5]).starts_with(content(&cut)));
}

#[tokio::test]
async fn a_schema_that_is_not_supported_is_refused() {
    let engine = load(&Tiny::new("llama"), &config());
    let mut free = structured("the", 0, 9);
    free.extra["response_format"]["json_schema"]["schema"]["properties"]["cd"] = serde_json::json!({});
    let fault = engine.generate(&free).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::BadRequest);
    assert!(fault.message.contains("the property `cd` is neither a string"), "{fault}");
    // Nothing could come next where a letter is missing.
    let engine = load(&Tiny::new("llama").without(b'v'), &config());
    let fault = engine.generate(&structured("the", 0, 9)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::BadRequest);
    assert!(fault.message.contains("has no tokens for all letters of the schema"), "{fault}");
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_makes_room() {
    let mut tiny = Tiny::new("llama");
    tiny.n_context = 1 << 24;
    let engine = load(&tiny, &EngineConfig { n_sequences: 1, n_context: 1 << 24, ..config() });
    // Without an end of its own for a long time: the end token is never among the likeliest two.
    let mut endless = request("the", 0, 1 << 23);
    endless.sampling.top_k = Some(1);
    let cut = tokio::time::timeout(Duration::from_millis(300), engine.generate(&endless)).await;
    assert!(cut.is_err(), "it ended too soon to tell");
    let next = tokio::time::timeout(Duration::from_secs(20), engine.generate(&request("x", 0, 4))).await;
    assert!(next.unwrap().is_ok());
}

#[test]
fn text_becomes_the_expected_tokens_and_text_again() {
    let engine = load(&Tiny::new("llama"), &config());
    let tokenizer = engine.tokenizer();
    // Bytes are tokens 0..=255, merges 256.., then the control tokens.
    assert_eq!(tokenizer.encode("the the12"), [257, 258, 49, 50]);
    assert_eq!(tokenizer.encode("  th<|im_end|>t"), [32, 32, 256, 261, 116]);
    let qwen = load(&Tiny::new("qwen2"), &config());
    assert_eq!(qwen.tokenizer().encode("the\n\nthe"), [257, 10, 10, 257]);
    let text = "né 🙂\t<|im_start|>12\r\n 中";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text)), text);
    assert_eq!(qwen.tokenizer().decode(&qwen.tokenizer().encode(text)), text);
    let long = "the".repeat(100_000);
    assert_eq!(tokenizer.encode(&long).len(), 100_000);
}

fn try_load(bytes: &[u8], path: &Path) -> Result<Engine, Error> {
    std::fs::write(path, bytes).unwrap();
    Engine::load(path, &config())
}

#[tokio::test]
async fn a_broken_file_gives_an_error_and_no_panic() {
    let bytes = Tiny::new("llama").bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.gguf");
    for n in (0..bytes.len()).step_by(bytes.len() / 50) {
        let error = try_load(&bytes[..n], &path).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{n}: {error}");
    }
    // The header is what can mislead. Bytes are changed in turn; of the long lists of texts in its middle, only some.
    let header = bytes.windows(18).position(|window| window == b"token_embd.weight\x02").unwrap() + 60;
    let mut n_errors = 0;
    for at in (0..header).filter(|at| *at < 900 || at + 1500 > header || at % 31 == 0) {
        let mut broken = bytes.clone();
        broken[at] ^= if at % 2 == 0 { 0x01 } else { 0xff };
        match try_load(&broken, &path) {
            Err(_) => n_errors += 1,
            Ok(engine) => drop(engine.generate(&request("the", 0, 2)).await),
        }
    }
    assert!(n_errors > 500, "{n_errors}");
    let mut unknown = Tiny::new("llama");
    unknown.architecture = "mamba";
    let error = try_load(&unknown.bytes(), &path).unwrap_err();
    assert!(error.to_string().contains("architecture `mamba`"), "{error}");
}
