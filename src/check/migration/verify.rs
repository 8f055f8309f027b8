//! The node before and after a move: what was there has to be there again.

use super::super::finding::Note;
use super::super::{Case, Judged, Outcome};
use super::routes;
use crate::facts::cri::handlers as configured;
use crate::facts::{Facts, Gap, Role, Source};
use crate::registry::RuntimeId;

/// Sysctls that Docker or a distribution's packages set and pods need.
const SYSCTLS: &[&str] = &[
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.forwarding",
    "net.ipv6.conf.all.forwarding",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "kernel.pid_max",
    "fs.file-max",
];

fn before<'c>(case: &'c Case<'_>) -> Result<&'c Facts, Gap> {
    let migration = case.facts().migration.as_ref();
    migration
        .and_then(|migration| migration.before.as_deref())
        .ok_or_else(|| Gap::Absent("no facts from before the move: `--verify FILE`".to_owned()))
}

/// The names of images that containers use.
fn used(facts: &Facts) -> Result<Vec<String>, Gap> {
    let containers = facts.cri.containers.need()?;
    let images = facts.cri.images.value();
    let mut names: Vec<String> = containers
        .items
        .iter()
        .filter_map(|container| {
            if !container.image.starts_with("sha256:") && !container.image.is_empty() {
                return Some(container.image.clone());
            }
            let ids = [&container.image, &container.image_ref];
            let known = images?
                .items
                .iter()
                .find(|image| ids.contains(&&image.id))?;
            known.tags.first().or(known.digests.first()).cloned()
        })
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

pub(super) fn images(case: &Case<'_>) -> Judged {
    let wanted = used(before(case)?)?;
    let now = case.facts().cri.images.need()?;
    let whole = |name: &str| {
        name.parse::<crate::registry::image_ref::ImageRef>()
            .map_or_else(|_| name.to_owned(), |image| image.to_string())
    };
    let there: Vec<String> = now
        .items
        .iter()
        .flat_map(|image| image.tags.iter().chain(&image.digests))
        .map(|name| whole(name))
        .collect();
    let problems = wanted
        .iter()
        .filter(|name| !there.contains(&whole(name)))
        .map(|name| {
            Note::fail(format!(
                "`{name}` was used before the move and is not there"
            ))
            .subject(name)
            .at(Source::rpc("ListImages"))
            .command(format!("criscope test-pull {name}"))
        })
        .collect();
    Outcome::of(problems, format!("{} images are there again", wanted.len())).into()
}

/// The limit of open files of the daemon that runs containers.
fn files(facts: &Facts) -> Option<(String, u64)> {
    let daemon = facts
        .daemon()
        .or_else(|| facts.processes(Role::Dockerd).next())?;
    let limits = daemon.limits.value()?;
    Some((
        daemon.role.name().to_owned(),
        limits.files_soft.unwrap_or(u64::MAX),
    ))
}

pub(super) fn limits(case: &Case<'_>) -> Judged {
    let (old, wanted) = files(before(case)?).ok_or_else(|| {
        Gap::Unknown("the limits of the daemon before the move are not known".to_owned())
    })?;
    let (new, found) = files(case.facts())
        .ok_or_else(|| Gap::Unknown("the limits of the daemon are not known".to_owned()))?;
    let words = |limit: u64| {
        if limit == u64::MAX {
            "no limit".to_owned()
        } else {
            limit.to_string()
        }
    };
    let text = format!(
        "{old} had {} of open files, {new} has {}",
        words(wanted),
        words(found)
    );
    let note = if wanted == found {
        return Note::pass(text).into();
    } else {
        Note::warn(text)
    };
    note.measured(words(found))
        .expected(words(wanted))
        .at(Source::proc("/proc/PID/limits"))
        .into()
}

pub(super) fn mirrors(case: &Case<'_>) -> Judged {
    let earlier = before(case)?;
    let then = Case::new(earlier);
    let (Some(old), Some(new)) = (known(&then), known(case)) else {
        return Err(Gap::Unknown(
            "the runtimes before and after are not both known".to_owned(),
        ));
    };
    let mut images = used(earlier).unwrap_or_default();
    if images.is_empty() {
        images.push("docker.io/library/busybox:latest".to_owned());
    }
    let hosts = |case: &Case<'_>, runtime: &RuntimeId| -> Vec<Vec<String>> {
        routes(case, runtime, &images)
            .iter()
            .map(|(_, route)| route.endpoints.iter().map(|one| host(&one.url)).collect())
            .collect()
    };
    let (asked, asks) = (hosts(&then, &old), hosts(case, &new));
    let problems = images
        .iter()
        .zip(asked.iter().zip(&asks))
        .filter_map(|(image, (asked, asks))| {
            let lost = asked.iter().find(|host| !asks.contains(host))?;
            Some(
                Note::fail(format!(
                    "`{image}` was asked of {lost} before the move and is not any more"
                ))
                .subject(image)
                .measured(asks.join(", "))
                .expected(asked.join(", "))
                .at(Source::rpc("registry route"))
                .command(format!("criscope registry route {image}")),
            )
        })
        .collect();
    Outcome::of(problems, "the same endpoints are asked").into()
}

fn known(case: &Case<'_>) -> Option<RuntimeId> {
    case.runtime().cloned()
}

fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}

pub(super) fn sysctls(case: &Case<'_>) -> Judged {
    let then = before(case)?.kernel.sysctls.need()?;
    let now = case.facts().kernel.sysctls.need()?;
    let problems = SYSCTLS
        .iter()
        .filter_map(|name| {
            let old = then.get(*name)?;
            let new = now.get(*name);
            (new != Some(old)).then(|| {
                let found = new.map_or("nothing", String::as_str);
                Note::fail(format!("{name} was {old} before the move and is {found}"))
                    .subject(name)
                    .measured(found)
                    .expected(old.as_str())
                    .at(Source::proc(format!(
                        "/proc/sys/{}",
                        name.replace('.', "/")
                    )))
                    .command(format!("sysctl -w {name}={old}"))
            })
        })
        .collect();
    Outcome::of(problems, "sysctls are as before").into()
}

pub(super) fn handlers(case: &Case<'_>) -> Judged {
    let names = |facts: &Facts| -> Vec<String> {
        configured(facts.cri.status.value())
            .into_iter()
            .map(|handler| handler.name)
            .collect()
    };
    let then = names(before(case)?);
    if then.is_empty() {
        return Err(Gap::Absent(
            "the runtime before the move told no handlers".to_owned(),
        ));
    }
    let now = names(case.facts());
    let problems = then
        .iter()
        .filter(|name| !now.contains(name))
        .map(|name| {
            Note::fail(format!(
                "the handler `{name}` was there before the move and is not"
            ))
            .subject(name)
            .at(Source::rpc("Status"))
        })
        .collect();
    Outcome::of(problems, "all handlers are there again").into()
}
