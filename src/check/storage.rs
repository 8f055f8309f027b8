//! Checks of file systems: room for images, pods and logs, of a kind that can hold containers, writable.
//!
//! Thresholds are the kubelet's for eviction (`evictionHard`; its defaults are imagefs 15 %, nodefs 10 % and 5 % of
//! inodes). On a node without kubelet only what is nearly full counts.

use std::collections::BTreeSet;

use super::finding::{Area, Note, Severity};
use super::scope::{HEALTH, NODE};
use super::{Case, Check, Judge, Judged, Outcome};
use crate::facts::kernel::Availability;
use crate::facts::kubelet::Settings;
use crate::facts::storage::FileSystem;
use crate::facts::{Fact, Gap, Role, Source};
use crate::registry::RuntimeName;
use crate::registry::node::Node;

const BLANK: Check = Check {
    area: Area::Storage,
    ..Check::BLANK
};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "fs-image-space",
        title: "there is room for images and pods",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Asks statfs for the file systems of the image store and of /var/lib/kubelet. Fails below the kubelet's \
               hard eviction threshold (its own or 15 % for images, 10 % for pods), warns within 5 % above it. Without \
               a kubelet it warns below 10 % and fails below 5 %.",
        why: "The kubelet deletes images and kills pods to win room back, and the node gets a taint; a full disk stops \
              the runtime altogether.",
        remedy: "remove images that nobody uses (`criscope rmi --prune`), look for large logs, or grow the disk",
        judge: Judge::By(space),
        ..BLANK
    },
    Check {
        code: "fs-inodes",
        title: "there are inodes for images and pods",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "As `fs-image-space` for inodes, with a threshold of 5 %, warning below 10 %. File systems that make \
               inodes on demand pass.",
        why: "`no space left on device` on a disk that is half empty: images of many small files use them up.",
        remedy: "remove images that nobody uses (`criscope rmi --prune`); the number of inodes of ext4 is fixed when it \
                 is made",
        seen: &["kubernetes#71869"],
        judge: Judge::By(inodes),
        ..BLANK
    },
    Check {
        code: "fs-readonly",
        title: "state, logs and images can be written",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Reads the mounts of the directories of runtime, kubelet and logs. Fails if one is read-only. A read-only \
               root alone is how some distributions are made.",
        why: "ext4 and others make themselves read-only after an error: what runs goes on, nothing new starts.",
        remedy: "look at the kernel's log for the error, then repair the file system (`fsck`) and reboot",
        judge: Judge::By(read_only),
        ..BLANK
    },
    Check {
        code: "fs-overlay-ready",
        title: "the image store can stand under overlays",
        severity: Severity::High,
        profiles: NODE,
        rule: "With the snapshotter overlayfs: fails if the kernel has no overlay, or if the store is itself on an \
               overlay; warns on network file systems.",
        why: "An overlay cannot have an overlay as its upper layer: every container fails with `invalid argument`.",
        remedy: "move the store (`root` in config.toml) to ext4 or XFS, or use another snapshotter",
        judge: Judge::By(overlay),
        ..BLANK
    },
    Check {
        code: "imagefs-split",
        title: "it is known which disks images, pods and logs are on",
        severity: Severity::Info,
        profiles: NODE,
        rule: "Tells which of the image store, /var/lib/kubelet and /var/log/pods share a file system. Never fails.",
        why: "Eviction thresholds follow it: after a move to another runtime images may fill the disk of the pods.",
        seen: &["kubernetes#66961"],
        judge: Judge::By(split),
        ..BLANK
    },
    Check {
        code: "crio-clean-shutdown",
        title: "CRI-O was shut down cleanly",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "While CRI-O does not run: looks for /var/lib/crio/clean.shutdown beside clean.shutdown.supported. Warns \
               if it is missing.",
        why: "At the next start CRI-O checks its storage, or wipes it: all images are pulled again.",
        remedy: "expect it, or check the storage yourself: `crio check`",
        seen: &["cri-o#9968"],
        judge: Judge::By(clean),
        ..BLANK
    },
];

/// A file system that matters, and for what.
struct Part<'c> {
    what: &'static str,
    /// The threshold's name in `evictionHard`, without its last part.
    threshold: &'static str,
    path: &'c str,
    system: &'c FileSystem,
}

