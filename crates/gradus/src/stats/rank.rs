//! Do two orders agree? Rank correlations with ties, and intervals by bootstrap over questions.

use super::stream::Stream;

/// Spearman's rank correlation, -1..1: Pearson's correlation of mid-ranks (ties share their mean rank). None if fewer
/// than two pairs, or one side is constant.
pub fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    let x = mid_ranks(pairs.iter().map(|pair| pair.0));
    let y = mid_ranks(pairs.iter().map(|pair| pair.1));
    let centre = f64::midpoint(pairs.len() as f64, 1.0);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(&y) {
        xy += (x - centre) * (y - centre);
        xx += (x - centre).powi(2);
        yy += (y - centre).powi(2);
    }
    (xx > 0.0 && yy > 0.0).then(|| xy / (xx * yy).sqrt())
}

/// Kendall's tau-b, -1..1 (Kendall 1945, ties corrected), in O(n log n) after Knight (1966). None as for [`spearman`].
pub fn kendall(pairs: &[(f64, f64)]) -> Option<f64> {
    let n = pairs.len() as u64;
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let tied_x = tied(sorted.iter().map(|pair| (pair.0, 0.0)));
    let tied_both = tied(sorted.iter().copied());
    let mut y: Vec<f64> = sorted.iter().map(|pair| pair.1).collect();
    let swaps = count_swaps(&mut y);
    let tied_y = tied(y.iter().map(|&y| (y, 0.0)));
    let all = (n * n.saturating_sub(1) / 2) as f64;
    let (tied_x, tied_y, tied_both) = (tied_x as f64, tied_y as f64, tied_both as f64);
    let scale = ((all - tied_x) * (all - tied_y)).sqrt();
    (scale > 0.0).then(|| (all - tied_x - tied_y + tied_both - 2.0 * swaps as f64) / scale)
}

/// 95 % percentile bootstrap interval of a figure of `n` items (Efron 1979): `figure` sees the positions of each
/// resample, drawn with replacement by the seed. None if the figure is not defined on nine of ten resamples.
pub fn bootstrap(seed: u64, n: usize, figure: impl Fn(&[usize]) -> Option<f64>) -> Option<(f64, f64)> {
    const RESAMPLES: usize = 1000;
    let mut figures = Vec::new();
    let mut positions = vec![0; n];
    let mut stream = Stream::new(seed, "bootstrap");
    for _ in 0..RESAMPLES {
        for position in &mut positions {
            *position = stream.below(n);
        }
        figures.extend(figure(&positions));
    }
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| figures[((figures.len() as f64 * share) as usize).min(figures.len() - 1)];
    (figures.len() * 10 >= RESAMPLES * 9).then(|| (at(0.025), at(0.975)))
}

/// [`bootstrap`] of a figure of pairs.
pub fn bootstrap_pairs(
    seed: u64,
    pairs: &[(f64, f64)],
    figure: impl Fn(&[(f64, f64)]) -> Option<f64>,
) -> Option<(f64, f64)> {
    bootstrap(seed, pairs.len(), |positions| {
        figure(&positions.iter().map(|&position| pairs[position]).collect::<Vec<_>>())
    })
}

/// Mid-ranks from 1.
pub(crate) fn mid_ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let same = order[start..].iter().take_while(|&&at| values[at] == values[order[start]]).count();
        for &at in &order[start..start + same] {
            ranks[at] = start as f64 + f64::midpoint(same as f64, 1.0);
        }
        start += same;
    }
    ranks
}

/// Pairs of equal neighbours among sorted values, all pairs of a run counted.
fn tied(sorted: impl Iterator<Item = (f64, f64)>) -> u64 {
    let (mut n_pairs, mut run, mut last) = (0, 0_u64, None);
    for value in sorted {
        run = if last == Some(value) { run + 1 } else { 0 };
        n_pairs += run;
        last = Some(value);
    }
    n_pairs
}

/// Sorts, and counts the pairs that stood in the wrong order.
fn count_swaps(values: &mut [f64]) -> u64 {
    if values.len() < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut n_swaps = count_swaps(left) + count_swaps(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut l, mut r) = (0, 0);
    while l < left.len() && r < right.len() {
        if left[l] <= right[r] {
            merged.push(left[l]);
            l += 1;
        } else {
            n_swaps += (left.len() - l) as u64;
            merged.push(right[r]);
            r += 1;
        }
    }
    merged.extend_from_slice(&left[l..]);
    merged.extend_from_slice(&right[r..]);
    values.copy_from_slice(&merged);
    n_swaps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::draw;

    const PAIRS: [(f64, f64); 6] = [(1.0, 2.0), (2.0, 1.0), (2.0, 4.0), (3.0, 3.0), (4.0, 4.0), (5.0, 4.0)];

    #[test]
    fn correlations_agree_with_scipy() {
        // scipy.stats.spearmanr and kendalltau of PAIRS.
        assert!((spearman(&PAIRS).unwrap() - 0.646_843_158_815_382_3).abs() < 1e-12, "{:?}", spearman(&PAIRS));
        assert!((kendall(&PAIRS).unwrap() - 0.540_061_724_867_321_7).abs() < 1e-12, "{:?}", kendall(&PAIRS));
    }

    #[test]
    fn a_constant_side_has_no_order() {
        assert_eq!(spearman(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(kendall(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(spearman(&[(1.0, 2.0)]), None);
        assert_eq!(kendall(&[]), None);
    }

    #[test]
    fn an_interval_holds_its_figure_and_narrows_with_more_questions() {
        let noise = |i: u32| draw(0, "noise", &i.to_le_bytes()) as f64 / u64::MAX as f64;
        let pairs = |n: u32| -> Vec<(f64, f64)> {
            (0..n).map(|i| f64::from(i) / f64::from(n)).zip((0..n).map(noise)).map(|(x, y)| (x, x + y)).collect()
        };
        let width = |n| {
            let pairs = pairs(n);
            let (low, high) = bootstrap_pairs(1, &pairs, spearman).unwrap();
            let whole = spearman(&pairs).unwrap();
            assert!(low <= whole && whole <= high, "{low} {whole} {high}");
            high - low
        };
        assert!(width(400) < width(40));
        assert_eq!(bootstrap_pairs(3, &pairs(50), kendall), bootstrap_pairs(3, &pairs(50), kendall));
        assert_eq!(bootstrap(0, 10, |_| None), None);
    }

    proptest! {
        #[test]
        fn kendall_counts_what_it_says(pairs in prop::collection::vec((0u8..6, 0u8..6), 2..40)) {
            let pairs: Vec<(f64, f64)> = pairs.into_iter().map(|(x, y)| (f64::from(x), f64::from(y))).collect();
            let (mut sum, mut n_x, mut n_y) = (0.0, 0.0, 0.0);
            for (i, a) in pairs.iter().enumerate() {
                for b in &pairs[..i] {
                    let sign = |d: f64| if d == 0.0 { 0.0 } else { d.signum() };
                    let (x, y) = (sign(a.0 - b.0), sign(a.1 - b.1));
                    sum += x * y;
                    n_x += x * x;
                    n_y += y * y;
                }
            }
            let expected = (n_x * n_y > 0.0).then(|| sum / f64::sqrt(n_x * n_y));
            match (kendall(&pairs), expected) {
                (Some(got), Some(expected)) => prop_assert!((got - expected).abs() < 1e-12),
                (got, expected) => prop_assert_eq!(got, expected),
            }
        }
    }
}
