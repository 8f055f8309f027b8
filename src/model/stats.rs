//! What containers and pods use: one look at the counters.

use std::collections::BTreeMap;

use super::{Row, label};
use crate::cri;

/// CPU time, as a counter at a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuSample {
    /// When the counter was read, in nanoseconds since 1970.
    pub at: i64,
    /// CPU time used since the start, in nanoseconds, over all cores.
    pub used: Option<u64>,
    /// The runtime's own rate, in nanoseconds a second, where it tells one.
    pub rate: Option<u64>,
}

impl CpuSample {
    /// The use between two samples in percent of one core; the runtime's own rate where the counter was not read again
    /// in between. `None`: cannot be told.
    #[expect(
        clippy::cast_precision_loss,
        reason = "two places are shown of what an f64 holds"
    )]
    pub fn percent_since(&self, before: &CpuSample) -> Option<f64> {
        let passed = self.at.checked_sub(before.at).filter(|passed| *passed > 0);
        let used = match (before.used, self.used) {
            // A counter that went back belongs to a process that was started again.
            (Some(before), Some(now)) => now.checked_sub(before),
            _ => None,
        };
        match (passed, used) {
            (Some(passed), Some(used)) => Some(used as f64 * 100.0 / passed as f64),
            _ => self.rate.map(|rate| rate as f64 / 1e7),
        }
    }
}

impl From<&cri::CpuUsage> for CpuSample {
    fn from(usage: &cri::CpuUsage) -> Self {
        Self {
            at: usage.timestamp,
            used: usage.usage_core_nano_seconds.map(|value| value.value),
            rate: usage.usage_nano_cores.map(|value| value.value),
        }
    }
}

/// What a container uses.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerStats {
    /// The container's id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// Labels of the container.
    pub labels: BTreeMap<String, String>,
    /// CPU time; absent for a container that does not run.
    pub cpu: Option<CpuSample>,
    /// Working set, in bytes.
    pub memory: Option<u64>,
    /// Bytes in the writable layer.
    pub disk: Option<u64>,
    /// Inodes in the writable layer.
    pub inodes: Option<u64>,
    /// Swap in use, in bytes.
    pub swap: Option<u64>,
}

impl From<cri::ContainerStats> for ContainerStats {
    fn from(stats: cri::ContainerStats) -> Self {
        let attributes = stats.attributes.unwrap_or_default();
        let layer = stats.writable_layer.unwrap_or_default();
        Self {
            id: attributes.id,
            name: attributes.metadata.unwrap_or_default().name,
            labels: attributes.labels,
            cpu: stats.cpu.as_ref().map(CpuSample::from),
            memory: stats
                .memory
                .and_then(|memory| memory.working_set_bytes)
                .map(|value| value.value),
            disk: layer.used_bytes.map(|value| value.value),
            inodes: layer.inodes_used.map(|value| value.value),
            swap: stats
                .swap
                .and_then(|swap| swap.swap_usage_bytes)
                .map(|value| value.value),
        }
    }
}

impl Row for ContainerStats {
    type Message = cri::ContainerStats;
    type Answer = cri::ListContainerStatsResponse;
    const PLURAL: &'static str = "container statistics";

    fn id(&self) -> &str {
        &self.id
    }
}

impl ContainerStats {
    /// The name of its pod, if the kubelet's label is there.
    pub fn pod_name(&self) -> Option<&str> {
        self.labels.get(label::POD_NAME).map(String::as_str)
    }

    /// The namespace of its pod, if the kubelet's label is there.
    pub fn pod_namespace(&self) -> Option<&str> {
        self.labels.get(label::POD_NAMESPACE).map(String::as_str)
    }
}

/// What a pod uses, its containers together.
#[derive(Debug, Clone, PartialEq)]
pub struct PodStats {
    /// The pod sandbox's id.
    pub id: String,
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// CPU time.
    pub cpu: Option<CpuSample>,
    /// Working set, in bytes.
    pub memory: Option<u64>,
    /// Bytes received and sent over the network since the start.
    pub network: Option<(u64, u64)>,
    /// Processes.
    pub processes: Option<u64>,
}

impl From<cri::PodSandboxStats> for PodStats {
    fn from(stats: cri::PodSandboxStats) -> Self {
        let attributes = stats.attributes.unwrap_or_default();
        let metadata = attributes.metadata.unwrap_or_default();
        let linux = stats.linux.unwrap_or_default();
        let value = |value: Option<cri::UInt64Value>| value.map(|value| value.value);
        let interface = linux.network.and_then(|network| network.default_interface);
        Self {
            id: attributes.id,
            name: metadata.name,
            namespace: metadata.namespace,
            cpu: linux.cpu.as_ref().map(CpuSample::from),
            memory: linux
                .memory
                .and_then(|memory| value(memory.working_set_bytes)),
            network: interface.map(|interface| {
                (
                    value(interface.rx_bytes).unwrap_or(0),
                    value(interface.tx_bytes).unwrap_or(0),
                )
            }),
            processes: linux
                .process
                .and_then(|process| value(process.process_count)),
        }
    }
}

impl Row for PodStats {
    type Message = cri::PodSandboxStats;
    type Answer = cri::ListPodSandboxStatsResponse;
    const PLURAL: &'static str = "pod statistics";

    fn id(&self) -> &str {
        &self.id
    }
}

/// Metrics of a pod, as far as a list has to know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodMetrics {
    /// The pod sandbox's id.
    pub id: String,
}

impl From<cri::PodSandboxMetrics> for PodMetrics {
    fn from(metrics: cri::PodSandboxMetrics) -> Self {
        Self {
            id: metrics.pod_sandbox_id,
        }
    }
}

impl Row for PodMetrics {
    type Message = cri::PodSandboxMetrics;
    type Answer = cri::ListPodSandboxMetricsResponse;
    const PLURAL: &'static str = "pod metrics";

    fn id(&self) -> &str {
        &self.id
    }
}

/// What a metric means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricDescriptor {
    /// The name of the metric.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// The keys of its labels, in the order of the values.
    pub label_keys: Vec<String>,
}

impl From<cri::MetricDescriptor> for MetricDescriptor {
    fn from(descriptor: cri::MetricDescriptor) -> Self {
        Self {
            name: descriptor.name,
            help: descriptor.help,
            label_keys: descriptor.label_keys,
        }
    }
}

impl Row for MetricDescriptor {
    type Message = cri::MetricDescriptor;
    type Answer = cri::ListMetricDescriptorsResponse;
    const PLURAL: &'static str = "metric descriptors";

    fn id(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: i64, used: Option<u64>, rate: Option<u64>) -> CpuSample {
        CpuSample { at, used, rate }
    }

    #[test]
    fn percent_of_one_core() {
        let before = sample(1_000_000_000, Some(5_000_000_000), Some(7_000_000));
        let percent = |at, used, rate| sample(at, used, rate).percent_since(&before);
        assert_eq!(
            percent(2_000_000_000, Some(5_500_000_000), None),
            Some(50.0)
        );
        assert_eq!(
            percent(3_000_000_000, Some(9_000_000_000), None),
            Some(200.0)
        );
        // Not read again in between: the runtime's own word, if it has one.
        assert_eq!(
            percent(1_000_000_000, Some(5_000_000_000), Some(20_000_000)),
            Some(2.0)
        );
        assert_eq!(percent(1_000_000_000, Some(5_000_000_000), None), None);
        // Started again.
        assert_eq!(percent(2_000_000_000, Some(1), None), None);
        assert_eq!(percent(2_000_000_000, None, None), None);
    }
}
