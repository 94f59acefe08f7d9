//! `--dry-run`: what a run would ask, how many tokens, at what price. Nothing is asked.

use std::path::Path;

use gradus::estimate::{Estimate, estimate};
use gradus::ledger::Reader;
use gradus::run::Until;
use gradus_model::Identity;
use serde_json::json;

use crate::cast::{self, Cast};
use crate::error::CommandError;
use crate::models::Env;
use crate::session::{self, CommonArgs, Configured};

/// Prints what the stages up to one would ask for in a run directory, which is neither made nor changed.
pub(crate) fn run(configured: &Configured, folder: &Path, args: &CommonArgs, until: Until) -> Result<(), CommandError> {
    let ingest = session::read_bank(configured, args)?;
    let runtime = session::runtime()?;
    let env = Env::read(configured.base.clone());
    let Cast { plan, roles } =
        cast::cast(configured, until, |role, model| cast::name_role(role, model, &env, &runtime))?;
    let ledger = folder.join("ledger.sqlite");
    let reader = ledger.exists().then(|| Reader::open(&ledger)).transpose()?;
    let count = |model: &Identity, text: &str| {
        roles.values().find(|role| role.model.identity() == model).and_then(|role| role.model.n_tokens(text))
    };
    let questions = || ingest.questions();
    let estimates = estimate(&configured.config, &plan, until, questions, reader.as_ref(), &count)
        .map_err(|error| CommandError::usage(error.to_string()))?;
    if args.json {
        println!("{}", json!({ "run_dir": folder, "stages": estimates }));
        return Ok(());
    }
    let rows: Vec<[String; 7]> = std::iter::once(HEAD.map(str::to_owned)).chain(estimates.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| match column {
            0 | 1 => format!("{cell:<width$}", width = width(column)),
            6 => cell.clone(),
            _ => format!("{cell:>width$}", width = width(column)),
        });
        println!("{}", cells.collect::<Vec<_>>().join("  "));
    }
    println!("nothing was asked");
    let known = estimates.iter().any(|estimate| estimate.mean_completion.is_some());
    let lengths = if known { " and as long as the model's recorded ones" } else { "" };
    println!("least     each answer is right at once{lengths}, and no rule leaves it to a judge");
    println!("most      every answer runs into its limit, and all tries are used up");
    for estimate in &estimates {
        if let (Some(mean), true) = (estimate.mean_completion, estimate.requests[1] > 0) {
            println!("length    {} wrote {mean:.0} tokens on average so far", estimate.model);
        }
    }
    if estimates.iter().any(|estimate| estimate.assumed) {
        println!(
            "note      levels are not known yet: `distil` is priced for as many questions as `sample.size` allows"
        );
    }
    if estimates.iter().any(|estimate| estimate.mean_completion.is_none() && estimate.requests[1] > 0) {
        println!(
            "note      without recorded answers, lengths are limits; `--limit 20` makes a small run to measure them"
        );
    }
    Ok(())
}

const HEAD: [&str; 7] = ["stage", "model", "questions", "requests", "tokens read", "tokens written", "cost"];

fn row(estimate: &Estimate) -> [String; 7] {
    let written = match estimate.mean_completion {
        None if estimate.completion_tokens[1] > 0 => format!("<= {}", grouped(estimate.completion_tokens[1])),
        _ => range(estimate.completion_tokens),
    };
    [
        estimate.stage.to_string(),
        estimate.model.clone(),
        format!("{}{}", if estimate.assumed { "<= " } else { "" }, grouped(estimate.n_questions)),
        range(estimate.requests),
        range(estimate.prompt_tokens),
        written,
        cost(estimate),
    ]
}

fn cost(estimate: &Estimate) -> String {
    match (estimate.cost_usd, estimate.mean_completion) {
        (None, _) => "no price set".to_owned(),
        (Some([_, most]), None) => format!("<= ${most:.2}"),
        (Some([least, most]), Some(_)) => format!("${least:.2} - ${most:.2}"),
    }
}

fn range([least, most]: [u64; 2]) -> String {
    if least == most { grouped(most) } else { format!("{} - {}", grouped(least), grouped(most)) }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(range([5, 5]), "5");
        assert_eq!(range([5, 1500]), "5 - 1,500");
    }
}
