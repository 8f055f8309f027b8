//! `criscope images`: the images in the runtime's store, one row a tag.
//!
//! One ListImages. A positional name is sent as filter and applied again here, because containerd ignores it.

use clap::Args;

use super::args::{ListOutput, Watch};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::image::split_tag;
use crate::model::{Image, Item, Listing};
use crate::render::human;
use crate::render::list::{self, Block, Cells, Column};

pub mod filter;

const EXAMPLES: &str = "\
Examples:
  criscope images                               every image
  criscope images nginx                         tags of docker.io/library/nginx
  criscope images --filter dangling=true -q     ids of images without a tag
  criscope images --filter reference=pause      repositories that match";

/// Arguments of `images`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Images {
    /// Only images of this repository, with this tag if one is given
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Keep images by `dangling=BOOL`, `reference=REGEX`, `before=IMAGE` or `since=IMAGE`; repeatable
    #[arg(short, long = "filter", value_name = "CONDITION", value_parser = filter::parse, value_delimiter = ',')]
    filters: Vec<filter::Filter>,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Show whether the runtime keeps the image from being collected
    #[arg(long)]
    pinned: bool,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    watch: Watch,
}

/// One row of the table: an image under one of its names.
struct Named {
    id: String,
    size: u64,
    pinned: bool,
    repository: String,
    tag: String,
    digest: String,
}

const IMAGE: Column<Named> = Column {
    heading: "IMAGE",
    cell: |row, _| row.repository.clone(),
};
const TAG: Column<Named> = Column {
    heading: "TAG",
    cell: |row, _| row.tag.clone(),
};
const DIGEST: Column<Named> = Column {
    heading: "DIGEST",
    cell: |row, cells| cells.id(&row.digest),
};
const ID: Column<Named> = Column {
    heading: "IMAGE ID",
    cell: |row, cells| cells.id(&row.id),
};
const SIZE: Column<Named> = Column {
    heading: "SIZE",
    cell: |row, _| human::size(row.size, 3),
};
const PINNED: Column<Named> = Column {
    heading: "PINNED",
    cell: |row, _| row.pinned.to_string(),
};

/// Runs `criscope images`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Images, session: &Session) -> Result<Exit, Error> {
    session
        .show(&args.watch, async || {
            let client = session.client().await?;
            let reply = client.list_images(args.request()).await?;
            let mut listing = Listing::<Image>::read(reply.bytes());
            if let Some(name) = &args.name {
                let is_meant = |image: &Image| filter::is_named(image, name);
                // A runtime may know an image by a name that only it can tell: then its choice holds for crictl.
                if !session.dialect.is_crictl() || listing.rows().any(is_meant) {
                    listing.retain(is_meant);
                }
            }
            listing
                .items
                .sort_by(|a, b| order(&a.row).cmp(&order(&b.row)));
            for filter in &args.filters {
                filter.apply(&mut listing);
            }
            args.show(&listing, session)
        })
        .await
}

impl Images {
    fn request(&self) -> cri::ListImagesRequest {
        let image = self.name.clone().map(|image| cri::ImageSpec {
            image,
            ..Default::default()
        });
        cri::ListImagesRequest {
            filter: image.map(|image| cri::ImageFilter { image: Some(image) }),
        }
    }

    fn show(&self, listing: &Listing<Image>, session: &Session) -> Result<Vec<u8>, Error> {
        let how = &self.output;
        let is_template = how.output == super::args::ListFormat::GoTemplate;
        if how.quiet || how.verbose || is_template || how.output.structured().is_some() {
            return session.list(listing, how, &[], block);
        }
        let wide = how.output == super::args::ListFormat::Wide;
        let columns: Vec<&Column<Named>> = [
            Some(&IMAGE),
            Some(&TAG),
            (self.digests || wide).then_some(&DIGEST),
            Some(&ID),
            Some(&SIZE),
            (self.pinned || wide).then_some(&PINNED),
        ]
        .into_iter()
        .flatten()
        .collect();
        let rows: Vec<Named> = listing.items.iter().flat_map(names).collect();
        let cells = Cells {
            now: session.now(),
            full_ids: how.no_trunc,
        };
        Ok(list::table(&columns, &rows, &cells).into_bytes())
    }
}

/// Images are sorted by their first tag, else their first digest, else their id.
fn order(image: &Image) -> (&str, &str) {
    let name = image
        .repo_tags
        .first()
        .or(image.repo_digests.first())
        .unwrap_or(&image.id);
    (name, &image.id)
}

/// The rows of an image: one a tag; an image without tags has one row with the repository of its digest.
fn names(item: &Item<Image>) -> Vec<Named> {
    const NONE: &str = "<none>";
    let image = &item.row;
    let (repository, digest) = match image
        .repo_digests
        .first()
        .map(|digest| digest.split_once('@'))
    {
        Some(Some((repository, digest))) => (repository, digest),
        Some(None) => (image.repo_digests[0].as_str(), NONE),
        None => (NONE, NONE),
    };
    let row = |repository: &str, tag: &str| Named {
        id: image.id.clone(),
        size: image.size,
        pinned: image.pinned,
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest: digest.to_owned(),
    };
    if image.repo_tags.is_empty() {
        return vec![row(repository, NONE)];
    }
    image
        .repo_tags
        .iter()
        .map(|reference| {
            let (repository, tag) = split_tag(reference);
            row(repository, tag.unwrap_or(NONE))
        })
        .collect()
}

fn block(image: &Image, _: &Cells) -> String {
    let mut block = Block::default();
    block.line("ID", &image.id);
    for tag in &image.repo_tags {
        block.line("RepoTags", tag);
    }
    for digest in &image.repo_digests {
        block.line("RepoDigests", digest);
    }
    block.line("Size", &image.size.to_string());
    if let Some(uid) = image.uid {
        block.line("Uid", &uid.to_string());
    }
    if !image.username.is_empty() {
        block.line("Username", &image.username);
    }
    if image.pinned {
        block.line("Pinned", "true");
    }
    block.finish()
}
