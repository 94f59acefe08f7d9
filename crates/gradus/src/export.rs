//! What a run is for: training data in the trainers' own formats, from the tables alone.
//!
//! Each format has a folder with Parquet as the hub's own writer makes it and JSONL beside; a card and a manifest
//! stand next to them. Same tables, same facts: the same bytes. To add a format: a file with a [`layout::Layout`], of
//! chains of thought or of questions with references.

mod card;
mod handoff;
mod join;
mod layout;
mod messages;
mod rl;
mod row;
mod shards;
mod think;
mod trl;
mod trl_grpo;
mod verl;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gradus_model::{Message, Speaker};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::{Export, Think};
use crate::metrics::{FunnelStep, Partial, RunFacts};
use crate::tables::{QuestionRow, Row, TableError};
use handoff::{Counted, HandoffFacts};
use join::{Join, Kept};
use layout::{Layout, Of};
use rl::{Taken, Task};
use shards::{FormatWriter, Limits, Written};

/// Version of `manifest.json`.
pub const MANIFEST_VERSION: u32 = 1;

/// Name of the folder in a run directory.
pub const FOLDER: &str = "export";

/// What the caller knows and no table holds.
pub struct ExportFacts<'a> {
    /// Name of the data set.
    pub name: &'a str,
    /// Model name of the student.
    pub student: &'a str,
    /// Languages of the questions as the hub names them, e.g. `en`; empty if not known.
    pub languages: &'a [String],
    /// Tool, configuration, prompts and models.
    pub run: &'a RunFacts,
    /// Counts per stage.
    pub funnel: &'a [FunnelStep],
    /// Set if a budget stopped the run before all was asked.
    pub partial: Option<&'a Partial>,
    /// What the exported conversation asks.
    pub prompt: &'a dyn Fn(&QuestionRow) -> Prompt,
}

/// The asking side of an exported conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The messages before the assistant's.
    pub messages: Vec<Message>,
    /// Hash of the template behind them.
    pub hash: String,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Rows per format of chains of thought.
    pub rows: u64,
    /// Rows of each format of questions.
    pub questions: BTreeMap<String, u64>,
    /// Every file, manifest last.
    pub files: Vec<PathBuf>,
    /// The longest row.
    pub longest: Longest,
    /// What a user should know before training on it.
    pub notes: Vec<String>,
    /// Commands to type next, in order.
    pub next: Vec<String>,
}

/// The longest row: what a trainer's limit must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Longest {
    /// Tokens of prompt and completion as the teacher's server counted them; none if it did not.
    pub tokens: Option<u64>,
    /// Characters of prompt and completion.
    pub chars: u64,
}

impl Longest {
    /// A limit in tokens that holds the longest row: an eighth more, for the student's tokenizer is another one,
    /// rounded up to a multiple of 1024. Without a token count: two characters to a token, a guess.
    pub fn max_length(&self) -> u64 {
        let tokens = self.tokens.unwrap_or(self.chars / 2);
        (tokens + tokens / 8).max(1).next_multiple_of(1024)
    }
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Two tables do not belong together.
    #[error("table `{table}` has no `{id}` where the other tables put it; delete `tables/`, it is rebuilt")]
    OutOfStep {
        /// The table in which it was looked for.
        table: &'static str,
        /// Id of a question or a CoT.
        id: String,
    },
    /// A file cannot be written.
    #[error("{path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A Parquet file cannot be written.
    #[error("{path}: {source}")]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// What the Parquet writer said.
        source: parquet::errors::ParquetError,
    },
}

/// What is counted while rows go by.
#[derive(Debug, Default)]
struct Tally {
    has_cots: bool,
    taken: Taken,
    rows: u64,
    longest: Longest,
    n_without_thinking: u64,
    n_own_tags: u64,
    n_uncounted: u64,
    levels: BTreeMap<String, u64>,
    sources: BTreeMap<(String, Option<String>), u64>,
    teachers: BTreeSet<String>,
}

/// Writes `export/` in a run directory from its tables. What a former export left there is replaced.
///
/// # Errors
/// If a table is missing or does not fit the others, or a file cannot be written; a former export then stands.
pub fn write(folder: &Path, config: &Export, facts: &ExportFacts<'_>) -> Result<Exported, ExportError> {
    write_within(folder, config, facts, Limits::default())
}

