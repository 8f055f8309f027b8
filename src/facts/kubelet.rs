//! The kubelet: which version it is, whether it says that it is well, and how it is or would be started.
//!
//! Flags beat the drop-ins of `--config-dir`, which beat the file of `--config` (kubelet reference, "Set Kubelet
//! Parameters Via A Configuration File"). Of a kubelet that runs, the flags are those of its command line; of one that
//! does not, those in its unit, the drop-ins of it and the files of its environment.

mod settings;

use serde::{Deserialize, Serialize};

use super::Fact;

pub use settings::{Flag, Setting, Settings, environment_files};

/// The kubelet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kubelet {
    /// Its version, verbatim, as the package or the path of the program tells it.
    pub version: Fact<String>,
    /// What `GET /healthz` answers.
    pub health: Fact<Health>,
}

/// An answer of the kubelet about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The HTTP status; 0 if nobody listens.
    pub status: u16,
    /// The first line of the body that says what is wrong, else the first line.
    pub body: String,
}

impl Kubelet {
    /// Its minor version: 31 of `1.31.2-1.1`.
    pub fn minor(&self) -> Option<u32> {
        minor(self.version.value()?)
    }
}

/// The minor version in `1.31.2`, `v1.31.2+k3s1`, `1.31.2-1.1`; none of what is not Kubernetes 1.
pub fn minor(version: &str) -> Option<u32> {
    let mut parts = version.trim_start_matches('v').split('.');
    if parts.next()? != "1" {
        return None;
    }
    let minor = parts.next()?;
    let end = minor
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(minor.len());
    minor.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn minor_versions() {
        for (text, expected) in [
            ("1.31.2-1.1", Some(31)),
            ("v1.28.4+k3s1", Some(28)),
            ("1.9", Some(9)),
            ("2.1.0", None),
            ("", None),
        ] {
            assert_eq!(minor(text), expected, "{text}");
        }
    }
}
