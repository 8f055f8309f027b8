//! docker's configuration file, `auths` of it: credentials by registry, or by a path below one.
//!
//! Read as the kubelet (`pkg/credentialprovider`) and containers/image read it: the longest path that fits wins, a key may
//! have a scheme and docker's own `/v1/`, labels of a host may be `*`. Credential helpers are programs and not run.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use std::collections::BTreeMap;

use super::{KUBELET_FILES, Login, decoded};
use crate::probe::host_files;
use crate::registry::image_ref::DOCKER_HUB;
use crate::secret::Secret;

/// The largest file that is read.
const LARGEST: u64 = 4 << 20;

/// A file of credentials that cannot be used. The file's own text is never in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read the credentials in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{} is no docker configuration file", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// A file of credentials.
#[derive(Debug, Clone)]
pub struct AuthFile {
    /// Where it is.
    pub path: PathBuf,
    entries: Vec<(String, Login)>,
    /// Programs that are asked for a registry (`credHelpers`), by its name.
    helpers: Vec<(String, String)>,
    /// The program that is asked for every other registry (`credsStore`).
    store: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, Text>>,
    #[serde(rename = "credsStore")]
    store: Option<Text>,
}

/// A string, or something else that does not count.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    String(String),
    Other(IgnoredAny),
}

