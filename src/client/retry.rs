//! Trying again after a transient failure: the daemon said that it cannot answer now, or went away in mid-call, as it
//! does when it is restarted. Only questions are asked twice, never what changes the node; and whoever waits is told.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Client, Error, Kind, Rpc, Service};
use crate::endpoint::connect::{self, Connection};

/// How long to wait before each further attempt: a restarted containerd serves again within a second or two.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_millis(1500),
];

/// The type of the frame that every HTTP/2 server sends first, and where in a frame the type stands.
const SETTINGS: (usize, u8) = (3, 4);

/// A connection that can be replaced, for all who share it.
#[derive(Debug, Clone)]
pub(super) struct Line(Arc<Mutex<Connection>>);

impl Line {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Arc::new(Mutex::new(connection)))
    }

    /// The connection as it is now.
    pub(super) fn connection(&self) -> Connection {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn replace(&self, connection: Connection) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// Whether a server of HTTP/2 was there and went away. What never spoke HTTP/2 will not begin to.
    fn is_lost(&self) -> bool {
        let connection = self.connection();
        let greeting = connection.greeting();
        greeting.ended() && greeting.bytes().get(SETTINGS.0) == Some(&SETTINGS.1)
    }
}

/// A failure after which it is tried again.
#[derive(Debug)]
pub struct Retry<'e> {
    /// What failed.
    pub error: &'e Error,
    /// Which further attempt comes now, from 1.
    pub attempt: usize,
    /// How many there will be at most.
    pub most: usize,
    /// How long is waited before it.
    pub pause: Duration,
}

impl fmt::Display for Retry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error: &dyn std::error::Error = self.error;
        write!(f, "{error}")?;
        while let Some(source) = error.source() {
            error = source;
            write!(f, ": {error}")?;
        }
        let Self {
            attempt,
            most,
            pause,
            ..
        } = self;
        write!(f, "; trying again in {pause:?} ({attempt} of {most})")
    }
}

/// Who is told before it is tried again.
pub(super) struct Listener(Box<dyn Fn(&Retry<'_>) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Client {
    /// The same client, which tries questions again after transient failures and tells `listener` so each time.
    #[must_use]
    pub fn retrying(mut self, listener: impl Fn(&Retry<'_>) + Send + Sync + 'static) -> Self {
        self.retries = Some(Listener(Box::new(listener)));
        self
    }

    /// Whether the runtime was there and hung up, and nobody has connected again since.
    pub fn is_lost(&self) -> bool {
        self.runtime.line.is_lost()
    }

    /// Asks, and again where that may help.
    pub(super) async fn patiently<T>(
        &self,
        rpc: &Rpc,
        ask: impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut outcome = ask().await;
        let Some(listener) = self.retries.as_ref().filter(|_| rpc.only_looks()) else {
            return outcome;
        };
        let service = self.of(rpc);
        let mut pauses = PAUSES.iter().enumerate();
        while let Err(error) = &outcome {
            let is_lost = service.line.is_lost();
            let is_transient = match error {
                Error::Status { kind, .. } => {
                    *kind == Kind::Unavailable || (*kind == Kind::Broken && is_lost)
                }
                // It was there a moment ago, or we would not be here.
                Error::Connect { .. } => true,
                Error::OnlyOlder { .. }
                | Error::Deadline { .. }
                | Error::Decode { .. }
                | Error::Malformed { .. } => false,
            };
            let Some((place, pause)) = pauses.next().filter(|_| is_transient) else {
                break;
            };
            (listener.0)(&Retry {
                error,
                attempt: place + 1,
                most: PAUSES.len(),
                pause: *pause,
            });
            tokio::time::sleep(*pause).await;
            outcome = match self.renew(service, is_lost).await {
                Ok(()) => ask().await,
                Err(error) => Err(error),
            };
        }
        outcome
    }

    /// Connects again, if the connection was lost.
    async fn renew(&self, service: &Service, is_lost: bool) -> Result<(), Error> {
        if !is_lost {
            return Ok(());
        }
        match connect::connect(&service.endpoint, self.options.deadline).await {
            Ok(connection) => {
                service.line.replace(connection);
                Ok(())
            }
            Err(source) => Err(Error::Connect {
                endpoint: service.endpoint.clone(),
                source,
            }),
        }
    }
}

impl Rpc {
    /// Whether it changes nothing, so that it may be sent twice. Those for streams only prepare a URL.
    fn only_looks(&self) -> bool {
        self.name.starts_with("List")
            || self.name.ends_with("Status")
            || self.name.ends_with("Stats")
            || matches!(self.name, "Version" | "ImageFsInfo" | "RuntimeConfig")
            || matches!(self.name, "Exec" | "Attach" | "PortForward")
    }
}

#[cfg(test)]
mod tests {
    use super::super::UNARY;

    #[test]
    fn what_changes_the_node_is_sent_once() {
        let looks: Vec<&str> = UNARY
            .iter()
            .filter(|rpc| rpc.only_looks())
            .map(|rpc| rpc.name)
            .collect();
        assert_eq!(
            looks,
            [
                "Version",
                "PodSandboxStatus",
                "ListPodSandbox",
                "ListContainers",
                "ContainerStatus",
                "Exec",
                "Attach",
                "PortForward",
                "ContainerStats",
                "ListContainerStats",
                "PodSandboxStats",
                "ListPodSandboxStats",
                "Status",
                "ListMetricDescriptors",
                "ListPodSandboxMetrics",
                "RuntimeConfig",
                "ListImages",
                "ImageStatus",
                "ImageFsInfo",
            ]
        );
    }
}
