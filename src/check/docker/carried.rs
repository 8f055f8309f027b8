//! What daemon.json and dockerd's flags say, held against where it has to be said now.

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome, told};
use crate::facts::cri::CgroupDriver;
use crate::facts::kubelet::Settings;
use crate::facts::{Gap, Role, Source};
use crate::registry::RuntimeName;
use crate::registry::json;
use crate::registry::node::{Entry, Node, Table};

const FILE: &str = "/etc/docker/daemon.json";

/// Docker's configuration file, as far as it is one; what is wrong with it is said by `docker-daemon-json`.
fn file(case: &Case<'_>) -> Result<Table, Gap> {
    let text = case.files.text(FILE)?;
    if text.trim().is_empty() {
        return Err(Gap::Absent(format!("`{FILE}` is empty")));
    }
    let node = json::parse(std::path::Path::new(FILE), text)
        .map_err(|_| Gap::Unknown(format!("`{FILE}` is no JSON")))?;
    node.table()
        .cloned()
        .ok_or_else(|| Gap::Unknown(format!("`{FILE}` is no JSON object")))
}

/// A setting that is a word: dockerd's flag, else the key.
fn word(case: &Case<'_>, key: &str) -> Result<Option<(String, Source)>, Gap> {
    let flag = format!("--{key}");
    for process in case.processes(Role::Dockerd) {
        if let Some(value) = process.argument(&[&flag]) {
            let source = Source::proc(format!("/proc/{}/cmdline", process.pid));
            return Ok(Some((value.to_owned(), source)));
        }
    }
    let table = match file(case) {
        Ok(table) => table,
        Err(Gap::Absent(_)) if case.processes(Role::Dockerd).next().is_some() => return Ok(None),
        Err(gap) => return Err(gap),
    };
    Ok(table.node(key).and_then(|node| {
        let text = node.str().filter(|text| !text.is_empty())?;
        Some((text.to_owned(), case.files.at(&node.place)))
    }))
}

pub(super) fn logging(case: &Case<'_>) -> Judged {
    let Some((driver, source)) = word(case, "log-driver")? else {
        return Note::pass("Docker writes files, its default").into();
    };
    if matches!(driver.as_str(), "json-file" | "local" | "none") {
        return Note::pass(format!("Docker's driver is {driver}")).into();
    }
    Note::fail(format!(
        "Docker sends logs to `{driver}`, which no CRI runtime does"
    ))
    .subject("log-driver")
    .measured(driver)
    .expected("an agent that reads /var/log/pods")
    .at(source)
    .into()
}

