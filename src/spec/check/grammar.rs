//! The grammars of names that Kubernetes and processes accept, each a question about one text; and the
//! checks that note a wrong one.

use url::Url;

use super::notes::Notes;
use crate::spec::path::Path;

/// Tells whether a text is a DNS label: what names namespaces and Services.
pub(super) fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Tells whether a text is DNS labels with dots between them: what names most objects.
pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Tells whether a text is the key of a Secret.
pub(super) fn is_secret_key(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (1..=253).contains(&text.len())
        && text.bytes().all(allowed)
        && text != "."
        && !text.starts_with("..")
}

/// Tells whether a text is a label's value; an empty one is.
pub(super) fn is_label_value(text: &str) -> bool {
    let end = |b: u8| b.is_ascii_alphanumeric();
    let inner = |b: u8| end(b) || b"-_.".contains(&b);
    text.len() <= 63
        && text.bytes().all(inner)
        && text.bytes().next().is_none_or(end)
        && text.bytes().last().is_none_or(end)
}

/// Tells whether a text is a label's key: a name, with a domain before it or not.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => {
            is_dns_subdomain(domain) && !name.is_empty() && is_label_value(name)
        }
        None => !text.is_empty() && is_label_value(text),
    }
}

/// Tells whether a text names an environment variable.
pub(super) fn is_env_name(text: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(first)
        && text.bytes().all(|b| first(b) || b.is_ascii_digit())
}

/// Tells whether nodes may offer GPUs under this name: a domain with a dot, not Kubernetes' own, and a
/// name.
pub(super) fn is_gpu_resource(text: &str) -> bool {
    let Some((domain, name)) = text.split_once('/') else {
        return false;
    };
    domain.contains('.')
        && is_dns_subdomain(domain)
        && domain != "kubernetes.io"
        && !domain.ends_with(".kubernetes.io")
        && !name.is_empty()
        && is_label_value(name)
}

/// Checks an optional name; an empty text means that it is not set.
pub(super) fn check_name(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    name: Option<&String>,
    is_name: fn(&str) -> bool,
) -> Option<String> {
    let name = name.filter(|name| !name.is_empty())?;
    if !is_name(name) {
        notes.error(
            path,
            "is no name that Kubernetes accepts",
            "lower-case letters, digits and inner hyphens",
        );
    }
    Some(name.clone())
}

/// Checks the length of a text for people and that it holds no control characters.
pub(super) fn check_words(notes: &mut Notes<'_>, path: &Path<'_>, text: &str, most: usize) {
    if text.trim().is_empty() {
        notes.error(path, "is empty", "write a text, or leave the field out");
    } else if text.len() > most {
        notes.error(path, format!("is longer than {most} bytes"), "shorten it");
    } else if text.chars().any(|c| c.is_control() && c != '\n') {
        notes.error(path, "holds a control character", "delete it");
    }
}

/// Checks an address: one of the schemes, a host, no credentials, no query and no fragment.
pub(super) fn check_url(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    text: &str,
    schemes: &[&str],
) -> Option<Url> {
    let wanted = format!(
        "such as `{}://host:port`",
        schemes.last().unwrap_or(&"https")
    );
    let url = match Url::parse(text) {
        Ok(url) if text.len() <= 2048 => url,
        _ => {
            notes.error(path, "is no address", wanted);
            return None;
        }
    };
    if !schemes.contains(&url.scheme()) {
        let all = schemes.join("` or `");
        notes.error(path, format!("is no address with `{all}`"), wanted);
        return None;
    }
    if url.host_str().is_none_or(str::is_empty) {
        notes.error(path, "is an address without host", wanted);
        return None;
    }
    if url.password().is_none() && !url.username().is_empty() {
        let remedy = "leave the user out; credentials go to a Secret";
        notes.error(path, "is an address with a user", remedy);
    }
    if url.query().is_some() || url.fragment().is_some() {
        notes.error(
            path,
            "is an address with a query or fragment",
            "leave it out",
        );
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpu_resource_names_follow_the_rules() {
        for good in ["nvidia.com/gpu", "amd.com/gpu", "a.b/c_d"] {
            assert!(is_gpu_resource(good), "{good}");
        }
        for bad in [
            "",
            "gpu",
            "nvidia/gpu",
            " nvidia.com/gpu",
            "nvidia.com/gpu ",
            "kubernetes.io/gpu",
            "x.kubernetes.io/gpu",
            "nvidia.com/",
            "nvidia.com/-gpu",
            "nvidia.com/a/b",
        ] {
            assert!(!is_gpu_resource(bad), "{bad:?}");
        }
    }

    #[test]
    fn names_follow_their_grammars() {
        assert!(
            is_dns_label("a-1") && !is_dns_label("-a") && !is_dns_label("A") && !is_dns_label("")
        );
        assert!(is_dns_subdomain("a.b-c") && !is_dns_subdomain("a..b"));
        assert!(is_secret_key("tls.crt") && !is_secret_key("..") && !is_secret_key("a/b"));
        assert!(is_label_key("a.b/C_d") && !is_label_key("a/b/c") && !is_label_key("/a"));
        assert!(is_label_value("") && is_label_value("a.B") && !is_label_value("-a"));
        assert!(
            is_env_name("_A1") && !is_env_name("1A") && !is_env_name("A-B") && !is_env_name("")
        );
    }
}
