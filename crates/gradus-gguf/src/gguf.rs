//! What is in a GGUF file? Reads the header, the metadata and the table of tensors, and hands out tensor bytes.
//!
//! Nothing a file declares is believed before it is checked against the length of the file, so a cut or
//! mutated file gives an error and never a large allocation. What the values mean is left to others. What training
//! writes, a folder, is presented in the same form (`folder.rs`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::dequant::Format;

/// Longest string taken from a file, in bytes (chat templates are some tens of kilobytes).
const MAX_STRING: u64 = 1 << 26;
/// Most elements taken from an array (the largest known vocabularies have a quarter of a million tokens).
const MAX_ELEMENTS: u64 = 1 << 22;
/// Deepest nesting of arrays; the format allows it, no known file uses it.
const MAX_DEPTH: u32 = 2;

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    U64(u64),
    /// Any signed integer.
    I64(i64),
    /// Any float.
    F64(f64),
    /// A truth value.
    Bool(bool),
    /// Bytes that are meant to be UTF-8.
    String(String),
    /// Values of one type.
    Array(Vec<Value>),
}

/// Where a tensor lies and how it is written.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Sizes, fastest-running first: a matrix is `[columns, rows]`.
    pub dims: Vec<usize>,
    /// How the numbers are packed.
    pub format: Format,
    /// In which of the files.
    file: usize,
    /// First byte in it.
    offset: u64,
    /// Length in bytes.
    n_bytes: usize,
}

impl TensorInfo {
    /// A tensor that is known to lie within a file; its numbers are not packed in blocks.
    pub(crate) fn new(dims: Vec<usize>, format: Format, file: usize, offset: u64) -> Self {
        let n_bytes = dims.iter().product::<usize>() * format.n_bytes();
        Self { dims, format, file, offset, n_bytes }
    }
}

/// An open GGUF file, or a folder that is presented as one.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    files: Vec<File>,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
    is_folder: bool,
}

