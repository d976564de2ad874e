//! What is read, from where, and as what.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{GOOD, declared};
use crate::support::git::{Conduct, Repo, Server, Sshd, Told};
use crate::support::world::CANARY;

#[test]
fn a_file_address_is_read_at_its_commit_with_its_subject() {
    let repo = declared();
    let commit = repo.commit("raise prism\n\nto 35, as agreed");
    let told = repo.check(&repo.address(), &[]);
    told.expect(0, &format!("at {} \"raise prism\" is valid", &commit[..7]));
    // What is not committed is not read.
    repo.write("platform.yaml", "broken: [");
    repo.check(&repo.address(), &[]).expect(0, "is valid");
}

#[test]
fn the_content_digest_is_that_of_a_checkout() {
    let repo = Repo::of(&[("deploy/platform.yaml", GOOD), ("other/x.yaml", "-")]);
    let digest = |source: &str| {
        let output = repo
            .platform(&["check", source, "-o", "json"], &[])
            .output()
            .unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["revision"]["digest"].clone()
    };
    let checkout = repo.path().join("deploy");
    let address = format!("{}:deploy", repo.address());
    assert!(digest(&address).is_string());
    assert_eq!(digest(&address), digest(checkout.to_str().unwrap()));
    let file = format!("{}:deploy/platform.yaml", repo.address());
    assert_eq!(digest(&address), digest(&file));
}

#[test]
fn branches_tags_and_commits_are_told_apart() {
    let repo = declared();
    let first = repo.commit("one");
    repo.git(&["tag", "-a", "v1", "-m", "a tag"]);
    let second = repo.commit("two");
    repo.git(&["branch", "side/branch", &second]);
    let third = repo.commit("three");
    // A tag named as a branch does not stand in its place.
    repo.git(&["tag", "main", &first]);
    for (reference, commit) in [
        ("main", &third),
        ("v1", &first),
        ("refs/tags/main", &first),
        ("side/branch", &second),
        (second.as_str(), &second),
    ] {
        let told = repo.check(&format!("{}#{reference}", repo.address()), &[]);
        told.expect(0, &format!("at {} ", &commit[..7]));
    }
    repo.check(&format!("{}#{}", repo.address(), "0".repeat(40)), &[])
        .expect(2, "has no commit 0000");
    repo.check(&format!("{}#absent", repo.address()), &[])
        .expect(2, "no branch or tag absent");
}

#[test]
fn what_is_not_there_is_said() {
    let repo = Repo::of(&[("other.yaml", "x"), ("empty/platform.yaml", "")]);
    let at = |path: &str| format!("{}{path}", repo.address());
    repo.check(&at(""), &[]).expect(2, "has no platform.yaml");
    repo.check(&at(":deploy"), &[]).expect(2, "has no deploy");
    repo.check(&at(":other.yaml/x"), &[])
        .expect(2, "has no other.yaml/x");
    repo.check(&at(":empty"), &[])
        .expect(2, "empty/platform.yaml is empty");
    repo.check(&at("-absent"), &[])
        .expect(4, "gives no repository");
    let empty = Repo::new();
    empty
        .check(&empty.address(), &[])
        .expect(2, "the repository is empty");
}

#[test]
fn over_http_the_newest_commit_is_fetched_alone_and_an_unchanged_one_costs_one_request() {
    let repo = declared();
    for number in 0..20 {
        repo.write("history", &number.to_string());
        repo.commit("more history");
    }
    let server = Server::start(Conduct::Serve(repo.beside("")));
    let address = server.address("repo/.git");
    repo.check(&address, &[]).expect(0, "more history");
    assert!(
        server
            .take_seen()
            .iter()
            .any(|request| request.line.starts_with("POST"))
    );
    let count = kept_objects(&repo);
    assert!(count < 20, "{count} objects of one commit");
    repo.check(&address, &[]).expect(0, "more history");
    let again = server.take_seen();
    assert_eq!(again.len(), 1, "{again:?}");
    repo.write("platform.yaml", &GOOD.replace("# ", "#  "));
    repo.commit("a change");
    repo.check(&address, &[]).expect(0, "a change");
    repo.git(&["reset", "-q", "--hard", "HEAD~3"]);
    repo.check(&address, &[]).expect(0, "more history");
}

/// Returns how many objects the program keeps.
fn kept_objects(repo: &Repo) -> usize {
    let kept = kept_repository(repo);
    let git = [
        "-C",
        kept.to_str().unwrap(),
        "cat-file",
        "--batch-all-objects",
        "--batch-check",
    ];
    repo.git(&git).lines().count()
}

fn kept_repository(repo: &Repo) -> std::path::PathBuf {
    let cache = repo.home().join(".cache/platform/git");
    let mut folders = std::fs::read_dir(cache).unwrap();
    folders
        .next()
        .unwrap()
        .unwrap()
        .path()
        .join("repository.git")
}

#[test]
fn a_commit_below_the_tip_is_fetched_where_the_server_hands_out_none_by_id() {
    let repo = declared();
    let old = repo.commit("an old one");
    repo.commit("a new one");
    let server = Server::start(Conduct::Serve(repo.beside("")));
    let address = format!("{}#{old}", server.address("repo/.git"));
    repo.check(&address, &[]).expect(0, "an old one");
}

