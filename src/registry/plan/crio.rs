//! CRI-O's plan: candidates for a short name, then the sources of each (containers/image `newImageSource`).

use std::path::{Path, PathBuf};

use super::{
    AuthPolicy, AuthSource, ClientCert, Fallback, Method, Phase, Route, RouteEndpoint, Source,
    TlsPolicy,
};
use crate::registry::crio_conf::ImageSection;
use crate::registry::declared::Declared;
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST, ImageRef};
use crate::registry::registries_conf::{self, RegistriesConf};
use crate::registry::rules::Rule;
use crate::registry::tree::{self, Tree};
use crate::registry::version::RuntimeId;

/// Where certificates of a host are looked for: the first directory that exists counts.
pub const CERTS_DIRECTORIES: [&str; 3] = [
    "/root/.config/containers/certs.d",
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
];

/// Plans for many images from one configuration.
pub struct Planner<'d> {
    declared: &'d Declared,
    runtime: &'d RuntimeId,
    conf: RegistriesConf,
    image_section: ImageSection,
}

impl<'d> Planner<'d> {
    /// Reads the files.
    pub fn new(declared: &'d Declared, runtime: &'d RuntimeId) -> Self {
        let conf = RegistriesConf::load(&declared.tree);
        Self {
            declared,
            runtime,
            conf,
            image_section: ImageSection::load(&declared.tree),
        }
    }

    /// The plan for one image.
    pub fn route(&self, image: &ImageRef) -> Route {
        let mut route = Route::new(self.runtime, image);
        route.unread = self
            .conf
            .unread
            .iter()
            .chain(&self.image_section.unread)
            .cloned()
            .collect();
        if let Some(fatal) = self
            .conf
            .fatal
            .as_ref()
            .or(self.image_section.fatal.as_ref())
        {
            let at = format!("{}:{}", fatal.place.path.display(), fatal.place.line);
            return route.stopped(format!("CRI-O does not start: {} ({at})", fatal.value));
        }
        let candidates = match self.candidates(image) {
            Ok(candidates) => candidates,
            Err(why) => return route.stopped(why),
        };
        let mut error = None;
        for (candidate, named_by) in candidates {
            if let Err(why) = self.candidate(&candidate, &named_by, &mut route) {
                error = Some(why);
            }
        }
        if route.endpoints.is_empty() {
            return route.stopped(error.unwrap_or_else(|| "no source can be asked".to_owned()));
        }
        route
    }

    /// The full names that a name may stand for, each with the clause that says why.
    fn candidates(&self, image: &ImageRef) -> Result<Vec<(ImageRef, String)>, String> {
        if !image.is_short() {
            return Ok(vec![(image.clone(), String::new())]);
        }
        let (name, rest) = split_name(image.typed());
        let typed = image.typed();
        let full = |name: String| name.parse::<ImageRef>().map_err(|error| error.to_string());
        if let Some(Some(alias)) = self.conf.aliases.get(name) {
            let why = format!("; `{name}` is an alias in {}", alias.place.path.display());
            return Ok(vec![(full(format!("{}{rest}", alias.value))?, why)]);
        }
        if self.conf.search.is_empty() {
            return Err(match &self.conf.search_origin {
                Some(origin) => format!(
                    "short-name \"{typed}\" did not resolve to an alias and no unqualified-search registries are defined in \"{}\"",
                    origin.display()
                ),
                None => format!(
                    "short-name \"{typed}\" did not resolve to an alias and no containers-registries.conf(5) was found"
                ),
            });
        }
        let disabled = self
            .image_section
            .short_name_mode
            .as_ref()
            .is_some_and(|mode| mode.value == "disabled");
        let enforcing = self
            .declared
            .rules()
            .holds(Rule::ShortNamesEnforcing, self.runtime)
            && !disabled;
        if enforcing && self.conf.search.len() > 1 {
            return Err(format!(
                "short name mode is enforcing, but image name {typed} returns ambiguous list"
            ));
        }
        let why = |place: &crate::registry::text::Place| {
            format!(
                "; `{name}` is completed by unqualified-search-registries ({}:{})",
                place.path.display(),
                place.line
            )
        };
        self.conf
            .search
            .iter()
            .map(|registry| {
                Ok((
                    full(format!("{}/{typed}", registry.value))?,
                    why(&registry.place),
                ))
            })
            .collect()
    }

    fn candidate(&self, image: &ImageRef, named_by: &str, route: &mut Route) -> Result<(), String> {
        let sources = self.conf.sources(image).map_err(|error| {
            format!(
                "{} ({}:{})",
                error.value,
                error.place.path.display(),
                error.place.line
            )
        })?;
        let mut failed = Ok(());
        for source in sources {
            if let Err(why) = self.source(image, &source, named_by, route) {
                failed = Err(why);
            }
        }
        failed
    }

