//! Checks of what a daemon was started with and what it uses: proxies, open files, and how long its version lives.

use serde_json::json;

use super::super::finding::{Area, Note, Severity};
use super::super::knowledge;
use super::super::scope::NODE;
use super::super::{Case, Check, Judge, Judged};
use super::units::Unit;
use super::{LATER, daemon};
use crate::facts::{Gap, Role, Source};
use crate::registry::RuntimeName;

/// The checks of a daemon's surroundings.
pub(in crate::check) const CHECKS: &[Check] = &[
    Check {
        code: "registry-proxy-env",
        title: "the runtime pulls through the proxy that Docker used",
        area: Area::Registry,
        severity: Severity::High,
        profiles: NODE,
        rule: "Compares the proxy variables of the daemon's environment with those of docker.service, its drop-ins and \
               daemon.json. Fails if only Docker has a proxy. Of a runtime that does not run yet the unit counts.",
        why: "Docker's proxy is set in a drop-in of its own unit, which a migration leaves behind: pulls then go straight \
              out and hang until they time out.",
        remedy: "write a drop-in with `Environment=\"HTTPS_PROXY=…\"` and `NO_PROXY` for the runtime's unit",
        seen: &["kind#688", "containerd#8377"],
        judge: Judge::By(proxy),
        ..Check::BLANK
    },
    Check {
        code: "daemon-footprint",
        title: "the daemon is far from its limit of open files",
        area: Area::Cri,
        severity: Severity::High,
        profiles: NODE,
        rule: "Compares the open files of the daemon with its soft limit. Warns above 80 %, fails above 95 %.",
        why: "At the limit nothing works any more (`too many open files`): no new pods, no exec, no pulls.",
        remedy: "restart the daemon, raise `LimitNOFILE`, and look for what leaks: often exec probes or log followers",
        judge: Judge::By(footprint),
        ..Check::BLANK
    },
    Check {
        code: "cri-runtimeconfig",
        title: "the kubelet can ask the runtime for its cgroup driver",
        area: Area::Config,
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Asks for RuntimeConfig. Warns if the runtime does not know it.",
        why: "Kubelets from 1.38 on no longer fall back to a setting of their own. containerd has it since 2.0, CRI-O \
              since 1.28.",
        remedy: "upgrade the runtime before the kubelet",
        seen: &["kubernetes#139122", "kubernetes#134906"],
        judge: Judge::By(runtime_config),
        ..Check::BLANK
    },
    Check {
        code: "runtime-support-end",
        title: "the line of this release gets patches",
        area: Area::Config,
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Looks the line up in a dated list. Warns if its support has ended, or ends within 90 days of the \
               examination.",
        why: "Faults and holes that become known after that are mended in later lines only.",
        remedy: "plan the upgrade to a line that is supported",
        judge: Judge::By(support),
        ..Check::BLANK
    },
];

/// Whether a value of `Environment` sets a proxy.
fn sets_proxy(value: &str) -> bool {
    let upper = value.to_ascii_uppercase();
    ["HTTP_PROXY=", "HTTPS_PROXY="]
        .iter()
        .any(|name| upper.contains(name))
}

/// Where Docker's proxy is set, if it has one.
fn proxy_of_docker(case: &Case<'_>) -> Option<Source> {
    const DAEMON: &str = "/etc/docker/daemon.json";
    let files = &case.facts().files;
    let unit = Unit::read(case, "docker.service").ok();
    let in_unit = unit.as_ref().and_then(|unit| {
        let mut values = unit.values("Environment");
        let (_, place) = values.find(|(value, _)| sets_proxy(value))?;
        Some(files.at(place))
    });
    let in_file = || {
        let settings: serde_json::Value = serde_json::from_str(files.text(DAEMON).ok()?).ok()?;
        let proxies = settings.get("proxies")?;
        let set = ["http-proxy", "https-proxy"].iter().any(|key| {
            let proxy = proxies.get(key).and_then(serde_json::Value::as_str);
            proxy.is_some_and(|proxy| !proxy.is_empty())
        });
        set.then(|| Source::file(DAEMON))
    };
    in_unit.or_else(in_file)
}

fn proxy(case: &Case<'_>) -> Judged {
    const REMEDY: &str = "write a drop-in with the proxy, and `NO_PROXY` for pods, services and registries within, for \
                          the runtime's unit";
    // A runtime that does not run yet is judged by its unit.
    let runs = daemon(case).ok().filter(|daemon| {
        let theirs = match case.runtime().map(|runtime| runtime.name) {
            Some(RuntimeName::Crio) => Role::Crio,
            Some(RuntimeName::Containerd) => Role::Containerd,
            _ => daemon.role,
        };
        daemon.role == theirs
    });
    let Some(daemon) = runs else {
        return written_proxy(case, REMEDY);
    };
    let own = daemon.proxy.need()?;
    let Some(docker) = proxy_of_docker(case) else {
        return Note::pass(if own.is_set() {
            "the daemon has a proxy, and Docker has none"
        } else {
            "neither the daemon nor Docker has a proxy"
        })
        .into();
    };
    if own.is_set() {
        return Note::pass("the daemon has a proxy, as Docker has").into();
    }
    let name = daemon.role.name();
    Note::fail(format!(
        "Docker pulls through a proxy, and {name} has none: it goes straight to registries"
    ))
    .subject(daemon.unit.as_deref().unwrap_or(name))
    .measured(false)
    .expected("a proxy in the environment of the daemon")
    .at(docker)
    .evidence(
        Source::proc(format!("/proc/{}/environ", daemon.pid)),
        "neither HTTP_PROXY nor HTTPS_PROXY",
    )
    .remedy(REMEDY)
    .into()
}

