//! The node that the fake shows: pod sandboxes, containers, images, and what the runtime says about itself.
//!
//! One consistent state in memory; the CRI calls really change it ([`lifecycle`]). Everything that is listed or
//! inspected is kept as the CRI message itself, so a test can put any oddity in: no metadata, an unknown state, a
//! container of a pod that is gone. What no message can hold (invalid protobuf) is a rule's matter.

mod demo;
mod exec;
mod generated;
mod info;
mod lifecycle;
mod list;
mod recorded;
mod runtime;
mod stats;

pub use recorded::Error as RecordedError;
pub use runtime::{Kind, Runtime};

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::sync::broadcast;

use crate::cri;

/// Nanoseconds since 1970, as CRI counts.
pub type Nanos = i64;

/// Where a world takes its time from.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands still, so that answers are the same in every run.
    Fixed(Nanos),
}

impl Clock {
    /// The time now.
    pub fn now(self) -> Nanos {
        match self {
            Self::Fixed(now) => now,
            Self::System => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, nanos),
        }
    }
}

/// A pod sandbox.
#[derive(Debug, Clone)]
pub struct Pod {
    /// What `PodSandboxStatus` answers; the listing is cut from it.
    pub status: cri::PodSandboxStatus,
    /// What it was made from, as far as the verbose answer shows it.
    pub config: cri::PodSandboxConfig,
    /// The sandbox process; 0 when it does not run.
    pub pid: u32,
    /// The verbose answer, where it is not to be made from the rest.
    pub info: Option<BTreeMap<String, String>>,
    /// When the listing says that it was made, where that differs from the status.
    pub(super) listed_at: Option<Nanos>,
}

/// A container.
#[derive(Debug, Clone)]
pub struct Container {
    /// What `ContainerStatus` answers; the listing is cut from it.
    pub status: cri::ContainerStatus,
    /// What it was made from, as far as the verbose answer shows it.
    pub config: cri::ContainerConfig,
    /// The id of its pod sandbox.
    pub pod: String,
    /// The id of its image.
    pub image: String,
    /// The process; 0 when it does not run.
    pub pid: u32,
    /// The verbose answer, where it is not to be made from the rest.
    pub info: Option<BTreeMap<String, String>>,
    /// The element of the listing, where it is not to be cut from the status.
    pub(super) listed: Option<cri::Container>,
}

/// An image, with what CRI does not show.
#[derive(Debug, Clone)]
pub struct Image {
    /// What `ListImages` and `ImageStatus` answer.
    pub image: cri::Image,
    /// The digest of its manifest (`sha256:…`), the target of its names in containerd's store.
    pub digest: String,
    /// The verbose answer, where it is not to be made from the rest.
    pub info: Option<BTreeMap<String, String>>,
}

/// Which references can be pulled.
#[derive(Debug, Clone)]
pub enum Remote {
    /// Every one: an image is made up from the reference, always the same.
    Anything,
    /// Only these names.
    Only(BTreeSet<String>),
}

/// What became of containerd's CRI plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CriPlugin {
    /// It serves.
    Loaded,
    /// `disabled_plugins` names it: the daemon runs, CRI is an unknown service.
    Disabled,
    /// It could not be loaded, for this reason: the daemon runs, CRI is an unknown service.
    Failed(String),
}

/// The whole node.
#[derive(Debug)]
pub struct World {
    /// Name, version and ways of the runtime.
    pub runtime: Runtime,
    /// Pod sandboxes, in the order of listing.
    pub pods: Vec<Pod>,
    /// Containers, in the order of listing.
    pub containers: Vec<Container>,
    /// Images, in the order of listing.
    pub images: Vec<Image>,
    /// The conditions of `Status`.
    pub conditions: Vec<cri::RuntimeCondition>,
    /// Entries of the verbose `Status` that replace or join the usual ones; values are JSON text.
    pub status_info: BTreeMap<String, String>,
    /// Names of the runtime handlers; empty is always one of them.
    pub handlers: Vec<String>,
    /// The cgroup driver that `RuntimeConfig` tells.
    pub cgroup_driver: cri::CgroupDriver,
    /// Whether CRI is served at all.
    pub cri: CriPlugin,
    /// Downloads that containerd's content store tells of.
    pub ingests: Vec<cri::containerd::services::content::v1::Status>,
    /// What can be pulled.
    pub remote: Remote,
    /// The base of the URLs that Exec, Attach and PortForward give; without one these three fail.
    pub streaming: Option<String>,
    /// The clock.
    pub clock: Clock,
    /// Answers that stand as they were recorded.
    recorded: recorded::Recorded,
    /// Where lifecycle events go.
    pub(super) events: broadcast::Sender<cri::ContainerEventResponse>,
    /// Counts what was made here, so that ids differ and are the same in every run.
    made: u64,
}

