//! Budgets and prices: the real binary against its own mock server.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::path::Path;
use std::process::Output;

use common::{Mock, files, gradus};
use serde_json::Value;

fn start() -> Mock {
    Mock::start(|mock| mock.args(["--model", "pupil", "--model", "sage", "--tokens", "40", "--latency-ms", "2"]))
}

/// Most tokens of one request: the prompts of the bank are short, and answers end at 200.
const WORST: u64 = 1_000;

/// A config in this folder whose models have prices in a list; `more` are further lines.
fn configure(folder: &Path, server: &Mock, more: &str) {
    let config = format!(
        "bank: {{path: builtin, license: MIT}}\nlimit: 24\nstudent: {}\nteacher: {}\n\
         prices: {{path: prices.json, as_of: 2026-11-02}}\n\
         probe: {{attempts: 2, sampling: {{max_tokens: 200}}}}\nsample: {{by: random, size: 8}}\n\
         distil: {{correct: 2, tries: 5, sampling: {{max_tokens: 200}}}}\ndriver: {{in_flight: 6}}\n{more}",
        server.model("pupil"),
        server.model("sage"),
    );
    std::fs::write(folder.join("gradus.yaml"), config).unwrap();
    let prices = r#"{
        "sample_spec": {"input_cost_per_token": 0, "output_cost_per_token": 0},
        "lab/pupil": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "mode": "chat"},
        "sage": {"input_cost_per_token": 3e-6, "output_cost_per_token": 1.2e-5, "cache_read_input_token_cost": 3e-7}
    }"#;
    std::fs::write(folder.join("prices.json"), prices).unwrap();
}

