//! The runtime's answers in our words: only what is shown or judged. Pure values; `From<cri::T>` stands beside each
//! type.

pub mod container;
pub mod image;
pub mod listed;
pub mod listing;
pub mod pod_sandbox;
pub mod stats;

pub use container::{Container, ContainerState};
pub use image::Image;
pub use listed::{Listed, ListedContainer, ListedImage, ListedPod};
pub use listing::{Item, Listing, Row};
pub use pod_sandbox::{PodSandbox, PodSandboxState};
pub use stats::{ContainerStats, MetricDescriptor, PodMetrics, PodStats};

/// The labels that the kubelet puts on what it creates.
pub mod label {
    /// Name of the pod.
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    /// Namespace of the pod.
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// UID of the pod in the API server.
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    /// Name of the container in the pod's specification.
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
}
