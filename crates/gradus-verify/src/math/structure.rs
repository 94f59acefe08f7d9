//! Comparison of whole answers: lists, sets, tuples, matrices, relations, quantities.

mod relations;

use dashu::rational::RBig;

use super::ast::{Const, Join, Node, Rel, SetOp};
use super::equal::{self, Decision, scalars, weaker};
use super::exact;
use super::realset;
use super::relation;
use crate::{Proof, Tolerance};

/// Items compared in one matching; beyond it the answer is left undecided.
const MAX_ITEMS: usize = 80;

/// Compares reference and prediction.
pub(crate) fn compare(gold: &Node, pred: &Node, tolerance: Option<Tolerance>) -> Decision {
    Judge { tolerance, fuel: 6000, depth: 0 }.compare(gold, pred)
}

/// Compares two values at the reference's precision, without tolerance.
pub(crate) fn values(gold: &Node, pred: &Node) -> Decision {
    Judge { tolerance: None, fuel: 200, depth: 0 }.value(gold, pred)
}

pub(super) struct Judge {
    tolerance: Option<Tolerance>,
    fuel: u32,
    depth: u32,
}

impl Judge {
    fn compare(&mut self, gold: &Node, pred: &Node) -> Decision {
        let Some(fuel) = self.fuel.checked_sub(1) else {
            return Decision::Unknown("too many comparisons");
        };
        self.fuel = fuel;
        self.depth += 1;
        let out = if self.depth > 100 { Decision::Unknown("nested too deeply") } else { self.inner(gold, pred) };
        self.depth -= 1;
        out
    }

    fn inner(&mut self, gold: &Node, pred: &Node) -> Decision {
        if gold == pred {
            return Decision::Equal(Proof::Exact);
        }
        match (gold, pred) {
            (Node::Text(a), b) | (b, Node::Text(a)) => return text_against(a, b),
            (Node::Time(a, _), Node::Time(b, _)) => {
                return if a == b {
                    Decision::Equal(Proof::Exact)
                } else {
                    Decision::different("they are different times of day")
                };
            }
            (Node::Time(a, _), Node::Ratio(parts)) | (Node::Ratio(parts), Node::Time(a, _)) => {
                let clock = match parts.as_slice() {
                    [h, m] => exact::value(h).ok().zip(exact::value(m).ok()),
                    _ => None,
                };
                if let Some((h, m)) = clock {
                    let minutes = h * RBig::from(60) + m;
                    let same = minutes == RBig::from(*a) || minutes.clone() + RBig::from(720) == RBig::from(*a);
                    return if same {
                        Decision::Equal(Proof::Exact)
                    } else {
                        Decision::different("they are different times of day")
                    };
                }
            }
            (Node::Matrix(a), Node::Matrix(b)) => return self.matrices(a, b),
            (Node::Matrix(a), Node::Tuple(_, b, _)) | (Node::Tuple(_, b, _), Node::Matrix(a)) => {
                if let Some(flat) = vector(a) {
                    let swap = matches!(pred, Node::Matrix(_));
                    let (x, y): (Vec<Node>, Vec<Node>) = if swap { (b.clone(), flat) } else { (flat, b.clone()) };
                    return self.ordered(&x, &y);
                }
                return Decision::different("a matrix is no tuple");
            }
            _ => {}
        }
        if let Some(decision) = self.matrix_values(gold, pred) {
            return decision;
        }
        if matches!(gold, Node::Rel(..)) || matches!(pred, Node::Rel(..)) {
            return self.relations(gold, pred);
        }
        if (is_set_like(gold) || is_set_like(pred))
            && let Some(decision) = self.sets(gold, pred)
        {
            return decision;
        }
        match (gold, pred) {
            (Node::Tuple(o1, a, c1), Node::Tuple(o2, b, c2)) => {
                if a.len() == 2 && b.len() == 2 && bracket_mismatch(*o1, *c1, *o2, *c2) {
                    return Decision::different("the brackets differ");
                }
                return self.ordered(a, b);
            }
            (Node::List(items, Join::Or), Node::Tuple(..)) | (Node::Tuple(..), Node::List(items, Join::Or))
                if items.len() > 1 =>
            {
                return Decision::different("alternatives are no tuple");
            }
            (Node::List(a, _), Node::Tuple(_, b, _)) | (Node::Tuple(_, a, _), Node::List(b, _)) => {
                if repeats_a_name(a) || repeats_a_name(b) {
                    return Decision::different("several values of one unknown are no tuple");
                }
                let signs = |n: &Node| n.any(&|m| matches!(m, Node::PlusMinus(..)));
                let (tuple, list) = if matches!(gold, Node::Tuple(..)) { (gold, pred) } else { (pred, gold) };
                if signs(tuple) && !signs(list) {
                    let (x, y) = (
                        items_of(gold).unwrap_or_else(|| vec![gold.clone()]),
                        items_of(pred).unwrap_or_else(|| vec![pred.clone()]),
                    );
                    return self.unordered(&x, &y, true);
                }
                let (a, b) = (expand_all(a), expand_all(b));
                return self.ordered(&a, &b);
            }
            (Node::Set(a), Node::Tuple(_, b, _)) | (Node::Tuple(_, a, _), Node::Set(b)) => {
                if a.len() == 1 && matches!(gold, Node::Set(_)) {
                    return self.compare(&a[0], pred);
                }
                if b.len() == 1 && matches!(pred, Node::Set(_)) {
                    return self.compare(gold, &b[0]);
                }
                return Decision::different("a set is no tuple");
            }
            _ => {}
        }
        let (a, b) = (items_of(gold), items_of(pred));
        if a.is_some() || b.is_some() {
            let as_set = matches!(gold, Node::Set(_)) || matches!(pred, Node::Set(_));
            let a = a.unwrap_or_else(|| vec![gold.clone()]);
            let b = b.unwrap_or_else(|| vec![pred.clone()]);
            return self.unordered(&a, &b, as_set);
        }
        if matches!(gold, Node::Tuple(..)) || matches!(pred, Node::Tuple(..)) {
            return Decision::different("a tuple is no number");
        }
        if let (Node::Apply(n1, a), Node::Apply(n2, b)) = (gold, pred)
            && n1 == n2
            && a.len() == b.len()
            && &**n1 == "cases"
        {
            return self.ordered(a, b);
        }
        self.quantity(gold, pred)
    }

