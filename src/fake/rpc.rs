//! CRI on the world: one line per RPC, from request bytes to answer.
//!
//! What a runtime of the world's kind and version does not serve is UNIMPLEMENTED in its own words.

use prost::Message;
use tokio::sync::broadcast;
use tonic::Status;

use super::world::World;
use crate::cri;

/// What an RPC answers.
pub(super) enum Reply {
    /// One message, or the messages of a stream that ends.
    Messages(Vec<bytes::Bytes>),
    /// Lifecycle events, until the client goes.
    Events(broadcast::Receiver<cri::ContainerEventResponse>),
}

/// How many elements containerd puts in one message of a streamed list.
pub(super) const BATCH: usize = 5000;

/// Answers `rpc` of `RuntimeService` or `ImageService`; `None` for a name that neither has.
pub(super) fn answer(
    world: &mut World,
    rpc: &str,
    request: &[u8],
) -> Option<Result<Reply, Status>> {
    Some(match rpc {
        "Version" => with(request, |_: cri::VersionRequest| Ok(version(world))),
        "Status" => with(request, |ask: cri::StatusRequest| {
            Ok(world.status(ask.verbose))
        }),
        "RuntimeConfig" => with(request, |_: cri::RuntimeConfigRequest| {
            Ok(runtime_config(world))
        }),
        "UpdateRuntimeConfig" => with(request, |_: cri::UpdateRuntimeConfigRequest| {
            Ok(cri::UpdateRuntimeConfigResponse {})
        }),

        "RunPodSandbox" => with(request, |ask: cri::RunPodSandboxRequest| {
            Ok(cri::RunPodSandboxResponse {
                pod_sandbox_id: world.run_pod(ask)?,
            })
        }),
        "StopPodSandbox" => with(request, |ask: cri::StopPodSandboxRequest| {
            world
                .stop_pod(&ask.pod_sandbox_id)
                .map(|()| cri::StopPodSandboxResponse {})
        }),
        "RemovePodSandbox" => with(request, |ask: cri::RemovePodSandboxRequest| {
            world
                .remove_pod(&ask.pod_sandbox_id)
                .map(|()| cri::RemovePodSandboxResponse {})
        }),
        "PodSandboxStatus" => with(request, |ask: cri::PodSandboxStatusRequest| {
            world.pod_status(&ask)
        }),
        "ListPodSandbox" => with(request, |ask: cri::ListPodSandboxRequest| {
            Ok(cri::ListPodSandboxResponse {
                items: world.list_pods(ask.filter.as_ref()),
            })
        }),
        "StreamPodSandboxes" => batches(
            request,
            |ask: cri::StreamPodSandboxesRequest| world.list_pods(ask.filter.as_ref()),
            |pod_sandboxes| cri::StreamPodSandboxesResponse { pod_sandboxes },
        ),
        "UpdatePodSandboxResources" => {
            with(request, |ask: cri::UpdatePodSandboxResourcesRequest| {
                world
                    .pod(&ask.pod_sandbox_id)
                    .map(|_| cri::UpdatePodSandboxResourcesResponse {})
            })
        }

        "CreateContainer" => with(request, |ask: cri::CreateContainerRequest| {
            Ok(cri::CreateContainerResponse {
                container_id: world.create_container(ask)?,
            })
        }),
        "StartContainer" => with(request, |ask: cri::StartContainerRequest| {
            world
                .start_container(&ask.container_id)
                .map(|()| cri::StartContainerResponse {})
        }),
        "StopContainer" => with(request, |ask: cri::StopContainerRequest| {
            world
                .stop_container(&ask.container_id, ask.timeout)
                .map(|()| cri::StopContainerResponse {})
        }),
        "RemoveContainer" => with(request, |ask: cri::RemoveContainerRequest| {
            world
                .remove_container(&ask.container_id)
                .map(|()| cri::RemoveContainerResponse {})
        }),
        "ContainerStatus" => with(request, |ask: cri::ContainerStatusRequest| {
            world.container_status(&ask)
        }),
        "ListContainers" => with(request, |ask: cri::ListContainersRequest| {
            Ok(cri::ListContainersResponse {
                containers: world.list_containers(ask.filter.as_ref()),
            })
        }),
        "StreamContainers" => batches(
            request,
            |ask: cri::StreamContainersRequest| world.list_containers(ask.filter.as_ref()),
            |containers| cri::StreamContainersResponse { containers },
        ),
        "UpdateContainerResources" => with(request, |ask: cri::UpdateContainerResourcesRequest| {
            world
                .update_resources(ask)
                .map(|()| cri::UpdateContainerResourcesResponse {})
        }),
        "ReopenContainerLog" => with(request, |ask: cri::ReopenContainerLogRequest| {
            world
                .running(&ask.container_id)
                .map(|_| cri::ReopenContainerLogResponse {})
        }),
        "CheckpointContainer" => with(request, |ask: cri::CheckpointContainerRequest| {
            world
                .running(&ask.container_id)
                .map(|_| cri::CheckpointContainerResponse {})
        }),
        "GetContainerEvents" => Ok(Reply::Events(world.events.subscribe())),

        "ExecSync" => with(request, |ask: cri::ExecSyncRequest| world.exec_sync(&ask)),
        "Exec" => with(request, |ask: cri::ExecRequest| {
            world.running(&ask.container_id)?;
            Ok(cri::ExecResponse {
                url: world.streaming_url("exec")?,
            })
        }),
        "Attach" => with(request, |ask: cri::AttachRequest| {
            world.running(&ask.container_id)?;
            Ok(cri::AttachResponse {
                url: world.streaming_url("attach")?,
            })
        }),
        "PortForward" => with(request, |ask: cri::PortForwardRequest| {
            world.pod(&ask.pod_sandbox_id)?;
            Ok(cri::PortForwardResponse {
                url: world.streaming_url("portforward")?,
            })
        }),

        "ContainerStats" => with(request, |ask: cri::ContainerStatsRequest| {
            Ok(cri::ContainerStatsResponse {
                stats: Some(world.container_stats(&ask.container_id)?),
            })
        }),
        "ListContainerStats" => with(request, |ask: cri::ListContainerStatsRequest| {
            Ok(cri::ListContainerStatsResponse {
                stats: world.list_container_stats(ask.filter.as_ref()),
            })
        }),
        "StreamContainerStats" => batches(
            request,
            |ask: cri::StreamContainerStatsRequest| world.list_container_stats(ask.filter.as_ref()),
            |container_stats| cri::StreamContainerStatsResponse { container_stats },
        ),
        "PodSandboxStats" => with(request, |ask: cri::PodSandboxStatsRequest| {
            Ok(cri::PodSandboxStatsResponse {
                stats: Some(world.pod_stats(&ask.pod_sandbox_id)?),
            })
        }),
        "ListPodSandboxStats" => with(request, |ask: cri::ListPodSandboxStatsRequest| {
            Ok(cri::ListPodSandboxStatsResponse {
                stats: world.list_pod_stats(ask.filter.as_ref()),
            })
        }),
        "StreamPodSandboxStats" => batches(
            request,
            |ask: cri::StreamPodSandboxStatsRequest| world.list_pod_stats(ask.filter.as_ref()),
            |pod_sandbox_stats| cri::StreamPodSandboxStatsResponse { pod_sandbox_stats },
        ),
        "ListMetricDescriptors" => with(request, |_: cri::ListMetricDescriptorsRequest| {
            Ok(cri::ListMetricDescriptorsResponse {
                descriptors: world.metric_descriptors(),
            })
        }),
        "ListPodSandboxMetrics" => with(request, |_: cri::ListPodSandboxMetricsRequest| {
            Ok(cri::ListPodSandboxMetricsResponse {
                pod_metrics: world.pod_metrics(),
            })
        }),
        "StreamPodSandboxMetrics" => batches(
            request,
            |_: cri::StreamPodSandboxMetricsRequest| world.pod_metrics(),
            |pod_sandbox_metrics| cri::StreamPodSandboxMetricsResponse {
                pod_sandbox_metrics,
            },
        ),

        "ListImages" => with(request, |ask: cri::ListImagesRequest| {
            Ok(cri::ListImagesResponse {
                images: world.list_images(ask.filter.as_ref()),
            })
        }),
        "StreamImages" => batches(
            request,
            |ask: cri::StreamImagesRequest| world.list_images(ask.filter.as_ref()),
            |images| cri::StreamImagesResponse { images },
        ),
        "ImageStatus" => with(request, |ask: cri::ImageStatusRequest| {
            Ok(world.image_status(&ask))
        }),
        "PullImage" => with(request, |ask: cri::PullImageRequest| {
            let reference = ask.image.unwrap_or_default().image;
            Ok(cri::PullImageResponse {
                image_ref: world.pull(&reference)?,
            })
        }),
        "RemoveImage" => with(request, |ask: cri::RemoveImageRequest| {
            world.remove_image(&ask.image.unwrap_or_default().image);
            Ok(cri::RemoveImageResponse {})
        }),
        "ImageFsInfo" => with(request, |_: cri::ImageFsInfoRequest| {
            Ok(world.image_fs_info())
        }),
        _ => return None,
    })
}

