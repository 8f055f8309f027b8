//! Two routes of one image, side by side: what another configuration, or another version of the runtime, would change.
//!
//! Pure, like the plan itself. Endpoints are known by their method and URL; whether they answer is not asked here.

use serde::{Deserialize, Serialize};

use super::{Route, RouteEndpoint};

/// What becomes of one image's route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The image as it was typed.
    pub image: String,
    /// The same, normalised.
    pub reference: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// The differences, in the order of the new route; what is gone comes last.
    pub changes: Vec<Change>,
    /// The route as it is.
    pub before: Route,
    /// The route as it would be.
    pub after: Route,
}

/// What a comparison comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The same endpoints in the same order, asked in the same way.
    Same,
    /// Something differs, and there is still an endpoint to ask.
    Changed,
    /// There was an endpoint to ask, and there is none any more.
    Lost,
    /// There was no endpoint to ask, and now there is one.
    Gained,
}

/// One difference between two routes. Positions count from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// An endpoint that was not asked before.
    Added {
        /// Its URL.
        url: String,
        /// Its position on the new route.
        at: usize,
    },
    /// An endpoint that is no longer asked.
    Removed {
        /// Its URL.
        url: String,
        /// Its position on the old route.
        at: usize,
    },
    /// An endpoint that is asked earlier or later than another one than before.
    Moved {
        /// Its URL.
        url: String,
        /// Its position on the old route.
        from: usize,
        /// Its position on the new route.
        to: usize,
    },
    /// An endpoint that is asked in another way.
    Differs {
        /// Its URL.
        url: String,
        /// Its position on the new route.
        at: usize,
        /// What differs.
        what: Aspect,
        /// As it was, in words.
        before: String,
        /// As it would be, in words.
        after: String,
    },
    /// The pull could start, or could not, and now it is the other way round or for another reason.
    Fatal {
        /// Why it could not start.
        before: Option<String>,
        /// Why it would not start.
        after: Option<String>,
    },
}

/// A property of an endpoint on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// In which phases of the pull it is asked.
    Phases,
    /// Whether its certificate is verified.
    Verification,
    /// The certificate authorities trusted beside the system's.
    Authorities,
    /// The client certificate.
    ClientCertificate,
    /// What is tried after TLS failed.
    Fallback,
    /// Where credentials come from.
    Credentials,
    /// Names of the headers that are added.
    Headers,
}

/// Compares the route as it is with the route as it would be.
pub fn compare(before: Route, after: Route) -> Comparison {
    let mut changes = Vec::new();
    if before.fatal != after.fatal {
        changes.push(Change::Fatal {
            before: before.fatal.clone(),
            after: after.fatal.clone(),
        });
    }
    let pairs = pairs(&before, &after);
    // Where an endpoint stands among those that are on both routes: what was added or removed moves nothing.
    let mut by_age: Vec<usize> = pairs.iter().flatten().copied().collect();
    by_age.sort_unstable();
    let mut rank = 0;
    for (at, (endpoint, old)) in after.endpoints.iter().zip(&pairs).enumerate() {
        let url = endpoint.url.clone();
        let Some(from) = *old else {
            changes.push(Change::Added { url, at });
            continue;
        };
        if by_age.get(rank) != Some(&from) {
            changes.push(Change::Moved {
                url: url.clone(),
                from,
                to: at,
            });
        }
        rank += 1;
        let aspects = before
            .endpoints
            .get(from)
            .map(|old| aspects(old).into_iter().zip(aspects(endpoint)));
        for ((what, before), (_, after)) in aspects.into_iter().flatten() {
            if before != after {
                changes.push(Change::Differs {
                    url: url.clone(),
                    at,
                    what,
                    before,
                    after,
                });
            }
        }
    }
    for (at, endpoint) in before.endpoints.iter().enumerate() {
        if !pairs.contains(&Some(at)) {
            changes.push(Change::Removed {
                url: endpoint.url.clone(),
                at,
            });
        }
    }
    let verdict = match (before.is_passable(), after.is_passable()) {
        (true, false) => Verdict::Lost,
        (false, true) => Verdict::Gained,
        _ if changes.is_empty() => Verdict::Same,
        _ => Verdict::Changed,
    };
    Comparison {
        image: after.image.clone(),
        reference: after.reference.clone(),
        verdict,
        changes,
        before,
        after,
    }
}

/// For every endpoint of the new route its position on the old one. An endpoint that is on a route twice is paired in
/// order.
fn pairs(before: &Route, after: &Route) -> Vec<Option<usize>> {
    let mut taken = vec![false; before.endpoints.len()];
    let mut pairs = Vec::new();
    for endpoint in &after.endpoints {
        let same = |(at, old): (usize, &RouteEndpoint)| {
            (old.method == endpoint.method && old.url == endpoint.url).then_some(at)
        };
        let found = before
            .endpoints
            .iter()
            .enumerate()
            .filter_map(same)
            .find(|at| !taken[*at]);
        if let Some(at) = found {
            taken[at] = true;
        }
        pairs.push(found);
    }
    pairs
}