impl Gguf {
    /// Reads everything but the tensors' contents.
    ///
    /// # Errors
    /// If the file cannot be read, is no GGUF of version 2 or 3, or declares something that cannot be in it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::Io { path: path.to_owned(), error })?;
        let len = file.metadata().map_err(|error| Error::Io { path: path.to_owned(), error })?.len();
        let mut source = Source { path, reader: BufReader::new(&file), position: 0, len };
        let (metadata, tensors) = read_header(&mut source)?;
        Ok(Self { path: path.to_owned(), files: vec![file], metadata, tensors, is_folder: false })
    }

    /// A folder's files under the names that a GGUF file would give to what is in them.
    pub(crate) fn of_folder(
        folder: &Path,
        files: Vec<File>,
        metadata: HashMap<String, Value>,
        tensors: HashMap<String, TensorInfo>,
    ) -> Self {
        Self { path: folder.to_owned(), files, metadata, tensors, is_folder: true }
    }

    /// Whether it is a folder: its weights are in the order that training has them in.
    pub(crate) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// Where the file or folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A metadata value, if the file has it.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// A string of the metadata.
    pub fn string(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A count of the metadata, as any integer type.
    pub fn count(&self, key: &str) -> Option<u64> {
        match *self.metadata.get(key)? {
            Value::U64(n) => Some(n),
            Value::I64(n) => u64::try_from(n).ok(),
            _ => None,
        }
    }

    /// A number of the metadata, as any numeric type.
    pub fn number(&self, key: &str) -> Option<f64> {
        match *self.metadata.get(key)? {
            Value::U64(n) => Some(n as f64),
            Value::I64(n) => Some(n as f64),
            Value::F64(x) => Some(x),
            _ => None,
        }
    }

    /// A truth value of the metadata.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match *self.metadata.get(key)? {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// An array of the metadata.
    pub fn array(&self, key: &str) -> Option<&[Value]> {
        match self.metadata.get(key)? {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }

    /// A tensor's place and form, if the file has it.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// A tensor's bytes as they are in the file.
    ///
    /// # Errors
    /// If there is no such tensor or the file cannot be read.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let info = self.tensors.get(name).ok_or_else(|| self.bad(format!("it has no tensor `{name}`")))?;
        let io = |error| Error::Io { path: self.path.clone(), error };
        let mut bytes = vec![0; info.n_bytes];
        let mut file = &self.files[info.file];
        file.seek(SeekFrom::Start(info.offset)).map_err(io)?;
        file.read_exact(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    /// A tensor's numbers.
    ///
    /// # Errors
    /// As [`Gguf::bytes`], and if the tensor has another number of elements than `n`.
    pub fn floats(&self, name: &str, n: usize) -> Result<Vec<f32>, Error> {
        let bytes = self.bytes(name)?;
        let info = &self.tensors[name];
        let found: usize = info.dims.iter().product();
        if found != n {
            return Err(self.bad(format!("tensor `{name}` has {found} numbers, {n} expected")));
        }
        let mut floats = vec![0.0; n];
        info.format.dequantise(&bytes, &mut floats);
        Ok(floats)
    }

    /// The error that this file is broken in some way.
    pub(crate) fn bad(&self, problem: String) -> Error {
        let path = self.path.clone();
        if self.is_folder { Error::Folder { path, problem } } else { Error::Malformed { path, problem } }
    }
}

type Header = (HashMap<String, Value>, HashMap<String, TensorInfo>);

fn read_header(source: &mut Source) -> Result<Header, Error> {
    if source.take::<4>()? != *b"GGUF" {
        return Err(source.bad("it does not start with `GGUF`".into()));
    }
    let version = source.u32()?;
    if !(2..=3).contains(&version) {
        return Err(source.bad(format!("it is GGUF version {version}; 2 and 3 are supported")));
    }
    let n_tensors = source.u64()?;
    let n_values = source.u64()?;
    // A tensor's entry takes at least 24 bytes, a value's at least 13.
    source.expect_room(n_tensors, 24, "tensors")?;
    source.expect_room(n_values, 13, "metadata values")?;
    let mut metadata = HashMap::new();
    for _ in 0..n_values {
        let key = source.string()?;
        let kind = source.u32()?;
        let value = source.value(kind, 0)?;
        metadata.insert(key, value);
    }
    let mut tensors = HashMap::new();
    for _ in 0..n_tensors {
        let name = source.string()?;
        let info = source.tensor(&name)?;
        tensors.insert(name, info);
    }
    let alignment = match metadata.get("general.alignment") {
        Some(&Value::U64(n)) if n.is_power_of_two() && n <= 1 << 20 => n,
        Some(other) => return Err(source.bad(format!("its alignment is {other:?}"))),
        None => 32,
    };
    let start = source.position.next_multiple_of(alignment);
    for (name, info) in &mut tensors {
        let end = start.checked_add(info.offset).and_then(|first| first.checked_add(info.n_bytes as u64));
        match end {
            Some(end) if end <= source.len => info.offset += start,
            _ => {
                let problem = format!("tensor `{name}` lies outside of the file's {} bytes: is it cut?", source.len);
                return Err(source.bad(problem));
            }
        }
    }
    Ok((metadata, tensors))
}

/// The file, read from front to back.
struct Source<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    position: u64,
    len: u64,
}

impl Source<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        if bytes.len() as u64 > self.len - self.position {
            return Err(self.bad(format!("it ends at byte {}, within the header", self.len)));
        }
        self.reader.read_exact(bytes).map_err(|error| Error::Io { path: self.path.to_owned(), error })?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.take().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Result<String, Error> {
        let len = self.u64()?;
        self.expect_room(len, 1, "bytes of a string")?;
        if len > MAX_STRING {
            return Err(self.bad(format!("a string of {len} bytes is declared")));
        }
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, Error> {
        Ok(match kind {
            0 => Value::U64(self.take::<1>()?[0].into()),
            1 => Value::I64(i8::from_le_bytes(self.take()?).into()),
            2 => Value::U64(u16::from_le_bytes(self.take()?).into()),
            3 => Value::I64(i16::from_le_bytes(self.take()?).into()),
            4 => Value::U64(self.u32()?.into()),
            5 => Value::I64(i32::from_le_bytes(self.take()?).into()),
            6 => Value::F64(f32::from_le_bytes(self.take()?).into()),
            7 => Value::Bool(self.take::<1>()?[0] != 0),
            8 => Value::String(self.string()?),
            9 if depth < MAX_DEPTH => {
                let kind = self.u32()?;
                let n = self.u64()?;
                let least = match kind {
                    0 | 1 | 7 => 1,
                    2 | 3 => 2,
                    4..=6 => 4,
                    9 => 12,
                    _ => 8,
                };
                self.expect_room(n, least, "array elements")?;
                if n > MAX_ELEMENTS {
                    return Err(self.bad(format!("an array of {n} elements is declared")));
                }
                let mut values = Vec::new();
                for _ in 0..n {
                    values.push(self.value(kind, depth + 1)?);
                }
                Value::Array(values)
            }
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.take()?)),
            12 => Value::F64(f64::from_le_bytes(self.take()?)),
            _ => return Err(self.bad(format!("a metadata value has the unknown type {kind}"))),
        })
    }

    fn tensor(&mut self, name: &str) -> Result<TensorInfo, Error> {
        let n_dims = self.u32()?;
        if !(1..=4).contains(&n_dims) {
            return Err(self.bad(format!("tensor `{name}` has {n_dims} dimensions")));
        }
        let mut dims = Vec::new();
        let mut n: u64 = 1;
        for _ in 0..n_dims {
            let dim = self.u64()?;
            n = n.checked_mul(dim).filter(|&n| n > 0 && n < 1 << 48).ok_or_else(|| {
                self.bad(format!("tensor `{name}` is declared with an impossible size ({dim} in one dimension)"))
            })?;
            dims.push(dim as usize);
        }
        let code = self.u32()?;
        let format = Format::from_code(code)
            .ok_or_else(|| self.bad(format!("tensor `{name}` is packed in the unsupported format number {code}")))?;
        if dims[0] % format.n_numbers() != 0 {
            return Err(self.bad(format!("tensor `{name}` has rows of {} numbers in {format:?}", dims[0])));
        }
        let n_bytes = n as usize / format.n_numbers() * format.n_bytes();
        let offset = self.u64()?;
        Ok(TensorInfo { dims, format, file: 0, offset, n_bytes })
    }

    /// That so many things of at least so many bytes each can still come.
    fn expect_room(&self, n: u64, least: u64, what: &str) -> Result<(), Error> {
        match n.checked_mul(least) {
            Some(bytes) if bytes <= self.len - self.position => Ok(()),
            _ => Err(self.bad(format!("{n} {what} are declared at byte {} of {}", self.position, self.len))),
        }
    }

    fn bad(&self, problem: String) -> Error {
        Error::Malformed { path: self.path.to_owned(), problem }
    }
}
