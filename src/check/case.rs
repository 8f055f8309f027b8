//! One node as checks see it: its facts, and what several checks derive from them, derived once.

use std::cell::OnceCell;
use std::ops::Deref;

use crate::endpoint::report::Verdict;
use crate::facts::{Facts, Gap, Role};
use crate::registry::containerd::Config;
use crate::registry::lint::{self, Remark};
use crate::registry::{Declared, RuntimeId, RuntimeName};

/// One node as checks see it.
#[derive(Debug)]
pub struct Case<'f> {
    facts: &'f Facts,
    runtime: OnceCell<Option<RuntimeId>>,
    declared: OnceCell<Declared>,
    remarks: OnceCell<Vec<Remark>>,
    containerd: OnceCell<Option<Config>>,
}

impl<'f> Case<'f> {
    /// A case of these facts; nothing is derived yet.
    pub fn new(facts: &'f Facts) -> Self {
        Self {
            facts,
            runtime: OnceCell::new(),
            declared: OnceCell::new(),
            remarks: OnceCell::new(),
            containerd: OnceCell::new(),
        }
    }

    /// The facts.
    pub fn facts(&self) -> &'f Facts {
        self.facts
    }

    /// Needs a host that runs.
    ///
    /// # Errors
    /// [`Gap::Absent`] for a mounted disk or a tree of files.
    pub fn live(&self) -> Result<(), Gap> {
        if self.facts.host.live {
            Ok(())
        } else {
            Err(Gap::Absent(format!(
                "no running system at `{}`",
                self.facts.host.root.display()
            )))
        }
    }

    /// Whether the process that looked may see everything.
    pub fn is_root(&self) -> bool {
        self.facts.host.euid == 0
    }

    /// Which runtime in which version this node has: what the user said, what it says of itself, what its files let
    /// guess.
    pub fn runtime(&self) -> Option<&RuntimeId> {
        self.runtime
            .get_or_init(|| {
                named(self.facts)
                    .or_else(|| answered(self.facts))
                    .or_else(|| guessed(self.facts))
            })
            .as_ref()
    }

    /// What the files say about the runtime.
    pub fn declared(&self) -> &Declared {
        self.declared.get_or_init(|| {
            let files = &self.facts.files;
            let mut declared = Declared::new(files.tree.clone());
            declared
                .containerd_config
                .clone_from(&files.containerd_config);
            declared
                .working_directory
                .clone_from(&files.working_directory);
            declared
        })
    }

    /// What is wrong with the configuration files, as far as they are about registries and what carries them.
    pub fn remarks(&self) -> &[Remark] {
        self.remarks.get_or_init(|| match self.runtime() {
            Some(runtime) => lint::lint(self.declared(), runtime),
            None => Vec::new(),
        })
    }

    /// containerd's files as a start of this version reads and merges them; without a main file its defaults.
    ///
    /// # Errors
    /// [`Gap::Absent`] where the runtime is another one or none, [`Gap::Unknown`] with the files that were not read.
    pub fn containerd(&self) -> Result<&Config, Gap> {
        let runtime = self.runtime();
        let config = self.containerd.get_or_init(|| {
            let runtime = runtime.filter(|runtime| runtime.name == RuntimeName::Containerd)?;
            Some(self.declared().containerd(runtime))
        });
        let Some(config) = config else {
            return Err(Gap::Absent(match runtime {
                Some(runtime) => format!("the runtime is {}", runtime.name),
                None => "no runtime was found whose files could be judged".to_owned(),
            }));
        };
        if config.unread.is_empty() {
            return Ok(config);
        }
        let paths = config
            .unread
            .iter()
            .map(|path| format!("`{}`", path.display()));
        let paths: Vec<String> = paths.collect();
        Err(Gap::Unknown(format!(
            "{} could not be read",
            paths.join(", ")
        )))
    }

    /// Needs containerd's files to have been read, where it is containerd.
    ///
    /// # Errors
    /// [`Gap::Unknown`] with the files that were not.
    pub fn files_read(&self) -> Result<(), Gap> {
        match self.containerd() {
            Err(Gap::Unknown(reason)) => Err(Gap::Unknown(reason)),
            Ok(_) | Err(Gap::Absent(_)) => Ok(()),
        }
    }

    /// Whether a kubelet runs here, or is set up to.
    pub fn has_kubelet(&self) -> bool {
        let files = &self.facts.files;
        self.facts.processes(Role::Kubelet).next().is_some()
            || [
                "/var/lib/kubelet/config.yaml",
                "/var/lib/kubelet/kubeadm-flags.env",
                "/etc/kubernetes/kubelet.conf",
                "/etc/kubernetes/kubelet/config",
                "/etc/kubernetes/kubelet.yaml",
            ]
            .iter()
            .any(|file| files.exists(file) == Some(true))
    }

    /// Whether this node has joined a cluster: kubeadm writes these when it does, and no image of a machine has them.
    pub fn has_joined(&self) -> bool {
        [
            "/etc/kubernetes/kubelet.conf",
            "/var/lib/kubelet/kubeadm-flags.env",
        ]
        .iter()
        .any(|file| self.facts.files.exists(file) == Some(true))
    }

    /// Whether a distribution writes containerd's configuration itself, with handlers of its own choice.
    pub fn is_generated(&self) -> bool {
        let config = &self.facts.files.containerd_config;
        ["/var/lib/rancher", "/var/snap"]
            .iter()
            .any(|directory| config.starts_with(directory))
    }

    /// What people call a container or a pod sandbox: `kube-system/coredns-x`, with the container's name behind it.
    pub fn called(&self, id: &str) -> Option<String> {
        let pods = self.facts.cri.pods.value()?;
        let pod = |id: &str| {
            let pod = pods.items.iter().find(|pod| pod.id == id)?;
            Some(format!("{}/{}", pod.namespace, pod.name))
        };
        if let Some(name) = pod(id) {
            return Some(name);
        }
        let containers = &self.facts.cri.containers.value()?.items;
        let container = containers.iter().find(|container| container.id == id)?;
        Some(format!("{}/{}", pod(&container.pod)?, container.name))
    }

    /// Whether CRI answers.
    pub fn serves(&self) -> bool {
        self.facts
            .chosen()
            .is_some_and(|endpoint| endpoint.verdict.serves())
    }

    /// The verdict about the endpoint that matters.
    pub fn verdict(&self) -> Option<Verdict> {
        self.facts.telling().map(|endpoint| endpoint.verdict)
    }
}

