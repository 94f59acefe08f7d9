//! The commands that run stages: all of them, or up to one.

use std::io::Write;
use std::path::Path;

use gradus::config::{ModelConfig, SamplingConfig};
use gradus::export::{ExportFacts, Exported, Prompt};
use gradus::level::Level;
use gradus::metrics::{LedgerFacts, Metrics, ModelFact, PromptFact, RunFacts};
use gradus::prompt::Asker;
use gradus::report;
use gradus::run::{Ran, Until};
use gradus::usage;
use gradus_model::name::ModelName;
use serde_json::json;

use crate::error::{CommandError, Kind};
use crate::progress::Progress;
use crate::session::{self, CommonArgs, Configured, RunArgs, Session};

/// Reasons that mean an item was lost to an error, not to its own merit.
const LOST: [&str; 6] = ["endpoint_error", "rate_limited", "bad_request", "unreadable", "not_asked", "refused"];

/// Runs the stages up to one and says what came of it.
pub(crate) fn run(args: &RunArgs, until: Until) -> Result<(), CommandError> {
    let configured = session::configure(&args.config, &args.common)?;
    let folder = args.common.run_dir.clone().unwrap_or_else(|| "gradus-run".into());
    stages(configured, &folder, &args.common, until).map(drop)
}

/// Runs the stages of a config in a folder, and writes what follows from their tables.
pub(crate) fn stages(
    configured: Configured,
    folder: &Path,
    args: &CommonArgs,
    until: Until,
) -> Result<Ran, CommandError> {
    let session = Session::open(configured, folder, args, until)?;
    let progress = Progress::new(args.quiet || args.json);
    let ran = session.run(until, &progress)?;
    let facts = facts(&session)?;
    let config = &session.configured.config;
    let metrics = Metrics::of(folder, config, facts, ledger_facts(&session, &ran)?).map_err(CommandError::failure)?;
    session::write(&folder.join("metrics.json"), metrics.to_json().as_bytes())?;
    let exported = (until >= Until::Select).then(|| export(&session, &metrics)).transpose()?;
    let report = report::write(folder, &title(folder), config, &metrics).map_err(CommandError::failure)?;
    close(&session, &ran, until, args, exported.as_ref(), &report);
    if let Some(fault) = metrics.balance.fault() {
        return Err(CommandError::failure(fault));
    }
    let n_lost: u64 =
        ran.dropped.iter().filter(|((_, reason), _)| LOST.contains(&reason.as_str())).map(|(_, n)| n).sum();
    if n_lost > 0 {
        let message = format!("{n_lost} items were lost to errors; see tables/dropped.parquet");
        return Err(CommandError::new(Kind::ItemsLost, message).hint("the same command asks for them again"));
    }
    Ok(ran)
}

