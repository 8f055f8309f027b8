//! The same on a real containerd: the node that `examples/lab` makes, where it has been built and we are root.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::measure::{self, Subject};
use super::{ours, row};

/// So many pods of the lab have 150 containers.
const PODS: usize = 125;

/// What is asked of a node that is well, as both tools are told it. `{}` is a running container.
const COMMANDS: [&str; 7] = [
    "version",
    "ps",
    "ps -a",
    "ps -a -o json",
    "pods",
    "images",
    "exec {} true",
];

/// How many shims are stopped on the sick node, and how much of a processor it has, in percent.
const STOPPED: usize = 5;
const PERCENT: u32 = 10;
/// How often it is looked at, and how long the daemon is left alone in between.
const LOOKS: u32 = 10;
const BETWEEN: Duration = Duration::from_secs(2);

/// A lab that is up. Dropping it ends it.
struct Lab {
    process: Child,
    document: Value,
}

impl Lab {
    fn up(pods: usize) -> Option<Self> {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debug/examples/lab");
        let mut process = Command::new(&lab)
            .args(["up", "--json", "--generation", "1.7", "--pods"])
            .arg(pods.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .inspect_err(|error| eprintln!("no real node: {}: {error}", lab.display()))
            .ok()?;
        let mut line = String::new();
        let stdout = process.stdout.take()?;
        BufReader::new(stdout).read_line(&mut line).ok()?;
        let document = serde_json::from_str(&line)
            .inspect_err(|_| eprintln!("no real node: the lab did not come up"))
            .ok()?;
        Some(Self { process, document })
    }

    fn text(&self, key: &str) -> &str {
        self.document[key].as_str().unwrap_or_default()
    }

    fn daemon(&self) -> u64 {
        self.document["pid"].as_u64().unwrap_or_default()
    }

    fn containers(&self) -> impl Iterator<Item = &Value> {
        let pods = self.document["pods"].as_array().into_iter().flatten();
        pods.flat_map(|pod| pod["containers"].as_array().into_iter().flatten())
    }

    /// The processes of the node with a name that begins so.
    fn processes(&self, name: &str) -> Vec<u64> {
        let space = |pid: u64| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let node = space(self.daemon());
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
                comm.is_ok_and(|comm| comm.starts_with(name)) && space(*pid) == node
            })
            .collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// A node that is well.
pub fn well() {
    let Some(lab) = Lab::up(PODS) else { return };
    let count = lab.containers().count();
    println!(
        "\n### containerd {} with {count} containers\n",
        lab.text("version")
    );
    super::heading();
    let running = lab.containers().find(|it| it["state"] == "running");
    let running = running.and_then(|it| it["id"].as_str()).unwrap_or_default();
    for line in COMMANDS {
        let line = line.replace("{}", running);
        let subjects = [Subject::new(&ours(), &line), Subject::new("crictl", &line)];
        let costs = measure::in_turn(&subjects, lab.text("endpoint"), 11);
        let [Some(cost), crictl] = costs.as_slice() else {
            eprintln!("{line}: cannot be measured");
            continue;
        };
        let instructions = subjects[0].instructions(lab.text("endpoint"));
        row(
            &line.replace(running, "ID"),
            *cost,
            None,
            *crictl,
            instructions,
        );
    }
}

/// A node of so many pods that is not: shims that are stopped, and a tenth of a processor for the daemon and for whoever
/// looks.
pub fn sick(pods: usize) {
    let Some(lab) = Lab::up(pods) else { return };
    println!(
        "\n### {pods} pods of containerd {}, {STOPPED} shims stopped, {PERCENT} % of a processor\n",
        lab.text("version")
    );
    let shims = lab.processes("containerd-shim");
    for pid in shims.iter().take(STOPPED) {
        let _ = Command::new("kill")
            .args(["-STOP", &pid.to_string()])
            .status();
    }
    let cell = match Cell::new() {
        Ok(cell) => cell,
        Err(error) => {
            eprintln!("no cgroup: {error}");
            return;
        }
    };
    for pid in shims.iter().chain([&lab.daemon()]) {
        let _ = cell.hold(*pid);
    }
    let directory = std::env::temp_dir().join(format!("criscope-bench-{}", std::process::id()));
    let facts = directory.with_extension("json");
    let (mut walls, mut cpus, mut calls, mut verdicts) = (vec![], vec![], vec![], vec![]);
    let busy = cpu(lab.daemon());
    let began = Instant::now();
    let idle = {
        std::thread::sleep(BETWEEN * LOOKS);
        rate(cpu(lab.daemon()) - busy, began.elapsed())
    };
    let (busy, began) = (cpu(lab.daemon()), Instant::now());
    for _ in 0..LOOKS {
        let subject = Subject {
            program: "/bin/sh".to_owned(),
            arguments: vec![
                "-c".to_owned(),
                "echo $$ > \"$0\" && exec \"$@\"".to_owned(),
                cell.members().display().to_string(),
                ours(),
                "check".to_owned(),
                "--quick".to_owned(),
                "--host-root".to_owned(),
                lab.text("hostRoot").to_owned(),
                "--state-dir".to_owned(),
                directory.display().to_string(),
                "--save-facts".to_owned(),
                facts.display().to_string(),
            ],
            told: true,
        };
        if let Ok((cost, code)) = subject.run(lab.text("endpoint")) {
            walls.push(cost.wall);
            cpus.push(cost.cpu);
            calls.push(count_calls(&facts));
            verdicts.push(code);
        }
        std::thread::sleep(BETWEEN);
    }
    let extra = rate(cpu(lab.daemon()) - busy, began.elapsed()) - idle;
    let _ = (fs::remove_dir_all(directory), fs::remove_file(facts));
    walls.sort_unstable();
    cpus.sort_unstable();
    println!("| | |\n|---|---|");
    println!(
        "| wall, the longest of {LOOKS} | {:.0?} |",
        walls.last().unwrap_or(&Duration::ZERO)
    );
    println!(
        "| CPU, the median | {:.1?} |",
        cpus.get(cpus.len() / 2).unwrap_or(&Duration::ZERO)
    );
    println!("| calls, the most | {} |", calls.iter().max().unwrap_or(&0));
    println!("| exit codes | {verdicts:?} |");
    println!(
        "| the daemon, looked at every {BETWEEN:?}, takes so much more of a processor | {:.2} % |",
        extra * 100.0
    );
    drop(cell);
}

/// How many calls were made for saved facts.
fn count_calls(facts: &Path) -> usize {
    let text = fs::read(facts).unwrap_or_default();
    let facts: Value = serde_json::from_slice(&text).unwrap_or_default();
    facts["calls"].as_array().map_or(0, Vec::len)
}

/// What a process has used so far.
fn cpu(pid: u64) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    // utime and stime, in hundredths of a second on every Linux that this runs on.
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(10 * ticks)
}

