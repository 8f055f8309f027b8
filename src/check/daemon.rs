//! How long a daemon runs, and why one that should run does not: what the system's journal has of it.

use super::finding::{Area, Note, Severity};
use super::scope::HEALTH;
use super::{Case, Check, Judge, Judged};
use crate::endpoint::report::Verdict;
use crate::facts::{Gap, JournalLine, Source};

/// The checks of this room.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "daemon-dead-reason",
        title: "a runtime that is down has said why",
        area: Area::Config,
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Where no runtime answers and its unit exists: reads the files of the journal (and /var/log/syslog or \
           /var/log/messages) for the unit's last fatal line and for how systemd saw it end. Fails with those words; \
           unknown if they cannot be found, with the command that shows them.",
        why: "A dead socket is a consequence: the daemon said what is wrong before it ended.",
        remedy: "mend what the quoted line names, then start the unit",
        judge: Judge::By(reason),
        ..Check::BLANK
    },
    Check {
        code: "runtime-uptime",
        title: "the runtime's daemon does not start over and over",
        area: Area::Cri,
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Where the daemon runs for less than ten minutes: counts in the journal how often systemd has restarted it in \
           these. Fails from three times on. A daemon that was started once, a moment ago, passes.",
        why: "Between two ends it looks well: pods go on, and nothing that takes longer than such a while ever succeeds.",
        remedy: "read why it ended: `journalctl -u containerd -p warning -n 50`",
        judge: Judge::By(uptime),
        ..Check::BLANK
    },
];

/// The time in which restarts count, in seconds.
const RECENT: i64 = 600;
/// So many restarts are a loop.
const OFTEN: usize = 3;

/// Words of a line that tells why a process ended.
const FATAL: &[&str] = &[
    "level=fatal",
    "level=panic",
    "panic:",
    "fatal error:",
    "failed to load TOML",
    "command failed",
    "unknown flag",
    "failed to run Kubelet",
];

/// Whether a line tells why a daemon ended: how much it tells.
fn weight(line: &JournalLine) -> Option<u8> {
    let has = |words: &str| line.text.contains(words);
    if line.by_systemd {
        return (has("Main process exited")
            || has("Failed with result")
            || has("Failed at step")
            || has("Unable to locate executable")
            || has("bad unit file setting"))
        .then_some(1);
    }
    if FATAL.iter().any(|words| has(words)) {
        return Some(3);
    }
    // containerd writes what `main` returns to stderr, after its own name.
    (line.text.starts_with("containerd: ") || line.text.starts_with("crio: "))
        .then_some(3)
        .or_else(|| has("level=error").then_some(2))
}

fn uptime(case: &Case<'_>) -> Judged {
    let daemon = super::config::daemon(case)?;
    let name = daemon.role.name();
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let (Some(now), Some(started)) = (
        time(&case.taken_at),
        daemon.started_at.as_deref().and_then(time),
    ) else {
        return Err(Gap::Unknown(format!(
            "it is not known when {name} was started"
        )));
    };
    let age = now.as_second() - started.as_second();
    if age >= RECENT {
        return Note::pass(format!("{name} runs since {started}")).into();
    }
    let Some(unit) = daemon
        .unit
        .as_deref()
        .filter(|unit| unit.ends_with(".service"))
    else {
        return Note::pass(format!(
            "{name} runs since {started}, and no unit restarts it"
        ))
        .into();
    };
    let restarts: Vec<&JournalLine> = case
        .journal
        .need()?
        .iter()
        .filter(|line| {
            let recent =
                time(&line.time).is_some_and(|time| now.as_second() - time.as_second() <= RECENT);
            line.by_systemd
                && recent
                && line.unit == unit
                && line.text.contains("Scheduled restart job")
        })
        .collect();
    if restarts.len() < OFTEN {
        return Note::pass(format!("{name} was started {age} s ago")).into();
    }
    let mut note = Note::fail(format!(
        "systemd has restarted {name} {} times in the last {} minutes",
        restarts.len(),
        RECENT / 60
    ))
    .subject(unit)
    .measured(restarts.len())
    .expected("a daemon that stays")
    .at(case.journal.source().cloned())
    .since(restarts.first().map(|line| line.time.clone()));
    let lines = case.journal.value().map(Vec::as_slice).unwrap_or_default();
    let short = unit.trim_end_matches(".service");
    if let Some((line, _)) = last_words(lines, &[short]) {
        note = note.says(Some(message(&line.text)));
    }
    note.command(format!("journalctl -u {short} -p warning -n 50 --no-pager"))
        .into()
}

