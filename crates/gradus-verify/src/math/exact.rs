//! Exact rational arithmetic with counted limits: what can be computed as a fraction is.

use dashu::base::{Abs, Gcd, Sign as BaseSign, Signed, UnsignedAbs};
use dashu::integer::{IBig, UBig};
use dashu::rational::RBig;

use super::ast::{BinderKind, Fun, Node};

/// Largest number of bits in a numerator or denominator.
const MAX_BITS: usize = 40_000;
/// Word operations one evaluation may spend.
const FUEL: u64 = 30_000;

/// Why there is no exact value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inexact {
    /// Not a rational number as far as this module can see.
    Irrational,
    /// Rational, but over the limits.
    TooBig,
    /// Division by zero and the like.
    Undefined,
}

pub(crate) type Exact = Result<RBig, Inexact>;

/// The exact value of an expression, with values for its variables.
pub(crate) fn evaluate(node: &Node, env: &[(Box<str>, RBig)]) -> Exact {
    Machine { fuel: FUEL, env: env.to_vec() }.eval(node)
}

/// The exact value of a closed expression.
pub(crate) fn value(node: &Node) -> Exact {
    evaluate(node, &[])
}

/// A small integer, if the value is one.
pub(crate) fn small(value: &RBig) -> Option<i64> {
    if *value.denominator() != UBig::ONE {
        return None;
    }
    i64::try_from(value.numerator().clone()).ok()
}

pub(crate) fn is_integer(value: &RBig) -> bool {
    *value.denominator() == UBig::ONE
}

fn bits(value: &RBig) -> usize {
    use dashu::base::BitTest;
    value.numerator().bit_len().max(value.denominator().bit_len())
}

struct Machine {
    fuel: u64,
    env: Vec<(Box<str>, RBig)>,
}

impl Machine {
    fn spend(&mut self, value: &RBig) -> Result<(), Inexact> {
        let words = 1 + bits(value) as u64 / 64;
        if bits(value) > MAX_BITS {
            return Err(Inexact::TooBig);
        }
        self.fuel = self.fuel.checked_sub(words * (1 + words / 8)).ok_or(Inexact::TooBig)?;
        Ok(())
    }

    fn eval(&mut self, node: &Node) -> Exact {
        let value = self.inner(node)?;
        self.spend(&value)?;
        Ok(value)
    }

