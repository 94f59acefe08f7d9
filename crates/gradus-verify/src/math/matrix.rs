//! Sums, products and multiples of matrices, entry by entry.

use super::ast::{Fun, Node};
use super::exact;

type Matrix = Vec<Vec<Node>>;

const MAX_CELLS: usize = 144;

/// The matrix an expression denotes.
pub(crate) fn value(node: &Node) -> Option<Matrix> {
    match node {
        Node::Matrix(rows) => {
            let width = rows.first()?.len();
            let fits = rows.len() * width <= MAX_CELLS && rows.iter().all(|r| r.len() == width);
            fits.then(|| rows.clone())
        }
        Node::Neg(a) => Some(scale(&value(a)?, &Node::int(-1))),
        Node::Add(items) => {
            let mut out = value(items.first()?)?;
            for item in &items[1..] {
                let next = value(item)?;
                if next.len() != out.len() || next[0].len() != out[0].len() {
                    return None;
                }
                for (row, other) in out.iter_mut().zip(next) {
                    for (cell, o) in row.iter_mut().zip(other) {
                        *cell = simple(Node::Add(vec![cell.clone(), o]));
                    }
                }
            }
            Some(out)
        }
        Node::Mul(items) => {
            let mut out: Option<Matrix> = None;
            let mut scalar: Vec<Node> = Vec::new();
            for item in items {
                match value(item) {
                    Some(m) => {
                        out = Some(match out {
                            None => m,
                            Some(left) => product(&left, &m)?,
                        });
                    }
                    None if super::structure::is_scalar(item) => scalar.push(item.clone()),
                    None => return None,
                }
            }
            let out = out?;
            Some(if scalar.is_empty() { out } else { scale(&out, &Node::Mul(scalar)) })
        }
        Node::Div(a, b) if super::structure::is_scalar(b) => {
            let inverse = Node::Div(Box::new(Node::int(1)), b.clone());
            Some(scale(&value(a)?, &inverse))
        }
        _ => None,
    }
}

fn simple(node: Node) -> Node {
    exact::value(&node).map_or(node, Node::rational)
}

fn scale(m: &Matrix, factor: &Node) -> Matrix {
    m.iter().map(|row| row.iter().map(|c| simple(Node::Mul(vec![factor.clone(), c.clone()]))).collect()).collect()
}

fn product(a: &Matrix, b: &Matrix) -> Option<Matrix> {
    let (n, inner, m) = (a.len(), b.len(), b.first()?.len());
    if a.first()?.len() != inner || n * m * inner > 2000 {
        return None;
    }
    Some(
        (0..n)
            .map(|r| {
                (0..m)
                    .map(|c| {
                        let terms = (0..inner).map(|k| Node::Mul(vec![a[r][k].clone(), b[k][c].clone()])).collect();
                        simple(Node::Add(terms))
                    })
                    .collect()
            })
            .collect(),
    )
}

/// The determinant of a matrix, expanded along the first row if it is small.
pub(crate) fn determinant(matrix: Node) -> Node {
    fn expand(m: &[Vec<Node>]) -> Node {
        if m.len() == 1 {
            return m[0][0].clone();
        }
        let terms = (0..m.len())
            .map(|c| {
                let minor: Matrix = m[1..]
                    .iter()
                    .map(|row| row.iter().enumerate().filter(|(k, _)| *k != c).map(|(_, cell)| cell.clone()).collect())
                    .collect();
                let term = Node::Mul(vec![m[0][c].clone(), expand(&minor)]);
                if c % 2 == 0 { term } else { term.neg() }
            })
            .collect();
        Node::Add(terms)
    }
    match &matrix {
        Node::Matrix(rows)
            if !rows.is_empty()
                && rows.len() <= 4
                && rows.iter().all(|row| row.len() == rows.len())
                && rows.iter().flatten().all(super::structure::is_scalar) =>
        {
            expand(rows)
        }
        _ => Node::Call(Fun::Det, vec![matrix]),
    }
}
