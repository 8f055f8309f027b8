//! The log files of a container that is gone: the log, and what rotation made of it (`0.log.20260102-030405.gz`).
//!
//! The path comes from the runtime, so it is not trusted: only absolute paths without `..`, only files and links, and
//! never a directory.

use std::io;
use std::path::{Component, Path};
use std::time::Duration;

/// A disk that does not answer must not hold up the rest.
const DEADLINE: Duration = Duration::from_secs(10);

/// Names that are looked at in the log directory.
const MOST_NAMES: usize = 10_000;

/// Removes the log at this path and its rotations. A log that is not there, or that the runtime does not keep in a
/// file, is no error.
///
/// # Errors
/// The first file that cannot be removed, or a path that is no log path.
pub async fn remove(path: String) -> io::Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    let work = tokio::task::spawn_blocking(move || remove_now(Path::new(&path)));
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the disk does not answer",
        )),
    }
}

fn remove_now(path: &Path) -> io::Result<()> {
    let strange = !path.is_absolute()
        || path
            .components()
            .any(|step| !matches!(step, Component::RootDir | Component::Normal(_)));
    let (Some(directory), Some(name), false) = (path.parent(), path.file_name(), strange) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{}` is no log path", path.display()),
        ));
    };
    let names = match std::fs::read_dir(directory) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut rotated = name.to_owned();
    rotated.push(".");
    for entry in names.take(MOST_NAMES) {
        let entry = entry?;
        let found = entry.file_name();
        let is_log = found == name
            || found
                .as_encoded_bytes()
                .starts_with(rotated.as_encoded_bytes());
        if is_log && !entry.file_type()?.is_dir() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_and_its_rotations_go_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in [
            "0.log",
            "0.log.20260102-030405.gz",
            "0.log.tmp",
            "1.log",
            "10.log",
            "0.logs",
        ] {
            std::fs::write(path(name), "x").unwrap();
        }
        std::fs::create_dir(path("0.log.d")).unwrap();
        remove_now(&path("0.log")).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["0.log.d", "0.logs", "1.log", "10.log"]);
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in ["var/log/a", "/var/log/../../etc/passwd", "/", "./a"] {
            assert_eq!(
                remove_now(Path::new(path)).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{path}"
            );
        }
        remove_now(Path::new("/nosuch/directory/0.log")).unwrap();
    }
}
