//! `criscope runp`: runs a pod from a file. One RunPodSandbox.
//!
//! A pod that was asked for and not reported – the deadline passed, Ctrl-C – is looked for and taken away again, so
//! that nothing is left behind that nobody knows of.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::act::{Rehearsal, Subject};
use super::args::duration;
use super::input;
use super::jsonschema::PodSchema;
use super::session::Session;
use crate::client::{self, Client};
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::model::pod_sandbox::PodMetadata;
use crate::model::{Listing, PodSandbox};

const EXAMPLES: &str = "\
Examples:
  criscope runp pod.yaml
  criscope runp --runtime kata pod.json
  criscope runp jsonschema                what may stand in the file";

/// How long taking a pod away again may take.
const CLEANING: Duration = Duration::from_secs(30);

/// A runtime that was interrupted may finish what it was doing: when to look again.
const LATE: &[Duration] = &[Duration::from_millis(300), Duration::from_secs(1)];

/// Arguments of `runp`.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct RunPod {
    /// The pod's configuration: a PodSandboxConfig, JSON or YAML
    #[arg(value_name = "POD-CONFIG", required = true)]
    pod_config: Option<PathBuf>,
    #[command(flatten)]
    how: RunHow,
    #[command(flatten)]
    rehearsal: Rehearsal,
    #[command(subcommand)]
    schema: Option<PodSchema>,
}

/// Flags of commands that run a pod.
#[derive(Debug, Args)]
pub struct RunHow {
    /// The runtime handler that runs the pod [default: the runtime's own]
    #[arg(short, long, value_name = "HANDLER")]
    pub runtime: Option<String>,
    /// How long the runtime may take
    #[arg(short = 'T', long, value_name = "DURATION", value_parser = duration)]
    pub cancel_timeout: Option<Duration>,
}

impl RunHow {
    /// The deadline of each call.
    pub fn deadline(&self, session: &Session) -> Duration {
        self.cancel_timeout
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or_else(|| session.act_deadline())
    }
}

/// Runs `criscope runp`.
///
/// # Errors
/// The file cannot be used, the runtime refuses, or stdout cannot be written.
pub async fn run(args: &RunPod, session: &Session) -> Result<Exit, Error> {
    if let Some(schema) = &args.schema {
        return schema.run(session);
    }
    let path = args.pod_config.clone().unwrap_or_default();
    let config = input::pod_sandbox_config(&path, session.unknown_keys()).await?;
    if args.rehearsal.dry_run {
        session.lines(&[format!("would run pod {}", described(&config))])?;
        return Ok(Exit::Success);
    }
    let client = session.client_that_acts().await?;
    let id = run_pod(session, client, config, &args.how).await?;
    session.lines(&[id])?;
    Ok(Exit::Success)
}

/// `namespace/name`.
pub fn described(config: &cri::PodSandboxConfig) -> String {
    let metadata = config.metadata.clone().unwrap_or_default();
    format!("{}/{}", metadata.namespace, metadata.name)
}

/// Runs a pod and returns its id. When it fails, none is left.
///
/// # Errors
/// There is such a pod already, the runtime refuses, or the user wants to stop.
pub async fn run_pod(
    session: &Session,
    client: &Client,
    config: cri::PodSandboxConfig,
    how: &RunHow,
) -> Result<String, Error> {
    let wanted = PodMetadata::from(config.metadata.clone().unwrap_or_default());
    // crictl asks once and looks no further: a runtime that was too slow may hand out the pod when it is asked again.
    let looks = !session.dialect.is_crictl();
    if looks && let Some(pod) = existing(client, &wanted).await? {
        return Err(Error::failure(format!(
            "there is a pod {} already, with the same UID and attempt",
            pod.description()
        ))
        .hint("leave out `metadata.uid`, so that a new one is made up, or count `metadata.attempt` up"));
    }
    // From here on there may be a pod that nobody knows of.
    let _duty = session.duty();
    let request = cri::RunPodSandboxRequest {
        config: Some(config.clone()),
        runtime_handler: how.runtime.clone().unwrap_or_default(),
    };
    // Setting up the network takes as long as the rest.
    let deadline = how.deadline(session).saturating_mul(2);
    let call = client.run_pod_sandbox(request, Some(deadline));
    let step = format!("running pod {}/{}", wanted.namespace, wanted.name);
    let outcome = tokio::select! {
        biased;
        outcome = session.wait_for(&step, call) => outcome,
        () = session.interrupted() => {
            if looks {
                forget(session, client, &wanted, LATE).await;
            }
            return Err(Error::failure("interrupted"));
        }
    };
    let answer = outcome.and_then(|reply| client.decode("RunPodSandbox", &reply));
    match answer {
        Ok(answer) => Ok(answer.pod_sandbox_id),
        Err(error) => {
            // A runtime that refuses has made nothing, and what is there by that name is somebody else's.
            let late: Option<&[_]> = match error.kind() {
                Some(client::Kind::Deadline) => Some(LATE),
                Some(client::Kind::Unavailable | client::Kind::Broken) | None => Some(&[]),
                Some(_) => None,
            };
            if let Some(late) = late.filter(|_| looks) {
                forget(session, client, &wanted, late).await;
            }
            let hint = cgroup_hint(client, &config, &error).await;
            Err(Error::from(error)
                .while_doing(match session.dialect {
                    Dialect::Own => format!("cannot run pod {}/{}", wanted.namespace, wanted.name),
                    Dialect::Crictl => "run pod sandbox".to_owned(),
                })
                .maybe_hint(hint))
        }
    }
}

