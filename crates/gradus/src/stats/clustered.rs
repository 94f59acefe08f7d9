//! Means over questions that were each asked several times, with intervals.

use super::wilson_share;

/// A mean over questions with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean, 0..=1.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Standard error of the mean, from the spread over questions.
    pub standard_error: f64,
    /// Questions.
    pub n: usize,
}

/// The mean of one value in 0..=1 per question; none without questions. `n_attempts` is how many attempts the values
/// rest on, at least as many as there are values.
///
/// Attempts at one question are alike, so questions are the unit: SE² = Σ (v - mean)² / n². The interval is Wilson's
/// (1927) with the effective number of trials mean (1 - mean) / SE², the way of surveys with clusters (Korn and
/// Graubard 1998; Dean and Pagano 2015 compare it with others), held between the number of questions and that of
/// attempts. It stays within 0..=1, has a width where every question is solved, and is exactly Wilson's where each
/// question was asked once.
pub fn clustered(values: &[f64], n_attempts: u64) -> Option<Estimate> {
    let mean = mean(values)?;
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let variance = squares / (n * n);
    let trials = if variance > 0.0 { mean * (1.0 - mean) / variance } else { n };
    let (low, high) = wilson_share(mean, trials.clamp(n, (n_attempts as f64).max(n)));
    Some(Estimate { mean, low, high, standard_error: variance.sqrt(), n: values.len() })
}

/// The share of all attempts that succeeded, from `(successes, attempts)` of each question; none without attempts.
///
/// As [`clustered`], for questions that were not all asked equally often: SE² = Σ (s - share a)² / (Σ a)², the
/// linearised variance of a ratio (Cochran 1977, Sampling Techniques, section 6.5). With equally many attempts at each
/// question the two are the same.
pub fn clustered_ratio(questions: &[(u64, u64)]) -> Option<Estimate> {
    let asked = || questions.iter().filter(|(_, n)| *n > 0).map(|(hits, n)| (*hits as f64, *n as f64));
    let n = asked().count();
    let n_attempts: f64 = asked().map(|(_, n)| n).sum();
    if n == 0 {
        return None;
    }
    let mean = asked().map(|(hits, _)| hits).sum::<f64>() / n_attempts;
    let squares: f64 = asked().map(|(hits, n)| (hits - mean * n).powi(2)).sum();
    let variance = squares / (n_attempts * n_attempts);
    let trials = if variance > 0.0 { mean * (1.0 - mean) / variance } else { n as f64 };
    let (low, high) = wilson_share(mean, trials.clamp(n as f64, n_attempts));
    Some(Estimate { mean, low, high, standard_error: variance.sqrt(), n })
}

