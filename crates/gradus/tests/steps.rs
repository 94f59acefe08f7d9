//! Solutions whose steps somebody wrote down one by one: does the splitter find the same steps?

use std::path::Path;

use gradus::config::{SplitBy, StepSplit};
use gradus::steps::split;
use serde_json::Value;

/// How many recorded steps come back as a step of their own, of all of them, when they are written one behind the
/// other with `between`.
fn recovered(file: &str, config: &StepSplit, between: &str) -> Option<(usize, usize)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/steps").join(file);
    let Ok(packed) = std::fs::read(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    let rows = String::from_utf8(zstd::stream::decode_all(&packed[..]).unwrap()).unwrap();
    let (mut n_found, mut n_steps) = (0, 0);
    for row in rows.split('\n').filter(|row| !row.trim().is_empty()) {
        let row: Value = serde_json::from_str(row).unwrap();
        let steps: Vec<&str> = row["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
        let text = steps.join(between);
        let spans = split(config, &text);
        assert_eq!(spans.iter().map(|span| &text[span.clone()]).collect::<String>(), text);
        let found: Vec<&str> = spans.into_iter().map(|span| text[span].trim()).collect();
        n_found += steps.iter().filter(|step| found.contains(&step.trim())).count();
        n_steps += steps.len();
    }
    Some((n_found, n_steps))
}

#[test]
fn recorded_steps_are_recovered() {
    let whole = |by| StepSplit { by, fragment: 0, max_steps: u32::MAX };
    let usual = |by| StepSplit { by, ..StepSplit::default() };
    for (file, config, between, least) in [
        // Nothing but what a step itself may hold (a blank line, a head) can be in the way.
        ("mr_gsm8k_subset.jsonl.zst", whole(SplitBy::Heads), "\n", 0.99),
        ("mr_gsm8k_subset.jsonl.zst", whole(SplitBy::Paragraphs), "\n\n", 0.99),
        ("bigbench_mistake.jsonl.zst", whole(SplitBy::Paragraphs), "\n\n", 0.99),
        ("bigbench_mistake.jsonl.zst", whole(SplitBy::Lines), "\n", 0.99),
        // Short steps are joined by intent: `#### 12` is no step of its own.
        ("mr_gsm8k_subset.jsonl.zst", usual(SplitBy::Heads), "\n", 0.5),
        ("mr_gsm8k_subset.jsonl.zst", usual(SplitBy::Paragraphs), "\n\n", 0.5),
        ("bigbench_mistake.jsonl.zst", usual(SplitBy::Paragraphs), "\n\n", 0.5),
    ] {
        let Some((n_found, n_steps)) = recovered(file, &config, between) else { return };
        println!("{file}, {config:?}, {between:?} between: {n_found} of {n_steps} steps recovered");
        assert!(n_found as f64 >= least * n_steps as f64, "{n_found} of {n_steps}");
    }
}
