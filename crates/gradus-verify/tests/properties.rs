//! Properties that hold for every expression: equal to itself, to its rewritings and to nothing
//! that differs in a coefficient.

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, verify};
use proptest::prelude::*;

fn judge(gold: &str, pred: &str) -> Outcome {
    let reference = Reference { kind: Kind::Math, values: vec![gold.into()], tolerance: None, options: Vec::new() };
    verify(&reference, &Answer { text: pred, form: Form::Bare }).outcome
}

/// An expression that is written out in several ways.
#[derive(Debug, Clone)]
enum Tree {
    Number(i32),
    Variable(usize),
    Sum(Box<Tree>, Box<Tree>),
    Difference(Box<Tree>, Box<Tree>),
    Product(Box<Tree>, Box<Tree>),
    Quotient(Box<Tree>, u8),
    Square(Box<Tree>),
    Root(Box<Tree>),
    Sine(Box<Tree>),
    Exponential(Box<Tree>),
}

const NAMES: [&str; 3] = ["x", "y", "z"];

fn tree(transcendental: bool) -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![(1..20i32).prop_map(Tree::Number), (0..3usize).prop_map(Tree::Variable)];
    leaf.prop_recursive(4, 20, 2, move |inner| {
        let pair = (inner.clone(), inner.clone());
        let sum = pair.clone().prop_map(|(a, b)| Tree::Sum(Box::new(a), Box::new(b)));
        let difference = pair.clone().prop_map(|(a, b)| Tree::Difference(Box::new(a), Box::new(b)));
        let product = pair.prop_map(|(a, b)| Tree::Product(Box::new(a), Box::new(b)));
        let quotient = (inner.clone(), 2..9u8).prop_map(|(a, n)| Tree::Quotient(Box::new(a), n));
        let square = inner.clone().prop_map(|a| Tree::Square(Box::new(a)));
        let rational = prop_oneof![sum, difference, product, quotient, square].boxed();
        if transcendental {
            prop_oneof![
                4 => rational,
                1 => inner.clone().prop_map(|a| Tree::Root(Box::new(a))),
                1 => inner.clone().prop_map(|a| Tree::Sine(Box::new(a))),
                1 => inner.prop_map(|a| Tree::Exponential(Box::new(a))),
            ]
            .boxed()
        } else {
            rational
        }
    })
}

impl Tree {
    fn latex(&self) -> String {
        match self {
            Self::Number(n) => n.to_string(),
            Self::Variable(k) => NAMES[*k].into(),
            Self::Sum(a, b) => format!("{}+{}", a.latex(), b.latex()),
            Self::Difference(a, b) => format!("{}-\\left({}\\right)", a.latex(), b.latex()),
            Self::Product(a, b) => format!("\\left({}\\right)\\left({}\\right)", a.latex(), b.latex()),
            Self::Quotient(a, n) => format!("\\frac{{{}}}{{{n}}}", a.latex()),
            Self::Square(a) => format!("\\left({}\\right)^{{2}}", a.latex()),
            Self::Root(a) => format!("\\sqrt{{\\left({}\\right)^2+1}}", a.latex()),
            Self::Sine(a) => format!("\\sin\\left({}\\right)", a.latex()),
            Self::Exponential(a) => format!("e^{{-\\left({}\\right)^2/100}}", a.latex()),
        }
    }

    /// Another notation of an equal expression: ASCII, terms exchanged, squares written out.
    fn rewritten(&self) -> String {
        match self {
            Self::Number(n) => format!("{n}.0"),
            Self::Variable(k) => format!("({})", NAMES[*k]),
            Self::Sum(a, b) => format!("({} + {})", b.rewritten(), a.rewritten()),
            Self::Difference(a, b) => format!("(-({}) + {})", b.rewritten(), a.rewritten()),
            Self::Product(a, b) => format!("({} * {})", b.rewritten(), a.rewritten()),
            Self::Quotient(a, n) => format!("({} / {n})", a.rewritten()),
            Self::Square(a) => format!("({0} * {0})", a.rewritten()),
            Self::Root(a) => format!("sqrt(1 + {0} * {0})", a.rewritten()),
            Self::Sine(a) => format!("(-sin(-({})))", a.rewritten()),
            Self::Exponential(a) => format!("(1/exp(({0}*{0})/100))", a.rewritten()),
        }
    }
}

