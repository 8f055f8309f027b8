//! Where a log lies, and what may be opened there.
//!
//! A folder of logs is written to by more than the runtime: a pod that mounts `/var/log` can put a link to any file of
//! the node in the place of its log, and whoever shows it as root gives that file away (the kubelet had this hole). So a
//! log is read where it lies; the only link that leads further on an honest node is cri-dockerd's, to Docker's own file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, SeekFrom};

/// How much of the first line tells a log from others, in bytes: all of it, because json-file has the time at its end.
pub const HEAD: usize = 20 * 1024;

/// How much is read at once, in bytes.
pub const CHUNK: usize = 64 * 1024;

/// What a file is to the kernel, whatever its name.
pub type Id = (u64, u64);

/// Where a log that is a link may lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Links {
    /// Nowhere but into its own folder.
    #[default]
    Beside,
    /// Also to a file whose name begins so, as with Docker: `ID-json.log`.
    Named(String),
    /// To any file.
    Anywhere,
}

/// A log is a link to something else.
#[derive(Debug, thiserror::Error)]
#[error("it is a link to `{0}`, which is no log of this container")]
pub struct LinkedAway(PathBuf);

/// The path of a log.
#[derive(Debug, Clone)]
pub struct Place {
    /// As the runtime tells it.
    pub path: PathBuf,
    /// What may be behind it.
    pub links: Links,
}

impl Place {
    /// Opens the log that is there now.
    ///
    /// # Errors
    /// It cannot be opened, is no regular file, or [`LinkedAway`].
    pub fn open(&self) -> io::Result<File> {
        let file = open(&self.path, OFlags::empty())?;
        // Of the file that is open now; the path may be another one by the time it is looked at.
        let real = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
            .or_else(|_| std::fs::canonicalize(&self.path))?;
        self.check(&real)?;
        Ok(file)
    }

    /// Where the path leads to; the path itself while nothing is there.
    ///
    /// # Errors
    /// It cannot be followed, or [`LinkedAway`].
    pub fn real(&self) -> io::Result<PathBuf> {
        match std::fs::canonicalize(&self.path) {
            Ok(real) => self.check(&real).map(|()| real),
            // Just renamed, and not there again yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match std::fs::read_link(&self.path) {
                    Ok(to) => self.check(&to).map(|()| to),
                    Err(_) => Ok(self.path.clone()),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn check(&self, real: &Path) -> io::Result<()> {
        let is_named = |name: &str| {
            real.file_name()
                .is_some_and(|found| found.to_string_lossy().starts_with(name))
        };
        let is_fine = match &self.links {
            Links::Anywhere => true,
            Links::Named(name) if is_named(name) => true,
            Links::Named(_) | Links::Beside => {
                let folder = self.path.parent().unwrap_or(Path::new("/"));
                real.parent() == Some(&*std::fs::canonicalize(folder)?)
            }
        };
        if is_fine {
            return Ok(());
        }
        let away = LinkedAway(real.to_owned());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, away))
    }
}

/// Opens a rotated log, which is no link.
///
/// # Errors
/// It cannot be opened, or is something else.
pub fn open_beside(path: &Path) -> io::Result<File> {
    open(path, OFlags::NOFOLLOW)
}

/// Opens a regular file; a pipe that somebody left there would never answer.
fn open(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    Ok(file)
}

/// The kernel's id of a file.
pub fn id(metadata: &std::fs::Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

/// The first line of a file that is open. Zeros before it are passed over: a writer that does not append leaves a hole
/// where the log was truncated.
///
/// # Errors
/// It cannot be read.
pub fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut at = 0;
    loop {
        let mut bytes = vec![0; HEAD];
        let length = file.read_at(&mut bytes, at)?;
        bytes.truncate(length);
        let zeros = zeros(&bytes);
        if zeros == 0 {
            return Ok(first_line(bytes));
        }
        at += zeros as u64;
        if zeros == length {
            at = data_from(file, at)?;
        }
    }
}

/// What of the first bytes of a log is its first line.
pub fn first_line(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        bytes.truncate(end + 1);
    }
    bytes
}

/// How many zeros the bytes begin with.
pub fn zeros(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len())
}

/// Where the next bytes are that are no hole, from here on; the end of the file if there are none.
///
/// # Errors
/// The disk refuses.
pub fn data_from(file: &File, at: u64) -> io::Result<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(data),
        Err(rustix::io::Errno::NXIO) => Ok(file.metadata()?.len().max(at)),
        // A file system that knows no holes.
        Err(rustix::io::Errno::INVAL) => Ok(at),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path(), Path::new("/dev/null")] {
            let error = open(path, OFlags::empty()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_link_leads_to_a_log_or_nowhere() {
        let pods = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        for name in ["shadow", "abc-json.log"] {
            std::fs::write(elsewhere.path().join(name), name).unwrap();
        }
        std::fs::write(pods.path().join("1.log"), "1").unwrap();
        let opens = |to: &Path, links: Links| {
            let path = pods.path().join("0.log");
            let _ = std::fs::remove_file(&path);
            std::os::unix::fs::symlink(to, &path).unwrap();
            let place = Place { path, links };
            let real = place.real();
            let opened = place.open();
            assert_eq!(real.is_ok(), opened.is_ok());
            match opened {
                Ok(_) => true,
                Err(error) => {
                    assert!(error.get_ref().is_some_and(|e| e.is::<LinkedAway>()));
                    false
                }
            }
        };
        let named = || Links::Named("abc-json.log".to_owned());
        assert!(opens(&pods.path().join("1.log"), Links::Beside));
        assert!(!opens(&elsewhere.path().join("shadow"), Links::Beside));
        assert!(!opens(&elsewhere.path().join("shadow"), named()));
        assert!(opens(&elsewhere.path().join("abc-json.log"), named()));
        assert!(opens(&elsewhere.path().join("shadow"), Links::Anywhere));
    }

    #[test]
    fn a_hole_is_passed_over() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"first\nsecond\n", 1 << 40).unwrap();
        assert_eq!(head(&file).unwrap(), b"first\n");
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        assert_eq!(head(&file).unwrap(), b"");
    }
}