/// The file systems of images and of pods, each once.
fn parts<'c>(case: &'c Case<'_>) -> Result<Vec<Part<'c>>, Gap> {
    case.live()?;
    let mut wanted: Vec<(&'static str, &'static str, &str)> = case
        .cri
        .image_fs
        .value()
        .into_iter()
        .flatten()
        .map(|usage| ("images", "imagefs", usage.mountpoint.as_str()))
        .collect();
    if wanted.is_empty() {
        wanted.extend([
            ("images", "imagefs", "/var/lib/containerd"),
            ("images", "imagefs", "/var/lib/containers/storage"),
        ]);
    }
    wanted.push(("pods", "nodefs", "/var/lib/kubelet"));
    let (mut found, mut gaps): (Vec<Part<'c>>, Vec<String>) = (Vec::new(), Vec::new());
    for (what, threshold, path) in wanted {
        let Some((path, fact)) = case.storage.paths.get_key_value(path) else {
            continue;
        };
        match fact {
            Fact::Known { value, .. } => found.push(Part {
                what,
                threshold,
                path,
                system: value,
            }),
            Fact::Absent { .. } => {}
            Fact::Unknown { reason } => gaps.push(reason.clone()),
        }
    }
    match (found.is_empty(), gaps.first()) {
        (true, Some(reason)) => Err(Gap::Unknown(reason.clone())),
        (true, None) => Err(Gap::Absent("this node has no store of images".to_owned())),
        _ => Ok(found),
    }
}

/// The kubelet's own threshold in percent.
fn threshold(case: &Case<'_>, key: &str, size: u64) -> Option<f64> {
    let settings = Settings::of(case).ok()?;
    let flag = settings.flag("--eviction-hard");
    let written = flag
        .and_then(|flag| flag.value.as_deref())
        .and_then(|list| {
            list.split(',')
                .find_map(|entry| entry.strip_prefix(key)?.strip_prefix('<'))
        })
        .map(str::to_owned);
    let value = written.or_else(|| {
        let setting = settings.setting(None, "evictionHard").ok()??;
        setting.value.get(key)?.as_str().map(str::to_owned)
    })?;
    percent(&value, size)
}

/// `15%`, `1Gi`, `500M` as a share of a size.
#[expect(clippy::cast_precision_loss, reason = "a percentage needs no 53 bits")]
fn percent(text: &str, size: u64) -> Option<f64> {
    if let Some(share) = text.strip_suffix('%') {
        return share.trim().parse().ok();
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text.get(..end)?.parse().ok()?;
    let unit = match text.get(end..)? {
        "" => 1.0,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };
    (size > 0).then(|| number * unit / size as f64 * 100.0)
}

fn space(case: &Case<'_>) -> Judged {
    room(case, "available", |system| {
        (system.free_percent(), system.total_bytes)
    })
}

fn inodes(case: &Case<'_>) -> Judged {
    room(case, "inodesFree", |system| {
        (system.free_inodes_percent(), system.inodes)
    })
}

fn room(case: &Case<'_>, of: &str, share: fn(&FileSystem) -> (f64, u64)) -> Judged {
    let parts = parts(case)?;
    let kubelet = case.has_kubelet();
    let inodes = of == "inodesFree";
    let mut seen = BTreeSet::new();
    let (mut problems, mut good) = (Vec::new(), Vec::new());
    for part in parts {
        if !seen.insert((&part.system.mountpoint, part.threshold)) {
            continue;
        }
        let (free, size) = share(part.system);
        if size == 0 {
            continue;
        }
        let usual = match (inodes, part.threshold) {
            (true, _) => 5.0,
            (_, "imagefs") => 15.0,
            _ => 10.0,
        };
        let key = format!("{}.{of}", part.threshold);
        let (fail, warn) = if kubelet {
            let fail = threshold(case, &key, size).unwrap_or(usual);
            (fail, fail + 5.0)
        } else {
            (5.0, 10.0)
        };
        let what = if inodes { "inodes" } else { "space" };
        let text = format!(
            "{free} % of the {what} for {} is free (`{}`, on `{}`)",
            part.what, part.path, part.system.mountpoint
        );
        let note = if free < fail {
            Note::fail(text)
        } else if free < warn {
            Note::warn(text)
        } else {
            good.push(text);
            continue;
        };
        let why = if kubelet {
            format!("more than {fail:.1} %, where the kubelet begins to evict")
        } else {
            format!("more than {warn} %")
        };
        problems.push(
            note.subject(&part.system.mountpoint)
                .measured(serde_json::json!({ "freePercent": free, "size": size }))
                .expected(why)
                .at(Source::proc(format!("statvfs of {}", part.path))),
        );
    }
    Outcome::of(problems, good.join(", ")).into()
}

/// Directories that something writes to.
const WRITTEN: &[&str] = &[
    "/var/lib/containerd",
    "/run/containerd",
    "/var/lib/containers/storage",
    "/var/lib/kubelet",
    "/var/log",
    "/var/log/pods",
];

fn read_only(case: &Case<'_>) -> Judged {
    case.live()?;
    let images: Vec<&str> = case
        .cri
        .image_fs
        .value()
        .into_iter()
        .flatten()
        .map(|usage| usage.mountpoint.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    let mut known = 0;
    for path in WRITTEN.iter().copied().chain(images) {
        let Some(Fact::Known { value, source }) = case.storage.paths.get(path) else {
            continue;
        };
        known += 1;
        if value.read_only && seen.insert(&value.mountpoint) {
            problems.push(
                Note::fail(format!(
                    "`{path}` cannot be written: `{}` ({}) is mounted read-only",
                    value.mountpoint, value.kind
                ))
                .subject(&value.mountpoint)
                .measured("ro")
                .expected("rw")
                .at(source.clone())
                .evidence(Source::proc("/proc/self/mountinfo"), value.device.clone()),
            );
        }
    }
    if known == 0 {
        return Err(Gap::Absent(
            "neither runtime nor kubelet keeps anything here".to_owned(),
        ));
    }
    Outcome::of(problems, format!("{known} directories can be written")).into()
}

/// The snapshotter that containerd is set to use.
fn configured(case: &Case<'_>) -> Result<(String, Source), Gap> {
    match case.runtime() {
        Some(runtime) if runtime.name == RuntimeName::Containerd => {}
        Some(runtime) => {
            return Err(Gap::Absent(format!("{runtime} has no snapshotters")));
        }
        None => return Err(Gap::Absent("no containerd is here".to_owned())),
    }
    let told = case
        .cri
        .status
        .value()
        .and_then(|status| status.info("config", "/containerd/snapshotter")?.as_str())
        .filter(|name| !name.is_empty());
    if let Some(name) = told {
        return Ok((name.to_owned(), Source::rpc("Status")));
    }
    let written = super::told::containerd(case).and_then(|config| {
        let node = config
            .plugins
            .table(crate::registry::containerd::CRI_IMAGES)
            .and_then(|table| table.node("snapshotter"))
            .or_else(|| {
                config
                    .plugins
                    .descend(&[crate::registry::containerd::CRI, "containerd"])
                    .and_then(|table| table.node("snapshotter"))
            })?;
        let name = node.str().map(str::to_owned)?;
        Some((name, case.files.at(&Node::clone(node).place)))
    });
    Ok(written
        .filter(|(name, _)| !name.is_empty())
        .unwrap_or_else(|| {
            (
                "overlayfs".to_owned(),
                Source::file(case.files.containerd_config.display()),
            )
        }))
}

fn overlay(case: &Case<'_>) -> Judged {
    case.live()?;
    let (name, source) = configured(case)?;
    if name != "overlayfs" {
        return Err(Gap::Absent(format!("the snapshotter is `{name}`")));
    }
    let filesystems = case.kernel.filesystems.need()?;
    let loadable = case
        .kernel
        .available
        .value()
        .and_then(|available| available.get("overlay"))
        .is_some_and(|how| *how != Availability::Missing);
    if !filesystems.contains("overlay") && !loadable {
        return Note::fail("the kernel has no overlay file system")
            .measured(serde_json::json!(filesystems))
            .expected("overlay")
            .at(Source::proc("/proc/filesystems"))
            .remedy("install the kernel's modules, or set `snapshotter = \"native\"`")
            .into();
    }
    let root = case
        .cri
        .status
        .value()
        .and_then(|status| status.info("config", "/containerdRootDir")?.as_str())
        .unwrap_or("/var/lib/containerd");
    let Some(fact) = case.storage.paths.get(root) else {
        return Err(Gap::Unknown(format!("nobody looked at `{root}`")));
    };
    let system = fact.need()?;
    if system.kind == "overlay" {
        return Note::fail(format!(
            "`{root}` is itself on an overlay, on which none can stand"
        ))
        .subject(root)
        .measured("overlay")
        .expected("ext4, XFS, btrfs or tmpfs")
        .at(fact.source().cloned())
        .evidence(source, "the snapshotter is overlayfs")
        .into();
    }
    Note::pass(format!("`{root}` is on {}", system.kind)).into()
}

fn split(case: &Case<'_>) -> Judged {
    let parts = parts(case)?;
    let logs = case
        .storage
        .paths
        .get("/var/log/pods")
        .or_else(|| case.storage.paths.get("/var/log"))
        .and_then(Fact::value);
    let mut words: Vec<String> = parts
        .iter()
        .map(|part| format!("{} on `{}`", part.what, part.system.mountpoint))
        .collect();
    words.extend(logs.map(|system| format!("logs on `{}`", system.mountpoint)));
    Note::pass(words.join(", "))
        .at(Source::proc("/proc/self/mountinfo"))
        .into()
}

fn clean(case: &Case<'_>) -> Judged {
    let there = |path: &str| case.files.exists(path);
    let (supported, clean) = (
        "/var/lib/crio/clean.shutdown.supported",
        "/var/lib/crio/clean.shutdown",
    );
    if case.processes(Role::Crio).next().is_some() {
        return Err(Gap::Absent("CRI-O runs".to_owned()));
    }
    match (there(supported), there(clean)) {
        (Some(false), _) | (None, None) => Err(Gap::Absent("CRI-O was not used here".to_owned())),
        (_, Some(true)) => Note::pass("CRI-O was shut down cleanly").into(),
        (_, None) => Err(Gap::Unknown(format!("`{clean}` could not be looked at"))),
        (_, Some(false)) => Note::warn(
            "CRI-O was not shut down cleanly: its next start checks or wipes the storage",
        )
        .expected(format!("`{clean}`"))
        .at(Source::file(clean))
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn thresholds() {
        for (text, size, expected) in [
            ("15%", 100, Some(15.0)),
            ("1Gi", 10 << 30, Some(10.0)),
            ("50", 100, Some(50.0)),
            ("1G", 4_000_000_000, Some(25.0)),
            ("x", 100, None),
            ("1Zi", 100, None),
            ("1Gi", 0, None),
        ] {
            assert_eq!(percent(text, size), expected, "{text}");
        }
    }
}
