//! Banks as a whole: which questions of them are meant, what they are made of, and how they are written.
//!
//! What is written reads back as the same questions (`ingest`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::question::{Kind, Question, Tolerance};
use crate::tables::{BankRow, TableError, TableWriter};

/// Which questions are meant: those that meet every condition that is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Any of these subjects; case does not matter.
    pub subjects: Vec<String>,
    /// Any of these sources.
    pub sources: Vec<String>,
    /// Any of these kinds.
    pub kinds: Vec<Kind>,
    /// Any of these levels of the bank, as they stand there.
    pub levels: Vec<String>,
    /// With unit tests, or without.
    pub has_tests: Option<bool>,
    /// With something to check an answer by, or without.
    pub verifiable: Option<bool>,
    /// Least length of the text, in characters.
    pub min_chars: Option<u64>,
    /// Greatest length of the text, in characters.
    pub max_chars: Option<u64>,
    /// The text holds this; case does not matter.
    pub contains: Option<String>,
}

impl Filter {
    /// Whether a question is meant.
    pub fn matches(&self, question: &Question) -> bool {
        let one_of = |wanted: &[String], found: Option<&str>| {
            let same = |wanted: &String| found.is_some_and(|found| wanted.to_lowercase() == found.to_lowercase());
            wanted.is_empty() || wanted.iter().any(same)
        };
        let n_chars = question.text.chars().count() as u64;
        let text = |part: &String| question.text.to_lowercase().contains(&part.to_lowercase());
        one_of(&self.subjects, question.subject.as_deref())
            && one_of(&self.sources, Some(&question.source))
            && (self.kinds.is_empty() || self.kinds.contains(&question.kind))
            && one_of(&self.levels, question.level.as_deref())
            && self.has_tests.is_none_or(|wanted| wanted == question.tests.is_some())
            && self.verifiable.is_none_or(|wanted| wanted == is_verifiable(question))
            && self.min_chars.is_none_or(|least| n_chars >= least)
            && self.max_chars.is_none_or(|most| n_chars <= most)
            && self.contains.as_ref().is_none_or(text)
    }
}

fn is_verifiable(question: &Question) -> bool {
    question.tests.is_some() || !question.references.is_empty()
}

/// What questions are made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Questions.
    pub n_questions: u64,
    /// With unit tests.
    pub n_with_tests: u64,
    /// With nothing to check an answer by.
    pub n_unverifiable: u64,
    /// With more than one source id.
    pub n_joined: u64,
    /// By kind.
    pub kinds: BTreeMap<String, u64>,
    /// By source.
    pub sources: BTreeMap<String, u64>,
    /// By subject; questions without one stand under the empty name.
    pub subjects: BTreeMap<String, u64>,
    /// By level of the bank, likewise.
    pub levels: BTreeMap<String, u64>,
    /// By licence, likewise.
    pub licenses: BTreeMap<String, u64>,
    lengths: Vec<u32>,
}

impl Stats {
    /// Counts a question.
    pub fn add(&mut self, question: &Question) {
        let count = |counts: &mut BTreeMap<String, u64>, name: Option<&str>| {
            *counts.entry(name.unwrap_or_default().to_owned()).or_default() += 1;
        };
        self.n_questions += 1;
        self.n_with_tests += u64::from(question.tests.is_some());
        self.n_unverifiable += u64::from(!is_verifiable(question));
        self.n_joined += u64::from(question.source_ids.len() > 1);
        count(&mut self.kinds, Some(question.kind.name()));
        count(&mut self.sources, Some(&question.source));
        count(&mut self.subjects, question.subject.as_deref());
        count(&mut self.levels, question.level.as_deref());
        count(&mut self.licenses, question.license.as_deref());
        self.lengths.push(question.text.chars().count() as u32);
    }

    /// Lengths in characters at 0, 25, 50, 75 and 100 percent; none without a question.
    pub fn lengths(&self) -> Option<[u32; 5]> {
        let mut sorted = self.lengths.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        Some([0, 1, 2, 3, 4].map(|quarter| sorted[last * quarter / 4]))
    }
}

