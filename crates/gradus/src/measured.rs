//! How well does a chain of thought fit the student? Numbers from the student's own log-probabilities, without a judge.
//!
//! Mean negative log-likelihood, Rank-Surprisal Ratio (arXiv 2601.14249) and Local Naturalness (arXiv 2510.03988, called
//! Local Average Log Probability in its second version). What the papers leave open stands in the config
//! ([`crate::config::Measure`]). What becomes of the numbers is left to who selects by them.

use std::sync::Arc;

use gradus_model::{Completion, Identity, Local, TokenScores};
use serde_json::{Map, Value};

use crate::attempt::Key;
use crate::config::{self, Think};
use crate::export::think;
use crate::judge::{Judged, find};
use crate::prompt::{Prompts, conversation};
use crate::question::Question;
use crate::steps;
use crate::work::{Answered, Measuring, Next, Outcome, Reason, Slot, Step, Task, Work};

/// Who measures chains of thought, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurer {
    /// The student.
    pub model: Identity,
    /// Its system prompt.
    pub system: Option<String>,
    /// Further fields of the request body.
    pub extra: Map<String, Value>,
    /// In which words it is asked.
    pub prompts: Arc<Prompts>,
    /// How a chain of thought is written for training: so it is measured.
    pub think: Think,
    /// Which numbers are made of what it says.
    pub settings: config::Measure,
}

/// A chain of thought with what the student makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Key of the chain of thought.
    pub cot: Key,
    /// Its number among the attempts of its teacher, from 0.
    pub number: u32,
    /// Key of the measurement in the ledger, if there is one.
    pub key: Option<Key>,
    /// Its numbers, or why there are none.
    pub result: Result<Fit, Reason>,
}

/// How well a text fits the student.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Tokens of the text in the student's tokeniser.
    pub n_tokens: u64,
    /// Mean negative log-likelihood per token, in nats; 0 is certain.
    pub mean_nll: f64,
    /// Rank-Surprisal Ratio: lower fits better. None if no token surprises at all.
    pub rsr: Option<f64>,
    /// Local Naturalness in nats per token, at most 0: higher fits better. None if it was not asked for.
    pub naturalness: Option<f64>,
}

impl Fit {
    /// The numbers of a text, by its scores.
    ///
    /// Rank-Surprisal Ratio: the sum of all ranks, each `rank_clip` at most, over the sum of all negative
    /// log-likelihoods, which is the ratio of their means (arXiv 2601.14249; the authors' `rsr_cal.py`). Local
    /// Naturalness: the mean over steps of each step's mean log-probability per token (arXiv 2510.03988, eq. 2).
    pub fn of(settings: &config::Measure, scores: &TokenScores) -> Self {
        /// Less than this counts as no surprise; it keeps the authors' ratio finite.
        const NO_SURPRISE: f64 = 1e-12;
        let nll: f64 = scores.tokens.iter().map(|token| -f64::from(token.logprob)).sum();
        let ranks: u64 = scores.tokens.iter().map(|token| u64::from(token.rank.min(settings.rank_clip))).sum();
        let steps = scores.local.as_ref().map(|steps| {
            let means = steps.iter().filter(|step| step.n_tokens > 0);
            means.map(|step| step.logprob / f64::from(step.n_tokens)).collect::<Vec<_>>()
        });
        let n_tokens = scores.tokens.len() as u64;
        Self {
            n_tokens,
            // A sum of nothing but zeros is -0.
            mean_nll: (nll / n_tokens as f64).max(0.0),
            rsr: (nll >= NO_SURPRISE).then(|| ranks as f64 / nll),
            naturalness: steps
                .filter(|steps| !steps.is_empty())
                .map(|steps| steps.iter().sum::<f64>() / steps.len() as f64),
        }
    }
}

