//! What the kernel tells in /proc and /sys: modules, sysctls, swap, pressure, trouble in its log.
//!
//! Read only: no module is loaded, no control group made, no program attached. What is read belongs to the namespaces
//! of this process, so a container sees the host's only where the host's /proc and /sys are below the root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::{Depth, cgroup, kernel_text};
use crate::facts::kernel::{Availability, Interface, LogLine, POD_OPTIONS, Stuck};
use crate::facts::{Cgroup, Fact, Kernel, Source};
use crate::probe::socket::host::{Host, text};

/// Modules without which pods do not run, or have no network.
const MODULES: &[&str] = &[
    "overlay",
    "br_netfilter",
    "nf_conntrack",
    "kvm_intel",
    "kvm_amd",
];

/// Sysctls that are judged or shown.
const SYSCTLS: &[&str] = &[
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.forwarding",
    "net.ipv6.conf.all.forwarding",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "fs.file-max",
    "fs.file-nr",
    "kernel.pid_max",
    "kernel.threads-max",
    "kernel.keys.root_maxkeys",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "user.max_user_namespaces",
    "vm.overcommit_memory",
];

/// Looks at the kernel of a host that runs; of others only the files of one kernel would be there, which say nothing.
pub(super) fn look(root: &Path, live: bool, depth: Depth) -> (Cgroup, Kernel) {
    if !live {
        return dead();
    }
    let proc = |path: &str| kernel_text(&root.join(path.trim_start_matches('/')));
    let known = |path: &str| proc(path).map(|text| (text, Source::proc(path)));
    let release = match known("/proc/sys/kernel/osrelease") {
        Ok((text, source)) => Fact::known(text.trim().to_owned(), source),
        Err(reason) => Fact::unknown(reason),
    };
    let modules = if root.join("proc/self").exists() && !root.join("proc/modules").exists() {
        Fact::absent("this kernel has everything built in and loads no modules")
    } else {
        fact(known("/proc/modules"), |text| words_first(&text))
    };
    let filesystems = fact(known("/proc/filesystems"), |text| {
        text.lines()
            .filter_map(|line| line.split_whitespace().last().map(str::to_owned))
            .collect()
    });
    let available = available(root, &release, &modules, &filesystems);
    let swaps = fact(known("/proc/swaps"), |text| {
        text.lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .collect()
    });
    let quick = depth == Depth::Quick;
    let later = || "not looked at by a quick run".to_owned();
    let kernel = Kernel {
        config: if quick {
            Fact::unknown(later())
        } else {
            config(root, &release)
        },
        log: if quick {
            Fact::unknown(later())
        } else {
            log(root, proc("/proc/uptime").ok())
        },
        stuck: if quick {
            Fact::unknown(later())
        } else {
            stuck(root)
        },
        release,
        modules,
        available,
        sysctls: sysctls(root),
        filesystems,
        swaps,
        pressure: pressure(root),
        threads: fact(known("/proc/loadavg"), |text| threads(&text)),
        lsm: lsm(root),
        iptables_legacy: fact(known("/proc/net/ip_tables_names"), |text| {
            text.lines().map(str::to_owned).collect()
        }),
        interfaces: interfaces(root),
    };
    (cgroup::look(root), kernel)
}

fn dead() -> (Cgroup, Kernel) {
    fn gone<T>() -> Fact<T> {
        Fact::absent("no system runs here")
    }
    let cgroup = Cgroup {
        version: gone(),
        controllers: gone(),
        kubepods: gone(),
        freezer: gone(),
    };
    let kernel = Kernel {
        release: gone(),
        modules: gone(),
        available: gone(),
        sysctls: gone(),
        filesystems: gone(),
        threads: gone(),
        swaps: gone(),
        log: gone(),
        pressure: gone(),
        stuck: gone(),
        lsm: gone(),
        iptables_legacy: gone(),
        interfaces: gone(),
        config: gone(),
    };
    (cgroup, kernel)
}

fn fact<T>(read: Result<(String, Source), String>, make: impl FnOnce(String) -> T) -> Fact<T> {
    match read {
        Ok((text, source)) => Fact::known(make(text), source),
        Err(reason) => Fact::unknown(reason),
    }
}

