//! The files of a node as plain values: what a planner may look at, and a list of what should be read next.
//!
//! Reading happens elsewhere (`probe::host_files`), in rounds: [`super::declared::Declared::wanted`] names paths, the
//! reader answers for each with an [`Entry`], until nothing more is wanted. A path that nobody asked about is unknown,
//! which is not the same as absent.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::json;

/// What was found at a path.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// A text file. Certificate authorities are texts; what may hold a private key must be [`Entry::Sealed`].
    Text {
        /// The content.
        text: String,
    },
    /// A file whose content is not kept.
    Sealed {
        /// The labels of its PEM blocks: `CERTIFICATE`, `PRIVATE KEY`.
        blocks: Vec<String>,
    },
    /// A directory.
    Directory {
        /// The names in it, sorted.
        names: Vec<String>,
    },
    /// Nothing is there, or a link that leads nowhere.
    Absent,
    /// A file of credentials (`auths`), of which only the names are kept.
    Accounts {
        /// The keys of `auths`: hosts or repositories.
        names: Vec<String>,
    },
    /// A file that is not UTF-8, which no reader of TOML, YAML or JSON accepts.
    NotText {
        /// The line of the first fault, from 1.
        line: usize,
    },
    /// Something is there, but we could not read it: what a daemon would read is unknown.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// How a path should be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Want {
    /// Read it, or list it if it is a directory.
    Content,
    /// Only see for which hosts it has credentials. Answered by [`Entry::Accounts`].
    Accounts,
    /// Only see which PEM blocks are in it: it may hold a private key. Answered by [`Entry::Sealed`].
    Labels,
}

