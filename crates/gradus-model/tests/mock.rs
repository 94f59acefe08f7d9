//! What the mock says, without a socket.

use gradus_model::mock::reply::{MockQuestion, Replies, Request};
use gradus_model::{Completion, Finish, Raw, Wire};
use serde_json::{Value, json};

fn request(model: &str, prompt: &str, seed: u64, more: &Value) -> Request {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": prompt }], "seed": seed });
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    Request::read(body.to_string().as_bytes()).expect("a request")
}

fn answer(replies: &Replies, request: &Request) -> Completion {
    let body = replies.reply(request).to_json(request);
    let whole = Raw { wire: Wire::ChatJson, body }.read().expect("readable");
    let streamed = Raw { wire: Wire::ChatSse, body: replies.reply(request).to_sse(request) }.read().expect("readable");
    assert_eq!(
        (&streamed.reasoning, &streamed.answer, &streamed.finish),
        (&whole.reasoning, &whole.answer, &whole.finish)
    );
    whole
}

fn text(prompt: &str, seed: u64) -> String {
    answer(&Replies::default(), &request("m", prompt, seed, &json!({}))).answer.expect("an answer")
}

fn question(text: &str) -> MockQuestion {
    let reply = |word: &str| format!("{word}: {}", text.lines().next_back().unwrap_or(""));
    MockQuestion { question: text.to_owned(), reply_right: reply("right"), reply_wrong: reply("wrong") }
}

#[test]
fn the_same_request_gets_the_same_answer_and_another_seed_another() {
    let answers: Vec<String> = (0..20).map(|seed| text("Unknown question?", seed)).collect();
    assert_eq!(answers, (0..20).map(|seed| text("Unknown question?", seed)).collect::<Vec<_>>());
    let different: std::collections::HashSet<&String> = answers.iter().collect();
    assert!(different.len() > 10 && answers.iter().all(|text| text.contains("\\boxed{")), "{answers:?}");
}

#[test]
fn questions_are_found_among_many_by_their_whole_text() {
    let mut questions: Vec<MockQuestion> =
        (0..100_000).map(|n| question(&format!("Question {n}.\nHow much?"))).collect();
    questions.push(question("Question 7.\nHow much? And why?\n\nlong"));
    questions.push(question("  Blank lines around.\n"));
    let mut replies = Replies::new(questions);
    replies.right_rate = Some(1.0);
    let ask = |prompt: &str| answer(&replies, &request("m", prompt, 0, &json!({}))).answer.expect("an answer");
    assert_eq!(ask("Solve:\n\nQuestion 99999.\nHow much?\n\nThink."), "right: How much?");
    assert_eq!(ask("Question 7.\nHow much? And why?\n\nlong"), "right: long");
    assert_eq!(
        ask("Example:\nQuestion 7.\nHow much? And why?\n\nlong\n\nNow:\n   Question 8.\nHow much?"),
        "right: How much?"
    );
    assert_eq!(ask("\n  Blank lines around.  \n"), "right:   Blank lines around.");
    assert!(ask("Question 7.\nHow many?").contains("boxed"), "another question");
    assert!(ask("In one line: Question 7. How much?").contains("boxed"), "not on its own line");
    replies.right_rate = Some(0.0);
    let wrong = answer(&replies, &request("m", "Question 7.\nHow much?", 0, &json!({})));
    assert_eq!(wrong.answer.as_deref(), Some("wrong: How much?"));
}

#[test]
fn models_with_telling_names_think() {
    let thinks = |model: &str| answer(&Replies::default(), &request(model, "1+1?", 0, &json!({}))).reasoning.is_some();
    assert!(thinks("big-Teacher") && thinks("x-thinking-7b") && !thinks("student"));
    let mut replies = Replies::default();
    replies.thinking_names = vec!["deep".to_owned()];
    assert!(answer(&replies, &request("deep", "1+1?", 0, &json!({}))).reasoning.is_some());
}

