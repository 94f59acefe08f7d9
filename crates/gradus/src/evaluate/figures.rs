//! The figures of an evaluation: what `summary.json` holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::VerdictLine;
use super::vote::{Vote, vote};
use crate::config::SamplingConfig;
use crate::judge::Judged;
use crate::probe::Probed;
use crate::question::Question;
use crate::stats::{Estimate, clustered, mean, median, pass_at_k};
use crate::verdict::Outcome;
use crate::work::Reason;

/// Version of `summary.json`.
pub const VERSION: u32 = 1;

/// Who was asked, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Name and version of the tool.
    pub tool: String,
    /// Model name, without the address of its server.
    pub model: String,
    /// Mark of the weights.
    pub revision: Option<String>,
    /// Files of the bank, as they were named.
    pub bank: Vec<String>,
    /// Attempts per question.
    pub k: u32,
    /// How the model was sampled; none if its answers come from a recording, of which that is not known.
    pub sampling: Option<SamplingConfig>,
    /// Hash over the prompt templates.
    pub prompts: String,
    /// Questions whose options were put into an order of their own.
    pub n_shuffled: u64,
}

/// A mean over questions.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Score {
    /// The mean, 0..1; none without questions that count.
    pub mean: Option<f64>,
    /// Its 95 % interval, see [`clustered`].
    pub ci95: Option<[f64; 2]>,
    /// Standard error of the mean, from the spread over questions.
    pub standard_error: Option<f64>,
    /// Questions that count.
    pub n_questions: u64,
}

impl From<Option<Estimate>> for Score {
    fn from(estimate: Option<Estimate>) -> Self {
        estimate.map_or_else(Self::default, |estimate| Self {
            mean: Some(estimate.mean),
            ci95: Some([estimate.low, estimate.high]),
            standard_error: Some(estimate.standard_error),
            n_questions: estimate.n as u64,
        })
    }
}

/// A mean over questions for so many attempts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Curve {
    /// Attempts.
    pub k: u32,
    /// The mean.
    #[serde(flatten)]
    pub score: Score,
}

/// How often the majority is right.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Majority {
    /// Attempts that vote, at most.
    pub k: u32,
    /// The mean; a tie counts the share of correct answers among those that lead.
    #[serde(flatten)]
    pub score: Score,
    /// Questions with a tie.
    pub n_ties: u64,
    /// Questions left out because a leading answer is undecided.
    pub n_undecided: u64,
}

/// pass@1 of the questions of one level or subject.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Group {
    /// Level or subject, as it stands in the bank; `-` where the bank names none.
    pub name: String,
    /// The mean.
    #[serde(flatten)]
    pub score: Score,
}

/// Lengths of some attempts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Attempts whose length is known.
    pub n: u64,
    /// Mean length.
    pub mean: Option<f64>,
    /// Median length.
    pub median: Option<f64>,
}

impl Spread {
    fn of(mut lengths: Vec<f64>) -> Self {
        Self { n: lengths.len() as u64, mean: mean(&lengths), median: median(&mut lengths) }
    }
}

/// How long answers are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Lengths {
    /// All attempts, thinking and output together.
    pub all: Spread,
    /// The correct ones.
    pub right: Spread,
    /// Those that are incorrect or have no answer.
    pub wrong: Spread,
    /// The thinking alone.
    pub thinking: Spread,
    /// What follows the thinking.
    pub output: Spread,
}

