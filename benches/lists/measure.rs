//! One command as a whole process: what the kernel's accounting of the finished child says, and instruction counts.

use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4;

/// What one command takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// From start to end.
    pub wall: Duration,
    /// User and system time.
    pub cpu: Duration,
    /// The largest resident set, in bytes.
    pub memory: u64,
}

/// A command line that is measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Whether it is told where the node is, or has to find out.
    pub told: bool,
}

impl Subject {
    /// A command line that is told where the node is.
    pub fn new(program: &str, line: &str) -> Self {
        Self {
            program: program.to_owned(),
            arguments: line.split(' ').map(str::to_owned).collect(),
            told: true,
        }
    }

    fn command(&self, program: &str, before: &[&str], endpoint: &str) -> Command {
        let mut command = Command::new(program);
        if self.told {
            command.env("CONTAINER_RUNTIME_ENDPOINT", endpoint);
        } else {
            command.env_remove("CONTAINER_RUNTIME_ENDPOINT");
        }
        command
            .args(before)
            .args(&self.arguments)
            .env("CRI_CONFIG_FILE", "/dev/null")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs it once: what it takes, and its exit code; -1 for one that a signal has ended.
    pub fn run(&self, endpoint: &str) -> io::Result<(Cost, i32)> {
        let mut command = self.command(&self.program, &[], endpoint);
        let began = Instant::now();
        let child = command.spawn()?;
        let used = child.wait4()?;
        let wall = began.elapsed();
        let cost = Cost {
            wall,
            cpu: used.rusage.utime + used.rusage.stime,
            memory: used.rusage.maxrss,
        };
        Ok((cost, used.status.code().unwrap_or(-1)))
    }

    /// How many instructions it executes outside the kernel; `None` where callgrind cannot say.
    pub fn instructions(&self, endpoint: &str) -> Option<u64> {
        let before = [
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            &self.program,
            // Under callgrind everything takes longer by far.
            "-t",
            "60s",
        ];
        let output = self
            .command("valgrind", &before, endpoint)
            .stderr(Stdio::piped())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let (_, rest) = text.split_once("Collected : ")?;
        rest.split_whitespace().next()?.parse().ok()
    }
}

/// The medians of so many runs of each, taken in turn so that a machine that slows down slows all of them; the first
/// round does not count. `None` for what cannot be run.
pub fn in_turn(subjects: &[Subject], endpoint: &str, runs: usize) -> Vec<Option<Cost>> {
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); subjects.len()];
    for round in 0..=runs {
        for (subject, costs) in subjects.iter().zip(&mut costs) {
            match subject.run(endpoint) {
                Ok((cost, 0)) if round > 0 => costs.push(cost),
                _ => {}
            }
        }
    }
    costs.into_iter().map(|costs| median(&costs)).collect()
}

fn median(costs: &[Cost]) -> Option<Cost> {
    let middle = |mut values: Vec<u64>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied()
    };
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let time = |pick: fn(&Cost) -> Duration| {
        let values = costs.iter().map(|cost| nanoseconds(pick(cost))).collect();
        middle(values).map(Duration::from_nanos)
    };
    Some(Cost {
        wall: time(|cost| cost.wall)?,
        cpu: time(|cost| cost.cpu)?,
        memory: middle(costs.iter().map(|cost| cost.memory).collect())?,
    })
}
