//! When has a question been asked often enough? Attempts stop once they can say no more about its level.
//!
//! Two reasons to stop: the level is the same whatever the attempts left would bring, or the credible interval of the
//! pass rate is narrow enough. Easy and hopeless questions stop early, the ones between are asked on.

use crate::config::{Adaptive, Cuts, Easy, Grade, Grader};
use crate::grade::level;

/// What the attempts of a question came to so far, in order: right, wrong, or not countable.
pub type Counted = [Option<bool>];

/// Whether a question needs no further attempt, given those so far and how many more there may be.
pub fn is_enough(config: &Adaptive, grade: &Grade, so_far: &Counted, n_left: u32) -> bool {
    Tally::of(so_far).is_enough(config, grade, n_left)
}

/// How many more attempts a question needs for certain: with fewer, no answers could make it stop.
pub fn n_certain(config: &Adaptive, grade: &Grade, so_far: &Counted, n_left: u32) -> u32 {
    let now = Tally::of(so_far);
    let can_stop_after = |n_more: u32| {
        let each = (0..=n_more).flat_map(|right| (0..=n_more - right).map(move |wrong| (right, wrong)));
        each.into_iter().any(|(right, wrong)| now.after(right, wrong, n_more).is_enough(config, grade, n_left - n_more))
    };
    (1..n_left).find(|&n_more| can_stop_after(n_more)).unwrap_or(n_left)
}

/// Attempts so far.
#[derive(Debug, Clone, Copy)]
struct Tally {
    n_attempts: u32,
    n_countable: u32,
    n_correct: u32,
    first_correct: bool,
}

impl Tally {
    fn of(so_far: &Counted) -> Self {
        let countable = || so_far.iter().flatten();
        Self {
            n_attempts: so_far.len() as u32,
            n_countable: countable().count() as u32,
            n_correct: countable().filter(|correct| **correct).count() as u32,
            first_correct: countable().next() == Some(&true),
        }
    }

    /// The same after so many more attempts, of which some were right and some wrong, the right ones first.
    fn after(self, right: u32, wrong: u32, n_more: u32) -> Self {
        Self {
            n_attempts: self.n_attempts + n_more,
            n_countable: self.n_countable + right + wrong,
            n_correct: self.n_correct + right,
            first_correct: if self.n_countable == 0 { right > 0 } else { self.first_correct },
        }
    }

    fn is_enough(self, config: &Adaptive, grade: &Grade, n_left: u32) -> bool {
        if n_left == 0 {
            return true;
        }
        if self.n_attempts < config.min_attempts || self.n_countable == 0 {
            return false;
        }
        self.is_settled(grade, n_left)
            || (grade.grader == Grader::PassRate && width(self.n_correct, self.n_countable) <= config.max_width)
    }

    /// Whether the level is the same whatever `n_left` more attempts bring.
    fn is_settled(self, grade: &Grade, n_left: u32) -> bool {
        // Attempts that will not count leave the pass rate between these two as well.
        let all = f64::from(self.n_countable + n_left);
        let (least, most) = (f64::from(self.n_correct) / all, f64::from(self.n_correct + n_left) / all);
        match grade.grader {
            Grader::FirstCorrect => self.first_correct,
            // Where the cut points lie is known when all questions are.
            Grader::PassRate if grade.cuts != Cuts::Fixed => least >= grade.tau,
            Grader::PassRate => {
                let of = |rate: f64| if rate >= grade.tau { 0 } else { level(&grade.edges, rate) };
                of(least) == of(most)
            }
            // Whether it is easy can be known; the scores of wrong attempts cannot.
            Grader::Prm | Grader::Generative | Grader::Tests | Grader::Judge => match grade.easy {
                Easy::FirstCorrect => self.first_correct,
                Easy::PassRate => least >= grade.tau,
            },
        }
    }
}

/// Width of the 95 % credible interval (equal tails) of a pass rate after `n_correct` of `n`, with Jeffreys' prior
/// Beta(1/2, 1/2) (Brown, Cai, DasGupta 2001), 0..1.
pub fn width(n_correct: u32, n: u32) -> f64 {
    let (a, b) = (f64::from(n_correct) + 0.5, f64::from(n - n_correct) + 0.5);
    let low = if n_correct == 0 { 0.0 } else { beta_quantile(a, b, 0.025) };
    let high = if n_correct == n { 1.0 } else { beta_quantile(a, b, 0.975) };
    high - low
}

