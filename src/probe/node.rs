//! Gathers the facts about a node: what it answers, what its files say, what the kernel tells.
//!
//! Nothing is judged and nothing is changed here. Cheap things go before expensive ones; at most four RPCs are in
//! flight; after the first that hangs no more are made. Whatever may block in the kernel runs on a thread of its own
//! with a deadline: what is not there in time is unknown, with the reason.

mod build_info;
mod certificates;
mod cgroup;
mod containerd;
mod cri;
mod docker;
mod files;
mod host;
mod journal;
mod kernel;
mod kubelet;
mod network;
mod packages;
mod processes;
mod storage;
pub mod subject;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::discovery::{self, Inputs};
use super::socket::{self, Effort};
use crate::endpoint::discover::Given;
use crate::facts::{Fact, Facts, Role, Source};

/// How much is asked of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// What a monitor needs every few seconds: at most eight RPCs.
    Quick,
    /// Everything that is cheap.
    Normal,
    /// Every container too.
    Deep,
}

/// Which node, and how.
#[derive(Debug, Clone)]
pub struct Look {
    /// The root of the host: `/`, or where it is mounted.
    pub root: PathBuf,
    /// A tree of files that is about to be shipped, laid over the root.
    pub staged: Option<PathBuf>,
    /// The endpoint that the user set, if any.
    pub set: Option<Given>,
    /// Whether a socket-activated service may be woken.
    pub wake: bool,
    /// The runtime that the user says this node has, as in `containerd@1.7.28`.
    pub assumed: Option<String>,
    /// The deadline of every single call.
    pub deadline: Duration,
    /// The time for everything; what is not there by then is unknown.
    pub limit: Duration,
    /// How much is asked.
    pub depth: Depth,
}

impl Look {
    /// A normal look at this host.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            staged: None,
            set: None,
            wake: false,
            assumed: None,
            deadline: Duration::from_secs(2),
            limit: Duration::from_secs(20),
            depth: Depth::Normal,
        }
    }
}

/// Looks at a node. It ends within the limit, and never fails: what cannot be seen is unknown.
pub async fn look(look: &Look) -> Facts {
    let began = Instant::now();
    let until = began + look.limit;
    let mut facts = Facts {
        taken_at: now(),
        assumed: look.assumed.clone(),
        ..Facts::default()
    };
    facts.host.root.clone_from(&look.root);
    facts.host.live = is_live(&look.root);
    facts.host.euid = rustix::process::geteuid().as_raw();

    let live = facts.host.live;
    let root = || look.root.clone();
    let (processes, kernel, discovery) = tokio::join!(
        aside(until, {
            let root = root();
            move || processes::look(&root, live)
        }),
        aside(until, {
            let root = root();
            let depth = look.depth;
            move || kernel::look(&root, live, depth)
        }),
        discover(look, live),
    );
    facts.processes = processes.unwrap_or_else(Fact::unknown);
    if let Ok((cgroup, kernel)) = kernel {
        facts.cgroup = cgroup;
        facts.kernel = kernel;
    }
    cri::look(look, until, discovery, &mut facts).await;
    let seen = Seen::of(look, &facts);
    processes::keep_own(&mut facts, seen.apart);

    let docker = aside(until, {
        let (root, files, depth) = (root(), seen.root.clone(), look.depth);
        move || docker::look(&root, &files, live, depth)
    });
    match docker.await {
        Ok(docker) => facts.docker = docker,
        Err(reason) => tracing::debug!(reason, "Docker was not looked at"),
    }
    let places = files::Places::of(look, &seen, &facts);
    let paths = storage::paths(&facts);
    let (host, files, network, storage) = tokio::join!(
        aside(until, {
            let root = seen.root.clone();
            move || host::look(&root, live)
        }),
        aside(until, move || files::look(&places)),
        aside(until, {
            let (root, files) = (root(), seen.root.clone());
            move || network::look(&root, &files, live)
        }),
        aside(until, {
            let (seen, paths) = (seen.clone(), paths.clone());
            move || storage::look(&seen.root, seen.mountinfo.as_deref(), &paths)
        }),
    );
    if let Ok(found) = host {
        facts.host = crate::facts::Host {
            root: facts.host.root,
            live,
            euid: facts.host.euid,
            ..found
        };
    }
    facts.host.installed = if facts.chosen().is_some() {
        Fact::absent("the runtime answers for itself")
    } else {
        let root = seen.root.clone();
        match aside(until, move || build_info::installed(&root)).await {
            Ok(Some((path, version))) => Fact::known(version, Source::file(path)),
            Ok(None) => Fact::absent("no program of containerd tells its version"),
            Err(reason) => Fact::unknown(reason),
        }
    };
    match files {
        Ok(files) => facts.files = files,
        Err(reason) => tracing::debug!(reason, "files were not read"),
    }
    match network {
        Ok(network) => facts.network = network,
        Err(reason) => tracing::debug!(reason, "networks were not looked at"),
    }
    facts.storage.paths = match storage {
        Ok(found) => found,
        Err(reason) => paths
            .into_iter()
            .map(|path| (path, Fact::unknown(reason.clone())))
            .collect(),
    };
    let certificates = aside(until, {
        let (root, files) = (seen.root.clone(), facts.files.clone());
        move || certificates::look(&root, &files)
    });
    facts.certificates = certificates.await.unwrap_or_default();
    let down = facts.chosen().is_none()
        || facts.files.exists("/etc/kubernetes/kubelet.conf") == Some(true)
            && facts.processes(Role::Kubelet).next().is_none();
    let young = look.depth > Depth::Quick && is_young(&facts);
    facts.journal = if live && (down || young) {
        let words = aside(until, {
            let files = seen.root.clone();
            move || journal::look(&files, journal::UNITS)
        });
        words.await.unwrap_or_else(Fact::unknown)
    } else {
        Fact::absent("not looked at while runtime and kubelet run for long")
    };
    let left = until.saturating_duration_since(Instant::now());
    facts.kubelet = kubelet::look(&facts, look.deadline.min(left)).await;
    facts.duration_ms = milliseconds(began.elapsed());
    facts
}

