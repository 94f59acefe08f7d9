//! Figures of chains of thought: how far judges agree with themselves, with each other and with the rules, what goes
//! with length and difficulty, and how the scores are spread.
//!
//! Counted from the tables `annotations`, `ratings`, `cots`, `selection`, `levels` and `verdicts`, one pass each. Memory:
//! some 200 bytes per chain of thought and 40 per rating. Intervals are by bootstrap over questions, since ratings of
//! one chain of thought, and chains of thought of one question, are alike.

mod ratings;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::metrics::{Share, number};
use crate::stats::{Resampled, clustered, correlation, kappa, mean, rank_products, resampled, spearman_by_question};
use crate::tables::{AnnotationRow, CotRow, LevelRow, SelectionRow, TableError, VerdictRow, each};
use crate::verdict::Outcome;

/// Pairs below which no figure is given.
const FEWEST: usize = 3;

/// Beginning of a verdict's `method` where the judge decided, not the rules.
const BY_JUDGE: &str = "llm";

/// A figure with its 95 % interval; null where there is too little to tell.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Interval {
    /// The figure.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of it.
    pub high: Option<f64>,
}

impl From<Option<Resampled>> for Interval {
    fn from(found: Option<Resampled>) -> Self {
        let ends = found.and_then(|found| found.interval);
        Self { value: found.map(|found| found.value), low: ends.map(|ends| ends.0), high: ends.map(|ends| ends.1) }
    }
}

/// What is known of the chains of thought of a run beside their verdicts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CotFigures {
    /// Chains of thought.
    pub n: u64,
    /// Unit of lengths: `tokens`, `student_tokens` or `characters`.
    pub length_unit: String,
    /// How scores and lengths are spread over all that are right and were written to their end.
    pub sound: Spread,
    /// The same over those that are kept.
    pub selected: Spread,
    /// What was rated, by whom, and how much of it could be read.
    pub ratings: Vec<RatingCount>,
    /// How far ratings agree.
    pub agreement: Vec<Agreement>,
    /// Whether the process is right, against the answer; none if nobody was asked.
    pub process: Option<Process>,
    /// What goes with what.
    pub correlations: Vec<Correlation>,
    /// The student's pass rate by Cognitive Difficulty.
    pub pass_by_cd: Vec<PassByCd>,
}

/// How scores and lengths are spread.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Chains of thought, rated or not.
    pub n: u64,
    /// Those with each Reasoning Verbosity 0..=9, rounded.
    pub rv: [u64; 10],
    /// Those with each fused Reasoning Verbosity.
    pub s_rv: [u64; 10],
    /// Those with each Cognitive Difficulty.
    pub cd: [u64; 10],
    /// Quantiles of the length; none without chains of thought.
    pub length: Option<Quantiles>,
}

/// Quantiles, interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// The least.
    pub min: f64,
    /// 5 %.
    pub q05: f64,
    /// 25 %.
    pub q25: f64,
    /// Half.
    pub median: f64,
    /// 75 %.
    pub q75: f64,
    /// 95 %.
    pub q95: f64,
    /// The most.
    pub max: f64,
}

/// Ratings of one kind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RatingCount {
    /// `judge`, `second_judge` or `recorded`.
    pub role: String,
    /// Model name.
    pub judge: String,
    /// `rv`, `rv_fit`, `cd` or `process`.
    pub what: String,
    /// `separate`, `joint` or `recorded`.
    pub calls: String,
    /// Ratings without a value, of all.
    pub missing: Share,
    /// Why, with how many.
    pub reasons: BTreeMap<String, u64>,
    /// Replies asked for.
    pub n_tries: u64,
}

/// How far two kinds of ratings agree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Agreement {
    /// `repeats` (pairs of single ratings), or means of a chain of thought: `judges`, `calls`, `recorded`.
    pub between: String,
    /// `rv`, `rv_fit`, `cd` or `process`.
    pub what: String,
    /// The one: model and calls.
    pub one: String,
    /// The other.
    pub other: String,
    /// Pairs.
    pub n_pairs: u64,
    /// Chains of thought behind them.
    pub n_cots: u64,
    /// Questions behind them.
    pub n_questions: u64,
    /// Quadratic-weighted kappa of the ratings rounded to 0..=9 (for `process` this is Cohen's own).
    pub kappa: Interval,
    /// Spearman's rank correlation.
    pub spearman: Interval,
    /// Mean absolute difference.
    pub mean_difference: Interval,
    /// Share that differ by at most 1; null for `process`.
    pub within_one: Interval,
    /// Share that are the same, rounded.
    pub equal: Interval,
}

