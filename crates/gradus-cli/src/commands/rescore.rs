//! gradus rescore: the chains of thought of a run before another judge, and how far the two agree.

use gradus::agreement::{Agreement, Interval};
use gradus::config::Config;
use gradus::metrics::Metrics;
use gradus::run::Until;

use crate::commands::run;
use crate::error::CommandError;
use crate::session::{self, Bank, RunArgs};

/// Have another judge rate the chains of thought of a run, and say how far the two agree
///
/// Only the other judge is asked: all else is in the ledger, and the bank must be that of the run. Its ratings are
/// compared and decide nothing.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// The other judge, for example `openai:URL#MODEL`; `second_judge` of the config if absent
    #[arg(long, value_name = "MODEL")]
    judge: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let mut common = args.run.common.clone();
    common.set.extend(args.judge.as_ref().map(|judge| format!("second_judge={judge}")));
    let configured = session::configure(&args.run.config, &common)?;
    if configured.config.second_judge.is_none() {
        return Err(CommandError::usage("no other judge is named").hint("name it with `--judge openai:URL#MODEL`"));
    }
    let Config { annotate, judge, .. } = &configured.config;
    if !annotate.asks_judge() || (judge.is_none() && annotate.recorded.is_empty()) {
        return Err(CommandError::usage("this config has nothing rated that another judge could be compared with")
            .hint(
                "set `annotate.scores`, and `judge` or `annotate.recorded`, for example `annotate: {scores: [rv, cd]}`",
            ));
    }
    let folder = common.folder();
    if !folder.join("metrics.json").exists() {
        return Err(CommandError::usage(format!(
            "{} holds no finished run whose chains of thought could be rated",
            folder.display()
        ))
        .hint("name its directory with `--run-dir`, or finish it with `gradus run`"));
    }
    run::stages(configured, &folder, &common, Until::Select, Bank::OfRun)?;
    if common.json {
        return Ok(());
    }
    let path = folder.join("metrics.json");
    let text = std::fs::read_to_string(&path).map_err(|error| CommandError::io(&path, &error))?;
    let metrics: Metrics =
        serde_json::from_str(&text).map_err(|error| CommandError::failure(format!("{}: {error}", path.display())))?;
    let all = metrics.cots.iter().flat_map(|cots| &cots.agreement);
    let found: Vec<_> = all.filter(|found| ["judges", "recorded"].contains(&found.between.as_str())).collect();
    for found in &found {
        println!("agreement {}", sentence(found));
    }
    if found.is_empty() {
        println!(
            "agreement none to tell: no chain of thought has readable ratings of both (`tables/dropped.parquet` says why)"
        );
    }
    Ok(())
}

/// A figure with its interval.
pub(crate) fn figure(interval: &Interval) -> String {
    match (interval.value, interval.low.zip(interval.high)) {
        (Some(value), Some((low, high))) => format!("{value:.2} [{low:.2}, {high:.2}]"),
        (Some(value), None) => format!("{value:.2}"),
        (None, _) => "not known".to_owned(),
    }
}

/// The agreement of two judges on one score, in words.
fn sentence(found: &Agreement) -> String {
    format!(
        "{}: {} and {} on {} chains of thought: weighted kappa {}, Spearman {}",
        found.what,
        found.one,
        found.other,
        found.n_cots,
        figure(&found.kappa),
        figure(&found.spearman)
    )
}
