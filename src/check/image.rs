//! Checks of images on the node: the sandbox image without which no pod starts, and what a migration leaves behind.

use serde_json::json;

use super::config::LATER;
use super::finding::{Area, Note, Severity};
use super::scope::NODE;
use super::{Case, Check, Judge, Judged, Outcome};
use crate::facts::cri::Image;
use crate::facts::{Facts, Gap, Role, Source};
use crate::registry::containerd::Setting;
use crate::registry::crio_conf::ImageSection;
use crate::registry::rules::Default as RuntimeDefault;
use crate::registry::{ImageRef, RuntimeName};

/// What leaves nothing to be said about answers.
const UNREACHED: &[&str] = &["endpoint-socket", "endpoint-connect", "cri-plugin-loaded"];

const BLANK: Check = Check {
    area: Area::Image,
    silenced_by: UNREACHED,
    ..Check::BLANK
};

/// The checks of this area.
pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "sandbox-image-present",
        title: "the sandbox image is on the node",
        severity: Severity::High,
        profiles: NODE,
        rule: "Looks for the sandbox image that is in force (told by `Status` up to 1.7, else written in the files, else \
               the default of the version) in the list of images. Warns if it is missing and the node has a kubelet or \
               pods.",
        why: "Every pod starts with it. The runtime pulls it at the next pod, which fails where the registry cannot be \
              reached: `failed to get sandbox image`.",
        remedy: "pull it, or name an image that the node can reach",
        seen: &["eks-ami#2166"],
        judge: Judge::By(present),
        ..BLANK
    },
    Check {
        code: "sandbox-image-pinned",
        title: "the sandbox image is safe from garbage collection",
        severity: Severity::Medium,
        profiles: NODE,
        rule: "Reads whether the list of images calls the sandbox image pinned, on containerd 1.7 and later and CRI-O. \
               Warns if not, on a node with a kubelet that is not told to keep it (`--pod-infra-container-image`).",
        why: "The kubelet removes images when the disk fills. Without the sandbox image no pod starts, least of all \
              where there is no way to the registry.",
        remedy: "let containerd pull the image itself, or label it `io.cri-containerd.pinned=pinned`",
        seen: &["rke2#1830", "k0s#3389"],
        silenced_by: &[
            "endpoint-socket",
            "endpoint-connect",
            "cri-plugin-loaded",
            "sandbox-image-present",
        ],
        judge: Judge::By(pinned),
        ..BLANK
    },
    Check {
        code: "sandbox-image-agree",
        title: "kubelet and runtime mean the same sandbox image",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Compares the kubelet's `--pod-infra-container-image` with the sandbox image of the runtime. Warns if they \
               differ.",
        why: "The flag only keeps the kubelet from removing the image; what pods get is the runtime's. With two names \
              the wrong one is kept.",
        remedy: "set the runtime's sandbox image to the one that is meant, and drop the flag (gone in Kubernetes 1.35)",
        seen: &["kURL#4077"],
        silenced_by: &[],
        judge: Judge::By(agree),
        ..BLANK
    },
    Check {
        code: "image-namespace",
        title: "images in other namespaces of containerd are known",
        severity: Severity::Info,
        profiles: NODE,
        rule: "Lists containerd's namespaces with the number of images in each. Never fails.",
        why: "Images that `ctr` or `nerdctl` pulled without `-n k8s.io`, and Docker's, are not seen by the kubelet.",
        remedy: "import them into the namespace k8s.io",
        seen: &["eks-ami#1487"],
        judge: Judge::By(namespaces),
        ..BLANK
    },
    Check {
        code: "image-schema1",
        title: "no image has a manifest of Docker's schema 1",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Looks for the label that containerd (1.6.25, 1.7.8 and later) gives images that it converts from schema 1. \
               Warns; fails if containerd is 2.1 or later, or is to be.",
        why: "containerd from 2.1 on (2.0 unless a variable of its environment says otherwise) does not pull such images \
              any more: pods run until they are moved.",
        remedy: "build the image anew, or push it again with a tool of today",
        seen: &["containerd#10998"],
        judge: Judge::By(schema1),
        ..BLANK
    },
    Check {
        code: "image-docker-only",
        title: "the runtime has the images that Docker has",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Compares Docker's repositories.json with the images that CRI lists. Warns for names that only Docker has.",
        why: "Images that were built or loaded on the node are in no registry: pods that use them do not start after the \
              migration.",
        remedy: "push them, or `docker save` and `ctr -n k8s.io images import`",
        seen: &["kURL#3611", "cri-tools#891"],
        silenced_by: &[],
        judge: Judge::By(docker_only),
        ..BLANK
    },
    Check {
        code: "image-disk-return",
        title: "there is room to pull all images again",
        severity: Severity::Medium,
        profiles: LATER,
        rule: "Compares the sizes of all images that CRI lists with the free space of the image file system. Warns if they \
               do not fit once more; unpacked they take about twice as much.",
        why: "A new runtime has a store of its own: until the old one is removed, every image is there twice.",
        remedy: "remove images that nobody uses, or add a disk",
        judge: Judge::By(room),
        ..BLANK
    },
];

