//! What changes the node: the life of pod sandboxes, containers and images, with the refusals of containerd.
//!
//! Stopping and removing what does not exist succeeds, as CRI asks for; removing what runs stops it first. Each change
//! of a container or sandbox is also an event (CRI's `GetContainerEvents`).

use tonic::Status;

use super::{Container, Image, Pod, Remote, World};
use crate::cri;
use crate::cri::{ContainerEventType as Event, ContainerState, PodSandboxState};

impl World {
    /// `RunPodSandbox`.
    pub(in crate::fake) fn run_pod(
        &mut self,
        request: cri::RunPodSandboxRequest,
    ) -> Result<String, Status> {
        let config = request.config.unwrap_or_default();
        let Some(metadata) = config.metadata.clone() else {
            return Err(Status::unknown("sandbox config must include metadata"));
        };
        let handler = request.runtime_handler;
        if !handler.is_empty() && !self.handlers.contains(&handler) {
            return Err(Status::unknown(format!(
                "failed to get sandbox runtime: no runtime for {handler:?} is configured"
            )));
        }
        if let Some(holder) = self
            .pods
            .iter()
            .find(|pod| pod.status.metadata.as_ref() == Some(&metadata))
        {
            let name = pod_name(&metadata);
            return Err(Status::unknown(format!(
                "failed to reserve sandbox name {name:?}: name {name:?} is reserved for {:?}",
                holder.status.id
            )));
        }
        let mut pod = Pod::attempt(&metadata.namespace, &metadata.name, metadata.attempt);
        let id = self.next_id("pod");
        pod.status.id.clone_from(&id);
        pod.status.metadata = Some(metadata);
        pod.status.labels.clone_from(&config.labels);
        pod.status.annotations.clone_from(&config.annotations);
        pod.status.runtime_handler = handler;
        let options = config
            .linux
            .as_ref()
            .and_then(|linux| linux.security_context.as_ref());
        if let Some(options) = options.and_then(|context| context.namespace_options.clone()) {
            if options.network() == cri::NamespaceMode::Node {
                pod = pod.host_network();
            }
            let namespaces = cri::Namespace {
                options: Some(options),
            };
            pod.status.linux = Some(cri::LinuxPodSandboxStatus {
                namespaces: Some(namespaces),
            });
        }
        pod.config = config;
        self.add_pod(pod);
        self.tell(&id, Event::ContainerCreatedEvent);
        self.tell(&id, Event::ContainerStartedEvent);
        Ok(id)
    }

    /// `StopPodSandbox`: its containers are stopped too.
    pub(in crate::fake) fn stop_pod(&mut self, id: &str) -> Result<(), Status> {
        let Ok(place) = self.pod_place(id) else {
            return Ok(());
        };
        let id = self.pods[place].status.id.clone();
        let running: Vec<_> = self
            .containers_of(&id)
            .map(|container| container.status.id.clone())
            .collect();
        for container in running {
            self.end_container(&container, 137, "Error");
        }
        if self.pods[place].status.state() == PodSandboxState::SandboxReady {
            self.pods[place].status.state = PodSandboxState::SandboxNotready.into();
            self.pods[place].status.network = Some(cri::PodSandboxNetworkStatus::default());
            self.pods[place].pid = 0;
            self.tell(&id, Event::ContainerStoppedEvent);
        }
        Ok(())
    }

    /// `RemovePodSandbox`: its containers are removed too.
    pub(in crate::fake) fn remove_pod(&mut self, id: &str) -> Result<(), Status> {
        let Ok(place) = self.pod_place(id) else {
            return Ok(());
        };
        let id = self.pods[place].status.id.clone();
        self.stop_pod(&id)?;
        let containers: Vec<_> = self
            .containers_of(&id)
            .map(|container| container.status.id.clone())
            .collect();
        for container in containers {
            self.remove_container(&container)?;
        }
        self.tell(&id, Event::ContainerDeletedEvent);
        self.pods.retain(|pod| pod.status.id != id);
        Ok(())
    }

