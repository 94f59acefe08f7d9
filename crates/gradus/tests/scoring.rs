//! What wrong attempts are asked to be scored, and what their scores make of a question.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use gradus::attempt::Source;
use gradus::config::{Config, Easy, Grader, ModelConfig, Part, PrmForm};
use gradus::grade::{self, GradedQuestion};
use gradus::level::Level;
use gradus::prompt::Prompts;
use gradus::question::{Kind, Question, QuestionId};
use gradus::run::{Plan, Resolved};
use gradus::score::Scorer;
use gradus::work::{Answered, Next, Outcome, Reason, Step, Task, Work};
use gradus_model::{Completion, Finish, Identity, ScoreForm, Scores, StepScore, Usage};
use gradus_sandbox::{Status, Tests};

const WRONG: &str = "First we add the two numbers that were given.\n\nThen their sum is the answer: \\boxed{8}.";
const RIGHT: &str = "The answer is \\boxed{7}.";

fn question(kind: Kind) -> Question {
    let tests = Tests::Function { language: "python".into(), entry_point: "f".into(), test_code: "assert f()".into() };
    Question {
        id: QuestionId::of(kind, "What is 3 + 4?", &[]),
        source_ids: Arc::new(["q".to_owned()]),
        kind,
        text: "What is 3 + 4?".into(),
        references: if kind == Kind::Code { Vec::new() } else { vec!["7".into()] },
        tolerance: None,
        tests: (kind == Kind::Code).then(|| Arc::new(tests)),
        starter: String::new(),
        options: Vec::new(),
        level: None,
        subject: None,
        source: "test".into(),
        license: None,
    }
}

fn config(grader: Grader, attempts: u32) -> Config {
    let mut config = Config::default();
    config.probe.attempts = attempts;
    config.grade.grader = grader;
    (config.prm, config.judge) = (Some(ModelConfig::named("gguf:prm")), Some(ModelConfig::named("gguf:judge")));
    config
}

fn completed(reasoning: Option<&str>, answer: &str, finish: Finish) -> Outcome {
    Outcome::Completed(Completion {
        reasoning: reasoning.map(str::to_owned),
        answer: Some(answer.to_owned()),
        finish,
        usage: Usage::default(),
        cost_usd: None,
        model: None,
    })
}

fn written(answer: &str) -> Outcome {
    completed(None, answer, Finish::Stop)
}

fn scores(steps: &[f64]) -> Outcome {
    let steps = steps.iter().copied().map(StepScore::Known).collect();
    Outcome::Scored(Scores { steps, whole: None, usage: Usage::default(), cost_usd: None, model: None })
}

/// Grades a question of which `student` gives the attempts and `scorer` whatever it is asked; tells the end and what
/// the scorer was asked.
fn run(
    config: &Config,
    kind: Kind,
    student: impl Fn(u32) -> Outcome,
    scorer: impl Fn(&Work) -> Outcome,
) -> (Next<GradedQuestion>, Vec<Work>) {
    let model = |name: &str| Resolved {
        identity: Identity { name: name.into(), revision: String::new() },
        system: None,
        extra: serde_json::Map::new(),
    };
    let mut plan = Plan::new(config, model("student"), Vec::new(), Arc::new(Prompts::default()));
    if let Some(by) = config.scored_by().unwrap() {
        let scorer = Scorer::new(&config.scoring, &by, model(by.role).identity, Path::new("")).unwrap();
        plan = plan.scored_by(scorer);
    }
    let question = question(kind);
    let (mut answers, mut asked) = (Vec::<Answered>::new(), Vec::new());
    loop {
        let work = match grade::next(&plan.probe, &plan.grade, &question, &answers) {
            Next::Ask(work) => work,
            end => return (end, asked),
        };
        for work in work {
            let outcome = match (work.slot.source, &work.task) {
                (Source::Grader, _) => {
                    asked.push(work.clone());
                    scorer(&work)
                }
                (_, Task::Execute(_)) => Outcome::Executed(gradus_sandbox::Outcome {
                    tests: [Status::Passed, Status::Failed, Status::Failed, Status::Failed].map(test).to_vec(),
                    total: 4,
                }),
                _ => student(work.slot.attempt),
            };
            let at = answers.partition_point(|other| other.slot < work.slot);
            answers.insert(at, Answered { slot: work.slot, key: work.keys().1.attempt, outcome });
        }
    }
}

fn test(status: Status) -> gradus_sandbox::TestOutcome {
    let test = serde_json::json!({"status": status, "detail": "", "cpu_ms": 1, "wall_ms": 1, "memory_bytes": 1});
    serde_json::from_value(test).unwrap()
}

fn done(end: Next<GradedQuestion>) -> GradedQuestion {
    match end {
        Next::Done(graded) => graded,
        end => panic!("{end:?}"),
    }
}

