//! The node that is examined: which runtime's rules apply and where its files are. Shared by everything that judges
//! configuration.

use std::path::PathBuf;

use clap::Args;

use super::session::Session;
use crate::error::Error;
use crate::probe::daemon::{self, Daemon};
use crate::probe::host_files::{self, Modified};
use crate::probe::registry::{self as registries, HostFiles};
use crate::probe::socket::Effort;
use crate::registry::declared::Declared;
use crate::registry::version::RuntimeId;

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
}

impl Node {
    /// How registries are asked from this node: with the daemon's proxy, authorities and files.
    pub fn probing(&self) -> registries::Options {
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
            ..registries::Options::default()
        }
    }
}

impl NodeArgs {
    /// Finds the runtime (unless it is named) and reads the node's files.
    ///
    /// # Errors
    /// No runtime answers and none is named.
    pub async fn look(&self, session: &Session) -> Result<Node, Error> {
        let named_root = self.host_root.clone().or_else(|| session.host_root.clone());
        let (runtime, daemon) = match (&self.as_runtime, &named_root) {
            // A tree of files and a version need no daemon.
            (Some(runtime), Some(_)) => (runtime.clone(), None),
            (named, _) => match running(session).await {
                Ok((running, daemon)) => (named.clone().unwrap_or(running), daemon),
                Err(error) => match named {
                    Some(named) => (named.clone(), None),
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
        })
    }
}

/// The runtime that answers, and its process where /proc shows it.
async fn running(session: &Session) -> Result<(RuntimeId, Option<Daemon>), Error> {
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
    let pid = report.process.as_ref().and_then(|process| process.pid);
    Ok((id, pid.filter(|pid| *pid != 0).map(daemon::look)))
}
