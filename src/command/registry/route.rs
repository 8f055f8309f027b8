//! `criscope registry route`: the endpoints that the runtime would ask for an image, in order, with the reason and the
//! line of every one. Nothing is asked; `registry probe` does that. With `--compare`, what another configuration or
//! another version of the runtime would change.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::super::args::{TextFormat, TextOutput};
use super::super::node::{Node, NodeArgs};
use super::super::session::Session;
use crate::error::{Error, Exit};
use crate::files::read;
use crate::interrupt;
use crate::probe::host_files;
use crate::registry::declared::Declared;
use crate::registry::image_ref::ImageRef;
use crate::registry::plan::compare::{Comparison, Verdict, compare};
use crate::registry::plan::failover::{Failover, failover};
use crate::registry::plan::{self, Route as Planned};
use crate::registry::version::RuntimeId;
use crate::render::documents::Documents;
use crate::render::{route as shown, route_comparison};

const EXAMPLES: &str = "\
Examples:
  criscope registry route nginx:1.25
  criscope registry route -f images.txt -o json
  criscope registry route quay.io/a/b:1 --as containerd@2.1.4      after an upgrade
  criscope registry route nginx --host-root /mnt --as crio@1.33.0  a mounted disk
  criscope registry route -f images.txt --compare ./new-node       what would the new files change?
  criscope registry route -f images.txt --compare-as containerd@2.1.4   what would the upgrade change?";

/// The largest list of images that is read, in bytes.
const LARGEST_LIST: u64 = 16 * 1024 * 1024;

/// Arguments of `registry route`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Route {
    /// Images, as they are written in a pod
    #[arg(value_name = "IMAGE", required_unless_present = "file")]
    images: Vec<String>,
    /// Read more images from a file, one a line; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: TextOutput,
    /// Compare with the routes by the files below DIR, a node's tree; fails if an image would lose its last endpoint
    #[arg(long, value_name = "DIR")]
    compare: Option<PathBuf>,
    /// Compare with the routes under another runtime or version
    #[arg(long, value_name = "NAME@VERSION")]
    compare_as: Option<RuntimeId>,
    #[command(flatten)]
    node: NodeArgs,
}

/// A route, and what is done when an endpoint of it fails.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    route: Planned,
    failover: Failover,
}

/// Runs `criscope registry route`.
///
/// # Errors
/// An image reference is wrong, no runtime is known, or stdout cannot be written. A pull that cannot start is exit code
/// 1, in a comparison an image that would lose its last endpoint.
pub async fn run(args: &Route, session: &Session) -> Result<Exit, Error> {
    let references = references(&args.images, args.file.as_deref())?;
    let node = args.node.look(session).await?;
    let routes = plan::routes(&node.declared, &node.runtime, &references);
    if args.compare.is_some() || args.compare_as.is_some() {
        return args.compared(session, &node, &references, routes);
    }
    let files = node.files(&references);
    let stopped = routes.iter().any(|route| route.fatal.is_some());
    let failover = failover(node.declared.rules(), &node.runtime);
    let answers: Vec<Answer> = routes
        .into_iter()
        .map(|route| Answer {
            route,
            failover: failover.clone(),
        })
        .collect();
    let documents = Documents {
        kind: "Routes",
        key: "routes",
        items: &answers,
        more: &[("files", serde_json::to_value(&files).unwrap_or_default())],
    };
    let mut bytes = documents.shown(args.output.output.structured(), |answer| {
        shown::text(&answer.route) + &shown::failover(&answer.route, &answer.failover)
    })?;
    if args.output.output == TextFormat::Text {
        let files = shown::files(&files, node.runtime.name.as_str());
        bytes.extend(files.as_bytes());
    }
    session.output.data(&bytes)?;
    Ok(if stopped {
        Exit::Failure
    } else {
        Exit::Success
    })
}

impl Route {
    /// Shows what the other configuration would change.
    fn compared(
        &self,
        session: &Session,
        node: &Node,
        references: &[ImageRef],
        routes: Vec<Planned>,
    ) -> Result<Exit, Error> {
        let runtime = self.compare_as.as_ref().unwrap_or(&node.runtime);
        let other = match &self.compare {
            Some(directory) => another(node, directory)?,
            None => node.declared.clone(),
        };
        let after = plan::routes(&other, runtime, references);
        let comparisons: Vec<Comparison> = routes
            .into_iter()
            .zip(after)
            .map(|(before, after)| compare(before, after))
            .collect();
        let lost = comparisons
            .iter()
            .any(|comparison| comparison.verdict == Verdict::Lost);
        let documents = Documents {
            kind: "RouteComparison",
            key: "comparisons",
            items: &comparisons,
            more: &[],
        };
        let bytes = documents.shown(self.output.output.structured(), route_comparison::text)?;
        session.output.data(&bytes)?;
        Ok(if lost { Exit::Failure } else { Exit::Success })
    }
}

/// The files below another directory, with the daemon told to look for them in the same places.
fn another(node: &Node, directory: &Path) -> Result<Declared, Error> {
    if !directory.is_dir() {
        // Without files every image has a route, that of the defaults: a slip of the pen must not look like one.
        return Err(Error::usage(format!(
            "`{}` is no directory",
            directory.display()
        )));
    }
    let mut other = Declared::default();
    other
        .containerd_config
        .clone_from(&node.declared.containerd_config);
    other
        .working_directory
        .clone_from(&node.declared.working_directory);
    host_files::read(&mut other, directory, None);
    Ok(other)
}

/// Parses an image reference.
///
/// # Errors
/// What is wrong with it.
pub fn reference(image: &str) -> Result<ImageRef, Error> {
    image
        .parse()
        .map_err(|error| Error::usage(format!("`{image}` is no image reference")).because(&error))
}

/// Parses the images that were typed, and those in a file.
///
/// # Errors
/// The file cannot be read, or what is wrong with one of the images, with its line in the file.
pub fn references(typed: &[String], file: Option<&Path>) -> Result<Vec<ImageRef>, Error> {
    let mut references = typed
        .iter()
        .map(|image| reference(image))
        .collect::<Result<Vec<_>, _>>()?;
    for (line, image) in file.map(numbered).transpose()?.unwrap_or_default() {
        let place = file.unwrap_or(Path::new("-")).display();
        let parsed = reference(&image)
            .map_err(|error| error.while_doing(format!("line {line} of `{place}` is no image")))?;
        references.push(parsed);
    }
    Ok(references)
}

/// The images in a file, one a line; empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// The file cannot be read, or is larger than a list of images can be.
pub fn listed(file: &Path) -> Result<Vec<String>, Error> {
    let images = numbered(file)?.into_iter();
    Ok(images.map(|(_, image)| image).collect())
}

/// The same with the number of each line, from 1.
fn numbered(file: &Path) -> Result<Vec<(usize, String)>, Error> {
    let failed = |error: &std::io::Error| {
        Error::usage(format!("cannot read the images in `{}`", file.display())).because(error)
    };
    let text =
        interrupt::deaf(|| read::given(file, LARGEST_LIST)).map_err(|error| failed(&error))?;
    Ok(text
        .lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(at, line)| (at + 1, line.to_owned()))
        .collect())
}
