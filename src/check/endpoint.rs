//! Checks of sockets and of who is behind them.
//!
//! The verdicts come from `probe::socket`; here they become findings. Whether CRI is served behind a socket that
//! answers is the business of [`super::cri`].

use super::finding::{Area, Note, Severity};
use super::scope::{HEALTH, NODE};
use super::{Case, Check, Judge, Judged, Outcome};
use crate::endpoint::discover::Source as Named;
use crate::endpoint::report::{EndpointReport, Verdict};
use crate::facts::{Gap, Source};

/// What keeps a daemon from starting.
const FATAL: &[&str] = &[
    "daemon-dead-reason",
    "containerd-config-parse",
    "containerd-config-version",
    "containerd-disabled-name",
    "containerd-dropin-version",
    "containerd-import-missing",
    "crio-config-parse",
    "crio-registries-conf",
];

const BLANK: Check = Check {
    area: Area::Endpoint,
    ..Check::BLANK
};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "endpoint-socket",
        title: "the runtime's socket exists",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Looks at the path of every candidate. Fails if the named one, or all known ones, are missing, or if \
               something else than a socket is there.",
        why: "The kubelet and every tool talk to the runtime through this socket; without it no pod can start.",
        remedy: "start the runtime's unit, or correct the path",
        seen: &["kubeadm#1495"],
        caused_by: FATAL,
        judge: Judge::By(socket),
        ..BLANK
    },
    Check {
        code: "endpoint-connect",
        title: "somebody answers behind the socket",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Connects, sets up HTTP/2 and asks for Version, with one deadline for all of it. Fails if the connection \
               is refused (a stale socket), hangs, or is no gRPC. Denied is unknown unless asked as root.",
        why: "A socket file outlives its daemon: that it exists says nothing.",
        remedy: "start or restart the daemon; ask as root where access is denied",
        seen: &["minikube#11179", "containerd#9770"],
        silenced_by: &["endpoint-socket"],
        caused_by: FATAL,
        judge: Judge::By(connect),
        ..BLANK
    },
    Check {
        code: "socket-activated",
        title: "the runtime does not wait for a first connection",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Warns if only a supervisor (systemd) holds the socket while the service behind it is down. The service \
               is not woken, unless asked to.",
        why: "Containers that should be running are not until somebody connects; after a reboot that may be never.",
        remedy: "enable and start the service itself",
        silenced_by: &["endpoint-socket"],
        judge: Judge::By(socket_activated),
        ..BLANK
    },
    Check {
        code: "endpoint-multiple",
        title: "one runtime serves this node",
        severity: Severity::High,
        profiles: NODE,
        rule: "Asks every known socket for Version. Warns if several runtimes serve and the kubelet or a setting says \
               which one counts; fails if nothing does.",
        why: "kubeadm refuses to guess, and tools without a setting talk to different runtimes.",
        remedy: "stop the runtime that is not used, or name the other one in /etc/crictl.yaml and in the kubelet's \
                 configuration",
        seen: &["kubeadm#1495", "kubekey#1642", "cri-o#4445"],
        silenced_by: &["endpoint-socket"],
        judge: Judge::By(multiple),
        ..BLANK
    },
    Check {
        code: "endpoint-peer",
        title: "the runtime itself holds its socket",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Looks up the process at the other end of the socket. Warns if it is a program that only passes \
               connections on.",
        why: "A proxy on the socket sees every request, credentials for pulls included, and adds its own failures.",
        remedy: "point the endpoint at the runtime's own socket",
        silenced_by: &["endpoint-socket", "endpoint-connect"],
        judge: Judge::By(peer),
        ..BLANK
    },
    Check {
        code: "endpoint-latency",
        title: "the runtime answers at once",
        severity: Severity::Medium,
        profiles: HEALTH,
        rule: "Times the cheapest call, Version. Warns above 100 ms, fails above 1 s.",
        why: "The kubelet asks every second; a slow Version means a starved daemon, and everything else is slower.",
        remedy: "look at CPU, memory and disk pressure of the node, and at the number of shims",
        seen: &["kubernetes#45419"],
        silenced_by: &["endpoint-socket", "endpoint-connect", "cri-plugin-loaded"],
        judge: Judge::By(latency),
        ..BLANK
    },
];

