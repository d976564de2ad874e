//! The example's challenges as local processes, and `platform run` that follows a git repository: no image and no
//! chain is needed to see scores become a weight vector.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use ureq::Agent;

use super::{DATABASE_URL, Place};
use crate::{
    command,
    daemon::{Daemon, Ending, bound_to_us},
    environment,
    interrupt::Interrupt,
    ports,
    terminal::progress,
    world::World,
};

/// The challenges of the example that run.
const CHALLENGES: [&str; 2] = ["agent-challenge", "prism"];
/// The miners of the demonstration; the first UID stands for nobody.
const HOTKEYS: [&str; 4] = ["owner", "5Alice", "5Bob", "5Carol"];
/// Numbers that each miner tries.
const TRIES: u32 = 40;
/// The longest wait for a challenge or for the first vector.
const PATIENCE: Duration = Duration::from_secs(60);
/// The header with a vector's signature.
const SIGNATURE: &str = "x-platform-weights-signature";
/// Tokens of all challenges, in the namespace of the example.
const TOKENS: &str = "/api/v1/namespaces/platform/secrets/platform-challenge-tokens";

/// What runs until the command ends.
pub struct Demonstration {
    /// Where weights are served.
    pub weights: String,
    /// Where each challenge answers.
    pub challenges: Vec<(&'static str, String)>,
    _daemons: Vec<Daemon>,
}

impl Demonstration {
    /// Starts the challenges, declares where they are, and waits for the first vector.
    ///
    /// # Errors
    ///
    /// Fails with the last lines of the log of what failed.
    pub fn start(
        place: &Place,
        world: &World,
        platform: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        progress("building the example challenge…");
        let challenge = build_challenge(interrupt)?;
        let [one, two, weights, told] = ports::find_free()?;
        let agent = Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(5)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let tokens = world.control_plane.api()?.get(TOKENS)?;
        let mut daemons = Vec::new();
        let mut challenges = Vec::new();
        for (slug, port) in CHALLENGES.into_iter().zip([one, two]) {
            let address = format!("http://127.0.0.1:{port}");
            let token = place.write_token(slug, &tokens)?;
            let mut daemon = start_challenge(&challenge, slug, port, &token, place)?;
            daemon.wait_until("its health", PATIENCE, interrupt, || {
                is_ok(&agent, &format!("{address}/health"))
            })?;
            work(&agent, &address)?;
            daemons.push(daemon);
            challenges.push((slug, address));
        }
        place.declare(&challenges, platform, interrupt)?;
        let weights = format!("http://127.0.0.1:{weights}/v1/weights/latest");
        let mut running = place.start_run(platform, &weights, told)?;
        progress("waiting for the first weights…");
        running.wait_until("a signed vector of both", PATIENCE, interrupt, || {
            is_of_both(&agent, &weights).unwrap_or(false)
        })?;
        // What runs ends before the challenges that it asks.
        daemons.insert(0, running);
        Ok(Self {
            weights,
            challenges,
            _daemons: daemons,
        })
    }
}

fn build_challenge(interrupt: &Interrupt) -> Result<PathBuf> {
    let mut cargo = environment::cargo();
    cargo
        .args(["build", "--quiet", "--workspace", "--example", "challenge"])
        .stdin(Stdio::null());
    let code = command::run(&mut cargo, interrupt)?;
    ensure!(code == 0, "cargo could not build the example challenge");
    let folder = environment::target_folder().context("find the example challenge")?;
    Ok(folder.join("debug/examples/challenge"))
}

fn start_challenge(
    program: &Path,
    slug: &'static str,
    port: u16,
    token: &Path,
    place: &Place,
) -> Result<Daemon> {
    let mut command = bound_to_us(program, "KILL", &[]);
    command
        .env("PLATFORM_CHALLENGE_SLUG", slug)
        .env("CHALLENGE_HOST", "127.0.0.1")
        .env("CHALLENGE_PORT", port.to_string())
        .env("CHALLENGE_SHARED_TOKEN_FILE", token);
    let log = place.folder.join(format!("{slug}.log"));
    Daemon::start(slug, command, log, Ending::Kill)
}

/// Sends what miners send.
fn work(agent: &Agent, address: &str) -> Result<()> {
    for hotkey in &HOTKEYS[1..] {
        for number in 0..TRIES {
            let work = json!({"hotkey": hotkey, "number": number});
            let sent = agent
                .post(format!("{address}/work"))
                .header("Content-Type", "application/json")
                .send(work.to_string());
            let answer = sent.with_context(|| format!("send work to {address}"))?;
            ensure!(answer.status() == 200, "{address} took no work");
        }
    }
    Ok(())
}

fn is_ok(agent: &Agent, address: &str) -> bool {
    let answer = agent.get(address).call();
    answer.is_ok_and(|answer| answer.status() == 200)
}

/// Tells whether a signed vector is served in which both challenges answered, and everything is given away.
fn is_of_both(agent: &Agent, address: &str) -> Result<bool> {
    let mut answer = agent.get(address).call()?;
    let is_signed = answer.headers().contains_key(SIGNATURE);
    let document: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    let sources = document["source_challenges"].as_array();
    let answered = sources.into_iter().flatten();
    let answered = answered.filter(|source| source["ok"] == true).count();
    let weights = document["weights"].as_array();
    let total: f64 = weights
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .sum();
    let is_whole = answered == CHALLENGES.len() && (total - 1.0).abs() < 1e-9;
    Ok(answer.status() == 200 && is_signed && is_whole)
}

impl Place {
    /// Writes a challenge's token where only we may read it.
    fn write_token(&self, slug: &str, tokens: &Value) -> Result<PathBuf> {
        let token = tokens["data"][slug].as_str();
        let token = token.with_context(|| format!("{slug} has no token"))?;
        let token = STANDARD.decode(token).context("decode a token")?;
        let path = self.folder.join(format!("{slug}.token"));
        let mut file = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("create {}", path.display()))?;
        file.write_all(&token).context("write a token")?;
        Ok(path)
    }

