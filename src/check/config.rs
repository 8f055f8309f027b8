//! Checks of containerd's configuration beyond its text: whether it is in force, and what its next start makes of it.
//!
//! What a file says wrongly is the lint's business (`check/registry.rs`). hosts.toml never counts as changed since the
//! start: it is read at every pull.

pub(super) mod crio;
pub(super) mod effective;
pub(super) mod environment;
pub(super) mod units;

use std::time::Duration;

use serde_json::json;

use super::cri::DEPRECATIONS;
use super::finding::{Area, Note, Severity};
use super::knowledge;
use super::scope::NODE;
use super::{Case, Check, Judge, Judged, Outcome, Profile};
use crate::facts::containerd::Deprecation;
use crate::facts::{FilePlace, Gap, Process, Source};
use crate::registry::RuntimeName;
use crate::registry::rules::Rule;

/// What leaves nothing to be compared.
const UNREACHED: &[&str] = &["endpoint-socket", "endpoint-connect", "cri-plugin-loaded"];
/// Hygiene and what a later version makes of it: asked for before an upgrade.
pub(super) const LATER: &[Profile] = &[Profile::Preflight];

const BLANK: Check = Check {
    area: Area::Config,
    ..Check::BLANK
};

/// The checks of containerd's configuration.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "containerd-config-newer",
        title: "the daemon was started with the files that are there now",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Compares the times of config.toml and of what it imports with the start of the daemon. Warns if a file is \
               newer, unless everything in it is told by `Status` and in force. hosts.toml does not count: it is read \
               at every pull.",
        why: "containerd reads its configuration when it starts. What was changed since is not in force, and comes into \
              force, or breaks the daemon, at the next restart or reboot.",
        remedy: "restart containerd; running pods go on",
        // What a changed file says wrongly matters more than that it was changed.
        caused_by: &[
            "containerd-unknown-key",
            "containerd-plugin-id",
            "containerd-config-version",
        ],
        silenced_by: &["endpoint-socket", "endpoint-connect"],
        judge: Judge::By(newer),
        ..BLANK
    },
    Check {
        code: "containerd-effective-diff",
        title: "the daemon does what its files say",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Compares what is written for the CRI plugin, imports merged as this version merges them, with the \
               configuration that `Status` tells, key by key. Up to 1.7 that is all of it, from 2.0 on the runtime half.",
        why: "A setting that is only in a file has no effect, and nobody tells: the file was changed after the start, the \
              daemon was given another one, or the table has a name that this version does not read.",
        remedy: "restart containerd; if it stays so, find out which file the daemon was given",
        seen: &["containerd#10780", "containerd#13709"],
        silenced_by: UNREACHED,
        explained_by: &["containerd-config-newer"],
        caused_by: &[
            "containerd-config-version",
            "containerd-plugin-id",
            "containerd-dropin-version",
            "containerd-import-replaces",
        ],
        judge: Judge::By(difference),
        ..BLANK
    },
    Check {
        code: "containerd-systemd-cgroup-legacy",
        title: "`systemd_cgroup` is not used with runc's shim of version 2",
        severity: Severity::Critical,
        profiles: Profile::ALL,
        rule: "Reads `systemd_cgroup` in the table of the CRI plugin. Fails if it is true and containerd is older than \
               2.0: the plugin then does not load with a runtime of another type than `io.containerd.runtime.v1.linux`.",
        why: "The key belongs to a shim that is long gone; the one that works is `SystemdCgroup` in the options of a \
              runtime. The two are easily mistaken.",
        remedy: "remove `systemd_cgroup`, and write `SystemdCgroup = true` below `runtimes.runc.options`",
        judge: Judge::By(legacy_cgroup),
        ..BLANK
    },
    Check {
        code: "containerd-deprecations",
        title: "the daemon uses nothing that is about to go",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Lists the deprecated features that containerd says it has met since it was started (1.6.29, 1.7.14 and \
               later). The list is short right after a restart.",
        why: "What is deprecated is gone in a later version, mostly the next major one.",
        remedy: "do what the message says before the upgrade",
        silenced_by: UNREACHED,
        judge: Judge::By(deprecations),
        ..BLANK
    },
    Check {
        code: "containerd-removed-runtime",
        title: "no runtime or snapshotter is configured that containerd 2.0 no longer has",
        severity: Severity::Critical,
        profiles: NODE,
        rule: "Reads the types of the configured runtimes and the snapshotter. Fails on 2.0 and later, or where that is \
               the target, for `io.containerd.runtime.v1.linux`, `io.containerd.runc.v1` and `aufs`; before an upgrade to \
               an earlier version it warns.",
        why: "Pods of such a runtime do not start, and their images are not found.",
        remedy: "use `io.containerd.runc.v2`, and `overlayfs` for `aufs`",
        judge: Judge::By(removed_runtime),
        ..BLANK
    },
    Check {
        code: "containerd-state-dir",
        title: "images are kept on a disk and state in memory",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Asks statfs for containerd's root and state directories. Warns if the root is in memory (tmpfs, ramfs).",
        why: "Everything below a root in memory is gone after a reboot, and uses memory until then.",
        remedy: "set `root` in config.toml to a directory on a disk",
        seen: &["k8s-snap#1484"],
        judge: Judge::By(state_directory),
        ..BLANK
    },
    Check {
        code: "runtime-known-bad",
        title: "this release has no fault that later ones of its line had to mend",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Looks the version up in a dated list of releases with grave faults. Warns, with what happens and the first \
               release without it. What files can tell to be met is a finding of its own.",
        why: "A patch release of the same line is the cheapest upgrade there is.",
        remedy: "upgrade within the same line",
        judge: Judge::By(known_bad),
        ..BLANK
    },
    Check {
        code: "nri-v01-plugins",
        title: "no plugin of NRI 0.1 is installed",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Looks for /etc/nri/conf.json, the configuration of NRI 0.1. Warns if it is there and containerd is 2.3 or \
               later, or is to be upgraded.",
        why: "containerd 2.3 and later load no plugins of version 0.1; what they did to pods is no longer done.",
        remedy: "use the adapter for version 0.1, or newer plugins",
        judge: Judge::By(old_nri),
        ..BLANK
    },
];

