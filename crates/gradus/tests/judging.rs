//! From an attempt to a verdict, and from verdicts to a level: every kind of question, every way an attempt can end.

mod common;

use std::sync::Arc;

use common::test_outcome;
use gradus::attempt::{Key, Source};
use gradus::config::{Config, Grade, Grader, OnTruncated};
use gradus::grade::{Graded, grade};
use gradus::judge::{self, Judge, Judged};
use gradus::level::Level;
use gradus::probe::Probed;
use gradus::question::{Kind, Question, Tolerance};
use gradus::verdict::{Outcome, Verdict};
use gradus::work::{Answered, Next, Outcome as Done, Reason, Slot, Step, Task};
use gradus_model::{Completion, Finish};
use gradus_sandbox::{Checker, Status, StdinCase, Tests};

const SLOT: Slot = Slot { source: Source::Student, attempt: 0, step: Step::Generate };

fn question(kind: Kind, references: &[&str]) -> Question {
    let references = references.iter().map(|&reference| reference.to_owned()).collect();
    Question { references, ..common::question(kind, "q") }
}

fn code(starter: &str) -> Question {
    let test_code = "assert f(1) == 2\nassert f(2) == 3".to_owned();
    let tests = Tests::Function { language: "python".to_owned(), entry_point: "f".to_owned(), test_code };
    Question { tests: Some(Arc::new(tests)), starter: starter.to_owned(), ..question(Kind::Code, &[]) }
}

fn completion(answer: Option<&str>, finish: Finish) -> Completion {
    Completion { reasoning: Some("hm".to_owned()), ..common::completion(answer.map(str::to_owned), finish) }
}

fn judge() -> Judge {
    Judge::from(&Config::default().judging)
}

fn ask(question: &Question, outcome: Done, executed: Option<Done>) -> Next<Judged> {
    let mut answers = vec![Answered { slot: SLOT, key: Key([1; 32]), outcome }];
    let execute = Slot { step: Step::Execute { longer: false }, ..SLOT };
    answers.extend(executed.map(|outcome| Answered { slot: execute, key: Key([2; 32]), outcome }));
    judge::next(&judge(), question, SLOT, &answers[0], &answers)
}

#[track_caller]
fn judged(question: &Question, answer: Option<&str>, finish: Finish) -> Judged {
    match ask(question, Done::Completed(completion(answer, finish)), None) {
        Next::Done(judged) => judged,
        other => panic!("{other:?}"),
    }
}

/// The verdict on an answer that ended by itself.
#[track_caller]
fn verdict(question: &Question, answer: &str) -> Verdict {
    judged(question, Some(answer), Finish::Stop).result.unwrap().1
}

#[track_caller]
fn check(question: &Question, answers: &[(&str, Outcome)]) {
    for (answer, expected) in answers {
        let verdict = verdict(question, answer);
        assert_eq!(verdict.outcome, *expected, "{answer}: {verdict:?}");
        assert!(verdict.method.starts_with("verify:") || *expected == Outcome::NoAnswer, "{verdict:?}");
        assert!(!verdict.explanation.is_empty() && verdict.tests.is_none(), "{verdict:?}");
    }
}

#[test]
fn math_choice_and_text_are_decided_by_rules() {
    use Outcome::{Correct, Incorrect, NoAnswer};
    let math = question(Kind::Math, &["1/2"]);
    check(
        &math,
        &[
            (r"So it is \boxed{0.5}.", Correct),
            (r"It is \boxed{\frac{2}{4}}", Correct),
            (r"It is \boxed{2}", Incorrect),
            ("I do not know.", NoAnswer),
        ],
    );
    assert_eq!(verdict(&math, r"\boxed{0.5}").extracted.as_deref(), Some("0.5"));
    check(&question(Kind::Math, &["7", "-7"]), &[(r"\boxed{-7}", Correct), (r"\boxed{8}", Incorrect)]);
    let near = Question { tolerance: Some(Tolerance::Relative(0.05)), ..question(Kind::Math, &["100"]) };
    check(&near, &[(r"\boxed{104}", Correct), (r"\boxed{106}", Incorrect)]);
    let near = Question { tolerance: Some(Tolerance::Absolute(2.0)), ..question(Kind::Math, &["100"]) };
    check(&near, &[(r"\boxed{101.5}", Correct), (r"\boxed{103}", Incorrect)]);
    let choice = Question { options: vec!["red".to_owned(), "blue".to_owned()], ..question(Kind::Choice, &["B"]) };
    check(
        &choice,
        &[("The answer is (B).", Correct), ("Answer: A", Incorrect), ("The answer is **B) blue**", Correct)],
    );
    check(&question(Kind::Text, &["Paris"]), &[(r"\boxed{paris}", Correct), (r"\boxed{Rome}", Incorrect)]);
}

