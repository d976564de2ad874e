//! Git addresses: `ADDRESS[#REF][:PATH]`, parsed once and refused where they would be unsafe. Pure.

use std::fmt;

use url::{Host, Url};

use super::GitError;
use crate::model::{CommitId, address};

/// The longest address, reference or path, in bytes.
const MAX_LENGTH: usize = 2_000;

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Git over HTTP, over TLS unless the host is this machine.
    Http,
    /// Git over SSH.
    Ssh,
    /// A repository of this machine.
    File,
}

/// Which commit of a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The tip of what the repository calls its default branch.
    Default,
    /// The tip of a branch, or else a tag, of this name.
    Name(String),
    /// Exactly this commit.
    Commit(CommitId),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default branch"),
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Commit(id) => write!(f, "commit {id}"),
        }
    }
}

/// A parsed address. It holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitAddress {
    /// The repository alone, as the transport is given it.
    pub repository: String,
    /// How it is reached.
    pub transport: Transport,
    /// The host and port as they are shown; `this machine` for a file.
    pub host: String,
    /// Which commit is meant.
    pub reference: Reference,
    /// The file or directory in the repository, without slashes at its ends; empty for its root.
    pub path: String,
}

/// Shows the address as it was written.
impl fmt::Display for GitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        match &self.reference {
            Reference::Default => {}
            Reference::Name(name) => write!(f, "#{name}")?,
            Reference::Commit(id) => write!(f, "#{id}")?,
        }
        match self.path.as_str() {
            "" => Ok(()),
            path => write!(f, ":{path}"),
        }
    }
}

/// Tells whether a source is an address, well-formed or not. Git's short form `user@host:path` counts; a
/// path with a colon but no `@` before it does not.
#[must_use]
pub fn is_address(source: &str) -> bool {
    let short = source.split_once(':').map(|(before, _)| before);
    source.contains("://") || short.is_some_and(|host| host.contains('@') && !host.contains('/'))
}

impl GitAddress {
    /// Parses an address.
    ///
    /// # Errors
    /// Another scheme than `https`, `ssh`, `file`, or `http` on this machine; a password or a token in the
    /// address; a reference or a path that git would not take.
    pub fn parse(text: &str) -> Result<Self, GitError> {
        let refused = |why| GitError::Address {
            address: address::masked(text),
            why,
        };
        if text.len() > MAX_LENGTH || text.contains(|c: char| c.is_control() || c == ' ') {
            return Err(refused("it is too long, or holds blanks"));
        }
        let (repository, reference, path) = split(text);
        let (transport, host) = check_repository(repository).map_err(refused)?;
        Ok(Self {
            repository: repository.to_owned(),
            transport,
            host,
            reference: parse_reference(reference).map_err(refused)?,
            path: parse_path(path).map_err(refused)?,
        })
    }
}

/// Takes an address apart into repository, reference and path. No reference holds a colon; without one,
/// the path begins at the first colon behind the host.
fn split(text: &str) -> (&str, &str, &str) {
    if let Some((repository, rest)) = text.split_once('#') {
        let (reference, path) = rest.split_once(':').unwrap_or((rest, ""));
        return (repository, reference, path);
    }
    let host_ends = match text.find("://") {
        Some(at) => text[at + 3..].find('/').map(|slash| at + 3 + slash),
        None => text.find(':').map(|colon| colon + 1),
    };
    let host_ends = host_ends.unwrap_or(text.len());
    match text[host_ends..].split_once(':') {
        Some((inside, path)) => (&text[..host_ends + inside.len()], "", path),
        None => (text, "", ""),
    }
}

fn check_repository(repository: &str) -> Result<(Transport, String), &'static str> {
    if !repository.contains("://") {
        return check_short(repository);
    }
    let url = Url::parse(repository).map_err(|_| "it is no URL")?;
    if url.password().is_some() {
        return Err("it holds a password");
    }
    if url.query().is_some() {
        return Err("it holds a query");
    }
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::new(),
    };
    let transport = match url.scheme() {
        "https" => Transport::Http,
        "http" if is_loopback(&url) => Transport::Http,
        "http" => return Err("plain http is for this machine only"),
        "ssh" => Transport::Ssh,
        "file" if host.is_empty() => return Ok((Transport::File, "this machine".to_owned())),
        "file" => return Err("a file address names no host: file:///path"),
        _ => return Err("only https, ssh and file addresses are read"),
    };
    match transport {
        Transport::Http if !url.username().is_empty() => Err("it holds a user or a token"),
        _ if host.is_empty() || url.path().len() < 2 => Err("it names no host, or no repository"),
        _ => Ok((transport, host)),
    }
}

