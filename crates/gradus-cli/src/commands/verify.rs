//! gradus verify

use crate::error::CommandError;

/// Compare answers with their references
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), CommandError> {
    Err(CommandError::failure("not built yet"))
}
