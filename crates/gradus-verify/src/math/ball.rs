//! Multi-precision enclosures: the last resort, once double precision cannot tell two numbers
//! apart.

use dashu::float::{FBig, round::mode};
use dashu::integer::IBig;
use dashu::rational::RBig;

use super::ast::Node;
use super::equal::{Decision, display};
use super::numeric::{self, Branch, Complex, Real};
use crate::Proof;

/// Binary digits for closed expressions.
const CLOSED: usize = 448;
/// For expressions with variables, per point.
const OPEN: usize = 320;
/// Bits that have to agree before anything is called equal.
const ENOUGH: u32 = 200;

type F = FBig<mode::HalfAway, 2>;

/// A centre and a bound on the distance from it, the bound as a power of two.
#[derive(Debug, Clone)]
pub(crate) struct Ball {
    mid: F,
    /// log2 of the radius; `None` means exact.
    rad: Option<f64>,
    precision: usize,
}

/// The least e with |x| < 2^e.
fn exponent(x: &F) -> Option<f64> {
    use dashu::base::BitTest;
    let repr = x.repr();
    if repr.significand().is_zero() {
        return None;
    }
    Some((repr.exponent() as i64 + repr.significand().bit_len() as i64) as f64)
}

/// log2 of the sum of two radii, rounded up.
fn join(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (None, x) | (x, None) => x,
        (Some(x), Some(y)) => {
            let (high, low) = (x.max(y), x.min(y));
            // The slack covers the rounding of this very computation.
            Some(high + (1.0 + (low - high).exp2()).log2() + high.abs() * 1e-14 + 1e-12)
        }
    }
}

impl Ball {
    fn make(mid: F, rad: Option<f64>, precision: usize) -> Self {
        // One rounding of the centre to the working precision.
        let mid = mid.with_precision(precision).value();
        let ulp = exponent(&mid).map(|e| e - precision as f64 + 1.0);
        Self { mid, rad: join(rad, ulp), precision }
    }
    fn size(&self) -> Option<f64> {
        join(exponent(&self.mid), self.rad)
    }
    fn contains_zero(&self) -> bool {
        match (exponent(&self.mid), self.rad) {
            (None, _) => true,
            (Some(_), None) => false,
            // |mid| >= 2^(e-1)
            (Some(e), Some(r)) => r >= e - 1.0,
        }
    }
    fn of(&self, x: F) -> F {
        x.with_precision(self.precision + 32).value()
    }
    fn working(&self) -> F {
        self.of(self.mid.clone())
    }
}

