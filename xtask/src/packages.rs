//! Programs of the system that the rest needs, installed where we may.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    environment::{find_program, is_root},
    postgres,
    terminal::progress,
};

/// Something the system must have, and the Debian package that brings it.
struct Need {
    package: &'static str,
    /// Why, for whoever reads what is installed.
    why: &'static str,
    is_there: fn() -> bool,
}

const SETPRIV: Need = Need {
    package: "util-linux",
    why: "setpriv, which ends servers with their parent",
    is_there: || find_program("setpriv").is_some(),
};
const COMPILER: Need = Need {
    package: "gcc",
    why: "the linker, and the C parts of SQLite and ring",
    is_there: || find_program("cc").is_some(),
};
const MAKE: Need = Need {
    package: "make",
    why: "builds the memory allocator",
    is_there: || find_program("make").is_some(),
};
const C_LIBRARY: Need = Need {
    package: "libc6-dev",
    why: "the C parts of SQLite and ring",
    is_there: || std::path::Path::new("/usr/include/stdlib.h").exists(),
};
const OPENSSL: Need = Need {
    package: "libssl-dev",
    why: "OpenSSL, which libgit2 and libssh2 are built with",
    is_there: || std::path::Path::new("/usr/include/openssl/ssl.h").exists(),
};
const PKG_CONFIG: Need = Need {
    package: "pkg-config",
    why: "finds OpenSSL",
    is_there: || find_program("pkg-config").is_some(),
};
const GIT: Need = Need {
    package: "git",
    why: "makes the repositories that tests read",
    is_there: || find_program("git").is_some(),
};
const OPENSSL_PROGRAM: Need = Need {
    package: "openssl",
    why: "makes the certificates of test servers",
    is_there: || find_program("openssl").is_some(),
};
const SSH_SERVER: Need = Need {
    package: "openssh-server",
    why: "the server that tests fetch from over SSH",
    is_there: || std::path::Path::new("/usr/sbin/sshd").exists(),
};
const SSH_KEYS: Need = Need {
    package: "openssh-client",
    why: "ssh-keygen, which makes the keys of tests",
    is_there: || find_program("ssh-keygen").is_some(),
};
const OPENPGP_KEYS: Need = Need {
    package: "gnupg",
    why: "gpg, which signs commits for tests",
    is_there: || find_program("gpg").is_some(),
};
const FAKE_CLOCK: Need = Need {
    package: "libfaketime",
    why: "sets the clock of a controller under test",
    is_there: || {
        let folders = std::fs::read_dir("/usr/lib")
            .into_iter()
            .flatten()
            .flatten();
        let mut files = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        files.any(|file| file.exists())
    },
};
const POSTGRES: Need = Need {
    package: postgres::PACKAGE,
    why: "the database server for tests",
    is_there: postgres::is_available,
};

/// Installs what building and the control plane need.
///
/// # Errors
///
/// See [`ensure_all`].
pub fn ensure_basics() -> Result<()> {
    ensure_all(&[SETPRIV, COMPILER, MAKE, C_LIBRARY, OPENSSL, PKG_CONFIG])
}

/// Installs what tests start besides.
///
/// # Errors
///
/// See [`ensure_all`].
pub fn ensure_for_tests() -> Result<()> {
    ensure_all(&[
        GIT,
        OPENSSL_PROGRAM,
        SSH_SERVER,
        SSH_KEYS,
        OPENPGP_KEYS,
        FAKE_CLOCK,
    ])
}

/// Installs what a database server needs besides.
///
/// # Errors
///
/// See [`ensure_all`].
pub fn ensure_postgres() -> Result<()> {
    ensure_all(&[POSTGRES])
}

/// Installs what is missing with apt-get, as root on Debian.
///
/// # Errors
///
/// Anywhere else fails with the line to run. Fails when apt-get does.
fn ensure_all(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !is_root() || find_program("apt-get").is_none() {
        bail!("{}", render_request(&missing));
    }
    for need in &missing {
        progress(format!(
            "installing {} with apt-get: {}",
            need.package, need.why
        ));
    }
    // A fresh machine has no package lists yet, an old one has stale ones.
    if !install(&names)? {
        run_apt_get(&["update", "-qq"])?;
        ensure!(
            install(&names)?,
            "apt-get could not install {}",
            names.join(" ")
        );
    }
    Ok(())
}

fn install(names: &[&str]) -> Result<bool> {
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(names);
    run_apt_get(&arguments)
}

fn run_apt_get(arguments: &[&str]) -> Result<bool> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        // Stdout belongs to results; apt-get reports errors on stderr.
        .stdout(Stdio::null())
        .status()
        .context("start apt-get")?;
    Ok(status.success())
}

fn render_request(missing: &[&Need]) -> String {
    let names: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let reasons: Vec<String> = missing
        .iter()
        .map(|need| format!("  {}: {}", need.package, need.why))
        .collect();
    format!(
        "missing on this machine:\n{}\nplease run: sudo apt-get install -y {}",
        reasons.join("\n"),
        names.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_names_each_package_and_why() {
        let text = render_request(&[&POSTGRES, &SETPRIV]);
        assert!(text.contains("postgresql: the database server for tests"));
        assert!(text.ends_with("apt-get install -y postgresql util-linux"));
    }
}
