//! The real driver, stages and ledger against a seeded world of faults, under power cuts.
//!
//! Oracle: the tables are byte for byte those of a run without faults; nothing recorded is asked again; the
//! counts add up. Time is paused, the ledger's file is not synced, and a power cut drops the driver and the
//! open group of the ledger at a random step. `GRADUS_SIM_SEEDS=100000` runs more seeds, `GRADUS_SIM_FIRST=20000`
//! begins with another one than 0.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gradus::annotate::{Rater, Templates};
use gradus::attempt::Key;
use gradus::budget::Spend;
use gradus::config::{
    Annotate, Annotated, AnswerJudge, Budget, Calls, Config, CutOff, Grader, ModelConfig, PrmForm, SampleBy, Score,
};
use gradus::driver::{Asked, Driver, Ended, Performed, Stop, World};
use gradus::judge::AnswerJudge as JudgeOfAnswers;
use gradus::ledger::{Ledger, Reader};
use gradus::prompt::Prompts;
use gradus::question::{Kind, Question};
use gradus::run::{Plan, Resolved, Run, Until};
use gradus::score::Scorer;
use gradus::tables::{self, DroppedRow, QuestionRow, SampleRow, SelectionRow, TableReader};
use gradus::words::Speaking;
use gradus::work::{Rated, Scoring, Step, Task};
use gradus::{annotate, grade};
use gradus_model::{Fault, FaultKind, Identity, Raw, ScoreForm, Usage, Wire};
use gradus_sandbox::{Status, TestOutcome, Tests};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};

/// A number from a seed and a purpose.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().unwrap())
}

/// A world whose answers depend on what is asked alone, and whose faults, delays and end depend on the seed.
struct SimWorld {
    seed: u64,
    faults: bool,
    /// The step at which the power goes.
    cut_at: u64,
    steps: AtomicU64,
    cut: Notify,
    tries: Mutex<HashMap<Key, u64>>,
    ledger: Mutex<Reader>,
    asked_again: AtomicU64,
}

impl SimWorld {
    fn new(seed: u64, faults: bool, cut_at: u64, ledger: &Ledger) -> Self {
        Self {
            seed,
            faults,
            cut_at,
            steps: AtomicU64::new(0),
            cut: Notify::new(),
            tries: Mutex::default(),
            ledger: Mutex::new(ledger.reader().unwrap()),
            asked_again: AtomicU64::new(0),
        }
    }