    fn inner(&mut self, node: &Node) -> Exact {
        match node {
            Node::Num(n) => Ok(n.value.clone()),
            Node::Based(value, _) => Ok(value.clone()),
            Node::Var(name) => {
                self.env.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone()).ok_or(Inexact::Irrational)
            }
            Node::Neg(a) => Ok(-self.eval(a)?),
            Node::Add(items) => {
                let mut sum = RBig::ZERO;
                for item in items {
                    sum += self.eval(item)?;
                    self.spend(&sum)?;
                }
                Ok(sum)
            }
            Node::Mul(items) => {
                let mut out = RBig::ONE;
                for item in items {
                    out *= self.eval(item)?;
                    self.spend(&out)?;
                }
                Ok(out)
            }
            Node::Div(a, b) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                if b.is_zero() { Err(Inexact::Undefined) } else { Ok(a / b) }
            }
            Node::Ratio(items) if items.len() == 2 => {
                let (a, b) = (self.eval(&items[0])?, self.eval(&items[1])?);
                if b.is_zero() { Err(Inexact::Undefined) } else { Ok(a / b) }
            }
            Node::Percent(a) => Ok(self.eval(a)? / RBig::from(100)),
            Node::Pow(a, b) => {
                let exponent = self.eval(b)?;
                let base = self.eval(a)?;
                Self::power(&base, &exponent)
            }
            Node::Call(fun, args) => self.call(*fun, args),
            Node::Bind(b) if matches!(b.kind, BinderKind::Sum | BinderKind::Product) => {
                let lo = self.eval(b.lo.as_ref().ok_or(Inexact::Irrational)?)?;
                let hi = self.eval(b.hi.as_ref().ok_or(Inexact::Irrational)?)?;
                let (lo, hi) = (small(&lo).ok_or(Inexact::Irrational)?, small(&hi).ok_or(Inexact::Irrational)?);
                if hi.saturating_sub(lo) > 3000 {
                    return Err(Inexact::TooBig);
                }
                let mut out = if b.kind == BinderKind::Sum { RBig::ZERO } else { RBig::ONE };
                for k in lo..=hi {
                    self.env.push((b.var.clone(), RBig::from(k)));
                    let term = self.eval(&b.body);
                    self.env.pop();
                    if b.kind == BinderKind::Sum {
                        out += term?;
                    } else {
                        out *= term?;
                    }
                    self.spend(&out)?;
                }
                Ok(out)
            }
            Node::Bind(b) if b.kind == BinderKind::Integral => {
                let (Some(lo), Some(hi)) = (&b.lo, &b.hi) else { return Err(Inexact::Irrational) };
                let (lo, hi) = (self.eval(lo)?, self.eval(hi)?);
                super::polynomial::integral(&b.body, &b.var, &lo, &hi).ok_or(Inexact::Irrational)
            }
            _ => Err(Inexact::Irrational),
        }
    }

    fn power(base: &RBig, exponent: &RBig) -> Exact {
        if let Some(n) = small(exponent) {
            if base.is_zero() {
                return match n.cmp(&0) {
                    std::cmp::Ordering::Greater => Ok(RBig::ZERO),
                    std::cmp::Ordering::Equal => Ok(RBig::ONE),
                    std::cmp::Ordering::Less => Err(Inexact::Undefined),
                };
            }
            if *base == RBig::ONE {
                return Ok(RBig::ONE);
            }
            if *base == -RBig::ONE {
                return Ok(if n % 2 == 0 { RBig::ONE } else { -RBig::ONE });
            }
            let size = n.unsigned_abs();
            if (bits(base) as u64).saturating_mul(size) > MAX_BITS as u64 {
                return Err(Inexact::TooBig);
            }
            let size = size as usize;
            let power = RBig::from_parts(base.numerator().clone().pow(size), base.denominator().clone().pow(size));
            return if n >= 0 { Ok(power) } else { Ok(RBig::ONE / power) };
        }
        if is_integer(exponent) {
            return Err(Inexact::TooBig);
        }
        // A perfect power under a root; an odd root of a negative number has two readings and is
        // left to the numeric layer.
        let q = u64::try_from(exponent.denominator().clone()).ok().filter(|q| *q < 64);
        match q {
            Some(q) if !base.is_negative() => {
                let root = exact_root(base, q as usize).ok_or(Inexact::Irrational)?;
                Self::power(&root, &RBig::from(exponent.numerator().clone()))
            }
            _ => Err(Inexact::Irrational),
        }
    }

    fn integers(&mut self, args: &[Node]) -> Result<Vec<IBig>, Inexact> {
        args.iter()
            .map(|arg| {
                let value = self.eval(arg)?;
                if is_integer(&value) { Ok(value.numerator().clone()) } else { Err(Inexact::Irrational) }
            })
            .collect()
    }

    fn call(&mut self, fun: Fun, args: &[Node]) -> Exact {
        match (fun, args) {
            (Fun::Abs, [a]) => Ok(self.eval(a)?.abs()),
            (Fun::Floor, [a]) => Ok(RBig::from(self.eval(a)?.floor())),
            (Fun::Ceil, [a]) => Ok(RBig::from(self.eval(a)?.ceil())),
            (Fun::Sign, [a]) => {
                let value = self.eval(a)?;
                Ok(if value.is_zero() {
                    RBig::ZERO
                } else if value.is_negative() {
                    -RBig::ONE
                } else {
                    RBig::ONE
                })
            }
            (Fun::Re, [a]) => self.eval(a),
            (Fun::Im, [a]) => self.eval(a).map(|_| RBig::ZERO),
            (Fun::Root, [index, a]) => {
                let index = self.eval(index)?;
                let n = small(&index).filter(|n| (2..64).contains(n)).ok_or(Inexact::Irrational)?;
                let value = self.eval(a)?;
                if value.is_negative() {
                    if n % 2 == 0 {
                        return Err(Inexact::Irrational);
                    }
                    return exact_root(&-value, n as usize).map(|r| -r).ok_or(Inexact::Irrational);
                }
                exact_root(&value, n as usize).ok_or(Inexact::Irrational)
            }
            (Fun::Factorial, [a]) => {
                let n = self.factorial_of(a)?;
                self.range_product(1, n)
            }
            (Fun::DoubleFactorial, [a]) => {
                let mut out = RBig::ONE;
                let mut k = self.factorial_of(a)?;
                while k > 1 {
                    out *= RBig::from(k);
                    self.spend(&out)?;
                    k -= 2;
                }
                Ok(out)
            }
            (Fun::Binom, [n, k]) => {
                let (n, k) = (self.eval(n)?, self.eval(k)?);
                let k = small(&k).ok_or(Inexact::Irrational)?;
                if k < 0 {
                    return Ok(RBig::ZERO);
                }
                let k = match small(&n) {
                    Some(n) if n >= 0 && k > n => return Ok(RBig::ZERO),
                    Some(n) if n >= 0 => k.min(n - k),
                    _ => k,
                };
                if k > 2000 {
                    return Err(Inexact::TooBig);
                }
                let mut out = RBig::ONE;
                for j in 0..k {
                    out *= n.clone() - RBig::from(j);
                    out /= RBig::from(j + 1);
                    self.spend(&out)?;
                }
                Ok(out)
            }
            (Fun::Gcd | Fun::Lcm, _) if !args.is_empty() => {
                let values = self.integers(args)?;
                let mut out: UBig = values[0].clone().unsigned_abs();
                for value in &values[1..] {
                    let value: UBig = value.clone().unsigned_abs();
                    out = if out.is_zero() && value.is_zero() {
                        UBig::ZERO
                    } else if fun == Fun::Gcd {
                        if out.is_zero() {
                            value
                        } else if value.is_zero() {
                            out
                        } else {
                            (&out).gcd(&value)
                        }
                    } else if out.is_zero() || value.is_zero() {
                        UBig::ZERO
                    } else {
                        let g = (&out).gcd(&value);
                        out / g * value
                    };
                }
                Ok(RBig::from(IBig::from_parts(BaseSign::Positive, out)))
            }
            (Fun::Min | Fun::Max, _) if !args.is_empty() => {
                let mut best = self.eval(&args[0])?;
                for arg in &args[1..] {
                    let value = self.eval(arg)?;
                    if (fun == Fun::Min) == (value < best) {
                        best = value;
                    }
                }
                Ok(best)
            }
            (Fun::Mod, [a, b]) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                if b.is_zero() {
                    return Err(Inexact::Undefined);
                }
                let quotient = RBig::from((a.clone() / b.clone()).floor());
                Ok(a - quotient * b)
            }
            (Fun::LogBase, [base, a]) => {
                let (base, a) = (self.eval(base)?, self.eval(a)?);
                exact_log(&base, &a).ok_or(Inexact::Irrational)
            }
            (Fun::Det, [Node::Matrix(rows)]) => self.determinant(rows),
            _ => Err(Inexact::Irrational),
        }
    }

    /// What a factorial is taken of.
    fn factorial_of(&mut self, node: &Node) -> Result<i64, Inexact> {
        match small(&self.eval(node)?).ok_or(Inexact::Irrational)? {
            ..0 => Err(Inexact::Undefined),
            n @ 0..=3000 => Ok(n),
            _ => Err(Inexact::TooBig),
        }
    }

    fn range_product(&mut self, lo: i64, hi: i64) -> Exact {
        let mut out = IBig::ONE;
        for k in lo..=hi {
            out *= IBig::from(k);
        }
        let out = RBig::from(out);
        self.spend(&out)?;
        Ok(out)
    }

    fn determinant(&mut self, rows: &[Vec<Node>]) -> Exact {
        let n = rows.len();
        if n == 0 || n > 12 || rows.iter().any(|row| row.len() != n) {
            return Err(Inexact::Irrational);
        }
        let mut m: Vec<Vec<RBig>> = Vec::new();
        for row in rows {
            m.push(row.iter().map(|cell| self.eval(cell)).collect::<Result<_, _>>()?);
        }
        let mut det = RBig::ONE;
        for k in 0..n {
            let Some(pivot) = (k..n).find(|r| !m[*r][k].is_zero()) else { return Ok(RBig::ZERO) };
            if pivot != k {
                m.swap(pivot, k);
                det = -det;
            }
            det *= m[k][k].clone();
            self.spend(&det)?;
            for r in k + 1..n {
                let factor = m[r][k].clone() / m[k][k].clone();
                let pivot_row = m[k].clone();
                for (cell, above) in m[r].iter_mut().zip(&pivot_row).skip(k) {
                    *cell -= factor.clone() * above.clone();
                }
                self.spend(&m[r][n - 1].clone())?;
            }
        }
        Ok(det)
    }
}

