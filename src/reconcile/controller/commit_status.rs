//! Tells a git host how it went with a commit: pending, success or failure, in the form that the host takes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::board::Board;
use super::delivery::deliver;
use super::tellers::{Channel, Fate};
use crate::edge::hooks::{Address, AddressError, HookError, Hooks, Posting};
use crate::model::Secret;
use crate::model::notice::HostForm;
use crate::reconcile::render::mask;

/// Commits whose last status is remembered.
const REMEMBERED: usize = 100;
/// How long a host that was away is left alone before it is told again: nothing else would tell it how a commit ended.
const AWAY: Duration = Duration::from_secs(60);
/// What GitHub takes of a description, in characters.
const MAX_DESCRIPTION: usize = 140;

/// How it goes with a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The full object id in hex.
    pub commit: String,
    /// How it goes.
    pub state: CommitState,
    /// The same for people.
    pub description: String,
}

/// How it goes with a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitState {
    /// It is under way, or waits for somebody.
    Pending,
    /// Everything is as it declares.
    Success,
    /// It cannot be used, or something of it is not done.
    Failure,
}

/// A git host that is told, and as whom.
pub struct CommitStatus {
    form: HostForm,
    api: Address,
    repository: String,
    token: Secret<String>,
    context: String,
    /// What each commit was last said to be.
    told: BTreeMap<String, CommitState>,
    order: VecDeque<String>,
    /// What a host that was away is told again, by commit.
    late: BTreeMap<String, Outlook>,
}

/// Why a git host cannot be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitStatusError {
    /// The address cannot be used.
    #[error("commit_status.url cannot be used")]
    Address(#[source] AddressError),
    /// Neither set nor to be found out from the source.
    #[error("commit_status.{0} is not set, and the source is no https address that tells it")]
    Unknown(&'static str),
    /// There is no token.
    #[error("commit_status has no token")]
    NoToken,
}

/// What is set of a git host; the rest follows from the source.
pub struct HostSettings<'a> {
    /// The form.
    pub form: HostForm,
    /// The address of its API.
    pub url: Option<&'a str>,
    /// The repository, as the host names it.
    pub repository: Option<&'a str>,
    /// The token.
    pub token: Option<Secret<String>>,
    /// The name under which the status is shown.
    pub context: &'a str,
    /// The source that is followed.
    pub source: &'a str,
}

/// Returns where the API of a host is.
fn api(form: HostForm, host: &str) -> String {
    match (form, host) {
        (HostForm::Github, "github.com") => "https://api.github.com".to_owned(),
        (HostForm::Github, host) => format!("https://{host}/api/v3"),
        (HostForm::Gitlab, host) => format!("https://{host}/api/v4"),
        (HostForm::Gitea, host) => format!("https://{host}/api/v1"),
    }
}

/// Returns host and repository of an `https` git address.
fn place(source: &str) -> Option<(String, String)> {
    let address = source.split('#').next()?;
    let address = Address::parse(address)
        .ok()
        .filter(|_| address.starts_with("https://"))?;
    let repository = address.path().trim_matches('/');
    let repository = repository.strip_suffix(".git").unwrap_or(repository);
    (!repository.is_empty()).then(|| (address.host(), repository.to_owned()))
}

impl CommitStatus {
    /// Finds out where a status goes: what is set, and otherwise what the source tells.
    ///
    /// # Errors
    /// Any [`CommitStatusError`].
    pub fn new(settings: HostSettings<'_>) -> Result<Self, CommitStatusError> {
        let HostSettings {
            form,
            url,
            repository,
            token,
            context,
            source,
        } = settings;
        let place = place(source);
        let url = url.map(str::to_owned).or_else(|| {
            let (host, _) = place.as_ref()?;
            Some(api(form, host))
        });
        let url = url.ok_or(CommitStatusError::Unknown("url"))?;
        let repository = repository.map(str::to_owned).or(place.map(|place| place.1));
        Ok(Self {
            form,
            api: Address::parse_for_token(&url).map_err(CommitStatusError::Address)?,
            repository: repository.ok_or(CommitStatusError::Unknown("repository"))?,
            token: token.ok_or(CommitStatusError::NoToken)?,
            context: context.to_owned(),
            told: BTreeMap::new(),
            order: VecDeque::new(),
            late: BTreeMap::new(),
        })
    }

