//! `criscope rm`: removes containers, and their logs from the disk.
//!
//! A running container is only removed with `--force`, which kills it first. Whether it is really gone is asked
//! afterwards; then its log goes, rotated ones too, as crictl does since 1.30.

mod logs;

use clap::Args;

use super::act::{Consent, Rehearsal, Subject, Verb};
use super::select::find::{self, Prefer};
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::model::{Container, ContainerState, Listing};

const EXAMPLES: &str = "\
Examples:
  criscope rm 5f2a                      a container that has ended
  criscope rm -f default/web-1/web      kills it first
  criscope rm -a --keep-logs --yes      all that have ended, for a script";

const VERB: Verb = Verb {
    act: "remove",
    acting: "removing",
    object: "container",
};

/// Arguments of `rm`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Remove {
    /// Containers: ids, the beginnings of ids, names, or namespace/pod/container
    #[arg(
        value_name = "CONTAINER",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    containers: Vec<String>,
    /// Kill a container first that is running
    #[arg(short, long)]
    force: bool,
    /// Every container; one that runs only with --force
    #[arg(short, long)]
    all: bool,
    /// Leave the logs on the disk
    #[arg(short, long)]
    keep_logs: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Runs `criscope rm`.
///
/// # Errors
/// The runtime cannot be asked, nobody agreed, or stdout cannot be written.
pub async fn run(args: &Remove, session: &Session) -> Result<Exit, Error> {
    let client = session.client_that_acts().await?;
    let containers = if args.all {
        let reply = client
            .list_containers(cri::ListContainersRequest::default())
            .await?;
        let mut listing = Listing::<Container>::read(reply.bytes());
        super::select::name_pods(client, &mut listing).await?;
        let all: Vec<Container> = listing.items.into_iter().map(|item| item.row).collect();
        if all.is_empty() {
            session.output.outcome("No containers to remove");
            return Ok(Exit::Success);
        }
        if !args.rehearsal.dry_run {
            let plan: Vec<String> = all
                .iter()
                .filter(|container| args.force || container.state != ContainerState::Running)
                .map(|container| format!("{}  {}", container.description(), container.state.word()))
                .collect();
            session.consent(args.consent, &VERB, &plan).await?;
        }
        all.into_iter().map(Ok).collect()
    } else {
        session.or_as_typed(find::containers(client, &args.containers, Prefer::Nothing).await?)
    };
    session
        .act(
            &VERB,
            args.rehearsal,
            containers,
            |container| args.plan(container),
            async |container, lines| args.remove(client, session, container, lines).await,
        )
        .await
}

impl Remove {
    fn plan(&self, container: &Container) -> Vec<String> {
        let description = container.description();
        let logs = if self.keep_logs { "" } else { " and its logs" };
        match (container.state, self.force) {
            (ContainerState::Running, false) => vec![format!(
                "would not remove container {description}: it is running"
            )],
            (ContainerState::Running, true) => vec![
                format!("would kill container {description}"),
                format!("would remove container {description}{logs}"),
            ],
            _ => vec![format!("would remove container {description}{logs}")],
        }
    }

    async fn remove(
        &self,
        client: &Client,
        session: &Session,
        container: &Container,
        lines: &mut Vec<String>,
    ) -> Result<(), Error> {
        let deadline = Some(session.act_deadline());
        let id = &container.id;
        // The list may be older than what happened since, and has no log path.
        let request = cri::ContainerStatusRequest {
            container_id: id.clone(),
            verbose: false,
        };
        // crictl says which step it was.
        let said = |error: crate::client::Error, step: &str| match session.dialect {
            Dialect::Own => Error::from(error),
            Dialect::Crictl => Error::from(error).while_doing(format!("{step} {id:?}")),
        };
        let reply = client.container_status(request).await;
        let reply = reply.map_err(|error| said(error, "getting container status"))?;
        let status = client.decode("ContainerStatus", &reply)?;
        let status = status.status.unwrap_or_default();
        if ContainerState::of(status.state) == ContainerState::Running {
            if !self.force {
                return Err(Error::failure(format!(
                    "container \"{id}\" is running, please stop it first"
                ))
                .hint("`criscope stop` stops it, `criscope rm --force` kills and removes it"));
            }
            let request = cri::StopContainerRequest {
                container_id: id.clone(),
                timeout: 0,
            };
            let stopped = client.stop_container(request, deadline).await;
            stopped.map_err(|error| said(error, "stopping the container"))?;
            if session.dialect.is_crictl() {
                lines.push(id.clone());
            }
        }
        let request = cri::RemoveContainerRequest {
            container_id: id.clone(),
        };
        let removed = client.remove_container(request, deadline).await;
        removed.map_err(|error| said(error, "removing container"))?;
        if is_there(client, id).await? {
            return Err(Error::failure(
                "the runtime reported success, but the container is still there",
            ));
        }
        lines.push(id.clone());
        if !self.keep_logs
            && let Err(error) = logs::remove(status.log_path).await
        {
            session.output.warning(format!(
                "container {} is gone, but its log is not: {error}",
                container.description()
            ));
        }
        Ok(())
    }
}

async fn is_there(client: &Client, id: &str) -> Result<bool, Error> {
    let filter = cri::ContainerFilter {
        id: id.to_owned(),
        ..Default::default()
    };
    let request = cri::ListContainersRequest {
        filter: Some(filter),
    };
    let reply = client.list_containers(request).await?;
    let listing = Listing::<Container>::read(reply.bytes());
    Ok(listing.rows().any(|container| container.id == id))
}
