//! What daemons wrote last before they died, out of the system's journal.

use serde::{Deserialize, Serialize};

/// A line of the journal that belongs to a unit of a runtime or the kubelet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalLine {
    /// The unit.
    pub unit: String,
    /// When, RFC 3339.
    pub time: String,
    /// Whether systemd says it about the unit, and not the unit itself.
    pub by_systemd: bool,
    /// The message, at most 2,000 characters, with secrets covered.
    pub text: String,
}
