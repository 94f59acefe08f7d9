//! The real binary pretends to be a model.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::io::Read;
use std::process::{Command, Stdio};

use common::{GRADUS, Mock};
use serde_json::{Value, json};

fn start(arguments: &[&str]) -> Mock {
    Mock::start(|mock| mock.args(arguments).env("MOCK_TEST_KEY", "open sesame").stderr(Stdio::piped()))
}

fn ask(server: &Mock, question: &str, seed: u64) -> (u16, String) {
    let body = json!({
        "model": "any", "seed": seed, "messages": [{ "role": "user", "content": format!("Please answer.\n\n{question}\n") }],
    });
    let (status, body) = server.request("POST /v1/chat/completions", &body.to_string());
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    (status, body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned())
}

/// Ends it by a signal; what it said on stderr.
fn stop(mut server: Mock, signal: rustix::process::Signal) -> String {
    let id = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(id, signal).unwrap();
    let mut said = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(server.child.wait().unwrap().success(), "{said}");
    let mut rest = String::new();
    server.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    said
}

#[test]
fn questions_of_the_built_in_bank_get_right_and_wrong_answers() {
    let server = start(&["--right-rate", "0.5"]);
    let answers: Vec<String> = (0..20).map(|seed| ask(&server, "What is 21 * 19?", seed).1).collect();
    let n_right = answers.iter().filter(|answer| answer.contains(r"\boxed{399}")).count();
    assert!((2..=18).contains(&n_right), "{n_right}");
    assert!(answers.iter().all(|answer| answer.contains(r"\boxed{")));
    assert_eq!(ask(&server, "What is 21 * 19?", 3).1, answers[3]);
    assert_eq!(server.stats()["requests"], 21);
    let said = stop(server, rustix::process::Signal::INT);
    assert!(said.contains("21 requests, 21 answered; 20 different, 1 asked again"), "{said}");
}

#[test]
fn code_questions_get_the_built_in_solution() {
    let question =
        "Write a Python function `last_letter(word)` that returns the last character of a string that is not empty.";
    let right = start(&["--right-rate", "1"]);
    assert!(ask(&right, question, 0).1.contains("```python\ndef last_letter(word):\n    return word[-1]\n```"));
    let wrong = start(&["--right-rate", "0"]);
    assert!(ask(&wrong, question, 0).1.contains("def last_letter(*args):\n    return None\n"));
    stop(right, rustix::process::Signal::TERM);
}

#[test]
fn a_bank_of_ones_own_replaces_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let bank = folder.path().join("bank.jsonl");
    std::fs::write(&bank, r#"{"id":"x","question":"How many moons has Pluto?","answer":"5"}"#).unwrap();
    let server = start(&["--right-rate", "1", "--bank", bank.to_str().unwrap()]);
    assert!(ask(&server, "How many moons has Pluto?", 0).1.contains(r"\boxed{5}"));
}

#[test]
fn faults_and_keys_come_only_where_asked_for() {
    let server = start(&["--errors-5xx", "1", "--model", "a", "--model", "b", "--max-model-len", "77"]);
    assert!(ask(&server, "What is 21 * 19?", 0).0 >= 500);
    let models: Value = serde_json::from_str(&server.request("GET /v1/models", "").1).unwrap();
    assert_eq!((&models["data"][1]["id"], &models["data"][0]["max_model_len"]), (&json!("b"), &json!(77)));
    let server = start(&["--key-env", "MOCK_TEST_KEY"]);
    assert_eq!(ask(&server, "What is 21 * 19?", 0).0, 401);
    let server = start(&["--rate-limit", "1/s"]);
    let statuses: Vec<u16> = (0..5).map(|seed| ask(&server, "What is 21 * 19?", seed).0).collect();
    assert!(statuses[0] == 200 && statuses.contains(&429), "{statuses:?}");
}

#[test]
fn wrong_settings_are_refused() {
    let refused = |arguments: &[&str], words: &str| {
        let output = Command::new(GRADUS).args(["mock", "--port", "0"]).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    };
    refused(&["--cut", "1.5"], "not between 0 and 1");
    refused(&["--cut", "0.7", "--garbage", "0.7"], "above 1");
    refused(&["--key-env", "NO_SUCH_VARIABLE_HERE"], "is not set");
    refused(&["--bank", "no-such-bank.jsonl"], "no-such-bank.jsonl");
    let server = start(&[]);
    let port = server.address.rsplit(':').next().unwrap();
    let output = Command::new(GRADUS).args(["mock", "--port", port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot listen on"));
}
