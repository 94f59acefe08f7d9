//! A hub on loopback that redirects to its storage and breaks off.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap as Headers, Method, Response as Answer};
use axum::routing::any;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Method and place, range, and token of a request.
type Seen = (String, Option<String>, Option<String>);

struct Hub {
    contents: Vec<u8>,
    sha256: String,
    /// The storage breaks off after so many bytes of each answer.
    n_at_once: usize,
    continues: bool,
    seen: Mutex<Vec<Seen>>,
}

impl Hub {
    fn new(contents: &[u8]) -> Self {
        let sha256 = Sha256::digest(contents).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        Self { contents: contents.to_vec(), sha256, n_at_once: usize::MAX, continues: true, seen: Mutex::default() }
    }

    async fn start(self) -> (Arc<Self>, HubVariables, tempfile::TempDir) {
        let hub = Arc::new(self);
        let router = Router::new()
            .route("/o/m/resolve/main/q/x.gguf", any(resolve))
            .route("/datasets/o/m/resolve/main/q/x.gguf", any(resolve))
            .route("/storage", any(storage))
            .with_state(Arc::clone(&hub));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let home = tempfile::tempdir().unwrap();
        let variables = HubVariables {
            hf_home: Some(home.path().to_owned()),
            hf_token: Some("hf_x".into()),
            hf_endpoint: Some(endpoint),
            ..HubVariables::default()
        };
        (hub, variables, home)
    }

    fn note(&self, method: &Method, path: &str, headers: &Headers) {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().push((format!("{method} {path}"), text("range"), text("authorization")));
    }
}

async fn resolve(State(hub): State<Arc<Hub>>, method: Method, headers: Headers) -> Answer<Body> {
    hub.note(&method, "resolve", &headers);
    if headers.get("authorization").is_none() {
        return Answer::builder().status(401).body(Body::empty()).unwrap();
    }
    Answer::builder()
        .status(302)
        .header("location", "/storage")
        .header("x-repo-commit", COMMIT)
        .header("x-linked-etag", format!("\"{}\"", hub.sha256))
        .body(Body::empty())
        .unwrap()
}

async fn storage(State(hub): State<Arc<Hub>>, method: Method, headers: Headers) -> Answer<Body> {
    hub.note(&method, "storage", &headers);
    let range = headers.get("range").filter(|_| hub.continues);
    let first = range.map(|range| range.to_str().unwrap()["bytes=".len()..].trim_end_matches('-').parse().unwrap());
    let rest = hub.contents[first.unwrap_or(0)..].to_vec();
    let n = rest.len().min(hub.n_at_once);
    let cut = (n < rest.len()).then(|| Err(io::Error::other("cut")));
    let chunks = [Ok(rest[..n].to_vec())].into_iter().chain(cut);
    // Time for the first part to leave before the connection breaks.
    let body = futures::stream::unfold(chunks, |mut chunks| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((chunks.next()?, chunks))
    });
    Answer::builder()
        .status(if range.is_some() { 206 } else { 200 })
        .header("content-length", rest.len())
        .body(Body::from_stream(body))
        .unwrap()
}

fn file() -> HubFile {
    "o/m/q/x.gguf".parse().unwrap()
}

#[tokio::test]
async fn a_download_that_breaks_off_is_continued_and_then_cached() {
    let contents: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let (hub, mut variables, home) = Hub { n_at_once: 40_000, ..Hub::new(&contents) }.start().await;
    let path = fetch_hub(&file(), &variables).await.unwrap();
    assert_eq!(path, home.path().join(format!("hub/models--o--m/snapshots/{COMMIT}/q/x.gguf")));
    assert_eq!(fs::read(&path).unwrap(), contents);
    let seen = hub.seen.lock().unwrap().clone();
    let gets = seen.iter().filter(|(request, ..)| request == "GET storage");
    let ranges: Vec<_> = gets.map(|(_, range, _)| range.as_deref()).collect();
    assert_eq!(ranges, [None, Some("bytes=40000-"), Some("bytes=80000-")]);
    assert_eq!(seen[0], ("HEAD resolve".into(), None, Some("Bearer hf_x".into())));
    variables.hf_hub_offline = true;
    assert_eq!(fetch_hub(&file(), &variables).await.unwrap(), path);
    assert_eq!(hub.seen.lock().unwrap().len(), seen.len());
}

