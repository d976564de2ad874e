//! Signatures made by `ssh-keygen` as git makes them, each spoilt in one way. Every case differs in one thing
//! from a commit that is taken, so a check that were left out would show.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sha1::{Digest as _, Sha1};

use super::*;

mod openpgp;

/// 2026-01-01 00:00:00 UTC.
const TIME: i64 = 1_767_225_600;

/// Keys in a folder of their own.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn make(&self, name: &str, kind: &str) -> String {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", "a test key", "-t", kind, "-f"]);
        assert!(command.arg(self.path(name)).status().unwrap().success());
        std::fs::read_to_string(self.path(name).with_extension("pub")).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sign(&self, name: &str, namespace: &str, payload: &[u8]) -> String {
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-n", namespace, "-f"])
            .arg(self.path(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(payload).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }
}

const HEAD: &str = "tree 1111111111111111111111111111111111111111\n";
const MERGE: &str = "parent 2222222222222222222222222222222222222222\nparent 3333333333333333333333333333333333333333\n";

/// A commit's lines before and behind the place of its signature.
fn parts(more: &str, email: &str, time: i64) -> (String, String) {
    let person = format!("A Person <{email}> {time} +0000\n");
    let head = format!("{HEAD}{more}author {person}committer {person}");
    (head, "\nraise prism\n\nto 35\n".to_owned())
}

fn raw(bytes: Vec<u8>) -> RawCommit {
    let mut hash = Sha1::new();
    hash.update(format!("commit {}\0", bytes.len()));
    hash.update(&bytes);
    let id = CommitId::parse(&hex::encode(hash.finalize())).unwrap();
    RawCommit { id, bytes }
}

/// Puts a signature where git puts it.
fn with((head, tail): &(String, String), header: &str, signature: &str) -> RawCommit {
    let folded = signature.trim_end().replace('\n', "\n ");
    raw(format!("{head}{header} {folded}\n{tail}").into_bytes())
}

fn payload((head, tail): &(String, String)) -> Vec<u8> {
    format!("{head}{tail}").into_bytes()
}

fn fault(commit: &RawCommit, signers: &Signers) -> Option<Fault> {
    let verdict = verify(std::slice::from_ref(commit), &commit.id, signers);
    verdict.err().map(|refusal| refusal.fault)
}

fn allow(text: &str) -> Signers {
    allow_but(text, "")
}

fn allow_but(text: &str, revoked: &str) -> Signers {
    Signers {
        ssh: AllowedSigners::parse(text, revoked).unwrap(),
        openpgp: Keyring::default(),
    }
}

#[test]
fn a_signature_of_every_kind_of_key_is_taken() {
    let keys = Keys::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let public = keys.make(kind, kind);
        let signers = allow(&format!("a@x.org {public}"));
        for (more, tail) in [
            ("", "subject\n"),
            (MERGE, "a merge\n"),
            ("", ""),
            ("", "no line end"),
        ] {
            let mut parts = parts(more, "a@x.org", TIME);
            parts.1 = format!("\n{tail}");
            let signature = keys.sign(kind, "git", &payload(&parts));
            assert_eq!(
                fault(&with(&parts, "gpgsig", &signature), &signers),
                None,
                "{kind} {tail:?}"
            );
        }
    }
}

