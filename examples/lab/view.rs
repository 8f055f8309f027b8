//! The node's view of the file system, made inside its own mount namespace.
//!
//! Everything has the place that it has in the field: `/usr/bin/containerd`, `/etc/containerd`, `/run/containerd`,
//! `/var/lib/containerd`. The machine's own files lie beneath and are not written to: `/usr` gets the packages laid
//! over it, `/etc`, `/opt` and `/var/lib` a layer in memory. What a reader outside wants to see or change (`Place::
//! host_root`) is a directory of the lab, bound to its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Doing, Result, run};
use crate::place::Place;
use crate::resolver;

/// The directories of [`Place::host_root`] that are bound to the same place in the view.
pub const BOUND: [&str; 7] = [
    "run",
    "etc/containerd",
    "etc/cni",
    "etc/kubernetes",
    "var/lib/kubelet",
    "var/log/pods",
    "var/log/containers",
];

/// Makes the directories that the view binds. Belongs to the keeper, before the node starts.
///
/// # Errors
/// The file system refuses.
pub fn prepare(place: &Place) -> Result<()> {
    let make = |dir: PathBuf| fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()));
    make(place.dir.join("view"))?;
    make(place.dir.join("log"))?;
    make(place.dir.join("registry"))?;
    for part in BOUND {
        make(place.host_root().join(part))?;
    }
    Ok(())
}

/// Mounts the view. Belongs to process 1 of the node.
///
/// # Errors
/// A mount is refused, or a file cannot be written.
pub fn build(place: &Place, packages: &[PathBuf]) -> Result<()> {
    let view = place.dir.join("view");
    // Bounded, so that a pull without end fills the node and not the machine.
    mount(
        &["-t", "tmpfs", "-o", "mode=755,size=1g"],
        "lab".as_ref(),
        &view,
    )?;

    // Bound to plain names first: an overlay's options do not take every path.
    let mut layers = Vec::new();
    for (number, package) in packages.iter().enumerate() {
        let layer = made(view.join(format!("packages/{number}")))?;
        mount(&["--bind"], package, &layer)?;
        layers.push(layer.join("usr").display().to_string());
    }
    layers.push("/usr".to_owned());
    let lower = format!("lowerdir={}", layers.join(":"));
    mount(
        &["-t", "overlay", "-o", &lower],
        "lab".as_ref(),
        "/usr".as_ref(),
    )?;

    for part in ["etc", "opt", "var/lib", "var/log"] {
        let upper = made(view.join("layers").join(part).join("upper"))?;
        let work = made(view.join("layers").join(part).join("work"))?;
        let place = Path::new("/").join(part);
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            place.display(),
            upper.display(),
            work.display()
        );
        mount(&["-t", "overlay", "-o", &options], "lab".as_ref(), &place)?;
    }
    for part in BOUND {
        let inside = made(Path::new("/").join(part))?;
        mount(&["--bind"], &place.host_root().join(part), &inside)?;
    }
    // In memory, because the overlay snapshotter cannot stand on an overlay, and because it has to be gone at once.
    let data = made(view.join("containerd"))?;
    mount(
        &["--bind"],
        &data,
        &made(PathBuf::from("/var/lib/containerd"))?,
    )?;

    // Names resolve nowhere, and at once: no nameserver of the machine is asked.
    for (path, text) in [
        (
            "/etc/hosts",
            format!("127.0.0.1 localhost\n127.0.1.1 {}\n", place.name()),
        ),
        (
            "/etc/resolv.conf",
            format!("nameserver {}\n", resolver::address(place.number)),
        ),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n".to_owned(),
        ),
    ] {
        // It may be a link into /run, which is another one now.
        fs::remove_file(path).unwrap_or_default();
        fs::write(path, text).doing(|| format!("write the node's {path}"))?;
    }
    // A crictl.yaml of the machine would speak of the machine.
    fs::remove_file("/etc/crictl.yaml").unwrap_or_default();

    // The network plugin switches forwarding on where it reads 0, for the whole machine. Here it reads 1.
    let forwarding = view.join("forwarding");
    fs::write(&forwarding, "1\n").doing(|| "write into the view".to_owned())?;
    mount(
        &["--bind"],
        &forwarding,
        "/proc/sys/net/ipv4/ip_forward".as_ref(),
    )
}

fn made(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()))?;
    Ok(dir)
}

fn mount(options: &[&str], what: &Path, place: &Path) -> Result<()> {
    run(Command::new("mount").args(options).arg(what).arg(place)).map(drop)
}
