//! gradus import: chains of thought that exist already.

use std::path::PathBuf;

use clap::ValueEnum;
use gradus::import::{ImportError, Options, Shape, Summary, import};
use serde_json::json;

use super::bank::KindArg;
use crate::error::CommandError;

/// Most teachers that the summary names.
const MAX_TEACHERS: usize = 10;

/// Import chains of thought that exist already, as a bank and recorded answers of their teachers
///
/// Writes bank.jsonl, recording.jsonl, perhaps ratings.jsonl and dropped.jsonl, and gradus.yaml into a folder. A run
/// with that config judges every chain of thought anew: what its source says of it is kept, and not believed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files: JSONL, CSV or Parquet; text files perhaps with `.zst` or `.gz`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder to write
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// How the rows hold their chains of thought
    #[arg(long, value_enum, default_value_t = ShapeArg::Auto)]
    shape: ShapeArg,
    /// Name of the source of rows that name none; otherwise the name of their file
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Licence of rows that name none
    #[arg(long, value_name = "LICENSE")]
    license: Option<String>,
    /// Kind of questions that name none; otherwise inferred
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// Teacher of chains of thought that name none
    #[arg(long, value_name = "NAME")]
    teacher: Option<String>,
    /// Read only the first N rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Replace what an earlier import wrote
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShapeArg {
    /// Told by the columns
    Auto,
    /// A list `reasoning` of objects
    Omnithought,
    /// A list `generations` of texts
    Openr1,
    /// Chats under `conversations` or `messages`
    Conversations,
    /// `r1_solution_1`, `r1_solution_2`, ...
    Deepmath,
    /// One chain of thought a row
    Flat,
    /// Recorded answers as `replay:` reads them
    Recording,
}

impl ShapeArg {
    fn shape(self) -> Option<Shape> {
        match self {
            Self::Auto => None,
            Self::Omnithought => Some(Shape::OmniThought),
            Self::Openr1 => Some(Shape::OpenR1),
            Self::Conversations => Some(Shape::Conversations),
            Self::Deepmath => Some(Shape::DeepMath),
            Self::Flat => Some(Shape::Flat),
            Self::Recording => Some(Shape::Recording),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let options = Options {
        shape: args.shape.shape(),
        source: args.source.clone(),
        license: args.license.clone(),
        kind: args.kind.map(KindArg::kind),
        teacher: args.teacher.clone(),
        limit: args.limit,
        force: args.force,
    };
    let summary = import(&args.files, &args.out, &options)?;
    if args.json {
        println!("{}", as_json(&summary));
    } else {
        print(&summary);
    }
    for warning in warnings(&summary) {
        eprintln!("warning: {warning}");
    }
    let out = args.out.display();
    eprintln!("wrote {} into {out}", summary.written.join(", "));
    let set = if summary.without_text > 0 { "`bank` and `student`" } else { "`student`" };
    eprintln!("next: set {set} in {out}/gradus.yaml, then gradus run --config {out}/gradus.yaml");
    Ok(())
}

fn print(summary: &Summary) {
    for (file, shape) in &summary.files {
        println!("{file}: read as {}", shape.name());
    }
    let dropped: u64 = summary.dropped_rows.values().sum();
    println!("{} rows: {} imported, {dropped} dropped", summary.rows, summary.imported);
    let dropped: u64 = summary.dropped_cots.values().sum();
    println!("{} chains of thought: {} written, {dropped} dropped", summary.cots_read, summary.cots);
    println!(
        "{} questions ({} rows joined to an earlier one), at most {} chains of thought of one teacher",
        summary.questions + summary.without_text,
        summary.joined,
        summary.most
    );
    for (what, reasons) in [("rows", &summary.dropped_rows), ("chains of thought", &summary.dropped_cots)] {
        if !reasons.is_empty() {
            let reasons: Vec<String> = reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
            println!("{what} dropped: {}", reasons.join(", "));
        }
    }
    for (teacher, n) in summary.teachers.iter().take(MAX_TEACHERS) {
        println!("{n:>9}  {teacher}");
    }
    if let Some(others @ 1..) = summary.teachers.len().checked_sub(MAX_TEACHERS) {
        println!("{others:>9}  other teachers (`--json` lists all)");
    }
    if summary.rated > 0 {
        println!("{} came with ratings, which are kept and not believed", summary.rated);
    }
}

fn warnings(summary: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    if !summary.first_dropped.is_empty() {
        let first: Vec<&str> = summary.first_dropped.iter().map(|(_, sentence)| sentence.as_str()).collect();
        let what = "something was left out (`dropped.jsonl` lists all), the first for each reason:";
        warnings.push(format!("{what}\n  {}", first.join("\n  ")));
    }
    if summary.unverifiable > 0 {
        let n = summary.unverifiable;
        warnings.push(format!("{n} questions have no reference and no tests: their answers will be undecided"));
    }
    if let Some(first) = &summary.first_other_reference {
        let n = summary.other_references;
        warnings.push(format!(
            "{n} rows have another reference than an earlier row of the same question, be it in spelling or in meaning, \
             first {first}; the earlier one stands, and judges all answers"
        ));
    }
    if summary.renumbered > 0 {
        let n = summary.renumbered;
        warnings.push(format!("{n} recorded answers had a number that was taken, and got the next one"));
    }
    if summary.ignored_ratings > 0 {
        let n = summary.ignored_ratings;
        warnings.push(format!("{n} ratings are no number from 0 to 10, and left out"));
    }
    if summary.without_text > 0 {
        let n = summary.without_text;
        warnings.push(format!("{n} questions are known by id alone: the config needs their bank"));
    }
    warnings
}

fn as_json(summary: &Summary) -> serde_json::Value {
    let files = summary.files.iter().map(|(file, shape)| json!({ "file": &**file, "shape": shape.name() }));
    let teachers = summary.teachers.iter().map(|(teacher, n)| json!({ "teacher": teacher, "n_cots": n }));
    json!({
        "files": files.collect::<Vec<_>>(),
        "n_rows": summary.rows,
        "n_imported": summary.imported,
        "dropped_rows": summary.dropped_rows,
        "n_cots_read": summary.cots_read,
        "n_cots": summary.cots,
        "dropped_cots": summary.dropped_cots,
        "n_questions": summary.questions,
        "n_without_text": summary.without_text,
        "n_unverifiable": summary.unverifiable,
        "n_joined": summary.joined,
        "n_other_references": summary.other_references,
        "n_renumbered": summary.renumbered,
        "n_rated": summary.rated,
        "n_ignored_ratings": summary.ignored_ratings,
        "n_most": summary.most,
        "teachers": teachers.collect::<Vec<_>>(),
        "written": summary.written,
    })
}

impl From<ImportError> for CommandError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Read(error) => error.into(),
            ImportError::Io { path, source } => Self::io(&path, &source),
            ImportError::NoShape { .. } => {
                let looked_for = Shape::ALL.map(|shape| format!("{}: {}", shape.name(), shape.looked_for()));
                Self::usage(error)
                    .hint(format!("looked for {}", looked_for.join("; ")))
                    .hint("rename the columns, or name the shape with `--shape`")
            }
            ImportError::Nothing { .. } => Self::usage(error).hint("does `--shape` name the shape of these rows?"),
            ImportError::Exists(_) => Self::usage(error).hint("name another folder, or pass --force to replace it"),
        }
    }
}
