//! How this process runs: flags, then environment, then a file, then defaults, checked once at start.
//! The only reader of the environment. What is to run stands in `platform.yaml`, never here.

mod controller;
mod file;
mod git;
mod known;
mod master;
mod telling;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::edge::files::{self, FileError, Links};
use crate::model::{Secret, address};
use crate::spec::outline::OutlineError;
pub use controller::ControllerSettings;
use file::{Leaf, Place};
pub use git::GitSettings;
use known::{KNOWN, Known, Shown};
pub use master::MasterSettings;
pub use telling::{CommitStatusSettings, NotifySettings, ObservabilitySettings};

/// The largest settings file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// What a time limit may be: zero would stop every call, and more than five minutes is no limit.
const SECONDS: RangeInclusive<u64> = 1..=300;

/// The environment as the process was given it.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Takes the process's environment; names that are not UTF-8 cannot be ours and are dropped.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str()
    }

    /// Tells whether a variable is set to anything but nothing.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_empty())
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(pairs: I) -> Self {
        let named = |(name, value): (OsString, _)| Some((name.into_string().ok()?, value));
        Self(pairs.into_iter().filter_map(named).collect())
    }
}

/// The flags that are settings.
#[derive(Clone, Default)]
pub struct Flags {
    /// `--config`: the settings file.
    pub config: Option<PathBuf>,
    /// `--database-url`.
    pub database_url: Option<Secret<String>>,
    /// The SOURCE argument.
    pub source: Option<String>,
    /// `--allow-rewind`.
    pub allow_rewind: bool,
}

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the settings file.
    File {
        /// The file as named on the command line.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// A variable of this name.
    Environment(String),
    /// A flag or argument of this name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One effective setting, fit to be shown: secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, such as `database.url`.
    pub path: &'static str,
    /// Its value, masked; `None` when it is not set.
    pub shown: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// What it is for.
    pub purpose: &'static str,
}

/// The effective settings.
#[derive(Clone)]
pub struct Settings {
    /// `development` unless set; `prod`, `production` and `staging` turn the production policy on.
    pub environment: String,
    /// Whether the production policy is on whatever the environment is called.
    pub enforce_production: bool,
    /// The kubeconfig, or several joined by `:`; `None` means the usual places.
    pub kubeconfig: Option<String>,
    /// Whether the account of the pod may be used when there is no kubeconfig.
    pub in_cluster: bool,
    /// How long one call to a cluster may take.
    pub call_limit: Duration,
    /// Where `platform.yaml` is read from.
    pub source: String,
    /// How the controller runs.
    pub controller: ControllerSettings,
    /// How git sources are reached.
    pub git: GitSettings,
    /// Who is notified of what happens.
    pub notify: NotifySettings,
    /// Which git host is told how it goes with commits.
    pub commit_status: CommitStatusSettings,
    /// How weights are made and served.
    pub master: MasterSettings,
    /// What is told of the program's own work.
    pub observability: ObservabilitySettings,
    /// Who runs the program, for records.
    pub actor: String,
    /// Every setting as it may be shown, sorted by path.
    pub entries: Vec<Entry>,
    /// Variables that look like settings but are none, with the nearest known name.
    pub ignored: Vec<(String, String)>,
    database_url: Secret<String>,
}

