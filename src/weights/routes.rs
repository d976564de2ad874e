//! The public reads of the admin listener: weights and registry, all from memory. Only a vector of the past is
//! read from the database, one that is known to be there, and few at a time.
//!
//! Which routes there are, and what each may answer, is in [`table`]: the router is made from it, and so is
//! [`openapi`].

mod bodies;
mod past;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use jiff::Timestamp;

use self::bodies::{
    Checks, DatabaseCheck, DeclarationCheck, Fitness, Health, History, Invalid, Mistake, Readiness,
};
use self::past::Past;
use self::table::{ROUTES, TITLE};
use super::metrics;
use super::shelf::{Declared, Latest, Served, Shelf};
use super::signature::SigningKey;
use super::tally::Tally;
use crate::admin::openapi::{self, Operation};
use crate::admin::refusal::refuse;
use crate::edge::database::Database;
use crate::model::clock::Clock;
use crate::vitals;

const SIGNER: HeaderName = HeaderName::from_static("x-platform-weights-signer");
const SIGNATURE: HeaderName = HeaderName::from_static("x-platform-weights-signature");

/// The most entries of one page of the history, and how many without being asked for a number.
const MAX_PAGE: usize = 200;
const PAGE: usize = 50;

/// What the routes answer from.
#[derive(Clone)]
pub struct Views {
    /// What is served.
    pub shelf: Arc<Shelf>,
    /// The clock.
    pub clock: Clock,
    /// What came of making it, as far as this process does.
    pub tally: Arc<Tally>,
    behind: Arc<OnceLock<Behind>>,
    is_described: Arc<AtomicBool>,
    past: Arc<Past>,
}

/// What is behind the shelf; a process serves before it knows it.
pub struct Behind {
    /// Where vectors of the past are kept.
    pub database: Arc<dyn Database>,
    /// What those are signed with.
    pub key: Option<SigningKey>,
}

impl Views {
    /// Takes what is served. Nothing is behind it so far.
    #[must_use]
    pub fn new(shelf: Arc<Shelf>, clock: Clock) -> Self {
        Self {
            shelf,
            clock,
            tally: Arc::default(),
            behind: Arc::default(),
            is_described: Arc::default(),
            past: Arc::new(Past::new()),
        }
    }

    /// Returns the metrics of what is served, for the listener of health.
    #[must_use]
    pub fn metrics(&self) -> vitals::Part {
        let views = self.clone();
        Arc::new(move |registry| {
            let (stock, counts) = (views.shelf.stock(), views.tally.read());
            metrics::add(registry, &stock, &counts, views.clock.now());
        })
    }

    /// Takes what is behind the shelf, once.
    pub fn put_behind(&self, behind: Behind) {
        // What is known does not change.
        drop(self.behind.set(behind));
    }

    /// Describes the routes at `/openapi.json` from now on.
    pub fn describe(&self) {
        self.is_described.store(true, Ordering::Relaxed);
    }
}

/// Returns the public routes of the admin listener.
pub fn routes(views: Views) -> Router {
    let each = ROUTES.iter();
    let routes = each.fold(Router::new(), |router, route| {
        router.route(route.operation.path, (route.serve)())
    });
    routes
        .fallback(async || refuse(StatusCode::NOT_FOUND, "Not Found"))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .with_state(views)
}

/// Returns the readiness of who serves weights alone, for the listener of health.
pub fn readiness(views: Views) -> MethodRouter {
    get(ready).with_state(views)
}

/// Returns the OpenAPI document of the routes, indented, with a final line break.
#[must_use]
pub fn openapi() -> String {
    let operations: Vec<Operation> = ROUTES.iter().map(|route| route.operation).collect();
    let document = openapi::document(TITLE, &operations);
    format!("{document:#}\n")
}

async fn latest(
    State(views): State<Views>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let is_brief = match parameter(query.as_deref(), "detail").as_deref() {
        Some("0") => true,
        Some("1") | None => false,
        Some(_) => return invalid("detail", "0 or 1 is expected"),
    };
    match views.shelf.stock().latest(views.clock.now()) {
        Latest::Good(copies) if is_brief => send(&copies.brief, &headers),
        Latest::Good(copies) => send(&copies.whole, &headers),
        Latest::NotYet => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "Master weight service unavailable",
        ),
        Latest::Outage(outage) => refuse(StatusCode::BAD_GATEWAY, &outage.to_string()),
        Latest::Expired => refuse(StatusCode::BAD_GATEWAY, "the last weights have expired"),
    }
}

