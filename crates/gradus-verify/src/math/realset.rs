//! Sets of real numbers as unions of intervals with symbolic ends: inequalities, interval notation
//! and set operations all become one of these, and are compared piece by piece.

use super::ast::{Const, Fun, Join, Node, Rel, SetOp};
use super::equal::{self, Decision};
use super::exact;
use super::interval::Interval;
use super::numeric::{self, Branch, Real};
use crate::Proof;

#[derive(Debug, Clone)]
pub(crate) enum End {
    Minus,
    Plus,
    At(Node, f64),
}

#[derive(Debug, Clone)]
pub(crate) struct Piece {
    lo: End,
    hi: End,
    lo_closed: bool,
    hi_closed: bool,
}

/// Sorted, disjoint, merged.
pub(crate) type RealSet = Vec<Piece>;

const MAX_PIECES: usize = 200;
const BRANCH: Branch = Branch { real_roots: true, decimal_log: false };

fn end(node: &Node) -> Option<End> {
    match node {
        Node::Const(Const::Infinity) => Some(End::Plus),
        Node::Neg(inner) if matches!(**inner, Node::Const(Const::Infinity)) => Some(End::Minus),
        Node::Percent(inner) if matches!(**inner, Node::Const(Const::Infinity)) => Some(End::Plus),
        Node::Degree(inner) => end(inner),
        _ => {
            let z = numeric::evaluate::<Interval>(node, &[], 53, BRANCH)?;
            (z.is_real() && z.re.is_finite()).then(|| End::At(node.clone(), z.re.midpoint()))
        }
    }
}

impl End {
    fn approx(&self) -> f64 {
        match self {
            Self::Minus => f64::NEG_INFINITY,
            Self::Plus => f64::INFINITY,
            Self::At(_, x) => *x,
        }
    }
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Minus, Self::Minus) | (Self::Plus, Self::Plus) => true,
            (Self::At(a, x), Self::At(b, y)) => {
                (x - y).abs() <= 1e-6 * (1.0 + x.abs()) && equal::scalars(a, b).is_equal()
            }
            _ => false,
        }
    }
    fn below(&self, other: &Self) -> bool {
        !self.same(other) && self.approx() < other.approx()
    }
}

fn normal(mut pieces: RealSet) -> RealSet {
    pieces.retain(|p| p.lo.below(&p.hi) || (p.lo.same(&p.hi) && p.lo_closed && p.hi_closed));
    pieces.sort_by(|a, b| a.lo.approx().total_cmp(&b.lo.approx()).then(b.lo_closed.cmp(&a.lo_closed)));
    let mut out: RealSet = Vec::new();
    for piece in pieces {
        if let Some(last) = out.last_mut() {
            let touches = piece.lo.below(&last.hi) || (piece.lo.same(&last.hi) && (piece.lo_closed || last.hi_closed));
            if touches {
                if piece.lo.same(&last.lo) {
                    last.lo_closed |= piece.lo_closed;
                }
                if last.hi.same(&piece.hi) {
                    last.hi_closed |= piece.hi_closed;
                } else if last.hi.below(&piece.hi) {
                    last.hi = piece.hi;
                    last.hi_closed = piece.hi_closed;
                }
                continue;
            }
        }
        out.push(piece);
    }
    out
}

fn complement(set: &RealSet) -> RealSet {
    let mut out = Vec::new();
    let (mut lo, mut closed) = (End::Minus, false);
    for piece in set {
        out.push(Piece { lo, hi: piece.lo.clone(), lo_closed: closed, hi_closed: !piece.lo_closed });
        lo = piece.hi.clone();
        closed = !piece.hi_closed;
    }
    out.push(Piece { lo, hi: End::Plus, lo_closed: closed, hi_closed: false });
    out.retain(|p| !matches!((&p.lo, &p.hi), (End::Minus, End::Minus) | (End::Plus, End::Plus)));
    normal(out)
}

fn intersection(a: &RealSet, b: &RealSet) -> RealSet {
    let mut all = complement(a);
    all.extend(complement(b));
    complement(&normal(all))
}

fn whole() -> RealSet {
    vec![Piece { lo: End::Minus, hi: End::Plus, lo_closed: false, hi_closed: false }]
}

