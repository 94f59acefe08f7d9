//! One format on disk: Parquet in shards as the hub's own writer makes them, and JSONL beside.
//!
//! What the hub's writer does (`datasets` 5.2): shards of at most 500 MB and row groups of at most 100 MB before
//! encoding, pages cut by content so that a new version of a file shares most of its chunks with the old one, a
//! page index, and the features as JSON under `huggingface`. Only the codec differs: zstd for snappy.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder, StructBuilder};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use gradus_model::{Message, Speaker};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{CdcOptions, EnabledStatistics, WriterProperties};
use serde_json::{Map, Value, json};

use super::ExportError;
use super::layout::Layout;
use super::row::{COLUMNS, Type};

/// Where files, row groups and batches end, in bytes before encoding. A row group in progress stays in memory, so
/// it ends well before the hub's 100 MB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) shard: u64,
    pub(super) group: u64,
    pub(super) batch: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { shard: 500_000_000, group: 32_000_000, batch: 4_000_000 }
    }
}

/// Rows after which a batch is encoded although it holds few bytes.
const BATCH_ROWS: usize = 1024;

/// Writes a format into a folder of its own.
pub(super) struct FormatWriter {
    layout: &'static dyn Layout,
    folder: PathBuf,
    limits: Limits,
    schema: Arc<Schema>,
    jsonl: BufWriter<File>,
    shard: Option<ArrowWriter<File>>,
    n_shards: usize,
    shard_bytes: u64,
    group_bytes: u64,
    rows: Vec<Line>,
    rows_bytes: u64,
    n_rows: u64,
    /// Most bytes of rows held at once, and what the row group in progress held: what bounds the memory.
    peak_bytes: u64,
    n_bytes: u64,
}

/// A row: its lists of messages, then its provenance.
struct Line {
    lists: Vec<Vec<Message>>,
    values: [Value; COLUMNS.len()],
}

/// What a finished format is.
#[derive(Debug)]
pub(super) struct Written {
    /// Relative to the format's folder, in order.
    pub(super) files: Vec<String>,
    /// Bytes of the values in memory, as `datasets` counts them.
    pub(super) n_bytes: u64,
    /// Bytes of the Parquet files.
    pub(super) download_bytes: u64,
    /// Most bytes of rows held at once before they were encoded.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test of flat memory reads it"))]
    pub(super) peak_bytes: u64,
}

impl FormatWriter {
    /// Begins a format in a new folder.
    pub(super) fn create(layout: &'static dyn Layout, folder: &Path, limits: Limits) -> Result<Self, ExportError> {
        let data = folder.join("data");
        std::fs::create_dir_all(&data).map_err(|source| ExportError::Io { path: data.clone(), source })?;
        let path = folder.join("train.jsonl");
        let jsonl = File::create(&path).map_err(|source| ExportError::Io { path, source })?;
        let mut writer = Self {
            layout,
            folder: folder.to_owned(),
            limits,
            schema: Arc::new(schema(layout)),
            jsonl: BufWriter::new(jsonl),
            shard: None,
            n_shards: 0,
            shard_bytes: 0,
            group_bytes: 0,
            rows: Vec::new(),
            rows_bytes: 0,
            n_rows: 0,
            peak_bytes: 0,
            n_bytes: 0,
        };
        // The first shard is there even if no row comes: an empty file has its schema.
        writer.shard = Some(writer.open_shard()?);
        Ok(writer)
    }

