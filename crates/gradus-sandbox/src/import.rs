//! Tests as other people's datasets write them.

use serde_json::Value;

use crate::{Checker, StdinCase, Tests};

/// Tests of a HumanEval row: `test` defines `check(candidate)`, `entry_point` names what to hand to it.
///
/// # Errors
/// Names the field that is missing or no text.
pub fn from_humaneval(row: &Value) -> Result<Tests, String> {
    let test_code = text(row, "test")?.to_owned();
    Ok(Tests::Function { language: "python".into(), entry_point: text(row, "entry_point")?.to_owned(), test_code })
}

/// Tests of an MBPP row: `test_setup_code` (may be absent) and the asserts of `test_list`; in the sanitized form the
/// imports of `test_imports` come first.
///
/// # Errors
/// Names the field that is missing or no list of texts.
pub fn from_mbpp(row: &Value) -> Result<Tests, String> {
    let asserts = texts(row, "test_list")?;
    let mut lines = if row.get("test_imports").is_some() { texts(row, "test_imports")? } else { Vec::new() };
    if let Some(setup) = row.get("test_setup_code").and_then(Value::as_str).filter(|setup| !setup.trim().is_empty()) {
        lines.push(setup);
    }
    let entry_point = asserts.iter().find_map(|assert| function_called(assert)).unwrap_or_default().to_owned();
    lines.extend(&asserts);
    Ok(Tests::Function { language: "python".into(), entry_point, test_code: lines.join("\n") + "\n" })
}

/// Tests of an APPS or TACO row: the JSON of `input_output` (also as text), or that object itself.
///
/// Without `fn_name` the inputs and outputs are what a program reads and prints (a list is its lines). With it, each
/// input is a list of arguments, and the function may be a method of `class Solution`. As in the dataset's own grader
/// a result also passes if the expected value is a list that holds just it, and tuples count as lists. A first argument
/// and an expected value that are objects with integers for names have integer keys: JSON knows none. TACO's rows are of
/// the same form; its own grader also takes the first item of a longer list for the whole, which is not done here.
///
/// # Errors
/// Names the field that is missing or of another form.
pub fn from_apps(row: &Value) -> Result<Tests, String> {
    let parsed;
    let tests = match row.get("input_output") {
        Some(Value::String(text)) => {
            parsed =
                serde_json::from_str::<Value>(text).map_err(|error| format!("`input_output` is no JSON: {error}"))?;
            &parsed
        }
        Some(tests) => tests,
        None => row,
    };
    let list =
        |name: &str| tests.get(name).and_then(Value::as_array).ok_or_else(|| format!("`{name}` is missing or no list"));
    let (inputs, outputs) = (list("inputs")?, list("outputs")?);
    if inputs.len() != outputs.len() {
        return Err(format!("`inputs` holds {} tests, `outputs` {}", inputs.len(), outputs.len()));
    }
    if inputs.is_empty() {
        return Err("`inputs` is empty".into());
    }
    let Some(name) = tests.get("fn_name").filter(|name| !name.is_null()) else {
        let whole = |value: &Value, field: &str| {
            joined_lines(value).ok_or_else(|| format!("`{field}` holds something that is no text"))
        };
        let cases = inputs
            .iter()
            .zip(outputs)
            .map(|(input, output)| Ok(StdinCase { input: whole(input, "inputs")?, output: whole(output, "outputs")? }));
        return Ok(Tests::stdin(cases.collect::<Result<_, String>>()?));
    };
    let name = name.as_str().filter(|name| is_identifier(name)).ok_or("`fn_name` is no name of a function")?;
    let mut test_code = APPS_SAME.to_owned();
    for (input, output) in inputs.iter().zip(outputs) {
        let arguments = input.as_array().ok_or("`inputs` holds something that is no list of arguments")?;
        let argument = |(at, value)| if at == 0 { with_integer_keys(value) } else { python(value) };
        let arguments = arguments.iter().enumerate().map(argument).collect::<Result<Vec<_>, _>>()?.join(", ");
        let expected = match output.as_array().map(Vec::as_slice) {
            Some([only]) => format!("[{}]", with_integer_keys(only)?),
            _ => with_integer_keys(output)?,
        };
        test_code += &format!("assert same({name}({arguments}), {expected})\n");
    }
    Ok(Tests::Function { language: "python".into(), entry_point: name.into(), test_code })
}

const APPS_SAME: &str = "\
def lists(value):
    return [lists(item) for item in value] if isinstance(value, (list, tuple)) else value
