//! Evidence about one node as plain data: what `probe` brings back and `check` judges.
//!
//! Every fact is known (with its source), absent, or unknown with the reason. Facts can be saved and judged again
//! elsewhere, so they hold everything that a verdict needs, the time included, and nothing that depends on this process.
//! Passwords and tokens are taken out of texts when facts are saved; see [`files`].

pub mod certificate;
pub mod containerd;
pub mod cri;
pub mod docker;
pub mod expected;
pub mod files;
pub mod host;
pub mod journal;
pub mod kernel;
pub mod kubelet;
pub mod migration;
pub mod network;
pub mod process;
pub mod reach;
pub mod smoke;
pub mod source;
pub mod storage;
pub mod subject;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::endpoint::report::EndpointReport;

pub use certificate::Certificate;
pub use containerd::Containerd;
pub use cri::Cri;
pub use docker::Docker;
pub use files::Files;
pub use host::Host;
pub use journal::JournalLine;
pub use kernel::{Cgroup, Kernel};
pub use kubelet::Kubelet;
pub use migration::Migration;
pub use network::Network;
pub use process::{Process, Role};
pub use source::{FilePlace, Source};
pub use storage::Storage;
pub use subject::Subject;

/// Something that was looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Fact<T> {
    /// It is there.
    Known {
        /// What it is.
        value: T,
        /// Where it was seen.
        source: Source,
    },
    /// It is not there, or this node has no such thing.
    Absent {
        /// What is not there, as a sentence: "the node has no kubelet".
        what: String,
    },
    /// It could not be found out.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// Why a check has nothing to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// What it is about is not there: the check is skipped.
    Absent(String),
    /// It could not be found out: the outcome is unknown.
    Unknown(String),
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self::Unknown {
            reason: "nobody looked".to_owned(),
        }
    }
}

impl<T> Fact<T> {
    /// A known fact.
    pub fn known(value: T, source: Source) -> Self {
        Self::Known { value, source }
    }

    /// Something that is not there; `what` is a sentence.
    pub fn absent(what: impl Into<String>) -> Self {
        Self::Absent { what: what.into() }
    }

    /// Something that could not be found out.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown {
            reason: reason.into(),
        }
    }

    /// The value, if it is known.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Absent { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Where it was seen.
    pub fn source(&self) -> Option<&Source> {
        match self {
            Self::Known { source, .. } => Some(source),
            Self::Absent { .. } | Self::Unknown { .. } => None,
        }
    }

    /// The value, or what a check makes of its lack.
    ///
    /// # Errors
    /// [`Gap::Absent`] and [`Gap::Unknown`].
    pub fn need(&self) -> Result<&T, Gap> {
        match self {
            Self::Known { value, .. } => Ok(value),
            Self::Absent { what } => Err(Gap::Absent(what.clone())),
            Self::Unknown { reason } => Err(Gap::Unknown(reason.clone())),
        }
    }

    /// The value where it is there, `None` where it is known not to be.
    ///
    /// # Errors
    /// [`Gap::Unknown`].
    pub fn known_or_absent(&self) -> Result<Option<&T>, Gap> {
        match self {
            Self::Known { value, .. } => Ok(Some(value)),
            Self::Absent { .. } => Ok(None),
            Self::Unknown { reason } => Err(Gap::Unknown(reason.clone())),
        }
    }
}

/// Everything that is known about a node at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// `criscope/v1`.
    pub api_version: String,
    /// `Facts`.
    pub kind: String,
    /// The version of criscope that looked.
    pub tool: String,
    /// When looking began, RFC 3339, UTC.
    pub taken_at: String,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// The runtime that the user says this node has, as in `containerd@1.7.28`.
    pub assumed: Option<String>,
    /// The node itself.
    pub host: Host,
    /// The endpoints that were examined, in order.
    pub endpoints: Fact<Vec<EndpointReport>>,
    /// Every RPC that was made, in order.
    pub calls: Vec<cri::Call>,
    /// What the runtime answers over CRI.
    pub cri: Cri,
    /// What containerd tells about itself on the same socket.
    pub containerd: Containerd,
    /// The daemons of container runtimes, their shims and the kubelet.
    pub processes: Fact<Vec<Process>>,
    /// Configuration files and other paths of the node.
    pub files: Files,
    /// Control groups.
    pub cgroup: Cgroup,
    /// The kernel.
    pub kernel: Kernel,
    /// File systems.
    pub storage: Storage,
    /// What came of starting pods, one trial for each runtime handler.
    pub smoke: Fact<Vec<smoke::Trial>>,
    /// What registries answered about images that are in use.
    pub reach: Fact<Vec<reach::Reached>>,
    /// The kubelet.
    pub kubelet: Kubelet,
    /// Networks.
    pub network: Network,
    /// Docker.
    pub docker: Docker,
    /// Certificates, by the path of their file.
    pub certificates: BTreeMap<String, Fact<Certificate>>,
    /// The last lines of daemons in the journal, the newest last; read when no runtime answers.
    pub journal: Fact<Vec<JournalLine>>,
    /// The pod, container or image that somebody asks about.
    pub subject: Fact<Subject>,
    /// The move that the node is prepared for.
    pub migration: Option<Migration>,
    /// The mirrors that the site's policy names.
    pub expected_mirrors: Vec<expected::ExpectedMirror>,
}

