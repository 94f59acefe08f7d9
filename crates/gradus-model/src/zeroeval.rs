//! Takes apart answers recorded as `{"reasoning": .., "answer": ..}` by models that wrote JSON by hand.
//!
//! Such text is rarely JSON: LaTeX stands in it with single backslashes, strings hold raw line ends and
//! quotes, text stands around the object, and some answers are cut off. So the keys are looked for, and
//! what stands between them is decoded by rules that keep LaTeX whole.

/// A recorded answer taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Text ahead of the object, and its `reasoning`.
    pub(crate) reasoning: Option<String>,
    /// Its `answer`; the whole text if there is no object.
    pub(crate) answer: Option<String>,
    /// The object has no end.
    pub(crate) cut: bool,
}

/// Takes an answer apart.
pub(crate) fn split(text: &str) -> Parts {
    let Some(object) = Object::find(text) else {
        return Parts { reasoning: None, answer: Some(text.to_owned()), cut: !looks_ended(text) };
    };
    let ahead = object.ahead.trim().trim_end_matches("```json").trim_end_matches("```").trim_end();
    let inside = decode(object.reasoning);
    let inside = inside.trim();
    let reasoning = match (ahead.is_empty(), inside.is_empty()) {
        (true, true) => None,
        (true, false) => Some(inside.to_owned()),
        (false, true) => Some(ahead.to_owned()),
        (false, false) => Some(format!("{ahead}\n\n{inside}")),
    };
    let answer = object.answer.map(|answer| decode(answer).trim().to_owned()).filter(|answer| !answer.is_empty());
    Parts { reasoning, answer, cut: object.cut }
}

/// Whether a text without an object ends as texts end: with a full stop, a closed formula or fence, or
/// the boxed answer.
fn looks_ended(text: &str) -> bool {
    let end = text.trim_end();
    let last_line = end.lines().next_back().unwrap_or("");
    end.ends_with(['.', '!', '?', '$', '`', '*', ')', ']', '"', '\'', '\u{3002}']) || last_line.contains("boxed{")
}

/// Where the parts of the object stand in the text, undecoded.
struct Object<'a> {
    ahead: &'a str,
    reasoning: &'a str,
    answer: Option<&'a str>,
    cut: bool,
}

impl<'a> Object<'a> {
    /// The last object: models that find a mistake write another one.
    fn find(text: &'a str) -> Option<Self> {
        let answer = last_key(text, "answer");
        let before = answer.map_or(text, |(start, _)| &text[..start]);
        let previous = last_key(before, "answer").map_or(0, |(_, value)| value);
        let reasoning =
            last_key(&before[previous..], "reasoning").map(|(start, value)| (previous + start, previous + value));
        let Some((start, value)) = reasoning else {
            // An answer without reasoning of its own: all that is ahead of it is the reasoning.
            let (start, value) = answer?;
            let (answer, ended) = answer_value(text[value..].trim_start());
            let ahead = before[..start].trim_end().trim_end_matches(['{', '`']);
            return Some(Object { ahead, reasoning: "", answer: Some(answer), cut: !ended });
        };
        let ahead = text[..start].trim_end();
        let ahead = ahead.strip_suffix('{').unwrap_or(ahead);
        let inside = before[value..].trim();
        let inside = inside.strip_prefix('"').unwrap_or(inside);
        let Some((_, value)) = answer else {
            let (reasoning, ended) = until_close(inside);
            return Some(Object { ahead, reasoning, answer: None, cut: !ended });
        };
        let inside = inside.strip_suffix(',').unwrap_or(inside).trim_end();
        let reasoning = inside.strip_suffix('"').unwrap_or(inside);
        let (answer, ended) = answer_value(text[value..].trim_start());
        // A further object was begun.
        let further = last_key(&text[value..], "reasoning").is_some();
        Some(Object { ahead, reasoning, answer: Some(answer), cut: !ended || further })
    }
}

