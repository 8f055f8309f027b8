//! Triage of one endpoint: from a path to a verdict, within one deadline, without harm.
//!
//! The steps go from cheap to telling: what is at the path; who holds the socket (read from /proc before anything is
//! sent, because connecting wakes a socket-activated service); connect(); CRI's `Version` in v1, then in v1alpha2; and
//! where CRI is not served, containerd's own list of plugins. The first step that fails is the verdict, and nothing is
//! asked of a daemon after it has not answered once.
//!
//! What is not done here: deciding which endpoint is taken (see [`discovery`](super::discovery)) and showing it.

mod advice;
mod answer;
mod behind;
pub mod holder;
pub mod host;
pub mod peer;
mod permission;
mod place;
mod plugins;
pub mod units;

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::client::{self, Api, Client, Kind};
use crate::cri;
use crate::endpoint::report::{Process, Runtime, Verdict};
use crate::endpoint::{Endpoint, connect};
use answer::Silence;
use behind::Behind;
use host::Host;
use peer::Peer;

/// How much is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What is needed to talk to a runtime: the process behind one that serves is not looked up.
    Quick,
    /// Everything.
    Full,
}

/// How an endpoint is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The time for everything together.
    pub deadline: Duration,
    /// Whether a socket-activated service may be woken.
    pub wake: bool,
    /// How much is found out.
    pub effort: Effort,
}

/// What one endpoint turned out to be.
#[derive(Debug)]
pub struct Triage {
    /// The verdict.
    pub verdict: Verdict,
    /// Who answered.
    pub runtime: Option<Runtime>,
    /// How long the `Version` call took that was answered.
    pub latency: Option<Duration>,
    /// Who holds the socket.
    pub process: Option<Process>,
    /// What was seen, in one sentence.
    pub detail: String,
    /// The daemon's own words, verbatim.
    pub runtime_says: Option<String>,
    /// What to do, in one sentence.
    pub advice: Option<String>,
    /// The connection, where CRI answers.
    pub live: Option<Live>,
}

/// A connection over which CRI has answered.
#[derive(Debug)]
pub struct Live {
    /// The connection.
    pub connection: connect::Connection,
    /// The version of CRI that is spoken.
    pub api: Api,
}

impl Triage {
    fn new(verdict: Verdict, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict,
            runtime: None,
            latency: None,
            process: None,
            detail: detail.into(),
            runtime_says: None,
            advice: Some(advice.into()),
            live: None,
        }
    }

    fn of(mut self, process: Option<Process>) -> Self {
        self.process = process;
        self
    }
}

/// Examines an endpoint. It always ends by the deadline, with a verdict.
pub async fn triage(endpoint: &Endpoint, host: &Host, options: &Options) -> Triage {
    let path = endpoint.path();
    let called = &host.inside(path);
    if let Some(found) = place::look(path, called) {
        return found;
    }
    if !options.wake
        && let Some(found) = place::dormant(path, host, options.effort)
    {
        return found;
    }
    let until = Instant::now() + options.deadline;
    let stream = match timeout_at(until, connect::open(endpoint)).await {
        Err(_) => return answer::backlog_full(path, called, host, options),
        Ok(Err(error)) => return place::unconnected(path, called, &error),
        Ok(Ok(stream)) => stream,
    };
    let behind = Behind {
        host,
        path,
        called,
        peer: behind::peer_of(&stream),
        effort: options.effort,
    };
    let connection = match timeout_at(until, connect::over(stream)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) => return not_grpc(Peer::Closes, endpoint, until, &behind).await,
        Err(_) => return answer::silent(&behind, Silence::Preface, options.deadline),
    };
    for api in [Api::V1, Api::V1alpha2] {
        let began = Instant::now();
        let answer = match timeout_at(until, version(endpoint, &connection, api, options)).await {
            Ok(answer) => answer,
            Err(_) => Err(client::Error::Deadline {
                rpc: "Version",
                endpoint: endpoint.clone(),
                deadline: options.deadline,
            }),
        };
        let latency = began.elapsed();
        let error = match answer {
            Ok(answer) => return answer::serving(api, &answer, latency, connection, &behind),
            Err(error) => error,
        };
        let greeting = connection.greeting();
        let said = peer::recognise(&greeting.bytes(), greeting.ended());
        match error.kind() {
            Some(Kind::Deadline) if matches!(error, client::Error::Deadline { .. }) => {
                return match said {
                    Peer::Http2 => answer::silent(&behind, Silence::Answer, options.deadline),
                    Peer::Silent if permission::is_ttrpc(path) => {
                        answer::named(&Peer::Silent, &behind)
                    }
                    Peer::Silent => answer::silent(&behind, Silence::Preface, options.deadline),
                    said => answer::named(&said, &behind),
                };
            }
            // Whatever was made of its answer, a peer that did not begin with HTTP/2 is something else.
            _ if said != Peer::Http2 => return not_grpc(said, endpoint, until, &behind).await,
            // Go's servers name the service, others only say UNIMPLEMENTED: every server of CRI has `Version`.
            Some(Kind::UnknownService | Kind::UnknownMethod) => {}
            Some(Kind::Broken) => {
                let why = match &error {
                    client::Error::Status { message, .. } => message.clone(),
                    other => other.to_string(),
                };
                return answer::broken(&why, &behind);
            }
            _ => return answer::failed(&error, &behind),
        }
    }
    without_cri(endpoint, &connection, until, &behind, options).await
}

