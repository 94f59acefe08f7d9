//! gradus judge: verdicts once more, of what the ledger holds, by the rules of today.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use gradus::run::Until;
use gradus::tables::{VerdictRow, each};
use serde_json::json;

use crate::commands::run;
use crate::error::CommandError;
use crate::session::{self, RunArgs, Session};

/// Outcome of an attempt by its id and role.
type Outcomes = HashMap<(String, String), String>;

/// Judges again without asking any model, and says which verdicts changed. Levels and what follows from them are
/// derived anew as far as the config goes; programs are run if the ledger has no outcome of this sandbox for them.
pub(crate) fn run(args: &RunArgs) -> Result<(), CommandError> {
    let common = &args.common;
    let configured = session::configure(&args.config, common)?;
    let folder = common.folder();
    if !folder.join("ledger.sqlite").exists() {
        return Err(CommandError::usage(format!("{} has no ledger: nothing was asked yet", folder.display()))
            .hint("`gradus probe` asks the student"));
    }
    let until = if configured.config.teacher.is_empty() { Until::Grade } else { Until::Select };
    let tables = folder.join("tables");
    let before = outcomes(&tables)?;
    let session = Session::open(configured, &folder, common, until, true)?;
    let ran = run::judged(&session, until, common)?;
    let after = outcomes(&tables)?;

    let mut changed: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut n_new: u64 = 0;
    for (attempt, outcome) in &after {
        match before.get(attempt) {
            None => n_new += 1,
            Some(old) if old != outcome => *changed.entry((old, outcome)).or_default() += 1,
            Some(_) => {}
        }
    }
    let n_missing: u64 = ran.dropped.iter().filter(|((_, reason), _)| reason == "not_asked").map(|(_, n)| n).sum();
    if common.json {
        let changed: Vec<_> = changed.iter().map(|((from, to), n)| json!({ "from": from, "to": to, "n": n })).collect();
        println!(
            "{}",
            json!({ "run_dir": folder, "n_judged": after.len(), "n_new": n_new, "changed": changed, "n_not_asked": n_missing })
        );
        return Ok(());
    }
    println!("made      {} verdicts, {n_new} of them new", after.len());
    if changed.is_empty() {
        println!("changed   nothing");
    }
    for ((from, to), n) in &changed {
        println!("changed   {n} from {from} to {to}");
    }
    if n_missing > 0 {
        println!("left out  {n_missing} not_asked: the ledger does not have all their answers; `gradus run` asks");
    }
    println!("next      gradus export --run-dir {}", folder.display());
    Ok(())
}

fn outcomes(tables: &Path) -> Result<Outcomes, CommandError> {
    let mut outcomes = Outcomes::new();
    each::<VerdictRow>(tables, |row| {
        outcomes.insert((row.attempt_id, row.role), row.verdict);
    })?;
    Ok(outcomes)
}