/// Compares Docker's proxy with what the unit of the runtime says.
fn written_proxy(case: &Case<'_>, remedy: &str) -> Judged {
    let name = match case.runtime().map(|runtime| runtime.name) {
        Some(RuntimeName::Containerd) => "containerd.service",
        Some(RuntimeName::Crio) => "crio.service",
        _ => return Err(Gap::Absent("the runtime is Docker, or none".to_owned())),
    };
    let Some(docker) = proxy_of_docker(case) else {
        return Err(Gap::Absent("Docker has no proxy".to_owned()));
    };
    let unit = Unit::read(case, name)?;
    if unit
        .values("Environment")
        .any(|(value, _)| sets_proxy(value))
    {
        return Note::pass(format!("{name} has a proxy, as Docker has")).into();
    }
    if let Some((file, _)) = unit.values("EnvironmentFile").next() {
        return Err(Gap::Unknown(format!(
            "whether `{file}` sets a proxy for {name} is not known"
        )));
    }
    Note::fail(format!(
        "Docker pulls through a proxy, and {name} sets none: it will go straight to registries"
    ))
    .subject(name)
    .measured(false)
    .expected("a proxy in the environment of the daemon")
    .at(docker)
    .remedy(remedy)
    .into()
}

fn footprint(case: &Case<'_>) -> Judged {
    let daemon = daemon(case)?;
    let Some(files) = daemon.footprint.files else {
        return Err(Gap::Unknown(format!(
            "/proc/{}/fd cannot be read",
            daemon.pid
        )));
    };
    let Some(most) = daemon.limits.need()?.files_soft.filter(|most| *most > 0) else {
        return Note::pass(format!("{files} open files, no limit")).into();
    };
    let percent = files.saturating_mul(100) / most;
    let text = format!("{} has {files} of {most} files open", daemon.role.name());
    let note = match percent {
        0..80 => return Note::pass(text).into(),
        80..95 => Note::warn(text),
        _ => Note::fail(text),
    };
    note.subject(daemon.role.name())
        .measured(json!({ "files": files, "limit": most }))
        .expected("less than 80 %")
        .at(Source::proc(format!("/proc/{}/fd", daemon.pid)))
        .remedy("restart the daemon, raise `LimitNOFILE`, and look for what leaks: often exec probes or log followers")
        .into()
}

fn runtime_config(case: &Case<'_>) -> Judged {
    case.live()?;
    if !case.serves() {
        return Err(Gap::Absent("no runtime answers".to_owned()));
    }
    if case.facts().cri.runtime_config.known_or_absent()?.is_some() {
        return Note::pass("RuntimeConfig is answered").into();
    }
    Note::warn("the runtime does not know RuntimeConfig, which kubelets from 1.38 on need")
        .measured(false)
        .expected("an answer")
        .at(Source::rpc("RuntimeConfig"))
        .remedy("upgrade the runtime before the kubelet: containerd 2.0, CRI-O 1.28 or later")
        .into()
}

fn support(case: &Case<'_>) -> Judged {
    let Some(runtime) = case.runtime() else {
        return Err(Gap::Absent("no runtime was found".to_owned()));
    };
    let line = (runtime.version.major(), runtime.version.minor());
    let known = knowledge::support()
        .iter()
        .find(|known| known.runtime == runtime.name && known.line == [line.0, line.1]);
    let Some(known) = known else {
        return Err(Gap::Absent(format!(
            "nothing is known about the support of {runtime}"
        )));
    };
    let day = |text: &str| text.get(..10)?.parse::<jiff::civil::Date>().ok();
    let (Some(today), Some(end)) = (day(&case.facts().taken_at), day(&known.until)) else {
        return Err(Gap::Unknown("it is not known what day it was".to_owned()));
    };
    let left = (end - today).get_days();
    let line = format!("{} {}.{}", runtime.name, line.0, line.1);
    let text = match left {
        ..0 => format!("the support of {line} ended on {end}"),
        0..90 => format!("the support of {line} ends in {left} days, on {end}"),
        _ => return Note::pass(format!("{line} is supported until {end}")).into(),
    };
    Note::warn(text)
        .subject(runtime)
        .measured(known.until.as_str())
        .expected("90 days and more")
        .at(Source::rpc("Version"))
        .remedy("plan the upgrade to a line that is supported")
        .into()
}
