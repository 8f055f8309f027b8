//! `criscope inspect`: ContainerStatus, verbose unless `-q`.

use clap::Args;

use super::super::select::ContainerFilter;
use super::super::select::find::{self, Prefer};
use super::super::session::Session;
use super::{Inspected, Shown, add_info, ids, nothing, show, status_of};
use crate::client::Client;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::model::ContainerState;
use crate::render::inspection::{self, Unset};
use crate::render::list::Block;
use crate::render::{human, structured};
use crate::wire::Typed;

const EXAMPLES: &str = "\
Examples:
  criscope inspect 5f2a                 the container whose id begins so
  criscope inspect --name etcd -o yaml  the running containers with that name
  criscope inspect -a -l                the newest container, whatever its state";

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// Containers: ids, the beginnings of ids, names, or namespace/pod/container
    #[arg(value_name = "CONTAINER")]
    ids: Vec<String>,
    /// Without ids: containers in every state, not only the running ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    filter: ContainerFilter,
}

/// Runs `criscope inspect`.
///
/// # Errors
/// A container is not there, or the runtime cannot be asked.
pub async fn run(args: &Inspect, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let ids: Vec<Result<String, Error>> = if args.ids.is_empty() {
        let listing = args.filter.containers(client, args.all, None).await?;
        listing
            .items
            .into_iter()
            .map(|item| Ok(item.row.id))
            .collect()
    } else {
        let found = find::containers(client, &args.ids, Prefer::Newest).await?;
        ids(found, |container| container.id)
    };
    if ids.is_empty() {
        return nothing(session, "container", "inspect");
    }
    show(session, &args.shown, ids, async |id| {
        look(client, session, id, &args.shown).await
    })
    .await
}

async fn look(
    client: &Client,
    session: &Session,
    id: String,
    shown: &Shown,
) -> Result<Inspected, Error> {
    let request = cri::ContainerStatusRequest {
        container_id: id,
        verbose: !shown.quiet,
    };
    let reply = client.container_status(request).await?;
    let response = client.decode("ContainerStatus", &reply)?;
    let document = inspection::document(
        cri::ContainerStatus::TYPE,
        status_of(&reply)?,
        &response.info,
        Unset::Null,
    )
    .map_err(structured::Error::from)?;
    let status = response.status.unwrap_or_default();
    let block = match session.dialect {
        Dialect::Own => block(&status),
        Dialect::Crictl => {
            let mut block = crictl_s_block(&status, session.now());
            add_info(&mut block, shown, &response.info);
            block
        }
    };
    Ok(Inspected { document, block })
}

/// The block in crictl's words.
fn crictl_s_block(status: &cri::ContainerStatus, now: i64) -> Block {
    let mut block = Block::default();
    block.line("ID", &status.id);
    if let Some(metadata) = &status.metadata {
        if !metadata.name.is_empty() {
            block.line("Name", &metadata.name);
        }
        if metadata.attempt != 0 {
            block.line("Attempt", &metadata.attempt.to_string());
        }
    }
    let state = ContainerState::of(status.state);
    let name = match cri::ContainerState::try_from(status.state) {
        Ok(state) => state.as_str_name().to_owned(),
        Err(_) => status.state.to_string(),
    };
    block.line("State", &name);
    block.line("Created", &human::ago(status.created_at, now));
    if state != ContainerState::Created {
        block.line("Started", &human::ago(status.started_at, now));
    }
    if state == ContainerState::Exited {
        if status.finished_at > 0 {
            block.line("Finished", &human::ago(status.finished_at, now));
        }
        block.line("Exit Code", &status.exit_code.to_string());
    }
    block.map("Labels", &status.labels);
    block.map("Annotations", &status.annotations);
    block
}

fn block(status: &cri::ContainerStatus) -> Block {
    let mut block = Block::default();
    block.line("ID", &status.id);
    if let Some(metadata) = &status.metadata {
        block.line("Name", &metadata.name);
        block.line("Attempt", &metadata.attempt.to_string());
    }
    block.line("State", &ContainerState::of(status.state).word());
    block.line(
        "Image",
        status.image.as_ref().map_or("", |image| &image.image),
    );
    block.line("ImageRef", &status.image_ref);
    for (key, time) in [
        ("Created", status.created_at),
        ("Started", status.started_at),
        ("Finished", status.finished_at),
    ] {
        if time != 0 {
            block.line(key, &human::rfc3339(time));
        }
    }
    if status.finished_at != 0 {
        block.line("ExitCode", &status.exit_code.to_string());
    }
    for (key, text) in [
        ("Reason", &status.reason),
        ("Message", &status.message),
        ("LogPath", &status.log_path),
    ] {
        if !text.is_empty() {
            block.line(key, text);
        }
    }
    for mount in &status.mounts {
        let mode = if mount.readonly { "ro" } else { "rw" };
        block.line(
            "Mount",
            &format!("{} -> {} ({mode})", mount.host_path, mount.container_path),
        );
    }
    block.map("Labels", &status.labels);
    block.map("Annotations", &status.annotations);
    block
}
