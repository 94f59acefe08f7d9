//! How likely a model finds a text: what is read back, and the client against the mock.

use std::time::Duration;

use gradus_model::measure::{StepSum, TokenScore, Window, first_sign};
use gradus_model::mock::{Mock, MockConfig, MockFaults, MockHandle, MockLacks};
use gradus_model::openai::{OpenAi, OpenAiConfig};
use gradus_model::pool::Pool;
use gradus_model::{Fault, FaultKind, Local, Measure, Message, Model, Raw, Speaker, TokenScores, Usage, Wire};
use proptest::prelude::*;
use serde_json::json;

fn read(body: impl ToString, n_steps: Option<usize>) -> Result<TokenScores, Fault> {
    Raw { wire: Wire::TokensJson, body: body.to_string().into() }.read_tokens(n_steps)
}

#[track_caller]
fn check_fault(body: impl ToString, n_steps: Option<usize>, kind: FaultKind, words: &str) {
    let body = body.to_string();
    let fault = read(&body, n_steps).expect_err(&body);
    assert!(fault.kind == kind && fault.message.contains(words), "{:?} {} for {body}", fault.kind, fault.message);
    assert_eq!(fault.body.as_deref(), (!body.is_empty()).then_some(body.as_bytes()));
}

#[test]
fn only_log_probabilities_and_ranks_are_read() {
    use FaultKind::{BadRequest, Transient};
    let with = |tokens: serde_json::Value| json!({ "object": "gradus.token_scores", "tokens": tokens });
    for bad in [json!([[0.5, 1]]), json!([[-1.0, 0]]), json!([[-1.0, 1], [-1e39, 2]])] {
        check_fault(with(bad), None, BadRequest, "expected a log-probability, at most 0");
    }
    for bad in [json!([[-1.0]]), json!([[-1.0, 1, 1]]), json!([[-1.0, -1]]), json!([[null, 1]]), json!({}), json!([7])]
    {
        check_fault(with(bad), None, Transient, "expected scores of tokens");
    }
    check_fault(with(json!([])), None, BadRequest, "found none");
    check_fault(json!({ "object": "chat.completion", "tokens": [] }), None, BadRequest, "found `chat.completion`");
    check_fault("<html>", None, Transient, "expected scores of tokens");
    check_fault("", None, Transient, "expected scores of tokens");
    let local = |steps: serde_json::Value| json!({ "object": "gradus.token_scores", "tokens": [[-1.0, 1], [-2.0, 7]], "local": steps });
    check_fault(local(json!([[-3.0, 2]])), None, BadRequest, "expected 0 steps, found 1");
    check_fault(local(json!(null)), Some(1), BadRequest, "expected 1 steps, found 0");
    check_fault(local(json!([[-3.0, 1]])), Some(1), BadRequest, "expected steps of 2 tokens together, found 1");
    check_fault(local(json!([[-3.0, 2], [-0.5, 0]])), Some(2), BadRequest, "-0.5 of 0 tokens");
    check_fault(local(json!([[3.0, 2]])), Some(1), BadRequest, "a sum of log-probabilities");
    let scores = read(local(json!([[-3.0, 2], [0.0, 0]])), Some(2)).expect("well-formed");
    assert_eq!(scores.tokens[1], TokenScore { logprob: -2.0, rank: 7 });
    let chat = Raw { wire: Wire::ChatJson, body: "{}".into() };
    assert_eq!(chat.read_tokens(None).expect_err("a chat").kind, BadRequest);
}

#[test]
fn a_token_belongs_to_the_step_of_its_first_sign() {
    // "So. | Then |12"; the second token reaches from the first step into the second.
    let local = Local { ends: vec![4, 9, 11], context: 1 };
    let starts: Vec<usize> =
        [(0, "So"), (2, ". T"), (5, "hen"), (8, " 12")].map(|(at, piece)| first_sign(at, piece.as_bytes())).into();
    assert_eq!(starts, [0, 2, 5, 9]);
    let window = |begin, step| Window { begin, step };
    assert_eq!(local.windows(&starts), [window(0, 0..2), window(0, 2..3), window(2, 3..4)]);
    let alone = Local { context: 0, ..local.clone() };
    assert_eq!(alone.windows(&starts)[2], window(3, 3..4));
    // One token over everything leaves the other steps without any.
    assert_eq!(local.windows(&[0]), [window(0, 0..1), window(0, 1..1), window(1, 1..1)]);
}