/// The sandbox image in force, and who says so.
fn sandbox(case: &Case<'_>) -> Result<(String, Source), Gap> {
    let status = case.facts().cri.status.value();
    let told = status.and_then(|status| status.info("config", "/sandboxImage")?.as_str());
    if let Some(name) = told.filter(|name| !name.is_empty()) {
        return Ok((name.to_owned(), Source::rpc("Status")));
    }
    let Some(runtime) = case.runtime() else {
        return Err(Gap::Absent("no runtime was found".to_owned()));
    };
    let files = &case.facts().files;
    match runtime.name {
        RuntimeName::Containerd => match &case.containerd()?.sandbox_image {
            Setting::Written(image) => Ok((image.value.clone(), files.at(&image.place))),
            Setting::Builtin(name) if !name.is_empty() => {
                Ok((name.clone(), Source::rpc("Version")))
            }
            Setting::Builtin(_) => Err(Gap::Unknown(format!(
                "the sandbox image of {runtime} is not known"
            ))),
        },
        RuntimeName::Crio => match ImageSection::load(&files.tree).pause_image {
            Some(image) => Ok((image.value.clone(), files.at(&image.place))),
            None => match case
                .declared()
                .rules()
                .default(RuntimeDefault::PauseImage, runtime)
            {
                Some(name) => Ok((name.to_owned(), Source::rpc("Version"))),
                None => Err(Gap::Unknown(format!(
                    "the pause image of {runtime} is not known"
                ))),
            },
        },
        RuntimeName::Docker => Err(Gap::Absent("the sandbox image is cri-dockerd's".to_owned())),
    }
}

/// An image that is on the node and of which a container can be made: the sandbox image, else what a container runs.
pub fn at_hand(facts: &Facts) -> Option<String> {
    let images = &facts.cri.images.value()?.items;
    let sandbox = sandbox(&Case::new(facts)).ok().map(|(name, _)| name);
    let running = || {
        let containers = facts.cri.containers.value()?;
        Some(
            containers
                .items
                .iter()
                .find(|container| container.running)?
                .image
                .clone(),
        )
    };
    sandbox
        .filter(|name| find(images, name).is_some())
        .or_else(running)
}

/// An image by its name, as the runtime lists names: with registry, with tag or digest.
fn find<'i>(images: &'i [Image], name: &str) -> Option<&'i Image> {
    let full = name
        .parse::<ImageRef>()
        .map_or_else(|_| name.to_owned(), |image| image.to_string());
    images.iter().find(|image| {
        let mut names = image.tags.iter().chain(&image.digests);
        names.any(|listed| *listed == name || *listed == full)
    })
}

