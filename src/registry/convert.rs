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
mod written;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::containerd::Setting;
use super::declared::Declared;
use super::docker_daemon::{self, Daemon, Insecure};
use super::hosts_toml;
use super::image_ref::{DOCKER_HUB, ImageRef};
use super::k3s;
use super::plan::compare::{Comparison, Verdict, compare};
use super::plan::containerd::{Mechanism, Planner};
use super::plan::{self, Fallback, Method, Route, RouteEndpoint, TlsPolicy};
use super::registries_conf::RegistriesConf;
use super::rules::Rule;
use super::text::Place;
use super::tree::Entry;
use super::version::{Fork, RuntimeId, RuntimeName};

/// The repository by which routes are made out; what stands before it in a URL is the path of an endpoint.
const REPOSITORY: &str = "criscope/example";
/// A registry that nobody has configured: only what is meant for all of them is asked.
const STRANGER: &str = "any.registry.invalid";
/// Where hosts.toml files go unless `config_path` names another directory.
const CERTS: &str = "/etc/containerd/certs.d";
/// The directory below it for registries without one of their own.
const DEFAULT: &str = "_default";
/// dockerd, where nobody names a version: its rules have not changed since.
const DOCKERD: &str = "docker@20.10.24";

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
    let work = Work {
        declared,
        runtime,
        files: Vec::new(),
        left: Vec::new(),
    };
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

/// A conversion in the making.
struct Work<'d> {
    declared: &'d Declared,
    runtime: &'d RuntimeId,
    files: Vec<Change>,
    left: Vec<Left>,
}