impl World {
    /// A healthy node without pods, containers or images.
    pub fn empty(name: &str, version: &str) -> Self {
        Self::empty_at(name, version, Clock::System)
    }

    /// [`World::empty`] with a clock of one's own.
    pub fn empty_at(name: &str, version: &str, clock: Clock) -> Self {
        let ready = |what: &str| cri::RuntimeCondition {
            r#type: what.to_owned(),
            status: true,
            ..Default::default()
        };
        Self {
            runtime: Runtime::new(name, version),
            pods: Vec::new(),
            containers: Vec::new(),
            images: Vec::new(),
            conditions: vec![ready("RuntimeReady"), ready("NetworkReady")],
            status_info: BTreeMap::new(),
            handlers: vec!["runc".to_owned()],
            cgroup_driver: cri::CgroupDriver::Systemd,
            cri: CriPlugin::Loaded,
            ingests: Vec::new(),
            remote: Remote::Anything,
            streaming: None,
            clock,
            recorded: recorded::Recorded::default(),
            events: broadcast::channel(1024).0,
            made: 0,
        }
    }

    /// The time so long ago.
    pub fn ago(&self, age: Duration) -> Nanos {
        self.clock.now() - nanos(age)
    }

    /// Adds a pod sandbox and gives its id.
    pub fn add_pod(&mut self, mut pod: Pod) -> String {
        if pod.status.created_at == 0 {
            pod.status.created_at = self.clock.now();
        }
        pod.pid = self.next_pid();
        let id = pod.status.id.clone();
        self.pods.push(pod);
        id
    }

    /// Adds a container to a pod, with the labels that the kubelet gives, and gives its id.
    pub fn add_container(&mut self, pod: &str, mut container: Container) -> String {
        if container.status.created_at == 0 {
            container.status.created_at = self.clock.now();
        }
        if container.status.state() == cri::ContainerState::ContainerRunning {
            container.pid = self.next_pid();
            if container.status.started_at == 0 {
                container.status.started_at = container.status.created_at;
            }
        }
        container.settle(
            self.pods.iter().find(|known| known.status.id == pod),
            &self.images,
            &self.runtime,
        );
        pod.clone_into(&mut container.pod);
        let id = container.status.id.clone();
        self.containers.push(container);
        id
    }

    /// Adds an image and gives its id.
    pub fn add_image(&mut self, mut image: Image) -> String {
        image.image.id = self.runtime.kind.image_id(&image.image.id);
        let id = image.image.id.clone();
        self.images.push(image);
        id
    }

    fn next_pid(&mut self) -> u32 {
        self.made += 1;
        1800 + u32::try_from(self.made % 30_000).unwrap_or_default() * 37
    }

    /// An id that was not given before.
    fn next_id(&mut self, what: &str) -> String {
        self.made += 1;
        digest(&format!("{what}/{}", self.made))
    }
}

impl Pod {
    /// A ready pod sandbox as the kubelet makes it; created now unless [`Pod::created`] says otherwise.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self::attempt(namespace, name, 0)
    }

    /// [`Pod::new`], made again after this many earlier sandboxes.
    pub fn attempt(namespace: &str, name: &str, attempt: u32) -> Self {
        let uid = uid(&format!("{namespace}/{name}"));
        let labels = strings(&[
            ("io.kubernetes.pod.name", name),
            ("io.kubernetes.pod.namespace", namespace),
            ("io.kubernetes.pod.uid", &uid),
        ]);
        let metadata = cri::PodSandboxMetadata {
            name: name.to_owned(),
            uid: uid.clone(),
            namespace: namespace.to_owned(),
            attempt,
        };
        let id = digest(&format!("pod/{namespace}/{name}/{attempt}"));
        let hash = id.as_bytes();
        let ip = format!(
            "10.244.0.{}",
            2 + u32::from(hash[0] ^ hash[1].rotate_left(3)) % 250
        );
        Self {
            status: cri::PodSandboxStatus {
                id,
                metadata: Some(metadata.clone()),
                network: Some(cri::PodSandboxNetworkStatus {
                    ip,
                    additional_ips: vec![],
                }),
                linux: Some(namespaces(cri::NamespaceMode::Pod)),
                labels,
                annotations: strings(&[("kubernetes.io/config.source", "api")]),
                ..Default::default()
            },
            config: cri::PodSandboxConfig {
                hostname: name.to_owned(),
                log_directory: format!("/var/log/pods/{namespace}_{name}_{uid}"),
                metadata: Some(metadata),
                linux: Some(cri::LinuxPodSandboxConfig {
                    cgroup_parent: format!("kubepods-burstable-pod{}.slice", uid.replace('-', "_")),
                    ..Default::default()
                }),
                ..Default::default()
            },
            pid: 0,
            info: None,
            listed_at: None,
        }
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.status.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.status
            .annotations
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// Says when it was made.
    pub fn created(mut self, at: Nanos) -> Self {
        self.status.created_at = at;
        self
    }

    /// Stopped: no process, no address.
    pub fn not_ready(mut self) -> Self {
        self.status.state = cri::PodSandboxState::SandboxNotready.into();
        self.status.network = Some(cri::PodSandboxNetworkStatus::default());
        self
    }

    /// Uses the node's network.
    pub fn host_network(mut self) -> Self {
        self.status.network = Some(cri::PodSandboxNetworkStatus::default());
        self.status.linux = Some(namespaces(cri::NamespaceMode::Node));
        self
    }
}

