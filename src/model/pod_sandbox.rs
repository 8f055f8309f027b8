//! A pod sandbox, as lists and checks see it.

use std::collections::BTreeMap;

use super::{Row, label};
use crate::cri;

/// A pod sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSandbox {
    /// The id that the runtime gave it.
    pub id: String,
    /// Name, namespace, UID and attempt; absent where the runtime left the metadata out.
    pub metadata: Option<PodMetadata>,
    /// Whether it is ready.
    pub state: PodSandboxState,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// Labels of the pod.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pod.
    pub annotations: BTreeMap<String, String>,
    /// The runtime handler, empty for the default one.
    pub runtime_handler: String,
}

/// Who a pod is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodMetadata {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID in the API server.
    pub uid: String,
    /// How many sandboxes it had before this one.
    pub attempt: u32,
}

/// The state of a pod sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodSandboxState {
    /// Its pause process runs and its network is set up.
    Ready,
    /// It is not.
    NotReady,
    /// A number that CRI does not define.
    Undefined(i32),
}

impl PodSandboxState {
    /// The state behind a number of the proto.
    pub fn of(number: i32) -> Self {
        match cri::PodSandboxState::try_from(number) {
            Ok(cri::PodSandboxState::SandboxReady) => Self::Ready,
            Ok(cri::PodSandboxState::SandboxNotready) => Self::NotReady,
            Err(_) => Self::Undefined(number),
        }
    }

    /// The word that tables show.
    pub fn word(self) -> String {
        match self {
            Self::Ready => "Ready".to_owned(),
            Self::NotReady => "NotReady".to_owned(),
            Self::Undefined(number) => format!("Undefined({number})"),
        }
    }
}

impl From<cri::PodSandboxMetadata> for PodMetadata {
    fn from(metadata: cri::PodSandboxMetadata) -> Self {
        Self {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            attempt: metadata.attempt,
        }
    }
}

impl From<cri::PodSandbox> for PodSandbox {
    fn from(sandbox: cri::PodSandbox) -> Self {
        Self {
            id: sandbox.id,
            metadata: sandbox.metadata.map(PodMetadata::from),
            state: PodSandboxState::of(sandbox.state),
            created_at: sandbox.created_at,
            labels: sandbox.labels,
            annotations: sandbox.annotations,
            runtime_handler: sandbox.runtime_handler,
        }
    }
}

impl Row for PodSandbox {
    type Message = cri::PodSandbox;
    type Answer = cri::ListPodSandboxResponse;
    const PLURAL: &'static str = "pods";

    fn id(&self) -> &str {
        &self.id
    }
}

impl PodSandbox {
    /// Its name: from the metadata, else from the kubelet's label, else nothing.
    pub fn name(&self) -> &str {
        self.of_metadata(|metadata| &metadata.name, label::POD_NAME)
    }

    /// Its namespace, likewise.
    pub fn namespace(&self) -> &str {
        self.of_metadata(|metadata| &metadata.namespace, label::POD_NAMESPACE)
    }

    /// Its UID in the API server, likewise.
    pub fn uid(&self) -> &str {
        self.of_metadata(|metadata| &metadata.uid, label::POD_UID)
    }

    fn of_metadata(&self, field: impl Fn(&PodMetadata) -> &String, label: &str) -> &str {
        match &self.metadata {
            Some(metadata) => field(metadata),
            None => self.labels.get(label).map_or("", String::as_str),
        }
    }
}
