//! Releases of runtimes and of the kubelet: support, known faults, flags that are gone. Read from `releases.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::registry::version::Range;
use crate::registry::{RuntimeId, RuntimeName};

const BUILTIN: &str = include_str!("releases.toml");

/// How long a series of releases is supported.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Support {
    runtime: RuntimeName,
    series: String,
    /// The day, `YYYY-MM-DD`.
    pub(super) ends: String,
    #[serde(default)]
    long_term: bool,
}

/// A fault that some releases have.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Fault {
    runtime: RuntimeName,
    versions: Vec<String>,
    /// What happens.
    pub(super) note: String,
    /// A file that keeps it from happening.
    pub(super) unless_file: Option<String>,
    /// Whether it concerns only nodes with AppArmor.
    #[serde(default)]
    pub(super) needs_apparmor: bool,
    /// The releases that do not have it.
    pub(super) fixed: String,
}

/// The releases with which a version of Kubernetes is tested.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Tested {
    /// The minor version of Kubernetes 1.
    pub(super) kubernetes: u32,
    /// The first release of each series, the newest series first.
    pub(super) containerd: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Data {
    #[serde(default)]
    tested: Vec<Tested>,
    #[serde(default)]
    support: Vec<Support>,
    #[serde(default)]
    fault: Vec<Fault>,
    #[serde(default)]
    kubelet_flags_gone: BTreeMap<String, u32>,
}

/// What is built in; a test holds that it can be read.
static DATA: LazyLock<Data> = LazyLock::new(|| toml::from_str(BUILTIN).unwrap_or_default());

/// How long the series of a release is supported, if that is known.
pub(super) fn support(runtime: &RuntimeId) -> Option<&'static Support> {
    let series = format!("{}.{}", runtime.version.major(), runtime.version.minor());
    DATA.support
        .iter()
        .find(|support| support.runtime == runtime.name && support.series == series)
}

/// Whether a jump over several series is tested: from one long-term series to another.
pub(super) fn is_tested_jump(from: &RuntimeId, to: &RuntimeId) -> bool {
    let long = |runtime| support(runtime).is_some_and(|support| support.long_term);
    long(from) && long(to)
}

/// The faults that a release has.
pub(super) fn faults(runtime: &RuntimeId) -> impl Iterator<Item = &'static Fault> {
    DATA.fault.iter().filter(|fault| {
        let has = |range: &String| {
            range
                .parse::<Range>()
                .is_ok_and(|range| range.contains(&runtime.version))
        };
        fault.runtime == runtime.name && fault.versions.iter().any(has)
    })
}

/// The releases with which a minor version of Kubernetes is tested, if that is known.
pub(super) fn tested(minor: u32) -> Option<&'static Tested> {
    DATA.tested.iter().find(|tested| tested.kubernetes == minor)
}

/// The minor version of Kubernetes from which on the kubelet does not know a flag.
pub(super) fn kubelet_flag_gone(flag: &str) -> Option<u32> {
    DATA.kubelet_flags_gone.get(flag).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_can_be_read() {
        let data: Data = toml::from_str(BUILTIN).unwrap();
        assert!(data.support.len() > 4 && !data.fault.is_empty());
        assert!(data.tested.len() > 5);
        for version in data.tested.iter().flat_map(|tested| &tested.containerd) {
            assert!(
                version.parse::<crate::registry::version::Version>().is_ok(),
                "{version}"
            );
        }
        for range in data.fault.iter().flat_map(|fault| &fault.versions) {
            assert!(range.parse::<Range>().is_ok(), "{range}");
        }
    }

    #[test]
    fn faults_and_jumps() {
        let id = |runtime: &str| runtime.parse::<RuntimeId>().unwrap();
        let count = |runtime: &str| faults(&id(runtime)).count();
        assert_eq!(count("containerd@2.1.7"), 1);
        assert_eq!(count("containerd@2.1.8"), 0);
        assert_eq!(count("containerd@2.2.3"), 1);
        assert!(is_tested_jump(
            &id("containerd@1.7.28"),
            &id("containerd@2.3.0")
        ));
        assert!(!is_tested_jump(
            &id("containerd@1.7.28"),
            &id("containerd@2.2.0")
        ));
    }

    #[test]
    fn flags_that_are_gone() {
        assert_eq!(kubelet_flag_gone("--network-plugin"), Some(24));
        assert_eq!(kubelet_flag_gone("--node-ip"), None);
    }
}