def same(found, expected):
    found = lists(found)
    return found == expected or isinstance(expected, list) and len(expected) == 1 and found == expected[0]
";

/// Tests of a CodeContests row: `public_tests`, `private_tests`, `generated_tests`, each `{input: [...], output: [...]}`
/// or a list of `{input, output}`, also as JSON text.
///
/// The dataset has no checkers: of a question with many right outputs only the recorded one passes, unless the row was
/// given a `checker` (see the columns of a bank).
///
/// # Errors
/// Names the field that is of another form; a question that reads or writes files by name has no tests here.
pub fn from_codecontests(row: &Value) -> Result<Tests, String> {
    for field in ["input_file", "output_file"] {
        if row.get(field).and_then(Value::as_str).is_some_and(|name| !name.trim().is_empty()) {
            return Err(format!("`{field}` names a file, and tests use standard input and output only"));
        }
    }
    let mut cases = Vec::new();
    for field in ["public_tests", "private_tests", "generated_tests"] {
        let Some(tests) = parsed(row, field)? else { continue };
        let wrong = || format!("`{field}` is not of the form {{input: [texts], output: [texts]}}");
        let case = |input: &Value, output: &Value| {
            let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
            Ok::<_, String>(StdinCase { input: text(input)?, output: text(output)? })
        };
        if let Value::Array(tests) = &tests {
            for test in tests {
                cases.push(case(&test["input"], &test["output"])?);
            }
            continue;
        }
        let (Some(inputs), Some(outputs)) = (tests["input"].as_array(), tests["output"].as_array()) else {
            return Err(wrong());
        };
        if inputs.len() != outputs.len() {
            return Err(format!("`{field}` holds {} inputs and {} outputs", inputs.len(), outputs.len()));
        }
        for (input, output) in inputs.iter().zip(outputs) {
            cases.push(case(input, output)?);
        }
    }
    if cases.is_empty() {
        return Err("there are no tests".into());
    }
    Ok(Tests::stdin(cases))
}

/// Tests of a row of open-r1's Codeforces set: `official_tests`, a list of `{input, output}`, and `generated_checker`, a
/// Python program of the form of [`Checker`], where many outputs are right.
///
/// # Errors
/// Names the field that is of another form; a question with files or interaction has no tests here.
pub fn from_codeforces(row: &Value) -> Result<Tests, String> {
    if row.get("input_mode").and_then(Value::as_str).is_some_and(|mode| mode != "stdio") {
        return Err("`input_mode` is not `stdio`, and tests use standard input and output only".into());
    }
    if row.get("interaction_format").and_then(Value::as_str).is_some_and(|format| !format.trim().is_empty()) {
        return Err("`interaction_format`: programs that talk to another one cannot be tested".into());
    }
    let tests = parsed(row, "official_tests")?.unwrap_or_default();
    let case =
        |test: &Value| Some(StdinCase { input: joined_lines(&test["input"])?, output: joined_lines(&test["output"])? });
    let cases = tests.as_array().and_then(|tests| tests.iter().map(case).collect::<Option<Vec<_>>>());
    let cases = cases.ok_or("`official_tests` is no list of {input, output}")?;
    if cases.is_empty() {
        return Err("there are no tests".into());
    }
    let source = row.get("generated_checker").and_then(Value::as_str).filter(|source| !source.trim().is_empty());
    let checker = source.map(|source| Checker { language: "python".into(), source: source.into() });
    Ok(Tests::Stdin { cases, tolerance: None, checker, language: "python".into() })
}

/// Tests of an EvalPlus row: what it itself holds as asserts, in `assertion` (as in MBPP+). `base_input` and
/// `plus_input` are not used: they are inputs without results, which only the canonical solution would give.
///
/// # Errors
/// Names the field that is missing, or says that the row has inputs only.
pub fn from_evalplus(row: &Value) -> Result<Tests, String> {
    let assertion = row.get("assertion").and_then(Value::as_str).filter(|assertion| !assertion.trim().is_empty());
    let Some(assertion) = assertion else {
        return Err("`base_input` and `plus_input` are inputs without results; a row with `test` or `assertion` is \
                    needed"
            .into());
    };
    let entry_point = text(row, "entry_point")?.to_owned();
    Ok(Tests::Function { language: "python".into(), entry_point, test_code: assertion.trim().to_owned() + "\n" })
}

