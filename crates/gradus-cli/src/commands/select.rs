//! gradus select: choose which chains of thought are kept, or hold rules side by side.

use std::collections::BTreeSet;

use gradus::config::SelectBy;
use gradus::level::Level;
use gradus::run::Until;
use gradus::select::compare::{Column, Compared, UNGRADED, compare};
use gradus::stats::Spread;
use gradus::tables::CotRow;

use crate::commands::run;
use crate::error::CommandError;
use crate::session::{AskArgs, Bank, Past};

/// Choose which chains of thought are kept
///
/// On a finished run nobody is asked: the tables are selected from anew, and where nothing is left to be asked no server
/// has to be there. A bank with other questions than that run's is refused.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ask: AskArgs,
    /// Hold these rules side by side on a finished run, and write nothing: random, shortest, longest, omnithought,
    /// rv_only, cd_only, omnithought_ablation_7b, easydistill_1_0, easydistill_2_0, student_fit
    #[arg(long, value_name = "RULE", num_args = 1.., value_parser = rule)]
    compare: Vec<SelectBy>,
}

fn rule(text: &str) -> Result<SelectBy, String> {
    let names: Vec<&str> = SelectBy::ALL.into_iter().map(SelectBy::name).collect();
    SelectBy::parse(text).ok_or_else(|| format!("there are {}", names.join(", ")))
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    if args.compare.is_empty() {
        return run::within(&args.ask, Until::Select, Bank::OfRun);
    }
    let common = &args.ask.run.common;
    let past = Past::open(&common.folder(), &common.set)?;
    if !gradus::tables::path::<CotRow>(&past.folder.join("tables")).exists() {
        let message =
            format!("{} has no chains of thought to choose from: its last run ended early", past.folder.display());
        return Err(CommandError::usage(message).hint("`gradus run` goes on where it stopped"));
    }
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
    let share = |n: Option<&u64>, of: u64| match n {
        Some(n) => format!("{:.0} %", 100.0 * *n as f64 / of as f64),
        None => "0 %".to_owned(),
    };
    for level in Level::ALL.iter().map(ToString::to_string).chain([UNGRADED.to_owned()]) {
        if rules.iter().any(|column| column.levels.contains_key(&level)) {
            line(&format!("level {level}"), &|column| share(column.levels.get(&level), column.rows));
        }
    }
    let teachers: BTreeSet<&String> = rules.iter().flat_map(|column| column.teachers.keys()).collect();
    for teacher in teachers {
        line(&format!("by {teacher}"), &|column| share(column.teachers.get(teacher), column.rows));
    }
    line("questions left out", &|column| column.dropped.values().sum::<u64>().to_string());
    let reasons: BTreeSet<&String> = rules.iter().flat_map(|column| column.dropped.keys()).collect();
    for reason in reasons {
        line(&format!("left out: {reason}"), &|column| column.dropped.get(reason).copied().unwrap_or(0).to_string());
    }
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
        for note in column.not_applied.iter().chain(&column.note) {
            println!("note      {}: {note}", column.rule);
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
