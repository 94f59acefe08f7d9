//! The real binary runs stages against its own mock server: what they ask, what they would ask, what they tell.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::path::Path;

use common::{Mock, files, gradus};
use serde_json::Value;

fn start() -> Mock {
    Mock::start(|mock| mock.args(["--model", "pupil", "--model", "teacher"]))
}

fn n_requests(server: &Mock) -> u64 {
    server.stats()["requests"].as_u64().unwrap()
}

/// A config in this folder; `more` are further lines.
fn configure(folder: &Path, server: &Mock, more: &str) {
    let config = format!(
        "bank: {{path: builtin, license: MIT}}\nlimit: 50\n\
         student: {{model: '{}', price: {{input: 1, output: 2}}}}\n\
         teacher: {}\n\
         probe: {{attempts: 3}}\ngrade: {{grader: pass_rate}}\nsample: {{by: random, size: 8}}\n\
         distil: {{correct: 2, tries: 5}}\n{more}",
        server.model("pupil"),
        server.model("teacher"),
    );
    std::fs::write(folder.join("gradus.yaml"), config).unwrap();
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
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
    let dry = |until: &str| json(folder, &[until, "--dry-run", "--json"])["stages"].as_array().unwrap().clone();
    let pair = |estimate: &Value, what: &str| [0, 1].map(|at| estimate[what][at].as_u64().unwrap());

    let before = dry("run");
    assert_eq!(n_requests(&server), 0);
    assert!(!folder.join("gradus-run").exists(), "a dry run makes no run directory");
    assert_eq!(before[0]["stage"], "probe");
    assert_eq!(pair(&before[0], "requests"), [50 * 3; 2]);
    assert!(before[0]["mean_completion"].is_null() && before[0]["cost_usd"][1].as_f64().unwrap() > 0.0);
    assert_eq!((&before[1]["stage"], before[1]["n_questions"].as_u64()), (&"distil".into(), Some(8)));
    assert!(before[1]["assumed"].as_bool().unwrap() && before[1]["cost_usd"].is_null());
    assert_eq!(pair(&before[1], "requests"), [8 * 2, 8 * 5]);

    told(folder, &["probe"]);
    let n_probed = n_requests(&server);
    assert_eq!(n_probed, 50 * 3);
    let between = dry("run");
    assert_eq!(pair(&between[0], "requests"), [0, 0]);
    assert!(!between[1]["assumed"].as_bool().unwrap(), "levels are known: the sample is");
    assert!(between[0]["mean_completion"].as_f64().unwrap() > 0.0);
    let text = told(folder, &["run", "--dry-run"]);
    assert!(text.contains("16 - 40") && text.contains("nothing was asked"), "{text}");
    assert_eq!(n_requests(&server), n_probed);

    told(folder, &["run"]);
    let [least, most] = pair(&between[1], "requests");
    let n_distilled = n_requests(&server) - n_probed;
    assert!((least..=most).contains(&n_distilled), "{n_distilled} are not within {least} to {most}");
    assert!(dry("run").iter().all(|estimate| pair(estimate, "requests") == [0, 0]));
}

#[test]
fn verbose_shows_prompt_reply_what_was_taken_and_the_verdict() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &server, "");
    let shown = told(folder.path(), &["probe", "--limit", "1", "-v"]);
    assert_eq!(n_requests(&server), 3, "only the one question was asked");
    for part in ["question  ", "accepts   ", "--- user ---", r"\boxed{}", "--- reply ---", "took `", "level     "] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    assert!(shown.contains(": correct |") || shown.contains(": incorrect |"), "{shown}");
}

