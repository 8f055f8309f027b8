//! Checks of who may do what: sockets, profiles, labels, certificates.

use super::config::effective;
use super::finding::{Area, Note, Severity};
use super::scope::{NODE, PREFLIGHT};
use super::{Case, Check, Judge, Judged, Outcome, kubelet, told};
use crate::facts::files::{AUTHORITIES, Kind};
use crate::facts::kubelet::Settings;
use crate::facts::{Gap, Source};
use crate::registry::containerd::CRI;
use crate::registry::node::Node;
use crate::registry::{RuntimeId, RuntimeName};

/// What leaves nothing to be said about what the runtime would tell.
const UNREACHED: &[&str] = &["endpoint-socket", "endpoint-connect", "cri-plugin-loaded"];

const BLANK: Check = Check {
    area: Area::Security,
    ..Check::BLANK
};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "sock-permissions",
        title: "only root and whoever is meant can use the sockets",
        severity: Severity::High,
        profiles: NODE,
        rule: "Reads mode and group of the sockets of runtime and Docker. Fails if others may write; warns if a group \
               other than root's may write to the runtime's socket.",
        why: "Whoever can write to the socket is root on this node: it starts containers with everything of the host.",
        remedy: "`chmod 0660` and the group root, and for good in the runtime's configuration (`[grpc] gid`)",
        judge: Judge::By(sockets),
        ..BLANK
    },
    Check {
        code: "stream-server",
        title: "exec and attach are served on the loopback only",
        severity: Severity::High,
        profiles: NODE,
        rule: "Reads the address of the streaming server from Status. Fails if it is no loopback and TLS is off.",
        why: "Whoever reaches the port and guesses a token that is valid for a minute gets a shell in a container.",
        remedy: "set `stream_server_address = \"127.0.0.1\"` (CRI-O: `stream_address`) and restart the runtime",
        silenced_by: UNREACHED,
        judge: Judge::By(stream),
        ..BLANK
    },
    Check {
        code: "apparmor-parser",
        title: "AppArmor's parser is there where AppArmor is on",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "With AppArmor on in the kernel: warns if `apparmor_parser` is nowhere, unless `disable_apparmor` is set.",
        why: "The runtime wants to load its profile and cannot: containers fail to start, or run without one.",
        remedy: "install the package `apparmor`, or set `disable_apparmor = true`",
        seen: &["containerd#8123", "k3os#702"],
        judge: Judge::By(parser),
        ..BLANK
    },
    Check {
        code: "apparmor-abi",
        title: "AppArmor has the files that the runtime's profile needs",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "With AppArmor on and containerd 2.1.7, 2.2.2 or 2.2.3: fails if /etc/apparmor.d/abi/3.0 is missing.",
        why: "The profile of these releases needs that file unconditionally: no container starts.",
        remedy: "upgrade containerd by a patch release, or install `apparmor-abstractions`",
        seen: &["containerd#12726", "containerd#12897", "k3s#13788"],
        judge: Judge::By(abi),
        ..BLANK
    },
    Check {
        code: "selinux-agree",
        title: "host and runtime agree about SELinux",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Fails if SELinux is enforcing and the runtime's `enable_selinux` is off; warns if it is on while SELinux is \
               permissive.",
        why: "Containers run with the label of the daemon and may do what it may.",
        remedy: "set `enable_selinux = true` and install container-selinux; try it on one node first",
        silenced_by: UNREACHED,
        judge: Judge::By(selinux),
        ..BLANK
    },
    Check {
        code: "seccomp-default",
        title: "containers get the runtime's seccomp profile",
        severity: Severity::Low,
        profiles: PREFLIGHT,
        rule: "Reads `seccompDefault` of the kubelet, false by default. Warns if it is not set.",
        why: "With Docker every container had a profile; with CRI one that asks for none runs with all system calls.",
        remedy: "set `seccompDefault: true` in the kubelet's configuration",
        judge: Judge::By(seccomp),
        ..BLANK
    },
    Check {
        code: "defaults-changed",
        title: "what containerd 2 does by default has been decided",
        severity: Severity::Low,
        profiles: PREFLIGHT,
        rule: "On containerd 1.x: warns about settings whose default changes with 2.0 and that config.toml does not set: \
               enable_unprivileged_ports, enable_unprivileged_icmp, enable_cdi.",
        why: "After the upgrade containers may bind low ports and send pings without a capability, and devices may be \
              injected.",
        remedy: "write the value that is wanted into config.toml before the upgrade",
        judge: Judge::By(defaults),
        ..BLANK
    },
    Check {
        code: "registry-client-cert",
        title: "certificates for registries are good",
        severity: Severity::High,
        profiles: NODE,
        rule: "Reads the client certificates that hosts.toml and certs.d name. Fails if one has expired, warns if less \
               than a tenth of its life is left.",
        why: "The registry refuses the runtime, and every pull from there fails: `remote error: tls: expired certificate`.",
        remedy: "put a new certificate in its place; hosts.toml is read anew for every pull",
        judge: Judge::By(client_certificates),
        ..BLANK
    },
    Check {
        code: "ca-bundle-newer",
        title: "the daemon knows the authorities that the system knows",
        severity: Severity::Low,
        profiles: NODE,
        rule: "Compares when the system's bundle of authorities was changed with when the daemon was started. Warns if it \
               is newer.",
        why: "The daemon reads the bundle once: an authority that was added since is unknown to it, and pulls fail with \
              `x509: certificate signed by unknown authority` while curl works.",
        remedy: "restart the daemon; pods go on running",
        seen: &["cri-tools#800", "bottlerocket#2021"],
        judge: Judge::By(bundle),
        ..BLANK
    },
];