/// The figures of an evaluation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this format: [`VERSION`].
    pub version: u32,
    /// Who was asked, and how.
    pub settings: Settings,
    /// Mean over questions of the share of correct ones among the attempts that were decided: avg@k.
    #[serde(rename = "pass@1")]
    pub pass_at_1: Score,
    /// How often the majority is right; none for code.
    #[serde(rename = "maj@k")]
    pub maj_at_k: Option<Majority>,
    /// How often at least one of k attempts is right, over the questions with k decided attempts.
    #[serde(rename = "pass@k")]
    pub pass_at_k: Curve,
    /// The same for 1, 2, 4, ... and k attempts.
    #[serde(rename = "pass@k_curve")]
    pub curve: Vec<Curve>,
    /// Questions with an answer.
    pub n_questions: u64,
    /// Of these, with an attempt that was decided: the denominator of pass@1.
    pub n_scored: u64,
    /// Attempts with an answer: the lines of `verdicts.jsonl`.
    pub n_attempts: u64,
    /// Questions that a recording has no answer to.
    pub not_recorded: u64,
    /// Attempts whose verdict could not be told: neither right nor wrong, in no denominator.
    pub undecided: u64,
    /// What pass@1 would be if all undecided attempts were wrong, and if all were right.
    pub undecided_range: Option<[f64; 2]>,
    /// Attempts by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Questions that left without an answer, by reason, those that are not recorded left out.
    pub left: BTreeMap<String, u64>,
    /// Attempts without an answer at questions that have others, by reason.
    pub missing: BTreeMap<String, u64>,
    /// Attempts cut off at the token limit before a correct answer, among all.
    pub truncated: Option<f64>,
    /// Lengths in tokens, as the server counts them.
    pub tokens: Lengths,
    /// Lengths in characters.
    pub characters: Lengths,
    /// pass@1 by the bank's level.
    pub levels: Vec<Group>,
    /// pass@1 by subject.
    pub subjects: Vec<Group>,
}

impl Summary {
    /// As `summary.json` holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names, lists and finite numbers") + "\n"
    }

    /// What a reader of one number should know, a sentence each.
    pub fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        if let (Some(error), n @ 1..100) = (self.pass_at_1.standard_error, self.n_scored) {
            caveats.push(format!(
                "with {n} questions the standard error is {:.1} points: differences between two models below some {:.0} \
                 points are not shown by this; `gradus compare` tests them question by question",
                100.0 * error,
                (100.0 * 2.0 * std::f64::consts::SQRT_2 * error).ceil()
            ));
        }
        if let (true, Some([low, high])) = (self.undecided > 0, self.undecided_range) {
            caveats.push(format!(
                "{} attempts are undecided and count neither way: pass@1 lies between {:.1} and {:.1} % whatever they are",
                self.undecided,
                100.0 * low,
                100.0 * high
            ));
        }
        let n_short: u64 = self.missing.values().sum();
        if n_short > 0 {
            caveats.push(format!("{n_short} attempts at questions that have others have no answer"));
        }
        caveats
    }
}

/// A question as far as scores need it.
struct Scored {
    level: Option<String>,
    subject: Option<String>,
    n_correct: u64,
    n_decided: u64,
    n_undecided: u64,
    vote: Option<Vote>,
}

impl Scored {
    fn rate(&self) -> Option<f64> {
        (self.n_decided > 0).then(|| self.n_correct as f64 / self.n_decided as f64)
    }
}

/// An attempt as far as lengths need it.
struct Length {
    right: Option<bool>,
    tokens: Option<u64>,
    thinking_tokens: Option<u64>,
    characters: u64,
    thinking_characters: u64,
}

/// Counts while verdicts come in.
#[derive(Default)]
pub(super) struct Tally {
    questions: Vec<Scored>,
    attempts: Vec<Length>,
    n_truncated: u64,
    verdicts: BTreeMap<String, u64>,
    left: BTreeMap<String, u64>,
    missing: BTreeMap<String, u64>,
}

impl Tally {
    /// A question without an answer.
    pub(super) fn leave(&mut self, reason: &Reason) {
        *self.left.entry(reason.code.to_owned()).or_default() += 1;
    }

    /// A verdict.
    pub(super) fn attempt(&mut self, line: &VerdictLine) {
        *self.verdicts.entry(line.verdict.clone()).or_default() += 1;
        self.n_truncated += u64::from(line.truncated);
        let right = match line.verdict.as_str() {
            "undecided" => None,
            verdict => Some(verdict == Outcome::Correct.name()),
        };
        self.attempts.push(Length {
            right,
            tokens: line.completion_tokens,
            thinking_tokens: line.thinking_tokens,
            characters: line.characters,
            thinking_characters: line.thinking_characters,
        });
    }

