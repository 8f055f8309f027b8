//! Why an image must stay.
//!
//! crictl protects what the runtime pins; containerd before 1.7 pins nothing, and a node without its pause image starts
//! no pod until the registry answers. So the sandbox image is looked for in the runtime's status, in containerd's
//! configuration (2.x does not tell it any more), and in the records of the sandboxes that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::client::containerd::CRI_NAMESPACE;
use crate::command::act::Subject;
use crate::command::select::{image_of, name_pods};
use crate::cri;
use crate::error::Error;
use crate::model::{Container, Image, Listing};
use crate::probe::host_files;
use crate::registry::containerd;
use crate::registry::declared::Declared;
use crate::registry::image_ref::ImageRef;
use crate::registry::version::{RuntimeId, RuntimeName};

/// Reading the runtime's configuration must not hold up the rest.
const DEADLINE: Duration = Duration::from_secs(2);

/// Containers that a reason names.
const MOST_NAMES: usize = 3;

/// Why an image stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The runtime keeps it.
    Pinned,
    /// Pods are made from it; by whose word.
    Sandbox(&'static str),
    /// Containers were made from it.
    Used(Vec<String>),
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Guard::Pinned => f.write_str("the runtime has pinned it"),
            Guard::Sandbox(source) => write!(f, "pods are made from it ({source})"),
            Guard::Used(names) => {
                write!(
                    f,
                    "used by {}",
                    names[..names.len().min(MOST_NAMES)].join(", ")
                )?;
                match names.len().checked_sub(MOST_NAMES) {
                    Some(more @ 1..) => write!(f, " and {more} more"),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// The guards of all images, by image id.
#[derive(Debug, Default)]
pub struct Guards(BTreeMap<String, Guard>);

impl Guards {
    /// Nothing is protected.
    pub fn none() -> Self {
        Self::default()
    }

    /// Asks who uses what.
    ///
    /// # Errors
    /// The containers cannot be listed. Where a sandbox image cannot be found out the next source is asked.
    pub async fn of(
        client: &Client,
        images: &Listing<Image>,
        host_root: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut guards = BTreeMap::new();
        // The first reason stays, so the strongest come first.
        for image in images.rows().filter(|image| image.pinned) {
            guards.insert(image.id.clone(), Guard::Pinned);
        }
        for (name, source) in sandbox_images(client, host_root).await {
            for image in images.rows().filter(|image| is_called(image, &name)) {
                guards
                    .entry(image.id.clone())
                    .or_insert(Guard::Sandbox(source));
            }
        }
        let reply = client
            .list_containers(cri::ListContainersRequest::default())
            .await?;
        let mut containers = Listing::<Container>::read(reply.bytes());
        name_pods(client, &mut containers).await?;
        for container in containers.rows() {
            let Some(image) = image_of(container, images) else {
                continue;
            };
            match guards
                .entry(image.id.clone())
                .or_insert_with(|| Guard::Used(Vec::new()))
            {
                Guard::Used(names) => names.push(container.description()),
                Guard::Pinned | Guard::Sandbox(_) => {}
            }
        }
        // Last: what looks like a pause image, where nobody could tell which one it is.
        for image in images.rows().filter(|image| looks_like_pause(image)) {
            guards
                .entry(image.id.clone())
                .or_insert(Guard::Sandbox("by its name"));
        }
        Ok(Self(guards))
    }

    /// Why this image stays, if it does.
    pub fn of_image(&self, image: &Image) -> Option<&Guard> {
        self.0.get(&image.id)
    }
}

/// Whether a configured or recorded name means this image.
fn is_called(image: &Image, name: &str) -> bool {
    image.is_called(name)
        || name
            .parse::<ImageRef>()
            .is_ok_and(|reference| image.is_called(&reference.to_string()))
}

/// The names of images that pods are made from, with who says so.
async fn sandbox_images(
    client: &Client,
    host_root: Option<&Path>,
) -> BTreeSet<(String, &'static str)> {
    let mut names = BTreeSet::new();
    if let Ok(reply) = client.status(cri::StatusRequest { verbose: true }).await
        && let Ok(status) = client.decode("Status", &reply)
    {
        for text in status.info.values() {
            let value: Value = serde_json::from_str(text).unwrap_or_default();
            collect(&value, &mut |name| {
                names.insert((name.to_owned(), "by the runtime's status"));
            });
        }
    }
    if let Some(name) = configured(client, host_root).await {
        names.insert((name, "by containerd's configuration"));
    }
    // Answers on containerd alone; the others tell it in their status.
    if let Ok(records) = client.containerd().containers(CRI_NAMESPACE).await {
        for record in records {
            let kind = record.labels.get("io.cri-containerd.kind");
            if kind.is_some_and(|kind| kind == "sandbox") && !record.image.is_empty() {
                names.insert((record.image, "by the pods that exist"));
            }
        }
    }
    names
}

/// The values of `sandboxImage` (containerd 1.x, CRI-O, cri-dockerd) and `PauseImage` (CRI-O), wherever they stand.
fn collect(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(name) if key == "sandboxImage" || key == "PauseImage" => {
                        if !name.is_empty() {
                            found(name);
                        }
                    }
                    _ => collect(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// The sandbox image that containerd's files name, its default included.
async fn configured(client: &Client, host_root: Option<&Path>) -> Option<String> {
    let reply = client.version(cri::VersionRequest::default()).await.ok()?;
    let version = client.decode("Version", &reply).ok()?;
    let name: RuntimeName = version.runtime_name.parse().ok()?;
    if name != RuntimeName::Containerd {
        return None;
    }
    let runtime = RuntimeId::new(name, version.runtime_version.parse().ok()?);
    let host_root = host_root.unwrap_or(Path::new("/")).to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut declared = Declared::default();
        host_files::read(&mut declared, &host_root, None);
        containerd::load(&declared, &runtime)
            .sandbox_image
            .value()
            .to_owned()
    });
    let name = tokio::time::timeout(DEADLINE, read).await.ok()?.ok()?;
    (!name.is_empty()).then_some(name)
}

/// `registry.k8s.io/pause`, `rancher/mirrored-pause`, `pause-amd64` and their likes.
fn looks_like_pause(image: &Image) -> bool {
    let repositories = image
        .repo_tags
        .iter()
        .map(|tag| crate::model::image::split_tag(tag).0)
        .chain(
            image
                .repo_digests
                .iter()
                .filter_map(|digest| digest.split_once('@').map(|(name, _)| name)),
        );
    repositories
        .filter_map(|repository| repository.rsplit('/').next())
        .any(|last| last == "pause" || last.starts_with("pause-") || last.ends_with("-pause"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_some_containers() {
        let used = |count: usize| Guard::Used((0..count).map(|n| format!("c{n}")).collect());
        assert_eq!(used(1).to_string(), "used by c0");
        assert_eq!(used(3).to_string(), "used by c0, c1, c2");
        assert_eq!(used(5).to_string(), "used by c0, c1, c2 and 2 more");
    }

    #[test]
    fn sandbox_images_are_found_wherever_they_stand() {
        let info = serde_json::json!({
            "sandboxImage": "a", "crio": {"PauseImage": "b", "other": [{"sandboxImage": "c"}]}, "PauseImage": "",
        });
        let mut found = Vec::new();
        collect(&info, &mut |name| found.push(name.to_owned()));
        found.sort();
        assert_eq!(found, ["a", "b", "c"]);
    }

    #[test]
    fn pause_images_are_known_by_their_last_step() {
        let image = |tag: &str| Image {
            id: "x".into(),
            repo_tags: vec![tag.to_owned()],
            repo_digests: vec![],
            size: 0,
            uid: None,
            username: String::new(),
            pinned: false,
        };
        for tag in [
            "registry.k8s.io/pause:3.9",
            "docker.io/rancher/mirrored-pause:3.6",
            "k8s.gcr.io/pause-amd64:3.1",
        ] {
            assert!(looks_like_pause(&image(tag)), "{tag}");
        }
        for tag in ["docker.io/library/paused:1", "reg:5000/pause/web:1"] {
            assert!(!looks_like_pause(&image(tag)), "{tag}");
        }
    }
}
