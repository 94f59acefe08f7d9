//! Finding the final answer in a full response.
//!
//! The rules are tried in a fixed order, and the last match of the first rule that matches is the
//! answer: a box, an announced answer (`####`, "the answer is", 答案), the last formula, the last
//! number. Only what follows the thinking part is looked at.

use std::ops::Range;

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
        .or_else(|| boxed(body, expect))
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

/// The last box; neighbouring boxes with nothing but a joining word between belong together.
fn boxed(body: &str, expect: Expect) -> Option<Found> {
    let boxes = boxes(body);
    let last = boxes.last()?;
    let mut inner = last.inner.clone();
    // A box in a box, a few levels deep.
    for _ in 0..16 {
        let Some(nested) = nested_box(body, &inner) else { break };
        inner = nested;
    }
    if expect != Expect::Letter {
        let mut first = boxes.len() - 1;
        while first > 0 {
            let gap = &body[boxes[first - 1].whole.end..boxes[first].whole.start];
            if !joins(gap) || body[boxes[first - 1].inner.clone()].trim() == body[inner.clone()].trim() {
                break;
            }
            first -= 1;
        }
        if first + 1 < boxes.len() {
            return Some((boxes[first].whole.start..last.whole.end, "boxed_list"));
        }
    }
    // `\boxed{28} percent` and `\boxed{20}\%`: the sign stands outside.
    let outside = &body[last.whole.end..];
    let tail = outside.trim_start_matches(['$', ' ', '\\', ')', '*']);
    let sign = ["%", "percent", "pct"].iter().find(|sign| tail.starts_with(**sign));
    if let (Expect::Math, Some(sign)) = (expect, sign) {
        let end = body.len() - tail.len() + sign.len();
        return Some((last.whole.start..end, "boxed"));
    }
    Some((inner, "boxed"))
}

struct Boxed {
    whole: Range<usize>,
    inner: Range<usize>,
}

/// Outermost closed boxes in order, in one pass.
fn boxes(body: &str) -> Vec<Boxed> {
    let bytes = body.as_bytes();
    let mut out: Vec<Boxed> = Vec::new();
    let Some(first) = body.find("box") else { return out };
    // Open braces; for boxes with where their command starts.
    let mut stack: Vec<(usize, Option<usize>)> = Vec::new();
    let mut at = first.saturating_sub(4);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' | 0x8 | 0xc => {
                // A careless decoder turns `\b` and `\f` into control characters.
                let eaten = bytes[at] != b'\\';
                let name = if eaten { &bytes[at..] } else { &bytes[at + 1..] };
                let length = match name {
                    [b'b' | 0x8, b'o', b'x', b'e', b'd', ..] => 5,
                    [b'f' | 0xc, b'b', b'o', b'x', ..] => 4,
                    _ => 0,
                };
                if length == 0 {
                    // `\\boxed` was escaped twice.
                    let doubled = name.starts_with(b"\\boxed{") || name.starts_with(b"\\fbox{");
                    at += if eaten || doubled { 1 } else { 2 };
                    continue;
                }
                let mut open = at + length + usize::from(!eaten);
                while matches!(bytes.get(open), Some(b' ' | b'\n')) {
                    open += 1;
                }
                match bytes.get(open) {
                    Some(b'{') => {
                        stack.push((open, Some(at)));
                        at = open + 1;
                    }
                    // `\boxed 5`
                    Some(c) if c.is_ascii_alphanumeric() => {
                        let end = bytes[open..]
                            .iter()
                            .position(|c| !c.is_ascii_alphanumeric())
                            .map_or(bytes.len(), |n| open + n);
                        out.push(Boxed { whole: at..end, inner: open..end });
                        at = end;
                    }
                    _ => at = open,
                }
            }
            b'{' => {
                stack.push((at, None));
                at += 1;
            }
            b'}' => {
                if let Some((open, Some(start))) = stack.pop() {
                    while out.last().is_some_and(|b| b.whole.start > start) {
                        out.pop();
                    }
                    out.push(Boxed { whole: start..at + 1, inner: open + 1..at });
                }
                at += 1;
            }
            _ => at += 1,
        }
    }
    out
}

fn nested_box(body: &str, inner: &Range<usize>) -> Option<Range<usize>> {
    let text = &body[inner.clone()];
    let trimmed = text.trim();
    let rest = trimmed.strip_prefix("\\boxed").or_else(|| trimmed.strip_prefix("\\fbox"))?;
    let lead = inner.start + text.find(trimmed)? + (trimmed.len() - rest.len());
    if !rest.starts_with('{') {
        return None;
    }
    let found = group(body, lead)?;
    (found.end + 1 == inner.start + text.trim_end().len()).then_some(found)
}

