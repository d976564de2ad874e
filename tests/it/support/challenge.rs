//! The example challenge, served by the test itself.

#[path = "../../../examples/challenge/routes.rs"]
pub mod routes;
#[path = "../../../examples/challenge/token.rs"]
pub mod token;
#[path = "../../../examples/challenge/work.rs"]
pub mod work;

use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use routes::Challenge;
use token::Token;

/// A challenge that runs until it is dropped.
pub struct Running {
    pub base: String,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Starts one with a token from a file, if that is there.
    pub async fn start(slug: &str, token: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = routes::router(Arc::new(Challenge {
            slug: slug.to_owned(),
            version: "1.0.0".to_owned(),
            token: Token::find(token, None),
            board: Mutex::default(),
        }));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, task }
    }
}
