//! The default model itself, where it is in the cache; else one line says that it is not.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Once;

use gradus_gguf::fetch::{CacheVariables, cached_smollm2};
use gradus_gguf::{Engine, EngineConfig};
use gradus_model::{Generate, Message, Model, Sampling, Speaker};

static SKIPPED: Once = Once::new();

fn load() -> Option<Engine> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let variables = CacheVariables {
        gradus_cache: variable("GRADUS_CACHE"),
        xdg_cache_home: variable("XDG_CACHE_HOME"),
        home: variable("HOME"),
    };
    let Some(path) = cached_smollm2(&variables.directory()) else {
        // Straight to the stream: what tests print is not shown while they pass.
        SKIPPED.call_once(|| {
            let line = format!("skipped: SmolLM2 is not in the cache ({})", variables.directory().display());
            writeln!(std::io::stderr(), "{line}").expect("it can be written to");
        });
        return None;
    };
    Some(Engine::load(&path, &EngineConfig { n_threads: 1, ..EngineConfig::default() }).unwrap())
}

fn request(content: &str, max_tokens: u32) -> Generate {
    Generate {
        messages: vec![Message { role: Speaker::User, content: content.into() }],
        sampling: Sampling { temperature: 0.0, top_p: 1.0, top_k: None, min_p: None, max_tokens, stop: Vec::new() },
        seed: 1,
        extra: serde_json::Map::new(),
        request_id: "r".into(),
        source_ids: [].into(),
        attempt: 0,
    }
}

async fn ask(engine: &Engine, content: &str) -> (String, String) {
    let raw = engine.generate(&request(content, 40)).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&raw.body).unwrap();
    let choice = &body["choices"][0];
    (choice["message"]["content"].as_str().unwrap().into(), choice["finish_reason"].as_str().unwrap().into())
}

#[tokio::test]
async fn it_knows_a_capital_and_ends_its_turn() {
    let Some(engine) = load() else { return };
    let (text, finish) = ask(&engine, "What is the capital of France? Answer in one short sentence.").await;
    assert!(text.contains("Paris"), "{text}");
    assert_eq!(finish, "stop");
}

#[tokio::test]
async fn it_says_what_it_knows_in_the_form_of_a_schema() {
    let Some(engine) = load() else { return };
    let cities = serde_json::json!({ "type": "string", "enum": ["Berlin", "Madrid", "Paris", "Rome"] });
    let schema = serde_json::json!({ "type": "object", "properties": { "capital": cities }, "required": ["capital"] });
    for (country, capital) in [("France", "Paris"), ("Germany", "Berlin")] {
        let mut request = request(&format!("What is the capital of {country}?"), 40);
        let format = serde_json::json!({ "type": "json_schema", "json_schema": { "name": "city", "schema": schema } });
        request.extra.insert("response_format".into(), format);
        let body: serde_json::Value = serde_json::from_slice(&engine.generate(&request).await.unwrap().body).unwrap();
        let choice = &body["choices"][0];
        assert_eq!(choice["message"]["content"], format!("{{\"capital\": \"{capital}\"}}"));
        assert_eq!(choice["finish_reason"], "stop");
    }
}

#[test]
fn its_default_system_prompt_is_rendered() {
    let Some(engine) = load() else { return };
    let prompt = engine.render(&[Message { role: Speaker::User, content: "Hi".into() }]).unwrap();
    assert_eq!(
        prompt,
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n\
         <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn its_tokens_are_text_again() {
    let Some(engine) = load() else { return };
    let text = "Über 1234 ≠ 5e-6;\n\n  def f(x):\treturn \"naïve\"  # 🙂 don't 中文 <|im_end|>";
    let tokens = engine.tokenizer().encode(text);
    assert_eq!(engine.tokenizer().decode(&tokens), text);
    assert_eq!(tokens.last(), Some(&2));
}

#[tokio::test]
async fn it_expects_what_is_said_often() {
    let Some(engine) = load() else { return };
    let tokens =
        engine.tokenizer().encode("The quick brown fox jumps over the lazy dog. One, two, three, four, five, six");
    let scores = engine.prompt_logprobs(&tokens).await.unwrap();
    assert_eq!(scores.len(), tokens.len());
    assert!(scores[0].measured.is_none());
    let last = scores.last().unwrap().measured.unwrap();
    assert_eq!((last.rank, last.likeliest), (1, *tokens.last().unwrap()));
    assert!(last.logprob < 0.0 && last.logprob > -0.5, "{last:?}");
}