/// Paths and what was found there. Paths are absolute, as the node sees them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// An empty tree: everything is unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what is at a path.
    pub fn insert(&mut self, path: impl Into<PathBuf>, entry: Entry) {
        self.entries.insert(path.into(), entry);
    }

    /// Adds a text file and lists it in all directories above it. For trees made in memory.
    pub fn add_text(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) {
        self.add(path.into(), Entry::Text { text: text.into() });
    }

    /// Adds an entry and lists it in all directories above it. For trees made in memory.
    pub fn add(&mut self, path: PathBuf, entry: Entry) {
        let mut child = path.as_path();
        while let (Some(parent), Some(name)) = (child.parent(), child.file_name()) {
            let name = name.to_string_lossy().into_owned();
            match self
                .entries
                .entry(parent.to_owned())
                .or_insert(Entry::Directory { names: Vec::new() })
            {
                Entry::Directory { names } => {
                    if let Err(at) = names.binary_search(&name) {
                        names.insert(at, name);
                    }
                }
                other => *other = Entry::Directory { names: vec![name] },
            }
            child = parent;
        }
        self.entries.insert(path, entry);
    }

    /// What is at a path; `None` if nobody looked. A directory that was listed without the name, or is itself absent,
    /// answers for what would be below it.
    pub fn entry(&self, path: &Path) -> Option<&Entry> {
        if let Some(entry) = self.entries.get(path) {
            return Some(entry);
        }
        let mut child = path;
        while let (Some(parent), Some(name)) = (child.parent(), child.file_name()) {
            match self.entries.get(parent) {
                Some(Entry::Directory { names }) => {
                    let listed = names.iter().any(|known| known.as_str() == name);
                    return (!listed).then_some(&Entry::Absent);
                }
                Some(Entry::Unreadable { .. }) => return None,
                Some(_) => return Some(&Entry::Absent),

                None => child = parent,
            }
        }
        None
    }

    /// The content of a text file.
    pub fn text(&self, path: &Path) -> Option<&str> {
        match self.entries.get(path) {
            Some(Entry::Text { text }) => Some(text),
            _ => None,
        }
    }

    /// The names in a directory.
    pub fn names(&self, path: &Path) -> Option<&[String]> {
        match self.entries.get(path) {
            Some(Entry::Directory { names }) => Some(names),
            _ => None,
        }
    }

    /// The labels of the PEM blocks in a file; `None` if it was not read.
    pub fn pem_labels(&self, path: &Path) -> Option<Vec<String>> {
        match self.entries.get(path) {
            Some(Entry::Text { text }) => Some(pem_labels(text)),
            Some(Entry::Sealed { blocks }) => Some(blocks.clone()),
            _ => None,
        }
    }

    /// The hosts or repositories for which a file has credentials; `None` if it was not read.
    pub fn accounts(&self, path: &Path) -> Option<Vec<String>> {
        match self.entries.get(path) {
            Some(Entry::Text { text }) => account_names(path, text),
            Some(Entry::Accounts { names }) => Some(names.clone()),
            _ => None,
        }
    }

    /// Whether something is at a path, as `stat` would say. `false` also if nobody looked.
    pub fn exists(&self, path: &Path) -> bool {
        match self.entry(path) {
            Some(Entry::Absent) => false,
            Some(_) => true,
            // Listed above, though not looked at.
            None => path
                .parent()
                .is_some_and(|parent| self.names(parent).is_some()),
        }
    }

    /// All paths that were looked at.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_path(), entry))
    }

    /// The paths that match a pattern as Go's `filepath.Glob` matches: `*`, `?` and `[…]` within one name, sorted.
    /// Names with a leading dot match too.
    pub fn glob(&self, pattern: &Path) -> Vec<PathBuf> {
        let mut matches = Vec::new();
        self.walk(pattern, |path, last| {
            if last && self.exists(path) {
                matches.push(path.to_owned());
            }
        });
        matches
    }

    /// The directories that would have to be listed to answer [`Tree::glob`].
    pub fn glob_directories(&self, pattern: &Path) -> Vec<PathBuf> {
        let mut wanted = Vec::new();
        self.walk(pattern, |path, last| {
            if !last && self.entry(path).is_none() {
                wanted.push(path.to_owned());
            }
        });
        wanted
    }

    /// Calls back for every directory in which a pattern is matched, and for every candidate at its end.
    fn walk(&self, pattern: &Path, mut found: impl FnMut(&Path, bool)) {
        let mut level = vec![PathBuf::new()];
        let components: Vec<_> = pattern
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        for (index, part) in components.iter().enumerate() {
            let last = index + 1 == components.len();
            let mut next = Vec::new();
            for base in level {
                if !part.contains(['*', '?', '[']) {
                    next.push(base.join(part.as_ref()));
                    continue;
                }
                found(&base, false);
                for name in self.names(&base).unwrap_or_default() {
                    if matches_name(part, name) {
                        next.push(base.join(name));
                    }
                }
            }
            if last {
                for path in &next {
                    found(path, true);
                }
            }
            level = next;
        }
    }
}

impl fmt::Debug for Tree {
    /// Paths only: texts may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { text } => write!(f, "Text({} bytes)", text.len()),
            Self::Sealed { blocks } => write!(f, "Sealed({blocks:?})"),
            Self::Accounts { names } => write!(f, "Accounts({names:?})"),
            Self::NotText { line } => write!(f, "NotText(line {line})"),
            Self::Directory { names } => write!(f, "Directory({names:?})"),
            Self::Absent => f.write_str("Absent"),
            Self::Unreadable { reason } => write!(f, "Unreadable({reason})"),
        }
    }
}

/// The keys of `auths` in a file of credentials; `None` if it is not JSON.
pub fn account_names(path: &Path, text: &str) -> Option<Vec<String>> {
    let node = json::parse(path, text).ok()?;
    let names = node
        .table()?
        .table("auths")
        .into_iter()
        .flat_map(|auths| auths.iter())
        .map(|(name, _)| name.to_owned());
    Some(names.collect())
}