    /// A question with all its attempts.
    pub(super) fn question(&mut self, question: &Question, probed: &Probed) {
        for reason in probed.attempts.iter().filter_map(|judged| judged.result.as_ref().err()) {
            *self.missing.entry(reason.code.to_owned()).or_default() += 1;
        }
        let count = |wanted: &[Outcome]| {
            probed.attempts.iter().filter_map(Judged::outcome).filter(|told| wanted.contains(told)).count() as u64
        };
        self.questions.push(Scored {
            level: question.level.clone(),
            subject: question.subject.clone(),
            n_correct: count(&[Outcome::Correct]),
            n_decided: count(&[Outcome::Correct, Outcome::Incorrect, Outcome::NoAnswer]),
            n_undecided: count(&[Outcome::Undecided]),
            vote: vote(question, &probed.attempts),
        });
    }

    /// The figures.
    pub(super) fn summary(mut self, settings: Settings) -> Summary {
        let k = settings.k.max(1);
        let n_attempts = self.attempts.len() as u64;
        let mut verdicts: BTreeMap<String, u64> =
            Outcome::ALL.iter().map(|outcome| (outcome.name().to_owned(), 0)).collect();
        verdicts.append(&mut self.verdicts);
        let mut ks: Vec<u32> =
            std::iter::successors(Some(1), |k: &u32| k.checked_mul(2)).take_while(|at| *at < k).collect();
        ks.push(k);
        let curve: Vec<Curve> = ks.into_iter().map(|k| self.pass_at(k)).collect();
        let not_recorded = self.left.remove("not_recorded").unwrap_or(0);
        Summary {
            version: VERSION,
            pass_at_1: score(self.questions.iter()),
            maj_at_k: self.majority(k),
            pass_at_k: *curve.last().expect("k itself is among them"),
            curve,
            n_questions: self.questions.len() as u64,
            n_scored: self.questions.iter().filter(|question| question.n_decided > 0).count() as u64,
            n_attempts,
            not_recorded,
            undecided: verdicts[Outcome::Undecided.name()],
            undecided_range: self.undecided_range(),
            verdicts,
            truncated: (n_attempts > 0).then(|| self.n_truncated as f64 / n_attempts as f64),
            tokens: self.lengths(|attempt| attempt.tokens, |attempt| attempt.thinking_tokens),
            characters: self.lengths(|attempt| Some(attempt.characters), |attempt| Some(attempt.thinking_characters)),
            levels: self.groups(|question| question.level.as_deref()),
            subjects: self.groups(|question| question.subject.as_deref()),
            left: self.left,
            missing: self.missing,
            settings,
        }
    }

    fn pass_at(&self, k: u32) -> Curve {
        let chances: Vec<(f64, u64)> = self
            .questions
            .iter()
            .filter_map(|question| {
                Some((pass_at_k(question.n_decided, question.n_correct, u64::from(k))?, question.n_decided))
            })
            .collect();
        let values: Vec<f64> = chances.iter().map(|(chance, _)| *chance).collect();
        Curve { k, score: clustered(&values, chances.iter().map(|(_, n)| n).sum()).into() }
    }

    fn majority(&self, k: u32) -> Option<Majority> {
        let votes: Vec<Vote> = self.questions.iter().filter_map(|question| question.vote).collect();
        if votes.is_empty() {
            return None;
        }
        let (mut n_ties, mut n_undecided) = (0, 0);
        let mut values = Vec::new();
        for vote in votes {
            match vote {
                Vote::Nobody => values.push(0.0),
                Vote::Undecided => n_undecided += 1,
                Vote::Led { share, tied } => {
                    n_ties += u64::from(tied);
                    values.push(share);
                }
            }
        }
        Some(Majority { k, score: clustered(&values, values.len() as u64).into(), n_ties, n_undecided })
    }

