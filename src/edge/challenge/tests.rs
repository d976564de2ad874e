//! The client against real servers on this machine that behave well, badly or not at all.

#![expect(
    clippy::disallowed_methods,
    reason = "each server is a task whose handle its test keeps"
)]

use std::io::Write as _;
use std::sync::{Arc, Mutex, Once};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response as Answer;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const CANARY: &str = "canary-7f3a91c2-do-not-show";

/// A server that ends with the test and keeps the requests it got.
struct Server {
    place: Place,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(answer: impl Fn() -> Answer<Body> + Clone + Send + Sync + 'static) -> Self {
        let listener = listen().await;
        let place = place(&listener, "");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            log.lock().unwrap().push(request);
            let answer = answer();
            async move { answer }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { place, seen, task }
    }

    async fn ask(&self) -> Result<Vec<u8>, Failure> {
        ask(&self.place).await
    }
}

/// Takes one connection after another, reads one request, sends these bytes, and does not close.
async fn raw(bytes: Vec<u8>) -> (Place, JoinHandle<()>) {
    let listener = listen().await;
    let place = place(&listener, "");
    let task = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let _read = stream.read(&mut request).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            open.push(stream);
        }
    });
    (place, task)
}

async fn listen() -> TcpListener {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
    });
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn place(listener: &TcpListener, path: &str) -> Place {
    Place {
        slug: Slug::parse("demo").unwrap(),
        base: format!("http://{}{path}", listener.local_addr().unwrap()),
    }
}

/// Far more than an answer takes here.
const PATIENCE: Duration = Duration::from_secs(40);

fn client() -> HttpChallenges {
    client_within(PATIENCE)
}

fn client_within(attempt: Duration) -> HttpChallenges {
    HttpChallenges::new(Limits {
        attempt,
        body: 1 << 20,
        ..Limits::default()
    })
}

async fn ask(place: &Place) -> Result<Vec<u8>, Failure> {
    ask_with(place, CANARY).await
}

async fn ask_with(place: &Place, token: &str) -> Result<Vec<u8>, Failure> {
    let answered = client()
        .get_weights(place, &Secret::new(token.to_owned()))
        .await;
    answered.map(super::Body::into_bytes)
}

fn with(code: u16, name: &str, value: &str, body: impl Into<Body>) -> Answer<Body> {
    let answer = Answer::builder().status(code).header(name, value);
    answer.body(body.into()).unwrap()
}

fn ok(body: impl Into<Body>) -> Answer<Body> {
    Answer::new(body.into())
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn scores_are_asked_for_with_token_and_slug() {
    let server = Server::start(|| ok("{}")).await;
    assert_eq!(server.ask().await.unwrap(), b"{}");
    let seen = server.seen.lock().unwrap();
    let [request] = seen.as_slice() else {
        panic!("{} requests", seen.len());
    };
    assert_eq!(request.uri(), "/internal/v1/get_weights");
    let header = |name: &str| request.headers()[name].to_str().unwrap();
    assert_eq!(header("authorization"), format!("Bearer {CANARY}"));
    assert_eq!(header("x-platform-challenge-slug"), "demo");
    assert_eq!(header("accept"), "application/json");
}

#[tokio::test]
async fn health_and_version_are_asked_for_without_the_token() {
    let server = Server::start(|| ok("{}")).await;
    client().get_health(&server.place).await.unwrap();
    client().get_version(&server.place).await.unwrap();
    let seen = server.seen.lock().unwrap();
    let paths: Vec<_> = seen.iter().map(|request| request.uri().path()).collect();
    assert_eq!(paths, ["/health", "/version"]);
    assert!(
        seen.iter()
            .all(|request| !request.headers().contains_key("authorization"))
    );
}

#[tokio::test]
async fn what_is_asked_for_is_below_the_declared_address() {
    let mut server = Server::start(|| ok("{}")).await;
    server.place.base += "/deep/";
    server.ask().await.unwrap();
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].uri(), "/deep/internal/v1/get_weights");
}

