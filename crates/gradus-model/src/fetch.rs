//! Fetches files of models and datasets from the Hugging Face hub, or a mirror of it, over plain HTTPS.
//!
//! Files land where the hub's own client keeps them (`$HF_HOME/hub/models--OWNER--NAME/{blobs,refs,snapshots}`, and
//! `datasets--OWNER--NAME` for datasets), so each finds what the other fetched. A download that broke off is continued, and nothing is used whose checksum is not what
//! the hub says: SHA-256 of large files, git's SHA-1 of small ones.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{HeaderMap, RANGE};
use reqwest::{Client, Response, StatusCode, redirect};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Tries of one download; each goes on where the one before broke off.
const TRIES: u32 = 5;

/// A file of a repository on the hub: `OWNER/NAME/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// What the repository holds.
    pub holds: Holds,
    /// `OWNER/NAME`.
    pub repository: String,
    /// Path within the repository.
    pub path: String,
}

/// What a repository on the hub holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A model.
    Model,
    /// A dataset.
    Dataset,
}

impl HubFile {
    /// A file of a dataset: `OWNER/NAME/PATH`.
    ///
    /// # Errors
    /// If the name is none.
    pub fn dataset(name: &str) -> Result<Self, FetchError> {
        Ok(Self { holds: Holds::Dataset, ..name.parse()? })
    }
}

/// A file of a model.
impl FromStr for HubFile {
    type Err = FetchError;

    fn from_str(text: &str) -> Result<Self, FetchError> {
        let plain = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+=".contains(c);
            !part.is_empty() && part.chars().all(allowed) && part != "." && part != ".."
        };
        let parts: Vec<&str> = text.split('/').collect();
        match &parts[..] {
            [owner, name, path @ ..] if !path.is_empty() && parts.iter().all(|part| plain(part)) => {
                Ok(Self { holds: Holds::Model, repository: format!("{owner}/{name}"), path: path.join("/") })
            }
            _ => Err(FetchError::Name(text.to_owned())),
        }
    }
}

/// What the hub's own client takes from the environment; the caller reads it. Cannot be printed, for the token.
#[derive(Clone, Default)]
pub struct HubVariables {
    /// `HF_HOME`; else `.cache/huggingface` in `home`.
    pub hf_home: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `HF_TOKEN`; else the contents of the file `token` in `HF_HOME`, if there is one.
    pub hf_token: Option<String>,
    /// `HF_ENDPOINT`; else the hub itself.
    pub hf_endpoint: Option<String>,
    /// `HF_HUB_OFFLINE` is set to `1`, `true`, `yes` or `on`.
    pub hf_hub_offline: bool,
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The name is none.
    #[error("`{0}` does not name a file on the hub: OWNER/NAME/FILE was expected")]
    Name(String),
    /// No network is to be used, and the file is not in the cache.
    #[error("{repository}/{path} is not in {} and HF_HUB_OFFLINE is set", cache.display())]
    Offline {
        /// Which repository.
        repository: String,
        /// Which file of it.
        path: String,
        /// Where it was looked for.
        cache: PathBuf,
    },
    /// The hub does not give it out.
    #[error("{url} answers {status}{}", match status.as_u16() {
        401 | 403 => ": it needs a token that may read it (HF_TOKEN)",
        404 => ": there is no such repository or file",
        _ => "",
    })]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The hub cannot be reached, or breaks off again and again.
    #[error("cannot fetch {url} to {}: {problem}", cache.display())]
    Network {
        /// What was asked for.
        url: String,
        /// Where it was to go; a part that came stays there.
        cache: PathBuf,
        /// What happened.
        problem: String,
    },
    /// The bytes are not those that the hub announced.
    #[error("{url} has the checksum {found}, the hub says {expected}")]
    Checksum {
        /// What was asked for.
        url: String,
        /// As announced.
        expected: String,
        /// As computed.
        found: String,
    },
    /// The cache cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// The file from the cache, whatever its age, or from the hub's main branch.
