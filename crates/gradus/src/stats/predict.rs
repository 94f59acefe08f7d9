//! Predictions of verdicts against what happened, and sets of questions against each other.

/// Mean negative log-likelihood in nats of `(chance, happened)`; chances are held within 10^-6 of the ends. None of
/// nothing.
pub fn log_loss(predictions: &[(f64, bool)]) -> Option<f64> {
    let loss = |(chance, happened): &(f64, bool)| {
        let chance = chance.clamp(1e-6, 1.0 - 1e-6);
        -if *happened { chance } else { 1.0 - chance }.ln()
    };
    (!predictions.is_empty()).then(|| predictions.iter().map(loss).sum::<f64>() / predictions.len() as f64)
}

/// The chance that what happened was held likelier than what did not, ties counting half: the area under the ROC curve
/// as the Mann-Whitney statistic (Hanley and McNeil 1982). None if only one of the two occurs.
pub fn auc(predictions: &[(f64, bool)]) -> Option<f64> {
    let mut sorted: Vec<&(f64, bool)> = predictions.iter().collect();
    sorted.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let n_hits = sorted.iter().filter(|(_, happened)| *happened).count() as f64;
    let n_misses = sorted.len() as f64 - n_hits;
    if n_hits == 0.0 || n_misses == 0.0 {
        return None;
    }
    let (mut n_misses_below, mut wins) = (0.0, 0.0);
    for tied in sorted.chunk_by(|one, other| one.0 == other.0) {
        let hits = tied.iter().filter(|(_, happened)| *happened).count() as f64;
        let misses = tied.len() as f64 - hits;
        wins += hits * (n_misses_below + misses / 2.0);
        n_misses_below += misses;
    }
    Some(wins / (n_hits * n_misses))
}

/// Shared among all of two sets: |A ∩ B| / |A ∪ B|, from the sizes of the intersection and of the two. None of two empty
/// sets.
pub fn jaccard(n_both: u64, n_first: u64, n_second: u64) -> Option<f64> {
    let n_any = n_first + n_second - n_both;
    (n_any > 0).then(|| n_both as f64 / n_any as f64)
}

/// What two sets of these sizes, drawn from `n` independently, would share: with the expected intersection
/// |A| |B| / n in place of the real one (the ratio of expectations, not the expectation of the ratio).
pub fn expected_jaccard(n_first: u64, n_second: u64, n: u64) -> Option<f64> {
    let both = n_first as f64 * n_second as f64 / n as f64;
    let any = n_first as f64 + n_second as f64 - both;
    (any > 0.0).then(|| both / any)
}

/// Weights of a logistic regression: the maximum of Σ log-likelihood - ridge/2 Σ w², the first weight (that of a
/// constant 1, by custom) going free, by Newton's method with step halving. `rows` are features of equal length.
pub fn logistic(rows: &[(Vec<f64>, bool)], ridge: f64) -> Vec<f64> {
    let row = |(features, happened): &'_ (Vec<f64>, bool)| {
        let hit = f64::from(u8::from(*happened));
        (features.clone(), [hit, 1.0 - hit])
    };
    logistic_weighted(&rows.iter().map(row).collect::<Vec<_>>(), ridge)
}

/// The same of weights for `[happened, did not]` at each row's features, from 0 on.
pub fn logistic_weighted(rows: &[(Vec<f64>, [f64; 2])], ridge: f64) -> Vec<f64> {
    let width = rows.first().map_or(0, |(features, _)| features.len());
    let penalty = |at: usize| if at == 0 { 1e-6 } else { ridge };
    let objective = |weights: &[f64]| -> f64 {
        let likelihood = |(features, [hits, misses]): &(Vec<f64>, [f64; 2])| {
            let logit = dot(features, weights);
            // ln(1 + e^x) without overflow.
            let softplus = logit.max(0.0) + (-logit.abs()).exp().ln_1p();
            hits * logit - (hits + misses) * softplus
        };
        let shrink: f64 = weights.iter().enumerate().map(|(at, weight)| penalty(at) * weight * weight / 2.0).sum();
        rows.iter().map(likelihood).sum::<f64>() - shrink
    };
    let mut weights = vec![0.0; width];
    let mut best = objective(&weights);
    for _ in 0..50 {
        let mut gradient: Vec<f64> = weights.iter().enumerate().map(|(at, weight)| -penalty(at) * weight).collect();
        let mut curvature = vec![vec![0.0; width]; width];
        for (at, row) in curvature.iter_mut().enumerate() {
            row[at] = penalty(at);
        }
        for (features, [hits, misses]) in rows {
            let chance = sigmoid(dot(features, &weights));
            let residual = hits - (hits + misses) * chance;
            let spread = (hits + misses) * chance * (1.0 - chance);
            for (at, feature) in features.iter().enumerate() {
                gradient[at] += residual * feature;
                for (to, other) in features.iter().enumerate().take(at + 1) {
                    curvature[at][to] += spread * feature * other;
                }
            }
        }
        let step = solve(curvature, gradient);
        let mut scale = 1.0;
        let better = loop {
            let tried: Vec<f64> = weights.iter().zip(&step).map(|(weight, step)| weight + scale * step).collect();
            let value = objective(&tried);
            if value >= best {
                break Some((tried, value));
            }
            scale /= 2.0;
            if scale < 1e-6 {
                break None;
            }
        };
        let Some((tried, value)) = better else { break };
        let gain = value - best;
        (weights, best) = (tried, value);
        if gain < 1e-9 {
            break;
        }
    }
    weights
}

