//! What is foretold of a pull, and where endpoints disagree, as plain values.

use serde::{Deserialize, Serialize};

use super::outcome::EndpointProbe;
use super::verdict::Wait;

/// How a pull along a route will end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prediction {
    /// How it ends.
    pub outcome: Outcome,
    /// Position on the route of the endpoint that serves the manifest.
    pub served_by: Option<usize>,
    /// Position of the endpoint that serves the blobs, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blobs_by: Option<usize>,
    /// The digest that the image will have.
    pub digest: Option<String>,
    /// What the runtime waits for in vain before and beside that.
    pub delay: Wait,
    /// The same, by endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delays: Vec<EndpointDelay>,
    /// The error that the runtime will show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ExpectedError>,
    /// What was not seen and is taken for granted. Empty: the prediction rests on what was seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<Assumption>,
}

impl Prediction {
    /// A pull that cannot even start, and why.
    pub(super) fn stopped(why: &str) -> Self {
        Self {
            outcome: Outcome::Fails,
            served_by: None,
            blobs_by: None,
            digest: None,
            delay: Wait::Millis(0),
            delays: Vec::new(),
            error: Some(ExpectedError {
                text: why.to_owned(),
                verbatim: false,
                endpoint: None,
                hides: Vec::new(),
            }),
            assumed: Vec::new(),
        }
    }
}

/// The end of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The image arrives.
    Succeeds,
    /// It ends with an error.
    Fails,
    /// It does not end: the runtime has no deadline for what it waits for.
    Hangs,
}

/// Time lost at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointDelay {
    /// Position on the route.
    pub endpoint: usize,
    /// Requests that wait there.
    pub requests: u64,
    /// How long each waits.
    pub each: Wait,
}

impl EndpointDelay {
    /// All of it. Layers are fetched a few at a time, so with many layers the wall clock shows less.
    pub fn total(&self) -> Wait {
        match self.each {
            Wait::Millis(each) => Wait::Millis(each.saturating_mul(self.requests)),
            Wait::Endless => Wait::Endless,
        }
    }
}

/// The error of a pull that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedError {
    /// The part of it that tells the cause.
    pub text: String,
    /// Whether the runtime words it like this; otherwise the words are ours.
    #[serde(default)]
    pub verbatim: bool,
    /// Position of the endpoint it is about; none if the pull does not get as far as that.
    pub endpoint: Option<usize>,
    /// Positions of the endpoints that failed too and that it does not mention.
    pub hides: Vec<usize>,
}

/// Something a prediction takes for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assumption {
    /// Blobs were not fetched; they are thought to be there where the manifest is.
    BlobsNotProbed,
    /// The number of layers is not known; one is counted.
    LayersNotKnown,
    /// An endpoint with another digest for the tag is thought not to have the content of this one.
    OtherDigestNotAsked,
    /// The runtime's way of falling back was not observed.
    RuntimeNotObserved,
}

/// Endpoints that have different content for one reference: a stale mirror, or a cache that confuses registries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// One of the digests.
    pub digest: String,
    /// Positions of the endpoints that have it.
    pub endpoints: Vec<usize>,
}

/// The digests that endpoints gave, in the order of the route, when they are not all the same; else nothing.
pub fn digest_divergence(probes: &[EndpointProbe]) -> Vec<Divergence> {
    let mut groups: Vec<Divergence> = Vec::new();
    for (index, probe) in probes.iter().enumerate() {
        let Some(digest) = &probe.digest else {
            continue;
        };
        match groups.iter_mut().find(|group| group.digest == *digest) {
            Some(group) => group.endpoints.push(index),
            None => groups.push(Divergence {
                digest: digest.clone(),
                endpoints: vec![index],
            }),
        }
    }
    if groups.len() > 1 { groups } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_digest(digest: &str) -> EndpointProbe {
        EndpointProbe {
            digest: Some(digest.to_owned()),
            ..EndpointProbe::unseen("")
        }
    }

    #[test]
    fn divergence() {
        assert_eq!(
            digest_divergence(&[
                with_digest("a"),
                EndpointProbe::unseen(""),
                with_digest("a")
            ]),
            []
        );
        let groups = digest_divergence(&[
            with_digest("a"),
            with_digest("b"),
            EndpointProbe::unseen(""),
            with_digest("a"),
        ]);
        let shown: Vec<(&str, &[usize])> = groups
            .iter()
            .map(|group| (group.digest.as_str(), group.endpoints.as_slice()))
            .collect();
        assert_eq!(shown, [("a", [0, 3].as_slice()), ("b", &[1])]);
    }
}
