//! Files that the user names, and standard input: read within a bound and without making signals wait, replaced whole or
//! not at all. What lies on the node that is examined is read by `probe::host_files`, which never leaves its root.

pub mod read;
pub mod replace;