#[tokio::test]
async fn every_status_but_success_is_told_and_no_redirect_followed() {
    let elsewhere = Server::start(|| ok("{}")).await;
    let to = format!("{}/internal/v1/get_weights", elsewhere.place.base);
    for code in [301, 302, 303, 307, 308, 401, 404, 429, 500, 503] {
        let to = to.clone();
        let server = Server::start(move || with(code, "location", &to, "{}")).await;
        let failure = server.ask().await.unwrap_err();
        assert_eq!(failure.to_string(), format!("http {code}"));
        assert_eq!(server.seen.lock().unwrap().len(), 1);
    }
    assert!(elsewhere.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_may_be_as_long_as_the_limit_and_no_longer() {
    let limit = 1 << 20;
    let server = Server::start(move || ok(vec![b' '; limit])).await;
    assert_eq!(server.ask().await.unwrap().len(), limit);
    let announced = Server::start(move || ok(vec![b' '; limit + 1])).await;
    let endless = Server::start(|| {
        let chunk = || Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]);
        ok(Body::from_stream(futures::stream::repeat_with(chunk)))
    });
    for server in [announced, endless.await] {
        assert_eq!(server.ask().await, Err(Failure::TooLarge));
    }
    let server = Server::start(move || ok(vec![b' '; MAX_NOTICE + 1])).await;
    let health = client().get_health(&server.place).await;
    assert_eq!(health, Err(Failure::TooLarge));
}

#[tokio::test]
async fn a_packed_body_is_measured_as_it_unpacks() {
    let limit = 1 << 20;
    let fits = packed(&vec![b'x'; limit]);
    let server = Server::start(move || with(200, "content-encoding", "gzip", fits.clone())).await;
    assert_eq!(server.ask().await.unwrap(), vec![b'x'; limit]);
    let bomb = packed(&vec![b'x'; limit + 1]);
    let two = [packed(&vec![b'x'; limit]), packed(b"x")].concat();
    let nothing: Vec<u8> = packed(b"").repeat(limit / 20 + 1);
    for bytes in [bomb, two, nothing] {
        let server = Server::start(move || with(200, "content-encoding", "gzip", bytes.clone()));
        assert_eq!(server.await.ask().await, Err(Failure::TooLarge));
    }
}

#[tokio::test]
async fn a_body_that_is_packed_badly_or_otherwise_is_refused() {
    let whole = packed(b"{\"weights\":{}}");
    let mut wrong = whole.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let cut = whole[..whole.len() - 4].to_vec();
    for bytes in [b"{}".to_vec(), wrong, cut, Vec::new()] {
        let server = Server::start(move || with(200, "content-encoding", "gzip", bytes.clone()));
        assert_eq!(server.await.ask().await, Err(Failure::InvalidPayload));
    }
    for encoding in ["br", "gzip, gzip", "deflate", ""] {
        let server = Server::start(move || with(200, "content-encoding", encoding, "{}")).await;
        assert_eq!(
            server.ask().await,
            Err(Failure::InvalidPayload),
            "{encoding}"
        );
    }
}

#[tokio::test]
async fn an_attempt_ends_in_time_however_slowly_it_is_answered() {
    // The system takes the connection, and nobody answers on it.
    let silent = listen().await;
    let silent = (
        place(&silent, ""),
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(silent);
        }),
    );
    let head = b"HTTP/1.1 200 OK\r\n".to_vec();
    let body = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_vec();
    let listener = listen().await;
    let drip = place(&listener, "");
    let dripping = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 2048];
        let _read = stream.read(&mut request).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            .await
            .unwrap();
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    for (place, task) in [silent, raw(head).await, raw(body).await, (drip, dripping)] {
        let (began, short) = (Instant::now(), client_within(Duration::from_secs(1)));
        let token = Secret::new(CANARY.to_owned());
        let asked = short.get_weights(&place, &token).await;
        assert_eq!(asked.map(|body| body.len()), Err(Failure::Timeout));
        assert!(began.elapsed() < PATIENCE / 2);
        task.abort();
    }
}

#[tokio::test]
async fn a_connection_that_fails_is_told_from_one_that_answers() {
    let closed = listen().await;
    let place_of_closed = place(&closed, "");
    drop(closed);
    assert_eq!(ask(&place_of_closed).await, Err(Failure::Transport));
    let (cut, task) = {
        let listener = listen().await;
        let place = place(&listener, "");
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 2048];
            let _read = stream.read(&mut request).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}";
            stream.write_all(answer).await.unwrap();
        });
        (place, task)
    };
    assert_eq!(ask(&cut).await, Err(Failure::Transport));
    task.abort();
    let (other, task) = raw(b"SSH-2.0-x\r\n".to_vec()).await;
    assert_eq!(ask(&other).await, Err(Failure::Transport));
    let tls = Place {
        base: other.base.replace("http:", "https:"),
        ..other
    };
    assert_eq!(ask(&tls).await, Err(Failure::Transport));
    task.abort();
}

