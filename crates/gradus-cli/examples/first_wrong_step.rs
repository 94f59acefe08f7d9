//! Who finds the first wrong step? `cargo run -p gradus-cli --example first_wrong_step -- ../shared/data [N [MODEL.gguf]]`.
//!
//! Solutions whose first wrong step somebody marked, against what can mark steps here: the marks themselves, replayed
//! (whatever is not found then is lost on the way, not misjudged), the verifier over every equation of numbers, and a
//! GGUF file, asked in words and by label tokens, for N solutions of each set. Steps go the way of a run: splitter,
//! request, parser, tries.
//!
//! F1 is that of ProcessBench (arXiv 2412.06559): the harmonic mean of the share of wrong solutions whose first wrong
//! step is named, and of right solutions in which none is. Intervals are bootstraps over solutions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gradus::attempt::{Key, Source};
use gradus::config::{
    Grade, ModelConfig, Part, PrmForm, SamplingConfig, ScoredBy, ScoredForm, Scoring, SplitBy, StepSplit,
};
use gradus::judge::Judged;
use gradus::question::{Kind, Question};
use gradus::score::{self, Bounds, Scorer};
use gradus::stats::{RESAMPLES, Stream, draw, wilson};
use gradus::steps;
use gradus::verdict::{Outcome as Verdicted, Verdict};
use gradus::work::{Answered, Next, Outcome, Reason, Task, Work};
use gradus_gguf::{Engine, EngineConfig};
use gradus_model::replay::Replay;
use gradus_model::{Completion, Finish, Generate, Model, Score, ScoreForm, StepScore, Usage};
use gradus_verify::{Answer, Form, Kind as AnswerKind, Outcome as Compared, Reference, verify};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Solutions that a model works on at once.
const AT_ONCE: usize = 12;

/// A solution with its steps and the first wrong one, from 0; none if it is right.
struct Solution {
    id: String,
    question: String,
    reference: String,
    steps: Vec<String>,
    wrong: Option<usize>,
    /// Scores of the steps, or ratings, as a row of a recording holds them.
    recorded: Option<Value>,
}

/// What a grader says: the first wrong step, or that there is none; an error if it says nothing.
type Said = Result<Option<usize>, &'static str>;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, more @ ..] = arguments.as_slice() else {
        println!("usage: first_wrong_step FOLDER [N [MODEL.gguf]]");
        return;
    };
    let folder = Path::new(folder).join("steps");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let n: usize = more.first().map_or(0, |n| n.parse().expect("N is a number"));
    let sets = [
        ("mr_gsm8k", marked(&folder.join("mr_gsm8k_subset.jsonl.zst"), 1)),
        ("bigbench_mistake", marked(&folder.join("bigbench_mistake.jsonl.zst"), 0)),
        ("prm800k", prm800k(&folder.join("prm800k_sample.jsonl.zst"))),
        ("math_aps", math_aps(&folder.join("math_aps_sample.jsonl.zst"))),
    ];
    let engine = more.get(1).map(|file| {
        Arc::new(Engine::load(Path::new(file), &EngineConfig::default()).expect("the file is a model"))
            as Arc<dyn Model>
    });
    for (name, all) in &sets {
        let solutions: Vec<Arc<Solution>> = all.iter().filter(|one| comes_back(one)).map(Arc::clone).collect();
        println!("\n{name}: {} solutions, the splitter finds the steps of {}", all.len(), solutions.len());
        if all.iter().all(|one| one.recorded.is_some()) {
            println!("{HEAD}");
            free(all);
            tell("recorded scores, replayed", all, &recorded(all).await);
            continue;
        }
        count_from(&solutions);
        println!("{HEAD}");
        free(&solutions);
        let (said, levels) = marks(&solutions).await;
        tell("the marks, replayed", &solutions, &said);
        let levels: Vec<String> = levels.iter().map(|(level, n)| format!("{n} of level {level}")).collect();
        println!("  wrong ones by the mean of those marks: {}", levels.join(", "));
        let Some(engine) = &engine else { continue };
        let mut drawn = solutions.clone();
        drawn.sort_by_key(|one| draw(0, "steps", one.id.as_bytes()));
        drawn.truncate(n);
        println!("the first {} by a key:", drawn.len());
        free(&drawn);
        for (who, form) in [("by labels + -", PrmForm::ChatLabels), ("in words", PrmForm::Generative)] {
            let said = asked(engine, form, &drawn, name).await;
            tell(&format!("{} {who}", engine.identity().name), &drawn, &said);
        }
    }
}

