//! What short-lived jobs may do: the image prefixes above all.

use std::net::IpAddr;

use super::grammar::check_url;
use super::notes::Notes;
use crate::model::Slug;
use crate::spec::path::Path;
use crate::spec::platform::Broker;
use crate::spec::types::File;

/// Where challenges reach the broker unless declared.
const URL: &str = "http://platform-docker-broker:8082";
/// The images that jobs may use unless declared.
const ALLOWED: &str = "ghcr.io/platformnetwork/";
/// The most prefixes.
const MOST: usize = 256;

/// Checks `broker`. The GPU resource's name is checked with the defaults, which it shapes.
pub(super) fn check(notes: &mut Notes<'_>, file: &File) -> Broker {
    let root = Path::ROOT;
    let path = root.key("broker");
    let written = file.broker.clone().unwrap_or_default();
    if let Some(url) = &written.url {
        check_url(notes, &path.key("url"), url, &["https", "http"]);
    }
    let images = path.key("allowed_images");
    if let Some(allowed) = &written.allowed_images {
        check_allowed(notes, &images, allowed);
    }
    let allow_privileged = written.allow_privileged.unwrap_or(false);
    let slugs = path.key("privileged_slugs");
    if !allow_privileged && !written.privileged_slugs.is_empty() {
        let message = "has no effect: no job may run privileged";
        notes.warn(
            &slugs,
            message,
            "write `allow_privileged: true`, or leave it out",
        );
    }
    let mut privileged_slugs = Vec::new();
    for (index, text) in written
        .privileged_slugs
        .iter()
        .enumerate()
        .take(super::MAX_CHALLENGES)
    {
        let below = slugs.index(index);
        let slug = notes.parsed(&below, Slug::parse(text), "write a challenge's slug");
        let challenges = file.challenges.as_ref();
        let is_declared = challenges.is_some_and(|all| all.contains_key(text));
        if slug.is_some() && !is_declared && !notes.holds(&root.key("challenges").key(text)) {
            let message = "names a challenge that is not declared";
            notes.error(&below, message, "declare it, or leave it out");
        }
        privileged_slugs.extend(slug);
    }
    Broker {
        url: written.url.unwrap_or_else(|| URL.to_owned()),
        allowed_images: written
            .allowed_images
            .unwrap_or_else(|| vec![ALLOWED.to_owned()]),
        gpu_resource_name: written
            .gpu_resource_name
            .unwrap_or_else(|| "nvidia.com/gpu".to_owned()),
        allow_privileged,
        privileged_slugs,
    }
}

fn check_allowed(notes: &mut Notes<'_>, path: &Path<'_>, allowed: &[String]) {
    if allowed.is_empty() && notes.is_production() {
        notes.error(
            path,
            "is refused: it is empty and admits nothing",
            format!("write the prefixes that jobs use, such as `{ALLOWED}`"),
        );
    }
    if allowed.len() > MOST {
        notes.error(path, format!("has more than {MOST} entries"), "write fewer");
    }
    for (index, prefix) in allowed.iter().take(MOST).enumerate() {
        let below = path.index(index);
        if !is_prefix(prefix) {
            let remedy = format!("write the beginning of an image such as `{ALLOWED}`");
            notes.error(&below, "is no beginning of an image reference", remedy);
        } else if notes.is_production() && is_broad(prefix) {
            notes.error(
                &below,
                "is refused: in production it admits too much",
                format!("write a registry and a namespace such as `{ALLOWED}`"),
            );
        }
    }
}

/// Tells whether an image reference may begin like this: not empty, no wildcard, no strange character.
fn is_prefix(prefix: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"./_:@+-".contains(&b);
    let starts = prefix
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    let path = prefix.strip_suffix('/').unwrap_or(prefix);
    starts
        && prefix.len() <= 255
        && prefix.bytes().all(allowed)
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Tells whether a prefix admits more than one namespace of one public registry: whole registries, names
/// without a registry, hosts of this machine.
pub(super) fn is_broad(prefix: &str) -> bool {
    let Some((registry, path)) = prefix.split_once('/') else {
        return true;
    };
    let host = registry
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_local = host == "localhost"
        || [".localhost", ".local", ".localdomain"]
            .iter()
            .any(|end| host.ends_with(end))
        || host.parse::<IpAddr>().is_ok();
    let namespace = path.split(['/', ':', '@']).next().unwrap_or_default();
    !host.contains('.') || is_local || namespace.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broad_prefixes_are_known() {
        for broad in [
            "docker.io/",
            "ghcr.io/",
            "gcr.io/",
            "quay.io/",
            "registry.k8s.io/",
            "ghcr.io",
            "platformnetwork/",
            "python",
            "python:",
            "localhost/x/",
            "localhost:5000/x/",
            "127.0.0.1/x/",
            "127.0.0.1:5000/x/",
            "10.0.0.1/x/",
            "registry.local/x/",
            "ghcr.io/:1",
        ] {
            assert!(is_broad(broad), "{broad}");
        }
        for narrow in [
            "ghcr.io/platformnetwork/",
            "ghcr.io/platformnetwork",
            "ghcr.io/o/i:1.0",
            "registry.example.com:5000/team/",
        ] {
            assert!(!is_broad(narrow), "{narrow}");
        }
        for none in [
            "",
            "*",
            "ghcr.io/*",
            "a//b",
            "ghcr.io/../x",
            "/x",
            "a b",
            "é",
        ] {
            assert!(!is_prefix(none), "{none:?}");
        }
    }
}
