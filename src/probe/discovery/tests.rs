//! Nodes with several sockets, built below a root of their own.

#![cfg(feature = "demo")]

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::*;
use crate::cri;
use crate::fake::Node;

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(500);

/// A root with /run, and /var/run leading there.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("run")).unwrap();
        std::fs::create_dir(root.path().join("var")).unwrap();
        symlink("/run", root.path().join("var/run")).unwrap();
        Self(root)
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.0.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn runtime(&self, path: &str, name: &str, version: &str) -> Node {
        Node::builder()
            .runtime(name, version)
            .start_at(self.path(path))
            .unwrap()
    }

    /// A listener that never says anything.
    fn hung(&self, path: &str) -> UnixListener {
        UnixListener::bind(self.path(path)).unwrap()
    }

    async fn discover(&self, effort: Effort, deadline: Duration) -> Discovery {
        let inputs = Inputs {
            set: None,
            root: self.0.path().to_owned(),
        };
        let options = Options {
            deadline,
            wake: false,
            effort,
        };
        // Far beyond any deadline that is kept.
        tokio::time::timeout(Duration::from_secs(60), discover(&inputs, &options))
            .await
            .unwrap()
    }
}

#[track_caller]
fn chosen(discovery: &Discovery, version: &str) {
    let winner = discovery.winner().unwrap();
    let runtime = winner.runtime.clone().unwrap();
    assert_eq!(runtime.version.as_deref(), Some(version), "{discovery:?}");
    assert!(winner.chosen && winner.chosen_because.is_some());
    assert_eq!(
        discovery
            .endpoints
            .iter()
            .filter(|report| report.chosen)
            .count(),
        1
    );
}

const DOCKERSHIM: &str = "/run/dockershim.sock";
const CONTAINERD: &str = "/run/containerd/containerd.sock";
const CRIO: &str = "/run/crio/crio.sock";

#[tokio::test]
async fn a_node_without_a_runtime_says_so() {
    let tree = Tree::new();
    let found = tree.discover(Effort::Full, LONG).await;
    assert!(found.winner().is_none());
    assert!(
        found
            .endpoints
            .iter()
            .all(|report| report.verdict == Verdict::Absent)
    );
    assert_eq!(found.notice(), None);
    let failure = found.failure().unwrap();
    assert_eq!(failure.endpoint, None);
    assert_eq!(failure.detail, "none of the known sockets exists");
}

#[tokio::test]
async fn a_hung_socket_before_a_healthy_one_costs_a_deadline_and_no_wrong_choice() {
    let tree = Tree::new();
    let _hung = tree.hung(DOCKERSHIM);
    let _node = tree.runtime(CONTAINERD, "containerd", "1.7.28");
    let found = tree.discover(Effort::Quick, SHORT).await;
    chosen(&found, "1.7.28");
    assert_eq!(found.endpoints[0].verdict, Verdict::Hung);
    let notice = found.notice().unwrap();
    assert!(
        notice.starts_with("containerd 1.7.28 at unix://"),
        "{notice}"
    );
    assert!(notice.ends_with(", dockershim hung"), "{notice}");
}

#[tokio::test]
async fn a_hung_socket_behind_a_healthy_one_costs_nothing() {
    let tree = Tree::new();
    let _node = tree.runtime(CONTAINERD, "containerd", "1.7.28");
    let _hung = tree.hung(CRIO);
    let found = tree.discover(Effort::Quick, LONG).await;
    chosen(&found, "1.7.28");
    assert_eq!(found.unasked.len(), 1);
    let notice = found.notice().unwrap();
    assert!(notice.contains(", dockershim absent; "), "{notice}");
    assert!(notice.ends_with("crio.sock is there too"), "{notice}");

    let found = tree.discover(Effort::Full, SHORT).await;
    chosen(&found, "1.7.28");
    assert_eq!(found.endpoints[2].verdict, Verdict::Hung);
}

#[tokio::test]
async fn the_order_decides_among_those_that_serve() {
    let tree = Tree::new();
    let _crio = tree.runtime(CRIO, "cri-o", "1.30.0");
    let _containerd = tree.runtime(CONTAINERD, "containerd", "1.7.28");
    let found = tree.discover(Effort::Full, LONG).await;
    chosen(&found, "1.7.28");
    let winner = found.winner().unwrap();
    assert_eq!(winner.order, 2);
    assert_eq!(
        winner.chosen_because.as_deref(),
        Some("the first in order that serves CRI v1")
    );
    let notice = found.notice().unwrap();
    assert!(
        notice.contains("; cri-o 1.30.0 serves too, at unix://"),
        "{notice}"
    );
}

