//! Checks of the kernel: modules, sysctls, limits, swap, and what its log says.
//!
//! What is in force now and what the next boot brings are two things: dockerd loads modules and sets sysctls by itself,
//! and when it is gone they are gone after the next reboot. Needs are those of Kubernetes' page "Container Runtimes".

mod boot;
mod signs;

use super::finding::{Area, Note, Severity};
use super::scope::{HEALTH, NODE};
use super::{Case, Check, Judge, Judged, Outcome};
use crate::facts::kernel::{Availability, CgroupVersion};
use crate::facts::kubelet::Settings;
use crate::facts::{Gap, Role, Source};

const BLANK: Check = Check {
    area: Area::Kernel,
    ..Check::BLANK
};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "kernel-release",
        title: "the kernel is new enough",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Reads `uname -r`. Fails below 4.0, warns below 4.18. Distributions backport features, so newer ones are \
               not told apart.",
        why: "Overlay file systems, user namespaces and control groups version 2 need newer kernels, and runtimes are \
              no longer tried with old ones.",
        remedy: "upgrade the distribution",
        judge: Judge::By(release),
        ..BLANK
    },
    Check {
        code: "kernel-config",
        title: "the kernel was built with what pods need",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Reads the configuration of the running kernel (/proc/config.gz, /boot, /lib/modules). Fails if an option \
               that pods need is off. No module is loaded for it; where there is no configuration it is unknown.",
        why: "Something of a pod cannot be isolated or limited, and the error names neither kernel nor option.",
        remedy: "boot another kernel of the distribution, or build this one with the options",
        seen: &["k0s#3964"],
        judge: Judge::By(config),
        ..BLANK
    },
    Check {
        code: "kernel-modules",
        title: "the modules that pods need are there",
        severity: Severity::High,
        profiles: NODE,
        rule: "Looks for overlay and nf_conntrack, and for br_netfilter where the pods' network is a bridge, in \
               /proc/modules, modules.builtin and modules.dep. Fails if one is nowhere; warns if br_netfilter is not \
               loaded, which nothing loads by itself. Skipped on a node without kubelet.",
        why: "Without overlay no container starts; without br_netfilter services cannot be reached from pods on the \
              same node.",
        remedy: "`modprobe br_netfilter`, and write it into /etc/modules-load.d",
        seen: &["troubleshoot#1737"],
        judge: Judge::By(modules),
        ..BLANK
    },
    Check {
        code: "kernel-modules-persist",
        title: "br_netfilter is loaded again at boot",
        severity: Severity::High,
        profiles: NODE,
        rule: "Where br_netfilter is loaded and not built in, looks for it in /etc/modules, in modules-load.d and in \
               ExecStartPre of the units. Fails if only Docker loads it; warns if nobody does and the pods' network is \
               a bridge.",
        why: "It works until the first reboot after Docker is gone.",
        remedy: "write it into /etc/modules-load.d/k8s.conf",
        seen: &["website#36336"],
        judge: Judge::By(boot::modules),
        ..BLANK
    },
    Check {
        code: "sysctl-forwarding",
        title: "the kernel forwards packets of pods",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Fails if net.ipv4.ip_forward is 0; warns if a bridge is the pods' network and \
               net.bridge.bridge-nf-call-iptables is 0. Skipped on a node without kubelet.",
        why: "Pods cannot reach anything beyond the node; without the second, services fail between pods of one node.",
        remedy: "`sysctl -w net.ipv4.ip_forward=1`, and write it into /etc/sysctl.d",
        seen: &["kubernetes-the-hard-way#561"],
        judge: Judge::By(forwarding),
        ..BLANK
    },
    Check {
        code: "sysctl-persist",
        title: "forwarding is on again after a reboot",
        severity: Severity::High,
        profiles: NODE,
        rule: "Reads what systemd-sysctl would set at boot (/etc, /run, /usr/local/lib, /usr/lib: a name in the first \
               hides the others, the last name wins; /etc/sysctl.conf). Fails if that turns forwarding off, or if it is \
               on now and only Docker turns it on.",
        why: "It works until the first reboot after Docker is gone.",
        remedy: "write it into /etc/sysctl.d/k8s.conf",
        seen: &["website#36336"],
        judge: Judge::By(boot::sysctls),
        ..BLANK
    },
    Check {
        code: "kernel-limits",
        title: "the kernel's tables have room",
        severity: Severity::Medium,
        profiles: HEALTH,
        rule: "Compares open files (fs.file-nr) and threads (/proc/loadavg) with their limits. Warns from 80 % on, fails \
               from 95 % on.",
        why: "Nothing can be started or opened any more, whoever used the table up.",
        remedy: "find out who uses so many, and raise the limit in /etc/sysctl.d",
        judge: Judge::By(limits),
        ..BLANK
    },
    Check {
        code: "net-conntrack",
        title: "the table of connections has room",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Compares nf_conntrack_count with nf_conntrack_max. Warns from 75 % on, fails from 90 % on.",
        why: "The kernel drops new connections of whatever pod: `nf_conntrack: table full, dropping packet`.",
        remedy: "raise net.netfilter.nf_conntrack_max (kube-proxy: `conntrack.maxPerCore`), and look for a pod that opens \
                 connections without end",
        judge: Judge::By(conntrack),
        ..BLANK
    },
    Check {
        code: "swap-state",
        title: "the kubelet accepts the swap that there is",
        severity: Severity::Medium,
        profiles: HEALTH,
        rule: "With a line in /proc/swaps: fails if the kubelet's `failSwapOn` is true, its default; warns if it is \
               false with control groups version 1, where swap cannot be limited. Skipped on a node without kubelet.",
        why: "The kubelet does not start: `running with swap on is not supported`.",
        remedy: "`swapoff -a` and take it out of /etc/fstab, or set `failSwapOn: false` with control groups version 2",
        judge: Judge::By(swap),
        ..BLANK
    },
    Check {
        code: "kernel-log-signs",
        title: "the kernel's log speaks of no trouble",
        severity: Severity::High,
        profiles: NODE,
        rule: "Reads /dev/kmsg of the last hour. Fails for file systems that were shut down or made read-only; warns for \
               disk errors, hung tasks, lockups and daemons that were killed for memory. Killed pods do not count.",
        why: "The disk or the memory is the cause, and the runtime only where it shows.",
        remedy: "look at the disk (`smartctl`, the cloud's console) or at the memory that system daemons are left",
        judge: Judge::By(signs::log),
        ..BLANK
    },
    Check {
        code: "proc-dstate",
        title: "no process is stuck in the kernel",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Looks twice at processes in uninterruptible sleep; what was not woken once in between is stuck. Warns. \
               Threads of the kernel do not count.",
        why: "They wait for a disk or a network file system that does not answer, cannot be killed, and whoever asks \
              about them waits too.",
        remedy: "find out what they wait for: `cat /proc/PID/stack` and the mounts of dead servers",
        judge: Judge::By(signs::stuck),
        ..BLANK
    },
    Check {
        code: "pressure",
        title: "pressure on CPU, memory and disk is known",
        severity: Severity::Info,
        profiles: NODE,
        rule: "Tells the share of the last minute in which something had to wait (/proc/pressure, `some avg60`). Never \
               warns: full use is no fault.",
        why: "It explains answers that are slow.",
        judge: Judge::By(signs::pressure),
        ..BLANK
    },
];

