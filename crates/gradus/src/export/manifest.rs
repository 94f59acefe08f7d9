//! How the data came to be, for programs, and what to type next.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::handoff::{self, HandoffFacts};
use super::layout::Of;
use super::rl::Taken;
use super::shards::Written;
use super::tally::{Longest, Tally};
use super::{ExportFacts, MANIFEST_VERSION};
use crate::config::Export;
use crate::metrics::{FunnelStep, Partial, RunFacts};

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
    formats: BTreeMap<&'static str, FormatFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    questions: Option<&'a Taken>,
    longest: Longest,
    counts: &'a [FunnelStep],
    rows_by_level: &'a BTreeMap<String, u64>,
    files: Vec<String>,
    notes: Vec<String>,
}

/// Rows of a format, and by reason what it leaves out.
#[derive(Serialize)]
struct FormatFacts {
    rows: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out: BTreeMap<&'static str, u64>,
}

/// The settings as they may be published: a folder of this machine by its name alone.
fn published(config: &Export) -> Export {
    let mut config = config.clone();
    if let Some(files) = config.lint.student_files.as_mut().filter(|files| !files.starts_with("hf:")) {
        let name = Path::new(&*files).file_name().map(|name| name.to_string_lossy().into_owned());
        *files = name.unwrap_or_default();
    }
    config
}

/// The text of `manifest.json`.
pub(super) fn render(config: &Export, facts: &ExportFacts<'_>, tally: &Tally, written: &[(Of, Written)]) -> String {
    let files = written.iter().flat_map(|(of, written)| {
        let folder = of.layout().name();
        written.files.iter().map(move |file| format!("{folder}/{file}"))
    });
    let formats = written.iter().map(|(of, written)| {
        let name = of.layout().name();
        let left_out = tally.left_out.get(name).into_iter().flatten();
        let left_out = left_out.map(|(reason, left_out)| (*reason, left_out.n)).collect();
        (name, FormatFacts { rows: written.n_rows, left_out })
    });
    let manifest = Manifest {
        version: MANIFEST_VERSION,
        name: facts.name,
        run: facts.run,
        export: &published(config),
        partial: facts.partial,
        rows: tally.rows,
        formats: formats.collect(),
        questions: Some(&tally.taken).filter(|taken| !taken.rows.is_empty()),
        longest: tally.longest,
        counts: facts.funnel,
        rows_by_level: &tally.levels,
        files: files.collect(),
        notes: tally.notes(config, facts),
    };
    serde_json::to_string_pretty(&manifest).expect("names, numbers and lists") + "\n"
}

/// Commands that load the data and train on it, ready to paste into a POSIX shell.
pub(super) fn next_commands(
    export: &Path,
    config: &Export,
    facts: &ExportFacts<'_>,
    tally: &Tally,
    written: &[(Of, Written)],
) -> Vec<String> {
    // `datasets` refuses a split without rows, whoever wrote it.
    let Some((of, _)) = written.iter().find(|(_, written)| written.n_rows > 0) else { return Vec::new() };
    // Python reads a JSON string as the same string.
    let python = format!(
        "from datasets import load_dataset; print(load_dataset({}, \"{}\", split=\"train\")[0])",
        Value::from(export.display().to_string()),
        of.layout().name()
    );
    let load = format!("python3 -c {}", quoted(&python));
    let train = written.iter().filter_map(|(of, written)| {
        handoff::command(of.layout().name(), export, &HandoffFacts::new(*of, written, config, facts, tally))
    });
    [load].into_iter().chain(train).collect()
}

/// A word for a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
