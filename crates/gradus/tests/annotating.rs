//! Judges of answers and of chains of thought: what they are asked, and what becomes of what they say.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::path::Path;
use std::sync::Arc;

use gradus::annotate::{self, Annotate, AnnotatedQuestion, Rater, Templates};
use gradus::attempt::Source;
use gradus::config::{self, Annotated, AnswerJudge as Asked, Calls, Config, Judging, ModelConfig, Score};
use gradus::judge::{self, AnswerJudge, Judge};
use gradus::prompt::Prompts;
use gradus::question::{Kind, Question};
use gradus::run::{Plan, Resolved};
use gradus::verdict::{Outcome, Verdict};
use gradus::words::Speaking;
use gradus::work::{Answered, Next, Outcome as Done, Rated, Reason, Slot, Step, Task, Work};
use gradus_model::{Finish, Identity};

fn speaking(name: &str) -> Speaking {
    Speaking {
        model: Identity { name: name.into(), revision: String::new() },
        system: Some("You judge.".into()),
        extra: serde_json::Map::new(),
        sampling: (&config::SamplingConfig::default()).into(),
        structured: false,
        tries: 1,
    }
}

fn question(kind: Kind, text: &str, reference: &str) -> Question {
    Question { references: vec![reference.to_owned()], ..common::question(kind, text) }
}

/// Puts an answer to the judge, who replies to each try in turn; gives back what it was asked and the verdict.
fn put(config: &Judging, question: &Question, answer: &str, replies: &[Done]) -> (Vec<Work>, Verdict) {
    let model = AnswerJudge::new(config, || speaking("j"), Path::new("")).unwrap();
    let judge = Judge { model, ..Judge::from(config) };
    let slot = Slot { source: Source::Student, attempt: 0, step: Step::Generate };
    let completed = Done::Completed(common::completion(Some(answer.to_owned()), Finish::Stop));
    let mut answers = vec![Answered { slot, key: gradus::attempt::Key([7; 32]), outcome: completed }];
    let (mut asked, mut replies) = (Vec::new(), replies.iter());
    loop {
        match judge::next(&judge, question, slot, &answers[0].clone(), &answers) {
            Next::Done(judged) => return (asked, judged.result.unwrap().1),
            Next::Ask(work) => {
                let [work] = <[Work; 1]>::try_from(work).unwrap();
                let outcome = replies.next().expect("it is not asked more often than it replies").clone();
                answers.push(Answered { slot: work.slot, key: work.keys().1.attempt, outcome });
                answers.sort_by_key(|answered| answered.slot);
                asked.push(work);
            }
            Next::Drop(reason) => panic!("{reason:?}"),
        }
    }
}

fn reply(text: &str) -> Done {
    Done::Completed(common::completion(Some(text.to_owned()), Finish::Stop))
}

fn words(work: &Work) -> &str {
    let Task::Generate(generation) = &work.task else { panic!("{work:?}") };
    &generation.messages.last().unwrap().content
}

