//! What a challenge or a target does not say itself, checked once.

use super::grammar::{check_name, is_dns_subdomain, is_gpu_resource};
use super::notes::Notes;
use super::{image, placement, workload};
use crate::model::{ImageRef, Quantity};
use crate::spec::path::Path;
use crate::spec::platform::{Access, Placement, PodResources};
use crate::spec::types::{self, Autoscaling, File, Mode};

/// The defaults, every one filled in.
pub(super) struct Base {
    pub mode: Mode,
    pub storage_size: Option<Quantity>,
    pub storage_class: Option<String>,
    pub storage_access: Access,
    pub postgres: BasePostgres,
    pub autoscaling: Autoscaling,
    /// For the local cluster.
    pub placement: Placement,
    /// For targets.
    pub target_placement: Placement,
    pub service_account: String,
}

/// The defaults of managed databases.
pub(super) struct BasePostgres {
    pub is_enabled: bool,
    pub image: Option<ImageRef>,
    pub storage_size: Option<Quantity>,
    pub storage_class: Option<String>,
    pub resources: PodResources,
}

/// Checks `defaults`, and what of `broker` shapes pods.
pub(super) fn check(notes: &mut Notes<'_>, file: &File) -> Base {
    let root = Path::ROOT;
    let path = root.key("defaults");
    let written = file.defaults.clone().unwrap_or_default();
    let gpu = check_gpu_name(notes, file);
    let placement = check_placement(notes, &path, &written, gpu);
    let below = path.key("target_defaults");
    let target_placement = placement::over(
        notes,
        &below,
        &placement,
        &written.target_defaults.clone().unwrap_or_default(),
    );
    let storage_class = check_name(
        notes,
        &path.key("storage_class"),
        written.storage_class.as_ref(),
        is_dns_subdomain,
    );
    let autoscaling = written.autoscaling.clone().unwrap_or_default();
    workload::check_bounds(notes, &path.key("autoscaling"), &autoscaling);
    let account = path.key("service_account");
    let account = check_name(
        notes,
        &account,
        written.service_account.as_ref(),
        is_dns_subdomain,
    );
    let size = path.key("storage_size");
    Base {
        mode: written.challenge_mode.unwrap_or(Mode::StatefulSet),
        storage_size: workload::check_size(notes, &size, written.storage_size.as_ref(), "10Gi"),
        postgres: check_postgres(notes, &path.key("postgres"), file, storage_class.as_ref()),
        storage_class,
        storage_access: workload::access(written.storage_access),
        autoscaling,
        placement,
        target_placement,
        service_account: account.unwrap_or_else(|| "platform-master".to_owned()),
    }
}

fn check_gpu_name(notes: &mut Notes<'_>, file: &File) -> String {
    let root = Path::ROOT;
    let broker = root.key("broker");
    let written = file
        .broker
        .as_ref()
        .and_then(|b| b.gpu_resource_name.as_ref());
    if let Some(name) = written {
        check_gpu_resource(notes, &broker.key("gpu_resource_name"), name);
    }
    written
        .cloned()
        .unwrap_or_else(|| "nvidia.com/gpu".to_owned())
}

/// Checks the name under which nodes offer GPUs.
pub(super) fn check_gpu_resource(notes: &mut Notes<'_>, path: &Path<'_>, name: &str) {
    if !is_gpu_resource(name) {
        notes.error(
            path,
            "is no name under which nodes offer GPUs",
            "a domain with a dot, not Kubernetes' own, and a name: `nvidia.com/gpu`",
        );
    }
}

fn check_placement(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &types::Defaults,
    gpu_resource_name: String,
) -> Placement {
    placement::check_selector(notes, &path.key("node_selector"), &written.node_selector);
    let class = path.key("runtime_class_name");
    let secrets = path.key("image_pull_secrets");
    placement::check_pull_secrets(notes, &secrets, &written.image_pull_secrets);
    Placement {
        node_selector: written.node_selector.clone(),
        tolerations: placement::check_tolerations(
            notes,
            &path.key("tolerations"),
            &written.tolerations,
        ),
        runtime_class_name: check_name(
            notes,
            &class,
            written.runtime_class_name.as_ref(),
            is_dns_subdomain,
        ),
        image_pull_secrets: written.image_pull_secrets.clone(),
        gpu_resource_name,
    }
}

fn check_postgres(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    file: &File,
    storage_class: Option<&String>,
) -> BasePostgres {
    let written = file
        .defaults
        .as_ref()
        .and_then(|d| d.postgres.clone())
        .unwrap_or_default();
    for (name, keeps) in [
        ("retain_pvc", written.retain_pvc),
        ("retain_secret", written.retain_secret),
    ] {
        if keeps == Some(false) {
            notes.error(
                &path.key(name),
                "cannot be false: data outlives its challenge",
                "leave it out; `platform purge SLUG` deletes what a removed challenge left",
            );
        }
    }
    let is_enabled = written.enabled.unwrap_or(true);
    let class = check_name(
        notes,
        &path.key("storage_class"),
        written.storage_class.as_ref(),
        is_dns_subdomain,
    );
    let image_path = path.key("image");
    let image = match &written.image {
        Some(text) => image::check_postgres(notes, &image_path, text),
        None => {
            if notes.is_production() && needs_default_image(file, is_enabled) {
                notes.missing(
                    &image_path,
                    "is missing: production wants the database image with its digest",
                    "write `image: postgres:16-alpine@sha256:<64 hex>`",
                );
            }
            ImageRef::parse("postgres:16-alpine").ok()
        }
    };
    let size = path.key("storage_size");
    BasePostgres {
        is_enabled,
        image,
        storage_size: workload::check_size(notes, &size, written.storage_size.as_ref(), "10Gi"),
        storage_class: class.or_else(|| storage_class.cloned()),
        resources: workload::check_pod_resources(
            notes,
            &path.key("resources"),
            written.resources.as_ref(),
        ),
    }
}

fn needs_default_image(file: &File, is_enabled: bool) -> bool {
    let default = if is_enabled {
        types::Database::Managed
    } else {
        types::Database::Sqlite
    };
    file.challenges.iter().flatten().any(|(_, challenge)| {
        let is_managed = challenge.database.unwrap_or(default) == types::Database::Managed;
        let own = challenge.postgres.as_ref().and_then(|p| p.image.as_ref());
        is_managed && own.is_none()
    })
}
