//! Compares our verdicts with the labels of recorded answers: `cargo run --release -p gradus --example agreement --
//! ../shared/data [FILE...] [--pick N]`.
//!
//! Answers go the way of a run: bank, replay, reading, judge. Prints a table with one row per file of recordings that
//! has labels; with `--pick N` the table goes to stderr, and N of the disagreements come as JSONL on stdout, drawn by the
//! hash of their ids. A label is no truth: most were computed by other graders.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gradus::attempt::{Key, Source};
use gradus::config::{BankConfig, Config};
use gradus::ingest::Ingest;
use gradus::judge::{self, Judge};
use gradus::question::{Kind, Question};
use gradus::verdict::{Outcome, Verdict};
use gradus::work::{Answered, Next, Outcome as WorkOutcome, Slot, Step, Task};
use gradus_model::replay::Replay;
use gradus_model::{Completion, Generate, Model, Sampling};
use gradus_sandbox::{Policy, Sandbox};
use serde::Deserialize;
use serde_json::{Value, json};

/// Banks of the questions that the recordings answer.
const BANKS: [&str; 7] =
    ["gsm8k_test", "math_test", "mmlu_pro", "cruxeval_o", "humaneval", "mbpp", "livecodebench_880"];

#[derive(Deserialize)]
struct Row {
    question_id: String,
    model: String,
    #[serde(default)]
    sample: u64,
    correct: Option<bool>,
    correct_by: Option<String>,
    extracted: Option<Value>,
}

/// A label with what we make of the answer.
struct Compared {
    row: Row,
    question: Arc<Question>,
    completion: Completion,
    verdict: Option<Verdict>,
}

impl Compared {
    fn outcome(&self) -> Outcome {
        self.verdict.as_ref().map_or(Outcome::Undecided, |verdict| verdict.outcome)
    }

    fn ours(&self) -> bool {
        self.outcome() == Outcome::Correct
    }

    fn label(&self) -> bool {
        self.row.correct.expect("only labelled rows are compared")
    }

    fn as_json(&self, file: &str) -> Value {
        let verdict = self.verdict.as_ref();
        json!({
            "file": file, "question_id": self.row.question_id, "model": self.row.model, "sample": self.row.sample,
            "label": self.label(), "label_by": self.row.correct_by, "label_looked_at": self.row.extracted,
            "verdict": self.outcome().name(), "method": verdict.map(|verdict| &verdict.method),
            "looked_at": verdict.map(|verdict| &verdict.extracted), "references": self.question.references,
            "explanation": verdict.map(|verdict| &verdict.explanation), "answer": self.completion.answer,
        })
    }
}

#[tokio::main]
async fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut pick = None;
    if let Some(at) = arguments.iter().position(|argument| argument == "--pick") {
        pick = Some(arguments.get(at + 1).and_then(|n| n.parse().ok()).expect("--pick wants a number"));
        arguments.drain(at..=at + 1);
    }
    let Some((folder, wanted)) = arguments.split_first() else {
        println!("usage: agreement FOLDER [FILE...] [--pick N]");
        return;
    };
    let folder = Path::new(folder);
    let questions = questions(folder);
    let judge = Judge::from(&Config::default().judging);
    let sandbox = Sandbox::new(Policy::default()).map_err(|error| eprintln!("no code is judged: {error}")).ok();
    let tell = |line: &str| if pick.is_none() { println!("{line}") } else { eprintln!("{line}") };
    tell("| file | labels by | answers | agree | right here only | right there only | no answer | undecided |");
    tell("|---|---|---|---|---|---|---|---|");
    let mut disagreements = Vec::new();
    for (name, file) in recordings(folder, wanted) {
        let mut compared = replayed(&file, &questions).await;
        decide(&mut compared, &judge, sandbox.as_ref());
        if !compared.is_empty() {
            tell(&summary(&name, &compared));
        }
        let differing = compared.iter().filter(|one| one.ours() != one.label());
        disagreements.extend(differing.map(|one| one.as_json(&name)));
    }
    if let Some(n) = pick {
        let ids = |one: &Value| format!("{} {} {} {}", one["file"], one["question_id"], one["model"], one["sample"]);
        disagreements.sort_by_key(|one| *blake3::hash(ids(one).as_bytes()).as_bytes());
        disagreements.iter().take(n).for_each(|one| println!("{one}"));
    }
}

fn questions(folder: &Path) -> HashMap<String, Arc<Question>> {
    let path = |bank: &str| folder.join("questions").join(format!("{bank}.jsonl.zst"));
    let bank = BANKS.map(|bank| BankConfig { path: path(bank), ..BankConfig::default() }).to_vec();
    let ingest = Ingest::open(&Config { bank, ..Config::default() }, Path::new("")).expect("the banks can be read");
    let mut questions = HashMap::new();
    for question in ingest.questions() {
        let question = Arc::new(question.expect("a bank that was read once can be read again"));
        for id in &*question.source_ids {
            questions.insert(id.clone(), question.clone());
        }
    }
    questions
}

