//! Files that others read: written whole or not at all, and at most one run at a time.
//!
//! The lock is `flock` on a file in a directory that only the user can write (`/run/criscope` for root), so it is gone
//! with the process that held it, whatever became of that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Reports are small; what is larger is none.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Writes a file beside its place and puts it there in one step.
///
/// # Errors
/// What the file system says; the old file is still there then.
pub fn atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    // In the same directory, or it could not be renamed; hidden, so that collectors do not read it.
    let beside = path.with_file_name(format!(
        ".{}.{}.tmp",
        name.to_string_lossy(),
        std::process::id()
    ));
    let written = (|| {
        // Left over by a process that had the same id and was killed.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        // The mask of the process may have taken bits away that readers need.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Reads a file that is not too large.
///
/// # Errors
/// What the file system says.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.len() > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "more than 64 MB",
        ));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, LARGEST), &mut bytes)?;
    Ok(bytes)
}

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

    /// A file of this directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.prom");
        atomically(&path, b"old\n", 0o644).unwrap();
        atomically(&path, b"new\n", 0o644).unwrap();
        assert_eq!(read(&path).unwrap(), b"new\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(atomically(&taken, b"x", 0o644).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
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
