//! The processes of a host, read from /proc below a root: who listens where, and who a process is.
//!
//! Field positions follow proc(5) and proc_net_unix(5). Everything here can change while it is read; a process that has
//! gone is a reason, not an error.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, RawDir, open, openat};

use crate::endpoint::discover::below_run;
use crate::endpoint::report::Process;

/// No file below /proc that is read here is longer, in bytes; what is, is cut.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// `__SO_ACCEPTCON`: the socket is listening.
const LISTENING: u32 = 0x1_0000;

/// The host that is looked at: everything is read below its root.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    /// /proc/net/unix, read once.
    table: OnceLock<String>,
}

/// A listening unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The socket's inode, which is how a process refers to it.
    pub inode: u64,
    /// The path as it was given to bind().
    pub path: PathBuf,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The command name, at most 15 bytes.
    pub comm: String,
    /// `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// When it was started, in clock ticks since boot.
    pub started: u64,
}

impl Host {
    /// The host below `root`: `/` for this one.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            table: OnceLock::new(),
        }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// An absolute path of the host, as this process reaches it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What this process reaches a path of the host by: below the root, with the links of the host followed there.
    pub fn reach(&self, path: &Path) -> PathBuf {
        if self.root == Path::new("/") {
            return path.to_owned();
        }
        resolve(&self.root, path)
    }

    /// What a path is called on the host: the opposite of [`Host::reach`].
    pub fn inside(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => path.to_owned(),
        }
    }

    /// A file below /proc/PID.
    pub fn of(&self, pid: u32, name: &str) -> PathBuf {
        self.root.join(format!("proc/{pid}/{name}"))
    }

    /// The sockets that listen at `path`, of this network namespace. There can be several: one that was bound before
    /// the path was removed and bound anew still lists it.
    pub fn listeners(&self, path: &Path) -> Vec<Listener> {
        let table = self
            .table
            .get_or_init(|| text(&self.path("/proc/net/unix")).unwrap_or_default());
        let called = self.inside(path);
        let mut found = listening_at(table, path.file_name(), |listed| {
            below_run(listed) == below_run(path) || below_run(listed) == below_run(&called)
        });
        // It was bound under another name: through a link, or below another mount.
        if found.is_empty()
            && let Ok(real) = fs::canonicalize(path)
        {
            found = listening_at(table, real.file_name(), |listed| {
                listed == real || fs::canonicalize(listed).is_ok_and(|listed| listed == real)
            });
        }
        found
    }

    /// Whether the process has the socket with this inode open; `None` where that may not be seen.
    pub fn holds(&self, pid: u32, inode: u64) -> Option<bool> {
        let wanted = format!("socket:[{inode}]");
        let mut entries = fs::read_dir(self.of(pid, "fd")).ok()?;
        Some(entries.any(|entry| {
            entry.is_ok_and(|entry| {
                fs::read_link(entry.path())
                    .is_ok_and(|target| target.as_os_str() == wanted.as_str())
            })
        }))
    }

    /// Every process, in the order of /proc, which is that of their ids.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        fs::read_dir(self.path("/proc"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
    }

    /// Processes whose command name fits, among the first `most` of /proc. Done before every short command on a node
    /// without systemd: paths are relative to /proc and stand in one small buffer.
    pub fn named(&self, most: usize, fits: impl Fn(&str) -> bool) -> Vec<u32> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let Ok(proc) = open(self.path("/proc"), flags | OFlags::DIRECTORY, Mode::empty()) else {
            return Vec::new();
        };
        let mut room = Vec::with_capacity(32 * 1024);
        let mut entries = RawDir::new(&proc, room.spare_capacity_mut());
        let (mut found, mut looked) = (Vec::new(), 0);
        let (mut path, mut comm) = (Vec::with_capacity(24), [0; 64]);
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name().to_bytes();
            if !name.iter().all(u8::is_ascii_digit) {
                continue;
            }
            if looked == most {
                break;
            }
            looked += 1;
            path.clear();
            path.extend_from_slice(name);
            path.extend_from_slice(b"/comm");
            // One that has ended meanwhile is none.
            let Ok(file) = openat(&proc, path.as_slice(), flags, Mode::empty()) else {
                continue;
            };
            let length = rustix::io::read(&file, &mut comm).unwrap_or(0);
            let read = comm.get(..length).unwrap_or_default().trim_ascii_end();
            if str::from_utf8(read).is_ok_and(&fits)
                && let Some(pid) = str::from_utf8(name).ok().and_then(|name| name.parse().ok())
            {
                found.push(pid);
            }
        }
        found
    }

    /// The command name of a process, at most 15 bytes.
    pub fn comm(&self, pid: u32) -> Option<String> {
        // Asked of every process of a node: one read, nothing kept.
        let mut bytes = [0; 64];
        let length = fs::File::open(self.of(pid, "comm"))
            .ok()?
            .read(&mut bytes)
            .ok()?;
        let comm = bytes.get(..length)?.trim_ascii_end();
        Some(String::from_utf8_lossy(comm).into_owned())
    }

    /// The arguments of a process. To be asked of known daemons only: reading it takes a lock of the process's memory,
    /// on which a sick process can hang its readers.
    pub fn arguments(&self, pid: u32) -> Option<Vec<String>> {
        let line = text(&self.of(pid, "cmdline"))?;
        Some(line.split_terminator('\0').map(str::to_owned).collect())
    }

    /// State and start of a process.
    pub fn stat(&self, pid: u32) -> Option<Stat> {
        parse_stat(&text(&self.of(pid, "stat"))?)
    }

    /// Who a process is. What cannot be seen is left out, with the reason.
    pub fn process(&self, pid: u32) -> Process {
        let Some(stat) = self.stat(pid) else {
            return Process {
                pid: Some(pid),
                unknown: Some("the process has ended or is hidden".to_owned()),
                ..Process::default()
            };
        };
        let (exe, unknown) = match fs::read_link(self.of(pid, "exe")) {
            Ok(path) => (path.display().to_string(), None),
            Err(error) => (
                stat.comm.clone(),
                Some(format!("path of the executable: {error}")),
            ),
        };
        Process {
            pid: Some(pid),
            exe: Some(exe),
            unit: text(&self.of(pid, "cgroup")).and_then(|cgroups| unit_of(&cgroups)),
            started_at: self.time_of(stat.started),
            unknown,
        }
    }

    /// Clock ticks since boot as a time, RFC 3339, to the second.
    fn time_of(&self, ticks: u64) -> Option<String> {
        let boot: i64 = text(&self.path("/proc/stat"))?
            .lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
        let seconds = ticks / rustix::param::clock_ticks_per_second().max(1);
        let time = boot.checked_add(i64::try_from(seconds).ok()?)?;
        jiff::Timestamp::from_second(time)
            .ok()
            .map(|time| time.to_string())
    }
}

