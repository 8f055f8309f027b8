//! Ctrl-C and SIGTERM while nobody listens for them.
//!
//! A command that waits hears a signal at once, because the runtime listens. One that computes, or writes to somebody who
//! does not read, would hear it only when it waits again, which may be never: a template with loops in loops, a pipe
//! that is full. Such work is done in [`deaf`]: a signal that comes meanwhile ends the process there and then, as it would
//! have without a listener, but with the exit code that it has everywhere.
//!
//! That must not happen while something has to be put right before the end: who has such a [`Duty`] is waited for.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

/// Whether a signal ends the process at once.
static AT_ONCE: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// How many duties there are.
static DUTIES: AtomicUsize = AtomicUsize::new(0);

/// Something that has to be put right before the process ends, also when it is interrupted.
#[derive(Debug)]
#[must_use]
pub struct Duty(());

impl Duty {
    /// Takes it on, until it is dropped.
    pub fn new() -> Self {
        DUTIES.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Default for Duty {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        DUTIES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether there is a duty.
pub fn has_duties() -> bool {
    DUTIES.load(Ordering::Relaxed) > 0
}

/// Lets signals end what is done in [`deaf`]: with 130 and 143, as everywhere.
///
/// # Errors
/// The kernel refuses.
pub fn prepare() -> io::Result<()> {
    for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
        register_conditional_shutdown(signal, code, Arc::clone(&AT_ONCE))?;
    }
    Ok(())
}

/// Does work that hears nothing: a signal ends the process, unless somebody has a duty.
pub fn deaf<T>(work: impl FnOnce() -> T) -> T {
    if has_duties() {
        return work();
    }
    let before = AT_ONCE.swap(true, Ordering::Relaxed);
    let outcome = work();
    AT_ONCE.store(before, Ordering::Relaxed);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, because what is asked is of the whole process.
    #[test]
    fn deaf_work_can_be_ended_unless_there_is_a_duty() {
        let now = || AT_ONCE.load(Ordering::Relaxed);
        assert!(!now());
        assert!(deaf(|| {
            deaf(|| ());
            now()
        }));
        assert!(!now());
        let duty = Duty::new();
        assert!(has_duties());
        assert!(!deaf(now));
        drop(duty);
        assert!(deaf(now));
    }
}
