//! `criscope stats`: what containers use. Two ListContainerStats, so that CPU is a measurement and not an average since
//! the start.

pub mod sampling;

use std::collections::BTreeSet;

use clap::Args;

use super::args::pair;
use super::select::find::{self, Prefer};
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{ContainerStats, Listing};
use crate::render::human;
use crate::render::list::Column;
use sampling::{Sampled, Sampling, Shown, only};

const EXAMPLES: &str = "\
Examples:
  criscope stats                     what uses something, measured for a second
  criscope stats -w -s 5             again and again, every five seconds
  criscope stats default/web-1/web   one container
  criscope stats -o json             the counters, as the runtime tells them";

type Row = Sampled<ContainerStats>;

/// Arguments of `stats`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Stats {
    /// Containers: ids, the beginnings of ids, names, or namespace/pod/container
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
    /// The same, as a flag
    #[arg(long, value_name = "CONTAINER", hide = true)]
    id: Option<String>,
    /// Also containers that use nothing
    #[arg(short, long)]
    all: bool,
    /// Only containers of the pod with this id
    #[arg(short, long, value_name = "POD-ID")]
    pod: Option<String>,
    /// Only containers with this label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair, value_delimiter = ',')]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    sampling: Sampling,
}

const ID: Column<Row> = Column {
    heading: "CONTAINER",
    cell: |row, cells| cells.id(&row.stats.id),
};
const NAME: Column<Row> = Column {
    heading: "NAME",
    cell: |row, _| (&row.stats.name).into(),
};
const CPU: Column<Row> = Column {
    heading: "CPU %",
    cell: |row, _| row.percent_cell().into(),
};
const MEMORY: Column<Row> = Column {
    heading: "MEM",
    cell: |row, _| human::size(row.stats.memory.unwrap_or(0), 4).into(),
};
const DISK: Column<Row> = Column {
    heading: "DISK",
    cell: |row, _| human::size(row.stats.disk.unwrap_or(0), 4).into(),
};
const INODES: Column<Row> = Column {
    heading: "INODES",
    cell: |row, _| row.stats.inodes.unwrap_or(0).to_string().into(),
};
const SWAP: Column<Row> = Column {
    heading: "SWAP",
    cell: |row, _| human::size(row.stats.swap.unwrap_or(0), 4).into(),
};
const POD: Column<Row> = Column {
    heading: "POD",
    cell: |row, _| row.stats.pod_name().unwrap_or("unknown").into(),
};
const NAMESPACE: Column<Row> = Column {
    heading: "NAMESPACE",
    cell: |row, _| row.stats.pod_namespace().unwrap_or("unknown").into(),
};

const COLUMNS: &[&Column<Row>] = &[&ID, &NAME, &CPU, &MEMORY, &DISK, &INODES, &SWAP];
const WIDE: &[&Column<Row>] = &[
    &ID, &NAME, &CPU, &MEMORY, &DISK, &INODES, &SWAP, &POD, &NAMESPACE,
];

/// Runs `criscope stats`.
///
/// # Errors
/// A container is not there, the runtime cannot be asked, or stdout written.
pub async fn run(args: &Stats, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let wanted = args.wanted(client, session).await?;
    // What has not even a counter does not run.
    let keep = |row: &Row| {
        args.all
            || row.stats.cpu.is_some() && row.percent.is_none_or(|p| p > 0.0)
            || row.stats.memory.is_some_and(|m| m > 0)
    };
    let shown = Shown {
        narrow: COLUMNS,
        wide: WIDE,
        cpu: |stats: &ContainerStats| stats.cpu,
        keep: &keep,
    };
    args.sampling
        .show(session, &shown, async || args.look(client, &wanted).await)
        .await
}

impl Stats {
    /// The ids of the containers that were named; none is all.
    async fn wanted(&self, client: &Client, session: &Session) -> Result<BTreeSet<String>, Error> {
        let typed: Vec<String> = self.containers.iter().chain(&self.id).cloned().collect();
        let found = session.or_as_typed(find::containers(client, &typed, Prefer::Running).await?);
        let ids: Result<BTreeSet<String>, _> = found
            .into_iter()
            .map(|found| found.map(|container| container.id))
            .collect();
        Ok(ids?)
    }

    async fn look(
        &self,
        client: &Client,
        wanted: &BTreeSet<String>,
    ) -> Result<Listing<ContainerStats>, Error> {
        let filter = cri::ContainerStatsFilter {
            id: only(wanted),
            pod_sandbox_id: self.pod.clone().unwrap_or_default(),
            label_selector: self.labels.iter().cloned().collect(),
        };
        let request = cri::ListContainerStatsRequest {
            filter: Some(filter),
        };
        let reply = client.list_container_stats(request).await?;
        let mut listing = Listing::<ContainerStats>::read(reply.bytes());
        listing.retain(|stats| wanted.is_empty() || wanted.contains(&stats.id));
        Ok(listing)
    }
}
