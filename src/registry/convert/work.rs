//! A conversion in the making: for each origin which registries it is about, what is written for them, and how the routes
//! of the old configuration compare with those of the new one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Change, Conversion, Error, Left, LineEdit, Origin, Target};
use super::{config, hosts, registries, written};
use crate::registry::containerd::Setting;
use crate::registry::declared::Declared;
use crate::registry::docker_daemon::{self, Daemon, Insecure};
use crate::registry::hosts_toml;
use crate::registry::image_ref::{DOCKER_HUB, ImageRef};
use crate::registry::k3s;
use crate::registry::plan::compare::compare;
use crate::registry::plan::containerd::{Mechanism, Planner};
use crate::registry::plan::{self, Fallback, Method, Route, RouteEndpoint, TlsPolicy};
use crate::registry::registries_conf::RegistriesConf;
use crate::registry::text::{Located, Place};
use crate::registry::tree::Entry;
use crate::registry::version::{Fork, RuntimeId};

/// The repository by which routes are made out; what stands before it in a URL is the path of an endpoint.
pub(super) const REPOSITORY: &str = "criscope/example";
/// A registry that nobody has configured: only what is meant for all of them is asked.
const STRANGER: &str = "any.registry.invalid";
/// Where hosts.toml files go unless `config_path` names another directory.
const CERTS: &str = "/etc/containerd/certs.d";
/// The directory below it for registries without one of their own.
const DEFAULT: &str = "_default";
/// dockerd, where nobody names a version: its rules have not changed since.
const DOCKERD: &str = "docker@20.10.24";

/// A conversion in the making.
pub(super) struct Work<'d> {
    declared: &'d Declared,
    runtime: &'d RuntimeId,
    files: Vec<Change>,
    left: Vec<Left>,
}

impl<'d> Work<'d> {
    pub(super) fn new(declared: &'d Declared, runtime: &'d RuntimeId) -> Self {
        Self {
            declared,
            runtime,
            files: Vec::new(),
            left: Vec::new(),
        }
    }

    /// config.toml's own section.
    pub(super) fn containerd(mut self) -> Result<Conversion, Error> {
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
    pub(super) fn docker(mut self) -> Result<Conversion, Error> {
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
    pub(super) fn k3s(mut self, origin: Origin) -> Result<Conversion, Error> {
        let fork = origin.fork().unwrap_or(Fork::K3s);
        let broken = |error: Located<String>| Error::Broken {
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
                if matches!(pattern.trim_matches(['^', '$']), "(.*)" | "(.+)" | ".*" | "") {
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

    pub(super) fn registries_conf(mut self) -> Result<Conversion, Error> {
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
pub(super) fn example(namespace: &str) -> Option<ImageRef> {
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
