//! Two models on the same questions: what differs, and whether that could be chance.
//!
//! A side is the output of an evaluation, or a run directory, of which the student's attempts are taken.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Summary, VerdictLine};
use crate::stats::{Paired, expected_jaccard, jaccard, mcnemar, mean, paired, ratio_of_means};
use crate::tables::{AttemptRow, TableError, VerdictRow, each, path};

/// Version of what `gradus compare --json` prints.
pub const VERSION: u32 = 1;

/// Seed of every resampling: the same two sides give the same figures.
const SEED: u64 = 0;

/// The attempts of one model at one question.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Tried {
    n_attempts: u64,
    n_decided: u64,
    n_correct: u64,
    n_truncated: u64,
    whole: Length,
    thinking: Length,
}

/// What a number of attempts wrote, or the thinking in it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Length {
    n_counted: u64,
    tokens: u64,
    characters: u64,
}

impl Length {
    fn add(&mut self, (tokens, characters): (Option<u64>, u64)) {
        self.n_counted += u64::from(tokens.is_some());
        self.tokens += tokens.unwrap_or(0);
        self.characters += characters;
    }
}

/// Which part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Thinking,
    Output,
}

impl Tried {
    /// Takes in an attempt; `whole` and `thinking` are tokens, if they are counted, and characters.
    fn add(&mut self, verdict: &str, truncated: bool, whole: (Option<u64>, u64), thinking: (Option<u64>, u64)) {
        self.n_attempts += 1;
        self.n_decided += u64::from(verdict != "undecided");
        self.n_correct += u64::from(verdict == "correct");
        self.n_truncated += u64::from(truncated);
        self.whole.add(whole);
        self.thinking.add(thinking);
    }

    /// Whether every attempt has a count of this part.
    fn is_counted(&self, part: Part) -> bool {
        self.whole.n_counted == self.n_attempts && (part == Part::Whole || self.thinking.n_counted == self.n_attempts)
    }

    /// Mean length of this part, in tokens or in characters.
    fn length(&self, part: Part, in_tokens: bool) -> f64 {
        let of = |length: Length| if in_tokens { length.tokens as f64 } else { length.characters as f64 };
        let all = match part {
            Part::Whole => of(self.whole),
            Part::Thinking => of(self.thinking),
            Part::Output => of(self.whole) - of(self.thinking),
        };
        all / self.n_attempts as f64
    }

    fn rate(&self) -> Option<f64> {
        (self.n_decided > 0).then(|| self.n_correct as f64 / self.n_decided as f64)
    }
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    name: String,
    summary: Option<Box<Summary>>,
    questions: BTreeMap<String, Tried>,
}

/// Why a side cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// There is neither `verdicts.jsonl` nor a table of verdicts.
    #[error("{0} holds neither verdicts.jsonl nor tables/verdicts.parquet")]
    Nothing(PathBuf),
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no verdict.
    #[error("line {line} of {path} is no verdict: {source}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was expected, what was found.
        source: serde_json::Error,
    },
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Side {
    /// Reads the verdicts of a folder: those of an evaluation, else those of a run on its student.
    ///
    /// # Errors
    /// [`CompareError`]: there are none, or they cannot be read.
    pub fn open(folder: &Path) -> Result<Self, CompareError> {
        let lines = folder.join("verdicts.jsonl");
        if lines.exists() { Self::evaluated(folder, &lines) } else { Self::run(folder) }
    }

    /// What it is called: its model, else its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn evaluated(folder: &Path, path: &Path) -> Result<Self, CompareError> {
        let io = |source| CompareError::Io { path: path.to_owned(), source };
        let mut questions: BTreeMap<String, Tried> = BTreeMap::new();
        let mut lines = BufReader::new(File::open(path).map_err(io)?);
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            if lines.read_until(b'\n', &mut bytes).map_err(io)? == 0 {
                break;
            }
            let bad = |source| CompareError::Line { path: path.to_owned(), line, source };
            let verdict: VerdictLine = serde_json::from_slice(&bytes).map_err(bad)?;
            questions.entry(verdict.content_id).or_default().add(
                &verdict.verdict,
                verdict.truncated,
                (verdict.completion_tokens, verdict.characters),
                (verdict.thinking_tokens, verdict.thinking_characters),
            );
        }
        let summary: Option<Box<Summary>> =
            std::fs::read(folder.join("summary.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let name = summary.as_ref().map_or_else(|| stem(folder), |summary| summary.settings.model.clone());
        Ok(Self { name, summary, questions })
    }

    fn run(folder: &Path) -> Result<Self, CompareError> {
        let tables = folder.join("tables");
        if !path::<VerdictRow>(&tables).exists() {
            return Err(CompareError::Nothing(folder.to_owned()));
        }
        let mut verdicts: HashMap<String, String> = HashMap::new();
        each::<VerdictRow>(&tables, |row| {
            if row.role == "student" {
                verdicts.insert(row.attempt_id, row.verdict);
            }
        })?;
        let mut questions: BTreeMap<String, Tried> = BTreeMap::new();
        let mut name = None;
        each::<AttemptRow>(&tables, |row| {
            let Some(verdict) = verdicts.get(&row.attempt_id) else { return };
            let [thinking, output] =
                [&row.reasoning, &row.answer].map(|text| text.as_ref().map_or(0, |text| text.chars().count() as u64));
            let truncated = row.finish == "length" && verdict != "correct";
            let tokens = row.completion_tokens.map(|tokens| tokens.max(0) as u64);
            // The tables do not tell tokens of thinking apart.
            let thinking_tokens = tokens.and((thinking == 0).then_some(0));
            questions.entry(row.question_id).or_default().add(
                verdict,
                truncated,
                (tokens, thinking + output),
                (thinking_tokens, thinking),
            );
            name.get_or_insert(row.model);
        })?;
        Ok(Self { name: name.unwrap_or_else(|| stem(folder)), summary: None, questions })
    }
}

