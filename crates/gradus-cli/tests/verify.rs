//! The real binary compares answers.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

fn gradus() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.arg("verify");
    command
}

/// Waits for rows; all its streams are pipes.
fn rows_in() -> Child {
    let mut command = gradus();
    command.args(["--jsonl", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Rows in, what came out.
fn stream(input: &[u8]) -> (Vec<Value>, Output) {
    let mut child = rows_in();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let rows = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    (rows.map(|line| serde_json::from_slice(line).unwrap()).collect(), output)
}

/// The one answer to one row, which must be an error that holds these words.
#[track_caller]
fn refused(row: &[u8], words: &str) -> Value {
    let (mut rows, output) = stream(row);
    assert!(output.status.success());
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = rows.remove(0);
    assert!(row["error"].as_str().unwrap().contains(words), "{row}");
    assert_eq!(row["line"], 1);
    assert!(row.get("verdict").is_none());
    row
}

#[test]
fn the_verdict_comes_first_and_is_no_exit_code() {
    for (answer, verdict) in [("0.5", "correct"), ("-0.5", "incorrect"), ("", "no_answer")] {
        let output = gradus().args(["--reference", r"\frac{1}{2}", "--answer", answer]).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().next(), Some(verdict), "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}

#[test]
fn one_of_several_references_is_enough_and_json_tells_all() {
    let output = gradus()
        .args(["--reference", "7", "--reference", "x", "--answer", r"So it is \boxed{7}.", "--form", "text", "--json"])
        .output()
        .unwrap();
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&verdict["verdict"], &verdict["extracted"]), (&json!("correct"), &json!("7")));
    assert_eq!((&verdict["rule"], &verdict["proof"]), (&json!("boxed"), &json!("exact")));
}

#[test]
fn a_tolerance_and_an_explanation_can_be_asked_for() {
    let run = |more: &[&str]| {
        let output = gradus().args(["--reference", "100", "--answer", "103"]).args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&[]).starts_with("incorrect"));
    assert!(run(&["--tolerance", "0.05"]).starts_with("correct"));
    let options = gradus()
        .args(["--kind", "choice", "--reference", "A", "--answer", "\\frac12", "--option", "0.5", "--option", "-2"])
        .output()
        .unwrap();
    assert!(options.stdout.starts_with(b"correct\n"));
    let explained = run(&["--explain"]);
    assert!(explained.contains("extracted: 103 (rule bare, bytes 0 to 3)"), "{explained}");
    assert!(explained.contains("\nwitness: "), "{explained}");
}

#[test]
fn a_call_without_answer_is_a_usage_error() {
    let output = gradus().args(["--reference", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn rows_come_out_in_their_order_with_their_ids() {
    let mut input = Vec::new();
    for i in 0..20_000 {
        let answer = if i % 3 == 0 { i + 1 } else { i };
        let row = json!({ "id": i, "reference": i, "answer": format!("\\boxed{{{answer}}}"), "form": "text" });
        writeln!(input, "{row}").unwrap();
    }
    let (rows, output) = stream(&input);
    assert!(output.status.success() && output.stderr.is_empty());
    assert_eq!(rows.len(), 20_000);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row["id"], i);
        assert_eq!(row["verdict"], if i % 3 == 0 { "incorrect" } else { "correct" }, "{row}");
    }
    let mut keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["explanation", "extracted", "id", "method", "verdict"]);
}

#[test]
fn references_may_be_numbers_or_lists_and_kinds_differ() {
    let rows = [
        json!({ "id": "a", "reference": 0.5, "answer": "1/2", "form": "bare" }),
        json!({ "id": "b", "reference": ["3", 4], "answer": "4", "form": "bare" }),
        json!({ "id": "c", "reference": "B", "answer": "The answer is (B).", "form": "text", "kind": "choice" }),
        json!({ "id": "d", "reference": "Monday", "answer": "monday", "form": "bare", "kind": "text" }),
        json!({ "id": "e", "reference": "200", "answer": "195", "form": "bare", "tolerance": 0.05 }),
        json!({ "id": "f", "reference": "200", "answer": "195", "form": "bare", "tolerance": { "absolute": 4 } }),
        json!({ "id": "g", "reference": "B", "answer": "0.5", "form": "bare", "kind": "choice", "options": [2, "1/2"] }),
        json!({ "id": null, "reference": "1", "answer": "<think>hm", "form": "text", "question": "?", "more": [] }),
    ];
    let input = rows.map(|row| row.to_string()).join("\r\n\n");
    let (rows, _) = stream(input.as_bytes());
    let verdicts: Vec<&str> = rows.iter().map(|row| row["verdict"].as_str().expect("a verdict")).collect();
    let last = ["incorrect", "correct", "no_answer"];
    assert_eq!((&verdicts[..5], &verdicts[5..]), (&["correct"; 5][..], &last[..]), "{rows:?}");
    assert!(rows[7]["extracted"].is_null() && rows[7]["id"].is_null());
}

#[test]
fn a_bad_row_is_answered_with_what_is_wrong() {
    refused(b"nonsense", "no JSON object");
    refused(b"[\"a\",\"1\",\"1\",\"bare\",null,null]", "no JSON object");
    refused(br#"{"id":"a","reference":"1","answer":"1","form":"bare""#, "column");
    let row = refused(br#"{"id":"a","answer":"1","form":"bare"}"#, "`reference` is missing");
    assert_eq!(row["id"], "a");
    refused(br#"{"id":"a","reference":"1","form":"bare"}"#, "`answer` is missing");
    refused(br#"{"id":"a","reference":"1","answer":"1"}"#, "`form` is missing");
    refused(br#"{"id":"a","reference":"1","answer":1,"form":"bare"}"#, "`answer` must be a string");
    refused(br#"{"id":"a","reference":{"x":1},"answer":"1","form":"bare"}"#, "`reference` must be");
    refused(br#"{"id":"a","reference":[],"answer":"1","form":"bare"}"#, "empty list");
    refused(br#"{"id":"a","reference":"1","answer":"1","form":"full"}"#, "`form` must be");
    refused(br#"{"id":"a","reference":"1","answer":"1","form":"bare","kind":"essay"}"#, "`kind` must be");
    refused(br#"{"id":"a","reference":"1","answer":"1","form":"bare","tolerance":-1}"#, "`tolerance` must be");
    refused(br#"{"id":"a","reference":"B","answer":"1","form":"bare","options":"1"}"#, "`options` must be");
    refused(br#"{"id":"a","reference":"1","answer":"\ud800","form":"bare"}"#, "`answer` must be");
    let row = refused(
        b"{\"id\":\"a\",\"reference\":\"1\",\"answer\":\"\xff\",\"form\":\"bare\"}",
        "invalid UTF-8 at byte 37",
    );
    assert_eq!(row["id"], "a");
}

#[test]
fn good_rows_around_bad_ones_are_answered() {
    let good = r#"{"id":1,"reference":"1","answer":"1","form":"bare"}"#;
    let (rows, output) = stream(format!("{good}\n\nnonsense\n{good}\n").as_bytes());
    assert!(output.status.success());
    assert_eq!(rows[0]["verdict"], "correct");
    assert_eq!(rows[1]["line"], 3);
    assert_eq!(rows[2]["verdict"], "correct");
}

#[test]
fn a_row_is_answered_before_the_next_one_comes() {
    let mut child = rows_in();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for i in 0..3 {
        writeln!(stdin, "{}", json!({ "id": i, "reference": "1", "answer": "1", "form": "bare" })).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("{{\"id\":{i},")), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_closed_output_is_a_quiet_end() {
    let mut child = rows_in();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let row = json!({ "id": 1, "reference": "1", "answer": "1", "form": "bare" });
    // Stdin stays open: the end must not wait for it.
    let _ = writeln!(stdin, "{row}");
    let mut errors = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut errors).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(errors, "");
}

#[test]
fn code_rows_run_their_tests() {
    let tests = json!({ "tests": { "type": "function", "entry_point": "f", "test_code": "assert f(1) == 2\nassert f(5) == 10\n" } });
    let stdin_tests = json!({ "tests": { "type": "stdin", "cases": [{ "input": "3\n", "output": "9" }] } });
    let row = |id: &str, reference: &Value, answer: &str, form: &str| {
        json!({ "id": id, "reference": reference, "answer": answer, "form": form, "kind": "code" }).to_string() + "\n"
    };
    let input = row("right", &tests, "def f(x):\n    return 2 * x", "bare")
        + &row("wrong", &tests, "Here:\n```python\ndef f(x):\n    return 2\n```", "text")
        + &row("none", &tests, "I do not know.", "text")
        + &row("stdin", &stdin_tests, "print(int(input()) ** 2)", "bare")
        + &row("bad", &json!({ "tests": 5 }), "x", "bare")
        + r#"{"id":"math","reference":"1","answer":"1","form":"bare"}"#;
    let (rows, output) = stream(input.as_bytes());
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[5]["verdict"], "correct");
    assert!(rows[4]["error"].as_str().unwrap().contains("`reference` of a code row"), "{}", rows[4]);
    assert_eq!((&rows[2]["verdict"], &rows[2]["passed"]), (&json!("no_answer"), &json!(0)));
    if output.status.code() == Some(3) {
        assert!(rows[0]["error"].as_str().unwrap().contains("cannot isolate"), "{}", rows[0]);
        println!("skipped: this system cannot isolate programs");
        return;
    }
    assert!(output.status.success());
    assert_eq!(rows[0]["verdict"], "correct", "{}", rows[0]);
    assert_eq!((&rows[0]["passed"], &rows[0]["total"]), (&json!(2), &json!(2)));
    assert_eq!(rows[1]["verdict"], "incorrect");
    assert_eq!((&rows[1]["passed"], &rows[1]["total"]), (&json!(1), &json!(2)));
    assert_eq!(rows[1]["tests"][0]["status"], "passed");
    assert_eq!(rows[1]["tests"][1]["status"], "failed");
    assert_eq!(rows[3]["verdict"], "correct", "{}", rows[3]);
}

#[test]
fn code_rows_say_what_each_test_came_to() {
    let reference = json!({ "tests": { "type": "stdin", "cases": [
        { "input": "1", "output": "1" }, { "input": "2", "output": "4" }, { "input": "0", "output": "0" },
    ] } });
    let checker =
        "import sys\nsys.exit(0 if abs(int(open(sys.argv[3]).read())) == int(open(sys.argv[2]).read()) else 1)";
    let checked = |source: &str| {
        json!({ "tests": { "type": "stdin", "cases": [{ "input": "3", "output": "3" }],
            "checker": { "language": "python", "source": source } } })
    };
    let row = |id: &str, reference: &Value, answer: &str| json!({ "id": id, "reference": reference, "answer": answer, "form": "bare", "kind": "code" });
    let mut rows = [
        row("mixed", &reference, "n = int(input())\nprint(n + n if n else 1 / n)"),
        row("checked", &checked(checker), "print(-int(input()))"),
        row("refused", &checked(checker), "print(4)"),
        row("crashed", &checked("1 / 0"), "print(3)"),
        row("cobol", &reference, "DISPLAY 1."),
        row("cpp", &reference, "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << n * n; }"),
        row("typo", &reference, "int main() { return nothing; }"),
        row("number", &reference, "print(1)"),
    ];
    rows[4]["language"] = "cobol".into();
    rows[5]["language"] = "c++".into();
    rows[6]["language"] = "cpp".into();
    rows[7]["language"] = 5.into();
    let input = rows.map(|row| row.to_string()).join("\n");
    let (rows, output) = stream(input.as_bytes());
    if output.status.code() == Some(3) {
        println!("skipped: this system cannot isolate programs");
        return;
    }
    let verdicts: Vec<_> = rows[..5].iter().map(|row| row["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["incorrect", "correct", "incorrect", "undecided", "undecided"], "{rows:#?}");
    assert!(rows[7]["error"].as_str().unwrap().contains("`language` must be a string"), "{}", rows[7]);
    assert!(rows[3]["explanation"].as_str().unwrap().contains("the checker: ended with code 1: ZeroDivisionError"));
    assert!(rows[4]["explanation"].as_str().unwrap().contains("language cobol is not set up"));
    let tests = rows[0]["tests"].as_array().unwrap();
    assert_eq!((&rows[0]["passed"], &rows[0]["total"], tests.len()), (&json!(1), &json!(3), 3), "{}", rows[0]);
    for (test, status, detail) in [
        (&tests[0], "wrong_output", "line 1: `2` instead of `1`"),
        (&tests[1], "passed", ""),
        (&tests[2], "runtime_error", "ended with code 1: ZeroDivisionError: division by zero"),
    ] {
        assert_eq!(
            (&test["status"], &test["detail"], &test["in_process"]),
            (&json!(status), &json!(detail), &json!(false))
        );
        assert!(test["cpu_ms"].is_u64() && test["wall_ms"].as_u64() >= Some(1), "{test}");
        assert!(test["memory_bytes"].as_u64() >= Some(1 << 20), "{test}");
    }
    if rows[5]["explanation"].as_str().unwrap().contains("was not found") {
        println!("skipped: no C++ compiler");
        return;
    }
    assert_eq!(rows[5]["verdict"], "correct", "{}", rows[5]);
    assert_eq!((&rows[6]["verdict"], &rows[6]["total"]), (&json!("incorrect"), &json!(3)), "{}", rows[6]);
    assert!(rows[6]["tests"][0]["detail"].as_str().unwrap().starts_with("does not compile: "), "{}", rows[6]);
}

#[test]
fn code_rows_without_a_sandbox_are_errors_and_decide_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.jsonl");
    let code = json!({
        "id": 1, "kind": "code", "form": "bare", "answer": "print(1)",
        "reference": { "tests": { "type": "stdin", "cases": [{ "input": "", "output": "1" }] } },
    });
    let math = json!({ "id": 2, "reference": "1", "answer": "1", "form": "bare" });
    std::fs::write(&rows, format!("{code}\n{math}\n")).unwrap();
    // Without a place for scratch files there is no sandbox anywhere.
    let output = gradus().arg("--jsonl").arg(&rows).env("TMPDIR", folder.path().join("missing")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.starts_with("error: cannot isolate programs: ") && said.contains("\nhint: "), "{said}");
    let rows: Vec<Value> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert!(rows[0]["error"].as_str().unwrap().starts_with("cannot isolate programs"), "{}", rows[0]);
    assert_eq!((&rows[0]["id"], &rows[1]["verdict"]), (&json!(1), &json!("correct")));
}