#[test]
fn export_report_and_judge_ask_nobody_and_repeat_what_the_run_wrote() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
    told(folder, &["run"]);
    let n_asked = n_requests(&server);
    let written = || {
        let mut files = files(&folder.join("gradus-run"));
        files.retain(|name, _| !name.starts_with("lock") && !name.to_string_lossy().starts_with("ledger.sqlite"));
        files
    };
    let before = written();
    for part in ["export/manifest.json", "export/README.md", "export/trl", "report.html", "metrics.json", "tables"] {
        assert!(before.keys().any(|name| name.starts_with(part)), "{part} is missing");
    }
    told(folder, &["judge"]);
    told(folder, &["export"]);
    told(folder, &["report"]);
    let after = written();
    assert!(after.keys().eq(before.keys()), "{:?}", after.keys());
    for (name, bytes) in before {
        assert!(after[&name] == bytes, "{} changed", name.display());
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
    configure(folder, &server, "overrides: o.yaml\n");
    let before = written();
    let diff = json(folder, &["rejudge", "--diff", "--json"]);
    assert_eq!(written(), before, "a diff changes nothing");
    assert!(diff["changed"].as_array().unwrap().iter().all(|change| change["from"] == "correct"), "{diff}");
    let text = told(folder, &["rejudge", "--diff"]);
    assert!(text.contains(": correct -> incorrect (verify:"), "{text}");
    let judged = json(folder, &["judge", "--json"]);
    let n_changed: u64 = judged["changed"].as_array().unwrap().iter().map(|change| change["n"].as_u64().unwrap()).sum();
    assert_eq!(n_changed, diff["changed"].as_array().unwrap().len() as u64);
    let n_right = why["level"]["n_correct"].as_u64().unwrap();
    let changed: u64 = judged["changed"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["from"] == "correct" && change["to"] == "incorrect")
        .map(|change| change["n"].as_u64().unwrap())
        .sum();
    assert!(n_right > 0 && changed >= n_right, "{judged}");
    assert_eq!(n_requests(&server), n_asked);

    let nowhere = gradus(folder, &["judge", "--run-dir", "elsewhere"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(!folder.join("elsewhere").exists());
    assert_eq!(gradus(folder, &["export", "--run-dir", "elsewhere"]).status.code(), Some(2));
}

#[test]
fn why_finds_a_question_by_any_of_its_ids() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
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

#[test]
fn adaptive_attempts_stop_early_and_are_those_of_the_full_run() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
    let fixed = ["--set", "probe.attempts=8", "-d", "fixed"];
    let adaptive = ["--set", "probe.attempts=8", "--set", "probe.adaptive={min_attempts: 2, max_width: 0.7}"];
    let probe = |more: &[&str]| json(folder, &[&["probe", "--json"], more].concat());
    probe(&[&adaptive[..], &["-d", "adaptive"]].concat());
    let n_adaptive = server.stats()["requests"].as_u64().unwrap();
    assert!((50 * 2..50 * 8).contains(&n_adaptive), "{n_adaptive} requests");
    let metrics = |run: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.join(run).join("metrics.json")).unwrap()).unwrap()
    };
    let rates = &metrics("adaptive")["pass_rates"];
    assert_eq!((rates["attempts"].as_u64(), rates["saved"].as_u64()), (Some(n_adaptive), Some(400 - n_adaptive)));
    // Raised to all of them in the same directory, only the rest is asked, and the tables are those of a fixed number.
    probe(&["--set", "probe.attempts=8", "-d", "adaptive"]);
    assert_eq!(n_requests(&server), 400);
    probe(&fixed);
    assert_eq!(metrics("fixed")["pass_rates"]["saved"], 0);
    let levels = |run: &str| std::fs::read(folder.join(run).join("tables/levels.parquet")).unwrap();
    assert_eq!(levels("fixed"), levels("adaptive"));
}

