//! gradus ledger: what was asked and what came, as it was recorded.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use gradus::ledger::{Ledger, Reader, ShowError, Shown, Stats};
use gradus_model::{Raw, Wire};
use serde_json::json;

use crate::error::CommandError;

/// Look into what a run has recorded, check it, copy it out, join it
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show attempts: what was asked, what came, every try
    Show {
        /// Run directory or ledger file
        ledger: PathBuf,
        /// First hex digits of the attempt's key, as tables have it in `cot_id` or `attempt_id`
        key: String,
        /// Print each attempt as one JSON object on a line
        #[arg(long)]
        json: bool,
    },
    /// Count attempts, tries, tokens and cost
    Stats {
        /// Run directory or ledger file
        ledger: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check that every row is what was recorded; exit code 1 if not
    Verify {
        /// Run directory or ledger file
        ledger: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write every attempt as JSONL, in the order of the keys
    Export {
        /// Run directory or ledger file
        ledger: PathBuf,
        /// File to write; `-` is stdout
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Add to one ledger what others have and it lacks
    Merge {
        /// Run directory or ledger file that takes them; made if there is none
        into: PathBuf,
        /// Run directories or ledger files to read
        #[arg(required = true)]
        from: Vec<PathBuf>,
        /// Print one JSON object for each
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match &args.command {
        Command::Show { ledger, key, json } => show(&open(ledger)?, key, *json, &mut out)?,
        Command::Stats { ledger, json: true } => writeln!(out, "{}", json!(open(ledger)?.stats()?)),
        Command::Stats { ledger, json: false } => stats(&open(ledger)?.stats()?, &mut out),
        Command::Verify { ledger, json } => return verify(&open(ledger)?, *json, &mut out),
        Command::Export { ledger, file } if file.as_os_str() == "-" => export(&open(ledger)?, &mut out)?,
        Command::Export { ledger, file } => {
            let reader = open(ledger)?;
            let output = File::create(file)
                .map_err(|error| CommandError::failure(format!("cannot write {}: {error}", file.display())))?;
            let mut output = BufWriter::new(output);
            return written(export(&reader, &mut output)?.and_then(|()| output.flush()));
        }
        Command::Merge { into, from, json } => merge(into, from, *json, &mut out)?,
    };
    quiet_end(done.and_then(|()| out.flush()))
}

/// The ledger's file, given it or its run directory.
fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("ledger.sqlite") } else { path.to_owned() }
}

fn existing(path: &Path) -> Result<PathBuf, CommandError> {
    let file = file_of(path);
    if file.exists() {
        return Ok(file);
    }
    Err(CommandError::usage(format!("there is no ledger at {}", file.display()))
        .hint("name a run directory or its `ledger.sqlite`"))
}

fn open(path: &Path) -> Result<Reader, CommandError> {
    Ok(Reader::open(&existing(path)?)?)
}

/// A reader of stdout that has seen enough is no error.
fn quiet_end(result: io::Result<()>) -> Result<(), CommandError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => written(result),
    }
}

fn written(result: io::Result<()>) -> Result<(), CommandError> {
    result.map_err(|error| CommandError::failure(format!("cannot write the output: {error}")))
}

/// Trouble of the ledger outside, trouble of the output inside.
fn apart<T>(result: Result<T, ShowError>) -> Result<io::Result<T>, CommandError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(ShowError::Output(error)) => Ok(Err(error)),
        Err(ShowError::Ledger(error)) => Err(error.into()),
    }
}

fn show(reader: &Reader, key: &str, json: bool, out: &mut impl Write) -> Result<io::Result<()>, CommandError> {
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(CommandError::usage(format!("`{key}` is no beginning of a key: hex digits are expected"))
            .hint("`gradus ledger export` writes all attempts"));
    }
    let shown = reader.show(key, |shown| {
        if json {
            serde_json::to_writer(&mut *out, &shown)?;
            out.write_all(b"\n")
        } else {
            print(&shown, out)
        }
    });
    match apart(shown)? {
        Ok(0) => Err(CommandError::failure(format!("no attempt has a key that begins with `{key}`"))),
        Ok(_) => Ok(Ok(())),
        Err(error) => Ok(Err(error)),
    }
}