/// What /proc says about times is exact to the second only.
const SLACK: Duration = Duration::from_secs(2);

/// Whether one time is clearly later than another; none if either is no time.
pub(super) fn later(time: &str, than: &str) -> Option<bool> {
    let time: jiff::Timestamp = time.parse().ok()?;
    let than: jiff::Timestamp = than.parse().ok()?;
    Some(time > than.checked_add(SLACK).ok()?)
}

/// The daemon of the runtime, where one runs.
pub(super) fn daemon<'c>(case: &'c Case<'_>) -> Result<&'c Process, Gap> {
    case.live()?;
    case.facts().processes.need()?;
    case.facts()
        .daemon()
        .ok_or_else(|| Gap::Absent("no daemon of a runtime was found".to_owned()))
}

/// The command that restarts a daemon, where systemd does.
pub(super) fn restart(note: Note, daemon: &Process) -> Note {
    match daemon
        .unit
        .as_deref()
        .filter(|unit| unit.ends_with(".service"))
    {
        Some(unit) => note.command(format!("systemctl restart {unit}")),
        None => note,
    }
}

fn newer(case: &Case<'_>) -> Judged {
    let config = case.containerd()?;
    let daemon = daemon(case)?;
    let Some(started) = daemon.started_at.as_deref() else {
        return Err(Gap::Unknown(
            "it is not known when the daemon was started".to_owned(),
        ));
    };
    let told = case.facts().cri.status.value();
    let told = told.and_then(|status| status.info.get("config"));
    let comparison = told.map(|told| effective::compare(config, told));
    let in_force = comparison.as_ref().is_some_and(|comparison| {
        comparison.differences.is_empty() && comparison.untold.is_empty()
    });
    let mut problems = Vec::new();
    for file in &config.files {
        let Some(changed) = case.facts().files.modified(&file.path) else {
            continue;
        };
        if later(changed, started) != Some(true) || in_force {
            continue;
        }
        let path = file.path.display().to_string();
        let mut note = Note::warn(format!(
            "`{path}` was changed after the daemon was started: what it says now is not in force"
        ))
        .subject(&path)
        .measured(json!({ "changed": changed, "started": started }))
        .expected("a file older than the daemon")
        .at(Source::File(FilePlace {
            path: path.clone(),
            ..FilePlace::default()
        }))
        .evidence(
            Source::proc(format!("/proc/{}/stat", daemon.pid)),
            format!("containerd (pid {}) runs since {started}", daemon.pid),
        )
        .since(Some(changed))
        .remedy("restart containerd; running pods go on");
        let differences = comparison.iter().flat_map(|found| &found.differences);
        for difference in differences
            .filter(|found| found.place.path == file.path)
            .take(5)
        {
            note = note.evidence(case.facts().files.at(&difference.place), both(difference));
        }
        problems.push(restart(note, daemon));
    }
    let pass = if config.files.is_empty() {
        "there is no config.toml: the defaults are in force"
    } else if in_force {
        "everything that the files say is in force"
    } else {
        "no file was changed since the daemon was started"
    };
    Outcome::of(problems, pass).into()
}