/// The `p` quantile of Beta(a, b), by bisection to 1e-12.
fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while high - low > 1e-12 {
        let middle = f64::midpoint(low, high);
        if beta_share(a, b, middle) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Regularised incomplete beta function I_x(a, b) for half-integers `a`, `b` that are no integers: the chance that a
/// draw of Beta(a, b) is below `x`. By I_x(1/2, 1/2) = 2/pi asin(sqrt x) and the recurrences in `a` and `b`
/// (NIST DLMF 8.17.20 and 8.17.21).
fn beta_share(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let mut share = 2.0 / std::f64::consts::PI * x.sqrt().asin();
    // x^a (1-x)^b / B(a, b), at a = b = 1/2 where B is pi.
    let mut term = (x * (1.0 - x)).sqrt() / std::f64::consts::PI;
    let (mut at_a, mut at_b) = (0.5, 0.5);
    while at_a < a {
        share -= term / at_a;
        term *= x * (at_a + at_b) / at_a;
        at_a += 1.0;
    }
    while at_b < b {
        share += term / at_b;
        term *= (1.0 - x) * (at_a + at_b) / at_b;
        at_b += 1.0;
    }
    share.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn widths_agree_with_tables() {
        // scipy.stats.beta.ppf of Beta(c + .5, n - c + .5) at .025 and .975; the outer end is 0 or 1.
        let table = [
            (0, 1, 0.0, 0.853_253_684),
            (0, 2, 0.0, 0.666_821_754),
            (1, 2, 0.060_830_276, 0.939_169_724),
            (2, 8, 0.055_966_890, 0.591_623_511),
            (50, 100, 0.403_173_951, 0.596_826_049),
        ];
        for (n_correct, n, low, high) in table {
            let width = width(n_correct, n);
            assert!((width - (high - low)).abs() < 1e-8, "{n_correct} of {n}: {width}");
        }
    }

    #[test]
    fn the_share_below_a_point_is_that_of_its_integral() {
        for (a, b) in [(0.5, 0.5), (2.5, 0.5), (3.5, 7.5), (0.5, 100.5)] {
            // The density is x^(a-1) (1-x)^(b-1) up to a factor; with x = sin^2 t it has no poles.
            let integral = |end: f64| {
                let n = 20_000;
                (0..n)
                    .map(|i| {
                        let t = (f64::from(i) + 0.5) / f64::from(n) * end;
                        t.sin().powf(2.0 * a - 1.0) * t.cos().powf(2.0 * b - 1.0)
                    })
                    .sum::<f64>()
                    * end
            };
            for x in [0.01_f64, 0.3, 0.5, 0.9] {
                let expected = integral(x.sqrt().asin()) / integral(std::f64::consts::FRAC_PI_2);
                assert!((beta_share(a, b, x) - expected).abs() < 1e-6, "{a} {b} {x}");
            }
        }
    }

    #[test]
    fn extremes_stop_and_the_middle_goes_on() {
        let adaptive = Adaptive { min_attempts: 2, max_width: 0.7 };
        let grade = Grade { grader: Grader::PassRate, ..Grade::default() };
        let enough = |so_far: &[Option<bool>]| is_enough(&adaptive, &grade, so_far, 8 - so_far.len() as u32);
        assert!(enough(&[Some(false), Some(false)]) && enough(&[Some(true), Some(true)]));
        assert!(!enough(&[Some(true), Some(false)]) && !enough(&[Some(true)]));
        // What does not count says nothing.
        assert!(!enough(&[Some(true), None]) && !enough(&[None, None]));
        assert_eq!(n_certain(&adaptive, &grade, &[], 8), 2);
    }

    #[test]
    fn one_right_answer_settles_what_only_looks_at_the_first() {
        let adaptive = Adaptive { min_attempts: 1, max_width: 0.0 };
        let grade = Grade::default();
        assert!(is_enough(&adaptive, &grade, &[Some(true)], 3));
        assert!(!is_enough(&adaptive, &grade, &[Some(false)], 3));
        assert!(is_enough(&adaptive, &grade, &[None, Some(true)], 2));
    }

    proptest! {
        #[test]
        fn a_settled_level_is_the_level_in_the_end(
            fates in prop::collection::vec(prop::option::weighted(0.8, any::<bool>()), 1..16),
            tau in 0.5f64..1.0,
        ) {
            // Without a width, asking stops only where the level cannot change.
            let adaptive = Adaptive { min_attempts: 1, max_width: 0.0 };
            let grade = Grade { grader: Grader::PassRate, tau, ..Grade::default() };
            let of = |fates: &[Option<bool>]| {
                let n = fates.iter().flatten().count();
                let rate = fates.iter().flatten().filter(|correct| **correct).count() as f64 / n as f64;
                if rate >= tau { 0 } else { level(&grade.edges, rate) }
            };
            if let Some(stop) = (1..=fates.len()).find(|&n| is_enough(&adaptive, &grade, &fates[..n], (fates.len() - n) as u32))
                && fates[..stop].iter().flatten().count() > 0
            {
                prop_assert_eq!(of(&fates[..stop]), of(&fates));
            }
        }

        #[test]
        fn what_is_certain_is_needed(
            fates in prop::collection::vec(prop::option::weighted(0.8, any::<bool>()), 12),
            max_width in 0.1f64..0.9,
            min_attempts in 1u32..5,
        ) {
            let adaptive = Adaptive { min_attempts, max_width };
            let grade = Grade { grader: Grader::PassRate, ..Grade::default() };
            let stop = (0..=12).find(|&n| is_enough(&adaptive, &grade, &fates[..n], (12 - n) as u32)).unwrap();
            for n in 0..stop {
                let certain = n_certain(&adaptive, &grade, &fates[..n], (12 - n) as u32) as usize;
                prop_assert!(n + certain <= stop, "{} attempts are enough, {} were asked after {}", stop, certain, n);
            }
        }
    }
}
