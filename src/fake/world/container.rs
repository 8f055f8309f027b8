//! A container, described in a few words.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Image, Nanos, Pod, Runtime, digest, nanos, strings};
use crate::cri;

/// A container.
#[derive(Debug, Clone)]
pub struct Container {
    /// What `ContainerStatus` answers; the listing is cut from it.
    pub status: cri::ContainerStatus,
    /// What it was made from, as far as the verbose answer shows it.
    pub config: cri::ContainerConfig,
    /// The id of its pod sandbox.
    pub pod: String,
    /// The id of its image.
    pub image: String,
    /// The process; 0 when it does not run.
    pub pid: u32,
    /// The verbose answer, where it is not to be made from the rest.
    pub info: Option<BTreeMap<String, String>>,
    /// The element of the listing, where it is not to be cut from the status.
    pub(super) listed: Option<cri::Container>,
}

impl Container {
    /// A running container of an image; made and started now unless [`Container::created`] says otherwise.
    pub fn new(name: &str, image: &str) -> Self {
        Self::attempt(name, image, 0)
    }

    /// [`Container::new`], restarted this many times.
    pub fn attempt(name: &str, image: &str, attempt: u32) -> Self {
        let spec = cri::ImageSpec {
            image: image.to_owned(),
            ..Default::default()
        };
        Self {
            status: cri::ContainerStatus {
                metadata: Some(cri::ContainerMetadata {
                    name: name.to_owned(),
                    attempt,
                }),
                state: cri::ContainerState::ContainerRunning.into(),
                image: Some(spec.clone()),
                annotations: strings(&[
                    ("io.kubernetes.container.hash", &digest(image)[..8]),
                    ("io.kubernetes.container.restartCount", &attempt.to_string()),
                    (
                        "io.kubernetes.container.terminationMessagePath",
                        "/dev/termination-log",
                    ),
                    ("io.kubernetes.container.terminationMessagePolicy", "File"),
                    ("io.kubernetes.pod.terminationGracePeriod", "30"),
                ]),
                ..Default::default()
            },
            config: cri::ContainerConfig {
                image: Some(spec),
                ..Default::default()
            },
            pod: String::new(),
            image: String::new(),
            pid: 0,
            info: None,
            listed: None,
        }
    }

    /// Says when it was made (and started, unless that is set otherwise).
    pub fn created(mut self, at: Nanos) -> Self {
        self.status.created_at = at;
        self
    }

    /// Made and never started.
    pub fn not_started(mut self) -> Self {
        self.status.state = cri::ContainerState::ContainerCreated.into();
        self
    }

    /// Ended with this code and reason (`Completed`, `Error`, `OOMKilled`), so long after it started.
    pub fn exited(mut self, code: i32, reason: &str, ran: Duration) -> Self {
        self.status.state = cri::ContainerState::ContainerExited.into();
        self.status.exit_code = code;
        reason.clone_into(&mut self.status.reason);
        self.status.started_at = self.status.created_at + 200_000_000;
        self.status.finished_at = self.status.started_at + nanos(ran);
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.status.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.status
            .annotations
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// Says what it runs.
    pub fn command(mut self, command: &[&str]) -> Self {
        self.config.command = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Limits its memory, in bytes.
    pub fn memory_limit(mut self, bytes: i64) -> Self {
        let linux = cri::LinuxContainerResources {
            memory_limit_in_bytes: bytes,
            ..Default::default()
        };
        self.status.resources = Some(cri::ContainerResources {
            linux: Some(linux),
            windows: None,
        });
        self
    }

    /// Fills in what depends on the pod and the images: id, the kubelet's labels, log path, image id.
    pub(super) fn settle(&mut self, pod: Option<&Pod>, images: &[Image], runtime: &Runtime) {
        let (name, attempt) = self.status.metadata.as_ref().map_or(("", 0), |metadata| {
            (metadata.name.as_str(), metadata.attempt)
        });
        if self.status.id.is_empty() {
            let pod = pod.map_or("", |pod| &pod.status.id);
            self.status.id = digest(&format!("container/{pod}/{name}/{attempt}"));
        }
        if let Some(pod) = pod {
            if !name.is_empty() {
                self.status
                    .labels
                    .entry("io.kubernetes.container.name".to_owned())
                    .or_insert_with(|| name.to_owned());
            }
            for (key, value) in &pod.status.labels {
                if key.starts_with("io.kubernetes.pod.") {
                    self.status
                        .labels
                        .entry(key.clone())
                        .or_insert_with(|| value.clone());
                }
            }
            if self.status.log_path.is_empty() {
                self.config.log_path = format!("{name}/{attempt}.log");
                self.status.log_path =
                    format!("{}/{}", pod.config.log_directory, self.config.log_path);
            }
        }
        let wanted = self.status.image.as_ref().map_or("", |spec| &spec.image);
        if self.status.image_ref.is_empty()
            && let Some(image) = images.iter().find(|image| image.is(wanted))
        {
            self.image = image.image.id.clone();
            if runtime.tells_image_id() {
                self.status.image_id = image.image.id.clone();
            }
            self.status.image_ref = match image.image.repo_digests.first() {
                Some(digest) => digest.clone(),
                None => image.image.id.clone(),
            };
        }
    }
}