    /// Adds a row.
    pub(super) fn push(
        &mut self,
        prompt: Vec<Message>,
        completion: Message,
        values: [Value; COLUMNS.len()],
    ) -> Result<(), ExportError> {
        let line = Line { lists: self.layout.fill(prompt, completion), values };
        self.write_jsonl(&line)?;
        let bytes = line.bytes();
        if self.shard_bytes > 0 && self.shard_bytes + bytes > self.limits.shard {
            self.encode()?;
            self.close_shard()?;
        } else if self.group_bytes > 0 && self.group_bytes + bytes > self.limits.group {
            self.encode()?;
            self.flush_group()?;
        }
        self.shard_bytes += bytes;
        self.group_bytes += bytes;
        self.rows_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.rows_bytes);
        self.n_rows += 1;
        self.rows.push(line);
        if self.rows.len() >= BATCH_ROWS || self.rows_bytes >= self.limits.batch { self.encode() } else { Ok(()) }
    }

    /// Completes the files, makes them durable and gives them their names.
    pub(super) fn finish(mut self) -> Result<Written, ExportError> {
        self.encode()?;
        if self.shard.is_some() {
            self.close_shard()?;
        }
        let jsonl = self.folder.join("train.jsonl");
        let io = |source| ExportError::Io { path: jsonl.clone(), source };
        self.jsonl.flush().map_err(io)?;
        self.jsonl.get_ref().sync_all().map_err(io)?;
        let mut files = Vec::new();
        let mut download_bytes = 0;
        for n in 0..self.n_shards {
            let name = format!("data/train-{n:05}-of-{:05}.parquet", self.n_shards);
            let path = self.folder.join(&name);
            let io = |source| ExportError::Io { path: path.clone(), source };
            std::fs::rename(self.partial(n), &path).map_err(io)?;
            download_bytes += std::fs::metadata(&path).map_err(io)?.len();
            files.push(name);
        }
        files.push("train.jsonl".to_owned());
        Ok(Written { files, n_bytes: self.n_bytes, download_bytes, peak_bytes: self.peak_bytes })
    }

    fn partial(&self, n: usize) -> PathBuf {
        self.folder.join(format!("data/train-{n:05}.partial"))
    }

    fn open_shard(&self) -> Result<ArrowWriter<File>, ExportError> {
        let path = self.partial(self.n_shards);
        let file = File::create(&path).map_err(|source| ExportError::Io { path: path.clone(), source })?;
        let options =
            ArrowWriterOptions::new().with_properties(properties(self.layout)).with_schema_root("schema".to_owned());
        ArrowWriter::try_new_with_options(file, self.schema.clone(), options)
            .map_err(|source| ExportError::Parquet { path, source })
    }

    fn flush_group(&mut self) -> Result<(), ExportError> {
        self.group_bytes = 0;
        let path = self.partial(self.n_shards);
        self.shard.as_mut().map_or(Ok(()), ArrowWriter::flush).map_err(|source| ExportError::Parquet { path, source })
    }

    fn close_shard(&mut self) -> Result<(), ExportError> {
        let path = self.partial(self.n_shards);
        let shard = self.shard.take().expect("a shard is closed once");
        let file = shard.into_inner().map_err(|source| ExportError::Parquet { path: path.clone(), source })?;
        file.sync_all().map_err(|source| ExportError::Io { path, source })?;
        self.n_shards += 1;
        self.shard_bytes = 0;
        self.group_bytes = 0;
        Ok(())
    }

    fn encode(&mut self) -> Result<(), ExportError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let batch = RecordBatch::try_new(self.schema.clone(), columns(self.layout, &self.rows))
            .expect("columns are built in the order of the schema");
        self.rows.clear();
        self.rows_bytes = 0;
        self.n_bytes += batch
            .columns()
            .iter()
            .map(|column| column.to_data().get_slice_memory_size().expect("no type here lacks a size") as u64)
            .sum::<u64>();
        if self.shard.is_none() {
            self.shard = Some(self.open_shard()?);
        }
        let path = self.partial(self.n_shards);
        let shard = self.shard.as_mut().expect("it was opened just now");
        shard.write(&batch).map_err(|source| ExportError::Parquet { path, source })
    }

    fn write_jsonl(&mut self, line: &Line) -> Result<(), ExportError> {
        let mut object = Map::new();
        for (name, list) in self.layout.columns().iter().zip(&line.lists) {
            object.insert((*name).to_owned(), json!(list));
        }
        for ((name, ..), value) in COLUMNS.iter().zip(&line.values) {
            object.insert((*name).to_owned(), value.clone());
        }
        let io = |source| ExportError::Io { path: self.folder.join("train.jsonl"), source };
        serde_json::to_writer(&mut self.jsonl, &object).map_err(|error| io(error.into()))?;
        self.jsonl.write_all(b"\n").map_err(io)
    }
}

impl Line {
    /// About how many bytes it takes in memory as Arrow.
    fn bytes(&self) -> u64 {
        let messages = self.lists.iter().flatten().map(|message| message.content.len() + 16).sum::<usize>();
        let values = self.values.iter().map(|value| value.as_str().map_or(8, |text| text.len() + 4)).sum::<usize>();
        (messages + values) as u64
    }
}

