//! Containers, pods and images as lists of any length show them: the values that tables and filters want, found in the
//! bytes of the element and read when they are asked for. Nothing is decoded, nothing copied.
//!
//! What a table does not show is not looked at. Whoever wants all of an element takes [`Listed::whole`].

mod container;
mod image;
mod pod_sandbox;

use std::borrow::Cow;

use bytes::Bytes;

use super::Row;
use crate::wire::Malformed;

/// An element of a list that was looked at but not decoded.
pub trait Listed: Sized {
    /// The same, decoded.
    type Whole: Row;

    /// Looks at an element.
    ///
    /// # Errors
    /// It is malformed where it was looked at.
    fn look(element: Bytes) -> Result<Self, Malformed>;

    /// The full id.
    fn id(&self) -> Cow<'_, str>;

    /// The element as it arrived.
    fn element(&self) -> &Bytes;

    /// Everything in the element; `None` if it cannot be decoded.
    fn whole(&self) -> Option<Self::Whole> {
        super::listing::decode(self.element())
    }
}

/// Names the places of a picker, and the picker.
macro_rules! picker {
    ($picker:ident { $($place:ident: $path:expr),* $(,)? }) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "places are constants")]
        enum Places { $($place),* }
        $(const $place: usize = Places::$place as usize;)*
        const PLACES: usize = [$($place),*].len();
        const $picker: Picker<PLACES> = Picker::new([$($path),*]);
    };
}

use picker;

pub use container::ListedContainer;
pub use image::ListedImage;
pub use pod_sandbox::ListedPod;

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::{Container, Image, PodSandbox, label};
    use super::*;
    use crate::cri;

    #[test]
    fn a_listed_container_is_the_decoded_one() {
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let container = cri::Container {
            id: "3fd1".into(),
            pod_sandbox_id: "77aa".into(),
            metadata: Some(cri::ContainerMetadata {
                name: "web".into(),
                attempt: 3,
            }),
            image: Some(cri::ImageSpec {
                image: "sha256:1".into(),
                user_specified_image: "nginx:1".into(),
                ..Default::default()
            }),
            image_ref: "sha256:2".into(),
            state: cri::ContainerState::ContainerExited.into(),
            created_at: 1_700_000_000_000_000_001,
            labels: [
                label(label::POD_NAME, "web-0"),
                label(label::POD_NAMESPACE, "shop"),
                label(label::POD_UID, "uid"),
            ]
            .into(),
            image_id: "sha256:3".into(),
            ..Default::default()
        };
        let listed = ListedContainer::look(container.encode_to_vec().into()).unwrap();
        let whole = listed.whole().unwrap();
        assert_eq!(whole, Container::from(container));
        assert_eq!(listed.id(), whole.id);
        assert_eq!(listed.pod_sandbox_id(), whole.pod_sandbox_id);
        assert_eq!(
            (&*listed.name(), listed.attempt()),
            (&*whole.name, whole.attempt)
        );
        assert_eq!(listed.image(), whole.image);
        assert_eq!(listed.image_ref(), whole.image_ref);
        assert_eq!(listed.image_id(), whole.image_id);
        assert_eq!(
            (listed.state(), listed.created_at()),
            (whole.state, whole.created_at)
        );
        assert_eq!(listed.pod_name().as_deref(), whole.pod_name());
        assert_eq!(listed.pod_namespace().as_deref(), whole.pod_namespace());
        assert_eq!(listed.pod_uid(), whole.labels[label::POD_UID]);
        assert_eq!(listed.clone().detached().name(), "web");
    }

    #[test]
    fn a_container_without_labels_is_told_its_pod() {
        let mut listed = ListedContainer::look(Bytes::new()).unwrap();
        assert_eq!(listed.pod_name(), None);
        listed.belongs_to("web-0", "");
        assert!(!listed.names_its_pod());
        assert_eq!(listed.pod_name().as_deref(), Some("web-0"));
        assert_eq!(listed.pod_namespace(), None);
        assert_eq!(listed.whole().unwrap().pod_name(), Some("web-0"));
    }

    #[test]
    fn a_listed_pod_is_the_decoded_one() {
        let mut pod = cri::PodSandbox {
            id: "77aa".into(),
            metadata: Some(cri::PodSandboxMetadata {
                name: "web-0".into(),
                uid: "uid".into(),
                namespace: "shop".into(),
                attempt: 2,
            }),
            state: cri::PodSandboxState::SandboxNotready.into(),
            created_at: 1_700_000_000_000_000_001,
            labels: [(label::POD_NAME.to_owned(), "of the label".to_owned())].into(),
            runtime_handler: "kata".into(),
            ..Default::default()
        };
        for name in ["web-0", "of the label"] {
            let listed = ListedPod::look(pod.encode_to_vec().into()).unwrap();
            let whole = PodSandbox::from(pod.clone());
            assert_eq!(listed.name(), name);
            assert_eq!(
                (listed.id(), listed.name(), listed.namespace(), listed.uid()),
                (
                    Cow::Borrowed(whole.id.as_str()),
                    Cow::Borrowed(whole.name()),
                    Cow::Borrowed(whole.namespace()),
                    Cow::Borrowed(whole.uid())
                )
            );
            assert_eq!(
                (listed.state(), listed.created_at()),
                (whole.state, whole.created_at)
            );
            assert_eq!(listed.runtime_handler(), whole.runtime_handler);
            pod.metadata = None;
        }
    }

    #[test]
    fn a_listed_image_is_the_decoded_one() {
        let image = cri::Image {
            id: "sha256:1".into(),
            repo_tags: vec!["a:1".into(), "a:2".into()],
            repo_digests: vec!["a@sha256:3".into()],
            size: u64::MAX,
            pinned: true,
            ..Default::default()
        };
        let listed = ListedImage::look(image.encode_to_vec().into()).unwrap();
        let whole = listed.whole().unwrap();
        assert_eq!(whole, Image::from(image));
        assert!(
            listed.repo_tags().eq(whole.repo_tags) && listed.repo_digests().eq(whole.repo_digests)
        );
        assert_eq!(
            (listed.id(), listed.size(), listed.pinned()),
            ("sha256:1".into(), u64::MAX, true)
        );
    }
}
