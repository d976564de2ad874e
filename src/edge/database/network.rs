//! The network as the declaration that was read last names it: one row, for those who start while the source is away.
//!
//! No turn to write is needed: it is what a process has read, and decides nothing.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use super::DatabaseError;
use super::passes::{fitted, stamp};
use super::store::{Access, Engine, Store};
use crate::model::network::KnownNetwork;

/// The network, as the database keeps it.
#[async_trait]
pub trait NetworkRow: Send + Sync {
    /// Returns the network as whoever read a declaration last has it; `None` where nobody has.
    ///
    /// # Errors
    /// The database did not answer, or the row is not one this program can read.
    async fn known_network(&self) -> Result<Option<KnownNetwork>, DatabaseError>;

    /// Keeps the network in place of what was kept before.
    ///
    /// # Errors
    /// The database did not answer; nothing was written.
    async fn keep_network(
        &self,
        network: &KnownNetwork,
        now: Timestamp,
    ) -> Result<(), DatabaseError>;
}

/// The SQL about it.
pub(super) struct NetworkStatements {
    /// No argument; gives the network.
    pub(super) read: &'static str,
    /// A network, time.
    pub(super) write: &'static str,
}

#[cfg(test)]
impl NetworkStatements {
    pub(super) fn all(&self) -> [&'static str; 2] {
        let Self { read, write } = self;
        [read, write]
    }
}

pub(super) const SQLITE: NetworkStatements = NetworkStatements {
    read: "
        select json_object('netuid', netuid, 'chain_endpoint', chain_endpoint, 'name', name,
            'master_uid', master_uid)
        from known_network",
    write: "
        insert into known_network (is_only, netuid, chain_endpoint, name, master_uid, read_at)
        values (1, ?1 ->> 'netuid', ?1 ->> 'chain_endpoint', ?1 ->> 'name', ?1 ->> 'master_uid', ?2)
        on conflict (is_only) do update set
            netuid = excluded.netuid, chain_endpoint = excluded.chain_endpoint,
            name = excluded.name, master_uid = excluded.master_uid, read_at = excluded.read_at",
};

pub(super) const POSTGRES: NetworkStatements = NetworkStatements {
    read: "
        select json_build_object('netuid', netuid, 'chain_endpoint', chain_endpoint, 'name', name,
            'master_uid', master_uid)::text
        from known_network",
    write: "
        insert into known_network (netuid, chain_endpoint, name, master_uid, read_at)
        select (d ->> 'netuid')::integer, d ->> 'chain_endpoint', d ->> 'name',
            (d ->> 'master_uid')::integer, $2::text::timestamptz
        from (select $1::text::json as d) as document
        on conflict (is_only) do update set
            netuid = excluded.netuid, chain_endpoint = excluded.chain_endpoint,
            name = excluded.name, master_uid = excluded.master_uid, read_at = excluded.read_at",
};

#[async_trait]
impl<E: Engine> NetworkRow for Store<E> {
    async fn known_network(&self) -> Result<Option<KnownNetwork>, DatabaseError> {
        let sql = self.engine.statements().network.read;
        let doing = "reading which network it is";
        let texts = self.one(Access::Read, doing, sql, Vec::new()).await?;
        let row = texts.first();
        row.map(|text| self.parse("the row of table known_network", text))
            .transpose()
    }

    async fn keep_network(
        &self,
        network: &KnownNetwork,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let KnownNetwork {
            netuid,
            chain_endpoint,
            name,
            master_uid,
        } = network;
        let document = json!({
            "netuid": netuid, "chain_endpoint": fitted(chain_endpoint, 2000),
            "name": fitted(name, 2000), "master_uid": master_uid,
        });
        let sql = self.engine.statements().network.write;
        let arguments = vec![document.to_string(), stamp(now)];
        let doing = "keeping which network it is";
        self.one(Access::Write, doing, sql, arguments).await?;
        Ok(())
    }
}
