//! Where the values of a sample lie.

use serde::Serialize;

use super::mean;

/// Mean and quantiles of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Values.
    pub n: u64,
    /// Their mean.
    pub mean: f64,
    /// A tenth lies below.
    pub q10: f64,
    /// The median.
    pub q50: f64,
    /// A tenth lies above.
    pub q90: f64,
}

impl Spread {
    /// That of these values; none of nothing. Sorts them.
    pub fn of(values: &mut [f64]) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let at = |share| quantile(values, share);
        Some(Self { n: values.len() as u64, mean: mean(values)?, q10: at(0.1)?, q50: at(0.5)?, q90: at(0.9)? })
    }
}

/// The value below which a share 0..=1 of these sorted ones lies, linear between neighbours (Hyndman and Fan 1996,
/// definition 7); none of nothing.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wanted values: `numpy.quantile`.
    #[test]
    fn quantiles_lie_between_neighbours() {
        let mut values = [4.0, 1.0, 3.0, 2.0, 10.0];
        let spread = Spread::of(&mut values).unwrap();
        assert_eq!((spread.n, spread.mean, spread.q50), (5, 4.0, 3.0));
        assert!((spread.q10 - 1.4).abs() < 1e-12 && (spread.q90 - 7.6).abs() < 1e-12, "{spread:?}");
        assert_eq!((quantile(&values, 0.0), quantile(&values, 1.0)), (Some(1.0), Some(10.0)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
