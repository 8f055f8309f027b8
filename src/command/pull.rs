//! `criscope pull`: pulls images through the runtime, as the kubelet does, mirrors included. One PullImage each.
//!
//! There is no deadline unless one is given: a large image on a slow line is not a failure. On a terminal the line that
//! appears after a second tells for how long, and on containerd how many bytes have come.

mod credentials;
mod password;
pub mod progress;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::act::Rehearsal;
use super::args::{duration, pair};
use super::input;
use super::jsonschema::PodSchema;
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::registry::image_ref::ImageRef;
use crate::settings::env;
use credentials::Credentials;
use progress::watch;

const EXAMPLES: &str = "\
Examples:
  criscope pull nginx:1.25
  criscope pull --creds-stdin reg.example/app:1 < user-and-password
  criscope pull -u alice reg.example/app:1     asks for the password

The environment variables CRICTL_CREDS and CRICTL_AUTH are taken where no flag gives credentials, CRICTL_PULL_TIMEOUT
where --pull-timeout is not given. What is typed after --creds can be read by everybody on the machine.";

/// Arguments of `pull`.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Pull {
    /// Images: names with a tag or a digest
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Pull as for this pod: a file with a PodSandboxConfig, JSON or YAML
    #[arg(long, value_name = "FILE")]
    pod_config: Option<PathBuf>,
    /// Say this to the runtime about the image; repeatable
    #[arg(short, long = "annotation", value_name = "KEY=VALUE", value_parser = pair, value_delimiter = ',')]
    annotations: Vec<(String, String)>,
    #[command(flatten)]
    how: PullHow,
    #[command(flatten)]
    rehearsal: Rehearsal,
    #[command(subcommand)]
    schema: Option<PodSchema>,
}

/// Flags of every command that pulls.
#[derive(Debug, Args)]
pub struct PullHow {
    #[command(flatten)]
    credentials: Credentials,
    /// How long a pull may take; 0 is for ever
    #[arg(long, visible_alias = "pt", value_name = "DURATION", value_parser = duration)]
    pull_timeout: Option<Duration>,
}

impl PullHow {
    /// The deadline of a pull, from the flag, else from the environment.
    fn deadline(&self) -> Result<Option<Duration>, Error> {
        let set = match self.pull_timeout {
            Some(timeout) => Some(timeout),
            None => match std::env::var(env::PULL_TIMEOUT) {
                Ok(text) if !text.is_empty() => Some(duration(&text).map_err(|error| {
                    Error::usage(format!("${} is not usable: {error}", env::PULL_TIMEOUT))
                })?),
                _ => None,
            },
        };
        Ok(set.filter(|timeout| !timeout.is_zero()))
    }
}

/// Runs `criscope pull`.
///
/// # Errors
/// The credentials or the pod's configuration cannot be used, the runtime cannot be asked, or stdout written.
pub async fn run(args: &Pull, session: &Session) -> Result<Exit, Error> {
    if let Some(schema) = &args.schema {
        return schema.run(session);
    }
    let sandbox_config = match &args.pod_config {
        Some(path) => Some(input::pod_sandbox_config(path, session.unknown_keys()).await?),
        None => None,
    };
    let orders = Orders::new(&args.how, sandbox_config).await?;
    if args.rehearsal.dry_run {
        let plan: Vec<String> = args
            .images
            .iter()
            .map(|image| format!("would pull image {}{}", in_full(image), orders.as_whom()))
            .collect();
        session.lines(&plan)?;
        return Ok(Exit::Success);
    }
    let client = session.client().await?;
    let mut worst = Exit::Success;
    for image in &args.images {
        let spec = cri::ImageSpec {
            image: image.clone(),
            annotations: args.annotations.iter().cloned().collect(),
            ..Default::default()
        };
        match orders.pull(session, client, spec).await {
            Ok(reference) => {
                session.lines(&[format!("Image is up to date for {reference}")])?;
            }
            Err(error) => {
                worst = worst.or_worse(error.exit());
                session.output.error(&error);
            }
        }
    }
    Ok(worst)
}

/// The name as the runtime takes it, with registry and tag; what is no name stays as it was typed.
fn in_full(image: &str) -> String {
    let reference = image.parse::<ImageRef>();
    reference.map_or_else(|_| image.to_owned(), |reference| reference.to_string())
}

/// Everything that pulls of one command have in common.
#[derive(Debug)]
pub struct Orders {
    auth: Option<cri::AuthConfig>,
    sandbox_config: Option<cri::PodSandboxConfig>,
    deadline: Option<Duration>,
}

impl Orders {
    /// Takes credentials and deadline from flags and environment; may ask for a password.
    ///
    /// # Errors
    /// They cannot be used.
    pub async fn new(
        how: &PullHow,
        sandbox_config: Option<cri::PodSandboxConfig>,
    ) -> Result<Self, Error> {
        Ok(Self {
            auth: how.credentials.auth_config().await?,
            sandbox_config,
            deadline: how.deadline()?,
        })
    }

    fn as_whom(&self) -> String {
        match &self.auth {
            Some(auth) if !auth.username.is_empty() => format!(" as {}", auth.username),
            Some(_) => " with credentials".to_owned(),
            None => String::new(),
        }
    }

    /// Pulls one image and returns what the runtime calls it: an image id on containerd, elsewhere a digest.
    ///
    /// # Errors
    /// The pull failed, in the runtime's own words.
    pub async fn pull(
        &self,
        session: &Session,
        client: &Client,
        image: cri::ImageSpec,
    ) -> Result<String, Error> {
        let name = image.image.clone();
        let request = cri::PullImageRequest {
            image: Some(image),
            auth: self.auth.clone(),
            sandbox_config: self.sandbox_config.clone(),
        };
        let work = client.pull_image(request, self.deadline);
        let reply = tokio::select! {
            biased;
            reply = work => reply,
            never = watch(session, client, &name) => match never {},
        };
        let answer = reply.and_then(|reply| client.decode("PullImage", &reply));
        match answer {
            Ok(answer) => Ok(answer.image_ref),
            Err(error) => Err(match session.dialect {
                Dialect::Own => Error::from(error).while_doing(format!("cannot pull image {name}")),
                // Of pulls alone crictl leaves out a code that says nothing.
                Dialect::Crictl => match error.without_code() {
                    Some(message) => Error::failure(message),
                    None => Error::from(error),
                }
                .while_doing("pulling image"),
            }
            .hint(format!(
                "`criscope test-pull {name}` asks every registry on its way"
            ))),
        }
    }
}
