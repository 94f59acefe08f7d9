//! gradus judge: verdicts once more, of what the ledger holds, by the rules of today.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use gradus::run::{Ran, Until};
use gradus::tables::{SelectionRow, VerdictRow, each};
use serde_json::{Value, json};

use crate::commands::run;
use crate::error::CommandError;
use crate::progress::Progress;
use crate::session::{self, Asks, Bank, CommonArgs, Configured, RunArgs, Session};

/// Judge again what was answered, by the rules of today; asks no model
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Leave the run as it is: list verdicts that would change, and chains of thought that would enter or leave the export
    #[arg(long)]
    diff: bool,
}

/// Judges again without asking any model, and says which verdicts changed. Levels and what follows from them are
/// derived anew as far as the config goes; programs are run if the ledger has no outcome of this sandbox for them.
pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let common = &args.run.common;
    let configured = session::configure(&args.run.config, common)?;
    let folder = common.folder();
    if !folder.join("ledger.sqlite").exists() {
        return Err(CommandError::usage(format!("{} has no ledger: nothing was asked yet", folder.display()))
            .hint("`gradus probe` asks the student"));
    }
    if args.diff { diff(configured, &folder, common) } else { judge(configured, &folder, common) }
}

fn until(configured: &Configured) -> Until {
    if configured.config.teacher.is_empty() { Until::Grade } else { Until::Select }
}

fn judge(configured: Configured, folder: &Path, common: &CommonArgs) -> Result<(), CommandError> {
    let until = until(&configured);
    let tables = folder.join("tables");
    let before = verdicts(&tables)?;
    let session = Session::open(configured, folder, common, until, Asks::Nobody, Bank::Any)?;
    let ran = run::judged(&session, until, common)?;
    let after = verdicts(&tables)?;

    let mut changed: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut n_new: u64 = 0;
    for (attempt, row) in &after {
        match before.get(attempt) {
            None => n_new += 1,
            Some(old) if old.verdict != row.verdict => {
                *changed.entry((&old.verdict, &row.verdict)).or_default() += 1;
            }
            Some(_) => {}
        }
    }
    let n_missing = n_missing(&ran);
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
    say_missing(n_missing);
    println!("next      gradus export --run-dir {}", folder.display());
    Ok(())
}

/// What judging again would change. Tables, export and report stay as they are.
fn diff(configured: Configured, folder: &Path, common: &CommonArgs) -> Result<(), CommandError> {
    let until = until(&configured);
    let tables = folder.join("tables");
    let (before, kept_before) = (verdicts(&tables)?, kept(&tables)?);
    let session = Session::open(configured, folder, common, until, Asks::Nobody, Bank::Any)?;
    let today = PathBuf::from(format!("{}.diff", tables.display()));
    let ran = session.run_into(today.clone(), until, &Progress::new(common.quiet || common.json));
    let found = verdicts(&today).and_then(|after| Ok((after, kept(&today)?)));
    // Whatever came of it, it is not needed any more.
    let removed = std::fs::remove_dir_all(&today);
    let (mut ran, (after, kept_after)) = (ran?, found?);
    if let Some(refused) = ran.refused.take() {
        return Err(refused.into());
    }
    removed.map_err(|error| CommandError::io(&today, &error))?;

    let mut changed: Vec<(&VerdictRow, &VerdictRow)> = after
        .iter()
        .filter_map(|(attempt, new)| before.get(attempt).map(|old| (old, new)))
        .filter(|(old, new)| old.verdict != new.verdict)
        .collect();
    changed.sort_by_key(|(_, new)| (&new.question_id, &new.role, &new.attempt_id));
    let rows = |one: &HashSet<(String, String)>, other: &HashSet<(String, String)>| {
        let mut rows: Vec<_> = one.difference(other).cloned().collect();
        rows.sort_unstable();
        rows
    };
    let (entering, leaving) = (rows(&kept_after, &kept_before), rows(&kept_before, &kept_after));
    let n_missing = n_missing(&ran);
    if common.json {
        let changed: Vec<Value> = changed
            .iter()
            .map(|(old, new)| {
                json!({
                    "question_id": new.question_id, "attempt_id": new.attempt_id, "role": new.role, "model": new.model,
                    "from": old.verdict, "to": new.verdict, "method": new.method, "extracted": new.extracted,
                    "explanation": new.explanation,
                })
            })
            .collect();
        let cots = |rows: &[(String, String)]| -> Vec<Value> {
            rows.iter().map(|(question, cot)| json!({ "question_id": question, "cot_id": cot })).collect()
        };
        println!(
            "{}",
            json!({
                "run_dir": folder, "changed": changed, "entering": cots(&entering), "leaving": cots(&leaving),
                "n_not_asked": n_missing,
            })
        );
        return Ok(());
    }
    for (old, new) in &changed {
        println!(
            "changed   question {} attempt {} ({}): {} -> {} ({})",
            new.question_id, new.attempt_id, new.role, old.verdict, new.verdict, new.method
        );
    }
    for (what, rows) in [("enters", &entering), ("leaves", &leaving)] {
        for (question, cot) in rows {
            println!("{what}    question {question} chain of thought {cot}");
        }
    }
    println!(
        "would change {} of {} verdicts; {} rows enter the export, {} leave it",
        changed.len(),
        after.len(),
        entering.len(),
        leaving.len()
    );
    say_missing(n_missing);
    println!("next      gradus judge --run-dir {}", folder.display());
    Ok(())
}

/// Items that the ledger has not all answers for.
fn n_missing(ran: &Ran) -> u64 {
    ran.dropped.iter().filter(|((_, reason), _)| reason == "not_asked").map(|(_, n)| n).sum()
}

fn say_missing(n_missing: u64) {
    if n_missing > 0 {
        println!("left out  {n_missing} not_asked: the ledger does not have all their answers; `gradus run` asks");
    }
}

/// Verdicts by attempt and role.
fn verdicts(tables: &Path) -> Result<HashMap<(String, String), VerdictRow>, CommandError> {
    let mut verdicts = HashMap::new();
    each::<VerdictRow>(tables, |row| {
        verdicts.insert((row.attempt_id.clone(), row.role.clone()), row);
    })?;
    Ok(verdicts)
}

/// Chains of thought that are kept, with their questions before them.
fn kept(tables: &Path) -> Result<HashSet<(String, String)>, CommandError> {
    let mut kept = HashSet::new();
    each::<SelectionRow>(tables, |row| {
        if row.selected {
            kept.insert((row.question_id, row.cot_id));
        }
    })?;
    Ok(kept)
}
