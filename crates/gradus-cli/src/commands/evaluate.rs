//! gradus evaluate: a benchmark is a bank; how well does a model do on it?

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use gradus::driver::Event;
use gradus::evaluate::{self, Evaluation, Score, Settings, Summary};
use gradus::ingest::IngestError;
use gradus::question::Question;
use gradus::run::{Phase, Until};
use gradus_model::name::ModelName;
use serde_json::json;

use crate::commands::{estimate, run};
use crate::error::CommandError;
use crate::progress::Progress;
use crate::session::{self, Asks, Bank, CommonArgs, Configured, Session};
use preset::Preset;

mod preset;

/// Where answers are kept if no directory is named.
const FOLDER: &str = "gradus-evaluate";

/// Evaluate a model on a benchmark: pass@1, maj@k and pass@k with intervals, and tokens per answer
///
/// Settings come from the config, then the preset, then the flags, then `--set`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Model to ask, for example `openai:http://localhost:8000#my-model`; the config's `student` if absent
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// Bank of the benchmark; may be repeated; the config's if absent
    #[arg(short, long, value_name = "FILE")]
    bank: Vec<PathBuf>,
    /// Attempts per question
    #[arg(short, long, value_name = "N")]
    k: Option<u32>,
    /// Settings of a benchmark
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Config file to begin with
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sampling temperature; 0 is greedy
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Nucleus, 0..1
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Most tokens per answer
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// Prompt template for every kind of question; `{question}` marks the place
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Put the options of choice questions into an order keyed by the question; recorded answers keep the bank's
    #[arg(long)]
    shuffle_options: bool,
    /// Directory for verdicts.jsonl, summary.json and table.md; the run directory if absent
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print what would be asked, how many tokens, at what price; ask nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: CommonArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let common = &args.common;
    let configured = configure(args)?;
    let folder = common.run_dir.clone().or_else(|| args.out.clone()).unwrap_or_else(|| FOLDER.into());
    if args.dry_run {
        return estimate::run(&configured, &folder, common, Until::Grade);
    }
    let out = args.out.clone().unwrap_or_else(|| folder.clone());
    let shuffle = args.shuffle_options || args.preset.is_some_and(Preset::shuffles);
    let session = Session::open(configured, &folder, common, Until::Grade, Asks::Anybody, Bank::Any)?;
    std::fs::create_dir_all(&out).map_err(|error| CommandError::io(&out, &error))?;
    session.freeze(&out.join("evaluate.yaml"))?;
    let summary = ask(&session, &out, shuffle, common)?;
    session::write(&out.join("summary.json"), summary.to_json().as_bytes())?;
    session::write(&out.join("table.md"), evaluate::markdown(&summary).as_bytes())?;
    close(&summary, &out, common);
    let left = summary.left.iter().chain(&summary.missing).map(|(reason, n)| (reason.as_str(), *n));
    run::lost(left, "").map_or(Ok(()), Err)
}

/// The config with preset and flags over it. Files on the command line are looked for in the current folder, those of
/// the config in the config's.
fn configure(args: &Args) -> Result<Configured, CommandError> {
    let here = |path: &Path| std::path::absolute(path).map_err(|error| CommandError::io(path, &error));
    let named = |path: &PathBuf| -> Result<PathBuf, CommandError> {
        if args.config.is_some() && path.as_os_str() != "builtin" { here(path) } else { Ok(path.clone()) }
    };
    let mut set = args.preset.map(Preset::settings).unwrap_or_default();
    if !args.bank.is_empty() {
        let banks = args.bank.iter().map(|path| Ok(json!({ "path": named(path)? })));
        set.push(format!("bank={}", json!(banks.collect::<Result<Vec<_>, CommandError>>()?)));
    }
    if let Some(model) = &args.model {
        let model = match model.parse() {
            Ok(ModelName::Replay { file, model }) => format!("replay:{}#{model}", named(&file)?.display()),
            Ok(ModelName::Dir { path }) => format!("dir:{}", named(&path)?.display()),
            Ok(ModelName::Gguf { path }) => format!("gguf:{}", named(&path)?.display()),
            _ => model.clone(),
        };
        set.push(format!("student={}", json!(model)));
    }
    if let Some(prompts) = &args.prompts {
        let prompts = if prompts.to_string_lossy().starts_with("builtin:") { prompts.clone() } else { named(prompts)? };
        set.push(format!("prompts={}", json!({"math": prompts, "choice": prompts, "text": prompts, "code": prompts})));
    }
    let number = |path: &str, value: Option<String>| value.map(|value| format!("{path}={value}"));
    set.extend(
        [
            number("probe.attempts", args.k.map(|k| k.to_string())),
            number("probe.sampling.temperature", args.temperature.map(|value| value.to_string())),
            number("probe.sampling.top_p", args.top_p.map(|value| value.to_string())),
            number("probe.sampling.max_tokens", args.max_tokens.map(|value| value.to_string())),
        ]
        .into_iter()
        .flatten(),
    );
    set.extend(args.common.set.iter().cloned());
    let common = CommonArgs { set, ..args.common.clone() };
    let configured = match &args.config {
        Some(config) => session::configure(config, &common)?,
        None => Configured { config: session::configure_text("", &common)?, base: PathBuf::new() },
    };
    if configured.config.bank.is_empty() {
        return Err(CommandError::usage("no bank is named").hint("`--bank FILE` names the questions of the benchmark"));
    }
    if configured.config.student.is_none() {
        return Err(CommandError::usage("no model is named")
            .hint("`--model openai:URL#MODEL`, `replay:FILE#MODEL`, `gguf:PATH` or `smollm2` names whom to ask"));
    }
    Ok(configured)
}

