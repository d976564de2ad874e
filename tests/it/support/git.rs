//! Repositories made by the `git` program, servers that hand them out over real transports, and servers that
//! misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A repository in a folder of its own, beside a home for the program and for git.
pub struct Repo {
    scratch: tempfile::TempDir,
}

impl Repo {
    /// Makes an empty repository.
    pub fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let repo = Self { scratch };
        std::fs::create_dir(repo.path()).unwrap();
        std::fs::create_dir(repo.home()).unwrap();
        repo.git(&["init", "-q", "-b", "main", "."]);
        repo
    }

    /// Makes a repository with one commit of these files.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let repo = Self::new();
        for (name, text) in files {
            repo.write(name, text);
        }
        repo.commit("the first");
        repo
    }

    /// Returns the path of its work tree.
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join("repo")
    }

    /// Returns a path beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Returns the home of whoever runs git and the program.
    pub fn home(&self) -> PathBuf {
        self.beside("home")
    }

    /// Returns its address as a file.
    pub fn address(&self) -> String {
        format!("file://{}", self.path().display())
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits everything, and returns the commit.
    pub fn commit(&self, subject: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git on it and returns what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    /// Runs git with something on its standard input.
    pub fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = self.command(arguments).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([
                ("GIT_AUTHOR_NAME", "An Author"),
                ("GIT_AUTHOR_EMAIL", "author@example.org"),
            ])
            .envs([
                ("GIT_COMMITTER_NAME", "An Author"),
                ("GIT_COMMITTER_EMAIL", "author@example.org"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Writes a tree object as it is given, however wrong, and a commit of it as `main`.
    pub fn commit_tree(&self, entries: &[(&str, &[u8], &str)]) {
        let tree = self.tree(entries);
        let commit = self.git(&["commit-tree", "-m", "made by hand", &tree]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
    }

    /// Writes a tree object of `(mode, name, object)`.
    pub fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut raw = Vec::new();
        for (mode, name, id) in entries {
            raw.extend_from_slice(mode.as_bytes());
            raw.push(b' ');
            raw.extend_from_slice(name);
            raw.push(0);
            raw.extend(hex::decode(id).unwrap());
        }
        let hash = ["hash-object", "-t", "tree", "--literally", "-w", "--stdin"];
        self.git_with(&hash, &raw)
    }

    /// Writes a blob.
    pub fn blob(&self, bytes: &[u8]) -> String {
        self.git_with(&["hash-object", "-w", "--stdin"], bytes)
    }

    /// Returns the program with an empty environment and this home.
    pub fn platform(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_platform"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home())
            .envs(variables.iter().copied())
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// Checks a source.
    pub fn check(&self, source: &str, variables: &[(&str, &str)]) -> Told {
        Told::of(
            &self
                .platform(&["check", source], variables)
                .output()
                .unwrap(),
        )
    }
}

/// What the program said and how it ended.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub text: String,
}

impl Told {
    pub fn of(output: &Output) -> Self {
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(
            !text.contains(super::world::CANARY),
            "a secret was shown: {text}"
        );
        Self {
            code: output.status.code(),
            text,
        }
    }

    /// Checks the exit code and that a text is among what was said.
    #[track_caller]
    pub fn expect(&self, code: i32, text: &str) {
        assert!(
            self.code == Some(code) && self.text.contains(text),
            "{code}, {text:?}: {self:?}"
        );
    }
}

/// One request as a server got it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub line: String,
    pub headers: String,
}

/// What an HTTP server does with a request.
#[derive(Clone)]
pub enum Conduct {
    /// Hands out the repositories of a folder.
    Serve(PathBuf),
    /// Asks for this value of `Authorization` first.
    ServeFor(PathBuf, String),
    /// Sends everyone to this address, with the path of the request behind it.
    Redirect(String),
    /// Answers these bytes, and these again without end when told so.
    Say(Vec<u8>, bool),
    /// Accepts and says nothing.
    Hang,
    /// Hands out references, and of the pack only the first half; then says nothing.
    HangInPack(PathBuf),
}

/// A server of this machine; it ends with the test's process.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

/// What both plain and encrypted connections are.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Server {
    /// Starts an HTTP server.
    pub fn start(conduct: Conduct) -> Self {
        Self::start_with(conduct, |stream| Some(Box::new(stream)))
    }

    /// Starts an HTTPS server with a certificate and its key, as PEM files.
    pub fn start_tls(conduct: Conduct, certificate: &Path, key: &Path) -> Self {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        super::cluster::install_tls();
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        Self::start_with(conduct, move |stream| {
            let connection = rustls::ServerConnection::new(config.clone()).ok()?;
            Some(Box::new(rustls::StreamOwned::new(connection, stream)))
        })
    }

    fn start_with(
        conduct: Conduct,
        wrap: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, wrap) = (seen.clone(), Arc::new(wrap));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (conduct, kept, wrap) = (conduct.clone(), kept.clone(), wrap.clone());
                std::thread::spawn(move || {
                    // Who hangs up early has its own reasons.
                    if let Some(mut stream) = wrap(stream) {
                        drop(answer(stream.as_mut(), &conduct, &kept));
                    }
                });
            }
        });
        Self { port, seen }
    }

    /// Returns its address.
    pub fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Returns the requests since the last call.
    pub fn take_seen(&self) -> Vec<Request> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Answers one request and closes the connection.
