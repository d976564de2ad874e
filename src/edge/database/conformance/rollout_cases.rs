//! Cases about images that were rolled out: kept as a whole, forgotten when somebody resumes, and fenced.

use super::*;
use crate::model::act::{Act, ActKind};
use crate::model::rollout::{FailedImage, Rollout, Rollouts};

fn image(tag: &str) -> ImageRef {
    ImageRef::parse(&format!("ghcr.io/o/demo:{tag}@sha256:{}", "a".repeat(64))).unwrap()
}

pub(super) async fn what_came_of_images_is_kept_and_what_failed_is_tried_again_when_resumed(
    world: World,
) {
    let database = world.open().await;
    assert_eq!(
        database.rollouts(&Scope::All).await.unwrap(),
        Rollouts::new()
    );
    let failed = FailedImage {
        image: image("2"),
        declared: "ab".repeat(32),
        revision: "1a2b3c4".to_owned(),
        seconds: 600,
        at: at(5),
    };
    let good = |tag| Rollout {
        good: Some(image(tag)),
        failed: None,
    };
    let both = Rollouts::from([
        (slug("other"), good("9")),
        (
            slug("prism"),
            Rollout {
                failed: Some(failed),
                ..good("1")
            },
        ),
    ]);
    for second in [1, 2] {
        let wrote = database.write_rollouts(UNTAKEN, &both, at(second)).await;
        wrote.unwrap();
        assert_eq!(database.rollouts(&Scope::All).await.unwrap(), both);
    }
    let resume = Act {
        kind: ActKind::Resume,
        slug: Some(slug("prism")),
        why: None,
        actor: "ada".to_owned(),
        at: at(6),
    };
    database.act(&resume).await.unwrap();
    let rollouts = database.rollouts(&Scope::All).await.unwrap();
    assert_eq!(rollouts[&slug("prism")], good("1"));
    assert_eq!(rollouts[&slug("other")], good("9"));
    database.take_fence(at(0)).await.unwrap();
    let late = database.write_rollouts(UNTAKEN, &both, at(7)).await;
    assert!(
        matches!(late, Err(DatabaseError::Fenced { .. })),
        "{late:?}"
    );
    assert_eq!(database.rollouts(&Scope::All).await.unwrap(), rollouts);
}
