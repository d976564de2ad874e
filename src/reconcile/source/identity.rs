//! Which source it is, written alike however it was named: so two processes can tell whether they follow the same one.
//! What comes out is safe to store and to show.

use std::path::{Component, Path, PathBuf};

use crate::edge::git::address::{Reference, Transport};
use crate::edge::git::{GitAddress, is_address};
use crate::model::address::masked;

/// Returns what a source is called among processes. A repository is its host and its path, reached in whatever way
/// and by whomever; a file or directory is its path on this host, because another one has its own.
#[must_use]
pub fn identify(source: &str, host: &str) -> String {
    if !is_address(source) {
        return on_host(Path::new(source), host);
    }
    let Ok(address) = GitAddress::parse(source) else {
        // Nobody follows what cannot be read.
        return masked(source);
    };
    let mut identity = match (address.transport, address.repository.split_once("://")) {
        // A repository and what is checked out in the same place are two.
        (Transport::File, Some((_, path))) => format!("file://{}", on_host(Path::new(path), host)),
        (_, Some((scheme, rest))) => remote(scheme, rest),
        (_, None) => remote("ssh", &address.repository.replacen(':', "/", 1)),
    };
    match &address.reference {
        Reference::Default => {}
        Reference::Name(name) => identity += &format!("#{name}"),
        Reference::Commit(id) => identity += &format!("#{id}"),
    }
    if !address.path.is_empty() {
        identity += &format!(":{}", address.path);
    }
    identity
}

/// Takes from `user@host:port/path.git` what says which repository it is.
fn remote(scheme: &str, rest: &str) -> String {
    let (login, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = login.rsplit_once('@').map_or(login, |(_, host)| host);
    let usual = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => ":22",
    };
    let host = host.strip_suffix(usual).unwrap_or(host).to_lowercase();
    let path = path.trim_matches('/');
    format!("{host}/{}", path.strip_suffix(".git").unwrap_or(path))
}

fn on_host(path: &Path, host: &str) -> String {
    let whole = path
        .canonicalize()
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned());
    // A mounted ConfigMap has its files in a directory `..2026_…`, which is another one with each change.
    let is_lasting = |part: &Component<'_>| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b".."),
        _ => true,
    };
    let lasting: PathBuf = whole.components().filter(is_lasting).collect();
    format!("{} on {host}", lasting.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_repository_is_the_same_however_it_is_reached_and_named() {
        let same = [
            "https://git.example/o/r",
            "https://GIT.example/o/r.git",
            "https://git.example:443/o/r/",
            "ssh://git@git.example/o/r.git",
            "ssh://ada@git.example:22/o/r",
            "git@git.example:o/r.git",
        ];
        for address in same {
            assert_eq!(identify(address, "h"), "git.example/o/r", "{address}");
        }
        let branch = identify("git@git.example:o/r.git#main:deploy/", "h");
        assert_eq!(branch, "git.example/o/r#main:deploy");
    }

    #[test]
    fn another_repository_branch_path_or_port_is_another_source() {
        let others = [
            "https://git.example/o/r",
            "https://git.example/o/R",
            "https://git.example:8443/o/r",
            "https://git.example/o/r#main",
            "https://git.example/o/r#0123456789abcdef0123456789abcdef01234567",
            "https://git.example/o/r:deploy",
            "https://other.example/o/r",
            "./platform.yaml",
        ];
        let identities = others.map(|source| identify(source, "h"));
        let distinct: std::collections::BTreeSet<_> = identities.iter().collect();
        assert_eq!(distinct.len(), others.len(), "{identities:?}");
    }

    #[test]
    fn no_password_is_part_of_it() {
        for address in [
            "https://ada:canary@git.example/o/r",
            "https://canary@git.example/o/r.git#main",
            "ssh://ada:canary@git.example/o/r",
            "https://git.example/o/r?token=canary",
        ] {
            let identity = identify(address, "h");
            assert!(!identity.contains("canary"), "{identity}");
        }
    }

    #[test]
    fn a_path_is_whole_on_its_host_and_outlives_a_new_version_of_a_mount() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name).display().to_string();
        std::fs::create_dir(root.join("..2026_1")).unwrap();
        std::fs::write(root.join("..2026_1/platform.yaml"), "p").unwrap();
        symlink("..2026_1", root.join("..data")).unwrap();
        symlink("..data/platform.yaml", root.join("platform.yaml")).unwrap();
        symlink(&root, root.join("link")).unwrap();
        let expected = format!("{} on h", at("platform.yaml"));
        for named in ["platform.yaml", "./platform.yaml", "link/platform.yaml"] {
            assert_eq!(identify(&at(named), "h"), expected, "{named}");
        }
        let by_address = identify(&format!("file://{}", at("platform.yaml")), "h");
        assert_eq!(by_address, format!("file://{expected}"));
        assert_ne!(identify(&at("platform.yaml"), "other"), expected);
        let gone = identify("/nowhere/at/all.yaml", "h");
        assert_eq!(gone, "/nowhere/at/all.yaml on h");
    }
}
