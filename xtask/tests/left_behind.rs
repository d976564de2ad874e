//! However `cargo xtask cluster` ends, nothing of it stays behind.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Starting may have to wait for other tests that start clusters.
const START_LIMIT: Duration = Duration::from_secs(300);

/// The kernel ends children at once; this is for a busy machine.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Returns the command with a folder of its own for everything temporary, whose
/// path then stands in the command line of every program it starts.
fn cluster(temporary: &Path, command: &[&str]) -> Command {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask
        .args(["cluster", "--postgres", "--"])
        .args(command)
        .env("TMPDIR", temporary)
        .env_remove("TEST_POSTGRES_URL")
        .stdin(Stdio::null());
    xtask
}

/// Starts a command that says it is there and then never ends.
fn start_endless(temporary: &Path) -> Child {
    let ready = temporary.join("ready");
    let script = "touch \"$0\"; while :; do sleep 1; done";
    let child = cluster(
        temporary,
        &["sh", "-c", script, &ready.display().to_string()],
    )
    .spawn()
    .unwrap();
    wait_for("start", START_LIMIT, || ready.exists());
    fs::remove_file(ready).unwrap();
    assert!(!list_programs(temporary).is_empty());
    child
}

fn wait_for(what: &str, limit: Duration, is_done: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_done() {
        assert!(started.elapsed() < limit, "{what} takes too long");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Returns the command lines of running programs that name the folder.
fn list_programs(temporary: &Path) -> Vec<String> {
    let name = temporary.display().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        // A process may go while we look.
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&name))
        .collect()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
#[ignore = "starts a cluster"]
fn exit_code_is_passed_on_and_nothing_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let status = cluster(temporary.path(), &["sh", "-c", "exit 7"])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(list_programs(temporary.path()), [""; 0]);
    assert!(is_empty(temporary.path()));
}

#[test]
#[ignore = "starts a cluster"]
fn interrupted_run_ends_its_command_and_nothing_stays() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = start_endless(temporary.path());
    send(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(list_programs(temporary.path()), [""; 0]);
    assert!(is_empty(temporary.path()));
}

#[test]
#[ignore = "starts a cluster"]
fn killed_run_takes_its_programs_along_and_the_next_one_tidies_up() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = start_endless(temporary.path());
    send(&child, Signal::KILL);
    child.wait().unwrap();
    wait_for("ending", END_LIMIT, || {
        list_programs(temporary.path()).is_empty()
    });
    let status = cluster(temporary.path(), &["true"]).status().unwrap();
    assert!(status.success());
    assert!(is_empty(temporary.path()));
}
