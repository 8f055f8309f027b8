//! Goes and looks, never judges and never formats for people: sockets, processes, host files and registries, each
//! found, absent, or unknown with the reason.

pub mod daemon;
pub mod discovery;
pub mod host_files;
pub mod image_probe;
pub mod kubelet;
pub mod logins;
pub mod node;
pub mod pulls;
pub mod registry;
pub mod smoke;
pub mod socket;
pub mod stores;
pub mod test_pull;
