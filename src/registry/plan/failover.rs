//! What a runtime does when an endpoint of a route fails: go on to the next one, or give up.
//!
//! Observed with real daemons, each failure at the first of two endpoints.

use serde::Serialize;

use crate::registry::rules::{Rule, Rules};
use crate::registry::version::{RuntimeId, RuntimeName};

/// Which failures lead to the next endpoint of a route, and which end the pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Failures after which the next endpoint is asked.
    pub next: &'static [Failure],
    /// Failures that end the pull although other endpoints are left.
    pub stop: &'static [Failure],
    /// Whether a blob that an endpoint lacks is asked for at the next one.
    pub per_object: bool,
    /// Whose error is shown when all fail.
    pub shown: ShownError,
}

/// Something that goes wrong at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// The name does not resolve.
    Dns,
    /// Nobody listens.
    Refused,
    /// The connection times out.
    ConnectTimeout,
    /// It accepts and never answers.
    Silent,
    /// TLS fails.
    Tls,
    /// 401 or 403.
    Denied,
    /// 404.
    NotFound,
    /// 429.
    TooManyRequests,
    /// 5xx.
    ServerError,
    /// A redirection that leads nowhere.
    Redirect,
    /// A well-formed answer that is no manifest, such as a portal's web page.
    WrongBody,
    /// A blob that breaks off or has the wrong digest.
    BrokenBlob,
    /// `/v2/` answers neither 200 nor 401.
    Ping,
}

/// Whose error a client gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShownError {
    /// The first endpoint's, except a 404.
    First,
    /// The most telling: a status above 399, then 404, then transport; of equals the first.
    ByRank,
    /// All of them.
    All,
    /// The last endpoint's.
    Last,
}

use Failure::{
    BrokenBlob, ConnectTimeout, Denied, Dns, NotFound, Ping, Redirect, Refused, ServerError,
    Silent, Tls, TooManyRequests, WrongBody,
};

/// What a version of a runtime does when an endpoint fails.
pub fn failover(rules: &Rules, runtime: &RuntimeId) -> Failover {
    match runtime.name {
        RuntimeName::Containerd => {
            let ends = rules.holds(Rule::ResponseHeaderTimeout, runtime);
            Failover {
                next: if ends {
                    &[
                        Dns,
                        Refused,
                        ConnectTimeout,
                        Silent,
                        Tls,
                        Denied,
                        NotFound,
                        TooManyRequests,
                        ServerError,
                    ]
                } else {
                    &[
                        Dns,
                        Refused,
                        ConnectTimeout,
                        Tls,
                        Denied,
                        NotFound,
                        TooManyRequests,
                        ServerError,
                    ]
                },
                stop: if ends {
                    &[Redirect, WrongBody, BrokenBlob]
                } else {
                    &[Silent, Redirect, WrongBody, BrokenBlob]
                },
                per_object: true,
                shown: if rules.holds(Rule::ErrorByRank, runtime) {
                    ShownError::ByRank
                } else {
                    ShownError::First
                },
            }
        }
        RuntimeName::Crio => Failover {
            next: &[
                Dns,
                Refused,
                ConnectTimeout,
                Tls,
                Ping,
                Denied,
                NotFound,
                TooManyRequests,
                ServerError,
            ],
            stop: &[Silent, WrongBody, BrokenBlob],
            per_object: false,
            shown: ShownError::All,
        },
        RuntimeName::Docker => Failover {
            next: &[
                Dns,
                Refused,
                ConnectTimeout,
                Tls,
                Denied,
                NotFound,
                ServerError,
            ],
            stop: &[BrokenBlob],
            per_object: false,
            shown: ShownError::Last,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_differ() {
        let of = |runtime: &str| failover(Rules::builtin(), &runtime.parse().unwrap());
        assert_eq!(of("containerd@1.7.34").shown, ShownError::First);
        assert_eq!(of("containerd@2.head").shown, ShownError::ByRank);
        assert!(of("containerd@2.2.7").stop.contains(&Silent));
        assert!(of("containerd@2.3.4").next.contains(&Silent));
        assert!(!of("crio@1.37.0").per_object);
    }
}