#[test]
fn replies_have_the_wanted_length_and_end_at_the_limit() {
    let mut replies = Replies::default();
    replies.tokens = 400;
    let whole = answer(&replies, &request("m", "1+1?", 0, &json!({})));
    assert!((370..=430).contains(&whole.usage.completion.expect("counted")), "{:?}", whole.usage);
    let cut = answer(&replies, &request("m", "1+1?", 0, &json!({ "max_tokens": 30 })));
    assert_eq!((cut.usage.completion, &cut.finish), (Some(30), &Finish::Length));
    assert!(whole.answer.expect("text").starts_with(&cut.answer.expect("text")));
    let thinking = answer(&replies, &request("teacher", "1+1?", 0, &json!({ "max_tokens": 30 })));
    assert_eq!((thinking.answer, thinking.finish), (None, Finish::Length));
}

#[test]
fn judges_prompts_get_well_formed_grades() {
    let graded = text("Rate it. Write <score>N</score> with N from 0 to 9.", 3);
    let score = graded.split_once("<score>").and_then(|(_, rest)| rest.split_once("</score>")).expect("both marks").0;
    assert!(score.parse::<u8>().is_ok_and(|score| score <= 9), "{graded}");

    let object = |prompt: &str| serde_json::from_str::<Value>(&text(prompt, 3)).expect("JSON alone");
    let named =
        object("Answer with JSON: {\"verdict\": \"correct\" or \"incorrect\", \"reason\": \"..\", \"rv_score\": 0}");
    assert_eq!(named.as_object().expect("an object").keys().collect::<Vec<_>>(), ["verdict", "reason", "rv_score"]);
    assert!(
        ["correct", "incorrect"].contains(&named["verdict"].as_str().expect("a word")) && named["reason"].is_string()
    );
    assert!(named["rv_score"].as_u64().is_some_and(|score| score <= 9));
    let quoting =
        object("It says {\"cd\": 1, \"n\": 2}.\n\nEnd with one JSON object with the score, such as {\"rv\": 4}.");
    assert_eq!(quoting.as_object().unwrap().keys().collect::<Vec<_>>(), ["rv"], "what is quoted is not asked for");
    let plain = object("Give a score, as JSON.");
    assert!(plain["score"].is_u64() && plain["verdict"].is_string());
    let steps = object("Give JSON {\"scores\": [..]}.\n\nStep 1: a\nStep 2: b\nStepwise\n Step 3: c");
    let steps = steps["scores"].as_array().expect("a list");
    assert!(
        steps.len() == 3 && steps.iter().all(|score| score.as_f64().is_some_and(|score| (0.0..=1.0).contains(&score)))
    );
    assert!(
        ["\\boxed{correct}", "\\boxed{incorrect}"]
            .contains(&text("End with \\boxed{correct} or \\boxed{incorrect}.", 3).as_str())
    );
    let grades: std::collections::HashSet<String> = (0..50).map(|seed| text("<score>", seed)).collect();
    assert!(grades.len() > 5, "grades differ from seed to seed");
}

#[test]
fn log_probabilities_cover_the_text_and_are_probabilities() {
    let request = request("m", "1+1?", 0, &json!({ "logprobs": true, "top_logprobs": 5 }));
    let reply = Replies::default().reply(&request);
    let whole: Value = serde_json::from_slice(&reply.to_json(&request)).expect("JSON");
    let choice = &whole["choices"][0];
    let tokens = choice["logprobs"]["content"].as_array().expect("a list");
    let joined: String = tokens.iter().map(|token| token["token"].as_str().expect("text")).collect();
    assert_eq!(joined, choice["message"]["content"]);
    for token in tokens {
        assert_eq!(token["top_logprobs"].as_array().expect("a list").len(), 5);
        assert_eq!(token["top_logprobs"][0]["token"], token["token"]);
        let sum: f64 = token["top_logprobs"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|top| top["logprob"].as_f64().expect("a number").exp())
            .sum();
        assert!(sum > 0.5 && sum < 1.0, "{sum}");
    }
    let sse = String::from_utf8(reply.to_sse(&request).to_vec()).expect("text");
    let chunks = sse.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let streamed: usize =
        chunks.filter_map(|chunk| Some(chunk["choices"][0]["logprobs"]["content"].as_array()?.len())).sum();
    assert_eq!(streamed, tokens.len());
    assert!(Request::read(b"{}").is_err() && Request::read(b"nothing").is_err());
}
