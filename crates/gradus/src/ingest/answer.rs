//! Accepted answers as banks write them: bare, as the last line of a worked solution, boxed, or as an option.

use super::Bad;
use super::cell::Cell;
use crate::question::Kind;

/// Longest text of a `solution` column that counts as an answer rather than a working, in bytes.
const MAX_BARE_SOLUTION: usize = 200;

/// The accepted answers in a cell of the column `column`; empty if the cell holds none.
///
/// For math, a worked solution is reduced to its answer: what stands after `####` on its last such line
/// (as GSM8K writes it), else the content of its last `\boxed{}` (as MATH writes it). A text counts as worked
/// if it has several lines, or stands in a column named `solution`.
///
/// For choice, an answer becomes a letter: a letter stays one, a text that equals one option becomes that
/// option's letter, and a number is a position counted from 0.
pub(super) fn references(kind: Kind, column: &str, cell: &Cell, options: &[String]) -> Result<Vec<String>, Bad> {
    let items = match cell {
        Cell::List(items) => items.as_slice(),
        item => std::slice::from_ref(item),
    };
    let mut references: Vec<String> = Vec::new();
    for item in items.iter().filter(|item| !item.is_nothing()) {
        let text = match item {
            Cell::Text(text) | Cell::Number(text) => text.trim(),
            Cell::Bool(true) => "true",
            Cell::Bool(false) => "false",
            other => {
                let found = other.type_name();
                return Err(Bad::field(
                    column,
                    "wrong_type",
                    format!("expected a text, a number or a list of them, found {found}"),
                ));
            }
        };
        let reference = match kind {
            Kind::Math => match bare(column, text) {
                Some(answer) => answer.to_owned(),
                None => continue,
            },
            Kind::Choice => {
                letter(item, text, options).map_err(|detail| Bad::field(column, "bad_reference", detail))?
            }
            Kind::Text | Kind::Code => text.to_owned(),
        };
        if !reference.is_empty() && !references.contains(&reference) {
            references.push(reference);
        }
    }
    Ok(references)
}

fn bare<'a>(column: &str, text: &'a str) -> Option<&'a str> {
    let marked = text.split('\n').rev().find_map(|line| line.trim_start().strip_prefix("####"));
    if let Some(answer) = marked {
        return Some(answer.trim());
    }
    let solution = column.rsplit('.').next() == Some("solution");
    if !solution && !text.contains('\n') {
        return Some(unboxed(text));
    }
    match last_boxed(text) {
        Some(answer) => Some(answer.trim()),
        None if solution && (text.contains('\n') || text.len() > MAX_BARE_SOLUTION) => None,
        None => Some(text),
    }
}

/// `\boxed{x}` and `$\boxed{x}$` as `x`.
fn unboxed(text: &str) -> &str {
    let inner = text.trim_matches('$').trim();
    match last_boxed(inner) {
        Some(answer) if inner.len() == answer.len() + r"\boxed{}".len() && inner.starts_with(r"\boxed{") => {
            answer.trim()
        }
        _ => text,
    }
}

/// The content of the last `\boxed{...}` or `\fbox{...}` whose braces close.
fn last_boxed(text: &str) -> Option<&str> {
    let starts =
        [r"\boxed", r"\fbox"].into_iter().flat_map(|name| text.rmatch_indices(name).map(|(at, name)| at + name.len()));
    let mut starts: Vec<usize> = starts.collect();
    starts.sort_unstable_by(|a, b| b.cmp(a));
    starts.into_iter().find_map(|start| {
        let rest = text[start..].trim_start();
        let inner = rest.strip_prefix('{')?;
        let (mut depth, mut escaped) = (1_u32, false);
        for (at, byte) in inner.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(&inner[..at]);
                    }
                }
                _ => {}
            }
        }
        None
    })
}

fn letter(item: &Cell, text: &str, options: &[String]) -> Result<String, String> {
    let bare = text.trim_start_matches('(').trim_end_matches([')', '.', ':']).trim();
    if let [byte] = bare.as_bytes()
        && byte.is_ascii_alphabetic()
    {
        let letter = byte.to_ascii_uppercase();
        if !options.is_empty() && usize::from(letter - b'A') >= options.len() {
            return Err(format!("the answer is {}, and there are {} options", letter as char, options.len()));
        }
        return Ok(char::from(letter).to_string());
    }
    let mut same = options.iter().enumerate().filter(|(_, option)| option.trim() == text).map(|(i, _)| i);
    let named = same.next().filter(|_| same.next().is_none() && !matches!(item, Cell::Number(_)));
    let position = named.or_else(|| text.parse().ok().filter(|position| *position < options.len()));
    let shown: String = text.chars().take(40).collect();
    position
        .map(|position| char::from(b'A' + position as u8).to_string())
        .ok_or_else(|| format!("`{shown}` is neither a letter nor one of {} options", options.len()))
}

