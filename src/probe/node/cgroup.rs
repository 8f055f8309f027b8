//! Control groups: which hierarchy is mounted, what it offers, who made groups of pods in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::kernel_text;
use crate::facts::kernel::CgroupVersion;
use crate::facts::{Cgroup, Fact, Source};
use crate::probe::socket::host::text;

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC` of statfs(2).
const CGROUP2: u64 = 0x6367_7270;
/// `TMPFS_MAGIC`: version 1, with one mount for each controller below.
const TMPFS: u64 = 0x0102_1994;

/// Looks at the control groups of a host that runs.
pub(super) fn look(root: &Path) -> Cgroup {
    let mount = root.join(MOUNT.trim_start_matches('/'));
    let version = version(&mount);
    let controllers = match version.value() {
        None => Fact::unknown("the version of control groups is not known"),
        Some(CgroupVersion::V2) => {
            let file = format!("{MOUNT}/cgroup.controllers");
            match kernel_text(&mount.join("cgroup.controllers")) {
                Ok(text) => Fact::known(
                    text.split_whitespace().map(str::to_owned).collect(),
                    Source::proc(file),
                ),
                Err(reason) => Fact::unknown(reason),
            }
        }
        Some(CgroupVersion::V1 | CgroupVersion::Hybrid) => {
            match kernel_text(&root.join("proc/cgroups")) {
                Ok(text) => Fact::known(enabled(&text), Source::proc("/proc/cgroups")),
                Err(reason) => Fact::unknown(reason),
            }
        }
    };
    Cgroup {
        kubepods: kubepods(&mount),
        freezer: freezer(root, &mount, version.value().copied()),
        version,
        controllers,
    }
}

fn version(mount: &Path) -> Fact<CgroupVersion> {
    let kind = |path: &Path| {
        rustix::fs::statfs(path).map(|found| u64::try_from(found.f_type).unwrap_or(0))
    };
    match kind(mount) {
        Ok(CGROUP2) => Fact::known(CgroupVersion::V2, Source::proc(MOUNT)),
        Ok(TMPFS) if kind(&mount.join("unified")) == Ok(CGROUP2) => {
            Fact::known(CgroupVersion::Hybrid, Source::proc(MOUNT))
        }
        Ok(_) if mount.join("memory").is_dir() || mount.join("cpu").is_dir() => {
            Fact::known(CgroupVersion::V1, Source::proc(MOUNT))
        }
        Ok(_) => Fact::unknown(format!("no control groups are mounted at {MOUNT}")),
        Err(error) => Fact::unknown(format!("{MOUNT}: {}", std::io::Error::from(error))),
    }
}

/// The controllers of /proc/cgroups that are enabled.
fn enabled(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            (words.nth(2)? == "1").then(|| name.to_owned())
        })
        .collect()
}

/// The groups in which a kubelet keeps pods: their names tell who made them.
fn kubepods(mount: &Path) -> Fact<BTreeSet<String>> {
    let hierarchies = ["", "systemd", "memory", "unified"];
    let found = hierarchies.iter().flat_map(|hierarchy| {
        ["kubepods", "kubepods.slice"]
            .into_iter()
            .filter(move |name| mount.join(hierarchy).join(name).is_dir())
            .map(str::to_owned)
    });
    Fact::known(found.collect(), Source::proc(MOUNT))
}

/// Whether groups can be frozen: a group that is not the root has the file.
fn freezer(root: &Path, mount: &Path, version: Option<CgroupVersion>) -> Fact<bool> {
    match version {
        None => Fact::unknown("the version of control groups is not known"),
        Some(CgroupVersion::V1 | CgroupVersion::Hybrid) => Fact::known(
            mount.join("freezer").is_dir(),
            Source::proc(format!("{MOUNT}/freezer")),
        ),
        Some(CgroupVersion::V2) => {
            let own = text(&root.join("proc/self/cgroup")).and_then(|text| {
                let path = text
                    .lines()
                    .find_map(|line| line.strip_prefix("0::/").map(str::to_owned))?;
                (!path.is_empty()).then(|| mount.join(path))
            });
            let child = || -> Option<PathBuf> {
                let mut entries = fs::read_dir(mount).ok()?.filter_map(Result::ok);
                entries
                    .find(|entry| entry.path().is_dir())
                    .map(|entry| entry.path())
            };
            match own.filter(|own| own.is_dir()).or_else(child) {
                Some(group) => {
                    Fact::known(group.join("cgroup.freeze").exists(), Source::proc(MOUNT))
                }
                None => Fact::unknown("there is no control group but the root"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enabled_controllers_count() {
        let text =
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t3\t60\t1\nmemory\t0\t70\t0\n";
        assert_eq!(enabled(text), BTreeSet::from(["cpu".to_owned()]));
    }
}
