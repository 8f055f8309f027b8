//! An image in the runtime's store, as lists and checks see it.

use super::Row;
use crate::cri;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The id: the digest of its configuration, `sha256:…` except on CRI-O, where it is bare hex.
    pub id: String,
    /// Names with a tag.
    pub repo_tags: Vec<String>,
    /// Names with a digest.
    pub repo_digests: Vec<String>,
    /// Bytes that it takes, as the runtime counts them (containerd: compressed).
    pub size: u64,
    /// The user that it asks to run as, if by number.
    pub uid: Option<i64>,
    /// The user that it asks to run as, if by name.
    pub username: String,
    /// Whether the runtime keeps it from being collected.
    pub pinned: bool,
}

impl From<cri::Image> for Image {
    fn from(image: cri::Image) -> Self {
        Self {
            id: image.id,
            repo_tags: image.repo_tags,
            repo_digests: image.repo_digests,
            size: image.size,
            uid: image.uid.map(|uid| uid.value),
            username: image.username,
            pinned: image.pinned,
        }
    }
}

impl Row for Image {
    type Message = cri::Image;
    type Answer = cri::ListImagesResponse;
    const PLURAL: &'static str = "images";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Image {
    /// Whether `name` names this image: its id, the id without its algorithm, a tag or a digest.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name
            || self.id.strip_prefix("sha256:") == Some(name)
            || self
                .repo_tags
                .iter()
                .chain(&self.repo_digests)
                .any(|known| known == name)
    }
}

/// Splits `repository:tag`. The colon of a port belongs to the repository.
pub fn split_tag(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (reference, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colon_of_a_port_is_no_tag() {
        assert_eq!(split_tag("reg:5000/a/b:1"), ("reg:5000/a/b", Some("1")));
        assert_eq!(split_tag("reg:5000/a/b"), ("reg:5000/a/b", None));
        assert_eq!(split_tag("nginx"), ("nginx", None));
    }
}
