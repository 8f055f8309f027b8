//! In which stores of a node an image is: CRI's, which the kubelet looks into, each of containerd's namespaces, and
//! docker's on disk. Answers "nerdctl shows it, Kubernetes does not".
//!
//! Read-only. What an image is made of is read from the content store itself: the index, the manifest for this node's
//! platform, and whether its configuration and layers are there. Not judged here: which of them is right.

mod docker;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::registry::Platform;
use crate::client::containerd::{CRI_NAMESPACE, Containerd};
use crate::client::{self, Client, Kind};
use crate::cri;
use crate::model::Image;
use crate::registry::image_ref::ImageRef;

/// Indexes, manifests and configurations are not read beyond this, in bytes.
const MAX_DOCUMENT: usize = 8 << 20;
/// Layers that are looked for; no image has more.
const MAX_LAYERS: usize = 256;
/// The label that containerd puts on a configuration whose layers it has unpacked; a snapshotter's name follows.
const UNPACKED: &str = "containerd.io/gc.ref.snapshot.";

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Whereabouts {
    /// The image as it was typed.
    pub image: String,
    /// The same, normalised.
    pub reference: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// The stores that have it.
    pub copies: Vec<Copy>,
    /// Stores that could not be looked into, with the reason.
    pub unknown: Vec<Unknown>,
    /// What brings it where the kubelet looks; empty if it is there.
    pub commands: Vec<String>,
}

/// What a search comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The kubelet finds it, whole.
    Ready,
    /// The kubelet finds it, but a part of it is missing.
    Incomplete,
    /// It is in another store only.
    Elsewhere,
    /// It is in no store that could be looked into.
    Absent,
    /// The store of the kubelet could not be looked into.
    Unknown,
}

/// A store that holds images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Store {
    /// What CRI shows, and the kubelet finds.
    Cri,
    /// One of containerd's namespaces.
    Containerd {
        /// Its name: `k8s.io` is CRI's, `default` that of `ctr` and `nerdctl`, `moby` docker's.
        namespace: String,
    },
    /// dockerd's own store.
    Docker,
}

/// An image in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Copy {
    /// The store.
    pub store: Store,
    /// The name that it has there.
    pub name: String,
    /// The digest of the manifest or index, where the store knows it.
    pub digest: Option<String>,
    /// The image id, where the store has one.
    pub id: Option<String>,
    /// `os/architecture` of what is there, and fits this node if anything does.
    pub platform: Option<String>,
    /// Whether manifest, configuration and layers for this node are all there; nothing where that cannot be told.
    pub complete: Option<bool>,
    /// What is missing: digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Whether its layers are unpacked, so that a container can start from it at once.
    pub unpacked: Option<bool>,
    /// Whether it is kept from being collected.
    pub pinned: bool,
}

/// A store that could not be looked into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The store.
    pub store: Store,
    /// Why.
    pub why: String,
}

/// Names in one of containerd's namespaces, with the digest of each.
type Names = BTreeMap<String, String>;

/// The stores of a node, opened once for many images.
#[derive(Debug)]
pub struct Stores<'c> {
    client: &'c Client,
    platform: Platform,
    namespaces: Vec<(String, Names)>,
    unknown: Vec<Unknown>,
    docker: Option<docker::Docker>,
    version: String,
}