/// Whether the process is right.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Process {
    /// Chains of thought by label and by verdict on the answer: `sound`, `flawed`, `undecided`, each with how many are
    /// correct, incorrect, and neither.
    pub by_verdict: BTreeMap<String, [u64; 3]>,
    /// `flawed` among those with a label and a correct answer.
    pub flawed_if_correct: Share,
    /// `sound` among those with a label and an incorrect answer.
    pub sound_if_incorrect: Share,
}

/// Whether more of one goes with more of another.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Correlation {
    /// `rv`, `s_rv`, `cd`, `rsr` or `naturalness`.
    pub x: String,
    /// `length`, `cd` or `pass_rate`.
    pub y: String,
    /// `cots` (all together), `within_question` (ranks among the chains of thought of one question), or `questions`
    /// (means of questions).
    pub over: String,
    /// Pairs.
    pub n: u64,
    /// Questions behind them.
    pub n_questions: u64,
    /// Spearman's rank correlation.
    pub spearman: Interval,
}

/// The student's pass rate on questions whose chains of thought have a Cognitive Difficulty.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PassByCd {
    /// Mean Cognitive Difficulty of the question's chains of thought, rounded, 0..=9.
    pub cd: u8,
    /// Questions.
    pub n: u64,
    /// Mean pass rate, 0..1.
    pub pass: Interval,
}

/// The rules against the judge of answers, where both said something.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AnswerAgreement {
    /// Answers that the judge was asked about.
    pub n_asked: u64,
    /// Of these, those that the rules could not decide.
    pub n_open: u64,
    /// Of the latter, what the judge said: correct, incorrect, could not tell.
    pub open: [u64; 3],
    /// What the rules said (correct, incorrect) against what the judge said (correct, incorrect, could not tell).
    pub table: [[u64; 3]; 2],
    /// The same verdict, of those that both decided.
    pub agreed: Share,
    /// Cohen's kappa of these.
    pub kappa: Interval,
}

/// What is remembered of a chain of thought.
#[derive(Default)]
struct Cot {
    question: u64,
    verdict: Option<Outcome>,
    is_sound: bool,
    is_selected: bool,
    length: f64,
    process: Option<String>,
    rv: Option<f64>,
    s_rv: Option<f64>,
    cd: Option<f64>,
    rsr: Option<f64>,
    naturalness: Option<f64>,
}

/// The figures of the chains of thought of a run; none without the table `annotations`.
///
/// # Errors
/// If a table is there and cannot be read.
pub fn cots(tables: &Path, seed: u64) -> Result<Option<CotFigures>, TableError> {
    let mut figures = CotFigures::default();
    let mut cots: Vec<Cot> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    let found = each::<AnnotationRow>(tables, |row| {
        places.insert(number(&row.cot_id), cots.len());
        cots.push(Cot {
            question: number(&row.question_id),
            length: row.length as f64,
            process: row.process,
            rv: finite(row.rv),
            s_rv: finite(row.s_rv),
            cd: finite(row.cd),
            rsr: finite(row.rsr),
            naturalness: finite(row.naturalness),
            ..Cot::default()
        });
        figures.length_unit = row.length_unit;
    })?;
    if !found {
        return Ok(None);
    }
    figures.n = cots.len() as u64;
    each::<CotRow>(tables, |row| {
        if let Some(place) = places.get(&number(&row.cot_id)) {
            cots[*place].verdict = Outcome::ALL.into_iter().find(|outcome| outcome.name() == row.verdict);
            cots[*place].is_sound = is_sound(&row);
        }
    })?;
    each::<SelectionRow>(tables, |row| {
        if let Some(place) = places.get(&number(&row.cot_id)) {
            cots[*place].is_selected = row.selected;
        }
    })?;
    let mut pass_rates = HashMap::new();
    each::<LevelRow>(tables, |row| {
        if let Some(rate) = row.pass_rate {
            pass_rates.insert(number(&row.question_id), (rate, row.n_countable.max(0) as u64));
        }
    })?;
    figures.sound = spread(cots.iter().filter(|cot| cot.is_sound));
    figures.selected = spread(cots.iter().filter(|cot| cot.is_selected));
    figures.process = process(&cots);
    figures.correlations = correlations(seed, &cots, &pass_rates);
    figures.pass_by_cd = pass_by_cd(&cots, &pass_rates);
    (figures.ratings, figures.agreement) = ratings::compare(tables, seed)?;
    Ok(Some(figures))
}

