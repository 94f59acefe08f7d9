//! The commands that run stages: all of them, or up to one.

use std::collections::BTreeMap;
use std::path::Path;

use gradus::config::{Config, ModelConfig, SamplingConfig};
use gradus::driver::Ended;
use gradus::export::Exported;
use gradus::level::Level;
use gradus::metrics::{LayerFact, LedgerFacts, Metrics, ModelFact, Partial, PromptFact, RunFacts, SandboxFact};
use gradus::report;
use gradus::run::{Ran, Until};
use gradus::score::How;
use gradus::tables::{QuestionRow, SelectionRow, path, replace};
use gradus::usage;
use gradus::work::Reason;
use gradus_model::Identity;
use gradus_model::name::ModelName;
use gradus_sandbox::Sandbox;
use serde_json::json;

use crate::commands::{estimate, export, rescore, why};
use crate::error::{CommandError, Kind};
use crate::progress::Progress;
use crate::session::{self, AskArgs, Asks, Bank, CommonArgs, Configured, Session};

/// Reasons that mean an item was lost to an error, not to its own merit.
const LOST: [&str; 6] = ["endpoint_error", "rate_limited", "bad_request", UNREADABLE, "not_asked", "refused"];

/// Those of them that stand in the ledger, so that nobody is asked again.
const RECORDED: [&str; 2] = [UNREADABLE, "refused"];

/// The reply of a judge came, and says nothing.
const UNREADABLE: &str = "unreadable";

/// Questions shown by `--verbose`.
const SHOWN: usize = 10;

/// Runs the stages up to one and says what came of it, or only what it would ask.
pub(crate) fn run(args: &AskArgs, until: Until) -> Result<(), CommandError> {
    within(args, until, Bank::Any)
}

/// The same for a bank that is perhaps to be the one of the run.
pub(crate) fn within(args: &AskArgs, until: Until, bank: Bank) -> Result<(), CommandError> {
    let common = &args.run.common;
    let configured = session::configure(&args.run.config, common)?;
    let folder = common.folder();
    if args.dry_run {
        return estimate::run(&configured, &folder, common, until);
    }
    let ran = stages(configured, &folder, common, until, bank);
    // What was asked is shown also if some of it was lost.
    if args.verbose && ran.as_ref().map_or_else(|error| error.kind == Kind::ItemsLost, |_| true) {
        stories(&folder)?;
    }
    ran.map(drop)
}

/// Prints the first questions of a run with everything that was said to them.
fn stories(folder: &Path) -> Result<(), CommandError> {
    let tables = folder.join("tables");
    let mut ids = Vec::new();
    let mut n_questions = 0;
    gradus::tables::each::<QuestionRow>(&tables, |row| {
        n_questions += 1;
        if ids.len() < SHOWN {
            ids.push(row.question_id);
        }
    })?;
    let stories = gradus::why::tell(&tables, &ids)?;
    println!("");
    why::show(folder, &stories, true, &mut std::io::stdout().lock())?;
    if n_questions > SHOWN {
        println!("{} more questions: `gradus why ID --run-dir {}` shows one", n_questions - SHOWN, folder.display());
    }
    Ok(())
}

/// Runs the stages of a config in a folder, and writes what follows from their tables.
pub(crate) fn stages(
    configured: Configured,
    folder: &Path,
    args: &CommonArgs,
    until: Until,
    bank: Bank,
) -> Result<Ran, CommandError> {
    let session = Session::open(configured, folder, args, until, Asks::WhereMissing, bank)?;
    let config = &session.configured.config;
    if until >= Until::Select {
        export::check(config, &session.configured.base)?;
    }
    let (mut ran, metrics) = derive(&session, until, args)?;
    let report = report::write(folder, &title(folder), config, &metrics)?;
    let exported = (until >= Until::Select && ran.refused.is_none())
        .then(|| export::write(folder, &session.configured.base, config, &metrics))
        .transpose()?;
    close(&session, &ran, until, args, exported.as_ref(), &report, &metrics);
    if let Some(fault) = metrics.balance.fault() {
        return Err(CommandError::failure(fault));
    }
    if let Some(partial) = &metrics.partial {
        return Err(CommandError::new(Kind::Quota, partial.sentence()).hint(
            "raise `budget` (also with `--set budget.max_tokens=N`), and the same command goes on where this one stopped: \
             nothing recorded is asked or paid again",
        ));
    }
    if let Some(refused) = ran.refused.take() {
        return Err(refused.into());
    }
    let dropped = ran.dropped.iter().map(|((_, reason), n)| (reason.as_str(), *n));
    lost(dropped, "; see tables/dropped.parquet").map_or(Ok(ran), Err)
}