/// Where the last `"key":` begins, and where its value begins; the quote ahead of the key may be missing.
fn last_key(text: &str, key: &str) -> Option<(usize, usize)> {
    let quoted = format!("{key}\"");
    text.rmatch_indices(&quoted).find_map(|(word, _)| {
        let after = text[word + quoted.len()..].trim_start().strip_prefix(':')?;
        let start = if text[..word].ends_with('"') { word - 1 } else { word };
        // `\"answer\"` is spoken of, not said, and `correct_answer` is another key.
        let other = |c: char| c == '\\' || c == '_' || c.is_ascii_alphanumeric();
        (!text[..start].ends_with(other)).then_some((start, text.len() - after.len()))
    })
}

/// The value after `"answer":`, and whether it ends.
fn answer_value(text: &str) -> (&str, bool) {
    if let Some(inside) = text.strip_prefix('"') {
        return until_close(inside);
    }
    // A bare number, list or word, up to the brace that closes the object.
    match text.rfind('}') {
        Some(end) => (text[..end].trim_end(), true),
        None => (text.trim_end(), false),
    }
}

/// A string up to the quote that closes it: one that is followed by the object's end, a further key, a
/// line end, a comment or the text's end.
fn until_close(text: &str) -> (&str, bool) {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let rest = text[at + 1..].trim_start_matches([' ', ',']);
                if rest.is_empty() || rest.starts_with(['}', '`', '"', '\n', '\r', '\t']) || rest.starts_with("//") {
                    return (&text[..at], true);
                }
            }
            _ => {}
        }
    }
    (text, false)
}

/// LaTeX commands that look like an escaped line end, tab or carriage return with letters after it.
/// Escaped form feeds and backspaces need no list: nobody writes those.
const LIKE_ESCAPES: [&str; 58] = [
    "nabla",
    "natural",
    "ncong",
    "ne",
    "nearrow",
    "neg",
    "neq",
    "newline",
    "nexists",
    "ngeq",
    "ngtr",
    "ni",
    "nleq",
    "nless",
    "nmid",
    "nolimits",
    "nonumber",
    "not",
    "notag",
    "notin",
    "nparallel",
    "nrightarrow",
    "nsubseteq",
    "nu",
    "nwarrow",
    "tan",
    "tanh",
    "tag",
    "tau",
    "tbinom",
    "text",
    "textbf",
    "textit",
    "textrm",
    "textstyle",
    "tfrac",
    "therefore",
    "theta",
    "tilde",
    "times",
    "to",
    "top",
    "triangle",
    "triangleq",
    "rangle",
    "rarr",
    "rbrace",
    "rbrack",
    "rceil",
    "rfloor",
    "rho",
    "right",
    "rightarrow",
    "rightharpoonup",
    "rm",
    "root",
    "rvert",
    "rule",
];

/// Those of them that are as likely a line end and a word.
const DOUBTFUL: [&str; 6] = ["ne", "ni", "nu", "not", "to", "top"];

