//! Challenges that are broken in every way hold up no other, and a new revision does not wait for them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::keeper::Keeper;
use crate::support::proxy::{Fault, Match};
use crate::support::world::{World, is_soak};

const FILE: &str = "database: sqlite";
/// The ways in which challenges are broken. They come first in the order of names.
const WAYS: [&str; 5] = [
    "a-never-ready",
    "b-refused",
    "c-hanging",
    "d-no-secret",
    "e-foreign",
];
/// How much longer the sound ones may take beside them. In the short form the work that the broken ones bring is a
/// quarter of all there is, and tests run beside it.
fn slower() -> f64 {
    if is_soak() { 1.2 } else { 1.5 }
}

/// Times that it is measured: the machine has other work too.
const TRIES: usize = 3;

/// When the sound challenges were ready: the one in the middle, and the last but one in a hundred.
#[derive(Clone, Copy, Debug)]
struct Times {
    middle: Duration,
    late: Duration,
}

/// Declares sound challenges and others, and measures when the sound ones are ready.
async fn bring_about(world: &World, sound: usize, others: &[String]) -> Times {
    let slugs: Vec<String> = (0..sound).map(|n| format!("sound-{n:02}")).collect();
    let all = slugs.iter().chain(others);
    let extra = |slug: &str| match slug.contains("no-secret") {
        // Its pods are kept from running too: no node here minds a missing Secret.
        true => "database: sqlite\nsecrets: {missing: {secret: missing, key: token}}",
        false => FILE,
    };
    let declared: Vec<(&str, &str)> = all.map(|slug| (slug.as_str(), extra(slug))).collect();
    let yaml = world.yaml(&declared);
    world.declare(&yaml.replace("platformnetwork/d-no-secret", "platformnetwork/never-ready"));
    let mut keeper = Keeper::start(world, &[]);
    keeper
        .until("the first look", async |keeper| {
            keeper
                .metric("platform_challenge_ready{slug=\"sound-00\"}")
                .await
                .is_some()
        })
        .await;
    let began = Instant::now();
    let mut times = Vec::new();
    keeper
        .until("every sound challenge ready", async |keeper| {
            let (_, metrics) = keeper.get("/metrics").await;
            let is_ready = |line: &&str| line.contains("slug=\"sound-") && line.ends_with("} 1");
            let ready = metrics.lines().filter(is_ready).count();
            times.resize(ready.max(times.len()), began.elapsed());
            ready == sound
        })
        .await;
    assert_eq!(keeper.ready().await.0, 200);
    let (code, took, log) = keeper.terminate().await;
    // A call that hangs is given the time that a call has.
    assert!(
        code == Some(0) && took < Duration::from_secs(25),
        "{took:?} {log}"
    );
    Times {
        middle: times[sound / 2],
        late: times[(sound - 1) * 99 / 100],
    }
}

