//! An image, as a list of any length shows it.

use std::borrow::Cow;

use bytes::Bytes;

use super::super::Image;
use super::{Listed, picker};
use crate::wire::{self, Malformed, Path, Picked, Picker};

picker!(PICKER {
    ID: Path::Field(1),
    SIZE: Path::Field(4),
    PINNED: Path::Field(8),
});
const TAGS: u32 = 2;
const DIGESTS: u32 = 3;

/// An image in a list. The fields are those of [`Image`].
#[derive(Debug, Clone)]
pub struct ListedImage(Picked<PLACES>);

impl Listed for ListedImage {
    type Whole = Image;

    fn look(element: Bytes) -> Result<Self, Malformed> {
        PICKER.pick(element).map(Self)
    }

    fn id(&self) -> Cow<'_, str> {
        self.0.text(ID)
    }

    fn element(&self) -> &Bytes {
        self.0.message()
    }
}

impl ListedImage {
    /// Names with a tag.
    pub fn repo_tags(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.texts(TAGS)
    }

    /// Names with a digest.
    pub fn repo_digests(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.texts(DIGESTS)
    }

    /// Bytes that it takes, as the runtime counts them.
    pub fn size(&self) -> u64 {
        self.0.number(SIZE)
    }

    /// Whether the runtime keeps it from being collected.
    pub fn pinned(&self) -> bool {
        self.0.number(PINNED) != 0
    }

    fn texts(&self, number: u32) -> impl Iterator<Item = Cow<'_, str>> {
        // What is malformed was found when the element was looked at.
        wire::elements(self.0.message(), number)
            .filter_map(Result::ok)
            .map(String::from_utf8_lossy)
    }
}
