//! What the runtime's own pull will do, told from what a probe saw: pure functions over a route and its probes.
//!
//! Follows what was observed on real daemons. containerd asks its hosts anew, from the first, for every object of an
//! image; CRI-O chooses one source with the manifest and stays with it. Which versions do what stands in
//! `registry::rules`.

use std::collections::BTreeMap;

use super::login::NO_LOGIN;
use super::outcome::{BlobKind, EndpointProbe};
use super::prediction::{Assumption, EndpointDelay, ExpectedError, Outcome, Prediction};
use super::verdict::{Stage, Verdict, Wait};
use crate::registry::plan::{Phase, Route};
use crate::registry::rules::{Rule, Rules};
use crate::registry::{RuntimeId, RuntimeName};

/// Foretells the pull. `None` if the route names no runtime, or the probes are not those of the route.
pub fn predict(route: &Route, probes: &[EndpointProbe]) -> Option<Prediction> {
    let runtime: RuntimeId = route.runtime.parse().ok()?;
    if probes.len() != route.endpoints.len() {
        return None;
    }
    if let Some(fatal) = &route.fatal {
        return Some(Prediction::stopped(fatal));
    }
    let mut pull = Pull {
        route,
        probes,
        runtime,
        waits: BTreeMap::new(),
        failures: Vec::new(),
        first_without_content: None,
        assumed: Vec::new(),
    };
    let end = match pull.runtime.name {
        RuntimeName::Containerd => pull.containerd(),
        RuntimeName::Crio | RuntimeName::Docker => pull.one_source(),
    };
    Some(pull.conclude(end))
}

/// The objects of an image in the order in which they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    /// The tag, to learn the digest.
    Tag,
    /// The manifest by digest.
    Manifest,
    /// The image's own manifest, when the first one is an index.
    PlatformManifest,
    Blob(BlobKind),
}

/// How the search for one object ends.
enum Found {
    At(usize),
    /// At this endpoint the pull ends.
    StoppedAt(usize),
    /// No endpoint has it.
    Nowhere,
}

/// How the whole pull ends.
enum End {
    Done {
        manifest: usize,
        blobs: usize,
    },
    Stopped {
        at: usize,
        served_by: Option<usize>,
    },
    /// No endpoint has the object that was looked for last.
    Exhausted {
        served_by: Option<usize>,
    },
}

struct Pull<'a> {
    route: &'a Route,
    probes: &'a [EndpointProbe],
    runtime: RuntimeId,
    /// Waiting requests by endpoint, with the wait of each.
    waits: BTreeMap<usize, (u64, Wait)>,
    /// Endpoints that were passed over, in order.
    failures: Vec<usize>,
    /// The first of them in the search for content that is under way; none while the name is resolved.
    first_without_content: Option<usize>,
    assumed: Vec<Assumption>,
}

