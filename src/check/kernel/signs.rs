//! Signs of trouble: what the kernel's log says, processes that are stuck in it, and pressure.

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome};
use crate::facts::Source;

/// The daemons whose death by memory matters.
const DAEMONS: &[&str] = &["containerd", "kubelet", "crio", "dockerd", "systemd"];

/// How bad a line of the kernel's log is: whether it is the worst, or none of our business.
fn sign(text: &str) -> Option<bool> {
    let has = |words: &str| text.contains(words);
    if has("Remounting filesystem read-only") || has("Shutting down") || has("shutdown") {
        return Some(true);
    }
    if has("Killed process") || has("oom-kill:") {
        let daemon = DAEMONS
            .iter()
            .any(|name| has(&format!("({name})")) || has(&format!("task={name},")));
        return daemon.then_some(false);
    }
    // Drives without medium and loop devices of deleted files complain for nothing.
    if has("I/O error") && ["dev fd", "dev sr", "dev loop"].iter().any(|dev| has(dev)) {
        return None;
    }
    Some(false)
}

pub(super) fn log(case: &Case<'_>) -> Judged {
    const HOUR: u64 = 3600;
    let lines = case.kernel.log.need()?;
    let signs: Vec<_> = lines
        .iter()
        .filter(|line| line.age_seconds <= HOUR)
        .filter_map(|line| Some((sign(&line.text)?, line)))
        .collect();
    let worst = signs.iter().any(|(worst, _)| *worst);
    let Some((_, shown)) = signs.iter().rev().find(|(bad, _)| *bad == worst) else {
        return Note::pass("no trouble in the last hour").into();
    };
    let text = format!(
        "the kernel reports trouble ({} lines in the last hour)",
        signs.len()
    );
    let mut note = if worst {
        Note::fail(text)
    } else {
        Note::warn(text)
    };
    note = note
        .says(Some(shown.text.clone()))
        .measured(signs.len())
        .expected("none")
        .at(Source::proc("/dev/kmsg"));
    for (_, line) in signs.iter().rev().take(5) {
        note = note.evidence(
            Source::proc("/dev/kmsg"),
            format!("{} s ago: {}", line.age_seconds, line.text),
        );
    }
    note.into()
}

pub(super) fn stuck(case: &Case<'_>) -> Judged {
    let stuck = case.kernel.stuck.need()?;
    let problems = stuck
        .iter()
        .take(10)
        .map(|one| {
            let at = one
                .at
                .as_deref()
                .map(|at| format!(" in `{at}`"))
                .unwrap_or_default();
            Note::warn(format!("`{}` (pid {}) is stuck{at}", one.comm, one.pid))
                .subject(one.pid)
                .measured(serde_json::json!(one))
                .at(Source::proc(format!("/proc/{}/stat", one.pid)))
        })
        .collect();
    Outcome::of(problems, "none").into()
}

pub(super) fn pressure(case: &Case<'_>) -> Judged {
    let pressure = case.kernel.pressure.need()?;
    let words: Vec<String> = pressure
        .iter()
        .map(|(what, share)| format!("{what} {share} %"))
        .collect();
    Note::pass(format!("waiting in the last minute: {}", words.join(", ")))
        .measured(serde_json::json!(pressure))
        .at(case.kernel.pressure.source().cloned())
        .into()
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn signs_in_the_kernels_log() {
        for (text, expected) in [
            (
                "EXT4-fs (sda1): Remounting filesystem read-only",
                Some(true),
            ),
            ("XFS (sdb): Filesystem has been shut down", Some(false)),
            (
                "Out of memory: Killed process 7 (containerd) total-vm:1kB",
                Some(false),
            ),
            ("Out of memory: Killed process 7 (java) total-vm:1kB", None),
            ("blk_update_request: I/O error, dev fd0, sector 0", None),
            (
                "blk_update_request: I/O error, dev nvme0n1, sector 9",
                Some(false),
            ),
            (
                "INFO: task kworker blocked for more than 120 seconds.",
                Some(false),
            ),
        ] {
            assert_eq!(sign(text), expected, "{text}");
        }
    }
}
