//! One image probed along its route: what every endpoint answered, what the real pull will do about it, and whether
//! the endpoints agree about what the image is.
//!
//! Gathers with `probe::registry` and puts the pure judgements of that room together. Nothing is pulled: that is
//! `probe::test_pull`.

use serde::{Deserialize, Serialize};

use super::registry::Verdict as Seen;
use super::registry::{
    Depth, Divergence, EndpointProbe, Event, NamespaceProbe, Options, Outcome, Prediction,
    digest_divergence, predict, probe_namespace, probe_route,
};
use super::test_pull::host_of;
use crate::registry::plan::Route;

/// Everything about one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageProbe {
    /// The image as it was typed.
    pub image: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// The same as a sentence.
    pub message: String,
    /// The endpoints that are asked.
    pub route: Route,
    /// What each of them answered, in the order of the route.
    pub probes: Vec<EndpointProbe>,
    /// How the real pull will end, and what it waits for.
    pub prediction: Option<Prediction>,
    /// The digests that were served, if they are not all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub divergence: Vec<Divergence>,
    /// Mirrors that were asked for the same image under other registries' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Confusion>,
}

/// What probing one image comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The first endpoint that is asked serves it.
    Works,
    /// It will be pulled, but an endpoint on the way does not work or confuses registries.
    WorksWithTrouble,
    /// The endpoints have different content for it.
    WrongContent,
    /// The pull will fail.
    Fails,
    /// The pull will not end.
    Hangs,
    /// It cannot be told.
    Unknown,
}

/// Whether a mirror tells one registry's images from another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confusion {
    /// Position of the mirror on the route.
    pub endpoint: usize,
    /// Whether it is asked for the images of every registry.
    pub catch_all: bool,
    /// Whether it serves the same whoever's it should be; nothing if that cannot be told.
    pub ignores_namespace: Option<bool>,
    /// What it answered.
    pub seen: NamespaceProbe,
}

/// Probes the endpoints of a route. `stranger` is the route of an image of a registry that nobody has configured: who
/// is on both is asked for everything. Without it no mirror is asked about other registries' names.
pub async fn look(
    route: Route,
    stranger: Option<&Route>,
    options: &Options,
    progress: &(dyn Fn(Event) + Sync),
) -> ImageProbe {
    let probes = probe_route(&route, options, progress).await;
    let mut namespaces = Vec::new();
    let asked = stranger.filter(|_| options.depth > Depth::Ping);
    for (index, (endpoint, probe)) in route.endpoints.iter().zip(&probes).enumerate() {
        let Some(stranger) = asked.filter(|_| probe.verdict.is_good()) else {
            continue;
        };
        if let Some(seen) = probe_namespace(endpoint, options, progress).await {
            let host = host_of(&endpoint.url);
            let others = stranger.endpoints.iter();
            namespaces.push(Confusion {
                endpoint: index,
                catch_all: others
                    .filter(|other| other.url.contains("?ns="))
                    .any(|other| host_of(&other.url) == host),
                ignores_namespace: seen.ignored(),
                seen,
            });
        }
    }
    let prediction = predict(&route, &probes).filter(|_| options.depth > Depth::Ping);
    let mut probe = ImageProbe {
        image: route.image.clone(),
        verdict: Verdict::Unknown,
        message: String::new(),
        divergence: digest_divergence(&probes),
        route,
        probes,
        prediction,
        namespaces,
    };
    (probe.verdict, probe.message) = judge(&probe);
    probe
}

impl ImageProbe {
    /// Mirrors that serve another registry's image under this one's name.
    pub fn confusing(&self) -> impl Iterator<Item = &Confusion> {
        self.namespaces
            .iter()
            .filter(|seen| seen.catch_all && seen.ignores_namespace == Some(true))
    }

    fn host(&self, endpoint: usize) -> &str {
        self.probes
            .get(endpoint)
            .and_then(|probe| host_of(&probe.url))
            .unwrap_or("an unknown endpoint")
    }
}