    /// `CreateContainer`.
    pub(in crate::fake) fn create_container(
        &mut self,
        request: cri::CreateContainerRequest,
    ) -> Result<String, Status> {
        let pod_id = &request.pod_sandbox_id;
        let Ok(place) = self.pod_place(pod_id) else {
            return Err(Status::not_found(format!(
                "failed to find sandbox id {pod_id:?}: not found"
            )));
        };
        let pod = self.pods[place].status.id.clone();
        let config = request.config.unwrap_or_default();
        let metadata = config.metadata.clone().unwrap_or_default();
        if metadata.name.is_empty() {
            return Err(Status::unknown("container config must include metadata"));
        }
        let reference = config.image.as_ref().map_or("", |spec| &spec.image);
        if self.image(reference).is_none() {
            return Err(Status::not_found(format!(
                "failed to resolve image {reference:?}: not found"
            )));
        }
        let same = |container: &&Container| container.status.metadata.as_ref() == Some(&metadata);
        if let Some(holder) = self.containers_of(&pod).find(same) {
            let name = format!("{}_{}", metadata.name, metadata.attempt);
            return Err(Status::unknown(format!(
                "failed to reserve container name {name:?}: name {name:?} is reserved for {:?}",
                holder.status.id
            )));
        }
        let id = self.next_id("container");
        let status = cri::ContainerStatus {
            id: id.clone(),
            metadata: Some(metadata),
            state: ContainerState::ContainerCreated.into(),
            image: config.image.clone(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
            mounts: config.mounts.clone(),
            log_path: format!(
                "{}/{}",
                self.pods[place].config.log_directory, config.log_path
            ),
            resources: config.linux.as_ref().map(|linux| cri::ContainerResources {
                linux: linux.resources.clone(),
                windows: None,
            }),
            ..Default::default()
        };
        self.add_container(
            &pod,
            Container {
                status,
                config,
                pod: String::new(),
                image: String::new(),
                pid: 0,
                info: None,
                listed: None,
            },
        );
        self.tell(&id, Event::ContainerCreatedEvent);
        Ok(id)
    }

    /// `StartContainer`.
    pub(in crate::fake) fn start_container(&mut self, id: &str) -> Result<(), Status> {
        let place = self.container_place(id)?;
        let state = self.containers[place].status.state();
        if state != ContainerState::ContainerCreated {
            return Err(Status::unknown(format!(
                "failed to set starting state for container {id:?}: container is in {} state",
                state.as_str_name()
            )));
        }
        let pod = self.containers[place].pod.clone();
        if self
            .pod(&pod)
            .is_ok_and(|pod| pod.status.state() != PodSandboxState::SandboxReady)
        {
            return Err(Status::unknown(format!(
                "sandbox container {pod:?} is not running"
            )));
        }
        let (now, pid) = (self.clock.now(), self.next_pid());
        let container = &mut self.containers[place];
        container.listed = None;
        container.status.state = ContainerState::ContainerRunning.into();
        container.status.started_at = now;
        container.pid = pid;
        let id = container.status.id.clone();
        self.tell(&id, Event::ContainerStartedEvent);
        Ok(())
    }

    /// `StopContainer`.
    pub(in crate::fake) fn stop_container(&mut self, id: &str, timeout: i64) -> Result<(), Status> {
        let Ok(container) = self.container(id) else {
            return Ok(());
        };
        let id = container.status.id.clone();
        // Without time to end itself it is killed.
        if timeout > 0 {
            self.end_container(&id, 0, "Completed")
        } else {
            self.end_container(&id, 137, "Error")
        }
        Ok(())
    }

    /// `RemoveContainer`.
    pub(in crate::fake) fn remove_container(&mut self, id: &str) -> Result<(), Status> {
        let Ok(container) = self.container(id) else {
            return Ok(());
        };
        let id = container.status.id.clone();
        self.end_container(&id, 137, "Error");
        self.tell(&id, Event::ContainerDeletedEvent);
        self.containers
            .retain(|container| container.status.id != id);
        Ok(())
    }

    /// A running container ends by itself; also what a test calls to let one crash.
    pub fn end_container(&mut self, id: &str, code: i32, reason: &str) {
        let now = self.clock.now();
        let Ok(place) = self.container_place(id) else {
            return;
        };
        let container = &mut self.containers[place];
        if container.status.state() != ContainerState::ContainerRunning {
            return;
        }
        container.listed = None;
        container.status.state = ContainerState::ContainerExited.into();
        container.status.finished_at = now;
        container.status.exit_code = code;
        reason.clone_into(&mut container.status.reason);
        container.pid = 0;
        let id = container.status.id.clone();
        self.tell(&id, Event::ContainerStoppedEvent);
    }

    /// `UpdateContainerResources`: what is 0 or empty stays as it is.
    pub(in crate::fake) fn update_resources(
        &mut self,
        request: cri::UpdateContainerResourcesRequest,
    ) -> Result<(), Status> {
        let place = self.container_place(&request.container_id)?;
        let resources = self.containers[place]
            .status
            .resources
            .get_or_insert_default();
        let linux = resources.linux.get_or_insert_default();
        let new = request.linux.unwrap_or_default();
        let numbers = [
            (&mut linux.cpu_period, new.cpu_period),
            (&mut linux.cpu_quota, new.cpu_quota),
            (&mut linux.cpu_shares, new.cpu_shares),
            (&mut linux.memory_limit_in_bytes, new.memory_limit_in_bytes),
            (&mut linux.oom_score_adj, new.oom_score_adj),
        ];
        for (old, new) in numbers.into_iter().filter(|(_, new)| *new != 0) {
            *old = new;
        }
        for (old, new) in [
            (&mut linux.cpuset_cpus, new.cpuset_cpus),
            (&mut linux.cpuset_mems, new.cpuset_mems),
        ] {
            if !new.is_empty() {
                *old = new;
            }
        }
        Ok(())
    }

    /// `PullImage`: gives the id; what is there already stays.
    pub(in crate::fake) fn pull(&mut self, reference: &str) -> Result<String, Status> {
        if reference.is_empty() {
            return Err(Status::invalid_argument("image reference is empty"));
        }
        let allowed = match &self.remote {
            Remote::Anything => true,
            Remote::Only(names) => names.contains(reference),
        };
        if !allowed {
            return Err(self.runtime.kind.not_in_registry(reference));
        }
        if let Some(image) = self.image(reference) {
            return Ok(image.image.id.clone());
        }
        // Between 1 and 41 MB, by the name.
        let size = 1_000_000 + reference.bytes().map(u64::from).sum::<u64>() * 7919 % 40_000_000;
        Ok(self.add_image(Image::new(reference, size)))
    }

    /// `RemoveImage`: with all its names, whichever was given; also while containers use it.
    pub(in crate::fake) fn remove_image(&mut self, reference: &str) {
        if let Some(place) = self.image_place(reference) {
            self.images.remove(place);
        }
    }

    /// Removes one name of an image, as containerd's own service does; the image goes with its last name. False when
    /// there is no such name.
    pub(in crate::fake) fn remove_name(&mut self, name: &str) -> bool {
        let Some(place) = self
            .images
            .iter()
            .position(|image| image.names().any(|known| known == name))
        else {
            return false;
        };
        let image = &mut self.images[place];
        if image.image.id == name {
            image.image.id.clear();
        }
        image.image.repo_tags.retain(|tag| tag != name);
        image.image.repo_digests.retain(|digest| digest != name);
        if image.image.id.is_empty()
            || (image.image.repo_tags.is_empty() && image.image.repo_digests.is_empty())
        {
            self.images.remove(place);
        }
        true
    }

    /// The containers of a pod.
    pub(super) fn containers_of(&self, pod: &str) -> impl Iterator<Item = &Container> {
        self.containers
            .iter()
            .filter(move |container| container.pod == pod)
    }

    /// Tells the listeners what became of a container or sandbox.
    fn tell(&self, id: &str, event: Event) {
        let pod = match self.container(id) {
            Ok(container) => container.pod.clone(),
            Err(_) => id.to_owned(),
        };
        let statuses = self
            .containers_of(&pod)
            .map(|container| container.status.clone())
            .collect();
        // Nobody listening is fine.
        let _ = self.events.send(cri::ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: event.into(),
            created_at: self.clock.now(),
            pod_sandbox_status: self.pod(&pod).ok().map(|pod| pod.status.clone()),
            containers_statuses: statuses,
        });
    }
}

impl Image {
    /// All names it has in containerd's store: tags, digests, and its id.
    pub(in crate::fake) fn names(&self) -> impl Iterator<Item = &String> {
        self.image
            .repo_tags
            .iter()
            .chain(&self.image.repo_digests)
            .chain([&self.image.id])
    }
}

fn pod_name(metadata: &cri::PodSandboxMetadata) -> String {
    format!(
        "{}_{}_{}_{}",
        metadata.name, metadata.namespace, metadata.uid, metadata.attempt
    )
}
