//! Solutions known to be right pass their tests. A sample by default; all of them with `GRADUS_ALL=1`.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use gradus_sandbox::{Limits, Outcome, Policy, Program, Sandbox, Tests, extract_code, join_completion};
use serde_json::Value;

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::new(Policy::default()).expect("programs can be isolated here"));

/// Runs the rows' solutions and returns how many passed all tests, out of how many; prints the rest.
fn passed(file: &str, every: usize, program: impl Fn(&Value) -> String + Sync) -> Option<(usize, usize)> {
    let all = std::env::var_os("GRADUS_ALL").is_some();
    let rows: Vec<_> = common::rows(file)?.into_iter().step_by(if all { 1 } else { every }).collect();
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run(&program(row), &row["tests"]);
                    if outcome.all_passed() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let test = outcome.tests.iter().find(|test| test.status != gradus_sandbox::Status::Passed);
                        failed.lock().unwrap().push(format!(
                            "{} {}/{}: {:?}",
                            row["id"],
                            outcome.passed(),
                            outcome.total,
                            test
                        ));
                    }
                }
            });
        }
    });
    let passed = passed.into_inner();
    println!("{file}: {passed} of {} pass", rows.len());
    for line in failed.into_inner().unwrap() {
        println!("  {line}");
    }
    Some((passed, rows.len()))
}

fn run(source: &str, tests: &Value) -> Outcome {
    let tests: Tests = serde_json::from_value(tests.clone()).expect("the data has tests of this form");
    SANDBOX.run(&Program { language: "python".into(), source: source.into() }, &tests, &LIMITS)
}

/// The limits of a run, with so much wall time that a busy machine is no reason for a verdict.
const LIMITS: Limits = Limits {
    cpu_ms: 10_000,
    wall_ms: 180_000,
    memory_bytes: 1 << 30,
    output_bytes: 1 << 20,
    file_bytes: 16 << 20,
    processes: 32,
};

fn solution(row: &Value) -> String {
    row["meta"]["canonical_solution"].as_str().expect("the row has a solution").to_owned()
}

#[test]
fn solutions_of_humaneval_pass() {
    let joined = |row: &Value| join_completion(row["question"].as_str().unwrap(), &solution(row));
    if let Some((passed, n)) = passed("questions/humaneval.jsonl.zst", 4, joined) {
        assert_eq!(passed, n);
    }
}

#[test]
fn solutions_of_mbpp_pass() {
    if let Some((passed, n)) = passed("questions/mbpp.jsonl.zst", 20, solution) {
        assert!(passed + 1 >= n, "{passed} of {n}");
    }
}

#[test]
fn solutions_of_leetcode_pass() {
    if let Some((passed, n)) = passed("questions/leetcode_test.jsonl.zst", 5, solution) {
        assert!(passed * 200 >= n * 195, "{passed} of {n}");
    }
}

#[test]
fn solutions_with_lists_and_trees_pass() {
    if std::env::var_os("GRADUS_ALL").is_none() {
        println!("skipped: set GRADUS_ALL=1");
        return;
    }
    if let Some((passed, n)) = passed("questions/leetcode_train.jsonl.zst", 1, solution) {
        assert!(passed * 1000 >= n * 975, "{passed} of {n}");
    }
}

#[test]
fn recorded_verdicts_are_found_again() {
    let file = "recordings/humaneval_codegen16b_100x.jsonl.zst";
    let (Some(questions), Some(rows)) = (common::rows("questions/humaneval.jsonl.zst"), common::rows(file)) else {
        return;
    };
    let questions: HashMap<_, _> = questions.iter().map(|row| (row["id"].as_str().unwrap(), row)).collect();
    let every = if std::env::var_os("GRADUS_ALL").is_some() { 1 } else { 20 };
    let rows: Vec<_> = rows.into_iter().filter(|row| row["correct"].is_boolean()).step_by(every).collect();
    let (next, agreed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let limits = Limits { cpu_ms: 3_000, ..LIMITS };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let question = questions[row["question_id"].as_str().unwrap()];
                    let source =
                        join_completion(question["question"].as_str().unwrap(), row["response"].as_str().unwrap());
                    let tests: Tests = serde_json::from_value(question["tests"].clone()).unwrap();
                    let outcome = SANDBOX.run(&Program { language: "python".into(), source }, &tests, &limits);
                    if outcome.sandbox_error().is_none() && outcome.all_passed() == row["correct"].as_bool().unwrap() {
                        agreed.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let test = outcome.tests.iter().find(|test| test.status != gradus_sandbox::Status::Passed);
                        println!(
                            "  {} sample {}: recorded {}, found {test:?}",
                            row["question_id"], row["sample"], row["correct"]
                        );
                    }
                }
            });
        }
    });
    let agreed = agreed.into_inner();
    println!("{file}: {agreed} of {} verdicts agree", rows.len());
    assert!(agreed * 1000 >= rows.len() * 995, "{agreed} of {}", rows.len());
}

