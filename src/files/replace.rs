//! Replacing a file: whoever reads it meanwhile sees the old text or the new one, never half of one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

/// Who may read the file afterwards, in the bits of chmod(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An existing file keeps its mode, a new one gets this one, whatever the process' umask.
    New(u32),
    /// The file gets this mode, whatever it had.
    Always(u32),
}

/// Puts `bytes` in the place of a file, or makes it.
///
/// A link stays one: what it points to is replaced. The owner stays. What is no file but a device or a pipe
/// (`/dev/stdout`) is written to as it is.
///
/// # Errors
/// What the file system says; the old file is still there then.
pub fn replace(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        // An open file that has no name any more, such as the pipe behind /dev/stdout.
        Err(error) if fs::metadata(path).is_err() => return Err(error),
        Err(_) => path.to_owned(),
    };
    let before = fs::metadata(&path).ok();
    if before.as_ref().is_some_and(|before| before.is_dir()) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if before.as_ref().is_some_and(|before| !before.is_file()) {
        return OpenOptions::new().write(true).open(&path)?.write_all(bytes);
    }
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    // In the same directory, or it could not be renamed; hidden, so that collectors and daemons do not read it.
    let draft = path.with_file_name(format!(
        ".{}.{}.new",
        name.to_string_lossy(),
        std::process::id()
    ));
    let written =
        draw_up(&draft, bytes, mode, before.as_ref()).and_then(|()| fs::rename(&draft, &path));
    match written {
        // A single file that is mounted into a container cannot be replaced, only overwritten.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            fs::remove_file(&draft)?;
            fs::write(&path, bytes)
        }
        Err(error) => {
            // Whether it could be made at all is in the error.
            let _ = fs::remove_file(&draft);
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

fn draw_up(
    draft: &Path,
    bytes: &[u8],
    mode: Mode,
    before: Option<&fs::Metadata>,
) -> io::Result<()> {
    // Left over by a process that had the same id and was killed.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Nobody else reads it before it has the mode that it is to have.
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    if let Some(before) = before {
        // Only root may give a file away; to others it belongs already.
        let _ = chown(draft, Some(before.uid()), Some(before.gid()));
    }
    let mode = match (mode, before) {
        (Mode::New(_), Some(before)) => before.mode() & 0o7777,
        (Mode::New(mode) | Mode::Always(mode), _) => mode,
    };
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.prom");
        replace(&path, b"old\n", Mode::New(0o644)).unwrap();
        assert_eq!(mode(&path), 0o644);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"new\n", Mode::New(0o644)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
        assert_eq!(mode(&path), 0o640);
        replace(&path, b"new\n", Mode::Always(0o600)).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_one_and_a_pipe_too() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        let link = directory.path().join("link");
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, b"new", Mode::New(0o644)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        let (reader, writer) = io::pipe().unwrap();
        use std::os::fd::AsRawFd;
        let pipe = format!("/proc/self/fd/{}", writer.as_raw_fd());
        replace(Path::new(&pipe), b"through", Mode::Always(0o600)).unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(reader).unwrap(), "through");
        replace(Path::new("/dev/null"), b"gone", Mode::Always(0o600)).unwrap();
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, b"x", Mode::New(0o644)).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