/// The options of a choice question: a list, an object from letters to texts, or `{text: [...], label: [...]}`.
/// Letters that the options carry themselves (`A) ...`) are cut off when all of them do.
pub(super) fn options(column: &str, cell: &Cell) -> Result<Vec<String>, Bad> {
    let wrong = |cell: &Cell| {
        let found = cell.type_name();
        Bad::field(column, "bad_options", format!("expected a list of texts or an object of them, found {found}"))
    };
    let decoded;
    let cell = match cell {
        Cell::Text(text) => {
            decoded = Cell::json_text(text).map_err(|_| wrong(cell))?;
            &decoded
        }
        cell => cell,
    };
    let items: Vec<Cell> = match cell {
        Cell::List(items) => items.clone(),
        Cell::Map(_) if matches!(cell.at("text"), Some(Cell::List(_))) => match cell.at("text") {
            Some(Cell::List(items)) => items,
            _ => Vec::new(),
        },
        Cell::Map(pairs) => {
            // A table's object has all letters of all rows; those of other rows are null.
            let mut pairs: Vec<_> = pairs.iter().filter(|(_, value)| *value != Cell::Null).cloned().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            let lettered = pairs.iter().enumerate().all(|(i, (key, _))| {
                key.len() == 1 && key.as_bytes()[0].to_ascii_uppercase() == b'A'.wrapping_add(i as u8)
            });
            if !lettered {
                let detail = "expected the letters A, B, C ... as keys";
                return Err(Bad::field(column, "bad_options", detail));
            }
            pairs.into_iter().map(|(_, value)| value).collect()
        }
        other => return Err(wrong(other)),
    };
    if items.len() > 26 {
        return Err(Bad::field(column, "bad_options", format!("{} options are more than letters", items.len())));
    }
    let mut options = Vec::with_capacity(items.len());
    for item in &items {
        match item {
            Cell::Text(text) | Cell::Number(text) => options.push(text.clone()),
            Cell::Bool(value) => options.push(value.to_string()),
            other => return Err(wrong(other)),
        }
    }
    let own: Option<Vec<String>> = options.iter().enumerate().map(|(i, option)| own_letter(option, i)).collect();
    Ok(own.unwrap_or(options))
}

/// The option without the letter that it carries itself.
fn own_letter(option: &str, i: usize) -> Option<String> {
    let letter = char::from(b'A' + i as u8);
    let rest = option.trim_start().trim_start_matches('(').strip_prefix(letter)?;
    let rest = rest.strip_prefix([')', '.', ':'])?;
    Some(rest.trim_start().to_owned())
}

/// Whether a text lists options itself: lines that begin with `A)` and `B)`, or `(A)`, `A.`, `A:`.
pub(super) fn lists_options(text: &str) -> bool {
    let has = |i: usize| text.split('\n').any(|line| own_letter(line, i).is_some());
    has(0) && has(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, column: &str, json: &str, options: &[&str], expected: &[&str]) {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let cell = Cell::json_text(json).unwrap();
        assert_eq!(references(kind, column, &cell, &options).unwrap(), expected, "{json}");
    }

    #[test]
    fn math_answers_are_bare_marked_or_boxed() {
        let math = |column, json, expected: &[&str]| check(Kind::Math, column, json, &[], expected);
        math("answer", r#"" 42 ""#, &["42"]);
        math("answer", "0.50", &["0.50"]);
        math("answer", r#"["1/2", 0.5, "1/2", ""]"#, &["1/2", "0.5"]);
        math("answer", r#""He has 3 + 4 = <<3+4=7>>7.\n#### 1,007""#, &["1,007"]);
        math("answer", "\"#### 7\"", &["7"]);
        math("answer", r#""$\\boxed{\\frac{1}{2}}$""#, &[r"\frac{1}{2}"]);
        math("answer", r#""\\boxed{1}, \\boxed{2}""#, &[r"\boxed{1}, \boxed{2}"]);
        math("solution", r#""First \\boxed{1}, then\nwe get \\boxed{\\left\\{ 2 \\right.}.""#, &[r"\left\{ 2 \right."]);
        math("meta.solution", r#""So it is $\\boxed{x}$.""#, &["x"]);
        math("solution", r#""5""#, &["5"]);
        math("solution", r#""A long working\nwithout a mark""#, &[]);
        math("solution", r#""broken \\boxed{5\nof it""#, &[]);
        math("answer", "null", &[]);
        math("answer", "[]", &[]);
        math("answer", "true", &["true"]);
    }

    #[test]
    fn choice_answers_become_letters() {
        let options = ["1", "2", "3", "x"];
        let choice = |json, expected: &[&str]| check(Kind::Choice, "answer", json, &options, expected);
        choice(r#""b""#, &["B"]);
        choice(r#""(C).""#, &["C"]);
        choice("2", &["C"]);
        choice(r#""2""#, &["B"]);
        choice(r#"["A", "D"]"#, &["A", "D"]);
        check(Kind::Choice, "answer", r#""two words""#, &["one", "two words"], &["B"]);
        check(Kind::Choice, "answer", r#""E""#, &[], &["E"]);
        for (json, detail) in [(r#""E""#, "4 options"), (r#""AB""#, "neither"), ("9", "neither")] {
            let cell = Cell::json_text(json).unwrap();
            let bad = references(Kind::Choice, "answer", &cell, &options.map(str::to_owned)).unwrap_err();
            assert!(bad.reason.code == "bad_reference" && bad.reason.detail.contains(detail), "{bad:?}");
        }
    }

    #[test]
    fn options_come_as_list_object_or_text() {
        for json in [
            r#"["x", "y"]"#,
            r#"["A) x", "B)y"]"#,
            r#"{"B": "y", "A": "x", "C": null}"#,
            r#"{"text": ["x", "y"], "label": ["1", "2"]}"#,
            r#""[\"x\", \"y\"]""#,
        ] {
            assert_eq!(options("options", &Cell::json_text(json).unwrap()).unwrap(), ["x", "y"], "{json}");
        }
        for json in ["3", r#""x, y""#, r#"[["x"]]"#, r#"{"first": "x"}"#] {
            assert_eq!(options("options", &Cell::json_text(json).unwrap()).unwrap_err().reason.code, "bad_options");
        }
        assert_eq!(options("o", &Cell::json_text(r#"["A) x", "y"]"#).unwrap()).unwrap(), ["A) x", "y"]);
        assert!(lists_options("Which?\n(A) one\n(B) two") && !lists_options("A. Smith has two.\nBob"));
    }
}
