//! A run directory and everything a run needs: config, lock, ledger, models, sandbox, the way to stop.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus::attempt::Source;
use gradus::config::{Config, CutOff};
use gradus::driver::{Driver, Ended, Stop};
use gradus::estimate::is_answered;
use gradus::ingest::{Elsewhere, Finding, Found, Ingest};
use gradus::ledger::{Ledger, Reader};
use gradus::metrics::Metrics;
use gradus::question::{Kind as QuestionKind, Question};
use gradus::run::{Phase, Plan, Ran, Run, Until};
use gradus::tables::{DroppedRow, HygieneRow, QuestionRow, TableError, TableWriter};
use gradus::work::Work;
use gradus_model::{Info, Model};
use gradus_sandbox::{Policy, Sandbox};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::cast::{self, Cast};
use crate::error::{CommandError, Kind};
use crate::models::{self, Env};
use crate::prices;
use crate::progress::Progress;
use crate::world::{LiveWorld, Returned, Role};

/// What every command that runs stages is told.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Config file
    #[arg(short, long, default_value = "gradus.yaml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// What the commands that ask models are told beside.
#[derive(Debug, clap::Args)]
pub(crate) struct AskArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Print what would be asked, how many tokens, at what price; ask nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Show each question with prompt, reply, what was extracted and the verdict; the first ten questions of a run
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// What `quickstart` shares with them.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CommonArgs {
    /// Directory of the run: ledger, tables, exports, report
    #[arg(short = 'd', long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Override a setting, for example `--set probe.attempts=4`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Use only the first N questions of the bank
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Print the summary as one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing but the end
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Go on although a model's server now serves other weights under the same name
    #[arg(long)]
    pub(crate) accept_model_change: bool,
    /// Run model-written code although this system cannot isolate it
    #[arg(long)]
    pub(crate) unsafe_no_sandbox: bool,
}

impl CommonArgs {
    /// Directory of the run, as given or the default.
    pub(crate) fn folder(&self) -> PathBuf {
        self.run_dir.clone().unwrap_or_else(|| "gradus-run".into())
    }
}

/// A config with the folder its relative paths start at.
pub(crate) struct Configured {
    /// The settings.
    pub(crate) config: Config,
    /// Folder of the config file.
    pub(crate) base: PathBuf,
}

/// Reads a config file and applies the overrides of the command line.
pub(crate) fn configure(path: &Path, args: &CommonArgs) -> Result<Configured, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let error = CommandError::usage(format!("config {}: {error}", path.display()))
            .hint("`gradus init` writes one; `--config FILE` names another");
        let copy = args.folder().join("gradus.yaml");
        if copy.exists() {
            let what = "holds the settings of that run; its relative paths start where the original config lay";
            error.hint(format!("{} {what}", copy.display()))
        } else {
            error
        }
    })?;
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut config = configure_text(&text, args).map_err(|mut error| {
        error.message = format!("config {}: {}", path.display(), error.message);
        error
    })?;
    for run in [&mut config.sample.shares_from, &mut config.sample.levels_from].into_iter().flatten() {
        *run = base.join(&*run);
    }
    if let Some(files) = &mut config.export.lint.student_files {
        crate::student::make_absolute(files, &base);
    }
    prices::fill(&mut config, &base)?;
    Ok(Configured { config, base })
}

/// The same for a config that is no file.
pub(crate) fn configure_text(text: &str, args: &CommonArgs) -> Result<Config, CommandError> {
    let mut config = Config::read(text, &args.set)?;
    if args.limit.is_some() {
        config.limit = args.limit;
    }
    Ok(config)
}

/// An open run directory.
pub(crate) struct Session {
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// Settings and where their relative paths start.
    pub(crate) configured: Configured,
    /// The bank.
    pub(crate) ingest: Ingest,
    /// Resolved stages.
    pub(crate) plan: Plan,
    /// The ledger.
    pub(crate) ledger: Arc<Ledger>,
    offline: bool,
    runtime: Runtime,
    world: Arc<LiveWorld>,
    _lock: File,
}

/// A run directory after a run: what its tables were made with.
pub(crate) struct Past {
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// Settings of the run, with overrides.
    pub(crate) config: Config,
    /// Figures of the run.
    pub(crate) metrics: Metrics,
    _lock: File,
}

