//! A list answer cut into its elements: a row for the table, the bytes for structured output.
//!
//! One odd element never spoils the list: text that is not UTF-8 is repaired, an element that cannot be read at all is
//! left out and counted.

use bytes::Bytes;

use super::Listed;
use crate::wire::{self, Typed};

/// What one element of a list answer becomes.
pub trait Row: From<Self::Message> {
    /// The element in the proto.
    type Message: prost::Message + Default + Typed;
    /// The answer in the proto, whose field 1 is the list.
    type Answer: Typed;
    /// What the elements are called, in plural.
    const PLURAL: &'static str;

    /// The full id.
    fn id(&self) -> &str;
}

/// A row and the bytes that it was made from.
#[derive(Debug, Clone)]
pub struct Item<R> {
    /// What tables show and filters see.
    pub row: R,
    /// The element as it arrived.
    pub bytes: Bytes,
}

/// The elements of a list answer.
#[derive(Debug, Clone)]
pub struct Listing<R> {
    /// What could be read, in the runtime's order unless sorted.
    pub items: Vec<Item<R>>,
    /// How many elements could not be read at all.
    pub unreadable: usize,
}

impl<R> Default for Listing<R> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            unreadable: 0,
        }
    }
}

impl<R: Row> Listing<R> {
    /// Adds an element that was looked at; `None` is one that could not be read.
    pub fn add<L: Listed<Whole = R>>(&mut self, listed: Option<&L>) {
        match listed.and_then(|listed| Some((listed, listed.whole()?))) {
            Some((listed, row)) => self.items.push(Item {
                row,
                bytes: listed.element().clone(),
            }),
            None => self.unreadable += 1,
        }
    }

    /// Cuts the elements out of a list answer; they are field 1 in every list of CRI.
    pub fn read(answer: &Bytes) -> Self {
        let mut listing = Self::default();
        for element in wire::elements(answer, 1) {
            match element.ok().and_then(|element| item(answer, element)) {
                Some(item) => listing.items.push(item),
                None => listing.unreadable += 1,
            }
        }
        listing
    }

    /// The rows alone.
    pub fn rows(&self) -> impl Iterator<Item = &R> {
        self.items.iter().map(|item| &item.row)
    }

    /// Keeps the rows for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&R) -> bool) {
        self.items.retain(|item| keep(&item.row));
    }

    /// Sorts by creation time, newest first, and keeps so many (all, if `None`). Equal times keep the runtime's order, as
    /// with crictl.
    pub fn newest_first(&mut self, created_at: impl Fn(&R) -> i64, keep: Option<usize>) {
        self.items
            .sort_by_key(|item| std::cmp::Reverse(created_at(&item.row)));
        if let Some(keep) = keep {
            self.items.truncate(keep);
        }
    }
}

fn item<R: Row>(answer: &Bytes, element: &[u8]) -> Option<Item<R>> {
    let bytes = answer.slice_ref(element);
    Some(Item {
        row: decode(&bytes)?,
        bytes,
    })
}

/// Reads an element, repaired where that is needed; `None` if it cannot be read at all.
pub(super) fn decode<R: Row>(element: &Bytes) -> Option<R> {
    use prost::Message;
    let message = R::Message::decode(element.clone())
        .ok()
        .or_else(|| repaired::<R>(element))?;
    Some(R::from(message))
}

/// Reads an element that the decoder refuses: what is not UTF-8 is replaced on the way through a document.
fn repaired<R: Row>(element: &[u8]) -> Option<R::Message> {
    use prost::Message;
    let document = wire::value(R::Message::TYPE, element, wire::Unset::Omit).ok()?;
    let bytes = wire::encode(R::Message::TYPE, &document).ok()?;
    R::Message::decode(bytes.as_slice()).ok()
}
