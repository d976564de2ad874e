//! The client against a real HTTP server on this machine that behaves well, badly or not at all.

#![expect(
    clippy::disallowed_methods,
    reason = "each server is a task whose handle its test keeps"
)]

use std::sync::{Arc, Mutex, Once};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response as Answer, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const MANIFEST_BODY: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// A registry that ends with the test and keeps a line for each request: method, path, token.
struct Registry {
    host: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Registry {
    async fn start(
        answer: impl Fn(&str, &str) -> Answer<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = listen().await;
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let router = Router::new().fallback(move |request: Request| {
            let token = request.headers().get(header::AUTHORIZATION);
            let token = token.map_or("-", |value| value.to_str().unwrap());
            let line = format!("{} {}", request.method(), request.uri());
            log.lock().unwrap().push(format!("{line} {token}"));
            let answer = answer(&line, token);
            async move { answer }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, seen, task }
    }

    async fn digest(&self) -> Result<Digest, ImagesError> {
        ask(&format!("{}/o/d:1", self.host)).await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
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

/// A server that takes one connection after another, answers each with these bytes, and closes.
async fn raw(bytes: &'static str) -> (String, JoinHandle<()>) {
    let listener = listen().await;
    let host = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let _read = stream.read(&mut request).await.unwrap();
            let bytes = if request.starts_with(b"HEAD") {
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n"
            } else {
                bytes
            };
            stream.write_all(bytes.as_bytes()).await.unwrap();
        }
    });
    (host, task)
}

async fn ask(image: &str) -> Result<Digest, ImagesError> {
    let registry = HttpRegistry {
        http: Http::default(),
        deadline: Duration::from_secs(2),
    };
    registry.digest(&ImageRef::parse(image).unwrap()).await
}

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

fn hash(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text)))
}

fn status(code: u16) -> Answer<Body> {
    Answer::builder().status(code).body(Body::empty()).unwrap()
}

fn with(code: u16, name: &str, value: &str, body: impl Into<Body>) -> Answer<Body> {
    let answer = Answer::builder().status(code).header(name, value);
    answer.body(body.into()).unwrap()
}

fn why(result: Result<Digest, ImagesError>) -> String {
    match result.unwrap_err() {
        ImagesError::BadAnswer { why, .. } => format!("bad: {why}"),
        ImagesError::Unreachable { why, .. } => format!("away: {why}"),
        ImagesError::NotFound { .. } => "not found".to_owned(),
        ImagesError::Denied { .. } => "denied".to_owned(),
    }
}

#[tokio::test]
async fn a_tag_is_one_head_request() {
    let registry =
        Registry::start(|_, _| with(200, DIGEST_HEADER, &digest("a"), Body::empty())).await;
    assert_eq!(registry.digest().await.unwrap().as_str(), digest("a"));
    assert_eq!(registry.seen(), ["HEAD /v2/o/d/manifests/1 -"]);
}

#[tokio::test]
async fn an_image_with_a_digest_asks_nobody() {
    let image = format!("127.0.0.1:1/o/d:1@{}", digest("b"));
    assert_eq!(ask(&image).await.unwrap().as_str(), digest("b"));
}

