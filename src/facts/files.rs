//! Files of the node: texts of configuration files, names in directories, and what `stat` says about others.
//!
//! In memory the texts are as they were read, because a check has to see what a daemon sees. When facts are saved, and
//! wherever a line is quoted, passwords and tokens are covered by `*`, one for each character, so that columns stay
//! right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use super::Gap;
use super::source::{FilePlace, Source};
use crate::registry::text::Place;
use crate::registry::tree::{Entry, Tree};
pub use crate::secret::cover::secrets as without_secrets;

/// Where distributions put the bundle of certificate authorities; of these only the time of the last change is known.
pub const AUTHORITIES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Files of the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Files {
    /// Contents, names in directories, and what is known to be absent.
    #[serde(serialize_with = "covered")]
    pub tree: Tree,
    /// When the files in it were last changed, RFC 3339, UTC.
    pub modified: BTreeMap<PathBuf, String>,
    /// What is at other paths, where only that matters; `None` if nothing is.
    pub stats: BTreeMap<PathBuf, Option<Stat>>,
    /// containerd's main file, as its command line names it, else where it usually is.
    pub containerd_config: PathBuf,
    /// The working directory of the daemon, to which relative paths in its configuration refer.
    pub working_directory: PathBuf,
}

/// What `stat` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Its size in bytes.
    pub size: u64,
}

/// What is at a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A socket.
    Socket,
    /// A device, a pipe.
    Other,
}

impl Default for Files {
    /// Nobody looked at any file.
    fn default() -> Self {
        Self {
            tree: Tree::new(),
            modified: BTreeMap::new(),
            stats: BTreeMap::new(),
            containerd_config: "/etc/containerd/config.toml".into(),
            working_directory: "/".into(),
        }
    }
}

impl Files {
    /// The text of a file.
    ///
    /// # Errors
    /// [`Gap::Absent`] if there is no such file, [`Gap::Unknown`] if it was not or could not be read.
    pub fn text(&self, path: &str) -> Result<&str, Gap> {
        match self.tree.entry(Path::new(path)) {
            Some(Entry::Text { text }) => Ok(text),
            Some(Entry::Absent) => Err(Gap::Absent(format!("there is no `{path}`"))),
            Some(Entry::Unreadable { reason }) => {
                Err(Gap::Unknown(format!("`{path}` cannot be read: {reason}")))
            }
            Some(Entry::NotText { .. }) => Err(Gap::Unknown(format!("`{path}` is no text"))),
            Some(_) => Err(Gap::Unknown(format!("`{path}` is no text file"))),
            None => Err(Gap::Unknown(format!("nobody looked at `{path}`"))),
        }
    }

    /// The names in a directory; none if it is absent.
    ///
    /// # Errors
    /// [`Gap::Unknown`].
    pub fn names(&self, path: &str) -> Result<&[String], Gap> {
        match self.tree.entry(Path::new(path)) {
            Some(Entry::Directory { names }) => Ok(names),
            Some(Entry::Unreadable { reason }) => {
                Err(Gap::Unknown(format!("`{path}` cannot be read: {reason}")))
            }
            Some(_) => Ok(&[]),
            None => Err(Gap::Unknown(format!("nobody looked at `{path}`"))),
        }
    }

    /// Whether something is at a path; `None` if nobody looked.
    pub fn exists(&self, path: &str) -> Option<bool> {
        let path = Path::new(path);
        match self.stats.get(path) {
            Some(found) => Some(found.is_some()),
            None => match self.tree.entry(path) {
                Some(Entry::Absent) => Some(false),
                Some(_) => Some(true),
                None => {
                    let parent = path.parent()?;
                    self.tree.names(parent).map(|names| {
                        names
                            .iter()
                            .any(|name| path.file_name().is_some_and(|file| file == name.as_str()))
                    })
                }
            },
        }
    }

    /// When a file was last changed, RFC 3339, UTC.
    pub fn modified(&self, path: &Path) -> Option<&str> {
        self.modified.get(path).map(String::as_str)
    }

    /// A line of a file as it may be shown.
    pub fn line(&self, path: &Path, line: usize) -> Option<String> {
        let text = self.tree.text(path)?;
        let line = text.lines().nth(line.checked_sub(1)?)?;
        // Longer lines are no lines that people write.
        let line: String = line.chars().take(400).collect();
        Some(without_secrets(&line).into_owned())
    }

    /// A place as a source, with the line.
    pub fn at(&self, place: &Place) -> Source {
        Source::File(FilePlace {
            excerpt: self.line(&place.path, place.line),
            ..FilePlace::from(place)
        })
    }
}

/// Writes a tree without secrets.
fn covered<S: Serializer>(tree: &Tree, serializer: S) -> Result<S::Ok, S::Error> {
    let mut copy = Tree::new();
    for (path, entry) in tree.iter() {
        let entry = match entry {
            Entry::Text { text } => Entry::Text {
                text: without_secrets(text).into_owned(),
            },
            other => other.clone(),
        };
        copy.insert(path, entry);
    }
    copy.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_files_have_no_secrets_and_read_ones_do() {
        let mut files = Files::default();
        files
            .tree
            .add_text("/etc/x.toml", "password = \"hunter2\"\n");
        let saved = serde_json::to_string(&files).unwrap();
        assert!(!saved.contains("hunter2"), "{saved}");
        assert_eq!(
            files.text("/etc/x.toml").unwrap(),
            "password = \"hunter2\"\n"
        );
        assert_eq!(
            files.line(Path::new("/etc/x.toml"), 1).unwrap(),
            "password = \"*******\""
        );
    }
}