impl Container {
    /// A running container of an image; made and started now unless [`Container::created`] says otherwise.
    pub fn new(name: &str, image: &str) -> Self {
        Self::attempt(name, image, 0)
    }

    /// [`Container::new`], restarted this many times.
    pub fn attempt(name: &str, image: &str, attempt: u32) -> Self {
        let spec = cri::ImageSpec {
            image: image.to_owned(),
            ..Default::default()
        };
        Self {
            status: cri::ContainerStatus {
                metadata: Some(cri::ContainerMetadata {
                    name: name.to_owned(),
                    attempt,
                }),
                state: cri::ContainerState::ContainerRunning.into(),
                image: Some(spec.clone()),
                annotations: strings(&[
                    ("io.kubernetes.container.hash", &digest(image)[..8]),
                    ("io.kubernetes.container.restartCount", &attempt.to_string()),
                    (
                        "io.kubernetes.container.terminationMessagePath",
                        "/dev/termination-log",
                    ),
                    ("io.kubernetes.container.terminationMessagePolicy", "File"),
                    ("io.kubernetes.pod.terminationGracePeriod", "30"),
                ]),
                ..Default::default()
            },
            config: cri::ContainerConfig {
                image: Some(spec),
                ..Default::default()
            },
            pod: String::new(),
            image: String::new(),
            pid: 0,
            info: None,
            listed: None,
        }
    }

    /// Says when it was made (and started, unless that is set otherwise).
    pub fn created(mut self, at: Nanos) -> Self {
        self.status.created_at = at;
        self
    }

    /// Made and never started.
    pub fn not_started(mut self) -> Self {
        self.status.state = cri::ContainerState::ContainerCreated.into();
        self
    }