/// The labels of the PEM blocks in a text, in their order: `CERTIFICATE`, `PRIVATE KEY`.
pub fn pem_labels(text: &str) -> Vec<String> {
    let begins = text.lines().filter_map(|line| {
        line.trim_end()
            .strip_prefix("-----BEGIN ")?
            .strip_suffix("-----")
    });
    begins
        .filter(|label| text.contains(&format!("-----END {label}-----")))
        .map(str::to_owned)
        .take(1000)
        .collect()
}

/// `filepath.Match` for one name. A pattern that Go calls bad matches nothing.
pub fn matches_name(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], name[n]),
            Some('\\') => (pattern.get(p + 1) == Some(&name[n])).then_some(2),
            Some(&c) => (c == name[n]).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p += step;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p.min(pattern.len())..].iter().all(|&c| c == '*')
}

/// Matches `[a-z]` or `[^a-z]` at the beginning of a pattern; gives its length if the character fits.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let negated = pattern.get(1) == Some(&'^');
    let mut at = if negated { 2 } else { 1 };
    let first = at;
    let mut inside = false;
    loop {
        match pattern.get(at)? {
            ']' if at > first => break,
            &low => {
                let high = match (pattern.get(at + 1), pattern.get(at + 2)) {
                    (Some('-'), Some(&high)) if high != ']' => {
                        at += 2;
                        high
                    }
                    _ => low,
                };
                inside |= (low..=high).contains(&c);
                at += 1;
            }
        }
    }
    (inside != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.conf", false),
            ("*.toml", ".toml", true),
            ("a*b*c", "aXbYbc", true),
            ("a?c", "abc", true),
            ("[0-9]*", "99-nvidia", true),
            ("[^0-9]*", "99-nvidia", false),
            ("[", "[", false),
            ("", "", true),
        ] {
            assert_eq!(matches_name(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn globbing() {
        let mut tree = Tree::new();
        for name in ["b.toml", "a.toml", "c.conf"] {
            tree.add_text(format!("/etc/containerd/conf.d/{name}"), "");
        }
        let found = tree.glob(Path::new("/etc/containerd/conf.d/*.toml"));
        assert_eq!(
            found,
            [
                PathBuf::from("/etc/containerd/conf.d/a.toml"),
                "/etc/containerd/conf.d/b.toml".into()
            ]
        );
        assert_eq!(tree.glob(Path::new("/etc/*/conf.d/c.conf")).len(), 1);
        tree.insert(
            "/srv",
            Entry::Directory {
                names: vec!["x".into()],
            },
        );
        assert_eq!(
            tree.glob_directories(Path::new("/srv/x/*")),
            [PathBuf::from("/srv/x")]
        );
        assert!(
            tree.glob_directories(Path::new("/etc/containerd/conf.d/*"))
                .is_empty()
        );
    }

    #[test]
    fn existence() {
        let mut tree = Tree::new();
        tree.add_text("/etc/a", "");
        tree.insert("/etc/b", Entry::Absent);
        assert!(tree.exists(Path::new("/etc")) && tree.exists(Path::new("/etc/a")));
        assert!(!tree.exists(Path::new("/etc/b")) && !tree.exists(Path::new("/etc/c")));
        assert_eq!(
            tree.entry(Path::new("/opt/x")),
            Some(&Entry::Absent),
            "`/` is listed"
        );
        assert_eq!(Tree::new().entry(Path::new("/opt")), None);
        assert_eq!(
            format!("{:?}", tree.entry(Path::new("/etc/a"))),
            "Some(Text(0 bytes))"
        );
    }

    proptest! {
        #[test]
        fn matching_never_panics(pattern in "[a*?\\[\\]\\\\^-]{0,12}", name in "[a-c]{0,8}") {
            matches_name(&pattern, &name);
        }

        #[test]
        fn a_literal_matches_itself(name in "[a-zA-Z0-9._-]{0,12}") {
            prop_assert!(matches_name(&name, &name));
            prop_assert!(matches_name("*", &name));
        }
    }
}
