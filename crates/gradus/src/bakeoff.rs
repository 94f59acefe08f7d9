//! Teachers against each other: what they yield, what it costs, and how their chains of thought look.
//!
//! Counted from the tables `cots`, `annotations` and `selection`, one pass each. Memory: some 200 bytes per question and
//! teacher. Questions are the unit of every interval.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::agreement::{Interval, is_sound};
use crate::metrics::{Share, number};
use crate::stats::{Estimate, Paired, clustered_ratio, paired, resampled};
use crate::tables::{AnnotationRow, CotRow, SelectionRow, TableError, each};

/// The teachers of a run, compared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bakeoff {
    /// Unit of lengths: `tokens`, `student_tokens` or `characters`.
    pub length_unit: String,
    /// One after the other, as the table `cots` brings them.
    pub teachers: Vec<Teacher>,
    /// Each two, on the questions that both answered.
    pub differences: Vec<Difference>,
}

/// What a teacher gave. Means are over its sound chains of thought: right, and written to their end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Teacher {
    /// Model name.
    pub teacher: String,
    /// Questions that it answered; those that it was asked in vain stand in `dropped`.
    pub n_questions: u64,
    /// Attempts with an answer.
    pub n_attempts: u64,
    /// Sound ones.
    pub n_sound: u64,
    /// Share of the attempts that are sound.
    pub sound: Interval,
    /// Questions with a sound chain of thought, of those answered.
    pub solved: Share,
    /// Share of the attempts that were cut off at the limit of tokens.
    pub truncated: Interval,
    /// Tokens written for each sound chain of thought, the others' included; null if some were not counted.
    pub tokens_per_sound: Interval,
    /// US dollars for each sound chain of thought; null if some have no price.
    pub usd_per_sound: Interval,
    /// Length.
    pub length: Mean,
    /// Reasoning Verbosity by the judge, 0..9.
    pub rv: Mean,
    /// Reasoning Verbosity, fused with the length's.
    pub s_rv: Mean,
    /// Cognitive Difficulty, 0..9.
    pub cd: Mean,
    /// Rank-Surprisal Ratio under the student; lower fits better.
    pub rsr: Mean,
    /// Local Naturalness under the student; higher fits better.
    pub naturalness: Mean,
    /// Its chains of thought among all that are kept.
    pub selected: Share,
}

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Mean {
    /// Chains of thought that have the value.
    pub n: u64,
    /// Their mean.
    pub mean: Interval,
}

/// Two teachers on the questions that both answered: the second less the first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Difference {
    /// The first.
    pub one: String,
    /// The second.
    pub other: String,
    /// Of the shares of a question's attempts that are sound.
    pub sound: Option<PairedMean>,
    /// Of the mean lengths of a question's sound chains of thought, where both have some.
    pub length: Option<PairedMean>,
}

/// A mean of differences, question by question.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PairedMean {
    /// Questions.
    pub n_questions: u64,
    /// Mean difference.
    pub mean: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Chance of one at least this far from 0 if the teachers were alike.
    pub p: f64,
}

impl From<Paired> for PairedMean {
    fn from(found: Paired) -> Self {
        let Paired { mean, low, high, p, n, .. } = found;
        Self { n_questions: n as u64, mean, low, high, p }
    }
}

/// What has a mean: length, rv, s_rv, cd, rsr, naturalness.
const MEASURES: usize = 6;

/// Sums over the attempts of a teacher at a question.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    n: u64,
    sound: u64,
    truncated: u64,
    uncounted: u64,
    tokens: f64,
    unpriced: u64,
    usd: f64,
    /// Over sound chains of thought: sums, and how many have the value.
    measures: [[f64; 2]; MEASURES],
}