/// Has the API server itself refuse the workloads of a challenge in a namespace.
async fn refuse_workloads(world: &World) -> [String; 2] {
    let name = format!("refused-in-{}", world.namespace);
    let group = "admissionregistration.k8s.io";
    let policy = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["statefulsets"],
            }]},
            "validations": [{"expression": "!object.metadata.name.contains('b-refused')", "message": "not here"}],
        },
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {
                "matchLabels": {"kubernetes.io/metadata.name": world.namespace},
            }},
        },
    });
    let kinds = [
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    ];
    for (kind, object) in kinds.iter().zip([policy, binding]) {
        let path = format!("/apis/{group}/v1/{kind}");
        world.admin.send("POST", &path, Some(object)).await.unwrap();
    }
    let probe = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "b-refused-probe"},
        "spec": {
            "serviceName": "x", "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    });
    let path = format!("{}?dryRun=All", world.api("statefulsets", ""));
    for _ in 0..200 {
        if let Err((422, _)) = world.admin.send("POST", &path, Some(probe.clone())).await {
            return kinds.map(|kind| format!("/apis/{group}/v1/{kind}/{name}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the policy is not in force");
}

async fn put_foreign(world: &World, count: usize) {
    for n in 0..count {
        let theirs = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": format!("challenge-e-foreign-{n}")}, "spec": {"ports": [{"port": 80}]},
        });
        let path = world.api("services", "");
        world.admin.send("POST", &path, Some(theirs)).await.unwrap();
    }
}

fn hang(world: &World) {
    for verb in ["patch", "post"] {
        let matching = Match {
            verb: verb.to_owned(),
            name: "challenge-c-hanging".to_owned(),
            ..Match::default()
        };
        world.proxy.fail(matching, Fault::Hang);
    }
}

/// Measures the sound ones beside as many of each broken sort.
async fn beside_broken(world: &World, sound: usize, of_each: usize) -> Times {
    let broken = WAYS
        .iter()
        .flat_map(|way| (0..of_each).map(move |n| format!("{way}-{n}")));
    let times = bring_about(world, sound, &broken.collect::<Vec<_>>()).await;
    for way in ["b-refused", "c-hanging"] {
        let name = format!("challenge-{way}-0");
        let set = world.get("statefulsets", &name).await;
        assert_eq!(set, None, "{way} is not what it says");
    }
    let foreign = world.get("services", "challenge-e-foreign-0").await;
    assert_eq!(foreign.unwrap()["spec"]["ports"][0]["port"], 80);
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn broken_challenges_hold_up_no_other() {
    match is_soak() {
        true => {
            hold_up_no_other(50, 1, &[]).await;
            // So many are much work of their own, so the others have as many sound ones beside them.
            let fine: Vec<String> = (0..20).map(|n| format!("a-fine-{n:02}")).collect();
            hold_up_no_other(50, 4, &fine).await;
        }
        false => hold_up_no_other(20, 1, &[]).await,
    }
}

/// Compares the time of sound challenges beside broken ones, as many of each sort, with their time without these.
async fn hold_up_no_other(all: usize, of_each: usize, instead: &[String]) {
    let sound = all - of_each * WAYS.len();
    let (mut told, mut worlds) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        let (alone, beside) = (World::new().await, World::new().await);
        let both = async {
            // Side by side, so that whatever else the machine does is the same for both.
            tokio::join!(
                bring_about(&alone, sound, instead),
                beside_broken(&beside, sound, of_each)
            )
        };
        let (policy, ()) = tokio::join!(refuse_workloads(&beside), put_foreign(&beside, of_each));
        hang(&beside);
        let times = both.await;
        for path in policy {
            beside.admin.send("DELETE", &path, None).await.unwrap();
        }
        // A world that goes away would be work for the server while the next is measured.
        worlds.extend([alone, beside]);
        let (alone, beside) = times;
        let ratio = |beside: Duration, alone: Duration| beside.as_secs_f64() / alone.as_secs_f64();
        let ratios = [
            ratio(beside.middle, alone.middle),
            ratio(beside.late, alone.late),
        ];
        told.push(format!(
            "alone {alone:.2?}, beside {} broken {beside:.2?}: {ratios:.2?}",
            all - sound
        ));
        if ratios.iter().all(|ratio| *ratio <= slower()) {
            println!("{sound} sound: {}", told.join("; "));
            return;
        }
    }
    panic!("{told:#?}");
}

/// More writes without an answer than there are permits hold up nobody either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn many_challenges_whose_writes_hang_hold_up_no_other() {
    let (sound, hanging) = if is_soak() { (30, 20) } else { (10, 10) };
    let (alone, world) = (World::new().await, World::new().await);
    hang(&world);
    let others: Vec<String> = (0..hanging).map(|n| format!("c-hanging-{n:02}")).collect();
    let (alone, beside) = tokio::join!(
        bring_about(&alone, sound, &[]),
        bring_about(&world, sound, &others)
    );
    println!("{sound} sound: alone {alone:.2?}, beside {hanging} that hang {beside:.2?}");
    // Each write that hangs keeps its permit for half a second.
    assert!(
        beside.late < alone.late.mul_f64(slower()) + Duration::from_secs(4),
        "{beside:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_new_revision_does_not_wait_for_one_that_never_becomes_ready() {
    let world = World::new().await;
    let good = world.yaml(&[("demo", FILE)]);
    world.declare(&good.replace("platformnetwork/demo", "platformnetwork/never-ready"));
    let mut keeper = Keeper::start(&world, &[]);
    keeper
        .until("a challenge that waits", async |keeper| {
            let name = "platform_challenges{condition=\"progressing\"}";
            keeper.metric(name).await == Some(1.0)
                && world.get("statefulsets", "challenge-demo").await.is_some()
        })
        .await;
    world.proxy.take_seen();
    let began = Instant::now();
    world.declare(&good);
    world.proxy.until_seen("patch").await;
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    keeper.until_ready(1).await;
    assert_eq!(keeper.terminate().await.0, Some(0));
}