/// `100m`, `1g`, `10Mi` in bytes; Docker's units are powers of two as well.
fn bytes(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text.get(..end)?.parse().ok()?;
    let shift = match text.get(end..)?.to_ascii_lowercase().trim_end_matches('b') {
        "" => 0,
        "k" | "ki" => 10,
        "m" | "mi" => 20,
        "g" | "gi" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Whether the kubelet's limits of logs are those that Docker had.
pub(in crate::check) fn log_limits(case: &Case<'_>) -> Judged {
    let table = file(case)?;
    let settings = Settings::of(case)?;
    let Some(options) = table.table("log-opts") else {
        return Err(Gap::Absent("Docker had no limits of logs".to_owned()));
    };
    let mut problems = Vec::new();
    for (option, flag, key, usual) in [
        (
            "max-size",
            "--container-log-max-size",
            "containerLogMaxSize",
            "10Mi",
        ),
        (
            "max-file",
            "--container-log-max-files",
            "containerLogMaxFiles",
            "5",
        ),
    ] {
        let Some((entry, old)) = options
            .entry(option)
            .and_then(|entry| Some((entry, entry.node.str()?)))
        else {
            continue;
        };
        let setting = settings.setting(Some(flag), key)?;
        let new = match &setting {
            Some(setting) => setting
                .word()
                .map_or_else(|| setting.value.to_string(), str::to_owned),
            None => usual.to_owned(),
        };
        if bytes(old).is_some() && bytes(old) == bytes(&new) {
            continue;
        }
        let by_default = if setting.is_some() {
            ""
        } else {
            ", its default"
        };
        problems.push(
            Note::warn(format!(
                "Docker's `{option}` was {old}, the kubelet's `{key}` is {new}{by_default}"
            ))
            .subject(key)
            .measured(new)
            .expected(old)
            .at(case.files.at(&entry.node.place)),
        );
    }
    Outcome::of(problems, "the kubelet has the same limits").into()
}

pub(super) fn ulimits(case: &Case<'_>) -> Judged {
    let table = file(case)?;
    let nofile = table
        .descend(&["default-ulimits", "nofile"])
        .ok_or_else(|| Gap::Absent("Docker sets no limits of open files".to_owned()))?;
    let number = |key: &str| {
        nofile
            .node(key)
            .and_then(Node::integer)
            .and_then(|number| u64::try_from(number).ok())
    };
    let Some(soft) = number("Soft").or_else(|| number("Hard")) else {
        return Err(Gap::Unknown(
            "`default-ulimits.nofile` has no number".to_owned(),
        ));
    };
    let place = nofile
        .in_order()
        .first()
        .map(|(_, entry)| entry.key.clone());
    let source = place.map_or_else(|| Source::file(FILE), |place| case.files.at(&place));
    let daemon = case.facts().daemon();
    let note = match daemon.map(|daemon| daemon.limits.need()) {
        Some(Ok(limits)) => {
            if limits.files_soft.is_none_or(|now| now >= soft) {
                return Note::pass(format!("{soft} before, not less now")).into();
            }
            let now = limits.files_soft.unwrap_or(0);
            Note::fail(format!(
                "containers could open {soft} files with Docker, and inherit {now} now"
            ))
            .measured(now)
        }
        _ => Note::warn(format!(
            "containers can open {soft} files with Docker; what the new runtime gives them is not known"
        )),
    };
    note.subject("default-ulimits")
        .expected(soft.to_string())
        .at(source)
        .into()
}

pub(super) fn runtimes(case: &Case<'_>) -> Judged {
    let table = file(case)?;
    let mut wanted: Vec<(String, Source)> = Vec::new();
    for (name, entry) in table.table("runtimes").into_iter().flat_map(Table::iter) {
        wanted.push((name.to_owned(), case.files.at(&entry.key)));
    }
    let default = table
        .node("default-runtime")
        .and_then(|node| Some((node.str()?.to_owned(), case.files.at(&node.place))))
        .filter(|(name, _)| name != "runc");
    if wanted.is_empty() && default.is_none() {
        return Err(Gap::Absent("Docker has no runtime but runc".to_owned()));
    }
    let handlers = told::handler_names(case);
    if handlers.is_empty() {
        return Err(Gap::Unknown(
            "the handlers of the new runtime are not known yet".to_owned(),
        ));
    }
    let mut problems = Vec::new();
    for (name, source) in wanted {
        if name != "runc" && !handlers.iter().any(|(handler, _)| *handler == name) {
            problems.push(
                Note::fail(format!("Docker's runtime `{name}` is no handler here"))
                    .subject(&name)
                    .measured(serde_json::json!(
                        handlers.iter().map(|(name, _)| name).collect::<Vec<_>>()
                    ))
                    .expected(format!("a handler `{name}`"))
                    .at(source),
            );
        }
    }
    if let Some((name, source)) = default
        && problems.is_empty()
        && !handlers
            .iter()
            .any(|(handler, is_default)| *handler == name && *is_default)
    {
        problems.push(
            Note::warn(format!(
                "`{name}` is Docker's default runtime, and not the default handler here"
            ))
            .subject(&name)
            .expected(format!(
                "`{name}` as default, or a RuntimeClass for the pods that need it"
            ))
            .at(source),
        );
    }
    Outcome::of(problems, "every runtime of Docker is a handler").into()
}

pub(super) fn user_namespaces(case: &Case<'_>) -> Judged {
    let Some((value, source)) = word(case, "userns-remap")? else {
        return Note::pass("Docker maps no users").into();
    };
    Note::fail(format!(
        "Docker maps the users of containers (`{value}`); no CRI runtime does that for all pods"
    ))
    .subject("userns-remap")
    .measured(value)
    .expected("pods with `hostUsers: false`")
    .at(source)
    .into()
}

pub(super) fn data_directory(case: &Case<'_>) -> Judged {
    file(case)?;
    let old = &case.docker.data_root;
    if old == "/var/lib/docker" {
        return Err(Gap::Absent(
            "Docker's directory is where it usually is".to_owned(),
        ));
    }
    let told = case
        .cri
        .status
        .value()
        .and_then(|status| status.info("config", "/containerdRootDir")?.as_str());
    let crio = case
        .runtime()
        .is_some_and(|runtime| runtime.name == RuntimeName::Crio);
    let new = told.unwrap_or(if crio {
        "/var/lib/containers/storage"
    } else {
        "/var/lib/containerd"
    });
    let disk = |path: &str| case.storage.paths.get(path).and_then(|fact| fact.value());
    let source = || {
        let entry = file(case).ok()?;
        let entry = entry.entry("data-root").or_else(|| entry.entry("graph"))?;
        Some(case.files.at(&entry.node.place))
    };
    let root = disk(new).or_else(|| disk("/"));
    let note = match (disk(old), root) {
        (Some(before), Some(after)) if before.mountpoint == after.mountpoint => {
            return Note::pass(format!("both on `{}`", after.mountpoint)).into();
        }
        (Some(before), Some(after)) if after.mountpoint == "/" => Note::fail(format!(
            "Docker's images are on `{}`, those of the new runtime (`{new}`) fill the root file system",
            before.mountpoint
        )),
        (Some(_), Some(after)) => {
            return Note::pass(format!("`{new}` is on `{}`", after.mountpoint)).into();
        }
        _ => Note::warn(format!(
            "Docker's images are in `{old}`, those of the new runtime will be in `{new}`"
        )),
    };
    note.subject("data-root")
        .measured(new)
        .expected("a disk that was made for images")
        .at(source().unwrap_or_else(|| Source::file(FILE)))
        .into()
}

/// Keys that have to be said elsewhere, and where.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "authorization-plugins",
        "nowhere: CRI knows no plugins for it",
    ),
    ("bip", "the CNI configuration of the pods' network"),
    ("bridge", "the CNI configuration of the pods' network"),
    (
        "default-address-pools",
        "the CNI configuration of the pods' network",
    ),
    (
        "default-shm-size",
        "an emptyDir with `medium: Memory` of each pod",
    ),
    ("dns", "`resolvConf` of the kubelet, or dnsConfig of pods"),
    ("dns-opts", "dnsConfig of pods"),
    ("dns-search", "dnsConfig of pods"),
    ("fixed-cidr", "the CNI configuration of the pods' network"),
    ("hosts", "nowhere: who talks to this socket has to be found"),
    ("icc", "a NetworkPolicy"),
    ("ip-masq", "`ipMasq` in the CNI configuration"),
    (
        "iptables",
        "the network add-on, kube-proxy and the CNI plugin portmap",
    ),
    ("ipv6", "the CNI configuration of the pods' network"),
    (
        "max-concurrent-downloads",
        "`max_concurrent_downloads` of containerd, `serializeImagePulls` of the kubelet",
    ),
    ("mtu", "`mtu` in the CNI configuration"),
    (
        "no-new-privileges",
        "`allowPrivilegeEscalation: false` of containers",
    ),
    (
        "proxies",
        "`HTTP_PROXY` and so on in the Environment of the runtime's unit",
    ),
    (
        "seccomp-profile",
        "`seccompDefault` of the kubelet, or seccompProfile of pods",
    ),
    (
        "selinux-enabled",
        "`enable_selinux` of containerd, `selinux` of CRI-O",
    ),
    (
        "storage-driver",
        "`snapshotter` of containerd, `driver` in storage.conf of CRI-O",
    ),
    ("storage-opts", "the options of the snapshotter"),
    ("userland-proxy", "the CNI plugin portmap"),
];

