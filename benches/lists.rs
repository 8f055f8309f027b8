//! What lists cost: whole processes against a fake node with any number of pods, containers and images.
//!
//! `make bench` prints the tables of `docs/performance.md`. Figures of one table come from one run, in turn, and are
//! read as ratios: to a raw reader that only receives the bytes, and to crictl where one is on the PATH.
//!
//! `-- real` measures on a real containerd with 150 containers, `-- sick [PODS]` looks at one that is in trouble; both take
//! a node of `examples/lab`, and root. `CRISCOPE_BENCH` names another binary to measure than the one that was just built.
//!
//! The node runs in a process of its own, because a child's peak memory begins with that of the process that started it.
//! `-- serve N` keeps such a node up for other tools, until its stdin ends.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "a benchmark prints, and ends at the first thing that is not there"
)]

#[path = "lists/floor.rs"]
mod floor;
#[path = "lists/lab.rs"]
mod lab;
#[path = "lists/measure.rs"]
mod measure;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};

use criscope::fake::{Node, World};
use measure::{Cost, Subject};

/// Where a node is found that nobody named.
const FOUND: &str = "/run/containerd/containerd.sock";
const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// What is asked, and the call whose answer the raw reader receives for it.
const COMMANDS: [(&str, &str); 9] = [
    ("version", "RuntimeService/Version"),
    ("ps -a", "RuntimeService/ListContainers"),
    ("ps -a -q", "RuntimeService/ListContainers"),
    ("ps -a -o json", "RuntimeService/ListContainers"),
    ("ps -a -o ndjson", "RuntimeService/ListContainers"),
    ("pods", "RuntimeService/ListPodSandbox"),
    ("pods -o json", "RuntimeService/ListPodSandbox"),
    ("images", "ImageService/ListImages"),
    ("images -o json", "ImageService/ListImages"),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", count, path, ..] => {
            serve(count.parse().expect("a number of containers"), Some(path));
        }
        ["serve", count] => serve(count.parse().expect("a number of containers"), None),
        ["floor", path, ..] => {
            let endpoint = std::env::var("CONTAINER_RUNTIME_ENDPOINT").expect("an endpoint");
            let socket = endpoint.trim_start_matches("unix://");
            floor::ask(socket, path).expect("the node answers");
        }
        ["real", ..] => lab::well(),
        ["sick", count, ..] => lab::sick(count.parse().unwrap_or(250)),
        ["found", ..] => found(),
        ["found-here", ..] => found_here(),
        // `cargo bench` adds a word of its own at the end.
        ["--bench"] | [] => {
            SIZES.into_iter().for_each(table);
            found();
        }
        sizes => {
            let sizes = sizes.iter().filter_map(|size| size.parse().ok());
            sizes.for_each(table);
        }
    }
    ExitCode::SUCCESS
}

/// The binary that is measured.
fn ours() -> String {
    std::env::var("CRISCOPE_BENCH").unwrap_or_else(|_| env!("CARGO_BIN_EXE_criscope").to_owned())
}

/// A node that is up until stdin ends.
fn serve(count: usize, path: Option<&str>) {
    let node = Node::builder().world(World::crowded(count));
    let node = match path {
        Some(path) => node.start_at(path),
        None => node.start(),
    };
    let node = node.expect("the fake node starts");
    println!("{}", node.endpoint());
    io::stdout().flush().expect("stdout is open");
    // Ends when whoever started it ends.
    let _ = io::stdin().read(&mut [0]);
}

/// A node in a process of its own. Dropping it ends it.
struct Served {
    process: Child,
    endpoint: String,
}

impl Served {
    fn start(count: usize, path: Option<&str>) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["serve", &count.to_string()])
            .args(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut endpoint = String::new();
        let stdout = process.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout)
            .read_line(&mut endpoint)
            .expect("the node says where it is");
        let endpoint = endpoint.trim().to_owned();
        Self { process, endpoint }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn table(count: usize) {
    let node = Served::start(count, None);
    let runs = if count > 10_000 { 5 } else { 11 };
    println!("\n### {count} containers, pods and images\n");
    heading();
    for (line, call) in COMMANDS {
        compare(line, call, true, &node, runs);
    }
}

/// The short commands where nobody has said where the node is: in a mount namespace of its own, where it has its usual
/// place.
fn found() {
    println!("\n### 10 containers, pods and images; the endpoint is found\n");
    let me = std::env::current_exe().expect("this program has a path");
    let inside = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg("mkdir -p /run && mount -t tmpfs none /run && exec \"$0\" found-here")
        .arg(me)
        .status();
    if !inside.is_ok_and(|status| status.success()) {
        eprintln!("not measured: needs root, unshare and mount");
    }
}

fn found_here() {
    std::fs::create_dir_all("/run/containerd").expect("/run is ours");
    let node = Served::start(10, Some(FOUND));
    heading();
    for (line, call) in COMMANDS {
        compare(line, call, false, &node, 11);
    }
}

/// Measures a command, the floor and crictl, and prints a row.
fn compare(line: &str, call: &str, told: bool, node: &Served, runs: usize) {
    let me = std::env::current_exe().expect("this program has a path");
    let floor = format!("floor /runtime.v1.{call}");
    let subjects = [
        Subject {
            told,
            ..Subject::new(&ours(), line)
        },
        Subject::new(&me.to_string_lossy(), &floor),
        Subject::new("crictl", line),
    ];
    let costs = measure::in_turn(&subjects, &node.endpoint, runs);
    let [Some(cost), Some(least), crictl] = costs.as_slice() else {
        eprintln!("{line}: cannot be measured");
        return;
    };
    let instructions = subjects[0].instructions(&node.endpoint);
    row(line, *cost, Some(*least), *crictl, instructions);
}

fn heading() {
    println!(
        "| command | wall | CPU | memory | instructions | wall / floor | CPU / floor | wall / crictl | CPU / crictl | memory / crictl |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
}

fn row(
    name: &str,
    cost: Cost,
    floor: Option<Cost>,
    crictl: Option<Cost>,
    instructions: Option<u64>,
) {
    let wall = |cost: Cost| cost.wall.as_secs_f64();
    let cpu = |cost: Cost| cost.cpu.as_secs_f64();
    let memory = |cost: Cost| cost.memory as f64;
    let ratio = |of: fn(Cost) -> f64, other: Option<Cost>, places: usize| {
        other.map_or("–".to_owned(), |other| {
            format!("{:.places$}", of(cost) / of(other))
        })
    };
    let instructions = instructions.map_or("–".to_owned(), |count| {
        format!("{:.2} M", count as f64 / 1e6)
    });
    println!(
        "| `{name}` | {:.1} ms | {:.1} ms | {:.1} MiB | {instructions} | {} | {} | {} | {} | {} |",
        wall(cost) * 1e3,
        cpu(cost) * 1e3,
        memory(cost) / 1_048_576.0,
        ratio(wall, floor, 1),
        ratio(cpu, floor, 1),
        ratio(wall, crictl, 3),
        ratio(cpu, crictl, 3),
        ratio(memory, crictl, 3),
    );
}