impl<'c> Stores<'c> {
    /// Lists what is in them. `host_root` is where docker's files are looked for.
    ///
    /// # Errors
    /// The runtime does not answer at all.
    pub async fn open(client: &'c Client, host_root: &Path) -> Result<Self, client::Error> {
        let version = client
            .version(cri::VersionRequest::default())
            .await?
            .decode()
            .map(|version| version.runtime_version)
            .unwrap_or_default();
        let mut stores = Self {
            client,
            platform: Platform::default(),
            namespaces: Vec::new(),
            unknown: Vec::new(),
            docker: docker::Docker::open(host_root),
            version,
        };
        let containerd = client.containerd();
        match containerd.namespaces().await {
            Ok(mut namespaces) => {
                namespaces.sort_by_key(|name| (name != CRI_NAMESPACE, name.clone()));
                for namespace in namespaces {
                    stores.list(&containerd, namespace).await;
                }
            }
            // Not containerd: it has no namespaces.
            Err(error)
                if matches!(
                    error.kind(),
                    Some(Kind::UnknownService | Kind::UnknownMethod)
                ) => {}
            Err(error) => stores.unknown.push(Unknown {
                store: Store::Containerd {
                    namespace: "*".to_owned(),
                },
                why: error.to_string(),
            }),
        }
        Ok(stores)
    }

    async fn list(&mut self, containerd: &Containerd, namespace: String) {
        match containerd.images(&namespace).await {
            Ok(images) => {
                let names = images
                    .into_iter()
                    .map(|image| (image.name, image.target.unwrap_or_default().digest));
                self.namespaces.push((namespace, names.collect()));
            }
            Err(error) => self.unknown.push(Unknown {
                store: Store::Containerd { namespace },
                why: error.to_string(),
            }),
        }
    }

    /// Looks for an image in all of them.
    pub async fn find(&self, image: &ImageRef) -> Whereabouts {
        let mut found = Whereabouts {
            image: image.typed().to_owned(),
            reference: image.to_string(),
            verdict: Verdict::Absent,
            copies: Vec::new(),
            unknown: self.unknown.clone(),
            commands: Vec::new(),
        };
        let in_cri = match self.cri(image).await {
            Ok(copy) => copy,
            Err(error) => {
                found.unknown.push(Unknown {
                    store: Store::Cri,
                    why: error.to_string(),
                });
                None
            }
        };
        found.copies.extend(in_cri);
        for (namespace, names) in &self.namespaces {
            let Some((name, digest)) = named(names, image) else {
                continue;
            };
            match self.examine(namespace, name, digest).await {
                Ok(copy) => found.copies.push(copy),
                Err(error) => found.unknown.push(Unknown {
                    store: Store::Containerd {
                        namespace: namespace.clone(),
                    },
                    why: error.to_string(),
                }),
            }
        }
        found
            .copies
            .extend(self.docker.as_ref().and_then(|docker| docker.find(image)));
        found.verdict = found.judge();
        found.commands = self.commands(&found);
        found
    }

    async fn cri(&self, image: &ImageRef) -> Result<Option<Copy>, client::Error> {
        let spec = cri::ImageSpec {
            image: image.to_string(),
            ..Default::default()
        };
        let request = cri::ImageStatusRequest {
            image: Some(spec),
            verbose: false,
        };
        let reply = self.client.image_status(request).await?;
        let answer = self.client.decode("ImageStatus", &reply)?;
        Ok(answer.image.map(Image::from).map(|known| {
            let digests = known.repo_digests.iter();
            let digest = digests
                .filter_map(|digest| digest.split_once('@'))
                .find(|(name, _)| *name == image.name())
                .map(|(_, digest)| digest.to_owned());
            Copy {
                store: Store::Cri,
                name: image.to_string(),
                digest,
                id: Some(known.id),
                platform: None,
                complete: None,
                missing: Vec::new(),
                unpacked: None,
                pinned: known.pinned,
            }
        }))
    }

