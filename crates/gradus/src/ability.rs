//! Which Cognitive Difficulty can the student follow? Measured from its own verdicts.
//!
//! Ours; the paper sets the ability "by experience". A question is as difficult as the easiest way to its answer that a
//! teacher found: CD_q is the lowest Cognitive Difficulty among its verified chains of thought. The student's pass rate
//! is fitted on it by logistic regression, and the ability is the CD at which the fit says one half.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Sample;
use crate::lengths::drawn_by;
use crate::level::Level;
use crate::select::pass::{Reader, SelectError};
use crate::stats::{Stream, logistic_weighted, quantile, sigmoid};
use crate::tables::{LevelRow, SampleRow, each};

/// Fewest questions that say anything. A guess.
const LEAST_QUESTIONS: usize = 10;
/// Greatest share of the graded questions whose levels have no question with a rated chain of thought. A guess.
const MOST_UNSEEN: f64 = 0.1;
/// Shrinks the slope a little, so that it stays finite where no question at all is solved beyond some CD: a prior with
/// a standard deviation of 10 logits per unit of CD.
const RIDGE: f64 = 0.01;
/// Resamples of the questions.
const RESAMPLES: usize = 1000;
/// The middle of the scale: the fit is told from here on, which keeps its two weights apart.
const MIDDLE: f64 = 4.5;

/// What a student can follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ability {
    /// Cognitive Difficulty solved with probability 1/2, held within 0..9.
    pub estimate: f64,
    /// Lower end of its 95 % interval, by bootstrap over questions, held within 0..9.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Set if the fit puts the ability beyond the scale, where nothing was rated.
    pub beyond_scale: bool,
    /// Change of the logit of the pass rate per unit of Cognitive Difficulty; below 0.
    pub slope: f64,
    /// 95 % interval of the slope; all of it below 0.
    pub slope_ci95: [f64; 2],
    /// Questions behind it.
    pub n_questions: u64,
    /// Share of the graded questions that are at levels of which none is behind it, 0..=1.
    pub unseen: f64,
    /// Pass rate by Cognitive Difficulty, measured and fitted; bins of one unit that have questions.
    pub curve: Vec<Bin>,
}

/// The questions whose Cognitive Difficulty lies within one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Least Cognitive Difficulty; below the next whole number, 9 included in the last.
    pub cd: u32,
    /// Questions.
    pub n: u64,
    /// Their pass rate, weighted, 0..=1.
    pub pass_rate: f64,
    /// What the fit says of them, 0..=1.
    pub fitted: f64,
}

/// Why no ability can be told.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unidentified {
    /// Too little to go by.
    #[error("{0} questions have a right chain of thought with a Cognitive Difficulty, {LEAST_QUESTIONS} are wanted")]
    TooFew(usize),
    /// The student solves all or nothing.
    #[error("the student solved {} of the questions that have a rated chain of thought", if *.0 { "all" } else { "none" })]
    OneSided(bool),
    /// What was drawn is not what there is.
    #[error("{:.0} % of the graded questions are at levels of which none has a rated chain of thought", 100.0 * .0)]
    Unseen(f64),
    /// The pass rate does not fall with the difficulty.
    #[error(
        "it is not certain that the pass rate falls with Cognitive Difficulty (slope {slope:.2}, 95 % interval {low:.2} to {high:.2})"
    )]
    Flat {
        /// The slope in logits per unit.
        slope: f64,
        /// Lower end of its interval.
        low: f64,
        /// Upper end of it.
        high: f64,
    },
}

/// A question with its difficulty and what the student made of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Lowest Cognitive Difficulty among its verified chains of thought, 0..9.
    pub cd: f64,
    /// Share of the student's countable attempts that are right, 0..=1. Attempts at one question are one question, so
    /// each counts once, however often it was asked.
    pub pass_rate: f64,
    /// One over the chance with which it was drawn.
    pub weight: f64,
}