impl Real for Ball {
    fn rational(value: &RBig, precision: usize) -> Self {
        let numerator: F = F::from(value.numerator().clone());
        let denominator: F = F::from(IBig::from(value.denominator().clone()));
        if *value.denominator() == dashu::integer::UBig::ONE {
            use dashu::base::BitTest;
            if value.numerator().bit_len() <= precision {
                let mid = numerator.with_precision(precision).value();
                return Self { mid, rad: None, precision };
            }
        }
        let top = numerator.with_precision(precision + 32).value();
        let bottom = denominator.with_precision(precision + 32).value();
        let mid = top / bottom;
        let rad = exponent(&mid).map(|e| e - precision as f64 - 28.0);
        Self::make(mid, rad, precision)
    }
    fn pi(precision: usize) -> Self {
        Self::make(F::pi(precision + 16), Some(2.0 - precision as f64 - 14.0), precision)
    }
    fn add(&self, o: &Self) -> Self {
        if self.is_zero() {
            return o.clone();
        }
        if o.is_zero() {
            return self.clone();
        }
        let mid = self.working() + o.working();
        let slop = join(exponent(&self.mid), exponent(&o.mid)).map(|e| e - self.precision as f64 - 28.0);
        Self::make(mid, join(join(self.rad, o.rad), slop), self.precision)
    }
    fn neg(&self) -> Self {
        Self { mid: -self.mid.clone(), rad: self.rad, precision: self.precision }
    }
    fn mul(&self, o: &Self) -> Self {
        if self.is_zero() || o.is_zero() {
            return Self { mid: F::ZERO, rad: None, precision: self.precision };
        }
        let mid = self.working() * o.working();
        let a = self.size().zip(o.rad).map(|(s, r)| s + r);
        let b = o.size().zip(self.rad).map(|(s, r)| s + r);
        let slop = exponent(&mid).map(|e| e - self.precision as f64 - 28.0);
        Self::make(mid, join(join(a, b), slop), self.precision)
    }
    fn inv(&self) -> Option<Self> {
        if self.contains_zero() {
            return None;
        }
        let e = exponent(&self.mid)?;
        let mid = self.of(F::ONE) / self.working();
        // |1/(m+r) - 1/m| <= r / (|m| (|m| - r)); |m| - r >= 2^(e-2) if r <= 2^(e-2).
        let rad = match self.rad {
            None => None,
            Some(r) if r <= e - 2.0 => Some(r - (e - 1.0) - (e - 2.0)),
            Some(_) => return None,
        };
        let slop = exponent(&mid).map(|e| e - self.precision as f64 - 28.0);
        Some(Self::make(mid, join(rad, slop), self.precision))
    }
    fn sqrt(&self) -> Self {
        let Some(e) = exponent(&self.mid) else {
            // [0, r]: between 0 and sqrt r.
            let rad = self.rad.map(|r| r / 2.0 + 1.0);
            return Self { mid: F::ZERO, rad, precision: self.precision };
        };
        if self.contains_zero() || self.mid < F::ZERO {
            let top = self.size().unwrap_or(0.0);
            return Self { mid: F::ZERO, rad: Some(top / 2.0 + 1.0), precision: self.precision };
        }
        let mid = self.working().sqrt();
        // |sqrt(m+r) - sqrt m| <= r / sqrt m
        let half = (e - 1.0) / 2.0;
        let slop = exponent(&mid).map(|e| e - self.precision as f64 - 28.0);
        Self::make(mid, join(self.rad.map(|r| r - half), slop), self.precision)
    }
    fn root(&self, n: u64) -> Self {
        // Of a positive enclosure: |(m+r)^(1/n) - m^(1/n)| <= r m^(1/n) / m for r <= m/2.
        let mid = self.working().nth_root(n as usize);
        let (e, size) = (exponent(&self.mid).unwrap_or(0.0), exponent(&mid).unwrap_or(0.0));
        let rad = self.rad.map(|r| if r <= e - 2.0 { r + size - (e - 1.0) + 1.0 } else { 1e15 });
        Self::make(mid, join(rad, Some(size - self.precision as f64 - 28.0)), self.precision)
    }
    fn exp(&self) -> Self {
        if exponent(&self.mid).is_none_or(|e| e > 40.0) && !self.mid.repr().significand().is_zero() {
            return Self { mid: F::ZERO, rad: Some(1e15), precision: self.precision };
        }
        let mid = self.working().exp();
        let size = exponent(&mid).unwrap_or(0.0);
        let rad = match self.rad {
            None => None,
            // e^r - 1.0 <= 2 r for r <= 1
            Some(r) if r <= 0.0 => Some(size + r + 1.0),
            Some(_) => Some(1e15),
        };
        Self::make(mid, join(rad, Some(size - self.precision as f64 - 20.0)), self.precision)
    }
    fn ln(&self) -> Self {
        let Some(e) = exponent(&self.mid) else {
            return Self { mid: F::ZERO, rad: Some(1e15), precision: self.precision };
        };
        if self.contains_zero() || self.mid < F::ZERO {
            return Self { mid: F::ZERO, rad: Some(1e15), precision: self.precision };
        }
        let mid = self.working().ln();
        let slop = exponent(&mid).map(|e| e - self.precision as f64 - 20.0);
        Self::make(mid, join(self.rad.map(|r| r - (e - 1.0) + 1.0), slop), self.precision)
    }
    fn sin_cos(&self) -> (Self, Self) {
        if exponent(&self.mid).is_some_and(|e| e > 64.0) {
            let unit = Self { mid: F::ZERO, rad: Some(0.0), precision: self.precision };
            return (unit.clone(), unit);
        }
        let (s, c) = self.working().sin_cos();
        let slop = Some(-(self.precision as f64) - 20.0);
        (Self::make(s, join(self.rad, slop), self.precision), Self::make(c, join(self.rad, slop), self.precision))
    }
    fn atan(&self) -> Self {
        let mid = self.working().atan();
        let slop = Some(-(self.precision as f64) - 20.0);
        Self::make(mid, join(self.rad, slop), self.precision)
    }
    fn is_zero(&self) -> bool {
        self.rad.is_none() && self.mid.repr().significand().is_zero()
    }
    fn positive(&self) -> bool {
        !self.contains_zero() && self.mid > F::ZERO
    }
    fn negative(&self) -> bool {
        !self.contains_zero() && self.mid < F::ZERO
    }
    fn overlaps(&self, o: &Self) -> bool {
        self.add(&o.neg()).contains_zero()
    }
    fn hull_with_zero(&self) -> Self {
        Self { mid: F::ZERO, rad: self.size(), precision: self.precision }
    }
    fn floor_exact(&self) -> Option<RBig> {
        if self.size().is_some_and(|s| s > 4000.0) {
            return None;
        }
        let below = self.mid.clone().floor();
        let value: IBig = below.to_int().value();
        let gap = self.mid.clone() - F::from(value.clone());
        let (low, high) = (gap.clone(), F::ONE - gap);
        let clear = |x: &F| match (exponent(x), self.rad) {
            (_, None) => true,
            (Some(e), Some(r)) => r < e - 1.0,
            (None, Some(_)) => false,
        };
        (clear(&low) && clear(&high)).then(|| RBig::from(value))
    }
    fn midpoint(&self) -> f64 {
        self.mid.to_f64().value()
    }
    fn width(&self) -> f64 {
        self.rad.map_or(0.0, |r| (r + 1.0).clamp(-1000.0, 1000.0).exp2())
    }
    fn is_finite(&self) -> bool {
        self.size().is_none_or(|s| s < 1e12)
    }
}