    fn matrices(&mut self, a: &[Vec<Node>], b: &[Vec<Node>]) -> Decision {
        let shape = |m: &[Vec<Node>]| (m.len(), m.first().map_or(0, Vec::len));
        if shape(a) != shape(b) {
            return match (vector(a), vector(b)) {
                // A row and a column of the same numbers name the same vector.
                (Some(x), Some(y)) if x.len() == y.len() => self.ordered(&x, &y),
                _ => Decision::different("the matrices have different shapes"),
            };
        }
        let (x, y): (Vec<Node>, Vec<Node>) =
            (a.iter().flatten().cloned().collect(), b.iter().flatten().cloned().collect());
        self.ordered(&x, &y)
    }

    /// Sums, multiples and products of matrices are computed first.
    fn matrix_values(&mut self, gold: &Node, pred: &Node) -> Option<Decision> {
        let compound = |n: &Node| {
            matches!(n, Node::Add(_) | Node::Mul(_) | Node::Div(..) | Node::Neg(_) | Node::Pow(..))
                && n.any(&|m| matches!(m, Node::Matrix(_)))
        };
        if !compound(gold) && !compound(pred) {
            return None;
        }
        let (a, b) = (super::matrix::value(gold), super::matrix::value(pred));
        match (a, b) {
            (Some(a), Some(b)) => Some(self.matrices(&a, &b)),
            _ => None,
        }
    }

    fn ordered(&mut self, a: &[Node], b: &[Node]) -> Decision {
        if a.len() != b.len() {
            return Decision::Different(format!("{} entries against {}", a.len(), b.len()));
        }
        let mut proof = Proof::Exact;
        let mut unknown = None;
        for (k, (x, y)) in a.iter().zip(b).enumerate() {
            let (x, y) = (strip_assignment(x), strip_assignment(y));
            match self.compare(x, y) {
                Decision::Equal(p) => proof = weaker(proof, p),
                Decision::Different(why) => {
                    return Decision::Different(format!("entry {} differs: {why}", k + 1));
                }
                Decision::Unknown(why) => unknown = Some(why),
            }
        }
        unknown.map_or(Decision::Equal(proof), Decision::Unknown)
    }

