//! Where distributions that bring their own containerd keep its configuration and programs, for nodes on which no daemon
//! runs that could tell: a mounted disk, a tree of files, a daemon that is down.
//!
//! Sources: the distributions' own documentation; k3s and RKE2 write config.toml at every start of their service, k0s
//! and MicroK8s from templates, Talos has a second containerd for the system itself.

use std::path::{Path, PathBuf};

use crate::probe::host_files::Reader;

/// A distribution.
#[derive(Debug)]
pub(super) struct Distribution {
    /// containerd's main file; that it is there tells the distribution.
    pub config: &'static str,
    /// Directories with programs, beside the usual ones.
    pub programs: &'static [&'static str],
}

/// The known ones, the more particular first.
const KNOWN: &[Distribution] = &[
    Distribution {
        config: "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
        programs: &["/var/lib/rancher/rke2/bin"],
    },
    Distribution {
        config: "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        programs: &["/var/lib/rancher/k3s/data/current/bin"],
    },
    Distribution {
        config: "/var/snap/microk8s/current/args/containerd.toml",
        programs: &[
            "/snap/microk8s/current/bin",
            "/snap/microk8s/current/usr/bin",
        ],
    },
    Distribution {
        config: "/etc/k0s/containerd.toml",
        programs: &["/var/lib/k0s/bin"],
    },
    Distribution {
        config: "/etc/cri/containerd.toml",
        programs: &[],
    },
];

/// The distribution whose files lie below a root, if it is one of these.
pub(super) fn of(root: &Path, staged: Option<&Path>) -> Option<&'static Distribution> {
    let reader = Reader::open(root, staged);
    KNOWN
        .iter()
        .find(|known| matches!(reader.stat(Path::new(known.config)), Ok(Some(_))))
}

impl Distribution {
    /// Its directories with programs.
    pub(super) fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.programs.iter().map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_tells_the_distribution() {
        let root = tempfile::tempdir().unwrap();
        assert!(of(root.path(), None).is_none());
        for known in KNOWN {
            let node = tempfile::tempdir().unwrap();
            let path = node.path().join(known.config.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            assert_eq!(of(node.path(), None).unwrap().config, known.config);
        }
    }
}
