//! gradus bank check: near duplicates, families, contradictions, and questions of benchmarks.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use gradus::config::{Action, Config, Contamination, ContaminationMode, Families, Hygiene};
use gradus::ingest::{Finding, Found, Hygiene as Counts, Ingest};
use serde_json::{Value, json};

use super::{BankArgs, open};
use crate::error::CommandError;
use crate::session::finding_row;

/// Say what is not clean in a bank: near duplicates, contradictions, families, questions of benchmarks
///
/// Nothing is changed. In a run, the section `hygiene` of the config does the same and can leave questions out.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    banks: BankArgs,
    /// A benchmark whose questions must not be in the bank; may be repeated
    #[arg(long, value_name = "BANK")]
    against: Vec<PathBuf>,
    /// How a benchmark's question is recognised
    #[arg(long, value_enum, default_value = "overlap", requires = "against")]
    mode: Mode,
    /// Least similarity (omnithought) or least share covered (overlap) of a benchmark's question
    #[arg(long, value_name = "SHARE", requires = "against")]
    contamination_threshold: Option<f64>,
    /// Words or tokens in a row, instead of the mode's own number
    #[arg(long, value_name = "N", requires = "against")]
    n_gram: Option<u32>,
    /// Least Jaccard similarity of near duplicates
    #[arg(long, value_name = "SHARE")]
    threshold: Option<f64>,
    /// Tokens in a shingle
    #[arg(long, value_name = "N")]
    shingle: Option<u32>,
    /// Look for questions of benchmarks alone
    #[arg(long, requires = "against")]
    only_benchmarks: bool,
    /// Findings of each sort that are shown; all with `--json`
    #[arg(long, default_value_t = 5, value_name = "N")]
    show: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Overlap,
    Word8,
    Omnithought,
}

impl Args {
    fn hygiene(&self) -> Result<Hygiene, CommandError> {
        let usual = Hygiene::default();
        let against = BankArgs { banks: self.against.clone(), fields: Vec::new(), level1_is_hardest: false };
        let rule = Contamination {
            against: against.configs()?,
            mode: match self.mode {
                Mode::Overlap => ContaminationMode::Overlap,
                Mode::Word8 => ContaminationMode::Word8,
                Mode::Omnithought => ContaminationMode::Omnithought,
            },
            action: Action::Report,
            threshold: self.contamination_threshold,
            n_gram: self.n_gram,
            ..Contamination::default()
        };
        let hygiene = Hygiene {
            near_duplicates: if self.only_benchmarks { Action::Off } else { Action::Report },
            threshold: self.threshold.unwrap_or(usual.threshold),
            shingle: self.shingle.unwrap_or(usual.shingle),
            families: if self.only_benchmarks { Families::Off } else { Families::Report },
            decontaminate: (!self.against.is_empty()).then_some(rule),
        };
        match hygiene.fault() {
            Some((path, wanted, found)) => {
                Err(CommandError::usage(format!("`{path}` must be {wanted}, and is {found}")))
            }
            None => Ok(hygiene),
        }
    }
}

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<io::Result<()>, CommandError> {
    let config =
        Config { bank: args.banks.configs()?, keep_unverifiable: true, hygiene: args.hygiene()?, ..Config::default() };
    let ingest = open(&config)?;
    Ok(if args.json {
        writeln!(out, "{}", object(&ingest))
    } else {
        print(&ingest, !args.only_benchmarks, args.show, out)
    })
}

fn object(ingest: &Ingest) -> Value {
    let summary = ingest.summary();
    let hygiene = summary.hygiene.clone().unwrap_or_default();
    let benchmarks: Vec<_> = hygiene
        .benchmarks
        .iter()
        .map(|found| json!({"bank": found.bank, "n_questions": found.n_questions, "n_found": found.n_found}))
        .collect();
    let contradictions: Vec<_> = summary
        .contradictions
        .iter()
        .map(|found| {
            json!({"question_id": found.question.to_string(), "source_ids": found.source_ids, "answers": found.references})
        })
        .collect();
    json!({
        "n_rows": summary.rows, "n_questions": summary.kept, "dropped": summary.dropped,
        "n_exact_duplicates": summary.exact_duplicates, "n_normalised_duplicates": summary.normalised_duplicates,
        "n_near_duplicates": hygiene.near_duplicates, "n_contradictions": hygiene.contradictions,
        "n_other_numbers": hygiene.other_numbers, "n_families": hygiene.families, "n_in_families": hygiene.in_families,
        "n_contaminated": hygiene.contaminated, "n_benchmark_variants": hygiene.benchmark_variants,
        "n_cut": hygiene.cut, "n_limited": hygiene.limited, "benchmarks": benchmarks,
        "contradictions_of_duplicates": contradictions,
        "findings": ingest.findings().iter().map(finding_row).collect::<Vec<_>>(),
    })
}

