//! The algorithm on a clock that the tests move: who holds a lease when processes stop, clocks differ, and the
//! API server answers whatever it likes.

use std::cell::Cell;

use super::*;
use crate::edge::cluster::leases::fake::{FakeLeases, Weather};

const SECOND: Duration = Duration::from_secs(1);
const NO_WAIT: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(60);

thread_local! {
    static BEGAN: tokio::time::Instant = tokio::time::Instant::now();
    /// How long the first process was stopped: time that passed without its timers.
    static STOPPED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn steady() -> Duration {
    BEGAN.with(tokio::time::Instant::elapsed)
}

fn steady_with_stops() -> Duration {
    steady() + STOPPED.get()
}

fn noon() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap() + steady()
}

fn hours_ahead() -> Timestamp {
    noon() + SECOND * 3600 * 5
}

fn hours_behind() -> Timestamp {
    noon() - SECOND * 3600 * 5
}

fn standing_still() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn lease(leases: &FakeLeases, identity: &str, wall: fn() -> Timestamp) -> Lease {
    let clock = Clock { wall, steady };
    Lease::new(Arc::new(leases.clone()), "ns", PASS, identity, clock)
}

async fn acquire(
    leases: &FakeLeases,
    identity: &str,
    limit: Duration,
) -> Result<Held, AcquireError> {
    lease(leases, identity, noon).acquire(limit, &|_| {}).await
}

/// Waits for the successor while never two count themselves the holder, and returns how long it took.
async fn succeed(leases: &FakeLeases, first: &Pulse) -> Duration {
    let began = steady();
    let successor = lease(&leases.beside(), "second", noon);
    let next = successor.acquire(LONG, &|_| {}).await.unwrap();
    assert!(first.check().is_err(), "two hold it");
    assert!(next.check().is_ok());
    let took = steady() - began;
    next.release().await;
    took
}

