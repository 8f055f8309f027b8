//! `run`, `runp`, `create`: files, order of calls, and that nothing is left behind.

use std::path::PathBuf;
use std::time::Duration;

use criscope::cri;
use criscope::fake::{Node, Rule};
use tonic::Code;

use crate::support::{Outcome, criscope, small};

const POD: &str = "metadata: {name: try, namespace: default}\nlog_directory: /var/log/pods/try\n";
const CONTAINER: &str = "metadata: {name: app}\nimage: {image: reg.example.com/new:1}\n";

/// The two files, in a directory that goes with them.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new(container: &str, pod: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("container"), container).unwrap();
        std::fs::write(directory.path().join("pod"), pod).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, node: &Node, arguments: &[&str]) -> Outcome {
        let files = [self.path("container"), self.path("pod")];
        let files = files.iter().map(|path| path.to_str().unwrap());
        criscope(arguments.iter().copied().chain(files))
            .on(node)
            .outcome()
    }

    fn runp(&self, node: &Node) -> Outcome {
        criscope(["runp", self.path("pod").to_str().unwrap()])
            .on(node)
            .outcome()
    }
}

fn changes(node: &Node) -> Vec<String> {
    let looks =
        |rpc: &String| rpc == "Version" || rpc.starts_with("List") || rpc.ends_with("Status");
    node.rpcs().into_iter().filter(|rpc| !looks(rpc)).collect()
}

fn pods(node: &Node) -> usize {
    node.world(|world| world.pods.len())
}

#[test]
fn a_container_runs_in_a_pod_of_its_own() {
    let node = small::node();
    let files = Files::new(CONTAINER, POD);
    let outcome = files.run(&node, &["run"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    let id = small::container(&node, "try", "app");
    assert_eq!(outcome.stdout, format!("{id}\n"));
    assert_eq!(
        changes(&node),
        [
            "PullImage",
            "RunPodSandbox",
            "CreateContainer",
            "StartContainer"
        ]
    );
    // The pod of both calls is the same, although its UID was made up.
    let calls = node.calls();
    let call = |rpc: &str| calls.iter().find(|call| call.rpc() == rpc).unwrap();
    let run: cri::RunPodSandboxRequest = call("RunPodSandbox").message().unwrap();
    let create: cri::CreateContainerRequest = call("CreateContainer").message().unwrap();
    assert_eq!(run.config, create.sandbox_config);
    let image = create.config.unwrap().image.unwrap();
    assert_eq!(image.user_specified_image, "reg.example.com/new:1");
}

#[test]
fn a_pod_whose_container_does_not_start_is_removed_again() {
    for rpc in ["CreateContainer", "StartContainer"] {
        let node = small::node();
        let before = pods(&node);
        node.rule(Rule::on(rpc).status(Code::Unknown, "no such file: /nosuch"));
        let files = Files::new(CONTAINER, POD);
        let outcome = files.run(&node, &["run"]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (1, ""),
            "{outcome}"
        );
        assert!(
            outcome.stderr.contains("no such file: /nosuch"),
            "{outcome}"
        );
        assert!(outcome.stderr.contains("was removed again"), "{outcome}");
        assert_eq!(pods(&node), before, "{rpc}");
    }
}

#[test]
fn a_pod_can_be_left_for_a_look() {
    let node = small::node();
    node.rule(Rule::on("StartContainer").status(Code::Unknown, "no"));
    let outcome = Files::new(CONTAINER, POD).run(&node, &["run", "--keep-failed"]);
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stderr.contains("was left for you"), "{outcome}");
    small::pod(&node, "try");
}

#[test]
fn nothing_is_made_before_the_image_is_there() {
    let node = small::node();
    node.rule(Rule::on("PullImage").status(Code::NotFound, "no such image"));
    let files = Files::new(CONTAINER, POD);
    let outcome = files.run(&node, &["run"]);
    assert_eq!(outcome.code, 1, "{outcome}");
    assert_eq!(changes(&node), ["PullImage"]);
    node.forget_calls();
    let outcome = files.run(&node, &["run", "--no-pull"]);
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(!node.rpcs().contains(&"PullImage".to_owned()));
    assert!(
        outcome
            .stderr
            .contains("`criscope pull reg.example.com/new:1`"),
        "{outcome}"
    );
}

#[test]
fn a_pod_that_came_up_too_late_is_found_and_removed() {
    let node = small::node();
    let before = pods(&node);
    let held = node.hold("RunPodSandbox");
    let files = Files::new(CONTAINER, POD);
    let path = files.path("pod");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            criscope(["-t", "200ms", "runp", path.to_str().unwrap()])
                .on(&node)
                .outcome()
        });
        // The deadline has passed when the pod is looked for, and then the runtime makes it.
        assert!(node.called_within("ListPodSandbox", 2, Duration::from_secs(20)));
        held.release();
        let outcome = run.join().unwrap();
        assert_eq!(outcome.code, 3, "{outcome}");
    });
    assert_eq!(pods(&node), before);
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let node = small::node();
    let before = pods(&node);
    let _held = node.hold("StartContainer");
    let files = Files::new(CONTAINER, POD);
    let (container, pod) = (files.path("container"), files.path("pod"));
    let running = criscope(["run", container.to_str().unwrap(), pod.to_str().unwrap()])
        .on(&node)
        .spawn();
    assert!(node.called_within("StartContainer", 1, Duration::from_secs(20)));
    running.interrupt();
    let outcome = running.wait();
    assert_eq!(outcome.code, 130, "{outcome}");
    assert!(outcome.stderr.contains("was removed again"), "{outcome}");
    assert_eq!(pods(&node), before);
}

