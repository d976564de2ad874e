//! Row 6, through a git source: the operator's listener is told of a push, and another process acts on it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use platform::model::Kind;

use super::keeping::{BUSY, WRITES, key, percentile, settle, until};
use super::report::{Goal, Reading, Report, median, millis};
use super::running::{PROGRAM, Running};
use super::world::{Installation, World, slug};

/// What the git host proves itself with.
const SECRET: &str = "bench";
/// The longest that the listener may take to hear.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures it, from the announcement until the object is.
pub async fn measure(world: &mut World, report: &mut Report) -> Result<()> {
    let installation = world.built(BUSY).await?;
    let repository = Repository::of(&installation)?;
    let source = repository.source();
    // Nothing is found by reading again and again.
    let seldom = [("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "300")];
    let running = Running::follow(world, &installation, &source, &seldom).await?;
    let listener = Listener::start(&installation, &source)?;
    listener.until_heard().await?;
    settle().await;
    let mut times = Vec::new();
    for number in WRITES..2 * WRITES {
        let slug = slug(number);
        let (old, new) = (format!("{slug}:1.0.0@"), format!("{slug}:1.0.2@"));
        let commit = repository.commit(&old, &new)?;
        let name = format!("challenge-{slug}");
        let key = key(&installation, Kind::StatefulSet, name);
        let began = Instant::now();
        ensure!(listener.tell(&commit).await? == 202, "it is not taken");
        until(world, &key, |object| {
            object.is_some_and(|object| object.to_string().contains(&new))
        })
        .await?;
        times.push(millis(began.elapsed()));
    }
    let reading = |what: &str, value| {
        let name = format!("push announced until the object is, {what}");
        Reading::new(6, &name, BUSY, (value, "ms"))
    };
    report.add(reading("median", median(times.clone())));
    report.add(reading("p99", percentile(times, 99)).goal(Goal::AtMost(1000.0)));
    running.end().await
}

/// The declaration of an installation in a repository.
struct Repository {
    folder: PathBuf,
}

impl Repository {
    fn of(installation: &Installation) -> Result<Self> {
        let folder = installation.declared.with_extension("repository");
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(&installation.declared, folder.join("platform.yaml"))?;
        let repository = Self { folder };
        repository.git(&["init", "-q", "-b", "main", "."])?;
        repository.keep()?;
        Ok(repository)
    }

    fn source(&self) -> String {
        format!("file://{}#main:platform.yaml", self.folder.display())
    }

    /// Commits the declaration with something else in it, and returns the commit.
    fn commit(&self, old: &str, new: &str) -> Result<String> {
        let path = self.folder.join("platform.yaml");
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(old), "{old} is not declared");
        std::fs::write(&path, text.replace(old, new))?;
        self.keep()
    }

    fn keep(&self) -> Result<String> {
        let author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        self.git(&["add", "platform.yaml"])?;
        self.git(&[&author[..], &["commit", "-q", "-m", "a change"]].concat())?;
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(&self.folder);
        let ended = git.output().context("run git")?;
        ensure!(ended.status.success(), "git {arguments:?} fails");
        Ok(String::from_utf8(ended.stdout)?.trim().to_owned())
    }
}

/// `platform serve admin` as a child process; killed when dropped.
struct Listener {
    child: Child,
    address: String,
    client: reqwest::Client,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Listener {
    fn start(installation: &Installation, source: &str) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = installation.declared.parent().context("it has a folder")?;
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "admin", "--no-weights", source])
            .args(["--database-url", &installation.database])
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .env("PLATFORM_OBSERVABILITY__LISTEN", "127.0.0.1:0")
            .env("PLATFORM_MASTER__ADMIN_HOST", "127.0.0.1")
            .env("PLATFORM_MASTER__ADMIN_PORT", port.to_string())
            .env("PLATFORM_MASTER__WEBHOOK_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self {
            child: command.spawn().context("start platform")?,
            address: format!("http://127.0.0.1:{port}/v1/webhooks/git"),
            client: reqwest::Client::new(),
        })
    }

    /// Tells of a push as GitLab does, and returns the status of the answer.
    async fn tell(&self, body: &str) -> Result<u16> {
        let told = self.client.post(&self.address);
        let told = told.header("x-gitlab-token", SECRET).body(body.to_owned());
        Ok(told.send().await?.status().as_u16())
    }

    async fn until_heard(&self) -> Result<()> {
        let began = Instant::now();
        while !self.tell("the first").await.is_ok_and(|code| code == 202) {
            ensure!(began.elapsed() < PATIENCE, "no push is taken");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