#[test]
fn what_cannot_be_decided_is_undecided_and_neither_right_nor_wrong() {
    for kind in [Kind::Math, Kind::Choice, Kind::Text] {
        let verdict = verdict(&question(kind, &[]), r"\boxed{5}");
        assert_eq!((verdict.outcome, verdict.method.as_str()), (Outcome::Undecided, "no_reference"), "{kind:?}");
    }
    let without_tests = verdict(&question(Kind::Code, &[]), "```python\nx = 1\n```");
    assert_eq!(without_tests.outcome, Outcome::Undecided);
    let odd = judged(&question(Kind::Math, &[r"\int_0^1 x^x dx"]), Some(r"\boxed{0.78}"), Finish::Stop);
    assert_eq!(odd.outcome(), Some(Outcome::Undecided), "{odd:?}");
    assert!(!odd.is_sound() && !odd.is_truncated());
}

#[test]
fn an_answer_that_is_not_there_is_no_answer() {
    for kind in [Kind::Math, Kind::Choice, Kind::Text] {
        // Unfinished thinking has no answer part; an empty one is none.
        for (answer, finish) in [(None, Finish::Length), (None, Finish::Stop), (Some(" \n"), Finish::Stop)] {
            let judged = judged(&question(kind, &["5"]), answer, finish.clone());
            assert_eq!(judged.outcome(), Some(Outcome::NoAnswer), "{kind:?} {answer:?}");
            assert_eq!(judged.is_truncated(), finish == Finish::Length);
            assert!(!judged.is_sound());
        }
    }
}

#[test]
fn a_truncated_answer_counts_only_what_it_says_itself() {
    let math = question(Kind::Math, &["4"]);
    let guessed = judged(&math, Some("We add 3 and then 4"), Finish::Length);
    assert_eq!(guessed.outcome(), Some(Outcome::NoAnswer), "the last number before the cut is no answer");
    assert_eq!(guessed.result.as_ref().unwrap().1.method, "truncated");
    assert!(guessed.is_truncated());
    assert_eq!(judged(&math, Some("We add 3 and then 4"), Finish::Stop).outcome(), Some(Outcome::Correct));
    let said = judged(&math, Some(r"It is \boxed{4}. To check, we"), Finish::Length);
    assert_eq!(said.outcome(), Some(Outcome::Correct));
    assert!(!said.is_truncated(), "it came to its answer");
    assert!(!said.is_sound(), "and still is not fit to learn from");
    let wrong = judged(&math, Some(r"It is \boxed{5}. To check, we"), Finish::Length);
    assert_eq!((wrong.outcome(), wrong.is_truncated()), (Some(Outcome::Incorrect), true));
}

#[test]
fn a_failed_generation_has_a_reason_and_no_verdict() {
    let reason = Reason::new("content_filtered", "no");
    let Next::Done(failed) = ask(&question(Kind::Math, &["4"]), Done::Failed(reason.clone()), None) else { panic!() };
    assert_eq!((failed.outcome(), failed.result.clone().unwrap_err()), (None, reason));
    assert!(!failed.is_sound() && !failed.is_truncated());
}

