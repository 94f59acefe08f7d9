//! Is this attempt right? Rules for math, choice and text; unit tests for code; a model where no rule can tell.
//!
//! Composed by probe and distil: the run of a program and the word of a judge are work like any other.

use std::sync::Arc;

use gradus_model::{Completion, Finish};
use gradus_sandbox::{Languages, Limits, Program, Status, Tests};
use gradus_verify::{Answer, Form, Reference};

use crate::attempt::{Key, Source};
use crate::config;
use crate::marks;
use crate::question::{Kind, Question, Tolerance};
use crate::stats::is_drawn;
use crate::verdict::{Outcome, Verdict};
use crate::words::{self, Heard, Speaking, TemplateError};
use crate::work::{Answered, Execution, Next, Outcome as WorkOutcome, Reason, Slot, Step, Task, Work};

/// How answers are judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    /// Limits of each test of a code question.
    pub limits: Limits,
    /// What programs may be written in.
    pub languages: Arc<Languages>,
    /// Who is asked about answers beside the rules, if anybody is.
    pub model: Option<AnswerJudge>,
}

/// A model that says whether an answer is right, with the reference in view.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerJudge {
    /// The model.
    pub speaking: Speaking,
    /// The words, with places for question, reference and answer.
    pub template: Arc<str>,
    /// Its word is the verdict where the rules have none.
    pub decides: bool,
    /// Share of the answers decided by rules about which it is asked too, 0..=1; the rules' verdict stands.
    pub check_share: f64,
}

/// Version of the way an answer is put to a judge and its reply is read.
const JUDGE_VERSION: &str = "1";

impl AnswerJudge {
    /// The judge of a config; none if no answer is put to it.
    ///
    /// # Errors
    /// If the words cannot be read.
    pub fn new(
        config: &config::Judging,
        model: impl FnOnce() -> Speaking,
        base: &std::path::Path,
    ) -> Result<Option<Self>, TemplateError> {
        if !config.asks_judge() {
            return Ok(None);
        }
        let decides = config.judge == config::AnswerJudge::Llm;
        let places = ["question", "reference", "answer"];
        let built_in = include_str!("prompts/answer.txt");
        let template = words::load("judging.prompt", built_in, config.prompt.as_deref(), base, &places)?;
        let speaking = Speaking {
            sampling: (&config.sampling).into(),
            structured: config.structured,
            tries: config.tries,
            ..model()
        };
        Ok(Some(Self { speaking, template, decides, check_share: config.check_share }))
    }

    /// Whether it can be asked about answers to a question: there is a reference to compare them with.
    pub(crate) fn has_say(question: &Question) -> bool {
        !question.references.is_empty() && question.kind != Kind::Code
    }

    /// Whether it is asked about an answer with this verdict by rule. Never where there is nothing to compare.
    fn is_asked(&self, question: &Question, verdict: &Verdict, key: &Key) -> bool {
        match verdict.outcome {
            _ if !Self::has_say(question) => false,
            Outcome::NoAnswer => false,
            Outcome::Undecided => self.decides,
            Outcome::Correct | Outcome::Incorrect => is_drawn(self.check_share, "judging.check", &key.0),
        }
    }

    fn hear(
        &self,
        question: &Question,
        slot: Slot,
        longer: bool,
        answer: &str,
        answers: &[Answered],
    ) -> Next<Heard<Outcome>> {
        self.speaking.hear(
            answers,
            |n_try| Slot { step: Step::JudgeAnswer { longer, n_try }, ..slot },
            || {
                words::fill(
                    self.template.trim_end(),
                    &[
                        ("question", &words::question(question)),
                        ("reference", &words::reference(question)),
                        ("answer", answer.trim()),
                    ],
                )
            },
            || ("verdict", marks::verdict_schema()),
            marks::read_verdict,
        )
    }
}

impl From<&config::Judging> for Judge {
    fn from(config: &config::Judging) -> Self {
        let limits = Limits {
            cpu_ms: config.cpu_ms,
            wall_ms: config.wall_ms,
            memory_bytes: config.memory_bytes,
            ..Limits::default()
        };
        Self { limits, languages: Arc::default(), model: None }
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
    let longer = answered.slot.step == Step::Longer;
    let verdict = match question.kind {
        Kind::Math | Kind::Choice | Kind::Text => by_rule(question, completion),
        Kind::Code => match by_tests(config, question, slot, longer, completion, answers) {
            Next::Done(verdict) => verdict,
            Next::Ask(work) => return Next::Ask(work),
            Next::Drop(reason) => return Next::Done(judged(Err(reason))),
        },
    };
    let Some(model) = config.model.as_ref().filter(|model| model.is_asked(question, &verdict, &answered.key)) else {
        return Next::Done(judged(Ok((completion.clone(), verdict))));
    };
    let answer = completion.answer.as_deref().unwrap_or_default();
    match model.hear(question, slot, longer, answer, answers) {
        // A word that was never asked for leaves the attempt as if it had not been asked.
        Next::Done(Heard { said: Err(reason), .. })
            if reason.is_not_asked() && verdict.outcome == Outcome::Undecided =>
        {
            Next::Done(judged(Err(reason)))
        }
        Next::Done(heard) => Next::Done(judged(Ok((completion.clone(), with_word(verdict, heard, model))))),
        Next::Ask(work) => Next::Ask(work),
        Next::Drop(reason) => Next::Done(judged(Err(reason))),
    }
}

/// The verdict with the judge's word: it decides where the rules did not. No word leaves the verdict undecided.
fn with_word(verdict: Verdict, heard: Heard<Outcome>, model: &AnswerJudge) -> Verdict {
    let name = &model.speaking.model.name;
    let word = heard.said;
    if verdict.outcome != Outcome::Undecided {
        return Verdict { heard: Some(word), ..verdict };
    }
    let (outcome, explanation) = match &word {
        Ok(Outcome::Undecided) => (Outcome::Undecided, format!("{name} cannot tell")),
        Ok(outcome) => {
            (*outcome, format!("no rule decides; {name}, with the reference in view, says {}", outcome.name()))
        }
        // The detail may name a server; it stands in the table alone.
        Err(why) => (Outcome::Undecided, format!("no rule decides, and {name} has no word: {}", why.code)),
    };
    Verdict {
        outcome,
        method: format!("llm:{name}"),
        version: JUDGE_VERSION,
        explanation,
        heard: Some(word),
        ..verdict
    }
}

fn by_rule(question: &Question, completion: &Completion) -> Verdict {
    let rule = |outcome, method: &str, explanation: &str| Verdict {
        outcome,
        method: method.to_owned(),
        version: gradus_verify::VERSION,
        extracted: None,
        explanation: explanation.to_owned(),
        tests: None,
        heard: None,
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
        heard: None,
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
    longer: bool,
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
            heard: None,
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
    let slot = Slot { step: Step::Execute { longer }, ..slot };
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