const HEAD: &str = "grader | solutions | wrong found, % | right left alone, % | F1, % | says nothing";

/// Graders that cost nothing.
fn free(solutions: &[Arc<Solution>]) {
    let all = |grader: &dyn Fn(&Solution) -> Said| solutions.iter().map(|one| grader(one)).collect::<Vec<_>>();
    tell("never wrong", solutions, &all(&|_| Ok(None)));
    tell("first step", solutions, &all(&|_| Ok(Some(0))));
    tell("last step", solutions, &all(&|one| Ok(one.steps.len().checked_sub(1))));
    tell(
        "a die: any step, or none",
        solutions,
        &all(&|one| {
            let face = draw(0, "die", one.id.as_bytes()) % (one.steps.len() as u64 + 1);
            Ok((face < one.steps.len() as u64).then_some(face as usize))
        }),
    );
    tell(
        "first false equation (verifier)",
        solutions,
        &all(&|one| Ok(one.steps.iter().position(|step| has_false(step)))),
    );
}

/// One row of the table.
fn tell(grader: &str, solutions: &[Arc<Solution>], said: &[Said]) {
    let rows: Vec<(bool, bool)> =
        solutions.iter().zip(said).map(|(one, said)| (one.wrong.is_some(), *said == Ok(one.wrong))).collect();
    let share = |wrong: bool| {
        let hits: Vec<bool> = rows.iter().filter(|row| row.0 == wrong).map(|row| row.1).collect();
        let n_hits = hits.iter().filter(|hit| **hit).count();
        if hits.is_empty() {
            return "none there".to_owned();
        }
        let (low, high) = wilson(n_hits as u64, hits.len() as u64);
        format!("{:.1} ({:.1} to {:.1})", 100.0 * n_hits as f64 / hits.len() as f64, 100.0 * low, 100.0 * high)
    };
    let f1_told = f1(&rows).map_or("not defined".to_owned(), |value| {
        let mut stream = Stream::new(0, "first wrong step");
        let mut drawn: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| f1(&(0..rows.len()).map(|_| rows[stream.below(rows.len())]).collect::<Vec<_>>()))
            .collect();
        drawn.sort_by(f64::total_cmp);
        let at = |share: f64| 100.0 * drawn[((drawn.len() - 1) as f64 * share).round() as usize];
        format!("{:.1} ({:.1} to {:.1})", 100.0 * value, at(0.025), at(0.975))
    });
    let mut silent: BTreeMap<&str, usize> = BTreeMap::new();
    for why in said.iter().filter_map(|said| said.as_ref().err()) {
        *silent.entry(why).or_default() += 1;
    }
    let silent: Vec<String> = silent.iter().map(|(why, n)| format!("{n} {why}")).collect();
    println!("{grader} | {} | {} | {} | {f1_told} | {}", rows.len(), share(true), share(false), silent.join(", "));
}

/// Of `(wrong, hit)`; none if there are no wrong or no right solutions.
fn f1(rows: &[(bool, bool)]) -> Option<f64> {
    let share = |wrong: bool| {
        let n = rows.iter().filter(|row| row.0 == wrong).count();
        (n > 0).then(|| rows.iter().filter(|row| **row == (wrong, true)).count() as f64 / n as f64)
    };
    let (wrong, right) = (share(true)?, share(false)?);
    Some(if wrong + right > 0.0 { 2.0 * wrong * right / (wrong + right) } else { 0.0 })
}

// ---- The sets

/// Rows with `steps` and `first_error_step`, which counts from `base`.
fn marked(file: &Path, base: u64) -> Vec<Arc<Solution>> {
    let rows = rows(file).into_iter().map(|row| {
        let wrong =
            row["first_error_step"].as_u64().map(|step| step.checked_sub(base).expect("no step is before the first"));
        let steps: Vec<String> = serde_json::from_value(row["steps"].clone()).expect("steps are texts");
        let wrong = wrong.map(|step| usize::try_from(step).expect("a solution has few steps"));
        assert!(wrong.is_none_or(|step| step < steps.len()), "{}: counted from somewhere else", row["id"]);
        Arc::new(solution(&row, steps, wrong))
    });
    rows.collect()
}