fn n_requests(server: &Mock) -> u64 {
    server.stats()["requests"].as_u64().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What the ledger of a run says was used: tokens and dollars.
fn spent(folder: &Path) -> (u64, f64) {
    let metrics = json(&folder.join("gradus-run/metrics.json"));
    let usage = metrics["ledger"]["usage"].as_array().unwrap();
    let tokens = |row: &Value| row["prompt_tokens"].as_u64().unwrap() + row["completion_tokens"].as_u64().unwrap();
    (usage.iter().map(tokens).sum(), usage.iter().filter_map(|row| row["paid_usd"].as_f64()).sum())
}

#[test]
fn a_run_stops_at_its_budget_and_goes_on_when_that_is_raised() {
    let server = start();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [free, limited] = [0, 1].map(|at| folders[at].path());
    configure(free, &server, "");
    let output = gradus(free, &["run", "-q"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (n_free, (total_tokens, total_usd)) = (n_requests(&server), spent(free));
    assert!(total_usd > 0.0, "prices come from the list");
    assert_eq!(json(&free.join("gradus-run/metrics.json"))["run"]["models"][1]["price"]["as_of"], "2026-11-02");
    assert!(json(&free.join("gradus-run/metrics.json")).get("partial").is_none());

    configure(limited, &server, "");
    let mut phases = Vec::new();
    for (step, share) in [0.0, 0.3, 0.6, 0.85, 1.5].into_iter().enumerate() {
        let (max_tokens, max_usd) = ((total_tokens as f64 * share) as u64, total_usd * share);
        // In dollars and in tokens by turns.
        let set =
            if step % 2 == 0 { format!("budget.max_tokens={max_tokens}") } else { format!("budget.max_usd={max_usd}") };
        let output = gradus(limited, &["run", "-q", "--set", &set]);
        let (tokens, usd) = spent(limited);
        if share > 1.0 {
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            break;
        }
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        let told = stderr(&output);
        assert!(told.contains("the budget ended the run") && told.contains("raise `budget`"), "{told}");
        if step % 2 == 0 {
            assert!(tokens < max_tokens + WORST, "{tokens} of {max_tokens}");
        } else {
            assert!(usd < max_usd + WORST as f64 * 1.2e-5, "{usd} of {max_usd}");
        }
        let partial = json(&limited.join("gradus-run/metrics.json"))["partial"].clone();
        assert_eq!(partial["spent_tokens"], tokens);
        phases.push(partial["stage"].as_str().unwrap().to_owned());
        assert_eq!(json(&limited.join("gradus-run/export/manifest.json"))["partial"], partial);
        let read = |name: &str| std::fs::read_to_string(limited.join("gradus-run").join(name)).unwrap();
        assert!(read("export/README.md").contains("**Partial:** the budget ended the run"));
        assert!(read("report.html").contains("Partial: the budget ended the run"));
        let closing = String::from_utf8(output.stdout).unwrap();
        assert!(closing.contains("note      the budget ended the run") && closing.contains("not_asked"), "{closing}");
    }
    phases.dedup();
    assert_eq!(phases, ["probe", "distil"], "the budget stops either stage");
    assert_eq!(n_requests(&server) - n_free, n_free, "nothing is asked twice, and nothing is left out");
    let tables = |folder: &Path| files(&folder.join("gradus-run/tables"));
    assert_eq!(tables(limited), tables(free));
    assert!(!std::fs::read_to_string(limited.join("gradus-run/report.html")).unwrap().contains("Partial:"));
}

#[test]
fn a_partial_run_stays_marked_when_report_or_verdicts_are_made_again() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "budget: {max_tokens: 2000}\n");
    assert_eq!(gradus(folder, &["run", "-q"]).status.code(), Some(4));
    let n_asked = n_requests(&server);
    for again in [["report", "-d", "gradus-run"], ["judge", "-d", "gradus-run"]] {
        assert!(gradus(folder, &again).status.success());
        assert_eq!(json(&folder.join("gradus-run/metrics.json"))["partial"]["max_tokens"], 2_000, "{again:?}");
    }
    assert_eq!(n_requests(&server), n_asked);
}

#[test]
fn a_budget_in_dollars_wants_a_price_for_every_model() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "budget: {max_usd: 1}\n");
    std::fs::write(folder.join("prices.json"), r#"{"pupil": {"input_cost_per_token": 0, "output_cost_per_token": 0}}"#)
        .unwrap();
    let output = gradus(folder, &["run"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("`budget.max_usd` is set, but `teacher[0]`") && told.contains("hint: add `price:"), "{told}");
    // The teacher is not asked here.
    assert_eq!(gradus(folder, &["probe", "-q"]).status.code(), Some(0));
    for (list, wanted) in [("[]", "expected a price list"), ("{\"a\": {}}", "no entry with both prices")] {
        std::fs::write(folder.join("prices.json"), list).unwrap();
        let output = gradus(folder, &["probe"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(wanted) && stderr(&output).contains("prices.json"), "{}", stderr(&output));
    }
    std::fs::remove_file(folder.join("prices.json")).unwrap();
    assert!(stderr(&gradus(folder, &["probe"])).contains("prices.json"));
}

#[test]
fn a_question_is_given_up_when_its_own_budget_is_used_up() {
    let server = Mock::start(|mock| mock.args(["--model", "pupil", "--model", "sage", "--right-rate", "0"]));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, &server, "");
    let asked = |set: &str| {
        let before = n_requests(&server);
        let output = gradus(folder, &["run", "-q", "--json", "--set", set]);
        assert!(output.status.success(), "{}", stderr(&output));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        (n_requests(&server) - before, summary["dropped"].to_string())
    };
    let (first, dropped) = asked("distil.max_tokens_per_question=1");
    assert_eq!(first, 24 * 2 + 8, "one try for each of eight questions");
    assert!(dropped.contains("question_budget"), "{dropped}");
    let (second, dropped) = asked("distil.max_usd_per_question=1000");
    assert_eq!(second, 8 * 4, "the other tries, and none of them twice");
    assert!(dropped.contains("no_correct_cot") && !dropped.contains("question_budget"), "{dropped}");
}
