//! From candidates to the endpoint that commands talk to: all are examined at the same time, each within the deadline,
//! and their order decides among those that serve CRI.
//!
//! So a hung socket costs one deadline and never a wrong choice. What was set by the user is the only candidate. The
//! kubelet's endpoint is taken if it serves at all, because its runtime is the node's runtime; among the others v1 goes
//! before v1alpha2, then the order decides.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::kubelet::{self, Kubelet};
use super::socket::host::{Host, Identity, identity};
use super::socket::{Effort, Live, Options, Triage, triage};
use crate::client::{self, Client};
use crate::endpoint::Endpoint;
use crate::endpoint::discover::{Candidate, Given, Source, candidates, known};
use crate::endpoint::report::{EndpointReport, Endpoints, Verdict};

/// What discovery starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// The endpoint that the user set, if any.
    pub set: Option<Given>,
    /// The root of the host: `/`, or where it is mounted.
    pub root: PathBuf,
}

impl Default for Inputs {
    fn default() -> Self {
        Self {
            set: None,
            root: PathBuf::from("/"),
        }
    }
}

/// What discovery found.
#[derive(Debug)]
pub struct Discovery {
    /// What was found out, in the order of candidates. With [`Effort::Quick`] without those that were not waited for.
    pub endpoints: Vec<EndpointReport>,
    /// The index of the endpoint to talk to.
    pub chosen: Option<usize>,
    /// Candidates behind the chosen one that something is at and that were not waited for.
    pub unasked: Vec<Endpoint>,
    /// What is worth knowing beyond the endpoints, one sentence each: a kubelet that names something unusable.
    pub remarks: Vec<String>,
    live: Option<(Endpoint, Live)>,
    root: PathBuf,
}

/// Why there is no endpoint to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The endpoint that it is about; none where none of several answers and none stands out.
    pub endpoint: Option<Endpoint>,
    /// The verdict about it.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What the runtime itself says, word for word.
    pub says: Option<String>,
    /// What to do.
    pub advice: Option<String>,
}

impl Failure {
    /// What an examined endpoint is no use for.
    pub fn of(endpoint: &Endpoint, found: Triage) -> Self {
        Self {
            endpoint: Some(endpoint.clone()),
            verdict: found.verdict,
            detail: found.detail,
            says: found.runtime_says,
            advice: found.advice,
        }
    }
}

/// Looks for the runtime of a host. It ends within the deadline of `options`.
pub async fn discover(inputs: &Inputs, options: &Options) -> Discovery {
    let host = Host::new(&inputs.root);
    let mut remarks = Vec::new();
    let mut kubelet = None;
    if inputs.set.is_none() {
        match kubelet::look(&host, options.effort) {
            Kubelet::Names(given) => kubelet = Some(given),
            Kubelet::Odd(remark) => remarks.push(remark),
            Kubelet::Silent => {}
        }
    }
    // What the user set is a path of this process, the others are paths of the host.
    let everywhere = inputs.set.is_some();
    let places = candidates(inputs.set.clone(), kubelet)
        .into_iter()
        .map(|candidate| {
            let address = match Endpoint::from_path(host.reach(candidate.endpoint.path())) {
                Ok(address) if !everywhere => address,
                _ => candidate.endpoint.clone(),
            };
            Place {
                candidate,
                address,
                aliases: Vec::new(),
            }
        });
    let places = merge(places, &host);

    let mut asked: FuturesUnordered<_> = places
        .iter()
        .enumerate()
        .map(|(index, place)| {
            let host = &host;
            async move { (index, triage(&place.address, host, options).await) }
        })
        .collect();
    let mut found: Vec<Option<Triage>> = places.iter().map(|_| None).collect();
    while let Some((index, triage)) = asked.next().await {
        if let Some(slot) = found.get_mut(index) {
            *slot = Some(triage);
        }
        if options.effort == Effort::Quick && settled(&places, &found) {
            break;
        }
    }
    drop(asked);
    conclude(&host, places, found, remarks)
}

/// A candidate, how it is reached, and the other names of what it leads to.
#[derive(Debug)]
struct Place {
    candidate: Candidate,
    address: Endpoint,
    aliases: Vec<Endpoint>,
}

