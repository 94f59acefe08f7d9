//! gradus grade --assess: how good the levels of a run are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gradus::assess::{Assessment, Correlation, KnownLevel, assess, known_levels};
use gradus::level::Level;
use gradus::run::Until;
use serde_json::json;

use crate::commands::run;
use crate::error::CommandError;
use crate::session::AskArgs;

/// Give every question its level for the student
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ask: AskArgs,
    /// Measure how good the levels of a run are, from its tables; asks nobody
    #[arg(long)]
    assess: bool,
    /// With --assess: directory of another run over the same questions, whose attempts measure the pass rates and whose
    /// levels are compared
    #[arg(long, value_name = "DIR", requires = "assess")]
    against: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    if !args.assess {
        return run::run(&args.ask, Until::Grade);
    }
    let common = &args.ask.run.common;
    let graded = read(&common.folder())?;
    let measured = args.against.as_deref().map(read).transpose()?;
    let own = measured.is_none();
    let assessment = assess(&graded, measured.as_ref().unwrap_or(&graded), 0);
    if assessment.n_questions == 0 {
        return Err(CommandError::usage("the two runs have no graded question in common")
            .hint("`--against` wants a run over the same bank"));
    }
    if common.json {
        let mut object = json!(assessment);
        object["against_own_attempts"] = own.into();
        println!("{object}");
    } else {
        show(&assessment, own);
    }
    Ok(())
}

fn read(folder: &Path) -> Result<BTreeMap<String, KnownLevel>, CommandError> {
    known_levels(&folder.join("tables"))?.ok_or_else(|| {
        CommandError::usage(format!("{} has no levels", folder.display())).hint("`gradus grade` makes them")
    })
}

fn show(found: &Assessment, own: bool) {
    println!(
        "{} questions, {:.1} attempts behind a pass rate; {} graded in one run only",
        found.n_questions, found.attempts_per_question, found.n_only_one
    );
    if own {
        println!("note      the pass rates are of the attempts that made the levels: they agree too well;");
        println!("          `--against DIR` takes those of another run over the same questions");
    }
    for agreement in &found.agreements {
        println!(
            "{}: n {}, Spearman {}, Kendall {}",
            agreement.of,
            agreement.n,
            correlation(&agreement.spearman),
            correlation(&agreement.kendall)
        );
    }
    println!("level  questions  pass rate");
    for level in &found.levels {
        let rate = level.pass_rate.map_or("-".to_owned(), |rate| format!("{rate:.3}"));
        let interval = level.ci95.map_or(String::new(), |(low, high)| format!(" ({low:.3} to {high:.3})"));
        println!("{:<5}  {:>9}  {rate}{interval}", level.level, level.n_questions);
    }
    match found.violations.as_slice() {
        [] => println!("the pass rate falls from level to level"),
        pairs => {
            let pairs: Vec<String> = pairs.iter().map(|(low, high)| format!("{low} to {high}")).collect();
            println!("the pass rate rises from level {}", pairs.join(", "));
        }
    }
    if !own {
        println!("levels here (rows) and there; the same for {:.1} %", 100.0 * found.same_level.unwrap_or(0.0));
        println!("       {}", Level::ALL.map(|level| format!("{level:>6}", level = level.to_string())).join(""));
        for (level, row) in Level::ALL.iter().zip(&found.confusion) {
            println!("{:<7}{}", level.to_string(), row.map(|n| format!("{n:>6}")).join(""));
        }
    }
}

fn correlation(correlation: &Correlation) -> String {
    match (correlation.value, correlation.ci95) {
        (Some(value), Some((low, high))) => format!("{value:.3} ({low:.3} to {high:.3})"),
        (Some(value), None) => format!("{value:.3}"),
        (None, _) => "not defined".to_owned(),
    }
}
