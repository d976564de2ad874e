//! A relay in front of PostgreSQL: it passes bytes on, slowly if told to, or ends every connection and takes
//! no more, as a server that stopped.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// How the relay treats what passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// At once.
    Pass,
    /// Each piece after this time.
    Slow(Duration),
    /// Nothing passes, and no connection ends.
    Silent,
}

/// A running relay; ends when dropped.
pub struct Relay {
    pub port: u16,
    upstream: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Relay {
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            upstream,
            manner: Arc::new(Mutex::new(Manner::Pass)),
            running: Mutex::new(None),
        };
        relay.serve(listener);
        relay
    }

    pub fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Ends every connection and takes no more: connecting is refused.
    pub fn stop(&self) {
        if let Some(running) = self.running.lock().unwrap().take() {
            running.abort();
        }
    }

    /// Takes connections again, at the same port.
    pub async fn start_again(&self) {
        self.set(Manner::Pass);
        for _ in 0..100 {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", self.port)).await {
                return self.serve(listener);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("port {} does not become free", self.port);
    }

    fn serve(&self, listener: TcpListener) {
        let (upstream, manner) = (self.upstream, self.manner.clone());
        let serve = async move {
            // Ends with the task that holds it, and its connections with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(client, upstream, manner.clone()));
            }
        };
        *self.running.lock().unwrap() = Some(tokio::spawn(serve));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn connect(client: TcpStream, upstream: SocketAddr, manner: Arc<Mutex<Manner>>) {
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::select! {
        () = pass(from_client, to_server, &manner) => {}
        () = pass(from_server, to_client, &manner) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, manner: &Mutex<Manner>) {
    let mut piece = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let now = *manner.lock().unwrap();
        match now {
            Manner::Pass => {}
            Manner::Slow(time) => tokio::time::sleep(time).await,
            Manner::Silent => std::future::pending().await,
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
