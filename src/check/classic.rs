//! The field's classics: sentences of runtimes and their tools that do not say what is wrong, and what mostly is.
//!
//! Looked for in what the runtime says about the containers of a subject, and in the words that the user brings along
//! (`criscope why … --says TEXT`), because a runtime does not keep what it answered to the kubelet.

use super::finding::{Area, Note, Severity};
use super::scope::SUBJECT;
use super::{Case, Check, Judge, Judged};
use crate::facts::cri::Answer;
use crate::facts::{Gap, Source};

const BLANK: Check = Check {
    area: Area::Cri,
    severity: Severity::High,
    profiles: SUBJECT,
    ..Check::BLANK
};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "container-name-reserved",
        title: "no earlier attempt to create the container is stuck",
        rule: "Looks for `failed to reserve container name` (CRI-O: `name is reserved`), and for the container that has \
               the name.",
        why: "An earlier CreateContainer is still being worked on, after the kubelet stopped waiting for it: the disk is \
              slow or full, a volume does not answer to stat, a large image is being unpacked. The kubelet asks again \
              with the same name until the first attempt ends.",
        remedy: "wait, if the disk is busy; else find what the first attempt hangs in: a volume that does not answer, a \
                 process in state D",
        seen: &[
            "containerd#4604",
            "containerd#13867",
            "containerd#10828",
            "cri-o#9097",
            "k3s#7690",
        ],
        judge: Judge::By(name_reserved),
        ..BLANK
    },
    Check {
        code: "cni-addresses-exhausted",
        title: "there are addresses for pods",
        area: Area::Cni,
        rule: "Looks for `no IP addresses available in range set`.",
        why: "host-local keeps one file for each address below /var/lib/cni/networks and removes it when the pod is torn \
              down. After a crash, a reboot or a removed runtime the files stay, and the range is used up by pods that \
              are gone.",
        remedy: "compare the files with the pods that exist and remove those of pods that are gone",
        seen: &[
            "kubernetes#57280",
            "cni-plugins#498",
            "k3s#5885",
            "containerd/cri#948",
        ],
        judge: Judge::By(no_addresses),
        ..BLANK
    },
    Check {
        code: "image-content-missing",
        title: "the content of images is complete",
        area: Area::Image,
        rule: "Looks for `content digest … not found`.",
        why: "The image is known by name, but one of its layers is not in the content store: it was unpacked for another \
              snapshotter, layers were discarded after unpacking, an import was for another platform, or the store was \
              cleaned by hand.",
        remedy: "remove the image and pull it again; for a sandbox the image that is meant is the pause image",
        seen: &[
            "containerd#3401",
            "containerd#3604",
            "containerd#11390",
            "nerdctl#3513",
        ],
        judge: Judge::By(content_missing),
        ..BLANK
    },
    Check {
        code: "runtime-deadline",
        title: "the runtime answers in the kubelet's time",
        rule: "Looks for `context deadline exceeded` and `DeadlineExceeded`, and says which calls are slow now.",
        why: "Whoever asked stopped waiting (the kubelet after two minutes); the runtime mostly goes on working. What \
              follows is `failed to reserve container name`.",
        remedy: "look at disk and CPU pressure of the node, at the size of the image, at processes in state D",
        seen: &["containerd#4604", "kubernetes#94829"],
        judge: Judge::By(deadline),
        ..BLANK
    },
    Check {
        code: "runc-init-died",
        title: "runc starts the first process of a container",
        rule: "Looks for `can't get final child's PID from pipe`.",
        why: "runc's helper died before it could say why, so the cause is only in runc's own log: it may not lower \
              oom_score_adj, it was killed for want of memory, the memory limit is smaller than runc needs, or the \
              kernel refuses a namespace (user.max_*_namespaces, pid or key limits).",
        remedy: "read log.json in the bundle of the container below /run/containerd/io.containerd.runtime.v2.task, and \
                 the kernel log",
        seen: &["runc#4905", "concourse#8792"],
        judge: Judge::By(init_died),
        ..BLANK
    },
    Check {
        code: "cni-plugin-missing",
        title: "CNI finds its plugins",
        area: Area::Cni,
        rule: "Looks for `failed to find plugin` and `cni plugin not initialized`.",
        why: "The network configuration names a program that is not in the runtime's directory for CNI plugins, or there \
              is no configuration yet.",
        remedy: "install the plugins where the runtime looks for them, or name their directory in its configuration",
        seen: &["containerd/cri#889"],
        judge: Judge::By(plugin_missing),
        ..BLANK
    },
    Check {
        code: "exec-format",
        title: "the image is for this architecture",
        area: Area::Image,
        rule: "Looks for `exec format error` and `no match for platform`.",
        why: "The program in the image is for another CPU, or is a script without `#!`.",
        remedy: "use an image for the architecture of this node",
        judge: Judge::By(exec_format),
        ..BLANK
    },
    Check {
        code: "command-missing",
        title: "the command is in the image",
        area: Area::Image,
        rule: "Looks for `executable file not found in $PATH` and `exec: …: no such file or directory`.",
        why: "The command is not in the image, or its interpreter is not: a script for bash in an image without it, a \
              binary for glibc in an image with musl.",
        remedy: "correct the command of the container, or use an image that has it",
        judge: Judge::By(command_missing),
        ..BLANK
    },
];

/// A sentence, where it was said, and about which container.
type Said<'c> = (&'c str, Source, Option<&'c str>);