fn sockets(case: &Case<'_>) -> Judged {
    let root = &case.host.root;
    let mut paths: Vec<std::path::PathBuf> = vec!["/var/run/docker.sock".into()];
    for endpoint in case.endpoints.value().into_iter().flatten() {
        let path = endpoint.endpoint.path();
        paths.push(path.strip_prefix(root).map_or_else(
            |_| path.to_owned(),
            |rest| std::path::Path::new("/").join(rest),
        ));
    }
    let mut seen = 0;
    let mut problems = Vec::new();
    for path in paths {
        let Some(Some(stat)) = case.files.stats.get(&path) else {
            continue;
        };
        if stat.kind != Kind::Socket {
            continue;
        }
        seen += 1;
        let docker = path.ends_with("docker.sock");
        let note = if stat.mode & 0o002 != 0 {
            Note::fail(format!(
                "everybody may write to `{}` (mode {:04o})",
                path.display(),
                stat.mode
            ))
        } else if stat.mode & 0o020 != 0 && stat.gid != 0 && !docker {
            Note::warn(format!(
                "the group {} may write to `{}` (mode {:04o})",
                stat.gid,
                path.display(),
                stat.mode
            ))
        } else {
            continue;
        };
        problems.push(
            note.subject(path.display())
                .measured(serde_json::json!({ "mode": format!("{:04o}", stat.mode), "uid": stat.uid, "gid": stat.gid }))
                .expected("0660, root:root")
                .at(Source::socket(path.display()))
                .command(format!("chmod 0660 {}", path.display())),
        );
    }
    if seen == 0 {
        return Err(Gap::Absent("there is no socket to look at".to_owned()));
    }
    Outcome::of(problems, format!("{seen} sockets, none open to others")).into()
}

fn stream(case: &Case<'_>) -> Judged {
    let status = match case.cri.status.need() {
        Ok(status) => status,
        Err(gap) if case.serves() => return Err(gap),
        Err(_) => return written_stream(case),
    };
    let info = |pointer: &str| status.info("config", pointer);
    let address = info("/streamServerAddress")
        .or_else(|| info("/crio/StreamAddress"))
        .and_then(|value| value.as_str());
    let Some(address) = address else {
        return Err(Gap::Absent(
            "the runtime does not tell where it streams".to_owned(),
        ));
    };
    let tls = info("/enableTLSStreaming")
        .or_else(|| info("/crio/StreamEnableTLS"))
        .and_then(serde_json::Value::as_bool)
        .unwrap_or(false);
    streams_at(address, tls, Source::rpc("Status"))
}

/// Judges where the runtime would stream by its files; without an address it is the loopback.
fn written_stream(case: &Case<'_>) -> Judged {
    let config = case.containerd()?;
    let entry = |key: &str| {
        effective::entry(config, &[key]).or_else(|| config.plugins.table(CRI)?.entry(key))
    };
    let tls = entry("enable_tls_streaming").and_then(|entry| entry.node.bool());
    match entry("stream_server_address") {
        Some(found) if found.node.str().is_some() => streams_at(
            found.node.str().unwrap_or_default(),
            tls == Some(true),
            case.files.at(&found.node.place),
        ),
        _ => Note::pass("127.0.0.1, the default").into(),
    }
}

