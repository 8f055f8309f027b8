//! `logs`: both formats, every flag, rotation under its feet; and on real containerd, `--previous` included.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use criscope::cri;
use criscope::fake::Node;

use crate::support::lab::Lab;
use crate::support::made::{Made, run};
use crate::support::{criscope, small};

/// A small node whose containers log into a folder.
struct Logged {
    node: Node,
    folder: tempfile::TempDir,
}

impl Logged {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = small::node();
        node.world(|world| {
            for container in &mut world.containers {
                let metadata = container.status.metadata.clone().unwrap();
                let directory = folder.path().join(&container.pod[..8]).join(&metadata.name);
                std::fs::create_dir_all(&directory).unwrap();
                let path = directory.join(format!("{}.log", metadata.attempt));
                container.status.log_path = path.to_str().unwrap().to_owned();
            }
        });
        Self { node, folder }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.node.world(|world| {
            let container = world.containers.iter().find(|one| one.status.id == id);
            container.unwrap().status.log_path.clone().into()
        })
    }

    /// The log of the only container of that name.
    fn log(&self, pod: &str, name: &str) -> PathBuf {
        self.path(&small::container(&self.node, pod, name))
    }

    #[track_caller]
    fn shows(&self, arguments: &[&str], expected: &str) {
        let outcome = criscope(["logs"].iter().chain(arguments))
            .on(&self.node)
            .outcome();
        assert_eq!((outcome.code, &*outcome.stdout), (0, expected), "{outcome}");
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], words: &str) {
        let outcome = criscope(["logs"].iter().chain(arguments))
            .on(&self.node)
            .outcome();
        assert_eq!(outcome.code, 1, "{outcome}");
        assert!(outcome.stderr.contains(words), "{words}\n{outcome}");
    }

    fn exits(&self, id: &str) {
        self.node.world(|world| {
            let container = world.containers.iter_mut().find(|one| one.status.id == id);
            container.unwrap().status.state = cri::ContainerState::ContainerExited.into();
        });
    }
}

fn write(path: &Path, text: &str) {
    append(path).write_all(text.as_bytes()).unwrap();
}

fn append(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.create(true).append(true).open(path).unwrap()
}

fn compress(path: &Path, text: &str) {
    let mut encoder =
        flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap();
}

const CRI: &str = "\
2026-01-02T03:04:05Z stdout F one
2026-01-02T03:04:06.5Z stderr F oops
2026-01-02T03:04:07Z stdout P tw
2026-01-02T03:04:07Z stdout F o
2026-01-02T03:04:08Z stdout F three
";

#[test]
fn the_flags_of_crictl() {
    let logged = Logged::new();
    write(&logged.log("web-1", "proxy"), CRI);
    logged.shows(&["proxy"], "one\ntwo\nthree\n");
    let outcome = criscope(["logs", "proxy"]).on(&logged.node).outcome();
    assert_eq!(outcome.stderr, "oops\n");
    logged.shows(&["--tail", "2", "proxy"], "two\nthree\n");
    logged.shows(&["--tail", "0", "proxy"], "");
    logged.shows(&["--tail=-1", "proxy", "-s", "stdout"], "one\ntwo\nthree\n");
    logged.shows(&["--stream", "stderr", "proxy"], "");
    logged.shows(&["--limit-bytes", "6", "-s", "stdout", "proxy"], "one\ntw");
    logged.shows(
        &["-t", "--tail", "1", "proxy"],
        "2026-01-02T03:04:08.000000000Z three\n",
    );
    logged.shows(
        &[
            "--since",
            "2026-01-02T03:04:06Z",
            "--until",
            "2026-01-02T03:04:07Z",
            "proxy",
        ],
        "two\n",
    );
    logged.shows(&["--since", "1m", "proxy"], "");
    logged.shows(
        &["default/web-1/proxy", "--prefix"],
        "proxy one\nproxy two\nproxy three\n",
    );
    // The runtime is asked to open the log again, and the log is shown.
    logged.shows(&["-r", "--tail", "1", "proxy"], "three\n");
    assert!(
        logged
            .node
            .rpcs()
            .contains(&"ReopenContainerLog".to_owned())
    );
    let outcome = criscope(["logs"]).on(&logged.node).outcome();
    assert_eq!(outcome.code, 2, "{outcome}");
    logged.fails(&["nosuch"], "there is no container `nosuch`");
    logged.fails(&["web"], "`web` can mean 2 containers");
}

#[test]
fn dockers_format_and_what_rotation_left() {
    let logged = Logged::new();
    let log = logged.log("web-1", "proxy");
    let line = |text: &str, second: u32| {
        format!(
            "{{\"log\":\"{text}\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:{second:02}.1Z\"}}\n"
        )
    };
    compress(&log.with_extension("log.2.gz"), &line("first\\n", 1));
    write(&log.with_extension("log.1"), &line("sec", 2));
    write(
        &log,
        &(line("ond\\n", 3) + &line("third \\u001b[31m\\n", 4)),
    );
    logged.shows(&["proxy"], "first\nsecond\nthird \u{1b}[31m\n");
    logged.shows(&["--current", "--tail", "1", "proxy"], "third \u{1b}[31m\n");
    logged.shows(&["--tail", "2", "proxy"], "second\nthird \u{1b}[31m\n");
}