    fn source(
        &self,
        image: &ImageRef,
        source: &registries_conf::Source,
        named_by: &str,
        route: &mut Route,
    ) -> Result<(), String> {
        let reference = &source.reference;
        let (tls, ca_error) = self.certificates(reference.domain(), source.insecure, route);
        if let Some(error) = ca_error {
            return Err(error);
        }
        // Blocking goes by the name at the source: it can hit a mirror, and it misses a location elsewhere.
        if let Some(registry) = self.conf.find(&reference.name())
            && registry.blocked.is_some()
        {
            return Err(format!(
                "registry {} is blocked in {} or {}",
                registry.prefix,
                registries_conf::SYSTEM_FILE,
                registries_conf::SYSTEM_DIRECTORY
            ));
        }
        let host = if reference.domain() == DOCKER_HUB {
            DOCKER_HUB_HOST
        } else {
            reference.domain()
        };
        let prefix = self
            .conf
            .find(&image.name())
            .map(|registry| registry.prefix.as_str())
            .unwrap_or_default();
        let why = match (&source.place, source.mirror) {
            (_, true) => {
                format!("mirror of `{prefix}`, pinged at https://{host}/v2/ first{named_by}")
            }
            (Some(_), false) => {
                format!("location of `{prefix}`, which is always tried last{named_by}")
            }
            (None, _) => {
                format!("no [[registry]] fits, so the name itself is the source{named_by}")
            }
        };
        let auth = if reference.domain() == image.domain() {
            AuthSource::Request
        } else if self.image_section.global_auth_file.is_some() {
            AuthSource::Authfile
        } else {
            AuthSource::None
        };
        route.push(RouteEndpoint {
            method: Method::Get,
            url: format!(
                "https://{host}/v2/{}/manifests/{}",
                reference.path(),
                reference.object()
            ),
            phases: vec![Phase::Resolve, Phase::Fetch],
            tls,
            fallback: source.insecure.then_some(Fallback::Http),
            auth: AuthPolicy { source: auth },
            headers: Vec::new(),
            why,
            source: source.place.as_ref().map_or(Source::Builtin, Source::from),
        });
        Ok(())
    }

    /// The certificates for a host, or why it cannot be asked.
    fn certificates(
        &self,
        host: &str,
        insecure: bool,
        route: &mut Route,
    ) -> (TlsPolicy, Option<String>) {
        let mut tls = TlsPolicy {
            verify: !insecure,
            ..TlsPolicy::default()
        };
        let tree = &self.declared.tree;
        let Some(directory) = certs_directory(tree, host, &mut route.unread) else {
            return (tls, None);
        };
        let names = tree.names(&directory).unwrap_or_default();
        let has = |name: &str| names.iter().any(|known| known == name);
        for name in names {
            let path = directory.join(name);
            if name.ends_with(".crt") {
                tls.ca.push(path);
            } else if let Some(stem) = name.strip_suffix(".cert") {
                let key = format!("{stem}.key");
                if !has(&key) {
                    let error = format!(
                        "missing key {key} for client certificate {name}. Note that CA certificates should use the extension .crt"
                    );
                    return (tls, Some(error));
                }
                tls.client_cert.get_or_insert(ClientCert {
                    cert: path,
                    key: directory.join(key),
                });
            } else if let Some(stem) = name.strip_suffix(".key")
                && !has(&format!("{stem}.cert"))
            {
                return (
                    tls,
                    Some(format!(
                        "missing client certificate {stem}.cert for key {name}"
                    )),
                );
            }
        }
        (tls, None)
    }
}

/// The first directory with certificates for a host.
pub fn certs_directory(tree: &Tree, host: &str, unread: &mut Vec<PathBuf>) -> Option<PathBuf> {
    for directory in CERTS_DIRECTORIES {
        let path = Path::new(directory).join(host);
        match tree.entry(&path) {
            Some(tree::Entry::Absent) => {}
            Some(_) => return Some(path),
            None if tree.exists(&path) => return Some(path),
            // Nobody looks into root's own directory unless it is there.
            None if directory == CERTS_DIRECTORIES[0] => {}
            None => unread.push(path),
        }
    }
    None
}

/// A typed short name, and its tag or digest with the separator.
fn split_name(typed: &str) -> (&str, &str) {
    let digest = typed.find('@').unwrap_or(typed.len());
    let slash = typed[..digest].rfind('/').map_or(0, |slash| slash + 1);
    let end = typed[slash..digest]
        .find(':')
        .map_or(digest, |colon| slash + colon);
    typed.split_at(end)
}
