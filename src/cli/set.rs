//! `platform set`: one value of `platform.yaml` changed in place, comments and order kept, and committed if asked.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::declaration;
use super::{CliError, Context, Exit, Form, Kind, SourceArg};
use crate::edge::files::{self, FileError};
use crate::edge::git::working::{Committed, WorkingError};
use crate::model::CommitId;
use crate::reconcile::edit::{self, EditError, Edited, Holds, ValuePath, Writing};
use crate::reconcile::render::mask;
use crate::reconcile::source::{self, Snapshot};
use crate::spec::{Policy, Problems, SourceFile};

/// Arguments of `set`.
#[derive(Args)]
pub struct SetArgs {
    /// Where the value stands, such as challenges.prism.status; quote a name that holds a dot.
    path: String,
    /// The new value; what looks like a number stays text where the field is a text.
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Where platform.yaml is.
    #[command(flatten)]
    pub(super) source: SourceArg,
    /// Commit the file in the git repository that it is a working copy's of; nothing else that is changed there.
    #[arg(long)]
    commit: bool,
    /// The message of the commit; what was changed unless given.
    #[arg(short, long, value_name = "TEXT", requires = "commit")]
    message: Option<String>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// What is about to be written.
struct Change<'a> {
    file: &'a SourceFile,
    edited: Edited,
}

pub(super) fn run(args: &SetArgs, context: &Context) -> Result<Exit, CliError> {
    let path = ValuePath::parse(&args.path)?;
    let snapshot = source::read_source(&context.settings.source)?;
    let policy = declaration::policy(&context.settings);
    let change = decide(&snapshot, &path, &args.value, policy)?;
    let (file, edited) = (change.file, &change.edited);
    // A declaration that was refused may have held a secret in the wrong place; it is not shown.
    let was_valid = declaration::check(&snapshot.files, policy).is_ok();
    let before = edited.before.as_deref().filter(|_| was_valid);
    let old = before.map(|old| format!("{old} → ")).unwrap_or_default();
    let told = format!("{path}: {old}{}", edited.after);
    let commit = match (edited.text.as_bytes() != file.bytes, args.commit) {
        (false, _) => None,
        (true, false) => {
            write(&change)?;
            None
        }
        (true, true) => {
            let message = args.message.clone();
            let message = message.unwrap_or_else(|| format!("set {}", mask::line(&told)));
            Some(write_and_commit(&change, &message)?)
        }
    };
    match args.output {
        Form::Text => {
            let (name, line) = (&file.name, edited.line);
            let committed = commit.map(|id| format!("committed as {id}\n"));
            let text = format!("{name}:{line}: {told}\n{}", committed.unwrap_or_default());
            context.terminal.print(&text)?;
        }
        Form::Json => context.terminal.print_json(&json!({
            "version": 1,
            "file": file.name,
            "line": edited.line,
            "path": path.to_string(),
            "before": before,
            "after": edited.after,
            "commit": commit.map(|id| id.to_string()),
        }))?,
    }
    Ok(Exit::Done)
}

fn write(change: &Change<'_>) -> Result<(), CliError> {
    let (old, new) = (&change.file.bytes, change.edited.text.as_bytes());
    let written = files::replace(Path::new(&change.file.name), old, new);
    written.map_err(|error| not_written(change, error))
}

/// Writes the file and commits it, or leaves both as they were.
fn write_and_commit(change: &Change<'_>, message: &str) -> Result<CommitId, CliError> {
    let path = Path::new(&change.file.name);
    let working = Committed::find(path).map_err(|error| not_committed(change, error))?;
    write(change)?;
    working.commit(message).map_err(|error| {
        let (old, new) = (&change.file.bytes, change.edited.text.as_bytes());
        let error = not_committed(change, error);
        match files::replace(path, new, old) {
            Ok(()) => error,
            Err(_) => error.hint("the file is changed, and not committed"),
        }
    })
}

