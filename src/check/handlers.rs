//! Checks of runtime handlers: what RuntimeClasses name, and what it takes to start a pod of each.
//!
//! A handler is a type, which is the name of a shim, and for runc's kind the program that the shim starts; kata needs
//! KVM beside. They are told by `Status` where the daemon runs, else by its files. containerd looks for shims on its
//! search path, then beside its own program; so does this, for both.

mod smoke;
mod snapshotter;

use std::path::Path;

use serde_json::json;

use super::config::{crio, effective};
use super::finding::{Area, Note, Severity, Status};
use super::scope::{HEALTH, NODE};
use super::{Case, Check, Judge, Judged, Outcome};
use crate::facts::cri::{self, CgroupDriver, ConfiguredHandler};
use crate::facts::{Facts, Gap, Source};
use crate::registry::RuntimeName;
use crate::registry::node::{Node, Table};
use crate::registry::text::Place;

const BLANK: Check = Check {
    area: Area::Cri,
    ..Check::BLANK
};

/// The checks of handlers.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "cri-handlers",
        title: "every handler that is used is configured",
        severity: Severity::High,
        profiles: NODE,
        rule: "Compares the default handler and the handlers of existing pods with the configured ones. Fails for one \
               that is missing.",
        why: "New pods of such a handler do not start (`no runtime for \"x\" is configured`); without the default one \
              containerd's CRI plugin does not load at all.",
        remedy: "add the runtime to the configuration again, then restart the daemon",
        seen: &["gpu-operator#350", "AgentBaker#9308"],
        judge: Judge::By(handlers),
        ..BLANK
    },
    Check {
        code: "oci-runtime-present",
        title: "the program that runs containers is installed",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Looks for the shim of every configured handler, and for the program that it starts: `BinaryName` or \
               `runtime_path`, else runc, or runsc for gVisor; on CRI-O also for `monitor_path`. Fails if one is missing for the default handler or one \
               that pods use, warns for others, but for those that a distribution lists by itself. A tree without any program is \
               not judged.",
        why: "Pods of the handler do not start: `exec: \"crun\": executable file not found in $PATH`. Pods that run go on.",
        remedy: "install the program, or correct the path",
        caused_by: &["containerd-removed-runtime"],
        judge: Judge::By(programs),
        ..BLANK
    },
    Check {
        code: "runtime-handler-kvm",
        title: "handlers of virtual machines find KVM",
        severity: Severity::High,
        profiles: NODE,
        rule: "Looks for /dev/kvm where a handler is of kata's kind (CRI-O: `runtime_type = \"vm\"`). Fails if it is not \
               there and pods use the handler or it is the default, else warns. Handlers of remote machines need none.",
        why: "Without KVM, which virtual machines have only if they may nest, no pod of the handler starts.",
        remedy: "switch virtualisation on in the firmware or let the machine nest, and load kvm_intel or kvm_amd",
        judge: Judge::By(kvm),
        ..BLANK
    },
    Check {
        code: "snapshotter-available",
        title: "the configured snapshotter is loaded",
        area: Area::Storage,
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Compares the configured snapshotter, and those of single handlers, with containerd's list of plugins. Fails \
               if it is missing or did not load. Where no containerd answers: fails if it is neither one of containerd's \
               own nor a proxy plugin in the files.",
        why: "Without its snapshotter the CRI plugin does not load or no image can be unpacked.",
        remedy: "start what serves the snapshotter, or use `overlayfs`",
        silenced_by: &["endpoint-socket", "endpoint-connect"],
        judge: Judge::By(snapshotter::judge),
        ..BLANK
    },
    Check {
        code: "cri-smoke",
        title: "a pod of every handler really starts",
        severity: Severity::Critical,
        profiles: NODE,
        rule: "With `--smoke` only: runs a pod sandbox of every runtime handler, creates and starts a container of the \
               sandbox image in it, executes a command, reads a log, and removes all of it. Nothing is pulled. Fails with \
               the step that does, or if something is left.",
        why: "Everything else that is examined can be in order while no pod starts: a program that crashes, a kernel that \
              lacks something, a network that cannot be set up.",
        remedy: "do what the runtime says; the daemon's log has more",
        seen: &["containerd/cri#491"],
        judge: Judge::By(smoke::judge),
        ..BLANK
    },
];

/// A trial that is worth making: a handler and what its pod needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The handler; empty for the default one.
    pub handler: String,
    /// The control group below which its pod goes; empty for the runtime's own choice.
    pub cgroup_parent: String,
}

