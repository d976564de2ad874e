//! `platform run`, or one role of it, as a child process that a test watches: its answers over HTTP, its log, its memory.

use std::fs::File;
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::Admin;
use super::world::{CANARY, World};

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running controller; killed when dropped.
pub struct Keeper {
    child: Child,
    log: std::path::PathBuf,
    /// Where its own part of the log begins: a name may be used again.
    begins: usize,
    address: OnceLock<String>,
    client: reqwest::Client,
    admin: Admin,
    /// The Secret with the tokens of all challenges, which comes after the last of them.
    tokens: String,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Keeper {
    /// Starts `platform run` in a world, on `platform.yaml` or on what else is named.
    pub fn start(world: &World, source: &[&str]) -> Self {
        Self::start_as(world, source, "keeper")
    }

    /// As [`Self::start`], under a name of its own.
    pub fn start_as(world: &World, source: &[&str], name: &str) -> Self {
        Self::start_role(world, &[&["run"], source].concat(), name, &[])
    }

    /// Starts a verb that stays, with more in its environment.
    pub fn start_role(
        world: &World,
        verb: &[&str],
        name: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let log = world.path(&format!("{name}.log"));
        let begins = std::fs::metadata(&log).map_or(0, |log| log.len());
        let arguments = [verb, &["-v"][..]].concat();
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&log)
                .unwrap()
        };
        let child = world
            .command(&arguments)
            .env("PLATFORM_OBSERVABILITY__LISTEN", "127.0.0.1:0")
            .env("USER", name)
            .env("PLATFORM_MASTER__ADMIN_HOST", "127.0.0.1")
            .env("PLATFORM_MASTER__ADMIN_PORT", "0")
            .envs(variables.iter().copied())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        Self {
            child,
            log,
            begins: usize::try_from(begins).unwrap(),
            address: OnceLock::new(),
            client: reqwest::Client::new(),
            admin: world.admin.clone(),
            tokens: world.api("secrets", "platform-challenge-tokens"),
        }
    }

    /// Returns everything it wrote.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert!(!log.contains(CANARY), "a secret was shown");
        log
    }

    /// Returns where it serves weights and the registry, once it does.
    pub fn door(&self) -> Option<String> {
        self.told("weights and registry on ")
    }

    /// Returns the word that it wrote behind others.
    fn told(&self, before: &str) -> Option<String> {
        let log = self.log();
        let (_, rest) = log.get(self.begins..)?.split_once(before)?;
        // Until the line is whole the word may not be.
        let (line, _) = rest.split_once('\n')?;
        line.split_whitespace().next().map(str::to_owned)
    }

    /// Asks one of its routes; status 0 is no answer.
    pub async fn get(&self, path: &str) -> (u16, String) {
        if self.address.get().is_none()
            && let Some(told) = self.told("health, readiness and metrics on ")
        {
            self.address.get_or_init(|| told);
        }
        match self.address.get() {
            Some(address) => self.get_at(&format!("{address}{path}")).await,
            None => (0, String::new()),
        }
    }

    /// Asks an address; status 0 is no answer.
    pub async fn get_at(&self, address: &str) -> (u16, String) {
        let asked = self.client.get(address).timeout(Duration::from_secs(5));
        match asked.send().await {
            Ok(answer) => {
                let code = answer.status().as_u16();
                let text = answer.text().await.unwrap_or_default();
                assert!(!text.contains(CANARY), "a secret was shown");
                (code, text)
            }
            Err(_) => (0, String::new()),
        }
    }

    /// Returns the body of `/ready` with its status.
    pub async fn ready(&self) -> (u16, Value) {
        let (code, text) = self.get("/ready").await;
        (code, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Returns one metric by its full line, up to the value.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    }

    /// Waits until something holds, and returns how long that took.
    pub async fn until(
        &mut self,
        what: &str,
        mut holds: impl AsyncFnMut(&Self) -> bool,
    ) -> Duration {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if holds(self).await {
                return began.elapsed();
            }
            if let Some(ended) = self.child.try_wait().unwrap() {
                panic!("it ended by itself: {ended}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (ready, metrics) = (self.get("/ready").await, self.get("/metrics").await);
        panic!(
            "{what} did not come about: {ready:?}\n{}\n{}",
            metrics.1,
            self.log()
        );
    }

    /// Waits until so many challenges are ready and none is anything else, and what is made of all of them is there.
    pub async fn until_ready(&mut self, challenges: usize) -> Duration {
        let what = format!("{challenges} ready challenges");
        self.until(&what, async |keeper| {
            let (_, metrics) = keeper.get("/metrics").await;
            let count = |line: &str| {
                let (name, value) = line.split_once("} ")?;
                let condition = name.strip_prefix("platform_challenges{condition=")?;
                Some((condition.to_owned(), value.parse::<usize>().ok()?))
            };
            let counts: Vec<(String, usize)> = metrics.lines().filter_map(count).collect();
            let is_due = |(condition, count): &(String, usize)| match condition.as_str() {
                "\"ready\"" => *count == challenges,
                _ => *count == 0,
            };
            !counts.is_empty()
                && counts.iter().all(is_due)
                && keeper.ready().await.0 == 200
                && keeper.has_tokens(challenges).await
        })
        .await
    }

    /// Tells whether the Secret with all tokens has so many.
    pub async fn has_tokens(&self, challenges: usize) -> bool {
        let all = self.admin.get(&self.tokens).await;
        let data = all.as_ref().and_then(|all| all["data"].as_object());
        data.map_or(0, serde_json::Map::len) == challenges
    }

    /// Waits until `platform diff` finds nothing to do: what is derived from several challenges follows them.
    pub async fn until_settled(&mut self, world: &World) {
        self.until("a world with nothing to do", async |_| {
            world.run(&["diff"]).await.code == 0
        })
        .await;
    }

    /// Returns its resident memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Returns how long processors worked for it, in the hundredths of a second that the system counts.
    pub fn computed(&self) -> Duration {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, numbers) = status.rsplit_once(") ").unwrap();
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        let ticks = |at: usize| numbers[at].parse::<u64>().unwrap();
        Duration::from_millis(10 * (ticks(11) + ticks(12)))
    }

    /// Returns the id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let mut kill = std::process::Command::new("kill");
        let sent = kill.args([name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Ends it by SIGKILL.
    pub fn kill(self) {}

    /// Ends it as a system does, and returns its exit code, how long it took, and what it wrote.
    pub async fn terminate(mut self) -> (Option<i32>, Duration, String) {
        let began = Instant::now();
        let mut kill = std::process::Command::new("kill");
        kill.args(["-TERM", &self.child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        while began.elapsed() < PATIENCE {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return (ended.code(), began.elapsed(), self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not end\n{}", self.log());
    }
}