/// Every sentence that may hold a classic.
fn said<'c>(case: &'c Case<'_>) -> Result<Vec<Said<'c>>, Gap> {
    let subject = case.facts().subject.need()?;
    let brought = subject
        .said
        .iter()
        .map(|text| (text.as_str(), Source::rpc("what was brought along"), None));
    let ends = subject.containers.iter().filter_map(|member| {
        let end = member.end.as_ref()?;
        (!end.message.is_empty()).then(|| {
            (
                end.message.as_str(),
                Source::rpc("ContainerStatus"),
                Some(member.called.as_str()),
            )
        })
    });
    let calls = case.facts().calls.iter().filter_map(|call| {
        let text = call.error.as_deref()?;
        Some((text, Source::rpc(&call.rpc), None))
    });
    Ok(brought.chain(ends).chain(calls).collect())
}

/// The first sentence with one of these words, as a failure with this message.
fn known(
    case: &Case<'_>,
    words: &[&str],
    message: impl FnOnce(&str) -> String,
) -> Result<Note, Box<Note>> {
    let sentences = match said(case) {
        Ok(sentences) => sentences,
        Err(Gap::Absent(what)) => return Err(Note::new(super::Status::Skip, what).into()),
        Err(Gap::Unknown(reason)) => return Err(Note::unknown(reason).into()),
    };
    let found = sentences
        .into_iter()
        .find(|(text, _, _)| words.iter().any(|word| text.contains(word)));
    match found {
        Some((text, source, subject)) => {
            let note = Note::fail(message(text)).says(Some(text)).at(source);
            Ok(match subject {
                Some(subject) => note.subject(subject),
                None => note,
            })
        }
        None => Err(Note::pass("nobody complained about it").into()),
    }
}

fn judged(note: Result<Note, Box<Note>>) -> Judged {
    note.unwrap_or_else(|note| *note).into()
}

fn name_reserved(case: &Case<'_>) -> Judged {
    let mut holder = None;
    let note = known(
        case,
        &["failed to reserve container name", "name is reserved"],
        |text| {
            holder = text
                .rsplit_once("is reserved for")
                .map(|(_, id)| id.trim_matches([' ', '\\', '"', '.', ',', '\n']).to_owned());
            "an earlier attempt to create this container is not over".to_owned()
        },
    );
    judged(note.map(|note| match holder.filter(|id| !id.is_empty()) {
        Some(id) => {
            let listed = case.facts().cri.containers.value();
            let known = listed.and_then(|list| list.items.iter().find(|one| one.id == id));
            match known {
                Some(_) => note
                    .evidence(
                        Source::rpc("ListContainers"),
                        format!(
                            "the container {id} exists by now: the first attempt came to its end"
                        ),
                    )
                    .remedy("the kubelet goes on with it or removes it; if it does not, remove it")
                    .command(format!("criscope inspect {id}")),
                None => note.evidence(
                    Source::rpc("ListContainers"),
                    format!(
                        "there is no container {id} yet: the first attempt is still being worked on"
                    ),
                ),
            }
        }
        None => note,
    }))
}

fn no_addresses(case: &Case<'_>) -> Judged {
    judged(
        known(case, &["no IP addresses available in range"], |_| {
            "the addresses for pods of this node are used up".to_owned()
        })
        .map(|note| {
            let pods = case.facts().cri.pods.value().map(|list| list.items.len());
            let note = match pods {
                Some(pods) => note.evidence(
                    Source::rpc("ListPodSandbox"),
                    format!("there are {pods} pod sandboxes, each of which needs at most one"),
                ),
                None => note,
            };
            note.command("ls /var/lib/cni/networks/*")
        }),
    )
}

fn content_missing(case: &Case<'_>) -> Judged {
    let words = ["content digest sha256:"];
    judged(known(case, &words, |text| {
        let digest = text
            .split_once("content digest ")
            .map(|(_, rest)| rest.split([' ', ',']).next().unwrap_or_default())
            .unwrap_or_default();
        format!(
            "a part of the image, {}, is not in the content store",
            digest.trim_end_matches(':')
        )
    }))
}

fn deadline(case: &Case<'_>) -> Judged {
    let words = ["context deadline exceeded", "DeadlineExceeded"];
    judged(
        known(case, &words, |_| {
            "somebody stopped waiting for the runtime".to_owned()
        })
        .map(|note| {
            case.facts()
                .calls
                .iter()
                .filter(|call| call.answer == Answer::Hung || call.ms > 1000.0)
                .fold(note, |note, call| {
                    note.evidence(
                        Source::rpc(&call.rpc),
                        format!("slow now, too: {:.1} s", call.ms / 1000.0),
                    )
                })
        }),
    )
}

fn init_died(case: &Case<'_>) -> Judged {
    judged(known(
        case,
        &["can't get final child's PID from pipe"],
        |_| "runc's helper died before the container began".to_owned(),
    ))
}

fn plugin_missing(case: &Case<'_>) -> Judged {
    let words = ["failed to find plugin", "cni plugin not initialized"];
    judged(
        known(case, &words, |_| {
            "a CNI plugin or its configuration is missing".to_owned()
        })
        .map(|note| note.command("criscope doctor --only cni")),
    )
}

fn exec_format(case: &Case<'_>) -> Judged {
    let words = ["exec format error", "no match for platform"];
    judged(known(case, &words, |_| {
        "the image is for another architecture".to_owned()
    }))
}

fn command_missing(case: &Case<'_>) -> Judged {
    let words = [
        "executable file not found in $PATH",
        ": no such file or directory: unknown",
    ];
    judged(known(case, &words, |_| {
        "what should be started is not in the image".to_owned()
    }))
}