impl Measurer {
    /// What is measured of a chain of thought: its text as it is trained on.
    fn text(&self, question: &Question, completion: &Completion) -> String {
        let (reasoning, answer) = (completion.reasoning.as_deref(), completion.answer.as_deref());
        think::content(self.think, question.kind.name(), reasoning, answer)
    }

    fn work(&self, question: &Question, slot: Slot, completion: String) -> Work {
        let local = self.settings.local.then(|| Local {
            ends: steps::split(&self.settings.steps, &completion).into_iter().map(|span| span.end).collect(),
            context: self.settings.local_context,
        });
        let measuring = Measuring {
            model: self.model.clone(),
            messages: conversation(self.system.as_deref(), &self.prompts, question),
            completion,
            local,
            extra: self.extra.clone(),
        };
        Work { slot, task: Task::Measure(Arc::new(measuring)) }
    }
}

/// What is still needed to measure a chain of thought, or its numbers, or why it has none.
pub fn next(config: &Measurer, question: &Question, judged: &Judged, answers: &[Answered]) -> Next<Measured> {
    let measured = |key, result| Next::Done(Measured { cot: judged.key, number: judged.number, key, result });
    let nothing = || Err(Reason::new("nothing_to_measure", "the chain of thought holds no text"));
    let Ok((completion, _)) = &judged.result else { return measured(None, nothing()) };
    let text = config.text(question, completion);
    if text.trim().is_empty() {
        return measured(None, nothing());
    }
    let slot = Slot { source: judged.source, attempt: judged.number, step: Step::Measure };
    let Some(answered) = find(answers, slot) else {
        return Next::Ask(vec![config.work(question, slot, text)]);
    };
    match &answered.outcome {
        Outcome::Measured(scores) => measured(Some(answered.key), Ok(Fit::of(&config.settings, scores))),
        Outcome::Failed(reason) => measured(None, Err(without_numbers(reason))),
        Outcome::Completed(_) | Outcome::Scored(_) | Outcome::Executed(_) => {
            unreachable!("a measurement is answered by scores of tokens")
        }
    }
}

