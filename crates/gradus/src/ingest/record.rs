//! What a row means: which column holds what, and the question that comes of it.

use std::sync::Arc;

use gradus_sandbox::Languages;

use super::answer;
use super::cell::Cell;
use super::rows::{Columns, Record};
use super::unit_tests::{self, Found};
use super::{Bad, Reason};
use crate::config::BankConfig;
use crate::question::{Kind, Question, QuestionId, Tolerance};

/// Where the fields of a bank's rows stand, and what holds for all of them.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    id: Vec<String>,
    question: Vec<String>,
    answer: Vec<String>,
    kind: Vec<String>,
    tests: Vec<String>,
    options: Vec<String>,
    level: Vec<String>,
    subject: Vec<String>,
    source: Vec<String>,
    tolerance: Vec<String>,
    starter: Vec<String>,
    license: Vec<String>,
    default_source: String,
    default_license: Option<String>,
    default_kind: Option<Kind>,
    languages: Arc<Languages>,
    level1_is_hardest: bool,
}

/// A row that could be read.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The question, with the source ids of its row.
    pub(crate) question: Question,
    /// Why it has neither references nor tests, if it has none.
    pub(super) lacking: Option<Bad>,
    /// Optional fields that are left out because of their type.
    pub(super) ignored: Vec<&'static str>,
}

/// A row that cannot become a question.
#[derive(Debug)]
pub(crate) struct Rejected {
    /// Its id, if it was found.
    pub(super) source_id: Option<String>,
    /// Why.
    pub(crate) bad: Bad,
}

impl Mapping {
    /// The columns that the config names, else the usual ones. `stem` names the source of rows that do not; `languages`
    /// are those that programs may be written in.
    pub(crate) fn new(bank: &BankConfig, stem: String, languages: Arc<Languages>) -> Self {
        let names = |named: &Option<String>, usual: &[&str]| match named {
            Some(name) => vec![name.clone()],
            None => usual.iter().map(ToString::to_string).collect(),
        };
        let fields = &bank.fields;
        Self {
            id: names(&fields.id, &["id", "question_id", "task_id", "problem_id", "uuid"]),
            question: names(&fields.question, &["question", "problem", "prompt", "text", "instruction"]),
            answer: names(&fields.answer, &["answer", "reference", "gold", "ground_truth", "final_answer", "solution"]),
            kind: names(&fields.kind, &["kind"]),
            tests: names(&fields.tests, &["tests"]),
            options: names(&fields.options, &["options", "choices", "meta.options", "meta.choices"]),
            level: names(&fields.level, &["level", "difficulty"]),
            subject: names(&fields.subject, &["subject", "type", "topic"]),
            source: names(&fields.source, &["source", "data_source"]),
            tolerance: names(&fields.tolerance, &["tolerance", "meta.tolerance", "meta.rel_tol"]),
            starter: names(&None, &["starter", "starter_code", "meta.starter_code"]),
            license: names(&None, &["license", "meta.license"]),
            default_source: bank.source.clone().unwrap_or(stem),
            default_license: bank.license.clone(),
            default_kind: bank.kind,
            languages,
            level1_is_hardest: bank.level1_is_hardest,
        }
    }

    /// Whether a column of this name can hold a field.
    pub(super) fn wants(&self, column: &str) -> bool {
        let all = [
            &self.id,
            &self.question,
            &self.answer,
            &self.kind,
            &self.tests,
            &self.options,
            &self.level,
            &self.subject,
            &self.source,
            &self.tolerance,
            &self.starter,
            &self.license,
        ];
        let under =
            |name: &String| name.strip_prefix(column).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        column == SOURCE_IDS || unit_tests::COLUMNS.contains(&column) || all.into_iter().flatten().any(under)
    }

    /// Reads the row with this number.
    pub(crate) fn parse(&self, record: Record<'_>, row: u64) -> Result<Parsed, Rejected> {
        let columns = record.columns().map_err(|bad| Rejected { source_id: None, bad })?;
        let mut ignored = Vec::new();
        let source = optional(&columns, "source", &self.source, &mut ignored);
        let source = source.map_or_else(|| self.default_source.clone(), Into::into);
        let named = id(&columns, &self.id).and_then(|id| Ok(id.into_iter().chain(source_ids(&columns)?).collect()));
        let mut ids: Vec<String> = named.map_err(|bad| Rejected { source_id: None, bad })?;
        if ids.is_empty() {
            ids.push(format!("{source}/{row}"));
        }
        let source_id = ids[0].clone();
        self.question(&columns, ids, source, ignored).map_err(|bad| Rejected { source_id: Some(source_id), bad })
    }

