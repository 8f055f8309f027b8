//! A container, as lists and checks see it.

use std::collections::BTreeMap;

use super::{Row, label};
use crate::cri;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The id that the runtime gave it.
    pub id: String,
    /// The id of its pod sandbox.
    pub pod_sandbox_id: String,
    /// Its name in the pod; empty where the runtime left the metadata out.
    pub name: String,
    /// How many containers of that name the pod had before this one.
    pub attempt: u32,
    /// The image as the user wrote it, else as the runtime names it.
    pub image: String,
    /// What the runtime resolved the image to: an image id, on some runtimes a repository digest.
    pub image_ref: String,
    /// The id of the image; empty on runtimes that do not tell (containerd 1.6, cri-dockerd).
    pub image_id: String,
    /// What it is doing.
    pub state: ContainerState,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// Labels of the container.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the container.
    pub annotations: BTreeMap<String, String>,
}

/// The state of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Created, never started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// The runtime itself does not know.
    Unknown,
    /// A number that CRI does not define.
    Undefined(i32),
}

impl ContainerState {
    /// The state behind a number of the proto.
    pub fn of(number: i32) -> Self {
        match cri::ContainerState::try_from(number) {
            Ok(cri::ContainerState::ContainerCreated) => Self::Created,
            Ok(cri::ContainerState::ContainerRunning) => Self::Running,
            Ok(cri::ContainerState::ContainerExited) => Self::Exited,
            Ok(cri::ContainerState::ContainerUnknown) => Self::Unknown,
            Err(_) => Self::Undefined(number),
        }
    }

    /// The word that tables show.
    pub fn word(self) -> String {
        match self {
            Self::Created => "Created".to_owned(),
            Self::Running => "Running".to_owned(),
            Self::Exited => "Exited".to_owned(),
            Self::Unknown => "Unknown".to_owned(),
            Self::Undefined(number) => format!("Undefined({number})"),
        }
    }
}

impl From<cri::Container> for Container {
    fn from(container: cri::Container) -> Self {
        let metadata = container.metadata.unwrap_or_default();
        let image = container.image.unwrap_or_default();
        Self {
            id: container.id,
            pod_sandbox_id: container.pod_sandbox_id,
            name: metadata.name,
            attempt: metadata.attempt,
            image: if image.user_specified_image.is_empty() {
                image.image
            } else {
                image.user_specified_image
            },
            image_ref: container.image_ref,
            image_id: container.image_id,
            state: ContainerState::of(container.state),
            created_at: container.created_at,
            labels: container.labels,
            annotations: container.annotations,
        }
    }
}

impl Row for Container {
    type Message = cri::Container;
    type Answer = cri::ListContainersResponse;
    const PLURAL: &'static str = "containers";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Container {
    /// The name of its pod, if the kubelet's label is there.
    pub fn pod_name(&self) -> Option<&str> {
        self.labels.get(label::POD_NAME).map(String::as_str)
    }

    /// The namespace of its pod, if the kubelet's label is there.
    pub fn pod_namespace(&self) -> Option<&str> {
        self.labels.get(label::POD_NAMESPACE).map(String::as_str)
    }

    /// Puts the kubelet's labels for name and namespace of its pod on it, unless they are there.
    pub fn belongs_to(&mut self, name: &str, namespace: &str) {
        for (key, value) in [(label::POD_NAME, name), (label::POD_NAMESPACE, namespace)] {
            if !value.is_empty() {
                self.labels
                    .entry(key.to_owned())
                    .or_insert_with(|| value.to_owned());
            }
        }
    }
}
