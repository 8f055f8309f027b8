//! Checks of what the runtime answers over CRI.
//!
//! Two of its words cannot be taken at face value: containerd and CRI-O report RuntimeReady as a constant, and
//! NetworkReady only says that a CNI configuration was loaded, not that packets arrive.

mod lists;
mod processes;

use serde_json::json;

use super::finding::{Area, Note, Severity};
use super::scope::{HEALTH, NODE};
use super::{Case, Check, Judge, Judged, Outcome};
use crate::endpoint::report::Verdict;
use crate::facts::cri::{Answer, Status};
use crate::facts::{Gap, Source};

/// What leaves nothing to be said about answers.
const UNREACHED: &[&str] = &["endpoint-socket", "endpoint-connect", "cri-plugin-loaded"];

const BLANK: Check = Check {
    area: Area::Cri,
    silenced_by: UNREACHED,
    ..Check::BLANK
};

/// containerd's own condition about deprecated features, from 1.6.29 and 1.7.14 on.
pub(super) const DEPRECATIONS: &str = "ContainerdHasNoDeprecationWarnings";

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "cri-plugin-loaded",
        title: "the daemon serves CRI",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Where a gRPC server answers but does not know CRI, containerd's own list of plugins is read on the same \
               socket: absent means disabled, present with an error means that it failed to load. Fails in both cases.",
        why: "The daemon looks healthy (`ctr version` works, the unit is active), and every CRI call ends in `unknown \
              service runtime.v1.RuntimeService`.",
        remedy: "take `cri` out of `disabled_plugins`, or mend what the quoted error names, and restart containerd",
        seen: &[
            "containerd#4581",
            "containerd#8139",
            "cri-tools#578",
            "minikube#3471",
        ],
        silenced_by: &["endpoint-socket", "endpoint-connect"],
        explained_by: &[
            "containerd-config-parse",
            "containerd-cri-disabled",
            "registry-style-clash",
            "registry-mirrors-220",
            "containerd-systemd-cgroup-legacy",
            "snapshotter-available",
            "cri-handlers",
        ],
        judge: Judge::By(plugin_loaded),
        ..BLANK
    },
    Check {
        code: "cri-v1",
        title: "the runtime speaks CRI v1",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Asks for Version in runtime.v1, then in runtime.v1alpha2. Fails if only the older one is served.",
        why: "The kubelet speaks v1 only since Kubernetes 1.26.",
        remedy: "upgrade the runtime: containerd 1.6 or newer, a supported CRI-O, or cri-dockerd",
        seen: &["containerd#7799"],
        judge: Judge::By(v1),
        ..BLANK
    },
    Check {
        code: "cri-image-service",
        title: "the image service answers",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Asks for ListImages. Warns above 2 s, fails on an error or if there is no answer in time.",
        why: "Without it nothing can be pulled and the kubelet cannot free disk space.",
        remedy: "give both services the same socket; look into the daemon's log for what the error says",
        judge: Judge::By(image_service),
        ..BLANK
    },
    Check {
        code: "cri-runtime-ready",
        title: "the runtime reports RuntimeReady",
        severity: Severity::Critical,
        profiles: HEALTH,
        rule: "Reads the condition from Status. Fails if it is false or missing. containerd and CRI-O always say true; \
               only cri-dockerd asks Docker.",
        why: "The kubelet marks the node NotReady.",
        remedy: "do what reason and message say",
        judge: Judge::By(runtime_ready),
        ..BLANK
    },
    Check {
        code: "cri-network-ready",
        title: "the runtime reports NetworkReady",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Reads the condition and the outcome of the last CNI load from Status. Fails if it is false; only warns \
               on a node without kubelet and pods, where the network add-on may still come.",
        why: "The kubelet marks the node NotReady and starts no pod that needs a network. That it is true only means \
              that a configuration was loaded.",
        remedy: "install the network add-on, or mend its configuration; see the `cni-` checks",
        caused_by: &["cni-config-present", "cni-config-parse", "cni-dir-agree"],
        judge: Judge::By(network_ready),
        ..BLANK
    },
    Check {
        code: "cri-conditions-other",
        title: "the runtime reports no other trouble",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Warns for every further condition that is false, containerd's about deprecated features excepted (see \
               `containerd-deprecations`).",
        why: "The kubelet ignores conditions that it does not know, so nobody else reads them.",
        remedy: "do what reason and message say",
        judge: Judge::By(conditions_other),
        ..BLANK
    },
    Check {
        code: "cri-relist",
        title: "pods and containers are listed quickly",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Times ListPodSandbox and ListContainers together. Warns above 1 s, fails above 10 s or if there is no \
               answer in time.",
        why: "The kubelet lists everything once a second; after three minutes without a complete list the node turns \
              NotReady (`PLEG is not healthy`).",
        remedy: "remove dead containers and pods, and look for shims that hang",
        seen: &["kubernetes#72533", "kubernetes#45419"],
        judge: Judge::By(lists::relist),
        ..BLANK
    },
    Check {
        code: "cri-container-inspect",
        title: "no shim or container hangs",
        severity: Severity::High,
        profiles: HEALTH,
        rule: "Reads the state of every shim and monitor from /proc and fails for those that are stopped or stuck in \
               the kernel. A deep run also asks for the task of every container, two at a time, and fails for those \
               that do not answer.",
        why: "One container that does not answer blocks the kubelet's view of it, and in time of the node; deleting \
              its pod never ends. Lists and statuses do not show it, because containerd answers them from memory.",
        remedy: "let the named process go on or kill it; the runtime then cleans up",
        seen: &["kubernetes#94829", "containerd#3529", "containerd#9770"],
        judge: Judge::By(lists::inspect),
        ..BLANK
    },
    Check {
        code: "cri-features",
        title: "runtime handlers and their features are known",
        severity: Severity::Info,
        profiles: NODE,
        rule: "Tells which runtime handlers Status lists, and which of them can do user namespaces and recursive \
               read-only mounts. Never fails.",
        why: "RuntimeClasses name handlers; pods with `hostUsers: false` need one that can.",
        judge: Judge::By(features),
        ..BLANK
    },
    Check {
        code: "runtime-binary-stale",
        title: "the running daemon is the installed one",
        severity: Severity::Medium,
        profiles: HEALTH,
        rule: "Reads /proc/PID/exe of the daemon. Warns if the file was removed or replaced since it was started.",
        why: "After a package upgrade without restart the node runs code that is no longer there, with shims of \
              another version, and comes back different at the next restart.",
        remedy: "restart the daemon",
        silenced_by: &[],
        judge: Judge::By(processes::binary_stale),
        ..BLANK
    },
    Check {
        code: "shim-orphans",
        title: "every shim belongs to a pod",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Compares the shims in /proc with the pods and containers that CRI lists. Warns for those that nobody \
               knows, fails above ten.",
        why: "They are what remains of containers after a rollback or a lost state directory: they run, use ports and \
              memory, and no tool shows them.",
        remedy: "drain the node and reboot it, or stop them one by one",
        seen: &["containerd#11720"],
        judge: Judge::By(processes::shim_orphans),
        ..BLANK
    },
];

