//! The folder that an import writes: nothing has its name there before all is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{ImportError, Summary};

/// Questions.
pub(super) const BANK: &str = "bank.jsonl";
/// Chains of thought.
pub(super) const RECORDING: &str = "recording.jsonl";
/// What their sources say of them.
pub(super) const RATINGS: &str = "ratings.jsonl";
/// What was left out.
pub(super) const DROPPED: &str = "dropped.jsonl";
/// The config.
pub(super) const CONFIG: &str = "gradus.yaml";

const ALL: [&str; 5] = [BANK, RECORDING, RATINGS, DROPPED, CONFIG];

/// Files on their way, by name; each is begun when it is needed.
pub(super) struct Folder {
    path: PathBuf,
    files: BTreeMap<&'static str, BufWriter<File>>,
}

impl Folder {
    /// Begins a folder; with `force`, one that holds an import already.
    pub(super) fn create(path: &Path, force: bool) -> Result<Self, ImportError> {
        if let Some(there) = ALL.iter().map(|name| path.join(name)).find(|path| path.exists())
            && !force
        {
            return Err(ImportError::Exists(there));
        }
        std::fs::create_dir_all(path).map_err(|source| ImportError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), files: BTreeMap::new() })
    }

    fn partial(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.partial"))
    }

    fn failed(&self, name: &str) -> impl Fn(std::io::Error) -> ImportError + use<> {
        let path = self.path.join(name);
        move |source| ImportError::Io { path: path.clone(), source }
    }

    /// Adds a row to a file.
    pub(super) fn write(&mut self, name: &'static str, row: &Value) -> Result<(), ImportError> {
        let failed = self.failed(name);
        if !self.files.contains_key(name) {
            let file = File::create(self.partial(name)).map_err(&failed)?;
            self.files.insert(name, BufWriter::new(file));
        }
        let file = self.files.get_mut(name).expect("begun above");
        writeln!(file, "{row}").map_err(failed)
    }

    /// Writes a whole file.
    pub(super) fn text(&mut self, name: &'static str, text: &str) -> Result<(), ImportError> {
        let failed = self.failed(name);
        let mut file = BufWriter::new(File::create(self.partial(name)).map_err(&failed)?);
        file.write_all(text.as_bytes()).map_err(failed)?;
        self.files.insert(name, file);
        Ok(())
    }

    /// Rewrites a file, line by line; lines for which there is nothing else stay as they are.
    pub(super) fn mend(
        &mut self,
        name: &'static str,
        mut mended: impl FnMut(&str) -> Option<Value>,
    ) -> Result<(), ImportError> {
        let Some(mut file) = self.files.remove(name) else { return Ok(()) };
        let failed = self.failed(name);
        file.flush().map_err(&failed)?;
        let first = self.partial(&format!("{name}.first"));
        std::fs::rename(self.partial(name), &first).map_err(&failed)?;
        let mut file = BufWriter::new(File::create(self.partial(name)).map_err(&failed)?);
        // JSON holds line ends as escapes alone.
        for line in BufReader::new(File::open(&first).map_err(&failed)?).split(b'\n') {
            let line = String::from_utf8(line.map_err(&failed)?).expect("written as UTF-8");
            match mended(&line) {
                Some(row) => writeln!(file, "{row}").map_err(&failed)?,
                None => writeln!(file, "{line}").map_err(&failed)?,
            }
        }
        std::fs::remove_file(&first).map_err(failed)?;
        self.files.insert(name, file);
        Ok(())
    }

    /// Gives every file its name, and removes what an earlier import left; gives the names.
    pub(super) fn finish(&mut self) -> Result<Vec<&'static str>, ImportError> {
        for (name, mut file) in std::mem::take(&mut self.files) {
            let synced = file.flush().and_then(|()| file.get_ref().sync_all());
            synced
                .and_then(|()| std::fs::rename(self.partial(name), self.path.join(name)))
                .map_err(self.failed(name))?;
            self.files.insert(name, file);
        }
        let written: Vec<_> = ALL.into_iter().filter(|name| self.files.contains_key(name)).collect();
        for name in ALL.iter().filter(|name| !written.contains(name)) {
            match std::fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(self.failed(name)(error)),
                _ => {}
            }
        }
        self.files.clear();
        Ok(written)
    }
}

/// An import that failed leaves nothing behind.
impl Drop for Folder {
    fn drop(&mut self) {
        for name in self.files.keys() {
            drop(std::fs::remove_file(self.partial(name)));
        }
    }
}

/// A config that takes all that was imported, with its comments.
pub(super) fn config(summary: &Summary) -> String {
    let mut yaml = String::from(
        "# Written by `gradus import`. Every chain of thought is an answer of its teacher, and judged like one.\n\
         # Next: set `student`, then `gradus run --config` with this file. Paths start at this file's folder.\n\n",
    );
    let mut add = |line: &str| writeln!(yaml, "{line}").expect("a text takes lines");
    if summary.questions > 0 {
        add(&format!("bank: {BANK}"));
    }
    if summary.without_text > 0 {
        add("# The recording names its questions by id alone: name the bank that has them.");
        add("# bank: questions.jsonl");
    }
    if summary.unverifiable > 0 {
        add(
            "# Without a reference or tests, answers stay undecided: such a question gets no level, and nothing of it is taken.",
        );
        add("keep_unverifiable: true");
    }
    add("");
    add("# The model to be taught:");
    add("# student: openai:http://localhost:8000/v1#MODEL");
    add("");
    add("# One line a teacher, with the number of its chains of thought.");
    add("teacher:");
    for (teacher, n) in &summary.teachers {
        // A JSON string is one of YAML.
        let name = Value::String(format!("replay:{RECORDING}#{teacher}"));
        add(&format!("  - {name}  # {n}"));
    }
    add("");
    add("# As many as one teacher has for one question, so that all are taken. Where there are fewer, the rest is");
    add("# dropped as `not_recorded`.");
    add(&format!("distil: {{correct: {0}, tries: {0}}}", summary.most));
    if summary.rated > 0 {
        add("");
        add("# Ratings came along. They are not believed unless this is set; a judge then rates what they leave open.");
        add(&format!("# annotate: {{recorded: [{RATINGS}]}}"));
    }
    yaml
}