/// The code for which a question is ungraded.
fn ungraded(end: Next<GradedQuestion>) -> &'static str {
    done(end).graded.level.unwrap_err().code
}

#[test]
fn a_question_solved_asks_for_no_score() {
    for grader in [Grader::Prm, Grader::Generative, Grader::Judge] {
        let student = |attempt| written(if attempt == 0 { RIGHT } else { WRONG });
        let (end, asked) = run(&config(grader, 3), Kind::Math, student, |_| unreachable!());
        assert_eq!((done(end).graded.level, asked.len()), (Ok(Level::Easy), 0));
    }
}

#[test]
fn the_score_is_the_mean_over_wrong_attempts_of_the_aggregate_over_steps() {
    let student = |attempt| written([WRONG, RIGHT, &format!("Well. {WRONG}")][attempt as usize]);
    let (end, asked) = run(&config(Grader::Prm, 3), Kind::Math, student, |work| {
        scores(if work.slot.attempt == 0 { &[1.0, 0.5] } else { &[0.25, 0.25] })
    });
    let graded = done(end);
    assert_eq!(asked.len(), 2, "right attempts are not scored");
    assert_eq!((graded.graded.level, graded.graded.score), (Ok(Level::Hard(3)), Some(0.5)));
    let Task::Score(scoring) = &asked[0].task else { panic!("{asked:?}") };
    assert_eq!(scoring.steps, WRONG.split("\n\n").collect::<Vec<_>>());
    assert!(matches!(&scoring.form, ScoreForm::Pooling { mark, .. } if mark == "<extra_0>"));
    let steps: Vec<_> = graded.scored[0].steps.iter().map(|step| step.score.unwrap().middle()).collect();
    assert_eq!(steps, [1.0, 0.5]);
}

#[test]
fn easy_is_what_the_config_says() {
    let student = |attempt| written(if attempt == 0 { WRONG } else { RIGHT });
    let mut config = config(Grader::Prm, 10);
    let (end, asked) = run(&config, Kind::Math, student, |_| scores(&[0.0, 0.0]));
    assert_eq!((done(end).graded.level, asked.len()), (Ok(Level::Hard(5)), 1));
    config.grade.easy = Easy::PassRate;
    let (end, asked) = run(&config, Kind::Math, student, |_| unreachable!());
    assert_eq!((done(end).graded.level, asked.len()), (Ok(Level::Easy), 0));
}

#[test]
fn what_is_too_long_is_left_out_and_alone_leaves_the_question_ungraded() {
    let config = config(Grader::Prm, 2);
    let student = |attempt| completed(Some(&format!("attempt {attempt}")), WRONG, Finish::Length);
    let too_long = || Outcome::Failed(Reason::new("context_too_long", "5000 tokens"));
    let (end, _) =
        run(
            &config,
            Kind::Math,
            student,
            |work| {
                if work.slot.attempt == 0 { too_long() } else { scores(&[0.5, 0.5, 0.5]) }
            },
        );
    let graded = done(end);
    assert_eq!(graded.scored[0].result.as_ref().unwrap_err().code, "too_long");
    assert_eq!(graded.graded.score, Some(0.5), "a truncated attempt counts as wrong, and is scored");
    let (end, _) = run(&config, Kind::Math, student, |_| too_long());
    assert_eq!(ungraded(end), "too_long");
}

#[test]
fn a_score_that_was_never_asked_for_drops_the_question() {
    let not_asked = |_: &Work| Outcome::Failed(Reason::new("not_asked", ""));
    let (end, _) = run(&config(Grader::Prm, 1), Kind::Math, |_| written(WRONG), not_asked);
    assert!(matches!(end, Next::Drop(Reason { code: "not_asked", .. })), "{end:?}");
}

#[test]
fn labels_are_asked_for_step_by_step() {
    let mut config = config(Grader::Prm, 1);
    config.scoring.form = PrmForm::ChatLabels;
    let (end, asked) = run(
        &config,
        Kind::Math,
        |_| written(WRONG),
        |work| {
            let Task::Score(scoring) = &work.task else { panic!("{work:?}") };
            scores(&[scoring.steps.len() as f64 / 4.0])
        },
    );
    assert_eq!((done(end).graded.score, asked.len()), (Some(0.375), 2));
    let keys: BTreeSet<_> = asked.iter().map(|work| work.keys().1.attempt).collect();
    assert_eq!(keys.len(), 2);
}

