//! Words beside formulas. Reading leaves them out (`the length is 3`), so that answers need not repeat
//! them; here they are looked at once more before two answers pass as equal, because words that
//! contradict each other, or that hang on other items of a list, make them different after all.

use super::ast::Node;
use super::equal::Decision;
use super::parse::{self, Reading};
use super::{names, phrase, structure, units};

/// Longest text whose words are looked at, in bytes; longer ones are hardly answers.
const MAX_BYTES: usize = 4000;

/// Words that exclude each other; `*` stands for any ending.
const POLES: &[(&[&str], &[&str])] = &[
    (
        &["max", "maxim*", "largest", "greatest", "highest", "longest", "most"],
        &["min", "minim*", "smallest", "least", "lowest", "shortest"],
    ),
    (&["increas*", "rise*", "rising", "grow*"], &["decreas*", "fall*", "shrink*", "drop*"]),
    (&["profit*", "gain*", "earn*", "surplus"], &["loss*", "lose*", "lost", "debt*", "deficit"]),
    (&["up", "upward*", "above"], &["down", "downward*", "below", "beneath"]),
    (&["left", "leftward*"], &["right", "rightward*"]),
    (&["north*"], &["south*"]),
    (&["east*"], &["west*"]),
    (&["inside", "interior"], &["outside", "exterior"]),
    (&["even"], &["odd"]),
    (&["converg*"], &["diverg*"]),
    (&["before", "earlier", "ago"], &["after", "later"]),
    (&["more", "greater", "larger", "longer", "taller", "older"], &["less", "fewer", "smaller", "shorter", "younger"]),
    (&["clockwise"], &["counterclockwise", "anticlockwise"]),
    (&["first"], &["last"]),
    (&["win*", "won"], &["defeat*"]),
    (&["true", "yes"], &["false", "no", "not"]),
    (&["parallel"], &["perpendicular"]),
    (&["rational"], &["irrational"]),
    (&["prime", "primes"], &["composite*"]),
    (&["positive"], &["negative"]),
    (&["concave"], &["convex"]),
    (&["deposit*"], &["withdraw*"]),
    (&["open"], &["closed"]),
    (&["finite*"], &["infinite*"]),
    (&["acute"], &["obtuse"]),
];

/// The same without word boundaries.
const POLES_ZH: &[(&str, &str)] = &[
    ("最大", "最小"),
    ("递增", "递减"),
    ("增加", "减少"),
    ("奇数", "偶数"),
    ("收敛", "发散"),
    ("向左", "向右"),
    ("向上", "向下"),
    ("盈利", "亏损"),
];

/// Words that say which numbers a letter stands for.
const DOMAINS: &[&str] = &[
    "odd",
    "even",
    "prime",
    "composite",
    "integer*",
    "natural",
    "rational",
    "irrational",
    "nonnegative",
    "negative",
    "nonzero",
];

/// What is to be decided instead about two answers whose formulas are equal; `None` if nothing speaks
/// against it.
pub(super) fn objection(gold: &str, pred: &str, gold_node: &Node, pred_node: &Node) -> Option<Decision> {
    if gold == pred || gold.len().max(pred.len()) > MAX_BYTES || matches!(gold_node, Node::Text(_)) {
        return None;
    }
    const LOOSE: Decision = Decision::Unknown("it is not clear which item belongs to which label");
    if named_items(gold_node) && !pred_node.any(&|node| matches!(node, Node::Rel(..))) && !ordered(gold_node, pred_node)
    {
        return Some(LOOSE);
    }
    let (a, b) = (words(gold), words(pred));
    if a.is_empty() && b.is_empty() && gold.is_ascii() && pred.is_ascii() {
        return None;
    }
    if opposed(gold, pred, &a, &b) {
        return Some(Decision::Unknown("their words contradict each other"));
    }
    let of_letters = !gold_node.variables().is_empty();
    if of_letters && !a.is_empty() && !b.is_empty() && DOMAINS.iter().any(|domain| any(&a, domain) != any(&b, domain)) {
        return Some(Decision::Unknown("their words restrict the letters differently"));
    }
    if conditions_differ(gold, pred) {
        return Some(Decision::Unknown("their conditions may differ"));
    }
    let (x, y) = (labels(gold), labels(pred));
    // A reference without labels is a list, which has no order.
    if x.len() < 2 {
        return None;
    }
    if let (Some(a), Some(b)) = (phrase::read(gold), phrase::read(pred)) {
        match phrase::compare(&a, &b, None) {
            Decision::Equal(_) => return None,
            Decision::Different(why) => return Some(Decision::Different(why)),
            Decision::Unknown(_) => {}
        }
    }
    let shared = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|word| other.contains(word)).cloned().collect()
    };
    let in_order = shared(&x, &y) == shared(&y, &x) && ordered(gold_node, pred_node);
    (!in_order).then_some(LOOSE)
}