impl Past {
    /// Reads what a run left behind, and keeps other runs out of the directory.
    pub(crate) fn open(folder: &Path, set: &[String]) -> Result<Self, CommandError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| {
                let what = match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        format!("{} is no finished run: it has no {name}", folder.display())
                    }
                    _ => format!("{}: {error}", path.display()),
                };
                CommandError::usage(what).hint("name the directory of a finished run with `--run-dir`")
            })
        };
        let config = Config::read(&read("gradus.yaml")?, set)?;
        let metrics = serde_json::from_str(&read("metrics.json")?).map_err(|error| {
            CommandError::failure(format!("{}/metrics.json: {error}", folder.display()))
                .hint("`gradus run` writes it anew without asking anything again")
        })?;
        let lock = lock(folder)?;
        Ok(Self { folder: folder.to_owned(), config, metrics, _lock: lock })
    }
}

/// Whether models are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Not even for what their servers say of them.
    Nobody,
    /// Yes; but where an earlier run left nothing to be asked, no server has to be there.
    WhereMissing,
    /// Yes.
    Anybody,
}

/// Which bank a command may bring to a run directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bank {
    /// Any: what is new is asked about.
    Any,
    /// That of the run that is there, if one is.
    OfRun,
}

/// Reads the bank and says what is odd about it.
pub(crate) fn read_bank(configured: &Configured, args: &CommonArgs) -> Result<Ingest, CommandError> {
    let fetched = crate::hub::banks(&configured.config)?;
    let elsewhere = Elsewhere { builtin: Some(crate::bank::QUICKSTART), fetched: Some(&fetched) };
    let ingest = Ingest::open_with(&configured.config, &configured.base, elsewhere)?;
    if !args.quiet {
        for warning in ingest.warnings() {
            eprintln!("warning: {warning}");
        }
    }
    Ok(ingest)
}

/// Threads for the driver.
pub(crate) fn runtime() -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::failure(format!("cannot start threads: {error}")))
}

impl Session {
    /// Opens everything a run up to `until` needs. Nothing is asked of a model but what its server says of it.
    pub(crate) fn open(
        configured: Configured,
        folder: &Path,
        args: &CommonArgs,
        until: Until,
        asks: Asks,
        bank: Bank,
    ) -> Result<Self, CommandError> {
        let ingest = read_bank(&configured, args)?;
        if bank == Bank::OfRun {
            check_bank(&ingest, folder)?;
        }
        cast::players(&configured.config, until)?;
        std::fs::create_dir_all(folder).map_err(|error| CommandError::io(folder, &error))?;
        let lock = lock(folder)?;
        let ledger_path = folder.join("ledger.sqlite");
        let ledger = Arc::new(Ledger::open(&ledger_path)?);
        let sandbox = sandbox(&ingest, &configured.config, args)?;
        let runtime = runtime()?;
        let env = Env::read(configured.base.clone());
        let connected = RefCell::new(Vec::new());
        let Cast { plan, mut roles } = cast::cast(&configured, until, |role, model| {
            let (asked, notes) = runtime.block_on(models::connect(role, model, &env))?;
            connected.borrow_mut().push((role.to_owned(), model.clone(), asked.clone(), notes));
            Ok(cast::named(asked, model))
        })?;
        let offline = asks == Asks::Nobody;
        if !offline {
            for (role, model, asked, notes) in connected.into_inner() {
                let info = match runtime.block_on(models::inquire(&role, &model, &*asked)) {
                    Ok(info) => info,
                    // Where all is answered, no server has to be there.
                    Err(error) if asks == Asks::WhereMissing && error.kind == Kind::Failure => {
                        if !answered(&configured, &plan, until, &ingest, &ledger, &roles)? {
                            return Err(error);
                        }
                        eprintln!("note: {}; nothing is left to be asked of it", error.message);
                        for known in roles.values_mut().filter(|known| Arc::ptr_eq(&known.model, &asked)) {
                            known.absent = Some(error.message.clone());
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let returned = meet(&role, &*asked, &info, &notes, &configured.config, &ledger_path, args)?;
                for known in roles.values_mut().filter(|known| Arc::ptr_eq(&known.model, &asked)) {
                    known.context = info.context;
                    known.returned.clone_from(&returned);
                }
            }
        }
        let world = Arc::new(LiveWorld { roles, sandbox });
        Ok(Self { folder: folder.to_owned(), configured, ingest, plan, ledger, offline, runtime, world, _lock: lock })
    }

    /// Folder of the tables.
    pub(crate) fn tables(&self) -> PathBuf {
        self.folder.join("tables")
    }

    /// Where programs run, if the bank has code questions.
    pub(crate) fn sandbox(&self) -> Option<&Sandbox> {
        self.world.sandbox.as_deref()
    }

    /// Runs the stages. Ctrl-C once waits for what is in flight, twice leaves at once.
    pub(crate) fn run(&self, until: Until, progress: &Progress) -> Result<Ran, CommandError> {
        self.run_into(self.tables(), until, progress)
    }

    /// The same with tables in another folder.
    pub(crate) fn run_into(&self, tables: PathBuf, until: Until, progress: &Progress) -> Result<Ran, CommandError> {
        let ran = self.asking(|driver, runtime| {
            let run = Run {
                tables: tables.clone(),
                last: self.tables(),
                config: &self.configured.config,
                plan: &self.plan,
                driver,
                runtime,
                observer: &|phase, event| progress.event(phase, event),
            };
            run.run(self.ingest.questions(), dropped_rows(&self.ingest), until)
        });
        progress.finish();
        let ran = ran?;
        match &ran.ended {
            // With a budget that is used up there are tables all the same: what it came to is told first.
            None | Some((_, Ended::Budget(_))) => {
                write_findings(&self.ingest, &tables)?;
                Ok(ran)
            }
            Some((phase, ended)) => Err(ended_early(*phase, ended)),
        }
    }

    /// Lets something ask the world of this session, and listens to Ctrl-C meanwhile.
    pub(crate) fn asking<T>(&self, work: impl FnOnce(Driver<LiveWorld>, &Runtime) -> T) -> T {
        let (stop, stopping) = watch::channel(Stop::No);
        let listener = self.runtime.spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                let now = if *stop.borrow() == Stop::No { Stop::Drain } else { Stop::Now };
                eprintln!(
                    "\n{}",
                    match now {
                        Stop::Drain => "stopping: waiting for what is in flight; Ctrl-C again leaves at once",
                        _ => "leaving",
                    }
                );
                if stop.send(now).is_err() {
                    break;
                }
            }
        });
        let driver = Driver {
            world: self.world.clone(),
            ledger: self.ledger.clone(),
            config: self.configured.config.driver.clone(),
            budget: self.configured.config.budget,
            offline: self.offline,
            stop: stopping,
        };
        let done = work(driver, &self.runtime);
        listener.abort();
        done
    }

