//! Whether two scalar expressions are equal: exact arithmetic, then identity testing, then rigorous
//! numerics.

use dashu::base::{Abs, Signed};
use dashu::integer::UBig;
use dashu::rational::RBig;

use super::ast::{Const, Fun, Node};
use super::exact::{self, Inexact};
use super::field;
use super::interval::Interval;
use super::numeric::{self, Branch, Complex, Real};
use crate::Proof;

/// Outcome of one comparison.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    Equal(Proof),
    /// With what shows the difference.
    Different(String),
    /// With the reason.
    Unknown(&'static str),
}

impl Decision {
    pub(crate) fn is_equal(&self) -> bool {
        matches!(self, Self::Equal(_))
    }
    pub(crate) fn different(why: &str) -> Self {
        Self::Different(why.to_owned())
    }
}

/// The weaker of two proofs.
pub(crate) fn weaker(a: Proof, b: Proof) -> Proof {
    let rank = |p: &Proof| match p {
        Proof::Exact => 0u32,
        Proof::Certified => 1,
        Proof::Probabilistic { bits } => u32::MAX - *bits,
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

const READINGS: [Branch; 4] = [
    Branch { real_roots: true, decimal_log: false },
    Branch { real_roots: false, decimal_log: false },
    Branch { real_roots: true, decimal_log: true },
    Branch { real_roots: false, decimal_log: true },
];

/// Compares two scalar expressions for exact mathematical equality.
pub(crate) fn scalars(a: &Node, b: &Node) -> Decision {
    if a == b {
        return Decision::Equal(Proof::Exact);
    }
    let unknown = |n: &Node| matches!(n, Node::Apply(..) | Node::Call(Fun::Prime, _));
    if a.any(&unknown) || b.any(&unknown) {
        if let Some(decision) = identity(a, b)
            && decision.is_equal()
        {
            return decision;
        }
        // Values of unknown functions: one unknown for each argument that differs.
        let mut seen = Vec::new();
        let (a, b) = (name_values(a, &mut seen), name_values(b, &mut seen));
        return if seen.len() > 24 { Decision::Unknown("too many unknown functions") } else { known(&a, &b) };
    }
    known(a, b)
}

/// Replaces every value of an unknown function by a variable; equal values share one.
fn name_values(node: &Node, seen: &mut Vec<Node>) -> Node {
    let inner = node.map_children(&mut |c| name_values(c, seen));
    let (head, args): (String, &[Node]) = match &inner {
        Node::Apply(name, args) => (name.to_string(), args),
        Node::Call(Fun::Prime, args) => ("'".into(), args),
        _ => return inner,
    };
    let found = seen.iter().position(|other| {
        let (other_head, other_args): (&str, &[Node]) = match other {
            Node::Apply(name, args) => (name, args),
            Node::Call(_, args) => ("'", args),
            _ => return false,
        };
        head == other_head
            && args.len() == other_args.len()
            && args.iter().zip(other_args).all(|(x, y)| known(x, y).is_equal())
    });
    let index = found.unwrap_or_else(|| {
        seen.push(inner.clone());
        seen.len() - 1
    });
    Node::Var(format!("value {index}").into())
}

fn known(a: &Node, b: &Node) -> Decision {
    match (exact::value(a), exact::value(b)) {
        (Ok(x), Ok(y)) => {
            return if x == y {
                Decision::Equal(Proof::Exact)
            } else {
                Decision::Different(format!("{} is not {}", shown(&x), shown(&y)))
            };
        }
        (Err(Inexact::Undefined), Err(Inexact::Undefined)) => {
            return Decision::Unknown("both sides are undefined");
        }
        (Err(Inexact::Undefined), _) | (_, Err(Inexact::Undefined)) => {
            return Decision::different("one side is undefined");
        }
        _ => {}
    }
    if let Some(decision) = infinities(a, b) {
        return decision;
    }
    let mut variables = a.variables();
    for v in b.variables() {
        if !variables.contains(&v) {
            variables.push(v);
        }
    }
    variables.sort();
    if let Some(decision) = identity(a, b) {
        return decision;
    }
    let has_log = |n: &Node| matches!(n, Node::Call(Fun::Log, _));
    let logs = a.any(&has_log) || b.any(&has_log);
    let mut last = Decision::Unknown("no reading could be evaluated");
    for branch in &READINGS[..if logs { 4 } else { 2 }] {
        let decision = if variables.is_empty() { closed(a, b, *branch) } else { open(a, b, &variables, *branch) };
        match decision {
            Decision::Equal(_) => return decision,
            Decision::Different(_) => last = decision,
            Decision::Unknown(_) => {
                if !matches!(last, Decision::Different(_)) {
                    last = decision;
                }
            }
        }
    }
    if matches!(last, Decision::Unknown(_)) && variables.is_empty() {
        return super::magnitude::compare(a, b).unwrap_or(last);
    }
    last
}

fn shown(value: &RBig) -> String {
    let text = value.to_string();
    if text.len() <= 40 { text } else { format!("{:e}", value.to_f64().value()) }
}

fn infinities(a: &Node, b: &Node) -> Option<Decision> {
    let sign = |node: &Node| match node {
        Node::Const(Const::Infinity) => Some(1),
        Node::Neg(inner) if matches!(**inner, Node::Const(Const::Infinity)) => Some(-1),
        Node::Percent(inner) | Node::Quantity(inner, _) => match &**inner {
            Node::Const(Const::Infinity) => Some(1),
            Node::Neg(x) if matches!(**x, Node::Const(Const::Infinity)) => Some(-1),
            _ => None,
        },
        Node::Mul(items) if items.iter().any(|i| matches!(i, Node::Const(Const::Infinity))) => Some(1),
        _ => None,
    };
    match (sign(a), sign(b)) {
        (None, None) => None,
        (Some(x), Some(y)) if x == y => Some(Decision::Equal(Proof::Exact)),
        _ => Some(Decision::different("one side is infinite")),
    }
}

const SEEDS: [u64; 2] = [0x1234_5678_9abc_def1, 0x0fed_cba9_8765_4321];

/// Identity over the finite field: decides rational functions, and accepts what agrees with
/// transcendental parts taken as unknowns.
fn identity(a: &Node, b: &Node) -> Option<Decision> {
    let mut rational = true;
    let mut points = 0;
    for seed in SEEDS {
        let (Some(x), Some(y)) = (field::fingerprint(a, seed), field::fingerprint(b, seed)) else {
            continue;
        };
        points += 1;
        rational &= x.rational && y.rational;
        if x.element != y.element {
            return rational.then(|| Decision::different("they differ at a point of a finite field"));
        }
    }
    // Degrees stay far below 2^20 under the size limits of the parser.
    (points == 2).then_some(Decision::Equal(Proof::Probabilistic { bits: 80 }))
}

/// Closed expressions: enclosures at rising precision.
fn closed(a: &Node, b: &Node, branch: Branch) -> Decision {
    let evaluated =
        (numeric::evaluate::<Interval>(a, &[], 53, branch), numeric::evaluate::<Interval>(b, &[], 53, branch));
    if let (Some(x), Some(y)) = &evaluated
        && !x.overlaps(y)
    {
        return Decision::Different(format!("{} is not {}", display(x), display(y)));
    }
    super::ball::closed(a, b, branch)
}

pub(crate) fn display<R: Real>(z: &Complex<R>) -> String {
    if z.is_real() {
        format!("{:.10}", z.re.midpoint())
    } else {
        format!("{:.8}{:+.8}i", z.re.midpoint(), z.im.midpoint())
    }
}

/// Expressions with variables: certified differences at seeded points, agreement at many of them.
fn open(a: &Node, b: &Node, variables: &[Box<str>], branch: Branch) -> Decision {
    let whole = integer_variables(a, b, variables);
    let complex = |n: &Node| matches!(n, Node::Const(Const::I));
    let imaginary = a.any(&complex) || b.any(&complex);
    let logarithm = |n: &Node| matches!(n, Node::Call(Fun::Log | Fun::Ln | Fun::LogBase, _));
    let logs = !imaginary && a.any(&logarithm) && b.any(&logarithm);
    let mut agreed: Vec<Vec<(Box<str>, RBig)>> = Vec::new();
    let mut only_complex = Vec::new();
    let rounds = if whole.iter().any(|w| *w) { 24 } else { 14 };
    for round in 0..rounds {
        let env = point(variables, &whole, round);
        let x = numeric::evaluate::<Interval>(a, &env, 53, branch);
        let y = numeric::evaluate::<Interval>(b, &env, 53, branch);
        let (Some(x), Some(y)) = (x, y) else { continue };
        if !x.re.is_finite() || !y.re.is_finite() {
            continue;
        }
        if !imaginary && !x.is_real() && !y.is_real() {
            // Outside the real domain of both.
            only_complex.push((env, x.overlaps(&y)));
            continue;
        }
        if logs && x.is_real() != y.is_real() {
            // Logarithms of letters take the letters as positive.
            continue;
        }
        if !x.overlaps(&y) {
            return Decision::Different(format!("at {}: {} is not {}", shown_point(&env), display(&x), display(&y)));
        }
        agreed.push(env);
        if agreed.len() >= if rounds == 24 { 16 } else { 8 } {
            break;
        }
    }
    if agreed.len() < 2 {
        if only_complex.len() >= 2 {
            if only_complex.iter().any(|(_, same)| !same) {
                return Decision::different("they differ at complex points");
            }
            agreed = only_complex.into_iter().map(|(env, _)| env).collect();
        } else {
            return Decision::Unknown("too few points where both sides are defined");
        }
    }
    super::ball::open(a, b, &agreed, branch)
}

fn shown_point(env: &[(Box<str>, RBig)]) -> String {
    env.iter().map(|(name, value)| format!("{name} = {:.6}", value.to_f64().value())).collect::<Vec<_>>().join(", ")
}

/// Which variables stand for integers: those under a factorial, in a binomial, in the exponent of
/// a negative base, inside a rounding bracket, or as an index bound.
pub(crate) fn integer_variables(a: &Node, b: &Node, variables: &[Box<str>]) -> Vec<bool> {
    fn mark(node: &Node, names: &[Box<str>], out: &mut [bool]) {
        let mut all = |part: &Node| {
            for v in part.variables() {
                if let Some(k) = names.iter().position(|n| *n == v) {
                    out[k] = true;
                }
            }
        };
        match node {
            Node::Call(Fun::Factorial | Fun::DoubleFactorial | Fun::Binom | Fun::Gcd | Fun::Lcm | Fun::Mod, args) => {
                args.iter().for_each(&mut all);
            }
            Node::Call(Fun::Floor | Fun::Ceil, args) => {
                for v in args.iter().flat_map(Node::variables) {
                    let letter = v.chars().next().unwrap_or('x');
                    if matches!(letter, 'n' | 'k' | 'm' | 'N' | 'K' | 'M' | 'j' | 'p' | 'q' | 'l')
                        && let Some(k) = names.iter().position(|n| *n == v)
                    {
                        out[k] = true;
                    }
                }
            }
            Node::Pow(base, exponent) if exact::value(base).is_ok_and(|b| b.is_negative()) => {
                all(exponent);
            }
            Node::Call(Fun::Sin | Fun::Cos | Fun::Tan, args) => {
                // `cos n pi` next to `(-1)^n`.
                for v in args.iter().flat_map(Node::variables) {
                    if matches!(&*v, "n" | "k")
                        && let Some(k) = names.iter().position(|n| *n == v)
                    {
                        out[k] = true;
                    }
                }
            }
            Node::Bind(b) => {
                for part in [&b.lo, &b.hi].into_iter().flatten() {
                    if matches!(b.kind, super::ast::BinderKind::Sum | super::ast::BinderKind::Product) {
                        all(part);
                    }
                }
            }
            _ => {}
        }
        node.each_child(&mut |child| mark(child, names, out));
    }
    let mut out = vec![false; variables.len()];
    mark(a, variables, &mut out);
    mark(b, variables, &mut out);
    out
}

/// The sample point of one round: small integers for integer variables, else fractions that cover
/// both signs and the sizes below, at and above one.
pub(crate) fn point(variables: &[Box<str>], whole: &[bool], round: u64) -> Vec<(Box<str>, RBig)> {
    variables
        .iter()
        .enumerate()
        .map(|(k, name)| {
            let mut h = 0x9e37_79b9_7f4a_7c15u64 ^ (round + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
            for b in name.bytes() {
                h = (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
            }
            h ^= (k as u64 + 1).wrapping_mul(0xa076_1d64_78bd_642f);
            h = (h ^ (h >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            h ^= h >> 29;
            if whole.get(k).copied().unwrap_or(false) {
                let spread =
                    if variables.len() == 1 { round as i64 + 1 } else { (h % 7) as i64 + 1 + (round as i64) / 6 };
                // Several integer variables: later ones tend to be smaller, as in `n choose k`.
                return (name.clone(), RBig::from(spread));
            }
            let fraction = (h >> 20) % 1_000_003;
            let base = RBig::from_parts((fraction as i64 + 1).into(), 1_000_003u32.into());
            let value = match round % 7 {
                0 | 4 => base + RBig::ONE,
                1 => base,
                2 => base * RBig::from(5),
                3 => -base * RBig::from(3),
                5 => -base,
                _ => {
                    if h & 1 == 0 {
                        base * RBig::from(2)
                    } else {
                        -base * RBig::from(2)
                    }
                }
            };
            (name.clone(), value)
        })
        .collect()
}

/// A decimal as written: value, digits after the point, significant digits.
pub(crate) fn decimal(node: &Node) -> Option<(RBig, i32, u32)> {
    match node {
        Node::Num(n) => n.places.map(|p| (n.value.clone(), p, n.digits)),
        Node::Neg(inner) => decimal(inner).map(|(v, p, d)| (-v, p, d)),
        Node::Mul(items) => {
            let [Node::Num(n), Node::Pow(ten, k)] = items.as_slice() else { return None };
            if !matches!(&**ten, Node::Num(t) if t.value == RBig::from(10)) {
                return None;
            }
            let exponent = exact::small(&exact::value(k).ok()?)?;
            let places = n.places.unwrap_or(0);
            let value = exact::value(node).ok()?;
            n.places?;
            Some((value, places - i32::try_from(exponent).ok()?, n.digits))
        }
        _ => None,
    }
}

/// Half a unit of the last digit.
fn half_unit(places: i32) -> RBig {
    let power = UBig::from(10u8).pow(places.unsigned_abs().min(5000) as usize);
    let unit = if places >= 0 { RBig::from_parts(1.into(), power) } else { RBig::from(power) };
    unit / RBig::from(2)
}

/// Whether the expression lies within `radius` of `center`.
pub(crate) fn near(node: &Node, center: &RBig, radius: &RBig) -> Option<bool> {
    if let Ok(value) = exact::value(node) {
        return Some((value - center.clone()).abs() <= *radius);
    }
    if !node.variables().is_empty() {
        return None;
    }
    for branch in &READINGS[..2] {
        if let Some(z) = numeric::evaluate::<Interval>(node, &[], 53, *branch) {
            if !z.is_real() {
                continue;
            }
            let c = Interval::rational(center, 53);
            let r = Interval::rational(radius, 53);
            let gap = z.re.add(&c.neg());
            if gap.lo >= -r.lo && gap.hi <= r.lo {
                return Some(true);
            }
            if gap.lo > r.hi || gap.hi < -r.hi {
                if branch.real_roots {
                    continue;
                }
                return Some(false);
            }
        }
    }
    None
}

/// Whether the two agree as a decimal and what it was rounded from.
///
/// A reference with three or more significant digits is met by everything that rounds to it. One of
/// two digits may be exact or rounded, so that it is undecided whether 1/6 meets 0.17; a short decimal
/// does not. An exact fraction is met by a decimal of four or more digits that it rounds to.
pub(crate) fn rounded(gold: &Node, pred: &Node) -> Option<Decision> {
    if let Some((value, places, digits)) = decimal(gold) {
        let long = match decimal(pred) {
            Some((_, p, d)) => p > places && d >= digits + 3,
            None => match exact::value(pred) {
                Ok(v) => !terminates(&v),
                Err(_) => true,
            },
        };
        let enough = digits >= 3 || (digits == 2 && long);
        let met = if digits >= 3 {
            Decision::Equal(Proof::Certified)
        } else {
            Decision::Unknown("a reference of two digits may be exact or rounded")
        };
        // Calculators cut off rather than round: a whole unit for long decimals of exact values.
        let radius = half_unit(places);
        let radius = if digits >= 8 && decimal(pred).is_none() { radius * RBig::from(2) } else { radius };
        if enough && near(pred, &value, &radius)? {
            // A decimal with fewer digits than the reference is no better approximation.
            let coarser = decimal(pred).is_some_and(|(_, p, _)| p < places)
                || matches!(exact::value(pred), Ok(v) if exact::is_integer(&v) && decimal(pred).is_none());
            if !coarser {
                return Some(met);
            }
        }
        return None;
    }
    if let Some((value, places, digits)) = decimal(pred)
        && digits >= 4
        && let Ok(exact) = exact::value(gold)
        && !terminates(&exact)
        && (exact - value).abs() <= half_unit(places)
    {
        return Some(Decision::Equal(Proof::Certified));
    }
    None
}

/// Whether a fraction has a finite decimal expansion.
fn terminates(value: &RBig) -> bool {
    let mut q = value.denominator().clone();
    for d in [2u8, 5] {
        let d = UBig::from(d);
        let mut steps = 0;
        while &q % &d == UBig::ZERO && steps < 20_000 {
            q /= &d;
            steps += 1;
        }
    }
    q == UBig::ONE
}
