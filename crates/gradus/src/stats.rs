//! Small statistics, each with its source. Intervals of a mean over questions are in `clustered`, comparisons of two
//! models on the same questions in `paired`, predictions against what happened in `predict`, raters against each other in
//! `agreement`.

mod agreement;
mod clustered;
mod paired;
mod predict;
pub mod rank;
mod spread;
mod stream;

pub use agreement::{
    PairSums, Resampled, correlation, kappa, quadratic_kappa, rank_products, resampled, spearman_by_question,
};
pub use clustered::{Estimate, clustered, clustered_ratio, mean, median, pass_at_k};
pub use paired::{Paired, RESAMPLES, mcnemar, paired, ratio_of_means};
pub use predict::{auc, expected_jaccard, jaccard, log_loss, logistic, logistic_weighted, sigmoid};
pub use spread::{Spread, quantile};
pub use stream::Stream;

/// The normal quantile of a two-sided 95 % interval.
const Z95: f64 = 1.959_963_984_540_054;

/// 95 % interval of a proportion after Wilson (1927): `(low, high)` within 0..=1; the whole range for no trials.
pub fn wilson(n_hits: u64, n_trials: u64) -> (f64, f64) {
    if n_trials == 0 {
        return (0.0, 1.0);
    }
    wilson_share(n_hits as f64 / n_trials as f64, n_trials as f64)
}

/// The same of a share `p` among `n` trials, which need not be whole; `n` is above 0.
fn wilson_share(p: f64, n: f64) -> (f64, f64) {
    let z2 = Z95 * Z95;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // At the ends the interval touches 0 or 1 exactly; rounding must not miss it.
    let low = if p <= 0.0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if p >= 1.0 { 1.0 } else { (centre + half).min(1.0) };
    (low, high)
}

/// A draw in 0..2^64 for an item, from the run's seed: independent of whatever else is drawn.
pub fn draw(seed: u64, purpose: &str, item: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(item);
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// Whether an item belongs to a keyed share (0..=1) of all items, whatever else there is.
pub fn is_drawn(share: f64, purpose: &str, item: &[u8]) -> bool {
    (draw(0, purpose, item) as f64) < share * 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_agrees_with_hand_computed_values() {
        let (low, high) = wilson(1, 4);
        assert!((low - 0.045_59).abs() < 1e-4 && (high - 0.699_36).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        for n in 1..1000 {
            assert_eq!((wilson(0, n).0, wilson(n, n).1), (0.0, 1.0), "{n}");
        }
    }
}
