//! One row: a JSON object in, a JSON object out.

use std::borrow::Cow;
use std::sync::OnceLock;

use gradus_sandbox::{Limits, NoIsolation, Policy, Program, Sandbox, Status, TestOutcome, Tests};
use gradus_verify::{Answer, Form, Kind, Reference, Tolerance, verify};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a row may hold; further fields are not looked at.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Row<'a> {
    id: Field<'a>,
    reference: Field<'a>,
    answer: Field<'a>,
    form: Field<'a>,
    kind: Field<'a>,
    tolerance: Field<'a>,
    options: Field<'a>,
    language: Field<'a>,
}

/// A field as it is written, if it is there.
type Field<'a> = Option<&'a RawValue>;

#[derive(Serialize)]
struct Answered<'a> {
    id: Option<&'a RawValue>,
    verdict: &'static str,
    #[serde(flatten)]
    code: Option<CodeResult>,
    extracted: Option<&'a str>,
    method: &'a str,
    explanation: &'a str,
}

#[derive(Serialize)]
struct CodeResult {
    passed: usize,
    total: usize,
    tests: Vec<TestResult>,
}

#[derive(Serialize)]
struct TestResult {
    status: Status,
    detail: String,
    cpu_ms: u64,
    wall_ms: u64,
    memory_bytes: u64,
    in_process: bool,
}

impl From<TestOutcome> for TestResult {
    fn from(test: TestOutcome) -> Self {
        let TestOutcome { status, detail, cpu_ms, wall_ms, memory_bytes, in_process, .. } = test;
        Self { status, detail, cpu_ms, wall_ms, memory_bytes, in_process }
    }
}

#[derive(Serialize)]
struct Error<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    line: u64,
    error: &'a str,
}

/// Runs programs; the sandbox is made when the first one comes.
pub(super) struct Runner {
    unsafe_no_sandbox: bool,
    sandbox: OnceLock<Result<Sandbox, NoIsolation>>,
}

impl Runner {
    pub(super) fn new(unsafe_no_sandbox: bool) -> Self {
        Self { unsafe_no_sandbox, sandbox: OnceLock::new() }
    }

    fn sandbox(&self) -> Result<&Sandbox, &NoIsolation> {
        let policy = Policy { unsafe_no_sandbox: self.unsafe_no_sandbox, ..Policy::default() };
        self.sandbox.get_or_init(|| Sandbox::new(policy)).as_ref()
    }

    /// Why no program was run, if one should have been.
    pub(super) fn refusal(&self) -> Option<&NoIsolation> {
        self.sandbox.get()?.as_ref().err()
    }
}

/// Writes the answer to one row, with its line end.
pub(super) fn answer(line: &[u8], number: u64, runner: &Runner, out: &mut Vec<u8>) {
    let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(line);
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(wrong) => {
            let text = String::from_utf8_lossy(line);
            let id = read(&text).ok().and_then(|row| row.id);
            return error(id, number, &format!("invalid UTF-8 at byte {}", wrong.valid_up_to() + 1), out);
        }
    };
    let row = match read(text) {
        Ok(row) => row,
        Err(message) => return error(None, number, &message, out),
    };
    if let Err(message) = decide(&row, runner, out) {
        error(row.id, number, &message, out);
    }
}

/// Writes that a row cannot be answered, with its line end.
pub(super) fn error(id: Option<&RawValue>, line: u64, error: &str, out: &mut Vec<u8>) {
    write(&Error { id, line, error }, out);
}

fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, value).expect("a Vec takes all, and every key is a string");
    out.push(b'\n');
}

fn read(text: &str) -> Result<Row<'_>, String> {
    // A list would be read as the fields in their order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err("the row is no JSON object".to_owned());
    }
    serde_json::from_str(text).map_err(|error| {
        // It counts the lines of one row, which is one.
        let error = error.to_string();
        format!("the row is no JSON object: {}", error.replace(" at line 1 column", " at column"))
    })
}

fn decide(row: &Row<'_>, runner: &Runner, out: &mut Vec<u8>) -> Result<(), String> {
    let reference = row.reference.ok_or("`reference` is missing")?;
    let text = string(row.answer.ok_or("`answer` is missing")?).ok_or("`answer` must be a string")?;
    let form = row.form.ok_or("`form` is missing: `bare` or `text` is expected")?;
    let form = match string(form).as_deref() {
        Some("bare") => Form::Bare,
        Some("text") => Form::Text,
        _ => return Err(format!("`form` must be `bare` or `text`, and is {}", short(form.get()))),
    };
    let kind = match row.kind {
        None => Kind::Math,
        Some(kind) => match string(kind).as_deref() {
            Some("math") => Kind::Math,
            Some("choice") => Kind::Choice,
            Some("text") => Kind::Text,
            Some("code") => return code(row, reference, &text, form, runner, out),
            _ => return Err(format!("`kind` must be math, choice, text or code, and is {}", short(kind.get()))),
        },
    };
    let reference = Reference {
        kind,
        values: values(reference)?,
        tolerance: tolerance(row.tolerance)?,
        options: options(row.options)?,
    };
    let verdict = verify(&reference, &Answer { text: &text, form });
    let answered = Answered {
        id: row.id,
        verdict: super::name(verdict.outcome),
        code: None,
        extracted: verdict.extracted.as_ref().map(|extracted| extracted.text.as_str()),
        method: &verdict.method,
        explanation: &verdict.explanation,
    };
    write(&answered, out);
    Ok(())
}