/// What is to be said instead of connecting, where connecting would wake a service that is down.
pub fn dormant(endpoint: &Endpoint, host: &Host) -> Option<Triage> {
    place::dormant(endpoint.path(), host, Effort::Quick)
}

/// Asks CRI's `Version`.
async fn version(
    endpoint: &Endpoint,
    connection: &connect::Connection,
    api: Api,
    options: &Options,
) -> Result<cri::VersionResponse, client::Error> {
    let options = client::Options {
        deadline: options.deadline,
        // The older API is spoken when its turn has come, not before.
        fall_back: api == Api::V1alpha2,
    };
    let client = Client::over(endpoint.clone(), connection.clone(), api, options);
    let reply = client.version(cri::VersionRequest::default()).await?;
    client.decode("Version", &reply)
}

/// The peer broke off: finds out what it is.
async fn not_grpc(said: Peer, endpoint: &Endpoint, until: Instant, behind: &Behind<'_>) -> Triage {
    let told = match said {
        Peer::Http(_) | Peer::Closes | Peer::Silent => {
            match timeout_at(until, peer::ask(endpoint)).await {
                // Writing may have failed before the end was read: the call has failed, so it is no silence.
                Ok(Peer::Silent | Peer::Closes) | Err(_) if said == Peer::Silent => Peer::Closes,
                Ok(Peer::Silent | Peer::Closes) | Err(_) => said,
                Ok(told) => told,
            }
        }
        told => told,
    };
    match told {
        Peer::Http2 => answer::broken("it closed the first connection", behind),
        told => answer::named(&told, behind),
    }
}

/// A gRPC server that knows neither version of CRI: containerd says why.
async fn without_cri(
    endpoint: &Endpoint,
    connection: &connect::Connection,
    until: Instant,
    behind: &Behind<'_>,
    options: &Options,
) -> Triage {
    let options = client::Options {
        deadline: options.deadline,
        fall_back: false,
    };
    let containerd =
        Client::over(endpoint.clone(), connection.clone(), Api::V1, options).containerd();
    match timeout_at(until, containerd.plugins()).await {
        Ok(Ok(plugins)) => {
            let version = match timeout_at(until, containerd.version()).await {
                Ok(Ok(answer)) => Some(answer.version),
                _ => None,
            };
            answer::containerd_without_cri(&plugins, version, behind)
        }
        Ok(Err(error))
            if matches!(
                error.kind(),
                Some(Kind::UnknownService | Kind::UnknownMethod)
            ) =>
        {
            // An engine's API may be reached over HTTP/2 as well.
            match timeout_at(until, peer::ask_over(connection)).await {
                Ok(Some(http)) => answer::named(&Peer::Http(http), behind),
                _ => answer::no_runtime(behind),
            }
        }
        Ok(Err(error)) => answer::unexplained(&error.to_string(), behind),
        Err(_) => answer::unexplained("the list of plugins did not come in time", behind),
    }
}

#[cfg(test)]
mod tests;