#[test]
fn who_may_sign_is_read_as_ssh_keygen_reads_it() {
    let keys = Keys::new();
    let public = keys.make("a", "ed25519");
    let other = keys.make("other", "ed25519");
    let parts = parts("", "a@x.org", TIME);
    let commit = with(&parts, "gpgsig", &keys.sign("a", "git", &payload(&parts)));
    let no = Some(Fault::NotForThis);
    for (line, expected) in [
        (format!("a@x.org {public}"), None),
        (format!("# words\n\n*@x.org {public}"), None),
        (format!("b@x.org,a@?.org {public}"), None),
        (format!("* namespaces=\"file,git\" {public}"), None),
        (format!("* namespaces=\"g*\" {public}"), None),
        (
            format!("* valid-after=\"20251231Z\",valid-before=\"202601010001\" {public}"),
            None,
        ),
        (format!("* valid-after=\"20260101000000Z\" {public}"), None),
        (format!("b@x.org {public}\na@x.org {public}"), None),
        (format!("b@x.org {public}"), no),
        (format!("A@x.org {public}"), no),
        (format!("a@x.or {public}"), no),
        (format!("*,!a@x.org {public}"), no),
        (format!("* namespaces=\"file\" {public}"), no),
        (format!("* namespaces=\"git,!git\" {public}"), no),
        (format!("* valid-after=\"20260102\" {public}"), no),
        (format!("* valid-before=\"20260101Z\" {public}"), no),
        (format!("* valid-before=\"20251231\" {public}"), no),
        (format!("a@x.org {other}"), Some(Fault::UnknownKey)),
        (String::new(), Some(Fault::UnknownKey)),
    ] {
        assert_eq!(fault(&commit, &allow(&line)), expected, "{line}");
    }
    let allowed = format!("* {public}\n* {other}");
    let revoked = allow_but(&allowed, &public);
    assert_eq!(fault(&commit, &revoked), Some(Fault::RevokedKey));
    let revoked = allow_but(&allowed, &format!("# lost\n{other}"));
    assert_eq!(fault(&commit, &revoked), None);
}

#[test]
fn a_file_of_signers_that_is_not_understood_is_refused_as_a_whole() {
    let keys = Keys::new();
    let public = keys.make("a", "ed25519");
    for (line, why) in [
        (format!("* cert-authority {public}"), "certificates"),
        (format!("* no-such-option {public}"), "option"),
        (format!("* valid-before=\"soon\" {public}"), "time"),
        (format!("* valid-before=\"20261301\" {public}"), "time"),
        (format!("* valid-before=\"2026010Z1\" {public}"), "time"),
        ("* ssh-ed25519 AAAA".to_owned(), "public key"),
        ("*".to_owned(), "expected"),
        (public.clone(), "public key"),
    ] {
        let refused = AllowedSigners::parse(&format!("\n{line}"), "").unwrap_err();
        assert_eq!(refused.line, 2);
        assert!(refused.why.contains(why), "{line}: {refused}");
    }
    assert!(AllowedSigners::parse("", "no key").is_err());
    assert!(allow("# nobody\n").ssh.is_empty());
}

#[test]
fn what_is_not_signed_as_it_should_be_is_refused() {
    let keys = Keys::new();
    let signers = allow(&format!("a@x.org {}", keys.make("a", "ed25519")));
    keys.make("stranger", "ed25519");
    let parts = parts("", "a@x.org", TIME);
    let good = keys.sign("a", "git", &payload(&parts));
    let foreign = keys.sign("stranger", "git", &payload(&parts));
    assert_eq!(fault(&with(&parts, "gpgsig", &good), &signers), None);
    for (name, signature, expected) in [
        ("a stranger's", foreign.clone(), Fault::UnknownKey),
        (
            "for a file",
            keys.sign("a", "file", &payload(&parts)),
            Fault::Namespace,
        ),
        (
            "of something else",
            keys.sign("a", "git", b"another"),
            Fault::Invalid,
        ),
        ("none in it", String::new(), Fault::Unreadable),
        ("words", "signed, sincerely".to_owned(), Fault::Unreadable),
        (
            "another form",
            good.replace("SSH SIGNATURE", "PGP SIGNATURE"),
            Fault::Unreadable,
        ),
        ("two in one", format!("{good}{good}"), Fault::Unreadable),
        (
            "a good one behind another's",
            format!("{foreign}{good}"),
            Fault::Unreadable,
        ),
        ("words behind it", format!("{good}more"), Fault::Unreadable),
    ] {
        assert_eq!(
            fault(&with(&parts, "gpgsig", &signature), &signers),
            Some(expected),
            "{name}"
        );
    }
    assert_eq!(
        fault(&raw(payload(&parts)), &signers),
        Some(Fault::Unsigned)
    );
    let body = (parts.0.clone(), format!("\ngpgsig {good}"));
    assert_eq!(fault(&raw(payload(&body)), &signers), Some(Fault::Unsigned));
    let twice = with(&parts, "gpgsig", &good);
    let text = String::from_utf8(twice.bytes).unwrap();
    let (head, tail) = text.split_once("\n\n").unwrap();
    let twice = (format!("{head}\n"), format!("\n{tail}"));
    assert_eq!(
        fault(&with(&twice, "gpgsig", &good), &signers),
        Some(Fault::Several)
    );
    assert_eq!(
        fault(&with(&twice, "gpgsig-sha256", &good), &signers),
        Some(Fault::Several)
    );
}

