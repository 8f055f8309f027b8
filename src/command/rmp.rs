//! `criscope rmp`: removes pods, their containers included.
//!
//! A pod that is ready is only removed with `--force`, which stops it first. Whether it is really gone is asked
//! afterwards. The logs of its containers stay where they are.

use clap::Args;

use super::act::{Consent, Rehearsal, Subject, Verb};
use super::select::find::{self, Prefer};
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::model::{Listing, PodSandbox, PodSandboxState};

const EXAMPLES: &str = "\
Examples:
  criscope rmp 8c01                 a pod that is stopped
  criscope rmp -f default/web-1     stops it first
  criscope rmp -fa --dry-run        what a clean sweep would take";

const VERB: Verb = Verb {
    act: "remove",
    acting: "removing",
    object: "pod",
};

/// Arguments of `rmp`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RemovePod {
    /// Pods: ids, the beginnings of ids, names, or namespace/pod
    #[arg(
        value_name = "POD",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pods: Vec<String>,
    /// Stop a pod first that is ready
    #[arg(short, long)]
    force: bool,
    /// Every pod
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Runs `criscope rmp`.
///
/// # Errors
/// The runtime cannot be asked, nobody agreed, or stdout cannot be written.
pub async fn run(args: &RemovePod, session: &Session) -> Result<Exit, Error> {
    let client = session.client_that_acts().await?;
    let pods = if args.all {
        let reply = client
            .list_pod_sandbox(cri::ListPodSandboxRequest::default())
            .await?;
        let listing = Listing::<PodSandbox>::read(reply.bytes());
        let all: Vec<PodSandbox> = listing.items.into_iter().map(|item| item.row).collect();
        if all.is_empty() {
            session.output.outcome("No pods to remove");
            return Ok(Exit::Success);
        }
        if !args.rehearsal.dry_run {
            let plan: Vec<String> = all
                .iter()
                .map(|pod| format!("{}  {}", pod.description(), pod.state.word()))
                .collect();
            session.consent(args.consent, &VERB, &plan).await?;
        }
        all.into_iter().map(Ok).collect()
    } else {
        session.or_as_typed(find::pods(client, &args.pods, Prefer::Nothing).await?)
    };
    session
        .act(
            &VERB,
            args.rehearsal,
            pods,
            |pod| args.plan(pod),
            async |pod, lines| args.remove(client, session, pod, lines).await,
        )
        .await
}

impl RemovePod {
    fn plan(&self, pod: &PodSandbox) -> Vec<String> {
        let description = pod.description();
        match (is_stopped(pod), self.force) {
            (true, _) => vec![format!("would remove pod {description}")],
            (false, true) => vec![
                format!("would stop pod {description}"),
                format!("would remove pod {description}"),
            ],
            (false, false) => vec![format!("would not remove pod {description}: it is running")],
        }
    }

    async fn remove(
        &self,
        client: &Client,
        session: &Session,
        pod: &PodSandbox,
        lines: &mut Vec<String>,
    ) -> Result<(), Error> {
        let deadline = Some(session.act_deadline());
        let id = &pod.id;
        // crictl says which step it was.
        let said = |error: crate::client::Error, step: &str, after: &str| match session.dialect {
            Dialect::Own => Error::from(error),
            Dialect::Crictl => Error::from(error).while_doing(format!("{step} {id:?}{after}")),
        };
        // crictl asks, and fails where there is no such pod: what was typed may be in no list.
        let stopped = match session.dialect {
            Dialect::Own => is_stopped(pod),
            Dialect::Crictl => {
                let request = cri::PodSandboxStatusRequest {
                    pod_sandbox_id: id.clone(),
                    verbose: false,
                };
                let reply = client.pod_sandbox_status(request).await;
                let reply =
                    reply.map_err(|error| said(error, "getting sandbox status of pod", ""))?;
                let status = client.decode("PodSandboxStatus", &reply)?.status;
                status.is_some_and(|status| {
                    PodSandboxState::of(status.state) != PodSandboxState::Ready
                })
            }
        };
        if !stopped {
            if !self.force {
                return Err(Error::failure(format!(
                    "pod sandbox \"{id}\" is running, please stop it first"
                ))
                .hint("`criscope stopp` stops it, `criscope rmp --force` stops and removes it"));
            }
            let request = cri::StopPodSandboxRequest {
                pod_sandbox_id: id.clone(),
            };
            let stopped = client.stop_pod_sandbox(request, deadline).await;
            stopped.map_err(|error| said(error, "stopping the pod sandbox", " failed"))?;
            lines.push(format!("Stopped sandbox {id}"));
        }
        let request = cri::RemovePodSandboxRequest {
            pod_sandbox_id: id.clone(),
        };
        let removed = client.remove_pod_sandbox(request, deadline).await;
        removed.map_err(|error| said(error, "removing the pod sandbox", ""))?;
        if is_there(client, id).await? {
            return Err(Error::failure(
                "the runtime reported success, but the pod is still there",
            ));
        }
        lines.push(format!("Removed sandbox {id}"));
        Ok(())
    }
}

fn is_stopped(pod: &PodSandbox) -> bool {
    pod.state == PodSandboxState::NotReady
}

async fn is_there(client: &Client, id: &str) -> Result<bool, Error> {
    let filter = cri::PodSandboxFilter {
        id: id.to_owned(),
        ..Default::default()
    };
    let request = cri::ListPodSandboxRequest {
        filter: Some(filter),
    };
    let reply = client.list_pod_sandbox(request).await?;
    let listing = Listing::<PodSandbox>::read(reply.bytes());
    Ok(listing.rows().any(|pod| pod.id == id))
}
