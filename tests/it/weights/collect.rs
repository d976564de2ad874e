//! Challenges that behave badly, over real HTTP: each costs its own scores, and no other's.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use platform::edge::challenge::{HttpChallenges, Limits, Place};
use platform::model::{Emission, Secret, Slug};
use platform::weights::collect::{Collected, Patience, Subject, collect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::challenge::Running;
use crate::support::cluster::install_tls;
use crate::support::world::CANARY;

/// Time enough for whoever answers at once, on a machine that has much else to do.
const LIMITS: Limits = Limits {
    attempt: Duration::from_secs(5),
    body: 16 << 20,
    room: 48 << 20,
};
/// A limit that is reached long before the time of an attempt is over.
const FEW_BYTES: usize = 2 << 20;
const PATIENCE: Patience = Patience {
    attempts: 3,
    attempt: LIMITS.attempt,
};

/// Servers that end with the test.
#[derive(Default)]
pub(super) struct Servers {
    tasks: JoinSet<()>,
    pub(super) subjects: Vec<Subject>,
}

impl Servers {
    async fn listen(&mut self, slug: &str) -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        self.add(slug, base);
        listener
    }

    pub(super) fn add(&mut self, slug: &str, base: String) {
        self.subjects.push(Subject {
            place: Place {
                slug: Slug::parse(slug).unwrap(),
                base,
            },
            emission: Emission::parse("1").unwrap(),
            token: Some(Secret::new(CANARY.to_owned())),
        });
    }

    /// A challenge that answers every question like this.
    pub(super) async fn answers(
        &mut self,
        slug: &str,
        answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
    ) {
        let router = Router::new().fallback(move || {
            let answer = answer();
            async move { answer }
        });
        self.serves(slug, router).await;
    }

    /// A challenge with these routes.
    pub(super) async fn serves(&mut self, slug: &str, router: Router) {
        let listener = self.listen(slug).await;
        self.tasks
            .spawn(async move { axum::serve(listener, router).await.unwrap() });
    }

    /// A challenge that does this with every connection, once the question is there.
    pub(super) async fn does<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        slug: &str,
        act: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) {
        let listener = self.listen(slug).await;
        self.tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = [0; 4096];
                let _read = stream.read(&mut question).await.unwrap();
                open.spawn(act(stream));
            }
        });
    }

    async fn scores(&mut self, slug: &str, weights: &'static str) {
        let text = format!(r#"{{"challenge_slug": "{slug}", "weights": {weights}}}"#);
        self.answers(slug, move || Response::new(text.clone().into()))
            .await;
    }

    async fn collect(&self, body: usize) -> BTreeMap<String, Collected> {
        install_tls();
        let client = HttpChallenges::new(Limits { body, ..LIMITS });
        let collected = collect(&client, self.subjects.clone(), PATIENCE).await;
        let by_slug = |one: Collected| (one.answer.slug.to_string(), one);
        collected.into_iter().map(by_slug).collect()
    }
}

fn failure(collected: &BTreeMap<String, Collected>, slug: &str) -> String {
    match &collected[slug].answer.outcome {
        Ok(scores) => format!("{} scores", scores.len()),
        Err(failure) => failure.to_string(),
    }
}

fn pairs(collected: &BTreeMap<String, Collected>, slug: &str) -> Vec<(String, f64)> {
    let scores = collected[slug].answer.outcome.as_ref().unwrap();
    let pairs = scores.iter().filter(|(_, score)| *score > 0.0);
    pairs
        .map(|(hotkey, score)| (hotkey.to_owned(), score))
        .collect()
}

pub(super) fn status(code: u16, location: &str) -> Response<Body> {
    let answer = Response::builder()
        .status(code)
        .header("location", location);
    answer.body(Body::from("{}")).unwrap()
}

pub(super) fn packed(text: &[u8]) -> Response<Body> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    let bytes = encoder.finish().unwrap();
    let answer = Response::builder().header("content-encoding", "gzip");
    answer.body(bytes.into()).unwrap()
}