    /// Matches two collections; as sets, repeated elements count once.
    fn unordered(&mut self, a: &[Node], b: &[Node], as_set: bool) -> Decision {
        let (mut a, mut b) = (expand_all(a), expand_all(b));
        if a.len() > MAX_ITEMS || b.len() > MAX_ITEMS {
            return Decision::Unknown("too many items");
        }
        let dots = |items: &[Node]| items.iter().any(|i| i.any(&|n| matches!(n, Node::Dots)));
        if dots(&a) || dots(&b) {
            return self.ordered(&a, &b);
        }
        let tuples = a.iter().chain(&b).all(|n| matches!(n, Node::Tuple(..)));
        if as_set || tuples {
            self.dedupe(&mut a);
            self.dedupe(&mut b);
        }
        // Different unknowns: compare what is assigned to each name.
        if let Some(decision) = self.by_name(&a, &b) {
            return decision;
        }
        if a.len() != b.len() {
            return Decision::Different(format!("{} items against {}", a.len(), b.len()));
        }
        let mut used = vec![false; b.len()];
        let mut proof = Proof::Exact;
        let mut unknown = None;
        for x in &a {
            let mut found = false;
            let mut doubt = None;
            for (k, y) in b.iter().enumerate() {
                if used[k] {
                    continue;
                }
                match self.compare(strip_assignment(x), strip_assignment(y)) {
                    Decision::Equal(p) => {
                        used[k] = true;
                        proof = weaker(proof, p);
                        found = true;
                        break;
                    }
                    Decision::Unknown(why) => doubt = Some(why),
                    Decision::Different(_) => {}
                }
            }
            if !found {
                match doubt {
                    Some(why) => unknown = Some(why),
                    None => return Decision::different("an item of the reference has no partner"),
                }
            }
        }
        unknown.map_or(Decision::Equal(proof), Decision::Unknown)
    }

    /// `a = 1, b = 2` against `b = 2, a = 1`: names decide where both sides name everything
    /// differently and once.
    fn by_name(&mut self, a: &[Node], b: &[Node]) -> Option<Decision> {
        let names = |items: &[Node]| -> Option<Vec<Node>> {
            let mut out: Vec<Node> = Vec::new();
            for item in items {
                match item {
                    Node::Rel(sides, rels) if rels.len() == 1 && rels[0] == Rel::Eq => {
                        if out.contains(&sides[0]) || !matches!(sides[0], Node::Var(_)) {
                            return None;
                        }
                        out.push(sides[0].clone());
                    }
                    _ => return None,
                }
            }
            Some(out)
        };
        if let (Some(x), Some(y)) = (distinct(a), distinct(b))
            && x.len().max(y.len()) > 1
            && x != y
        {
            return Some(Decision::different("they name different unknowns"));
        }
        let (x, y) = (names(a)?, names(b)?);
        if x.len() != y.len() || x.len() < 2 {
            return None;
        }
        if !x.iter().all(|n| y.contains(n)) {
            return Some(Decision::different("they name different unknowns"));
        }
        let mut proof = Proof::Exact;
        for (item, name) in a.iter().zip(&x) {
            let k = y.iter().position(|n| n == name)?;
            match self.compare(strip_assignment(item), strip_assignment(&b[k])) {
                Decision::Equal(p) => proof = weaker(proof, p),
                other => return Some(other),
            }
        }
        Some(Decision::Equal(proof))
    }

    fn dedupe(&mut self, items: &mut Vec<Node>) {
        let mut out: Vec<Node> = Vec::new();
        for item in items.drain(..) {
            let repeated = out.iter().any(|o| self.compare(o, &item).is_equal());
            if !repeated {
                out.push(item);
            }
        }
        *items = out;
    }

    fn sets(&mut self, gold: &Node, pred: &Node) -> Option<Decision> {
        if let (Some(a), Some(b)) = (realset::of(gold, true), realset::of(pred, true)) {
            let decision = realset::compare(&a, &b);
            return Some(decision);
        }
        // Symbolic ends or families: union members side by side.
        let (a, b) = (union_members(gold), union_members(pred));
        if a.len() > 1 || b.len() > 1 {
            return Some(self.unordered(&a, &b, true));
        }
        match (gold, pred) {
            (Node::SetOp(o1, a, b), Node::SetOp(o2, c, d)) => {
                if o1 != o2 {
                    return Some(Decision::Unknown("different set operations"));
                }
                let first = self.compare(a, c);
                if !first.is_equal() {
                    return Some(first);
                }
                Some(self.compare(b, d))
            }
            (Node::Builder(e1, c1), Node::Builder(e2, c2)) => {
                let renamed = match (&**e1, &**e2) {
                    (Node::Var(x), Node::Var(y)) if x != y => c2.substitute(y, &Node::Var(x.clone())),
                    _ => (**c2).clone(),
                };
                let conditions = self.compare(c1, &renamed);
                if matches!((&**e1, &**e2), (Node::Var(_), Node::Var(_))) || !conditions.is_equal() {
                    return Some(conditions);
                }
                Some(self.compare(e1, e2))
            }
            (Node::NamedSet(a), Node::NamedSet(b)) => Some(if a == b {
                Decision::Equal(Proof::Exact)
            } else {
                Decision::different("they are different sets")
            }),
            (Node::Set(_) | Node::List(..), _)
            | (_, Node::Set(_) | Node::List(..))
            | (Node::Tuple(..), Node::Tuple(..)) => None,
            _ => Some(Decision::different("they are different kinds of set")),
        }
    }

