//! What an answer means once it is read: one tree for numbers, expressions, sets, relations and
//! quantities.

use dashu::rational::RBig;

use super::units::Unit;

/// A literal number and how it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    /// The exact value.
    pub(crate) value: RBig,
    /// Digits after the point (an exponent of ten shifts it); `None` for integers.
    pub(crate) places: Option<i32>,
    /// Significant digits as written.
    pub(crate) digits: u32,
}

impl Number {
    /// A plain integer.
    pub(crate) fn int(value: i64) -> Self {
        Self { value: RBig::from(value), places: None, digits: 0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Const {
    Pi,
    E,
    I,
    Infinity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fun {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Asin,
    Acos,
    Atan,
    Acot,
    Asec,
    Acsc,
    Sinh,
    Cosh,
    Tanh,
    Coth,
    Sech,
    Csch,
    Asinh,
    Acosh,
    Atanh,
    Exp,
    /// Natural logarithm.
    Ln,
    /// Logarithm without a base: natural or decimal, a matter of reading.
    Log,
    /// Logarithm to a base: base, argument.
    LogBase,
    /// n-th root: index, radicand.
    Root,
    Abs,
    Floor,
    Ceil,
    Sign,
    Factorial,
    DoubleFactorial,
    /// Binomial coefficient.
    Binom,
    Gcd,
    Lcm,
    Min,
    Max,
    Mod,
    /// A residue class: value, modulus.
    PMod,
    Re,
    Im,
    Arg,
    Det,
    /// Prime marks: argument, number of marks.
    Prime,
}

/// Sum, product, integral, limit, derivative: an operator that binds a variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Binder {
    pub(crate) kind: BinderKind,
    pub(crate) var: Box<str>,
    pub(crate) lo: Option<Node>,
    pub(crate) hi: Option<Node>,
    pub(crate) body: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BinderKind {
    Sum,
    Product,
    Integral,
    Limit,
    Derivative,
    Union,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rel {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Approx,
    In,
    NotIn,
    /// Any other arrow or relation sign.
    Other,
}

impl Rel {
    pub(crate) fn flip(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            other => other,
        }
    }
    pub(crate) fn is_order(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SetOp {
    Union,
    Intersection,
    Minus,
}

/// How the items of a list were joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Join {
    Comma,
    And,
    Or,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Num(Number),
    Var(Box<str>),
    Const(Const),
    Add(Vec<Node>),
    Mul(Vec<Node>),
    Neg(Box<Node>),
    Div(Box<Node>, Box<Node>),
    Pow(Box<Node>, Box<Node>),
    /// `a +- b`; the flag is set for `-+`.
    PlusMinus(Option<Box<Node>>, Box<Node>, bool),
    Call(Fun, Vec<Node>),
    /// An unknown function applied to arguments.
    Apply(Box<str>, Vec<Node>),
    Bind(Box<Binder>),
    Percent(Box<Node>),
    Degree(Box<Node>),
    Quantity(Box<Node>, Unit),
    /// A numeral in another base: value, digits read as decimal if they can be.
    Based(RBig, Option<RBig>),
    Tuple(char, Vec<Node>, char),
    Set(Vec<Node>),
    List(Vec<Node>, Join),
    SetOp(SetOp, Box<Node>, Box<Node>),
    /// A named set: `R`, `Z`, `N`, `Q`, `C`.
    NamedSet(char),
    /// `{ element | condition }`.
    Builder(Box<Node>, Box<Node>),
    Matrix(Vec<Vec<Node>>),
    Rel(Vec<Node>, Vec<Rel>),
    Ratio(Vec<Node>),
    /// Minutes since midnight, and whether the half of the day was said.
    Time(u32, bool),
    Dots,
    Text(String),
}

impl Node {
    pub(crate) fn int(value: i64) -> Self {
        Self::Num(Number::int(value))
    }

    pub(crate) fn rational(value: RBig) -> Self {
        Self::Num(Number { value, places: None, digits: 0 })
    }

    pub(crate) fn neg(self) -> Self {
        match self {
            Self::Num(n) => Self::Num(Number { value: -n.value, ..n }),
            other => Self::Neg(Box::new(other)),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self::Add(vec![self, Self::Neg(Box::new(other))])
    }

    /// Calls `f` on every direct child.
    pub(crate) fn each_child<'a>(&'a self, f: &mut dyn FnMut(&'a Self)) {
        match self {
            Self::Num(_)
            | Self::Var(_)
            | Self::Const(_)
            | Self::Based(..)
            | Self::NamedSet(_)
            | Self::Time(..)
            | Self::Dots
            | Self::Text(_) => {}
            Self::Add(items)
            | Self::Mul(items)
            | Self::Call(_, items)
            | Self::Apply(_, items)
            | Self::Tuple(_, items, _)
            | Self::Set(items)
            | Self::List(items, _)
            | Self::Rel(items, _)
            | Self::Ratio(items) => items.iter().for_each(f),
            Self::Neg(a) | Self::Percent(a) | Self::Degree(a) | Self::Quantity(a, _) => f(a),
            Self::Div(a, b) | Self::Pow(a, b) | Self::SetOp(_, a, b) | Self::Builder(a, b) => {
                f(a);
                f(b);
            }
            Self::PlusMinus(a, b, _) => {
                if let Some(a) = a {
                    f(a);
                }
                f(b);
            }
            Self::Bind(b) => {
                if let Some(lo) = &b.lo {
                    f(lo);
                }
                if let Some(hi) = &b.hi {
                    f(hi);
                }
                f(&b.body);
            }
            Self::Matrix(rows) => rows.iter().flatten().for_each(f),
        }
    }

    /// Whether `test` holds for this node or any below it.
    pub(crate) fn any(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        if test(self) {
            return true;
        }
        let mut found = false;
        self.each_child(&mut |child| found = found || child.any(test));
        found
    }

    /// Rebuilds the tree with `f` applied to every direct child.
    pub(crate) fn map_children(&self, f: &mut dyn FnMut(&Self) -> Self) -> Self {
        match self {
            Self::Num(_)
            | Self::Var(_)
            | Self::Const(_)
            | Self::Based(..)
            | Self::NamedSet(_)
            | Self::Time(..)
            | Self::Dots
            | Self::Text(_) => self.clone(),
            Self::Add(items) => Self::Add(items.iter().map(f).collect()),
            Self::Mul(items) => Self::Mul(items.iter().map(f).collect()),
            Self::Call(fun, items) => Self::Call(*fun, items.iter().map(f).collect()),
            Self::Apply(name, items) => Self::Apply(name.clone(), items.iter().map(f).collect()),
            Self::Tuple(open, items, close) => Self::Tuple(*open, items.iter().map(f).collect(), *close),
            Self::Set(items) => Self::Set(items.iter().map(f).collect()),
            Self::List(items, join) => Self::List(items.iter().map(f).collect(), *join),
            Self::Rel(items, ops) => Self::Rel(items.iter().map(f).collect(), ops.clone()),
            Self::Ratio(items) => Self::Ratio(items.iter().map(f).collect()),
            Self::Neg(a) => Self::Neg(Box::new(f(a))),
            Self::Percent(a) => Self::Percent(Box::new(f(a))),
            Self::Degree(a) => Self::Degree(Box::new(f(a))),
            Self::Quantity(a, unit) => Self::Quantity(Box::new(f(a)), unit.clone()),
            Self::Div(a, b) => Self::Div(Box::new(f(a)), Box::new(f(b))),
            Self::Pow(a, b) => Self::Pow(Box::new(f(a)), Box::new(f(b))),
            Self::SetOp(op, a, b) => Self::SetOp(*op, Box::new(f(a)), Box::new(f(b))),
            Self::Builder(a, b) => Self::Builder(Box::new(f(a)), Box::new(f(b))),
            Self::PlusMinus(a, b, flip) => Self::PlusMinus(a.as_ref().map(|a| Box::new(f(a))), Box::new(f(b)), *flip),
            Self::Bind(b) => Self::Bind(Box::new(Binder {
                kind: b.kind,
                var: b.var.clone(),
                lo: b.lo.as_ref().map(&mut *f),
                hi: b.hi.as_ref().map(&mut *f),
                body: f(&b.body),
            })),
            Self::Matrix(rows) => Self::Matrix(rows.iter().map(|row| row.iter().map(&mut *f).collect()).collect()),
        }
    }

    /// Replaces every free occurrence of a variable.
    pub(crate) fn substitute(&self, name: &str, value: &Self) -> Self {
        match self {
            Self::Var(v) if &**v == name => value.clone(),
            Self::Bind(b) if &*b.var == name => self.clone(),
            _ => self.map_children(&mut |child| child.substitute(name, value)),
        }
    }

    /// Names of the free variables, sorted.
    pub(crate) fn variables(&self) -> Vec<Box<str>> {
        fn walk(node: &Node, bound: &mut Vec<Box<str>>, out: &mut Vec<Box<str>>) {
            match node {
                Node::Var(v) => {
                    if !bound.contains(v) && !out.contains(v) {
                        out.push(v.clone());
                    }
                }
                Node::Bind(b) => {
                    for part in [&b.lo, &b.hi].into_iter().flatten() {
                        walk(part, bound, out);
                    }
                    if b.kind == BinderKind::Derivative || (b.kind == BinderKind::Integral && b.lo.is_none()) {
                        walk(&b.body, bound, out);
                    } else {
                        bound.push(b.var.clone());
                        walk(&b.body, bound, out);
                        bound.pop();
                    }
                }
                _ => node.each_child(&mut |child| walk(child, bound, out)),
            }
        }
        let mut out = Vec::new();
        walk(self, &mut Vec::new(), &mut out);
        out.sort();
        out
    }
}