#[test]
fn a_judge_is_asked_only_where_the_rules_cannot_tell() {
    let config = Judging { judge: Asked::Llm, ..Judging::default() };
    let text = question(Kind::Text, "Why is the sky blue?", "Rayleigh scattering");
    let (asked, verdict) = put(&config, &text, "Air scatters short waves more.", &[reply(r#"{"verdict": "correct"}"#)]);
    assert_eq!((asked.len(), verdict.outcome, verdict.method.as_str()), (1, Outcome::Correct, "llm:j"));
    assert_eq!(asked[0].slot.asked(), Source::Judge);
    for wanted in ["Why is the sky blue?", "Rayleigh scattering", "Air scatters short waves more."] {
        assert!(words(&asked[0]).contains(wanted), "{}", words(&asked[0]));
    }
    let math = question(Kind::Math, "1 + 1?", "2");
    for (answer, outcome) in [(r"\boxed{2}", Outcome::Correct), (r"\boxed{3}", Outcome::Incorrect)] {
        let (asked, verdict) = put(&config, &math, answer, &[]);
        assert_eq!((asked.len(), verdict.outcome, verdict.heard), (0, outcome, None));
    }
    let (asked, verdict) = put(&config, &Question { references: vec![], ..text.clone() }, "Because.", &[]);
    assert_eq!((asked.len(), verdict.outcome), (0, Outcome::Undecided), "there is nothing to compare with");
    let (asked, verdict) = put(&Judging::default(), &text, "Air scatters short waves more.", &[]);
    assert_eq!((asked.len(), verdict.outcome), (0, Outcome::Undecided), "nobody is asked by default");
}

#[test]
fn a_judge_that_cannot_be_read_leaves_the_question_undecided() {
    let config = Judging { judge: Asked::Llm, tries: 2, ..Judging::default() };
    let text = question(Kind::Text, "Why is the sky blue?", "Rayleigh scattering");
    let answer = "Air scatters short waves more.";
    let (asked, verdict) = put(&config, &text, answer, &[reply("Yes!"), reply(r#"{"verdict": "yes"}"#)]);
    assert_eq!((asked.len(), verdict.outcome), (2, Outcome::Undecided));
    assert!(verdict.heard.as_ref().unwrap().as_ref().unwrap_err().detail.contains("none of 2 replies"), "{verdict:?}");
    let keys: Vec<_> = asked.iter().map(|work| work.keys().1.attempt).collect();
    assert_ne!(keys[0], keys[1], "a second try is another request");
    let (_, verdict) = put(&config, &text, answer, &[Done::Failed(Reason::new("endpoint_error", "http://host: down"))]);
    assert_eq!(verdict.outcome, Outcome::Undecided);
    assert!(!verdict.explanation.contains("host"), "no address in what is shown: {}", verdict.explanation);
    let (_, verdict) = put(&config, &text, answer, &[reply(r#"{"verdict": "undecided"}"#)]);
    assert_eq!((verdict.outcome, verdict.heard), (Outcome::Undecided, Some(Ok(Outcome::Undecided))));
}

#[test]
fn a_checked_verdict_stays_that_of_the_rules() {
    let config = Judging { check_share: 1.0, ..Judging::default() };
    let math = question(Kind::Math, "1 + 1?", "2");
    let (asked, verdict) = put(&config, &math, r"\boxed{2}", &[reply(r#"{"verdict": "incorrect"}"#)]);
    assert_eq!((asked.len(), verdict.outcome), (1, Outcome::Correct));
    assert!(verdict.method.starts_with("verify:"), "{}", verdict.method);
    assert_eq!(verdict.heard, Some(Ok(Outcome::Incorrect)));
}

/// The plan of a config with two teachers, and its judges.
fn plan(config: &Config) -> (Plan, Annotate) {
    let model = |name: &str| Resolved {
        identity: Identity { name: name.into(), revision: String::new() },
        system: None,
        extra: serde_json::Map::new(),
    };
    let plan = Plan::new(config, model("s"), vec![model("t"), model("u")], Arc::new(Prompts::default()));
    let templates = Templates::load(&config.annotate.prompts, Path::new("")).unwrap();
    let rater = |second, name| Rater::new(&config.annotate, second, speaking(name), templates.clone());
    let mut raters = vec![rater(false, "j")];
    raters.extend(config.second_judge.as_ref().map(|_| rater(true, "k")));
    let annotate = plan.clone().rated_by(raters, Vec::new()).annotate;
    (plan, annotate)
}

/// Has everything answered: teachers as `teach` says, judges as `judge` says; gives back what the judges were asked.
fn annotated(
    config: &Config,
    question: &Question,
    teach: impl Fn(Slot) -> Done,
    judge: impl Fn(&Work) -> Done,
) -> (Vec<Work>, AnnotatedQuestion) {
    let (plan, annotate) = plan(config);
    let (mut answers, mut asked): (Vec<Answered>, Vec<Work>) = (Vec::new(), Vec::new());
    loop {
        let work = match annotate::next(&plan.distil, &annotate, question, &answers) {
            Next::Done(done) => return (asked, done),
            Next::Drop(reason) => panic!("{reason:?}"),
            Next::Ask(work) => work,
        };
        for work in work {
            let outcome = if matches!(work.slot.step, Step::Rate { .. }) {
                let outcome = judge(&work);
                asked.push(work.clone());
                outcome
            } else {
                teach(work.slot)
            };
            answers.push(Answered { slot: work.slot, key: work.keys().1.attempt, outcome });
        }
        answers.sort_by_key(|answered| answered.slot);
    }
}

fn config(annotate: config::Annotate) -> Config {
    let mut config = Config { judge: Some(ModelConfig::named("gguf:j")), annotate, ..Config::default() };
    config.distil.correct = 2;
    config.distil.tries = 2;
    config
}

/// Says a number made of what it was asked, so that every rating can be told from every other.
fn digits(work: &Work) -> Done {
    let Step::Rate { what, .. } = work.slot.step else { panic!("{work:?}") };
    let digit = |salt: u8| blake3::hash(&[words(work).as_bytes(), &[salt]].concat()).as_bytes()[0] % 10;
    reply(&match what {
        Rated::Score(score) => format!(r#"{{"{}": {}}}"#, score.name(), digit(score as u8)),
        Rated::Joint => format!(r#"{{"rv": {}, "rv_fit": {}, "cd": {}}}"#, digit(0), digit(1), digit(2)),
        Rated::Process => r#"{"process": "sound"}"#.to_owned(),
    })
}

fn right(slot: Slot) -> Done {
    reply(&format!("{slot:?} says \\boxed{{2}}"))
}

#[test]
fn every_chain_of_thought_has_its_own_ratings() {
    let scores = vec![Score::Rv, Score::Cd];
    let config = config(config::Annotate { scores, process: true, ..config::Annotate::default() });
    let (asked, done) = annotated(&config, &question(Kind::Math, "1 + 1?", "2"), right, digits);
    assert_eq!(done.notes.len(), 4, "two of each teacher");
    assert_eq!(asked.len(), 4 * (2 * 3 + 1), "two scores three times, and the process once");
    for (judged, notes) in done.distilled.cots.iter().zip(&done.notes) {
        let own = judged.result.as_ref().unwrap().0.answer.as_deref().unwrap();
        let of_own = |work: &&Work| (work.slot.source, work.slot.attempt) == (judged.source, judged.number);
        assert!(asked.iter().filter(of_own).all(|work| words(work).contains(own)), "it is asked about itself");
        let count = |what| notes.ratings.iter().filter(|rating| rating.what == what && rating.value.is_ok()).count();
        assert_eq!((count("rv"), count("cd"), count("rv_fit"), count("process")), (3, 3, 0, 1));
    }
    let mut keys: Vec<_> = asked.iter().map(|work| work.keys().1.attempt).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), asked.len(), "no two ratings share a key");
}

#[test]
fn more_ratings_ask_only_for_the_new_ones() {
    let of = |ratings| config(config::Annotate { scores: vec![Score::Cd], ratings, ..config::Annotate::default() });
    let keys = |config: &Config| {
        let (asked, _) = annotated(config, &question(Kind::Math, "1 + 1?", "2"), right, digits);
        asked.iter().map(|work| work.keys().1.attempt).collect::<std::collections::HashSet<_>>()
    };
    let (three, five) = (keys(&of(3)), keys(&of(5)));
    assert_eq!((three.len(), five.len()), (12, 20));
    assert!(three.is_subset(&five));
}

#[test]
fn wrong_ones_are_rated_only_if_all_are() {
    let wrong = |slot: Slot| {
        if slot.source == Source::Teacher(0) { reply("\\boxed{3}") } else { right(slot) }
    };
    let of = |of| config(config::Annotate { scores: vec![Score::Rv], ratings: 1, of, ..config::Annotate::default() });
    let question = question(Kind::Math, "1 + 1?", "2");
    assert_eq!(annotated(&of(Annotated::Correct), &question, wrong, digits).0.len(), 2);
    assert_eq!(annotated(&of(Annotated::All), &question, wrong, digits).0.len(), 4);
    let mut strict = of(Annotated::Correct);
    strict.distil.min_correct = 3;
    assert_eq!(annotated(&strict, &question, wrong, digits).0.len(), 0, "the question is not kept anyway");
}

#[test]
fn an_unreadable_rating_is_null_and_costs_no_other() {
    let annotate =
        config::Annotate { scores: Score::ALL.to_vec(), ratings: 2, tries: 2, ..config::Annotate::default() };
    let silent = |work: &Work| match work.slot.step {
        Step::Rate { what: Rated::Score(Score::Cd), repeat: 1, .. } => reply("About 4, I would say."),
        _ => digits(work),
    };
    let (asked, done) = annotated(&config(annotate), &question(Kind::Math, "1 + 1?", "2"), right, silent);
    assert_eq!(asked.len(), 4 * (6 + 1), "one more try for the one that cannot be read");
    for notes in &done.notes {
        let without: Vec<_> = notes.ratings.iter().filter(|rating| rating.value.is_err()).collect();
        assert_eq!(notes.ratings.len(), 6);
        assert_eq!(
            without.iter().map(|rating| (rating.what, rating.repeat, rating.n_tries)).collect::<Vec<_>>(),
            [("cd", 1, 2)]
        );
    }
}

#[test]
fn both_ways_of_calling_are_compared_on_a_share() {
    let of = |calls, compare_calls| {
        let scores = vec![Score::Rv, Score::Cd];
        config(config::Annotate { scores, ratings: 1, calls, compare_calls, ..config::Annotate::default() })
    };
    let asked = |config: Config| annotated(&config, &question(Kind::Math, "1 + 1?", "2"), right, digits).0.len();
    assert_eq!(asked(of(Calls::Joint, 0.0)), 4, "all scores in one call");
    assert_eq!(asked(of(Calls::Separate, 0.0)), 8);
    assert_eq!(asked(of(Calls::Separate, 1.0)), 12);
    let mut second = of(Calls::Separate, 0.0);
    second.second_judge = Some(ModelConfig::named("gguf:k"));
    assert_eq!(asked(second), 16, "the second judge is asked the same");
}
