//! The plan: for one image reference, which hosts a runtime asks, in which order, and how.
//!
//! [`route`] is pure: the files of a node, a runtime with its version and an image give the same answer on every
//! machine. It does not know whether a host answers.

pub mod compare;
pub mod containerd;
pub mod crio;
mod docker;
pub mod failover;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::declared::Declared;
use super::image_ref::ImageRef;
use super::text::Place;
use super::version::{RuntimeId, RuntimeName};

/// What a runtime would do to pull an image, given the files of its node.
pub fn route(declared: &Declared, runtime: &RuntimeId, image: &ImageRef) -> Route {
    let mut routes = routes(declared, runtime, std::slice::from_ref(image));
    routes.pop().unwrap_or_else(|| Route::new(runtime, image))
}

/// The same for many images: the files are read once. One route for each image, in their order.
pub fn routes(declared: &Declared, runtime: &RuntimeId, images: &[ImageRef]) -> Vec<Route> {
    match runtime.name {
        RuntimeName::Containerd => {
            let planner = containerd::Planner::new(declared, runtime);
            images.iter().map(|image| planner.route(image)).collect()
        }
        RuntimeName::Crio => {
            let planner = crio::Planner::new(declared, runtime);
            images.iter().map(|image| planner.route(image)).collect()
        }
        RuntimeName::Docker => images
            .iter()
            .map(|image| docker::route(declared, runtime, image))
            .collect(),
    }
}

/// What one runtime would do to pull one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The image as it was typed.
    pub image: String,
    /// The same, normalised: `docker.io/library/nginx:latest`.
    pub reference: String,
    /// Name and version of the runtime whose rules were applied: `containerd@1.6.20`.
    pub runtime: String,
    /// The endpoints in the order in which they are asked; neighbours with equal method and URL are merged.
    pub endpoints: Vec<RouteEndpoint>,
    /// Why the pull cannot even start, if so; for a pull that fails at once, the runtime's own words and nothing else.
    pub fatal: Option<String>,
    /// Where the cause of it is written, if it is in one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fatal_source: Option<Source>,
    /// Files that could change the answer and that nobody has read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<PathBuf>,
}

impl Route {
    /// Whether there is any endpoint to ask.
    pub fn is_passable(&self) -> bool {
        self.fatal.is_none() && !self.endpoints.is_empty()
    }

    /// A route with no endpoint yet.
    fn new(runtime: &RuntimeId, image: &ImageRef) -> Self {
        Self {
            image: image.typed().to_owned(),
            reference: image.to_string(),
            runtime: runtime.to_string(),
            endpoints: Vec::new(),
            fatal: None,
            fatal_source: None,
            unread: Vec::new(),
        }
    }

    /// The same, for a pull that cannot start.
    fn stopped(mut self, why: impl Into<String>) -> Self {
        self.endpoints.clear();
        self.fatal = Some(why.into());
        self
    }

    /// The same, with the place of the cause.
    fn stopped_at(mut self, why: impl Into<String>, place: Option<&Place>) -> Self {
        self.fatal_source = place.map(Source::from);
        self.stopped(why)
    }

    /// Adds an endpoint; one that equals its neighbour is merged with it.
    fn push(&mut self, endpoint: RouteEndpoint) {
        match self.endpoints.last_mut() {
            Some(last) if last.method == endpoint.method && last.url == endpoint.url => {
                for phase in endpoint.phases {
                    if !last.phases.contains(&phase) {
                        last.phases.push(phase);
                    }
                }
                last.phases.sort();
            }
            _ => self.endpoints.push(endpoint),
        }
    }
}

/// One endpoint on a [`Route`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteEndpoint {
    /// The method of the first manifest request.
    pub method: Method,
    /// The first manifest request sent there for this image, with `?ns=` exactly when the runtime sends it.
    pub url: String,
    /// The phases of a pull in which this endpoint can be asked.
    pub phases: Vec<Phase>,
    /// How its certificate is judged.
    pub tls: TlsPolicy,
    /// What is tried on the same host when TLS does not answer.
    pub fallback: Option<Fallback>,
    /// Where credentials would come from; never the credentials.
    pub auth: AuthPolicy,
    /// Names of the headers that the configuration adds to every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Why this endpoint is on the list, in one clause.
    pub why: String,
    /// Where that is written.
    pub source: Source,
}

/// The request that a runtime sends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// containerd resolves with HEAD; dockerd looks up a tag with it.
    Head,
    /// CRI-O fetches the manifest at once, dockerd does so by digest.
    Get,
}

/// A part of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// From the name to a digest.
    Resolve,
    /// Manifests by digest and blobs.
    Fetch,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Resolve => "resolve",
            Phase::Fetch => "fetch",
        })
    }
}

/// How TLS is spoken with an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsPolicy {
    /// Whether the certificate is verified.
    pub verify: bool,
    /// Certificate authorities trusted beside the system's, as paths on the node.
    pub ca: Vec<PathBuf>,
    /// The client certificate offered, as paths on the node.
    pub client_cert: Option<ClientCert>,
}

/// A client certificate and its key, which may be one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCert {
    /// PEM file of the certificate.
    pub cert: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// What is tried after TLS failed at an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// The same request in plain HTTP.
    Http,
}

/// Where credentials for an endpoint come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthPolicy {
    /// Where they come from. `request` means: only from the pull request, if it brings any.
    pub source: AuthSource,
}

/// A source of credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthSource {
    /// There are none.
    #[default]
    None,
    /// They came with the pull request (imagePullSecrets, `--creds`).
    Request,
    /// The runtime's configuration (`registry.configs.*.auth`).
    Config,
    /// An `Authorization` header in the configuration.
    Header,
    /// An auth file (CRI-O's `global_auth_file`).
    Authfile,
}

impl fmt::Display for AuthSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthSource::None => "none",
            AuthSource::Request => "request",
            AuthSource::Config => "config",
            AuthSource::Header => "header",
            AuthSource::Authfile => "authfile",
        })
    }
}

/// Where a decision was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// A line of a file. Lines count from 1.
    File {
        /// The path as the node sees it.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// A rule of the runtime itself.
    Builtin,
}

impl From<&Place> for Source {
    fn from(place: &Place) -> Self {
        Self::File {
            path: place.path.to_path_buf(),
            line: place.line,
        }
    }
}