/// The endpoint that matters, with its source.
fn telling<'c>(case: &'c Case<'_>) -> Result<&'c EndpointReport, Gap> {
    case.live()?;
    case.facts().endpoints.need()?;
    case.facts()
        .telling()
        .ok_or_else(|| Gap::Absent("no endpoint was examined".to_owned()))
}

/// A note about an endpoint with what is known about it.
fn about(note: Note, endpoint: &EndpointReport) -> Note {
    let mut note = note
        .subject(&endpoint.endpoint)
        .says(endpoint.runtime_says.clone())
        .measured(endpoint.verdict.name())
        .at(Source::socket(endpoint.endpoint.path().display()));
    if let Some(advice) = &endpoint.advice {
        note = note.remedy(advice.clone());
    }
    if endpoint.source != Named::Builtin {
        note = note.evidence(
            Source::socket(endpoint.endpoint.path().display()),
            format!("named by {}", endpoint.named_by),
        );
    }
    note
}

fn socket(case: &Case<'_>) -> Judged {
    let endpoint = telling(case)?;
    match endpoint.verdict {
        Verdict::Absent if endpoint.source == Named::Builtin => {
            let all = case.facts().endpoints.need()?;
            let mut note = Note::fail(
                "none of the known sockets exists: no container runtime is running here",
            )
            .measured(Verdict::Absent.name())
            .expected("a socket of containerd, CRI-O or cri-dockerd")
            .remedy("start the container runtime, or name its socket with `-r unix:///PATH`")
            .command("criscope endpoints");
            for endpoint in all {
                note = note.evidence(
                    Source::socket(endpoint.endpoint.path().display()),
                    endpoint.detail.clone(),
                );
            }
            note.into()
        }
        Verdict::Absent | Verdict::NotSocket => about(
            Note::fail(format!(
                "nothing can listen at `{}`: {}",
                endpoint.endpoint, endpoint.detail
            )),
            endpoint,
        )
        .into(),
        _ => Note::pass(format!("`{}` is a socket", endpoint.endpoint)).into(),
    }
}

fn connect(case: &Case<'_>) -> Judged {
    let endpoint = telling(case)?;
    let sentence = || format!("`{}`: {}", endpoint.endpoint, endpoint.detail);
    match endpoint.verdict {
        Verdict::Refused | Verdict::Hung | Verdict::NotGrpc => {
            let started = endpoint
                .process
                .as_ref()
                .and_then(|process| process.started_at.clone());
            let mut note = about(Note::fail(sentence()), endpoint);
            if endpoint.verdict == Verdict::Hung
                && let Some(process) = &endpoint.process
                && let Some(pid) = process.pid
            {
                let exe = process.exe.as_deref().unwrap_or("?");
                let since = started
                    .map(|time| format!(", started {time}"))
                    .unwrap_or_default();
                note = note.evidence(
                    Source::proc(format!("/proc/{pid}")),
                    format!("{exe}{since}"),
                );
            }
            note.into()
        }
        Verdict::Denied if !case.is_root() => about(Note::unknown(sentence()), endpoint).into(),
        Verdict::Denied => about(Note::fail(sentence()), endpoint).into(),
        Verdict::Dormant => Err(Gap::Absent(sentence())),
        Verdict::Absent | Verdict::NotSocket => Err(Gap::Absent(sentence())),
        Verdict::Serving | Verdict::V1alpha2Only | Verdict::CriDisabled | Verdict::CriFailed => {
            Note::pass(sentence()).into()
        }
    }
}

fn socket_activated(case: &Case<'_>) -> Judged {
    let endpoint = telling(case)?;
    if endpoint.verdict == Verdict::Dormant {
        return about(
            Note::warn(format!("`{}`: {}", endpoint.endpoint, endpoint.detail)),
            endpoint,
        )
        .into();
    }
    if matches!(endpoint.verdict, Verdict::Absent | Verdict::NotSocket) {
        return Err(Gap::Absent(format!(
            "there is no socket at `{}`",
            endpoint.endpoint
        )));
    }
    Note::pass(format!(
        "`{}` is held by a running service",
        endpoint.endpoint
    ))
    .into()
}

