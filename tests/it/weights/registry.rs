//! `platform registry print` from a master over HTTP: the same as from its database, within bounds, and from nobody
//! else.

use std::path::Path;
use std::process::{Command, Output};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use serde_json::Value;
use tokio::task::JoinSet;

use super::world::{Process, World};

async fn print(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
    command
        .args(["registry", "print"])
        .args(arguments)
        .env_clear()
        .env("PLATFORM_DATABASE_URL", "sqlite:platform.db")
        .current_dir(folder);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    ran.await.unwrap()
}

fn stderr(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_masters_registry_is_printed_as_from_its_database() {
    let world = World::new().await;
    let mut process = world.start().await;
    process.look();
    let is_served =
        async |process: &Process| process.get("/v1/registry", &[]).await.status() == 200;
    process.until("the registry", is_served).await;
    let folder = world.directory.path();
    let own = print(folder, &[]).await;
    let source = ["--source", process.base.as_str()];
    let fetched = print(folder, &source).await;
    assert!(fetched.status.success(), "{}", stderr(&fetched));
    assert_eq!(fetched.stdout, own.stdout);
    let document: Value = serde_json::from_slice(&own.stdout).unwrap();
    assert_eq!(document["challenges"].as_array().unwrap().len(), 3);

    let told = stderr(&fetched);
    let tag = told.trim().strip_prefix("tag ").unwrap();
    let again = print(folder, &[&source[..], &["--unless", tag]].concat()).await;
    assert_eq!((again.status.code(), again.stdout.len()), (Some(0), 0));
    assert_eq!(stderr(&again), "unchanged\n");
    world.declare("dd", "1", "active").await;
    let is_newer = async |process: &Process| {
        let listed = process.json("/v1/registry").await;
        listed["challenges"].as_array().unwrap().len() == 4
    };
    // A pass was not recorded, so the rows are read again after a minute at most.
    drop(process);
    let mut process = world.start().await;
    process.look();
    process.until("the registry", is_served).await;
    process.until("the new challenge", is_newer).await;
    let source = ["--source", process.base.as_str(), "--unless", tag];
    let newer = print(folder, &source).await;
    let document: Value = serde_json::from_slice(&newer.stdout).unwrap();
    assert_eq!(document["challenges"][3]["slug"], "dd");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_masters_registry_is_refused_with_why() {
    super::install_tls();
    let elsewhere = [(header::LOCATION, "http://127.0.0.1:9/v1/registry")];
    let router = Router::new()
        .route(
            "/moved/v1/registry",
            get(async move || (StatusCode::FOUND, elsewhere)),
        )
        .route(
            "/large/v1/registry",
            get(async || "x".repeat((16 << 20) + 1)),
        )
        .route("/page/v1/registry", get(async || "<html>canary</html>"))
        .route("/same/v1/registry", get(async || StatusCode::NOT_MODIFIED));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    for (path, code, why) in [
        ("/moved", 4, "http 302"),
        ("/large", 4, "response too large"),
        ("/page", 4, "is no registry"),
        ("/same", 4, "http 304"),
        ("/none", 4, "http 404"),
    ] {
        let ran = print(folder.path(), &["--source", &format!("{base}{path}")]).await;
        assert_eq!(ran.status.code(), Some(code), "{path}");
        let told = stderr(&ran);
        assert!(told.contains(why) && !told.contains("canary"), "{told}");
        assert!(ran.stdout.is_empty(), "{path}");
    }
    let closed = print(folder.path(), &["--source", "http://127.0.0.1:9"]).await;
    assert!(stderr(&closed).contains("connection failed"), "{closed:?}");
    let secret = print(folder.path(), &["--source", "https://user:canary@host"]).await;
    assert_eq!(secret.status.code(), Some(2));
    assert!(!stderr(&secret).contains("canary"), "{secret:?}");
}
