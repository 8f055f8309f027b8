//! The only include of generated code: CRI v1 (`runtime.v1`) and the containerd services that criscope calls.
//!
//! Shapes and numbers come from `proto/`; what a field means is said there. Named in `client`, `model`, `wire` and the
//! fake node, nowhere else.

#![allow(missing_docs, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/services.rs"));

pub use runtime::v1::*;

/// The compiled `proto/` as an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
