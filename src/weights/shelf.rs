//! What is served, ready to be sent: bodies, their compressed forms, tags and signatures are made once each.

use std::io::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Subnet;
use super::document::Document;
use super::publish::Outage;
use super::signature::{Signature, SigningKey};
use crate::model::clock::Moment;
use crate::model::snapshot::{Snapshot, SnapshotSummary};

/// Bodies beyond this are compressed quickly rather than well.
const LARGE: usize = 1 << 20;

/// A body as it is sent.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its bytes.
    pub body: Bytes,
    /// The same compressed, where somebody takes that.
    pub gzip: Option<Bytes>,
    /// The digest of the bytes, in hex.
    pub digest: String,
    /// Who signed it, where somebody did.
    pub signature: Option<Signature>,
}

/// A vector as it is sent.
#[derive(Clone, Debug)]
pub struct Copies {
    /// What it is.
    pub summary: SnapshotSummary,
    /// The subnet it is for.
    pub subnet: Subnet,
    /// With the challenges' scores.
    pub whole: Served,
    /// Without them.
    pub brief: Served,
}

/// What is served.
#[derive(Debug, Default)]
pub struct Shelf(RwLock<Stock>);

/// What is on the shelf.
#[derive(Clone, Debug, Default)]
pub struct Stock {
    /// The subnet it is of, as far as that is known.
    subnet: Option<Subnet>,
    /// Whether this process has read the declaration that it is of.
    pub declared: Declared,
    /// The newest vector.
    pub weights: Option<Arc<Copies>>,
    /// Until when it may be used, by the steady time of this process: a time of day that is set back makes no vector
    /// good again.
    good_until: Duration,
    /// Why there is none newer.
    pub outage: Option<Outage>,
    /// The vectors that are kept, newest first.
    pub history: Arc<Vec<SnapshotSummary>>,
    /// The registry document.
    pub registry: Option<Arc<Served>>,
    /// When the registered hotkeys were read.
    pub metagraph_read_at: Option<Timestamp>,
    /// When the database was last read to the end.
    pub database_read_at: Option<Timestamp>,
    /// Whether the last reading of the database failed.
    pub is_database_away: bool,
    /// Whether vectors are signed.
    pub is_signed: bool,
}

/// Whether a process has read the declaration that says what is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Declared {
    /// It has not, and nobody has kept what one said.
    #[default]
    Unknown,
    /// It has not, and goes by what the last that did has kept.
    Known,
    /// It has.
    Read,
}

/// What is answered to who asks for the newest vector.
#[derive(Clone, Debug)]
pub enum Latest {
    /// The vector.
    Good(Arc<Copies>),
    /// There has been none so far.
    NotYet,
    /// There is none that may be used, and this is why.
    Outage(Outage),
    /// There is none that may be used; who computes knows why.
    Expired,
}

impl Stock {
    fn is_of(&self, subnet: &Subnet) -> bool {
        self.subnet.as_ref().is_none_or(|own| own == subnet)
    }

    /// Leaves what is of another subnet behind.
    fn turn_to(&mut self, subnet: &Subnet) {
        let weights = self.weights.take();
        self.weights = weights.filter(|copies| copies.subnet == *subnet);
        if self.subnet.replace(subnet.clone()).is_some() {
            self.outage = None;
            self.history = Arc::default();
            self.metagraph_read_at = None;
        }
    }

    /// Returns when the newest vector was made, as far as it can have been made by now.
    #[must_use]
    pub fn made_at(&self, now: Timestamp) -> Option<Timestamp> {
        let summary = self.weights.as_ref().map(|copies| &copies.summary);
        let summary = summary.filter(|summary| !summary.is_ahead(now))?;
        Some(summary.computed_at)
    }

    /// Takes why there is no vector after the one of this time, or that nobody says so any more; unless there is one by
    /// now, which has ended it.
    pub fn take_outage(
        &mut self,
        outage: Option<Outage>,
        after: Option<Timestamp>,
        now: Timestamp,
    ) {
        if self.made_at(now) == after {
            self.outage = outage;
        }
    }

    /// Returns what is answered to who asks for the newest vector.
    #[must_use]
    pub fn latest(&self, now: Moment) -> Latest {
        let good = self.weights.as_ref().filter(|copies| {
            let summary = &copies.summary;
            let is_of_now = now.wall < summary.expires_at && !summary.is_ahead(now.wall);
            is_of_now && now.steady < self.good_until
        });
        match (good, self.outage) {
            (Some(copies), _) => Latest::Good(copies.clone()),
            (None, Some(outage)) => Latest::Outage(outage),
            (None, None) if self.weights.is_some() => Latest::Expired,
            (None, None) => Latest::NotYet,
        }
    }
}