/// How many threads there are, by the fourth word of /proc/loadavg: `running/all`.
fn threads(text: &str) -> u64 {
    let word = text.split_whitespace().nth(3).unwrap_or_default();
    word.split_once('/')
        .and_then(|(_, all)| all.parse().ok())
        .unwrap_or(0)
}

/// The first word of every line.
fn words_first(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// How the modules that matter could be had.
fn available(
    root: &Path,
    release: &Fact<String>,
    loaded: &Fact<BTreeSet<String>>,
    filesystems: &Fact<BTreeSet<String>>,
) -> Fact<BTreeMap<String, Availability>> {
    let Some(release) = release.value() else {
        return Fact::unknown("the kernel's release is not known");
    };
    let directory = ["lib/modules", "usr/lib/modules"]
        .iter()
        .map(|base| root.join(base).join(release))
        .find(|directory| directory.is_dir());
    let lists = directory.as_ref().map(|directory| {
        let list = |name: &str| text(&directory.join(name)).unwrap_or_default();
        (list("modules.builtin"), list("modules.dep"))
    });
    let in_list = |list: &str, module: &str| {
        list.lines().any(|line| {
            let file = line
                .split(':')
                .next()
                .unwrap_or(line)
                .rsplit('/')
                .next()
                .unwrap_or(line);
            let name = file.split(".ko").next().unwrap_or(file);
            name.replace('-', "_") == module
        })
    };
    let mut found = BTreeMap::new();
    for &module in MODULES {
        let here = loaded.value().is_some_and(|loaded| loaded.contains(module))
            || filesystems
                .value()
                .is_some_and(|known| known.contains(module))
            || root.join("sys/module").join(module).is_dir();
        let how = match &lists {
            Some((builtin, _)) if in_list(builtin, module) => Availability::BuiltIn,
            Some((_, loadable)) if in_list(loadable, module) => Availability::Loadable,
            // It is there and not a module: built in, as in kernels without modules.
            _ if here => Availability::BuiltIn,
            Some(_) => Availability::Missing,
            None => continue,
        };
        found.insert(module.to_owned(), how);
    }
    Fact::known(found, Source::proc(format!("/lib/modules/{release}")))
}

fn sysctls(root: &Path) -> Fact<BTreeMap<String, String>> {
    let base = root.join("proc/sys");
    if !base.is_dir() {
        return Fact::unknown("/proc/sys is not there");
    }
    // What concerns networks belongs to the namespace of the reader, whatever /proc it reads.
    let space = |path: &str| fs::read_link(root.join(path)).ok();
    let own = fs::read_link("/proc/self/ns/net").ok();
    let same = root == Path::new("/") || own.is_some() && space("proc/1/ns/net") == own;
    let visible = SYSCTLS
        .iter()
        .filter(|name| same || !name.starts_with("net."));
    let found = visible.filter_map(|name| {
        // Dots separate; none of the names has a dot within a part.
        let value = text(&base.join(name.replace('.', "/")))?;
        Some((
            (*name).to_owned(),
            value.split_whitespace().collect::<Vec<_>>().join(" "),
        ))
    });
    Fact::known(found.collect(), Source::proc("/proc/sys"))
}

fn pressure(root: &Path) -> Fact<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    for kind in ["cpu", "memory", "io"] {
        let Some(text) = text(&root.join("proc/pressure").join(kind)) else {
            continue;
        };
        let some = text.lines().find_map(|line| line.strip_prefix("some "));
        let average = some.and_then(|line| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix("avg60=")?.parse().ok())
        });
        found.extend(average.map(|average| (kind.to_owned(), average)));
    }
    if found.is_empty() {
        return Fact::absent("this kernel has no pressure stall information");
    }
    Fact::known(found, Source::proc("/proc/pressure"))
}

