//! The chain: who is registered in the subnet. Behind one interface, so that a file can stand for it.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::Deserialize;
use thiserror::Error;

use super::files::{FileError, Links, read_regular};
use crate::model::metagraph::Metagraph;

/// The largest file that stands for a metagraph: 65 536 hotkeys take less than four megabytes.
const MAX_FILE: u64 = 16 << 20;

/// What is asked of the chain.
#[async_trait]
pub trait Chain: Send + Sync {
    /// Returns who is registered. The time it was read is the caller's to note.
    ///
    /// # Errors
    /// The chain did not answer, or with something else.
    async fn metagraph(&self) -> Result<Metagraph, ChainError>;

    /// Tells whether asking costs nothing, so that no answer needs to be kept.
    fn is_free(&self) -> bool {
        false
    }
}

/// Why the chain told nothing. No text holds its address or what a file holds.
#[derive(Debug, Error)]
pub enum ChainError {
    /// There is no chain to ask.
    #[error("no chain is connected; `network.metagraph_file` can stand for it")]
    None,
    /// The file that stands for the chain could not be read.
    #[error("cannot read the metagraph file")]
    File(#[source] FileError),
    /// It holds something else.
    #[error("the metagraph file is no JSON with `hotkeys` and `block` (line {0})")]
    Form(usize),
    /// More neurons than a subnet can have.
    #[error("the metagraph file has more than 65536 hotkeys")]
    TooMany,
}

/// No chain.
#[derive(Clone, Copy, Debug)]
pub struct NoChain;

#[async_trait]
impl Chain for NoChain {
    async fn metagraph(&self) -> Result<Metagraph, ChainError> {
        Err(ChainError::None)
    }
}

/// A file that stands for the chain: `{"hotkeys":[…],"block":N}`, read anew each time.
#[derive(Clone, Debug)]
pub struct FileChain {
    path: PathBuf,
}

#[derive(Deserialize)]
struct Written {
    hotkeys: Vec<String>,
    block: Option<u64>,
}

impl FileChain {
    /// Takes the file's path; it need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn read(&self) -> Result<Metagraph, ChainError> {
        let bytes = read_regular(&self.path, MAX_FILE, Links::Follow).map_err(ChainError::File)?;
        let written: Written =
            serde_json::from_slice(&bytes).map_err(|error| ChainError::Form(error.line()))?;
        if written.hotkeys.len() > Metagraph::MAX {
            return Err(ChainError::TooMany);
        }
        Ok(Metagraph {
            block: written.block,
            ..Metagraph::of(written.hotkeys)
        })
    }
}

#[async_trait]
impl Chain for FileChain {
    async fn metagraph(&self) -> Result<Metagraph, ChainError> {
        let file = self.clone();
        let read = tokio::task::spawn_blocking(move || file.read());
        // Reading ends in an error, never in a panic.
        read.await
            .unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
    }

    fn is_free(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<Metagraph, ChainError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metagraph.json");
        std::fs::write(&path, text).unwrap();
        FileChain::new(path).metagraph().await
    }

    #[tokio::test]
    async fn a_file_stands_for_the_chain_and_is_read_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metagraph.json");
        let chain = FileChain::new(path.clone());
        assert!(matches!(
            chain.metagraph().await,
            Err(ChainError::File(FileError::Missing))
        ));
        std::fs::write(&path, r#"{"hotkeys":["owner","hk1"],"block":7}"#).unwrap();
        let first = chain.metagraph().await.unwrap();
        assert_eq!((first.uids.get("hk1"), first.block), (Some(1), Some(7)));
        std::fs::write(&path, r#"{"hotkeys":["hk1"]}"#).unwrap();
        let second = chain.metagraph().await.unwrap();
        assert_eq!((second.uids.get("hk1"), second.block), (Some(0), None));
    }

    #[tokio::test]
    async fn what_is_no_metagraph_is_refused() {
        for (text, line) in [("", 1), ("{}", 1), ("{\n\"hotkeys\":\n3}", 3), ("[1]", 1)] {
            let refused = read(text).await;
            assert!(
                matches!(refused, Err(ChainError::Form(at)) if at == line),
                "{text:?}: {refused:?}"
            );
        }
        let many: Vec<String> = (0..=Metagraph::MAX).map(|n| n.to_string()).collect();
        let many = serde_json::json!({"hotkeys": many}).to_string();
        assert!(matches!(read(&many).await, Err(ChainError::TooMany)));
        assert!(matches!(NoChain.metagraph().await, Err(ChainError::None)));
    }
}
