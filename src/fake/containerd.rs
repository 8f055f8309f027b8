//! containerd's own services on the world: what a client of the same socket finds beside CRI.
//!
//! Introspection tells which plugins are loaded (the way to learn why CRI does not answer); images, containers, tasks
//! and content show the store behind the CRI answers. Only namespace `k8s.io` has anything.

use prost_types::Timestamp;
use tonic::Status;

use super::rpc::{Reply, with};
use super::world::{CriPlugin, Image, Nanos, World};
use crate::cri::containerd::services::{
    containers::v1 as containers, content::v1 as content, images::v1 as images,
    introspection::v1 as introspection, namespaces::v1 as namespaces, tasks::v1 as tasks,
    version::v1 as version,
};
use crate::cri::containerd::types::Descriptor;
use crate::cri::containerd::v1::types as task;
use crate::cri::google::rpc;

/// Where CRI keeps its things.
const NAMESPACE: &str = "k8s.io";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Answers `rpc` of one of containerd's services; `None` for a name that it does not have. `namespace` is the
/// `containerd-namespace` header.
pub(super) fn answer(
    world: &mut World,
    service: &str,
    rpc: &str,
    namespace: Option<&str>,
    request: &[u8],
) -> Option<Result<Reply, Status>> {
    let service = service.strip_prefix("containerd.services.")?;
    let global = matches!(
        service,
        "introspection.v1.Introspection" | "version.v1.Version" | "namespaces.v1.Namespaces"
    );
    let empty;
    let mut nothing;
    let world = match namespace {
        _ if global => world,
        None | Some("") => {
            return Some(Err(Status::failed_precondition(
                "namespace is required: failed precondition",
            )));
        }
        Some(NAMESPACE) => world,
        Some(_) => {
            empty = World::empty(&world.runtime.name, &world.runtime.version);
            nothing = empty;
            &mut nothing
        }
    };
    Some(match (service, rpc) {
        ("version.v1.Version", "Version") => with(request, |(): ()| {
            let revision = "fake".to_owned();
            Ok(version::VersionResponse {
                version: world.runtime.version.clone(),
                revision,
            })
        }),
        ("namespaces.v1.Namespaces", "List") => {
            with(request, |_: namespaces::ListNamespacesRequest| {
                let namespace = namespaces::Namespace {
                    name: NAMESPACE.to_owned(),
                    ..Default::default()
                };
                Ok(namespaces::ListNamespacesResponse {
                    namespaces: vec![namespace],
                })
            })
        }
        ("introspection.v1.Introspection", "Plugins") => {
            with(request, |ask: introspection::PluginsRequest| {
                let plugins = plugins(world)
                    .into_iter()
                    .filter(|plugin| asked(plugin, &ask.filters))
                    .collect();
                Ok(introspection::PluginsResponse { plugins })
            })
        }
        ("introspection.v1.Introspection", "Server") => with(request, |(): ()| {
            Ok(introspection::ServerResponse {
                uuid: "00000000-0000-4000-a000-000000000000".to_owned(),
                pid: std::process::id().into(),
                pidns: 0,
                deprecations: vec![],
            })
        }),

        ("images.v1.Images", "List") => with(request, |_: images::ListImagesRequest| {
            Ok(images::ListImagesResponse {
                images: world.images.iter().flat_map(records).collect(),
            })
        }),
        ("images.v1.Images", "Get") => with(request, |ask: images::GetImageRequest| {
            let found = world
                .images
                .iter()
                .flat_map(records)
                .find(|image| image.name == ask.name);
            let image = found.ok_or_else(|| no_image(&ask.name))?;
            Ok(images::GetImageResponse { image: Some(image) })
        }),
        ("images.v1.Images", "Delete") => with(request, |ask: images::DeleteImageRequest| {
            if world.remove_name(&ask.name) {
                Ok(())
            } else {
                Err(no_image(&ask.name))
            }
        }),
        ("images.v1.Images", "Create") => with(request, |ask: images::CreateImageRequest| {
            let image = ask.image.unwrap_or_default();
            let digest = image.target.as_ref().map_or("", |target| &target.digest);
            let Some(known) = world.images.iter_mut().find(|known| known.digest == digest) else {
                return Err(Status::not_found(format!(
                    "content digest {digest}: not found"
                )));
            };
            if known.names().any(|name| *name == image.name) {
                return Err(Status::already_exists(format!(
                    "image {:?}: already exists",
                    image.name
                )));
            }
            known.image.repo_tags.push(image.name.clone());
            Ok(images::CreateImageResponse { image: Some(image) })
        }),

        ("containers.v1.Containers", "List") => {
            with(request, |_: containers::ListContainersRequest| {
                Ok(containers::ListContainersResponse {
                    containers: container_records(world),
                })
            })
        }
        ("containers.v1.Containers", "Get") => {
            with(request, |ask: containers::GetContainerRequest| {
                let found = container_records(world)
                    .into_iter()
                    .find(|container| container.id == ask.id);
                let container = found.ok_or_else(|| missing("container", &ask.id))?;
                Ok(containers::GetContainerResponse {
                    container: Some(container),
                })
            })
        }
        ("tasks.v1.Tasks", "List") => with(request, |_: tasks::ListTasksRequest| {
            Ok(tasks::ListTasksResponse {
                tasks: processes(world),
            })
        }),
        ("tasks.v1.Tasks", "Get") => with(request, |ask: tasks::GetRequest| {
            Ok(tasks::GetResponse {
                process: Some(process(world, &ask.container_id)?),
            })
        }),
        ("tasks.v1.Tasks", "ListPids") => with(request, |ask: tasks::ListPidsRequest| {
            let pid = process(world, &ask.container_id)?.pid;
            Ok(tasks::ListPidsResponse {
                processes: vec![task::ProcessInfo { pid, info: None }],
            })
        }),

        ("content.v1.Content", "List") => with(request, |_: content::ListContentRequest| {
            Ok(content::ListContentResponse {
                info: world.images.iter().map(blob).collect(),
            })
        }),
        ("content.v1.Content", "Info") => with(request, |ask: content::InfoRequest| {
            let found = world
                .images
                .iter()
                .map(blob)
                .find(|info| info.digest == ask.digest);
            let info = found
                .ok_or_else(|| Status::not_found(format!("content {}: not found", ask.digest)))?;
            Ok(content::InfoResponse { info: Some(info) })
        }),
        ("content.v1.Content", "ListStatuses") => {
            with(request, |_: content::ListStatusesRequest| {
                Ok(content::ListStatusesResponse {
                    statuses: world.ingests.clone(),
                })
            })
        }
        ("content.v1.Content", "Status") => with(request, |ask: content::StatusRequest| {
            let found = world
                .ingests
                .iter()
                .find(|ingest| ingest.r#ref == ask.r#ref)
                .cloned();
            let status = found.ok_or_else(|| missing("ingest", &ask.r#ref))?;
            Ok(content::StatusResponse {
                status: Some(status),
            })
        }),
        ("content.v1.Content", "Read") => with(request, |ask: content::ReadContentRequest| {
            Err::<content::ReadContentResponse, _>(Status::not_found(format!(
                "content {}: not found",
                ask.digest
            )))
        }),
        _ => return None,
    })
}

/// The plugins that matter for CRI, one that skipped itself, and the state of CRI's own.
fn plugins(world: &World) -> Vec<introspection::Plugin> {
    let plugin = |kind: &str, id: &str, error: Option<&str>| introspection::Plugin {
        r#type: format!("io.containerd.{kind}"),
        id: id.to_owned(),
        init_err: error.map(|message| rpc::Status {
            code: 2,
            message: message.to_owned(),
            details: vec![],
        }),
        ..Default::default()
    };
    let mut all = vec![
        plugin("content.v1", "content", None),
        plugin("snapshotter.v1", "overlayfs", None),
        // A plugin that does not suit the machine is listed with an error too: no fault.
        plugin(
            "snapshotter.v1",
            "zfs",
            Some(
                "path /var/lib/containerd/io.containerd.snapshotter.v1.zfs must be a zfs filesystem to be used with the zfs snapshotter: skip plugin",
            ),
        ),
        plugin("metadata.v1", "bolt", None),
        plugin("service.v1", "images-service", None),
        plugin("grpc.v1", "images", None),
        plugin("grpc.v1", "introspection", None),
    ];
    let split = world.runtime.release() >= (2, 0);
    match &world.cri {
        CriPlugin::Loaded => {
            all.push(plugin("grpc.v1", "cri", None));
            if split {
                all.push(plugin("cri.v1", "images", None));
                all.push(plugin("cri.v1", "runtime", None));
                all.push(plugin("podsandbox.controller.v1", "podsandbox", None));
            }
        }
        CriPlugin::Disabled if split => all.push(plugin("cri.v1", "runtime", None)),
        CriPlugin::Disabled => {}
        CriPlugin::Failed(reason) if split => {
            all.push(plugin("cri.v1", "images", Some(reason)));
            all.push(plugin("cri.v1", "runtime", None));
            let dependent = format!("unable to load CRI image service plugin dependency: {reason}");
            all.push(plugin(
                "podsandbox.controller.v1",
                "podsandbox",
                Some(&dependent),
            ));
            all.push(plugin("grpc.v1", "cri", Some(&dependent)));
        }
        CriPlugin::Failed(reason) => all.push(plugin("grpc.v1", "cri", Some(reason))),
    }
    all
}

/// Whether one of the filters (`type==io.containerd.grpc.v1,id==cri`) lets the plugin through; none lets all.
fn asked(plugin: &introspection::Plugin, filters: &[String]) -> bool {
    let holds = |condition: &str| {
        let (field, value) = condition.split_once("==").unwrap_or((condition, ""));
        let value = value.trim_matches('"');
        match field {
            "type" => plugin.r#type == value,
            "id" => plugin.id == value,
            _ => false,
        }
    };
    filters.is_empty() || filters.iter().any(|filter| filter.split(',').all(holds))
}

/// An image under each of its names.
fn records(image: &Image) -> Vec<images::Image> {
    let target = Descriptor {
        media_type: MANIFEST.to_owned(),
        digest: image.digest.clone(),
        size: 1024,
        ..Default::default()
    };
    let record = |name: &String| images::Image {
        name: name.clone(),
        labels: [("io.cri-containerd.image".to_owned(), "managed".to_owned())].into(),
        target: Some(target.clone()),
        ..Default::default()
    };
    image.names().map(record).collect()
}

fn blob(image: &Image) -> content::Info {
    content::Info {
        digest: image.digest.clone(),
        size: 1024,
        ..Default::default()
    }
}

fn container_records(world: &World) -> Vec<containers::Container> {
    let runtime = || {
        Some(containers::container::Runtime {
            name: "io.containerd.runc.v2".to_owned(),
            options: None,
        })
    };
    let kind = |kind: &str| ("io.cri-containerd.kind".to_owned(), kind.to_owned());
    let pods = world.pods.iter().map(|pod| containers::Container {
        id: pod.status.id.clone(),
        labels: pod
            .status
            .labels
            .clone()
            .into_iter()
            .chain([kind("sandbox")])
            .collect(),
        runtime: runtime(),
        snapshotter: "overlayfs".to_owned(),
        snapshot_key: pod.status.id.clone(),
        created_at: Some(timestamp(pod.status.created_at)),
        ..Default::default()
    });
    let rest = world
        .containers
        .iter()
        .map(|container| containers::Container {
            id: container.status.id.clone(),
            labels: container
                .status
                .labels
                .clone()
                .into_iter()
                .chain([kind("container")])
                .collect(),
            image: container.status.image.clone().unwrap_or_default().image,
            runtime: runtime(),
            snapshotter: "overlayfs".to_owned(),
            snapshot_key: container.status.id.clone(),
            created_at: Some(timestamp(container.status.created_at)),
            ..Default::default()
        });
    pods.chain(rest).collect()
}

fn processes(world: &World) -> Vec<task::Process> {
    let pods = world.pods.iter().map(|pod| (&pod.status.id, pod.pid));
    let containers = world
        .containers
        .iter()
        .map(|container| (&container.status.id, container.pid));
    let running = pods.chain(containers).filter(|(_, pid)| *pid != 0);
    running
        .map(|(id, pid)| task::Process {
            container_id: id.clone(),
            id: id.clone(),
            pid,
            status: task::Status::Running.into(),
            ..Default::default()
        })
        .collect()
}

fn process(world: &World, id: &str) -> Result<task::Process, Status> {
    processes(world)
        .into_iter()
        .find(|process| process.container_id == id)
        .ok_or_else(|| missing("task", id))
}

fn no_image(name: &str) -> Status {
    Status::not_found(format!("image {name:?}: not found"))
}

fn missing(what: &str, id: &str) -> Status {
    Status::not_found(format!("{what} {id:?}: not found"))
}

fn timestamp(at: Nanos) -> Timestamp {
    Timestamp {
        seconds: at.div_euclid(1_000_000_000),
        nanos: i32::try_from(at.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}
