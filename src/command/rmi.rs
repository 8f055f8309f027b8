//! `criscope rmi`: removes images.
//!
//! CRI's RemoveImage takes every name of an image, whichever was given, also with containers running on it. So images
//! that are pinned, that pods are made from or that a container uses stay unless `--force` is given, and `--untag` takes
//! one name only, through containerd's own service. Whether the image is really gone is asked afterwards.

mod guard;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use super::act::{Consent, Rehearsal, Subject, Verb};
use super::session::Session;
use crate::client::Client;
use crate::client::containerd::CRI_NAMESPACE;
use crate::cri;
use crate::dialect::Dialect;
use crate::error::{Error, Exit};
use crate::model::{Image, Listing};
use crate::registry::image_ref::ImageRef;
use crate::render::human;
use guard::{Guard, Guards};

const EXAMPLES: &str = "\
Examples:
  criscope rmi nginx:1.25                    the image, with all its names
  criscope rmi --untag nginx:1.25            this name only (containerd)
  criscope rmi --prune --dry-run             what no container uses
  criscope rmi --prune --yes                 the same for a script, and really";

const VERB: Verb = Verb {
    act: "remove",
    acting: "removing",
    object: "image",
};

/// Arguments of `rmi`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RemoveImage {
    /// Images: names, digests, ids, or the beginnings of ids
    #[arg(
        value_name = "IMAGE",
        required_unless_present_any = ["all", "prune"],
        conflicts_with = "all"
    )]
    images: Vec<String>,
    /// Every image that is not protected
    #[arg(short, long, conflicts_with = "prune")]
    all: bool,
    /// Every image that no container uses and that is not protected
    #[arg(short = 'q', long)]
    prune: bool,
    /// Also images that are pinned, that pods are made from, or that a container uses
    #[arg(short, long)]
    force: bool,
    /// Take off the given name only; the image goes with its last name, which a protected one keeps
    #[arg(long, requires = "images")]
    untag: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// An image and the name by which it is meant.
struct Doomed {
    image: Image,
    /// The name, where a name was typed.
    name: Option<String>,
}

impl Subject for Doomed {
    fn id(&self) -> &str {
        &self.image.id
    }

    fn name(&self) -> Option<String> {
        self.name.clone().or_else(|| Subject::name(&self.image))
    }
}

/// Runs `criscope rmi`.
///
/// # Errors
/// The runtime cannot be asked, nobody agreed, or stdout cannot be written.
pub async fn run(args: &RemoveImage, session: &Session) -> Result<Exit, Error> {
    let client = session.client_that_acts().await?;
    let reply = client
        .list_images(cri::ListImagesRequest::default())
        .await?;
    let images = Listing::<Image>::read(reply.bytes());
    // Only a prune is choosy in crictl's place.
    let force = args.force || (session.dialect.is_crictl() && !args.prune);
    let guards = if force {
        Guards::none()
    } else {
        Guards::of(client, &images, session.host_root.as_deref()).await?
    };
    if args.prune && !args.images.is_empty() && session.dialect == Dialect::Own {
        return Err(Error::usage("`--prune` chooses the images itself")
            .hint("name the images without it, in a command of its own"));
    }
    let sweeps = args.all || args.prune;
    let doomed: Vec<Result<Doomed, Error>> = if sweeps {
        let free = args.unprotected(session, &images, &guards);
        // In crictl's place also what is named.
        let named = args.named(client, &images, &free).await;
        if free.is_empty() && named.is_empty() {
            // crictl says nothing where there are some, and all are used.
            if !(session.dialect.is_crictl() && args.prune) || images.items.is_empty() {
                session.output.outcome("No images to remove");
            }
            return Ok(Exit::Success);
        }
        if !args.rehearsal.dry_run {
            let plan: Vec<String> = free
                .iter()
                .map(|doomed| {
                    format!(
                        "{}  {}",
                        doomed.description(),
                        human::size(doomed.image.size, 3)
                    )
                })
                .collect();
            session.consent(args.consent, &VERB, &plan).await?;
        }
        free.into_iter().map(Ok).chain(named).collect()
    } else {
        let mut seen = BTreeSet::new();
        let mut left: BTreeMap<String, usize> = BTreeMap::new();
        let mut found = Vec::new();
        for typed in &args.images {
            found.push(match session.dialect {
                Dialect::Own => find(&images, typed),
                Dialect::Crictl => find_or_ask(client, &images, typed).await,
            });
        }
        found
            .into_iter()
            .filter_map(|doomed| {
                let doomed = match doomed {
                    Ok(doomed) => doomed,
                    Err(error) => return Some(Err(error)),
                };
                let taken = match args.untag {
                    true => doomed.name.clone(),
                    false => Some(doomed.image.id.clone()),
                };
                if !seen.insert(taken) {
                    return None;
                }
                // Without a name of its own the image goes, whoever needs it.
                let left = left.entry(doomed.image.id.clone());
                let left = left.or_insert(doomed.image.repo_tags.len());
                *left = left.saturating_sub(1);
                match guards.of_image(&doomed.image) {
                    Some(guard) if !args.untag || *left == 0 => Some(Err(refusal(&doomed, guard))),
                    _ => Some(Ok(doomed)),
                }
            })
            .collect()
    };
    session
        .act(
            &VERB,
            args.rehearsal,
            doomed,
            |doomed| args.plan(doomed),
            async |doomed, lines| {
                if args.untag {
                    untag(client, doomed, lines).await
                } else {
                    remove(client, session, doomed, lines).await
                }
            },
        )
        .await
}