/// Needs a kubelet: without one nothing is asked of the kernel.
fn kubelet(case: &Case<'_>) -> Result<(), Gap> {
    if case.has_kubelet() {
        Ok(())
    } else {
        Err(Gap::Absent("this node has no kubelet".to_owned()))
    }
}

/// Whether the pods' network is a bridge, whose packets iptables sees only with br_netfilter.
fn bridged(case: &Case<'_>) -> bool {
    let networks = super::told::networks(case);
    networks.configs.iter().any(|directory| {
        case.files.names(directory).is_ok_and(|names| {
            names.iter().any(|name| {
                let path = std::path::PathBuf::from(format!("{directory}/{name}"));
                case.files.tree.text(&path).is_some_and(|text| {
                    let bare: String = text.split_whitespace().collect();
                    bare.contains("\"type\":\"bridge\"") || bare.contains("\"type\":\"flannel\"")
                })
            })
        })
    })
}

/// Whether Docker is or was used here.
fn docker(case: &Case<'_>) -> bool {
    case.processes(Role::Dockerd).next().is_some()
        || ["/etc/docker/daemon.json", "/usr/bin/dockerd"]
            .iter()
            .any(|path| case.files.exists(path) == Some(true))
}

fn release(case: &Case<'_>) -> Judged {
    let release = case.kernel.release.need()?;
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    let (Some(major), Some(minor)) = (number(), number()) else {
        return Err(Gap::Unknown(format!("`{release}` is no version of Linux")));
    };
    let note = match (major, minor) {
        (..4, _) => Note::fail(format!("Linux {release} is too old for containers")),
        (4, ..18) => Note::warn(format!("Linux {release} is old")),
        _ => return Note::pass(format!("Linux {release}")).into(),
    };
    note.measured(release.clone())
        .expected("4.18 or newer")
        .at(case.kernel.release.source().cloned())
        .into()
}

