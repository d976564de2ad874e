//! `platform serve controller` as a child process that is measured.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::report::{count, millis};
use super::world::{Installation, World};

/// The program that is measured.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_platform");
/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the kernel counts a process's time in, in milliseconds.
const TICK: f64 = 10.0;

/// A running controller; killed when dropped.
pub struct Running {
    child: Child,
    address: String,
    client: reqwest::Client,
    /// From its start until it was ready.
    pub started: Duration,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    /// Starts it on an installation and waits until it is ready.
    pub async fn start(world: &World, installation: &Installation) -> Result<Self> {
        let source = installation.declared.display().to_string();
        Self::follow(world, installation, &source, &[]).await
    }

    /// As [`Self::start`], on a source of its own and with more in its environment.
    pub async fn follow(
        world: &World,
        installation: &Installation,
        source: &str,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = port.local_addr()?.to_string();
        drop(port);
        let folder = installation.declared.parent().context("it has a folder")?;
        let log = std::fs::File::create(folder.join("run.log"))?;
        let mut command = Command::new(PROGRAM);
        command
            .args(["serve", "controller", source])
            .args(["--database-url", &installation.database])
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .env("KUBECONFIG", &world.kubeconfig)
            .env("PLATFORM_OBSERVABILITY__LISTEN", &address)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let began = Instant::now();
        let mut running = Self {
            child: command.spawn().context("start platform")?,
            address,
            client: reqwest::Client::new(),
            started: Duration::ZERO,
        };
        running.until_ready(began, &folder.join("run.log")).await?;
        running.started = began.elapsed();
        Ok(running)
    }

    async fn until_ready(&mut self, began: Instant, log: &Path) -> Result<()> {
        while began.elapsed() < PATIENCE {
            if self.ready().await.is_ok() {
                return Ok(());
            }
            if let Some(ended) = self.child.try_wait()? {
                bail!("it ended, {ended}: {}", std::fs::read_to_string(log)?);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!(
            "it does not become ready: {}",
            std::fs::read_to_string(log)?
        )
    }

    /// Returns what `/ready` says.
    pub async fn ready(&self) -> Result<Value> {
        let url = format!("http://{}/ready", self.address);
        let asked = self.client.get(url).timeout(Duration::from_secs(5));
        Ok(asked.send().await?.error_for_status()?.json().await?)
    }

    /// Waits until it has read another revision than this.
    pub async fn until_other_revision(&self, old: &Value) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let ready = self.ready().await;
            if ready.is_ok_and(|ready| revision(&ready) != *old) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("it does not read the new revision")
    }

    /// Returns its resident memory in MiB.
    pub fn memory(&self) -> Result<f64> {
        resident_memory(self.child.id())
    }

    /// Returns the part of a core that it takes over a time, in percent.
    pub async fn idle(&self, over: Duration) -> Result<f64> {
        let before = self.processor_time()?;
        tokio::time::sleep(over).await;
        Ok((self.processor_time()? - before) / millis(over) * 100.0)
    }

    /// Returns the processor time it took so far, in milliseconds.
    fn processor_time(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, behind) = stat.rsplit_once(") ").context("it has a name")?;
        let fields: Vec<&str> = behind.split(' ').collect();
        let ticks = |index: usize| -> Result<usize> {
            Ok(fields.get(index).context("it has times")?.parse()?)
        };
        Ok(count(ticks(11)? + ticks(12)?) * TICK)
    }

    /// Ends it as a system does, so that the next one need not wait for its lease.
    pub async fn end(mut self) -> Result<()> {
        let mut kill = Command::new("kill");
        let told = kill
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        ensure!(told.success(), "it cannot be told to end");
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(began.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// Returns the resident memory of a process in MiB.
pub fn resident_memory(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes: usize = kibibytes.context("it has memory")?.parse()?;
    Ok(count(kibibytes) / 1024.0)
}

/// Returns the revision that an answer of `/ready` names.
pub fn revision(ready: &Value) -> Value {
    ready["checks"]["source"]["revision"].clone()
}
