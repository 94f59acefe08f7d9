//! The order in which answers arrive changes nothing: probe with its grading, and distil, ask for the same work, ask
//! for nothing that is answered, and end in the same row, whatever comes first and wherever a run was interrupted.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::{completion, test_outcome};
use gradus::attempt::Source;
use gradus::config::{Adaptive, Config, Grader, ModelConfig, OnTruncated, PrmForm};
use gradus::prompt::Prompts;
use gradus::question::{Kind, Question};
use gradus::run::{Plan, Resolved};
use gradus::score::Scorer;
use gradus::stats::draw;
use gradus::work::{Answered, Next, Outcome, Reason, Slot, Step, Task, Work};
use gradus::{distil, grade};
use gradus_model::{Completion, Finish, Identity, Scores, StepScore, Usage};
use gradus_sandbox::{Status, Tests};

/// Worlds, and orders of arrival in each.
const N_WORLDS: u64 = 150;
const N_ORDERS: u64 = 12;

fn question(kind: Kind, seed: u64) -> Question {
    let tests = Tests::Function { language: "python".into(), entry_point: "f".into(), test_code: "assert f()".into() };
    Question {
        references: if kind == Kind::Code { Vec::new() } else { vec!["7".into()] },
        tests: (kind == Kind::Code).then(|| Arc::new(tests)),
        ..common::question(kind, &format!("question {seed}"))
    }
}

/// A plan drawn by the seed: attempts, tries, teachers, longer tries, grader.
fn plan(seed: u64) -> Plan {
    let between = |purpose: &str, low: u64, high: u64| low + draw(seed, purpose, b"") % (high - low + 1);
    let mut config = Config::default();
    config.probe.attempts = between("attempts", 1, 6) as u32;
    if between("longer", 0, 1) == 1 {
        config.grade.on_truncated = OnTruncated::RetryLonger;
        config.probe.longer_max_tokens = Some(config.probe.sampling.max_tokens * 2);
    }
    if between("adaptive", 0, 2) > 0 {
        config.grade.grader = [Grader::FirstCorrect, Grader::PassRate][between("grader", 0, 1) as usize];
        let min_attempts = between("min_attempts", 1, 3) as u32;
        config.probe.adaptive = Some(Adaptive { min_attempts, max_width: between("width", 1, 9) as f64 / 10.0 });
    }
    config.distil.correct = between("correct", 1, 3) as u32;
    config.distil.tries = config.distil.correct + between("tries", 0, 4) as u32;
    if between("allowance", 0, 1) == 1 {
        // Nobody counts here, so each attempt takes its worst case of some 33,000 tokens.
        config.distil.max_tokens_per_question = Some(between("max_tokens", 1, 150_000));
    }
    let model = |name: String| Resolved {
        identity: Identity { name, revision: String::new() },
        system: None,
        extra: serde_json::Map::new(),
    };
    let teachers = (0..between("teachers", 1, 3)).map(|n| model(format!("teacher {n}"))).collect();
    let graders =
        [Grader::FirstCorrect, Grader::PassRate, Grader::Prm, Grader::Generative, Grader::Judge, Grader::Tests];
    config.grade.grader = graders[between("grader", 0, 5) as usize];
    let forms = [PrmForm::Pooling, PrmForm::ChatLabels, PrmForm::PromptLogprobs, PrmForm::Generative];
    config.scoring.form = forms[between("form", 0, 3) as usize];
    config.scoring.steps.fragment = 0;
    (config.prm, config.judge) = (Some(ModelConfig::named("gguf:prm")), Some(ModelConfig::named("gguf:judge")));
    let plan = Plan::new(&config, model("student".into()), teachers, Arc::new(Prompts::default()));
    let Some(by) = config.scored_by().unwrap() else { return plan };
    plan.scored_by(Scorer::new(&config.scoring, &by, model(by.role.into()).identity, Path::new("")).unwrap())
}