#[test]
fn a_reply_that_cannot_be_read_is_asked_for_again_and_then_leaves_the_attempt_without_a_score() {
    let config = config(Grader::Generative, 1);
    let marks = r#"{"1": "right", "2": "wrong"}"#;
    let n_try = |work: &Work| match work.slot.step {
        Step::Score { n_try, .. } => n_try,
        step => panic!("{step:?}"),
    };
    let (end, asked) = run(
        &config,
        Kind::Math,
        |_| written(WRONG),
        |work| written(if n_try(work) < 2 { "I think so." } else { marks }),
    );
    assert_eq!((done(end).graded.score, asked.len()), (Some(0.5), 3));
    let keys: BTreeSet<_> = asked.iter().map(|work| work.keys().1.attempt).collect();
    assert_eq!(keys.len(), 3, "each try is an attempt of its own at the same words");
    assert!(asked.windows(2).all(|pair| pair[0].task == pair[1].task));
    let (end, asked) = run(&config, Kind::Math, |_| written(WRONG), |_| written(r#"{"1": "right"}"#));
    assert_eq!((ungraded(end), asked.len()), ("unreadable", 3));
}

#[test]
fn words_hold_question_and_steps_and_a_schema_if_asked_for() {
    let mut config = config(Grader::Generative, 1);
    config.scoring.structured = true;
    let (_, asked) = run(&config, Kind::Math, |_| written(WRONG), |_| written(r#"{"1": "right", "2": "wrong"}"#));
    let Task::Generate(generation) = &asked[0].task else { panic!("{asked:?}") };
    let words = &generation.messages[0].content;
    assert!(words.contains("What is 3 + 4?") && words.contains("[Step 2]\nThen their sum"), "{words}");
    assert!(words.contains("into 2 numbered steps") && !words.contains("{question}"), "{words}");
    let schema = &generation.extra["response_format"]["json_schema"]["schema"];
    assert_eq!(schema["required"], serde_json::json!(["1", "2"]));
    config.grade.grader = Grader::Judge;
    let (end, asked) = run(&config, Kind::Math, |_| written(WRONG), |_| written(r#"{"rating": 0.75}"#));
    assert_eq!((done(end).graded.score, asked.len()), (Some(0.75), 1));
}

#[test]
fn thinking_is_scored_unless_the_config_says_otherwise() {
    let mut config = config(Grader::Prm, 1);
    let student = |_| completed(Some("Let me think about what is given here first of all."), WRONG, Finish::Stop);
    let n_steps = |config: &Config| {
        let (_, asked) = run(config, Kind::Math, student, |work| match &work.task {
            Task::Score(scoring) => scores(&vec![0.5; scoring.steps.len()]),
            task => panic!("{task:?}"),
        });
        match &asked[0].task {
            Task::Score(scoring) => scoring.steps.len(),
            task => panic!("{task:?}"),
        }
    };
    assert_eq!(n_steps(&config), 3);
    config.scoring.part = Part::Answer;
    assert_eq!(n_steps(&config), 2);
    let silent = |_| completed(Some("I never came to an end."), "", Finish::Length);
    let (end, asked) = run(&config, Kind::Math, silent, |_| unreachable!());
    assert_eq!((ungraded(end), asked.len()), ("nothing_to_score", 0));
}

#[test]
fn an_attempt_that_holds_the_mark_is_not_sent() {
    let student = |_| written("I write <extra_0> in my own answer: \\boxed{8}.");
    let (end, asked) = run(&config(Grader::Prm, 1), Kind::Math, student, |_| unreachable!());
    assert_eq!((ungraded(end), asked.len()), ("holds_mark", 0));
}

#[test]
fn code_is_graded_by_its_tests_and_nothing_else_is() {
    let student = |_| written("```python\ndef f():\n    return 0\n```");
    let (end, _) = run(&config(Grader::Tests, 1), Kind::Code, student, |_| unreachable!());
    let graded = done(end).graded;
    assert_eq!((graded.level, graded.score), (Ok(Level::Hard(4)), Some(0.25)));
    let (end, _) = run(&config(Grader::Tests, 1), Kind::Math, |_| written(WRONG), |_| unreachable!());
    assert_eq!(ungraded(end), "no_tests");
}

#[test]
fn a_recorded_score_of_the_whole_answer_stands_for_its_steps() {
    for form in [PrmForm::Pooling, PrmForm::ChatLabels] {
        let mut config = config(Grader::Prm, 1);
        config.scoring.form = form;
        let (end, _) = run(
            &config,
            Kind::Math,
            |_| written(WRONG),
            |_| {
                let whole = Some(StepScore::Known(0.75));
                Outcome::Scored(Scores {
                    steps: Vec::new(),
                    whole,
                    usage: Usage::default(),
                    cost_usd: None,
                    model: None,
                })
            },
        );
        let graded = done(end);
        assert!(graded.scored[0].whole && graded.scored[0].steps.len() == 1);
        assert_eq!(graded.graded.level, Ok(Level::Hard(2)));
    }
}
