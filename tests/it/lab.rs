//! The lab itself: every generation comes up and keeps its promises, and nothing is left of it, however it ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::lab::{self, Lab};

/// Everything of a lab that could outlive it.
struct Traces {
    dir: PathBuf,
    lock: File,
    number: String,
}

impl Traces {
    fn of(lab: &Lab) -> Self {
        let dir = lab.dir();
        let lock = File::open(dir.join("lock")).unwrap();
        let number = lab.name().trim_start_matches("lab-").to_owned();
        Self { dir, lock, number }
    }

    /// Waits until nobody holds the lab, and then finds nothing.
    #[track_caller]
    fn assert_gone(&self) {
        self.lock.lock_shared().unwrap();
        assert!(!self.dir.exists(), "{} is still there", self.dir.display());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let below = format!("{}/", self.dir.display());
        assert!(!mounts.contains(&below), "mounts are left:\n{mounts}");
        let left: Vec<PathBuf> = self.cgroups().filter(|path| path.exists()).collect();
        assert!(left.is_empty(), "cgroups are left: {left:?}");
        // The pods' addresses, as /proc/net/route writes them.
        let network = format!("{:02X}D50A", self.number.parse::<u8>().unwrap());
        let routes = fs::read_to_string("/proc/net/route").unwrap();
        assert!(!routes.contains(&network), "interfaces are left:\n{routes}");
        let left = self.processes();
        assert!(left.is_empty(), "processes are left: {left:?}");
    }

    fn cgroups(&self) -> impl Iterator<Item = PathBuf> {
        let name = format!("criscope-lab-{}", self.number);
        let root = Path::new("/sys/fs/cgroup");
        let below = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let places: Vec<PathBuf> = below.chain([root.to_owned()]).collect();
        places.into_iter().map(move |place| place.join(&name))
    }

    /// Processes that are of this lab by their command line or by what is mounted where they are.
    fn processes(&self) -> Vec<String> {
        let below = format!("{}/", self.dir.display());
        let argument = format!("{}\0", self.dir.display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let cmdline = read("cmdline");
            if cmdline.contains(&below)
                || cmdline.contains(&argument)
                || read("mountinfo").contains(&below)
            {
                found.push(cmdline.replace('\0', " "));
            }
        }
        found
    }
}

/// A lab of this generation is what it says it is, and does what it promises.
#[track_caller]
fn generation(name: &str, version: &str) {
    let Some(lab) = Lab::up(&["--generation", name, "--pods", "3"]) else {
        return;
    };
    assert!(lab.version().starts_with(version), "{}", lab.version());
    lab.tell("verify", &[]);
    let traces = Traces::of(&lab);
    drop(lab);
    traces.assert_gone();
}

#[test]
fn containerd_1_4_comes_up_and_goes() {
    generation("1.4", "1.4.");
}

#[test]
fn containerd_1_6_comes_up_and_goes() {
    generation("1.6", "1.6.");
}

#[test]
fn containerd_1_7_comes_up_and_goes() {
    generation("1.7", "1.7.");
}

#[test]
fn containerd_2_comes_up_and_goes() {
    generation("2", "2.");
}

#[test]
fn a_killed_lab_leaves_nothing() {
    let Some(mut lab) = Lab::up(&["--pods", "2"]) else {
        return;
    };
    let traces = Traces::of(&lab);
    lab.kill();
    traces.assert_gone();
}

#[test]
fn a_killed_keeper_leaves_nothing() {
    let Some(lab) = Lab::up(&["--pods", "1"]) else {
        return;
    };
    let traces = Traces::of(&lab);
    let keeper = fs::read_to_string(lab.dir().join("keeper.pid")).unwrap();
    let keeper = keeper.split(' ').next().unwrap();
    let killed = Command::new("kill").args(["-KILL", keeper]).status();
    assert!(killed.unwrap().success());
    drop(lab);
    traces.assert_gone();
}

#[test]
fn what_killed_labs_leave_is_swept() {
    let Some(mut lab) = Lab::up(&["--pods", "1"]) else {
        return;
    };
    let traces = Traces::of(&lab);
    let keeper = fs::read_to_string(lab.dir().join("keeper.pid")).unwrap();
    let keeper = keeper.split(' ').next().unwrap();
    // Stopped, the keeper does not notice that `lab up` is gone; and then nobody is left to notice.
    for signal in ["-STOP", "-KILL"] {
        let sent = Command::new("kill").args([signal, keeper]).status();
        assert!(sent.unwrap().success());
        if signal == "-STOP" {
            lab.kill();
        }
    }
    let swept = Command::new(lab::binary()).arg("sweep").output().unwrap();
    assert!(swept.status.success(), "{swept:?}");
    traces.assert_gone();
}

#[test]
fn two_labs_stand_side_by_side() {
    let (Some(one), Some(other)) = (Lab::up(&["--pods", "2"]), Lab::up(&["--pods", "2"])) else {
        return;
    };
    assert_ne!(one.name(), other.name());
    let traces = Traces::of(&one);
    drop(one);
    traces.assert_gone();
    // The other one has not felt it.
    other.tell("verify", &[]);
}

#[test]
fn a_daemon_can_be_killed_hung_and_restarted() {
    let Some(lab) = Lab::up(&["--pods", "1", "--stale"]) else {
        return;
    };
    let socket = lab.host_root().join("run/containerd/containerd.sock");
    let connect = || std::os::unix::net::UnixStream::connect(&socket);
    let refused = connect().unwrap_err().kind();
    assert_eq!(refused, std::io::ErrorKind::ConnectionRefused);

    let restarted = lab.tell("restart", &[]);
    lab.tell("verify", &[]);
    lab.tell("signal", &["STOP"]);
    let state = fs::read_to_string(format!("/proc/{}/stat", restarted.trim())).unwrap();
    let state = state.rsplit(')').next().unwrap().trim().chars().next();
    assert_eq!(state, Some('T'), "the daemon is stopped");
    lab.tell("restart", &[]);
    lab.tell("verify", &[]);
}

#[test]
fn inside_the_node_everything_has_its_usual_place() {
    let Some(lab) = Lab::up(&["--pods", "1"]) else {
        return;
    };
    let script = "cat /etc/containerd/config.toml && test -S /run/containerd/containerd.sock \
        && readlink /proc/[0-9]*/exe | grep -x /usr/bin/containerd";

    let output = lab.inside("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let config = fs::read_to_string(lab.text("/configPath")).unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(seen.starts_with(&config), "{seen}");
}