    fn undecided_range(&self) -> Option<[f64; 2]> {
        let rates = |right: u64| -> Option<f64> {
            let rate = |question: &Scored| {
                let n = question.n_decided + question.n_undecided;
                (n > 0).then(|| (question.n_correct + right * question.n_undecided) as f64 / n as f64)
            };
            mean(&self.questions.iter().filter_map(rate).collect::<Vec<_>>())
        };
        Some([rates(0)?, rates(1)?])
    }

    fn groups(&self, name: impl Fn(&Scored) -> Option<&str>) -> Vec<Group> {
        let mut groups: BTreeMap<&str, Vec<&Scored>> = BTreeMap::new();
        for question in &self.questions {
            groups.entry(name(question).unwrap_or("-")).or_default().push(question);
        }
        if groups.keys().all(|name| *name == "-") {
            return Vec::new();
        }
        groups
            .into_iter()
            .map(|(name, questions)| Group { name: name.to_owned(), score: score(questions.into_iter()) })
            .collect()
    }

    fn lengths(&self, whole: impl Fn(&Length) -> Option<u64>, thinking: impl Fn(&Length) -> Option<u64>) -> Lengths {
        let spread = |length: &dyn Fn(&Length) -> Option<u64>| {
            Spread::of(self.attempts.iter().filter_map(length).map(|length| length as f64).collect())
        };
        let of = |right: bool| spread(&|attempt: &Length| whole(attempt).filter(|_| attempt.right == Some(right)));
        Lengths {
            all: spread(&whole),
            right: of(true),
            wrong: of(false),
            thinking: spread(&|attempt| whole(attempt).and(thinking(attempt))),
            output: spread(&|attempt| Some(whole(attempt)?.saturating_sub(thinking(attempt)?))),
        }
    }
}

fn score<'a>(questions: impl Iterator<Item = &'a Scored>) -> Score {
    let decided: Vec<(f64, u64)> =
        questions.filter_map(|question| Some((question.rate()?, question.n_decided))).collect();
    let rates: Vec<f64> = decided.iter().map(|(rate, _)| *rate).collect();
    clustered(&rates, decided.iter().map(|(_, n)| n).sum()).into()
}

#[cfg(test)]
pub(super) mod tests {
    use gradus_model::{Completion, Finish, Usage};

    use super::*;
    use crate::attempt::{Key, Source};
    use crate::evaluate::markdown;
    use crate::question::{Kind, QuestionId};
    use crate::verdict::Verdict;

    /// A question with this reference.
    pub(crate) fn question(reference: &str, kind: Kind) -> Question {
        Question {
            id: QuestionId::of(kind, reference, &[]),
            source_ids: ["bank/1".to_owned()].into(),
            kind,
            text: "What is it?".into(),
            references: vec![reference.to_owned()],
            tolerance: None,
            tests: None,
            starter: String::new(),
            options: Vec::new(),
            level: Some("3".into()),
            subject: None,
            source: "bank".into(),
            license: None,
        }
    }

    /// An attempt that came to this verdict, of so many tokens.
    pub(crate) fn attempt(number: u32, outcome: Outcome, extracted: Option<&str>, tokens: u64) -> Judged {
        let completion = Completion {
            reasoning: Some("ab".into()),
            answer: Some("abc".into()),
            finish: Finish::Stop,
            usage: Usage { prompt: None, cached: None, completion: Some(tokens), reasoning: Some(1) },
            cost_usd: None,
            model: None,
        };
        let verdict = Verdict {
            outcome,
            method: "test".into(),
            version: "1",
            extracted: extracted.map(str::to_owned),
            explanation: String::new(),
            tests: None,
            heard: None,
        };
        Judged { key: Key([number as u8; 32]), source: Source::Student, number, result: Ok((completion, verdict)) }
    }

    /// The figures of questions with these verdicts.
    fn summary(questions: &[&[Outcome]], k: u32) -> Summary {
        let mut tally = Tally::default();
        for outcomes in questions {
            let question = question("1", Kind::Math);
            let attempts: Vec<Judged> = outcomes
                .iter()
                .zip(0..)
                .map(|(outcome, number)| attempt(number, *outcome, Some("1"), 10 * u64::from(number + 1)))
                .collect();
            for judged in &attempts {
                tally.attempt(&super::super::verdict_line(&question, judged).unwrap());
            }
            tally.question(&question, &Probed { attempts });
        }
        tally.leave(&Reason::new("not_recorded", ""));
        tally.summary(Settings { k, ..Settings::default() })
    }

