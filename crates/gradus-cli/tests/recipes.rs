//! The recipes as they stand, on the built-in bank against the mock server; and what is found out about chains of thought.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::{Mock, files, gradus};
use gradus::tables::{AnnotationRow, CotRow, RatingRow, Row, SelectionRow, StudentFitRow, TableReader};
use serde_json::Value;

fn recipe(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes").join(name).display().to_string()
}

fn server() -> Mock {
    Mock::start(|command| command)
}

/// Runs a recipe with the mock in every role, and what a user sets beside; gives back the summary.
fn run(folder: &Path, server: &Mock, name: &str, set: &[&str]) -> Value {
    let path = recipe(name);
    let mut arguments = vec!["run", "--config", &path, "--limit", "20", "--json", "--unsafe-no-sandbox"];
    let models: Vec<String> = [("student", "pupil"), ("judge", "judge"), ("prm", "prm")]
        .map(|(role, model)| format!("{role}={}", server.model(model)))
        .to_vec();
    let teachers = format!("teacher=[\"{}\", \"{}\"]", server.model("teacher-one"), server.model("teacher-two"));
    for set in models.iter().map(String::as_str).chain([teachers.as_str()]).chain(set.iter().copied()) {
        arguments.extend(["--set", set]);
    }
    let output = gradus(folder, &arguments);
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn rows<R: Row>(folder: &Path) -> Vec<R> {
    TableReader::open(&folder.join("gradus-run/tables")).unwrap().map(Result::unwrap).collect()
}

fn export(folder: &Path, format: &str) -> PathBuf {
    folder.join("gradus-run/export").join(format)
}

#[test]
fn every_recipe_runs_as_it_stands() {
    let server = server();
    for (name, formats) in [
        ("paper-a-math.yaml", &["trl", "llama_factory"][..]),
        ("paper-a-code.yaml", &["trl", "code_rl"]),
        ("paper-b.yaml", &["trl", "dpo", "kto"]),
        ("rl-bank.yaml", &["verl", "trl_grpo", "code_rl"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let told = run(folder.path(), &server, name, &[]);
        assert_eq!(told["n_questions"], 20, "{name}: {told}");
        for format in formats {
            let parquet = export(folder.path(), format).join("data/train-00000-of-00001.parquet");
            assert!(parquet.exists(), "{name}: {}", parquet.display());
        }
    }
}

#[test]
fn chains_of_thought_are_rated_once_and_selected_by_what_was_rated() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let fit = ["annotate.student_fit=true", "measure.local_context=1"];
    run(folder.path(), &server, "paper-b.yaml", &fit);
    let folder = folder.path();
    let cots: Vec<CotRow> = rows(folder);
    let annotations: Vec<AnnotationRow> = rows(folder);
    let ids = |row: &AnnotationRow| (row.cot_id.clone(), row.question_id.clone());
    let of_cots: Vec<_> = cots.iter().map(|row| (row.cot_id.clone(), row.question_id.clone())).collect();
    assert_eq!(annotations.iter().map(ids).collect::<Vec<_>>(), of_cots, "row by row the same");
    assert!(cots.len() > 20, "several of each question");

    // Every mean is that of its own ratings.
    let mut ratings: BTreeMap<(String, String, String), Vec<f64>> = BTreeMap::new();
    for row in rows::<RatingRow>(folder) {
        ratings.entry((row.cot_id, row.question_id, row.what)).or_default().extend(row.value);
    }
    let fits: BTreeMap<_, _> = rows::<StudentFitRow>(folder).into_iter().map(|row| (row.cot_id.clone(), row)).collect();
    let mut n_rated = 0;
    for row in &annotations {
        let own = |what: &str| ratings.get(&(row.cot_id.clone(), row.question_id.clone(), what.into()));
        let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        assert_eq!(row.cd, own("cd").map(mean), "{row:?}");
        assert_eq!(row.rv, own("rv").map(mean), "{row:?}");
        assert_eq!(row.rsr, fits.get(&row.cot_id).and_then(|fit| fit.rsr));
        assert_eq!(row.cd.is_some(), row.n_cd == 3);
        n_rated += usize::from(row.cd.is_some());
    }
    assert!(n_rated > 20 && fits.values().all(|fit| fit.mean_nll.is_some() && fit.naturalness.is_some()));
    assert!(annotations.iter().filter(|row| row.rv.is_some()).all(|row| row.process.is_some() && row.s_rv.is_some()));

    // What is kept was right, had its scores, and says why.
    let kept: Vec<SelectionRow> = rows::<SelectionRow>(folder).into_iter().filter(|row| row.selected).collect();
    let right: BTreeSet<_> = cots.iter().filter(|row| row.verdict == "correct").map(|row| &row.cot_id).collect();
    assert!(!kept.is_empty());
    assert!(kept.iter().all(|row| right.contains(&row.cot_id) && row.cd.is_some() && row.w_cd.is_some()));

    // The same command asks nobody, and writes the same.
    let asked = server.stats()["requests"].clone();
    let before = files(&folder.join("gradus-run/tables"));
    run(folder, &server, "paper-b.yaml", &fit);
    assert!(files(&folder.join("gradus-run/tables")) == before);
    assert_eq!(server.stats()["requests"], asked, "nothing is asked twice");

    // Another rule of selection asks nobody either; nor does another weight of the length.
    run(
        folder,
        &server,
        "paper-b.yaml",
        &["annotate.student_fit=true", "measure.local_context=1", "select.by=student_fit"],
    );
    let set =
        ["annotate.student_fit=true", "measure.local_context=1", "annotate.lambda=1", "select.length_budget=student"];
    run(folder, &server, "paper-b.yaml", &set);
    assert_eq!(server.stats()["requests"], asked);
    assert!(rows::<AnnotationRow>(folder).iter().all(|row| row.s_rv == row.rv));
}

#[test]
fn another_judge_is_asked_alone_and_decides_nothing() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &server, "paper-b.yaml", &[]);
    let selection = files(&folder.path().join("gradus-run/tables"))[Path::new("selection.parquet")].clone();
    let n_rated = rows::<RatingRow>(folder.path()).iter().filter(|row| row.what != "process").count();
    let config = folder.path().join("gradus-run/gradus.yaml").display().to_string();
    let other = server.model("other-judge");
    let arguments = ["rescore", "--config", &config, "--judge", &other, "--unsafe-no-sandbox"];
    let output = gradus(folder.path(), &arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for score in ["rv", "cd"] {
        assert!(said.contains(&format!("agreement {score}: ")), "{said}");
    }
    let ratings: Vec<RatingRow> = rows(folder.path());
    let n_second = ratings.iter().filter(|row| row.role == "second_judge" && row.what != "process").count();
    assert_eq!(n_second, n_rated);
    assert!(files(&folder.path().join("gradus-run/tables"))[Path::new("selection.parquet")] == selection);
    // Neither a bank with other questions nor a folder without a run lets everybody be asked anew.
    let asked = server.stats()["requests"].clone();
    for (more, wanted) in
        [(&["--limit", "30"][..], "10 questions are new, and 0 are gone"), (&["-d", "elsewhere"], "no finished run")]
    {
        let output = gradus(folder.path(), &[&arguments[..], more].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(wanted), "{said}");
    }
    assert_eq!(server.stats()["requests"], asked);
    // What was asked is selected from without a server.
    drop(server);
    let arguments = ["select", "--config", &config, "--unsafe-no-sandbox", "--set", "select.by=shortest"];
    let output = gradus(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_judge_must_be_able_to_tell_what_it_judges() {
    let folder = tempfile::tempdir().unwrap();
    let row = r#"{"question_id": "q", "model": "j", "response": "4"}"#;
    std::fs::write(folder.path().join("r.jsonl"), format!("{row}\n")).unwrap();
    let check = |judges: &str, wanted: &str| {
        let yaml = format!(
            "bank: builtin\nlimit: 1\nstudent: smollm2\nteacher: smollm2\n{judges}\nannotate: {{scores: [rv]}}\n"
        );
        std::fs::write(folder.path().join("gradus.yaml"), yaml).unwrap();
        let output = gradus(folder.path(), &["annotate", "--dry-run"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{said}");
    };
    check("judge: \"replay:r.jsonl#j\"", "is a recording");
    let both = "openai:http://127.0.0.1:9/v1#j";
    check(&format!("judge: {both}\nsecond_judge: {both}"), "the same model");
    let teachers = format!("judge: {both}\nteacher: [\"{both}\", \"{both}\"]");
    let yaml = format!("bank: builtin\nlimit: 1\nstudent: smollm2\n{teachers}\n");
    std::fs::write(folder.path().join("gradus.yaml"), yaml).unwrap();
    let output = gradus(folder.path(), &["distil", "--dry-run"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(2) && said.contains("`teacher[1]` is the same model as `teacher[0]`"),
        "{said}"
    );
}

#[test]
fn a_dry_run_tells_what_a_judge_of_answers_may_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bank = [
        "{\"question\": \"What is 2 + 2?\", \"answer\": \"4\"}",
        "{\"question\": \"What is 2 + 3?\", \"answer\": \"5\"}",
    ];
    std::fs::write(folder.join("bank.jsonl"), bank.join("\n")).unwrap();
    let model = |name: &str| format!("openai:http://127.0.0.1:9/v1#{name}");
    let yaml = format!(
        "bank: bank.jsonl\nstudent: {}\nteacher: [{}, {}]\njudge: {}\njudging: {{judge: llm}}\nprobe: {{attempts: 3}}\n\
         distil: {{correct: 1, tries: 2}}\n",
        model("s"),
        model("t"),
        model("u"),
        model("j")
    );
    std::fs::write(folder.join("gradus.yaml"), yaml).unwrap();
    let output = gradus(folder, &["run", "--dry-run", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |stage: &str| {
        let stage = told["stages"].as_array().unwrap().iter().find(|one| one["stage"] == stage && one["model"] == "j");
        stage.unwrap_or_else(|| panic!("{told}"))["requests"].clone()
    };
    // Two questions: three attempts of the student each, two of each of two teachers; up to three replies about each.
    assert_eq!((of("judge"), of("annotate")), (serde_json::json!([0, 18]), serde_json::json!([0, 24])));
}

#[test]
fn a_selection_that_is_refused_leaves_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |model: &str, response: &str| {
        format!("{{\"question_id\": \"q\", \"model\": \"{model}\", \"response\": \"{response}\"}}\n")
    };
    std::fs::write(folder.join("bank.jsonl"), "{\"id\": \"q\", \"question\": \"What is 2 + 2?\", \"answer\": \"4\"}\n")
        .unwrap();
    std::fs::write(folder.join("r.jsonl"), row("s", "It is 5.") + &row("t", "It is 4.")).unwrap();
    let yaml = "bank: bank.jsonl\nstudent: replay:r.jsonl#s\nteacher: replay:r.jsonl#t\nprobe: {attempts: 1}\n\
                distil: {correct: 1, tries: 1}\nselect: {by: shortest, length_budget: student}\n";
    std::fs::write(folder.join("gradus.yaml"), yaml).unwrap();
    let output = gradus(folder, &["run"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("select.length_budget"), "{said}");
    let left = |name: &str| folder.join("gradus-run").join(name).exists();
    assert!(
        left("metrics.json")
            && left("report.html")
            && left("tables/dropped.parquet")
            && left("tables/verdicts.parquet")
    );
    assert!(!left("tables/selection.parquet") && !left("export"));
    // What was paid for is not lost: another rule takes it.
    let output = gradus(folder, &["select", "--set", "select.length_budget=null", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["n_selected"], 1);
    // Where a selection is there already, a refused one changes nothing.
    let before = files(&folder.join("gradus-run"));
    let output = gradus(folder, &["select"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("select.length_budget"), "{said}");
    let changed = |(name, bytes): (&PathBuf, &Vec<u8>)| {
        let is_kept =
            !["lock", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"].contains(&name.to_str().unwrap());
        (is_kept && before.get(name) != Some(bytes)).then(|| name.clone())
    };
    let changed: Vec<_> = files(&folder.join("gradus-run")).iter().filter_map(changed).collect();
    assert!(changed.is_empty(), "{changed:?}");
    // A folder whose run ended early says so.
    std::fs::remove_file(folder.join("gradus-run/tables/cots.parquet")).unwrap();
    let output = gradus(folder, &["select", "--compare", "random"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("ended early"), "{said}");
}

/// What a recording does not hold is asked for in every run, and is no reason to want the judge's server again.
#[test]
fn short_recordings_are_selected_from_without_the_judge_s_server() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut bank, mut answers) = (String::new(), String::new());
    for n in 0..6 {
        let id = format!("q{n}");
        let question =
            serde_json::json!({"id": id, "question": format!("What is {n} + 1?"), "answer": (n + 1).to_string()});
        bank += &format!("{question}\n");
        // The last question is not recorded of the student, and of the teacher only every second answer that may be.
        let of_student = (n < 5).then_some(("s", n)).into_iter();
        for (model, answer) in of_student.chain([("t", n + 1)]) {
            let response = format!("It is {answer}.");
            let answer = serde_json::json!({"question_id": id, "model": model, "response": response});
            answers += &format!("{answer}\n");
        }
    }
    std::fs::write(folder.join("bank.jsonl"), bank).unwrap();
    std::fs::write(folder.join("r.jsonl"), answers).unwrap();
    let yaml = format!(
        "bank: bank.jsonl\nstudent: replay:r.jsonl#s\nteacher: replay:r.jsonl#t\njudge: {}\nprobe: {{attempts: 1}}\n\
         distil: {{correct: 2, min_correct: 1, tries: 2}}\nannotate: {{scores: [cd]}}\n",
        server.model("judge")
    );
    std::fs::write(folder.join("gradus.yaml"), yaml).unwrap();
    // What recordings do hold, and were not asked for yet, leaves something for the judge.
    let output = gradus(folder, &["run", "--set", "judge=openai:http://127.0.0.1:9/v1#judge"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("`judge` (openai:"), "{said}");
    assert!(!said.contains("note: ") && !folder.join("gradus-run/tables").exists(), "{said}");
    let run = gradus(folder, &["run"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let (asked, tables) = (server.stats()["requests"].clone(), files(&folder.join("gradus-run/tables")));
    assert_eq!(rows::<RatingRow>(folder).len(), 15, "three of each of five");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(said.contains("note      judge, separate: agrees with itself by a kappa of cd "), "{said}");
    drop(server);
    let output = gradus(folder, &["select"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("nothing is left to be asked of it"), "{said}");
    assert!(files(&folder.join("gradus-run/tables")) == tables, "asked {asked}");
    // Where something is left, its server is wanted before anything is done.
    let output = gradus(folder, &["select", "--set", "annotate.ratings=4"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("`judge` (openai:"), "{said}");
    assert!(files(&folder.join("gradus-run/tables")) == tables);
}

#[test]
fn a_second_judge_is_held_against_ratings_that_came_along() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut bank, mut answers, mut ratings) = (String::new(), String::new(), String::new());
    for n in 0..12 {
        let id = format!("q{n}");
        bank += &format!(
            "{}\n",
            serde_json::json!({"id": id, "question": format!("What is {n} + 1?"), "answer": (n + 1).to_string()})
        );
        for (model, answer, sample) in [("s", n, 0), ("t", n + 1, 1)] {
            let response = format!("It is {answer}.");
            answers += &format!(
                "{}\n",
                serde_json::json!({"question_id": id, "model": model, "response": response, "sample": sample})
            );
        }
        ratings +=
            &format!("{}\n", serde_json::json!({"question_id": id, "model": "t", "sample": 1, "rv": n % 10, "cd": 3}));
    }
    for (name, text) in [("bank.jsonl", bank), ("r.jsonl", answers), ("ratings.jsonl", ratings)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let yaml = "bank: bank.jsonl\nstudent: replay:r.jsonl#s\nteacher: replay:r.jsonl#t\nprobe: {attempts: 1}\n\
                distil: {correct: 1, tries: 1}\nannotate: {scores: [rv, cd], recorded: [ratings.jsonl]}\n";
    std::fs::write(folder.join("gradus.yaml"), yaml).unwrap();
    assert!(gradus(folder, &["run"]).status.success());
    let output = gradus(folder, &["rescore", "--judge", &server.model("judge")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("agreement rv: ") && said.contains(" and recorded on 12 chains of thought"), "{said}");
    let rated: Vec<AnnotationRow> = rows(folder);
    assert!(rated.iter().enumerate().all(|(n, row)| row.rv == Some(n as f64 % 10.0) && row.cd == Some(3.0)));
}

#[test]
fn rules_of_selection_stand_side_by_side() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &server, "paper-b.yaml", &[]);
    let before = files(&folder.path().join("gradus-run/tables"));
    let arguments = ["select", "--json", "--compare", "random", "omnithought", "shortest", "longest", "student-fit"];
    let output = gradus(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rules = told["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 5, "{told}");
    let mean = |rule: &str| {
        let of = rules.iter().find(|column| column["rule"] == rule).unwrap();
        of["length"]["mean"].as_f64().unwrap_or_else(|| panic!("{of}"))
    };
    assert!(mean("shortest") <= mean("random") && mean("random") <= mean("longest"));
    assert!(rules[4]["not_applied"].is_string(), "nobody measured the student's fit: {}", rules[4]);
    assert!(files(&folder.path().join("gradus-run/tables")) == before, "nothing is written");
}

#[test]
fn scores_that_nobody_gives_are_a_config_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let check = |yaml: &str, wanted: &str| {
        std::fs::write(folder.path().join("gradus.yaml"), format!("bank: builtin\nstudent: smollm2\n{yaml}")).unwrap();
        let output = gradus(folder.path(), &["config", "check", "gradus.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted) && said.contains("hint"), "{said}");
    };
    check("annotate: {scores: [rv]}", "`judge`");
    check("select: {by: omnithought, ability: 5}", "annotate");
    check("judge: smollm2\nannotate: {scores: [rv, cd]}\nselect: {by: omnithought}", "ability");
    check("select: {by: student_fit}", "student_fit");
    check("judging: {judge: llm}", "`judge`");
}