#[test]
fn a_pod_is_merged_by_time() {
    let logged = Logged::new();
    let second =
        |second: u32, text: &str| format!("2026-01-02T03:04:{second:02}Z stdout F {text}\n");
    write(
        &logged.log("web-1", "proxy"),
        &(second(1, "a") + &second(4, "d")),
    );
    write(
        &logged.log("web-1", "web"),
        &(second(2, "b") + &second(3, "c")),
    );
    write(&logged.log("web-2", "web"), &second(5, "e"));
    logged.shows(&["default/web-1"], "proxy a\nweb   b\nweb   c\nproxy d\n");
    logged.shows(
        &["web-1", "web-2", "--tail", "1"],
        "web-1/web   c\nweb-1/proxy d\nweb-2/web   e\n",
    );
    logged.shows(&["--name", "=web", "--prefix=never"], "b\nc\ne\n");
    // One that cannot be read hides no other.
    std::fs::remove_file(logged.log("web-1", "web")).unwrap();
    let outcome = criscope(["logs", "web-1"]).on(&logged.node).outcome();
    assert_eq!(
        (outcome.code, &*outcome.stdout),
        (1, "proxy a\nproxy d\n"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("cannot open the log"), "{outcome}");
}

#[test]
fn the_attempt_before() {
    let logged = Logged::new();
    let ids = small::containers(&logged.node, "job-1", "job");
    for (place, id) in ids.iter().enumerate() {
        let text = format!("2026-01-02T03:04:05Z stdout F attempt {place}\n");
        write(&logged.path(id), &text);
    }
    logged.shows(&["job"], "attempt 1\n");
    logged.shows(&["-p", "job"], "attempt 0\n");
    logged.fails(&["-p", &ids[0]], "is the first attempt");
    // Forgotten by the runtime; the kubelet keeps the file.
    logged
        .node
        .world(|world| world.containers.retain(|one| one.status.id != ids[0]));
    logged.shows(&["-p", "job"], "attempt 0\n");
}

#[test]
fn what_is_no_log_is_not_shown() {
    let logged = Logged::new();
    let log = logged.log("web-1", "proxy");
    logged.fails(&["proxy"], "cannot open the log");
    let secret = logged.folder.path().join("shadow");
    write(&secret, "2026-01-02T03:04:05Z stdout F secret\n");
    std::os::unix::fs::symlink(&secret, &log).unwrap();
    logged.fails(&["proxy"], "it is a link to");
    logged.shows(&["--follow-links", "proxy"], "secret\n");
    std::fs::remove_file(&log).unwrap();
    // As cri-dockerd makes it.
    let id = small::container(&logged.node, "web-1", "proxy");
    let docker = logged.folder.path().join(format!("{id}-json.log"));
    write(&docker, "2026-01-02T03:04:05Z stdout F docker\n");
    std::os::unix::fs::symlink(&docker, &log).unwrap();
    logged.shows(&["proxy"], "docker\n");
    std::fs::remove_file(&log).unwrap();
    write(&log, "no log at all\n");
    logged.fails(
        &["proxy"],
        "neither in CRI's format nor in Docker's json-file",
    );
    write(&log, CRI);
    logged.shows(&["proxy"], "one\ntwo\nthree\n");
}

#[test]
fn following_ends_with_the_container() {
    let logged = Logged::new();
    let id = small::container(&logged.node, "web-1", "proxy");
    let log = logged.path(&id);
    let line = |number: usize| format!("2026-01-02T03:04:05.{number:09}Z stdout F {number}\n");
    let mut number = 0;
    let mut write = |file: &mut File| {
        for _ in 0..500 {
            file.write_all(line(number).as_bytes()).unwrap();
            number += 1;
        }
    };
    write(&mut append(&log));
    let mut follow = criscope(["logs", "-f", "proxy"]).on(&logged.node).spawn();
    assert_eq!(follow.line().as_deref(), Some("0"));
    // The kubelet's way, four times, as fast as it goes.
    for rotation in 0..4 {
        let rotated = log.with_extension(format!("log.20260102-00000{rotation}"));
        std::fs::rename(&log, &rotated).unwrap();
        write(&mut append(&log));
        if rotation > 0 {
            let before = log.with_extension(format!("log.20260102-00000{}", rotation - 1));
            let text = std::fs::read_to_string(&before).unwrap();
            let archive = format!("{}.gz", before.display());
            compress(Path::new(&archive), &text);
            std::fs::remove_file(&before).unwrap();
        }
    }
    for expected in 1..2500 {
        assert_eq!(follow.line(), Some(expected.to_string()));
    }
    // What is written last, and has no end, is not lost.
    append(&log)
        .write_all(b"2026-01-02T03:04:06Z stdout P end")
        .unwrap();
    logged.exits(&id);
    let outcome = follow.wait();
    assert_eq!((outcome.code, &*outcome.stdout), (0, "end"), "{outcome}");
}

#[test]
fn following_through_copies_and_a_restart() {
    let mut logged = Logged::new();
    let id = small::container(&logged.node, "web-1", "proxy");
    let log = logged.path(&id);
    let mut file = append(&log);
    let mut number = 0;
    let mut write = |file: &mut File| {
        for _ in 0..500 {
            let line = format!("2026-01-02T03:04:05.{number:09}Z stdout F {number}\n");
            file.write_all(line.as_bytes()).unwrap();
            number += 1;
        }
    };
    write(&mut file);
    let mut follow = criscope(["logs", "-f", "proxy"]).on(&logged.node).spawn();
    assert_eq!(follow.line().as_deref(), Some("0"));
    for rotation in 1..4 {
        for older in (1..rotation).rev() {
            let name = |number: u32| log.with_extension(format!("log.{number}"));
            std::fs::rename(name(older), name(older + 1)).unwrap();
        }
        std::fs::copy(&log, log.with_extension("log.1")).unwrap();
        file.set_len(0).unwrap();
        write(&mut file);
    }
    for expected in 1..2000 {
        assert_eq!(follow.line(), Some(expected.to_string()));
    }
    // The runtime goes and comes; the log goes on.
    logged.node.kill();
    logged.node.restart().unwrap();
    write(&mut file);
    for expected in 2000..2500 {
        assert_eq!(follow.line(), Some(expected.to_string()));
    }
    follow.interrupt();
    assert_eq!(follow.wait().code, 130);
}

#[test]
fn a_reader_who_has_seen_enough() {
    let logged = Logged::new();
    write(&logged.log("web-1", "proxy"), &CRI.repeat(20_000));
    for arguments in [
        &["logs", "proxy"][..],
        &["logs", "-f", "--tail", "1", "proxy"],
    ] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_criscope"))
            .args(arguments)
            .env("CONTAINER_RUNTIME_ENDPOINT", logged.node.endpoint())
            .env("CRI_CONFIG_FILE", "/dev/null")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = [0; 3];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}

/// A stream of numbered lines that the runtime writes, through rotations that the test makes.
#[track_caller]
fn numbered_stream(generation: &str) {
    let Some(lab) = Lab::up(&["--generation", generation, "--pods", "1"]) else {
        return;
    };
    let made = Made::new(&lab, "logged");
    run(lab.criscope(&["runp", &made.pod()]));
    let script = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); \
                  [ $((i % 100)) = 0 ] && sleep 0.1; done; echo done >&2; exit 3";
    let id = made.start("count", 0, script);
    let inside = |arguments: &[&str]| {
        let mut command = lab.inside(env!("CARGO_BIN_EXE_criscope"));
        command.args(arguments);
        command
    };
    let follow = inside(&["logs", "-f", "default/logged/count"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The kubelet's way: rename, and the runtime opens another one.
    let folder = made.logs("count");
    let log = folder.join("0.log");
    for rotation in 0..5 {
        while std::fs::metadata(&log).map_or(0, |metadata| metadata.len()) < 1000 {
            std::thread::yield_now();
        }
        let rotated = folder.join(format!("0.log.20260102-00000{rotation}"));
        std::fs::rename(&log, rotated).unwrap();
        run(inside(&["logs", "--reopen", "--tail", "0", &id]));
    }
    let output = follow.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*said), (Some(0), "done\n"));
    let all: Vec<usize> = (0..3000).collect();
    let numbers = |bytes: &[u8]| -> Vec<usize> {
        let text = std::str::from_utf8(bytes).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    assert_eq!(numbers(&output.stdout), all);
    // The whole of it afterwards, from six files.
    let whole = inside(&["logs", "-s", "stdout", "count"]).output().unwrap();
    assert_eq!(numbers(&whole.stdout), all);

    // The next attempt, and the one before it: as the runtime knows it, and when it has forgotten it.
    made.start("count", 1, "echo again; sleep 1000");
    let tail = ["logs", "-p", "--tail", "1", "-s", "stdout", "count"];
    assert_eq!(run(inside(&tail)), "2999");
    run(inside(&["rm", "--keep-logs", &id]));
    assert_eq!(run(inside(&tail)), "2999");
    let shown = run(inside(&["logs", "-t", "default/logged/count"]));
    assert!(shown.ends_with("Z again") || shown.contains("+"), "{shown}");
}

#[test]
fn a_numbered_stream_on_containerd_1_6() {
    numbered_stream("1.6");
}

#[test]
fn a_numbered_stream_on_containerd_1_7() {
    numbered_stream("1.7");
}

#[test]
fn a_numbered_stream_on_containerd_2() {
    numbered_stream("2");
}