    use Outcome::{Correct as C, Incorrect as I, NoAnswer as N, Undecided as U};

    #[test]
    fn undecided_attempts_leave_the_denominator_and_bound_the_score() {
        let summary = summary(&[&[C, I, U, U], &[C, C, C, N], &[U, U, U, U]], 4);
        assert_eq!((summary.n_questions, summary.n_scored, summary.n_attempts), (3, 2, 12));
        assert_eq!((summary.undecided, summary.not_recorded), (6, 1));
        assert_eq!(summary.pass_at_1.mean, Some(0.625));
        assert_eq!(summary.undecided_range, Some([(0.25 + 0.75 + 0.0) / 3.0, (0.75 + 0.75 + 1.0) / 3.0]));
        assert_eq!(summary.verdicts.values().sum::<u64>(), 12);
        assert!(summary.left.is_empty(), "what is not recorded has a count of its own");
    }

    #[test]
    fn pass_at_k_counts_only_questions_with_so_many_decided_attempts() {
        let summary = summary(&[&[C, I, U, I], &[C, C, C, N], &[I, I, I, I]], 4);
        let at = |k| summary.curve.iter().find(|point| point.k == k).unwrap().score;
        assert_eq!(summary.curve.iter().map(|point| point.k).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(at(1).mean, summary.pass_at_1.mean);
        // C(2,2)/C(3,2) = 1/3 fail at the first, none at the second, all at the third.
        assert!((at(2).mean.unwrap() - (2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12);
        assert_eq!((at(4).mean, at(4).n_questions), (Some(0.5), 2));
        assert_eq!(summary.pass_at_k, *summary.curve.last().unwrap());
    }

    #[test]
    fn lengths_are_told_for_right_and_wrong_answers() {
        let summary = summary(&[&[C, I, N, U]], 4);
        let tokens = summary.tokens;
        assert_eq!((tokens.all.n, tokens.all.mean, tokens.all.median), (4, Some(25.0), Some(25.0)));
        assert_eq!((tokens.right.mean, tokens.wrong.mean, tokens.wrong.n), (Some(10.0), Some(25.0), 2));
        assert_eq!((tokens.thinking.mean, tokens.output.mean), (Some(1.0), Some(24.0)));
        assert_eq!((summary.characters.all.mean, summary.characters.thinking.mean), (Some(5.0), Some(2.0)));
        assert_eq!(summary.levels[0].name, "3");
        assert!(summary.subjects.is_empty());
    }

    #[test]
    fn nothing_answered_gives_no_score_and_the_summary_reads_back() {
        let empty = summary(&[], 1);
        assert_eq!((empty.pass_at_1.mean, empty.n_scored, empty.not_recorded), (None, 0, 1));
        assert!(empty.maj_at_k.is_none());
        let full = summary(&[&[C, I], &[I, I]], 2);
        for summary in [empty, full] {
            // Numbers may differ in their last digit when read.
            let read: Summary = serde_json::from_str(&summary.to_json()).unwrap();
            assert_eq!(markdown(&read), markdown(&summary));
            assert_eq!((read.settings, read.verdicts, read.left), (summary.settings, summary.verdicts, summary.left));
        }
    }

    #[test]
    fn a_few_questions_come_with_their_standard_error() {
        let right: Vec<&[Outcome]> = (0..30).map(|at| if at < 21 { &[C][..] } else { &[I][..] }).collect();
        let caveats = summary(&right, 1).caveats();
        assert!(caveats[0].contains("standard error is 8.4 points"), "{caveats:?}");
        let many: Vec<&[Outcome]> = (0..200).map(|_| &[C][..]).collect();
        assert!(summary(&many, 1).caveats().is_empty());
    }
}
