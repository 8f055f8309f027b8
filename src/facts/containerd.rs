//! What containerd tells about itself on the CRI socket: its own services, which no other runtime serves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fact;

/// The plugin that serves CRI. Up to 1.7 all of CRI is in it; from 2.0 on it is absent if CRI is disabled, while the
/// image and runtime halves are still there.
pub const CRI_PLUGIN: (&str, &str) = ("io.containerd.grpc.v1", "cri");

/// What containerd tells about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Containerd {
    /// `Introspection.Plugins`.
    pub plugins: Fact<Vec<Plugin>>,
    /// `Introspection.Server`.
    pub server: Fact<Server>,
    /// `Namespaces.List` with the number of images in each.
    pub namespaces: Fact<Vec<Namespace>>,
    /// Names of the kubelet's images that were pulled with a manifest of Docker's schema 1, by the label that containerd
    /// (1.6.25, 1.7.8 and later) gives them when it converts one.
    pub schema1: Fact<Vec<String>>,
}

/// A plugin of the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// `io.containerd.grpc.v1`, …
    pub kind: String,
    /// `cri`, `overlayfs`, …
    pub id: String,
    /// What it exports: its root directory, features.
    pub exports: BTreeMap<String, String>,
    /// What went wrong when it was started, in the daemon's words.
    pub error: Option<String>,
    /// Whether it does not want to run here, which is no fault: a snapshotter on the wrong file system.
    pub skipped: bool,
}

impl Plugin {
    /// The name that configuration files use: `io.containerd.grpc.v1.cri`.
    pub fn uri(&self) -> String {
        format!("{}.{}", self.kind, self.id)
    }
}

/// The daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Its process id in its own namespace; 0 where it does not say.
    pub pid: u64,
    /// Deprecated features that were used since it was started.
    pub deprecations: Vec<Deprecation>,
}

/// A deprecated feature that was used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deprecation {
    /// The daemon's name for it.
    pub id: String,
    /// What the daemon says about it.
    pub message: String,
    /// When it was used last, RFC 3339.
    pub last: Option<String>,
}

/// A namespace of containerd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its name; CRI uses `k8s.io`.
    pub name: String,
    /// How many image names it has.
    pub images: usize,
}

impl Containerd {
    /// The plugin that serves CRI: `Some(None)` if the daemon does not have it.
    pub fn cri_plugin(&self) -> Option<Option<&Plugin>> {
        let plugins = self.plugins.value()?;
        Some(
            plugins
                .iter()
                .find(|plugin| (plugin.kind.as_str(), plugin.id.as_str()) == CRI_PLUGIN),
        )
    }
}
