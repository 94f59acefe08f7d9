//! Identity testing over the field with p^2 elements, p = 2^61 - 1 (Schwartz 1980, Zippel 1979).
//!
//! Variables and everything transcendental become pseudo-random field elements that depend only on
//! their name and the fingerprints of their arguments. Equal fingerprints then mean equal
//! expressions up to the chance of a collision, at most degree/p per point. For rational functions
//! different fingerprints mean different functions; with kernels in them they mean nothing.

use dashu::integer::{IBig, UBig};
use dashu::rational::RBig;

use super::ast::{BinderKind, Const, Fun, Node};
use super::exact;

const P: u64 = (1 << 61) - 1;

/// An element `a + b i`; -1 is no square modulo p, so this is a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Element(u64, u64);

fn add(a: u64, b: u64) -> u64 {
    let s = a + b;
    if s >= P { s - P } else { s }
}

fn sub(a: u64, b: u64) -> u64 {
    if a >= b { a - b } else { a + P - b }
}

fn mul(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    add((wide & u128::from(P)) as u64, (wide >> 61) as u64 % P)
}

fn inverse(a: u64) -> u64 {
    let (mut base, mut exponent, mut out) = (a, P - 2, 1u64);
    while exponent > 0 {
        if exponent & 1 == 1 {
            out = mul(out, base);
        }
        base = mul(base, base);
        exponent >>= 1;
    }
    out
}

impl Element {
    const ONE: Self = Self(1, 0);

    pub(crate) fn is_zero(self) -> bool {
        self == Self(0, 0)
    }

    fn plus(self, o: Self) -> Self {
        Self(add(self.0, o.0), add(self.1, o.1))
    }
    fn negated(self) -> Self {
        Self(sub(0, self.0), sub(0, self.1))
    }
    fn times(self, o: Self) -> Self {
        Self(sub(mul(self.0, o.0), mul(self.1, o.1)), add(mul(self.0, o.1), mul(self.1, o.0)))
    }
    fn inverted(self) -> Option<Self> {
        let norm = add(mul(self.0, self.0), mul(self.1, self.1));
        if norm == 0 {
            return None;
        }
        let n = inverse(norm);
        Some(Self(mul(self.0, n), mul(sub(0, self.1), n)))
    }
    fn power(self, mut exponent: u64) -> Self {
        let (mut base, mut out) = (self, Self::ONE);
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = out.times(base);
            }
            base = base.times(base);
            exponent >>= 1;
        }
        out
    }
}