fn print(ingest: &Ingest, alike: bool, show: usize, out: &mut impl Write) -> io::Result<()> {
    let summary = ingest.summary();
    let hygiene = summary.hygiene.clone().unwrap_or_default();
    writeln!(out, "{} rows, {} questions", summary.rows, summary.kept)?;
    writeln!(
        out,
        "exact duplicates: {} (joined), {} more but for white space or Unicode form (joined), {} with another answer",
        summary.exact_duplicates,
        summary.normalised_duplicates,
        summary.contradictions.len()
    )?;
    for found in summary.contradictions.iter().take(show) {
        let [one, other] = &found.references;
        writeln!(
            out,
            "  {} ({}) against {} ({})",
            found.source_ids[1],
            other.join(", "),
            found.source_ids[0],
            one.join(", ")
        )?;
    }
    let findings = |name: &str| -> Vec<&Finding> {
        ingest.findings().iter().filter(|finding| finding.found.name() == name).collect()
    };
    if alike {
        print_alike(&hygiene, &findings, show, out)?;
    }
    if !hygiene.benchmarks.is_empty() {
        writeln!(
            out,
            "contaminated: {} questions; {} more differ in numbers from one of a benchmark",
            hygiene.contaminated, hygiene.benchmark_variants
        )?;
        for found in &hygiene.benchmarks {
            writeln!(out, "  {}: {} of {} questions found", found.bank, found.n_found, found.n_questions)?;
        }
        for finding in findings("contaminated").into_iter().take(show) {
            if let Found::Contaminated(hit) = &finding.found {
                let (rule, score, span) =
                    (&hit.rule, hit.score, hit.span.split_whitespace().collect::<Vec<_>>().join(" "));
                writeln!(
                    out,
                    "  {} is {} `{}` ({rule}, {score:.3}): {span}",
                    finding.source_id, hit.bank, hit.source_id
                )?;
            }
        }
    }
    for (n, what) in [
        (hygiene.cut, "were compared by their beginning alone"),
        (hygiene.limited, "were not compared with all that may be near: too many are alike"),
    ] {
        if n > 0 {
            writeln!(out, "note: {n} questions {what}")?;
        }
    }
    Ok(())
}

/// Near duplicates, contradictions and families.
fn print_alike<'a>(
    hygiene: &Counts,
    findings: &dyn Fn(&str) -> Vec<&'a Finding>,
    show: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    let near = |findings: Vec<&Finding>, out: &mut dyn Write| -> io::Result<()> {
        for finding in findings.into_iter().take(show) {
            if let Found::NearDuplicate(jaccard) | Found::Contradiction(jaccard) = finding.found {
                writeln!(out, "  {} of {}: Jaccard {jaccard:.3}", finding.source_id, finding.other_source_id)?;
            }
        }
        Ok(())
    };
    writeln!(out, "near duplicates: {} questions", hygiene.near_duplicates)?;
    near(findings("near_duplicate"), out)?;
    writeln!(out, "as near, with another answer: {} questions", hygiene.contradictions)?;
    near(findings("contradiction"), out)?;
    writeln!(out, "as near, with other numbers: {} pairs", hygiene.other_numbers)?;
    writeln!(
        out,
        "families that differ in numbers alone: {} with {} questions",
        hygiene.families, hygiene.in_families
    )?;
    let mut families: Vec<(String, Vec<&str>)> = Vec::new();
    for finding in findings("family") {
        let known = families.iter().position(|(first, _)| *first == finding.other_source_id);
        match known {
            Some(at) => families[at].1.push(&finding.source_id),
            None if families.len() < show => {
                families.push((finding.other_source_id.clone(), vec![&finding.source_id]));
            }
            None => {}
        }
    }
    for (_, members) in families {
        writeln!(out, "  {} questions: {}", members.len(), members[..members.len().min(4)].join(", "))?;
    }
    Ok(())
}
