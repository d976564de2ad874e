//! A world in which a change is always under way: what a test disturbs, and what it must come to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform::edge::database::{self, Opened};
use platform::model::{RowKey, Scope, Secret, Slug, token};
use serde_json::Value;

use super::world::{Ran, World};

/// The Secret with the tokens of all challenges.
const ALL_TOKENS: &str = "platform-challenge-tokens";

/// Worlds side by side: most of a trial is waiting, and two processors serve as many.
pub const WORLDS: usize = 5;

/// A world in which each link declares a new challenge and no longer declares the one before, beside one
/// that stays and changes.
pub struct Chain {
    pub world: World,
    pub link: usize,
    registry: Secret<String>,
}

impl Chain {
    pub async fn new() -> Self {
        let world = World::new().await;
        let file = world.path("platform.db");
        let registry = Secret::new(format!("sqlite:{}", file.display()));
        let chain = Self {
            world,
            link: 0,
            registry,
        };
        chain.declare();
        chain.apply("30s").await.expect(0);
        chain
    }

    pub fn slug(&self) -> String {
        format!("link-{:03}", self.link)
    }

    /// Declares the next link in place of this one.
    pub fn turn(&mut self) {
        self.link += 1;
        self.declare();
    }

    /// Goes on with another registry, which an apply fills.
    pub async fn move_to(&mut self, registry: &str) {
        self.world.set("PLATFORM_DATABASE_URL", registry);
        self.registry = Secret::new(registry.to_owned());
        self.apply("30s").await.expect(0);
    }

    /// Every other link is a Deployment with an autoscaler, so that each kind is made and removed.
    fn declare(&self) {
        let deployment = "challenge_mode: deployment\nstorage_access: ReadWriteMany";
        let extra = if self.link % 2 == 1 { deployment } else { "" };
        let keep = format!("env: {{LINK: \"{}\"}}", self.link);
        let yaml = self.world.yaml(&[("keep", &keep), (&self.slug(), extra)]);
        self.world.declare(&yaml);
    }

    pub async fn apply(&self, timeout: &str) -> Ran {
        self.world
            .run(&["apply", "--yes", "--timeout", timeout])
            .await
    }

    /// Returns everything there is that belongs to the challenge that stays and to the newest one, under
    /// names that do not depend on the world, without generated values.
    pub async fn state(&self) -> BTreeMap<String, Value> {
        let snapshot = self.world.normal_snapshot().await;
        let is_older = |name: &str| name.contains("link-") && !name.contains(&self.slug());
        let current = snapshot.iter().filter(|(name, _)| !is_older(name));
        let renamed = |value: &Value| {
            let text = value.to_string().replace(&self.slug(), "link-new");
            let text = text.replace(
                &format!("\"value\":\"{}\"", self.link),
                "\"value\":\"LINK\"",
            );
            serde_json::from_str(&text).unwrap()
        };
        current
            .map(|(name, value)| (name.replace(&self.slug(), "link-new"), renamed(value)))
            .collect()
    }

    /// Returns what this link must end in.
    pub fn expected<'a>(&self, undisturbed: &'a Undisturbed) -> &'a BTreeMap<String, Value> {
        &undisturbed.states[self.link % 2]
    }

    /// Checks that what was generated fits together: the address holds the password, and the registry the
    /// hash of the token.
    pub async fn check_generated(&self, told: &(dyn Debug + Sync)) {
        let Opened::Ready(database) = database::open(&self.registry).await.unwrap() else {
            panic!("{told:?}: the database is not there");
        };
        let rows = database.rows(&Scope::All).await.unwrap();
        database.close().await;
        let slugs = ["keep".to_owned(), self.slug()];
        for slug in &slugs {
            let postgres = self
                .secret(&format!("challenge-{slug}-postgres-secret"))
                .await;
            let url = format!(":{}@", postgres["POSTGRES_PASSWORD"]);
            assert!(
                postgres["CHALLENGE_DATABASE_URL"].contains(&url),
                "{told:?}: {slug}"
            );
            let tokens = self.secret(&format!("challenge-{slug}-secrets")).await;
            let row = &rows[&RowKey::Tokens(Slug::parse(slug).unwrap())].0;
            let hash =
                token::Digested::of("challenge_token", tokens["challenge_token"].as_bytes()).hash;
            assert_eq!(row["token_hash"], hash, "{told:?}: {slug}");
        }
        let all: BTreeSet<String> = self.secret(ALL_TOKENS).await.into_keys().collect();
        assert_eq!(all, BTreeSet::from(slugs.clone()), "{told:?}");
        let declared = rows
            .keys()
            .filter(|row| matches!(row, RowKey::Challenge(_)));
        assert_eq!(declared.count(), slugs.len(), "{told:?}");
    }

    async fn secret(&self, name: &str) -> BTreeMap<String, String> {
        let secret = self.world.get("secrets", name).await.unwrap();
        let decode = |value: &Value| {
            let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let data = secret["data"].as_object().unwrap();
        data.iter()
            .map(|(key, value)| (key.clone(), decode(value)))
            .collect()
    }
}

