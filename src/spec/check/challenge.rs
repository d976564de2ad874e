//! One challenge: its parts are checked in files of their own and put together here.

use semver::VersionReq;

use super::base::Base;
use super::grammar::check_url;
use super::notes::Notes;
use super::{env, image, metadata, proxy, resources, secrets, workload};
use crate::model::{Emission, ImageRef, Slug, names};
use crate::spec::path::Path;
use crate::spec::platform::{BrokerLimits, Challenge, Drift, OnFailure, Rollout, Status, Updates};
use crate::spec::types;

/// The port of challenges that name none.
const PORT: u16 = 8000;

/// Checks a challenge; nothing is returned when something it cannot be without is missing, which has
/// been noted then.
pub(super) fn check(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    slug: &Slug,
    written: &types::Challenge,
    base: &Base,
    emission: Option<Emission>,
) -> Option<Challenge> {
    let status = status(written.status);
    let image = written
        .image
        .as_ref()
        .and_then(|text| image::check(notes, &path.key("image"), text));
    metadata::check_texts(notes, path, written);
    metadata::check(notes, &path.key("metadata"), &written.metadata);
    let (internal_base_url, port) = check_address(notes, path, slug, written);
    let database_kind = workload::database_kind(written, base);
    let env_path = path.key("env");
    env::check(
        notes,
        &env_path,
        &written.env,
        &written.secrets,
        database_kind,
    );
    let storage = workload::check_storage(notes, path, written, base);
    let mode = workload::check_mode(notes, path, written, base, storage.as_ref());
    let capabilities = path.key("required_capabilities");
    let resources = resources::check(notes, &path.key("resources"), written.resources.as_ref());
    let secrets = secrets::check(notes, &path.key("secrets"), &written.secrets);
    let database = workload::check_database(notes, path, written, base);
    let updates = check_updates(notes, &path.key("updates"), written, image.as_ref());
    let volumes = metadata::check_volumes(notes, &path.key("volumes"), slug, &written.volumes);
    Some(Challenge {
        slug: slug.clone(),
        name: written.name.clone().unwrap_or_else(|| slug.to_string()),
        version: version(written, image.as_ref()),
        api_version: written
            .api_version
            .clone()
            .unwrap_or_else(|| "1.0".to_owned()),
        description: written.description.clone(),
        status,
        emission: emission.unwrap_or_default(),
        internal_base_url,
        port,
        required_capabilities: metadata::check_capabilities(
            notes,
            &capabilities,
            written.required_capabilities.as_ref(),
        ),
        volumes,
        env: written.env.clone(),
        secrets,
        metadata: written.metadata.clone(),
        worker: workload::check_worker(notes, &path.key("worker"), written.worker.as_ref()),
        mode,
        placement: base.placement.clone(),
        broker: broker_limits(written.broker.as_ref()),
        drift: match written.drift {
            Some(types::Drift::Report) => Drift::Report,
            Some(types::Drift::Correct) | None => Drift::Correct,
        },
        rollout: rollout(written.rollout.as_ref()),
        proxy: proxy::check(notes, &path.key("proxy"), slug, written.proxy.as_ref()),
        image: image?,
        resources: resources?,
        database: database?,
        storage: storage?,
        updates: updates?,
    })
}

fn status(written: Option<types::Status>) -> Status {
    match written {
        Some(types::Status::Active) => Status::Active,
        Some(types::Status::Inactive) => Status::Inactive,
        Some(types::Status::Disabled) => Status::Disabled,
        Some(types::Status::Draft) | None => Status::Draft,
    }
}

fn version(written: &types::Challenge, image: Option<&ImageRef>) -> String {
    let tag = || image.and_then(|image| image.tag.clone());
    written.version.clone().or_else(tag).unwrap_or_default()
}

fn broker_limits(written: Option<&types::BrokerLimits>) -> BrokerLimits {
    BrokerLimits {
        max_concurrent: written.and_then(|limits| limits.max_concurrent),
        timeout_seconds: written.and_then(|limits| limits.timeout_seconds),
    }
}

fn rollout(written: Option<&types::Rollout>) -> Rollout {
    let default = Rollout::default();
    Rollout {
        on_failure: match written.and_then(|rollout| rollout.on_failure) {
            Some(types::OnFailure::Rollback) => OnFailure::Rollback,
            Some(types::OnFailure::Hold) => OnFailure::Hold,
            None => default.on_failure,
        },
        timeout_seconds: written
            .and_then(|rollout| rollout.timeout_seconds)
            .unwrap_or(default.timeout_seconds),
    }
}

/// Checks where the platform reaches a challenge. The port is that of the address; one without a port
/// is served at [`PORT`] behind it.
fn check_address(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    slug: &Slug,
    written: &types::Challenge,
) -> (String, u16) {
    let default = || format!("http://{}:{PORT}", names::workload(slug));
    let Some(text) = written.internal_base_url.as_ref().filter(|t| !t.is_empty()) else {
        return (default(), PORT);
    };
    let below = path.key("internal_base_url");
    let url = check_url(notes, &below, text, &["https", "http"]);
    let port = url.and_then(|url| url.port()).unwrap_or(PORT);
    if port == 0 {
        notes.error(&below, "has the port 0", "write a port from 1 to 65535");
    }
    (text.trim_end_matches('/').to_owned(), port)
}

fn check_updates(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &types::Challenge,
    image: Option<&ImageRef>,
) -> Option<Updates> {
    let updates = written.updates.clone().unwrap_or_default();
    let range = path.key("range");
    let policy = updates.policy.unwrap_or(types::UpdatePolicy::Off);
    if policy != types::UpdatePolicy::Semver {
        if updates.range.is_some() {
            notes.error(
                &range,
                "belongs to `policy: semver`",
                "write that, or leave it out",
            );
        }
        let is_pin = policy == types::UpdatePolicy::Pin;
        return Some(if is_pin { Updates::Pin } else { Updates::Off });
    }
    let is_versioned = |image: &ImageRef| {
        let tag = image.tag.as_deref().unwrap_or_default();
        semver::Version::parse(tag.strip_prefix('v').unwrap_or(tag)).is_ok()
    };
    if image.is_some_and(|image| !is_versioned(image)) {
        notes.error(
            &path.key("policy"),
            "wants a version to start from, and the image's tag is none",
            "write the image with a tag such as `1.4.2`, or `policy: off`",
        );
    }
    let remedy = "write a range of versions such as `^2`, `~1.4` or `>=1.2, <3`";
    notes.missing(&range, "is missing", remedy);
    let text = updates.range?;
    if text.trim().is_empty() || VersionReq::parse(&text).is_err() {
        notes.error(&range, "is no range of versions", remedy);
    }
    Some(Updates::Semver { range: text })
}
