//! The store before and after a test pull, and the way back.
//!
//! Only names that the pull created are removed, one at a time through containerd's image service: CRI's RemoveImage
//! takes every name of the image, also while containers run on it. An image that was there before, or that a container
//! uses meanwhile, is left and reported.

use std::collections::{BTreeMap, BTreeSet};

use super::Left;
use crate::client::containerd::CRI_NAMESPACE;
use crate::client::{self, Client, Kind};
use crate::cri;
use crate::model::{Container, Image, Listing};
use crate::registry::image_ref::ImageRef;

/// The names in the runtime's image store, and the containers on them.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Names and what they point to: a manifest digest in containerd, else the image id.
    names: BTreeMap<String, String>,
    /// Ids of images.
    ids: BTreeSet<String>,
    /// Ids of containers.
    containers: BTreeSet<String>,
    /// Whether names can be removed one at a time.
    native: bool,
}

impl Store {
    /// Looks at the store.
    ///
    /// # Errors
    /// The runtime cannot be asked.
    pub async fn look(client: &Client) -> Result<Self, client::Error> {
        let images = client
            .list_images(cri::ListImagesRequest::default())
            .await?;
        let images = Listing::<Image>::read(images.bytes());
        let containers = client
            .list_containers(cri::ListContainersRequest::default())
            .await?;
        let mut store = Self {
            ids: images.rows().map(|image| image.id.clone()).collect(),
            containers: Listing::<Container>::read(containers.bytes())
                .rows()
                .map(|c| c.id.clone())
                .collect(),
            ..Self::default()
        };
        match client.containerd().images(CRI_NAMESPACE).await {
            Ok(images) => {
                store.native = true;
                store.names.extend(images.into_iter().map(|image| {
                    let target = image.target.unwrap_or_default().digest;
                    (image.name, target)
                }));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    Some(Kind::UnknownService | Kind::UnknownMethod)
                ) =>
            {
                for image in images.rows() {
                    let names = image.repo_tags.iter().chain(&image.repo_digests);
                    store
                        .names
                        .extend(names.map(|name| (name.clone(), image.id.clone())));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(store)
    }

    /// Whether a name is in the store.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }
}

/// The way back: what was removed, and what was left and why.
#[derive(Debug, Default)]
pub struct Cleanup {
    /// Names that were removed.
    pub cleaned_up: Vec<String>,
    /// What was left.
    pub left: Vec<Left>,
}

/// Removes the names that the pull of `reference` has created since `before`.
///
/// # Errors
/// The store cannot be looked at; then nothing is removed.
pub async fn clean_up(
    client: &Client,
    before: &Store,
    reference: &ImageRef,
    image: Option<&Image>,
) -> Result<Cleanup, client::Error> {
    let after = Store::look(client).await?;
    let mut cleanup = Cleanup::default();
    let created = created(before, &after, reference, image);
    if created.is_empty() {
        return Ok(cleanup);
    }
    if let Some(image) = image
        && let Some(user) = new_user(client, before, image).await?
    {
        let why = format!("container {user} was created from it meanwhile");
        cleanup.left = created
            .into_iter()
            .map(|what| Left {
                what,
                why: why.clone(),
            })
            .collect();
        return Ok(cleanup);
    }
    if after.native {
        remove_names(client, &after, &created, image, &mut cleanup).await;
    } else {
        remove_image(client, before, &created, image, &mut cleanup).await;
    }
    Ok(cleanup)
}

/// The names that were not there before and that a pull of this reference makes: the name, the name with the digest,
/// and containerd's name for the id, last.
fn created(
    before: &Store,
    after: &Store,
    reference: &ImageRef,
    image: Option<&Image>,
) -> Vec<String> {
    let mut ours = vec![reference.to_string()];
    if let Some(image) = image {
        let name = reference.name();
        ours.extend(
            image
                .repo_digests
                .iter()
                .filter(|d| d.split_once('@').is_some_and(|(r, _)| r == name))
                .cloned(),
        );
        ours.push(image.id.clone());
    }
    let mut seen = BTreeSet::new();
    ours.retain(|name| after.has(name) && !before.has(name) && seen.insert(name.clone()));
    ours
}

/// A container that did not exist before and was made from the image.
async fn new_user(
    client: &Client,
    before: &Store,
    image: &Image,
) -> Result<Option<String>, client::Error> {
    let containers = client
        .list_containers(cri::ListContainersRequest::default())
        .await?;
    let containers = Listing::<Container>::read(containers.bytes());
    let uses = |container: &&Container| {
        [&container.image_id, &container.image_ref, &container.image]
            .into_iter()
            .any(|name| image.is_called(name))
    };
    Ok(containers
        .rows()
        .filter(|c| !before.containers.contains(&c.id))
        .find(uses)
        .map(|c| c.id.clone()))
}

async fn remove_names(
    client: &Client,
    after: &Store,
    created: &[String],
    image: Option<&Image>,
    cleanup: &mut Cleanup,
) {
    let containerd = client.containerd();
    for name in created {
        let is_id = image.is_some_and(|image| image.id == *name);
        if is_id && let Some(other) = other_name(after, name, created) {
            let why = format!("`{other}` names the same image");
            cleanup.left.push(Left {
                what: name.clone(),
                why,
            });
            continue;
        }
        match containerd.delete_image(CRI_NAMESPACE, name).await {
            Ok(()) => cleanup.cleaned_up.push(name.clone()),
            Err(error) if error.kind() == Some(Kind::NotFound) => {}
            Err(error) => cleanup.left.push(Left {
                what: name.clone(),
                why: format!("it cannot be removed: {error}"),
            }),
        }
    }
}

/// Another name of what `name` points to, that the pull did not make.
fn other_name<'s>(store: &'s Store, name: &str, created: &[String]) -> Option<&'s str> {
    let target = store.names.get(name)?;
    let same = store
        .names
        .iter()
        .filter(|(other, to)| *to == target && !created.contains(other));
    same.map(|(other, _)| other.as_str()).next()
}

/// Without containerd's image service the whole image goes, or nothing.
async fn remove_image(
    client: &Client,
    before: &Store,
    created: &[String],
    image: Option<&Image>,
    cleanup: &mut Cleanup,
) {
    let left = |why: &str| {
        created
            .iter()
            .map(|what| Left {
                what: what.clone(),
                why: why.to_owned(),
            })
            .collect()
    };
    match image {
        None => cleanup.left = left("its image is not known"),
        Some(image) if before.ids.contains(&image.id) => {
            cleanup.left = left(
                "the image was there before, and this runtime removes all names of an image at once",
            );
        }
        Some(image) => {
            let spec = cri::ImageSpec {
                image: image.id.clone(),
                ..Default::default()
            };
            match client
                .remove_image(
                    cri::RemoveImageRequest { image: Some(spec) },
                    Some(client.options().deadline),
                )
                .await
            {
                Ok(_) => cleanup.cleaned_up = created.to_vec(),
                Err(error) => cleanup.left = left(&format!("it cannot be removed: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(names: &[(&str, &str)]) -> Store {
        Store {
            names: names
                .iter()
                .map(|(name, target)| ((*name).to_owned(), (*target).to_owned()))
                .collect(),
            native: true,
            ..Store::default()
        }
    }

    fn image() -> Image {
        Image {
            id: "sha256:id".into(),
            repo_tags: vec!["reg.test/a:1".into(), "alias:1".into()],
            repo_digests: vec!["reg.test/a@sha256:m".into(), "alias@sha256:m".into()],
            size: 1,
            uid: None,
            username: String::new(),
            pinned: false,
        }
    }

    #[test]
    fn only_names_of_this_pull_are_created_by_it() {
        let reference: ImageRef = "reg.test/a:1".parse().unwrap();
        let before = store(&[
            ("alias:1", "sha256:m"),
            ("alias@sha256:m", "sha256:m"),
            ("sha256:id", "sha256:m"),
        ]);
        let mut after = before.clone();
        for name in [
            "reg.test/a:1",
            "reg.test/a@sha256:m",
            "kubelet/pulled:meanwhile",
        ] {
            after.names.insert(name.to_owned(), "sha256:m".to_owned());
        }
        let names = created(&before, &after, &reference, Some(&image()));
        assert_eq!(names, ["reg.test/a:1", "reg.test/a@sha256:m"]);
        let names = created(&store(&[]), &after, &reference, Some(&image()));
        assert_eq!(names, ["reg.test/a:1", "reg.test/a@sha256:m", "sha256:id"]);
        assert_eq!(created(&after, &after, &reference, Some(&image())), [""; 0]);
    }

    #[test]
    fn an_alias_keeps_the_id() {
        let created = ["reg.test/a:1".to_owned(), "sha256:id".to_owned()];
        let alone = store(&[("reg.test/a:1", "sha256:m"), ("sha256:id", "sha256:m")]);
        assert_eq!(other_name(&alone, "sha256:id", &created), None);
        let aliased = store(&[
            ("sha256:id", "sha256:m"),
            ("alias:1", "sha256:m"),
            ("other:1", "sha256:x"),
        ]);
        assert_eq!(other_name(&aliased, "sha256:id", &created), Some("alias:1"));
    }
}
