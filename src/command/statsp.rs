//! `criscope statsp`: what pods use. Two ListPodSandboxStats, so that CPU is a measurement.

use std::collections::BTreeSet;

use clap::Args;

use super::args::pair;
use super::select::find::{self, Prefer};
use super::session::Session;
use super::stats::sampling::{Sampled, Sampling, Shown, only};
use crate::client::Client;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Listing, PodStats};
use crate::render::human;
use crate::render::list::Column;

const EXAMPLES: &str = "\
Examples:
  criscope statsp                  pods, measured for a second
  criscope statsp -o wide          with network and processes
  criscope statsp default/web-1    one pod";

type Row = Sampled<PodStats>;

/// Arguments of `statsp`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PodStatsOf {
    /// Pods: ids, the beginnings of ids, names, or namespace/pod
    #[arg(value_name = "POD")]
    pods: Vec<String>,
    /// The same, as a flag
    #[arg(long, value_name = "POD", hide = true)]
    id: Option<String>,
    /// Only pods with this label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair, value_delimiter = ',')]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    sampling: Sampling,
}

const POD: Column<Row> = Column {
    heading: "POD",
    cell: |row, _| (&row.stats.name).into(),
};
const ID: Column<Row> = Column {
    heading: "POD ID",
    cell: |row, cells| cells.id(&row.stats.id),
};
const CPU: Column<Row> = Column {
    heading: "CPU %",
    cell: |row, _| row.percent_cell().into(),
};
const MEMORY: Column<Row> = Column {
    heading: "MEM",
    cell: |row, _| human::size(row.stats.memory.unwrap_or(0), 4).into(),
};
const NAMESPACE: Column<Row> = Column {
    heading: "NAMESPACE",
    cell: |row, _| (&row.stats.namespace).into(),
};
const RECEIVED: Column<Row> = Column {
    heading: "RECEIVED",
    cell: |row, _| network(row, |(received, _)| received).into(),
};
const SENT: Column<Row> = Column {
    heading: "SENT",
    cell: |row, _| network(row, |(_, sent)| sent).into(),
};
const PROCESSES: Column<Row> = Column {
    heading: "PROCESSES",
    cell: |row, _| {
        row.stats
            .processes
            .map_or("-".to_owned(), |count| count.to_string())
            .into()
    },
};

const COLUMNS: &[&Column<Row>] = &[&POD, &ID, &CPU, &MEMORY];
const WIDE: &[&Column<Row>] = &[
    &POD, &ID, &CPU, &MEMORY, &NAMESPACE, &RECEIVED, &SENT, &PROCESSES,
];

fn network(row: &Row, which: fn((u64, u64)) -> u64) -> String {
    row.stats
        .network
        .map_or("-".to_owned(), |network| human::size(which(network), 4))
}

/// Runs `criscope statsp`.
///
/// # Errors
/// A pod is not there, the runtime cannot be asked, or stdout written.
pub async fn run(args: &PodStatsOf, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let typed: Vec<String> = args.pods.iter().chain(&args.id).cloned().collect();
    let found = session.or_as_typed(find::pods(client, &typed, Prefer::Running).await?);
    let wanted: Result<BTreeSet<String>, _> = found
        .into_iter()
        .map(|found| found.map(|pod| pod.id))
        .collect();
    let wanted = wanted?;
    let shown = Shown {
        narrow: COLUMNS,
        wide: WIDE,
        cpu: |stats: &PodStats| stats.cpu,
        keep: &|_| true,
    };
    args.sampling
        .show(session, &shown, async || args.look(client, &wanted).await)
        .await
}

impl PodStatsOf {
    async fn look(
        &self,
        client: &Client,
        wanted: &BTreeSet<String>,
    ) -> Result<Listing<PodStats>, Error> {
        let filter = cri::PodSandboxStatsFilter {
            id: only(wanted),
            label_selector: self.labels.iter().cloned().collect(),
        };
        let request = cri::ListPodSandboxStatsRequest {
            filter: Some(filter),
        };
        let reply = client.list_pod_sandbox_stats(request).await?;
        let mut listing = Listing::<PodStats>::read(reply.bytes());
        listing.retain(|stats| wanted.is_empty() || wanted.contains(&stats.id));
        Ok(listing)
    }
}
