//! Scores of steps: the shapes of real servers, hostile bodies, and the client against the mock.

use std::sync::Arc;
use std::time::Duration;

use gradus_model::mock::{Mock, MockConfig, MockFaults, MockHandle, MockLacks, MockPrm};
use gradus_model::openai::{OpenAi, OpenAiConfig};
use gradus_model::pool::Pool;
use gradus_model::{Fault, FaultKind, Model, Raw, Score, ScoreForm, Scores, StepScore, Wire};
use proptest::prelude::*;
use serde_json::{Value, json};

fn pooling() -> ScoreForm {
    ScoreForm::Pooling { mark: "<extra_0>".into(), system: None, positive: 1 }
}

fn labels(top: u32) -> ScoreForm {
    ScoreForm::ChatLabels { positive: "+".into(), negative: "-".into(), top }
}

fn prompt() -> ScoreForm {
    ScoreForm::PromptLogprobs { mark: "ки".into(), positive: "+".into(), negative: "-".into() }
}

fn read(wire: Wire, form: &ScoreForm, n_steps: usize, body: impl ToString) -> Result<Scores, Fault> {
    Raw { wire, body: body.to_string().into() }.read_scores(form, n_steps)
}

fn check_fault(wire: Wire, form: &ScoreForm, n_steps: usize, body: impl ToString, kind: FaultKind, words: &str) {
    let body = body.to_string();
    let fault = read(wire, form, n_steps, &body).expect_err(&body);
    assert!(fault.kind == kind && fault.message.contains(words), "{:?} {} for {body}", fault.kind, fault.message);
    assert_eq!(fault.body.as_deref(), (!body.is_empty()).then_some(body.as_bytes()), "the body was paid for");
}

fn close(score: StepScore, wanted: f64) -> bool {
    matches!(score, StepScore::Known(score) if (score - wanted).abs() < 1e-9)
}

// --- /pooling ---------------------------------------------------------------------------------------------------

fn pooled(rows: Value) -> Value {
    json!({
        "id": "pool-3c2d", "object": "list", "created": 1763700000, "model": "Qwen/Qwen2.5-Math-PRM-7B",
        "data": [{ "index": 0, "object": "pooling", "data": rows }],
        "usage": { "prompt_tokens": 91, "total_tokens": 91, "completion_tokens": 0, "prompt_tokens_details": null },
    })
}

#[test]
fn pooling_gives_the_class_of_right_steps_at_each_mark() {
    let body = pooled(json!([[0.0098, 0.9902], [0.9297, 0.0703], [0.5, 0.5]]));
    let scores = read(Wire::PoolingJson, &pooling(), 3, &body).expect("scores");
    assert_eq!(scores.steps, [0.9902, 0.0703, 0.5].map(StepScore::Known));
    assert_eq!((scores.usage.prompt, scores.usage.completion), (Some(91), Some(0)));
    assert_eq!(scores.model.as_deref(), Some("Qwen/Qwen2.5-Math-PRM-7B"));
    let other = ScoreForm::Pooling { mark: "x".into(), system: None, positive: 0 };
    let one = read(Wire::PoolingJson, &other, 1, pooled(json!([[0.3]]))).expect("a single class");
    assert_eq!(one.steps, [StepScore::Known(0.3)]);
}

