//! Figures: CPU, memory, disk, network. They follow from the id and the time, so they grow like real ones and are the
//! same in every run with a fixed clock.

use tonic::Status;

use super::{Container, Kind, Nanos, Pod, World};
use crate::cri;
use crate::cri::{ContainerState, PodSandboxState};

/// What `ListMetricDescriptors` tells; two of the many.
const METRICS: [(&str, &str); 2] = [
    (
        "container_cpu_usage_seconds_total",
        "Cumulative CPU time consumed in seconds.",
    ),
    (
        "container_memory_working_set_bytes",
        "Current working set in bytes.",
    ),
];

impl World {
    /// What `ContainerStats` answers.
    pub(in crate::fake) fn container_stats(&self, id: &str) -> Result<cri::ContainerStats, Status> {
        Ok(self.stats_of(self.container(id)?))
    }

    /// What `ListContainerStats` answers: containerd and cri-dockerd tell running ones only.
    pub(in crate::fake) fn list_container_stats(
        &self,
        filter: Option<&cri::ContainerStatsFilter>,
    ) -> Vec<cri::ContainerStats> {
        let filter = filter.cloned().unwrap_or_default();
        if let Some(recorded) = &self.recorded.container_stats {
            let fits = |stats: &&cri::ContainerStats| {
                stats.attributes.as_ref().is_some_and(|attributes| {
                    let container = self.container(&attributes.id).ok();
                    let pod = container.map_or("", |container| &container.pod);
                    attributes.id.starts_with(&filter.id)
                        && pod.starts_with(&filter.pod_sandbox_id)
                        && super::list::selected(&attributes.labels, &filter.label_selector)
                })
            };
            return recorded.iter().filter(fits).cloned().collect();
        }
        let list = self.listed(filter.id, filter.pod_sandbox_id, filter.label_selector);
        list.filter(|container| container.status.state() == ContainerState::ContainerRunning)
            .map(|container| self.stats_of(container))
            .collect()
    }

    /// What `PodSandboxStats` answers.
    pub(in crate::fake) fn pod_stats(&self, id: &str) -> Result<cri::PodSandboxStats, Status> {
        Ok(self.stats_of_pod(self.pod(id)?))
    }

    /// What `ListPodSandboxStats` answers: ready ones only.
    pub(in crate::fake) fn list_pod_stats(
        &self,
        filter: Option<&cri::PodSandboxStatsFilter>,
    ) -> Vec<cri::PodSandboxStats> {
        let filter = filter.cloned().unwrap_or_default();
        if let Some(recorded) = &self.recorded.pod_stats {
            let fits = |stats: &&cri::PodSandboxStats| {
                stats.attributes.as_ref().is_some_and(|attributes| {
                    attributes.id.starts_with(&filter.id)
                        && super::list::selected(&attributes.labels, &filter.label_selector)
                })
            };
            return recorded.iter().filter(fits).cloned().collect();
        }
        let wanted = self
            .pod(&filter.id)
            .map_or(filter.id, |pod| pod.status.id.clone());
        let fits = |pod: &&Pod| {
            (wanted.is_empty() || pod.status.id == wanted)
                && pod.status.state() == PodSandboxState::SandboxReady
                && super::list::selected(&pod.status.labels, &filter.label_selector)
        };
        self.pods
            .iter()
            .filter(fits)
            .map(|pod| self.stats_of_pod(pod))
            .collect()
    }

    /// What `ImageFsInfo` answers.
    pub(in crate::fake) fn image_fs_info(&self) -> cri::ImageFsInfoResponse {
        if let Some(recorded) = &self.recorded.image_fs {
            return recorded.clone();
        }
        let used = self
            .images
            .iter()
            .map(|image| image.image.size * 5 / 2)
            .sum();
        let images = self.usage(used, 24 * self.images.len() as u64);
        let containers = self.usage(
            12_288 * self.containers.len() as u64,
            8 * self.containers.len() as u64,
        );
        cri::ImageFsInfoResponse {
            image_filesystems: vec![images],
            // containerd tells one file system, the others two.
            container_filesystems: match self.runtime.kind {
                Kind::Containerd => vec![],
                Kind::CriO | Kind::Docker => vec![containers],
            },
        }
    }

