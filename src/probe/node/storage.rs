//! File systems: one read of mountinfo, and statfs for the few directories that matter.
//!
//! statfs on a network file system whose server is gone never returns, so those are not asked.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::kernel_text;
use crate::facts::storage::FileSystem;
use crate::facts::{Fact, Facts, Source};
use crate::probe::host_files::Reader;

/// File systems whose answers come from another machine or process.
const REMOTE: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "fuse",
    "9p",
    "afs",
    "lustre",
    "beegfs",
];

/// Directories that every node of whatever runtime has, if it has them.
const USUAL: &[&str] = &[
    "/",
    "/run",
    "/var/lib/kubelet",
    "/var/log",
    "/var/log/pods",
    "/var/lib/containerd",
    "/run/containerd",
    "/var/lib/containers/storage",
    "/var/lib/docker",
];

/// The directories to ask about: the usual ones, and what the runtime says that it uses.
pub(super) fn paths(facts: &Facts) -> Vec<String> {
    let mut paths: Vec<String> = USUAL.iter().map(|path| (*path).to_owned()).collect();
    let filesystems = facts.cri.image_fs.value().into_iter().flatten();
    paths.extend(filesystems.map(|usage| usage.mountpoint.clone()));
    if let Some(status) = facts.cri.status.value() {
        for pointer in ["/containerdRootDir", "/stateDir", "/rootDir"] {
            let path = status
                .info("config", pointer)
                .and_then(|value| value.as_str());
            paths.extend(path.map(str::to_owned));
        }
    }
    paths.push(facts.docker.data_root.clone());
    paths.retain(|path| path.starts_with('/'));
    paths.sort();
    paths.dedup();
    paths
}

/// Looks at the file systems below `root`, of which `mountinfo` tells; nothing is asked of a host that does not run.
pub(super) fn look(
    root: &Path,
    mountinfo: Option<&Path>,
    paths: &[String],
) -> BTreeMap<String, Fact<FileSystem>> {
    let reader = Reader::open(root, None);
    let mounts = mountinfo.map(|path| kernel_text(path).map(|text| mounts_of(&text)));
    let look = |path: &String| {
        let fact = match &mounts {
            None => Fact::absent("no system runs here"),
            Some(Err(reason)) => Fact::unknown(reason.clone()),
            Some(Ok(mounts)) => one(root, &reader, path, mounts),
        };
        (path.clone(), fact)
    };
    paths.iter().map(look).collect()
}

fn one(root: &Path, reader: &Reader, path: &str, mounts: &[Mount]) -> Fact<FileSystem> {
    // Looking at the path itself could already hang.
    let above = |path: &Path| {
        let covering = mounts.iter().filter(|mount| path.starts_with(&mount.point));
        covering.max_by_key(|mount| Path::new(&mount.point).components().count())
    };
    let inside = Path::new(path);
    let outside = root.join(path.trim_start_matches('/'));
    if let Some(mount) = above(inside)
        .or_else(|| above(&outside))
        .filter(|mount| mount.is_remote())
    {
        return Fact::unknown(format!(
            "`{path}` is on a network file system ({}), which was not asked",
            mount.kind
        ));
    }
    let found = match reader.locate(inside) {
        Ok(Some(found)) => found,
        Ok(None) => return Fact::absent(format!("there is no `{path}`")),
        Err(error) => return Fact::unknown(format!("`{path}`: {error}")),
    };
    let id = kernel_text(Path::new(&format!(
        "/proc/self/fdinfo/{}",
        found.as_raw_fd()
    )))
    .ok()
    .and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse::<u64>().ok())
    });
    let Some(mount) = mounts.iter().find(|mount| Some(mount.id) == id) else {
        return Fact::unknown(format!("the mount that `{path}` is on is not visible"));
    };
    if mount.is_remote() {
        return Fact::unknown(format!(
            "`{path}` leads to a network file system ({}), which was not asked",
            mount.kind
        ));
    }
    let stat = match rustix::fs::fstatvfs(&found) {
        Ok(stat) => stat,
        Err(error) => return Fact::unknown(format!("`{path}`: {}", std::io::Error::from(error))),
    };
    let shown = Path::new(&mount.point).strip_prefix(root).map_or_else(
        |_| mount.point.clone(),
        |rest| Path::new("/").join(rest).display().to_string(),
    );
    Fact::known(
        FileSystem {
            mountpoint: shown,
            kind: mount.kind.clone(),
            device: mount.device.clone(),
            read_only: mount.read_only
                || stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: stat.f_files,
            free_inodes: stat.f_favail,
        },
        Source::proc("statvfs"),
    )
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    id: u64,
    point: String,
    kind: String,
    device: String,
    read_only: bool,
}

impl Mount {
    /// Whether its answers come from another machine or process, which may be gone.
    fn is_remote(&self) -> bool {
        REMOTE.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.")
    }
}

/// Reads proc_pid_mountinfo(5).
fn mounts_of(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let before: Vec<&str> = before.split(' ').collect();
            let mut after = after.split(' ');
            let kind = after.next()?.to_owned();
            let device = after.next()?.to_owned();
            let superblock = after.next().unwrap_or_default();
            let read_only = |options: &str| options.split(',').any(|option| option == "ro");
            Some(Mount {
                id: before.first()?.parse().ok()?,
                point: unescaped(before.get(4)?),
                kind,
                device,
                read_only: read_only(before.get(5)?) || read_only(superblock),
            })
        })
        .collect()
}

/// Space, tab, newline and backslash stand as octal numbers.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        30 22 0:26 / /mnt/a\\040b ro shared:9 - tmpfs tmpfs rw\n\
        31 22 0:27 / /var/lib rw - xfs /dev/sdb ro,attr2\n";

    #[test]
    fn mountinfo() {
        let mounts = mounts_of(TABLE);
        let read: Vec<_> = mounts
            .iter()
            .map(|mount| {
                (
                    mount.id,
                    mount.point.as_str(),
                    mount.kind.as_str(),
                    mount.read_only,
                )
            })
            .collect();
        assert_eq!(
            read,
            [
                (22, "/", "ext4", false),
                (30, "/mnt/a b", "tmpfs", true),
                (31, "/var/lib", "xfs", true)
            ]
        );
    }

    #[test]
    fn this_host_has_a_root() {
        let found = look(
            Path::new("/"),
            Some(Path::new("/proc/self/mountinfo")),
            &["/".to_owned(), "/nosuch".to_owned()],
        );
        assert!(
            found["/"]
                .value()
                .is_some_and(|root| root.total_bytes > 0 && root.mountpoint == "/")
        );
        assert!(matches!(found["/nosuch"], Fact::Absent { .. }));
    }
}
