//! Who still uses what is Docker's: its socket, its directory of logs, its client.

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome};
use crate::facts::{FilePlace, Gap, Source};

/// Where static pods are written.
const MANIFESTS: &str = "/etc/kubernetes/manifests";

pub(super) fn socket(case: &Case<'_>) -> Judged {
    users(case, "Docker's socket", |path| {
        path.ends_with("/docker.sock") || path.ends_with("/dockershim.sock")
    })
}

pub(super) fn logs(case: &Case<'_>) -> Judged {
    users(case, "Docker's directory of containers", |path| {
        path.trim_end_matches('/').ends_with("/docker/containers")
    })
}

fn users(case: &Case<'_>, what: &str, fits: impl Fn(&str) -> bool) -> Judged {
    let mut problems = Vec::new();
    let (mut looked, mut hidden) = (false, None);
    match case.docker.users.known_or_absent() {
        Ok(Some(users)) => {
            looked = true;
            for user in users.iter().filter(|user| fits(&user.path)) {
                let called = user.container.as_deref().and_then(|id| case.called(id));
                let whose = called
                    .clone()
                    .unwrap_or_else(|| format!("`{}` (pid {})", user.comm, user.pid));
                problems.push(
                    Note::fail(format!("{whose} has {what} mounted at `{}`", user.path))
                        .subject(&whose)
                        .measured(serde_json::json!(user))
                        .at(Source::proc(format!("/proc/{}/mountinfo", user.pid))),
                );
            }
        }
        Ok(None) => {}
        Err(Gap::Absent(_)) => {}
        Err(Gap::Unknown(reason)) => hidden = Some(reason),
    }
    if let Ok(Some(containers)) = case.docker.containers.known_or_absent() {
        looked = true;
        for container in containers {
            let Some(path) = container.mounts.iter().find(|path| fits(path)) else {
                continue;
            };
            let text = format!(
                "the container `{}` has {what} mounted (`{path}`)",
                container.name
            );
            let note = if container.is_of_kubelet() {
                Note::fail(text)
            } else {
                Note::warn(text)
            };
            problems.push(
                note.subject(&container.name)
                    .at(case.docker.containers.source().cloned()),
            );
        }
    }
    for name in case.files.names(MANIFESTS).unwrap_or_default() {
        let path = std::path::PathBuf::from(format!("{MANIFESTS}/{name}"));
        let Some(text) = case.files.tree.text(&path) else {
            continue;
        };
        looked = true;
        for (index, line) in text.lines().enumerate() {
            let value = path_in(line);
            if let Some(value) = value.filter(|value| fits(value)) {
                problems.push(
                    Note::fail(format!(
                        "the static pod in `{name}` mounts {what} (`{value}`)"
                    ))
                    .subject(path.display())
                    .at(Source::File(FilePlace {
                        path: path.display().to_string(),
                        line: Some(index + 1),
                        excerpt: case.files.line(&path, index + 1),
                        ..FilePlace::default()
                    })),
                );
            }
        }
    }
    match (problems.is_empty(), looked, hidden) {
        (true, _, Some(reason)) => Err(Gap::Unknown(reason)),
        (true, false, None) => Err(Gap::Absent(
            "neither processes nor containers nor static pods are here".to_owned(),
        )),
        _ => Outcome::of(problems, format!("nobody has {what} mounted")).into(),
    }
}

/// The value of `path` in a line of a manifest, in block style or in flow style.
fn path_in(line: &str) -> Option<&str> {
    let (before, value) = line.split_once("path:")?;
    if !before.is_empty() && !before.ends_with([' ', '{', ',']) {
        return None;
    }
    let value = value.split([',', '}', '#']).next()?;
    Some(value.trim().trim_matches(['"', '\'']))
}

pub(super) fn scripts(case: &Case<'_>) -> Judged {
    let scripts = case.docker.scripts.need()?;
    let problems = scripts
        .iter()
        .map(|script| {
            Note::warn(format!("`{}` calls docker", script.path))
                .subject(&script.path)
                .at(Source::File(FilePlace {
                    path: script.path.clone(),
                    line: Some(script.line),
                    excerpt: Some(script.text.clone()),
                    ..FilePlace::default()
                }))
        })
        .collect();
    Outcome::of(problems, "none that was looked at").into()
}

#[cfg(test)]
mod tests {
    use super::path_in;

    #[test]
    fn paths_in_both_styles() {
        for (line, expected) in [
            (
                "    path: /var/run/docker.sock",
                Some("/var/run/docker.sock"),
            ),
            ("  - path: \"/a\" # why", Some("/a")),
            ("  hostPath: {path: /a, type: Socket}", Some("/a")),
            ("  - {name: s, hostPath: {path: '/a'}}", Some("/a")),
            ("    mountPath: /a", None),
        ] {
            assert_eq!(path_in(line), expected, "{line}");
        }
    }
}