/// Everything about an endpoint that can differ while its URL stays, in words.
fn aspects(endpoint: &RouteEndpoint) -> [(Aspect, String); 7] {
    let none = || "none".to_owned();
    let list = |items: Vec<String>| {
        if items.is_empty() {
            none()
        } else {
            items.join(", ")
        }
    };
    let tls = &endpoint.tls;
    let phases = endpoint.phases.iter();
    [
        (
            Aspect::Phases,
            list(phases.map(|phase| phase.to_string()).collect()),
        ),
        (
            Aspect::Verification,
            if tls.verify {
                "verified"
            } else {
                "not verified"
            }
            .to_owned(),
        ),
        (
            Aspect::Authorities,
            list(tls.ca.iter().map(|ca| ca.display().to_string()).collect()),
        ),
        (
            Aspect::ClientCertificate,
            tls.client_cert
                .as_ref()
                .map_or_else(none, |client| client.cert.display().to_string()),
        ),
        (
            Aspect::Fallback,
            if endpoint.fallback.is_some() {
                "plain HTTP".to_owned()
            } else {
                none()
            },
        ),
        (Aspect::Credentials, endpoint.auth.source.to_string()),
        (Aspect::Headers, list(endpoint.headers.clone())),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::{AuthPolicy, Method, Phase, Source, TlsPolicy};
    use super::*;

    fn route(urls: &[&str]) -> Route {
        let endpoint = |url: &&str| RouteEndpoint {
            method: Method::Head,
            url: (*url).to_owned(),
            phases: vec![Phase::Resolve, Phase::Fetch],
            tls: TlsPolicy {
                verify: true,
                ..TlsPolicy::default()
            },
            fallback: None,
            auth: AuthPolicy {
                source: super::super::AuthSource::None,
            },
            headers: Vec::new(),
            why: String::new(),
            source: Source::Builtin,
        };
        Route {
            image: "a".into(),
            reference: "docker.io/library/a:latest".into(),
            runtime: "containerd@1.7.0".into(),
            endpoints: urls.iter().map(endpoint).collect(),
            fatal: None,
            fatal_source: None,
            unread: Vec::new(),
        }
    }

    #[test]
    fn what_becomes_of_the_endpoints() {
        #[track_caller]
        fn case(before: &[&str], after: &[&str], verdict: Verdict, changes: &[&str]) {
            let comparison = compare(route(before), route(after));
            let shown: Vec<String> = comparison
                .changes
                .iter()
                .map(|change| match change {
                    Change::Added { url, at } => format!("+{url}@{at}"),
                    Change::Removed { url, at } => format!("-{url}@{at}"),
                    Change::Moved { url, from, to } => format!("{url} {from}>{to}"),
                    other => format!("{other:?}"),
                })
                .collect();
            assert_eq!(
                (comparison.verdict, shown),
                (
                    verdict,
                    changes.iter().map(|text| (*text).to_owned()).collect()
                )
            );
        }
        case(&["m", "u"], &["m", "u"], Verdict::Same, &[]);
        case(&["m", "u"], &["u"], Verdict::Changed, &["-m@0"]);
        case(&["u"], &["m", "u"], Verdict::Changed, &["+m@0"]);
        case(
            &["m", "u"],
            &["u", "m"],
            Verdict::Changed,
            &["u 1>0", "m 0>1"],
        );
        case(
            &["m", "n", "u"],
            &["x", "n", "u"],
            Verdict::Changed,
            &["+x@0", "-m@0"],
        );
        case(&["m"], &[], Verdict::Lost, &["-m@0"]);
        case(&[], &["m"], Verdict::Gained, &["+m@0"]);
        case(&[], &[], Verdict::Same, &[]);
    }

    #[test]
    fn a_pull_that_cannot_start_any_more_is_lost() {
        let mut after = route(&["u"]);
        after.fatal = Some("invalid `host` tree".into());
        let comparison = compare(route(&["u"]), after);
        assert_eq!(comparison.verdict, Verdict::Lost);
        assert!(matches!(comparison.changes[0], Change::Fatal { .. }));
    }

    #[test]
    fn the_same_url_asked_in_another_way() {
        let mut after = route(&["m"]);
        after.endpoints[0].tls.verify = false;
        let comparison = compare(route(&["m"]), after);
        assert_eq!(comparison.verdict, Verdict::Changed);
        assert_eq!(
            comparison.changes,
            [Change::Differs {
                url: "m".into(),
                at: 0,
                what: Aspect::Verification,
                before: "verified".into(),
                after: "not verified".into(),
            }]
        );
    }
}