async fn registry(State(views): State<Views>, headers: HeaderMap) -> Response {
    match views.shelf.stock().registry {
        Some(document) => send(&document, &headers),
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "Registry unavailable"),
    }
}

async fn history(State(views): State<Views>, RawQuery(query): RawQuery) -> Response {
    let limit = parameter(query.as_deref(), "limit").map(|text| text.parse::<usize>());
    let before = parameter(query.as_deref(), "before").map(|text| text.parse::<Timestamp>());
    let limit = limit.unwrap_or(Ok(PAGE)).ok();
    let Some(limit) = limit.filter(|limit| (1..=MAX_PAGE).contains(limit)) else {
        return invalid("limit", "a whole number from 1 to 200 is expected");
    };
    let Ok(before) = before.transpose() else {
        return invalid("before", "a time such as 2030-01-01T12:00:00Z is expected");
    };
    let history = views.shelf.stock().history;
    let is_before = |time: Timestamp| before.is_none_or(|before| time < before);
    let items = history.iter().filter(|item| is_before(item.computed_at));
    let items = items.take(limit).collect();
    Json(History { items }).into_response()
}

/// A vector of the past is read only where the history has it: asking for others reads nothing.
async fn past(
    State(views): State<Views>,
    computed_at: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Ok(Path(computed_at)) = computed_at else {
        return refuse(StatusCode::BAD_REQUEST, "The path is not UTF-8");
    };
    let none = || refuse(StatusCode::NOT_FOUND, "Weights not found");
    let Ok(computed_at) = computed_at.parse::<Timestamp>() else {
        return none();
    };
    let history = views.shelf.stock().history;
    let Some(summary) = history.iter().find(|item| item.computed_at == computed_at) else {
        return none();
    };
    let which = (summary.netuid, computed_at);
    let takes_gzip = takes_gzip(&headers);
    if let Some(served) = views.past.last(which, takes_gzip) {
        return send(&served, &headers);
    }
    let Some(behind) = views.behind.get() else {
        return none();
    };
    let Some(room) = views.past.room() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "Busy; try again");
    };
    match behind.database.weights_of(which.0, which.1).await {
        Ok(Some(snapshot)) => {
            let key = behind.key.clone();
            let work = move || match takes_gzip {
                true => Served::of(snapshot.document, key.as_ref()),
                false => Served::plain(snapshot.document, key.as_ref()),
            };
            match views.past.make((room, which), work).await {
                Some(served) => send(&served, &headers),
                None => refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal error"),
            }
        }
        Ok(None) => none(),
        Err(error) => {
            tracing::warn!(%error, "a vector of the past could not be read");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "Database unavailable")
        }
    }
}

async fn ready(State(views): State<Views>) -> Response {
    let (stock, now) = (views.shelf.stock(), views.clock.now());
    let age =
        |since: Option<Timestamp>| since.map(|since| now.wall.duration_since(since).as_secs());
    let computed_at = stock
        .weights
        .as_ref()
        .map(|copies| copies.summary.computed_at);
    let has_expired = computed_at.is_some() && !matches!(stock.latest(now), Latest::Good(_));
    let is_ready = !stock.is_database_away && stock.database_read_at.is_some() && !has_expired;
    let checks = Checks {
        database: match stock.is_database_away {
            true => DatabaseCheck::Away,
            false => DatabaseCheck::Ok,
        },
        declaration: match stock.declared {
            Declared::Read => DeclarationCheck::Ok,
            Declared::Known => DeclarationCheck::LastKnown,
            Declared::Unknown => DeclarationCheck::Unknown,
        },
        metagraph_age_seconds: age(stock.metagraph_read_at),
        last_weights_age_seconds: age(computed_at),
        weights: stock.outage.map(|outage| outage.to_string()),
        weights_signed: stock.is_signed,
    };
    let (code, status) = match is_ready {
        true => (StatusCode::OK, Fitness::Ready),
        false => (StatusCode::SERVICE_UNAVAILABLE, Fitness::NotReady),
    };
    (code, Json(Readiness { status, checks })).into_response()
}

