//! The gradus command: arguments in, one command out. Data goes to stdout, the rest to stderr.

/// Prints a line of data. Unlike the standard one, it does not panic when the reader has seen enough (`| head`).
macro_rules! println {
    ($($line:tt)*) => { $crate::print_line(format_args!($($line)*)) };
}

mod bank;
mod cast;
mod commands;
mod error;
mod hub;
mod models;
mod prices;
mod progress;
mod session;
mod student;
mod world;

use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use commands::{
    assess, compare, config, doctor, evaluate, export, init, judge, ledger, lint, mock, quickstart, report, run, train,
    verify, why,
};
use gradus::run::Until;
use session::AskArgs;

/// Grade a bank of questions by what your model can solve, and distil the chains of thought that fit it
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Quickstart(quickstart::Args),
    Init(init::Args),
    /// Run every stage: probe, judge, grade, sample, distil, select, export, report
    Run(AskArgs),
    /// Ask the student and judge its attempts
    Probe(AskArgs),
    #[command(visible_alias = "rejudge")]
    Judge(judge::Args),
    Grade(assess::Args),
    /// Draw questions by level
    Sample(AskArgs),
    /// Ask the teachers for chains of thought and judge them
    Distil(AskArgs),
    /// Have chains of thought rated, and measured against the student
    Annotate(AskArgs),
    Rescore(commands::rescore::Args),
    Select(commands::select::Args),
    Export(export::Args),
    Train(train::Args),
    Lint(lint::Args),
    Report(report::Args),
    Why(why::Args),
    Evaluate(evaluate::Args),
    Compare(compare::Args),
    Verify(verify::Args),
    Bank(commands::bank::Args),
    Import(commands::import::Args),
    Ledger(ledger::Args),
    Doctor(doctor::Args),
    Mock(mock::Args),
    Config(config::Args),
}

/// What `println!` does.
fn print_line(line: Arguments<'_>) {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write the output: {error}");
            std::process::exit(error::Kind::Failure.exit_code().into());
        }
        _ => {}
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Quickstart(args) => quickstart::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Run(args) => run::run(&args, Until::Select),
        Command::Select(args) => commands::select::run(&args),
        Command::Probe(args) => run::run(&args, Until::Grade),
        Command::Grade(args) => assess::run(&args),
        Command::Sample(args) => run::run(&args, Until::Sample),
        Command::Distil(args) => run::run(&args, Until::Distil),
        Command::Annotate(args) => run::run(&args, Until::Annotate),
        Command::Rescore(args) => commands::rescore::run(&args),
        Command::Judge(args) => judge::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Bank(args) => commands::bank::run(&args),
        Command::Import(args) => commands::import::run(&args),
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