#[test]
fn a_pod_that_is_there_already_is_left_alone() {
    let node = small::node();
    let files = Files::new(
        CONTAINER,
        "metadata: {name: try, namespace: default, uid: u1}",
    );
    assert_eq!(files.runp(&node).code, 0);
    let outcome = files.runp(&node);
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stderr.contains("there is a pod "), "{outcome}");
    small::pod(&node, "try");
}

#[test]
fn systemd_wants_a_slice_and_the_error_says_so() {
    // The newer one tells it by RuntimeConfig, the older one only in its configuration.
    for version in ["2.1.4", "1.6.20"] {
        let node = small::node_of(version);
        node.rule(Rule::on("RunPodSandbox").status(
            Code::Unknown,
            "runc create failed: expected cgroupsPath to be of format \"slice:prefix:name\"",
        ));
        let outcome = Files::new(CONTAINER, POD).runp(&node);
        assert_eq!(outcome.code, 1, "{outcome}");
        assert!(outcome.stderr.contains("slice:prefix:name"), "{outcome}");
        assert!(
            outcome
                .stderr
                .contains("hint: the runtime makes cgroups through systemd"),
            "{outcome}"
        );
        let files = Files::new(
            CONTAINER,
            "metadata: {name: a, namespace: b}\nlinux: {cgroup_parent: a.slice}",
        );
        let outcome = files.runp(&node);
        assert!(
            !outcome.stderr.contains("hint: the runtime makes cgroups"),
            "{outcome}"
        );
    }
}

#[test]
fn handlers_and_files_are_passed_on() {
    let node = small::node();
    let files = Files::new(CONTAINER, POD);
    let path = files.path("pod");
    let outcome = criscope(["runp", "-r", "kata", path.to_str().unwrap()])
        .on(&node)
        .outcome();
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("no runtime for \"kata\" is configured"),
        "{outcome}"
    );
    let outcome = criscope(["runp", "-"]).stdin(POD).on(&node).outcome();
    assert_eq!(outcome.code, 0, "{outcome}");
}

#[test]
fn a_container_is_created_in_a_pod_that_is_named() {
    let node = small::node();
    let files = Files::new(CONTAINER, POD);
    let outcome = files.run(&node, &["create", "default/web-1"]);
    assert_eq!(outcome.code, 1, "the image is not there: {outcome}");
    let outcome = files.run(&node, &["create", "--with-pull", "default/web-1"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    let made = small::container(&node, "web-1", "app");
    assert_eq!(outcome.stdout, format!("{made}\n"));
    let outcome = files.run(&node, &["create", "nosuch"]);
    assert!(
        outcome.stderr.contains("there is no pod `nosuch`"),
        "{outcome}"
    );
}

#[test]
fn a_dry_run_reads_the_files_and_makes_nothing() {
    let node = small::node();
    let files = Files::new(CONTAINER, POD);
    let outcome = files.run(&node, &["run", "--dry-run"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    assert_eq!(
        outcome.stdout,
        "would pull image reg.example.com/new:1\nwould run pod default/try\n\
         would create container app in it\nwould start container app\n"
    );
    assert!(node.rpcs().is_empty());
    let files = Files::new("metadata: {name: web}\nimage: {image: x}\ncomand: [a]", POD);
    let outcome = files.run(&node, &["run", "--dry-run"]);
    assert_eq!(outcome.code, 2, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("unknown key `comand`, did you mean `command`?"),
        "{outcome}"
    );
}

#[test]
fn schemas_are_printed() {
    for (command, pod) in [
        (&["runp", "jsonschema"][..], true),
        (&["pull", "js"], true),
        (&["run", "jsonschema", "--pod"], true),
        (&["create", "jsonschema", "-c"], false),
    ] {
        let schema = criscope(command.iter()).json();
        let title = if pod {
            "PodSandboxConfig"
        } else {
            "ContainerConfig"
        };
        assert_eq!(schema["title"], title, "{command:?}");
    }
    let outcome = criscope(["run", "jsonschema"]).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
}
