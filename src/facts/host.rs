//! The node itself: its name, its system, and from where it is looked at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Fact;

/// The node itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Host {
    /// Its name.
    pub name: Fact<String>,
    /// The directory below which it is: `/`, a mounted disk, a tree of files.
    pub root: PathBuf,
    /// Whether it runs: a mounted disk has neither processes nor sockets.
    pub live: bool,
    /// The effective user id of this process; what only root may see is unknown to others.
    pub euid: u32,
    /// Its distribution.
    pub os: Fact<Os>,
    /// The command name of process 1: `systemd`, `init`, …
    pub init: Fact<String>,
    /// When it was booted, RFC 3339.
    pub booted_at: Fact<String>,
    /// The version of the containerd that is installed, where none answers and its program tells: `2.1.9`, or `2` and
    /// `1.7` for builds that tell the major version only.
    pub installed: Fact<String>,
    /// Packages of runtimes and of Kubernetes that are installed, by name.
    pub packages: Fact<BTreeMap<String, Package>>,
}

/// A package that is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its version.
    pub version: String,
    /// Whether it was installed because another one needs it, and goes when nothing does any more.
    pub automatic: bool,
    /// The packages that it needs, alternatives included.
    pub depends: Vec<String>,
}

/// A distribution, from os-release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Os {
    /// `ID`: `debian`, `rhel`, `sles`, `bottlerocket`.
    pub id: String,
    /// `ID_LIKE`, split.
    pub like: Vec<String>,
    /// `VERSION_ID`.
    pub version: String,
    /// `PRETTY_NAME`.
    pub name: String,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            name: Fact::default(),
            root: PathBuf::from("/"),
            live: false,
            euid: 0,
            os: Fact::default(),
            init: Fact::default(),
            booted_at: Fact::default(),
            installed: Fact::default(),
            packages: Fact::default(),
        }
    }
}