    async fn step(&self) {
        if self.steps.fetch_add(1, Ordering::Relaxed) == self.cut_at {
            self.cut.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

fn fault(kind: FaultKind, retry_after: Option<Duration>) -> Fault {
    Fault { kind, message: format!("simulated {kind:?}"), status: Some(500), retry_after, body: None }
}

fn chat(text: &str, finish: &str, n_tokens: u64) -> String {
    serde_json::json!({
        "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": n_tokens},
    })
    .to_string()
}

/// What a model makes of the bytes that came.
fn answered(task: &Task, wire: Wire, body: Vec<u8>) -> Result<Performed, Fault> {
    let raw = Raw { wire, body: body.into() };
    let completion = match task {
        Task::Generate(generation) => generation.read(&raw),
        Task::Score(_) | Task::Measure(_) | Task::Execute(_) => raw.read(),
    };
    completion.map(|completion| Performed::Answered(raw, completion))
}

/// What the student makes of a chain of thought.
fn measured(n_steps: Option<usize>, answer: u64) -> Result<Performed, Fault> {
    // A step has two tokens.
    let n_tokens = n_steps.map_or(1 + answer % 5, |n| 2 * n as u64);
    let tokens: Vec<_> = (0..n_tokens).map(|at| serde_json::json!([-0.25 * (at + 1) as f64, at + 1])).collect();
    let local: Option<Vec<_>> = n_steps.map(|n| (0..n).map(|at| serde_json::json!([-0.5 - at as f64, 2])).collect());
    let mut body = serde_json::json!({"object": "gradus.token_scores", "model": "m", "tokens": tokens, "usage": {"prompt_tokens": 9}});
    if let Some(local) = local {
        body["local"] = local.into();
    }
    let raw = Raw { wire: Wire::TokensJson, body: body.to_string().into() };
    raw.read_tokens(n_steps).map(|scores| Performed::Measured(raw, scores))
}

/// What a judge of answers and chains of thought says, now and then nothing that can be read.
fn judged(step: Step, answer: u64) -> Option<String> {
    let reply = match step {
        Step::JudgeAnswer { .. } => format!(r#"{{"verdict": "{}"}}"#, ["correct", "undecided"][(answer % 2) as usize]),
        Step::Rate { what: Rated::Process, .. } => {
            format!(r#"{{"process": "{}"}}"#, ["sound", "flawed", "unclear"][(answer % 3) as usize])
        }
        Step::Rate { what: Rated::Joint, .. } => {
            let [rv, rv_fit, cd] = [1, 10, 100].map(|power| answer / power % 10);
            format!(r#"{{"rv": {rv}, "rv_fit": {rv_fit}, "cd": {cd}}}"#)
        }
        Step::Rate { what: Rated::Score(score), .. } => format!(r#"{{"{}": {}}}"#, score.name(), answer % 10),
        _ => return None,
    };
    Some(if answer.is_multiple_of(7) { "I would rather not.".to_owned() } else { reply })
}

/// What a server says of the steps of an attempt.
fn scored(scoring: &Scoring, answer: u64) -> Result<Performed, Fault> {
    let share = |at: usize| hash(&[&answer.to_le_bytes(), &at.to_le_bytes()]) % 101;
    let (wire, body) = match &scoring.form {
        ScoreForm::Pooling { .. } => {
            let rows = (0..scoring.steps.len()).map(|at| share(at) as f64 / 100.0);
            let rows: Vec<_> = rows.map(|right| serde_json::json!([1.0 - right, right])).collect();
            (
                Wire::PoolingJson,
                serde_json::json!({"model": "p", "data": [{"data": rows}], "usage": {"prompt_tokens": 9}}),
            )
        }
        ScoreForm::ChatLabels { positive, .. } => {
            let top = serde_json::json!([{"token": positive, "logprob": -0.25}, {"token": "?", "logprob": -3.0}]);
            let first = serde_json::json!({"token": positive, "logprob": -0.25, "top_logprobs": top});
            let choice = serde_json::json!({
                "index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": positive},
                "logprobs": {"content": [first]},
            });
            (Wire::ChatJson, serde_json::json!({"model": "p", "choices": [choice], "usage": {"prompt_tokens": 9}}))
        }
        ScoreForm::PromptLogprobs { .. } => {
            let scores: Vec<_> = (0..scoring.steps.len()).map(|at| share(at) as f64 / 100.0).collect();
            (
                Wire::ScoresJson,
                serde_json::json!({
                    "object": "gradus.step_scores", "model": "p", "scores": scores, "usage": {"prompt_tokens": 9},
                }),
            )
        }
    };
    let raw = Raw { wire, body: body.to_string().into() };
    raw.read_scores(&scoring.form, scoring.steps.len()).map(|scores| Performed::Scored(raw, scores))
}

#[async_trait]
impl World for SimWorld {
    async fn perform(&self, asked: &Asked) -> Result<Performed, Fault> {
        let key = asked.keys.attempt;
        if self.ledger.lock().unwrap().get(&key).unwrap().is_some() {
            self.asked_again.fetch_add(1, Ordering::Relaxed);
        }
        let n_try = {
            let mut tries = self.tries.lock().unwrap();
            let n_try = tries.entry(key).or_default();
            *n_try += 1;
            *n_try
        };
        let fate = hash(&[&self.seed.to_le_bytes(), &key.0, &n_try.to_le_bytes()]);
        self.step().await;
        if self.faults {
            tokio::time::sleep(Duration::from_millis(fate % 3_000)).await;
        }
        self.step().await;
        let answer = hash(&[&key.0]);
        if self.faults {
            match (fate >> 20) % 12 {
                0 => return Err(fault(FaultKind::Transient, None)),
                1 => return Err(fault(FaultKind::RateLimited, Some(Duration::from_millis(fate % 9_000)))),
                2 => {
                    tokio::time::sleep(Duration::from_mins(5)).await;
                    return Err(fault(FaultKind::Transient, None));
                }
                3 => {
                    let cut = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\\\boxed{0}\"}}]}\n\n";
                    return answered(&asked.work.task, Wire::ChatSse, cut.to_vec());
                }
                4 => {
                    return answered(&asked.work.task, Wire::ChatJson, b"<html>busy</html>".to_vec());
                }
                5 => {
                    let error = br#"{"error":{"message":"upstream","code":502}}"#;
                    return answered(&asked.work.task, Wire::ChatJson, error.to_vec());
                }
                _ => {}
            }
        }
        if let Task::Execute(execution) = &asked.work.task {
            let status = [Status::Passed, Status::Failed, Status::SandboxError][(answer % 3) as usize];
            assert!(matches!(*execution.tests, Tests::Stdin { .. }));
            let test =
                serde_json::json!({"status": status, "detail": "", "cpu_ms": 1, "wall_ms": 1, "memory_bytes": 1});
            let test: TestOutcome = serde_json::from_value(test).unwrap();
            return Ok(Performed::Executed(gradus_sandbox::Outcome { tests: vec![test], total: 1 }));
        }
        if let Task::Score(scoring) = &asked.work.task {
            return match answer % 9 {
                0 => Err(fault(FaultKind::ContextTooLong, None)),
                _ => scored(scoring, answer),
            };
        }
        if let Task::Measure(measuring) = &asked.work.task {
            let n_steps = measuring.local.as_ref().map(|local| local.ends.len());
            return match answer % 9 {
                0 => Err(fault(FaultKind::ContextTooLong, None)),
                _ => measured(n_steps, answer),
            };
        }
        if matches!(asked.work.slot.step, Step::Score { .. }) {
            let reply = match answer % 4 {
                0 => "I cannot tell.",
                1 => r#"{"rating": 0.5}"#,
                2 => r#"{"1": "right"}"#,
                _ => r#"{"1": "right", "2": "wrong"}"#,
            };
            return answered(&asked.work.task, Wire::ChatJson, chat(reply, "stop", 9).into_bytes());
        }
        if let Some(reply) = judged(asked.work.slot.step, answer) {
            return answered(&asked.work.task, Wire::ChatJson, chat(&reply, "stop", 9).into_bytes());
        }
        let code = asked.source_ids[0].starts_with("code");
        let body = match answer % 11 {
            0 => return Err(fault(FaultKind::ContextTooLong, None)),
            1 => return Err(fault(FaultKind::ContentFiltered, None)),
            // Half of what goes on is cut off again.
            2 => chat("I keep thinking about 1, 2, 3", "length", 64),
            3..=6 if matches!(asked.work.slot.step, Step::Further { .. }) => chat(", 4, 5", "length", 64),
            3 => chat("I do not know.", "stop", 4),
            _ if code => chat(&format!("```python\nprint({})\n```", answer % 5), "stop", answer % 50),
            _ => chat(
                &format!("We add up all the numbers that are given.\n\nSo it is \\boxed{{{}}}.", (answer >> 8) % 3),
                "stop",
                answer % 50,
            ),
        };
        answered(&asked.work.task, Wire::ChatJson, body.into_bytes())
    }

    fn now_ms(&self) -> i64 {
        1_000
    }

    fn cost(&self, _: &gradus::work::Work, usage: &Usage) -> Option<f64> {
        Some((usage.prompt? + usage.completion.unwrap_or(0)) as f64 * 1e-6)
    }
}

/// A world that must not be asked.
struct Nobody;

#[async_trait]
impl World for Nobody {
    async fn perform(&self, asked: &Asked) -> Result<Performed, Fault> {
        panic!("{:?} is in the ledger and was asked again", asked.work.slot);
    }

    fn now_ms(&self) -> i64 {
        0
    }

    fn cost(&self, _: &gradus::work::Work, _: &Usage) -> Option<f64> {
        None
    }
}

fn bank(seed: u64) -> Vec<Question> {
    let n = 6 + seed % 8;
    (0..n)
        .map(|at| {
            let code = (seed + at).is_multiple_of(4);
            let kind = if code { Kind::Code } else { Kind::Math };
            let text = format!("Question {at} of bank {}", seed % 17);
            let tests = Tests::stdin(vec![]);
            Question {
                source_ids: vec![format!("{}/{at}", if code { "code" } else { "math" })].into(),
                references: if code { vec![] } else { vec![(at % 3).to_string()] },
                tests: code.then(|| Arc::new(tests)),
                ..common::question(kind, &text)
            }
        })
        .collect()
}

fn config(seed: u64) -> Config {
    let mut config = Config { seed, ..Config::default() };
    config.probe.attempts = 1 + (seed % 4) as u32;
    let graders = [Grader::FirstCorrect, Grader::Prm, Grader::Generative, Grader::Judge];
    config.grade.grader = graders[(seed / 4 % 4) as usize];
    let forms = [PrmForm::Pooling, PrmForm::ChatLabels, PrmForm::PromptLogprobs, PrmForm::Generative];
    config.scoring.form = forms[(seed / 16 % 4) as usize];
    config.prm = Some(ModelConfig::named("gguf:p"));
    config.judge = Some(ModelConfig::named("gguf:m"));
    if seed % 5 == 1 {
        config.judging.judge = AnswerJudge::Llm;
    }
    config.judging.check_share = [0.0, 0.5][(seed % 2) as usize];
    if !seed.is_multiple_of(3) {
        config.second_judge = seed.is_multiple_of(2).then(|| ModelConfig::named("gguf:j"));
        config.annotate = Annotate {
            scores: vec![Score::Rv, Score::Cd],
            process: seed.is_multiple_of(4),
            of: [Annotated::Correct, Annotated::All][(seed % 2) as usize],
            ratings: 1 + (seed % 3) as u32,
            student_fit: seed % 4 < 2,
            calls: [Calls::Separate, Calls::Joint][(seed / 2 % 2) as usize],
            compare_calls: 0.5,
            ..Annotate::default()
        };
    }
    config.distil.correct = 1 + (seed % 3) as u32;
    config.distil.tries = config.distil.correct + (seed % 5) as u32;
    if seed / 7 % 2 == 1 {
        config.distil.on_truncated = CutOff::Continue;
        config.distil.max_rounds = 1 + (seed % 3) as u32;
        config.distil.max_total_tokens = [None, Some(5_000)][(seed / 14 % 2) as usize];
    }
    config.driver.in_flight = 1 + (seed % 9) as u32;
    config.driver.max_tries = u32::MAX;
    config.driver.give_up_after_s = u64::from(u32::MAX);
    config.sample.by = [SampleBy::PEval, SampleBy::PC, SampleBy::Random][(seed % 3) as usize];
    config.sample.size = Some(4);
    config
}

fn plan(config: &Config) -> Plan {
    let model = |name: &str| Resolved {
        identity: Identity { name: name.into(), revision: String::new() },
        system: None,
        extra: serde_json::Map::new(),
    };
    // Student and first teacher are the same model, so that they share answers.
    let plan = Plan::new(config, model("m"), vec![model("m"), model("t")], Arc::new(Prompts::default()));
    let speaking = |name: &str| Speaking {
        model: model(name).identity,
        system: None,
        extra: serde_json::Map::new(),
        sampling: (&config.annotate.sampling).into(),
        structured: false,
        tries: 1,
    };
    // The judge is the student's model too: what it says is told apart all the same.
    let judge = JudgeOfAnswers::new(&config.judging, || speaking("m"), Path::new("")).unwrap();
    let templates = Templates::load(&config.annotate.prompts, Path::new("")).unwrap();
    let rater = |second, name| Rater::new(&config.annotate, second, speaking(name), templates.clone());
    let raters = config.annotate.asks_judge().then(|| rater(false, "m"));
    let plan = plan.judged_by(judge).rated_by(
        raters.into_iter().chain(config.second_judge.as_ref().map(|_| rater(true, "j"))).collect(),
        Vec::new(),
    );
    let plan = if config.annotate.student_fit { plan.measured_by(config, model("m")) } else { plan };
    let Some(by) = config.scored_by().unwrap() else { return plan };
    // The judge is the student's model too: what it scores is told apart all the same.
    let identity = model(if by.role == "judge" { "m" } else { "p" }).identity;
    plan.scored_by(Scorer::new(&config.scoring, &by, identity, Path::new("")).unwrap())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// The whole run, told to nobody but the ledger (and the world, if it is not `Nobody`).
fn tables<W: World>(
    world: Arc<W>,
    ledger: Ledger,
    runtime: &Runtime,
    folder: &Path,
    seed: u64,
    until: Until,
) -> gradus::run::Ran {
    tables_of(&config(seed), world, ledger, runtime, folder, until)
}

/// The same with a config of one's own; the bank follows from its seed.
fn tables_of<W: World>(
    config: &Config,
    world: Arc<W>,
    ledger: Ledger,
    runtime: &Runtime,
    folder: &Path,
    until: Until,
) -> gradus::run::Ran {
    let (_keep, stop) = watch::channel(Stop::No);
    let plan = plan(config);
    let driver = Driver {
        world,
        ledger: Arc::new(ledger),
        config: config.driver.clone(),
        budget: config.budget,
        offline: false,
        stop,
    };
    let run = Run {
        tables: folder.to_owned(),
        last: folder.to_owned(),
        config,
        plan: &plan,
        driver,
        runtime,
        observer: &|_, _| {},
    };
    run.run(bank(config.seed).into_iter().map(Ok::<_, String>), Vec::new(), until).unwrap()
}

/// Drives one phase under faults and power cuts until it is through; gives back how many cuts there were.
fn storm(seed: u64, path: &Path, phase: &str, drawn: &[String]) -> u64 {
    let config = config(seed);
    let plan = plan(&config);
    for life in 0.. {
        let runtime = runtime();
        let _inside = runtime.enter();
        let ledger = Arc::new(Ledger::simulated(path).unwrap());
        let luck = hash(&[&seed.to_le_bytes(), phase.as_bytes(), &u64::to_le_bytes(life)]);
        let cut_at = if life < 4 { luck % 60 } else { u64::MAX };
        let world = Arc::new(SimWorld::new(luck, true, cut_at, &ledger));
        let (_keep, stop) = watch::channel(Stop::No);
        let mut driver = Driver {
            world: world.clone(),
            ledger,
            config: config.driver.clone(),
            budget: config.budget,
            offline: false,
            stop,
        };
        let questions = bank(seed).into_iter().map(Ok::<_, String>);
        let through = runtime.block_on(async {
            let probe = |q: &Question, a: &[_]| grade::next(&plan.probe, &plan.grade, q, a);
            let distil = |q: &Question, a: &[_]| annotate::next(&plan.distil, &plan.annotate, q, a);
            let wanted = questions.filter(|question| drawn.contains(&question.as_ref().unwrap().id.to_string()));
            let drive = async {
                match phase {
                    "probe" => driver.drive(bank(seed).into_iter().map(Ok::<_, String>), probe, &|_| {}).await,
                    _ => driver.drive(wanted, distil, &|_| {}).await,
                }
            };
            tokio::select! {
                biased;
                driven = drive => {
                    let driven = driven.unwrap();
                    assert!(driven.ended.is_none() && driven.failures.is_empty(), "{driven:?}");
                    true
                }
                () = world.cut.notified() => false,
            }
        });
        assert_eq!(world.asked_again.load(Ordering::Relaxed), 0, "seed {seed}: a recorded result was asked again");
        if through {
            return life;
        }
    }
    unreachable!()
}

fn read_all(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn check(seed: u64) -> u64 {
    let home = tempfile::tempdir().unwrap();
    let (clean, stormy) = (home.path().join("clean"), home.path().join("stormy"));
    {
        let runtime = runtime();
        let _inside = runtime.enter();
        let ledger = Ledger::simulated(&home.path().join("clean.sqlite")).unwrap();
        let world = Arc::new(SimWorld::new(seed, false, u64::MAX, &ledger));
        tables(world, ledger, &runtime, &clean, seed, Until::Select);
    }
    let path = home.path().join("stormy.sqlite");
    let mut n_cuts = storm(seed, &path, "probe", &[]);
    let from_ledger = |until| {
        let runtime = runtime();
        let _inside = runtime.enter();
        tables(Arc::new(Nobody), Ledger::simulated(&path).unwrap(), &runtime, &stormy, seed, until)
    };
    from_ledger(Until::Sample);
    let drawn: Vec<String> =
        TableReader::<SampleRow>::open(&stormy).unwrap().map(|row| row.unwrap().question_id).collect();
    n_cuts += storm(seed, &path, "distil", &drawn);
    let ran = from_ledger(Until::Select);

    for ((name, clean), (other, stormy)) in read_all(&clean).iter().zip(&read_all(&stormy)) {
        assert!(name == other && clean == stormy, "seed {seed}: table {name} differs from that of the clean run");
    }
    // Every question that entered is selected or dropped, once.
    let mut fates: HashMap<String, Vec<String>> =
        TableReader::<QuestionRow>::open(&stormy).unwrap().map(|row| (row.unwrap().question_id, vec![])).collect();
    let mut n_kept = 0;
    for row in TableReader::<SelectionRow>::open(&stormy).unwrap().map(Result::unwrap).filter(|row| row.selected) {
        n_kept += 1;
        fates.get_mut(&row.question_id).unwrap().push("selected".into());
    }
    for row in TableReader::<DroppedRow>::open(&stormy).unwrap().map(Result::unwrap) {
        if row.item_kind == "question" {
            fates.get_mut(&row.item).unwrap().push(row.reason);
        }
    }
    assert_eq!(n_kept, ran.n_selected);
    for (id, fate) in fates {
        assert_eq!(fate.len(), 1, "seed {seed}: question {id} left {} times: {fate:?}", fate.len());
    }
    assert!(tables::path::<SelectionRow>(&stormy).exists());
    n_cuts
}

#[test]
fn tables_after_faults_and_power_cuts_are_those_of_a_clean_run() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let (first, n_seeds): (u64, u64) = (number("GRADUS_SIM_FIRST", 0), number("GRADUS_SIM_SEEDS", 1_000));
    let next = AtomicU64::new(first);
    let n_cuts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + n_seeds {
                        break;
                    }
                    n_cuts.fetch_add(check(seed), Ordering::Relaxed);
                }
            });
        }
    });
    let n_cuts = n_cuts.load(Ordering::Relaxed);
    println!("{n_seeds} seeds from {first} on, {n_cuts} power cuts");
    assert!(n_cuts > n_seeds / 2, "the storm must really cut: {n_cuts} cuts in {n_seeds} seeds");
}

