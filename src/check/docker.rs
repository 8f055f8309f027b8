//! Checks of what Docker left behind, and of what it was told and nobody else has been.
//!
//! `daemon.json` is taken as a list of promises: each key either goes somewhere else on a node with containerd or CRI-O,
//! or nowhere, and then somebody has to know. Mirrors and insecure registries are the lint's (`docker-mirror-carried`,
//! `docker-insecure-carried`).

mod carried;
mod users;

use super::finding::{Area, Note, Severity};
use super::scope::{NODE, PREFLIGHT};
use super::{Case, Check, Judge, Judged, Outcome, kubelet};
use crate::facts::{Fact, Gap, Role, Source};

pub(super) use carried::log_limits;

const BLANK: Check = Check {
    area: Area::DockerLeftover,
    ..Check::BLANK
};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "docker-running",
        title: "Docker runs no pods any more",
        severity: Severity::High,
        profiles: NODE,
        rule: "Reads Docker's own files of containers. Fails if containers of the kubelet (`k8s_…`) run there while the \
               kubelet uses another runtime.",
        why: "They run twice, with the same ports and volumes, and nobody stops the old ones.",
        remedy: "stop them (`docker ps -q --filter name=k8s_ | xargs docker stop`), then stop and disable Docker",
        seen: &["kurl#2006"],
        judge: Judge::By(running),
        ..BLANK
    },
    Check {
        code: "docker-dockershim-ref",
        title: "nothing names the dockershim's socket",
        severity: Severity::High,
        profiles: NODE,
        rule: "Looks for `dockershim.sock` in the configuration of kubelet, crictl and units. Fails where it is named; \
               warns about a file of that name that is left.",
        why: "Tools wait for a socket that nobody will serve again, or find the wrong one.",
        remedy: "write the socket of the runtime in use",
        seen: &["kubeadm#2720"],
        judge: Judge::By(dockershim),
        ..BLANK
    },
    Check {
        code: "docker-logging-carried",
        title: "logs still go where Docker sent them",
        severity: Severity::High,
        profiles: PREFLIGHT,
        rule: "Reads `log-driver` of daemon.json and of dockerd's command line. Fails if it is neither json-file nor \
               local nor none.",
        why: "A CRI runtime writes files below /var/log/pods and nothing else: what fluentd, syslog, gelf or awslogs \
              received ends.",
        remedy: "run an agent on the node that reads /var/log/pods",
        seen: &["gardener#6702"],
        judge: Judge::By(carried::logging),
        ..BLANK
    },
    Check {
        code: "docker-ulimits-carried",
        title: "containers may open as many files as before",
        severity: Severity::Medium,
        profiles: PREFLIGHT,
        rule: "Compares `default-ulimits.nofile` of daemon.json with the limits of the new runtime's daemon, which \
               containers inherit. Fails if those are lower; warns where they cannot be seen.",
        why: "`too many open files` in databases and proxies that were fine before.",
        remedy: "set LimitNOFILE in the unit of the runtime, or `process.rlimits` in a base_runtime_spec",
        seen: &["eks-ami#1551"],
        judge: Judge::By(carried::ulimits),
        ..BLANK
    },
    Check {
        code: "docker-runtime-carried",
        title: "every runtime of Docker is a handler",
        severity: Severity::High,
        profiles: NODE,
        rule: "Compares `runtimes` and `default-runtime` of daemon.json with the handlers of the runtime. Fails if one is \
               missing; warns if Docker's default one is not the default here.",
        why: "GPU pods start without GPU, or not at all: the handler has to be configured again.",
        remedy: "`nvidia-ctk runtime configure --runtime=containerd`, or write the handler into the configuration",
        seen: &["gpu-operator#350"],
        judge: Judge::By(carried::runtimes),
        ..BLANK
    },
    Check {
        code: "docker-userns-carried",
        title: "containers' root is still nobody on the host",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Fails if daemon.json sets `userns-remap`: no CRI runtime has it for all containers.",
        why: "Root in a container becomes root on the host without anybody having decided it.",
        remedy: "set `hostUsers: false` for pods, on runtimes and kernels that can",
        judge: Judge::By(carried::user_namespaces),
        ..BLANK
    },
    Check {
        code: "docker-options-carried",
        title: "what Docker was told, the new runtime knows",
        severity: Severity::Medium,
        profiles: PREFLIGHT,
        rule: "Goes through daemon.json key by key and warns about those that have to be set elsewhere, with the place, \
               unless they are set there already.",
        why: "The new runtime does not read daemon.json: each of these settings ends in silence.",
        remedy: "set it where the finding says",
        judge: Judge::By(carried::options),
        ..BLANK
    },
    Check {
        code: "docker-datadir-plan",
        title: "the new runtime's store is on the disk that was made for it",
        severity: Severity::High,
        profiles: PREFLIGHT,
        rule: "Where `data-root` of daemon.json is moved: fails if it is on a disk of its own while the store of the new \
               runtime is on the root's; warns where disks cannot be seen.",
        why: "Images fill the root file system, and the large disk stays empty.",
        remedy: "set `root` in config.toml (CRI-O: graphroot in storage.conf) to the large disk",
        judge: Judge::By(carried::data_directory),
        ..BLANK
    },
    Check {
        code: "docker-sock-users",
        title: "nobody uses Docker's socket",
        severity: Severity::High,
        profiles: NODE,
        rule: "Looks for docker.sock and dockershim.sock in the mounts of running processes, of Docker's containers and \
               of static pods. Fails for pods; warns for containers that Docker itself runs.",
        why: "Agents, builders and log shippers lose what they live from when Docker stops.",
        remedy: "give them the runtime's own socket, or tools that need none (buildkit, kaniko, the CRI log files)",
        seen: &[
            "kubectl-detector-for-docker-socket#2",
            "amazon-vpc-cni-k8s#1421",
        ],
        judge: Judge::By(users::socket),
        ..BLANK
    },
    Check {
        code: "docker-logpath-users",
        title: "nobody reads logs in Docker's directory",
        severity: Severity::High,
        profiles: NODE,
        rule: "Looks for Docker's `containers` directory in the same mounts. Fails for pods, warns for others.",
        why: "The log shipper finds nothing any more: with a CRI runtime logs are below /var/log/pods, and not in JSON.",
        remedy: "mount /var/log/pods, and let the shipper parse the CRI format",
        seen: &["containerd#4830"],
        judge: Judge::By(users::logs),
        ..BLANK
    },
    Check {
        code: "docker-cli-scripts",
        title: "no script calls docker",
        severity: Severity::Low,
        profiles: PREFLIGHT,
        rule: "Looks for calls of `docker` in cron tables, units of this node and scripts in /usr/local. Warns.",
        why: "They fail, or see another runtime's containers.",
        remedy: "use crictl, nerdctl or criscope",
        judge: Judge::By(users::scripts),
        ..BLANK
    },
    Check {
        code: "docker-package-chain",
        title: "removing Docker leaves the runtime alone",
        severity: Severity::High,
        profiles: PREFLIGHT,
        rule: "Reads dpkg's and apt's files: which package of Docker needs the package of containerd that is in use. \
               Fails if that was installed for its sake only.",
        why: "`apt purge docker-ce && apt autoremove` takes the active runtime away.",
        remedy: "mark it as wanted before Docker is purged",
        judge: Judge::By(packages),
        ..BLANK
    },
    Check {
        code: "docker-data-left",
        title: "Docker's data does not take the room of images",
        severity: Severity::Medium,
        profiles: PREFLIGHT,
        rule: "Looks for Docker's directory while dockerd does not run. Warns if it is there, fails if its disk has less \
               than 20 % left.",
        why: "Images of two runtimes share one disk, and only one of them is cleaned up.",
        remedy: "remove the directory when the migration is accepted",
        seen: &["compliantkubernetes-kubespray#242"],
        judge: Judge::By(data),
        ..BLANK
    },
    Check {
        code: "docker-netstate",
        title: "Docker's bridge is gone with it",
        severity: Severity::Low,
        profiles: PREFLIGHT,
        rule: "Warns about `docker0` while dockerd does not run.",
        why: "Its addresses and the rules of its firewall chains stay until a reboot.",
        remedy: "reboot after Docker is removed, or `ip link delete docker0`",
        seen: &["website#36336"],
        judge: Judge::By(bridge),
        ..BLANK
    },
    Check {
        code: "docker-swarm",
        title: "Docker runs nothing of its own",
        severity: Severity::Medium,
        profiles: PREFLIGHT,
        rule: "Fails if the node is in a swarm; warns about running containers with a restart policy that are no pods.",
        why: "They end with Docker, and no cluster starts them elsewhere.",
        remedy: "move them before Docker is removed",
        judge: Judge::By(own),
        ..BLANK
    },
];