#[test]
fn a_signature_cut_anywhere_is_refused() {
    let keys = Keys::new();
    let signers = allow(&format!("* {}", keys.make("a", "ed25519")));
    let parts = parts("", "a@x.org", TIME);
    let good = keys.sign("a", "git", &payload(&parts));
    for length in 0..good.trim_end().len() {
        let cut = with(&parts, "gpgsig", &good[..length]);
        assert!(
            fault(&cut, &signers).is_some(),
            "{length} of {}",
            good.len()
        );
    }
}

#[test]
fn one_other_bit_in_the_commit_or_the_signature_is_refused() {
    let keys = Keys::new();
    let signers = allow(&format!("* {}", keys.make("a", "ed25519")));
    let parts = parts(MERGE, "a@x.org", TIME);
    let good = keys.sign("a", "git", &payload(&parts));
    let commit = with(&parts, "gpgsig", &good);
    assert_eq!(fault(&commit, &signers), None);
    let is_line_end = |at: usize| commit.bytes[at] == b'\n';
    for at in (0..commit.bytes.len()).filter(|at| !is_line_end(*at)) {
        let mut bytes = commit.bytes.clone();
        bytes[at] ^= 1;
        assert!(fault(&raw(bytes), &signers).is_some(), "byte {at}");
    }
    // Other bytes under the old name are no commit at all, whatever they say.
    let mut renamed = commit.clone();
    renamed.bytes.push(b'\n');
    assert_eq!(fault(&renamed, &signers), Some(Fault::Malformed));
}

#[test]
fn one_bad_commit_among_good_ones_refuses_all_and_the_tip_has_to_be_there() {
    let keys = Keys::new();
    let signers = allow(&format!("* {}", keys.make("a", "ed25519")));
    let signed = |time| {
        let parts = parts("", "a@x.org", time);
        with(&parts, "gpgsig", &keys.sign("a", "git", &payload(&parts)))
    };
    let (one, two) = (signed(TIME), signed(TIME + 1));
    let unsigned = raw(payload(&parts(MERGE, "a@x.org", TIME)));
    let both = [one.clone(), two.clone()];
    assert_eq!(verify(&both, &one.id, &signers), Ok(()));
    let three = [one.clone(), unsigned.clone(), two.clone()];
    let refusal = verify(&three, &one.id, &signers).unwrap_err();
    assert_eq!(
        (refusal.commit, refusal.fault),
        (unsigned.id.clone(), Fault::Unsigned)
    );
    assert!(verify(&both, &unsigned.id, &signers).is_err());
    assert!(verify(&[], &one.id, &signers).is_err());
}

#[test]
fn commits_that_are_none_are_refused() {
    let keys = Keys::new();
    let signers = allow(&format!("* {}", keys.make("a", "ed25519")));
    let person = "A <a@x.org> 1 +0000\n";
    for head in [
        String::new(),
        "tree".to_owned(),
        format!("{HEAD}author {person}"),
        format!("{HEAD}committer {person}committer {person}"),
        format!("{HEAD}committer A a@x.org 1 +0000\n"),
        format!("{HEAD}committer A <a@x.org> <b@x.org> 1 +0000\n"),
        format!("{HEAD}committer A <a@x.org> now +0000\n"),
    ] {
        let parts = (head, "\nsubject\n".to_owned());
        let signature = keys.sign("a", "git", &payload(&parts));
        let refused = fault(&with(&parts, "gpgsig", &signature), &signers);
        assert_eq!(refused, Some(Fault::Malformed), "{:?}", parts.0);
    }
    assert_eq!(
        fault(&raw(b"tree x".to_vec()), &signers),
        Some(Fault::Malformed)
    );
}