/// One trial for each handler that the runtime tells, the default one first and once.
pub fn trials(facts: &Facts) -> Vec<Trial> {
    let told = cri::handlers(facts.cri.status.value());
    let asked = facts
        .cri
        .runtime_config
        .value()
        .and_then(|config| config.cgroup_driver);
    let kubepods = facts.cgroup.kubepods.value();
    let slice = if kubepods.is_some_and(|found| found.contains("kubepods.slice")) {
        "/kubepods.slice"
    } else {
        "/system.slice"
    };
    let containerd = facts
        .cri
        .version
        .value()
        .is_some_and(|version| version.name == "containerd");
    let trial = |name: &str, systemd: Option<bool>| {
        let systemd = systemd.unwrap_or(asked == Some(CgroupDriver::Systemd));
        Trial {
            handler: name.to_owned(),
            // containerd takes the parent as it is, and runc wants a slice of systemd's.
            cgroup_parent: if containerd && systemd { slice } else { "" }.to_owned(),
        }
    };
    let default = told.iter().find(|handler| handler.is_default);
    let mut all = vec![trial(
        "",
        default.and_then(|handler| handler.systemd_cgroup),
    )];
    let others = told.iter().filter(|handler| !handler.is_default);
    all.extend(others.map(|handler| trial(&handler.name, handler.systemd_cgroup)));
    all
}

/// A handler, and where it comes from.
struct Handler {
    told: ConfiguredHandler,
    /// The program that watches over its containers (CRI-O's conmon), where a path is written.
    monitor: Option<String>,
    /// Where it is written, if it is.
    place: Option<Place>,
}

impl Handler {
    /// Whether pods of it exist, or pods get it that name none.
    fn is_used(&self, case: &Case<'_>) -> bool {
        let pods = case.facts().cri.pods.value();
        let mut pods = pods.into_iter().flat_map(|pods| &pods.items);
        self.told.is_default || pods.any(|pod| pod.handler == self.told.name)
    }

    fn source(&self, case: &Case<'_>) -> Source {
        match &self.place {
            Some(place) => case.facts().files.at(place),
            None => Source::rpc("Status"),
        }
    }

    fn is_virtual(&self) -> bool {
        let kind = &self.told.kind;
        (kind.contains("kata") || kind == "vm") && !self.told.name.contains("remote")
    }
}

/// The handlers that are configured: told, else written.
fn configured(case: &Case<'_>) -> Result<Vec<Handler>, Gap> {
    let told = cri::handlers(case.facts().cri.status.value());
    let config = case.containerd();
    let written = |name: &str| -> Option<Place> {
        let config = config.as_ref().ok()?;
        let entry = effective::entry(config, &["containerd", "runtimes", name])?;
        Some(entry.key.clone())
    };
    if !told.is_empty() {
        return Ok(told
            .into_iter()
            .map(|told| Handler {
                place: written(&told.name),
                monitor: None,
                told,
            })
            .collect());
    }
    let config = match config {
        Ok(config) => config,
        Err(Gap::Absent(_)) => return written_for_crio(case),
        Err(gap) => return Err(gap),
    };
    let default = effective::entry(config, &["containerd", "default_runtime_name"]);
    let default = default.and_then(|entry| entry.node.str()).unwrap_or("runc");
    let mut found = Vec::new();
    let runtimes = effective::entry(config, &["containerd", "runtimes"]);
    let runtimes = runtimes.and_then(|entry| entry.node.table());
    for (name, entry) in runtimes.map(Table::in_order).unwrap_or_default() {
        let text = |key: &str| entry.node.table()?.node(key).and_then(Node::str);
        let options = entry.node.table().and_then(|table| table.table("options"));
        let binary = options.and_then(|options| options.node("BinaryName")?.str());
        found.push(Handler {
            told: ConfiguredHandler {
                name: name.to_owned(),
                kind: text("runtime_path")
                    .filter(|path| !path.is_empty())
                    .or_else(|| text("runtime_type"))
                    .unwrap_or("io.containerd.runc.v2")
                    .to_owned(),
                binary: binary.filter(|name| !name.is_empty()).map(str::to_owned),
                systemd_cgroup: None,
                is_default: name == default,
            },
            monitor: None,
            place: Some(entry.key.clone()),
        });
    }
    if !found.iter().any(|handler| handler.told.name == "runc") {
        found.push(Handler {
            told: ConfiguredHandler {
                name: "runc".to_owned(),
                kind: "io.containerd.runc.v2".to_owned(),
                binary: None,
                systemd_cgroup: None,
                is_default: default == "runc",
            },
            monitor: None,
            place: None,
        });
    }
    Ok(found)
}

