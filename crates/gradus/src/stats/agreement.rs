//! How far two raters agree beyond chance, and figures of sums with intervals by bootstrap over questions.

use super::rank::{bootstrap, mid_ranks};

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resampled {
    /// The figure.
    pub value: f64,
    /// Interval by bootstrap over questions; none with fewer than three questions, or where the figure is not defined
    /// on nine of ten resamples.
    pub interval: Option<(f64, f64)>,
}

/// Questions below which no interval is given.
const FEWEST: usize = 3;

/// A figure of sums, given the sums of each question: what one question holds belongs together, so questions are
/// resampled, and no item is looked at twice. None if the figure is not defined.
pub fn resampled<const N: usize>(
    seed: u64,
    questions: &[[f64; N]],
    figure: impl Fn(&[f64; N]) -> Option<f64>,
) -> Option<Resampled> {
    let total = |positions: &mut dyn Iterator<Item = usize>| {
        let mut sums = [0.0; N];
        for position in positions {
            sums.iter_mut().zip(&questions[position]).for_each(|(sum, value)| *sum += value);
        }
        figure(&sums)
    };
    let value = total(&mut (0..questions.len()))?;
    let interval = (questions.len() >= FEWEST)
        .then(|| bootstrap(seed, questions.len(), |positions| total(&mut positions.iter().copied())));
    Some(Resampled { value, interval: interval.flatten() })
}

/// Sums over pairs of ratings, from which [`quadratic_kappa`] is computed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PairSums {
    /// Pairs.
    pub n: f64,
    /// Sum of the first ratings.
    pub a: f64,
    /// Sum of the second ratings.
    pub b: f64,
    /// Sum of the squares of the first.
    pub aa: f64,
    /// Sum of the squares of the second.
    pub bb: f64,
    /// Sum of the squared differences.
    pub dd: f64,
}

impl PairSums {
    /// Adds a pair.
    pub fn add(&mut self, a: f64, b: f64) {
        self.n += 1.0;
        self.a += a;
        self.b += b;
        self.aa += a * a;
        self.bb += b * b;
        self.dd += (a - b) * (a - b);
    }
}

/// Weighted kappa of Cohen (1968, Psychological Bulletin 70) with quadratic weights: 1 less the mean squared difference
/// over the one that raters with these distributions would have by chance. Over equally spaced categories it needs only
/// sums: chance gives E(a²) + E(b²) - 2 E(a) E(b). None if both always give the same category, or nothing was rated.
pub fn quadratic_kappa(sums: &PairSums) -> Option<f64> {
    let PairSums { n, a, b, aa, bb, dd } = *sums;
    let by_chance = n * (aa + bb) - 2.0 * a * b;
    (by_chance > 0.0).then(|| 1.0 - n * dd / by_chance)
}

/// Kappa of Cohen (1960, Educational and Psychological Measurement 20) of a table of counts, one rater's categories in
/// rows, the other's in columns. None if it is empty, or both always say the same.
pub fn kappa<const K: usize>(counts: &[[f64; K]; K]) -> Option<f64> {
    let n: f64 = counts.iter().flatten().sum();
    let rows = counts.iter().map(|row| row.iter().sum::<f64>());
    let columns = (0..K).map(|at| counts.iter().map(|row| row[at]).sum::<f64>());
    let by_chance = rows.zip(columns).map(|(row, column)| row * column).sum::<f64>();
    let agreed: f64 = (0..K).map(|at| counts[at][at]).sum();
    (n * n > by_chance).then(|| (n * agreed - by_chance) / (n * n - by_chance))
}

