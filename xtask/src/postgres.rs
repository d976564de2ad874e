//! A PostgreSQL server for one run: the one given, or the system's in a scratch folder.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    daemon::{Daemon, Ending, bound_to_us},
    environment::{self, find_program, is_executable, variable},
    interrupt::Interrupt,
    keys::random_token,
    ports,
    scratch::Scratch,
};

/// Seen: 1 s. Leaves room for a machine that compiles at the same time.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// The Debian package that holds the server.
pub const PACKAGE: &str = "postgresql";

/// Where Debian puts server binaries, one folder per major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Who may not be root runs as this user of the system.
const USER: &str = "postgres";

/// A database server; ended when dropped if we started it.
pub struct Postgres {
    server: Server,
    url: String,
}

enum Server {
    /// By `TEST_POSTGRES_URL`.
    Given,
    Ours {
        daemon: Daemon,
    },
}

/// A new database on a server; removed when dropped if the server stays.
pub struct Database {
    /// How to reach it.
    pub url: String,
    removal: Option<Command>,
}

impl Postgres {
    /// Takes the server in `TEST_POSTGRES_URL`, or starts one.
    ///
    /// # Errors
    ///
    /// Fails with the name of the package when there is no server to start, and
    /// with the last lines of the log when it does not start.
    pub fn start(scratch: &Scratch, interrupt: &Interrupt) -> Result<Self> {
        if let Some(url) = variable("TEST_POSTGRES_URL") {
            let url = url
                .into_string()
                .ok()
                .context("TEST_POSTGRES_URL is not text")?;
            return Ok(Self {
                server: Server::Given,
                url,
            });
        }
        let Some(binaries) = find_binaries() else {
            bail!(
                "no PostgreSQL server on this machine: apt-get install {PACKAGE}, or set TEST_POSTGRES_URL"
            );
        };
        start_server(&binaries, scratch, interrupt)
    }

    /// Returns what happened to the server if it has ended.
    pub fn find_ending(&mut self) -> Option<String> {
        match &mut self.server {
            Server::Given => None,
            Server::Ours { daemon } => daemon.find_ending(),
        }
    }

    /// Returns the address of the server, with a user that may create databases.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a database that holds nothing yet.
    ///
    /// # Errors
    ///
    /// Fails when the server was given and `psql` is missing or refused.
    pub fn create_database(&self) -> Result<Database> {
        if let Server::Ours { .. } = self.server {
            // A server of our own starts with one that nobody has used.
            return Ok(Database {
                url: self.url.clone(),
                removal: None,
            });
        }
        let name = format!("platform_xtask_{}", random_token()?);
        let url = replace_database(&self.url, &name).context("find the database in the URL")?;
        run_sql(&self.url, &format!("CREATE DATABASE {name}"))?;
        let removal = sql_command(&self.url, &format!("DROP DATABASE {name} WITH (FORCE)"))?;
        Ok(Database {
            url,
            removal: Some(removal),
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(mut removal) = self.removal.take() {
            // The server is somebody's test server and may be gone by now.
            removal.status().ok();
        }
    }
}

/// Returns whether a server is given or can be started.
pub fn is_available() -> bool {
    variable("TEST_POSTGRES_URL").is_some() || find_binaries().is_some()
}

/// Finds the folder of server binaries: the newest of Debian's, or that of `PATH`.
fn find_binaries() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .map(|version| (version, Path::new(DEBIAN).join(format!("{version}/bin"))))
        .filter(|(_, folder)| is_executable(&folder.join("initdb")))
        .max_by_key(|(version, _)| *version);
    newest.map(|(_, folder)| folder).or_else(|| {
        let initdb = find_program("initdb")?.canonicalize().ok()?;
        initdb.parent().map(Path::to_owned)
    })
}

fn start_server(binaries: &Path, scratch: &Scratch, interrupt: &Interrupt) -> Result<Postgres> {
    let folder = scratch.folder("postgres")?;
    let password = random_token()?;
    let password_file = folder.join("password");
    fs::write(&password_file, &password).context("write the password of the database")?;
    let owner = Owner::find()?;
    owner.take(&folder)?;
    owner.take(&password_file)?;
    initialise(binaries, &folder, &password_file, &owner, interrupt)?;

    let [port] = ports::find_free()?;
    let mut command = bound_to_us(binaries.join("postgres"), "QUIT", &owner.options());
    command
        .arg("-D")
        .arg(folder.join("data"))
        .current_dir(&folder)
        .args(["-p", &port.to_string()]);
    // Speed over safety: nobody needs this data after a crash.
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "max_connections=300",
    ] {
        command.args(["-c", setting]);
    }
    let log = folder.join("postgres.log");
    let mut daemon = Daemon::start("postgres", command, log, Ending::Ask)?;
    daemon.wait_until("start", READY_LIMIT, interrupt, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    })?;
    Ok(Postgres {
        server: Server::Ours { daemon },
        url: format!("postgres://{USER}:{password}@127.0.0.1:{port}/platform"),
    })
}

