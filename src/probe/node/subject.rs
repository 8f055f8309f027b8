//! Everything about one pod, container or image: status of the sandbox and of its containers, the images, the end of the
//! logs. A few calls for each container, one after the other, none after one that hangs.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::cri::{Asked, image_status};
use super::{Look, Seen, aside};
use crate::client::Client;
use crate::cri as proto;
use crate::facts::files::without_secrets;
use crate::facts::subject::{Doing, End, LogTail, Member, Sandbox};
use crate::facts::{Fact, Facts, Source, Subject};
use crate::model;

/// So many containers of a pod are looked at.
const MOST: usize = 20;
/// So much of a log is read, from its end.
const TAIL: u64 = 16 * 1024;
/// So many lines of it are kept.
const LINES: usize = 10;
/// So many characters of a line are kept.
const WIDTH: usize = 300;

/// What the user means, found in the runtime's lists.
#[derive(Debug, Clone, Default)]
pub struct Meant {
    /// What was typed.
    pub asked: String,
    /// The newest sandbox of the pod.
    pub sandbox: Option<String>,
    /// Containers, the newest of each name, with the ones before them.
    pub containers: Vec<(model::Container, Option<model::Container>)>,
    /// The image, if it is one.
    pub image: Option<String>,
    /// Words that the user brought along.
    pub said: Vec<String>,
}

/// Looks at what is meant and puts it into the facts.
pub async fn look(look: &Look, client: &Client, meant: Meant, facts: &mut Facts) {
    let until = Instant::now() + look.limit;
    let root = Seen::of(look, facts).root;
    let mut asked = Asked::new(client, until);
    let mut subject = Subject {
        asked: meant.asked,
        sandbox: Fact::absent("it belongs to no pod"),
        containers: Vec::new(),
        image: Fact::absent("no image was asked about"),
        said: meant.said,
    };
    if let Some(name) = &meant.image {
        subject.image = image_status(&mut asked, client, name).await;
    }
    if let Some(id) = &meant.sandbox {
        subject.sandbox = sandbox(&mut asked, client, id).await;
    }
    for (container, before) in meant.containers.into_iter().take(MOST) {
        let member = member(&mut asked, client, &root, &container, before.as_ref()).await;
        subject.containers.push(member);
    }
    facts.calls.append(&mut asked.calls);
    facts.subject = Fact::known(subject, Source::rpc("ContainerStatus"));
}

async fn sandbox(asked: &mut Asked<'_>, client: &Client, id: &str) -> Fact<Sandbox> {
    let request = proto::PodSandboxStatusRequest {
        pod_sandbox_id: id.to_owned(),
        verbose: false,
    };
    let answer = asked
        .call("PodSandboxStatus", client.pod_sandbox_status(request))
        .await;
    let status = match answer {
        Ok(answer) => answer.message.status.unwrap_or_default(),
        Err(reason) => return Fact::unknown(reason),
    };
    let metadata = status.metadata.unwrap_or_default();
    let network = status.network.unwrap_or_default();
    let addresses = std::iter::once(network.ip)
        .chain(network.additional_ips.into_iter().map(|other| other.ip))
        .filter(|address| !address.is_empty())
        .collect();
    let options = status
        .linux
        .and_then(|linux| linux.namespaces)
        .and_then(|namespaces| namespaces.options)
        .unwrap_or_default();
    Fact::known(
        Sandbox {
            id: status.id,
            called: format!("{}/{}", metadata.namespace, metadata.name),
            uid: metadata.uid,
            ready: status.state == i32::from(proto::PodSandboxState::SandboxReady),
            attempt: metadata.attempt,
            created_at: status.created_at,
            addresses,
            host_network: options.network == i32::from(proto::NamespaceMode::Node),
            handler: status.runtime_handler,
        },
        Source::rpc("PodSandboxStatus"),
    )
}

