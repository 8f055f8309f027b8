//! The move that a node is prepared for, and what it was before: what `criscope preflight` adds to the facts.

use serde::{Deserialize, Serialize};

use super::Facts;

/// From which runtime to which.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Migration {
    /// The runtime that serves now, as in `docker`, `containerd@1.7.28`.
    pub from: Option<String>,
    /// The runtime that will, as in `containerd@2.1.4`.
    pub to: String,
    /// The version of Kubernetes that will run with it, as in `1.34`.
    pub kubernetes: Option<String>,
    /// Images that have to be pullable, besides those of running pods.
    pub images: Vec<String>,
    /// The node as it was before the move.
    pub before: Option<Box<Facts>>,
}

impl Migration {
    /// Whether it comes from Docker, with or without cri-dockerd.
    pub fn is_from_docker(&self) -> bool {
        let from = self.from.as_deref().unwrap_or_default();
        let name = from.split('@').next().unwrap_or_default();
        matches!(
            name,
            "docker" | "dockershim" | "cri-dockerd" | "dockerd" | "moby"
        )
    }
}