/// What is to be said of items that were lost to errors, of all that left by reason; nothing if none were.
pub(crate) fn lost<'a>(left: impl Iterator<Item = (&'a str, u64)> + Clone, see: &str) -> Option<CommandError> {
    let count =
        |reasons: &[&str]| -> u64 { left.clone().filter(|(reason, _)| reasons.contains(reason)).map(|(_, n)| n).sum() };
    let n_lost = count(&LOST);
    if n_lost == 0 {
        return None;
    }
    let mut error = CommandError::new(Kind::ItemsLost, format!("{n_lost} items were lost to errors{see}"));
    if n_lost > count(&RECORDED) {
        error = error.hint("the same command asks for them again");
    }
    if count(&[UNREADABLE]) > 0 {
        error = error.hint(
            "replies that cannot be read are recorded, and not asked for again: `structured: true` (in `scoring`, \
             `judging` or `annotate`) holds them to a JSON schema, a larger `max_tokens` cuts fewer, and more `tries` \
             ask for others",
        );
    }
    Some(error)
}

/// Runs the stages of an offline session and writes everything that follows.
pub(crate) fn judged(session: &Session, until: Until, args: &CommonArgs) -> Result<Ran, CommandError> {
    let former = std::fs::read(session.folder.join("metrics.json")).ok();
    let (mut ran, mut metrics) = derive(session, until, args)?;
    // What a budget left out is still missing, though this time nobody was to be asked.
    let former = former.and_then(|json| serde_json::from_slice::<Metrics>(&json).ok()?.partial);
    if ran.dropped.keys().any(|(_, reason)| reason == Reason::NOT_ASKED) && former.is_some() {
        metrics.partial = former;
        session::write(&session.folder.join("metrics.json"), metrics.to_json().as_bytes())?;
    }
    let config = &session.configured.config;
    report::write(&session.folder, &title(&session.folder), config, &metrics)?;
    ran.refused.take().map_or(Ok(ran), |refused| Err(refused.into()))
}

/// Runs the stages of a session, and writes tables and figures.
fn derive(session: &Session, until: Until, args: &CommonArgs) -> Result<(Ran, Metrics), CommandError> {
    let progress = Progress::new(args.quiet || args.json);
    let ran = run_beside(session, until, &progress)?;
    let config = &session.configured.config;
    let mut metrics = Metrics::of(&session.folder, config, facts(session)?, ledger_facts(session, &ran)?)?;
    metrics.partial = partial(&ran, config);
    metrics.ability.clone_from(&ran.ability);
    session::write(&session.folder.join("metrics.json"), metrics.to_json().as_bytes())?;
    Ok((ran, metrics))
}

/// Runs the stages. Where a selection is there already, the new tables are made beside the former ones and take their
/// place only if something could be selected: a selection that is refused leaves all as it was.
fn run_beside(session: &Session, until: Until, progress: &Progress) -> Result<Ran, CommandError> {
    let (tables, frozen) = (session.tables(), session.folder.join("gradus.yaml"));
    let beside = session.folder.join("tables.new");
    let failed = |error: std::io::Error| CommandError::io(&beside, &error);
    if beside.exists() {
        std::fs::remove_dir_all(&beside).map_err(failed)?;
    }
    if until < Until::Select || !path::<SelectionRow>(&tables).exists() {
        session.freeze(&frozen)?;
        return session.run(until, progress);
    }
    let ran = session.run_into(beside.clone(), until, progress);
    let refused = match ran {
        Ok(Ran { refused: None, .. }) => {
            session.freeze(&frozen)?;
            replace(&tables, &beside)?;
            return ran;
        }
        Ok(Ran { ended: Some((phase, ended)), .. }) => session::ended_early(phase, &ended),
        Ok(Ran { refused: Some(refused), .. }) => refused.into(),
        Err(error) => error,
    };
    // It may not have come so far.
    drop(std::fs::remove_dir_all(&beside));
    Err(refused)
}

