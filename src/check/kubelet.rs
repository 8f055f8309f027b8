//! Checks of the kubelet: will it start, whom does it talk to, is its certificate good.
//!
//! Which flags a version still knows is in the dated data file (`check/knowledge.toml`), from Kubernetes' changelogs.

mod endpoint;
mod flags;

use super::finding::{Area, Note, Severity};
use super::scope::{HEALTH, NODE, PREFLIGHT};
use super::{Case, Check, Judge, Judged, told};
use crate::facts::kernel::CgroupVersion;
use crate::facts::kubelet::{Setting, Settings, minor};
use crate::facts::{Certificate, Fact, Gap, Role, Source};

const BLANK: Check = Check {
    area: Area::Kubelet,
    ..Check::BLANK
};

/// The certificate with which a kubelet meets the API server.
const CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "kubelet-endpoint",
        title: "the kubelet uses the runtime that is examined",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Reads the kubelet's `--container-runtime-endpoint` and `containerRuntimeEndpoint`. Fails if it is the \
               dockershim's socket on a kubelet from 1.24 on, or another one than that of the runtime that answers \
               here; in a tree of files, if it is another runtime's.",
        why: "What is seen here is not what the kubelet sees: images and pods are in the other runtime, or the kubelet \
              does not start.",
        remedy: "set `containerRuntimeEndpoint` in the kubelet's configuration (kubeadm from 1.32 on: also in \
                 /var/lib/kubelet/instance-config.yaml) and restart the kubelet",
        seen: &["kubeadm#2364"],
        judge: Judge::By(endpoint::judge),
        ..BLANK
    },
    Check {
        code: "kubelet-removed-flags",
        title: "the kubelet knows all flags that it is given",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Looks for flags that this kubelet does not know any more in kubeadm-flags.env, /etc/default, \
               /etc/sysconfig, the unit, its drop-ins and the files of its environment. Where the version is not known \
               and no kubelet runs, only flags count that no supported version knows.",
        why: "The kubelet ends at once with `unknown flag`, over and over.",
        remedy: "delete the flag where it is written, then restart the kubelet",
        seen: &[
            "kubespray#8924",
            "kurl#4451",
            "kubeadm#3281",
            "kubernetes#133779",
        ],
        judge: Judge::By(flags::removed),
        ..BLANK
    },
    Check {
        code: "kubelet-deprecated-flags",
        title: "the next kubelets know the flags too",
        severity: Severity::Medium,
        profiles: PREFLIGHT,
        rule: "Lists flags that this kubelet still knows and a later version does not. Warns.",
        why: "The upgrade to that version ends with a kubelet that does not start.",
        remedy: "delete the flag before the upgrade, or move it into the configuration file",
        seen: &["kubernetes#133779"],
        judge: Judge::By(flags::deprecated),
        ..BLANK
    },
    Check {
        code: "kubelet-healthz",
        title: "the kubelet says that it is well",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Asks http://127.0.0.1:10248/healthz (`healthzPort`) if a kubelet runs. Fails unless the answer is 200, and \
               if no kubelet runs on a node that has joined a cluster.",
        why: "Pods of this node are neither started nor stopped, and soon it is NotReady.",
        remedy: "read what the kubelet writes: `journalctl -u kubelet -n 50`",
        caused_by: &[
            "kubelet-removed-flags",
            "kubelet-failcgroupv1",
            "kubelet-client-cert",
            "cgroup-controllers",
            "swap-state",
        ],
        silenced_by: &["endpoint-socket", "endpoint-connect", "cri-plugin-loaded"],
        judge: Judge::By(healthz),
        ..BLANK
    },
    Check {
        code: "kubelet-failcgroupv1",
        title: "the kubelet accepts the node's control groups",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Fails on control groups version 1 with a kubelet from 1.35 on, unless `failCgroupV1` is false.",
        why: "The kubelet does not start.",
        remedy: "boot with control groups version 2; `failCgroupV1: false` gains a release or two",
        seen: &["website#53082"],
        silenced_by: &["cgroup-version"],
        judge: Judge::By(fail_v1),
        ..BLANK
    },
    Check {
        code: "kubelet-client-cert",
        title: "the kubelet's certificate is good and renewed",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Reads /var/lib/kubelet/pki/kubelet-client-current.pem. Fails if it has expired; warns if less than a \
               tenth of its life is left, when a kubelet that rotates would have a new one, and below 30 days where \
               `rotateCertificates` is off.",
        why: "The API server refuses the kubelet: the node is NotReady, and its pods are moved away.",
        remedy: "set `rotateCertificates: true`; if it has expired, let the node join again \
                 (`kubeadm kubeconfig user --org system:nodes …`, or a new bootstrap token)",
        judge: Judge::By(client_certificate),
        ..BLANK
    },
    Check {
        code: "kubelet-skew",
        title: "kubelet and API server fit together",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Compares the kubelet's version with that of the image in the static pod of kube-apiserver, where the node \
               has one. Fails if the kubelet is newer, or more than three minor versions older.",
        why: "Nobody tests other pairs, and a kubelet that is newer uses calls that the server does not know.",
        remedy: "upgrade the control plane first, then kubelets one minor version at a time",
        judge: Judge::By(skew),
        ..BLANK
    },
    Check {
        code: "kubelet-log-limits",
        title: "container logs keep the limits that Docker had",
        severity: Severity::Medium,
        profiles: PREFLIGHT,
        rule: "Compares `log-opts` of daemon.json (max-size, max-file) with the kubelet's containerLogMaxSize (10Mi) and \
               containerLogMaxFiles (5). Warns if they differ.",
        why: "The kubelet rotates logs of CRI runtimes by its own limits: less history than before, or more disk.",
        remedy: "set containerLogMaxSize and containerLogMaxFiles in the kubelet's configuration",
        seen: &["containerd#4830"],
        judge: Judge::By(super::docker::log_limits),
        ..BLANK
    },
    Check {
        code: "kubelet-timeouts",
        title: "the kubelet waits long enough for the runtime",
        severity: Severity::Low,
        profiles: NODE,
        rule: "Reads `runtimeRequestTimeout` (2m by default). Warns below one minute.",
        why: "Under load the kubelet gives up and asks again, and the runtime does everything twice: `failed to reserve \
              container name`.",
        remedy: "take the setting away",
        seen: &["kubernetes#94829"],
        judge: Judge::By(timeouts),
        ..BLANK
    },
    Check {
        code: "kubelet-registry-creds",
        title: "credentials that Docker had are the kubelet's too",
        severity: Severity::Medium,
        profiles: PREFLIGHT,
        rule: "Compares the registries in /root/.docker/config.json with those in /var/lib/kubelet/config.json. Warns \
               about those that the kubelet does not have, unless a credential provider is configured.",
        why: "dockershim pulled with Docker's own login as well; a CRI runtime gets what the kubelet has, and private \
              images fail.",
        remedy: "use imagePullSecrets or a credential provider, or copy the file to /var/lib/kubelet/config.json",
        seen: &["website#29665"],
        judge: Judge::By(credentials),
        ..BLANK
    },
];