/// A question as a row of JSON.
pub fn json_row(question: &Question) -> Value {
    let mut row = Map::new();
    row.insert("id".into(), json!(question.source_ids[0]));
    if question.source_ids.len() > 1 {
        row.insert("source_ids".into(), json!(&*question.source_ids));
    }
    row.insert("kind".into(), json!(question.kind.name()));
    row.insert("question".into(), json!(question.text));
    match question.references.as_slice() {
        [] => {}
        [one] => drop(row.insert("answer".into(), json!(one))),
        many => drop(row.insert("answer".into(), json!(many))),
    }
    if !question.options.is_empty() {
        row.insert("options".into(), json!(question.options));
    }
    if let Some(tests) = &question.tests {
        row.insert("tests".into(), json!(&**tests));
    }
    if !question.starter.is_empty() {
        row.insert("starter".into(), json!(question.starter));
    }
    if let Some(tolerance) = &question.tolerance {
        row.insert("tolerance".into(), tolerance_json(tolerance));
    }
    for (name, value) in [("level", &question.level), ("subject", &question.subject), ("license", &question.license)] {
        if let Some(value) = value {
            row.insert(name.into(), json!(value));
        }
    }
    row.insert("source".into(), json!(question.source));
    Value::Object(row)
}

fn tolerance_json(tolerance: &Tolerance) -> Value {
    serde_json::to_value(tolerance).expect("plain data becomes JSON")
}

fn table_row(question: &Question) -> BankRow {
    BankRow {
        id: question.source_ids[0].clone(),
        source_ids: question.source_ids.to_vec(),
        kind: question.kind.name().to_owned(),
        question: question.text.clone(),
        answer: question.references.clone(),
        tolerance: question.tolerance.as_ref().map(|tolerance| tolerance_json(tolerance).to_string()),
        tests: question.tests.as_ref().map(|tests| json!(&**tests).to_string()),
        starter: Some(question.starter.clone()).filter(|starter| !starter.is_empty()),
        options: question.options.clone(),
        level: question.level.clone(),
        subject: question.subject.clone(),
        source: question.source.clone(),
        license: question.license.clone(),
    }
}

/// Why a bank could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The name ends in none of the known ways.
    #[error("{0}: a bank is written as `.jsonl`, `.jsonl.zst` or `.parquet`")]
    Format(PathBuf),
    /// The file cannot be written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The table cannot be written.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Writes a bank, question by question; nothing is seen under its name before [`Self::finish`].
pub struct Writer {
    path: PathBuf,
    form: Form,
}

enum Form {
    Lines(BufWriter<File>),
    Packed(Box<zstd::Encoder<'static, BufWriter<File>>>),
    Table(Box<TableWriter<BankRow>>),
}

impl Writer {
    /// Begins a bank in a file; its name says the format.
    ///
    /// # Errors
    /// If the format is unknown or the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let file = || File::create(partial(path)).map(BufWriter::new).map_err(|source| io_error(path, source));
        let form = match name.split('.').skip(1).collect::<Vec<_>>().as_slice() {
            [.., "jsonl" | "ndjson"] => Form::Lines(file()?),
            [.., "jsonl" | "ndjson", "zst"] => {
                Form::Packed(Box::new(zstd::Encoder::new(file()?, 3).map_err(|source| io_error(path, source))?))
            }
            [.., "parquet"] => Form::Table(Box::new(TableWriter::create_at(path.to_owned())?)),
            _ => return Err(WriteError::Format(path.to_owned())),
        };
        Ok(Self { path: path.to_owned(), form })
    }