#[test]
fn a_thinking_part_that_the_prompt_opens_is_not_measured_twice() {
    let n = |prompt: &str, completion: &str| request(completion, None).n_opened(prompt);
    assert_eq!(n("<|User|>1?<|Assistant|><think>\n", "<think>\nso\n</think>\n\n1"), 8);
    assert_eq!(n("<|Assistant|><think>", "<think>\nso"), 7);
    assert_eq!(n("<|Assistant|><think>\n\n</think>\n\n", "<think>\nso"), 0);
    assert_eq!(n("<think> is asked for\n", "<think>\nso"), 0);
    assert_eq!(n("<think>\n", "so"), 0);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        tokens in proptest::collection::vec((-1e30_f32..=0.0, 1_u32..), 1..40),
        cuts in proptest::option::of(proptest::collection::vec(0_usize..40, 1..5)),
        prompt in proptest::option::of(0_u64..1 << 40),
    ) {
        let tokens: Vec<TokenScore> = tokens.into_iter().map(|(logprob, rank)| TokenScore { logprob, rank }).collect();
        let local = cuts.map(|mut cuts| {
            for cut in &mut cuts {
                *cut = (*cut).min(tokens.len());
            }
            cuts.sort_unstable();
            cuts.push(tokens.len());
            let mut begin = 0;
            cuts.into_iter().map(|end| {
                let step = &tokens[begin..end];
                begin = end;
                StepSum { logprob: step.iter().map(|t| f64::from(t.logprob)).sum(), n_tokens: step.len() as u32 }
            }).collect::<Vec<_>>()
        });
        let usage = Usage { prompt, completion: prompt.map(|_| 1), ..Usage::default() };
        let cost_usd = prompt.map(|n| n as f64 / 7.0);
        let scores = TokenScores { tokens, local, usage, cost_usd, model: Some("m".into()) };
        let read = scores.to_raw().read_tokens(scores.local.as_ref().map(Vec::len)).expect("our own");
        // The last bit of a double may get lost on the way.
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-14 * a.abs();
        let cost = read.cost_usd.zip(scores.cost_usd).is_none_or(|(a, b)| close(a, b));
        prop_assert!(cost && read.cost_usd.is_some() == scores.cost_usd.is_some());
        for (a, b) in read.local.iter().flatten().zip(scores.local.iter().flatten()) {
            prop_assert!(a.n_tokens == b.n_tokens && close(a.logprob, b.logprob), "{:?} {:?}", a, b);
        }
        prop_assert_eq!((read.tokens, read.usage, read.model), (scores.tokens, scores.usage, scores.model));
    }

    #[test]
    fn whatever_comes_gives_scores_in_bounds_or_a_fault(
        tokens in r#"(\[|\]|,|-1|-0\.5|1|0|7|1e999|-1e39|null|"x"|\{|\}){0,20}"#,
        local in r"(\[|\]|,|-1|0|2|null){0,12}",
        n_steps in proptest::option::of(0_usize..3),
    ) {
        for body in [
            format!(r#"{{"object":"gradus.token_scores","tokens":{tokens}}}"#),
            format!(r#"{{"object":"gradus.token_scores","tokens":[[-1,1],[-0.5,2]],"local":{local}}}"#),
            format!(r#"{{"object":"gradus.token_scores","tokens":[{tokens}],"usage":{local}}}"#),
            tokens.clone(),
        ] {
            if let Ok(scores) = read(&body, n_steps) {
                prop_assert!(scores.tokens.iter().all(|t| t.logprob.is_finite() && t.logprob <= 0.0 && t.rank > 0));
                prop_assert!(!scores.tokens.is_empty() && scores.local.map(|steps| steps.len()) == n_steps);
            }
        }
    }

    #[test]
    fn windows_share_out_all_tokens(
        starts in proptest::collection::vec(0_usize..60, 0..40),
        ends in proptest::collection::btree_set(1_usize..60, 0..12),
        context in 0_u32..6,
    ) {
        let mut starts = starts;
        starts.sort_unstable();
        let mut ends: Vec<usize> = ends.into_iter().collect();
        ends.push(60);
        let windows = Local { ends, context }.windows(&starts);
        let mut at = 0;
        for window in &windows {
            prop_assert!(window.step.start == at && window.begin <= at);
            at = window.step.end;
        }
        prop_assert_eq!(at, starts.len());
    }
}

// --- the client and the mock ------------------------------------------------------------------------------------

const COT: &str =
    "<think>\nWe add both numbers. Both are 2, so the sum is 4.\n\nIt is 4, we are sure of it.\n</think>\n\nIt is é4.";

fn request(completion: &str, local: Option<Local>) -> Measure {
    Measure {
        messages: vec![Message { role: Speaker::User, content: "How much is 2 + 2?".into() }],
        completion: completion.into(),
        local,
        extra: serde_json::Map::new(),
        request_id: "id-7".into(),
    }
}

fn steps(context: u32) -> Local {
    Local { ends: vec![29, 66, COT.len()], context }
}

fn mock(change: impl FnOnce(&mut MockConfig)) -> MockHandle {
    let mut config = MockConfig::default();
    change(&mut config);
    Mock::start(config).expect("a free port")
}

fn client(mock: &MockHandle) -> OpenAi {
    let mut config = OpenAiConfig::new(mock.url(), "a-student");
    config.idle_timeout = Some(Duration::from_secs(20));
    OpenAi::new(config).expect("a good config")
}

async fn ask(model: &dyn Model, request: &Measure) -> Result<TokenScores, Fault> {
    let raw = model.measure(request).await?;
    let n_steps = request.local.as_ref().map(|local| local.ends.len());
    Ok(raw.read_tokens(n_steps).expect("measure gives only what can be read"))
}

#[tokio::test]
async fn every_token_of_the_text_is_measured_and_each_step_in_its_window() {
    let mock = mock(|_| {});
    let model = client(&mock);
    let plain = ask(&model, &request(COT, None)).await.expect("scores");
    assert!(plain.local.is_none() && plain.tokens.len() > 30, "{plain:?}");
    assert_eq!(plain.model.as_deref(), Some("a-student"));
    let all = ask(&model, &request(COT, Some(steps(9)))).await.expect("scores");
    assert_eq!(all.tokens, plain.tokens);
    // With all steps ahead of it, a step is as likely as in the whole.
    let mut begin = 0;
    for step in all.local.as_deref().expect("steps") {
        let tokens = &plain.tokens[begin..begin + step.n_tokens as usize];
        let sum: f64 = tokens.iter().map(|token| f64::from(token.logprob)).sum();
        assert!(step.n_tokens > 0 && (sum - step.logprob).abs() < 1e-9, "{step:?} {sum}");
        begin += tokens.len();
    }
    let alone = ask(&model, &request(COT, Some(steps(0)))).await.expect("scores").local.expect("steps");
    let all_steps = all.local.expect("steps");
    assert_eq!(alone[0], all_steps[0], "nothing stands ahead of the first step");
    assert!(alone[2].n_tokens == all_steps[2].n_tokens && alone[2].logprob < all_steps[2].logprob, "{alone:?}");
    // The windows are counted too: three prompts and the whole.
    assert!(all.usage.prompt > plain.usage.prompt.map(|prompt| 2 * prompt), "{:?} {:?}", all.usage, plain.usage);
    assert_eq!(all.usage.completion, Some(4));
    assert!(mock.n_requests("id-7") > 0);
}

#[tokio::test]
async fn a_server_that_does_not_tell_what_is_needed_cannot_measure() {
    let check = async |lacks: MockLacks, words: &str| {
        let mock = mock(|config| config.lacks = lacks);
        let fault = ask(&client(&mock), &request(COT, Some(steps(1)))).await.expect_err(words);
        assert!(fault.kind == FaultKind::BadRequest && fault.message.contains(words), "{fault}");
    };
    check(MockLacks { ranks: true, ..MockLacks::default() }, "does not tell ranks").await;
    check(MockLacks { prompt_logprobs: true, ..MockLacks::default() }, "ignores `prompt_logprobs`").await;
    check(MockLacks { tokenize: true, ..MockLacks::default() }, "without that route it cannot measure").await;
}

#[tokio::test]
async fn what_does_not_fit_the_context_is_too_long() {
    let mock = mock(|config| config.max_model_len = 60);
    let fault = ask(&client(&mock), &request(COT, None)).await.expect_err("too long");
    assert!(
        fault.kind == FaultKind::ContextTooLong && fault.message.contains("the context of `a-student` 60"),
        "{fault}"
    );
    let short = ask(&client(&mock), &request("It is 4.", None)).await.expect("it fits");
    assert_eq!(short.tokens.len(), 4);
}

#[tokio::test]
async fn faults_of_servers_are_named_as_for_chat() {
    let check = async |change: fn(&mut MockFaults), kind: FaultKind| {
        let mock = mock(|config| change(&mut config.faults));
        let fault = ask(&client(&mock), &request(COT, None)).await.expect_err("a mishap");
        assert_eq!(fault.kind, kind, "{fault}");
    };
    check(|faults| faults.rate_limited = 1.0, FaultKind::RateLimited).await;
    check(|faults| faults.server_error = 1.0, FaultKind::Transient).await;
    check(|faults| faults.garbage = 1.0, FaultKind::Transient).await;
    check(|faults| faults.error_in_200 = 1.0, FaultKind::Transient).await;
    check(|faults| faults.cut = 1.0, FaultKind::Transient).await;
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused_before_it_is_sent() {
    let mock = mock(|_| {});
    let model = client(&mock);
    let ends = |ends: &[usize]| Some(Local { ends: ends.to_vec(), context: 1 });
    for (completion, local, words) in [
        (" \n", None, "it is empty"),
        ("a b", ends(&[]), "its steps do not join"),
        ("a b", ends(&[2, 2, 3]), "its steps do not join"),
        ("a b", ends(&[0, 3]), "its steps do not join"),
        ("a b", ends(&[2, 4]), "its steps do not join"),
        ("\u{e9}b", ends(&[1, 3]), "its steps do not join"),
    ] {
        let fault = model.measure(&request(completion, local)).await.expect_err(words);
        assert!(fault.kind == FaultKind::BadRequest && fault.message.contains(words), "{fault}");
    }
    assert_eq!(mock.stats().requests, 0);
}

#[tokio::test]
async fn a_pool_measures_all_texts_of_a_question_on_one_replica() {
    let mocks = [mock(|_| {}), mock(|_| {}), mock(|_| {})];
    let pool = Pool::new(mocks.iter().map(client).collect()).expect("replicas");
    for text in [COT, "It is 4.", "Four."] {
        ask(&pool, &request(text, None)).await.expect("scores");
    }
    let idle = mocks.iter().filter(|mock| mock.stats().requests == 0).count();
    assert_eq!(idle, 2);
}