    pub(super) fn value(&mut self, gold: &Node, pred: &Node) -> Decision {
        if let (Node::Ratio(a), Node::Ratio(b)) = (gold, pred) {
            return self.ratios(a, b);
        }
        if let Some(decision) = self.ratio_against_number(gold, pred) {
            return decision;
        }
        if let (Node::Based(_, Some(digits)), Node::Num(n)) | (Node::Num(n), Node::Based(_, Some(digits))) =
            (gold, pred)
        {
            // The base may go unsaid.
            if *digits == n.value {
                return Decision::Equal(Proof::Exact);
            }
        }
        let decision = if is_scalar(gold) && is_scalar(pred) {
            scalars(gold, pred)
        } else if gold.any(&|n| matches!(n, Node::PlusMinus(..))) || pred.any(&|n| matches!(n, Node::PlusMinus(..))) {
            let (a, b) = (expand(gold), expand(pred));
            if a.len() > 1 || b.len() > 1 {
                return self.unordered(&a, &b, true);
            }
            Decision::Unknown("a sign is open")
        } else {
            return self.piecewise(gold, pred);
        };
        if decision.is_equal() {
            return decision;
        }
        if let Some(tolerance) = self.tolerance
            && let Some(near) = super::quantity::within(gold, pred, tolerance)
        {
            return near;
        }
        equal::rounded(gold, pred).unwrap_or(decision)
    }

    /// Same operator, same parts: for what is no scalar.
    fn piecewise(&mut self, gold: &Node, pred: &Node) -> Decision {
        let parts = |n: &Node| {
            let mut out = Vec::new();
            n.each_child(&mut |c| out.push(c.clone()));
            out
        };
        let same_head = match (gold, pred) {
            (Node::Call(f, _), Node::Call(g, _)) => f == g,
            (Node::Apply(f, _), Node::Apply(g, _)) => f == g,
            (Node::Bind(a), Node::Bind(b)) => a.kind == b.kind && a.var == b.var,
            (Node::Pow(..), Node::Pow(..)) | (Node::Div(..), Node::Div(..)) | (Node::Neg(_), Node::Neg(_)) => true,
            (Node::Add(a), Node::Add(b)) | (Node::Mul(a), Node::Mul(b)) => a.len() == b.len(),
            (Node::Dots, Node::Dots) => return Decision::Equal(Proof::Exact),
            _ => false,
        };
        if !same_head {
            let opaque =
                |n: &Node| n.any(&|m| matches!(m, Node::Dots | Node::Text(_) | Node::Matrix(_) | Node::Bind(_)));
            return if opaque(gold) && opaque(pred) {
                Self::dotted(gold, pred)
            } else {
                Decision::different("they are different kinds of object")
            };
        }
        if matches!(gold, Node::Add(_)) {
            let decision = self.unordered(&parts(gold), &parts(pred), false);
            return match decision {
                Decision::Different(_) => Self::dotted(gold, pred),
                other => other,
            };
        }
        match self.ordered(&parts(gold), &parts(pred)) {
            Decision::Different(_) if gold.any(&|m| matches!(m, Node::Dots)) => Self::dotted(gold, pred),
            other => other,
        }
    }

    /// Expressions with an ellipsis: the dots become an unknown of their own.
    fn dotted(gold: &Node, pred: &Node) -> Decision {
        fn undot(node: &Node) -> Node {
            match node {
                Node::Dots => Node::Var("dots".into()),
                _ => node.map_children(&mut undot),
            }
        }
        let (a, b) = (undot(gold), undot(pred));
        if is_scalar(&a) && is_scalar(&b) {
            return scalars(&a, &b);
        }
        Decision::Unknown("no rule compares these")
    }