/// The field in which an oracle of our own evaluates: independent of the verifier's.
const PRIME: u64 = (1 << 31) - 1;

impl Tree {
    /// The value at a point, for rational trees.
    fn at(&self, point: [u64; 3]) -> u64 {
        match self {
            Self::Number(n) => *n as u64,
            Self::Variable(k) => point[*k],
            Self::Sum(a, b) => (a.at(point) + b.at(point)) % PRIME,
            Self::Difference(a, b) => (a.at(point) + PRIME - b.at(point)) % PRIME,
            Self::Product(a, b) => a.at(point) * b.at(point) % PRIME,
            Self::Quotient(a, n) => a.at(point) * inverse(u64::from(*n)) % PRIME,
            Self::Square(a) => a.at(point) * a.at(point) % PRIME,
            Self::Root(_) | Self::Sine(_) | Self::Exponential(_) => unreachable!("rational trees have none"),
        }
    }

    /// Whether two rational trees are the same function, up to a chance of degree / 2^93.
    fn same(&self, other: &Self) -> bool {
        let points = [
            [271_828_182, 845_904_523, 536_028_747],
            [314_159_265, 358_979_323, 846_264_338],
            [141_421_356, 237_309_504, 880_168_872],
        ];
        points.iter().all(|point| self.at(*point) == other.at(*point))
    }

    /// The same tree with its `k`-th leaf, counted round and round, made another.
    fn perturbed(&self, k: usize) -> Self {
        let change = |a: &Self| Box::new(a.perturbed(k / 2));
        match self {
            Self::Number(n) => Self::Number(n + 1),
            Self::Variable(v) => Self::Variable((v + 1) % 3),
            Self::Sum(a, b) if k.is_multiple_of(2) => Self::Sum(change(a), b.clone()),
            Self::Sum(a, b) => Self::Sum(a.clone(), change(b)),
            Self::Difference(a, b) if k.is_multiple_of(2) => Self::Difference(change(a), b.clone()),
            Self::Difference(a, b) => Self::Difference(a.clone(), change(b)),
            Self::Product(a, b) if k.is_multiple_of(2) => Self::Product(change(a), b.clone()),
            Self::Product(a, b) => Self::Product(a.clone(), change(b)),
            Self::Quotient(a, n) => Self::Quotient(change(a), *n),
            Self::Square(a) => Self::Square(change(a)),
            Self::Root(a) => Self::Root(change(a)),
            Self::Sine(a) => Self::Sine(change(a)),
            Self::Exponential(a) => Self::Exponential(change(a)),
        }
    }
}

