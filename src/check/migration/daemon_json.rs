//! daemon.json line by line: where each setting goes, and whether it is there already.

use std::path::Path;

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome, told};
use super::{moving, routes};
use crate::facts::Gap;
use crate::facts::cri::CgroupDriver;
use crate::registry::containerd::{CRI, CRI_RUNTIME};
use crate::registry::docker_daemon::{self, FILE};
use crate::registry::json;
use crate::registry::node::{Entry, Table};
use crate::registry::tree;
use crate::registry::{RuntimeId, RuntimeName};

/// What becomes of a key.
enum Fate {
    /// Nothing is to be done.
    Nothing(&'static str),
    /// It is set elsewhere: for containerd, for CRI-O.
    Elsewhere(&'static str, &'static str),
    /// There is nothing like it.
    Lost(&'static str),
}

/// Keys whose values do not matter.
const KEYS: &[(&str, Fate)] = &[
    (
        "live-restore",
        Fate::Nothing("containers outlive the daemon anyway, with `KillMode=process` in its unit"),
    ),
    ("debug", Fate::Nothing("it is a flag of the daemon's log")),
    (
        "log-level",
        Fate::Elsewhere("`[debug] level` in config.toml", "`log_level` in crio.conf"),
    ),
    ("pidfile", Fate::Nothing("only dockerd has one")),
    (
        "experimental",
        Fate::Nothing("only dockerd has such features"),
    ),
    ("features", Fate::Nothing("only dockerd has such features")),
    (
        "builder",
        Fate::Lost("images are not built by a CRI runtime: use another builder"),
    ),
    (
        "group",
        Fate::Elsewhere("`[grpc] gid` in config.toml", "the owner of the socket"),
    ),
    (
        "data-root",
        Fate::Elsewhere(
            "`root` in config.toml",
            "`graphroot` in /etc/containers/storage.conf",
        ),
    ),
    (
        "graph",
        Fate::Elsewhere(
            "`root` in config.toml",
            "`graphroot` in /etc/containers/storage.conf",
        ),
    ),
    (
        "exec-root",
        Fate::Elsewhere(
            "`state` in config.toml",
            "`runroot` in /etc/containers/storage.conf",
        ),
    ),
    (
        "storage-driver",
        Fate::Elsewhere(
            "`snapshotter` of the CRI plugin (overlayfs is the default)",
            "`driver` in /etc/containers/storage.conf",
        ),
    ),
    (
        "storage-opts",
        Fate::Elsewhere(
            "the options of the snapshotter",
            "`[storage.options]` in /etc/containers/storage.conf",
        ),
    ),
    (
        "default-ulimits",
        Fate::Elsewhere(
            "a `base_runtime_spec` with `rlimits`, or `LimitNOFILE` in the unit",
            "`default_ulimits` in crio.conf",
        ),
    ),
    (
        "default-shm-size",
        Fate::Lost("an emptyDir with `medium: Memory` in the pod"),
    ),
    (
        "userns-remap",
        Fate::Lost("user namespaces of pods: `hostUsers: false`"),
    ),
    (
        "seccomp-profile",
        Fate::Elsewhere(
            "the pod's seccompProfile, or `seccompDefault` of the kubelet",
            "`seccomp_profile` in crio.conf",
        ),
    ),
    (
        "selinux-enabled",
        Fate::Elsewhere(
            "`enable_selinux` of the CRI plugin",
            "`selinux` in crio.conf",
        ),
    ),
    (
        "no-new-privileges",
        Fate::Lost("`allowPrivilegeEscalation: false` in each pod"),
    ),
    (
        "max-concurrent-downloads",
        Fate::Elsewhere(
            "`max_concurrent_downloads` of the CRI plugin (from 2.1 on of the transfer plugin)",
            "nothing: CRI-O decides",
        ),
    ),
    (
        "max-concurrent-uploads",
        Fate::Nothing("a CRI runtime pushes nothing"),
    ),
    (
        "max-download-attempts",
        Fate::Nothing("the kubelet asks again"),
    ),
    (
        "bip",
        Fate::Elsewhere("the CNI configuration", "the CNI configuration"),
    ),
    (
        "bridge",
        Fate::Elsewhere("the CNI configuration", "the CNI configuration"),
    ),
    (
        "fixed-cidr",
        Fate::Elsewhere("the CNI configuration", "the CNI configuration"),
    ),
    (
        "default-address-pools",
        Fate::Elsewhere("the CNI configuration", "the CNI configuration"),
    ),
    (
        "default-gateway",
        Fate::Elsewhere("the CNI configuration", "the CNI configuration"),
    ),
    (
        "mtu",
        Fate::Elsewhere(
            "`mtu` in the CNI configuration",
            "`mtu` in the CNI configuration",
        ),
    ),
    (
        "ip-masq",
        Fate::Elsewhere(
            "`ipMasq` in the CNI configuration",
            "`ipMasq` in the CNI configuration",
        ),
    ),
    (
        "ip-forward",
        Fate::Elsewhere(
            "net.ipv4.ip_forward in /etc/sysctl.d",
            "net.ipv4.ip_forward in /etc/sysctl.d",
        ),
    ),
    (
        "iptables",
        Fate::Elsewhere(
            "the portmap plugin of CNI and kube-proxy",
            "the portmap plugin of CNI and kube-proxy",
        ),
    ),
    (
        "ip6tables",
        Fate::Elsewhere(
            "the portmap plugin of CNI and kube-proxy",
            "the portmap plugin of CNI and kube-proxy",
        ),
    ),
    ("userland-proxy", Fate::Nothing("CNI has no such proxy")),
    (
        "ipv6",
        Fate::Elsewhere("the CNI configuration", "the CNI configuration"),
    ),
    ("icc", Fate::Lost("NetworkPolicies")),
    (
        "dns",
        Fate::Elsewhere(
            "`resolvConf` of the kubelet, or dnsConfig of pods",
            "`resolvConf` of the kubelet, or dnsConfig of pods",
        ),
    ),
    (
        "dns-search",
        Fate::Elsewhere(
            "`resolvConf` of the kubelet, or dnsConfig of pods",
            "`resolvConf` of the kubelet, or dnsConfig of pods",
        ),
    ),
    (
        "dns-opts",
        Fate::Elsewhere(
            "`resolvConf` of the kubelet, or dnsConfig of pods",
            "`resolvConf` of the kubelet, or dnsConfig of pods",
        ),
    ),
    (
        "proxies",
        Fate::Elsewhere(
            "`Environment=` in a drop-in of containerd.service",
            "`Environment=` in a drop-in of crio.service",
        ),
    ),
    (
        "init",
        Fate::Lost("`shareProcessNamespace`, or an init in the image"),
    ),
    (
        "cgroup-parent",
        Fate::Elsewhere("`cgroupRoot` of the kubelet", "`cgroupRoot` of the kubelet"),
    ),
    (
        "default-cgroupns-mode",
        Fate::Nothing("CRI runtimes decide by the version of cgroups"),
    ),
    (
        "oom-score-adjust",
        Fate::Elsewhere(
            "`oom_score` in config.toml",
            "`OOMScoreAdjust=` in the unit",
        ),
    ),
    (
        "metrics-addr",
        Fate::Elsewhere(
            "`[metrics] address` in config.toml",
            "`enable_metrics` in crio.conf",
        ),
    ),
    (
        "authorization-plugins",
        Fate::Lost("nothing: find out what it guarded"),
    ),
    (
        "hosts",
        Fate::Lost("a CRI runtime has no API over TCP: find its users first"),
    ),
    ("tls", Fate::Nothing("it is about the API over TCP")),
    ("tlsverify", Fate::Nothing("it is about the API over TCP")),
    ("tlscacert", Fate::Nothing("it is about the API over TCP")),
    ("tlscert", Fate::Nothing("it is about the API over TCP")),
    ("tlskey", Fate::Nothing("it is about the API over TCP")),
    ("labels", Fate::Lost("labels of the Kubernetes node")),
    ("shutdown-timeout", Fate::Nothing("the kubelet stops pods")),
    (
        "containerd",
        Fate::Nothing("dockerd used this containerd; it can go on serving CRI"),
    ),
    (
        "allow-nondistributable-artifacts",
        Fate::Nothing("a CRI runtime pushes nothing"),
    ),
];

/// Judges the file.
pub(super) fn judge(case: &Case<'_>) -> Judged {
    let (_, to) = moving(case)?;
    if to.name == RuntimeName::Docker {
        return Err(Gap::Absent("docker stays".to_owned()));
    }
    let path = Path::new(FILE);
    let text = match case.facts().files.tree.entry(path) {
        Some(tree::Entry::Text { text }) => text,
        Some(tree::Entry::Absent) => return Err(Gap::Absent(format!("there is no {FILE}"))),
        Some(_) => return Err(Gap::Unknown(format!("{FILE} cannot be read"))),
        None => return Err(Gap::Unknown(format!("nobody looked at {FILE}"))),
    };
    if text.trim().is_empty() {
        return Note::pass(format!("{FILE} is empty")).into();
    }
    let node = match json::parse(path, text) {
        Ok(node) => node,
        Err(error) => {
            return Note::fail(format!("{FILE} is no JSON: {}", error.message))
                .at(case.facts().files.at(&error.place))
                .into();
        }
    };
    let Some(root) = node.table() else {
        return Note::fail(format!("{FILE} holds no object"))
            .at(case.facts().files.at(&node.place))
            .into();
    };
    let mut notes = Vec::new();
    for (key, entry) in root.in_order() {
        for note in key_of(case, &to, root, key, entry) {
            let source = note
                .source
                .clone()
                .unwrap_or_else(|| case.facts().files.at(&entry.key));
            notes.push(note.subject(key).at(source));
        }
    }
    Outcome::of(notes, format!("{FILE} says nothing")).into()
}

fn key_of(case: &Case<'_>, to: &RuntimeId, root: &Table, key: &str, entry: &Entry) -> Vec<Note> {
    match key {
        "registry-mirrors" => mirrors(case, to),
        "insecure-registries" => insecure(case, to),
        "exec-opts" => vec![driver(case, to, entry)],
        "log-driver" => vec![log_driver(entry)],
        "log-opts" => log_options(root, entry),
        "default-runtime" => handler(case, to, entry.node.str().into_iter().collect()),
        "runtimes" => {
            let names = entry.node.table().into_iter().flat_map(Table::iter);
            handler(case, to, names.map(|(name, _)| name).collect())
        }
        _ => vec![other(to, key)],
    }
}

fn other(to: &RuntimeId, key: &str) -> Note {
    match KEYS.iter().find(|(known, _)| *known == key) {
        Some((_, Fate::Nothing(why))) => Note::pass(format!("`{key}` needs nothing: {why}")),
        Some((_, Fate::Elsewhere(containerd, crio))) => {
            let place = match to.name {
                RuntimeName::Crio => crio,
                _ => containerd,
            };
            Note::warn(format!("`{key}` has to be set elsewhere for {to}: {place}"))
                .expected(*place)
                .remedy(format!("set {place}"))
        }
        Some((_, Fate::Lost(instead))) => {
            Note::warn(format!("{to} has nothing like `{key}`; instead: {instead}"))
                .expected(*instead)
                .remedy(*instead)
        }
        None => Note::warn(format!(
            "`{key}` is not known to criscope, and {to} does not read it"
        ))
        .remedy("find out what it did, and who needs it"),
    }
}

/// Mirrors of Docker Hub: each has to be on the route of the target.
fn mirrors(case: &Case<'_>, to: &RuntimeId) -> Vec<Note> {
    let daemon = docker_daemon::Daemon::load(&case.facts().files.tree);
    let image = "docker.io/library/busybox:latest".to_owned();
    let route = routes(case, to, &[image]);
    let asked = |mirror: &str| {
        route.iter().any(|(_, route)| {
            route.endpoints.iter().any(|endpoint| {
                endpoint
                    .url
                    .strip_prefix(mirror)
                    .is_some_and(|rest| rest.starts_with('/'))
            })
        })
    };
    daemon
        .mirrors
        .iter()
        .map(|mirror| {
            let source = case.facts().files.at(&mirror.place);
            if asked(&mirror.value) {
                return Note::pass(format!("{to} asks the mirror {}, too", mirror.value)).at(source);
            }
            let remedy = match to.name {
                RuntimeName::Crio => format!(
                    "in /etc/containers/registries.conf: `[[registry]]` with `location = \"docker.io\"` and \
                     `[[registry.mirror]]` with `location = \"{}\"`",
                    mirror.value.split_once("://").map_or(mirror.value.as_str(), |(_, rest)| rest)
                ),
                _ => format!(
                    "write `[host.\"{}\"]` with `capabilities = [\"pull\", \"resolve\"]` into \
                     /etc/containerd/certs.d/docker.io/hosts.toml, and set `config_path`",
                    mirror.value
                ),
            };
            Note::fail(format!("{to} does not ask the mirror {}", mirror.value))
                .measured(mirror.value.as_str())
                .at(source)
                .remedy(remedy)
        })
        .collect()
}

/// Registries without proper TLS: each has to be reachable in the same way.
fn insecure(case: &Case<'_>, to: &RuntimeId) -> Vec<Note> {
    let daemon = docker_daemon::Daemon::load(&case.facts().files.tree);
    daemon
        .insecure
        .iter()
        .map(|entry| {
            let source = case.facts().files.at(&entry.place);
            let host = match &entry.value {
                docker_daemon::Insecure::Host(host) => host,
                docker_daemon::Insecure::Network(network, length) => {
                    return Note::warn(format!(
                        "{to} has no insecure networks like {network}/{length}: each registry has to be named"
                    ))
                    .at(source)
                    .remedy("find out which registries in it are used, and configure each");
                }
            };
            let route = routes(case, to, &[format!("{host}/x:1")]);
            let lenient = route.iter().any(|(_, route)| {
                route.endpoints.iter().any(|endpoint| {
                    endpoint.url.starts_with("http://") || !endpoint.tls.verify || endpoint.fallback.is_some()
                })
            });
            if lenient {
                return Note::pass(format!("{to} takes {host} without verified TLS, too")).at(source);
            }
            let remedy = match to.name {
                RuntimeName::Crio => format!("`[[registry]]` with `location = \"{host}\"` and `insecure = true` in registries.conf"),
                _ => format!("write `[host.\"https://{host}\"]` with `skip_verify = true`, or `[host.\"http://{host}\"]`, into /etc/containerd/certs.d/{host}/hosts.toml"),
            };
            Note::fail(format!("{to} insists on verified TLS with {host}"))
                .measured(host.as_str())
                .at(source)
                .remedy(remedy)
        })
        .collect()
}

fn driver(case: &Case<'_>, to: &RuntimeId, entry: &Entry) -> Note {
    let options = entry.node.strings().unwrap_or_default();
    let driver = options.iter().find_map(|option| {
        option
            .value
            .strip_prefix("native.cgroupdriver=")
            .map(str::to_owned)
    });
    let Some(driver) = driver else {
        return Note::warn(format!("{to} has no `exec-opts`")).remedy("find out what they did");
    };
    let place = match to.name {
        RuntimeName::Crio => "`cgroup_manager` in crio.conf",
        _ => "`SystemdCgroup` in the options of the handler runc",
    };
    let wanted = if driver == "systemd" {
        CgroupDriver::Systemd
    } else {
        CgroupDriver::Cgroupfs
    };
    match planned_driver(case, to) {
        Some(planned) if planned == wanted => {
            Note::pass(format!("{to} uses the cgroup driver {driver}, too"))
        }
        _ => Note::fail(format!(
            "the cgroup driver {driver} has to be set for {to}, too: {place}"
        ))
        .measured(driver.as_str())
        .expected(place)
        .remedy(format!(
            "set {place}; pods have to be gone when the driver changes"
        )),
    }
}

fn log_driver(entry: &Entry) -> Note {
    match entry.node.str().unwrap_or_default() {
        driver @ ("json-file" | "local") => Note::warn(format!(
            "logs of `{driver}` become text in CRI's form below /var/log/pods: collectors have to read that"
        ))
        .remedy("set the parser of the log collector to `cri`"),
        driver => Note::fail(format!("no CRI runtime sends logs to `{driver}`"))
            .measured(driver)
            .remedy("run an agent that reads /var/log/pods"),
    }
}

fn log_options(root: &Table, entry: &Entry) -> Vec<Note> {
    let local = root
        .node("log-driver")
        .and_then(|node| node.str())
        .is_none_or(|driver| ["json-file", "local"].contains(&driver));
    let Some(options) = entry.node.table().filter(|_| local) else {
        return vec![
            Note::warn("`log-opts` belong to the log driver and go with it")
                .remedy("see `log-driver`"),
        ];
    };
    options
        .iter()
        .map(|(name, option)| {
            let value = option.node.str().unwrap_or_default();
            let field = match name {
                "max-size" => "containerLogMaxSize",
                "max-file" => "containerLogMaxFiles",
                _ => return Note::pass(format!("`log-opts.{name}` has no meaning any more")),
            };
            Note::warn(format!(
                "`log-opts.{name}` = {value} becomes `{field}` of the kubelet"
            ))
            .measured(value)
            .expected(field)
            .remedy(format!(
                "set `{field}` in /var/lib/kubelet/config.yaml (default: 10Mi, 5 files)"
            ))
        })
        .collect()
}

/// Runtime handlers: what pods named by default or by RuntimeClass has to be there.
fn handler(case: &Case<'_>, to: &RuntimeId, names: Vec<&str>) -> Vec<Note> {
    let planned = planned_handlers(case, to);
    names
        .into_iter()
        .map(|name| {
            if ["runc", "io.containerd.runc.v2"].contains(&name) || planned.iter().any(|known| known == name) {
                return Note::pass(format!("{to} has the handler `{name}`"));
            }
            Note::fail(format!("{to} has no handler `{name}`"))
                .measured(name)
                .remedy(format!(
                    "configure a handler `{name}` for {to} (for NVIDIA: `nvidia-ctk runtime configure --runtime={}`), and a \
                     RuntimeClass or the default runtime",
                    to.name
                ))
        })
        .collect()
}

/// The cgroup driver that the files give the target.
fn planned_driver(case: &Case<'_>, to: &RuntimeId) -> Option<CgroupDriver> {
    if to.name == RuntimeName::Crio {
        let set = told::crio(case, "runtime", "cgroup_manager");
        return match set.as_ref().and_then(|node| node.str()) {
            Some("cgroupfs") => Some(CgroupDriver::Cgroupfs),
            // CRI-O's own default.
            _ => Some(CgroupDriver::Systemd),
        };
    }
    let handlers = told::handlers(case).ok()?;
    let default = handlers.iter().find(|handler| handler.is_default);
    default.or(handlers.first()).map(|handler| handler.driver)
}

/// The names of the handlers that the files give the target.
fn planned_handlers(case: &Case<'_>, to: &RuntimeId) -> Vec<String> {
    let names = |table: &Table| table.iter().map(|(name, _)| name.to_owned()).collect();
    if to.name == RuntimeName::Crio {
        let set = told::crio(case, "runtime", "runtimes");
        return set
            .as_ref()
            .and_then(|node| node.table())
            .map(names)
            .unwrap_or_default();
    }
    let Some(config) = told::containerd(case) else {
        return Vec::new();
    };
    let plugin = config
        .plugins
        .table(CRI_RUNTIME)
        .or_else(|| config.plugins.table(CRI));
    plugin
        .and_then(|table| table.descend(&["containerd", "runtimes"]))
        .map(names)
        .unwrap_or_default()
}
