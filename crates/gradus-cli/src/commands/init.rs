//! gradus init

use crate::error::CommandError;

/// Write a commented gradus.yaml
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), CommandError> {
    Err(CommandError::failure("not built yet"))
}
