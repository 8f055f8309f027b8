//! The processes of a runtime: is the daemon the program that is installed, and does every shim belong to a pod.

use serde_json::json;

use super::super::finding::Note;
use super::super::{Case, Judged};
use crate::facts::{Gap, Role, Source};

pub(super) fn binary_stale(case: &Case<'_>) -> Judged {
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

pub(super) fn shim_orphans(case: &Case<'_>) -> Judged {
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
