//! Files as rows: JSONL, CSV and Parquet, decompressed as they are read, one row in memory at a time.
//!
//! Rows of text files end at `\n` and nothing else, because texts hold U+2028 and U+0085. What a row means
//! is left to `record`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchReader};
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::cell::{Cell, Object, plain};
use super::{Bad, IngestError};

/// A file of the bank, found and of a known format.
#[derive(Debug, Clone)]
pub(crate) struct BankFile {
    /// As the config writes it.
    pub(crate) name: Arc<str>,
    place: Place,
    format: Format,
}

#[derive(Debug, Clone)]
enum Place {
    Disk(PathBuf),
    Memory(Arc<[u8]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Lines(Packing),
    Csv(Packing),
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Zstd,
    Gzip,
}

impl BankFile {
    /// A bank in memory: JSONL, not compressed.
    pub(super) fn memory(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.into(), place: Place::Memory(bytes.into()), format: Format::Lines(Packing::Plain) }
    }

    /// Looks at a path; a bank on the hub lies where it was fetched to.
    pub(crate) fn find(
        base: &Path,
        path: &Path,
        fetched: Option<&HashMap<PathBuf, PathBuf>>,
    ) -> Result<Self, IngestError> {
        let name: Arc<str> = path.display().to_string().into();
        let path = match fetched.and_then(|fetched| fetched.get(path)) {
            Some(place) => place.clone(),
            None if name.starts_with("hf:") => {
                let hint = "fetch it, and name the file; the command `gradus` does so by itself";
                return Err(IngestError::new(format!("bank `{name}` is on the hub, and was not fetched"), hint));
            }
            None => base.join(path),
        };
        if path.is_dir() {
            let mut files: Vec<_> = std::fs::read_dir(&path)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|file| format_of(file).is_some())
                .collect();
            files.sort();
            let hint = match files.first() {
                Some(first) => format!("it holds {} such files; name each: `bank: [{name}/{first}, ...]`", files.len()),
                None => "name a file: JSONL, CSV or Parquet".into(),
            };
            return Err(IngestError::new(format!("bank `{name}` is a directory"), hint));
        }
        if let Err(error) = std::fs::metadata(&path) {
            let message = format!("bank `{name}` cannot be read: {error}");
            return Err(IngestError::new(message, missing_hint(base, &path)));
        }
        let Some(format) = format_of(&name) else {
            return Err(IngestError::new(
                format!("bank `{name}` has an unknown extension"),
                "expected `.jsonl`, `.ndjson`, `.json` (one object a line) or `.csv`, perhaps with `.zst` or `.gz`, or \
                 `.parquet`",
            ));
        };
        Ok(Self { name, place: Place::Disk(path), format })
    }

    /// Its name without directories and extensions: the source of rows that name none.
    pub(crate) fn stem(&self) -> String {
        let file = Path::new(&*self.name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut stem = file.as_str();
        for end in [".zst", ".gz", ".jsonl", ".ndjson", ".json", ".csv", ".parquet"] {
            let cut = stem.len().saturating_sub(end.len());
            if cut > 0 && stem.is_char_boundary(cut) && stem[cut..].eq_ignore_ascii_case(end) {
                stem = &stem[..cut];
            }
        }
        stem.to_owned()
    }

    fn reader(&self, packing: Packing) -> Result<Box<dyn BufRead + Send>, IngestError> {
        let raw: Box<dyn Read + Send> = match &self.place {
            Place::Disk(path) => Box::new(File::open(path).map_err(|error| self.io_error(0, &error))?),
            Place::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
        };
        let mut reader: Box<dyn BufRead + Send> = match packing {
            Packing::Plain => Box::new(BufReader::with_capacity(1 << 16, raw)),
            Packing::Zstd => {
                let decoder = zstd::Decoder::new(raw).map_err(|error| self.io_error(0, &error))?;
                Box::new(BufReader::with_capacity(1 << 16, decoder))
            }
            Packing::Gzip => {
                Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(BufReader::new(raw))))
            }
        };
        let start = reader.fill_buf().map_err(|error| self.io_error(0, &error))?;
        if start.starts_with(b"\xef\xbb\xbf") {
            reader.consume(3);
        }
        Ok(reader)
    }

    fn io_error(&self, line: u64, error: &io::Error) -> IngestError {
        let hint = match self.format {
            Format::Lines(Packing::Zstd) | Format::Csv(Packing::Zstd) => "check it with `zstd -t`; it may be cut off",
            Format::Lines(Packing::Gzip) | Format::Csv(Packing::Gzip) => "check it with `gzip -t`; it may be cut off",
            _ => "check that the file is whole and may be read",
        };
        IngestError::new(format!("bank `{}` cannot be read after line {line}: {error}", self.name), hint)
    }

    fn parquet_error(&self, row: u64, error: &dyn std::fmt::Display) -> IngestError {
        let message = format!("bank `{}` cannot be read as Parquet after row {row}: {error}", self.name);
        IngestError::new(message, "the file is damaged, cut off, or no Parquet: fetch it again")
    }
}

