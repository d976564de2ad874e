//! The binary as people and scripts meet it: exit codes, what goes to which stream, what is never shown.
//! Hermetic: an empty environment, a scratch home, no cluster.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use platform::edge::database::open_and_migrate;
use platform::model::pass::{PassCounts, PassOutcome, PassRecord};
use platform::model::{FenceToken, Revision, Secret};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

const GOOD: &str = "\
# The subnet.
api_version: platform.network/v1
environment: development
namespace: platform
network: {netuid: 100, burn_uid: 0}

emissions:
  prism: 30        # of 45
  other: 15

challenges:
  prism:           # the first one
    image: ghcr.io/platformnetwork/prism:1.4.1
    status: active # since May
    resources: {cpu: \"2\", memory: 4Gi}
    env:
      LOG_LEVEL: info
  other:
    image: ghcr.io/platformnetwork/other:1.0.0
    status: active
";

/// A scratch directory that is home and working directory.
struct World(TempDir);

impl World {
    fn new(text: &str) -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.write("platform.yaml", text);
        world
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(arguments).output().unwrap())
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = self.command(arguments);
        Ended::of(&command.envs(environment.iter().copied()).output().unwrap())
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    fn shows(&self, text: &str) -> bool {
        self.out.contains(text) || self.err.contains(text)
    }
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    let world = World::new(GOOD);
    for wrong in [
        &[][..],
        &["no-such-verb"],
        &["check", "--no-such-flag"],
        &["check", "-o", "xml"],
        &["set", "only-a-path"],
        &["history", "-n", "0"],
        &["completions", "no-such-shell"],
        &["check", "a", "b"],
    ] {
        let ended = world.run(wrong);
        assert_eq!(ended.code, Some(2), "{wrong:?}: {ended:?}");
        assert!(ended.out.is_empty(), "{wrong:?}");
    }
    for right in [
        &["--help"][..],
        &["--version"],
        &["check", "--help"],
        &["history", "show", "--help"],
    ] {
        let ended = world.run(right);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{right:?}");
    }
}

