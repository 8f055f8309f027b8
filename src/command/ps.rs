//! `criscope ps`: the containers of the node, newest first; without `-a` the running ones.
//!
//! One ListContainers. ListImages is asked only for `--image` and `-r` (crictl asks ImageStatus once or twice per
//! container), ListPodSandbox only where a container lacks the kubelet's labels (crictl shows `unknown` there).

use clap::Args;

use super::args::{ListOutput, Watch};
use super::select::{self, ContainerFilter};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Container, Image, Listing, label};
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

const ID: Column<Container> = Column {
    heading: "CONTAINER",
    cell: |c, cells| cells.id(&c.id),
};
const IMAGE: Column<Container> = Column {
    heading: "IMAGE",
    cell: |c, cells| image(c, cells),
};
const CREATED: Column<Container> = Column {
    heading: "CREATED",
    cell: |c, cells| cells.age(c.created_at),
};
const STATE: Column<Container> = Column {
    heading: "STATE",
    cell: |c, _| c.state.word(),
};
const NAME: Column<Container> = Column {
    heading: "NAME",
    cell: |c, _| c.name.clone(),
};
const ATTEMPT: Column<Container> = Column {
    heading: "ATTEMPT",
    cell: |c, _| c.attempt.to_string(),
};
const POD_ID: Column<Container> = Column {
    heading: "POD ID",
    cell: |c, cells| cells.id(&c.pod_sandbox_id),
};
const POD: Column<Container> = Column {
    heading: "POD",
    cell: |c, _| c.pod_name().unwrap_or("unknown").to_owned(),
};
const NAMESPACE: Column<Container> = Column {
    heading: "NAMESPACE",
    cell: |c, _| c.pod_namespace().unwrap_or("unknown").to_owned(),
};
const IMAGE_ID: Column<Container> = Column {
    heading: "IMAGE ID",
    cell: |c, cells| {
        cells.id(if c.image_id.is_empty() {
            &c.image_ref
        } else {
            &c.image_id
        })
    },
};
const POD_UID: Column<Container> = Column {
    heading: "POD UID",
    cell: |c, _| c.labels.get(label::POD_UID).cloned().unwrap_or_default(),
};

const COLUMNS: &[&Column<Container>] = &[
    &ID, &IMAGE, &CREATED, &STATE, &NAME, &ATTEMPT, &POD_ID, &POD, &NAMESPACE,
];
const WIDE: &[&Column<Container>] = &[
    &ID, &IMAGE, &CREATED, &STATE, &NAME, &ATTEMPT, &POD_ID, &POD, &NAMESPACE, &IMAGE_ID, &POD_UID,
];

/// Runs `criscope ps`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Ps, session: &Session) -> Result<Exit, Error> {
    session
        .show(&args.watch, async || {
            let client = session.client().await?;
            let mut listing = args
                .filter
                .containers(client, args.all, args.id.as_deref())
                .await?;
            if !args.output.quiet && args.output.output.structured().is_none() {
                select::name_pods(client, &mut listing).await?;
            }
            if args.resolve_image_path {
                let images = client
                    .list_images(cri::ListImagesRequest::default())
                    .await?;
                resolve_images(&mut listing, &Listing::read(images.bytes()));
            }
            session.list(
                &listing,
                &args.output,
                args.output.columns(COLUMNS, WIDE),
                block,
            )
        })
        .await
}

/// Replaces the image of every container by the first name of the image.
fn resolve_images(listing: &mut Listing<Container>, images: &Listing<Image>) {
    for item in &mut listing.items {
        if let Some(tag) =
            select::image_of(&item.row, images).and_then(|image| image.repo_tags.first())
        {
            item.row.image.clone_from(tag);
        }
    }
}

/// The image of a container as the table shows it: cut only where it is an id.
fn image(container: &Container, cells: &Cells) -> String {
    if container.image.starts_with("sha256:") {
        cells.id(&container.image)
    } else {
        container.image.clone()
    }
}

fn block(container: &Container, cells: &Cells) -> String {
    let mut block = Block::default();
    block.line("ID", &container.id);
    block.line("PodID", &container.pod_sandbox_id);
    block.line("Namespace", container.pod_namespace().unwrap_or("unknown"));
    block.line("Pod", container.pod_name().unwrap_or("unknown"));
    block.line("Name", &container.name);
    block.line("Attempt", &container.attempt.to_string());
    block.line("State", &container.state.word());
    block.line("Image", &container.image);
    block.line("Created", &cells.age(container.created_at));
    block.map("Labels", &container.labels);
    block.map("Annotations", &container.annotations);
    block.finish()
}
