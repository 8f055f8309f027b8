//! criscope tells the truth about the container runtime of a Kubernetes node.

pub mod cri;
pub mod registry;
