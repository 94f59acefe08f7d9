//! Families of solutions such as `a + 2 k pi` with an integer parameter.

use super::ast::{BinderKind, Const, Node};

/// Letters that stand for "any integer".
const PARAMETERS: &[&str] = &["k", "n", "m", "l", "t", "N", "K", "j"];

/// The prediction with its integer parameter renamed to the reference's, where both use one letter
/// and nothing but the letter tells their unknowns apart.
pub(crate) fn rename(gold: &Node, pred: &Node) -> Option<Node> {
    let (a, b) = (gold.variables(), pred.variables());
    let only = |x: &[Box<str>], y: &[Box<str>]| -> Vec<Box<str>> {
        x.iter().filter(|v| PARAMETERS.contains(&&***v) && !y.contains(v)).cloned().collect()
    };
    let (g, p) = (only(&a, &b), only(&b, &a));
    let ([g], [p]) = (g.as_slice(), p.as_slice()) else { return None };
    if !periodic(gold, g) || !periodic(pred, p) {
        return None;
    }
    Some(pred.substitute(p, &Node::Var(g.clone())))
}

/// Whether a parameter occurs next to pi or degrees, as in the solutions of a trigonometric
/// equation.
fn periodic(node: &Node, parameter: &str) -> bool {
    let holds = |n: &Node| n.variables().iter().any(|v| &**v == parameter);
    let turns = |n: &Node| {
        n.any(&|m| matches!(m, Node::Const(Const::Pi) | Node::Degree(_)))
            && !n.any(&|m| matches!(m, Node::Bind(b) if b.kind != BinderKind::Union))
    };
    match node {
        Node::Mul(_) | Node::Div(..) | Node::Degree(_) => holds(node) && turns(node),
        _ => {
            let mut found = false;
            node.each_child(&mut |c| found = found || periodic(c, parameter));
            found
        }
    }
}