/// What probes and prediction mean together.
fn judge(probe: &ImageProbe) -> (Verdict, String) {
    if let Some(fatal) = &probe.route.fatal {
        return (Verdict::Fails, format!("the pull cannot start: {fatal}"));
    }
    if probe.probes.is_empty() {
        return (Verdict::Fails, "no endpoint is asked".to_owned());
    }
    let Some(prediction) = &probe.prediction else {
        let good = probe.probes.iter().filter(|p| p.verdict.is_good()).count();
        let all = probe.probes.len();
        return match good {
            0 => (Verdict::Fails, "no endpoint answers".to_owned()),
            good if good == all => (Verdict::Works, format!("{good} of {all} endpoints answer")),
            good => (
                Verdict::WorksWithTrouble,
                format!("{good} of {all} endpoints answer"),
            ),
        };
    };
    match prediction.outcome {
        Outcome::Hangs => {
            let waiting = prediction
                .delays
                .iter()
                .find(|delay| matches!(delay.each, super::registry::Wait::Endless));
            let host = waiting.map_or("an endpoint", |delay| probe.host(delay.endpoint));
            let seen = waiting.and_then(|delay| probe.probes.get(delay.endpoint));
            let what = match seen {
                Some(seen) if seen.verdict == Seen::Oversized => format!(
                    "{host} sends without end ({}), and the runtime reads on",
                    seen.detail
                ),
                Some(seen) if seen.verdict == Seen::Stalled => format!(
                    "{host} begins to answer and stops ({}), and the runtime waits for it without end",
                    seen.detail
                ),
                _ => format!("{host} does not answer, and the runtime waits for it without end"),
            };
            return (Verdict::Hangs, format!("the pull would hang: {what}"));
        }
        Outcome::Fails => {
            let message = match &prediction.error {
                Some(error) => match error.endpoint {
                    Some(endpoint) => format!(
                        "the pull would fail with an error about {}: {}",
                        probe.host(endpoint),
                        error.text
                    ),
                    None => format!("the pull would fail: {}", error.text),
                },
                None => "the pull would fail".to_owned(),
            };
            return (Verdict::Fails, message);
        }
        Outcome::Succeeds => {}
    }
    let Some(server) = prediction.served_by else {
        return (
            Verdict::Unknown,
            "who would serve it is not known".to_owned(),
        );
    };
    let host = probe.host(server);
    if !probe.divergence.is_empty() {
        return (
            Verdict::WrongContent,
            format!("the endpoints disagree about what it is; {host} would serve it"),
        );
    }
    let before = probe.probes.iter().take(server);
    let troubled = before.filter(|probe| !probe.verdict.is_good()).count();
    if troubled > 0 {
        return (
            Verdict::WorksWithTrouble,
            format!("{host} would serve it, but what is asked before does not work"),
        );
    }
    if probe.confusing().next().is_some() {
        return (
            Verdict::WorksWithTrouble,
            format!("{host} would serve it, but a mirror confuses registries"),
        );
    }
    (Verdict::Works, format!("{host} would serve it"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_pull_would_wait_for_is_said() {
        #[track_caller]
        fn case(verdict: &str, detail: &str, expected: &str) {
            let url = "http://m.test:5000/v2/a/manifests/1?ns=reg.test";
            let probe: ImageProbe = serde_json::from_value(json!({
                "image": "reg.test/a:1", "verdict": "unknown", "message": "",
                "route": {
                    "image": "", "reference": "", "runtime": "containerd@2.1.9", "fatal": null,
                    "endpoints": [{
                        "method": "HEAD", "url": url, "phases": ["resolve", "fetch"],
                        "tls": {"verify": true, "ca": [], "clientCert": null}, "fallback": null,
                        "auth": {"source": "request"}, "why": "", "source": {"kind": "builtin"},
                    }],
                },
                "probes": [{
                    "url": url, "verdict": verdict, "failedAt": "manifest", "digest": null, "ms": 1,
                    "detail": detail, "steps": [],
                }],
                "prediction": null,
            }))
            .unwrap();
            let prediction = predict(&probe.route, &probe.probes);
            let (outcome, message) = judge(&ImageProbe {
                prediction,
                ..probe
            });
            assert_eq!((outcome, message.as_str()), (Verdict::Hangs, expected));
        }
        case(
            "oversized",
            "its answer is larger than 8 MiB",
            "the pull would hang: m.test:5000 sends without end (its answer is larger than 8 MiB), and the runtime reads on",
        );
        case(
            "timeout",
            "",
            "the pull would hang: m.test:5000 does not answer, and the runtime waits for it without end",
        );
    }
}
