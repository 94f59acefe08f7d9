//! Letters among options, in all their dresses.

/// Longer texts are no option.
const MAX_BYTES: usize = 1000;

/// The option letter an answer consists of: `B`, `(b)`, `\textbf{(E)}\ 12`, `C) 42`, `D. both`, `C Cecile`.
pub(crate) fn letter(text: &str) -> Option<char> {
    marked_letter(text).or_else(|| letter_and_text(text))
}

/// An option letter that stands alone or is marked as one: all of these but `C Cecile`.
pub(crate) fn marked_letter(text: &str) -> Option<char> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let plain = undress(text);
    let plain = plain.trim();
    let mut chars = plain.chars().filter(|c| !matches!(c, '(' | '[' | '（' | '【' | ' ' | '*' | '"' | '\''));
    let first = chars.next()?;
    let upper = first.to_ascii_uppercase();
    if !upper.is_ascii_uppercase() || upper > 'P' {
        return None;
    }
    let at = plain.find(first)?;
    let rest = &plain[at + 1..];
    let opened = plain[..at].contains(['(', '（', '[', '【']);
    let next = rest.chars().next();
    let alone = rest.trim_matches(|c: char| c.is_whitespace() || ")]）】.。:*,;'\"".contains(c)).is_empty();
    let closed = match next {
        Some(')' | ']' | '）' | '】' | '：' | '。' | '、') => true,
        Some('.' | ':') => rest[1..].chars().next().is_none_or(char::is_whitespace),
        _ => false,
    };
    (alone || (closed && (opened || first.is_ascii_uppercase()))).then_some(upper)
}

/// The letter and the option's text with nothing but a space between.
fn letter_and_text(text: &str) -> Option<char> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let plain = undress(text);
    let mut chars = plain.chars();
    let first = chars.next().filter(|c| matches!(c, 'B'..='P') && *c != 'I')?;
    let rest = chars.as_str().strip_prefix(' ')?;
    let word = rest.trim_start().chars().next();
    (word.is_some_and(|c| c.is_alphanumeric() || c == '$') && rest.split_whitespace().count() <= 6).then_some(first)
}

/// Several letters: `A, C`, `ABD`, `C, F, H`.
pub(crate) fn letters(text: &str) -> Option<Vec<char>> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let plain = undress(text);
    let mut out = Vec::new();
    for c in plain.chars() {
        match c {
            'A'..='P' => out.push(c),
            ' ' | ',' | ';' | '、' | '，' | '(' | ')' | '.' | '&' => {}
            _ => return None,
        }
    }
    let joined = plain.replace(" and ", ",");
    if joined != plain {
        return letters(&joined);
    }
    out.sort_unstable();
    out.dedup();
    (!out.is_empty()).then_some(out)
}

/// Markup off.
fn undress(text: &str) -> String {
    let mut out = text.to_owned();
    for command in [
        "\\textbf", "\\text", "\\mathrm", "\\mathbf", "\\mathsf", "\\textit", "\\boxed", "\\rm", "\\left", "\\right",
        "\\(", "\\)", "\\[", "\\]",
    ] {
        if out.contains(command) {
            out = out.replace(command, "");
        }
    }
    for filler in ["\\ ", "\\,", "\\;", "\\quad", "~"] {
        if out.contains(filler) {
            out = out.replace(filler, " ");
        }
    }
    out.retain(|c| !matches!(c, '{' | '}' | '$' | '*'));
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_found_in_its_dress() {
        for text in ["B", "(B)", "\\textbf{(B)}\\ 12", "B) 42", "B. both", "\\mathrm{B}", "**B**", "b", "(B) Cecile"] {
            assert_eq!(letter(text), Some('B'), "{text}");
        }
        for text in ["Both", "42", "", "beta", "a b"] {
            assert_eq!(letter(text), None, "{text}");
        }
    }
}
