//! A server of the operator's that the program posts to: it keeps what comes, and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// One request that came.
#[derive(Clone, Debug)]
pub struct Posted {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Posted {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Default)]
struct Inner {
    posted: Vec<Posted>,
    /// Statuses of the next answers, with where they lead.
    answers: VecDeque<(u16, Option<String>)>,
}

/// A running server.
#[derive(Clone)]
pub struct Listener {
    pub address: String,
    inner: Arc<Mutex<Inner>>,
}

impl Listener {
    pub async fn start() -> Self {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = Self {
            address: format!("http://{}", socket.local_addr().unwrap()),
            inner: Arc::default(),
        };
        let router = Router::new().fallback(take).with_state(listener.clone());
        tokio::spawn(async move { axum::serve(socket, router).await });
        listener
    }

    /// Has the next request answered with this status; a redirect leads to `to`.
    pub fn answer(&self, status: u16, to: Option<&str>) {
        let answer = (status, to.map(str::to_owned));
        self.inner.lock().unwrap().answers.push_back(answer);
    }

    pub fn posted(&self) -> Vec<Posted> {
        self.inner.lock().unwrap().posted.clone()
    }

    /// Waits until a request came whose body holds this, and returns it.
    pub async fn until(&self, what: &str, holds: impl Fn(&Posted) -> bool) -> Posted {
        for _ in 0..300 {
            if let Some(found) = self.posted().into_iter().find(&holds) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let posted = self.posted();
        let bodies = posted.iter().map(|posted| (&posted.path, posted.json()));
        panic!("{what} was not posted: {:#?}", bodies.collect::<Vec<_>>());
    }
}

async fn take(
    State(listener): State<Listener>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut inner = listener.inner.lock().unwrap();
    inner.posted.push(Posted {
        path: uri.path().to_owned(),
        headers,
        body: body.to_vec(),
    });
    let (status, to) = inner.answers.pop_front().unwrap_or((200, None));
    let mut response = StatusCode::from_u16(status).unwrap().into_response();
    if let Some(to) = to {
        response
            .headers_mut()
            .insert("location", to.parse().unwrap());
    }
    response
}
