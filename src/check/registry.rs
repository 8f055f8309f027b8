//! What is wrong with the files that configure registries, and what carries them: the remarks of
//! [`crate::registry::lint`] as checks of the table.
//!
//! Words and severities are the lint's own, so that lint, doctor, check and preflight say the same; here is added in
//! which profiles each is.

use super::finding::{Area, Note, Severity, Status};
use super::scope::Profile;
use super::{Case, Check, Judge, Judged, Outcome, remark};
use crate::facts::Gap;
use crate::registry::RuntimeName;
use crate::registry::lint::{self, Code};
use crate::registry::text::Lines;

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
    let lines = Lines::of(&case.declared().tree);
    let notes: Vec<Note> = case
        .remarks()
        .iter()
        .filter(|remark| remark.code == code)
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
