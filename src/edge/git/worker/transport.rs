//! One connection: credentials for the host of the source alone, host keys that are known, and what the
//! library says of a failure sorted into our words.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use git2::{
    AutotagOption, CertificateCheckStatus, Cred, CredentialType, Direction, ErrorClass, ErrorCode,
    FetchOptions, Oid, RemoteCallbacks, RemoteRedirect, Repository,
};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::store::read_bounded;
use super::{GitError, damaged, limits::MAX_RECEIVED_MIB, printable};
use crate::edge::git::address::{self, GitAddress, Reference};
use crate::edge::git::wire::Question;
use crate::model::CommitId;

/// The name under which the newest fetched commit is kept.
const KEPT: &str = "refs/platform/tip";
/// The largest file that holds a password.
const MAX_PASSWORD: u64 = 64 * 1024;

/// How to reach one repository, and what happened on the way.
pub(super) struct Transport {
    address: GitAddress,
    username: String,
    password: Option<String>,
    ssh_key: Option<PathBuf>,
    wants_history: bool,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    /// How often credentials were given; the library asks again when they are refused.
    given: Cell<u32>,
    has_none: Cell<bool>,
    is_over: Cell<bool>,
    fingerprint: RefCell<Option<String>>,
}

impl Transport {
    pub(super) fn new(address: &GitAddress, question: &Question) -> Result<Self, GitError> {
        let password = match (&question.password, &question.password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(path)) => {
                let bytes = read_bounded(path, MAX_PASSWORD)?;
                let text = String::from_utf8(bytes).map_err(|_| GitError::Local {
                    what: path.display().to_string(),
                    why: "it is not UTF-8".to_owned(),
                })?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            (None, None) => None,
        };
        Ok(Self {
            address: address.clone(),
            username: question.username.clone().unwrap_or("git".to_owned()),
            password: password.filter(|password| !password.is_empty()),
            ssh_key: question.ssh_key.clone(),
            wants_history: question.wants_history,
            seen: Seen::default(),
        })
    }

    /// Asks where the reference stands.
    pub(super) fn tip(&self, repository: &Repository) -> Result<CommitId, GitError> {
        let mut remote = repository
            .remote_anonymous(&self.address.repository)
            .map_err(|error| self.told(&error))?;
        let connection = remote
            .connect_auth(Direction::Fetch, Some(self.callbacks()), None)
            .map_err(|error| self.told(&error))?;
        let heads = connection.list().map_err(|error| self.told(&error))?;
        let (_, id) = self.pick(heads)?;
        CommitId::parse(&id.to_string()).ok_or(GitError::NoCommits)
    }

    /// Fetches a commit: of a branch or tag that stands there its tip alone, otherwise by its id, and where
    /// the server hands out no ids and the address names a commit, all branches and tags.
    pub(super) fn fetch(
        &self,
        repository: &Repository,
        id: Oid,
        is_pinned: bool,
    ) -> Result<(), GitError> {
        let by_id = format!("+{id}:{KEPT}");
        if is_pinned {
            let everything = [
                "+refs/heads/*:refs/platform/heads/*",
                "+refs/tags/*:refs/platform/tags/*",
            ];
            return match self.download(repository, &[&by_id]) {
                Ok(()) => Ok(()),
                Err(GitError::Unreachable { .. } | GitError::Damaged { .. }) => {
                    self.download(repository, &everything)
                }
                Err(error) => Err(error),
            };
        }
        let name = self.stands_at(repository, id)?;
        match name {
            Some(name) => self.download(repository, &[&format!("+{name}:{KEPT}")]),
            None => self.download(repository, &[&by_id]),
        }
    }

    /// Returns the full name of the reference, if it stands at this commit.
    fn stands_at(&self, repository: &Repository, id: Oid) -> Result<Option<String>, GitError> {
        let mut remote = repository
            .remote_anonymous(&self.address.repository)
            .map_err(|error| self.told(&error))?;
        let connection = remote
            .connect_auth(Direction::Fetch, Some(self.callbacks()), None)
            .map_err(|error| self.told(&error))?;
        let heads = connection.list().map_err(|error| self.told(&error))?;
        let (name, tip) = self.pick(heads)?;
        Ok((tip == id).then_some(name))
    }