/// The text of a file, cut where it is too long; `None` if it cannot be read.
pub fn text(path: &Path) -> Option<String> {
    // Files below /proc have no length to go by.
    let mut bytes = Vec::with_capacity(8192);
    fs::File::open(path)
        .ok()?
        .take(LONGEST_FILE)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path below a root, in which absolute links lead back to the root and not out of it.
fn resolve(root: &Path, path: &Path) -> PathBuf {
    let mut pending: Vec<std::ffi::OsString> = path
        .components()
        .rev()
        .map(|part| part.as_os_str().to_owned())
        .collect();
    let mut inside = PathBuf::new();
    // As many links as the kernel follows.
    let mut links = 40;
    while let Some(part) = pending.pop() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(_)) => {}
            Some(Component::ParentDir) => {
                inside.pop();
                continue;
            }
            Some(Component::RootDir) => {
                inside = PathBuf::new();
                continue;
            }
            _ => continue,
        }
        match std::fs::read_link(root.join(&inside).join(&part)) {
            Ok(target) if links > 0 => {
                links -= 1;
                pending.extend(
                    target
                        .components()
                        .rev()
                        .map(|part| part.as_os_str().to_owned()),
                );
            }
            _ => inside.push(part),
        }
    }
    root.join(inside)
}

/// What tells two paths to one socket from two sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Device and inode of what is there.
    Inode(u64, u64),
    /// Nothing is there: the path, `/var/run` being `/run`.
    Path(PathBuf),
}

/// The identity of what is at a path.
pub fn identity(path: &Path) -> Identity {
    if let Ok(found) = fs::metadata(path) {
        return Identity::Inode(found.dev(), found.ino());
    }
    Identity::Path(below_run(path).into_owned())
}

