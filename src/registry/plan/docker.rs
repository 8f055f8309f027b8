//! dockerd's plan: mirrors for Docker Hub, then the registry itself (moby `lookupV2Endpoints`).

use std::path::{Path, PathBuf};

use super::{
    AuthPolicy, AuthSource, ClientCert, Fallback, Method, Phase, Route, RouteEndpoint, Source,
    TlsPolicy,
};
use crate::registry::declared::Declared;
use crate::registry::docker_daemon::{CERTS_DIRECTORY, Daemon};
use crate::registry::golang::parse_url;
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST, ImageRef};
use crate::registry::rules::Rule;
use crate::registry::version::RuntimeId;

/// The plan for one image.
pub(super) fn route(declared: &Declared, runtime: &RuntimeId, image: &ImageRef) -> Route {
    let daemon = Daemon::load(&declared.tree);
    let mut route = Route::new(runtime, image);
    route.unread.extend(daemon.unread.clone());
    if let Some(fatal) = &daemon.fatal {
        let at = format!("{}:{}", fatal.place.path.display(), fatal.place.line);
        return route.stopped(format!("dockerd does not start: {} ({at})", fatal.value));
    }
    // A tag is looked up with HEAD, a digest is fetched at once.
    let head = image.digest().is_none() && declared.rules().holds(Rule::DockerHead, runtime);
    let method = if head { Method::Head } else { Method::Get };
    let plan = Plan {
        declared,
        daemon: &daemon,
        image,
        method,
    };
    let mut hosts = Vec::new();
    if image.domain() == DOCKER_HUB {
        for mirror in &daemon.mirrors {
            if let Ok(url) = parse_url(&mirror.value) {
                let why = "`registry-mirrors`, which are for Docker Hub only".to_owned();
                hosts.push((url.scheme, url.host, why, Source::from(&mirror.place)));
            }
        }
        let why = if hosts.is_empty() {
            "Docker Hub".to_owned()
        } else {
            "Docker Hub itself is always tried last".to_owned()
        };
        hosts.push((
            "https".to_owned(),
            DOCKER_HUB_HOST.to_owned(),
            why,
            Source::Builtin,
        ));
    } else {
        let why = "the registry named by the image; mirrors are for Docker Hub only".to_owned();
        hosts.push((
            "https".to_owned(),
            image.domain().to_owned(),
            why,
            Source::Builtin,
        ));
    }
    for (scheme, host, why, source) in hosts {
        match plan.endpoint(&scheme, &host, why, source, &mut route.unread) {
            Ok(endpoint) => route.push(endpoint),
            Err(error) => return route.stopped(error),
        }
    }
    route
}

struct Plan<'p> {
    declared: &'p Declared,
    daemon: &'p Daemon,
    image: &'p ImageRef,
    method: Method,
}

impl Plan<'_> {
    fn endpoint(
        &self,
        scheme: &str,
        host: &str,
        mut why: String,
        mut source: Source,
        unread: &mut Vec<PathBuf>,
    ) -> Result<RouteEndpoint, String> {
        let official = host == DOCKER_HUB_HOST && self.image.domain() == DOCKER_HUB;
        let insecure = if official {
            None
        } else {
            self.daemon.insecure_by(host)
        };
        let mut tls = TlsPolicy {
            verify: insecure.is_none() && scheme == "https",
            ..TlsPolicy::default()
        };
        if let Some(entry) = insecure {
            why.push_str("; insecure: any certificate, then plain http");
            if let (Some(place), Source::Builtin) = (entry, &source) {
                source = Source::from(place);
            }
        } else if !official && scheme == "https" {
            self.certificates(host, &mut tls, unread)?;
        }
        Ok(RouteEndpoint {
            method: self.method,
            url: format!(
                "{scheme}://{host}/v2/{}/manifests/{}",
                self.image.path(),
                self.image.object()
            ),
            phases: vec![Phase::Resolve, Phase::Fetch],
            tls,
            // Only the registry itself gets a second endpoint in http, a mirror does not.
            fallback: (insecure.is_some() && host == self.image.domain()).then_some(Fallback::Http),
            auth: AuthPolicy {
                source: AuthSource::Request,
            },
            headers: Vec::new(),
            why,
            source,
        })
    }

    /// `/etc/docker/certs.d/HOST:PORT`. A client certificate without its key fails every pull.
    fn certificates(
        &self,
        host: &str,
        tls: &mut TlsPolicy,
        unread: &mut Vec<PathBuf>,
    ) -> Result<(), String> {
        let directory = Path::new(CERTS_DIRECTORY).join(host);
        if self.declared.tree.entry(&directory).is_none() {
            unread.push(directory.clone());
        }
        let names = self.declared.tree.names(&directory).unwrap_or_default();
        let has = |name: &str| names.iter().any(|known| known == name);
        for name in names {
            let path = directory.join(name);
            if name.ends_with(".crt") {
                tls.ca.push(path);
            } else if let Some(stem) = name.strip_suffix(".cert") {
                let key = format!("{stem}.key");
                if !has(&key) {
                    return Err(format!(
                        "missing key {key} for client certificate {name}. Note that CA certificates should use the extension .crt"
                    ));
                }
                tls.client_cert.get_or_insert(ClientCert {
                    cert: path,
                    key: directory.join(key),
                });
            } else if let Some(stem) = name.strip_suffix(".key")
                && !has(&format!("{stem}.cert"))
            {
                return Err(format!(
                    "missing client certificate {stem}.cert for key {name}"
                ));
            }
        }
        Ok(())
    }
}