/// Options without which something else still works.
const OPTIONAL: &[&str] = &[
    "CONFIG_CFS_BANDWIDTH",
    "CONFIG_SECCOMP",
    "CONFIG_SECCOMP_FILTER",
];

fn config(case: &Case<'_>) -> Judged {
    if !case.has_kubelet() && case.runtime().is_none() {
        return Err(Gap::Absent(
            "this node has neither kubelet nor runtime".to_owned(),
        ));
    }
    let options = case.kernel.config.need()?;
    let v2 = case.cgroup.version.value() == Some(&CgroupVersion::V2);
    let missing = |optional: bool| -> Vec<&str> {
        options
            .iter()
            .filter(|(_, value)| !matches!(value.as_str(), "y" | "m"))
            .map(|(name, _)| name.as_str())
            .filter(|name| v2 || *name != "CONFIG_CGROUP_BPF")
            .filter(|name| OPTIONAL.contains(name) == optional)
            .collect()
    };
    let (required, optional) = (missing(false), missing(true));
    let note = if !required.is_empty() {
        Note::fail(format!(
            "the kernel was built without {}",
            required.join(", ")
        ))
    } else if !optional.is_empty() {
        Note::warn(format!(
            "the kernel was built without {}: limits or profiles have no effect",
            optional.join(", ")
        ))
    } else {
        return Note::pass(format!("{} options, none missing", options.len())).into();
    };
    note.measured(serde_json::json!({ "required": required, "optional": optional }))
        .expected("y or m")
        .at(case.kernel.config.source().cloned())
        .into()
}

fn modules(case: &Case<'_>) -> Judged {
    kubelet(case)?;
    let loaded = match case.kernel.modules.known_or_absent()? {
        Some(loaded) => loaded,
        None => return Note::pass("this kernel has everything built in").into(),
    };
    let available = case.kernel.available.need()?;
    let bridge = bridged(case);
    let mut problems = Vec::new();
    for name in ["overlay", "nf_conntrack", "br_netfilter"] {
        if name == "br_netfilter" && !bridge {
            continue;
        }
        if loaded.contains(name) || available.get(name) == Some(&Availability::BuiltIn) {
            continue;
        }
        let note = match available.get(name) {
            Some(Availability::Missing) => {
                Note::fail(format!("the module `{name}` is neither loaded nor on disk"))
                    .remedy("install the kernel's package of modules, or boot another kernel")
            }
            // The kernel loads these two when they are asked for.
            Some(Availability::Loadable) if name != "br_netfilter" => continue,
            Some(_) => Note::warn(format!(
                "the module `{name}` is not loaded, and the pods' network is a bridge"
            ))
            .command(format!("modprobe {name}"))
            .remedy(format!(
                "load `{name}`, and write it into /etc/modules-load.d/k8s.conf"
            )),
            None => continue,
        };
        problems.push(
            note.subject(name).expected("loaded or built in").at(case
                .kernel
                .available
                .source()
                .cloned()),
        );
    }
    Outcome::of(problems, "what pods need is loaded, built in or on disk").into()
}

/// The value of a sysctl.
fn sysctl<'c>(case: &'c Case<'_>, name: &str) -> Result<Option<&'c str>, Gap> {
    Ok(case.kernel.sysctls.need()?.get(name).map(String::as_str))
}

fn forwarding(case: &Case<'_>) -> Judged {
    kubelet(case)?;
    let source = |name: &str| Source::proc(format!("/proc/sys/{}", name.replace('.', "/")));
    let name = "net.ipv4.ip_forward";
    let Some(value) = sysctl(case, name)? else {
        return Err(Gap::Unknown(format!(
            "{name} of the host is not visible from this network namespace"
        )));
    };
    if value != "1" {
        return Note::fail(format!(
            "{name} is {value}: packets of pods are not forwarded"
        ))
        .subject(name)
        .measured(value)
        .expected("1")
        .at(source(name))
        .remedy("switch it on now, and for the next boot in /etc/sysctl.d/k8s.conf")
        .command(format!("sysctl -w {name}=1"))
        .into();
    }
    let name = "net.bridge.bridge-nf-call-iptables";
    if let Some(value) = sysctl(case, name)?.filter(|value| *value != "1" && bridged(case)) {
        return Note::warn(format!(
            "{name} is {value}: services fail between pods of this node"
        ))
        .subject(name)
        .measured(value)
        .expected("1")
        .at(source(name))
        .remedy("switch it on now, and for the next boot in /etc/sysctl.d/k8s.conf")
        .command(format!("sysctl -w {name}=1"))
        .into();
    }
    Note::pass("packets of pods are forwarded").into()
}

