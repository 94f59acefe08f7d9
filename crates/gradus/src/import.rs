//! Chains of thought that exist already become a bank, and recorded answers of their teachers.
//!
//! A run over what is written here judges every one of them like any answer of a teacher: what their source says of
//! them is kept, and not believed. Rows are read one at a time; of what was read, ids and hashes stay in memory. How a
//! row is read is in `shape`, what its source says of a chain of thought in `rating`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::bank::json_row;
use crate::config::BankConfig;
use crate::ingest::record::Mapping;
use crate::ingest::rows::{BankFile, Columns, Record, Row, Rows};
use crate::ingest::{Bad, IngestError, MAX_ROW, hash};
use crate::question::{Kind, Question, QuestionId};
use rating::Rating;
pub use shape::Shape;
use shape::{Asked, Cot, Rejected};
use written::{BANK, CONFIG, DROPPED, Folder, RATINGS, RECORDING};

mod rating;
pub mod ratings;
mod shape;
mod written;

/// Rows that are looked at to find a file's shape.
const MAX_LOOKED_AT: u64 = 100;

/// The teacher of chains of thought that name none.
const UNKNOWN: &str = "unknown";

/// What is imported, and how.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// How the rows hold their chains of thought; told by the columns if absent.
    pub shape: Option<Shape>,
    /// Name of the source of rows that name none; the file's stem if absent.
    pub source: Option<String>,
    /// Licence of rows that name none.
    pub license: Option<String>,
    /// Kind of questions that name none; inferred if absent.
    pub kind: Option<Kind>,
    /// Teacher of chains of thought that name none.
    pub teacher: Option<String>,
    /// Read only so many rows.
    pub limit: Option<u64>,
    /// Replace what an earlier import wrote into the folder.
    pub force: bool,
}

/// Counts of an import. Rows = imported + dropped; chains of thought read = written + dropped.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// The files, with the shape of their rows.
    pub files: Vec<(Arc<str>, Shape)>,
    /// Rows read; blank lines are none.
    pub rows: u64,
    /// Rows of which at least one chain of thought was taken.
    pub imported: u64,
    /// Rows dropped, by reason.
    pub dropped_rows: BTreeMap<&'static str, u64>,
    /// Chains of thought found, those of dropped rows included as far as they could be counted.
    pub cots_read: u64,
    /// Chains of thought written.
    pub cots: u64,
    /// Chains of thought dropped, by reason; those of a dropped row by its reason.
    pub dropped_cots: BTreeMap<&'static str, u64>,
    /// Questions with a text: rows of the bank.
    pub questions: u64,
    /// Questions that are known by id alone: the bank is elsewhere.
    pub without_text: u64,
    /// Questions without a reference or tests.
    pub unverifiable: u64,
    /// Rows joined to an earlier question.
    pub joined: u64,
    /// Rows whose reference is spelled otherwise than that of the question they are joined to; the first stands.
    pub other_references: u64,
    /// Where the first of these stands.
    pub first_other_reference: Option<String>,
    /// Chains of thought of a recording whose number another one had already, and that got the next free one.
    pub renumbered: u64,
    /// Chains of thought that came with ratings.
    pub rated: u64,
    /// Levels that are no number from 0 to 10, and were left out.
    pub ignored_ratings: u64,
    /// Chains of thought by teacher, in the order in which they came first.
    pub teachers: Vec<(String, u64)>,
    /// Most chains of thought of one teacher for one question.
    pub most: u64,
    /// The first row or chain of thought that was dropped for each reason, in a sentence, in the order of the files.
    pub first_dropped: Vec<(&'static str, String)>,
    /// What was written, by name, in the folder.
    pub written: Vec<&'static str>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("{}", _0.message)]
    Read(IngestError),
    /// Its rows have none of the known shapes.
    #[error("{file}: its columns fit no known shape; there are `{}`", columns.join("`, `"))]
    NoShape {
        /// The file.
        file: Arc<str>,
        /// The columns of its first row.
        columns: Vec<String>,
    },
    /// All rows were dropped.
    #[error("no chain of thought is left of {rows} rows; {first}")]
    Nothing {
        /// Rows read.
        rows: u64,
        /// The first that was dropped.
        first: String,
    },
    /// The folder holds an import already.
    #[error("{}: it is there already", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl From<IngestError> for ImportError {
    fn from(error: IngestError) -> Self {
        // No banks are read here, only files.
        let message = error.message.strip_prefix("bank ").map(str::to_owned).unwrap_or(error.message);
        Self::Read(IngestError { message, hint: error.hint })
    }
}