impl Pull<'_> {
    /// Every object is looked for from the first host on.
    fn containerd(&mut self) -> End {
        let resolver = match self.search(Object::Tag, None) {
            Found::At(index) => index,
            Found::StoppedAt(at) => {
                return End::Stopped {
                    at,
                    served_by: None,
                };
            }
            Found::Nowhere => return End::Exhausted { served_by: None },
        };
        let digest = self.probes[resolver].digest.clone();
        let mut objects = vec![Object::Manifest];
        let manifest = self.probes[resolver].manifest.as_ref();
        if manifest
            .is_some_and(|manifest| !manifest.platforms.is_empty() || manifest.chosen.is_some())
        {
            objects.push(Object::PlatformManifest);
        }
        objects.push(Object::Blob(BlobKind::Config));
        let layers = manifest
            .and_then(|manifest| manifest.layers)
            .unwrap_or_else(|| {
                self.assumed.push(Assumption::LayersNotKnown);
                1
            });
        objects.extend(std::iter::repeat_n(Object::Blob(BlobKind::Layer), layers));
        let mut served_by = None;
        let mut blobs = resolver;
        for object in objects {
            match self.search(object, digest.as_deref()) {
                Found::At(index) if object == Object::Manifest => served_by = Some(index),
                Found::At(index) => blobs = index,
                Found::StoppedAt(at) => return End::Stopped { at, served_by },
                Found::Nowhere => return End::Exhausted { served_by },
            }
        }
        End::Done {
            manifest: served_by.unwrap_or(resolver),
            blobs,
        }
    }

    /// The first endpoint that gives an object, and what is waited for before it.
    fn search(&mut self, object: Object, digest: Option<&str>) -> Found {
        let phase = if object == Object::Tag {
            Phase::Resolve
        } else {
            Phase::Fetch
        };
        let probes = self.probes;
        self.first_without_content = None;
        for (index, probe) in probes.iter().enumerate() {
            if !self.route.endpoints[index].phases.contains(&phase) {
                continue;
            }
            let failure = match self.has(probe, object, digest) {
                Has::Yes => return Found::At(index),
                Has::NotThisOne => continue,
                Has::No(verdict, at) => (verdict, at),
            };
            let later = self.route.endpoints.iter().skip(index + 1);
            let last = !later.into_iter().any(|later| later.phases.contains(&phase));
            let attempts = self.attempts(last, failure.0);
            self.pass_over(index, failure, attempts);
            if object != Object::Tag {
                self.first_without_content.get_or_insert(index);
            }
            // Manifests by digest are fetched in the same way as blobs.
            let content = object != Object::Tag && failure.0 == Verdict::BadRedirect;
            let at = if content { Stage::Blob } else { failure.1 };
            if !failure.0.next_host(at, &self.runtime) {
                return Found::StoppedAt(index);
            }
        }
        Found::Nowhere
    }

    /// Whether an endpoint gives an object, as far as the probe can tell.
    fn has(&mut self, probe: &EndpointProbe, object: Object, digest: Option<&str>) -> Has {
        let failure = || Has::No(decisive(probe), probe.failed_at.unwrap_or(Stage::Manifest));
        // The tag is resolved as soon as its digest is known; what comes of the content is the next object's matter.
        if probe.digest.is_none() {
            return if probe.verdict.is_good() {
                Has::Yes
            } else {
                failure()
            };
        }
        if object == Object::Tag {
            return Has::Yes;
        }
        if digest.is_some() && probe.digest.as_deref() != digest {
            self.assume(Assumption::OtherDigestNotAsked);
            return Has::NotThisOne;
        }
        match (object, probe.failed_at) {
            (Object::Manifest | Object::PlatformManifest, Some(at)) if at < Stage::Blob => {
                failure()
            }
            (Object::Blob(kind), _) => match probe.blobs.iter().find(|blob| blob.kind == kind) {
                Some(blob) if blob.verdict == Some(Verdict::Serves) => Has::Yes,
                Some(blob) if blob.verdict.is_some() => failure(),
                // After one blob went wrong the probe does not fetch the next; it will do no better.
                None if probe.failed_at == Some(Stage::Blob) => failure(),
                _ => {
                    self.assume(Assumption::BlobsNotProbed);
                    Has::Yes
                }
            },
            _ => Has::Yes,
        }
    }

    /// One source is chosen with the manifest and gives everything else.
    fn one_source(&mut self) -> End {
        if self.runtime.name == RuntimeName::Docker {
            self.assume(Assumption::RuntimeNotObserved);
        }
        let probes = self.probes;
        for (index, probe) in probes.iter().enumerate() {
            let mut at = probe.failed_at.unwrap_or(Stage::Blob);
            let unreadable = probe.verdict == Verdict::BadResponse && probe.status.is_none();
            if probe.manifest.is_some() || unreadable {
                // The source is chosen as soon as its manifest is there, also if that is an index or no manifest at all.
                at = at.max(Stage::Blob);
            }
            if probe.verdict.is_good() {
                if probe.blobs.is_empty() {
                    self.assume(Assumption::BlobsNotProbed);
                }
                return End::Done {
                    manifest: index,
                    blobs: index,
                };
            }
            let verdict = decisive(probe);
            self.pass_over(index, (verdict, at), 1);
            if !verdict.next_host(at, &self.runtime) {
                let served_by = probe.digest.is_some().then_some(index);
                return End::Stopped {
                    at: index,
                    served_by,
                };
            }
        }
        End::Exhausted { served_by: None }
    }

    /// How often one object is asked for at a host that fails like this.
    fn attempts(&self, last: bool, verdict: Verdict) -> u64 {
        let again = Rules::builtin().holds(Rule::LastHostAskedAgain, &self.runtime);
        if last && again && verdict == Verdict::Timeout {
            5
        } else {
            1
        }
    }

    fn pass_over(&mut self, index: usize, (verdict, at): (Verdict, Stage), attempts: u64) {
        let probe = &self.probes[index];
        let retry = probe
            .rate_limit
            .as_ref()
            .and_then(|limit| limit.retry_seconds());
        // Behind a redirect or at a token server it is that place's stage that counts.
        let at = deciding_stage(probe).unwrap_or(at);
        let wait = verdict.wait(at, &self.runtime, retry);
        if wait != Wait::Millis(0) {
            self.waits.entry(index).or_insert((0, wait)).0 += attempts;
        }
        if !self.failures.contains(&index) {
            self.failures.push(index);
        }
    }

    fn assume(&mut self, assumption: Assumption) {
        if !self.assumed.contains(&assumption) {
            self.assumed.push(assumption);
        }
    }

    fn conclude(self, end: End) -> Prediction {
        let delays: Vec<EndpointDelay> = self
            .waits
            .iter()
            .map(|(&endpoint, &(requests, each))| EndpointDelay {
                endpoint,
                requests,
                each,
            })
            .collect();
        let endless = delays.iter().any(|delay| delay.each == Wait::Endless);
        let sum = |sum: u64, delay: &EndpointDelay| match delay.total() {
            Wait::Millis(millis) => sum.saturating_add(millis),
            Wait::Endless => sum,
        };
        let delay = if endless {
            Wait::Endless
        } else {
            Wait::Millis(delays.iter().fold(0, sum))
        };
        let (outcome, served_by, blobs_by, error) = match end {
            End::Done { manifest, blobs } => (
                Outcome::Succeeds,
                Some(manifest),
                Some(blobs).filter(|blobs| *blobs != manifest),
                None,
            ),
            End::Stopped { served_by, .. } if endless => (Outcome::Hangs, served_by, None, None),
            End::Stopped { at, served_by } => (Outcome::Fails, served_by, None, self.error_of(at)),
            End::Exhausted { served_by } => (Outcome::Fails, served_by, None, self.error_shown()),
        };
        let digest = served_by.and_then(|index| self.probes[index].digest.clone());
        let mut assumed = self.assumed;
        assumed.sort();
        Prediction {
            outcome,
            served_by,
            blobs_by,
            digest,
            delay,
            delays,
            error,
            assumed,
        }
    }

    /// The error when every endpoint was passed over.
    fn error_shown(&self) -> Option<ExpectedError> {
        let first_of = |rank: fn(&EndpointProbe) -> u8| {
            let best = self
                .failures
                .iter()
                .map(|&index| rank(&self.probes[index]))
                .max()?;
            self.failures
                .iter()
                .copied()
                .find(|&index| rank(&self.probes[index]) == best)
        };
        match self.runtime.name {
            // For content it is simply the first host's.
            RuntimeName::Containerd if self.first_without_content.is_some() => {
                self.error_of(self.first_without_content?)
            }
            RuntimeName::Containerd if Rules::builtin().holds(Rule::ErrorByRank, &self.runtime) => {
                self.error_of(first_of(rank)?)
            }
            // A 404 is not remembered; the first of the others is shown.
            RuntimeName::Containerd => {
                self.error_of(first_of(|probe| u8::from(probe.status != Some(404)))?)
            }
            // The last source is shown, the others are listed in brackets: nothing is hidden.
            RuntimeName::Crio => {
                let last = self.failures.last()?;
                self.error_of(*last).map(|error| ExpectedError {
                    hides: Vec::new(),
                    ..error
                })
            }
            RuntimeName::Docker => self.error_of(*self.failures.last()?),
        }
    }

    fn error_of(&self, endpoint: usize) -> Option<ExpectedError> {
        let probe = self.probes.get(endpoint)?;
        let (text, verbatim) = match probe.status {
            Some(404) if self.runtime.name == RuntimeName::Containerd => {
                ("not found".to_owned(), true)
            }
            // Only a challenge for a password; what a token server says is named by all.
            None if probe.error.as_deref() == Some(NO_LOGIN)
                && self.runtime.name == RuntimeName::Containerd
                && !Rules::builtin().holds(Rule::LoginMissingNamed, &self.runtime) =>
            {
                ("401 Unauthorized".to_owned(), true)
            }
            _ => match &probe.error {
                Some(error) => (error.clone(), true),
                None => (probe.detail.clone(), false),
            },
        };
        let hides = self
            .failures
            .iter()
            .copied()
            .filter(|&index| index != endpoint)
            .collect();
        Some(ExpectedError {
            text,
            verbatim,
            endpoint: Some(endpoint),
            hides,
        })
    }
}

