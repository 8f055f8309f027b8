//! What is wrong with the files that configure registries, and what carries them: the remarks of
//! [`crate::registry::lint`] as checks of the table.
//!
//! Words and severities are the lint's own, so that lint, doctor, check and preflight say the same; here is added in
//! which profiles each is.

use super::finding::{Area, Note, Severity, Status};
use super::scope::Profile;
use super::{Case, Check, Judge, Judged, Outcome, remark};
use crate::facts::{Gap, Role};
use crate::registry::lint::{self, Code, Remark};
use crate::registry::text::Lines;
use crate::registry::{RuntimeId, RuntimeName};

/// One check for each code of the lint.
pub(super) fn checks() -> Vec<Check> {
    Code::ALL.iter().map(|&code| check(code)).collect()
}

fn check(code: Code) -> Check {
    Check {
        code: code.id(),
        title: code.title(),
        area: area(code.id()),
        severity: remark::severity(code.severity()),
        profiles: profiles(code),
        rule: code.explanation(),
        remedy: code.remedy(),
        seen: code.threads(),
        silenced_by: match code {
            // What is not parsed cannot be misspelt.
            Code::ContainerdUnknownKey => &["containerd-config-parse"],
            _ => &[],
        },
        judge: Judge::Lint(code),
        ..Check::BLANK
    }
}

/// Files of a daemon and files of registries are different parts of a node.
pub(super) fn area(id: &str) -> Area {
    if id.starts_with("containerd-") || id == "crio-config-parse" {
        Area::Config
    } else if id.starts_with("docker-") {
        Area::DockerLeftover
    } else if id.starts_with("sandbox-image-") {
        Area::Image
    } else if matches!(id, "registry-creds-inline" | "registry-insecure") {
        Area::Security
    } else {
        Area::Registry
    }
}

/// What stops a daemon concerns everybody, what stops pulls the people who look; hygiene, and what a site may well mean,
/// those who ask for it.
fn profiles(code: Code) -> &'static [Profile] {
    let meant = matches!(
        code,
        Code::SandboxImageHost
            | Code::ContainerdRemovedKeys
            | Code::RegistryCatchAll
            | Code::RegistryCredsInline
            | Code::RegistryInsecure
    );
    match code.severity() {
        lint::Severity::Critical => Profile::ALL,
        lint::Severity::High | lint::Severity::Medium if !meant => {
            &[Profile::Node, Profile::Registry, Profile::Preflight]
        }
        _ => &[Profile::Registry, Profile::Preflight],
    }
}

/// What the lint says under one code.
pub(super) fn judge(code: Code, case: &Case<'_>) -> Judged {
    let Some(runtime) = case.runtime() else {
        return Err(Gap::Absent(
            "no runtime was found whose files could be judged".to_owned(),
        ));
    };
    if owner(code.id()).is_some_and(|owner| owner != runtime.name) {
        return Err(Gap::Absent(format!("the runtime is {}", runtime.name)));
    }
    case.files_read()?;
    if code == Code::DockerDaemonJson && runtime.name != RuntimeName::Docker {
        return daemon_json(case);
    }
    let lines = Lines::of(&case.declared().tree);
    let notes: Vec<Note> = case
        .remarks()
        .iter()
        .filter(|remark| told_as(case, remark) == code)
        .filter(|remark| !is_usual(case, remark))
        .map(|found| {
            let finding = remark::finding(found, &lines, &[]);
            let status = match finding.severity {
                Severity::Info => Status::Pass,
                // What stands corrected may be so, but is not what goes wrong now.
                _ if found.after_correction => Status::Warn,
                _ => finding.status,
            };
            Note::new(status, finding.message.trim_end_matches('.')).like(finding)
        })
        .collect();
    Outcome::of(notes, code.title()).into()
}

/// Judges daemon.json where Docker is not the runtime: if it is there beside it.
fn daemon_json(case: &Case<'_>) -> Judged {
    let there = case.facts().files.exists("/usr/bin/dockerd") == Some(true)
        || case.facts().processes(Role::Dockerd).next().is_some();
    if !there {
        return Err(Gap::Absent("Docker is not installed".to_owned()));
    }
    let docker = match "docker@20.10.24".parse::<RuntimeId>() {
        Ok(docker) => docker,
        Err(error) => return Err(Gap::Unknown(error.to_string())),
    };
    let lines = Lines::of(&case.declared().tree);
    let notes = lint::lint(case.declared(), &docker)
        .into_iter()
        .filter(|remark| remark.code == Code::DockerDaemonJson)
        .map(|remark| {
            let finding = remark::finding(&remark, &lines, &[]);
            Note::warn(finding.message.trim_end_matches('.').to_owned())
                .like(finding)
                .severity(Severity::Medium)
        })
        .collect();
    Outcome::of(notes, Code::DockerDaemonJson.title()).into()
}

/// The code under which a remark is told: a sandbox image that is not in force because the file has no `version` is one of
/// the things that come of that, and the first thing to mend is the version.
fn told_as(case: &Case<'_>, remark: &Remark) -> Code {
    let versionless = || {
        let config = case.containerd().ok()?;
        let path = &remark.place.as_ref()?.path;
        let file = config.files.iter().find(|file| file.path == *path)?;
        let uri = remark.remedy.text.contains("io.containerd.grpc.v1.cri");
        (file.version.is_none() && uri).then_some(())
    };
    if remark.code == Code::ContainerdSandboxKey && versionless().is_some() {
        Code::ContainerdConfigVersion
    } else {
        remark.code
    }
}

/// Whether a remark is about what distributions do: a directory of registries that they name without making it (AKS, EKS),
/// unless one with a like name shows that it was misspelt; `docker.io` as the last resort behind its real host
/// (kubespray).
fn is_usual(case: &Case<'_>, remark: &Remark) -> bool {
    const USUAL: &str = "/etc/containerd/certs.d";
    if remark.code == Code::RegistryServerField {
        let place = remark.place.as_ref();
        let text = place.and_then(|place| case.facts().files.tree.text(&place.path));
        return remark
            .message
            .starts_with("`docker.io` is contacted literally")
            && text.is_some_and(|text| text.contains("\"https://registry-1.docker.io\"]"));
    }
    if remark.code == Code::ContainerdDropinUnread {
        // Something else that stands beside drop-ins and that one of them names: a base runtime specification.
        let tree = &case.facts().files.tree;
        let path = remark
            .place
            .as_ref()
            .map(|place| place.path.display().to_string());
        return path.is_some_and(|path| {
            !path.ends_with(".toml")
                && tree
                    .iter()
                    .any(|(file, _)| tree.text(file).is_some_and(|text| text.contains(&path)))
        });
    }
    if remark.code != Code::RegistryConfigPathMissing {
        return false;
    }
    if case.facts().files.containerd_config != std::path::Path::new("/etc/containerd/config.toml") {
        return remark.message.ends_with(" does not exist");
    }
    let others = case
        .facts()
        .files
        .names("/etc/containerd")
        .unwrap_or_default();
    remark.message == format!("{USUAL} does not exist")
        && !others
            .iter()
            .any(|name| name.contains("cert") || name.contains("hosts"))
}

/// The runtime that a code is about; none if it is about any.
fn owner(id: &str) -> Option<RuntimeName> {
    if id.starts_with("containerd-") {
        Some(RuntimeName::Containerd)
    } else if id.starts_with("crio-") {
        Some(RuntimeName::Crio)
    } else {
        None
    }
}
