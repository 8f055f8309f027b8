//! `criscope test-pull`: does this node's registry configuration work? Shows the endpoints that the runtime asks for the
//! image, probes each, pulls through CRI, compares what came, and leaves the node as it was.
//!
//! Read-only towards registries except for the pull itself; towards the node, only names that the pull created are
//! removed again (see `probe::test_pull`).

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use clap::Args;

use super::args::{TextFormat, TextOutput, duration, size};
use super::node::{Node, NodeArgs};
use super::pull::progress::watch;
use super::registry::route::{listed, reference};
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::error::{Error, Exit};
use crate::probe::registry::{self as registries, Depth, EndpointProbe};
use crate::probe::test_pull::{
    self as trial, Pull, PullStatus, Store, TestPull as Tested, Verdict,
};
use crate::registry::image_ref::ImageRef;
use crate::registry::in_force::FileState;
use crate::registry::plan::{self, Route};
use crate::render::documents::Documents;
use crate::render::{human, progress, route, test_pull as shown};
use credentials::{Credentials, Offer};

mod credentials;
mod judge;
mod sandbox;

const EXAMPLES: &str = "\
Examples:
  criscope test-pull nginx:1.25
  criscope test-pull registry.k8s.io/pause:3.9 quay.io/a/b:1 -o json
  criscope test-pull -f images.txt --no-pull      probe only, pull nothing
  criscope test-pull --sandbox-image              can pods start at all?
  criscope test-pull reg.example.com/a:1 --creds-stdin < user-and-password
  criscope test-pull reg.example.com/a:1 --as-kubelet

With credentials the owning registry is asked once before the pull, and nothing is pulled after a refusal: a runtime would
repeat them with every request, and that locks accounts.";

/// Arguments of `test-pull`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TestPull {
    /// Images, as they are written in a pod
    #[arg(value_name = "IMAGE", required_unless_present_any = ["file", "sandbox_image"])]
    images: Vec<String>,
    /// Read more images from a file, one a line; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
    #[command(flatten)]
    output: TextOutput,
    /// Only show the route and probe it; pull nothing
    #[arg(long)]
    no_pull: bool,
    /// Also fetch the smallest layer from every endpoint, and check it
    #[arg(long)]
    deep: bool,
    /// Leave the image on the node
    #[arg(long)]
    keep: bool,
    /// The digest that has to come
    #[arg(long, value_name = "DIGEST")]
    expect_digest: Option<String>,
    /// Do not pull images whose layers are larger
    #[arg(long, value_name = "SIZE", default_value = "500MB", value_parser = size)]
    max_size: u64,
    /// How long a pull may take
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pull_timeout: Duration,
    /// Fail if an endpoint on the way does not work although the pull did
    #[arg(long)]
    strict: bool,
    /// Also the image of pod sandboxes, which the runtime pulls by itself
    #[arg(long)]
    sandbox_image: bool,
    #[command(flatten)]
    credentials: Credentials,
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs `criscope test-pull`.
///
/// # Errors
/// An image reference is wrong, no runtime answers, or stdout cannot be written. What is wrong with an image is in the
/// result and the exit code: 1 if one cannot be pulled or is not what it should be.
pub async fn run(args: &TestPull, session: &Session) -> Result<Exit, Error> {
    let mut images = args.images.clone();
    if let Some(file) = &args.file {
        images.extend(listed(file)?);
    }
    let references = images
        .iter()
        .map(|image| reference(image))
        .collect::<Result<Vec<_>, _>>()?;
    let reads_twice =
        args.credentials.reads_stdin() && args.file.as_deref() == Some(Path::new("-"));
    if reads_twice {
        return Err(Error::usage(
            "standard input cannot hold both images and credentials",
        ));
    }
    let node = args.node.look(session).await?;
    let source = args.credentials.read(&node.host_root)?;
    let mut subjects: Vec<(ImageRef, Offer)> = references
        .into_iter()
        .map(|image| {
            let offer = args.credentials.offer(&source, &image);
            (image, offer)
        })
        .collect();
    if args.sandbox_image {
        let image = sandbox::image(session, &node).await?;
        let offer = args.credentials.offer(&source, &image.image).withheld();
        subjects.push((image.image, offer.noting(image.notes)));
    }
    let images: Vec<ImageRef> = subjects.iter().map(|(image, _)| image.clone()).collect();
    let files = node.files(&images);
    let mut tests = Vec::new();
    for (image, offer) in &subjects {
        let test = args.test(session, &node, image, offer, &files).await?;
        if args.output.output.streams() {
            session
                .output
                .data(&args.shown(std::slice::from_ref(&test), &files)?)?;
        }
        tests.push(test);
        if session.is_interrupted() {
            break;
        }
    }
    if args.output.output == TextFormat::Text && node.started.is_some() {
        let text = route::files(&files, node.runtime.name.as_str());
        session.output.data(text.as_bytes())?;
    }
    if !args.output.output.streams() {
        session.output.data(&args.shown(&tests, &files)?)?;
    }
    Ok(judge::exit(
        tests.iter().map(|test| test.verdict),
        args.strict,
    ))
}