fn lsm(root: &Path) -> Fact<BTreeMap<String, String>> {
    let sys = |path: &str| text(&root.join("sys").join(path)).map(|text| text.trim().to_owned());
    let mut found = BTreeMap::new();
    if let Some(enabled) = sys("module/apparmor/parameters/enabled") {
        found.insert(
            "apparmor".to_owned(),
            if enabled == "Y" {
                "enabled"
            } else {
                "disabled"
            }
            .to_owned(),
        );
    }
    if let Some(enforce) = sys("fs/selinux/enforce") {
        found.insert(
            "selinux".to_owned(),
            if enforce == "1" {
                "enforcing"
            } else {
                "permissive"
            }
            .to_owned(),
        );
    }
    Fact::known(found, Source::proc("/sys/kernel/security"))
}

fn interfaces(root: &Path) -> Fact<BTreeMap<String, Interface>> {
    let base = root.join("sys/class/net");
    let entries = match fs::read_dir(&base) {
        Ok(entries) => entries,
        Err(error) => return Fact::unknown(format!("/sys/class/net: {error}")),
    };
    let found = entries.filter_map(Result::ok).take(4096).map(|entry| {
        let file = |name: &str| text(&entry.path().join(name)).map(|text| text.trim().to_owned());
        let interface = Interface {
            mtu: file("mtu").and_then(|mtu| mtu.parse().ok()),
            up: file("operstate").is_some_and(|state| state == "up" || state == "unknown"),
        };
        (entry.file_name().to_string_lossy().into_owned(), interface)
    });
    Fact::known(found.collect(), Source::proc("/sys/class/net"))
}

/// Processes that are in uninterruptible sleep and stay there: two looks, between which they were not woken once.
fn stuck(root: &Path) -> Fact<Vec<Stuck>> {
    const BETWEEN: Duration = Duration::from_millis(300);
    let host = Host::new(root);
    let asleep = |pid: u32| host.stat(pid).filter(|stat| stat.state == 'D');
    let switches = |pid: u32| {
        let status = text(&host.of(pid, "status"))?;
        status.lines().find_map(|line| {
            line.strip_prefix("voluntary_ctxt_switches:")
                .map(|rest| rest.trim().to_owned())
        })
    };
    // Threads of the kernel have no memory of their own, and some sleep like this for ever.
    let own_memory =
        |pid: u32| text(&host.of(pid, "status")).is_some_and(|status| status.contains("\nVmSize:"));
    let first: Vec<(u32, Option<String>)> = host
        .pids()
        .filter(|pid| asleep(*pid).is_some() && own_memory(*pid))
        .map(|pid| (pid, switches(pid)))
        .take(256)
        .collect();
    let mut found = Vec::new();
    if !first.is_empty() {
        std::thread::sleep(BETWEEN);
        for (pid, before) in first {
            let Some(stat) = asleep(pid) else { continue };
            if switches(pid) != before {
                continue;
            }
            let at = text(&host.of(pid, "wchan")).map(|text| text.trim().to_owned());
            found.push(Stuck {
                pid,
                comm: stat.comm,
                at: at.filter(|at| !at.is_empty() && at != "0"),
            });
        }
    }
    Fact::known(found, Source::proc("/proc"))
}

/// Lines of the kernel's log that speak of trouble with disks, memory of daemons, or tasks that hang.
fn log(root: &Path, uptime: Option<String>) -> Fact<Vec<LogLine>> {
    /// No more records than fit into a large ring.
    const MOST: usize = 100_000;
    const KEPT: usize = 50;
    let path = root.join("dev/kmsg");
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(nonblocking).unwrap_or(0))
        .open(&path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) => return Fact::unknown(format!("/dev/kmsg: {error}")),
    };
    let now = uptime.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    let Some(now) = now else {
        return Fact::unknown("/proc/uptime cannot be read");
    };
    let mut found: Vec<LogLine> = Vec::new();
    let mut record = vec![0; 8192];
    for _ in 0..MOST {
        let length = match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => length,
            // A record was overwritten while reading: the next read goes on behind it.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => continue,
            // All has been read.
            Err(_) => break,
        };
        let text = String::from_utf8_lossy(&record[..length]);
        if let Some(line) = trouble(&text, now) {
            found.push(line);
        }
    }
    let surplus = found.len().saturating_sub(KEPT);
    found.drain(..surplus);
    Fact::known(found, Source::proc("/dev/kmsg"))
}

