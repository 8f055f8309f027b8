//! `criscope metricsp`: the metrics of all pods, as the kubelet would take them from the runtime. One
//! ListPodSandboxMetrics, since CRI 1.26.

use clap::Args;

use super::args::{DataFormat, Watch};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Listing, PodMetrics};
use crate::render::structured;

const EXAMPLES: &str = "\
Examples:
  criscope metricsp
  criscope metricsp -o ndjson     one line a pod";

/// Arguments of `metricsp`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PodMetricsOf {
    /// How to show them
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "json",
        alias = "format"
    )]
    output: DataFormat,
    #[command(flatten)]
    watch: Watch,
}

/// Runs `criscope metricsp`.
///
/// # Errors
/// The runtime cannot be asked, or has no metrics; stdout cannot be written.
pub async fn run(args: &PodMetricsOf, session: &Session) -> Result<Exit, Error> {
    session
        .show(&args.watch, async || {
            let client = session.client().await?;
            let reply = client
                .list_pod_sandbox_metrics(cri::ListPodSandboxMetricsRequest::default())
                .await?;
            let listing = Listing::<PodMetrics>::read(reply.bytes());
            let elements = listing.items.iter().map(|item| &*item.bytes);
            Ok(structured::list::<PodMetrics>(
                args.output.structured(),
                elements,
            )?)
        })
        .await
}
