//! Walks a registry route: for each endpoint that a runtime would ask, what really happens there.
//!
//! Stands on hyper's HTTP/1.1 client and rustls directly, so that every hop is visible: name, address, proxy, TLS,
//! `/v2/`, token server, manifest, redirects, blobs. Follows the OCI distribution specification 1.1 as the runtimes
//! speak it: their `Accept` headers, their `?ns=`, HEAD where containerd asks HEAD, their trust and proxy rules.
//!
//! Not here: which endpoints there are (`crate::registry::plan`), what it means for the node (`check`), how it looks
//! (`render`). The registry's own words are kept as they came; whoever shows them makes them harmless.
//!
//! Registries are treated politely: HEAD first, one attempt per password and none after a refusal, no retries,
//! an honest `User-Agent`. Everything that comes back is bounded in size and time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::registry::RuntimeName;
use crate::registry::plan::{Fallback, Route, RouteEndpoint};
use crate::secret::Secret;

mod blob;
mod certificate;
mod challenge;
mod content;
mod dial;
mod exchange;
mod image;
mod judge;
mod login;
mod namespace;
mod outcome;
mod predict;
mod prediction;
mod proxy;
mod tap;
mod target;
mod tls;
mod trail;
mod trust;
mod verdict;
mod walk;

#[cfg(test)]
mod tests;

pub use certificate::{Certificate, CertificateFault};
pub use challenge::Challenge;
pub use content::Platform;
pub use login::{Credential, Login};
pub use namespace::{NamespaceProbe, probe_namespace};
pub use outcome::{
    BlobKind, BlobProbe, EndpointProbe, Event, EventState, Manifest, Ping, RateLimit, Redirect,
    Step, TokenProbe,
};
pub use predict::predict;
pub use prediction::{
    Assumption, Divergence, EndpointDelay, ExpectedError, Outcome, Prediction, digest_divergence,
};
pub use proxy::ProxyEnv;
pub use target::Scheme;
pub use trust::HostFiles;
pub use verdict::{Stage, Verdict, Wait};

use login::Ledger;
use outcome::Fault;
use target::Target;
use trail::Trail;
use trust::{Trust, TrustError};
use walk::Walk;

/// At most so many endpoints are probed at a time.
const CONCURRENT: usize = 8;

/// How deep a probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Depth {
    /// Connection and `/v2/`.
    Ping,
    /// HEAD of the manifest too: the digest, at no cost where pulls are counted.
    Resolve,
    /// The manifest too, read and hashed.
    #[default]
    Manifest,
    /// The platform's manifest, its configuration and its smallest layer too, read in full and hashed.
    Blobs,
}

/// How long, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one name.
    pub dns: Duration,
    /// For one address, and for a proxy's answer.
    pub connect: Duration,
    /// For one handshake.
    pub tls: Duration,
    /// From a request to the head of its answer.
    pub answer: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
    /// For everything at one endpoint.
    pub total: Duration,
    /// Blobs larger than so many bytes are not fetched.
    pub blob: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dns: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            total: Duration::from_secs(60),
            blob: 64 << 20,
        }
    }
}

