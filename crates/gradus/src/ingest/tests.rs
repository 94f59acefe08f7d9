//! Whole banks, from files to questions.

use std::fs;
use std::io::Write;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StringDictionaryBuilder};
use arrow::datatypes::{Int32Type, UInt8Type};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::{Action, BankConfig, Contamination, ContaminationMode, Families};

struct Case {
    dir: Arc<TempDir>,
    config: Config,
}

impl Case {
    /// A bank of these files, in this order.
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let mut config = Config::default();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
            config.bank.push(BankConfig { path: name.into(), ..BankConfig::default() });
        }
        Self { dir, config }
    }

    fn overrides(mut self, name: &str, content: &str) -> Self {
        fs::write(self.dir.path().join(name), content).unwrap();
        self.config.overrides = Some(name.into());
        self
    }

    fn open(&self) -> Result<Opened, IngestError> {
        self.open_limited(MAX_ROW)
    }

    #[track_caller]
    fn open_limited(&self, max_row: usize) -> Result<Opened, IngestError> {
        let ingest = Ingest::read(&self.config, self.dir.path(), Elsewhere::default(), max_row)?;
        adds_up(&ingest);
        Ok(Opened { ingest, _dir: self.dir.clone() })
    }
}

/// An open bank and the folder it is read from.
#[derive(Debug)]
struct Opened {
    ingest: Ingest,
    _dir: Arc<TempDir>,
}

impl Deref for Opened {
    type Target = Ingest;

    fn deref(&self) -> &Ingest {
        &self.ingest
    }
}

#[track_caller]
fn adds_up(ingest: &Ingest) {
    let summary = ingest.summary();
    let dropped: u64 = summary.dropped.values().sum();
    assert_eq!(dropped, ingest.dropped().len() as u64);
    assert_eq!(summary.rows, summary.kept + summary.over_limit + dropped + summary.duplicates());
    let mut kept = 0;
    for file in &summary.files {
        assert_eq!(file.rows, file.kept + file.over_limit + file.dropped + file.duplicates, "{file:?}");
        kept += file.kept;
    }
    assert_eq!(kept, summary.kept);
}

fn questions(ingest: &Ingest) -> Vec<Question> {
    let questions: Vec<Question> = ingest.questions().collect::<Result<_, _>>().unwrap();
    assert_eq!(questions.len() as u64, ingest.summary().kept);
    questions
}

fn ids(questions: &[Question]) -> Vec<Vec<&str>> {
    questions.iter().map(|question| question.source_ids.iter().map(String::as_str).collect()).collect()
}

fn zstd_of(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).unwrap()
}

