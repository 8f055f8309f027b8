//! What differs between runtimes and their versions: which APIs and RPCs they serve, their ids, their words.
//!
//! Texts are those of containerd 1.6 and 2.x, CRI-O 1.37 and cri-dockerd as they answered for real. From which version
//! on an RPC is served follows the CRI release that brought it and the runtime release that took that in.

use tonic::{Code, Status};

/// Which family of runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// containerd.
    Containerd,
    /// CRI-O.
    CriO,
    /// dockershim and cri-dockerd, which call themselves `docker`.
    Docker,
}

/// The runtime as `Version` tells it.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Its family, by name; an unknown name behaves like containerd.
    pub kind: Kind,
    /// `containerd`, `cri-o`, `docker`.
    pub name: String,
    /// As the runtime writes it, e.g. `1.6.20~ds1`.
    pub version: String,
    release: (u32, u32),
}

/// From which release on an RPC is served: containerd, CRI-O, and whether cri-dockerd does. What is not here, all do.
const SINCE: [(&str, Release, Release, bool); 10] = [
    ("PodSandboxStats", Some((1, 6)), Some((1, 23)), false),
    ("ListPodSandboxStats", Some((1, 6)), Some((1, 23)), false),
    ("GetContainerEvents", Some((1, 7)), Some((1, 26)), false),
    ("CheckpointContainer", Some((2, 1)), Some((1, 25)), false),
    ("RuntimeConfig", Some((2, 0)), Some((1, 28)), false),
    ("ListMetricDescriptors", Some((2, 2)), Some((1, 26)), false),
    ("ListPodSandboxMetrics", Some((2, 2)), Some((1, 26)), false),
    (
        "UpdatePodSandboxResources",
        Some((2, 1)),
        Some((1, 33)),
        false,
    ),
    ("CheckpointPod", None, None, false),
    ("RestorePod", None, None, false),
];

type Release = Option<(u32, u32)>;

impl Runtime {
    /// A runtime by name and version; the version is read tolerantly (`v2.2.0-k3s1`, `2.1.9+unknown`).
    pub fn new(name: &str, version: &str) -> Self {
        let kind = match name {
            "cri-o" => Kind::CriO,
            "docker" => Kind::Docker,
            _ => Kind::Containerd,
        };
        let mut numbers = version
            .trim_start_matches('v')
            .split(|c: char| !c.is_ascii_digit());
        // What is no number is a build of something newer: `2.head`.
        let mut number = || {
            numbers
                .next()
                .map_or(0, |digits| digits.parse().unwrap_or(u32::MAX))
        };
        let release = (number(), number());
        Self {
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            release,
        }
    }

    /// Major and minor.
    pub fn release(&self) -> (u32, u32) {
        self.release
    }

    /// Whether it serves CRI v1, and whether v1alpha2.
    pub(in crate::fake) fn apis(&self) -> (bool, bool) {
        match self.kind {
            Kind::Containerd => (self.release >= (1, 6), self.release < (2, 0)),
            Kind::CriO => (self.release >= (1, 20), self.release < (1, 26)),
            Kind::Docker => (true, false),
        }
    }

    /// Whether this release serves an RPC of CRI; the `Stream…` lists are switched on elsewhere.
    pub(in crate::fake) fn serves(&self, rpc: &str) -> bool {
        let Some((_, containerd, crio, docker)) = SINCE.iter().find(|(name, ..)| *name == rpc)
        else {
            return true;
        };
        match self.kind {
            Kind::Containerd => containerd.is_some_and(|since| self.release >= since),
            Kind::CriO => crio.is_some_and(|since| self.release >= since),
            Kind::Docker => *docker,
        }
    }

    /// Whether containers carry `image_id`, which came with CRI 1.29.
    pub(super) fn tells_image_id(&self) -> bool {
        match self.kind {
            Kind::Containerd => self.release >= (2, 0),
            Kind::CriO => self.release >= (1, 29),
            Kind::Docker => false,
        }
    }

    /// What it says about an RPC that it does not serve.
    pub(in crate::fake) fn unimplemented(&self, service: &str, rpc: &str) -> Status {
        Status::unimplemented(match self.kind {
            Kind::Docker => format!("method {rpc} not implemented"),
            Kind::Containerd | Kind::CriO => format!("unknown method {rpc} for service {service}"),
        })
    }
}

impl Kind {
    /// The image id as this family writes it.
    pub(super) fn image_id(self, id: &str) -> String {
        let bare = id.trim_start_matches("sha256:");
        match self {
            Self::CriO => bare.to_owned(),
            Self::Containerd | Self::Docker => format!("sha256:{bare}"),
        }
    }

    pub(super) fn no_container(self, id: &str) -> Status {
        match self {
            Self::Containerd => Status::not_found(format!(
                "an error occurred when try to find container {id:?}: not found"
            )),
            Self::CriO => Status::not_found(format!(
                "could not find container {id:?}: container with ID starting with {id} not found: ID does not exist"
            )),
            Self::Docker => no_such_container(id),
        }
    }

    pub(super) fn no_pod(self, id: &str) -> Status {
        match self {
            Self::Containerd => {
                Status::not_found("an error occurred when try to find sandbox: not found")
            }
            Self::CriO => Status::not_found(format!(
                "could not find pod {id:?}: PodSandbox with ID starting with {id} not found: ID does not exist"
            )),
            Self::Docker => no_such_container(id),
        }
    }

    /// An id that begins several.
    pub(super) fn ambiguous(self, id: &str) -> Status {
        Status::unknown(match self {
            Self::Docker => {
                format!("Error response from daemon: Multiple IDs found with provided prefix: {id}")
            }
            Self::Containerd | Self::CriO => {
                format!("multiple IDs found with provided prefix: {id}")
            }
        })
    }

    /// A pull of what the registry does not have.
    pub(super) fn not_in_registry(self, reference: &str) -> Status {
        match self {
            Self::Containerd => Status::not_found(format!(
                "failed to pull and unpack image {reference:?}: failed to resolve reference {reference:?}: {reference}: not found"
            )),
            Self::CriO => Status::new(
                Code::Unknown,
                format!(
                    "unable to pull image or OCI artifact: pull image err: reading manifest: manifest unknown: {reference}"
                ),
            ),
            Self::Docker => Status::unknown(format!(
                "Error response from daemon: manifest for {reference} not found: manifest unknown"
            )),
        }
    }
}

fn no_such_container(id: &str) -> Status {
    Status::unknown(format!(
        "Error response from daemon: No such container: {id}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(name: &str, version: &str, apis: (bool, bool), runtime_config: bool) {
        let runtime = Runtime::new(name, version);
        assert_eq!(runtime.apis(), apis, "{name} {version}");
        assert_eq!(
            runtime.serves("RuntimeConfig"),
            runtime_config,
            "{name} {version}"
        );
        assert!(runtime.serves("ListContainers"));
    }

    #[test]
    fn what_is_served_follows_the_version() {
        case("containerd", "1.4.13~ds1", (false, true), false);
        case("containerd", "1.6.20~ds1", (true, true), false);
        case("containerd", "1.7.34", (true, true), false);
        case("containerd", "v2.2.0-k3s1", (true, false), true);
        case("containerd", "2.head", (true, false), true);
        case("cri-o", "1.37.0", (true, false), true);
        case("docker", "20.10.24+dfsg1", (true, false), false);
    }
}
