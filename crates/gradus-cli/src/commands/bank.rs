//! gradus bank: questions as they are, before any model is asked.

mod check;
mod levels;

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use gradus::bank::{Filter, Stats, WriteError, Writer};
use gradus::config::{BankConfig, Config, Fields};
use gradus::ingest::{Elsewhere, Ingest};
use gradus::question::{self, Question};
use serde_json::{Map, Value, json};

use crate::error::CommandError;
use crate::hub;

/// Most names that a count lists.
const MAX_NAMES: usize = 20;
/// Characters of a question that a list shows.
const SHOWN: usize = 80;

/// Look into banks, filter and merge them, check whether they are clean, collect levels of runs
///
/// A bank is JSONL, CSV or Parquet, a file or `hf:OWNER/NAME/FILE` of a dataset on the hub, or `builtin`. Several are
/// read one after the other, and duplicates are joined.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Count questions by kind, source, subject and level
    Stats {
        #[command(flatten)]
        banks: BankArgs,
        #[command(flatten)]
        filter: FilterArgs,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List questions, one a line
    List {
        #[command(flatten)]
        banks: BankArgs,
        #[command(flatten)]
        filter: FilterArgs,
        /// Print each question as a JSON object, as it would be written to a bank
        #[arg(long)]
        json: bool,
    },
    /// Write the questions that meet the conditions to a bank
    Filter {
        #[command(flatten)]
        banks: BankArgs,
        #[command(flatten)]
        filter: FilterArgs,
        /// File to write: `.jsonl`, `.jsonl.zst` or `.parquet`
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write several banks as one: duplicates are joined, and the ids of all sources kept
    Merge {
        #[command(flatten)]
        banks: BankArgs,
        /// File to write: `.jsonl`, `.jsonl.zst` or `.parquet`
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    Check(check::Args),
    Levels(levels::Args),
}

/// Which banks, and how their rows are read.
#[derive(clap::Args)]
struct BankArgs {
    /// Banks
    #[arg(required = true, value_name = "BANK")]
    banks: Vec<PathBuf>,
    /// Column of a field, for example `--field answer=final`; may be repeated
    #[arg(long = "field", value_name = "NAME=COLUMN")]
    fields: Vec<String>,
    /// The levels of the banks run from 1, the hardest, to 5: turn them
    #[arg(long)]
    level1_is_hardest: bool,
}

impl BankArgs {
    /// The banks as a config names them.
    fn configs(&self) -> Result<Vec<BankConfig>, CommandError> {
        let mut named = Map::new();
        for item in &self.fields {
            let (name, column) = item.split_once('=').ok_or_else(|| {
                CommandError::usage(format!("`--field {item}` has no `=`")).hint("write `--field answer=COLUMN`")
            })?;
            named.insert(name.trim().to_owned(), Value::String(column.trim().to_owned()));
        }
        let fields: Fields = serde_json::from_value(Value::Object(named))
            .map_err(|error| CommandError::usage(format!("`--field`: {error}")))?;
        let bank = |path: &PathBuf| BankConfig {
            path: path.clone(),
            fields: fields.clone(),
            level1_is_hardest: self.level1_is_hardest,
            ..BankConfig::default()
        };
        Ok(self.banks.iter().map(bank).collect())
    }

    /// Reads the banks; what is odd about them goes to stderr.
    fn open(&self) -> Result<Ingest, CommandError> {
        open(&Config { bank: self.configs()?, keep_unverifiable: true, ..Config::default() })
    }
}

/// Reads the banks of a config, fetched if they are on the hub.
fn open(config: &Config) -> Result<Ingest, CommandError> {
    let fetched: HashMap<PathBuf, PathBuf> = hub::banks(config)?;
    let elsewhere = Elsewhere { builtin: Some(crate::bank::QUICKSTART), fetched: Some(&fetched) };
    let ingest = Ingest::open_with(config, Path::new(""), elsewhere)?;
    ingest.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(ingest)
}

/// Which questions are meant.
#[derive(clap::Args)]
struct FilterArgs {
    /// Only this subject; may be repeated
    #[arg(long, value_name = "NAME")]
    subject: Vec<String>,
    /// Only this source; may be repeated
    #[arg(long, value_name = "NAME")]
    source: Vec<String>,
    /// Only this kind; may be repeated
    #[arg(long, value_enum)]
    kind: Vec<KindArg>,
    /// Only this level of the bank; may be repeated
    #[arg(long, value_name = "LEVEL")]
    level: Vec<String>,
    /// Only questions with unit tests
    #[arg(long, conflicts_with = "without_tests")]
    with_tests: bool,
    /// Only questions without
    #[arg(long)]
    without_tests: bool,
    /// Only questions with an answer or tests
    #[arg(long, conflicts_with = "unverifiable")]
    verifiable: bool,
    /// Only questions with neither
    #[arg(long)]
    unverifiable: bool,
    /// Least length of the text, in characters
    #[arg(long, value_name = "N")]
    min_chars: Option<u64>,
    /// Greatest length of the text, in characters
    #[arg(long, value_name = "N")]
    max_chars: Option<u64>,
    /// Only questions whose text holds this
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    Math,
    Choice,
    Text,
    Code,
}

impl KindArg {
    pub(crate) fn kind(self) -> question::Kind {
        match self {
            Self::Math => question::Kind::Math,
            Self::Choice => question::Kind::Choice,
            Self::Text => question::Kind::Text,
            Self::Code => question::Kind::Code,
        }
    }
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        let either = |yes: bool, no: bool| (yes || no).then_some(yes);
        Filter {
            subjects: self.subject.clone(),
            sources: self.source.clone(),
            kinds: self.kind.iter().map(|kind| kind.kind()).collect(),
            levels: self.level.clone(),
            has_tests: either(self.with_tests, self.without_tests),
            verifiable: either(self.verifiable, self.unverifiable),
            min_chars: self.min_chars,
            max_chars: self.max_chars,
            contains: self.contains.clone(),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match &args.command {
        Command::Stats { banks, filter, json } => stats(&banks.open()?, &filter.filter(), *json, &mut out)?,
        Command::List { banks, filter, json } => list(&banks.open()?, &filter.filter(), *json, &mut out)?,
        Command::Filter { banks, filter, out: file, json } => {
            write(&banks.open()?, &filter.filter(), file, *json, &mut out)?
        }
        Command::Merge { banks, out: file, json } => write(&banks.open()?, &Filter::default(), file, *json, &mut out)?,
        Command::Check(args) => check::run(args, &mut out)?,
        Command::Levels(args) => levels::run(args, &mut out)?,
    };
    match done.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::failure(format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

fn stats(ingest: &Ingest, filter: &Filter, json: bool, out: &mut impl Write) -> Result<io::Result<()>, CommandError> {
    let mut stats = Stats::default();
    for question in ingest.questions() {
        let question = question?;
        if filter.matches(&question) {
            stats.add(&question);
        }
    }
    let summary = ingest.summary();
    let lengths = stats.lengths();
    let print = |out: &mut dyn Write| -> io::Result<()> {
        if json {
            let object = json!({
                "n_rows": summary.rows, "n_dropped": summary.dropped, "n_duplicates": summary.duplicates(),
                "n_questions": stats.n_questions, "n_with_tests": stats.n_with_tests,
                "n_unverifiable": stats.n_unverifiable, "n_joined": stats.n_joined, "kinds": stats.kinds,
                "sources": stats.sources, "subjects": stats.subjects, "levels": stats.levels,
                "licenses": stats.licenses, "chars": lengths,
            });
            return writeln!(out, "{object}");
        }
        let n_dropped: u64 = summary.dropped.values().sum();
        writeln!(out, "{} rows: {n_dropped} dropped, {} duplicates joined", summary.rows, summary.duplicates())?;
        writeln!(
            out,
            "{} questions, {} with tests, {} with nothing to check an answer by, {} from several sources",
            stats.n_questions, stats.n_with_tests, stats.n_unverifiable, stats.n_joined
        )?;
        if let Some([least, low, median, high, most]) = lengths {
            writeln!(out, "characters: {least} to {most}, half of them {low} to {high}, median {median}")?;
        }
        let counts = [
            ("kind", &stats.kinds),
            ("source", &stats.sources),
            ("subject", &stats.subjects),
            ("level", &stats.levels),
            ("licence", &stats.licenses),
        ];
        for (name, counts) in counts {
            let mut counts: Vec<_> = counts.iter().collect();
            counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            if counts.len() == 1 && counts[0].0.is_empty() {
                continue;
            }
            writeln!(out, "\nby {name}")?;
            for (value, n) in counts.iter().take(MAX_NAMES) {
                writeln!(out, "{n:>9}  {}", if value.is_empty() { "(none)" } else { value })?;
            }
            if counts.len() > MAX_NAMES {
                writeln!(out, "{:>9}  others (`--json` lists all)", counts.len() - MAX_NAMES)?;
            }
        }
        Ok(())
    };
    Ok(print(out))
}

fn list(ingest: &Ingest, filter: &Filter, json: bool, out: &mut impl Write) -> Result<io::Result<()>, CommandError> {
    for question in ingest.questions() {
        let question = question?;
        if filter.matches(&question) {
            let line = if json { gradus::bank::json_row(&question).to_string() } else { line(&question) };
            if let Err(error) = writeln!(out, "{line}") {
                return Ok(Err(error));
            }
        }
    }
    Ok(Ok(()))
}

fn line(question: &Question) -> String {
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let one_line = question.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text: String = one_line.chars().take(SHOWN).collect();
    if text.len() < one_line.len() {
        text.push_str("...");
    }
    let kind = question.kind.name();
    let ids = question.source_ids.join(",");
    let (level, subject) = (or_dash(&question.level), or_dash(&question.subject));
    format!("{}  {ids}  {kind}  {level}  {subject}  {text}", question.id)
}

fn write(
    ingest: &Ingest,
    filter: &Filter,
    file: &Path,
    json: bool,
    out: &mut impl Write,
) -> Result<io::Result<()>, CommandError> {
    let failed = |error: WriteError| match &error {
        WriteError::Format(_) => CommandError::usage(error),
        WriteError::Io { .. } | WriteError::Table(_) => CommandError::failure(error),
    };
    let mut writer = Writer::create(file).map_err(failed)?;
    let (mut n, mut n_left) = (0_u64, 0_u64);
    for question in ingest.questions() {
        let question = question?;
        if filter.matches(&question) {
            writer.push(&question).map_err(failed)?;
            n += 1;
        } else {
            n_left += 1;
        }
    }
    writer.finish().map_err(failed)?;
    let summary = ingest.summary();
    let n_dropped: u64 = summary.dropped.values().sum();
    let line = if json {
        json!({
            "file": file, "n_rows": summary.rows, "n_questions": n, "n_filtered_out": n_left,
            "n_duplicates": summary.duplicates(), "n_dropped": n_dropped,
        })
        .to_string()
    } else {
        format!(
            "{}: {n} questions of {} rows ({} duplicates joined, {n_dropped} dropped, {n_left} filtered out)",
            file.display(),
            summary.rows,
            summary.duplicates()
        )
    };
    Ok(writeln!(out, "{line}"))
}
