//! With whose credentials a test pull is made, and to which hosts they may go.
//!
//! containerd and dockerd offer what comes with a pull request to every endpoint that asks for a login, mirrors included.
//! So the owning host is asked alone first, once; and where there are other hosts on the route, nothing is pulled unless
//! `--share-creds` allows it. CRI-O keeps them to the owning host by itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cri;
use crate::error::Error;
use crate::files::read;
use crate::interrupt;
use crate::probe::logins::{self, AuthFile, KUBELET_FILES, Login};
use crate::probe::registry::{Credential, EndpointProbe, Verdict, authority_of};
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST, ImageRef};
use crate::registry::plan::Route;
use crate::registry::version::RuntimeName;
use crate::secret::Secret;

/// Credentials on stdin are not longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Flags for credentials.
#[derive(Debug, Args)]
#[command(next_help_heading = "Credentials")]
pub struct Credentials {
    /// Read USER:PASSWORD for the image's registry from stdin
    #[arg(long, group = "whose")]
    creds_stdin: bool,
    /// Take them from a docker configuration file
    #[arg(long, value_name = "FILE", group = "whose")]
    authfile: Option<PathBuf>,
    /// Take the kubelet's own from the node's files; those of pods are not known
    #[arg(long, group = "whose")]
    as_kubelet: bool,
    /// Pull with credentials although other hosts are on the route: the runtime offers them to each
    #[arg(long, requires = "whose")]
    share_creds: bool,
}

/// Where credentials come from.
#[derive(Debug)]
pub enum Source {
    /// Nowhere: the pull is anonymous, except for what the runtime's configuration has.
    None,
    /// Standard input.
    Stdin(Login),
    /// A file that was named.
    File(AuthFile),
    /// The kubelet's file, if it has one.
    Kubelet(Option<AuthFile>),
}

/// What is offered for one image.
#[derive(Debug)]
pub struct Offer {
    /// User and password, if there are any for it.
    pub login: Option<Login>,
    /// Where they come from, in words; never they themselves.
    pub source: Option<String>,
    /// What has to be known about that.
    pub notes: Vec<String>,
    share: bool,
}

impl Credentials {
    /// Whether they come from standard input.
    pub fn reads_stdin(&self) -> bool {
        self.creds_stdin
    }

    /// Reads them.
    ///
    /// # Errors
    /// They cannot be read. What was read is in no message.
    pub fn read(&self, host_root: &Path) -> Result<Source, Error> {
        let unusable = |error: &logins::Error| Error::usage(error.to_string()).because(error);
        if self.creds_stdin {
            return from_stdin().map(Source::Stdin);
        }
        if let Some(file) = &self.authfile {
            let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            return AuthFile::read(Path::new("/"), &path)
                .map(Source::File)
                .map_err(|error| unusable(&error));
        }
        if self.as_kubelet {
            return logins::kubelet(host_root)
                .map(Source::Kubelet)
                .map_err(|error| unusable(&error));
        }
        Ok(Source::None)
    }

    /// What there is for an image.
    pub fn offer(&self, source: &Source, image: &ImageRef) -> Offer {
        let mut offer = Offer {
            login: None,
            source: None,
            notes: Vec::new(),
            share: self.share_creds,
        };
        let file = match source {
            Source::None => return offer,
            Source::Stdin(login) => {
                offer.login = Some(login.clone());
                offer.source = Some("standard input".to_owned());
                return offer;
            }
            Source::File(file) => file,
            Source::Kubelet(Some(file)) => file,
            Source::Kubelet(None) => {
                offer.notes.push(format!(
                    "the kubelet has no credentials of its own: there is none of {}; imagePullSecrets are not known here",
                    KUBELET_FILES.join(", ")
                ));
                return offer;
            }
        };
        offer.login = logins::for_image(file, image);
        match &offer.login {
            Some(_) => offer.source = Some(file.path.display().to_string()),
            None => offer.notes.push(format!(
                "{} has no credentials for {}, so the pull is anonymous",
                file.path.display(),
                image.name()
            )),
        }
        if let Some(helper) = file.helper(image.domain()) {
            offer.notes.push(format!(
                "{} leaves {} to the credential helper `{helper}`, which is not run here",
                file.path.display(),
                image.domain()
            ));
        }
        if matches!(source, Source::Kubelet(_))
            && matches!(offer.login, Some(Login::IdentityToken(_)))
        {
            offer.login = None;
            offer.source = None;
            offer.notes.push(format!(
                "{} has an identity token for {}, which the kubelet does not use",
                file.path.display(),
                image.domain()
            ));
        }
        offer
    }
}

impl Offer {
    /// Nothing for the sandbox image, whatever was given: the runtime pulls it by itself.
    pub fn withheld(self) -> Self {
        let mut notes = Vec::new();
        if self.login.is_some() {
            notes.push("the runtime pulls its sandbox image without such credentials, so they are not used".to_owned());
        }
        Self {
            login: None,
            source: None,
            notes,
            share: false,
        }
    }

