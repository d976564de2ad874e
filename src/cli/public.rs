//! Weights and registry as processes show them: served by every one that has the door, made by the one whose turn
//! it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::TryRngCore as _;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::session::now;
use super::standing::{first_good, first_namespace, listen};
use super::{CliError, Context, turn};
use crate::admin::pushes::Pushes;
use crate::admin::registry::Network;
use crate::admin::webhook::WebhookSecret;
use crate::edge::chain::{Chain, FileChain, NoChain};
use crate::edge::challenge::{self, HttpChallenges, Place};
use crate::edge::cluster::client::KubeCluster;
use crate::edge::cluster::{ClusterError, ClusterRead};
use crate::edge::database::{Database, file_of, revision_id};
use crate::edge::files::{FileError, Links, create_private, read_regular};
use crate::edge::listener::{self, Limits};
use crate::model::{Emission, Secret, Slug, Told};
use crate::reconcile::controller::follow::{Declared, Followed};
use crate::reconcile::lease::{AcquireError, Clock, Held, Lease, Lost};
use crate::settings::MasterSettings;
use crate::spec::Platform;
use crate::spec::platform::Status;
use crate::vitals::Part;
use crate::weights::collect::{Patience, Subject, collect};
use crate::weights::epoch::{Collector, Parts};
use crate::weights::health::rounds::Rounds;
use crate::weights::registered::Registered;
use crate::weights::roster::Asked;
use crate::weights::routes::{Behind, Views, routes};
use crate::weights::serving::{Serving, Terms};
use crate::weights::signature::SigningKey;
use crate::weights::tally::Tally;
use crate::weights::tokens::Tokens;
use crate::weights::{Answer, Rules, Subnet};

/// The Lease of whoever makes weights.
const WEIGHTS: &str = "platform-weights";

/// How long another's turn is waited for before it is looked at anew.
const STAND_BY: Duration = Duration::from_secs(3600);
/// The pause after the cluster did not say whose turn it is.
const TURN_PAUSE: Duration = Duration::from_secs(2);

/// The largest key file; a key has 66 characters.
const MAX_KEY: u64 = 1024;

/// The longest that one question for health or version takes: both are a few names, and a challenge that is slower
/// than that fails the probes of its own pod.
const HEALTH_ATTEMPT: Duration = Duration::from_secs(5);

/// Where weights and registry are served from the first moment on: what is not known yet is said to be so.
pub(super) struct Door {
    listener: TcpListener,
    views: Views,
    /// What hears of pushes, where the operator's listener is.
    pushes: Option<Pushes>,
}

/// Whether a git host is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hears {
    Pushes,
    Nothing,
}

impl Door {
    /// Takes the address that the settings name.
    ///
    /// # Errors
    /// It is taken.
    pub(super) async fn open(context: &Context, hears: Hears) -> Result<Self, CliError> {
        let address = context.settings.master.listen;
        let listener = listen(address, "master.admin_port").await?;
        let address = listener.local_addr().unwrap_or(address);
        let served = format!("weights and registry on http://{address}");
        context.terminal.note(&served);
        let views = Views::new(Arc::default(), Clock::of_machine(now));
        let secret = context.settings.master.webhook_secret.clone();
        let pushes = || Pushes::new(secret.and_then(WebhookSecret::new), now);
        Ok(Self {
            listener,
            views,
            pushes: (hears == Hears::Pushes).then(pushes),
        })
    }

    /// Returns what is served, to be filled.
    pub(super) fn views(&self) -> Views {
        self.views.clone()
    }

    /// Returns what hears of pushes, to be given its database.
    pub(super) fn pushes(&self) -> Option<Pushes> {
        self.pushes.clone()
    }

    /// Returns the metrics of what is served and heard.
    pub(super) fn metrics(&self) -> Vec<Part> {
        let served = std::iter::once(self.views.metrics());
        let heard = self.pushes.as_ref().map(Pushes::metrics);
        served.chain(heard).collect()
    }

    /// Serves until told to stop.
    pub(super) async fn serve(self, stop: CancellationToken) {
        let mut router = routes(self.views);
        if let Some(pushes) = self.pushes {
            router = router.merge(pushes.routes());
        }
        listener::serve(self.listener, router, Limits::default(), stop).await;
    }
}

