//! `platform set --commit` in real working copies, as git sees them afterwards.

use std::process::Output;

use serde_json::Value;

use crate::support::git::Repo;

const GOOD: &str = "\
api_version: platform.network/v1
environment: development
emissions: {prism: 30}
challenges:
  prism: {image: \"ghcr.io/o/prism:1.0.0\", status: active}
";

/// Makes a working copy with the declaration below a directory, and somebody who commits.
fn working_copy() -> Repo {
    let repo = Repo::of(&[("deploy/platform.yaml", GOOD), ("other", "1\n")]);
    repo.git(&["config", "user.name", "Ada"]);
    repo.git(&["config", "user.email", "ada@example.org"]);
    repo
}

fn set(repo: &Repo, more: &[&str]) -> Output {
    let source = repo.path().join("deploy");
    let source = source.to_str().unwrap();
    let arguments = ["set", "emissions.prism", "35", source, "--commit"];
    let mut command = repo.platform(&[&arguments[..], more].concat(), &[]);
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn declared(repo: &Repo) -> String {
    std::fs::read_to_string(repo.path().join("deploy/platform.yaml")).unwrap()
}

#[test]
fn the_change_is_a_commit_of_that_file_alone() {
    let repo = working_copy();
    repo.write("other", "2\n");
    repo.write("staged", "3\n");
    repo.git(&["add", "staged"]);
    let before = repo.git(&["rev-parse", "HEAD"]);
    let output = set(&repo, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let head = repo.git(&["rev-parse", "HEAD"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.ends_with(&format!("committed as {head}\n")),
        "{printed}"
    );
    assert_eq!(repo.git(&["rev-parse", "HEAD^"]), before);
    assert_eq!(
        repo.git(&["log", "-1", "--format=%an <%ae> %s"]),
        "Ada <ada@example.org> set emissions.prism: 30 → 35"
    );
    let changed = repo.git(&["show", "--stat", "--format=", "--name-only", "HEAD"]);
    assert_eq!(changed, "deploy/platform.yaml");
    assert_eq!(
        repo.git(&["show", "HEAD:deploy/platform.yaml"]) + "\n",
        declared(&repo)
    );
    assert!(declared(&repo).contains("prism: 35"));
    // What else was changed or staged is so still.
    assert_eq!(repo.git(&["status", "--porcelain"]), "M other\nA  staged");
    repo.git(&["fsck", "--strict"]);
}

#[test]
fn the_message_may_be_given_and_the_commit_is_told_to_programs() {
    let repo = working_copy();
    let output = set(&repo, &["-m", "raise prism\n\nas agreed", "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["commit"], repo.git(&["rev-parse", "HEAD"]));
    assert_eq!(
        repo.git(&["log", "-1", "--format=%B"]),
        "raise prism\n\nas agreed"
    );
    // What is so already needs no commit.
    let again = set(&repo, &["-o", "json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["commit"], Value::Null);
    assert_eq!(repo.git(&["rev-list", "--count", "HEAD"]), "2");
}

#[test]
fn the_followed_repository_gives_what_was_committed() {
    let repo = working_copy();
    assert_eq!(set(&repo, &[]).status.code(), Some(0));
    let source = format!("{}#main:deploy", repo.address());
    repo.check(&source, &[]).expect(0, "");
}

#[test]
fn where_it_cannot_be_committed_nothing_is_changed() {
    /// What is done to a working copy, and what is told then.
    type Case = (fn(&Repo), &'static str);
    let cases: [Case; 6] = [
        (
            |repo| repo.write("deploy/platform.yaml", &format!("# mine\n{GOOD}")),
            "not as the newest commit has it",
        ),
        (
            |repo| {
                repo.git(&["rm", "-q", "--cached", "deploy/platform.yaml"]);
            },
            "not as the newest commit has it",
        ),
        (
            |repo| {
                repo.git(&["config", "--unset", "user.email"]);
            },
            "user.email",
        ),
        (
            |repo| {
                repo.git(&["config", "commit.gpgsign", "true"]);
            },
            "commit.gpgsign",
        ),
        (
            |repo| repo.write(".git/MERGE_HEAD", &repo.git(&["rev-parse", "HEAD"])),
            "in the middle of a merge",
        ),
        (
            |repo| std::fs::remove_dir_all(repo.path().join(".git")).unwrap(),
            "in no working copy",
        ),
    ];
    for (spoil, why) in cases {
        let repo = working_copy();
        spoil(&repo);
        let before = declared(&repo);
        let output = set(&repo, &[]);
        assert_eq!(output.status.code(), Some(2), "{why}: {}", told(&output));
        assert!(told(&output).contains(why), "{why}: {}", told(&output));
        assert_eq!(declared(&repo), before, "{why}");
        if repo.path().join(".git").exists() {
            assert_eq!(repo.git(&["rev-list", "--count", "HEAD"]), "1", "{why}");
        }
    }
}

#[test]
fn a_commit_that_fails_leaves_the_file_as_it_was() {
    let repo = working_copy();
    // Another commits at the same moment: git holds the branch with such a file.
    repo.write(".git/refs/heads/main.lock", "");
    let output = set(&repo, &[]);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert_eq!(declared(&repo), GOOD);
    std::fs::remove_file(repo.path().join(".git/refs/heads/main.lock")).unwrap();
    assert_eq!(repo.git(&["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(repo.git(&["status", "--porcelain"]), "");
}