impl TestPull {
    /// The results in the form that was asked for.
    fn shown(&self, tests: &[Tested], files: &[FileState]) -> Result<Vec<u8>, Error> {
        let documents = Documents {
            kind: "TestPull",
            key: "images",
            items: tests,
            more: &[("files", serde_json::to_value(files).unwrap_or_default())],
        };
        Ok(documents.shown(self.output.output.structured(), shown::text)?)
    }

    async fn test(
        &self,
        session: &Session,
        node: &Node,
        image: &ImageRef,
        offer: &Offer,
        files: &[FileState],
    ) -> Result<Tested, Error> {
        let route = plan::route(&node.declared, &node.runtime, image);
        let options = self.probing(node, image, &route, offer);
        let step = Mutex::new(format!(
            "probing {} endpoints of {image}",
            route.endpoints.len()
        ));
        let note = |event: registries::Event| {
            if let Ok(mut step) = step.lock() {
                *step = format!("probing {}", event.target);
            }
        };
        let current = || step.lock().map(|step| step.clone()).unwrap_or_default();
        let probes = progress::during(
            &session.output,
            current,
            registries::probe_route(&route, &options, &note),
        )
        .await;
        let mut test = Tested {
            image: image.typed().to_owned(),
            verdict: Verdict::NotTried,
            message: String::new(),
            warnings: Vec::new(),
            notes: judge::notes(files, node.runtime.name, &offer.notes),
            credentials: offer.source.clone(),
            pull: Pull {
                status: PullStatus::Skipped,
                ms: None,
                digest: None,
                error: None,
                error_of: None,
            },
            served_by: None,
            already_present: false,
            cleaned_up: Vec::new(),
            left: Vec::new(),
            route,
            probes,
        };
        match self
            .reason_not_to_pull(session, node, image, &test, offer)
            .await?
        {
            Some(reason) => test.message = reason,
            None => self.pull(session, image, offer, &mut test).await?,
        }
        judge::conclude(&mut test, self.expect_digest.as_deref(), self.no_pull);
        Ok(test)
    }

    /// How the runtime would ask: with the daemon's proxy, authorities, credentials and headers. What comes with the pull
    /// request wins over the configuration, and is for the owning host alone.
    fn probing(
        &self,
        node: &Node,
        image: &ImageRef,
        route: &Route,
        offer: &Offer,
    ) -> registries::Options {
        let mut options = node.probing(std::slice::from_ref(route));
        options.depth = if self.deep {
            Depth::Blobs
        } else {
            Depth::Manifest
        };
        options
            .credentials
            .splice(0..0, offer.for_probing(image, route));
        options
    }

