//! At most one run at a time, and what the last one found.
//!
//! The lock is `flock` on a file in a directory that only the user can write (`/run/criscope` for root), so it is gone
//! with the process that held it, whatever became of that.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// Reports and facts are small, in bytes; what is larger is none.
pub const LARGEST: u64 = 64 * 1024 * 1024;

/// How long the report of a question that nobody asks any more is kept.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory for the lock and for what the last runs found.
#[derive(Debug, Clone)]
pub struct Keep {
    directory: PathBuf,
}

/// The lock; free again when it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Keep {
    /// A directory that only this user writes, made if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or belongs to somebody else.
    pub fn at(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        match fs::DirBuilder::new().mode(0o755).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = fs::symlink_metadata(directory)?;
        if !found.is_dir()
            || found.uid() != rustix::process::geteuid().as_raw()
            || found.mode() & 0o022 != 0
        {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is not a directory that only this user can write",
            ));
        }
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// Where this user keeps things: `/run/criscope` for root, else below `$XDG_RUNTIME_DIR`.
    pub fn usual() -> Option<PathBuf> {
        if rustix::process::geteuid().is_root() {
            return Some(PathBuf::from("/run/criscope"));
        }
        let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty())?;
        Some(PathBuf::from(own).join("criscope"))
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn try_lock(&self) -> io::Result<Option<Lock>> {
        let file = self.lock_file()?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the lock. Blocks the thread.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn lock(&self) -> io::Result<Lock> {
        let file = self.lock_file()?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Lock(file))
    }

    fn lock_file(&self) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.directory.join("check.lock"))
    }

    /// Where the last report about a question is.
    pub fn last(&self, question: u64) -> PathBuf {
        self.directory.join(format!("last-{question:016x}.json"))
    }

    /// Removes reports that nobody has renewed for a day: every set of flags is a question of its own.
    pub fn forget(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let old = |entry: &fs::DirEntry| {
                let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?;
                Some(age > FORGOTTEN)
            };
            if name.starts_with("last-") && name.ends_with(".json") && old(&entry) == Some(true) {
                // One that cannot be removed only stays.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_answers_go() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::at(&directory.path().join("own")).unwrap();
        let (old, new) = (keep.last(1), keep.last(2));
        for path in [&old, &new] {
            fs::write(path, "{}").unwrap();
        }
        let yesterday = std::time::SystemTime::now() - 2 * FORGOTTEN;
        File::options()
            .write(true)
            .open(&old)
            .unwrap()
            .set_modified(yesterday)
            .unwrap();
        keep.forget();
        assert!(!old.exists() && new.exists());
    }

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::at(&directory.path().join("own")).unwrap();
        let lock = keep.try_lock().unwrap();
        assert!(lock.is_some());
        assert!(keep.try_lock().unwrap().is_none());
        drop(lock);
        assert!(keep.try_lock().unwrap().is_some());
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Keep::at(&open).is_err());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(Keep::at(&link).is_err());
    }
}
