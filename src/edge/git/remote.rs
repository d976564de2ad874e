//! A repository as this process reaches it: through a worker for each question, ended when time is over.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use async_trait::async_trait;
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::address::Reference;
use super::wire::{Answer, Ask, MAX_ANSWER, Question, Told};
use super::{Access, Bounds, GitAddress, GitError, GitSnapshot, GitSource, History};
use crate::model::CommitId;

/// The verb of this program that is the worker.
const VERB: &str = "git-worker";

/// A repository somewhere, with how to reach it.
pub struct RemoteGit {
    program: PathBuf,
    address: GitAddress,
    access: Access,
    bounds: Bounds,
}

impl RemoteGit {
    /// Makes a source. `program` is the program whose worker is started: normally `/proc/self/exe`, which
    /// stays this program when its file is replaced.
    #[must_use]
    pub fn new(program: PathBuf, address: GitAddress, access: Access, bounds: Bounds) -> Self {
        Self {
            program,
            address,
            access,
            bounds,
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Told, GitError> {
        let folder = Folder::prepare(&self.address, &self.access)?;
        let question = self.question(ask, &folder)?;
        let child = self.start(&folder)?;
        let limit = self.access.timeout;
        match tokio::time::timeout(limit, converse(child, question)).await {
            Ok(Ok((status, bytes))) => self.read(status, &bytes),
            Ok(Err(error)) => Err(local("the git worker", &error)),
            // The child ends with its handle, which the future held.
            Err(_) => Err(GitError::Timeout {
                host: self.address.host.clone(),
                seconds: limit.as_secs(),
            }),
        }
    }

    fn question(&self, ask: Ask, folder: &Folder) -> Result<Vec<u8>, GitError> {
        let access = &self.access;
        let question = Question {
            address: self.address.to_string(),
            ask,
            username: access.username.clone(),
            password: access.password.as_ref().map(|it| it.expose().clone()),
            password_file: access.password_file.as_deref().map(absolute),
            ssh_key: access.ssh_key.as_deref().map(absolute),
            known_hosts: access.known_hosts.as_deref().map(absolute),
            folder: folder.path.clone(),
            seconds: access.timeout.as_secs(),
            wants_history: access.wants_history,
        };
        serde_json::to_vec(&question).map_err(|error| local("the question", &error))
    }

    /// The worker's environment is empty but for what its libraries must find: nobody's configuration of
    /// git, no proxy, no agent.
    fn start(&self, folder: &Folder) -> Result<Child, GitError> {
        let mut command = Command::new(&self.program);
        command
            .arg(VERB)
            .env_clear()
            .env("HOME", folder.path.join("home"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(file) = &self.access.ca_file {
            // Both, or the authorities of the system would be trusted as well.
            command.env("SSL_CERT_FILE", absolute(file));
            command.env("SSL_CERT_DIR", folder.path.join("no-authorities"));
        }
        command
            .spawn()
            .map_err(|error| local("the git worker", &error))
    }

    fn read(&self, status: ExitStatus, bytes: &[u8]) -> Result<Told, GitError> {
        let ended = |why: String| GitError::Ended {
            host: self.address.host.clone(),
            why,
        };
        if bytes.len() as u64 > MAX_ANSWER {
            return Err(ended("its answer is too long".to_owned()));
        }
        let answer: Result<Answer, _> = serde_json::from_slice(bytes);
        match answer {
            Ok(answer) => answer,
            Err(_) => Err(ended(why_ended(status))),
        }
    }
}

#[async_trait]
impl GitSource for RemoteGit {
    async fn tip(&self) -> Result<CommitId, GitError> {
        if let Reference::Commit(id) = &self.address.reference {
            return Ok(id.clone());
        }
        match self.ask(Ask::Tip).await? {
            Told::Tip(id) => Ok(id),
            Told::Snapshot(_) | Told::Between(_) => Err(self.confused()),
        }
    }

    async fn snapshot(&self, commit: &CommitId) -> Result<GitSnapshot, GitError> {
        let ask = Ask::Snapshot {
            commit: commit.clone(),
            bounds: self.bounds,
        };
        match self.ask(ask).await? {
            Told::Snapshot(snapshot) if snapshot.commit.id == commit.as_str() => Ok(snapshot),
            Told::Snapshot(_) | Told::Tip(_) | Told::Between(_) => Err(self.confused()),
        }
    }

    async fn commits_between(
        &self,
        old: Option<&CommitId>,
        new: &CommitId,
    ) -> Result<History, GitError> {
        let (old, new) = (old.cloned(), new.clone());
        match self.ask(Ask::Between { old, new }).await? {
            Told::Between(history) => Ok(history),
            Told::Tip(_) | Told::Snapshot(_) => Err(self.confused()),
        }
    }
}

impl RemoteGit {
    fn confused(&self) -> GitError {
        GitError::Ended {
            host: self.address.host.clone(),
            why: "it answered another question".to_owned(),
        }
    }
}

/// Writes the question, reads the bounded answer, and waits for the end.
async fn converse(
    mut child: Child,
    question: Vec<u8>,
) -> Result<(ExitStatus, Vec<u8>), std::io::Error> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    if let Some(mut stdin) = stdin {
        // A worker that is gone already says why by its end.
        drop(stdin.write_all(&question).await);
    }
    let mut bytes = Vec::new();
    if let Some(stdout) = stdout {
        stdout.take(MAX_ANSWER + 1).read_to_end(&mut bytes).await?;
    }
    Ok((child.wait().await?, bytes))
}

fn why_ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(libc::SIGXFSZ) => "it needs more disk than is granted".to_owned(),
        Some(libc::SIGXCPU) => "it takes more computing than is granted".to_owned(),
        Some(libc::SIGABRT | libc::SIGKILL) => "it needs more memory than is granted".to_owned(),
        Some(signal) => format!("the worker ended by signal {signal}"),
        None => "the worker gave no answer".to_owned(),
    }
}

/// Where one repository is kept: in the cache, or for one question in a folder of its own.
struct Folder {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    fn prepare(address: &GitAddress, access: &Access) -> Result<Self, GitError> {
        let name = hex::encode(&Sha256::digest(address.repository.as_bytes())[..12]);
        if let Some(cache) = &access.cache {
            let path = absolute(&cache.join(name));
            if make(&path).is_ok() {
                return Ok(Self {
                    path,
                    is_kept: true,
                });
            }
        }
        let number = OsRng.try_next_u64();
        let number = number
            .map_err(|error| local("randomness", &std::io::Error::other(error.to_string())))?;
        let path = absolute(&access.scratch.join(format!("platform-git-{number:016x}")));
        make(&path).map_err(|error| local(&path.display().to_string(), &error))?;
        Ok(Self {
            path,
            is_kept: false,
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // A leftover that cannot be removed is of no harm: nothing reads it again.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

/// Makes a folder that is this user's alone, and tries whether it can be written.
fn make(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path.join("home"))?;
    let facts = std::fs::symlink_metadata(path)?;
    if !facts.is_dir() || facts.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other("it belongs to somebody else"));
    }
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path.join("lock"))
        .map(drop)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn local(what: &str, error: &dyn std::error::Error) -> GitError {
    GitError::Local {
        what: what.to_owned(),
        why: error.to_string(),
    }
}