/// Files of recordings, all or the named ones, in the order of their names.
fn recordings(folder: &Path, wanted: &[String]) -> BTreeMap<String, PathBuf> {
    let files = std::fs::read_dir(folder.join("recordings")).expect("the folder has recordings").flatten();
    let named = files.filter_map(|file| {
        let name = file.file_name().to_str()?.strip_suffix(".jsonl.zst")?.to_owned();
        (wanted.is_empty() || wanted.contains(&name)).then(|| (name, file.path()))
    });
    named.collect()
}

/// The labelled answers of a recording as a run would get them.
async fn replayed(file: &Path, questions: &HashMap<String, Arc<Question>>) -> Vec<Compared> {
    let bytes = zstd::decode_all(std::fs::File::open(file).expect("the file is there")).expect("the file is zstd");
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut rows: BTreeMap<String, BTreeMap<String, Vec<Row>>> = BTreeMap::new();
    for line in lines {
        let row: Row = serde_json::from_slice(line).expect("every line is a recorded answer");
        rows.entry(row.model.clone()).or_default().entry(row.question_id.clone()).or_default().push(row);
    }
    let mut compared = Vec::new();
    for (model, rows) in rows {
        if rows.values().flatten().all(|row| row.correct.is_none()) {
            continue;
        }
        let replay = Replay::open(file, &model).expect("the recording can be replayed");
        for (id, mut rows) in rows {
            let Some(question) = questions.get(&id) else { continue };
            // Attempts are numbered by sample, then by place in the file.
            rows.sort_by_key(|row| row.sample);
            for (attempt, row) in rows.into_iter().enumerate().filter(|(_, row)| row.correct.is_some()) {
                let request = request(&id, attempt as u32);
                let raw = replay.generate(&request).await.expect("the row is in the recording");
                let completion = raw.read().expect("a replayed answer can be read");
                compared.push(Compared { row, question: question.clone(), completion, verdict: None });
            }
        }
    }
    compared
}

fn request(id: &str, attempt: u32) -> Generate {
    Generate {
        messages: Vec::new(),
        sampling: Sampling::from(&gradus::config::SamplingConfig::default()),
        seed: 0,
        extra: serde_json::Map::new(),
        request_id: String::new(),
        source_ids: [id.to_owned()].into(),
        attempt,
    }
}

/// Judges all, on every core.
fn decide(compared: &mut [Compared], judge: &Judge, sandbox: Option<&Sandbox>) {
    let n_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let verdicts: Vec<(usize, Option<Verdict>)> = std::thread::scope(|scope| {
        let one = || {
            let mut verdicts = Vec::new();
            while let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some(compared) = compared.get(at)
            {
                verdicts.push((at, verdict(compared, judge, sandbox)));
            }
            verdicts
        };
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(one)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("judging does not panic")).collect()
    });
    for (at, verdict) in verdicts {
        compared[at].verdict = verdict;
    }
}

/// What the judge says of an answer; none if the sandbox that it needs is not there.
fn verdict(compared: &Compared, judge: &Judge, sandbox: Option<&Sandbox>) -> Option<Verdict> {
    if compared.question.kind == Kind::Code && sandbox.is_none() {
        return None;
    }
    let slot = Slot { source: Source::Student, attempt: 0, step: Step::Generate };
    let key = Key([0; 32]);
    let mut answers = vec![Answered { slot, key, outcome: WorkOutcome::Completed(compared.completion.clone()) }];
    loop {
        let work = match judge::next(judge, &compared.question, slot, &answers[0], &answers) {
            Next::Ask(work) => work,
            Next::Done(judged) => return judged.result.ok().map(|(_, verdict)| verdict),
            Next::Drop(_) => return None,
        };
        for work in work {
            let Task::Execute(execution) = &work.task else { panic!("a judge of rules and tests asks no model") };
            let ran = sandbox?.run(&execution.program, &execution.tests, &execution.limits);
            answers.push(Answered { slot: work.slot, key, outcome: WorkOutcome::Executed(ran) });
        }
    }
}

fn summary(name: &str, compared: &[Compared]) -> String {
    let count = |test: &dyn Fn(&Compared) -> bool| compared.iter().filter(|one| test(one)).count();
    let n = compared.len();
    let agree = count(&|one| one.ours() == one.label());
    let mut by: Vec<&str> = compared.iter().filter_map(|one| one.row.correct_by.as_deref()).collect();
    by.sort_unstable();
    by.dedup();
    format!(
        "| {name} | {} | {n} | {agree} ({:.2} %) | {} | {} | {} | {} |",
        by.join(", "),
        100.0 * agree as f64 / n as f64,
        count(&|one| one.ours() && !one.label()),
        count(&|one| !one.ours() && one.label()),
        count(&|one| one.outcome() == Outcome::NoAnswer),
        count(&|one| one.outcome() == Outcome::Undecided),
    )
}