fn reason(case: &Case<'_>) -> Judged {
    case.live()?;
    case.endpoints.need()?;
    if case.serves() {
        return Note::pass("the runtime runs").into();
    }
    match case.verdict() {
        Some(Verdict::Refused | Verdict::Absent | Verdict::NotSocket) | None => {}
        Some(verdict) => {
            return Err(Gap::Absent(format!(
                "somebody holds the socket ({})",
                verdict.name()
            )));
        }
    }
    let units: Vec<&str> = ["containerd", "crio", "cri-docker", "docker"]
        .into_iter()
        .filter(|unit| {
            [
                "/etc/systemd/system",
                "/usr/lib/systemd/system",
                "/lib/systemd/system",
            ]
            .iter()
            .any(|directory| {
                case.files.exists(&format!("{directory}/{unit}.service")) == Some(true)
            })
        })
        .collect();
    let Some(unit) = units.first() else {
        return Err(Gap::Absent("this node has no unit of a runtime".to_owned()));
    };
    let command = format!("journalctl -u {unit} -n 30 --no-pager");
    let lines = match case.journal.need() {
        Ok(lines) => lines.as_slice(),
        Err(Gap::Absent(what)) => return Err(Gap::Absent(what)),
        Err(Gap::Unknown(why)) => {
            return Note::unknown(format!(
                "why {unit} does not run is in its journal, which cannot be read: {why}"
            ))
            .remedy("read what it said last")
            .command(command)
            .into();
        }
    };
    let Some((line, last)) = last_words(lines, &units) else {
        return Note::unknown(format!("the journal does not tell why {unit} does not run"))
            .remedy("read what it said last")
            .command(command)
            .into();
    };
    let name = line.unit.trim_end_matches(".service");
    let mut note = Note::fail(format!("{name} ended, and said why"))
        .subject(&line.unit)
        .says(Some(message(&line.text)))
        .expected("a daemon that runs")
        .at(case.journal.source().cloned())
        .since(Some(line.time.clone()).filter(|time| !time.is_empty()));
    if let Some(end) = last
        .iter()
        .rev()
        .find(|line| line.by_systemd && line.text.contains("Main process exited"))
    {
        note = note.evidence(Source::file("/var/log/journal"), end.text.clone());
    }
    note.remedy("mend what it says, then start it")
        .command(format!("systemctl restart {name}"))
        .into()
}

/// The line of the last life of these units that tells most, and all lines of that life.
pub(super) fn last_words<'l>(
    lines: &'l [JournalLine],
    units: &[&str],
) -> Option<(&'l JournalLine, Vec<&'l JournalLine>)> {
    let of = |line: &&JournalLine| units.contains(&line.unit.trim_end_matches(".service"));
    let mine: Vec<&JournalLine> = lines.iter().filter(of).collect();
    // What came before the last start is another story.
    let began = mine
        .iter()
        .rposition(|line| {
            line.by_systemd
                && (line.text.starts_with("Starting ") || line.text.starts_with("Started "))
        })
        .unwrap_or(0);
    let last = mine.get(began..).unwrap_or_default().to_vec();
    let (_, _, best) = last
        .iter()
        .enumerate()
        .filter_map(|(index, line)| Some((weight(line)?, index, *line)))
        .max_by_key(|(weight, index, _)| (*weight, *index))?;
    Some((best, last))
}

/// The message of a line that logrus wrote: `… msg="…"`, with its error; other lines as they are.
pub(super) fn message(text: &str) -> String {
    let quoted = |key: &str| -> Option<String> {
        let start = text.find(&format!("{key}=\""))? + key.len() + 2;
        let rest = text.get(start..)?;
        let mut end = 0;
        let bytes = rest.as_bytes();
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        Some(rest.get(..end.min(rest.len()))?.replace("\\\"", "\""))
    };
    match (quoted("msg"), quoted("error")) {
        (Some(message), Some(error)) => format!("{message}: {error}"),
        (Some(message), None) => message,
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn words_out_of_a_log_line() {
        assert_eq!(
            message(
                r#"time="2026-01-01" level=fatal msg="loading \"x\" failed" error="no such file""#
            ),
            "loading \"x\" failed: no such file"
        );
        assert_eq!(message("containerd: invalid"), "containerd: invalid");
        assert_eq!(message(r#"msg="open"#), "open");
        assert_eq!(message(r#"msg="a\"#), "a\\");
    }
}
