//! The process behind a socket: who called listen(), who holds it now, and what state it is in.

use std::path::Path;

use tokio::net::UnixStream;

use super::host::Host;
use super::{Effort, holder};
use crate::endpoint::report::Process;
use crate::probe::daemon;

/// The process at the other end, for the sentences about it.
pub(super) struct Behind<'a> {
    pub(super) host: &'a Host,
    pub(super) path: &'a Path,
    /// The path as it is called on the host.
    pub(super) called: &'a Path,
    /// Who called listen(), or why that is not known.
    pub(super) peer: Result<u32, String>,
    pub(super) effort: Effort,
}

/// Who called listen() on the socket behind a stream, as SO_PEERCRED has it.
pub(super) fn peer_of(stream: &UnixStream) -> Result<u32, String> {
    match stream.peer_cred().map(|credentials| credentials.pid()) {
        Ok(Some(pid)) if pid > 0 => Ok(pid.unsigned_abs()),
        Ok(_) => Err("the process is outside this PID namespace".to_owned()),
        Err(error) => Err(format!("SO_PEERCRED: {error}")),
    }
}

impl Behind<'_> {
    /// Who holds the socket. Where a supervisor made it, the service that took it over.
    pub(super) fn process(&self) -> Process {
        let pid = match &self.peer {
            Ok(pid) => *pid,
            Err(why) => {
                return Process {
                    unknown: Some(why.clone()),
                    ..Process::default()
                };
            }
        };
        let gone = self.host.stat(pid).is_none();
        let handed_on = self
            .host
            .comm(pid)
            .is_some_and(|comm| holder::is_supervisor(&comm));
        if (gone || handed_on) && self.effort == Effort::Full {
            let inodes: Vec<u64> = self
                .host
                .listeners(self.path)
                .iter()
                .map(|listener| listener.inode)
                .collect();
            if let Some(pid) = holder::holder(self.host, &inodes) {
                return self.host.process(pid);
            }
        }
        self.host.process(pid)
    }

    /// The state of the process, where it explains silence.
    pub(super) fn state(&self, process: &Process) -> Option<&'static str> {
        match self.host.stat(process.pid?)?.state {
            'T' => Some("stopped by a signal"),
            't' => Some("stopped by a debugger"),
            'D' => Some("stuck in the kernel, usually on a disk or network file system"),
            'Z' => Some("dead and not yet reaped"),
            _ => None,
        }
    }

    /// The configuration file of a containerd, from its command line.
    pub(super) fn configuration(&self, process: &Process) -> String {
        let named = process
            .pid
            .filter(|pid| self.host.comm(*pid).as_deref() == Some("containerd"))
            .and_then(|pid| daemon::config(&self.host.arguments(pid)?))
            .map(|file| file.display().to_string());
        named.unwrap_or_else(|| "/etc/containerd/config.toml".to_owned())
    }
}
