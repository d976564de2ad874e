//! What one worker may use. A limit of the kernel holds whatever the library does.

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

/// The most that is taken from a server, in MiB.
pub const MAX_RECEIVED_MIB: u64 = 128;
const MIB: u64 = 1024 * 1024;
/// Memory that is written to. Fetching a pack of [`MAX_RECEIVED_MIB`] takes well below half of this.
const MAX_MEMORY: u64 = 512 * MIB;
/// Address space: files are mapped besides, and where the kernel does not count [`MAX_MEMORY`] this stands in.
const MAX_ADDRESSES: u64 = 2048 * MIB;
/// One file: the pack, with room for what is added to complete it.
const MAX_FILE: u64 = 2 * MAX_RECEIVED_MIB * MIB;

/// Sets the limits of this process, which ends with its parent.
pub(super) fn set(seconds: u64) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, limit) in [
        (Resource::Core, 0),
        (Resource::Data, MAX_MEMORY),
        (Resource::As, MAX_ADDRESSES),
        (Resource::Fsize, MAX_FILE),
        (Resource::Cpu, seconds.saturating_add(5)),
    ] {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}
