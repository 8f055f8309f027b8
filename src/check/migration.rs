//! Will this node survive the move to another runtime or version? Judged from what is there now and from the files that
//! are about to be shipped; nothing has to run.
//!
//! The rules of the target are applied by the rest of the table, because `criscope preflight` says that the node has the
//! target runtime. Here is what only a move has: daemon.json key by key, images that could not be pulled any more, the
//! version itself, the kubelet's endpoint and flags, and the comparison with what was before.

mod daemon_json;
mod kubernetes;
mod releases;
pub mod steps;
pub(super) mod upgrade;
mod verify;

use super::finding::{Area, Note, Severity};
use super::scope::Profile;
use super::{Case, Check, Judge, Judged, Outcome};
use crate::facts::{Fact, FilePlace, Gap, Migration, Source};
use crate::registry::image_ref::ImageRef;
use crate::registry::plan::{self, Route};
use crate::registry::{RuntimeId, RuntimeName};
use releases::Support;

const PREFLIGHT: &[Profile] = &[Profile::Preflight];

const BLANK: Check = Check {
    area: Area::Config,
    severity: Severity::High,
    profiles: PREFLIGHT,
    ..Check::BLANK
};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "migrate-daemon-json",
        title: "every setting of daemon.json has its place after the move",
        area: Area::DockerLeftover,
        rule: "Reads /etc/docker/daemon.json key by key. Passes a key that needs nothing or is carried over already, warns \
               where it has to be set elsewhere, fails where workloads would notice: a mirror or an insecure registry that \
               is not on the route of the new runtime, a remote log driver, a default runtime that is not configured.",
        why: "No other runtime reads daemon.json. What it said is gone without a message.",
        remedy: "set each key where the finding says",
        seen: &[
            "website#29665",
            "kubekey#2133",
            "gardener#6702",
            "gpu-operator#350",
            "eks-ami#1551",
        ],
        judge: Judge::By(daemon_json::judge),
        ..BLANK
    },
    Check {
        code: "migrate-image-route",
        title: "the new runtime knows a way to every image",
        area: Area::Registry,
        rule: "Plans the pull of each image of a container, and of those that are named with `--image`, by the rules of \
               the target and with the files that are there (or staged). Fails if there is no way; warns if an endpoint \
               that is asked today would not be asked any more.",
        why: "After the move every image is pulled anew: the new runtime has a store of its own, or a drained node starts \
              pods that it did not have.",
        remedy: "configure the registry for the new runtime: `criscope registry route IMAGE --as TARGET` shows the way",
        seen: &["cri-tools#891", "nerdctl#498", "kurl#3611"],
        judge: Judge::By(images),
        ..BLANK
    },
    Check {
        code: "migrate-version-known-bad",
        title: "the target is not a release with a known fault that this node would meet",
        severity: Severity::Critical,
        rule: "Looks the target up in the built-in list of releases with known faults, and whether this node has what \
               triggers them.",
        why: "These releases do not start, or start no pod, on nodes with the configuration that is named.",
        remedy: "choose the next patch release",
        seen: &[
            "containerd#12612",
            "containerd#12726",
            "containerd#12891",
            "k3s#13788",
        ],
        judge: Judge::By(known_bad),
        ..BLANK
    },
    Check {
        code: "migrate-version-support",
        title: "the target is supported and can be reached from here",
        severity: Severity::Medium,
        rule: "Looks up when the support of the target's series ends, and whether projects test the jump. Warns if it has \
               ended or ends within 90 days, or if the jump leaves out series.",
        why: "A series without support gets no security fixes; a jump that nobody tests finds its faults on your node.",
        remedy: "go to a long-term series, or one series after the other",
        seen: &["containerd#12727"],
        judge: Judge::By(support),
        ..BLANK
    },
    Check {
        code: "migrate-kubernetes",
        title: "the target fits the version of Kubernetes",
        severity: Severity::Critical,
        rule: "Compares the target with `--kubernetes`, else with the kubelet that is installed. Fails if the kubelet \
               cannot speak to it: CRI v1alpha2 is gone from containerd 2.0 and CRI-O 1.26 on, and the kubelet speaks v1 \
               only from 1.26 on; cgroup v1 is refused by default from 1.35 on. Warns if CRI-O's minor version is another \
               one, and if the kubelet will need RuntimeConfig.",
        why: "The node does not become ready.",
        remedy: "upgrade in the order that the finding says",
        seen: &["containerd#11346", "kubernetes#134906", "website#53082"],
        judge: Judge::By(kubernetes::version),
        ..BLANK
    },
    Check {
        code: "migrate-kubelet-endpoint",
        title: "the kubelet will talk to the new runtime",
        area: Area::Kubelet,
        severity: Severity::Critical,
        rule: "Reads `--container-runtime-endpoint` and `containerRuntimeEndpoint`. Warns if it names another socket than \
               that of the target, which is to be changed during the move.",
        why: "The kubelet goes on talking to the old runtime, or to nobody.",
        remedy: "change it when the kubelet is stopped",
        seen: &["kubeadm#2364", "kubeone#1812"],
        judge: Judge::By(kubernetes::endpoint),
        ..BLANK
    },
    Check {
        code: "migrate-kubelet-flags",
        title: "the new kubelet knows all its flags",
        area: Area::Kubelet,
        severity: Severity::Critical,
        rule: "Reads the flags that the kubelet is started with and compares them with those that `--kubernetes` does not \
               know any more.",
        why: "A kubelet with a flag that it does not know does not start.",
        remedy: "take the flag out",
        seen: &["kubespray#8924", "kurl#4451", "kubernetes#133779"],
        judge: Judge::By(kubernetes::flags),
        ..BLANK
    },
    Check {
        code: "migrate-way-back",
        title: "the way back is known",
        severity: Severity::Low,
        rule: "Tells what makes it impossible to go back: shims of containerd 2.x cannot be taken over by 1.7, and a \
               configuration of version 3 or 4 stops older daemons.",
        why: "Who goes back with pods running has containers that nobody can stop.",
        remedy: "drain the node before the move, keep the old files, and drain again before going back",
        seen: &["containerd#11720", "containerd#10165"],
        judge: Judge::By(way_back),
        ..BLANK
    },
    Check {
        code: "migrate-verify-images",
        title: "every image that was used is there again",
        area: Area::Image,
        rule: "Compares the images of containers before the move with the images now.",
        why: "Pods that need one of them wait for a pull, which may not work.",
        remedy: "pull what is missing",
        judge: Judge::By(verify::images),
        ..BLANK
    },
    Check {
        code: "migrate-verify-limits",
        title: "the daemon has the limits that the one before had",
        severity: Severity::Medium,
        rule: "Compares the limit of open files of the runtime's daemon before and after.",
        why: "Containers inherit it where nothing else is said.",
        remedy: "set LimitNOFILE in the unit, or the limits of containers in the runtime's configuration",
        seen: &["eks-ami#1551", "moby#51485", "containerd#8924"],
        judge: Judge::By(verify::limits),
        ..BLANK
    },
    Check {
        code: "migrate-verify-mirrors",
        title: "the same endpoints are asked for images",
        area: Area::Registry,
        rule: "Plans the pull of the images that were used before the move, then and now. Fails if an endpoint is not asked \
               any more.",
        why: "Pulls go past the mirror: slower, against the limits of a public registry, or not at all.",
        remedy: "configure the mirror for the new runtime",
        judge: Judge::By(verify::mirrors),
        ..BLANK
    },
    Check {
        code: "migrate-verify-sysctls",
        title: "the kernel is set as before",
        area: Area::Kernel,
        rule: "Compares the sysctls that matter to pods before and after.",
        why: "dockerd sets some of them; after a reboot without it they have other values.",
        remedy: "write them into /etc/sysctl.d",
        seen: &["website#36336"],
        judge: Judge::By(verify::sysctls),
        ..BLANK
    },
    Check {
        code: "migrate-verify-handlers",
        title: "every runtime handler is there again",
        rule: "Compares the handlers that the runtime had configured before with those now.",
        why: "Pods with a RuntimeClass that names one of them do not start.",
        remedy: "configure the handler for the new runtime",
        seen: &["agentbaker#9308"],
        judge: Judge::By(verify::handlers),
        ..BLANK
    },
];

