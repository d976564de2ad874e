//! Child processes that serve until we end them, and that never outlive us.
//!
//! Each runs in a process group of its own, so that Ctrl-C reaches the command
//! under test first, and asks the kernel through `setpriv --pdeathsig` to be
//! killed with its parent, however that dies. The kernel means the parent
//! *thread*: daemons are started from the main thread only.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{environment, interrupt::Interrupt};

/// How long a daemon that is asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Between two looks at something awaited: short, since start-up time is
/// what everybody using these commands waits for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Lines of a log shown when its daemon fails.
const LOG_LINES: usize = 15;

/// How a daemon is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By SIGKILL: all its files are scratch.
    Kill,
    /// By SIGINT, and SIGKILL after a grace period: it has children to end.
    Ask,
}

/// A running child process with a log file; ended when dropped.
pub struct Daemon {
    name: &'static str,
    log: PathBuf,
    child: Child,
    ending: Ending,
}

impl Daemon {
    /// Starts a command that writes to `log`; its input is for the caller to set.
    ///
    /// # Errors
    ///
    /// Fails when the log cannot be written or the command cannot be started.
    pub fn start(
        name: &'static str,
        mut command: Command,
        log: PathBuf,
        ending: Ending,
    ) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let child = command
            .stdout(file.try_clone().context("share a log file")?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self {
            name,
            log,
            child,
            ending,
        })
    }

    /// Waits until `is_ready` says so.
    ///
    /// # Errors
    ///
    /// Fails with the last lines of the log when the daemon ends or the time is
    /// up, and when this process is interrupted.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        interrupt: &Interrupt,
        mut is_ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let started = Instant::now();
        while !is_ready() {
            interrupt.check()?;
            if let Some(status) = self.child.try_wait().context("look at a child")? {
                bail!("{} ended ({status}){}", self.name, last_lines(&self.log));
            }
            self.check_time(started, limit, what)?;
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits until a program that does one thing has done it.
    ///
    /// # Errors
    ///
    /// Fails with the last lines of the log when it fails or the time is up, and
    /// when this process is interrupted.
    pub fn wait_for_success(&mut self, limit: Duration, interrupt: &Interrupt) -> Result<()> {
        let started = Instant::now();
        loop {
            interrupt.check()?;
            if let Some(status) = self.child.try_wait().context("look at a child")? {
                let name = self.name;
                ensure!(
                    status.success(),
                    "{name} failed ({status}){}",
                    last_lines(&self.log)
                );
                return Ok(());
            }
            self.check_time(started, limit, "its work")?;
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Returns what happened to a daemon that should be running and is not.
    pub fn find_ending(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let name = self.name;
        Some(format!(
            "{name} ended meanwhile ({status}){}",
            last_lines(&self.log)
        ))
    }

    fn check_time(&self, started: Instant, limit: Duration, what: &str) -> Result<()> {
        let (name, seconds) = (self.name, limit.as_secs());
        ensure!(
            started.elapsed() <= limit,
            "{name}: {what} took more than {seconds} s{}",
            last_lines(&self.log)
        );
        Ok(())
    }

    fn end(&mut self) {
        let Ok(pid) = i32::try_from(self.child.id()) else {
            return;
        };
        let Some(pid) = Pid::from_raw(pid) else {
            return;
        };
        if self.ending == Ending::Ask && kill_process(pid, Signal::INT).is_ok() {
            let asked = Instant::now();
            while asked.elapsed() < GRACE {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(LOOK_EVERY);
            }
        }
        // A process that has gone already is what we want; nothing to report.
        kill_process_group(pid, Signal::KILL).ok();
        self.child.wait().ok();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns a command that the kernel ends with `signal` when we die, without input.
///
/// `options` are more options of `setpriv`, which must then be there.
///
/// Where `setpriv` is missing the command is plain, and only an orderly way out
/// ends it.
pub fn bound_to_us(program: impl AsRef<OsStr>, signal: &str, options: &[String]) -> Command {
    let Some(setpriv) = environment::find_program("setpriv") else {
        let mut command = environment::outside_cargo(program);
        command.stdin(Stdio::null());
        return command;
    };
    let mut command = environment::outside_cargo(setpriv);
    command.args(["--pdeathsig", signal]).args(options);
    command.arg("--").arg(program).stdin(Stdio::null());
    command
}

/// Returns the end of a log and where it is, as the tail of an error message.
pub fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LOG_LINES);
    let tail = lines[first..].join("\n    ");
    format!("\n  the end of {}:\n    {tail}", log.display())
}
