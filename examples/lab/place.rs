//! Where labs live: one numbered directory each, below a directory that all labs of the machine share.
//!
//! The number names everything that has to be unique on the machine (directory, cgroup, subnet). Whoever holds the
//! lock on a lab's directory owns it; a directory that nobody holds belonged to a lab that was killed, and the next
//! one clears it away.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Doing, Error, Result};
use crate::network;
use crate::processes;

/// The directory of all labs. Short, because socket paths are limited to 107 bytes; fixed, because cgroups and
/// subnets are numbered for the machine as a whole.
const BASE: &str = "/tmp/criscope-lab";

/// The highest number of a lab: numbers stand in addresses.
const HIGHEST: u8 = 250;

const CGROUPS: &str = "/sys/fs/cgroup";

/// How long the kernel may take to let go of what a killed node held.
const LET_GO: Duration = Duration::from_secs(20);

/// The place of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// 1 to [`HIGHEST`].
    pub number: u8,
    /// The directory.
    pub dir: PathBuf,
}

impl Place {
    fn numbered(number: u8) -> Self {
        let dir = Path::new(BASE).join(format!("lab-{number}"));
        Self { number, dir }
    }

    /// The place with this directory.
    ///
    /// # Errors
    /// [`Error::NoLab`].
    pub fn at(dir: &Path) -> Result<Self> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let place = Self::named(&name)?;
        if place.dir == dir {
            Ok(place)
        } else {
            Err(Error::NoLab(dir.display().to_string()))
        }
    }

    /// The place of the lab that is called `lab-3`, or `3`.
    ///
    /// # Errors
    /// [`Error::NoLab`].
    pub fn named(name: &str) -> Result<Self> {
        let number = name.strip_prefix("lab-").unwrap_or(name);
        match number.parse() {
            Ok(number) if Self::numbered(number).dir.is_dir() => Ok(Self::numbered(number)),
            _ => Err(Error::NoLab(name.to_owned())),
        }
    }

    /// The places of all labs, of dead ones too.
    pub fn all() -> Vec<Self> {
        (1..=HIGHEST)
            .map(Self::numbered)
            .filter(|place| place.dir.is_dir())
            .collect()
    }

    /// `lab-3`.
    pub fn name(&self) -> String {
        format!("lab-{}", self.number)
    }

    /// The node's files as they lie on a node: `node/etc/containerd/config.toml` and so on.
    pub fn host_root(&self) -> PathBuf {
        self.dir.join("node")
    }

    /// The daemon's socket, reachable from everywhere.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("node/run/containerd/containerd.sock")
    }

    /// Where process 1 of the node takes orders.
    pub fn control(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    /// The log of a process of the node.
    pub fn log(&self, process: &str) -> PathBuf {
        self.dir.join(format!("log/{process}.log"))
    }

    /// The document that `lab up` printed.
    pub fn document(&self) -> PathBuf {
        self.dir.join("lab.json")
    }

    /// The cgroup below which all pods hang, as the runtime is told it.
    pub fn cgroup(&self) -> String {
        format!("/criscope-lab-{}", self.number)
    }

    /// Whether somebody holds this lab.
    pub fn is_held(&self) -> bool {
        match File::open(self.dir.join("lock")) {
            Ok(lock) => matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)),
            Err(_) => false,
        }
    }

    /// Remembers process 1 of the node, so that a sweep can end it should it outlive its keeper.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_node(&self, pid: u32) -> Result<()> {
        self.note("node.pid", pid)
    }

    /// Remembers that this process keeps the lab.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_keeper(&self) -> Result<()> {
        self.note("keeper.pid", std::process::id())
    }

    /// Process 1 of the node as the machine numbers it, if it runs.
    pub fn node_pid(&self) -> Option<u32> {
        self.noted("node.pid")
    }

    /// The keeper, if it runs.
    pub fn keeper_pid(&self) -> Option<u32> {
        self.noted("keeper.pid")
    }

    /// A number alone may name another process tomorrow; the time of its start makes it certain.
    fn note(&self, file: &str, pid: u32) -> Result<()> {
        let path = self.dir.join(file);
        let started = processes::started(pid).unwrap_or_default();
        fs::write(&path, format!("{pid} {started}\n")).doing(|| format!("write {}", path.display()))
    }

    fn noted(&self, file: &str) -> Option<u32> {
        let noted = fs::read_to_string(self.dir.join(file)).ok()?;
        let (pid, started) = noted.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (processes::started(pid)?.to_string() == started).then_some(pid)
    }

    /// Clears away everything that is left of a lab whose processes are to be gone: the rest of its processes, its
    /// cgroups, its directory. The kernel itself drops its mounts and its interfaces.
    ///
    /// # Errors
    /// Something does not go away in time.
    pub fn clear(&self) -> Result<()> {
        let deadline = Instant::now() + LET_GO;
        while let Some(pid) = self.node_pid() {
            processes::kill(pid);
            pause(deadline, || format!("end process {pid} of {}", self.name()))?;
        }
        for hierarchy in hierarchies() {
            let cgroup = hierarchy.join(self.cgroup().trim_start_matches('/'));
            while cgroup.exists() {
                remove_cgroup(&cgroup);
                pause(deadline, || format!("remove cgroup {}", cgroup.display()))?;
            }
        }
        while network::routes_into(network::subnet(self.number)) {
            pause(deadline, || {
                format!("see the interfaces of {} go", self.name())
            })?;
        }
        // Nothing is ever mounted here outside the node's own namespace; should that be wrong, then rather leave the
        // directory than reach through a mount.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let below = format!("{}/", self.dir.display());
        if let Some(line) = mounts.lines().find(|line| line.contains(&below)) {
            return Err(Error::Usage(format!(
                "{} still holds a mount: {line}",
                self.name()
            )));
        }
        // Under the lock, so that no other lab meets half a directory.
        let _turn = turn()?;
        fs::remove_dir_all(&self.dir).doing(|| format!("remove {}", self.dir.display()))
    }
}