/// Why the settings cannot be used. No text holds a value that may be secret.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The settings file could not be read.
    #[error("cannot read the settings file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: FileError,
    },
    /// Settings in YAML that cannot be read as such.
    #[error("cannot read the settings in {origin}")]
    Yaml {
        /// The file or variable.
        origin: String,
        /// What is wrong with it.
        #[source]
        source: OutlineError,
    },
    /// Something else where keys and values are due.
    #[error("{0}: settings are keys and values, such as `database: {{url: …}}`")]
    NoMapping(String),
    /// A key that no setting has.
    #[error("{origin}: unknown setting `{path}`; did you mean `{nearest}`?")]
    Unknown {
        /// File and line.
        origin: String,
        /// The key's path.
        path: String,
        /// The nearest known path.
        nearest: String,
    },
    /// A key that stands twice.
    #[error("{origin}: `{path}` is set twice")]
    Twice {
        /// File and line of the second.
        origin: String,
        /// The key's path.
        path: String,
    },
    /// A value of the wrong kind.
    #[error("{path} from {origin}: {expected} is expected")]
    Value {
        /// The setting.
        path: String,
        /// Where the value comes from.
        origin: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Weights that would run out before the next ones are there.
    #[error(
        "master.epoch_interval_seconds from {origin}: an epoch of {epoch} s and up to {asking} s for asking the \
         challenges are longer than the {good_for} s that weights are good for; make it {most} or \
         less, or master.challenge_timeout_seconds or master.challenge_retries smaller"
    )]
    Epoch {
        /// Where the epoch comes from.
        origin: Origin,
        /// The epoch, in seconds.
        epoch: u64,
        /// The longest that challenges are asked, in seconds.
        asking: f64,
        /// How long a vector is good, in seconds.
        good_for: u64,
        /// The longest epoch that would do, in seconds.
        most: u64,
    },
    /// A variable that the file names and nobody set.
    #[error("{origin}: `${{{name}}}` names a variable that is not set")]
    Unset {
        /// File and line.
        origin: String,
        /// The variable.
        name: String,
    },
    /// The production policy needs PostgreSQL.
    #[error(
        "the production policy needs a PostgreSQL database; database.url from {origin} is {found}"
    )]
    NotPostgres {
        /// Where the address comes from.
        origin: Origin,
        /// What it is instead.
        found: &'static str,
    },
    /// No database address at all.
    #[error("database.url from {0} is empty")]
    NoDatabase(Origin),
}

/// Shows what may be shown: a source's address can hold a password too.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.entries).finish()
    }
}

impl Settings {
    /// Gathers the settings from flags, environment, file and defaults.
    ///
    /// # Errors
    /// An unreadable file, an unknown or doubled key in it, a value of the wrong kind, and, under the
    /// production policy, a `${NAME}` that is not set.
    pub fn gather(flags: &Flags, environment: &Environment) -> Result<Self, SettingsError> {
        let mut values = Values::default();
        let mut unset = Vec::new();
        if let Some(path) = &flags.config {
            for mut leaf in read_file(path)? {
                unset.extend(leaf.expand(environment));
                values.put(leaf);
            }
        }
        let ignored = values.take_environment(environment)?;
        values.take_flags(flags);
        let mut settings = values.into_settings(ignored)?;
        settings.git.take_usual_places(environment);
        settings.actor = environment
            .get("USER")
            .or_else(|| environment.get("LOGNAME"))
            .unwrap_or("an unnamed user")
            .to_owned();
        match unset.into_iter().next() {
            Some((place, name)) if settings.enforces_production() => Err(SettingsError::Unset {
                origin: place.to_string(),
                name,
            }),
            _ => Ok(settings),
        }
    }

    /// Tells whether these settings alone turn the production policy on. The declaration's `environment`
    /// can turn it on as well, never off.
    #[must_use]
    pub fn enforces_production(&self) -> bool {
        let named = ["prod", "production", "staging"];
        self.enforce_production || named.contains(&self.environment.to_ascii_lowercase().as_str())
    }

    /// Returns the database's address. `production` adds the policy that the declaration asks for.
    ///
    /// # Errors
    /// The address is empty, or the production policy is on and it is no PostgreSQL address.
    pub fn database_url(&self, production: bool) -> Result<&Secret<String>, SettingsError> {
        let url = self.database_url.expose().trim();
        let origin = || self.origin_of("database.url");
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        // As earlier settings have it, with the name of a driver: `postgresql+asyncpg://…`.
        let is_postgres = scheme.is_some_and(|scheme| {
            matches!(scheme.split('+').next(), Some("postgres" | "postgresql"))
        });
        if url.is_empty() {
            return Err(SettingsError::NoDatabase(origin()));
        }
        if (production || self.enforces_production()) && !is_postgres {
            let found = match url.split(':').next() {
                Some("sqlite") => "SQLite",
                _ => "something else",
            };
            return Err(SettingsError::NotPostgres {
                origin: origin(),
                found,
            });
        }
        Ok(&self.database_url)
    }

    /// Returns the database's address as it may be shown.
    #[must_use]
    pub fn database_shown(&self) -> String {
        address::masked(self.database_url.expose())
    }

