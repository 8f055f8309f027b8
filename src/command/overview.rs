//! Bare `criscope`: the node in eight lines, and the next three commands worth typing.
//!
//! Six cheap RPCs, at most three at a time. A line that could not be found out says so and why; it never looks empty.

use std::collections::BTreeMap;
use std::path::Path;

use super::session::Session;
use crate::client::{self, Client};
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Container, ContainerState, Image, Listing, PodSandbox, PodSandboxState};
use crate::render::{human, sanitize};

/// Runs bare `criscope`.
///
/// # Errors
/// No runtime answers, or stdout cannot be written.
pub async fn run(session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let version = client.version(cri::VersionRequest::default()).await?;
    let version = client.decode("Version", &version)?;
    let (status, pods, containers) = tokio::join!(
        client.status(cri::StatusRequest::default()),
        client.list_pod_sandbox(cri::ListPodSandboxRequest::default()),
        client.list_containers(cri::ListContainersRequest::default()),
    );
    let (images, filesystems) = tokio::join!(
        client.list_images(cri::ListImagesRequest::default()),
        client.image_fs_info(cri::ImageFsInfoRequest::default()),
    );
    let status = status.and_then(|reply| client.decode("Status", &reply));
    let pods = pods.map(|reply| Listing::<PodSandbox>::read(reply.bytes()));
    let containers = containers.map(|reply| Listing::<Container>::read(reply.bytes()));
    let images = images.map(|reply| Listing::<Image>::read(reply.bytes()));
    let filesystems = filesystems.and_then(|reply| client.decode("ImageFsInfo", &reply));

    let mut lines = vec![
        ("node", node(session.host_root.as_deref())),
        (
            "runtime",
            format!(
                "{} {}, CRI {}",
                version.runtime_name,
                version.runtime_version,
                client.api().name()
            ),
        ),
        ("endpoint", endpoint(client)),
        ("status", known(&status, conditions)),
        ("pods", known(&pods, count_pods)),
        ("containers", known(&containers, count_containers)),
        ("images", known(&images, count_images)),
        ("storage", known(&filesystems, storage)),
    ];
    let mut text = String::new();
    for (name, line) in lines.drain(..) {
        text.push_str(&format!("{name:<12}{}\n", sanitize::line(&line)));
    }
    text.push('\n');
    for (label, command) in ["next:", "", ""]
        .into_iter()
        .zip(next(&status, &pods, &containers))
    {
        text.push_str(&format!("{label:<12}{command}\n"));
    }
    session.output.data(text.as_bytes())?;
    Ok(Exit::Success)
}

/// What was answered in words, or why there is no answer.
fn known<T>(answer: &Result<T, client::Error>, words: impl Fn(&T) -> String) -> String {
    match answer {
        Ok(answer) => words(answer),
        Err(error) => format!("unknown: {error}"),
    }
}

/// This machine, or the name of the host whose files lie elsewhere: nothing more is known about that.
fn node(host_root: Option<&Path>) -> String {
    if let Some(root) = host_root {
        let name = std::fs::read_to_string(root.join("etc/hostname")).unwrap_or_default();
        return format!("{} (made up)", name.trim());
    }
    let name = rustix::system::uname();
    let cgroups = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "v2"
    } else {
        "v1"
    };
    format!(
        "{}, {} {}, cgroup {cgroups}",
        name.nodename().to_string_lossy(),
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy()
    )
}

fn endpoint(client: &Client) -> String {
    if client.endpoint() == client.image_endpoint() {
        client.endpoint().to_string()
    } else {
        format!("{}, images {}", client.endpoint(), client.image_endpoint())
    }
}

fn conditions(status: &cri::StatusResponse) -> String {
    let conditions = status.status.iter().flat_map(|status| &status.conditions);
    let words: Vec<String> = conditions
        .map(|condition| {
            match (
                condition.status,
                condition.reason.as_str(),
                condition.message.as_str(),
            ) {
                (true, ..) => condition.r#type.clone(),
                (false, "", "") => format!("not {}", condition.r#type),
                (false, reason, "") => format!("not {} ({reason})", condition.r#type),
                (false, _, message) => format!("not {} ({message})", condition.r#type),
            }
        })
        .collect();
    if words.is_empty() {
        "the runtime reports no conditions".to_owned()
    } else {
        words.join(", ")
    }
}

fn count_pods(pods: &Listing<PodSandbox>) -> String {
    count(pods.rows().map(|pod| match pod.state {
        PodSandboxState::Ready => "ready".to_owned(),
        PodSandboxState::NotReady => "not ready".to_owned(),
        undefined => undefined.word(),
    }))
}

fn count_containers(containers: &Listing<Container>) -> String {
    count(
        containers
            .rows()
            .map(|container| container.state.word().to_lowercase()),
    )
}

/// `3 running, 1 exited`; `none` if there is nothing to count.
fn count(words: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let words: Vec<String> = counts
        .into_iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    words.join(", ")
}

fn count_images(images: &Listing<Image>) -> String {
    let size: u64 = images
        .rows()
        .map(|image| image.size)
        .fold(0, u64::saturating_add);
    let untagged = images
        .rows()
        .filter(|image| image.repo_tags.is_empty())
        .count();
    match (images.items.len(), untagged) {
        (0, _) => "none".to_owned(),
        (all, 0) => format!("{all}, {}", human::size(size, 3)),
        (all, untagged) => format!("{all}, {}, {untagged} without a tag", human::size(size, 3)),
    }
}

fn storage(info: &cri::ImageFsInfoResponse) -> String {
    let mut words = Vec::new();
    for usage in &info.image_filesystems {
        let path = usage.fs_id.as_ref().map_or("", |id| id.mountpoint.as_str());
        // Right after its start a runtime has not measured anything, and says 0.
        words.push(match usage.used_bytes.as_ref().map(|bytes| bytes.value) {
            None | Some(0) => format!("not measured yet, images in {path}"),
            Some(used) => format!("{} used by images in {path}", human::size(used, 3)),
        });
    }
    if words.is_empty() {
        "the runtime reports no file system".to_owned()
    } else {
        words.join("; ")
    }
}

/// The three commands that help most in this situation.
fn next(
    status: &Result<cri::StatusResponse, client::Error>,
    pods: &Result<Listing<PodSandbox>, client::Error>,
    containers: &Result<Listing<Container>, client::Error>,
) -> Vec<String> {
    let mut commands = Vec::new();
    let ready = status.as_ref().is_ok_and(|status| {
        let conditions = status.status.iter().flat_map(|status| &status.conditions);
        conditions
            .filter(|condition| {
                matches!(condition.r#type.as_str(), "RuntimeReady" | "NetworkReady")
            })
            .all(|c| c.status)
    });
    if !ready {
        commands.push("criscope doctor".to_owned());
    }
    if pods
        .as_ref()
        .is_ok_and(|pods| pods.rows().any(|pod| pod.state != PodSandboxState::Ready))
    {
        commands.push("criscope pods -s notready".to_owned());
    }
    if containers.as_ref().is_ok_and(|all| {
        all.rows()
            .any(|container| container.state != ContainerState::Running)
    }) {
        commands.push("criscope ps -a".to_owned());
    }
    for usual in [
        "criscope doctor",
        "criscope endpoints",
        "criscope ps",
        "criscope images",
        "criscope pods",
    ] {
        if commands.iter().all(|command| command != usual) {
            commands.push(usual.to_owned());
        }
    }
    commands.truncate(3);
    commands
}
