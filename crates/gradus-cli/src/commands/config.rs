//! gradus config

use crate::error::CommandError;

/// Print the JSON Schema of a config
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), CommandError> {
    Err(CommandError::failure("not built yet"))
}
