//! A registry in memory that remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::{ImageRegistry, ImagesError};
use crate::model::{Digest, ImageRef};

/// Answers from a table; an image that is not in it does not exist.
#[derive(Debug, Default)]
pub struct FakeRegistry {
    /// What is answered, by the image as asked.
    pub answers: BTreeMap<ImageRef, Result<Digest, ImagesError>>,
    /// The questions, in order.
    pub asked: Mutex<Vec<ImageRef>>,
    /// The most questions that were open at once.
    pub most_at_once: AtomicUsize,
    open: AtomicUsize,
}

impl FakeRegistry {
    /// Adds an answer.
    #[must_use]
    pub fn with(mut self, image: &str, answer: Result<Digest, ImagesError>) -> Self {
        self.answers.insert(ImageRef::parse(image).unwrap(), answer);
        self
    }

    /// Returns the questions as texts, sorted.
    pub fn questions(&self) -> Vec<String> {
        let mut asked: Vec<_> = self
            .asked
            .lock()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        asked.sort();
        asked
    }
}

#[async_trait]
impl ImageRegistry for FakeRegistry {
    async fn digest(&self, image: &ImageRef) -> Result<Digest, ImagesError> {
        self.asked.lock().unwrap().push(image.clone());
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(open, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.open.fetch_sub(1, Ordering::SeqCst);
        let missing = || ImagesError::NotFound {
            registry: image.registry.clone(),
        };
        self.answers
            .get(image)
            .cloned()
            .unwrap_or_else(|| Err(missing()))
    }
}