/// Runs under a budget that is raised whenever it stops the run, against a world with faults; gives back how often.
fn raise(seed: u64) -> u64 {
    let home = tempfile::tempdir().unwrap();
    let (free, limited) = (home.path().join("free"), home.path().join("limited"));
    let mut config = config(seed);
    config.probe.sampling.max_tokens = 64;
    config.distil.sampling.max_tokens = 64;
    let run = |config: &Config, luck: u64, ledger: &str, folder: &Path| {
        let runtime = runtime();
        let _inside = runtime.enter();
        let ledger = Ledger::simulated(&home.path().join(ledger)).unwrap();
        let reader = ledger.reader().unwrap();
        let world = Arc::new(SimWorld::new(luck, true, u64::MAX, &ledger));
        let ran = tables_of(config, world.clone(), ledger, &runtime, folder, Until::Select);
        assert_eq!(world.asked_again.load(Ordering::Relaxed), 0, "seed {seed}: a recorded result was asked again");
        (ran, reader.spent().unwrap())
    };
    let (ran, total) = run(&config, seed, "free.sqlite", &free);
    assert!(ran.ended.is_none());
    // No request of this world uses more.
    let worst = Spend { usd: (64.0 + 11.0) * 1e-6, tokens: 64 + 11 };
    for n_raised in 0_u32.. {
        let share = f64::from(n_raised) / 4.0;
        config.budget = match seed % 3 {
            0 => Budget { max_usd: Some(total.usd * share), max_tokens: None },
            1 => Budget { max_usd: None, max_tokens: Some((total.tokens as f64 * share) as u64) },
            // One more than is used: what is refused uses nothing, and may come last.
            _ => Budget { max_usd: Some(total.usd * share), max_tokens: Some(total.tokens + 1) },
        };
        let (ran, spent) = run(&config, seed + u64::from(n_raised), "limited.sqlite", &limited);
        let over = |spent: f64, max: f64, worst: f64| spent < max + worst + 1e-12;
        assert!(config.budget.max_usd.is_none_or(|max| over(spent.usd, max, worst.usd)), "seed {seed}: {spent:?}");
        assert!(config.budget.max_tokens.is_none_or(|max| over(spent.tokens as f64, max as f64, worst.tokens as f64)));
        let Some((_, ended)) = ran.ended else {
            assert_eq!(spent.tokens, total.tokens, "seed {seed}: as much was asked as without a budget");
            assert_eq!(read_all(&limited), read_all(&free), "seed {seed}: tables differ from those without a budget");
            return u64::from(n_raised);
        };
        let Ended::Budget(told) = ended else { panic!("seed {seed}: {ended:?}") };
        // Sums of fractions depend on their order.
        assert!(told.tokens == spent.tokens && (told.usd - spent.usd).abs() < 1e-12, "{told:?}, {spent:?}");
        // A partial run accounts for every question, too.
        let mut left: HashMap<String, u64> =
            TableReader::<QuestionRow>::open(&limited).unwrap().map(|row| (row.unwrap().question_id, 0)).collect();
        let mut kept: Vec<String> = TableReader::<SelectionRow>::open(&limited)
            .unwrap()
            .map(Result::unwrap)
            .filter_map(|row| row.selected.then_some(row.question_id))
            .collect();
        kept.dedup();
        let mut dropped: Vec<_> = TableReader::<DroppedRow>::open(&limited).unwrap().map(Result::unwrap).collect();
        assert!(dropped.iter().any(|row| row.reason == "not_asked"), "seed {seed}: something was not asked");
        dropped.retain(|row| row.item_kind == "question");
        kept.iter().chain(dropped.iter().map(|row| &row.item)).for_each(|id| *left.get_mut(id).unwrap() += 1);
        assert!(left.values().all(|n| *n == 1), "seed {seed}: {left:?}");
    }
    unreachable!()
}

#[test]
fn a_budget_raised_in_steps_ends_with_the_tables_of_a_run_without_one() {
    let n_raised: u64 = (0..30).map(raise).sum();
    assert!(n_raised > 30 * 2, "the budgets must really stop runs: {n_raised} times in 30 seeds");
}
