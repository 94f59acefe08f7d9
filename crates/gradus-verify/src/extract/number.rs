//! Where numbers stand in prose.

use std::ops::Range;

/// The first stretch of a clause that is a number with its signs and unit symbols.
pub(super) fn first_number_like(text: &str) -> Option<Range<usize>> {
    numbers(text).into_iter().next()
}

pub(super) fn last_number(text: &str) -> Option<Range<usize>> {
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
