//! Targets: how each is reached, and what production demands of that.

use super::base::Base;
use super::grammar::{check_name, check_url, check_words, is_dns_label, is_dns_subdomain};
use super::notes::Notes;
use super::{placement, secrets};
use crate::model::TargetId;
use crate::spec::path::Path;
use crate::spec::platform::{Reach, Target};
use crate::spec::types::{self, TargetMode};

/// Checks a target.
pub(super) fn check(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    id: &TargetId,
    written: &types::Target,
    base: &Base,
) -> Option<Target> {
    let reach = match written.mode.unwrap_or(TargetMode::Direct) {
        TargetMode::Direct => check_direct(notes, path, written),
        TargetMode::Agent => check_agent(notes, path, written),
    };
    let verify_tls = written.verify_tls.unwrap_or(true);
    if notes.is_production() && !verify_tls {
        notes.error(
            &path.key("verify_tls"),
            "is refused: production checks certificates",
            "leave it out, and give the target a certificate that can be checked",
        );
    }
    if let Some(text) = &written.description {
        check_words(notes, &path.key("description"), text, 4096);
    }
    placement::check_labels(notes, &path.key("labels"), &written.labels);
    let namespace = path.key("namespace");
    let namespace = check_name(notes, &namespace, written.namespace.as_ref(), is_dns_label);
    let account = path.key("service_account");
    let account = check_name(
        notes,
        &account,
        written.service_account.as_ref(),
        is_dns_subdomain,
    );
    let class = path.key("storage_class");
    let class = check_name(
        notes,
        &class,
        written.storage_class.as_ref(),
        is_dns_subdomain,
    );
    let placement = placement::of_target(notes, path, &base.target_placement, written);
    Some(Target {
        id: id.clone(),
        reach: reach?,
        description: written.description.clone(),
        namespace: namespace.unwrap_or_else(|| "platform".to_owned()),
        service_account: account.unwrap_or_else(|| base.service_account.clone()),
        enabled: written.enabled.unwrap_or(true),
        draining: written.draining.unwrap_or(false),
        verify_tls,
        timeout_seconds: written.timeout_seconds.unwrap_or(30),
        labels: written.labels.clone(),
        gpu_count: written.gpu_count.unwrap_or(0),
        storage_class: class.or_else(|| base.storage_class.clone()),
        placement,
    })
}

fn check_direct(notes: &mut Notes<'_>, path: &Path<'_>, written: &types::Target) -> Option<Reach> {
    for (name, is_written) in [
        ("agent_url", written.agent_url.is_some()),
        ("token", written.token.is_some()),
    ] {
        if is_written {
            let message = "belongs to `mode: agent`";
            notes.error(&path.key(name), message, "write that, or leave it out");
        }
    }
    if let Some(url) = &written.api_url {
        check_url(notes, &path.key("api_url"), url, &["http", "https"]);
    }
    let kubeconfig = path.key("kubeconfig");
    notes.missing(
        &kubeconfig,
        "is missing: a direct target is reached with a kubeconfig",
        "write `kubeconfig: {secret: <Secret>, key: kubeconfig}`",
    );
    Some(Reach::Direct {
        kubeconfig: secrets::check_ref(notes, &kubeconfig, written.kubeconfig.as_ref()?)?,
        api_url: written.api_url.clone(),
    })
}

fn check_agent(notes: &mut Notes<'_>, path: &Path<'_>, written: &types::Target) -> Option<Reach> {
    for (name, is_written) in [
        ("kubeconfig", written.kubeconfig.is_some()),
        ("api_url", written.api_url.is_some()),
    ] {
        if is_written {
            let message = "belongs to `mode: direct`";
            notes.error(&path.key(name), message, "write that, or leave it out");
        }
    }
    let (url, token) = (path.key("agent_url"), path.key("token"));
    notes.missing(
        &url,
        "is missing: an agent is reached by its address",
        "write `agent_url: https://<host>:8091`",
    );
    notes.missing(
        &token,
        "is missing: an agent is asked with a token",
        "write `token: {secret: <Secret>, key: token}`",
    );
    if let Some(text) = &written.agent_url {
        let schemes: &[&str] = if notes.is_production() {
            &["https"]
        } else {
            &["http", "https"]
        };
        check_url(notes, &url, text, schemes);
    }
    let token = written
        .token
        .as_ref()
        .and_then(|t| secrets::check_ref(notes, &token, t));
    Some(Reach::Agent {
        agent_url: written.agent_url.clone()?.trim_end_matches('/').to_owned(),
        token: token?,
    })
}
