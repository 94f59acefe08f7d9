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
                if let Ok(exponent) = exact::value(b) {
                    if let Some(n) = exact::small(&exponent) {
                        let base = self.eval(a)?.power(n.unsigned_abs());
                        return if n < 0 { base.inverted() } else { Some(base) };
                    }
                }
                if matches!(**a, Node::Const(Const::E)) {
                    let exponent = self.eval(b)?;
                    return Some(self.kernel("exp", &[exponent]));
                }
                let parts = [self.eval(a)?, self.eval(b)?];
                self.kernel("pow", &parts)
            }
            Node::Call(fun, args) => {
                if *fun == Fun::Det {
                    return None;
                }
                let mut parts = Vec::with_capacity(args.len());
                for arg in args {
                    parts.push(self.eval(arg)?);
                }
                match (fun, parts.as_slice()) {
                    (Fun::Tan, [x]) => {
                        let (s, c) = (self.kernel("Sin", &[*x]), self.kernel("Cos", &[*x]));
                        s.times(c.inverted()?)
                    }
                    (Fun::Cot, [x]) => {
                        let (s, c) = (self.kernel("Sin", &[*x]), self.kernel("Cos", &[*x]));
                        c.times(s.inverted()?)
                    }
                    (Fun::Sec, [x]) => self.kernel("Cos", &[*x]).inverted()?,
                    (Fun::Csc, [x]) => self.kernel("Sin", &[*x]).inverted()?,
                    (Fun::Exp, [x]) => self.kernel("exp", &[*x]),
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
                        Some(part) if matches!(part, Node::Const(Const::Infinity)) => Element(17, 17),
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

/// a / b, where b is not zero.
pub(crate) fn quotient(a: Element, b: Element) -> Option<Element> {
    Some(a.times(b.inverted()?))
}
