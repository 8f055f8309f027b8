//! Registry namespaces, hosts and mirrors: one model, whatever dialect it was written in. Text in, values out: nothing
//! here opens a file or a connection.

pub mod image_ref;
pub mod plan;
pub mod text;
pub mod version;

pub use image_ref::ImageRef;
pub use version::{RuntimeId, RuntimeName};