fn print(shown: &Shown, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", shown.key)?;
    writeln!(out, "{} {} of {}, ended: {}", shown.kind, shown.attempt, shown.model, shown.finish)?;
    for request in &shown.requests {
        let message = request["message"].as_str().unwrap_or_default();
        let dash = if message.is_empty() { "" } else { " - " };
        let (number, took) = (&request["try"], &request["took_ms"]);
        let fault = request["fault"].as_str().unwrap_or_default();
        writeln!(out, "try {number}: {fault} after {took} ms{dash}{message}")?;
    }
    writeln!(out, "\n--- asked ---\n{:#}", shown.payload)?;
    let wire = match shown.form.as_str() {
        "chat_json" => Some(Wire::ChatJson),
        "chat_sse" => Some(Wire::ChatSse),
        _ => None,
    };
    let read = wire.and_then(|wire| Raw { wire, body: shown.body.clone().into() }.read().ok());
    match read {
        Some(completion) => {
            if let Some(reasoning) = &completion.reasoning {
                writeln!(out, "\n--- thinking ---\n{}", reasoning.trim())?;
            }
            let answer = completion.answer.as_deref().map_or("(none: the thinking did not end)", str::trim);
            writeln!(out, "\n--- answer ---\n{answer}\n")
        }
        None => writeln!(out, "\n--- {} ---\n{}\n", shown.form, shown.body.trim()),
    }
}

fn stats(stats: &Stats, out: &mut impl Write) -> io::Result<()> {
    for attempts in &stats.attempts {
        let revision = if attempts.revision.is_empty() { String::new() } else { format!("@{}", attempts.revision) };
        writeln!(
            out,
            "{}{revision}: {} {}s settled, {} truncated; tokens: {} read, {} written; ${:.4}",
            attempts.model,
            attempts.settled,
            attempts.kind,
            attempts.truncated,
            attempts.prompt_tokens,
            attempts.completion_tokens,
            attempts.cost_usd
        )?;
    }
    let tries: Vec<String> = stats.requests.iter().map(|(fault, n)| format!("{n} {fault}")).collect();
    writeln!(
        out,
        "all tries: {}; tokens: {} read, {} written; ${:.4}",
        if tries.is_empty() { "none".to_owned() } else { tries.join(", ") },
        stats.prompt_tokens,
        stats.completion_tokens,
        stats.cost_usd
    )
}

fn verify(reader: &Reader, json: bool, out: &mut impl Write) -> Result<(), CommandError> {
    let (n_rows, problems) = reader.verify()?;
    let mut print = || -> io::Result<()> {
        if json {
            let problems: Vec<_> = problems.iter().map(|p| json!({ "item": p.item, "message": p.message })).collect();
            writeln!(out, "{}", json!({ "attempts": n_rows, "problems": problems }))?;
        } else {
            for problem in &problems {
                writeln!(out, "{}: {}", problem.item, problem.message)?;
            }
            writeln!(out, "{n_rows} attempts checked, {} problems", problems.len())?;
        }
        out.flush()
    };
    quiet_end(print())?;
    if problems.is_empty() {
        return Ok(());
    }
    let error = CommandError::failure(format!("{} problems in {n_rows} attempts", problems.len()));
    Err(error.hint("restore the ledger from a copy; `gradus ledger merge` joins what two copies hold"))
}

fn export(reader: &Reader, out: &mut impl Write) -> Result<io::Result<()>, CommandError> {
    Ok(apart(reader.export(out))?.map(|_| ()))
}

fn merge(into: &Path, from: &[PathBuf], json: bool, out: &mut impl Write) -> Result<io::Result<()>, CommandError> {
    let target = file_of(into);
    let others = from.iter().map(|path| existing(path)).collect::<Result<Vec<_>, _>>()?;
    let same = |other: &&PathBuf| {
        target.canonicalize().is_ok_and(|target| other.canonicalize().is_ok_and(|other| target == other))
    };
    if let Some(other) = others.iter().find(same) {
        return Err(CommandError::usage(format!("{} cannot be merged into itself", other.display())));
    }
    let mut n_conflicts = 0;
    for other in &others {
        let merged = Ledger::merge(&target, other)?;
        n_conflicts += merged.conflicts;
        let line = if json {
            json!({
                "from": other, "attempts": merged.attempts, "requests": merged.requests, "conflicts": merged.conflicts,
            })
            .to_string()
        } else {
            format!("{}: {} new attempts, {} new tries", other.display(), merged.attempts, merged.requests)
        };
        if let Err(error) = writeln!(out, "{line}") {
            return Ok(Err(error));
        }
    }
    if n_conflicts > 0 {
        eprintln!(
            "{n_conflicts} attempts were recorded in both with different results; those of {} stand",
            target.display()
        );
    }
    Ok(Ok(()))
}
