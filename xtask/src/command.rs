//! Running the command that all the rest is for, and passing its exit code on.

use std::{
    io::{self, IsTerminal},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::interrupt::Interrupt;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who receives the signals that come to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// At a terminal the command stays in our process group, which may read from
    /// it and gets its Ctrl-C directly.
    Terminal,
    /// Elsewhere it has a group of its own, to which we pass signals on and of
    /// which nothing stays behind.
    Group,
}

/// Runs a command to its end and returns its exit code.
///
/// Signals that come meanwhile are the command's; the second one kills it.
///
/// # Errors
///
/// Fails when the command cannot be started.
pub fn run(command: &mut Command, interrupt: &Interrupt) -> Result<u8> {
    let reach = if io::stdin().is_terminal() {
        Reach::Terminal
    } else {
        command.process_group(0);
        Reach::Group
    };
    let program = command.get_program().display().to_string();
    let mut child = command
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let status = wait(&mut child, reach, interrupt)?;
    if reach == Reach::Group
        && let Some(pid) = pid_of(&child)
    {
        // What the command left running; usually there is nothing.
        kill_process_group(pid, Signal::KILL).ok();
    }
    Ok(exit_code(status))
}

fn wait(child: &mut Child, reach: Reach, interrupt: &Interrupt) -> Result<ExitStatus> {
    let mut is_warned = false;
    loop {
        if let Some(status) = child.try_wait().context("look at the command")? {
            return Ok(status);
        }
        if let Some(signal) = interrupt.take() {
            pass_on(child, reach, signal, is_warned);
            is_warned = true;
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn pass_on(child: &Child, reach: Reach, signal: i32, is_warned: bool) {
    let Some(pid) = pid_of(child) else { return };
    let signal = match Signal::from_named_raw(signal) {
        Some(signal) if !is_warned => signal,
        _ => Signal::KILL,
    };
    let sent = match reach {
        Reach::Terminal if signal == Signal::INT => return,
        Reach::Terminal => kill_process(pid, signal),
        Reach::Group => kill_process_group(pid, signal),
    };
    // It may have ended between our look and our signal.
    sent.ok();
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Returns the code a shell would report.
fn exit_code(status: ExitStatus) -> u8 {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_is_passed_on() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        assert_eq!(run(&mut command, &Interrupt::default()).unwrap(), 7);
    }

    #[test]
    fn death_by_a_signal_is_reported_as_a_shell_does() {
        let mut command = Command::new("sh");
        command.args(["-c", "kill -TERM $$"]);
        assert_eq!(run(&mut command, &Interrupt::default()).unwrap(), 143);
    }

    #[test]
    fn missing_program_is_an_error() {
        let outcome = run(&mut Command::new("/nonexistent"), &Interrupt::default());
        assert_eq!(outcome.unwrap_err().to_string(), "start /nonexistent");
    }
}
