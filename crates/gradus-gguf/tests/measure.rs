//! Scores of tokens: against the forward pass on paper.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod tiny;

use gradus_gguf::{Engine, EngineConfig, Precision};
use gradus_model::{Fault, FaultKind, Local, Measure, Message, Model, Speaker, TokenScores};
use tiny::Tiny;

const COT: &str = "<think>\nthe 12 ships, the 12 men. So 3 of them\nare the end.\n</think>\n\nIt is é3.";

fn load(tiny: &Tiny, change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let (_folder, path) = tiny.write();
    let mut config = EngineConfig { n_threads: 1, precision: Precision::F32, ..EngineConfig::default() };
    change(&mut config);
    Engine::load(&path, &config).unwrap()
}

fn request(completion: &str, ends: &[usize], context: u32) -> Measure {
    Measure {
        messages: vec![Message { role: Speaker::User, content: "How many ships?".into() }],
        completion: completion.into(),
        local: (!ends.is_empty()).then(|| Local { ends: ends.to_vec(), context }),
        extra: serde_json::Map::new(),
        request_id: "r".into(),
    }
}

async fn ask(engine: &Engine, request: &Measure) -> Result<TokenScores, Fault> {
    let raw = engine.measure(request).await?;
    Ok(raw.read_tokens(request.local.as_ref().map(|local| local.ends.len())).expect("what it gives can be read"))
}

fn ends() -> [usize; 3] {
    let first = COT.find("So").unwrap();
    let second = COT.find("are").unwrap();
    [first, second, COT.len()]
}

#[tokio::test]
async fn scores_are_those_of_the_forward_pass_on_paper() {
    for architecture in ["llama", "qwen2"] {
        let tiny = Tiny::new(architecture);
        let engine = load(&tiny, |_| {});
        assert_eq!(engine.tokenizer().n_tokens(), tiny.n_vocabulary());
        let request = request(COT, &ends(), 1);
        let scores = ask(&engine, &request).await.unwrap();
        let prompt = engine.tokenizer().encode_prompt(&engine.render(&request.messages).unwrap());
        let tokens = engine.tokenizer().encode(COT);
        assert_eq!(scores.tokens.len(), tokens.len());
        let on_paper = |behind: &[u32], tokens: &[u32]| {
            let rows = tiny.logprobs(&[behind, tokens].concat());
            let score = |(row, token): (&Vec<f32>, &u32)| {
                let own = row[*token as usize];
                // Tokens that are nearly as likely may stand on either side.
                let rank = |shift: f32| 1 + row.iter().filter(|&&x| x > own + shift).count() as u32;
                (own, rank(0.02)..=rank(-0.02))
            };
            rows[behind.len() - 1..].iter().zip(tokens).map(score).collect::<Vec<_>>()
        };
        let mut ranks = 0;
        for (score, (logprob, rank)) in scores.tokens.iter().zip(on_paper(&prompt, &tokens)) {
            assert!((score.logprob - logprob).abs() < 0.01, "{architecture} {score:?} {logprob}");
            assert!(rank.contains(&score.rank), "{architecture} {score:?} {rank:?}");
            ranks += score.rank;
        }
        assert!(ranks > scores.tokens.len() as u32, "some token surprises");
        // Each step behind the prompt and the step before it.
        let cut: Vec<usize> = ends().iter().map(|end| engine.tokenizer().encode(&COT[..*end]).len()).collect();
        for (at, step) in scores.local.unwrap().iter().enumerate() {
            let begin = if at == 0 { 0 } else { cut[at - 1] };
            let context = if at < 2 { 0 } else { cut[at - 2] };
            let behind = [prompt.as_slice(), &tokens[context..begin]].concat();
            let paper: f32 = on_paper(&behind, &tokens[begin..cut[at]]).iter().map(|(logprob, _)| logprob).sum();
            assert_eq!(step.n_tokens as usize, cut[at] - begin);
            assert!((step.logprob - f64::from(paper)).abs() < 0.02, "{architecture} {at} {step:?} {paper}");
        }
    }
}

#[tokio::test]
async fn a_measurement_depends_on_its_request_alone() {
    let tiny = Tiny::new("qwen2");
    let alone = load(&tiny, |config| (config.n_sequences, config.n_cache_bytes) = (1, 0));
    let together = load(&tiny, |config| config.n_threads = 3);
    let texts = [COT, "12", "the end", "the 12 ships are 3"];
    let requests: Vec<Measure> = (0..16)
        .map(|i| if i % 4 == 0 { request(COT, &ends(), i / 4) } else { request(texts[i as usize % 4], &[], 0) })
        .collect();
    let measured = futures::future::join_all(requests.iter().map(|request| ask(&together, request))).await;
    for (request, measured) in requests.iter().zip(measured) {
        assert_eq!(measured.unwrap(), ask(&alone, request).await.unwrap());
    }
    let all = ask(&together, &request(COT, &ends(), 9)).await.unwrap();
    // With all steps ahead of it, a step is as likely as in the whole.
    let sum: f64 = all.tokens.iter().map(|token| f64::from(token.logprob)).sum();
    let steps: f64 = all.local.unwrap().iter().map(|step| step.logprob).sum();
    assert!((sum - steps).abs() < 1e-9, "{sum} {steps}");
}

#[tokio::test]
async fn what_cannot_be_measured_says_so() {
    let engine = load(&Tiny::new("llama"), |config| config.n_context = 64);
    let mut field = request("12", &[], 0);
    field.extra.insert("seed".into(), 1.into());
    for (request, words) in [(request(" \n", &[], 0), "it is empty"), (field, "no field `seed`")] {
        let fault = engine.measure(&request).await.expect_err(words);
        assert!(fault.kind == FaultKind::BadRequest && fault.message.contains(words), "{fault}");
    }
    let fault = engine.measure(&request(&"12 ".repeat(60), &[], 0)).await.expect_err("too long");
    assert!(fault.kind == FaultKind::ContextTooLong, "{fault}");
    let seen = engine.capabilities().await.unwrap();
    assert!(seen.ranks.is_yes() && seen.prompt_logprobs.is_yes(), "{seen:?}");
}
