//! The real binary looks into banks, writes them, and checks them.

use std::path::Path;
use std::process::{Command, Output};

use gradus::tables::{DroppedRow, HygieneRow, StudentLevelRow, TableReader};
use serde_json::{Value, json};

fn gradus(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus")).args(arguments).current_dir(folder).output().unwrap()
}

#[track_caller]
fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let output = gradus(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn object(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout(folder, arguments)).unwrap()
}

const POND: &str = "A frog sits at the edge of a round pond with 12 lily pads and jumps from pad to pad; in how many ways can \
                    it visit all of them?";

/// Two banks that share a question, and an exam.
fn banks() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, rows: &[Value]| {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        std::fs::write(folder.path().join(name), lines.join("\n")).unwrap();
    };
    write(
        "a.jsonl",
        &[
            json!({"id": "a1", "question": POND, "answer": 7, "subject": "Counting", "level": 3}),
            json!({"id": "a2", "question": POND.replace("a round", "the round"), "answer": 7}),
            json!({"id": "a3", "question": POND.replace("12", "14"), "answer": 8}),
            json!({"id": "a4", "question": "What is 2 + 2?", "answer": 4}),
        ],
    );
    write(
        "b.jsonl",
        &[
            json!({"id": "b1", "question": "What is  2 + 2?", "answer": "4"}),
            json!({"id": "b2", "question": "Write f.", "tests": {"type": "stdin", "cases": [{"input": "", "output": "1"}]}}),
        ],
    );
    write("exam.jsonl", &[json!({"id": "e1", "question": POND.replace("12", "$14$")}), json!({"question": "Who?"})]);
    folder
}

