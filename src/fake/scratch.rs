//! A temporary directory that goes with its owner. `tempfile` is for tests; the demo runs without it.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Error;

/// A directory for one's sockets, open to its owner alone.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Scratch {
    /// Makes a new one; a name that is taken (by an earlier process with this id) is passed over.
    pub(super) fn new() -> Result<Self, Error> {
        let base = std::env::temp_dir();
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("criscope-fake-{}-{count}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::Socket { path, source }),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody else writes there; if it cannot be removed, nothing depends on it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