#[test]
fn cut_points_come_from_the_bank_if_asked_and_ask_nothing() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
    let graded = |cuts: &str| -> Value {
        told(folder, &["grade", "--set", &format!("grade.cuts={cuts}")]);
        serde_json::from_slice(&std::fs::read(folder.join("gradus-run/metrics.json")).unwrap()).unwrap()
    };
    let fixed = graded("fixed");
    assert_eq!(fixed["grading"]["edges"], serde_json::json!([0.2, 0.4, 0.6, 0.8]));
    let n_asked = n_requests(&server);
    let counts = |metrics: &Value| -> Vec<u64> {
        (0..6).map(|level| metrics["levels"][level]["count"].as_u64().unwrap()).collect()
    };
    // Three attempts: scores of 0, 1/3 and 2/3 are not easy.
    let calibrated = graded("calibrated");
    let edges: Vec<f64> =
        calibrated["grading"]["edges"].as_array().unwrap().iter().map(|e| e.as_f64().unwrap()).collect();
    assert!((edges[0] - 1.0 / 3.0).abs() < 1e-9 && (edges[1] - 2.0 / 3.0).abs() < 1e-9, "{edges:?}");
    assert!((edges[2] - 2.0 / 3.0).abs() < 1e-9 && edges[3] > 1.0, "{edges:?}");
    assert_eq!(counts(&calibrated), counts(&fixed), "the score is the pass rate: nothing to mend");
    let held_out = calibrated["grading"]["held_out"].as_array().unwrap();
    let n_held_out: u64 = held_out.iter().map(|level| level[0].as_u64().unwrap()).sum();
    let n_hard: u64 = counts(&fixed)[1..].iter().sum();
    assert!((1..n_hard).contains(&n_held_out), "{n_held_out} of {n_hard}");
    let quantile = graded("quantile");
    assert_eq!(counts(&quantile)[0], counts(&fixed)[0]);
    assert_ne!(quantile["grading"]["edges"], fixed["grading"]["edges"]);
    assert_eq!(n_requests(&server), n_asked);
    let refused = gradus(folder, &["grade", "--set", "grade.cuts=calibrated", "--set", "probe.attempts=1"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_sample_borrows_shares_or_levels_from_another_run() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
    told(folder, &["grade", "-d", "other", "--set", "student.extra={note: other}", "--set", "probe.attempts=4"]);
    let sample = |set: &str| -> Value {
        let run = set.split(['.', '=']).nth(1).unwrap();
        told(folder, &["sample", "-d", run, "--set", "sample.by=p_eval", "--set", set]);
        serde_json::from_slice(&std::fs::read(folder.join(run).join("metrics.json")).unwrap()).unwrap()
    };
    let other: Value = serde_json::from_slice(&std::fs::read(folder.join("other/metrics.json")).unwrap()).unwrap();
    let borrowed = sample("sample.shares_from=other");
    for level in 0..6 {
        let share = other["levels"][level]["count"].as_f64().unwrap() / 50.0;
        assert!((borrowed["sample"]["levels"][level]["wanted"].as_f64().unwrap() - share).abs() < 1e-9);
    }
    let borrowed = sample("sample.levels_from=other");
    let n_drawn = |level: usize| borrowed["sample"]["levels"][level]["drawn"].as_u64().unwrap();
    assert_eq!((0..6).map(n_drawn).sum::<u64>(), 8);
    for level in 0..6 {
        assert_eq!(borrowed["sample"]["levels"][level]["available"], other["levels"][level]["count"]);
    }
    let nobody = gradus(folder, &["sample", "--set", "sample.levels_from=nowhere"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("nowhere has no levels"));
}

#[test]
fn a_sample_may_be_as_large_as_tokens_or_dollars_pay_for() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
    let config = std::fs::read_to_string(folder.join("gradus.yaml")).unwrap().replace(", size: 8}", "}");
    let config = config.replace(
        &format!("teacher: {}", server.model("teacher")),
        &format!("teacher: {{model: '{}', price: {{input: 1, output: 2}}}}", server.model("teacher")),
    );
    std::fs::write(folder.join("gradus.yaml"), config).unwrap();
    let drawn = |set: &str| json(folder, &["sample", "--json", "--set", set])["n_sampled"].as_u64().unwrap();
    let all = drawn("sample.size=1000");
    let metrics: Value =
        serde_json::from_slice(&std::fs::read(folder.join("gradus-run/metrics.json")).unwrap()).unwrap();
    let role = &metrics["roles"][0];
    let mean = role["completion_tokens"].as_f64().unwrap() / role["n_attempts"].as_f64().unwrap();
    // A tenth of what the student wrote at one attempt each.
    let tokens = (mean * 5.0) as u64;
    let few = drawn(&format!("sample.tokens={tokens}"));
    assert!((3..=7).contains(&few), "{few} questions for {tokens} tokens");
    assert_eq!(drawn(&format!("sample.usd={}", tokens as f64 * 2e-6)), few);
    assert!(drawn(&format!("sample.tokens={}", tokens * 100)) == all && all > few);
    // By the bank's own levels, of which the first fifty questions have only a few.
    let by_bank = format!("sample={{by: static, tokens: {tokens}, weights: [1, 1, 1, 1, 1]}}");
    assert!((1..=10).contains(&drawn(&by_bank)), "{by_bank}");
    let refused = gradus(folder, &["sample", "--set", "sample.tokens=5", "--set", "sample.size=5"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn levels_are_assessed_against_the_attempts_of_another_run() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
    assert_eq!(gradus(folder, &["grade", "--assess"]).status.code(), Some(2), "there are no levels yet");
    told(folder, &["grade"]);
    told(folder, &["grade", "-d", "measured", "--set", "probe.attempts=8", "--set", "probe.sampling.temperature=0.5"]);
    let n_asked = n_requests(&server);
    let found = json(folder, &["grade", "--assess", "--against", "measured", "--json"]);
    assert_eq!(n_requests(&server), n_asked, "an assessment asks nobody");
    assert_eq!((found["n_questions"].as_u64(), found["against_own_attempts"].as_bool()), (Some(50), Some(false)));
    let total: u64 = found["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(total, 50);
    let spearman = &found["agreements"][0]["spearman"];
    let [low, value, high] =
        [&spearman["ci95"][0], &spearman["value"], &spearman["ci95"][1]].map(|n| n.as_f64().unwrap());
    assert!(low <= value && value <= high && value > 0.0, "{spearman}");
    let text = told(folder, &["grade", "--assess"]);
    assert!(text.contains("they agree too well") && text.contains("the pass rate"), "{text}");
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
