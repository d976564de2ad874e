//! Clients that are slow, silent or too many, on real sockets: each test sets the one limit that it is about, and leaves
//! the others so long that they say nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// What no test waits for.
const NEVER: Duration = Duration::from_secs(3600);
/// The longest that is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// A limit that is to be met.
const SOON: Duration = Duration::from_millis(200);
/// More than all buffers between two ends of a connection hold.
const LARGE: usize = 64 << 20;

const UNBOUNDED: Limits = Limits {
    connections: 8,
    head: NEVER,
    answer: NEVER,
    stall: NEVER,
    grace: NEVER,
};

/// Bytes that are counted once nobody holds them any more.
struct Held(Arc<AtomicUsize>, Vec<u8>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A listener with a few routes.
struct Served {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    /// Large bodies that nobody holds any more.
    gone: Arc<AtomicUsize>,
    /// Told once `/large` or `/wait` is asked for.
    asked: Arc<Notify>,
    /// Lets `/wait` answer.
    go: Arc<Notify>,
    task: JoinHandle<()>,
}

async fn start(limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (gone, asked, go) = <(Arc<AtomicUsize>, Arc<Notify>, Arc<Notify>)>::default();
    let large = {
        let (gone, asked) = (gone.clone(), asked.clone());
        async move || {
            asked.notify_one();
            Bytes::from_owner(Held(gone, vec![0; LARGE]))
        }
    };
    let wait = {
        let (go, asked) = (go.clone(), asked.clone());
        async move || {
            asked.notify_one();
            go.notified().await;
            "waited"
        }
    };
    let routes = Router::new()
        .route("/small", get(async || "small"))
        .route("/large", get(large))
        .route("/wait", get(wait))
        .route("/take", post(async |body: Bytes| body));
    #[expect(clippy::disallowed_methods, reason = "the handle is kept")]
    let task = tokio::spawn(serve(listener, routes, limits, stop.clone()));
    Served {
        address,
        stop,
        gone,
        asked,
        go,
        task,
    }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn until_gone(&self) {
        let reached = async {
            while self.gone.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        in_time(reached).await;
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it comes in time")
}

/// Reads until the other side closes.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // One that was cut may say so.
    drop(in_time(stream.read_to_end(&mut bytes)).await);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until an answer ends with this, and leaves the connection open.
async fn until_said(stream: &mut TcpStream, end: &str) {
    let mut text = String::new();
    let reading = async {
        while !text.ends_with(end) {
            let byte = stream.read_u8().await.expect("an answer");
            text.push(char::from(byte));
        }
    };
    in_time(reading).await;
}

#[tokio::test]
async fn who_does_not_end_the_head_of_a_request_is_cut_off() {
    let served = start(Limits {
        head: SOON,
        ..UNBOUNDED
    })
    .await;
    let mut slow = served.connect().await;
    slow.write_all(b"GET /small HTTP/1.1\r\nx-slow:")
        .await
        .unwrap();
    assert_eq!(rest_of(&mut slow).await, "");
    until_said(&mut served.ask("/small").await, "small").await;
}

#[tokio::test]
async fn who_asks_nothing_more_is_cut_off() {
    let served = start(Limits {
        head: SOON,
        ..UNBOUNDED
    })
    .await;
    let mut idle = served.ask("/small").await;
    until_said(&mut idle, "small").await;
    assert_eq!(rest_of(&mut idle).await, "");
}

#[tokio::test]
async fn who_does_not_send_the_body_is_answered_that_it_took_too_long() {
    let served = start(Limits {
        answer: SOON,
        ..UNBOUNDED
    })
    .await;
    let mut slow = served.connect().await;
    let head = b"POST /take HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nhalf";
    slow.write_all(head).await.unwrap();
    let answer = rest_of(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_most_wait_and_are_served_then() {
    let served = start(Limits {
        connections: 2,
        ..UNBOUNDED
    })
    .await;
    let mut open = [served.ask("/small").await, served.ask("/small").await];
    for stream in &mut open {
        until_said(stream, "small").await;
    }
    let mut third = served.ask("/small").await;
    let early = tokio::time::timeout(SOON, third.read_u8()).await;
    assert!(early.is_err(), "it is served beyond the most");
    let [first, second] = open;
    drop(first);
    until_said(&mut third, "small").await;
    drop((second, third));
    until_said(&mut served.ask("/small").await, "small").await;
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_holds_it_for_a_while_only() {
    let served = start(Limits {
        stall: SOON,
        ..UNBOUNDED
    })
    .await;
    let silent = served.ask("/large").await;
    served.until_gone().await;
    until_said(&mut served.ask("/small").await, "small").await;
    drop(silent);
}

#[tokio::test]
async fn who_takes_all_of_an_answer_gets_it() {
    let served = start(UNBOUNDED).await;
    let mut stream = served.ask("/large").await;
    let (mut taken, mut buffer) = (0, vec![0; 1 << 20]);
    while taken < LARGE {
        taken += in_time(stream.read(&mut buffer)).await.unwrap();
    }
    drop(stream);
    served.until_gone().await;
}

#[tokio::test]
async fn who_takes_nothing_holds_up_no_end() {
    let served = start(Limits {
        grace: SOON,
        ..UNBOUNDED
    })
    .await;
    let silent = served.ask("/large").await;
    let half = served.connect().await;
    in_time(served.asked.notified()).await;
    served.stop.cancel();
    in_time(served.task).await.unwrap();
    assert_eq!(served.gone.load(Ordering::SeqCst), 1);
    drop((silent, half));
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() {
    let served = start(UNBOUNDED).await;
    let mut waiting = served.ask("/wait").await;
    let mut idle = served.ask("/small").await;
    until_said(&mut idle, "small").await;
    in_time(served.asked.notified()).await;
    served.stop.cancel();
    // One that is idle is closed at once.
    assert_eq!(rest_of(&mut idle).await, "");
    served.go.notify_one();
    let answer = rest_of(&mut waiting).await;
    assert!(answer.ends_with("waited"), "{answer}");
    in_time(served.task).await.unwrap();
}
