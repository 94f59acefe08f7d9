//! Tables as files: written row by row under another name first, read row by row.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::{Row, TableError, VERSION};

/// Encoded bytes after which a row group is closed: bounds the memory of a writer.
const GROUP_BYTES: usize = 16 << 20;
/// Rows gathered before they are encoded.
const BATCH_ROWS: usize = 1024;
/// Bytes of text after which a batch is encoded although it has fewer rows.
const BATCH_BYTES: usize = 4 << 20;
/// Rows that a view reads at once: it leaves the texts out, mostly.
const VIEW_ROWS: usize = 1024;

/// Path of a table in its folder.
pub fn path<R: Row>(folder: &Path) -> PathBuf {
    folder.join(format!("{}.parquet", R::TABLE))
}

/// Removes the tables of a folder, whole ones and half ones; what else lies there stays. Makes the folder if there is none.
///
/// # Errors
/// If a file cannot be removed, or the folder cannot be made.
pub fn clear(folder: &Path) -> Result<(), TableError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TableError::Io { path, source }
    };
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    for entry in std::fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "parquet" || extension == "partial") {
            std::fs::remove_file(&path).map_err(io(&path))?;
        }
    }
    Ok(())
}

/// Puts the tables of one folder in the place of those of another, and removes the emptied folder.
///
/// # Errors
/// If a file cannot be moved or removed.
pub fn replace(folder: &Path, with: &Path) -> Result<(), TableError> {
    let io = |source| TableError::Io { path: with.to_owned(), source };
    clear(folder)?;
    for entry in std::fs::read_dir(with).map_err(io)? {
        let entry = entry.map_err(io)?;
        std::fs::rename(entry.path(), folder.join(entry.file_name())).map_err(io)?;
    }
    std::fs::remove_dir(with).map_err(io)
}

/// Takes every row of a table; says whether there is one: a stage that was not reached leaves none.
pub fn each<R: Row>(folder: &Path, mut take: impl FnMut(R)) -> Result<bool, TableError> {
    if !path::<R>(folder).exists() {
        return Ok(false);
    }
    for row in TableReader::<R>::open(folder)? {
        take(row?);
    }
    Ok(true)
}

/// Writes a table row by row; nothing is seen under its name before [`Self::finish`].
pub struct TableWriter<R: Row> {
    path: PathBuf,
    partial: PathBuf,
    schema: Arc<Schema>,
    writer: ArrowWriter<File>,
    rows: Vec<R>,
    weight: usize,
    n_rows: u64,
}

impl<R: Row> TableWriter<R> {
    /// Begins the table of this row type in a folder.
    pub fn create(folder: &Path) -> Result<Self, TableError> {
        Self::create_at(path::<R>(folder))
    }

    /// Begins a table of this row type in a file of any name.
    pub fn create_at(path: PathBuf) -> Result<Self, TableError> {
        let partial = path.with_extension("parquet.partial");
        let io = |source| TableError::Io { path: partial.clone(), source };
        let file = File::create(&partial).map_err(io)?;
        let schema = Arc::new(Schema::new(R::fields()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("3 is a zstd level")))
            .set_created_by("gradus".to_owned())
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(vec![KeyValue::new("gradus.tables".to_owned(), VERSION.to_owned())]))
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|source| TableError::Parquet { path: path.clone(), source })?;
        Ok(Self { path, partial, schema, writer, rows: Vec::new(), weight: 0, n_rows: 0 })
    }

    /// Adds a row.
    pub fn push(&mut self, row: R) -> Result<(), TableError> {
        self.weight += row.weight();
        self.rows.push(row);
        self.n_rows += 1;
        if self.rows.len() >= BATCH_ROWS || self.weight >= BATCH_BYTES { self.encode() } else { Ok(()) }
    }

    /// Number of rows so far.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Completes the file, makes it durable and gives it its name. A table without rows has its columns all the same.
    pub fn finish(mut self) -> Result<u64, TableError> {
        self.encode()?;
        let file =
            self.writer.into_inner().map_err(|source| TableError::Parquet { path: self.path.clone(), source })?;
        let io = |source| TableError::Io { path: self.path.clone(), source };
        file.sync_all().map_err(io)?;
        std::fs::rename(&self.partial, &self.path).map_err(io)?;
        Ok(self.n_rows)
    }

    fn encode(&mut self) -> Result<(), TableError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let parquet = |source| TableError::Parquet { path: self.path.clone(), source };
        let batch = RecordBatch::try_new(self.schema.clone(), R::columns(&self.rows))
            .expect("columns are built from the fields");
        self.rows.clear();
        self.weight = 0;
        self.writer.write(&batch).map_err(parquet)?;
        if self.writer.in_progress_size() >= GROUP_BYTES {
            self.writer.flush().map_err(parquet)?;
        }
        Ok(())
    }
}