    /// Adds a question.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(&mut self, question: &Question) -> Result<(), WriteError> {
        let line = |out: &mut dyn Write| writeln!(out, "{}", json_row(question));
        match &mut self.form {
            Form::Lines(out) => line(out),
            Form::Packed(out) => line(out),
            Form::Table(table) => return Ok(table.push(table_row(question))?),
        }
        .map_err(|source| io_error(&self.path, source))
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<(), WriteError> {
        let finished = match self.form {
            Form::Table(table) => return Ok(table.finish().map(|_| ())?),
            Form::Lines(out) => Ok(out),
            Form::Packed(out) => out.finish(),
        };
        finished
            .and_then(|mut out| out.flush().and_then(|()| out.get_ref().sync_all()))
            .and_then(|()| std::fs::rename(partial(&self.path), &self.path))
            .map_err(|source| io_error(&self.path, source))
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn io_error(path: &Path, source: io::Error) -> WriteError {
    WriteError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BankConfig, Config};
    use crate::ingest::Ingest;

    const ROWS: &str = r#"{"id": "a", "question": "What is $1/3$?", "answer": ["1/3", "0.333"], "tolerance": 0.01, "level": 2}
{"id": "b", "question": "What is  $1/3$?", "answer": "1/3", "license": "MIT"}
{"id": "c", "question": "Which?", "options": ["x", "y"], "answer": "B", "subject": "Letters"}
{"id": "d", "prompt": "def f(x):\n", "test": "def check(c):\n    assert c(1)", "entry_point": "f"}
{"id": "e", "question": "Echo.", "tests": {"type": "stdin", "cases": [{"input": "1\n", "output": "1\n"}]}}
{"id": "f", "question": "Why?"}
"#;

    fn read(path: &Path) -> Vec<Question> {
        let bank = vec![BankConfig { path: path.to_owned(), ..BankConfig::default() }];
        let config = Config { bank, keep_unverifiable: true, ..Config::default() };
        Ingest::open(&config, Path::new("")).unwrap().questions().map(Result::unwrap).collect()
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_questions() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from.jsonl");
        std::fs::write(&from, ROWS).unwrap();
        let questions = read(&from);
        assert_eq!(questions.len(), 5);
        for name in ["to.jsonl", "to.jsonl.zst", "to.parquet"] {
            let to = folder.path().join(name);
            let mut writer = Writer::create(&to).unwrap();
            for question in &questions {
                writer.push(question).unwrap();
            }
            assert!(!to.exists());
            writer.finish().unwrap();
            assert_eq!(read(&to), questions, "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
        assert!(matches!(Writer::create(&folder.path().join("to.csv")), Err(WriteError::Format(_))));
    }

    #[test]
    fn filters_and_counts_look_at_every_field() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from.jsonl");
        std::fs::write(&from, ROWS).unwrap();
        let questions = read(&from);
        let meant = |filter: Filter| -> Vec<&str> {
            questions.iter().filter(|q| filter.matches(q)).map(|q| q.source_ids[0].as_str()).collect()
        };
        let all = Filter::default();
        assert_eq!(meant(Filter { kinds: vec![Kind::Code, Kind::Choice], ..all.clone() }), ["c", "d", "e"]);
        assert_eq!(meant(Filter { subjects: vec!["letters".into()], ..all.clone() }), ["c"]);
        assert_eq!(meant(Filter { levels: vec!["2".into()], ..all.clone() }), ["a"]);
        assert_eq!(meant(Filter { sources: vec!["other".into()], ..all.clone() }), [""; 0]);
        assert_eq!(meant(Filter { has_tests: Some(true), max_chars: Some(5), ..all.clone() }), ["e"]);
        assert_eq!(meant(Filter { verifiable: Some(false), ..all.clone() }), ["f"]);
        assert_eq!(meant(Filter { contains: Some("WHAT".into()), min_chars: Some(8), ..all }), ["a"]);
        let mut stats = Stats::default();
        for question in &questions {
            stats.add(question);
        }
        assert_eq!((stats.n_questions, stats.n_with_tests, stats.n_unverifiable, stats.n_joined), (5, 2, 1, 1));
        assert_eq!((stats.kinds["code"], stats.levels["2"], stats.lengths()), (2, 1, Some([4, 5, 6, 10, 14])));
        assert_eq!(Stats::default().lengths(), None);
    }
}
