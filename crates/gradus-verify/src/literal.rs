//! Values as a program writes them: quoted texts, lists, tuples, dictionaries. There case, order and every character
//! between quotes count, which the comparison of texts folds away.

/// What comparing two values told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The same value.
    Same,
    /// Another one.
    Other,
    /// The answer is no value, or a dictionary whose entries may stand in another order, or a text that may have lost
    /// the white space at its ends.
    Unclear,
}

/// Whether an answer is the reference's value; none if the reference is no value as programs write them.
pub(crate) fn compare(reference: &str, answer: &str) -> Option<Told> {
    let gold = canonical(reference)?;
    let Some(found) = canonical(answer) else {
        // A text may have lost its quotes.
        let inner = gold.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        return Some(match inner {
            Some(inner) if inner.trim() != answer.trim() => Told::Other,
            Some(inner) if inner == inner.trim() => Told::Same,
            _ => Told::Unclear,
        });
    };
    let sorted = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.sort_unstable();
        bytes
    };
    let reordered = gold.starts_with('{') && sorted(&gold) == sorted(&found);
    Some(match gold == found {
        true => Told::Same,
        false if reordered => Told::Unclear,
        false => Told::Other,
    })
}

/// The value with one kind of quote and without white space outside of quotes; none if it is no such value.
fn canonical(text: &str) -> Option<String> {
    /// Names that stand in values: constants, and the prefixes of quoted texts.
    const NAMES: [&str; 9] = ["True", "False", "None", "nan", "inf", "set", "e", "b", "u"];
    let text = text.trim();
    let closing = match text.chars().next()? {
        quote @ ('\'' | '"') => quote,
        '[' => ']',
        '(' => ')',
        '{' => '}',
        _ => return None,
    };
    if text.len() < 2 || !text.ends_with(closing) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut n_values = 0;
    while let Some(c) = rest.chars().next() {
        match c {
            '\'' | '"' => {
                let inside = &rest[1..];
                let end = closing_quote(inside, c)?;
                out.push('"');
                out.push_str(&inside[..end]);
                out.push('"');
                rest = &inside[end + 1..];
                n_values += 1;
                continue;
            }
            c if c.is_whitespace() => {}
            c if c.is_ascii_alphabetic() => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                NAMES.contains(&&rest[..end]).then_some(())?;
                // A prefix says how a text was written down, not what it is.
                if !matches!(&rest[..end], "b" | "u") {
                    out.push_str(&rest[..end]);
                }
                rest = &rest[end..];
                n_values += 1;
                continue;
            }
            c if c.is_ascii_digit() => {
                n_values += 1;
                out.push(c);
            }
            '[' | ']' | '(' | ')' | '{' | '}' | ',' | ':' | '.' | '+' | '-' => out.push(c),
            _ => return None,
        }
        rest = &rest[c.len_utf8()..];
    }
    // A quoted text is one value, not two with something between.
    let is_text = closing == '\'' || closing == '"';
    (!is_text || n_values == 1).then_some(out)
}

/// Where the quote closes; a backslash takes the character behind it along.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Told::{Other, Same, Unclear};
    use super::*;

    #[test]
    fn values_are_compared_to_the_letter() {
        let check = |gold: &str, answer: &str, expected| assert_eq!(compare(gold, answer), expected, "{gold} {answer}");
        check("'aB'", "\"aB\"", Some(Same));
        check("'aB'", "'ab'", Some(Other));
        check("'a  b'", "'a b'", Some(Other));
        check("'a b'", "a b", Some(Same));
        check("'a b '", "a b", Some(Unclear));
        check("'a'", "b", Some(Other));
        check("[1, 2]", "[1,2]", Some(Same));
        check("[1, 2]", "[2, 1]", Some(Other));
        check("[[], 'x']", "[[],\"x\"]", Some(Same));
        check("['a', '', 'b']", "['a', '-', 'b']", Some(Other));
        check("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", Some(Unclear));
        check("{'w': 3}", "{u'w': 3}", Some(Same));
        check("(1, None)", "(1, None)", Some(Same));
        check("[1, 2]", "one and two", Some(Unclear));
        check("(see above)", "(see above)", None);
        check("'this' or 'that'", "'this' or 'that'", None);
        check("Paris", "paris", None);
        check("'", "'", None);
        check("'é", "'é'", None);
    }
}
