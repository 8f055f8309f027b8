//! Pulls in flight: what containerd is writing into its content store right now, and how it gets on.
//!
//! The store says of each blob what has come, of how much, and when the last bytes came; nothing says for whom. A rate
//! needs two looks; with one there is the mean since the beginning. CRI knows nothing of it, so on other runtimes there
//! is nothing to see.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::containerd::{CRI_NAMESPACE, Ingest};
use crate::client::{self, Client};

/// A blob without new bytes for so long counts as stalled, in nanoseconds.
pub const STALLED: i64 = 10 * SECOND;

/// Blobs that are kept between looks; more than any honest node has.
const MOST: usize = 4096;

const SECOND: i64 = 1_000_000_000;

/// A blob that is on its way.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    /// containerd's namespace; `k8s.io` is CRI's.
    pub namespace: String,
    /// What the writer calls it, as in `layer-sha256:…`.
    pub reference: String,
    /// Bytes that have come.
    pub bytes: u64,
    /// Bytes that it will have, where that is known.
    pub total: Option<u64>,
    /// Bytes a second: since the last look, else since it began.
    pub rate: u64,
    /// When it began, in nanoseconds since 1970.
    pub started_at: i64,
    /// When the last bytes came, in nanoseconds since 1970.
    pub updated_at: i64,
    /// Since when nothing has come, in nanoseconds since 1970, if that is too long ago.
    pub stalled_since: Option<i64>,
}

/// What was seen of all pulls so far.
#[derive(Debug, Default)]
pub struct Looks {
    last: BTreeMap<(String, String), (i64, u64)>,
}

impl Looks {
    /// Looks into every namespace.
    ///
    /// # Errors
    /// The daemon cannot be asked; [`client::Kind::UnknownService`] if it is not containerd.
    pub async fn look(
        &mut self,
        client: &Client,
        now: impl Fn() -> i64,
    ) -> Result<Vec<Transfer>, client::Error> {
        let containerd = client.containerd();
        let mut namespaces = containerd.namespaces().await?;
        // That of CRI first: it is the one that pods wait for.
        namespaces.sort_by_key(|name| (name != CRI_NAMESPACE, name.clone()));
        let mut all = Vec::new();
        for namespace in namespaces {
            let ingests = containerd.ingests(&namespace).await?;
            all.extend(self.take_in(&namespace, &ingests, now()));
        }
        Ok(all)
    }

    /// One look at a namespace, as it was at a time.
    fn take_in(&mut self, namespace: &str, ingests: &[Ingest], now: i64) -> Vec<Transfer> {
        let transfers: Vec<Transfer> = ingests
            .iter()
            .map(|ingest| {
                let key = (namespace.to_owned(), ingest.reference.clone());
                let (since, before) = match self.last.get(&key) {
                    Some(&(at, bytes)) if at < now && bytes <= ingest.offset => (at, bytes),
                    _ => (ingest.started_at, 0),
                };
                Transfer {
                    namespace: namespace.to_owned(),
                    reference: ingest.reference.clone(),
                    bytes: ingest.offset,
                    total: (ingest.total > 0).then_some(ingest.total),
                    rate: rate(ingest.offset - before, now.saturating_sub(since)),
                    started_at: ingest.started_at,
                    updated_at: ingest.updated_at,
                    stalled_since: stalled_since(ingest, now),
                }
            })
            .collect();
        self.last.retain(|(of, _), _| of != namespace);
        for ingest in ingests.iter().take(MOST) {
            let key = (namespace.to_owned(), ingest.reference.clone());
            self.last.insert(key, (now, ingest.offset));
        }
        transfers
    }
}

/// Since when nothing has come, if that is too long ago. A blob that is whole is waiting for its place and not stalled.
pub fn stalled_since(ingest: &Ingest, now: i64) -> Option<i64> {
    let is_whole = ingest.total > 0 && ingest.offset >= ingest.total;
    let last = ingest.updated_at.max(ingest.started_at);
    (!is_whole && last > 0 && now.saturating_sub(last) >= STALLED).then_some(last)
}

fn rate(bytes: u64, nanoseconds: i64) -> u64 {
    match u128::try_from(nanoseconds) {
        Ok(time) if time > 0 => {
            u64::try_from(u128::from(bytes) * 1_000_000_000 / time).unwrap_or(u64::MAX)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingest(offset: u64, total: u64, updated: i64) -> Ingest {
        Ingest {
            reference: "layer-sha256:a".to_owned(),
            offset,
            total,
            started_at: 100 * SECOND,
            updated_at: updated * SECOND,
        }
    }

    #[test]
    fn a_rate_is_that_since_the_last_look() {
        let mut looks = Looks::default();
        let at = |looks: &mut Looks, offset, now: i64| {
            looks.take_in("k8s.io", &[ingest(offset, 1000, now)], now * SECOND)[0].rate
        };
        assert_eq!(at(&mut looks, 100, 110), 10, "the mean since it began");
        assert_eq!(at(&mut looks, 300, 112), 100);
        assert_eq!(at(&mut looks, 300, 113), 0);
        // It began anew, as after a broken connection.
        assert_eq!(at(&mut looks, 40, 120), 2);
        looks.take_in("k8s.io", &[], 121 * SECOND);
        assert_eq!(looks.last.len(), 0);
    }

    #[test]
    fn stalled_is_who_is_not_done_and_gets_nothing() {
        #[track_caller]
        fn case(blob: &Ingest, now: i64, expected: Option<i64>) {
            assert_eq!(
                stalled_since(blob, now * SECOND),
                expected.map(|at| at * SECOND)
            );
        }
        case(&ingest(5, 10, 120), 125, None);
        case(&ingest(5, 10, 120), 130, Some(120));
        case(&ingest(10, 10, 120), 500, None);
        case(&ingest(5, 0, 120), 500, Some(120));
        // A clock that was set back stalls nothing.
        case(&ingest(5, 10, 120), 90, None);
    }
}