/// Bits to which two boxes agree relative to their size.
fn agreement(x: &Complex<Ball>, y: &Complex<Ball>) -> u32 {
    let size = [&x.re, &x.im, &y.re, &y.im].iter().filter_map(|b| exponent(&b.mid)).fold(-64.0, f64::max);
    let worst = [&x.re, &x.im, &y.re, &y.im].iter().filter_map(|b| b.rad).reduce(f64::max);
    match worst {
        None => u32::MAX,
        Some(r) => (size - r).clamp(0.0, 1e6) as u32,
    }
}

/// Closed expressions that double precision could not tell apart.
pub(crate) fn closed(a: &Node, b: &Node, branch: Branch) -> Decision {
    let x = numeric::evaluate::<Ball>(a, &[], CLOSED, branch);
    let y = numeric::evaluate::<Ball>(b, &[], CLOSED, branch);
    let (Some(x), Some(y)) = (x, y) else {
        return Decision::Unknown("a side could not be evaluated");
    };
    if !x.overlaps(&y) {
        return Decision::Different(format!("{} is not {}", display(&x), display(&y)));
    }
    match agreement(&x, &y) {
        bits if bits >= ENOUGH => Decision::Equal(Proof::Probabilistic { bits: bits.min(CLOSED as u32) }),
        _ => Decision::Unknown("the enclosures stay too wide"),
    }
}

/// Expressions with variables that agree in double precision at the given points.
pub(crate) fn open(a: &Node, b: &Node, points: &[Vec<(Box<str>, RBig)>], branch: Branch) -> Decision {
    let mut bits = 0u32;
    let mut agreed = 0;
    for env in points {
        if agreed == 2 {
            break;
        }
        let x = numeric::evaluate::<Ball>(a, env, OPEN, branch);
        let y = numeric::evaluate::<Ball>(b, env, OPEN, branch);
        let (Some(x), Some(y)) = (x, y) else { continue };
        if !x.overlaps(&y) {
            return Decision::different("they differ at a sample point");
        }
        let here = agreement(&x, &y);
        if here >= ENOUGH {
            agreed += 1;
            bits = bits.saturating_add(here.min(OPEN as u32));
        }
    }
    if agreed >= 2 {
        Decision::Equal(Proof::Probabilistic { bits })
    } else {
        Decision::Unknown("too few points could be compared")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enclosures_tell_close_numbers_apart() {
        let third = Ball::rational(&RBig::from_parts(1.into(), 3u32.into()), 128);
        let sum = third.add(&third).add(&third);
        assert!(sum.overlaps(&Ball::rational(&RBig::ONE, 128)));
        let off =
            Ball::rational(&(RBig::ONE + RBig::from_parts(1.into(), dashu::integer::UBig::from(10u8).pow(30))), 128);
        assert!(!sum.overlaps(&off));
        assert!(Ball::pi(128).sin_cos().0.overlaps(&Ball::rational(&RBig::ZERO, 128)));
    }
}