/// The teachers of a run; none without the table `cots`.
///
/// # Errors
/// If a table is there and cannot be read.
pub fn of(tables: &Path, seed: u64) -> Result<Option<Bakeoff>, TableError> {
    let mut names: Vec<String> = Vec::new();
    let mut cells: Vec<BTreeMap<u64, Cell>> = Vec::new();
    // Teacher of each chain of thought, and whether it is sound.
    let mut known: HashMap<u64, (usize, bool)> = HashMap::new();
    let mut tokens: HashMap<u64, f64> = HashMap::new();
    let found = each::<CotRow>(tables, |row| {
        let teacher = names.iter().position(|name| *name == row.teacher).unwrap_or_else(|| {
            names.push(row.teacher.clone());
            cells.push(BTreeMap::new());
            names.len() - 1
        });
        let (cot, is_sound) = (number(&row.cot_id), is_sound(&row));
        known.insert(cot, (teacher, is_sound));
        let cell = cells[teacher].entry(number(&row.question_id)).or_default();
        cell.n += 1;
        cell.sound += u64::from(is_sound);
        cell.truncated += u64::from(row.finish == "length");
        cell.uncounted += u64::from(row.completion_tokens.is_none());
        cell.tokens += row.completion_tokens.unwrap_or(0) as f64;
        cell.unpriced += u64::from(row.cost_usd.is_none());
        cell.usd += row.cost_usd.unwrap_or(0.0);
        if let (true, Some(n)) = (is_sound, row.completion_tokens) {
            tokens.insert(cot, n as f64);
        }
    })?;
    if !found {
        return Ok(None);
    }
    let mut bakeoff = Bakeoff { length_unit: "tokens".to_owned(), ..Bakeoff::default() };
    let mut lengths: HashMap<u64, f64> = HashMap::new();
    let annotated = each::<AnnotationRow>(tables, |row| {
        let cot = number(&row.cot_id);
        let Some((teacher, true)) = known.get(&cot).copied() else { return };
        let cell = cells[teacher].entry(number(&row.question_id)).or_default();
        let values = [None, row.rv, row.s_rv, row.cd, row.rsr, row.naturalness];
        cell.measures.iter_mut().zip(values).for_each(|(sums, value)| add(sums, value));
        lengths.insert(cot, row.length as f64);
        bakeoff.length_unit = row.length_unit;
    })?;
    // One unit for all: that of the annotations where there are any.
    let lengths = if annotated && !lengths.is_empty() { lengths } else { tokens };
    each::<CotRow>(tables, |row| {
        let cot = number(&row.cot_id);
        if let (Some((teacher, true)), length) = (known.get(&cot).copied(), lengths.get(&cot)) {
            let cell = cells[teacher].entry(number(&row.question_id)).or_default();
            add(&mut cell.measures[0], length.copied());
        }
    })?;
    let mut kept = vec![0; names.len()];
    each::<SelectionRow>(tables, |row| {
        if let (true, Some((teacher, _))) = (row.selected, known.get(&number(&row.cot_id))) {
            kept[*teacher] += 1;
        }
    })?;
    let n_kept: u64 = kept.iter().sum();
    let all = names.iter().zip(&cells).zip(&kept);
    bakeoff.teachers = all.map(|((name, cells), kept)| teacher(name, cells, Share::of(*kept, n_kept), seed)).collect();
    for (at, other) in names.iter().enumerate() {
        for (before, one) in names[..at].iter().enumerate() {
            bakeoff.differences.push(difference((one, &cells[before]), (other, &cells[at]), seed));
        }
    }
    Ok(Some(bakeoff))
}

fn add([sum, n]: &mut [f64; 2], value: Option<f64>) {
    if let Some(value) = value.filter(|value| value.is_finite()) {
        *sum += value;
        *n += 1.0;
    }
}

