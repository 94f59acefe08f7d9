//! gradus verify: one answer for a person, or a stream of rows for a program.

mod row;
mod stream;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use gradus_verify::{Answer, Outcome, Proof, Reference, Tolerance, Verdict, verify};
use serde_json::json;

use crate::error::CommandError;

/// Compare answers with their references
///
/// With `--jsonl`, one JSON object a line in, one out, in the same order:
/// in `{"id", "reference", "answer", "form": "bare"|"text", "kind"?: "math"|"choice"|"text"|"code", "tolerance"?,
/// "options"?, "language"?, "question"?}`, where the reference is a string, a number, a list of accepted ones, or for
/// code `{"tests": {...}}`, `options` are the texts of the options A, B, C ..., `language` is that of code with stdin
/// tests, and the question is not looked at;
/// out `{"id", "verdict", "extracted", "method", "explanation"}`, for code also `passed`, `total` and `tests`, a list of
/// `{"status", "detail", "cpu_ms", "wall_ms", "memory_bytes", "in_process"}`;
/// a row that cannot be read gives `{"id"?, "line", "error"}`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The right answer; repeat it for several accepted ones
    #[arg(long, required_unless_present = "jsonl", allow_hyphen_values = true, value_name = "TEXT")]
    reference: Vec<String>,
    /// The answer to compare
    #[arg(long, required_unless_present = "jsonl", allow_hyphen_values = true, value_name = "TEXT")]
    answer: Option<String>,
    /// How to compare
    #[arg(long, value_enum, default_value = "math")]
    kind: Kind,
    /// `bare`: a final answer as it stands; `text`: a full response
    #[arg(long, value_enum, default_value = "bare")]
    form: Form,
    /// Allowed distance, as a share of the reference
    #[arg(long, value_parser = tolerance, value_name = "SHARE")]
    tolerance: Option<f64>,
    /// The text of option A, then of B, and so on; for `--kind choice`
    #[arg(long, allow_hyphen_values = true, value_name = "TEXT")]
    option: Vec<String>,
    /// Say also what was extracted, by which rule, and what shows the difference
    #[arg(long)]
    explain: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Read rows from this file, `-` for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["reference", "answer", "kind", "form", "tolerance", "option", "explain", "json"])]
    jsonl: Option<PathBuf>,
    /// Run code answers although this system cannot isolate them
    #[arg(long)]
    unsafe_no_sandbox: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Math,
    Choice,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Bare,
    Text,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let result = match (&args.jsonl, &args.answer) {
        (Some(file), _) => return stream::run(file, args.unsafe_no_sandbox),
        (None, Some(answer)) => one(args, answer),
        (None, None) => unreachable!("clap requires the answer without `--jsonl`"),
    };
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::failure(format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

fn one(args: &Args, answer: &str) -> io::Result<()> {
    let reference = Reference {
        kind: match args.kind {
            Kind::Math => gradus_verify::Kind::Math,
            Kind::Choice => gradus_verify::Kind::Choice,
            Kind::Text => gradus_verify::Kind::Text,
        },
        values: args.reference.clone(),
        tolerance: args.tolerance.map(Tolerance::Relative),
        options: args.option.clone(),
    };
    let form = match args.form {
        Form::Bare => gradus_verify::Form::Bare,
        Form::Text => gradus_verify::Form::Text,
    };
    let verdict = verify(&reference, &Answer { text: answer, form });
    let mut out = io::stdout().lock();
    if args.json {
        let extracted = verdict.extracted.as_ref();
        let line = json!({
            "verdict": name(verdict.outcome),
            "extracted": extracted.map(|extracted| &extracted.text),
            "rule": extracted.map(|extracted| extracted.rule),
            "span": extracted.map(|extracted| [extracted.span.start, extracted.span.end]),
            "method": verdict.method,
            "proof": verdict.proof.map(proof),
            "witness": verdict.witness,
            "explanation": verdict.explanation,
        });
        return writeln!(out, "{line}");
    }
    writeln!(out, "{}\n{}", name(verdict.outcome), verdict.explanation)?;
    if args.explain { explain(&verdict, &mut out) } else { Ok(()) }
}

fn explain(verdict: &Verdict, out: &mut impl Write) -> io::Result<()> {
    if let Some(extracted) = &verdict.extracted {
        let (start, end) = (extracted.span.start, extracted.span.end);
        writeln!(out, "extracted: {} (rule {}, bytes {start} to {end})", extracted.text, extracted.rule)?;
    }
    writeln!(out, "method: {}", verdict.method)?;
    if let Some(sure) = verdict.proof {
        writeln!(out, "proof: {}", proof(sure))?;
    }
    if let Some(witness) = &verdict.witness {
        writeln!(out, "witness: {witness}")?;
    }
    Ok(())
}

/// The verdict's name in every output.
fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Correct => "correct",
        Outcome::Incorrect => "incorrect",
        Outcome::NoAnswer => "no_answer",
        Outcome::Undecided => "undecided",
    }
}

fn proof(proof: Proof) -> String {
    match proof {
        Proof::Exact => "exact".to_owned(),
        Proof::Certified => "certified".to_owned(),
        Proof::Probabilistic { bits } => format!("probabilistic, {bits} bits"),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if share >= 0.0 && share.is_finite() { Ok(share) } else { Err(format!("{share} is no distance")) }
}
