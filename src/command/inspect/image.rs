//! `criscope inspecti`: ImageStatus, verbose unless `-q`.

use clap::Args;

use super::super::images::{filter, order_of};
use super::super::session::Session;
use super::{Inspected, Shown, add_info, nothing, show, status_of};
use crate::client::Client;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Image, Listing};
use crate::render::inspection::{self, Unset};
use crate::render::list::Block;
use crate::render::{human, structured};
use crate::wire::Typed;

const EXAMPLES: &str = "\
Examples:
  criscope inspecti nginx:1.25               an image by its name
  criscope inspecti d700bdca6969             an image by the beginning of its id
  criscope inspecti --name registry.k8s.io/pause   every tag of a repository";

/// Arguments of `inspecti`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectImage {
    /// Names, digests or ids of images
    #[arg(value_name = "IMAGE")]
    ids: Vec<String>,
    /// Without images: those of this repository, with this tag if one is given
    #[arg(long, value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Without images: those that meet the condition, as in `images`; repeatable
    #[arg(short, long = "filter", value_name = "CONDITION", value_parser = filter::parse, value_delimiter = ',')]
    filters: Vec<filter::Filter>,
    #[command(flatten)]
    shown: Shown,
}

/// Runs `criscope inspecti`.
///
/// # Errors
/// An image is not there, or the runtime cannot be asked.
pub async fn run(args: &InspectImage, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    // For crictl no name and no condition means every image.
    let chooses = args.name.is_some() || !args.filters.is_empty() || session.dialect.is_crictl();
    let ids = if args.ids.is_empty() && chooses {
        args.chosen(client).await?
    } else {
        args.ids.clone()
    };
    if ids.is_empty() {
        return nothing(session, "image", "inspecti");
    }
    let ids = ids.into_iter().map(Ok).collect();
    show(session, &args.shown, ids, async |id| {
        look(client, session, id, &args.shown).await
    })
    .await
}

impl InspectImage {
    async fn chosen(&self, client: &Client) -> Result<Vec<String>, Error> {
        let reply = client
            .list_images(cri::ListImagesRequest::default())
            .await?;
        let mut listing = Listing::<Image>::read(reply.bytes());
        if let Some(name) = &self.name {
            listing.retain(|image| filter::is_named(image, name));
        }
        // `before` and `since` go by the place in the list that `images` shows.
        listing.items.sort_by_cached_key(|item| order_of(&item.row));
        for filter in &self.filters {
            filter.apply(&mut listing);
        }
        Ok(listing.items.into_iter().map(|item| item.row.id).collect())
    }
}

async fn look(
    client: &Client,
    session: &Session,
    name: String,
    shown: &Shown,
) -> Result<Inspected, Error> {
    let image = cri::ImageSpec {
        image: name.clone(),
        ..Default::default()
    };
    let request = cri::ImageStatusRequest {
        image: Some(image),
        verbose: !shown.quiet,
    };
    let reply = client.image_status(request).await?;
    let response = client.decode("ImageStatus", &reply)?;
    // An image that is not there is an empty answer, not an error of the runtime.
    let Some(image) = response.image else {
        return Err(Error::failure(format!("no such image \"{name}\" present"))
            .hint("`criscope images` lists what the runtime has"));
    };
    let document = inspection::document(
        cri::Image::TYPE,
        status_of(&reply)?,
        &response.info,
        Unset::Omit,
    )
    .map_err(structured::Error::from)?;
    let mut block = block(&Image::from(image));
    if session.dialect.is_crictl() {
        add_info(&mut block, shown, &response.info);
    }
    Ok(Inspected { document, block })
}

fn block(image: &Image) -> Block {
    let mut block = Block::default();
    block.line("ID", &image.id);
    for tag in &image.repo_tags {
        block.line("Tag", tag);
    }
    for digest in &image.repo_digests {
        block.line("Digest", digest);
    }
    block.line("Size", &human::size(image.size, 3));
    if image.pinned {
        block.line("Pinned", "true");
    }
    block
}
