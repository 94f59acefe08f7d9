//! Numbers too large or too small to write out: compared by enclosures of their logarithm.

use dashu::base::Signed;
use dashu::rational::RBig;

use super::ast::{Fun, Node};
use super::equal::Decision;
use super::exact;
use super::interval::Interval;
use super::numeric::{self, Branch, Real};

/// Sign and logarithm of the absolute value.
struct Size {
    negative: bool,
    log: Interval,
}

/// Different, where the logarithms say so.
pub(crate) fn compare(a: &Node, b: &Node) -> Option<Decision> {
    let (x, y) = (size(a, 0)?, size(b, 0)?);
    if x.negative != y.negative {
        return Some(Decision::different("they have different signs"));
    }
    if x.log.overlaps(&y.log) || !(x.log.is_finite() || y.log.is_finite()) {
        return None;
    }
    Some(Decision::Different(format!("e^{:.6} is not e^{:.6} in size", x.log.midpoint(), y.log.midpoint())))
}

fn rational_log(value: &RBig) -> Option<Interval> {
    if value.is_zero() {
        return None;
    }
    let magnitude = if value.is_negative() { -value.clone() } else { value.clone() };
    // ln(p/q) through the leading bits, for numbers beyond f64 too.
    let part = |x: dashu::integer::UBig| -> Interval {
        use dashu::base::BitTest;
        let bits = x.bit_len();
        let shift = bits.saturating_sub(60);
        let head = RBig::from(x >> shift);
        let low = Interval::rational(&head, 53);
        let high = Interval::rational(&(head + RBig::ONE), 53);
        let span = Interval { lo: low.lo, hi: high.hi };
        let two = Interval::rational(&RBig::from(2), 53).ln();
        span.ln().add(&two.mul(&Interval::rational(&RBig::from(shift as u64), 53)))
    };
    use dashu::base::UnsignedAbs;
    let top = part(magnitude.numerator().clone().unsigned_abs());
    let bottom = part(magnitude.denominator().clone());
    Some(top.add(&bottom.neg()))
}

fn size(node: &Node, depth: u32) -> Option<Size> {
    if depth > 60 {
        return None;
    }
    if let Ok(value) = exact::value(node) {
        return Some(Size { negative: value.is_negative(), log: rational_log(&value)? });
    }
    match node {
        Node::Neg(a) => {
            let inner = size(a, depth + 1)?;
            Some(Size { negative: !inner.negative, log: inner.log })
        }
        Node::Mul(items) => {
            let mut out = size(items.first()?, depth + 1)?;
            for item in &items[1..] {
                let next = size(item, depth + 1)?;
                out = Size { negative: out.negative != next.negative, log: out.log.add(&next.log) };
            }
            Some(out)
        }
        Node::Div(a, b) => {
            let (a, b) = (size(a, depth + 1)?, size(b, depth + 1)?);
            Some(Size { negative: a.negative != b.negative, log: a.log.add(&b.log.neg()) })
        }
        Node::Pow(a, b) => {
            let base = size(a, depth + 1)?;
            if base.negative {
                return None;
            }
            let exponent = value(b, depth + 1)?;
            Some(Size { negative: false, log: base.log.mul(&exponent) })
        }
        Node::Call(Fun::Factorial, args) => {
            let n = exact::value(args.first()?).ok()?;
            let log = log_factorial(&n)?;
            Some(Size { negative: false, log })
        }
        Node::Call(Fun::Binom, args) => {
            let (n, k) = (exact::value(args.first()?).ok()?, exact::value(args.get(1)?).ok()?);
            if k.is_negative() || k > n {
                return None;
            }
            let rest = n.clone() - k.clone();
            let log = log_factorial(&n)?.add(&log_factorial(&k)?.neg()).add(&log_factorial(&rest)?.neg());
            Some(Size { negative: false, log })
        }
        _ => {
            let branch = Branch { real_roots: true, decimal_log: false };
            let z = numeric::evaluate::<Interval>(node, &[], 53, branch)?;
            if !z.is_real() || !(z.re.positive() || z.re.negative()) || !z.re.is_finite() {
                return None;
            }
            let negative = z.re.negative();
            let x = if negative { z.re.neg() } else { z.re };
            Some(Size { negative, log: x.ln() })
        }
    }
}

/// The value as an interval, through its logarithm if need be.
fn value(node: &Node, depth: u32) -> Option<Interval> {
    if let Ok(value) = exact::value(node) {
        return Some(Interval::rational(&value, 53));
    }
    let size = size(node, depth)?;
    let x = size.log.exp();
    Some(if size.negative { x.neg() } else { x })
}

/// ln n! by Robbins' bounds (1955) on Stirling's formula.
fn log_factorial(n: &RBig) -> Option<Interval> {
    if !exact::is_integer(n) || n.is_negative() {
        return None;
    }
    if *n < RBig::from(20) {
        let small = exact::small(n)?;
        let product: i64 = (1..=small).product();
        return rational_log(&RBig::from(product));
    }
    let x = Interval::rational(n, 53);
    let half = Interval::rational(&RBig::from_parts(1.into(), 2u32.into()), 53);
    let two_pi = Interval::pi(53).mul(&Interval::rational(&RBig::from(2), 53));
    let main = x.add(&half).mul(&x.ln()).add(&x.neg()).add(&half.mul(&two_pi.ln()));
    let twelve = Interval::rational(&RBig::from(12), 53).mul(&x);
    let upper = twelve.inv()?;
    Some(main.add(&upper.hull_with_zero()))
}
