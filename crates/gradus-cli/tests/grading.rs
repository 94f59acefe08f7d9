//! The real binary grades wrong attempts by the scores of a model: over every wire that the mock server plays, in
//! words, and from recorded scores without any server.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Mock, gradus};
use gradus::ledger::Reader;
use gradus::tables::{DroppedRow, LevelRow, ScoreRow, TableReader};
use serde_json::{Value, json};

/// A config whose student and scorer are played by the mock; `more` are further lines.
fn configure(folder: &Path, server: &Mock, more: &str) {
    let config =
        format!("bank: {{path: builtin, license: MIT}}\nlimit: 30\nstudent: {}\n{more}", server.model("pupil"));
    std::fs::write(folder.join("gradus.yaml"), config).unwrap();
}

/// Runs it with `--json`; it must succeed.
fn told(folder: &Path, arguments: &[&str]) -> Value {
    let output = gradus(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn grade(folder: &Path) -> Value {
    told(folder, &["grade", "--json", "--unsafe-no-sandbox"])
}

fn levels(folder: &Path) -> Vec<LevelRow> {
    TableReader::open(&folder.join("gradus-run/tables")).unwrap().map(Result::unwrap).collect()
}

fn scores(folder: &Path) -> Vec<ScoreRow> {
    TableReader::open(&folder.join("gradus-run/tables")).unwrap().map(Result::unwrap).collect()
}

/// The level of every question follows from the scores in the table, by the mean over steps, then attempts.
fn check_levels(levels: &[LevelRow], scores: &[ScoreRow]) {
    let mut steps: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for row in scores {
        steps.entry((&row.question_id, &row.attempt_id)).or_default().extend(row.score);
    }
    let mut n_hard = 0;
    for level in levels {
        let of_question = steps.iter().filter(|((question, _), _)| *question == level.question_id);
        let means: Vec<f64> = of_question.map(|(_, steps)| steps.iter().sum::<f64>() / steps.len() as f64).collect();
        match level.level.as_str() {
            "easy" => assert!(means.is_empty() && level.score.is_none(), "a question solved asks for no score"),
            "ungraded" => assert!(level.reason.is_some()),
            number => {
                n_hard += 1;
                let score = means.iter().sum::<f64>() / means.len() as f64;
                assert!((level.score.unwrap() - score).abs() < 1e-12, "{level:?}");
                let n_edges = [0.2, 0.4, 0.6, 0.8].into_iter().filter(|edge| score >= *edge).count();
                assert_eq!(number.parse::<usize>().unwrap(), 5 - n_edges, "{level:?}");
            }
        }
    }
    assert!(n_hard > 3 && n_hard < levels.len(), "{n_hard} of {} are hard", levels.len());
}

#[test]
fn every_form_gives_levels_and_nothing_is_asked_twice() {
    let server = Mock::start(|command| command.args(["--right-rate", "0.4"]));
    let forms = [
        ("prm", "scoring: {form: pooling}", "pooling"),
        ("prm", "scoring: {form: chat_labels}", "chat_labels"),
        ("prm", "scoring: {form: prompt_logprobs}", "prompt_logprobs"),
        ("prm", "scoring: {form: generative, structured: true}", "generative"),
        ("generative", "scoring: {structured: true}", "generative"),
        ("judge", "scoring: {structured: true}", "rating"),
    ];
    let mut of_wires = Vec::new();
    for (grader, scoring, form) in forms {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let more = format!(
            "prm: {}\njudge: {}\nprobe: {{attempts: 2}}\ngrade: {{grader: {grader}}}\n{scoring}\n",
            server.model("prm"),
            server.model("judge")
        );
        configure(folder, &server, &more);
        let scoring = |folder: &Path| {
            let stages = told(folder, &["grade", "--json", "--dry-run"])["stages"].clone();
            let stage = stages.as_array().unwrap().iter().find(|stage| stage["stage"] == "grade").cloned();
            let requests = stage.unwrap_or_else(|| panic!("{stages}"))["requests"].clone();
            [0, 1].map(|end| requests[end].as_u64().unwrap())
        };
        let [least, most] = scoring(folder);
        grade(folder);
        let (levels, rows) = (levels(folder), scores(folder));
        assert!(rows.iter().all(|row| row.form == form && row.grader == grader), "{form}");
        assert_eq!(rows.iter().all(|row| row.step.is_none()), form == "rating");
        check_levels(&levels, &rows);
        let n_scorings = rows.iter().map(|row| &row.score_id).collect::<BTreeSet<_>>().len() as u64;
        assert!(
            least == 0 && most >= n_scorings && n_scorings > 0,
            "{form}: {least} to {most}, {n_scorings} were made"
        );
        assert_eq!(scoring(folder), [0, 0], "{form}: all is there");
        let of_wire: Vec<_> =
            rows.iter().map(|row| (row.attempt_id.clone(), row.step, row.text.clone(), row.score)).collect();
        if grader == "prm" && form != "generative" {
            of_wires.push(of_wire);
        }
        // All is in the ledger: the same tables come of it, and nobody is asked.
        let before = common::files(&folder.join("gradus-run/tables"));
        let n_asked = server.stats()["requests"].clone();
        grade(folder);
        assert_eq!(server.stats()["requests"], n_asked, "{form}");
        assert_eq!(common::files(&folder.join("gradus-run/tables")), before);
        // Another aggregate is another reading of the same answers.
        told(folder, &["grade", "--json", "--unsafe-no-sandbox", "--set", "scoring.aggregate=min"]);
        assert_eq!(server.stats()["requests"], n_asked, "{form}");

        let id = &rows[0].question_id;
        let output = gradus(folder, &["why", id]);
        let told = String::from_utf8(output.stdout).unwrap();
        let line = if form == "rating" { "scored as a whole: " } else { "step 1: " };
        assert!(told.contains(line) && told.contains(", score "), "{told}");
        let report = std::fs::read_to_string(folder.join("gradus-run/report.html")).unwrap();
        assert!(report.contains("wrong attempts scored by"), "{form}");
    }
    // The mock means the same in every wire.
    assert!(of_wires.len() == 3 && of_wires[0].len() > 10);
    for other in &of_wires[1..] {
        assert_eq!(other.len(), of_wires[0].len());
        for (one, other) in of_wires[0].iter().zip(other) {
            assert_eq!((&one.0, one.1, &one.2), (&other.0, other.1, &other.2));
            assert!((one.3.unwrap() - other.3.unwrap()).abs() < 1e-6, "{one:?} and {other:?}");
        }
    }
}

/// Answers of models in the ledger of the run.
fn n_recorded(folder: &Path) -> u64 {
    let stats = Reader::open(&folder.join("gradus-run/ledger.sqlite")).unwrap().stats().unwrap();
    stats.attempts.iter().filter(|row| row.kind != "execution").map(|row| row.settled).sum()
}

#[test]
fn a_run_killed_while_it_scores_asks_only_for_the_rest() {
    let server = Mock::start(|command| command.args(["--right-rate", "0.3", "--latency-ms", "20"]));
    let more = format!(
        "prm: {}\npreset: paper-a\nscoring: {{form: chat_labels, steps: {{fragment: 0}}}}\ndriver: {{in_flight: 4}}\n",
        server.model("prm")
    );
    let [clean, killed] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [clean, killed] = [clean.path(), killed.path()];
    configure(clean, &server, &more);
    configure(killed, &server, &more);
    grade(clean);
    let n_all = n_recorded(clean);
    let n_before = server.stats()["requests"].as_u64().unwrap();
    let mut child = Command::new(common::GRADUS)
        .args(["grade", "--json", "--unsafe-no-sandbox"])
        .current_dir(killed)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while server.stats()["requests"].as_u64().unwrap() < n_before + n_all * 2 / 3 && child.try_wait().unwrap().is_none()
    {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let n_kept = n_recorded(killed);
    assert!(0 < n_kept && n_kept < n_all, "killed in the middle: {n_kept} of {n_all}");
    // What was in flight may still be on its way to the server.
    std::thread::sleep(Duration::from_millis(100));
    let n_before = server.stats()["requests"].as_u64().unwrap();
    grade(killed);
    assert_eq!(server.stats()["requests"].as_u64().unwrap() - n_before, n_all - n_kept);
    let tables = |folder: &Path| common::files(&folder.join("gradus-run/tables"));
    assert!(tables(killed) == tables(clean), "the tables are those of a run that nobody disturbed");
    assert!(!scores(killed).is_empty());
}

#[test]
fn replies_that_cannot_be_read_leave_a_question_ungraded() {
    // Without a schema, the mock answers in prose.
    let server = Mock::start(|command| command.args(["--right-rate", "0.3"]));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let more = format!("judge: {}\ngrade: {{grader: generative}}\nscoring: {{tries: 2}}\n", server.model("judge"));
    configure(folder, &server, &more);
    let output = gradus(folder, &["grade", "--json", "--unsafe-no-sandbox"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("hint: replies that cannot be read") && said.contains("`structured: true`"), "{said}");
    assert!(!said.contains("asks for them again"), "{said}");
    let levels = levels(folder);
    let n_easy = levels.iter().filter(|row| row.level == "easy").count();
    let n_unread = levels.iter().filter(|row| row.reason.as_ref().is_some_and(|r| r.starts_with("unreadable"))).count();
    assert!(n_unread > 3 && n_easy + n_unread == levels.len(), "{n_easy} easy, {n_unread} unreadable");
    assert!(scores(folder).is_empty());
    // Every one of the two tries is in the ledger, and none is made again.
    let n_asked = server.stats()["requests"].clone();
    gradus(folder, &["grade", "--json", "--unsafe-no-sandbox"]);
    assert_eq!(server.stats()["requests"], n_asked);
}

#[test]
fn an_attempt_beyond_the_context_is_ungraded_and_never_cut() {
    let student = Mock::start(|command| command.args(["--right-rate", "0.3"]));
    let prm = Mock::start(|command| command.args(["--max-model-len", "60"]));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &student, &format!("prm: {}\npreset: paper-a\n", prm.model("prm")));
    let told = grade(folder);
    let too_long = |rows: &Value| rows.as_array().unwrap().iter().find(|row| row["reason"] == "too_long").cloned();
    let n = too_long(&told["dropped"]).unwrap_or_else(|| panic!("{told}"))["n"].as_u64().unwrap();
    let dropped: Vec<DroppedRow> =
        TableReader::open(&folder.join("gradus-run/tables")).unwrap().map(Result::unwrap).collect();
    let kinds = |kind: &str| dropped.iter().filter(|row| row.reason == "too_long" && row.item_kind == kind).count();
    assert!(kinds("question") > 0 && kinds("question") == kinds("attempt"));
    assert_eq!(kinds("question") + kinds("attempt"), n as usize);
    let report = std::fs::read_to_string(folder.join("gradus-run/report.html")).unwrap();
    assert!(report.contains("too long"));
    let metrics: Value =
        serde_json::from_slice(&std::fs::read(folder.join("gradus-run/metrics.json")).unwrap()).unwrap();
    assert!(too_long(&metrics["grading"]["ungraded"]).is_some(), "{metrics}");
}

#[test]
fn recorded_step_scores_become_levels_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let steps = ["We add the two numbers that are given first.", "Then the sum of both is what was asked for."];
    let mut bank = String::new();
    let mut recording = String::new();
    for (at, scores) in [[0.9, 0.9], [0.9, 0.5], [0.5, 0.5], [0.5, 0.1], [0.1, 0.1]].iter().enumerate() {
        let question = json!({"id": format!("q{at}"), "question": format!("What is {at} and 1?"), "answer": "100"});
        let answer = json!({
            "question_id": format!("q{at}"), "model": "pupil", "sample": 0,
            "response": format!("{}\n\n{} \\boxed{{{at}}}", steps[0], steps[1]),
        });
        let said = json!({
            "question_id": format!("q{at}"), "model": "prm", "sample": 0,
            "steps": [steps[0], format!("{} \\boxed{{{at}}}", steps[1])], "scores": scores,
        });
        bank += &format!("{question}\n");
        recording += &format!("{answer}\n{said}\n");
    }
    std::fs::write(folder.join("bank.jsonl"), bank).unwrap();
    std::fs::write(folder.join("recording.jsonl"), recording).unwrap();
    let config = "bank: bank.jsonl\nstudent: 'replay:recording.jsonl#pupil'\nprm: 'replay:recording.jsonl#prm'\npreset: paper-a\n";
    std::fs::write(folder.join("gradus.yaml"), config).unwrap();
    grade(folder);
    let found: Vec<_> = levels(folder).iter().map(|row| row.level.clone()).collect();
    assert_eq!(found, ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_grader_without_a_model_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gradus.yaml"), "bank: builtin\nstudent: smollm2\npreset: paper-a\n").unwrap();
    let output = gradus(folder.path(), &["grade"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("`grade.grader: prm` needs a model"), "{said}");
}