#[tokio::test]
async fn no_token_and_no_address_ask_nobody() {
    let server = Server::start(|| ok("{}")).await;
    for token in ["", " \n", "a\r\nb", "a\u{0}b"] {
        assert_eq!(ask_with(&server.place, token).await, Err(Failure::NoToken));
    }
    for base in [
        "",
        "demo",
        "ftp://demo",
        "file:///etc",
        "http://",
        "http://me:pw@127.0.0.1:1",
        "http://127.0.0.1:1/?a=",
    ] {
        let place = Place {
            base: base.to_owned(),
            ..server.place.clone()
        };
        assert_eq!(ask(&place).await, Err(Failure::Unreachable), "{base}");
    }
    assert!(server.seen.lock().unwrap().is_empty());
    // An editor's line break is no part of a token.
    ask_with(&server.place, "t\n").await.unwrap();
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].headers()["authorization"], "Bearer t");
}

/// Sends this many bytes in pieces of unknown number, and then one every now and then, or ends.
fn sends(bytes: usize, dribbles: bool) -> Answer<Body> {
    let piece = |size: usize| Ok::<_, std::io::Error>(vec![b' '; size]);
    let pieces = futures::stream::iter((0..bytes / PIECE).map(move |_| piece(PIECE)));
    let dribble = futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        dribbles.then(|| (piece(1), ()))
    });
    ok(Body::from_stream(pieces.chain(dribble)))
}

const PIECE: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_dribble_cost_others_a_turn_and_never_take_more_than_there_is() {
    const LARGE: usize = 4 << 20;
    const SMALL: usize = 512 * 1024;
    let mut servers = Vec::new();
    for _ in 0..5 {
        servers.push(Server::start(|| sends(LARGE - PIECE, true)).await);
    }
    for _ in 0..3 {
        servers.push(Server::start(|| sends(LARGE - PIECE, false)).await);
    }
    for _ in 0..3 {
        servers.push(Server::start(|| ok(" ".repeat(SMALL))).await);
    }
    let client = HttpChallenges::new(Limits {
        // Three turns are over after three seconds, also where much else goes on.
        attempt: Duration::from_secs(10),
        body: LARGE,
        room: 2 * LARGE,
    });
    let token = Secret::new(CANARY.to_owned());
    let ask = async |server: &Server| {
        let body = client.get_weights(&server.place, &token).await?;
        let bytes = body.into_bytes();
        assert!(bytes.capacity() <= LARGE, "{}", bytes.capacity());
        Ok(bytes.len())
    };
    let mut most = 0;
    let watching = async {
        loop {
            most = most.max(client.room.taken());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let asking = futures::future::join_all(servers.iter().map(ask));
    let sizes: Vec<Result<usize, Failure>> = tokio::select! {
        sizes = asking => sizes,
        () = watching => unreachable!("it goes on"),
    };
    assert_eq!(sizes[..5], vec![Err(Failure::Timeout); 5]);
    assert_eq!(sizes[5..8], vec![Ok(LARGE - PIECE); 3]);
    assert_eq!(sizes[8..], vec![Ok(SMALL); 3]);
    assert!(LARGE < most && most <= 2 * LARGE, "{most}");
    assert_eq!(client.room.taken(), 0);
}

#[tokio::test]
async fn a_large_body_is_read_whole_however_it_is_packed() {
    let limits = Limits {
        attempt: Duration::from_secs(10),
        body: 4 << 20,
        room: 0,
    };
    let mut text = vec![b' '; limits.body];
    for (at, byte) in text.iter_mut().enumerate() {
        *byte = b'a' + (at * at % 23) as u8;
    }
    let (whole, bytes) = (text.clone(), packed(&text));
    let servers = [
        Server::start(move || ok(whole.clone())).await,
        Server::start(move || with(200, "content-encoding", "gzip", bytes.clone())).await,
    ];
    let client = HttpChallenges::new(limits);
    for server in servers {
        let token = Secret::new(CANARY.to_owned());
        let body = client.get_weights(&server.place, &token).await.unwrap();
        assert!(*body == *text);
        assert_eq!(client.room.taken(), limits.body, "there is room for one");
    }
    assert_eq!(client.room.taken(), 0);
}
