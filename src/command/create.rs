//! `criscope create`: makes a container in a pod from files, without starting it. One CreateContainer.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::act::{Rehearsal, Subject};
use super::args::duration;
use super::input;
use super::jsonschema::EitherSchema;
use super::pull::{self, Orders};
use super::select::find::Prefer;
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};

const EXAMPLES: &str = "\
Examples:
  criscope create 8c01 container.yaml pod.yaml
  criscope create --with-pull default/web-1 container.json pod.json
  criscope create jsonschema --container      what may stand in the file";

/// Arguments of `create`.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Create {
    /// The pod: its id, the beginning of it, its name, or namespace/pod
    #[arg(value_name = "POD", required = true)]
    pod: Option<String>,
    /// The container's configuration: a ContainerConfig, JSON or YAML
    #[arg(value_name = "CONTAINER-CONFIG", required = true)]
    container_config: Option<PathBuf>,
    /// The configuration that the pod was run from
    #[arg(value_name = "POD-CONFIG", required = true)]
    pod_config: Option<PathBuf>,
    #[command(flatten)]
    pulling: Pulling,
    #[command(flatten)]
    pull: pull::PullHow,
    /// How long the runtime may take
    #[arg(short = 'T', long, value_name = "DURATION", value_parser = duration)]
    cancel_timeout: Option<Duration>,
    #[command(flatten)]
    rehearsal: Rehearsal,
    #[command(subcommand)]
    schema: Option<EitherSchema>,
}

/// Whether the image is pulled first.
#[derive(Debug, Args)]
pub struct Pulling {
    /// Leave the image as it is, whatever the configuration file says
    #[arg(long, conflicts_with = "with_pull")]
    no_pull: bool,
    /// Pull the image first, whatever the configuration file says
    #[arg(long)]
    with_pull: bool,
}

impl Pulling {
    /// The flag, else what is usual.
    pub fn or(&self, usual: bool) -> bool {
        (usual || self.with_pull) && !self.no_pull
    }
}

/// Runs `criscope create`.
///
/// # Errors
/// A file cannot be used, there is no such pod, the image cannot be pulled, the runtime refuses, or stdout cannot be
/// written.
pub async fn run(args: &Create, session: &Session) -> Result<Exit, Error> {
    if let Some(schema) = &args.schema {
        return schema.run(session);
    }
    let path = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
    let config =
        input::container_config(&path(&args.container_config), session.unknown_keys()).await?;
    let sandbox =
        input::pod_sandbox_config(&path(&args.pod_config), session.unknown_keys()).await?;
    let pulls = args.pulling.or(session.settings.pull_image_on_create);
    let client = session.client_that_acts().await?;
    let typed = args.pod.clone().unwrap_or_default();
    let pod = session.pod(client, &typed, Prefer::Running).await?;
    if args.rehearsal.dry_run {
        let mut plan = Vec::new();
        if pulls {
            plan.extend(images(&config).map(|image| format!("would pull image {}", image.image)));
        }
        plan.push(format!(
            "would create container {} in pod {}",
            name(&config),
            pod.description()
        ));
        session.lines(&plan)?;
        return Ok(Exit::Success);
    }
    if pulls {
        let orders = Orders::new(&args.pull, Some(sandbox.clone())).await?;
        pull_all(session, client, &orders, &config).await?;
    }
    let deadline = args.cancel_timeout.filter(|timeout| !timeout.is_zero());
    let deadline = deadline.unwrap_or_else(|| session.act_deadline());
    let id = create(session, client, &pod.id, config, sandbox, deadline).await?;
    session.lines(&[id])?;
    Ok(Exit::Success)
}

/// The images that a container needs: its own, and those that are mounted into it.
pub fn images(config: &cri::ContainerConfig) -> impl Iterator<Item = &cri::ImageSpec> {
    let mounted = config
        .mounts
        .iter()
        .filter_map(|mount| mount.image.as_ref());
    config
        .image
        .iter()
        .chain(mounted)
        .filter(|image| !image.image.is_empty())
}

/// The name of a container.
pub fn name(config: &cri::ContainerConfig) -> &str {
    config
        .metadata
        .as_ref()
        .map_or("", |metadata| &metadata.name)
}

/// Pulls the images that a container needs.
///
/// # Errors
/// The first that cannot be pulled.
pub async fn pull_all(
    session: &Session,
    client: &Client,
    orders: &Orders,
    config: &cri::ContainerConfig,
) -> Result<(), Error> {
    for image in images(config) {
        orders.pull(session, client, image.clone()).await?;
    }
    Ok(())
}

/// Makes the container and returns its id.
///
/// # Errors
/// The runtime refuses.
pub async fn create(
    session: &Session,
    client: &Client,
    pod: &str,
    config: cri::ContainerConfig,
    sandbox: cri::PodSandboxConfig,
    deadline: Duration,
) -> Result<String, Error> {
    let name = name(&config).to_owned();
    let image = config.image.clone().unwrap_or_default().image;
    let request = cri::CreateContainerRequest {
        pod_sandbox_id: pod.to_owned(),
        config: Some(config),
        sandbox_config: Some(sandbox),
    };
    let call = client.create_container(request, Some(deadline));
    let answer = session
        .wait_for(&format!("creating container {name}"), call)
        .await
        .and_then(|reply| client.decode("CreateContainer", &reply));
    match answer {
        Ok(answer) => Ok(answer.container_id),
        Err(error) => {
            let absent = error.kind() == Some(crate::client::Kind::NotFound);
            let hint = format!(
                "if the image is not there, `criscope pull {image}` or `--with-pull` gets it"
            );
            Err(Error::from(error)
                .while_doing(match session.dialect {
                    Dialect::Own => format!("cannot create container {name}"),
                    Dialect::Crictl => "creating container".to_owned(),
                })
                .maybe_hint(absent.then_some(hint)))
        }
    }
}