/// Measures the ability from the tables of a run.
///
/// # Errors
/// If a table cannot be read, or two do not belong together; inside, if there is no telling.
pub fn measure(tables: &Path, sample: &Sample, seed: u64) -> Result<Result<Ability, Unidentified>, SelectError> {
    let mut difficulties: HashMap<String, f64> = HashMap::new();
    let mut reader = Reader::of_scores(tables)?;
    while let Some((id, cots)) = reader.question()? {
        let lowest = cots.iter().filter(|cot| cot.is_sound()).filter_map(|cot| cot.known.cd).min_by(f64::total_cmp);
        difficulties.extend(lowest.map(|cd| (id, cd)));
    }
    // How likely a question was drawn: by the level by which it was, which may be another than the student's own.
    let levels = drawn_by(sample, tables)?;
    let (mut available, mut drawn, mut rated) = ([0_u64; Level::COUNT], [0_u64; Level::COUNT], [0_u64; Level::COUNT]);
    for level in levels.values() {
        available[level.index()] += 1;
    }
    each::<SampleRow>(tables, |row| {
        if let Some(level) = levels.get(&row.question_id) {
            drawn[level.index()] += 1;
        }
    })?;
    let mut points = Vec::new();
    each::<LevelRow>(tables, |row| {
        let (Some(&cd), Some(level)) = (difficulties.get(&row.question_id), levels.get(&row.question_id)) else {
            return;
        };
        let at = level.index();
        if row.n_countable > 0 && drawn[at] > 0 {
            rated[at] += 1;
            let pass_rate = row.n_correct as f64 / row.n_countable as f64;
            points.push(Point { cd, pass_rate, weight: available[at] as f64 / drawn[at] as f64 });
        }
    })?;
    let unseen: u64 = (0..Level::COUNT).filter(|&at| rated[at] == 0).map(|at| available[at]).sum();
    let n_graded: u64 = available.iter().sum();
    let unseen = if n_graded == 0 { 0.0 } else { unseen as f64 / n_graded as f64 };
    Ok(fit(&points, unseen, seed))
}

/// Fits the pass rate on the difficulty; `unseen` is the share of the graded questions that `points` say nothing of.
///
/// # Errors
/// If the ability cannot be told from them.
pub fn fit(points: &[Point], unseen: f64, seed: u64) -> Result<Ability, Unidentified> {
    if points.len() < LEAST_QUESTIONS {
        return Err(Unidentified::TooFew(points.len()));
    }
    if unseen > MOST_UNSEEN {
        return Err(Unidentified::Unseen(unseen));
    }
    for (rate, all) in [(1.0, true), (0.0, false)] {
        if points.iter().all(|point| point.pass_rate == rate) {
            return Err(Unidentified::OneSided(all));
        }
    }
    let cells = Cells::of(points);
    let line = cells.line((0..points.len()).map(|at| &cells.questions[at]));
    let mut stream = Stream::new(seed, "ability");
    let resample = |_| {
        let n = points.len();
        cells.line(std::iter::repeat_with(|| &cells.questions[stream.below(n)]).take(n))
    };
    let lines: Vec<Line> = (0..RESAMPLES).map(resample).collect();
    let [low, high] = interval(lines.iter().map(|line| line.slope).collect());
    if line.slope >= 0.0 || high >= 0.0 {
        return Err(Unidentified::Flat { slope: line.slope, low, high });
    }
    let falling = lines.iter().filter(|line| line.slope < 0.0);
    let [least, most] = interval(falling.map(Line::ability).collect());
    let on_scale = |ability: f64| ability.clamp(0.0, 9.0);
    let ability = line.ability();
    Ok(Ability {
        estimate: on_scale(ability),
        low: on_scale(least),
        high: on_scale(most),
        beyond_scale: ability != on_scale(ability),
        slope: line.slope,
        slope_ci95: [low, high],
        n_questions: points.len() as u64,
        unseen,
        curve: curve(points, &line),
    })
}

