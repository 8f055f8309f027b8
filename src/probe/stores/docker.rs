//! dockerd's store on disk: `image/DRIVER/repositories.json` with `imagedb` and `layerdb` beside it, below the data root.
//! Read without asking dockerd, which may be long gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Copy, Store};
use crate::probe::host_files;
use crate::registry::image_ref::{DOCKER_HUB, ImageRef};

/// Where dockerd keeps its data, unless daemon.json names another place.
const DATA_ROOT: &str = "/var/lib/docker";
/// dockerd's configuration.
const DAEMON_JSON: &str = "/etc/docker/daemon.json";
/// No file of the store is larger.
const LARGEST: u64 = 64 << 20;

/// The store, if there is one.
#[derive(Debug)]
pub(super) struct Docker {
    host_root: PathBuf,
    /// `…/image/overlay2`, one for each driver that was ever used.
    drivers: Vec<(PathBuf, Repositories)>,
}

#[derive(Debug, Default, Deserialize)]
struct Repositories {
    /// By repository, by full name: the id.
    #[serde(rename = "Repositories", default)]
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    os: Option<String>,
    architecture: Option<String>,
    rootfs: RootFs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Docker {
    pub(super) fn open(host_root: &Path) -> Option<Self> {
        #[derive(Deserialize)]
        struct Daemon {
            #[serde(rename = "data-root")]
            data_root: Option<PathBuf>,
        }
        let data_root = read::<Daemon>(host_root, Path::new(DAEMON_JSON))
            .and_then(|daemon| daemon.data_root)
            .unwrap_or_else(|| DATA_ROOT.into());
        let images = data_root.join("image");
        let drivers: Vec<_> = host_files::names(host_root, &images)
            .ok()?
            .into_iter()
            .filter_map(|driver| {
                let directory = images.join(driver);
                let repositories = read(host_root, &directory.join("repositories.json"))?;
                Some((directory, repositories))
            })
            .collect();
        (!drivers.is_empty()).then(|| Self {
            host_root: host_root.to_owned(),
            drivers,
        })
    }

    pub(super) fn find(&self, image: &ImageRef) -> Option<Copy> {
        let repository = familiar(image);
        let separator = if image.digest().is_some() { '@' } else { ':' };
        let name = format!("{repository}{separator}{}", image.object());
        self.drivers.iter().find_map(|(directory, known)| {
            let names = known.repositories.get(&repository)?;
            let id = names.get(&name)?;
            let digest = names
                .iter()
                .filter(|(_, other)| *other == id)
                .find_map(|(name, _)| name.split_once('@'))
                .map(|(_, digest)| digest.to_owned());
            let (platform, complete) = self.content(directory, id);
            Some(Copy {
                store: Store::Docker,
                name: name.clone(),
                digest,
                id: Some(id.clone()),
                platform,
                complete: Some(complete),
                missing: Vec::new(),
                // Layers are kept unpacked, and in no other way.
                unpacked: Some(complete),
                pinned: false,
            })
        })
    }

    /// The platform, and whether all layers are there.
    fn content(&self, directory: &Path, id: &str) -> (Option<String>, bool) {
        let Some(hex) = id.strip_prefix("sha256:").filter(|hex| is_hex(hex)) else {
            return (None, false);
        };
        let path = directory.join("imagedb/content/sha256").join(hex);
        let Some(config) = read::<Config>(&self.host_root, &path) else {
            return (None, false);
        };
        let layers = directory.join("layerdb/sha256");
        let known = host_files::names(&self.host_root, &layers).unwrap_or_default();
        let complete = chain(&config.rootfs.diff_ids)
            .iter()
            .all(|layer| known.binary_search(layer).is_ok());
        let platform = config
            .os
            .zip(config.architecture)
            .map(|(os, architecture)| format!("{os}/{architecture}"));
        (platform, complete)
    }
}

/// A repository as docker calls it: without docker.io, and without `library/` there.
fn familiar(image: &ImageRef) -> String {
    if image.domain() != DOCKER_HUB {
        return image.name();
    }
    let path = image.path();
    path.strip_prefix("library/").unwrap_or(path).to_owned()
}

/// The chain ids of layers (OCI image specification, `config.md`): each covers all below it.
fn chain(diff_ids: &[String]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    for diff in diff_ids {
        let id = match chain.last() {
            None => diff.strip_prefix("sha256:").unwrap_or(diff).to_owned(),
            Some(below) => {
                let digest = Sha256::digest(format!("sha256:{below} {diff}"));
                digest.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        };
        chain.push(id);
    }
    chain
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read<T: for<'d> Deserialize<'d>>(host_root: &Path, path: &Path) -> Option<T> {
    let bytes = host_files::read_bytes(host_root, path, LARGEST).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn image(text: &str) -> ImageRef {
        text.parse().unwrap()
    }

    #[test]
    fn names_as_docker_writes_them() {
        #[track_caller]
        fn case(text: &str, expected: &str) {
            assert_eq!(familiar(&image(text)), expected);
        }
        case("nginx", "nginx");
        case("docker.io/library/nginx:1", "nginx");
        case("docker.io/acme/tool", "acme/tool");
        case("quay.io/library/x", "quay.io/library/x");
    }

    #[test]
    fn an_image_and_its_layers() {
        let root = tempfile::tempdir().unwrap();
        let store = root.path().join("data/image/overlay2");
        let (first, second) = (
            format!("sha256:{}", "1".repeat(64)),
            format!("sha256:{}", "2".repeat(64)),
        );
        let id = "a".repeat(64);
        let chained = chain(&[first.clone(), second.clone()]);
        let write = |path: &str, text: String| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("etc/docker/daemon.json", r#"{"data-root": "/data"}"#.into());
        write(
            "data/image/overlay2/repositories.json",
            format!(
                r#"{{"Repositories":{{"nginx":{{"nginx:1":"sha256:{id}","nginx@sha256:d":"sha256:{id}"}}}}}}"#
            ),
        );
        write(
            &format!("data/image/overlay2/imagedb/content/sha256/{id}"),
            format!(
                r#"{{"os":"linux","architecture":"amd64","rootfs":{{"diff_ids":["{first}","{second}"]}}}}"#
            ),
        );
        fs::create_dir_all(store.join("layerdb/sha256").join(&chained[0])).unwrap();
        let copy = Docker::open(root.path())
            .unwrap()
            .find(&image("nginx:1"))
            .unwrap();
        assert_eq!(
            (
                copy.platform.as_deref(),
                copy.complete,
                copy.digest.as_deref()
            ),
            (Some("linux/amd64"), Some(false), Some("sha256:d"))
        );
        fs::create_dir_all(store.join("layerdb/sha256").join(&chained[1])).unwrap();
        let docker = Docker::open(root.path()).unwrap();
        assert_eq!(docker.find(&image("nginx:1")).unwrap().complete, Some(true));
        assert_eq!(docker.find(&image("nginx:2")), None);
    }

    #[test]
    fn no_store() {
        let root = tempfile::tempdir().unwrap();
        assert!(Docker::open(root.path()).is_none());
    }
}
