//! The settings there are.

/// A setting.
pub(super) struct Known {
    pub(super) path: &'static str,
    pub(super) default: Option<&'static str>,
    pub(super) shown: Shown,
    pub(super) purpose: &'static str,
}

/// How a value is shown.
pub(super) enum Shown {
    AsItIs,
    /// An address, whose credentials are masked.
    AsAddress,
    /// Not at all.
    Masked,
}

/// Sorted by path.
pub(super) const KNOWN: &[Known] = &[
    Known {
        path: "commit_status.context",
        default: Some("platform"),
        shown: Shown::AsItIs,
        purpose: "the name under which a git host shows the status of a commit",
    },
    Known {
        path: "commit_status.form",
        default: Some("off"),
        shown: Shown::AsItIs,
        purpose: "which git host is told how it goes with commits: github, gitlab or gitea",
    },
    Known {
        path: "commit_status.repository",
        default: None,
        shown: Shown::AsItIs,
        purpose: "the repository, such as OWNER/NAME; that of an https source unless set",
    },
    Known {
        path: "commit_status.token",
        default: None,
        shown: Shown::Masked,
        purpose: "the token for it, sent to no other host",
    },
    Known {
        path: "commit_status.token_file",
        default: None,
        shown: Shown::AsItIs,
        purpose: "a file that holds it",
    },
    Known {
        path: "commit_status.url",
        default: None,
        shown: Shown::AsAddress,
        purpose: "the address of the host's API; that of an https source's host unless set",
    },
    Known {
        path: "controller.interval_seconds",
        default: Some("15"),
        shown: Shown::AsItIs,
        purpose: "how often the source is read when nothing tells that it changed; 1 to 300",
    },
    Known {
        path: "controller.rollout_deadline_seconds",
        default: Some("600"),
        shown: Shown::AsItIs,
        purpose: "how long a challenge may make no progress before it is stalled; 1 to 86400",
    },
    Known {
        path: "database.url",
        default: Some("sqlite:platform.db"),
        shown: Shown::AsAddress,
        purpose: "the registry database: postgres://… or sqlite:FILE",
    },
    Known {
        path: "environment",
        default: Some("development"),
        shown: Shown::AsItIs,
        purpose: "prod, production and staging turn the production policy on",
    },
    Known {
        path: "git.allow_rewind",
        default: Some("false"),
        shown: Shown::AsItIs,
        purpose: "take a commit that does not descend from the one applied last",
    },
    Known {
        path: "git.allowed_signers",
        default: None,
        shown: Shown::AsItIs,
        purpose: "who may sign commits: a file as ssh-keygen has it",
    },
    Known {
        path: "git.ca_file",
        default: None,
        shown: Shown::AsItIs,
        purpose: "the authorities trusted for git over HTTPS, instead of the system's",
    },
    Known {
        path: "git.cache",
        default: None,
        shown: Shown::AsItIs,
        purpose: "where fetched repositories are kept; the user's cache directory unless set",
    },
    Known {
        path: "git.known_hosts",
        default: None,
        shown: Shown::AsItIs,
        purpose: "the host keys accepted for git over SSH; ~/.ssh/known_hosts unless set",
    },
    Known {
        path: "git.openpgp_keys",
        default: None,
        shown: Shown::AsItIs,
        purpose: "who may sign commits with OpenPGP keys: a file of public keys in armour, as gpg exports them",
    },
    Known {
        path: "git.password",
        default: None,
        shown: Shown::Masked,
        purpose: "the password or token for git over HTTPS",
    },
    Known {
        path: "git.password_file",
        default: None,
        shown: Shown::AsItIs,
        purpose: "a file that holds it",
    },
    Known {
        path: "git.revoked_keys",
        default: None,
        shown: Shown::AsItIs,
        purpose: "public keys that may not sign whatever git.allowed_signers says, one a line",
    },
    Known {
        path: "git.ssh_key",
        default: None,
        shown: Shown::AsItIs,
        purpose: "the private key for git over SSH, without a passphrase",
    },
    Known {
        path: "git.timeout_seconds",
        default: Some("60"),
        shown: Shown::AsItIs,
        purpose: "how long one question to git may take, 1 to 300",
    },
    Known {
        path: "git.username",
        default: None,
        shown: Shown::AsItIs,
        purpose: "the user for git over HTTPS; any will do where the password is a token",
    },
    Known {
        path: "git.verify",
        default: Some("off"),
        shown: Shown::AsItIs,
        purpose: "signed: take only commits that a key in git.allowed_signers or git.openpgp_keys has signed",
    },
    Known {
        path: "kubernetes.in_cluster",
        default: Some("true"),
        shown: Shown::AsItIs,
        purpose: "use the pod's own account when there is no kubeconfig",
    },
    Known {
        path: "kubernetes.kubeconfig",
        default: None,
        shown: Shown::AsItIs,
        purpose: "the kubeconfig of the local cluster",
    },
    Known {
        path: "kubernetes.timeout_seconds",
        default: Some("20"),
        shown: Shown::AsItIs,
        purpose: "how long one call to a cluster may take, 1 to 300",
    },
    Known {
        path: "master.admin_host",
        default: Some("0.0.0.0"),
        shown: Shown::AsItIs,
        purpose: "the address where weights and the registry are served",
    },
    Known {
        path: "master.admin_port",
        default: Some("8080"),
        shown: Shown::AsItIs,
        purpose: "its port",
    },
    Known {
        path: "master.challenge_max_response_bytes",
        default: Some("16777216"),
        shown: Shown::AsItIs,
        purpose: "the largest answer of a challenge, 1024 to 268435456",
    },
    Known {
        path: "master.challenge_retries",
        default: Some("3"),
        shown: Shown::AsItIs,
        purpose: "how often a challenge is asked for its scores in one epoch, at most",
    },
    Known {
        path: "master.challenge_timeout_seconds",
        default: Some("10"),
        shown: Shown::AsItIs,
        purpose: "how long one attempt may take, 1 to 60",
    },
    Known {
        path: "master.epoch_interval_seconds",
        default: Some("360"),
        shown: Shown::AsItIs,
        purpose: "the time from one weight vector to the next; 5 to 720, less the time for asking challenges",
    },
    Known {
        path: "master.health_interval_seconds",
        default: Some("60"),
        shown: Shown::AsItIs,
        purpose: "how often challenges are asked for their health and version, 5 to 3600; 0: never",
    },
    Known {
        path: "master.metagraph_cache_ttl_seconds",
        default: Some("300"),
        shown: Shown::AsItIs,
        purpose: "when it is asked anew who is registered in the subnet",
    },
    Known {
        path: "master.metagraph_max_stale_seconds",
        default: Some("3600"),
        shown: Shown::AsItIs,
        purpose: "how long the last answer is used while the chain gives none",
    },
    Known {
        path: "master.unassigned_share",
        default: Some("spread"),
        shown: Shown::AsItIs,
        purpose: "where a share goes that nobody registered has earned: spread, within_challenge or burn",
    },
    Known {
        path: "master.webhook_secret",
        default: None,
        shown: Shown::Masked,
        purpose: "the secret shared with the git host that posts pushes to /v1/webhooks/git",
    },
    Known {
        path: "master.weights_signing_key_file",
        default: None,
        shown: Shown::AsItIs,
        purpose: "the seed that weights are signed with, 64 hex digits; in development made beside a SQLite database unless set",
    },
    Known {
        path: "notify.on",
        default: Some("success,failure,drift"),
        shown: Shown::AsItIs,
        purpose: "what is notified of: success, failure, drift, joined by commas",
    },
    Known {
        path: "notify.secret",
        default: None,
        shown: Shown::Masked,
        purpose: "the secret that notifications are signed with",
    },
    Known {
        path: "notify.url",
        default: None,
        shown: Shown::Masked,
        purpose: "a webhook that is told what happens; its path may be a secret",
    },
    Known {
        path: "observability.listen",
        default: Some("127.0.0.1:8083"),
        shown: Shown::AsItIs,
        purpose: "where `run` and every role of `serve` serve health, readiness and metrics",
    },
    Known {
        path: "observability.log_json",
        default: Some("true"),
        shown: Shown::AsItIs,
        purpose: "write logs as JSON where standard error is no terminal",
    },
    Known {
        path: "observability.otel_endpoint",
        default: None,
        shown: Shown::AsAddress,
        purpose: "a collector that is sent traces (OTLP/HTTP), such as http://localhost:4318",
    },
    Known {
        path: "observability.otel_service_name",
        default: Some("platform"),
        shown: Shown::AsItIs,
        purpose: "the name of the service in traces",
    },
    Known {
        path: "policy.enforce_production",
        default: Some("false"),
        shown: Shown::AsItIs,
        purpose: "turn the production policy on in any environment",
    },
    Known {
        path: "source",
        default: Some("./platform.yaml"),
        shown: Shown::AsAddress,
        purpose: "where platform.yaml is read from",
    },
];

impl Known {
    pub(super) fn find(path: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.path == path)
    }

    /// Tells whether settings stand below this path.
    pub(super) fn is_section(path: &str) -> bool {
        KNOWN.iter().any(|known| known.is_below(path))
    }

    fn is_below(&self, section: &str) -> bool {
        let rest = self.path.strip_prefix(section);
        rest.is_some_and(|rest| rest.starts_with('.'))
    }

    /// Returns the known path that is most like this one.
    pub(super) fn nearest(path: &str) -> &'static str {
        if let Some(known) = KNOWN.iter().find(|known| known.is_below(path)) {
            return known.path;
        }
        let distance = |known: &&Self| strsim::damerau_levenshtein(path, known.path);
        KNOWN.iter().min_by_key(distance).map_or("", |k| k.path)
    }
}
