//! gradus mock

use crate::error::CommandError;

/// Serve a mock model that speaks the OpenAI protocol
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), CommandError> {
    Err(CommandError::failure("not built yet"))
}