/// Whether dockerd runs.
fn dockerd(case: &Case<'_>) -> bool {
    case.processes(Role::Dockerd).next().is_some()
}

fn running(case: &Case<'_>) -> Judged {
    let Some(containers) = case.docker.containers.known_or_absent()? else {
        return Err(Gap::Absent("Docker has no containers here".to_owned()));
    };
    let pods: Vec<&str> = containers
        .iter()
        .filter(|container| container.is_of_kubelet() && container.running)
        .map(|container| container.name.as_str())
        .collect();
    if pods.is_empty() || !dockerd(case) {
        return Note::pass("no container of a pod runs in Docker").into();
    }
    if kubelet::uses_docker(case) {
        return Note::pass("the kubelet uses Docker").into();
    }
    Note::fail(format!(
        "{} containers of pods still run in Docker, and the kubelet uses another runtime",
        pods.len()
    ))
    .measured(serde_json::json!(pods.iter().take(20).collect::<Vec<_>>()))
    .expected("none")
    .at(case.docker.containers.source().cloned())
    .into()
}

const DOCKERSHIM: &str = "dockershim.sock";

fn dockershim(case: &Case<'_>) -> Judged {
    let mut problems = Vec::new();
    for (path, _) in case.files.tree.iter() {
        let Some(text) = case.files.tree.text(path) else {
            continue;
        };
        let found = text.lines().enumerate().find_map(|(index, line)| {
            let bare = line.trim_start();
            if bare.starts_with(['#', ';']) {
                return None;
            }
            let at = line.find(DOCKERSHIM)?;
            Some((index + 1, line.get(..at)?.chars().count() + 1))
        });
        if let Some((line, column)) = found {
            let place = crate::facts::FilePlace {
                path: path.display().to_string(),
                line: Some(line),
                column: Some(column),
                length: Some(DOCKERSHIM.len()),
                excerpt: case.files.line(path, line),
            };
            problems.push(
                Note::fail(format!(
                    "`{}` names the dockershim's socket",
                    path.display()
                ))
                .subject(path.display())
                .measured(DOCKERSHIM)
                .expected("the socket of the runtime in use")
                .at(Source::File(place)),
            );
        }
    }
    let old = case.kubelet.minor().is_some_and(|minor| minor < 24);
    if old && kubelet::uses_docker(case) {
        return Err(Gap::Absent(
            "this kubelet has the dockershim itself".to_owned(),
        ));
    }
    let left = ["/var/run/dockershim.sock", "/run/dockershim.sock"]
        .into_iter()
        .find(|path| case.files.exists(path) == Some(true));
    if let Some(path) = left.filter(|_| problems.is_empty()) {
        problems.push(
            Note::warn(format!("`{path}` is left of the dockershim"))
                .subject(path)
                .at(Source::socket(path))
                .remedy("remove the file; nothing serves it any more")
                .command(format!("rm {path}")),
        );
    }
    Outcome::of(problems, "no file that was read names it").into()
}

