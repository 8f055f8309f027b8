//! `criscope registry route`: the endpoints that the runtime would ask for an image, in order, with the reason and the
//! line of every one. Nothing is asked; `registry probe` does that.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::super::node::NodeArgs;
use super::super::session::Session;
use crate::error::{Error, Exit};
use crate::registry::image_ref::ImageRef;
use crate::registry::plan::{self, Route as Planned};
use crate::render::{route as shown, structured};

const EXAMPLES: &str = "\
Examples:
  criscope registry route nginx:1.25
  criscope registry route -f images.txt -o json
  criscope registry route quay.io/a/b:1 --as containerd@2.1.4      after an upgrade
  criscope registry route nginx --host-root /mnt --as crio@1.33.0  a mounted disk";

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
    /// How to show the routes
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        alias = "format"
    )]
    output: Format,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Yaml,
    Ndjson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: &'static str,
    kind: &'static str,
    routes: Vec<Planned>,
}

/// Runs `criscope registry route`.
///
/// # Errors
/// An image reference is wrong, no runtime is known, or stdout cannot be written. A pull that cannot start is exit code
/// 1.
pub async fn run(args: &Route, session: &Session) -> Result<Exit, Error> {
    let mut images = args.images.clone();
    if let Some(file) = &args.file {
        images.extend(listed(file)?);
    }
    let references = images
        .iter()
        .map(|image| reference(image))
        .collect::<Result<Vec<_>, _>>()?;
    let node = args.node.look(session).await?;
    let routes: Vec<Planned> = references
        .iter()
        .map(|image| plan::route(&node.declared, &node.runtime, image))
        .collect();
    let stopped = routes.iter().any(|route| route.fatal.is_some());
    let bytes = match args.output {
        Format::Text => {
            let texts: Vec<String> = routes.iter().map(shown::text).collect();
            texts.join("\n").into_bytes()
        }
        Format::Ndjson => {
            let lines: Result<Vec<Vec<u8>>, _> = routes
                .iter()
                .map(|route| structured::document(structured::Format::Ndjson, route))
                .collect();
            lines?.concat()
        }
        Format::Json => structured::document(structured::Format::Json, &document(routes))?,
        Format::Yaml => structured::document(structured::Format::Yaml, &document(routes))?,
    };
    session.output.data(&bytes)?;
    Ok(if stopped {
        Exit::Failure
    } else {
        Exit::Success
    })
}

fn document(routes: Vec<Planned>) -> Document {
    Document {
        api_version: "criscope/v1",
        kind: "Routes",
        routes,
    }
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

/// The images in a file, one a line; empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// The file cannot be read, or is larger than a list of images can be.
pub fn listed(file: &Path) -> Result<Vec<String>, Error> {
    let failed = |error: &std::io::Error| {
        Error::usage(format!("cannot read the images in `{}`", file.display())).because(error)
    };
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .take(LARGEST_LIST)
            .read_to_string(&mut text)
            .map_err(|error| failed(&error))?;
    } else {
        let opened = std::fs::File::open(file).map_err(|error| failed(&error))?;
        opened
            .take(LARGEST_LIST)
            .read_to_string(&mut text)
            .map_err(|error| failed(&error))?;
    }
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}
