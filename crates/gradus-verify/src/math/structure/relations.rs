//! The part of the comparison for relations: orders, memberships, equations, and an equation beside a bare value.

use super::{Judge, is_scalar, items_of};
use crate::math::ast::{Fun, Node, Rel};
use crate::math::equal::Decision;
use crate::math::{realset, relation};

impl Judge {
    pub(super) fn relations(&mut self, gold: &Node, pred: &Node) -> Decision {
        // `z = [0, 1]` can only mean membership.
        let member = |node: &Node| match node {
            Node::Rel(sides, rels)
                if *rels == [Rel::Eq]
                    && matches!(sides[0], Node::Var(_))
                    && (matches!(sides[1], Node::SetOp(..))
                        || matches!(&sides[1], Node::Tuple('[', items, _) if items.len() == 2)) =>
            {
                Some(Node::Rel(sides.clone(), vec![Rel::In]))
            }
            _ => None,
        };
        let (g, p) = (member(gold), member(pred));
        let (gold, pred) = (g.as_ref().unwrap_or(gold), p.as_ref().unwrap_or(pred));
        // Lists of relations on either side go through the list comparison.
        if let (Some(a), Some(b)) = (items_of(gold), items_of(pred)) {
            return self.unordered(&a, &b, false);
        }
        // Orders and memberships become sets.
        if relation::is_set_relation(gold) || relation::is_set_relation(pred) {
            if let (Some(a), Some(b)) = (realset::of(gold, true), realset::of(pred, true)) {
                return realset::compare(&a, &b);
            }
            if let Some(decision) = self.chains(gold, pred) {
                return decision;
            }
        }
        match (gold, pred) {
            (Node::Rel(..), Node::Rel(..)) => self.equations(gold, pred),
            (Node::Rel(sides, rels), other) => self.value_of(sides, rels, other, true),
            (other, Node::Rel(sides, rels)) => self.value_of(sides, rels, other, false),
            _ => Decision::Unknown("no relation"),
        }
    }

    /// Two chains of order relations, side by side or reversed.
    fn chains(&mut self, gold: &Node, pred: &Node) -> Option<Decision> {
        let (Node::Rel(a, r), Node::Rel(b, s)) = (gold, pred) else { return None };
        let forward = r == s && a.len() == b.len();
        let flipped: Vec<Rel> = s.iter().rev().map(|x| x.flip()).collect();
        let backward = *r == flipped && a.len() == b.len();
        if r.iter().any(|x| x.is_order()) && a.len() == 2 && b.len() == 2 && (forward || backward) {
            // f < g and k f < k g with k > 0.
            let left = a[0].clone().minus(a[1].clone());
            let right = if forward { b[0].clone().minus(b[1].clone()) } else { b[1].clone().minus(b[0].clone()) };
            match relation::positive_multiple(&left, &right) {
                None | Some(Decision::Unknown(_)) => {}
                decision => return decision,
            }
        }
        let mut last = None;
        if forward {
            let decision = self.ordered(a, b);
            if decision.is_equal() {
                return Some(decision);
            }
            last = Some(decision);
        }
        if backward {
            let reversed: Vec<Node> = b.iter().rev().cloned().collect();
            let decision = self.ordered(a, &reversed);
            if decision.is_equal() {
                return Some(decision);
            }
            last = Some(decision);
        }
        Some(last.unwrap_or_else(|| Decision::different("the relations differ")))
    }

