//! `criscope pods`: the pod sandboxes of the node, newest first.
//!
//! One ListPodSandbox. Id, state and labels are filtered by the runtime, names by us.

use clap::Args;

use super::args::{ListOutput, Watch};
use super::select::PodFilter;
use super::session::Session;
use crate::error::{Error, Exit};
use crate::model::PodSandbox;
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

const ID: Column<PodSandbox> = Column {
    heading: "POD ID",
    cell: |pod, cells| cells.id(&pod.id),
};
const CREATED: Column<PodSandbox> = Column {
    heading: "CREATED",
    cell: |pod, cells| cells.age(pod.created_at),
};
const STATE: Column<PodSandbox> = Column {
    heading: "STATE",
    cell: |pod, _| pod.state.word(),
};
const NAME: Column<PodSandbox> = Column {
    heading: "NAME",
    cell: |pod, _| pod.name().to_owned(),
};
const NAMESPACE: Column<PodSandbox> = Column {
    heading: "NAMESPACE",
    cell: |pod, _| pod.namespace().to_owned(),
};
const ATTEMPT: Column<PodSandbox> = Column {
    heading: "ATTEMPT",
    cell: |pod, _| pod.metadata.as_ref().map_or(0, |m| m.attempt).to_string(),
};
const RUNTIME: Column<PodSandbox> = Column {
    heading: "RUNTIME",
    cell: |pod, _| runtime(pod).to_owned(),
};
const UID: Column<PodSandbox> = Column {
    heading: "POD UID",
    cell: |pod, _| pod.uid().to_owned(),
};

const COLUMNS: &[&Column<PodSandbox>] =
    &[&ID, &CREATED, &STATE, &NAME, &NAMESPACE, &ATTEMPT, &RUNTIME];
const WIDE: &[&Column<PodSandbox>] = &[
    &ID, &CREATED, &STATE, &NAME, &NAMESPACE, &ATTEMPT, &RUNTIME, &UID,
];

/// Runs `criscope pods`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Pods, session: &Session) -> Result<Exit, Error> {
    session
        .show(&args.watch, async || {
            let listing = args
                .filter
                .pods(session.client().await?, args.id.as_deref())
                .await?;
            session.list(
                &listing,
                &args.output,
                args.output.columns(COLUMNS, WIDE),
                block,
            )
        })
        .await
}

/// The handler that runs the pod; CRI leaves the name of the default one out.
fn runtime(pod: &PodSandbox) -> &str {
    match pod.runtime_handler.as_str() {
        "" => "(default)",
        handler => handler,
    }
}

fn block(pod: &PodSandbox, _: &Cells) -> String {
    let mut block = Block::default();
    block.line("ID", &pod.id);
    block.line("Name", pod.name());
    block.line("UID", pod.uid());
    block.line("Namespace", pod.namespace());
    block.line(
        "Attempt",
        &pod.metadata.as_ref().map_or(0, |m| m.attempt).to_string(),
    );
    block.line("Status", &pod.state.word());
    block.line("Created", &crate::render::human::timestamp(pod.created_at));
    block.map("Labels", &pod.labels);
    block.map("Annotations", &pod.annotations);
    block.line("Runtime", runtime(pod));
    block.finish()
}
