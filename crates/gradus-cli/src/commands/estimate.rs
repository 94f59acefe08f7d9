//! `--dry-run`: what a run would ask, how many tokens, at what price. Nothing is asked.

use std::path::Path;

use gradus::estimate::{Estimate, estimate};
use gradus::ledger::Reader;
use gradus::run::Until;
use gradus_model::Identity;
use serde_json::json;

use crate::error::CommandError;
use crate::models::Env;
use crate::session::{self, Cast, CommonArgs, Configured};

/// Prints what the stages up to one would ask for in a run directory, which is neither made nor changed.
pub(crate) fn run(configured: &Configured, folder: &Path, args: &CommonArgs, until: Until) -> Result<(), CommandError> {
    let ingest = session::read_bank(configured, args)?;
    let runtime = session::runtime()?;
    let env = Env::read(configured.base.clone());
    let Cast { plan, roles } =
        session::cast(configured, until, |role, model| session::name_role(role, model, &env, &runtime))?;
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
    println!(
        "{:<7} {:<28} {:>10} {:>15} {:>19} {:>19}  cost",
        "stage", "model", "questions", "requests", "tokens read", "tokens written"
    );
    for estimate in &estimates {
        let questions = format!("{}{}", if estimate.assumed { "<= " } else { "" }, grouped(estimate.n_questions));
        let written = match estimate.mean_completion {
            None => format!("<= {}", grouped(estimate.completion_tokens[1])),
            Some(_) => range(estimate.completion_tokens),
        };
        println!(
            "{:<7} {:<28} {questions:>10} {:>15} {:>19} {written:>19}  {}",
            estimate.stage,
            estimate.model,
            range(estimate.requests),
            range(estimate.prompt_tokens),
            cost(estimate)
        );
    }
    println!("nothing was asked");
    println!("least     each answer is right at once and as long as the model's recorded ones");
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
