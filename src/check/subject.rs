//! Checks of one pod, container or image: sandbox, network, image, creation, last end, log.
//!
//! They are silent unless somebody asks about a subject (`criscope why`).

use super::finding::{Area, Note, Severity};
use super::scope::SUBJECT;
use super::{Case, Check, Judge, Judged, Outcome};
use crate::facts::subject::{Doing, End, LogTail, Member, Subject};
use crate::facts::{Fact, Gap, Source};

const BLANK: Check = Check {
    area: Area::Cri,
    profiles: SUBJECT,
    silenced_by: &["endpoint-socket", "endpoint-connect", "cri-plugin-loaded"],
    ..Check::BLANK
};

/// The steps of a story, in their order: what `why` tells whether it is well or not.
pub const STEPS: &[&str] = &[
    "image-present",
    "pod-sandbox",
    "pod-network",
    "container-image",
    "container-started",
    "container-exit",
    "container-restarts",
    "container-log",
];

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "image-present",
        title: "the image is there",
        area: Area::Image,
        severity: Severity::High,
        rule: "Asks ImageStatus for the image that is asked about. Fails if the runtime does not have it.",
        why: "A container of it can only be created after it was pulled.",
        remedy: "pull it, or find out why that does not work",
        judge: Judge::By(present),
        ..BLANK
    },
    Check {
        code: "pod-sandbox",
        title: "the pod's sandbox is ready",
        severity: Severity::High,
        rule: "Asks PodSandboxStatus for the newest sandbox of the pod. Fails if it is not ready, unless every container \
               of the pod ended with 0.",
        why: "Nothing of the pod runs without its sandbox; the kubelet makes a new one and starts everything again.",
        remedy: "look at what the kubelet says when it makes the next sandbox: `journalctl -u kubelet`",
        judge: Judge::By(sandbox),
        ..BLANK
    },
    Check {
        code: "pod-network",
        title: "the pod has an address",
        area: Area::Cni,
        severity: Severity::High,
        rule: "Reads the addresses in PodSandboxStatus. Fails if a sandbox that is ready and does not live in the node's \
               network has none.",
        why: "Nobody reaches the pod, and its probes fail.",
        remedy: "look at the log of the network add-on; remove the pod, and the kubelet asks for an address again",
        judge: Judge::By(network),
        ..BLANK
    },
    Check {
        code: "container-image",
        title: "the images of the containers are there",
        area: Area::Image,
        severity: Severity::High,
        rule: "Asks ImageStatus for the image of each container. Fails if the runtime does not have it.",
        why: "A running container goes on, but it cannot be started again where it was.",
        remedy: "pull it again, and find out who removed it: garbage collection, a script",
        judge: Judge::By(image),
        ..BLANK
    },
    Check {
        code: "container-started",
        title: "every container was started",
        severity: Severity::High,
        rule: "Reads the state of each container. Fails if one was created and not started, or if the runtime does not \
               know its state.",
        why: "The kubelet creates a container and starts it at once: what stays between failed to start, or the runtime \
              hangs in it.",
        remedy: "look at what the kubelet says: `journalctl -u kubelet`; `criscope doctor --deep` finds hung shims",
        judge: Judge::By(started),
        ..BLANK
    },
    Check {
        code: "container-exit",
        title: "no container ended with an error",
        severity: Severity::High,
        rule: "Reads the last end of each container: its own, or that of the one that it replaced. Fails if it was killed \
               for want of memory, by a signal, or ended with a code other than 0; only warns if it runs again.",
        why: "It is the reason for most restarts.",
        remedy: "read the end of the log",
        judge: Judge::By(exit),
        ..BLANK
    },
    Check {
        code: "container-restarts",
        title: "no container is restarted again and again",
        severity: Severity::Medium,
        rule: "Reads how many containers of the same name the pod had before. Warns from three on, fails from ten on.",
        why: "The kubelet waits longer and longer between restarts, up to five minutes: CrashLoopBackOff.",
        remedy: "find out why it ends; see `container-exit`",
        judge: Judge::By(restarts),
        ..BLANK
    },
    Check {
        code: "container-log",
        title: "the end of the log can be read",
        severity: Severity::Info,
        rule: "Reads the last lines of the log file that the runtime names, of the container that ended or, if none did, \
               of the one that runs. Warns if the file is not there.",
        why: "The last words of a process mostly say why it ended.",
        remedy: "find out who removed the file: `criscope rm`, a clean-up of /var/log; the runtime writes on into the file \
                 that is gone until the container is made anew",
        judge: Judge::By(log),
        ..BLANK
    },
];

fn subject<'c>(case: &'c Case<'_>) -> Result<&'c Subject, Gap> {
    case.facts().subject.need()
}

fn containers<'c>(case: &'c Case<'_>) -> Result<&'c [Member], Gap> {
    let subject = subject(case)?;
    if subject.containers.is_empty() {
        return Err(Gap::Absent(format!(
            "no container belongs to `{}`",
            subject.asked
        )));
    }
    Ok(&subject.containers)
}