fn teacher(name: &str, cells: &BTreeMap<u64, Cell>, selected: Share, seed: u64) -> Teacher {
    let cells = || cells.values();
    let share = |hits: fn(&Cell) -> u64| -> Interval {
        clustered_ratio(&cells().map(|cell| (hits(cell), cell.n)).collect::<Vec<_>>()).into()
    };
    let ratio = |of: &dyn Fn(&Cell) -> [f64; 2]| -> Interval {
        let sums: Vec<[f64; 2]> = cells().map(of).collect();
        resampled(seed, &sums, |[above, below]| (*below > 0.0).then(|| above / below)).into()
    };
    let per_sound = |missing: fn(&Cell) -> u64, of: fn(&Cell) -> f64| {
        let known = cells().all(|cell| missing(cell) == 0);
        if known { ratio(&|cell| [of(cell), cell.sound as f64]) } else { Interval::default() }
    };
    let mean = |at: usize| {
        // A question without the value is none to be drawn.
        let sums: Vec<[f64; 2]> = cells().map(|cell| cell.measures[at]).filter(|[_, n]| *n > 0.0).collect();
        Mean {
            n: sums.iter().map(|[_, n]| *n).sum::<f64>() as u64,
            mean: resampled(seed, &sums, |[sum, n]| (*n > 0.0).then(|| sum / n)).into(),
        }
    };
    Teacher {
        teacher: name.to_owned(),
        n_questions: cells().count() as u64,
        n_attempts: cells().map(|cell| cell.n).sum(),
        n_sound: cells().map(|cell| cell.sound).sum(),
        sound: share(|cell| cell.sound),
        solved: Share::of(cells().filter(|cell| cell.sound > 0).count() as u64, cells().count() as u64),
        truncated: share(|cell| cell.truncated),
        tokens_per_sound: per_sound(|cell| cell.uncounted, |cell| cell.tokens),
        usd_per_sound: per_sound(|cell| cell.unpriced, |cell| cell.usd),
        length: mean(0),
        rv: mean(1),
        s_rv: mean(2),
        cd: mean(3),
        rsr: mean(4),
        naturalness: mean(5),
        selected,
    }
}

impl From<Option<Estimate>> for Interval {
    fn from(found: Option<Estimate>) -> Self {
        Self {
            value: found.map(|found| found.mean),
            low: found.map(|found| found.low),
            high: found.map(|found| found.high),
        }
    }
}

/// A teacher's name with its sums by question.
type Named<'a> = (&'a String, &'a BTreeMap<u64, Cell>);

fn difference((one, first): Named<'_>, (other, second): Named<'_>, seed: u64) -> Difference {
    let both = || first.iter().filter_map(|(question, cell)| Some((cell, second.get(question)?)));
    let shares = both().filter(|(a, b)| a.n > 0 && b.n > 0);
    let shares = shares.map(|(a, b)| b.sound as f64 / b.n as f64 - a.sound as f64 / a.n as f64);
    let lengths = both().filter_map(|(a, b)| {
        let mean = |[sum, n]: [f64; 2]| (n > 0.0).then(|| sum / n);
        Some(mean(b.measures[0])? - mean(a.measures[0])?)
    });
    Difference {
        one: one.clone(),
        other: other.clone(),
        sound: paired(&shares.collect::<Vec<_>>(), seed).map(Into::into),
        length: paired(&lengths.collect::<Vec<_>>(), seed).map(Into::into),
    }
}

