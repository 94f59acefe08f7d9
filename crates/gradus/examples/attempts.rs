//! How many attempts does a level need? `cargo run --release -p gradus --example attempts -- RUN_DIR [--scores FILE]`.
//!
//! Takes a run in which a student was probed many times. Again and again the attempts of every question are split in two
//! halves; a grader sees attempts of the first half only, and its estimate is compared with the pass rate in the second
//! (Spearman over questions). Prints one line per grader: fixed numbers of attempts, adaptive ones, the mean share of
//! tests passed, and a reward model's mean score where a recording holds it (`meta.rm_score`). Seeing all of the first
//! half is the ceiling: what is missing to 1 is noise of the second half and of ties.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use gradus::adaptive::is_enough;
use gradus::config::{Adaptive, Grade, Grader};
use gradus::stats::draw;
use gradus::stats::rank::{bootstrap, spearman};
use gradus::tables::{AttemptRow, VerdictRow, each};
use serde_json::Value;

/// Splits per question; figures are means over them.
const N_SPLITS: u64 = 20;

/// What is known of one attempt.
#[derive(Clone, Copy, Default)]
struct Attempt {
    /// Right or wrong; none if undecided.
    correct: Option<bool>,
    /// Share of tests passed.
    tests: Option<f64>,
    /// A reward model's score.
    reward: Option<f64>,
}

/// What a grader makes of the attempts it may see: its estimate, and how many it looked at.
type See = dyn Fn(&[Attempt]) -> Option<(f64, usize)>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(folder) = arguments.first() else {
        println!("usage: attempts RUN_DIR [--scores FILE]");
        return;
    };
    let scores = arguments.iter().position(|argument| argument == "--scores").and_then(|at| arguments.get(at + 1));
    let questions = attempts(&Path::new(folder).join("tables"), scores.map(Path::new));
    let n_half = questions.values().map(Vec::len).min().unwrap_or(0) / 2;
    if n_half == 0 {
        println!("{folder}: no question has two attempts");
        return;
    }
    println!("{} questions, {n_half} attempts seen at most, {n_half} to compare with", questions.len());
    println!("| grader | attempts asked | Spearman | 95 % interval | less the ceiling |");
    println!("|---|---|---|---|---|");
    let splits: Vec<Vec<(Vec<Attempt>, f64)>> = (0..N_SPLITS).map(|split| halves(&questions, split, n_half)).collect();
    let ceiling = measure(&splits, &fixed(n_half));
    for (name, see) in graders(n_half) {
        let measured = measure(&splits, &*see);
        if measured.iter().flatten().all(|pair| pair.estimate.is_none()) {
            continue;
        }
        print_line(&name, &measured, &ceiling);
    }
}

/// The attempts of every question, in order.
fn attempts(tables: &Path, scores: Option<&Path>) -> BTreeMap<String, Vec<Attempt>> {
    let mut numbers = HashMap::new();
    each::<AttemptRow>(tables, |row| {
        numbers.insert(row.attempt_id, row.attempt);
    })
    .expect("the run has a table of attempts");
    let mut questions: BTreeMap<String, BTreeMap<i64, Attempt>> = BTreeMap::new();
    each::<VerdictRow>(tables, |row| {
        let Some(number) = numbers.get(&row.attempt_id) else { return };
        let tests = row.tests_passed.zip(row.tests_total).map(|(passed, total)| passed as f64 / total.max(1) as f64);
        let correct = match row.verdict.as_str() {
            "correct" => Some(true),
            "undecided" => None,
            _ => Some(false),
        };
        questions.entry(row.question_id).or_default().insert(*number, Attempt { correct, tests, reward: None });
    })
    .expect("the run has a table of verdicts");
    if let Some(path) = scores {
        add_rewards(tables, path, &mut questions);
    }
    questions.into_iter().map(|(id, attempts)| (id, attempts.into_values().collect())).collect()
}

/// Scores stand in the recording under the bank's ids.
fn add_rewards(tables: &Path, recording: &Path, questions: &mut BTreeMap<String, BTreeMap<i64, Attempt>>) {
    let mut ids = HashMap::new();
    each::<gradus::tables::QuestionRow>(tables, |row| {
        ids.extend(row.source_ids.into_iter().map(|source| (source, row.question_id.clone())));
    })
    .expect("the run has a table of questions");
    let bytes = zstd::decode_all(std::fs::File::open(recording).expect("the recording is there")).expect("it is zstd");
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let row: Value = serde_json::from_slice(line).expect("every line is a recorded answer");
        let id = row["question_id"].as_str().and_then(|id| ids.get(id));
        let attempt = id.and_then(|id| questions.get_mut(id)?.get_mut(&row["sample"].as_i64()?));
        if let Some(attempt) = attempt {
            attempt.reward = row["meta"]["rm_score"][0].as_f64();
        }
    }
}