/// Reads files and writes into a folder: questions, recorded answers, ratings, what was dropped, and a config.
///
/// # Errors
/// If a file cannot be read or has no known shape, if nothing is left, or if the folder cannot be written. Single rows
/// never stop it.
pub fn import(files: &[PathBuf], out: &Path, options: &Options) -> Result<Summary, ImportError> {
    let files = files.iter().map(|file| BankFile::find(Path::new(""), file, None)).collect::<Result<Vec<_>, _>>()?;
    let shapes = files.iter().map(|file| options.shape.map_or_else(|| shape_of(file), Ok));
    let shapes = shapes.collect::<Result<Vec<_>, _>>()?;
    let mut pass = Pass::new(options, Folder::create(out, options.force)?);
    for ((file, name), shape) in files.iter().zip(names(&files)).zip(shapes) {
        pass.read(file, &name, shape)?;
    }
    pass.finish()
}

/// What files are called in what is written: without the folder they lie in, which may be another tomorrow, and an
/// answer must not become another by it; with it where two are called alike.
fn names(files: &[BankFile]) -> Vec<Arc<str>> {
    let short = |file: &BankFile| Path::new(&*file.name).file_name().map(|name| Arc::from(&*name.to_string_lossy()));
    let short: Vec<Option<Arc<str>>> = files.iter().map(short).collect();
    let is_alone = |name: &Option<Arc<str>>| short.iter().filter(|other| *other == name).count() == 1;
    let name = |(name, file): (&Option<Arc<str>>, &BankFile)| {
        name.clone().filter(|_| is_alone(name)).unwrap_or_else(|| file.name.clone())
    };
    short.iter().zip(files).map(name).collect()
}

/// The shape of the first row whose columns fit one.
fn shape_of(file: &BankFile) -> Result<Shape, ImportError> {
    let mut rows = Rows::open(file, MAX_ROW, |_| true)?;
    let mut found: Option<Vec<String>> = None;
    while let Some(Row { row, record, .. }) = rows.next()? {
        if let Ok(columns) = record.and_then(Record::columns) {
            if let Some(shape) = Shape::of(&columns) {
                return Ok(shape);
            }
            found.get_or_insert_with(|| columns.names());
        }
        if row >= MAX_LOOKED_AT {
            break;
        }
    }
    Err(ImportError::NoShape { file: file.name.clone(), columns: found.unwrap_or_default() })
}

/// A question, as far as it is remembered.
struct Entry {
    /// The ids of its sources; recorded answers stand under the first.
    source_ids: Vec<String>,
    /// Its row has a reference or tests.
    verifiable: bool,
    references: u64,
    /// Whether it is a row of the bank.
    has_text: bool,
    /// Which file brought it.
    file: usize,
    /// References that a later row brought, where the first had none.
    found: Option<Value>,
}

/// How chains of thought of one teacher for one question are numbered.
#[derive(Default)]
struct Numbered {
    n: u32,
    next: u64,
}

struct Pass<'a> {
    options: &'a Options,
    folder: Folder,
    entries: Vec<Entry>,
    /// The entry of each row of the bank.
    lines: Vec<usize>,
    /// Which file is read.
    file: usize,
    by_id: HashMap<QuestionId, usize>,
    /// Questions known by id alone.
    by_name: HashMap<u64, usize>,
    /// Which question a source id finds, by hash.
    owners: HashMap<u64, usize>,
    next_suffix: HashMap<u64, u32>,
    teachers: HashMap<String, usize>,
    numbered: HashMap<(usize, usize), Numbered>,
    /// Numbers that recordings gave, by hash over question, teacher and number.
    taken: HashSet<u64>,
    /// Hashes of chains of thought with question and teacher.
    texts: HashSet<u64>,
    summary: Summary,
}

impl<'a> Pass<'a> {
    fn new(options: &'a Options, folder: Folder) -> Self {
        Self {
            options,
            folder,
            entries: Vec::new(),
            lines: Vec::new(),
            file: 0,
            by_id: HashMap::new(),
            by_name: HashMap::new(),
            owners: HashMap::new(),
            next_suffix: HashMap::new(),
            teachers: HashMap::new(),
            numbered: HashMap::new(),
            taken: HashSet::new(),
            texts: HashSet::new(),
            summary: Summary::default(),
        }
    }

