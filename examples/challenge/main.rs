//! A whole challenge, small enough to be read at once. Miners look for numbers whose hash begins with many
//! zeros (`work.rs`); the platform asks for the scores (`routes.rs`) with a token that nobody else has
//! (`token.rs`). `docs/challenge.md` says what a challenge has to offer and why.
//!
//! ```text
//! PLATFORM_CHALLENGE_SLUG=demo CHALLENGE_SHARED_TOKEN=secret CHALLENGE_PORT=8000 \
//!     cargo run --example challenge
//! ```

mod routes;
mod token;
mod work;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use routes::Challenge;
use token::Token;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let host = setting("CHALLENGE_HOST").unwrap_or_else(|| "0.0.0.0".to_owned());
    let port = setting("CHALLENGE_PORT").unwrap_or_else(|| "8000".to_owned());
    let slug = setting("PLATFORM_CHALLENGE_SLUG").or_else(|| setting("CHALLENGE_SLUG"));
    let challenge = Challenge {
        slug: slug.context("PLATFORM_CHALLENGE_SLUG is not set")?,
        version: setting("CHALLENGE_VERSION").unwrap_or_else(|| "1.0.0".to_owned()),
        token: Token::find(
            setting("CHALLENGE_SHARED_TOKEN_FILE"),
            setting("CHALLENGE_SHARED_TOKEN"),
        ),
        board: std::sync::Mutex::default(),
    };
    let listener = TcpListener::bind(format!("{host}:{port}")).await?;
    tracing::info!(slug = challenge.slug, address = %listener.local_addr()?, "listening");
    let router = routes::router(Arc::new(challenge));
    let mut ended = signal(SignalKind::terminate())?;
    // The first process of a container gets no default for SIGTERM, and would be killed after the grace.
    let ended = async move {
        ended.recv().await;
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(ended)
        .await?;
    Ok(())
}

/// Returns a setting; one that is empty is as good as not there.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the settings are read"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
