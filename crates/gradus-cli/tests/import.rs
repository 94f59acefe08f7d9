//! Chains of thought that exist already, through the real binary: imported, and judged by a run without a model.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::gradus;
use gradus::tables::{CotRow, QuestionRow, Row, TableReader, VerdictRow};
use serde_json::{Value, json};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn table<R: Row>(folder: &Path) -> Vec<R> {
    TableReader::<R>::open(&folder.join("run/tables")).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Imports rows, and runs what was written with a student that answers every question wrongly.
fn import_and_run(folder: &Path, rows: &[Value], ids: &[&str], options: &[&str]) -> Value {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(folder.join("cots.jsonl"), lines.join("\n")).unwrap();
    let student = ids.iter().map(|id| json!({"question_id": id, "model": "s", "response": "\\boxed{-77}"}).to_string());
    std::fs::write(folder.join("student.jsonl"), student.collect::<Vec<_>>().join("\n")).unwrap();
    let imported = gradus(folder, &[&["import", "cots.jsonl", "--out", "in", "--json"], options].concat());
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let said = text(&imported.stderr);
    assert!(said.contains("next: set `student` in in/gradus.yaml, then gradus run --config in/gradus.yaml"), "{said}");
    let config =
        ["run", "--config", "in/gradus.yaml", "--set", "student=replay:../student.jsonl#s", "--run-dir", "run"];
    let ran = gradus(folder, &config);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    serde_json::from_slice(&imported.stdout).unwrap()
}

/// Verdict and end of every chain of thought, by question's first id, teacher and number; each has an id of its own.
fn judged(folder: &Path) -> BTreeMap<(String, String, i64), (String, String)> {
    let ids: BTreeMap<String, String> =
        table::<QuestionRow>(folder).into_iter().map(|row| (row.question_id, row.source_ids[0].clone())).collect();
    let cots: Vec<CotRow> = table(folder);
    let distinct: BTreeSet<&str> = cots.iter().map(|cot| cot.cot_id.as_str()).collect();
    assert_eq!(distinct.len(), cots.len());
    let verdicts: BTreeMap<String, String> = table::<VerdictRow>(folder)
        .into_iter()
        .filter(|row| row.role == "teacher")
        .map(|row| (row.attempt_id, row.verdict))
        .collect();
    cots.into_iter()
        .map(|cot| {
            let key = (ids[&cot.question_id].clone(), cot.teacher, cot.attempt);
            (key, (verdicts[&cot.cot_id].clone(), cot.finish))
        })
        .collect()
}

fn key(id: &str, teacher: &str, attempt: i64) -> (String, String, i64) {
    (id.to_owned(), teacher.to_owned(), attempt)
}

fn found(verdict: &str, finish: &str) -> (String, String) {
    (verdict.to_owned(), finish.to_owned())
}

#[test]
fn the_flags_of_the_source_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let cot = |solution: &str, teacher: &str, right: bool| {
        json!({
            "thought": format!("I say </think> and think of {solution}."), "solution": solution, "teacher": teacher,
            "full_response": "", "thought_correctness_verify": right, "Reasoning_Verbosity": {"level": 2, "judge": "j"},
        })
    };
    // Two questions that differ in one number, under one id.
    let rows = [
        json!({"id": "q", "question": "What is 3 + 4?", "answer": "7", "reasoning": [
            cot("\\boxed{7}", "a", true), cot("\\boxed{8}", "a", true), cot("\\boxed{7.0}", "b", false)]}),
        json!({"id": "q", "question": "What is 3 + 5?", "answer": "8", "reasoning": [
            cot("\\boxed{8}", "a", false), cot("\\boxed{7}", "b", true)]}),
        json!({"question": "", "reasoning": []}),
    ];
    let summary = import_and_run(folder.path(), &rows, &["q", "q#2"], &[]);
    assert_eq!((&summary["files"][0]["shape"], &summary["n_cots"]), (&json!("omnithought"), &json!(5)));
    assert_eq!((&summary["dropped_rows"], &summary["n_rated"]), (&json!({"no_question": 1}), &json!(5)));
    let wanted = BTreeMap::from([
        (key("q", "a", 0), found("correct", "stop")),
        (key("q", "a", 1), found("incorrect", "stop")),
        (key("q", "b", 0), found("correct", "stop")),
        (key("q#2", "a", 0), found("correct", "stop")),
        (key("q#2", "b", 0), found("incorrect", "stop")),
    ]);
    assert_eq!(judged(folder.path()), wanted);
    let cots: Vec<CotRow> = table(folder.path());
    for cot in &cots {
        let answer = cot.answer.as_deref().unwrap();
        assert_eq!(cot.reasoning.as_deref(), Some(format!("I say </think> and think of {answer}.").as_str()));
    }
}

#[test]
fn a_generation_that_was_cut_off_is_not_sound() {
    let folder = tempfile::tempdir().unwrap();
    let row = |id: &str, question: &str, answer: &str, generations: Value, reasons: Value| {
        json!({"uuid": id, "problem": question, "answer": answer, "solution": "", "generations": generations,
               "finish_reasons": reasons, "correctness_math_verify": [true, true]})
    };
    let whole = "<think>\nThree and four.\n</think>\n\nIt is \\boxed{7}.";
    let rows = [
        row("u", "What is 3 + 4?", "7", json!([whole, "<think>\nIt is 7, so"]), json!(["stop", "length"])),
        row("v", "What is 3 + 5?", "8", json!([whole, format!("{whole} But")]), json!(["stop", "length"])),
    ];
    let summary = import_and_run(folder.path(), &rows, &["u", "v"], &["--teacher", "lab/r1"]);
    assert_eq!((&summary["files"][0]["shape"], &summary["n_most"]), (&json!("openr1"), &json!(2)));
    let wanted = BTreeMap::from([
        (key("u", "lab/r1", 0), found("correct", "stop")),
        (key("u", "lab/r1", 1), found("no_answer", "length")),
        (key("v", "lab/r1", 0), found("incorrect", "stop")),
        (key("v", "lab/r1", 1), found("incorrect", "length")),
    ]);
    assert_eq!(judged(folder.path()), wanted);
}

#[test]
fn what_cannot_be_imported_is_an_error_that_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f.jsonl"), "{\"foo\": 1}\n").unwrap();
    let refused = gradus(folder.path(), &["import", "f.jsonl", "--out", "in"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: f.jsonl: its columns fit no known shape; there are `foo`\n"), "{said}");
    assert!(said.contains("openr1: a list `generations`") && said.contains("`--shape`"), "{said}");
    let missing = gradus(folder.path(), &["import", "g.jsonl", "--out", "in"]);
    let said = text(&missing.stderr);
    assert_eq!(missing.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: `g.jsonl` cannot be read") && said.contains("did you mean `f.jsonl`?"), "{said}");
    assert!(!folder.path().join("in").exists());
}
