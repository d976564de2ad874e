//! `platform settings`: the effective settings and where each comes from, secrets masked.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, Context, Exit, Form};
use crate::settings::{Entry, Origin, Settings};

/// Arguments of `settings`.
#[derive(Args)]
pub struct SettingsArgs {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Shows the settings, also when the policy refuses them: then it says so afterwards.
pub(super) fn run(args: &SettingsArgs, context: &Context) -> Result<Exit, CliError> {
    let (settings, terminal) = (&context.settings, &context.terminal);
    match args.output {
        Form::Text => terminal.print(&render(settings))?,
        Form::Json => terminal.print_json(&document(settings))?,
    }
    for (name, nearest) in &settings.ignored {
        terminal.warn(&format!(
            "{name} is no setting and is ignored; the nearest is {nearest}"
        ));
    }
    settings.database_url(false)?;
    Ok(Exit::Done)
}

fn render(settings: &Settings) -> String {
    let shown = |entry: &Entry| entry.shown.clone().unwrap_or_else(|| "-".to_owned());
    let width = |of: &dyn Fn(&Entry) -> usize| settings.entries.iter().map(of).max().unwrap_or(0);
    let paths = width(&|entry| entry.path.len());
    let values = width(&|entry| shown(entry).chars().count()).min(60);
    let mut text = String::new();
    for entry in &settings.entries {
        let value = shown(entry);
        writeln!(
            text,
            "{:paths$}  {value:values$}  {}",
            entry.path, entry.origin
        )
        .expect("writing to a String does not fail");
    }
    text
}

fn document(settings: &Settings) -> Value {
    let entry = |entry: &Entry| {
        json!({
            "path": entry.path,
            "value": entry.shown,
            "origin": origin(&entry.origin),
            "purpose": entry.purpose,
        })
    };
    let entries: Vec<_> = settings.entries.iter().map(entry).collect();
    json!({"version": 1, "settings": entries})
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!({"from": "default"}),
        Origin::File { path, line } => json!({"from": "file", "path": path, "line": line}),
        Origin::Environment(name) => json!({"from": "environment", "name": name}),
        Origin::Flag(name) => json!({"from": "flag", "name": name}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Environment, Flags};

    #[test]
    fn the_listing_in_the_documents_is_the_one_that_is_printed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md");
        let stored = std::fs::read_to_string(path).unwrap();
        let settings = Settings::gather(&Flags::default(), &Environment::default()).unwrap();
        let listing = format!("```\n$ platform settings\n{}```\n", render(&settings));
        assert!(
            stored.contains(&listing),
            "docs/operating.md lists other settings than these:\n{listing}"
        );
    }
}
