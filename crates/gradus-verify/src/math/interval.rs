//! Outward-rounded f64 intervals.
//!
//! Sums, products, quotients and square roots are correctly rounded by IEEE 754, so one step
//! outward encloses them. The transcendental functions of the platform are taken to be within 4
//! units in the last place, which holds for every libm in use with a wide margin.

use dashu::rational::RBig;

use super::numeric::Real;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
}

fn down(x: f64) -> f64 {
    x.next_down()
}

fn up(x: f64) -> f64 {
    x.next_up()
}

fn wide(lo: f64, hi: f64) -> Interval {
    let pad = |x: f64| x.abs() * 9e-16 + f64::MIN_POSITIVE;
    Interval { lo: lo - pad(lo), hi: hi + pad(hi) }
}

impl Interval {
    const ALL: Self = Self { lo: f64::NEG_INFINITY, hi: f64::INFINITY };

    fn checked(self) -> Self {
        if self.lo.is_nan() || self.hi.is_nan() { Self::ALL } else { self }
    }
}

impl Real for Interval {
    fn rational(value: &RBig, _: usize) -> Self {
        let x = value.to_f64().value();
        if x.is_finite() && x.abs() < 9e15 && x.fract() == 0.0 && *value.denominator() == dashu::integer::UBig::ONE {
            return Self { lo: x, hi: x };
        }
        if x == 0.0 && value.is_zero() {
            return Self { lo: 0.0, hi: 0.0 };
        }
        Self { lo: down(down(x)), hi: up(up(x)) }
    }
    fn pi(_: usize) -> Self {
        Self { lo: down(std::f64::consts::PI), hi: up(std::f64::consts::PI) }
    }
    fn add(&self, o: &Self) -> Self {
        if o.is_zero() {
            return *self;
        }
        if self.is_zero() {
            return *o;
        }
        Self { lo: down(self.lo + o.lo), hi: up(self.hi + o.hi) }.checked()
    }
    fn neg(&self) -> Self {
        Self { lo: -self.hi, hi: -self.lo }
    }
    fn mul(&self, o: &Self) -> Self {
        if self.is_zero() || o.is_zero() {
            return Self { lo: 0.0, hi: 0.0 };
        }
        let p = [self.lo * o.lo, self.lo * o.hi, self.hi * o.lo, self.hi * o.hi];
        if p.iter().any(|x| x.is_nan()) {
            return Self::ALL;
        }
        let lo = p.iter().copied().fold(f64::INFINITY, f64::min);
        let hi = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { lo: down(lo), hi: up(hi) }
    }
    fn inv(&self) -> Option<Self> {
        if self.lo <= 0.0 && self.hi >= 0.0 {
            return None;
        }
        Some(Self { lo: down(1.0 / self.hi), hi: up(1.0 / self.lo) }.checked())
    }
    fn sqrt(&self) -> Self {
        Self { lo: down(self.lo.max(0.0).sqrt()).max(0.0), hi: up(self.hi.max(0.0).sqrt()) }
    }
    fn root(&self, n: u64) -> Self {
        let root = |x: f64| x.max(0.0).powf(1.0 / n as f64);
        // The exponent is off by half a unit, which the logarithm of the base multiplies.
        let pad = |x: f64, base: f64| x * (2e-15 + base.max(f64::MIN_POSITIVE).ln().abs() * 3e-16);
        let (lo, hi) = (root(self.lo), root(self.hi));
        Self { lo: (lo - pad(lo, self.lo)).max(0.0), hi: hi + pad(hi, self.hi) }.checked()
    }
    fn exp(&self) -> Self {
        let out = wide(self.lo.exp(), self.hi.exp());
        Self { lo: out.lo.max(0.0), hi: out.hi }.checked()
    }
    fn ln(&self) -> Self {
        let pad = |x: f64| x.abs() * 9e-16 + 1e-18;
        let (lo, hi) = (self.lo.max(0.0).ln(), self.hi.ln());
        Self { lo: lo - pad(lo), hi: hi + pad(hi) }.checked()
    }
    fn sin_cos(&self) -> (Self, Self) {
        let width = self.hi - self.lo;
        if width.is_nan() || width >= 1.0 || self.lo.abs() > 1e8 {
            let unit = Self { lo: -1.0, hi: 1.0 };
            return (unit, unit);
        }
        let mid = 0.5 * (self.lo + self.hi);
        // |sin'|, |cos'| <= 1; the reduction of large arguments is exact in libm.
        let pad = 0.5 * width * 1.000001 + mid.abs() * 3e-16 + 9e-16;
        let around = |x: f64| Self { lo: (x - pad).max(-1.0), hi: (x + pad).min(1.0) };
        (around(mid.sin()), around(mid.cos()))
    }
    fn atan(&self) -> Self {
        let pad = |x: f64| x.abs() * 9e-16 + 1e-300;
        let (lo, hi) = (self.lo.atan(), self.hi.atan());
        Self { lo: lo - pad(lo), hi: hi + pad(hi) }.checked()
    }
    fn is_zero(&self) -> bool {
        self.lo == 0.0 && self.hi == 0.0
    }
    fn positive(&self) -> bool {
        self.lo > 0.0
    }
    fn negative(&self) -> bool {
        self.hi < 0.0
    }
    fn overlaps(&self, o: &Self) -> bool {
        !(self.hi < o.lo || o.hi < self.lo)
    }
    fn hull_with_zero(&self) -> Self {
        Self { lo: self.lo.min(0.0), hi: self.hi.max(0.0) }
    }
    fn floor_exact(&self) -> Option<RBig> {
        let (a, b) = (self.lo.floor(), self.hi.floor());
        (a == b && a.abs() < 9e15).then(|| RBig::from(a as i64))
    }
    fn midpoint(&self) -> f64 {
        0.5 * (self.lo + self.hi)
    }
    fn width(&self) -> f64 {
        self.hi - self.lo
    }
    fn is_finite(&self) -> bool {
        self.lo.is_finite() && self.hi.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_encloses_the_exact_value() {
        let third = Interval::rational(&RBig::from_parts(1.into(), 3u32.into()), 53);
        assert!(third.lo < 1.0 / 3.0 && third.hi > 1.0 / 3.0);
        let one = third.add(&third).add(&third);
        assert!(one.lo <= 1.0 && one.hi >= 1.0);
        let (s, _) = Interval::pi(53).sin_cos();
        assert!(s.lo <= 0.0 && s.hi >= 0.0);
    }
}
