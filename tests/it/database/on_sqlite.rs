//! A file that is damaged, gone, somebody else's, locked, or on a disk that takes no more.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use super::{Answer, check, check_healed};
use crate::support::chain::{Chain, Possessions, Undisturbed, run_trials};
use crate::support::world::{Ran, World};

/// Somebody without any right to what is root's.
const NOBODY: u32 = 65534;
/// The size of the small disk: the database fits, and its log of writes does not.
const SMALL_DISK: &str = "size=512k";
/// Pages that stay free there.
const ROOM: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Bytes of its pages are overwritten.
    Damaged,
    /// Its first bytes are overwritten.
    NoDatabase,
    /// It was cut short.
    Cut,
    /// It was cut to nothing.
    Emptied,
    /// A directory has its name.
    Directory,
    /// It is another program's database.
    Foreign,
    /// It is another program's database, with tables of our names.
    ForeignOfOurNames,
    /// It may be read only.
    ReadOnlyFile,
    /// Nothing may be made beside it.
    ReadOnlyDirectory,
    /// Another process writes, for longer than anybody waits.
    Locked,
    /// A limit stops its files from growing.
    Limited,
    /// The disk is full; needs the right to mount.
    FullDisk,
}

const FAULTS: [Fault; 12] = [
    Fault::Damaged,
    Fault::NoDatabase,
    Fault::Cut,
    Fault::Emptied,
    Fault::Directory,
    Fault::Foreign,
    Fault::ForeignOfOurNames,
    Fault::ReadOnlyFile,
    Fault::ReadOnlyDirectory,
    Fault::Locked,
    Fault::Limited,
    Fault::FullDisk,
];

