//! `criscope where`: in which stores of the node an image is – the one that the kubelet looks into, the other namespaces
//! of containerd, docker's – and the command that brings it to the right one. Nothing is changed.

use std::path::PathBuf;

use clap::Args;

use super::args::TextOutput;
use super::registry::route::{listed, reference};
use super::session::Session;
use crate::error::{Error, Exit};
use crate::probe::daemon;
use crate::probe::socket::Effort;
use crate::probe::stores::{Stores, Verdict};
use crate::render::documents::Documents;
use crate::render::{progress, whereabouts as shown};

const EXAMPLES: &str = "\
Examples:
  criscope where nginx:1.25           which store has it?
  criscope where -f images.txt        is everything there for a site without a network?

Exit codes: 0 the kubelet finds all of them, 1 one is missing or incomplete, 3 it cannot be told.";

/// Arguments of `where`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Where {
    /// Images, as they are written in a pod
    #[arg(value_name = "IMAGE", required_unless_present = "file")]
    images: Vec<String>,
    /// Read more images from a file, one a line; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: TextOutput,
    /// Look for docker's files below this directory [default: where the running daemon sees them]
    #[arg(long, value_name = "DIR")]
    host_root: Option<PathBuf>,
}

/// Runs `criscope where`.
///
/// # Errors
/// An image reference is wrong, no runtime answers, or stdout cannot be written.
pub async fn run(args: &Where, session: &Session) -> Result<Exit, Error> {
    let mut images = args.images.clone();
    if let Some(file) = &args.file {
        images.extend(listed(file)?);
    }
    let references = images
        .iter()
        .map(|image| reference(image))
        .collect::<Result<Vec<_>, _>>()?;
    let client = session.client().await?;
    let host_root = match args.host_root.as_ref().or(session.host_root.as_ref()) {
        Some(root) => root.clone(),
        None => daemon_root(session).await.unwrap_or_else(|| "/".into()),
    };
    let stores = Stores::open(client, &host_root).await?;
    let search = async {
        let mut found = Vec::new();
        for image in &references {
            found.push(stores.find(image).await);
        }
        found
    };
    let found = progress::during(
        &session.output,
        || format!("looking for {} images", references.len()),
        search,
    )
    .await;
    let documents = Documents {
        kind: "Whereabouts",
        key: "images",
        items: &found,
        more: &[],
    };
    let bytes = documents.shown(args.output.output.structured(), shown::text)?;
    session.output.data(&bytes)?;
    let verdicts = found.iter().map(|found| found.verdict);
    Ok(verdicts.fold(Exit::Success, |worst, verdict| {
        worst.or_worse(match verdict {
            Verdict::Ready => Exit::Success,
            Verdict::Unknown => Exit::Undetermined,
            Verdict::Incomplete | Verdict::Elsewhere | Verdict::Absent => Exit::Failure,
        })
    }))
}

/// Where the daemon sees its files, if that is not where we do.
async fn daemon_root(session: &Session) -> Option<PathBuf> {
    let discovery = session.discover(Effort::Quick, false).await.ok()?;
    let pid = discovery.winner()?.process.as_ref()?.pid?;
    daemon::look(pid).root
}
