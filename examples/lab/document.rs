//! What `lab up` prints and other commands read: where everything of a lab is.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Cri, Style};
use crate::control::Program;
use crate::error::{Doing, Error, Result};
use crate::fetch::Package;
use crate::place::Place;
use crate::pods::Pod;
use crate::pullable::Pull;
use crate::registry::{Kind, Registry};

/// A lab. Paths are this machine's unless they say otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// `lab-1`
    pub name: String,
    /// Everything of the lab is below it.
    pub dir: PathBuf,
    /// `unix://` and the socket.
    pub endpoint: String,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// The generation asked for. Key on `version` instead.
    pub generation: String,
    /// What the daemon reports.
    pub version: String,
    /// The daemon, or null if it was killed.
    pub pid: Option<u32>,
    /// Process 1 of the node. `/proc/PID/root` is the node as it sees itself.
    pub node_pid: Option<u32>,
    /// The directory with the node's files in their usual places: `etc/containerd`, `etc/cni`, `run`, `var/log/pods`.
    pub host_root: PathBuf,
    /// The daemon's configuration.
    pub config_path: PathBuf,
    /// The directory of hosts.toml files; null without any.
    pub certs_d: Option<PathBuf>,
    /// The daemon's log.
    pub log: PathBuf,
    /// How mirrors are configured.
    pub config_style: Style,
    /// What became of CRI.
    pub cri: Cri,
    /// What is behind `registry.lab.test`.
    pub mirror: Kind,
    /// The registries.
    pub registries: Vec<Registry>,
    /// What can be pulled, and what is to come of it.
    pub images: Vec<Pull>,
    /// The pods.
    pub pods: Vec<Pod>,
    /// The packages that the node is made of.
    pub packages: Vec<Package>,
    /// The programs of the node, for `lab restart`.
    pub programs: Vec<Program>,
}

impl Document {
    /// Reads a lab's document.
    ///
    /// # Errors
    /// The lab is not up yet.
    pub fn read(place: &Place) -> Result<Self> {
        let path = place.document();
        let text = fs::read(&path).doing(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).map_err(|source| Error::Document {
            what: path.display().to_string(),
            source,
        })
    }

    /// Writes it for the commands that come later.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, place: &Place) -> Result<()> {
        let path = place.document();
        let new = path.with_extension("new");
        fs::write(&new, self.line()?).doing(|| format!("write {}", new.display()))?;
        fs::rename(&new, &path).doing(|| format!("write {}", path.display()))
    }

    /// It as JSON in one line.
    ///
    /// # Errors
    /// None that is known.
    pub fn line(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|source| Error::Document {
            what: "this document".to_owned(),
            source,
        })
    }

    /// It for people.
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{}: containerd {} with {} pods\n  endpoint   {}\n  host root  {}\n  log        {}\n",
            self.name,
            self.version,
            self.pods.len(),
            self.endpoint,
            self.host_root.display(),
            self.log.display()
        );
        if self.pid.is_none() {
            text.push_str("  the daemon was killed; its socket is still there\n");
        }
        for pull in self.images.iter().take(3) {
            text.push_str(&format!(
                "  pull       {} (mirror {}: {})\n",
                pull.image,
                self.mirror.name(),
                pull.url
            ));
        }
        text
    }
}