impl Fault {
    fn answer(self) -> Answer {
        let answer = |diff, apply, says| Answer { diff, apply, says };
        match self {
            Self::Damaged => answer(4, &[4], "the file is damaged; restore a backup"),
            Self::NoDatabase => answer(4, &[4], "the file is not a SQLite database"),
            Self::Cut => answer(4, &[4], "the file is damaged; restore a backup"),
            // An empty file is an empty database: what is there tells the rest.
            Self::Emptied => answer(1, &[0], ""),
            Self::Directory => answer(4, &[4], "a directory"),
            Self::Foreign | Self::ForeignOfOurNames => {
                answer(4, &[4], "holds tables of another program")
            }
            Self::ReadOnlyFile => answer(1, &[4, 5], "may not be written"),
            Self::ReadOnlyDirectory => answer(4, &[4], "its directory, may not be written"),
            Self::Locked => answer(1, &[4, 5], "is held by another process; try again"),
            Self::Limited => answer(1, &[4, 5], "is its disk full?"),
            Self::FullDisk => answer(1, &[4, 5], "the disk is full"),
        }
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// A fault that is under way; ends when dropped.
struct Disturbed {
    file: PathBuf,
    /// The file as it was, where the fault destroys it.
    backup: Option<Vec<u8>>,
    lock: Option<SqliteConnection>,
    is_mounted: bool,
}

impl Disturbed {
    async fn begin(fault: Fault, world: &World) -> Self {
        let file = world.path("platform.db");
        let bytes = fs::read(&file).unwrap();
        let mut disturbed = Self {
            file: file.clone(),
            backup: Some(bytes.clone()),
            lock: None,
            is_mounted: false,
        };
        match fault {
            Fault::Damaged => {
                let mut damaged = bytes;
                // All pages but the first, which holds the schema.
                damaged[4096..].fill(0xa5);
                fs::write(&file, damaged).unwrap();
            }
            Fault::NoDatabase => {
                let mut damaged = bytes;
                damaged[..512].fill(b'x');
                fs::write(&file, damaged).unwrap();
            }
            Fault::Cut => fs::write(&file, &bytes[..bytes.len() / 2]).unwrap(),
            Fault::Emptied => {
                fs::write(&file, "").unwrap();
                disturbed.backup = None;
            }
            Fault::Directory => {
                fs::remove_file(&file).unwrap();
                fs::create_dir(&file).unwrap();
            }
            Fault::Foreign => make_foreign(&file, "create table notes (text)").await,
            Fault::ForeignOfOurNames => {
                make_foreign(&file, "create table challenges (slug, token_hash)").await;
            }
            Fault::ReadOnlyFile => {
                set_mode(&file, 0o444);
                set_mode(file.parent().unwrap(), 0o777);
            }
            Fault::ReadOnlyDirectory => {
                set_mode(&file, 0o666);
                set_mode(file.parent().unwrap(), 0o555);
            }
            Fault::Locked => {
                let mut lock = SqliteConnectOptions::new()
                    .filename(&file)
                    .connect()
                    .await
                    .unwrap();
                lock.execute("BEGIN IMMEDIATE").await.unwrap();
                disturbed.lock = Some(lock);
            }
            Fault::Limited => {}
            Fault::FullDisk => disturbed.mount_small_disk(),
        }
        disturbed
    }

    /// Mounts a small disk in the place of the directory `disk`, with the database on it, and fills it.
    fn mount_small_disk(&mut self) {
        let disk = self.file.parent().unwrap().join("disk");
        fs::create_dir_all(&disk).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", SMALL_DISK, "tmpfs"])
            .arg(&disk));
        self.is_mounted = true;
        fs::copy(&self.file, disk.join("platform.db")).unwrap();
        // Filled until the system says that there is no more room.
        let filled = (0..1024).find(|at| fs::write(disk.join(format!("{at}")), [0; 4096]).is_err());
        let filled = filled.expect("the disk is small");
        // Room for what readers share, and no more: it can be read, and a write or two come through.
        for at in filled - ROOM..=filled {
            fs::remove_file(disk.join(format!("{at}"))).unwrap();
        }
    }

    /// Returns the program under this fault.
    fn command(&self, fault: Fault, world: &World, args: &[&str]) -> Command {
        match fault {
            // Root may write what nobody may.
            Fault::ReadOnlyFile | Fault::ReadOnlyDirectory if is_root() => {
                let mut command = world.command(args);
                command.uid(NOBODY);
                command
            }
            Fault::Limited => {
                let mut limited = Command::new("sh");
                let program = world.command(args);
                // Room for what readers share and for a write or two; then an error, not the end of the program.
                limited
                    .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
                    .arg(program.get_program())
                    .args(program.get_args())
                    .current_dir(program.get_current_dir().unwrap())
                    .env_clear()
                    .envs(
                        program
                            .get_envs()
                            .filter_map(|(name, value)| Some((name, value?))),
                    )
                    .stdin(Stdio::null());
                limited
            }
            Fault::FullDisk => {
                let mut command = world.command(args);
                let file = self.file.parent().unwrap().join("disk/platform.db");
                command.env(
                    "PLATFORM_DATABASE_URL",
                    format!("sqlite:{}", file.display()),
                );
                command
            }
            _ => world.command(args),
        }
    }

    async fn run(&self, fault: Fault, world: &World, args: &[&str]) -> Ran {
        let mut command = self.command(fault, world, args);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        World::finish(child).await
    }

    async fn end(mut self) {
        if let Some(lock) = self.lock.take() {
            lock.close().await.unwrap();
        }
        set_mode(self.file.parent().unwrap(), 0o755);
        if self.is_mounted {
            self.unmount();
            // What was written there is gone with the disk, as with a backup from before.
            self.backup = None;
        }
        if self.file.is_dir() {
            fs::remove_dir(&self.file).unwrap();
        }
        if let Some(bytes) = self.backup.take() {
            for beside in ["platform.db-wal", "platform.db-shm"] {
                // Often there is none.
                drop(fs::remove_file(self.file.with_file_name(beside)));
            }
            fs::write(&self.file, bytes).unwrap();
            set_mode(&self.file, 0o600);
        }
    }

    fn unmount(&mut self) {
        run(Command::new("umount").arg(self.file.parent().unwrap().join("disk")));
        self.is_mounted = false;
    }
}

/// A failed trial leaves no disk behind.
impl Drop for Disturbed {
    fn drop(&mut self) {
        if self.is_mounted {
            self.unmount();
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

async fn make_foreign(file: &Path, sql: &'static str) {
    fs::remove_file(file).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

/// Runs the next link under a fault, then without.
async fn try_fault(chain: &mut Chain, fault: Fault, undisturbed: &Undisturbed) {
    let told = format!("{fault:?}");
    let before = Possessions::of(&chain.world).await;
    let there = chain.world.snapshot().await;
    chain.turn();
    set_mode(&chain.world.path("kubeconfig"), 0o644);
    set_mode(&chain.world.path("platform.yaml"), 0o644);
    set_mode(chain.world.path("").as_path(), 0o755);
    let disturbed = Disturbed::begin(fault, &chain.world).await;
    let answer = fault.answer();
    let diff = disturbed.run(fault, &chain.world, &["diff"]).await;
    check(&told, &diff, &[answer.diff], answer.says);
    let apply = ["apply", "--yes", "--timeout", "8s"];
    let applied = disturbed.run(fault, &chain.world, &apply).await;
    check(&told, &applied, answer.apply, answer.says);
    if answer.diff == 4 {
        assert_eq!(chain.world.snapshot().await, there, "{told}: {applied}");
    }
    if matches!(fault, Fault::Foreign | Fault::ForeignOfOurNames) {
        check_untouched(&chain.world.path("platform.db"), &told).await;
    }
    disturbed.end().await;
    check_healed(chain, &before, undisturbed, &told).await;
}

/// Another program's database is as it was.
async fn check_untouched(file: &Path, told: &str) {
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .connect()
        .await
        .unwrap();
    let tables = "select count(*) from sqlite_schema";
    let count: i64 = sqlx::query_scalar(tables)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    assert_eq!(count, 1, "{told}: tables were made in it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs a cluster"]
async fn no_fault_of_a_sqlite_file_loses_or_invents_anything() {
    let undisturbed = Arc::new(Undisturbed::watch().await);
    let faults = FAULTS
        .into_iter()
        .filter(|fault| *fault != Fault::FullDisk || is_root());
    run_trials(faults, move |mut chain, fault| {
        let undisturbed = undisturbed.clone();
        async move {
            try_fault(&mut chain, fault, &undisturbed).await;
            chain
        }
    })
    .await;
}
