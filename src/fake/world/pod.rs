//! A pod sandbox, described in a few words.

use std::collections::BTreeMap;

use super::{Nanos, digest, strings, uid};
use crate::cri;

/// A pod sandbox.
#[derive(Debug, Clone)]
pub struct Pod {
    /// What `PodSandboxStatus` answers; the listing is cut from it.
    pub status: cri::PodSandboxStatus,
    /// What it was made from, as far as the verbose answer shows it.
    pub config: cri::PodSandboxConfig,
    /// The sandbox process; 0 when it does not run.
    pub pid: u32,
    /// The verbose answer, where it is not to be made from the rest.
    pub info: Option<BTreeMap<String, String>>,
    /// When the listing says that it was made, where that differs from the status.
    pub(super) listed_at: Option<Nanos>,
}

impl Pod {
    /// A ready pod sandbox as the kubelet makes it; created now unless [`Pod::created`] says otherwise.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self::attempt(namespace, name, 0)
    }

    /// [`Pod::new`], made again after this many earlier sandboxes.
    pub fn attempt(namespace: &str, name: &str, attempt: u32) -> Self {
        let uid = uid(&format!("{namespace}/{name}"));
        let labels = strings(&[
            ("io.kubernetes.pod.name", name),
            ("io.kubernetes.pod.namespace", namespace),
            ("io.kubernetes.pod.uid", &uid),
        ]);
        let metadata = cri::PodSandboxMetadata {
            name: name.to_owned(),
            uid: uid.clone(),
            namespace: namespace.to_owned(),
            attempt,
        };
        let id = digest(&format!("pod/{namespace}/{name}/{attempt}"));
        let hash = id.as_bytes();
        let ip = format!(
            "10.244.0.{}",
            2 + u32::from(hash[0] ^ hash[1].rotate_left(3)) % 250
        );
        Self {
            status: cri::PodSandboxStatus {
                id,
                metadata: Some(metadata.clone()),
                network: Some(cri::PodSandboxNetworkStatus {
                    ip,
                    additional_ips: vec![],
                }),
                linux: Some(namespaces(cri::NamespaceMode::Pod)),
                labels,
                annotations: strings(&[("kubernetes.io/config.source", "api")]),
                ..Default::default()
            },
            config: cri::PodSandboxConfig {
                hostname: name.to_owned(),
                log_directory: format!("/var/log/pods/{namespace}_{name}_{uid}"),
                metadata: Some(metadata),
                linux: Some(cri::LinuxPodSandboxConfig {
                    cgroup_parent: format!("kubepods-burstable-pod{}.slice", uid.replace('-', "_")),
                    ..Default::default()
                }),
                ..Default::default()
            },
            pid: 0,
            info: None,
            listed_at: None,
        }
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.status.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.status
            .annotations
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// Says when it was made.
    pub fn created(mut self, at: Nanos) -> Self {
        self.status.created_at = at;
        self
    }

    /// Stopped: no process, no address.
    pub fn not_ready(mut self) -> Self {
        self.status.state = cri::PodSandboxState::SandboxNotready.into();
        self.status.network = Some(cri::PodSandboxNetworkStatus::default());
        self
    }

    /// Uses the node's network.
    pub fn host_network(mut self) -> Self {
        self.status.network = Some(cri::PodSandboxNetworkStatus::default());
        self.status.linux = Some(namespaces(cri::NamespaceMode::Node));
        self
    }
}

fn namespaces(network: cri::NamespaceMode) -> cri::LinuxPodSandboxStatus {
    let options = cri::NamespaceOption {
        network: network.into(),
        pid: cri::NamespaceMode::Container.into(),
        ..Default::default()
    };
    cri::LinuxPodSandboxStatus {
        namespaces: Some(cri::Namespace {
            options: Some(options),
        }),
    }
}
