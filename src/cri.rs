//! The only include of generated code: CRI v1 (`runtime.v1`) and the containerd services that criscope calls.
//!
//! Shapes and numbers come from `proto/`; what a field means is said there. Named in `client`, `model`, `wire` and the
//! fake node, nowhere else.

#![allow(missing_docs, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/services.rs"));

pub use runtime::v1::*;

/// The compiled `proto/` as an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Without the password and the tokens: a request can be shown in a log.
impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}