fn format_of(name: &str) -> Option<Format> {
    let name = name.to_ascii_lowercase();
    let (name, packing) = match name.rsplit_once('.') {
        Some((name, "zst")) => (name, Packing::Zstd),
        Some((name, "gz")) => (name, Packing::Gzip),
        _ => (name.as_str(), Packing::Plain),
    };
    match name.rsplit_once('.')?.1 {
        "jsonl" | "ndjson" | "json" => Some(Format::Lines(packing)),
        "csv" => Some(Format::Csv(packing)),
        "parquet" if packing == Packing::Plain => Some(Format::Parquet),
        _ => None,
    }
}

/// What to do about a file that cannot be read: names the most similar one beside a missing one, or says where
/// relative paths start.
pub fn missing_hint(base: &Path, path: &Path) -> String {
    if path.exists() {
        return "it must be a file that may be read".into();
    }
    let here = |folder: &Path| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() };
    let wanted = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = path.parent().and_then(|parent| std::fs::read_dir(here(parent)).ok()).into_iter().flatten().flatten();
    let best = beside
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .map(|file| (strsim::jaro_winkler(&wanted, &file), file))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, file)) if likeness > 0.8 => format!("did you mean `{file}`?"),
        _ => format!("relative paths start at `{}`", here(base).display()),
    }
}

/// A row as it stands in the file.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// Its number among the file's rows, from 1; blank lines are none.
    pub(crate) row: u64,
    /// The line it starts on, from 1; for Parquet, its row.
    pub(crate) line: u64,
    /// What it holds, or why it cannot be read.
    pub(crate) record: Result<Record<'a>, Bad>,
}

/// What a row holds, not yet parsed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Record<'a> {
    Json(&'a str),
    Csv { names: &'a [String], cells: &'a [String] },
    Parquet { batch: &'a RecordBatch, i: usize },
}

/// A parsed row, column by column.
#[derive(Debug)]
pub(crate) enum Columns<'a> {
    Json(Object<'a>),
    Csv { names: &'a [String], cells: &'a [String] },
    Parquet { batch: &'a RecordBatch, i: usize },
}

impl<'a> Record<'a> {
    /// Splits the row into columns.
    pub(crate) fn columns(self) -> Result<Columns<'a>, Bad> {
        Ok(match self {
            Self::Json(text) => {
                let object = serde_json::from_str(text).map_err(|error| match text.trim_start().bytes().next() {
                    Some(b'{') => Bad::row("bad_json", format!("the line is no JSON: {}", plain(&error))),
                    _ => Bad::row("bad_json", "the line is no JSON object"),
                })?;
                Columns::Json(object)
            }
            Self::Csv { names, cells } => Columns::Csv { names, cells },
            Self::Parquet { batch, i } => Columns::Parquet { batch, i },
        })
    }
}

impl Columns<'_> {
    /// The value under a column's name or a dotted path into it.
    pub(crate) fn at(&self, path: &str) -> Result<Option<Cell>, Bad> {
        match self {
            Self::Json(object) => {
                let Some(raw) = object.at(path) else { return Ok(None) };
                Cell::json(raw).map(Some).map_err(|error| Bad::field(path, "bad_json", format!("no JSON: {error}")))
            }
            Self::Csv { names, cells } => {
                let named = |name: &str| names.iter().position(|known| known == name).map(|i| &cells[i]);
                Ok(nested(path, |name| named(name).map(|text| Cell::Text(text.clone()))))
            }
            Self::Parquet { batch, i } => {
                Ok(nested(path, |name| batch.column_by_name(name).map(|column| Cell::arrow(column, *i))))
            }
        }
    }

    /// Names of the columns, for messages.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Json(object) => object.names().map(str::to_owned).collect(),
            Self::Csv { names, .. } => names.to_vec(),
            Self::Parquet { batch, .. } => batch.schema().fields().iter().map(|field| field.name().clone()).collect(),
        }
    }
}

fn nested(path: &str, column: impl Fn(&str) -> Option<Cell>) -> Option<Cell> {
    column(path).or_else(|| {
        let (head, rest) = path.split_once('.')?;
        column(head)?.at(rest)
    })
}

/// The rows of one file, in order.
pub(crate) struct Rows<'a> {
    file: &'a BankFile,
    form: Form,
    row: u64,
    limit: usize,
}

enum Form {
    Lines { reader: Box<dyn BufRead + Send>, buffer: Vec<u8>, line: u64 },
    Csv(Box<Csv>),
    Parquet { reader: Box<ParquetRecordBatchReader>, batch: RecordBatch, next: usize },
}

