//! Answers that a phrase announces: `####`, "the answer is", 答案.

use std::ops::Range;

use super::formula::{bracketed, formula_list, formulas};
use super::letter::leading_letter;
use super::number::{first_number_like, last_number};
use super::{Expect, Found, tail_start, wordy};

/// Phrases that announce the answer; all lower case.
const PHRASES: &[&str] = &[
    "final answer is",
    "final answer:",
    "final answer",
    "correct answer is",
    "correct option is",
    "correct choice is",
    "answer is",
    "answer:",
    "answer :",
    "answer should be",
    "answer would be",
    "answer must be",
    "####",
    "答案是",
    "答案为",
    "答案：",
    "答案:",
    "réponse est",
    "la réponse :",
    "respuesta es",
    "respuesta:",
    "antwort ist",
    "antwort:",
    "ответ:",
    "a:",
];

/// Phrases that announce intermediate results as well; they count near the end only.
const WEAK_PHRASES: &[&str] =
    &["answer =", "result is", "solution is", "option is", "答案", "结果是", "结果为", "the answer ("];

/// How near the end is, in bytes.
const NEAR_END: usize = 240;

/// The text behind the last announcing phrase.
pub(super) fn announced(body: &str, expect: Expect) -> Option<Found> {
    let cut = tail_start(body);
    let body_tail = &body[cut..];
    let lower = body_tail.to_ascii_lowercase();
    let mut best: Option<(usize, usize)> = None;
    for (k, phrase) in PHRASES.iter().chain(WEAK_PHRASES).enumerate() {
        let weak = k >= PHRASES.len();
        let mut from = lower.len();
        let mut tries = 0;
        while let Some(at) = lower[..from].rfind(phrase) {
            tries += 1;
            let after = at + phrase.len();
            if weak && lower.len() - after > NEAR_END {
                break;
            }
            let boundary = at == 0 || !lower[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
            let line_start = *phrase != "a:" || at == 0 || lower[..at].ends_with('\n');
            // "The answer is not 5" announces nothing.
            let negated = lower[after..].trim_start().starts_with("not ");
            if boundary
                && line_start
                && !negated
                && !lower[after..].trim_matches(|c: char| c.is_whitespace() || "*:$.!".contains(c)).is_empty()
            {
                let better = best.is_none_or(|(b, e)| after > e || (after == e && at < b));
                if better {
                    best = Some((at, after));
                }
                break;
            }
            from = at;
            if tries > 50 {
                break;
            }
        }
    }
    let (_, after) = best?;
    let after = cut + after;
    let rest = &body[after..];
    let skip =
        rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '：' | '*' | '=')).len();
    let start = after + skip;
    let mut rest = &body[start..];
    let mut start = start;
    for lead in [
        "is ",
        "is:",
        "are ",
        "be ",
        "is\n",
        "was ",
        "the ",
        "approximately ",
        "about ",
        "option ",
        "choice ",
        "therefore ",
        "thus ",
        "simply ",
        "just ",
        "est ",
        "que ",
    ] {
        if rest.len() >= lead.len()
            && rest.is_char_boundary(lead.len())
            && rest[..lead.len()].eq_ignore_ascii_case(lead)
        {
            start += lead.len();
            rest = &body[start..];
        }
    }
    let skip = rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '：' | '*')).len();
    start += skip;
    let rest = &body[start..];
    if rest.is_empty() {
        return None;
    }
    if expect == Expect::Letter {
        return leading_letter(rest).map(|r| (start + r.start..start + r.end, "answer_phrase"));
    }
    // A formula right there, or within the sentence.
    let sentence = sentence_end(rest);
    let clause = &rest[..sentence];
    if expect == Expect::Words {
        return Some((start..start + clause.trim_end().len(), "answer_phrase"));
    }
    let whole = clause.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '。' | '*' | ',' | '，'));
    if whole.len() <= 300 && !wordy(whole) && crate::math::is_math(whole) {
        return Some((start..start + whole.len(), "answer_phrase"));
    }
    // "The largest $n$ is 34": what stands behind the verb.
    for verb in [" is ", " are ", " = ", " equals ", " be "] {
        if let Some(at) = clause.rfind(verb) {
            let value = clause[at + verb.len()..]
                .trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '。' | '*' | ','));
            let from = start + at + verb.len();
            let (from, value) = value.strip_prefix("**").map_or((from, value), |value| (from + 2, value));
            if value.len() <= 120
                && !wordy(value)
                && !value.contains('$')
                && !value.contains("\\(")
                && value.contains(|c: char| c.is_ascii_digit())
                && crate::math::is_math(value)
            {
                return Some((from..from + value.len(), "answer_phrase"));
            }
        }
    }
    let spans = formulas(clause);
    if !spans.is_empty() {
        if let Some(joined) = formula_list(clause, &spans) {
            return Some((start + joined.start..start + joined.end, "answer_phrase"));
        }
        let span = spans.last()?.clone();
        return Some((start + span.start..start + span.end, "answer_phrase"));
    }
    // `[90]`, `**42**` or the number itself.
    if let Some(bracket) = bracketed(clause) {
        return Some((start + bracket.start..start + bracket.end, "answer_phrase"));
    }
    if let Some(bold) = emphasised(clause) {
        return Some((start + bold.start..start + bold.end, "answer_phrase"));
    }
    if let Some(number) = first_number_like(clause) {
        return Some((start + number.start..start + number.end, "answer_phrase"));
    }
    // Words only: the phrase announces a sentence; look at what follows it.
    let spans = formulas(rest);
    if let Some(span) = spans.first() {
        return Some((start + span.start..start + span.end, "answer_phrase"));
    }
    if let Some(number) = last_number(rest) {
        return Some((start + number.start..start + number.end, "answer_phrase"));
    }
    Some((start..start + whole.len(), "answer_phrase"))
}

/// Where a sentence ends: a full stop before space, a line break, a Chinese stop. Formulas are
/// skipped.
fn sentence_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut dollar = false;
    let mut display = 0i32;
    while at < bytes.len() {
        match bytes[at] {
            b'$' if at == 0 || bytes[at - 1] != b'\\' => dollar = !dollar,
            b'\\' if matches!(bytes.get(at + 1), Some(b'(' | b'[')) => display += 1,
            b'\\' if matches!(bytes.get(at + 1), Some(b')' | b']')) => display -= 1,
            b'\n' if !dollar && display <= 0 && !text[..at].trim().is_empty() => {
                return at;
            }
            b'.' | b'?' if !dollar && display <= 0 => {
                let next = bytes.get(at + 1);
                let digit_before = at > 0 && bytes[at - 1].is_ascii_digit();
                if next.is_none_or(u8::is_ascii_whitespace) && (at > 0 || !digit_before) {
                    return at;
                }
            }
            0xe3 if !dollar && text[at..].starts_with('。') => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The only `**...**` of a clause that holds a number, with a short content.
fn emphasised(text: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut at = 0;
    while let Some(open) = text[at..].find("**").map(|n| at + n + 2) {
        let close = open + text[open..].find("**")?;
        let inside = &text[open..close];
        if inside.len() <= 60 && inside.contains(|c: char| c.is_ascii_digit()) {
            if found.is_some() {
                return None;
            }
            let number = first_number_like(inside)?;
            found = Some(open + number.start..open + number.end);
        }
        at = close + 2;
    }
    found
}