    /// Ended with this code and reason (`Completed`, `Error`, `OOMKilled`), so long after it started.
    pub fn exited(mut self, code: i32, reason: &str, ran: Duration) -> Self {
        self.status.state = cri::ContainerState::ContainerExited.into();
        self.status.exit_code = code;
        reason.clone_into(&mut self.status.reason);
        self.status.started_at = self.status.created_at + 200_000_000;
        self.status.finished_at = self.status.started_at + nanos(ran);
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.status.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.status
            .annotations
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// Says what it runs.
    pub fn command(mut self, command: &[&str]) -> Self {
        self.config.command = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Limits its memory, in bytes.
    pub fn memory_limit(mut self, bytes: i64) -> Self {
        let linux = cri::LinuxContainerResources {
            memory_limit_in_bytes: bytes,
            ..Default::default()
        };
        self.status.resources = Some(cri::ContainerResources {
            linux: Some(linux),
            windows: None,
        });
        self
    }

    /// Fills in what depends on the pod and the images: id, the kubelet's labels, log path, image id.
    fn settle(&mut self, pod: Option<&Pod>, images: &[Image], runtime: &Runtime) {
        let (name, attempt) = self.status.metadata.as_ref().map_or(("", 0), |metadata| {
            (metadata.name.as_str(), metadata.attempt)
        });
        if self.status.id.is_empty() {
            let pod = pod.map_or("", |pod| &pod.status.id);
            self.status.id = digest(&format!("container/{pod}/{name}/{attempt}"));
        }
        if let Some(pod) = pod {
            if !name.is_empty() {
                self.status
                    .labels
                    .entry("io.kubernetes.container.name".to_owned())
                    .or_insert_with(|| name.to_owned());
            }
            for (key, value) in &pod.status.labels {
                if key.starts_with("io.kubernetes.pod.") {
                    self.status
                        .labels
                        .entry(key.clone())
                        .or_insert_with(|| value.clone());
                }
            }
            if self.status.log_path.is_empty() {
                self.config.log_path = format!("{name}/{attempt}.log");
                self.status.log_path =
                    format!("{}/{}", pod.config.log_directory, self.config.log_path);
            }
        }
        let wanted = self.status.image.as_ref().map_or("", |spec| &spec.image);
        if self.status.image_ref.is_empty()
            && let Some(image) = images.iter().find(|image| image.is(wanted))
        {
            self.image = image.image.id.clone();
            if runtime.tells_image_id() {
                self.status.image_id = image.image.id.clone();
            }
            self.status.image_ref = match image.image.repo_digests.first() {
                Some(digest) => digest.clone(),
                None => image.image.id.clone(),
            };
        }
    }
}

impl Image {
    /// An image under one name (`registry.k8s.io/pause:3.9`); id and digest follow from the name.
    pub fn new(reference: &str, size: u64) -> Self {
        let manifest = format!("sha256:{}", digest(&format!("manifest/{reference}")));
        let (repository, tag) = split(reference);
        let (tags, manifest) = match tag {
            Some(tag) if tag.starts_with('@') => (vec![], tag[1..].to_owned()),
            Some(_) => (vec![reference.to_owned()], manifest),
            None => (vec![format!("{reference}:latest")], manifest),
        };
        Self {
            image: cri::Image {
                id: format!("sha256:{}", digest(&format!("config/{manifest}"))),
                repo_tags: tags,
                repo_digests: vec![format!("{repository}@{manifest}")],
                size,
                ..Default::default()
            },
            digest: manifest,
            info: None,
        }
    }

    /// Adds another name for the same image.
    pub fn tag(mut self, reference: &str) -> Self {
        let digest = format!("{}@{}", split(reference).0, self.digest);
        if !self.image.repo_digests.contains(&digest) {
            self.image.repo_digests.push(digest);
        }
        self.image.repo_tags.push(reference.to_owned());
        self
    }

    /// Without tags: what a pull of a newer image under the same tag leaves.
    pub fn dangling(mut self) -> Self {
        self.image.repo_tags.clear();
        self
    }

    /// Kept from garbage collection.
    pub fn pinned(mut self) -> Self {
        self.image.pinned = true;
        self
    }

    /// Whose processes run: a user id, or a name.
    pub fn user(mut self, user: &str) -> Self {
        match user.parse() {
            Ok(value) => self.image.uid = Some(cri::Int64Value { value }),
            Err(_) => user.clone_into(&mut self.image.username),
        }
        self
    }

    /// Whether a reference, digest, id or unique beginning of an id means this image.
    pub fn is(&self, reference: &str) -> bool {
        let bare = |id: &str| id.trim_start_matches("sha256:").to_owned();
        let latest = format!("{reference}:latest");
        self.image
            .repo_tags
            .iter()
            .chain(&self.image.repo_digests)
            .any(|name| *name == reference || *name == latest)
            || self.image.id == reference
            || bare(&self.image.id) == bare(reference)
    }
}

/// The repository, and `tag` or `@digest`.
fn split(reference: &str) -> (&str, Option<&str>) {
    if let Some(at) = reference.find('@') {
        let name = &reference[..at];
        return (split(name).0, Some(&reference[at..]));
    }
    match reference.rfind(':') {
        // A colon before the last slash belongs to a port.
        Some(colon) if !reference[colon..].contains('/') => {
            (&reference[..colon], Some(&reference[colon + 1..]))
        }
        _ => (reference, None),
    }
}

fn nanos(span: Duration) -> Nanos {
    Nanos::try_from(span.as_nanos()).unwrap_or(Nanos::MAX)
}

/// A map from pairs.
fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// 64 hex digits that follow from the text, as ids are made here.
fn digest(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A UUID that follows from the text.
fn uid(text: &str) -> String {
    let hex = digest(text);
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

fn namespaces(network: cri::NamespaceMode) -> cri::LinuxPodSandboxStatus {
    let options = cri::NamespaceOption {
        network: network.into(),
        pid: cri::NamespaceMode::Container.into(),
        ..Default::default()
    };
    cri::LinuxPodSandboxStatus {
        namespaces: Some(cri::Namespace {
            options: Some(options),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_tag_and_digest() {
        assert_eq!(split("reg:5000/a/b:1"), ("reg:5000/a/b", Some("1")));
        assert_eq!(split("reg:5000/a/b"), ("reg:5000/a/b", None));
        assert_eq!(split("a/b:1@sha256:0"), ("a/b", Some("@sha256:0")));
    }
}
