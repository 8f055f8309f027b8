//! `criscope inspectp`: PodSandboxStatus, verbose unless `-q`.

use clap::Args;

use super::super::select::PodFilter;
use super::super::select::find::{self, Prefer};
use super::super::session::Session;
use super::{Inspected, Shown, add_info, ids, nothing, show, status_of};
use crate::client::Client;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::model::PodSandboxState;
use crate::render::inspection::{self, Unset};
use crate::render::list::Block;
use crate::render::{human, structured};
use crate::wire::Typed;

const EXAMPLES: &str = "\
Examples:
  criscope inspectp 8c01                       the pod whose id begins so
  criscope inspectp --name coredns -o table    pods with that name, for people
  criscope inspectp -s notready -q             pods that are not ready, status only";

/// Arguments of `inspectp`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectPod {
    /// Pods: ids, the beginnings of ids, names, or namespace/pod
    #[arg(value_name = "POD")]
    ids: Vec<String>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    filter: PodFilter,
}

/// Runs `criscope inspectp`.
///
/// # Errors
/// A pod is not there, or the runtime cannot be asked.
pub async fn run(args: &InspectPod, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let ids: Vec<Result<String, Error>> = if args.ids.is_empty() {
        let listing = args.filter.pods(client, None).await?;
        listing
            .items
            .into_iter()
            .map(|item| Ok(item.row.id))
            .collect()
    } else {
        let found = find::pods(client, &args.ids, Prefer::Newest).await?;
        ids(found, |pod| pod.id)
    };
    if ids.is_empty() {
        return nothing(session, "pod", "inspectp");
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
    let request = cri::PodSandboxStatusRequest {
        pod_sandbox_id: id,
        verbose: !shown.quiet,
    };
    let reply = client.pod_sandbox_status(request).await?;
    let response = client.decode("PodSandboxStatus", &reply)?;
    let document = inspection::document(
        cri::PodSandboxStatus::TYPE,
        status_of(&reply)?,
        &response.info,
        Unset::Null,
    )
    .map_err(structured::Error::from)?;
    let status = response.status.unwrap_or_default();
    let block = match session.dialect {
        Dialect::Own => block(&status),
        Dialect::Crictl => {
            let mut block = crictl_s_block(&status);
            add_info(&mut block, shown, &response.info);
            block
        }
    };
    Ok(Inspected { document, block })
}

/// The block in crictl's words.
fn crictl_s_block(status: &cri::PodSandboxStatus) -> Block {
    let mut block = Block::default();
    block.line("ID", &status.id);
    if let Some(metadata) = &status.metadata {
        for (key, value) in [
            ("Name", &metadata.name),
            ("UID", &metadata.uid),
            ("Namespace", &metadata.namespace),
        ] {
            if !value.is_empty() {
                block.line(key, value);
            }
        }
        block.line("Attempt", &metadata.attempt.to_string());
    }
    let name = match cri::PodSandboxState::try_from(status.state) {
        Ok(state) => state.as_str_name().to_owned(),
        Err(_) => status.state.to_string(),
    };
    block.line("Status", &name);
    block.line("Created", &human::timestamp(status.created_at));
    if let Some(network) = &status.network {
        block.line("IP Addresses", &network.ip);
        for ip in &network.additional_ips {
            block.line("Additional IP", &ip.ip);
        }
    }
    block.map("Labels", &status.labels);
    block.map("Annotations", &status.annotations);
    block
}

fn block(status: &cri::PodSandboxStatus) -> Block {
    let mut block = Block::default();
    block.line("ID", &status.id);
    if let Some(metadata) = &status.metadata {
        block.line("Name", &metadata.name);
        block.line("UID", &metadata.uid);
        block.line("Namespace", &metadata.namespace);
        block.line("Attempt", &metadata.attempt.to_string());
    }
    block.line("Status", &PodSandboxState::of(status.state).word());
    block.line("Created", &human::rfc3339(status.created_at));
    if let Some(network) = &status.network {
        let addresses =
            std::iter::once(&network.ip).chain(network.additional_ips.iter().map(|ip| &ip.ip));
        for address in addresses.filter(|address| !address.is_empty()) {
            block.line("IP Address", address);
        }
    }
    let handler = if status.runtime_handler.is_empty() {
        "(default)"
    } else {
        &status.runtime_handler
    };
    block.line("Runtime", handler);
    block.map("Labels", &status.labels);
    block.map("Annotations", &status.annotations);
    block
}
