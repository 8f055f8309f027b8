//! Checks of what the runtime answers over CRI.
//!
//! Two of its words cannot be taken at face value: containerd and CRI-O report RuntimeReady as a constant, and
//! NetworkReady only says that a CNI configuration was loaded, not that packets arrive.

use serde_json::json;

use super::finding::{Area, Note, Severity};
use super::scope::{HEALTH, NODE};
use super::{Case, Check, Judge, Judged, Outcome};
use crate::endpoint::report::Verdict;
use crate::facts::cri::{Answer, Status};
use crate::facts::{Gap, Role, Source};

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
        judge: Judge::By(relist),
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
        judge: Judge::By(inspect),
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
        judge: Judge::By(binary_stale),
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
        judge: Judge::By(shim_orphans),
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

fn relist(case: &Case<'_>) -> Judged {
    for rpc in ["ListPodSandbox", "ListContainers"] {
        let Some(call) = case.facts().calls(rpc).last() else {
            continue;
        };
        let text = match call.answer {
            Answer::Hung => format!("{rpc} was not answered within {:.0} ms", call.ms),
            Answer::Error | Answer::Unimplemented => format!("{rpc} is refused"),
            Answer::Ok => continue,
        };
        return Note::fail(text)
            .subject(rpc)
            .says(call.error.clone())
            .measured(json!({ "ms": call.ms }))
            .expected("an answer within 1 s")
            .took(call.ms)
            .at(Source::rpc(rpc))
            .remedy("look for shims that hang and for a starved disk; restart the daemon if nothing helps, pods go on running")
            .into();
    }
    let pods = case.facts().cri.pods.need()?;
    let containers = case.facts().cri.containers.need()?;
    let ms = pods.ms + containers.ms;
    let exited = containers
        .items
        .iter()
        .filter(|container| !container.running)
        .count();
    let text = format!(
        "{} pods and {} containers ({exited} not running) listed in {ms:.0} ms",
        pods.items.len(),
        containers.items.len()
    );
    let note = match ms {
        0.0..1000.0 => return Note::pass(text).took(ms).into(),
        1000.0..10_000.0 => Note::warn(text),
        _ => Note::fail(text),
    };
    let mut note = note
        .measured(json!({
            "ms": ms,
            "pods": pods.items.len(),
            "containers": containers.items.len(),
            "notRunning": exited,
            "bytes": pods.bytes + containers.bytes,
        }))
        .expected("less than 1 s")
        .took(ms)
        .at(Source::rpc("ListContainers"));
    note = if exited * 2 > containers.items.len() {
        note.remedy("most containers are dead: find out why the kubelet does not collect them, and remove them")
    } else {
        note.remedy("look for shims that hang, and at CPU and disk pressure of the node")
    };
    note.into()
}