fn stem(folder: &Path) -> String {
    folder.file_name().map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A mean difference, B minus A.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Mean of A over the questions of both.
    pub a: f64,
    /// Mean of B.
    pub b: f64,
    /// Mean difference, B minus A.
    pub difference: f64,
    /// Its 95 % interval: percentiles of resampled questions.
    pub ci95: [f64; 2],
    /// Its standard error, from the spread over questions.
    pub standard_error: f64,
    /// Two-sided p-value: signs of the differences flipped at random.
    pub p: f64,
}

/// The exact test of McNemar, where both sides have one decided attempt at each question.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Questions that only A solves.
    pub only_a: u64,
    /// Questions that only B solves.
    pub only_b: u64,
    /// Two-sided p-value.
    pub p: f64,
}

/// Lengths of answers, question by question.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LengthDifference {
    /// `tokens` where both sides count them, else `characters`.
    pub unit: &'static str,
    /// Questions compared.
    pub n_questions: u64,
    /// Mean length and difference.
    #[serde(flatten)]
    pub difference: Difference,
    /// Mean of B over mean of A.
    pub ratio: Option<f64>,
    /// Its 95 % interval: percentiles of resampled questions.
    pub ratio_ci95: Option<[f64; 2]>,
}

/// The questions that each side does not solve (in less than half of its decided attempts).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hard {
    /// For A.
    pub a: u64,
    /// For B.
    pub b: u64,
    /// For both.
    pub both: u64,
    /// Shared among all that are hard for one of them.
    pub jaccard: Option<f64>,
    /// What two sets of these sizes would share by chance.
    pub by_chance: Option<f64>,
}

/// Two sides compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Version of this format: [`VERSION`].
    pub version: u32,
    /// What A is called.
    pub a: String,
    /// What B is called.
    pub b: String,
    /// Questions with a decided attempt on both sides: everything below is about them.
    pub n_questions: u64,
    /// Questions of A alone.
    pub only_a: u64,
    /// Questions of B alone.
    pub only_b: u64,
    /// Questions of both where one side is undecided throughout.
    pub undecided: u64,
    /// Share of correct attempts.
    pub accuracy: Option<Difference>,
    /// Only with one decided attempt each.
    pub mcnemar: Option<McNemar>,
    /// Length per answer.
    pub length: Option<LengthDifference>,
    /// The thinking alone; none if neither side thinks apart.
    pub thinking: Option<LengthDifference>,
    /// What follows the thinking; none in the same case.
    pub output: Option<LengthDifference>,
    /// Length per answer over questions that both sides always solve.
    pub length_both_right: Option<LengthDifference>,
    /// The same over questions that neither side ever solves.
    pub length_both_wrong: Option<LengthDifference>,
    /// Share of attempts that were cut off, A and B.
    pub truncated: Option<[f64; 2]>,
    /// What is hard for each.
    pub hard: Hard,
    /// What a reader should know, a sentence each.
    pub notes: Vec<String>,
}

