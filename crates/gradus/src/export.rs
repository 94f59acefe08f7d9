//! What a run is for: training data in the trainers' own formats, from the tables alone.
//!
//! Each format has a folder with Parquet as the hub's own writer makes it and JSONL beside; a card and a manifest
//! stand next to them. Same tables, same facts: the same bytes. To add a format: a file with a [`layout::Layout`], of
//! selected chains of thought, of pairs or of questions with references, and its line in [`layout::of`].

mod asked;
mod attempts;
mod axolotl;
mod card;
mod code_rl;
mod dpo;
mod dpo_llama_factory;
mod handoff;
mod join;
mod kto;
mod layout;
mod llama_factory;
mod manifest;
mod messages;
mod openrlhf;
mod pairs;
mod rl;
mod row;
mod shards;
mod stepwise;
mod tally;
pub(crate) mod think;
mod trl;
mod trl_grpo;
mod trl_text;
mod verl;
mod verl_sft;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gradus_model::Message;
use gradus_model::chat::Chat;

use crate::config::{Export, Format, Scoring};
use crate::lint::Checks;
use crate::metrics::{FunnelStep, Partial, RunFacts};
use crate::tables::{QuestionRow, TableError};
use handoff::HandoffFacts;
use layout::{Layout, Of};
use shards::{Limits, Written};
use write::Writers;

pub use tally::Longest;

/// Version of `manifest.json`.
pub const MANIFEST_VERSION: u32 = 1;

/// Name of the folder in a run directory.
pub const FOLDER: &str = "export";

/// What the student's own files say about the rows.
const CHECKS: &str = "CHECKS.json";

/// Said where they are not known.
const UNCHECKED: &str = "whether the rows survive the student's chat template was not checked: \
                         `export.lint.student_files` names its folder, GGUF file or `hf:OWNER/NAME`";

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
    /// The student's chat template and tokenizer, if they are known: rows are checked against them.
    pub chat: Option<&'a dyn Chat>,
    /// The same chat template, for `trl_text`.
    pub render: Option<Render<'a>>,
    /// What is a step of a solution.
    pub scoring: &'a Scoring,
}

/// Renders a conversation with the student's chat template; one that does not end with the assistant's turn is rendered
/// up to where that turn begins. An error says why it cannot.
pub type Render<'a> = &'a dyn Fn(&[Message]) -> Result<String, String>;

/// The asking side of an exported conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The messages before the assistant's.
    pub messages: Vec<Message>,
    /// Hash of the template behind them.
    pub hash: String,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// Selected chains of thought: the rows of each format that has one a row.
    pub rows: u64,
    /// Rows of each format of questions.
    pub questions: BTreeMap<String, u64>,
    /// Rows of each format of pairs, labels or steps.
    pub others: BTreeMap<String, u64>,
    /// Every file, manifest last.
    pub files: Vec<PathBuf>,
    /// The longest row.
    pub longest: Longest,
    /// What the student's own files say about the rows, if they are known.
    pub checks: Option<Checks>,
    /// What a user should know before training on it.
    pub notes: Vec<String>,
    /// Commands to type next, in order.
    pub next: Vec<String>,
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
    /// A format needs what the caller does not have.
    #[error("format `{0}` is rendered with the student's chat template, and there is none")]
    NoTemplate(&'static str),
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
    if config.formats.contains(&Format::TrlText) && facts.render.is_none() {
        return Err(ExportError::NoTemplate(trl_text::TrlText.name()));
    }
    let partial = folder.join(format!("{FOLDER}.partial"));
    remove(&partial)?;
    let mut writers = Writers::create(config, &partial, limits)?;
    let tally = writers.write(&folder.join("tables"), config, facts)?;
    let mut written = writers.finish()?;
    for (of, written) in &mut written {
        let name = of.layout().name();
        for (file, text) in handoff::files(name, &HandoffFacts::new(*of, written, config, facts, &tally)) {
            save(&partial.join(name).join(file), &text)?;
            written.files.push(file.to_owned());
        }
    }
    save(&partial.join("README.md"), &card::render(facts, config, &tally, &written))?;
    if let Some(checks) = &tally.checks {
        save(&partial.join(CHECKS), &checks.to_json())?;
    }
    save(&partial.join("manifest.json"), &manifest::render(config, facts, &tally, &written))?;
    let export = folder.join(FOLDER);
    put_in_place(&partial, &export, &written, tally.checks.is_some())?;
    let mut files: Vec<PathBuf> = Vec::new();
    let mut others = BTreeMap::new();
    for (of, written) in &written {
        let name = of.layout().name();
        files.extend(written.files.iter().map(|file| export.join(name).join(file)));
        if matches!(of, Of::Pairs(_) | Of::Labels(_) | Of::Steps(_)) {
            others.insert(name.to_owned(), written.n_rows);
        }
    }
    files.extend(tally.checks.as_ref().map(|_| export.join(CHECKS)));
    files.extend([export.join("README.md"), export.join("manifest.json")]);
    let next = manifest::next_commands(&export, config, facts, &tally, &written);
    let notes = tally.notes(config, facts);
    let tally::Tally { rows, taken, longest, checks, .. } = tally;
    Ok(Exported { rows, questions: taken.rows, others, files, longest, checks, notes, next })
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
fn put_in_place(partial: &Path, export: &Path, written: &[(Of, Written)], is_checked: bool) -> Result<(), ExportError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Io { path, source }
    };
    std::fs::create_dir_all(export).map_err(io(export))?;
    remove(&export.join("manifest.json"))?;
    remove(&export.join(CHECKS))?;
    for format in layout::ALL {
        remove(&export.join(layout::of(format).layout().name()))?;
    }
    let folders = written.iter().map(|(of, _)| of.layout().name());
    for name in folders.chain(is_checked.then_some(CHECKS)).chain(["README.md", "manifest.json"]) {
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