/// The listening sockets in the text of /proc/net/unix whose path ends in `name` and is `wanted`.
fn listening_at(
    table: &str,
    name: Option<&OsStr>,
    wanted: impl Fn(&Path) -> bool,
) -> Vec<Listener> {
    let Some(name) = name.and_then(OsStr::to_str) else {
        return Vec::new();
    };
    // Num RefCount Protocol Flags Type St Inode Path
    table
        .lines()
        .filter(|line| line.ends_with(name))
        .filter_map(|line| {
            let (fields, path) = line.split_at_checked(line.find(" /")? + 1)?;
            let mut fields = fields.split_ascii_whitespace();
            let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
            let inode = fields.nth(2)?.parse().ok()?;
            let path = PathBuf::from(path);
            // One more field is the beginning of an abstract name.
            let stands_in_a_directory = fields.next().is_none();
            (stands_in_a_directory && flags & LISTENING != 0 && wanted(&path))
                .then_some(Listener { inode, path })
        })
        .collect()
}

/// The text of /proc/PID/stat. The command name is in parentheses and may hold any byte.
fn parse_stat(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let (_, comm) = before.split_once('(')?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // State is field 3, the start time field 22.
    let started = fields.nth(18)?.parse().ok()?;
    Some(Stat {
        comm: comm.to_owned(),
        state,
        started,
    })
}

/// The systemd unit in the text of /proc/PID/cgroup: the innermost service, else the innermost scope.
pub fn unit_of(text: &str) -> Option<String> {
    let path = |prefix: &str| {
        text.lines()
            .find_map(|line| line.split_once(prefix).map(|(_, path)| path))
    };
    // systemd's own hierarchy where there are several (version 1 and hybrid), else the only one.
    [path(":name=systemd:"), path("0::")]
        .into_iter()
        .flatten()
        .find_map(|path| {
            let last = |kind: &str| path.rsplit('/').find(|part| part.ends_with(kind));
            last(".service")
                .or_else(|| last(".scope"))
                .map(str::to_owned)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_listening_sockets_with_a_path() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            00000000770abac7: 00000003 00000000 00000000 0001 03  1601\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 23847 /run/containerd/containerd.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 23848 /run/containerd/containerd.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 11 @/abstract /run/not.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 99 /run/with space.sock\n\
            cut off";
        let inodes = |path: &str| -> Vec<u64> {
            let path = Path::new(path);
            let found = listening_at(table, path.file_name(), |listed| listed == path);
            found.iter().map(|listener| listener.inode).collect()
        };
        assert_eq!(inodes("/run/containerd/containerd.sock"), [23847]);
        assert_eq!(inodes("/run/with space.sock"), [99]);
        assert_eq!(inodes("/run/not.sock"), [0_u64; 0]);
        assert_eq!(inodes("cut off"), [0_u64; 0]);
    }

    #[test]
    fn reads_a_stat_whatever_the_command_is_called() {
        let text = "812 (a) b (c) T 1 812 812 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 12345 77 88 99";
        assert_eq!(
            parse_stat(text),
            Some(Stat {
                comm: "a) b (c".to_owned(),
                state: 'T',
                started: 12345
            })
        );
        assert_eq!(parse_stat("812 (cut"), None);
        assert_eq!(parse_stat("812 (cut) S 1 2"), None);
    }

    #[test]
    fn links_are_followed_below_the_root() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("run")).unwrap();
        fs::create_dir_all(root.join("var")).unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        symlink("../../etc/./b", root.join("run/up")).unwrap();
        symlink("loop", root.join("run/loop")).unwrap();
        let host = Host::new(root);
        let case = |path: &str, expected: &str| {
            assert_eq!(host.reach(Path::new(path)), root.join(expected), "{path}");
        };
        case("/var/run/a.sock", "run/a.sock");
        case("/run/up/c", "etc/b/c");
        case("/run/loop/x", "run/loop/x");
        case("/../../a", "a");
        assert_eq!(
            host.inside(&root.join("run/a.sock")),
            Path::new("/run/a.sock")
        );
        assert_eq!(
            Host::new("/").reach(Path::new("/var/run/x")),
            Path::new("/var/run/x")
        );
    }

    #[track_caller]
    fn unit(cgroups: &str, expected: Option<&str>) {
        assert_eq!(unit_of(cgroups).as_deref(), expected, "{cgroups}");
    }

    #[test]
    fn finds_the_unit_of_a_process() {
        unit(
            "0::/system.slice/containerd.service\n",
            Some("containerd.service"),
        );
        unit(
            "12:pids:/\n1:name=systemd:/system.slice/docker.service\n0::/\n",
            Some("docker.service"),
        );
        unit(
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/podman.service",
            Some("podman.service"),
        );
        unit("0::/system.slice/k3s.service/init", Some("k3s.service"));
        unit("0::/init.scope\n", Some("init.scope"));
        unit("0::/\n", None);
        unit("", None);
    }
}
