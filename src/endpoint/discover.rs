//! Which endpoints come into question, in which order, and on whose word. Pure: nothing is opened here.
//!
//! An endpoint that the user set (flag, environment, configuration file) is the only candidate, as with crictl.
//! Otherwise the kubelet's comes first, because the kubelet's runtime is the node's runtime; then the sockets that
//! crictl 1.19 to 1.29 knew, in their order; then those of the distributions.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Endpoint;

/// Who named a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Env,
    /// `crictl.yaml`.
    Config,
    /// The kubelet's command line or one of its files.
    Kubelet,
    /// The list in this file.
    Builtin,
}

impl Source {
    /// The word used in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Source::Flag => "flag",
            Source::Env => "env",
            Source::Config => "config",
            Source::Kubelet => "kubelet",
            Source::Builtin => "builtin",
        }
    }
}

/// An endpoint and who named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The address.
    pub endpoint: Endpoint,
    /// Who named it.
    pub source: Source,
    /// Where exactly: a flag, a variable, a file and line, a process.
    pub detail: String,
    /// Its place, from 1. A smaller number wins among equals.
    pub order: usize,
}

/// A socket known from documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The path at which it is documented.
    pub path: &'static str,
    /// Whose it is, as it is spoken of.
    pub whose: &'static str,
    /// The systemd units that serve it, the usual one first; none for what no unit of its own serves.
    pub units: &'static [&'static str],
}

/// The known sockets, in order: crictl's list up to 1.29, then the distributions'.
pub const KNOWN: &[Known] = &[
    Known {
        path: "/var/run/dockershim.sock",
        whose: "dockershim",
        units: &["kubelet.service"],
    },
    Known {
        path: "/run/containerd/containerd.sock",
        whose: "containerd",
        units: &["containerd.service"],
    },
    Known {
        path: "/run/crio/crio.sock",
        whose: "CRI-O",
        units: &["crio.service"],
    },
    Known {
        path: "/var/run/cri-dockerd.sock",
        whose: "cri-dockerd",
        units: &["cri-docker.service"],
    },
    // k3s and RKE2 share the path.
    Known {
        path: "/run/k3s/containerd/containerd.sock",
        whose: "containerd of k3s or RKE2",
        units: &[
            "k3s.service",
            "k3s-agent.service",
            "rke2-server.service",
            "rke2-agent.service",
        ],
    },
    // k3s --docker.
    Known {
        path: "/run/k3s/cri-dockerd/cri-dockerd.sock",
        whose: "cri-dockerd of k3s",
        units: &["k3s.service", "k3s-agent.service"],
    },
    Known {
        path: "/run/k0s/containerd.sock",
        whose: "containerd of k0s",
        units: &["k0sworker.service", "k0scontroller.service"],
    },
    Known {
        path: "/var/snap/microk8s/common/run/containerd.sock",
        whose: "containerd of MicroK8s",
        units: &["snap.microk8s.daemon-containerd.service"],
    },
    // openEuler's engine serves CRI on its only socket.
    Known {
        path: "/var/run/isulad.sock",
        whose: "iSulad",
        units: &["isulad.service"],
    },
];

/// The known socket at a path, `/var/run` and `/run` being one directory.
pub fn known(path: &Path) -> Option<&'static Known> {
    let path = below_run(path);
    KNOWN.iter().find(|known| {
        let below_var = known.path.strip_prefix("/var");
        let short = below_var.filter(|rest| rest.starts_with("/run/"));
        Path::new(short.unwrap_or(known.path)) == path
    })
}

/// A path with `/var/run` written as `/run`, which is what it is on every distribution with systemd.
pub fn below_run(path: &Path) -> Cow<'_, Path> {
    match path.strip_prefix("/var/run") {
        Ok(rest) => Cow::Owned(Path::new("/run").join(rest)),
        Err(_) => Cow::Borrowed(path),
    }
}

/// An endpoint that somebody set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The address.
    pub endpoint: Endpoint,
    /// Who set it.
    pub source: Source,
    /// Where exactly.
    pub detail: String,
}

/// The candidates in order: what the user set and nothing else, or the kubelet's and the known ones.
///
/// An address that is named twice appears once, in its first place.
pub fn candidates(set: Option<Given>, kubelet: Option<Given>) -> Vec<Candidate> {
    let alone = set.is_some();
    let mut list: Vec<Candidate> = Vec::new();
    for (order, given) in (1..).zip(set.or(kubelet)) {
        list.push(Candidate {
            endpoint: given.endpoint,
            source: given.source,
            detail: given.detail,
            order,
        });
    }
    if alone {
        return list;
    }
    for known in KNOWN {
        let Ok(endpoint) = Endpoint::from_path(known.path) else {
            continue;
        };
        let path = below_run(endpoint.path());
        if list
            .iter()
            .any(|earlier| below_run(earlier.endpoint.path()) == path)
        {
            continue;
        }
        list.push(Candidate {
            endpoint,
            source: Source::Builtin,
            detail: format!("known socket of {}", known.whose),
            order: list.len() + 1,
        });
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(path: &str, source: Source) -> Given {
        Given {
            endpoint: path.parse().unwrap(),
            source,
            detail: "here".to_owned(),
        }
    }

    fn paths(candidates: &[Candidate]) -> Vec<&str> {
        candidates
            .iter()
            .map(|c| c.endpoint.path().to_str().unwrap())
            .collect()
    }

    #[test]
    fn the_known_sockets_come_in_crictls_order() {
        let found = candidates(None, None);
        assert_eq!(
            paths(&found)[..4],
            [
                "/var/run/dockershim.sock",
                "/run/containerd/containerd.sock",
                "/run/crio/crio.sock",
                "/var/run/cri-dockerd.sock"
            ]
        );
        let orders: Vec<usize> = found.iter().map(|c| c.order).collect();
        assert_eq!(orders, (1..=KNOWN.len()).collect::<Vec<_>>());
        assert!(found.iter().all(|c| c.source == Source::Builtin));
    }

    #[test]
    fn what_the_user_set_is_the_only_candidate() {
        let found = candidates(
            Some(given("/run/mine.sock", Source::Env)),
            Some(given("/run/crio/crio.sock", Source::Kubelet)),
        );
        assert_eq!(paths(&found), ["/run/mine.sock"]);
        assert_eq!(found[0].source, Source::Env);
    }

    #[test]
    fn the_kubelets_comes_first_and_only_once() {
        let found = candidates(
            None,
            Some(given("/var/run/crio/crio.sock", Source::Kubelet)),
        );
        assert_eq!(
            paths(&found)[..3],
            [
                "/var/run/crio/crio.sock",
                "/var/run/dockershim.sock",
                "/run/containerd/containerd.sock"
            ]
        );
        assert_eq!(found.len(), KNOWN.len());
        assert_eq!(found[3].detail, "known socket of cri-dockerd");
        assert_eq!(found[3].order, 4);
    }

    #[test]
    fn knows_a_socket_under_both_names_of_run() {
        let whose = |path: &str| known(Path::new(path)).map(|known| known.whose);
        assert_eq!(whose("/run/dockershim.sock"), Some("dockershim"));
        assert_eq!(
            whose("/var/run/containerd/containerd.sock"),
            Some("containerd")
        );
        assert_eq!(whose("/run/containerd/other.sock"), None);
    }
}