fn write_within(
    folder: &Path,
    config: &Export,
    facts: &ExportFacts<'_>,
    limits: Limits,
) -> Result<Exported, ExportError> {
    let tables = folder.join("tables");
    let partial = folder.join(format!("{FOLDER}.partial"));
    remove(&partial)?;
    let mut layouts: Vec<Of> = Vec::new();
    for format in &config.formats {
        let layout = layout::of(*format);
        if layouts.iter().all(|other| other.layout().name() != layout.layout().name()) {
            layouts.push(layout);
        }
    }
    let (mut cots, mut questions) = (Vec::new(), Vec::new());
    for layout in &layouts {
        let of = layout.layout();
        let writer = FormatWriter::create(of.columns(), &partial.join(of.name()), limits)?;
        match layout {
            Of::Cots(layout) => cots.push((*layout, writer)),
            Of::Questions(layout) => questions.push((*layout, writer)),
        }
    }
    let mut tally = Tally { has_cots: !cots.is_empty(), ..Tally::default() };
    if tally.has_cots {
        write_cots(&tables, config, facts, &mut cots, &mut tally)?;
    }
    if !questions.is_empty() {
        write_questions(&tables, config, facts, &mut questions, &mut tally)?;
    }
    let mut written: Vec<(&'static dyn Layout, Written)> = Vec::new();
    for (layout, writer) in cots {
        written.push((layout, writer.finish()?));
    }
    for (layout, writer) in questions {
        written.push((layout, writer.finish()?));
    }
    for (layout, written) in &mut written {
        let name = layout.name();
        for (file, text) in handoff::files(name, &handed_on(config, facts, &tally, name)) {
            save(&partial.join(name).join(file), &text)?;
            written.files.push(file.to_owned());
        }
    }
    save(&partial.join("README.md"), &card::render(facts, config, &tally, &written))?;
    save(&partial.join("manifest.json"), &manifest(config, facts, &tally, &written))?;
    let export = folder.join(FOLDER);
    put_in_place(&partial, &export, &written)?;
    let mut files: Vec<PathBuf> = Vec::new();
    for (layout, written) in &written {
        files.extend(written.files.iter().map(|file| export.join(layout.name()).join(file)));
    }
    files.extend([export.join("README.md"), export.join("manifest.json")]);
    let next = next_commands(&export, config, facts, &tally, &written);
    let notes = tally.notes(config, facts);
    Ok(Exported { rows: tally.rows, questions: tally.taken.rows, files, longest: tally.longest, notes, next })
}

/// Writes the kept chains of thought in every format for them.
fn write_cots(
    tables: &Path,
    config: &Export,
    facts: &ExportFacts<'_>,
    writers: &mut [(&'static dyn layout::Sft, FormatWriter)],
    tally: &mut Tally,
) -> Result<(), ExportError> {
    let mut join = Join::open(tables)?;
    while let Some(kept) = join.next()? {
        let prompt = (facts.prompt)(&kept.question);
        let content = think::content(
            config.think,
            &kept.question.kind,
            kept.cot.reasoning.as_deref(),
            kept.cot.answer.as_deref(),
        );
        tally.count(&kept, &prompt, &content);
        let values = row::values(&kept, &prompt.hash);
        for (layout, writer) in writers.iter_mut() {
            let completion = Message { role: Speaker::Assistant, content: content.clone() };
            let lists = layout.fill(prompt.messages.clone(), completion).into_iter().map(|list| json!(list));
            writer.push(lists.chain(values.iter().cloned()).collect())?;
        }
    }
    Ok(())
}

/// Writes the questions whose pass rate lies in the window in every format for them, in bank order.
fn write_questions(
    tables: &Path,
    config: &Export,
    facts: &ExportFacts<'_>,
    writers: &mut [(&'static dyn layout::Rl, FormatWriter)],
    tally: &mut Tally,
) -> Result<(), ExportError> {
    tally.taken.rows = writers.iter().map(|(layout, _)| (layout.name().to_owned(), 0)).collect();
    rl::each(tables, |question, level| {
        let Some((level, pass_rate)) = level.and_then(|level| level.pass_rate.map(|rate| (level, rate))) else {
            tally.taken.n_without_rate += 1;
            return Ok(());
        };
        if !rl::is_within(&config.rl, pass_rate) {
            tally.taken.n_outside += 1;
            return Ok(());
        }
        if question.references.is_empty() && question.tests.is_none() {
            tally.taken.n_unverifiable += 1;
            return Ok(());
        }
        let prompt = (facts.prompt)(&question);
        let tests = question
            .tests
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .map_err(|_| ExportError::OutOfStep { table: QuestionRow::TABLE, id: question.question_id.clone() })?;
        if !tally.has_cots {
            tally.count_source(&question);
        }
        let task = Task { question, level, prompt: &prompt, tests, data_source: config.rl.data_source.as_deref() };
        for (layout, writer) in writers.iter_mut() {
            let rows = tally.taken.rows.get_mut(layout.name()).expect("every format was entered above");
            match layout.fill(&task, *rows) {
                Some(values) => {
                    *rows += 1;
                    writer.push(values)?;
                }
                None => *tally.taken.n_inexpressible.entry(layout.name().to_owned()).or_default() += 1,
            }
        }
        Ok(())
    })
}

impl Tally {
    fn count(&mut self, kept: &Kept, prompt: &Prompt, content: &str) {
        self.rows += 1;
        let chars = prompt.messages.iter().map(|message| message.content.chars().count()).sum::<usize>();
        self.longest.chars = self.longest.chars.max((chars + content.chars().count()) as u64);
        match kept.cot.completion_tokens {
            Some(tokens) => {
                let tokens = (tokens + kept.cot.prompt_tokens.unwrap_or(0)).max(0) as u64;
                self.longest.tokens = self.longest.tokens.max(Some(tokens));
            }
            None => self.n_uncounted += 1,
        }
        let has_thinking = kept.cot.reasoning.as_ref().is_some_and(|reasoning| !reasoning.trim().is_empty());
        self.n_without_thinking += u64::from(!has_thinking);
        let parts = [&kept.cot.reasoning, &kept.cot.answer];
        self.n_own_tags += u64::from(parts.into_iter().flatten().any(|part| think::holds_tags(part)));
        let level = kept.level.as_ref().map_or("none", |level| &level.level);
        *self.levels.entry(level.to_owned()).or_default() += 1;
        self.count_source(&kept.question);
        self.teachers.insert(kept.cot.teacher.clone());
    }

    fn count_source(&mut self, question: &QuestionRow) {
        let source = (question.source.clone(), question.license.clone());
        *self.sources.entry(source).or_default() += 1;
    }

    fn notes(&self, config: &Export, facts: &ExportFacts<'_>) -> Vec<String> {
        let mut notes: Vec<String> = facts.partial.map(Partial::sentence).into_iter().collect();
        if self.has_cots && self.rows == 0 {
            notes.push("nothing was selected: the files hold their columns and no row".to_owned());
        }
        if self.n_without_thinking > 0 {
            let what = match config.think {
                Think::Keep => "exported as they came (`export.think: wrap` puts tags around what precedes the answer)",
                Think::Wrap => "wrapped where something precedes the final answer",
            };
            notes.push(format!("{} of {} rows have no thinking part: {what}", self.n_without_thinking, self.rows));
        }
        let recorded = recorded_teachers(facts.run).into_iter().collect::<Vec<_>>().join(", ");
        if !recorded.is_empty() {
            let what = "were recorded: they answer another prompt than the one exported with them";
            notes.push(format!("the chains of thought of {recorded} {what}"));
        }
        if self.n_own_tags > 0 {
            notes.push(format!("{} rows hold think tags of their own in their text", self.n_own_tags));
        }
        if self.n_uncounted > 0 {
            notes.push(format!("{} rows have no token count from a server", self.n_uncounted));
        }
        let without = self.sources.iter().filter(|((_, license), _)| license.is_none()).map(|(_, n)| n).sum::<u64>();
        if without > 0 {
            notes.push(format!("{without} rows have no licence: name it in `bank.license` before you publish"));
        }
        notes.extend(self.taken.notes(&config.rl));
        notes
    }
}

/// Teachers whose answers come from a recording, each once.
fn recorded_teachers(run: &RunFacts) -> BTreeSet<&str> {
    let recorded = run.models.iter().filter(|model| model.role == "teacher" && model.recorded);
    recorded.map(|model| model.model.as_str()).collect()
}

/// `manifest.json`: how the data came to be. No address of a server stands in it.
#[derive(Serialize)]
struct Manifest<'a> {
    version: u32,
    name: &'a str,
    #[serde(flatten)]
    run: &'a RunFacts,
    export: &'a Export,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<&'a Partial>,
    rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    questions: Option<&'a Taken>,
    longest: Longest,
    counts: &'a [FunnelStep],
    rows_by_level: &'a BTreeMap<String, u64>,
    files: Vec<String>,
    notes: Vec<String>,
}

fn manifest(
    config: &Export,
    facts: &ExportFacts<'_>,
    tally: &Tally,
    written: &[(&'static dyn Layout, Written)],
) -> String {
    let files = written.iter().flat_map(|(layout, written)| {
        let folder = layout.name();
        written.files.iter().map(move |file| format!("{folder}/{file}"))
    });
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        name: facts.name,
        run: facts.run,
        export: config,
        partial: facts.partial,
        rows: tally.rows,
        questions: Some(&tally.taken).filter(|taken| !taken.rows.is_empty()),
        longest: tally.longest,
        counts: facts.funnel,
        rows_by_level: &tally.levels,
        files: files.collect(),
        notes: tally.notes(config, facts),
    };
    serde_json::to_string_pretty(&manifest).expect("names, numbers and lists") + "\n"
}

/// What the files for trainers must know of a format.
fn handed_on<'a>(config: &Export, facts: &ExportFacts<'a>, tally: &Tally, format: &str) -> HandoffFacts<'a> {
    let student = facts.run.models.iter().find(|model| model.role == "student");
    HandoffFacts {
        student: facts.student,
        rows: tally.taken.rows.get(format).copied().unwrap_or(tally.rows),
        max_length: tally.longest.max_length(),
        counted: if tally.longest.tokens.is_some() { Counted::Teacher } else { Counted::Guessed },
        max_answer: student.and_then(|student| student.sampling.as_ref()).map(|sampling| sampling.max_tokens.into()),
        keep_order: config.keep_order,
        training: config.training,
        seed: facts.run.seed,
    }
}

/// Commands that load the data and train on it, ready to paste into a POSIX shell.
fn next_commands(
    export: &Path,
    config: &Export,
    facts: &ExportFacts<'_>,
    tally: &Tally,
    written: &[(&'static dyn Layout, Written)],
) -> Vec<String> {
    let handed_on: Vec<(&str, HandoffFacts<'_>)> = written
        .iter()
        .map(|(layout, _)| (layout.name(), handed_on(config, facts, tally, layout.name())))
        // `datasets` refuses a split without rows, whoever wrote it.
        .filter(|(_, facts)| facts.rows > 0)
        .collect();
    let Some((name, _)) = handed_on.first() else { return Vec::new() };
    // Python reads a JSON string as the same string.
    let python = format!(
        "from datasets import load_dataset; print(load_dataset({}, \"{name}\", split=\"train\")[0])",
        Value::from(export.display().to_string())
    );
    let load = format!("python3 -c {}", quoted(&python));
    let train = handed_on.iter().filter_map(|(name, facts)| handoff::command(name, export, facts));
    [load].into_iter().chain(train).collect()
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn save(path: &Path, text: &str) -> Result<(), ExportError> {
    let io = |source| ExportError::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let mut file = File::create(path).map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)
}

/// Replaces what a former export left, and nothing else in the folder; the manifest goes first and comes last.
fn put_in_place(partial: &Path, export: &Path, written: &[(&'static dyn Layout, Written)]) -> Result<(), ExportError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Io { path, source }
    };
    std::fs::create_dir_all(export).map_err(io(export))?;
    remove(&export.join("manifest.json"))?;
    for layout in layout::ALL {
        remove(&export.join(layout.layout().name()))?;
    }
    let folders = written.iter().map(|(layout, _)| layout.name());
    for name in folders.chain(["README.md", "manifest.json"]) {
        let to = export.join(name);
        std::fs::rename(partial.join(name), &to).map_err(io(&to))?;
    }
    remove(partial)
}

fn remove(path: &Path) -> Result<(), ExportError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ExportError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
