//! Unit tests as banks write them: the project's own form, and those of well-known datasets.

use gradus_sandbox::{
    Checker, FloatTolerance, Languages, StdinCase, Tests, from_apps, from_codecontests, from_codeforces, from_evalplus,
    from_humaneval, from_livecodebench, from_mbpp,
};
use serde_json::{Map, Value};

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
pub(super) const COLUMNS: &[&str] = &[
    "test",
    "entry_point",
    "test_list",
    "test_imports",
    "test_setup_code",
    "input_output",
    "language",
    "public_test_cases",
    "private_test_cases",
    "metadata",
    "public_tests",
    "private_tests",
    "generated_tests",
    "input_file",
    "output_file",
    "base_input",
    "plus_input",
    "assertion",
    "checker",
    "official_tests",
    "generated_checker",
    "input_mode",
    "interaction_format",
];

/// The tests of a row, from the first of `names` that is there, else from the columns of HumanEval (`test`,
/// `entry_point`), MBPP (`test_list`, `test_setup_code` or `test_imports`), APPS and TACO (`input_output`), LiveCodeBench
/// (`public_test_cases`, `private_test_cases`, `metadata`), CodeContests (`public_tests`, `private_tests`,
/// `generated_tests`), open-r1's Codeforces (`official_tests`, `generated_checker`) or EvalPlus (`base_input`,
/// `assertion`).
///
/// Stdin tests that name no language are for the one in the column `language`, if `languages` knows it, else for Python;
/// those without a checker take the one in the column `checker`.
pub(super) fn tests(columns: &Columns<'_>, names: &[String], languages: &Languages) -> Result<Found, Bad> {
    let mut found = written(columns, names)?;
    if let Found::Tests(Tests::Stdin { checker, language, .. }) = &mut found {
        if language.is_empty() {
            let column = columns.at("language")?;
            let named = column.as_ref().and_then(Cell::scalar).and_then(|name| languages.name(name));
            named.unwrap_or("python").clone_into(language);
        }
        if checker.is_none() {
            *checker = columns.at("checker")?.map_or(Ok(None), |cell| checker_of("checker", &cell))?;
        }
    }
    Ok(found)
}

/// The tests as the row writes them; the language of stdin tests is empty if they name none.
fn written(columns: &Columns<'_>, names: &[String]) -> Result<Found, Bad> {
    for name in names {
        match columns.at(name)? {
            None | Some(Cell::Null) => {}
            Some(cell) => return own(name, &cell, columns),
        }
    }
    let row = |names: &[&str]| {
        let mut row = Map::new();
        for name in names {
            if let Some(cell) = columns.at(name)?.filter(|cell| !cell.is_nothing()) {
                // Tables without lists hold them as text.
                let cell = if name.starts_with("test_") { decoded(cell) } else { cell };
                row.insert((*name).to_owned(), cell.value());
            }
        }
        Ok(Value::Object(row))
    };
    let there = |name: &str| Ok(columns.at(name)?.is_some_and(|cell| cell != Cell::Null));
    let first_there = |names: &[&'static str]| {
        for name in names {
            if there(name)? {
                return Ok(Some(*name));
            }
        }
        Ok(None)
    };
    let (column, tests) = if there("test")? && there("entry_point")? {
        ("test", from_humaneval(&row(&["test", "entry_point"])?))
    } else if there("test_list")? {
        let row = row(&["test_list", "test_setup_code", "test_imports"])?;
        if row.get("test_list").is_none() {
            return Ok(Found::Empty);
        }
        ("test_list", from_mbpp(&row))
    } else if there("input_output")? {
        let row = row(&["input_output"])?;
        if row.get("input_output").is_none() {
            return Ok(Found::Empty);
        }
        ("input_output", from_apps(&row))
    } else if let Some(column) = first_there(&["public_test_cases", "private_test_cases"])? {
        (column, from_livecodebench(&row(&["public_test_cases", "private_test_cases", "metadata"])?))
    } else if there("official_tests")? {
        let names = ["official_tests", "generated_checker", "input_mode", "interaction_format"];
        ("official_tests", from_codeforces(&row(&names)?))
    } else if let Some(column) = first_there(&["public_tests", "private_tests", "generated_tests"])? {
        let names = ["public_tests", "private_tests", "generated_tests", "input_file", "output_file"];
        (column, from_codecontests(&row(&names)?))
    } else if let Some(column) = first_there(&["base_input", "plus_input"])? {
        (column, from_evalplus(&row(&["entry_point", "assertion"])?))
    } else {
        return Ok(Found::Absent);
    };
    let mut tests = tests.map_err(|detail| Bad::field(column, "bad_tests", detail))?;
    if let Tests::Stdin { language, .. } = &mut tests {
        language.clear();
    }
    Ok(Found::Tests(tests))
}