/// Decodes the request, asks, encodes the answer.
pub(super) fn with<Q, A>(
    request: &[u8],
    ask: impl FnOnce(Q) -> Result<A, Status>,
) -> Result<Reply, Status>
where
    Q: Message + Default,
    A: Message,
{
    let answer = ask(decode(request)?)?;
    Ok(Reply::Messages(vec![answer.encode_to_vec().into()]))
}

/// [`with`] for a streamed list; an empty one is one empty message, as containerd sends it.
fn batches<Q, E, A>(
    request: &[u8],
    list: impl FnOnce(Q) -> Vec<E>,
    message: impl Fn(Vec<E>) -> A,
) -> Result<Reply, Status>
where
    Q: Message + Default,
    A: Message,
{
    let mut elements = list(decode(request)?).into_iter().peekable();
    let mut messages = Vec::new();
    loop {
        messages.push(
            message(elements.by_ref().take(BATCH).collect())
                .encode_to_vec()
                .into(),
        );
        if elements.peek().is_none() {
            return Ok(Reply::Messages(messages));
        }
    }
}

fn decode<Q: Message + Default>(request: &[u8]) -> Result<Q, Status> {
    Q::decode(request)
        .map_err(|error| Status::internal(format!("grpc: error unmarshalling request: {error}")))
}

fn version(world: &World) -> cri::VersionResponse {
    cri::VersionResponse {
        version: "0.1.0".to_owned(),
        runtime_name: world.runtime.name.clone(),
        runtime_version: world.runtime.version.clone(),
        runtime_api_version: "v1".to_owned(),
    }
}

fn runtime_config(world: &World) -> cri::RuntimeConfigResponse {
    let linux = cri::LinuxRuntimeConfiguration {
        cgroup_driver: world.cgroup_driver.into(),
    };
    cri::RuntimeConfigResponse { linux: Some(linux) }
}
