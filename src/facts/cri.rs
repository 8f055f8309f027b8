//! What a runtime answers over CRI, in the words of checks: names and numbers that are judged, nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fact;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// With an answer.
    Ok,
    /// The runtime does not know the call.
    Unimplemented,
    /// The runtime refused.
    Error,
    /// Not at all, within the deadline.
    Hung,
}

/// One RPC that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The name of the RPC.
    pub rpc: String,
    /// How it ended.
    pub answer: Answer,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// How many bytes came back.
    pub bytes: u64,
    /// The runtime's own words, if it refused.
    pub error: Option<String>,
}

/// What a runtime answers over CRI.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cri {
    /// `Version`.
    pub version: Fact<Version>,
    /// `Status`, verbose.
    pub status: Fact<Status>,
    /// `RuntimeConfig`; absent where the runtime does not know the call.
    pub runtime_config: Fact<RuntimeConfig>,
    /// `ListPodSandbox`.
    pub pods: Fact<List<Pod>>,
    /// `ListContainers`.
    pub containers: Fact<List<Container>>,
    /// `ListImages`.
    pub images: Fact<List<Image>>,
    /// `ImageFsInfo`.
    pub image_fs: Fact<Vec<FsUsage>>,
    /// `ImageStatus` of the sandbox image in force; absent if the runtime does not have it.
    pub sandbox_image: Fact<Image>,
    /// Answers about single containers; only from a deep look.
    pub inspected: Fact<Vec<Inspected>>,
}

/// Who a runtime says that it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// `containerd`, `cri-o`, `docker`.
    pub name: String,
    /// Its version, verbatim.
    pub version: String,
    /// The version of CRI that was spoken: `v1`, `v1alpha2`.
    pub api: String,
}

/// What a runtime says about its state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Conditions, in the runtime's order.
    pub conditions: Vec<Condition>,
    /// Runtime handlers, where the runtime lists them; the default one has no name.
    pub handlers: Vec<Handler>,
    /// Verbose information: values that are JSON are read, others stay texts.
    pub info: BTreeMap<String, Value>,
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `RuntimeReady`, `NetworkReady`, …
    pub kind: String,
    /// Whether it holds.
    pub status: bool,
    /// One word.
    pub reason: String,
    /// The runtime's own words.
    pub message: String,
}

/// A runtime handler and what it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handler {
    /// Its name; empty for the default one.
    pub name: String,
    /// Pods can have user namespaces.
    pub user_namespaces: Option<bool>,
    /// Mounts can be read-only all the way down.
    pub recursive_read_only_mounts: Option<bool>,
}

/// What a runtime tells the kubelet about its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeConfig {
    /// Who makes control groups.
    pub cgroup_driver: Option<CgroupDriver>,
}

/// Who makes control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// systemd, asked over D-Bus.
    Systemd,
    /// The runtime itself, by making directories.
    Cgroupfs,
}

impl CgroupDriver {
    /// The word in every configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Cgroupfs => "cgroupfs",
        }
    }
}

/// A list and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List<T> {
    /// Its elements.
    pub items: Vec<T>,
    /// How many bytes the answer had.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

/// A pod sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its id.
    pub id: String,
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's UID.
    pub uid: String,
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// Whether it is ready.
    pub ready: bool,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// The handler that runs it; empty for the default one.
    pub handler: String,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The sandbox that it belongs to.
    pub pod: String,
    /// Its name within the pod.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// The image as it was asked for, else as the runtime names it.
    pub image: String,
    /// What the runtime resolved the image to: an id or a digest.
    pub image_ref: String,
    /// How many times it was made anew.
    pub attempt: u32,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its names with tags.
    pub tags: Vec<String>,
    /// Its names with digests.
    pub digests: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// Whether garbage collection leaves it alone; none where the runtime does not say.
    pub pinned: bool,
}

/// How full a file system for images is, in the runtime's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FsUsage {
    /// Where it is mounted, or a directory on it.
    pub mountpoint: String,
    /// Bytes used by images.
    pub used_bytes: u64,
    /// Inodes used by images.
    pub inodes_used: u64,
}

/// What became of asking about one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspected {
    /// Its id.
    pub id: String,
    /// Its pod and name, as people call it.
    pub called: String,
    /// The process id of its task or shim, where known.
    pub pid: Option<u32>,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Whether there was no answer in time.
    pub hung: bool,
    /// What was said instead of an answer.
    pub error: Option<String>,
}

impl Status {
    /// A condition by its kind.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }

