//! `criscope metricdescs`: what the metrics of `metricsp` mean. One ListMetricDescriptors, since CRI 1.26.

use clap::Args;

use super::args::{ListFormat, ListOutput, TemplateText};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Listing, MetricDescriptor};
use crate::render::list::{Block, Cells, Column};

const EXAMPLES: &str = "\
Examples:
  criscope metricdescs
  criscope metricdescs -o table";

/// Arguments of `metricdescs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MetricDescriptors {
    /// How to show them
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "json",
        alias = "format"
    )]
    output: ListFormat,
    #[command(flatten)]
    template: TemplateText,
}

const NAME: Column<MetricDescriptor> = Column {
    heading: "METRIC",
    cell: |row, _| (&row.name).into(),
};
const LABELS: Column<MetricDescriptor> = Column {
    heading: "LABELS",
    cell: |row, _| row.label_keys.join(",").into(),
};
const HELP: Column<MetricDescriptor> = Column {
    heading: "HELP",
    cell: |row, _| (&row.help).into(),
};

/// Runs `criscope metricdescs`.
///
/// # Errors
/// The runtime cannot be asked, or has no metrics; stdout cannot be written.
pub async fn run(args: &MetricDescriptors, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let reply = client
        .list_metric_descriptors(cri::ListMetricDescriptorsRequest::default())
        .await?;
    let listing = Listing::<MetricDescriptor>::read(reply.bytes());
    let how = ListOutput {
        output: args.output,
        template: args.template.clone(),
        quiet: false,
        verbose: false,
        no_trunc: true,
    };
    let text = session.list(&listing, &how, &[&NAME, &LABELS, &HELP], block)?;
    session.output.data(&text)?;
    Ok(Exit::Success)
}

fn block(row: &MetricDescriptor, _: &Cells) -> String {
    let mut block = Block::default();
    block.line("Metric", &row.name);
    block.finish()
}