/// Weights and registry, as far as one process makes and serves them.
pub(super) struct Public {
    serving: Serving,
    settings: MasterSettings,
    followed: watch::Receiver<Followed>,
    terms: watch::Sender<Option<Terms>>,
    /// Told when there are new terms.
    hint: Arc<Notify>,
    tally: Arc<Tally>,
}

impl Public {
    /// Takes what they are made of, and puts it behind what is served. Nothing declared need be known.
    ///
    /// # Errors
    /// The signing key cannot be used.
    pub(super) fn new(
        context: &Context,
        (views, database): (&Views, Arc<dyn Database>),
        followed: watch::Receiver<Followed>,
    ) -> Result<Self, CliError> {
        let settings = &context.settings;
        let key = match &settings.master.signing_key_file {
            Some(path) => Some(read_key(path)?),
            None => key_beside(settings.database_url(false)?)?,
        };
        if key.is_none() {
            context.terminal.warn(
                "weights are not signed, so nobody can tell them from others; set master.weights_signing_key_file",
            );
        }
        views.put_behind(Behind {
            database: database.clone(),
            key: key.clone(),
        });
        let (terms, told) = watch::channel(None);
        let serving = Serving {
            database,
            shelf: views.shelf.clone(),
            key,
            terms: told,
            clock: Clock::of_machine(now),
        };
        Ok(Self {
            serving,
            settings: settings.master.clone(),
            followed,
            terms,
            hint: Arc::default(),
            tally: views.tally.clone(),
        })
    }

    /// Keeps what is served as the database has it, until told to stop.
    pub(super) async fn serve(&self, stop: CancellationToken) {
        tokio::join!(
            self.serving.clone().serve(stop.clone()),
            self.tell_terms(stop)
        );
    }

    /// Makes vectors whenever it is this process's turn, until told to stop.
    ///
    /// A turn that could only not be renewed goes on: challenges, chain and database may be well while the API server
    /// is away, and without new vectors there would be none after twelve minutes. Another may take the turn meanwhile.
    /// Two that make vectors do no harm: each is made of the same challenges, the database keeps none that is older
    /// than its newest, and the challenges are asked twice as often. It ends as soon as the cluster says that another
    /// has the turn, or that somebody took it away.
    pub(super) async fn compute_in_turn(
        &self,
        context: &Context,
        cluster: Arc<KubeCluster>,
        stop: &CancellationToken,
    ) {
        let namespace = first_namespace(&self.followed);
        let identity = turn::identity(context, "weights");
        let clock = Clock::of_machine(now);
        let lease = Lease::new(cluster.clone(), &namespace, WEIGHTS, &identity, clock);
        // What one turn has learned holds in the next: the chain may be away by then.
        let mut registered = Registered::new(self.settings.metagraph);
        while let Some(held) = take_turn(&lease, None, stop).await {
            let over = stop.child_token();
            let keeping = async {
                keep_turn(&lease, held, stop).await;
                over.cancel();
            };
            let computing = self.compute(cluster.clone(), registered, over.clone());
            ((), registered) = tokio::join!(keeping, computing);
        }
    }

    /// Makes one vector after the other until told to stop, and asks meanwhile how the challenges are.
    async fn compute(
        &self,
        cluster: Arc<dyn ClusterRead>,
        registered: Registered,
        stop: CancellationToken,
    ) -> Registered {
        let parts = Parts {
            serving: self.serving.clone(),
            chain: chain_of,
            collector: Arc::new(self.asking(cluster)),
            interval: self.settings.epoch,
            tally: self.tally.clone(),
        };
        let asking = async {
            if let Some(rounds) = self.rounds() {
                rounds.keep(stop.clone()).await;
            }
        };
        let (registered, ()) = tokio::join!(parts.compute(registered, stop.clone()), asking);
        registered
    }

    /// Returns who asks the challenges for their scores.
    fn asking(&self, cluster: Arc<dyn ClusterRead>) -> Asking {
        let settings = &self.settings;
        Asking {
            client: HttpChallenges::new(challenge::Limits {
                attempt: settings.challenge_timeout,
                body: settings.challenge_max_response,
                ..challenge::Limits::default()
            }),
            patience: settings.patience(),
            tokens: Tokens::new(cluster),
            followed: self.followed.clone(),
            tally: self.tally.clone(),
        }
    }

