//! Finding the final answer in a full response.
//!
//! The rules are tried in a fixed order, and the last match of the first rule that matches is the
//! answer: a box, an announced answer (`####`, "the answer is", 答案), the last formula, the last
//! number. Only what follows the thinking part is looked at.

mod announced;
mod boxes;
mod formula;
mod letter;
mod number;

use std::ops::Range;

use announced::announced;
use boxes::boxed;
use formula::{bracketed, formula_list, formulas};
use letter::{leading_letter, loose_letter};
use number::last_number;

use crate::{Extracted, Kind};

/// What kind of answer the reference leads one to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Numbers, expressions, sets.
    Math,
    /// A letter among options.
    Letter,
    /// Words.
    Words,
}

/// Only the last part of longer responses is searched by the rules for formulas and numbers.
const TAIL: usize = 20_000;

/// The final answer of a response, expecting an answer of this kind.
///
/// ```
/// let found = gradus_verify::extract(r"So $x = 7$, and \boxed{\frac{7}{2}}.", gradus_verify::Kind::Math);
/// assert_eq!(found.unwrap().text, r"\frac{7}{2}");
/// ```
pub fn extract(response: &str, kind: Kind) -> Option<Extracted> {
    find(
        response,
        match kind {
            Kind::Math => Expect::Math,
            Kind::Choice => Expect::Letter,
            Kind::Text => Expect::Words,
        },
    )
}

pub(crate) fn find(response: &str, expect: Expect) -> Option<Extracted> {
    let part = answer_part(response)?;
    let body = &response[part.clone()];
    let (mut range, mut rule) = json(body)
        .or_else(|| {
            let found = boxed(body, expect)?;
            // A box with a value, and then "so the answer is (J)".
            let letter = |range: &Range<usize>| leading_letter(&body[range.clone()]).is_some();
            let later = || announced(body, expect).filter(|(range, _)| range.start > found.0.end && letter(range));
            if expect == Expect::Letter && !letter(&found.0) { later().or(Some(found)) } else { Some(found) }
        })
        .or_else(|| announced(body, expect))
        .or_else(|| by_kind(body, expect))?;
    // A sentence where an answer was asked for holds the answer.
    if expect == Expect::Math && rule == "json_answer" && wordy(&body[range.clone()]) {
        let sentence = &body[range.clone()];
        if let Some((inner, _)) = announced(sentence, expect).or_else(|| by_kind(sentence, expect)) {
            range = range.start + inner.start..range.start + inner.end;
            rule = "json_sentence";
        }
    }
    let range = bare(body, range);
    let span = part.start + range.start..part.start + range.end;
    let text = response[span.clone()].to_owned();
    (!text.trim().is_empty()).then_some(Extracted { text, span, rule })
}