#[test]
fn programs_that_passed_hidden_tests_pass_the_public_ones() {
    let file = "recordings/lcb_o1.jsonl.zst";
    let (Some(questions), Some(rows)) = (common::rows("questions/livecodebench_880.jsonl.zst"), common::rows(file))
    else {
        return;
    };
    let questions: HashMap<_, _> = questions.iter().map(|row| (row["id"].as_str().unwrap(), row)).collect();
    let extracted = rows.iter().filter(|row| {
        extract_code(row["response"].as_str().unwrap(), "python").unwrap_or_default().trim()
            == row["extracted"].as_str().unwrap_or_default().trim()
    });
    println!("{file}: {} of {} programs found as recorded", extracted.count(), rows.len());
    let every = if std::env::var_os("GRADUS_ALL").is_some() { 1 } else { 20 };
    let right = rows.iter().filter(|row| row["correct"] == true);
    let right = right.filter_map(|row| Some((row, questions.get(row["question_id"].as_str()?)?)));
    // Cases taken from the statement's text: some outputs hold the explanation too, some inputs blank lines between all.
    let clean =
        |case: &&Value| [&case["input"], &case["output"]].iter().all(|text| !text.as_str().unwrap().contains("\n\n"));
    let tests = |question: &Value| {
        let cases: Vec<_> = question["tests"]["cases"].as_array()?.iter().filter(clean).cloned().collect();
        (!cases.is_empty()).then(|| serde_json::json!({"type": "stdin", "cases": cases}))
    };
    let right: Vec<_> = right.filter_map(|(row, question)| Some((row, tests(question)?))).step_by(every).collect();
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((row, tests)) = right.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run(extract_code(row["response"].as_str().unwrap(), "python").unwrap(), tests);
                    if outcome.all_passed() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    } else {
                        let test = outcome.tests.iter().find(|test| test.status != gradus_sandbox::Status::Passed);
                        println!("  {} sample {}: {test:?}", row["question_id"], row["sample"]);
                    }
                }
            });
        }
    });
    let passed = passed.into_inner();
    println!("{file}: {passed} of {} pass", right.len());
    // What is left in 264: outputs that are prose of the statement (5), a line end of another system, a package.
    assert!(right.len() - passed <= 1 + right.len() * 3 / 100, "{passed} of {}", right.len());
}

#[test]
fn functional_tests_of_livecodebench_tell_right_from_wrong() {
    let long = "1".repeat(40);
    let cases = serde_json::json!([
        {"input": format!("[2, 1]\n{long}\n"), "output": format!("[1, 2, {long}]"), "testtype": "functional"},
        {"input": "[]\n\"\\u00e9\"", "output": "[\"é\"]", "testtype": "functional"},
    ]);
    let row = serde_json::json!({"public_test_cases": cases.to_string(), "metadata": {"func_name": "join"}});
    let tests = gradus_sandbox::from_livecodebench(&row).unwrap();
    let passed = |body: &str| {
        let source = format!("class Solution:\n    def join(self, a: List[int], b):\n        return {body}\n");
        let outcome = SANDBOX.run(&Program { language: "python".into(), source }, &tests, &Limits::default());
        assert_eq!((outcome.sandbox_error(), outcome.total), (None, 2), "{outcome:?}");
        outcome.passed()
    };
    assert_eq!(passed("sorted(a) + [b]"), 2);
    assert_eq!(passed("(*sorted(a), b)"), 2);
    assert_eq!(passed("sorted(a) + [float(b) if a else b]"), 1);
    assert_eq!(passed("a"), 0);
}