impl Default for Facts {
    /// Nobody has looked at anything.
    fn default() -> Self {
        Self {
            api_version: "criscope/v1".to_owned(),
            kind: "Facts".to_owned(),
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at: String::new(),
            duration_ms: 0.0,
            assumed: None,
            host: Host::default(),
            endpoints: Fact::default(),
            calls: Vec::new(),
            cri: Cri::default(),
            containerd: Containerd::default(),
            processes: Fact::default(),
            files: Files::default(),
            cgroup: Cgroup::default(),
            kernel: Kernel::default(),
            storage: Storage::default(),
            smoke: Fact::absent("pods are started with `--smoke` only"),
            reach: Fact::absent("registries are asked with `--probe` only"),
            kubelet: Kubelet::default(),
            network: Network::default(),
            docker: Docker::default(),
            certificates: BTreeMap::new(),
            journal: Fact::default(),
            subject: Fact::absent("nobody asked about a pod, a container or an image"),
            migration: None,
            expected_mirrors: Vec::new(),
        }
    }
}

impl Facts {
    /// The endpoint that commands talk to.
    pub fn chosen(&self) -> Option<&EndpointReport> {
        let endpoints = self.endpoints.value()?;
        endpoints.iter().find(|endpoint| endpoint.chosen)
    }

    /// The endpoint that tells most about why nothing answers: the chosen one, else the first at which something is.
    pub fn telling(&self) -> Option<&EndpointReport> {
        use crate::endpoint::discover::Source as Named;
        use crate::endpoint::report::Verdict;
        let endpoints = self.endpoints.value()?;
        let rank = |report: &&EndpointReport| {
            (
                !report.chosen,
                report.source == Named::Builtin,
                report.verdict == Verdict::Absent,
                report.order,
            )
        };
        endpoints.iter().min_by_key(rank)
    }

    /// The processes in a role; none if they are not known.
    pub fn processes(&self, role: Role) -> impl Iterator<Item = &Process> {
        let all = self
            .processes
            .value()
            .map(Vec::as_slice)
            .unwrap_or_default();
        all.iter().filter(move |process| process.role == role)
    }

    /// The daemon that serves the chosen endpoint, else the only one of its kind.
    pub fn daemon(&self) -> Option<&Process> {
        let pid = self
            .telling()
            .and_then(|endpoint| endpoint.process.as_ref())
            .and_then(|process| process.pid);
        let daemons = || {
            let all = self
                .processes
                .value()
                .map(Vec::as_slice)
                .unwrap_or_default();
            all.iter().filter(|process| process.role.is_runtime())
        };
        match pid {
            Some(pid) => daemons().find(|process| process.pid == pid),
            None => {
                let mut all = daemons();
                all.next().filter(|_| all.next().is_none())
            }
        }
    }

    /// The calls of one RPC.
    pub fn calls(&self, rpc: &str) -> impl Iterator<Item = &cri::Call> {
        self.calls.iter().filter(move |call| call.rpc == rpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_being_saved() {
        let mut facts = Facts::default();
        facts.cri.sandbox_image = Fact::absent("the runtime names no sandbox image");
        facts.host.name = Fact::known("node".to_owned(), Source::proc("/proc/sys/kernel/hostname"));
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
    }

    #[test]
    fn what_an_older_criscope_did_not_look_for_is_unknown() {
        let facts: Facts =
            serde_json::from_str(r#"{"apiVersion":"criscope/v1","kind":"Facts"}"#).unwrap();
        assert!(matches!(facts.endpoints.need(), Err(Gap::Unknown(_))));
    }
}