async fn health() -> Response {
    Json(Health { status: "ok" }).into_response()
}

/// What the routes are is in the program's repository; who runs a subnet need not tell strangers its version.
async fn described(State(views): State<Views>, headers: HeaderMap) -> Response {
    static DESCRIPTION: LazyLock<Served> = LazyLock::new(|| Served::of(openapi(), None));
    match views.is_described.load(Ordering::Relaxed) {
        true => send(&DESCRIPTION, &headers),
        false => refuse(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// Sends a body in the form that is asked for, or only says that it is known.
fn send(served: &Served, asked: &HeaderMap) -> Response {
    let gzip = served.gzip.as_ref().filter(|_| takes_gzip(asked));
    // Each form is bytes of its own, and so has a tag of its own.
    let tag = match gzip {
        Some(_) => format!("\"{}-gzip\"", served.digest),
        None => format!("\"{}\"", served.digest),
    };
    let is_known = knows(asked, &tag);
    let body = match is_known {
        true => Body::empty(),
        false => gzip.unwrap_or(&served.body).clone().into(),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        // Digests, addresses and the like are plain text.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, &tag);
    set(header::VARY, "accept-encoding");
    set(header::CACHE_CONTROL, "no-cache");
    if let Some(signature) = &served.signature {
        set(SIGNER, &signature.signer);
        set(SIGNATURE, &signature.text);
    }
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    set(header::CONTENT_TYPE, "application/json");
    if gzip.is_some() {
        set(header::CONTENT_ENCODING, "gzip");
    }
    response
}

/// Tells whether a client has these bytes already.
fn knows(asked: &HeaderMap, tag: &str) -> bool {
    let lists = asked.get_all(header::IF_NONE_MATCH).into_iter();
    let texts = lists.filter_map(|list| list.to_str().ok());
    let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Tells whether a client takes gzip: named, or by `*`, and not with a weight of zero.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let lists = asked.get_all(header::ACCEPT_ENCODING).into_iter();
    let texts = lists.filter_map(|list| list.to_str().ok());
    let (mut named, mut any) = (None, None);
    for coding in texts.flat_map(|text| text.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=");
        let is_taken = weight.is_none_or(|weight| weight.parse().is_ok_and(|q: f64| q > 0.0));
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => named = Some(is_taken),
            "*" => any = Some(is_taken),
            _ => {}
        }
    }
    named.or(any).unwrap_or(false)
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    let found = pairs.find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

fn invalid(name: &'static str, msg: &'static str) -> Response {
    let mistake = Mistake {
        kind: "value_error",
        loc: vec!["query", name],
        msg,
    };
    let detail = vec![mistake];
    (StatusCode::UNPROCESSABLE_ENTITY, Json(Invalid { detail })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/openapi.json");

    #[test]
    fn the_document_is_what_the_routes_are() {
        let stored = std::fs::read_to_string(STORED).unwrap_or_default();
        assert!(
            stored == openapi(),
            "the routes have changed: platform schema --openapi > schema/openapi.json"
        );
    }

    fn asked(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for (accepted, taken) in [
            ("gzip", true),
            ("GZIP, br", true),
            ("deflate, gzip;q=0.5", true),
            ("*", true),
            ("br, *;q=0.1", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
            ("gzip;q=x", false),
        ] {
            assert_eq!(
                takes_gzip(&asked(header::ACCEPT_ENCODING, accepted)),
                taken,
                "{accepted}"
            );
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn bytes_that_are_known_are_not_sent_again() {
        let served = Served::of("{}".to_owned(), None);
        let plain = format!("\"{}\"", served.digest);
        let send_for = |known: &str| {
            let value = HeaderValue::from_str(known).unwrap();
            send(
                &served,
                &HeaderMap::from_iter([(header::IF_NONE_MATCH, value)]),
            )
        };
        for known in [plain.clone(), format!("\"x\", W/{plain}"), "*".to_owned()] {
            let answer = send_for(&known);
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(answer.headers()[header::ETAG], plain.as_str());
        }
        for other in ["\"x\"", "", &format!("\"{}-gzip\"", served.digest)] {
            assert_eq!(send_for(other).status(), StatusCode::OK, "{other}");
        }
    }
}
