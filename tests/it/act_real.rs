//! The commands that change a node, and those that measure it, on real containerd: a pod from its files to its end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use criscope::fake::registry::{Auth, Image, Registry};
use serde_json::Value;

use crate::support::lab::Lab;
use crate::support::made::{IMAGE, Made, refused, run};

const LOOP: &str = "trap 'exit 0' TERM; while true; do sleep 0.05; done";

#[track_caller]
fn everything(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "2"]) else {
        return;
    };
    let at = |arguments: &[&str]| run(lab.criscope(arguments));
    let wrong = |arguments: &[&str]| refused(lab.criscope(arguments));
    let made = Made::new(&lab, "act");
    let version = lab.version();
    let tells_events = !version.starts_with("1.6");

    let mut events = tells_events.then(|| Events::listen(&lab));

    // A rehearsal does nothing.
    assert_eq!(
        at(&["runp", "--dry-run", &made.pod()]),
        "would run pod default/act"
    );
    assert_eq!(at(&["pods", "-q", "--name", "=act"]), "");
    let pod = at(&["runp", &made.pod()]);
    assert_eq!(at(&["pods", "-q", "--no-trunc", "--name", "=act"]), pod);

    let file = made.container("loop", 0, LOOP);
    let container = at(&["create", "default/act", &file, &made.pod()]);
    let said = wrong(&["create", "act", &file, &made.pod()]);
    assert!(said.contains("is reserved for"), "{said}");
    assert_eq!(at(&["start", "default/act/loop"]), container);
    let state = at(&["inspect", "loop"]);
    assert!(state.contains("CONTAINER_RUNNING"), "{state}");

    at(&[
        "update",
        "--cpu-share",
        "200",
        "--memory",
        "67108864",
        "loop",
    ]);
    let spec: Value = serde_json::from_str(&at(&["inspect", "loop"])).unwrap();
    let resources = &spec["info"]["runtimeSpec"]["linux"]["resources"];
    assert_eq!(resources["cpu"]["shares"], 200, "{resources}");
    assert_eq!(resources["memory"]["limit"], 67_108_864, "{resources}");

    measured(&lab, &container, &pod, version);
    checkpoint(&lab, version);

    if let Some(events) = &mut events {
        events.expect(&container, "CONTAINER_STARTED_EVENT");
    }
    let said = wrong(&["rm", "loop"]);
    assert!(said.contains("is running"), "{said}");
    assert_eq!(at(&["stop", "loop"]), container);
    let said = wrong(&["start", "loop"]);
    assert!(said.contains("CONTAINER_EXITED"), "{said}");
    assert_eq!(at(&["rm", "loop"]), container);
    assert_eq!(at(&["ps", "-aq", "--name", "=loop"]), "");
    if let Some(events) = &mut events {
        events.expect(&container, "CONTAINER_STOPPED_EVENT");
        events.expect(&container, "CONTAINER_DELETED_EVENT");
    }

    // One that is not asked twice, and one that is: a running container goes only by force.
    let forced = made.start("forced", 0, LOOP);
    assert_eq!(at(&["rm", "-f", "forced"]), forced);
    let said = wrong(&["rmp", "act"]);
    assert!(said.contains("is running"), "{said}");
    assert_eq!(at(&["stopp", "act"]), format!("Stopped sandbox {pod}"));
    assert_eq!(at(&["rmp", "act"]), format!("Removed sandbox {pod}"));
    assert_eq!(at(&["pods", "-q", "--name", "=act"]), "");

    run_and_roll_back(&lab, &made);
    images(&lab);
    at(&["update-runtime-config", "--pod-cidr", "10.1.2.0/24"]);
}

/// `stats`, `statsp`, `metricsp` of what runs.
fn measured(lab: &Lab, container: &str, pod: &str, version: &str) {
    let at = |arguments: &[&str]| run(lab.criscope(arguments));
    let table = at(&["stats", "loop"]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1]), (&container[..13], "loop"), "{table}");
    assert!(row[2].parse::<f64>().is_ok(), "{table}");
    let json: Value = serde_json::from_str(&at(&["stats", "-o", "json", "loop"])).unwrap();
    let stats = &json["stats"][0];
    assert_eq!(stats["attributes"]["id"], container, "{json:#}");
    let used = stats["memory"]["workingSetBytes"]["value"]
        .as_str()
        .unwrap();
    assert!(used.parse::<u64>().unwrap() > 0, "{json:#}");
    let table = at(&["statsp", "act"]);
    assert!(table.contains(&pod[..13]), "{table}");
    let said = refused(lab.criscope(&["metricsp"]));
    assert!(said.contains("ListPodSandboxMetrics"), "{version}: {said}");
    let said = refused(lab.criscope(&["metricdescs"]));
    assert!(said.contains("ListMetricDescriptors"), "{version}: {said}");
}

