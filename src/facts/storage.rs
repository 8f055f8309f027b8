//! File systems: how full, of what kind, how mounted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fact;

/// File systems.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Storage {
    /// Directories that are asked about, by path, and the file system that each is on.
    pub paths: BTreeMap<String, Fact<FileSystem>>,
}

/// The file system that a directory is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystem {
    /// Where it is mounted.
    pub mountpoint: String,
    /// Its kind: `ext4`, `xfs`, `overlay`, `tmpfs`.
    pub kind: String,
    /// The device, or whatever stands for it.
    pub device: String,
    /// Whether nothing can be written.
    pub read_only: bool,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Bytes that a user may still write.
    pub free_bytes: u64,
    /// How many inodes it has; 0 where they are made on demand.
    pub inodes: u64,
    /// How many are free.
    pub free_inodes: u64,
}

impl FileSystem {
    /// Free space in percent.
    pub fn free_percent(&self) -> f64 {
        percent(self.free_bytes, self.total_bytes)
    }

    /// Free inodes in percent; 100 where they are made on demand.
    pub fn free_inodes_percent(&self) -> f64 {
        if self.inodes == 0 {
            100.0
        } else {
            percent(self.free_inodes, self.inodes)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage needs no 53 bits")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 1000.0).round() / 10.0
}
