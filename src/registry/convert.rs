//! From one way of saying where images come from to another: containerd's `registry.mirrors` and `registry.configs`,
//! dockerd's daemon.json and the registries.yaml of k3s and rke2 become `certs.d/HOST/hosts.toml`; daemon.json also
//! becomes registries.conf.
//!
//! Pure: what would be written is a value, with everything that cannot be carried over and with the routes before and
//! after. Nothing is translated key by key: what the old configuration makes a runtime do is planned, and what is written
//! makes the new one do the same. Credentials never leave the file in which they stand.

mod config;
mod hosts;
mod registries;
mod work;
mod written;

use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::declared::Declared;
use super::docker_daemon;
use super::k3s;
use super::plan::compare::{Comparison, Verdict};
use super::rules::Rule;
use super::text::Place;
use super::version::{Fork, RuntimeId, RuntimeName};
use work::Work;

/// What is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `registry.mirrors` and `registry.configs` of containerd's config.toml.
    Containerd,
    /// dockerd's daemon.json and certificates.
    Docker,
    /// registries.yaml of k3s.
    K3s,
    /// registries.yaml of rke2.
    Rke2,
}

impl Origin {
    /// The file that is converted.
    pub fn file(self) -> &'static str {
        match self {
            Origin::Containerd => "registry.mirrors and registry.configs of config.toml",
            Origin::Docker => "daemon.json",
            Origin::K3s | Origin::Rke2 => "registries.yaml",
        }
    }

    fn fork(self) -> Option<Fork> {
        match self {
            Origin::K3s => Some(Fork::K3s),
            Origin::Rke2 => Some(Fork::Rke2),
            Origin::Containerd | Origin::Docker => None,
        }
    }
}

/// What it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// `certs.d/HOST/hosts.toml`, for containerd.
    HostsToml,
    /// A drop-in of registries.conf, for CRI-O.
    RegistriesConf,
}

/// A configuration that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is nothing of the kind.
    #[error("there is no registry configuration in {0}")]
    Nothing(String),
    /// The file is broken, so that its own runtime does not start with it.
    #[error("{message}")]
    Broken {
        /// What is wrong, with its place.
        message: String,
    },
    /// Such a target is not written from such an origin.
    #[error("only daemon.json is converted to registries.conf")]
    Target,
    /// The runtime has no hosts.toml.
    #[error("{0} has no `config_path` and reads no hosts.toml; containerd 1.5 and later do")]
    TooOld(String),
    /// config.toml has both: what is to be added would keep the CRI plugin from loading.
    #[error(
        "config.toml has `registry.mirrors` or `registry.configs` itself, which go with no `config_path`"
    )]
    MirrorsFirst,
}

/// What a conversion comes to.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversion {
    /// What was converted.
    pub from: Origin,
    /// What it becomes.
    pub to: Target,
    /// The runtime whose rules the old routes follow.
    pub before: String,
    /// The runtime whose rules the new routes follow.
    pub after: String,
    /// The files to be written.
    pub files: Vec<Change>,
    /// What cannot be carried over, or not without a word.
    pub left: Vec<Left>,
    /// The routes of one image of each registry, before and after.
    pub comparisons: Vec<Comparison>,
    /// What has to be restarted for it to be in force.
    pub restart: Option<&'static str>,
}

impl Conversion {
    /// Whether an image would lose its last endpoint.
    pub fn loses(&self) -> bool {
        self.comparisons
            .iter()
            .any(|comparison| comparison.verdict == Verdict::Lost)
    }
}

/// A file that is to be written.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The path as the node sees it.
    pub path: PathBuf,
    /// Whether there is such a file now.
    pub exists: bool,
    /// The whole content, where all of it is ours. A file that is only edited may hold secrets.
    pub content: Option<String>,
    /// What is taken out and put in; of a new file, everything.
    pub edits: Vec<LineEdit>,
    /// The content as it will be.
    #[serde(skip)]
    pub text: String,
}

/// Lines that take the place of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineEdit {
    /// The first line that is taken out, or before which is added; from 1.
    pub line: usize,
    /// How many lines are taken out.
    pub removed: usize,
    /// The lines that are put in.
    pub added: Vec<String>,
}

/// Something that the conversion leaves behind, or that has to be known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// What it is, without any secret.
    pub what: String,
    /// Why it is left, and what takes its place.
    pub why: String,
    /// Where it is written, if it is in one place.
    pub place: Option<Place>,
}

impl Left {
    fn new(what: impl Into<String>, why: impl Into<String>, place: Option<&Place>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            place: place.cloned(),
        }
    }
}

/// What can be converted on a node, the likeliest first.
pub fn origins(declared: &Declared, runtime: &RuntimeId) -> Vec<Origin> {
    let mut found = Vec::new();
    if !written::Section::read(declared, runtime).is_empty() {
        found.push(Origin::Containerd);
    }
    for (origin, fork) in [(Origin::K3s, Fork::K3s), (Origin::Rke2, Fork::Rke2)] {
        if declared.tree.text(&k3s::registries_yaml(fork)).is_some() {
            found.push(origin);
        }
    }
    if declared.tree.text(Path::new(docker_daemon::FILE)).is_some() {
        found.push(Origin::Docker);
    }
    found
}

/// The certificates and keys that the section of config.toml names. Who has the file alone cannot know whether they are
/// there, and takes them to be.
pub fn certificates(declared: &Declared, runtime: &RuntimeId) -> Vec<PathBuf> {
    written::Section::read(declared, runtime)
        .certificates()
        .map(|file| declared.absolute(&file))
        .collect()
}

/// Converts a node's configuration. `runtime` is the one that is to read the result.
///
/// # Errors
/// [`Error`].
pub fn convert(
    declared: &Declared,
    runtime: &RuntimeId,
    from: Origin,
    to: Target,
) -> Result<Conversion, Error> {
    let work = Work::new(declared, runtime);
    if to == Target::HostsToml && !declared.rules().holds(Rule::ConfigPath, runtime) {
        return Err(Error::TooOld(runtime.to_string()));
    }
    match (from, to) {
        (Origin::Docker, Target::RegistriesConf) => work.registries_conf(),
        (_, Target::RegistriesConf) => Err(Error::Target),
        (Origin::Containerd, Target::HostsToml) => work.containerd(),
        (Origin::Docker, Target::HostsToml) => work.docker(),
        (Origin::K3s | Origin::Rke2, Target::HostsToml) => work.k3s(from),
    }
}

impl Conversion {
    /// The name of the runtime that reads the result.
    pub fn reader(&self) -> RuntimeName {
        match self.to {
            Target::HostsToml => RuntimeName::Containerd,
            Target::RegistriesConf => RuntimeName::Crio,
        }
    }
}

#[cfg(test)]
mod tests;