    /// Returns who asks how the challenges are, if anybody does.
    fn rounds(&self) -> Option<Rounds> {
        let limits = challenge::Limits {
            attempt: self.settings.challenge_timeout.min(HEALTH_ATTEMPT),
            ..challenge::Limits::default()
        };
        Some(Rounds {
            database: self.serving.database.clone(),
            challenges: Arc::new(HttpChallenges::new(limits)),
            hint: self.hint.clone(),
            interval: self.settings.health?,
            clock: self.serving.clock.wall,
        })
    }

    /// Passes on what each declaration says about weights.
    async fn tell_terms(&self, stop: CancellationToken) {
        let mut followed = self.followed.clone();
        loop {
            let good = followed.borrow_and_update().good.clone();
            let terms = good.map(|declared| self.terms_of(&declared));
            let is_new = self.terms.send_if_modified(|told| {
                let is_new = *told != terms;
                if is_new {
                    *told = terms;
                }
                is_new
            });
            if is_new {
                self.hint.notify_one();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = followed.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    fn terms_of(&self, declared: &Declared) -> Terms {
        let network = &declared.platform.network;
        Terms {
            subnet: Subnet {
                netuid: network.netuid,
                chain_endpoint: network.chain_endpoint.clone().unwrap_or_default(),
            },
            metagraph_file: network.metagraph_file.as_deref().map(PathBuf::from),
            rules: Rules {
                burn_uid: network.burn_uid,
                unassigned: self.settings.unassigned,
            },
            network: Network {
                name: network.name.clone(),
                master_uid: network.master_uid,
            },
            active: active_of(&declared.platform),
            revision: revision_id(&declared.snapshot.revision).to_owned(),
        }
    }
}

/// Waits for the first declaration that can be used, and takes the policy that it asks for: which database there may be, and
/// what strangers are told. Tells whether there is one; there is none where it is stopped before.
///
/// # Errors
/// The database is not one that the policy takes.
pub(super) async fn await_policy(
    context: &Context,
    followed: &mut watch::Receiver<Followed>,
    views: Option<&Views>,
    stop: &CancellationToken,
) -> Result<bool, CliError> {
    let first = stop.run_until_cancelled(first_good(followed)).await;
    let Some(production) = first.flatten() else {
        return Ok(false);
    };
    context.settings.database_url(production)?;
    let production = production || context.settings.enforces_production();
    if let (false, Some(views)) = (production, views) {
        views.describe();
    }
    Ok(true)
}

/// Returns the challenges that are declared active.
fn active_of(platform: &Platform) -> BTreeMap<Slug, Emission> {
    let challenges = platform.challenges.values();
    let active = challenges.filter(|challenge| challenge.status == Status::Active);
    active
        .map(|challenge| (challenge.slug.clone(), challenge.emission))
        .collect()
}

/// Waits until it is this process's turn; `None` when it is stopped before, or where another has the turn that was its own
/// (`own`, as others are told).
async fn take_turn(lease: &Lease, own: Option<&str>, stop: &CancellationToken) -> Option<Held> {
    let over = stop.child_token();
    let waiting = |holder: &str| match own {
        None => tracing::info!(holder, "another makes weights"),
        // Its own record stands until it has run out.
        Some(own) if own == holder => {}
        Some(_) => {
            tracing::warn!(holder, "another makes weights");
            over.cancel();
        }
    };
    let mut told = Told::default();
    loop {
        let acquiring = lease.acquire(STAND_BY, &waiting);
        match over.run_until_cancelled(acquiring).await? {
            Ok(held) => return Some(held),
            Err(AcquireError::Held { .. }) => continue,
            // Before the first apply there may be no namespace.
            Err(AcquireError::Cluster {
                source: ClusterError::NotFound,
                ..
            }) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                if told.is_news(cause.as_deref().unwrap_or_default()) {
                    tracing::warn!(%error, cause, "whose turn it is to make weights is not known; asked until it is");
                }
            }
        }
        over.run_until_cancelled(tokio::time::sleep(TURN_PAUSE))
            .await?;
    }
}

/// Keeps the turn until another has it or it was taken away, and gives it back when told to stop.
async fn keep_turn(lease: &Lease, mut held: Held, stop: &CancellationToken) {
    loop {
        let pulse = held.pulse();
        let lost = tokio::select! {
            lost = pulse.lost() => lost,
            () = stop.cancelled() => return held.release().await,
        };
        let Lost::NotRenewed { .. } = lost else {
            tracing::warn!(why = %lost, "no longer the one who makes weights");
            return;
        };
        tracing::warn!(why = %lost, "weights are made all the same, until another makes them");
        let again = take_turn(lease, Some(held.holder()), stop).await;
        let Some(again) = again else { return };
        held = again;
    }
}

/// Returns the chain that the declaration names.
fn chain_of(terms: &Terms) -> Arc<dyn Chain> {
    match &terms.metagraph_file {
        Some(path) => Arc::new(FileChain::new(path.clone())),
        None => Arc::new(NoChain),
    }
}

/// The declared challenges, asked with their tokens.
struct Asking {
    client: HttpChallenges,
    patience: Patience,
    tokens: Tokens,
    followed: watch::Receiver<Followed>,
    tally: Arc<Tally>,
}

#[async_trait]
impl Collector for Asking {
    async fn collect(&self, asked: Vec<Asked>) -> Vec<Answer> {
        let good = self.followed.borrow().good.clone();
        let namespace = good.map(|good| good.platform.namespace.clone());
        let tokens = self.tokens.read(&namespace.unwrap_or_default()).await;
        let subject = |asked: Asked| Subject {
            token: tokens.get(&asked.slug).cloned(),
            emission: asked.emission,
            place: Place {
                slug: asked.slug,
                base: asked.base,
            },
        };
        let subjects = asked.into_iter().map(subject).collect();
        let collected = collect(&self.client, subjects, self.patience).await;
        for one in &collected {
            self.tally.take_time(&one.answer.slug, one.took);
            if let Err(failure) = &one.answer.outcome {
                let (slug, attempts) = (&one.answer.slug, one.attempts);
                tracing::warn!(%slug, %failure, attempts, "a challenge gave no scores");
            }
        }
        collected.into_iter().map(|one| one.answer).collect()
    }
}

fn read_key(path: &Path) -> Result<SigningKey, CliError> {
    let failed = || {
        CliError::input(format!("cannot use the signing key in {}", path.display()))
            .hint("name a file of 64 hex digits with master.weights_signing_key_file")
    };
    let bytes = read_regular(path, MAX_KEY, Links::Follow).map_err(|e| failed().because(e))?;
    let text = Secret::new(String::from_utf8_lossy(&bytes).into_owned());
    SigningKey::parse(&text).map_err(|error| failed().because(error))
}

/// Returns the key beside a SQLite database; it is made where there is none yet.
fn key_beside(url: &Secret<String>) -> Result<Option<SigningKey>, CliError> {
    let Some(database) = file_of(url) else {
        return Ok(None);
    };
    let mut name = database.into_os_string();
    name.push(".weights-key");
    let path = PathBuf::from(name);
    let mut seed = [0_u8; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut seed)
        .map_err(|_| CliError::dependency("the system's random source failed"))?;
    let text = Secret::new(format!(
        "0x{}\n",
        seed.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    ));
    match create_private(&path, text.expose().as_bytes()) {
        Ok(_) | Err(FileError::ReadOnly) => read_key(&path).map(Some),
        Err(error) => {
            let message = format!("cannot make the signing key {}", path.display());
            Err(CliError::dependency(message)
                .because(error)
                .hint("name one with `master.weights_signing_key_file`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_beside_a_file_and_never_beside_a_server() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("platform.db");
        let url = Secret::new(format!("sqlite:{}", path.display()));
        let first = key_beside(&url).unwrap().unwrap().address();
        assert_eq!(key_beside(&url).unwrap().unwrap().address(), first);
        let server = Secret::new("postgres://user@host/name".to_owned());
        assert!(key_beside(&server).unwrap().is_none());
        std::fs::write(scratch.path().join("bad"), "canary").unwrap();
        let refused = read_key(&scratch.path().join("bad")).err().unwrap();
        assert!(!format!("{refused:?}").contains("canary"));
    }
}
