//! What it costs to look for near duplicates in a large bank.
//!
//! `cargo bench -p gradus --bench hygiene -- [QUESTIONS]`: questions of some 50 words, made from a seed; each tenth
//! repeats an earlier one with a word replaced, each tenth differs from one in a number alone. Prints what was
//! found of what was planted, CPU seconds and peak memory of the process.

use std::fmt::Write as _;
use std::path::Path;

use gradus::config::{Action, BankConfig, Config, Families, Hygiene};
use gradus::hygiene::near::{Found, Near};
use gradus::hygiene::text::mix;
use gradus::ingest::Ingest;
use gradus::question::{Kind, Question};

/// Words that questions are made of, in a distribution like that of a language.
const VOCABULARY: u64 = 20_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let n: u64 = arguments.next().map_or(1_000_000, |n| n.parse().expect("a number of questions"));
    let mut near = Near::new(0.8, 3);
    (0..n).for_each(|i| near.add(&question(&text(i, n))));
    println!("{n} questions added: {:.0} CPU seconds, {:.0} MB at most", cpu_seconds(), peak_mb());
    let found = near.find();
    println!("compared: {:.0} CPU seconds, {:.0} MB at most", cpu_seconds(), peak_mb());
    tell(&found, n);
    drop(found);
    if n <= 200_000 {
        through_ingest(n);
    }
}

/// The same from a file, with everything that a run does.
fn through_ingest(n: u64) {
    let before = cpu_seconds();
    let folder = std::env::temp_dir().join(format!("gradus-hygiene-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let mut lines = String::new();
    for i in 0..n {
        writeln!(lines, "{}", serde_json::json!({"question": text(i, n), "answer": "1"})).expect("text is writable");
    }
    std::fs::write(folder.join("bank.jsonl"), lines).expect("a file can be written");
    let bank = vec![BankConfig { path: "bank.jsonl".into(), ..BankConfig::default() }];
    let hygiene = Hygiene { near_duplicates: Action::Drop, families: Families::Report, ..Hygiene::default() };
    let ingest =
        Ingest::open(&Config { bank, hygiene, ..Config::default() }, Path::new(&folder)).expect("the bank is right");
    println!("through ingest: {} kept, {:.0} CPU seconds", ingest.summary().kept, cpu_seconds() - before);
    std::fs::remove_dir_all(&folder).expect("it is there");
}

fn tell(found: &Found, n: u64) {
    let planted = |i: usize| is_copy(i as u64);
    let n_planted = (0..n as usize).filter(|i| planted(*i)).count();
    let n_right = found
        .duplicates
        .iter()
        .filter(|pair| planted(pair.question) && pair.of as u64 == original(pair.question as u64))
        .count();
    println!(
        "{} near duplicates, {n_right} of {n_planted} planted ones found with their original; {} families with {} questions; \
         {} limited",
        found.duplicates.len(),
        found.families.len(),
        found.families.iter().map(Vec::len).sum::<usize>(),
        found.n_limited
    );
}

fn is_copy(i: u64) -> bool {
    i >= 10 && i % 10 == 7
}

/// The question that a copy is made of: no copy itself.
fn original(i: u64) -> u64 {
    mix(3, i) % (i / 10) * 10
}

/// The words of question `i`.
fn text(i: u64, n: u64) -> String {
    let variant = i >= 10 && i % 10 == 8;
    let from = if is_copy(i) || variant { original(i) } else { i };
    let n_words = 40 + mix(1, from) % 20;
    let mut text = String::new();
    for at in 0..n_words {
        let draw = mix(from * 1000 + at, 2);
        let replaced = is_copy(i) && at == 11;
        if at % 12 == 5 {
            let number = if variant && at == 5 { n + i } else { draw % 1000 };
            write!(text, "{number} ").expect("text is writable");
        } else if replaced {
            text.push_str(&word(VOCABULARY + i % 100));
        } else {
            // Few words are frequent, many are rare: the square of a uniform draw.
            let share = (draw % 1_000_003) as f64 / 1_000_003.0;
            text.push_str(&word((share * share * VOCABULARY as f64) as u64));
        }
    }
    text
}

/// A word of letters, and a blank.
fn word(mut n: u64) -> String {
    let mut word = String::from("w");
    while n > 0 {
        word.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    word + " "
}

fn question(text: &str) -> Question {
    Question { references: vec!["1".into()], ..Question::bare(Kind::Math, text) }
}

/// CPU time of this process, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("the name stands in brackets").split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    peak.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1e3
}
