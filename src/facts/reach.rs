//! What came of asking registries for images, only when asked for: nothing is pulled.

use serde::{Deserialize, Serialize};

/// What asking for one image came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It would be pulled from the first that is asked.
    Served,
    /// It would be pulled, though something on the way does not work or mixes registries up.
    Trouble,
    /// It would not be pulled, or something else than is meant.
    Refused,
    /// It cannot be told.
    #[default]
    Unknown,
}

/// One image, and who was asked for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reached {
    /// The image, as a pod names it.
    pub image: String,
    /// The rules by which was asked, as in `containerd@2.1.4`.
    pub runtime: String,
    /// What it came to.
    pub end: End,
    /// The same as a sentence.
    pub message: String,
    /// What the runtime would say.
    pub error: Option<String>,
    /// Who was asked, in the order of the route.
    pub asked: Vec<Asked>,
    /// How long all of it took, in milliseconds.
    pub ms: u64,
}

/// One endpoint that was asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Asked {
    /// The URL of the first request.
    pub url: String,
    /// Whether it serves the image.
    pub good: bool,
    /// What was seen, in one clause.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}
