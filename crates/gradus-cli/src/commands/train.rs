//! gradus train: hands an exported training script to the user's own Python, and shows how far it is.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use gradus::export::FOLDER;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{CommandError, Kind};
use crate::progress::Steps;
use crate::session;

/// Train the student on what was exported, with TRL in a Python of yours
///
/// Runs the script that `gradus export` wrote beside the data. It runs alone too; `--help` behind `--` shows all that it
/// can be told.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the run
    #[arg(short = 'd', long, default_value = "gradus-run", value_name = "DIR")]
    run_dir: PathBuf,
    /// What is trained on
    #[arg(long, value_enum, default_value = "sft")]
    script: Script,
    /// Python that has TRL
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// Model to begin with: a name on the hub or a folder; the run's student if absent
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Where the trained model is written; `student-sft` and so on in the run directory if absent
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the summary as one JSON object on stdout
    #[arg(long)]
    json: bool,
    /// Say nothing but the end
    #[arg(short, long)]
    quiet: bool,
    /// Further arguments of the script, for example `-- --lora --max-steps 10`
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

/// A script beside exported data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Script {
    /// Chains of thought
    Sft,
    /// Preference pairs
    Dpo,
    /// Chains of thought with a label each
    Kto,
    /// Questions with references; the verifier rewards
    Grpo,
}

impl Script {
    /// Its name, the export's format and the file there.
    fn place(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Sft => ("sft", "trl", "train_sft.py"),
            Self::Dpo => ("dpo", "dpo", "train_dpo.py"),
            Self::Kto => ("kto", "kto", "train_kto.py"),
            Self::Grpo => ("grpo", "trl_grpo", "train_grpo.py"),
        }
    }
}

/// A line that a script writes.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Begin { steps: u64, device: String },
    Step { step: u64, steps: u64, loss: Option<f64>, reward: Option<f64> },
    Warning { message: String },
    Missing { module: String, install: String },
    End { out: PathBuf, seconds: f64 },
}

/// What became of a script.
#[derive(Debug, Default)]
struct Told {
    steps: u64,
    first_loss: Option<f64>,
    last_loss: Option<f64>,
    missing: Option<(String, String)>,
    end: Option<(PathBuf, f64)>,
}

/// How long a script that is asked to stop may take.
const GRACE: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let (name, format, file) = args.script.place();
    let script = args.run_dir.join(FOLDER).join(format).join(file);
    if !script.is_file() {
        return Err(CommandError::usage(format!("{}: there is no such script", script.display())).hint(format!(
            "`gradus export {} --run-dir {}` writes it where there are rows for it",
            if format == "trl_grpo" { "grpo" } else { format },
            args.run_dir.display()
        )));
    }
    let out = args.out.clone().unwrap_or_else(|| args.run_dir.join(format!("student-{name}")));
    let mut command = Command::new(&args.python);
    command.arg(&script).arg("--out").arg(&out).args(args.model.iter().flat_map(|model| ["--model", model.as_str()]));
    // A group of its own: Ctrl-C reaches it through this process alone, and all that it started with it.
    command.args(&args.rest).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(|error| cannot_start(&args.python, &error))?;
    let (status, told) = follow(child, args.quiet)?;
    if let Some((module, install)) = told.missing {
        let python = args.python.display();
        return Err(CommandError::usage(format!("{python} has no module `{module}`"))
            .hint(format!("{python} -m {install}"))
            .hint("`--python` names another Python, for example the one of a virtual environment"));
    }
    let Some((out, seconds)) = told.end.filter(|_| status.success()) else {
        // `--help` behind `--` ends well and trains nothing.
        let nothing = status.success() && told.steps == 0;
        return if nothing {
            Ok(())
        } else {
            Err(CommandError::failure(format!("{} ended with {status}", script.display()))
                .hint("what it said of the reason stands above"))
        };
    };
    if args.json {
        let Told { steps, first_loss, last_loss, .. } = told;
        println!(
            "{}",
            json!({"out": out, "steps": steps, "seconds": seconds, "first_loss": first_loss, "last_loss": last_loss})
        );
        return Ok(());
    }
    let losses = told.first_loss.zip(told.last_loss);
    let losses = losses.map(|(first, last)| format!(", loss {first:.4} to {last:.4}")).unwrap_or_default();
    println!("trained   {}: {} steps in {seconds:.0} s{losses}", out.display(), told.steps);
    println!("next      gradus evaluate --model dir:{} --bank BENCHMARK", out.display());
    println!("next      gradus compare BEFORE AFTER");
    Ok(())
}

fn cannot_start(python: &Path, error: &std::io::Error) -> CommandError {
    let message = format!("cannot start {}: {error}", python.display());
    match error.kind() {
        ErrorKind::NotFound => CommandError::usage(message).hint("`--python` names a Python that has TRL"),
        _ => CommandError::failure(message),
    }
}

/// Reads what the script says until it ends, or is ended because somebody wants to stop.
fn follow(mut child: Child, quiet: bool) -> Result<(ExitStatus, Told), CommandError> {
    let group = Pid::from_child(&child);
    let stdout = child.stdout.take().expect("it is piped");
    let runtime = session::runtime()?;
    let ended = runtime.block_on(async {
        let mut ended = tokio::task::spawn_blocking(move || {
            let told = listen(stdout, &Steps::new(quiet));
            child.wait().map(|status| (status, told))
        });
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            ended = &mut ended => return ended.expect("nothing in it panics").map(Some),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        for (wanted, patience) in [(Signal::INT, GRACE), (Signal::KILL, Duration::MAX)] {
            // It may be gone already.
            let _ = kill_process_group(group, wanted);
            if tokio::time::timeout(patience, &mut ended).await.is_ok() {
                break;
            }
        }
        Ok(None)
    });
    let ended = ended.map_err(|error: std::io::Error| CommandError::failure(format!("the script: {error}")))?;
    ended.ok_or_else(|| CommandError::new(Kind::Interrupted, "stopped; the script was ended with it"))
}

/// Takes note of every line, and passes on what is none of ours.
fn listen(stdout: ChildStdout, steps: &Steps) -> Told {
    let mut told = Told::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let Ok(line) = line else { break };
        match serde_json::from_slice(&line) {
            Ok(Event::Begin { steps: n, device }) => steps.begin(n, &device),
            Ok(Event::Step { step, steps: n, loss, reward }) => {
                told.steps = step;
                told.first_loss = told.first_loss.or(loss);
                told.last_loss = loss.or(told.last_loss);
                steps.step(step, n, loss, reward);
            }
            Ok(Event::Warning { message }) => steps.say(&format!("warning: {message}")),
            Ok(Event::Missing { module, install }) => told.missing = Some((module, install)),
            Ok(Event::End { out, seconds }) => told.end = Some((out, seconds)),
            Err(_) => steps.say(&String::from_utf8_lossy(&line)),
        }
    }
    steps.finish();
    told
}