#[tokio::test]
async fn a_dataset_has_a_place_and_a_folder_of_its_own() {
    let (hub, variables, home) = Hub::new(b"rows").start().await;
    let path = fetch_hub(&HubFile::dataset("o/m/q/x.gguf").unwrap(), &variables).await.unwrap();
    assert_eq!(path, home.path().join(format!("hub/datasets--o--m/snapshots/{COMMIT}/q/x.gguf")));
    assert_eq!(fs::read(&path).unwrap(), b"rows");
    let offline = HubVariables { hf_hub_offline: true, ..variables };
    assert!(matches!(fetch_hub(&file(), &offline).await, Err(FetchError::Offline { .. })));
    assert_eq!(hub.seen.lock().unwrap().len(), 3);
    assert!(HubFile::dataset("o/m").is_err());
}

#[tokio::test]
async fn a_server_that_cannot_continue_is_asked_for_everything() {
    let (_hub, variables, home) = Hub { continues: false, ..Hub::new(b"contents") }.start().await;
    let blobs = home.path().join("hub/models--o--m/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.incomplete", Hub::new(b"contents").sha256)), b"old").unwrap();
    assert_eq!(fs::read(fetch_hub(&file(), &variables).await.unwrap()).unwrap(), b"contents");
}

#[tokio::test]
async fn bytes_with_another_checksum_are_not_kept() {
    let (_hub, variables, home) = Hub { sha256: "a".repeat(64), ..Hub::new(b"contents") }.start().await;
    let error = fetch_hub(&file(), &variables).await.unwrap_err();
    assert!(matches!(error, FetchError::Checksum { .. }), "{error}");
    assert_eq!(fs::read_dir(home.path().join("hub/models--o--m/blobs")).unwrap().count(), 0);
}

/// The hub announces small files by the SHA-1 that git knows them by.
#[tokio::test]
async fn a_small_file_is_checked_as_git_does() {
    let git = "0839b2e9412b314cb8bb9a20f587aa13752ae310";
    let (_hub, variables, home) = Hub { sha256: git.into(), ..Hub::new(b"contents") }.start().await;
    assert_eq!(fs::read(fetch_hub(&file(), &variables).await.unwrap()).unwrap(), b"contents");
    assert!(home.path().join("hub/models--o--m/blobs").join(git).exists());
    let (_hub, variables, _home) = Hub { sha256: git.into(), ..Hub::new(b"other contents") }.start().await;
    assert!(matches!(fetch_hub(&file(), &variables).await, Err(FetchError::Checksum { .. })));
}

#[tokio::test]
async fn of_several_files_only_the_first_must_exist() {
    let (_hub, mut variables, home) = Hub::new(b"contents").start().await;
    let folder = home.path().join(format!("hub/models--o--m/snapshots/{COMMIT}/q"));
    assert_eq!(fetch_folder("o/m", &["q/x.gguf", "q/none.json"], &variables).await.unwrap(), folder);
    let missing = fetch_folder("o/m", &["q/none.json", "q/x.gguf"], &variables).await;
    assert!(matches!(missing, Err(FetchError::Refused { .. })));
    variables.hf_hub_offline = true;
    assert_eq!(fetch_folder("o/m", &["q/x.gguf", "q/none.json"], &variables).await.unwrap(), folder);
}

#[tokio::test]
async fn what_cannot_be_had_is_said() {
    let (_hub, variables, _home) = Hub::new(b"contents").start().await;
    let without_token = HubVariables { hf_token: None, ..variables.clone() };
    let error = fetch_hub(&file(), &without_token).await.unwrap_err();
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");
    let error = fetch_hub(&"o/m/none.gguf".parse().unwrap(), &variables).await.unwrap_err();
    assert!(error.to_string().contains("no such repository or file"), "{error}");
    let offline = HubVariables { hf_hub_offline: true, ..variables.clone() };
    let error = fetch_hub(&file(), &offline).await.unwrap_err();
    assert!(error.to_string().contains("o/m/q/x.gguf is not in"), "{error}");
    // Nothing listens on the discard port.
    let down = HubVariables { hf_endpoint: Some("http://127.0.0.1:9".into()), ..variables };
    assert!(matches!(fetch_hub(&file(), &down).await.unwrap_err(), FetchError::Network { .. }));
}

#[test]
fn names_that_would_leave_the_cache_are_refused() {
    for name in ["o/m", "o/m/", "o/../x", "/m/x", "o/m/../x", "o/m/a//b", "o/m/a?b", ""] {
        assert!(name.parse::<HubFile>().is_err(), "{name}");
    }
}
