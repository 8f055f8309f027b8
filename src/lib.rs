//! criscope tells the truth about the container runtime of a Kubernetes node.

pub mod client;
pub mod cri;
pub mod endpoint;
pub mod error;
#[cfg(feature = "demo")]
pub mod fake;
pub mod registry;
pub mod settings;
pub mod wire;