fn initialise(
    binaries: &Path,
    folder: &Path,
    password: &Path,
    owner: &Owner,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut command = bound_to_us(binaries.join("initdb"), "KILL", &owner.options());
    command
        .current_dir(folder)
        .arg("-D")
        .arg(folder.join("data"))
        .arg(format!("--pwfile={}", password.display()))
        .args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8"])
        .args(["--locale=C", "--no-sync", "--no-instructions"]);
    Daemon::start("initdb", command, folder.join("initdb.log"), Ending::Kill)?
        .wait_for_success(READY_LIMIT, interrupt)?;

    // Single-user mode needs neither a port nor a client program.
    let input = folder.join("create.sql");
    fs::write(&input, "CREATE DATABASE platform\n").context("write SQL")?;
    let mut command = bound_to_us(binaries.join("postgres"), "KILL", &owner.options());
    command
        .current_dir(folder)
        .args(["--single", "-F", "-D"])
        .arg(folder.join("data"))
        .arg("postgres")
        .stdin(File::open(&input).context("read SQL")?);
    let log = folder.join("create.log");
    Daemon::start("postgres --single", command, log, Ending::Kill)?
        .wait_for_success(READY_LIMIT, interrupt)
}

/// Who owns the data and runs the server, which refuses to run as root.
enum Owner {
    Us,
    System { user: u32, group: u32 },
}

impl Owner {
    fn find() -> Result<Self> {
        if !environment::is_root() {
            return Ok(Self::Us);
        }
        ensure!(
            find_program("setpriv").is_some(),
            "PostgreSQL refuses to run as root, and setpriv is missing: apt-get install util-linux"
        );
        let users = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        let (user, group) = parse_user(&users, USER)
            .or_else(|| parse_user(&users, "nobody"))
            .context("find a user to run PostgreSQL as: it refuses root")?;
        Ok(Self::System { user, group })
    }

    fn options(&self) -> Vec<String> {
        match self {
            Self::Us => Vec::new(),
            Self::System { user, group } => vec![
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".into(),
            ],
        }
    }

    fn take(&self, path: &Path) -> Result<()> {
        match self {
            Self::Us => Ok(()),
            Self::System { user, group } => chown(path, Some(*user), Some(*group))
                .with_context(|| format!("change the owner of {}", path.display())),
        }
    }
}

/// Returns user and group number of a user in the format of `/etc/passwd`.
fn parse_user(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Returns a connection URL with another database name.
fn replace_database(url: &str, name: &str) -> Option<String> {
    let authority = url.find("://")? + 3;
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let end = address[authority..]
        .find('/')
        .map_or(address.len(), |at| authority + at);
    Some(format!("{}/{name}{query}", &address[..end]))
}

fn run_sql(url: &str, sql: &str) -> Result<()> {
    let status = sql_command(url, sql)?.status().context("start psql")?;
    ensure!(status.success(), "psql refused: {sql}");
    Ok(())
}

fn sql_command(url: &str, sql: &str) -> Result<Command> {
    let psql = find_program("psql")
        .context("psql is needed to make a database on the server of TEST_POSTGRES_URL: apt-get install postgresql-client")?;
    let mut command = Command::new(psql);
    // Other users of this machine may see the address, password included: it is
    // that of a test server, and psql takes a URL in no other way.
    command
        .args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"])
        .args(["-c", sql, "-d", url])
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_found_by_its_whole_name() {
        let users = "root:x:0:0::/:\npostgres2:x:7:8::/:\npostgres:x:101:104::/:\n";
        assert_eq!(parse_user(users, "postgres"), Some((101, 104)));
        assert_eq!(parse_user(users, "nobody"), None);
    }

    #[test]
    fn database_of_a_url_is_replaced_and_the_rest_stays() {
        let replaced = |url| replace_database(url, "new");
        assert_eq!(
            replaced("postgres://u:p@h:1/old?sslmode=disable").as_deref(),
            Some("postgres://u:p@h:1/new?sslmode=disable")
        );
        assert_eq!(
            replaced("postgres://h").as_deref(),
            Some("postgres://h/new")
        );
        assert_eq!(replaced("nonsense"), None);
    }
}
