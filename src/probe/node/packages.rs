//! Packages of runtimes and of Kubernetes, out of dpkg's and apt's own files; neither program is needed.
//!
//! rpm's database is one of three binary formats and is not read: what depends on it is unknown there.

use std::collections::BTreeMap;
use std::path::Path;

use crate::facts::host::Package;
use crate::facts::{Fact, Source};
use crate::probe::host_files::{self, Reader};

/// What dpkg knows; a few megabytes on a full system.
const STATUS: &str = "/var/lib/dpkg/status";
/// Which packages apt installed because others need them.
const EXTENDED: &str = "/var/lib/apt/extended_states";
const MOST: u64 = 64 << 20;

/// Packages that are judged, by the beginning of their names.
const WANTED: &[&str] = &[
    "apparmor",
    "container-selinux",
    "containerd",
    "cri-dockerd",
    "cri-o",
    "cri-tools",
    "crun",
    "docker",
    "kubeadm",
    "kubelet",
    "kubernetes-cni",
    "containernetworking-plugins",
    "moby",
    "podman",
    "runc",
];

/// Looks at the packages of the host below `root`.
pub(super) fn look(root: &Path) -> Fact<BTreeMap<String, Package>> {
    let text = match host_files::read_bytes(root, Path::new(STATUS), MOST) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return match rpm(root) {
                Some(path) => Fact::unknown(format!("rpm's database in `{path}` is not read")),
                None => Fact::absent("the node has no database of packages"),
            };
        }
        Err(error) => return Fact::unknown(format!("`{STATUS}`: {error}")),
    };
    let extended = host_files::read_bytes(root, Path::new(EXTENDED), MOST);
    let extended = extended.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let source = Source::file(STATUS);
    Fact::known(
        packages(&text, extended.as_deref().unwrap_or_default()),
        source,
    )
}

fn rpm(root: &Path) -> Option<&'static str> {
    let reader = Reader::open(root, None);
    ["/var/lib/rpm", "/usr/lib/sysimage/rpm"]
        .into_iter()
        .find(|path| {
            reader
                .stat(Path::new(path))
                .is_ok_and(|found| found.is_some())
        })
}

/// Reads paragraphs of `Key: value` lines.
fn paragraphs(text: &str) -> impl Iterator<Item = BTreeMap<&str, &str>> {
    text.split("\n\n").map(|paragraph| {
        paragraph
            .lines()
            .filter(|line| !line.starts_with([' ', '\t']))
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key, value.trim()))
            .collect()
    })
}

fn packages(status: &str, extended: &str) -> BTreeMap<String, Package> {
    let automatic: Vec<&str> = paragraphs(extended)
        .filter(|paragraph| paragraph.get("Auto-Installed") == Some(&"1"))
        .filter_map(|paragraph| paragraph.get("Package").copied())
        .collect();
    paragraphs(status)
        .filter(|paragraph| {
            paragraph
                .get("Status")
                .is_some_and(|status| status.ends_with(" installed"))
        })
        .filter_map(|paragraph| {
            let name = *paragraph.get("Package")?;
            WANTED.iter().find(|wanted| name.starts_with(**wanted))?;
            let words = |key: &str| paragraph.get(key).copied().unwrap_or_default();
            let depends = [words("Depends"), words("Pre-Depends")]
                .iter()
                .flat_map(|list| list.split([',', '|']))
                .filter_map(|entry| entry.split_whitespace().next().map(str::to_owned))
                .collect();
            let package = Package {
                version: words("Version").to_owned(),
                automatic: automatic.contains(&name),
                depends,
            };
            Some((name.to_owned(), package))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_and_why() {
        let status = "Package: docker-ce\nStatus: install ok installed\nDepends: containerd.io (>= 1.6), iptables | nft\n\
                      Version: 5:27.0\nDescription: x\n more: y\n\nPackage: containerd.io\nStatus: install ok installed\n\
                      Version: 1.7.28-1\n\nPackage: kubelet\nStatus: deinstall ok config-files\nVersion: 1.30.0-1.1\n\n\
                      Package: vim\nStatus: install ok installed\nVersion: 9\n";
        let extended = "Package: containerd.io\nArchitecture: amd64\nAuto-Installed: 1\n";
        let found = packages(status, extended);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            found["docker-ce"].depends,
            ["containerd.io", "iptables", "nft"]
        );
        assert!(found["containerd.io"].automatic && !found["docker-ce"].automatic);
        assert_eq!(found["containerd.io"].version, "1.7.28-1");
    }
}
