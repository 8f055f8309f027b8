//! The test pull: what it is made of, the pull itself, and who served it. What was in the store before, and the way back
//! there, is in `store`.

mod store;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::registry::EndpointProbe;
use crate::client::{self, Client};
use crate::cri;
use crate::model::Image;
use crate::registry::image_ref::ImageRef;
use crate::registry::plan::{Phase, Route};

pub use store::{Cleanup, Store, clean_up};

/// Everything that was found out about one image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestPull {
    /// The image as it was typed.
    pub image: String,
    /// What it all means.
    pub verdict: Verdict,
    /// The verdict in one sentence.
    pub message: String,
    /// What is wrong although the pull worked, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What has to be known beside that, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where the credentials of the pull come from, if it has any; never they themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// The endpoints that the runtime asks.
    pub route: Route,
    /// What each of them answered, in the order of the route.
    pub probes: Vec<EndpointProbe>,
    /// The pull.
    pub pull: Pull,
    /// Who served the image.
    pub served_by: Option<ServedBy>,
    /// Whether the image was there before, so that the pull proves less: no layer had to be fetched.
    pub already_present: bool,
    /// Names that were removed again.
    pub cleaned_up: Vec<String>,
    /// What the pull brought and that was left.
    pub left: Vec<Left>,
}

/// What a test pull means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Pulled, and every endpoint on the way works and agrees.
    Works,
    /// Pulled, but an endpoint on the way does not work.
    WorksWithTrouble,
    /// Pulled, but it is not the image that it should be.
    WrongContent,
    /// Not pulled.
    Fails,
    /// Pulled, but whether it is the image that it should be could not be told.
    Unproven,
    /// Not tried; the message says why.
    NotTried,
}

/// The pull itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pull {
    /// How it ended.
    pub status: PullStatus,
    /// How long it took, in milliseconds.
    pub ms: Option<u64>,
    /// The digest of the manifest that came.
    pub digest: Option<String>,
    /// The runtime's own words, verbatim.
    pub error: Option<String>,
    /// The endpoint on the route, from 0, whose failure these words are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_of: Option<usize>,
}

/// How a pull ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullStatus {
    /// The image came.
    Ok,
    /// The runtime gave up.
    Failed,
    /// It was interrupted, or took longer than it may.
    Interrupted,
    /// It was not tried.
    Skipped,
}

/// Who served the image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServedBy {
    /// The URL on the route.
    pub endpoint: String,
    /// How that is known.
    pub evidence: String,
    /// Whether nobody else can have been it.
    pub certain: bool,
}

/// Something that was left on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// A name, or an image id.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What a pull came to.
#[derive(Debug)]
pub struct Pulled {
    /// How it went.
    pub pull: Pull,
    /// The image that is there now.
    pub image: Option<Image>,
}

/// Pulls `image` and looks at what came. Nothing is cleaned up.
pub async fn pull(
    client: &Client,
    image: &ImageRef,
    auth: Option<cri::AuthConfig>,
    deadline: Option<Duration>,
    cancelled: impl Future<Output = ()>,
) -> Pulled {
    let spec = cri::ImageSpec {
        image: image.to_string(),
        ..Default::default()
    };
    let request = cri::PullImageRequest {
        image: Some(spec.clone()),
        auth,
        sandbox_config: None,
    };
    let began = Instant::now();
    let answer = tokio::select! {
        answer = client.pull_image(request, deadline) => Some(answer),
        () = cancelled => None,
    };
    let ms = u64::try_from(began.elapsed().as_millis()).ok();
    let unfinished = |status, error| Pull {
        status,
        ms,
        digest: None,
        error,
        error_of: None,
    };
    let pull = match answer {
        None => unfinished(PullStatus::Interrupted, None),
        Some(Err(error @ client::Error::Deadline { .. })) => {
            unfinished(PullStatus::Interrupted, Some(error.to_string()))
        }
        Some(Err(client::Error::Status { message, .. })) => {
            unfinished(PullStatus::Failed, Some(message))
        }
        Some(Err(error)) => unfinished(PullStatus::Failed, Some(error.to_string())),
        Some(Ok(_)) => unfinished(PullStatus::Ok, None),
    };
    if pull.status != PullStatus::Ok {
        return Pulled { pull, image: None };
    }
    let found = status(client, spec).await;
    let digest = found.as_ref().and_then(|found| digest_of(found, image));
    Pulled {
        pull: Pull { digest, ..pull },
        image: found,
    }
}

async fn status(client: &Client, image: cri::ImageSpec) -> Option<Image> {
    let request = cri::ImageStatusRequest {
        image: Some(image),
        verbose: false,
    };
    let reply = client.image_status(request).await.ok()?;
    reply.decode().ok()?.image.map(Image::from)
}

/// The manifest digest under which the image is known by the repository that was asked for.
fn digest_of(image: &Image, reference: &ImageRef) -> Option<String> {
    let name = reference.name();
    let ours = |digest: &&String| {
        digest
            .split_once('@')
            .is_some_and(|(repository, _)| repository == name)
    };
    let found = image
        .repo_digests
        .iter()
        .find(ours)
        .or(image.repo_digests.first())?;
    found.split_once('@').map(|(_, digest)| digest.to_owned())
}

/// Who served the image, as far as the probes can tell: the first endpoint in the runtime's order that serves it.
pub fn served_by(
    route: &Route,
    probes: &[EndpointProbe],
    digest: Option<&str>,
) -> Option<ServedBy> {
    let by_digest = route.reference.contains('@');
    let serving: Vec<&EndpointProbe> = route
        .endpoints
        .iter()
        .zip(probes)
        .filter(|(endpoint, _)| by_digest || endpoint.phases.contains(&Phase::Resolve))
        .map(|(_, probe)| probe)
        .filter(|probe| probe.verdict.is_good())
        .filter(|probe| match (digest, &probe.digest) {
            (Some(pulled), Some(served)) => pulled == served,
            _ => true,
        })
        .collect();
    let first = serving.first()?;
    let (evidence, certain) = match serving.len() {
        1 => (
            "the only endpoint on the route that serves this digest".to_owned(),
            true,
        ),
        count => (
            format!(
                "the first of {count} endpoints that serve it; the runtime does not tell which it took"
            ),
            false,
        ),
    };
    Some(ServedBy {
        endpoint: first.url.clone(),
        evidence,
        certain,
    })
}

/// The endpoint whose failure the runtime's words are about.
pub fn error_of(error: &str, probes: &[EndpointProbe]) -> Option<usize> {
    let by_words = |probe: &EndpointProbe| {
        probe
            .error
            .as_deref()
            .is_some_and(|words| error.contains(words))
    };
    let by_host =
        |probe: &EndpointProbe| host_of(&probe.url).is_some_and(|host| error.contains(host));
    probes
        .iter()
        .position(|probe| by_words(probe) && by_host(probe))
        .or_else(|| probes.iter().position(by_words))
        .or_else(|| {
            probes
                .iter()
                .position(|probe| !probe.verdict.is_good() && by_host(probe))
        })
}

/// `host:port` of a URL, without user and password.
pub fn host_of(url: &str) -> Option<&str> {
    url.split_once("://")?
        .1
        .split('/')
        .next()?
        .rsplit('@')
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_urls() {
        assert_eq!(host_of("https://reg:5000/v2/a"), Some("reg:5000"));
        assert_eq!(host_of("https://us:p@w@reg/v2/a"), Some("reg"));
        assert_eq!(host_of("nonsense"), None);
    }
}
