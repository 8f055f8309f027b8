//! Which containers and pods are meant: the filters that `ps`, `inspect`, `pods` and `inspectp` share.
//!
//! Id, pod, state and labels are filtered by the runtime; names, namespaces and images by us, because CRI has no filter
//! for them.

pub mod find;

use std::collections::{BTreeMap, HashMap};

use clap::{Args, ValueEnum};
use regex_lite::Regex;

use super::args::{Newest, pair, pattern};
use crate::client::Client;
use crate::cri;
use crate::error::Error;
use crate::model::{Container, Image, Listing, PodSandbox, Row, label};

/// Filters of containers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct ContainerFilter {
    /// Only containers whose name matches; `=NAME` is this name alone
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub name: Option<Regex>,
    /// Only containers of the pod with this id
    #[arg(short, long, value_name = "POD-ID")]
    pub pod: Option<String>,
    /// Only containers of this image: a name, a digest or an id
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Only containers in this state
    #[arg(short, long, value_enum, ignore_case = true)]
    pub state: Option<ContainerState>,
    /// Only containers with this label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair, value_delimiter = ',')]
    pub labels: Vec<(String, String)>,
    /// Only containers of pods in namespaces that match
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub namespace: Option<Regex>,
    /// How many of them
    #[command(flatten)]
    pub newest: Newest,
}

/// A state of a container, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContainerState {
    /// Never started
    Created,
    /// Running
    Running,
    /// Ended
    Exited,
    /// Unknown to the runtime
    Unknown,
}

impl ContainerFilter {
    /// The containers that pass, newest first. Without a state, `all` or a count, only the running ones are asked for.
    ///
    /// # Errors
    /// The runtime cannot be asked.
    pub async fn containers(
        &self,
        client: &Client,
        all: bool,
        id: Option<&str>,
    ) -> Result<Listing<Container>, Error> {
        let reply = client.list_containers(self.request(all, id)).await?;
        let mut listing = Listing::<Container>::read(reply.bytes());
        if let Some(namespace) = &self.namespace {
            name_pods(client, &mut listing).await?;
            listing.retain(|container| {
                namespace.is_match(container.pod_namespace().unwrap_or("unknown"))
            });
        }
        if let Some(name) = &self.name {
            listing.retain(|container| name.is_match(&container.name));
        }
        if let Some(wanted) = &self.image {
            let images = client
                .list_images(cri::ListImagesRequest::default())
                .await?;
            keep_image(&mut listing, &Listing::read(images.bytes()), wanted);
        }
        listing.newest_first(|container| container.created_at, self.newest.keep());
        Ok(listing)
    }

    /// Whether anything was chosen by it.
    pub fn is_set(&self) -> bool {
        self.name.is_some()
            || self.pod.is_some()
            || self.image.is_some()
            || self.state.is_some()
            || !self.labels.is_empty()
            || self.namespace.is_some()
            || self.newest.keep().is_some()
    }

    fn request(&self, all: bool, id: Option<&str>) -> cri::ListContainersRequest {
        let state = match self.state {
            Some(ContainerState::Created) => Some(cri::ContainerState::ContainerCreated),
            Some(ContainerState::Running) => Some(cri::ContainerState::ContainerRunning),
            Some(ContainerState::Exited) => Some(cri::ContainerState::ContainerExited),
            Some(ContainerState::Unknown) => Some(cri::ContainerState::ContainerUnknown),
            // The newest is asked for, whatever it is doing.
            None if all || self.newest.keep().is_some() => None,
            None => Some(cri::ContainerState::ContainerRunning),
        };
        cri::ListContainersRequest {
            filter: Some(cri::ContainerFilter {
                id: id.unwrap_or_default().to_owned(),
                pod_sandbox_id: self.pod.clone().unwrap_or_default(),
                state: state.map(|state| cri::ContainerStateValue {
                    state: state.into(),
                }),
                label_selector: self.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
            }),
        }
    }
}

