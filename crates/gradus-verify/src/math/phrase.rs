//! Answers of words and formulas mixed: `max at $x = 7$, min at $x = 1$`. Two of them say the same if
//! their words are the same and their formulas equal, clause by clause.

use super::ast::Node;
use super::equal::{Decision, weaker};
use super::parse::{self, Reading};
use super::structure;
use crate::{Proof, Tolerance, text};

/// Longest text that is taken apart, in bytes.
const MAX_BYTES: usize = 4000;

/// Clauses in the order of the text.
pub(super) struct Phrase(Vec<Clause>);

/// What stands between two commas.
#[derive(Default)]
struct Clause {
    /// Normalised words; `None` where a formula stands.
    words: Vec<Option<String>>,
    formulas: Vec<Node>,
}

/// Takes a text apart; `None` unless it holds both words and formulas. Formulas are marked as such, or
/// numbers.
pub(super) fn read(text: &str) -> Option<Phrase> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let mut clauses = vec![Clause::default()];
    let mut rest = text;
    while !rest.is_empty() {
        let (words, formula, after) = next_formula(rest);
        for (k, part) in split_clauses(words).enumerate() {
            if k > 0 {
                clauses.push(Clause::default());
            }
            clauses.last_mut()?.add_words(part);
        }
        if let Some(formula) = formula {
            clauses.last_mut()?.add_formula(formula);
        }
        rest = after;
    }
    clauses.retain(|clause| !clause.words.is_empty());
    let some_words = clauses.iter().any(|clause| clause.words.iter().any(Option::is_some));
    let some_formula = clauses.iter().any(|clause| !clause.formulas.is_empty());
    (some_words && some_formula).then_some(Phrase(clauses))
}

/// Compares two phrases. Different words leave it undecided.
pub(super) fn compare(gold: &Phrase, pred: &Phrase, tolerance: Option<Tolerance>) -> Decision {
    const WORDS: Decision = Decision::Unknown("the words could mean the same");
    let (Phrase(gold), Phrase(pred)) = (gold, pred);
    if gold.len() != pred.len() {
        return WORDS;
    }
    // Without words of its own a clause leans on its neighbours, and two with the same words can only
    // be told apart by their place.
    let in_order = gold.iter().enumerate().any(|(k, clause)| {
        clause.words.iter().all(Option::is_none) || gold[..k].iter().any(|other| other.words == clause.words)
    });
    let mut proof = Proof::Exact;
    let mut different = None;
    for (k, clause) in gold.iter().enumerate() {
        let partner = if in_order {
            pred.get(k).filter(|other| other.words == clause.words)
        } else {
            pred.iter().find(|other| other.words == clause.words)
        };
        let Some(partner) = partner else { return WORDS };
        for (a, b) in clause.formulas.iter().zip(&partner.formulas) {
            match structure::compare(a, b, tolerance) {
                Decision::Equal(p) => proof = weaker(proof, p),
                // Another letter may stand for the same thing.
                Decision::Different(why) if a.variables() == b.variables() => different = Some(why),
                Decision::Different(_) => return Decision::Unknown("their formulas use different letters"),
                unknown @ Decision::Unknown(_) => return unknown,
            }
        }
    }
    different.map_or(Decision::Equal(proof), Decision::Different)
}

impl Clause {
    /// Words as they are; a number among them is a formula.
    fn add_words(&mut self, part: &str) {
        for token in part.split_whitespace() {
            let number = token.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
            if number && let Ok(parsed) = parse::parse(token, Reading::default()) {
                self.words.push(None);
                self.formulas.push(parsed.node);
                continue;
            }
            let normal = text::normal(token);
            let words = normal.split(' ').filter(|word| !matches!(*word, "" | "a" | "an" | "the" | "and"));
            self.words.extend(words.map(|word| Some(word.to_owned())));
        }
    }

    /// A formula that cannot be read counts as the words it is written with.
    fn add_formula(&mut self, formula: &str) {
        let trimmed = formula.trim();
        let bare = trimmed.trim_start_matches(['=', '<', '>', '~']);
        let (sign, formula) = trimmed.split_at(trimmed.len() - bare.len());
        self.words.extend((!sign.is_empty()).then(|| Some(sign.to_owned())));
        match parse::parse(formula, Reading::default()) {
            Ok(parsed) if !matches!(parsed.node, Node::Text(_)) => {
                self.words.push(None);
                self.formulas.push(parsed.node);
            }
            _ => self.words.push(Some(text::normal(formula))),
        }
    }
}

/// The text before the next marked formula, the formula, and the text behind it.
fn next_formula(text: &str) -> (&str, Option<&str>, &str) {
    const MARKS: [(&str, &str); 4] = [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")];
    let first = MARKS.iter().filter_map(|(open, close)| Some((find(text, open)?, open, close)));
    let Some((start, open, close)) = first.min_by_key(|(start, open, _)| (*start, std::cmp::Reverse(open.len())))
    else {
        return (text, None, "");
    };
    let inner = &text[start + open.len()..];
    match find(inner, close) {
        Some(end) => (&text[..start], Some(&inner[..end]), &inner[end + close.len()..]),
        None => (text, None, ""),
    }
}

/// Where a mark stands that is not escaped: `\$` is a sign of money.
fn find(text: &str, mark: &str) -> Option<usize> {
    text.match_indices(mark).map(|(at, _)| at).find(|at| !text[..*at].ends_with('\\'))
}

/// Cuts at commas, semicolons, the ends of sentences and the word `and`; not within a number.
fn split_clauses(words: &str) -> impl Iterator<Item = &str> {
    let bytes = words.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut rest = words;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let start = words.len() - rest.len();
        let mark = rest.char_indices().find_map(|(at, c)| {
            let here = start + at;
            let within = here > 0 && digit(here - 1) && digit(here + 1);
            match c {
                ';' | '。' | '，' | '；' => Some((at, c.len_utf8())),
                ',' | '.' if !within => Some((at, 1)),
                ' ' if rest[at..].starts_with(" and ") => Some((at, " and".len())),
                _ => None,
            }
        });
        let Some((at, length)) = mark else {
            ended = true;
            return Some(rest);
        };
        let clause = &rest[..at];
        rest = &rest[at + length..];
        Some(clause)
    })
}
