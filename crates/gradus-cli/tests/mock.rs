//! The real binary pretends to be a model.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

struct Server {
    child: Child,
    address: String,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .args(["mock", "--port", "0"])
            .args(arguments)
            .env("MOCK_TEST_KEY", "open sesame")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/v1"));
        let address = address.unwrap_or_else(|| panic!("{line:?} is no URL")).to_owned();
        Self { child, address, stdout }
    }

    /// Status and body of one request.
    fn request(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let host = &self.address;
        write!(stream, "{head} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn ask(&self, question: &str, seed: u64) -> (u16, String) {
        let body = json!({
            "model": "any", "seed": seed, "messages": [{ "role": "user", "content": format!("Please answer.\n\n{question}\n") }],
        });
        let (status, body) = self.request("POST /v1/chat/completions", &body.to_string());
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        (status, body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned())
    }

    /// Ends it by a signal; what it said on stderr.
    fn stop(mut self, signal: rustix::process::Signal) -> String {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn questions_of_the_built_in_bank_get_right_and_wrong_answers() {
    let server = Server::start(&["--right-rate", "0.5"]);
    let answers: Vec<String> = (0..20).map(|seed| server.ask("What is 21 * 19?", seed).1).collect();
    let n_right = answers.iter().filter(|answer| answer.contains(r"\boxed{399}")).count();
    assert!((2..=18).contains(&n_right), "{n_right}");
    assert!(answers.iter().all(|answer| answer.contains(r"\boxed{")));
    assert_eq!(server.ask("What is 21 * 19?", 3).1, answers[3]);
    let (_, stats) = server.request("GET /stats", "");
    assert_eq!(serde_json::from_str::<Value>(&stats).unwrap()["requests"], 21);
    let said = server.stop(rustix::process::Signal::INT);
    assert!(said.contains("21 requests, 21 answered; 20 different, 1 asked again"), "{said}");
}

#[test]
fn code_questions_get_the_built_in_solution() {
    let question =
        "Write a Python function `last_letter(word)` that returns the last character of a string that is not empty.";
    let right = Server::start(&["--right-rate", "1"]);
    assert!(right.ask(question, 0).1.contains("```python\ndef last_letter(word):\n    return word[-1]\n```"));
    let wrong = Server::start(&["--right-rate", "0"]);
    assert!(wrong.ask(question, 0).1.contains("def last_letter(*args):\n    return None\n"));
    right.stop(rustix::process::Signal::TERM);
}

#[test]
fn a_bank_of_ones_own_replaces_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let bank = folder.path().join("bank.jsonl");
    std::fs::write(&bank, r#"{"id":"x","question":"How many moons has Pluto?","answer":"5"}"#).unwrap();
    let server = Server::start(&["--right-rate", "1", "--bank", bank.to_str().unwrap()]);
    assert!(server.ask("How many moons has Pluto?", 0).1.contains(r"\boxed{5}"));
}

#[test]
fn faults_and_keys_come_only_where_asked_for() {
    let server = Server::start(&["--errors-5xx", "1", "--model", "a", "--model", "b", "--max-model-len", "77"]);
    assert!(server.ask("What is 21 * 19?", 0).0 >= 500);
    let models: Value = serde_json::from_str(&server.request("GET /v1/models", "").1).unwrap();
    assert_eq!((&models["data"][1]["id"], &models["data"][0]["max_model_len"]), (&json!("b"), &json!(77)));
    let server = Server::start(&["--key-env", "MOCK_TEST_KEY"]);
    assert_eq!(server.ask("What is 21 * 19?", 0).0, 401);
    let server = Server::start(&["--rate-limit", "1/s"]);
    let statuses: Vec<u16> = (0..5).map(|seed| server.ask("What is 21 * 19?", seed).0).collect();
    assert!(statuses[0] == 200 && statuses.contains(&429), "{statuses:?}");
}

#[test]
fn wrong_settings_are_refused() {
    let refused = |arguments: &[&str], words: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_gradus")).args(["mock", "--port", "0"]).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    };
    refused(&["--cut", "1.5"], "not between 0 and 1");
    refused(&["--cut", "0.7", "--garbage", "0.7"], "above 1");
    refused(&["--key-env", "NO_SUCH_VARIABLE_HERE"], "is not set");
    refused(&["--bank", "no-such-bank.jsonl"], "no-such-bank.jsonl");
    let server = Server::start(&[]);
    let port = server.address.rsplit(':').next().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gradus")).args(["mock", "--port", port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot listen on"));
}

