//! The whole pipeline over real recorded answers: `examples/math5.yaml` on the first part of its bank. Skipped where
//! `../shared/data` is absent.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{GRADUS, files};
use gradus::tables::{
    AttemptRow, CotRow, LevelRow, QuestionRow, Row, SampleRow, SelectionRow, TableReader, VerdictRow,
};
use serde_json::Value;

const STUDENT: &str = "Qwen/Qwen2.5-3B-Instruct";

/// Questions of the bank; for some 60 of them there are recorded answers.
const LIMIT: u64 = 800;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the example in a folder and gives back its summary.
fn run(folder: &Path) -> Value {
    let output = Command::new(GRADUS)
        .args(["run", "--json", "--limit", &LIMIT.to_string(), "--config"])
        .arg(repository().join("examples/math5.yaml"))
        .arg("--run-dir")
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn table<R: Row>(folder: &Path) -> Vec<R> {
    TableReader::<R>::open(&folder.join("tables")).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Labels of a model's recorded answers by question; the first answer counts, as it does for the first attempt.
fn labels(recordings: &Path, model: &str) -> HashMap<String, bool> {
    let text = zstd::decode_all(std::fs::File::open(recordings).unwrap()).unwrap();
    let mut labels = HashMap::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let row: Value = serde_json::from_slice(line).unwrap();
        if row["model"] == model {
            let id = row["question_id"].as_str().unwrap().to_owned();
            labels.entry(id).or_insert(row["correct"].as_bool().unwrap());
        }
    }
    labels
}

#[test]
fn recorded_answers_become_training_data_and_nothing_gets_lost() {
    let recordings = repository().join("../shared/data/recordings/math_l5_zeroeval.jsonl.zst");
    if !recordings.exists() {
        println!("skipped: ../shared/data is absent");
        return;
    }
    let parents = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let folders = parents.each_ref().map(|parent| parent.path().join("math5"));
    let summary = run(&folders[0]);
    assert_eq!(run(&folders[1]), replaced(&summary, &folders));
    let folder = &folders[0];

    // Counts add up, from the bank to the export.
    let n = |key: &str| summary[key].as_u64().unwrap();
    let n_graded: u64 = summary["levels"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let dropped = |stage: &str, reason: &str| -> u64 {
        let drops = summary["dropped"].as_array().unwrap().iter();
        drops
            .filter(|drop| drop["stage"] == stage && drop["reason"] == reason)
            .filter_map(|drop| drop["n"].as_u64())
            .sum()
    };
    assert_eq!(n("n_questions"), LIMIT);
    assert!(n_graded >= 40, "{summary}");
    assert_eq!(n_graded + dropped("probe", "not_recorded"), LIMIT);
    assert_eq!(n("n_sampled"), n_graded);
    assert_eq!(n("n_selected") + dropped("select", "no_correct_cot"), n_graded);
    assert_eq!(summary["exported"]["rows"].as_u64(), Some(n("n_selected")));
    let metrics: Value = serde_json::from_slice(&std::fs::read(folder.join("metrics.json")).unwrap()).unwrap();
    assert_eq!((&metrics["balance"]["n_unaccounted"], &metrics["balance"]["complete"]), (&0.into(), &true.into()));
    for (at, role) in ["student", "teacher"].into_iter().enumerate() {
        let usage = &metrics["ledger"]["usage"][at];
        assert_eq!((usage["role"].as_str(), usage["n_attempts"].as_u64()), (Some(role), Some(n_graded)), "{usage}");
    }
    assert_eq!(table::<QuestionRow>(folder).len() as u64, LIMIT);
    assert_eq!(table::<LevelRow>(folder).len() as u64, n_graded);
    assert_eq!(table::<SampleRow>(folder).len() as u64, n_graded);
    assert_eq!(table::<AttemptRow>(folder).len() as u64, n_graded);
    assert_eq!(table::<CotRow>(folder).len() as u64, n_graded);
    assert_eq!(table::<SelectionRow>(folder).iter().filter(|row| row.selected).count() as u64, n("n_selected"));

    // What is exported was found right, and its thinking stands between the tags.
    let jsonl = std::fs::read_to_string(folder.join("export/trl/train.jsonl")).unwrap();
    let rows: Vec<Value> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len() as u64, n("n_selected"));
    for row in &rows {
        assert_eq!(row["verdict"], "correct");
        let content = row["completion"][0]["content"].as_str().unwrap();
        assert!(content.starts_with("<think>\n") && content.matches("\n</think>\n\n").count() == 1, "{content}");
    }

    // The verdicts on the student are those of the labels, with few exceptions (docs/results.md lists them).
    let labels = labels(&recordings, STUDENT);
    let ids: HashMap<String, Vec<String>> =
        table::<QuestionRow>(folder).into_iter().map(|row| (row.question_id, row.source_ids)).collect();
    let verdicts: Vec<VerdictRow> =
        table::<VerdictRow>(folder).into_iter().filter(|row| row.role == "student").collect();
    assert_eq!(verdicts.len() as u64, n_graded);
    let agrees = |row: &&VerdictRow| {
        let label = ids[&row.question_id].iter().find_map(|id| labels.get(id)).unwrap();
        (row.verdict == "correct") == *label
    };
    let n_agreeing = verdicts.iter().filter(agrees).count();
    assert!(n_agreeing * 100 >= verdicts.len() * 98, "{n_agreeing} of {}", verdicts.len());

    // The same bank, config and recording give the same bytes.
    for part in ["tables", "export"] {
        let [one, other] = folders.each_ref().map(|folder| files(&folder.join(part)));
        assert!(one.len() >= 6 && one == other, "{part}: {:?}", one.keys());
    }
}

/// A summary with the first folder's path replaced by the second's.
fn replaced(summary: &Value, folders: &[PathBuf; 2]) -> Value {
    let [from, to] = folders.each_ref().map(|folder| folder.to_str().unwrap());
    serde_json::from_str(&summary.to_string().replace(from, to)).unwrap()
}