pub(super) fn options(case: &Case<'_>) -> Judged {
    let table = file(case)?;
    let mut problems = Vec::new();
    let mut add = |name: &str, entry: &Entry, place: &str| {
        problems.push(
            Note::warn(format!("`{name}` goes to: {place}"))
                .subject(name)
                .expected(place)
                .at(case.files.at(&entry.key))
                .remedy(format!("set it there: {place}")),
        );
    };
    for (name, entry) in table.in_order() {
        if name == "exec-opts" {
            driver(case, entry, &mut add);
            continue;
        }
        // A truth value that says what is usual anyway.
        let usual = matches!(
            (name, entry.node.bool()),
            (
                "iptables" | "ip-masq" | "icc" | "userland-proxy",
                Some(true)
            ) | (
                "ipv6" | "no-new-privileges" | "selinux-enabled",
                Some(false)
            )
        );
        let overlay = name == "storage-driver"
            && entry
                .node
                .str()
                .is_some_and(|driver| driver.starts_with("overlay"));
        let carried = name == "selinux-enabled"
            && case
                .cri
                .status
                .value()
                .and_then(|status| status.info("config", "/enableSelinux")?.as_bool())
                == Some(true);
        if let Some((_, place)) = ELSEWHERE
            .iter()
            .find(|(key, _)| *key == name)
            .filter(|_| !usual && !overlay && !carried)
        {
            add(name, entry, place);
        }
    }
    Outcome::of(problems, "nothing in it has to be said elsewhere").into()
}

/// `native.cgroupdriver`, if the runtime has another one.
fn driver(case: &Case<'_>, entry: &Entry, add: &mut impl FnMut(&str, &Entry, &str)) {
    let words = entry.node.strings().unwrap_or_default();
    let Some(old) = words
        .iter()
        .find_map(|word| word.value.strip_prefix("native.cgroupdriver="))
    else {
        return;
    };
    let new = told::driver(case).map(|driver| driver.driver);
    let same = match new {
        Ok(CgroupDriver::Systemd) => old == "systemd",
        Ok(CgroupDriver::Cgroupfs) => old == "cgroupfs",
        Err(_) => false,
    };
    if !same {
        add(
            "exec-opts",
            entry,
            "`SystemdCgroup` of every runc handler of containerd, `cgroup_manager` of CRI-O",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_of_docker_and_of_the_kubelet() {
        assert_eq!(bytes("100m"), bytes("100Mi"));
        assert_eq!(bytes("1g"), bytes("1024Mi"));
        assert_eq!(bytes("3"), Some(3));
        assert_eq!(bytes("10kb"), Some(10 << 10));
        for text in ["", "x", "10z", "99999999999999999999"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
