//! What is in a safetensors file? A header of JSON that says where each tensor lies.
//!
//! Eight bytes hold the header's length; offsets count from its end. Nothing a file declares is believed before it is
//! checked against the length of the file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::Error;
use crate::dequant::Format;

/// Longest header that the format allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// How the numbers are written; what the file says if the engine does not read it.
    pub(crate) format: Result<Format, String>,
    /// Sizes, slowest-running first.
    pub(crate) shape: Vec<usize>,
    /// First byte in the file.
    pub(crate) offset: u64,
}

/// Opens a file and reads its header.
///
/// # Errors
/// If the file cannot be read, or declares something that cannot be in it.
pub(crate) fn open(path: &Path) -> Result<(File, Vec<Entry>), Error> {
    let io = |error| Error::Io { path: path.to_owned(), error };
    let bad = |problem: String| Error::Folder { path: path.to_owned(), problem };
    let mut file = File::open(path).map_err(io)?;
    let n_file = file.metadata().map_err(io)?.len();
    let mut n_header = [0; 8];
    if n_file < 8 {
        return Err(bad(format!("it has {n_file} bytes and no header")));
    }
    file.read_exact(&mut n_header).map_err(io)?;
    let n_header = u64::from_le_bytes(n_header);
    if n_header > MAX_HEADER || n_header > n_file - 8 {
        return Err(bad(format!("a header of {n_header} bytes is declared in a file of {n_file}: is it cut?")));
    }
    let mut header = vec![0; n_header as usize];
    file.read_exact(&mut header).map_err(io)?;
    let header: Map<String, Value> =
        serde_json::from_slice(&header).map_err(|error| bad(format!("its header: {error}")))?;
    let start = 8 + n_header;
    let mut entries = Vec::new();
    for (name, said) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let entry = entry(&name, &said, start, n_file)
            .ok_or_else(|| bad(format!("tensor `{name}` does not lie within its {n_file} bytes: is it cut?")))?;
        entries.push(entry);
    }
    Ok((file, entries))
}

/// A tensor, if what is said of it can be true.
fn entry(name: &str, said: &Value, start: u64, n_file: u64) -> Option<Entry> {
    let numbers = |key: &str| said[key].as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>();
    let shape = numbers("shape")?;
    let &[first, end] = &numbers("data_offsets")?[..] else { return None };
    let format = match said["dtype"].as_str()? {
        "F32" => Ok(Format::F32),
        "F16" => Ok(Format::F16),
        "BF16" => Ok(Format::Bf16),
        other => Err(other.to_owned()),
    };
    let n_bytes = end.checked_sub(first)?;
    if let Ok(format) = format {
        let n = shape.iter().try_fold(1_u64, |n, &size| n.checked_mul(size))?;
        if n.checked_mul(format.n_bytes() as u64)? != n_bytes {
            return None;
        }
    }
    let offset = start.checked_add(first)?;
    if offset.checked_add(n_bytes)? > n_file {
        return None;
    }
    Some(Entry { name: name.to_owned(), format, shape: shape.into_iter().map(|size| size as usize).collect(), offset })
}
