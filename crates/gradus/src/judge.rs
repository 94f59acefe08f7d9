//! Is this attempt right? Rules for math, choice and text; unit tests for code.
//!
//! Composed by probe and distil: the run of a program is work like any other.

use std::sync::Arc;

use gradus_model::{Completion, Finish};
use gradus_sandbox::{Languages, Limits, Program, Status, Tests};
use gradus_verify::{Answer, Form, Reference};

use crate::attempt::{Key, Source};
use crate::config;
use crate::question::{Kind, Question, Tolerance};
use crate::verdict::{Outcome, Verdict};
use crate::work::{Answered, Execution, Next, Outcome as WorkOutcome, Reason, Slot, Step, Task, Work};

/// How answers are judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    /// Limits of each test of a code question.
    pub limits: Limits,
    /// What programs may be written in.
    pub languages: Arc<Languages>,
}

impl From<&config::Judging> for Judge {
    fn from(config: &config::Judging) -> Self {
        let limits = Limits {
            cpu_ms: config.cpu_ms,
            wall_ms: config.wall_ms,
            memory_bytes: config.memory_bytes,
            ..Limits::default()
        };
        Self { limits, languages: Arc::default() }
    }
}

/// An attempt with its verdict, or the reason why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Key of the attempt in the ledger.
    pub key: Key,
    /// Whose it is.
    pub source: Source,
    /// Its number, from 0.
    pub number: u32,
    /// What came, with its verdict.
    pub result: Result<(Completion, Verdict), Reason>,
}

impl Judged {
    /// Its verdict, if it was answered.
    pub fn outcome(&self) -> Option<Outcome> {
        self.result.as_ref().ok().map(|(_, verdict)| verdict.outcome)
    }

    /// Whether it is right and was written to its end: fit to learn from.
    pub fn is_sound(&self) -> bool {
        self.result.as_ref().is_ok_and(|(completion, verdict)| {
            verdict.outcome == Outcome::Correct && completion.finish != Finish::Length
        })
    }

    /// Whether it was cut off at the token limit before it came to a final answer.
    pub fn is_truncated(&self) -> bool {
        self.result.as_ref().is_ok_and(|(completion, verdict)| {
            completion.finish == Finish::Length && verdict.outcome != Outcome::Correct
        })
    }
}

/// The answer to the work of a slot, if it is there.
pub(crate) fn find(answers: &[Answered], slot: Slot) -> Option<&Answered> {
    answers.binary_search_by_key(&slot, |answered| answered.slot).ok().map(|at| &answers[at])
}

/// The verdict on an attempt that was answered.
pub fn next(
    config: &Judge,
    question: &Question,
    slot: Slot,
    answered: &Answered,
    answers: &[Answered],
) -> Next<Judged> {
    let judged = |result| Judged { key: answered.key, source: slot.source, number: slot.attempt, result };
    let completion = match &answered.outcome {
        WorkOutcome::Completed(completion) => completion,
        WorkOutcome::Failed(reason) => return Next::Done(judged(Err(reason.clone()))),
        WorkOutcome::Executed(_) | WorkOutcome::Scored(_) | WorkOutcome::Measured(_) => {
            unreachable!("a generation is answered by a completion")
        }
    };
    let verdict = match question.kind {
        Kind::Math | Kind::Choice | Kind::Text => by_rule(question, completion),
        Kind::Code => match by_tests(config, question, slot, completion, answers) {
            Next::Done(verdict) => verdict,
            Next::Ask(work) => return Next::Ask(work),
            Next::Drop(reason) => return Next::Done(judged(Err(reason))),
        },
    };
    Next::Done(judged(Ok((completion.clone(), verdict))))
}

fn by_rule(question: &Question, completion: &Completion) -> Verdict {
    let rule = |outcome, method: &str, explanation: &str| Verdict {
        outcome,
        method: method.to_owned(),
        version: gradus_verify::VERSION,
        extracted: None,
        explanation: explanation.to_owned(),
        tests: None,
    };
    let Some(text) = completion.answer.as_deref().filter(|text| !text.trim().is_empty()) else {
        return rule(Outcome::NoAnswer, "no_answer", "nothing follows the thinking part");
    };
    if question.references.is_empty() {
        return rule(Outcome::Undecided, "no_reference", "the question has no reference answer");
    }
    let reference = reference(question, question.references.clone());
    let verdict = gradus_verify::verify(&reference, &Answer { text, form: Form::Text });
    // A text that was cut off has a last number, but no final answer, unless it says which it is.
    let guessed = verdict.extracted.as_ref().is_some_and(|extracted| extracted.rule.starts_with("last_"));
    if completion.finish == Finish::Length && guessed {
        return rule(Outcome::NoAnswer, "truncated", "cut off at the token limit before a final answer");
    }
    Verdict {
        outcome: match verdict.outcome {
            gradus_verify::Outcome::Correct => Outcome::Correct,
            gradus_verify::Outcome::Incorrect => Outcome::Incorrect,
            gradus_verify::Outcome::NoAnswer => Outcome::NoAnswer,
            gradus_verify::Outcome::Undecided => Outcome::Undecided,
        },
        method: format!("verify:{}", verdict.method),
        version: gradus_verify::VERSION,
        extracted: verdict.extracted.map(|extracted| extracted.text),
        explanation: verdict.explanation,
        tests: None,
    }
}