    fn download(&self, repository: &Repository, specs: &[&str]) -> Result<(), GitError> {
        self.seen.given.set(0);
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(self.callbacks())
            .follow_redirects(RemoteRedirect::None)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false);
        let is_local = self.address.transport == address::Transport::File;
        if !is_local && !self.wants_history && specs.len() == 1 {
            options.depth(1);
        }
        let mut remote = repository
            .remote_anonymous(&self.address.repository)
            .map_err(|error| self.told(&error))?;
        remote
            .fetch(specs, Some(&mut options), None)
            .map_err(|error| self.told(&error))
    }

    /// Returns the full name that the reference has among those of the server, and the commit it stands at.
    /// A branch goes before a tag, so that nobody hides a branch behind a tag of its name.
    fn pick(&self, heads: &[git2::RemoteHead<'_>]) -> Result<(String, Oid), GitError> {
        let find = |name: &str| heads.iter().find(|head| head.name() == name);
        let names: Vec<String> = match &self.address.reference {
            Reference::Default | Reference::Commit(_) => vec!["HEAD".to_owned()],
            Reference::Name(name) if name.starts_with("refs/") => vec![name.clone()],
            Reference::Name(name) => ["heads", "tags"]
                .map(|kind| format!("refs/{kind}/{name}"))
                .to_vec(),
        };
        for name in names {
            // Of an annotated tag the server names the commit besides.
            let peeled = find(&format!("{name}^{{}}")).or_else(|| find(&name));
            if let Some(head) = peeled {
                return Ok((name, head.oid()));
            }
        }
        match (heads.is_empty(), &self.address.reference) {
            (false, Reference::Name(name)) => Err(GitError::NoReference {
                reference: name.clone(),
            }),
            _ => Err(GitError::NoCommits),
        }
    }

    fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(|_, user, allowed| self.credentials(user, allowed));
        callbacks.certificate_check(|certificate, _| {
            let key = certificate.as_hostkey();
            let hash = key.and_then(|key| key.hash_sha256().copied());
            *self.seen.fingerprint.borrow_mut() = hash.map(|hash| STANDARD_NO_PAD.encode(hash));
            // The library's verdict stands: against the known hosts, or the authorities.
            Ok(CertificateCheckStatus::CertificatePassthrough)
        });
        callbacks.transfer_progress(|progress| {
            let is_over = progress.received_bytes() as u64 > MAX_RECEIVED_MIB * 1024 * 1024;
            self.seen.is_over.set(is_over);
            !is_over
        });
        callbacks
    }

    fn credentials(
        &self,
        user: Option<&str>,
        allowed: CredentialType,
    ) -> Result<Cred, git2::Error> {
        let user = user.unwrap_or("git");
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        let given = self.seen.given.get();
        self.seen.given.set(given + 1);
        let refused = |why: &str| Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, why));
        if given > 0 {
            return refused("they were refused");
        }
        if let (true, Some(password)) = (
            allowed.contains(CredentialType::USER_PASS_PLAINTEXT)
                && self.address.transport == address::Transport::Http,
            &self.password,
        ) {
            return Cred::userpass_plaintext(&self.username, password);
        }
        if let (true, Some(key)) = (allowed.contains(CredentialType::SSH_KEY), &self.ssh_key) {
            return Cred::ssh_key(user, None, key, None);
        }
        self.seen.has_none.set(true);
        refused("there are none")
    }

    /// Sorts a failure of the library. Of its text nothing is taken for granted but that it helps a reader.
    fn told(&self, error: &git2::Error) -> GitError {
        let (host, why) = (self.address.host.clone(), self.shown(error.message()));
        let is_ssh = self.address.transport == address::Transport::Ssh;
        if self.seen.is_over.get() {
            return GitError::TooMuch {
                host,
                megabytes: MAX_RECEIVED_MIB,
            };
        }
        if self.seen.has_none.get() {
            return GitError::NoCredentials {
                host,
                for_ssh: is_ssh,
            };
        }
        match (error.code(), error.class()) {
            (ErrorCode::Certificate, _) if is_ssh => self.host_key(host),
            (_, ErrorClass::Ssh) if why.contains("host key") || why.contains("hostkey") => {
                self.host_key(host)
            }
            (ErrorCode::Certificate, _) | (_, ErrorClass::Ssl) => {
                GitError::Certificate { host, why }
            }
            (ErrorCode::Auth, _) => GitError::Refused { host, why },
            (_, ErrorClass::Ssh) if why.contains("authenticat") => GitError::Refused { host, why },
            (
                _,
                ErrorClass::Odb
                | ErrorClass::Zlib
                | ErrorClass::Object
                | ErrorClass::Tree
                | ErrorClass::Indexer
                | ErrorClass::Reference
                | ErrorClass::Sha1,
            ) => damaged(error),
            (_, ErrorClass::NoMemory) => GitError::Ended {
                host,
                why: "it needs more memory than is granted".to_owned(),
            },
            (_, ErrorClass::Os | ErrorClass::Repository | ErrorClass::Net) => {
                GitError::Unreachable { host, why }
            }
            _ if self.address.transport == address::Transport::File => damaged(error),
            _ => GitError::Unreachable { host, why },
        }
    }

    fn host_key(&self, host: String) -> GitError {
        let fingerprint = self.seen.fingerprint.borrow().clone();
        GitError::HostKey {
            host,
            fingerprint: match fingerprint {
                Some(hash) => format!("SHA256:{hash}"),
                None => "unknown".to_owned(),
            },
        }
    }

    /// A server may say back what it was sent.
    fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some(password) = &self.password {
            let pair = STANDARD.encode(format!("{}:{password}", self.username));
            text = text.replace(password, "***").replace(&pair, "***");
        }
        printable(&text, 200)
    }
}
