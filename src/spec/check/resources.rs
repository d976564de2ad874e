//! What a challenge may use. Fields that Kubernetes cannot honour are refused, not ignored.

use super::grammar::check_words;
use super::notes::Notes;
use crate::model::quantity::thousandths;
use crate::model::{Quantity, TargetId};
use crate::spec::path::Path;
use crate::spec::platform::Resources;
use crate::spec::types::{self, Text};

/// Far above any machine: a larger number lacks its unit, or has one too many.
const MOST_CPUS: i128 = 4096;
/// No program runs in less: a smaller number lacks its unit.
const LEAST_BYTES: i128 = 1 << 20;
/// The most GPUs of a challenge: far above any machine.
const MOST_GPUS: u32 = 1024;

/// Checks the resources of a challenge.
pub(super) fn check(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&types::Resources>,
) -> Option<Resources> {
    let written = written.cloned().unwrap_or_default();
    let cpu = either(notes, path, ("cpu", &written.cpu), ("cpus", &written.cpus));
    let cpu = check_cpu(notes, path, cpu);
    let memory = check_memory(notes, &path.key("memory"), written.memory.as_ref());
    let swap = either(
        notes,
        path,
        ("memory_swap", &written.memory_swap),
        ("memswap_limit", &written.memswap_limit),
    );
    if let Some((name, text)) = &swap {
        check_swap(notes, &path.key(name), text, memory.as_ref());
    }
    let pids = either(
        notes,
        path,
        ("pids_limit", &written.pids_limit),
        ("pids", &written.pids),
    );
    let pids = check_pids(notes, path, pids);
    let gpus = either(
        notes,
        path,
        ("gpu_count", &written.gpu_count),
        ("gpus", &written.gpus),
    );
    let gpu_count = check_gpus(notes, path, gpus);
    for (name, text) in [
        ("gpu_device_ids", &written.gpu_device_ids),
        ("gpu_capabilities", &written.gpu_capabilities),
    ] {
        if let Some(text) = text {
            check_words(notes, &path.key(name), &text.0, 512);
        }
    }
    Some(Resources {
        cpu: cpu?,
        memory: memory?,
        gpu_count,
        target: check_target(notes, &path.key("target"), written.target.as_ref()),
        gpu_device_ids: written.gpu_device_ids.map(|text| text.0),
        gpu_capabilities: written.gpu_capabilities.map(|text| text.0),
        memory_swap: swap.map(|(_, text)| text),
        pids_limit: pids,
    })
}

/// Returns the value of a field or of its other name, and which of them it is. Both at once are
/// refused.
fn either<'n>(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    field: (&'n str, &Option<Text>),
    other: (&'n str, &Option<Text>),
) -> Option<(&'n str, String)> {
    if field.1.is_some() && other.1.is_some() {
        notes.error(
            &path.key(other.0),
            format!("says the same as `{}`", field.0),
            "keep one of them",
        );
    }
    let named = |(name, text): (&'n str, &Option<Text>)| {
        let text = text.as_ref()?;
        Some((name, text.0.trim().to_owned()))
    };
    named(field).or_else(|| named(other))
}

fn check_cpu(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<(&str, String)>,
) -> Option<Quantity> {
    let Some((name, text)) = written else {
        demand(notes, path, &["cpu", "cpus"], "cpu: \"2\"");
        return Quantity::parse("2").ok();
    };
    let path = path.key(name);
    let remedy = "write CPUs as `2`, `0.5` or `500m`";
    let cpu = notes.parsed(&path, Quantity::parse(&text), remedy)?;
    if thousandths(cpu.as_str()).is_none_or(|value| value > MOST_CPUS * 1000) {
        notes.error(&path, format!("is more than {MOST_CPUS} CPUs"), remedy);
    }
    Some(cpu)
}

/// In production CPU and memory are written: a default would be somebody else's guess.
fn demand(notes: &mut Notes<'_>, path: &Path<'_>, names: &[&str], example: &str) {
    if !notes.is_production() || names.iter().any(|name| notes.holds(&path.key(name))) {
        return;
    }
    let name = names.first().copied().unwrap_or_default();
    notes.missing(
        &path.key(name),
        "is missing: production wants it declared",
        format!("write `resources: {{{example}}}`"),
    );
}

fn check_memory(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&Text>,
) -> Option<Quantity> {
    let remedy = "write memory as `4Gi` or `512Mi`";
    let Some(Text(text)) = written else {
        if notes.is_production() {
            notes.missing(
                path,
                "is missing: production wants it declared",
                "write `resources: {memory: 4Gi}`",
            );
        }
        return Quantity::parse("4Gi").ok();
    };
    let memory = notes.parsed(path, Quantity::parse_memory(text.trim()), remedy)?;
    check_bytes(notes, path, &memory, remedy);
    Some(memory)
}

/// Refuses an amount that is too small to be meant.
pub(super) fn check_bytes(notes: &mut Notes<'_>, path: &Path<'_>, amount: &Quantity, remedy: &str) {
    if thousandths(amount.as_str()).is_none_or(|value| value < LEAST_BYTES * 1000) {
        notes.error(
            path,
            "is less than 1 MiB: its unit is missing or wrong",
            remedy,
        );
    }
}

fn check_swap(notes: &mut Notes<'_>, path: &Path<'_>, text: &str, memory: Option<&Quantity>) {
    let value = Quantity::parse_memory(text).ok();
    let bytes = |quantity: &Quantity| thousandths(quantity.as_str());
    let amount = value.as_ref().and_then(bytes);
    let default = thousandths("4Gi");
    if amount.is_none() || amount != default && amount != memory.and_then(bytes) {
        notes.error(
            path,
            "cannot be honoured: Kubernetes has no field for swap",
            "leave it out, or write `4g` or the same as `memory`",
        );
    }
}

fn check_pids(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<(&str, String)>,
) -> Option<u32> {
    let (name, text) = written?;
    if text != "512" {
        notes.error(
            &path.key(name),
            "cannot be honoured: Kubernetes has no field for a limit of processes",
            "leave it out, or write 512, which the cluster enforces",
        );
    }
    Some(512)
}

fn check_gpus(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<(&str, String)>,
) -> Option<u32> {
    let (name, text) = written?;
    match text.parse::<u32>() {
        Ok(count) if (1..=MOST_GPUS).contains(&count) => Some(count),
        _ => {
            notes.error(
                &path.key(name),
                format!("is no whole number from 1 to {MOST_GPUS}"),
                "write how many GPUs it needs, or leave the field out",
            );
            None
        }
    }
}

fn check_target(
    notes: &mut Notes<'_>,
    path: &Path<'_>,
    written: Option<&String>,
) -> Option<TargetId> {
    let text = written?;
    notes.parsed(
        path,
        TargetId::parse(text),
        "name a target that is declared under `targets`",
    )
}
