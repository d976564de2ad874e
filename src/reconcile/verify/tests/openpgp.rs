//! Signatures made by `gpg` as git makes them, each spoilt in one way.

use super::*;

/// Keys of GnuPG in a folder of their own. Its clock stands at [`TIME`] unless another time is named.
struct Gpg(tempfile::TempDir);

const DAY: i64 = 86_400;

impl Gpg {
    fn new() -> Self {
        // The agent's socket has to fit into 108 characters.
        Self(tempfile::tempdir_in("/tmp").unwrap())
    }

    fn run(&self, time: i64, arguments: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.0.path());
        command.args([
            "--batch",
            "--yes",
            "--quiet",
            "--no-tty",
            "--pinentry-mode",
            "loopback",
        ]);
        command.args(["--passphrase", "", "--armor", "--faked-system-time"]);
        command.arg(format!("{time}!")).args(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a key and returns its fingerprint.
    fn make(&self, user: &str, kind: &str, uses: &str) -> String {
        self.run(
            TIME - DAY,
            &["--quick-gen-key", user, kind, uses, "never"],
            b"",
        );
        let listed = self.run(TIME, &["--list-keys", "--with-colons", user], b"");
        let fingerprint = listed
            .lines()
            .find_map(|line| line.strip_prefix("fpr:::::::::"));
        fingerprint.unwrap().trim_end_matches(':').to_owned()
    }

    fn export(&self, keys: &[&str]) -> String {
        self.run(TIME, &[&["--export"], keys].concat(), b"")
    }

    fn sign(&self, more: &[&str], payload: &[u8]) -> String {
        self.run(TIME, &[more, &["--detach-sign"]].concat(), payload)
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        command.arg("--homedir").arg(self.0.path());
        // An agent that goes on is a nuisance and no fault.
        drop(command.args(["--kill", "all"]).status());
    }
}

fn allow(certificates: &str) -> Signers {
    Signers {
        ssh: AllowedSigners::default(),
        openpgp: Keyring::parse(certificates).unwrap(),
    }
}

/// A commit by `a@x.org`.
fn by_a() -> (String, String) {
    parts("", "a@x.org", TIME)
}

fn signed(signature: &str, signers: &Signers) -> Option<Fault> {
    fault(&with(&by_a(), "gpgsig", signature), signers)
}

#[test]
fn an_openpgp_signature_of_every_usual_key_is_taken() {
    let gpg = Gpg::new();
    for (user, kind) in [
        ("A <a@x.org>", "ed25519"),
        ("a@x.org", "rsa2048"),
        ("Al (work) <a@x.org>", "nistp256"),
    ] {
        let key = gpg.make(user, kind, "sign,cert");
        let signature = gpg.sign(&["-u", &key], &payload(&by_a()));
        assert_eq!(
            signed(&signature, &allow(&gpg.export(&[&key]))),
            None,
            "{kind}"
        );
    }
    // A key that only certifies, with a subkey that signs.
    let key = gpg.make("A <a@x.org>", "ed25519", "cert");
    gpg.run(
        TIME - DAY,
        &["--quick-add-key", &key, "ed25519", "sign", "never"],
        b"",
    );
    let signature = gpg.sign(&["-u", &key], &payload(&by_a()));
    let text = gpg.export(&[&key]);
    assert_eq!(signed(&signature, &allow(&text)), None);
    // One block behind the other, with words between them.
    let other = gpg.make("B <b@x.org>", "ed25519", "sign,cert");
    let both = format!("the keys of b\n{}and of a\n{text}", gpg.export(&[&other]));
    assert_eq!(signed(&signature, &allow(&both)), None);
}

#[test]
fn an_openpgp_signature_that_does_not_count_is_refused() {
    let gpg = Gpg::new();
    let key = gpg.make("A <a@x.org>", "ed25519", "sign,cert");
    let other = gpg.make("B <b@x.org>", "ed25519", "sign,cert");
    let (ours, theirs) = (allow(&gpg.export(&[&key])), allow(&gpg.export(&[&other])));
    let (ssh, text) = (super::allow(""), payload(&by_a()));
    let good = gpg.sign(&["-u", &key], &text);
    let sign = |more: &[&str]| gpg.sign(&[&["-u", &key], more].concat(), &text);
    assert_eq!(signed(&good, &ours), None);
    for (name, signature, signers, expected) in [
        (
            "by a key that nobody allowed",
            good.clone(),
            &theirs,
            Fault::UnknownKey,
        ),
        (
            "where only SSH keys are allowed",
            good.clone(),
            &ssh,
            Fault::UnknownKey,
        ),
        (
            "by somebody else who may",
            gpg.sign(&["-u", &other], &text),
            &theirs,
            Fault::NotForThis,
        ),
        (
            "of something else",
            gpg.sign(&["-u", &key], b"another"),
            &ours,
            Fault::Invalid,
        ),
        ("of a text", sign(&["--textmode"]), &ours, Fault::Namespace),
        (
            "by a weak hash",
            sign(&["--digest-algo", "SHA1"]),
            &ours,
            Fault::Unreadable,
        ),
        (
            "that ends",
            sign(&["--default-sig-expire", "5d"]),
            &ours,
            Fault::NotForThis,
        ),
        (
            "with a demand",
            sign(&["--sig-notation", "!only@x.org=tests"]),
            &ours,
            Fault::Unreadable,
        ),
        ("by two", sign(&["-u", &other]), &ours, Fault::Unreadable),
        (
            "behind another",
            format!("{good}{good}"),
            &ours,
            Fault::Unreadable,
        ),
        (
            "with words behind it",
            format!("{good}more"),
            &ours,
            Fault::Unreadable,
        ),
        (
            "that is a key",
            gpg.export(&[&key]),
            &ours,
            Fault::Unreadable,
        ),
        (
            "of an empty armour",
            good.lines()
                .take(1)
                .chain(good.lines().last())
                .collect::<Vec<_>>()
                .join("\n"),
            &ours,
            Fault::Unreadable,
        ),
    ] {
        assert_eq!(signed(&signature, signers), Some(expected), "{name}");
    }
    for length in 0..good.trim_end().len() {
        assert!(
            signed(&good[..length], &ours).is_some(),
            "{length} of {}",
            good.len()
        );
    }
    let commit = with(&by_a(), "gpgsig", &good);
    for at in (0..by_a().0.len()).filter(|at| commit.bytes[*at] != b'\n') {
        let mut bytes = commit.bytes.clone();
        bytes[at] ^= 1;
        assert!(fault(&raw(bytes), &ours).is_some(), "byte {at}");
    }
}

#[test]
fn an_openpgp_key_counts_as_long_as_it_holds() {
    let gpg = Gpg::new();
    let key = gpg.make("A <a@x.org>", "ed25519", "sign,cert");
    gpg.run(TIME - DAY, &["--quick-add-uid", &key, "A <a@y.org>"], b"");
    let signature = gpg.sign(&["-u", &key], &payload(&by_a()));
    assert_eq!(signed(&signature, &allow(&gpg.export(&[&key]))), None);
    // It ends before the signature was made, then after it.
    for (later, seconds, expected) in [(60, DAY / 2, Some(Fault::NotForThis)), (120, 3 * DAY, None)]
    {
        let span = format!("seconds={seconds}");
        gpg.run(
            TIME - DAY + later,
            &["--quick-set-expire", &key, &span],
            b"",
        );
        assert_eq!(
            signed(&signature, &allow(&gpg.export(&[&key]))),
            expected,
            "{seconds}"
        );
    }
    // It stands for that e-mail no more.
    gpg.run(
        TIME + DAY,
        &["--quick-revoke-uid", &key, "A <a@x.org>"],
        b"",
    );
    let signers = allow(&gpg.export(&[&key]));
    assert_eq!(signed(&signature, &signers), Some(Fault::NotForThis));
    // It is revoked altogether, with the certificate that was made with it.
    let revocation = gpg.0.path().join(format!("openpgp-revocs.d/{key}.rev"));
    let revocation = std::fs::read_to_string(revocation).unwrap();
    let revocation = revocation.replace(":-----BEGIN", "-----BEGIN");
    gpg.run(TIME + DAY, &["--import"], revocation.as_bytes());
    let signers = allow(&gpg.export(&[&key]));
    assert_eq!(signed(&signature, &signers), Some(Fault::RevokedKey));
}

#[test]
fn a_file_of_openpgp_keys_that_is_not_understood_is_refused() {
    let gpg = Gpg::new();
    let key = gpg.make("A <a@x.org>", "ed25519", "sign,cert");
    let good = gpg.export(&[&key]);
    let nobody = gpg.make("nobody", "ed25519", "sign,cert");
    let private = gpg.run(TIME, &["--export-secret-keys", &key], b"");
    for (text, line) in [
        ("a@x.org ssh-ed25519 AAAA".to_owned(), 1),
        (format!("words\n{private}"), 2),
        (format!("words\n\n{}", good.replace('=', "A")), 3),
        (good[..good.len() / 2].to_owned(), 1),
        (gpg.export(&[&nobody]), 1),
    ] {
        let error = Keyring::parse(&text).expect_err(&text);
        assert_eq!(error.line, line, "{error}");
    }
    assert!(Keyring::parse("\n").unwrap().is_empty());
}