fn packages(case: &Case<'_>) -> Judged {
    let packages = case.host.packages.need()?;
    let runtime = ["containerd.io", "containerd", "cri-o", "moby-containerd"]
        .into_iter()
        .find_map(|name| packages.get_key_value(name));
    let Some((name, package)) = runtime else {
        return Err(Gap::Absent(
            "no runtime is installed as a package".to_owned(),
        ));
    };
    let needed: Vec<&str> = packages
        .iter()
        .filter(|(other, _)| other.starts_with("docker") || other.starts_with("moby-engine"))
        .filter(|(_, other)| other.depends.contains(name))
        .map(|(other, _)| other.as_str())
        .collect();
    let Some(first) = needed.first() else {
        return Note::pass(format!("no package of Docker needs `{name}`")).into();
    };
    if !package.automatic {
        return Note::pass(format!(
            "`{name}` is needed by `{first}`, and wanted by itself"
        ))
        .into();
    }
    Note::fail(format!(
        "`{name}` {} is installed only because `{first}` needs it: what removes Docker removes it too",
        package.version
    ))
    .subject(name)
    .measured(serde_json::json!(needed))
    .expected("a package that was installed for its own sake")
    .at(Source::file("/var/lib/apt/extended_states"))
    .command(format!("apt-mark manual {name}"))
    .into()
}

