//! Goes and looks: sockets, host files, registries.
//!
//! A probe brings back values. It never judges (that is `check`) and never formats for people (that is `render`).
//! Every wait has a deadline, and whatever comes from outside is bounded.

pub mod host_files;
