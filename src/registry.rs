//! Registry namespaces, hosts and mirrors: one model, whatever dialect it was written in. Text in, values out: nothing
//! here opens a file or a connection.

pub mod containerd;
pub mod convert;
pub mod crio_conf;
pub mod declared;
pub mod docker_daemon;
pub mod document;
pub mod golang;
pub mod hosts_toml;
pub mod image_ref;
pub mod in_force;
pub mod json;
pub mod k3s;
pub mod lint;
pub mod node;
pub mod plan;
pub mod registries_conf;
pub mod rules;
pub mod text;
pub mod tree;
pub mod version;

pub use declared::Declared;
pub use image_ref::ImageRef;
pub use version::{RuntimeId, RuntimeName};

#[cfg(test)]
mod cases;
