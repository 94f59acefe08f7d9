//! gradus ledger

use crate::error::CommandError;

/// Look into a ledger, check it, merge two
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), CommandError> {
    Err(CommandError::failure("not built yet"))
}