    /// What `ListMetricDescriptors` answers.
    pub(in crate::fake) fn metric_descriptors(&self) -> Vec<cri::MetricDescriptor> {
        if let Some(recorded) = &self.recorded.descriptors {
            return recorded.clone();
        }
        let keys = || {
            ["pod", "namespace", "container", "id", "image"]
                .map(str::to_owned)
                .to_vec()
        };
        METRICS
            .iter()
            .map(|&(name, help)| cri::MetricDescriptor {
                name: name.into(),
                help: help.into(),
                label_keys: keys(),
            })
            .collect()
    }

    /// What `ListPodSandboxMetrics` answers.
    pub(in crate::fake) fn pod_metrics(&self) -> Vec<cri::PodSandboxMetrics> {
        if let Some(recorded) = &self.recorded.metrics {
            return recorded.clone();
        }
        let ready = |pod: &&Pod| pod.status.state() == PodSandboxState::SandboxReady;
        self.pods
            .iter()
            .filter(ready)
            .map(|pod| cri::PodSandboxMetrics {
                pod_sandbox_id: pod.status.id.clone(),
                metrics: vec![],
                container_metrics: self
                    .containers_of(&pod.status.id)
                    .filter(|container| {
                        container.status.state() == ContainerState::ContainerRunning
                    })
                    .map(|container| self.metrics_of(pod, container))
                    .collect(),
            })
            .collect()
    }

    fn metrics_of(&self, pod: &Pod, container: &Container) -> cri::ContainerMetrics {
        let stats = self.stats_of(container);
        let metadata = pod.status.metadata.clone().unwrap_or_default();
        let name = container
            .status
            .metadata
            .as_ref()
            .map(|metadata| metadata.name.clone())
            .unwrap_or_default();
        let image = container
            .status
            .image
            .as_ref()
            .map(|spec| spec.image.clone())
            .unwrap_or_default();
        let labels = vec![
            metadata.name,
            metadata.namespace,
            name,
            container.status.id.clone(),
            image,
        ];
        let cpu = stats
            .cpu
            .and_then(|cpu| cpu.usage_core_nano_seconds)
            .map(|used| used.value / 1_000_000_000);
        let memory = stats
            .memory
            .and_then(|memory| memory.working_set_bytes)
            .map(|used| used.value);
        let values = [
            (cpu, cri::MetricType::Counter),
            (memory, cri::MetricType::Gauge),
        ];
        let metrics = METRICS
            .iter()
            .zip(values)
            .map(|(&(name, _), (value, kind))| cri::Metric {
                name: name.to_owned(),
                timestamp: self.clock.now(),
                metric_type: kind.into(),
                label_values: labels.clone(),
                value: value.map(|value| cri::UInt64Value { value }),
            });
        cri::ContainerMetrics {
            container_id: container.status.id.clone(),
            metrics: metrics.collect(),
        }
    }

    fn listed(
        &self,
        id: String,
        pod: String,
        labels: std::collections::BTreeMap<String, String>,
    ) -> impl Iterator<Item = &Container> {
        let id = self
            .container(&id)
            .map_or(id, |container| container.status.id.clone());
        let pod = self.pod(&pod).map_or(pod, |pod| pod.status.id.clone());
        self.containers.iter().filter(move |container| {
            (id.is_empty() || container.status.id == id)
                && (pod.is_empty() || container.pod == pod)
                && super::list::selected(&container.status.labels, &labels)
        })
    }

    fn stats_of(&self, container: &Container) -> cri::ContainerStats {
        let status = &container.status;
        let attributes = cri::ContainerAttributes {
            id: status.id.clone(),
            metadata: status.metadata.clone(),
            labels: status.labels.clone(),
            annotations: status.annotations.clone(),
        };
        let running = status.state() == ContainerState::ContainerRunning;
        let limit = status
            .resources
            .as_ref()
            .and_then(|resources| resources.linux.as_ref());
        let limit = limit.map_or(0, |limit| {
            u64::try_from(limit.memory_limit_in_bytes).unwrap_or_default()
        });
        cri::ContainerStats {
            attributes: Some(attributes),
            cpu: running.then(|| self.cpu(&status.id, status.started_at)),
            memory: running.then(|| self.memory(&status.id, limit)),
            writable_layer: Some(self.usage(
                8192 + weight(&status.id, 2) * 4096,
                5 + weight(&status.id, 3),
            )),
            swap: None,
            io: None,
        }
    }

