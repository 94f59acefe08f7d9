//! Compares verdicts with the labels of recorded answers: `cargo run --release -p gradus-verify
//! --example recordings -- ../shared/data gsm8k_zeroeval math_l5_zeroeval ... [--show N]`.
//!
//! A label is no truth: most were computed by other graders. Prints agreement per file and, with
//! `--show`, disagreements spread over the file.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, verify};
use serde_json::Value;

fn rows(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).expect("the file is readable");
    let bytes = zstd::decode_all(&bytes[..]).expect("the file is zstd");
    let text = String::from_utf8(bytes).expect("the file is UTF-8");
    text.split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect()
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut show = 0;
    if let Some(at) = arguments.iter().position(|a| a == "--show") {
        show = arguments.get(at + 1).and_then(|n| n.parse().ok()).unwrap_or(20);
        arguments.truncate(at);
    }
    let Some((folder, files)) = arguments.split_first() else {
        println!("usage: recordings FOLDER FILE...");
        return;
    };
    let folder = Path::new(folder);
    let mut questions: HashMap<String, (Kind, String)> = HashMap::new();
    let listing = std::fs::read_dir(folder.join("questions")).expect("the questions are there");
    for entry in listing.flatten() {
        for row in rows(&entry.path()) {
            let Some(id) = row["id"].as_str() else { continue };
            let answer = match &row["answer"] {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            let kind = if row["kind"] == "choice" { Kind::Choice } else { Kind::Math };
            questions.insert(id.to_owned(), (kind, answer));
        }
    }
    for file in files {
        let recordings = rows(&folder.join("recordings").join(format!("{file}.jsonl.zst")));
        let (mut n, mut agree, mut more, mut less, mut undecided, mut none) = (0u32, 0u32, 0u32, 0u32, 0u32, 0u32);
        let mut disagreements = Vec::new();
        let mut bytes = 0;
        let start = Instant::now();
        for row in &recordings {
            let Some(label) = row["correct"].as_bool() else { continue };
            let Some((kind, gold)) = row["question_id"].as_str().and_then(|id| questions.get(id)) else { continue };
            let response = row["response"].as_str().unwrap_or("");
            bytes += response.len();
            let reference = Reference { kind: *kind, values: vec![gold.clone()], tolerance: None, options: Vec::new() };
            let verdict = verify(&reference, &Answer { text: response, form: Form::Text });
            n += 1;
            match verdict.outcome {
                Outcome::Undecided => undecided += 1,
                Outcome::NoAnswer => none += u32::from(label),
                _ => {}
            }
            let ours = verdict.outcome == Outcome::Correct;
            if ours == label {
                agree += 1;
                continue;
            }
            if ours {
                more += 1;
            } else {
                less += 1;
            }
            disagreements.push((gold.clone(), row, verdict));
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{file}: n {n}, agree {agree} ({:.2} %), right only here {more}, right only there {less}, undecided {undecided}, no answer but labelled right {none}, {:.0}/s, {:.0} MB/s",
            100.0 * f64::from(agree) / f64::from(n.max(1)),
            f64::from(n) / seconds,
            bytes as f64 / seconds / 1e6
        );
        let step = (disagreements.len() / show.max(1)).max(1);
        for (gold, row, verdict) in disagreements.iter().step_by(step).take(show) {
            println!(
                "  label {} ({}) gold {:?} theirs {} ours {:?} by {} -> {:?} ({})",
                row["correct"],
                row["correct_by"].as_str().unwrap_or(""),
                gold,
                row["extracted"],
                verdict.extracted.as_ref().map(|e| e.text.chars().take(120).collect::<String>()),
                verdict.extracted.as_ref().map_or("", |e| e.rule),
                verdict.outcome,
                verdict.method,
            );
        }
    }
}
