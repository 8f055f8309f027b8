//! `criscope start`: starts containers that were created. One StartContainer each.

use clap::Args;

use super::act::{Rehearsal, Subject, Verb};
use super::select::find::{self, Prefer};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};

const EXAMPLES: &str = "\
Examples:
  criscope start 5f2a                  the container whose id begins so
  criscope start default/web-1/web     by namespace, pod and name";

const VERB: Verb = Verb {
    act: "start",
    acting: "starting",
    object: "container",
};

/// Arguments of `start`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Start {
    /// Containers: ids, the beginnings of ids, names, or namespace/pod/container
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Runs `criscope start`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Start, session: &Session) -> Result<Exit, Error> {
    let client = session.client_that_acts().await?;
    let containers =
        session.or_as_typed(find::containers(client, &args.containers, Prefer::Created).await?);
    let deadline = Some(session.act_deadline());
    session
        .act(
            &VERB,
            args.rehearsal,
            containers,
            |container| vec![format!("would start container {}", container.description())],
            async |container, lines| {
                let request = cri::StartContainerRequest {
                    container_id: container.id.clone(),
                };
                client.start_container(request, deadline).await?;
                lines.push(container.id.clone());
                Ok(())
            },
        )
        .await
}
