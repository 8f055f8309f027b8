//! The kernel and its control groups.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Fact;

/// Which hierarchy of control groups is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupVersion {
    /// One hierarchy for each controller.
    V1,
    /// Version 1 with an empty version 2 beside it.
    Hybrid,
    /// The unified hierarchy.
    V2,
}

/// Control groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cgroup {
    /// Which hierarchy is mounted at /sys/fs/cgroup.
    pub version: Fact<CgroupVersion>,
    /// The controllers that the kernel offers.
    pub controllers: Fact<BTreeSet<String>>,
    /// Control groups of pods that are there: `kubepods` (cgroupfs), `kubepods.slice` (systemd).
    pub kubepods: Fact<BTreeSet<String>>,
    /// Whether groups can be frozen (version 2: `cgroup.freeze`, Linux 5.2).
    pub freezer: Fact<bool>,
}

/// Options of the kernel's configuration that pods need.
pub const POD_OPTIONS: &[&str] = &[
    "CONFIG_NAMESPACES",
    "CONFIG_NET_NS",
    "CONFIG_PID_NS",
    "CONFIG_IPC_NS",
    "CONFIG_UTS_NS",
    "CONFIG_CGROUPS",
    "CONFIG_CGROUP_BPF",
    "CONFIG_CGROUP_PIDS",
    "CONFIG_CGROUP_SCHED",
    "CONFIG_CPUSETS",
    "CONFIG_MEMCG",
    "CONFIG_INET",
    "CONFIG_FAIR_GROUP_SCHED",
    "CONFIG_SECCOMP",
    "CONFIG_SECCOMP_FILTER",
    "CONFIG_CFS_BANDWIDTH",
    "CONFIG_OVERLAY_FS",
];

/// The kernel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kernel {
    /// `uname -r`.
    pub release: Fact<String>,
    /// Modules that are loaded.
    pub modules: Fact<BTreeSet<String>>,
    /// Of the modules that are asked about: those that are built in, and those that could be loaded.
    pub available: Fact<BTreeMap<String, Availability>>,
    /// Sysctls that are asked about, those that exist; names with dots.
    pub sysctls: Fact<BTreeMap<String, String>>,
    /// File systems that the kernel knows.
    pub filesystems: Fact<BTreeSet<String>>,
    /// How many threads there are.
    pub threads: Fact<u64>,
    /// Swap areas in use.
    pub swaps: Fact<Vec<String>>,
    /// Lines of the kernel's log that speak of trouble, the newest last; with their age in seconds.
    pub log: Fact<Vec<LogLine>>,
    /// Pressure stall information, `some avg60` in percent: `cpu`, `memory`, `io`.
    pub pressure: Fact<BTreeMap<String, f64>>,
    /// Command names of processes in uninterruptible sleep, with their ids.
    pub stuck: Fact<Vec<Stuck>>,
    /// Whether Linux security modules are in force: `apparmor`, `selinux` with their mode.
    pub lsm: Fact<BTreeMap<String, String>>,
    /// Tables of netfilter in use: names in /proc/net/ip_tables_names.
    pub iptables_legacy: Fact<Vec<String>>,
    /// Network interfaces: names with their MTU.
    pub interfaces: Fact<BTreeMap<String, Interface>>,
    /// Options of the kernel's configuration that are asked about: `y`, `m`, or nothing.
    pub config: Fact<BTreeMap<String, String>>,
}

/// How a module could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Availability {
    /// It is part of the kernel.
    BuiltIn,
    /// It is on disk.
    Loadable,
    /// It is nowhere.
    Missing,
}

/// A line of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// How old it was when it was read, in seconds.
    pub age_seconds: u64,
    /// Its text.
    pub text: String,
}

/// A process in uninterruptible sleep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Its id.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// Where in the kernel it waits, if that may be seen.
    pub at: Option<String>,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// Whether it is up.
    pub up: bool,
}
