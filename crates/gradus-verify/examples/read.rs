//! What extraction and reading cost without deciding: rows as `gradus verify --jsonl` takes them, on
//! one thread. `bench/verify` runs it beside the verifier; an empty line flushes.

use std::io::{BufRead, Write};

use gradus_verify::{Kind, extract, read_as};
use serde_json::{Value, json};

fn main() {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the input is UTF-8");
        if line.is_empty() {
            out.flush().expect("somebody reads the output");
            continue;
        }
        let row: Value = serde_json::from_str(&line).expect("every line is JSON");
        let text = |name: &str| row[name].as_str().unwrap_or("");
        let (reference, answer) = (text("reference"), text("answer"));
        let found = if text("form") == "text" { extract(answer, Kind::Math) } else { None };
        let answer = found.as_ref().map_or(answer, |found| found.text.as_str());
        let reply = json!({ "id": row["id"], "reference": read_as(reference), "answer": read_as(answer) });
        writeln!(out, "{reply}").expect("somebody reads the output");
    }
}
