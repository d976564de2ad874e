//! What only a file can do wrong: its rights, its neighbours, other processes, and being killed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::world::on_sqlite;
use super::*;

/// Tells a test that it is another test's second process, and which file it is about.
const FILE: &str = "PLATFORM_TEST_SQLITE_FILE";

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| name(entry.unwrap())).collect()
}

fn url_of(path: &Path) -> Secret<String> {
    Secret::new(format!("sqlite:{}", path.display()))
}

#[tokio::test]
async fn files_are_their_owners_only() {
    on_sqlite(async |world| {
        let database = world.open().await;
        database
            .record_pass(UNTAKEN, &pass(1, 3), &[])
            .await
            .unwrap();
        let folder = world.folder.as_ref().unwrap().path();
        let all = names(folder);
        let expected = ["platform.db", "platform.db-shm", "platform.db-wal"];
        assert_eq!(all, BTreeSet::from(expected.map(str::to_owned)));
        for name in all {
            let mode = fs::metadata(folder.join(&name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn weights_make_room_without_a_look_at_their_documents() {
    on_sqlite(async |world| {
        drop(world.open().await);
        let prune = world.engine().await.statements().snapshots.prune;
        let mut connection = SqliteConnection::connect(world.url.expose()).await.unwrap();
        let explain = AssertSqlSafe(format!("explain query plan {prune}"));
        let steps = sqlx::query_as::<_, (i64, i64, i64, String)>(explain);
        let steps = steps.fetch_all(&mut connection).await.unwrap();
        let reads = steps.iter().map(|(.., step)| step.as_str());
        let reads: Vec<&str> = reads
            .filter(|step| step.contains("weight_snapshots"))
            .collect();
        let is_by_id = |step: &&str| step.contains("USING INTEGER PRIMARY KEY");
        let is_covered = |step: &&str| step.contains("USING COVERING INDEX weight_snapshots_sizes");
        assert!(reads.iter().any(is_covered), "{reads:?}");
        assert!(
            reads.iter().all(|step| is_by_id(step) || is_covered(step)),
            "{reads:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_existing_file_keeps_its_mode() {
    on_sqlite(async |world| {
        world.open().await.close().await;
        let file = world.folder.as_ref().unwrap().path().join("platform.db");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        world.open().await.close().await;
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    })
    .await;
}

#[tokio::test]
async fn opening_for_reading_leaves_no_file_behind() {
    on_sqlite(async |world| {
        let folder = world.folder.as_ref().unwrap().path();
        let Opened::Absent(place) = open(&world.url).await.unwrap() else {
            panic!("there is no file");
        };
        assert!(place.ends_with("platform.db"), "{place}");
        assert_eq!(names(folder), BTreeSet::new());

        world.open().await.close().await;
        let only = BTreeSet::from(["platform.db".to_owned()]);
        assert_eq!(names(folder), only);
        let before = fs::read(folder.join("platform.db")).unwrap();
        let Opened::Ready(database) = open(&world.url).await.unwrap() else {
            panic!("it has its schema");
        };
        database.rows(&Scope::All).await.unwrap();
        database.close().await;
        assert_eq!(names(folder), only);
        assert_eq!(fs::read(folder.join("platform.db")).unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn a_reader_beside_a_writer_sees_what_is_committed() {
    on_sqlite(async |world| {
        let writer = world.open().await;
        let Opened::Ready(reader) = open(&world.url).await.unwrap() else {
            panic!("it has its schema");
        };
        for (key, row) in rows() {
            writer
                .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
                .await
                .unwrap();
        }
        assert_eq!(reader.rows(&Scope::All).await.unwrap(), rows());
        reader.close().await;
        writer.record_pass(UNTAKEN, &pass(1, 1), &[]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let noise = folder.path().join("noise.db");
    fs::write(&noise, "not a database ".repeat(1000)).unwrap();
    let cases = [
        (
            folder.path().join("none/platform.db"),
            "its directory does not exist",
        ),
        (noise.clone(), "the file is not a SQLite database"),
        (folder.path().to_owned(), "could not be opened"),
    ];
    for (path, why) in cases {
        let error = open_and_migrate(&url_of(&path))
            .await
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
    let error = open(&url_of(&noise))
        .await
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(error.contains("not a SQLite database"), "{error}");
    let kept = fs::read_to_string(&noise).unwrap();
    assert!(kept.starts_with("not a database "), "it is left as it was");
}

#[tokio::test]
async fn odd_characters_in_a_path_are_only_characters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a b%20#é&=:.db");
    open_and_migrate(&url_of(&path))
        .await
        .unwrap()
        .close()
        .await;
    assert_eq!(
        names(folder.path()),
        BTreeSet::from(["a b%20#é&=:.db".to_owned()])
    );
}

fn second_process(test: &str, file: &Path) -> Child {
    let module = module_path!().split_once("::").unwrap().1;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}")])
        .env(FILE, file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Also what the processes of the next test do.
#[tokio::test]
async fn a_file_is_migrated_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let given = std::env::var_os(FILE).map(std::path::PathBuf::from);
    let path = given.unwrap_or_else(|| folder.path().join("platform.db"));
    let database = open_and_migrate(&url_of(&path)).await.unwrap();
    for number in 0..5 {
        database
            .record_pass(UNTAKEN, &pass(number, 10), &[])
            .await
            .unwrap();
    }
    database.close().await;
}

#[tokio::test]
async fn processes_that_start_at_once_migrate_once_and_all_write() {
    for _round in 0..3 {
        on_sqlite(async |world| {
            let file = world.folder.as_ref().unwrap().path().join("platform.db");
            let start = |_| second_process("a_file_is_migrated_and_written", &file);
            for mut process in (0..6).map(start).collect::<Vec<_>>() {
                assert!(process.wait().unwrap().success());
            }
            let database = world.open().await;
            assert_eq!(database.passes(100, None).await.unwrap().len(), 30);
            assert_eq!(database.status().await.unwrap().applied.len(), 14);
        })
        .await;
    }
}

/// Writes until it is killed, when it is the second process of the next test.
#[tokio::test]
async fn passes_are_written_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let given = std::env::var_os(FILE).map(std::path::PathBuf::from);
    let count = if given.is_some() { 100_000 } else { 3 };
    let path = given.unwrap_or_else(|| folder.path().join("platform.db"));
    let database = open_and_migrate(&url_of(&path)).await.unwrap();
    for number in 0..count {
        database
            .record_pass(UNTAKEN, &pass(number, 200), &[])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_leaves_whole_passes_and_no_lock() {
    on_sqlite(async |world| {
        let file = world.folder.as_ref().unwrap().path().join("platform.db");
        let torn = "select cast(count(*) as text) from passes p where key_count <>
            (select count(*) from pass_keys k where k.pass_id = p.id)";
        for round in 0..12 {
            let mut process = second_process("passes_are_written_one_after_the_other", &file);
            tokio::time::sleep(Duration::from_millis(15 + 17 * round)).await;
            process.kill().unwrap();
            process.wait().unwrap();
            let database = world.open().await;
            assert_eq!(world.ask(torn).await, ["0"]);
            assert_eq!(world.ask("pragma integrity_check").await, ["ok"]);
            database
                .record_pass(UNTAKEN, &pass(1, 1), &[])
                .await
                .unwrap();
            database.close().await;
        }
        let written = world.ask("select cast(count(*) as text) from passes").await;
        assert!(
            written[0].parse::<u32>().unwrap() > 12,
            "no process came as far as a pass"
        );
    })
    .await;
}

#[tokio::test]
async fn a_database_in_memory_keeps_its_rows_while_it_is_open() {
    let database = open_and_migrate(&Secret::new("sqlite::memory:".to_owned()))
        .await
        .unwrap();
    for (key, row) in rows() {
        database
            .write_row(UNTAKEN, &key, &row, &revision(1), at(0))
            .await
            .unwrap();
    }
    assert_eq!(database.rows(&Scope::All).await.unwrap(), rows());
}

#[tokio::test]
async fn nothing_trades_durability_for_speed() {
    on_sqlite(async |world| {
        drop(world.open().await);
        let settings =
            "select journal_mode || ' ' || synchronous || ' ' || foreign_keys || ' ' || timeout
            from pragma_journal_mode, pragma_synchronous, pragma_foreign_keys, pragma_busy_timeout";
        assert_eq!(world.ask(settings).await, ["wal 2 1 5000"]);
    })
    .await;
}