impl RemoveImage {
    /// What is named beside a prune and not taken by it.
    async fn named(
        &self,
        client: &Client,
        images: &Listing<Image>,
        free: &[Doomed],
    ) -> Vec<Result<Doomed, Error>> {
        let is_free = |id: &str| free.iter().any(|doomed| doomed.image.id == id);
        let mut named = Vec::new();
        for typed in &self.images {
            match find_or_ask(client, images, typed).await {
                Ok(doomed) if is_free(&doomed.image.id) => {}
                found => named.push(found),
            }
        }
        named
    }

    /// What a sweep takes; what it leaves is told, with the reason.
    fn unprotected(
        &self,
        session: &Session,
        images: &Listing<Image>,
        guards: &Guards,
    ) -> Vec<Doomed> {
        let mut free = Vec::new();
        for image in images.rows() {
            match guards.of_image(image) {
                Some(guard) => {
                    // In use is what a prune expects; the rest is worth a word.
                    if self.all || !matches!(guard, Guard::Used(_)) {
                        session
                            .output
                            .status(format!("left: {}, {guard}", image.description()));
                    }
                }
                None => free.push(Doomed {
                    image: image.clone(),
                    name: None,
                }),
            }
        }
        free
    }

    fn plan(&self, doomed: &Doomed) -> Vec<String> {
        match (&doomed.name, self.untag) {
            (Some(name), true) => vec![format!("would take the name {name} off")],
            _ => names(&doomed.image)
                .iter()
                .map(|name| format!("would delete {name}"))
                .collect(),
        }
    }
}

/// The image that is meant: by its id, one of its names, or a unique beginning of its id.
fn find(images: &Listing<Image>, typed: &str) -> Result<Doomed, Error> {
    if let Some(image) = images.rows().find(|image| image.is_called(typed)) {
        let name = image.id != typed && image.id.strip_prefix("sha256:") != Some(typed);
        return Ok(Doomed {
            image: image.clone(),
            name: name.then(|| typed.to_owned()),
        });
    }
    if let Ok(reference) = typed.parse::<ImageRef>() {
        let mut spellings = vec![reference.to_string()];
        if let Some(digest) = reference.digest() {
            spellings.push(format!("{}@{digest}", reference.name()));
        }
        for name in spellings {
            if let Some(image) = images.rows().find(|image| image.is_called(&name)) {
                return Ok(Doomed {
                    image: image.clone(),
                    name: Some(name),
                });
            }
        }
    }
    let bare = typed.strip_prefix("sha256:").unwrap_or(typed);
    let is_beginning = |image: &&Image| {
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        !bare.is_empty() && id.starts_with(bare)
    };
    let found: Vec<&Image> = images.rows().filter(is_beginning).collect();
    match found.as_slice() {
        [] => Err(Error::failure(format!("no such image \"{typed}\" present"))
            .hint("`criscope images` lists what the runtime has")),
        [image] => Ok(Doomed {
            image: (*image).clone(),
            name: None,
        }),
        several => Err(several.iter().fold(
            Error::failure(format!("`{typed}` can mean {} images", several.len())),
            |error, image| error.candidate(image.description()),
        )),
    }
}

