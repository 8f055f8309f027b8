//! A node as a real one answered: rebuilt from what crictl printed there.
//!
//! A directory holds `version.txt`, `info.json`, `pods.json`, `ps.json` and `images.json`; `inspect…`, `inspectp…` and
//! `inspecti…` files tell more about single ones, `stats.json` and friends are answered as they stand. crictl prints some
//! things in another form than the runtime sends them (times, info values); these are turned back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message;
use serde_json::Value;

use super::{Clock, Container, Image, Pod, World};
use crate::cri;
use crate::wire::{self, EncodeErrors, Typed};

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or unreadable.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is no JSON.
    #[error("`{}` is not JSON", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file is no answer of CRI.
    #[error("`{}` is not what crictl prints: {source}", path.display())]
    Shape {
        /// Which.
        path: PathBuf,
        /// Why.
        source: EncodeErrors,
    },
}

/// Answers that are given as they were recorded, in place of what the world would work out.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub(super) info: Option<BTreeMap<String, String>>,
    pub(super) handlers: Option<Vec<cri::RuntimeHandler>>,
    pub(super) features: Option<cri::RuntimeFeatures>,
    pub(super) container_stats: Option<Vec<cri::ContainerStats>>,
    pub(super) pod_stats: Option<Vec<cri::PodSandboxStats>>,
    pub(super) metrics: Option<Vec<cri::PodSandboxMetrics>>,
    pub(super) descriptors: Option<Vec<cri::MetricDescriptor>>,
    pub(super) image_fs: Option<cri::ImageFsInfoResponse>,
}

impl World {
    /// Rebuilds the node that a directory of recordings shows.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn recorded(directory: &Path) -> Result<Self, Error> {
        let from = Recording(directory);
        let version = from.text("version.txt")?;
        let told = |key: &str| {
            let line = version
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map_or("", str::trim).to_owned()
        };
        let mut world =
            Self::empty_at(&told("RuntimeName"), &told("RuntimeVersion"), Clock::System);
        world.status_as_recorded(&from)?;
        world.pods_as_recorded(&from)?;
        world.containers_as_recorded(&from)?;
        world.images_as_recorded(&from)?;

