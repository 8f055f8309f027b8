//! The verbose answers: JSON texts beside the status, with the keys that each runtime really gives.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tonic::Status;

use super::{Container, Image, Kind, Pod, World};
use crate::cri;

type Info = BTreeMap<String, String>;

impl World {
    /// What `Status` answers.
    pub(in crate::fake) fn status(&self, verbose: bool) -> cri::StatusResponse {
        let mut answer = cri::StatusResponse {
            status: Some(cri::RuntimeStatus {
                conditions: self.conditions.clone(),
            }),
            info: if verbose {
                self.runtime_info()
            } else {
                Info::new()
            },
            ..Default::default()
        };
        if let Some(handlers) = &self.recorded.handlers {
            answer.runtime_handlers.clone_from(handlers);
            answer.features = self.recorded.features;
            return answer;
        }
        // Handlers came with CRI 1.29, features with 1.31.
        let handlers = match self.runtime.kind {
            Kind::Containerd => self.runtime.release() >= (2, 0),
            Kind::CriO => self.runtime.release() >= (1, 30),
            Kind::Docker => false,
        };
        if handlers {
            let features = Some(cri::RuntimeHandlerFeatures {
                recursive_read_only_mounts: true,
                user_namespaces: false,
            });
            let names = std::iter::once("").chain(self.handlers.iter().map(String::as_str));
            answer.runtime_handlers = names
                .map(|name| cri::RuntimeHandler {
                    name: name.to_owned(),
                    features,
                })
                .collect();
            answer.features = Some(cri::RuntimeFeatures {
                supplemental_groups_policy: true,
                ..Default::default()
            });
        }
        answer
    }

    /// What `PodSandboxStatus` answers.
    pub(in crate::fake) fn pod_status(
        &self,
        request: &cri::PodSandboxStatusRequest,
    ) -> Result<cri::PodSandboxStatusResponse, Status> {
        let pod = self.pod(&request.pod_sandbox_id)?;
        Ok(cri::PodSandboxStatusResponse {
            status: Some(pod.status.clone()),
            info: if request.verbose {
                self.pod_info(pod)
            } else {
                Info::new()
            },
            ..Default::default()
        })
    }

    /// What `ContainerStatus` answers.
    pub(in crate::fake) fn container_status(
        &self,
        request: &cri::ContainerStatusRequest,
    ) -> Result<cri::ContainerStatusResponse, Status> {
        let container = self.container(&request.container_id)?;
        Ok(cri::ContainerStatusResponse {
            status: Some(container.status.clone()),
            info: if request.verbose {
                self.container_info(container)
            } else {
                Info::new()
            },
        })
    }

    /// What `ImageStatus` answers: no image is no error.
    pub(in crate::fake) fn image_status(
        &self,
        request: &cri::ImageStatusRequest,
    ) -> cri::ImageStatusResponse {
        let reference = request.image.as_ref().map_or("", |spec| &spec.image);
        let image = self.image(reference);
        cri::ImageStatusResponse {
            image: image.map(|image| image.image.clone()),
            info: image
                .filter(|_| request.verbose)
                .map(|image| self.image_info(image))
                .unwrap_or_default(),
        }
    }

    fn pause_image(&self) -> String {
        let pause = self
            .images
            .iter()
            .find(|image| image.names().any(|name| name.contains("/pause:")));
        pause
            .and_then(|image| image.image.repo_tags.first().cloned())
            .unwrap_or_default()
    }

    fn runtime_info(&self) -> Info {
        if let Some(info) = &self.recorded.info {
            return info.clone();
        }
        let mut info = match self.runtime.kind {
            Kind::Containerd => texts([
                ("cniconfig", cni_config()),
                ("config", self.containerd_config()),
                (
                    "golang",
                    json!(if self.runtime.release() < (2, 0) {
                        "go1.19.8"
                    } else {
                        "go1.24.6"
                    }),
                ),
                ("lastCNILoadStatus", json!("OK")),
                ("lastCNILoadStatus.default", json!("OK")),
            ]),
            Kind::CriO => texts([(
                "config",
                json!({
                    "sandboxImage": self.pause_image(),
                    "crio": {
                        "CgroupManagerName": match self.cgroup_driver {
                            cri::CgroupDriver::Systemd => "systemd",
                            cri::CgroupDriver::Cgroupfs => "cgroupfs",
                        },
                        "DefaultRuntime": "runc",
                        "LogLevel": "info",
                        "PidsLimit": -1,
                        "Runtimes": {"runc": {"RuntimePath": "/usr/bin/runc", "RuntimeType": "oci"}},
                    },
                }),
            )]),
            Kind::Docker => texts([("config", json!({"sandboxImage": self.pause_image()}))]),
        };
        info.extend(self.status_info.clone());
        info
    }

