//! Rigorous evaluation of expressions as complex boxes, over any real enclosure.

use dashu::base::Signed;
use dashu::rational::RBig;

use super::ast::{BinderKind, Const, Fun, Node};
use super::exact;

/// An enclosure of a real number.
pub(crate) trait Real: Clone {
    fn rational(value: &RBig, precision: usize) -> Self;
    fn pi(precision: usize) -> Self;
    fn add(&self, other: &Self) -> Self;
    fn neg(&self) -> Self;
    fn mul(&self, other: &Self) -> Self;
    fn inv(&self) -> Option<Self>;
    /// Of the non-negative part.
    fn sqrt(&self) -> Self;
    /// The n-th root of a positive enclosure.
    fn root(&self, n: u64) -> Self;
    fn exp(&self) -> Self;
    /// Of a positive enclosure.
    fn ln(&self) -> Self;
    fn sin_cos(&self) -> (Self, Self);
    fn atan(&self) -> Self;
    /// Exactly zero.
    fn is_zero(&self) -> bool;
    fn positive(&self) -> bool;
    fn negative(&self) -> bool;
    fn overlaps(&self, other: &Self) -> bool;
    fn hull_with_zero(&self) -> Self;
    fn floor_exact(&self) -> Option<RBig>;
    fn midpoint(&self) -> f64;
    fn width(&self) -> f64;
    fn is_finite(&self) -> bool;
}

#[derive(Debug, Clone)]
pub(crate) struct Complex<R> {
    pub(crate) re: R,
    pub(crate) im: R,
}

/// How roots of negative numbers and bare logarithms are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Branch {
    /// Odd roots of negative numbers are real.
    pub(crate) real_roots: bool,
    /// `log` is the decimal logarithm.
    pub(crate) decimal_log: bool,
}

/// Steps one evaluation may take.
const FUEL: u32 = 5_000;

/// The value of an expression, or none where it is undefined or unknown.
pub(crate) fn evaluate<R: Real>(
    node: &Node,
    env: &[(Box<str>, RBig)],
    precision: usize,
    branch: Branch,
) -> Option<Complex<R>> {
    let mut machine =
        Machine::<R> { env: env.to_vec(), precision, branch, fuel: FUEL, marker: std::marker::PhantomData };
    machine.eval(node)
}

struct Machine<R> {
    env: Vec<(Box<str>, RBig)>,
    precision: usize,
    branch: Branch,
    fuel: u32,
    marker: std::marker::PhantomData<R>,
}

impl<R: Real> Complex<R> {
    pub(crate) fn is_real(&self) -> bool {
        self.im.is_zero()
    }
    pub(crate) fn overlaps(&self, o: &Self) -> bool {
        self.re.overlaps(&o.re) && self.im.overlaps(&o.im)
    }
    pub(crate) fn add(&self, o: &Self) -> Self {
        Self { re: self.re.add(&o.re), im: self.im.add(&o.im) }
    }
    pub(crate) fn neg(&self) -> Self {
        Self { re: self.re.neg(), im: self.im.neg() }
    }
    pub(crate) fn mul(&self, o: &Self) -> Self {
        if self.im.is_zero() && o.im.is_zero() {
            return Self { re: self.re.mul(&o.re), im: self.im.clone() };
        }
        Self { re: self.re.mul(&o.re).add(&self.im.mul(&o.im).neg()), im: self.re.mul(&o.im).add(&self.im.mul(&o.re)) }
    }
    fn inv(&self) -> Option<Self> {
        if self.im.is_zero() {
            return Some(Self { re: self.re.inv()?, im: self.im.clone() });
        }
        let norm = self.re.mul(&self.re).add(&self.im.mul(&self.im)).inv()?;
        Some(Self { re: self.re.mul(&norm), im: self.im.neg().mul(&norm) })
    }
}

impl<R: Real> Machine<R> {
    fn rational(&self, value: &RBig) -> R {
        R::rational(value, self.precision)
    }
    fn real(&self, re: R) -> Complex<R> {
        Complex { re, im: self.zero() }
    }
    fn zero(&self) -> R {
        self.rational(&RBig::ZERO)
    }
    fn one(&self) -> R {
        self.rational(&RBig::ONE)
    }
    fn int(&self, n: i64) -> R {
        self.rational(&RBig::from(n))
    }

