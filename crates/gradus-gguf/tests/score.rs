//! Scores of steps: against the forward pass on paper, and by the default model where it is in the cache.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod tiny;

use gradus_gguf::fetch::{CacheVariables, cached_smollm2};
use gradus_gguf::{Engine, EngineConfig, Precision};
use gradus_model::{Fault, FaultKind, Model, Score, ScoreForm, StepScore};
use tiny::Tiny;

const STEPS: [&str; 3] = ["the 12 ships", "so 3", "the end"];

fn load(tiny: &Tiny, change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let (_folder, path) = tiny.write();
    let mut config = EngineConfig { n_threads: 1, precision: Precision::F32, ..EngineConfig::default() };
    change(&mut config);
    Engine::load(&path, &config).unwrap()
}

fn labels() -> ScoreForm {
    ScoreForm::ChatLabels { positive: "+".into(), negative: "-".into(), top: 5 }
}

fn marks() -> ScoreForm {
    ScoreForm::PromptLogprobs { mark: "ки".into(), positive: "+".into(), negative: "-".into() }
}

fn request(form: ScoreForm, n_steps: usize) -> Score {
    Score {
        form,
        question: "How many ships?".into(),
        steps: STEPS[..n_steps].iter().map(|&step| step.into()).collect(),
        extra: serde_json::Map::new(),
        request_id: "r".into(),
        source_ids: [].into(),
        attempt: 0,
    }
}

async fn ask(engine: &Engine, request: &Score) -> Result<Vec<f64>, Fault> {
    let raw = engine.score(request).await?;
    let scores = raw.read_scores(&request.form, request.steps.len()).expect("score gives only what can be read");
    let known = |score: &StepScore| match score {
        StepScore::Known(score) => *score,
        other => panic!("{other:?}: nothing is missing here"),
    };
    Ok(scores.steps.iter().map(known).collect())
}

/// P(+) / (P(+) + P(-)) from the logarithms of all probabilities.
fn share(tiny_row: &[f32], engine: &Engine) -> f64 {
    let of = |label: &str| f64::from(tiny_row[engine.tokenizer().encode(label)[0] as usize]).exp();
    of("+") / (of("+") + of("-"))
}

#[tokio::test]
async fn labels_are_compared_behind_the_conversation() {
    for architecture in ["llama", "qwen2"] {
        let tiny = Tiny::new(architecture);
        let engine = load(&tiny, |_| {});
        assert_eq!(engine.tokenizer().n_tokens(), tiny.n_vocabulary());
        for n_steps in 1..=3 {
            let request = request(labels(), n_steps);
            let tokens = engine.tokenizer().encode_prompt(&engine.render(&request.turns()).unwrap());
            let expected = share(tiny.logprobs(&tokens).last().unwrap(), &engine);
            let said = ask(&engine, &request).await.unwrap();
            assert!(said.len() == 1 && (said[0] - expected).abs() < 0.01, "{architecture} {said:?} {expected}");
            // Once more, with the prompt known.
            assert_eq!(ask(&engine, &request).await.unwrap(), said);
        }
    }
}

#[tokio::test]
async fn labels_are_compared_where_each_mark_has_just_been_read() {
    let tiny = Tiny::new("qwen2");
    let engine = load(&tiny, |_| {});
    let request = request(marks(), 3);
    let (prompt, ends) = request.prompt();
    assert_eq!(prompt, "How many ships? the 12 ships ки\nso 3 ки\nthe end ки\n");
    let rows = tiny.logprobs(&engine.tokenizer().encode_prompt(&prompt));
    // The same tokens as a text that ends there.
    let expected: Vec<f64> = ends
        .iter()
        .map(|&end| share(&rows[engine.tokenizer().encode_prompt(&prompt[..end]).len() - 1], &engine))
        .collect();
    let said = ask(&engine, &request).await.unwrap();
    assert!(said.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.01), "{said:?} {expected:?}");
    assert!(said.len() == 3 && said[0] != said[1] && said[1] != said[2], "{said:?}");
}