/// Joins candidates that lead to the same socket: the earlier place, and under it the name that is no symbolic link.
fn merge(list: impl Iterator<Item = Place>, host: &Host) -> Vec<Place> {
    let link = |place: &Place| {
        let path = place.candidate.endpoint.path();
        host.path(&path.to_string_lossy()).is_symlink()
    };
    let mut merged: Vec<(Identity, Place)> = Vec::new();
    for mut place in list {
        let found = identity(place.address.path());
        match merged.iter_mut().find(|(identity, _)| *identity == found) {
            Some((_, earlier)) => {
                if earlier.candidate.source == Source::Builtin && link(earlier) && !link(&place) {
                    std::mem::swap(earlier, &mut place);
                    earlier.aliases.append(&mut place.aliases);
                }
                earlier.aliases.push(place.candidate.endpoint);
            }
            None => merged.push((found, place)),
        }
    }
    let mut places: Vec<Place> = merged.into_iter().map(|(_, place)| place).collect();
    for (order, place) in (1..).zip(&mut places) {
        place.candidate.order = order;
    }
    places
}

/// How good a candidate is with a verdict; the smallest is taken.
fn rank(candidate: &Candidate, verdict: Verdict) -> Option<(bool, bool, usize)> {
    let set = candidate.source != Source::Builtin;
    verdict
        .serves()
        .then_some((!set, verdict != Verdict::Serving, candidate.order))
}

/// The index of the best of those that have been examined.
fn best(places: &[Place], found: &[Option<Triage>]) -> Option<usize> {
    let ranks = places
        .iter()
        .zip(found)
        .enumerate()
        .filter_map(|(index, (place, found))| {
            Some((rank(&place.candidate, found.as_ref()?.verdict)?, index))
        });
    ranks.min().map(|(_, index)| index)
}

/// Whether nothing that is still to come can change the choice.
fn settled(places: &[Place], found: &[Option<Triage>]) -> bool {
    let at_best = |place: &Place| rank(&place.candidate, Verdict::Serving);
    let Some(best) = best(places, found) else {
        return false;
    };
    let winner = match (places.get(best), found.get(best)) {
        (Some(place), Some(Some(triage))) => rank(&place.candidate, triage.verdict),
        _ => None,
    };
    places
        .iter()
        .zip(found)
        .all(|(place, found)| found.is_some() || at_best(place) > winner)
}

fn conclude(
    host: &Host,
    places: Vec<Place>,
    found: Vec<Option<Triage>>,
    remarks: Vec<String>,
) -> Discovery {
    let best = best(&places, &found);
    let serving = found
        .iter()
        .flatten()
        .filter(|triage| triage.verdict.serves())
        .count();
    let all = found.iter().all(Option::is_some);
    let mut discovery = Discovery {
        endpoints: Vec::new(),
        chosen: None,
        unasked: Vec::new(),
        remarks,
        live: None,
        root: host.root().to_owned(),
    };
    for (index, (place, triage)) in places.into_iter().zip(found).enumerate() {
        let Place {
            candidate,
            address,
            aliases,
        } = place;
        let Some(triage) = triage else {
            discovery.unasked.push(address);
            continue;
        };
        let chosen = best == Some(index);
        let because = chosen.then(|| because(&candidate, triage.verdict, serving == 1 && all));
        if chosen {
            discovery.chosen = Some(discovery.endpoints.len());
            discovery.live = triage.live.map(|live| (address.clone(), live));
        }
        discovery.endpoints.push(EndpointReport {
            endpoint: address,
            aliases,
            source: candidate.source,
            named_by: candidate.detail,
            order: candidate.order,
            verdict: triage.verdict,
            runtime: triage.runtime,
            latency_ms: triage.latency.map(milliseconds),
            process: triage.process,
            chosen,
            chosen_because: because,
            detail: triage.detail,
            runtime_says: triage.runtime_says,
            advice: triage.advice,
        });
    }
    discovery
}

/// Milliseconds, to the hundredth.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

fn because(candidate: &Candidate, verdict: Verdict, alone: bool) -> String {
    let detail = &candidate.detail;
    match (candidate.source, verdict) {
        (Source::Flag | Source::Env | Source::Config, _) => format!("named by {detail}"),
        (Source::Kubelet, _) => format!("the kubelet uses it ({detail})"),
        (Source::Builtin, _) if alone => "the only one that serves CRI".to_owned(),
        (Source::Builtin, Verdict::Serving) => "the first in order that serves CRI v1".to_owned(),
        (Source::Builtin, _) => {
            "none serves CRI v1, and it is the first in order that serves v1alpha2".to_owned()
        }
    }
}

