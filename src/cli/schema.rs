//! `platform schema`: the JSON Schema of `platform.yaml`.

use super::{CliError, Context, Exit};
use crate::spec;

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    context.terminal.print(&spec::schema())?;
    Ok(Exit::Done)
}
