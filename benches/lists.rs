//! How long whole processes take to list a fake node: `make bench`. Figures are ratios within one run: to the shortest
//! process that asks anything (`version`), and to crictl where one is on the PATH.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and ends at the first thing that is not there"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criscope::fake::{Node, World};

const RUNS: usize = 7;
const SIZES: [usize; 3] = [10, 1_000, 10_000];
const COMMANDS: [&[&str]; 5] = [
    &["ps", "-a"],
    &["ps", "-a", "-o", "json"],
    &["pods"],
    &["images"],
    &["images", "-o", "json"],
];

fn main() {
    for size in SIZES {
        let node = Node::builder()
            .world(World::generated(size))
            .start()
            .expect("the fake node starts");
        let floor = median(env!("CARGO_BIN_EXE_criscope"), &["version"], &node);
        let ours = floor.expect("criscope runs");
        println!("{size} pods, containers and images; version: {ours:.1?}");
        for command in COMMANDS {
            let took =
                median(env!("CARGO_BIN_EXE_criscope"), command, &node).expect("criscope runs");
            let name = command.join(" ");
            let to_floor = took.as_secs_f64() / ours.as_secs_f64();
            match median("crictl", command, &node) {
                Some(crictl) => {
                    let ratio = took.as_secs_f64() / crictl.as_secs_f64();
                    println!(
                        "  {name:<18} {took:>9.1?}  {to_floor:>6.1} x version  {ratio:.2} x crictl"
                    );
                }
                None => println!("  {name:<18} {took:>9.1?}  {to_floor:>6.1} x version"),
            }
        }
    }
}

/// The median of several runs after one that does not count; `None` where there is no such program.
fn median(program: &str, arguments: &[&str], node: &Node) -> Option<Duration> {
    let mut times = Vec::new();
    for _ in 0..=RUNS {
        let began = Instant::now();
        let status = Command::new(program)
            .args(arguments)
            .env("CONTAINER_RUNTIME_ENDPOINT", node.endpoint())
            .env("CRI_CONFIG_FILE", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok()?;
        assert!(status.success(), "{program} {} failed", arguments.join(" "));
        times.push(began.elapsed());
    }
    times.remove(0);
    times.sort();
    times.get(times.len() / 2).copied()
}
