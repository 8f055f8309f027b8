//! What a probe brings back: plain values, serialisable, with the registry's own words kept as they came.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::certificate::Certificate;
use super::challenge::Challenge;
use super::target::Scheme;
use super::verdict::{Stage, Verdict};

/// Everything seen at one endpoint of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointProbe {
    /// The URL of the route's endpoint.
    pub url: String,
    /// What the endpoint turned out to be.
    pub verdict: Verdict,
    /// The stage that decided, when the verdict is not a good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Stage>,
    /// Digest of what the reference means there, if it was learnt.
    pub digest: Option<String>,
    /// How long the whole probe took, in milliseconds.
    pub ms: u64,
    /// What was seen, in one clause; may hold text of the registry.
    pub detail: String,
    /// The HTTP status that decided, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The error that a runtime, a Go program, prints for this; the part that does not depend on its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The transport on which the endpoint answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<Scheme>,
    /// Every hop, in order.
    pub steps: Vec<Step>,
    /// What `GET /v2/` answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping: Option<Ping>,
    /// The endpoint's own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// What the endpoint asked for after 401.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub challenge: Vec<Challenge>,
    /// The token server, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenProbe>,
    /// Redirects that were followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<Redirect>,
    /// Rate-limit headers, the last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// The manifest behind the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// The blobs that were fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<BlobProbe>,
}

/// One hop of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What was done.
    pub what: Stage,
    /// To whom: a host, an address, a method and URL.
    pub target: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// How it ended: nothing, or the verdict that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Verdict>,
    /// What came of it, in one clause.
    pub detail: String,
}

/// The answer to `GET /v2/`. It proves that something speaks the protocol, never that it has content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// The status.
    pub status: u16,
    /// `Docker-Distribution-Api-Version`.
    pub api_version: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
}

/// The token server as a second endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenProbe {
    /// The realm as the registry wrote it.
    pub realm: String,
    /// What the token server turned out to be.
    pub verdict: Verdict,
    /// The stage that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Stage>,
    /// Whether credentials went along.
    pub with_credentials: bool,
    /// What was seen.
    pub detail: String,
    /// The token server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// One redirect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// The URL that redirected.
    pub from: String,
    /// Where to; values of its query are left out, because storage puts signatures there.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// What the place it leads to turned out to be, when that is not a good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Verdict>,
    /// The stage that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Stage>,
    /// Whether it leads to another host. The probe sends no credentials there.
    pub other_host: bool,
    /// Whether Go would send them along all the same: it does to the same host on another port and to sub-domains.
    pub go_sends_credentials: bool,
    /// The certificate shown there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// Limits that a registry announces, as it wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// `RateLimit-Limit`, for instance `100;w=21600`.
    pub limit: Option<String>,
    /// `RateLimit-Remaining`.
    pub remaining: Option<String>,
    /// `Docker-RateLimit-Source`: the address or account that is counted.
    pub source: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
}

impl RateLimit {
    /// `Retry-After` in seconds, when it is written so.
    pub fn retry_seconds(&self) -> Option<u64> {
        self.retry_after.as_deref()?.trim().parse().ok()
    }
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Its media type, from the header or from itself.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest: computed when the body was read, else as the registry says.
    pub digest: Option<String>,
    /// Whether the body was read and hashed.
    pub verified: bool,
    /// Platforms of an index, `os/architecture/variant`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Digest of the image manifest that fits this node, when the reference means an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// Layers of the image manifest, when it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Bytes of all layers, when the image manifest was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_bytes: Option<u64>,
}

/// The two kinds of blobs of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// The configuration.
    Config,
    /// A layer; the smallest is fetched.
    Layer,
}

/// One blob that was fetched in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobProbe {
    /// Its declared digest.
    pub digest: String,
    /// Configuration or layer.
    pub kind: BlobKind,
    /// Its declared length.
    pub size: u64,
    /// What came of it; nothing when it was not fetched.
    pub verdict: Option<Verdict>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// What was seen.
    pub detail: String,
}

/// Progress of a probe, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Position of the endpoint on the route.
    pub endpoint: usize,
    /// What is done.
    pub what: Stage,
    /// To whom.
    pub target: String,
    /// Whether it begins or has ended, and how.
    pub state: EventState,
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventState {
    /// It begins.
    Begun,
    /// It has ended, well or with the verdict it leads to.
    Ended(Option<Verdict>),
}

/// Why a walk along an endpoint ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub verdict: Verdict,
    pub at: Stage,
    /// What was seen.
    pub detail: String,
    /// The status, if it was one.
    pub status: Option<u16>,
    /// How Go words it.
    pub error: Option<String>,
}

impl Fault {
    pub fn new(verdict: Verdict, at: Stage, detail: impl Into<String>) -> Self {
        Self {
            verdict,
            at,
            detail: detail.into(),
            status: None,
            error: None,
        }
    }

    /// Says that it was a status that decided, and words it as Go does.
    pub fn by_status(self, status: StatusCode) -> Self {
        Self {
            status: Some(status.as_u16()),
            error: Some(status.to_string()),
            ..self
        }
    }

    /// Adds Go's words.
    pub fn in_go(self, error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            ..self
        }
    }
}
