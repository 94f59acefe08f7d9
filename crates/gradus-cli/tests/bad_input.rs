//! What the real binary does with input that is wrong: it says what, where and what to do; it drops what is broken
//! and goes on with the rest; and it loses nothing that was recorded.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{GRADUS, Mock, files, gradus, without_reader};
use gradus::tables::{DroppedRow, QuestionRow, TableReader};
use serde_json::{Value, json};
use tempfile::TempDir;

const BANK: &str = r#"{"id": "q1", "question": "What is 1+1?", "answer": "2"}
{"id": "q2", "question": "What is 2+2?", "answer": "4"}
{"id": "q3", "question": "What is 3+3?", "answer": "6"}
"#;

const CONFIG: &str = "bank: bank.jsonl
student: replay:replay.jsonl#pupil
teacher: replay:replay.jsonl#tutor
probe: {attempts: 2}
distil: {tries: 2}
sample: {size: 10}
";

/// A folder with a bank, a recording and a config that belong together.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("bank.jsonl", BANK);
        desk.write("gradus.yaml", CONFIG);
        let mut recording = String::new();
        for (question, answer) in [("q1", 2), ("q2", 4), ("q3", 6), ("q4", 8)] {
            for model in ["pupil", "tutor"] {
                for sample in 0..2 {
                    // The pupil is right at its second attempt only.
                    let answer = if model == "pupil" && sample == 0 { 99 } else { answer };
                    let response = format!("<think>hm</think>\n\nIt is \\boxed{{{answer}}}.");
                    let row = json!({"question_id": question, "model": model, "sample": sample, "response": response});
                    recording.push_str(&format!("{row}\n"));
                }
            }
        }
        desk.write("replay.jsonl", recording);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Runs all stages in `run`, with these further arguments.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(GRADUS);
        command.args(["run", "--run-dir", "run", "--json"]).args(arguments).current_dir(self.0.path());
        command
    }

    /// Runs all stages; the summary.
    #[track_caller]
    fn made(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The run ends with this code and one error that holds these words and says what to do.
    #[track_caller]
    fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        refusal(&self.run(arguments), code, words)
    }

    /// What `ledger verify` says of `run`, if there is a ledger.
    fn verified(&self) -> Option<Value> {
        let output = gradus(self.0.path(), &["ledger", "verify", "run", "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Attempts in the ledger of `run`, all of them whole.
    #[track_caller]
    fn recorded(&self) -> u64 {
        let report = self.verified().expect("there is a ledger");
        assert_eq!(report["problems"], json!([]));
        report["attempts"].as_u64().unwrap()
    }

    /// What was dropped: item, reason and detail.
    fn dropped(&self) -> Vec<(String, String, String)> {
        let rows = TableReader::<DroppedRow>::open(&self.path("run/tables")).unwrap();
        rows.map(|row| row.map(|row| (row.item, row.reason, row.detail)).unwrap()).collect()
    }

    fn table_bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        files(&self.path("run/tables"))
    }

    /// A mock server that knows the bank.
    fn mock(&self, arguments: &[&str]) -> Mock {
        let usual = ["--bank", "bank.jsonl", "--model", "m", "--right-rate", "1"];
        Mock::start(|mock| mock.args(usual).args(arguments).current_dir(self.0.path()))
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn refusal(output: &Output, code: i32, words: &[&str]) -> String {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(lines.len() == 1 && said.contains("\nhint: ") && !said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
    said
}

/// Arguments that make a model student and teacher.
fn roles(model: &str) -> [String; 4] {
    ["--set".into(), format!("student={model}"), "--set".into(), format!("teacher={model}")]
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn a_bank_without_questions_is_refused_by_name() {
    let desk = Desk::new();
    fs::create_dir(desk.path("folder")).unwrap();
    for (name, content) in [("empty.jsonl", ""), ("blank.jsonl", "\n \n"), ("bank.xlsx", "x"), ("list.json", "[1]")] {
        desk.write(name, content);
        desk.refused(&["--set", &format!("bank={name}")], 2, &[&format!("bank `{name}`")]);
    }
    desk.refused(&["--set", "bank=folder"], 2, &["bank `folder` is a directory"]);
    desk.refused(&["--set", "bank=banc.jsonl"], 2, &["bank `banc.jsonl`", "hint: did you mean `bank.jsonl`?"]);
    desk.write("broken.jsonl", "{\"id\": 1, \"question\": 5}\n");
    let said = desk.refused(&["--set", "bank=broken.jsonl"], 2, &["no question is left of 1 rows"]);
    assert!(said.contains("line 1 of `broken.jsonl`: ") && said.contains("`question`: expected a text"), "{said}");
    assert!(!desk.path("run").exists(), "nothing is made before the bank is known to be usable");
}

#[test]
fn broken_rows_leave_with_file_line_field_and_reason_and_the_run_goes_on() {
    let desk = Desk::new();
    let mut bank = BANK.lines().next().unwrap().as_bytes().to_vec();
    bank.extend(b"\nnot json\n");
    bank.extend(br#"{"id": "q7", "question": 7, "answer": "2"}"#);
    bank.extend(b"\n{\"id\": \"q8\", \"question\": \"caf\xff\", \"answer\": \"1\"}\n");
    bank.extend(br#"{"id": "q9", "question": "What is 9?", "answer": {"a": 1}}"#);
    bank.extend(b"\n{\"id\": \"q10\", \"question\": \"What is 10?\"}\n");
    bank.extend(b"{\"id\": \"long\", \"answer\": \"1\", \"question\": \"");
    bank.extend(vec![b'x'; 50_000_000]);
    bank.extend(b"\"}\n");
    bank.extend(br#"{"id": "q11", "kind": "riddle", "question": "What is 11?", "answer": "11"}"#);
    bank.extend(b"\n");
    bank.extend(BANK.lines().nth(1).unwrap().as_bytes());
    desk.write("bad.jsonl", bank);
    let output = desk.run(&["--set", "bank=bad.jsonl"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output)
            .contains("warning: 7 rows left out (`dropped` lists all), first line 2 of bad.jsonl: the line is no"),
        "{}",
        said(&output)
    );
    let dropped = desk.dropped();
    let expected = [
        (2, "bad_json", "no JSON object"),
        (3, "wrong_type", "q7: `question`: expected a text, found a number"),
        (4, "bad_utf8", "no UTF-8 at its byte"),
        (5, "wrong_type", "q9: `answer`: "),
        (6, "no_reference", "q10: `answer`: "),
        (7, "too_long", "the line has 500000"),
        (8, "unknown_kind", "q11: `kind`: "),
    ];
    assert_eq!(dropped.len(), expected.len(), "{dropped:?}");
    for ((item, reason, detail), (line, code, words)) in dropped.iter().zip(expected) {
        assert_eq!((item.as_str(), reason.as_str()), (format!("bad.jsonl:{line}").as_str(), code));
        assert!(detail.contains(words), "{detail}");
    }
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["n_questions"], &summary["n_selected"]), (&json!(2), &json!(2)));
    let n_left_out: u64 = summary["dropped"].as_array().unwrap().iter().map(|drop| drop["n"].as_u64().unwrap()).sum();
    assert_eq!(n_left_out, 7);
}

#[test]
fn duplicate_ids_and_contradictory_answers_are_told_and_the_first_answer_stands() {
    let desk = Desk::new();
    let bank = r#"{"id": "q1", "question": "What is 1+1?", "answer": "2"}
{"id": "q1", "question": "What is 1+1?", "answer": "3"}
{"id": "twin", "question": "What is  1+1?", "answer": "2.0"}
{"id": "rival", "question": "What is 1+1?", "answer": "99"}
{"id": "q2", "question": "What is 2+2?", "answer": "4"}
{"id": "q2", "question": "What is 3+3?", "answer": "6"}
"#;
    desk.write("bank.jsonl", bank);
    let output = desk.run(&[]);
    assert!(output.status.success(), "{}", said(&output));
    for warning in
        ["`q2#2` at line 6 of bank.jsonl", "warning: 2 rows left out for another answer", "`q1` (3) against `q1` (2)"]
    {
        assert!(said(&output).contains(warning), "{}", said(&output));
    }
    let dropped: Vec<_> = desk.dropped().into_iter().filter(|(_, reason, _)| reason == "other_reference").collect();
    assert_eq!(
        dropped.iter().map(|(item, ..)| item.as_str()).collect::<Vec<_>>(),
        ["bank.jsonl:2", "bank.jsonl:4"],
        "{dropped:?}"
    );
    let detail = &dropped[1].2;
    assert!(detail.starts_with("rival: ") && detail.contains("`q1`") && detail.contains("99 instead of 2"), "{detail}");
    let first = TableReader::<QuestionRow>::open(&desk.path("run/tables")).unwrap().next().unwrap().unwrap();
    assert_eq!(first.references, ["2", "2.0"]);
    assert_eq!(first.source_ids, ["q1", "twin", "rival"]);
}

#[test]
fn a_bank_that_changed_between_two_runs_asks_only_for_what_is_new() {
    let desk = Desk::new();
    assert_eq!(desk.made(&[])["n_questions"], 3);
    let recorded = desk.recorded();
    // Another answer is judged anew, and asked for nothing.
    desk.write("bank.jsonl", BANK.replace("\"2\"", "\"99\""));
    desk.made(&[]);
    assert_eq!(desk.recorded(), recorded + 1, "the tutor is asked once more where its first answer is wrong now");
    // A row that went and a row that came: two attempts of the student, one of the teacher.
    let rows: Vec<&str> = BANK.lines().collect();
    desk.write(
        "bank.jsonl",
        format!("{}\n{}\n{{\"id\":\"q4\",\"question\":\"What is 4+4?\",\"answer\":8}}\n", rows[2], rows[1]),
    );
    let made = desk.made(&[]);
    assert_eq!((&made["n_questions"], &made["since_last_run"]), (&3.into(), &json!({"new": 1, "gone": 1})));
    assert_eq!(desk.recorded(), recorded + 1 + 3);
    // And back: everything is there.
    desk.write("bank.jsonl", BANK);
    desk.made(&[]);
    assert_eq!(desk.recorded(), recorded + 1 + 3);
}

#[test]
fn a_config_with_a_mistake_names_the_place_and_what_was_meant() {
    let desk = Desk::new();
    desk.write("gradus.yaml", CONFIG.replace("probe: {", "prob: {"));
    desk.refused(
        &[],
        2,
        &["config gradus.yaml: line 4 column 1", "unknown field `prob`", "hint: did you mean `probe`?"],
    );
    desk.write("gradus.yaml", CONFIG.replace("tries", "trys"));
    desk.refused(&[], 2, &["line 5 column 10", "unknown field `trys`", "hint: did you mean `tries`?"]);
    desk.write("gradus.yaml", format!("{CONFIG}grade: {{grader: passrate}}\n"));
    desk.refused(&[], 2, &["line 7", "unknown variant `passrate`", "hint: did you mean `pass_rate`?"]);
    desk.write("gradus.yaml", CONFIG);
    let said =
        desk.refused(&["--set", "probe.atempts=3"], 2, &["override `probe.atempts=3`", "did you mean `attempts`?"]);
    assert!(said.lines().count() <= 3, "{said}");
    for (set, words) in [
        ("probe.attempts=two", "expected a whole number from 0 on"),
        ("probe.attempts=0", "`probe.attempts` must be at least 1"),
        ("student=nonsense", "`nonsense` names no model"),
    ] {
        let output = desk.run(&["--set", set]);
        assert_eq!(output.status.code(), Some(2));
        assert!(said_once(&output).contains(words), "{}", said_once(&output));
    }
    desk.refused(&["--config", "gradus.yml"], 2, &["config gradus.yml", "hint: `gradus init` writes one"]);
}

/// The one error line.
fn said_once(output: &Output) -> String {
    let said = said(output);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    errors[0].to_owned()
}

#[test]
fn recordings_that_lack_what_is_asked_say_what_is_near() {
    let desk = Desk::new();
    desk.refused(
        &["--set", "student=replay:replay.json#pupil"],
        2,
        &["`student`", "replay.json", "did you mean `replay.jsonl`?"],
    );
    desk.refused(&["--set", "student=replay:replay.jsonl#pupils"], 2, &["no answers of `pupils`", "nearest: pupil"]);
    desk.refused(
        &["--set", "teacher=replay:bank.jsonl#x"],
        2,
        &["`teacher[0]`", "line 1 of ", "missing field `model`"],
    );
    fs::create_dir(desk.path("folder")).unwrap();
    desk.refused(&["--set", "student=replay:folder#x"], 2, &["cannot read the recording", "hint: it must be a file"]);
}

#[cfg(feature = "embedded")]
#[test]
fn a_corrupt_gguf_is_refused_and_names_what_is_wrong() {
    let desk = Desk::new();
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let head = |version: u32, n_tensors: u64, n_values: u64| {
        [&b"GGUF"[..], &version.to_le_bytes(), &n_tensors.to_le_bytes(), &n_values.to_le_bytes()].concat()
    };
    let tensor = |n: u64, offset: u64| {
        let mut file =
            [head(3, 1, 1), text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text("llama")].concat();
        file.extend([text("token_embd.weight"), 1_u32.to_le_bytes().to_vec(), n.to_le_bytes().to_vec()].concat());
        file.extend([&0_u32.to_le_bytes()[..], &offset.to_le_bytes(), &[0; 400]].concat());
        file
    };
    let whole = tensor(64, 0);
    for (file, words) in [
        (Vec::new(), "it ends at byte 0, within the header"),
        (b"PK\x03\x04 a zip file".to_vec(), "it does not start with `GGUF`"),
        (whole[..100].to_vec(), "within the header"),
        (whole[..whole.len() - 300].to_vec(), "is it cut?"),
        (head(99, 1, 1), "GGUF version 99"),
        (head(3, u64::MAX / 2, 0), "tensors are declared"),
        (head(3, 0, 1 << 60), "metadata values are declared"),
        (tensor(64, 1 << 40), "`token_embd.weight` lies outside of the file"),
        (tensor(1 << 62, 0), "impossible size"),
        (whole, "no tokenizer"),
    ] {
        desk.write("model.gguf", file);
        desk.refused(
            &["--set", "student=gguf:model.gguf"],
            2,
            &["`student`", "model.gguf is not a usable GGUF", words],
        );
    }
    desk.refused(&["--set", "student=gguf:modell.gguf"], 2, &["modell.gguf", "hint: did you mean `model.gguf`?"]);
}

#[test]
fn an_endpoint_that_is_down_costs_nothing_that_was_recorded() {
    let desk = Desk::new();
    let up = desk.mock(&[]);
    let roles_up = roles(&up.model("m"));
    desk.made(&[&strs(&roles_up)[..], &["--set", "probe.attempts=1"]].concat());
    let recorded = desk.recorded();
    let url = up.url();
    drop(up);
    desk.refused(&strs(&roles_up), 1, &["`student`", &url, "hint: is the server up, and the URL right?"]);
    assert_eq!(desk.recorded(), recorded);

    // Up, and broken: what it was asked for is lost for this run, is told, and has its own exit code.
    let broken = desk.mock(&["--errors-5xx", "1"]);
    let asked = roles(&broken.model("m"));
    desk.refused(
        &[&strs(&asked)[..], &["--set", "driver.max_tries=1"]].concat(),
        3,
        &["items were lost to errors", "hint: the same command asks for them again"],
    );
    assert_eq!(desk.recorded(), recorded);
    drop(broken);

    // Another address, the same name: only what is missing is asked for.
    let again = desk.mock(&[]);
    let summary = desk.made(&strs(&roles(&again.model("m"))));
    assert_eq!(summary["dropped"], json!([]), "{summary}");
    assert_eq!(desk.recorded(), recorded + 3);
}

#[test]
fn an_endpoint_with_another_model_is_refused() {
    let desk = Desk::new();
    // A server that serves one model, whatever it is asked for.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let n = stream.read(&mut head).unwrap();
            let (status, body) = if head[..n].starts_with(b"GET /v1/models") {
                ("200 OK", r#"{"data": [{"id": "served-model"}]}"#)
            } else {
                ("404 Not Found", "{}")
            };
            let length = body.len();
            drop(write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"));
        }
    });
    let asked = roles(&format!("openai:{url}#wanted-model"));
    desk.refused(&strs(&asked), 2, &["`student`", "does not list `wanted-model`", "hint: it lists served-model"]);

    // The same name with other weights behind it, noticed against the ledger.
    let before = desk.mock(&["--root", "weights-1"]);
    desk.made(&strs(&roles(&before.model("m"))));
    let recorded = desk.recorded();
    drop(before);
    let after = desk.mock(&["--root", "weights-2"]);
    let asked = roles(&after.model("m"));
    desk.refused(&strs(&asked), 2, &["`m` was `weights-1`", "is `weights-2` now", "--accept-model-change"]);
    assert_eq!(desk.recorded(), recorded);
    desk.made(&[&strs(&asked)[..], &["--accept-model-change"]].concat());
    assert_eq!(desk.recorded(), recorded);

    // Or it says so itself in its answers. What came is kept, but is no attempt.
    let other = desk.mock(&["--root", "weights-2", "--answers-as", "m-turbo"]);
    let asked = [&roles(&other.model("m"))[..], &["--set".to_owned(), "probe.attempts=3".to_owned()]].concat();
    desk.refused(&strs(&asked), 2, &["came from `m` so far", "come from `m-turbo` now", "--accept-model-change"]);
    assert_eq!(desk.recorded(), recorded);
    desk.made(&[&strs(&asked)[..], &["--accept-model-change"]].concat());
    assert!(desk.recorded() > recorded);
}

#[test]
fn a_run_directory_in_use_is_refused_and_free_again_afterwards() {
    let desk = Desk::new();
    let slow = desk.mock(&["--latency-ms", "300"]);
    let asked = roles(&slow.model("m"));
    let long = [&strs(&asked)[..], &["--set", "probe.attempts=60", "--set", "driver.in_flight=1"]].concat();
    let mut first = desk.command(&long).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !fs::read_to_string(desk.path("run/lock")).is_ok_and(|holder| holder.ends_with('\n')) {
        assert!(first.try_wait().unwrap().is_none(), "the first run ended before it took its directory");
        std::thread::sleep(Duration::from_millis(10));
    }
    let holder = format!("in use by process {}", first.id());
    desk.refused(&long, 1, &["run directory run", &holder, "hint: wait for it, or use another `--run-dir`"]);
    assert!(first.try_wait().unwrap().is_none(), "the first run is not disturbed");
    // With the first answer recorded, it also listens to signals.
    while desk.verified().is_none_or(|report| report["attempts"] == 0) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let id = rustix::process::Pid::from_child(&first);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let mut told = String::new();
    first.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(130), "{told}");
    assert!(told.contains("hint: the same command goes on where this one stopped"), "{told}");
    let recorded = desk.recorded();
    desk.made(&[&strs(&asked)[..], &["--set", "probe.attempts=2"]].concat());
    assert!(desk.recorded() <= recorded + 3 * 2 + 3, "what was answered is not asked again");
}

#[test]
fn one_interrupt_begins_nothing_more_and_loses_nothing() {
    let desk = Desk::new();
    let slow = desk.mock(&["--latency-ms", "300"]);
    let model = slow.model("m");
    // 60 requests wait for one place.
    let student = format!("student={{model: \"{model}\", concurrency: 1}}");
    let asked = ["--set", &student, "--set", &format!("teacher={model}"), "--set", "probe.attempts=20"];
    let mut run = desk.command(&asked).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while desk.verified().is_none_or(|report| report["attempts"] == 0) {
        assert!(run.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        std::thread::sleep(Duration::from_millis(50));
    }
    let before = slow.stats()["requests"].as_u64().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::INT).unwrap();
    let mut told = String::new();
    run.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{told}");
    let after = slow.stats()["requests"].as_u64().unwrap();
    // Some of the time between the count and the signal is the machine's.
    assert!(after <= before + 10 && after < 40, "{before} requests before it was interrupted, {after} in the end");
    assert_eq!(desk.recorded(), after, "what was begun is recorded");
}

#[test]
fn a_ledger_of_another_version_or_kind_is_left_alone() {
    let desk = Desk::new();
    desk.made(&[]);
    let ledger = desk.path("run/ledger.sqlite");
    let good = fs::read(&ledger).unwrap();
    let connection = rusqlite::Connection::open(&ledger).unwrap();
    connection.execute("UPDATE meta SET value = '99' WHERE name = 'version'", []).unwrap();
    drop(connection);
    let newer = fs::read(&ledger).unwrap();
    desk.refused(
        &[],
        2,
        &["ledger.sqlite has layout version 99", "hint: use the gradus that wrote it, or a newer one"],
    );
    assert!(fs::read(&ledger).unwrap() == newer);
    for (content, words) in [
        (b"a text that is no database, but long enough to be looked at".repeat(10), "file is not a database"),
        (good[..good.len() / 2].to_vec(), "malformed"),
    ] {
        fs::write(&ledger, &content).unwrap();
        desk.refused(&[], 1, &["ledger run/ledger.sqlite", words, "restore"]);
        assert!(fs::read(&ledger).unwrap() == content);
    }
    fs::write(&ledger, &good).unwrap();
    let recorded = desk.recorded();
    desk.made(&[]);
    assert_eq!(desk.recorded(), recorded);
}

#[test]
fn a_file_in_the_place_of_a_folder_is_named_and_the_run_goes_on_without_it() {
    let desk = Desk::new();
    for name in ["tables", "export"] {
        fs::remove_dir_all(desk.path("run")).ok();
        fs::create_dir(desk.path("run")).unwrap();
        desk.write(&format!("run/{name}"), "");
        desk.refused(&[], 2, &[&format!("run/{name}: a file stands where a folder is wanted"), "hint: move it away"]);
        fs::remove_file(desk.path(&format!("run/{name}"))).unwrap();
        desk.made(&[]);
    }
    for name in ["lock", "gradus.yaml", "report.html", "metrics.json"] {
        fs::remove_dir_all(desk.path("run")).unwrap();
        fs::create_dir_all(desk.path(&format!("run/{name}"))).unwrap();
        desk.refused(&[], 2, &[&format!("run/{name}: a folder stands where a file is wanted"), "hint: move it away"]);
        fs::remove_dir(desk.path(&format!("run/{name}"))).unwrap();
        desk.made(&[]);
    }
    fs::remove_dir_all(desk.path("run")).unwrap();
    fs::create_dir_all(desk.path("run/ledger.sqlite")).unwrap();
    desk.refused(&[], 1, &["ledger run/ledger.sqlite", "hint: it must be a file"]);
    desk.write("taken", "");
    let output = gradus(desk.0.path(), &["run", "--run-dir", "taken"]);
    refusal(&output, 2, &["taken: a file stands where a folder is wanted", "`--run-dir`"]);
}

#[test]
fn a_damaged_table_is_named_and_rebuilt_by_the_next_run() {
    let desk = Desk::new();
    desk.made(&[]);
    let (whole, recorded) = (desk.table_bytes(), desk.recorded());
    let table = desk.path("run/tables/questions.parquet");
    let bytes = fs::read(&table).unwrap();
    fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    for command in ["why q1", "export", "report"] {
        let arguments: Vec<&str> = command.split(' ').chain(["--run-dir", "run"]).collect();
        let words = ["table run/tables/questions.parquet", "hint: ", "`gradus run` rebuilds the tables"];
        refusal(&gradus(desk.0.path(), &arguments), 1, &words);
    }
    desk.made(&[]);
    assert!((desk.table_bytes(), desk.recorded()) == (whole, recorded));
}

/// Runs a shell script in a namespace of its own, in which it may mount; none where that is not allowed.
fn with_mounts(desk: &Desk, script: &str) -> Option<Output> {
    let allowed = Command::new("unshare").args(["-rm", "sh", "-c", "mount -t tmpfs none /tmp"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("skipped: this system lets nobody mount in a namespace");
        return None;
    }
    let script = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .env("GRADUS", GRADUS)
        .current_dir(desk.0.path())
        .output()
        .unwrap();
    Some(script)
}

#[test]
fn a_full_disk_loses_nothing_and_the_run_goes_on_when_there_is_room() {
    let clean = Desk::new();
    clean.made(&[]);
    let (wanted, all) = (clean.table_bytes(), clean.recorded());
    let mut n_half_way = 0;
    // From no room for the ledger to no room for the report: the disk fills up at another step each time.
    for size in (4..=164).step_by(8) {
        let desk = Desk::new();
        fs::create_dir(desk.path("disk")).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={size}k none disk && $GRADUS run -q -d disk/run >out 2>said; echo $?
             mount -o remount,size=16m disk; $GRADUS ledger verify disk/run --json || echo '{{}}'
             $GRADUS run -q -d disk/run --json >/dev/null; echo $?; cp -r disk/run run"
        );
        let Some(output) = with_mounts(&desk, &script) else { return };
        let told = String::from_utf8(output.stdout.clone()).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        let first = fs::read_to_string(desk.path("said")).unwrap();
        let [code, report, again] = lines[..] else { panic!("{size}: {told} {first} {}", said(&output)) };
        assert_eq!(again, "0", "{size}: {}", said(&output));
        assert_eq!((desk.recorded(), desk.table_bytes() == wanted), (all, true), "{size}");
        if code == "0" {
            continue;
        }
        assert_eq!(code, "1", "{size}: {first}");
        assert!(
            first.starts_with("error: ") && first.contains("free some space") && !first.contains("panicked"),
            "{size}: {first}"
        );
        let report: Value = serde_json::from_str(report).unwrap();
        // Without room for its first table there is no ledger to be checked.
        let recorded = report["attempts"].as_u64().unwrap_or(0);
        assert!(report["attempts"].is_null() || report["problems"] == json!([]), "{size}: {report}");
        n_half_way += u64::from(recorded > 0 && recorded < all);
    }
    assert!(n_half_way > 0, "no size filled the disk while answers came in");
}

#[test]
fn a_run_directory_that_cannot_be_written_is_named() {
    let desk = Desk::new();
    desk.made(&[]);
    let recorded = desk.recorded();
    let script = "mount --bind run run && mount -o remount,ro,bind run && $GRADUS run -q -d run";
    let Some(output) = with_mounts(&desk, script) else { return };
    refusal(&output, 1, &["run/lock: Read-only file system", "hint: make the folder writable"]);
    assert_eq!(desk.recorded(), recorded);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let desk = Desk::new();
    let output = without_reader(&mut desk.command(&["--quiet"]));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", said(&output));
}