/// Solutions as people rated them, step by step: the chosen completion, the first where none was chosen, or what a person
/// wrote, which counts as right. The first step rated -1 is the first wrong one.
fn prm800k(file: &Path) -> Vec<Arc<Solution>> {
    let rows = rows(file).into_iter().filter_map(|row| {
        let (mut steps, mut ratings) = (Vec::new(), Vec::new());
        for step in row["raw"]["steps"].as_array()? {
            let human = step["human_completion"]["text"].as_str();
            let chosen = match (step["chosen_completion"].as_u64(), human) {
                (None, Some(text)) => json!({"text": text}),
                (chosen, _) => step["completions"][usize::try_from(chosen.unwrap_or(0)).ok()?].clone(),
            };
            ratings.push(chosen["rating"].as_i64().unwrap_or(1));
            steps.push(chosen["text"].as_str()?.to_owned());
        }
        let wrong = ratings.iter().position(|rating| *rating == -1);
        Some(Arc::new(Solution { recorded: Some(json!({"ratings": ratings})), ..solution(&row, steps, wrong) }))
    });
    rows.collect()
}

/// Solutions as chains of prefixes, each with the share of continuations that came to the right answer. The first prefix
/// that none completed ends in the first wrong step.
fn math_aps(file: &Path) -> Vec<Arc<Solution>> {
    let mut solutions = Vec::new();
    for row in rows(file) {
        let question = row["question"].as_str().expect("a question is a text");
        let prefixes: Vec<(&str, f64)> = row["raw"]
            .as_array()
            .expect("prefixes are a list")
            .iter()
            .filter_map(|one| {
                let solution = one["solution_prefix"].as_str()?.strip_prefix(question)?;
                Some((solution, one["mc_value"].as_f64()?)).filter(|one| !one.0.trim().is_empty())
            })
            .collect();
        let is_leaf = |one: &str| !prefixes.iter().any(|(other, _)| other.len() > one.len() && other.starts_with(one));
        for (leaf, _) in prefixes.iter().filter(|(one, _)| is_leaf(one)) {
            let mut chain: Vec<(&str, f64)> =
                prefixes.iter().copied().filter(|(one, _)| leaf.starts_with(one)).collect();
            chain.sort_by_key(|(one, _)| one.len());
            chain.dedup_by_key(|(one, _)| one.len());
            let starts = std::iter::once(0).chain(chain.iter().map(|(one, _)| one.len()));
            let steps = chain.iter().zip(starts).map(|((one, _), start)| one[start..].to_owned()).collect();
            let shares: Vec<f64> = chain.iter().map(|(_, share)| *share).collect();
            let found = solution(&row, steps, shares.iter().position(|share| *share == 0.0));
            let id = format!("{}/{}", found.id, solutions.len());
            solutions.push(Arc::new(Solution { id, recorded: Some(json!({"scores": shares})), ..found }));
        }
    }
    solutions
}

fn solution(row: &Value, steps: Vec<String>, wrong: Option<usize>) -> Solution {
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    Solution { id: text("id"), question: text("question"), reference: text("answer"), steps, wrong, recorded: None }
}

fn rows(file: &Path) -> Vec<Value> {
    let bytes = zstd::decode_all(std::fs::File::open(file).expect("the file is there")).expect("the file is zstd");
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("every line is JSON")).collect()
}

/// From where a set counts: the marked step and the one before it, by how many of them hold a false equation.
fn count_from(solutions: &[Arc<Solution>]) {
    let marked = |back: usize| {
        let at = solutions.iter().filter_map(|one| one.steps.get(one.wrong?.checked_sub(back)?));
        at.filter(|step| has_false(step)).count()
    };
    let after = solutions.iter().filter_map(|one| one.steps.get(one.wrong? + 1)).filter(|step| has_false(step)).count();
    println!("false equations in the marked step {}, the one before {}, the one after {after}", marked(0), marked(1));
}

// ---- Equations

/// Whether the step holds two numbers or terms of numbers with an equals sign between them that differ.
fn has_false(step: &str) -> bool {
    let step = step.replace("<<", " ").replace(">>", " ; ");
    let parts: Vec<&str> = step.split('=').collect();
    parts.windows(2).any(|two| {
        let (left, right) = (end(two[0]), start(two[1]));
        let sides = [left, right].map(|side| side.trim_matches([' ', '.', ',']));
        if sides.iter().any(|side| !side.contains(|sign: char| sign.is_ascii_digit())) {
            return false;
        }
        let reference = Reference {
            kind: AnswerKind::Math,
            values: vec![sides[0].to_owned()],
            tolerance: None,
            options: Vec::new(),
        };
        verify(&reference, &Answer { text: sides[1], form: Form::Bare }).outcome == Compared::Incorrect
    })
}

