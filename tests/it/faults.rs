//! Every kind of request fails in every way, in the middle of a change: nothing is lost, nothing is
//! invented, nothing unread is taken for settled, and afterwards one apply brings everything about.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::support::chain::{Chain, Possessions, Undisturbed, WORLDS, run_trials};
use crate::support::proxy::{Fault, Match};
use crate::support::world::{Ran, World, is_soak};

const FAULTS: [Fault; 11] = [
    Fault::Answer(403),
    Fault::Answer(404),
    Fault::Answer(409),
    Fault::Answer(410),
    Fault::Answer(429),
    Fault::Answer(500),
    Fault::Answer(503),
    Fault::Hang,
    Fault::Cut,
    Fault::CutAfter,
    Fault::Truncate,
];
/// Faults that each request meets in the short form.
const FAULTS_IN_SHORT: usize = 2;

/// One request to fail, and how.
#[derive(Clone, Debug)]
struct Trial {
    verb: String,
    resource: String,
    fault: Fault,
}

/// Goes one link on where the next one would not send the request: Deployments and what goes with them
/// come with odd links and go with even ones.
async fn turn_to(chain: &mut Chain, trial: &Trial) {
    let is_of_deployments = matches!(
        trial.resource.as_str(),
        "deployments" | "horizontalpodautoscalers" | "persistentvolumeclaims"
    );
    let wanted = usize::from(trial.verb != "delete");
    if is_of_deployments && (chain.link + 1) % 2 != wanted {
        chain.turn();
        chain.apply("30s").await.expect(0);
    }
}

/// Runs one trial: the next link under a fault, then without.
async fn run(chain: &mut Chain, trial: &Trial, undisturbed: &Undisturbed) {
    let before = Possessions::of(&chain.world).await;
    chain.turn();
    let matching = Match {
        verb: trial.verb.clone(),
        resource: trial.resource.clone(),
        // Each hang takes the whole limit of a call, and five tries would take most of the test.
        times: if trial.fault == Fault::Hang { 2 } else { 0 },
        ..Match::default()
    };
    let proxy = chain.world.proxy.clone();
    // Short only where something hangs: on a busy machine an honest answer may take as long.
    let is_write = matches!(
        trial.verb.as_str(),
        "patch" | "json-patch" | "post" | "delete"
    );
    if trial.fault == Fault::Hang && !is_write {
        chain.world.set("PLATFORM_KUBERNETES__TIMEOUT_SECONDS", "1");
    }
    proxy.take_hits();
    proxy.fail(matching.clone(), trial.fault);
    let diff = chain.world.run(&["diff"]).await;
    match trial.resource.as_str() {
        // Who leads is told beside the plan, and is no part of it.
        "leases" => assert_eq!(diff.code, 1, "{trial:?}: {diff}"),
        _ => check_diff(trial, &diff, proxy.take_hits()),
    }
    proxy.heal();
    proxy.fail(matching, trial.fault);
    if trial.fault == Fault::Hang {
        chain.world.set("PLATFORM_KUBERNETES__TIMEOUT_SECONDS", "1");
    }
    // What waits for a database comes in a later look, and what is watched is watched from there on.
    let is_late = trial.verb == "watch"
        || matches!(
            trial.resource.as_str(),
            "deployments" | "horizontalpodautoscalers"
        );
    let applied = match is_late {
        true => chain.apply("10s").await,
        // One whole pass, however long that takes.
        false => chain.world.run(&["apply", "--yes", "--no-wait"]).await,
    };
    assert!(proxy.take_hits() > 0, "{trial:?} was never sent: {applied}");
    let under_fault = Possessions::of(&chain.world).await;
    before.check_kept(&under_fault, &chain.slug(), trial);
    match applied.code {
        // It may have got through in the end; then everything must be there.
        0 if is_late => assert_eq!(
            &chain.state().await,
            chain.expected(undisturbed),
            "{trial:?}"
        ),
        0 | 4 | 5 => {}
        _ => panic!("{trial:?}: {applied}"),
    }
    proxy.heal();
    chain
        .world
        .set("PLATFORM_KUBERNETES__TIMEOUT_SECONDS", "20");
    let healed = chain.apply("30s").await;
    assert_eq!(healed.code, 0, "{trial:?}: {applied}\nthen {healed}");
    let after = Possessions::of(&chain.world).await;
    before.check_kept(&after, &chain.slug(), trial);
    under_fault.check_passwords(&after, trial);
    assert_eq!(
        &chain.state().await,
        chain.expected(undisturbed),
        "{trial:?}"
    );
}

fn check_diff(trial: &Trial, diff: &Ran, hits: usize) {
    let is_read = match (trial.verb.as_str(), trial.fault) {
        ("list", _) => true,
        // The server says that it is not there, and it is not.
        ("get", Fault::Answer(404)) => false,
        // The server's word on what would be stored: no right to ask, or no place to store it.
        ("dry-run", Fault::Answer(403 | 404)) => false,
        _ => true,
    };
    let expected = if hits > 0 && is_read { 4 } else { 1 };
    assert_eq!(diff.code, expected, "{trial:?}, {hits} hits: {diff}");
    if expected == 4 {
        let kind = kind(&trial.resource);
        assert!(
            diff.stdout.contains(kind),
            "{trial:?}: {kind} is not named in {diff}"
        );
    }
}

