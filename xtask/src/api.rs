//! A small client of the API server: enough to set a cluster up and to see it ready.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// Requests go to loopback; one that takes longer is tried again by whoever waits.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one API server.
pub struct Api {
    agent: Agent,
    server: String,
    token: String,
}

impl Api {
    /// Returns a client that trusts the certificates in `authority` (PEM) only.
    ///
    /// # Errors
    ///
    /// Fails when `authority` holds no certificate.
    pub fn new(server: &str, authority: &str, token: &str) -> Result<Self> {
        let certificates: Vec<Certificate<'static>> = parse_pem(authority.as_bytes())
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            bail!("the certificate of the API server is not PEM");
        }
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(certificates))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Self {
            agent,
            server: server.to_owned(),
            token: token.to_owned(),
        })
    }

    /// Returns whether the API server calls itself ready.
    pub fn is_ready(&self) -> bool {
        self.agent
            .get(format!("{}/readyz", self.server))
            .header("Authorization", format!("Bearer {}", self.token))
            .call()
            .is_ok_and(|answer| answer.status() == 200)
    }

    /// Reads one object or list.
    ///
    /// # Errors
    ///
    /// Fails when the server cannot be reached or does not answer 200.
    pub fn get(&self, path: &str) -> Result<Value> {
        let mut answer = self
            .agent
            .get(format!("{}{path}", self.server))
            .header("Authorization", format!("Bearer {}", self.token))
            .call()
            .with_context(|| format!("get {path}"))?;
        let text = answer
            .body_mut()
            .read_to_string()
            .with_context(|| format!("read {path}"))?;
        if answer.status() != 200 {
            bail!("get {path}: {}: {text}", answer.status());
        }
        serde_json::from_str(&text).with_context(|| format!("parse {path}"))
    }

    /// Creates one object in the collection at `path`.
    ///
    /// # Errors
    ///
    /// Fails when the server cannot be reached or does not answer 201.
    pub fn create(&self, path: &str, object: &Value) -> Result<()> {
        let mut answer = self
            .agent
            .post(format!("{}{path}", self.server))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", "application/json")
            .send(object.to_string())
            .with_context(|| format!("create in {path}"))?;
        if answer.status() != 201 {
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            bail!("create in {path}: {}: {text}", answer.status());
        }
        Ok(())
    }
}
