//! A bank on the hub: fetched from a server on loopback, by the path that names it, and found in the cache again.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one file, and what it was asked for.
struct Hub {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn start(contents: Vec<u8>, sha256: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &contents, &sha256, &noted);
            }
        });
        Self { address, seen }
    }
}

fn answer(mut stream: TcpStream, contents: &[u8], sha256: &str, seen: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let place = request.rsplit_once(' ').map_or(request.as_str(), |(place, _)| place).to_owned();
    let found = place.ends_with(" /datasets/own/bank/resolve/main/data/train.parquet");
    let status = if found { "200 OK" } else { "404 Not Found" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nx-repo-commit: {COMMIT}\r\nx-linked-etag: \"{sha256}\"\r\nconnection: close\r\n"
    )
    .unwrap();
    if found {
        write!(stream, "content-length: {}\r\n\r\n", contents.len()).unwrap();
        if place.starts_with("GET") {
            stream.write_all(contents).unwrap();
        }
    } else {
        write!(stream, "content-length: 0\r\n\r\n").unwrap();
    }
    seen.lock().unwrap().push(place);
}

fn gradus(folder: &Path, hub: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(arguments)
        .current_dir(folder)
        .env("HF_HOME", folder.join("hf"))
        .env("HF_ENDPOINT", hub)
        .env_remove("HF_TOKEN")
        .env_remove("HF_HUB_OFFLINE")
        .output()
        .unwrap()
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[test]
fn a_bank_on_the_hub_is_fetched_once_and_only_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let rows = "{\"id\": \"a\", \"question\": \"What is 2 + 2?\", \"answer\": 4}\n";
    std::fs::write(here.join("a.jsonl"), rows).unwrap();
    let written = gradus(here, "http://127.0.0.1:9", &["bank", "filter", "a.jsonl", "-o", "train.parquet"]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let file = here.join("train.parquet");
    let hub = Hub::start(std::fs::read(&file).unwrap(), sha256(&file));
    let bank = "hf:own/bank/data/train.parquet";
    for _ in 0..2 {
        let listed = gradus(here, &hub.address, &["bank", "list", bank, "--json"]);
        let said = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(said.contains("What is 2 + 2?"), "{said}{}", String::from_utf8_lossy(&listed.stderr));
    }
    let path = "/datasets/own/bank/resolve/main/data/train.parquet";
    assert_eq!(*hub.seen.lock().unwrap(), [format!("HEAD {path}"), format!("GET {path}")]);
    // As the bank of a config, and as a benchmark.
    std::fs::write(here.join("gradus.yaml"), format!("bank: {bank}\nstudent: smollm2\n")).unwrap();
    let dry = gradus(here, &hub.address, &["probe", "--dry-run"]);
    assert!(dry.status.success(), "{}", String::from_utf8_lossy(&dry.stderr));
    let checked = gradus(here, &hub.address, &["bank", "check", "a.jsonl", "--against", bank]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("train: 1 of 1 questions found"));
    assert_eq!(hub.seen.lock().unwrap().len(), 2);
    let missing = gradus(here, &hub.address, &["bank", "list", "hf:own/bank/none.parquet"]);
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(said.contains("no such repository or file"), "{said}");
}