    /// What a name in a namespace is made of.
    async fn examine(
        &self,
        namespace: &str,
        name: &str,
        digest: &str,
    ) -> Result<Copy, client::Error> {
        let containerd = self.client.containerd();
        let mut copy = Copy {
            store: Store::Containerd {
                namespace: namespace.to_owned(),
            },
            name: name.to_owned(),
            digest: Some(digest.to_owned()),
            id: None,
            platform: None,
            complete: None,
            missing: Vec::new(),
            unpacked: None,
            pinned: false,
        };
        let missing = |mut copy: Copy, digest: String| {
            copy.complete = Some(false);
            copy.missing.push(digest);
            Ok(copy)
        };
        let Some(document) = self.document(namespace, digest).await? else {
            return missing(copy, digest.to_owned());
        };
        let manifest = if document.manifests.is_empty() {
            document
        } else {
            let Some(fitting) = document
                .manifests
                .into_iter()
                .find(|entry| entry.fits(&self.platform))
            else {
                // There is nothing for this node in it.
                copy.complete = Some(false);
                return Ok(copy);
            };
            let Some(manifest) = self.document(namespace, &fitting.digest).await? else {
                return missing(copy, fitting.digest);
            };
            manifest
        };
        let Some(config) = manifest.config else {
            return Ok(copy);
        };
        copy.id = Some(config.digest.clone());
        let Some(labels) = containerd.blob(namespace, &config.digest).await? else {
            return missing(copy, config.digest);
        };
        copy.unpacked = Some(labels.keys().any(|label| label.starts_with(UNPACKED)));
        if let Some(config) = self.document(namespace, &config.digest).await? {
            copy.platform = config
                .os
                .zip(config.architecture)
                .map(|(os, architecture)| format!("{os}/{architecture}"));
        }
        for layer in manifest.layers.into_iter().take(MAX_LAYERS) {
            if containerd.blob(namespace, &layer.digest).await?.is_none() {
                copy.missing.push(layer.digest);
            }
        }
        // A snapshotter may have discarded the layers that it has unpacked; a container starts all the same.
        copy.complete = Some(copy.missing.is_empty() || copy.unpacked == Some(true));
        Ok(copy)
    }

    async fn document(
        &self,
        namespace: &str,
        digest: &str,
    ) -> Result<Option<Document>, client::Error> {
        let containerd = self.client.containerd();
        let bytes = containerd
            .read_blob(namespace, digest, MAX_DOCUMENT)
            .await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// What brings an image where the kubelet looks.
    fn commands(&self, found: &Whereabouts) -> Vec<String> {
        if found.verdict == Verdict::Ready {
            return Vec::new();
        }
        let has_namespaces = !self.namespaces.is_empty();
        // Since 2.0 the transfer service does both, which takes no names from docker's archives and cuts off what it
        // writes into a pipe.
        let local = if self.version.trim_start_matches('v').starts_with("1.") {
            ""
        } else {
            "--local "
        };
        let import = if has_namespaces {
            format!("ctr -n {CRI_NAMESPACE} images import {local}-")
        } else {
            "podman load".to_owned()
        };
        let whole = |copy: &&Copy| copy.complete != Some(false);
        for copy in found.copies.iter().filter(whole) {
            let name = quoted(&copy.name);
            match &copy.store {
                Store::Containerd { namespace } if namespace != CRI_NAMESPACE => {
                    let platform = copy
                        .platform
                        .as_ref()
                        .map_or_else(String::new, |platform| format!("--platform {platform} "));
                    return vec![format!(
                        "ctr -n {} images export {local}{platform}- {name} | {import}",
                        quoted(namespace)
                    )];
                }
                Store::Docker => return vec![format!("docker save {name} | {import}")],
                // CRI does not know it, though it is in its namespace: it is told by the label.
                Store::Containerd { .. } if found.verdict == Verdict::Elsewhere => {
                    return vec![format!(
                        "ctr -n {CRI_NAMESPACE} images label {name} io.cri-containerd.image=managed"
                    )];
                }
                Store::Containerd { .. } | Store::Cri => {}
            }
        }
        vec![format!("criscope pull {}", quoted(&found.reference))]
    }
}

impl Whereabouts {
    fn judge(&self) -> Verdict {
        let of = |wanted: fn(&Store) -> bool| self.copies.iter().find(|copy| wanted(&copy.store));
        let unknown = self
            .unknown
            .iter()
            .any(|unknown| unknown.store == Store::Cri);
        let behind = of(
            |store| matches!(store, Store::Containerd { namespace } if namespace == CRI_NAMESPACE),
        );
        match (of(|store| *store == Store::Cri), behind) {
            (Some(_), Some(behind)) if behind.complete == Some(false) => Verdict::Incomplete,
            (Some(_), _) => Verdict::Ready,
            (None, _) if unknown => Verdict::Unknown,
            (None, _) if self.copies.is_empty() => Verdict::Absent,
            (None, _) => Verdict::Elsewhere,
        }
    }
}

/// The name under which an image is known: its own, or for a digest any name that points to it.
fn named<'n>(names: &'n Names, image: &ImageRef) -> Option<(&'n str, &'n str)> {
    let reference = image.to_string();
    if let Some((name, digest)) = names.get_key_value(&reference) {
        return Some((name, digest));
    }
    let wanted = image.digest()?;
    names
        .iter()
        .find(|(_, digest)| *digest == wanted)
        .map(|(name, digest)| (name.as_str(), digest.as_str()))
}