fn streams_at(address: &str, tls: bool, source: Source) -> Judged {
    let loopback = address == "localhost"
        || address
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if address.is_empty() {
        // One interface only, which is what it was for all nodes once; minikube still says so.
        return Note::pass("the node's own address, and no other one").into();
    }
    if loopback || tls {
        return Note::pass(format!(
            "`{address}`{}",
            if tls { ", with TLS" } else { "" }
        ))
        .into();
    }
    Note::fail(format!(
        "exec, attach and port-forward are served on {address} without TLS"
    ))
    .measured(address)
    .expected("127.0.0.1")
    .at(source)
    .into()
}

/// Whether AppArmor is on, and its mode where it is not.
fn apparmor(case: &Case<'_>) -> Result<(), Gap> {
    match case.kernel.lsm.need()?.get("apparmor").map(String::as_str) {
        Some("enabled") => Ok(()),
        _ => Err(Gap::Absent("AppArmor is off".to_owned())),
    }
}

fn parser(case: &Case<'_>) -> Judged {
    apparmor(case)?;
    if case.runtime().is_none() {
        return Err(Gap::Absent("no runtime answers".to_owned()));
    }
    let disabled = case
        .cri
        .status
        .value()
        .and_then(|status| status.info("config", "/disableApparmor")?.as_bool());
    if disabled == Some(true) {
        return Err(Gap::Absent(
            "the runtime is told to leave AppArmor alone".to_owned(),
        ));
    }
    let places: Vec<_> = case
        .files
        .stats
        .iter()
        .filter(|(path, _)| path.ends_with("apparmor_parser"))
        .collect();
    if places.is_empty() {
        return Err(Gap::Unknown(
            "nobody looked for `apparmor_parser`".to_owned(),
        ));
    }
    if let Some((path, _)) = places.iter().find(|(_, stat)| stat.is_some()) {
        return Note::pass(format!("`{}`", path.display())).into();
    }
    Note::warn("AppArmor is on, and `apparmor_parser` is not installed")
        .expected("`apparmor_parser` on the path of the daemon")
        .at(Source::proc("/sys/module/apparmor/parameters/enabled"))
        .into()
}

fn abi(case: &Case<'_>) -> Judged {
    const FILE: &str = "/etc/apparmor.d/abi/3.0";
    let Some(runtime) = case
        .runtime()
        .filter(|runtime| runtime.name == RuntimeName::Containerd)
    else {
        return Err(Gap::Absent("no containerd is here".to_owned()));
    };
    let text = runtime.version.as_str();
    let plain = text.split(['-', '~', '+']).next().unwrap_or(text);
    if !matches!(plain.trim_start_matches('v'), "2.1.7" | "2.2.2" | "2.2.3") {
        return Note::pass(format!("{runtime} does not need it")).into();
    }
    if case.host.live {
        apparmor(case)?;
    }
    match case.files.exists(FILE) {
        Some(true) => Note::pass(format!("`{FILE}` is there")).into(),
        None => Err(Gap::Unknown(format!("nobody looked at `{FILE}`"))),
        Some(false) => Note::fail(format!("the profile of {runtime} needs `{FILE}`"))
            .subject(FILE)
            .measured(text)
            .expected(format!("`{FILE}`, or another release"))
            .at(Source::file(FILE))
            .into(),
    }
}

fn selinux(case: &Case<'_>) -> Judged {
    let Some(mode) = case.kernel.lsm.need()?.get("selinux") else {
        return Err(Gap::Absent("SELinux is off".to_owned()));
    };
    let status = case.cri.status.need()?;
    let enabled = status
        .info("config", "/enableSelinux")
        .or_else(|| status.info("config", "/crio/SELinux"))
        .and_then(serde_json::Value::as_bool);
    let Some(enabled) = enabled else {
        return Err(Gap::Absent(
            "the runtime does not tell whether it labels containers".to_owned(),
        ));
    };
    let note = match (mode.as_str(), enabled) {
        ("enforcing", false) => Note::fail("SELinux is enforcing, and the runtime labels nothing"),
        ("permissive", true) => Note::warn("the runtime labels containers, and SELinux only warns"),
        _ => return Note::pass(format!("SELinux is {mode}")).into(),
    };
    note.measured(serde_json::json!({ "selinux": mode, "runtime": enabled }))
        .expected("both on or both off")
        .at(Source::proc("/sys/fs/selinux/enforce"))
        .evidence(Source::rpc("Status"), format!("enableSelinux is {enabled}"))
        .into()
}

fn seccomp(case: &Case<'_>) -> Judged {
    let settings = Settings::of(case)?;
    let setting = settings.setting(Some("--seccomp-default"), "seccompDefault")?;
    if setting.as_ref().and_then(|setting| setting.truth()) == Some(true) {
        return Note::pass("`seccompDefault` is true").into();
    }
    let source = setting
        .map(|setting| setting.source)
        .or_else(|| settings.config().map(|path| Source::file(path.display())))
        .unwrap_or_else(|| Source::file("/var/lib/kubelet/config.yaml"));
    Note::warn("containers that ask for no profile run without seccomp")
        .measured(false)
        .expected("`seccompDefault: true`")
        .at(source)
        .into()
}

