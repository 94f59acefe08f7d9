//! The real binary looks into ledgers.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use common::{GRADUS, without_reader};
use gradus::attempt::Source;
use gradus::ledger::{Entry, Form, Ledger, Request, Settled, body_hash, compress};
use gradus::work::{Generation, Slot, Step, Task, Work};
use gradus_model::{Identity, Message, Sampling, Speaker};
use serde_json::{Map, Value, json};

/// A ledger in a run directory, with one attempt at each of these questions; gives their keys.
fn record(folder: &Path, questions: &[&str]) -> Vec<String> {
    let ledger = Ledger::open(&folder.join("ledger.sqlite")).unwrap();
    let sampling =
        Sampling { temperature: 0.6, top_p: 0.95, top_k: None, min_p: None, max_tokens: 64, stop: Vec::new() };
    let keys = questions.iter().map(|question| {
        let generation = Generation {
            model: Identity { name: "small".into(), revision: String::new() },
            messages: vec![Message { role: Speaker::User, content: (*question).to_owned() }],
            sampling: sampling.clone(),
            extra: Map::new(),
        };
        let slot = Slot { source: Source::Student, attempt: 0, step: Step::Generate };
        let (payload, keys) = Work { slot, task: Task::Generate(Arc::new(generation)) }.keys();
        let body = json!({ "choices": [{
            "message": { "content": format!("<think>hm</think>\n\nAnswer to {question}") }, "finish_reason": "stop",
        }] })
        .to_string();
        let request = Request {
            key: keys.attempt,
            n_try: 0,
            started_ms: 1,
            took_ms: 250,
            fault: "ok".into(),
            status: Some(200),
            message: String::new(),
            prompt_tokens: Some(10),
            completion_tokens: Some(20),
            cost_usd: None,
            body: None,
        };
        let attempt = Settled {
            keys,
            kind: "generation",
            model: "small".into(),
            revision: String::new(),
            number: 0,
            payload: compress(payload.as_bytes()),
            form: Form::ChatJson,
            finish: "stop".into(),
            body: compress(body.as_bytes()),
            body_hash: body_hash(body.as_bytes()),
        };
        ledger.record(Entry { request, attempt: Some(attempt) }).blocking_recv().unwrap().unwrap();
        keys.attempt.to_string()
    });
    keys.collect()
}

fn gradus(arguments: &[&str]) -> Output {
    Command::new(GRADUS).arg("ledger").args(arguments).output().unwrap()
}

#[track_caller]
fn stdout(arguments: &[&str]) -> String {
    let output = gradus(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(arguments: &[&str], code: i32, words: &str) {
    let output = gradus(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with("error: ") && said.contains(words), "{said}");
}

#[test]
fn an_attempt_is_shown_by_the_beginning_of_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_str().unwrap();
    let keys = record(folder.path(), &["one", "two"]);
    let text = stdout(&["show", run, &keys[1][..12]]);
    assert!(text.starts_with(&keys[1]), "{text}");
    for part in
        ["try 0: ok after 250 ms", "--- thinking ---\nhm", "--- answer ---\nAnswer to two", "\"content\": \"two\""]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let shown: Value = serde_json::from_str(&stdout(&["show", run, &keys[0].to_uppercase(), "--json"])).unwrap();
    assert_eq!((&shown["key"], &shown["model"]), (&json!(keys[0]), &json!("small")));
    refused(&["show", run, "xyz"], 2, "hex digits");
    refused(&["show", run, &"0".repeat(64)], 1, "no attempt");
}

#[test]
fn attempts_and_tries_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_str().unwrap();
    record(folder.path(), &["one", "two", "three"]);
    let stats: Value = serde_json::from_str(&stdout(&["stats", run, "--json"])).unwrap();
    assert_eq!(stats["attempts"][0]["settled"], 3);
    assert_eq!((&stats["requests"]["ok"], &stats["completion_tokens"]), (&json!(3), &json!(60)));
    let text = stdout(&["stats", folder.path().join("ledger.sqlite").to_str().unwrap()]);
    assert!(text.contains("small: 3 generations settled") && text.contains("all tries: 3 ok"), "{text}");
}

#[test]
fn a_changed_body_is_found_and_decides_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_str().unwrap();
    let keys = record(folder.path(), &["one", "two"]);
    assert_eq!(stdout(&["verify", run]), "2 attempts checked, 0 problems\n");
    let connection = rusqlite::Connection::open(folder.path().join("ledger.sqlite")).unwrap();
    let forged = compress(b"forged");
    let changed = connection
        .execute("UPDATE attempts SET body = ?1 WHERE lower(hex(key)) = ?2", rusqlite::params![forged, keys[0]])
        .unwrap();
    assert_eq!(changed, 1);
    let output = gradus(&["verify", run, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["attempts"], 2);
    assert_eq!(found["problems"].as_array().unwrap().len(), 1);
    assert!(keys[0].starts_with(found["problems"][0]["item"].as_str().unwrap()));
}

#[test]
fn all_attempts_are_exported_in_the_order_of_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_str().unwrap();
    let mut keys = record(folder.path(), &["one", "two", "three"]);
    keys.sort();
    let text = stdout(&["export", run]);
    let exported: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(exported.iter().map(|row| row["key"].as_str().unwrap()).collect::<Vec<_>>(), keys);
    let file = folder.path().join("all.jsonl");
    assert_eq!(stdout(&["export", run, file.to_str().unwrap()]), "");
    assert_eq!(std::fs::read_to_string(file).unwrap(), text);
}

#[test]
fn a_reader_that_has_seen_enough_ends_an_export_quietly() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), &["one", "two", "three"]);
    let output = without_reader(Command::new(GRADUS).args(["ledger", "export"]).arg(folder.path()));
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn a_merge_adds_what_is_lacking_and_nothing_twice() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (into, from) = (first.path().to_str().unwrap(), second.path().to_str().unwrap());
    record(first.path(), &["one", "two"]);
    record(second.path(), &["two", "three"]);
    assert!(stdout(&["merge", into, from]).contains("1 new attempts, 1 new tries"));
    let again: Value = serde_json::from_str(&stdout(&["merge", into, from, "--json"])).unwrap();
    assert_eq!((&again["attempts"], &again["requests"], &again["conflicts"]), (&json!(0), &json!(0), &json!(0)));
    assert_eq!(stdout(&["export", into]).lines().count(), 3);
    let fresh = first.path().join("fresh.sqlite");
    stdout(&["merge", fresh.to_str().unwrap(), into, from]);
    assert_eq!(stdout(&["verify", fresh.to_str().unwrap()]), "3 attempts checked, 0 problems\n");
    refused(&["merge", into, into], 2, "into itself");
}

#[test]
fn what_is_no_ledger_is_named() {
    let folder = tempfile::tempdir().unwrap();
    refused(&["stats", folder.path().join("missing").to_str().unwrap()], 2, "there is no ledger at");
    assert!(!folder.path().join("missing").exists());
    let other = folder.path().join("other");
    std::fs::write(&other, "not a database at all, but long enough to be looked at").unwrap();
    refused(&["stats", other.to_str().unwrap()], 1, "hint: ");
}