fn check_short(repository: &str) -> Result<(Transport, String), &'static str> {
    let parts = repository.split_once(':').and_then(|(login, path)| {
        let (user, host) = login.split_once('@')?;
        let is_fine = |part: &str| !part.is_empty() && !part.starts_with('-');
        (is_fine(user) && is_fine(host) && is_fine(path)).then_some(host)
    });
    let host = parts.ok_or("it is no user@host:path")?;
    Ok((Transport::Ssh, host.to_owned()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn parse_reference(text: &str) -> Result<Reference, &'static str> {
    let is_odd = |c: char| "~^:?*[\\".contains(c);
    let is_wrong = text.starts_with(['-', '/', '.'])
        || text.ends_with(['/', '.'])
        || ["..", "@{", "//", "/."]
            .iter()
            .any(|part| text.contains(part))
        || text.contains(is_odd);
    match CommitId::parse(text) {
        _ if text.is_empty() => Ok(Reference::Default),
        Some(id) => Ok(Reference::Commit(id)),
        None if is_wrong => Err("what follows `#` is no name of a branch, a tag or a commit"),
        None => Ok(Reference::Name(text.to_owned())),
    }
}

fn parse_path(text: &str) -> Result<String, &'static str> {
    let path = text.strip_suffix('/').unwrap_or(text);
    let is_wrong = |part: &str| matches!(part, "" | "." | ".." | ".git");
    match path {
        "" => Ok(String::new()),
        _ if path.split('/').any(is_wrong) => {
            Err("what follows `:` is no path inside a repository, such as deploy/platform.yaml")
        }
        _ => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_shown_as_written() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let named = |name: &str| Reference::Name(name.to_owned());
        for (text, repository, host, reference, path) in [
            (
                "https://h/r.git",
                "https://h/r.git",
                "h",
                Reference::Default,
                "",
            ),
            (
                "https://h:8443/r#main:a/b.yaml",
                "https://h:8443/r",
                "h:8443",
                named("main"),
                "a/b.yaml",
            ),
            (
                "http://[::1]:3000/r:dir",
                "http://[::1]:3000/r",
                "[::1]:3000",
                Reference::Default,
                "dir",
            ),
            ("git@h:o/r#v1.0", "git@h:o/r", "h", named("v1.0"), ""),
            (
                "git@h:o/r:deploy",
                "git@h:o/r",
                "h",
                Reference::Default,
                "deploy",
            ),
            (
                "ssh://git@h:22/r#refs/heads/a/b",
                "ssh://git@h:22/r",
                "h:22",
                named("refs/heads/a/b"),
                "",
            ),
            (
                "file:///tmp/r#:deploy",
                "file:///tmp/r",
                "this machine",
                Reference::Default,
                "deploy",
            ),
        ] {
            let parsed = GitAddress::parse(text).unwrap();
            assert_eq!(
                (parsed.repository.as_str(), parsed.host.as_str()),
                (repository, host)
            );
            assert_eq!(
                (&parsed.reference, parsed.path.as_str()),
                (&reference, path),
                "{text}"
            );
            assert_eq!(parsed.to_string(), text.replace("#:", ":"));
            assert!(is_address(text));
        }
        let pinned = GitAddress::parse(&format!("https://h/r#{commit}")).unwrap();
        assert!(matches!(pinned.reference, Reference::Commit(_)));
    }

    #[test]
    fn unsafe_addresses_are_refused_without_their_password() {
        for text in [
            "https://u:canary@h/r",
            "https://canary@h/r",
            "ssh://u:canary@h/r",
            "http://h/r",
            "http://127.0.0.1.example/r",
            "git://h/r",
            "ext::sh -c x://",
            "ftp://h/r",
            "file://h/r",
            "https://h",
            "https:///r",
            "https://h/r?token=canary",
            "-oProxyCommand=x@h:r",
            "u@-h:r",
            "https://h/r#-x",
            "https://h/r#a..b",
            "https://h/r#a^{}",
            "https://h/r#main:../x",
            "https://h/r#main:a//b",
            "https://h/r#main:/etc",
            "https://h/r#main:.git/config",
            "https://h/r#ma\nin",
        ] {
            let refused = GitAddress::parse(text).unwrap_err();
            assert!(!refused.to_string().contains("canary"), "{refused}");
        }
    }

    #[test]
    fn paths_are_no_addresses() {
        for text in ["./platform.yaml", "a:b", "dir/a@b:c", "C:/x"] {
            assert!(!is_address(text), "{text}");
        }
    }
}