fn written_for_crio(case: &Case<'_>) -> Result<Vec<Handler>, Gap> {
    let default = crio::entry(case, "runtime", "default_runtime")?;
    let default = default.as_ref().and_then(|entry| entry.node.str());
    let table = crio::entry(case, "runtime", "runtimes")?;
    let table = table.as_ref().and_then(|entry| entry.node.table());
    let found = table.map(Table::in_order).unwrap_or_default().into_iter();
    Ok(found
        .map(|(name, entry)| {
            let text = |key: &str| entry.node.table()?.node(key).and_then(Node::str);
            Handler {
                told: ConfiguredHandler {
                    name: name.to_owned(),
                    kind: text("runtime_type").unwrap_or("oci").to_owned(),
                    binary: text("runtime_path")
                        .filter(|path| !path.is_empty())
                        .or(Some(name))
                        .map(str::to_owned),
                    systemd_cgroup: None,
                    is_default: default == Some(name),
                },
                monitor: text("monitor_path")
                    .filter(|path| path.starts_with('/'))
                    .map(str::to_owned),
                place: Some(entry.key.clone()),
            }
        })
        .collect())
}

fn handlers(case: &Case<'_>) -> Judged {
    let all = configured(case)?;
    let has = |name: &str| all.iter().any(|handler| handler.told.name == name);
    let names: Vec<&str> = all
        .iter()
        .map(|handler| handler.told.name.as_str())
        .collect();
    let mut problems = Vec::new();
    let default = match case.containerd() {
        Ok(config) => effective::entry(config, &["containerd", "default_runtime_name"]).cloned(),
        Err(_) => crio::entry(case, "runtime", "default_runtime")
            .ok()
            .flatten(),
    };
    if let Some(entry) = default
        && let Some(name) = entry.node.str().filter(|name| !name.is_empty() && !has(name))
        // CRI-O knows these without a table of their own.
        && !["runc", "crun"].contains(&name)
    {
        problems.push(
            Note::fail(format!("the default runtime `{name}` is not configured"))
                .subject(name)
                .severity(Severity::Critical)
                .measured(json!({ "default": name, "configured": names }))
                .expected("one of the configured runtimes")
                .at(case.facts().files.at(&entry.node.place))
                .remedy(format!(
                    "configure the runtime `{name}`, or name another default"
                )),
        );
    }
    let status = case.facts().cri.status.value();
    let listed = |name: &str| {
        status.is_some_and(|status| status.handlers.iter().any(|handler| handler.name == name))
    };
    let pods = case.facts().cri.pods.value();
    let mut missing: Vec<(&str, Vec<String>)> = Vec::new();
    for pod in pods.into_iter().flat_map(|pods| &pods.items) {
        let name = pod.handler.as_str();
        if name.is_empty() || has(name) || listed(name) {
            continue;
        }
        let called = format!("{}/{}", pod.namespace, pod.name);
        match missing.iter_mut().find(|(known, _)| *known == name) {
            Some((_, pods)) => pods.push(called),
            None => missing.push((name, vec![called])),
        }
    }
    problems.extend(missing.into_iter().map(|(name, pods)| {
        let mut note = Note::fail(format!(
            "{} of the handler `{name}`, which is not configured",
            if pods.len() == 1 {
                "a pod is".to_owned()
            } else {
                format!("{} pods are", pods.len())
            }
        ))
        .subject(name)
        .measured(json!({ "handler": name, "configured": names }))
        .expected("a configured handler")
        .at(Source::rpc("ListPodSandbox"))
        .remedy(format!(
            "add the runtime `{name}` to the configuration, then restart the daemon"
        ));
        for pod in pods.iter().take(5) {
            note = note.evidence(Source::rpc("ListPodSandbox"), pod);
        }
        note
    }));
    Outcome::of(problems, format!("handlers: {}", names.join(", "))).into()
}

