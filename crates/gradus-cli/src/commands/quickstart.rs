//! The main job on an embedded default: no server, no key.

use std::path::{Path, PathBuf};

use gradus::run::Until;

use crate::commands::run;
use crate::error::CommandError;
use crate::prices;
use crate::session::{self, Bank, CommonArgs, Configured};

/// Run the whole job on the built-in bank with the built-in model: no server, no key
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Model to be taught, for example `openai:http://localhost:8000#my-model`
    #[arg(long, value_name = "MODEL")]
    student: Option<String>,
    /// Model that writes the chains of thought; without it the student teaches itself
    #[arg(long, value_name = "MODEL")]
    teacher: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let mut config = session::configure_text(include_str!("../quickstart.yaml"), &args.common)?;
    if let Some(student) = &args.student {
        config.student = Some(gradus::config::ModelConfig::named(student));
        config.teacher = vec![gradus::config::ModelConfig::named(student)];
        // The short wording is for the default model.
        config.prompts = gradus::config::Prompts::default();
    }
    if let Some(teacher) = &args.teacher {
        config.teacher = vec![gradus::config::ModelConfig::named(teacher)];
    }
    prices::fill(&mut config, Path::new(""))?;
    let folder = args.common.run_dir.clone().unwrap_or_else(|| PathBuf::from("gradus-quickstart"));
    if !args.common.quiet && !args.common.json && args.student.is_none() {
        eprintln!("SmolLM2-135M answers {} questions of the built-in bank on this machine.", config.limit.unwrap_or(0));
        if args.teacher.is_none() {
            eprintln!("It also plays its own teacher (self-distillation); `--teacher MODEL` names a better one.");
        }
    }
    let configured = Configured { config, base: PathBuf::new() };
    run::stages(configured, &folder, &args.common, Until::Select, Bank::Any).map(drop)
}
