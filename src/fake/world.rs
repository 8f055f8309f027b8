//! The node that the fake shows: pod sandboxes, containers, images, and what the runtime says about itself.
//!
//! One consistent state in memory; the CRI calls really change it ([`lifecycle`]). Everything that is listed or
//! inspected is kept as the CRI message itself, so a test can put any oddity in: no metadata, an unknown state, a
//! container of a pod that is gone. What no message can hold (invalid protobuf) is a rule's matter.

mod container;
mod crowd;
mod demo;
mod exec;
mod generated;
mod image;
mod info;
mod lifecycle;
mod list;
mod pod;
mod recorded;
mod runtime;
mod stats;

pub use container::Container;
pub use image::Image;
pub use pod::Pod;
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
    /// Lists too long to be held.
    crowd: Option<crowd::Crowd>,
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
            crowd: None,
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
