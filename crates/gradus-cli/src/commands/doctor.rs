//! gradus doctor: what works on this machine, and whether the models of a config can be asked.

mod roles;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use gradus_model::name::ModelName;
use gradus_sandbox::{Policy, Sandbox};
use serde::Serialize;

use super::config;
use crate::error::CommandError;
use crate::models::Env;

/// Check this machine and, with a config, the models it names
///
/// Asks no question and spends nothing, unless `--probe` is given: then each endpoint gets seven tiny requests, of a few
/// words and 48 tokens at most, that show what it can do. An answer 200 is not believed if it leaves out what was asked.
/// The exit code is 1 if there is a problem.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Config whose models are checked
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a setting, for example `--set student=smollm2`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    set: Vec<String>,
    /// Ask each endpoint a few tiny requests, to see what it can do; a provider may charge for them
    #[arg(long, requires = "config")]
    probe: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was looked at, and how it is.
#[derive(Debug, Serialize)]
struct Check {
    section: &'static str,
    name: String,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Something is missing that not every run needs.
    Warning,
    Problem,
}

#[derive(Serialize)]
struct Report<'a> {
    checks: &'a [Check],
}

impl Check {
    fn new(section: &'static str, name: impl Into<String>, state: State, detail: impl Into<String>) -> Self {
        Self { section, name: name.into(), state, detail: detail.into(), hints: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.state {
            State::Ok => "ok  ",
            State::Warning => "warn",
            State::Problem => "FAIL",
        };
        write!(f, "  {mark}  {}: {}", self.name, self.detail)?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n        hint: {hint}"))
    }
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    // First, so that a config that cannot be read is said before anything else.
    let config = args.config.as_ref().map(|file| config::read(file, &args.set)).transpose()?;
    let base = args.config.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
    let env = Env::read(base);
    let mut checks = system(&env.cache);
    checks.extend(sandbox());
    if let Some(config) = config {
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| CommandError::failure(format!("cannot start threads: {error}")))?;
        checks.extend(runtime.block_on(roles::checks(&config, &env, args.probe)));
    }
    match print(&checks, args.json) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(CommandError::failure(format!("cannot write the output: {error}")));
        }
        _ => {}
    }
    match checks.iter().filter(|check| check.state == State::Problem).count() {
        0 => Ok(()),
        1 => Err(CommandError::failure("there is a problem")),
        n_problems => Err(CommandError::failure(format!("there are {n_problems} problems"))),
    }
}

fn print(checks: &[Check], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &Report { checks })?;
        return writeln!(out);
    }
    let mut section = "";
    for check in checks {
        if check.section != section {
            section = check.section;
            writeln!(out, "{section}")?;
        }
        writeln!(out, "{check}")?;
    }
    out.flush()
}

fn system(cache: &Path) -> Vec<Check> {
    let cores = match std::thread::available_parallelism() {
        Ok(cores) => Check::new("system", "cores", State::Ok, cores.to_string()),
        Err(error) => Check::new("system", "cores", State::Warning, error.to_string()),
    };
    let python = program("python3", &["--version"]);
    let pip = program("python3", &["-m", "pip", "--version"]);
    vec![
        cores,
        disk(),
        needed("python3", python, "install Python 3: code questions and the fetch of the default model need it"),
        needed("pip", pip, "install pip: the default model is fetched with it"),
        default_model(cache),
    ]
}

/// What a program says on its first line, or why it says nothing.
fn program(name: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(name).args(arguments).output().map_err(|error| format!("`{name}`: {error}"))?;
    let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
    let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing was said").trim().to_owned();
    if output.status.success() { Ok(line) } else { Err(line) }
}

fn needed(name: &str, found: Result<String, String>, hint: &str) -> Check {
    match found {
        Ok(detail) => Check::new("system", name, State::Ok, detail),
        Err(detail) => Check::new("system", name, State::Warning, detail).hint(hint),
    }
}

fn disk() -> Check {
    match rustix::fs::statvfs(".") {
        Ok(disk) => {
            let free_mb = disk.f_bavail.saturating_mul(disk.f_frsize) / 1_000_000;
            let detail = format!("{:.1} GB free in the current folder", free_mb as f64 / 1000.0);
            if free_mb < 1000 {
                Check::new("system", "disk", State::Warning, detail).hint("a run needs about as much as its answers")
            } else {
                Check::new("system", "disk", State::Ok, detail)
            }
        }
        Err(error) => Check::new("system", "disk", State::Warning, error.to_string()),
    }
}

#[cfg(feature = "embedded")]
fn default_model(cache: &Path) -> Check {
    let detail = match gradus_gguf::fetch::cached_smollm2(cache) {
        Some(file) => format!("cached: {}", file.display()),
        None => format!("not in {} yet; fetched (93 MB) when it is first used", cache.display()),
    };
    Check::new("system", "smollm2", State::Ok, detail)
}

#[cfg(not(feature = "embedded"))]
fn default_model(_: &Path) -> Check {
    Check::new("system", "smollm2", State::Warning, "this binary lacks the embedded engine that runs it")
        .hint("build with the default features; models behind an endpoint work")
}

/// Whether the model's file is still to be fetched. To fetch it is not for the doctor.
#[cfg(feature = "embedded")]
fn is_fetched_later(name: &ModelName, cache: &Path) -> bool {
    match name {
        ModelName::SmolLm2 => gradus_gguf::fetch::cached_smollm2(cache).is_none(),
        ModelName::Hf { .. } => true,
        _ => false,
    }
}

/// Without the embedded engine nothing is fetched.
#[cfg(not(feature = "embedded"))]
fn is_fetched_later(_: &ModelName, _: &Path) -> bool {
    false
}

fn sandbox() -> Vec<Check> {
    let sandbox = match Sandbox::new(Policy::default()) {
        Ok(sandbox) => sandbox,
        Err(refused) => {
            let check = Check::new("sandbox", "isolation", State::Warning, refused.to_string());
            return vec![check.hint(refused.hint).hint("only code questions need it")];
        }
    };
    let layers = sandbox.layers().iter().map(|layer| {
        let state = if layer.active { State::Ok } else { State::Warning };
        Check::new("sandbox", layer.name, state, &layer.detail)
    });
    let python = match sandbox.interpreter("python") {
        Ok((path, version)) => Check::new("sandbox", "python", State::Ok, format!("{version} at {}", path.display())),
        Err(why) => Check::new("sandbox", "python", State::Warning, why)
            .hint("install a Python 3 that every user may read; only code questions need it"),
    };
    layers.chain([python]).collect()
}
