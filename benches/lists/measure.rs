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
    /// How it is called in the table.
    pub name: String,
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Subject {
    fn command(&self, program: &str, before: &[&str], endpoint: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(before)
            .args(&self.arguments)
            .env("CONTAINER_RUNTIME_ENDPOINT", endpoint)
            .env("CRI_CONFIG_FILE", "/dev/null")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn run(&self, endpoint: &str) -> io::Result<Cost> {
        let mut command = self.command(&self.program, &[], endpoint);
        let began = Instant::now();
        let child = command.spawn()?;
        let used = child.wait4()?;
        let wall = began.elapsed();
        if !used.status.success() {
            return Err(io::Error::other(format!("{} failed", self.name)));
        }
        Ok(Cost {
            wall,
            cpu: used.rusage.utime + used.rusage.stime,
            memory: used.rusage.maxrss,
        })
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
                Ok(cost) if round > 0 => costs.push(cost),
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