fn healthz(case: &Case<'_>) -> Judged {
    case.live()?;
    case.processes.need()?;
    let Some(kubelet) = case.processes(Role::Kubelet).next() else {
        if case.files.exists("/etc/kubernetes/kubelet.conf") == Some(true) {
            let mut note = Note::fail("this node has joined a cluster, and no kubelet runs")
                .expected("a process `kubelet`")
                .at(Source::proc("/proc"))
                .evidence(
                    Source::file("/etc/kubernetes/kubelet.conf"),
                    "made when the node joined",
                )
                .command("systemctl status kubelet");
            let lines = case.journal.value().map(Vec::as_slice).unwrap_or_default();
            if let Some((line, _)) = super::daemon::last_words(lines, &["kubelet"]) {
                note = note
                    .says(Some(super::daemon::message(&line.text)))
                    .since(Some(line.time.clone()).filter(|time| !time.is_empty()));
            }
            return note.into();
        }
        return Err(Gap::Absent("no kubelet runs".to_owned()));
    };
    let health = case.kubelet.health.need()?;
    if health.status == 200 {
        return Note::pass("it answers `ok`").into();
    }
    let text = if health.status == 0 {
        format!(
            "the kubelet (pid {}) does not answer on its health port",
            kubelet.pid
        )
    } else {
        format!("the kubelet (pid {}) says that it is not well", kubelet.pid)
    };
    Note::fail(text)
        .says(Some(health.body.clone()))
        .measured(health.status)
        .expected("200")
        .at(case.kubelet.health.source().cloned())
        .since(kubelet.started_at.clone())
        .command("journalctl -u kubelet -n 50")
        .into()
}