/// The chance that at least one of `k` attempts is correct, given that `n_correct` of `n` were: the unbiased estimator
/// 1 - C(n - c, k) / C(n, k) of Chen et al. 2021 (arXiv 2107.03374, eq. 1), as a product. None if `k` is above `n`.
pub fn pass_at_k(n: u64, n_correct: u64, k: u64) -> Option<f64> {
    if k > n {
        return None;
    }
    let n_wrong = n.saturating_sub(n_correct);
    if n_wrong < k {
        return Some(1.0);
    }
    Some(1.0 - (n_wrong + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>())
}

/// The mean; none of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The median, between the two in the middle if their number is even; none of nothing. Reorders the values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    Some(if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::{Stream, wilson};

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }

    /// Wanted values: binomial coefficients in Python.
    #[test]
    fn pass_at_k_agrees_with_the_ratio_of_binomial_coefficients() {
        for (n, n_correct, k, wanted) in [
            (8, 0, 4, 0.0),
            (8, 1, 4, 0.5),
            (8, 3, 2, 0.642_857_142_857_142_8),
            (100, 7, 10, 0.533_259_585_682_785_5),
            (200, 1, 100, 0.5),
            (5, 5, 3, 1.0),
            (5, 4, 3, 1.0),
        ] {
            close(pass_at_k(n, n_correct, k).unwrap(), wanted);
        }
        assert_eq!(pass_at_k(3, 1, 4), None);
    }

    /// Wanted values: the formulas in NumPy, and `proportion_confint(method="wilson")` of statsmodels 0.15.
    #[test]
    fn intervals_agree_with_values_computed_elsewhere() {
        let rates = [1.0, 0.75, 0.5, 0.0, 1.0, 0.25, 1.0, 1.0, 0.5, 0.75];
        let estimate = clustered(&rates, 40).unwrap();
        close(estimate.mean, 0.675);
        close(estimate.standard_error, 0.106_360_236_930_913_23);
        close(estimate.low, 0.453_429_567_440_177_7);
        close(estimate.high, 0.838_701_509_505_168_8);
        let once: Vec<f64> = (0..30).map(|at| f64::from(u8::from(at < 21))).collect();
        let estimate = clustered(&once, 30).unwrap();
        close(estimate.low, 0.521_242_125_412_850_3);
        close(estimate.high, 0.833_352_517_317_562);
        // A single run over 30 questions: some 8 points.
        close(estimate.standard_error, (0.7_f64 * 0.3 / 30.0).sqrt());
        let all = clustered(&[1.0; 30], 120).unwrap();
        close(all.low, 0.886_486_606_826_031_1);
        assert_eq!((all.mean, all.high), (1.0, 1.0));
        assert_eq!(clustered(&[], 0), None);
    }

    /// 3 of 4, 1 of 1 and 0 of 3: share 1/2; Σ (s - a/2)² = 1 + 1/4 + 9/4 = 3.5, over 64.
    #[test]
    fn a_share_of_attempts_weighs_questions_by_their_attempts() {
        let estimate = clustered_ratio(&[(3, 4), (1, 1), (0, 0), (0, 3)]).unwrap();
        close(estimate.mean, 0.5);
        close(estimate.standard_error, (3.5_f64 / 64.0).sqrt());
        assert_eq!(estimate.n, 3);
        let rates = [1.0, 0.75, 0.5, 0.0, 0.25];
        let counts: Vec<(u64, u64)> = rates.iter().map(|rate| ((rate * 4.0) as u64, 4)).collect();
        let (ratio, means) = (clustered_ratio(&counts).unwrap(), clustered(&rates, 20).unwrap());
        close(ratio.low, means.low);
        close(ratio.high, means.high);
        assert_eq!(clustered_ratio(&[(0, 0)]), None);
    }

    #[test]
    fn the_median_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }

    /// Questions of every difficulty, four attempts each: how often the interval holds the true mean. Few questions
    /// leave it a little short of 95 %.
    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        let mut stream = Stream::new(1, "coverage");
        for (n, k, least) in [(30, 1, 0.93), (30, 4, 0.92), (200, 4, 0.93)] {
            let n_worlds = 2_000;
            let mut n_held = 0;
            for _ in 0..n_worlds {
                // Chances are uniform over 0..1, so the mean over all questions that could be asked is a half.
                let values: Vec<f64> = (0..n)
                    .map(|_| {
                        let chance = stream.unit();
                        f64::from((0..k).filter(|_| stream.unit() < chance).count() as u32) / f64::from(k)
                    })
                    .collect();
                let estimate = clustered(&values, (n * k) as u64).unwrap();
                n_held += u32::from(estimate.low <= 0.5 && 0.5 <= estimate.high);
            }
            let share = f64::from(n_held) / f64::from(n_worlds);
            assert!(share >= least && share <= 0.98, "{n} questions, {k} attempts: {share}");
        }
    }

    proptest! {
        #[test]
        fn one_attempt_each_is_exactly_wilson(right in prop::collection::vec(any::<bool>(), 1..200)) {
            let values: Vec<f64> = right.iter().map(|right| f64::from(u8::from(*right))).collect();
            let n_right = right.iter().filter(|right| **right).count() as u64;
            let (low, high) = wilson(n_right, right.len() as u64);
            let estimate = clustered(&values, right.len() as u64).unwrap();
            prop_assert!((estimate.low - low).abs() < 1e-9 && (estimate.high - high).abs() < 1e-9);
        }

        #[test]
        fn the_interval_holds_the_mean_and_stays_within_bounds(
            counts in prop::collection::vec(0_u8..=8, 1..100),
        ) {
            let values: Vec<f64> = counts.iter().map(|count| f64::from(*count) / 8.0).collect();
            let estimate = clustered(&values, 8 * values.len() as u64).unwrap();
            prop_assert!(0.0 <= estimate.low && estimate.low <= estimate.mean + 1e-12);
            prop_assert!(estimate.mean <= estimate.high + 1e-12 && estimate.high <= 1.0);
            prop_assert!(estimate.low < estimate.high);
        }

        #[test]
        fn pass_at_k_grows_with_k_and_begins_with_the_pass_rate(n in 1_u64..60, c in 0_u64..60) {
            let c = c.min(n);
            prop_assert!((pass_at_k(n, c, 1).unwrap() - c as f64 / n as f64).abs() < 1e-12);
            let curve: Vec<f64> = (1..=n).map(|k| pass_at_k(n, c, k).unwrap()).collect();
            prop_assert!(curve.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
            prop_assert_eq!(curve.last().copied(), Some(f64::from(u8::from(c > 0))));
        }
    }
}
