//! No secret value leaves the Secret that holds it: not in any verb's output, not in a saved plan, not in
//! either database, not in an error.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::world::{CANARY, World};

/// Everything the program said or stored, to be searched.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    async fn listen(&mut self, world: &World, arguments: &[&str]) {
        let ran = world.run(arguments).await;
        self.0
            .push((arguments.join(" "), format!("{}{}", ran.stdout, ran.stderr)));
    }

    fn keep(&mut self, world: &World, file: &str) {
        if let Ok(bytes) = std::fs::read(world.path(file)) {
            self.0.push((
                file.to_owned(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
    }

    #[track_caller]
    fn lacks(&self, secrets: &BTreeSet<String>) {
        for (from, text) in &self.0 {
            for (index, secret) in secrets.iter().enumerate() {
                assert!(
                    !text.contains(secret.as_str()),
                    "secret {index} of {secrets:?} is in {from}"
                );
            }
        }
    }
}

/// Returns every value that must stay where it is: what Secrets hold, clear and as the API has it.
async fn values(world: &World) -> BTreeSet<String> {
    let mut values = BTreeSet::from([crate::support::cluster::token(), CANARY.to_owned()]);
    for secret in world.admin.items(&world.api("secrets", "")).await {
        let name = secret["metadata"]["name"].as_str().unwrap();
        for (key, value) in world.secret(name).await {
            if matches!(key.as_str(), "POSTGRES_DB" | "POSTGRES_USER") {
                continue;
            }
            values.insert(secret["data"][&key].as_str().unwrap().to_owned());
            values.insert(value);
        }
    }
    let kubeconfig = std::fs::read_to_string(world.path("kubeconfig")).unwrap();
    let kubeconfig: serde_json::Value = serde_json::from_str(&kubeconfig).unwrap();
    values.insert(
        kubeconfig["users"][0]["user"]["token"]
            .as_str()
            .unwrap()
            .to_owned(),
    );
    values
}

const DEMO: &str = "secrets:\n  api_key: {secret: demo-openai, key: token}";

#[tokio::test]
#[ignore = "needs a cluster"]
async fn no_value_of_a_secret_is_shown_or_stored() {
    let world = World::new().await;
    let referenced = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "demo-openai"}, "stringData": {"token": CANARY},
    });
    world
        .admin
        .send("POST", &world.api("secrets", ""), Some(referenced))
        .await
        .unwrap();
    world.declare(&world.yaml(&[("demo", DEMO), ("gone", "")]));
    let mut heard = Heard::default();
    heard
        .listen(&world, &["apply", "--yes", "--timeout", "60s", "-vv"])
        .await;
    let mut secrets = values(&world).await;
    assert!(secrets.len() >= 12, "{}", secrets.len());
    world.declare(&world.yaml(&[("demo", &format!("{DEMO}\nenv: {{A: b}}"))]));
    // Somebody else's values in our Secrets, and in the fields that differ.
    let edit = json!({"stringData": {"challenge_token": format!("{CANARY}-edited"), "more": format!("{CANARY}-more")}});
    world.edit("secrets", "challenge-demo-secrets", edit).await;
    secrets.extend(values(&world).await);
    for arguments in [
        &["diff", "-vv"][..],
        &["diff", "-vv", "--full", "--save", "plan.json"],
        &["diff", "-o", "json", "--full"],
        &["diff", "-o", "markdown"],
        &[
            "apply",
            "--plan",
            "plan.json",
            "--yes",
            "--timeout",
            "60s",
            "-vv",
            "-o",
            "json",
        ],
        &["status", "-vv"],
        &["status", "-o", "json"],
        &["history", "-vv"],
        &["history", "-o", "json"],
        &["history", "show", "1", "-vv"],
        &["history", "show", "2", "-o", "json"],
        &["settings", "-o", "json"],
        &["database", "status", "-vv"],
        &["purge", "gone", "--confirm", "gone", "-vv"],
    ] {
        heard.listen(&world, arguments).await;
    }
    for file in ["plan.json", "platform.db", "platform.db-wal"] {
        heard.keep(&world, file);
    }
    assert!(
        heard
            .0
            .iter()
            .any(|(from, text)| from == "platform.db" && text.contains("demo"))
    );
    heard.lacks(&secrets);
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn no_password_of_a_setting_or_a_declaration_is_repeated() {
    let world = World::new().await;
    let yaml = world.yaml(&[("demo", "database: sqlite")]);
    world.declare(&yaml);
    // `Ran` itself refuses to hold the canary.
    let url = format!("postgres://app:{CANARY}@127.0.0.1:1/platform?sslmode=disable");
    for verb in [
        &["diff"][..],
        &["apply", "--yes", "--timeout", "3s"],
        &["status"],
        &["history"],
        &["database", "migrate"],
    ] {
        let arguments: Vec<&str> = verb
            .iter()
            .copied()
            .chain(["-vv", "--database-url", &url])
            .collect();
        world.run(&arguments).await.expect(4);
    }
    let edit = |extra: &str| world.yaml(&[("demo", &format!("database: sqlite\n{extra}"))]);
    for bad in [
        edit(&format!("env: {{API_TOKEN: {CANARY}}}")),
        edit(&format!(
            "env: {{URL: \"https://user:{CANARY}@example.org/\"}}"
        )),
        edit(&format!("secrets: {{key: {CANARY}}}")),
        edit(&format!("pasword: {CANARY}")),
    ] {
        world.declare(&bad);
        for verb in [
            &["check"][..],
            &["diff", "-vv"],
            &["apply", "--yes", "-vv"],
            &["check", "-o", "json"],
        ] {
            world.run(verb).await.expect(2);
        }
    }
    world
        .run(&[
            "diff",
            "-vv",
            &format!("https://user:{CANARY}@example.org/repository.git"),
        ])
        .await
        .expect(2);
}
