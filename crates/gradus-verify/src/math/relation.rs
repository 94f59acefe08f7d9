//! Equations: when two of them say the same.

use dashu::rational::RBig;

use super::ast::{Node, Rel};
use super::equal::{self, Decision};
use super::field;
use super::interval::Interval;
use super::numeric::{self, Branch, Real};
use super::polynomial;
use crate::Proof;

const SEEDS: [u64; 3] = [0x51ed_270b_1234_5601, 0x2545_f491_4f6c_dd1d, 0x9e37_79b9_0000_0001];

/// Whether a node is a relation that describes a set of numbers.
pub(crate) fn is_set_relation(node: &Node) -> bool {
    match node {
        Node::Rel(_, rels) => rels.iter().any(|r| r.is_order() || matches!(r, Rel::In | Rel::NotIn | Rel::Ne)),
        _ => false,
    }
}

/// What a chain of equalities ends in: the last side before an approximation.
pub(crate) fn final_value<'a>(sides: &'a [Node], rels: &[Rel]) -> &'a Node {
    if matches!(rels.first(), Some(Rel::Approx)) && !matches!(sides[0], Node::Var(_) | Node::Apply(..)) {
        return &sides[0];
    }
    let exact = rels.iter().take_while(|r| !matches!(r, Rel::Approx)).count();
    let index = if exact == 0 { sides.len().min(2) - 1 } else { exact };
    &sides[index.min(sides.len() - 1)]
}

/// Renames the arguments of a defined function, if they are plain names.
pub(crate) fn rename(to: &[Node], from: &[Node], body: &Node) -> Option<Node> {
    if to.len() != from.len() {
        return None;
    }
    let mut out = body.clone();
    for (t, f) in to.iter().zip(from) {
        let (Node::Var(_), Node::Var(f)) = (t, f) else { return None };
        out = out.substitute(f, t);
    }
    Some(out)
}

/// Two equations, as zero sets.
pub(crate) fn equations(a: &Node, b: &Node, c: &Node, d: &Node) -> Decision {
    let f = a.clone().minus(b.clone());
    let g = c.clone().minus(d.clone());
    if !super::structure::is_scalar(&f) || !super::structure::is_scalar(&g) {
        return Decision::Unknown("no scalar equations");
    }
    if f.variables().is_empty() && g.variables().is_empty() {
        // Two statements about numbers: each side has its counterpart.
        let (left, right) = (equal::scalars(a, c), equal::scalars(b, d));
        return match (left, right) {
            (Decision::Equal(p), Decision::Equal(q)) => Decision::Equal(equal::weaker(p, q)),
            (Decision::Different(why), _) | (_, Decision::Different(why)) => Decision::Different(why),
            (unknown, _) => unknown,
        };
    }
    if f.variables() != g.variables() {
        // A variable that drops out of one side is rare; the zero sets differ otherwise.
        return Decision::different("the equations have different unknowns");
    }
    match (vanishes(&f), vanishes(&g)) {
        (true, true) => {
            let sides = equal::scalars(a, c);
            return if sides.is_equal() { sides } else { Decision::Unknown("both equations hold everywhere") };
        }
        (false, false) => {}
        _ => return Decision::different("one equation holds everywhere"),
    }
    if let Some(decision) = constant_multiple(&f, &g)
        && decision.is_equal()
    {
        return decision;
    }
    if f.variables().len() == 1
        && let Some(decision) = polynomial::same_roots(&f, &g)
    {
        return decision;
    }
    numeric_multiple(&f, &g, false)
}

/// Whether an expression is zero as far as field elements tell.
fn vanishes(f: &Node) -> bool {
    SEEDS[..2].iter().all(|seed| field::fingerprint(f, *seed).is_some_and(|p| p.element.is_zero()))
}

/// Whether g is a positive multiple of f.
pub(crate) fn positive_multiple(f: &Node, g: &Node) -> Option<Decision> {
    if !super::structure::is_scalar(f) || !super::structure::is_scalar(g) || f.variables() != g.variables() {
        return None;
    }
    Some(numeric_multiple(f, g, true))
}

/// The quotient is the same field element at different points: a constant.
fn constant_multiple(f: &Node, g: &Node) -> Option<Decision> {
    let mut ratio = None;
    for seed in SEEDS {
        let (x, y) = (field::fingerprint(f, seed)?, field::fingerprint(g, seed)?);
        if x.element.is_zero() || y.element.is_zero() {
            return None;
        }
        let here = field::quotient(x.element, y.element)?;
        match ratio {
            None => ratio = Some(here),
            Some(r) if r == here => {}
            Some(_) => return Some(Decision::different("the equations are no multiples of each other")),
        }
    }
    Some(Decision::Equal(Proof::Probabilistic { bits: 80 }))
}

/// The quotient as an enclosure at sample points.
fn numeric_multiple(f: &Node, g: &Node, positive: bool) -> Decision {
    let variables = f.variables();
    let whole = equal::integer_variables(f, g, &variables);
    let branch = Branch { real_roots: true, decimal_log: false };
    let mut ratio: Option<Interval> = None;
    let mut points = 0;
    for round in 0..16 {
        let env = equal::point(&variables, &whole, round);
        let x = numeric::evaluate::<Interval>(f, &env, 53, branch);
        let y = numeric::evaluate::<Interval>(g, &env, 53, branch);
        let (Some(x), Some(y)) = (x, y) else { continue };
        if !x.is_real() || !y.is_real() {
            continue;
        }
        let Some(inverse) = x.re.inv() else { continue };
        let here = y.re.mul(&inverse);
        if !here.positive() && !here.negative() {
            continue;
        }
        if !here.is_finite() || here.width() > 1e-3 * here.midpoint().abs() {
            continue;
        }
        if positive && !here.positive() {
            return Decision::different("the sides are exchanged");
        }
        match &ratio {
            None => ratio = Some(here),
            Some(r) if r.overlaps(&here) => {}
            Some(_) => return Decision::different("the relations are no multiples of each other"),
        }
        points += 1;
    }
    if points < 4 {
        return Decision::Unknown("too few points where both sides are defined");
    }
    // The quotient is constant in double precision; its exact value decides at high precision.
    let env = equal::point(&variables, &whole, 1);
    let at = |n: &Node| {
        env.iter().fold(n.clone(), |acc, (name, value): &(Box<str>, RBig)| {
            acc.substitute(name, &Node::rational(value.clone()))
        })
    };
    let (f0, g0) = (at(f), at(g));
    equal::scalars(&Node::Mul(vec![f.clone(), g0]), &Node::Mul(vec![g.clone(), f0]))
}