/// What `gradus doctor --probe` says of this server: state and detail by name.
fn probed(server: &Server, model: &str) -> std::collections::BTreeMap<String, (String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("bank: builtin\nstudent: openai:http://{}/v1#{model}\n", server.address);
    std::fs::write(folder.path().join("gradus.yaml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["doctor", "--probe", "--json", "--config", "gradus.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    checks
        .filter(|check| check["section"] == "models")
        .map(|check| (text(check, "name"), (text(check, "state"), text(check, "detail"))))
        .collect()
}

#[test]
fn doctor_says_what_a_server_does_and_what_it_leaves_out_without_a_word() {
    let able = Server::start(&["--thinking-in", "reasoning-content"]);
    let seen = probed(&able, "mock-student");
    for name in
        ["log-probabilities", "prompt log-probabilities", "ranks in the prompt", "n answers at once", "JSON schema"]
    {
        assert_eq!(seen[&format!("student, {name}")].0, "ok", "{seen:?}");
    }
    assert!(seen["student, thinking apart"].1.starts_with("not seen"), "{seen:?}");
    let thinks = probed(&able, "a-teacher");
    assert!(thinks["student, thinking apart"].1.contains("`reasoning_content`"), "{thinks:?}");
    assert!(!thinks["student, JSON schema"].1.contains("ignored"), "{thinks:?}");
    assert!(seen["student, step scores"].1.contains("2 classes at each of two"), "{seen:?}");
    drop(able);

    let lacks = ["logprobs", "prompt-logprobs", "n", "json-schema", "pooling"].map(|feature| ["--lacks", feature]);
    let unable = Server::start(&lacks.concat());
    let seen = probed(&unable, "mock-student");
    for name in
        ["log-probabilities", "prompt log-probabilities", "ranks in the prompt", "n answers at once", "JSON schema"]
    {
        let (state, detail) = &seen[&format!("student, {name}")];
        assert!(state == "warning" && detail.starts_with("no, ignored without a word"), "{name}: {detail}");
    }
    assert!(seen["student, step scores"].1.starts_with("no: ") && seen["student"].0 == "ok", "{seen:?}");
}

#[test]
fn steps_are_scored_over_every_route() {
    let server = Server::start(&["--step-mark", "##"]);
    let pooling = json!({ "model": "prm", "messages": [
        { "role": "user", "content": "How much?" }, { "role": "assistant", "content": "One and one.##It is two.##" },
    ] });
    let (status, body) = server.request("POST /pooling", &pooling.to_string());
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["data"][0]["data"].as_array().unwrap().len()), (200, 2));
    let label = json!({ "model": "prm", "max_tokens": 1, "logprobs": true, "top_logprobs": 5,
        "messages": [{ "role": "user", "content": "How much? One and one." }] });
    let (_, label) = server.request("POST /v1/chat/completions", &label.to_string());
    let label: Value = serde_json::from_str(&label).unwrap();
    let written = label["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(["+", "-"].contains(&written), "{written}");
    let likely = body["data"][0]["data"][0][1].as_f64().unwrap() > 0.5;
    assert_eq!(written == "+", likely, "both forms speak of the same step");
    let prompt = json!({ "model": "prm", "prompt": "How much? One and one.", "prompt_logprobs": 2, "max_tokens": 1 });
    let (_, prompt) = server.request("POST /v1/completions", &prompt.to_string());
    let prompt: Value = serde_json::from_str(&prompt).unwrap();
    assert!(prompt["choices"][0]["prompt_logprobs"].as_array().unwrap().len() > 3, "{prompt}");
}
