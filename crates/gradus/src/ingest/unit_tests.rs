//! Unit tests as banks write them: the project's own form, HumanEval's, MBPP's and APPS'.

use gradus_sandbox::{StdinCase, Tests};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Bad;
use super::cell::Cell;
use super::rows::Columns;

/// What a row says about tests.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing: the row is no code question.
    Absent,
    /// There is a place for tests, and there are none.
    Empty,
    /// Tests.
    Tests(Tests),
}

/// Columns that can hold tests, beside the named one.
pub(super) const COLUMNS: [&str; 8] =
    ["test", "entry_point", "test_list", "test_imports", "test_setup_code", "input_output", "starter_code", "language"];

/// The tests of a row, from the first of `names` that is there, else from the columns of HumanEval (`test`,
/// `entry_point`), MBPP (`test_list`, `test_setup_code` or `test_imports`) or APPS (`input_output`).
pub(super) fn tests(columns: &Columns<'_>, names: &[String]) -> Result<Found, Bad> {
    for name in names {
        match columns.at(name)? {
            None | Some(Cell::Null) => {}
            Some(cell) => return own(name, &cell, columns),
        }
    }
    if let (Some(test), Some(entry_point)) = (columns.at("test")?, columns.at("entry_point")?)
        && let (Cell::Text(test_code), Cell::Text(entry_point)) = (test, entry_point)
    {
        return Ok(function(language(columns)?, entry_point, test_code));
    }
    match columns.at("test_list")? {
        None | Some(Cell::Null) => {}
        Some(cell) => {
            let mut lines = Vec::new();
            for name in ["test_imports", "test_setup_code"] {
                lines.extend(
                    columns
                        .at(name)?
                        .filter(|cell| !cell.is_nothing())
                        .map(|cell| text_or_lines(name, &cell))
                        .transpose()?,
                );
            }
            let asserts = text_or_lines("test_list", &decoded(cell))?;
            let entry_point = first_call(&asserts).unwrap_or_default();
            if asserts.trim().is_empty() {
                return Ok(Found::Empty);
            }
            lines.push(asserts);
            return Ok(function(language(columns)?, entry_point, lines.join("\n")));
        }
    }
    match columns.at("input_output")? {
        None | Some(Cell::Null) => Ok(Found::Absent),
        Some(Cell::Text(text)) if text.trim().is_empty() => Ok(Found::Empty),
        Some(Cell::Text(text)) => {
            let class =
                matches!(columns.at("starter_code")?, Some(Cell::Text(starter)) if starter.contains("class Solution"));
            apps(&text, class).map_err(|detail| Bad::field("input_output", "bad_tests", detail))
        }
        Some(other) => {
            let detail = format!("expected a JSON text, found {}", other.type_name());
            Err(Bad::field("input_output", "wrong_type", detail))
        }
    }
}

fn language(columns: &Columns<'_>) -> Result<String, Bad> {
    Ok(match columns.at("language")? {
        Some(Cell::Text(language)) if !language.trim().is_empty() => language.trim().to_lowercase(),
        _ => "python".to_owned(),
    })
}

fn function(language: String, entry_point: String, test_code: String) -> Found {
    if test_code.trim().is_empty() {
        return Found::Empty;
    }
    Found::Tests(Tests::Function { language, entry_point, test_code })
}

/// The project's own form: `{type: stdin, cases}`, `{type: function, ...}`, `{type: none}`; or test code, as
/// a text or a list of asserts.
fn own(name: &str, cell: &Cell, columns: &Columns<'_>) -> Result<Found, Bad> {
    let bad = |detail: String| Bad::field(name, "bad_tests", detail);
    let decoded = decoded(cell.clone());
    let entry_point = || Ok(columns.at("entry_point")?.and_then(|cell| cell.scalar().map(str::to_owned)));
    match &decoded {
        Cell::Map(_) => {}
        Cell::Text(_) | Cell::List(_) => {
            let code = text_or_lines(name, &decoded)?;
            let entry_point = entry_point()?.or_else(|| first_call(&code)).unwrap_or_default();
            return Ok(function(language(columns)?, entry_point, code));
        }
        other => {
            return Err(Bad::field(name, "wrong_type", format!("expected an object, found {}", other.type_name())));
        }
    }
    let text = |key: &str| decoded.at(key).and_then(|cell| cell.scalar().map(str::to_owned));
    match text("type").as_deref() {
        Some("none") => Ok(Found::Empty),
        Some("stdin") => {
            let Some(Cell::List(items)) = decoded.at("cases") else { return Err(bad("`cases` is no list".into())) };
            let mut cases = Vec::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                let side = |key: &str| {
                    let cell = item.at(key).ok_or_else(|| bad(format!("case {} has no `{key}`", i + 1)))?;
                    text_or_lines(name, &cell)
                };
                cases.push(StdinCase { input: side("input")?, output: side("output")? });
            }
            Ok(if cases.is_empty() { Found::Empty } else { Found::Tests(Tests::Stdin { cases }) })
        }
        Some("function") => {
            let code = text("test_code").ok_or_else(|| bad("`test_code` is missing or no text".into()))?;
            let language = text("language").unwrap_or_else(|| "python".into());
            Ok(function(language, text("entry_point").unwrap_or_default(), code))
        }
        other => Err(bad(format!(
            "`type` is {}, expected `stdin`, `function` or `none`",
            other.map_or("missing".into(), |other| format!("`{other}`"))
        ))),
    }
}

