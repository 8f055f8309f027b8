//! What can be said before a byte is sent: what is at the path, who holds the socket, why connect() failed.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::holder::Reach;
use super::host::Host;
use super::{Effort, Triage, advice, holder, permission};
use crate::endpoint::report::Verdict;

/// What is at the path, if it is not a socket.
pub(super) fn look(path: &Path, called: &Path) -> Option<Triage> {
    let link = match fs::symlink_metadata(path) {
        Ok(link) => link,
        Err(error) => return Some(unseen(path, called, &error)),
    };
    let found = if link.file_type().is_symlink() {
        match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Some(denied(path));
            }
            Err(error) => {
                let target = fs::read_link(path).unwrap_or_default();
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "which does not exist".to_owned(),
                    _ => format!("which cannot be followed ({error})"),
                };
                return Some(Triage::new(
                    Verdict::Absent,
                    format!("a symbolic link to {}, {why}", target.display()),
                    format!(
                        "remove the link or point it at a socket; if its runtime is to run here, {}",
                        advice::start(called)
                    ),
                ));
            }
        }
    } else {
        link
    };
    let kind = found.file_type();
    let what = if kind.is_socket() {
        return None;
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "a regular file"
    };
    let advice = if kind.is_dir() {
        // What a container engine makes of a missing source of a bind mount.
        "give the path of the socket itself; if this path was mounted into a container, the socket did not exist then"
    } else {
        "give the path of a socket, or remove what is there and restart the runtime"
    };
    Some(Triage::new(
        Verdict::NotSocket,
        format!("this is {what}, not a socket"),
        advice,
    ))
}

/// The path does not lead anywhere.
fn unseen(path: &Path, called: &Path, error: &io::Error) -> Triage {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return denied(path);
    }
    // The first part of the path that is missing tells a runtime that is not installed from one that is down.
    let missing = path
        .ancestors()
        .skip(1)
        .take_while(|directory| fs::symlink_metadata(directory).is_err())
        .last();
    let detail = match (error.kind(), missing) {
        (io::ErrorKind::NotFound, Some(directory)) => {
            format!(
                "there is no such file: the directory {} does not exist",
                directory.display()
            )
        }
        (io::ErrorKind::NotFound, None) => "there is no such file".to_owned(),
        (io::ErrorKind::NotADirectory, _) => {
            let file = path
                .ancestors()
                .skip(1)
                .find(|part| fs::metadata(part).is_ok_and(|found| !found.is_dir()));
            let file = file.unwrap_or(path).display();
            format!("there is no such file: {file} is not a directory")
        }
        _ => format!("there is no such file ({error})"),
    };
    Triage::new(Verdict::Absent, detail, advice::absent(called))
}

fn denied(path: &Path) -> Triage {
    let permission::Obstacle { detail, advice } = permission::explain(path);
    Triage::new(Verdict::Denied, detail, advice)
}

/// A socket that only a supervisor holds.
pub(super) fn dormant(path: &Path, host: &Host, effort: Effort) -> Option<Triage> {
    let reach = match effort {
        Effort::Quick => Reach::Init,
        Effort::Full => Reach::Everybody,
    };
    let asleep = holder::asleep(host, path, reach)?;
    let process = host.process(asleep.pid);
    let supervisor = process
        .exe
        .as_deref()
        .and_then(|exe| Path::new(exe).file_name()?.to_str())
        .unwrap_or(&asleep.comm);
    let pid = asleep.pid;
    let (detail, advice) = match &asleep.unit {
        Some(unit) => (
            format!(
                "{supervisor} (pid {pid}) holds the socket for {}, and {} is not running; it was not woken",
                unit.socket, unit.service
            ),
            format!(
                "start it with `systemctl start {}`, or ask with `--wake`",
                unit.service
            ),
        ),
        None => (
            format!(
                "only {supervisor} (pid {pid}) holds the socket, to start a service on the first connection; it was \
                 not woken"
            ),
            "start the service behind the socket, or ask with `--wake`".to_owned(),
        ),
    };
    Some(Triage::new(Verdict::Dormant, detail, advice).of(Some(process)))
}

/// connect() failed.
pub(super) fn unconnected(path: &Path, called: &Path, error: &io::Error) -> Triage {
    match error.kind() {
        io::ErrorKind::NotFound => unseen(path, called, error),
        io::ErrorKind::PermissionDenied => denied(path),
        io::ErrorKind::ConnectionRefused => Triage::new(
            Verdict::Refused,
            "the socket is there but nobody listens: the process that made it is gone",
            format!(
                "{}; a runtime replaces the stale socket when it starts",
                advice::start(called)
            ),
        ),
        // A datagram socket, as /dev/log is.
        _ if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
            Triage::new(
                Verdict::NotGrpc,
                "this is a socket of another type than a stream, so no gRPC server listens there",
                "give the socket of a container runtime",
            )
        }
        _ => Triage::new(
            Verdict::Refused,
            format!("connect() failed: {error}"),
            advice::look_at(called, None),
        ),
    }
}