fn multiple(case: &Case<'_>) -> Judged {
    case.live()?;
    let all = case.facts().endpoints.need()?;
    let serving: Vec<&EndpointReport> = all
        .iter()
        .filter(|endpoint| endpoint.verdict.serves())
        .collect();
    let (Some(first), true) = (serving.first(), serving.len() > 1) else {
        let text = match serving.first() {
            Some(endpoint) => format!("`{}` is the only one that serves", endpoint.endpoint),
            None => return Err(Gap::Absent("no runtime serves CRI".to_owned())),
        };
        return Note::pass(text).into();
    };
    let chosen = case.facts().chosen().unwrap_or(first);
    let names: Vec<String> = serving
        .iter()
        .map(|endpoint| {
            let runtime = endpoint
                .runtime
                .as_ref()
                .map_or_else(|| "a runtime".to_owned(), ToString::to_string);
            format!("{runtime} at `{}`", endpoint.endpoint)
        })
        .collect();
    let pinned = chosen.source != Named::Builtin;
    let sentence = format!("{} runtimes serve CRI: {}", serving.len(), names.join(", "));
    let note = if pinned {
        Note::warn(format!("{sentence}; {} says which counts", chosen.named_by))
    } else {
        Note::fail(format!("{sentence}; nothing says which counts"))
    };
    note.measured(serving.len())
        .expected("one")
        .at(Source::socket(chosen.endpoint.path().display()))
        .remedy(
            "stop and disable the runtime that is not used, or set `runtime-endpoint` in /etc/crictl.yaml and \
             `containerRuntimeEndpoint` for the kubelet",
        )
        .command("criscope endpoints")
        .into()
}

/// Programs that pass connections on.
const RELAYS: &[&str] = &[
    "socat",
    "haproxy",
    "envoy",
    "nginx",
    "ncat",
    "ssh",
    "sshd",
    "gost",
    "systemd-socket-proxyd",
];

fn peer(case: &Case<'_>) -> Judged {
    let endpoint = telling(case)?;
    let Some(process) = &endpoint.process else {
        return Err(Gap::Unknown(
            "who holds the socket was not looked up".to_owned(),
        ));
    };
    let Some(exe) = process.exe.as_deref() else {
        return Err(Gap::Unknown(process.unknown.clone().unwrap_or_else(|| {
            "the process behind the socket is not visible".to_owned()
        })));
    };
    let name = exe.rsplit('/').next().unwrap_or(exe);
    let pid = process.pid.unwrap_or(0);
    if RELAYS.contains(&name) {
        return Note::warn(format!(
            "`{exe}` (pid {pid}) answers in place of the runtime"
        ))
        .subject(&endpoint.endpoint)
        .measured(exe)
        .at(Source::proc(format!("/proc/{pid}/exe")))
        .since(process.started_at.clone())
        .remedy("point the endpoint at the runtime's own socket")
        .into();
    }
    Note::pass(format!("`{exe}` (pid {pid}) holds `{}`", endpoint.endpoint))
        .at(Source::proc(format!("/proc/{pid}/exe")))
        .into()
}

fn latency(case: &Case<'_>) -> Judged {
    let endpoint = telling(case)?;
    let mut times: Vec<f64> = case.facts().calls("Version").map(|call| call.ms).collect();
    times.extend(endpoint.latency_ms);
    times.sort_by(f64::total_cmp);
    let Some(&median) = times.get(times.len() / 2) else {
        return Err(Gap::Unknown("Version was not answered".to_owned()));
    };
    let text = format!("Version takes {median:.1} ms");
    let note = match median {
        0.0..100.0 => return Note::pass(text).took(median).into(),
        100.0..1000.0 => Note::warn(text),
        _ => Note::fail(text),
    };
    Outcome::from(
        note.subject(&endpoint.endpoint)
            .measured(serde_json::json!({ "medianMs": median, "ms": times }))
            .expected("less than 100 ms")
            .took(median)
            .at(Source::rpc("Version"))
            .remedy(
                "look at CPU, memory and disk pressure of the node, and at the number of shims",
            ),
    )
    .into()
}
