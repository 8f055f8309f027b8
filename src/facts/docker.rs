//! What Docker has on the node, and who still uses it.

use serde::{Deserialize, Serialize};

use super::Fact;

/// What Docker has on the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Docker {
    /// Its directory, by daemon.json; /var/lib/docker if nothing else is said.
    pub data_root: String,
    /// Its containers, by the files that it keeps; absent without its directory.
    pub containers: Fact<Vec<DockerContainer>>,
    /// Processes outside the host's mount namespace that have something of Docker mounted.
    pub users: Fact<Vec<MountUser>>,
    /// Lines of scripts, cron tables and units that call `docker`.
    pub scripts: Fact<Vec<ScriptLine>>,
    /// Registries for which root's Docker client has credentials.
    pub logins: Fact<Vec<String>>,
    /// Registries for which the kubelet has credentials.
    pub kubelet_logins: Fact<Vec<String>>,
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            data_root: "/var/lib/docker".to_owned(),
            containers: Fact::default(),
            users: Fact::default(),
            scripts: Fact::default(),
            logins: Fact::default(),
            kubelet_logins: Fact::default(),
        }
    }
}

/// A container of Docker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerContainer {
    /// Its name, without the slash.
    pub name: String,
    /// Whether it ran when the file was written.
    pub running: bool,
    /// The image as it was asked for.
    pub image: String,
    /// Its restart policy: `no`, `always`, `unless-stopped`, `on-failure`.
    pub restart: String,
    /// Directories and files of the host that are mounted.
    pub mounts: Vec<String>,
}

impl DockerContainer {
    /// Whether a kubelet made it.
    pub fn is_of_kubelet(&self) -> bool {
        self.name.starts_with("k8s_")
    }
}

/// A process that has something of Docker mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountUser {
    /// One process of its mount namespace.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// The id of its container, where its control group tells one.
    pub container: Option<String>,
    /// What is mounted, as the process sees it.
    pub path: String,
}

/// A line of a script.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptLine {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// Its text, with secrets covered.
    pub text: String,
}
