//! `criscope stopp`: stops pods, their containers included. One StopPodSandbox each.

use clap::Args;

use super::act::{Rehearsal, Subject, Verb};
use super::select::find::{self, Prefer};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};

const EXAMPLES: &str = "\
Examples:
  criscope stopp default/web-1     by namespace and name
  criscope stopp 8c01 --dry-run    what would be stopped";

const VERB: Verb = Verb {
    act: "stop",
    acting: "stopping",
    object: "pod",
};

/// Arguments of `stopp`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StopPod {
    /// Pods: ids, the beginnings of ids, names, or namespace/pod
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Runs `criscope stopp`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &StopPod, session: &Session) -> Result<Exit, Error> {
    let client = session.client_that_acts().await?;
    let pods = session.or_as_typed(find::pods(client, &args.pods, Prefer::Running).await?);
    let deadline = Some(session.act_deadline());
    session
        .act(
            &VERB,
            args.rehearsal,
            pods,
            |pod| vec![format!("would stop pod {}", pod.description())],
            async |pod, lines| {
                let request = cri::StopPodSandboxRequest {
                    pod_sandbox_id: pod.id.clone(),
                };
                client.stop_pod_sandbox(request, deadline).await?;
                lines.push(format!("Stopped sandbox {}", pod.id));
                Ok(())
            },
        )
        .await
}