/// Reads a table row by row.
pub struct TableReader<R: Row> {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    columns: Vec<ArrayRef>,
    row: usize,
    n_rows: usize,
    marker: std::marker::PhantomData<R>,
}

impl<R: Row> TableReader<R> {
    /// Opens the table of this row type in a folder.
    pub fn open(folder: &Path) -> Result<Self, TableError> {
        Self::open_at(path::<R>(folder))
    }

    /// Opens those columns of the table that this row type names, in the table's order.
    pub fn view(folder: &Path) -> Result<Self, TableError> {
        let path = path::<R>(folder);
        let file = File::open(&path).map_err(|source| TableError::Io { path: path.clone(), source })?;
        let parquet = |source| TableError::Parquet { path: path.clone(), source };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
        let fields = R::fields();
        let wanted: Vec<_> = fields.iter().map(|field| (field.name(), field.data_type())).collect();
        let columns = builder.schema().fields().iter().enumerate();
        let (at, found): (Vec<usize>, Vec<_>) = columns
            .map(|(at, field)| (at, (field.name(), field.data_type())))
            .filter(|(_, (name, _))| wanted.iter().any(|(wanted, _)| wanted == name))
            .unzip();
        if found != wanted {
            let message = format!("of the columns {wanted:?} there are {found:?}; delete it, it is rebuilt");
            return Err(TableError::Shape { path, message });
        }
        let columns = ProjectionMask::roots(builder.parquet_schema(), at);
        let reader = builder.with_projection(columns).with_batch_size(VIEW_ROWS).build().map_err(parquet)?;
        Ok(Self { path, reader, columns: Vec::new(), row: 0, n_rows: 0, marker: std::marker::PhantomData })
    }

    /// Opens a table of this row type in a file of any name.
    pub fn open_at(path: PathBuf) -> Result<Self, TableError> {
        let file = File::open(&path).map_err(|source| TableError::Io { path: path.clone(), source })?;
        let parquet = |source| TableError::Parquet { path: path.clone(), source };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
        let found: Vec<_> = builder.schema().fields().iter().map(|field| (field.name(), field.data_type())).collect();
        let fields = R::fields();
        let wanted: Vec<_> = fields.iter().map(|field| (field.name(), field.data_type())).collect();
        if found != wanted {
            let message = format!("columns are {found:?}, expected {wanted:?}; delete it, it is rebuilt");
            return Err(TableError::Shape { path, message });
        }
        let reader = builder.with_batch_size(256).build().map_err(parquet)?;
        Ok(Self { path, reader, columns: Vec::new(), row: 0, n_rows: 0, marker: std::marker::PhantomData })
    }
}

impl<R: Row> Iterator for TableReader<R> {
    type Item = Result<R, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.row == self.n_rows {
            match self.reader.next()? {
                Ok(batch) => {
                    self.columns = batch.columns().to_vec();
                    self.n_rows = batch.num_rows();
                    self.row = 0;
                }
                Err(error) => {
                    return Some(Err(TableError::Parquet { path: self.path.clone(), source: error.into() }));
                }
            }
        }
        self.row += 1;
        Some(Ok(R::read(&self.columns, self.row - 1)))
    }
}