fn present(case: &Case<'_>) -> Judged {
    let images = case.facts().cri.images.need()?;
    let (name, source) = sandbox(case)?;
    if find(&images.items, &name).is_some() {
        return Note::pass(format!("`{name}` is there")).into();
    }
    let pods = case.facts().cri.pods.value();
    let has_pods = pods.is_some_and(|pods| !pods.items.is_empty());
    if !case.has_kubelet() && !has_pods {
        return Note::pass(format!(
            "`{name}` is not there, and nothing needs it yet: the node has neither kubelet nor pods"
        ))
        .into();
    }
    Note::warn(format!(
        "the sandbox image `{name}` is not on the node: the next pod waits for a pull, or fails"
    ))
    .subject(&name)
    .measured(false)
    .expected("the image in the list")
    .at(source)
    .evidence(
        Source::rpc("ListImages"),
        format!("{} images, none of that name", images.items.len()),
    )
    .remedy("pull it, or name an image that the node can reach")
    .command(format!("criscope pull {name}"))
    .into()
}

/// The sandbox image that the kubelet is told to keep.
fn kept(case: &Case<'_>) -> Option<(String, Source)> {
    const FLAG: &str = "--pod-infra-container-image";
    for kubelet in case.facts().processes(Role::Kubelet) {
        if let Some(image) = kubelet.argument(&[FLAG]) {
            let source = Source::proc(format!("/proc/{}/cmdline", kubelet.pid));
            return Some((image.to_owned(), source));
        }
    }
    for path in [
        "/var/lib/kubelet/kubeadm-flags.env",
        "/etc/default/kubelet",
        "/etc/sysconfig/kubelet",
    ] {
        let text = case.facts().files.text(path).unwrap_or_default();
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once(FLAG) {
                let value = rest.trim_start_matches(['=', ' ']);
                let end = value.find([' ', '"', '\'']).unwrap_or(value.len());
                return Some((value[..end].to_owned(), Source::file(path)));
            }
        }
    }
    None
}

fn pinned(case: &Case<'_>) -> Judged {
    let images = case.facts().cri.images.need()?;
    let (name, source) = sandbox(case)?;
    if let Some(runtime) = case.runtime()
        && runtime.name == RuntimeName::Containerd
        && (runtime.version.major(), runtime.version.minor()) < (1, 7)
    {
        return Err(Gap::Absent(format!("{runtime} pins no images")));
    }
    let Some(image) = find(&images.items, &name) else {
        return Err(Gap::Absent(format!("`{name}` is not on the node")));
    };
    if image.pinned {
        return Note::pass(format!("`{name}` is pinned")).into();
    }
    if !case.has_kubelet() {
        return Err(Gap::Absent(
            "the node has no kubelet that would remove images".to_owned(),
        ));
    }
    if let Some((kept, _)) = kept(case)
        && kept == name
    {
        return Note::pass(format!(
            "`{name}` is not pinned, but the kubelet is told to keep it"
        ))
        .into();
    }
    Note::warn(format!(
        "`{name}` is not pinned: the kubelet may remove it when the disk fills"
    ))
    .subject(&name)
    .measured(false)
    .expected("a pinned image")
    .at(Source::rpc("ListImages"))
    .evidence(source, "the sandbox image")
    .remedy("let containerd pull the image itself, or label it")
    .command(format!(
        "ctr -n k8s.io images label {name} io.cri-containerd.pinned=pinned"
    ))
    .into()
}

fn agree(case: &Case<'_>) -> Judged {
    let Some((kept, source)) = kept(case) else {
        return Err(Gap::Absent("the kubelet names no sandbox image".to_owned()));
    };
    let (name, runtime) = sandbox(case)?;
    if kept == name {
        return Note::pass(format!("both mean `{name}`")).into();
    }
    Note::warn(format!(
        "the kubelet keeps `{kept}`, the runtime starts pods with `{name}`"
    ))
    .subject(&kept)
    .measured(json!({ "kubelet": kept, "runtime": name }))
    .expected(&name)
    .at(source)
    .evidence(runtime, format!("`{name}`"))
    .remedy("set the runtime's sandbox image to the one that is meant, and drop the kubelet's flag")
    .into()
}