    fn ratios(&mut self, a: &[Node], b: &[Node]) -> Decision {
        if a.len() != b.len() {
            return Decision::different("the ratios have different lengths");
        }
        if a.iter().chain(b).any(|n| matches!(n, Node::Dots)) {
            return self.ordered(a, b);
        }
        let mut proof = Proof::Exact;
        for k in 1..a.len() {
            // a0 : ak = b0 : bk, cross-multiplied.
            let left = Node::Mul(vec![a[0].clone(), b[k].clone()]);
            let right = Node::Mul(vec![a[k].clone(), b[0].clone()]);
            match scalars(&left, &right) {
                Decision::Equal(p) => proof = weaker(proof, p),
                Decision::Different(_) => return Decision::different("the ratios differ"),
                unknown @ Decision::Unknown(_) => return unknown,
            }
        }
        Decision::Equal(proof)
    }

    fn ratio_against_number(&mut self, gold: &Node, pred: &Node) -> Option<Decision> {
        let (parts, number, gold_first) = match (gold, pred) {
            (Node::Ratio(parts), n) => (parts, n, true),
            (n, Node::Ratio(parts)) => (parts, n, false),
            _ => return None,
        };
        let [a, b] = parts.as_slice() else {
            return Some(Decision::different("a ratio of several parts is no number"));
        };
        let quotient = Node::Div(Box::new(a.clone()), Box::new(b.clone()));
        Some(if gold_first { self.value(&quotient, number) } else { self.value(number, &quotient) })
    }
}

/// Whether a node is an ordinary expression.
pub(crate) fn is_scalar(node: &Node) -> bool {
    !node.any(&|n| {
        matches!(
            n,
            Node::Tuple(..)
                | Node::Set(_)
                | Node::List(..)
                | Node::SetOp(..)
                | Node::NamedSet(_)
                | Node::Builder(..)
                | Node::Matrix(_)
                | Node::Rel(..)
                | Node::Time(..)
                | Node::Dots
                | Node::Text(_)
                | Node::PlusMinus(..)
        )
    })
}

fn is_set_like(node: &Node) -> bool {
    match node {
        Node::SetOp(..) | Node::NamedSet(_) | Node::Builder(..) => true,
        Node::List(items, _) => items.iter().any(|i| relation::is_set_relation(i) || matches!(i, Node::SetOp(..))),
        _ => false,
    }
}

fn bracket_mismatch(o1: char, c1: char, o2: char, c2: char) -> bool {
    let interval = |o: char, c: char| matches!(o, '(' | '[') && matches!(c, ')' | ']');
    interval(o1, c1) && interval(o2, c2) && (o1, c1) != (o2, c2)
}

fn vector(rows: &[Vec<Node>]) -> Option<Vec<Node>> {
    if rows.len() == 1 {
        return Some(rows[0].clone());
    }
    rows.iter().map(|row| if row.len() == 1 { Some(row[0].clone()) } else { None }).collect()
}

/// The names that are given values, if each item gives one.
fn assigned(items: &[Node]) -> Option<Vec<&str>> {
    items.iter().map(|item| if let Some(Node::Var(name)) = left_side(item) { Some(&**name) } else { None }).collect()
}

/// The left side of an equation.
pub(super) fn left_side(node: &Node) -> Option<&Node> {
    match node {
        Node::Rel(sides, rels) if rels.as_slice() == [Rel::Eq] => sides.first(),
        _ => None,
    }
}