/// What must never get lost: objects that hold data or keys to data, and workloads that are declared.
pub struct Possessions {
    /// Data of Secrets, uids of the rest.
    held: BTreeMap<String, Value>,
}

impl Possessions {
    pub async fn of(world: &World) -> Self {
        let mut held = BTreeMap::new();
        for resource in [
            "secrets",
            "persistentvolumeclaims",
            "statefulsets",
            "services",
        ] {
            for object in world.admin.items(&world.api(resource, "")).await {
                let name = object["metadata"]["name"].as_str().unwrap();
                let value = match resource {
                    "secrets" => object["data"].clone(),
                    _ => object["metadata"]["uid"].clone(),
                };
                held.insert(format!("{resource}/{name}"), value);
            }
        }
        Self { held }
    }

    /// Tells whether a name belongs to data, or to the challenge that stays.
    fn must_stay(name: &str) -> bool {
        name.starts_with("persistentvolumeclaims/")
            || name.ends_with("-postgres-secret")
            || name.contains("challenge-keep")
    }

    /// Checks that nothing of value went, and that nothing came but for the newest challenge.
    pub fn check_kept(&self, after: &Self, newest: &str, trial: &dyn Debug) {
        for (name, value) in self.held.iter().filter(|(name, _)| Self::must_stay(name)) {
            assert_eq!(after.held.get(name), Some(value), "{trial:?}: {name}");
        }
        // Nothing of others is made.
        let is_expected = |name: &str| self.held.contains_key(name) || name.contains(newest);
        let strange: Vec<&String> = after
            .held
            .keys()
            .filter(|name| !is_expected(name))
            .collect();
        assert!(strange.is_empty(), "{trial:?} left {strange:?}");
    }

    /// Checks that a Secret that was made in the disturbed run is the one that stays. What is made of all of them
    /// follows them.
    pub fn check_passwords(&self, after: &Self, trial: &dyn Debug) {
        let secrets = self
            .held
            .iter()
            .filter(|(name, _)| name.starts_with("secrets/") && !name.ends_with(ALL_TOKENS));
        for (name, value) in secrets {
            if let Some(later) = after.held.get(name) {
                assert!(later == value, "{trial:?}: {name} was made anew");
            }
        }
    }
}

/// What two links do when nothing disturbs them: index 0 is of even ones, 1 of odd ones.
pub struct Undisturbed {
    /// The requests that were sent, as verb and kind.
    pub requests: BTreeSet<(String, String)>,
    /// How many there were.
    pub counts: [usize; 2],
    /// What was there in the end.
    pub states: [BTreeMap<String, Value>; 2],
}

impl Undisturbed {
    pub async fn watch() -> Self {
        let mut chain = Chain::new().await;
        let mut watched = Self {
            requests: BTreeSet::new(),
            counts: [0, 0],
            states: [BTreeMap::new(), BTreeMap::new()],
        };
        for _ in 0..2 {
            chain.turn();
            chain.world.proxy.take_seen();
            chain.apply("60s").await.expect(0);
            let seen = chain.world.proxy.take_seen();
            watched.counts[chain.link % 2] = seen.len();
            watched.states[chain.link % 2] = chain.state().await;
            let pairs = seen.into_iter().map(|seen| (seen.verb, seen.resource));
            watched.requests.extend(pairs);
        }
        watched
    }
}

/// Runs trials side by side until none is left; a failed one does not stop the others.
pub async fn run_trials<T, F, R>(trials: impl IntoIterator<Item = T>, run: F)
where
    T: Debug + Send + 'static,
    F: Fn(Chain, T) -> R + Clone + Send + 'static,
    R: Future<Output = Chain> + Send + 'static,
{
    let trials: VecDeque<T> = trials.into_iter().collect();
    let trials = Arc::new(Mutex::new(trials));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORLDS {
        let (trials, run) = (trials.clone(), run.clone());
        workers.spawn(async move {
            let mut failures = Vec::new();
            let mut chain = None;
            loop {
                let next = trials.lock().unwrap().pop_front();
                let Some(trial) = next else { return failures };
                let told = format!("{trial:?}");
                let used = match chain.take() {
                    Some(chain) => chain,
                    None => Chain::new().await,
                };
                // A failed trial takes its world with it.
                match tokio::spawn(run(used, trial)).await {
                    Ok(left) => chain = Some(left),
                    Err(_) => failures.push(format!("{told} failed, see above")),
                }
            }
        });
    }
    let mut failures = Vec::new();
    while let Some(ended) = workers.join_next().await {
        failures.extend(ended.unwrap());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