/// Decodes the inside of a JSON-like string. Escapes that are none (`\(`, `\sqrt`) and those that begin
/// a LaTeX command (`\frac`, `\times`) keep their backslash.
fn decode(text: &str) -> String {
    let raw = is_raw(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(escape) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        let word_len = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let word = &rest[..word_len];
        let is_command = match escape {
            'b' | 'f' => word_len > 1,
            'n' | 't' | 'r' => LIKE_ESCAPES.contains(&word) && (raw || !DOUBTFUL.contains(&word)),
            _ => false,
        };
        if is_command {
            out.push('\\');
            continue;
        }
        rest = &rest[escape.len_utf8()..];
        match escape {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            '"' | '/' => out.push(escape),
            // In text with single backslashes, two of them end a row of a matrix.
            '\\' if raw && !rest.starts_with(|next: char| next.is_ascii_alphabetic() || "()[]{}".contains(next)) => {
                out.push_str("\\\\");
            }
            '\\' => out.push('\\'),
            'u' => match unicode(rest) {
                Some((scalar, len)) => {
                    out.push(scalar);
                    rest = &rest[len..];
                }
                None => out.push_str("\\u"),
            },
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whether LaTeX stands in the string with single backslashes: it holds escapes that JSON does not know.
fn is_raw(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && !matches!(bytes.next(), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u'))
        {
            return true;
        }
    }
    false
}

/// The character of four hexadecimal digits, or of a surrogate pair, and the length of its text.
fn unicode(text: &str) -> Option<(char, usize)> {
    let hex = |text: &str| {
        let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = hex(text)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).map(|scalar| (scalar, 4));
    }
    let second = hex(text.get(4..)?.strip_prefix("\\u")?)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + low).map(|scalar| (scalar, 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reasoning: Option<&str>, answer: Option<&str>, cut: bool) {
        let parts = split(text);
        assert_eq!(
            (parts.reasoning.as_deref(), parts.answer.as_deref(), parts.cut),
            (reasoning, answer, cut),
            "{text}"
        );
    }

    #[test]
    fn objects_are_found_in_what_stands_around_them() {
        check(r#"{"reasoning": "one and one", "answer": "2"}"#, Some("one and one"), Some("2"), false);
        check("```json\n{\n \"reasoning\": \"one\",\n \"answer\": 2\n}\n```", Some("one"), Some("2"), false);
        check(
            "Step 1.\n```json\n{\"reasoning\": \"one\", \"answer\": \"2\"}\n```\nDone!",
            Some("Step 1.\n\none"),
            Some("2"),
            false,
        );
        check(r#"So it is `"answer": "2"`."#, Some("So it is"), Some("2"), false);
        check(r#"{"reasoning": "x, correct_answer", "answer": "2"}"#, Some("x, correct_answer"), Some("2"), false);
        check("It is 2.", None, Some("It is 2."), false);
    }

    #[test]
    fn the_last_object_counts() {
        let text = r#"{"reasoning": "a", "answer": "1"} No: {"reasoning": "b", "answer": "2"}"#;
        check(text, Some("{\"reasoning\": \"a\", \"answer\": \"1\"} No:\n\nb"), Some("2"), false);
        check(
            r#"{"reasoning": "say \"answer\": \"1\" first", "answer": "2"}"#,
            Some(r#"say "answer": "1" first"#),
            Some("2"),
            false,
        );
    }

    #[test]
    fn cut_objects_are_told() {
        check(r#"{"reasoning": "one and"#, Some("one and"), None, true);
        check(r#"{"reasoning": "one", "answer": "2"#, Some("one"), Some("2"), true);
        check(r#"{"reasoning": "one", "answer": "2"} Wait. {"reasoning": "tw"#, Some("one"), Some("2"), true);
        check("Multiples of 7: None\nMultiples of", None, Some("Multiples of 7: None\nMultiples of"), true);
    }

    #[test]
    fn latex_keeps_its_backslashes_in_either_way_of_writing() {
        let check = |text: &str, decoded: &str| assert_eq!(decode(text), decoded, "{text}");
        // As JSON wants it
        check(r"\\frac{1}{2} \\times 3\nand \\(x\\)", "\\frac{1}{2} \\times 3\nand \\(x\\)");
        check(r"a \\\\ b", r"a \\ b");
        // As models write it
        check(r"\frac{1}{2} \times 3 \neq \theta, \beta, \right)", r"\frac{1}{2} \times 3 \neq \theta, \beta, \right)");
        check(r"\(x\) and \sqrt{2}\nThen \nu", "\\(x\\) and \\sqrt{2}\nThen \\nu");
        check(r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}");
        check(r"\underline{x} \u03c0 \ud83d\ude00 \ud83d", "\\underline{x} \u{3c0} \u{1f600} \\ud83d");
        // Real line ends and tabs
        check(r"one\ntwo\tthree\nu = 5", "one\ntwo\tthree\nu = 5");
        check(r#"say \"yes\"\/no"#, r#"say "yes"/no"#);
        check("end\\", "end\\");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"(\\|"|answer|reasoning|:|\{|\}|,|`|é|n|u|[0-9a-f]| ){0,60}"#) {
            let _ = split(&text);
        }
    }
}
