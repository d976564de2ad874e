//! A server that is away, stops, ends its connections, is slow or silent, or gives no rights.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::relay::{Manner, Relay};
use super::{Answer, check, check_healed};
use crate::support::chain::{Chain, Possessions, Undisturbed, run_trials};
use crate::support::postgres::{create_database, execute, server};
use crate::support::world::World;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nobody listens.
    Refused,
    /// Connections are taken, and nobody answers.
    Silent,
    /// The database takes no connections.
    Closed,
    /// There is no database of this name.
    NoDatabase,
    /// The password is another.
    WrongPassword,
    /// The role may connect, and no more.
    NoRights,
    /// The role may read.
    MayRead,
    /// It stops in the middle of a pass.
    Stops,
    /// Its connections are ended, once, in the middle of a pass.
    Terminates,
    /// It falls silent in the middle of a pass.
    FallsSilent,
    /// Each answer takes its time.
    Slow,
}

const FAULTS: [Fault; 11] = [
    Fault::Refused,
    Fault::Silent,
    Fault::Closed,
    Fault::NoDatabase,
    Fault::WrongPassword,
    Fault::NoRights,
    Fault::MayRead,
    Fault::Stops,
    Fault::Terminates,
    Fault::FallsSilent,
    Fault::Slow,
];

/// How long each piece takes on its way to or from a slow server.
const SLOW: Duration = Duration::from_millis(60);

impl Fault {
    fn answer(self) -> Answer {
        let answer = |diff, apply, says| Answer { diff, apply, says };
        match self {
            Self::Refused => answer(4, &[4], "refused"),
            Self::Silent => answer(4, &[4], "did not answer within 10 s"),
            Self::Closed => answer(4, &[4], "it takes no connections"),
            Self::NoDatabase => answer(4, &[4], "there is no such database; create it first"),
            Self::WrongPassword => answer(4, &[4], "the user or the password is not accepted"),
            Self::NoRights => answer(4, &[4], "the user has no right to do this"),
            // Without a token of the database nothing is begun.
            Self::MayRead => answer(1, &[4], "the user has no right to do this"),
            Self::Stops => answer(1, &[4, 5], "no connection in time"),
            // What was cut off is written in the next pass.
            Self::Terminates | Self::Slow => answer(1, &[0], ""),
            Self::FallsSilent => answer(1, &[4, 5], ""),
        }
    }

    /// Tells whether it begins when an apply is under way.
    fn comes_late(self) -> bool {
        matches!(self, Self::Stops | Self::Terminates | Self::FallsSilent)
    }
}

/// A registry behind a relay, and a fault of it.
struct Registry {
    relay: Relay,
    /// The database, past the relay.
    direct: Url,
    name: String,
}

impl Registry {
    async fn new(name: &str) -> Self {
        let direct = Url::parse(&create_database(name).await).unwrap();
        let host = (direct.host_str().unwrap(), direct.port().unwrap_or(5432));
        let upstream = host.to_socket_addrs().unwrap().next().unwrap();
        Self {
            relay: Relay::start(upstream).await,
            direct,
            name: name.to_owned(),
        }
    }

    /// Returns how the program reaches it.
    fn url(&self) -> Url {
        let mut url = self.direct.clone();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.relay.port)).unwrap();
        url
    }

    /// Begins a fault, and returns how the program reaches the database under it.
    async fn disturb(&self, fault: Fault) -> Url {
        let mut url = self.url();
        match fault {
            Fault::Refused | Fault::Stops => self.relay.stop(),
            Fault::Silent | Fault::FallsSilent => self.relay.set(Manner::Silent),
            Fault::Slow => self.relay.set(Manner::Slow(SLOW)),
            Fault::Closed => self.allow_connections(false).await,
            Fault::Terminates => self.terminate().await,
            Fault::NoDatabase => url.set_path("nowhere"),
            Fault::WrongPassword => url.set_password(Some("another")).unwrap(),
            Fault::NoRights | Fault::MayRead => self.become_role(fault, &mut url).await,
        }
        url
    }

    async fn end(&self, fault: Fault) {
        match fault {
            Fault::Refused | Fault::Stops => self.relay.start_again().await,
            Fault::Closed => self.allow_connections(true).await,
            _ => self.relay.set(Manner::Pass),
        }
    }

    async fn allow_connections(&self, are_allowed: bool) {
        let name = &self.name;
        let sql = format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS {are_allowed}");
        execute(&server(), sql).await;
    }

    async fn terminate(&self) {
        let name = &self.name;
        let others = "pid <> pg_backend_pid()";
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND {others}"
        );
        execute(&server(), sql).await;
    }

    async fn become_role(&self, fault: Fault, url: &mut Url) {
        let role = format!("{}-reader", self.name);
        execute(
            &server(),
            format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'reader'"),
        )
        .await;
        if fault == Fault::MayRead {
            let sql = format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{role}\"");
            execute(&self.direct, sql).await;
        }
        url.set_username(&role).unwrap();
        url.set_password(Some("reader")).unwrap();
    }
}

/// Runs the next link under a fault, then without.
async fn try_fault(chain: &mut Chain, fault: Fault, undisturbed: &Undisturbed) {
    let told = format!("{fault:?}");
    let name = format!("{}-{told}", chain.world.namespace).to_lowercase();
    let registry = Registry::new(&name).await;
    chain.move_to(registry.url().as_str()).await;
    let before = Possessions::of(&chain.world).await;
    let there = chain.world.snapshot().await;
    chain.turn();
    let answer = fault.answer();
    // As long as a connection is waited for, and a little; what is slow comes to its end, on a busy machine too.
    let time = if fault == Fault::Slow { "60s" } else { "14s" };
    let apply = ["apply", "--yes", "--timeout", time];
    let applied = if fault.comes_late() {
        let child = {
            chain.world.proxy.take_seen();
            chain.world.start(&apply)
        };
        // The first write of a pass that has begun.
        chain.world.proxy.until_seen("post").await;
        registry.disturb(fault).await;
        World::finish(child).await
    } else {
        let url = registry.disturb(fault).await;
        let variables = [("PLATFORM_DATABASE_URL", url.as_str())];
        let diff = chain.world.run_with(&["diff"], &variables).await;
        check(&told, &diff, &[answer.diff], answer.says);
        chain.world.run_with(&apply, &variables).await
    };
    check(&told, &applied, answer.apply, answer.says);
    if answer.diff == 4 {
        assert_eq!(chain.world.snapshot().await, there, "{told}: {applied}");
    }
    registry.end(fault).await;
    check_healed(chain, &before, undisturbed, &told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster and a PostgreSQL server"]
async fn no_fault_of_a_postgresql_server_loses_or_invents_anything() {
    let undisturbed = Arc::new(Undisturbed::watch().await);
    run_trials(FAULTS, move |mut chain, fault| {
        let undisturbed = undisturbed.clone();
        async move {
            try_fault(&mut chain, fault, &undisturbed).await;
            chain
        }
    })
    .await;
}
