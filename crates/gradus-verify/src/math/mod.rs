//! Mathematics: reading two answers and deciding whether they are equivalent.

mod ast;
mod ball;
mod call;
mod command;
mod equal;
mod exact;
mod family;
mod field;
mod group;
mod interval;
mod label;
mod lex;
mod magnitude;
mod matrix;
mod names;
mod numeric;
mod parse;
mod phrase;
mod polynomial;
mod quantity;
mod realset;
mod relation;
mod structure;
mod term;
mod units;

use ast::Node;
pub(crate) use equal::Decision;
use lex::Commas;
use parse::{Fail, Parsed, Reading};
use phrase::Phrase;

use crate::Tolerance;

/// A decision and how it was reached.
pub(crate) struct Comparison {
    pub(crate) decision: Decision,
    /// Kinds of both sides, for example `rational=decimal`.
    pub(crate) method: String,
}

/// A text read once, with what is needed to read it differently.
struct Read<'a> {
    text: &'a str,
    parsed: Result<Parsed, Fail>,
}

impl<'a> Read<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, parsed: parse::parse(text, Reading::default()) }
    }

    fn node(&self) -> Node {
        match &self.parsed {
            Ok(parsed) => parsed.node.clone(),
            Err(_) => Node::Text(self.text.to_owned()),
        }
    }

    /// Words and formulas mixed, where the whole is no formula.
    fn phrase(&self) -> Option<Phrase> {
        self.parsed.is_err().then(|| phrase::read(self.text)).flatten()
    }

    fn slash(&self) -> bool {
        self.parsed.as_ref().is_ok_and(|p| p.slash)
    }

    fn again(&self, reading: Reading) -> Option<Node> {
        parse::parse(self.text, reading).ok().map(|p| p.node)
    }
}

/// Whether an answer is equivalent to a reference.
pub(crate) fn compare(gold: &str, pred: &str, tolerance: Option<Tolerance>) -> Comparison {
    if gold.len().max(pred.len()) > lex::MAX_BYTES {
        return Comparison { decision: Decision::Unknown("over the size limits"), method: "unread=unread".into() };
    }
    let (g, p) = (Read::new(gold), Read::new(pred));
    let (gold_node, pred_node) = (g.node(), p.node());
    let (gold_phrase, pred_phrase) = (g.phrase(), p.phrase());
    let name = |read: &Read<'_>, node: &Node, phrase: &Option<Phrase>| match read.parsed {
        Err(_) if phrase.is_some() => "phrase",
        Err(Fail::Syntax) => "unread",
        _ => kind(node),
    };
    let method = format!("{}={}", name(&g, &gold_node, &gold_phrase), name(&p, &pred_node, &pred_phrase));
    if g.parsed.as_ref().err() == Some(&Fail::Limit) || p.parsed.as_ref().err() == Some(&Fail::Limit) {
        return Comparison { decision: Decision::Unknown("over the size limits"), method };
    }
    let mut decision = structure::compare(&gold_node, &pred_node, tolerance);
    if matches!(decision, Decision::Unknown(_)) && gold_node == pred_node {
        decision = Decision::Equal(crate::Proof::Exact);
    }
    // What could not be read, or holds a formula among its words, may say what the other side says.
    let unclear = |read: &Read<'_>, phrase: &Option<Phrase>| {
        let words = |c: char| c.is_alphabetic() || c.is_whitespace() || ".,;:!?'\"()-".contains(c);
        phrase.is_some() || (read.parsed.as_ref().err() == Some(&Fail::Syntax) && !read.text.chars().all(words))
    };
    if matches!(decision, Decision::Different(_)) && (unclear(&g, &gold_phrase) || unclear(&p, &pred_phrase)) {
        decision = Decision::Unknown("one of them could not be read");
    }
    let worded = matches!(gold_node, Node::Text(_)) || matches!(pred_node, Node::Text(_));
    if !decision.is_equal() && worded && crate::text::same(gold, pred) == Some(true) {
        decision = Decision::Equal(crate::Proof::Exact);
    }
    if !decision.is_equal()
        && let (Some(a), Some(b)) = (&gold_phrase, &pred_phrase)
    {
        match phrase::compare(a, b, tolerance) {
            Decision::Unknown(_) => {}
            told => decision = told,
        }
    }
    if !decision.is_equal()
        && let Some(renamed) = family::rename(&gold_node, &pred_node)
    {
        let again = structure::compare(&gold_node, &renamed, tolerance);
        if again.is_equal() {
            decision = again;
        }
    }
    if !decision.is_equal()
        && let Some((a, b)) = imaginary(&gold_node, &pred_node)
    {
        let again = structure::compare(&a, &b, tolerance);
        if again.is_equal() {
            decision = again;
        }
    }
    if !decision.is_equal() {
        for (a, b) in other_readings(&g, &p, &gold_node, &pred_node) {
            let again = structure::compare(&a, &b, tolerance);
            if again.is_equal() {
                decision = again;
                break;
            }
        }
    }
    if decision.is_equal()
        && let Some(instead) = label::objection(gold, pred, &gold_node, &pred_node)
    {
        decision = instead;
    }
    Comparison { decision, method }
}

/// A capital `I` against an `i`: the imaginary unit in another hand.
fn imaginary(gold: &Node, pred: &Node) -> Option<(Node, Node)> {
    // Alone it is a name, or a Roman numeral.
    if matches!(gold, Node::Var(_)) || matches!(pred, Node::Var(_)) {
        return None;
    }
    let capital = |n: &Node| n.any(&|m| matches!(m, Node::Var(v) if &**v == "I"));
    let unit = |n: &Node| n.any(&|m| matches!(m, Node::Const(ast::Const::I)));
    let replace = |n: &Node| n.substitute("I", &Node::Const(ast::Const::I));
    match (capital(gold), capital(pred)) {
        (true, false) if unit(pred) && !unit(gold) => Some((replace(gold), pred.clone())),
        (false, true) if unit(gold) && !unit(pred) => Some((gold.clone(), replace(pred))),
        _ => None,
    }
}