async fn member(
    asked: &mut Asked<'_>,
    client: &Client,
    root: &Path,
    container: &model::Container,
    before: Option<&model::Container>,
) -> Member {
    let called = format!(
        "{}/{}/{}",
        container.pod_namespace().unwrap_or("unknown"),
        container.pod_name().unwrap_or("unknown"),
        container.name
    );
    let mut member = Member {
        id: container.id.clone(),
        called,
        attempt: container.attempt,
        image: container.image.clone(),
        created_at: container.created_at,
        ..Member::default()
    };
    let status = match status(asked, client, &container.id).await {
        Ok(status) => status,
        Err(reason) => {
            member.log = Fact::unknown("the runtime does not tell where it is");
            member.unanswered = Some(reason);
            return member;
        }
    };
    member.doing = match proto::ContainerState::try_from(status.state) {
        Ok(proto::ContainerState::ContainerCreated) => Doing::Created,
        Ok(proto::ContainerState::ContainerRunning) => Doing::Running,
        Ok(proto::ContainerState::ContainerExited) => Doing::Exited,
        _ => Doing::Unknown,
    };
    member.started_at = status.started_at;
    let limits = status.resources.as_ref().and_then(|all| all.linux.as_ref());
    member.memory_limit = limits
        .map(|limits| limits.memory_limit_in_bytes)
        .filter(|limit| *limit > 0);
    let mut log = status.log_path.clone();
    member.end = end(&status);
    // What runs now was started because the one before it ended: that is what people ask about.
    if member.end.is_none()
        && let Some(before) = before
        && let Ok(earlier) = self::status(asked, client, &before.id).await
    {
        member.end = end(&earlier);
        if member.end.is_some() && !earlier.log_path.is_empty() {
            log = earlier.log_path;
        }
    }
    let image = if container.image_ref.is_empty() {
        &container.image
    } else {
        &container.image_ref
    };
    member.has_image = image_status(asked, client, image).await;
    member.log = if log.is_empty() {
        Fact::absent("the container has no log file")
    } else {
        let (root, path) = (root.to_owned(), log.clone());
        aside(asked.until(), move || tail(&root, &path))
            .await
            .unwrap_or_else(Fact::unknown)
    };
    member
}

async fn status(
    asked: &mut Asked<'_>,
    client: &Client,
    id: &str,
) -> Result<proto::ContainerStatus, String> {
    let request = proto::ContainerStatusRequest {
        container_id: id.to_owned(),
        verbose: false,
    };
    let answer = asked
        .call("ContainerStatus", client.container_status(request))
        .await?;
    Ok(answer.message.status.unwrap_or_default())
}

fn end(status: &proto::ContainerStatus) -> Option<End> {
    let ended = status.state == i32::from(proto::ContainerState::ContainerExited);
    ended.then(|| End {
        id: status.id.clone(),
        code: status.exit_code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        started_at: status.started_at,
        finished_at: status.finished_at,
    })
}

/// The end of a log below a root. Where the runtime's own path leads out of it, nothing is read.
fn tail(root: &Path, path: &str) -> Fact<LogTail> {
    let inside = Path::new(path);
    let strange = inside
        .components()
        .any(|part| matches!(part, std::path::Component::ParentDir));
    if !inside.is_absolute() || strange {
        return Fact::unknown(format!("`{path}` is no path that can be followed"));
    }
    let place: PathBuf = root.join(inside.strip_prefix("/").unwrap_or(inside));
    let read = || -> std::io::Result<(u64, Vec<u8>)> {
        let mut file = File::open(&place)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let bytes = file.metadata()?.len();
        file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL)))?;
        let mut text = Vec::new();
        file.take(TAIL).read_to_end(&mut text)?;
        Ok((bytes, text))
    };
    match read() {
        Ok((bytes, text)) => Fact::known(
            LogTail {
                path: path.to_owned(),
                bytes,
                lines: lines(&text, bytes > TAIL),
            },
            Source::file(path),
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Fact::absent(format!("there is no `{path}`"))
        }
        Err(error) => Fact::unknown(format!("`{path}` cannot be read: {error}")),
    }
}

/// The last lines of a log in CRI's form (`TIME STREAM TAGS TEXT`) or any other.
fn lines(text: &[u8], cut: bool) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    // The first line may be the rest of one.
    let text = match text.split_once('\n') {
        Some((_, rest)) if cut => rest,
        _ => &text,
    };
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(LINES)..];
    last.iter()
        .map(|line| {
            let said = without_secrets(said(line));
            let mut short: String = said.chars().take(WIDTH).collect();
            if short.len() < said.len() {
                short.push('…');
            }
            short
        })
        .collect()
}

fn said(line: &str) -> &str {
    let mut parts = line.splitn(4, ' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some("stdout" | "stderr"), Some(_), Some(text)) => text,
        (Some(_), Some("stdout" | "stderr"), Some(_), None) => "",
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_without_time_and_stream() {
        let text = b"half a line\n2026-11-24T09:00:00.1Z stdout F one\n2026-11-24T09:00:01Z stderr P password=hunter2\nplain\n";
        assert_eq!(
            lines(text, true),
            ["one", "password=*******", "plain"].map(str::to_owned)
        );
        let long = "x".repeat(1000);
        let many: String = (0..30).map(|n| format!("t stdout F {n}{long}\n")).collect();
        let kept = lines(many.as_bytes(), false);
        assert_eq!(kept.len(), LINES);
        assert!(kept[0].starts_with("20x") && kept[0].chars().count() == WIDTH + 1);
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("x.log"), "t stdout F hello\n").unwrap();
        let found = tail(root.path(), "/x.log");
        assert_eq!(found.value().unwrap().lines, ["hello"]);
        assert!(tail(root.path(), "/../etc/passwd").value().is_none());
        assert!(matches!(tail(root.path(), "/nosuch"), Fact::Absent { .. }));
        assert!(matches!(tail(root.path(), "/"), Fact::Unknown { .. }));
    }
}
