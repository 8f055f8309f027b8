//! What was found out about one endpoint: plain values that `probe` fills in, checks judge and `render` shows.
//!
//! The verdicts are a closed set, so that a script can rely on the words. Every report carries one sentence that says
//! what was seen and one that says what to do.

use serde::{Deserialize, Serialize};

use super::Endpoint;
use super::discover::Source;

/// What an endpoint turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// CRI v1 answers.
    Serving,
    /// CRI answers, but only in the version that Kubernetes gave up in 1.26.
    #[serde(rename = "v1alpha2-only")]
    V1alpha2Only,
    /// A gRPC server that was told not to serve CRI, or never could.
    CriDisabled,
    /// A runtime whose CRI service did not come up, or answers with an error.
    CriFailed,
    /// Somebody listens, and it is no gRPC server.
    NotGrpc,
    /// Somebody listens and does not answer in time.
    Hung,
    /// The socket is there and nobody listens: left behind by a process that is gone.
    Refused,
    /// The socket exists, this user may not connect.
    Denied,
    /// Something else is at this path: a file, a directory, …
    NotSocket,
    /// Socket activation holds it and the service behind it is down; it was not woken.
    Dormant,
    /// There is nothing at this path.
    Absent,
}

impl Verdict {
    /// The word used in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Serving => "serving",
            Verdict::V1alpha2Only => "v1alpha2-only",
            Verdict::CriDisabled => "cri-disabled",
            Verdict::CriFailed => "cri-failed",
            Verdict::NotGrpc => "not-grpc",
            Verdict::Hung => "hung",
            Verdict::Refused => "refused",
            Verdict::Denied => "denied",
            Verdict::NotSocket => "not-socket",
            Verdict::Dormant => "dormant",
            Verdict::Absent => "absent",
        }
    }

    /// Whether CRI answers, in whatever version.
    pub fn serves(self) -> bool {
        matches!(self, Verdict::Serving | Verdict::V1alpha2Only)
    }

    /// Whether asking again soon may end differently without anybody doing anything: a daemon that is being restarted.
    pub fn is_transient(self) -> bool {
        matches!(self, Verdict::Refused)
    }
}

/// Who says that it is behind the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// `containerd`, `cri-o`, `docker`, …, as it calls itself.
    pub name: Option<String>,
    /// Its version, verbatim.
    pub version: Option<String>,
    /// The CRI version spoken: `v1` or `v1alpha2`; none where CRI does not answer.
    pub api: Option<String>,
}

impl std::fmt::Display for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name.as_deref().unwrap_or("a runtime without a name"))?;
        match &self.version {
            Some(version) => write!(f, " {version}"),
            None => Ok(()),
        }
    }
}

/// The process that holds the socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its id as this process sees it.
    pub pid: Option<u32>,
    /// Path of the executable; the bare command name where the path may not be read.
    pub exe: Option<String>,
    /// The systemd unit it runs in.
    pub unit: Option<String>,
    /// When it was started, RFC 3339, UTC.
    pub started_at: Option<String>,
    /// Why something above is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// One endpoint: why it was looked at, what was seen, what to do about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointReport {
    /// The address.
    pub endpoint: Endpoint,
    /// Other addresses in the list that lead to the same socket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Endpoint>,
    /// Who named it.
    pub source: Source,
    /// Where exactly it is named: a flag, a file and line, a process.
    pub named_by: String,
    /// Its place in the order of candidates, from 1.
    pub order: usize,
    /// What it turned out to be.
    pub verdict: Verdict,
    /// Who answered.
    pub runtime: Option<Runtime>,
    /// How long the `Version` call took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Who holds the socket, if anybody does.
    pub process: Option<Process>,
    /// Whether this is the one that commands talk to.
    pub chosen: bool,
    /// Why it was chosen over the others.
    pub chosen_because: Option<String>,
    /// What was seen, in one sentence.
    pub detail: String,
    /// The runtime's own words, verbatim, where it gave a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_says: Option<String>,
    /// What to do, in one sentence; none where all is well.
    pub advice: Option<String>,
}

/// The document that `endpoints -o json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// `criscope/v1`.
    pub api_version: String,
    /// `Endpoints`.
    pub kind: String,
    /// In the order of candidates.
    pub endpoints: Vec<EndpointReport>,
}

impl Endpoints {
    /// A document of these reports.
    pub fn new(endpoints: Vec<EndpointReport>) -> Self {
        Self {
            api_version: "criscope/v1".to_owned(),
            kind: "Endpoints".to_owned(),
            endpoints,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_in_json_is_the_name() {
        for verdict in [
            Verdict::Serving,
            Verdict::V1alpha2Only,
            Verdict::CriDisabled,
            Verdict::CriFailed,
            Verdict::NotGrpc,
            Verdict::Hung,
            Verdict::Refused,
            Verdict::Denied,
            Verdict::NotSocket,
            Verdict::Dormant,
            Verdict::Absent,
        ] {
            let json = serde_json::to_value(verdict).unwrap();
            assert_eq!(json, verdict.name());
        }
    }
}
