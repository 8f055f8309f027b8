//! Why connect() was denied: which file is in the way, whose it is, and who may pass.
//!
//! Connecting to a unix socket takes search permission on every directory of its path and write permission on the
//! socket (unix(7)). Where these would allow it, a security module refused, and its label is named.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::host::text;

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What was seen, as one sentence.
    pub detail: String,
    /// What to do, as one sentence.
    pub advice: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asker {
    uid: u32,
    groups: Vec<u32>,
    /// Root with the capability that makes permissions void.
    overrides: bool,
}

/// Owner, group and mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bits {
    uid: u32,
    gid: u32,
    mode: u32,
}

/// `CAP_DAC_OVERRIDE`, as a bit of a capability set.
const DAC_OVERRIDE: u64 = 1 << 1;

/// Explains a denial of connect() to the socket at `path`.
pub fn explain(path: &Path) -> Obstacle {
    let asker = Asker::this();
    for (file, needed) in on_the_way(path) {
        let Ok(found) = fs::metadata(&file) else {
            // Its directory may not be searched, and was looked at before: only a security module is left.
            break;
        };
        let bits = Bits {
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
        };
        if !asker.may(bits, needed) {
            return refusal(path, &file, bits, needed, &asker);
        }
    }
    security_module(path)
}

/// The directories of a path from the root on, then the socket itself, with the permission bit that each must give.
fn on_the_way(path: &Path) -> Vec<(PathBuf, u32)> {
    // The links in a path lead through directories of their own.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut steps: Vec<(PathBuf, u32)> = real
        .ancestors()
        .skip(1)
        .map(|directory| (directory.to_owned(), 0o1))
        .collect();
    steps.reverse();
    steps.push((real, 0o2));
    steps
}

impl Asker {
    fn this() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let mut groups = vec![rustix::process::getegid().as_raw()];
        groups.extend(
            rustix::process::getgroups()
                .unwrap_or_default()
                .into_iter()
                .map(|group| group.as_raw()),
        );
        let capable = text(Path::new("/proc/self/status"))
            .and_then(|status| {
                let set = status
                    .lines()
                    .find_map(|line| line.strip_prefix("CapEff:"))?;
                u64::from_str_radix(set.trim(), 16).ok()
            })
            .is_none_or(|set| set & DAC_OVERRIDE != 0);
        Self {
            uid,
            groups,
            overrides: uid == 0 && capable,
        }
    }

    fn may(&self, bits: Bits, needed: u32) -> bool {
        let shift = if self.uid == bits.uid {
            6
        } else if self.groups.contains(&bits.gid) {
            3
        } else {
            0
        };
        self.overrides || bits.mode >> shift & needed == needed
    }
}

fn refusal(path: &Path, file: &Path, bits: Bits, needed: u32, asker: &Asker) -> Obstacle {
    let owner = name_of("/etc/passwd", bits.uid);
    let group = name_of("/etc/group", bits.gid);
    let what = if needed == 0o2 {
        "the socket".to_owned()
    } else {
        format!("the directory {} on the way to the socket", file.display())
    };
    let user = match name_of("/etc/passwd", asker.uid) {
        name if name.parse::<u32>().is_ok() => format!("user {name}"),
        name => format!("user {name} ({})", asker.uid),
    };
    let detail = format!(
        "{what} belongs to {owner}:{group} with mode {:04o}, which does not let {user} {}",
        bits.mode,
        if needed == 0o2 { "connect" } else { "pass" }
    );
    let by_group = bits.gid != 0 && bits.mode >> 3 & needed == needed;
    let advice = if asker.uid == 0 {
        "run with the capability CAP_DAC_OVERRIDE, which root has been deprived of here".to_owned()
    } else if by_group && needed == 0o2 {
        format!(
            "run as root, or join the group `{group}` (`usermod -aG {group} USER`, then log in again)"
        )
    } else {
        format!(
            "run as root, as in `sudo criscope -r unix://{}`",
            path.display()
        )
    };
    Obstacle { detail, advice }
}