#[test]
fn pooling_that_is_not_one_row_of_probabilities_per_step_is_refused() {
    use FaultKind::{BadRequest, Transient};
    let check = |body: Value, kind, words: &str| check_fault(Wire::PoolingJson, &pooling(), 2, body, kind, words);
    check(pooled(json!([[0.1, 0.9]])), BadRequest, "expected 2 rows of scores, one for each step, found 1");
    check(pooled(json!([[0.1, 0.9], [0.1, 0.9], [0.1, 0.9]])), BadRequest, "found 3");
    check(pooled(json!([0.1, 0.9])), BadRequest, "expected a row of class probabilities, found 0.1");
    check(pooled(json!([[0.1, 0.9], [0.1, null]])), BadRequest, "[0.1,null]");
    check(pooled(json!([[0.1, 0.9], [0.9]])), BadRequest, "class 1");
    check(pooled(json!([[0.1, 0.9], [-2.5, 3.5]])), BadRequest, "logits");
    check(pooled(json!([[0.1, 0.9], [0.9, 0.9]])), BadRequest, "logits");
    check(pooled(json!("AAAA")), BadRequest, "encoding_format");
    let mut two = pooled(json!([[0.1, 0.9]]));
    two["data"] = json!([two["data"][0], two["data"][0]]);
    check(two, BadRequest, "one conversation");
    check(json!({ "object": "list", "usage": {} }), Transient, "no list `data`");
    check(json!([1]), Transient, "no object");
    check(json!({ "error": { "code": 500, "message": "engine died" } }), Transient, "engine died");
    check(
        json!({ "object": "error", "message": "The request queue is full.", "code": 503 }),
        FaultKind::RateLimited,
        "full",
    );
    check(json!({ "detail": "Not authenticated: invalid api key" }), FaultKind::Auth, "authenticated");
    check_fault(Wire::PoolingJson, &pooling(), 2, "<html>busy</html>", Transient, "<html>busy");
    check_fault(Wire::PoolingJson, &pooling(), 2, "", Transient, "expected scores");
    check_fault(Wire::ChatJson, &pooling(), 2, pooled(json!([])), BadRequest, "ChatJson");
}

// --- labels over chat -------------------------------------------------------------------------------------------

fn top(tokens: &[(&str, f64)]) -> Value {
    let list: Vec<Value> =
        tokens.iter().map(|(token, logprob)| json!({ "token": token, "logprob": logprob, "bytes": [43] })).collect();
    let mut first = list[0].clone();
    first["top_logprobs"] = list.into();
    labelled(json!({ "content": [first], "refusal": null }))
}

fn labelled(logprobs: Value) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "prm",
        "choices": [{
            "index": 0, "message": { "role": "assistant", "content": "+" }, "logprobs": logprobs,
            "finish_reason": "length", "stop_reason": null,
        }],
        "usage": { "prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41 },
    })
}

fn label(tokens: &[(&str, f64)]) -> StepScore {
    let scores = read(Wire::ChatJson, &labels(5), 7, top(tokens)).expect("scores");
    assert_eq!(scores.steps.len(), 1, "the last step alone");
    scores.steps[0]
}

#[test]
fn the_two_labels_are_compared_with_each_other_alone() {
    let score = label(&[("+", 0.6_f64.ln()), ("-", 0.2_f64.ln()), ("x", 0.1_f64.ln())]);
    assert!(close(score, 0.75), "{score:?}");
    let score = label(&[("-", 0.9_f64.ln()), ("+", 0.1_f64.ln())]);
    assert!(close(score, 0.1), "{score:?}");
    // Spelled with a blank, as tokenisers write it, and twice.
    let score = label(&[("\u{2581}+", 0.4_f64.ln()), (" -", 0.2_f64.ln()), ("+", 0.2_f64.ln()), ("\u{120}x", -9.0)]);
    assert!(close(score, 0.75), "{score:?}");
    // Labels of several tokens are known by their beginnings, unless both begin alike.
    let words = ScoreForm::ChatLabels { positive: "correct".into(), negative: "incorrect".into(), top: 5 };
    let body = top(&[("in", 0.5_f64.ln()), (" correct", 0.3_f64.ln()), ("cor", 0.2_f64.ln())]);
    let scores = read(Wire::ChatJson, &words, 1, body).expect("scores");
    assert!(close(scores.steps[0], 0.5), "{scores:?}");
    let alike = ScoreForm::ChatLabels { positive: "good".into(), negative: "great".into(), top: 5 };
    let scores = read(Wire::ChatJson, &alike, 1, top(&[("g", 0.9_f64.ln()), ("x", -4.0)])).expect("scores");
    assert_eq!(scores.steps, [StepScore::Undecided]);
}

