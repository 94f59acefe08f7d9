//! Numbers with units, percentages and angles, and tolerances around numbers.

use dashu::rational::RBig;

use super::ast::Node;
use super::equal::{self, Decision};
use super::exact;
use super::interval::Interval;
use super::numeric::{self, Branch, Real};
use super::structure::Judge;
use super::units::Unit;
use crate::{Proof, Tolerance};

impl Judge {
    pub(super) fn quantity(&mut self, gold: &Node, pred: &Node) -> Decision {
        let (mut a, mut b) = (measured(gold), measured(pred));
        // Beside a unit a numeral in another base is its value; else the base may go unsaid.
        if !matches!((&a.unit, &b.unit), (Measure::None, Measure::None)) {
            for value in [&mut a.value, &mut b.value] {
                if let Node::Based(number, _) = value {
                    *value = Node::Based(number.clone(), None);
                }
            }
        }
        match (&a.unit, &b.unit) {
            (Measure::None, Measure::None) => self.value(gold, pred),
            (Measure::Unit(Unit::Known(d, s)), Measure::Unit(Unit::Known(e, t))) => {
                if d != e {
                    return Decision::different("the units measure different things");
                }
                if s == t {
                    return self.value(&a.value, &b.value);
                }
                let scaled = Node::Mul(vec![b.value.clone(), Node::rational(t.clone() / s.clone())]);
                let scaled = exact::value(&scaled).map_or(scaled, Node::rational);
                self.value(&a.value, &scaled)
            }
            (Measure::Percent, Measure::Percent) | (Measure::Degree, Measure::Degree) => self.value(&a.value, &b.value),
            (Measure::Degree, Measure::Unit(Unit::Known(..))) | (Measure::Unit(Unit::Known(..)), Measure::Degree) => {
                let radians = |m: &Measured| match &m.unit {
                    Measure::Degree => Node::Degree(Box::new(m.value.clone())),
                    _ => m.value.clone(),
                };
                self.value(&radians(&a), &radians(&b))
            }
            (Measure::Percent, Measure::Unit(Unit::Known(..))) | (Measure::Unit(Unit::Known(..)), Measure::Percent) => {
                Decision::different("a share is no quantity with a unit")
            }
            (Measure::Percent, Measure::Degree) | (Measure::Degree, Measure::Percent) => {
                Decision::different("a share is no angle")
            }
            (Measure::Percent, _) | (_, Measure::Percent) => {
                // The sign may be left out where the number is written out.
                let literal = |node: &Node| matches!(node, Node::Num(_)) || equal::decimal(node).is_some();
                let plain = self.value(&a.value, &b.value);
                let written = literal(&a.value) && literal(&b.value);
                if plain.is_equal() && (written || matches!(plain, Decision::Equal(Proof::Exact))) {
                    return plain;
                }
                self.shares(&a, &b)
            }
            (Measure::Degree, _) | (_, Measure::Degree) => {
                let plain = self.value(&a.value, &b.value);
                if plain.is_equal() {
                    return plain;
                }
                let wrap = |m: &Measured| match m.unit {
                    Measure::Degree => Node::Degree(Box::new(m.value.clone())),
                    _ => m.value.clone(),
                };
                self.value(&wrap(&a), &wrap(&b))
            }
            _ => self.value(&a.value, &b.value),
        }
    }

    /// A percentage against a bare number: 5 % is 0.05 too, at the precision of the percentage.
    fn shares(&mut self, gold: &Measured, pred: &Measured) -> Decision {
        let hundred = RBig::from(100);
        let shift = |node: &Node, up: bool| -> Node {
            match equal::decimal(node) {
                Some((value, places, digits)) => {
                    let (value, places) =
                        if up { (value * hundred.clone(), places - 2) } else { (value / hundred.clone(), places + 2) };
                    Node::Num(super::ast::Number { value, places: Some(places), digits })
                }
                None if up => Node::Mul(vec![node.clone(), Node::int(100)]),
                None => Node::Div(Box::new(node.clone()), Box::new(Node::int(100))),
            }
        };
        if matches!(gold.unit, Measure::Percent) {
            self.value(&gold.value, &shift(&pred.value, true))
        } else {
            self.value(&gold.value, &shift(&pred.value, false))
        }
    }
}

struct Measured {
    value: Node,
    unit: Measure,
}

enum Measure {
    None,
    Unit(Unit),
    Percent,
    Degree,
}

/// Splits a quantity into value and unit; signs move to the value.
fn measured(node: &Node) -> Measured {
    match node {
        Node::Neg(inner) => {
            let m = measured(inner);
            if matches!(m.unit, Measure::None) {
                Measured { value: node.clone(), unit: m.unit }
            } else {
                Measured { value: m.value.neg(), unit: m.unit }
            }
        }
        Node::Quantity(inner, unit) => match (&**inner, unit) {
            // `3 \% of what`
            (Node::Percent(_) | Node::Degree(_), Unit::Label(_)) => measured(inner),
            (Node::Quantity(deeper, known @ Unit::Known(..)), Unit::Label(_)) => {
                Measured { value: (**deeper).clone(), unit: Measure::Unit(known.clone()) }
            }
            _ => Measured { value: (**inner).clone(), unit: Measure::Unit(unit.clone()) },
        },
        Node::Percent(inner) => Measured { value: (**inner).clone(), unit: Measure::Percent },
        Node::Degree(inner) => Measured { value: (**inner).clone(), unit: Measure::Degree },
        // `3 \times \$5` and the like stay as they are.
        _ => Measured { value: node.clone(), unit: Measure::None },
    }
}

pub(super) fn within(gold: &Node, pred: &Node, tolerance: Tolerance) -> Option<Decision> {
    let branch = Branch { real_roots: true, decimal_log: false };
    let g = numeric::evaluate::<Interval>(gold, &[], 53, branch)?;
    let p = numeric::evaluate::<Interval>(pred, &[], 53, branch)?;
    if !g.is_real() || !p.is_real() {
        return None;
    }
    let limit = match tolerance {
        Tolerance::Relative(share) => share * g.re.midpoint().abs(),
        Tolerance::Absolute(distance) => distance,
    };
    let gap = (g.re.midpoint() - p.re.midpoint()).abs();
    // A hair of slack for the ends of the tolerance itself.
    Some(if gap <= limit * (1.0 + 1e-9) + g.re.width() + p.re.width() {
        Decision::Equal(Proof::Certified)
    } else {
        Decision::Different(format!("{gap:e} apart, {limit:e} allowed"))
    })
}