/// Nothing older than 2.x can, and 2.x only with criu.
fn checkpoint(lab: &Lab, version: &str) {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("archive.tar");
    let archive = archive.to_str().unwrap();
    let said = refused(lab.criscope(&["checkpoint", "--export", archive, "loop"]));
    let words = match version.starts_with("2.") {
        true => "criu",
        false => "CheckpointContainer",
    };
    assert!(said.contains(words), "{said}");
    assert!(said.contains("default/act/loop"), "{said}");
    assert!(!std::path::Path::new(archive).exists());
}

/// `run` leaves no pod behind when its container cannot be.
fn run_and_roll_back(lab: &Lab, made: &Made<'_>) {
    let file = made.container("loop", 0, LOOP);
    let said = refused(lab.criscope(&["run", "--with-pull", &file, &made.pod()]));
    assert!(said.contains(IMAGE), "{said}");
    let at = |arguments: &[&str]| run(lab.criscope(arguments));
    assert_eq!(at(&["pods", "-q", "--name", "=act"]), "");
    let bad = made.container("bad", 0, LOOP);
    let text = std::fs::read_to_string(&bad).unwrap();
    std::fs::write(&bad, text.replace("/bin/sh", "/nosuch")).unwrap();
    refused(lab.criscope(&["run", "--no-pull", &bad, &made.pod()]));
    assert_eq!(at(&["pods", "-q", "--name", "=act"]), "");
    let id = at(&["run", "--no-pull", &file, &made.pod()]);
    let listed = at(&["ps", "-q", "--no-trunc", "--name", "=loop"]);
    assert_eq!(listed, id);
    at(&["rmp", "-f", "act"]);
    assert_eq!(at(&["ps", "-aq", "--name", "=loop"]), "");
}

/// `pull` and `rmi`, with a registry that wants a password.
fn images(lab: &Lab) {
    let at = |arguments: &[&str]| run(lab.criscope(arguments));
    let registry = Registry::builder()
        .image("shop/secret", "1", &Image::single("for the test of pull"))
        .auth(Auth::Basic {
            user: "alice".to_owned(),
            password: "wonder".to_owned(),
        })
        .start()
        .unwrap();
    let name = format!("{}/shop/secret:1", registry.host());
    let said = refused(lab.criscope(&["pull", &name]));
    assert!(
        said.contains("401") || said.to_lowercase().contains("authori"),
        "{said}"
    );
    let said = refused(lab.criscope(&["pull", "--creds", "alice:rabbit", &name]));
    assert!(!said.contains("rabbit"), "{said}");
    let pulled = at(&["pull", "--creds", "alice:wonder", &name]);
    let id = pulled.strip_prefix("Image is up to date for ").unwrap();
    assert_eq!(at(&["images", "-q", "--no-trunc", &name]), id);
    assert_eq!(
        at(&["rmi", "--dry-run", &name]),
        format!("would delete {name}")
    );
    assert_eq!(at(&["rmi", &name]), format!("Deleted: {name}"));
    assert_eq!(at(&["images", "-q", &name]), "");
    // What containers were made from stays.
    let said = refused(lab.criscope(&["rmi", IMAGE]));
    assert!(said.contains("stays: used by"), "{said}");
    let said = at(&["rmi", "--prune", "--dry-run"]);
    assert!(
        !said.contains(IMAGE) && !said.contains("would delete registry.lab.test/pause"),
        "{said}"
    );
}

/// `criscope events`, listening.
struct Events {
    child: std::process::Child,
    lines: mpsc::Receiver<String>,
}

/// Longer than any event takes, shorter than anybody waits for a test.
const PATIENCE: Duration = Duration::from_secs(60);

impl Events {
    /// Starts it, and makes pods until one is told of: a runtime says nothing when somebody begins to listen, and what
    /// happened before that is told to nobody.
    fn listen(lab: &Lab) -> Self {
        let mut child = lab
            .criscope(&["events", "-o", "ndjson"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let events = Self { child, lines };
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let made = Made::new(lab, "heard");
            run(lab.criscope(&["runp", &made.pod()]));
            run(lab.criscope(&["rmp", "-f", "heard"]));
            if events.lines.recv_timeout(Duration::from_secs(1)).is_ok() {
                return events;
            }
        }
        panic!("nothing is told of pods that come and go");
    }

    /// Reads events until this one comes.
    #[track_caller]
    fn expect(&mut self, container: &str, what: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {what} of {container}"));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["containerId"] == container && event["containerEventType"] == what {
                return;
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

#[test]
fn a_pod_from_its_files_to_its_end_on_containerd_1_6() {
    everything("1.6");
}

#[test]
fn a_pod_from_its_files_to_its_end_on_containerd_1_7() {
    everything("1.7");
}

#[test]
fn a_pod_from_its_files_to_its_end_on_containerd_2() {
    everything("2");
}
