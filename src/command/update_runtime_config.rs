//! `criscope update-runtime-config`: tells the runtime the network of the pods. One UpdateRuntimeConfig.
//!
//! containerd writes its CNI configuration from it, if it has a template; the others take note and do nothing.

use clap::Args;

use super::act::Rehearsal;
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};

const EXAMPLES: &str = "\
Examples:
  criscope update-runtime-config --pod-cidr 10.244.0.0/24
  criscope update-runtime-config --pod-cidr ''            none any more";

/// Arguments of `update-runtime-config`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UpdateRuntimeConfig {
    /// The network from which pods get their addresses
    #[arg(short, long, value_name = "CIDR")]
    pod_cidr: String,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// Runs `criscope update-runtime-config`.
///
/// # Errors
/// The runtime refuses, or stdout cannot be written.
pub async fn run(args: &UpdateRuntimeConfig, session: &Session) -> Result<Exit, Error> {
    if args.rehearsal.dry_run {
        session.lines(&[format!(
            "would tell the runtime the pod CIDR `{}`",
            args.pod_cidr
        )])?;
        return Ok(Exit::Success);
    }
    let client = session.client_that_acts().await?;
    let network_config = Some(cri::NetworkConfig {
        pod_cidr: args.pod_cidr.clone(),
    });
    let request = cri::UpdateRuntimeConfigRequest {
        runtime_config: Some(cri::RuntimeConfig { network_config }),
    };
    client.update_runtime_config(request).await?;
    session.output.outcome("runtime config updated");
    Ok(Exit::Success)
}