impl Work<'_> {
    /// config.toml's own section.
    fn containerd(mut self) -> Result<Conversion, Error> {
        let (declared, runtime) = (self.declared, self.runtime);
        let section = written::Section::read(self.declared, self.runtime);
        if section.is_empty() {
            return Err(Error::Nothing("config.toml".to_owned()));
        }
        let planned = section.planned(runtime, &mut self.left);
        let root = self.root();
        self.hosts(
            &planned.declared,
            &planned.runtime,
            &planned.namespaces,
            &root,
        );
        let edited = config::without_section(self.declared, self.runtime, &root, &mut self.left);
        self.files.extend(edited);
        section.credentials(&mut self.left);
        let namespaces = planned.namespaces;
        Ok(self.finish(
            Origin::Containerd,
            Target::HostsToml,
            declared,
            runtime,
            &namespaces,
        ))
    }

    /// dockerd's files.
    fn docker(mut self) -> Result<Conversion, Error> {
        let declared = self.declared;
        let dockerd = dockerd()?;
        let namespaces = self.docker_namespaces()?;
        let root = self.root();
        self.hosts(self.declared, &dockerd, &namespaces, &root);
        self.point_at(&root)?;
        Ok(self.finish(
            Origin::Docker,
            Target::HostsToml,
            declared,
            &dockerd,
            &namespaces,
        ))
    }

    /// The registries that dockerd's files are about. What has no counterpart is left.
    fn docker_namespaces(&mut self) -> Result<BTreeSet<String>, Error> {
        let daemon = Daemon::load(&self.declared.tree);
        if let Some(fatal) = daemon.fatal {
            return Err(Error::Broken {
                message: fatal.value,
            });
        }
        let mut namespaces = BTreeSet::new();
        if !daemon.mirrors.is_empty() {
            namespaces.insert(DOCKER_HUB.to_owned());
        }
        for entry in &daemon.insecure {
            match &entry.value {
                Insecure::Host(host) => {
                    namespaces.insert(host.clone());
                }
                Insecure::Network(address, length) => self.left.push(Left::new(
                    format!("the insecure network {address}/{length}"),
                    "networks have no counterpart; every registry in it needs an entry of its own, or a certificate that is trusted",
                    Some(&entry.place),
                )),
            }
        }
        let certificates = Path::new(docker_daemon::CERTS_DIRECTORY);
        for name in self.declared.tree.names(certificates).unwrap_or_default() {
            let files = self.declared.tree.names(&certificates.join(name));
            if files.is_some_and(|files| !files.is_empty()) {
                namespaces.insert(name.clone());
            }
        }
        if namespaces.is_empty() && self.left.is_empty() {
            return Err(Error::Nothing(docker_daemon::FILE.to_owned()));
        }
        self.left.push(Left::new(
            "logins of `docker login`",
            "they are in the docker client's own file; pods need imagePullSecrets, or the kubelet a credential provider",
            None,
        ));
        Ok(namespaces)
    }

    /// registries.yaml, for a containerd that is not the service's own.
    fn k3s(mut self, origin: Origin) -> Result<Conversion, Error> {
        let fork = origin.fork().unwrap_or(Fork::K3s);
        let broken = |error: super::text::Located<String>| Error::Broken {
            message: format!(
                "{} ({}:{})",
                error.value,
                error.place.path.display(),
                error.place.line
            ),
        };
        let restarted = k3s::restarted(self.declared, fork).map_err(broken)?;
        let written = k3s::written(&self.declared.tree, fork)
            .map_err(broken)?
            .unwrap_or_default();
        let remarks = k3s::remarks(&self.declared.tree, fork).map_err(broken)?;
        let namespaces: BTreeSet<String> = written
            .keys()
            .filter_map(|path| path.parent()?.file_name()?.to_str())
            .map(|name| if name == DEFAULT { "*" } else { name }.to_owned())
            .collect();
        if namespaces.is_empty() && remarks.credentials.is_empty() {
            return Err(Error::Nothing("registries.yaml".to_owned()));
        }
        let before = if self.runtime.fork().is_some() {
            self.runtime.clone()
        } else {
            format!("containerd@2.2.0-{fork}1")
                .parse()
                .unwrap_or_else(|_| self.runtime.clone())
        };
        let root = PathBuf::from(CERTS);
        self.hosts(&restarted, &before, &namespaces, &root);
        let yaml = Place::start_of(&k3s::registries_yaml(fork));
        for host in remarks.credentials {
            self.left.push(Left::new(
                format!("the credentials for `{host}`"),
                format!(
                    "hosts.toml has none; write them as `registry.configs.\"{host}\".auth` into config.toml, or give pods imagePullSecrets"
                ),
                Some(&yaml),
            ));
        }
        for (name, pattern) in remarks.rewrites {
            self.left.push(Left::new(
                format!("the rewrite `{pattern}` of `{name}`"),
                if matches!(pattern.trim_matches(['^', '$']), "(.*)" | ".*") {
                    "it is written as a path of the endpoint, which comes to the same where it only puts something before the repository"
                } else {
                    "only the containerd of k3s and rke2 rewrites repositories"
                },
                Some(&yaml),
            ));
        }
        self.point_at(&root)?;
        Ok(self.finish(origin, Target::HostsToml, &restarted, &before, &namespaces))
    }

    fn registries_conf(mut self) -> Result<Conversion, Error> {
        let declared = self.declared;
        let dockerd = dockerd()?;
        let namespaces = self.docker_namespaces()?;
        let conf = RegistriesConf::load(&self.declared.tree);
        let text = registries::text(self.declared, &dockerd, &namespaces, &conf);
        for registry in conf.registries.values() {
            if namespaces.contains(&registry.prefix) {
                self.left.push(Left::new(
                    format!("the present table for `{}`", registry.prefix),
                    "a drop-in replaces it as a whole, mirrors included",
                    Some(&registry.place),
                ));
            }
        }
        self.write(Path::new(registries::FILE), text);
        Ok(self.finish(
            Origin::Docker,
            Target::RegistriesConf,
            declared,
            &dockerd,
            &namespaces,
        ))
    }

    /// The directory for hosts.toml files: the one that is configured, else the usual one.
    fn root(&self) -> PathBuf {
        let planner = Planner::new(self.declared, self.runtime);
        match &planner.config().registry.config_path {
            Some(Setting::Written(path)) => {
                let parts = || path.value.split(':').filter(|part| !part.is_empty());
                let used = |part: &&str| {
                    let names = self.declared.tree.names(&self.declared.absolute(part));
                    names.is_some_and(|names| !names.is_empty())
                };
                let first = parts().find(used).or_else(|| parts().next());
                first.map_or_else(|| CERTS.into(), |part| self.declared.absolute(part))
            }
            _ => CERTS.into(),
        }
    }

    /// Sees to it that config.toml names the directory.
    fn point_at(&mut self, root: &Path) -> Result<(), Error> {
        let planner = Planner::new(self.declared, self.runtime);
        let registry = &planner.config().registry;
        if !registry.mirrors.is_empty()
            || registry
                .configs
                .values()
                .any(|settings| settings.tls.is_some())
        {
            return Err(Error::MirrorsFirst);
        }
        let named = match planner.mechanism() {
            Mechanism::Directories { roots, .. } => roots.iter().any(|known| known == root),
            Mechanism::Mirrors => false,
        };
        if !named || planner.config().fatal.is_some() {
            let edited = config::pointing_at(self.declared, self.runtime, root, &mut self.left);
            self.files.extend(edited);
        }
        Ok(())
    }

    /// Writes a hosts.toml for every registry whose route differs from what would be asked without one.
    fn hosts(
        &mut self,
        declared: &Declared,
        runtime: &RuntimeId,
        namespaces: &BTreeSet<String>,
        root: &Path,
    ) {
        // Whoever has an entry of his own, if only an empty one, does not use that for all.
        let catch_all = namespaces.contains("*") || self.declared.tree.exists(&root.join(DEFAULT));
        for namespace in namespaces {
            let Some(image) = example(namespace) else {
                self.left.push(Left::new(
                    format!("the entry for `{namespace}`"),
                    "no image reference can name such a registry",
                    None,
                ));
                continue;
            };
            let route = plan::route(declared, runtime, &image);
            if let Some(fatal) = &route.fatal {
                self.left.push(Left::new(
                    format!("the entry for `{namespace}`"),
                    fatal.clone(),
                    None,
                ));
                continue;
            }
            let all = namespace == "*";
            let directory = if all { DEFAULT } else { namespace };
            let path = root.join(directory).join(hosts_toml::FILE_NAME);
            let shadows = catch_all || self.declared.tree.text(&path).is_some();
            let (text, remarks) = hosts::text(&route, all, shadows, &image);
            self.left.extend(remarks);
            let Some(text) = text else { continue };
            self.write(&path, text);
        }
    }

    /// Adds a file that is ours as a whole, unless it is there already.
    fn write(&mut self, path: &Path, text: String) {
        let before = self.declared.tree.text(path);
        if before == Some(text.as_str()) {
            return;
        }
        let edit = LineEdit {
            line: 1,
            removed: before.map_or(0, |before| before.lines().count()),
            added: text.lines().map(str::to_owned).collect(),
        };
        self.files.push(Change {
            path: path.to_owned(),
            exists: before.is_some(),
            content: Some(text.clone()),
            edits: vec![edit],
            text,
        });
    }

    /// Lays the files over the node and compares the routes.
    fn finish(
        self,
        from: Origin,
        to: Target,
        old: &Declared,
        before: &RuntimeId,
        namespaces: &BTreeSet<String>,
    ) -> Conversion {
        let mut new = self.declared.clone();
        for file in &self.files {
            let text = file.text.clone();
            new.tree.add(file.path.clone(), Entry::Text { text });
        }
        let alike = before.name == self.runtime.name && from.fork().is_none();
        let images = namespaces.iter().filter_map(|namespace| example(namespace));
        let comparisons = images
            .map(|image| {
                let was = plan::route(old, before, &image);
                let is = plan::route(&new, self.runtime, &image);
                if alike {
                    compare(was, is)
                } else {
                    compare(comparable(was), comparable(is))
                }
            })
            .collect();
        let edits_config = self
            .files
            .iter()
            .any(|file| file.content.is_none() || file.path == self.declared.containerd_config);
        let restart = match to {
            Target::RegistriesConf => Some("crio"),
            Target::HostsToml => edits_config.then_some("containerd"),
        };
        Conversion {
            from,
            to,
            before: before.to_string(),
            after: self.runtime.to_string(),
            files: self.files,
            left: self.left,
            comparisons,
            restart,
        }
    }
}