    /// Keeps the settings of the run beside what comes of them.
    pub(crate) fn freeze(&self, path: &Path) -> Result<(), CommandError> {
        write(path, self.configured.config.to_yaml().as_bytes())
    }
}

/// What a user is told when the asking ended before all was asked.
pub(crate) fn ended_early(phase: Phase, ended: &Ended) -> CommandError {
    match ended {
        Ended::Stopped => CommandError::new(
            Kind::Interrupted,
            format!("stopped while asking ({}); everything that was answered is in the ledger", phase.name()),
        )
        .hint("the same command goes on where this one stopped"),
        Ended::Budget(_) => CommandError::new(Kind::Quota, format!("the budget is used up ({})", phase.name()))
            .hint("raise `budget`, and the same command goes on: what was answered is in the ledger"),
        Ended::Fault(fault) => {
            let kind = match fault.kind {
                gradus_model::FaultKind::Quota => Kind::Quota,
                gradus_model::FaultKind::Auth | gradus_model::FaultKind::ModelNotFound => Kind::Usage,
                _ => Kind::Failure,
            };
            CommandError::new(kind, format!("{}: {}", phase.name(), fault.message)).hint(
                "mend that, and the same command goes on where this one stopped: what was answered is in the ledger",
            )
        }
    }
}

/// Refuses a bank with other questions than the tables of a run have. Where there are none, or none that can be read, the
/// run makes them.
fn check_bank(ingest: &Ingest, folder: &Path) -> Result<(), CommandError> {
    let mut there = HashSet::new();
    let found = gradus::tables::each::<QuestionRow>(&folder.join("tables"), |row| there.extend([row.question_id]));
    if !found.is_ok_and(|found| found) {
        return Ok(());
    }
    let mut n_new = 0;
    for question in ingest.questions() {
        n_new += usize::from(!there.remove(&question?.id.to_string()));
    }
    if n_new == 0 && there.is_empty() {
        return Ok(());
    }
    let (folder, n_gone) = (folder.display(), there.len());
    let message =
        format!("this is not the bank of the run in {folder}: {n_new} questions are new, and {n_gone} are gone");
    Err(CommandError::usage(message)
        .hint("name the config of that run with `--config`, and its `--limit`")
        .hint("`gradus run` asks about new questions"))
}

fn answered(
    configured: &Configured,
    plan: &Plan,
    until: Until,
    ingest: &Ingest,
    ledger: &Ledger,
    roles: &HashMap<Source, Role>,
) -> Result<bool, CommandError> {
    let not_recorded = |question: &Question, work: &Work| {
        let recording = roles[&work.slot.asked()].model.recording();
        recording.is_some_and(|recording| !recording.holds(&question.source_ids, work.slot.attempt))
    };
    is_answered(&configured.config, plan, until, || ingest.questions(), &ledger.reader()?, not_recorded)
        .map_err(|error| CommandError::failure(error.to_string()))
}