fn distinct(items: &[Node]) -> Option<Vec<&str>> {
    let mut names = assigned(items)?;
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// Whether one unknown is given several values.
fn repeats_a_name(items: &[Node]) -> bool {
    assigned(items).is_some_and(|names| names.iter().enumerate().any(|(k, name)| names[..k].contains(name)))
}

fn union_members(node: &Node) -> Vec<Node> {
    match node {
        Node::SetOp(SetOp::Union, a, b) => {
            let mut out = union_members(a);
            out.extend(union_members(b));
            out
        }
        _ => vec![node.clone()],
    }
}

/// The items of a list or set; `x \in \{..\}` and `k = 1, 2` count as lists too.
fn items_of(node: &Node) -> Option<Vec<Node>> {
    match node {
        Node::List(items, _) | Node::Set(items) => Some(items.clone()),
        Node::Rel(sides, rels) if rels.len() == 1 && matches!(rels[0], Rel::In | Rel::Eq) => match &sides[1] {
            Node::Set(items) | Node::List(items, _) => Some(items.clone()),
            value @ Node::PlusMinus(..) if matches!(sides[0], Node::Var(_)) => Some(expand(value)),
            _ => None,
        },
        Node::PlusMinus(..) => Some(expand(node)),
        Node::Neg(_) | Node::Add(_) | Node::Mul(_) | Node::Div(..)
            if node.any(&|n| matches!(n, Node::PlusMinus(..))) =>
        {
            Some(expand(node))
        }
        _ => None,
    }
}

/// The right side of an assignment to a name.
fn strip_assignment(node: &Node) -> &Node {
    match node {
        Node::Rel(sides, rels)
            if rels.len() == 1
                && matches!(rels[0], Rel::Eq | Rel::Approx)
                && matches!(sides[0], Node::Var(_) | Node::Tuple(..))
                && !matches!(sides[1], Node::Var(_)) =>
        {
            &sides[1]
        }
        _ => node,
    }
}

fn expand_all(items: &[Node]) -> Vec<Node> {
    let mut out = Vec::new();
    for item in items {
        match item {
            Node::Rel(sides, rels)
                if rels.as_slice() == [Rel::Eq] && sides[1].any(&|n| matches!(n, Node::PlusMinus(..))) =>
            {
                for value in expand(&sides[1]) {
                    out.push(Node::Rel(vec![sides[0].clone(), value], rels.clone()));
                }
            }
            // `{1, 2}` in TeX braces inside a list.
            Node::List(inner, _) => out.extend(expand_all(inner)),
            item => out.extend(expand(item)),
        }
        if out.len() > 4 * MAX_ITEMS {
            break;
        }
    }
    out
}

/// The values of an expression with `+-` signs: upper signs together, lower signs together; in a
/// tuple each entry on its own.
pub(crate) fn expand(node: &Node) -> Vec<Node> {
    fn pick(node: &Node, upper: bool) -> Node {
        match node {
            Node::PlusMinus(a, b, flip) => {
                let b = pick(b, upper);
                let b = if upper == *flip { b.neg() } else { b };
                match a {
                    Some(a) => Node::Add(vec![pick(a, upper), b]),
                    None => b,
                }
            }
            _ => node.map_children(&mut |c| pick(c, upper)),
        }
    }
    if !node.any(&|n| matches!(n, Node::PlusMinus(..))) {
        return vec![node.clone()];
    }
    if let Node::Tuple(open, items, close) = node {
        let mut out: Vec<Vec<Node>> = vec![Vec::new()];
        for item in items {
            let choices = expand(item);
            if out.len() * choices.len() > 64 {
                return vec![node.clone()];
            }
            out = out
                .iter()
                .flat_map(|head| {
                    choices.iter().map(|c| {
                        let mut row = head.clone();
                        row.push(c.clone());
                        row
                    })
                })
                .collect();
        }
        return out.into_iter().map(|row| Node::Tuple(*open, row, *close)).collect();
    }
    vec![pick(node, true), pick(node, false)]
}

/// Words against anything.
fn text_against(words: &str, other: &Node) -> Decision {
    if let Node::Text(b) = other {
        return match crate::text::same(words, b) {
            Some(true) => Decision::Equal(Proof::Exact),
            Some(false) => Decision::different("the words differ"),
            None => Decision::Unknown("the words could mean the same"),
        };
    }
    let meaning = crate::text::meaning(words);
    let matches = match (meaning, other) {
        (Some("infinite"), Node::Const(Const::Infinity)) | (Some("all reals"), Node::NamedSet('R')) => true,
        (Some("none"), Node::Set(items)) => items.is_empty(),
        (Some("all reals"), other) => realset::of(other, true).is_some_and(|s| {
            realset::of(&Node::NamedSet('R'), true).is_some_and(|r| realset::compare(&r, &s).is_equal())
        }),
        _ => false,
    };
    if matches {
        return Decision::Equal(Proof::Exact);
    }
    if let Node::Rel(sides, rels) = other
        && rels.as_slice() == [Rel::Eq]
    {
        return text_against(words, &sides[1]);
    }
    // One word against a product of letters: `Even` and `\text{Even}`.
    if let Some(letters) = spelled(other) {
        return if letters.eq_ignore_ascii_case(words.trim()) {
            Decision::Equal(Proof::Exact)
        } else {
            Decision::different("the words differ")
        };
    }
    Decision::different("words against a formula")
}

fn spelled(node: &Node) -> Option<String> {
    match node {
        Node::Var(v) => Some(v.to_string()),
        Node::Const(Const::E) => Some("e".into()),
        Node::Const(Const::I) => Some("i".into()),
        Node::Mul(items) => items.iter().map(spelled).collect::<Option<Vec<_>>>().map(|p| p.concat()),
        _ => None,
    }
}