fn kind(resource: &str) -> &'static str {
    match resource {
        "secrets" => "Secret",
        "services" => "Service",
        "statefulsets" => "StatefulSet",
        "deployments" => "Deployment",
        "networkpolicies" => "NetworkPolicy",
        "persistentvolumeclaims" => "PersistentVolumeClaim",
        "horizontalpodautoscalers" => "HorizontalPodAutoscaler",
        "namespaces" => "Namespace",
        other => panic!("no pass asks about {other}"),
    }
}

/// Returns the trials. In the short form each request meets the next few faults in turn.
fn trials(pairs: &BTreeSet<(String, String)>) -> Vec<Trial> {
    let mut turn = FAULTS.into_iter().cycle();
    let mut trials = Vec::new();
    for (verb, resource) in pairs {
        let mut faults: Vec<Fault> = match is_soak() {
            true => FAULTS.to_vec(),
            false => turn.by_ref().take(FAULTS_IN_SHORT).collect(),
        };
        // The answer to a new password gets lost: this one is always tried.
        if verb == "post" && resource == "secrets" && !faults.contains(&Fault::CutAfter) {
            faults.push(Fault::CutAfter);
        }
        trials.extend(faults.into_iter().map(|fault| Trial {
            verb: verb.clone(),
            resource: resource.clone(),
            fault,
        }));
    }
    trials
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster"]
async fn no_fault_of_the_api_server_loses_or_invents_anything() {
    let undisturbed = Arc::new(Undisturbed::watch().await);
    let verbs = undisturbed.requests.iter().map(|(verb, _)| verb.as_str());
    assert_eq!(
        verbs.collect::<BTreeSet<_>>(),
        BTreeSet::from([
            "delete",
            "dry-run",
            "get",
            "json-patch",
            "list",
            "patch",
            "post",
            "update",
            "watch"
        ]),
    );
    let trials = trials(&undisturbed.requests);
    run_trials(trials, move |mut chain, trial| {
        let undisturbed = undisturbed.clone();
        async move {
            turn_to(&mut chain, &trial).await;
            run(&mut chain, &trial, &undisturbed).await;
            chain
        }
    })
    .await;
}

/// What an apply asks and does about a namespace, where it is missing and the rights reach that far.
fn of_namespaces() -> BTreeSet<(String, String)> {
    let of = |verb: &str| (verb.to_owned(), "namespaces".to_owned());
    BTreeSet::from([of("get"), of("post")])
}

/// Makes everything anew in a namespace that is missing, under a fault, then without.
async fn run_in_missing_namespace(trial: Trial) {
    let mut world = World::new().await;
    let namespace = format!("{}-new", world.namespace);
    let yaml = world.yaml(&[("demo", "")]);
    world.declare(&yaml.replace(&world.namespace, &namespace));
    if trial.fault == Fault::Hang {
        world.set("PLATFORM_KUBERNETES__TIMEOUT_SECONDS", "1");
    }
    let matching = Match {
        verb: trial.verb.clone(),
        resource: trial.resource.clone(),
        ..Match::default()
    };
    world.proxy.fail(matching, trial.fault);
    let diff = world.run_as_operator(&["diff"]).await;
    match (trial.verb.as_str(), trial.fault) {
        // Who may not ask has a Role in it, so it is there.
        ("get", Fault::Answer(403)) => assert_eq!(diff.code, 1, "{trial:?}: {diff}"),
        _ => check_diff(&trial, &diff, world.proxy.take_hits()),
    }
    let apply = ["apply", "--yes", "--timeout", "4s"];
    let applied = world.run_as_operator(&apply).await;
    assert!(
        world.proxy.take_hits() > 0,
        "{trial:?} was never sent: {applied}"
    );
    assert!(matches!(applied.code, 0 | 4 | 5), "{trial:?}: {applied}");
    let path = format!("/api/v1/namespaces/{namespace}");
    let secret = format!("{path}/secrets/challenge-demo-postgres-secret");
    let made = world.admin.get(&secret).await;
    world.proxy.heal();
    world.set("PLATFORM_KUBERNETES__TIMEOUT_SECONDS", "20");
    let healed = world
        .run_as_operator(&["apply", "--yes", "--timeout", "60s"])
        .await;
    assert_eq!(healed.code, 0, "{trial:?}: {applied}\nthen {healed}");
    let after = world.admin.get(&secret).await.unwrap();
    if let Some(made) = made {
        assert!(
            made["data"] == after["data"],
            "{trial:?}: the password was made anew"
        );
    }
    let labels = world.admin.get(&path).await.unwrap()["metadata"]["labels"].clone();
    let enforced = &labels["pod-security.kubernetes.io/enforce"];
    assert_eq!(enforced, "restricted", "{trial:?}");
    world.run_as_operator(&["diff"]).await.expect(0);
    world.admin.send("DELETE", &path, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster"]
async fn no_fault_keeps_a_missing_namespace_from_being_made_in_the_end() {
    let mut trials = trials(&of_namespaces()).into_iter();
    let mut running = tokio::task::JoinSet::new();
    let mut failed = 0;
    for trial in trials.by_ref().take(WORLDS) {
        running.spawn(run_in_missing_namespace(trial));
    }
    while let Some(ended) = running.join_next().await {
        failed += usize::from(ended.is_err());
        if let Some(trial) = trials.next() {
            running.spawn(run_in_missing_namespace(trial));
        }
    }
    assert_eq!(failed, 0, "trials failed, see above");
}
