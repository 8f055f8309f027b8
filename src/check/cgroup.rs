//! Checks of control groups: which hierarchy there is, and whether runtime, kubelet and init agree who makes groups.
//!
//! The kubelet asks the runtime for its driver (RuntimeConfig) since 1.28, by default since 1.31; with a runtime that
//! does not know the call both have to be set alike. Sources: the page "Configuring a cgroup driver", KEP-4033,
//! KEP-4569 (end of version 1).

use super::finding::{Area, Note, Severity};
use super::scope::{HEALTH, NODE};
use super::{Case, Check, Judge, Judged, Outcome, told};
use crate::facts::cri::CgroupDriver;
use crate::facts::kernel::CgroupVersion;
use crate::facts::kubelet::{Setting, Settings};
use crate::facts::{Gap, Source};
use crate::registry::lint::{Code, Remark};

const BLANK: Check = Check {
    area: Area::Cgroup,
    ..Check::BLANK
};

/// The first kubelet that refuses version 1 unless told otherwise.
pub(super) const REFUSES_V1: u32 = 35;
/// The first kubelet that asks the runtime for its driver without being told to.
const ASKS: u32 = 31;

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "cgroup-version",
        title: "control groups are version 2",
        severity: Severity::High,
        profiles: NODE,
        rule: "Asks statfs for the type of /sys/fs/cgroup. Warns on version 1 and on the hybrid of both; fails there \
               if the kubelet is 1.35 or newer and `failCgroupV1` is not false. Skipped on a node without kubelet.",
        why: "From 1.35 on the kubelet does not start on version 1 unless it is told to; systemd has dropped it, and \
              memory QoS, swap and user namespaces need version 2.",
        remedy: "boot with `systemd.unified_cgroup_hierarchy=1`, or move to a distribution that has version 2",
        seen: &["system-validators#58", "website#53082"],
        judge: Judge::By(version),
        ..BLANK
    },
    Check {
        code: "cgroup-controllers",
        title: "the kernel offers the controllers that pods need",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Reads cgroup.controllers at the root (version 2) or /proc/cgroups (version 1). Fails without cpu, \
               cpuset, memory or pids; on version 1 also without cpuacct, devices or freezer. Skipped on a node \
               without kubelet.",
        why: "The kubelet does not start without them. On some boards memory is off unless the kernel's command line \
              switches it on.",
        remedy: "add `cgroup_enable=memory` to the kernel's command line, or whatever the missing one needs, and reboot",
        seen: &["k0s#3964", "k3s#4066"],
        judge: Judge::By(controllers),
        ..BLANK
    },
    Check {
        code: "cgroup-driver-match",
        title: "kubelet and runtime agree on the cgroup driver",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Compares the runtime's driver (RuntimeConfig, else `SystemdCgroup` of the default handler as Status \
               tells it, else as config.toml says it; CRI-O's `cgroup_manager`) with the kubelet's `cgroupDriver`. \
               Fails if they differ and the kubelet cannot ask; passes with a word about it if the kubelet ignores \
               its own setting.",
        why: "Two managers of one tree: pods are killed and started again without end, on version 2 at once, and \
              their limits are lost.",
        remedy: "set both to systemd: `SystemdCgroup = true` for every runc handler and `cgroupDriver: systemd`, then \
                 restart runtime and kubelet",
        seen: &["kubernetes#107892", "kubernetes#106464"],
        silenced_by: &["containerd-config-parse"],
        judge: Judge::By(driver_match),
        ..BLANK
    },
    Check {
        code: "cgroup-driver-init",
        title: "init and runtime agree who makes control groups",
        severity: Severity::High,
        profiles: NODE,
        rule: "With systemd as process 1 and the driver cgroupfs: fails on version 2, warns on version 1. Skipped on \
               a node without kubelet.",
        why: "systemd believes that the tree is its own: it may move or undo what somebody else makes in it, and two \
              accounts of memory disagree under pressure.",
        remedy: "set `SystemdCgroup = true` for the runtime and `cgroupDriver: systemd` for the kubelet, on a drained \
                 node",
        silenced_by: &["cgroup-driver-match"],
        judge: Judge::By(driver_init),
        ..BLANK
    },
    Check {
        code: "cgroup-driver-handlers",
        title: "all runtime handlers have the same cgroup driver",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Compares `SystemdCgroup` of all handlers of type runc. Fails if they are mixed. What runs no runc \
               (kata, gVisor) does not count, nor does `untrusted`, which AKS lists and nobody uses, unless pods do.",
        why: "Pods of the odd handler break as with a wrong driver, all others work: the option was set for runc and \
              forgotten for the second handler.",
        remedy: "set `SystemdCgroup` in the options of every runc handler alike",
        silenced_by: &["containerd-config-parse"],
        judge: Judge::By(driver_handlers),
        ..BLANK
    },
    Check {
        code: "cgroup-driver-switch",
        title: "pods' groups were all made by the same driver",
        severity: Severity::High,
        profiles: NODE,
        rule: "Looks for the groups `kubepods` (made by cgroupfs) and `kubepods.slice` (made by systemd). Fails if the \
               one that does not belong to the driver in force is there while pods exist; an empty one passes.",
        why: "The driver was changed under running pods: the kubelet cannot find their groups again and cannot kill \
              or limit them.",
        remedy: "drain the node and reboot it",
        silenced_by: &["cgroup-driver-match"],
        judge: Judge::By(driver_switch),
        ..BLANK
    },
    Check {
        code: "cgroup-freeze-devices",
        title: "control groups can be frozen",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Version 2: a group that is not the root has `cgroup.freeze` (Linux 5.2). Version 1: the freezer is \
               mounted. Nothing is created or attached. Skipped on a node without kubelet.",
        why: "runc freezes a group to change its devices and to pause a container; without it `pause` fails and \
              updates are not atomic.",
        remedy: "boot a kernel from 5.2 on",
        judge: Judge::By(freezer),
        ..BLANK
    },
];