    fn equations(&mut self, gold: &Node, pred: &Node) -> Decision {
        let (Node::Rel(a, r), Node::Rel(b, s)) = (gold, pred) else {
            return Decision::Unknown("no equations");
        };
        let plain = |rels: &[Rel]| rels.iter().all(|x| matches!(x, Rel::Eq | Rel::Approx));
        if !plain(r) || !plain(s) {
            return if r == s { self.ordered(a, b) } else { Decision::different("the relations differ") };
        }
        let (x, y) = (relation::final_value(a, r), relation::final_value(b, s));
        let (lhs, rhs) = (&a[0], &b[0]);
        let named = |n: &Node| matches!(n, Node::Var(_) | Node::Apply(..) | Node::Tuple(..));
        if named(lhs) && named(rhs) {
            // Both define something: same name or a renamed argument.
            match (lhs, rhs) {
                (Node::Var(p), Node::Var(q)) if p == q || r.len() > 1 || s.len() > 1 => {
                    let direct = self.compare(x, y);
                    if direct.is_equal() || p != q {
                        return direct;
                    }
                    // `x = y` twice is no definition.
                    if !x.variables().contains(p) && !y.variables().contains(q) {
                        return direct;
                    }
                }
                (Node::Apply(f, p), Node::Apply(g, q)) => {
                    let base = |n: &str| n.trim_end_matches('\'').to_owned();
                    if base(f) != base(g) {
                        return Decision::different("they define different functions");
                    }
                    if let Some(renamed) = relation::rename(p, q, y) {
                        return self.compare(x, &renamed);
                    }
                    let arguments = self.ordered(p, q);
                    if !arguments.is_equal() {
                        return arguments;
                    }
                    return self.compare(x, y);
                }
                (Node::Var(_), Node::Apply(..))
                | (Node::Apply(..), Node::Var(_))
                | (Node::Tuple(..), _)
                | (_, Node::Tuple(..)) => {
                    return self.compare(x, y);
                }
                _ => {}
            }
        }
        let statement = |sides: &[Node]| sides.iter().all(|s| s.variables().is_empty());
        if statement(a) && statement(b) && a.len() == b.len() {
            let forward = self.ordered(a, b);
            if forward.is_equal() || a.len() > 2 {
                return forward;
            }
            let reversed: Vec<Node> = b.iter().rev().cloned().collect();
            let backward = self.ordered(a, &reversed);
            return if backward.is_equal() { backward } else { forward };
        }
        if a.len() == 2 && b.len() == 2 { relation::equations(&a[0], &a[1], &b[0], &b[1]) } else { self.compare(x, y) }
    }

    /// An equation against a bare value.
    fn value_of(&mut self, sides: &[Node], rels: &[Rel], other: &Node, gold_is_relation: bool) -> Decision {
        if !rels.iter().all(|x| matches!(x, Rel::Eq | Rel::Approx | Rel::In | Rel::Other)) {
            return Decision::different("a relation is no value");
        }
        let value = relation::final_value(sides, rels);
        let lhs = &sides[0];
        // `y = x` is no way to write `x`.
        if sides.len() == 2
            && matches!(lhs, Node::Var(_))
            && matches!(value, Node::Var(_))
            && !matches!(other, Node::Text(_))
        {
            return Decision::different("an equation between two unknowns is no value");
        }
        if matches!(rels.first(), Some(Rel::Approx)) && std::ptr::eq(value, lhs) {
            // `A \\approx 0.577` states A.
            return if gold_is_relation { self.compare(value, other) } else { self.compare(other, value) };
        }
        let nameable = matches!(
            lhs,
            Node::Var(_)
                | Node::Apply(..)
                | Node::Tuple(..)
                | Node::Ratio(_)
                | Node::Text(_)
                | Node::Set(_)
                | Node::Call(Fun::Abs | Fun::Min | Fun::Max | Fun::Det, _)
                | Node::Bind(_)
        );
        let free = lhs.variables();
        let free_both = free.is_empty() && value.variables().is_empty();
        let defines = nameable || free_both || sides.len() > 2;
        if defines {
            let decision = if gold_is_relation { self.compare(value, other) } else { self.compare(other, value) };
            if decision.is_equal() || nameable || sides.len() > 2 || free_both {
                return decision;
            }
        }
        // Products of names, such as `AB = 4`.
        if let Node::Mul(items) = lhs
            && items.iter().all(|i| matches!(i, Node::Var(v) if v.chars().all(|c| c.is_ascii_uppercase())))
            && value.variables().is_empty()
        {
            return if gold_is_relation { self.compare(value, other) } else { self.compare(other, value) };
        }
        // Solve for an unknown that the value does not contain.
        if sides.len() == 2 && is_scalar(other) {
            let used = other.variables();
            let mut all = lhs.variables();
            all.extend(value.variables());
            all.sort();
            all.dedup();
            for v in all.iter().filter(|v| !used.contains(v)).take(4) {
                let decision = relation::equations(lhs, value, &Node::Var(v.clone()), other);
                if decision.is_equal() {
                    return decision;
                }
            }
        }
        Decision::different("an equation is not this value")
    }
}