/// Says what a user should know of a model that is to be asked, and looks whether it is still the one that was asked
/// before. Gives back under which name its answers came.
fn meet(
    role: &str,
    asked: &dyn Model,
    info: &Info,
    notes: &[String],
    config: &Config,
    ledger: &Path,
    args: &CommonArgs,
) -> Result<Option<Arc<Returned>>, CommandError> {
    if !args.quiet {
        for note in notes {
            eprintln!("note: {role}: {note}");
        }
        let goes_on = role.starts_with("teacher") && config.distil.on_truncated == CutOff::Continue;
        if goes_on && !matches!(info.server.as_str(), "vllm" | "sglang" | "gradus-mock") {
            eprintln!(
                "note: {role}: this server is not known to go on with a message (`continue_final_message`); one that \
                 skips the field begins anew, and the text is then joined from two beginnings"
            );
        }
    }
    let identity = asked.identity();
    Ledger::check_model(ledger, identity, info, gradus::driver::World::now_ms(&clock()), args.accept_model_change)?;
    let returned = match (args.accept_model_change, Reader::open(ledger)?.latest(identity)?) {
        (true, _) => None,
        (false, None) => Some(None),
        (false, Some(stored)) => Some(gradus::derive::returned_name(&stored)),
    };
    Ok(returned.map(|recorded| Arc::new(Returned::new(recorded))))
}

/// A world that only tells the time.
fn clock() -> LiveWorld {
    LiveWorld { roles: HashMap::new(), sandbox: None }
}

/// Takes the run directory for this process.
fn lock(folder: &Path) -> Result<File, CommandError> {
    let path = folder.join("lock");
    let failed = |error: std::io::Error| CommandError::io(&path, &error);
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            return Err(CommandError::failure(format!(
                "run directory {} is in use by {}",
                folder.display(),
                holder.trim()
            ))
            .hint("wait for it, or use another `--run-dir`"));
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "process {}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// A sandbox, if a question needs one.
fn sandbox(ingest: &Ingest, config: &Config, args: &CommonArgs) -> Result<Option<Arc<Sandbox>>, CommandError> {
    let mut needed = false;
    for question in ingest.questions() {
        if question?.kind == QuestionKind::Code {
            needed = true;
            break;
        }
    }
    if !needed {
        return Ok(None);
    }
    let languages = config.code.table().expect("a config is checked when it is read");
    let policy = Policy { unsafe_no_sandbox: args.unsafe_no_sandbox, languages, ..Policy::default() };
    let sandbox = Sandbox::new(policy).map_err(|error| {
        let message = format!("the bank has code questions, and programs cannot be isolated here: {}", error.missing);
        CommandError::failure(message).hint(error.hint)
    })?;
    Ok(Some(Arc::new(sandbox)))
}

fn dropped_rows(ingest: &Ingest) -> Vec<DroppedRow> {
    let row = |dropped: &gradus::ingest::Dropped| DroppedRow {
        item: format!("{}:{}", dropped.file, dropped.line),
        item_kind: "row".into(),
        stage: "ingest".into(),
        reason: dropped.reason.code.into(),
        detail: dropped.sentence(),
    };
    ingest.dropped().iter().map(row).collect()
}

/// Writes what hygiene found, if it was looked for.
fn write_findings(ingest: &Ingest, tables: &Path) -> Result<(), TableError> {
    if ingest.summary().hygiene.is_none() {
        return Ok(());
    }
    let mut table = TableWriter::create(tables)?;
    ingest.findings().iter().try_for_each(|finding| table.push(finding_row(finding)))?;
    table.finish().map(drop)
}

/// A finding as a row.
pub(crate) fn finding_row(finding: &Finding) -> HygieneRow {
    let (bank, rule, score, span) = match &finding.found {
        Found::NearDuplicate(jaccard) | Found::Contradiction(jaccard) => (None, "jaccard", Some(*jaccard), None),
        Found::Family => (None, "template", None, None),
        Found::Contaminated(hit) => {
            (Some(hit.bank.clone()), hit.rule.as_str(), Some(hit.score), Some(hit.span.clone()))
        }
    };
    HygieneRow {
        question_id: finding.question.to_string(),
        source_id: finding.source_id.clone(),
        finding: finding.found.name().to_owned(),
        other: finding.other.to_string(),
        other_source_id: finding.other_source_id.clone(),
        bank,
        rule: rule.to_owned(),
        score,
        span,
        dropped: finding.dropped,
    }
}

/// Writes a file as a whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|error| CommandError::io(path, &error))
}
