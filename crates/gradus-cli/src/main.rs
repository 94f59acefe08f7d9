//! The gradus command: arguments in, one command out. Data goes to stdout, the rest to stderr.

mod bank;
mod commands;
mod error;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::{config, doctor, init, ledger, mock, verify};

/// Grade a bank of questions by what your model can solve, and distil the chains of thought that fit it
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    Verify(verify::Args),
    Ledger(ledger::Args),
    Doctor(doctor::Args),
    Mock(mock::Args),
    Config(config::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Init(args) => init::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Mock(args) => mock::run(&args),
        Command::Config(args) => config::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.message.is_empty() {
                eprintln!("{error}");
            }
            ExitCode::from(error.kind.exit_code())
        }
    }
}