fn present(case: &Case<'_>) -> Judged {
    let subject = subject(case)?;
    let image = match &subject.image {
        Fact::Absent { what } if what.contains("asked") => return Err(Gap::Absent(what.clone())),
        Fact::Absent { what } => {
            return Note::fail(what)
                .subject(&subject.asked)
                .at(Source::rpc("ImageStatus"))
                .command(format!("criscope test-pull {}", subject.asked))
                .command(format!("criscope registry route {}", subject.asked))
                .into();
        }
        Fact::Unknown { reason } => return Err(Gap::Unknown(reason.clone())),
        Fact::Known { value, .. } => value,
    };
    let users: Vec<&str> = subject
        .containers
        .iter()
        .map(|member| member.called.as_str())
        .collect();
    let used = match users.as_slice() {
        [] => "no container uses it".to_owned(),
        some => format!("used by {}", some.join(", ")),
    };
    let pinned = if image.pinned { ", pinned" } else { "" };
    Note::pass(format!(
        "{} is there as {} ({} bytes{pinned}); {used}",
        subject.asked, image.id, image.size
    ))
    .subject(&subject.asked)
    .at(Source::rpc("ImageStatus"))
    .into()
}

fn sandbox(case: &Case<'_>) -> Judged {
    let subject = subject(case)?;
    let sandbox = subject.sandbox.need()?;
    let state = format!("sandbox {} of {}", short(&sandbox.id), sandbox.called);
    if sandbox.ready {
        return Note::pass(format!("{state} is ready")).into();
    }
    let done = !subject.containers.is_empty()
        && subject
            .containers
            .iter()
            .all(|member| member.end.as_ref().is_some_and(|end| end.code == 0));
    if done {
        return Note::pass(format!(
            "{state} is not ready any more, after all containers ended with 0"
        ))
        .into();
    }
    Note::fail(format!("{state} is not ready"))
        .subject(&sandbox.called)
        .measured("notready")
        .expected("ready")
        .at(Source::rpc("PodSandboxStatus"))
        .command(format!("criscope inspectp {}", short(&sandbox.id)))
        .into()
}

fn network(case: &Case<'_>) -> Judged {
    let sandbox = subject(case)?.sandbox.need()?;
    if sandbox.host_network {
        return Note::pass(format!(
            "{} lives in the network of the node",
            sandbox.called
        ))
        .into();
    }
    if !sandbox.addresses.is_empty() {
        return Note::pass(format!(
            "{} has {}",
            sandbox.called,
            sandbox.addresses.join(", ")
        ))
        .into();
    }
    if !sandbox.ready {
        return Err(Gap::Absent(
            "a sandbox that is not ready has no address".to_owned(),
        ));
    }
    Note::fail(format!("{} has no address", sandbox.called))
        .subject(&sandbox.called)
        .at(Source::rpc("PodSandboxStatus"))
        .command("criscope doctor --only cni")
        .into()
}

fn image(case: &Case<'_>) -> Judged {
    let mut problems = Vec::new();
    for member in containers(case)? {
        match &member.has_image {
            Fact::Known { .. } => {}
            Fact::Absent { what } => problems.push(
                Note::fail(format!(
                    "{} was made from an image that is gone: {what}",
                    member.called
                ))
                .subject(&member.called)
                .at(Source::rpc("ImageStatus"))
                .command(format!("criscope pull {}", member.image)),
            ),
            Fact::Unknown { reason } => problems.push(Note::unknown(format!(
                "whether `{}` is there is not known: {reason}",
                member.image
            ))),
        }
    }
    Outcome::of(problems, "every image is there").into()
}

fn started(case: &Case<'_>) -> Judged {
    let mut problems = Vec::new();
    for member in containers(case)? {
        if let Some(reason) = &member.unanswered {
            problems.push(
                Note::unknown(format!("{}: {reason}", member.called)).subject(&member.called),
            );
            continue;
        }
        let text = match member.doing {
            Doing::Running | Doing::Exited => continue,
            Doing::Created => format!("{} was created and not started", member.called),
            Doing::Unknown => format!("the runtime does not know the state of {}", member.called),
        };
        problems.push(
            Note::fail(text)
                .subject(&member.called)
                .since(time(member.created_at))
                .at(Source::rpc("ContainerStatus"))
                .command(format!("criscope inspect {}", short(&member.id))),
        );
    }
    Outcome::of(problems, "every container was started").into()
}

fn exit(case: &Case<'_>) -> Judged {
    let mut problems = Vec::new();
    let mut ended = 0;
    for member in containers(case)? {
        let Some(end) = &member.end else { continue };
        ended += 1;
        if end.code == 0 && !end.is_out_of_memory() {
            continue;
        }
        let (what, remedy) = told(member, end);
        let again = member.doing == Doing::Running;
        let text = if again {
            format!("{} runs again; the last time it {what}", member.called)
        } else {
            format!("{} {what}", member.called)
        };
        let mut note = if again {
            Note::warn(text)
        } else {
            Note::fail(text)
        };
        note = note
            .subject(&member.called)
            .says(Some(end.message.trim()))
            .measured(serde_json::json!({
                "exitCode": end.code,
                "reason": end.reason,
                "signal": end.signal(),
                "startedAt": time(end.started_at),
                "finishedAt": time(end.finished_at),
            }))
            .since(time(end.finished_at))
            .at(Source::rpc("ContainerStatus"))
            .remedy(remedy);
        if let Fact::Known { value, source } = &member.log
            && !value.lines.is_empty()
        {
            note = note.evidence(source.clone(), last_words(value));
        }
        problems.push(note);
    }
    let text = match ended {
        0 => "no container ended",
        _ => "what ended, ended with 0",
    };
    Outcome::of(problems, text).into()
}