/// The permissions would do, so something above them refused.
fn security_module(path: &Path) -> Obstacle {
    let label = label_of(path);
    let own = text(Path::new("/proc/self/attr/current"))
        .map(|own| own.trim_end_matches(['\0', '\n']).to_owned())
        .filter(|own| !own.is_empty());
    let enforcing =
        text(Path::new("/sys/fs/selinux/enforce")).is_some_and(|enforce| enforce.trim() == "1");
    let own = own.unwrap_or_else(|| "an unknown label".to_owned());
    match label {
        Some(label) if enforcing => Obstacle {
            detail: format!(
                "owner and mode would allow it, but SELinux is enforcing: the socket is labelled {label}, this \
                 process runs as {own}"
            ),
            advice: "look for the refusal with `ausearch -m avc -ts recent`; in a container, run it privileged or \
                     with `seLinuxOptions: {type: spc_t}`"
                .to_owned(),
        },
        _ => Obstacle {
            detail: format!(
                "owner and mode would allow it, so a security module refused (this process runs as {own})"
            ),
            advice: "look for the refusal with `dmesg | grep -i denied`".to_owned(),
        },
    }
}

/// The SELinux label of a file.
fn label_of(path: &Path) -> Option<String> {
    let mut label = [0_u8; 256];
    let length = rustix::fs::lgetxattr(path, "security.selinux", &mut label).ok()?;
    let label = String::from_utf8_lossy(label.get(..length)?);
    Some(label.trim_end_matches('\0').to_owned())
}

/// The name that a passwd or group file gives an id; the number where it gives none.
fn name_of(file: &str, id: u32) -> String {
    text(Path::new(file))
        .and_then(|text| name_in(&text, id).map(str::to_owned))
        .unwrap_or_else(|| id.to_string())
}

/// The name of an id in the text of a passwd or group file: both have the name first and the id third.
fn name_in(text: &str, id: u32) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

/// Whether a path names containerd's socket for shims, which stands beside the one that is meant.
pub fn is_ttrpc(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("ttrpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_follows_the_first_class_that_matches() {
        let user = Asker {
            uid: 1000,
            groups: vec![1000, 998],
            overrides: false,
        };
        let socket = |uid, gid, mode| Bits { uid, gid, mode };
        assert!(user.may(socket(0, 998, 0o660), 0o2));
        assert!(!user.may(socket(0, 0, 0o660), 0o2));
        assert!(user.may(socket(0, 0, 0o666), 0o2));
        // The owner's class counts, even where the others have more.
        assert!(!user.may(socket(1000, 998, 0o066), 0o2));
        let root = Asker {
            uid: 0,
            groups: vec![0],
            overrides: true,
        };
        assert!(root.may(socket(1000, 1000, 0), 0o2));
        let bare = Asker {
            overrides: false,
            ..root
        };
        assert!(!bare.may(socket(1000, 1000, 0o600), 0o2));
    }

    #[test]
    fn a_group_that_helps_is_named() {
        let asker = Asker {
            uid: 4_000_001,
            groups: vec![4_000_001],
            overrides: false,
        };
        let path = Path::new("/run/a.sock");
        let bits = Bits {
            uid: 0,
            gid: 4_000_002,
            mode: 0o660,
        };
        let found = refusal(path, path, bits, 0o2, &asker);
        assert_eq!(
            found.detail,
            "the socket belongs to root:4000002 with mode 0660, which does not let user 4000001 connect"
        );
        assert!(
            found.advice.contains("join the group `4000002`"),
            "{}",
            found.advice
        );
        let bits = Bits { gid: 0, ..bits };
        let found = refusal(path, path, bits, 0o2, &asker);
        assert_eq!(
            found.advice,
            "run as root, as in `sudo criscope -r unix:///run/a.sock`"
        );
    }

    #[test]
    fn finds_names() {
        let text = "root:x:0:\nbroken\ndocker:x:998:a,b\n";
        assert_eq!(name_in(text, 998), Some("docker"));
        assert_eq!(name_in(text, 7), None);
    }
}