///
/// # Errors
/// If it is neither there nor to be had; see [`FetchError`].
pub async fn fetch_hub(file: &HubFile, variables: &HubVariables) -> Result<PathBuf, FetchError> {
    let home = match &variables.hf_home {
        Some(home) if !home.as_os_str().is_empty() => home.clone(),
        _ => variables.home.clone().unwrap_or_default().join(".cache").join("huggingface"),
    };
    let (folder, place) = match file.holds {
        Holds::Model => ("models", ""),
        Holds::Dataset => ("datasets", "datasets/"),
    };
    let cache = home.join("hub").join(format!("{folder}--{}", file.repository.replace('/', "--")));
    if let Some(path) = cached(&cache, &file.path) {
        return Ok(path);
    }
    if variables.hf_hub_offline {
        let HubFile { repository, path, .. } = file.clone();
        return Err(FetchError::Offline { repository, path, cache });
    }
    let endpoint = variables.hf_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    let endpoint = endpoint.unwrap_or("https://huggingface.co").trim_end_matches('/');
    let url = format!("{endpoint}/{place}{}/resolve/main/{}", file.repository, file.path);
    let token = variables.hf_token.clone().or_else(|| fs::read_to_string(home.join("token")).ok());
    let download = Download { url, token, cache };
    let announced = download.announced().await?;
    let blob = download.cache.join("blobs").join(&announced.checksum);
    if !blob.exists() {
        download.fetch(&announced, &blob).await?;
    }
    download.publish(&announced, &blob, &file.path)
}

/// The folder with those of a model's files that exist, all of one commit; the first must.
///
/// # Errors
/// As [`fetch_hub`].
pub async fn fetch_folder(repository: &str, names: &[&str], variables: &HubVariables) -> Result<PathBuf, FetchError> {
    let mut folders = BTreeSet::new();
    // Where a new commit shows up among cached files, the second round fetches those of it.
    for _ in 0..2 {
        folders.clear();
        for (at, name) in names.iter().enumerate() {
            let file: HubFile = format!("{repository}/{name}").parse()?;
            match fetch_hub(&file, variables).await {
                Ok(path) => folders.extend(path.parent().map(Path::to_owned)),
                Err(FetchError::Refused { status: StatusCode::NOT_FOUND, .. } | FetchError::Offline { .. })
                    if at > 0 => {}
                Err(error) => return Err(error),
            }
        }
        if folders.len() == 1 {
            break;
        }
    }
    let folder = folders.pop_first().expect("the first file is there");
    if folders.is_empty() {
        return Ok(folder);
    }
    let problem = "the repository changes while its files are fetched".to_owned();
    Err(FetchError::Network { url: repository.to_owned(), cache: folder, problem })
}

/// What `refs/main` points to, if it is complete.
fn cached(cache: &Path, path: &str) -> Option<PathBuf> {
    let commit = fs::read_to_string(cache.join("refs").join("main")).ok()?;
    let path = cache.join("snapshots").join(commit.trim()).join(path);
    path.is_file().then_some(path)
}

struct Download {
    url: String,
    token: Option<String>,
    /// The repository's folder.
    cache: PathBuf,
}

/// What the hub says about the file before it comes.
struct Announced {
    commit: String,
    /// SHA-256, or git's SHA-1, in hexadecimal digits.
    checksum: String,
}

