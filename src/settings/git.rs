//! How git sources are reached.

use std::path::PathBuf;
use std::time::Duration;

use super::{Environment, SettingsError, Values};
use crate::model::Secret;

/// Credentials for git by reference, and where what is fetched is kept.
#[derive(Clone, Debug)]
pub struct GitSettings {
    /// The user for HTTPS.
    pub username: Option<String>,
    /// The password or token for HTTPS.
    pub password: Option<Secret<String>>,
    /// A file that holds it.
    pub password_file: Option<PathBuf>,
    /// The private key for SSH.
    pub ssh_key: Option<PathBuf>,
    /// The host keys that are accepted.
    pub known_hosts: Option<PathBuf>,
    /// The authorities that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Where repositories are kept, when there is such a place.
    pub cache: Option<PathBuf>,
    /// Where they are kept for one question otherwise.
    pub scratch: PathBuf,
    /// How long one question may take.
    pub timeout: Duration,
    /// Whether every commit must be signed.
    pub verifies: bool,
    /// Who may sign.
    pub allowed_signers: Option<PathBuf>,
    /// Who may sign with OpenPGP keys.
    pub openpgp_keys: Option<PathBuf>,
    /// Keys that may not.
    pub revoked_keys: Option<PathBuf>,
    /// Whether a commit is taken that does not descend from the one applied last.
    pub allows_rewind: bool,
}

impl GitSettings {
    pub(super) fn of(values: &Values) -> Result<Self, SettingsError> {
        let path = |name| Ok(values.text(name)?.map(PathBuf::from));
        Ok(Self {
            username: values.text("git.username")?,
            password: values.text("git.password")?.map(Secret::new),
            password_file: path("git.password_file")?,
            ssh_key: path("git.ssh_key")?,
            known_hosts: path("git.known_hosts")?,
            ca_file: path("git.ca_file")?,
            cache: path("git.cache")?,
            scratch: PathBuf::from("/tmp"),
            timeout: values.seconds("git.timeout_seconds")?,
            verifies: verifies(values)?,
            allowed_signers: path("git.allowed_signers")?,
            openpgp_keys: path("git.openpgp_keys")?,
            revoked_keys: path("git.revoked_keys")?,
            allows_rewind: values.flag("git.allow_rewind")?,
        })
    }

    /// Fills in where a user's files normally are.
    pub(super) fn take_usual_places(&mut self, environment: &Environment) {
        let place = |name| environment.get(name).filter(|path| path.starts_with('/'));
        let home = place("HOME").map(PathBuf::from);
        if let Some(scratch) = place("TMPDIR") {
            self.scratch = PathBuf::from(scratch);
        }
        if self.cache.is_none() {
            let cache = place("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(home.as_ref()?.join(".cache")));
            self.cache = cache.map(|cache| cache.join("platform/git"));
        }
        if self.known_hosts.is_none() {
            let hosts = home.map(|home| home.join(".ssh/known_hosts"));
            self.known_hosts = hosts.filter(|hosts| hosts.exists());
        }
    }
}

/// Anything but `off` and `signed` is refused: a typing error must not turn the check off.
fn verifies(values: &Values) -> Result<bool, SettingsError> {
    match values.text("git.verify")?.unwrap_or_default().as_str() {
        "off" => Ok(false),
        "signed" => Ok(true),
        _ => Err(values.refuse("git.verify", "off or signed")),
    }
}