    fn origin_of(&self, path: &str) -> Origin {
        let entry = self.entries.iter().find(|entry| entry.path == path);
        entry.map_or(Origin::Default, |entry| entry.origin.clone())
    }
}

fn read_file(path: &Path) -> Result<Vec<Leaf>, SettingsError> {
    let bytes = files::read_regular(path, MAX_FILE, Links::Follow).map_err(|source| {
        SettingsError::File {
            path: path.to_owned(),
            source,
        }
    })?;
    let place = |line| Place::File {
        path: path.to_owned(),
        line,
    };
    let leaves = file::parse_leaves(&bytes, "", &place)?;
    for leaf in &leaves {
        let is_empty_section = leaf.is_nothing() && Known::is_section(&leaf.path);
        if Known::find(&leaf.path).is_none() && !is_empty_section {
            return Err(SettingsError::Unknown {
                origin: leaf.place.to_string(),
                path: leaf.path.clone(),
                nearest: Known::nearest(&leaf.path).to_owned(),
            });
        }
    }
    Ok(leaves)
}

/// The winning value of each path so far; later sources overwrite earlier ones.
#[derive(Default)]
struct Values(BTreeMap<&'static str, Leaf>);

impl Values {
    fn put(&mut self, leaf: Leaf) -> bool {
        let known = Known::find(&leaf.path);
        if let (Some(known), false) = (known, leaf.is_nothing()) {
            self.0.insert(known.path, leaf);
        }
        known.is_some()
    }

    /// Takes what the environment says, weaker names first; returns names that look like settings.
    fn take_environment(
        &mut self,
        environment: &Environment,
    ) -> Result<Vec<(String, String)>, SettingsError> {
        self.take_kubeconfig(environment);
        if environment.0.contains_key("PLATFORM_DATABASE_URL") {
            self.put(variable(
                environment,
                "PLATFORM_DATABASE_URL",
                "database.url",
            )?);
        }
        let mut ignored = Vec::new();
        for name in environment.0.keys() {
            let Some(path) = path_of(name) else { continue };
            for leaf in variables(environment, name, &path)? {
                let path = leaf.path.clone();
                if !self.put(leaf) && path.contains('.') {
                    ignored.push((name.clone(), variable_of(Known::nearest(&path))));
                }
            }
        }
        Ok(ignored)
    }

    /// `KUBECONFIG` belongs to all tools on this machine, so anything said to this one beats it.
    fn take_kubeconfig(&mut self, environment: &Environment) {
        let path = "kubernetes.kubeconfig";
        if let (Some(text), false) = (environment.get("KUBECONFIG"), self.0.contains_key(path)) {
            self.put(Leaf::new(
                path,
                text,
                Place::Variable("KUBECONFIG".to_owned()),
            ));
        }
    }

    fn take_flags(&mut self, flags: &Flags) {
        if let Some(url) = &flags.database_url {
            let place = Place::Flag("--database-url");
            self.put(Leaf::new("database.url", url.expose(), place));
        }
        if let Some(source) = &flags.source {
            self.put(Leaf::new("source", source, Place::Flag("SOURCE")));
        }
        if flags.allow_rewind {
            let place = Place::Flag("--allow-rewind");
            self.put(Leaf::new("git.allow_rewind", "true", place));
        }
    }

    fn into_settings(self, ignored: Vec<(String, String)>) -> Result<Settings, SettingsError> {
        Ok(Settings {
            environment: self.text("environment")?.unwrap_or_default(),
            enforce_production: self.flag("policy.enforce_production")?,
            kubeconfig: self.text("kubernetes.kubeconfig")?,
            in_cluster: self.flag("kubernetes.in_cluster")?,
            call_limit: self.seconds("kubernetes.timeout_seconds")?,
            source: self.text("source")?.unwrap_or_default(),
            git: GitSettings::of(&self)?,
            controller: ControllerSettings::of(&self)?,
            notify: NotifySettings::of(&self)?,
            commit_status: CommitStatusSettings::of(&self)?,
            master: MasterSettings::of(&self)?,
            observability: ObservabilitySettings::of(&self)?,
            database_url: Secret::new(self.raw("database.url")?.unwrap_or_default().to_owned()),
            actor: String::new(),
            entries: KNOWN.iter().map(|known| self.entry(known)).collect(),
            ignored,
        })
    }

    fn raw(&self, path: &str) -> Result<Option<&str>, SettingsError> {
        match self.0.get(path) {
            Some(leaf) => leaf.text().map(Some),
            None => Ok(Known::find(path).and_then(|known| known.default)),
        }
    }

    /// An empty text stands for "not set", so the default holds.
    fn text(&self, path: &str) -> Result<Option<String>, SettingsError> {
        let default = Known::find(path).and_then(|known| known.default);
        let text = self.raw(path)?.filter(|text| !text.is_empty()).or(default);
        Ok(text.map(str::to_owned))
    }

    fn flag(&self, path: &str) -> Result<bool, SettingsError> {
        let text = self.text(path)?.unwrap_or_default();
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(self.refuse(path, "true or false")),
        }
    }

    fn address(&self, path: &str) -> Result<SocketAddr, SettingsError> {
        let text = self.text(path)?.unwrap_or_default();
        text.parse()
            .map_err(|_| self.refuse(path, "an address and port such as 127.0.0.1:8083"))
    }

    fn refuse(&self, path: &str, expected: &'static str) -> SettingsError {
        let origin = self.0.get(path).map(|leaf| leaf.place.to_string());
        SettingsError::Value {
            path: path.to_owned(),
            origin: origin.unwrap_or_default(),
            expected,
        }
    }

    fn origin(&self, path: &str) -> Origin {
        let leaf = self.0.get(path);
        leaf.map_or(Origin::Default, |leaf| leaf.place.origin())
    }

    fn seconds(&self, path: &str) -> Result<Duration, SettingsError> {
        self.seconds_in(path, SECONDS, "a number of seconds from 1 to 300")
    }

    fn seconds_in(
        &self,
        path: &str,
        range: RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Duration, SettingsError> {
        let text = self.text(path)?.unwrap_or_default();
        let seconds = text.parse().ok().filter(|seconds| range.contains(seconds));
        let seconds = seconds.map(Duration::from_secs);
        seconds.ok_or_else(|| self.refuse(path, expected))
    }

    fn entry(&self, known: &Known) -> Entry {
        let leaf = self.0.get(known.path);
        let text = leaf.map_or(known.default, |leaf| leaf.text().ok());
        let shown = text
            .filter(|text| !text.is_empty())
            .map(|text| match known.shown {
                Shown::AsAddress => address::masked(text),
                Shown::Masked => "***".to_owned(),
                Shown::AsItIs => text.to_owned(),
            });
        Entry {
            path: known.path,
            shown,
            origin: self.origin(known.path),
            purpose: known.purpose,
        }
    }
}

/// `PLATFORM_` and a path, its parts joined by `__`. Names with single underscores only are what
/// Kubernetes injects for Services called `platform-…`; a path of one part is the exception.
fn path_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix("PLATFORM_")?;
    let is_upper = !rest.bytes().any(|byte| byte.is_ascii_lowercase());
    let path = rest.to_ascii_lowercase().replace("__", ".");
    (is_upper && (path.contains('.') || !path.contains('_'))).then_some(path)
}

fn variable_of(path: &str) -> String {
    format!("PLATFORM_{}", path.to_ascii_uppercase().replace('.', "__"))
}

fn variable(environment: &Environment, name: &str, path: &str) -> Result<Leaf, SettingsError> {
    let text = environment.get(name).ok_or_else(|| SettingsError::Value {
        path: path.to_owned(),
        origin: Origin::Environment(name.to_owned()).to_string(),
        expected: "UTF-8 text",
    })?;
    Ok(Leaf::new(path, text, Place::Variable(name.to_owned())))
}

/// A value that begins with `[` or `{` is YAML, and may set a whole section.
fn variables(
    environment: &Environment,
    name: &str,
    path: &str,
) -> Result<Vec<Leaf>, SettingsError> {
    let leaf = variable(environment, name, path)?;
    match environment.get(name) {
        Some(text) if text.starts_with(['[', '{']) => {
            let place = |_| Place::Variable(name.to_owned());
            file::parse_leaves(text.as_bytes(), path, &place)
        }
        _ => Ok(vec![leaf]),
    }
}

#[cfg(test)]
mod tests;