#[tokio::test]
async fn v1_goes_before_v1alpha2_whatever_the_order() {
    let tree = Tree::new();
    let _old = tree.runtime(CONTAINERD, "containerd", "1.4.13");
    let _new = tree.runtime(CRIO, "cri-o", "1.30.0");
    let found = tree.discover(Effort::Quick, LONG).await;
    chosen(&found, "1.30.0");
}

#[tokio::test]
async fn the_kubelets_runtime_is_the_nodes_runtime() {
    let tree = Tree::new();
    let _old = tree.runtime("/run/old.sock", "containerd", "1.4.13");
    let _new = tree.runtime(CONTAINERD, "containerd", "1.7.28");
    std::fs::write(
        tree.path("/var/lib/kubelet/kubeadm-flags.env"),
        "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///var/run/old.sock\"\n",
    )
    .unwrap();
    let found = tree.discover(Effort::Quick, LONG).await;
    chosen(&found, "1.4.13");
    let winner = found.winner().unwrap();
    assert_eq!((winner.source, winner.order), (Source::Kubelet, 1));
    assert_eq!(
        winner.chosen_because.as_deref(),
        Some("the kubelet uses it (/var/lib/kubelet/kubeadm-flags.env:1)")
    );
    let notice = found.notice().unwrap();
    assert!(notice.contains("(CRI v1alpha2 only)"), "{notice}");
}

#[tokio::test]
async fn a_kubelet_that_names_a_dead_socket_is_told_and_the_others_are_tried() {
    let tree = Tree::new();
    drop(tree.hung("/run/old.sock"));
    let _new = tree.runtime(CONTAINERD, "containerd", "1.7.28");
    std::fs::write(
        tree.path("/var/lib/kubelet/config.yaml"),
        "containerRuntimeEndpoint: unix:///run/old.sock\n",
    )
    .unwrap();
    let found = tree.discover(Effort::Quick, LONG).await;
    chosen(&found, "1.7.28");
    let notice = found.notice().unwrap();
    assert!(notice.contains("the kubelet's unix://"), "{notice}");
    assert!(notice.ends_with("old.sock refused"), "{notice}");
}

#[tokio::test]
async fn one_socket_under_two_names_is_one_endpoint() {
    let tree = Tree::new();
    let _node = tree.runtime(CONTAINERD, "containerd", "1.7.28");
    // As on nodes that keep the old name for old tools.
    symlink(CONTAINERD, tree.path(DOCKERSHIM)).unwrap();
    let found = tree.discover(Effort::Full, LONG).await;
    chosen(&found, "1.7.28");
    let winner = found.winner().unwrap();
    assert_eq!(winner.endpoint.path(), tree.path(CONTAINERD));
    assert_eq!(winner.order, 1);
    assert_eq!(winner.aliases.len(), 1);
    assert_eq!(
        winner.chosen_because.as_deref(),
        Some("the only one that serves CRI")
    );
}

#[tokio::test]
async fn what_the_user_set_is_asked_and_nothing_else() {
    let tree = Tree::new();
    let _other = tree.runtime(CONTAINERD, "containerd", "1.7.28");
    drop(tree.hung("/run/mine.sock"));
    let inputs = Inputs {
        set: Some(Given {
            endpoint: Endpoint::from_path(tree.path("/run/mine.sock")).unwrap(),
            source: Source::Flag,
            detail: "the command line".to_owned(),
        }),
        root: tree.0.path().to_owned(),
    };
    let options = Options {
        deadline: LONG,
        wake: false,
        effort: Effort::Quick,
    };
    let found = discover(&inputs, &options).await;
    assert_eq!(found.endpoints.len(), 1);
    assert!(found.winner().is_none());
    let failure = found.failure().unwrap();
    assert_eq!(failure.verdict, Verdict::Refused);
    assert_eq!(
        failure.endpoint.unwrap().path(),
        tree.path("/run/mine.sock")
    );
}

#[tokio::test]
async fn the_connection_is_handed_over() {
    let tree = Tree::new();
    let node = tree.runtime(CONTAINERD, "containerd", "1.7.28");
    let found = tree.discover(Effort::Quick, LONG).await;
    // Nobody can connect any more.
    std::fs::remove_file(node.socket()).unwrap();
    let options = client::Options {
        deadline: Duration::from_secs(30),
        fall_back: false,
    };
    let client = found.into_client(options).unwrap();
    assert_eq!(client.options(), options);
    client
        .version(cri::VersionRequest::default())
        .await
        .unwrap();
    assert_eq!(node.rpcs(), ["Version", "Version"]);
}
