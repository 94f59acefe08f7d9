//! Univariate polynomials over the rationals: real zero sets of equations.

use dashu::base::Signed;
use dashu::rational::RBig;

use super::ast::Node;
use super::equal::Decision;
use super::exact;
use crate::Proof;

/// Coefficients from the constant up; no trailing zeros.
type Poly = Vec<RBig>;

const MAX_DEGREE: usize = 24;

fn trim(mut p: Poly) -> Poly {
    while p.last().is_some_and(RBig::is_zero) {
        p.pop();
    }
    p
}

fn add(a: &Poly, b: &Poly) -> Poly {
    let mut out = a.clone();
    out.resize(a.len().max(b.len()), RBig::ZERO);
    for (k, c) in b.iter().enumerate() {
        out[k] += c.clone();
    }
    trim(out)
}

fn mul(a: &Poly, b: &Poly) -> Option<Poly> {
    if a.is_empty() || b.is_empty() {
        return Some(Vec::new());
    }
    if a.len() + b.len() > MAX_DEGREE + 2 {
        return None;
    }
    let mut out = vec![RBig::ZERO; a.len() + b.len() - 1];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            out[i + j] += x.clone() * y.clone();
        }
    }
    Some(trim(out))
}

fn divide(a: &Poly, b: &Poly) -> Option<(Poly, Poly)> {
    let lead = b.last()?.clone();
    let mut rest = a.clone();
    let mut quotient = vec![RBig::ZERO; a.len().saturating_sub(b.len()) + 1];
    while rest.len() >= b.len() && !rest.is_empty() {
        let shift = rest.len() - b.len();
        let factor = rest.last()?.clone() / lead.clone();
        for (k, c) in b.iter().enumerate() {
            let delta = factor.clone() * c.clone();
            rest[shift + k] -= delta;
        }
        quotient[shift] = factor;
        rest.pop();
        rest = trim(rest);
    }
    Some((trim(quotient), rest))
}

fn gcd(a: &Poly, b: &Poly) -> Poly {
    let (mut x, mut y) = (a.clone(), b.clone());
    while !y.is_empty() {
        let Some((_, rest)) = divide(&x, &y) else { break };
        x = y;
        y = monic(rest);
    }
    monic(x)
}

fn monic(p: Poly) -> Poly {
    match p.last().cloned() {
        Some(lead) => p.into_iter().map(|c| c / lead.clone()).collect(),
        None => p,
    }
}

fn derivative(p: &Poly) -> Poly {
    trim(p.iter().enumerate().skip(1).map(|(k, c)| c.clone() * RBig::from(k as u64)).collect())
}

fn square_free(p: &Poly) -> Poly {
    if p.len() < 3 {
        return monic(p.clone());
    }
    let common = gcd(p, &derivative(p));
    divide(p, &common).map_or_else(|| p.clone(), |(q, _)| monic(q))
}

/// Numerator and denominator of a rational function of one variable.
fn rational(node: &Node, variable: &str) -> Option<(Poly, Poly)> {
    if let Ok(value) = exact::value(node) {
        return Some((trim(vec![value]), vec![RBig::ONE]));
    }
    match node {
        Node::Var(v) if &**v == variable => Some((vec![RBig::ZERO, RBig::ONE], vec![RBig::ONE])),
        Node::Neg(a) => {
            let (p, q) = rational(a, variable)?;
            Some((p.into_iter().map(|c| -c).collect(), q))
        }
        Node::Add(items) => {
            let mut sum = (Vec::new(), vec![RBig::ONE]);
            for item in items {
                let (p, q) = rational(item, variable)?;
                let top = add(&mul(&sum.0, &q)?, &mul(&p, &sum.1)?);
                sum = (top, mul(&sum.1, &q)?);
            }
            Some(sum)
        }
        Node::Mul(items) => {
            let mut out = (vec![RBig::ONE], vec![RBig::ONE]);
            for item in items {
                let (p, q) = rational(item, variable)?;
                out = (mul(&out.0, &p)?, mul(&out.1, &q)?);
            }
            Some(out)
        }
        Node::Div(a, b) => {
            let (p, q) = rational(a, variable)?;
            let (r, s) = rational(b, variable)?;
            if r.is_empty() {
                return None;
            }
            Some((mul(&p, &s)?, mul(&q, &r)?))
        }
        Node::Pow(a, n) => {
            let n = exact::small(&exact::value(n).ok()?)?;
            if n.unsigned_abs() > MAX_DEGREE as u64 {
                return None;
            }
            let (p, q) = rational(a, variable)?;
            let (p, q) = if n < 0 { (q, p) } else { (p, q) };
            let mut out = (vec![RBig::ONE], vec![RBig::ONE]);
            for _ in 0..n.unsigned_abs() {
                out = (mul(&out.0, &p)?, mul(&out.1, &q)?);
            }
            if out.1.is_empty() { None } else { Some(out) }
        }
        _ => None,
    }
}

