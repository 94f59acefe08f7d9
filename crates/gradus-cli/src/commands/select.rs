//! gradus select: choose which chains of thought are kept, or hold rules side by side.

use gradus::config::SelectBy;
use gradus::run::Until;
use gradus::select::compare::{Column, Compared, compare};
use gradus::stats::Spread;

use crate::commands::run;
use crate::error::CommandError;
use crate::session::{AskArgs, Past};

/// Choose which chains of thought are kept
///
/// On a finished run nobody is asked: the tables are selected from anew.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ask: AskArgs,
    /// Hold these rules side by side on a finished run, and write nothing: random, shortest, longest, omnithought,
    /// rv-only, cd-only, omnithought-ablation-7b, easydistill-1.0, easydistill-2.0, student-fit
    #[arg(long, value_name = "RULE", num_args = 1.., value_parser = rule)]
    compare: Vec<SelectBy>,
}

fn rule(text: &str) -> Result<SelectBy, String> {
    let names: Vec<&str> = SelectBy::ALL.into_iter().map(SelectBy::name).collect();
    SelectBy::parse(text).ok_or_else(|| format!("there are {}", names.join(", ")))
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    if args.compare.is_empty() {
        return run::run(&args.ask, Until::Select);
    }
    let common = &args.ask.run.common;
    let past = Past::open(&common.folder(), &common.set)?;
    let compared = compare(&past.folder.join("tables"), &past.config, &args.compare)?;
    if common.json {
        println!("{}", serde_json::to_string(&compared).expect("names, lists and finite numbers"));
    } else {
        show(&compared);
    }
    Ok(())
}

fn show(compared: &Compared) {
    let rules = &compared.rules;
    let names: Vec<&str> = rules.iter().map(|column| column.rule.as_str()).collect();
    println!("| | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    let line = |name: &str, cell: &dyn Fn(&Column) -> String| {
        let cells: Vec<String> = rules
            .iter()
            .map(|column| if column.not_applied.is_some() { "-".to_owned() } else { cell(column) })
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    let unit =
        rules.iter().find(|column| column.not_applied.is_none()).map_or("tokens", |column| column.length_unit.as_str());
    line("chains of thought", &|column| column.rows.to_string());
    line("questions", &|column| column.questions.to_string());
    line(unit, &|column| column.length_sum.to_string());
    type Line = (String, usize, fn(&Column) -> Option<Spread>);
    let spreads: [Line; 3] = [
        (format!("{unit} each"), 0, |column| column.length),
        ("RV".to_owned(), 1, |column| column.rv),
        ("CD".to_owned(), 1, |column| column.cd),
    ];
    for (name, digits, spread) in spreads {
        line(&format!("{name}: mean (10 %, 50 %, 90 %)"), &|column| told(spread(column), digits));
    }
    line("levels", &|column| shares(column.by_level(), column.rows));
    line("teachers", &|column| shares(column.teachers.iter().map(|(name, n)| (name.clone(), *n)), column.rows));
    line("questions left out", &|column| {
        let counts: Vec<String> = column.dropped.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    });
    if names.len() > 1 {
        println!("");
        println!("| shared (Jaccard) | {} |", names.join(" | "));
        println!("|---|{}", "---|".repeat(names.len()));
        for (name, row) in names.iter().zip(&compared.overlap) {
            let cells: Vec<String> =
                row.iter().map(|share| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.2}"))).collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
    for column in rules {
        if let Some(why) = &column.not_applied {
            println!("note      {}: {why}", column.rule);
        }
    }
}

fn told(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { mean, q10, q50, q90, .. }| {
            format!("{mean:.digits$} ({q10:.digits$}, {q50:.digits$}, {q90:.digits$})")
        },
    )
}

fn shares(counts: impl Iterator<Item = (String, u64)>, n: u64) -> String {
    let shares: Vec<String> =
        counts.map(|(name, count)| format!("{name} {:.0} %", 100.0 * count as f64 / n as f64)).collect();
    if shares.is_empty() { "-".to_owned() } else { shares.join(", ") }
}
