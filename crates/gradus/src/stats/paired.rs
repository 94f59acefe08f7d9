//! Two models on the same questions.

use super::{Stream, mean};

/// Resamples behind an interval or a p-value.
pub const RESAMPLES: usize = 10_000;

/// A mean of differences, question by question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Mean difference.
    pub mean: f64,
    /// Lower end of the 95 % interval: percentiles of [`RESAMPLES`] keyed resamples of the questions (Efron 1979).
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Standard error of the mean, from the spread over questions.
    pub standard_error: f64,
    /// Chance of a mean at least this far from 0 if neither model were better: signs flipped at random,
    /// [`RESAMPLES`] times, or all ways of flipping where there are fewer (Fisher 1935). The observed one counts.
    pub p: f64,
    /// Questions.
    pub n: usize,
}

/// What two models differ by, from one difference per question; none without questions.
pub fn paired(differences: &[f64], seed: u64) -> Option<Paired> {
    let mean = mean(differences)?;
    let n = differences.len();
    let mut stream = Stream::new(seed, "paired bootstrap");
    let resampled = |_| (0..n).map(|_| differences[stream.below(n)]).sum::<f64>() / n as f64;
    let (low, high) = ends((0..RESAMPLES).map(resampled).collect());
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    Some(Paired { mean, low, high, standard_error: squares.sqrt() / n as f64, p: sign_flips(differences, seed), n })
}

fn sign_flips(differences: &[f64], seed: u64) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let observed = moved.iter().sum::<f64>().abs();
    // Sums in another order differ in their last digits.
    let as_far = |sum: f64| sum.abs() >= observed - 1e-9 * moved.iter().map(|d| d.abs()).sum::<f64>().max(1e-300);
    if moved.len() < RESAMPLES.ilog2() as usize {
        let n_ways = 1_u32 << moved.len();
        let sum = |signs: u32| -> f64 {
            moved.iter().enumerate().map(|(at, d)| if signs >> at & 1 == 1 { -d } else { *d }).sum()
        };
        return f64::from((0..n_ways).filter(|signs| as_far(sum(*signs))).count() as u32) / f64::from(n_ways);
    }
    let mut stream = Stream::new(seed, "sign flips");
    let mut flipped = || -> f64 {
        let mut bits = 0;
        moved
            .iter()
            .enumerate()
            .map(|(at, d)| {
                if at % 64 == 0 {
                    bits = stream.bits();
                }
                let flip = bits >> (at % 64) & 1 == 1;
                if flip { -d } else { *d }
            })
            .sum()
    };
    let n_as_far = (0..RESAMPLES).filter(|_| as_far(flipped())).count();
    (n_as_far + 1) as f64 / (RESAMPLES + 1) as f64
}

/// The ratio of two means over the same questions, `(numerator, denominator)` per question, with the percentiles of
/// resampled questions: `(ratio, low, high)`. None if the denominators sum to nothing.
pub fn ratio_of_means(pairs: &[(f64, f64)], seed: u64) -> Option<(f64, f64, f64)> {
    let ratio = |(above, below): (f64, f64)| (below > 0.0).then(|| above / below);
    let add = |sum: (f64, f64), pair: (f64, f64)| (sum.0 + pair.0, sum.1 + pair.1);
    let found = ratio(pairs.iter().copied().fold((0.0, 0.0), add))?;
    let mut stream = Stream::new(seed, "ratio of means");
    let resampled: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| ratio((0..pairs.len()).map(|_| pairs[stream.below(pairs.len())]).fold((0.0, 0.0), add)))
        .collect();
    let (low, high) = ends(resampled);
    Some((found, low, high))
}

