//! A challenge's texts, metadata, volumes and capabilities: sizes and names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::grammar::{check_words, is_env_name, is_secret_key};
use super::notes::Notes;
use crate::model::Slug;
use crate::spec::path::Path;
use crate::spec::types::Challenge;

/// The most a challenge's metadata is in JSON.
const LARGEST: usize = 64 << 10;
/// The most volumes or capabilities.
const MOST: usize = 32;

/// Checks the texts for people.
pub(super) fn check_texts(notes: &mut Notes<'_>, path: &Path<'_>, written: &Challenge) {
    for (name, text, most) in [
        ("name", &written.name, 128),
        ("version", &written.version, 128),
        ("api_version", &written.api_version, 32),
        ("description", &written.description, 4096),
    ] {
        if let Some(text) = text {
            check_words(notes, &path.key(name), text, most);
        }
    }
}

/// Checks metadata: its size, and that the worker's command is written where it belongs.
pub(super) fn check(notes: &mut Notes<'_>, path: &Path<'_>, metadata: &BTreeMap<String, Value>) {
    if metadata.contains_key("worker_command") {
        notes.error(
            &path.key("worker_command"),
            "is declared elsewhere",
            "write `worker: {command: […]}`",
        );
    }
    let size = serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
    if size > LARGEST {
        let message = format!("is larger than {LARGEST} bytes");
        notes.error(path, message, "keep long texts elsewhere and link to them");
    }
}

/// Checks volumes and adds the one that each challenge has.
pub(super) fn check_volumes(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    slug: &Slug,
    written: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if written.len() > MOST {
        notes.error(path, format!("has more than {MOST} entries"), "write fewer");
    }
    for (name, volume) in written.iter().take(MOST) {
        if !is_secret_key(name) || !is_secret_key(volume) {
            let remedy = "letters, digits and `-._`";
            notes.error(&path.key(name), "is no name of a volume", remedy);
        }
    }
    let mut volumes = written.clone();
    let sqlite = || format!("platform_{}_sqlite", slug.as_str().replace('-', "_"));
    volumes.entry("sqlite".to_owned()).or_insert_with(sqlite);
    volumes
}

/// Checks what the challenge's `/version` must list.
pub(super) fn check_capabilities(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&Vec<String>>,
) -> Vec<String> {
    let Some(written) = written else {
        return vec!["get_weights".to_owned(), "proxy_routes".to_owned()];
    };
    if written.len() > MOST {
        notes.error(path, format!("has more than {MOST} entries"), "write fewer");
    }
    for (index, name) in written.iter().take(MOST).enumerate() {
        if !is_env_name(name) || name.len() > 64 {
            let remedy = "up to 64 letters, digits and `_`";
            notes.error(&path.index(index), "is no name of a capability", remedy);
        }
    }
    written.clone()
}