#[test]
fn a_valid_declaration_is_said_to_be_valid() {
    let world = World::new(GOOD);
    let ended = world.run(&["check"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert!(
        ended.out.contains("valid: 2 challenges, 0 targets"),
        "{ended:?}"
    );
    let document = world.run(&["check", "-o", "json"]).json();
    assert_eq!(document["version"], 1);
    assert_eq!(document["valid"], true);
    let named = world.run_with(&["check"], &[("PLATFORM_SOURCE", "platform.yaml")]);
    assert_eq!(named.code, Some(0));
}

#[test]
fn all_problems_are_printed_with_place_and_path() {
    let world = World::new(&GOOD.replace("status: active\n", "statsu: active\n    image: 3\n"));
    world.write("bad.yaml", &GOOD.replace("burn_uid: 0", "burn_id: zero"));
    let ended = world.run(&["check", "bad.yaml"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.out.contains("bad.yaml:5:"), "{ended:?}");
    assert!(
        ended.out.contains("burn_uid"),
        "names the nearest: {ended:?}"
    );
    assert!(
        ended.err.starts_with("error: bad.yaml is refused for "),
        "{ended:?}"
    );
    let document = world.run(&["check", "bad.yaml", "-o", "json"]).json();
    assert_eq!(document["valid"], false);
    assert_eq!(document["problems"][0]["place"]["line"], 5);
    assert_eq!(world.run(&["check"]).code, Some(2));
}

#[test]
fn a_source_that_cannot_be_read_is_an_input_error_with_a_remedy() {
    let world = World::new(GOOD);
    world.write("empty.yaml", "");
    world.write("dir/other.yaml", "x: 1");
    world.write("linked/platform.yaml", GOOD);
    symlink("../platform.yaml", world.path().join("linked/more.yaml")).unwrap();
    for (source, why) in [
        ("missing.yaml", "does not exist"),
        ("empty.yaml", "empty.yaml is empty"),
        ("dir", "has no platform.yaml"),
        ("linked", "symbolic link"),
        ("/dev/null", "not a regular file"),
        ("https://u:canary@example.org/repo", "holds a password"),
    ] {
        let ended = world.run(&["check", source]);
        assert_eq!(ended.code, Some(2), "{source}: {ended:?}");
        assert!(ended.err.contains(why), "{source}: {ended:?}");
        assert!(ended.err.contains("hint: "), "{source}: {ended:?}");
        assert!(!ended.shows("canary"), "{source}: {ended:?}");
    }
}

#[test]
fn the_schema_is_json() {
    let ended = World::new(GOOD).run(&["schema"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.json()["properties"]["challenges"].is_object());
}

#[test]
fn settings_show_where_they_come_from_and_no_secret() {
    let world = World::new(GOOD);
    world.write(
        "settings.yaml",
        "environment: staging\ndatabase:\n  url: postgres://app:canary@db:5432/p\n",
    );
    let ended = world.run(&["settings", "--config", "settings.yaml"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = ended
        .out
        .lines()
        .find(|line| line.starts_with("database.url"));
    assert!(
        line.unwrap().contains("postgres://app:***@db:5432/p"),
        "{ended:?}"
    );
    assert!(line.unwrap().ends_with("settings.yaml:3"), "{ended:?}");
    for (flags, variables, origin) in [
        (
            &["settings", "-o", "json"][..],
            &[(
                "PLATFORM_DATABASE__URL",
                "postgres://canary:canary@h/d?password=canary",
            )][..],
            "environment",
        ),
        (
            &[
                "settings",
                "-o",
                "json",
                "--database-url",
                "postgres://a:canary@h/d",
            ],
            &[],
            "flag",
        ),
    ] {
        let ended = world.run_with(flags, variables);
        let told = ended.json();
        let mut settings = told["settings"].as_array().unwrap().iter();
        let url = settings.find(|setting| setting["path"] == "database.url");
        assert_eq!(url.unwrap()["origin"]["from"], origin);
        let hidden = ended.out.replace("postgres://canary:", "");
        assert!(
            !hidden.contains("canary") && !ended.err.contains("canary"),
            "{ended:?}"
        );
    }
}

#[test]
fn settings_that_cannot_be_used_are_an_input_error() {
    let world = World::new(GOOD);
    world.write("settings.yaml", "databse:\n  url: canary\n");
    let unknown = world.run(&["check", "--config", "settings.yaml"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.err.contains(
            "settings.yaml:2: unknown setting `databse.url`; did you mean `database.url`?"
        ),
        "{unknown:?}"
    );
    let missing = world.run(&["check", "--config", "nowhere.yaml", "-v"]);
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.err.contains("nowhere.yaml: no such file"),
        "{missing:?}"
    );
    let production = [("PLATFORM_ENVIRONMENT", "production")];
    for verb in [&["settings"][..], &["history"], &["database", "status"]] {
        let refused = world.run_with(verb, &production);
        assert_eq!(refused.code, Some(2), "{verb:?}: {refused:?}");
        assert!(
            refused.err.contains("needs a PostgreSQL database"),
            "{refused:?}"
        );
    }
    for verb in [
        &["check"][..],
        &["diff"],
        &["apply", "--yes"],
        &["set", "emissions.prism", "31"],
    ] {
        let refused = world.run_with(verb, &production);
        assert_eq!(refused.code, Some(2), "{verb:?}: {refused:?}");
        assert!(
            refused.shows("must include a digest"),
            "{verb:?}: {refused:?}"
        );
    }
    assert_eq!(world.read("platform.yaml"), GOOD);
}

#[test]
fn set_changes_one_value_and_nothing_else() {
    let world = World::new(GOOD);
    let ended = world.run(&["set", "challenges.prism.status", "inactive"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.out,
        "platform.yaml:14: challenges.prism.status: active → inactive\n"
    );
    let expected = GOOD.replace("active # since", "inactive # since");
    assert_eq!(world.read("platform.yaml"), expected);
    let number = world.run(&["set", "emissions.prism", "35.5", "platform.yaml"]);
    assert_eq!(number.code, Some(0), "{number:?}");
    let expected = expected.replace("prism: 30 ", "prism: 35.5 ");
    assert_eq!(world.read("platform.yaml"), expected);
    let text = world.run(&["set", "challenges.prism.env.DEBUG", "1"]);
    assert_eq!(text.code, Some(0), "{text:?}");
    let line = "      LOG_LEVEL: info\n";
    assert!(
        world
            .read("platform.yaml")
            .contains(&format!("{line}      DEBUG: ")),
        "{text:?}"
    );
    assert_eq!(world.run(&["check"]).code, Some(0));
}

#[test]
fn set_refuses_what_would_leave_a_wrong_declaration_or_a_read_only_file() {
    let world = World::new(GOOD);
    let file = world.path().join("platform.yaml");
    for (path, value, why) in [
        ("challenges.prism.status", "actve", "platform.yaml:14:"),
        ("challenges.prism.statsu", "active", "did you mean"),
        ("challenges.prsm.status", "active", "did you mean `prism`?"),
        ("challenges.prism", "x", "edit it by hand"),
        ("a..b", "x", "is no path"),
    ] {
        let ended = world.run(&["set", path, value]);
        assert_eq!(ended.code, Some(2), "{path}: {ended:?}");
        assert!(ended.err.contains(why), "{path}: {ended:?}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let ended = world.run(&["set", "emissions.prism", "31"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended
            .err
            .contains("platform.yaml:8 was not changed: read-only"),
        "{ended:?}"
    );
    assert_eq!(world.read("platform.yaml"), GOOD);
}

#[test]
fn set_finds_the_file_of_a_directory_that_holds_the_value() {
    let world = World::new("");
    let (main, rest) = GOOD.split_at(GOOD.find("challenges:").unwrap());
    world.write("deploy/platform.yaml", main);
    world.write("deploy/more/challenges.yaml", rest);
    let ended = world.run(&["set", "challenges.other.status", "draft", "deploy"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        world
            .read("deploy/more/challenges.yaml")
            .ends_with("status: draft\n")
    );
    assert_eq!(world.read("deploy/platform.yaml"), main);
    let ended = world.run(&["set", "emissions.other", "16", "deploy"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(world.read("deploy/platform.yaml").contains("other: 16"));
}

#[test]
fn the_database_is_looked_at_without_being_made() {
    let world = World::new(GOOD);
    let absent = world.run(&["database", "status"]);
    assert_eq!(absent.code, Some(0), "{absent:?}");
    assert_eq!(world.run(&["history"]).code, Some(0));
    assert!(!world.path().join("platform.db").exists());
    let made = world.run(&["database", "migrate"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(
        made.out.contains("SQLite") && made.out.contains("applied"),
        "{made:?}"
    );
    let document = world.run(&["database", "status", "-o", "json"]).json();
    assert_eq!(document["exists"], true);
    assert_eq!(document["pending"], Value::Array(Vec::new()));
    assert_eq!(
        world.run(&["history", "-o", "json"]).json()["passes"],
        Value::Array(Vec::new())
    );
    let verified = world.run(&["history", "verify"]);
    assert_eq!(
        (verified.code, verified.out.as_str()),
        (Some(0), "no passes yet\n")
    );
    let none = world.run(&["history", "show", "1"]);
    assert_eq!(none.code, Some(2), "{none:?}");
}

#[tokio::test]
async fn a_history_that_was_tampered_with_is_a_broken_chain() {
    let world = World::new(GOOD);
    let file = world.path().join("platform.db");
    let url = Secret::new(format!("sqlite:{}", file.display()));
    let database = open_and_migrate(&url).await.unwrap();
    for number in 0..3 {
        database
            .record_pass(FenceToken::UNTAKEN, &pass(number), &[])
            .await
            .unwrap();
    }
    database.close().await;
    let whole = world.run(&["history", "verify"]);
    assert_eq!(whole.code, Some(0), "{whole:?}");
    let chain = world.run(&["history", "verify", "-o", "json"]).json();
    let head = chain["head"].as_str().unwrap();
    let text = format!("3 passes, unbroken since #1\nhead {head}\n");
    assert_eq!(whole.out, text);
    assert_eq!(
        (&chain["is_unbroken"], &chain["passes"]),
        (&json!(true), &json!(3))
    );
    for verb in [&["history"][..], &["history", "show", "3"]] {
        let shown = world.run(verb);
        assert!(shown.out.contains(&head[..12]), "{shown:?}");
    }

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut connection = options.connect().await.unwrap();
    let change = "update passes set actor = 'somebody else' where id = 2";
    sqlx::query(change).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let broken = world.run(&["history", "verify"]);
    assert_eq!((broken.code, broken.out.as_str()), (Some(4), ""));
    let told = "the history is broken: #2 is not as it was recorded; 1 before it are as they were recorded";
    assert!(broken.err.contains(told), "{broken:?}");
    let broken = world.run(&["history", "verify", "-o", "json"]);
    assert_eq!(broken.code, Some(4), "{broken:?}");
    let found = json!({
        "version": 1, "is_unbroken": false, "pass": 2, "fault": "altered", "unbroken": 1,
    });
    assert_eq!(broken.json(), found);
}

fn pass(second: i64) -> PassRecord {
    let at = |seconds| jiff::Timestamp::from_second(1_767_225_600 + seconds).unwrap();
    PassRecord {
        id: None,
        started_at: at(second),
        finished_at: at(second + 1),
        source: "platform.yaml".to_owned(),
        revision: Revision {
            digest: format!("sha256:{}", "a".repeat(64)),
            commit: None,
        },
        actor: "ada@host (apply)".to_owned(),
        plan_digest: "7d41".to_owned(),
        outcome: PassOutcome::Converged,
        counts: PassCounts::default(),
        chain: None,
        keys: Vec::new(),
    }
}

#[test]
fn a_database_that_does_not_answer_is_a_dependency() {
    let world = World::new(GOOD);
    let url = "postgres://app:canary@127.0.0.1:1/none";
    let ended = world.run(&["history", "--database-url", url, "-vv"]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(!ended.shows("canary"), "{ended:?}");
    let ended = world.run(&["history", "--database-url", "mysql://a:canary@h/d", "-vv"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!ended.shows("canary"), "{ended:?}");
}

#[test]
fn completions_name_the_verbs() {
    let world = World::new(GOOD);
    for shell in ["bash", "zsh", "fish"] {
        let ended = world.run(&["completions", shell]);
        assert_eq!(ended.code, Some(0));
        assert!(ended.out.contains("database"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let world = World::new(GOOD);
    let mut child = world
        .command(&["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_result_that_cannot_be_written_is_said_to_be_lost() {
    let world = World::new(GOOD);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = world.command(&["schema"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(
        Ended::of(&output)
            .err
            .contains("cannot be written to standard output")
    );
}

#[test]
fn colours_follow_the_flag() {
    let world = World::new(GOOD);
    let missing = |when: &str| world.run(&["check", "missing.yaml", "--color", when]).err;
    assert!(missing("always").contains('\u{1b}'));
    assert!(!missing("auto").contains('\u{1b}'));
    assert!(!missing("never").contains('\u{1b}'));
}