/// How it ended, and what to do.
fn told(member: &Member, end: &End) -> (String, String) {
    if end.is_out_of_memory() {
        let limit = member
            .memory_limit
            .map(|bytes| format!(" of {bytes} bytes"));
        return (
            format!(
                "was killed by the kernel, because it wanted more memory than its limit{} allows",
                limit.unwrap_or_default()
            ),
            "raise its memory limit, or find out what it needs the memory for".to_owned(),
        );
    }
    match (end.code, end.signal()) {
        (_, Some(9)) => (
            "was killed (SIGKILL, exit code 137), and not for exceeding its own memory limit as far as the runtime knows"
                .to_owned(),
            "a failing liveness probe, a stop that took too long, an eviction, or the node out of memory: look at the \
             kubelet's events and at the kernel log"
                .to_owned(),
        ),
        (code, Some(15)) => (
            format!("was asked to end (SIGTERM, exit code {code}) and did"),
            "somebody stopped it: the kubelet's events say who".to_owned(),
        ),
        (code, Some(signal)) => (
            format!("was ended by {} (exit code {code})", signal_name(signal)),
            "a defect of the program, or a library, architecture or CPU feature that does not fit: read the end of its \
             log"
                .to_owned(),
        ),
        (126, _) => (
            "ended with 126: its command cannot be run".to_owned(),
            "the file is not executable, or it is a script without an interpreter in the image".to_owned(),
        ),
        (127, _) => (
            "ended with 127: a command was not found".to_owned(),
            "the program is not in the image, or not in its PATH".to_owned(),
        ),
        (128, _) => (
            "could not be started (128)".to_owned(),
            "the runtime's words say what is missing: mostly the command, a mount, or a handler".to_owned(),
        ),
        (code, _) => (
            format!("ended with exit code {code}"),
            "read the end of its log".to_owned(),
        ),
    }
}

fn restarts(case: &Case<'_>) -> Judged {
    let problems = containers(case)?
        .iter()
        .filter(|member| member.attempt >= 3)
        .map(|member| {
            let text = format!("{} was made {} times before", member.called, member.attempt);
            let note = if member.attempt >= 10 {
                Note::fail(text)
            } else {
                Note::warn(text)
            };
            note.subject(&member.called)
                .measured(member.attempt)
                .expected("less than 3")
                .at(Source::rpc("ContainerStatus"))
        })
        .collect();
    Outcome::of(problems, "none was made anew more than twice").into()
}

fn log(case: &Case<'_>) -> Judged {
    let mut notes = Vec::new();
    for member in containers(case)? {
        let note = match &member.log {
            Fact::Known { value, source } if value.lines.is_empty() => Note::pass(format!(
                "{} wrote nothing into `{}`",
                member.called, value.path
            ))
            .at(source.clone()),
            Fact::Known { value, source } => {
                let last = value.lines.last().map(String::as_str).unwrap_or_default();
                Note::pass(format!("`{}` ends with: {last}", value.path))
                    .at(source.clone())
                    .evidence(source.clone(), last_words(value))
            }
            Fact::Absent { what } => {
                Note::warn(format!("{}: {what}", member.called)).at(Source::rpc("ContainerStatus"))
            }
            Fact::Unknown { reason } => Note::unknown(format!("{}: {reason}", member.called)),
        };
        notes.push(note.subject(&member.called));
    }
    Outcome::of(notes, "there is no log").into()
}

fn last_words(log: &LogTail) -> String {
    format!("the last lines\n{}", log.lines.join("\n"))
}

/// A time as text, none for 0.
fn time(nanoseconds: i64) -> Option<String> {
    if nanoseconds <= 0 {
        return None;
    }
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn short(id: &str) -> &str {
    id.get(..13).unwrap_or(id)
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        31 => "SIGSYS, as seccomp does",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(code: i32, reason: &str, expected: &str) {
        let end = End {
            code,
            reason: reason.to_owned(),
            ..End::default()
        };
        let member = Member {
            memory_limit: Some(1024),
            ..Member::default()
        };
        let (what, remedy) = told(&member, &end);
        assert!(what.contains(expected), "{what}");
        assert!(!remedy.is_empty());
    }

    #[test]
    fn ends() {
        case(137, "OOMKilled", "limit of 1024 bytes");
        case(137, "Error", "SIGKILL");
        case(139, "Error", "SIGSEGV");
        case(143, "Error", "SIGTERM");
        case(7, "Error", "exit code 7");
        case(128, "StartError", "could not be started");
        case(127, "Error", "not found");
        case(255, "Error", "exit code 255");
    }
}
