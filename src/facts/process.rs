//! The processes that matter: daemons of runtimes, their shims, the kubelet.

use serde::{Deserialize, Serialize};

use super::Fact;

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// containerd.
    Containerd,
    /// CRI-O.
    Crio,
    /// dockerd.
    Dockerd,
    /// cri-dockerd.
    CriDockerd,
    /// The kubelet, or a program that has it inside (k3s, RKE2).
    Kubelet,
    /// A shim of containerd.
    Shim,
    /// CRI-O's monitor of a container.
    Conmon,
}

impl Role {
    /// Whether it is a daemon that may serve CRI.
    pub fn is_runtime(self) -> bool {
        matches!(self, Self::Containerd | Self::Crio | Self::CriDockerd)
    }

    /// The program, as people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Crio => "CRI-O",
            Self::Dockerd => "dockerd",
            Self::CriDockerd => "cri-dockerd",
            Self::Kubelet => "kubelet",
            Self::Shim => "containerd-shim",
            Self::Conmon => "conmon",
        }
    }
}

/// A process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// What it is for.
    pub role: Role,
    /// Its state: `R`, `S`, `D`, `T`, `Z`.
    pub state: char,
    /// When it was started, RFC 3339.
    pub started_at: Option<String>,
    /// Its executable.
    pub exe: Fact<Exe>,
    /// Its arguments, with secrets taken out; of daemons only.
    pub arguments: Fact<Vec<String>>,
    /// Its working directory.
    pub directory: Option<String>,
    /// The systemd unit that it runs in.
    pub unit: Option<String>,
    /// What it may use; of daemons only.
    pub limits: Fact<Limits>,
    /// Whether and how it is told to use a proxy; of daemons only.
    pub proxy: Fact<Proxy>,
    /// What it uses.
    pub footprint: Footprint,
    /// The container or pod sandbox that a shim belongs to.
    pub container: Option<String>,
    /// Its mount namespace, as the kernel names it.
    pub mount_namespace: Option<String>,
}

/// An executable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exe {
    /// Its path.
    pub path: String,
    /// Whether the file has been removed or replaced since.
    pub deleted: bool,
}

/// Limits of a process; none is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Open files, soft.
    pub files_soft: Option<u64>,
    /// Open files, hard.
    pub files_hard: Option<u64>,
    /// Processes of its user, soft.
    pub processes_soft: Option<u64>,
}

/// Proxy settings in the environment of a process. What stands in them is kept only as far as it is no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Whether `HTTP_PROXY` is set.
    pub http: bool,
    /// Whether `HTTPS_PROXY` is set.
    pub https: bool,
    /// The entries of `NO_PROXY`.
    pub except: Vec<String>,
}

impl Proxy {
    /// Whether any proxy is set.
    pub fn is_set(&self) -> bool {
        self.http || self.https
    }
}

/// What a process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Footprint {
    /// Threads.
    pub threads: Option<u64>,
    /// Resident memory in bytes.
    pub rss_bytes: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
}

impl Process {
    /// The value of an argument, in either notation; the last one wins. `names` are with their dashes.
    pub fn argument(&self, names: &[&str]) -> Option<&str> {
        let arguments = self.arguments.value()?;
        let mut found = None;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            for name in names {
                if argument == name {
                    found = rest.as_slice().first().map(String::as_str);
                } else if let Some(value) = argument
                    .strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix('='))
                {
                    found = Some(value);
                }
            }
        }
        found
    }
}