fn fail_v1(case: &Case<'_>) -> Judged {
    let settings = Settings::of(case)?;
    if *case.cgroup.version.need()? == CgroupVersion::V2 {
        return Note::pass("control groups are version 2").into();
    }
    let Some(minor) = case.kubelet.minor() else {
        return Err(Gap::Absent(
            "the kubelet's version is not known, and it is not seen to fail".to_owned(),
        ));
    };
    let setting = super::cgroup::accepts_v1(&settings)?;
    let fails = setting.as_ref().and_then(Setting::truth).unwrap_or(true);
    if minor < super::cgroup::REFUSES_V1 || !fails {
        return Note::pass(format!("kubelet 1.{minor} accepts version 1")).into();
    }
    let source = setting.map(|setting| setting.source);
    let config = settings.config().map(|path| Source::file(path.display()));
    Note::fail(format!(
        "kubelet 1.{minor} does not start on control groups version 1"
    ))
    .measured(serde_json::json!({ "kubelet": minor, "cgroup": case.cgroup.version.value() }))
    .expected("version 2, or `failCgroupV1: false`")
    .at(source
        .or(config)
        .or_else(|| case.cgroup.version.source().cloned()))
    .into()
}

/// How a time relates to when the facts were gathered, in seconds.
fn from_now(case: &Case<'_>, time: &str) -> Option<i64> {
    let now: jiff::Timestamp = case.taken_at.parse().ok()?;
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(time.as_second() - now.as_second())
}

const DAY: i64 = 86_400;

/// How long a certificate has, if that is little: the words, and whether it is over.
pub(super) fn ending(case: &Case<'_>, certificate: &Certificate) -> Option<(String, bool)> {
    let left = from_now(case, &certificate.not_after)?;
    let whole = left - from_now(case, &certificate.not_before)?;
    if left <= 0 {
        return Some((format!("expired at {}", certificate.not_after), true));
    }
    let words = || {
        if left >= 2 * DAY {
            format!("expires in {} days", left / DAY)
        } else {
            format!("expires in {} hours", left / 3600)
        }
    };
    (left < whole / 10).then(|| (words(), false))
}

fn client_certificate(case: &Case<'_>) -> Judged {
    let certificate = match case.certificates.get(CLIENT) {
        Some(fact) => fact.need()?,
        None => return Err(Gap::Unknown(format!("nobody looked at `{CLIENT}`"))),
    };
    let rotates = Settings::of(case)
        .and_then(|settings| settings.setting(Some("--rotate-certificates"), "rotateCertificates"))
        .ok()
        .flatten()
        .and_then(|setting| setting.truth());
    let left = from_now(case, &certificate.not_after).unwrap_or(i64::MAX);
    let about = |note: Note| {
        note.subject(&certificate.subject)
            .measured(serde_json::json!(certificate))
            .expected("renewed in time")
            .at(Source::file(CLIENT))
    };
    match ending(case, certificate) {
        Some((words, true)) => about(Note::fail(format!("the kubelet's certificate {words}")))
            .since(Some(certificate.not_after.clone()))
            .into(),
        Some((words, false)) => about(Note::warn(format!(
            "the kubelet's certificate {words}, and was not renewed when it should have been"
        )))
        .into(),
        None if rotates == Some(false) && left < 30 * DAY => about(Note::warn(format!(
            "the kubelet's certificate expires in {} days, and nobody renews it",
            left / DAY
        )))
        .into(),
        None => Note::pass(format!("good until {}", certificate.not_after)).into(),
    }
}