/// A word of a command line. Names in a store may be anything.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// An index, a manifest or a configuration, as far as it matters here (OCI image specification 1.1, docker v2.2).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    os: Option<String>,
    architecture: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Descriptor {
    digest: String,
    platform: Option<PlatformOf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlatformOf {
    os: String,
    architecture: String,
}

impl Descriptor {
    /// An entry without a platform is taken, as containerd takes it once it has read the configuration.
    fn fits(&self, node: &Platform) -> bool {
        self.platform.as_ref().is_none_or(|platform| {
            platform.os == node.os && platform.architecture == node.architecture
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(store: Store, complete: Option<bool>) -> Copy {
        Copy {
            store,
            name: "reg.test/a:1".into(),
            digest: None,
            id: None,
            platform: None,
            complete,
            missing: Vec::new(),
            unpacked: None,
            pinned: false,
        }
    }

    fn within(namespace: &str) -> Store {
        Store::Containerd {
            namespace: namespace.into(),
        }
    }

    #[test]
    fn what_it_comes_to() {
        #[track_caller]
        fn case(copies: Vec<Copy>, unknown: Vec<Unknown>, expected: Verdict) {
            let found = Whereabouts {
                image: String::new(),
                reference: String::new(),
                verdict: Verdict::Absent,
                copies,
                unknown,
                commands: Vec::new(),
            };
            assert_eq!(found.judge(), expected);
        }
        let cri = || copy(Store::Cri, None);
        case(vec![cri()], vec![], Verdict::Ready);
        case(
            vec![cri(), copy(within("k8s.io"), Some(false))],
            vec![],
            Verdict::Incomplete,
        );
        case(
            vec![cri(), copy(within("default"), Some(false))],
            vec![],
            Verdict::Ready,
        );
        case(
            vec![copy(within("default"), Some(true))],
            vec![],
            Verdict::Elsewhere,
        );
        case(vec![copy(Store::Docker, None)], vec![], Verdict::Elsewhere);
        case(vec![], vec![], Verdict::Absent);
        let why = String::new();
        let store = Store::Cri;
        case(vec![], vec![Unknown { store, why }], Verdict::Unknown);
    }

    #[test]
    fn a_digest_is_found_under_any_name() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let names = Names::from([("alias:1".to_owned(), digest.clone())]);
        let by_digest: ImageRef = format!("reg.test/a@{digest}").parse().unwrap();
        assert_eq!(
            named(&names, &by_digest),
            Some(("alias:1", digest.as_str()))
        );
        let by_tag: ImageRef = "reg.test/a:1".parse().unwrap();
        assert_eq!(named(&names, &by_tag), None);
    }

    #[test]
    fn words_of_a_command_line() {
        assert_eq!(quoted("reg.test:5000/a:1"), "reg.test:5000/a:1");
        assert_eq!(quoted("a; rm -rf '/'"), "'a; rm -rf '\\''/'\\'''");
    }
}
