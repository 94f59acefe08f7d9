//! Where do the cut points between levels lie? Fixed ones are given; these are taken from the bank.
//!
//! A level is 5 below the first edge and 1 from the last on ([`crate::grade`]).

use crate::config::{Cuts, Grade};
use crate::question::QuestionId;

/// The edges of a bank, from its questions that are not easy. The fixed ones, if there is nothing to take them from.
pub fn of_bank(config: &Grade, measured: &[(QuestionId, Measured)]) -> [f64; 4] {
    let edges = match config.cuts {
        Cuts::Fixed => None,
        Cuts::Quantile => quantile(&measured.iter().map(|(_, one)| one.score).collect::<Vec<_>>()),
        Cuts::Calibrated => {
            let fitted: Vec<Measured> = measured.iter().filter(|(id, _)| is_fitted(*id)).map(|(_, one)| *one).collect();
            calibrated(&fitted, &config.edges)
        }
    };
    edges.unwrap_or(config.edges)
}

/// Whether a question is of the half that calibration is fitted on; the others show what it is worth.
pub fn is_fitted(id: QuestionId) -> bool {
    id.number().is_multiple_of(2)
}

/// Edges that give each level a fifth of the scores, as far as ties allow (lower quantiles). None without scores.
pub fn quantile(scores: &[f64]) -> Option<[f64; 4]> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    // The score at which the next fifth begins: a level holds what lies from its edge on.
    let at = |fifth: usize| sorted[(sorted.len() * fifth / 5).min(sorted.len() - 1)];
    (!sorted.is_empty()).then(|| [at(1), at(2), at(3), at(4)])
}

/// A score with the measured pass rate of its question and the number of attempts behind that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Score of the grader, 0..1.
    pub score: f64,
    /// Measured pass rate, 0..1, of attempts that the grader has not seen.
    pub pass_rate: f64,
    /// Attempts behind it: its weight.
    pub n: f64,
}

/// Edges at which the pass rate expected at a score crosses `targets`: the monotone function of the score that is
/// nearest to the measured pass rates (isotonic regression by pooling adjacent violators; Ayer et al. 1955), so that
/// levels mean the same whatever the grader's scale. A target that is never crossed leaves its edge beyond the scores,
/// and its level empty. None without measurements.
pub fn calibrated(measured: &[Measured], targets: &[f64; 4]) -> Option<[f64; 4]> {
    let fit = isotonic(measured);
    let last = fit.last()?;
    let beyond = last.highest + 1.0;
    Some(targets.map(|target| fit.iter().find(|block| block.rate >= target).map_or(beyond, |block| block.lowest)))
}

/// A stretch of scores with one expected pass rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// Lowest score in it.
    pub lowest: f64,
    /// Highest score in it.
    pub highest: f64,
    /// Expected pass rate, not below that of the block before.
    pub rate: f64,
    /// Attempts behind it.
    pub n: f64,
}

/// The non-decreasing step function of the score that is nearest to the pass rates, by weighted least squares.
pub fn isotonic(measured: &[Measured]) -> Vec<Block> {
    let mut sorted = measured.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mut blocks: Vec<Block> = Vec::new();
    for Measured { score, pass_rate, n } in sorted {
        blocks.push(Block { lowest: score, highest: score, rate: pass_rate, n });
        while let [.., before, last] = blocks.as_mut_slice()
            && (before.rate >= last.rate || before.highest == last.lowest)
        {
            let n = before.n + last.n;
            let rate = if n > 0.0 { (before.rate * before.n + last.rate * last.n) / n } else { before.rate };
            *before = Block { lowest: before.lowest, highest: last.highest, rate, n };
            blocks.pop();
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::grade::level;

    #[test]
    fn quantiles_cut_into_fifths() {
        let scores: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        let edges = quantile(&scores).unwrap();
        assert_eq!(edges, [0.2, 0.4, 0.6, 0.8]);
        for wanted in 1..=5 {
            assert_eq!(scores.iter().filter(|score| level(&edges, **score) == wanted).count(), 20);
        }
        assert_eq!(quantile(&[]), None);
        assert_eq!(quantile(&[0.5]), Some([0.5; 4]));
    }

    #[test]
    fn calibration_finds_the_scores_where_the_pass_rate_crosses() {
        // A grader whose scores are the squares of pass rates.
        let measured: Vec<Measured> = (0..=100)
            .map(|i| f64::from(i) / 100.0)
            .map(|rate| Measured { score: rate * rate, pass_rate: rate, n: 8.0 })
            .collect();
        let edges = calibrated(&measured, &[0.2, 0.4, 0.6, 0.8]).unwrap();
        for (edge, expected) in edges.iter().zip([0.04, 0.16, 0.36, 0.64]) {
            assert!((edge - expected).abs() < 1e-9, "{edge} {expected}");
        }
        // A student that never gets beyond a half leaves the upper levels empty.
        let low: Vec<Measured> =
            measured.iter().map(|one| Measured { pass_rate: one.pass_rate / 2.0, ..*one }).collect();
        let edges = calibrated(&low, &[0.2, 0.4, 0.6, 0.8]).unwrap();
        assert!(edges[1] < 1.0 && edges[2] > 1.0 && edges[3] > 1.0, "{edges:?}");
        assert_eq!(calibrated(&[], &[0.2, 0.4, 0.6, 0.8]), None);
    }

    proptest! {
        #[test]
        fn the_fit_never_falls_and_keeps_the_mean(
            points in prop::collection::vec((0u8..20, 0u8..=8), 1..60)
        ) {
            let measured: Vec<Measured> = points
                .iter()
                .map(|&(score, hits)| Measured { score: f64::from(score) / 20.0, pass_rate: f64::from(hits) / 8.0, n: 8.0 })
                .collect();
            let fit = isotonic(&measured);
            prop_assert!(fit.windows(2).all(|two| two[0].rate < two[1].rate && two[0].highest < two[1].lowest));
            let n: f64 = fit.iter().map(|block| block.n).sum();
            let mean = fit.iter().map(|block| block.rate * block.n).sum::<f64>() / n;
            let expected = measured.iter().map(|one| one.pass_rate).sum::<f64>() / measured.len() as f64;
            prop_assert!((mean - expected).abs() < 1e-9);
            let edges = calibrated(&measured, &[0.2, 0.4, 0.6, 0.8]).unwrap();
            prop_assert!(edges.windows(2).all(|two| two[0] <= two[1]));
        }
    }
}