/// Whether the text between two boxes only joins them: signs, a joining word, at most one other.
fn joins(gap: &str) -> bool {
    if gap.len() > 80 || gap.contains("\n\n") || gap.contains('.') {
        return false;
    }
    let plain: String = gap
        .replace("\\text", " ")
        .replace("\\quad", " ")
        .replace("\\mbox", " ")
        .chars()
        .map(|c| if c.is_alphanumeric() || c == ',' || c == '_' { c } else { ' ' })
        .collect();
    let words: Vec<&str> = plain.split([' ', ',']).filter(|w| !w.is_empty()).collect();
    let joining = words.iter().filter(|w| crate::math::is_join(w)).count();
    let others = words.len() - joining;
    if joining > 0 || plain.contains(',') { joining <= 1 && others <= 1 } else { others == 0 }
}

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
    "answer =",
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
const WEAK_PHRASES: &[&str] = &["result is", "solution is", "option is", "答案", "结果是", "结果为", "the answer ("];

/// How near the end is, in bytes.
const NEAR_END: usize = 240;

/// The text behind the last announcing phrase.
fn announced(body: &str, expect: Expect) -> Option<Found> {
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
                && !lower[after..].trim_matches(|c: char| c.is_whitespace() || "*:$".contains(c)).is_empty()
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

/// Spans of formulas between dollar signs or `\(`, `\[`; contents only.
fn formulas(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    let mut closing = [true, true];
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                let close = match bytes.get(at + 1) {
                    Some(b'(') => Some("\\)"),
                    Some(b'[') => Some("\\]"),
                    _ => None,
                };
                if let Some(close) = close.filter(|c| closing[usize::from(*c == "\\]")]) {
                    let end = text[at + 2..].find(close);
                    closing[usize::from(close == "\\]")] = end.is_some();
                    if let Some(end) = end {
                        out.push(at + 2..at + 2 + end);
                        at += end + 4;
                        continue;
                    }
                }
                at += 2;
            }
            b'$' => {
                let double = bytes.get(at + 1) == Some(&b'$');
                let from = at + 1 + usize::from(double);
                let mut search = from;
                let mut end = None;
                while let Some(d) = bytes[search.min(bytes.len())..].iter().position(|b| *b == b'$') {
                    let here = search + d;
                    if bytes[here - 1] == b'\\' && here > from {
                        search = here + 1;
                        continue;
                    }
                    end = Some(here);
                    break;
                }
                match end {
                    Some(end) if end > from && !prose(&text[from..end]) => {
                        out.push(from..end);
                        at = end + 1 + usize::from(double);
                    }
                    Some(end) if end == from && !double => at = end + 1,
                    _ => at = from,
                }
            }
            _ => at += 1,
        }
        if out.len() > 5000 {
            out.drain(..2500);
        }
    }
    out.retain(|r| !text[r.clone()].trim().is_empty());
    out
}

/// Whether the text between two dollar signs is prose between two amounts of money.
fn prose(text: &str) -> bool {
    let trimmed = text.trim();
    if text.contains("\n\n") || text.contains("\\[") || text.contains("\\(") || text.len() > 2000 {
        return true;
    }
    // `$4 = $`: between two amounts stands an open operation.
    let open_ended = trimmed.ends_with(['=', '+', '×', '*', '/', '-', '−', '('])
        || (trimmed.starts_with(|c: char| c.is_ascii_digit()) && trimmed.ends_with(['"', '“', ':']));
    if open_ended {
        return true;
    }
    let words = trimmed
        .split_whitespace()
        .filter(|w| w.len() > 2 && w.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'.' | b',' | b'\'')))
        .count();
    let command = text.contains('\\');
    words >= 2 && !command || words >= 5 || (text.contains('\n') && words >= 1 && !command)
}

/// Formulas that form a list: `$1331$ and $1728$`.
fn formula_list(text: &str, spans: &[Range<usize>]) -> Option<Range<usize>> {
    let mut first = spans.len() - 1;
    while first > 0 {
        let gap = &text[spans[first - 1].end..spans[first].start];
        let word =
            gap.trim_matches(|c: char| c.is_whitespace() || matches!(c, '$' | ',' | '\\' | '(' | ')' | '[' | ']'));
        let joins = matches!(word, "and" | "or" | "和" | "或") || (word.is_empty() && gap.contains(','));
        if !joins || gap.len() > 16 || gap.contains('\n') {
            break;
        }
        first -= 1;
    }
    (first + 1 < spans.len()).then(|| spans[first].start..spans[spans.len() - 1].end)
}

/// The last `[...]` or `**...**` with a short content.
fn bracketed(text: &str) -> Option<Range<usize>> {
    let open = text.rfind('[').filter(|at| !text[..*at].ends_with('\\'))?;
    let close = open + text[open..].find(']')?;
    let inside = text[open + 1..close].trim();
    (inside.len() <= 60 && inside.contains(|c: char| c.is_ascii_digit()) && crate::math::kind_of(inside).is_some())
        .then(|| open + 1..close)
}

/// The first stretch of a clause that is a number with its signs and unit symbols.
fn first_number_like(text: &str) -> Option<Range<usize>> {
    numbers(text).into_iter().next()
}

fn last_number(text: &str) -> Option<Range<usize>> {
    numbers(text).into_iter().next_back()
}

