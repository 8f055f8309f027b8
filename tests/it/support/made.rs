//! A pod of a test's own on a lab, from the files that `runp`, `create` and `run` read.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::lab::Lab;

/// An image that every lab has, with a shell.
pub const IMAGE: &str = "registry.lab.test/shop/web:1.4.2";

/// The files of a pod and its containers.
pub struct Made<'l> {
    lab: &'l Lab,
    name: String,
    directory: tempfile::TempDir,
}

#[allow(dead_code, reason = "every test takes what it needs")]
impl<'l> Made<'l> {
    /// Files of the pod `default/NAME`.
    pub fn new(lab: &'l Lab, name: &str) -> Self {
        let made = Self {
            lab,
            name: name.to_owned(),
            directory: tempfile::tempdir().expect("a temporary directory"),
        };
        // Below the lab's own control group, which is removed with it.
        let number = lab.name().trim_start_matches("lab-");
        let document = json!({
            "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "attempt": 0},
            "log_directory": made.log_directory(),
            "linux": {"cgroup_parent": format!("/criscope-lab-{number}/{name}")},
        });
        std::fs::write(made.pod(), document.to_string()).expect("a file");
        made
    }

    fn log_directory(&self) -> String {
        format!("/var/log/pods/default_{0}_uid-{0}", self.name)
    }

    /// The folder of a container's logs, as it is seen from outside of the node.
    pub fn logs(&self, container: &str) -> PathBuf {
        let directory = self.log_directory();
        self.lab
            .host_root()
            .join(directory.trim_start_matches('/'))
            .join(container)
    }

    /// The pod's file.
    pub fn pod(&self) -> String {
        let path = self.directory.path().join("pod.json");
        path.to_str().expect("a plain name").to_owned()
    }

    /// The file of a container that runs this in a shell.
    pub fn container(&self, name: &str, attempt: u32, script: &str) -> String {
        let document = json!({
            "metadata": {"name": name, "attempt": attempt},
            "image": {"image": IMAGE},
            "command": ["/bin/sh", "-c", script],
            "log_path": format!("{name}/{attempt}.log"),
            "linux": {"resources": {"cpu_shares": 100}},
        });
        let path = self.directory.path().join(format!("{name}-{attempt}.json"));
        std::fs::write(&path, document.to_string()).expect("a file");
        path.to_str().expect("a plain name").to_owned()
    }

    /// Creates and starts a container of the pod, which has to run; returns its id.
    #[track_caller]
    pub fn start(&self, name: &str, attempt: u32, script: &str) -> String {
        let container = self.container(name, attempt, script);
        let id = run(self
            .lab
            .criscope(&["create", &self.name, &container, &self.pod()]));
        run(self.lab.criscope(&["start", &id]));
        id
    }
}

/// Runs it, expecting success; what it wrote, without the last line break.
#[track_caller]
pub fn run(mut command: Command) -> String {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.trim_end_matches('\n').to_owned()
}

/// Runs it, expecting failure; what it said.
#[track_caller]
#[allow(dead_code, reason = "every test takes what it needs")]
pub fn refused(mut command: Command) -> String {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}\n{said}");
    said
}