#[test]
fn a_label_that_was_not_returned_is_bounded_and_two_are_undecided() {
    let StepScore::Bounded { low, high } = label(&[("+", 0.6_f64.ln()), ("a", 0.2_f64.ln()), ("b", 0.1_f64.ln())])
    else {
        panic!("one label is missing")
    };
    assert!((low - 0.6 / 0.7).abs() < 1e-9 && high == 1.0, "{low} {high}");
    let StepScore::Bounded { low, high } = label(&[("-", 0.6_f64.ln()), ("a", 0.2_f64.ln()), ("b", 0.1_f64.ln())])
    else {
        panic!("one label is missing")
    };
    assert!(low == 0.0 && (high - 0.1 / 0.7).abs() < 1e-9, "{low} {high}");
    // The token that was written may stand below the others; it bounds nothing.
    let written = json!({ "token": "z", "logprob": 0.001_f64.ln() });
    let mut body = top(&[("+", 0.6_f64.ln()), ("a", 0.2_f64.ln())]);
    let list = body["choices"][0]["logprobs"]["content"][0]["top_logprobs"].clone();
    let mut first = written.clone();
    first["top_logprobs"] = list;
    body["choices"][0]["logprobs"]["content"] = json!([first]);
    let StepScore::Bounded { low, .. } = read(Wire::ChatJson, &labels(2), 1, &body).expect("scores").steps[0] else {
        panic!("one label is missing")
    };
    assert!((low - 0.75).abs() < 1e-9, "{low}");
    // One token alone, as of a server that returns what it wrote and nothing beside it.
    assert_eq!(label(&[("+", 0.9_f64.ln())]), StepScore::Bounded { low: 0.5, high: 1.0 });
    assert_eq!(label(&[("The", -0.1), ("<think>", -3.0)]), StepScore::Undecided);
    // vLLM and llama.cpp write this for a probability of zero; two of them say nothing.
    assert_eq!(label(&[("+", -9999.0), ("-", -9999.0)]), StepScore::Undecided);
    assert_eq!(label(&[("+", -0.1), ("-", -9999.0)]), StepScore::Known(1.0));
    assert_eq!(label(&[("-", -0.1), ("+", f64::from(f32::MIN))]), StepScore::Known(0.0));
}

#[test]
fn a_server_that_ignores_logprobs_is_no_scorer() {
    use FaultKind::{BadRequest, Transient};
    let check = |body: Value, kind, words: &str| check_fault(Wire::ChatJson, &labels(5), 1, body, kind, words);
    check(labelled(Value::Null), BadRequest, "ignores `logprobs`");
    check(labelled(json!({ "content": [] })), BadRequest, "ignores `logprobs`");
    check(labelled(json!({ "content": [{ "token": "+" }] })), BadRequest, "its log-probability");
    check(labelled(json!({ "content": [{ "token": "+", "logprob": null }] })), BadRequest, "its log-probability");
    check(labelled(json!({ "content": [{ "token": "+", "logprob": 0.7 }] })), BadRequest, "at most 0");
    check(json!({ "choices": [] }), Transient, "no choices");
    check(json!({ "choices": [{ "error": { "code": 502, "message": "upstream" } }] }), Transient, "upstream");
}

// --- log-probabilities of the prompt ----------------------------------------------------------------------------

/// A position as vLLM writes it: the token that stands there first, then the likeliest.
fn position(tokens: &[(u32, &str, f64, u32)]) -> String {
    let entry = |(id, token, logprob, rank): &(u32, &str, f64, u32)| {
        format!(r#""{id}":{{"logprob":{logprob},"rank":{rank},"decoded_token":{}}}"#, json!(token))
    };
    format!("{{{}}}", tokens.iter().map(entry).collect::<Vec<_>>().join(","))
}

fn completed(positions: &[String], more: &str) -> String {
    format!(
        r#"{{"id":"cmpl-1","object":"text_completion","created":1,"model":"shepherd","choices":[{{"index":0,
        "text":" +","logprobs":null,"finish_reason":"length","stop_reason":null,
        "prompt_logprobs":[{}]{more}}}],"usage":{{"prompt_tokens":9,"total_tokens":10,"completion_tokens":1}}}}"#,
        positions.join(",")
    )
}