fn data(case: &Case<'_>) -> Judged {
    let root = &case.docker.data_root;
    if dockerd(case) {
        return Err(Gap::Absent("Docker runs".to_owned()));
    }
    let there = case.files.exists(root) == Some(true)
        || matches!(case.docker.containers, Fact::Known { .. });
    if !there {
        return Note::pass(format!("there is no `{root}`")).into();
    }
    let disk = case.storage.paths.get(root.as_str()).and_then(Fact::value);
    let text = format!("Docker does not run, and its data is still in `{root}`");
    let note = match disk {
        Some(disk) if disk.free_percent() < 20.0 => Note::fail(format!(
            "{text}, on a disk with {} % left",
            disk.free_percent()
        )),
        _ => Note::warn(text),
    };
    note.subject(root)
        .measured(serde_json::json!({ "freePercent": disk.map(|disk| disk.free_percent()) }))
        .expected("no such directory")
        .at(Source::file(root))
        .into()
}

fn bridge(case: &Case<'_>) -> Judged {
    let interfaces = case.kernel.interfaces.need()?;
    if !interfaces.contains_key("docker0") {
        return Note::pass("there is no `docker0`").into();
    }
    case.processes.need()?;
    if dockerd(case) {
        return Note::pass("`docker0` belongs to a Docker that runs").into();
    }
    Note::warn("`docker0` is there, and Docker does not run")
        .subject("docker0")
        .expected("no such interface")
        .at(Source::proc("/sys/class/net/docker0"))
        .into()
}

fn own(case: &Case<'_>) -> Judged {
    if case.files.exists("/var/lib/docker/swarm/docker-state.json") == Some(true) {
        return Note::fail("this node is in a swarm")
            .subject("swarm")
            .expected("no swarm")
            .at(Source::file("/var/lib/docker/swarm/docker-state.json"))
            .command("docker swarm leave")
            .into();
    }
    let Some(containers) = case.docker.containers.known_or_absent()? else {
        return Err(Gap::Absent("Docker has no containers here".to_owned()));
    };
    let problems = containers
        .iter()
        .filter(|container| {
            container.running
                && !container.is_of_kubelet()
                && !matches!(container.restart.as_str(), "" | "no")
        })
        .take(20)
        .map(|container| {
            Note::warn(format!(
                "`{}` ({}) is a container of Docker alone, to be started again `{}`",
                container.name, container.image, container.restart
            ))
            .subject(&container.name)
            .at(case.docker.containers.source().cloned())
        })
        .collect();
    Outcome::of(
        problems,
        format!("{} containers, all of pods or of nobody", containers.len()),
    )
    .into()
}
