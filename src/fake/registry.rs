//! A small honest image registry that can be told to misbehave: for tests of what real registries, mirrors and what
//! stands in front of them do wrong.
//!
//! It serves images made in memory over HTTP/1.1 or TLS, for pulling only (OCI distribution specification 1.1, as
//! distribution 2.8 answers), with Basic or Bearer authentication, and records every request. A real runtime can pull
//! from it. [`Fault`]s strike per endpoint; [`Entrance`] is what happens before any request.

mod answer;
mod fault;
mod http;
mod image;
mod serve;
#[cfg(test)]
mod tests;
mod tls;

pub use answer::{Auth, Credentials};
pub use fault::{Fault, On};
pub use image::{Blob, Image};

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Error;
use super::thread::Thread;
use answer::{Rules, Store};
use fault::Faults;

/// What a connection meets before its first request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Entrance {
    /// It is served.
    #[default]
    Open,
    /// It is accepted and hears nothing; with TLS, the handshake hangs.
    Silent,
    /// It is closed at once.
    Closes,
    /// It is reset at once.
    Resets,
}

/// A registry to be started.
#[derive(Debug)]
pub struct Builder {
    store: Store,
    auth: Auth,
    root: String,
    address: SocketAddr,
    tls: Option<tls::Identity>,
    faults: Faults,
    entrance: Entrance,
}

impl Builder {
    /// Holds an image under a repository (without the registry's name) and a tag.
    pub fn image(mut self, repository: &str, tag: &str, image: &Image) -> Self {
        self.store.add(repository, tag, image);
        self
    }

    /// Holds an image for one registry namespace, as a mirror of several registries does: it is found with `?ns=` of
    /// that namespace only. Without such images `ns` is ignored, as distribution 2.8 ignores it.
    pub fn image_of(mut self, namespace: &str, repository: &str, tag: &str, image: &Image) -> Self {
        self.store
            .add(&Store::of_namespace(namespace, repository), tag, image);
        self
    }

    /// Says who may read.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Serves below another path than `/v2`, as Harbor's projects or Artifactory's repositories do.
    pub fn root(mut self, root: &str) -> Self {
        root.trim_end_matches('/').clone_into(&mut self.root);
        self
    }

    /// Listens there instead of at a free port of 127.0.0.1.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Speaks TLS with this certificate chain and key, both in PEM.
    pub fn tls(mut self, certificates: &str, key: &str) -> Self {
        self.tls = Some(tls::Identity::new(certificates, key));
        self
    }

    /// Asks clients for a certificate of these authorities, in PEM. Needs [`Builder::tls`].
    pub fn client_authorities(mut self, authorities: &str) -> Self {
        if let Some(identity) = &mut self.tls {
            identity.client_authorities = Some(authorities.to_owned());
        }
        self
    }

    /// Misbehaves at an endpoint from the start.
    pub fn fault(self, on: On, fault: Fault) -> Self {
        self.faults.add(on, fault, None);
        self
    }

    /// What connections meet first.
    pub fn entrance(mut self, entrance: Entrance) -> Self {
        self.entrance = entrance;
        self
    }

    /// Starts it.
    pub fn start(self) -> Result<Registry, Error> {
        let listener = TcpListener::bind(self.address).map_err(|source| Error::Address {
            address: self.address,
            source,
        })?;
        let address = listener.local_addr().map_err(|source| Error::Address {
            address: self.address,
            source,
        })?;
        let acceptor = self.tls.map(tls::Identity::acceptor).transpose()?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let shared = Arc::new(Shared {
            started: Instant::now(),
            store: Mutex::new(self.store),
            rules: Rules {
                auth: self.auth,
                url,
            },
            root: self.root,
            faults: self.faults,
            entrance: Mutex::new(self.entrance),
            requests: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let thread = Thread::start("fake-registry", move || {
            serve::serve(listener, serving, acceptor)
        })?;
        Ok(Registry {
            shared,
            address,
            _thread: thread,
        })
    }
}

/// A running registry; it ends when dropped.
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
    _thread: Thread,
}

impl Registry {
    /// An empty registry for everybody, over plain HTTP, at a free port of 127.0.0.1.
    pub fn builder() -> Builder {
        Builder {
            store: Store::default(),
            auth: Auth::Open,
            root: "/v2".to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            faults: Faults::default(),
            entrance: Entrance::Open,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port as in an image reference: `127.0.0.1:40123`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Scheme, host and port: `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.shared.rules.url
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests().clone()
    }

    /// Method and path with query of all requests so far: `GET /v2/a/manifests/1?ns=docker.io`.
    pub fn log(&self) -> Vec<String> {
        self.shared
            .requests()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.requests().clear();
    }

    /// Misbehaves at an endpoint from now on. Earlier faults win.
    pub fn fault(&self, on: On, fault: Fault) {
        self.shared.faults.add(on, fault, None);
    }

    /// Misbehaves at an endpoint for the next `times` requests.
    pub fn fault_times(&self, on: On, fault: Fault, times: u32) {
        self.shared.faults.add(on, fault, Some(times));
    }

    /// Behaves again.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Changes what new connections meet first.
    pub fn entrance(&self, entrance: Entrance) {
        *self
            .shared
            .entrance
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = entrance;
    }

    /// Holds another image, or another one under a known tag.
    pub fn push(&self, repository: &str, tag: &str, image: &Image) {
        self.shared
            .store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(repository, tag, image);
    }

    /// Loses the blobs of a repository and keeps its manifests, as a half-filled cache does.
    pub fn lose_blobs(&self, repository: &str) {
        self.shared
            .store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove_blobs(repository);
    }
}

/// A request as it was recorded, before it was answered. Secrets are left out.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `HEAD`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, as sent.
    pub query: Option<String>,
    /// The headers, in the order sent; of `Authorization` and cookies only the first word.
    pub headers: Vec<(String, String)>,
    /// How it proved who it is from.
    pub credentials: Credentials,
    /// Time since the registry started.
    pub after: Duration,
}

impl Request {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let known = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(&known.1)
    }

    /// The registry namespace that a mirror is asked for: the query's `ns`, decoded.
    pub fn ns(&self) -> Option<String> {
        http::parameter(self.query.as_deref()?, "ns")
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        self.query
            .as_ref()
            .map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

/// What connections and handle share.
struct Shared {
    started: Instant,
    store: Mutex<Store>,
    rules: Rules,
    root: String,
    faults: Faults,
    entrance: Mutex<Entrance>,
    requests: Mutex<Vec<Request>>,
}

impl Shared {
    fn record(&self, request: &http::Request) {
        let secret = |name: &str| {
            ["authorization", "proxy-authorization", "cookie"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        };
        let headers = request.headers.iter().map(|(name, value)| {
            let shown = if secret(name) {
                value.split(' ').next().unwrap_or_default()
            } else {
                value
            };
            (name.clone(), shown.to_owned())
        });
        self.requests().push(Request {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: headers.collect(),
            credentials: self.rules.credentials(request),
            after: self.started.elapsed(),
        });
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
