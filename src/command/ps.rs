//! `criscope ps`: the containers of the node, newest first; without `-a` the running ones.
//!
//! One ListContainers. ListImages is asked only for `--image` and `-r` (crictl asks ImageStatus once or twice per
//! container), ListPodSandbox only where a container lacks the kubelet's labels (crictl shows `unknown` there).

use std::borrow::Cow;
use std::cmp::Reverse;

use clap::Args;

use super::args::{ListOutput, Watch};
use super::select::{Asked, ContainerFilter, Images};
use super::session::Session;
use super::showing::{Look, Showing};
use crate::error::{Error, Exit};
use crate::model::{Container, Listed, ListedContainer};
use crate::render::list::{Block, Cells, Column};

const EXAMPLES: &str = "\
Examples:
  criscope ps                          running containers
  criscope ps -a                       all of them
  criscope ps --namespace kube-system  those of a namespace
  criscope ps -a -s exited -l          the container that ended last
  criscope ps --image nginx:1.25 -q    ids of the containers of an image";

/// Arguments of `ps`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Ps {
    /// Containers in every state
    #[arg(short, long)]
    all: bool,
    /// Only the container with this id, or the beginning of it
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Show the name of an image instead of its id
    #[arg(short, long)]
    resolve_image_path: bool,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    filter: ContainerFilter,
}

const ID: Column<ListedContainer> = Column {
    heading: "CONTAINER",
    cell: |c, cells| cells.id(c.id()),
};
const IMAGE: Column<ListedContainer> = Column {
    heading: "IMAGE",
    cell: |c, cells| image(c, cells),
};
const CREATED: Column<ListedContainer> = Column {
    heading: "CREATED",
    cell: |c, cells| cells.age(c.created_at()).into(),
};
const STATE: Column<ListedContainer> = Column {
    heading: "STATE",
    cell: |c, _| c.state().word().into(),
};
const NAME: Column<ListedContainer> = Column {
    heading: "NAME",
    cell: |c, _| c.name(),
};
const ATTEMPT: Column<ListedContainer> = Column {
    heading: "ATTEMPT",
    cell: |c, _| c.attempt().to_string().into(),
};
const POD_ID: Column<ListedContainer> = Column {
    heading: "POD ID",
    cell: |c, cells| cells.id(c.pod_sandbox_id()),
};
const POD: Column<ListedContainer> = Column {
    heading: "POD",
    cell: |c, _| known(c.pod_name()),
};
const NAMESPACE: Column<ListedContainer> = Column {
    heading: "NAMESPACE",
    cell: |c, _| known(c.pod_namespace()),
};
const IMAGE_ID: Column<ListedContainer> = Column {
    heading: "IMAGE ID",
    cell: |c, cells| match c.image_id() {
        id if id.is_empty() => cells.id(c.image_ref()),
        id => cells.id(id),
    },
};
const POD_UID: Column<ListedContainer> = Column {
    heading: "POD UID",
    cell: |c, _| c.pod_uid(),
};

const COLUMNS: &[&Column<ListedContainer>] = &[
    &ID, &IMAGE, &CREATED, &STATE, &NAME, &ATTEMPT, &POD_ID, &POD, &NAMESPACE,
];
const WIDE: &[&Column<ListedContainer>] = &[
    &ID, &IMAGE, &CREATED, &STATE, &NAME, &ATTEMPT, &POD_ID, &POD, &NAMESPACE, &IMAGE_ID, &POD_UID,
];

/// Runs `criscope ps`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Ps, session: &Session) -> Result<Exit, Error> {
    session
        .show_as_it_comes(&args.watch, async |out| {
            let client = session.client().await?;
            let images = match args.resolve_image_path {
                true => Images::ask(client).await?,
                false => Images::default(),
            };
            let look = Look {
                columns: args.output.columns(COLUMNS, WIDE),
                rows: |container, row| row(container),
                key: |container: &ListedContainer| Reverse(container.created_at()),
                block,
                keep: args.filter.newest.keep(),
            };
            let asked = Asked {
                all: args.all,
                id: args.id.as_deref(),
                pods: !args.output.quiet && args.output.output.structured().is_none(),
            };
            let mut showing = Showing::new(&args.output, look, session.now(), out)?;
            args.filter
                .each(client, &asked, |mut container| {
                    if let Some(container) = &mut container
                        && let Some(tag) = images.of(container).and_then(|it| it.repo_tags.first())
                    {
                        container.made_from(tag);
                    }
                    showing.add(container)
                })
                .await?;
            showing.finish(session)
        })
        .await
}

fn known(name: Option<Cow<'_, str>>) -> Cow<'_, str> {
    name.unwrap_or(Cow::Borrowed("unknown"))
}

/// The image of a container as the table shows it: cut only where it is an id.
fn image<'c>(container: &'c ListedContainer, cells: &Cells) -> Cow<'c, str> {
    let image = container.image();
    if image.starts_with("sha256:") {
        cells.id(image)
    } else {
        image
    }
}

fn block(container: &Container, cells: &Cells) -> String {
    let mut block = Block::default();
    block.line("ID", &container.id);
    block.line("PodID", &container.pod_sandbox_id);
    block.line("Namespace", container.pod_namespace().unwrap_or("unknown"));
    block.line("Name", &container.name);
    block.line("Attempt", &container.attempt.to_string());
    block.line("State", &container.state.word());
    block.line("Image", &container.image);
    block.line("Created", &cells.age(container.created_at));
    block.map("Labels", &container.labels);
    block.map("Annotations", &container.annotations);
    block.finish()
}