#[test]
fn a_program_in_another_language_is_run_by_its_entry_which_is_part_of_the_key() {
    let cases = vec![StdinCase { input: "1".into(), output: "1".into() }];
    let tests = |language: &str, checker: &str| Tests::Stdin {
        cases: cases.clone(),
        tolerance: None,
        checker: (!checker.is_empty()).then(|| Checker { language: checker.into(), source: "x".into() }),
        language: language.into(),
    };
    let run = |yaml: &str, tests: Tests, answer: &str| {
        let config = Config::read(yaml, &[]).unwrap();
        let judge = Judge { languages: Arc::new(config.code.table().unwrap()), ..judge() };
        let question = Question { tests: Some(Arc::new(tests)), ..question(Kind::Code, &[]) };
        let answer = Done::Completed(completion(Some(answer), Finish::Stop));
        let answers = [Answered { slot: SLOT, key: Key([1; 32]), outcome: answer }];
        match judge::next(&judge, &question, SLOT, &answers[0], &answers) {
            Next::Ask(work) => work[0].clone(),
            other => panic!("{other:?}"),
        }
    };
    let (cpp, python) = ("```c++\nint main() {}\n```", "```python\nprint(1)\n```");
    let work = run("", tests("C++", ""), cpp);
    let Task::Execute(execution) = &work.task else { panic!("{work:?}") };
    assert_eq!((execution.program.language.as_str(), execution.program.source.as_str()), ("cpp", "int main() {}\n"));
    assert_eq!(execution.entries.keys().collect::<Vec<_>>(), ["cpp"]);
    let key = |work: &gradus::work::Work| work.keys().1.attempt;
    let faster = "code: {languages: {cpp: {build: [g++, -O3, -o, '{dir}/main', '{dir}/main.cpp']}}}";
    assert_ne!(key(&work), key(&run(faster, tests("C++", ""), cpp)));
    // What does not take part in the run is not in the key.
    let other = "code: {languages: {go: {file: main.go, run: [go, run]}, cpp: {fences: [c++, cplusplus]}}}";
    assert_eq!(key(&work), key(&run(other, tests("C++", ""), cpp)));
    // Nor does the table touch what Python answers were recorded under.
    let work = run(faster, tests("python", ""), python);
    assert!(!work.keys().0.contains("languages"), "{}", work.keys().0);
    let checked = run("", tests("python", "cpp"), python);
    assert!(checked.keys().0.contains("-O2"));
    assert_ne!(key(&checked), key(&run(faster, tests("python", "cpp"), python)));
}

fn executed(statuses: &[Status], total: usize) -> Done {
    Done::Executed(gradus_sandbox::Outcome { tests: statuses.iter().copied().map(test_outcome).collect(), total })
}

#[test]
fn code_is_asked_to_be_run_and_decided_by_its_tests() {
    use Status::{Failed, Memory, Passed, RuntimeError, SandboxError, Time};
    let question = code("");
    let answer =
        || Done::Completed(completion(Some("Here:\n```python\ndef f(x):\n    return x + 1\n```"), Finish::Stop));
    let Next::Ask(work) = ask(&question, answer(), None) else { panic!("code is run") };
    let [work] = work.as_slice() else { panic!("{work:?}") };
    assert_eq!(work.slot, Slot { step: Step::Execute { longer: false }, ..SLOT });
    let Task::Execute(execution) = &work.task else { panic!("{work:?}") };
    assert_eq!(execution.program.source.trim(), "def f(x):\n    return x + 1");
    assert_eq!((execution.program.language.as_str(), execution.limits), ("python", judge().limits));
    for (statuses, total, expected) in [
        (&[Passed, Passed][..], 2, Outcome::Correct),
        (&[Passed, Failed], 2, Outcome::Incorrect),
        (&[RuntimeError], 2, Outcome::Incorrect),
        (&[Time], 2, Outcome::Incorrect),
        (&[Memory], 2, Outcome::Incorrect),
        (&[Passed], 2, Outcome::Incorrect),
        (&[Passed, SandboxError], 2, Outcome::Undecided),
        (&[Failed, SandboxError], 2, Outcome::Undecided),
        (&[], 0, Outcome::Undecided),
    ] {
        let Next::Done(judged) = ask(&question, answer(), Some(executed(statuses, total))) else { panic!() };
        let (_, verdict) = judged.result.as_ref().unwrap();
        assert_eq!((verdict.outcome, verdict.method.as_str()), (expected, "sandbox"), "{statuses:?} of {total}");
        let n_passed = statuses.iter().filter(|status| **status == Passed).count() as u32;
        assert_eq!(verdict.tests, Some((n_passed, total as u32)));
    }
    let broken = Some(Done::Failed(Reason::new("endpoint_error", "sandbox: no fork")));
    let Next::Done(judged) = ask(&question, answer(), broken) else { panic!() };
    assert_eq!(judged.outcome(), Some(Outcome::Undecided), "a sandbox in trouble says nothing about the program");
}