        let config = from.text("runtime-config.txt").unwrap_or_default();
        if config.contains("CGROUPFS") {
            world.cgroup_driver = cri::CgroupDriver::Cgroupfs;
        }
        let recorded = &mut world.recorded;
        recorded.container_stats = from
            .list("stats.json", |all: cri::ListContainerStatsResponse| {
                all.stats
            })?;
        recorded.pod_stats = from
            .list("statsp.json", |all: cri::ListPodSandboxStatsResponse| {
                all.stats
            })?;
        recorded.metrics = from.list(
            "metricsp.json",
            |all: cri::ListPodSandboxMetricsResponse| all.pod_metrics,
        )?;
        recorded.descriptors = from.list(
            "metricdescs.json",
            |all: cri::ListMetricDescriptorsResponse| all.descriptors,
        )?;
        if let Some(document) = from.json("imagefsinfo.json")? {
            recorded.image_fs = Some(from.message("imagefsinfo.json", &document["status"])?);
        }
        Ok(world)
    }

    fn status_as_recorded(&mut self, from: &Recording<'_>) -> Result<(), Error> {
        let name = "info.json";
        let Some(document) = from.json(name)? else {
            return Ok(());
        };
        let status: cri::RuntimeStatus = from.message(name, &document["status"])?;
        self.conditions = status.conditions;
        let own = ["status", "runtimeHandlers", "features"];
        self.recorded.info = Some(info(&document, &own));
        let handlers = document["runtimeHandlers"].as_array().into_iter().flatten();
        self.recorded.handlers = Some(
            handlers
                .map(|one| from.message(name, one))
                .collect::<Result<_, _>>()?,
        );
        if let Some(features) = document.get("features") {
            self.recorded.features = Some(from.message(name, features)?);
        }
        Ok(())
    }

    fn pods_as_recorded(&mut self, from: &Recording<'_>) -> Result<(), Error> {
        let more = from.inspected("inspectp-")?;
        let all = from
            .list("pods.json", |all: cri::ListPodSandboxResponse| all.items)?
            .unwrap_or_default();
        for item in all {
            let mut pod = Pod::new("", "");
            pod.status = cri::PodSandboxStatus {
                id: item.id,
                metadata: item.metadata,
                state: item.state,
                created_at: item.created_at,
                labels: item.labels,
                annotations: item.annotations,
                runtime_handler: item.runtime_handler,
                ..Default::default()
            };
            if let Some((name, document)) = more.get(&pod.status.id) {
                // The list counts whole nanoseconds, as the runtime does; some runtimes count less in one of the two.
                pod.status = from.message(name, &document["status"])?;
                pod.info = Some(info(document, &["status"]));
                pod.listed_at = Some(item.created_at);
            }
            self.pods.push(pod);
        }
        Ok(())
    }

    fn containers_as_recorded(&mut self, from: &Recording<'_>) -> Result<(), Error> {
        let more = from.inspected("inspect-")?;
        let all = from
            .list("ps.json", |all: cri::ListContainersResponse| all.containers)?
            .unwrap_or_default();
        for item in all {
            let mut container = Container::new("", "");
            container.listed = Some(item.clone());
            container.pod = item.pod_sandbox_id;
            container.image.clone_from(&item.image_ref);
            container.status = cri::ContainerStatus {
                id: item.id,
                metadata: item.metadata,
                state: item.state,
                created_at: item.created_at,
                image: item.image,
                image_ref: item.image_ref,
                image_id: item.image_id,
                labels: item.labels,
                annotations: item.annotations,
                ..Default::default()
            };
            if let Some((name, document)) = more.get(&container.status.id) {
                container.status = from.message(name, &document["status"])?;
                container.info = Some(info(document, &["status"]));
            }
            self.containers.push(container);
        }
        Ok(())
    }

    fn images_as_recorded(&mut self, from: &Recording<'_>) -> Result<(), Error> {
        let more = from.inspected("inspecti-")?;
        let all = from
            .list("images.json", |all: cri::ListImagesResponse| all.images)?
            .unwrap_or_default();
        for image in all {
            let digest = image
                .repo_digests
                .first()
                .and_then(|name| name.split_once('@'));
            let digest = digest.map_or(String::new(), |(_, digest)| digest.to_owned());
            let info = more
                .get(&image.id)
                .map(|(_, document)| info(document, &["status"]));
            self.images.push(Image {
                image,
                digest,
                info,
            });
        }
        Ok(())
    }
}

/// A directory of recordings.
struct Recording<'a>(&'a Path);

impl Recording<'_> {
    fn text(&self, name: &str) -> Result<String, Error> {
        let path = self.0.join(name);
        std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    }

    /// A file as JSON; `None` when it was not recorded.
    fn json(&self, name: &str) -> Result<Option<Value>, Error> {
        let path = self.0.join(name);
        if !path.exists() {
            return Ok(None);
        }
        serde_json::from_str(&self.text(name)?)
            .map(Some)
            .map_err(|source| Error::Json { path, source })
    }

    fn list<M: Message + Typed + Default, E>(
        &self,
        name: &str,
        elements: impl FnOnce(M) -> Vec<E>,
    ) -> Result<Option<Vec<E>>, Error> {
        self.json(name)?
            .map(|document| self.message(name, &document).map(elements))
            .transpose()
    }

    fn message<M: Message + Typed + Default>(
        &self,
        name: &str,
        document: &Value,
    ) -> Result<M, Error> {
        let mut document = document.clone();
        times_back(&mut document);
        let bytes = wire::encode(M::TYPE, &document).map_err(|source| Error::Shape {
            path: self.0.join(name),
            source,
        })?;
        // What was just encoded by the same table decodes.
        Ok(M::decode(&*bytes).unwrap_or_default())
    }

    /// The files of this name with a number, by the id in them.
    fn inspected(&self, prefix: &str) -> Result<BTreeMap<String, (String, Value)>, Error> {
        let mut found = BTreeMap::new();
        for number in 1..100 {
            let name = format!("{prefix}{number}.json");
            if let Some(document) = self.json(&name)? {
                let id = document["status"]["id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                found.insert(id, (name, document));
            }
        }
        Ok(found)
    }
}