#[tokio::test(start_paused = true)]
async fn a_lease_nobody_holds_is_taken_at_once_and_given_back_at_once() {
    let leases = FakeLeases::default();
    for turn in 0..3 {
        let began = steady();
        let held = acquire(&leases, "a", NO_WAIT).await.unwrap();
        assert!(held.check().is_ok());
        let record = leases.record();
        assert_eq!((record.seconds, record.transitions), (4, turn));
        held.release().await;
        assert_eq!(leases.record().holder, "");
        assert!(steady() - began < Duration::from_millis(100));
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_renews_keeps_it_and_the_other_is_told_who_it_is() {
    let leases = FakeLeases::default();
    let held = acquire(&leases, "ada", NO_WAIT).await.unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let waiting = |holder: &str| told.lock().unwrap().push(holder.to_owned());
    let other = lease(&leases.beside(), "bob", noon);
    let refused = other.acquire(SECOND * 3600, &waiting).await;
    let Err(AcquireError::Held { holder, .. }) = refused.map(drop) else {
        panic!("two hold it");
    };
    assert!(holder.starts_with("ada #"), "{holder}");
    assert_eq!(told.into_inner().unwrap(), [holder]);
    assert!(held.check().is_ok());
    assert_eq!(leases.record().transitions, 0);
}

#[tokio::test(start_paused = true)]
async fn whatever_becomes_of_the_holder_the_next_begins_within_five_seconds_and_never_beside_it() {
    let answers = [
        ClusterError::Forbidden(String::new()),
        ClusterError::Unauthorized,
        ClusterError::NotFound,
        ClusterError::Conflict(String::new()),
        ClusterError::TooManyRequests(Some(3600)),
        ClusterError::Server {
            code: 500,
            reason: String::new(),
        },
        ClusterError::Unreachable(String::new()),
    ];
    let mut weathers: Vec<Weather> = answers.into_iter().map(Weather::Answer).collect();
    weathers.push(Weather::Silence);
    for weather in weathers {
        for phase in 0..40 {
            let leases = FakeLeases::default();
            let held = acquire(&leases, "first", NO_WAIT).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1000 + phase * 25)).await;
            leases.turn(weather.clone());
            let took = succeed(&leases, &held.pulse()).await;
            assert!(took <= SECOND * 5, "{weather:?}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_sees_that_it_lost_before_it_does_anything() {
    let leases = FakeLeases::default();
    let clock = Clock {
        wall: noon,
        steady: steady_with_stops,
    };
    let first = Lease::new(Arc::new(leases.clone()), "ns", PASS, "first", clock);
    let held = first.acquire(NO_WAIT, &|_| {}).await.unwrap();
    tokio::time::sleep(SECOND * 10).await;
    assert!(held.check().is_ok());
    STOPPED.set(SECOND * 3);
    let Err(Lost::NotRenewed { .. }) = held.check() else {
        panic!("three seconds without a renewal, and it goes on");
    };
    // Nobody took it meanwhile, and still it is lost for good.
    STOPPED.set(Duration::ZERO);
    assert!(held.check().is_err());
    tokio::time::sleep(SECOND * 10).await;
    assert!(held.check().is_err());
    assert!(matches!(held.lost().await, Lost::NotRenewed { .. }));
    assert!(
        acquire(&leases.beside(), "second", SECOND * 5)
            .await
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn who_loses_it_is_told_what_was_in_the_way() {
    let away = ClusterError::Unreachable("connection refused".to_owned());
    let outages = [
        (Weather::Answer(away.clone()), away.to_string()),
        (Weather::Silence, "did not answer in time".to_owned()),
    ];
    for (outage, told) in outages {
        let leases = FakeLeases::default();
        let held = acquire(&leases, "a", NO_WAIT).await.unwrap();
        leases.turn(outage);
        let lost = held.lost().await.to_string();
        assert!(lost.contains(&told), "{lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_that_differ_by_hours_change_nothing() {
    let walls: [fn() -> Timestamp; 4] = [noon, hours_ahead, hours_behind, standing_still];
    for first in walls {
        for second in walls {
            let leases = FakeLeases::default();
            let holder = lease(&leases, "first", first);
            let held = holder.acquire(NO_WAIT, &|_| {}).await.unwrap();
            let other = lease(&leases.beside(), "second", second);
            let refused = other.acquire(SECOND * 20, &|_| {}).await;
            assert!(matches!(refused, Err(AcquireError::Held { .. })));
            assert!(held.check().is_ok());
            leases.turn(Weather::Silence);
            let began = steady();
            let next = other.acquire(LONG, &|_| {}).await.unwrap();
            assert!(steady() - began <= SECOND * 5 && steady() - began >= SECOND * 2);
            assert!(held.check().is_err() && next.check().is_ok());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_that_want_it_one_has_it_at_a_time_and_each_comes_to_it() {
    let leases = FakeLeases::default();
    let inside = Arc::new(std::sync::Mutex::new(0));
    let mut wanting = tokio::task::JoinSet::new();
    for number in 0..10 {
        let (leases, inside) = (leases.beside(), inside.clone());
        wanting.spawn(async move {
            let held = acquire(&leases, &number.to_string(), LONG).await.unwrap();
            *inside.lock().unwrap() += 1;
            assert_eq!(*inside.lock().unwrap(), 1);
            tokio::time::sleep(SECOND * 2).await;
            assert!(held.check().is_ok());
            *inside.lock().unwrap() -= 1;
            held.release().await;
        });
    }
    while let Some(ended) = wanting.join_next().await {
        ended.unwrap();
    }
    assert_eq!(leases.holders().len(), 10);
    assert_eq!(leases.record().transitions, 9);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_or_a_short_outage_deposes_nobody() {
    let outages = [
        Weather::LosesAnswers,
        Weather::Silence,
        Weather::Answer(ClusterError::TooManyRequests(None)),
        Weather::Answer(ClusterError::Conflict(String::new())),
    ];
    for outage in outages {
        let leases = FakeLeases::default();
        let held = acquire(&leases, "a", NO_WAIT).await.unwrap();
        for _ in 0..10 {
            leases.turn(outage.clone());
            tokio::time::sleep(Duration::from_millis(900)).await;
            leases.turn(Weather::Fair);
            tokio::time::sleep(SECOND * 3).await;
            assert!(held.check().is_ok(), "{outage:?}");
        }
        assert_eq!(leases.record().transitions, 0);
        held.release().await;
        assert_eq!(leases.record().holder, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_acquisition_was_not_answered_is_still_ones_own() {
    let leases = FakeLeases::default();
    leases.turn(Weather::LosesAnswers);
    let other = leases.clone();
    let calm = async move {
        tokio::time::sleep(SECOND * 4).await;
        other.turn(Weather::Fair);
    };
    let (held, ()) = tokio::join!(acquire(&leases, "a", LONG), calm);
    assert!(held.unwrap().check().is_ok());
    assert_eq!(leases.holders().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_lost_and_free() {
    let leases = FakeLeases::default();
    let held = acquire(&leases, "a", NO_WAIT).await.unwrap();
    leases.delete();
    let lost = held.lost().await;
    assert!(matches!(lost, Lost::Deleted { .. }), "{lost}");
    assert_eq!(leases.record().holder, "", "it was not made anew");
    assert!(acquire(&leases, "b", NO_WAIT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_names_its_new_holder() {
    let leases = FakeLeases::default();
    let held = acquire(&leases, "a", NO_WAIT).await.unwrap();
    leases.delete();
    let thief = acquire(&leases.beside(), "b\u{1b}[31m", NO_WAIT)
        .await
        .unwrap();
    let lost = held.lost().await;
    let Lost::Taken { holder, .. } = lost else {
        panic!("{lost}");
    };
    assert!(holder.starts_with("b [31m #"), "{holder:?}");
    held.release().await;
    assert!(thief.check().is_ok(), "what is another's is not given back");
    assert!(!leases.record().holder.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_wait_at_once_and_a_failure_soon() {
    let leases = FakeLeases::default();
    for (weather, longest) in [
        (
            Weather::Answer(ClusterError::Forbidden(String::new())),
            SECOND,
        ),
        (Weather::Answer(ClusterError::Unauthorized), SECOND),
        (
            Weather::Answer(ClusterError::TooManyRequests(None)),
            SECOND * 11,
        ),
        (Weather::Answer(ClusterError::NotFound), SECOND),
        (Weather::Silence, SECOND * 16),
    ] {
        leases.turn(weather.clone());
        let began = steady();
        let refused = acquire(&leases, "a", SECOND * 3600).await.map(drop);
        let is_told = matches!(refused, Err(AcquireError::Cluster { .. }));
        assert!(is_told, "{weather:?}: {refused:?}");
        assert!(steady() - began <= longest, "{weather:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_given_back() {
    let leases = FakeLeases::default();
    drop(acquire(&leases, "a", NO_WAIT).await.unwrap());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(leases.record().holder, "");
}

#[tokio::test(start_paused = true)]
async fn who_kept_an_eye_on_a_lease_does_not_wait_for_it_once_more() {
    let leases = FakeLeases::default();
    let first = acquire(&leases, "first", NO_WAIT).await.unwrap();
    let second = lease(&leases.beside(), "second", noon);
    leases.turn(Weather::Silence);
    // Its record is renewed no more.
    let watched = tokio::time::timeout(SECOND * 5, second.observe()).await;
    assert!(watched.is_err(), "it goes on");
    let began = steady();
    let next = second.acquire(LONG, &|_| {}).await.unwrap();
    assert!(steady() - began < SECOND / 2, "{:?}", steady() - began);
    assert!(first.check().is_err(), "two hold it");
    next.release().await;
}

/// Returns who holds a lease and lives, as somebody sees it who only looks.
async fn living(leases: &FakeLeases, follows: &str) -> Result<Option<Holder>, ClusterError> {
    let looking = lease(&leases.beside(), "looking", noon);
    looking
        .living(SECOND, &|holder| holder.source == follows)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_lives_says_what_it_follows() {
    let leases = FakeLeases::default();
    assert_eq!(living(&leases, "").await, Ok(None));
    let leader = lease(&leases, "ada", noon).following("git.example/r");
    let held = leader.acquire(NO_WAIT, &|_| {}).await.unwrap();
    for _ in 0..3 {
        let began = steady();
        let seen = living(&leases, "other").await.unwrap().unwrap();
        assert!(seen.name.starts_with("ada #"), "{seen:?}");
        assert_eq!(seen.source, "git.example/r");
        assert!(steady() - began < SECOND * 2, "{:?}", steady() - began);
    }
    let began = steady();
    let seen = living(&leases, "git.example/r").await.unwrap();
    assert!(seen.is_some() && steady() - began < SECOND / 2);
    held.release().await;
    assert_eq!(living(&leases, "other").await, Ok(None));
    assert_eq!(leases.record().source, "");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_killed_lives_no_more_once_its_time_is_over() {
    let leases = FakeLeases::default();
    let leader = lease(&leases, "ada", standing_still).following("git.example/r");
    let held = leader.acquire(NO_WAIT, &|_| {}).await.unwrap();
    let seen = living(&leases, "other").await;
    assert!(
        seen.unwrap().is_some(),
        "its clock stands still, and it lives"
    );
    leases.turn(Weather::Silence);
    let began = steady();
    assert_eq!(living(&leases, "other").await, Ok(None));
    assert!(steady() - began < SECOND * 6);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn whether_somebody_lives_is_not_known_where_the_cluster_does_not_say() {
    let leases = FakeLeases::default();
    let looking = |limit| {
        let looking = lease(&leases, "looking", noon);
        async move { looking.living(limit, &|_| false).await }
    };
    let forbidden = ClusterError::Forbidden(String::new());
    leases.turn(Weather::Answer(forbidden.clone()));
    assert_eq!(looking(LONG).await, Err(forbidden));
    let away = ClusterError::Unreachable(String::new());
    leases.turn(Weather::Answer(away.clone()));
    let began = steady();
    assert_eq!(looking(SECOND * 3).await, Err(away));
    assert!(steady() - began >= SECOND * 3);
    let back = async {
        tokio::time::sleep(SECOND).await;
        leases.turn(Weather::Fair);
    };
    let (seen, ()) = tokio::join!(looking(LONG), back);
    assert_eq!(seen, Ok(None));
}