#[tokio::test]
async fn a_score_depends_on_its_request_alone() {
    let tiny = Tiny::new("llama");
    let alone = load(&tiny, |config| (config.n_sequences, config.n_cache_bytes) = (1, 0));
    let together = load(&tiny, |config| config.n_threads = 3);
    let requests: Vec<Score> =
        (0..12).map(|i| request(if i % 2 == 0 { labels() } else { marks() }, 1 + i % 3)).collect();
    let said = futures::future::join_all(requests.iter().map(|request| ask(&together, request))).await;
    for (request, said) in requests.iter().zip(said) {
        assert_eq!(said.unwrap(), ask(&alone, request).await.unwrap());
    }
}

#[tokio::test]
async fn what_cannot_be_scored_says_so() {
    let engine = load(&Tiny::new("llama"), |config| config.n_context = 64);
    let pooling = ScoreForm::Pooling { mark: "<extra_0>".into(), system: None, positive: 1 };
    let unknown = ScoreForm::ChatLabels { positive: "\u{fdd0}".into(), negative: "-".into(), top: 5 };
    let mut field = request(labels(), 1);
    field.extra.insert("seed".into(), 1.into());
    for (request, words) in [
        (request(pooling, 1), "classifying head"),
        (request(unknown, 1), "no token for the label"),
        (field, "no field `seed`"),
        (request(labels(), 0), "there are none"),
    ] {
        let fault = engine.score(&request).await.expect_err(words);
        assert!(fault.kind == FaultKind::BadRequest && fault.message.contains(words), "{fault}");
    }
    for form in [labels(), marks()] {
        let mut long = request(form, 1);
        long.steps[0] = "12 ".repeat(60);
        assert_eq!(engine.score(&long).await.expect_err("too long").kind, FaultKind::ContextTooLong);
    }
    let seen = engine.capabilities().await.unwrap();
    assert!(seen.prompt_logprobs.is_yes() && !seen.several.is_yes(), "{seen:?}");
}

#[tokio::test]
async fn the_default_model_scores_as_it_measures() {
    let variable = |name| std::env::var_os(name).map(std::path::PathBuf::from);
    let variables = CacheVariables {
        gradus_cache: variable("GRADUS_CACHE"),
        xdg_cache_home: variable("XDG_CACHE_HOME"),
        home: variable("HOME"),
    };
    let Some(path) = cached_smollm2(&variables.directory()) else {
        println!("skipped: SmolLM2 is not in the cache");
        return;
    };
    let engine = Engine::load(&path, &EngineConfig { n_threads: 1, ..EngineConfig::default() }).unwrap();
    let request = request(marks(), 2);
    let (prompt, ends) = request.prompt();
    let said = ask(&engine, &request).await.unwrap();
    for (end, said) in ends.into_iter().zip(said) {
        // Each spelling of a label behind the mark, one text for each.
        let mut sums = [0.0, 0.0];
        for (label, sum) in ["+", "-"].into_iter().zip(&mut sums) {
            for token in 0..engine.tokenizer().n_tokens() as u32 {
                let piece = String::from_utf8_lossy(engine.tokenizer().piece(token)).into_owned();
                if piece.trim() == label {
                    let mut tokens = engine.tokenizer().encode_prompt(&prompt[..end]);
                    tokens.push(token);
                    let measured = engine.prompt_logprobs(&tokens).await.unwrap().last().unwrap().measured.unwrap();
                    *sum += f64::from(measured.logprob).exp();
                }
            }
        }
        assert!((said - sums[0] / (sums[0] + sums[1])).abs() < 1e-3, "{said} {sums:?}");
    }
    let one = ask(&engine, &Score { form: labels(), ..request }).await.unwrap();
    assert!(one.len() == 1 && (0.0..=1.0).contains(&one[0]), "{one:?}");
}