    fn containerd_config(&self) -> Value {
        let systemd = self.cgroup_driver == cri::CgroupDriver::Systemd;
        let runtimes: serde_json::Map<_, _> = self
            .handlers
            .iter()
            .map(|name| {
                (
                    name.clone(),
                    json!({
                        "runtimeType": "io.containerd.runc.v2",
                        "runtimePath": "",
                        "options": {"BinaryName": "/usr/sbin/runc", "SystemdCgroup": systemd},
                        "privileged_without_host_devices": false,
                    }),
                )
            })
            .collect();
        let mut config = json!({
            "cni": {"confDir": "/etc/cni/net.d", "confTemplate": "", "ipPref": "", "maxConfNum": 1},
            "containerd": {"defaultRuntimeName": "runc", "runtimes": runtimes},
            "containerdEndpoint": "/run/containerd/containerd.sock",
            "containerdRootDir": "/var/lib/containerd",
            "enableSelinux": false,
            "restrictOOMScoreAdj": false,
            "rootDir": "/var/lib/containerd/io.containerd.grpc.v1.cri",
            "stateDir": "/run/containerd/io.containerd.grpc.v1.cri",
        });
        if self.runtime.release() < (2, 0) {
            // From 2.0 on neither registry nor sandbox image are told any more.
            config["cni"]["binDir"] = json!("/opt/cni/bin");
            config["containerd"]["snapshotter"] = json!("overlayfs");
            config["registry"] = json!({
                "auths": null, "configPath": "/etc/containerd/certs.d", "configs": null, "headers": null, "mirrors": null,
            });
            config["sandboxImage"] = json!(self.pause_image());
            config["maxConcurrentDownloads"] = json!(3);
            config["streamServerAddress"] = json!("127.0.0.1");
            config["streamServerPort"] = json!("0");
        } else {
            config["cni"]["binDirs"] = json!(["/opt/cni/bin"]);
        }
        config
    }

    fn pod_info(&self, pod: &Pod) -> Info {
        if let Some(info) = &pod.info {
            return info.clone();
        }
        let spec = self.pod_spec(pod);
        match self.runtime.kind {
            Kind::Containerd => texts([(
                "info",
                json!({
                    "pid": pod.pid,
                    "processStatus": if pod.pid == 0 { "deleted" } else { "running" },
                    "netNamespaceClosed": pod.pid == 0,
                    "image": self.pause_image(),
                    "snapshotKey": pod.status.id,
                    "snapshotter": "overlayfs",
                    "runtimeHandler": pod.status.runtime_handler,
                    "runtimeType": "io.containerd.runc.v2",
                    "runtimeOptions": {"binary_name": "/usr/sbin/runc"},
                    "config": {
                        "metadata": pod.status.metadata.as_ref().map(|metadata| json!({
                            "name": metadata.name, "uid": metadata.uid, "namespace": metadata.namespace,
                        })),
                        "hostname": pod.config.hostname,
                        "log_directory": pod.config.log_directory,
                        "labels": pod.status.labels,
                        "annotations": pod.status.annotations,
                        "linux": {"cgroup_parent": cgroup_parent(pod)},
                    },
                    "runtimeSpec": spec,
                    "cniResult": self.cni_result(pod),
                }),
            )]),
            Kind::CriO => texts([(
                "info",
                json!({"image": self.pause_image(), "pid": pod.pid, "runtimeSpec": spec}),
            )]),
            Kind::Docker => Info::new(),
        }
    }

    fn pod_spec(&self, pod: &Pod) -> Value {
        let metadata = pod.status.metadata.clone().unwrap_or_default();
        json!({
            "ociVersion": "1.1.0",
            "process": {"user": {"uid": 65535, "gid": 65535}, "args": ["/pause"], "cwd": "/", "oomScoreAdj": -998},
            "root": {"path": "rootfs", "readonly": true},
            "hostname": pod.config.hostname,
            "annotations": {
                "io.kubernetes.cri.container-type": "sandbox",
                "io.kubernetes.cri.sandbox-id": pod.status.id,
                "io.kubernetes.cri.sandbox-name": metadata.name,
                "io.kubernetes.cri.sandbox-namespace": metadata.namespace,
                "io.kubernetes.cri.sandbox-uid": metadata.uid,
            },
            "linux": {"cgroupsPath": self.cgroups_path(pod, &pod.status.id)},
        })
    }