/// Edits the file that holds the value and checks the whole declaration as it would be. What looks like
/// a number but stands where only text is right is written as text.
fn decide<'a>(
    snapshot: &'a Snapshot,
    path: &ValuePath,
    value: &str,
    policy: Policy,
) -> Result<Change<'a>, CliError> {
    let at = position(snapshot, path);
    let file = snapshot
        .files
        .get(at)
        .ok_or_else(|| CliError::bug("a source was read and holds no file"))?;
    let text = std::str::from_utf8(&file.bytes)
        .map_err(|error| CliError::input(format!("{} is not UTF-8", file.name)).because(error))?;
    let mut first_refusal = None;
    for writing in [Writing::AsBefore, Writing::Text] {
        let edited = edit::edit_value(text, path, value, writing)
            .map_err(|error| not_edited(&file.name, error))?;
        match check_with(snapshot, at, &edited, policy) {
            Ok(()) => return Ok(Change { file, edited }),
            Err(problems) => first_refusal = first_refusal.or(Some(problems)),
        }
    }
    let problems =
        first_refusal.ok_or_else(|| CliError::bug("an edit was neither fine nor refused"))?;
    let with = format!("{} with this change", snapshot.origin);
    Err(declaration::refused(&with, &problems))
}

fn position(snapshot: &Snapshot, path: &ValuePath) -> usize {
    let holds = |file: &SourceFile| match std::str::from_utf8(&file.bytes) {
        Ok(text) => edit::holds(text, path),
        Err(_) => Holds::Nothing,
    };
    let all = snapshot.files.iter().map(holds).enumerate();
    // The first of those that hold most: platform.yaml comes first.
    let best = all.max_by_key(|(at, holds)| (*holds, std::cmp::Reverse(*at)));
    best.map_or(0, |(at, _)| at)
}

fn check_with(
    snapshot: &Snapshot,
    at: usize,
    edited: &Edited,
    policy: Policy,
) -> Result<(), Problems> {
    let mut files = snapshot.files.clone();
    if let Some(file) = files.get_mut(at) {
        file.bytes = edited.text.clone().into_bytes();
    }
    declaration::check(&files, policy).map(drop)
}

fn not_edited(name: &str, error: EditError) -> CliError {
    CliError::input(format!("{name} was not changed"))
        .because(error)
        .hint("`platform set --help` shows examples")
}

fn not_written(change: &Change<'_>, error: FileError) -> CliError {
    let (name, line) = (&change.file.name, change.edited.line);
    let message = format!("{name}:{line} was not changed");
    let (error_of, hint): (fn(String) -> CliError, _) = match &error {
        FileError::ReadOnly => (
            CliError::input,
            "change that line where the file comes from, or make the file writable",
        ),
        FileError::Changed => (CliError::stale, "look at the file, then try again"),
        FileError::Io(_) => (
            CliError::dependency,
            "check the directory and the space on its disk",
        ),
        _ => (CliError::input, "name a regular file as SOURCE"),
    };
    error_of(message).because(error).hint(hint)
}

fn not_committed(change: &Change<'_>, error: WorkingError) -> CliError {
    let (name, line) = (&change.file.name, change.edited.line);
    let message = format!("{name}:{line} was not changed, for it could not be committed");
    let (error_of, hint): (fn(String) -> CliError, _) = match &error {
        WorkingError::NoRepository => (CliError::input, "leave --commit out"),
        WorkingError::NotCommitted => (
            CliError::input,
            "commit the file as it is first; its other changes are not this one's",
        ),
        WorkingError::Busy => (CliError::input, "end that first, or leave --commit out"),
        WorkingError::NoIdentity => (CliError::input, "git config user.name and user.email"),
        WorkingError::Signed => (
            CliError::input,
            "leave --commit out and commit it with git, which signs (commit.gpgsign)",
        ),
        WorkingError::Git(_) => (CliError::dependency, "`git status` there says more"),
    };
    error_of(message).because(error).hint(hint)
}

impl From<EditError> for CliError {
    fn from(error: EditError) -> Self {
        Self::of(Kind::Input, error).hint("`platform set --help` shows examples")
    }
}
