//! `platform registry print`: the registry as everybody may know it.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;

use super::database::open_to_read;
use super::{CliError, Context, Exit};
use crate::admin::registry::{self, Network};

/// Arguments of `registry`.
#[derive(Args)]
pub struct RegistryArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Print the document of the database's challenges, as `GET /v1/registry` serves it.
    Print,
}

pub(super) async fn run(args: &RegistryArgs, context: &Context) -> Result<Exit, CliError> {
    let Act::Print = args.act;
    let rows = match open_to_read(context.settings.database_url(false)?).await? {
        Some(database) => {
            let rows = database.rows().await;
            database.close().await;
            rows?
        }
        None => BTreeMap::new(),
    };
    let network = Network {
        name: "platform".to_owned(),
        master_uid: 0,
    };
    context
        .terminal
        .print_json(&json!(registry::document(&network, &rows)))?;
    Ok(Exit::Done)
}