fn point(node: &Node) -> Option<Piece> {
    let at = end(node)?;
    matches!(at, End::At(..)).then(|| Piece { lo: at.clone(), hi: at, lo_closed: true, hi_closed: true })
}

/// The set a node denotes. `pair` says whether `(a, b)` is an interval here.
pub(crate) fn of(node: &Node, pair: bool) -> Option<RealSet> {
    of_at(node, pair, 0)
}

fn of_at(node: &Node, pair: bool, depth: u32) -> Option<RealSet> {
    if depth > 70 {
        return None;
    }
    let set = match node {
        Node::NamedSet('R') => whole(),
        Node::Tuple(open, items, close) if items.len() == 2 && pair => {
            if !matches!(open, '(' | '[') || !matches!(close, ')' | ']') {
                return None;
            }
            vec![Piece { lo: end(&items[0])?, hi: end(&items[1])?, lo_closed: *open == '[', hi_closed: *close == ']' }]
        }
        Node::Set(items) => {
            let mut out = Vec::new();
            for item in items {
                out.push(point(item)?);
            }
            out
        }
        Node::SetOp(op, a, b) => {
            let (a, b) = (of_at(a, true, depth + 1)?, of_at(b, true, depth + 1)?);
            match op {
                SetOp::Union => [a, b].concat(),
                SetOp::Intersection => intersection(&normal(a), &normal(b)),
                SetOp::Minus => intersection(&normal(a), &complement(&normal(b))),
            }
        }
        Node::Builder(element, condition) => match (&**element, &**condition) {
            (Node::Var(_), condition) => of_at(condition, true, depth + 1)?,
            (Node::Rel(sides, rels), condition) if *rels == [Rel::In] => {
                let domain = of_at(&sides[1], true, depth + 1)?;
                intersection(&normal(domain), &normal(of_at(condition, true, depth + 1)?))
            }
            _ => return None,
        },
        Node::Rel(sides, rels) => relation(sides, rels, depth)?,
        Node::List(items, join) => {
            // `x \ne -1, 4` excludes both.
            if let Some(Node::Rel(sides, rels)) = items.first()
                && *rels == [Rel::Ne]
            {
                let mut out = whole();
                for item in items {
                    let excluded = match item {
                        Node::Rel(..) => of_at(item, true, depth + 1)?,
                        value => relation(&[sides[0].clone(), value.clone()], rels, depth + 1)?,
                    };
                    out = intersection(&out, &normal(excluded));
                }
                return Some(out);
            }
            let relations = items.iter().all(|i| matches!(i, Node::Rel(..)));
            if !relations && !pair {
                return None;
            }
            let mut sets = Vec::new();
            for item in items {
                let set = match item {
                    Node::Rel(..) | Node::Tuple(..) | Node::SetOp(..) | Node::Set(_) | Node::Builder(..) => {
                        of_at(item, true, depth + 1)?
                    }
                    item => vec![point(item)?],
                };
                sets.push(normal(set));
            }
            let union = || normal(sets.concat());
            let meet = || sets[1..].iter().fold(sets[0].clone(), |acc, s| intersection(&acc, s));
            match join {
                Join::Or => union(),
                Join::And | Join::Comma => {
                    // "x > 0 and x != 1" meets; "x < -1 and x > 1" can only mean both parts.
                    let both = if relations { meet() } else { Vec::new() };
                    if both.is_empty() { union() } else { both }
                }
            }
        }
        _ => return None,
    };
    if set.len() > MAX_PIECES {
        return None;
    }
    Some(normal(set))
}

/// Solves a chain of relations in one variable, linear between closed bounds.
fn relation(sides: &[Node], rels: &[Rel], depth: u32) -> Option<RealSet> {
    if *rels == [Rel::In] {
        return match &sides[0] {
            Node::Var(_) => of_at(&sides[1], true, depth + 1),
            _ => None,
        };
    }
    if *rels == [Rel::NotIn] {
        return match &sides[0] {
            Node::Var(_) => Some(complement(&normal(of_at(&sides[1], true, depth + 1)?))),
            _ => None,
        };
    }
    let mut out = whole();
    for (k, rel) in rels.iter().enumerate() {
        let (left, right) = (&sides[k], &sides[k + 1]);
        let part = match (left.variables().len(), right.variables().len()) {
            (1, 0) => bound(left, *rel, right)?,
            (0, 1) => bound(right, rel.flip(), left)?,
            (1, 1) if left.variables() == right.variables() => {
                let difference = left.clone().minus(right.clone());
                bound(&difference, *rel, &Node::int(0))?
            }
            _ => return None,
        };
        out = intersection(&out, &normal(part));
    }
    Some(out)
}