    fn read(&mut self, file: &BankFile, name: &Arc<str>, shape: Shape) -> Result<(), ImportError> {
        let bank = BankConfig {
            source: self.options.source.clone(),
            license: self.options.license.clone(),
            kind: self.options.kind,
            ..BankConfig::default()
        };
        let mapping = Mapping::new(&bank, file.stem(), Arc::default());
        let mut rows = Rows::open(file, MAX_ROW, |_| true)?;
        self.file = self.summary.files.len();
        self.summary.files.push((file.name.clone(), shape));
        while self.options.limit.is_none_or(|limit| self.summary.rows < limit)
            && let Some(Row { row, line, record }) = rows.next()?
        {
            self.summary.rows += 1;
            let place = Place { file: name, line };
            let read = record.and_then(Record::columns).map_err(Rejected::from);
            let read = read.and_then(|columns: Columns<'_>| shape.read(&columns)).and_then(|imported| {
                let n_cots = imported.cots.len() as u64;
                asked(&mapping, imported.asked, row)
                    .map(|question| (question, imported.cots))
                    .map_err(|bad| Rejected { bad, n_cots })
            });
            match read {
                Ok((question, cots)) => self.add(question, cots, shape, place)?,
                Err(rejected) => self.reject(&rejected, place)?,
            }
        }
        Ok(())
    }

    fn reject(&mut self, rejected: &Rejected, place: Place<'_>) -> Result<(), ImportError> {
        let Rejected { bad, n_cots } = rejected;
        *self.summary.dropped_rows.entry(bad.reason.code).or_default() += 1;
        if *n_cots > 0 {
            self.summary.cots_read += n_cots;
            *self.summary.dropped_cots.entry(bad.reason.code).or_default() += n_cots;
        }
        self.drop(bad, place, None)
    }

    fn drop(&mut self, bad: &Bad, place: Place<'_>, cot: Option<usize>) -> Result<(), ImportError> {
        let Place { file, line } = place;
        let field = bad.field.as_ref().map(|field| format!("`{field}`: ")).unwrap_or_default();
        let first = &mut self.summary.first_dropped;
        if !first.iter().any(|(code, _)| *code == bad.reason.code) {
            let sentence = format!("{file}:{line}: {field}{} ({})", bad.reason.detail, bad.reason.code);
            first.push((bad.reason.code, sentence));
        }
        let mut row = json!({ "file": &**file, "line": line });
        let fields = row.as_object_mut().expect("made as one");
        fields.extend(cot.map(|cot| ("cot".to_owned(), json!(cot))));
        fields.extend(bad.field.clone().map(|field| ("field".to_owned(), json!(field))));
        fields.insert("reason".to_owned(), json!(bad.reason.code));
        fields.insert("detail".to_owned(), json!(bad.reason.detail));
        self.folder.write(DROPPED, &row)
    }

    fn add(
        &mut self,
        known: Known,
        cots: Vec<Result<Cot, Bad>>,
        shape: Shape,
        place: Place<'_>,
    ) -> Result<(), ImportError> {
        if !cots.iter().any(Result::is_ok) {
            let first = cots.iter().find_map(|cot| cot.as_ref().err()).cloned();
            let bad = first.unwrap_or_else(|| Bad::row("no_cot", "the row holds no chain of thought"));
            return self.reject(&Rejected { bad, n_cots: cots.len() as u64 }, place);
        }
        let at = match known {
            Known::Asked(question) => self.question(*question, place)?,
            Known::Named(id) => match self.named(id) {
                Ok(at) => at,
                Err(bad) => return self.reject(&Rejected { bad, n_cots: cots.len() as u64 }, place),
            },
        };
        self.summary.imported += 1;
        for (i, cot) in cots.into_iter().enumerate() {
            self.summary.cots_read += 1;
            let taken = match cot {
                Ok(cot) => self.cot(at, cot, shape, place)?,
                Err(bad) => Err(bad),
            };
            if let Err(bad) = taken {
                *self.summary.dropped_cots.entry(bad.reason.code).or_default() += 1;
                self.drop(&bad, place, Some(i))?;
            }
        }
        Ok(())
    }

    /// The entry of a question; its first row goes to the bank.
    fn question(&mut self, question: Question, place: Place<'_>) -> Result<usize, ImportError> {
        let references = hash(&question.references);
        let verifiable = !question.references.is_empty() || question.tests.is_some();
        if let Some(&at) = self.by_id.get(&question.id) {
            self.summary.joined += 1;
            for id in question.source_ids.iter().map(|id| id.trim().to_owned()) {
                // An id that finds another question would lead its answers astray.
                if *self.owners.entry(hash([&id])).or_insert(at) == at && !self.entries[at].source_ids.contains(&id) {
                    self.entries[at].source_ids.push(id);
                }
            }
            let entry = &mut self.entries[at];
            if !question.references.is_empty() && entry.verifiable && entry.references != references {
                self.summary.other_references += 1;
                let Place { file, line } = place;
                self.summary.first_other_reference.get_or_insert_with(|| format!("{file}:{line}"));
            }
            if !entry.verifiable && !question.references.is_empty() {
                entry.found = Some(json!(question.references));
                (entry.verifiable, entry.references) = (true, references);
            }
            return Ok(at);
        }
        // Rows of a recording may have named it before one of them tells what is asked.
        let named = question.source_ids.iter().find_map(|id| self.owners.get(&hash([id.trim()])).copied());
        let named = named.filter(|&at| !self.entries[at].has_text && self.entries[at].file == self.file);
        let at = named.unwrap_or(self.entries.len());
        self.by_id.insert(question.id, at);
        let mut source_ids = named.map(|at| self.entries[at].source_ids.clone()).unwrap_or_default();
        for id in question.source_ids.iter() {
            // A bank's ids are trimmed.
            let id = self.claim(id.trim(), at);
            if !source_ids.contains(&id) {
                source_ids.push(id);
            }
        }
        let question = Question { source_ids: source_ids.as_slice().into(), ..question };
        self.folder.write(BANK, &json_row(&question))?;
        self.lines.push(at);
        self.summary.questions += 1;
        let entry = Entry { source_ids, verifiable, references, has_text: true, file: self.file, found: None };
        if named.is_some() {
            self.summary.without_text -= 1;
            self.entries[at] = entry;
        } else {
            self.entries.push(entry);
        }
        Ok(at)
    }

    /// The source id, with a suffix if it finds another question already.
    fn claim(&mut self, id: &str, at: usize) -> String {
        let whole = hash([id]);
        if *self.owners.entry(whole).or_insert(at) == at {
            return id.to_owned();
        }
        let next = self.next_suffix.entry(whole).or_insert(2);
        loop {
            let suffixed = format!("{id}#{next}");
            *next += 1;
            if *self.owners.entry(hash([&suffixed])).or_insert(at) == at {
                return suffixed;
            }
        }
    }

    /// The entry of a question that is known by id alone.
    fn named(&mut self, id: String) -> Result<usize, Bad> {
        let whole = hash([&id]);
        if let Some(&at) = self.by_name.get(&whole) {
            return Ok(at);
        }
        let at = self.entries.len();
        let owner = *self.owners.entry(whole).or_insert(at);
        if owner != at && self.entries[owner].file == self.file {
            // An earlier row told what is asked.
            return Ok(owner);
        }
        if owner != at {
            let detail = format!("`{id}` is the id of a question of another file: import this one by itself");
            return Err(Bad::field("question_id", "id_taken", detail));
        }
        self.by_name.insert(whole, at);
        self.summary.without_text += 1;
        let source_ids = vec![id];
        self.entries.push(Entry {
            source_ids,
            verifiable: true,
            references: 0,
            has_text: false,
            file: self.file,
            found: None,
        });
        Ok(at)
    }

    /// Writes a chain of thought, or tells why not.
    fn cot(
        &mut self,
        at: usize,
        cot: Cot,
        shape: Shape,
        Place { file, line }: Place<'_>,
    ) -> Result<Result<(), Bad>, ImportError> {
        let named = cot.teacher.as_deref().filter(|teacher| !teacher.is_empty());
        let teacher = named.or(self.options.teacher.as_deref()).unwrap_or(UNKNOWN);
        // What follows the last `#` of `replay:FILE#MODEL` is the model.
        let teacher = teacher.replace('#', "_");
        let reasoning = cot.reasoning.as_deref().unwrap_or_default();
        let text = hash([at.to_string().as_str(), &teacher, reasoning, &cot.response]);
        // A recording is a measurement: the same answer twice counts twice.
        if shape != Shape::Recording && !self.texts.insert(text) {
            return Ok(Err(Bad::row("repeated_cot", "the same chain of thought stands further up")));
        }
        let n_teachers = self.teachers.len();
        let by = *self.teachers.entry(teacher.clone()).or_insert(n_teachers);
        if by == n_teachers {
            self.summary.teachers.push((teacher.clone(), 0));
        }
        self.summary.teachers[by].1 += 1;
        let numbered = self.numbered.entry((at, by)).or_default();
        let key = |sample: u64| hash([at.to_string(), by.to_string(), sample.to_string()]);
        let sample = match cot.sample {
            Some(sample) if self.taken.insert(key(sample)) => sample,
            given => {
                self.summary.renumbered += u64::from(given.is_some());
                if shape == Shape::Recording {
                    self.taken.insert(key(numbered.next));
                }
                numbered.next
            }
        };
        numbered.next = numbered.next.max(sample + 1);
        numbered.n += 1;
        self.summary.most = self.summary.most.max(u64::from(numbered.n));
        self.summary.cots += 1;
        self.summary.ignored_ratings += cot.rating.n_ignored;

        let id = &self.entries[at].source_ids[0];
        let mut row = Map::new();
        row.insert("question_id".to_owned(), json!(id));
        row.insert("model".to_owned(), json!(teacher));
        row.insert("sample".to_owned(), json!(sample));
        let texts = [("reasoning", cot.reasoning), ("response", Some(cot.response)), ("finish", cot.finish)];
        row.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?)))));
        if shape == Shape::Recording {
            row.extend(cot.further);
        } else {
            let mut meta = Map::new();
            meta.insert("from".to_owned(), json!(format!("{file}:{line}")));
            if !cot.said.is_empty() {
                meta.insert("said".to_owned(), Value::Object(cot.said));
            }
            row.insert("meta".to_owned(), Value::Object(meta));
        }
        if !cot.rating.is_empty() {
            self.summary.rated += 1;
            self.folder.write(RATINGS, &rated(id, &teacher, sample, &cot.rating))?;
        }
        self.folder.write(RECORDING, &Value::Object(row))?;
        Ok(Ok(()))
    }

    fn finish(mut self) -> Result<Summary, ImportError> {
        if self.summary.cots == 0 {
            let first = self.summary.first_dropped.into_iter().next();
            let first = first.map_or_else(|| "the files are empty".to_owned(), |(_, sentence)| sentence);
            return Err(ImportError::Nothing { rows: self.summary.rows, first });
        }
        self.summary.unverifiable = self.entries.iter().filter(|entry| !entry.verifiable).count() as u64;
        let mut of_lines = self.lines.iter().map(|at| &self.entries[*at]);
        self.folder.mend(BANK, |line| {
            let entry = of_lines.next().expect("a line for each");
            if entry.source_ids.len() == 1 && entry.found.is_none() {
                return None;
            }
            let mut row: Map<String, Value> = serde_json::from_str(line).expect("written as an object");
            row.insert("source_ids".to_owned(), json!(entry.source_ids));
            row.extend(entry.found.clone().map(|references| ("answer".to_owned(), references)));
            Some(Value::Object(row))
        })?;
        self.folder.text(CONFIG, &written::config(&self.summary))?;
        self.summary.written = self.folder.finish()?;
        Ok(self.summary)
    }
}

/// A line of a file.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Arc<str>,
    line: u64,
}

/// A question whose row could be read.
enum Known {
    Asked(Box<Question>),
    Named(String),
}

/// The question of a row, as it is read from a bank.
fn asked(mapping: &Mapping, asked: Asked, row: u64) -> Result<Known, Bad> {
    let row_of_bank = match asked {
        Asked::Known(id) => return Ok(Known::Named(id)),
        Asked::Row(fields) => Value::Object(fields).to_string(),
    };
    let parsed = mapping.parse(Record::Json(&row_of_bank), row).map_err(|rejected| rejected.bad)?;
    Ok(Known::Asked(Box::new(parsed.question)))
}

fn rated(id: &str, teacher: &str, sample: u64, rating: &Rating) -> Value {
    let mut row = Map::new();
    row.insert("question_id".to_owned(), json!(id));
    row.insert("model".to_owned(), json!(teacher));
    row.insert("sample".to_owned(), json!(sample));
    rating.write(&mut row);
    Value::Object(row)
}

#[cfg(test)]
mod tests;