    /// A value in the verbose information: the entry and a JSON pointer within it.
    pub fn info(&self, entry: &str, pointer: &str) -> Option<&Value> {
        self.info.get(entry)?.pointer(pointer)
    }
}

/// A runtime handler as the runtime has configured it, from the verbose information of `Status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfiguredHandler {
    /// Its name.
    pub name: String,
    /// containerd's type: `io.containerd.runc.v2`; `oci` or `vm` on CRI-O.
    pub kind: String,
    /// The OCI runtime that it starts, a path or a name; none for the type's own.
    pub binary: Option<String>,
    /// Whether control groups are made by systemd, where it says.
    pub systemd_cgroup: Option<bool>,
    /// Whether it is what pods without a RuntimeClass get.
    pub is_default: bool,
}

impl ConfiguredHandler {
    /// The program that containerd starts for it: `containerd-shim-runc-v2`, or a path where the type is one.
    pub fn shim(&self) -> Option<String> {
        if self.kind.starts_with('/') {
            return Some(self.kind.clone());
        }
        let mut parts = self.kind.rsplit('.');
        let (version, name) = (parts.next()?, parts.next()?);
        self.kind
            .starts_with("io.containerd.")
            .then(|| format!("containerd-shim-{name}-{version}"))
    }
}

/// The handlers that a runtime tells in `Status`: containerd below `config`, CRI-O likewise.
pub fn handlers(status: Option<&Status>) -> Vec<ConfiguredHandler> {
    let Some(status) = status else {
        return Vec::new();
    };
    let text = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let table = |pointer: &str| status.info("config", pointer).and_then(Value::as_object);
    let mut found = Vec::new();
    let default = text(status.info("config", "/containerd/defaultRuntimeName"));
    for (name, runtime) in table("/containerd/runtimes").into_iter().flatten() {
        let options = |key: &str| runtime.pointer(&format!("/options/{key}"));
        found.push(ConfiguredHandler {
            name: name.clone(),
            kind: text(runtime.get("runtimePath"))
                .or_else(|| text(runtime.get("runtimeType")))
                .unwrap_or_default(),
            binary: text(options("BinaryName")),
            systemd_cgroup: options("SystemdCgroup").and_then(Value::as_bool),
            is_default: default.as_deref() == Some(name),
        });
    }
    let default = text(status.info("config", "/crio/DefaultRuntime"));
    for (name, runtime) in table("/crio/Runtimes").into_iter().flatten() {
        let key = |names: [&str; 2]| names.iter().find_map(|name| text(runtime.get(*name)));
        found.push(ConfiguredHandler {
            name: name.clone(),
            kind: key(["RuntimeType", "runtime_type"]).unwrap_or_default(),
            binary: key(["RuntimePath", "runtime_path"]).or_else(|| Some(name.clone())),
            systemd_cgroup: None,
            is_default: default.as_deref() == Some(name),
        });
    }
    found
}

/// Where a runtime looks for pod networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// Directories with configurations.
    pub config_directories: Vec<String>,
    /// Directories with programs.
    pub binary_directories: Vec<String>,
    /// How many configurations are read in their order; 0 is all.
    pub most: Option<u64>,
    /// Whether the runtime said so; otherwise these are the usual places.
    pub told: bool,
}

/// The places that a runtime tells in `Status`, else the usual ones.
pub fn networks(status: Option<&Status>) -> Networks {
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::String(text) if !text.is_empty() => vec![text.clone()],
            Value::Array(values) => values
                .iter()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        }
    };
    let find = |places: &[(&str, &str)]| -> Vec<String> {
        let found = places
            .iter()
            .filter_map(|(entry, pointer)| status?.info(entry, pointer));
        found
            .map(texts)
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    };
    let config = find(&[
        ("config", "/cni/confDir"),
        ("cniconfig", "/PluginConfDir"),
        ("config", "/crio/NetworkDir"),
    ]);
    let binaries = find(&[
        ("config", "/cni/binDirs"),
        ("config", "/cni/binDir"),
        ("cniconfig", "/PluginDirs"),
        ("config", "/crio/PluginDirs"),
    ]);
    let most = status.and_then(|status| status.info("config", "/cni/maxConfNum"));
    let usual = |found: Vec<String>, usual: &[&str]| {
        if found.is_empty() {
            usual.iter().map(|path| (*path).to_owned()).collect()
        } else {
            found
        }
    };
    Networks {
        told: !config.is_empty(),
        config_directories: usual(config, &["/etc/cni/net.d"]),
        binary_directories: usual(binaries, &["/opt/cni/bin"]),
        most: most.and_then(Value::as_u64),
    }
}