/// Whether a chain of thought is right and was written to its end.
pub(crate) fn is_sound(row: &CotRow) -> bool {
    row.verdict == Outcome::Correct.name() && row.finish != "length"
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

/// A score as one of the categories 0..=9.
fn category(score: f64) -> usize {
    score.round().clamp(0.0, 9.0) as usize
}

fn spread<'a>(cots: impl Iterator<Item = &'a Cot>) -> Spread {
    let mut spread = Spread::default();
    let mut lengths = Vec::new();
    for cot in cots {
        spread.n += 1;
        lengths.push(cot.length);
        for (counts, score) in [(&mut spread.rv, cot.rv), (&mut spread.s_rv, cot.s_rv), (&mut spread.cd, cot.cd)] {
            if let Some(score) = score {
                counts[category(score)] += 1;
            }
        }
    }
    lengths.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (lengths.len() - 1) as f64;
        let (below, above) = (lengths[place.floor() as usize], lengths[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    spread.length = (!lengths.is_empty()).then(|| Quantiles {
        min: at(0.0),
        q05: at(0.05),
        q25: at(0.25),
        median: at(0.5),
        q75: at(0.75),
        q95: at(0.95),
        max: at(1.0),
    });
    spread
}

fn process(cots: &[Cot]) -> Option<Process> {
    let mut process = Process::default();
    for cot in cots {
        let Some(label) = &cot.process else { continue };
        let column = match cot.verdict {
            Some(Outcome::Correct) => 0,
            Some(Outcome::Incorrect) => 1,
            _ => 2,
        };
        process.by_verdict.entry(label.clone()).or_default()[column] += 1;
    }
    let count = |label: &str, column: usize| process.by_verdict.get(label).map_or(0, |counts| counts[column]);
    let share = |label: &str, other: &str, column: usize| {
        let n = count(label, column);
        Share::of(n, n + count(other, column))
    };
    let (flawed, sound) = (share("flawed", "sound", 0), share("sound", "flawed", 1));
    (!process.by_verdict.is_empty()).then_some(Process {
        flawed_if_correct: flawed,
        sound_if_incorrect: sound,
        ..process
    })
}

/// A pair of numbers of a question.
type Pair = (u64, (f64, f64));

fn correlations(seed: u64, cots: &[Cot], pass_rates: &HashMap<u64, (f64, u64)>) -> Vec<Correlation> {
    type Of = fn(&Cot) -> Option<f64>;
    let length: Of = |cot| Some(cot.length);
    let cd: Of = |cot| cot.cd;
    let asked: [(&str, Of, &str, Of); 6] = [
        ("rv", |cot| cot.rv, "length", length),
        ("s_rv", |cot| cot.s_rv, "length", length),
        ("rsr", |cot| cot.rsr, "length", length),
        ("rsr", |cot| cot.rsr, "cd", cd),
        ("naturalness", |cot| cot.naturalness, "length", length),
        ("naturalness", |cot| cot.naturalness, "cd", cd),
    ];
    let mut found = Vec::new();
    for (x, of_x, y, of_y) in asked {
        let pairs = cots.iter().filter_map(|cot| Some((cot.question, of_x(cot).zip(of_y(cot))?)));
        let mut pairs: Vec<Pair> = pairs.collect();
        if pairs.is_empty() {
            continue;
        }
        pairs.sort_by_key(|pair| pair.0);
        found.push(overall(seed, x, y, "cots", &pairs));
        found.push(within(seed, x, y, &pairs));
    }
    let mut pairs: Vec<Pair> = mean_cd(cots)
        .into_iter()
        .filter_map(|(question, cd)| Some((question, (cd, pass_rates.get(&question)?.0))))
        .collect();
    if !pairs.is_empty() {
        pairs.sort_by_key(|pair| pair.0);
        found.push(overall(seed, "cd", "pass_rate", "questions", &pairs));
    }
    found
}

/// `pairs` in the order of their questions.
fn overall(seed: u64, x: &str, y: &str, over: &str, pairs: &[Pair]) -> Correlation {
    let (places, n_questions) = places(pairs);
    let values: Vec<(f64, f64)> = pairs.iter().map(|pair| pair.1).collect();
    let enough = values.len() >= FEWEST;
    Correlation {
        x: x.to_owned(),
        y: y.to_owned(),
        over: over.to_owned(),
        n: values.len() as u64,
        n_questions,
        spearman: enough.then(|| spearman_by_question(seed, &values, &places)).flatten().into(),
    }
}

fn within(seed: u64, x: &str, y: &str, pairs: &[Pair]) -> Correlation {
    let of_questions = pairs.chunk_by(|one, other| one.0 == other.0).filter(|pairs| pairs.len() > 1);
    let n: usize = of_questions.clone().map(<[Pair]>::len).sum();
    let products = of_questions.map(|pairs| rank_products(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>()));
    let products: Vec<[f64; 3]> = products.collect();
    Correlation {
        x: x.to_owned(),
        y: y.to_owned(),
        over: "within_question".to_owned(),
        n: n as u64,
        n_questions: products.len() as u64,
        spearman: (n >= FEWEST).then(|| resampled(seed, &products, correlation)).flatten().into(),
    }
}

/// The place of each pair's question among all, and how many there are.
fn places(pairs: &[Pair]) -> (Vec<usize>, u64) {
    let mut places = Vec::with_capacity(pairs.len());
    let mut n = 0;
    for pairs in pairs.chunk_by(|one, other| one.0 == other.0) {
        places.extend(std::iter::repeat_n(n, pairs.len()));
        n += 1;
    }
    (places, n as u64)
}

/// Mean Cognitive Difficulty of the chains of thought of each question that has one.
fn mean_cd(cots: &[Cot]) -> BTreeMap<u64, f64> {
    let mut of_questions: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for cot in cots {
        if let Some(cd) = cot.cd {
            of_questions.entry(cot.question).or_default().push(cd);
        }
    }
    of_questions.into_iter().filter_map(|(question, of_cots)| Some((question, mean(&of_cots)?))).collect()
}

fn pass_by_cd(cots: &[Cot], pass_rates: &HashMap<u64, (f64, u64)>) -> Vec<PassByCd> {
    let mut bins: BTreeMap<usize, (Vec<f64>, u64)> = BTreeMap::new();
    for (question, cd) in mean_cd(cots) {
        if let Some((rate, n_countable)) = pass_rates.get(&question) {
            let (rates, n_attempts) = bins.entry(category(cd)).or_default();
            rates.push(*rate);
            *n_attempts += n_countable;
        }
    }
    let bins = bins.into_iter().map(|(cd, (rates, n_attempts))| {
        let found = clustered(&rates, n_attempts);
        PassByCd {
            cd: cd as u8,
            n: rates.len() as u64,
            pass: Interval {
                value: found.map(|found| found.mean),
                low: found.map(|found| found.low),
                high: found.map(|found| found.high),
            },
        }
    });
    bins.collect()
}

/// The rules against the judge of answers; none if it was asked about nothing.
///
/// # Errors
/// If the table `verdicts` is there and cannot be read.
pub fn answers(tables: &Path, seed: u64) -> Result<Option<AnswerAgreement>, TableError> {
    let mut found = AnswerAgreement::default();
    let mut of_questions: BTreeMap<u64, [f64; 4]> = BTreeMap::new();
    each::<VerdictRow>(tables, |row| {
        let Some(said) = &row.llm_verdict else { return };
        let column = match said.as_str() {
            "correct" => 0,
            "incorrect" => 1,
            _ => 2,
        };
        found.n_asked += 1;
        let ruled = match row.verdict.as_str() {
            "correct" => Some(0),
            "incorrect" => Some(1),
            _ => None,
        };
        let Some(ruled) = ruled.filter(|_| !row.method.starts_with(BY_JUDGE)) else {
            found.n_open += 1;
            found.open[column] += 1;
            return;
        };
        found.table[ruled][column] += 1;
        if column < 2 {
            of_questions.entry(number(&row.question_id)).or_default()[2 * ruled + column] += 1.0;
        }
    })?;
    let [[right, only_rules, _], [only_judge, wrong, _]] = found.table;
    found.agreed = Share::of(right + wrong, right + wrong + only_rules + only_judge);
    let counts: Vec<[f64; 4]> = of_questions.into_values().collect();
    if found.agreed.n >= FEWEST as u64 {
        found.kappa = resampled(seed, &counts, |&[a, b, c, d]| kappa(&[[a, b], [c, d]])).into();
    }
    Ok((found.n_asked > 0).then_some(found))
}

#[cfg(test)]
pub(crate) mod tests;