    fn eval(&mut self, node: &Node) -> Option<Complex<R>> {
        self.fuel = self.fuel.checked_sub(1)?;
        Some(match node {
            Node::Num(n) => self.real(self.rational(&n.value)),
            Node::Based(value, _) => self.real(self.rational(value)),
            Node::Var(name) => {
                let value = self.env.iter().rev().find(|(n, _)| n == name)?.1.clone();
                self.real(self.rational(&value))
            }
            Node::Const(Const::Pi) => self.real(R::pi(self.precision)),
            Node::Const(Const::E) => self.real(self.one().exp()),
            Node::Const(Const::I) => Complex { re: self.zero(), im: self.one() },
            Node::Neg(a) => self.eval(a)?.neg(),
            Node::Add(items) => {
                let mut sum = self.eval(items.first()?)?;
                for item in &items[1..] {
                    sum = sum.add(&self.eval(item)?);
                }
                sum
            }
            Node::Mul(items) => {
                let mut out = self.eval(items.first()?)?;
                for item in &items[1..] {
                    out = out.mul(&self.eval(item)?);
                }
                out
            }
            Node::Div(a, b) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                a.mul(&b.inv()?)
            }
            Node::Ratio(items) if items.len() == 2 => {
                let (a, b) = (self.eval(&items[0])?, self.eval(&items[1])?);
                a.mul(&b.inv()?)
            }
            Node::Percent(a) => {
                let hundredth = self.real(self.rational(&RBig::from_parts(1.into(), 100u32.into())));
                self.eval(a)?.mul(&hundredth)
            }
            Node::Degree(a) => {
                let scale = R::pi(self.precision).mul(&self.rational(&RBig::from_parts(1.into(), 180u32.into())));
                let scale = self.real(scale);
                self.eval(a)?.mul(&scale)
            }
            Node::Pow(a, b) => self.power(a, b)?,
            Node::Call(fun, args) => self.call(*fun, args)?,
            Node::Bind(b) if matches!(b.kind, BinderKind::Sum | BinderKind::Product) => {
                let lo = exact::small(&exact::evaluate(b.lo.as_ref()?, &self.env).ok()?)?;
                let hi = exact::small(&exact::evaluate(b.hi.as_ref()?, &self.env).ok()?)?;
                if hi.saturating_sub(lo) > 1000 {
                    return None;
                }
                let sum = b.kind == BinderKind::Sum;
                let mut out = self.real(if sum { self.zero() } else { self.one() });
                for k in lo..=hi {
                    self.env.push((b.var.clone(), RBig::from(k)));
                    let term = self.eval(&b.body);
                    self.env.pop();
                    out = if sum { out.add(&term?) } else { out.mul(&term?) };
                }
                out
            }
            _ => return None,
        })
    }

    fn power(&mut self, a: &Node, b: &Node) -> Option<Complex<R>> {
        if matches!(a, Node::Const(Const::E)) {
            let exponent = self.eval(b)?;
            return Some(self.exp(&exponent));
        }
        let exponent = exact::evaluate(b, &self.env).ok();
        if let Some(n) = exponent.as_ref().and_then(exact::small) {
            if let Ok(base) = exact::evaluate(a, &self.env) {
                // Exact as long as it is cheap.
                if n.unsigned_abs() < 64 && !(base.is_zero() && n < 0) {
                    let power = Node::Pow(Box::new(Node::rational(base)), Box::new(Node::int(n)));
                    if let Ok(value) = exact::value(&power) {
                        return Some(self.real(self.rational(&value)));
                    }
                }
            }
            let base = self.eval(a)?;
            let power = self.integer_power(&base, n.unsigned_abs());
            return if n < 0 { power.inv() } else { Some(power) };
        }
        let base = self.eval(a)?;
        if let Some(q) = &exponent {
            let odd = *q.denominator() == dashu::integer::UBig::from(2u8);
            if odd {
                let root = self.sqrt(&base)?;
                let n = i64::try_from(q.numerator().clone()).ok()?;
                let power = self.integer_power(&root, n.unsigned_abs());
                return if n < 0 { power.inv() } else { Some(power) };
            }
            let denominator_odd = is_odd(&dashu::integer::IBig::from(q.denominator().clone()));
            if self.branch.real_roots && denominator_odd && base.is_real() && base.re.negative() {
                let root = self.positive_power(&base.re.neg(), q);
                let negative = is_odd(q.numerator());
                return Some(self.real(if negative { root.neg() } else { root }));
            }
            if base.is_real() && base.re.positive() {
                return Some(self.real(self.positive_power(&base.re, q)));
            }
        }
        if base.is_real() && base.re.is_zero() {
            return match &exponent {
                Some(q) if *q > RBig::ZERO => Some(self.real(self.zero())),
                _ => None,
            };
        }
        let w = self.eval(b)?;
        let l = self.ln(&base)?;
        Some(self.exp(&w.mul(&l)))
    }

    fn positive_power(&self, base: &R, q: &RBig) -> R {
        let n = u64::try_from(q.denominator().clone()).unwrap_or(u64::MAX);
        let p = i64::try_from(q.numerator().clone()).unwrap_or(i64::MAX);
        if n <= 64 && p.unsigned_abs() <= 64 {
            let power = self.integer_power(&self.real(base.root(n)), p.unsigned_abs()).re;
            if p >= 0 {
                return power;
            }
            if let Some(inverse) = power.inv() {
                return inverse;
            }
        }
        base.ln().mul(&self.rational(q)).exp()
    }

    fn integer_power(&self, base: &Complex<R>, mut n: u64) -> Complex<R> {
        let mut out = self.real(self.one());
        let mut square = base.clone();
        while n > 0 {
            if n & 1 == 1 {
                out = out.mul(&square);
            }
            n >>= 1;
            if n > 0 {
                square = square.mul(&square);
            }
        }
        out
    }

    fn exp(&self, z: &Complex<R>) -> Complex<R> {
        let size = z.re.exp();
        if z.is_real() {
            return self.real(size);
        }
        let (s, c) = z.im.sin_cos();
        Complex { re: size.mul(&c), im: size.mul(&s) }
    }

    fn modulus(z: &Complex<R>) -> R {
        if z.is_real() {
            return Self::abs(&z.re);
        }
        if z.re.is_zero() {
            return Self::abs(&z.im);
        }
        z.re.mul(&z.re).add(&z.im.mul(&z.im)).sqrt()
    }

    fn abs(x: &R) -> R {
        if x.negative() {
            x.neg()
        } else if x.positive() || x.is_zero() {
            x.clone()
        } else {
            // Straddles zero.
            x.mul(x).sqrt().hull_with_zero()
        }
    }

    fn argument(&self, z: &Complex<R>) -> Option<R> {
        let pi = R::pi(self.precision);
        let half = self.rational(&RBig::from_parts(1.into(), 2u32.into()));
        if z.is_real() {
            if z.re.positive() {
                return Some(self.zero());
            }
            if z.re.negative() {
                return Some(pi);
            }
            return None;
        }
        if z.re.positive() {
            return Some(z.im.mul(&z.re.inv()?).atan());
        }
        if z.im.positive() {
            return Some(pi.mul(&half).add(&z.re.mul(&z.im.inv()?).atan().neg()));
        }
        if z.im.negative() {
            return Some(pi.mul(&half).neg().add(&z.re.mul(&z.im.inv()?).atan().neg()));
        }
        None
    }

    fn ln(&self, z: &Complex<R>) -> Option<Complex<R>> {
        let size = Self::modulus(z);
        if !size.positive() {
            return None;
        }
        Some(Complex { re: size.ln(), im: self.argument(z)? })
    }

    fn sqrt(&self, z: &Complex<R>) -> Option<Complex<R>> {
        if z.is_real() {
            if z.re.is_zero() || z.re.positive() {
                return Some(self.real(z.re.sqrt()));
            }
            if z.re.negative() {
                return Some(Complex { re: self.zero(), im: z.re.neg().sqrt() });
            }
            // Too close to zero to know the sign: only sound if it is zero.
            if z.re.width() < 1e-9 && z.re.midpoint().abs() < 1e-9 {
                let root = Self::abs(&z.re).sqrt().hull_with_zero();
                return Some(Complex { re: root.clone(), im: root });
            }
            return None;
        }
        let half = self.real(self.rational(&RBig::from_parts(1.into(), 2u32.into())));
        Some(self.exp(&self.ln(z)?.mul(&half)))
    }

    fn sin_cos(&self, z: &Complex<R>) -> (Complex<R>, Complex<R>) {
        let (s, c) = z.re.sin_cos();
        if z.is_real() {
            return (self.real(s), self.real(c));
        }
        let (sh, ch) = self.hyperbolic(&z.im);
        (Complex { re: s.mul(&ch), im: c.mul(&sh) }, Complex { re: c.mul(&ch), im: s.mul(&sh).neg() })
    }

    fn hyperbolic(&self, x: &R) -> (R, R) {
        let half = self.rational(&RBig::from_parts(1.into(), 2u32.into()));
        let (up, down) = (x.exp(), x.neg().exp());
        (up.add(&down.neg()).mul(&half), up.add(&down).mul(&half))
    }

    fn asin(&self, x: &R) -> Option<R> {
        let rest = self.one().add(&x.mul(x).neg());
        if rest.negative() {
            return None;
        }
        if rest.positive() {
            return Some(x.mul(&rest.sqrt().inv()?).atan());
        }
        // At the ends of the domain, if the enclosure is narrow enough to mean that.
        if rest.width() > 1e-6 {
            return None;
        }
        let half = self.rational(&RBig::from_parts(1.into(), 2u32.into()));
        let right = R::pi(self.precision).mul(&half);
        // asin x = sign x (pi/2 - 2 asin sqrt((1 - |x|)/2)), and asin t <= 2 t for t in [0, 1/2].
        let gap = Self::abs(&self.one().add(&Self::abs(x).neg())).mul(&half).sqrt();
        let four = self.int(4);
        let slack = gap.mul(&four).hull_with_zero();
        let value = right.add(&slack.neg());
        Some(if x.negative() { value.neg() } else { value })
    }

    fn call(&mut self, fun: Fun, args: &[Node]) -> Option<Complex<R>> {
        if matches!(fun, Fun::Factorial | Fun::DoubleFactorial | Fun::Binom | Fun::Gcd | Fun::Lcm | Fun::Mod | Fun::Det)
        {
            let whole = Node::Call(fun, args.to_vec());
            if let Ok(value) = exact::evaluate(&whole, &self.env) {
                return Some(self.real(self.rational(&value)));
            }
            if fun == Fun::Mod {
                let (a, b) = (self.eval(args.first()?)?, self.eval(args.get(1)?)?);
                if !a.is_real() || !b.is_real() {
                    return None;
                }
                let quotient = a.re.mul(&b.re.inv()?).floor_exact()?;
                return Some(a.add(&b.mul(&self.real(self.rational(&quotient))).neg()));
            }
            if fun == Fun::Binom {
                // n choose k for a small whole k.
                let k = exact::small(&exact::evaluate(args.get(1)?, &self.env).ok()?)?;
                if !(0..=40).contains(&k) {
                    return None;
                }
                let n = self.eval(args.first()?)?;
                let mut out = self.real(self.one());
                for j in 0..k {
                    out = out.mul(&n.add(&self.real(self.int(-j))));
                    out = out.mul(&self.real(self.rational(&RBig::from_parts(1.into(), (j as u64 + 1).into()))));
                }
                return Some(out);
            }
            return None;
        }
        if matches!(fun, Fun::Root | Fun::LogBase) && args.len() != 2 {
            return None;
        }
        if fun == Fun::Root {
            let index = exact::evaluate(&args[0], &self.env).ok()?;
            let n = exact::small(&index)?;
            if n == 2 {
                if let Ok(value) = exact::evaluate(&args[1], &self.env)
                    && let Some(root) = (!value.is_negative()).then(|| exact::exact_root(&value, 2)).flatten()
                {
                    return Some(self.real(self.rational(&root)));
                }
                let z = self.eval(&args[1])?;
                return self.sqrt(&z);
            }
            if n == 0 {
                return None;
            }
            // A written root sign with an odd index is the real root.
            let old = self.branch.real_roots;
            self.branch.real_roots = true;
            let out = self.power(&args[1], &Node::rational(RBig::ONE / index));
            self.branch.real_roots = old;
            return out;
        }
        if matches!(fun, Fun::Min | Fun::Max) {
            let mut best = self.eval(args.first()?)?.re;
            for arg in &args[1..] {
                let value = self.eval(arg)?;
                if !value.is_real() {
                    return None;
                }
                let difference = value.re.add(&best.neg());
                if difference.positive() == (fun == Fun::Max) && (difference.positive() || difference.negative()) {
                    best = value.re;
                } else if !(difference.positive() || difference.negative() || difference.is_zero()) {
                    return None;
                }
            }
            return Some(self.real(best));
        }
        if fun == Fun::LogBase {
            let (base, x) = (self.eval(&args[0])?, self.eval(args.get(1)?)?);
            return Some(self.ln(&x)?.mul(&self.ln(&base)?.inv()?));
        }
        let z = self.eval(args.first()?)?;
        if args.len() != 1 {
            return None;
        }
        let one = self.real(self.one());
        Some(match fun {
            Fun::Sin => self.sin_cos(&z).0,
            Fun::Cos => self.sin_cos(&z).1,
            Fun::Tan => {
                let (s, c) = self.sin_cos(&z);
                s.mul(&c.inv()?)
            }
            Fun::Cot => {
                let (s, c) = self.sin_cos(&z);
                c.mul(&s.inv()?)
            }
            Fun::Sec => self.sin_cos(&z).1.inv()?,
            Fun::Csc => self.sin_cos(&z).0.inv()?,
            Fun::Exp => self.exp(&z),
            Fun::Ln => self.ln(&z)?,
            Fun::Log => {
                let value = self.ln(&z)?;
                if self.branch.decimal_log { value.mul(&self.real(self.int(10).ln().inv()?)) } else { value }
            }
            Fun::Abs => self.real(Self::modulus(&z)),
            Fun::Re => self.real(z.re),
            Fun::Im => self.real(z.im),
            Fun::Arg => self.real(self.argument(&z)?),
            Fun::Sinh | Fun::Cosh | Fun::Tanh | Fun::Coth | Fun::Sech | Fun::Csch => {
                let (up, down) = (self.exp(&z), self.exp(&z.neg()));
                let half = self.real(self.rational(&RBig::from_parts(1.into(), 2u32.into())));
                let (s, c) = (up.add(&down.neg()).mul(&half), up.add(&down).mul(&half));
                match fun {
                    Fun::Sinh => s,
                    Fun::Cosh => c,
                    Fun::Tanh => s.mul(&c.inv()?),
                    Fun::Coth => c.mul(&s.inv()?),
                    Fun::Sech => c.inv()?,
                    _ => s.inv()?,
                }
            }
            _ if !z.is_real() => return None,
            Fun::Asin => self.real(self.asin(&z.re)?),
            Fun::Acos => {
                let half = self.rational(&RBig::from_parts(1.into(), 2u32.into()));
                self.real(R::pi(self.precision).mul(&half).add(&self.asin(&z.re)?.neg()))
            }
            Fun::Atan => self.real(z.re.atan()),
            Fun::Acot => {
                let half = self.rational(&RBig::from_parts(1.into(), 2u32.into()));
                if z.re.is_zero() {
                    return Some(self.real(R::pi(self.precision).mul(&half)));
                }
                // The branch with values in (-pi/2, pi/2], as computer algebra systems take it.
                self.real(z.re.inv()?.atan())
            }
            Fun::Asec => {
                let half = self.rational(&RBig::from_parts(1.into(), 2u32.into()));
                self.real(R::pi(self.precision).mul(&half).add(&self.asin(&z.re.inv()?)?.neg()))
            }
            Fun::Acsc => self.real(self.asin(&z.re.inv()?)?),
            Fun::Asinh => {
                let root = z.re.mul(&z.re).add(&self.one()).sqrt();
                // ln(x + sqrt(x^2+1)), by symmetry for negative x.
                if z.re.negative() {
                    self.real(z.re.neg().add(&root).ln().neg())
                } else {
                    self.real(z.re.add(&root).ln())
                }
            }
            Fun::Acosh => {
                let rest = z.re.mul(&z.re).add(&self.one().neg());
                if rest.negative() || z.re.negative() {
                    return None;
                }
                self.real(z.re.add(&rest.sqrt()).ln())
            }
            Fun::Atanh => {
                let (up, down) = (one.re.add(&z.re), one.re.add(&z.re.neg()));
                if !up.positive() || !down.positive() {
                    return None;
                }
                let half = self.rational(&RBig::from_parts(1.into(), 2u32.into()));
                self.real(up.mul(&down.inv()?).ln().mul(&half))
            }
            Fun::Floor | Fun::Ceil => {
                if let Ok(value) = exact::evaluate(&Node::Call(fun, args.to_vec()), &self.env) {
                    return Some(self.real(self.rational(&value)));
                }
                let value = if fun == Fun::Floor { z.re.floor_exact()? } else { -z.re.neg().floor_exact()? };
                self.real(self.rational(&value))
            }
            Fun::Sign => {
                if z.re.positive() {
                    one
                } else if z.re.negative() {
                    one.neg()
                } else {
                    return None;
                }
            }
            _ => return None,
        })
    }
}

fn is_odd(n: &dashu::integer::IBig) -> bool {
    n % dashu::integer::IBig::from(2) != dashu::integer::IBig::ZERO
}
