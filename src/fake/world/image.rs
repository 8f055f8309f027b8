//! An image, described in a few words, and its names.

use std::collections::BTreeMap;

use super::digest;
use crate::cri;

/// An image, with what CRI does not show.
#[derive(Debug, Clone)]
pub struct Image {
    /// What `ListImages` and `ImageStatus` answer.
    pub image: cri::Image,
    /// The digest of its manifest (`sha256:…`), the target of its names in containerd's store.
    pub digest: String,
    /// The verbose answer, where it is not to be made from the rest.
    pub info: Option<BTreeMap<String, String>>,
}

impl Image {
    /// An image under one name (`registry.k8s.io/pause:3.9`); id and digest follow from the name.
    pub fn new(reference: &str, size: u64) -> Self {
        let manifest = format!("sha256:{}", digest(&format!("manifest/{reference}")));
        let (repository, tag) = split(reference);
        let (tags, manifest) = match tag {
            Some(tag) if tag.starts_with('@') => (vec![], tag[1..].to_owned()),
            Some(_) => (vec![reference.to_owned()], manifest),
            None => (vec![format!("{reference}:latest")], manifest),
        };
        Self {
            image: cri::Image {
                id: format!("sha256:{}", digest(&format!("config/{manifest}"))),
                repo_tags: tags,
                repo_digests: vec![format!("{repository}@{manifest}")],
                size,
                ..Default::default()
            },
            digest: manifest,
            info: None,
        }
    }

    /// Adds another name for the same image.
    pub fn tag(mut self, reference: &str) -> Self {
        let digest = format!("{}@{}", split(reference).0, self.digest);
        if !self.image.repo_digests.contains(&digest) {
            self.image.repo_digests.push(digest);
        }
        self.image.repo_tags.push(reference.to_owned());
        self
    }

    /// Without tags: what a pull of a newer image under the same tag leaves.
    pub fn dangling(mut self) -> Self {
        self.image.repo_tags.clear();
        self
    }

    /// Kept from garbage collection.
    pub fn pinned(mut self) -> Self {
        self.image.pinned = true;
        self
    }

    /// Whose processes run: a user id, or a name.
    pub fn user(mut self, user: &str) -> Self {
        match user.parse() {
            Ok(value) => self.image.uid = Some(cri::Int64Value { value }),
            Err(_) => user.clone_into(&mut self.image.username),
        }
        self
    }

    /// Whether a reference, digest, id or unique beginning of an id means this image.
    pub fn is(&self, reference: &str) -> bool {
        let bare = |id: &str| id.trim_start_matches("sha256:").to_owned();
        let latest = format!("{reference}:latest");
        self.image
            .repo_tags
            .iter()
            .chain(&self.image.repo_digests)
            .any(|name| *name == reference || *name == latest)
            || self.image.id == reference
            || bare(&self.image.id) == bare(reference)
    }
}

/// The repository, and `tag` or `@digest`.
fn split(reference: &str) -> (&str, Option<&str>) {
    if let Some(at) = reference.find('@') {
        let name = &reference[..at];
        return (split(name).0, Some(&reference[at..]));
    }
    match reference.rfind(':') {
        // A colon before the last slash belongs to a port.
        Some(colon) if !reference[colon..].contains('/') => {
            (&reference[..colon], Some(&reference[colon + 1..]))
        }
        _ => (reference, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_tag_and_digest() {
        assert_eq!(split("reg:5000/a/b:1"), ("reg:5000/a/b", Some("1")));
        assert_eq!(split("reg:5000/a/b"), ("reg:5000/a/b", None));
        assert_eq!(split("a/b:1@sha256:0"), ("a/b", Some("@sha256:0")));
    }
}