/// Per question, what a grader may see, in a drawn order, and the pass rate of the rest.
fn halves(questions: &BTreeMap<String, Vec<Attempt>>, split: u64, n_half: usize) -> Vec<(Vec<Attempt>, f64)> {
    let mut halves = Vec::new();
    for (id, attempts) in questions {
        let mut order: Vec<usize> = (0..attempts.len()).collect();
        order.sort_by_key(|at| draw(split, id, &at.to_le_bytes()));
        let (seen, rest) = order.split_at(n_half);
        let rest: Vec<bool> = rest.iter().take(n_half).filter_map(|&at| attempts[at].correct).collect();
        if !rest.is_empty() {
            let rate = rest.iter().filter(|correct| **correct).count() as f64 / rest.len() as f64;
            halves.push((seen.iter().map(|&at| attempts[at]).collect(), rate));
        }
    }
    halves
}

fn graders(n_half: usize) -> Vec<(String, Box<See>)> {
    let mut graders: Vec<(String, Box<See>)> = Vec::new();
    for n in (0..).map(|power| 1 << power).take_while(|n| *n < n_half).chain([n_half]) {
        graders.push((format!("pass rate, {n} fixed"), Box::new(fixed(n))));
    }
    for max_width in [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2] {
        for min_attempts in [1, 2, 3] {
            let name = format!("pass rate, adaptive: min {min_attempts}, width {max_width}");
            graders.push((name, Box::new(adaptive(Adaptive { min_attempts, max_width }, n_half))));
        }
    }
    for n in [1, 2, 4] {
        if n <= n_half {
            graders.push((format!("tests passed, {n} fixed"), Box::new(mean(n, |attempt| attempt.tests))));
            graders.push((format!("reward score, {n} fixed"), Box::new(mean(n, |attempt| attempt.reward))));
        }
    }
    graders
}

fn fixed(n: usize) -> impl Fn(&[Attempt]) -> Option<(f64, usize)> {
    mean(n, |attempt| attempt.correct.map(|correct| f64::from(u8::from(correct))))
}

/// Mean of a value over the first `n` attempts that have it.
fn mean(n: usize, value: impl Fn(&Attempt) -> Option<f64>) -> impl Fn(&[Attempt]) -> Option<(f64, usize)> {
    move |seen| {
        let values: Vec<f64> = seen[..n].iter().filter_map(&value).collect();
        (!values.is_empty()).then(|| (values.iter().sum::<f64>() / values.len() as f64, n))
    }
}

/// The pass rate where the product's own rule stops, never beyond the half.
fn adaptive(config: Adaptive, n_half: usize) -> impl Fn(&[Attempt]) -> Option<(f64, usize)> {
    let grade = Grade { grader: Grader::PassRate, ..Grade::default() };
    move |seen| {
        let counted: Vec<Option<bool>> = seen.iter().map(|attempt| attempt.correct).collect();
        let n = (0..=n_half).find(|&n| is_enough(&config, &grade, &counted[..n], (n_half - n) as u32))?;
        fixed(n)(seen)
    }
}

/// A question under one grader.
#[derive(Clone, Copy)]
struct Pair {
    estimate: Option<f64>,
    n_asked: usize,
    truth: f64,
}

fn measure(splits: &[Vec<(Vec<Attempt>, f64)>], see: &See) -> Vec<Vec<Pair>> {
    let pair = |(seen, truth): &(Vec<Attempt>, f64)| {
        let looked = see(seen);
        Pair { estimate: looked.map(|looked| looked.0), n_asked: looked.map_or(0, |looked| looked.1), truth: *truth }
    };
    splits.iter().map(|split| split.iter().map(pair).collect()).collect()
}

/// Mean correlation over the splits, of the questions at these positions.
fn correlation(measured: &[Vec<Pair>], positions: &[usize]) -> Option<f64> {
    let of_split = |split: &Vec<Pair>| {
        let pairs: Vec<(f64, f64)> =
            positions.iter().filter_map(|&at| split[at].estimate.map(|estimate| (estimate, split[at].truth))).collect();
        spearman(&pairs)
    };
    let each: Vec<f64> = measured.iter().filter_map(of_split).collect();
    (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
}

fn print_line(name: &str, measured: &[Vec<Pair>], ceiling: &[Vec<Pair>]) {
    let n = measured.iter().map(Vec::len).min().unwrap_or(0);
    let all: Vec<usize> = (0..n).collect();
    let asked: usize = measured.iter().flatten().map(|pair| pair.n_asked).sum();
    let asked = asked as f64 / measured.iter().map(Vec::len).sum::<usize>().max(1) as f64;
    let interval =
        |interval: Option<(f64, f64)>| interval.map_or("-".into(), |(low, high)| format!("{low:.3} to {high:.3}"));
    let less = |positions: &[usize]| Some(correlation(measured, positions)? - correlation(ceiling, positions)?);
    println!(
        "| {name} | {asked:.2} | {} | {} | {} |",
        correlation(measured, &all).map_or("-".into(), |figure| format!("{figure:.3}")),
        interval(bootstrap(0, n, |positions| correlation(measured, positions))),
        less(&all).map_or("-".into(), |figure| format!("{figure:+.3} ({})", interval(bootstrap(0, n, less)))),
    );
}