/// A text that holds a JSON object or list, as what it holds.
fn decoded(cell: Cell) -> Cell {
    match &cell {
        Cell::Text(text) if text.trim_start().starts_with(['{', '[']) => Cell::json_text(text).unwrap_or(cell),
        _ => cell,
    }
}

/// A text, or a list of its lines.
fn text_or_lines(name: &str, cell: &Cell) -> Result<String, Bad> {
    let wrong = |cell: &Cell| {
        Bad::field(name, "wrong_type", format!("expected a text or a list of its lines, found {}", cell.type_name()))
    };
    match cell {
        Cell::List(items) => {
            let lines = items.iter().map(|item| item.scalar().ok_or_else(|| wrong(item)));
            Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        cell => cell.scalar().map(str::to_owned).ok_or_else(|| wrong(cell)),
    }
}

/// The first function that an assert calls and that is not one of Python's own.
fn first_call(asserts: &str) -> Option<String> {
    const COMMON: [&str; 17] = [
        "abs",
        "all",
        "any",
        "dict",
        "float",
        "int",
        "isclose",
        "isinstance",
        "len",
        "list",
        "not",
        "round",
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
    ];
    let line = asserts.lines().map(str::trim).find_map(|line| line.strip_prefix("assert"))?;
    line.match_indices('(').find_map(|(at, _)| {
        let before = &line[..at];
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let name = &before[start..];
        let own = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && !COMMON.contains(&name);
        own.then(|| name.to_owned())
    })
}

#[derive(Deserialize)]
struct InputOutput<'a> {
    #[serde(borrow)]
    inputs: Vec<&'a RawValue>,
    #[serde(borrow)]
    outputs: Vec<&'a RawValue>,
    fn_name: Option<String>,
}

/// Tests as APPS writes them: pairs of standard input and output, or arguments and results of `fn_name`.
fn apps(text: &str, class: bool) -> Result<Found, String> {
    let InputOutput { inputs, outputs, fn_name } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if inputs.len() != outputs.len() {
        return Err(format!("{} inputs and {} outputs", inputs.len(), outputs.len()));
    }
    if inputs.is_empty() {
        return Ok(Found::Empty);
    }
    let Some(fn_name) = fn_name else {
        let side = |raw: &RawValue| text_or_lines("input_output", &Cell::json(raw)?).map_err(|bad| bad.reason.detail);
        let cases = inputs
            .into_iter()
            .zip(outputs)
            .map(|(input, output)| Ok(StdinCase { input: side(input)?, output: side(output)? }));
        return Ok(Found::Tests(Tests::Stdin { cases: cases.collect::<Result<_, String>>()? }));
    };
    // A JSON string is a Python string too: nothing in it needs another escape.
    let literal = |values: &[&RawValue]| {
        let list: Vec<&str> = values.iter().map(|value| value.get()).collect();
        serde_json::to_string(&format!("[{}]", list.join(","))).expect("a text is always JSON")
    };
    let test_code = format!(
        "import json\n\n\ndef plain(value):\n    if isinstance(value, (list, tuple)):\n        return [plain(item) for item in value]\n    return value\n\n\ndef check(candidate):\n    for arguments, expected in zip(json.loads({}), json.loads({})):\n        result = plain(candidate(*arguments))\n        # Some banks wrap the result in a list once more.\n        assert result == expected or [result] == expected\n",
        literal(&inputs),
        literal(&outputs),
    );
    let entry_point = if class { format!("Solution().{fn_name}") } else { fn_name };
    Ok(function("python".into(), entry_point, test_code))
}

/// Whether a question's text is code that breaks off where the function of its tests is to be written.
pub(super) fn is_starter(text: &str, tests: &Tests) -> bool {
    let Tests::Function { entry_point, .. } = tests else { return false };
    let declares = |line: &str| {
        ["def ", "fn ", "async def ", "pub fn "].iter().any(|word| {
            line.strip_prefix(word)
                .and_then(|rest| rest.strip_prefix(entry_point.as_str()))
                .is_some_and(|rest| rest.trim_start().starts_with(['(', '<']))
        })
    };
    !entry_point.is_empty() && !text.contains("```") && text.split('\n').any(declares)
}