fn plugin_loaded(case: &Case<'_>) -> Judged {
    case.live()?;
    case.facts().endpoints.need()?;
    let endpoint = case
        .facts()
        .telling()
        .ok_or_else(|| Gap::Absent("no endpoint was examined".to_owned()))?;
    let headline = match endpoint.verdict {
        Verdict::CriDisabled => "the daemon runs without CRI",
        Verdict::CriFailed => "the daemon's CRI service failed",
        verdict if verdict.serves() => {
            return Note::pass(format!("`{}` serves CRI", endpoint.endpoint)).into();
        }
        verdict => {
            return Err(Gap::Absent(format!(
                "`{}` is {}",
                endpoint.endpoint,
                verdict.name()
            )));
        }
    };
    let mut note = Note::fail(format!("{headline}: {}", endpoint.detail))
        .subject(&endpoint.endpoint)
        .says(endpoint.runtime_says.clone())
        .measured(endpoint.verdict.name())
        .at(Source::rpc("Introspection.Plugins"));
    if let Some(plugins) = case.facts().containerd.plugins.value() {
        let broken = plugins
            .iter()
            .filter(|plugin| plugin.kind.contains("cri") || plugin.id == "cri")
            .filter_map(|plugin| Some((plugin.uri(), plugin.error.clone()?)));
        for (uri, error) in broken {
            note = note.evidence(
                Source::rpc("Introspection.Plugins"),
                format!("{uri}: {error}"),
            );
        }
    }
    if let Some(started) = endpoint
        .process
        .as_ref()
        .and_then(|process| process.started_at.clone())
    {
        note = note.since(Some(started));
    }
    match &endpoint.advice {
        Some(advice) => note.remedy(advice.clone()).into(),
        None => note.into(),
    }
}

fn v1(case: &Case<'_>) -> Judged {
    case.live()?;
    case.facts().endpoints.need()?;
    let Some(endpoint) = case.facts().chosen() else {
        return Err(Gap::Absent("no endpoint serves CRI".to_owned()));
    };
    if endpoint.verdict == Verdict::Serving {
        return Note::pass(format!("`{}` answers in runtime.v1", endpoint.endpoint)).into();
    }
    let runtime = endpoint
        .runtime
        .as_ref()
        .map_or_else(|| "the runtime".to_owned(), ToString::to_string);
    Note::fail(format!(
        "{runtime} speaks CRI v1alpha2 only, which no kubelet since 1.26 does"
    ))
    .subject(&endpoint.endpoint)
    .measured("v1alpha2")
    .expected("v1")
    .at(Source::rpc("Version"))
    .remedy("upgrade the runtime: containerd 1.6 or newer, a supported CRI-O, or cri-dockerd")
    .into()
}

fn status<'c>(case: &'c Case<'_>) -> Result<&'c Status, Gap> {
    case.facts().cri.status.need()
}