    fn stats_of_pod(&self, pod: &Pod) -> cri::PodSandboxStats {
        let status = &pod.status;
        let containers: Vec<_> = self
            .containers_of(&status.id)
            .filter(|container| container.status.state() == ContainerState::ContainerRunning)
            .map(|container| self.stats_of(container))
            .collect();
        let now = self.clock.now();
        let received = elapsed(status.created_at, now) / 1_000_000 * (1 + weight(&status.id, 4));
        let interface = cri::NetworkInterfaceUsage {
            name: "eth0".to_owned(),
            rx_bytes: some(received),
            rx_errors: some(0),
            tx_bytes: some(received / 3),
            tx_errors: some(0),
        };
        let linux = cri::LinuxPodSandboxStats {
            cpu: Some(self.cpu(&status.id, status.created_at)),
            memory: Some(self.memory(&status.id, 0)),
            network: Some(cri::NetworkUsage {
                timestamp: now,
                default_interface: Some(interface),
                interfaces: vec![],
            }),
            process: Some(cri::ProcessUsage {
                timestamp: now,
                process_count: some(1 + containers.len() as u64),
            }),
            containers,
            io: None,
        };
        cri::PodSandboxStats {
            attributes: Some(cri::PodSandboxAttributes {
                id: status.id.clone(),
                metadata: status.metadata.clone(),
                labels: status.labels.clone(),
                annotations: status.annotations.clone(),
            }),
            linux: Some(linux),
            windows: None,
        }
    }

    fn cpu(&self, id: &str, since: Nanos) -> cri::CpuUsage {
        let now = self.clock.now();
        // Between 0.1 % and 25 % of a core.
        let per_mille = 1 + weight(id, 0);
        cri::CpuUsage {
            timestamp: now,
            usage_core_nano_seconds: some(elapsed(since, now) / 1000 * per_mille),
            usage_nano_cores: some(per_mille * 1_000_000),
            psi: None,
        }
    }

    fn memory(&self, id: &str, limit: u64) -> cri::MemoryUsage {
        let mut used = 4_194_304 + weight(id, 1) * 1_048_576;
        if limit > 0 {
            used = used.min(limit / 10 * 7);
        }
        cri::MemoryUsage {
            timestamp: self.clock.now(),
            working_set_bytes: some(used),
            available_bytes: some(limit.saturating_sub(used)),
            usage_bytes: some(used + used / 4),
            rss_bytes: some(used / 2),
            page_faults: some(used / 4096),
            major_page_faults: some(0),
            psi: None,
        }
    }

    fn usage(&self, bytes: u64, inodes: u64) -> cri::FilesystemUsage {
        let mountpoint = match self.runtime.kind {
            Kind::Containerd => "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs",
            Kind::CriO => "/var/lib/containers/storage/overlay-images",
            Kind::Docker => "/var/lib/docker",
        };
        cri::FilesystemUsage {
            timestamp: self.clock.now(),
            fs_id: Some(cri::FilesystemIdentifier {
                mountpoint: mountpoint.to_owned(),
            }),
            used_bytes: some(bytes),
            inodes_used: some(inodes),
        }
    }
}

fn some(value: u64) -> Option<cri::UInt64Value> {
    Some(cri::UInt64Value { value })
}

fn elapsed(since: Nanos, now: Nanos) -> u64 {
    u64::try_from(now.saturating_sub(since)).unwrap_or_default()
}

/// A number below 256 that follows from an id.
fn weight(id: &str, which: usize) -> u64 {
    let digits = id
        .as_bytes()
        .get(2 * which..2 * which + 2)
        .unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .unwrap_or(7)
}