/// A checker: its source, or `{language, source}`. Python if no language is named.
fn checker_of(column: &str, cell: &Cell) -> Result<Option<Checker>, Bad> {
    let bad = |detail: &str| Bad::field(column, "bad_tests", detail);
    let decoded = decoded(cell.clone());
    let (language, source) = match &decoded {
        Cell::Map(_) => {
            let text = |key: &str| decoded.at(key).and_then(|cell| cell.scalar().map(str::to_owned));
            let source = text("source").ok_or_else(|| bad("the checker's `source` is missing or no text"))?;
            (text("language").unwrap_or_else(|| "python".into()), source)
        }
        cell if cell.is_nothing() => return Ok(None),
        Cell::Text(source) => ("python".into(), source.clone()),
        _ => return Err(bad("a checker is a text, or an object with `source` and `language`")),
    };
    if source.trim().is_empty() {
        return Ok(None);
    }
    // The name of a comparison, as some banks have it.
    if !source.trim().contains(['\n', '(', ' ']) {
        return Err(bad(&format!("the checker `{}` is no program", source.trim())));
    }
    Ok(Some(Checker { language, source }))
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
    match &decoded {
        Cell::Map(_) => {}
        Cell::Text(_) | Cell::List(_) => {
            let code = text_or_lines(name, &decoded)?;
            let entry_point = columns.at("entry_point")?.and_then(|cell| cell.scalar().map(str::to_owned));
            let entry_point = entry_point.unwrap_or_default();
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
            let tolerance = match decoded.at("tolerance") {
                None | Some(Cell::Null) => None,
                Some(cell) => {
                    let tolerance: FloatTolerance = serde_json::from_value(cell.value())
                        .map_err(|error| bad(format!("`tolerance` is no {{absolute, relative}}: {error}")))?;
                    if tolerance.absolute < 0.0 || tolerance.relative < 0.0 {
                        return Err(bad("`tolerance` is negative".into()));
                    }
                    Some(tolerance)
                }
            };
            if cases.is_empty() {
                return Ok(Found::Empty);
            }
            let checker = decoded.at("checker").map_or(Ok(None), |cell| checker_of(name, &cell))?;
            let language = text("language").unwrap_or_default();
            Ok(Found::Tests(Tests::Stdin { cases, tolerance, checker, language }))
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
        tests(&Record::Json(json).columns()?, &["tests".to_owned()], &Languages::default())
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
        let expected = Found::Tests(Tests::stdin(cases));
        let object = r#"{"type": "stdin", "cases": [{"input": "1\n", "output": 2}], "public_only": true}"#;
        assert_eq!(read(&format!(r#"{{"tests": {object}}}"#)).unwrap(), expected);
        let text = serde_json::to_string(object).unwrap();
        assert_eq!(read(&format!(r#"{{"tests": {text}}}"#)).unwrap(), expected);
        let json =
            r#"{"tests": {"type": "stdin", "cases": [{"input": "", "output": "1"}], "tolerance": {"absolute": 0.1}}}"#;
        let Found::Tests(Tests::Stdin { tolerance, .. }) = read(json).unwrap() else { panic!("tests") };
        assert_eq!(tolerance, Some(FloatTolerance { absolute: 0.1, relative: 0.0 }));
        assert_eq!(read(r#"{"tests": {"type": "none"}}"#).unwrap(), Found::Empty);
        assert_eq!(read(r#"{"tests": {"type": "stdin", "cases": []}}"#).unwrap(), Found::Empty);
        assert_eq!(read(r#"{"tests": null}"#).unwrap(), Found::Absent);
        let (_, entry_point, code) = function_of(r#"{"tests": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]}"#);
        assert_eq!((entry_point.as_str(), code.lines().count()), ("", 2));
    }

    #[test]
    fn stdin_tests_may_name_a_language_and_a_checker() {
        let of = |json: &str| match read(json) {
            Ok(Found::Tests(Tests::Stdin { checker, language, .. })) => {
                (language, checker.map(|checker| (checker.language, checker.source)))
            }
            other => panic!("{json}: {other:?}"),
        };
        let cases = r#""cases": [{"input": "1", "output": "1"}]"#;
        let checker = |language: &str| Some((language.to_owned(), "print(1)".to_owned()));
        for (row, language, found) in [
            (format!(r#"{{"tests": {{"type": "stdin", {cases}}}}}"#), "python", None),
            (format!(r#"{{"tests": {{"type": "stdin", {cases}}}, "language": "C++"}}"#), "cpp", None),
            // The question's own language, not the program's.
            (format!(r#"{{"tests": {{"type": "stdin", {cases}}}, "language": "english"}}"#), "python", None),
            (format!(r#"{{"tests": {{"type": "stdin", {cases}, "language": "go"}}, "language": "cpp"}}"#), "go", None),
            (
                format!(r#"{{"tests": {{"type": "stdin", {cases}, "checker": "print(1)"}}}}"#),
                "python",
                checker("python"),
            ),
            (
                format!(
                    r#"{{"tests": {{"type": "stdin", {cases}, "checker": {{"language": "cpp", "source": "print(1)"}}}}}}"#
                ),
                "python",
                checker("cpp"),
            ),
            (
                r#"{"public_tests": {"input": ["1"], "output": ["1"]}, "checker": "print(1)", "language": "rust"}"#
                    .into(),
                "rust",
                checker("python"),
            ),
            (format!(r#"{{"tests": {{"type": "stdin", {cases}}}, "checker": null}}"#), "python", None),
        ] {
            assert_eq!(of(&row), (language.to_owned(), found), "{row}");
        }
        let bad = read(&format!(r#"{{"tests": {{"type": "stdin", {cases}, "checker": {{"language": "cpp"}}}}}}"#));
        assert!(bad.unwrap_err().reason.detail.contains("`source`"));
        for checker in ["3", "\"default\""] {
            let row = format!(r#"{{"tests": {{"type": "stdin", {cases}, "checker": {checker}}}}}"#);
            assert_eq!(read(&row).unwrap_err().reason.code, "bad_tests", "{row}");
        }
    }

    #[test]
    fn broken_tests_say_what_is_wrong() {
        for (json, code, detail) in [
            (r#"{"tests": 3}"#, "wrong_type", "found a number"),
            (r#"{"tests": {"type": "magic"}}"#, "bad_tests", "`magic`"),
            (r#"{"tests": {"cases": []}}"#, "bad_tests", "missing"),
            (r#"{"tests": {"type": "stdin", "cases": [{"input": "1"}]}}"#, "bad_tests", "case 1 has no `output`"),
            (r#"{"tests": {"type": "function"}}"#, "bad_tests", "test_code"),
            (
                r#"{"tests": {"type": "stdin", "cases": [], "tolerance": {"absolute": -1}}}"#,
                "bad_tests",
                "`tolerance` is negative",
            ),
            (r#"{"tests": {"type": "stdin", "cases": [], "tolerance": 0.1}}"#, "bad_tests", "`tolerance` is no"),
            (r#"{"input_output": "{\"inputs\": [\"1\"], \"outputs\": []}"}"#, "bad_tests", "`outputs` 0"),
            (r#"{"input_output": [1]}"#, "bad_tests", "`inputs` is missing"),
            (r#"{"test_list": [1]}"#, "bad_tests", "no list of texts"),
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
        for test_list in [r#"["assert add(1, 2) == 3"]"#, r#""[\"assert add(1, 2) == 3\"]""#] {
            let row = format!(r#"{{"text": "Add.", "test_list": {test_list}, "test_setup_code": "import math"}}"#);
            let (_, entry_point, code) = function_of(&row);
            assert_eq!((entry_point.as_str(), code.trim()), ("add", "import math\nassert add(1, 2) == 3"));
        }
        assert_eq!(
            function_of(r#"{"input_output": "{\"inputs\": [[1]], \"outputs\": [2], \"fn_name\": \"g\"}"}"#).1,
            "g"
        );
        let stdin = read(r#"{"input_output": "{\"inputs\": [[\"1\", \"2\"]], \"outputs\": [\"3\\n\"]}"}"#).unwrap();
        let cases = vec![StdinCase { input: "1\n2".into(), output: "3\n".into() }];
        assert_eq!(stdin, Found::Tests(Tests::stdin(cases)));
        assert_eq!(read(r#"{"input_output": ""}"#).unwrap(), Found::Empty);
        assert_eq!(read(r#"{"test_list": []}"#).unwrap(), Found::Empty);
    }

    #[test]
    fn rows_of_contests_become_tests() {
        let cases = vec![StdinCase { input: "1\n".into(), output: "2\n".into() }];
        let expected = Found::Tests(Tests::stdin(cases));
        let cases = r#"[{"input": "1\n", "output": "2\n", "testtype": "stdin"}]"#;
        assert_eq!(read(&format!(r#"{{"public_test_cases": {cases}}}"#)).unwrap(), expected);
        let text = serde_json::to_string(cases).unwrap();
        assert_eq!(read(&format!(r#"{{"public_test_cases": {text}, "private_test_cases": ""}}"#)).unwrap(), expected);
        let sets =
            r#""public_tests": {"input": ["1\n"], "output": ["2\n"]}, "private_tests": {"input": [], "output": []}"#;
        assert_eq!(read(&format!("{{{sets}}}")).unwrap(), expected);
        let row = r#"{"official_tests": [{"input": "1\n", "output": "2\n"}], "generated_tests": 3, "generated_checker": null}"#;
        assert_eq!(read(row).unwrap(), expected);
        let row = r#"{"base_input": [[1]], "entry_point": "f", "assertion": "assert f(1) == 2"}"#;
        assert_eq!(function_of(row).1, "f");
        for (row, column, why) in [
            (r#"{"private_test_cases": "gASV"}"#.to_owned(), "private_test_cases", "no zlib"),
            (format!(r#"{{{sets}, "output_file": "out.txt"}}"#), "public_tests", "`output_file`"),
            (r#"{"base_input": [[1]], "entry_point": "f"}"#.to_owned(), "base_input", "without results"),
        ] {
            let bad = read(&row).unwrap_err();
            assert!(bad.reason.code == "bad_tests" && bad.reason.detail.contains(why), "{row}: {bad:?}");
            assert!(format!("{bad:?}").contains(column), "{row}: {bad:?}");
        }
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
