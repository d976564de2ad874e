//! The kind of a challenge's workload, its storage, its database and its second container.

use std::collections::BTreeMap;

use super::base::Base;
use super::env::{DATABASE_URL, is_postgres};
use super::grammar::{check_name, is_dns_subdomain, is_label_key};
use super::notes::Notes;
use super::resources::check_bytes;
use super::{image, secrets};
use crate::model::Quantity;
use crate::spec::path::Path;
use crate::spec::platform::{
    Access, Autoscaling, Database, Engine, Mode, PodResources, Postgres, Storage,
};
use crate::spec::types::{self, Challenge, StorageAccess, Text};

/// The most words of a command, and the longest.
const MOST_WORDS: usize = 256;
const LONGEST_WORD: usize = 8 << 10;

/// Checks the size of a volume; the default counts when none is written.
pub(super) fn check_size(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&Text>,
    default: &str,
) -> Option<Quantity> {
    let remedy = "write a size such as `10Gi`";
    let Some(Text(text)) = written else {
        return Quantity::parse(default).ok();
    };
    let size = notes.parsed(path, Quantity::parse(text.trim()), remedy)?;
    check_bytes(notes, path, &size, remedy);
    Some(size)
}

/// Returns how many nodes may mount a volume.
pub(super) fn access(written: Option<StorageAccess>) -> Access {
    match written {
        Some(StorageAccess::ReadWriteMany) => Access::ReadWriteMany,
        Some(StorageAccess::ReadWriteOnce) | None => Access::ReadWriteOnce,
    }
}

/// Checks a challenge's `/data` volume.
pub(super) fn check_storage(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &Challenge,
    base: &Base,
) -> Option<Storage> {
    let size = match &written.storage_size {
        Some(_) => check_size(
            notes,
            &path.key("storage_size"),
            written.storage_size.as_ref(),
            "",
        ),
        None => base.storage_size.clone(),
    };
    let class = path.key("storage_class");
    let class = check_name(
        notes,
        &class,
        written.storage_class.as_ref(),
        is_dns_subdomain,
    );
    Some(Storage {
        size: size?,
        class: class.or_else(|| base.storage_class.clone()),
        access: match written.storage_access {
            Some(own) => access(Some(own)),
            None => base.storage_access,
        },
    })
}

/// Checks the bounds of an autoscaler as far as they are written.
pub(super) fn check_bounds(notes: &mut Notes<'_>, path: &Path<'_>, written: &types::Autoscaling) {
    let (min, max) = (
        written.min_replicas.unwrap_or(1),
        written.max_replicas.unwrap_or(3),
    );
    if max < min {
        notes.error(
            path,
            format!("has fewer replicas at most ({max}) than at least ({min})"),
            "raise `max_replicas`, or lower `min_replicas`",
        );
    }
}

/// Checks the kind of a challenge's workload.
pub(super) fn check_mode(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &Challenge,
    base: &Base,
    storage: Option<&Storage>,
) -> Mode {
    let mode = written.challenge_mode.unwrap_or(base.mode);
    let autoscaling = path.key("autoscaling");
    if mode == types::Mode::StatefulSet {
        if written.autoscaling.is_some() {
            let remedy = "leave it out, or write `challenge_mode: deployment`";
            notes.warn(
                &autoscaling,
                "has no effect: a StatefulSet has one replica",
                remedy,
            );
        }
        return Mode::StatefulSet;
    }
    let merged = merge(written.autoscaling.as_ref(), &base.autoscaling);
    if written.autoscaling.is_some() {
        check_bounds(notes, &autoscaling, &merged);
    }
    let scaler = build_autoscaling(&merged);
    let is_shared = storage.is_none_or(|s| s.access == Access::ReadWriteMany);
    if scaler.is_some() && !is_shared {
        let place = if written.autoscaling.is_some() {
            autoscaling
        } else {
            path.key("challenge_mode")
        };
        notes.error(
            &place,
            "wants more than one replica on a volume that one node may mount",
            "write `storage_access: ReadWriteMany` if the storage class can do that, or \
             `autoscaling: {enabled: false}`",
        );
    }
    Mode::Deployment {
        autoscaling: scaler,
    }
}

fn merge(own: Option<&types::Autoscaling>, base: &types::Autoscaling) -> types::Autoscaling {
    let own = own.cloned().unwrap_or_default();
    types::Autoscaling {
        enabled: own.enabled.or(base.enabled),
        keda_enabled: own.keda_enabled.or(base.keda_enabled),
        min_replicas: own.min_replicas.or(base.min_replicas),
        max_replicas: own.max_replicas.or(base.max_replicas),
        target_cpu_utilization: own.target_cpu_utilization.or(base.target_cpu_utilization),
    }
}

/// Returns the autoscaler if one is due: it is on, and more than one replica is allowed.
fn build_autoscaling(merged: &types::Autoscaling) -> Option<Autoscaling> {
    let max_replicas = merged.max_replicas.unwrap_or(3);
    (merged.enabled.unwrap_or(true) && max_replicas > 1).then(|| Autoscaling {
        engine: if merged.keda_enabled.unwrap_or(false) {
            Engine::Keda
        } else {
            Engine::Hpa
        },
        min_replicas: merged.min_replicas.unwrap_or(1),
        max_replicas,
        target_cpu_utilization: merged.target_cpu_utilization.unwrap_or(70),
    })
}

