//! Blobs: fetched in full, counted and hashed, because nothing less proves that a pull would get them.

use std::time::Duration;

use http::Method;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::content::{Descriptor, Digest};
use super::exchange::drain;
use super::image::{ManifestUrl, checked};
use super::outcome::{BlobKind, BlobProbe, Fault};
use super::trail::millis;
use super::verdict::{Stage, Verdict};
use super::walk::Walk;
use crate::registry::RuntimeName;

impl Walk<'_> {
    /// Fetches one blob in full and notes what came of it.
    pub(super) async fn blob(
        &mut self,
        url: &ManifestUrl<'_>,
        kind: BlobKind,
        descriptor: &Descriptor,
    ) -> Result<(), Fault> {
        let started = Instant::now();
        let mut note = BlobProbe {
            digest: descriptor.digest.clone(),
            kind,
            size: descriptor.size,
            verdict: None,
            ms: 0,
            detail: String::new(),
        };
        if descriptor.size > self.options.limits.blob {
            note.detail = format!(
                "larger than {} bytes, so it was not fetched",
                self.options.limits.blob
            );
            self.probe.blobs.push(note);
            return Ok(());
        }
        let result = self.fetch(url, descriptor).await;
        note.ms = millis(started.elapsed());
        note.verdict = Some(Verdict::Serves);
        if let Err(fault) = &result {
            note.verdict = Some(fault.verdict);
            note.detail.clone_from(&fault.detail);
        }
        self.probe.blobs.push(note);
        result
    }

    async fn fetch(&mut self, url: &ManifestUrl<'_>, descriptor: &Descriptor) -> Result<(), Fault> {
        let at = Stage::Blob;
        let expected = checked(descriptor, at)?;
        let reply = self
            .ask_as_user(&Method::GET, &url.sibling("blobs", &expected), None, at)
            .await?;
        if !self.takes(reply.status) {
            return Err(self.refuse_content(reply, at).await);
        }
        let (mut hash, mut length) = (Sha256::new(), 0u64);
        let stall: Duration = self.options.limits.stall;
        let take = |bytes: &[u8]| {
            hash.update(bytes);
            length += bytes.len() as u64;
        };
        let size = descriptor.size;
        let complete = drain(reply.body, size, stall, at, take).await;
        let found = Digest::from_hash(hash);
        // containerd reads as much as the manifest declares and does not mind what was promised beyond that.
        let enough = self.runtime == RuntimeName::Containerd && length == size && found == expected;
        let fault = match complete {
            Err(fault) if enough && fault.verdict == Verdict::Truncated => return Ok(()),
            Err(fault) => fault,
            Ok(false) => {
                let detail = format!("the blob is longer than the declared {size} bytes");
                Fault::new(Verdict::Corrupt, at, detail)
            }
            Ok(true) if length < size => {
                let detail = format!("the blob ends after {length} of {size} bytes");
                self.as_containerd(Fault::new(Verdict::Truncated, at, detail), "unexpected EOF")
            }
            Ok(true) if found != expected => self.mismatch("blob", at, &found, &expected),
            Ok(true) => return Ok(()),
        };
        self.trail.spoil(&fault);
        Err(fault)
    }

    /// The fault of content that is not what its digest promises.
    pub(super) fn mismatch(
        &self,
        what: &str,
        at: Stage,
        found: &Digest,
        expected: &Digest,
    ) -> Fault {
        let detail = format!("the {what} has the digest {found}, not {expected}");
        let error = format!("unexpected commit digest {found}, expected {expected}");
        self.as_containerd(Fault::new(Verdict::Corrupt, at, detail), error)
    }
}
