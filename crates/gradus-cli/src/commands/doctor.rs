//! gradus doctor

use crate::error::CommandError;

/// Check keys, models, context lengths and the sandbox
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), CommandError> {
    Err(CommandError::failure("not built yet"))
}
