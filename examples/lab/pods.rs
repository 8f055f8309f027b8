//! The pods of a lab: what a kubelet would have made of a small shop, called over CRI as the kubelet calls.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use criscope::client::{Client, Error as Refusal, Reply};
use criscope::cri;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::config::UPSTREAM;
use crate::error::{Doing, Error, Result};
use crate::image::{self, Builder, Image};
use crate::place::Place;

/// How long one pod may take; a machine may be busy.
const MADE: Duration = Duration::from_secs(60);
/// Pods that are made at once.
const AT_ONCE: usize = 4;

/// A pod sandbox that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its id.
    pub id: String,
    /// As the kubelet names it.
    pub name: String,
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Whether it uses the node's network.
    pub host_network: bool,
    /// Its containers, in the order in which they were made.
    pub containers: Vec<Container>,
}

/// A container that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// The image ref it was made from.
    pub image: String,
    /// How often it was tried before.
    pub attempt: u32,
    /// `running` or `exited`.
    pub state: String,
    /// Where it exited.
    pub exit_code: Option<i32>,
    /// Its log as the node names it.
    pub log_path: String,
}

/// A kind of pod.
struct Workload {
    namespace: &'static str,
    /// The pod's name without its last part.
    name: &'static str,
    app: &'static str,
    host_network: bool,
    containers: &'static [Step],
}

