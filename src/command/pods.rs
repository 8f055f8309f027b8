//! `criscope pods`: the pod sandboxes of the node, newest first.
//!
//! One ListPodSandbox. Id, state and labels are filtered by the runtime, names by us.

use std::borrow::Cow;
use std::cmp::Reverse;

use clap::Args;

use super::args::{ListOutput, Watch};
use super::select::PodFilter;
use super::session::Session;
use super::showing::{Look, Showing};
use crate::error::{Error, Exit};
use crate::model::{Listed, ListedPod, PodSandbox};
use crate::render::list::{Block, Cells, Column};

const EXAMPLES: &str = "\
Examples:
  criscope pods                              every pod sandbox, newest first
  criscope pods --namespace kube-system      those of a namespace
  criscope pods -s notready -q               ids of those that are not ready
  criscope pods -o json                      as the runtime sent them";

/// Arguments of `pods`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Pods {
    /// Only the pod with this id, or the beginning of it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    filter: PodFilter,
}

const ID: Column<ListedPod> = Column {
    heading: "POD ID",
    cell: |pod, cells| cells.id(pod.id()),
};
const CREATED: Column<ListedPod> = Column {
    heading: "CREATED",
    cell: |pod, cells| cells.age(pod.created_at()).into(),
};
const STATE: Column<ListedPod> = Column {
    heading: "STATE",
    cell: |pod, _| pod.state().word().into(),
};
const NAME: Column<ListedPod> = Column {
    heading: "NAME",
    cell: |pod, _| pod.name(),
};
const NAMESPACE: Column<ListedPod> = Column {
    heading: "NAMESPACE",
    cell: |pod, _| pod.namespace(),
};
const ATTEMPT: Column<ListedPod> = Column {
    heading: "ATTEMPT",
    cell: |pod, _| pod.attempt().to_string().into(),
};
const RUNTIME: Column<ListedPod> = Column {
    heading: "RUNTIME",
    cell: |pod, _| runtime(pod.runtime_handler()),
};
const UID: Column<ListedPod> = Column {
    heading: "POD UID",
    cell: |pod, _| pod.uid(),
};

const COLUMNS: &[&Column<ListedPod>] =
    &[&ID, &CREATED, &STATE, &NAME, &NAMESPACE, &ATTEMPT, &RUNTIME];
const WIDE: &[&Column<ListedPod>] = &[
    &ID, &CREATED, &STATE, &NAME, &NAMESPACE, &ATTEMPT, &RUNTIME, &UID,
];

/// Runs `criscope pods`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Pods, session: &Session) -> Result<Exit, Error> {
    session
        .show_as_it_comes(&args.watch, async |out| {
            let client = session.client().await?;
            let look = Look {
                columns: args.output.columns(COLUMNS, WIDE),
                rows: |pod, row| row(pod),
                key: |pod: &ListedPod| Reverse(pod.created_at()),
                block,
                keep: args.filter.newest.keep(),
            };
            let mut showing = Showing::new(&args.output, look, session.now(), out)?;
            args.filter
                .each(client, args.id.as_deref(), |pod| showing.add(pod))
                .await?;
            showing.finish(session)
        })
        .await
}

/// The handler that runs the pod; CRI leaves the name of the default one out.
fn runtime(handler: Cow<'_, str>) -> Cow<'_, str> {
    if handler.is_empty() {
        return Cow::Borrowed("(default)");
    }
    handler
}

fn block(pod: &PodSandbox, _: &Cells) -> String {
    let mut block = Block::default();
    block.line("ID", &pod.id);
    block.line("Name", pod.name());
    block.line("UID", pod.uid());
    block.line("Namespace", pod.namespace());
    // Nearly every pod is the first of its name: crictl does not say so.
    if let Some(attempt) = pod.metadata.as_ref().map(|it| it.attempt)
        && attempt != 0
    {
        block.line("Attempt", &attempt.to_string());
    }
    block.line("Status", &pod.state.word());
    block.line("Created", &crate::render::human::timestamp(pod.created_at));
    block.map("Labels", &pod.labels);
    block.map("Annotations", &pod.annotations);
    block.line("Runtime", &runtime((&pod.runtime_handler).into()));
    block.finish()
}
