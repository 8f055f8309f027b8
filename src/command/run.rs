//! `criscope run`: a container in a pod of its own, from two files: pull, RunPodSandbox, CreateContainer,
//! StartContainer.
//!
//! The files are read and the images pulled before anything is made. When a later step fails, or with Ctrl-C, the pod is
//! removed again: crictl leaves it running.

use std::path::PathBuf;

use clap::Args;

use super::act::Rehearsal;
use super::create::{self, Pulling};
use super::input;
use super::jsonschema::EitherSchema;
use super::pull::{self, Orders};
use super::runp;
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};

const EXAMPLES: &str = "\
Examples:
  criscope run container.yaml pod.yaml
  criscope run --no-pull container.json pod.json
  criscope run jsonschema --pod --container      what may stand in the files";

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Run {
    /// The container's configuration: a ContainerConfig, JSON or YAML
    #[arg(value_name = "CONTAINER-CONFIG", required = true)]
    container_config: Option<PathBuf>,
    /// The pod's configuration: a PodSandboxConfig, JSON or YAML
    #[arg(value_name = "POD-CONFIG", required = true)]
    pod_config: Option<PathBuf>,
    #[command(flatten)]
    how: runp::RunHow,
    #[command(flatten)]
    pulling: Pulling,
    #[command(flatten)]
    pull: pull::PullHow,
    /// Leave the pod behind when its container cannot be started, to look at it
    #[arg(long)]
    keep_failed: bool,
    #[command(flatten)]
    rehearsal: Rehearsal,
    #[command(subcommand)]
    schema: Option<EitherSchema>,
}

/// Runs `criscope run`.
///
/// # Errors
/// A file cannot be used, the image cannot be pulled, the runtime refuses, or stdout cannot be written.
pub async fn run(args: &Run, session: &Session) -> Result<Exit, Error> {
    if let Some(schema) = &args.schema {
        return schema.run(session);
    }
    let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
    let config =
        input::container_config(&path(&args.container_config), session.unknown_keys()).await?;
    let sandbox =
        input::pod_sandbox_config(&path(&args.pod_config), session.unknown_keys()).await?;
    let pulls = args.pulling.or(!session.settings.disable_pull_on_run);
    if args.rehearsal.dry_run {
        session.lines(&plan(&config, &sandbox, pulls))?;
        return Ok(Exit::Success);
    }
    let client = session.client_that_acts().await?;
    if pulls {
        let orders = Orders::new(&args.pull, Some(sandbox.clone())).await?;
        create::pull_all(session, client, &orders, &config).await?;
    }
    // Held until the container runs or the pod is gone.
    let _duty = session.duty();
    let pod = runp::run_pod(session, client, sandbox.clone(), &args.how).await?;
    let fill = args.fill(session, client, &pod, config, sandbox);
    let outcome = tokio::select! {
        biased;
        outcome = fill => outcome,
        () = session.interrupted() => Err(Error::failure("interrupted")),
    };
    match outcome {
        Ok(id) => {
            session.lines(&[id])?;
            Ok(Exit::Success)
        }
        Err(error) if args.keep_failed => Err(error.hint(format!(
            "pod {pod} was left for you; `criscope rmp -f {pod}` removes it"
        ))),
        Err(error) => {
            runp::take_away(session, client, &pod).await;
            Err(error)
        }
    }
}

impl Run {
    /// Makes the container in the pod and starts it.
    async fn fill(
        &self,
        session: &Session,
        client: &Client,
        pod: &str,
        config: cri::ContainerConfig,
        sandbox: cri::PodSandboxConfig,
    ) -> Result<String, Error> {
        let deadline = self.how.deadline(session);
        let name = create::name(&config).to_owned();
        let id = create::create(session, client, pod, config, sandbox, deadline).await?;
        let request = cri::StartContainerRequest {
            container_id: id.clone(),
        };
        let call = client.start_container(request, Some(deadline));
        let started = session
            .wait_for(&format!("starting container {name}"), call)
            .await;
        started.map_err(|error| {
            Error::from(error).while_doing(match session.dialect {
                Dialect::Own => format!("cannot start container {name}"),
                Dialect::Crictl => format!("starting the container {id:?}"),
            })
        })?;
        Ok(id)
    }
}

fn plan(
    config: &cri::ContainerConfig,
    sandbox: &cri::PodSandboxConfig,
    pulls: bool,
) -> Vec<String> {
    let mut plan = Vec::new();
    if pulls {
        plan.extend(
            create::images(config).map(|image| format!("would pull image {}", image.image)),
        );
    }
    let (pod, name) = (runp::described(sandbox), create::name(config));
    plan.push(format!("would run pod {pod}"));
    plan.push(format!("would create container {name} in it"));
    plan.push(format!("would start container {name}"));
    plan
}
