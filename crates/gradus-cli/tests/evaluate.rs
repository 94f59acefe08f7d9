//! The real binary evaluates models and compares them: against its own mock server, and on a recording written here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .args(["mock", "--port", "0", "--model", "pupil"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap().to_owned();
        Self { child, address }
    }

    fn model(&self) -> String {
        format!("openai:http://{}/v1#pupil", self.address)
    }

    fn n_requests(&self) -> u64 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET /stats HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let stats: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        stats["requests"].as_u64().unwrap_or_else(|| panic!("{stats}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gradus(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus")).args(arguments).current_dir(folder).output().unwrap()
}

#[track_caller]
fn told(folder: &Path, arguments: &[&str]) -> String {
    let output = gradus(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command prints, which is one JSON object and nothing else.
#[track_caller]
fn object(folder: &Path, arguments: &[&str]) -> Value {
    let told = told(folder, arguments);
    let value: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert!(value.is_object(), "{told}");
    value
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Five questions on sums, and recorded answers of two models: two attempts of `one` at the first four, one of `two` at
/// the last four.
fn recorded(folder: &Path) {
    let question = |at: u32, level: &str, answer: &str| {
        let asked = format!("What is {at} + {at}?");
        let id = format!("sums/{at}");
        json!({"id": id, "question": asked, "answer": answer, "level": level, "subject": "sums"}).to_string()
    };
    let bank = [("a", "2"), ("a", "4"), ("b", "6"), ("b", "8"), ("b", "10")];
    let bank = bank.iter().zip(1..).map(|((level, answer), at)| question(at, level, answer) + "\n");
    let bank: String = bank.collect();
    std::fs::write(folder.join("bank.jsonl"), bank).unwrap();
    let answer = |model: &str, at: u32, sample: u32, text: &str| {
        format!(
            "{}\n",
            json!({"question_id": format!("sums/{at}"), "model": model, "sample": sample, "response": text})
        )
    };
    let recording = [
        answer("one", 1, 0, r"It is \boxed{2}."),
        answer("one", 1, 1, r"It is \boxed{2.0}."),
        answer("one", 2, 0, r"It is \boxed{4}."),
        answer("one", 2, 1, r"It is \boxed{5}."),
        answer("one", 3, 0, r"It is \boxed{7}."),
        answer("one", 3, 1, r"It is \boxed{14/2}."),
        answer("one", 4, 0, r"It is \boxed{8}."),
        answer("one", 4, 1, ""),
        answer("two", 2, 0, r"It is \boxed{4}."),
        answer("two", 3, 0, r"It is \boxed{6}."),
        answer("two", 4, 0, r"It is \boxed{9}."),
        answer("two", 5, 0, r"Longer: five and five make ten, so it is \boxed{10}."),
    ];
    std::fs::write(folder.join("answers.jsonl"), recording.concat()).unwrap();
}

#[test]
fn figures_of_a_recording_are_those_counted_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    recorded(folder);
    let evaluate = |model: &str, k: &str, out: &str| {
        let model = format!("replay:answers.jsonl#{model}");
        object(
            folder,
            &["evaluate", "--model", &model, "--bank", "bank.jsonl", "--k", k, "--out", out, "--json", "-d", "asked"],
        )
    };
    let one = evaluate("one", "2", "one");
    // Shares of right attempts: 1, 1/2, 0, 1/2; the fifth question has no answer.
    assert_eq!(one["pass@1"]["mean"], 0.5);
    let [low, high] = [0, 1].map(|end| one["pass@1"]["ci95"][end].as_f64().unwrap());
    assert!(0.0 < low && low < 0.5 && 0.5 < high && high < 1.0, "{one}");
    assert_eq!((&one["n_questions"], &one["n_attempts"], &one["not_recorded"]), (&json!(4), &json!(8), &json!(1)));
    assert_eq!(one["undecided"], 0);
    // At least one of two attempts is right at three of the four.
    assert_eq!((&one["pass@k"]["k"], &one["pass@k"]["mean"]), (&json!(2), &json!(0.75)));
    // Votes: right; a tie; `7` and `14/2` together; right, since who does not answer has no vote.
    assert_eq!((&one["maj@k"]["mean"], &one["maj@k"]["n_ties"]), (&json!(0.625), &json!(1)));
    assert_eq!(one["levels"][0]["name"], "a");
    assert_eq!((&one["levels"][0]["mean"], &one["levels"][1]["mean"]), (&json!(0.75), &json!(0.25)));
    assert_eq!((&one["tokens"]["all"]["n"], &one["characters"]["all"]["n"]), (&json!(0), &json!(8)));
    assert!(one["settings"]["sampling"].is_null(), "how a recording was sampled is not known");
    assert_eq!(one["verdicts"], json!({"correct": 4, "incorrect": 3, "no_answer": 1, "undecided": 0}));

    let verdicts = lines(&folder.join("one/verdicts.jsonl"));
    assert_eq!(verdicts.len(), 8);
    let line = &verdicts[5];
    assert_eq!(
        (&line["question_id"], &line["attempt"], &line["verdict"], &line["extracted"]),
        (&json!("sums/3"), &json!(1), &json!("incorrect"), &json!("14/2"))
    );
    assert!(line["method"].as_str().unwrap().starts_with("verify:"), "{line}");
    let table = std::fs::read_to_string(folder.join("one/table.md")).unwrap();
    assert!(table.contains("| one | bank.jsonl | 4 | 2 | 50.0 |") && table.contains("1 not_recorded"), "{table}");
    assert!(table.contains("with 4 questions the standard error is"), "{table}");
    let summary: Value = serde_json::from_slice(&std::fs::read(folder.join("one/summary.json")).unwrap()).unwrap();
    assert_eq!(summary, one);

    // The same once more: the same bytes.
    let files = ["verdicts.jsonl", "summary.json", "table.md"].map(|file| folder.join("one").join(file));
    let before = files.each_ref().map(|file| std::fs::read(file).unwrap());
    evaluate("one", "2", "one");
    assert!(before == files.each_ref().map(|file| std::fs::read(file).unwrap()));

    let two = evaluate("two", "1", "two");
    assert_eq!((&two["pass@1"]["mean"], &two["not_recorded"]), (&json!(0.75), &json!(1)));

    // Both have the questions 2, 3 and 4: shares 1/2, 0, 1/2 against 1, 1, 0.
    let compared = object(folder, &["compare", "one", "two", "--json"]);
    assert_eq!((&compared["n_questions"], &compared["only_a"], &compared["only_b"]), (&json!(3), &json!(1), &json!(1)));
    let difference = compared["accuracy"]["difference"].as_f64().unwrap();
    assert!((difference - 1.0 / 3.0).abs() < 1e-12, "{compared}");
    // Signs of 1/2, 1 and -1/2: six of eight ways lead at least as far as their sum.
    assert_eq!(compared["accuracy"]["p"], 0.75);
    assert!(compared["mcnemar"].is_null(), "one of them has two attempts");
    assert_eq!(compared["length"]["unit"], "characters");
    assert!(compared["notes"].to_string().contains("different numbers of attempts"), "{compared}");
    let text = told(folder, &["compare", "one", "two"]);
    assert!(text.contains("| pass@1, % | 33.3 | 66.7 | +33.3 |"), "{text}");
}

#[test]
fn what_was_answered_once_is_not_asked_again() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = server.model();
    let evaluate = |more: &[&str]| {
        let arguments =
            ["evaluate", "--model", &model, "--bank", "builtin", "--limit", "20", "--json", "--max-tokens", "500"];
        object(folder, &[&arguments[..], more].concat())
    };
    let first = evaluate(&["--k", "2", "--out", "a"]);
    assert_eq!(server.n_requests(), 20 * 2);
    assert_eq!((&first["n_questions"], &first["n_attempts"]), (&json!(20), &json!(40)));
    assert_eq!(first["settings"]["sampling"]["max_tokens"], 500);
    assert_eq!(first["tokens"]["all"]["n"], 40);
    let n = |verdict: &str| first["verdicts"][verdict].as_u64().unwrap();
    assert_eq!(n("correct") + n("incorrect") + n("no_answer") + n("undecided"), 40);

    assert_eq!(evaluate(&["--k", "2", "--out", "a"]), first);
    assert_eq!(server.n_requests(), 40, "all of it was in the ledger");
    let more = evaluate(&["--k", "4", "--out", "a"]);
    assert_eq!(server.n_requests(), 80, "two further attempts each");
    assert_eq!(more["pass@k_curve"].as_array().unwrap().len(), 3);
    let dry = object(
        folder,
        &[
            "evaluate",
            "--model",
            &model,
            "--bank",
            "builtin",
            "--limit",
            "20",
            "--k",
            "8",
            "--max-tokens",
            "500",
            "--out",
            "a",
            "--dry-run",
            "--json",
        ],
    );
    assert_eq!(dry["stages"][0]["requests"], json!([80, 80]));
    assert_eq!(server.n_requests(), 80);

    // A preset, with a flag over it.
    let preset = evaluate(&["--preset", "aime", "--k", "1", "--out", "b", "--temperature", "0.25"]);
    let settings = &preset["settings"];
    assert_eq!((&settings["k"], &settings["sampling"]["temperature"]), (&json!(1), &json!(0.25)));
    assert_eq!((&settings["sampling"]["top_p"], &settings["sampling"]["max_tokens"]), (&json!(0.95), &json!(500)));
    let compared = object(folder, &["compare", "a", "b", "--json"]);
    assert_eq!((&compared["n_questions"], &compared["length"]["unit"]), (&json!(20), &json!("tokens")));
    assert!(compared["notes"].to_string().contains("different sampling settings"), "{compared}");
}

#[test]
fn a_run_can_be_compared_with_an_evaluation_and_keeps_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    recorded(folder);
    std::fs::write(folder.join("gradus.yaml"), "bank: bank.jsonl\nstudent: replay:answers.jsonl#two\n").unwrap();
    told(folder, &["probe", "-d", "run"]);
    let frozen = std::fs::read(folder.join("run/gradus.yaml")).unwrap();
    // Config and run directory of the run, another model, outputs elsewhere.
    let summary = object(
        folder,
        &[
            "evaluate",
            "--config",
            "gradus.yaml",
            "-d",
            "run",
            "-m",
            "replay:answers.jsonl#one",
            "--out",
            "out",
            "--json",
        ],
    );
    assert_eq!((&summary["n_questions"], &summary["settings"]["k"]), (&json!(4), &json!(1)));
    assert!(std::fs::read(folder.join("run/gradus.yaml")).unwrap() == frozen, "the run's settings stay");
    let compared = object(folder, &["compare", "out", "run", "--json"]);
    assert_eq!((&compared["a"], &compared["b"], &compared["n_questions"]), (&json!("one"), &json!("two"), &json!(3)));
    // First attempts: right, wrong, right against right, right, wrong.
    assert_eq!(compared["mcnemar"], json!({"only_a": 1, "only_b": 1, "p": 1.0}));
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    recorded(folder);
    for (arguments, wanted) in [
        (&["evaluate", "--model", "replay:answers.jsonl#one"][..], "no bank is named"),
        (&["evaluate", "--bank", "bank.jsonl"], "no model is named"),
        (&["evaluate", "--model", "replay:answers.jsonl#three", "--bank", "bank.jsonl"], "no answers of `three`"),
        (&["compare", "here", "there"], "holds neither verdicts.jsonl"),
    ] {
        let output = gradus(folder, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{said}");
    }
}
