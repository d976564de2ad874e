//! The chart's roles: the real API server takes them into a namespace that enforces Pod Security `restricted`,
//! and the program starts with the arguments, variables and settings that it gives.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cluster::{rendered_chart, try_chart};
use crate::support::world::World;

const ENABLED: &str = "controller.deployment.enabled=true";
const CONTROL_PLANE: &str = "platform-control-plane";
const SOURCE: &str = "controller.deployment.source=https://git.example/subnet.git#main:deploy";

/// Returns the one object of a kind.
fn one(objects: &[Value], kind: &str) -> Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let one = found.next().cloned().unwrap_or_default();
    assert!(!one.is_null() && found.next().is_none(), "one {kind}");
    one
}

fn container(deployment: &Value) -> Value {
    deployment["spec"]["template"]["spec"]["containers"][0].clone()
}

/// Applies what the chart renders of one role with these values, waits for its pods, and returns its Deployment.
async fn installed(world: &World, role: &str, values: &[&str]) -> Value {
    let objects = rendered_chart(&world.namespace, values);
    for (kind, resource) in [
        ("ConfigMap", "configmaps"),
        ("Deployment", "deployments"),
        ("Service", "services"),
        ("NetworkPolicy", "networkpolicies"),
    ] {
        // A field that the server does not know is an error of the chart.
        let path = format!("{}?fieldValidation=Strict", world.api(resource, ""));
        let made = world
            .admin
            .send("POST", &path, Some(one(&objects, kind)))
            .await;
        made.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
    }
    let mut ready = Value::Null;
    for _ in 0..300 {
        let name = format!("platform-{role}");
        let deployment = world.get("deployments", &name).await.unwrap();
        ready = deployment["status"].clone();
        if ready["readyReplicas"] == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ready["readyReplicas"], 2, "{role}: {ready}");
    let deployment = one(&objects, "Deployment");
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    assert_eq!(*selector, one(&objects, "Service")["spec"]["selector"]);
    let closed = one(&objects, "NetworkPolicy");
    assert_covers(&closed["spec"], &deployment);
    world.delete("networkpolicies", CONTROL_PLANE).await;
    let pod = &deployment["spec"]["template"]["spec"];
    let is_its_account = |object: &Value| {
        object["kind"] == "ServiceAccount"
            && object["metadata"]["name"] == pod["serviceAccountName"]
    };
    assert!(objects.iter().any(is_its_account), "{pod}");
    let security = &container(&deployment)["securityContext"];
    assert_eq!(security["readOnlyRootFilesystem"], true);
    deployment
}

/// Checks that a policy is for the pods of a Deployment, and names their ports, health among them.
fn assert_covers(policy: &Value, deployment: &Value) {
    let pod = &deployment["spec"]["template"]["metadata"]["labels"];
    let labels = &policy["podSelector"]["matchLabels"];
    for (label, value) in labels.as_object().unwrap() {
        assert_eq!(pod[label], *value, "{label}");
    }
    let names = |ports: &Value, name: &str| -> Vec<Value> {
        let ports = ports.as_array().unwrap();
        ports.iter().map(|port| port[name].clone()).collect()
    };
    let open = names(&policy["ingress"][0]["ports"], "port");
    let served = names(&container(deployment)["ports"], "name");
    assert!(served.iter().all(|name| open.contains(name)), "{served:?}");
    assert!(served.contains(&json!("health")), "{served:?}");
}