    /// Tells what comes until nobody sends any more.
    pub async fn tell(
        mut self,
        hooks: Arc<dyn Hooks>,
        board: Arc<Board>,
        mut outlooks: mpsc::Receiver<Outlook>,
    ) {
        let mut retry = Instant::now();
        loop {
            let outlook = tokio::select! {
                outlook = outlooks.recv() => outlook,
                () = tokio::time::sleep_until(retry), if !self.late.is_empty() => {
                    self.late.pop_first().map(|(_, outlook)| outlook)
                }
            };
            let Some(outlook) = outlook else { return };
            if self.is_news(&outlook) {
                let is_there = self.tell_one(hooks.as_ref(), &board, outlook).await;
                retry = Instant::now() + if is_there { Duration::ZERO } else { AWAY };
            }
        }
    }

    /// Tells of one commit, and returns whether the host answered.
    async fn tell_one(&mut self, hooks: &dyn Hooks, board: &Board, outlook: Outlook) -> bool {
        self.late.remove(&outlook.commit);
        let told = deliver(hooks, &self.posting(&outlook)).await;
        if let Err(error) = &told {
            tracing::warn!(%error, commit = outlook.commit, "the status of a commit was not delivered");
        }
        let fate = if told.is_ok() {
            Fate::Sent
        } else {
            Fate::Failed
        };
        board.count(Channel::CommitStatus, fate);
        if let Err(HookError::Later { .. }) = told {
            self.late.insert(outlook.commit.clone(), outlook);
            if self.late.len() > REMEMBERED {
                self.late.pop_first();
            }
            return false;
        }
        // Not again before it is another one: what is refused is refused each time.
        self.remember(outlook);
        true
    }

    /// A commit that came to its good end does not become pending again when a pod starts anew.
    fn is_news(&self, outlook: &Outlook) -> bool {
        match (self.told.get(&outlook.commit), outlook.state) {
            (Some(old), new) if *old == new => false,
            (Some(CommitState::Success | CommitState::Failure), CommitState::Pending) => false,
            _ => true,
        }
    }