    fn cni_result(&self, pod: &Pod) -> Value {
        let ip = pod
            .status
            .network
            .as_ref()
            .map_or("", |network| &network.ip);
        if ip.is_empty() {
            return Value::Null;
        }
        json!({
            "Interfaces": {"eth0": {
                "IPConfigs": [{"IP": ip, "Gateway": "10.244.0.1"}],
                "Sandbox": format!("/var/run/netns/cni-{}", pod.status.id.get(..8).unwrap_or(&pod.status.id)),
            }},
            "Routes": [{"dst": "0.0.0.0/0"}],
        })
    }

    fn container_info(&self, container: &Container) -> Info {
        if let Some(info) = &container.info {
            return info.clone();
        }
        let spec = self.container_spec(container);
        match self.runtime.kind {
            Kind::Containerd => texts([(
                "info",
                json!({
                    "sandboxID": container.pod,
                    "pid": container.pid,
                    "removing": false,
                    "snapshotKey": container.status.id,
                    "snapshotter": "overlayfs",
                    "runtimeType": "io.containerd.runc.v2",
                    "runtimeOptions": {"binary_name": "/usr/sbin/runc"},
                    "config": {
                        "metadata": container.status.metadata.as_ref().map(|metadata| json!({"name": metadata.name})),
                        "image": {"image": container.image},
                        "command": container.config.command,
                        "args": container.config.args,
                        "labels": container.status.labels,
                        "annotations": container.status.annotations,
                        "log_path": container.config.log_path,
                    },
                    "runtimeSpec": spec,
                }),
            )]),
            Kind::CriO => texts([(
                "info",
                json!({"sandboxID": container.pod, "pid": container.pid, "privileged": false, "runtimeSpec": spec}),
            )]),
            Kind::Docker => Info::new(),
        }
    }

    fn container_spec(&self, container: &Container) -> Value {
        let pod = self.pod(&container.pod).ok();
        let limit = container
            .status
            .resources
            .as_ref()
            .and_then(|resources| resources.linux.as_ref());
        let args: Vec<_> = container
            .config
            .command
            .iter()
            .chain(&container.config.args)
            .collect();
        json!({
            "ociVersion": "1.1.0",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": args,
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "cwd": "/",
                "oomScoreAdj": 1000,
            },
            "root": {"path": "rootfs"},
            "annotations": {
                "io.kubernetes.cri.container-type": "container",
                "io.kubernetes.cri.container-name": container.status.metadata.as_ref().map(|metadata| &metadata.name),
                "io.kubernetes.cri.image-name": container.status.image.as_ref().map(|spec| &spec.image),
                "io.kubernetes.cri.sandbox-id": container.pod,
            },
            "linux": {
                "resources": {"memory": {"limit": limit.map(|limit| limit.memory_limit_in_bytes)}},
                "cgroupsPath": pod.map(|pod| self.cgroups_path(pod, &container.status.id)),
            },
        })
    }

    fn cgroups_path(&self, pod: &Pod, id: &str) -> String {
        let parent = cgroup_parent(pod);
        match self.cgroup_driver {
            cri::CgroupDriver::Systemd => format!("{parent}:cri-containerd:{id}"),
            cri::CgroupDriver::Cgroupfs => format!("{parent}/{id}"),
        }
    }

    fn image_info(&self, image: &Image) -> Info {
        if let Some(info) = &image.info {
            return info.clone();
        }
        let layer = format!(
            "sha256:{}",
            super::digest(&format!("layer/{}", image.digest))
        );
        let spec = json!({
            "created": "2024-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Cmd": ["/bin/sh"],
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "demo"}],
        });
        match self.runtime.kind {
            Kind::Containerd => texts([("info", json!({"chainID": layer, "imageSpec": spec}))]),
            Kind::CriO | Kind::Docker => {
                texts([("info", json!({"labels": {}, "imageSpec": spec}))])
            }
        }
    }
}

fn cgroup_parent(pod: &Pod) -> &str {
    pod.config
        .linux
        .as_ref()
        .map_or("", |linux| &linux.cgroup_parent)
}

fn cni_config() -> Value {
    let plugin =
        |kind: &str| json!({"Network": {"type": kind, "dns": {}, "ipam": {}}, "Source": ""});
    json!({
        "PluginDirs": ["/opt/cni/bin"],
        "PluginConfDir": "/etc/cni/net.d",
        "PluginMaxConfNum": 1,
        "Prefix": "eth",
        "Networks": [
            {"IFName": "lo", "Config": {"Name": "cni-loopback", "CNIVersion": "0.3.1", "Plugins": [plugin("loopback")]}},
            {"IFName": "eth0", "Config": {"Name": "cbr0", "CNIVersion": "1.0.0", "Plugins": [plugin("bridge"), plugin("portmap")]}},
        ],
    })
}

/// Each value as JSON text.
fn texts<const N: usize>(entries: [(&str, Value); N]) -> Info {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_string()))
        .collect()
}