/// What the rules compare an answer to this question with, if these are accepted.
pub(crate) fn reference(question: &Question, values: Vec<String>) -> Reference {
    Reference {
        kind: match question.kind {
            Kind::Choice => gradus_verify::Kind::Choice,
            Kind::Text => gradus_verify::Kind::Text,
            Kind::Math | Kind::Code => gradus_verify::Kind::Math,
        },
        values,
        tolerance: question.tolerance.map(|tolerance| match tolerance {
            Tolerance::Relative(share) => gradus_verify::Tolerance::Relative(share),
            Tolerance::Absolute(distance) => gradus_verify::Tolerance::Absolute(distance),
        }),
        options: question.options.clone(),
    }
}

fn by_tests(
    config: &Judge,
    question: &Question,
    slot: Slot,
    completion: &Completion,
    answers: &[Answered],
) -> Next<Verdict> {
    let verdict = |outcome, extracted: Option<String>, explanation: String, tests| {
        Next::Done(Verdict {
            outcome,
            method: "sandbox".into(),
            version: gradus_sandbox::VERSION,
            extracted,
            explanation,
            tests,
        })
    };
    let Some(tests) = &question.tests else {
        return verdict(Outcome::Undecided, None, "the question has no tests".into(), None);
    };
    let languages = &config.languages;
    let canonical = |name| languages.name(name).unwrap_or(name);
    let language = canonical(tests.language());
    let text = completion.answer.as_deref().unwrap_or_default();
    let Some(source) = program(languages, text, language, &question.starter) else {
        let explanation = format!("no {language} code in the answer");
        return verdict(Outcome::NoAnswer, None, explanation, None);
    };
    let slot = Slot { step: Step::Execute, ..slot };
    let Some(answered) = find(answers, slot) else {
        let program = Program { language: language.to_owned(), source };
        let checker = match &**tests {
            Tests::Stdin { checker: Some(checker), .. } => Some(canonical(&checker.language)),
            _ => None,
        };
        let entry = |name: &str| Some((name.to_owned(), languages.entry(name)?.clone()));
        let entries = [Some(language), checker].into_iter().flatten().filter_map(entry).collect();
        let execution = Execution { program, tests: tests.clone(), limits: config.limits, entries };
        return Next::Ask(vec![Work { slot, task: Task::Execute(Arc::new(execution)) }]);
    };
    match &answered.outcome {
        WorkOutcome::Failed(reason) => {
            verdict(Outcome::Undecided, Some(source), format!("{}: {}", reason.code, reason.detail), None)
        }
        WorkOutcome::Completed(_) | WorkOutcome::Scored(_) | WorkOutcome::Measured(_) => {
            unreachable!("a run is answered by its outcome")
        }
        WorkOutcome::Executed(outcome) => {
            let counts = Some((outcome.passed() as u32, outcome.total as u32));
            let worst = outcome.tests.iter().find(|test| test.status != Status::Passed);
            let explanation = match worst {
                None => format!("all {} tests passed", outcome.total),
                Some(test) => {
                    format!(
                        "{} of {} tests passed; first other: {:?}: {}",
                        outcome.passed(),
                        outcome.total,
                        test.status,
                        test.detail
                    )
                }
            };
            let broken = outcome.tests.iter().any(|test| test.status == Status::SandboxError);
            let decided = match worst {
                _ if outcome.total == 0 => Outcome::Undecided,
                None if outcome.passed() == outcome.total => Outcome::Correct,
                _ if broken => Outcome::Undecided,
                _ => Outcome::Incorrect,
            };
            verdict(decided, Some(source), explanation, counts)
        }
    }
}

/// The program in an answer, behind the code it was asked to complete. A bare completion needs no fence.
fn program(languages: &Languages, text: &str, language: &str, starter: &str) -> Option<String> {
    let code = languages.extract_code(text, language);
    if starter.is_empty() {
        return code.map(str::to_owned);
    }
    let code = code.or_else(|| (!text.trim().is_empty()).then_some(text))?;
    Some(gradus_sandbox::join_completion(starter, code))
}