#[test]
fn a_password_goes_to_its_host_and_into_no_output() {
    let repo = declared();
    let expected = format!("Basic {}", STANDARD.encode(format!("me:{CANARY}")));
    let server = Server::start(Conduct::ServeFor(repo.beside(""), expected));
    let address = server.address("repo/.git");
    let user = ("PLATFORM_GIT__USERNAME", "me");
    repo.check(&address, &[]).expect(4, "none are set");
    let wrong = [user, ("PLATFORM_GIT__PASSWORD", "wrong")];
    repo.check(&address, &wrong)
        .expect(4, "refuses the credentials");
    let right = [user, ("PLATFORM_GIT__PASSWORD", CANARY)];
    repo.check(&address, &right).expect(0, "is valid");
    let file = repo.beside("token");
    std::fs::write(&file, format!("{CANARY}\n")).unwrap();
    let by_file = [
        user,
        ("PLATFORM_GIT__PASSWORD_FILE", file.to_str().unwrap()),
    ];
    repo.check(&address, &by_file).expect(0, "is valid");
    let settings = repo
        .platform(&["settings", "-o", "json"], &right)
        .output()
        .unwrap();
    assert!(Told::of(&settings).text.contains("***"));
    let kept = Command::new("grep")
        .args(["-r", CANARY])
        .arg(repo.home())
        .output()
        .unwrap();
    assert!(kept.stdout.is_empty(), "the password was kept");
    let inline = address.replace("://", &format!("://me:{CANARY}@"));
    repo.check(&inline, &[]).expect(2, "holds a password");
}

#[test]
fn over_https_only_a_trusted_authority_is_believed() {
    let repo = declared();
    let (certificate, key) = (repo.beside("cert.pem"), repo.beside("key.pem"));
    make_certificate(&certificate, &key, "subjectAltName=IP:127.0.0.1");
    let root = Conduct::Serve(repo.beside(""));
    let server = Server::start_tls(root.clone(), &certificate, &key);
    let address = |server: &Server| format!("https://127.0.0.1:{}/repo/.git", server.port);
    let trusted = [("PLATFORM_GIT__CA_FILE", certificate.to_str().unwrap())];
    repo.check(&address(&server), &trusted)
        .expect(0, "is valid");
    repo.check(&address(&server), &[])
        .expect(4, "is not trusted");
    let (other, other_key) = (repo.beside("other.pem"), repo.beside("other-key.pem"));
    make_certificate(&other, &other_key, "subjectAltName=DNS:elsewhere.example");
    let elsewhere = Server::start_tls(root, &other, &other_key);
    let trusted = [("PLATFORM_GIT__CA_FILE", other.to_str().unwrap())];
    repo.check(&address(&elsewhere), &trusted)
        .expect(4, "is not trusted");
}

fn make_certificate(certificate: &Path, key: &Path, name: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args(["-days", "2", "-subj", "/CN=test", "-addext", name, "-out"])
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

#[test]
fn over_ssh_only_a_known_host_is_believed_and_only_a_known_key_let_in() {
    let repo = declared();
    let sshd = Sshd::start(&repo.beside(""));
    let address = format!(
        "ssh://{}@127.0.0.1:{}{}",
        crate::support::git::user(),
        sshd.port,
        repo.path().display()
    );
    let (client, hosts) = (repo.beside("client"), repo.beside("hosts"));
    let run = |key: &Path| {
        let variables = [
            ("PLATFORM_GIT__SSH_KEY", key.to_str().unwrap()),
            ("PLATFORM_GIT__KNOWN_HOSTS", hosts.to_str().unwrap()),
        ];
        repo.check(&address, &variables)
    };
    std::fs::write(&hosts, "").unwrap();
    run(&client).expect(4, "the host key of 127.0.0.1");
    std::fs::write(&hosts, sshd.known(&repo.beside("stranger.pub"))).unwrap();
    run(&client).expect(4, "the host key of 127.0.0.1");
    std::fs::write(&hosts, sshd.known(&repo.beside("host.pub"))).unwrap();
    run(&client).expect(0, "is valid");
    run(&client).expect(0, "is valid");
    run(&repo.beside("stranger")).expect(4, "refuses the credentials");
    let without_key = [("PLATFORM_GIT__KNOWN_HOSTS", hosts.to_str().unwrap())];
    repo.check(&address, &without_key).expect(4, "git.ssh_key");
    repo.check(
        &address,
        &[("PLATFORM_GIT__SSH_KEY", client.to_str().unwrap())],
    )
    .expect(4, "the host key of 127.0.0.1");
}

#[test]
fn a_damaged_cache_is_fetched_anew() {
    let repo = declared();
    repo.check(&repo.address(), &[]).expect(0, "is valid");
    let kept = kept_repository(&repo);
    let damages: [&dyn Fn(); 4] = [
        &|| std::fs::remove_file(kept.join("HEAD")).unwrap(),
        &|| std::fs::write(kept.join("config"), "[[[").unwrap(),
        &|| truncate_all(&kept.join("objects")),
        &|| std::fs::write(kept.parent().unwrap().join("unfinished"), "").unwrap(),
    ];
    for damage in damages {
        damage();
        repo.check(&repo.address(), &[]).expect(0, "is valid");
    }
}

fn truncate_all(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            truncate_all(&path);
        } else {
            // Git makes its objects read-only.
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "no object").unwrap();
        }
    }
}

#[test]
fn without_a_cache_a_source_is_read_and_nothing_stays_behind() {
    let repo = declared();
    let scratch = repo.beside("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let nowhere = [
        ("PLATFORM_GIT__CACHE", "/proc/no-cache-here"),
        ("TMPDIR", scratch.to_str().unwrap()),
    ];
    repo.check(&repo.address(), &nowhere).expect(0, "is valid");
    assert_eq!(std::fs::read_dir(scratch).unwrap().count(), 0);
}

#[test]
fn several_processes_share_a_cache() {
    let repo = declared();
    let server = Server::start(Conduct::Serve(repo.beside("")));
    let address = server.address("repo/.git");
    let start = |_| {
        let mut command = repo.platform(&["check", &address], &[]);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..6).map(start).collect();
    for child in children {
        Told::of(&child.wait_with_output().unwrap()).expect(0, "is valid");
    }
}
