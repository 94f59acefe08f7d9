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

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListArray, RecordBatch, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{CdcOptions, EnabledStatistics, WriterProperties};
use serde::Serializer;
use serde_json::{Map, Value, json};

use super::ExportError;
use super::layout::{Column, Shape};

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
    columns: Vec<Column>,
    folder: PathBuf,
    limits: Limits,
    schema: Arc<Schema>,
    jsonl: BufWriter<File>,
    shard: Option<ArrowWriter<File>>,
    n_shards: usize,
    shard_bytes: u64,
    group_bytes: u64,
    rows: Vec<Vec<Value>>,
    rows_bytes: u64,
    n_rows: u64,
    /// Most bytes of rows held at once, and what the row group in progress held: what bounds the memory.
    peak_bytes: u64,
    n_bytes: u64,
}

/// What a finished format is.
#[derive(Debug)]
pub(super) struct Written {
    /// Relative to the format's folder, in order.
    pub(super) files: Vec<String>,
    /// Rows.
    pub(super) n_rows: u64,
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
    pub(super) fn create(columns: Vec<Column>, folder: &Path, limits: Limits) -> Result<Self, ExportError> {
        let data = folder.join("data");
        std::fs::create_dir_all(&data).map_err(|source| ExportError::Io { path: data.clone(), source })?;
        let path = folder.join("train.jsonl");
        let jsonl = File::create(&path).map_err(|source| ExportError::Io { path, source })?;
        let mut writer = Self {
            folder: folder.to_owned(),
            limits,
            schema: Arc::new(schema(&columns)),
            columns,
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

    /// Adds a row: one value per column.
    pub(super) fn push(&mut self, row: Vec<Value>) -> Result<(), ExportError> {
        self.write_jsonl(&row)?;
        let bytes = row.iter().map(weight).sum::<u64>();
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
        self.rows.push(row);
        if self.rows.len() >= BATCH_ROWS || self.rows_bytes >= self.limits.batch { self.encode() } else { Ok(()) }
    }

    /// Number of rows so far.
    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
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
        Ok(Written { files, n_rows: self.n_rows, n_bytes: self.n_bytes, download_bytes, peak_bytes: self.peak_bytes })
    }

    fn partial(&self, n: usize) -> PathBuf {
        self.folder.join(format!("data/train-{n:05}.partial"))
    }

    fn open_shard(&self) -> Result<ArrowWriter<File>, ExportError> {
        let path = self.partial(self.n_shards);
        let file = File::create(&path).map_err(|source| ExportError::Io { path: path.clone(), source })?;
        let options =
            ArrowWriterOptions::new().with_properties(properties(&self.columns)).with_schema_root("schema".to_owned());
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
        let column = |(at, (_, shape)): (usize, &Column)| {
            let values: Vec<&Value> = self.rows.iter().map(|row| &row[at]).collect();
            array(*shape, &values)
        };
        let arrays = self.columns.iter().enumerate().map(column).collect();
        let batch =
            RecordBatch::try_new(self.schema.clone(), arrays).expect("columns are built in the order of the schema");
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

    fn write_jsonl(&mut self, row: &[Value]) -> Result<(), ExportError> {
        let names = self.columns.iter().map(|(name, _)| *name);
        let io = |source| ExportError::Io { path: self.folder.join("train.jsonl"), source };
        let mut serializer = serde_json::Serializer::new(&mut self.jsonl);
        serializer.collect_map(names.zip(row)).map_err(|error| io(error.into()))?;
        self.jsonl.write_all(b"\n").map_err(io)
    }
}

/// A column in the words of the card: name and dtype, or what it is made of.
pub(super) fn features(columns: &[Column]) -> Vec<Value> {
    let feature = |(name, shape): &Column| match shape {
        Shape::List(items) => match items {
            Shape::Fields(fields) => json!({"name": name, "list": features(fields)}),
            items => json!({"name": name, "list": dtype(**items)}),
        },
        Shape::Fields(fields) => json!({"name": name, "struct": features(fields)}),
        value => json!({"name": name, "dtype": dtype(*value)}),
    };
    columns.iter().map(feature).collect()
}

/// The hub's word for a single value.
fn dtype(shape: Shape) -> &'static str {
    match shape {
        Shape::Text => "string",
        Shape::Int => "int64",
        Shape::Float => "float64",
        Shape::Bool => "bool",
        Shape::List(_) | Shape::Fields(_) => unreachable!("no column is a list of lists"),
    }
}

fn element(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, true))
}