impl Text {
    fn string(self) -> Option<String> {
        match self {
            Self::String(text) => Some(text).filter(|text| !text.is_empty()),
            Self::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl AuthFile {
    /// Reads a file below `host_root`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(host_root: &Path, path: &Path) -> Result<Self, Error> {
        let bytes = host_files::read_bytes(host_root, path, LARGEST).map_err(|source| {
            Error::Unreadable {
                path: path.to_owned(),
                source,
            }
        })?;
        Self::parse(path, &bytes).ok_or_else(|| Error::Malformed {
            path: path.to_owned(),
        })
    }

    fn parse(path: &Path, bytes: &[u8]) -> Option<Self> {
        let legacy = path.file_name().is_some_and(|name| name == ".dockercfg");
        // The parser's error could quote the password, so only whether it went well is kept.
        let document: Document = if legacy {
            Document {
                auths: Some(serde_json::from_slice(bytes).ok()?),
                helpers: None,
                store: None,
            }
        } else {
            serde_json::from_slice(bytes).ok()?
        };
        let entries = document.auths.unwrap_or_default();
        let entries = entries.into_iter().filter_map(|(key, entry)| {
            let set = |text: Option<String>| text.filter(|text| !text.is_empty());
            // Beside an identity token docker writes a user without a password into `auth`.
            let login = match (set(entry.identitytoken), set(entry.username), entry.auth) {
                (Some(token), ..) => Some(Login::IdentityToken(Secret::new(token))),
                (None, Some(user), _) => Some(Login::Password {
                    user,
                    password: Secret::new(entry.password.unwrap_or_default()),
                }),
                (None, None, Some(auth)) => decoded(&auth),
                (None, None, None) => None,
            };
            login.map(|login| (key, login))
        });
        let helpers = document.helpers.unwrap_or_default().into_iter();
        Some(Self {
            path: path.to_owned(),
            entries: entries.collect(),
            helpers: helpers
                .filter_map(|(host, helper)| Some((host, helper.string()?)))
                .collect(),
            store: document.store.and_then(Text::string),
        })
    }

    /// The program that docker would ask for a host: it comes before what is written in the file, and is not run here.
    pub fn helper(&self, host: &str) -> Option<String> {
        let own = self.helpers.iter().find(|(name, _)| {
            let bare = name.split_once("://").map_or(&**name, |(_, bare)| bare);
            same_host(bare.split('/').next().unwrap_or_default(), host)
        });
        let name = own.map(|(_, helper)| helper).or(self.store.as_ref())?;
        Some(format!("docker-credential-{name}"))
    }

    /// The login for a repository of a host.
    pub fn find(&self, host: &str, repository: &str) -> Option<Login> {
        self.entries
            .iter()
            .filter_map(|(key, login)| Some((fits(key, host, repository)?, login)))
            .max_by_key(|(length, _)| *length)
            .map(|(_, login)| login.clone())
    }
}

/// How long the path of a key is, if it fits.
fn fits(key: &str, host: &str, repository: &str) -> Option<usize> {
    let bare = key.split_once("://").map_or(key, |(_, bare)| bare);
    let (of, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = path.trim_matches('/');
    let path = if matches!(path, "v1" | "v2") {
        ""
    } else {
        path
    };
    if !same_host(of, host) {
        return None;
    }
    let rest = repository.strip_prefix(path)?;
    (path.is_empty() || rest.is_empty() || rest.starts_with('/')).then_some(path.len())
}

fn same_host(pattern: &str, host: &str) -> bool {
    let hub = |name: &str| {
        matches!(
            name,
            DOCKER_HUB | "index.docker.io" | "registry-1.docker.io"
        )
    };
    if hub(pattern) && hub(host) {
        return true;
    }
    let (wanted, labels): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), host.split('.').collect());
    wanted.len() == labels.len()
        && wanted
            .iter()
            .zip(&labels)
            .all(|(wanted, label)| *wanted == "*" || wanted.eq_ignore_ascii_case(label))
}

/// The kubelet's own file of credentials: the first of its places that has one.
///
/// # Errors
/// There is one, and it cannot be used.
pub fn kubelet(host_root: &Path) -> Result<Option<AuthFile>, Error> {
    for path in KUBELET_FILES {
        match AuthFile::read(host_root, Path::new(path)) {
            Err(Error::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound => {}
            result => return result.map(Some),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(text: &str) -> AuthFile {
        AuthFile::parse(Path::new("config.json"), text.as_bytes()).unwrap()
    }

    #[test]
    fn the_longest_path_that_fits_wins() {
        let file = file(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOng="},
                "reg.test": {"username": "all", "password": "x"},
                "reg.test/team": {"username": "team", "password": "x"},
                "*.corp:5000": {"username": "glob", "password": "x"},
                "acr.test": {"auth": "MDAwMDo=", "identitytoken": "canary"}
            }, "credHelpers": {"acct.ecr.test": "ecr-login", "odd.test": 7}, "credsStore": "desktop"}"#,
        );
        #[track_caller]
        fn case(file: &AuthFile, host: &str, repository: &str, expected: Option<&str>) {
            let found = file.find(host, repository);
            let user = found.map(|login| match login {
                Login::Password { user, .. } => user,
                Login::IdentityToken(_) => "(identity token)".to_owned(),
            });
            assert_eq!(user.as_deref(), expected);
        }
        case(&file, "docker.io", "library/nginx", Some("hub"));
        case(&file, "registry-1.docker.io", "library/nginx", Some("hub"));
        case(&file, "reg.test", "other/a", Some("all"));
        case(&file, "reg.test", "team/a", Some("team"));
        case(&file, "reg.test", "teamwork/a", Some("all"));
        case(&file, "reg.test:5000", "a", None);
        case(&file, "m.corp:5000", "a", Some("glob"));
        case(&file, "a.b.corp:5000", "a", None);
        case(&file, "acr.test", "a", Some("(identity token)"));
        let helper = |host: &str| file.helper(host);
        assert_eq!(
            helper("acct.ecr.test").as_deref(),
            Some("docker-credential-ecr-login")
        );
        assert_eq!(
            helper("odd.test").as_deref(),
            Some("docker-credential-desktop")
        );
        assert!(!format!("{file:?}").contains("canary"), "{file:?}");
    }

    #[test]
    fn the_kubelet_takes_the_first_file_that_is_there() {
        let root = tempfile::tempdir().unwrap();
        assert!(kubelet(root.path()).unwrap().is_none());
        std::fs::create_dir_all(root.path().join("root")).unwrap();
        std::fs::write(
            root.path().join("root/.dockercfg"),
            r#"{"reg.test": {"auth": "YTpjYW5hcnk="}}"#,
        )
        .unwrap();
        let found = kubelet(root.path()).unwrap().unwrap();
        let login = found.find("reg.test", "a").unwrap();
        assert!(matches!(login, Login::Password { user, .. } if user == "a"));
        assert_eq!(found.helper("reg.test"), None);
        assert!(!format!("{found:?}").contains("canary"));
        std::fs::create_dir_all(root.path().join("var/lib/kubelet")).unwrap();
        std::fs::write(
            root.path().join("var/lib/kubelet/config.json"),
            "{ \"auths\": canary",
        )
        .unwrap();
        let error = kubelet(root.path()).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("canary"), "{error}");
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*", key in "\\PC{0,20}", host in "\\PC{0,20}", repository in "\\PC{0,20}") {
            AuthFile::parse(Path::new("x"), text.as_bytes());
            fits(&key, &host, &repository);
        }
    }
}
