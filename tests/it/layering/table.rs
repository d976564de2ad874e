//! Who may depend on whom. From top to bottom: a part uses only what stands above it.

/// One part of the program.
pub struct Part {
    /// Its module; the deepest part that a module lies in counts.
    pub module: &'static str,
    /// The parts it may use, beside those in its own folder.
    pub uses: &'static [&'static str],
    /// The crates it may use, beside [`EVERYWHERE`].
    pub crates: &'static [&'static str],
    /// Whether it computes only: no file, clock, network, task or randomness.
    pub is_pure: bool,
}

/// Crates that any part may use: they describe values and do nothing outside.
pub const EVERYWHERE: [&str; 3] = ["serde", "serde_json", "thiserror"];

/// Parts of the standard library that reach outside.
pub const OUTSIDE: [&str; 9] = [
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
];

const fn pure(
    module: &'static str,
    uses: &'static [&'static str],
    crates: &'static [&'static str],
) -> Part {
    Part {
        module,
        uses,
        crates,
        is_pure: true,
    }
}

const fn doing(
    module: &'static str,
    uses: &'static [&'static str],
    crates: &'static [&'static str],
) -> Part {
    Part {
        module,
        uses,
        crates,
        is_pure: false,
    }
}

/// The table.
pub const PARTS: &[Part] = &[
    // The words.
    pure(
        "model",
        &[],
        &[
            "base64", "blake2", "bs58", "sha1", "sha2", "hex", "jiff", "schemars", "semver",
        ],
    ),
    // Threads, for pure work on much of one kind.
    doing("parallel", &[], &[]),
    // What every role tells of itself.
    doing("vitals", &[], &["axum", "prometheus_client"]),
    // What is declared. Sole user of a YAML parser.
    pure(
        "spec",
        &["model"],
        &[
            "granit_parser",
            "schemars",
            "semver",
            "strsim",
            "url",
            "jiff",
            "base64",
        ],
    ),
    // The outside: each system behind one part, which no other part of the outside knows.
    // Two of them are asked over HTTP alike.
    doing(
        "edge::http",
        &["model"],
        &["flate2", "reqwest", "rustls", "tokio", "tracing"],
    ),
    doing(
        "edge::challenge",
        &["model", "edge::http"],
        &["async_trait", "reqwest"],
    ),
    doing(
        "edge::master",
        &["model", "edge::http"],
        &["async_trait", "reqwest"],
    ),
    doing(
        "edge::cluster",
        &["model"],
        &[
            "async_trait",
            "futures",
            "kube",
            "http",
            "http_body_util",
            "jiff",
            "tokio",
            "url",
        ],
    ),
    doing(
        "edge::database",
        &["model"],
        &[
            "async_trait",
            "sqlx",
            "tokio",
            "jiff",
            "url",
            "sha2",
            "hex",
            "futures",
            "tracing",
        ],
    ),
    doing("edge::files", &[], &["libc", "rand"]),
    // A file may stand for the chain.
    doing(
        "edge::chain",
        &["model", "edge::files"],
        &["async_trait", "tokio"],
    ),
    doing(
        "edge::images",
        &["model"],
        &[
            "async_trait",
            "reqwest",
            "rustls",
            "tokio",
            "url",
            "futures",
            "sha2",
            "hex",
        ],
    ),
    doing(
        "edge::hooks",
        &["model"],
        &["async_trait", "reqwest", "rustls", "url"],
    ),
    doing(
        "edge::listener",
        &[],
        &[
            "axum",
            "hyper",
            "hyper_util",
            "tokio",
            "tokio_util",
            "tracing",
        ],
    ),
    doing(
        "edge::traces",
        &["edge::hooks"],
        &[
            "async_trait",
            "opentelemetry_http",
            "opentelemetry_otlp",
            "opentelemetry_sdk",
            "tokio",
            "tracing",
        ],
    ),
    doing(
        "edge::git",
        &["model"],
        &[
            "async_trait",
            "base64",
            "git2",
            "hex",
            "libc",
            "rand",
            "rustix",
            "sha2",
            "tokio",
            "tracing",
            "url",
        ],
    ),
    // The steps of a pass, in their order.
    pure("reconcile::edit", &["spec"], &["strsim"]),
    pure(
        "reconcile::verify",
        &["model"],
        &["sha1", "hex", "jiff", "pgp", "ssh_key"],
    ),
    doing(
        "reconcile::source",
        &[
            "model",
            "spec",
            "edge::database",
            "edge::files",
            "edge::git",
            "reconcile::verify",
        ],
        &["sha2", "hex"],
    ),
    doing(
        "reconcile::resolve",
        &["model", "spec", "edge::images"],
        &["futures"],
    ),
    pure("reconcile::resolve::placement", &["model", "spec"], &[]),
    pure(
        "reconcile::desired",
        &["model", "spec", "parallel", "reconcile::resolve"],
        &["k8s_openapi", "url", "sha2", "hex"],
    ),
    doing(
        "reconcile::live",
        &["model", "edge::cluster", "reconcile::desired", "parallel"],
        &["async_trait", "futures", "tokio", "tracing"],
    ),
    pure("reconcile::live::owned", &["model"], &["sha2"]),
    pure("reconcile::live::reduce", &["model"], &["sha2", "hex"]),
    pure(
        "reconcile::plan",
        &["model", "spec", "reconcile::desired", "reconcile::live"],
        &["jiff", "sha2", "hex"],
    ),
    pure(
        "reconcile::render",
        &["model", "reconcile::live", "reconcile::plan"],
        &["similar", "schemars"],
    ),
    doing(
        "reconcile::lease",
        &["model", "edge::cluster", "edge::database"],
        &["jiff", "rand", "rustix", "tokio", "tracing"],
    ),
    doing(
        "reconcile::apply",
        &[
            "model",
            "edge::cluster",
            "edge::database",
            "reconcile::lease",
            "reconcile::live",
            "reconcile::plan",
        ],
        &[
            "async_trait",
            "futures",
            "tokio",
            "jiff",
            "rand",
            "base64",
            "tracing",
        ],
    ),
    pure(
        "reconcile::record",
        &["model", "reconcile::apply", "reconcile::plan"],
        &["jiff", "schemars"],
    ),
    // The pass as one page, and what follows from a whole pass.
    doing(
        "reconcile",
        &[
            "model",
            "spec",
            "edge::cluster",
            "edge::database",
            "edge::images",
            "reconcile::lease",
            "reconcile::resolve",
            "reconcile::desired",
            "reconcile::live",
            "reconcile::plan",
            "reconcile::apply",
            "reconcile::record",
        ],
        &["jiff", "tracing", "tokio"],
    ),
    pure(
        "reconcile::status",
        &[
            "model",
            "spec",
            "reconcile",
            "reconcile::desired",
            "reconcile::live",
            "reconcile::plan",
            "reconcile::render",
        ],
        &["jiff", "schemars"],
    ),
    pure(
        "reconcile::rollout",
        &[
            "model",
            "reconcile",
            "reconcile::desired",
            "reconcile::live",
        ],
        &[],
    ),
    doing(
        "reconcile::converge",
        &[
            "model",
            "spec",
            "reconcile",
            "reconcile::desired",
            "reconcile::lease",
            "reconcile::live",
            "reconcile::plan",
            "reconcile::apply",
            "reconcile::rollout",
        ],
        &["jiff", "tokio", "tracing"],
    ),
    // When a pass runs.
    pure("reconcile::controller::agenda", &["model"], &["tokio"]),
    pure("reconcile::controller::surveys", &[], &["tokio"]),
    pure(
        "reconcile::controller::trials",
        &["model", "reconcile::desired", "reconcile::live"],
        &["tokio"],
    ),
    doing(
        "reconcile::controller",
        &[
            "model",
            "spec",
            "edge::cluster",
            "edge::database",
            "edge::git",
            "edge::hooks",
            "reconcile",
            "reconcile::apply",
            "reconcile::desired",
            "reconcile::lease",
            "reconcile::live",
            "reconcile::plan",
            "reconcile::record",
            "reconcile::render",
            "reconcile::resolve",
            "reconcile::rollout",
            "reconcile::source",
            "reconcile::status",
            "vitals",
        ],
        &[
            "async_trait",
            "axum",
            "futures",
            "hex",
            "hmac",
            "jiff",
            "notify",
            "prometheus_client",
            "rand",
            "schemars",
            "sha2",
            "tokio",
            "tokio_util",
            "tracing",
        ],
    ),
    // From the challenges' scores to one weight vector.
    pure(
        "weights",
        &["model", "parallel"],
        &[
            "hex",
            "jiff",
            "memchr",
            "schemars",
            "schnorrkel",
            "sha2",
            "simdutf8",
            "sonic_number",
        ],
    ),
    pure(
        "weights::shelf",
        &["model", "weights"],
        &["axum", "flate2", "hex", "jiff", "sha2"],
    ),
    pure(
        "weights::metrics",
        &["model", "vitals", "weights", "weights::shelf"],
        &["jiff", "prometheus_client"],
    ),
    // What everybody may see.
    pure("admin", &["model"], &["schemars"]),
    // How a request is refused.
    pure("admin::refusal", &[], &["axum", "schemars"]),
    // What a git host tells.
    pure(
        "admin::webhook",
        &["model"],
        &["axum", "hex", "hmac", "sha2"],
    ),
    doing(
        "admin::pushes",
        &[
            "model",
            "admin::refusal",
            "admin::webhook",
            "edge::database",
            "vitals",
        ],
        &["axum", "jiff", "prometheus_client", "tokio", "tracing"],
    ),
    doing(
        "weights::routes",
        &[
            "model",
            "admin",
            "admin::refusal",
            "edge::database",
            "vitals",
            "weights",
            "weights::metrics",
            "weights::shelf",
        ],
        &["axum", "jiff", "schemars", "tokio", "tracing", "url"],
    ),
    doing(
        "weights::serving",
        &[
            "model",
            "admin",
            "edge::database",
            "weights",
            "weights::shelf",
        ],
        &["jiff", "tokio", "tokio_util", "tracing"],
    ),
    doing(
        "weights::epoch",
        &[
            "model",
            "edge::chain",
            "edge::database",
            "weights",
            "weights::serving",
            "weights::shelf",
        ],
        &[
            "async_trait",
            "jiff",
            "rand",
            "tokio",
            "tokio_util",
            "tracing",
        ],
    ),
    doing(
        "weights::collect",
        &["model", "spec", "edge::challenge", "weights"],
        &["futures", "jiff", "tokio", "tracing"],
    ),
    doing(
        "weights::health",
        &["model", "edge::challenge", "edge::database", "weights"],
        &["futures", "jiff", "rand", "tokio", "tokio_util", "tracing"],
    ),
    doing(
        "weights::tokens",
        &["model", "edge::cluster"],
        &["base64", "tracing"],
    ),
    // Who runs it.
    doing(
        "settings",
        &[
            "model",
            "spec",
            "edge::files",
            "weights",
            "weights::collect",
        ],
        &["strsim"],
    ),
    doing(
        "cli",
        &[
            "model",
            "spec",
            "admin",
            "admin::pushes",
            "admin::webhook",
            "edge::challenge",
            "edge::chain",
            "edge::cluster",
            "edge::database",
            "edge::files",
            "edge::git",
            "edge::hooks",
            "edge::images",
            "edge::listener",
            "edge::master",
            "edge::traces",
            "reconcile",
            "reconcile::apply",
            "reconcile::controller",
            "reconcile::converge",
            "reconcile::desired",
            "reconcile::edit",
            "reconcile::lease",
            "reconcile::live",
            "reconcile::plan",
            "reconcile::record",
            "reconcile::render",
            "reconcile::source",
            "reconcile::status",
            "reconcile::verify",
            "settings",
            "vitals",
            "weights",
            "weights::collect",
            "weights::epoch",
            "weights::health",
            "weights::routes",
            "weights::serving",
            "weights::shelf",
            "weights::tokens",
        ],
        &[
            "async_trait",
            "axum",
            "clap",
            "clap_complete",
            "clap_mangen",
            "futures",
            "indicatif",
            "jiff",
            "libc",
            "opentelemetry",
            "rand",
            "rustix",
            "strsim",
            "tokio",
            "tokio_util",
            "tracing",
            "tracing_opentelemetry",
            "tracing_subscriber",
        ],
    ),
    doing(
        "main",
        &["settings", "cli"],
        &["rustls", "tikv_jemallocator"],
    ),
];