/// How much of something is used, in percent.
fn share(used: u64, most: u64) -> u64 {
    if most == 0 {
        return 0;
    }
    u64::try_from(u128::from(used) * 100 / u128::from(most)).unwrap_or(u64::MAX)
}

fn limits(case: &Case<'_>) -> Judged {
    let number = |name: &str| -> Result<Option<u64>, Gap> {
        Ok(sysctl(case, name)?.and_then(|value| value.split_whitespace().next()?.parse().ok()))
    };
    let tables = [
        (
            "open files",
            "fs.file-max",
            number("fs.file-nr")?,
            number("fs.file-max")?,
        ),
        (
            "threads",
            "kernel.pid_max",
            case.kernel.threads.value().copied(),
            number("kernel.pid_max")?.min(number("kernel.threads-max")?),
        ),
    ];
    let mut seen = Vec::new();
    let mut problems = Vec::new();
    for (what, name, used, most) in tables {
        let (Some(used), Some(most)) = (used, most) else {
            continue;
        };
        let share = share(used, most);
        seen.push(format!("{used} {what} ({share} %)"));
        let text = format!("{used} {what} of at most {most} ({share} %)");
        let note = match share {
            ..80 => continue,
            80..95 => Note::warn(text),
            _ => Note::fail(text),
        };
        problems.push(
            note.subject(name)
                .measured(serde_json::json!({ "used": used, "limit": most }))
                .expected("less than 80 %")
                .at(Source::proc(format!(
                    "/proc/sys/{}",
                    name.replace('.', "/")
                ))),
        );
    }
    if seen.is_empty() {
        return Err(Gap::Unknown(
            "neither open files nor threads could be counted".to_owned(),
        ));
    }
    Outcome::of(problems, seen.join(", ")).into()
}

fn conntrack(case: &Case<'_>) -> Judged {
    let number = |name: &str| -> Result<Option<u64>, Gap> {
        Ok(sysctl(case, name)?.and_then(|value| value.parse().ok()))
    };
    let (Some(used), Some(most)) = (
        number("net.netfilter.nf_conntrack_count")?,
        number("net.netfilter.nf_conntrack_max")?,
    ) else {
        return Err(Gap::Absent("connections are not tracked here".to_owned()));
    };
    let share = share(used, most);
    let text = format!("{used} connections of at most {most} ({share} %)");
    let note = match share {
        ..75 => return Note::pass(text).into(),
        75..90 => Note::warn(text),
        _ => Note::fail(text),
    };
    note.measured(serde_json::json!({ "used": used, "limit": most }))
        .expected("less than 75 %")
        .at(Source::proc("/proc/sys/net/netfilter/nf_conntrack_count"))
        .into()
}

fn swap(case: &Case<'_>) -> Judged {
    kubelet(case)?;
    let settings = Settings::of(case)?;
    let swaps = case.kernel.swaps.need()?;
    if swaps.is_empty() {
        return Note::pass("there is no swap").into();
    }
    let setting = settings.setting(Some("--fail-swap-on"), "failSwapOn")?;
    let refuses = setting
        .as_ref()
        .and_then(|setting| setting.truth())
        .unwrap_or(true);
    let note = if refuses {
        Note::fail(format!(
            "swap is in use ({}), with which this kubelet does not start",
            swaps.join(", ")
        ))
    } else if case.cgroup.version.value() != Some(&CgroupVersion::V2) {
        Note::warn(format!(
            "swap is in use ({}) with control groups version 1, which cannot limit it",
            swaps.join(", ")
        ))
    } else {
        return Note::pass(format!(
            "swap on {}, which the kubelet accepts",
            swaps.join(", ")
        ))
        .into();
    };
    let mut note = note
        .measured(serde_json::json!(swaps))
        .expected("no swap, or `failSwapOn: false`")
        .at(case.kernel.swaps.source().cloned());
    if let Some(setting) = setting {
        note = note.evidence(setting.source, format!("failSwapOn is {}", setting.value));
    }
    note.command("swapoff -a").remedy(
        "switch swap off and take it out of /etc/fstab, or set `failSwapOn: false` with control groups version 2",
    )
    .into()
}