/// Whether an endpoint gives an object.
enum Has {
    Yes,
    /// It has other content under this name, so it answers 404 to this digest.
    NotThisOne,
    No(Verdict, Stage),
}

/// The verdict that decides what a runtime does next: behind a redirect or a token server it is that place's.
fn decisive(probe: &EndpointProbe) -> Verdict {
    let behind = match probe.verdict {
        Verdict::RedirectBroken => probe.redirects.last().and_then(|redirect| redirect.failed),
        Verdict::TokenFailed => probe.token.as_ref().map(|token| token.verdict),
        _ => None,
    };
    // Only a wait is inherited; all else is passed over or not by the request that was made here.
    behind
        .filter(|verdict| *verdict == Verdict::Timeout)
        .unwrap_or(probe.verdict)
}

fn deciding_stage(probe: &EndpointProbe) -> Option<Stage> {
    match probe.verdict {
        Verdict::RedirectBroken => probe
            .redirects
            .last()
            .and_then(|redirect| redirect.failed_at),
        Verdict::TokenFailed => probe.token.as_ref().and_then(|token| token.failed_at),
        _ => None,
    }
}

/// How telling containerd holds an error for: a status, then 404, then what kept a request from being answered.
fn rank(probe: &EndpointProbe) -> u8 {
    match probe.status {
        Some(404) => 2,
        Some(400..) => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