/// Asks, and writes `verdicts.jsonl`.
fn ask(session: &Session, out: &Path, shuffle: bool, common: &CommonArgs) -> Result<Summary, CommandError> {
    let config = &session.configured.config;
    let probe = &session.plan.probe;
    let model = config.student.as_ref().map(|model| model.model.parse());
    let recorded = matches!(model, Some(Ok(ModelName::Replay { .. })));
    if shuffle && recorded && !common.quiet {
        eprintln!("note: recorded answers belong to the options as they stand in the bank; they are not shuffled");
    }
    let shuffle = shuffle && !recorded;
    let order = |question: Result<Question, IngestError>| {
        question.map(|mut question| {
            let moved = shuffle && evaluate::shuffle(&mut question);
            (question, moved)
        })
    };
    let mut n_shuffled = 0;
    if shuffle {
        for question in session.ingest.questions().map(order) {
            n_shuffled += u64::from(question?.1);
        }
    }
    let settings = Settings {
        tool: format!("gradus {}", env!("CARGO_PKG_VERSION")),
        model: probe.asker.model.name.clone(),
        revision: Some(probe.asker.model.revision.clone()).filter(|revision| !revision.is_empty()),
        bank: config.bank.iter().map(|bank| file_name(&bank.path)).collect(),
        k: probe.attempts,
        sampling: (!recorded).then(|| config.probe.sampling.clone()),
        prompts: probe.asker.prompts.hash(),
        n_shuffled,
    };
    let path = out.join("verdicts.jsonl");
    let partial = out.join("verdicts.partial");
    let failed = |error: std::io::Error| CommandError::io(&path, &error);
    let mut lines = BufWriter::new(File::create(&partial).map_err(failed)?);
    let progress = Progress::new(common.quiet || common.json);
    let evaluated = session.asking(|driver, runtime| {
        let observer = &|event: Event<'_>| progress.event(Phase::Probe, event);
        let evaluation = Evaluation { probe, driver, runtime, observer };
        let questions = || session.ingest.questions().map(|question| order(question).map(|(question, _)| question));
        let n_questions = session.ingest.summary().kept;
        evaluation.run(settings, n_questions, questions, |line| {
            serde_json::to_writer(&mut lines, line)?;
            lines.write_all(b"\n")
        })
    });
    progress.finish();
    let evaluated = evaluated?;
    if let Some(ended) = &evaluated.ended {
        return Err(session::ended_early(Phase::Probe, ended));
    }
    lines.flush().map_err(failed)?;
    drop(lines);
    std::fs::rename(&partial, &path).map_err(failed)?;
    Ok(evaluated.summary)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The closing lines.
fn close(summary: &Summary, out: &Path, common: &CommonArgs) {
    if common.json {
        println!("{}", serde_json::to_string(summary).expect("names, lists and finite numbers"));
        return;
    }
    let k = summary.settings.k;
    let scored = |name: String, score: &Score| match (score.mean, score.ci95) {
        (Some(mean), Some([low, high])) => {
            format!("{name} {:.1} % ({:.1} to {:.1})", 100.0 * mean, 100.0 * low, 100.0 * high)
        }
        _ => format!("{name} -"),
    };
    let mut made = vec![scored("pass@1".into(), &summary.pass_at_1)];
    if k > 1 {
        made.extend(summary.maj_at_k.map(|majority| scored(format!("maj@{k}"), &majority.score)));
        made.push(scored(format!("pass@{k}"), &summary.pass_at_k.score));
    }
    println!(
        "made      {}, over {} questions and {} attempts; intervals are of 95 %",
        made.join(", "),
        summary.n_scored,
        summary.n_attempts
    );
    let lengths = if summary.tokens.all.n > 0 { summary.tokens } else { summary.characters };
    let unit = if summary.tokens.all.n > 0 { "tokens" } else { "characters" };
    if let (Some(mean), Some(median)) = (lengths.all.mean, lengths.all.median) {
        let each = |mean: Option<f64>| mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.0}"));
        println!(
            "lengths   {mean:.0} {unit} per answer (median {median:.0}; right {}, wrong {}); {:.1} % truncated",
            each(lengths.right.mean),
            each(lengths.wrong.mean),
            100.0 * summary.truncated.unwrap_or(0.0)
        );
    }
    let left: Vec<String> = [("not_recorded", summary.not_recorded), ("undecided attempts", summary.undecided)]
        .into_iter()
        .chain(summary.left.iter().map(|(reason, n)| (reason.as_str(), *n)))
        .filter(|(_, n)| *n > 0)
        .map(|(reason, n)| format!("{n} {reason}"))
        .collect();
    println!("left out  {}", if left.is_empty() { "nothing".to_owned() } else { left.join(", ") });
    summary.caveats().iter().for_each(|caveat| println!("note      {caveat}"));
    println!("wrote     {0}/table.md, {0}/summary.json, {0}/verdicts.jsonl", out.display());
    println!("next      gradus compare {} OTHER", out.display());
}