/// Returns where a challenge's relational data is, as declared or by default.
pub(super) fn database_kind(written: &Challenge, base: &Base) -> types::Database {
    written.database.unwrap_or(if base.postgres.is_enabled {
        types::Database::Managed
    } else {
        types::Database::Sqlite
    })
}

/// Checks where a challenge's relational data is.
pub(super) fn check_database(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &Challenge,
    base: &Base,
) -> Option<Database> {
    let kind = database_kind(written, base);
    let secret = path.key("database_secret");
    if kind != types::Database::External && written.database_secret.is_some() {
        let message = "belongs to `database: external`";
        notes.error(&secret, message, "write that, or leave it out");
    }
    if kind != types::Database::Managed && written.postgres.is_some() {
        let message = "has no effect: the database is not managed";
        notes.warn(&path.key("postgres"), message, "leave it out");
    }
    match kind {
        types::Database::Managed => {
            check_postgres(notes, &path.key("postgres"), written, base).map(Database::Managed)
        }
        types::Database::Sqlite => {
            let own = written
                .env
                .get(DATABASE_URL)
                .is_some_and(|url| is_postgres(url));
            let is_noted = written.env.contains_key(DATABASE_URL);
            if notes.is_production() && !own && !is_noted {
                notes.error(
                    &path.key("database"),
                    "is refused: in production a challenge's database is Postgres",
                    "write `database: managed`, or `external` with `database_secret`",
                );
            }
            Some(Database::Sqlite)
        }
        types::Database::External => {
            let message = "is missing: an external database's address stands in a Secret";
            let remedy = "write `database_secret: {secret: <Secret>, key: <key>}`";
            notes.missing(&secret, message, remedy);
            let written = written.database_secret.as_ref()?;
            secrets::check_ref(notes, &secret, written).map(Database::External)
        }
    }
}

fn check_postgres(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &Challenge,
    base: &Base,
) -> Option<Postgres> {
    let own = written.postgres.clone().unwrap_or_default();
    let image = match &own.image {
        Some(text) => image::check_postgres(notes, &path.key("image"), text),
        None => base.postgres.image.clone(),
    };
    let storage_size = match &own.storage_size {
        Some(_) => check_size(
            notes,
            &path.key("storage_size"),
            own.storage_size.as_ref(),
            "",
        ),
        None => base.postgres.storage_size.clone(),
    };
    let class = path.key("storage_class");
    let class = check_name(notes, &class, own.storage_class.as_ref(), is_dns_subdomain);
    let resources = match &own.resources {
        Some(_) => check_pod_resources(notes, &path.key("resources"), own.resources.as_ref()),
        None => base.postgres.resources.clone(),
    };
    Some(Postgres {
        image: image?,
        storage_size: storage_size?,
        storage_class: class.or_else(|| base.postgres.storage_class.clone()),
        resources,
    })
}

/// Checks requests and limits: names, amounts, and that no request is above its limit.
pub(super) fn check_pod_resources(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&types::PodResources>,
) -> PodResources {
    let Some(written) = written else {
        return PodResources::default();
    };
    let requests = check_amounts(notes, &path.key("requests"), &written.requests);
    let limits = check_amounts(notes, &path.key("limits"), &written.limits);
    let value = |quantity: &Quantity| crate::model::quantity::thousandths(quantity.as_str());
    for (name, request) in &requests {
        if limits
            .get(name)
            .is_some_and(|limit| value(request) > value(limit))
        {
            notes.error(
                &path.key("requests").key(name),
                "is more than its limit",
                "lower it, or raise the limit",
            );
        }
    }
    PodResources { requests, limits }
}

fn check_amounts(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: &BTreeMap<String, Text>,
) -> BTreeMap<String, Quantity> {
    if written.len() > 16 {
        notes.error(path, "has more than 16 entries", "write fewer");
        return BTreeMap::new();
    }
    let mut amounts = BTreeMap::new();
    for (name, Text(text)) in written {
        let below = path.key(name);
        if !is_label_key(name) {
            let remedy = "`cpu`, `memory`, `ephemeral-storage` or `domain/name`";
            notes.error(&below, "is no name of a resource", remedy);
        }
        let remedy = "write an amount such as `500m` or `512Mi`";
        if let Some(amount) = notes.parsed(&below, Quantity::parse(text.trim()), remedy) {
            amounts.insert(name.clone(), amount);
        }
    }
    amounts
}

/// Checks the command of the second container.
pub(super) fn check_worker(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&types::Worker>,
) -> Option<Vec<String>> {
    let path = path.key("command");
    let command = written?.command.as_ref()?;
    if command.is_empty() || command.len() > MOST_WORDS {
        notes.error(
            &path,
            format!("has no words or more than {MOST_WORDS}"),
            "write the program and its arguments as a list",
        );
    }
    for (index, word) in command.iter().take(MOST_WORDS).enumerate() {
        if word.is_empty() || word.len() > LONGEST_WORD || word.contains('\0') {
            let message = format!("is empty, has a NUL byte or more than {LONGEST_WORD} bytes");
            notes.error(&path.index(index), message, "write a word of the command");
        }
    }
    Some(command.clone())
}