/// Needs a kubelet: without one nobody makes groups of pods.
fn kubelet(case: &Case<'_>) -> Result<(), Gap> {
    if case.has_kubelet() {
        Ok(())
    } else {
        Err(Gap::Absent("this node has no kubelet".to_owned()))
    }
}

/// Whether the kubelet is told to accept version 1.
pub(super) fn accepts_v1(settings: &Settings<'_>) -> Result<Option<Setting>, Gap> {
    settings.setting(Some("--fail-cgroupv1"), "failCgroupV1")
}

fn version(case: &Case<'_>) -> Judged {
    kubelet(case)?;
    let version = *case.cgroup.version.need()?;
    let name = match version {
        CgroupVersion::V2 => return Note::pass("control groups are version 2").into(),
        CgroupVersion::V1 => "control groups are version 1",
        CgroupVersion::Hybrid => "control groups are version 1, with an empty version 2 beside it",
    };
    let told = Settings::of(case).and_then(|settings| accepts_v1(&settings));
    let accepted = told
        .ok()
        .flatten()
        .and_then(|setting| setting.truth())
        .is_some_and(|fails| !fails);
    let refused = case
        .facts()
        .kubelet
        .minor()
        .is_some_and(|minor| minor >= REFUSES_V1);
    let note = if refused && !accepted {
        Note::fail(format!(
            "{name}, which this kubelet refuses: it does not start"
        ))
        .remedy(
            "boot with `systemd.unified_cgroup_hierarchy=1`; `failCgroupV1: false` in the kubelet's configuration \
                 gains a release or two",
        )
    } else {
        Note::warn(format!("{name}, which kubelets from 1.35 on refuse"))
    };
    Outcome::from(
        note.measured(serde_json::json!(version))
            .expected("v2")
            .at(case.cgroup.version.source().cloned()),
    )
    .into()
}

fn controllers(case: &Case<'_>) -> Judged {
    kubelet(case)?;
    let have = case.cgroup.controllers.need()?;
    let needed: &[&str] = match case.cgroup.version.need()? {
        CgroupVersion::V2 => &["cpu", "cpuset", "memory", "pids"],
        _ => &[
            "cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer",
        ],
    };
    let missing: Vec<&str> = needed
        .iter()
        .copied()
        .filter(|name| !have.contains(*name))
        .collect();
    if missing.is_empty() {
        return Note::pass(format!("{} controllers, none missing", have.len())).into();
    }
    let mut note = Note::fail(format!(
        "the kernel does not offer {}: the kubelet does not start",
        missing.join(", ")
    ))
    .measured(serde_json::json!({ "controllers": have, "missing": missing }))
    .expected(needed.join(", "))
    .at(case.cgroup.controllers.source().cloned());
    if missing.contains(&"memory") {
        note = note.remedy(
            "add `cgroup_enable=memory cgroup_memory=1` to the kernel's command line and reboot",
        );
    }
    note.into()
}

