//! How long lists and single containers take: what the kubelet's health hangs on.

use serde_json::json;

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome};
use crate::facts::cri::Answer;
use crate::facts::{Role, Source};

pub(super) fn relist(case: &Case<'_>) -> Judged {
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

pub(super) fn inspect(case: &Case<'_>) -> Judged {
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