/// Stops and removes a pod that could not be used. What cannot be removed is named.
pub async fn take_away(session: &Session, client: &Client, id: &str) {
    let work = async {
        let request = cri::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        client.stop_pod_sandbox(request, Some(CLEANING)).await?;
        let request = cri::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        client.remove_pod_sandbox(request, Some(CLEANING)).await?;
        Ok::<(), client::Error>(())
    };
    match session.wait_for("removing the pod again", work).await {
        Ok(()) => session.output.status(format!("pod {id} was removed again")),
        Err(error) => session.output.error(
            &Error::from(error)
                .while_doing(format!("pod {id} is left behind"))
                .hint(format!("`criscope rmp -f {id}` removes it")),
        ),
    }
}

/// Takes a pod away that may have come up although nobody was told its id, or comes up within these pauses.
async fn forget(session: &Session, client: &Client, wanted: &PodMetadata, late: &[Duration]) {
    for pause in [Duration::ZERO].iter().chain(late) {
        tokio::time::sleep(*pause).await;
        match existing(client, wanted).await {
            Ok(Some(pod)) => return take_away(session, client, &pod.id).await,
            Ok(None) => {}
            // If the runtime does not answer, nothing can be done, and the error says so already.
            Err(_) => return,
        }
    }
}

async fn existing(client: &Client, wanted: &PodMetadata) -> Result<Option<PodSandbox>, Error> {
    let reply = client
        .list_pod_sandbox(cri::ListPodSandboxRequest::default())
        .await?;
    let listing = Listing::<PodSandbox>::read(reply.bytes());
    let found = listing
        .rows()
        .find(|pod| pod.metadata.as_ref() == Some(wanted));
    Ok(found.cloned())
}

/// With systemd's driver runc takes nothing but a slice as the parent, and its error does not say so.
async fn cgroup_hint(
    client: &Client,
    config: &cri::PodSandboxConfig,
    error: &client::Error,
) -> Option<String> {
    if !matches!(error, client::Error::Status { .. }) {
        return None;
    }
    let parent = config
        .linux
        .as_ref()
        .map_or("", |linux| &linux.cgroup_parent);
    if parent.ends_with(".slice") {
        return None;
    }
    uses_systemd(client).await.then(|| {
        "the runtime makes cgroups through systemd: set `linux.cgroup_parent` to a slice, such as `system.slice`"
            .to_owned()
    })
}

/// Whether the runtime makes cgroups through systemd, as far as it tells.
async fn uses_systemd(client: &Client) -> bool {
    let request = cri::RuntimeConfigRequest::default();
    if let Ok(reply) = client.runtime_config(request).await {
        let linux = reply.decode().ok().and_then(|answer| answer.linux);
        return linux.is_some_and(|linux| linux.cgroup_driver() == cri::CgroupDriver::Systemd);
    }
    // containerd before 2.0 has no RuntimeConfig, and tells what it gives to runc.
    let Ok(reply) = client.status(cri::StatusRequest { verbose: true }).await else {
        return false;
    };
    let info = reply.decode().unwrap_or_default().info;
    info.values()
        .filter_map(|text| serde_json::from_str(text).ok())
        .any(|value| has_systemd_cgroup(&value))
}

fn has_systemd_cgroup(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(key, value)| {
            (key == "SystemdCgroup" && *value == Value::Bool(true)) || has_systemd_cgroup(value)
        }),
        Value::Array(values) => values.iter().any(has_systemd_cgroup),
        _ => false,
    }
}
