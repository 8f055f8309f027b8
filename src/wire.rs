//! Message bytes as they came over the wire: cut into elements, printed as JSON, searched for what we do not know – and
//! the way back, from a document to bytes.
//!
//! The room is driven by a table that the build makes from `proto/` ([`MessageType`], found through [`Typed`]); nothing
//! here knows what a container is. It does not decode into generated types (prost does), it does not open connections,
//! and it does not know gRPC's framing (`client` does).
//!
//! Followed are the protobuf encoding (<https://protobuf.dev/programming-guides/encoding/>) and the JSON mapping as Go's
//! `protojson` prints it with `EmitDefaultValues`, which is what crictl shows. Two places where the newest CRI definition
//! differs from every released tool are printed the released way: names of signals have no `SIGNAL_` in front, and the
//! value of an environment variable is text.
//!
//! Bytes are untrusted: every function is total, recursion follows the table (which has no cycles, the build sees to
//! it) and memory is bounded by what has arrived.
//!
//! ```
//! use criscope::wire::{self, Typed, json};
//! # use criscope::cri;
//! let version = cri::VersionResponse { runtime_name: "containerd".into(), ..Default::default() };
//! let bytes = prost::Message::encode_to_vec(&version);
//! let text = json::text(cri::VersionResponse::TYPE, &bytes, json::Layout::Compact)?;
//! assert_eq!(text, r#"{"version":"","runtimeName":"containerd","runtimeVersion":"","runtimeApiVersion":""}"#);
//! # Ok::<(), json::Error>(())
//! ```

mod encode;
mod gather;
pub mod json;
mod number;
mod pick;
mod scalar;
mod schema;
mod split;
mod table;
mod unknown;
mod value;
mod walk;

pub use encode::{EncodeErrors, Mistake, Problem, encode, encode_known};
pub use pick::{Path, Picked, Picker};
pub use schema::schema;
pub use split::Splitter;
pub use table::{EnumType, Field, Kind, MessageType, Shape, Typed, message_type, message_types};
pub use unknown::{Unknown, unknown_fields};
pub use value::{Unset, value};
pub use walk::{Fault, Fields, Malformed, Value, WireType, elements};

#[cfg(test)]
mod captures;
#[cfg(test)]
mod properties;