/// Takes a free place and holds it for as long as the returned file is open. Clears away dead labs first.
///
/// # Errors
/// No place is free, or the file system refuses.
pub fn claim() -> Result<(Place, File)> {
    sweep()?;
    let _turn = turn()?;
    // In turn, so that a name does not mean another lab right after its own has gone.
    let last = Path::new(BASE).join("last");
    let first: u8 = fs::read_to_string(&last)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .map_or(1, |number: u8| number % HIGHEST + 1);
    for number in (first..=HIGHEST).chain(1..first) {
        let place = Place::numbered(number);
        if place.dir.exists() || network::is_taken(network::subnet(number)) {
            continue;
        }
        fs::create_dir(&place.dir).doing(|| format!("make {}", place.dir.display()))?;
        let lock = place.dir.join("lock");
        let lock = File::create(&lock).doing(|| format!("make {}", lock.display()))?;
        lock.lock().doing(|| "lock a new directory".to_owned())?;
        fs::write(&last, format!("{number}\n")).doing(|| format!("write {}", last.display()))?;

        return Ok((place, lock));
    }
    Err(Error::Usage(format!("{HIGHEST} labs are up already")))
}

/// Clears away labs that nobody holds, and says which.
///
/// # Errors
/// A dead lab cannot be cleared away.
pub fn sweep() -> Result<Vec<String>> {
    let mut swept = Vec::new();
    for place in Place::all() {
        if let Some(_held) = hold_dead(&place)? {
            place.clear()?;
            swept.push(place.name());
        }
    }
    // Directories below /tmp may be cleared by others; their cgroups stay.
    let _turn = turn()?;
    for hierarchy in hierarchies() {
        for entry in fs::read_dir(&hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix("criscope-lab-"));
            if let Some(number) = number.and_then(|number| number.parse().ok())
                && !Place::numbered(number).dir.exists()
            {
                remove_cgroup(&entry.path());
            }
        }
    }
    Ok(swept)
}

/// The lock of a lab that nobody holds.
fn hold_dead(place: &Place) -> Result<Option<File>> {
    let _turn = turn()?;
    if !place.dir.exists() {
        return Ok(None);
    }
    let lock = place.dir.join("lock");
    let lock = File::create(&lock).doing(|| format!("open {}", lock.display()))?;
    Ok(lock.try_lock().is_ok().then_some(lock))
}

/// The lock under which directories come and go.
fn turn() -> Result<File> {
    let base = Path::new(BASE);
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(base);
    made.doing(|| format!("make {BASE}"))?;
    let about = fs::symlink_metadata(base).doing(|| format!("look at {BASE}"))?;
    // /tmp is everybody's: a directory that somebody else has put there is not ours.
    if !about.is_dir() || about.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::Usage(format!("{BASE} belongs to somebody else")));
    }
    let path = base.join("lock");
    let file = File::create(&path).doing(|| format!("open {}", path.display()))?;
    file.lock().doing(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// The roots of the cgroup hierarchies: one with cgroup v2, one per controller with v1.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        // cpu and cpuacct may be links to the one directory that has both.
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect()
}

/// Removes what can be removed of a cgroup and those below it, and kills what is in them.
fn remove_cgroup(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    if fs::remove_dir(cgroup).is_err() {
        let inside = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines().filter_map(|line| line.parse().ok()) {
            processes::kill(pid);
        }
    }
}

/// Waits a moment for the kernel, which has no event for this.
fn pause(deadline: Instant, doing: impl FnOnce() -> String) -> Result<()> {
    if Instant::now() > deadline {
        return Err(std::io::Error::from(std::io::ErrorKind::TimedOut)).doing(doing);
    }
    std::thread::sleep(Duration::from_millis(10));
    Ok(())
}