fn answer(
    stream: &mut dyn Stream,
    conduct: &Conduct,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let (request, body) = read_request(stream)?;
    seen.lock().unwrap().push(request.clone());
    match conduct {
        Conduct::Serve(root) => stream.write_all(&run_backend(root, &request, &body))?,
        Conduct::ServeFor(root, authorization) => {
            let is_allowed = request
                .headers
                .contains(&format!("Authorization: {authorization}"));
            let refusal = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            match is_allowed {
                true => stream.write_all(&run_backend(root, &request, &body))?,
                false => stream.write_all(refusal)?,
            }
        }
        Conduct::Redirect(to) => {
            let path = request.line.split(' ').nth(1).unwrap_or("/");
            let head = format!(
                "HTTP/1.1 302 Found\r\nLocation: {to}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes())?;
        }
        Conduct::Say(bytes, is_endless) => {
            stream.write_all(bytes)?;
            if *is_endless {
                loop {
                    stream.write_all(bytes)?;
                }
            }
        }
        Conduct::Hang => hang(),
        Conduct::HangInPack(root) => {
            let whole = run_backend(root, &request, &body);
            match request.line.starts_with("POST") {
                true => {
                    stream.write_all(&whole[..whole.len() - 40])?;
                    stream.flush()?;
                    hang();
                }
                false => stream.write_all(&whole)?,
            }
        }
    }
    stream.flush()
}

/// Longer than any time limit of a test.
fn hang() {
    std::thread::sleep(std::time::Duration::from_secs(120));
}

fn read_request(stream: &mut dyn Stream) -> std::io::Result<(Request, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let (line, headers) = head.split_once("\r\n").unwrap();
    let request = Request {
        line: line.to_owned(),
        headers: headers.to_owned(),
    };
    let mut body = Vec::new();
    if let Some(length) = header(&request, "content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body)?;
    } else if header(&request, "transfer-encoding").is_some() {
        read_chunks(stream, &mut body)?;
    }
    Ok((request, body))
}

fn read_chunks(stream: &mut dyn Stream, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let (mut line, mut byte) = (Vec::new(), [0; 1]);
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(());
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Git's own server side of HTTP, as a web server runs it.
fn run_backend(root: &Path, request: &Request, body: &[u8]) -> Vec<u8> {
    let mut words = request.line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env(
            "CONTENT_TYPE",
            header(request, "content-type").unwrap_or_default(),
        )
        .env("CONTENT_LENGTH", body.len().to_string())
        .env(
            "HTTP_CONTENT_ENCODING",
            header(request, "content-encoding").unwrap_or_default(),
        )
        .env(
            "GIT_PROTOCOL",
            header(request, "git-protocol").unwrap_or_default(),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = body.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().unwrap().stdout;
    drop(writer.join());
    let split = output
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&output[..split]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
    let length = output.len() - split - 4;
    let status = status.unwrap_or("200 OK");
    let mut answer = format!(
        "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(&output[split + 4..]);
    answer
}

/// A real `sshd` on a port of this machine, for the user who runs the tests.
pub struct Sshd {
    pub port: u16,
    child: Child,
}

impl Sshd {
    /// Starts a server with new keys in `folder`: `host`, and `client` which it lets in.
    pub fn start(folder: &Path) -> Self {
        for name in ["host", "client", "stranger"] {
            make_key(&folder.join(name));
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // It wants this where it runs as root.
        drop(std::fs::create_dir_all("/run/sshd"));
        let authorized = folder.join("client.pub");
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"])
            .arg(folder.join("host"))
            .args([
                "-o",
                "ListenAddress=127.0.0.1",
                "-o",
                "StrictModes=no",
                "-o",
                "UsePAM=no",
            ])
            .args(["-o", "PidFile=none", "-o", "PermitRootLogin=yes", "-o"])
            .arg(format!("AuthorizedKeysFile={}", authorized.display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sshd = Self { port, child };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return sshd;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("sshd did not start");
    }

    /// Returns the line of known hosts for a public key.
    pub fn known(&self, public: &Path) -> String {
        let key = std::fs::read_to_string(public).unwrap();
        format!("[127.0.0.1]:{} {key}", self.port)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes an SSH key without a passphrase.
pub fn make_key(path: &Path) {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path);
    assert!(command.status().unwrap().success());
}

/// Returns the name of the user who runs the tests, as SSH wants it.
pub fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
