//! What selection and export of a large run cost: time, CPU time, memory, and whether the same bytes come of it twice.
//!
//! `select_scale write FOLDER [QUESTIONS]` makes the tables of a run: four chains of thought for each question, with
//! short texts and scores. `select_scale run FOLDER [RULE]` selects (omnithought, ability 4.5) and writes the format
//! `trl`, twice, each time anew, and prints what it took. Two commands, so that the peak of memory is that of the second.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Instant;

use gradus::config::{AbilityConfig, Annotate, Config, Export, Format, Score, Scoring, Select, SelectBy};
use gradus::export::{self, ExportFacts, Prompt};
use gradus::level::Level;
use gradus::metrics::RunFacts;
use gradus::select::pass::Pass;
use gradus::stats::Stream;
use gradus::tables::{AnnotationRow, CotRow, LevelRow, QuestionRow, SampleRow, TableWriter, VerdictRow};
use gradus_model::{Message, Speaker};

/// Chains of thought of each question.
const EACH: i64 = 4;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", folder] => write(Path::new(folder), 250_000),
        ["write", folder, n] => write(Path::new(folder), n.parse().expect("a number of questions")),
        ["run", folder] => run(Path::new(folder), SelectBy::Omnithought),
        ["run", folder, rule] => run(Path::new(folder), SelectBy::parse(rule).expect("a rule of selection")),
        _ => eprintln!("select_scale write FOLDER [QUESTIONS], then select_scale run FOLDER [RULE]"),
    }
}

fn write(folder: &Path, n: u64) {
    let tables = folder.join("tables");
    std::fs::create_dir_all(&tables).expect("a folder can be made");
    let tables = tables.as_path();
    let (mut questions, mut levels) = (table::<QuestionRow>(tables), table::<LevelRow>(tables));
    let (mut sample, mut cots) = (table::<SampleRow>(tables), table::<CotRow>(tables));
    let (mut verdicts, mut annotations) = (table::<VerdictRow>(tables), table::<AnnotationRow>(tables));
    let mut stream = Stream::new(1, "select_scale");
    for number in 0..n {
        let question_id = format!("{number:016x}");
        let level = Level::ALL[stream.below(Level::COUNT)].to_string();
        questions.push(question(&question_id, number)).expect(WRITTEN);
        levels.push(level_row(&question_id, &level)).expect(WRITTEN);
        sample
            .push(SampleRow {
                question_id: question_id.clone(),
                level: level.clone(),
                drawn_for: level,
                rank: number as i64,
            })
            .expect(WRITTEN);
        for attempt in 0..EACH {
            let cot = cot(&question_id, number, attempt, &mut stream);
            verdicts.push(verdict(&cot)).expect(WRITTEN);
            annotations.push(annotation(&cot, &mut stream)).expect(WRITTEN);
            cots.push(cot).expect(WRITTEN);
        }
    }
    for n_rows in
        [questions.finish(), levels.finish(), sample.finish(), cots.finish(), verdicts.finish(), annotations.finish()]
    {
        println!("{} rows", n_rows.expect(WRITTEN));
    }
}

const WRITTEN: &str = "a table can be written";

fn table<R: gradus::tables::Row>(tables: &Path) -> TableWriter<R> {
    TableWriter::create(tables).expect("a table can be begun")
}

fn question(question_id: &str, number: u64) -> QuestionRow {
    QuestionRow {
        question_id: question_id.to_owned(),
        source_ids: vec![format!("s{number}")],
        kind: "math".into(),
        question: format!("What is {number} + 1?"),
        references: vec![(number + 1).to_string()],
        tolerance: None,
        tests: None,
        starter: String::new(),
        options: Vec::new(),
        bank_level: None,
        subject: None,
        source: "made".into(),
        license: None,
    }
}

fn level_row(question_id: &str, level: &str) -> LevelRow {
    LevelRow {
        question_id: question_id.to_owned(),
        student: "student".into(),
        prompts: "0".into(),
        grader: "pass_rate".into(),
        level: level.to_owned(),
        reason: None,
        score: None,
        pass_rate: Some(0.5),
        pass_rate_low: None,
        pass_rate_high: None,
        n_attempts: 2,
        n_countable: 2,
        n_correct: 1,
        n_truncated: 0,
        n_undecided: 0,
        scorer: None,
        form: None,
        aggregate: None,
        n_scored: 0,
    }
}

fn cot(question_id: &str, number: u64, attempt: i64, stream: &mut Stream) -> CotRow {
    let verdict = if stream.below(5) == 0 { "incorrect" } else { "correct" };
    CotRow {
        cot_id: format!("{:016x}", stream.bits()),
        question_id: question_id.to_owned(),
        teacher: format!("teacher{}", attempt % 2),
        attempt,
        verdict: verdict.into(),
        reasoning: Some(format!("Add 1 to {number}, attempt {attempt}. ").repeat(1 + stream.below(8))),
        answer: Some(format!("\\boxed{{{}}}", number + 1)),
        finish: "stop".into(),
        prompt_tokens: Some(20),
        completion_tokens: Some(50 + stream.below(4_000) as i64),
        cost_usd: None,
        n_parts: 1,
    }
}