impl<'a> Rows<'a> {
    /// Opens a file. A row longer than `limit` bytes is not kept in memory and reported as too long; of a
    /// Parquet file, only the columns that `wanted` accepts are read.
    pub(crate) fn open(file: &'a BankFile, limit: usize, wanted: impl Fn(&str) -> bool) -> Result<Self, IngestError> {
        let form = match file.format {
            Format::Lines(packing) => {
                let mut reader = file.reader(packing)?;
                let start = reader.fill_buf().map_err(|error| file.io_error(0, &error))?;
                if start.trim_ascii_start().starts_with(b"[") {
                    return Err(IngestError::new(
                        format!("bank `{}` is one JSON array", file.name),
                        "write one object a line: `jq -c '.[]' FILE > FILE.jsonl`",
                    ));
                }
                Form::Lines { reader, buffer: Vec::new(), line: 0 }
            }
            Format::Csv(packing) => {
                let mut csv = Csv::new(file.reader(packing)?);
                csv.read(limit).map_err(|error| file.io_error(0, &error))?;
                let names = csv.texts().map_err(|at| {
                    let message = format!("the header of bank `{}` is no UTF-8 at byte {at}", file.name);
                    IngestError::new(message, "save the file as UTF-8")
                })?;
                csv.names = names.into_iter().map(|name| name.trim().to_owned()).collect();
                Form::Csv(Box::new(csv))
            }
            Format::Parquet => Self::open_parquet(file, wanted)?,
        };
        Ok(Self { file, form, row: 0, limit })
    }

    fn open_parquet(file: &BankFile, wanted: impl Fn(&str) -> bool) -> Result<Form, IngestError> {
        let Place::Disk(path) = &file.place else { unreachable!("a bank in memory is JSONL") };
        let handle = File::open(path).map_err(|error| file.io_error(0, &error))?;
        let error = |error: &dyn std::fmt::Display| file.parquet_error(0, error);
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(handle)).map_err(|e| error(&e))?;
        let roots = builder.schema().fields().iter().enumerate();
        let roots: Vec<usize> = roots.filter(|(_, field)| wanted(field.name())).map(|(i, _)| i).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let builder = builder.with_projection(mask).with_batch_size(256);
        let reader = guarded(|| builder.build()).map_err(|e| error(&e))?;
        let batch = RecordBatch::new_empty(reader.schema());
        Ok(Form::Parquet { reader: Box::new(reader), batch, next: 0 })
    }

    /// The next row; none at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>, IngestError> {
        let (row, limit) = (self.row + 1, self.limit);
        let too_long = |length: u64| {
            Bad::row("too_long", format!("the row has {length} bytes, the most is {limit} (an unclosed quote?)"))
        };
        let (line, record) = match &mut self.form {
            Form::Lines { reader, buffer, line } => loop {
                let read = read_line(reader, buffer, limit).map_err(|error| self.file.io_error(*line, &error))?;
                let Some(length) = read else { return Ok(None) };
                *line += 1;
                if length > limit as u64 {
                    let reason = format!("the line has {length} bytes, the most is {limit}");
                    break (*line, Err(Bad::row("too_long", reason)));
                }
                match std::str::from_utf8(buffer) {
                    Ok(text) if text.trim().is_empty() => {}
                    Ok(_) => {
                        let text = std::str::from_utf8(buffer).expect("just checked");
                        break (*line, Ok(Record::Json(text)));
                    }
                    Err(error) => {
                        let reason = format!("the line is no UTF-8 at its byte {}", error.valid_up_to());
                        break (*line, Err(Bad::row("bad_utf8", reason)));
                    }
                }
            },
            Form::Csv(csv) => {
                csv.skip_line_ends().map_err(|error| self.file.io_error(csv.line(), &error))?;
                let line = csv.line();
                let read = csv.read(limit).map_err(|error| self.file.io_error(line, &error))?;
                let Some(length) = read else { return Ok(None) };
                (line, csv.record(length, limit).map_err(|bad| bad.unwrap_or_else(|| too_long(length))))
            }
            Form::Parquet { reader, batch, next } => {
                while *next >= batch.num_rows() {
                    let read = guarded(|| reader.next().map(|read| without_dictionaries(&read?)).transpose());
                    let read = read.map_err(|error| self.file.parquet_error(self.row, &error))?;
                    let Some(read) = read else { return Ok(None) };
                    *batch = read;
                    *next = 0;
                }
                *next += 1;
                (row, Ok(Record::Parquet { batch, i: *next - 1 }))
            }
        };
        self.row = row;
        Ok(Some(Row { row, line, record }))
    }
}

