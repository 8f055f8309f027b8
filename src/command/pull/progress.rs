//! Tells on a terminal how far a pull is: how many bytes have come, from what containerd is writing into its content
//! store, and since when none have.
//!
//! The store does not say for whom it writes; what was written to since the pull began is counted. A blob that is done
//! leaves the list, so the most that was seen of it is kept.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::super::session::Session;
use crate::client::Client;
use crate::client::containerd::{CRI_NAMESPACE, Ingest};
use crate::probe::pulls::stalled_since;
use crate::render::human;
use crate::render::progress::{PACE, PATIENCE, Progress};

/// Blobs that are kept; more than any honest image has.
const MOST: usize = 4096;

/// Tells how far a pull is, until it is dropped. Where nobody would see it, nothing is asked.
pub async fn watch(session: &Session, client: &Client, name: &str) -> Infallible {
    let progress = Progress::new(&session.output);
    if !progress.is_visible() {
        return std::future::pending().await;
    }
    let mut blobs = Blobs::since(session.now());
    let containerd = client.containerd();
    let mut is_containerd = true;
    tokio::time::sleep(PATIENCE).await;
    loop {
        let text = format!("pulling {name}{}", blobs.text(session.now()));
        progress.show(&text);
        tokio::time::sleep(PACE).await;
        if is_containerd {
            match containerd.ingests(CRI_NAMESPACE).await {
                Ok(ingests) => blobs.update(&ingests, session.now()),
                // Another runtime, or one that has better things to do: the time still runs.
                Err(_) => is_containerd = false,
            }
        }
    }
}

/// What was seen so far.
#[derive(Debug)]
struct Blobs {
    since: i64,
    seen: BTreeMap<String, (u64, u64)>,
    /// Since when nothing has come for any of them.
    stalled: Option<i64>,
}

impl Blobs {
    /// Nothing seen yet of a pull that begins now, in nanoseconds since 1970.
    fn since(now: i64) -> Self {
        Self {
            since: now,
            seen: BTreeMap::new(),
            stalled: None,
        }
    }

    /// Takes in one look at the store.
    fn update(&mut self, ingests: &[Ingest], now: i64) {
        for blob in self.seen.values_mut() {
            // Whoever is not in the list any more is done.
            blob.0 = blob.0.max(blob.1);
        }
        let mut stalled = Vec::new();
        for ingest in ingests {
            let is_ours =
                ingest.updated_at >= self.since || self.seen.contains_key(&ingest.reference);
            if is_ours && (self.seen.len() < MOST || self.seen.contains_key(&ingest.reference)) {
                self.seen
                    .insert(ingest.reference.clone(), (ingest.offset, ingest.total));
                stalled.push(stalled_since(ingest, now));
            }
        }
        // As long as one of them moves, the pull does.
        self.stalled = stalled
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().max());
    }

    /// `: 12.3MB of 45MB, nothing for 20 seconds`, or nothing.
    fn text(&self, now: i64) -> String {
        let sum = |part: fn(&(u64, u64)) -> u64| {
            self.seen.values().map(part).fold(0, u64::saturating_add)
        };
        let (done, total) = (sum(|blob| blob.0), sum(|blob| blob.1));
        let done = match (done, total) {
            (0, 0) => String::new(),
            (done, total) if total >= done => {
                format!(": {} of {}", human::size(done, 3), human::size(total, 3))
            }
            (done, _) => format!(": {}", human::size(done, 3)),
        };
        match self.stalled {
            Some(since) => {
                let passed = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
                let passed = std::time::Duration::from_nanos(passed);
                format!(
                    "{done}, nothing for {}",
                    human::duration(passed).to_lowercase()
                )
            }
            None => done,
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
            started_at: 0,
            updated_at,
        }
    }

    #[test]
    fn a_blob_that_left_the_list_is_done() {
        let mut blobs = Blobs::since(100);
        assert_eq!(blobs.text(100), "");
        blobs.update(
            &[
                ingest("a", 1_000_000, 4_000_000, 100),
                ingest("b", 0, 6_000_000, 101),
                ingest("left by a pull of yesterday", 5_000_000, 9_000_000, 1),
            ],
            102,
        );
        assert_eq!(blobs.text(102), ": 1MB of 10MB");
        blobs.update(&[ingest("b", 3_000_000, 6_000_000, 102)], 103);
        assert_eq!(blobs.text(103), ": 7MB of 10MB");
        let later = 102 + 30_000_000_000;
        blobs.update(&[ingest("b", 3_000_000, 6_000_000, 102)], later);
        assert_eq!(blobs.text(later), ": 7MB of 10MB, nothing for 30 seconds");
    }

    #[test]
    fn a_size_may_be_unknown() {
        let mut blobs = Blobs::since(0);
        blobs.update(&[ingest("a", 2_500, 0, 1)], 2);
        assert_eq!(blobs.text(2), ": 2.5kB");
    }
}
