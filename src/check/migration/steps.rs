//! The steps of a move, in their order: what people of the field do, with the names of this node filled in.

use super::from;
use super::kubernetes::socket;
use crate::facts::Migration;
use crate::registry::{RuntimeId, RuntimeName};

/// The steps. `node` is the name of the node.
pub fn steps(migration: &Migration, node: &str) -> Vec<String> {
    let Ok(to) = migration.to.parse::<RuntimeId>() else {
        return Vec::new();
    };
    let node = if node.is_empty() { "NODE" } else { node };
    let before = from(migration);
    let same = before.as_ref().is_some_and(|before| before.name == to.name);
    let service = match to.name {
        RuntimeName::Containerd => "containerd",
        RuntimeName::Crio => "crio",
        RuntimeName::Docker => "cri-docker",
    };
    let mut steps = vec![
        "criscope preflight … --baseline before.json   # what this node is now".to_owned(),
        format!("kubectl drain {node} --ignore-daemonsets --delete-emptydir-data"),
        "systemctl stop kubelet".to_owned(),
    ];
    if migration.is_from_docker() {
        steps.push("systemctl disable --now docker.socket docker cri-docker   # docker.socket first, or it wakes dockerd".to_owned());
    }
    if same {
        steps.push(format!("systemctl stop {service}"));
        steps.push(format!("install {to} and its configuration"));
    } else {
        steps.push(format!(
            "install {to}, put its configuration in place, take `cri` out of `disabled_plugins`"
        ));
        steps.push(format!("set the kubelet's endpoint to {}", socket(&to)));
    }
    steps.push(format!(
        "systemctl enable --now {service} && systemctl restart {service}"
    ));
    steps.push("criscope doctor   # before the kubelet starts pods".to_owned());
    steps.push("systemctl start kubelet".to_owned());
    steps.push("criscope preflight … --verify before.json   # the same images, limits, mirrors, sysctls, handlers".to_owned());
    if migration.is_from_docker() {
        steps.push("reboot once, while the node is drained: what dockerd had set (sysctls, modules, FORWARD) is gone then".to_owned());
    }
    steps.push(format!("kubectl uncordon {node}"));
    if migration.is_from_docker() {
        steps.push(
            "after acceptance: remove docker's packages (not containerd.io) and /var/lib/docker"
                .to_owned(),
        );
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_docker_and_within_containerd() {
        let migration = |from: &str, to: &str| Migration {
            from: Some(from.to_owned()),
            to: to.to_owned(),
            ..Migration::default()
        };
        let docker = steps(&migration("dockershim", "containerd@2.1.4"), "n1").join("\n");
        for words in [
            "drain n1",
            "docker.socket",
            "unix:///run/containerd/containerd.sock",
            "reboot once",
            "uncordon n1",
        ] {
            assert!(docker.contains(words), "{words}: {docker}");
        }
        let upgrade = steps(&migration("containerd@1.7.28", "containerd@2.1.4"), "").join("\n");
        assert!(
            !upgrade.contains("docker") && upgrade.contains("systemctl stop containerd"),
            "{upgrade}"
        );
    }
}