/// Two steps: 0.8 at the first mark, 0.25 at the second. The ids are chosen so that sorting them would misplace
/// what stands there.
fn shepherd() -> Vec<String> {
    vec![
        "null".into(),
        position(&[(9, "Two", -3.0, 5), (1, "The", -0.5, 1)]),
        position(&[(12902, "ки", -1.0, 2), (4, "x", -0.2, 1)]),
        position(&[(13, "\n", -12.0, 900), (648, "+", 0.8_f64.ln(), 1), (387, "-", 0.2_f64.ln(), 2)]),
        position(&[(77, "four", -3.0, 5), (648, "+", -0.5, 1)]),
        position(&[(12902, "ки", -1.0, 2), (4, "x", -0.2, 1)]),
        position(&[(13, "\n", -12.0, 900), (387, "-", 0.6_f64.ln(), 1), (648, "+", 0.2_f64.ln(), 2)]),
    ]
}

#[test]
fn labels_are_compared_where_each_mark_has_just_been_read() {
    let scores = read(Wire::CompletionJson, &prompt(), 2, completed(&shepherd(), "")).expect("scores");
    assert!(close(scores.steps[0], 0.8) && close(scores.steps[1], 0.25), "{scores:?}");
    assert_eq!((scores.usage.prompt, scores.model.as_deref()), (Some(9), Some("shepherd")));
    // A token that is no text of its own has none.
    let mut no_text = shepherd();
    no_text[1] = r#"{"9":{"logprob":-3.0,"rank":null,"decoded_token":null}}"#.into();
    assert!(read(Wire::CompletionJson, &prompt(), 2, completed(&no_text, "")).is_ok());
    // With the ids of the prompt the order in which a position is written does not matter.
    let mut reordered = shepherd();
    reordered[2] = position(&[(4, "x", -0.2, 1), (12902, "ки", -1.0, 2)]);
    let ids = r#","prompt_token_ids":[1,9,12902,13,77,12902,13]"#;
    let scores = read(Wire::CompletionJson, &prompt(), 2, completed(&reordered, ids)).expect("scores");
    assert!(close(scores.steps[0], 0.8) && close(scores.steps[1], 0.25), "{scores:?}");
    check_fault(
        Wire::CompletionJson,
        &prompt(),
        2,
        completed(&reordered, ""),
        FaultKind::BadRequest,
        "found it 1 times",
    );
    // A question that holds the mark: the last ones are those of the steps.
    let scores = read(Wire::CompletionJson, &prompt(), 1, completed(&shepherd(), "")).expect("scores");
    assert!(close(scores.steps[0], 0.25), "{scores:?}");
}

#[test]
fn a_mark_of_several_tokens_is_found_and_a_part_of_it_is_not() {
    let mut cut = shepherd();
    cut[1] = position(&[(5, " к", -1.0, 2), (4, "x", -0.2, 1)]);
    cut[2] = position(&[(6, "и", -1.0, 2), (4, "x", -0.2, 1)]);
    let scores = read(Wire::CompletionJson, &prompt(), 2, completed(&cut, "")).expect("scores");
    assert!(close(scores.steps[0], 0.8) && close(scores.steps[1], 0.25), "{scores:?}");
    cut[1] = position(&[(5, "x", -1.0, 2)]);
    check_fault(Wire::CompletionJson, &prompt(), 2, completed(&cut, ""), FaultKind::BadRequest, "found it 1 times");
}