/// The move, and its target.
fn moving<'c>(case: &'c Case<'_>) -> Result<(&'c Migration, RuntimeId), Gap> {
    let migration =
        case.facts().migration.as_ref().ok_or_else(|| {
            Gap::Absent("no move was named: `criscope preflight --to …`".to_owned())
        })?;
    let to = migration
        .to
        .parse()
        .map_err(|_| Gap::Unknown(format!("`{}` is no runtime", migration.to)))?;
    Ok((migration, to))
}

/// The runtime that serves now, with its version where that is known.
fn from(migration: &Migration) -> Option<RuntimeId> {
    let from = migration.from.as_deref()?;
    from.replace("dockershim", "docker").parse().ok()
}

/// The routes of images by the rules of a runtime.
fn routes(case: &Case<'_>, runtime: &RuntimeId, images: &[String]) -> Vec<(String, Route)> {
    let named: Vec<(String, ImageRef)> = images
        .iter()
        .filter_map(|image| Some((image.clone(), image.parse().ok()?)))
        .collect();
    let references: Vec<ImageRef> = named.iter().map(|(_, image)| image.clone()).collect();
    let routes = plan::routes(case.declared(), runtime, &references);
    named
        .into_iter()
        .map(|(name, _)| name)
        .zip(routes)
        .collect()
}