fn runtime_ready(case: &Case<'_>) -> Judged {
    let status = status(case)?;
    match status.condition("RuntimeReady") {
        Some(condition) if condition.status => Note::pass("RuntimeReady is true").into(),
        Some(condition) => Note::fail(format!("RuntimeReady is false: {}", condition.reason))
            .says(Some(condition.message.clone()))
            .measured(false)
            .expected("true")
            .at(Source::rpc("Status"))
            .remedy("do what the runtime says; the kubelet keeps the node NotReady until then")
            .into(),
        None => Note::fail("the runtime does not report RuntimeReady")
            .expected("a condition RuntimeReady")
            .at(Source::rpc("Status"))
            .into(),
    }
}

fn network_ready(case: &Case<'_>) -> Judged {
    let status = status(case)?;
    let condition = match status.condition("NetworkReady") {
        Some(condition) if condition.status => {
            return Note::pass("NetworkReady is true").into();
        }
        other => other,
    };
    let sentence = match condition {
        Some(condition) => format!("NetworkReady is false: {}", condition.reason),
        None => "the runtime does not report NetworkReady".to_owned(),
    };
    let used = case.has_kubelet()
        || case
            .facts()
            .cri
            .pods
            .value()
            .is_some_and(|pods| !pods.items.is_empty());
    let note = if used {
        Note::fail(sentence)
    } else {
        Note::warn(format!(
            "{sentence}; nothing needs it yet, this node has neither kubelet nor pods"
        ))
    };
    let mut note = note
        .says(condition.map(|condition| condition.message.clone()))
        .measured(false)
        .expected("true")
        .at(Source::rpc("Status"))
        .remedy("install the network add-on, or mend the CNI configuration that it wrote");
    for (entry, value) in &status.info {
        if entry.starts_with("lastCNILoadStatus") && value.as_str().is_some_and(|text| text != "OK")
        {
            note = note.evidence(
                Source::rpc("Status"),
                format!("{entry}: {}", value.as_str().unwrap_or_default()),
            );
        }
    }
    note.into()
}

fn conditions_other(case: &Case<'_>) -> Judged {
    let status = status(case)?;
    let known = ["RuntimeReady", "NetworkReady", DEPRECATIONS];
    let problems = status
        .conditions
        .iter()
        .filter(|condition| !condition.status && !known.contains(&condition.kind.as_str()))
        .map(|condition| {
            Note::warn(format!("{} is false: {}", condition.kind, condition.reason))
                .subject(&condition.kind)
                .says(Some(condition.message.clone()))
                .at(Source::rpc("Status"))
        })
        .collect();
    Outcome::of(problems, "no other condition is false").into()
}

fn image_service(case: &Case<'_>) -> Judged {
    const SLOW: f64 = 2000.0;
    let call = case.facts().calls("ListImages").last();
    if let Some(call) = call
        && matches!(
            call.answer,
            Answer::Hung | Answer::Error | Answer::Unimplemented
        )
    {
        let text = match call.answer {
            Answer::Hung => format!("ListImages was not answered within {:.0} ms", call.ms),
            _ => "ListImages is refused".to_owned(),
        };
        return Note::fail(text)
            .says(call.error.clone())
            .at(Source::rpc("ListImages"))
            .took(call.ms)
            .remedy("give the image service the same socket as the runtime, and look into the daemon's log")
            .into();
    }
    let images = case.facts().cri.images.need()?;
    let text = format!(
        "{} images listed in {:.0} ms",
        images.items.len(),
        images.ms
    );
    if images.ms > SLOW {
        return Note::warn(text)
            .measured(
                json!({ "ms": images.ms, "images": images.items.len(), "bytes": images.bytes }),
            )
            .expected("less than 2 s")
            .took(images.ms)
            .at(Source::rpc("ListImages"))
            .remedy("remove images that nobody uses: `criscope rmi --prune`")
            .into();
    }
    Note::pass(text).took(images.ms).into()
}

fn features(case: &Case<'_>) -> Judged {
    let status = status(case)?;
    if status.handlers.is_empty() {
        return Err(Gap::Absent(
            "the runtime does not list its handlers in Status".to_owned(),
        ));
    }
    let words: Vec<String> = status
        .handlers
        .iter()
        .map(|handler| {
            let name = if handler.name.is_empty() {
                "(default)"
            } else {
                &handler.name
            };
            let can: Vec<&str> = [
                (handler.user_namespaces, "user namespaces"),
                (
                    handler.recursive_read_only_mounts,
                    "recursive read-only mounts",
                ),
            ]
            .iter()
            .filter(|(can, _)| *can == Some(true))
            .map(|(_, what)| *what)
            .collect();
            if can.is_empty() {
                name.to_owned()
            } else {
                format!("{name} ({})", can.join(", "))
            }
        })
        .collect();
    Note::pass(format!("handlers: {}", words.join(", ")))
        .at(Source::rpc("Status"))
        .into()
}
