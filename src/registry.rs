//! Registry namespaces, hosts and mirrors: one model, whatever dialect it was written in. Text in, values out: nothing
//! here opens a file or a connection.

pub mod plan;
