//! Measures the verifier on labelled cases: `cargo run --release -p gradus-verify --example cases
//! -- ../shared/data/math-cases [wrong]`.
//!
//! Prints right, false positives, false negatives and undecided per policy and kind; with `wrong`
//! also every row that went wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, verify};
use serde_json::Value;

#[derive(Default, Clone)]
struct Tally {
    n: usize,
    right: usize,
    false_positive: usize,
    false_negative: usize,
    undecided: usize,
}

fn rows(path: &Path) -> Vec<Value> {
    let bytes = std::fs::read(path).expect("the case file is readable");
    let bytes = zstd::decode_all(&bytes[..]).expect("the case file is zstd");
    let text = String::from_utf8(bytes).expect("the case file is UTF-8");
    text.split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect()
}

fn field<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or("")
}

fn reference(gold: &str, kind: Kind) -> Reference {
    Reference { kind, values: vec![gold.to_owned()], tolerance: None, options: Vec::new() }
}

impl Tally {
    fn count(&mut self, outcome: Outcome, expected: bool) -> bool {
        self.n += 1;
        let right = match outcome {
            Outcome::Correct => expected,
            Outcome::Incorrect | Outcome::NoAnswer => !expected,
            Outcome::Undecided => {
                self.undecided += 1;
                false
            }
        };
        if right {
            self.right += 1;
        } else if outcome == Outcome::Correct {
            self.false_positive += 1;
        } else if outcome != Outcome::Undecided {
            self.false_negative += 1;
        }
        right
    }

    fn print(&self, name: &str) {
        let share = 100.0 * self.right as f64 / self.n.max(1) as f64;
        println!(
            "{name:<34} n {:>5}  right {:>5} ({share:6.2} %)  fp {:>3}  fn {:>3}  undecided {:>3}",
            self.n, self.right, self.false_positive, self.false_negative, self.undecided
        );
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "../shared/data/math-cases".into());
    let show = arguments.next().unwrap_or_default();
    let folder = Path::new(&folder);
    if !folder.exists() {
        println!("no cases at {}", folder.display());
        return;
    }
    let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
    let cases = rows(&folder.join("cases.jsonl.zst"));
    let start = Instant::now();
    let mut slowest = (0.0f64, String::new());
    for row in &cases {
        if row["disputed"].as_bool() == Some(true) {
            continue;
        }
        let (policy, kind) = (field(row, "policy"), field(row, "kind"));
        let form = if field(row, "form") == "text" { Form::Text } else { Form::Bare };
        let compare_as = if kind == "choice" { Kind::Choice } else { Kind::Math };
        let expected = row["expected"].as_bool().unwrap_or(false);
        let one = Instant::now();
        let verdict = verify(&reference(field(row, "gold"), compare_as), &Answer { text: field(row, "pred"), form });
        let took = one.elapsed().as_secs_f64() * 1e3;
        if show == "slow" && took > 0.3 {
            println!("{took:.2} ms {} {:?} {:?}", verdict.method, field(row, "gold"), field(row, "pred"));
        }
        if took > slowest.0 {
            slowest = (took, field(row, "id").to_owned());
        }
        let right = tallies.entry((policy.to_owned(), kind.to_owned())).or_default().count(verdict.outcome, expected);
        if !right && (show == "wrong" || show == policy) {
            let short = |s: &str| s.chars().rev().take(160).collect::<Vec<_>>().into_iter().rev().collect::<String>();
            println!(
                "{policy}/{kind} expected {expected}, got {:?} by {}\n   gold {:?}\n   pred {:?}\n   found {:?} {}\n   {}",
                verdict.outcome,
                verdict.method,
                short(field(row, "gold")),
                short(field(row, "pred")),
                verdict.extracted.as_ref().map(|e| short(&e.text)),
                verdict.extracted.as_ref().map_or("", |e| e.rule),
                verdict.explanation
            );
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut policies: BTreeMap<&str, Tally> = BTreeMap::new();
    for ((policy, kind), tally) in &tallies {
        tally.print(&format!("{policy}/{kind}"));
        let sum = policies.entry(policy).or_default();
        sum.n += tally.n;
        sum.right += tally.right;
        sum.false_positive += tally.false_positive;
        sum.false_negative += tally.false_negative;
        sum.undecided += tally.undecided;
    }
    for (policy, tally) in &policies {
        tally.print(&format!("= {policy}"));
    }
    println!("{:.0} pairs/s, slowest {:.2} ms ({})", cases.len() as f64 / seconds, slowest.0, slowest.1);

    let responses = rows(&folder.join("responses.jsonl.zst"));
    let mut tally = Tally::default();
    let start = Instant::now();
    for row in &responses {
        let expected = row["expected"].as_bool().unwrap_or(false);
        let answer = Answer { text: field(row, "response"), form: Form::Text };
        let verdict = verify(&reference(field(row, "gold"), Kind::Math), &answer);
        if !tally.count(verdict.outcome, expected) && (show == "wrong" || show == "responses") {
            println!(
                "response expected {expected}, got {:?}: gold {:?} found {:?} {:?} {}",
                verdict.outcome,
                field(row, "gold"),
                verdict.extracted.as_ref().map(|e| (&e.text, e.rule)),
                field(row, "final"),
                verdict.explanation
            );
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    tally.print("= responses");
    println!("{:.0} responses/s", responses.len() as f64 / seconds);

    let golds = rows(&folder.join("golds.jsonl.zst"));
    let (mut parsed, mut words, mut same) = (0, 0, 0);
    for row in &golds {
        let gold = field(row, "gold");
        let verdict = verify(&reference(gold, Kind::Math), &Answer { text: gold, form: Form::Bare });
        let kind = verdict.method.split('=').next();
        let text = matches!(kind, Some("word" | "text" | "unread"));
        parsed += usize::from(!text);
        words += usize::from(kind == Some("word"));
        same += usize::from(verdict.outcome == Outcome::Correct);
        if (text || verdict.outcome != Outcome::Correct) && show == "golds" {
            println!("gold {:?} {:?} {}", verdict.outcome, gold, verdict.method);
        }
    }
    println!(
        "golds {}: read as mathematics {parsed} ({:.2} %), as words {words}, equal to themselves {same} ({:.2} %)",
        golds.len(),
        100.0 * f64::from(parsed as u32) / golds.len() as f64,
        100.0 * f64::from(same as u32) / golds.len() as f64
    );
}