pub(super) async fn drip(mut stream: TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n{";
    if stream.write_all(head).await.is_err() {
        return;
    }
    while stream.write_all(b" ").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) async fn cut(mut stream: TcpStream) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"challenge_slug\"";
    drop(stream.write_all(answer).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hostile_challenge_does_costs_its_own_scores_only() {
    let mut servers = Servers::default();
    let elsewhere = Running::start("elsewhere", None).await;
    let to = format!("{}/leaderboard", elsewhere.base);
    servers.does("drips", drip).await;
    servers.does("cut", cut).await;
    servers
        .does("silent", |stream| async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(stream);
        })
        .await;
    servers
        .answers("endless", || {
            let chunk = || Ok::<_, std::io::Error>(vec![b' '; 1 << 16]);
            Response::new(Body::from_stream(futures::stream::repeat_with(chunk)))
        })
        .await;
    let bomb = packed(&vec![b' '; 16 << 20]);
    let (parts, bomb) = bomb.into_parts();
    let bomb = axum::body::to_bytes(bomb, usize::MAX).await.unwrap();
    servers
        .answers("bomb", move || {
            Response::from_parts(parts.clone(), bomb.clone().into())
        })
        .await;
    servers.answers("redirects", move || status(302, &to)).await;
    servers.answers("broken", || status(500, "/")).await;
    servers
        .answers("no-json", || Response::new("<html>".into()))
        .await;
    servers
        .answers("cut-json", || {
            Response::new(r#"{"challenge_slug": "cut-json""#.into())
        })
        .await;
    servers
        .answers("liar", || {
            Response::new(r#"{"challenge_slug": "honest"}"#.into())
        })
        .await;
    servers
        .answers("nameless", || {
            Response::new(r#"{"weights": {"hk": 1}}"#.into())
        })
        .await;
    servers
        .answers("deep", || Response::new("[".repeat(1 << 20).into()))
        .await;
    servers.add("dead", "http://127.0.0.1:1".to_owned());
    servers.add("nowhere", "http://nowhere.invalid".to_owned());
    servers.scores("honest", r#"{"hk1": 1, "hk2": 3}"#).await;
    servers
        .answers("packed", || {
            packed(br#"{"challenge_slug": "packed", "weights": {"hk": 2.5}}"#)
        })
        .await;
    let began = Instant::now();
    let collected = servers.collect(FEW_BYTES).await;
    assert!(began.elapsed() < PATIENCE.budget() + Duration::from_secs(1));
    for (slug, expected) in [
        ("drips", "timeout"),
        ("cut", "connection failed"),
        ("silent", "timeout"),
        ("endless", "response too large"),
        ("bomb", "response too large"),
        ("redirects", "http 302"),
        ("broken", "http 500"),
        ("no-json", "invalid payload"),
        ("cut-json", "invalid payload"),
        ("liar", "wrong challenge slug"),
        ("nameless", "invalid payload"),
        ("deep", "invalid payload"),
        ("dead", "connection failed"),
        ("nowhere", "connection failed"),
        ("honest", "2 scores"),
        ("packed", "1 scores"),
    ] {
        assert_eq!(failure(&collected, slug), expected, "{slug}");
    }
    assert!(collected["honest"].took < collected["drips"].took);
    assert_eq!(
        (collected["honest"].attempts, collected["broken"].attempts),
        (1, 3)
    );
    assert!(!format!("{collected:?}").contains(CANARY));
}

/// As much as an answer may be but for a little, then a byte every now and then.
fn fills_and_drips() -> Response<Body> {
    let piece = |size: usize| Ok::<_, std::io::Error>(vec![b' '; size]);
    let most = futures::stream::iter((0..15 * 16).map(move |_| piece(1 << 16)));
    let drips = futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((piece(1), ()))
    });
    Response::new(Body::from_stream(most.chain(drips)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_take_all_the_room_there_is_keep_nobody_from_being_heard() {
    let mut servers = Servers::default();
    for number in 0..6 {
        let slug = format!("hostile-{number}");
        servers.answers(&slug, fills_and_drips).await;
    }
    let many: String = (0..100_000)
        .map(|n| format!("\"5{n:047}\": {n}.5,"))
        .collect();
    for slug in ["many-1", "many-2"] {
        let many = format!(r#"{{"challenge_slug": "{slug}", "weights": {{{many} "last": 1}}}}"#);
        servers
            .answers(slug, move || Response::new(many.clone().into()))
            .await;
    }
    servers.scores("few", r#"{"hk": 1}"#).await;
    let began = Instant::now();
    let collected = servers.collect(LIMITS.body).await;
    assert!(began.elapsed() < PATIENCE.budget() + Duration::from_secs(1));
    for slug in ["many-1", "many-2"] {
        assert_eq!(failure(&collected, slug), "100001 scores", "{slug}");
    }
    assert_eq!(failure(&collected, "few"), "1 scores");
    assert_eq!(collected["few"].attempts, 1);
    assert_eq!(failure(&collected, "hostile-0"), "timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sort_of_value_is_treated_as_agreed() {
    let mut servers = Servers::default();
    for (slug, weights) in [
        (
            "positive",
            r#"{"a": 1, "b": 2.5, "c": 1e-320, "d": 1.7e308}"#,
        ),
        (
            "nothing",
            r#"{"a": 1, "zero": 0, "minus-zero": -0.0, "negative": -3}"#,
        ),
        (
            "no-number",
            r#"{"a": 1, "n": null, "x": NaN, "i": Infinity, "m": -Infinity, "h": 1e999}"#,
        ),
        ("twice", r#"{"a": 1, "b": 2, "a": 7}"#),
        ("empty", "{}"),
        ("text", r#"{"a": 1, "b": "2"}"#),
        ("truth", r#"{"a": 1, "b": true}"#),
        ("list", r#"{"a": 1, "b": [2]}"#),
        ("object", r#"{"a": 1, "b": {"c": 2}}"#),
        ("not-a-map", r#"[1, 2]"#),
    ] {
        servers.scores(slug, weights).await;
    }
    let many: String = (0..100_000)
        .map(|n| format!("\"5{n:047}\": {n}.5,"))
        .collect();
    let many = format!(r#"{{"challenge_slug": "many", "weights": {{{many} "last": 1}}}}"#);
    servers
        .answers("many", move || Response::new(many.clone().into()))
        .await;
    let collected = servers.collect(LIMITS.body).await;
    let one = |score: f64| vec![("a".to_owned(), score)];
    assert_eq!(pairs(&collected, "positive").len(), 4);
    assert_eq!(pairs(&collected, "nothing"), one(1.0));
    assert_eq!(pairs(&collected, "no-number"), one(1.0));
    assert_eq!(pairs(&collected, "twice")[0], ("a".to_owned(), 7.0));
    assert_eq!(pairs(&collected, "empty"), []);
    assert_eq!(pairs(&collected, "many").len(), 100_001);
    for slug in ["text", "truth", "list", "object", "not-a-map"] {
        assert_eq!(failure(&collected, slug), "invalid payload", "{slug}");
    }
}
