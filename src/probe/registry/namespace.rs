//! Whether a mirror heeds `?ns=`, by which containerd tells it whose image is wanted.
//!
//! A pull-through cache that ignores it serves the images of its one upstream under every registry's name: behind a
//! catch-all mirror `quay.io/acme/tool` is then `docker.io/acme/tool`.

use serde::{Deserialize, Serialize};

use super::outcome::{EndpointProbe, Event};
use super::target::Target;
use super::verdict::Verdict;
use super::{Depth, Options, probe_endpoints};
use crate::registry::RuntimeName;
use crate::registry::plan::RouteEndpoint;

/// A registry that no mirror can know: the top-level domain is reserved (RFC 2606).
const NOBODY: &str = "criscope-probe.invalid";

/// One tag asked for under three registries' names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceProbe {
    /// As the runtime asks.
    pub asked: EndpointProbe,
    /// Without `ns`, as other clients ask.
    pub without: EndpointProbe,
    /// For a registry that does not exist.
    pub foreign: EndpointProbe,
}

impl NamespaceProbe {
    /// Whether the mirror serves the same whoever's it should be. `None` if that cannot be told, because it does not
    /// serve the image at all or did not answer.
    pub fn ignored(&self) -> Option<bool> {
        let digest = self.asked.digest.as_ref()?;
        match &self.foreign.digest {
            Some(foreign) => Some(foreign == digest),
            None => (self.foreign.status.is_some() && self.foreign.verdict != Verdict::RateLimited)
                .then_some(false),
        }
    }
}

/// Asks a mirror for its image's tag with, without and with a wrong `ns`: three HEAD requests. `None` if the runtime
/// sends no `ns` there.
pub async fn probe_namespace(
    endpoint: &RouteEndpoint,
    options: &Options,
    progress: &(dyn Fn(Event) + Sync),
) -> Option<NamespaceProbe> {
    let target = Target::parse(&endpoint.url).ok()?;
    target.query().filter(|query| query.starts_with("ns="))?;
    let asking = |path: String| RouteEndpoint {
        url: target.at(path).wire_url(),
        ..endpoint.clone()
    };
    let endpoints = [
        endpoint.clone(),
        asking(target.bare_path().to_owned()),
        asking(format!("{}?ns={NOBODY}", target.bare_path())),
    ];
    let options = Options {
        depth: Depth::Resolve,
        ..options.clone()
    };
    let probes = probe_endpoints(&endpoints, RuntimeName::Containerd, &options, progress).await;
    let [asked, without, foreign] = <[EndpointProbe; 3]>::try_from(probes).ok()?;
    Some(NamespaceProbe {
        asked,
        without,
        foreign,
    })
}