/// 95 % interval by percentiles of resamples (Efron 1979).
fn interval(mut figures: Vec<f64>) -> [f64; 2] {
    figures.sort_unstable_by(f64::total_cmp);
    [0.025, 0.975].map(|share| quantile(&figures, share).unwrap_or(f64::NAN))
}

fn curve(points: &[Point], line: &Line) -> Vec<Bin> {
    let mut bins: BTreeMap<u32, (u64, f64, f64, f64)> = BTreeMap::new();
    for point in points {
        let (n, weight, passed, fitted) = bins.entry((point.cd.max(0.0) as u32).min(8)).or_default();
        *n += 1;
        *weight += point.weight;
        *passed += point.weight * point.pass_rate;
        *fitted += point.weight * line.chance(point.cd);
    }
    let bin = |(cd, (n, weight, passed, fitted))| Bin { cd, n, pass_rate: passed / weight, fitted: fitted / weight };
    bins.into_iter().map(bin).collect()
}

/// The logit of the pass rate along the difficulty.
#[derive(Debug, Clone, Copy)]
struct Line {
    at_middle: f64,
    slope: f64,
}

impl Line {
    fn ability(&self) -> f64 {
        MIDDLE - self.at_middle / self.slope
    }

    fn chance(&self, cd: f64) -> f64 {
        sigmoid(self.at_middle + self.slope * (cd - MIDDLE))
    }
}

/// Questions of equal difficulty, told to the hundredth, are one row of the fit: a thousand fits then cost little more
/// than drawing the resamples.
struct Cells {
    difficulties: Vec<f64>,
    /// The cell of each question, and what it adds there: `[right, not right]`.
    questions: Vec<(usize, [f64; 2])>,
}

impl Cells {
    fn of(points: &[Point]) -> Self {
        let hundredths = |point: &Point| (point.cd * 100.0).round() as i64;
        let mut cells: BTreeMap<i64, usize> = points.iter().map(|point| (hundredths(point), 0)).collect();
        cells.values_mut().zip(0..).for_each(|(cell, at)| *cell = at);
        // With mean 1 the ridge weighs the same whatever was drawn.
        let scale = points.len() as f64 / points.iter().map(|point| point.weight).sum::<f64>();
        let question = |point: &Point| {
            let weight = scale * point.weight;
            (cells[&hundredths(point)], [weight * point.pass_rate, weight * (1.0 - point.pass_rate)])
        };
        let questions = points.iter().map(question).collect();
        Self { difficulties: cells.keys().map(|&cd| cd as f64 / 100.0).collect(), questions }
    }