/// A field that may stand as JSON in a text; none if it is absent, null or blank.
pub(crate) fn parsed(row: &Value, field: &str) -> Result<Option<Value>, String> {
    match row.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => {
            serde_json::from_str(text).map(Some).map_err(|error| format!("`{field}` is no JSON: {error}"))
        }
        Some(value) => Ok(Some(value.clone())),
    }
}

fn text<'a>(row: &'a Value, field: &str) -> Result<&'a str, String> {
    row.get(field).and_then(Value::as_str).ok_or_else(|| format!("`{field}` is missing or no text"))
}

fn texts<'a>(row: &'a Value, field: &str) -> Result<Vec<&'a str>, String> {
    let items = row.get(field).and_then(Value::as_array).and_then(|items| items.iter().map(Value::as_str).collect());
    items.ok_or_else(|| format!("`{field}` is missing or no list of texts"))
}

fn joined_lines(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => lines.iter().map(joined_lines).collect::<Option<Vec<_>>>().map(|lines| lines.join("\n")),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The function that an assert is about: the first call that is no common wrapper.
fn function_called(assert: &str) -> Option<&str> {
    let code = assert.trim().strip_prefix("assert")?;
    let mut rest = code;
    while let Some(open) = rest.find('(') {
        let before = &rest[..open];
        let start = before
            .rfind(|letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == '.'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let name = &before[start..];
        const WRAPPERS: &[&str] = &[
            "set",
            "sorted",
            "round",
            "list",
            "tuple",
            "dict",
            "len",
            "sum",
            "abs",
            "str",
            "int",
            "float",
            "bool",
            "math.isclose",
            "isclose",
            "not",
            "all",
            "any",
            "is",
            "in",
        ];
        if is_identifier(name) && !WRAPPERS.contains(&name) {
            return Some(name);
        }
        rest = &rest[open + 1..];
    }
    None
}

pub(crate) fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

/// A JSON value as a Python literal.
fn python(value: &Value) -> Result<String, String> {
    Ok(match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        // An integer beyond 64 bits has been rounded to a float by now, and would never equal what a program gives.
        Value::Number(number) if number.as_f64().is_some_and(|float| number.is_f64() && float.abs() >= TWO_TO_63) => {
            return Err(format!("the number {number} is too long to be kept exactly"));
        }
        // JSON's escapes are Python's too.
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Result<Vec<_>, _>>()?.join(", ")),
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(key, item)| Ok(format!("{}: {}", Value::from(key.as_str()), python(item)?)));
            format!("{{{}}}", fields.collect::<Result<Vec<_>, String>>()?.join(", "))
        }
    })
}