fn dockerd() -> Result<RuntimeId, Error> {
    DOCKERD.parse().map_err(|_| Error::Broken {
        message: format!("`{DOCKERD}` is no runtime"),
    })
}

/// An image of a registry; `*` stands for one that nobody has configured.
fn example(namespace: &str) -> Option<ImageRef> {
    let domain = if namespace == "*" {
        STRANGER
    } else {
        namespace
    };
    let image: ImageRef = format!("{domain}/{REPOSITORY}:1").parse().ok()?;
    (image.domain() == domain).then_some(image)
}

/// A route without what differs from runtime to runtime and not from configuration to configuration: the method, the
/// `ns` of mirrors, and whether plain HTTP after TLS is one endpoint or two.
fn comparable(mut route: Route) -> Route {
    let mut endpoints: Vec<RouteEndpoint> = Vec::new();
    for mut endpoint in std::mem::take(&mut route.endpoints) {
        endpoint.method = Method::Get;
        if let Some((url, _)) = endpoint.url.split_once('?') {
            endpoint.url = url.to_owned();
        }
        let plain = (endpoint.fallback == Some(Fallback::Http)).then(|| RouteEndpoint {
            url: endpoint.url.replacen("https://", "http://", 1),
            tls: TlsPolicy::default(),
            fallback: None,
            ..endpoint.clone()
        });
        endpoint.fallback = None;
        if endpoint.url.starts_with("http://") {
            endpoint.tls = TlsPolicy::default();
        }
        endpoints.push(endpoint);
        endpoints.extend(plain);
    }
    endpoints.dedup_by(|a, b| a.url == b.url);
    route.endpoints = endpoints;
    route
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
