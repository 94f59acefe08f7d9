//! gradus bank levels: what several runs know about the difficulty of questions.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gradus::config::Config;
use gradus::level::Level;
use gradus::levels::{Levels, Student};
use gradus::tables::{LevelRow, TableWriter, path};
use serde_json::{Map, Value, json};

use crate::error::CommandError;

/// Collect the levels of several runs: a table by question, student and grader settings; how students differ
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run directories, and files that this command wrote before
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// File to write, `.parquet`; what it held before has to be named among the runs
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Least level that counts as hard: 1 is all that is not easy, 5 the hardest
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5), value_name = "LEVEL")]
    hard: u8,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<io::Result<()>, CommandError> {
    let mut levels = Levels::default();
    for run in &args.runs {
        if run.is_dir() {
            add(&mut levels, run)?;
        } else {
            levels.add_file(run).map_err(|error| {
                CommandError::usage(error).hint("name a run directory, or a file that `gradus bank levels` wrote")
            })?;
        }
    }
    if let Some(file) = &args.out {
        if file.extension().is_none_or(|extension| extension != "parquet") {
            return Err(CommandError::usage(format!("{}: the table is written as `.parquet`", file.display())));
        }
        let mut table = TableWriter::create_at(file.clone())?;
        levels.rows().try_for_each(|row| table.push(row.clone()))?;
        table.finish()?;
    }
    Ok(if args.json { writeln!(out, "{}", object(&levels, args)) } else { print(&levels, args, out) })
}

fn add(levels: &mut Levels, run: &Path) -> Result<(), CommandError> {
    let tables = run.join("tables");
    if !path::<LevelRow>(&tables).exists() {
        return Err(CommandError::usage(format!("{} has no table of levels", run.display()))
            .hint("name the directory of a run that came at least as far as `gradus grade`"));
    }
    let yaml = run.join("gradus.yaml");
    let text = std::fs::read_to_string(&yaml).map_err(|error| CommandError::io(&yaml, &error))?;
    let config = Config::read(&text, &[])?;
    levels.add_run(&run.display().to_string(), &config, &tables)?;
    Ok(())
}

fn object(levels: &Levels, args: &Args) -> Value {
    let students: Vec<Value> = levels
        .distributions()
        .iter()
        .map(|((student, settings), (counts, ungraded))| {
            let counts: Map<String, Value> =
                Level::ALL.iter().map(|level| (level.to_string(), json!(counts[level.index()]))).collect();
            json!({"student": student, "settings": settings, "levels": counts, "ungraded": ungraded})
        })
        .collect();
    let overlaps: Vec<Value> = levels
        .overlaps(args.hard.into())
        .iter()
        .map(|overlap| {
            json!({
                "students": overlap.students, "n_both": overlap.n_both, "n_hard": overlap.n_hard,
                "n_hard_for_both": overlap.n_hard_for_both, "expected_by_chance": overlap.expected(),
                "jaccard": overlap.jaccard(), "kappa": overlap.kappa(),
            })
        })
        .collect();
    json!({
        "n_levels": levels.rows().len(), "n_conflicts": levels.n_conflicts(), "hard_from": args.hard,
        "students": students, "overlaps": overlaps, "file": args.out,
    })
}

fn print(levels: &Levels, args: &Args, out: &mut impl Write) -> io::Result<()> {
    let distributions = levels.distributions();
    // Settings are told only where one student was graded in several ways.
    let several = |name: &str| distributions.keys().filter(|(student, _)| student == name).count() > 1;
    let named = |(student, settings): &Student| {
        if several(student) { format!("{student} [{}]", &settings[..8]) } else { student.clone() }
    };
    let width = distributions.keys().map(|student| named(student).len()).max().unwrap_or(0).max(7);
    write!(out, "{:<width$}", "student")?;
    for level in Level::ALL {
        write!(out, " {:>7}", level.to_string())?;
    }
    writeln!(out, " ungraded")?;
    for (student, (counts, ungraded)) in &distributions {
        write!(out, "{:<width$}", named(student))?;
        for n in counts {
            write!(out, " {n:>7}")?;
        }
        writeln!(out, " {ungraded:>8}")?;
    }
    let overlaps = levels.overlaps(args.hard.into());
    if !overlaps.is_empty() {
        let hard = if args.hard == 1 { "not easy".to_owned() } else { format!("level {} or above", args.hard) };
        writeln!(out, "\nhard ({hard}) for two students, of the questions that both have:")?;
    }
    for overlap in &overlaps {
        let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"));
        let [one, other] = &overlap.students;
        writeln!(
            out,
            "{} / {}: {} of {} and {}, by chance {:.1}; Jaccard {}, kappa {}; {} questions",
            named(one),
            named(other),
            overlap.n_hard_for_both,
            overlap.n_hard[0],
            overlap.n_hard[1],
            overlap.expected(),
            share(overlap.jaccard()),
            share(overlap.kappa()),
            overlap.n_both
        )?;
    }
    if levels.n_conflicts() > 0 {
        writeln!(
            out,
            "note: {} levels differ from one under the same settings that came first, and are left out",
            levels.n_conflicts()
        )?;
    }
    if let Some(file) = &args.out {
        writeln!(out, "{}: {} levels", file.display(), levels.rows().len())?;
    }
    Ok(())
}