/// Whether one side names the one pole only, and the other side the other.
fn opposed(gold: &str, pred: &str, a: &[String], b: &[String]) -> bool {
    let crossed = |[ax, ay, bx, by]: [bool; 4]| (ax && !ay && by && !bx) || (ay && !ax && bx && !by);
    let side = |words: &[String], side: &[&str]| side.iter().any(|stem| any(words, stem));
    POLES.iter().any(|(x, y)| crossed([side(a, x), side(a, y), side(b, x), side(b, y)]))
        || POLES_ZH
            .iter()
            .any(|(x, y)| crossed([gold.contains(x), gold.contains(y), pred.contains(x), pred.contains(y)]))
}

fn any(words: &[String], stem: &str) -> bool {
    match stem.strip_suffix('*') {
        Some(stem) => words.iter().any(|word| word.starts_with(stem)),
        None => words.iter().any(|word| word == stem),
    }
}

/// Words outside of formulas in lower case, without commands and names of functions and units.
fn words(text: &str) -> Vec<String> {
    const NAMES: [&str; 3] = ["\\begin{", "\\end{", "\\operatorname{"];
    let mut found = Vec::new();
    let mut rest = text;
    let mut start = 0;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        start += at;
        let length = text[start..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len() - start);
        let word = &text[start..start + length];
        let before = &text[..start];
        let named = before.ends_with('\\') || NAMES.iter().any(|name| before.ends_with(name));
        let math = || {
            names::function(word).is_some_and(|_| !matches!(word, "max" | "min"))
                || names::constant(word).is_some()
                || units::lookup(word).is_some()
        };
        if length >= 2 && !named && !math() {
            found.push(word.to_ascii_lowercase());
        }
        start += length;
        rest = &text[start..];
    }
    found
}

/// The words that name the items of a list, each its own: `length 3, width 5`.
fn labels(text: &str) -> Vec<String> {
    const EMPTY: &[&str] = &[
        "the", "an", "is", "are", "for", "of", "in", "at", "to", "with", "has", "have", "be", "by", "on", "text", "as",
        "it", "we", "get", "value", "values", "or", "and",
    ];
    let lists = text.replace(" and ", ",").replace(" or ", ",");
    let mut found: Vec<String> = Vec::new();
    let mut labelled = 0;
    for clause in lists.split([',', ';', '，', '；', '、', '\n']) {
        let own: Vec<String> = words(clause).into_iter().filter(|word| !EMPTY.contains(&word.as_str())).collect();
        let new = own.iter().any(|word| !found.contains(word));
        labelled += usize::from(new && clause.contains(|c: char| c.is_ascii_digit() || c == '='));
        found.extend(own);
    }
    if labelled >= 2 { found } else { Vec::new() }
}

/// Whether each item is a value of another unknown: `x = 3, y = 5`.
fn named_items(node: &Node) -> bool {
    let Node::List(items, _) = node else { return false };
    let sides: Option<Vec<&Node>> = items.iter().map(structure::left_side).collect();
    sides.is_some_and(|sides| sides.iter().enumerate().all(|(k, side)| !sides[..k].contains(side)))
}

/// Whether two lists agree item by item.
fn ordered(gold: &Node, pred: &Node) -> bool {
    let tuple = |node: &Node| match node {
        Node::List(items, _) | Node::Set(items) => Node::Tuple('(', items.clone(), ')'),
        other => other.clone(),
    };
    structure::compare(&tuple(gold), &tuple(pred), None).is_equal()
}

/// Whether both state a condition with an order in it, and not the same one.
fn conditions_differ(gold: &str, pred: &str) -> bool {
    let condition = |text: &str| -> Option<String> {
        let at = ["where", "for ", "forall", "if ", "when "].iter().filter_map(|word| text.find(word)).min()?;
        let condition = &text[at..];
        let order = ["<", ">", "\\l", "\\g", "≤", "≥", "\\neq", "≠"].iter().any(|sign| condition.contains(sign));
        order.then(|| condition.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim().to_owned())
    };
    let (Some(a), Some(b)) = (condition(gold), condition(pred)) else { return false };
    let read = |text: &str| parse::parse(text, Reading::default()).ok().map(|parsed| parsed.node);
    match (read(&a), read(&b)) {
        (Some(a), Some(b)) => !matches!(structure::compare(&a, &b, None), Decision::Equal(_)),
        _ => a != b,
    }
}
