//! A proxy in front of the API server: it counts requests, and fails those it is told to.

use std::cmp::Ordering;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

/// What the proxy does instead of passing a request on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Answers this status without asking the server.
    Answer(u16),
    /// Never answers.
    Hang,
    /// Passes the request on after so many milliseconds.
    Slow(u64),
    /// Passes the request on and cuts the connection instead of answering: the write has happened.
    CutAfter,
    /// Passes the request on and never answers: the write has happened.
    HangAfter,
    /// Closes the connection without passing anything on.
    Cut,
    /// Passes the request on and sends the first half of the answer.
    Truncate,
    /// Passes the request on once [`Proxy::release`] says so, whatever has become of who sent it.
    Late,
    /// Passes the request on, and kills this process instead of answering it.
    KillAfter(u32),
}

/// Which requests a fault hits.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// `list`, `watch`, `get`, `dry-run`, `patch`, `json-patch`, `post`, `update`, `delete`, `delete-anything`;
    /// any when empty.
    pub verb: String,
    /// The plural of a kind, such as `secrets`; any when empty.
    pub resource: String,
    /// What the object's name begins with; any when empty.
    pub name: String,
    /// Only watches that go on from a version, and not those that begin with a list.
    pub goes_on: bool,
    /// Only the first so many, when not zero.
    pub times: usize,
}

/// One request as the proxy saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub verb: String,
    pub resource: String,
    pub name: String,
}

#[derive(Default)]
struct Inner {
    faults: Vec<(Match, Fault, usize)>,
    seen: Vec<Seen>,
    hits: usize,
    /// Ends the process of this id after so many requests were passed on.
    kill: Option<(usize, u32)>,
    /// Requests that are kept back.
    late: Vec<oneshot::Sender<oneshot::Sender<u16>>>,
    /// Ends every answer that streams.
    cut: Arc<Notify>,
    /// Holds every answer that streams.
    freeze: Arc<Notify>,
}

/// A running proxy.
#[derive(Clone)]
pub struct Proxy {
    pub address: String,
    inner: Arc<Mutex<Inner>>,
    upstream: Upstream,
}

#[derive(Clone)]
struct Upstream {
    server: String,
    client: reqwest::Client,
}

