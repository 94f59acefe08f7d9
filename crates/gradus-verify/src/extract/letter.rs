//! Option letters in prose. What counts as a letter in an answer that was found is `choice.rs`'s.

use std::ops::Range;

use super::tail_start;

/// The letter a text starts with, as an option.
pub(super) fn leading_letter(text: &str) -> Option<Range<usize>> {
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

/// The last letter that is set apart as an option, else the capital that ends the text. Other capitals standing alone
/// are units and unknowns: over 1,000 recorded answers they hit the right option more seldom than chance.
pub(super) fn loose_letter(body: &str) -> Option<Range<usize>> {
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
    let mut last = None;
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
        } else if head.ends_with(|c: char| c.is_alphabetic() || c == ':')
            && !bytes[at + 1..].iter().any(u8::is_ascii_alphanumeric)
        {
            last = Some(at);
        }
    }
    dressed.or(last).map(|at| cut + at..cut + at + 1)
}