/// The same, but of an object whose names are all integers its keys are these.
fn with_integer_keys(value: &Value) -> Result<String, String> {
    match value {
        Value::Object(fields) if !fields.is_empty() && fields.keys().all(|key| key.parse::<i64>().is_ok()) => {
            let fields = fields.iter().map(|(key, item)| {
                let key: i64 = key.parse().expect("looked at above");
                Ok(format!("{key}: {}", python(item)?))
            });
            Ok(format!("{{{}}}", fields.collect::<Result<Vec<_>, String>>()?.join(", ")))
        }
        value => python(value),
    }
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mbpp_rows_keep_setup_and_find_the_function() {
        let row = json!({"test_list": ["assert set(twice([1])) == {2}", "assert twice([]) == []"], "test_setup_code": "import math"});
        let Ok(Tests::Function { entry_point, test_code, .. }) = from_mbpp(&row) else { panic!("a function") };
        assert_eq!(entry_point, "twice");
        assert_eq!(test_code, "import math\nassert set(twice([1])) == {2}\nassert twice([]) == []\n");
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(from_humaneval(&json!({"entry_point": "f"})), Err("`test` is missing or no text".into()));
        assert_eq!(from_mbpp(&json!({"test_list": [1]})), Err("`test_list` is missing or no list of texts".into()));
        assert_eq!(
            from_apps(&json!({"input_output": {"inputs": ["1"], "outputs": []}})),
            Err("`inputs` holds 1 tests, `outputs` 0".into())
        );
        let long =
            json!({"input_output": "{\"inputs\": [[1]], \"outputs\": [[100000000000000000000]], \"fn_name\": \"f\"}"});
        assert!(from_apps(&long).unwrap_err().contains("too long"));
        assert!(from_apps(&json!({"input_output": "{"})).unwrap_err().starts_with("`input_output` is no JSON"));
    }

    #[test]
    fn apps_rows_are_of_two_kinds() {
        let row = json!({"input_output": "{\"inputs\": [\"1\\n\", [\"2\", \"3\"]], \"outputs\": [\"1\", [\"5\"]]}"});
        let case = |input: &str, output: &str| StdinCase { input: input.into(), output: output.into() };
        assert_eq!(from_apps(&row), Ok(Tests::stdin(vec![case("1\n", "1"), case("2\n3", "5")])));
        let row = json!({"inputs": [[[1, null], "a\"b", {"k": true}]], "outputs": [[1.5]], "fn_name": "f"});
        let Ok(Tests::Function { entry_point, test_code, .. }) = from_apps(&row) else { panic!("a function") };
        assert_eq!(entry_point, "f");
        assert!(test_code.ends_with("assert same(f([1, None], \"a\\\"b\", {\"k\": True}), [1.5])\n"), "{test_code}");
    }

    #[test]
    fn integer_keys_come_back_where_json_took_them() {
        let row = json!({"inputs": [[{"1": 2}, {"3": 4}], [{"1a": 2}, 0]], "outputs": [{"-5": "x"}, [{"6": 7}]], "fn_name": "f"});
        let Ok(Tests::Function { test_code, .. }) = from_apps(&row) else { panic!("a function") };
        let asserts: Vec<_> = test_code.lines().filter(|line| line.starts_with("assert")).collect();
        assert_eq!(
            asserts,
            ["assert same(f({1: 2}, {\"3\": 4}), {-5: \"x\"})", "assert same(f({\"1a\": 2}, 0), [{6: 7}])"]
        );
    }

    #[test]
    fn codeforces_rows_bring_their_checker() {
        let row = json!({
            "official_tests": [{"input": "1\n", "output": "2\n"}],
            "generated_checker": "print(1)",
            "generated_tests": 12,
            "input_mode": "stdio",
            "interaction_format": null,
        });
        let Ok(Tests::Stdin { cases, checker, .. }) = from_codeforces(&row) else { panic!("stdin") };
        assert_eq!((cases.len(), checker.unwrap().source.as_str()), (1, "print(1)"));
        for (field, value, why) in [
            ("input_mode", json!("file"), "`input_mode`"),
            ("interaction_format", json!("Ask."), "`interaction_format`"),
            ("official_tests", json!([{"input": "1"}]), "`official_tests`"),
            ("official_tests", json!([]), "no tests"),
            ("official_tests", json!(null), "`official_tests`"),
        ] {
            let mut row = row.clone();
            row[field] = value;
            let error = from_codeforces(&row).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn codecontests_rows_hold_up_to_three_sets() {
        let row = json!({
            "input_file": "",
            "public_tests": {"input": ["1\n"], "output": ["2\n"]},
            "private_tests": "{\"input\": [\"2\"], \"output\": [\"4\"]}",
            "generated_tests": [{"input": "3", "output": "6"}],
        });
        let case = |input: &str, output: &str| StdinCase { input: input.into(), output: output.into() };
        let cases = vec![case("1\n", "2\n"), case("2", "4"), case("3", "6")];
        assert_eq!(from_codecontests(&row), Ok(Tests::stdin(cases)));
        for (row, why) in [
            (json!({"public_tests": {"input": [], "output": []}}), "no tests"),
            (json!({"public_tests": {"input": ["1"], "output": []}}), "1 inputs and 0 outputs"),
            (json!({"private_tests": [1]}), "`private_tests` is not of the form"),
            (json!({"generated_tests": 1}), "`generated_tests` is not of the form"),
            (json!({"public_tests": {"input": ["1"], "output": ["1"]}, "input_file": "a.in"}), "`input_file`"),
        ] {
            let error = from_codecontests(&row).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn evalplus_rows_give_their_asserts_only() {
        let mut row = json!({"base_input": [[1]], "plus_input": [[2]], "entry_point": "f"});
        assert!(from_evalplus(&row).unwrap_err().contains("inputs without results"));
        row["assertion"] = "\nassert f(1) == 2\nassert f(2) == 4".into();
        let test_code = "assert f(1) == 2\nassert f(2) == 4\n".into();
        assert_eq!(
            from_evalplus(&row),
            Ok(Tests::Function { language: "python".into(), entry_point: "f".into(), test_code })
        );
    }

    #[test]
    fn a_function_name_cannot_smuggle_code() {
        assert!(from_apps(&json!({"inputs": [[1]], "outputs": [1], "fn_name": "f(1);g"})).is_err());
    }
}