/// Pairs of readings that the notation allows beside the usual ones.
fn other_readings(g: &Read<'_>, p: &Read<'_>, gold: &Node, pred: &Node) -> Vec<(Node, Node)> {
    let mut out = Vec::new();
    let tight = Reading { tight_slash: true, ..Reading::default() };
    if p.slash() {
        out.extend(p.again(tight).map(|n| (gold.clone(), n)));
    }
    if g.slash() {
        out.extend(g.again(tight).map(|n| (n, pred.clone())));
        if p.slash() {
            out.extend(g.again(tight).zip(p.again(tight)));
        }
    }
    let list = |n: &Node| matches!(n, Node::List(..) | Node::Tuple(..) | Node::Set(_));
    let number = |n: &Node| matches!(n, Node::Num(_) | Node::Neg(_) | Node::Quantity(..) | Node::Percent(_));
    // `2600 g`: one letter behind a number may be its unit.
    if number(gold)
        && let Node::Mul(items) = pred
        && let [value @ Node::Num(_), Node::Var(letter)] = items.as_slice()
        && units::lookup(letter).is_some()
    {
        out.push((gold.clone(), Node::Quantity(Box::new(value.clone()), units::parse(letter))));
    }
    let commas = |text: &str| text.contains(',');
    let with = |commas: Commas| Reading { commas, ..Reading::default() };
    if number(gold) && list(pred) && commas(p.text) {
        out.extend(p.again(with(Commas::Thousands)).filter(number).map(|n| (gold.clone(), n)));
        if matches!(pred, Node::List(..)) && !commas(g.text) && g.text.contains('.') {
            out.extend(p.again(with(Commas::Decimal)).filter(number).map(|n| (gold.clone(), n)));
        }
    }
    if number(gold) && commas(g.text) && list(pred) {
        out.extend(g.again(with(Commas::Separate)).filter(list).map(|n| (n, pred.clone())));
    }
    if list(gold) && number(pred) && commas(p.text) {
        out.extend(p.again(with(Commas::Separate)).filter(list).map(|n| (gold.clone(), n)));
    }
    if list(gold) && list(pred) && (commas(p.text) || commas(g.text)) {
        let thousands = with(Commas::Thousands);
        out.extend(p.again(thousands).filter(|n| n != pred).map(|n| (gold.clone(), n)));
        out.extend(g.again(thousands).filter(|n| n != gold).map(|n| (n, pred.clone())));
    }
    out
}

/// A name for the kind of a node.
fn kind(node: &Node) -> &'static str {
    match node {
        Node::Num(n) if n.places.is_some() => "decimal",
        Node::Num(_) | Node::Based(..) => "integer",
        Node::Neg(inner) => kind(inner),
        Node::Div(a, b) if matches!((&**a, &**b), (Node::Num(_), Node::Num(_))) => "fraction",
        Node::Text(words) => crate::text::kind(words),
        Node::Tuple(..) => "tuple",
        Node::Set(_) => "set",
        Node::List(..) => "list",
        Node::SetOp(..) | Node::NamedSet(_) | Node::Builder(..) => "set_expression",
        Node::Matrix(_) => "matrix",
        Node::Rel(_, rels) => {
            if rels.iter().any(|r| r.is_order()) {
                "inequality"
            } else {
                "equation"
            }
        }
        Node::Quantity(..) | Node::Percent(_) | Node::Degree(_) => "quantity",
        Node::Ratio(_) => "ratio",
        Node::Time(..) => "time",
        _ => "expression",
    }
}

/// Whether a text reads as mathematics, and as what.
pub(crate) fn kind_of(text: &str) -> Option<&'static str> {
    parse::parse(text, Reading::default()).ok().map(|p| kind(&p.node))
}

/// Whether a text reads as mathematics and not as words.
pub(crate) fn is_math(text: &str) -> bool {
    parse::parse(text, Reading::default()).is_ok_and(|parsed| !matches!(parsed.node, Node::Text(_)))
}

/// Whether a word joins the items of a list.
pub(crate) fn is_join(word: &str) -> bool {
    names::join(word).is_some()
}

/// Whether a letter beyond ASCII is a symbol rather than part of a word.
pub(crate) fn is_math_letter(c: char) -> bool {
    names::greek_char(c).is_some()
        || names::join(c.encode_utf8(&mut [0; 4])).is_some()
        || matches!(c, 'π' | '𝜋' | 'ℝ' | 'ℤ' | 'ℕ' | 'ℚ' | 'ℂ' | 'ℯ' | 'ⅈ' | 'ª' | 'º' | 'µ' | 'μ' | 'Ø' | 'ø')
        || names::chinese_number(c.encode_utf8(&mut [0; 4])).is_some()
}

/// Whether a word belongs to formulas: a function, a constant, a unit, a joining word, or a short
/// product of letters.
pub(crate) fn is_math_word(word: &str) -> bool {
    names::join(word).is_some()
        || names::function(word).is_some()
        || names::constant(word).is_some()
        || units::lookup(word).is_some()
        || names::GLUED.iter().any(|g| word.starts_with(g) && word.len() <= g.len() + 1)
        || matches!(
            word,
            "percent" | "pct" | "degrees" | "degree" | "square" | "cubic" | "units" | "unit" | "mod" | "sqrt" | "per"
        )
        || (word.len() <= 3 && !names::is_short_word(word))
        || (word.len() <= 5 && word.bytes().all(|b| b.is_ascii_uppercase()))
}
