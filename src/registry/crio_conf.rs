//! The image section of crio.conf and its drop-ins, as far as it concerns registries.
//!
//! Later files override single keys. Unknown keys are dropped by CRI-O, as here.

use std::path::{Path, PathBuf};

use super::containerd::field;
use super::document::Document;
use super::node::{Node, Table};
use super::text::{Located, Place};
use super::tree::{self, Tree};

/// The main file.
pub const FILE: &str = "/etc/crio/crio.conf";
/// Its drop-ins: every file in it, in the order of names.
pub const DIRECTORY: &str = "/etc/crio/crio.conf.d";

/// What `[crio.image]` says.
#[derive(Debug, Clone, Default)]
pub struct ImageSection {
    /// `pause_image`.
    pub pause_image: Option<Located<String>>,
    /// `pause_image_auth_file`.
    pub pause_image_auth_file: Option<Located<String>>,
    /// `global_auth_file`.
    pub global_auth_file: Option<Located<String>>,
    /// `namespaced_auth_dir`.
    pub namespaced_auth_dir: Option<Located<String>>,
    /// `signature_policy`.
    pub signature_policy: Option<Located<String>>,
    /// `short_name_mode`.
    pub short_name_mode: Option<Located<String>>,
    /// `insecure_registries`, which has no effect.
    pub insecure_registries: Option<Place>,
    /// Why CRI-O does not start, if so.
    pub fatal: Option<Located<String>>,
    /// Files that nobody has read.
    pub unread: Vec<PathBuf>,
}

impl ImageSection {
    /// Reads the files of a node.
    pub fn load(tree: &Tree) -> Self {
        let mut section = Self::default();
        section.read(tree, Path::new(FILE));
        for name in tree.names(Path::new(DIRECTORY)).unwrap_or_default() {
            section.read(tree, &Path::new(DIRECTORY).join(name));
        }
        section
    }

    fn read(&mut self, tree: &Tree, path: &Path) {
        let text = match tree.entry(path) {
            Some(tree::Entry::Text { text }) => text,
            Some(tree::Entry::Unreadable { .. }) => return self.unread.push(path.to_owned()),
            _ => return,
        };
        let document = Document::parse(path, text);
        if let Some(error) = document.errors.first() {
            let message = format!(
                "unable to decode configuration {}: {}",
                path.display(),
                error.message
            );
            self.fatal
                .get_or_insert(Located::new(message, error.place.clone()));
            return;
        }
        let image = field(&document.root, "crio", true)
            .and_then(|entry| entry.node.table())
            .and_then(|crio| field(crio, "image", true))
            .and_then(|entry| entry.node.table());
        if let Some(image) = image {
            self.take(image);
        }
    }

    fn take(&mut self, image: &Table) {
        let text = |name: &str| field(image, name, true).and_then(|entry| entry.node.located_str());
        for (name, target) in [
            ("pause_image", &mut self.pause_image),
            ("pause_image_auth_file", &mut self.pause_image_auth_file),
            ("global_auth_file", &mut self.global_auth_file),
            ("namespaced_auth_dir", &mut self.namespaced_auth_dir),
            ("signature_policy", &mut self.signature_policy),
            ("short_name_mode", &mut self.short_name_mode),
        ] {
            if let Some(found) = text(name) {
                *target = Some(found).filter(|found| !found.value.is_empty());
            }
        }
        let insecure = field(image, "insecure_registries", true);
        if let Some(entry) = insecure.filter(|entry| {
            entry
                .node
                .array()
                .is_none_or(|list: &[Node]| !list.is_empty())
        }) {
            self.insecure_registries = Some(entry.key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_override_keys() {
        let mut tree = Tree::new();
        tree.add_text(
            FILE,
            "[crio.image]\npause_image = \"p:1\"\nglobal_auth_file = \"/a.json\"\n",
        );
        tree.add_text(
            "/etc/crio/crio.conf.d/10",
            "[crio.image]\npause_image = \"p:2\"\nshort_name_mode = \"disabled\"\n",
        );
        let section = ImageSection::load(&tree);
        assert_eq!(section.pause_image.unwrap().value, "p:2");
        assert_eq!(section.global_auth_file.unwrap().value, "/a.json");
        assert_eq!(section.short_name_mode.unwrap().value, "disabled");
        tree.add_text("/etc/crio/crio.conf.d/20", "[crio.image\n");
        assert_eq!(ImageSection::load(&tree).fatal.unwrap().place.line, 1);
    }
}
