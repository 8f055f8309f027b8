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
use crate::model::{
    Container, Image, Listed, ListedContainer, ListedImage, ListedPod, Listing, PodSandbox,
};

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

/// What a list of containers is asked for beside its filters.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Containers in every state.
    pub all: bool,
    /// Only the one with this id.
    pub id: Option<&'a str>,
    /// Whether the pods of containers without the kubelet's labels are wanted, which takes another call.
    pub pods: bool,
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
        let mut listing = Listing::default();
        let asked = Asked {
            all,
            id,
            pods: true,
        };
        self.each(client, &asked, |container| {
            listing.add(container.as_ref());
            Ok(())
        })
        .await?;
        listing.newest_first(|container| container.created_at, self.newest.keep());
        Ok(listing)
    }

    /// Hands over every container that passes, as it arrives; `None` for one that cannot be read. Those whose pod has to
    /// be asked for come at the end.
    ///
    /// # Errors
    /// The runtime cannot be asked, or `take` fails.
    pub async fn each(
        &self,
        client: &Client,
        asked: &Asked<'_>,
        mut take: impl FnMut(Option<ListedContainer>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let wanted = match &self.image {
            Some(typed) => Some(Wanted::new(typed, Images::ask(client).await?)),
            None => None,
        };
        let pods = asked.pods || self.namespace.is_some();
        let passes = |container: &ListedContainer| {
            let namespace = || container.pod_namespace();
            let matches = |pattern: &Regex, text: &str| pattern.is_match(text);
            self.name
                .as_ref()
                .is_none_or(|name| matches(name, &container.name()))
                && self.namespace.as_ref().is_none_or(|wanted| {
                    matches(wanted, namespace().as_deref().unwrap_or("unknown"))
                })
                && wanted.as_ref().is_none_or(|wanted| wanted.is_of(container))
        };
        let mut nameless = Vec::new();
        let request = self.request(asked.all, asked.id);
        let mut elements = client.containers(request).await?;
        while let Some(element) = elements.next().await? {
            match ListedContainer::look(element) {
                Err(_) => take(None)?,
                Ok(container) if pods && !container.names_its_pod() => {
                    nameless.push(container.detached());
                }
                Ok(container) if passes(&container) => take(Some(container))?,
                Ok(_) => {}
            }
        }
        if nameless.is_empty() {
            return Ok(());
        }
        let pods = pod_names(client).await?;
        for mut container in nameless {
            if let Some((name, namespace)) = pods.get(&*container.pod_sandbox_id()) {
                container.belongs_to(name, namespace);
            }
            if passes(&container) {
                take(Some(container))?;
            }
        }
        Ok(())
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
        let mut listing = Listing::default();
        self.each(client, id, |pod| {
            listing.add(pod.as_ref());
            Ok(())
        })
        .await?;
        listing.newest_first(|pod| pod.created_at, self.newest.keep());
        Ok(listing)
    }

    /// Hands over every pod that passes, as it arrives; `None` for one that cannot be read.
    ///
    /// # Errors
    /// The runtime cannot be asked, or `take` fails.
    pub async fn each(
        &self,
        client: &Client,
        id: Option<&str>,
        mut take: impl FnMut(Option<ListedPod>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let matches = |pattern: &Option<Regex>, text: &str| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(text))
        };
        let mut elements = client.pod_sandboxes(self.request(id)).await?;
        while let Some(element) = elements.next().await? {
            match ListedPod::look(element) {
                Err(_) => take(None)?,
                Ok(pod)
                    if matches(&self.name, &pod.name())
                        && matches(&self.namespace, &pod.namespace()) =>
                {
                    take(Some(pod))?;
                }
                Ok(_) => {}
            }
        }
        Ok(())
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
    let pods = pod_names(client).await?;
    for item in &mut listing.items {
        if let Some((name, namespace)) = pods.get(&item.row.pod_sandbox_id) {
            item.row.belongs_to(name, namespace);
        }
    }
    Ok(())
}

/// Name and namespace of every pod sandbox, by its id.
async fn pod_names(client: &Client) -> Result<HashMap<String, (String, String)>, Error> {
    let mut pods = HashMap::new();
    let request = cri::ListPodSandboxRequest::default();
    let mut elements = client.pod_sandboxes(request).await?;
    while let Some(element) = elements.next().await? {
        if let Ok(pod) = ListedPod::look(element) {
            let names = (pod.name().into_owned(), pod.namespace().into_owned());
            pods.insert(pod.id().into_owned(), names);
        }
    }
    Ok(pods)
}

/// The image that a container was made from, as far as the list of images knows it.
pub fn image_of<'i>(container: &Container, images: &'i Listing<Image>) -> Option<&'i Image> {
    [&container.image_id, &container.image_ref, &container.image]
        .into_iter()
        .filter(|name| !name.is_empty())
        .find_map(|name| images.rows().find(|image| image.is_called(name)))
}

/// The images of the node, to be found by every name that they have.
#[derive(Debug, Default)]
pub struct Images {
    images: Vec<Image>,
    by_name: HashMap<String, usize>,
}

impl Images {
    /// Asks the runtime for them.
    ///
    /// # Errors
    /// The runtime cannot be asked.
    pub async fn ask(client: &Client) -> Result<Self, Error> {
        let mut found = Self::default();
        let request = cri::ListImagesRequest::default();
        let mut elements = client.images(request).await?;
        while let Some(element) = elements.next().await? {
            let Some(image) = ListedImage::look(element).ok().and_then(|it| it.whole()) else {
                continue;
            };
            let place = found.images.len();
            let bare = image.id.strip_prefix("sha256:").unwrap_or_default();
            let names = image.repo_tags.iter().chain(&image.repo_digests);
            for name in names.map(String::as_str).chain([&*image.id, bare]) {
                // The first of several with the same name counts.
                found.by_name.entry(name.to_owned()).or_insert(place);
            }
            found.images.push(image);
        }
        Ok(found)
    }

    /// The image that a container was made from.
    pub fn of(&self, container: &ListedContainer) -> Option<&Image> {
        [
            container.image_id(),
            container.image_ref(),
            container.image(),
        ]
        .into_iter()
        .filter(|name| !name.is_empty())
        .find_map(|name| self.images.get(*self.by_name.get(&*name)?))
    }
}

/// The image that the user means, among all of them.
struct Wanted {
    images: Images,
    id: Option<String>,
}

impl Wanted {
    fn new(typed: &str, images: Images) -> Self {
        let wanted = |image: &&Image| super::images::filter::is_named(image, typed);
        let found = images.images.iter().find(wanted);
        Self {
            id: found.map(|image| image.id.clone()),
            images,
        }
    }

    /// Whether a container was made from it.
    fn is_of(&self, container: &ListedContainer) -> bool {
        let made_from = self.images.of(container).map(|image| &image.id);
        self.id.is_some() && made_from == self.id.as_ref()
    }
}