fn is_term(sign: char) -> bool {
    sign.is_ascii_digit() || " .+-*/()".contains(sign)
}

/// The term of numbers that a text ends with; nothing if other signs join it.
fn end(text: &str) -> &str {
    let at = text.rfind(|sign| !is_term(sign)).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    whole(&text[at..], text[..at].chars().next_back())
}

/// The term of numbers that a text begins with.
fn start(text: &str) -> &str {
    let at = text.find(|sign| !is_term(sign)).unwrap_or(text.len());
    // Up to a full stop: what follows is the next sentence.
    let term = &text[..at];
    let term = term.find(". ").map_or(term, |stop| &term[..stop]);
    whole(term, text[at..].chars().next())
}

/// A term, unless it has open brackets, or a letter, percent sign or the like stands right beside it.
fn whole(term: &str, beside: Option<char>) -> &str {
    let balanced = term.matches('(').count() == term.matches(')').count();
    let joined = beside.is_some_and(|sign| !matches!(sign, ',' | ';' | ':' | '"' | '$')) && !term.is_empty();
    if balanced && !(joined && beside.is_some_and(|sign| sign == '%' || sign == '^')) { term } else { "" }
}

// ---- The way of a run

/// Every blank line begins a step, and none is joined to another.
fn settings(form: PrmForm) -> Scoring {
    let steps = StepSplit { by: SplitBy::Paragraphs, fragment: 0, max_steps: u32::MAX };
    let sampling = SamplingConfig { max_tokens: 256, ..SamplingConfig::default() };
    Scoring { form, part: Part::All, steps, sampling, structured: true, ..Scoring::default() }
}

fn text(solution: &Solution) -> String {
    solution.steps.iter().map(|step| step.trim()).collect::<Vec<_>>().join("\n\n")
}

/// Whether the splitter makes the marked steps of their text again.
fn comes_back(solution: &Solution) -> bool {
    let text = text(solution);
    let spans = steps::split(&settings(PrmForm::Pooling).steps, &text);
    spans.into_iter().map(|span| text[span].trim()).eq(solution.steps.iter().map(|step| step.trim()))
}

/// The marks of a set as a recording: what comes of them, and the levels of the wrong solutions.
async fn marks(solutions: &[Arc<Solution>]) -> (Vec<Said>, BTreeMap<usize, usize>) {
    let replay = replay(solutions, |one| {
        let labels: Vec<bool> = (0..one.steps.len()).map(|step| one.wrong.is_none_or(|wrong| step < wrong)).collect();
        json!({"labels": labels})
    });
    let (mut said, mut levels) = (Vec::new(), BTreeMap::new());
    for one in solutions {
        let (first, score) = ask(replay.clone(), settings(PrmForm::Pooling), Arc::clone(one)).await;
        said.push(first);
        if let (Some(_), Some(score)) = (one.wrong, score) {
            let level = 5 - Grade::default().edges.iter().filter(|edge| score >= **edge).count();
            *levels.entry(level).or_default() += 1;
        }
    }
    (said, levels)
}

/// What recorded scores say of the steps as they were recorded: these hold blank lines, which the splitter would cut at.
async fn recorded(solutions: &[Arc<Solution>]) -> Vec<Said> {
    let replay = replay(solutions, |one| one.recorded.clone().expect("asked of such sets only"));
    let mut said = Vec::new();
    for one in solutions {
        let form = ScoreForm::Pooling { mark: "<extra_0>".into(), system: None, positive: 1 };
        let request = Score {
            form,
            question: one.question.clone(),
            steps: one.steps.clone(),
            extra: serde_json::Map::new(),
            request_id: String::new(),
            source_ids: [one.id.clone()].into(),
            attempt: 0,
        };
        let scores = replay.score(&request).await.and_then(|raw| raw.read_scores(&request.form, one.steps.len()));
        said.push(scores.map_err(|_| "unreadable").map(|scores| {
            let low = |score: &StepScore| {
                Bounds::of(*score).is_some_and(|score| score.middle() < Scoring::default().bad_below)
            };
            scores.steps.iter().position(low)
        }));
    }
    said
}

/// A recording of scores, one row per solution.
fn replay(solutions: &[Arc<Solution>], said: impl Fn(&Solution) -> Value) -> Arc<dyn Model> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("scores.jsonl");
    let rows: String = solutions
        .iter()
        .map(|one| {
            let mut row = said(one);
            row["id"] = one.id.clone().into();
            row["model"] = "scores".into();
            row["steps"] = one.steps.clone().into();
            row.to_string() + "\n"
        })
        .collect();
    std::fs::write(&file, rows).expect("the folder can be written to");
    Arc::new(Replay::open(&file, "scores").expect("it was just written"))
}

