//! Digests against a registry in memory, places against small worlds.

use std::sync::atomic::Ordering;

use super::*;
use crate::edge::images::fake::FakeRegistry;
use crate::spec::platform::{Environment, Postgres, Reach, Status};
use world::{challenge, postgres, slug, target, target_id, world};

mod places;
mod world;

fn digest(digit: &str) -> Digest {
    Digest::parse(&format!("sha256:{}", digit.repeat(64))).unwrap()
}

fn image(text: &str) -> ImageRef {
    ImageRef::parse(text).unwrap()
}

fn away(registry: &str) -> ImagesError {
    ImagesError::Unreachable {
        registry: registry.to_owned(),
        why: "connection refused".to_owned(),
    }
}

async fn digests(
    platform: &Platform,
    registry: &FakeRegistry,
    known: &BTreeMap<ImageRef, Digest>,
) -> BTreeMap<ImageRef, Result<Digest, String>> {
    let facts = resolve(platform, registry, known, &Assignments::new()).await;
    facts.digests
}

#[tokio::test]
async fn each_image_without_a_digest_is_asked_for_once() {
    let mut platform = world(&["aa", "bb", "cc"]);
    let pinned = image("ghcr.io/o/c:1").with_digest(digest("c"));
    challenge(&mut platform, "aa").database = postgres("postgres:16-alpine");
    challenge(&mut platform, "bb").database = postgres("postgres:16-alpine");
    challenge(&mut platform, "bb").status = Status::Draft;
    challenge(&mut platform, "cc").image = pinned;
    let registry = FakeRegistry::default()
        .with("ghcr.io/o/aa:1", Ok(digest("a")))
        .with("ghcr.io/o/bb:1", Ok(digest("b")))
        .with("postgres:16-alpine", Ok(digest("d")));
    let found = digests(&platform, &registry, &BTreeMap::new()).await;
    let asked = ["ghcr.io/o/aa:1", "ghcr.io/o/bb:1", "postgres:16-alpine"];
    assert_eq!(registry.questions(), asked);
    assert_eq!(found.len(), 3);
    assert_eq!(found[&image("postgres:16-alpine")], Ok(digest("d")));
}

#[tokio::test]
async fn a_digest_kept_for_the_revision_is_not_asked_for_again() {
    let platform = world(&["aa"]);
    let registry = FakeRegistry::default().with("ghcr.io/o/aa:1", Ok(digest("b")));
    let known = BTreeMap::from([
        (image("ghcr.io/o/aa:1"), digest("a")),
        (image("ghcr.io/o/gone:1"), digest("e")),
    ]);
    let facts = resolve(&platform, &registry, &known, &Assignments::new()).await;
    let kept = BTreeMap::from([(image("ghcr.io/o/aa:1"), digest("a"))]);
    assert_eq!(facts.known_digests(), kept);
    assert!(registry.questions().is_empty());
}

#[tokio::test]
async fn what_an_earlier_revision_had_is_known_where_this_one_has_nothing() {
    let mut platform = world(&["aa", "bb"]);
    challenge(&mut platform, "bb").image = image("quay.io/o/bb:1");
    let registry = FakeRegistry::default()
        .with("ghcr.io/o/aa:1", Ok(digest("a")))
        .with("quay.io/o/bb:1", Err(away("quay.io")));
    let mut facts = resolve(&platform, &registry, &BTreeMap::new(), &Assignments::new()).await;
    let remembered = [("ghcr.io/o/aa:1", "c"), ("quay.io/o/bb:1", "d")];
    let remembered = remembered.map(|(name, digit)| (image(name), digest(digit)));
    facts.take_earlier(BTreeMap::from(remembered));
    let kept = BTreeMap::from([(image("quay.io/o/bb:1"), digest("d"))]);
    assert_eq!(facts.earlier, kept);
}

#[tokio::test]
async fn a_registry_that_is_away_withholds_its_images_and_no_others() {
    let mut platform = world(&["aa", "bb"]);
    challenge(&mut platform, "bb").image = image("quay.io/o/bb:1");
    let registry = FakeRegistry::default()
        .with("ghcr.io/o/aa:1", Ok(digest("a")))
        .with("quay.io/o/bb:1", Err(away("quay.io")));
    let found = digests(&platform, &registry, &BTreeMap::new()).await;
    assert_eq!(found[&image("ghcr.io/o/aa:1")], Ok(digest("a")));
    assert_eq!(
        found[&image("quay.io/o/bb:1")].as_ref().unwrap_err(),
        "quay.io/o/bb:1: the registry quay.io could not be reached: connection refused; \
         pin the digest: write `@sha256:<64 hex>` behind it"
    );
}

#[tokio::test]
async fn a_registry_that_is_away_is_not_asked_for_every_tag() {
    let names: Vec<String> = (0..40).map(|n| format!("c-{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut registry = FakeRegistry::default();
    for name in &names {
        registry = registry.with(&format!("ghcr.io/o/{name}:1"), Err(away("ghcr.io")));
    }
    let found = digests(&world(&names), &registry, &BTreeMap::new()).await;
    assert_eq!(found.len(), 40);
    assert!(found.values().all(Result::is_err));
    assert!(registry.questions().len() <= AT_ONCE);
}

#[tokio::test]
async fn at_most_eight_questions_are_open_and_a_missing_tag_stops_no_other() {
    let names: Vec<String> = (0..40).map(|n| format!("c-{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let registry = FakeRegistry::default();
    let found = digests(&world(&names), &registry, &BTreeMap::new()).await;
    assert_eq!(registry.questions().len(), 40);
    assert_eq!(registry.most_at_once.load(Ordering::SeqCst), AT_ONCE);
    assert_eq!(
        found[&image("ghcr.io/o/c-00:1")].as_ref().unwrap_err(),
        "ghcr.io/o/c-00:1: the registry ghcr.io has no such tag; correct the tag, or push it"
    );
}

#[tokio::test]
async fn under_the_production_policy_nobody_is_asked() {
    for environment in [Environment::Staging, Environment::Production] {
        let mut platform = world(&["aa"]);
        platform.environment = environment;
        let registry = FakeRegistry::default().with("ghcr.io/o/aa:1", Ok(digest("a")));
        let known = BTreeMap::from([(image("ghcr.io/o/aa:1"), digest("a"))]);
        let found = digests(&platform, &registry, &known).await;
        assert!(found[&image("ghcr.io/o/aa:1")].is_err());
        assert!(registry.questions().is_empty());
    }
}