fn namespaces(case: &Case<'_>) -> Judged {
    let all = case.facts().containerd.namespaces.need()?;
    let others: Vec<String> = all
        .iter()
        .filter(|namespace| namespace.name != "k8s.io")
        .map(|namespace| format!("{} in {}", namespace.images, namespace.name))
        .collect();
    Note::pass(match others.as_slice() {
        [] => "all images are the kubelet's".to_owned(),
        others => format!(
            "images that the kubelet does not see: {}",
            others.join(", ")
        ),
    })
    .at(Source::rpc("Namespaces.List"))
    .into()
}

fn schema1(case: &Case<'_>) -> Judged {
    let found = case.facts().containerd.schema1.need()?;
    let gone = case
        .runtime()
        .is_some_and(|runtime| (runtime.version.major(), runtime.version.minor()) >= (2, 1));
    let problems = found.iter().take(20).map(|name| {
        let text = format!("`{name}` was pulled with a manifest of schema 1");
        let note = if gone {
            Note::fail(format!(
                "{text}, which containerd 2.1 and later do not pull"
            ))
        } else {
            Note::warn(text)
        };
        note.subject(name)
            .expected("a manifest of schema 2 or OCI")
            .at(Source::rpc("Images.List"))
    });
    Outcome::of(problems.collect(), "no image was converted from schema 1").into()
}

fn docker_only(case: &Case<'_>) -> Judged {
    const STORE: &str = "/var/lib/docker/image/overlay2/repositories.json";
    let text = case.facts().files.text(STORE)?;
    let store: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| Gap::Unknown(format!("`{STORE}` cannot be read: {error}")))?;
    let images = case.facts().cri.images.need()?;
    let repositories = store
        .get("Repositories")
        .and_then(|found| found.as_object());
    let names = repositories.into_iter().flat_map(|found| found.values());
    let names = names
        .filter_map(|names| names.as_object())
        .flat_map(|names| names.keys());
    // Names with digests come from registries, where they still are.
    let mut missing: Vec<&String> = names
        .filter(|name| !name.contains('@') && find(&images.items, name).is_none())
        .collect();
    missing.sort_unstable();
    if missing.is_empty() {
        return Note::pass("everything that Docker has is known to the runtime").into();
    }
    let mut note = Note::warn(format!("{} images are known to Docker only", missing.len()))
        .subject(STORE)
        .measured(json!(missing))
        .expected("every image in the runtime's list")
        .at(Source::file(STORE))
        .remedy("push them to a registry, or save them and import them into the namespace k8s.io");
    for name in missing.iter().take(5) {
        note = note.evidence(Source::file(STORE), *name);
    }
    if let Some(name) = missing.first() {
        note = note.command(format!(
            "docker save {name} | ctr -n k8s.io images import -"
        ));
    }
    note.into()
}

fn room(case: &Case<'_>) -> Judged {
    let images = case.facts().cri.images.need()?;
    let stores = case.facts().cri.image_fs.need()?;
    let Some(store) = stores.first() else {
        return Err(Gap::Absent(
            "the runtime names no image file system".to_owned(),
        ));
    };
    let Some(system) = case.facts().storage.paths.get(&store.mountpoint) else {
        return Err(Gap::Unknown(format!(
            "nobody looked at `{}`",
            store.mountpoint
        )));
    };
    let free = system.need()?.free_bytes;
    let sizes: u64 = images.items.iter().map(|image| image.size).sum();
    let text = format!(
        "{} images of {} MB, {} MB free",
        images.items.len(),
        sizes / 1_000_000,
        free / 1_000_000
    );
    if free >= sizes.saturating_mul(2) {
        return Note::pass(text).into();
    }
    Note::warn(format!("{text}: they do not fit a second time"))
        .subject(&store.mountpoint)
        .measured(json!({ "images": sizes, "free": free }))
        .expected("twice the size of all images, unpacked")
        .at(Source::proc("statfs"))
        .remedy("remove images that nobody uses, or add a disk before the migration")
        .into()
}