/// Filters of pods.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct PodFilter {
    /// Only pods whose name matches; `=NAME` is this name alone
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub name: Option<Regex>,
    /// Only pods whose namespace matches
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    pub namespace: Option<Regex>,
    /// Only pods in this state
    #[arg(short, long, value_enum, ignore_case = true)]
    pub state: Option<PodState>,
    /// Only pods with this label; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair, value_delimiter = ',')]
    pub labels: Vec<(String, String)>,
    /// How many of them
    #[command(flatten)]
    pub newest: Newest,
}

/// A state of a pod, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PodState {
    /// Its pause process runs
    Ready,
    /// It does not
    #[value(name = "notready")]
    NotReady,
}

impl PodFilter {
    /// The pods that pass, newest first.
    ///
    /// # Errors
    /// The runtime cannot be asked.
    pub async fn pods(
        &self,
        client: &Client,
        id: Option<&str>,
    ) -> Result<Listing<PodSandbox>, Error> {
        let reply = client.list_pod_sandbox(self.request(id)).await?;
        let mut listing = Listing::<PodSandbox>::read(reply.bytes());
        listing.retain(|pod| {
            self.name
                .as_ref()
                .is_none_or(|name| name.is_match(pod.name()))
                && self
                    .namespace
                    .as_ref()
                    .is_none_or(|namespace| namespace.is_match(pod.namespace()))
        });
        listing.newest_first(|pod| pod.created_at, self.newest.keep());
        Ok(listing)
    }

    fn request(&self, id: Option<&str>) -> cri::ListPodSandboxRequest {
        let state = self.state.map(|state| match state {
            PodState::Ready => cri::PodSandboxState::SandboxReady,
            PodState::NotReady => cri::PodSandboxState::SandboxNotready,
        });
        cri::ListPodSandboxRequest {
            filter: Some(cri::PodSandboxFilter {
                id: id.unwrap_or_default().to_owned(),
                state: state.map(|state| cri::PodSandboxStateValue {
                    state: state.into(),
                }),
                label_selector: self.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
            }),
        }
    }
}

/// Puts the kubelet's labels on containers that lack them, from the metadata of their pod sandboxes. Asks only when one
/// lacks them.
///
/// # Errors
/// The runtime cannot be asked.
pub async fn name_pods(client: &Client, listing: &mut Listing<Container>) -> Result<(), Error> {
    if listing
        .rows()
        .all(|container| container.pod_name().is_some() && container.pod_namespace().is_some())
    {
        return Ok(());
    }
    let reply = client
        .list_pod_sandbox(cri::ListPodSandboxRequest::default())
        .await?;
    let pods = Listing::<PodSandbox>::read(reply.bytes());
    let pods: HashMap<&str, &PodSandbox> = pods.rows().map(|pod| (pod.id(), pod)).collect();
    for item in &mut listing.items {
        if let Some(pod) = pods.get(item.row.pod_sandbox_id.as_str()) {
            let labels = &mut item.row.labels;
            for (key, value) in [
                (label::POD_NAME, pod.name()),
                (label::POD_NAMESPACE, pod.namespace()),
            ] {
                if !value.is_empty() {
                    labels
                        .entry(key.to_owned())
                        .or_insert_with(|| value.to_owned());
                }
            }
        }
    }
    Ok(())
}

/// The image that a container was made from, as far as the list of images knows it.
pub fn image_of<'i>(container: &Container, images: &'i Listing<Image>) -> Option<&'i Image> {
    [&container.image_id, &container.image_ref, &container.image]
        .into_iter()
        .filter(|name| !name.is_empty())
        .find_map(|name| images.rows().find(|image| image.is_called(name)))
}

/// Keeps the containers that were made from the image that the user means.
fn keep_image(listing: &mut Listing<Container>, images: &Listing<Image>, typed: &str) {
    let wanted = images
        .rows()
        .find(|image| super::images::filter::is_named(image, typed));
    listing.retain(|container| {
        wanted.is_some_and(|wanted| {
            image_of(container, images).is_some_and(|image| image.id == wanted.id)
        })
    });
}
