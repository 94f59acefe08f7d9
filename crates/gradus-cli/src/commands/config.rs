//! gradus config: what a config may hold, and what a given one means.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use gradus::config::Config;

use crate::error::CommandError;

/// Print the schema of a config, or check one
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the JSON Schema of a config, for editors
    Schema,
    /// Read a config and print it with every default spelt out
    Check {
        /// Config file
        #[arg(default_value = "gradus.yaml")]
        file: PathBuf,
        /// Override a setting, for example `--set probe.attempts=4`; may be repeated
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let text = match &args.command {
        Command::Schema => format!("{:#}\n", Config::schema()),
        Command::Check { file, set } => read(file, set)?.to_yaml(),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::failure(format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Reads a config file.
pub(crate) fn read(file: &Path, set: &[String]) -> Result<Config, CommandError> {
    let yaml = std::fs::read_to_string(file).map_err(|error| {
        let wrong = CommandError::usage(format!("cannot read {}: {error}", file.display()));
        if error.kind() == io::ErrorKind::NotFound { wrong.hint("`gradus init` writes one") } else { wrong }
    })?;
    Config::read(&yaml, set).map_err(|error| {
        let mut error = CommandError::from(error);
        error.message = format!("{}: {}", file.display(), error.message);
        error
    })
}