#[tokio::test]
async fn a_token_is_fetched_from_the_realm_and_sent_to_the_registry_only() {
    let tokens = Registry::start(|_, _| status_json(r#"{"access_token":"t0ken"}"#)).await;
    let realm = format!(
        r#"Bearer realm="http://{}/token?a=b",service="s",scope="repository:o/d:pull""#,
        tokens.host
    );
    let registry = Registry::start(move |_, token| match token {
        "Bearer t0ken" => with(200, DIGEST_HEADER, &digest("a"), Body::empty()),
        _ => with(401, "www-authenticate", &realm, Body::empty()),
    })
    .await;
    assert_eq!(registry.digest().await.unwrap().as_str(), digest("a"));
    let path = "HEAD /v2/o/d/manifests/1";
    assert_eq!(
        registry.seen(),
        [format!("{path} -"), format!("{path} Bearer t0ken")]
    );
    assert_eq!(
        tokens.seen(),
        ["GET /token?a=b&service=s&scope=repository%3Ao%2Fd%3Apull -"]
    );
}

fn status_json(body: &'static str) -> Answer<Body> {
    with(200, "content-type", JSON, body)
}

#[tokio::test]
async fn a_token_that_does_not_help_is_asked_for_once() {
    let tokens = Registry::start(|_, _| status_json(r#"{"token":"x"}"#)).await;
    let realm = format!(r#"Bearer realm="http://{}/""#, tokens.host);
    let registry =
        Registry::start(move |_, _| with(401, "www-authenticate", &realm, Body::empty())).await;
    assert_eq!(why(registry.digest().await), "denied");
    assert_eq!((registry.seen().len(), tokens.seen().len()), (2, 1));
}

#[tokio::test]
async fn answers_that_are_no_token_are_told_apart() {
    let cases: [(u16, &'static str, &str); 8] = [
        (200, "", "bad: its token cannot be read"),
        (200, "{}", "bad: its token cannot be read"),
        (200, r#"{"token":""}"#, "bad: its token cannot be read"),
        (
            200,
            r#"{"token":"a\r\nb: c"}"#,
            "bad: its token cannot be read",
        ),
        (401, "", "denied"),
        (403, "", "denied"),
        (404, "", "bad: its token address answered 404"),
        (503, "", "away: it answered 503"),
    ];
    for (code, body, expected) in cases {
        let tokens = Registry::start(move |_, _| with(code, "x-a", "b", body)).await;
        let realm = format!(r#"Bearer realm="http://{}/""#, tokens.host);
        let registry = Registry::start(move |_, _| with(401, "www-authenticate", &realm, "")).await;
        assert_eq!(why(registry.digest().await), expected, "{code} {body}");
    }
}

#[tokio::test]
async fn a_registry_without_a_token_address_is_denied_or_refused() {
    for (value, expected) in [
        ("Basic realm=\"x\"", "denied"),
        (
            "Bearer realm=\"http://auth.example/t\"",
            "bad: it names a token address that is not asked",
        ),
    ] {
        let registry = Registry::start(move |_, _| with(401, "www-authenticate", value, "")).await;
        assert_eq!(why(registry.digest().await), expected);
        assert_eq!(registry.seen().len(), 1);
    }
}

#[tokio::test]
async fn without_a_sha256_header_the_manifest_is_hashed() {
    let sha512 = format!("sha512:{}", "a".repeat(128));
    for told in [sha512, "sha256:abc".to_owned(), String::new()] {
        let registry =
            Registry::start(move |_, _| with(200, DIGEST_HEADER, &told, MANIFEST_BODY)).await;
        let found = registry.digest().await.unwrap();
        assert_eq!(found.as_str(), hash(MANIFEST_BODY));
        assert_eq!(registry.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_registry_that_knows_no_head_is_asked_for_the_manifest() {
    let registry = Registry::start(|line, _| match line.starts_with("HEAD") {
        true => status(405),
        false => status_json(MANIFEST_BODY),
    })
    .await;
    let found = registry.digest().await.unwrap();
    assert_eq!(found.as_str(), hash(MANIFEST_BODY));
}

#[tokio::test]
async fn a_manifest_that_is_not_what_its_digest_names_is_refused() {
    let registry = Registry::start(|line, _| match line.starts_with("HEAD") {
        true => status(200),
        false => with(200, DIGEST_HEADER, &digest("a"), MANIFEST_BODY),
    })
    .await;
    assert_eq!(
        why(registry.digest().await),
        "bad: the manifest is not the one its digest names"
    );
}

#[tokio::test]
async fn a_page_of_another_kind_is_not_hashed() {
    for (body, expected) in [
        ("<html>log in</html>", "bad: the manifest cannot be read"),
        ("{}", "bad: the manifest cannot be read"),
        (
            r#"{"schemaVersion":1}"#,
            "bad: the manifest is not of version 2",
        ),
    ] {
        let registry = Registry::start(move |_, _| status_json(body)).await;
        assert_eq!(why(registry.digest().await), expected);
    }
}

#[tokio::test]
async fn a_huge_manifest_is_not_read_to_its_end() {
    let announced = Registry::start(|_, _| with(200, "x-a", "b", vec![b' '; fetch::MAX_BODY + 1]));
    let chunked = Registry::start(|_, _| {
        let chunk = || Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]);
        let endless = futures::stream::repeat_with(chunk);
        Answer::new(Body::from_stream(endless))
    });
    for registry in [announced.await, chunked.await] {
        assert_eq!(why(registry.digest().await), "bad: more than 4194304 bytes");
    }
}

#[tokio::test]
async fn status_codes_say_what_is_wrong() {
    for (code, expected) in [
        (403, "denied"),
        (404, "not found"),
        (400, "bad: it answered 400"),
        (500, "bad: it answered 500"),
        (204, "bad: it answered 204"),
        (429, "away: it answered 429"),
        (503, "away: it answered 503"),
    ] {
        let registry = Registry::start(move |_, _| status(code)).await;
        assert_eq!(why(registry.digest().await), expected);
        assert_eq!(registry.seen().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn redirects_end_after_three() {
    let registry = Registry::start(|_, _| with(307, "location", "/v2/again", "")).await;
    assert_eq!(why(registry.digest().await), "bad: too many redirects");
    assert_eq!(registry.seen().len(), 4);
}

#[tokio::test]
async fn redirects_leave_neither_the_scheme_nor_this_machine() {
    for to in [
        "https://127.0.0.1:1/",
        "http://registry.example/",
        "http://u:p@127.0.0.1:1/",
    ] {
        let registry = Registry::start(move |_, _| with(302, "location", to, "")).await;
        assert_eq!(
            why(registry.digest().await),
            "bad: a redirect to an address that is not asked",
            "{to}"
        );
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_does_not_take_the_token_along() {
    let mirror =
        Registry::start(|_, _| with(200, DIGEST_HEADER, &digest("c"), Body::empty())).await;
    let (tokens, to) = (
        Registry::start(|_, _| status_json(r#"{"token":"t0ken"}"#)).await,
        format!("http://{}/m", mirror.host),
    );
    let realm = format!(r#"Bearer realm="http://{}/""#, tokens.host);
    let registry = Registry::start(move |_, token| match token {
        "-" => with(401, "www-authenticate", &realm, ""),
        _ => with(307, "location", &to, ""),
    })
    .await;
    assert_eq!(registry.digest().await.unwrap().as_str(), digest("c"));
    assert_eq!(mirror.seen(), ["HEAD /m -"]);
}

#[tokio::test]
async fn a_silent_server_is_left_at_the_deadline() {
    let listener = listen().await;
    let image = format!("{}/o/d:1", listener.local_addr().unwrap());
    assert_eq!(why(ask(&image).await), "away: no answer within 2s");
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = listen().await;
    let image = format!("{}/o/d:1", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(
        why(ask(&image).await).split('(').next(),
        Some("away: Connection refused ")
    );
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_not_hashed() {
    let (host, task) = raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 999\r\nconnection: close\r\n\r\n{\"schemaVersion\":2}",
    )
    .await;
    let found = why(ask(&format!("{host}/o/d:1")).await);
    assert!(found.starts_with("bad: the answer was cut"), "{found}");
    task.abort();
}

#[tokio::test]
async fn a_body_longer_than_announced_is_not_hashed() {
    let (host, task) = raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{\"schemaVersion\":2}",
    )
    .await;
    assert_eq!(
        why(ask(&format!("{host}/o/d:1")).await),
        "bad: the manifest cannot be read"
    );
    task.abort();
}

#[tokio::test]
async fn something_that_speaks_no_http_is_unreachable() {
    let listener = listen().await;
    let host = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        }
    });
    let found = why(ask(&format!("{host}/o/d:1")).await);
    assert!(found.starts_with("away: "), "{found}");
    task.abort();
}