impl Bakeoff {
    /// Figures as a person reads them: what each is, and one row of cells per teacher, its name first. What nobody has
    /// is left out.
    pub fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let unit = self.length_unit.replace('_', " ");
        let mut columns: Vec<(String, Vec<String>)> = Vec::new();
        let mut column = |name: &str, cell: &dyn Fn(&Teacher) -> String| {
            columns.push((name.to_owned(), self.teachers.iter().map(cell).collect()));
        };
        column("teacher", &|teacher| teacher.teacher.clone());
        column("questions answered", &|teacher| teacher.n_questions.to_string());
        column("attempts", &|teacher| teacher.n_attempts.to_string());
        column("sound", &|teacher| teacher.n_sound.to_string());
        column("yield (sound per attempt)", &|teacher| percent(&teacher.sound));
        column("questions with a sound one", &|teacher| share(&teacher.solved));
        column("cut off", &|teacher| percent(&teacher.truncated));
        column("tokens per sound one", &|teacher| number_with(&teacher.tokens_per_sound, 0));
        column("US dollars per sound one", &|teacher| number_with(&teacher.usd_per_sound, 5));
        column(&format!("mean length, {unit}"), &|teacher| mean_of(&teacher.length, 0));
        column("mean RV", &|teacher| mean_of(&teacher.rv, 2));
        column("mean fused RV", &|teacher| mean_of(&teacher.s_rv, 2));
        column("mean CD", &|teacher| mean_of(&teacher.cd, 2));
        column("mean Rank-Surprisal Ratio (lower fits better)", &|teacher| mean_of(&teacher.rsr, 3));
        column("mean Local Naturalness (higher fits better)", &|teacher| mean_of(&teacher.naturalness, 3));
        column("share of those kept", &|teacher| share(&teacher.selected));
        columns.retain(|(_, cells)| cells.iter().any(|cell| cell != NOTHING));
        let of = |at: usize| columns.iter().map(|(_, cells)| cells[at].clone()).collect();
        let rows = (0..self.teachers.len()).map(of).collect();
        (columns.into_iter().map(|(name, _)| name).collect(), rows)
    }

    /// Paired differences as a person reads them, one sentence each: of more than a few teachers, only those to the one
    /// with the greatest yield.
    pub fn sentences(&self) -> Vec<String> {
        let yields = |teacher: &&Teacher| teacher.sound.value.unwrap_or(-1.0);
        let best = self.teachers.iter().rev().max_by(|one, other| yields(one).total_cmp(&yields(other)));
        let best = best.filter(|_| self.teachers.len() > FEW).map(|teacher| &teacher.teacher);
        let told =
            |difference: &&Difference| best.is_none_or(|best| [&difference.one, &difference.other].contains(&best));
        let mut sentences: Vec<String> =
            self.differences.iter().filter(told).map(|found| self.sentence(found)).collect();
        if let Some(best) = best {
            sentences.push(format!(
                "Only the differences to {best}, which has the greatest yield, are told here; metrics.json has all {}",
                self.differences.len()
            ));
        }
        sentences
    }

    fn sentence(&self, difference: &Difference) -> String {
        let unit = self.length_unit.replace('_', " ");
        let mut parts = Vec::new();
        if let Some(found) = difference.sound {
            parts.push(format!(
                "yield {:+.1} points [{:+.1}, {:+.1}], p {}, over {} questions that both answered",
                100.0 * found.mean,
                100.0 * found.low,
                100.0 * found.high,
                chance(found.p),
                found.n_questions
            ));
        }
        if let Some(found) = difference.length {
            parts.push(format!(
                "length {:+.0} {unit} [{:+.0}, {:+.0}], p {}, over {} questions that both solved",
                found.mean,
                found.low,
                found.high,
                chance(found.p),
                found.n_questions
            ));
        }
        let what = if parts.is_empty() { "no question in common".to_owned() } else { parts.join("; ") };
        format!("{} against {}: {what}", difference.other, difference.one)
    }

    /// The same as a Markdown table with sentences below.
    pub fn markdown(&self) -> String {
        let cell =
            |text: &str| -> String { text.chars().filter(|c| !c.is_control()).collect::<String>().replace('|', "\\|") };
        let line =
            |cells: &[String]| format!("| {} |\n", cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(" | "));
        let (names, rows) = self.table();
        let mut text = line(&names) + "|" + &"---|".repeat(names.len()) + "\n";
        text.extend(rows.iter().map(|row| line(row)));
        for sentence in self.sentences() {
            text.push_str(&format!("\n{}\n", cell(&sentence)));
        }
        text
    }
}

/// Teachers of which each two are held against each other in words.
const FEW: usize = 3;

/// Stands where there is nothing to tell.
const NOTHING: &str = "–";

/// A value with its ends.
fn number_with(figure: &Interval, digits: usize) -> String {
    match (figure.value, figure.low.zip(figure.high)) {
        (Some(value), Some((low, high))) => format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]"),
        (Some(value), None) => format!("{value:.digits$}"),
        (None, _) => NOTHING.to_owned(),
    }
}