/// Why a chain of thought has no numbers, given why its measurement failed.
fn without_numbers(reason: &Reason) -> Reason {
    match reason.code {
        "context_too_long" => Reason::new("too_long", reason.detail.clone()),
        "bad_request" => Reason::new("cannot_measure", reason.detail.clone()),
        _ => reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use gradus_model::measure::{StepSum, TokenScore};
    use gradus_model::{Finish, Speaker, Usage};
    use proptest::prelude::*;

    use super::*;
    use crate::attempt::Source;
    use crate::question::Kind;
    use crate::verdict::{Outcome as Verdicted, Verdict};

    fn scores(tokens: &[(f32, u32)], local: Option<&[(f64, u32)]>) -> TokenScores {
        TokenScores {
            tokens: tokens.iter().map(|&(logprob, rank)| TokenScore { logprob, rank }).collect(),
            local: local.map(|steps| steps.iter().map(|&(logprob, n_tokens)| StepSum { logprob, n_tokens }).collect()),
            usage: Usage::default(),
            cost_usd: None,
            model: None,
        }
    }

    /// A table by hand: log-probabilities and ranks of the tokens, sums and counts of the steps, and what they come to.
    #[test]
    fn numbers_are_those_of_a_table_by_hand() {
        let settings = config::Measure::default();
        type Row<'a> = (&'a [(f32, u32)], Option<&'a [(f64, u32)]>, Fit);
        let table: [Row<'_>; 4] = [
            (
                &[(-0.5, 1), (-1.5, 2), (-4.0, 37), (-2.0, 4)],
                // Means -1, -2 and -3.
                Some(&[(-2.0, 2), (-2.0, 1), (0.0, 0), (-3.0, 1)]),
                // 8 nats; ranks 44.
                Fit { n_tokens: 4, mean_nll: 2.0, rsr: Some(5.5), naturalness: Some(-2.0) },
            ),
            // The rank 5,000 counts as 100.
            (
                &[(-0.25, 1), (-9.75, 5_000)],
                None,
                Fit { n_tokens: 2, mean_nll: 5.0, rsr: Some(10.1), naturalness: None },
            ),
            // One step of a thousand tokens weighs as much as one of one.
            (
                &[(-1.0, 2)],
                Some(&[(-1_000.0, 1_000), (-3.0, 1)]),
                Fit { n_tokens: 1, mean_nll: 1.0, rsr: Some(2.0), naturalness: Some(-2.0) },
            ),
            (
                &[(0.0, 1), (0.0, 1)],
                Some(&[(0.0, 2)]),
                Fit { n_tokens: 2, mean_nll: 0.0, rsr: None, naturalness: Some(0.0) },
            ),
        ];
        for (tokens, local, expected) in table {
            let fit = Fit::of(&settings, &scores(tokens, local));
            let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
            let agree = fit.n_tokens == expected.n_tokens
                && close(fit.mean_nll, expected.mean_nll)
                && fit.rsr.zip(expected.rsr).is_none_or(|(a, b)| close(a, b))
                && fit.naturalness.zip(expected.naturalness).is_none_or(|(a, b)| close(a, b));
            assert!(agree, "{fit:?} {expected:?}");
            assert_eq!(
                (fit.rsr.is_some(), fit.naturalness.is_some()),
                (expected.rsr.is_some(), expected.naturalness.is_some())
            );
        }
        let narrow = config::Measure { rank_clip: 2, ..settings };
        assert_eq!(Fit::of(&narrow, &scores(&[(-1.0, 1), (-1.0, 9)], None)).rsr, Some(1.5));
    }

    proptest! {
        #[test]
        fn numbers_stay_in_their_bounds(
            tokens in proptest::collection::vec((-80.0_f32..=0.0, 1_u32..200_000), 1..60),
            local in proptest::option::of(proptest::collection::vec((-90.0_f64..=0.0, 1_u32..50), 1..9)),
        ) {
            let settings = config::Measure::default();
            let fit = Fit::of(&settings, &scores(&tokens, local.as_deref()));
            prop_assert!(fit.mean_nll >= 0.0 && fit.mean_nll <= 80.0);
            if let Some(rsr) = fit.rsr {
                // Every rank is between 1 and the clip.
                prop_assert!(rsr * fit.mean_nll >= 1.0 - 1e-9 && rsr * fit.mean_nll <= 100.0 + 1e-9);
            }
            prop_assert_eq!(fit.naturalness.is_some(), local.is_some());
            prop_assert!(fit.naturalness.is_none_or(|mean| (-90.0..=0.0).contains(&mean)));
        }
    }

    fn measurer(local: bool) -> Measurer {
        Measurer {
            model: Identity { name: "student".into(), revision: "r1".into() },
            system: Some("Be brief.".into()),
            extra: Map::new(),
            prompts: Arc::default(),
            think: Think::Keep,
            settings: config::Measure { local, local_context: 1, ..config::Measure::default() },
        }
    }

    fn judged(reasoning: Option<&str>, answer: Option<&str>) -> Judged {
        let completion = Completion {
            reasoning: reasoning.map(str::to_owned),
            answer: answer.map(str::to_owned),
            finish: Finish::Stop,
            usage: Usage::default(),
            cost_usd: None,
            model: None,
        };
        let verdict = Verdict {
            outcome: Verdicted::Correct,
            method: String::new(),
            version: "",
            extracted: None,
            explanation: String::new(),
            tests: None,
            heard: None,
        };
        Judged { key: Key([7; 32]), source: Source::Teacher(1), number: 3, result: Ok((completion, verdict)) }
    }

    fn asked(config: &Measurer, judged: &Judged) -> Work {
        match next(config, &Question::bare(Kind::Math, "How much is 2 + 2?"), judged, &[]) {
            Next::Ask(mut work) if work.len() == 1 => work.remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_student_is_asked_for_the_text_as_it_is_trained_on() {
        let judged = judged(Some("Both are 2. So we add them up.\nThat is 4."), Some("It is 4."));
        let work = asked(&measurer(true), &judged);
        assert_eq!(work.slot, Slot { source: Source::Teacher(1), attempt: 3, step: Step::Measure });
        assert_eq!(work.slot.asked(), Source::Measurer);
        let Task::Measure(measuring) = &work.task else { panic!("{work:?}") };
        let text = "<think>\nBoth are 2. So we add them up.\nThat is 4.\n</think>\n\nIt is 4.";
        assert_eq!(measuring.completion, text);
        let ends = &measuring.local.as_ref().expect("asked for").ends;
        let mut begin = 0;
        let steps: Vec<&str> = ends.iter().map(|&end| &text[std::mem::replace(&mut begin, end)..end]).collect();
        assert_eq!(
            steps,
            ["<think>\n", "Both are 2. ", "So we add them up.\n", "That is 4.\n", "</think>\n\n", "It is 4."],
        );
        assert_eq!(
            measuring.messages.iter().map(|message| message.role).collect::<Vec<_>>(),
            [Speaker::System, Speaker::User,]
        );
        assert!(measuring.request().check().is_ok());
    }

    #[test]
    fn the_key_holds_what_determines_the_scores_and_nothing_else() {
        let answer = judged(None, Some("It is 4."));
        let key = |config: &Measurer, judged: &Judged| asked(config, judged).keys().1.attempt;
        let known = key(&measurer(true), &answer);
        let other_number = Judged { number: 9, source: Source::Teacher(0), ..answer.clone() };
        assert_eq!(key(&measurer(true), &other_number), known, "the same text is measured once");
        let clip = Measurer { settings: config::Measure { rank_clip: 7, ..measurer(true).settings }, ..measurer(true) };
        assert_eq!(key(&clip, &answer), known);
        let mut model = measurer(true);
        model.model.revision = "r2".into();
        let system = Measurer { system: None, ..measurer(true) };
        let context =
            Measurer { settings: config::Measure { local_context: 2, ..measurer(true).settings }, ..measurer(true) };
        for other in [model, system, context, measurer(false)] {
            assert_ne!(key(&other, &answer), known);
        }
        assert_ne!(key(&measurer(true), &judged(Some("Hm."), Some("It is 4."))), known);
    }

    #[test]
    fn what_came_of_the_measurement_is_told() {
        let question = Question::bare(Kind::Math, "How much is 2 + 2?");
        let judged = judged(None, Some("It is 4."));
        let work = asked(&measurer(false), &judged);
        let told = |outcome| {
            let answered = Answered { slot: work.slot, key: work.keys().1.attempt, outcome };
            match next(&measurer(false), &question, &judged, &[answered]) {
                Next::Done(measured) => measured,
                other => panic!("{other:?}"),
            }
        };
        let measured = told(Outcome::Measured(scores(&[(-1.0, 1), (-3.0, 7)], None)));
        assert_eq!((measured.cot, measured.number, measured.key), (judged.key, 3, Some(work.keys().1.attempt)));
        let fit = Fit { n_tokens: 2, mean_nll: 2.0, rsr: Some(2.0), naturalness: None };
        assert_eq!(measured.result, Ok(fit));
        for (code, expected) in
            [("context_too_long", "too_long"), ("bad_request", "cannot_measure"), ("endpoint_error", "endpoint_error")]
        {
            let reason = told(Outcome::Failed(Reason::new(code, "why"))).result.expect_err("it failed");
            assert_eq!((reason.code, reason.detail.as_str()), (expected, "why"));
        }
        let empty = next(&measurer(true), &question, &super::tests::judged(None, Some(" ")), &[]);
        assert!(
            matches!(&empty, Next::Done(Measured { result: Err(reason), .. }) if reason.code == "nothing_to_measure")
        );
    }
}