    fn question(
        &self,
        columns: &Columns<'_>,
        source_ids: Vec<String>,
        source: String,
        mut ignored: Vec<&'static str>,
    ) -> Result<Parsed, Bad> {
        let text = self.text(columns)?;
        let named_kind = self.kind(columns)?;
        let mut tests = unit_tests::tests(columns, &self.tests, &self.languages);
        let mut options = Vec::new();
        let mut has_options = false;
        // A row of another kind may use the name of the column for something else.
        let may_choose = match named_kind {
            None => matches!(tests, Ok(Found::Absent)),
            Some(kind) => kind == Kind::Choice,
        };
        if may_choose && let Some((name, cell)) = first(columns, &self.options)? {
            options = answer::options(&name, &cell)?;
            has_options = true;
        }
        let answer = first(columns, &self.answer);
        let kind = named_kind.unwrap_or_else(|| match (&tests, &answer) {
            (Ok(Found::Empty | Found::Tests(_)) | Err(_), _) => Kind::Code,
            _ if has_options => Kind::Choice,
            (_, Ok(Some((_, Cell::Text(answer))))) if is_letter(answer) && answer::lists_options(&text) => Kind::Choice,
            _ => Kind::Math,
        });
        if kind != Kind::Choice {
            options.clear();
        }
        if kind != Kind::Code {
            tests = Ok(Found::Absent);
        }

        let (mut references, mut lacking) = (Vec::new(), None);
        if kind == Kind::Code {
            lacking = match &tests {
                Ok(Found::Tests(_)) => None,
                Ok(Found::Empty | Found::Absent) => {
                    Some(Bad::field(&self.tests[0], "no_reference", "the question has no tests"))
                }
                Err(bad) => Some(bad.clone()),
            };
        } else {
            let found = answer.and_then(|answer| match answer {
                Some((name, cell)) => Ok((answer::references(kind, &name, &cell, &options)?, Some(name))),
                None => Ok((Vec::new(), None)),
            });
            match found {
                Ok((found, name)) if found.is_empty() => {
                    let detail = if let Some(name) = name {
                        format!("`{name}` holds a working without an answer that is marked or boxed")
                    } else {
                        let there = columns.names().join("`, `");
                        format!("none of `{}` holds an answer; there are `{there}`", self.answer.join("`, `"))
                    };
                    lacking = Some(Bad::field(&self.answer[0], "no_reference", detail));
                }
                Ok((found, _)) => references = found,
                Err(bad) => lacking = Some(bad),
            }
        }
        let tests = match tests {
            Ok(Found::Tests(tests)) => Some(tests),
            _ => None,
        };
        let mut starter = String::new();
        if kind == Kind::Code {
            starter = optional(columns, "starter", &self.starter, &mut ignored).unwrap_or_default();
            if starter.trim().is_empty() && tests.as_ref().is_some_and(|tests| unit_tests::is_starter(&text, tests)) {
                starter.clone_from(&text);
            }
        }
        let tolerance = self.tolerance(columns)?;
        let license = optional(columns, "license", &self.license, &mut ignored);
        let mut level = optional(columns, "level", &self.level, &mut ignored);
        if self.level1_is_hardest && level.as_ref().is_some_and(|level| !level.trim().is_empty()) {
            level = level.and_then(|level| turned(&level));
            if level.is_none() {
                ignored.push("level");
            }
        }
        let question = Question {
            id: QuestionId::of(kind, &text, &options),
            source_ids: source_ids.into(),
            kind,
            text,
            references,
            tolerance,
            tests: tests.map(Arc::new),
            starter,
            options,
            level,
            subject: optional(columns, "subject", &self.subject, &mut ignored),
            source,
            license: license.or_else(|| self.default_license.clone()),
        };
        Ok(Parsed { question, lacking, ignored })
    }

    /// What is asked: a text, or a chat with one message of the user.
    fn text(&self, columns: &Columns<'_>) -> Result<String, Bad> {
        let Some((name, cell)) = first(columns, &self.question)? else {
            let detail = format!(
                "none of `{}` holds a text; there are `{}`",
                self.question.join("`, `"),
                columns.names().join("`, `")
            );
            return Err(Bad::field(&self.question[0], "no_question", detail));
        };
        let found = match cell {
            Cell::Text(text) => return Ok(text),
            Cell::List(messages) => {
                let role = |message: &Cell| matches!(message.at("role"), Some(Cell::Text(role)) if role == "user");
                let mut asked = messages.iter().filter(|message| role(message)).map(|message| message.at("content"));
                match (asked.next(), asked.next()) {
                    (Some(Some(Cell::Text(text))), None) if !text.trim().is_empty() => return Ok(text),
                    _ => "a list that is no chat with one message of the user",
                }
            }
            other => other.type_name(),
        };
        Err(Bad::field(&name, "wrong_type", format!("expected a text, found {found}")))
    }

