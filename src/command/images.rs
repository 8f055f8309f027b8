//! `criscope images`: the images in the runtime's store, one row a tag.
//!
//! One ListImages. A positional name is sent as filter and applied again here, because containerd ignores it.

use clap::Args;

use super::args::{ListFormat, ListOutput, Watch};
use super::session::Session;
use super::showing::{Look, Showing};
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::image::split_tag;
use crate::model::{Image, Listed, ListedImage, Listing};
use crate::render::human;
use crate::render::list::{Block, Cells, Column};

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
    cell: |row, _| (&row.repository).into(),
};
const TAG: Column<Named> = Column {
    heading: "TAG",
    cell: |row, _| (&row.tag).into(),
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
    cell: |row, _| human::size(row.size, 3).into(),
};
const PINNED: Column<Named> = Column {
    heading: "PINNED",
    cell: |row, _| row.pinned.to_string().into(),
};

/// Runs `criscope images`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Images, session: &Session) -> Result<Exit, Error> {
    session
        .show_as_it_comes(&args.watch, async |out| {
            let columns = args.columns();
            let look = Look {
                columns: &columns,
                rows: names,
                key: order,
                block,
                keep: None,
            };
            let mut showing = Showing::new(&args.output, look, session.now(), out)?;
            if args.filters.is_empty() {
                args.each(session, |image| showing.add(image)).await?;
            } else {
                for image in args.filtered(session).await? {
                    showing.add(image)?;
                }
            }
            showing.finish(session)
        })
        .await
}

impl Images {
    /// Hands over every image of the wanted name, as it arrives; `None` for one that cannot be read.
    async fn each(
        &self,
        session: &Session,
        mut take: impl FnMut(Option<ListedImage>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let is_named = |image: &ListedImage, name: &str| {
            image
                .whole()
                .is_none_or(|image| filter::is_named(&image, name))
        };
        let (mut any, mut others) = (false, Vec::new());
        let mut elements = session.client().await?.images(self.request()).await?;
        while let Some(element) = elements.next().await? {
            let image = ListedImage::look(element).ok();
            match (image, &self.name) {
                (Some(image), Some(name)) if !is_named(&image, name) => {
                    if session.dialect.is_crictl() && !any {
                        others.push(image);
                    }
                }
                (image, _) => {
                    any |= image.is_some();
                    take(image)?;
                }
            }
        }
        // A runtime may know an image by a name that only it can tell: then its choice holds for crictl.
        for image in others.into_iter().filter(|_| !any) {
            take(Some(image))?;
        }
        Ok(())
    }

    /// The images that pass the filters, some of which go by the place in the list and need all of it.
    async fn filtered(&self, session: &Session) -> Result<Vec<Option<ListedImage>>, Error> {
        let mut listing = Listing::<Image>::default();
        let mut listed = Vec::new();
        self.each(session, |image| {
            listed.push(image);
            Ok(())
        })
        .await?;
        listed.sort_by_key(|image| image.as_ref().map(order));
        for image in &listed {
            listing.add(image.as_ref());
        }
        for filter in &self.filters {
            filter.apply(&mut listing);
        }
        let unreadable = std::iter::repeat_n(None, listing.unreadable);
        let passed = listing.items.into_iter();
        let passed = passed.map(|item| ListedImage::look(item.bytes).ok());
        Ok(unreadable.chain(passed).collect())
    }

    fn request(&self) -> cri::ListImagesRequest {
        let image = self.name.clone().map(|image| cri::ImageSpec {
            image,
            ..Default::default()
        });
        cri::ListImagesRequest {
            filter: image.map(|image| cri::ImageFilter { image: Some(image) }),
        }
    }

    fn columns(&self) -> Vec<&'static Column<Named>> {
        let wide = self.output.output == ListFormat::Wide;
        [
            Some(&IMAGE),
            Some(&TAG),
            (self.digests || wide).then_some(&DIGEST),
            Some(&ID),
            Some(&SIZE),
            (self.pinned || wide).then_some(&PINNED),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Images are sorted by their first tag, else their first digest, else their id.
fn order(image: &ListedImage) -> (String, String) {
    let id = image.id();
    let mut names = image.repo_tags().chain(image.repo_digests());
    let name = names.next().unwrap_or_else(|| id.clone());
    (name.into_owned(), id.into_owned())
}

/// The same of an image that was read whole.
pub fn order_of(image: &Image) -> (String, String) {
    let mut names = image.repo_tags.iter().chain(&image.repo_digests);
    let name = names.next().unwrap_or(&image.id);
    (name.clone(), image.id.clone())
}

/// The rows of an image: one a tag; an image without tags has one row with the repository of its digest.
fn names(image: &ListedImage, show: &mut dyn FnMut(&Named)) {
    const NONE: &str = "<none>";
    let digest = image.repo_digests().next();
    let (repository, digest) = match digest.as_deref().map(|name| (name, name.split_once('@'))) {
        Some((_, Some((repository, digest)))) => (repository, digest),
        Some((name, None)) => (name, NONE),
        None => (NONE, NONE),
    };
    let mut row = Named {
        id: image.id().into_owned(),
        size: image.size(),
        pinned: image.pinned(),
        repository: repository.to_owned(),
        tag: NONE.to_owned(),
        digest: digest.to_owned(),
    };
    let mut tags = image.repo_tags().peekable();
    if tags.peek().is_none() {
        return show(&row);
    }
    for reference in tags {
        let (repository, tag) = split_tag(&reference);
        row.repository = repository.to_owned();
        row.tag = tag.unwrap_or(NONE).to_owned();
        show(&row);
    }
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