/// A runtime knows more names than its list shows.
async fn find_or_ask(
    client: &Client,
    images: &Listing<Image>,
    typed: &str,
) -> Result<Doomed, Error> {
    match find(images, typed) {
        Ok(doomed) => Ok(doomed),
        Err(_) => ask(client, typed).await,
    }
}

/// The image that the runtime knows by a name that its list does not show.
async fn ask(client: &Client, typed: &str) -> Result<Doomed, Error> {
    let spec = cri::ImageSpec {
        image: typed.to_owned(),
        ..Default::default()
    };
    let request = cri::ImageStatusRequest {
        image: Some(spec),
        verbose: false,
    };
    let reply = client.image_status(request).await?;
    match client.decode("ImageStatus", &reply)?.image {
        Some(image) => Ok(Doomed {
            image: Image::from(image),
            name: Some(typed.to_owned()),
        }),
        None => Err(Error::failure(format!("no such image {typed}"))),
    }
}

fn refusal(doomed: &Doomed, guard: &Guard) -> Error {
    Error::failure(format!("image {} stays: {guard}", doomed.description()))
        .hint("`--force` removes it all the same")
}

async fn remove(
    client: &Client,
    session: &Session,
    doomed: &Doomed,
    lines: &mut Vec<String>,
) -> Result<(), Error> {
    let Doomed { image, name } = doomed;
    let others: Vec<&str> = image
        .repo_tags
        .iter()
        .filter(|tag| Some(*tag) != name.as_ref())
        .map(String::as_str)
        .collect();
    if name.is_some() && !others.is_empty() {
        match session.dialect {
            Dialect::Own => session.output.warning(format!(
                "this image is also called {}: CRI removes all its names; `--untag` takes off one",
                others.join(", ")
            )),
            Dialect::Crictl => {
                let name = name.as_deref().unwrap_or_default();
                session.output.warning(format!(
                    "Image {name:?} has multiple tags. Removing this image will delete all of the following tags:"
                ));
                for tag in &image.repo_tags {
                    session.output.warning(format!("  {tag}"));
                }
            }
        }
    }
    let by_name = match session.dialect {
        Dialect::Own => None,
        // CRI-O takes off one name where it is given a name.
        Dialect::Crictl => name.as_ref(),
    };
    let spec = cri::ImageSpec {
        image: by_name.unwrap_or(&image.id).clone(),
        ..Default::default()
    };
    let request = cri::RemoveImageRequest {
        image: Some(spec.clone()),
    };
    client
        .remove_image(request, Some(session.act_deadline()))
        .await?;
    let request = cri::ImageStatusRequest {
        image: Some(spec),
        verbose: false,
    };
    let reply = client.image_status(request).await?;
    if by_name.is_none() && client.decode("ImageStatus", &reply)?.image.is_some() {
        return Err(Error::failure(
            "the runtime reported success, but the image is still there",
        ));
    }
    lines.extend(names(image).iter().map(|name| format!("Deleted: {name}")));
    Ok(())
}

async fn untag(client: &Client, doomed: &Doomed, lines: &mut Vec<String>) -> Result<(), Error> {
    let Some(name) = &doomed.name else {
        return Err(Error::usage(
            "`--untag` takes a name of an image, not its id",
        ));
    };
    client
        .containerd()
        .delete_image(CRI_NAMESPACE, name)
        .await
        .map_err(|error| match error.kind() {
            Some(crate::client::Kind::UnknownService) => Error::failure(
                "this runtime cannot take one name off an image: that is containerd's own service",
            ),
            _ => error.into(),
        })?;
    lines.push(format!("Untagged: {name}"));
    Ok(())
}

/// What is told as deleted: the tags, without tags the digests, without either the id.
fn names(image: &Image) -> Vec<&str> {
    let names = if image.repo_tags.is_empty() {
        &image.repo_digests
    } else {
        &image.repo_tags
    };
    if names.is_empty() {
        vec![&image.id]
    } else {
        names.iter().map(String::as_str).collect()
    }
}