#[cfg(test)]
mod tests {
    use super::super::rows::Record;
    use super::*;

    fn read(json: &str) -> Result<Found, Bad> {
        tests(&Record::Json(json).columns()?, &["tests".to_owned()])
    }

    #[track_caller]
    fn function_of(json: &str) -> (String, String, String) {
        match read(json) {
            Ok(Found::Tests(Tests::Function { language, entry_point, test_code })) => {
                (language, entry_point, test_code)
            }
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn own_tests_are_read_as_object_or_as_text() {
        let cases = vec![StdinCase { input: "1\n".into(), output: "2".into() }];
        let expected = Found::Tests(Tests::Stdin { cases });
        let object = r#"{"type": "stdin", "cases": [{"input": "1\n", "output": 2}], "public_only": true}"#;
        assert_eq!(read(&format!(r#"{{"tests": {object}}}"#)).unwrap(), expected);
        let text = serde_json::to_string(object).unwrap();
        assert_eq!(read(&format!(r#"{{"tests": {text}}}"#)).unwrap(), expected);
        assert_eq!(read(r#"{"tests": {"type": "none"}}"#).unwrap(), Found::Empty);
        assert_eq!(read(r#"{"tests": {"type": "stdin", "cases": []}}"#).unwrap(), Found::Empty);
        assert_eq!(read(r#"{"tests": null}"#).unwrap(), Found::Absent);
        assert_eq!(function_of(r#"{"tests": ["assert add(1, 2) == 3"]}"#).1, "add");
    }

    #[test]
    fn broken_tests_say_what_is_wrong() {
        for (json, code, detail) in [
            (r#"{"tests": 3}"#, "wrong_type", "found a number"),
            (r#"{"tests": {"type": "magic"}}"#, "bad_tests", "`magic`"),
            (r#"{"tests": {"cases": []}}"#, "bad_tests", "missing"),
            (r#"{"tests": {"type": "stdin", "cases": [{"input": "1"}]}}"#, "bad_tests", "case 1 has no `output`"),
            (r#"{"tests": {"type": "function"}}"#, "bad_tests", "test_code"),
            (r#"{"input_output": "{\"inputs\": [\"1\"], \"outputs\": []}"}"#, "bad_tests", "1 inputs and 0 outputs"),
            (r#"{"input_output": [1]}"#, "wrong_type", "found a list"),
        ] {
            let bad = read(json).unwrap_err();
            assert!(bad.reason.code == code && bad.reason.detail.contains(detail), "{json}: {bad:?}");
        }
    }

    #[test]
    fn humaneval_mbpp_and_apps_rows_become_tests() {
        let (_, entry_point, code) = function_of(
            r#"{"prompt": "def f(x):\n", "test": "def check(candidate):\n    assert candidate(1) == 2", "entry_point": "f"}"#,
        );
        assert!(entry_point == "f" && code.starts_with("def check"));
        let (_, entry_point, code) = function_of(
            r#"{"text": "Add.", "test_list": ["assert set(add(1, 2)) == 3", "assert add(0, 0) == 0"], "test_setup_code": "import math"}"#,
        );
        assert_eq!((entry_point.as_str(), code.lines().count()), ("add", 3));
        let (_, entry_point, code) = function_of(
            r#"{"input_output": "{\"inputs\": [[1, \"a'\\\"\\n\"]], \"outputs\": [true], \"fn_name\": \"g\"}", "starter_code": "class Solution:\n"}"#,
        );
        assert_eq!(entry_point, "Solution().g");
        assert!(code.contains(r#"json.loads("[[1, \"a'\\\"\\n\"]]")"#), "{code}");
        let stdin = read(r#"{"input_output": "{\"inputs\": [[\"1\", \"2\"]], \"outputs\": [\"3\\n\"]}"}"#).unwrap();
        let cases = vec![StdinCase { input: "1\n2".into(), output: "3\n".into() }];
        assert_eq!(stdin, Found::Tests(Tests::Stdin { cases }));
    }

    #[test]
    fn a_prompt_that_declares_the_tested_function_is_a_starter() {
        let tests = |entry_point: &str| Tests::Function {
            language: "python".into(),
            entry_point: entry_point.into(),
            test_code: String::new(),
        };
        assert!(is_starter("import re\n\ndef f(x: int) -> int:\n    \"\"\"Double.\"\"\"\n", &tests("f")));
        assert!(!is_starter("Write a function f(x).", &tests("f")));
        assert!(!is_starter("def ff(x):", &tests("f")));
        assert!(!is_starter("Complete:\n```python\ndef f(x):\n```", &tests("f")));
        assert!(!is_starter("def f(x):", &tests("")));
    }
}