    fn remember(&mut self, outlook: Outlook) {
        if self
            .told
            .insert(outlook.commit.clone(), outlook.state)
            .is_none()
        {
            self.order.push_back(outlook.commit);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
    }

    fn posting(&self, outlook: &Outlook) -> Posting {
        let Outlook {
            commit,
            state,
            description,
        } = outlook;
        let description = mask::without_passwords(description);
        let description = mask::printable(&description);
        let description: String = description.chars().take(MAX_DESCRIPTION).collect();
        let context = &self.context;
        let token = |prefix: &str| Secret::new(format!("{prefix}{}", self.token.expose()));
        let (segments, headers, body) = match self.form {
            HostForm::Github => (
                self.repository_path("repos"),
                vec![("authorization", token("Bearer "))],
                json!({"state": state.word(), "description": description, "context": context}),
            ),
            HostForm::Gitea => (
                self.repository_path("repos"),
                vec![("authorization", token("token "))],
                json!({"state": state.word(), "description": description, "context": context}),
            ),
            HostForm::Gitlab => (
                vec!["projects", self.repository.as_str()],
                vec![("private-token", token(""))],
                json!({"state": state.word_of_gitlab(), "description": description, "name": context}),
            ),
        };
        let segments = [segments, vec!["statuses", commit.as_str()]].concat();
        Posting {
            address: self.api.below(&segments),
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    fn repository_path<'a>(&'a self, first: &'a str) -> Vec<&'a str> {
        std::iter::once(first)
            .chain(self.repository.split('/'))
            .collect()
    }
}

impl CommitState {
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    fn word_of_gitlab(self) -> &'static str {
        match self {
            Self::Pending => "running",
            Self::Success => "success",
            Self::Failure => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::reconcile::controller::delivery::fake::{FakeHooks, later};

    fn settings<'a>(form: HostForm, source: &'a str) -> HostSettings<'a> {
        HostSettings {
            form,
            url: None,
            repository: None,
            token: Some(Secret::new("canary".to_owned())),
            context: "platform",
            source,
        }
    }

    fn outlook(state: CommitState) -> Outlook {
        Outlook {
            commit: "a".repeat(40),
            state,
            description: "https://u:canary@h/ ".repeat(20),
        }
    }

    #[test]
    fn each_host_is_told_in_its_form_and_the_token_stays_in_its_header() {
        let commit = "a".repeat(40);
        for (form, source, host, path, header, value, state) in [
            (
                HostForm::Github,
                "https://github.com/o/subnet.git#main:deploy",
                "api.github.com",
                format!("/repos/o/subnet/statuses/{commit}"),
                "authorization",
                "Bearer canary",
                "failure",
            ),
            (
                HostForm::Gitlab,
                "https://git.example:8443/group/sub/subnet",
                "git.example:8443",
                format!("/api/v4/projects/group%2Fsub%2Fsubnet/statuses/{commit}"),
                "private-token",
                "canary",
                "failed",
            ),
            (
                HostForm::Gitea,
                "https://git.example/o/subnet",
                "git.example",
                format!("/api/v1/repos/o/subnet/statuses/{commit}"),
                "authorization",
                "token canary",
                "failure",
            ),
        ] {
            let status = CommitStatus::new(settings(form, source)).unwrap();
            let posting = status.posting(&outlook(CommitState::Failure));
            assert_eq!(
                (posting.address.host().as_str(), posting.address.path()),
                (host, path.as_str())
            );
            assert_eq!(posting.headers.len(), 1);
            assert_eq!(
                (posting.headers[0].0, posting.headers[0].1.expose().as_str()),
                (header, value)
            );
            let body: Value = serde_json::from_slice(&posting.body).unwrap();
            assert_eq!(body["state"], state);
            assert!(!body.to_string().contains("canary"), "{body}");
            assert!(body["description"].as_str().unwrap().chars().count() <= MAX_DESCRIPTION);
            assert!(!format!("{posting:?}").contains("canary"), "{posting:?}");
        }
    }

    #[test]
    fn what_cannot_be_found_out_is_asked_for() {
        let refused = |settings| CommitStatus::new(settings).err();
        let over_ssh = "ssh://git@git.example/o/subnet";
        let unknown = refused(settings(HostForm::Gitea, over_ssh));
        assert_eq!(unknown, Some(CommitStatusError::Unknown("url")));
        let named = HostSettings {
            url: Some("https://git.example/api/v1"),
            ..settings(HostForm::Gitea, over_ssh)
        };
        assert_eq!(
            refused(named),
            Some(CommitStatusError::Unknown("repository"))
        );
        let clear = HostSettings {
            url: Some("http://git.example/api/v1"),
            ..settings(HostForm::Gitea, over_ssh)
        };
        let clear = refused(clear);
        assert_eq!(clear, Some(CommitStatusError::Address(AddressError::Clear)));
        let without = HostSettings {
            token: None,
            ..settings(HostForm::Github, "https://github.com/o/r")
        };
        assert_eq!(refused(without), Some(CommitStatusError::NoToken));
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_told_of_when_its_state_changes_and_never_back_to_pending() {
        use CommitState::{Failure, Pending, Success};
        let hooks = Arc::new(FakeHooks::default());
        let status =
            CommitStatus::new(settings(HostForm::Github, "https://github.com/o/r")).unwrap();
        let (send, receive) = mpsc::channel(20);
        for state in [
            Pending, Pending, Success, Pending, Success, Failure, Pending, Success,
        ] {
            send.send(outlook(state)).await.unwrap();
        }
        drop(send);
        status.tell(hooks.clone(), Arc::default(), receive).await;
        let posted = hooks.posted.lock().unwrap();
        let states = posted.iter().map(|posting| {
            let body: Value = serde_json::from_slice(&posting.body).unwrap();
            body["state"].as_str().unwrap().to_owned()
        });
        assert_eq!(
            states.collect::<Vec<_>>(),
            ["pending", "success", "failure", "success"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_was_away_is_told_how_a_commit_ended_when_it_is_back() {
        let hooks = Arc::new(FakeHooks::default());
        // Twice as many as one status is sent.
        let away = (0..10).map(|_| Err(later()));
        hooks.answers.lock().unwrap().extend(away);
        let status =
            CommitStatus::new(settings(HostForm::Github, "https://github.com/o/r")).unwrap();
        let (send, receive) = mpsc::channel(20);
        let ending = async {
            send.send(outlook(CommitState::Success)).await.unwrap();
            tokio::time::sleep(AWAY * 10).await;
            drop(send);
        };
        tokio::join!(status.tell(hooks.clone(), Arc::default(), receive), ending);
        assert_eq!(hooks.posted.lock().unwrap().len(), 11);
    }
}
