//! What the site expects of a node: brought along from its policy, so that saved facts can be judged by it, too.

use serde::{Deserialize, Serialize};

/// A mirror that has to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedMirror {
    /// The registry that it stands for: `docker.io`.
    pub namespace: String,
    /// Its URL.
    pub url: String,
    /// Why.
    pub reason: String,
}
