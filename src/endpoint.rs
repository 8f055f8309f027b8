//! Where a runtime listens: an [`Endpoint`] is parsed once and carried as a type from then on.
//!
//! Candidates and their order are in [`discover`], what was found out about one in [`report`], the one connector in
//! [`connect`]. Syntax follows the kubelet's `--container-runtime-endpoint`: `unix:///path`; a bare path is taken as a
//! unix socket, as crictl does.

pub mod connect;
pub mod discover;
pub mod report;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The address of a CRI service: a unix socket by its absolute path.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    path: PathBuf,
}

/// The longest path that fits into `sockaddr_un` on Linux, in bytes.
pub const LONGEST_PATH: usize = 107;

/// Why a text is not an endpoint that criscope can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing was given.
    #[error("the endpoint is empty")]
    Empty,
    /// `tcp://…`, `http://…`: a runtime on a Linux node listens on a unix socket.
    #[error("`{text}` has the scheme `{scheme}`, but a container runtime listens on a unix socket")]
    Scheme {
        /// What was typed.
        text: String,
        /// The part before `://`.
        scheme: String,
    },
    /// `unix://run/…`: what follows the two slashes is a host, so one slash is missing.
    #[error("`{text}` has no absolute path")]
    Relative {
        /// What was typed.
        text: String,
        /// What was probably meant.
        meant: String,
    },
    /// The kernel takes no longer address.
    #[error(
        "the socket path has {length} bytes, more than the {LONGEST_PATH} that fit into a socket address"
    )]
    TooLong {
        /// The length of the path in bytes.
        length: usize,
    },
}

impl Error {
    /// What to type instead, where that can be known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Empty => {
                Some("give a socket, as in `-r unix:///run/containerd/containerd.sock`".into())
            }
            Error::Scheme { .. } => Some(
                "use the socket on the node itself, as in `unix:///run/containerd/containerd.sock`"
                    .into(),
            ),
            Error::Relative { meant, .. } => Some(format!("did you mean `{meant}`?")),
            Error::TooLong { .. } => {
                Some("reach it by a shorter path, for example through a symbolic link".into())
            }
        }
    }
}

impl Endpoint {
    /// An endpoint for a socket at an absolute path.
    ///
    /// # Errors
    /// [`Error::Relative`] and [`Error::TooLong`].
    pub fn from_path(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        if !path.is_absolute() {
            let text = path.display().to_string();
            return Err(Error::Relative {
                meant: format!("unix:///{}", text.trim_start_matches("./")),
                text,
            });
        }
        let length = path.as_os_str().len();
        if length > LONGEST_PATH {
            return Err(Error::TooLong { length });
        }
        Ok(Self { path })
    }

    /// The path of the socket, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::Empty);
        }
        match text.split_once("://") {
            None => Self::from_path(text.strip_prefix("unix:").unwrap_or(text)),
            Some(("unix", path)) if path.starts_with('/') => Self::from_path(path),
            Some(("unix", "")) => Err(Error::Empty),
            Some(("unix", path)) => Err(Error::Relative {
                text: text.to_owned(),
                meant: format!("unix:///{path}"),
            }),
            Some((scheme, _)) => Err(Error::Scheme {
                text: text.to_owned(),
                scheme: scheme.to_owned(),
            }),
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(input: &str, expected: Result<&str, &str>) {
        let found = input
            .parse::<Endpoint>()
            .map(|e| e.to_string())
            .map_err(|e| e.to_string());
        assert_eq!(
            found,
            expected.map(str::to_owned).map_err(str::to_owned),
            "{input}"
        );
    }

    #[test]
    fn parses_what_kubelet_and_crictl_accept() {
        case(
            "unix:///run/containerd/containerd.sock",
            Ok("unix:///run/containerd/containerd.sock"),
        );
        case("/run/crio/crio.sock", Ok("unix:///run/crio/crio.sock"));
        case("unix:/run/crio/crio.sock", Ok("unix:///run/crio/crio.sock"));
        case(" unix:///run/a.sock\n", Ok("unix:///run/a.sock"));
    }

    #[test]
    fn says_what_is_wrong() {
        case("", Err("the endpoint is empty"));
        case("unix://", Err("the endpoint is empty"));
        case(
            "unix://run/a.sock",
            Err("`unix://run/a.sock` has no absolute path"),
        );
        case("a.sock", Err("`a.sock` has no absolute path"));
        case(
            "tcp://127.0.0.1:1",
            Err(
                "`tcp://127.0.0.1:1` has the scheme `tcp`, but a container runtime listens on a unix socket",
            ),
        );
        let long = format!("/{}", "a".repeat(LONGEST_PATH));
        case(
            &long,
            Err("the socket path has 108 bytes, more than the 107 that fit into a socket address"),
        );
    }

    #[test]
    fn suggests_the_missing_slash() {
        let error = "unix://run/a.sock".parse::<Endpoint>().unwrap_err();
        assert_eq!(
            error.hint().as_deref(),
            Some("did you mean `unix:///run/a.sock`?")
        );
    }
}