fn data_type(shape: Shape) -> DataType {
    match shape {
        Shape::Text => DataType::Utf8,
        Shape::Int => DataType::Int64,
        Shape::Float => DataType::Float64,
        Shape::Bool => DataType::Boolean,
        Shape::List(items) => DataType::List(element(data_type(*items))),
        Shape::Fields(columns) => DataType::Struct(fields(columns)),
    }
}

fn fields(columns: &[Column]) -> Fields {
    columns.iter().map(|(name, shape)| Field::new(*name, data_type(*shape), true)).collect()
}

fn schema(columns: &[Column]) -> Schema {
    let metadata = HashMap::from([("huggingface".to_owned(), described(columns))]);
    Schema::new_with_metadata(fields(columns), metadata)
}

/// The features as `datasets` describes them to itself.
fn described(columns: &[Column]) -> String {
    json!({"info": {"features": features_of(columns)}}).to_string()
}

fn features_of(columns: &[Column]) -> Map<String, Value> {
    fn feature(shape: Shape) -> Value {
        match shape {
            Shape::List(items) => json!({"feature": feature(*items), "_type": "List"}),
            Shape::Fields(columns) => Value::Object(features_of(columns)),
            value => json!({"dtype": dtype(value), "_type": "Value"}),
        }
    }
    columns.iter().map(|(name, shape)| ((*name).to_owned(), feature(*shape))).collect()
}

fn properties(columns: &[Column]) -> WriterProperties {
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
            KeyValue::new("huggingface".to_owned(), described(columns)),
            KeyValue::new("content_defined_chunking".to_owned(), chunking_json),
        ]))
        .build()
}

/// Values of one column as Arrow holds them.
fn array(shape: Shape, values: &[&Value]) -> ArrayRef {
    match shape {
        Shape::Text => {
            let mut builder = StringBuilder::new();
            builder.extend(values.iter().map(|value| value.as_str()));
            Arc::new(builder.finish())
        }
        Shape::Int => {
            let mut builder = Int64Builder::new();
            builder.extend(values.iter().map(|value| value.as_i64()));
            Arc::new(builder.finish())
        }
        Shape::Float => {
            let mut builder = Float64Builder::new();
            builder.extend(values.iter().map(|value| value.as_f64()));
            Arc::new(builder.finish())
        }
        Shape::Bool => {
            let mut builder = BooleanBuilder::new();
            builder.extend(values.iter().map(|value| value.as_bool()));
            Arc::new(builder.finish())
        }
        Shape::List(items) => list(*items, values),
        Shape::Fields(columns) => {
            let inner = |(name, shape): &Column| {
                let values: Vec<&Value> = values.iter().map(|value| value.get(name).unwrap_or(&Value::Null)).collect();
                array(*shape, &values)
            };
            let arrays = columns.iter().map(inner).collect();
            Arc::new(StructArray::new(fields(columns), arrays, Some(present(values))))
        }
    }
}

fn list(shape: Shape, values: &[&Value]) -> ArrayRef {
    let items = |value: &Value| value.as_array().map_or(0, Vec::len);
    let offsets = OffsetBuffer::from_lengths(values.iter().map(|value| items(value)));
    let inner: Vec<&Value> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
    let inner = array(shape, &inner);
    Arc::new(ListArray::new(element(data_type(shape)), offsets, inner, Some(present(values))))
}

/// Which values are not null.
fn present(values: &[&Value]) -> NullBuffer {
    values.iter().map(|value| !value.is_null()).collect::<Vec<bool>>().into()
}

/// About how many bytes a value takes in memory as Arrow.
fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 + 4,
        Value::Array(values) => 4 + values.iter().map(weight).sum::<u64>(),
        Value::Object(fields) => fields.values().map(weight).sum(),
        _ => 8,
    }
}
