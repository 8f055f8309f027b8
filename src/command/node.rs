//! The node that is examined: which runtime's rules apply and where its files are. Shared by everything that judges
//! configuration.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;

use super::session::Session;
use crate::error::Error;
use crate::probe::daemon::{self, Daemon};
use crate::probe::host_files::{self, Modified};
use crate::probe::logins;
use crate::probe::registry::{self as registries, HostFiles};
use crate::probe::socket::Effort;
use crate::registry::crio_conf::ImageSection;
use crate::registry::declared::Declared;
use crate::registry::image_ref::ImageRef;
use crate::registry::in_force::{self, FileState, Times};
use crate::registry::plan::Route;
use crate::registry::plan::containerd::Planner;
use crate::registry::rules::Default as RuntimeDefault;
use crate::registry::version::{RuntimeId, RuntimeName};

/// Flags that say which node is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub struct NodeArgs {
    /// Read the node's files below this directory [default: where the running daemon sees them]
    #[arg(long, value_name = "DIR")]
    pub host_root: Option<PathBuf>,
    /// Lay the files below this directory over those of the node
    #[arg(long, value_name = "DIR")]
    pub staged: Option<PathBuf>,
    /// Apply the rules of this runtime instead of the one that runs, as in containerd@1.7.27
    #[arg(long = "as", value_name = "NAME@VERSION")]
    pub as_runtime: Option<RuntimeId>,
}

/// A node's configuration, read.
#[derive(Debug)]
pub struct Node {
    /// Whose rules apply.
    pub runtime: RuntimeId,
    /// What the files say.
    pub declared: Declared,
    /// When they were last changed.
    pub modified: Modified,
    /// Below which directory they were read.
    pub host_root: PathBuf,
    /// The running daemon, if there is one and it could be looked at.
    pub daemon: Option<Daemon>,
    /// When it was started.
    pub started: Option<SystemTime>,
}

impl Node {
    /// When the runtime reads the files that have to do with these images, and whether they are in force.
    pub fn files(&self, images: &[ImageRef]) -> Vec<FileState> {
        let times = Times {
            modified: &self.modified,
            started: self.started,
        };
        in_force::files(&self.declared, &self.runtime, images, times)
    }

    /// The sandbox image that the files say, where the runtime pulls it by itself.
    pub fn sandbox_image(&self) -> Option<String> {
        match self.runtime.name {
            RuntimeName::Containerd => {
                let planner = Planner::new(&self.declared, &self.runtime);
                Some(planner.config().sandbox_image.value().to_owned())
            }
            RuntimeName::Crio => {
                let written = ImageSection::load(&self.declared.tree).pause_image;
                let default = self
                    .declared
                    .rules()
                    .default(RuntimeDefault::PauseImage, &self.runtime);
                written
                    .map(|image| image.value)
                    .or_else(|| default.map(str::to_owned))
            }
            RuntimeName::Docker => None,
        }
    }

    /// How registries are asked for the images of these routes: with the daemon's proxy, authorities and files, and with
    /// the credentials and headers of its configuration.
    pub fn probing(&self, routes: &[Route]) -> registries::Options {
        let configured = logins::configured(&self.declared, &self.runtime, routes, &self.host_root);
        let daemon = self.daemon.as_ref();
        let (file, directory) = daemon
            .map(|daemon| daemon.certificates.clone())
            .unwrap_or_default();
        registries::Options {
            proxy: daemon
                .map(|daemon| daemon.proxy.clone())
                .unwrap_or_default(),
            host: HostFiles {
                root: self.host_root.clone(),
                ssl_cert_file: file,
                ssl_cert_dir: directory,
            },
            credentials: configured.credentials,
            headers: configured.headers,
            ..registries::Options::default()
        }
    }
}

/// Whether a directory that was named for a node's files can be looked into.
///
/// # Errors
/// It cannot: a mount that is missing must not look like a node without faults.
pub fn seen(root: &Path) -> Result<(), Error> {
    host_files::check_root(root).map_err(|error| {
        Error::undetermined(format!("cannot look below `{}`", root.display())).because(&error)
    })
}

impl NodeArgs {
    /// Finds the runtime (unless it is named) and reads the node's files.
    ///
    /// # Errors
    /// No runtime answers and none is named.
    pub async fn look(&self, session: &Session) -> Result<Node, Error> {
        let named_root = self.host_root.clone().or_else(|| session.host_root.clone());
        for root in named_root.iter().chain(&self.staged) {
            seen(root)?;
        }
        let own_files = named_root.is_none() && self.staged.is_none();
        let (runtime, daemon, started) = match (&self.as_runtime, &named_root) {
            // A tree of files and a version need no daemon.
            (Some(runtime), Some(_)) => (runtime.clone(), None, None),
            (named, _) => match running(session).await {
                Ok(running) => (
                    named.clone().unwrap_or(running.runtime),
                    running.daemon,
                    running.started,
                ),
                Err(error) => match named {
                    Some(named) => (named.clone(), None, None),
                    None => {
                        return Err(error.hint(
                            "to judge files without a running daemon, name the runtime: `--as containerd@1.7.27`",
                        ));
                    }
                },
            },
        };
        let host_root = named_root
            .or_else(|| daemon.as_ref().and_then(|daemon| daemon.root.clone()))
            .unwrap_or_else(|| PathBuf::from("/"));
        let mut declared = Declared::default();
        if let Some(daemon) = &daemon {
            if let Some(config) = &daemon.config {
                declared.containerd_config.clone_from(config);
            }
            if let Some(directory) = &daemon.working_directory {
                declared.working_directory.clone_from(directory);
            }
        }
        let modified = host_files::read(&mut declared, &host_root, self.staged.as_deref());
        Ok(Node {
            runtime,
            declared,
            modified,
            host_root,
            daemon,
            // Files of another tree, or staged ones, have nothing to do with that start.
            started: started.filter(|_| own_files),
        })
    }
}

/// The runtime that answers here, if one does. Who gets none is not told why.
pub async fn answering(session: &Session) -> Option<RuntimeId> {
    running(session).await.ok().map(|running| running.runtime)
}

/// The runtime that answers, and its process where /proc shows it.
struct Running {
    runtime: RuntimeId,
    daemon: Option<Daemon>,
    started: Option<SystemTime>,
}

async fn running(session: &Session) -> Result<Running, Error> {
    let discovery = session.discover(Effort::Full, false).await?;
    if let Some(failure) = discovery.failure() {
        return Err(failure.into());
    }
    let Some(report) = discovery.winner() else {
        return Err(Error::undetermined("no container runtime answers"));
    };
    let runtime = report.runtime.clone().unwrap_or_default();
    let text = format!(
        "{}@{}",
        runtime.name.unwrap_or_default(),
        runtime.version.unwrap_or_default()
    );
    let id = text.parse::<RuntimeId>().map_err(|error| {
        Error::undetermined(format!("the runtime calls itself `{text}`"))
            .because(&error)
            .hint("name it yourself: `--as containerd@1.7.27`")
    })?;
    let process = report.process.as_ref();
    let pid = process.and_then(|process| process.pid);
    let started = process
        .and_then(|process| process.started_at.as_ref())
        .and_then(|started| started.parse::<jiff::Timestamp>().ok());
    Ok(Running {
        runtime: id,
        daemon: pid.filter(|pid| *pid != 0).map(daemon::look),
        started: started.and_then(|started| {
            let seconds = u64::try_from(started.as_second()).ok()?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        }),
    })
}