fn code(
    row: &Row<'_>,
    reference: &RawValue,
    text: &str,
    form: Form,
    runner: &Runner,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    #[derive(Deserialize)]
    struct CodeReference {
        tests: Tests,
    }
    let CodeReference { tests } =
        serde_json::from_str(reference.get()).map_err(|error| format!("`reference` of a code row: {error}"))?;
    let id = row.id;
    let language = match (row.language, &tests) {
        (None, _) | (_, Tests::Function { .. }) => tests.language().to_owned(),
        (Some(language), Tests::Stdin { .. }) => string(language)
            .ok_or_else(|| format!("`language` must be a string, and is {}", short(language.get())))?
            .into(),
    };
    let source = match form {
        Form::Bare => Some(text).filter(|text| !text.trim().is_empty()),
        Form::Text => gradus_sandbox::extract_code(text, &language),
    };
    let Some(source) = source else {
        let explanation = format!("The response holds no {language} program.");
        let code = Some(CodeResult { passed: 0, total: n_cases(&tests), tests: Vec::new() });
        let verdict = "no_answer";
        write(&Answered { id, verdict, code, extracted: None, method: "sandbox", explanation: &explanation }, out);
        return Ok(());
    };
    let sandbox = runner.sandbox().map_err(ToString::to_string)?;
    let program = Program { language, source: source.to_owned() };
    let outcome = sandbox.run(&program, &tests, &Limits::default());
    let (passed, total) = (outcome.passed(), outcome.total);
    let (verdict, explanation) = match outcome.sandbox_error() {
        Some(error) => ("undecided", format!("The sandbox failed: {error}.")),
        None if outcome.all_passed() => ("correct", format!("All {total} tests passed.")),
        None => ("incorrect", format!("{passed} of {total} tests passed.")),
    };
    let tests = outcome.tests.into_iter().map(TestResult::from).collect();
    let code = Some(CodeResult { passed, total, tests });
    write(&Answered { id, verdict, code, extracted: Some(source), method: "sandbox", explanation: &explanation }, out);
    Ok(())
}

/// Tests that can be counted without running them; the asserts of a function test are counted by the run.
fn n_cases(tests: &Tests) -> usize {
    match tests {
        Tests::Stdin { cases, .. } => cases.len(),
        Tests::Function { .. } => 1,
    }
}

fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    // Without an escape it stands there as it is.
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str(json).ok().map(Cow::Owned),
        None => None,
    }
}

/// A string, or a number as it is written.
fn string_or_number(value: &RawValue) -> Option<String> {
    string(value).map(Cow::into_owned).or_else(|| {
        let number = value.get();
        number.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| number.to_owned())
    })
}

/// The texts of options A, B, C ...
fn options(value: Option<&RawValue>) -> Result<Vec<String>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let wrong = || format!("`options` must be a list of strings, and is {}", short(value.get()));
    let list: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| wrong())?;
    list.into_iter().map(|option| string_or_number(option).ok_or_else(wrong)).collect()
}

/// Accepted answers: a string, a number as it is written, or a list of them.
fn values(reference: &RawValue) -> Result<Vec<String>, String> {
    let json = reference.get();
    let wrong = || format!("`reference` must be a string, a number or a list of them, and is {}", short(json));
    if !json.starts_with('[') {
        return string_or_number(reference).map(|value| vec![value]).ok_or_else(wrong);
    }
    let list: Vec<&RawValue> = serde_json::from_str(json).map_err(|error| format!("`reference`: {error}"))?;
    if list.is_empty() {
        return Err("`reference` is an empty list: no answer would be right".to_owned());
    }
    list.into_iter().map(|value| string_or_number(value).ok_or_else(wrong)).collect()
}

/// A share of the reference, or `{"relative": share}`, or `{"absolute": distance}`.
fn tolerance(value: Option<&RawValue>) -> Result<Option<Tolerance>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Named {
        Relative(f64),
        Absolute(f64),
    }
    let Some(value) = value else { return Ok(None) };
    let json = value.get();
    let wrong = || format!("`tolerance` must be a share of the reference from 0 on, and is {}", short(json));
    let tolerance = if json.starts_with('{') {
        match serde_json::from_str(json).map_err(|_| wrong())? {
            Named::Relative(share) => Tolerance::Relative(share),
            Named::Absolute(distance) => Tolerance::Absolute(distance),
        }
    } else {
        Tolerance::Relative(serde_json::from_str(json).map_err(|_| wrong())?)
    };
    let (Tolerance::Relative(size) | Tolerance::Absolute(size)) = tolerance;
    if size >= 0.0 && size.is_finite() { Ok(Some(tolerance)) } else { Err(wrong()) }
}

fn short(json: &str) -> String {
    const LONGEST: usize = 60;
    match json.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &json[..end]),
        None => json.to_owned(),
    }
}
