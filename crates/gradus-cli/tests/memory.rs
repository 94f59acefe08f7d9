//! The real binary holds no list of questions' answers: its memory hardly grows with the bank.
//!
//! A small form of `benches/scale.rs`, which measures 100,000 questions.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gradus_model::mock::reply::Replies;
use gradus_model::mock::{Mock, MockConfig};
use serde_json::json;

/// Tokens of each reply, of some four bytes each.
const TOKENS: usize = 6_000;

/// Peak memory in kB of a probe of so many questions.
fn peak(n_questions: usize) -> u64 {
    let home = tempfile::tempdir().unwrap();
    let mut replies = Replies::default();
    replies.tokens = TOKENS;
    let mock = Mock::start(MockConfig { replies, ..MockConfig::default() }).unwrap();
    let mut bank = String::new();
    for n in 0..n_questions {
        writeln!(bank, "{}", json!({ "question": format!("How much is {n} plus one?"), "answer": n.to_string() }))
            .unwrap();
    }
    std::fs::write(home.path().join("bank.jsonl"), bank).unwrap();
    let config = json!({
        "bank": { "path": "bank.jsonl" },
        "student": { "model": format!("openai:{}#mock", mock.url()), "stream": false },
        "driver": { "in_flight": 32 },
    });
    std::fs::write(home.path().join("gradus.yaml"), config.to_string()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["probe", "--quiet"])
        .current_dir(home.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = Path::new("/proc").join(child.id().to_string()).join("status");
    let mut peak = 0;
    loop {
        // Gone as soon as the process ends.
        let now = std::fs::read_to_string(&status).unwrap();
        let high = now.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = high.map_or(peak, |high| high.trim().trim_end_matches(" kB").parse().unwrap());
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            assert_eq!(mock.stats().answered, n_questions as u64);
            return peak;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn memory_does_not_grow_with_the_answers() {
    let (few, many) = (peak(1_000), peak(5_000));
    let written = 4_000 * TOKENS as u64 * 4 / 1_000;
    let growth = many.saturating_sub(few);
    println!("{few} kB for 1,000 questions, {many} kB for 5,000; the further answers have about {written} kB");
    assert!(growth < written / 2, "memory grew by {growth} kB over {written} kB of answers");
}