/// Whether a program is there: on the search path, or beside the daemon.
///
/// # Errors
/// Nobody looked.
fn there(case: &Case<'_>, program: &str) -> Result<bool, Gap> {
    let files = &case.facts().files;
    if program.starts_with('/') {
        let known = files.exists(program);
        return known.ok_or_else(|| Gap::Unknown(format!("nobody looked at `{program}`")));
    }
    let name = Path::new(program).file_name().map(Path::new);
    let mut seen = files
        .stats
        .iter()
        .filter(|(path, _)| path.file_name().map(Path::new) == name)
        .peekable();
    if seen.peek().is_none() {
        return Err(Gap::Unknown(format!("nobody looked for `{program}`")));
    }
    Ok(seen.any(|(_, stat)| stat.is_some()))
}

/// Needs a host with programs: many a tree of files has only /etc.
pub(super) fn has_programs(case: &Case<'_>) -> Result<(), Gap> {
    let some = case.facts().files.stats.iter().any(|(path, stat)| {
        let parent = path.parent().and_then(Path::file_name);
        stat.is_some() && parent.is_some_and(|name| name == "bin" || name == "sbin")
    });
    if some {
        Ok(())
    } else {
        Err(Gap::Absent(
            "there are no programs below the root".to_owned(),
        ))
    }
}

fn programs(case: &Case<'_>) -> Judged {
    let all = configured(case)?;
    has_programs(case)?;
    let containerd = case
        .runtime()
        .is_some_and(|runtime| runtime.name == RuntimeName::Containerd);
    let mut problems = Vec::new();
    for handler in &all {
        let kind = &handler.told.kind;
        let mut needed: Vec<(String, &str)> = Vec::new();
        if containerd {
            needed.extend(handler.told.shim().map(|shim| (shim, "its shim")));
        }
        let binary = match &handler.told.binary {
            Some(binary) => Some(binary.clone()),
            None if kind.starts_with("io.containerd.runc.") => Some("runc".to_owned()),
            None if kind.starts_with("io.containerd.runsc.") => Some("runsc".to_owned()),
            None => None,
        };
        needed.extend(binary.map(|binary| (binary, "the program that it starts")));
        needed.extend(
            handler
                .monitor
                .clone()
                .map(|monitor| (monitor, "its monitor")),
        );
        for (program, what) in needed {
            if there(case, &program)? {
                continue;
            }
            let used = handler.is_used(case);
            // Distributions list handlers for what may be installed one day, and types of Windows.
            if !used && (case.is_generated() || kind.starts_with("io.containerd.runhcs.")) {
                continue;
            }
            let name = &handler.told.name;
            let text = format!(
                "`{program}`, {what}, is missing for the handler `{name}`: its pods do not start"
            );
            let (status, severity) = match used {
                true if handler.told.is_default => (Status::Fail, Severity::Critical),
                true => (Status::Fail, Severity::High),
                false => (Status::Warn, Severity::Medium),
            };
            problems.push(
                Note::new(status, text)
                    .severity(severity)
                    .subject(&program)
                    .measured(json!({ "handler": name, "program": program, "used": used }))
                    .expected("an executable file")
                    .at(handler.source(case))
                    .remedy(format!(
                        "install `{program}`, or correct the path in the configuration"
                    )),
            );
        }
    }
    let names: Vec<&str> = all
        .iter()
        .map(|handler| handler.told.name.as_str())
        .collect();
    Outcome::of(
        problems,
        format!("the programs of {} are there", names.join(", ")),
    )
    .into()
}

fn kvm(case: &Case<'_>) -> Judged {
    const DEVICE: &str = "/dev/kvm";
    let all = configured(case)?;
    let virtual_ones: Vec<&Handler> = all.iter().filter(|handler| handler.is_virtual()).collect();
    if virtual_ones.is_empty() {
        return Err(Gap::Absent("no handler runs virtual machines".to_owned()));
    }
    case.live()?;
    match case.facts().files.exists(DEVICE) {
        None => return Err(Gap::Unknown(format!("nobody looked at `{DEVICE}`"))),
        Some(true) => return Note::pass(format!("`{DEVICE}` is there")).into(),
        Some(false) => {}
    }
    let problems = virtual_ones.into_iter().map(|handler| {
        let text = format!("the handler `{}` needs KVM, and there is no `{DEVICE}`", handler.told.name);
        let note = if handler.is_used(case) { Note::fail(text) } else { Note::warn(text).severity(Severity::Medium) };
        note.subject(&handler.told.name)
            .measured(handler.told.kind.as_str())
            .expected(DEVICE)
            .at(handler.source(case))
            .remedy("switch virtualisation on in the firmware or let the machine nest, and load kvm_intel or kvm_amd")
    });
    Outcome(problems.collect()).into()
}
