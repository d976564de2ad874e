//! Cases about turns: a token only grows, and what comes with an earlier one is refused as a whole.

use super::*;

pub(super) async fn each_turn_has_a_higher_token(world: World) {
    let database = world.open().await;
    assert_eq!(database.fence().await.unwrap(), UNTAKEN);
    let first = database.take_fence(at(0)).await.unwrap();
    assert!(first.follows(UNTAKEN));
    let second = world.open().await.take_fence(at(0)).await.unwrap();
    assert!(second > first && second.follows(first) && !second.follows(UNTAKEN));
    assert_eq!(database.fence().await.unwrap(), second);
}

pub(super) async fn what_a_deposed_writer_sends_is_refused_and_changes_nothing(world: World) {
    let database = world.open().await;
    let deposed = database.take_fence(at(0)).await.unwrap();
    let (kept, gone) = (
        RowKey::Challenge(slug("prism")),
        RowKey::Challenge(slug("never")),
    );
    let row = Row(challenge());
    let write = |token, key, revision| {
        let (database, row) = (database.clone(), row.clone());
        async move { database.write_row(token, key, &row, &revision, at(0)).await }
    };
    write(deposed, &kept, revision(1)).await.unwrap();
    database
        .record_pass(deposed, &pass(1, 2), &[])
        .await
        .unwrap();
    let successor = database.take_fence(at(0)).await.unwrap();
    write(successor, &kept, revision(2)).await.unwrap();
    let before = world.everything().await;

    let image = ImageRef::parse("ghcr.io/o/a:latest").unwrap();
    let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
    for token in [deposed, UNTAKEN, FenceToken::new(99), FenceToken::new(-1)] {
        let refused = [
            write(token, &kept, revision(3)).await,
            write(token, &gone, revision(3)).await,
            database.delete_row(token, &kept).await,
            database
                .record_pass(token, &pass(2, 9), &[])
                .await
                .map(drop),
            database
                .remember_digest(token, &image, &digest, &revision(3), at(0))
                .await,
        ];
        for refused in refused {
            let is_fenced = matches!(refused, Err(DatabaseError::Fenced { .. }));
            assert!(is_fenced, "{refused:?}");
        }
        assert_eq!(world.everything().await, before);
    }
    database
        .record_pass(successor, &pass(3, 1), &[])
        .await
        .unwrap();
    database.delete_row(successor, &kept).await.unwrap();
}

pub(super) async fn turns_taken_at_the_same_time_are_all_different(world: World) {
    let databases = [world.open().await, world.open().await];
    let takes = (0..20).map(|n: usize| {
        let database = databases[n % 2].clone();
        tokio::spawn(async move { database.take_fence(at(0)).await.unwrap() })
    });
    let mut taken = std::collections::BTreeSet::new();
    for take in takes.collect::<Vec<_>>() {
        taken.insert(take.await.unwrap());
    }
    assert_eq!(taken.len(), 20);
    assert_eq!(
        taken.last(),
        Some(&databases[0].fence().await.unwrap()),
        "the newest is the highest"
    );
}

/// Writers and takers at the same time: whatever was written last was written under the token of its turn.
pub(super) async fn a_write_that_has_begun_is_over_before_the_next_turn(world: World) {
    let database = world.open().await;
    let key = RowKey::Challenge(slug("prism"));
    for round in 0..10 {
        let old = database.take_fence(at(0)).await.unwrap();
        let late = (0..8).map(|_| {
            let (database, key) = (database.clone(), key.clone());
            tokio::spawn(async move {
                let row = Row(challenge());
                let revision = revision(1000);
                database.write_row(old, &key, &row, &revision, at(0)).await
            })
        });
        let late: Vec<_> = late.collect();
        let new = world.open().await.take_fence(at(0)).await.unwrap();
        let row = Row(challenge());
        database
            .write_row(new, &key, &row, &revision(round), at(0))
            .await
            .unwrap();
        for late in late {
            let ended = late.await.unwrap();
            let is_expected = matches!(ended, Ok(()) | Err(DatabaseError::Fenced { .. }));
            assert!(is_expected, "{ended:?}");
        }
        let told = world.ask("select revision from challenges").await;
        assert_eq!(told, [format!("{round:040x}")]);
    }
}