/// The runtime's own values again: JSON as text, also where crictl took the quotes away.
fn info(document: &Value, without: &[&str]) -> BTreeMap<String, String> {
    let entries = document.as_object().into_iter().flatten();
    let wanted = entries.filter(|(key, _)| !without.contains(&key.as_str()));
    wanted
        .map(|(key, value)| (key.clone(), value.to_string()))
        .collect()
}

/// Counted nanoseconds again, where crictl wrote a date; the year 1 is its way to write 0.
fn times_back(document: &mut Value) {
    let Value::Object(fields) = document else {
        return;
    };
    for key in ["createdAt", "startedAt", "finishedAt"] {
        if let Some(value) = fields.get_mut(key)
            && let Some(text) = value.as_str()
            && let Ok(time) = text.parse::<jiff::Timestamp>()
        {
            let nanos = if text.starts_with("0001-") {
                0
            } else {
                time.as_nanosecond()
            };
            *value = Value::from(nanos.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn load(name: &str) -> World {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/captures");
        World::recorded(&root.join(name)).unwrap()
    }

    /// What the world answers is what was recorded, element by element.
    #[test]
    fn recordings_are_answered_as_they_were() {
        for name in ["containerd16", "containerd2", "crio", "dockershim"] {
            let world = load(name);
            let root = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures/captures")
                .join(name);
            let from = Recording(&root);
            let pods = from
                .list("pods.json", |all: cri::ListPodSandboxResponse| all.items)
                .unwrap();
            assert_eq!(world.list_pods(None), pods.unwrap(), "{name}");
            let containers = from
                .list("ps.json", |all: cri::ListContainersResponse| all.containers)
                .unwrap();
            assert_eq!(world.list_containers(None), containers.unwrap(), "{name}");
            let images = from
                .list("images.json", |all: cri::ListImagesResponse| all.images)
                .unwrap();
            assert_eq!(world.list_images(None), images.unwrap(), "{name}");
            let stats = from
                .list("stats.json", |all: cri::ListContainerStatsResponse| {
                    all.stats
                })
                .unwrap();
            assert_eq!(world.list_container_stats(None), stats.unwrap(), "{name}");
            let document = from.json("inspect-1.json").unwrap().unwrap();
            let status: cri::ContainerStatus =
                from.message("inspect-1.json", &document["status"]).unwrap();
            let request = cri::ContainerStatusRequest {
                container_id: status.id.clone(),
                verbose: true,
            };
            let answer = world.container_status(&request).unwrap();
            assert_eq!(answer.status, Some(status));
            assert_eq!(info(&document, &["status"]), answer.info);
        }
    }

    #[test]
    fn the_runtime_is_the_recorded_one() {
        let world = load("crio");
        assert_eq!(
            (&*world.runtime.name, &*world.runtime.version),
            ("cri-o", "1.37.0")
        );
        let status = world.status(true);
        assert_eq!(status.runtime_handlers[0].name, "crun");
        assert!(status.info["config"].starts_with('{'));
        assert_eq!(
            load("containerd16").status(true).info["lastCNILoadStatus"],
            "\"OK\""
        );
        assert_eq!(load("containerd16").status(false).runtime_handlers, []);
        assert!(load("containerd2").runtime.serves("ListPodSandboxMetrics"));
        assert!(!load("containerd16").runtime.serves("ListPodSandboxMetrics"));
    }

    #[test]
    fn an_absent_recording_is_named() {
        let error = World::recorded(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read `/nonexistent/version.txt`");
    }
}
