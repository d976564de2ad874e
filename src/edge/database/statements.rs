//! The SQL of an engine, statement by statement; what each is given and gives.

use super::acts::ActStatements;
use super::conditions::ConditionStatements;
use super::health::HealthStatements;
use super::network::NetworkStatements;
use super::open_passes::OpenPassStatements;
use super::pushes::PushStatements;
use super::rollouts::RolloutStatements;
use super::snapshots::SnapshotStatements;
use crate::model::RowKey;

/// The SQL of one engine.
pub(super) struct Statements {
    pub(super) server_version: &'static str,
    /// Gives `true`, `false`, or `foreign` where there are only tables of another program.
    pub(super) has_migrations: &'static str,
    pub(super) applied_migrations: &'static str,
    pub(super) challenges: RowStatements,
    pub(super) targets: RowStatements,
    pub(super) tokens: RowStatements,
    pub(super) assignments: RowStatements,
    pub(super) insert_pass: &'static str,
    pub(super) insert_pass_keys: &'static str,
    pub(super) prune_passes: &'static str,
    pub(super) list_passes: &'static str,
    pub(super) get_pass: &'static str,
    pub(super) get_pass_keys: &'static str,
    /// What the first pass follows; gives the end of the chain, and keeps it so until the end of the transaction.
    pub(super) hold_chain: &'static str,
    /// No argument; gives the end of the chain, whatever is left of it.
    pub(super) read_chain: &'static str,
    /// Number, limit; gives passes after that number as the chain sees them.
    pub(super) read_links: &'static str,
    /// A list of numbers with their place in the chain.
    pub(super) write_links: &'static str,
    /// The newest hash, its number, and by how many more passes are kept.
    pub(super) advance_chain: &'static str,
    pub(super) acts: ActStatements,
    pub(super) conditions: ConditionStatements,
    pub(super) health: HealthStatements,
    pub(super) network: NetworkStatements,
    pub(super) open_passes: OpenPassStatements,
    pub(super) pushes: PushStatements,
    pub(super) rollouts: RolloutStatements,
    pub(super) snapshots: SnapshotStatements,
    pub(super) get_digests: &'static str,
    pub(super) write_digest: &'static str,
    pub(super) prune_digests: &'static str,
    /// No argument; gives the token.
    pub(super) read_fence: &'static str,
    /// No argument; gives the new token.
    pub(super) take_fence: &'static str,
    /// Token; gives a row when it is the newest, and keeps it so until the end of the transaction.
    pub(super) hold_fence: &'static str,
}

/// The SQL of one table of rows.
pub(super) struct RowStatements {
    /// Which, as [`rows::scoped`] tells it; gives `[id, row]`, at most 10 001 times.
    pub(super) read: &'static str,
    /// Id, row, revision, time.
    pub(super) write: &'static str,
    /// Id.
    pub(super) delete: &'static str,
}

impl Statements {
    /// Returns the SQL of the table that a row is of.
    pub(super) fn of(&self, key: &RowKey) -> &RowStatements {
        match key {
            RowKey::Challenge(_) => &self.challenges,
            RowKey::Target(_) => &self.targets,
            RowKey::Tokens(_) => &self.tokens,
            RowKey::Assignment(_) => &self.assignments,
        }
    }
}

#[cfg(test)]
impl Statements {
    /// Returns every statement, so that a test can prepare each; taken apart so that none is forgotten.
    pub(super) fn all(&self) -> Vec<&'static str> {
        let Self {
            server_version,
            has_migrations,
            applied_migrations,
            challenges,
            targets,
            tokens,
            assignments,
            insert_pass,
            insert_pass_keys,
            prune_passes,
            list_passes,
            get_pass,
            get_pass_keys,
            hold_chain,
            read_chain,
            read_links,
            write_links,
            advance_chain,
            acts,
            conditions,
            health,
            network,
            open_passes,
            pushes,
            rollouts,
            snapshots,
            get_digests,
            write_digest,
            prune_digests,
            read_fence,
            take_fence,
            hold_fence,
        } = self;
        let tables = [challenges, targets, tokens, assignments];
        let of_tables = tables.into_iter().flat_map(|table| {
            let RowStatements {
                read,
                write,
                delete,
            } = table;
            [*read, *write, *delete]
        });
        let others = [
            server_version,
            has_migrations,
            applied_migrations,
            insert_pass,
            insert_pass_keys,
            prune_passes,
            list_passes,
            get_pass,
            get_pass_keys,
            hold_chain,
            read_chain,
            read_links,
            write_links,
            advance_chain,
            get_digests,
            write_digest,
            prune_digests,
            read_fence,
            take_fence,
            hold_fence,
        ];
        let others = others.into_iter().copied();
        let kept = acts.all().into_iter().chain(rollouts.all());
        let kept = kept.chain(conditions.all()).chain(snapshots.all());
        let kept = kept.chain(health.all()).chain(open_passes.all());
        let kept = kept.chain(network.all()).chain(pushes.all());
        of_tables.chain(others).chain(kept).collect()
    }
}
