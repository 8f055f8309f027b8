//! `criscope registry probe`: asks every endpoint on an image's route as the runtime would, and foretells the pull. Or
//! asks a mirror that is in no file yet. Nothing is pulled and nothing on the node changes.

use std::path::PathBuf;
use std::sync::Mutex;

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream;

use super::super::args::{TextFormat, TextOutput};
use super::super::node::{Node, NodeArgs};
use super::super::session::Session;
use super::route::references;
use crate::error::{Error, Exit};
use crate::probe::image_probe::{self, ImageProbe, Verdict};
use crate::probe::registry::{Depth, Event, Options};
use crate::registry::golang::{join_path, query_escape};
use crate::registry::image_ref::{DOCKER_HUB, DOCKER_HUB_HOST, ImageRef};
use crate::registry::plan::{
    self, AuthPolicy, AuthSource, ClientCert, Method, Phase, Route, RouteEndpoint, Source,
    TlsPolicy,
};
use crate::registry::version::RuntimeName;
use crate::render::documents::Documents;
use crate::render::{image_probe as shown, progress};

const EXAMPLES: &str = "\
Examples:
  criscope registry probe nginx:1.25                    every endpoint that the runtime would ask
  criscope registry probe -f images.txt -o ndjson       one line an image
  criscope registry probe --endpoint https://mirror.example:5000
                                                        does it answer at all?
  criscope registry probe nginx --endpoint https://mirror.example:5000 --ca /etc/ssl/corp.pem
                                                        would it serve as a mirror?

Exit codes: 0 every image would be pulled, 1 one would not, or is not what it should be, 3 it could not be told.";

/// At most so many images are probed at a time.
const CONCURRENT: usize = 4;

/// The image of a registry that nobody has configured.
const STRANGER: &str = "criscope-probe.invalid/nobody/nothing:1";

/// Arguments of `registry probe`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Probe {
    /// Images, as they are written in a pod
    #[arg(value_name = "IMAGE", required_unless_present_any = ["file", "endpoint"])]
    images: Vec<String>,
    /// Read more images from a file, one a line; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Ask this mirror instead of the route, as it would stand in a hosts.toml; may be repeated
    #[arg(long, value_name = "URL")]
    endpoint: Vec<String>,
    /// Trust this authority at --endpoint; a path on the node
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    ca: Vec<PathBuf>,
    /// Show this certificate at --endpoint; paths on the node
    #[arg(long, value_names = ["CERT", "KEY"], num_args = 2, requires = "endpoint")]
    client: Vec<PathBuf>,
    /// Do not verify the certificate of --endpoint
    #[arg(long, requires = "endpoint")]
    skip_verify: bool,
    /// Take the path of --endpoint as it is, without adding /v2
    #[arg(long, requires = "endpoint")]
    override_path: bool,
    /// Also fetch the configuration and the smallest layer, and check them
    #[arg(long)]
    deep: bool,
    /// Do not ask mirrors for the same image under other registries' names
    #[arg(long)]
    no_namespace_test: bool,
    /// Fail if an endpoint on the way does not work although the pull would
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    output: TextOutput,
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs `criscope registry probe`.
///
/// # Errors
/// An image reference or an endpoint is wrong, no runtime is known, or stdout cannot be written.
pub async fn run(args: &Probe, session: &Session) -> Result<Exit, Error> {
    let references = references(&args.images, args.file.as_deref())?;
    let node = match args.node.look(session).await {
        Ok(node) => Some(node),
        // A mirror that is in no file can be asked from anywhere.
        Err(_) if !args.endpoint.is_empty() => None,
        Err(error) => return Err(error),
    };
    let routes = args.routes(node.as_ref(), &references)?;
    let mut options = node
        .as_ref()
        .map(|node| node.probing(&routes))
        .unwrap_or_default();
    options.depth = match (args.deep, references.is_empty()) {
        (_, true) => Depth::Ping,
        (true, false) => Depth::Blobs,
        (false, false) => Depth::Manifest,
    };
    let probes = args.probe(session, node.as_ref(), routes, &options).await?;
    // Text and lines were written as the probes came in.
    if !args.output.output.streams() {
        let documents = Documents {
            kind: "RegistryProbe",
            key: "images",
            items: &probes,
            more: &[],
        };
        let bytes = documents.shown(args.output.output.structured(), shown::text)?;
        session.output.data(&bytes)?;
    }
    Ok(exit(probes.iter().map(|probe| probe.verdict), args.strict))
}

impl Probe {
    /// What is asked: the route of every image, or the given endpoints for every image.
    fn routes(&self, node: Option<&Node>, images: &[ImageRef]) -> Result<Vec<Route>, Error> {
        if self.endpoint.is_empty() {
            return Ok(node.map_or_else(Vec::new, |node| {
                plan::routes(&node.declared, &node.runtime, images)
            }));
        }
        let runtime = node.map_or_else(|| "containerd".to_owned(), |node| node.runtime.to_string());
        let sends_namespace = node.is_none_or(|node| node.runtime.name == RuntimeName::Containerd);
        let route = |image: Option<&ImageRef>| {
            let endpoints: Result<Vec<RouteEndpoint>, Error> = self
                .endpoint
                .iter()
                .map(|typed| self.mirror(typed, image, sends_namespace))
                .collect();
            Ok(Route {
                image: image.map_or_else(String::new, |image| image.typed().to_owned()),
                reference: image.map_or_else(String::new, ToString::to_string),
                runtime: runtime.clone(),
                endpoints: endpoints?,
                fatal: None,
                fatal_source: None,
                unread: Vec::new(),
            })
        };
        if images.is_empty() {
            return Ok(vec![route(None)?]);
        }
        images.iter().map(|image| route(Some(image))).collect()
    }