fn verdict(cot: &CotRow) -> VerdictRow {
    VerdictRow {
        attempt_id: cot.cot_id.clone(),
        question_id: cot.question_id.clone(),
        role: "teacher".into(),
        model: cot.teacher.clone(),
        verdict: cot.verdict.clone(),
        method: "verify".into(),
        version: "1".into(),
        extracted: None,
        explanation: String::new(),
        tests_passed: None,
        tests_total: None,
        llm_verdict: None,
        llm_reason: None,
    }
}

fn annotation(cot: &CotRow, stream: &mut Stream) -> AnnotationRow {
    let rv = stream.below(28) as f64 / 3.0;
    AnnotationRow {
        cot_id: cot.cot_id.clone(),
        question_id: cot.question_id.clone(),
        teacher: cot.teacher.clone(),
        attempt: cot.attempt,
        length: cot.completion_tokens.unwrap_or_default(),
        length_unit: "tokens".into(),
        judge: Some("judge".into()),
        rv: Some(rv),
        rv_spread: Some(0.5),
        n_rv: 3,
        rv_fit: None,
        rv_fit_spread: None,
        n_rv_fit: 0,
        cd: Some(stream.below(28) as f64 / 3.0),
        cd_spread: Some(0.5),
        n_cd: 3,
        rv_len: Some(9.0 * stream.unit()),
        s_rv: Some(rv),
        process: None,
        mean_nll: Some(stream.unit()),
        rsr: Some(1.0 + stream.unit()),
        naturalness: Some(-stream.unit()),
        n_student_tokens: None,
    }
}

fn run(folder: &Path, by: SelectBy) {
    let config = Config {
        annotate: Annotate { scores: vec![Score::Rv, Score::Cd], ..Annotate::default() },
        select: Select { by, ability: Some(AbilityConfig::Given(4.5)), ..Select::default() },
        export: Export { formats: vec![Format::Trl], ..Export::default() },
        ..Config::default()
    };
    let mut hashes = Vec::new();
    for turn in 1..=2 {
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let tables = folder.join("tables");
        let pass = Pass::new(&tables, &config, &config.select).expect("the tables fit");
        let mut dropped: BTreeMap<&str, u64> = BTreeMap::new();
        let made = pass
            .write(&HashMap::new(), |_, _, reason| {
                *dropped.entry(reason.code).or_default() += 1;
                Ok(())
            })
            .expect("the tables fit");
        let (selected, cpu_selected) = (started.elapsed(), cpu_seconds() - cpu);
        export(folder, &config.export);
        println!(
            "turn {turn}: {} kept, left out {dropped:?}; select {:.1} s ({cpu_selected:.1} CPU s), with export {:.1} s ({:.1} \
             CPU s), {:.0} MB at most",
            made.n_kept,
            selected.as_secs_f64(),
            started.elapsed().as_secs_f64(),
            cpu_seconds() - cpu,
            peak_mb(),
        );
        hashes.push(files(folder));
    }
    assert_eq!(hashes[0], hashes[1], "the same tables give the same bytes");
    println!("{} files, byte for byte the same twice", hashes[0].len());
}

fn export(folder: &Path, config: &Export) {
    let prompt = |question: &QuestionRow| Prompt {
        messages: vec![Message { role: Speaker::User, content: question.question.clone() }],
        hash: "0".into(),
    };
    let facts = ExportFacts {
        name: "made",
        student: "student",
        languages: &[],
        run: &RunFacts::default(),
        funnel: &[],
        partial: None,
        prompt: &prompt,
        chat: None,
        render: None,
        scoring: &Scoring::default(),
    };
    export::write(folder, config, &facts).expect("the tables fit");
}

/// Every file that selection and export wrote, with its hash.
fn files(folder: &Path) -> Vec<(PathBuf, blake3::Hash)> {
    let mut found = vec![folder.join("tables/selection.parquet")];
    let mut folders = vec![folder.join(export::FOLDER)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder can be read") {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    let hash = |path: PathBuf| {
        let mut hasher = blake3::Hasher::new();
        let mut file = std::fs::File::open(&path).expect("it was written just now");
        std::io::copy(&mut file, &mut hasher).expect("a file can be read");
        (path, hasher.finalize())
    };
    found.into_iter().map(hash).collect()
}

/// CPU time of this process, user and system, in hundredths as Linux counts them.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_the_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = behind_the_name.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// The greatest resident memory so far.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e3
}