/// The images that containers use, as people write them, and those that were named.
fn used(case: &Case<'_>, migration: &Migration) -> Result<Vec<String>, Gap> {
    let mut images = migration.images.clone();
    match &case.facts().cri.containers {
        Fact::Known { value, .. } => {
            let listed = case.facts().cri.images.value();
            images.extend(value.items.iter().filter_map(|container| {
                let image = &container.image;
                if !image.starts_with("sha256:") && !image.is_empty() {
                    return Some(image.clone());
                }
                let known = listed?
                    .items
                    .iter()
                    .find(|known| known.id == container.image_ref || known.id == *image)?;
                known.tags.first().or(known.digests.first()).cloned()
            }));
        }
        Fact::Unknown { reason } if images.is_empty() => return Err(Gap::Unknown(reason.clone())),
        Fact::Absent { what } if images.is_empty() => return Err(Gap::Absent(what.clone())),
        _ => {}
    }
    images.sort();
    images.dedup();
    if images.is_empty() {
        return Err(Gap::Absent(
            "no container runs here; name images with `--image`".to_owned(),
        ));
    }
    Ok(images)
}

fn images(case: &Case<'_>) -> Judged {
    let (migration, to) = moving(case)?;
    let images = used(case, migration).map_err(|gap| match gap {
        // A docker node whose CRI is disabled tells no images over CRI.
        Gap::Unknown(reason) if migration.is_from_docker() => Gap::Absent(format!(
            "no images are known ({reason}); name them with `--image`"
        )),
        other => other,
    })?;
    let today = from(migration).map(|from| routes(case, &from, &images));
    let mut problems = Vec::new();
    for (index, (image, route)) in routes(case, &to, &images).into_iter().enumerate() {
        let evidence = || Source::rpc("ListContainers");
        if let Some(why) = &route.fatal {
            problems.push(
                Note::fail(format!("{to} cannot pull `{image}`: {why}"))
                    .subject(&image)
                    .at(evidence())
                    .command(format!("criscope registry route {image} --as {to}")),
            );
            continue;
        }
        let Some((_, before)) = today.as_ref().and_then(|today| today.get(index)) else {
            continue;
        };
        let host = |url: &str| {
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            rest.split('/').next().unwrap_or_default().to_owned()
        };
        let now: Vec<String> = route.endpoints.iter().map(|one| host(&one.url)).collect();
        let lost: Vec<&plan::RouteEndpoint> = before
            .endpoints
            .iter()
            .filter(|one| !now.contains(&host(&one.url)))
            .collect();
        if let Some(first) = lost.first() {
            let asked = if now.is_empty() {
                "nobody".to_owned()
            } else {
                now.join(", ")
            };
            let note = Note::warn(format!(
                "`{image}` is asked of {} today; {to} would ask {asked}",
                host(&first.url)
            ));
            let source = match &first.source {
                plan::Source::File { path, line } => Source::File(FilePlace {
                    path: path.display().to_string(),
                    line: Some(*line),
                    ..FilePlace::default()
                }),
                _ => evidence(),
            };
            problems.push(note.subject(&image).at(source));
        }
    }
    Outcome::of(problems, format!("{} images, a way to each", images.len())).into()
}