/// Reads up to `\n` into `buffer`; gives the length, of which at most `limit` bytes are kept.
fn read_line(reader: &mut dyn BufRead, buffer: &mut Vec<u8>, limit: usize) -> io::Result<Option<u64>> {
    buffer.clear();
    // One long line must not hold its memory until the end of the file.
    buffer.shrink_to(1 << 20);
    let mut length = 0;
    loop {
        let input = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if input.is_empty() {
            return Ok((length > 0).then_some(length));
        }
        let end = input.iter().position(|byte| *byte == b'\n');
        let part = &input[..end.unwrap_or(input.len())];
        let room = limit.saturating_sub(buffer.len()).min(part.len());
        buffer.extend_from_slice(&part[..room]);
        length += part.len() as u64;
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(Some(length));
        }
    }
}

/// A CSV reader that keeps at most one record, and of that at most a limit, in memory.
struct Csv {
    reader: Box<dyn BufRead + Send>,
    core: csv_core::Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    n_ends: usize,
    names: Vec<String>,
    cells: Vec<String>,
    /// Lines that ended outside of records.
    skipped: u64,
}

impl Csv {
    fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self {
            reader,
            core: csv_core::Reader::new(),
            output: vec![0; 1 << 12],
            ends: vec![0; 64],
            n_ends: 0,
            names: Vec::new(),
            cells: Vec::new(),
            skipped: 0,
        }
    }

    /// The line at which the next record begins, from 1.
    fn line(&self) -> u64 {
        self.core.line() + self.skipped
    }

    /// Goes to the next record: over empty lines, and over the second byte of a line end, since the first ends a record.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            let input = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let ends = &input[..input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()];
            let (n, is_over) = (ends.len(), ends.len() < input.len() || input.is_empty());
            self.skipped += ends.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
            self.reader.consume(n);
            if is_over {
                return Ok(());
            }
        }
    }

    /// Reads a record; gives its length, of which nothing is kept when it is above `limit`.
    fn read(&mut self, limit: usize) -> io::Result<Option<u64>> {
        let (mut n_output, mut n_ends, mut cut) = (0, 0, 0);
        loop {
            let input = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let (output, ends) = (&mut self.output[n_output..], &mut self.ends[n_ends..]);
            let (result, n_in, n_out, n_end) = self.core.read_record(input, output, ends);
            self.reader.consume(n_in);
            n_output += n_out;
            n_ends += n_end;
            match result {
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::OutputFull if self.output.len() > limit => {
                    cut += n_output as u64;
                    n_output = 0;
                }
                csv_core::ReadRecordResult::OutputFull => {
                    self.output.resize((self.output.len() * 2).min(limit + 1), 0);
                }
                csv_core::ReadRecordResult::OutputEndsFull if self.ends.len() >= 1 << 16 => {
                    cut += n_output as u64;
                    n_ends = 0;
                }
                csv_core::ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                csv_core::ReadRecordResult::Record => {
                    self.n_ends = n_ends;
                    let length = cut + n_output as u64;
                    return Ok(Some(if cut > 0 { length.max(limit as u64 + 1) } else { length }));
                }
                csv_core::ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// The fields of the record just read, or the byte at which it is no UTF-8.
    fn texts(&self) -> Result<Vec<String>, usize> {
        let mut start = 0;
        let fields = self.ends[..self.n_ends].iter().map(|end| {
            let field = &self.output[start..*end];
            let text = std::str::from_utf8(field).map_err(|error| start + error.valid_up_to())?;
            start = *end;
            Ok(text.to_owned())
        });
        fields.collect()
    }

    /// The record just read; an absent reason means that it is too long.
    fn record(&mut self, length: u64, limit: usize) -> Result<Record<'_>, Option<Bad>> {
        if length > limit as u64 {
            return Err(None);
        }
        if self.n_ends != self.names.len() {
            let reason = format!("the row has {} fields, the header {}", self.n_ends, self.names.len());
            return Err(Some(Bad::row("bad_csv", reason)));
        }
        let texts = self.texts();
        self.cells = texts
            .map_err(|at| Some(Bad::row("bad_utf8", format!("the row is no UTF-8 at byte {at} of its fields"))))?;
        Ok(Record::Csv { names: &self.names, cells: &self.cells })
    }
}

/// Runs a piece of the Parquet library, which panics on some damaged files.
fn guarded<T, E: std::fmt::Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its pages do not fit its description".into()),
    }
}

fn without_dictionaries(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let plain = |column: &ArrayRef| match column.data_type() {
        DataType::Dictionary(_, values) => arrow::compute::cast(column, values),
        _ => Ok(column.clone()),
    };
    let names = batch.schema();
    let columns = names.fields().iter().zip(batch.columns()).map(|(field, column)| Ok((field.name(), plain(column)?)));
    let columns: Vec<_> = columns.collect::<Result<_, arrow::error::ArrowError>>()?;
    if columns.is_empty() {
        return Ok(batch.clone());
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
}