/// What the kubelet is set to, and where; without a setting it is cgroupfs.
fn of_kubelet(settings: &Settings<'_>) -> Result<(CgroupDriver, Option<Setting>), Gap> {
    let setting = settings.setting(Some("--cgroup-driver"), "cgroupDriver")?;
    let driver = match setting.as_ref().and_then(Setting::word) {
        Some("systemd") => CgroupDriver::Systemd,
        _ => CgroupDriver::Cgroupfs,
    };
    Ok((driver, setting))
}

fn driver_match(case: &Case<'_>) -> Judged {
    let settings = Settings::of(case)?;
    let runtime = told::driver(case)?;
    let (kubelet, setting) = of_kubelet(&settings)?;
    if setting.is_none() && settings.is_embedded() {
        return Note::pass("the distribution gives both the same").into();
    }
    if setting.is_none() && settings.running().is_none() && settings.config().is_none() {
        return Err(Gap::Absent(
            "the kubelet's configuration is not written yet".to_owned(),
        ));
    }
    if runtime.driver == kubelet {
        return Note::pass(format!("both use {}", kubelet.name()))
            .at(runtime.source)
            .into();
    }
    let asks = case
        .facts()
        .kubelet
        .minor()
        .is_none_or(|minor| minor >= ASKS);
    if runtime.asked && asks {
        return Note::pass(format!(
            "the kubelet asks the runtime and uses {}; its own setting ({}) is ignored",
            runtime.driver.name(),
            kubelet.name()
        ))
        .at(runtime.source)
        .into();
    }
    let by_default = if setting.is_some() {
        ""
    } else {
        ", its default"
    };
    let mut note = Note::fail(format!(
        "the runtime makes control groups with {}, the kubelet with {}{by_default}",
        runtime.driver.name(),
        kubelet.name()
    ))
    .measured(serde_json::json!({ "runtime": runtime.driver.name(), "kubelet": kubelet.name() }))
    .expected("the same driver")
    .at(runtime.source.clone());
    match &setting {
        Some(setting) => {
            note = note.evidence(
                setting.source.clone(),
                format!("the kubelet is set to {}", kubelet.name()),
            );
        }
        None => {
            if let Some(path) = settings.config() {
                note = note.evidence(
                    Source::file(path.display()),
                    "the kubelet's configuration has no `cgroupDriver`",
                );
            }
        }
    }
    for code in inert(case, &runtime) {
        note = note.because(code);
    }
    if runtime.driver == CgroupDriver::Systemd {
        return note
            .remedy(
                "set `cgroupDriver: systemd` in the kubelet's configuration and restart the kubelet",
            )
            .into();
    }
    match &runtime.place {
        Some(place) => {
            note = note.evidence(case.files.at(place), "the runtime's setting");
            let line = case
                .files
                .tree
                .text(&place.path)
                .and_then(|text| text.lines().nth(place.line.saturating_sub(1)));
            if let Some(line) = line.filter(|line| line.contains("false")) {
                note = note.edit(
                    &place.path,
                    place.line,
                    line,
                    line.replacen("false", "true", 1),
                );
            }
            note = note.remedy("set `SystemdCgroup = true` and restart containerd");
        }
        None => {
            note = note.remedy(
                "set `SystemdCgroup = true` in the options of the default handler, which nothing sets, and restart \
                 containerd; see `criscope explain cgroup-driver-match`",
            );
        }
    }
    note.into()
}