impl Download {
    fn client(&self, redirects: redirect::Policy) -> reqwest::Result<Client> {
        // A second installation fails, and the first one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(redirects)
            // The file itself is wanted, not a packed form of it.
            .no_gzip()
            .user_agent(concat!("gradus/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(30))
            .read_timeout(Duration::from_mins(1));
        if self.url.starts_with("http://") {
            // A mirror nearby: no certificates are needed, and no proxy.
            builder = builder.tls_certs_only([]).no_proxy();
        }
        builder.build()
    }

    async fn announced(&self) -> Result<Announced, FetchError> {
        // The headers that count are those of the first answer, not of the storage that it points to.
        let client = self.client(redirect::Policy::none()).map_err(|error| self.network(&error))?;
        let request = self.authorised(client.head(&self.url));
        let response = request.send().await.map_err(|error| self.network(&error))?;
        let status = response.status();
        if !status.is_success() && !status.is_redirection() {
            return Err(FetchError::Refused { url: self.url.clone(), status });
        }
        let headers = response.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let etag = checksum(headers);
        let commit = text("x-repo-commit");
        let hexadecimal = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit());
        match etag {
            Some(checksum) if hexadecimal(&commit) => Ok(Announced { commit, checksum }),
            _ => Err(self.failed("the answer names no commit and checksum, as the hub does".into())),
        }
    }

    /// Fetches the file, goes on with what is there of it, and checks it.
    async fn fetch(&self, announced: &Announced, blob: &Path) -> Result<(), FetchError> {
        let part = blob.with_extension("incomplete");
        self.make_parent(blob)?;
        let client = self.client(redirect::Policy::default()).map_err(|error| self.network(&error))?;
        let mut left = TRIES;
        while let Err(error) = self.continue_part(&client, &part).await {
            left -= 1;
            if left == 0 || !matches!(error, FetchError::Network { .. }) {
                return Err(error);
            }
        }
        let found =
            checksum_of(&part, &announced.checksum).map_err(|error| FetchError::Io { path: part.clone(), error })?;
        if found != announced.checksum {
            // What is wrong in it is unknown: the next download starts anew.
            fs::remove_file(&part).map_err(|error| FetchError::Io { path: part.clone(), error })?;
            return Err(FetchError::Checksum { url: self.url.clone(), expected: announced.checksum.clone(), found });
        }
        fs::rename(&part, blob).map_err(|error| FetchError::Io { path: blob.to_owned(), error })
    }

    async fn continue_part(&self, client: &Client, part: &Path) -> Result<(), FetchError> {
        let io = |error| FetchError::Io { path: part.to_owned(), error };
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(io)?;
        let n_bytes = file.metadata().map_err(io)?.len();
        let mut request = self.authorised(client.get(&self.url));
        if n_bytes > 0 {
            request = request.header(RANGE, format!("bytes={n_bytes}-"));
        }
        let mut response: Response = request.send().await.map_err(|error| self.network(&error))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            // Nothing is left to send.
            StatusCode::RANGE_NOT_SATISFIABLE if n_bytes > 0 => return Ok(()),
            // The server does not continue: this is all of it.
            status if status.is_success() => file.set_len(0).map_err(io)?,
            status if status.is_server_error() => return Err(self.failed(format!("the server answers {status}"))),
            status => return Err(FetchError::Refused { url: self.url.clone(), status }),
        }
        while let Some(bytes) = response.chunk().await.map_err(|error| self.network(&error))? {
            file.write_all(&bytes).map_err(io)?;
        }
        file.sync_all().map_err(io)
    }

    /// Puts the checked file where the hub's own client looks for it.
    fn publish(&self, announced: &Announced, blob: &Path, path: &str) -> Result<PathBuf, FetchError> {
        let place = self.cache.join("snapshots").join(&announced.commit).join(path);
        self.make_parent(&place)?;
        if !place.exists() {
            let up = "../".repeat(path.split('/').count() + 1);
            link(blob, Path::new(&format!("{up}blobs/{}", announced.checksum)), &place)
                .map_err(|error| FetchError::Io { path: place.clone(), error })?;
        }
        let main = self.cache.join("refs").join("main");
        self.make_parent(&main)?;
        fs::write(&main, &announced.commit).map_err(|error| FetchError::Io { path: main, error })?;
        Ok(place)
    }

    fn make_parent(&self, path: &Path) -> Result<(), FetchError> {
        let parent = path.parent().unwrap_or(&self.cache);
        fs::create_dir_all(parent).map_err(|error| FetchError::Io { path: parent.to_owned(), error })
    }

    /// The token goes to the hub only: the client drops it when an answer points to another host.
    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) if !token.trim().is_empty() => request.bearer_auth(token.trim()),
            _ => request,
        }
    }

    fn network(&self, error: &reqwest::Error) -> FetchError {
        let mut problem = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            problem = format!("{problem}: {cause}");
            source = cause.source();
        }
        self.failed(problem)
    }

    fn failed(&self, problem: String) -> FetchError {
        FetchError::Network { url: self.url.clone(), cache: self.cache.clone(), problem }
    }
}

/// The checksum in `x-linked-etag` or `etag`: SHA-256 of files in large-file storage, git's SHA-1 of others.
fn checksum(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get("x-linked-etag").or_else(|| headers.get("etag"))?.to_str().ok()?;
    let tag = tag.trim_start_matches("W/").trim_matches('"');
    ([64, 40].contains(&tag.len()) && tag.chars().all(|c| c.is_ascii_hexdigit())).then(|| tag.to_ascii_lowercase())
}

/// The checksum of a file, of the kind of the one that is expected.
fn checksum_of(path: &Path, expected: &str) -> io::Result<String> {
    let file = File::open(path)?;
    if expected.len() == 64 {
        return digest(file, Sha256::new());
    }
    // What git hashes: the kind of the object and its length, then the contents.
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", file.metadata()?.len()));
    digest(file, hasher)
}

fn digest(mut file: File, mut hasher: impl Digest) -> io::Result<String> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(hasher.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
}

#[cfg(unix)]
fn link(_blob: &Path, target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
fn link(blob: &Path, _target: &Path, place: &Path) -> io::Result<()> {
    fs::copy(blob, place).map(drop)
}

#[cfg(test)]
mod tests;