impl Discovery {
    /// The report of the endpoint to talk to.
    pub fn winner(&self) -> Option<&EndpointReport> {
        self.endpoints.get(self.chosen?)
    }

    /// The document that `endpoints -o json` prints.
    pub fn document(&self) -> Endpoints {
        Endpoints::new(self.endpoints.clone())
    }

    /// A client over the connection on which the chosen endpoint has answered.
    pub fn into_client(self, options: client::Options) -> Option<Client> {
        let (endpoint, live) = self.live?;
        Some(Client::over(endpoint, live.connection, live.api, options))
    }

    /// One line on what was taken and what stands beside it; nothing where the user had set it.
    pub fn notice(&self) -> Option<String> {
        let winner = self.winner()?;
        if matches!(winner.source, Source::Flag | Source::Env | Source::Config) {
            return None;
        }
        let runtime = winner
            .runtime
            .as_ref()
            .map_or_else(|| "a runtime".to_owned(), ToString::to_string);
        let mut line = format!("{runtime} at {}", winner.endpoint);
        if winner.verdict == Verdict::V1alpha2Only {
            line.push_str(" (CRI v1alpha2 only)");
        }
        let before = || {
            self.endpoints
                .iter()
                .filter(|report| report.order < winner.order)
        };
        let absent: Vec<String> = before()
            .filter(|report| report.verdict == Verdict::Absent)
            .map(|report| self.name(report))
            .collect();
        if !absent.is_empty() {
            line.push_str(&format!(", {} absent", absent.join(", ")));
        }
        for report in
            before().filter(|report| report.verdict != Verdict::Absent && !report.verdict.serves())
        {
            line.push_str(&format!(
                ", {} {}",
                self.name(report),
                report.verdict.name()
            ));
        }
        for report in self
            .endpoints
            .iter()
            .filter(|report| report.verdict.serves() && !report.chosen)
        {
            let runtime = report
                .runtime
                .as_ref()
                .map_or_else(|| self.name(report), ToString::to_string);
            line.push_str(&format!("; {runtime} serves too, at {}", report.endpoint));
        }
        for endpoint in &self.unasked {
            line.push_str(&format!("; {endpoint} is there too"));
        }
        Some(line)
    }

    /// Whether another runtime serves beside the chosen one, so that the user should hear which was taken.
    pub fn is_ambiguous(&self) -> bool {
        let serving = self
            .endpoints
            .iter()
            .filter(|report| report.verdict.serves())
            .count();
        self.chosen.is_some() && serving > 1
    }

    /// Why there is no endpoint to talk to; `None` if there is one.
    pub fn failure(&self) -> Option<Failure> {
        if self.chosen.is_some() {
            return None;
        }
        let telling = |report: &&EndpointReport| {
            (
                report.source == Source::Builtin,
                match report.verdict {
                    Verdict::Serving | Verdict::V1alpha2Only => 0,
                    Verdict::CriFailed => 1,
                    Verdict::CriDisabled => 2,
                    Verdict::Hung => 3,
                    Verdict::Denied => 4,
                    Verdict::Refused => 5,
                    Verdict::Dormant => 6,
                    Verdict::NotGrpc => 7,
                    Verdict::NotSocket => 8,
                    Verdict::Absent => 9,
                },
                report.order,
            )
        };
        let report = self.endpoints.iter().min_by_key(telling)?;
        if report.source == Source::Builtin && report.verdict == Verdict::Absent {
            return Some(Failure {
                endpoint: None,
                verdict: Verdict::Absent,
                detail: "none of the known sockets exists".to_owned(),
                says: None,
                advice: Some(
                    "start the container runtime, or name its socket with `-r unix:///PATH`; `criscope endpoints` \
                     lists the known ones"
                        .to_owned(),
                ),
            });
        }
        Some(Failure {
            endpoint: Some(report.endpoint.clone()),
            verdict: report.verdict,
            detail: report.detail.clone(),
            says: report.runtime_says.clone(),
            advice: report.advice.clone(),
        })
    }

    /// How an endpoint is spoken of: whose it is, where that is known.
    fn name(&self, report: &EndpointReport) -> String {
        let path = Host::new(&self.root).inside(report.endpoint.path());
        match (report.source, known(&path)) {
            (Source::Kubelet, _) => format!("the kubelet's {}", report.endpoint),
            (_, Some(known)) => known.whose.to_owned(),
            (_, None) => report.endpoint.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