#[test]
#[ignore = "needs Helm"]
fn the_control_plane_is_closed_to_all_but_itself_and_those_who_are_named() {
    let enabled =
        ["controller", "weights", "admin"].map(|role| format!("{role}.deployment.enabled=true"));
    let enabled = enabled.iter().map(String::as_str).chain([SOURCE]);
    let enabled: Vec<&str> = enabled.collect();
    let with = |more: &[&str]| rendered_chart("n", &[&enabled[..], more].concat());
    let policy = one(&with(&[]), "NetworkPolicy");
    assert_eq!(policy["metadata"]["name"], CONTROL_PLANE);
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["spec"]["egress"], json!([{}]));
    let itself = json!({"podSelector": policy["spec"]["podSelector"]});
    let ports = ["http", "health"].map(|name| json!({"port": name, "protocol": "TCP"}));
    let ingress = json!([{"from": [itself], "ports": ports}]);
    assert_eq!(policy["spec"]["ingress"], ingress);
    let named = "networkPolicy.from[0].namespaceSelector.matchLabels.name=front";
    let policy = one(&with(&[named]), "NetworkPolicy");
    let front = json!({"namespaceSelector": {"matchLabels": {"name": "front"}}});
    let ingress = json!([{"from": [itself, front], "ports": ports}]);
    assert_eq!(policy["spec"]["ingress"], ingress);
    let is_policy = |object: &Value| object["kind"] == "NetworkPolicy";
    assert!(!with(&["networkPolicy.enabled=false"]).iter().any(is_policy));
    assert!(
        !rendered_chart("n", &[]).iter().any(is_policy),
        "nothing to close"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn each_roles_deployment_is_taken_and_its_pods_are_admitted() {
    let world = World::new().await;
    for (role, arguments, talks_to_cluster) in [
        ("controller", "serve controller", true),
        ("weights", "serve weights", true),
        ("admin", "serve admin --no-weights", false),
    ] {
        let values = [
            "enabled=true",
            "replicas=2",
            "filesSecret=platform-files",
            "secretSettings.git\\.password.name=platform-git",
            "secretSettings.git\\.password.key=password",
        ];
        let values = values.map(|value| format!("{role}.deployment.{value}"));
        let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
        values.push(SOURCE);
        let deployment = installed(&world, role, &values).await;
        let given = container(&deployment)["args"].clone();
        let given: Vec<&str> = given
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(
            given.join(" "),
            format!("{arguments} --config /app/config/settings.yaml")
        );
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(
            pod["automountServiceAccountToken"], talks_to_cluster,
            "{role}"
        );
    }
}

/// Returns the address that the chart asks by a probe.
fn probe(container: &Value, probe: &str) -> String {
    let get = &container[probe]["httpGet"];
    let mut ports = container["ports"].as_array().unwrap().iter();
    let port = ports.find(|port| port["name"] == get["port"]).unwrap();
    let path = get["path"].as_str().unwrap();
    format!("http://127.0.0.1:{}{path}", port["containerPort"])
}

/// Returns a port that nobody listens on.
fn free_port() -> u16 {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    port.local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn the_program_starts_with_what_the_chart_gives_it() {
    let world = World::new().await;
    world.declare(&world.yaml(&[("demo", "database: sqlite")]));
    // Who serves the registry is ready once something was applied.
    world.run(&["apply", "--yes"]).await.expect(0);
    for role in ["controller", "weights", "admin"] {
        starts(&world, role).await;
    }
}

/// Starts a role with what the chart gives its container, until it is ready by the chart's own question.
async fn starts(world: &World, role: &str) {
    let (port, health) = (
        format!("port={}", free_port()),
        format!("healthPort={}", free_port()),
    );
    let mut values = vec![
        "enabled=true",
        "source=./platform.yaml",
        "settings.notify.on=failure",
        "settings.master.epoch_interval_seconds=60",
        "secretSettings.master\\.webhook_secret.name=a",
        "secretSettings.master\\.webhook_secret.key=b",
        &health,
    ];
    if role != "controller" {
        values.push(&port);
    }
    let values = values.iter();
    let values: Vec<String> = values
        .map(|value| format!("{role}.deployment.{value}"))
        .collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let objects = rendered_chart(&world.namespace, &values);
    let settings = one(&objects, "ConfigMap")["data"]["settings.yaml"].clone();
    std::fs::write(world.path("settings.yaml"), settings.as_str().unwrap()).unwrap();
    let container = container(&one(&objects, "Deployment"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let arguments: Vec<String> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    let config = world.path("settings.yaml").to_str().unwrap().to_owned();
    let arguments = arguments.iter().map(|argument| match argument.as_str() {
        "/app/config/settings.yaml" => config.as_str(),
        other => other,
    });
    let arguments: Vec<&str> = arguments.collect();
    let named = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|env| text(&env["name"]));
    let mut variables: BTreeMap<String, String> =
        named.map(|name| (name, "a-secret".to_owned())).collect();
    assert!(
        variables.contains_key("PLATFORM_MASTER__WEBHOOK_SECRET"),
        "{variables:?}"
    );
    let home = world.path("").to_str().unwrap().to_owned();
    variables.insert("HOME".to_owned(), home);
    variables.insert(
        "PLATFORM_DATABASE__URL".to_owned(),
        "sqlite:platform.db".to_owned(),
    );
    let log = std::fs::File::create(world.path("log")).unwrap();
    let mut child = world
        .command(&arguments)
        .envs(variables)
        .stderr(log)
        .spawn()
        .unwrap();
    let client = reqwest::Client::new();
    let mut code = 0;
    for _ in 0..300 {
        let asked = client.get(probe(&container, "readinessProbe")).send().await;
        code = asked.map_or(0, |answer| answer.status().as_u16());
        if code == 200 || child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let alive = client.get(probe(&container, "livenessProbe")).send().await;
    let alive = alive.map_or(0, |answer| answer.status().as_u16());
    child.kill().unwrap();
    child.wait().unwrap();
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    assert_eq!((code, alive), (200, 200), "{role}: {log}");
    assert!(
        !log.contains("did you mean"),
        "a variable that is no setting: {log}"
    );
}

#[test]
#[ignore = "needs Helm"]
fn values_that_cannot_be_meant_are_not_rendered() {
    let source = "controller.deployment.source=x";
    let digest = format!("image.digest=sha256:{}", "a".repeat(64));
    for (values, told) in [
        (&[ENABLED][..], "controller.deployment.source is required"),
        (
            &["weights.deployment.enabled=true"],
            "controller.deployment.source is required",
        ),
        (
            &["admin.deployment.replicas=-1"],
            "admin/deployment/replicas",
        ),
        (&[ENABLED, source, "environment=production"], "image.digest"),
        (
            &[ENABLED, source, "policy.enforceProduction=true"],
            "image.digest",
        ),
        (
            &[ENABLED, source, "database.urlSecret.name="],
            "database.urlSecret.name",
        ),
        (&["image.digest=sha256:short"], "image/digest"),
        (&["environment=prodcution"], "environment"),
        (&["contoller.enabled=true"], "contoller"),
        (&["networkPolicy.from[0]="], "networkPolicy/from/0"),
        (
            &["controller.deployment.port=8000"],
            "controller/deployment",
        ),
        (
            &[
                ENABLED,
                source,
                "controller.deployment.secretSettings.x.name=y",
            ],
            "secretSettings",
        ),
    ] {
        let error = try_chart("n", values).unwrap_err();
        assert!(error.contains(told), "{values:?}: {error}");
    }
    let production = [ENABLED, source, "environment=production", digest.as_str()];
    let image = container(&one(&rendered_chart("n", &production), "Deployment"))["image"].clone();
    assert!(image.as_str().unwrap().contains("@sha256:aaaa"), "{image}");
}
