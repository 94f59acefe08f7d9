//! gradus report: figures and report once more from the tables.

use std::path::PathBuf;

use gradus::bakeoff;
use gradus::metrics::Metrics;

use crate::commands::run::title;
use crate::error::CommandError;
use crate::session::{self, Past};

/// Write metrics.json and report.html again from the tables of a run; asks nobody
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the run
    #[arg(short = 'd', long, default_value = "gradus-run", value_name = "DIR")]
    run_dir: PathBuf,
    /// Print metrics.json on stdout; with `--teachers`, the teachers alone
    #[arg(long)]
    json: bool,
    /// Print a table that compares the teachers
    #[arg(long)]
    teachers: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let past = Past::open(&args.run_dir, &[])?;
    let (folder, config) = (&past.folder, &past.config);
    let mut metrics = Metrics::of(folder, config, past.metrics.run, past.metrics.ledger)?;
    metrics.partial = past.metrics.partial;
    session::write(&folder.join("metrics.json"), metrics.to_json().as_bytes())?;
    let report = gradus::report::write(folder, &title(folder), config, &metrics)?;
    if args.teachers {
        // The figures have them only where there is something to compare.
        let compared = match metrics.teachers {
            Some(compared) => Some(compared),
            None => bakeoff::of(&folder.join("tables"), config.seed)?,
        };
        let compared = compared.unwrap_or_default();
        if args.json {
            println!("{}", serde_json::to_string_pretty(&compared).expect("names, lists and finite numbers"));
        } else if compared.teachers.is_empty() {
            println!("no teacher has answered yet");
        } else {
            println!("{}", compared.markdown().trim_end());
        }
    } else if args.json {
        println!("{}", metrics.to_json());
    } else {
        println!("wrote     {}", report.display());
    }
    Ok(())
}
