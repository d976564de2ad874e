//! Asks every active challenge for its scores, all at once. Each answers for itself: one that is slow, broken or
//! hostile costs its own scores, and no other's.
//!
//! What is held in memory of bodies at most are [`AT_ONCE`] small ones, and of large ones what the client has room for;
//! each is read into scores as soon as it is complete, and dropped. The scores of all of them stay within [`MOST_SCORES`]:
//! beyond it the longest answer fails, then the next, so that who fails does not depend on who came first. An attempt takes one of [`AT_ONCE`] places, not a
//! challenge: whoever has to be asked again stands behind those who have not been asked yet.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::scores::{Reply, parse_reply};
use super::{Answer, Failure, Scores};
use crate::edge::challenge::{Challenges, Place};
use crate::model::{Emission, Secret, Slug};
use crate::spec::Platform;
use crate::spec::platform::Status;

#[cfg(test)]
mod tests;

/// Attempts under way at once.
pub const AT_ONCE: usize = 32;

/// The bytes that the scores of all challenges take at most: a hundred times those of 30 000 hotkeys.
pub const MOST_SCORES: usize = 256 * 1024 * 1024;

/// The pause after the first attempt; after the n-th it is n times as long.
const PAUSE: Duration = Duration::from_millis(500);

/// A challenge that is to be asked.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where it is.
    pub place: Place,
    /// Its share, as declared.
    pub emission: Emission,
    /// What it knows the platform by; none where that is not known.
    pub token: Option<Secret<String>>,
}

/// How often a challenge is asked, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in all; fewer than one count as one.
    pub attempts: u32,
    /// The longest that one attempt takes; the client sees to it.
    pub attempt: Duration,
}

/// What came of asking one challenge.
#[derive(Clone, Debug, PartialEq)]
pub struct Collected {
    /// What it answered, or why it did not.
    pub answer: Answer,
    /// When it made its scores, if it says so.
    pub scored_at: Option<Timestamp>,
    /// How often it was asked.
    pub attempts: u32,
    /// How long that took, with the pauses.
    pub took: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 3,
            attempt: Duration::from_secs(10),
        }
    }
}

impl Patience {
    /// Returns the longest that asking takes in all, however many challenges there are and whatever they do.
    #[must_use]
    pub fn budget(&self) -> Duration {
        let attempts = self.attempts.max(1);
        self.attempt * attempts + (1..attempts).map(|n| PAUSE * n).sum::<Duration>()
    }
}

impl Subject {
    /// Returns the active challenges of a declaration, each with its token.
    #[must_use]
    pub fn all(platform: &Platform, tokens: &BTreeMap<Slug, Secret<String>>) -> Vec<Self> {
        let challenges = platform.challenges.values();
        let active = challenges.filter(|challenge| challenge.status == Status::Active);
        let subject = |challenge: &crate::spec::platform::Challenge| Self {
            place: Place {
                slug: challenge.slug.clone(),
                base: challenge.internal_base_url.clone(),
            },
            emission: challenge.emission,
            token: tokens.get(&challenge.slug).cloned(),
        };
        active.map(subject).collect()
    }
}

/// Asks all of them and returns what came of each, in the order of slugs.
///
/// Nothing is waited for longer than the budget: what has not been answered by then is a timeout.
pub async fn collect(
    client: &dyn Challenges,
    subjects: Vec<Subject>,
    patience: Patience,
) -> Vec<Collected> {
    let places = Semaphore::new(AT_ONCE);
    let deadline = Instant::now() + patience.budget();
    let asking = Asking {
        client,
        places: &places,
        patience,
        deadline,
    };
    let asked = subjects.into_iter().map(|subject| {
        let span = tracing::debug_span!("get_weights", slug = %subject.place.slug);
        asking.ask(subject).instrument(span)
    });
    let mut asked: FuturesUnordered<_> = asked.collect();
    let mut gathered = Gathered::within(MOST_SCORES);
    while let Some(one) = asked.next().await {
        gathered.take(one);
    }
    gathered.into_ordered()
}

/// What has come in so far.
struct Gathered {
    collected: Vec<Collected>,
    /// The bytes that its scores may take, and take.
    most: usize,
    taken: usize,
}

impl Gathered {
    fn within(most: usize) -> Self {
        Self {
            collected: Vec::new(),
            most,
            taken: 0,
        }
    }

    /// Takes one more. What is left of all that came in are the shortest of them, in whatever order they came.
    fn take(&mut self, one: Collected) {
        self.taken += size(&one);
        self.collected.push(one);
        while self.taken > self.most {
            let by_size = |one: &&mut Collected| (size(one), one.answer.slug.clone());
            let Some(longest) = self.collected.iter_mut().max_by_key(by_size) else {
                return;
            };
            self.taken -= size(longest);
            tracing::warn!(slug = %longest.answer.slug, most = self.most, "there is no room for its scores");
            longest.answer.outcome = Err(Failure::TooLarge);
            longest.scored_at = None;
        }
    }

    fn into_ordered(mut self) -> Vec<Collected> {
        self.collected
            .sort_by(|one, other| one.answer.slug.cmp(&other.answer.slug));
        self.collected
    }
}

/// Returns how many bytes its scores take.
fn size(one: &Collected) -> usize {
    one.answer.outcome.as_ref().map_or(0, Scores::size)
}

struct Asking<'a> {
    client: &'a dyn Challenges,
    places: &'a Semaphore,
    patience: Patience,
    deadline: Instant,
}

impl Asking<'_> {
    async fn ask(&self, subject: Subject) -> Collected {
        let began = Instant::now();
        let mut attempts = 0;
        let outcome = match &subject.token {
            Some(token) => {
                let asked = self.ask_again(&subject.place, token, &mut attempts);
                let asked = tokio::time::timeout_at(self.deadline, asked).await;
                asked.unwrap_or(Err(Failure::Timeout))
            }
            None => Err(Failure::NoToken),
        };
        let (outcome, scored_at) = match outcome {
            Ok(reply) => (Ok(reply.scores), reply.computed_at),
            Err(failure) => (Err(failure), None),
        };
        Collected {
            answer: Answer {
                slug: subject.place.slug,
                emission: subject.emission,
                outcome,
            },
            scored_at,
            attempts,
            took: began.elapsed(),
        }
    }

    /// Asks until there is an answer that can be used, or no attempt is left.
    async fn ask_again(
        &self,
        place: &Place,
        token: &Secret<String>,
        attempts: &mut u32,
    ) -> Result<Reply, Failure> {
        loop {
            *attempts += 1;
            let failure = match self.ask_once(place, token).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let is_final = matches!(failure, Failure::NoToken | Failure::Unreachable);
            if is_final || *attempts >= self.patience.attempts {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE * *attempts).await;
        }
    }

    async fn ask_once(&self, place: &Place, token: &Secret<String>) -> Result<Reply, Failure> {
        // The semaphore is never closed, so a place always comes.
        let _place = self.places.acquire().await;
        let body = self.client.get_weights(place, token).await?;
        let slug = place.slug.clone();
        // A large answer takes a while to read, during which others are still listened to.
        let read = tokio::task::spawn_blocking(move || parse_reply(&body, &slug)).await;
        match read {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => {
                tracing::debug!(slug = %place.slug, %error, "the scores cannot be used");
                Err(error.failure())
            }
            // What one challenge sends must not take the others along, whatever it brings about here.
            Err(error) => {
                tracing::error!(slug = %place.slug, %error, "the scores could not be read");
                Err(Failure::InvalidPayload)
            }
        }
    }
}