#[test]
fn a_label_behind_a_mark_is_bounded_by_the_ranked_tokens_not_by_what_stands_there() {
    let mut one = shepherd();
    one[3] = position(&[(13, "\n", -12.0, 900), (648, "+", 0.8_f64.ln(), 1), (4, "x", 0.1_f64.ln(), 2)]);
    one[6] = position(&[(13, "\n", -12.0, 900), (4, "x", 0.1_f64.ln(), 1)]);
    let scores = read(Wire::CompletionJson, &prompt(), 2, completed(&one, "")).expect("scores");
    assert!(
        matches!(scores.steps[0], StepScore::Bounded { low, high: 1.0 } if (low - 0.8 / 0.9).abs() < 1e-9),
        "{scores:?}"
    );
    assert_eq!(scores.steps[1], StepScore::Undecided);
}

#[test]
fn a_server_that_ignores_prompt_logprobs_is_no_scorer() {
    use FaultKind::{BadRequest, Transient};
    let check = |body: &str, kind, words: &str| check_fault(Wire::CompletionJson, &prompt(), 2, body, kind, words);
    // llama.cpp: 200, and nothing of what was asked for.
    check(
        r#"{"choices":[{"text":" yes","index":0,"logprobs":null,"finish_reason":"length"}],"object":"text_completion"}"#,
        BadRequest,
        "ignores `prompt_logprobs`",
    );
    check(r#"{"choices":[{"text":"","prompt_logprobs":[null]}]}"#, BadRequest, "ignores `prompt_logprobs`");
    check(r#"{"choices":[]}"#, BadRequest, "expected one choice, found 0");
    check(&completed(&shepherd()[..6], ""), BadRequest, "behind the last mark");
    check(&completed(&shepherd()[..4], ""), BadRequest, "was the prompt cut?");
    check(&completed(&shepherd(), "").replace("-12", "12"), BadRequest, "at most 0");
    check(r#"{"error":{"message":"engine died"}}"#, Transient, "engine died");
    check(r#"{"choices":[{"prompt_logprobs":[null,{"1":{"logprob":"x"}}]}]}"#, Transient, "expected scores as JSON");
    check("<html>", Transient, "<html>");
}

// --- our own form -----------------------------------------------------------------------------------------------

#[test]
fn our_own_form_is_read_back_as_it_was_written() {
    let steps = vec![StepScore::Known(0.25), StepScore::Undecided, StepScore::Bounded { low: 0.5, high: 1.0 }];
    let scores = Scores {
        steps,
        whole: None,
        usage: gradus_model::Usage { prompt: Some(7), completion: Some(0), ..Default::default() },
        cost_usd: None,
        model: Some("m".into()),
    };
    assert_eq!(scores.to_raw().read_scores(&pooling(), 3).expect("scores"), scores);
    let whole = Scores { steps: Vec::new(), whole: Some(StepScore::Known(0.5)), ..scores.clone() };
    assert_eq!(whole.to_raw().read_scores(&pooling(), 3).expect("scores"), whole);
    let fault = scores.to_raw().read_scores(&pooling(), 2).expect_err("three");
    assert!(fault.message.contains("expected 2 scores, found 3"), "{fault}");
    for bad in ["1.5", "-0.1", "\"1\"", "[0.5]", "[0.9,0.1]", "[0,1,2]", "true"] {
        let body = format!(r#"{{"scores":[{bad}]}}"#);
        check_fault(Wire::ScoresJson, &pooling(), 1, body, FaultKind::BadRequest, "expected a score in 0..=1");
    }
}

// --- anything ---------------------------------------------------------------------------------------------------

proptest! {
    #[test]
    fn whatever_comes_gives_scores_in_bounds_or_a_fault(
        body in r#"(\{|\}|\[|\]|,|:|"data"|"choices"|"logprobs"|"content"|"token"|"logprob"|"top_logprobs"|"prompt_logprobs"|"decoded_token"|"scores"|"error"|"\+"|"-"|" ки"|null|0\.5|-1|-9999|1e999|é|"7"){0,40}"#,
        n_steps in 0_usize..4,
    ) {
        for (wire, form) in [
            (Wire::PoolingJson, pooling()),
            (Wire::ChatJson, labels(3)),
            (Wire::CompletionJson, prompt()),
            (Wire::ScoresJson, pooling()),
        ] {
            let _ = read(wire, &form, n_steps, &body);
        }
    }

    #[test]
    fn any_list_of_tokens_gives_a_score_whose_bounds_hold(
        tokens in proptest::collection::vec((prop_oneof![Just("+"), Just(" -"), Just("x"), Just(""), Just("\u{2581}+")], -20.0..0.0_f64), 1..8)
    ) {
        match label(&tokens) {
            StepScore::Known(score) => prop_assert!((0.0..=1.0).contains(&score)),
            StepScore::Bounded { low, high } => prop_assert!(0.0 <= low && low <= high && high <= 1.0),
            StepScore::Undecided => prop_assert!(tokens.iter().all(|(token, _)| !token.contains(['+', '-']))),
        }
    }

    #[test]
    fn any_positions_give_as_many_scores_as_steps_or_a_fault(
        tokens in proptest::collection::vec((0_u32..9, prop_oneof![Just("ки"), Just(" к"), Just("и"), Just("\n"), Just("+"), Just("-"), Just("")], -20.0..0.1_f64), 0..12),
        n_steps in 1_usize..4,
    ) {
        let positions: Vec<String> =
            tokens.iter().map(|(id, token, logprob)| position(&[(*id, token, *logprob, 1), (10, "+", -1.0, 2)])).collect();
        if let Ok(scores) = read(Wire::CompletionJson, &prompt(), n_steps, completed(&positions, "")) {
            prop_assert_eq!(scores.steps.len(), n_steps);
        }
    }

    #[test]
    fn any_rows_give_as_many_scores_as_steps_or_a_fault(
        rows in proptest::collection::vec(proptest::collection::vec(-0.5..1.5_f64, 0..3), 0..5), n_steps in 0_usize..5
    ) {
        if let Ok(scores) = read(Wire::PoolingJson, &pooling(), n_steps, pooled(json!(rows))) {
            prop_assert_eq!(scores.steps.len(), n_steps);
            prop_assert!(scores.steps.iter().all(|score| matches!(score, StepScore::Known(score) if (0.0..=1.0).contains(score))));
        }
    }
}

// --- the client and the mock ------------------------------------------------------------------------------------

const STEPS: [&str; 3] =
    ["Step 1: We write down what is given.", "Step 2: We add both numbers.", "The answer is \\boxed{4}."];

fn request(form: ScoreForm, n_steps: usize) -> Score {
    Score {
        form,
        question: "How much is 2 + 2?".into(),
        steps: STEPS[..n_steps].iter().map(|&step| step.to_owned()).collect(),
        extra: serde_json::Map::new(),
        request_id: "id-7".into(),
        source_ids: Arc::new([]),
        attempt: 0,
    }
}

fn mock(change: impl FnOnce(&mut MockConfig)) -> MockHandle {
    let mut config = MockConfig::default();
    change(&mut config);
    Mock::start(config).expect("a free port")
}

fn client(mock: &MockHandle) -> OpenAi {
    let mut config = OpenAiConfig::new(mock.url(), "a-prm");
    config.idle_timeout = Some(Duration::from_secs(20));
    OpenAi::new(config).expect("a good config")
}

async fn ask(model: &dyn Model, request: &Score) -> Result<Scores, Fault> {
    let raw = model.score(request).await?;
    Ok(raw.read_scores(&request.form, request.steps.len()).expect("score gives only what can be read"))
}

#[tokio::test]
async fn all_forms_give_the_mocks_scores() {
    let mock = mock(|_| {});
    let model = client(&mock);
    let right = STEPS.map(MockPrm::p_right);
    let system = Some("Please reason step by step.".to_owned());
    for form in [pooling(), ScoreForm::Pooling { mark: "<extra_0>".into(), system, positive: 1 }, prompt()] {
        let scores = ask(&model, &request(form.clone(), 3)).await.expect("scores");
        let agree = scores.steps.iter().zip(right).all(|(score, right)| close(*score, right));
        assert!(agree && scores.steps.len() == 3, "{form:?}: {scores:?} {right:?}");
        assert!(scores.usage.prompt.is_some_and(|prompt| prompt > 0), "{scores:?}");
    }
    for (at, right) in right.into_iter().enumerate() {
        let scores = ask(&model, &request(labels(20), at + 1)).await.expect("scores");
        assert!(close(scores.steps[0], right), "{scores:?} {right}");
        let StepScore::Bounded { low, high } = ask(&model, &request(labels(1), at + 1)).await.expect("scores").steps[0]
        else {
            panic!("one of the labels is not among one token")
        };
        assert!(low <= right && right <= high, "{low} {right} {high}");
    }
    assert!(mock.n_requests("id-7") > 0);
    assert_eq!(mock.stats().asked_again, 0);
}

#[tokio::test]
async fn each_form_sends_what_its_server_expects() {
    let mut once = request(labels(5), 1);
    once.extra.insert("seed".into(), 7.into());
    once.extra.insert("top_p".into(), Value::Null);
    let echo = echo::Echo::start();
    let mut config = OpenAiConfig::new(echo.url.as_str(), "a-prm");
    config.max_tokens_field = "max_completion_tokens".into();
    let to_echo = OpenAi::new(config).expect("a good config");
    let _ = to_echo.score(&once).await;
    let (path, body) = echo.last();
    assert_eq!(path, "/v1/chat/completions");
    assert_eq!(
        body,
        json!({
            "model": "a-prm", "temperature": 0.0, "stream": false, "logprobs": true, "top_logprobs": 5, "seed": 7,
            "max_completion_tokens": 1,
            "messages": [{ "role": "user", "content": "How much is 2 + 2? Step 1: We write down what is given." }],
        })
    );
    let _ = to_echo.score(&request(labels(5), 3)).await;
    let roles: Vec<String> = echo.last().1["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| format!("{} {}", message["role"].as_str().expect("a role"), message["content"]))
        .collect();
    assert_eq!(roles.len(), 5);
    assert!(roles[1] == "assistant \"+\"" && roles[2] == "user \"Step 2: We add both numbers.\"", "{roles:?}");
    let _ = to_echo.score(&request(pooling(), 2)).await;
    let (path, body) = echo.last();
    assert_eq!(path, "/pooling");
    assert_eq!(body["task"], "token_classify");
    assert_eq!(
        body["messages"][1]["content"],
        "Step 1: We write down what is given.<extra_0>Step 2: We add both numbers.<extra_0>"
    );
    let _ = to_echo.score(&request(prompt(), 2)).await;
    let (path, body) = echo.last();
    assert_eq!(path, "/v1/completions");
    assert_eq!(
        body["prompt"],
        "How much is 2 + 2? Step 1: We write down what is given. ки\nStep 2: We add both numbers. ки\n"
    );
    assert_eq!((&body["prompt_logprobs"], &body["max_tokens"]), (&json!(10), &json!(1)));
}

#[tokio::test]
async fn what_is_too_long_is_said_so_and_nothing_is_cut() {
    let mock = mock(|config| config.max_model_len = 100);
    let model = client(&mock);
    let mut long = request(pooling(), 2);
    long.steps[0] = "and so on ".repeat(60);
    for form in [pooling(), labels(5), prompt()] {
        let fault = ask(&model, &Score { form, ..long.clone() }).await.expect_err("too long");
        assert_eq!(fault.kind, FaultKind::ContextTooLong, "{fault}");
    }
}

#[tokio::test]
async fn what_would_move_scores_to_other_steps_is_refused_before_it_is_sent() {
    let mock = mock(|_| {});
    let model = client(&mock);
    let mut marked = request(pooling(), 2);
    marked.steps[1] += " <extra_0> ";
    let mut asked = request(pooling(), 2);
    asked.question = "What is <extra_0>?".into();
    let same = ScoreForm::ChatLabels { positive: "+".into(), negative: " +".into(), top: 5 };
    for (request, words) in [
        (marked, "step 2 holds the mark"),
        (asked, "the question holds the mark"),
        (request(prompt(), 0), "there are none"),
        (request(same, 1), "both labels are `+`"),
        (request(labels(0), 1), "`top` is 0"),
        (request(ScoreForm::Pooling { mark: " ".into(), system: None, positive: 1 }, 1), "the mark is empty"),
    ] {
        let fault = model.score(&request).await.expect_err(words);
        assert!(fault.kind == FaultKind::BadRequest && fault.message.contains(words), "{fault}");
    }
    assert_eq!(mock.stats().requests, 0);
}

#[tokio::test]
async fn faults_of_servers_are_named_as_for_chat() {
    let check = async |change: fn(&mut MockFaults), kind: FaultKind| {
        let mock = mock(|config| change(&mut config.faults));
        for form in [pooling(), labels(5), prompt()] {
            let fault = ask(&client(&mock), &request(form.clone(), 2)).await.expect_err("a mishap");
            assert_eq!(fault.kind, kind, "{form:?}: {fault}");
        }
    };
    check(|faults| faults.rate_limited = 1.0, FaultKind::RateLimited).await;
    check(|faults| faults.garbage = 1.0, FaultKind::Transient).await;
    check(|faults| faults.error_in_200 = 1.0, FaultKind::Transient).await;
    check(|faults| faults.cut = 1.0, FaultKind::Transient).await;
    let lacking = mock(|config| config.lacks = MockLacks { pooling: true, ..MockLacks::default() });
    let fault = ask(&client(&lacking), &request(pooling(), 1)).await.expect_err("no route");
    assert!(fault.kind == FaultKind::ModelNotFound && fault.message.contains("`/pooling`"), "{fault}");
    let lacking = mock(|config| {
        config.lacks = MockLacks { logprobs: true, prompt_logprobs: true, ..MockLacks::default() };
    });
    for (form, field) in [(labels(5), "`logprobs`"), (prompt(), "`prompt_logprobs`")] {
        let fault = ask(&client(&lacking), &request(form, 1)).await.expect_err("ignored");
        assert!(fault.kind == FaultKind::BadRequest && fault.message.contains(field), "{fault}");
    }
}

#[tokio::test]
async fn a_pool_scores_all_steps_of_an_answer_on_one_replica() {
    let mocks = [mock(|_| {}), mock(|_| {}), mock(|_| {})];
    let pool = Pool::new(mocks.iter().map(client).collect()).expect("replicas");
    for n_steps in 1..=3 {
        ask(&pool, &request(labels(5), n_steps)).await.expect("scores");
    }
    let mut requests = mocks.map(|mock| mock.stats().requests);
    requests.sort_unstable();
    assert_eq!(requests, [0, 0, 3]);
}

/// A server that keeps what it was sent, and answers nothing of use.
mod echo {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    pub(crate) struct Echo {
        pub(crate) url: String,
        seen: Arc<Mutex<Vec<(String, serde_json::Value)>>>,
    }

    impl Echo {
        pub(crate) fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
            let seen = Arc::new(Mutex::new(Vec::new()));
            let keep = Arc::clone(&seen);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = BufReader::new(stream.expect("a connection"));
                    let (mut line, mut path, mut length) = (String::new(), String::new(), 0);
                    while stream.read_line(&mut line).expect("a line") > 2 {
                        if path.is_empty() {
                            line.split(' ').nth(1).expect("a path").clone_into(&mut path);
                        }
                        if let Some(n) = line.to_lowercase().strip_prefix("content-length: ") {
                            length = n.trim().parse().expect("a number");
                        }
                        line.clear();
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).expect("a body");
                    keep.lock().expect("no panic").push((path, serde_json::from_slice(&body).expect("JSON")));
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
                    stream.get_mut().write_all(answer.as_bytes()).expect("written");
                }
            });
            Echo { url, seen }
        }

        pub(crate) fn last(&self) -> (String, serde_json::Value) {
            self.seen.lock().expect("no panic").last().expect("a request").clone()
        }
    }
}