/// `expression rel value` for an expression linear in its one variable, or the absolute value of
/// one.
fn bound(expression: &Node, rel: Rel, value: &Node) -> Option<RealSet> {
    if let Node::PlusMinus(..) = value {
        let both = super::structure::expand(value);
        let mut out = match rel {
            Rel::Ne => whole(),
            Rel::Eq => Vec::new(),
            _ => return None,
        };
        for item in both {
            let part = normal(bound(expression, rel, &item)?);
            out = if rel == Rel::Ne { intersection(&out, &part) } else { [out, part].concat() };
        }
        return Some(out);
    }
    if let Node::Call(Fun::Abs, args) = expression {
        let inner = args.first()?;
        let negative = value.clone().neg();
        return match rel {
            Rel::Lt | Rel::Le => {
                Some(intersection(&normal(bound(inner, rel, value)?), &normal(bound(inner, rel.flip(), &negative)?)))
            }
            Rel::Gt | Rel::Ge | Rel::Eq => {
                Some([bound(inner, rel, value)?, bound(inner, rel.flip(), &negative)?].concat())
            }
            _ => None,
        };
    }
    let variable = expression.variables().into_iter().next()?;
    let at = |x: i64| expression.substitute(&variable, &Node::int(x));
    let (zero, one) = (at(0), at(1));
    let slope = one.minus(zero.clone());
    let line = Node::Add(vec![Node::Mul(vec![slope.clone(), Node::Var(variable.clone())]), zero.clone()]);
    if !equal::scalars(expression, &line).is_equal() {
        return None;
    }
    let direction = numeric::evaluate::<Interval>(&slope, &[], 53, BRANCH)?;
    let positive = if direction.re.positive() {
        true
    } else if direction.re.negative() {
        false
    } else {
        return None;
    };
    let root = match expression {
        Node::Var(_) => value.clone(),
        _ => Node::Div(Box::new(value.clone().minus(zero)), Box::new(slope)),
    };
    let root = match exact::value(&root) {
        Ok(value) if super::equal::decimal(&root).is_none() => Node::rational(value),
        _ => root,
    };
    let at = end(&root)?;
    let rel = if positive { rel } else { rel.flip() };
    let piece = |lo: End, hi: End, lo_closed: bool, hi_closed: bool| vec![Piece { lo, hi, lo_closed, hi_closed }];
    Some(match rel {
        Rel::Lt => piece(End::Minus, at, false, false),
        Rel::Le => piece(End::Minus, at, false, true),
        Rel::Gt => piece(at, End::Plus, false, false),
        Rel::Ge => piece(at, End::Plus, true, false),
        Rel::Eq => piece(at.clone(), at, true, true),
        Rel::Ne => complement(&piece(at.clone(), at, true, true)),
        _ => return None,
    })
}

/// Compares two sets piece by piece.
pub(crate) fn compare(gold: &RealSet, pred: &RealSet) -> Decision {
    if gold.len() != pred.len() {
        return Decision::Different(format!("{} pieces against {}", gold.len(), pred.len()));
    }
    let mut proof = Proof::Exact;
    for (g, p) in gold.iter().zip(pred) {
        if g.lo_closed != p.lo_closed || g.hi_closed != p.hi_closed {
            return Decision::different("an end is open on one side and closed on the other");
        }
        for (a, b) in [(&g.lo, &p.lo), (&g.hi, &p.hi)] {
            match (a, b) {
                (End::Minus, End::Minus) | (End::Plus, End::Plus) => {}
                (End::At(x, _), End::At(y, _)) => match super::structure::values(x, y) {
                    Decision::Equal(p) => proof = equal::weaker(proof, p),
                    other => return other,
                },
                _ => return Decision::different("an end is finite on one side only"),
            }
        }
    }
    Decision::Equal(proof)
}