/// The n-th root of a non-negative fraction, if it is a fraction.
pub(crate) fn exact_root(value: &RBig, n: usize) -> Option<RBig> {
    use dashu::base::BitTest;
    let root = |x: UBig| -> Option<UBig> {
        if x.bit_len() > 8000 {
            return None;
        }
        let r = x.nth_root(n);
        (r.clone().pow(n) == x).then_some(r)
    };
    let p = root(value.numerator().clone().unsigned_abs())?;
    let q = root(value.denominator().clone())?;
    Some(RBig::from_parts(IBig::from(p), q))
}

/// `log_base(value)` where it is an integer or one over an integer.
fn exact_log(base: &RBig, value: &RBig) -> Option<RBig> {
    if *base <= RBig::ZERO || *base == RBig::ONE || *value <= RBig::ZERO || bits(value) > 4000 {
        return None;
    }
    if *value == RBig::ONE {
        return Some(RBig::ZERO);
    }
    let search = |base: &RBig, value: &RBig| -> Option<i64> {
        let (mut up, mut down) = (RBig::ONE, RBig::ONE);
        for k in 1..=400i64 {
            up *= base.clone();
            down /= base.clone();
            if up == *value {
                return Some(k);
            }
            if down == *value {
                return Some(-k);
            }
            if bits(&up) > bits(value) + 64 {
                return None;
            }
        }
        None
    };
    search(base, value).map(RBig::from).or_else(|| search(value, base).map(|k| RBig::ONE / RBig::from(k)))
}
