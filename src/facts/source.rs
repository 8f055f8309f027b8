//! Where something was seen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::registry::text::Place;

/// Where something was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// A file of the node, perhaps a place in it.
    File(FilePlace),
    /// An answer to a call on a gRPC socket.
    Rpc {
        /// The name of the RPC: `Status`, `Introspection.Plugins`.
        method: String,
        /// Who was asked.
        endpoint: Option<String>,
    },
    /// What the kernel tells in a file of /proc or /sys, or by a system call.
    Proc {
        /// The file, or the name of the call.
        path: String,
    },
    /// An answer over HTTP.
    Http {
        /// What was asked for.
        url: String,
    },
    /// A socket, by looking at it or connecting to it.
    Socket {
        /// Its path.
        path: String,
    },
}

/// A place in a file. Lines and columns count from 1, in characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlace {
    /// The file, as the node sees it.
    pub path: String,
    /// The line; none for the file as a whole.
    pub line: Option<usize>,
    /// The column of the first character that matters.
    pub column: Option<usize>,
    /// How many characters matter.
    pub length: Option<usize>,
    /// The text of the line, with secrets taken out.
    pub excerpt: Option<String>,
}

impl Source {
    /// A file as a whole.
    pub fn file(path: impl fmt::Display) -> Self {
        Self::File(FilePlace {
            path: path.to_string(),
            ..FilePlace::default()
        })
    }

    /// An RPC at whoever was asked.
    pub fn rpc(method: &str) -> Self {
        Self::Rpc {
            method: method.to_owned(),
            endpoint: None,
        }
    }

    /// Something that the kernel tells.
    pub fn proc(path: impl fmt::Display) -> Self {
        Self::Proc {
            path: path.to_string(),
        }
    }

    /// A socket.
    pub fn socket(path: impl fmt::Display) -> Self {
        Self::Socket {
            path: path.to_string(),
        }
    }
}

impl From<&Place> for FilePlace {
    fn from(place: &Place) -> Self {
        Self {
            path: place.path.display().to_string(),
            line: Some(place.line),
            column: Some(place.column),
            length: Some(place.length),
            excerpt: None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => place.fmt(f),
            Self::Rpc {
                method,
                endpoint: Some(endpoint),
            } => write!(f, "{method} at {endpoint}"),
            Self::Rpc {
                method,
                endpoint: None,
            } => f.write_str(method),
            Self::Proc { path } | Self::Socket { path } => f.write_str(path),
            Self::Http { url } => f.write_str(url),
        }
    }
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, ":{line}:{column}"),
            (Some(line), None) => write!(f, ":{line}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_the_contract() {
        let kind = |source: Source| serde_json::to_value(source).unwrap()["kind"].clone();
        assert_eq!(kind(Source::file("/etc/x")), "file");
        assert_eq!(kind(Source::rpc("Status")), "rpc");
        assert_eq!(kind(Source::proc("/proc/swaps")), "proc");
        assert_eq!(kind(Source::socket("/run/x.sock")), "socket");
        assert_eq!(kind(Source::Http { url: String::new() }), "http");
    }

    #[test]
    fn places_are_shown_as_compilers_show_them() {
        let place = FilePlace {
            path: "/etc/a.toml".to_owned(),
            line: Some(3),
            column: Some(7),
            ..FilePlace::default()
        };
        assert_eq!(Source::File(place).to_string(), "/etc/a.toml:3:7");
    }
}