#[test]
fn banks_are_counted_listed_filtered_and_merged() {
    let folder = banks();
    let here = folder.path();
    let merged = object(here, &["bank", "merge", "a.jsonl", "b.jsonl", "--out", "all.parquet", "--json"]);
    assert_eq!((&merged["n_questions"], &merged["n_duplicates"]), (&json!(5), &json!(1)));
    let stats = object(here, &["bank", "stats", "all.parquet", "--json"]);
    assert_eq!((&stats["n_questions"], &stats["n_joined"], &stats["n_with_tests"]), (&json!(5), &json!(1), &json!(1)));
    assert_eq!(stats["sources"], json!({"a": 4, "b": 1}));
    let listed = stdout(here, &["bank", "list", "all.parquet", "--kind", "math", "--max-chars", "20"]);
    assert!(listed.contains("  a4,b1  math  -  -  What is 2 + 2?") && listed.lines().count() == 1, "{listed}");
    let filtered = stdout(here, &["bank", "filter", "all.parquet", "--with-tests", "-o", "code.jsonl"]);
    assert!(filtered.starts_with("code.jsonl: 1 questions of 5 rows"), "{filtered}");
    let row = object(here, &["bank", "list", "code.jsonl", "--json"]);
    assert_eq!((&row["id"], &row["source"], &row["kind"]), (&json!("b2"), &json!("b"), &json!("code")));
    let by_subject = object(here, &["bank", "list", "a.jsonl", "--subject", "counting", "--json"]);
    assert_eq!(by_subject["id"], "a1");
    let turned = object(here, &["bank", "list", "a.jsonl", "--level1-is-hardest", "--level", "3", "--json"]);
    assert_eq!(turned["level"], "3");
    for (arguments, words) in [
        (&["bank", "merge", "a.jsonl", "-o", "x.csv"][..], "`.parquet`"),
        (&["bank", "stats", "c.jsonl"][..], "did you mean"),
        (&["bank", "stats", "a.jsonl", "--field", "anwser=x"][..], "anwser"),
        (&["bank", "stats", "hf:owner"][..], "hf:OWNER/NAME/FILE"),
    ] {
        let output = gradus(here, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
    assert!(!here.join("x.csv").exists());
}

#[test]
fn a_check_names_what_is_not_clean() {
    let folder = banks();
    let here = folder.path();
    let check = ["bank", "check", "a.jsonl", "b.jsonl", "--against", "exam.jsonl"];
    let said = stdout(here, &check);
    for line in [
        "near duplicates: 1 questions",
        "  a2 of a1: Jaccard 0.8",
        "families that differ in numbers alone: 1 with 2 questions",
        "  2 questions: a1, a3",
        "  exam: 1 of 2 questions found",
        "  a3 is exam `e1` (same_text, 1.000): A frog sits",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let found = object(here, &[&check[..], &["--json", "--mode", "word8", "--only-benchmarks"]].concat());
    assert_eq!((&found["n_contaminated"], &found["n_near_duplicates"]), (&json!(3), &json!(0)));
    assert_eq!(found["findings"][0]["rule"], "8_gram");
    let refused = gradus(here, &["bank", "check", "a.jsonl", "--threshold", "0"]);
    assert_eq!(refused.status.code(), Some(2));
}

/// Answers of two students to the questions of bank `a`.
fn record(folder: &Path) {
    let mut lines = String::new();
    for (student, answers) in [("small", ["7", "7", "1", "4"]), ("large", ["7", "7", "8", "5"])] {
        for (i, answer) in answers.iter().enumerate() {
            let row = json!({
                "question_id": format!("a{}", i + 1), "model": student, "sample": 0,
                "response": format!("So it is \\boxed{{{answer}}}."),
            });
            lines += &format!("{row}\n");
        }
    }
    std::fs::write(folder.join("answers.jsonl"), lines).unwrap();
}

fn probe(folder: &Path, student: &str, run: &str, settings: &[&str]) {
    let yaml = format!("bank: a.jsonl\nstudent: replay:answers.jsonl#{student}\n");
    std::fs::write(folder.join("gradus.yaml"), yaml).unwrap();
    let mut arguments = vec!["probe", "--quiet", "--run-dir", run];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    stdout(folder, &arguments);
}

#[test]
fn a_run_leaves_out_what_its_config_says_and_is_the_same_again() {
    let folder = banks();
    let here = folder.path();
    record(here);
    let settings =
        ["hygiene.near_duplicates=drop", "hygiene.families=report", "hygiene.decontaminate.against=exam.jsonl"];
    let tables = |run: &str| here.join(run).join("tables");
    probe(here, "small", "plain", &[]);
    assert!(!tables("plain").join("hygiene.parquet").exists());
    probe(here, "small", "clean", &settings);
    probe(here, "small", "again", &settings);
    let dropped: Vec<DroppedRow> = TableReader::open(&tables("clean")).unwrap().map(Result::unwrap).collect();
    let reasons: Vec<_> =
        dropped.iter().map(|row| (row.item.as_str(), row.stage.as_str(), row.reason.as_str())).collect();
    assert_eq!(reasons, [("a.jsonl:2", "ingest", "near_duplicate"), ("a.jsonl:3", "ingest", "contaminated")]);
    let findings: Vec<HygieneRow> = TableReader::open(&tables("clean")).unwrap().map(Result::unwrap).collect();
    let findings: Vec<_> =
        findings.iter().map(|row| (row.source_id.as_str(), row.finding.as_str(), row.dropped)).collect();
    assert_eq!(
        findings,
        [
            ("a1", "family", false),
            ("a2", "near_duplicate", true),
            ("a3", "contaminated", true),
            ("a3", "family", false)
        ]
    );
    for table in ["questions", "levels", "dropped", "hygiene"] {
        let read = |run: &str| std::fs::read(tables(run).join(format!("{table}.parquet"))).unwrap();
        assert_eq!(read("clean"), read("again"), "{table}");
    }
    let report = std::fs::read_to_string(here.join("clean/report.html")).unwrap();
    assert!(report.contains("near duplicate") && report.contains("contaminated"));
}

#[test]
fn levels_of_runs_become_one_table_that_grows() {
    let folder = banks();
    let here = folder.path();
    record(here);
    probe(here, "small", "r1", &[]);
    probe(here, "large", "r2", &[]);
    let first = object(here, &["bank", "levels", "r1", "-o", "levels.parquet", "--json"]);
    assert_eq!((&first["n_levels"], &first["overlaps"]), (&json!(4), &json!([])));
    let both = object(here, &["bank", "levels", "levels.parquet", "r1", "r2", "-o", "levels.parquet", "--json"]);
    assert_eq!((&both["n_levels"], &both["n_conflicts"]), (&json!(8), &json!(0)));
    let overlap = &both["overlaps"][0];
    assert_eq!(
        (&overlap["n_both"], &overlap["n_hard"], &overlap["n_hard_for_both"]),
        (&json!(4), &json!([1, 1]), &json!(0))
    );
    let rows = TableReader::<StudentLevelRow>::open_at(here.join("levels.parquet")).unwrap();
    assert_eq!(rows.map(Result::unwrap).filter(|row| row.student == "small" && row.level == "easy").count(), 3);
    let said = stdout(here, &["bank", "levels", "r1", "r2"]);
    assert!(said.contains("large / small: 0 of 1 and 1, by chance 0.2"), "{said}");
    let refused = gradus(here, &["bank", "levels", "a.jsonl"]);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}
