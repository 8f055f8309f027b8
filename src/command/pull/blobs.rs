//! How many bytes of a pull have come, from what containerd is writing into its content store.
//!
//! The store does not say for whom it writes; what was written to since the pull began is counted. A blob that is done
//! leaves the list, so the most that was seen of it is kept.

use std::collections::BTreeMap;

use crate::client::containerd::Ingest;
use crate::render::human;

/// Blobs that are kept; more than any honest image has.
const MOST: usize = 4096;

/// What was seen so far.
#[derive(Debug)]
pub struct Blobs {
    since: i64,
    seen: BTreeMap<String, (u64, u64)>,
}

impl Blobs {
    /// Nothing seen yet of a pull that begins now, in nanoseconds since 1970.
    pub fn since(now: i64) -> Self {
        Self {
            since: now,
            seen: BTreeMap::new(),
        }
    }

    /// Takes in one look at the store.
    pub fn update(&mut self, ingests: &[Ingest]) {
        for blob in self.seen.values_mut() {
            // Whoever is not in the list any more is done.
            blob.0 = blob.0.max(blob.1);
        }
        for ingest in ingests {
            let is_ours =
                ingest.updated_at >= self.since || self.seen.contains_key(&ingest.reference);
            if is_ours && (self.seen.len() < MOST || self.seen.contains_key(&ingest.reference)) {
                self.seen
                    .insert(ingest.reference.clone(), (ingest.offset, ingest.total));
            }
        }
    }

    /// `: 12.3MB of 45MB`, or nothing.
    pub fn text(&self) -> String {
        let sum = |part: fn(&(u64, u64)) -> u64| {
            self.seen.values().map(part).fold(0, u64::saturating_add)
        };
        let (done, total) = (sum(|blob| blob.0), sum(|blob| blob.1));
        match (done, total) {
            (0, 0) => String::new(),
            (done, total) if total >= done => {
                format!(": {} of {}", human::size(done, 3), human::size(total, 3))
            }
            (done, _) => format!(": {}", human::size(done, 3)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingest(reference: &str, offset: u64, total: u64, updated_at: i64) -> Ingest {
        Ingest {
            reference: reference.to_owned(),
            offset,
            total,
            updated_at,
        }
    }

    #[test]
    fn a_blob_that_left_the_list_is_done() {
        let mut blobs = Blobs::since(100);
        assert_eq!(blobs.text(), "");
        blobs.update(&[
            ingest("a", 1_000_000, 4_000_000, 100),
            ingest("b", 0, 6_000_000, 101),
            ingest("left by a pull of yesterday", 5_000_000, 9_000_000, 1),
        ]);
        assert_eq!(blobs.text(), ": 1MB of 10MB");
        blobs.update(&[ingest("b", 3_000_000, 6_000_000, 102)]);
        assert_eq!(blobs.text(), ": 7MB of 10MB");
    }

    #[test]
    fn a_size_may_be_unknown() {
        let mut blobs = Blobs::since(0);
        blobs.update(&[ingest("a", 2_500, 0, 1)]);
        assert_eq!(blobs.text(), ": 2.5kB");
    }
}