/// Zeros in the domain: the numerator without what it shares with the denominator.
fn zeros(node: &Node, variable: &str) -> Option<Poly> {
    let (p, q) = rational(node, variable)?;
    if p.is_empty() {
        return None;
    }
    let p = square_free(&p);
    let common = gcd(&p, &q);
    Some(if common.len() > 1 { monic(divide(&p, &common)?.0) } else { p })
}

/// Number of real roots of a square-free polynomial (Sturm 1829).
fn real_roots(p: &Poly) -> Option<usize> {
    if p.len() < 2 {
        return Some(0);
    }
    let mut chain = vec![p.clone(), derivative(p)];
    while chain.last().is_some_and(|q| q.len() > 1) {
        let n = chain.len();
        let (_, rest) = divide(&chain[n - 2], &chain[n - 1])?;
        if rest.is_empty() {
            break;
        }
        // Positive scaling keeps the signs and the coefficients small.
        let scale = rest.last()?.clone();
        let scale = if scale.is_negative() { -scale } else { scale };
        chain.push(rest.into_iter().map(|c| -c / scale.clone()).collect());
    }
    let changes = |at_plus: bool| {
        let signs: Vec<bool> = chain
            .iter()
            .filter_map(|q| {
                let lead = q.last()?;
                let odd = q.len() % 2 == 0;
                Some(lead.is_negative() != (odd && !at_plus))
            })
            .collect();
        signs.windows(2).filter(|w| w[0] != w[1]).count()
    };
    Some(changes(false).saturating_sub(changes(true)))
}

/// The integral of a polynomial between two numbers.
pub(crate) fn integral(body: &Node, variable: &str, lo: &RBig, hi: &RBig) -> Option<RBig> {
    let (p, q) = rational(body, variable)?;
    let [scale] = q.as_slice() else { return None };
    let (mut below, mut above) = (RBig::ZERO, RBig::ZERO);
    for (k, c) in p.iter().enumerate().rev() {
        let c = c.clone() / RBig::from(k as u64 + 1);
        below = (below + c.clone()) * lo.clone();
        above = (above + c) * hi.clone();
    }
    Some((above - below) / scale.clone())
}

/// Whether two rational equations in one unknown have the same real solutions.
pub(crate) fn same_roots(f: &Node, g: &Node) -> Option<Decision> {
    let variable = f.variables().into_iter().next()?;
    let (p, q) = (zeros(f, &variable)?, zeros(g, &variable)?);
    if p == q {
        return Some(Decision::Equal(Proof::Exact));
    }
    let common = gcd(&p, &q);
    let (left, right) = (divide(&p, &common)?.0, divide(&q, &common)?.0);
    if real_roots(&left)? == 0 && real_roots(&right)? == 0 && real_roots(&common)? > 0 {
        return Some(Decision::Equal(Proof::Exact));
    }
    Some(Decision::different("the equations have different solutions"))
}
