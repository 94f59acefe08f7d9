//! Answers in a box: `\boxed{…}`, `\fbox{…}`, one or several that belong together.

use std::ops::Range;

use super::{Expect, Found, group};

/// The last box; neighbouring boxes with nothing but a joining word between belong together.
pub(super) fn boxed(body: &str, expect: Expect) -> Option<Found> {
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
