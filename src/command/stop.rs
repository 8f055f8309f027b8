//! `criscope stop`: stops running containers. One StopContainer each.
//!
//! The runtime waits for the container's own end, then kills it; the call may last that much longer than others.

use std::time::Duration;

use clap::Args;

use super::act::{Consent, Rehearsal, Subject, Verb};
use super::args::duration;
use super::select::find::{self, Prefer};
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::model::{Container, Listing};

const EXAMPLES: &str = "\
Examples:
  criscope stop -t 10 default/web-1/web     ten seconds to end by itself
  criscope stop 5f2a 77b0                   kills both at once
  criscope stop --all --dry-run             what would be stopped";

const VERB: Verb = Verb {
    act: "stop",
    acting: "stopping",
    object: "container",
};

/// Arguments of `stop`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Stop {
    /// Containers: ids, the beginnings of ids, names, or namespace/pod/container
    #[arg(
        value_name = "CONTAINER",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    containers: Vec<String>,
    /// How long a container may take to end by itself before it is killed; 0 kills at once
    #[arg(short, long, value_name = "SECONDS", default_value = "0", value_parser = duration)]
    timeout: Duration,
    /// Every running container
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Runs `criscope stop`.
///
/// # Errors
/// The runtime cannot be asked, nobody agreed, or stdout cannot be written.
pub async fn run(args: &Stop, session: &Session) -> Result<Exit, Error> {
    let client = session.client_that_acts().await?;
    let containers = if args.all {
        let running = running(client).await?;
        if running.is_empty() {
            match session.dialect {
                Dialect::Own => session.output.status("No containers to stop"),
                Dialect::Crictl => session.lines(&["No running containers found.".to_owned()])?,
            }
            return Ok(Exit::Success);
        }
        if !args.rehearsal.dry_run {
            let plan: Vec<String> = running.iter().map(Subject::description).collect();
            session.consent(args.consent, &VERB, &plan).await?;
        }
        running.into_iter().map(Ok).collect()
    } else {
        session.or_as_typed(find::containers(client, &args.containers, Prefer::Running).await?)
    };
    // The runtime counts in whole seconds; half a second to end is not none.
    let seconds = args.timeout.as_millis().div_ceil(1000);
    let timeout = i64::try_from(seconds).unwrap_or(i64::MAX);
    let deadline = Some(session.act_deadline().saturating_add(args.timeout));
    session
        .act(
            &VERB,
            args.rehearsal,
            containers,
            |container| vec![format!("would stop container {}", container.description())],
            async |container, lines| {
                let request = cri::StopContainerRequest {
                    container_id: container.id.clone(),
                    timeout,
                };
                client.stop_container(request, deadline).await?;
                lines.push(container.id.clone());
                Ok(())
            },
        )
        .await
}

async fn running(client: &Client) -> Result<Vec<Container>, Error> {
    let filter = cri::ContainerFilter {
        state: Some(cri::ContainerStateValue {
            state: cri::ContainerState::ContainerRunning.into(),
        }),
        ..Default::default()
    };
    let request = cri::ListContainersRequest {
        filter: Some(filter),
    };
    let reply = client.list_containers(request).await?;
    let mut listing = Listing::<Container>::read(reply.bytes());
    super::select::name_pods(client, &mut listing).await?;
    Ok(listing.items.into_iter().map(|item| item.row).collect())
}