fn mix(mut h: u64) -> u64 {
    // splitmix64 (Steele, Lea, Flood 2014)
    h = h.wrapping_add(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

fn hash_bytes(bytes: &[u8], seed: u64) -> u64 {
    bytes.iter().fold(mix(seed), |h, b| mix(h ^ u64::from(*b)))
}

fn random(h: u64) -> Element {
    Element(mix(h) % P, 0)
}

/// The fingerprint and whether it is that of a rational function.
pub(crate) struct Fingerprint {
    pub(crate) element: Element,
    pub(crate) rational: bool,
}

/// The fingerprint of an expression at the point given by `seed`; none where it is undefined or no
/// scalar expression.
pub(crate) fn fingerprint(node: &Node, seed: u64) -> Option<Fingerprint> {
    let mut machine = Machine { seed, rational: true, bound: Vec::new() };
    let element = machine.eval(node)?;
    Some(Fingerprint { element, rational: machine.rational })
}

struct Machine {
    seed: u64,
    rational: bool,
    bound: Vec<Box<str>>,
}

fn residue(value: &RBig) -> Option<Element> {
    let p = UBig::from(P);
    let reduce = |x: &UBig| u64::try_from(x % &p).unwrap_or(0);
    let (sign, magnitude) = value.numerator().clone().into_parts();
    let top = reduce(&magnitude);
    let bottom = reduce(value.denominator());
    if bottom == 0 {
        return None;
    }
    let v = mul(top, inverse(bottom));
    let negative = IBig::from_parts(sign, UBig::ONE) < IBig::ZERO;
    Some(Element(if negative { sub(0, v) } else { v }, 0))
}

impl Machine {
    fn kernel(&mut self, name: &str, parts: &[Element]) -> Element {
        self.rational = false;
        let mut h = hash_bytes(name.as_bytes(), self.seed ^ 0x5bd1);
        for part in parts {
            h = mix(h ^ part.0);
            h = mix(h ^ part.1.rotate_left(17));
        }
        random(h)
    }

    fn eval(&mut self, node: &Node) -> Option<Element> {
        Some(match node {
            Node::Num(n) => residue(&n.value)?,
            Node::Based(value, _) => residue(value)?,
            Node::Var(name) => match self.bound.iter().rposition(|b| b == name) {
                Some(k) => random(mix(self.seed ^ 0xb0b0) ^ k as u64),
                None => random(hash_bytes(name.as_bytes(), self.seed)),
            },
            Node::Const(Const::I) => Element(0, 1),
            Node::Const(c) => {
                if *c == Const::Infinity {
                    return None;
                }
                // Transcendental constants are taken as independent of each other.
                self.rational = false;
                random(hash_bytes(format!("{c:?}").as_bytes(), self.seed ^ 0xc0de))
            }
            Node::Neg(a) => self.eval(a)?.negated(),
            Node::Add(items) => {
                let mut sum = Element(0, 0);
                for item in items {
                    sum = sum.plus(self.eval(item)?);
                }
                sum
            }
            Node::Mul(items) => {
                let mut out = Element::ONE;
                for item in items {
                    out = out.times(self.eval(item)?);
                }
                out
            }
            Node::Div(a, b) => self.eval(a)?.times(self.eval(b)?.inverted()?),
            Node::Ratio(items) if items.len() == 2 => self.eval(&items[0])?.times(self.eval(&items[1])?.inverted()?),
            Node::Percent(a) => self.eval(a)?.times(Element(100, 0).inverted()?),
            Node::Degree(a) => {
                let pi = self.eval(&Node::Const(Const::Pi))?;
                self.eval(a)?.times(pi).times(Element(180, 0).inverted()?)
            }
            Node::Pow(a, b) => {
                if let Ok(exponent) = exact::value(b)
                    && let Some(n) = exact::small(&exponent)
                {
                    let base = self.eval(a)?.power(n.unsigned_abs());
                    return if n < 0 { base.inverted() } else { Some(base) };
                }
                if matches!(**a, Node::Const(Const::E)) {
                    return self.exponential(b, false);
                }
                if let Ok(base) = exact::value(a)
                    && let Some(power) = self.rational_power(&base, b)
                {
                    return Some(power);
                }
                let parts = [self.eval(a)?, self.eval(b)?];
                self.kernel("pow", &parts)
            }
            Node::Call(fun, args) => {
                if *fun == Fun::Det {
                    return None;
                }
                if let (Fun::LogBase, [base, x]) = (fun, args.as_slice()) {
                    let ln = |n: &Node| Node::Call(Fun::Ln, vec![n.clone()]);
                    let quotient = Node::Div(Box::new(ln(x)), Box::new(ln(base)));
                    return self.eval(&quotient);
                }
                if let [x] = args.as_slice()
                    && let Some(value) = self.exponential_function(*fun, x)
                {
                    return Some(value);
                }
                let mut parts = Vec::with_capacity(args.len());
                for arg in args {
                    parts.push(self.eval(arg)?);
                }
                match (fun, parts.as_slice()) {
                    (Fun::Gcd | Fun::Lcm | Fun::Min | Fun::Max, _) => {
                        parts.sort_unstable_by_key(|e| (e.0, e.1));
                        self.kernel(&format!("{fun:?}"), &parts)
                    }
                    (Fun::Root, [index, x]) => self.kernel("Root", &[*index, *x]),
                    _ => self.kernel(&format!("{fun:?}"), &parts),
                }
            }
            Node::Apply(name, args) => {
                let mut parts = Vec::with_capacity(args.len());
                for arg in args {
                    parts.push(self.eval(arg)?);
                }
                self.kernel(&format!("apply {name}"), &parts)
            }
            Node::Bind(b) => {
                let mut parts = Vec::new();
                for part in [&b.lo, &b.hi] {
                    parts.push(match part {
                        Some(Node::Const(Const::Infinity)) => Element(17, 17),
                        Some(Node::Neg(inner)) if matches!(**inner, Node::Const(Const::Infinity)) => Element(17, 18),
                        Some(part) => self.eval(part)?,
                        None => Element(0, 3),
                    });
                }
                let free = b.kind == BinderKind::Derivative || (b.kind == BinderKind::Integral && b.lo.is_none());
                if free {
                    parts.push(random(hash_bytes(b.var.as_bytes(), self.seed)));
                    parts.push(self.eval(&b.body)?);
                } else {
                    self.bound.push(b.var.clone());
                    let body = self.eval(&b.body);
                    self.bound.pop();
                    parts.push(body?);
                }
                self.kernel(&format!("{:?}", b.kind), &parts)
            }
            _ => return None,
        })
    }
}

/// Every exponent has to be a fraction with a denominator that divides this.
const DENOMINATOR: i64 = 2520;

/// An exponent as a sum of rational multiples of atoms; an atom is a fingerprint and whether the
/// imaginary unit stands before it.
type Linear = Vec<((Element, bool), RBig)>;

/// Exponentials, and what is made of them, as multiplicative units: `exp(a + b) = exp(a) exp(b)`.
/// An identity between units holds for the functions they stand for.
impl Machine {
    /// The terms of an exponent; none if it is no such sum.
    fn linear(&mut self, node: &Node, scale: &RBig, imaginary: bool, out: &mut Linear) -> Option<()> {
        match node {
            Node::Add(items) => items.iter().try_for_each(|item| self.linear(item, scale, imaginary, out)),
            Node::Neg(a) => self.linear(a, &-scale.clone(), imaginary, out),
            Node::Degree(a) => {
                let turn = Node::Mul(vec![(**a).clone(), Node::Const(Const::Pi)]);
                self.linear(&turn, &(scale.clone() / RBig::from(180)), imaginary, out)
            }
            Node::Div(a, b) => {
                let divisor = exact::value(b).ok().filter(|d| !d.is_zero());
                match divisor {
                    Some(divisor) => self.linear(a, &(scale.clone() / divisor), imaginary, out),
                    None => self.atom(node, scale, imaginary, out),
                }
            }
            Node::Mul(items) => {
                let (mut scale, mut imaginary) = (scale.clone(), imaginary);
                let mut rest: Vec<Node> = Vec::new();
                for item in items {
                    if let Ok(value) = exact::value(item) {
                        scale *= value;
                    } else if matches!(item, Node::Const(Const::I)) {
                        if imaginary {
                            scale = -scale;
                        }
                        imaginary = !imaginary;
                    } else {
                        rest.push(item.clone());
                    }
                }
                match rest.len() {
                    0 => self.atom(&Node::int(1), &scale, imaginary, out),
                    1 => self.linear(&rest[0], &scale, imaginary, out),
                    _ => self.atom(&Node::Mul(rest), &scale, imaginary, out),
                }
            }
            Node::Const(Const::I) => {
                let scale = if imaginary { -scale.clone() } else { scale.clone() };
                self.atom(&Node::int(1), &scale, !imaginary, out)
            }
            _ => match exact::value(node) {
                Ok(value) => self.atom(&Node::int(1), &(scale.clone() * value), imaginary, out),
                Err(_) => self.atom(node, scale, imaginary, out),
            },
        }
    }

    fn atom(&mut self, node: &Node, scale: &RBig, imaginary: bool, out: &mut Linear) -> Option<()> {
        if out.len() > 40 {
            return None;
        }
        let key = (self.eval(node)?, imaginary);
        match out.iter_mut().find(|(k, _)| *k == key) {
            Some((_, sum)) => *sum += scale.clone(),
            None => out.push((key, scale.clone())),
        }
        Some(())
    }

    /// The unit for `base ^ sum`, where the name stands for the base.
    fn unit(&mut self, name: &str, sum: &Linear) -> Option<Element> {
        let mut out = Element::ONE;
        let pi = self.eval(&Node::Const(Const::Pi))?;
        for ((key, imaginary), scale) in sum {
            if scale.is_zero() {
                continue;
            }
            if *imaginary && *key == pi && name == "exp" {
                // e^{i pi / 2} = i
                if let Some(quarters) = exact::small(&(scale.clone() * RBig::from(2))) {
                    out = out.times(Element(0, 1).power(quarters.rem_euclid(4) as u64));
                    continue;
                }
            }
            let exponent = exact::small(&(scale.clone() * RBig::from(DENOMINATOR)))?;
            let sort = format!("{name} {imaginary}");
            let generator = self.kernel(&sort, &[*key]);
            let power = generator.power(exponent.unsigned_abs());
            out = out.times(if exponent < 0 { power.inverted()? } else { power });
        }
        self.rational = false;
        Some(out)
    }

    /// `e^x`, or `e^{ix}`.
    fn exponential(&mut self, x: &Node, imaginary: bool) -> Option<Element> {
        let mut sum = Linear::new();
        self.linear(x, &RBig::ONE, imaginary, &mut sum)?;
        self.unit("exp", &sum)
    }

    /// `base^x` for a positive fraction: one unit for every prime in it.
    fn rational_power(&mut self, base: &RBig, x: &Node) -> Option<Element> {
        let top = u64::try_from(base.numerator().clone()).ok()?;
        let bottom = u64::try_from(base.denominator().clone()).ok()?;
        if top == 0 || top.max(bottom) > 1_000_000 || exact::value(x).is_ok() {
            return None;
        }
        let mut sum = Linear::new();
        self.linear(x, &RBig::ONE, false, &mut sum)?;
        let mut out = Element::ONE;
        // Whole constant parts are numbers: 2^{n+1} = 2 * 2^n.
        let one = (Element::ONE, false);
        if let Some(at) = sum.iter().position(|(key, _)| *key == one)
            && let Some(whole) = exact::small(&sum[at].1)
        {
            let value = residue(base)?.power(whole.unsigned_abs());
            out = if whole < 0 { value.inverted()? } else { value };
            sum.remove(at);
        }
        for (number, sign) in [(top, 1), (bottom, -1)] {
            for (prime, multiplicity) in factors(number) {
                let scaled: Linear =
                    sum.iter().map(|(key, c)| (*key, c.clone() * RBig::from(sign * multiplicity))).collect();
                out = out.times(self.unit(&format!("base {prime}"), &scaled)?);
            }
        }
        Some(out)
    }

    /// Trigonometric and hyperbolic functions through exponentials, logarithms of fractions through
    /// their primes; none for what is neither.
    fn exponential_function(&mut self, fun: Fun, x: &Node) -> Option<Element> {
        if fun == Fun::Log {
            // Whatever the base, it is a multiple of the natural logarithm.
            let scale = self.kernel("log scale", &[]);
            let natural = self.eval(&Node::Call(Fun::Ln, vec![x.clone()]))?;
            return Some(scale.times(natural));
        }
        if fun == Fun::Ln {
            let value = exact::value(x).ok()?;
            let top = u64::try_from(value.numerator().clone()).ok().filter(|n| (1..=1_000_000).contains(n))?;
            let bottom = u64::try_from(value.denominator().clone()).ok().filter(|n| *n <= 1_000_000)?;
            let mut sum = Element(0, 0);
            for (number, sign) in [(top, 1), (bottom, -1)] {
                for (prime, multiplicity) in factors(number) {
                    let log = self.kernel("ln prime", &[Element(prime, 0)]);
                    let term = log.times(Element(multiplicity as u64, 0));
                    sum = sum.plus(if sign < 0 { term.negated() } else { term });
                }
            }
            return Some(sum);
        }
        let circular = matches!(fun, Fun::Sin | Fun::Cos | Fun::Tan | Fun::Cot | Fun::Sec | Fun::Csc);
        let hyperbolic = matches!(fun, Fun::Sinh | Fun::Cosh | Fun::Tanh | Fun::Coth | Fun::Sech | Fun::Csch);
        if fun == Fun::Exp {
            return self.exponential(x, false);
        }
        if !circular && !hyperbolic {
            return None;
        }
        let up = self.exponential(x, circular)?;
        Self::from_exponential(fun, up)
    }

    fn from_exponential(fun: Fun, up: Element) -> Option<Element> {
        let down = up.inverted()?;
        let half = Element(2, 0).inverted()?;
        let cosine = up.plus(down).times(half);
        let difference = up.plus(down.negated()).times(half);
        let circular = matches!(fun, Fun::Sin | Fun::Cos | Fun::Tan | Fun::Cot | Fun::Sec | Fun::Csc);
        // sin x = (e^{ix} - e^{-ix}) / 2i
        let sine = if circular { difference.times(Element(0, P - 1)) } else { difference };
        match fun {
            Fun::Sin | Fun::Sinh => Some(sine),
            Fun::Cos | Fun::Cosh => Some(cosine),
            Fun::Tan | Fun::Tanh => Some(sine.times(cosine.inverted()?)),
            Fun::Cot | Fun::Coth => Some(cosine.times(sine.inverted()?)),
            Fun::Sec | Fun::Sech => cosine.inverted(),
            _ => sine.inverted(),
        }
    }
}

/// Prime factors of a number up to 10^6, with multiplicity.
fn factors(mut n: u64) -> Vec<(u64, i64)> {
    let mut out = Vec::new();
    let mut p = 2;
    while p * p <= n {
        let mut k = 0;
        while n.is_multiple_of(p) {
            n /= p;
            k += 1;
        }
        if k > 0 {
            out.push((p, k));
        }
        p += 1;
    }
    if n > 1 {
        out.push((n, 1));
    }
    out
}

/// a / b, where b is not zero.
pub(crate) fn quotient(a: Element, b: Element) -> Option<Element> {
    Some(a.times(b.inverted()?))
}
