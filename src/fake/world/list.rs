//! Finding and listing: exact ids, unique beginnings of ids, states, labels.
//!
//! As containerd does it: a filter's id that is unknown or begins several ids finds nothing and is no error; a label
//! selector compares exactly and all its labels must fit.

use std::collections::BTreeMap;

use tonic::Status;

use super::{Container, Image, Kind, Pod, World};
use crate::cri;

impl World {
    /// The pod sandbox of an id or a unique beginning of one.
    pub fn pod(&self, id: &str) -> Result<&Pod, Status> {
        Ok(&self.pods[self.pod_place(id)?])
    }

    /// The container of an id or a unique beginning of one.
    pub fn container(&self, id: &str) -> Result<&Container, Status> {
        Ok(&self.containers[self.container_place(id)?])
    }

    /// The image of a reference, digest, id, or unique beginning of an id.
    pub fn image(&self, reference: &str) -> Option<&Image> {
        self.image_place(reference).map(|place| &self.images[place])
    }

    pub(super) fn pod_place(&self, id: &str) -> Result<usize, Status> {
        match place(self.pods.iter().map(|pod| pod.status.id.as_str()), id) {
            Place::One(place) => Ok(place),
            Place::None => Err(self.runtime.kind.no_pod(id)),
            Place::Many => Err(self.runtime.kind.ambiguous(id)),
        }
    }

    pub(super) fn container_place(&self, id: &str) -> Result<usize, Status> {
        match place(
            self.containers
                .iter()
                .map(|container| container.status.id.as_str()),
            id,
        ) {
            Place::One(place) => Ok(place),
            Place::None => Err(self.runtime.kind.no_container(id)),
            Place::Many => Err(self.runtime.kind.ambiguous(id)),
        }
    }

    pub(super) fn image_place(&self, reference: &str) -> Option<usize> {
        if let Some(place) = self.images.iter().position(|image| image.is(reference)) {
            return Some(place);
        }
        let bare = reference.trim_start_matches("sha256:");
        let ids = self
            .images
            .iter()
            .map(|image| image.image.id.trim_start_matches("sha256:"));
        match place(ids, bare) {
            Place::One(place) if bare.bytes().all(|byte| byte.is_ascii_hexdigit()) => Some(place),
            _ => None,
        }
    }

    /// What `ListPodSandbox` answers.
    pub fn list_pods(&self, filter: Option<&cri::PodSandboxFilter>) -> Vec<cri::PodSandbox> {
        let filter = filter.cloned().unwrap_or_default();
        let wanted = match self.pod(&filter.id) {
            Ok(pod) => &pod.status.id,
            Err(_) => &filter.id,
        };
        let fits =
            |pod: &&Pod| (wanted.is_empty() || pod.status.id == *wanted) && pod_fits(pod, &filter);
        self.pods.iter().filter(fits).map(pod_element).collect()
    }

    /// What `ListContainers` answers.
    pub fn list_containers(&self, filter: Option<&cri::ContainerFilter>) -> Vec<cri::Container> {
        let filter = filter.cloned().unwrap_or_default();
        let wanted = match self.container(&filter.id) {
            Ok(container) => &container.status.id,
            Err(_) => &filter.id,
        };
        let pod = match self.pod(&filter.pod_sandbox_id) {
            Ok(pod) => &pod.status.id,
            Err(_) => &filter.pod_sandbox_id,
        };
        let fits = |container: &&Container| {
            (wanted.is_empty() || container.status.id == *wanted)
                && (pod.is_empty() || container.pod == *pod)
                && container_fits(container, &filter)
        };
        let listed = self.containers.iter().filter(fits);
        listed
            .map(|container| container_element(self.runtime.kind, container))
            .collect()
    }

    /// What `ListImages` answers: containerd takes no notice of the filter, the others do.
    pub fn list_images(&self, filter: Option<&cri::ImageFilter>) -> Vec<cri::Image> {
        let wanted = filter
            .and_then(|filter| filter.image.as_ref())
            .map_or("", |spec| &spec.image);
        let all = wanted.is_empty() || self.runtime.kind == Kind::Containerd;
        self.images
            .iter()
            .filter(|image| all || image.is(wanted))
            .map(|image| image.image.clone())
            .collect()
    }
}

/// Whether a message that carries these labels is asked for.
pub(super) fn selected(
    labels: &BTreeMap<String, String>,
    selector: &BTreeMap<String, String>,
) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether state and labels are asked for.
pub(super) fn pod_fits(pod: &Pod, filter: &cri::PodSandboxFilter) -> bool {
    filter
        .state
        .is_none_or(|value| value.state == pod.status.state)
        && selected(&pod.status.labels, &filter.label_selector)
}

/// Whether state and labels are asked for.
pub(super) fn container_fits(container: &Container, filter: &cri::ContainerFilter) -> bool {
    filter
        .state
        .is_none_or(|value| value.state == container.status.state)
        && selected(&container.status.labels, &filter.label_selector)
}

pub(super) fn container_element(kind: Kind, container: &Container) -> cri::Container {
    if let Some(listed) = &container.listed {
        return listed.clone();
    }
    let status = &container.status;
    cri::Container {
        id: status.id.clone(),
        pod_sandbox_id: container.pod.clone(),
        metadata: status.metadata.clone(),
        image: status.image.clone(),
        // The list of containerd and cri-dockerd tells the id where the status tells the digest.
        image_ref: match kind {
            Kind::Containerd | Kind::Docker => container.image.clone(),
            Kind::CriO => status.image_ref.clone(),
        },
        state: status.state,
        created_at: status.created_at,
        labels: status.labels.clone(),
        annotations: status.annotations.clone(),
        image_id: status.image_id.clone(),
    }
}

pub(super) fn pod_element(pod: &Pod) -> cri::PodSandbox {
    let created_at = pod.listed_at.unwrap_or(pod.status.created_at);
    let pod = &pod.status;
    cri::PodSandbox {
        id: pod.id.clone(),
        metadata: pod.metadata.clone(),
        state: pod.state,
        created_at,
        labels: pod.labels.clone(),
        annotations: pod.annotations.clone(),
        runtime_handler: pod.runtime_handler.clone(),
    }
}

enum Place {
    None,
    One(usize),
    Many,
}

/// Where an id, or a unique beginning of one, stands; a whole id wins over a beginning.
fn place<'a>(ids: impl Iterator<Item = &'a str> + Clone, id: &str) -> Place {
    if id.is_empty() {
        return Place::None;
    }
    if let Some(exact) = ids.clone().position(|known| known == id) {
        return Place::One(exact);
    }
    let mut fitting = ids.enumerate().filter(|(_, known)| known.starts_with(id));
    match (fitting.next(), fitting.next()) {
        (Some((place, _)), None) => Place::One(place),
        (None, _) => Place::None,
        (Some(_), Some(_)) => Place::Many,
    }
}