/// Everything a probe has to be told.
#[derive(Debug, Clone)]
pub struct Options {
    /// How deep to go.
    pub depth: Depth,
    /// How long to wait, how much to read.
    pub limits: Limits,
    /// The daemon's proxy variables.
    pub proxy: ProxyEnv,
    /// Where the node's certificates are.
    pub host: HostFiles,
    /// The platform that an image has to fit.
    pub platform: Platform,
    /// Credentials by host. None is shared: a host that may have them has an entry.
    pub credentials: Vec<Credential>,
    /// Headers that the configuration adds, by `host[:port]` of the endpoint.
    pub headers: BTreeMap<String, Vec<(String, Secret)>>,
    /// Addresses to use for a name instead of asking, as `curl --resolve` does.
    pub resolve: BTreeMap<String, Vec<IpAddr>>,
    /// Who we are.
    pub user_agent: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            depth: Depth::default(),
            limits: Limits::default(),
            proxy: ProxyEnv::default(),
            host: HostFiles::default(),
            platform: Platform::default(),
            credentials: Vec::new(),
            headers: BTreeMap::new(),
            resolve: BTreeMap::new(),
            user_agent: concat!("criscope/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// `host[:port]` of a URL as [`Credential`] and [`Options::headers`] name it: lower case, without the scheme's own port.
pub fn authority_of(url: &str) -> Option<String> {
    Target::parse(url)
        .ok()
        .map(|target| target.origin.authority())
}

/// Probes every endpoint of a route, several at a time. The answers stand in the order of the route.
pub async fn probe_route(
    route: &Route,
    options: &Options,
    progress: &(dyn Fn(Event) + Sync),
) -> Vec<EndpointProbe> {
    probe_endpoints(&route.endpoints, runtime_of(route), options, progress).await
}

/// Whose way of asking is followed; containerd's where the route does not say.
fn runtime_of(route: &Route) -> RuntimeName {
    let name = route.runtime.split('@').next().unwrap_or_default();
    name.parse().unwrap_or(RuntimeName::Containerd)
}

/// Probes endpoints as a runtime would meet them, also those that are on no route yet.
pub async fn probe_endpoints(
    endpoints: &[RouteEndpoint],
    runtime: RuntimeName,
    options: &Options,
    progress: &(dyn Fn(Event) + Sync),
) -> Vec<EndpointProbe> {
    let host = options.host.clone();
    // Files of the node may lie on a file system that hangs.
    let reading = spawn_blocking(move || trust::system_roots(&host));
    let system = timeout(options.limits.total, reading)
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default();
    let ledger = Ledger::new(options.credentials.len());
    let walks = endpoints.iter().enumerate().map(|(index, endpoint)| {
        let trail = Trail::new(index, progress);
        probe_one(endpoint, runtime, options, &system, &ledger, trail)
    });
    stream::iter(walks).buffered(CONCURRENT).collect().await
}

async fn probe_one(
    endpoint: &RouteEndpoint,
    runtime: RuntimeName,
    options: &Options,
    system: &[CertificateDer<'static>],
    ledger: &Ledger,
    trail: Trail<'_>,
) -> EndpointProbe {
    let mut probe = EndpointProbe::unseen(&endpoint.url);
    let prepared = match Target::parse(&endpoint.url) {
        Ok(target) => trust_for(endpoint, system, &options.host.root, options.limits.total)
            .await
            .map(|trust| (target, trust))
            .map_err(untrustworthy),
        Err(error) => Err(Fault::new(
            Verdict::BadUrl,
            Stage::Trust,
            format!("the endpoint is no URL: {error}"),
        )
        .in_go(error)),
    };
    let (target, trust) = match prepared {
        Ok(prepared) => prepared,
        Err(fault) => {
            probe.conclude(Err(fault), options.depth, trail.ms());
            return probe;
        }
    };
    let mut walk = Walk {
        options,
        runtime,
        trust: Arc::new(trust),
        verify: endpoint.tls.verify,
        trail,
        ledger,
        probe,
        home: target.origin.clone(),
        authorization: None,
        login_tried: false,
        certificate: None,
        speaks_tls: None,
        open: Vec::new(),
    };
    let result = match timeout(options.limits.total, walk.walk(endpoint, &target)).await {
        Ok(result) => result,
        Err(_) => Err(walk.trail.cut(options.limits.total)),
    };
    let ms = walk.trail.ms();
    walk.probe.steps = walk.trail.steps;
    walk.probe.conclude(result, options.depth, ms);
    walk.probe
}

impl Walk<'_> {
    /// The endpoint as it is written, then in plain HTTP where the runtime would try that.
    async fn walk(&mut self, endpoint: &RouteEndpoint, target: &Target) -> Result<(), Fault> {
        let result = self.visit(endpoint.method, target).await;
        match result {
            Err(fault)
                if endpoint.fallback == Some(Fallback::Http) && self.falls_back(&fault, target) =>
            {
                let plain = target.without_tls();
                self.home = plain.origin.clone();
                self.login_tried = false;
                self.visit(endpoint.method, &plain).await
            }
            result => result,
        }
    }

    /// Whether plain HTTP is tried after this. containerd does so only for a peer that answers the handshake in plain
    /// HTTP or lets it time out; CRI-O and dockerd after every failure to get an answer.
    fn falls_back(&self, fault: &Fault, target: &Target) -> bool {
        target.origin.scheme == Scheme::Https
            && match self.runtime {
                RuntimeName::Containerd => {
                    fault.verdict == Verdict::PlainHttp
                        || (fault.verdict == Verdict::Timeout && fault.at == Stage::Tls)
                }
                RuntimeName::Crio | RuntimeName::Docker => fault.at <= Stage::Tls,
            }
    }
}

async fn trust_for(
    endpoint: &RouteEndpoint,
    system: &[CertificateDer<'static>],
    root: &Path,
    limit: Duration,
) -> Result<Trust, TrustError> {
    let (policy, system, root) = (endpoint.tls.clone(), system.to_vec(), root.to_owned());
    let first = policy.ca.first().cloned().unwrap_or_default();
    let hung = |reason: &str| TrustError::CaUnreadable {
        path: first.clone(),
        reason: reason.to_owned(),
    };
    match timeout(
        limit,
        spawn_blocking(move || Trust::load(&policy, &system, &root)),
    )
    .await
    {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(hung("reading it ended in a fault of ours")),
        Err(_) => Err(hung("reading it takes too long")),
    }
}

fn untrustworthy(error: TrustError) -> Fault {
    let verdict = match error {
        TrustError::CaUnreadable { .. } | TrustError::CaEmpty { .. } => Verdict::CaUnreadable,
        TrustError::ClientCert { .. } => Verdict::ClientCertUnreadable,
    };
    // Go says of a key only what is wrong with it, not which file it is in.
    let in_go = match &error {
        TrustError::ClientCert { .. } => "failed to load X509 key pair".to_owned(),
        TrustError::CaEmpty { .. } => "unable to load CA cert".to_owned(),
        TrustError::CaUnreadable { path, .. } => {
            format!("unable to read CA cert \"{}\"", path.display())
        }
    };
    Fault::new(verdict, Stage::Trust, error.to_string()).in_go(in_go)
}

impl EndpointProbe {
    fn unseen(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            verdict: Verdict::Answers,
            failed_at: None,
            digest: None,
            ms: 0,
            detail: String::new(),
            status: None,
            error: None,
            over: None,
            steps: Vec::new(),
            ping: None,
            certificate: None,
            challenge: Vec::new(),
            token: None,
            redirects: Vec::new(),
            rate_limit: None,
            manifest: None,
            blobs: Vec::new(),
        }
    }

    fn conclude(&mut self, result: Result<(), Fault>, depth: Depth, ms: u64) {
        self.ms = ms;
        match result {
            Ok(()) if depth == Depth::Ping => self.verdict = Verdict::Answers,
            Ok(()) => self.verdict = Verdict::Serves,
            Err(fault) => {
                self.verdict = fault.verdict;
                self.failed_at = Some(fault.at);
                self.detail = fault.detail;
                self.status = fault.status;
                self.error = fault.error;
            }
        }
    }
}