impl Shelf {
    /// Returns what is on the shelf.
    #[must_use]
    pub fn stock(&self) -> Stock {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes what is on the shelf.
    pub fn change(&self, change: impl FnOnce(&mut Stock)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes it the shelf of this subnet; tells whether it was another's, of which nothing stays.
    pub fn turn_to(&self, subnet: &Subnet) -> bool {
        let mut is_other = false;
        self.change(|stock| {
            is_other = stock.subnet.as_ref() != Some(subnet);
            if is_other {
                stock.turn_to(subnet);
            }
        });
        is_other
    }

    /// Puts a vector on the shelf, unless one as new is there, or the shelf is another subnet's. One of a clock that is
    /// far ahead is none.
    pub fn put(&self, copies: Copies, now: Moment) {
        self.change(|stock| {
            let summary = &copies.summary;
            let is_usable = !summary.is_ahead(now.wall) && stock.is_of(&copies.subnet);
            if is_usable && stock.made_at(now.wall) < Some(summary.computed_at) {
                stock.good_until = now.steady + left(summary, now.wall);
                stock.weights = Some(Arc::new(copies));
                stock.outage = None;
            }
        });
    }
}

impl Copies {
    /// Makes what is sent of a vector. Takes a moment for a large one.
    ///
    /// # Errors
    /// The document is not one of weights.
    pub fn of(snapshot: &Snapshot, key: Option<&SigningKey>) -> serde_json::Result<Self> {
        let document: Document = serde_json::from_str(&snapshot.document)?;
        let subnet = Subnet {
            netuid: document.netuid,
            chain_endpoint: document.chain_endpoint.clone(),
        };
        let brief = document.brief().to_json()?;
        Ok(Self {
            summary: snapshot.summary.clone(),
            subnet,
            whole: Served::of(snapshot.document.clone(), key),
            brief: Served::of(brief, key),
        })
    }
}

impl Served {
    /// Makes what is sent of a body, in every form.
    #[must_use]
    pub fn of(body: String, key: Option<&SigningKey>) -> Self {
        Self {
            gzip: Some(compressed(body.as_bytes())),
            ..Self::plain(body, key)
        }
    }

    /// Makes what is sent of a body to who does not take it compressed.
    #[must_use]
    pub fn plain(body: String, key: Option<&SigningKey>) -> Self {
        Self {
            gzip: None,
            digest: hex::encode(Sha256::digest(&body)),
            signature: key.map(|key| key.sign(body.as_bytes())),
            body: body.into(),
        }
    }
}

/// Returns for how long a vector may be used: at most for as long as it was made for.
fn left(summary: &SnapshotSummary, now: Timestamp) -> Duration {
    let of = |since: Timestamp| summary.expires_at.duration_since(since);
    let left = of(now).min(of(summary.computed_at));
    Duration::try_from(left).unwrap_or_default()
}

fn compressed(body: &[u8]) -> Bytes {
    let level = match body.len() > LARGE {
        true => Compression::fast(),
        false => Compression::default(),
    };
    let mut encoder = GzEncoder::new(Vec::new(), level);
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail").into()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::model::Secret;

    fn snapshot(second: i64) -> Snapshot {
        let at = |second| Timestamp::from_second(second).unwrap();
        Snapshot {
            summary: SnapshotSummary {
                netuid: 1,
                computed_at: at(second),
                expires_at: at(second + 720),
                revision: "c0ffee".to_owned(),
                metagraph_block: None,
                metagraph_updated_at: at(second),
                inputs_digest: String::new(),
            },
            document: concat!(
                r#"{"netuid":1,"chain_endpoint":"","uids":[1,2],"weights":[0.30000000000000004,0.7],"#,
                r#""hotkey_weights":{"a":2.225073858507201e-308},"computed_at":"2030-01-01T12:00:00Z","#,
                r#""expires_at":"2030-01-01T12:12:00Z","source_challenges":[{"slug":"prism","#,
                r#""emission_percent":1.0,"weights":{"a":0.1},"ok":true,"error":null}],"#,
                r#""metagraph_updated_at":"2030-01-01T12:00:00Z"}"#
            )
            .to_owned(),
            explanation: serde_json::Value::Null,
        }
    }

    fn at(second: u64) -> Moment {
        Moment {
            wall: Timestamp::from_second(second.cast_signed()).unwrap(),
            steady: Duration::from_secs(second),
        }
    }

    fn latest(shelf: &Shelf, now: Moment) -> String {
        match shelf.stock().latest(now) {
            Latest::Good(copies) => copies.summary.computed_at.as_second().to_string(),
            Latest::NotYet => "not yet".to_owned(),
            Latest::Outage(outage) => outage.to_string(),
            Latest::Expired => "expired".to_owned(),
        }
    }

    fn put(shelf: &Shelf, second: i64, now: Moment) {
        shelf.put(Copies::of(&snapshot(second), None).unwrap(), now);
    }

    #[test]
    fn every_form_of_a_vector_is_the_same_vector_and_signed_by_itself() {
        let key = SigningKey::parse(&Secret::new("1".repeat(64))).unwrap();
        let copies = Copies::of(&snapshot(0), Some(&key)).unwrap();
        assert_eq!(copies.whole.body, snapshot(0).document.as_bytes());
        let brief = snapshot(0).document.replace(r#""weights":{"a":0.1},"#, "");
        assert_eq!(
            copies.brief.body,
            brief.as_bytes(),
            "to the last bit of each number"
        );
        for copy in [&copies.whole, &copies.brief] {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&copy.gzip.as_ref().unwrap()[..])
                .read_to_end(&mut text)
                .unwrap();
            assert_eq!(text, copy.body);
            assert!(copy.signature.as_ref().unwrap().is_of(&copy.body));
        }
        assert_ne!(copies.whole.digest, copies.brief.digest);
        assert!(
            Copies::of(&snapshot(0), None)
                .unwrap()
                .whole
                .signature
                .is_none()
        );
    }

    #[test]
    fn an_outage_shows_once_the_last_vector_has_expired() {
        let shelf = Shelf::default();
        assert_eq!(latest(&shelf, at(0)), "not yet");
        shelf.change(|stock| stock.outage = Some(Outage::Metagraph));
        assert_eq!(latest(&shelf, at(0)), "metagraph unavailable");
        put(&shelf, 1000, at(1000));
        assert_eq!(latest(&shelf, at(1720)), "expired");
        shelf.change(|stock| stock.outage = Some(Outage::Challenges));
        assert_eq!(latest(&shelf, at(1719)), "1000");
        assert_eq!(latest(&shelf, at(1720)), "no challenge provided weights");
        put(&shelf, 900, at(1001));
        assert_eq!(
            latest(&shelf, at(1719)),
            "1000",
            "an older one changes nothing"
        );
        put(&shelf, 2000, at(2000));
        assert_eq!(latest(&shelf, at(2000)), "2000");
    }

    #[test]
    fn an_outage_that_is_over_does_not_come_back() {
        let shelf = Shelf::default();
        let take = |outage, after: Option<u64>| {
            let after = after.map(|second| at(second).wall);
            shelf.change(|stock| stock.take_outage(outage, after, at(1001).wall));
        };
        let outage = || shelf.stock().outage;
        take(Some(Outage::Metagraph), None);
        assert_eq!(outage(), Some(Outage::Metagraph));
        put(&shelf, 1000, at(1000));
        take(Some(Outage::Metagraph), None);
        assert_eq!(outage(), None, "it was read before there was the vector");
        take(Some(Outage::Challenges), Some(1000));
        assert_eq!(outage(), Some(Outage::Challenges));
        take(None, Some(1000));
        assert_eq!(outage(), None, "nobody says so any more");
    }

    #[test]
    fn another_subnet_has_nothing_of_the_one_before() {
        let subnet = |netuid, endpoint: &str| Subnet {
            netuid,
            chain_endpoint: endpoint.to_owned(),
        };
        for other in [subnet(2, ""), subnet(1, "wss://chain.example:9944")] {
            let shelf = Shelf::default();
            put(&shelf, 1000, at(1000));
            assert!(shelf.turn_to(&subnet(1, "")), "it was nobody's");
            assert!(!shelf.turn_to(&subnet(1, "")));
            assert_eq!(latest(&shelf, at(1000)), "1000");
            shelf.change(|stock| {
                stock.outage = Some(Outage::Challenges);
                stock.history = Arc::new(vec![snapshot(1000).summary]);
            });
            assert!(shelf.turn_to(&other));
            assert_eq!(latest(&shelf, at(1000)), "not yet");
            assert!(shelf.stock().history.is_empty());
            put(&shelf, 1001, at(1001));
            assert_eq!(latest(&shelf, at(1001)), "not yet", "it came too late");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_vector_good_for_longer() {
        let shelf = Shelf::default();
        put(&shelf, 1000, at(1010));
        let back = |steady| Moment {
            wall: at(1000).wall,
            steady: Duration::from_secs(steady),
        };
        assert_eq!(latest(&shelf, back(1719)), "1000");
        assert_eq!(latest(&shelf, back(1720)), "expired");
        // Half a minute ahead may be the other's clock: it is good for as long as it was made for.
        let shelf = Shelf::default();
        put(&shelf, 1030, at(1000));
        assert_eq!(latest(&shelf, back(1719)), "1030");
        assert_eq!(latest(&shelf, back(1720)), "expired");
    }

    #[test]
    fn a_vector_of_a_clock_far_ahead_is_none_and_holds_up_nobody() {
        let shelf = Shelf::default();
        put(&shelf, 1031, at(1000));
        assert_eq!(latest(&shelf, at(1000)), "not yet");
        // It was this process's own clock, which is put right.
        put(&shelf, 90_000, at(90_000));
        assert_eq!(latest(&shelf, at(90_000)), "90000");
        let right = |second| Moment {
            steady: at(90_001).steady,
            ..at(second)
        };
        assert_eq!(latest(&shelf, right(1000)), "expired");
        put(&shelf, 1000, right(1000));
        assert_eq!(latest(&shelf, right(1001)), "1000");
    }
}