/// Numbers with sign, thousands separators, decimals, fraction bars and percent signs.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let mut start = at;
        // Digits inside a word are no number.
        let word = start > 0 && (bytes[start - 1].is_ascii_alphabetic() || bytes[start - 1] == b'_');
        if start > 0
            && bytes[start - 1] == b'.'
            && (start < 2 || !bytes[start - 2].is_ascii_digit())
            && (start < 2 || bytes[start - 2].is_ascii_whitespace() || bytes[start - 2] == b'$')
        {
            start -= 1;
        }
        if start > 0
            && bytes[start - 1] == b'-'
            && (start < 2
                || !(bytes[start - 2].is_ascii_alphanumeric()
                    || bytes[start - 2] == b')'
                    || (bytes[start - 2] == b' '
                        && start > 2
                        && (bytes[start - 3].is_ascii_digit() || bytes[start - 3] == b')'))))
        {
            start -= 1;
        } else if text[..start].ends_with('−') {
            start -= '−'.len_utf8();
        }
        let mut end = at;
        loop {
            while end < bytes.len() && bytes[end].is_ascii_digit() {
                end += 1;
            }
            let digit_follows = bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            match bytes.get(end) {
                Some(b',' | b'.' | b'/') if digit_follows => end += 1,
                _ => break,
            }
        }
        let follows = bytes.get(end).copied().unwrap_or(b' ');
        at = end.max(at + 1);
        if word
            || (follows.is_ascii_alphabetic()
                && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric)
                && !text[end..].starts_with(['k', 'c', 'm', 'g', 'p', 'd', 'l'])
                && !ordinal_free(&text[end..]))
        {
            continue;
        }
        let tail = &text[end..];
        if tail.starts_with('%') || tail.starts_with("\\%") || tail.starts_with(" %") {
            end += tail.find('%').unwrap_or(0) + 1;
        }
        out.push(start..end);
    }
    out
}

fn ordinal_free(tail: &str) -> bool {
    !tail.starts_with("th") && !tail.starts_with("st") && !tail.starts_with("nd") && !tail.starts_with("rd")
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

/// The letter a text starts with, as an option.
fn leading_letter(text: &str) -> Option<Range<usize>> {
    let lead = text.len() - text.trim_start_matches(|c: char| c.is_whitespace() || "*$\\({[（【\"'".contains(c)).len();
    let mut at = lead;
    for command in ["text{", "textbf{", "mathrm{", "mathbf{", "boxed{", "textbf{(", "text{("] {
        if text[at..].starts_with(command) {
            at += command.len();
        }
    }
    at += text[at..].len() - text[at..].trim_start_matches(['(', '{', '[', ' ', '*']).len();
    let c = text[at..].chars().next()?;
    if !c.is_ascii_alphabetic() || c.to_ascii_uppercase() > 'P' {
        return None;
    }
    let next = text[at + 1..].chars().next();
    if next.is_some_and(|n| n.is_alphanumeric() && n.is_ascii()) {
        return None;
    }
    // "a number" is no option A.
    if c.is_ascii_lowercase() && next == Some(' ') {
        return None;
    }
    Some(at..at + 1)
}

/// The last letter that is set apart as an option, else the last capital standing alone.
fn loose_letter(body: &str) -> Option<Range<usize>> {
    if let Some(found) = leading_letter(body) {
        let rest = &body[found.end..];
        let sign = rest.trim_start_matches(['}', '*']).chars().next();
        if rest.trim_matches(|c: char| !c.is_alphanumeric()).is_empty()
            || matches!(sign, Some('.' | ')' | ':' | '。' | '）' | ','))
        {
            return Some(found);
        }
    }
    let cut = tail_start(body);
    let tail = &body[cut..];
    let bytes = tail.as_bytes();
    let mut dressed = None;
    let mut bare = None;
    for at in 0..bytes.len() {
        let c = bytes[at];
        if !(b'A'..=b'P').contains(&c) {
            continue;
        }
        let before = at.checked_sub(1).map_or(b' ', |k| bytes[k]);
        let after = bytes.get(at + 1).copied().unwrap_or(b' ');
        if before.is_ascii_alphanumeric() || after.is_ascii_alphanumeric() || before == b'\\' {
            continue;
        }
        let near = &bytes[at.saturating_sub(24)..at];
        let head = String::from_utf8_lossy(near).to_ascii_lowercase();
        let head = head.trim_end_matches(|c: char| c.is_whitespace() || "*(\"'$\\{".contains(c));
        let denied = ["not", "n't", "than", "non", "不是", "or", "be a"].iter().any(|w| head.ends_with(w));
        if denied {
            continue;
        }
        if (before == b'(' && after == b')')
            || (before == b'*' && after == b'*')
            || head.ends_with("option")
            || head.ends_with("choice")
        {
            dressed = Some(at);
        } else if c != b'I' && (c != b'A' || !matches!(after, b' ')) {
            bare = Some(at);
        }
    }
    dressed.or(bare).map(|at| cut + at..cut + at + 1)
}