    /// Commits where the challenges are, and who is registered, to a repository that is followed from then on.
    fn declare(
        &self,
        challenges: &[(&str, String)],
        platform: &Path,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let hotkeys = json!({"hotkeys": HOTKEYS, "block": 1}).to_string();
        let metagraph = self.folder.join("metagraph.json");
        fs::write(&metagraph, hotkeys).context("write the metagraph")?;
        self.git(&["init", "--quiet", "--initial-branch=main"], interrupt)?;
        let file = metagraph.display().to_string();
        let mut values = vec![("network.metagraph_file".to_owned(), file)];
        for (slug, address) in challenges {
            let path = format!("challenges.{slug}.internal_base_url");
            values.push((path, address.clone()));
        }
        for (path, value) in values {
            let mut set = self.platform(platform);
            set.args(["set", &path, &value]);
            let code = command::run(&mut set, interrupt)?;
            ensure!(code == 0, "platform set {path} failed");
        }
        self.git(&["add", "platform.yaml"], interrupt)?;
        let author = ["-c", "user.name=you", "-c", "user.email=you@example.org"];
        let commit = [
            "commit",
            "--quiet",
            "--message",
            "challenges on this machine",
        ];
        self.git(&[&author[..], &commit].concat(), interrupt)
    }

    fn git(&self, arguments: &[&str], interrupt: &Interrupt) -> Result<()> {
        let mut git = Command::new("git");
        git.args(arguments).current_dir(&self.folder);
        let code = command::run(&mut git, interrupt)?;
        ensure!(code == 0, "git {} failed", arguments.join(" "));
        Ok(())
    }

    fn start_run(&self, platform: &Path, weights: &str, told: u16) -> Result<Daemon> {
        let port = weights.rsplit(':').next().unwrap_or_default();
        let port = port.split('/').next().unwrap_or_default();
        let mut command = bound_to_us(platform, "KILL", &[]);
        command
            .args(["run", &format!("file://{}#main", self.folder.display())])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PLATFORM_DATABASE_URL", DATABASE_URL)
            .env("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "5")
            .env(
                "PLATFORM_OBSERVABILITY__LISTEN",
                format!("127.0.0.1:{told}"),
            )
            .env("PLATFORM_MASTER__ADMIN_HOST", "127.0.0.1")
            .env("PLATFORM_MASTER__ADMIN_PORT", port)
            .env("PLATFORM_MASTER__EPOCH_INTERVAL_SECONDS", "15")
            .env_remove("PLATFORM_SOURCE")
            .current_dir(&self.folder);
        let log = self.folder.join("run.log");
        Daemon::start("platform run", command, log, Ending::Ask)
    }
}