/// The features of a format in the words of `datasets`: name and dtype, or list of role and content.
pub(super) fn features(layout: &dyn Layout) -> Vec<(&'static str, Option<&'static str>)> {
    let lists = layout.columns().iter().map(|name| (*name, None));
    lists.chain(COLUMNS.iter().map(|(name, kind, _)| (*name, Some(kind.dtype())))).collect()
}

fn message_fields() -> Fields {
    Fields::from(vec![Field::new("role", DataType::Utf8, true), Field::new("content", DataType::Utf8, true)])
}

fn element() -> Field {
    Field::new("element", DataType::Struct(message_fields()), true)
}

fn schema(layout: &dyn Layout) -> Schema {
    let lists = layout.columns().iter().map(|name| Field::new(*name, DataType::List(Arc::new(element())), true));
    let values = COLUMNS.iter().map(|(name, kind, _)| Field::new(*name, kind.arrow(), true));
    let metadata = HashMap::from([("huggingface".to_owned(), described(layout))]);
    Schema::new_with_metadata(lists.chain(values).collect::<Vec<_>>(), metadata)
}

/// The features as `datasets` describes them to itself.
fn described(layout: &dyn Layout) -> String {
    let value = |dtype: &str| json!({"dtype": dtype, "_type": "Value"});
    let mut described = Map::new();
    for (name, dtype) in features(layout) {
        let feature = dtype.map_or_else(
            || json!({"feature": {"role": value("string"), "content": value("string")}, "_type": "List"}),
            value,
        );
        described.insert(name.to_owned(), feature);
    }
    json!({"info": {"features": described}}).to_string()
}

fn properties(layout: &dyn Layout) -> WriterProperties {
    let chunking = CdcOptions::default();
    // Key by key as `datasets` writes it, blanks included.
    let chunking_json = format!(
        r#"{{"min_chunk_size": {}, "max_chunk_size": {}, "norm_level": {}}}"#,
        chunking.min_chunk_size, chunking.max_chunk_size, chunking.norm_level
    );
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("3 is a zstd level")))
        .set_created_by("gradus".to_owned())
        // Row groups end where this file says, by bytes.
        .set_max_row_group_row_count(None)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_content_defined_chunking(Some(chunking))
        .set_key_value_metadata(Some(vec![
            KeyValue::new("huggingface".to_owned(), described(layout)),
            KeyValue::new("content_defined_chunking".to_owned(), chunking_json),
        ]))
        .build()
}

fn columns(layout: &dyn Layout, rows: &[Line]) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    for at in 0..layout.columns().len() {
        let texts: Vec<Box<dyn arrow::array::ArrayBuilder>> =
            vec![Box::new(StringBuilder::new()), Box::new(StringBuilder::new())];
        let mut list = ListBuilder::new(StructBuilder::new(message_fields(), texts)).with_field(Arc::new(element()));
        for row in rows {
            for message in &row.lists[at] {
                let turn = list.values();
                text(turn, 0).append_value(role(message.role));
                text(turn, 1).append_value(&message.content);
                turn.append(true);
            }
            list.append(true);
        }
        columns.push(Arc::new(list.finish()));
    }
    for (at, (_, kind, _)) in COLUMNS.iter().enumerate() {
        let values = rows.iter().map(|row| &row.values[at]);
        columns.push(match kind {
            Type::Text => {
                let mut builder = StringBuilder::new();
                values.for_each(|value| builder.append_option(value.as_str()));
                Arc::new(builder.finish())
            }
            Type::Int => {
                let mut builder = Int64Builder::new();
                values.for_each(|value| builder.append_option(value.as_i64()));
                Arc::new(builder.finish())
            }
            Type::Float => {
                let mut builder = Float64Builder::new();
                values.for_each(|value| builder.append_option(value.as_f64()));
                Arc::new(builder.finish())
            }
        });
    }
    columns
}

fn text(turn: &mut StructBuilder, at: usize) -> &mut StringBuilder {
    turn.field_builder(at).expect("role and content are texts")
}

fn role(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::System => "system",
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
    }
}
