//! The network as a declaration names it: what serving weights and the registry takes of it.

use serde::{Deserialize, Serialize};

/// The network as the declaration that was read last names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownNetwork {
    /// The subnet's number.
    pub netuid: u16,
    /// The chain's address; empty where none is set.
    pub chain_endpoint: String,
    /// Its name.
    pub name: String,
    /// The master's own UID, informational.
    pub master_uid: u16,
}