    /// The fit to these questions.
    fn line<'a>(&self, questions: impl Iterator<Item = &'a (usize, [f64; 2])>) -> Line {
        let mut rows: Vec<(Vec<f64>, [f64; 2])> =
            self.difficulties.iter().map(|cd| (vec![1.0, cd - MIDDLE], [0.0; 2])).collect();
        for (cell, [right, not]) in questions {
            rows[*cell].1[0] += right;
            rows[*cell].1[1] += not;
        }
        let weights = logistic_weighted(&rows, RIDGE);
        Line { at_middle: weights[0], slope: weights[1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A student of this ability and slope on questions of every difficulty, four attempts each; ratings in thirds.
    fn world(seed: u64, n: usize, ability: f64, slope: f64) -> Vec<Point> {
        let mut stream = Stream::new(seed, "world");
        (0..n)
            .map(|_| {
                let cd = stream.below(28) as f64 / 3.0;
                let chance = sigmoid(slope * (cd - ability));
                let n_right = (0..4).filter(|_| stream.unit() < chance).count();
                Point { cd, pass_rate: n_right as f64 / 4.0, weight: 1.0 }
            })
            .collect()
    }

    #[test]
    fn the_fit_finds_the_ability_that_made_the_verdicts() {
        for (seed, truth) in [(1, 2.5), (2, 4.0), (3, 7.0)] {
            let ability = fit(&world(seed, 4000, truth, -0.8), 0.0, 7).unwrap();
            assert!((ability.estimate - truth).abs() < 0.15, "{truth}: {ability:?}");
            assert!((ability.slope + 0.8).abs() < 0.1 && !ability.beyond_scale, "{ability:?}");
            assert!(ability.curve.iter().all(|bin| (bin.pass_rate - bin.fitted).abs() < 0.08), "{ability:?}");
            assert_eq!(ability.curve.iter().map(|bin| bin.n).sum::<u64>(), 4000);
        }
    }

    #[test]
    fn the_interval_holds_the_truth_about_as_often_as_it_says() {
        let n_worlds = 50;
        let held = (0..n_worlds).filter(|&seed| {
            let ability = fit(&world(100 + seed, 150, 4.2, -0.7), 0.0, seed).unwrap();
            assert!(ability.low <= ability.estimate && ability.estimate <= ability.high, "{ability:?}");
            (ability.low..=ability.high).contains(&4.2)
        });
        // Four standard deviations of a count below 95 %: 47.5 - 4 sqrt(50 * 0.95 * 0.05) = 41.3.
        let n_held = held.count();
        assert!(n_held >= 42, "{n_held} of {n_worlds}");
    }

    #[test]
    fn a_pass_rate_that_does_not_fall_tells_no_ability() {
        for slope in [0.0, 0.5] {
            let found = fit(&world(5, 500, 4.0, slope), 0.0, 7);
            assert!(matches!(found, Err(Unidentified::Flat { .. })), "{slope}: {found:?}");
        }
        let few = fit(&world(5, 9, 4.0, -1.0), 0.0, 7);
        assert_eq!(few, Err(Unidentified::TooFew(9)));
        let solved: Vec<Point> = world(5, 50, 4.0, -1.0).into_iter().map(|p| Point { pass_rate: 1.0, ..p }).collect();
        assert_eq!(fit(&solved, 0.0, 7), Err(Unidentified::OneSided(true)));
        assert_eq!(fit(&world(5, 500, 4.0, -1.0), 0.4, 7), Err(Unidentified::Unseen(0.4)));
    }

    #[test]
    fn verdicts_that_a_difficulty_parts_keep_the_slope_finite() {
        let parted: Vec<Point> = (0..40)
            .map(|at| {
                let cd = f64::from(at % 10);
                Point { cd, pass_rate: f64::from(u8::from(cd < 4.5)), weight: 1.0 }
            })
            .collect();
        let ability = fit(&parted, 0.0, 7).unwrap();
        assert!(ability.slope.is_finite() && (ability.estimate - 4.5).abs() < 0.3, "{ability:?}");
    }

    #[test]
    fn an_ability_beyond_the_scale_is_held_at_its_end_and_said_to_be() {
        let ability = fit(&world(3, 4000, 11.0, -0.5), 0.0, 7).unwrap();
        assert_eq!((ability.estimate, ability.beyond_scale), (9.0, true));
    }

    /// Hard questions drawn ten times as often as easy ones: without weights the student looks weaker than it is.
    #[test]
    fn weights_undo_what_the_sample_preferred() {
        let all = world(9, 20_000, 4.0, -0.8);
        let mut stream = Stream::new(9, "sample");
        let chance = |point: &Point| if point.pass_rate >= 0.5 { 0.1 } else { 1.0 };
        let drawn: Vec<Point> = all.iter().filter(|point| stream.unit() < chance(point)).copied().collect();
        let weighted: Vec<Point> = drawn.iter().map(|point| Point { weight: 1.0 / chance(point), ..*point }).collect();
        assert!((fit(&weighted, 0.0, 7).unwrap().estimate - 4.0).abs() < 0.2);
        assert!((fit(&drawn, 0.0, 7).unwrap().estimate - 4.0).abs() > 0.5, "the weights matter");
    }
}