/// 1 / (1 + e^-x).
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// Solves a symmetric, positive definite system, of which the lower half is given, by Cholesky's decomposition.
fn solve(mut lower: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for at in 0..n {
        for to in 0..=at {
            let sum: f64 = (0..to).map(|k| lower[at][k] * lower[to][k]).sum();
            lower[at][to] =
                if at == to { (lower[at][at] - sum).max(1e-12).sqrt() } else { (lower[at][to] - sum) / lower[to][to] };
        }
    }
    for at in 0..n {
        let sum: f64 = (0..at).map(|k| lower[at][k] * right[k]).sum();
        right[at] = (right[at] - sum) / lower[at][at];
    }
    for at in (0..n).rev() {
        let sum: f64 = (at + 1..n).map(|k| lower[k][at] * right[k]).sum();
        right[at] = (right[at] - sum) / lower[at][at];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stream;

    /// Wanted value: `scipy.stats.mannwhitneyu` over the product of the counts.
    #[test]
    fn auc_counts_ties_half() {
        let predictions = [(0.1, false), (0.4, false), (0.35, true), (0.8, true), (0.4, true)];
        assert_eq!(auc(&predictions), Some(0.75));
        assert_eq!(auc(&[(0.5, true), (0.5, false), (0.5, true)]), Some(0.5));
        assert_eq!(auc(&[(0.5, true)]), None);
    }

    #[test]
    fn log_loss_of_an_honest_coin_is_ln_2() {
        let loss = log_loss(&[(0.5, true), (0.5, false)]).unwrap();
        assert!((loss - std::f64::consts::LN_2).abs() < 1e-12);
        assert!(log_loss(&[(0.0, true)]).unwrap().is_finite());
        assert_eq!(log_loss(&[]), None);
    }

    #[test]
    fn sets_are_compared_with_what_chance_would_share() {
        assert_eq!(jaccard(2, 3, 5), Some(2.0 / 6.0));
        assert_eq!(jaccard(0, 0, 0), None);
        // Of 100, 50 and 50 share 25 by chance: 25 / 75.
        assert_eq!(expected_jaccard(50, 50, 100), Some(1.0 / 3.0));
    }

    #[test]
    fn logistic_regression_finds_the_weights_that_made_the_data() {
        let mut stream = Stream::new(0, "logistic");
        let wanted = [0.5, -1.5, 1.0];
        let rows: Vec<(Vec<f64>, bool)> = (0..20_000)
            .map(|_| {
                let features = vec![1.0, 4.0 * stream.unit() - 2.0, f64::from(u8::from(stream.unit() < 0.3))];
                let happened = stream.unit() < sigmoid(dot(&features, &wanted));
                (features, happened)
            })
            .collect();
        let found = logistic(&rows, 0.0);
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 0.1, "{found} is not {wanted}");
        }
        // At the maximum the mean prediction is the mean of what happened.
        let predicted: f64 = rows.iter().map(|(features, _)| sigmoid(dot(features, &found))).sum();
        let happened = rows.iter().filter(|(_, happened)| *happened).count() as f64;
        assert!((predicted - happened).abs() < 0.1, "{predicted} {happened}");
    }

    #[test]
    fn separable_data_keeps_weights_finite() {
        let rows: Vec<(Vec<f64>, bool)> = (0..20).map(|at| (vec![1.0, f64::from(at)], at >= 10)).collect();
        let weights = logistic(&rows, 1.0);
        assert!(weights.iter().all(|weight| weight.is_finite()) && weights[1] > 0.0, "{weights:?}");
    }
}