#[test]
fn a_program_asked_for_once_more_is_run_by_itself() {
    let program = |body: &str| Done::Completed(completion(Some(&format!("```python\n{body}\n```")), Finish::Length));
    let at = |step, key, outcome| Answered { slot: Slot { step, ..SLOT }, key: Key([key; 32]), outcome };
    let answers = [
        at(Step::Generate, 1, program("def f(x):\n    return")),
        at(Step::Longer, 2, program("def f(x):\n    return x + 1")),
        at(Step::Execute { longer: false }, 3, executed(&[Status::Failed], 1)),
    ];
    let Next::Ask(work) = judge::next(&judge(), &code(""), SLOT, &answers[1], &answers) else { panic!() };
    assert_eq!(work[0].slot.step, Step::Execute { longer: true });
    let Task::Execute(execution) = &work[0].task else { panic!("{work:?}") };
    assert!(execution.program.source.contains("x + 1"), "{}", execution.program.source);
}

#[test]
fn an_answer_without_code_is_not_run() {
    for (answer, finish) in
        [(Some("I cannot do that."), Finish::Stop), (None, Finish::Length), (Some(""), Finish::Stop)]
    {
        let judged = judged(&code(""), answer, finish);
        assert_eq!(judged.outcome(), Some(Outcome::NoAnswer), "{answer:?}");
    }
    // A completion needs no fence: it stands behind the code that was given.
    let answer = Done::Completed(completion(Some("    return x + 1"), Finish::Stop));
    let Next::Ask(work) = ask(&code("def f(x):\n"), answer, None) else { panic!("a completion is run") };
    let Task::Execute(execution) = &work[0].task else { panic!("{work:?}") };
    assert_eq!(execution.program.source.trim_end(), "def f(x):\n    return x + 1");
}

/// What an attempt can come to, for grading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Correct,
    Incorrect,
    NoAnswer,
    Undecided,
    /// Cut off before an answer.
    Cut,
    /// Right, and cut off afterwards.
    CorrectThenCut,
    Failed,
}

impl End {
    const ALL: [Self; 7] = [
        Self::Correct,
        Self::Incorrect,
        Self::NoAnswer,
        Self::Undecided,
        Self::Cut,
        Self::CorrectThenCut,
        Self::Failed,
    ];

    fn judged(self, number: u32, tests: Option<(u32, u32)>) -> Judged {
        let (outcome, finish) = match self {
            Self::Correct => (Outcome::Correct, Finish::Stop),
            Self::Incorrect => (Outcome::Incorrect, Finish::Stop),
            Self::NoAnswer => (Outcome::NoAnswer, Finish::Stop),
            Self::Undecided => (Outcome::Undecided, Finish::Stop),
            Self::Cut => (Outcome::NoAnswer, Finish::Length),
            Self::CorrectThenCut => (Outcome::Correct, Finish::Length),
            Self::Failed => {
                let result = Err(Reason::new("endpoint_error", "down"));
                return Judged { key: Key([number as u8; 32]), source: Source::Student, number, result };
            }
        };
        let verdict = Verdict {
            outcome,
            method: "test".to_owned(),
            version: "1",
            extracted: None,
            explanation: "test".to_owned(),
            tests,
            heard: None,
        };
        let result = Ok((completion(Some("x"), finish), verdict));
        Judged { key: Key([number as u8; 32]), source: Source::Student, number, result }
    }

    /// Whether it counts, and as right.
    fn counts(self, on_truncated: OnTruncated) -> Option<bool> {
        match self {
            Self::Correct | Self::CorrectThenCut => Some(true),
            Self::Incorrect | Self::NoAnswer => Some(false),
            Self::Cut => (on_truncated != OnTruncated::Ungraded).then_some(false),
            Self::Undecided | Self::Failed => None,
        }
    }
}

fn graded(config: &Grade, ends: &[End]) -> Graded {
    let attempts = ends.iter().zip(0..).map(|(end, number)| end.judged(number, None)).collect();
    grade(config, &Probed { attempts }, &[])
}

