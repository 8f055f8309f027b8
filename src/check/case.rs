//! One node as checks see it: its facts, and what several checks derive from them, derived once.

use std::cell::OnceCell;
use std::ops::Deref;

use crate::endpoint::report::Verdict;
use crate::facts::{Facts, Gap, Role};
use crate::registry::{RuntimeId, RuntimeName};

/// One node as checks see it.
#[derive(Debug)]
pub struct Case<'f> {
    facts: &'f Facts,
    runtime: OnceCell<Option<RuntimeId>>,
}

impl<'f> Case<'f> {
    /// A case of these facts; nothing is derived yet.
    pub fn new(facts: &'f Facts) -> Self {
        Self {
            facts,
            runtime: OnceCell::new(),
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

    /// Which runtime in which version answers, or would.
    pub fn runtime(&self) -> Option<&RuntimeId> {
        self.runtime
            .get_or_init(|| {
                let named = |name: &str, version: &str| {
                    let name: RuntimeName = name.parse().ok()?;
                    Some(RuntimeId::new(name, version.parse().ok()?))
                };
                if let Some(version) = self.facts.cri.version.value() {
                    return named(&version.name, &version.version);
                }
                let known = self.facts.telling()?.runtime.as_ref()?;
                named(known.name.as_deref()?, known.version.as_deref()?)
            })
            .as_ref()
    }

    /// Whether a kubelet runs here, or is set up to.
    pub fn has_kubelet(&self) -> bool {
        let files = &self.facts.files;
        self.facts.processes(Role::Kubelet).next().is_some()
            || [
                "/var/lib/kubelet/config.yaml",
                "/var/lib/kubelet/kubeadm-flags.env",
                "/etc/kubernetes/kubelet.conf",
            ]
            .iter()
            .any(|file| files.exists(file) == Some(true))
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