    /// Why the pull is not tried, if so.
    async fn reason_not_to_pull(
        &self,
        session: &Session,
        node: &Node,
        image: &ImageRef,
        test: &Tested,
        offer: &Offer,
    ) -> Result<Option<String>, Error> {
        if self.no_pull {
            return Ok(Some("not pulled, as asked".to_owned()));
        }
        if let Some(fatal) = &test.route.fatal {
            return Ok(Some(format!("the pull cannot start: {fatal}")));
        }
        let reason = offer.reason_not_to_pull(image, &test.route, &test.probes, node.runtime.name);
        if reason.is_some() {
            return Ok(reason);
        }
        let layers = test
            .probes
            .iter()
            .find_map(|probe| probe.manifest.as_ref()?.layer_bytes);
        let Some(bytes) = layers else { return Ok(None) };
        if bytes > self.max_size {
            return Ok(Some(format!(
                "not pulled: its layers have {}, more than {}; `--max-size` allows more",
                human::size(bytes, 3),
                human::size(self.max_size, 3)
            )));
        }
        let client = session.client().await?;
        Ok(too_full(client, &node.host_root, bytes).await)
    }

    /// Pulls and cleans up. From here on an interruption is seen to here, so that nothing is left behind.
    async fn pull(
        &self,
        session: &Session,
        image: &ImageRef,
        offer: &Offer,
        test: &mut Tested,
    ) -> Result<(), Error> {
        let client = session.client().await?;
        let before = Store::look(client).await?;
        test.already_present = before.has(&image.to_string());
        let _duty = session.duty();
        let pulling = trial::pull(
            client,
            image,
            offer.for_pull(),
            Some(self.pull_timeout),
            session.interrupted(),
        );
        let name = image.to_string();
        let pulled = tokio::select! {
            biased;
            pulled = pulling => pulled,
            never = watch(session, client, &name) => match never {},
        };
        test.pull = pulled.pull;
        if let Some(error) = &test.pull.error {
            test.pull.error_of = trial::error_of(error, &test.probes);
        }
        if !self.keep {
            match trial::clean_up(client, &before, image, pulled.image.as_ref()).await {
                Ok(cleanup) => {
                    test.cleaned_up = cleanup.cleaned_up;
                    test.left = cleanup.left;
                }
                Err(error) => test.left.push(trial::Left {
                    what: image.to_string(),
                    why: format!("the store cannot be looked at: {error}"),
                }),
            }
        }
        Ok(())
    }
}

/// Whether the image would fill the disk to where the kubelet starts to evict (`imagefs.available<15%`). Layers take
/// about three times as much room unpacked as on the wire.
async fn too_full(client: &Client, host_root: &Path, bytes: u64) -> Option<String> {
    const UNPACKED: u64 = 3;
    const EVICTION_PERCENT: u64 = 15;
    let reply = client
        .image_fs_info(cri::ImageFsInfoRequest::default())
        .await
        .ok()?;
    let info = reply.decode().ok()?;
    let mountpoint = info
        .image_filesystems
        .first()?
        .fs_id
        .as_ref()?
        .mountpoint
        .clone();
    let path = host_root.join(mountpoint.trim_start_matches('/'));
    let filesystem = rustix::fs::statvfs(&path).ok()?;
    let total = filesystem.f_blocks.saturating_mul(filesystem.f_frsize);
    let available = filesystem.f_bavail.saturating_mul(filesystem.f_frsize);
    let threshold = total / 100 * EVICTION_PERCENT;
    let crosses = available >= threshold
        && available.saturating_sub(bytes.saturating_mul(UNPACKED)) < threshold;
    crosses.then(|| {
        format!(
            "not pulled: it would leave less than {EVICTION_PERCENT} % of {} free ({} now), where the kubelet evicts pods",
            mountpoint,
            human::size(available, 3)
        )
    })
}

/// Whether two probes saw different content under the same name.
fn diverging(probes: &[EndpointProbe]) -> Option<(&EndpointProbe, &EndpointProbe)> {
    let mut serving = probes
        .iter()
        .filter(|probe| probe.verdict.is_good() && probe.digest.is_some());
    let first = serving.next()?;
    serving
        .find(|probe| probe.digest != first.digest)
        .map(|other| (first, other))
}
