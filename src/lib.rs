//! criscope tells the truth about the container runtime of a Kubernetes node.

pub mod check;
pub mod cli;
pub mod client;
pub mod command;
pub mod cri;
pub mod dialect;
pub mod endpoint;
pub mod error;
pub mod facts;
#[cfg(feature = "demo")]
pub mod fake;
pub mod files;
pub mod interrupt;
pub mod model;
pub mod probe;
pub mod registry;
pub mod render;
pub mod secret;
pub mod settings;
pub mod spans;
pub mod stream;
pub mod template;
pub mod wire;