    /// The same, with more that has to be known.
    pub fn noting(mut self, notes: Vec<String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// The credentials for probing: for the owning host, and for the others only where that is allowed.
    pub fn for_probing(&self, image: &ImageRef, route: &Route) -> Vec<Credential> {
        let Some(login) = &self.login else {
            return Vec::new();
        };
        self.hosts(image, route)
            .into_iter()
            .map(|host| Credential {
                host,
                login: login.clone(),
            })
            .collect()
    }

    /// Who gets to see them before the pull.
    fn hosts(&self, image: &ImageRef, route: &Route) -> BTreeSet<String> {
        let owner = owner(image);
        route
            .endpoints
            .iter()
            .filter_map(|endpoint| authority_of(&endpoint.url))
            .filter(|host| self.share || *host == owner)
            .collect()
    }

    /// Why nothing is pulled with them, if so.
    pub fn reason_not_to_pull(
        &self,
        image: &ImageRef,
        route: &Route,
        probes: &[EndpointProbe],
        runtime: RuntimeName,
    ) -> Option<String> {
        self.login.as_ref()?;
        let asked = self.hosts(image, route);
        let refused = probes.iter().find(|probe| {
            probe.verdict == Verdict::Unauthorized
                && authority_of(&probe.url).is_some_and(|host| asked.contains(&host))
        });
        if let Some(refused) = refused {
            let host = authority_of(&refused.url).unwrap_or_default();
            return Some(format!(
                "not pulled: {host} refuses these credentials, and repeating them could lock the account"
            ));
        }
        let owner = owner(image);
        let others: BTreeSet<String> = route
            .endpoints
            .iter()
            .filter_map(|endpoint| authority_of(&endpoint.url))
            .filter(|host| *host != owner)
            .collect();
        if others.is_empty() || self.share || runtime == RuntimeName::Crio {
            return None;
        }
        Some(format!(
            "not pulled: the runtime would offer the credentials to {} as well; `--share-creds` allows it",
            others.into_iter().collect::<Vec<_>>().join(", ")
        ))
    }

    /// The credentials for the pull request.
    pub fn for_pull(&self) -> Option<cri::AuthConfig> {
        self.login.as_ref().map(|login| match login {
            Login::Password { user, password } => cri::AuthConfig {
                username: user.clone(),
                password: password.reveal().to_owned(),
                ..Default::default()
            },
            Login::IdentityToken(token) => cri::AuthConfig {
                identity_token: token.reveal().to_owned(),
                ..Default::default()
            },
        })
    }
}

/// The host that an image belongs to, as an endpoint's authority.
fn owner(image: &ImageRef) -> String {
    if image.domain() == DOCKER_HUB {
        DOCKER_HUB_HOST.to_owned()
    } else {
        let domain = image.domain().to_ascii_lowercase();
        match domain.strip_suffix(":443") {
            Some(bare) => bare.to_owned(),
            None => domain,
        }
    }
}

/// `user:password` from standard input.
fn from_stdin() -> Result<Login, Error> {
    let text = interrupt::deaf(|| read::given(Path::new("-"), LONGEST)).map_err(|error| {
        Error::usage("cannot read credentials from standard input").because(&error)
    })?;
    match text.trim_end_matches(['\r', '\n']).split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok(Login::Password {
            user: user.to_owned(),
            password: Secret::new(password),
        }),
        _ => Err(Error::usage("standard input holds no credentials")
            .hint("write them as `user:password` on one line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(share: bool) -> Offer {
        Offer {
            login: Some(Login::Password {
                user: "u".into(),
                password: Secret::new("canary"),
            }),
            source: None,
            notes: Vec::new(),
            share,
        }
    }

    fn route(urls: &[&str]) -> Route {
        let endpoints: Vec<_> = urls
            .iter()
            .map(|url| {
                serde_json::json!({
                    "method": "HEAD", "url": url, "phases": ["resolve", "fetch"],
                    "tls": {"verify": true, "ca": [], "clientCert": null}, "fallback": null,
                    "auth": {"source": "request"}, "why": "", "source": {"kind": "builtin"},
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "image": "", "reference": "", "runtime": "containerd@1.7.34", "endpoints": endpoints, "fatal": null,
        }))
        .unwrap()
    }

    #[test]
    fn other_hosts_see_nothing_unasked() {
        #[track_caller]
        fn case(image: &str, urls: &[&str], share: bool, probed: &[&str], refused: bool) {
            let (image, route): (ImageRef, Route) = (image.parse().unwrap(), route(urls));
            let offer = offer(share);
            let hosts: Vec<String> = offer
                .for_probing(&image, &route)
                .into_iter()
                .map(|credential| credential.host)
                .collect();
            assert_eq!(hosts, probed);
            let reason = offer.reason_not_to_pull(&image, &route, &[], RuntimeName::Containerd);
            assert_eq!(reason.is_some(), refused, "{reason:?}");
        }
        let (own, mirror) = (
            "https://reg.test/v2/a/manifests/1",
            "http://m:5000/v2/a/manifests/1",
        );
        case("reg.test/a:1", &[own], false, &["reg.test"], false);
        case("reg.test/a:1", &[mirror, own], false, &["reg.test"], true);
        case(
            "reg.test/a:1",
            &[mirror, own],
            true,
            &["m:5000", "reg.test"],
            false,
        );
        // A mirror that is pinned as the only one is not the owner.
        case("reg.test/a:1", &[mirror], false, &[], true);
        case(
            "nginx",
            &["https://registry-1.docker.io/v2/library/nginx/manifests/latest"],
            false,
            &["registry-1.docker.io"],
            false,
        );
    }

    #[test]
    fn nothing_is_printed() {
        assert!(!format!("{:?}", offer(false)).contains("canary"));
    }
}
