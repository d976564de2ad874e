//! Who is told what happens, besides the cluster, and what the program tells of its own work.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{SettingsError, Values};
use crate::model::Secret;
use crate::model::notice::{HostForm, NoticeClass};

/// A webhook that is told.
#[derive(Clone, Debug)]
pub struct NotifySettings {
    /// Where notifications go; its path may be a secret.
    pub url: Option<Secret<String>>,
    /// What they are signed with.
    pub secret: Option<Secret<String>>,
    /// What is notified of.
    pub on: BTreeSet<NoticeClass>,
}

/// A git host that is told how it goes with commits.
#[derive(Clone, Debug)]
pub struct CommitStatusSettings {
    /// The form that the host takes; nobody is told without.
    pub form: Option<HostForm>,
    /// The address of its API.
    pub url: Option<String>,
    /// The repository.
    pub repository: Option<String>,
    /// The token.
    pub token: Option<Secret<String>>,
    /// A file that holds it.
    pub token_file: Option<PathBuf>,
    /// The name under which the status is shown.
    pub context: String,
}

/// What is told of the program's own work.
#[derive(Clone, Debug)]
pub struct ObservabilitySettings {
    /// Whether logs are written as JSON where standard error is no terminal.
    pub log_json: bool,
    /// Where health, readiness and metrics are served.
    pub listen: SocketAddr,
    /// The collector that is sent traces, if any is.
    pub otel_endpoint: Option<String>,
    /// The name of the service in traces.
    pub otel_service_name: String,
}

impl ObservabilitySettings {
    pub(super) fn of(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            log_json: values.flag("observability.log_json")?,
            listen: values.address("observability.listen")?,
            otel_endpoint: values.text("observability.otel_endpoint")?,
            otel_service_name: values
                .text("observability.otel_service_name")?
                .unwrap_or_default(),
        })
    }
}

impl NotifySettings {
    pub(super) fn of(values: &Values) -> Result<Self, SettingsError> {
        let on = values.text("notify.on")?.unwrap_or_default();
        let words = on.split(',').map(str::trim).filter(|word| !word.is_empty());
        let on: Option<BTreeSet<NoticeClass>> = words.map(class).collect();
        let expected = "words out of success, failure and drift, joined by commas";
        Ok(Self {
            url: values.text("notify.url")?.map(Secret::new),
            secret: values.text("notify.secret")?.map(Secret::new),
            on: on.ok_or_else(|| values.refuse("notify.on", expected))?,
        })
    }
}

fn class(word: &str) -> Option<NoticeClass> {
    match word {
        "success" => Some(NoticeClass::Success),
        "failure" => Some(NoticeClass::Failure),
        "drift" => Some(NoticeClass::Drift),
        _ => None,
    }
}

impl CommitStatusSettings {
    pub(super) fn of(values: &Values) -> Result<Self, SettingsError> {
        let form = match values
            .text("commit_status.form")?
            .unwrap_or_default()
            .as_str()
        {
            "off" => None,
            "github" => Some(HostForm::Github),
            "gitlab" => Some(HostForm::Gitlab),
            "gitea" => Some(HostForm::Gitea),
            _ => return Err(values.refuse("commit_status.form", "off, github, gitlab or gitea")),
        };
        Ok(Self {
            form,
            url: values.text("commit_status.url")?,
            repository: values.text("commit_status.repository")?,
            token: values.text("commit_status.token")?.map(Secret::new),
            token_file: values.text("commit_status.token_file")?.map(PathBuf::from),
            context: values.text("commit_status.context")?.unwrap_or_default(),
        })
    }
}