fn mean_of(mean: &Mean, digits: usize) -> String {
    match mean.mean.value {
        Some(_) => format!("{}, n = {}", number_with(&mean.mean, digits), mean.n),
        None => NOTHING.to_owned(),
    }
}

fn percent(figure: &Interval) -> String {
    let times = |value: Option<f64>| value.map(|value| 100.0 * value);
    let figure = Interval { value: times(figure.value), low: times(figure.low), high: times(figure.high) };
    let text = number_with(&figure, 1);
    if figure.value.is_some() { format!("{text} %") } else { text }
}

fn share(share: &Share) -> String {
    let text = percent(&Interval { value: share.rate, low: share.low, high: share.high });
    if share.n > 0 { format!("{text}, n = {}", share.n) } else { text }
}

/// Below this a p-value is not told: 10,000 flips tell nothing finer.
const FINEST: f64 = 0.001;

fn chance(p: f64) -> String {
    if p < FINEST { "< 0.001".to_owned() } else { format!("= {p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::tests::{annotation, cot, save, selection};

    /// Two teachers, four questions. `a` solves q0, q1 at once and q2 at the second try, `b` only q0, cut off at q3.
    fn tables(folder: &Path, annotated: bool) {
        let rows = [
            ("a", 0, 0, "correct", "stop", 100),
            ("a", 1, 0, "correct", "stop", 200),
            ("a", 2, 0, "incorrect", "stop", 300),
            ("a", 2, 1, "correct", "stop", 300),
            ("b", 0, 0, "correct", "stop", 400),
            ("b", 1, 0, "incorrect", "stop", 100),
            ("b", 2, 0, "incorrect", "stop", 100),
            ("b", 3, 0, "correct", "length", 900),
        ];
        let cots: Vec<CotRow> = rows
            .iter()
            .map(|(teacher, q, attempt, verdict, finish, tokens)| CotRow {
                teacher: (*teacher).to_owned(),
                attempt: *attempt,
                finish: (*finish).to_owned(),
                completion_tokens: Some(*tokens),
                cost_usd: (*teacher == "a").then_some(0.5),
                ..cot(&format!("{teacher}{q}{attempt}"), &format!("q{q}"), verdict)
            })
            .collect();
        if annotated {
            let rows = cots.iter().map(|cot| AnnotationRow {
                rv: Some(if cot.teacher == "a" { 4.0 } else { 7.0 }),
                length: 10 * cot.completion_tokens.unwrap(),
                length_unit: "characters".into(),
                ..annotation(&cot.cot_id, &cot.question_id)
            });
            save(folder, rows.collect());
        }
        save(folder, vec![selection("a00", "q0", true), selection("b00", "q0", true), selection("a10", "q1", true)]);
        save(folder, cots);
    }

    #[test]
    fn teachers_are_counted_by_attempt_and_by_question() {
        let folder = tempfile::tempdir().unwrap();
        tables(folder.path(), false);
        let bakeoff = of(folder.path(), 0).unwrap().unwrap();
        let [a, b] = &bakeoff.teachers[..] else { panic!("{bakeoff:?}") };
        assert_eq!((a.n_questions, a.n_attempts, a.n_sound), (3, 4, 3));
        assert_eq!((b.n_questions, b.n_attempts, b.n_sound), (4, 4, 1));
        assert_eq!((a.sound.value, b.sound.value), (Some(0.75), Some(0.25)));
        assert_eq!((a.solved.count, b.solved.count, b.truncated.value), (3, 1, Some(0.25)));
        assert_eq!((a.tokens_per_sound.value, b.tokens_per_sound.value), (Some(300.0), Some(1500.0)));
        assert_eq!((a.usd_per_sound.value, b.usd_per_sound.value), (Some(2.0 / 3.0), None));
        assert_eq!((a.length.mean.value, a.length.n, b.length.mean.value), (Some(200.0), 3, Some(400.0)));
        assert_eq!((a.selected.count, a.selected.n, b.selected.count), (2, 3, 1));
        assert_eq!((a.rv, bakeoff.length_unit.as_str()), (Mean::default(), "tokens"));
        let low = a.length.mean.low.unwrap();
        assert!((100.0..200.0).contains(&low), "{low}");
    }

    #[test]
    fn differences_are_over_the_questions_that_both_answered() {
        let folder = tempfile::tempdir().unwrap();
        tables(folder.path(), false);
        let difference = &of(folder.path(), 0).unwrap().unwrap().differences[0];
        assert_eq!((difference.one.as_str(), difference.other.as_str()), ("a", "b"));
        // q0: 0, q1: -1, q2: -1/2.
        let sound = difference.sound.unwrap();
        assert_eq!((sound.n_questions, sound.mean), (3, -0.5));
        // Signs of 1 and 1/2: both outer ways of four.
        assert_eq!(sound.p, 0.5);
        let length = difference.length.unwrap();
        assert_eq!((length.n_questions, length.mean), (1, 300.0));
    }

    #[test]
    fn annotations_bring_scores_and_their_unit_of_length() {
        let folder = tempfile::tempdir().unwrap();
        tables(folder.path(), true);
        let bakeoff = of(folder.path(), 0).unwrap().unwrap();
        assert_eq!(bakeoff.length_unit, "characters");
        assert_eq!((bakeoff.teachers[0].rv.mean.value, bakeoff.teachers[0].rv.n), (Some(4.0), 3));
        assert_eq!((bakeoff.teachers[1].rv.mean.value, bakeoff.teachers[1].rv.n), (Some(7.0), 1));
        assert_eq!(bakeoff.teachers[0].length.mean.value, Some(2000.0));
        let text = bakeoff.markdown();
        assert!(text.starts_with("| teacher | questions answered | attempts | sound |"), "{text}");
        assert!(text.contains("\n| a | 3 | 4 | 3 | 75.0 [") && text.contains("| 4.00 [4.00, 4.00], n = 3 |"), "{text}");
        assert!(text.contains("\n| b | 4 | 4 | 1 | 25.0 [") && text.contains("| 7.00, n = 1 |"), "{text}");
        assert!(text.contains("b against a: yield -50.0 points [-100.0, +0.0], p = 0.500, over 3 questions"), "{text}");
        assert!(!text.contains("Naturalness"), "nobody measured it");
    }

    #[test]
    fn of_many_teachers_each_is_held_against_the_best() {
        let teacher = |name: &str, sound| Teacher {
            teacher: name.into(),
            sound: Interval { value: Some(sound), low: None, high: None },
            ..Teacher::default()
        };
        let teachers = vec![teacher("a", 0.1), teacher("b", 0.9), teacher("c", 0.9), teacher("d", 0.2)];
        let pairs = [("a", "b"), ("a", "c"), ("b", "c"), ("a", "d"), ("b", "d"), ("c", "d")];
        let difference =
            |(one, other): (&str, &str)| Difference { one: one.into(), other: other.into(), ..Difference::default() };
        let mut bakeoff = Bakeoff { teachers, differences: pairs.map(difference).to_vec(), ..Bakeoff::default() };
        let told = bakeoff.sentences();
        let names: Vec<&str> = told.iter().filter_map(|told| Some(told.split_once(':')?.0)).collect();
        assert_eq!(names, ["b against a", "c against b", "d against b"], "of two that yield alike, the first");
        assert!(told[3].contains("differences to b") && told[3].ends_with("all 6"), "{told:?}");
        bakeoff.teachers.pop();
        assert_eq!(bakeoff.sentences().len(), 6);
    }

    #[test]
    fn a_run_without_chains_of_thought_has_no_teachers() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of(folder.path(), 0).unwrap(), None);
        save::<CotRow>(folder.path(), Vec::new());
        assert_eq!(of(folder.path(), 0).unwrap().unwrap().teachers, []);
    }
}
