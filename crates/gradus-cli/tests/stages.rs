//! The real binary runs stages against its own mock server: what they ask, what they would ask, what they tell.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .args(["mock", "--port", "0", "--model", "pupil", "--model", "teacher"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap().to_owned();
        Self { child, address }
    }

    fn n_requests(&self) -> u64 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET /stats HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let stats: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        stats["requests"].as_u64().unwrap_or_else(|| panic!("{stats}"))
    }

    /// A config in this folder; `more` are further lines.
    fn config(&self, folder: &Path, more: &str) {
        let config = format!(
            "bank: {{path: builtin, license: MIT}}\nlimit: 50\n\
             student: {{model: 'openai:http://{0}/v1#pupil', price: {{input: 1, output: 2}}}}\n\
             teacher: openai:http://{0}/v1#teacher\n\
             probe: {{attempts: 3}}\ngrade: {{grader: pass_rate}}\nsample: {{by: random, size: 8}}\n\
             distil: {{correct: 2, tries: 5}}\n{more}",
            self.address
        );
        std::fs::write(folder.join("gradus.yaml"), config).unwrap();
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

/// What a command that succeeds prints.
fn told(folder: &Path, arguments: &[&str]) -> String {
    let output = gradus(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let told = told(folder, arguments);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[test]
fn a_dry_run_bounds_what_the_run_asks_and_asks_nothing() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    server.config(folder, "");
    let dry = |until: &str| json(folder, &[until, "--dry-run", "--json"])["stages"].as_array().unwrap().clone();
    let pair = |estimate: &Value, what: &str| [0, 1].map(|at| estimate[what][at].as_u64().unwrap());

    let before = dry("run");
    assert_eq!(server.n_requests(), 0);
    assert!(!folder.join("gradus-run").exists(), "a dry run makes no run directory");
    assert_eq!(before[0]["stage"], "probe");
    assert_eq!(pair(&before[0], "requests"), [50 * 3; 2]);
    assert!(before[0]["mean_completion"].is_null() && before[0]["cost_usd"][1].as_f64().unwrap() > 0.0);
    assert_eq!((&before[1]["stage"], before[1]["n_questions"].as_u64()), (&"distil".into(), Some(8)));
    assert!(before[1]["assumed"].as_bool().unwrap() && before[1]["cost_usd"].is_null());
    assert_eq!(pair(&before[1], "requests"), [8 * 2, 8 * 5]);

    told(folder, &["probe"]);
    let n_probed = server.n_requests();
    assert_eq!(n_probed, 50 * 3);
    let between = dry("run");
    assert_eq!(pair(&between[0], "requests"), [0, 0]);
    assert!(!between[1]["assumed"].as_bool().unwrap(), "levels are known: the sample is");
    assert!(between[0]["mean_completion"].as_f64().unwrap() > 0.0);
    let text = told(folder, &["run", "--dry-run"]);
    assert!(text.contains("16 - 40") && text.contains("nothing was asked"), "{text}");
    assert_eq!(server.n_requests(), n_probed);

    told(folder, &["run"]);
    let [least, most] = pair(&between[1], "requests");
    let n_distilled = server.n_requests() - n_probed;
    assert!((least..=most).contains(&n_distilled), "{n_distilled} are not within {least} to {most}");
    assert!(dry("run").iter().all(|estimate| pair(estimate, "requests") == [0, 0]));
}

#[test]
fn verbose_shows_prompt_reply_what_was_taken_and_the_verdict() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    server.config(folder.path(), "");
    let shown = told(folder.path(), &["probe", "--limit", "1", "-v"]);
    assert_eq!(server.n_requests(), 3, "only the one question was asked");
    for part in ["question  ", "accepts   ", "--- user ---", r"\boxed{}", "--- reply ---", "took `", "level     "] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    assert!(shown.contains(": correct |") || shown.contains(": incorrect |"), "{shown}");
}

#[test]
fn export_report_and_judge_ask_nobody_and_repeat_what_the_run_wrote() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    server.config(folder, "");
    told(folder, &["run"]);
    let n_requests = server.n_requests();
    let files = ["export/manifest.json", "export/README.md", "export/trl", "report.html", "metrics.json", "tables"];
    let bytes = || files.map(|file| contents(&folder.join("gradus-run").join(file)));
    let before = bytes();
    told(folder, &["judge"]);
    told(folder, &["export"]);
    told(folder, &["report"]);
    for (file, (before, after)) in files.iter().zip(before.iter().zip(bytes())) {
        assert!(*before == after, "{file} changed");
    }
    let judged = json(folder, &["judge", "--json"]);
    assert_eq!(
        (&judged["changed"], &judged["n_new"], &judged["n_not_asked"]),
        (&Value::Array(vec![]), &0.into(), &0.into())
    );

    // Programs whose outcome is lost are run again.
    let ledger = rusqlite::Connection::open(folder.join("gradus-run/ledger.sqlite")).unwrap();
    assert!(ledger.execute("DELETE FROM attempts WHERE kind = 'execution'", []).unwrap() > 0);
    drop(ledger);
    let judged = json(folder, &["judge", "--json"]);
    assert_eq!((&judged["changed"], &judged["n_not_asked"]), (&Value::Array(vec![]), &0.into()));

    // A correction of the bank changes verdicts, and asks nobody.
    let why = json(folder, &["why", "--json", &first_source_id(folder)]);
    let id = why["question"]["source_ids"][0].as_str().unwrap().to_owned();
    std::fs::write(folder.join("o.yaml"), format!("references: {{'{id}': ['-123456789']}}\n")).unwrap();
    server.config(folder, "overrides: o.yaml\n");
    let judged = json(folder, &["judge", "--json"]);
    let n_right = why["level"]["n_correct"].as_u64().unwrap();
    let changed: u64 = judged["changed"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["from"] == "correct" && change["to"] == "incorrect")
        .map(|change| change["n"].as_u64().unwrap())
        .sum();
    assert!(n_right > 0 && changed >= n_right, "{judged}");
    assert_eq!(server.n_requests(), n_requests);

    let nowhere = gradus(folder, &["judge", "--run-dir", "elsewhere"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(!folder.join("elsewhere").exists());
    assert_eq!(gradus(folder, &["export", "--run-dir", "elsewhere"]).status.code(), Some(2));
}

#[test]
fn why_finds_a_question_by_any_of_its_ids() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    server.config(folder, "");
    told(folder, &["run"]);
    let source_id = first_source_id(folder);
    let by_source = json(folder, &["why", "--json", &source_id]);
    let own = by_source["question"]["question_id"].as_str().unwrap();
    assert_eq!(json(folder, &["why", "--json", &own[..8]]), by_source);
    let attempt = by_source["attempts"][0][0]["attempt_id"].as_str().unwrap();
    assert_eq!(json(folder, &["why", "--json", attempt]), by_source);
    assert_eq!(by_source["attempts"].as_array().unwrap().len(), 3);
    assert!(by_source["attempts"][0][1]["verdict"].is_string());
    let text = told(folder, &["why", &source_id]);
    assert!(text.contains("left      at sample: not_sampled") || text.contains("drawn     from level"), "{text}");
    let unknown = gradus(folder, &["why", "no-such-id"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("has the id `no-such-id`"));
}

/// Source id of the first question that was solved at least once.
fn first_source_id(folder: &Path) -> String {
    let ids = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/bank/quickstart.jsonl")).unwrap();
    for line in ids.lines().take(24) {
        let row: Value = serde_json::from_str(line).unwrap();
        let id = row["id"].as_str().unwrap();
        let story = json(folder, &["why", "--json", id]);
        if story["level"]["n_correct"].as_u64() > Some(0) {
            return id.to_owned();
        }
    }
    panic!("the mock solved nothing");
}

/// Every file under a path with its bytes.
fn contents(path: &Path) -> Vec<(String, Vec<u8>)> {
    if path.is_file() {
        return vec![(path.display().to_string(), std::fs::read(path).unwrap())];
    }
    let mut entries: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.iter().flat_map(|path| contents(path)).collect()
}