/// Spearman's rank correlation of pairs with its interval by bootstrap over questions; `questions` holds the question of
/// each pair, 0..n. Resamples are weights of sorted pairs, so each costs one pass and no sort.
pub fn spearman_by_question(seed: u64, pairs: &[(f64, f64)], questions: &[usize]) -> Option<Resampled> {
    let x = Sorted::of(pairs.iter().map(|pair| pair.0).collect());
    let y = Sorted::of(pairs.iter().map(|pair| pair.1).collect());
    let (mut rank_x, mut rank_y) = (vec![0.0; pairs.len()], vec![0.0; pairs.len()]);
    let mut correlate = |weights: &dyn Fn(usize) -> f64| {
        x.rank(weights, &mut rank_x);
        y.rank(weights, &mut rank_y);
        let n: f64 = (0..pairs.len()).map(weights).sum();
        let centre = f64::midpoint(n, 1.0);
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (at, (x, y)) in rank_x.iter().zip(&rank_y).enumerate() {
            let weight = weights(at);
            xy += weight * (x - centre) * (y - centre);
            xx += weight * (x - centre).powi(2);
            yy += weight * (y - centre).powi(2);
        }
        (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
    };
    let value = correlate(&|_| 1.0)?;
    let n_questions = questions.iter().max().map_or(0, |last| last + 1);
    let correlate = std::cell::RefCell::new(correlate);
    let interval = (n_questions >= FEWEST).then(|| {
        bootstrap(seed, n_questions, |positions| {
            let mut times = vec![0_u32; n_questions];
            for position in positions {
                times[*position] += 1;
            }
            correlate.borrow_mut()(&|at| f64::from(times[questions[at]]))
        })
    });
    Some(Resampled { value, interval: interval.flatten() })
}

/// What the pairs of one question add to a rank correlation within questions: `[xy, xx, yy]` of their centred
/// mid-ranks among themselves. [`correlation`] of the sums over questions tells whether, within a question, more of one
/// goes with more of the other.
pub fn rank_products(pairs: &[(f64, f64)]) -> [f64; 3] {
    let x = mid_ranks(pairs.iter().map(|pair| pair.0));
    let y = mid_ranks(pairs.iter().map(|pair| pair.1));
    let centre = f64::midpoint(pairs.len() as f64, 1.0);
    let mut sums = [0.0; 3];
    for (x, y) in x.iter().zip(&y) {
        let (x, y) = (x - centre, y - centre);
        sums.iter_mut().zip([x * y, x * x, y * y]).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// `xy / √(xx yy)`; none if one side does not vary.
pub fn correlation([xy, xx, yy]: &[f64; 3]) -> Option<f64> {
    (*xx > 0.0 && *yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// Positions in the order of their values, with the ends of runs of equal values.
struct Sorted {
    order: Vec<usize>,
    ends: Vec<usize>,
}

impl Sorted {
    fn of(values: Vec<f64>) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let last = |at: &usize| order.get(at + 1).is_none_or(|next| values[order[*at]] != values[*next]);
        let ends = (0..order.len()).filter(last).map(|at| at + 1).collect();
        Self { order, ends }
    }

    /// Mid-ranks where each position stands as often as its weight says.
    fn rank(&self, weights: &dyn Fn(usize) -> f64, ranks: &mut [f64]) {
        let (mut start, mut below) = (0, 0.0);
        for end in &self.ends {
            let run = &self.order[start..*end];
            let weight: f64 = run.iter().map(|at| weights(*at)).sum();
            for at in run {
                ranks[*at] = below + f64::midpoint(weight, 1.0);
            }
            below += weight;
            start = *end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stream;
    use crate::stats::rank::spearman;

    fn close(found: Option<f64>, wanted: f64) {
        assert!((found.unwrap() - wanted).abs() < 1e-12, "{found:?} is not {wanted}");
    }

    fn sums(pairs: &[(f64, f64)]) -> PairSums {
        let mut sums = PairSums::default();
        for (a, b) in pairs {
            sums.add(*a, *b);
        }
        sums
    }

    /// Ratings (0,0) (1,1) (2,1) (2,2): squared differences 0 0 1 0, mean 1/4. By chance over the margins
    /// a = 0 1 2 2, b = 0 1 1 2: E(a²) = 9/4, E(b²) = 6/4, E(a) = 5/4, E(b) = 1, so 15/4 - 10/4 = 5/4. 1 - 1/5 = 0.8.
    #[test]
    fn quadratic_kappa_agrees_with_the_sum_done_by_hand() {
        let pairs = [(0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (2.0, 2.0)];
        close(quadratic_kappa(&sums(&pairs)), 0.8);
        close(quadratic_kappa(&sums(&[(0.0, 9.0), (9.0, 0.0)])), -1.0);
        close(quadratic_kappa(&sums(&[(3.0, 3.0), (7.0, 7.0)])), 1.0);
        assert_eq!(quadratic_kappa(&sums(&[(4.0, 4.0), (4.0, 4.0)])), None);
        assert_eq!(quadratic_kappa(&PairSums::default()), None);
    }

    /// The definition over a table of weights, term by term.
    #[test]
    fn quadratic_kappa_is_that_of_the_table_of_weights() {
        let mut stream = Stream::new(0, "kappa");
        let pairs: Vec<(f64, f64)> = (0..200)
            .map(|_| (stream.below(10), stream.below(4)))
            .map(|(a, noise)| (a as f64, ((a + noise).min(9)) as f64))
            .collect();
        let share =
            |a: f64, of: fn(&(f64, f64)) -> f64| pairs.iter().filter(|pair| of(pair) == a).count() as f64 / 200.0;
        let (mut observed, mut by_chance) = (0.0, 0.0);
        for a in 0..10 {
            for b in 0..10 {
                let (a, b) = (f64::from(a), f64::from(b));
                let weight = (a - b).powi(2) / 81.0;
                observed += weight * pairs.iter().filter(|pair| **pair == (a, b)).count() as f64 / 200.0;
                by_chance += weight * share(a, |pair| pair.0) * share(b, |pair| pair.1);
            }
        }
        let found = quadratic_kappa(&sums(&pairs)).unwrap();
        assert!((found - (1.0 - observed / by_chance)).abs() < 1e-9 && found < 1.0, "{found}");
    }

    /// The example of the article on Cohen's kappa that everybody computes: 20 5 / 10 15 gives 0.4.
    #[test]
    fn kappa_agrees_with_the_sum_done_by_hand() {
        close(kappa(&[[20.0, 5.0], [10.0, 15.0]]), 0.4);
        close(kappa(&[[3.0, 0.0], [0.0, 5.0]]), 1.0);
        assert_eq!(kappa(&[[7.0, 0.0], [0.0, 0.0]]), None);
        assert_eq!(kappa(&[[0.0; 2]; 2]), None);
    }

    #[test]
    fn a_ratio_of_sums_is_resampled_by_question() {
        let questions: Vec<[f64; 2]> = (0..50).map(|at| [f64::from(at % 5) + 2.0, 2.0]).collect();
        let ratio = |sums: &[f64; 2]| (sums[1] > 0.0).then(|| sums[0] / sums[1]);
        let found = resampled(0, &questions, ratio).unwrap();
        let (low, high) = found.interval.unwrap();
        assert!((found.value - 2.0).abs() < 1e-12, "{found:?}");
        // Standard error: sqrt(2) / sqrt(50) / 2 = 0.1.
        assert!((low - 1.804).abs() < 0.03 && (high - 2.196).abs() < 0.03, "{found:?}");
        assert_eq!(resampled(0, &questions[..2], ratio).unwrap().interval, None);
        assert_eq!(resampled(0, &[], ratio), None);
    }

    #[test]
    fn weights_rank_as_repetition_does() {
        let mut stream = Stream::new(1, "ranks");
        let pairs: Vec<(f64, f64)> = (0..60).map(|_| (stream.below(10) as f64, stream.below(7) as f64)).collect();
        let questions: Vec<usize> = (0..60).map(|at| at / 3).collect();
        let found = spearman_by_question(5, &pairs, &questions).unwrap();
        assert!((found.value - spearman(&pairs).unwrap()).abs() < 1e-12);
        // The same resamples, each spelled out and sorted.
        let spelled = bootstrap(5, 20, |positions| {
            let drawn = positions.iter().flat_map(|question| pairs[3 * question..3 * question + 3].iter().copied());
            spearman(&drawn.collect::<Vec<_>>())
        });
        let ((low, high), (wanted_low, wanted_high)) = (found.interval.unwrap(), spelled.unwrap());
        assert!((low - wanted_low).abs() < 1e-12 && (high - wanted_high).abs() < 1e-12);
    }

    /// Question 1 has lengths 1 2 3 against 3 5 4, question 2 a lone pair that tells nothing: ranks 1 2 3 against
    /// 1 3 2, so xy = 1, xx = yy = 2.
    #[test]
    fn ranks_within_a_question_tell_nothing_of_other_questions() {
        let sums = rank_products(&[(1.0, 3.0), (2.0, 5.0), (3.0, 4.0)]);
        assert_eq!(sums, [1.0, 2.0, 2.0]);
        assert_eq!(rank_products(&[(900.0, 1.0)]), [0.0; 3]);
        close(correlation(&sums), 0.5);
        assert_eq!(correlation(&[0.0; 3]), None);
    }
}
