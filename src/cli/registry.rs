//! `platform registry print`: the registry as everybody may know it, from the database or from a master.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::database::open_to_read;
use super::{CliError, Context, Exit};
use crate::admin::registry::{self, Network, Registry};
use crate::edge::master::{Fetched, HttpMaster, Master as _, Tag};
use crate::model::Scope;
use crate::model::address::masked;
use crate::reconcile::render::mask;

pub const EXAMPLES: &str = "\
Examples:
  platform registry print | jq '.challenges[].slug'
  platform registry print --source https://chain.platform.network
  platform registry print --source https://chain.platform.network --unless '\"3f2a…\"'";

/// Arguments of `registry`.
#[derive(Args)]
pub struct RegistryArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Print the document of the database's challenges, as `GET /v1/registry` serves it, or of a master's.
    Print {
        /// The address of a master; what it serves is printed instead.
        #[arg(long, value_name = "URL")]
        source: Option<String>,
        /// Print nothing where the master's document still has this tag, which a run before told.
        #[arg(long, value_name = "ETAG", requires = "source", value_parser = parse_tag)]
        unless: Option<Tag>,
    },
}

pub(super) async fn run(args: &RegistryArgs, context: &Context) -> Result<Exit, CliError> {
    let Act::Print { source, unless } = &args.act;
    let document = match source {
        Some(source) => fetch(source, unless.as_ref(), context).await?,
        None => Some(read(context).await?),
    };
    if let Some(document) = document {
        context.terminal.print(&render(&document))?;
    }
    Ok(Exit::Done)
}

async fn read(context: &Context) -> Result<Value, CliError> {
    let (rows, known) = match open_to_read(context.settings.database_url(false)?).await? {
        Some(database) => {
            let rows = database.rows(&Scope::All).await;
            let known = database.known_network().await;
            database.close().await;
            (rows?, known?)
        }
        None => (BTreeMap::new(), None),
    };
    // What nobody has served yet has the names that a declaration has by default.
    let (name, master_uid) = known.map_or_else(
        || ("platform".to_owned(), 0),
        |known| (known.name, known.master_uid),
    );
    let network = Network { name, master_uid };
    Ok(json!(registry::document(&network, &rows)))
}

/// Returns the document that a master serves, or nothing where it is the known one.
async fn fetch(
    source: &str,
    known: Option<&Tag>,
    context: &Context,
) -> Result<Option<Value>, CliError> {
    let master = HttpMaster::at(source).map_err(|error| {
        CliError::input(format!("{} is no master", mask::line(&masked(source))))
            .because(error)
            .hint("name its address, such as https://chain.platform.network")
    })?;
    let shown = mask::line(&masked(source));
    let fetched = master.registry(known).await.map_err(|failure| {
        let message = format!("the registry of {shown} could not be read: {failure}");
        CliError::dependency(message).hint("try again, or look at its /ready")
    })?;
    let Fetched::New { tag, body } = fetched else {
        context.terminal.note("unchanged");
        return Ok(None);
    };
    let document = parse(&body).ok_or_else(|| {
        CliError::dependency(format!("what {shown} sent is no registry"))
            .hint("name the address of a master, without /v1/registry")
    })?;
    if let Some(tag) = tag {
        context.terminal.note(&format!("tag {}", tag.as_str()));
    }
    Ok(Some(document))
}

/// Returns a document that has all that a registry has; what a newer master adds stays.
fn parse(body: &[u8]) -> Option<Value> {
    let document: Value = serde_json::from_slice(body).ok()?;
    Registry::deserialize(&document).ok()?;
    Some(document)
}

/// Returns the document indented. What could deceive who reads it on a terminal is escaped, as JSON allows.
fn render(document: &Value) -> String {
    let escaped = |c: char| match c == '\n' || !mask::is_deceptive(c) {
        true => c.to_string(),
        false => {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
        }
    };
    format!("{document:#}\n").chars().map(escaped).collect()
}

fn parse_tag(text: &str) -> Result<Tag, &'static str> {
    Tag::parse(text).ok_or("write it as it was told, with its quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deceives_is_escaped_and_says_the_same() {
        let document = json!({"a": "x\u{9b}31m\u{202e}y\u{1f600}", "b": [1]});
        let shown = render(&document);
        assert!(shown.contains("\\u009b31m\\u202ey\u{1f600}"), "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), document);
    }

    #[test]
    fn a_document_that_lacks_something_is_no_registry() {
        let none = json!({"network": "n", "api_version": "1.0", "master_uid": 0, "challenges": []});
        let newer = json!({"network": "n", "api_version": "1.1", "master_uid": 0, "challenges": [], "more": 1});
        for good in [none, newer] {
            assert_eq!(parse(good.to_string().as_bytes()), Some(good));
        }
        for bad in ["", "[]", "{}", r#"{"network":"n","challenges":[]}"#] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