fn both(difference: &effective::Difference) -> String {
    format!(
        "`{}` is {} in the file, {} in the daemon",
        difference.key, difference.written, difference.told
    )
}

fn difference(case: &Case<'_>) -> Judged {
    let config = case.containerd()?;
    let status = case.facts().cri.status.need()?;
    let Some(told) = status.info.get("config").filter(|told| told.is_object()) else {
        return Err(Gap::Unknown(
            "Status does not tell the configuration".to_owned(),
        ));
    };
    let comparison = effective::compare(config, told);
    if comparison.differences.is_empty() {
        return Note::pass(match comparison.alike {
            0 => "nothing is written that Status tells".to_owned(),
            1 => "the one key that is written is in force".to_owned(),
            alike => format!("{alike} keys that are written are in force"),
        })
        .into();
    }
    let problems = comparison.differences.iter().map(|found| {
        Note::warn(both(found))
            .subject(&found.key)
            .measured(json!({ "key": found.key, "file": found.written, "daemon": found.told }))
            .expected(&found.written)
            .at(case.facts().files.at(&found.place))
            .evidence(
                Source::rpc("Status"),
                format!("config: {} = {}", found.key, found.told),
            )
            .remedy("restart containerd; if it stays so, find out which file the daemon was given")
    });
    Outcome(problems.collect()).into()
}

fn legacy_cgroup(case: &Case<'_>) -> Judged {
    let config = case.containerd()?;
    let old = case
        .runtime()
        .is_some_and(|runtime| case.declared().rules().holds(Rule::ConfigV1Lookup, runtime));
    match effective::entry(config, &["systemd_cgroup"]) {
        Some(entry) if old && entry.node.bool() == Some(true) => Note::fail(
            "`systemd_cgroup = true` keeps the CRI plugin from loading: it fits no runtime of today",
        )
        .subject(entry.key.path.display())
        .says(Some("`systemd_cgroup` only works for runtime io.containerd.runtime.v1.linux"))
        .at(case.facts().files.at(&entry.key))
        .remedy("remove the line, write `SystemdCgroup = true` below `runtimes.runc.options`, then restart containerd")
        .into(),
        _ => Note::pass("`systemd_cgroup` is not set, or has no effect").into(),
    }
}

fn deprecations(case: &Case<'_>) -> Judged {
    let mut found: Vec<Deprecation> = Vec::new();
    if let Some(server) = case.facts().containerd.server.value() {
        found.clone_from(&server.deprecations);
    }
    let status = match case.facts().cri.status.need() {
        Ok(status) => Some(status),
        Err(gap) if found.is_empty() => return Err(gap),
        Err(_) => None,
    };
    let condition = status.and_then(|status| status.condition(DEPRECATIONS));
    if let Some(condition) = condition.filter(|condition| !condition.status) {
        let told: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&condition.message).unwrap_or_default();
        for (id, message) in told {
            if !found.iter().any(|known| known.id == id) {
                found.push(Deprecation {
                    id,
                    message,
                    last: None,
                });
            }
        }
    }
    if found.is_empty() && condition.is_none() {
        return Err(Gap::Absent(
            "the runtime does not tell deprecated features".to_owned(),
        ));
    }
    let problems = found.into_iter().map(|found| {
        let short = found.id.rsplit('/').next().unwrap_or(&found.id).to_owned();
        Note::warn(format!("`{short}` is deprecated and in use"))
            .subject(&short)
            .says(Some(found.message))
            .measured(found.id)
            .at(Source::rpc("Introspection.Server"))
            .since(found.last)
            .remedy("do what containerd says before the upgrade")
    });
    Outcome::of(
        problems.collect(),
        "containerd met no deprecated feature since it was started",
    )
    .into()
}

