//! Writes files below a host root: what is there is copied first, and the new text takes its place at once, with the
//! mode and the owner of the old one. A daemon reads either the old file or the new one, never half of one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use crate::error::Error;
use crate::files::replace::{Mode, replace};
use crate::registry::convert::Change;

/// A file that was written.
#[derive(Debug, Serialize)]
pub struct Written {
    /// The path as the node sees it.
    pub path: PathBuf,
    /// Where the old one is kept, if there was one.
    pub backup: Option<PathBuf>,
}

/// Writes all of them, in their order: config.toml comes last, so that what it points at is there.
///
/// # Errors
/// A file cannot be written. Those before it are; the error says which.
pub fn write(host_root: &Path, files: &[Change]) -> Result<Vec<Written>, Error> {
    let stamp = jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let mut written: Vec<Written> = Vec::new();
    for file in files {
        match one(host_root, &file.path, &file.text, &stamp) {
            Ok(backup) => written.push(Written {
                path: file.path.clone(),
                backup,
            }),
            Err(error) => {
                let done = match written.len() {
                    0 => "nothing was written".to_owned(),
                    count => format!("{count} files before it were written"),
                };
                return Err(Error::failure(format!(
                    "cannot write {}; {done}",
                    file.path.display()
                ))
                .because(&error));
            }
        }
    }
    Ok(written)
}

fn one(host_root: &Path, path: &Path, text: &str, stamp: &str) -> io::Result<Option<PathBuf>> {
    let target = below(host_root, path)?;
    let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(io::Error::other("it has no directory"));
    };
    fs::create_dir_all(directory)?;
    let name = name.to_string_lossy();
    let mut backup = None;
    if target.try_exists()? {
        // No suffix that a daemon reads.
        let kept = format!("{name}.criscope-{stamp}.bak");
        let mut copy = fresh(&directory.join(&kept), 0o600)?;
        copy.write_all(&fs::read(&target)?)?;
        copy.sync_all()?;
        backup = Some(path.with_file_name(kept));
    }
    replace(&target, text.as_bytes(), Mode::New(0o644))?;
    Ok(backup)
}

fn fresh(path: &Path, mode: u32) -> io::Result<fs::File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

/// A path of the node as ours. Links are followed on this machine's own root only: below another one, an absolute link
/// would lead out of it.
fn below(host_root: &Path, path: &Path) -> io::Result<PathBuf> {
    if host_root == Path::new("/") {
        return match fs::canonicalize(path) {
            Ok(real) => Ok(real),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
            Err(error) => Err(error),
        };
    }
    let mut target = host_root.to_owned();
    for part in path.components() {
        match part {
            Component::RootDir => continue,
            Component::Normal(name) => target.push(name),
            _ => return Err(io::Error::other("the path is not plain")),
        }
        if fs::symlink_metadata(&target).is_ok_and(|found| found.is_symlink()) {
            return Err(io::Error::other(format!(
                "{} is a symbolic link",
                target.display()
            )));
        }
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn change(path: &str, text: &str) -> Change {
        Change {
            path: path.into(),
            exists: false,
            content: None,
            edits: Vec::new(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_old_file_is_kept_with_its_mode() {
        let root = tempfile::tempdir().unwrap();
        let config = root.path().join("etc/config.toml");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        fs::write(&config, "old").unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
        let files = [
            change("/etc/certs.d/a/hosts.toml", "new host"),
            change("/etc/config.toml", "new"),
        ];
        let written = write(root.path(), &files).unwrap();
        assert_eq!(fs::read_to_string(&config).unwrap(), "new");
        assert_eq!(fs::metadata(&config).unwrap().mode() & 0o777, 0o640);
        let host = root.path().join("etc/certs.d/a/hosts.toml");
        assert_eq!(fs::read_to_string(host).unwrap(), "new host");
        assert!(written[0].backup.is_none());
        let backup = written[1].backup.as_ref().unwrap();
        let backup = root.path().join(backup.strip_prefix("/").unwrap());
        assert_eq!(fs::read_to_string(&backup).unwrap(), "old");
        let mut names: Vec<_> = fs::read_dir(root.path().join("etc"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names.len(), 3, "{names:?}");
    }

    #[test]
    fn a_link_does_not_lead_out() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("etc")).unwrap();
        let error = write(root.path(), &[change("/etc/config.toml", "new")]).unwrap_err();
        assert!(format!("{error:?}").contains("symbolic link"), "{error:?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