fn inspect(case: &Case<'_>) -> Judged {
    case.facts().processes.need()?;
    let mut problems = Vec::new();
    let monitors = [Role::Shim, Role::Conmon];
    for process in monitors
        .iter()
        .flat_map(|role| case.facts().processes(*role))
    {
        let how = match process.state {
            'T' => "stopped by a signal",
            't' => "stopped by a debugger",
            'D' => "stuck in the kernel",
            _ => continue,
        };
        let whose = process
            .container
            .as_deref()
            .and_then(|id| case.called(id))
            .unwrap_or_else(|| "an unknown pod".to_owned());
        // A moment in the kernel is no hang; one that is stopped stays so.
        let note = if process.state == 'D' {
            Note::warn
        } else {
            Note::fail
        };
        let mut note = note(format!(
            "the {} of {whose} (pid {}) is {how}: what is asked about its containers is not answered",
            process.role.name(),
            process.pid
        ))
        .subject(&whose)
        .measured(json!({ "pid": process.pid, "state": process.state.to_string(), "container": process.container }))
        .expected("a process that runs or sleeps")
        .at(Source::proc(format!("/proc/{}/stat", process.pid)));
        note = if process.state == 'D' {
            note.remedy(
                "find out which disk or network file system it waits for (`cat /proc/PID/stack`)",
            )
        } else {
            note.remedy("find out who stopped it, then let it go on or kill it")
                .command(format!("kill -CONT {}", process.pid))
        };
        problems.push(note);
    }
    for inspected in case.facts().cri.inspected.value().into_iter().flatten() {
        if !inspected.hung && inspected.error.is_none() {
            continue;
        }
        let pid = inspected
            .pid
            .map(|pid| format!(" (pid {pid})"))
            .unwrap_or_default();
        if problems
            .iter()
            .any(|note: &Note| note.subject.as_deref() == Some(&*inspected.called))
        {
            continue;
        }
        let text = if inspected.hung {
            format!(
                "nothing answers for {}{pid} within {:.0} ms",
                inspected.called, inspected.ms
            )
        } else {
            format!("{}{pid} cannot be asked about", inspected.called)
        };
        problems.push(
            Note::fail(text)
                .subject(&inspected.called)
                .says(inspected.error.clone())
                .measured(json!({ "container": inspected.id, "ms": inspected.ms }))
                .took(inspected.ms)
                .at(Source::rpc("Tasks.Get"))
                .remedy("look at its shim: stopped, stuck or gone; killing the shim ends the container and frees the rest"),
        );
    }
    let shims = monitors
        .iter()
        .map(|role| case.facts().processes(*role).count())
        .sum::<usize>();
    Outcome::of(problems, format!("{shims} shims, none stopped or stuck")).into()
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

fn binary_stale(case: &Case<'_>) -> Judged {
    case.live()?;
    case.facts().processes.need()?;
    let Some(daemon) = case.facts().daemon() else {
        return Err(Gap::Absent("no daemon of a runtime was found".to_owned()));
    };
    let exe = daemon.exe.need()?;
    if !exe.deleted {
        return Note::pass(format!("`{}` is what runs", exe.path)).into();
    }
    let unit = daemon
        .unit
        .as_deref()
        .filter(|unit| unit.ends_with(".service"));
    let mut note = Note::warn(format!(
        "{} (pid {}) runs from `{}`, which has been removed or replaced since",
        daemon.role.name(),
        daemon.pid,
        exe.path
    ))
    .subject(&exe.path)
    .measured("deleted")
    .at(Source::proc(format!("/proc/{}/exe", daemon.pid)))
    .since(daemon.started_at.clone())
    .remedy("restart the daemon; running pods are not touched");
    if let Some(version) = case.facts().cri.version.value() {
        note = note.evidence(
            Source::rpc("Version"),
            format!("{} {} is running", version.name, version.version),
        );
    }
    if let Some(unit) = unit {
        note = note.command(format!("systemctl restart {unit}"));
    }
    note.into()
}

fn shim_orphans(case: &Case<'_>) -> Judged {
    case.facts().processes.need()?;
    let pods = case.facts().cri.pods.need()?;
    let containers = case.facts().cri.containers.need()?;
    let known = |id: &str| {
        pods.items.iter().any(|pod| pod.id == id)
            || containers.items.iter().any(|container| container.id == id)
    };
    let orphans: Vec<_> = [Role::Shim, Role::Conmon]
        .iter()
        .flat_map(|role| case.facts().processes(*role))
        .filter_map(|process| Some((process, process.container.as_deref()?)))
        .filter(|(_, id)| !known(id))
        .collect();
    if orphans.is_empty() {
        return Note::pass("every shim belongs to a pod that CRI lists").into();
    }
    let text = format!(
        "{} shims run for pods that CRI does not know",
        orphans.len()
    );
    let note = if orphans.len() > 10 {
        Note::fail(text)
    } else {
        Note::warn(text)
    };
    let mut note = note
        .measured(json!(orphans.iter().map(|(process, _)| process.pid).collect::<Vec<_>>()))
        .expected("none")
        .at(Source::rpc("ListPodSandbox"))
        .remedy("drain the node and reboot it; what they run uses memory and ports that nobody accounts for");
    for (process, id) in orphans.iter().take(5) {
        note = note.evidence(
            Source::proc(format!("/proc/{}/cmdline", process.pid)),
            format!(
                "{} for {}",
                process.role.name(),
                id.chars().take(13).collect::<String>()
            ),
        );
    }
    note.into()
}