fn removed_runtime(case: &Case<'_>) -> Judged {
    const GONE: &[&str] = &["io.containerd.runtime.v1.linux", "io.containerd.runc.v1"];
    let config = case.containerd()?;
    let gone = case
        .runtime()
        .is_some_and(|runtime| runtime.version.major() >= 2);
    if !gone && case.facts().migration.is_none() {
        return Note::pass("this containerd still has them all").into();
    }
    let note = |text: String| {
        if gone {
            Note::fail(text)
        } else {
            Note::warn(text)
        }
    };
    let mut problems = Vec::new();
    let runtimes = effective::entry(config, &["containerd", "runtimes"]);
    let runtimes = runtimes.and_then(|entry| entry.node.table());
    for (name, entry) in runtimes.map(|table| table.in_order()).unwrap_or_default() {
        let kind = entry
            .node
            .table()
            .and_then(|table| table.entry("runtime_type"));
        if let Some(entry) = kind
            && let Some(kind) = entry.node.str().filter(|kind| GONE.contains(kind))
        {
            problems.push(
                note(format!(
                    "the runtime `{name}` has the type `{kind}`, which containerd 2.0 no longer has"
                ))
                .subject(name)
                .measured(kind)
                .expected("io.containerd.runc.v2")
                .at(case.facts().files.at(&entry.node.place))
                .remedy(
                    "write `runtime_type = \"io.containerd.runc.v2\"`, then restart containerd",
                ),
            );
        }
    }
    if let Some(entry) = effective::entry(config, &["containerd", "snapshotter"])
        && entry.node.str() == Some("aufs")
    {
        problems.push(
            note("the snapshotter is `aufs`, which containerd 2.0 no longer has".to_owned())
                .subject("aufs")
                .expected("overlayfs")
                .at(case.facts().files.at(&entry.node.place))
                .remedy("write `snapshotter = \"overlayfs\"`; images are pulled anew"),
        );
    }
    Outcome::of(
        problems,
        "all configured runtimes and the snapshotter are there in 2.0",
    )
    .into()
}

fn state_directory(case: &Case<'_>) -> Judged {
    case.containerd()?;
    let told = case.facts().cri.status.value();
    let root = told
        .and_then(|status| status.info("config", "/containerdRootDir")?.as_str())
        .unwrap_or("/var/lib/containerd");
    let Some(found) = case.facts().storage.paths.get(root) else {
        return Err(Gap::Unknown(format!("nobody looked at `{root}`")));
    };
    let system = found.need()?;
    if ["tmpfs", "ramfs"].contains(&system.kind.as_str()) {
        return Note::warn(format!(
            "`{root}` is in memory: images and containers are gone after a reboot"
        ))
        .subject(root)
        .measured(system.kind.as_str())
        .expected("a file system on a disk")
        .at(Source::proc("statfs"))
        .remedy("set `root` in config.toml to a directory on a disk")
        .into();
    }
    Note::pass(format!("`{root}` is on {}", system.kind)).into()
}

fn known_bad(case: &Case<'_>) -> Judged {
    let Some(runtime) = case.runtime() else {
        return Err(Gap::Absent("no runtime was found".to_owned()));
    };
    let problems = knowledge::bad_releases()
        .iter()
        .filter(|bad| bad.runtime == runtime.name && bad.versions.contains(&runtime.version))
        .map(|bad| {
            Note::warn(format!("{runtime}: {}", bad.what))
                .subject(runtime)
                .measured(runtime.version.as_str())
                .expected(format!("{} or later", bad.fixed))
                .at(Source::rpc("Version"))
                .remedy(format!("upgrade to {} or later", bad.fixed))
        });
    Outcome::of(
        problems.collect(),
        format!("{runtime} is in no list of bad releases"),
    )
    .into()
}

fn old_nri(case: &Case<'_>) -> Judged {
    const PATH: &str = "/etc/nri/conf.json";
    if case
        .runtime()
        .is_none_or(|runtime| runtime.name != RuntimeName::Containerd)
    {
        return Err(Gap::Absent("the runtime is not containerd".to_owned()));
    }
    let gone = case
        .runtime()
        .is_some_and(|runtime| (runtime.version.major(), runtime.version.minor()) >= (2, 3));
    match case.facts().files.exists(PATH) {
        None => Err(Gap::Unknown(format!("nobody looked at `{PATH}`"))),
        Some(false) => Note::pass(format!("there is no `{PATH}`")).into(),
        Some(true) if !gone && case.facts().migration.is_none() => {
            Note::pass("this containerd still loads plugins of NRI 0.1").into()
        }
        Some(true) => Note::warn(format!("`{PATH}` configures plugins of NRI 0.1"))
            .subject(PATH)
            .at(Source::file(PATH))
            .remedy("use the adapter for version 0.1, or newer plugins, before containerd 2.3")
            .into(),
    }
}