#[test]
fn both_graders_agree_with_their_definition_on_every_four_attempts() {
    for on_truncated in [OnTruncated::Wrong, OnTruncated::Ungraded, OnTruncated::RetryLonger] {
        for grader in [Grader::FirstCorrect, Grader::PassRate] {
            let config = Grade { grader, on_truncated, ..Grade::default() };
            for code in 0..End::ALL.len().pow(4) {
                let ends: Vec<End> = (0..4).map(|i| End::ALL[code / End::ALL.len().pow(i) % End::ALL.len()]).collect();
                let counted: Vec<bool> = ends.iter().filter_map(|end| end.counts(on_truncated)).collect();
                let graded = graded(&config, &ends);
                let n_correct = counted.iter().filter(|correct| **correct).count();
                assert_eq!((graded.n_attempts, graded.n_countable as usize), (4, counted.len()), "{ends:?}");
                assert_eq!(graded.n_correct as usize, n_correct, "{ends:?}");
                let n = |wanted: End| ends.iter().filter(|end| **end == wanted).count() as u32;
                assert_eq!((graded.n_undecided, graded.n_truncated), (n(End::Undecided), n(End::Cut)), "{ends:?}");
                let Some(first) = counted.first() else {
                    assert_eq!(graded.level.unwrap_err().code, "no_countable_attempt", "{ends:?}");
                    assert_eq!(graded.score, None);
                    continue;
                };
                let rate = n_correct as f64 / counted.len() as f64;
                let easy = if grader == Grader::FirstCorrect { *first } else { rate >= 0.9 };
                let expected = match () {
                    () if easy => Level::Easy,
                    () if rate < 0.2 => Level::Hard(5),
                    () if rate < 0.4 => Level::Hard(4),
                    () if rate < 0.6 => Level::Hard(3),
                    () if rate < 0.8 => Level::Hard(2),
                    () => Level::Hard(1),
                };
                assert_eq!(graded.level, Ok(expected), "{grader:?} {ends:?}");
                assert_eq!(graded.score, (!easy).then_some(rate));
            }
        }
    }
}

#[test]
fn an_undecided_attempt_changes_no_level() {
    for grader in [Grader::FirstCorrect, Grader::PassRate] {
        let config = Grade { grader, ..Grade::default() };
        for code in 0..End::ALL.len().pow(3) {
            let ends: Vec<End> = (0..3).map(|i| End::ALL[code / End::ALL.len().pow(i) % End::ALL.len()]).collect();
            let without = graded(&config, &ends);
            for at in 0..=3 {
                let mut with = ends.clone();
                with.insert(at, End::Undecided);
                let with = graded(&config, &with);
                assert_eq!(with.level.as_ref().ok(), without.level.as_ref().ok(), "{ends:?} at {at}");
                assert_eq!((with.score, with.pass_rate()), (without.score, without.pass_rate()));
            }
        }
    }
}

#[test]
fn nothing_countable_leaves_with_a_reason_that_counts() {
    let graded = graded(&Grade::default(), &[End::Undecided, End::Undecided, End::Failed]);
    let reason = graded.level.clone().unwrap_err();
    assert_eq!(reason.code, "no_countable_attempt");
    assert_eq!(reason.detail, "of 3 attempts 2 were undecided, 0 truncated, the rest failed");
    assert_eq!(graded.pass_rate(), None);
}

#[test]
fn a_score_on_an_edge_belongs_to_the_easier_level() {
    let config = Grade { grader: Grader::PassRate, tau: 1.0, ..Grade::default() };
    let of = |n_correct: usize, n: usize| {
        let ends: Vec<End> = (0..n).map(|i| if i < n_correct { End::Correct } else { End::Incorrect }).collect();
        graded(&config, &ends).level.unwrap().to_string()
    };
    let levels: Vec<String> = (0..=10).map(|n_correct| of(n_correct, 10)).collect();
    assert_eq!(levels, ["5", "5", "4", "4", "3", "3", "2", "2", "1", "1", "easy"]);
    let lower = Grade { tau: 0.9, ..config.clone() };
    let ends: Vec<End> = (0..10).map(|i| if i < 9 { End::Correct } else { End::Incorrect }).collect();
    assert_eq!(graded(&lower, &ends).level, Ok(Level::Easy), "tau itself is enough");
    assert_eq!(of(1, 3), "4");
    assert_eq!(of(2, 3), "2");
}

#[test]
fn the_first_grader_scores_code_by_the_share_of_tests_that_wrong_attempts_passed() {
    let config = Grade::default();
    let attempts = vec![
        End::Incorrect.judged(0, Some((3, 4))),
        End::Correct.judged(1, Some((4, 4))),
        End::NoAnswer.judged(2, None),
        End::Undecided.judged(3, Some((4, 4))),
    ];
    let graded = grade(&config, &Probed { attempts }, &[]);
    assert_eq!(graded.score, Some(0.375), "the mean of 3/4 and of nothing");
    assert_eq!(graded.level, Ok(Level::Hard(4)));
    let by_rate = Grade { grader: Grader::PassRate, ..config };
    let attempts = vec![End::Incorrect.judged(0, Some((3, 4))), End::Correct.judged(1, Some((4, 4)))];
    assert_eq!(grade(&by_rate, &Probed { attempts }, &[]).score, Some(0.5));
}
