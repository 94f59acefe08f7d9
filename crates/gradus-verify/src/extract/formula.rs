//! Where formulas stand in prose: between dollar signs, `\(` and `\[`, in square brackets.

use std::ops::Range;

/// Spans of formulas between dollar signs or `\(`, `\[`; contents only.
pub(super) fn formulas(text: &str) -> Vec<Range<usize>> {
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
pub(super) fn formula_list(text: &str, spans: &[Range<usize>]) -> Option<Range<usize>> {
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

/// The last `[...]` with a short content.
pub(super) fn bracketed(text: &str) -> Option<Range<usize>> {
    let open = text.rfind('[').filter(|at| !text[..*at].ends_with('\\'))?;
    let close = open + text[open..].find(']')?;
    let inside = text[open + 1..close].trim();
    (inside.len() <= 60 && inside.contains(|c: char| c.is_ascii_digit()) && crate::math::kind_of(inside).is_some())
        .then(|| open + 1..close)
}