fn title(folder: &Path) -> String {
    folder.file_name().map_or_else(|| "gradus run".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Tool, configuration, prompts and models of a run.
fn facts(session: &Session) -> Result<RunFacts, CommandError> {
    let config = &session.configured.config;
    let plan = &session.plan;
    let fact = |role: String, asker: &Asker, sampling: &SamplingConfig, model: Option<&ModelConfig>| {
        let name = model.and_then(|model| model.model.parse().ok());
        let recorded = matches!(name, Some(ModelName::Replay { .. }));
        ModelFact {
            role,
            model: asker.model.name.clone(),
            revision: Some(asker.model.revision.clone()).filter(|revision| !revision.is_empty()),
            recorded,
            sampling: (!recorded).then(|| sampling.clone()),
            price: model.and_then(|model| model.price.clone()),
        }
    };
    let student = fact("student".into(), &plan.probe.asker, &config.probe.sampling, config.student.as_ref());
    let teachers = plan
        .distil
        .askers
        .iter()
        .zip(&config.teacher)
        .map(|(asker, model)| fact("teacher".into(), asker, &config.distil.sampling, Some(model)));
    let yaml = std::fs::read(session.folder.join("gradus.yaml"))
        .map_err(|error| CommandError::failure(format!("{}/gradus.yaml: {error}", session.folder.display())))?;
    Ok(RunFacts {
        tool: format!("gradus {}", env!("CARGO_PKG_VERSION")),
        config_hash: blake3::hash(&yaml).to_hex()[..16].to_owned(),
        seed: config.seed,
        prompts: plan
            .probe
            .asker
            .prompts
            .templates()
            .map(|(name, text)| PromptFact {
                name: name.to_owned(),
                hash: blake3::hash(text.as_bytes()).to_hex()[..16].to_owned(),
                text: text.to_owned(),
            })
            .to_vec(),
        models: std::iter::once(student).chain(teachers).collect(),
    })
}

fn ledger_facts(session: &Session, ran: &Ran) -> Result<LedgerFacts, CommandError> {
    let reader = session.ledger.reader()?;
    usage::ledger_facts(&reader, &session.tables(), &session.plan, &ran.failures).map_err(CommandError::failure)
}

fn export(session: &Session, metrics: &Metrics) -> Result<Exported, CommandError> {
    let asker = &session.plan.probe.asker;
    let hash = asker.prompts.hash();
    let prompt = |row: &gradus::tables::QuestionRow| Prompt {
        messages: gradus::run::question(row.clone()).map(|question| asker.messages(&question)).unwrap_or_default(),
        hash: hash.clone(),
    };
    let facts = ExportFacts {
        name: &title(&session.folder),
        student: &asker.model.name,
        languages: &[],
        run: &metrics.run,
        funnel: &metrics.funnel,
        prompt: &prompt,
    };
    gradus::export::write(&session.folder, &session.configured.config.export, &facts)
        .map_err(|error| CommandError::failure(format!("export: {error}")))
}

/// The closing lines: what was made, what was left out and why, what to type next.
fn close(session: &Session, ran: &Ran, until: Until, args: &CommonArgs, exported: Option<&Exported>, report: &Path) {
    // A reader that is gone (`| head`) is no failure: the files stand.
    macro_rules! say {
        ($($part:tt)*) => {
            drop(writeln!(std::io::stdout(), $($part)*))
        };
    }
    let folder = session.folder.display();
    let mut dropped: Vec<_> =
        ran.dropped.iter().map(|((stage, reason), n)| (stage.as_str(), reason.as_str(), *n)).collect();
    dropped.sort_unstable();
    if args.json {
        let levels: serde_json::Map<_, _> =
            Level::ALL.iter().map(|level| (level.to_string(), json!(ran.levels[level.index()]))).collect();
        let dropped: Vec<_> =
            dropped.iter().map(|(stage, reason, n)| json!({"stage": stage, "reason": reason, "n": n})).collect();
        say!(
            "{}",
            json!({
                "run_dir": session.folder,
                "n_questions": ran.n_questions,
                "levels": levels,
                "n_sampled": ran.sampled.as_ref().map(|sampled| sampled.drawn.len()),
                "n_sound_cots": ran.n_sound,
                "n_selected": ran.n_selected,
                "dropped": dropped,
                "exported": exported.map(|exported| json!({"rows": exported.rows, "files": exported.files})),
                "report": report,
            })
        );
        return;
    }
    let levels: Vec<String> =
        Level::ALL.iter().map(|level| format!("{level}: {}", ran.levels[level.index()])).collect();
    let mut made = format!("made      {} questions", ran.n_questions);
    if until >= Until::Grade {
        made.push_str(&format!(", graded {} ({})", ran.levels.iter().sum::<u64>(), levels.join(", ")));
    }
    if let Some(sampled) = &ran.sampled {
        made.push_str(&format!(", {} drawn", sampled.drawn.len()));
    }
    if until >= Until::Distil {
        made.push_str(&format!(", {} right chains of thought", ran.n_sound));
    }
    if until >= Until::Select {
        made.push_str(&format!(", {} kept", ran.n_selected));
    }
    say!("{made}");
    let left: Vec<String> = dropped.iter().map(|(stage, reason, n)| format!("{n} {reason} ({stage})")).collect();
    say!("left out  {}", if left.is_empty() { "nothing".to_owned() } else { left.join(", ") });
    if let Some(exported) = exported {
        say!("wrote     {folder}/export: {} rows per format; {}", exported.rows, report.display());
    } else {
        say!("wrote     {folder}/tables; {}", report.display());
    }
    if let Some(sampled) = &ran.sampled {
        let n_stand_in = sampled.drawn.iter().filter(|drawn| drawn.level != drawn.drawn_for).count();
        if n_stand_in > 0 {
            say!(
                "note      {n_stand_in} of {} drawn questions stand in for a level that has too few",
                sampled.drawn.len()
            );
        }
    }
    exported.iter().flat_map(|exported| &exported.notes).for_each(|note| say!("note      {note}"));
    let next = exported.map(|exported| exported.next.as_slice()).unwrap_or_default();
    match next {
        [] => say!("next      open {}", report.display()),
        commands => commands.iter().for_each(|command| say!("next      {command}")),
    }
}