/// Words of kernel messages that speak of trouble.
const TROUBLE: &[&str] = &[
    "blocked for more than",
    "EXT4-fs error",
    "XFS (",
    "I/O error",
    "Remounting filesystem read-only",
    "Out of memory: Killed process",
    "oom-kill:",
    "Hardware Error",
    "soft lockup",
];

/// A record of /dev/kmsg, `priority,sequence,microseconds,flags;message`, if it speaks of trouble.
fn trouble(record: &str, now: f64) -> Option<LogLine> {
    let (head, rest) = record.split_once(';')?;
    let message = rest.lines().next()?;
    if !TROUBLE.iter().any(|words| message.contains(words)) {
        return None;
    }
    // XFS says good things too.
    if message.contains("XFS (")
        && !["shutdown", "Shutting down", "orruption", "rror"]
            .iter()
            .any(|bad| message.contains(bad))
    {
        return None;
    }
    let microseconds: f64 = head.split(',').nth(2)?.parse().ok()?;
    let age = (now - microseconds / 1e6).max(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and far from the limits"
    )]
    let age_seconds = age as u64;
    Some(LogLine {
        age_seconds,
        text: message.chars().take(400).collect(),
    })
}

/// The kernel's configuration, where it lies as a text file.
fn config(root: &Path, release: &Fact<String>) -> Fact<BTreeMap<String, String>> {
    let Some(release) = release.value() else {
        return Fact::unknown("the kernel's release is not known");
    };
    if let Some(text) = unpacked(root) {
        return Fact::known(options(&text), Source::proc("/proc/config.gz"));
    }
    let places = [
        format!("/boot/config-{release}"),
        format!("/usr/lib/modules/{release}/config"),
        format!("/lib/modules/{release}/config"),
        format!("/usr/lib/ostree-boot/config-{release}"),
        format!("/usr/src/linux-{release}/.config"),
    ];
    for place in &places {
        let Some(text) = text(&root.join(place.trim_start_matches('/'))) else {
            continue;
        };
        return Fact::known(options(&text), Source::file(place));
    }
    Fact::unknown("the kernel's configuration is neither in /proc nor on disk")
}

/// The options that are asked about in a text of `NAME=value` lines.
fn options(text: &str) -> BTreeMap<String, String> {
    let value = |option: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(option)?.strip_prefix('='))
    };
    POD_OPTIONS
        .iter()
        .map(|option| {
            (
                (*option).to_owned(),
                value(option).unwrap_or_default().to_owned(),
            )
        })
        .collect()
}

/// The configuration that the running kernel has in itself.
fn unpacked(root: &Path) -> Option<String> {
    /// A configuration has about 300 KB.
    const MOST: u64 = 4 << 20;
    let file = fs::File::open(root.join("proc/config.gz")).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .take(MOST)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_in_the_log() {
        let line =
            |message: &str| trouble(&format!("3,1234,5000000,-;{message}\n SUBSYSTEM=x\n"), 65.9);
        assert_eq!(
            line("EXT4-fs error (device sda1): ext4_lookup"),
            Some(LogLine {
                age_seconds: 60,
                text: "EXT4-fs error (device sda1): ext4_lookup".to_owned()
            })
        );
        assert_eq!(line("XFS (sda1): Mounting V5 Filesystem"), None);
        assert!(line("XFS (sda1): Corruption detected. Unmount and run xfs_repair").is_some());
        assert_eq!(line("usb 1-1: new device"), None);
        assert_eq!(trouble("garbage", 1.0), None);
    }

    #[test]
    fn of_this_kernel_something_is_known() {
        let (cgroup, kernel) = look(Path::new("/"), true, Depth::Quick);
        assert!(kernel.release.value().is_some());
        assert!(
            kernel
                .sysctls
                .value()
                .is_some_and(|sysctls| sysctls.contains_key("kernel.pid_max"))
        );
        assert!(!matches!(cgroup.version, Fact::Absent { .. }));
    }

    #[test]
    fn a_disk_has_no_kernel() {
        let (_, kernel) = look(Path::new("/nowhere"), false, Depth::Normal);
        assert!(matches!(kernel.modules, Fact::Absent { .. }));
    }
}
