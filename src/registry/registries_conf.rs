//! registries.conf and its drop-ins, as the containers/image library (5.38, in CRI-O 1.37) reads them.
//!
//! A fault in any of the files stops CRI-O from starting, so reading ends at the first one.

mod file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::document::Document;
use super::image_ref::ImageRef;
use super::text::{Located, Place};
use super::tree::{self, Tree};
use file::File;

/// The system's file.
pub const SYSTEM_FILE: &str = "/etc/containers/registries.conf";
/// Its drop-ins.
pub const SYSTEM_DIRECTORY: &str = "/etc/containers/registries.conf.d";
/// root's own file: if it exists, the system's file and drop-ins are not read.
pub const USER_FILE: &str = "/root/.config/containers/registries.conf";
/// root's own drop-ins, read after the system's.
pub const USER_DIRECTORY: &str = "/root/.config/containers/registries.conf.d";
/// Aliases that tools have recorded; they win over those of the files above.
pub const ALIASES_FILE: &str = "/var/cache/containers/short-name-aliases.conf";

/// What all files together say.
#[derive(Debug, Clone, Default)]
pub struct RegistriesConf {
    /// The files that were read, in their order.
    pub files: Vec<PathBuf>,
    /// The `[[registry]]` tables in force, by prefix.
    pub registries: BTreeMap<String, Registry>,
    /// `unqualified-search-registries`.
    pub search: Vec<Located<String>>,
    /// The file that says so, or the last one read.
    pub search_origin: Option<PathBuf>,
    /// Short names; `None` for one that was reset.
    pub aliases: BTreeMap<String, Option<Located<String>>>,
    /// Why CRI-O does not start, if so.
    pub fatal: Option<Located<String>>,
    /// Files that nobody has read.
    pub unread: Vec<PathBuf>,
}

/// A `[[registry]]` table.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Where the table is.
    pub place: Place,
    /// What a reference must begin with: host, repository or `*.domain`.
    pub prefix: String,
    /// What takes the place of the prefix. Empty leaves the reference as it is.
    pub location: Located<String>,
    /// Whether http and certificates that do not verify are accepted from the location.
    pub insecure: bool,
    /// Whether the location is not to be asked.
    pub blocked: Option<Place>,
    /// Whether mirrors are for digests only.
    pub mirror_by_digest_only: Option<Place>,
    /// The mirrors.
    pub mirrors: Vec<Mirror>,
}

/// A `[[registry.mirror]]` table.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// What takes the place of the prefix.
    pub location: Located<String>,
    /// Whether http and certificates that do not verify are accepted.
    pub insecure: bool,
    /// `pull-from-mirror`.
    pub pulls: Located<Pulls>,
}

/// For which references a mirror is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulls {
    /// All of them.
    All,
    /// References by digest.
    DigestOnly,
    /// References by tag.
    TagOnly,
}

/// Where an image can be had, with the name that it has there.
#[derive(Debug, Clone)]
pub struct Source {
    /// The reference as this source knows it.
    pub reference: ImageRef,
    /// Whether http and certificates that do not verify are accepted.
    pub insecure: bool,
    /// Where it is written; `None` if it is nowhere.
    pub place: Option<Place>,
    /// Whether it is a mirror.
    pub mirror: bool,
}

impl RegistriesConf {
    /// Reads the files of a node.
    pub fn load(tree: &Tree) -> Self {
        let mut conf = Self::default();
        if let Err(fatal) = conf.read_all(tree) {
            conf.fatal = Some(fatal);
        }
        conf
    }

    fn read_all(&mut self, tree: &Tree) -> Result<(), Located<String>> {
        let own = tree.exists(Path::new(USER_FILE));
        let main = if own { USER_FILE } else { SYSTEM_FILE };
        let directories: &[&str] = if own {
            &[USER_DIRECTORY]
        } else {
            &[SYSTEM_DIRECTORY, USER_DIRECTORY]
        };
        self.read(tree, Path::new(main), false)?;
        for directory in directories.iter().map(Path::new) {
            match tree.entry(directory) {
                Some(tree::Entry::Directory { names }) => {
                    for name in names.iter().filter(|name| name.ends_with(".conf")) {
                        self.read(tree, &directory.join(name), true)?;
                    }
                }
                // Nobody lists root's own directory unless it is there.
                None if directory == Path::new(USER_DIRECTORY) => {}
                None | Some(tree::Entry::Unreadable { .. }) => {
                    self.unread.push(directory.to_owned())
                }
                Some(_) => {}
            }
        }
        if tree.text(Path::new(ALIASES_FILE)).is_some() {
            let mut recorded = Self::default();
            recorded.read(tree, Path::new(ALIASES_FILE), true)?;
            self.aliases.extend(recorded.aliases);
        }
        Ok(())
    }

    fn read(&mut self, tree: &Tree, path: &Path, dropin: bool) -> Result<(), Located<String>> {
        let text = match tree.entry(path) {
            Some(tree::Entry::Text { text }) => text,
            Some(tree::Entry::NotText { line }) => {
                let place = Place {
                    line: *line,
                    ..Place::start_of(path)
                };
                return Err(Located::new(broken(path, dropin, "invalid UTF-8"), place));
            }
            Some(tree::Entry::Absent | tree::Entry::Directory { .. }) => return Ok(()),
            _ => {
                self.unread.push(path.to_owned());
                return Ok(());
            }
        };
        self.files.push(path.to_owned());
        let document = Document::parse(path, text);
        let file = document
            .errors
            .first()
            .map_or(Ok(()), |error| {
                Err(Located::new(error.message.clone(), error.place.clone()))
            })
            .and_then(|()| File::parse(&document.root, dropin))
            .map_err(|error| Located::new(broken(path, dropin, &error.value), error.place))?;
        for registry in file.registries {
            // The first of two equal prefixes in one file wins; a later file replaces what was there.
            self.registries.insert(registry.prefix.clone(), registry);
        }
        if let Some(search) = file.search {
            self.search = search;
            self.search_origin = Some(path.to_owned());
        } else if !dropin {
            self.search_origin = Some(path.to_owned());
        }
        self.aliases.extend(file.aliases);
        Ok(())
    }

