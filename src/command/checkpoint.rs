//! `criscope checkpoint`: writes the state of a running container into an archive on the node. One CheckpointContainer,
//! since CRI 1.25; the runtime needs CRIU.

use std::path::{Path, PathBuf};

use clap::Args;

use super::act::{Rehearsal, Subject, Verb};
use super::select::find::{self, Prefer};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};

const EXAMPLES: &str = "\
Examples:
  criscope checkpoint --export /var/tmp/web.tar default/web-1/web
  criscope checkpoint -e /var/tmp 5f2a 77b0           a directory: <id>.tar for each";

const VERB: Verb = Verb {
    act: "checkpoint",
    acting: "checkpointing",
    object: "container",
};

/// Arguments of `checkpoint`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Checkpoint {
    /// Containers: ids, the beginnings of ids, names, or namespace/pod/container
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    /// The archive; for several containers a directory
    #[arg(short, long, value_name = "PATH")]
    export: PathBuf,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Runs `criscope checkpoint`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Checkpoint, session: &Session) -> Result<Exit, Error> {
    // The runtime writes it, and its working directory is another.
    let export = std::path::absolute(&args.export)
        .map_err(|error| Error::usage("there is no path for the archive").because(&error))?;
    let into = export.is_dir();
    if !into && args.containers.len() > 1 {
        return Err(Error::usage(format!(
            "several containers cannot be written into one archive `{}`",
            export.display()
        ))
        .hint("name a directory that exists"));
    }
    let client = session.client_that_acts().await?;
    let containers =
        session.or_as_typed(find::containers(client, &args.containers, Prefer::Running).await?);
    let deadline = session.act_deadline();
    let location = |id: &str| location(&export, into, id);
    // What the runtime may take; without one that was chosen it decides itself.
    let timeout = match session.settings.timeout_is_chosen {
        true => i64::try_from(deadline.as_secs().max(1)).unwrap_or(i64::MAX),
        false => 0,
    };
    session
        .act(
            &VERB,
            args.rehearsal,
            containers,
            |container| {
                vec![format!(
                    "would write the state of container {} into {}",
                    container.description(),
                    location(&container.id)
                )]
            },
            async |container, lines| {
                let request = cri::CheckpointContainerRequest {
                    container_id: container.id.clone(),
                    location: location(&container.id),
                    timeout,
                };
                client.checkpoint_container(request, Some(deadline)).await?;
                lines.push(container.id.clone());
                Ok(())
            },
        )
        .await
}

fn location(export: &Path, into: bool, id: &str) -> String {
    let path = if into {
        export.join(format!("{id}.tar"))
    } else {
        export.to_owned()
    };
    path.display().to_string()
}
