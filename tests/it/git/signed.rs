//! Signed commits, through the program: what `git commit -S` makes is taken, all else is not.

use std::path::Path;

use super::{GOOD, declared};
use crate::support::git::Repo;
use crate::support::keeper::Keeper;
use crate::support::world::World;

/// Makes a key and has git sign with it from now on; returns the file of those who may sign.
fn signing(repo: &Repo) -> std::path::PathBuf {
    let key = repo.beside("signer");
    crate::support::git::make_key(&key);
    repo.git(&["config", "gpg.format", "ssh"]);
    repo.git(&["config", "user.signingkey", key.to_str().unwrap()]);
    repo.git(&["config", "commit.gpgsign", "true"]);
    let public = std::fs::read_to_string(repo.beside("signer.pub")).unwrap();
    let allowed = repo.beside("allowed");
    std::fs::write(
        &allowed,
        format!("author@example.org namespaces=\"git\" {public}"),
    )
    .unwrap();
    allowed
}

fn variables(allowed: &Path) -> [(&'static str, &str); 2] {
    [
        ("PLATFORM_GIT__VERIFY", "signed"),
        ("PLATFORM_GIT__ALLOWED_SIGNERS", allowed.to_str().unwrap()),
    ]
}

#[test]
fn the_newest_commit_has_to_be_signed_by_somebody_who_may() {
    let repo = declared();
    let address = repo.address();
    let unset = [("PLATFORM_GIT__VERIFY", "signed")];
    repo.check(&address, &unset)
        .expect(2, "nobody is allowed to sign");
    repo.check(&address, &[("PLATFORM_GIT__VERIFY", "singed")])
        .expect(2, "off or signed");
    let allowed = signing(&repo);
    repo.check(&address, &variables(&allowed))
        .expect(2, "it is not signed");
    repo.commit("a signed one");
    repo.check(&address, &variables(&allowed))
        .expect(0, "is valid");
    // A tag's signature says nothing of the commit.
    repo.git(&["config", "commit.gpgsign", "false"]);
    repo.commit("an unsigned one");
    repo.git(&["tag", "-s", "v1", "-m", "signed"]);
    repo.check(&format!("{address}#v1"), &variables(&allowed))
        .expect(2, "it is not signed");
    std::fs::write(&allowed, "# nobody\n").unwrap();
    repo.check(&address, &variables(&allowed))
        .expect(2, "nobody is allowed to sign");
    std::fs::write(&allowed, "* cert-authority ssh-ed25519 x\n").unwrap();
    repo.check(&address, &variables(&allowed))
        .expect(2, "line 1");
}

#[test]
fn a_commit_signed_by_gpg_is_taken_where_its_key_is_named() {
    let repo = declared();
    // The agent's socket has to fit into 108 characters.
    let home = tempfile::tempdir_in("/tmp").unwrap();
    let gpg = |arguments: &[&str]| {
        let mut command = std::process::Command::new("gpg");
        command.env("GNUPGHOME", home.path());
        command.args(["--batch", "--quiet", "--passphrase", "", "--pinentry-mode"]);
        let output = command.arg("loopback").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let user = "Author <author@example.org>";
    gpg(&["--quick-gen-key", user, "ed25519", "sign", "never"]);
    let keys = repo.beside("keys.asc");
    std::fs::write(&keys, gpg(&["--armor", "--export", "author@example.org"])).unwrap();
    let program = repo.beside("gpg");
    let script = format!(
        "#!/bin/sh\nexec gpg --homedir {} \"$@\"\n",
        home.path().display()
    );
    std::fs::write(&program, script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&program, executable).unwrap();
    repo.git(&["config", "gpg.program", program.to_str().unwrap()]);
    repo.git(&["config", "user.signingkey", "author@example.org"]);
    repo.git(&["config", "commit.gpgsign", "true"]);
    repo.commit("a signed one");
    let named = [
        ("PLATFORM_GIT__VERIFY", "signed"),
        ("PLATFORM_GIT__OPENPGP_KEYS", keys.to_str().unwrap()),
    ];
    repo.check(&repo.address(), &named).expect(0, "is valid");
    std::fs::write(&keys, "no keys\n").unwrap();
    repo.check(&repo.address(), &named)
        .expect(2, "no OpenPGP public keys");
    drop(
        std::process::Command::new("gpgconf")
            .env("GNUPGHOME", home.path())
            .args(["--kill", "all"])
            .status(),
    );
}

#[test]
fn a_signed_commit_put_in_the_place_of_an_unsigned_one_changes_nothing() {
    let repo = declared();
    let unsigned = repo.commit("unsigned");
    let allowed = signing(&repo);
    repo.write("platform.yaml", &GOOD.replace("# ", "#  "));
    let signed = repo.commit("signed");
    repo.git(&["reset", "-q", "--hard", &unsigned]);
    repo.git(&["replace", &unsigned, &signed]);
    repo.check(&repo.address(), &variables(&allowed))
        .expect(2, "it is not signed");
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn every_commit_since_the_last_apply_counts_and_none_is_taken_back() {
    let mut world = World::new().await;
    // Each commit that is applied changes something: one that does not leaves no pass behind.
    let declared = |number: u8| world.yaml(&[("demo", &format!("env: {{NUMBER: \"{number}\"}}"))]);
    let texts = [0, 1, 2].map(declared);
    let repo = Repo::of(&[("platform.yaml", &texts[0])]);
    let allowed = signing(&repo);
    let first = repo.commit("the first signed");
    for (name, value) in variables(&allowed) {
        world.set(name, value);
    }
    world.set("PLATFORM_SOURCE", &repo.address());
    let apply = ["apply", "--yes", "--no-wait"];
    world.run(&apply).await.expect(0);
    let history = world.run(&["history"]).await.expect(0);
    assert!(history.stdout.contains(&first[..7]), "{history}");

    repo.git(&["config", "commit.gpgsign", "false"]);
    let unsigned = repo.commit("unsigned, below");
    repo.git(&["config", "commit.gpgsign", "true"]);
    repo.commit("signed, above");
    let refused = world.run(&["diff"]).await.expect(2);
    assert!(refused.stderr.contains(&unsigned), "{refused}");
    world.run(&apply).await.expect(2);

    // A side branch that was merged counts as well, however well its merge is signed.
    repo.git(&["reset", "-q", "--hard", &first]);
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.git(&["config", "commit.gpgsign", "false"]);
    let unsigned = repo.commit("unsigned, beside");
    repo.git(&["config", "commit.gpgsign", "true"]);
    repo.git(&["checkout", "-q", "main"]);
    repo.commit("signed");
    repo.git(&["merge", "-q", "--no-ff", "-m", "a signed merge", "side"]);
    let refused = world.run(&apply).await.expect(2);
    assert!(refused.stderr.contains(&unsigned), "{refused}");

    // Back at the first, then one further, which is taken; and back again, which is not.
    repo.git(&["reset", "-q", "--hard", &first]);
    repo.write("platform.yaml", &texts[1]);
    repo.commit("signed, and applied");
    world.run(&apply).await.expect(0);
    repo.git(&["reset", "-q", "--hard", &first]);
    let refused = world.run(&apply).await.expect(2);
    assert!(refused.stderr.contains("does not descend"), "{refused}");
    repo.git(&["checkout", "-q", "--orphan", "new"]);
    repo.write("platform.yaml", &texts[2]);
    repo.commit("another root");
    repo.git(&["branch", "-q", "-f", "main", "new"]);
    repo.git(&["checkout", "-q", "main"]);
    let refused = world.run(&apply).await.expect(2);
    assert!(refused.stderr.contains("does not descend"), "{refused}");
    world
        .run(&["apply", "--yes", "--no-wait", "--allow-rewind"])
        .await
        .expect(0);
    world.run(&apply).await.expect(0);
}

/// Whoever follows the source refuses a commit that was taken back too, until somebody has applied it by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster"]
async fn a_rewind_that_was_applied_by_hand_is_taken_by_who_follows() {
    let mut world = World::new().await;
    world.set("PLATFORM_CONTROLLER__INTERVAL_SECONDS", "1");
    let declared = |number: u8| {
        let extra = format!("database: sqlite\nenv: {{NUMBER: \"{number}\"}}");
        world.yaml(&[("demo", &extra)])
    };
    let texts = [0, 1].map(declared);
    let repo = Repo::of(&[("platform.yaml", &texts[0])]);
    let allowed = signing(&repo);
    let first = repo.commit("the first signed");
    repo.write("platform.yaml", &texts[1]);
    repo.commit("the second");
    for (name, value) in variables(&allowed) {
        world.set(name, value);
    }
    world.set("PLATFORM_SOURCE", &repo.address());
    let mut keeper = Keeper::start(&world, &[]);
    keeper.until_ready(1).await;
    repo.git(&["reset", "-q", "--hard", &first]);
    keeper
        .until("the rewind refused", async |keeper| {
            let (_, ready) = keeper.ready().await;
            ready["checks"]["source"]["refused"] == true
        })
        .await;
    let apply = ["apply", "--yes", "--timeout", "60s"];
    world.run(&apply).await.expect(2);
    world
        .run(&[&apply[..], &["--allow-rewind"]].concat())
        .await
        .expect(0);
    keeper
        .until("the first commit again", async |keeper| {
            let (_, ready) = keeper.ready().await;
            let source = &ready["checks"]["source"];
            source["refused"] == false && source["revision"].to_string().contains(&first[..7])
        })
        .await;
    let set = world.get("statefulsets", "challenge-demo").await.unwrap();
    assert_eq!(set["metadata"]["generation"], 2, "it was not put back");
    assert_eq!(keeper.terminate().await.0, Some(0));
}
