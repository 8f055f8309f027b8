//! Certificates that lie on the node. Keys are never kept.

use serde::{Deserialize, Serialize};

/// A certificate, the first of its file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Whom it is for, as in `CN=system:node:a,O=system:nodes`.
    pub subject: String,
    /// From when on it counts, RFC 3339.
    pub not_before: String,
    /// Until when it counts, RFC 3339.
    pub not_after: String,
}