    fn kind(&self, columns: &Columns<'_>) -> Result<Option<Kind>, Bad> {
        let Some((name, cell)) = first(columns, &self.kind)? else { return Ok(self.default_kind) };
        let Cell::Text(word) = &cell else {
            return Err(Bad::field(&name, "wrong_type", format!("expected a text, found {}", cell.type_name())));
        };
        match word.trim().to_ascii_lowercase().as_str() {
            "math" => Ok(Some(Kind::Math)),
            "choice" => Ok(Some(Kind::Choice)),
            "text" => Ok(Some(Kind::Text)),
            "code" | "code_function" | "code_stdin" => Ok(Some(Kind::Code)),
            other => {
                let detail =
                    format!("`{other}` is none of math, choice, text, code; `fields.kind` names another column");
                Err(Bad::field(&name, "unknown_kind", detail))
            }
        }
    }

    /// A share of the reference, or `{relative: x}` or `{absolute: x}`.
    fn tolerance(&self, columns: &Columns<'_>) -> Result<Option<Tolerance>, Bad> {
        let Some((name, cell)) = first(columns, &self.tolerance)? else { return Ok(None) };
        let number = |cell: &Cell| {
            let number = cell.scalar().and_then(|text| text.trim().parse::<f64>().ok());
            number.filter(|number| number.is_finite() && *number >= 0.0)
        };
        let under = |key: &str| cell.at(key).and_then(|cell| number(&cell));
        let tolerance = number(&cell).or_else(|| under("relative")).map(Tolerance::Relative);
        tolerance.or_else(|| under("absolute").map(Tolerance::Absolute)).map(Some).ok_or_else(|| {
            let found = cell.scalar().map_or(cell.type_name().to_owned(), |text| format!("`{text}`"));
            Bad::field(&name, "wrong_type", format!("expected a number from 0 on, found {found}"))
        })
    }
}

/// The column that lists every source id of a row: how a bank that was merged keeps them.
const SOURCE_IDS: &str = "source_ids";

/// The ids in that column; a CSV holds them as JSON.
fn source_ids(columns: &Columns<'_>) -> Result<Vec<String>, Bad> {
    let Some(cell) = columns.at(SOURCE_IDS)? else { return Ok(Vec::new()) };
    let decoded = match &cell {
        Cell::Text(text) => Cell::json_text(text).ok(),
        _ => None,
    };
    let ids = match decoded.unwrap_or(cell) {
        Cell::List(ids) => ids.iter().filter_map(Cell::scalar).map(|id| id.trim().to_owned()).collect(),
        _ => Vec::new(),
    };
    Ok(ids.into_iter().filter(|id: &String| !id.is_empty()).collect())
}

/// A level of a scale whose level 1 is the hardest, on one whose level 5 is; none if it is none of 1 to 5.
fn turned(level: &str) -> Option<String> {
    let level: f64 = level.trim().parse().ok()?;
    (1.0..=5.0).contains(&level).then(|| (6.0 - level).to_string())
}

/// The first of these columns that holds something.
fn first(columns: &Columns<'_>, names: &[String]) -> Result<Option<(String, Cell)>, Bad> {
    for name in names {
        if let Some(cell) = columns.at(name)?
            && !cell.is_nothing()
        {
            return Ok(Some((name.clone(), cell)));
        }
    }
    Ok(None)
}

fn id(columns: &Columns<'_>, names: &[String]) -> Result<Option<String>, Bad> {
    let Some((name, cell)) = first(columns, names)? else { return Ok(None) };
    let id = cell.scalar().map(|id| Some(id.trim().to_owned()));
    id.ok_or_else(|| {
        Bad::field(&name, "wrong_type", format!("expected a text or a number, found {}", cell.type_name()))
    })
}

/// A field that a question can do without: one of another type is left out and counted.
fn optional(
    columns: &Columns<'_>,
    field: &'static str,
    names: &[String],
    ignored: &mut Vec<&'static str>,
) -> Option<String> {
    match first(columns, names) {
        Ok(None) => None,
        Ok(Some((_, Cell::Text(text) | Cell::Number(text)))) => Some(text),
        Ok(Some((_, Cell::List(items)))) if items.iter().all(|item| item.scalar().is_some()) => {
            Some(items.iter().filter_map(Cell::scalar).collect::<Vec<_>>().join(", "))
        }
        _ => {
            ignored.push(field);
            None
        }
    }
}