impl Proxy {
    /// Starts a proxy to the server of the test kubeconfig, without any credentials of its own.
    pub async fn start() -> Self {
        let server = super::cluster::of_kubeconfig()["server"].clone();
        let upstream = Upstream {
            server: server.as_str().unwrap().to_owned(),
            client: super::cluster::http_client().await,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Self {
            address,
            inner: Arc::default(),
            upstream,
        };
        let router = Router::new().fallback(pass).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    pub fn fail(&self, matching: Match, fault: Fault) {
        self.inner.lock().unwrap().faults.push((matching, fault, 0));
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.faults.clear();
        inner.kill = None;
    }

    /// Cuts every watch in the middle of its stream.
    pub fn cut_watches(&self) {
        self.inner.lock().unwrap().cut.notify_waiters();
    }

    /// Lets nothing more through of every watch there is, and ends none; those that are begun anew work.
    pub fn freeze_watches(&self) {
        self.inner.lock().unwrap().freeze.notify_waiters();
    }

    /// Returns how many requests were failed since the last call.
    pub fn take_hits(&self) -> usize {
        std::mem::take(&mut self.inner.lock().unwrap().hits)
    }

    /// Waits until a request was failed.
    pub async fn until_hit(&self) {
        for _ in 0..3000 {
            if self.inner.lock().unwrap().hits > 0 {
                self.take_hits();
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the request was not sent");
    }

    /// Lets late requests go to the server, and returns what it answered.
    pub async fn release(&self) -> Vec<u16> {
        let late = std::mem::take(&mut self.inner.lock().unwrap().late);
        let mut answers = Vec::new();
        for gate in late {
            let (tell, told) = oneshot::channel();
            gate.send(tell).unwrap();
            answers.push(told.await.unwrap());
        }
        answers
    }

    /// Keeps a request back. That its sender goes away does not end it.
    async fn pass_late(&self, parts: Parts, body: Bytes) -> Response {
        let (gate, opened) = oneshot::channel::<oneshot::Sender<u16>>();
        self.inner.lock().unwrap().late.push(gate);
        let upstream = self.upstream.clone();
        let late = tokio::spawn(async move {
            let tell = opened.await.unwrap();
            let answer = upstream.forward(parts, body).await;
            tell.send(answer.0.as_u16()).unwrap();
            answer
        });
        late.await.unwrap().into_response()
    }

    /// Ends a process by SIGKILL once this many requests from now have been passed on; the server carries out
    /// the last of them, and its answer comes too late.
    pub fn kill_after(&self, requests: usize, pid: u32) {
        let mut inner = self.inner.lock().unwrap();
        inner.seen.clear();
        inner.kill = Some((requests, pid));
    }

    /// Waits until a request of this verb was sent.
    pub async fn until_seen(&self, verb: &str) {
        for _ in 0..15_000 {
            if self
                .inner
                .lock()
                .unwrap()
                .seen
                .iter()
                .any(|seen| seen.verb == verb)
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        panic!("no {verb} was sent");
    }

    /// Returns the requests since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.inner.lock().unwrap().seen)
    }

    /// Passes an answer on as it comes, until it ends or is cut.
    async fn stream(&self, parts: Parts) -> Response {
        let answer = self.upstream.send(parts, Bytes::new()).await;
        let (status, headers) = Upstream::head(&answer);
        let (cut, freeze) = {
            let inner = self.inner.lock().unwrap();
            (inner.cut.clone(), inner.freeze.clone().notified_owned())
        };
        let cut = cut.notified_owned();
        // An error that is passed on closes the connection in the middle of the answer.
        let cut = futures::stream::once(cut).map(|()| Some(Err(std::io::Error::other("cut"))));
        let pieces = answer.bytes_stream().map_err(std::io::Error::other);
        let pieces = pieces
            .map(Some)
            .chain(futures::stream::once(async { None }))
            .take_until(freeze)
            .chain(futures::stream::pending());
        let open = futures::stream::select(pieces, cut)
            .take_while(|piece| std::future::ready(piece.is_some()))
            .filter_map(std::future::ready);
        (status, headers, Body::from_stream(open)).into_response()
    }

    fn note(&self, seen: &Seen, query: &str) -> Option<Fault> {
        let mut inner = self.inner.lock().unwrap();
        inner.seen.push(seen.clone());
        if let Some((requests, pid)) = inner.kill {
            match inner.seen.len().cmp(&requests.max(1)) {
                Ordering::Less => return None,
                Ordering::Equal if requests > 0 => return Some(Fault::KillAfter(pid)),
                Ordering::Equal => kill(pid),
                Ordering::Greater => {}
            }
            return Some(Fault::Hang);
        }
        let hit = inner.faults.iter_mut().find(|(matching, _, hits)| {
            (matching.verb.is_empty() || matching.verb == seen.verb)
                && (matching.resource.is_empty() || matching.resource == seen.resource)
                && seen.name.starts_with(&matching.name)
                && !(matching.goes_on && query.contains("sendInitialEvents"))
                && (matching.times == 0 || *hits < matching.times)
        })?;
        hit.2 += 1;
        let fault = hit.1;
        inner.hits += 1;
        Some(fault)
    }
}

fn kill(pid: u32) {
    let mut kill = std::process::Command::new("kill");
    // It may have ended by itself.
    drop(kill.args(["-9", &pid.to_string()]).output());
}

/// Reads verb, kind and name off a request. A delete that names neither identity nor version has a verb of its
/// own, and so has a JSON patch.
fn describe(parts: &Parts, body: &[u8]) -> Seen {
    let path = parts.uri.path();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_json_patch = parts
        .headers
        .get("content-type")
        .is_some_and(|kind| kind == "application/json-patch+json");
    let query = parts.uri.query().unwrap_or_default();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let from = if segments[0] == "api" { 2 } else { 3 };
    let rest = segments.get(from..).unwrap_or_default();
    let (resource, name) = match rest {
        ["namespaces", _, resource, name, ..] => (*resource, *name),
        ["namespaces", _, resource] => (*resource, ""),
        ["namespaces", name] => ("namespaces", *name),
        [resource, ..] => (*resource, ""),
        [] => ("", ""),
    };
    let preconditions = &body["preconditions"];
    let is_guarded =
        preconditions["uid"].is_string() && preconditions["resourceVersion"].is_string();
    let verb = match parts.method.as_str() {
        "GET" if query.contains("watch=") => "watch",
        "GET" if name.is_empty() => "list",
        "GET" => "get",
        "PATCH" if query.contains("dryRun") => "dry-run",
        "PATCH" if is_json_patch => "json-patch",
        "PATCH" => "patch",
        "POST" => "post",
        "DELETE" if is_guarded => "delete",
        "DELETE" => "delete-anything",
        "PUT" => "update",
        _ => "other",
    };
    // What is made is named in its body.
    let made = body["metadata"]["name"].as_str().filter(|_| verb == "post");
    Seen {
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        name: made.unwrap_or(name).to_owned(),
    }
}

async fn pass(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    let seen = describe(&parts, &body);
    let fault = proxy.note(&seen, parts.uri.query().unwrap_or_default());
    match fault {
        Some(Fault::Answer(code)) => return refusal(code),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Late) => return proxy.pass_late(parts, body).await,
        Some(Fault::Cut) => return cut(),
        Some(Fault::Slow(milliseconds)) => {
            tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        }
        Some(Fault::CutAfter | Fault::HangAfter | Fault::Truncate | Fault::KillAfter(_)) | None => {
        }
    }
    if seen.verb == "watch" && matches!(fault, None | Some(Fault::Slow(_))) {
        return proxy.stream(parts).await;
    }
    let (status, headers, body) = proxy.upstream.forward(parts, body).await;
    match fault {
        Some(Fault::CutAfter) => cut(),
        Some(Fault::HangAfter) => std::future::pending().await,
        Some(Fault::KillAfter(pid)) => {
            kill(pid);
            std::future::pending().await
        }
        Some(Fault::Truncate) => {
            let half = body.slice(..body.len() / 2);
            (status, headers, half).into_response()
        }
        _ => (status, headers, body).into_response(),
    }
}

fn refusal(code: u16) -> Response {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body: Value = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": "a fault that the test injected", "code": code,
    });
    let headers = [("content-type", "application/json"), ("retry-after", "0")];
    (
        StatusCode::from_u16(code).unwrap(),
        headers,
        body.to_string(),
    )
        .into_response()
}

/// An answer whose body ends in an error, which closes the connection.
fn cut() -> Response {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
    let mut response = Response::new(Body::from_stream(broken));
    response
        .headers_mut()
        .insert("content-length", "1000".parse().unwrap());
    response
}

impl Upstream {
    async fn forward(&self, parts: Parts, body: Bytes) -> (StatusCode, HeaderMap, Bytes) {
        let answer = self.send(parts, body).await;
        let (status, headers) = Self::head(&answer);
        (status, headers, answer.bytes().await.unwrap())
    }

    async fn send(&self, parts: Parts, body: Bytes) -> reqwest::Response {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = parts.headers;
        headers.remove("host");
        headers.remove("content-length");
        headers.remove("accept-encoding");
        let method = reqwest::Method::from_bytes(parts.method.as_str().as_bytes()).unwrap();
        let sent = self
            .client
            .request(method, format!("{}{path}", self.server))
            .headers(headers)
            .body(body);
        sent.send().await.expect("the API server answers the proxy")
    }

    fn head(answer: &reqwest::Response) -> (StatusCode, HeaderMap) {
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
        let mut headers = HeaderMap::new();
        for name in ["content-type", "retry-after"] {
            if let Some(value) = answer.headers().get(name) {
                headers.insert(name, value.clone());
            }
        }
        (status, headers)
    }
}
