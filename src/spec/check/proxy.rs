//! How the public door treats a challenge: paths and routes.

use std::collections::BTreeMap;

use super::notes::Notes;
use crate::model::Slug;
use crate::spec::path::Path;
use crate::spec::platform::Proxy;
use crate::spec::types;

/// The most paths of one list, and the longest.
const MOST: usize = 64;
const LONGEST: usize = 256;
/// Paths that are refused unless a challenge declares others.
const DENIED: [&str; 3] = [
    "/benchmark-executions",
    "/benchmark/**/{run|execute|launch}",
    "/benchmarks/**/{run|execute|launch}",
];
/// Methods of signed routes.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Checks the paths of a challenge and fills in what is known for two challenges by name.
pub(super) fn check(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    slug: &Slug,
    written: Option<&types::Proxy>,
) -> Proxy {
    let written = written.cloned().unwrap_or_default();
    let deny = path.key("deny");
    for (index, denied) in written.deny.iter().flatten().take(MOST).enumerate() {
        check_path(notes, &deny.index(index), denied);
    }
    let signed = path.key("signed");
    for (index, route) in written.signed.iter().flatten().take(MOST).enumerate() {
        check_route(notes, &signed.index(index), route);
    }
    let rewrite = path.key("rewrite");
    for (from, to) in written.rewrite.iter().flatten().take(MOST) {
        check_path(notes, &rewrite.key(from), from);
        check_path(notes, &rewrite.key(from), to);
    }
    for (path, count) in [
        (&deny, written.deny.as_ref().map(Vec::len)),
        (&signed, written.signed.as_ref().map(Vec::len)),
        (&rewrite, written.rewrite.as_ref().map(BTreeMap::len)),
    ] {
        if count.is_some_and(|count| count > MOST) {
            notes.error(path, format!("has more than {MOST} entries"), "write fewer");
        }
    }
    Proxy {
        deny: written.deny.unwrap_or_else(|| owned(&DENIED)),
        signed: written.signed.unwrap_or_else(|| known_signed(slug)),
        rewrite: written.rewrite.unwrap_or_else(|| known_rewrite(slug)),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn known_signed(slug: &Slug) -> Vec<String> {
    match slug.as_str() {
        "agent-challenge" => owned(&[
            "GET /submissions/{id}/env",
            "PUT /submissions/{id}/env",
            "POST /submissions/{id}/env/confirm-empty",
            "POST /submissions/{id}/launch",
        ]),
        _ => Vec::new(),
    }
}

fn known_rewrite(slug: &Slug) -> BTreeMap<String, String> {
    let paths: &[&str] = match slug.as_str() {
        "prism" => &[
            "/leaderboard",
            "/architectures",
            "/training-variants",
            "/epochs/current",
            "/submissions/{id}",
        ],
        _ => &[],
    };
    let pair = |path: &&str| ((*path).to_owned(), format!("/v1{path}"));
    paths.iter().map(pair).collect()
}

fn check_route(notes: &mut Notes<'_>, path: &Path<'_>, route: &str) {
    match route.split_once(' ') {
        Some((method, below)) if METHODS.contains(&method) => check_path(notes, path, below),
        _ => notes.error(
            path,
            "is no method and path",
            "write it as `PUT /submissions/{id}/env`",
        ),
    }
}

fn check_path(notes: &mut Notes<'_>, path: &Path<'_>, text: &str) {
    let is_visible =
        |b: u8| b.is_ascii_graphic() && b != b'\\' && b != b'%' && b != b'?' && b != b'#';
    let is_clean = text
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if !is_clean || text.len() > LONGEST || !text.bytes().all(is_visible) {
        notes.error(
            path,
            "is no path",
            "begin with `/`; no empty, `.` or `..` part, no `%`, `?`, `#` or `\\`, no final `/`",
        );
    }
}
