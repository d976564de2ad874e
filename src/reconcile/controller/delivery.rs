//! Posts one thing until it is taken: a few times, later and later.

use std::time::Duration;

use rand::TryRngCore as _;

use crate::edge::hooks::{HookError, Hooks, Posting};

/// How often one thing is sent.
const TRIES: u32 = 5;
/// The pause after the first try; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, however long the other side asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Posts until it is taken, refused, or was tried often enough.
///
/// # Errors
/// The last answer.
pub async fn deliver(hooks: &dyn Hooks, posting: &Posting) -> Result<(), HookError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match hooks.post(posting).await {
            Err(HookError::Later { pause: asked, .. }) => {
                let longest = asked.unwrap_or(pause).max(pause).min(LONGEST_PAUSE);
                tokio::time::sleep(jittered(longest)).await;
                pause *= 2;
            }
            ended => return ended,
        }
    }
    hooks.post(posting).await
}

/// Many that lost the same host do not all come back at once.
fn jittered(pause: Duration) -> Duration {
    let dice = rand::rngs::OsRng.try_next_u32().unwrap_or(0);
    pause.mul_f64(1.0 + 0.25 * f64::from(dice) / f64::from(u32::MAX))
}

#[cfg(test)]
pub(super) mod fake {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;

    /// Takes postings, or answers as told.
    #[derive(Default)]
    pub struct FakeHooks {
        pub answers: Mutex<Vec<Result<(), HookError>>>,
        pub posted: Mutex<Vec<Posting>>,
    }

    #[async_trait]
    impl Hooks for FakeHooks {
        async fn post(&self, posting: &Posting) -> Result<(), HookError> {
            self.posted.lock().unwrap().push(posting.clone());
            self.answers.lock().unwrap().pop().unwrap_or(Ok(()))
        }
    }

    pub fn later() -> HookError {
        HookError::Later {
            host: "h".to_owned(),
            why: "away".to_owned(),
            pause: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{FakeHooks, later};
    use super::*;
    use crate::edge::hooks::Address;

    fn posting() -> Posting {
        Posting {
            address: Address::parse("https://h/").unwrap(),
            headers: Vec::new(),
            body: b"{}".to_vec(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_is_sent_again_a_few_times() {
        for (failures, tries, is_taken) in [(0, 1, true), (2, 3, true), (4, 5, true), (9, 5, false)]
        {
            let hooks = FakeHooks::default();
            hooks
                .answers
                .lock()
                .unwrap()
                .extend((0..failures).map(|_| Err(later())));
            let taken = deliver(&hooks, &posting()).await.is_ok();
            assert_eq!(
                (hooks.posted.lock().unwrap().len(), taken),
                (tries, is_taken)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_sent_again() {
        let hooks = FakeHooks::default();
        let refused = HookError::Refused {
            host: "h".to_owned(),
            status: 401,
        };
        hooks.answers.lock().unwrap().push(Err(refused.clone()));
        assert_eq!(deliver(&hooks, &posting()).await, Err(refused));
        assert_eq!(hooks.posted.lock().unwrap().len(), 1);
    }
}