/// The budget that ended a run, if one did.
fn partial(ran: &Ran, config: &Config) -> Option<Partial> {
    let Some((phase, Ended::Budget(spent))) = &ran.ended else { return None };
    Some(Partial {
        stage: phase.name().to_owned(),
        spent_usd: spent.usd,
        spent_tokens: spent.tokens,
        max_usd: config.budget.max_usd,
        max_tokens: config.budget.max_tokens,
    })
}

/// What a run is called: after its directory.
pub(crate) fn title(folder: &Path) -> String {
    folder.file_name().map_or_else(|| "gradus run".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Tool, configuration, prompts and models of a run.
fn facts(session: &Session) -> Result<RunFacts, CommandError> {
    let config = &session.configured.config;
    let plan = &session.plan;
    let fact = |role: &str, identity: &Identity, sampling: Option<&SamplingConfig>, model: Option<&ModelConfig>| {
        let name = model.and_then(|model| model.model.parse().ok());
        let recorded = matches!(name, Some(ModelName::Replay { .. }));
        ModelFact {
            role: role.to_owned(),
            model: identity.name.clone(),
            revision: Some(identity.revision.clone()).filter(|revision| !revision.is_empty()),
            recorded,
            sampling: sampling.filter(|_| !recorded).cloned(),
            price: model.and_then(|model| model.price.clone()),
        }
    };
    let student = fact("student", &plan.probe.asker.model, Some(&config.probe.sampling), config.student.as_ref());
    let scorer = plan.grade.scorer.as_ref().map(|scorer| {
        let sampling = matches!(scorer.how, How::Words(_)).then_some(&config.scoring.sampling);
        let model = if scorer.role == "prm" { config.prm.as_ref() } else { config.judge.as_ref() };
        fact(scorer.role, &scorer.model, sampling, model)
    });
    let teachers = plan
        .distil
        .askers
        .iter()
        .zip(&config.teacher)
        .map(|(asker, model)| fact("teacher", &asker.model, Some(&config.distil.sampling), Some(model)));
    let prompt = |name: &str, text: &str| PromptFact {
        name: name.to_owned(),
        hash: blake3::hash(text.as_bytes()).to_hex()[..16].to_owned(),
        text: text.to_owned(),
    };
    let scoring = plan.grade.scorer.iter().filter_map(|scorer| match &scorer.how {
        How::Words(words) => Some(prompt(scorer.form(), &words.template)),
        How::Wire(_) => None,
    });
    let mut judges: Vec<ModelFact> = Vec::new();
    for (role, speaking, sampling) in plan.judges() {
        let model = if role == "judge" { config.judge.as_ref() } else { config.second_judge.as_ref() };
        let judge = fact(role, &speaking.model, Some(sampling(config)), model);
        if !judges.contains(&judge) && scorer.as_ref() != Some(&judge) {
            judges.push(judge);
        }
    }
    let of_answers = plan.probe.judge.model.iter().map(|judge| prompt("answer", &judge.template));
    let of_cots = plan.annotate.raters.iter().take(1).flat_map(|rater| {
        rater.templates.used(&config.annotate).into_iter().map(|(name, text)| prompt(name, text)).collect::<Vec<_>>()
    });
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
            .into_iter()
            .map(|(name, text)| prompt(name, text))
            .chain(scoring)
            .chain(of_answers)
            .chain(of_cots)
            .collect(),
        models: std::iter::once(student).chain(scorer).chain(judges).chain(teachers).collect(),
        sandbox: session.sandbox().map(sandbox_fact),
    })
}

fn sandbox_fact(sandbox: &Sandbox) -> SandboxFact {
    let layer = |layer: &gradus_sandbox::Layer| LayerFact { name: layer.name.to_owned(), active: layer.active };
    let version = |language: &str| Some((language.to_owned(), sandbox.interpreter(language).ok()?.1.to_owned()));
    SandboxFact {
        runner: gradus_sandbox::VERSION.to_owned(),
        layers: sandbox.layers().iter().map(layer).collect(),
        interpreters: ["python"].into_iter().filter_map(version).collect(),
    }
}