fn known_bad(case: &Case<'_>) -> Judged {
    let (_, to) = moving(case)?;
    let mut problems = Vec::new();
    for fault in releases::faults(&to) {
        let meets = match &fault.unless_file {
            Some(file) => case.facts().files.exists(file).map(|there| !there),
            None => Some(true),
        };
        let note = match (meets, fault.needs_apparmor) {
            (Some(false), _) => continue,
            (_, true) if !apparmor(case) => continue,
            (Some(true), _) => Note::fail(format!("{to}: {}", fault.note)),
            (None, _) => Note::unknown(format!(
                "{to}: {}; whether it is met is not known",
                fault.note
            )),
        };
        problems.push(
            note.subject(&to)
                .measured(to.version.as_str())
                .expected(fault.fixed.clone())
                .at(Source::rpc("the built-in list of releases")),
        );
    }
    Outcome::of(
        problems,
        format!("no fault of {to} is known that this node would meet"),
    )
    .into()
}

fn apparmor(case: &Case<'_>) -> bool {
    match case.facts().kernel.lsm.value() {
        Some(modules) => modules.contains_key("apparmor"),
        // Not having seen it is no reason to be silent.
        None => true,
    }
}

fn support(case: &Case<'_>) -> Judged {
    let (migration, to) = moving(case)?;
    let today = case.facts().taken_at.get(..10).unwrap_or_default();
    let mut problems = Vec::new();
    let source = || Source::rpc("the built-in list of releases");
    match releases::support(&to) {
        Some(Support { ends, .. }) if ends.as_str() <= today => problems.push(
            Note::warn(format!(
                "the support of {} {}.{} ended {ends}",
                to.name,
                to.version.major(),
                to.version.minor()
            ))
            .measured(ends.as_str())
            .at(source()),
        ),
        Some(Support { ends, .. }) if ends.as_str() <= soon(today).as_str() => problems.push(
            Note::warn(format!(
                "the support of {} {}.{} ends {ends}",
                to.name,
                to.version.major(),
                to.version.minor()
            ))
            .measured(ends.as_str())
            .at(source()),
        ),
        _ => {}
    }
    if let Some(from) =
        from(migration).filter(|from| from.name == to.name && to.name == RuntimeName::Containerd)
        && let (Some(here), Some(there)) = (series(&from), series(&to))
        && there > here + 1
        && !releases::is_tested_jump(&from, &to)
    {
        problems.push(
            Note::warn(format!("nobody tests the jump from {from} to {to}"))
                .measured(there - here)
                .expected("one series after the other, or from one long-term series to the next")
                .at(source()),
        );
    }
    Outcome::of(problems, format!("{to} is supported")).into()
}

/// The place of a series in their order: 1.6, 1.7, 2.0, 2.1, …
fn series(runtime: &RuntimeId) -> Option<u32> {
    match (runtime.version.major(), runtime.version.minor()) {
        (_, u32::MAX) => None,
        (1, minor) => Some(minor),
        (2, minor) => Some(8 + minor),
        _ => None,
    }
}

/// The date 90 days later; the same where it is no date.
fn soon(today: &str) -> String {
    let date = today.parse::<jiff::civil::Date>();
    let later = date.map(|date| date.saturating_add(jiff::Span::new().days(90)));
    later.map_or_else(|_| today.to_owned(), |date| date.to_string())
}

fn way_back(case: &Case<'_>) -> Judged {
    let (migration, to) = moving(case)?;
    let from = from(migration);
    let newer = to.name == RuntimeName::Containerd
        && to.version.major() >= 2
        && from
            .as_ref()
            .is_some_and(|from| from.name == RuntimeName::Containerd && from.version.major() < 2);
    if !newer {
        return Note::pass("the way back is the way there").into();
    }
    Note::warn("containers that containerd 2.x started cannot be taken over by 1.x any more")
        .subject(&to)
        .at(Source::rpc("the built-in list of releases"))
        .into()
}