/// The exact test of McNemar (1947): the two-sided p-value for `n_first` questions that only the first model solves and
/// `n_second` that only the second one does, by the binomial distribution with chance 1/2.
pub fn mcnemar(n_first: u64, n_second: u64) -> f64 {
    let n = n_first + n_second;
    let least = n_first.min(n_second);
    if n == 0 {
        return 1.0;
    }
    // Terms C(n, i) / 2^n by their logarithms: the first one vanishes in doubles beyond some thousand questions.
    let mut logarithm = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for i in 0..=least {
        tail += logarithm.exp();
        logarithm += ((n - i) as f64).ln() - ((i + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// The 2.5th and the 97.5th percentile, interpolated.
fn ends(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (values.len() - 1) as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(values.len() - 1);
        values[below] + (values[above] - values[below]) * (place - below as f64)
    };
    (at(0.025), at(0.975))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Wanted values: `scipy.stats.binomtest` (SciPy 1.17).
    #[test]
    fn mcnemar_agrees_with_the_binomial_test() {
        for (first, second, wanted) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (5, 1, 0.218_75),
            (3, 10, 0.092_285_156_25),
            (10, 10, 1.0),
            (37, 61, 0.019_690_184_799_846_844),
            (600, 700, 0.006_015_793_861_045),
            (1_500, 1_700, 0.000_433_340_359_399_754_45),
        ] {
            let found = mcnemar(first, second);
            assert!((found / wanted - 1.0).abs() < 1e-9, "{first} {second}: {found} is not {wanted}");
            assert_eq!(found, mcnemar(second, first));
        }
    }

    /// Wanted values: all 1,024 ways of signs in Python; `scipy.stats.bootstrap(method="percentile")` with 200,000
    /// resamples.
    #[test]
    fn a_paired_difference_agrees_with_values_computed_elsewhere() {
        let differences = [0.5, -0.25, 1.0, 0.0, 0.25, 0.0, -0.5, 1.0, 0.75, 0.25];
        let paired = paired(&differences, 0).unwrap();
        assert!((paired.mean - 0.3).abs() < 1e-12 && (paired.standard_error - 0.153_297_097_167_558_9).abs() < 1e-12);
        assert!((paired.p - 0.132_812_5).abs() < 1e-12, "{}", paired.p);
        assert!(paired.low.abs() <= 0.026 && (paired.high - 0.6).abs() <= 0.026, "{paired:?}");
        assert_eq!(super::paired(&[], 0), None);
    }

    #[test]
    fn many_flips_come_near_to_mcnemar_where_every_difference_is_one_question() {
        // The p-value of sign flips over single verdicts is that of McNemar.
        let differences: Vec<f64> =
            std::iter::repeat_n(1.0, 37).chain(std::iter::repeat_n(-1.0, 61)).chain([0.0; 40]).collect();
        let found = paired(&differences, 3).unwrap().p;
        // Three standard errors of a share of 0.0197 among 10,000.
        assert!((found - mcnemar(37, 61)).abs() < 0.0042, "{found}");
    }

    #[test]
    fn a_ratio_of_means_is_resampled_by_question() {
        let pairs: Vec<(f64, f64)> = (0..50).map(|at| (f64::from(at % 5) + 2.0, 2.0)).collect();
        let (ratio, low, high) = ratio_of_means(&pairs, 0).unwrap();
        assert!((ratio - 2.0).abs() < 1e-12, "{ratio}");
        // Standard error: sqrt(2) / sqrt(50) / 2 = 0.1.
        assert!((low - 1.804).abs() < 0.02 && (high - 2.196).abs() < 0.02, "{low} {high}");
        assert_eq!(ratio_of_means(&[(1.0, 0.0)], 0), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn exchanging_the_models_turns_the_difference_round(
            differences in prop::collection::vec(-1.0_f64..1.0, 1..40),
        ) {
            let turned: Vec<f64> = differences.iter().map(|d| -d).collect();
            let (one, other) = (paired(&differences, 5).unwrap(), paired(&turned, 5).unwrap());
            prop_assert!((one.mean + other.mean).abs() < 1e-9);
            prop_assert!((one.low + other.high).abs() < 1e-9 && (one.high + other.low).abs() < 1e-9);
            prop_assert_eq!(one.p, other.p);
            prop_assert!(one.p > 0.0 && one.p <= 1.0);
            prop_assert_eq!(paired(&differences, 5), Some(one));
        }

        #[test]
        fn a_difference_that_is_always_the_same_has_no_width(d in 0.01_f64..1.0, n in 1_usize..30) {
            let found = paired(&vec![d; n], 1).unwrap();
            prop_assert!((found.low - d).abs() < 1e-9 && (found.high - d).abs() < 1e-9);
            prop_assert!(found.p <= 2.0 / (1_u64 << n.min(13)) as f64 + 2e-4);
        }
    }
}