fn ledger_facts(session: &Session, ran: &Ran) -> Result<LedgerFacts, CommandError> {
    let reader = session.ledger.reader()?;
    usage::ledger_facts(&reader, &session.tables(), &session.plan, &ran.failures).map_err(CommandError::failure)
}

/// The closing lines: what was made, what was left out and why, what to type next.
fn close(
    session: &Session,
    ran: &Ran,
    until: Until,
    args: &CommonArgs,
    exported: Option<&Exported>,
    report: &Path,
    metrics: &Metrics,
) {
    let (folder, partial) = (session.folder.display(), metrics.partial.as_ref());
    let mut dropped: Vec<_> =
        ran.dropped.iter().map(|((stage, reason), n)| (stage.as_str(), reason.as_str(), *n)).collect();
    dropped.sort_unstable();
    if args.json {
        let levels: serde_json::Map<_, _> =
            Level::ALL.iter().map(|level| (level.to_string(), json!(ran.levels[level.index()]))).collect();
        let dropped: Vec<_> =
            dropped.iter().map(|(stage, reason, n)| json!({"stage": stage, "reason": reason, "n": n})).collect();
        println!(
            "{}",
            json!({
                "run_dir": session.folder,
                "n_questions": ran.n_questions,
                "since_last_run": ran.since_last.map(|(new, gone)| json!({"new": new, "gone": gone})),
                "levels": levels,
                "n_sampled": ran.sampled.as_ref().map(|sampled| sampled.drawn.len()),
                "n_sound_cots": ran.n_sound,
                "n_selected": ran.n_selected,
                "dropped": dropped,
                "exported": exported.map(|exported| {
                    json!({
                        "rows": exported.rows, "questions": exported.questions, "others": exported.others,
                        "files": exported.files,
                    })
                }),
                "partial": partial,
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
    if until >= Until::Annotate && session.plan.annotate.rates() {
        made.push_str(&format!(", {} rated", ran.n_rated));
    }
    if until >= Until::Select {
        made.push_str(&format!(", {} kept", ran.n_selected));
    }
    println!("{made}");
    let left: Vec<String> = dropped.iter().map(|(stage, reason, n)| format!("{n} {reason} ({stage})")).collect();
    println!("left out  {}", if left.is_empty() { "nothing".to_owned() } else { left.join(", ") });
    if let Some(exported) = exported {
        let told = export::told(exported, &session.configured.config.export);
        println!("wrote     {folder}/export: {told}; {}", report.display());
    } else {
        println!("wrote     {folder}/tables; {}", report.display());
    }
    if let Some((new, gone)) = ran.since_last.filter(|since| *since != (0, 0)) {
        println!(
            "note      against the last run here, {new} questions are new and {gone} are gone; their answers stay in the ledger"
        );
    }
    if let Some(sampled) = &ran.sampled {
        let n_stand_in = sampled.drawn.iter().filter(|drawn| drawn.level != drawn.drawn_for).count();
        if n_stand_in > 0 {
            println!(
                "note      {n_stand_in} of {} drawn questions stand in for a level that has too few",
                sampled.drawn.len()
            );
        }
    }
    if let (Some(partial), None) = (partial, exported) {
        println!("note      {}", partial.sentence());
    }
    for note in repeats(metrics) {
        println!("note      {note}");
    }
    exported.iter().flat_map(|exported| &exported.notes).for_each(|note| println!("note      {note}"));
    let next = exported.map(|exported| exported.next.as_slice()).unwrap_or_default();
    match next {
        [] => println!("next      open {}", report.display()),
        commands => commands.iter().for_each(|command| println!("next      {command}")),
    }
}

/// What each judge's ratings are worth at most: how far it agrees with itself.
fn repeats(metrics: &Metrics) -> Vec<String> {
    let mut notes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for found in metrics.cots.iter().flat_map(|cots| &cots.agreement).filter(|found| found.between == "repeats") {
        notes.entry(&found.one).or_default().push(format!("{} {}", found.what, rescore::figure(&found.kappa)));
    }
    let note = |(judge, kappas): (&str, Vec<String>)| {
        format!("{judge}: agrees with itself by a kappa of {} (1 is always, 0 is chance)", kappas.join(", "))
    };
    notes.into_iter().map(note).collect()
}
