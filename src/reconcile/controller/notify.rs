//! Tells notices to a webhook: a signed JSON document each, sent again until it is taken, with an end to both.

use std::collections::BTreeSet;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use rand::TryRngCore as _;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use sha2::Sha256;
use tokio::sync::mpsc;

use super::board::Board;
use super::delivery::deliver;
use super::tellers::{Channel, Fate};
use crate::edge::hooks::{Address, Hooks, Posting};
use crate::model::Secret;
use crate::model::notice::{Notice, NoticeClass};
use crate::reconcile::render::mask;

/// One notification, as a webhook is sent it.
///
/// The header `X-Platform-Signature-256` is `sha256=` and the HMAC-SHA256 of the body in hex, under the secret that
/// both sides share. The id is the same when a notification is sent again.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Notification {
    /// The version of this shape: 1.
    pub version: u32,
    /// What no other notification has.
    pub id: String,
    /// When it was found out (RFC 3339).
    pub at: String,
    /// What it means.
    pub event: Event,
    /// What happened, as one word in camel case.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// The challenge that it is about; null for the platform as a whole.
    pub challenge: Option<String>,
    /// The commit, or the digest of the content, that it was found for.
    pub revision: Option<String>,
    /// The source that is followed.
    pub source: String,
    /// The cluster and the namespace.
    pub cluster: String,
}

/// What a notification means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Something came to a good end.
    Success,
    /// Somebody has to see to something.
    Failure,
    /// Somebody else changed what is declared.
    Drift,
}

impl Event {
    /// Returns what a notice means here, if it is one to notify of.
    #[must_use]
    pub fn of(class: NoticeClass) -> Option<Self> {
        match class {
            NoticeClass::Progress => None,
            NoticeClass::Success => Some(Self::Success),
            NoticeClass::Failure => Some(Self::Failure),
            NoticeClass::Drift => Some(Self::Drift),
        }
    }

    /// Returns its name, as settings and documents spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Drift => "drift",
        }
    }
}

/// Returns the JSON Schema of [`Notification`], indented, with a final line break.
#[must_use]
pub fn notification_schema() -> String {
    let schema = schema_for!(Notification);
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text + "\n"
}

/// Where notifications go, and which.
pub struct Webhook {
    /// Where to.
    pub address: Address,
    /// What the body is signed with.
    pub secret: Option<Secret<String>>,
    /// What is notified of.
    pub on: BTreeSet<NoticeClass>,
    /// The source, as it may be shown.
    pub source: String,
    /// The cluster and the namespace.
    pub cluster: String,
}

impl Webhook {
    /// Tells what comes until nobody sends any more.
    pub async fn tell(
        self,
        hooks: Arc<dyn Hooks>,
        board: Arc<Board>,
        mut notices: mpsc::Receiver<Notice>,
    ) {
        while let Some(notice) = notices.recv().await {
            let is_wanted = self.on.contains(&notice.class);
            let Some(event) = Event::of(notice.class).filter(|_| is_wanted) else {
                continue;
            };
            let posting = self.posting(&notice, event, &made_up_id());
            let fate = match deliver(hooks.as_ref(), &posting).await {
                Ok(()) => Fate::Sent,
                Err(error) => {
                    tracing::warn!(%error, reason = notice.reason, "a notification was not delivered");
                    Fate::Failed
                }
            };
            board.count(Channel::Webhook, fate);
        }
    }

    fn posting(&self, notice: &Notice, event: Event, id: &str) -> Posting {
        let notification = Notification {
            version: 1,
            id: id.to_owned(),
            at: notice.at.to_string(),
            event,
            reason: notice.reason.to_owned(),
            message: mask::line(&notice.note),
            challenge: notice.about.slug().map(ToString::to_string),
            revision: notice.revision.clone(),
            source: self.source.clone(),
            cluster: self.cluster.clone(),
        };
        let body = serde_json::to_vec(&notification).unwrap_or_default();
        let open = |text: &str| Secret::new(text.to_owned());
        let mut headers = vec![
            ("x-platform-event", open(event.as_str())),
            ("x-platform-delivery", open(id)),
        ];
        if let Some(secret) = &self.secret {
            let signature = format!("sha256={}", sign(secret, &body));
            headers.push(("x-platform-signature-256", Secret::new(signature)));
        }
        Posting {
            address: self.address.clone(),
            headers,
            body,
        }
    }
}

