//! What lists cost: whole processes against a fake node with any number of pods, containers and images.
//!
//! `make bench` prints the tables of `docs/performance.md`. Figures of one table come from one run, in turn, and are
//! read as ratios: to a raw reader that only receives the bytes, and to crictl where one is on the PATH.
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
#[path = "lists/measure.rs"]
mod measure;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};

use criscope::fake::{Node, World};
use measure::{Cost, Subject};

const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// Above this number of elements a world takes more memory than it is worth: its lists are made on demand.
const HELD: usize = 2_000;
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
        ["serve", count, ..] => serve(count.parse().expect("a number of containers")),
        ["floor", path, ..] => {
            let endpoint = std::env::var("CONTAINER_RUNTIME_ENDPOINT").expect("an endpoint");
            let socket = endpoint.trim_start_matches("unix://");
            floor::ask(socket, path).expect("the node answers");
        }
        // `cargo bench` adds a word of its own at the end.
        ["--bench"] | [] => SIZES.into_iter().for_each(table),
        sizes => {
            let sizes = sizes.iter().filter_map(|size| size.parse().ok());
            sizes.for_each(table);
        }
    }
    ExitCode::SUCCESS
}

/// A node that is up until stdin ends.
fn serve(count: usize) {
    let world = if count > HELD {
        World::crowded(count)
    } else {
        World::generated(count)
    };
    let node = Node::builder()
        .world(world)
        .start()
        .expect("the fake node starts");
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
    fn start(count: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["serve", &count.to_string()])
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
    let node = Served::start(count);
    let runs = if count > 10_000 { 5 } else { 11 };
    println!("\n### {count} containers, pods and images\n");
    println!(
        "| command | wall | CPU | memory | instructions | wall / floor | CPU / floor | wall / crictl | CPU / crictl | memory / crictl |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (line, call) in COMMANDS {
        let ours = subject(line, env!("CARGO_BIN_EXE_criscope"), line);
        let me = std::env::current_exe().expect("this program has a path");
        let floor = subject(
            "floor",
            &me.to_string_lossy(),
            &format!("floor /runtime.v1.{call}"),
        );
        let crictl = subject("crictl", "crictl", line);
        let costs = measure::in_turn(&[ours.clone(), floor, crictl], &node.endpoint, runs);
        let [Some(cost), Some(least), crictl] = costs.as_slice() else {
            eprintln!("{line}: cannot be measured");
            continue;
        };
        let instructions = ours.instructions(&node.endpoint);
        row(line, *cost, *least, *crictl, instructions);
    }
}

fn subject(name: &str, program: &str, line: &str) -> Subject {
    Subject {
        name: name.to_owned(),
        program: program.to_owned(),
        arguments: line.split(' ').map(str::to_owned).collect(),
    }
}

fn row(line: &str, cost: Cost, floor: Cost, crictl: Option<Cost>, instructions: Option<u64>) {
    let wall = |cost: Cost| cost.wall.as_secs_f64();
    let cpu = |cost: Cost| cost.cpu.as_secs_f64();
    let memory = |cost: Cost| cost.memory as f64;
    let ratio = |of: fn(Cost) -> f64| {
        crictl.map_or("–".to_owned(), |crictl| {
            format!("{:.3}", of(cost) / of(crictl))
        })
    };
    let instructions = instructions.map_or("–".to_owned(), |count| {
        format!("{:.2} M", count as f64 / 1e6)
    });
    println!(
        "| `{line}` | {:.1} ms | {:.1} ms | {:.1} MiB | {instructions} | {:.1} | {:.1} | {} | {} | {} |",
        wall(cost) * 1e3,
        cpu(cost) * 1e3,
        memory(cost) / 1_048_576.0,
        wall(cost) / wall(floor),
        cpu(cost) / cpu(floor),
        ratio(wall),
        ratio(cpu),
        ratio(memory),
    );
}
