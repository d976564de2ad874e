//! Servers that hang, lie, flood or send somebody elsewhere.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::declared;
use crate::support::git::{Conduct, Repo, Server};
use crate::support::world::CANARY;

/// Reads from a server with a password set and little time; returns what was said, within the time.
fn check(repo: &Repo, address: &str) -> crate::support::git::Told {
    check_within(repo, address, "3")
}

/// Reads from a server with a password set and so many seconds; returns what was said.
fn check_within(repo: &Repo, address: &str, seconds: &str) -> crate::support::git::Told {
    let variables = [
        ("PLATFORM_GIT__PASSWORD", CANARY),
        ("PLATFORM_GIT__TIMEOUT_SECONDS", seconds),
    ];
    let began = Instant::now();
    let told = repo.check(address, &variables);
    assert!(began.elapsed() < Duration::from_secs(90), "{told:?}");
    told
}

#[test]
fn a_server_that_hangs_is_cut_off() {
    let repo = declared();
    let silent = Server::start(Conduct::Hang);
    check(&repo, &silent.address("repo/.git")).expect(4, "did not deliver within 3 s");
    let https = format!("https://127.0.0.1:{}/repo", silent.port);
    check(&repo, &https).expect(4, "did not deliver within 3 s");
    let ssh = format!("ssh://git@127.0.0.1:{}/repo", silent.port);
    check(&repo, &ssh).expect(4, "did not deliver within 3 s");
    let halfway = Server::start(Conduct::HangInPack(repo.beside("")));
    check(&repo, &halfway.address("repo/.git")).expect(4, "did not deliver within 3 s");
    // What was cut off leaves nothing that is in the way.
    let honest = Server::start(Conduct::Serve(repo.beside("")));
    check_within(&repo, &honest.address("repo/.git"), "60").expect(0, "is valid");
}

#[test]
fn a_redirect_to_another_host_is_not_followed_and_gets_no_credentials() {
    let repo = declared();
    let expected = format!("Basic {}", STANDARD.encode(format!("git:{CANARY}")));
    let thief = Server::start(Conduct::ServeFor(repo.beside(""), expected));
    let away = format!("http://localhost:{}", thief.port);
    let server = Server::start(Conduct::Redirect(away));
    check(&repo, &server.address("repo/.git")).expect(4, "cannot redirect");
    assert!(thief.take_seen().is_empty());
    assert!(!server.take_seen().is_empty());
}

#[test]
fn garbage_and_floods_are_refused_in_time() {
    let repo = declared();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n";
    let answer = |text: &str| {
        let length = text.len();
        format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{text}").into_bytes()
    };
    for (bytes, is_endless) in [
        (b"SSH-2.0-nothing\r\n".to_vec(), false),
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), false),
        (answer(""), false),
        (answer("zzzz"), false),
        (answer("001e# service=git-upload-pack\n0000ffff"), false),
        (answer(&"0".repeat(1_000_000)), true),
        (vec![b'a'; 1_000_000], true),
        (
            answer(&format!("001e# service=git-upload-pack\n0000{}", reference_line()).repeat(1)),
            true,
        ),
    ] {
        let server = Server::start(Conduct::Say(bytes, is_endless));
        let told = check(&repo, &server.address("repo/.git"));
        assert_eq!(told.code, Some(4), "{told:?}");
    }
}

/// A reference as a server lists it.
fn reference_line() -> String {
    let line = format!("{} refs/heads/x\n", "1".repeat(40));
    format!("{:04x}{line}", line.len() + 4)
}

#[test]
fn a_server_that_repeats_the_password_is_not_quoted() {
    let repo = declared();
    let server = Server::start(Conduct::Redirect(format!("http://{CANARY}")));
    let told = check(&repo, &server.address("repo/.git"));
    told.expect(4, "to '***'");
}