/// By Fermat's little theorem.
fn inverse(n: u64) -> u64 {
    let (mut power, mut base, mut exponent) = (1, n, PRIME - 2);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power * base % PRIME;
        }
        base = base * base % PRIME;
        exponent /= 2;
    }
    power
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_rational_expression_equals_its_rewriting(tree in tree(false)) {
        prop_assert_eq!(judge(&tree.latex(), &tree.rewritten()), Outcome::Correct);
        prop_assert_eq!(judge(&tree.rewritten(), &tree.latex()), Outcome::Correct);
    }

    #[test]
    fn a_shifted_expression_differs(tree in tree(false), shift in 1..50i32) {
        let shifted = format!("{}+\\frac{{{shift}}}{{7}}", tree.latex());
        prop_assert_eq!(judge(&tree.latex(), &shifted), Outcome::Incorrect);
        prop_assert_eq!(judge(&shifted, &tree.latex()), Outcome::Incorrect);
    }

    #[test]
    fn a_perturbed_expression_differs_where_an_oracle_says_so(tree in tree(false), k in 0..1000usize) {
        let other = tree.perturbed(k);
        let expected = if tree.same(&other) { Outcome::Correct } else { Outcome::Incorrect };
        prop_assert_eq!(judge(&tree.latex(), &other.latex()), expected);
        prop_assert_eq!(judge(&other.rewritten(), &tree.rewritten()), expected);
    }

    #[test]
    fn two_expressions_compare_as_an_oracle_says(a in tree(false), b in tree(false)) {
        let expected = if a.same(&b) { Outcome::Correct } else { Outcome::Incorrect };
        prop_assert_eq!(judge(&a.latex(), &b.rewritten()), expected);
    }

    #[test]
    fn a_transcendental_expression_is_never_told_from_its_rewriting(tree in tree(true)) {
        let (a, b) = (judge(&tree.latex(), &tree.rewritten()), judge(&tree.rewritten(), &tree.latex()));
        prop_assert_ne!(a, Outcome::Incorrect);
        prop_assert_ne!(b, Outcome::Incorrect);
    }

    #[test]
    fn a_shifted_transcendental_expression_is_never_taken_for_it(tree in tree(true), shift in 1..50i32) {
        let shifted = format!("{}+10^{{-{shift}}}", tree.latex());
        prop_assert_ne!(judge(&tree.latex(), &shifted), Outcome::Correct);
    }

    #[test]
    fn spacing_and_brackets_say_nothing(tree in tree(true)) {
        let text = tree.latex();
        let spaced = text.replace('+', " + ").replace("\\left(", " \\left( ");
        let wrapped = format!("\\left(\\left({{{text}}}\\right)\\right)");
        let boxed = format!("$\\boxed{{{text}}}$");
        let plain = text.replace("\\left", "").replace("\\right", "");
        for other in [spaced, wrapped, boxed, plain] {
            prop_assert_eq!(judge(&text, &other), Outcome::Correct, "{}", other);
            prop_assert_eq!(judge(&other, &text), Outcome::Correct, "{}", other);
        }
    }

    #[test]
    fn fractions_compare_as_numbers(p in -500i64..500, q in 1i64..300, r in -500i64..500, s in 1i64..300) {
        let expected = if p * s == r * q { Outcome::Correct } else { Outcome::Incorrect };
        prop_assert_eq!(judge(&format!("\\frac{{{p}}}{{{q}}}"), &format!("{r}/{s}")), expected);
    }

    #[test]
    fn sums_of_roots_compare_as_numbers(a in 2u32..60, b in 2u32..60, c in 2u32..60, d in 2u32..60) {
        // Square roots of integers are equal in sum only if their values are, which doubles tell
        // unless they agree to the last bits.
        let (x, y) = (f64::from(a).sqrt() + f64::from(b).sqrt(), f64::from(c).sqrt() + f64::from(d).sqrt());
        let outcome = judge(&format!("\\sqrt{{{a}}}+\\sqrt{{{b}}}"), &format!("\\sqrt{{{c}}}+\\sqrt{{{d}}}"));
        if (x - y).abs() > 1e-9 {
            prop_assert_eq!(outcome, Outcome::Incorrect);
        } else {
            prop_assert_eq!(outcome, Outcome::Correct);
        }
    }

    #[test]
    fn lists_have_no_order_and_tuples_have(mut items in proptest::collection::vec(-99i32..99, 2..6)) {
        let text = |items: &[i32]| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let before = text(&items);
        items.reverse();
        let after = text(&items);
        prop_assert_eq!(judge(&before, &after), Outcome::Correct);
        let expected = if before == after { Outcome::Correct } else { Outcome::Incorrect };
        prop_assert_eq!(judge(&format!("({before})"), &format!("({after})")), expected);
    }

    #[test]
    fn arbitrary_text_never_panics(gold in ".{0,60}", pred in ".{0,120}") {
        judge(&gold, &pred);
        let reference = Reference { kind: Kind::Choice, values: vec![gold], tolerance: None, options: vec![pred.clone()] };
        verify(&reference, &Answer { text: &pred, form: Form::Text });
    }
}
