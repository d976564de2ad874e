//! Whoever connects: serves routes over HTTP/1, within bounds. Sole user of `hyper`.
//!
//! A client can be slow, silent or hostile, and there may be many of it. So each thing that is waited for has an end:
//! the head of a request, the answer to it, a client that takes too little of an answer, and what is under way when the
//! process is to end. Connections beyond the most that are served at a time wait, unaccepted, in the queue of the
//! system, which has an end too; a place becomes free within the time that an idle connection may stay.

mod paced;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::paced::Paced;

/// The pause after no connection could be accepted, for want of file handles mostly.
const PAUSE: Duration = Duration::from_secs(1);

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; others wait until one has ended.
    pub connections: usize,
    /// How long a request may take to come, up to the end of its head, counted from the answer before it. So it is
    /// also how long a connection may be idle.
    pub head: Duration,
    /// How long an answer may take to be there, counted from the end of the head: with the body of the request.
    pub answer: Duration,
    /// How long a client may take less than 64 KiB of an answer that has more.
    pub stall: Duration,
    /// How long what is under way may take to end once the process is to end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Half of the files that a process may have open where nobody has set another number.
            connections: 512,
            head: Duration::from_secs(30),
            // The longest call to the database takes 20 seconds.
            answer: Duration::from_secs(25),
            stall: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}

/// Serves until told to stop; lets what is under way end within the grace, and closes what is left.
pub async fn serve(listener: TcpListener, routes: Router, limits: Limits, stop: CancellationToken) {
    // What is dropped is ended.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = connections.join_next() => {}
            stream = accept(&listener), if connections.len() < limits.connections => {
                connections.spawn(serve_one(stream, routes.clone(), limits, stop.clone()));
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Tells whether a client was gone before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

async fn serve_one(stream: TcpStream, routes: Router, limits: Limits, stop: CancellationToken) {
    // Without it the end of a long answer waits for a word of the client; it works all the same.
    drop(stream.set_nodelay(true));
    let io = TokioIo::new(Paced::new(stream, limits.stall));
    let routes = TowerToHyperService::new(routes);
    let within = service_fn(|request| answer(&routes, request, limits.answer));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(io, within);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        // How a client leaves is its own affair.
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    drop(tokio::time::timeout(limits.grace, connection).await);
}

/// Returns the answer of the routes, or that there was none in time.
fn answer(
    routes: &TowerToHyperService<Router>,
    request: Request<Incoming>,
    limit: Duration,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
    let answering = routes.call(request);
    async move {
        match tokio::time::timeout(limit, answering).await {
            Ok(answer) => answer,
            Err(_) => Ok(too_slow()),
        }
    }
}

fn too_slow() -> Response<Body> {
    let detail = json!({"detail": "The request took too long"});
    let close = [(header::CONNECTION, "close")];
    (StatusCode::REQUEST_TIMEOUT, close, Json(detail)).into_response()
}

#[cfg(test)]
mod tests;