impl Deref for Case<'_> {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        self.facts
    }
}

/// The runtime that the user named.
fn named(facts: &Facts) -> Option<RuntimeId> {
    facts.assumed.as_deref()?.parse().ok()
}

/// The runtime that answered.
fn answered(facts: &Facts) -> Option<RuntimeId> {
    let of = |name: &str, version: &str| {
        let name: RuntimeName = name.parse().ok()?;
        Some(RuntimeId::new(name, version.parse().ok()?))
    };
    if let Some(version) = facts.cri.version.value() {
        return of(&version.name, &version.version);
    }
    let known = facts.telling()?.runtime.as_ref()?;
    of(known.name.as_deref()?, known.version.as_deref()?)
}

/// The containerd that is installed: by its package, else by its program.
fn installed(facts: &Facts) -> Option<RuntimeId> {
    let packages = facts.host.packages.value();
    let package = packages.and_then(|packages| {
        ["containerd.io", "containerd", "moby-containerd"]
            .iter()
            .find_map(|name| packages.get(*name))
    });
    let of = |version: &str| format!("containerd@{version}").parse().ok();
    package
        // Some versions of packages begin with an epoch.
        .and_then(|package| {
            of(package
                .version
                .split_once(':')
                .map_or(&*package.version, |(_, rest)| rest))
        })
        .or_else(|| of(facts.host.installed.value()?))
}

/// Files of a runtime tell which it is; how old it is the package or the program tells, else the version of
/// containerd's file how old it may be.
fn guessed(facts: &Facts) -> Option<RuntimeId> {
    let main = facts.files.containerd_config.display().to_string();
    if let Ok(text) = facts.files.text(&main) {
        let version = text.lines().find_map(|line| {
            let line = line.split('#').next()?.trim();
            let value = line
                .strip_prefix("version")?
                .trim_start()
                .strip_prefix('=')?;
            value.trim().parse::<u32>().ok()
        });
        // A program that tells its major version only: the newest line of it that reads the file.
        // What a distribution brings along is neither packaged nor at the usual place.
        let usual = main == "/etc/containerd/config.toml";
        let major = match installed(facts).filter(|_| usual) {
            Some(known) if known.version.as_str() != "2" => return Some(known),
            known => known.map(|known| known.version.major()),
        };
        let guess = match (major, version) {
            (_, Some(4..)) => "containerd@2.head",
            (Some(2), _) | (_, Some(3)) => "containerd@2.2",
            _ => "containerd@1.7",
        };
        return guess.parse().ok();
    }
    let there = |path: &str| facts.files.exists(path) == Some(true);
    if there("/etc/crio/crio.conf")
        || there("/etc/containers/registries.conf") && there("/etc/crio/crio.conf.d")
    {
        return "crio@1.head".parse().ok();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_what_the_runtime_is() {
        let told = |change: fn(&mut Facts)| {
            let mut facts = Facts::default();
            facts.files.tree.add_text("/etc/hostname", "");
            change(&mut facts);
            Case::new(&facts).runtime().map(ToString::to_string)
        };
        assert_eq!(told(|_| {}), None);
        let assumed = told(|facts| facts.assumed = Some("crio@1.30.0".to_owned()));
        assert_eq!(assumed.as_deref(), Some("crio@1.30.0"));
        let third = told(|facts| {
            facts
                .files
                .tree
                .add_text("/etc/containerd/config.toml", "version = 3\n")
        });
        assert_eq!(third.as_deref(), Some("containerd@2.2"));
        let second = told(|facts| {
            facts
                .files
                .tree
                .add_text("/etc/containerd/config.toml", " version=2 # x\n")
        });
        assert_eq!(second.as_deref(), Some("containerd@1.7"));
    }
}