/// What the world answers: it depends on the work, and on nothing else.
fn answer(seed: u64, work: &Work) -> Answered {
    let key = work.keys().1.attempt;
    // Equal programs are one piece of work; their place in the question is not part of it.
    let fate = draw(seed, "fate", &key.0) % 100;
    let outcome = match &work.task {
        _ if fate < 8 => Outcome::Failed(Reason::new("endpoint_error", "down")),
        Task::Generate(_) if matches!(work.slot.step, Step::Score { .. }) => {
            let marks = r#"{"1": "right", "2": "wrong"}"#;
            let reply = ["what?", marks, r#"{"1": "right"}"#, r#"{"rating": 0.5}"#][(fate % 4) as usize];
            Outcome::Completed(Completion {
                reasoning: None,
                answer: Some(reply.to_owned()),
                finish: Finish::Stop,
                usage: Usage::default(),
                cost_usd: None,
                model: None,
            })
        }
        Task::Score(scoring) => {
            let score = |(_, at): (_, u64)| match draw(seed, "score", &[&key.0[..], &at.to_le_bytes()].concat()) % 5 {
                0 => StepScore::Undecided,
                1 => StepScore::Bounded { low: 0.25, high: 0.5 },
                n => StepScore::Known(n as f64 / 5.0),
            };
            Outcome::Scored(Scores {
                steps: scoring.steps.iter().zip(0..).map(score).collect(),
                whole: None,
                usage: Usage::default(),
                cost_usd: None,
                model: None,
            })
        }
        Task::Generate(_) => {
            let cut = fate < 30;
            let text = match fate % 4 {
                0 => "7".to_owned(),
                1 => "Let us see.\n\nIt is \\boxed{8}.".to_owned(),
                2 => format!("```python\ndef f():\n    return {fate}\n```"),
                _ => r"It is \boxed{7}.".to_owned(),
            };
            let finish = if cut { Finish::Length } else { Finish::Stop };
            Outcome::Completed(completion((!fate.is_multiple_of(11)).then_some(text), finish))
        }
        Task::Measure(_) => unreachable!("no stage of this test measures"),
        Task::Execute(_) => Outcome::Executed(gradus_sandbox::Outcome {
            tests: vec![test_outcome([Status::Passed, Status::Failed, Status::SandboxError][(fate % 3) as usize])],
            total: 1,
        }),
    };
    Answered { slot: work.slot, key, outcome }
}

/// What came of a question: its final word, and all the work it asked for.
#[derive(Debug, PartialEq)]
struct Story<Row> {
    end: Next<Row>,
    asked: BTreeMap<Slot, Work>,
}

/// Calls the stage until it is settled. Answers arrive in an order drawn by `order`; those that are `known` are
/// there from the start, as after an interruption.
fn tell<Row>(seed: u64, order: u64, mut answers: Vec<Answered>, next: impl Fn(&[Answered]) -> Next<Row>) -> Story<Row> {
    let mut asked: BTreeMap<Slot, Work> = BTreeMap::new();
    let mut in_flight: Vec<Work> = Vec::new();
    for step in 0_u32.. {
        let work = match next(&answers) {
            Next::Ask(work) => work,
            end => return Story { end, asked },
        };
        assert!(!work.is_empty(), "asking for nothing never ends");
        for work in work {
            assert!(answers.iter().all(|answered| answered.slot != work.slot), "{:?} is answered", work.slot);
            if let Some(former) = asked.insert(work.slot, work.clone()) {
                assert_eq!(former, work, "one slot, one piece of work");
            } else {
                in_flight.push(work);
            }
        }
        assert!(!in_flight.is_empty(), "it waits for nothing");
        let at = draw(seed ^ order.rotate_left(32), "arrival", &step.to_le_bytes()) as usize % in_flight.len();
        let arrived = answer(seed, &in_flight.swap_remove(at));
        let place = answers.partition_point(|other| other.slot < arrived.slot);
        answers.insert(place, arrived);
    }
    unreachable!("the loop has no end of its own")
}

/// All orders of one world come to the same; so does going on from any part of the answers.
fn check<Row: std::fmt::Debug + PartialEq>(seed: u64, next: impl Fn(&[Answered]) -> Next<Row>) -> Story<Row> {
    let first = tell(seed, 0, Vec::new(), &next);
    for order in 1..N_ORDERS {
        let other = tell(seed, order, Vec::new(), &next);
        assert_eq!(other, first, "seed {seed}, order {order}");
        // Some of the answers are there already: the rest is asked for, and no more.
        let known: Vec<Answered> = first
            .asked
            .values()
            .filter(|work| draw(seed ^ order, "known", &work.keys().1.attempt.0).is_multiple_of(2))
            .map(|work| answer(seed, work))
            .collect();
        let resumed = tell(seed, order, known.clone(), &next);
        assert_eq!(resumed.end, first.end, "seed {seed}, order {order}");
        let mut all = resumed.asked;
        all.extend(known.iter().map(|answered| (answered.slot, first.asked[&answered.slot].clone())));
        assert_eq!(all, first.asked, "seed {seed}, order {order}");
    }
    first
}

#[test]
fn probe_and_distil_do_not_depend_on_the_order_of_arrival() {
    // What the worlds hold, so that the test cannot pass by holding nothing.
    let (mut n_rows, mut n_drops, mut n_longer, mut n_runs, mut n_early) = (0, 0, 0, 0, 0);
    let (mut n_scores, mut n_over) = (0, 0);
    for seed in 0..N_WORLDS {
        let plan = plan(seed);
        for kind in [Kind::Math, Kind::Code] {
            let question = question(kind, seed);
            let probed = check(seed, |answers| grade::next(&plan.probe, &plan.grade, &question, answers));
            let distilled = check(seed, |answers| distil::next(&plan.distil, &question, answers));
            n_over += u32::from(matches!(&distilled.end, Next::Done(distilled) if distilled.out_of_budget));
            n_rows +=
                u32::from(matches!(probed.end, Next::Done(_))) + u32::from(matches!(distilled.end, Next::Done(_)));
            n_drops +=
                u32::from(matches!(probed.end, Next::Drop(_))) + u32::from(matches!(distilled.end, Next::Drop(_)));
            let slots: Vec<Slot> = probed.asked.into_keys().chain(distilled.asked.into_keys()).collect();
            n_longer += slots.iter().filter(|slot| slot.step == Step::Longer).count();
            n_scores += slots.iter().filter(|slot| matches!(slot.step, Step::Score { .. })).count();
            n_runs += slots.iter().filter(|slot| matches!(slot.step, Step::Execute { .. })).count();
            let of_teachers =
                slots.iter().filter(|slot| matches!(slot.source, Source::Teacher(_)) && slot.step == Step::Generate);
            n_early += usize::from(of_teachers.count() < plan.distil.askers.len() * plan.distil.tries as usize);
        }
    }
    assert!(n_rows > 400 && n_drops > 5, "{n_rows} rows, {n_drops} drops");
    assert!(n_scores > 200, "{n_scores} scorings");
    assert!(n_over > 20, "{n_over} questions used up their budget");
    assert!(n_longer > 50 && n_runs > 50 && n_early > 50, "{n_longer} longer, {n_runs} runs, {n_early} ended early");
}
