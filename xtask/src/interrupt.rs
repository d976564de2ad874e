//! Ctrl-C and its relatives, as a flag that every wait looks at.
//!
//! Nothing is done inside a signal handler: whoever waits notices, returns an
//! error, and what was started is ended on the way out.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The signal that asked this process to end, if one did.
#[derive(Clone, Default)]
pub struct Interrupt {
    /// Stays once it has come.
    latest: Arc<AtomicUsize>,
    /// Until somebody has passed it on.
    pending: Arc<AtomicUsize>,
}

/// This process was asked to end by a signal.
#[derive(Debug)]
pub struct Interrupted {
    signal: u8,
}

impl Interrupt {
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on.
    ///
    /// # Errors
    ///
    /// Fails when the system refuses a handler.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let value = usize::try_from(signal).context("number of a signal")?;
            for flag in [&interrupt.latest, &interrupt.pending] {
                signal_hook::flag::register_usize(signal, Arc::clone(flag), value)
                    .context("listen to signals")?;
            }
        }
        Ok(interrupt)
    }

    /// Refuses to go on once a signal has come.
    ///
    /// # Errors
    ///
    /// Fails with [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        match u8::try_from(self.latest.load(Ordering::SeqCst)) {
            Ok(0) => Ok(()),
            Ok(signal) => Err(Interrupted { signal }),
            Err(_) => Err(Interrupted { signal: 15 }),
        }
    }

    /// Returns the signal that came since the last call, for passing it on.
    ///
    /// [`Interrupt::check`] refuses all the same.
    pub fn take(&self) -> Option<i32> {
        match self.pending.swap(0, Ordering::SeqCst) {
            0 => None,
            signal => i32::try_from(signal).ok(),
        }
    }
}

impl Interrupted {
    /// Returns the exit code a shell expects: 128 and the signal.
    pub fn exit_code(&self) -> u8 {
        self.signal.saturating_add(128)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted by signal {}", self.signal)
    }
}

impl Error for Interrupted {}