/// Compares two sides on the questions that both have.
pub fn compare(a: &Side, b: &Side) -> Compared {
    let both: Vec<(&Tried, &Tried)> =
        a.questions.iter().filter_map(|(id, one)| Some((one, b.questions.get(id)?))).collect();
    let pairs: Vec<(&Tried, &Tried, f64, f64)> =
        both.iter().filter_map(|(one, other)| Some((*one, *other, one.rate()?, other.rate()?))).collect();
    let rates: Vec<(f64, f64)> = pairs.iter().map(|(_, _, a, b)| (*a, *b)).collect();
    let hard = |rate: f64| rate < 0.5;
    let n_hard = |test: &dyn Fn(&(f64, f64)) -> bool| rates.iter().filter(|pair| test(pair)).count() as u64;
    let (n_a, n_b) = (n_hard(&|pair| hard(pair.0)), n_hard(&|pair| hard(pair.1)));
    let n_both = n_hard(&|pair| hard(pair.0) && hard(pair.1));
    let single = !pairs.is_empty() && pairs.iter().all(|(a, b, ..)| a.n_decided == 1 && b.n_decided == 1);
    let tried: Vec<(&Tried, &Tried)> = pairs.iter().map(|(a, b, ..)| (*a, *b)).collect();
    let alike = |rate: f64| -> Vec<(&Tried, &Tried)> {
        pairs.iter().filter(|(_, _, a, b)| *a == rate && *b == rate).map(|(a, b, ..)| (*a, *b)).collect()
    };
    let thinks = tried.iter().any(|(a, b)| a.thinking.characters > 0 || b.thinking.characters > 0);
    let part = |part: Part| thinks.then(|| length(&tried, part)).flatten();
    let truncated = |side: fn(&(&Tried, &Tried)) -> Tried| {
        let (n, all) =
            tried.iter().map(side).fold((0, 0), |(n, all), tried| (n + tried.n_truncated, all + tried.n_attempts));
        n as f64 / all as f64
    };
    Compared {
        version: VERSION,
        a: a.name.clone(),
        b: b.name.clone(),
        n_questions: pairs.len() as u64,
        only_a: (a.questions.len() - both.len()) as u64,
        only_b: (b.questions.len() - both.len()) as u64,
        undecided: (both.len() - pairs.len()) as u64,
        accuracy: difference(&rates),
        mcnemar: single.then(|| {
            let only_a = n_hard(&|pair| pair.0 > pair.1);
            let only_b = n_hard(&|pair| pair.1 > pair.0);
            McNemar { only_a, only_b, p: mcnemar(only_a, only_b) }
        }),
        length: length(&tried, Part::Whole),
        thinking: part(Part::Thinking),
        output: part(Part::Output),
        length_both_right: length(&alike(1.0), Part::Whole),
        length_both_wrong: length(&alike(0.0), Part::Whole),
        truncated: (!tried.is_empty()).then(|| [truncated(|pair| *pair.0), truncated(|pair| *pair.1)]),
        hard: Hard {
            a: n_a,
            b: n_b,
            both: n_both,
            jaccard: jaccard(n_both, n_a, n_b),
            by_chance: (!pairs.is_empty()).then(|| expected_jaccard(n_a, n_b, pairs.len() as u64)).flatten(),
        },
        notes: notes(a, b, &rates),
    }
}

fn difference(pairs: &[(f64, f64)]) -> Option<Difference> {
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    let Paired { mean: difference, low, high, standard_error, p, .. } = paired(&differences, SEED)?;
    Some(Difference {
        a: mean(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>())?,
        b: mean(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>())?,
        difference,
        ci95: [low, high],
        standard_error,
        p,
    })
}

/// Mean length per question, in tokens if every attempt of both sides has a count.
fn length(pairs: &[(&Tried, &Tried)], part: Part) -> Option<LengthDifference> {
    let counted = pairs.iter().all(|(a, b)| a.is_counted(part) && b.is_counted(part));
    let lengths: Vec<(f64, f64)> =
        pairs.iter().map(|(a, b)| (a.length(part, counted), b.length(part, counted))).collect();
    let turned: Vec<(f64, f64)> = lengths.iter().map(|(a, b)| (*b, *a)).collect();
    let ratio = ratio_of_means(&turned, SEED);
    Some(LengthDifference {
        unit: if counted { "tokens" } else { "characters" },
        n_questions: lengths.len() as u64,
        difference: difference(&lengths)?,
        ratio: ratio.map(|(ratio, ..)| ratio),
        ratio_ci95: ratio.map(|(_, low, high)| [low, high]),
    })
}

