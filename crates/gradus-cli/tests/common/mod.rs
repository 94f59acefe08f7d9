//! The real binary as the tests use it: a command, the mock server as a process, the files that a run leaves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

pub(crate) const GRADUS: &str = env!("CARGO_BIN_EXE_gradus");

/// Runs it in a folder.
pub(crate) fn gradus(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(GRADUS).args(arguments).current_dir(folder).output().unwrap()
}

/// Runs a command whose output nobody reads.
pub(crate) fn without_reader(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    child.wait_with_output().unwrap()
}

/// Every file below a folder, by its path there.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// `gradus mock`; ended when dropped.
pub(crate) struct Mock {
    pub(crate) child: Child,
    pub(crate) stdout: BufReader<ChildStdout>,
    /// Host and port.
    pub(crate) address: String,
}

impl Mock {
    /// Starts it on a free port; `configure` adds arguments and whatever else the process needs.
    pub(crate) fn start(configure: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new(GRADUS);
        command.args(["mock", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = configure(&mut command).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/v1"));
        let address = address.unwrap_or_else(|| panic!("{line:?} is no URL")).to_owned();
        Self { child, stdout, address }
    }

    /// What the student or a teacher is called in a config.
    pub(crate) fn model(&self, name: &str) -> String {
        format!("openai:{}#{name}", self.url())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What it has counted so far.
    pub(crate) fn stats(&self) -> Value {
        serde_json::from_str(&self.request("GET /stats", "").1).unwrap()
    }

    /// Status and body of one request.
    pub(crate) fn request(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let host = &self.address;
        write!(stream, "{head} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