/// A model over all solutions, some at once.
async fn asked(model: &Arc<dyn Model>, form: PrmForm, solutions: &[Arc<Solution>], name: &str) -> Vec<Said> {
    let mut said: Vec<Said> = vec![Err("lost"); solutions.len()];
    let mut at_work = JoinSet::new();
    let mut waiting = solutions.iter().cloned().enumerate();
    let mut n_done = 0;
    loop {
        while at_work.len() < AT_ONCE
            && let Some((at, one)) = waiting.next()
        {
            let model = model.clone();
            at_work.spawn(async move { (at, ask(model, settings(form), one).await.0) });
        }
        let Some(done) = at_work.join_next().await else { return said };
        let (at, first) = done.expect("no task panics");
        said[at] = first;
        n_done += 1;
        eprintln!("{name}, {form:?}: {n_done} of {}", solutions.len());
    }
}

/// What a model says of a solution: the first step below one half, and the mean of its scores.
async fn ask(model: Arc<dyn Model>, settings: Scoring, solution: Arc<Solution>) -> (Said, Option<f64>) {
    let named = ModelConfig::named("scorer");
    let by = ScoredBy { role: "prm", model: &named, form: ScoredForm::Steps(settings.form) };
    let scorer = Scorer::new(&settings, &by, model.identity().clone(), Path::new("")).expect("the words are built in");
    let question = question(&solution);
    let judged = judged(&solution);
    let mut answers: Vec<Answered> = Vec::new();
    loop {
        let work = match score::next(&scorer, &question, &judged, &answers) {
            Next::Ask(work) => work,
            Next::Drop(reason) => return (Err(reason.code), None),
            Next::Done(scored) => {
                let Ok(mean) = scored.result else {
                    return (Err(scored.result.map_or_else(|why| why.code, |_| "")), None);
                };
                let low = scored
                    .steps
                    .iter()
                    .position(|step| step.score.is_some_and(|score| score.middle() < settings.bad_below));
                return (Ok(low), Some(mean.middle()));
            }
        };
        for work in work {
            let outcome = perform(model.as_ref(), &work, &solution.id).await;
            let at = answers.partition_point(|other| other.slot < work.slot);
            answers.insert(at, Answered { slot: work.slot, key: work.keys().1.attempt, outcome });
        }
    }
}

async fn perform(model: &dyn Model, work: &Work, id: &str) -> Outcome {
    let source_ids: Arc<[String]> = [id.to_owned()].into();
    let outcome = match &work.task {
        Task::Generate(generation) => {
            let request = Generate {
                messages: generation.messages.clone(),
                sampling: generation.sampling.clone(),
                seed: work.keys().1.attempt.seed(),
                extra: generation.extra.clone(),
                request_id: String::new(),
                source_ids,
                attempt: 0,
            };
            model.answer(&request).await.map(|(_, completion)| Outcome::Completed(completion))
        }
        Task::Score(scoring) => {
            let request = Score { source_ids, ..scoring.request() };
            model
                .score(&request)
                .await
                .and_then(|raw| raw.read_scores(&scoring.form, scoring.steps.len()))
                .map(Outcome::Scored)
        }
        Task::Measure(_) | Task::Execute(_) => unreachable!("steps are scored, neither measured nor run"),
    };
    outcome.unwrap_or_else(|fault| Outcome::Failed(Reason::new("failed", fault.message)))
}

fn question(solution: &Solution) -> Question {
    Question {
        source_ids: [solution.id.clone()].into(),
        references: vec![solution.reference.clone()],
        source: "steps".into(),
        ..Question::bare(Kind::Math, &solution.question)
    }
}

/// The solution as an attempt; only its text is looked at.
fn judged(solution: &Solution) -> Judged {
    let completion = Completion {
        reasoning: None,
        answer: Some(text(solution)),
        finish: Finish::Stop,
        usage: Usage::default(),
        cost_usd: None,
        model: None,
    };
    let verdict = Verdict {
        outcome: Verdicted::Incorrect,
        method: String::new(),
        version: "",
        extracted: None,
        explanation: String::new(),
        tests: None,
        heard: None,
    };
    Judged { key: Key([0; 32]), source: Source::Student, number: 0, result: Ok((completion, verdict)) }
}
