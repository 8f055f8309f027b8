//! Asking registries as a part of an examination (`--probe`): which images, how politely, and what becomes of the
//! answers as facts. Nothing is pulled, and nothing on the node changes.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use super::args::duration;
use super::node::NodeArgs;
use super::session::Session;
use crate::facts::reach::{Asked, End, Reached};
use crate::facts::{Fact, Facts, Source};
use crate::probe::image_probe::{self, ImageProbe, Verdict};
use crate::probe::registry::Depth;
use crate::registry::image_ref::ImageRef;
use crate::registry::plan;

/// At most so many images are asked for at a time.
const CONCURRENT: usize = 2;
/// So many images are asked for where nobody says otherwise.
const SAMPLE: usize = 3;

/// How deep registries are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProbeArg {
    /// The manifest's head: what is there and who may have it, at no cost where pulls are counted
    Head,
    /// The manifest, the configuration and the smallest layer, read and hashed
    Layer,
}

impl From<ProbeArg> for Depth {
    fn from(arg: ProbeArg) -> Self {
        match arg {
            ProbeArg::Head => Self::Resolve,
            ProbeArg::Layer => Self::Blobs,
        }
    }
}

/// Flags of a monitor that asks registries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub struct ProbeArgs {
    /// Ask registries for images that are in use; without it none is touched
    #[arg(long, conflicts_with_all = ["quick", "from_report", "facts"])]
    pub probe: bool,
    /// Wait for a random part of this time before, so that a fleet does not ask at once
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "probe")]
    pub splay: Option<Duration>,
    /// How many of the images, chosen anew at every run [default: 3]
    #[arg(long, value_name = "N", requires = "probe")]
    pub sample: Option<usize>,
}

impl ProbeArgs {
    /// The wait before registries are asked.
    pub fn pause(&self) -> Duration {
        self.splay
            .map(|most| most.mul_f64(chance("splay")))
            .unwrap_or_default()
    }

    /// The images that are asked for at this run.
    pub fn images(&self, facts: &Facts) -> Vec<String> {
        let mut all: Vec<String> = in_use(facts).into_iter().collect();
        all.sort_by_cached_key(|image| (chance(image) * 1e9) as u64);
        all.truncate(self.sample.unwrap_or(SAMPLE));
        all
    }
}

/// A number from 0 to 1 that is another one at every run.
fn chance(salt: &str) -> f64 {
    let hash = RandomState::new().hash_one(salt) >> 12;
    hash as f64 / (1u64 << 52) as f64
}

/// The images of containers, as people write them.
pub fn in_use(facts: &Facts) -> BTreeSet<String> {
    let containers = facts.cri.containers.value();
    let images = facts.cri.images.value();
    let containers = containers.into_iter().flat_map(|all| &all.items);
    containers
        .filter_map(|container| {
            let known = images.and_then(|images| {
                images.items.iter().find(|image| {
                    image.id == container.image_ref
                        || image.id == container.image
                        || image.tags.contains(&container.image)
                        || image.digests.contains(&container.image_ref)
                })
            });
            match known {
                Some(image) => image.tags.first().or(image.digests.first()).cloned(),
                None => Some(container.image.clone()),
            }
        })
        .filter(|image| !image.is_empty() && !image.starts_with("sha256:"))
        .collect()
}

/// Asks for images by the rules of a runtime; what was not answered in time is unknown.
pub async fn reach(
    images: &[String],
    node: &NodeArgs,
    depth: Depth,
    session: &Session,
    until: Instant,
) -> Fact<Vec<Reached>> {
    if images.is_empty() {
        return Fact::absent("no image is in use that registries could be asked for");
    }
    let found = tokio::time::timeout_at(until, node.look(session)).await;
    let node = match found {
        Ok(Ok(node)) => node,
        Ok(Err(error)) => return Fact::unknown(error.message()),
        Err(_) => return Fact::unknown("there was no time left to ask registries"),
    };
    let references: Vec<ImageRef> = images
        .iter()
        .filter_map(|image| image.parse().ok())
        .collect();
    let routes = plan::routes(&node.declared, &node.runtime, &references);
    let mut options = node.probing(&routes);
    options.depth = depth;
    let options = &options;
    let quiet = |_| {};
    let quiet = &quiet;
    let runtime = node.runtime.to_string();
    let looks = routes.into_iter().map(|route| {
        let (image, runtime) = (route.image.clone(), runtime.clone());
        async move {
            let began = Instant::now();
            let look = image_probe::look(route, None, options, quiet);
            match tokio::time::timeout_at(until, look).await {
                Ok(probe) => reached(probe, runtime, began.elapsed()),
                Err(_) => Reached {
                    image,
                    runtime,
                    message: "there was no time left to wait for the answer".to_owned(),
                    ..Reached::default()
                },
            }
        }
    });
    let all: Vec<Reached> = stream::iter(looks).buffered(CONCURRENT).collect().await;
    let url = all.iter().flat_map(|one| &one.asked).map(|one| &one.url);
    let url = url.clone().next().cloned().unwrap_or_default();
    Fact::known(all, Source::Http { url })
}

/// A probe as a fact.
fn reached(probe: ImageProbe, runtime: String, took: Duration) -> Reached {
    let end = match probe.verdict {
        Verdict::Works => End::Served,
        Verdict::WorksWithTrouble => End::Trouble,
        Verdict::WrongContent | Verdict::Fails | Verdict::Hangs => End::Refused,
        Verdict::Unknown => End::Unknown,
    };
    Reached {
        image: probe.image,
        runtime,
        end,
        message: probe.message,
        error: probe
            .prediction
            .and_then(|prediction| prediction.error)
            .map(|error| error.text),
        asked: probe
            .probes
            .into_iter()
            .map(|probe| Asked {
                url: probe.url,
                good: probe.verdict.is_good(),
                detail: probe.detail,
                ms: probe.ms,
            })
            .collect(),
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_part_of_what_is_in_use() {
        let mut facts = crate::facts::Facts::default();
        let container = |image: &str| crate::facts::cri::Container {
            image: image.to_owned(),
            ..crate::facts::cri::Container::default()
        };
        let items = ["a:1", "b:1", "b:1", "c:1", "sha256:00"].map(container);
        facts.cri.containers = Fact::known(
            crate::facts::cri::List {
                items: items.into(),
                bytes: 0,
                ms: 0.0,
            },
            Source::rpc("ListContainers"),
        );
        assert_eq!(in_use(&facts).len(), 3);
        let args = ProbeArgs {
            probe: true,
            splay: Some(Duration::from_secs(10)),
            sample: Some(2),
        };
        assert_eq!(args.images(&facts).len(), 2);
        assert!(args.pause() <= Duration::from_secs(10));
    }
}