fn is_letter(answer: &str) -> bool {
    let bare = answer.trim().trim_start_matches('(').trim_end_matches([')', '.']);
    matches!(bare.as_bytes(), [letter] if letter.is_ascii_uppercase())
}

impl Bad {
    /// A row that cannot be read at all.
    pub(crate) fn row(code: &'static str, detail: impl Into<String>) -> Self {
        Self { field: None, reason: Reason::new(code, detail) }
    }

    /// A field that is not as it should be.
    pub(crate) fn field(field: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), reason: Reason::new(code, detail) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Fields;

    fn parse(json: &str) -> Result<Parsed, Rejected> {
        parse_as(&BankConfig::default(), json)
    }

    fn parse_as(bank: &BankConfig, json: &str) -> Result<Parsed, Rejected> {
        Mapping::new(bank, "bank".into(), Arc::default()).parse(Record::Json(json), 7)
    }

    #[test]
    fn usual_columns_are_found() {
        let parsed = parse(
            r#"{"problem": "What is $1+1$?", "ground_truth": 2, "difficulty": 3, "type": "Algebra", "uuid": 9,
                "data_source": "own", "license": "MIT", "tolerance": "0.05"}"#,
        )
        .unwrap();
        let question = parsed.question;
        assert_eq!(question.source_ids[..], ["9"]);
        assert_eq!((question.kind, &question.references[..]), (Kind::Math, &["2".to_owned()][..]));
        assert_eq!((question.level.as_deref(), question.subject.as_deref()), (Some("3"), Some("Algebra")));
        assert_eq!((question.source.as_str(), question.license.as_deref()), ("own", Some("MIT")));
        assert_eq!(question.tolerance, Some(Tolerance::Relative(0.05)));
        assert!(parsed.lacking.is_none() && parsed.ignored.is_empty());
    }

    #[test]
    fn named_columns_replace_the_usual_ones_and_may_be_paths() {
        let fields = Fields {
            question: Some("body.stem".into()),
            answer: Some("reward_model.ground_truth".into()),
            ..Fields::default()
        };
        let bank = BankConfig { fields, source: Some("rl".into()), ..BankConfig::default() };
        let json =
            r#"{"question": "no", "body": {"stem": "yes"}, "answer": 0, "reward_model": {"ground_truth": ["1"]}}"#;
        let question = parse_as(&bank, json).unwrap().question;
        assert_eq!((question.text.as_str(), &question.references[..]), ("yes", &["1".to_owned()][..]));
        assert_eq!(question.source_ids[..], ["rl/7"]);
    }

    #[test]
    fn kinds_are_named_or_inferred() {
        let kind = |json: &str| parse(json).unwrap().question.kind;
        assert_eq!(kind(r#"{"question": "q", "answer": "1"}"#), Kind::Math);
        assert_eq!(kind(r#"{"question": "q", "answer": "1", "kind": "text"}"#), Kind::Text);
        assert_eq!(kind(r#"{"question": "q", "kind": "code_stdin", "tests": {"type": "none"}}"#), Kind::Code);
        assert_eq!(kind(r#"{"question": "q", "tests": ["assert f(1) == 2"]}"#), Kind::Code);
        assert_eq!(kind(r#"{"question": "q", "answer": "A", "options": ["x", "y"]}"#), Kind::Choice);
        assert_eq!(kind(r#"{"question": "q", "answer": 1, "meta": {"options": ["x", "y"]}}"#), Kind::Choice);
        assert_eq!(kind(r#"{"question": "q\nA) x\nB) y", "answer": "A"}"#), Kind::Choice);
        assert_eq!(kind(r#"{"question": "Simplify.", "answer": "A"}"#), Kind::Math);
        let bank = BankConfig { kind: Some(Kind::Text), ..BankConfig::default() };
        assert_eq!(parse_as(&bank, r#"{"question": "q", "answer": "1"}"#).unwrap().question.kind, Kind::Text);
        let rejected = parse(r#"{"id": 5, "question": "q", "answer": "1", "kind": "algebra"}"#).unwrap_err();
        assert_eq!((rejected.bad.reason.code, rejected.source_id.as_deref()), ("unknown_kind", Some("5")));
    }

    #[test]
    fn a_chat_with_one_question_is_one() {
        let json =
            r#"{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], "answer": "1"}"#;
        assert_eq!(parse(json).unwrap().question.text, "q");
        assert_eq!(
            parse(r#"{"prompt": [{"role": "user"}], "answer": "1"}"#).unwrap_err().bad.reason.code,
            "wrong_type"
        );
    }

    #[test]
    fn humaneval_prompts_are_starters() {
        let json = r#"{"task_id": "h/0", "prompt": "def f(x):\n", "test": "def check(c):\n    assert c(1)", "entry_point": "f"}"#;
        let question = parse(json).unwrap().question;
        assert_eq!((question.kind, question.starter.as_str()), (Kind::Code, "def f(x):\n"));
        assert!(question.tests.is_some() && question.references.is_empty());
    }

    #[test]
    fn broken_rows_name_field_found_and_expected() {
        for (json, field, code, detail) in [
            (r#"{"question": 3, "answer": "1"}"#, Some("question"), "wrong_type", "expected a text, found a number"),
            (r#"{"answer": "1", "foo": 2}"#, Some("question"), "no_question", "`answer`, `foo`"),
            (r#"{"question": "  ", "answer": "1"}"#, Some("question"), "no_question", "holds a text"),
            (r#"{"id": [1], "question": "q", "answer": "1"}"#, Some("id"), "wrong_type", "found a list"),
            (r#"{"question": "q", "options": 3, "answer": "A"}"#, Some("options"), "bad_options", "found a number"),
            (r#"{"question": "q", "answer": "1", "tolerance": -1}"#, Some("tolerance"), "wrong_type", "`-1`"),
            (r#"{"question": "\ud800", "answer": "1"}"#, Some("question"), "bad_json", "hex escape"),
            (r#"{"question": "q""#, None, "bad_json", "column"),
            (r#""question""#, None, "bad_json", "no JSON object"),
        ] {
            let bad = parse(json).unwrap_err().bad;
            assert_eq!((bad.field.as_deref(), bad.reason.code), (field, code), "{json}: {bad:?}");
            assert!(bad.reason.detail.contains(detail), "{json}: {bad:?}");
        }
        for (json, code, detail) in [
            (r#"{"question": "q", "answer": {"a": 1}}"#, "wrong_type", "found an object"),
            (r#"{"question": "q", "answer": ""}"#, "no_reference", "`answer`"),
            (r#"{"question": "q", "solution": "a\nb"}"#, "no_reference", "`solution` holds a working"),
            (r#"{"question": "q", "options": ["x"], "answer": "B"}"#, "bad_reference", "1 options"),
            (r#"{"question": "q", "tests": {"type": "none"}}"#, "no_reference", "no tests"),
            (r#"{"question": "q", "kind": "code", "tests": 3}"#, "wrong_type", "found a number"),
        ] {
            let bad = parse(json).unwrap().lacking.expect(json);
            assert!(bad.reason.code == code && bad.reason.detail.contains(detail), "{json}: {bad:?}");
        }
    }

    #[test]
    fn decoration_of_another_type_is_left_out_and_counted() {
        let parsed = parse(r#"{"question": "q", "answer": 1, "subject": {"a": 1}, "level": ["a", 2]}"#).unwrap();
        assert_eq!((parsed.question.subject, parsed.question.level), (None, Some("a, 2".into())));
        assert_eq!(parsed.ignored, ["subject"]);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "(#### |\\\\boxed\\{|A\\)|\\[|\\{|def f|assert |[ -~]){0,6}\n?.{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let key = prop_oneof!["role|content|type|cases|input|output|text|label|A|B|options|relative", ".{0,3}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((key, inner), 0..4)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_row_of_any_shape_panics(
            values in prop::collection::vec(json(), 17),
            text in prop::option::of(".*"),
            kind in prop::option::of("math|choice|text|code|.*"),
        ) {
            let names = [
                "id", "question", "answer", "kind", "tests", "options", "level", "subject", "source", "tolerance",
                "meta", "test", "entry_point", "test_list", "input_output", "solution", "starter_code",
            ];
            let mut row: serde_json::Map<_, _> = names.map(str::to_owned).into_iter().zip(values).collect();
            row.extend(text.map(|text| ("question".to_owned(), text.into())));
            row.extend(kind.map(|kind| ("kind".to_owned(), kind.into())));
            if let Ok(parsed) = parse(&serde_json::Value::Object(row).to_string()) {
                let question = parsed.question;
                let verifiable = !question.references.is_empty() || question.tests.is_some();
                prop_assert_eq!(verifiable, parsed.lacking.is_none());
                prop_assert!(!question.source_ids[0].is_empty() && !question.text.trim().is_empty());
            }
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parse(&text);
            let _ = parse(&format!("{{{text}"));
        }
    }
}