/// Where the node's files are, as this process reaches them.
#[derive(Debug, Clone)]
struct Seen {
    /// The root: the host's, or that of the daemon if it lives in a mount namespace of its own.
    root: PathBuf,
    /// The mounts that are seen there; none of a host that does not run.
    mountinfo: Option<PathBuf>,
    /// Whether the daemon lives in a mount namespace of its own.
    apart: bool,
}

impl Seen {
    /// With no other root named, the files are those that the daemon sees: a container engine in a container is a node
    /// of its own.
    fn of(look: &Look, facts: &Facts) -> Self {
        let own = rustix::fs::readlink("/proc/self/ns/mnt", Vec::new());
        let own = own.ok().map(|link| link.to_string_lossy().into_owned());
        let daemon = facts.daemon().filter(|_| look.root == Path::new("/"));
        let apart = daemon
            .filter(|daemon| daemon.mount_namespace.is_some() && daemon.mount_namespace != own);
        match apart {
            Some(daemon) => Self {
                root: format!("/proc/{}/root", daemon.pid).into(),
                mountinfo: Some(format!("/proc/{}/mountinfo", daemon.pid).into()),
                apart: true,
            },
            None => Self {
                root: look.root.clone(),
                mountinfo: facts.host.live.then(|| "/proc/self/mountinfo".into()),
                apart: false,
            },
        }
    }
}

/// The endpoints of a host that runs.
async fn discover(look: &Look, live: bool) -> Option<discovery::Discovery> {
    if !live && look.set.is_none() {
        return None;
    }
    let inputs = Inputs {
        set: look.set.clone(),
        root: look.root.clone(),
    };
    let options = socket::Options {
        deadline: look.deadline,
        wake: look.wake,
        effort: Effort::Full,
    };
    Some(discovery::discover(&inputs, &options).await)
}

/// Whether a root belongs to a system that runs: `/`, or where its /proc is mounted too.
fn is_live(root: &Path) -> bool {
    root == Path::new("/") || root.join("proc/1/stat").exists()
}

/// Whether the runtime's daemon was started so shortly before that it may start over and over.
fn is_young(facts: &Facts) -> bool {
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let started = facts
        .daemon()
        .and_then(|daemon| daemon.started_at.as_deref());
    let (Some(started), Some(now)) = (started.and_then(time), time(&facts.taken_at)) else {
        return false;
    };
    now.as_second() - started.as_second() < 600
}

/// Runs something that may block in the kernel on a thread of its own.
///
/// # Errors
/// It did not come back in time; the thread is left behind.
async fn aside<T: Send + 'static>(
    until: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    match tokio::time::timeout_at(until, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(format!("criscope broke off: {error}")),
        Err(_) => Err("it did not come back in time: something blocks in the kernel".to_owned()),
    }
}

/// Now, RFC 3339, UTC, to the millisecond.
fn now() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Milliseconds, to the hundredth.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

/// The text of a file of /proc or /sys, or why it cannot be had.
fn kernel_text(path: &Path) -> Result<String, String> {
    super::socket::host::text(path).ok_or_else(|| match std::fs::metadata(path) {
        Ok(_) => format!("`{}` cannot be read", path.display()),
        Err(error) => format!("`{}`: {error}", path.display()),
    })
}