type Found = (Range<usize>, &'static str);

/// Without the white space, emphasis and formula delimiters around an answer.
fn bare(body: &str, mut range: Range<usize>) -> Range<usize> {
    loop {
        let text = &body[range.clone()];
        let trimmed = text.trim();
        let start = range.start + (text.len() - text.trim_start().len());
        range = start..start + trimmed.len();
        let stripped = [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**")].into_iter().find(
            |(open, close)| {
                trimmed.len() > open.len() + close.len()
                    && trimmed.starts_with(open)
                    && trimmed.ends_with(close)
                    && !trimmed[open.len()..trimmed.len() - close.len()].contains(open)
                    && !trimmed[..trimmed.len() - close.len()].ends_with('\\')
            },
        );
        match stripped {
            Some((open, close)) => range = range.start + open.len()..range.end - close.len(),
            None => return range,
        }
    }
}

/// What follows the thinking part, up to the end of the turn. None if the thinking never ends.
fn answer_part(response: &str) -> Option<Range<usize>> {
    const OPEN: &[&str] = &["<think>", "<thinking>", "<|begin_of_thought|>", "<reasoning>"];
    const CLOSE: &[&str] = &["</think>", "</thinking>", "<|end_of_thought|>", "</reasoning>"];
    const END: &[&str] = &["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>"];
    let (mut start, mut end, mut thinking) = (0, response.len(), false);
    for (at, _) in response.match_indices('<') {
        let rest = &response[at..];
        if let Some(tag) = CLOSE.iter().find(|tag| rest.starts_with(**tag)) {
            start = at + tag.len();
            end = response.len();
            thinking = false;
        } else if OPEN.iter().any(|tag| rest.starts_with(tag)) {
            thinking = true;
        } else if end == response.len() && at > start && END.iter().any(|tag| rest.starts_with(tag)) {
            end = at;
        }
    }
    // A model that goes on with questions of its own has answered before.
    if let Some(next) = response[start..end].find("\n\nQuestion:")
        && next > 0
        && response[start..start + next].contains("answer")
    {
        end = start + next;
    }
    (!thinking).then_some(start..end)
}

/// The value of the last `"answer"` member of a JSON answer, however broken its backslashes are.
fn json(body: &str) -> Option<Found> {
    // Prose may stand around the object, but an object there must be.
    let object = body.find('{')?;
    let opening = body[object + 1..].trim_start();
    if !opening.starts_with(['"', '\'']) {
        return None;
    }
    let mut key = None;
    for name in ["\"answer\"", "\"final_answer\"", "\"Answer\"", "\"final answer\"", "'answer'"] {
        if let Some(at) = body.rfind(name) {
            key = key.max(Some((at, name.len())));
        }
    }
    let (at, length) = key?;
    let from = at + length;
    let rest = &body[from..];
    let colon = rest.find(|c: char| !c.is_whitespace())?;
    if !rest[colon..].starts_with(':') {
        return None;
    }
    let rest_at = from + colon + 1;
    let rest = &body[rest_at..];
    let start = rest_at + rest.find(|c: char| !c.is_whitespace())?;
    let value = &body[start..];
    let quote = value.chars().next()?;
    if quote == '"' || quote == '\'' {
        // The string ends at a quote that is followed by the end of the object or another member.
        let inner = start + 1;
        let mut search = inner;
        while let Some(q) = body[search..].find(quote) {
            let at = search + q;
            let tail = body[at + 1..].trim_start();
            let escaped = body[..at].ends_with('\\') && !body[..at].ends_with("\\\\");
            if !escaped
                && (tail.is_empty()
                    || tail.starts_with('}')
                    || (tail.starts_with(',') && tail[1..].trim_start().starts_with('"'))
                    || tail.starts_with("```"))
            {
                return Some((inner..at, "json_answer"));
            }
            search = at + 1;
        }
        let end = body.trim_end().len();
        return Some((inner..end.max(inner), "json_answer"));
    }
    let end = value.rfind('}').map_or(body.trim_end().len(), |e| start + e);
    let text = body[start..end].trim_end();
    Some((start..start + text.len(), "json_answer"))
}

/// The content of the group that opens at `open` (a brace), iteratively.
fn group(text: &str, open: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut depth = 0i64;
    let mut at = open;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(open + 1..at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// What is left when nothing announces the answer.
fn by_kind(body: &str, expect: Expect) -> Option<Found> {
    if expect == Expect::Letter {
        return loose_letter(body).map(|r| (r, "letter"));
    }
    let whole = body.trim();
    // The response is nothing but the answer.
    if whole.len() <= 40_000 && !whole.is_empty() && !whole.contains('\n') {
        let start = body.find(whole).unwrap_or(0);
        let plain = whole.trim_end_matches(['.', '。', ' ']);
        // A bare formula is the answer even if it is too deep to read.
        let formula = !wordy(plain) && (!plain.contains('$') || crate::math::is_math(plain));
        if formula || expect == Expect::Words {
            return Some((start..start + plain.len(), "whole"));
        }
    }
    if expect == Expect::Words {
        let line = whole.lines().rev().find(|l| !l.trim().is_empty())?;
        let start = body.rfind(line)?;
        return Some((start..start + line.len(), "last_line"));
    }
    let cut = tail_start(body);
    let tail = &body[cut..];
    let spans = formulas(tail);
    let number = last_number(tail);
    let bracket = bracketed(tail);
    if let Some(b) = &bracket
        && spans.last().is_none_or(|s| s.end <= b.start || (s.start >= b.start && s.end <= b.end))
    {
        return Some((cut + b.start..cut + b.end, "brackets"));
    }
    // A bare number behind the last formula is a later statement.
    if let Some(last) = spans.last() {
        let later = number.as_ref().is_some_and(|n| n.start > last.end + 1 && !tail[last.end..n.end].trim().is_empty());
        if !later {
            let joined = formula_list(tail, &spans);
            let mut span = joined.unwrap_or_else(|| last.clone());
            let after = &tail[span.end..];
            let stripped = after.trim_start_matches(['$', ' ', '\\', ')']);
            if stripped.starts_with('%') {
                span.end = tail.len() - stripped.len() + 1;
            }
            return Some((cut + span.start..cut + span.end, "last_formula"));
        }
    }
    number.map(|n| (cut + n.start..cut + n.end, "last_number"))
}

/// Commands whose argument is a name or a text, not a formula.
const NAMED_ARGUMENTS: &[&str] = &["text", "textbf", "mbox", "mathrm", "mathbf", "operatorname", "begin", "end"];

/// Whether ordinary words stand outside of commands and formulas: prose, not an answer as such.
fn wordy(text: &str) -> bool {
    let mut words = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            at += 1;
            while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
                at += 1;
            }
            // The argument of a text command is part of the answer.
            if bytes.get(at) == Some(&b'{')
                && NAMED_ARGUMENTS.iter().any(|command| text[..at].ends_with(command))
                && let Some(inner) = group(text, at)
            {
                at = inner.end;
            }
            continue;
        }
        let letters = bytes[at..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if letters == 0 {
            let c = text[at..].chars().next().unwrap_or(' ');
            if !c.is_ascii() && c.is_alphabetic() && !crate::math::is_math_letter(c) {
                words += 1;
            }
            at += c.len_utf8();
            continue;
        }
        let word = &text[at..at + letters];
        at += letters;
        if letters >= 2 && !crate::math::is_math_word(word) {
            words += 1;
        }
    }
    words >= 1
}

fn tail_start(body: &str) -> usize {
    let mut cut = body.len().saturating_sub(TAIL);
    while !body.is_char_boundary(cut) {
        cut += 1;
    }
    cut
}