/// What keeps a setting of systemd from being in force that somebody has written: the faults of containerd's files, where
/// a file says `SystemdCgroup = true` and the default handler does not have it.
fn inert(case: &Case<'_>, runtime: &told::Driver) -> Vec<&'static str> {
    const WHOLE: &[Code] = &[
        Code::ContainerdImportReplaces,
        Code::ContainerdConfigVersion,
        Code::ContainerdPluginId,
        Code::ContainerdDropinVersion,
        Code::ContainerdSingularTable,
        Code::ContainerdDropinUnread,
    ];
    let says = |line: &str| {
        let line = line.to_ascii_lowercase().replace('_', "");
        line.trim_start().starts_with("systemdcgroup") && line.contains("true")
    };
    let meant = || {
        let toml = |path: &std::path::Path| path.extension().is_some_and(|end| end == "toml");
        case.files.tree.iter().any(|(path, _)| {
            toml(path)
                && case
                    .files
                    .tree
                    .text(path)
                    .is_some_and(|text| text.lines().any(says))
        })
    };
    if runtime.driver == CgroupDriver::Systemd || !meant() {
        return Vec::new();
    }
    let of_line = |remark: &Remark| {
        let place = remark.place.as_ref()?;
        let text = case.files.tree.text(&place.path)?;
        text.lines().nth(place.line.checked_sub(1)?)
    };
    case.remarks()
        .iter()
        .filter(|remark| {
            WHOLE.contains(&remark.code)
                || remark.code == Code::ContainerdUnknownKey && of_line(remark).is_some_and(says)
        })
        .map(|remark| remark.code.id())
        .collect()
}

fn driver_init(case: &Case<'_>) -> Judged {
    kubelet(case)?;
    let init = case.host.init.need()?;
    if init != "systemd" {
        return Err(Gap::Absent(format!("process 1 is {init}, not systemd")));
    }
    let runtime = told::driver(case)?;
    if runtime.driver == CgroupDriver::Systemd {
        return Note::pass("systemd makes the groups of pods").into();
    }
    let text = "process 1 is systemd, but the runtime makes control groups itself (cgroupfs)";
    let note = match case.cgroup.version.need()? {
        CgroupVersion::V2 => Note::fail(format!("{text}, in the tree that belongs to systemd")),
        _ => Note::warn(text),
    };
    Outcome::from(
        note.measured("cgroupfs")
            .expected("systemd")
            .at(runtime.source),
    )
    .into()
}

fn driver_handlers(case: &Case<'_>) -> Judged {
    let handlers = told::handlers(case)?;
    let Some(first) = handlers
        .iter()
        .find(|handler| handler.is_default)
        .or_else(|| handlers.first())
    else {
        return Err(Gap::Absent("there is no handler of type runc".to_owned()));
    };
    let pods = case.cri.pods.value();
    let idle = |name: &str| {
        let mut pods = pods.into_iter().flat_map(|pods| &pods.items);
        name == "untrusted" && !pods.any(|pod| pod.handler == name)
    };
    let problems = handlers
        .iter()
        .filter(|handler| handler.driver != first.driver && !idle(&handler.name))
        .map(|handler| {
            let source = match &handler.place {
                Some(place) => case.files.at(place),
                None if case.cri.status.value().is_some() => Source::rpc("Status"),
                None => Source::file(case.files.containerd_config.display()),
            };
            Note::fail(format!(
                "handler `{}` uses {}, `{}` uses {}",
                handler.name,
                handler.driver.name(),
                first.name,
                first.driver.name()
            ))
            .subject(&handler.name)
            .measured(handler.driver.name())
            .expected(first.driver.name())
            .at(source)
        })
        .collect();
    Outcome::of(
        problems,
        format!(
            "{} runc handlers, all {}",
            handlers.len(),
            first.driver.name()
        ),
    )
    .into()
}

fn driver_switch(case: &Case<'_>) -> Judged {
    let groups = case.cgroup.kubepods.need()?;
    let driver = told::driver(case)?.driver;
    let (own, other) = match driver {
        CgroupDriver::Systemd => ("kubepods.slice", "kubepods"),
        CgroupDriver::Cgroupfs => ("kubepods", "kubepods.slice"),
    };
    if !groups.contains(other) {
        return Note::pass(format!("no group of pods but that of {}", driver.name())).into();
    }
    let pods = case.cri.pods.need()?;
    if pods.items.is_empty() {
        return Note::pass(format!("`{other}` is there, but no pod")).into();
    }
    let both = if groups.contains(own) { " too" } else { "" };
    Note::fail(format!(
        "the driver is {}, but the group `{other}` of the other one is there{both}, with pods on the node",
        driver.name()
    ))
    .measured(serde_json::json!(groups))
    .expected(own)
    .at(Source::proc(format!("/sys/fs/cgroup/{other}")))
    .into()
}

fn freezer(case: &Case<'_>) -> Judged {
    kubelet(case)?;
    if *case.cgroup.freezer.need()? {
        return Note::pass("groups can be frozen").into();
    }
    Note::fail("control groups cannot be frozen on this kernel")
        .measured(case.kernel.release.value().cloned().unwrap_or_default())
        .expected("Linux 5.2 or newer")
        .at(case.cgroup.freezer.source().cloned())
        .into()
}