fn rate(used: Duration, passed: Duration) -> f64 {
    used.as_secs_f64() / passed.as_secs_f64()
}

/// A cgroup with a part of a processor. Dropping it lets its members go.
struct Cell(PathBuf);

impl Cell {
    fn new() -> std::io::Result<Self> {
        let one = Path::new("/sys/fs/cgroup/cpu");
        let (root, files) = if one.is_dir() {
            let quota = (PERCENT * 1000).to_string();
            let files = vec![
                ("cpu.cfs_period_us", "100000".to_owned()),
                ("cpu.cfs_quota_us", quota),
            ];
            (one, files)
        } else {
            (
                Path::new("/sys/fs/cgroup"),
                vec![("cpu.max", format!("{} 100000", PERCENT * 1000))],
            )
        };
        let cell = Self(root.join(format!("criscope-bench-{}", std::process::id())));
        fs::create_dir(&cell.0)?;
        for (name, value) in files {
            fs::write(cell.0.join(name), value)?;
        }
        Ok(cell)
    }

    fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    fn hold(&self, pid: u64) -> std::io::Result<()> {
        fs::write(self.members(), pid.to_string())
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // To where they came from is not known: the cgroup above will do for what ends soon.
        let above = self.0.parent().map(|above| above.join("cgroup.procs"));
        let members = fs::read_to_string(self.members()).unwrap_or_default();
        if let Some(above) = above {
            for pid in members.lines() {
                let _ = fs::write(&above, pid);
            }
        }
        let _ = fs::remove_dir(&self.0);
    }
}