fn skew(case: &Case<'_>) -> Judged {
    let path = "/etc/kubernetes/manifests/kube-apiserver.yaml";
    let text = case.files.text(path)?;
    let kubelet = match &case.kubelet.version {
        Fact::Known { value, .. } => minor(value),
        Fact::Absent { what } => return Err(Gap::Absent(what.clone())),
        Fact::Unknown { reason } => return Err(Gap::Unknown(reason.clone())),
    };
    let found = text.lines().enumerate().find_map(|(index, line)| {
        let bare = line.trim().trim_start_matches("- ");
        let (_, tag) = bare.strip_prefix("image:")?.rsplit_once(':')?;
        Some((index + 1, minor(tag.trim_matches(['"', '\'']))?))
    });
    let (Some(kubelet), Some((line, server))) = (kubelet, found) else {
        return Err(Gap::Unknown(
            "the versions of kubelet and API server are not both known".to_owned(),
        ));
    };
    let text = format!("the kubelet is 1.{kubelet}, the API server 1.{server}");
    let note = if kubelet > server {
        Note::fail(format!("{text}: the kubelet must not be newer"))
    } else if server - kubelet > 3 {
        Note::fail(format!("{text}: three minor versions apart is the most"))
    } else {
        return Note::pass(text).into();
    };
    note.measured(serde_json::json!({ "kubelet": kubelet, "apiserver": server }))
        .expected("at most three minor versions older")
        .at(Source::File(crate::facts::FilePlace {
            path: path.to_owned(),
            line: Some(line),
            excerpt: case.files.line(std::path::Path::new(path), line),
            ..crate::facts::FilePlace::default()
        }))
        .into()
}

/// A duration as Go writes it, in seconds: `2m0s`, `90s`, `1h30m`.
fn seconds(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        total += number
            * match rest.get(..unit)? {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = rest.get(unit..)?;
    }
    Some(total)
}

fn timeouts(case: &Case<'_>) -> Judged {
    let settings = Settings::of(case)?;
    let setting = settings.setting(Some("--runtime-request-timeout"), "runtimeRequestTimeout")?;
    let Some((setting, time)) = setting.and_then(|setting| {
        let time = setting
            .word()
            .and_then(seconds)
            .filter(|time| *time > 0.0)?;
        Some((setting, time))
    }) else {
        return Note::pass("2m, the default").into();
    };
    let word = setting.word().unwrap_or_default().to_owned();
    if time >= 60.0 {
        return Note::pass(word).into();
    }
    Note::warn(format!(
        "the kubelet gives the runtime {word} for an answer"
    ))
    .measured(word)
    .expected("2m, the default")
    .at(setting.source)
    .into()
}

fn credentials(case: &Case<'_>) -> Judged {
    let Some(docker) = case.docker.logins.known_or_absent()? else {
        return Err(Gap::Absent(
            "root's Docker client has no credentials".to_owned(),
        ));
    };
    let settings = Settings::of(case)?;
    if settings
        .flag("--image-credential-provider-config")
        .is_some()
    {
        return Note::pass("a credential provider is configured").into();
    }
    let kubelet = case.docker.kubelet_logins.known_or_absent()?;
    let missing: Vec<&str> = docker
        .iter()
        .filter(|host| !kubelet.is_some_and(|have| have.contains(host)))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Note::pass("the kubelet has what Docker has").into();
    }
    Note::warn(format!(
        "only Docker has credentials for {}",
        missing.join(", ")
    ))
    .measured(serde_json::json!(missing))
    .expected("/var/lib/kubelet/config.json with the same registries")
    .at(case.docker.logins.source().cloned())
    .into()
}

/// Whether this is a kubelet that talks to the runtime that answers: what Docker does is then history.
pub(super) fn uses_docker(case: &Case<'_>) -> bool {
    let word = Settings::of(case)
        .and_then(|settings| {
            settings.setting(
                Some("--container-runtime-endpoint"),
                "containerRuntimeEndpoint",
            )
        })
        .ok()
        .flatten()
        .and_then(|setting| setting.word().map(str::to_owned));
    let by_name =
        word.is_some_and(|word| word.contains("dockershim") || word.contains("cri-dockerd"));
    let runtime = case
        .runtime()
        .is_some_and(|runtime| runtime.name == crate::registry::RuntimeName::Docker);
    by_name || runtime || told::handler_names(case).is_empty() && case.runtime().is_none()
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_of_go() {
        for (text, expected) in [
            ("2m0s", Some(120.0)),
            ("90s", Some(90.0)),
            ("1h30m", Some(5400.0)),
            ("1.5s", Some(1.5)),
            ("500ms", Some(0.5)),
            ("10", None),
            ("", None),
            ("5 minutes", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