    /// The table whose prefix is the longest that fits a name (a reference without tag and digest).
    pub fn find(&self, name: &str) -> Option<&Registry> {
        self.registries
            .values()
            .filter(|registry| match_prefix(name, &registry.prefix).is_some())
            // Of equally long ones the first in alphabetical order; `max_by_key` would give the last.
            .rev()
            .max_by_key(|registry| registry.prefix.len())
    }

    /// The sources of an image, in the order in which they are tried.
    ///
    /// # Errors
    /// The library's words, if a location does not make a reference: then nothing is tried at all.
    pub fn sources(&self, image: &ImageRef) -> Result<Vec<Source>, Located<String>> {
        let Some(registry) = self.find(&image.name()) else {
            return Ok(vec![Source {
                reference: image.clone(),
                insecure: false,
                place: None,
                mirror: false,
            }]);
        };
        let digested = image.digest().is_some();
        let mirrors = registry
            .mirrors
            .iter()
            .filter(|mirror| match mirror.pulls.value {
                _ if registry.mirror_by_digest_only.is_some() => digested,
                Pulls::All => true,
                Pulls::DigestOnly => digested,
                Pulls::TagOnly => !digested,
            });
        let mirrors = mirrors.map(|mirror| (&mirror.location, mirror.insecure, true));
        let mut sources = Vec::new();
        for (location, insecure, mirror) in
            mirrors.chain([(&registry.location, registry.insecure, false)])
        {
            let place = if location.value.is_empty() {
                &registry.place
            } else {
                &location.place
            };
            let reference = rewrite(image, &registry.prefix, &location.value).ok_or_else(|| {
                Located::new(
                    format!(
                        "rewriting reference: `{}` does not make a repository name with a registry",
                        location.value
                    ),
                    place.clone(),
                )
            })?;
            sources.push(Source {
                reference,
                insecure,
                place: Some(place.clone()),
                mirror,
            });
        }
        Ok(sources)
    }
}

fn broken(path: &Path, dropin: bool, error: &str) -> String {
    let what = if dropin {
        "drop-in registries"
    } else {
        "registries"
    };
    format!(
        "invalid registries: loading {what} configuration \"{}\": {error}",
        path.display()
    )
}

/// The length of what a prefix covers of a name, if it fits. A name must go on with `/`, `:` or `@`; that `:5000` may
/// follow a bare host is an accident that the library warns about.
pub fn match_prefix(name: &str, prefix: &str) -> Option<usize> {
    let end = match prefix
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
    {
        Some(suffix) => {
            let at = name.find(suffix)?;
            if name[..at].contains('/') {
                return None;
            }
            at + suffix.len()
        }
        None if name.starts_with(prefix) => prefix.len(),
        None => return None,
    };
    matches!(name.as_bytes().get(end), None | Some(b'/' | b':' | b'@')).then_some(end)
}

/// The reference with the location in place of the prefix.
fn rewrite(image: &ImageRef, prefix: &str, location: &str) -> Option<ImageRef> {
    if location.is_empty() {
        return Some(image.clone());
    }
    // The prefix can be as long as the whole reference.
    let whole = match image.digest() {
        Some(digest) => format!("{}@{digest}", image.name()),
        None => format!("{}:{}", image.name(), image.object()),
    };
    let end = match_prefix(&whole, prefix)?;
    let rewritten = format!("{location}{}", &whole[end..]);
    // What is not yet in its normal form is refused.
    let parsed: ImageRef = rewritten.parse().ok()?;
    (!parsed.is_short() && parsed.to_string() == rewritten).then_some(())?;
    image.renamed(&parsed.name())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes() {
        for (name, prefix, expected) in [
            ("quay.io/a/b", "quay.io", Some(7)),
            ("quay.io/a/b", "quay.io/a", Some(9)),
            ("quay.io/ab", "quay.io/a", None),
            ("quay.iox/a", "quay.io", None),
            ("reg.test:5000/a", "reg.test", Some(8)),
            ("reg.test/a", "reg.test:5000", None),
            ("a.example.com/x", "*.example.com", Some(13)),
            ("a.b.example.com:5000/x", "*.example.com", Some(15)),
            ("example.com/x", "*.example.com", None),
            ("quay.io/x.example.com", "*.example.com", None),
            ("quay.io/a@sha256:00", "quay.io/a", Some(9)),
            ("quay.io/a", "*", None),
        ] {
            assert_eq!(match_prefix(name, prefix), expected, "{name} {prefix}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*", name in "\\PC{0,20}", prefix in "\\PC{0,10}") {
            let mut tree = Tree::new();
            tree.add_text(SYSTEM_FILE, text);
            RegistriesConf::load(&tree);
            match_prefix(&name, &prefix);
        }

        #[test]
        fn never_panics_on_near_misses(body in "(\\[\\[registry\\]\\]\n|\\[\\[registry.mirror\\]\\]\n|location = \"[a-c./:*]{0,6}\"\n|prefix = \"[a-c./*]{0,6}\"\n|blocked = (true|1)\n){0,8}") {
            let mut tree = Tree::new();
            tree.add_text(SYSTEM_FILE, body);
            let conf = RegistriesConf::load(&tree);
            let _ = conf.sources(&"a.b/c/a:1".parse().unwrap());
        }
    }
}