/// A container of a workload.
struct Step {
    name: &'static str,
    image: &'static str,
    attempt: u32,
    /// Run instead of the image's entrypoint; such a container ends, and the next one waits for it.
    ends: Option<(&'static str, i32)>,
    cpu_shares: i64,
    memory: i64,
}

const MIB: i64 = 1024 * 1024;

/// The first pod has an exited container, so that a lab with one pod has one.
const WORKLOADS: [Workload; 5] = [
    Workload {
        namespace: "shop",
        name: "web-7d4b9c6f5",
        app: "web",
        host_network: false,
        containers: &[
            Step {
                name: "migrate",
                image: "shop/migrate:2.7.0",
                attempt: 0,
                ends: Some(("echo \"schema is at version 42\"", 0)),
                cpu_shares: 102,
                memory: 64 * MIB,
            },
            Step {
                name: "web",
                image: "shop/web:1.4.2",
                attempt: 0,
                ends: None,
                cpu_shares: 256,
                memory: 128 * MIB,
            },
        ],
    },
    Workload {
        namespace: "kube-system",
        name: "coredns-5d78c9869d",
        app: "kube-dns",
        host_network: false,
        containers: &[Step {
            name: "coredns",
            image: "coredns/coredns:v1.11.1",
            attempt: 1,
            ends: None,
            cpu_shares: 102,
            memory: 170 * MIB,
        }],
    },
    Workload {
        namespace: "shop",
        name: "api-6c8f7b54d9",
        app: "api",
        host_network: false,
        containers: &[Step {
            name: "api",
            image: "shop/api:2.7.0",
            attempt: 0,
            ends: None,
            cpu_shares: 512,
            memory: 256 * MIB,
        }],
    },
    Workload {
        namespace: "monitoring",
        name: "node-agent",
        app: "node-agent",
        host_network: true,
        containers: &[Step {
            name: "agent",
            image: "monitoring/agent:0.9.1",
            attempt: 0,
            ends: None,
            cpu_shares: 51,
            memory: 64 * MIB,
        }],
    },
    Workload {
        namespace: "shop",
        name: "report-28911240",
        app: "report",
        host_network: false,
        containers: &[Step {
            name: "report",
            image: "shop/report:1.0.3",
            attempt: 3,
            ends: Some(("echo \"fatal: no such table: orders\" >&2; exit 1", 1)),
            cpu_shares: 102,
            memory: 64 * MIB,
        }],
    },
];

/// What the images of running containers do. They end at once when asked to.
const SERVES: &str =
    "trap 'exit 0' TERM; echo \"listening on :8080\"; httpd -f -p 8080 -h /var/www & wait $!";
const TALKS: &str = "trap 'exit 0' TERM; n=0; while true; do n=$((n+1)); echo \"request $n served\"; sleep 10 & wait $!; done";
const WAITS: &str = "exec sleep 2147483647";

/// The images of all workloads and the sandbox image.
pub fn images(builder: &Builder) -> Vec<Image> {
    [
        (crate::config::PAUSE, WAITS),
        ("shop/web:1.4.2", SERVES),
        ("shop/api:2.7.0", TALKS),
        ("shop/migrate:2.7.0", WAITS),
        ("shop/report:1.0.3", WAITS),
        ("coredns/coredns:v1.11.1", TALKS),
        ("monitoring/agent:0.9.1", TALKS),
    ]
    .map(|(name, entrypoint)| builder.image(name, entrypoint, "lab"))
    .into()
}

/// Makes `count` pods with their containers.
///
/// # Errors
/// The runtime refuses, or an ending container does not end.
pub async fn make(place: &Place, client: &Client, count: usize) -> Result<Vec<Pod>> {
    stream::iter((0..count).map(|number| pod(place, client, number)))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn pod(place: &Place, client: &Client, number: usize) -> Result<Pod> {
    let workload = &WORKLOADS[number % WORKLOADS.len()];
    let fingerprint = image::digest(format!("{} {number}", workload.name).as_bytes());
    let hex = fingerprint.trim_start_matches("sha256:");
    let uid = format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    );
    let name = format!("{}-{}", workload.name, &hex[32..37]);
    let log_directory = format!("/var/log/pods/{}_{name}_{uid}", workload.namespace);

    let own = [
        ("io.kubernetes.pod.name", name.as_str()),
        ("io.kubernetes.pod.namespace", workload.namespace),
        ("io.kubernetes.pod.uid", uid.as_str()),
    ];
    let network = match workload.host_network {
        true => cri::NamespaceMode::Node,
        false => cri::NamespaceMode::Pod,
    };
    let namespaces = cri::NamespaceOption {
        network: network.into(),
        pid: cri::NamespaceMode::Container.into(),
        ..Default::default()
    };
    let config = cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: name.clone(),
            uid: uid.clone(),
            namespace: workload.namespace.to_owned(),
            attempt: 0,
        }),
        // A pod on the node's network has the node's name.
        hostname: if workload.host_network {
            String::new()
        } else {
            name.clone()
        },
        log_directory: log_directory.clone(),
        dns_config: Some(cri::DnsConfig {
            servers: vec!["10.96.0.10".to_owned()],
            searches: ["svc.cluster.local", "cluster.local"]
                .map(str::to_owned)
                .into(),
            options: vec!["ndots:5".to_owned()],
        }),
        labels: map(own.into_iter().chain([("app", workload.app)])),
        annotations: map([
            (
                "kubernetes.io/config.seen",
                "2026-01-15T09:30:00.000000000Z",
            ),
            ("kubernetes.io/config.source", "api"),
        ]),
        linux: Some(cri::LinuxPodSandboxConfig {
            cgroup_parent: format!("{}/kubepods/burstable/pod{uid}", place.cgroup()),
            security_context: Some(cri::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces.clone()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = cri::RunPodSandboxRequest {
        config: Some(config.clone()),
        ..Default::default()
    };
    let id = asked(
        || format!("run pod {}/{name}", workload.namespace),
        client.run_pod_sandbox(request, Some(MADE)).await,
    )?
    .pod_sandbox_id;

    let mut pod = Pod {
        id,
        name,
        namespace: workload.namespace.to_owned(),
        uid,
        host_network: workload.host_network,
        containers: Vec::new(),
    };
    for step in workload.containers {
        let container = container(place, client, &pod, &config, &namespaces, step).await?;
        pod.containers.push(container);
    }
    Ok(pod)
}

async fn container(
    place: &Place,
    client: &Client,
    pod: &Pod,
    sandbox: &cri::PodSandboxConfig,
    namespaces: &cri::NamespaceOption,
    step: &Step,
) -> Result<Container> {
    let log = format!("{}/{}.log", step.name, step.attempt);
    let log_path = format!("{}/{log}", sandbox.log_directory);
    // The kubelet makes the directory, and a link with a name that log collectors understand.
    let outside = place
        .host_root()
        .join(sandbox.log_directory.trim_start_matches('/'));
    let dir = outside.join(step.name);
    fs::create_dir_all(&dir).doing(|| format!("make {}", dir.display()))?;

    let image = format!("{UPSTREAM}/{}", step.image);
    let attempt = step.attempt.to_string();
    let config = cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata {
            name: step.name.to_owned(),
            attempt: step.attempt,
        }),
        image: Some(cri::ImageSpec {
            image: image.clone(),
            ..Default::default()
        }),
        command: match step.ends {
            Some((command, _)) => ["/bin/sh", "-c", command].map(str::to_owned).into(),
            None => Vec::new(),
        },
        labels: map([
            ("io.kubernetes.container.name", step.name),
            ("io.kubernetes.pod.name", pod.name.as_str()),
            ("io.kubernetes.pod.namespace", pod.namespace.as_str()),
            ("io.kubernetes.pod.uid", pod.uid.as_str()),
        ]),
        annotations: map([
            (
                "io.kubernetes.container.hash",
                &image::digest(step.image.as_bytes())[7..15],
            ),
            ("io.kubernetes.container.restartCount", attempt.as_str()),
            (
                "io.kubernetes.container.terminationMessagePath",
                "/dev/termination-log",
            ),
            ("io.kubernetes.container.terminationMessagePolicy", "File"),
            ("io.kubernetes.pod.terminationGracePeriod", "30"),
        ]),
        log_path: log,
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(cri::LinuxContainerResources {
                cpu_period: 100_000,
                cpu_shares: step.cpu_shares,
                memory_limit_in_bytes: step.memory,
                oom_score_adj: 999,
                ..Default::default()
            }),
            security_context: Some(cri::LinuxContainerSecurityContext {
                namespace_options: Some(namespaces.clone()),
                ..Default::default()
            }),
        }),
        ..Default::default()
    };
    let request = cri::CreateContainerRequest {
        pod_sandbox_id: pod.id.clone(),
        config: Some(config),
        sandbox_config: Some(sandbox.clone()),
    };
    let what = |verb: &str| {
        format!(
            "{verb} container {} of {}/{}",
            step.name, pod.namespace, pod.name
        )
    };
    let deadline = Some(MADE);
    let id = asked(
        || what("create"),
        client.create_container(request, deadline).await,
    )?
    .container_id;
    let request = cri::StartContainerRequest {
        container_id: id.clone(),
    };
    asked(
        || what("start"),
        client.start_container(request, deadline).await,
    )?;
    let link = place.host_root().join(format!(
        "var/log/containers/{}_{}_{}-{id}.log",
        pod.name, pod.namespace, step.name
    ));
    std::os::unix::fs::symlink(&log_path, &link).doing(|| format!("make {}", link.display()))?;

    let exit_code = match step.ends {
        Some((_, expected)) => Some(ended(client, &id, expected, &what("end")).await?),
        None => None,
    };
    Ok(Container {
        id,
        name: step.name.to_owned(),
        image,
        attempt: step.attempt,
        state: if exit_code.is_some() {
            "exited"
        } else {
            "running"
        }
        .to_owned(),
        exit_code,
        log_path,
    })
}

/// Waits for a container's end, which is to have a certain exit code.
async fn ended(client: &Client, id: &str, expected: i32, doing: &str) -> Result<i32> {
    let end = Instant::now() + MADE;
    loop {
        let request = cri::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let status = asked(|| doing.to_owned(), client.container_status(request).await)?.status;
        let status = status.unwrap_or_default();
        if status.state() == cri::ContainerState::ContainerExited {
            if status.exit_code == expected {
                return Ok(expected);
            }
            return Err(Error::Usage(format!(
                "cannot {doing}: exit code {} instead of {expected}: {} {}",
                status.exit_code, status.reason, status.message
            )));
        }
        if Instant::now() > end {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
                .doing(|| doing.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn asked<T: prost::Message + Default>(
    doing: impl Fn() -> String,
    reply: std::result::Result<Reply<T>, Refusal>,
) -> Result<T> {
    let refused = |source| Error::Runtime {
        doing: doing(),
        source: Box::new(source),
    };
    let reply = reply.map_err(refused)?;
    // What does not decode is as good as empty, and the next call says so.
    Ok(reply.decode().unwrap_or_default())
}

fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    pairs.into_iter().map(owned).collect()
}
