//! `platform database`: the registry database's schema.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{CliError, Context, Exit, Form};
use crate::edge::database::{self, Database, DatabaseError, DatabaseKind, MigrationStatus, Opened};
use crate::model::Secret;

/// Arguments of `database`.
#[derive(Args)]
pub struct DatabaseArgs {
    #[command(subcommand)]
    act: Act,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Form,
}

#[derive(Subcommand)]
enum Act {
    /// Bring the schema up to date; makes a missing SQLite file. `apply` does so by itself.
    Migrate,
    /// Show which database it is and which migrations it has. Changes nothing.
    Status,
}

pub(super) async fn run(args: &DatabaseArgs, context: &Context) -> Result<Exit, CliError> {
    let url = context.settings.database_url(false)?;
    match args.act {
        Act::Migrate => {
            let database = database::open_and_migrate(url).await?;
            let status = database.status().await;
            database.close().await;
            show(&status?, args.output, context)
        }
        Act::Status => match database::open(url).await? {
            Opened::Ready(database) => {
                let status = database.status().await;
                database.close().await;
                show(&status?, args.output, context)
            }
            Opened::NotMigrated(status) => show(&status, args.output, context),
            Opened::Absent(place) => show_absent(&place, args.output, context),
        },
    }
}

/// Opens the database for reading; `None` when there is none yet.
pub(super) async fn open_to_read(
    url: &Secret<String>,
) -> Result<Option<std::sync::Arc<dyn Database>>, CliError> {
    match database::open(url).await? {
        Opened::Ready(database) => Ok(Some(database)),
        Opened::Absent(_) => Ok(None),
        Opened::NotMigrated(status) => {
            let message = format!("{} lacks migrations of this program", status.place);
            Err(CliError::dependency(message).hint("run `platform database migrate`"))
        }
    }
}

fn show(status: &MigrationStatus, form: Form, context: &Context) -> Result<Exit, CliError> {
    match form {
        Form::Text => context.terminal.print(&render(status))?,
        Form::Json => context.terminal.print_json(&document(status))?,
    }
    Ok(Exit::Done)
}

fn show_absent(place: &str, form: Form, context: &Context) -> Result<Exit, CliError> {
    match form {
        Form::Text => context.terminal.print(&format!(
            "{place}  not there yet; `platform database migrate` or `platform apply` makes it\n"
        ))?,
        Form::Json => context
            .terminal
            .print_json(&json!({"version": 1, "place": place, "exists": false}))?,
    }
    Ok(Exit::Done)
}

fn engine(kind: DatabaseKind) -> &'static str {
    match kind {
        DatabaseKind::Sqlite => "SQLite",
        DatabaseKind::Postgres => "PostgreSQL",
    }
}

fn render(status: &MigrationStatus) -> String {
    let mut text = format!("{}  version {}\n", status.place, status.server_version);
    for done in &status.applied {
        line(
            &mut text,
            done.version,
            &done.description,
            &format!("applied {}", done.applied_at),
        );
    }
    for waiting in &status.pending {
        line(&mut text, waiting.version, &waiting.description, "pending");
    }
    if !status.pending.is_empty() {
        text.push_str("`platform database migrate` or `platform apply` applies what is pending\n");
    }
    text
}

fn line(text: &mut String, version: i64, description: &str, state: &str) {
    writeln!(text, "  {version:>4}  {description:<32}  {state}")
        .expect("writing to a String does not fail");
}

fn document(status: &MigrationStatus) -> Value {
    let applied = status.applied.iter().map(|done| {
        json!({"version": done.version, "description": done.description, "applied_at": done.applied_at})
    });
    let pending = status
        .pending
        .iter()
        .map(|waiting| json!({"version": waiting.version, "description": waiting.description}));
    json!({
        "version": 1,
        "place": status.place,
        "exists": true,
        "engine": engine(status.kind),
        "engine_version": status.server_version,
        "applied": applied.collect::<Vec<_>>(),
        "pending": pending.collect::<Vec<_>>(),
    })
}

impl From<DatabaseError> for CliError {
    fn from(error: DatabaseError) -> Self {
        let hint = match &error {
            DatabaseError::Url(_) => {
                return Self::input("database.url cannot be used")
                    .because(error)
                    .hint("`platform settings` shows where it comes from");
            }
            DatabaseError::Newer { .. }
            | DatabaseError::Changed { .. }
            | DatabaseError::Foreign { .. } => {
                "nothing was changed; use the program that the database belongs to"
            }
            DatabaseError::Denied { .. } => "check user and password in database.url",
            _ => {
                "`platform settings` shows which database is meant, and where its address comes from"
            }
        };
        Self::dependency("the database cannot be used")
            .because(error)
            .hint(hint)
    }
}