    /// A mirror as a hosts.toml would make it: https unless written otherwise, `/v2` added unless it is there.
    fn mirror(
        &self,
        typed: &str,
        image: Option<&ImageRef>,
        sends_namespace: bool,
    ) -> Result<RouteEndpoint, Error> {
        let (scheme, rest) = typed.split_once("://").unwrap_or(("https", typed));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains('@') {
            return Err(Error::usage(format!("`{typed}` is no endpoint"))
                .hint("write it as `https://mirror.example:5000`, without user and password"));
        }
        let mut base = join_path(&["/", path]);
        if !self.override_path && !base.ends_with("/v2") {
            base = join_path(&[&base, "v2"]);
        }
        let url = match image {
            None => format!("{scheme}://{host}{}/", base.trim_end_matches('/')),
            Some(image) => {
                let namespace = image.domain();
                let itself =
                    host == namespace || (namespace == DOCKER_HUB && host == DOCKER_HUB_HOST);
                let query = if sends_namespace && !itself {
                    format!("?ns={}", query_escape(namespace))
                } else {
                    String::new()
                };
                let path = join_path(&[&base, image.path(), "manifests", image.object()]);
                format!("{scheme}://{host}{path}{query}")
            }
        };
        let client_cert = match self.client.as_slice() {
            [cert, key] => Some(ClientCert {
                cert: cert.clone(),
                key: key.clone(),
            }),
            _ => None,
        };
        Ok(RouteEndpoint {
            method: if sends_namespace {
                Method::Head
            } else {
                Method::Get
            },
            url,
            phases: vec![Phase::Resolve, Phase::Fetch],
            tls: TlsPolicy {
                verify: !self.skip_verify,
                ca: self.ca.clone(),
                client_cert,
            },
            fallback: None,
            auth: AuthPolicy {
                source: AuthSource::None,
            },
            headers: Vec::new(),
            why: "named on the command line".to_owned(),
            source: Source::Builtin,
        })
    }

    /// Probes a few images at a time and shows each as soon as it and those before it are there.
    async fn probe(
        &self,
        session: &Session,
        node: Option<&Node>,
        routes: Vec<Route>,
        options: &Options,
    ) -> Result<Vec<ImageProbe>, Error> {
        let stranger = node.and_then(|node| {
            let image = STRANGER.parse().ok()?;
            Some(plan::route(&node.declared, &node.runtime, &image))
        });
        // A mirror that is in no file is not asked for anything yet, but it is worth knowing.
        let stranger = match (self.no_namespace_test, self.endpoint.is_empty()) {
            (true, _) => None,
            (false, true) => stranger,
            (false, false) => routes.first().map(|route| Route {
                endpoints: Vec::new(),
                ..route.clone()
            }),
        };
        let all = routes.len();
        let step = Mutex::new((0, "probing".to_owned()));
        let note = |event: Event| {
            if let Ok(mut step) = step.lock() {
                step.1 = format!("probing {}", event.target);
            }
        };
        let current = || {
            step.lock()
                .map(|step| format!("{} of {all} done, {}", step.0, step.1))
                .unwrap_or_default()
        };
        let looks = routes
            .into_iter()
            .map(|route| image_probe::look(route, stranger.as_ref(), options, &note));
        let mut looks = stream::iter(looks).buffered(CONCURRENT);
        let mut probes: Vec<ImageProbe> = Vec::new();
        while let Some(probe) = progress::during(&session.output, current, looks.next()).await {
            if self.output.output.streams() {
                let one = Documents {
                    kind: "RegistryProbe",
                    key: "images",
                    items: std::slice::from_ref(&probe),
                    more: &[],
                };
                if self.output.output == TextFormat::Text && !probes.is_empty() {
                    session.output.data(b"\n")?;
                }
                let bytes = one.shown(self.output.output.structured(), shown::text)?;
                session.output.data(&bytes)?;
            }
            probes.push(probe);
            if let Ok(mut step) = step.lock() {
                step.0 += 1;
            }
        }
        Ok(probes)
    }
}

/// The worst verdict decides.
fn exit(verdicts: impl Iterator<Item = Verdict>, strict: bool) -> Exit {
    verdicts.fold(Exit::Success, |worst, verdict| {
        worst.or_worse(match verdict {
            Verdict::Works => Exit::Success,
            Verdict::WorksWithTrouble if !strict => Exit::Success,
            Verdict::WorksWithTrouble | Verdict::WrongContent | Verdict::Fails | Verdict::Hangs => {
                Exit::Failure
            }
            Verdict::Unknown => Exit::Undetermined,
        })
    })
}