fn notes(a: &Side, b: &Side, rates: &[(f64, f64)]) -> Vec<String> {
    let mut notes = Vec::new();
    let n = rates.len();
    if n == 0 {
        notes.push("no question has a decided attempt on both sides: are the banks the same?".to_owned());
    } else if n < 100 {
        // The most that a standard error of one mean can be: every question all or nothing, half of them solved.
        notes.push(format!(
            "{n} questions are few: the standard error of one model's accuracy is up to {:.0} points here",
            50.0 / (n as f64).sqrt()
        ));
    }
    let n_alone = a.questions.len() + b.questions.len()
        - 2 * a.questions.keys().filter(|id| b.questions.contains_key(*id)).count();
    if n > 0 && n_alone > 0 {
        notes.push(format!("{n_alone} questions stand on one side only and are left out"));
    }
    if let (Some(a), Some(b)) = (&a.summary, &b.summary) {
        for (what, same) in [
            ("sampling settings", a.settings.sampling == b.settings.sampling),
            ("prompts", a.settings.prompts == b.settings.prompts),
            ("numbers of attempts", a.settings.k == b.settings.k),
        ] {
            if !same {
                notes.push(format!("the two sides were asked with different {what}"));
            }
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A side whose questions 0, 1, ... have so many correct among four attempts.
    fn side(name: &str, correct: &[u64], characters: u64) -> Side {
        let tried = |n_correct: u64| Tried {
            n_attempts: 4,
            n_decided: 4,
            n_correct,
            n_truncated: 1,
            whole: Length { n_counted: 0, tokens: 0, characters: 4 * characters },
            thinking: Length { n_counted: 0, tokens: 0, characters: 4 },
        };
        let questions = correct.iter().enumerate().map(|(at, n)| (format!("{at:03}"), tried(*n))).collect();
        Side { name: name.into(), summary: None, questions }
    }

    #[test]
    fn the_difference_is_b_minus_a_over_the_questions_of_both() {
        let a = side("a", &[0, 2, 4, 4, 0], 100);
        let b = side("b", &[4, 4, 4, 2], 50);
        let compared = compare(&a, &b);
        assert_eq!((compared.n_questions, compared.only_a, compared.only_b), (4, 1, 0));
        let accuracy = compared.accuracy.unwrap();
        assert_eq!((accuracy.a, accuracy.b), (0.625, 0.875));
        assert!((accuracy.difference - 0.25).abs() < 1e-12);
        assert!(compared.mcnemar.is_none(), "four attempts each");
        let length = compared.length.unwrap();
        assert_eq!((length.unit, length.ratio), ("characters", Some(0.5)));
        let [thinking, output] = [compared.thinking, compared.output].map(|part| part.unwrap().difference);
        assert_eq!((thinking.a, thinking.b, output.a, output.b), (1.0, 1.0, 99.0, 49.0));
        assert_eq!(compared.length_both_right.unwrap().n_questions, 1);
        assert!(compared.length_both_wrong.is_none());
        assert_eq!((compared.hard.a, compared.hard.b, compared.hard.both), (1, 0, 0));
        assert_eq!(compared.truncated, Some([0.25, 0.25]));
        let turned = compare(&b, &a).accuracy.unwrap();
        assert!((turned.difference + 0.25).abs() < 1e-12);
        assert!((turned.ci95[0] + accuracy.ci95[1]).abs() < 1e-12);
    }

    #[test]
    fn one_attempt_each_is_tested_by_mcnemar() {
        let once = |right: &[bool]| {
            let tried = |right: bool| {
                let mut tried = Tried::default();
                tried.add(if right { "correct" } else { "incorrect" }, false, (Some(10), 30), (None, 0));
                tried
            };
            let questions = right.iter().enumerate().map(|(at, right)| (at.to_string(), tried(*right))).collect();
            Side { name: "side".into(), summary: None, questions }
        };
        let a = once(&[true, false, false, false, false, false, true]);
        let b = once(&[false, true, true, true, true, true, true]);
        let compared = compare(&a, &b);
        let mcnemar = compared.mcnemar.unwrap();
        assert_eq!((mcnemar.only_a, mcnemar.only_b), (1, 5));
        assert!((mcnemar.p - 0.218_75).abs() < 1e-12);
        // All ways of flipping six signs: the same test.
        assert!((compared.accuracy.unwrap().p - mcnemar.p).abs() < 1e-12);
        assert_eq!(compared.length.unwrap().unit, "tokens");
        assert_eq!(compared.length_both_right.unwrap().n_questions, 1);
        assert!(compared.thinking.is_none(), "neither thinks");
        assert!(compared.notes[0].contains("7 questions are few"), "{:?}", compared.notes);
    }

    #[test]
    fn undecided_questions_are_in_no_figure() {
        let mut a = side("a", &[4, 4], 1);
        a.questions.get_mut("000").unwrap().n_decided = 0;
        let compared = compare(&a, &side("b", &[4, 4], 1));
        assert_eq!((compared.n_questions, compared.undecided), (1, 1));
        let nothing = compare(&a, &side("c", &[], 1));
        assert_eq!((nothing.n_questions, nothing.only_a, nothing.accuracy), (0, 2, None));
    }
}
