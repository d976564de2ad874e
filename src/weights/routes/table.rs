//! The table of the public routes: the router and the OpenAPI document are both made from it.

use axum::routing::{MethodRouter, get};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::bodies::{Health, History, Invalid, Readiness};
use super::{MAX_PAGE, PAGE, Views};
use crate::admin::openapi::{Answer, Header, Method, Operation, Parameter, Place, Title};
use crate::admin::refusal::Refusal;
use crate::admin::registry::Registry;
use crate::weights::document::Document;

/// One route: how it is described, and who serves it.
pub(super) struct Route {
    pub(super) operation: Operation,
    pub(super) serve: fn() -> MethodRouter<Views>,
}

pub(super) const TITLE: Title = Title {
    name: "platform: weights and registry",
    about: "The public reads of a subnet's master: which challenges there are, and the newest weight vector. \
        All are answered from memory, begin no computation, and need no credentials. Times are RFC 3339 in UTC. \
        Another method than the described ones (and HEAD) is answered with 405 and `Allow`, an unknown path with 404.",
};

const ETAG: Header = always(
    "ETag",
    "The tag of exactly these bytes, for `If-None-Match`.",
);
const VARY: Header = always("Vary", "That a compressed form has another tag.");
const CACHE: Header = always(
    "Cache-Control",
    "`no-cache`: ask each time whether it is still the newest.",
);
const SIGNER: Header = sometimes(
    "X-Platform-Weights-Signer",
    "Who signed these bytes, as an SS58 address; left out where vectors are not signed.",
);
const SIGNATURE: Header = sometimes(
    "X-Platform-Weights-Signature",
    "`0x` and 128 hex digits: sr25519, context `substrate`, over `platform-weights-v1:` and the lower-case hex \
     SHA-256 of the body before it is compressed.",
);
const TAGGED: &[Header] = &[ETAG, VARY, CACHE];
const SIGNED: &[Header] = &[ETAG, VARY, CACHE, SIGNER, SIGNATURE];

const KNOWN: Parameter = Parameter {
    name: "If-None-Match",
    place: Place::Header,
    about: "Tags of bytes that are at hand already, or `*`.",
    schema: text,
};

const NOT_MODIFIED: &str =
    "One of the tags of `If-None-Match` is that of these bytes; they are not sent again.";
const GZIP: &str = "Compressed with gzip where `Accept-Encoding` takes that.";

