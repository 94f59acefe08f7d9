//! gradus lint: training data as the student's own chat template renders it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use gradus::config::Lint;
use gradus::lint::{Checks, Flaw, Linter, Row};
use serde_json::{Value, json};

use crate::error::{CommandError, Kind};
use crate::student;

/// Check what a student's own chat template and tokenizer make of training data
///
/// Rows are JSON objects, one a line, with `messages`, with `prompt` and `completion` (lists of messages, or texts that
/// no template touches any more), or with `conversations` of `from` and `value`. Exit code 1 if a row or the template has
/// a flaw: `thinking_lost`, `answer_lost`, `prompt_not_prefix`, `no_eos`, `too_long`, `template_error`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Training data (JSONL)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder with the student's `tokenizer.json` and chat template, a GGUF file, or `hf:OWNER/NAME`
    #[arg(long, value_name = "PATH")]
    student_files: String,
    /// Longest row in tokens; no limit if absent
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    max_length: Option<u64>,
    /// Print what was found as one JSON object
    #[arg(long)]
    json: bool,
}

/// Unreadable rows that are told one by one.
const N_TOLD: u64 = 5;

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let chat = student::open(&args.student_files)?;
    let config = Lint { max_length: args.max_length, ..Lint::default() };
    let mut linter = Linter::new(&*chat, &config);
    let mut n_unreadable = 0;
    for path in &args.files {
        look(path, &mut linter, &mut n_unreadable)?;
    }
    let checks = linter.finish();
    if args.json {
        let mut found = json!(checks);
        found["unreadable"] = n_unreadable.into();
        println!("{found}");
    } else {
        show(&checks, n_unreadable);
    }
    // What is wrong was said.
    if checks.is_clean() && n_unreadable == 0 { Ok(()) } else { Err(CommandError::new(Kind::Failure, "")) }
}

fn look(path: &Path, linter: &mut Linter<'_>, n_unreadable: &mut u64) -> Result<(), CommandError> {
    let failed = |error: std::io::Error| CommandError::usage(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    for (line, number) in BufReader::new(file).split(b'\n').zip(1_u64..) {
        let line = line.map_err(failed)?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = serde_json::from_slice::<Value>(&line).map_err(|error| error.to_string());
        match row.and_then(|row| Row::read(&row)) {
            Ok(row) => drop(linter.check_row(&row)),
            Err(problem) => {
                *n_unreadable += 1;
                if *n_unreadable <= N_TOLD {
                    eprintln!("warning: {}:{number}: {problem}", path.display());
                }
            }
        }
    }
    Ok(())
}

fn show(checks: &Checks, n_unreadable: u64) {
    let words = |flaws: &[Flaw]| flaws.iter().map(|flaw| flaw.name()).collect::<Vec<_>>().join(", ");
    println!("student   {}", checks.student);
    let template =
        if checks.template.is_empty() { "keeps a thinking part".to_owned() } else { words(&checks.template) };
    println!("template  {template}");
    println!("rows      {} looked at, {} with a flaw, {n_unreadable} unreadable", checks.rows, checks.flawed);
    if let Some(tokens) = &checks.tokens {
        println!("tokens    p50 {}, p90 {}, p99 {}, max {}", tokens.p50, tokens.p90, tokens.p99, tokens.max);
    }
    if checks.rows > 0 {
        println!("");
        println!("| flaw | rows | % |");
        println!("|---|---|---|");
        for (flaw, n) in &checks.flaws {
            println!("| {} | {n} | {:.1} |", flaw.name(), 100.0 * *n as f64 / checks.rows as f64);
        }
        println!("");
    }
    for example in &checks.examples {
        let tokens = example.tokens.map(|tokens| format!(", {tokens} tokens")).unwrap_or_default();
        println!("row       {}: {}{tokens}", example.row, words(&example.flaws));
    }
    checks.hints.iter().for_each(|hint| println!("note      {hint}"));
    if let (None, Some(proposed)) = (checks.max_length, checks.proposed_max_length) {
        println!("note      a limit of {proposed} tokens holds every row");
    }
}