/// Settings whose default is another one from 2.0 on.
const CHANGED: &[&str] = &[
    "enable_unprivileged_ports",
    "enable_unprivileged_icmp",
    "enable_cdi",
];

fn defaults(case: &Case<'_>) -> Judged {
    let runtime = case
        .runtime()
        .filter(|runtime| runtime.name == RuntimeName::Containerd)
        .ok_or_else(|| Gap::Absent("no containerd is here".to_owned()))?;
    let from = case.facts().migration.as_ref();
    let from = from.and_then(|migration| migration.from.as_deref()?.parse::<RuntimeId>().ok());
    let old = from
        .as_ref()
        .is_some_and(|from| from.name == RuntimeName::Containerd && from.version.major() < 2);
    if runtime.version.major() >= 2 && !old {
        return Note::pass(format!("{runtime} has the new defaults already")).into();
    }
    let config = from
        .filter(|_| old)
        .map(|from| case.declared().containerd(&from))
        .or_else(|| told::containerd(case))
        .ok_or_else(|| Gap::Absent("containerd has no configuration file".to_owned()))?;
    let table = config.plugins.table(crate::registry::containerd::CRI);
    let set = |key: &str| table.and_then(|table| table.node(key)).and_then(Node::bool);
    let open: Vec<&str> = CHANGED
        .iter()
        .copied()
        .filter(|key| set(key).is_none())
        .collect();
    if open.is_empty() {
        return Note::pass("all of them are set").into();
    }
    Note::warn(format!("containerd 2 will switch on: {}", open.join(", ")))
        .measured(serde_json::json!(open))
        .expected("a value in config.toml")
        .at(Source::file(case.files.containerd_config.display()))
        .into()
}

fn client_certificates(case: &Case<'_>) -> Judged {
    let mut problems = Vec::new();
    let (mut good, mut hidden) = (0, None);
    for (path, fact) in &case.certificates {
        if path.starts_with("/var/lib/kubelet/") {
            continue;
        }
        let certificate = match fact.need() {
            Ok(certificate) => certificate,
            Err(Gap::Unknown(reason)) => {
                hidden = Some(reason);
                continue;
            }
            Err(Gap::Absent(_)) => continue,
        };
        let Some((words, over)) = kubelet::ending(case, certificate) else {
            good += 1;
            continue;
        };
        let text = format!("the client certificate `{path}` {words}");
        let note = if over {
            Note::fail(text)
        } else {
            Note::warn(text)
        };
        problems.push(
            note.subject(path)
                .measured(serde_json::json!(certificate))
                .expected("a certificate that is good")
                .at(Source::file(path)),
        );
    }
    match (problems.is_empty(), good, hidden) {
        (true, _, Some(reason)) => Err(Gap::Unknown(reason)),
        (true, 0, None) => Err(Gap::Absent(
            "no registry is given a client certificate".to_owned(),
        )),
        _ => Outcome::of(problems, format!("{good} certificates, all good")).into(),
    }
}

fn bundle(case: &Case<'_>) -> Judged {
    case.live()?;
    case.processes.need()?;
    let daemon = case
        .facts()
        .daemon()
        .ok_or_else(|| Gap::Absent("no daemon of a runtime was found".to_owned()))?;
    let started: Option<jiff::Timestamp> = daemon
        .started_at
        .as_ref()
        .and_then(|time| time.parse().ok());
    let found = AUTHORITIES.iter().find_map(|path| {
        let time = case.files.modified(std::path::Path::new(path))?;
        Some((*path, time, time.parse::<jiff::Timestamp>().ok()?))
    });
    let Some((path, changed, time)) = found else {
        return Err(Gap::Absent(
            "the node has no bundle of authorities".to_owned(),
        ));
    };
    let Some(started) = started else {
        return Err(Gap::Unknown(
            "when the daemon was started is not known".to_owned(),
        ));
    };
    if time <= started {
        return Note::pass(format!(
            "`{path}` has not changed since the daemon was started"
        ))
        .into();
    }
    Note::warn(format!(
        "`{path}` has changed since {} was started",
        daemon.role.name()
    ))
    .subject(path)
    .measured(serde_json::json!({ "changed": changed, "started": daemon.started_at }))
    .expected("a daemon that was started later")
    .at(Source::file(path))
    .since(Some(changed))
    .into()
}