/// The routes.
pub(super) const ROUTES: [Route; 7] = [
    Route {
        operation: Operation {
            method: Method::Get,
            path: "/v1/weights/latest",
            id: "latestWeights",
            summary: "The newest weight vector",
            about: GZIP,
            parameters: &[
                KNOWN,
                Parameter {
                    name: "detail",
                    place: Place::Query,
                    about: "0 leaves out the challenges' scores.",
                    schema: detail,
                },
            ],
            answers: &[
                said(200, "The vector.", SIGNED, of::<Document>),
                bare(304, NOT_MODIFIED, SIGNED),
                refused(422, "`detail` is neither 0 nor 1.", of::<Invalid>),
                refused(
                    502,
                    "The last vector has expired, and this is why there is no newer one.",
                    of::<Refusal>,
                ),
                refused(503, "There has been no vector so far.", of::<Refusal>),
            ],
        },
        serve: || get(super::latest),
    },
    Route {
        operation: Operation {
            method: Method::Get,
            path: "/v1/weights/history",
            id: "weightsHistory",
            summary: "The vectors that are kept, newest first, without their content",
            about: "Somewhat more than three days of them can be listed.",
            parameters: &[
                Parameter {
                    name: "limit",
                    place: Place::Query,
                    about: "How many, at most.",
                    schema: limit,
                },
                Parameter {
                    name: "before",
                    place: Place::Query,
                    about: "Only vectors made before this time: the last `computed_at` of the page before.",
                    schema: time,
                },
            ],
            answers: &[
                said(200, "A page of them.", &[], of::<History<'_>>),
                refused(422, "A parameter is not what it must be.", of::<Invalid>),
            ],
        },
        serve: || get(super::history),
    },
    Route {
        operation: Operation {
            method: Method::Get,
            path: "/v1/weights/{computed_at}",
            id: "pastWeights",
            summary: "A weight vector of the past, as it was served",
            about: GZIP,
            parameters: &[
                Parameter {
                    name: "computed_at",
                    place: Place::Path,
                    about: "When its making began, as the history has it.",
                    schema: time,
                },
                KNOWN,
            ],
            answers: &[
                said(200, "The vector.", SIGNED, of::<Document>),
                bare(304, NOT_MODIFIED, SIGNED),
                refused(400, "The path is no text.", of::<Refusal>),
                refused(
                    404,
                    "The history has no vector of that time.",
                    of::<Refusal>,
                ),
                refused(500, "It could not be made ready to be sent.", of::<Refusal>),
                refused(
                    503,
                    "The database is away, or others are being read; try again.",
                    of::<Refusal>,
                ),
            ],
        },
        serve: || get(super::past),
    },
    Route {
        operation: Operation {
            method: Method::Get,
            path: "/v1/registry",
            id: "registry",
            summary: "The challenges that are no drafts, as everybody may know them",
            about: GZIP,
            parameters: &[KNOWN],
            answers: &[
                said(200, "The challenges.", TAGGED, of::<Registry>),
                bare(304, NOT_MODIFIED, TAGGED),
                refused(
                    503,
                    "The database was not read yet, or nothing was applied so far.",
                    of::<Refusal>,
                ),
            ],
        },
        serve: || get(super::registry),
    },
    Route {
        operation: Operation {
            method: Method::Get,
            path: "/health",
            id: "health",
            summary: "Whether the process answers",
            about: "Says nothing of what it depends on.",
            parameters: &[],
            answers: &[said(200, "It does.", &[], of::<Health>)],
        },
        serve: || get(super::health),
    },
    Route {
        operation: Operation {
            method: Method::Get,
            path: "/ready",
            id: "ready",
            summary: "Whether the process is fit to be asked",
            about: "It is once the database was read, as long as that succeeds and the vector it serves is good. While \
                the source of the declaration is away it is so too, and says it.",
            parameters: &[],
            answers: &[
                said(200, "It is.", &[], of::<Readiness>),
                said(503, "It is not.", &[], of::<Readiness>),
            ],
        },
        serve: || get(super::ready),
    },
    Route {
        operation: Operation {
            method: Method::Get,
            path: "/openapi.json",
            id: "openapi",
            summary: "This document",
            about: "Not served under the production policy; `platform schema --openapi` prints the same.",
            parameters: &[KNOWN],
            answers: &[
                said(200, "The document.", TAGGED, any),
                bare(304, NOT_MODIFIED, TAGGED),
                refused(404, "The production policy holds.", of::<Refusal>),
            ],
        },
        serve: || get(super::described),
    },
];

const fn always(name: &'static str, about: &'static str) -> Header {
    Header {
        name,
        about,
        is_always: true,
    }
}

const fn sometimes(name: &'static str, about: &'static str) -> Header {
    Header {
        name,
        about,
        is_always: false,
    }
}

const fn said(
    status: u16,
    about: &'static str,
    headers: &'static [Header],
    body: fn(&mut SchemaGenerator) -> Schema,
) -> Answer {
    Answer {
        status,
        about,
        headers,
        body: Some(body),
    }
}

const fn refused(
    status: u16,
    about: &'static str,
    body: fn(&mut SchemaGenerator) -> Schema,
) -> Answer {
    said(status, about, &[], body)
}

const fn bare(status: u16, about: &'static str, headers: &'static [Header]) -> Answer {
    Answer {
        status,
        about,
        headers,
        body: None,
    }
}

fn of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object"})
}

fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string"})
}

fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

fn detail(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "enum": [0, 1], "default": 1})
}

fn limit(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": PAGE})
}