fn gzip_of(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn parquet_of(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

const LINES: &str = "\u{feff}{\"id\": \"a\", \"question\": \"1+1?\", \"answer\": 2}\r\n\n\
                     {\"question\": \"two\u{2028}lines\u{85}here\", \"answer\": [\"x\", 0.50]}";

#[test]
fn lines_are_read_plain_and_compressed() {
    let plain = LINES.as_bytes();
    for (name, bytes) in [
        ("b.jsonl", plain.to_vec()),
        ("b.json", plain.to_vec()),
        ("b.ndjson.gz", gzip_of(plain)),
        ("b.jsonl.zst", zstd_of(plain)),
        ("b.JSONL.ZST", [zstd_of(&plain[..20]), zstd_of(&plain[20..])].concat()),
    ] {
        let ingest = Case::new(&[(name, &bytes)]).open().unwrap();
        let questions = questions(&ingest);
        assert_eq!(ids(&questions), [["a"], ["b/2"]], "{name}");
        assert_eq!(questions[1].references, ["x", "0.50"]);
        assert!(questions[1].text.contains('\u{2028}'));
        assert_eq!(questions[1].source, "b");
    }
}

#[test]
fn csv_is_read_with_quotes_and_line_feeds() {
    let csv = "id,question,answer,options\n\
               1,\"two\nlines, \"\"quoted\"\"\",2,\n\
               2,Which?,B,\"[\"\"x\"\", \"\"y\"\"]\"\n\
               3,short\n\
               4,last,,\n";
    for (name, bytes) in [("b.csv", csv.as_bytes().to_vec()), ("b.csv.zst", zstd_of(csv.as_bytes()))] {
        let ingest = Case::new(&[(name, &bytes)]).open().unwrap();
        let questions = questions(&ingest);
        assert_eq!(questions[0].text, "two\nlines, \"quoted\"");
        assert_eq!((questions[1].kind, questions[1].options.len()), (Kind::Choice, 2));
        let dropped: Vec<_> = ingest.dropped().iter().map(|d| (d.line, d.reason.code)).collect();
        assert_eq!(dropped, [(5, "bad_csv"), (6, "no_reference")]);
        assert!(ingest.dropped()[0].reason.detail.contains("2 fields, the header 4"));
    }
    // Line ends of two bytes count once, empty lines too.
    for (csv, lines) in [
        ("question,answer\r\na,1\r\nshort\r\n\"two\r\nlines\",2\r\nshort\r\n", [3, 6]),
        ("question,answer\n\nshort\na,1\n\n\nshort", [3, 7]),
        ("question,answer\r\n\r\nshort\r\na,1\r\nshort\r\n", [3, 5]),
    ] {
        let ingest = Case::new(&[("b.csv", csv.as_bytes())]).open().unwrap();
        assert_eq!(ingest.dropped().iter().map(|dropped| dropped.line).collect::<Vec<_>>(), lines);
    }
}

#[test]
fn parquet_is_read_with_its_types() {
    let mut subjects = StringDictionaryBuilder::<Int32Type>::new();
    subjects.extend(["algebra", "algebra", "logic"].map(Some));
    let choices = ListArray::from_iter_primitive::<UInt8Type, _, _>([None, None, Some(vec![Some(7), Some(8)])]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("question_id", Arc::new(Int64Array::from(vec![10, 11, 12]))),
        ("problem", Arc::new(StringArray::from(vec![Some("p"), None, Some("r")]))),
        ("answer", Arc::new(Float64Array::from(vec![Some(5.0), Some(0.25), Some(1.0)]))),
        ("subject", Arc::new(subjects.finish())),
        ("choices", Arc::new(choices)),
        ("embedding", Arc::new(Float64Array::from(vec![f64::NAN; 3]))),
    ];
    let bytes = parquet_of(&RecordBatch::try_from_iter(columns).unwrap());
    let ingest = Case::new(&[("b.parquet", &bytes)]).open().unwrap();
    let questions = questions(&ingest);
    assert_eq!(ids(&questions), [["10"], ["12"]]);
    assert_eq!((questions[0].kind, &questions[0].references[..]), (Kind::Math, &["5".to_owned()][..]));
    assert_eq!(questions[1].subject.as_deref(), Some("logic"));
    assert_eq!((questions[1].kind, &questions[1].options[..]), (Kind::Choice, &["7".to_owned(), "8".to_owned()][..]));
    assert_eq!(questions[1].references, ["B"]);
    let dropped = &ingest.dropped()[0];
    assert_eq!(
        (dropped.line, dropped.reason.code, &dropped.source_ids[..]),
        (2, "no_question", &["11".to_owned()][..])
    );
}

#[test]
fn broken_rows_leave_with_line_field_and_reason() {
    let mut bank = br#"{"id": 1, "question": "good", "answer": 1}"#.to_vec();
    bank.extend(b"\nno json\n{\"id\": 3, \"question\": \"\xff\", \"answer\": 1}\n");
    bank.extend(br#"{"id": 4, "question": 4, "answer": 1}"#);
    bank.extend(b"\n");
    bank.extend(br#"{"id": 5, "question": "unanswered"}"#);
    let case = Case::new(&[("b.jsonl", &bank)]);
    let ingest = case.open().unwrap();
    assert_eq!(ids(&questions(&ingest)), [["1"]]);
    let dropped: Vec<_> = ingest.dropped().iter().map(|d| (d.line, d.field.as_deref(), d.reason.code)).collect();
    let expected = [
        (2, None, "bad_json"),
        (3, None, "bad_utf8"),
        (4, Some("question"), "wrong_type"),
        (5, Some("answer"), "no_reference"),
    ];
    assert_eq!(dropped, expected);
    assert!(ingest.dropped()[1].reason.detail.contains("byte 23"), "{:?}", ingest.dropped()[1]);
    assert_eq!(ingest.dropped()[2].source_ids, ["4"]);

    let config = Config { keep_unverifiable: true, ..case.config.clone() };
    let ingest = Ingest::open(&config, case.dir.path()).unwrap();
    assert_eq!(ids(&questions(&ingest)), [["1"], ["5"]]);
}

/// Endless-looking input: lines of a size no buffer may take.
#[test]
fn overlong_rows_are_skipped_in_every_text_format() {
    let long = "x".repeat(50_000);
    let lines = format!(
        "{{\"question\": \"a\", \"answer\": 1}}\n{{\"question\": \"{long}\", \"answer\": 1}}\n{{\"question\": \"b\", \"answer\": 1}}"
    );
    let csv = format!("question,answer\na,1\n\"{long}\",1\nb,1\n");
    for (name, content) in [("b.jsonl", lines), ("b.csv", csv)] {
        let ingest = Case::new(&[(name, content.as_bytes())]).open_limited(10_000).unwrap();
        let texts: Vec<String> = questions(&ingest).into_iter().map(|question| question.text).collect();
        assert_eq!(texts, ["a", "b"], "{name}");
        let dropped = &ingest.dropped()[0];
        assert_eq!(dropped.reason.code, "too_long");
        assert!(dropped.reason.detail.contains("the most is 10000"), "{dropped:?}");
    }
    let unclosed = format!("question,answer\na,1\n\"open,1\n{}", "b,1\n".repeat(10_000));
    let ingest = Case::new(&[("b.csv", unclosed.as_bytes())]).open_limited(10_000).unwrap();
    assert_eq!((ingest.summary().kept, ingest.dropped()[0].reason.code), (1, "too_long"));
}

#[test]
fn unusable_files_are_errors_with_a_hint() {
    let good: (&str, &[u8]) = ("good.jsonl", br#"{"question": "q", "answer": 1}"#);
    for (name, content, message, hint) in [
        ("empty.jsonl", &b""[..], "is empty", "take it out"),
        ("blank.jsonl", b"\n \n", "is empty", "take it out"),
        ("header.csv", b"question,answer\n", "is empty", "take it out"),
        ("b.xlsx", b"x", "unknown extension", ".jsonl"),
        ("b", b"x", "unknown extension", ".jsonl"),
        ("array.json", b" \n[{\"question\": 1}]", "one JSON array", "jq"),
        ("cut.jsonl.zst", &zstd_of(&LINES.repeat(99).into_bytes())[..60], "cannot be read", "zstd -t"),
        ("cut.jsonl.gz", &gzip_of(&LINES.repeat(99).into_bytes())[..60], "cannot be read", "gzip -t"),
        ("plain.jsonl.gz", LINES.as_bytes(), "cannot be read", "gzip -t"),
        ("b.parquet", b"PAR1 but no more", "as Parquet", "damaged"),
    ] {
        let error = Case::new(&[good, (name, content)]).open().unwrap_err();
        assert!(error.message.contains(message) && error.message.contains(name), "{name}: {error:?}");
        assert!(error.hint.contains(hint), "{name}: {error:?}");
    }
    let mut case = Case::new(&[good]);
    let mut check = |path: &str, message: &str, hint: &str| {
        case.config.bank[0].path = path.into();
        let error = case.open().unwrap_err();
        assert!(error.message.contains(message) && error.hint.contains(hint), "{path}: {error:?}");
    };
    check("god.jsonl", "cannot be read", "did you mean `good.jsonl`?");
    check("nowhere/x.jsonl", "cannot be read", "relative paths start at");
    check(".", "is a directory", "good.jsonl");
    check("builtin", "cannot be read", "relative paths");
    case.config.bank.clear();
    assert!(case.open().unwrap_err().hint.contains("builtin"));
}

#[test]
fn a_bank_of_which_nothing_is_left_is_an_error_that_says_why() {
    let check = |content: &str, message: &str, hint: &str| {
        let error = Case::new(&[("b.jsonl", content.as_bytes())]).open().unwrap_err();
        assert!(error.message.contains(message) && error.hint.contains(hint), "{error:?}");
    };
    check("{\"q\": 1}\n{\"q\": 2}", "2 rows (2 no_question); line 1 of `b.jsonl`", "bank.fields");
    check("{\"question\": \"q\"}", "1 no_reference", "keep_unverifiable");
    check("PK\u{3}\u{4}", "1 bad_json", "extension");
    let mut case = Case::new(&[("b.jsonl", br#"{"question": "q", "answer": 1}"#)]);
    case.config.limit = Some(0);
    assert!(case.open().unwrap_err().hint.contains("limit"));
}

#[test]
fn the_builtin_bank_comes_from_the_caller() {
    let case = Case::new(&[]);
    let config = Config::read("bank: builtin", &[]).unwrap();
    let ingest = Ingest::open_with(
        &config,
        case.dir.path(),
        Elsewhere { builtin: Some(LINES.as_bytes()), ..Elsewhere::default() },
    )
    .unwrap();
    let questions = questions(&ingest);
    assert_eq!((questions.len(), questions[0].source.as_str()), (2, "builtin"));
}

#[test]
fn duplicates_are_joined_at_their_first_place() {
    let first = r#"{"id": "a1", "question": "What is ½ + ½?", "answer": "1", "level": 2}
        {"id": "a2", "question": "Other", "answer": "x"}
        {"id": "a3", "question": "What is ½ + ½?", "answer": "1"}"#;
    let second = r#"{"id": "b1", "question": "What  is ½ + ½?\n", "answer": ["1.0", "1"], "level": 5}
        {"id": "a1", "question": "What is ½ + ½?", "answer": "2"}"#;
    let ingest = Case::new(&[("a.jsonl", first.as_bytes()), ("b.jsonl", second.as_bytes())]).open().unwrap();
    let questions = questions(&ingest);
    assert_eq!(ids(&questions), [vec!["a1", "a3", "b1"], vec!["a2"]]);
    assert_eq!(questions[0].references, ["1", "1.0"], "2 is not 1");
    assert_eq!((questions[0].level.as_deref(), questions[0].source.as_str()), (Some("2"), "a"));
    let summary = ingest.summary();
    assert_eq!((summary.exact_duplicates, summary.normalised_duplicates), (1, 1));
    assert_eq!(summary.files[1].duplicates, 1);
    let [contradiction] = summary.contradictions.as_slice() else { panic!("{summary:?}") };
    assert_eq!(contradiction.references, [vec!["1".to_owned(), "1.0".to_owned()], vec!["2".to_owned()]]);
    assert!(summary.renamed.is_empty());
    let [dropped] = ingest.dropped() else { panic!("{:?}", ingest.dropped()) };
    assert_eq!((&*dropped.file, dropped.line, dropped.reason.code), ("b.jsonl", 2, "other_reference"));
    assert_eq!(
        dropped.reason.detail,
        "repeats `a1` with another reference: 2 instead of 1, 1.0; the one that came first stands"
    );
}

#[test]
fn duplicates_agree_by_meaning_and_not_by_spelling() {
    let long = "x".repeat(2000);
    let bank = format!(
        r#"{{"id": "half", "question": "a", "answer": "1/2"}}
        {{"id": "half2", "question": "a", "answer": "\\frac{{1}}{{2}}"}}
        {{"id": "half3", "question": "a", "answer": ["7", "0.5"]}}
        {{"id": "third", "question": "b", "answer": "1/3"}}
        {{"id": "third2", "question": "b", "answer": "0.333"}}
        {{"id": "third3", "question": "b", "answer": "0.4"}}
        {{"id": "two", "question": "c", "answer": ["1", "2"]}}
        {{"id": "pick", "kind": "choice", "question": "d", "options": ["x", "y"], "answer": "A"}}
        {{"id": "pick2", "kind": "choice", "question": "d", "options": ["x", "y"], "answer": "B"}}
        {{"id": "text", "kind": "text", "question": "e", "answer": "New York"}}
        {{"id": "text2", "kind": "text", "question": "e", "answer": "new york"}}
        {{"id": "long", "kind": "text", "question": "f", "answer": "{long}"}}
        {{"id": "long2", "kind": "text", "question": "f", "answer": "{long}"}}
        {{"id": "long3", "kind": "text", "question": "f", "answer": "{long}y"}}"#
    );
    let ingest = Case::new(&[("b.jsonl", bank.as_bytes())]).open().unwrap();
    let dropped: Vec<_> = ingest.dropped().iter().map(|dropped| dropped.source_ids[0].as_str()).collect();
    assert_eq!(dropped, ["third3", "pick2", "long3"]);
    let detail = &ingest.dropped()[1].reason.detail;
    assert!(detail.contains("`pick`") && detail.contains("B instead of A"), "{detail}");
    let questions = questions(&ingest);
    assert_eq!(questions[0].references, ["1/2", r"\frac{1}{2}", "7", "0.5"]);
    assert_eq!(questions[2].references, ["1", "2"], "references of one row are alternatives");
    assert_eq!(questions[3].references, ["A"]);
    // The dropped row's id still finds the question: its text is the same, only its answer is not believed.
    assert_eq!(*questions[3].source_ids, ["pick", "pick2"]);
}

#[test]
fn an_override_decides_between_two_answers() {
    let bank = r#"{"id": "a", "question": "q", "answer": "1"}
        {"id": "b", "question": "q", "answer": "2"}"#;
    let case = Case::new(&[("b.jsonl", bank.as_bytes())]);
    let ingest = case.overrides("o.yaml", "references: {b: '2'}").open().unwrap();
    assert_eq!(questions(&ingest)[0].references, ["2"]);
    assert_eq!((ingest.dropped(), ingest.summary().exact_duplicates), (&[][..], 1));
    assert_eq!(ingest.summary().contradictions, []);
}

#[test]
fn a_duplicate_gives_what_the_first_row_lacks() {
    let bank = r#"{"id": "a", "question": "q"}
        {"id": "b", "question": "q", "answer": "1"}
        {"id": "c", "kind": "code", "question": "f", "tests": {"type": "none"}}
        {"id": "d", "kind": "code", "question": "f", "tests": ["assert f(1) == 2"]}
        {"id": "e", "kind": "code", "question": "f", "tests": ["assert f(1) == 3"]}"#;
    let ingest = Case::new(&[("b.jsonl", bank.as_bytes())]).open().unwrap();
    let questions = questions(&ingest);
    assert_eq!(ids(&questions), [vec!["a", "b"], vec!["c", "d", "e"]]);
    assert_eq!(questions[0].references, ["1"]);
    let Some(Tests::Function { test_code, .. }) = questions[1].tests.as_deref() else { panic!("{questions:?}") };
    assert_eq!(test_code, "assert f(1) == 2");
}

#[test]
fn a_source_id_finds_one_question() {
    let bank = r#"{"id": 1, "question": "p", "answer": "1"}
        {"id": 1, "question": "q", "answer": "1"}
        {"id": 1, "question": "r", "answer": "1"}
        {"id": 1, "question": "q", "answer": "1"}"#;
    let other = r#"{"id": 1, "question": "r", "answer": "1"}"#;
    let ingest = Case::new(&[("a.jsonl", bank.as_bytes()), ("b.jsonl", other.as_bytes())]).open().unwrap();
    assert_eq!(ids(&questions(&ingest)), [["1"], ["1#2"], ["1#3"]]);
    let renamed: Vec<_> = ingest.summary().renamed.iter().map(|r| (&*r.file, r.line, r.to.as_str())).collect();
    assert_eq!(renamed, [("a.jsonl", 2, "1#2"), ("a.jsonl", 3, "1#3"), ("a.jsonl", 4, "1#2"), ("b.jsonl", 1, "1#3")]);
    assert!(ingest.summary().warnings()[0].contains("suffix"));
}

/// As happens when the column of the id or of the question is not the one that was meant.
#[test]
fn constant_columns_are_read_in_linear_time_and_reported() {
    let rows: Vec<_> = (0..30_000).map(|i| format!(r#"{{"id": 0, "question": "q{i}", "answer": 1}}"#)).collect();
    let ingest = Case::new(&[("b.jsonl", rows.join("\n").as_bytes())]).open().unwrap();
    assert_eq!(questions(&ingest)[29_999].source_ids[..], ["0#30000"]);
    assert_eq!(ingest.summary().renamed.len(), 29_999);
    let rows: Vec<_> = (0..30_000).map(|i| format!(r#"{{"id": {i}, "question": "q", "answer": 1}}"#)).collect();
    let ingest = Case::new(&[("b.jsonl", rows.join("\n").as_bytes())]).open().unwrap();
    assert_eq!(questions(&ingest)[0].source_ids.len(), 30_000);
    assert!(ingest.summary().warnings()[0].contains("bank.fields.question"), "{:?}", ingest.summary().warnings());
}

#[test]
fn questions_can_be_read_on_another_thread() {
    let ingest = Case::new(&[("b.jsonl", LINES.as_bytes())]).open().unwrap();
    let mut questions = ingest.questions();
    let n = std::thread::scope(|scope| scope.spawn(move || questions.by_ref().count()).join().unwrap());
    assert_eq!(n, 2);
}

#[test]
fn the_limit_keeps_the_first_questions_with_all_their_duplicates() {
    let bank = "{\"id\": 1, \"question\": \"p\", \"answer\": 1}\n{\"id\": 2, \"question\": \"q\"}\n\
                {\"id\": 3, \"question\": \"r\", \"answer\": 1}\n{\"id\": 4, \"question\": \"s\", \"answer\": 1}\n\
                {\"id\": 5, \"question\": \"r\", \"answer\": 1}";
    let mut case = Case::new(&[("b.jsonl", bank.as_bytes())]);
    case.config.limit = Some(2);
    let ingest = case.open().unwrap();
    assert_eq!(ids(&questions(&ingest)), [vec!["1"], vec!["3", "5"]]);
    assert_eq!(ingest.summary().over_limit, 1);
}

#[test]
fn overrides_exclude_and_correct_and_are_audited() {
    let bank = r#"{"id": "a", "question": "p", "answer": "1"}
        {"id": "b", "question": "q", "answer": "1"}
        {"id": "c", "question": "r", "answer": "1"}
        {"id": "d", "question": "p", "answer": "2"}
        {"id": "e", "question": "s"}
        {"id": "f", "question": "t", "options": ["x", "y"], "answer": "A"}
        {"id": "g", "question": "u", "tests": ["assert u() == 1"]}"#;
    let content_id = QuestionId::of(Kind::Math, "r", &[]);
    let yaml = format!(
        "exclude: [{{id: {content_id}, why: ambiguous}}, a]\n\
         references:\n  d: {{references: [3], why: typo}}\n  e: '5'\n  f: b\n  g: 1\n  z: 1\n  b: ['1', '1.0']\n"
    );
    let ingest = Case::new(&[("b.jsonl", bank.as_bytes())]).overrides("o.yaml", &yaml).open().unwrap();
    let questions = questions(&ingest);
    let kept: Vec<_> = questions.iter().map(|q| (q.source_ids[0].as_str(), q.references.join("|"))).collect();
    assert_eq!(kept, [("b", "1|1.0".into()), ("e", "5".into()), ("f", "B".into()), ("g", String::new())]);

    let dropped: Vec<_> = ingest.dropped().iter().map(|d| (d.line, d.reason.code, d.source_ids.join("|"))).collect();
    assert_eq!(dropped, [(1, "override_excluded", "a|d".into()), (3, "override_excluded", "c".into())]);
    assert_eq!(ingest.dropped()[1].reason.detail, "ambiguous");

    let summary = ingest.summary();
    let applied: Vec<_> =
        summary.overrides.iter().map(|o| (o.id.as_str(), o.before.join("|"), o.after.clone())).collect();
    assert_eq!(applied.len(), 5);
    assert_eq!(applied[1], ("a", "1".into(), None));
    assert!(applied.contains(&("f", "A".into(), Some(vec!["B".into()]))));
    assert_eq!(summary.contradictions, [], "the override decides");
    let unused: Vec<_> = summary.unused_overrides.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(unused, ["d", "g", "z"]);
    assert!(summary.warnings()[2].contains("`z` changes nothing: no question has this id"), "{:?}", summary.warnings());
}

#[test]
fn broken_overrides_stop_with_a_hint() {
    let bank: &[(&str, &[u8])] = &[("b.jsonl", br#"{"question": "q", "answer": 1}"#)];
    let error = Case::new(bank).overrides("o.yaml", "exclud: [a]").open().unwrap_err();
    assert!(error.message.contains("`o.yaml`: unknown key `exclud`") && error.hint.contains("exclude:"), "{error:?}");
    let error = Case::new(bank).overrides("o.jsonl", "{\"id\": \"a\"}").open().unwrap_err();
    assert!(error.message.contains("line 1: `a` needs"), "{error:?}");
    let mut case = Case::new(bank);
    case.config.overrides = Some("none.yaml".into());
    assert!(case.open().unwrap_err().message.contains("`none.yaml` cannot be read"));
}

#[test]
fn a_bank_that_changes_between_the_passes_is_an_error() {
    let bank = "{\"question\": \"p\", \"answer\": 1}\n{\"question\": \"q\", \"answer\": 1}\n";
    let case = Case::new(&[("b.jsonl", bank.as_bytes())]);
    let ingest = case.open().unwrap();
    for changed in [bank.replace('q', "x"), bank[..bank.len() / 2].to_owned(), bank.replace("\"q\"", "8")] {
        fs::write(case.dir.path().join("b.jsonl"), changed).unwrap();
        let items: Vec<_> = ingest.questions().collect();
        let error = items.last().unwrap().as_ref().unwrap_err();
        assert!(error.message.contains("changed while it was used"), "{error:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), name in "b\\.(jsonl|csv|parquet|jsonl\\.zst|csv\\.gz)") {
        let case = Case::new(&[(&name, &bytes)]);
        if let Ok(ingest) = case.open_limited(100) {
            questions(&ingest);
        }
    }

    /// The Parquet library panics on some damage; here it must be an error like any other.
    #[test]
    fn damaged_parquet_never_panics(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let texts = (0..50).map(|i| format!("question {i}"));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("question", Arc::new(StringArray::from_iter_values(texts))),
            ("answer", Arc::new(Int64Array::from_iter_values(0..50))),
        ];
        let mut bytes = parquet_of(&RecordBatch::try_from_iter(columns).unwrap());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(ingest) = Case::new(&[("b.parquet", &bytes)]).open() {
            questions(&ingest);
        }
    }

    #[test]
    fn lines_that_are_nearly_rows_add_up(
        lines in prop::collection::vec(
            prop_oneof![
                ("[a-c]", "[pqr] ?", "[1-3]?").prop_map(|(id, question, answer)| {
                    format!(r#"{{"id": "{id}", "question": "{question}", "answer": "{answer}"}}"#)
                }),
                ".{0,12}".prop_map(|text| format!(r#"{{"question": "{text}"}}"#)),
                Just(String::new()),
            ],
            1..20,
        ),
        limit in prop::option::of(1_u64..4),
    ) {
        let mut case = Case::new(&[("b.jsonl", lines.join("\n").as_bytes())]);
        case.config.limit = limit;
        if let Ok(ingest) = case.open() {
            let questions = questions(&ingest);
            let mut ids: Vec<_> = questions.iter().flat_map(|question| question.source_ids.iter()).collect();
            let n_ids = ids.len();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), n_ids);
        }
    }
}

fn shared_data() -> Option<PathBuf> {
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/questions"));
    if !data.is_dir() {
        println!("skipped: ../shared/data is absent");
        return None;
    }
    Some(data)
}

/// Counts of the recorded banks, duplicates within a file included.
#[test]
fn recorded_banks_are_read_whole_and_with_their_kinds() {
    let Some(data) = shared_data() else { return };
    for (file, rows, kind) in [
        ("gsm8k_test", 1319, Kind::Math),
        ("scibench", 291, Kind::Math),
        ("aqua", 254, Kind::Choice),
        ("mmlu_stem", 2005, Kind::Choice),
        ("cruxeval_o", 800, Kind::Text),
        ("humaneval", 164, Kind::Code),
        ("mbpp", 974, Kind::Code),
        ("code_contests", 165, Kind::Code),
        ("apps_sample", 5, Kind::Code),
    ] {
        let path = data.join(format!("{file}.jsonl.zst"));
        let config = Config { bank: vec![BankConfig { path, ..BankConfig::default() }], ..Config::default() };
        let ingest = Ingest::open(&config, &data).unwrap();
        adds_up(&ingest);
        let summary = ingest.summary();
        assert_eq!((summary.rows, summary.dropped.len()), (rows, 0), "{file}: {summary:?}");
        for question in questions(&ingest) {
            assert_eq!(question.kind, kind, "{file}: {:?}", question.source_ids);
            assert_eq!(question.options.is_empty(), kind != Kind::Choice, "{file}: {:?}", question.source_ids);
            assert_eq!(question.tolerance.is_some(), file == "scibench");
            assert_eq!(!question.starter.is_empty(), file == "humaneval");
        }
    }
}

#[test]
fn recorded_contamination_is_found() {
    let Some(data) = shared_data() else { return };
    let bank = |file: &str| BankConfig { path: format!("{file}.jsonl.zst").into(), ..BankConfig::default() };
    let config = Config { bank: vec![bank("math_test"), bank("math500")], ..Config::default() };
    let ingest = Ingest::open(&config, &data).unwrap();
    adds_up(&ingest);
    let [test, part] = ingest.summary().files.as_slice() else { panic!("two files") };
    assert_eq!((test.rows, part.rows), (4697, 232));
    assert!(part.duplicates >= 230, "MATH-500 lies inside MATH test: {part:?}");
}

/// Every recorded bank in one run; prints what is asked of a run's memory and time.
#[test]
fn all_recorded_banks_make_one_bank() {
    let Some(data) = shared_data() else { return };
    let mut paths: Vec<PathBuf> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let bank = paths.into_iter().map(|path| BankConfig { path, ..BankConfig::default() }).collect();
    let config = Config { bank, ..Config::default() };
    let ingest = Ingest::open(&config, &data).unwrap();
    adds_up(&ingest);
    let summary = ingest.summary();
    let mut kinds = BTreeMap::new();
    for question in ingest.questions() {
        *kinds.entry(question.unwrap().kind.name()).or_insert(0_u64) += 1;
    }
    assert_eq!(kinds.values().sum::<u64>(), summary.kept);
    assert!(summary.rows > 80_000 && summary.kept * 10 > summary.rows * 6, "{summary:?}");
    assert_eq!(summary.dropped.keys().copied().collect::<Vec<_>>(), ["no_reference", "other_reference"]);
    assert_eq!(summary.contradictions.len() as u64, summary.dropped["other_reference"]);
    println!(
        "{} rows, {} kept {kinds:?}, dropped {:?}, {} exact and {} normalised duplicates, {} contradictions, {} renamed",
        summary.rows,
        summary.kept,
        summary.dropped,
        summary.exact_duplicates,
        summary.normalised_duplicates,
        summary.contradictions.len(),
        summary.renamed.len()
    );
}

const POND: &str = "A frog sits at the edge of a round pond with 12 lily pads and jumps from pad to pad; in how many ways can \
                    it visit all of them?";

/// A bank with a question, one that nearly repeats it, one with other numbers, one with another answer, and another.
fn murky() -> Case {
    let rows = [
        (POND.to_owned(), "7"),
        (POND.replace("a round", "the round"), "7"),
        (POND.replace("12", "14"), "8"),
        (POND.replace("all", "none"), "1"),
        ("What is 2 + 2?".to_owned(), "4"),
    ];
    let lines: Vec<String> =
        rows.iter().map(|(text, answer)| serde_json::json!({"question": text, "answer": answer}).to_string()).collect();
    Case::new(&[("bank.jsonl", lines.join("\n").as_bytes())])
}

#[test]
fn nothing_is_looked_for_unless_the_config_says_so() {
    let bank = murky().open().unwrap();
    assert_eq!((bank.summary().kept, bank.findings().len(), &bank.summary().hygiene), (5, 0, &None));
}

#[test]
fn near_duplicates_leave_and_families_and_contradictions_stay() {
    let mut case = murky();
    case.config.hygiene.near_duplicates = Action::Report;
    case.config.hygiene.families = Families::Report;
    let found = |bank: &Opened| -> Vec<(String, &'static str, String, bool)> {
        let found = |finding: &Finding| {
            (finding.source_id.clone(), finding.found.name(), finding.other_source_id.clone(), finding.dropped)
        };
        bank.findings().iter().map(found).collect()
    };
    let finding = |id: &str, found: &'static str, dropped| (format!("bank/{id}"), found, "bank/1".to_owned(), dropped);
    let bank = case.open().unwrap();
    assert_eq!(bank.summary().kept, 5);
    let mut wanted = [
        finding("1", "family", false),
        finding("2", "near_duplicate", false),
        finding("3", "family", false),
        finding("4", "contradiction", false),
    ];
    assert_eq!(found(&bank), wanted);
    case.config.hygiene.near_duplicates = Action::Drop;
    let bank = case.open().unwrap();
    wanted[1].3 = true;
    assert_eq!(found(&bank), wanted);
    assert_eq!(ids(&questions(&bank)), [["bank/1"], ["bank/3"], ["bank/4"], ["bank/5"]]);
    let [dropped] = bank.dropped() else { panic!("{:?}", bank.dropped()) };
    assert_eq!((dropped.line, dropped.reason.code), (2, "near_duplicate"));
    assert!(dropped.reason.detail.contains("`bank/1`: Jaccard 0.8"), "{}", dropped.reason.detail);
    let warnings = bank.warnings();
    assert!(warnings[0].starts_with("1 question: nearly repeat an earlier one, and left out"), "{warnings:?}");
}

#[test]
fn questions_of_a_benchmark_leave_with_the_matched_span() {
    let mut case = murky();
    let exam = serde_json::json!({"id": "e1", "question": POND.replace("12", "$14$")}).to_string();
    fs::write(case.dir.path().join("exam.jsonl"), format!("{exam}\n{{\"question\": \"Who?\"}}")).unwrap();
    let against = vec![BankConfig { path: "exam.jsonl".into(), ..BankConfig::default() }];
    let mut rule = Contamination { against, ..Contamination::default() };
    case.config.hygiene.decontaminate = Some(rule.clone());
    let bank = case.open().unwrap();
    // The others have another number.
    assert_eq!(ids(&questions(&bank)), [["bank/1"], ["bank/2"], ["bank/4"], ["bank/5"]]);
    let [dropped] = bank.dropped() else { panic!("{:?}", bank.dropped()) };
    assert_eq!((dropped.line, dropped.reason.code), (3, "contaminated"));
    assert!(
        dropped.reason.detail.contains("exam as ") && dropped.reason.detail.contains("`e1` (same_text, 1.000): A frog")
    );
    let hygiene = bank.summary().hygiene.clone().unwrap();
    let coverage = &hygiene.benchmarks[0];
    assert_eq!((coverage.bank.as_str(), coverage.n_questions, coverage.n_found), ("exam", 2, 1));
    assert_eq!((hygiene.contaminated, hygiene.benchmark_variants), (1, 3));
    for (mode, kept) in [(ContaminationMode::Word8, 1), (ContaminationMode::Omnithought, 1)] {
        rule.mode = mode;
        case.config.hygiene.decontaminate = Some(rule.clone());
        assert_eq!(questions(&case.open().unwrap()).len(), kept, "{mode:?}");
    }
    rule.action = Action::Report;
    case.config.hygiene.decontaminate = Some(rule);
    assert_eq!((case.open().unwrap().summary().kept, case.open().unwrap().findings().len()), (5, 4));
}

#[test]
fn a_bank_that_is_its_own_benchmark_is_an_error_that_says_so() {
    let mut case = murky();
    let against = vec![BankConfig { path: "bank.jsonl".into(), ..BankConfig::default() }];
    case.config.hygiene.decontaminate = Some(Contamination { against, ..Contamination::default() });
    let error = case.open().unwrap_err();
    assert!(error.message.contains("5 contaminated") && error.hint.contains("against"), "{error:?}");
}

#[test]
fn a_row_can_bring_the_ids_of_all_its_sources() {
    let bank = b"{\"id\": \"a\", \"source_ids\": [\"a\", \"b\", 3], \"question\": \"q\", \"answer\": 1}\n\
                 {\"source_ids\": [\"c\", \"b\"], \"question\": \"r\", \"answer\": 1}\n\
                 {\"id\": \"d\", \"question\": \"q\", \"answer\": 1, \"source_ids\": [\"b\", \"e\"]}";
    let bank = Case::new(&[("x.jsonl", bank)]).open().unwrap();
    assert_eq!(ids(&questions(&bank)), [vec!["a", "b", "3", "d", "e"], vec!["c", "b#2"]]);
    assert_eq!(bank.summary().renamed.len(), 1);
}

#[test]
fn levels_can_be_turned() {
    let mut case = Case::new(&[("x.csv", b"question,answer,level\na,1,1\nb,1,5.0\nc,1,2.5\nd,1,\ne,1,hard\n")]);
    case.config.bank[0].level1_is_hardest = true;
    let bank = case.open().unwrap();
    let levels: Vec<_> = questions(&bank).into_iter().map(|question| question.level).collect();
    assert_eq!(levels, [Some("5".to_owned()), Some("1".to_owned()), Some("3.5".to_owned()), None, None]);
    assert_eq!(bank.summary().ignored_fields.get("level"), Some(&1));
}