fn sign(secret: &Secret<String>, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let mut mac = mac.expect("HMAC takes a key of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Without randomness two ids may be alike, which only makes one be taken for a repetition.
fn made_up_id() -> String {
    let part = || rand::rngs::OsRng.try_next_u64().unwrap_or_default();
    format!("{:016x}{:016x}", part(), part())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::notice::Subject;
    use crate::reconcile::controller::delivery::fake::{FakeHooks, later};

    fn webhook(on: &[NoticeClass]) -> Webhook {
        Webhook {
            address: Address::parse("https://h/canary").unwrap(),
            secret: Some(Secret::new("canary".to_owned())),
            on: on.iter().copied().collect(),
            source: "platform.yaml".to_owned(),
            cluster: "c1/platform".to_owned(),
        }
    }

    fn notice(class: NoticeClass, note: &str) -> Notice {
        Notice {
            about: Subject::Platform,
            reason: "Held",
            class,
            note: note.to_owned(),
            revision: Some("3f2a9c1".to_owned()),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_notification_is_signed_and_holds_nothing_secret() {
        let told = notice(NoticeClass::Failure, "postgres://u:canary@h/ is away");
        let posting = webhook(&[]).posting(&told, Event::Failure, "1");
        let body: Value = serde_json::from_slice(&posting.body).unwrap();
        let expected = json!({
            "version": 1, "id": "1", "at": "1970-01-01T00:00:00Z", "event": "failure", "reason": "Held",
            "message": "postgres://***@h/ is away", "challenge": null, "revision": "3f2a9c1",
            "source": "platform.yaml", "cluster": "c1/platform",
        });
        assert_eq!(body, expected);
        let (name, signature) = posting.headers.last().unwrap();
        assert_eq!(*name, "x-platform-signature-256");
        let secret = Secret::new("canary".to_owned());
        assert_eq!(
            *signature.expose(),
            format!("sha256={}", sign(&secret, &posting.body))
        );
        assert!(!format!("{posting:?}").contains("canary"), "{posting:?}");
        // As RFC 4231 has it, its second case.
        assert_eq!(
            sign(
                &Secret::new("Jefe".to_owned()),
                b"what do ya want for nothing?"
            ),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_asked_for_is_told_and_what_came_of_it_counted() {
        let (hooks, board) = (Arc::new(FakeHooks::default()), Arc::new(Board::default()));
        hooks
            .answers
            .lock()
            .unwrap()
            .extend((0..5).map(|_| Err(later())));
        let (send, receive) = mpsc::channel(10);
        for class in [
            NoticeClass::Failure,
            NoticeClass::Success,
            NoticeClass::Progress,
            NoticeClass::Drift,
        ] {
            send.send(notice(class, "x")).await.unwrap();
        }
        drop(send);
        let on = [NoticeClass::Failure, NoticeClass::Drift];
        webhook(&on)
            .tell(hooks.clone(), board.clone(), receive)
            .await;
        let told = board.read().told;
        assert_eq!(told[&(Channel::Webhook, Fate::Failed)], 1);
        assert_eq!(told[&(Channel::Webhook, Fate::Sent)], 1);
        let posted = hooks.posted.lock().unwrap();
        let ids: BTreeSet<_> = posted.iter().map(|posting| &posting.body).collect();
        assert_eq!(
            (posted.len(), ids.len()),
            (6, 2),
            "the same when sent again"
        );
    }
}
