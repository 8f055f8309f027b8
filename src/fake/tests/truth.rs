//! What the node answers when nothing is wrong.

use super::*;
use crate::cri::containerd::services::images::v1::images_client::ImagesClient;
use crate::cri::containerd::services::introspection::v1::introspection_client::IntrospectionClient;
use crate::fake::world::{Pod, Remote};

#[tokio::test]
async fn the_demo_answers_what_every_runtime_answers() {
    in_time(async {
        let node = demo().unwrap();
        let mut runtime = runtime(&node).await;
        let version = runtime
            .version(cri::VersionRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (&*version.runtime_name, &*version.runtime_api_version),
            ("containerd", "v1")
        );
        let status = runtime
            .status(cri::StatusRequest { verbose: true })
            .await
            .unwrap()
            .into_inner();
        for (key, value) in &status.info {
            assert!(
                serde_json::from_str::<serde_json::Value>(value).is_ok(),
                "{key}: {value}"
            );
        }
        let containers = runtime
            .list_containers(cri::ListContainersRequest::default())
            .await
            .unwrap()
            .into_inner();
        for container in &containers.containers {
            let request = cri::ContainerStatusRequest {
                container_id: container.id.clone(),
                verbose: true,
            };
            let status = runtime
                .container_status(request)
                .await
                .unwrap()
                .into_inner();
            assert_eq!(status.status.unwrap().labels, container.labels);
            assert!(
                !container.image_ref.is_empty(),
                "{container:?} has no image"
            );
        }
        assert_eq!(node.rpcs()[..3], ["Version", "Status", "ListContainers"]);
        assert_eq!(node.unexpected().len(), 0);
        let socket = node.socket().to_owned();
        drop(node);
        assert!(!socket.exists());
    })
    .await;
}

#[tokio::test]
async fn lists_are_filtered_by_the_server() {
    in_time(async {
        let node = demo().unwrap();
        let mut runtime = runtime(&node).await;
        let mut count = async |filter: cri::ContainerFilter| {
            let request = cri::ListContainersRequest {
                filter: Some(filter),
            };
            runtime
                .list_containers(request)
                .await
                .unwrap()
                .into_inner()
                .containers
                .len()
        };
        let all = count(cri::ContainerFilter::default()).await;
        let state = |state: cri::ContainerState| {
            Some(cri::ContainerStateValue {
                state: state.into(),
            })
        };
        let running = cri::ContainerFilter {
            state: state(cri::ContainerState::ContainerRunning),
            ..Default::default()
        };
        let exited = cri::ContainerFilter {
            state: state(cri::ContainerState::ContainerExited),
            ..Default::default()
        };
        assert_eq!(count(running).await + count(exited).await, all);

        let checkout = node.world(|world| world.containers.last().unwrap().clone());
        let by_id = |id: &str| cri::ContainerFilter {
            id: id.to_owned(),
            ..Default::default()
        };
        assert_eq!(count(by_id(&checkout.status.id)).await, 1);
        assert_eq!(
            count(by_id(&checkout.status.id[..12])).await,
            1,
            "a unique beginning"
        );
        assert_eq!(
            count(by_id("feedfacefeedface")).await,
            0,
            "unknown is empty, not an error"
        );
        let label = [(
            "io.kubernetes.container.name".to_owned(),
            "nginx".to_owned(),
        )]
        .into();
        assert_eq!(
            count(cri::ContainerFilter {
                label_selector: label,
                ..Default::default()
            })
            .await,
            2
        );
    })
    .await;
}

#[tokio::test]
async fn the_life_of_a_pod_is_visible() {
    in_time(async {
        let node = Node::builder()
            .runtime("containerd", "2.1.4")
            .start()
            .unwrap();
        let (mut runtime, mut images) = (runtime(&node).await, images(&node).await);
        let mut events = runtime
            .get_container_events(cri::GetEventsRequest {})
            .await
            .unwrap()
            .into_inner();

        let metadata = cri::PodSandboxMetadata {
            name: "a".into(),
            uid: "u".into(),
            namespace: "n".into(),
            attempt: 0,
        };
        let config = cri::PodSandboxConfig {
            metadata: Some(metadata),
            ..Default::default()
        };
        let run = cri::RunPodSandboxRequest {
            config: Some(config.clone()),
            ..Default::default()
        };
        let pod = runtime
            .run_pod_sandbox(run.clone())
            .await
            .unwrap()
            .into_inner()
            .pod_sandbox_id;
        let again = runtime.run_pod_sandbox(run).await.unwrap_err();
        assert!(again.message().contains("is reserved for"), "{again}");

        let container = cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: "c".into(),
                attempt: 0,
            }),
            image: spec("docker.io/library/nginx:1"),
            ..Default::default()
        };
        let create = cri::CreateContainerRequest {
            pod_sandbox_id: pod.clone(),
            config: Some(container),
            sandbox_config: Some(config),
        };
        let absent = runtime.create_container(create.clone()).await.unwrap_err();
        assert_eq!(absent.code(), Code::NotFound, "the image is not there yet");
        let pull = cri::PullImageRequest {
            image: spec("docker.io/library/nginx:1"),
            ..Default::default()
        };
        let image = images
            .pull_image(pull)
            .await
            .unwrap()
            .into_inner()
            .image_ref;
        let id = runtime
            .create_container(create)
            .await
            .unwrap()
            .into_inner()
            .container_id;
        runtime
            .start_container(cri::StartContainerRequest {
                container_id: id.clone(),
            })
            .await
            .unwrap();
        let twice = runtime
            .start_container(cri::StartContainerRequest {
                container_id: id.clone(),
            })
            .await
            .unwrap_err();
        assert!(twice.message().contains("CONTAINER_RUNNING"), "{twice}");

        runtime
            .stop_pod_sandbox(cri::StopPodSandboxRequest {
                pod_sandbox_id: pod.clone(),
            })
            .await
            .unwrap();
        let ask = cri::ContainerStatusRequest {
            container_id: id.clone(),
            verbose: false,
        };
        let status = runtime
            .container_status(ask.clone())
            .await
            .unwrap()
            .into_inner()
            .status
            .unwrap();
        assert_eq!(
            (status.state(), status.exit_code),
            (cri::ContainerState::ContainerExited, 137)
        );
        assert_eq!(status.image_id, image);
        runtime
            .remove_pod_sandbox(cri::RemovePodSandboxRequest {
                pod_sandbox_id: pod.clone(),
            })
            .await
            .unwrap();
        assert_eq!(
            runtime.container_status(ask).await.unwrap_err().code(),
            Code::NotFound
        );

        use cri::ContainerEventType::*;
        let expected = [
            (&pod, ContainerCreatedEvent),
            (&pod, ContainerStartedEvent),
            (&id, ContainerCreatedEvent),
            (&id, ContainerStartedEvent),
            (&id, ContainerStoppedEvent),
            (&pod, ContainerStoppedEvent),
            (&id, ContainerDeletedEvent),
            (&pod, ContainerDeletedEvent),
        ];
        for (subject, kind) in expected {
            let event = events.message().await.unwrap().unwrap();
            assert_eq!(
                (&event.container_id, event.container_event_type()),
                (subject, kind)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn images_are_found_by_any_of_their_names() {
    in_time(async {
        let node = demo().unwrap();
        let mut client = images(&node).await;
        let nginx = node.world(|world| {
            world
                .image("docker.io/library/nginx:1.27")
                .unwrap()
                .image
                .clone()
        });
        let bare = nginx.id.trim_start_matches("sha256:");
        for name in nginx
            .repo_tags
            .iter()
            .chain(&nginx.repo_digests)
            .map(String::as_str)
            .chain([&*nginx.id, bare, &bare[..9]])
        {
            let request = cri::ImageStatusRequest {
                image: spec(name),
                verbose: true,
            };
            let answer = client.image_status(request).await.unwrap().into_inner();
            assert_eq!(
                answer.image.map(|image| image.id),
                Some(nginx.id.clone()),
                "{name}"
            );
            assert!(answer.info.contains_key("info"));
        }
        let absent = cri::ImageStatusRequest {
            image: spec("absent.example.com/no/such:1"),
            verbose: false,
        };
        assert_eq!(
            client
                .image_status(absent)
                .await
                .unwrap()
                .into_inner()
                .image,
            None
        );

        // CRI takes all names at once; containerd's own service one.
        let mut native = ImagesClient::with_origin(wire(&node).await, origin());
        let name = nginx.repo_tags[1].clone();
        let delete = containerd::services::images::v1::DeleteImageRequest {
            name,
            ..Default::default()
        };
        let refused = native.delete(delete.clone()).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::FailedPrecondition,
            "without a namespace"
        );
        let mut request = tonic::Request::new(delete);
        request
            .metadata_mut()
            .insert("containerd-namespace", "k8s.io".parse().unwrap());
        native.delete(request).await.unwrap();
        let left = node.world(|world| world.image(&nginx.id).unwrap().image.repo_tags.clone());
        assert_eq!(left, ["docker.io/library/nginx:1.27"]);
        client
            .remove_image(cri::RemoveImageRequest {
                image: spec("docker.io/library/nginx:1.27"),
            })
            .await
            .unwrap();
        assert!(node.world(|world| world.image(&nginx.id).is_none()));
    })
    .await;
}

#[tokio::test]
async fn a_pull_can_be_refused() {
    in_time(async {
        let mut world = World::empty("containerd", "1.6.20~ds1");
        world.remote = Remote::Only([String::from("reg.example.com/a:1")].into());
        let node = Node::builder().world(world).start().unwrap();
        let mut client = images(&node).await;
        let pull = |image| cri::PullImageRequest {
            image: spec(image),
            ..Default::default()
        };
        client
            .pull_image(pull("reg.example.com/a:1"))
            .await
            .unwrap();
        let refused = client
            .pull_image(pull("reg.example.com/b:1"))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    })
    .await;
}

#[tokio::test]
async fn an_old_runtime_speaks_v1alpha2_only() {
    in_time(async {
        let node = Node::builder()
            .runtime("containerd", "1.4.13~ds1")
            .start()
            .unwrap();
        let refused = runtime(&node)
            .await
            .version(cri::VersionRequest::default())
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
        assert_eq!(
            refused.message(),
            "unknown service runtime.v1.RuntimeService"
        );

        let mut grpc = tonic::client::Grpc::with_origin(wire(&node).await, origin());
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/runtime.v1alpha2.RuntimeService/Version");
        let codec = tonic_prost::ProstCodec::<cri::VersionRequest, cri::VersionResponse>::default();
        let answer = grpc
            .unary(
                tonic::Request::new(cri::VersionRequest::default()),
                path,
                codec,
            )
            .await
            .unwrap();
        assert_eq!(answer.into_inner().runtime_api_version, "v1alpha2");
        assert_eq!(node.unexpected().len(), 0);
        assert_eq!(node.calls()[1].service(), "runtime.v1alpha2.RuntimeService");
    })
    .await;
}

#[tokio::test]
async fn introspection_tells_why_cri_does_not_answer() {
    in_time(async {
        let reason =
            "invalid plugin config: `mirrors` cannot be set when `config_path` is provided";
        for version in ["1.6.20", "2.1.4"] {
            let builder = Node::builder()
                .runtime("containerd", version)
                .cri(CriPlugin::Failed(reason.to_owned()));
            let node = builder.start().unwrap();
            let refused = runtime(&node)
                .await
                .version(cri::VersionRequest::default())
                .await
                .unwrap_err();
            assert_eq!(
                refused.message(),
                "unknown service runtime.v1.RuntimeService"
            );
            let mut client = IntrospectionClient::with_origin(wire(&node).await, origin());
            let request = containerd::services::introspection::v1::PluginsRequest::default();
            let plugins = client.plugins(request).await.unwrap().into_inner().plugins;
            let told = plugins
                .iter()
                .filter_map(|plugin| plugin.init_err.as_ref())
                .any(|error| error.message == reason);
            assert!(told, "{version}: {plugins:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn streamed_lists_come_in_batches() {
    in_time(async {
        let node = Node::builder()
            .world(World::generated(6_000))
            .streaming_lists()
            .start()
            .unwrap();
        let mut runtime = runtime(&node).await;
        let request = cri::StreamContainersRequest::default();
        let mut stream = runtime
            .stream_containers(request)
            .await
            .unwrap()
            .into_inner();
        let mut sizes = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            sizes.push(message.containers.len());
        }
        assert_eq!(sizes, [5000, 1000]);
    })
    .await;
}

#[tokio::test]
async fn old_runtimes_do_not_stream_lists() {
    in_time(async {
        let node = demo().unwrap();
        let request = cri::StreamContainersRequest::default();
        let refused = runtime(&node)
            .await
            .stream_containers(request)
            .await
            .unwrap_err();
        assert_eq!(
            refused.message(),
            "unknown method StreamContainers for service runtime.v1.RuntimeService"
        );
    })
    .await;
}

#[tokio::test]
async fn ready_lists_follow_the_world() {
    in_time(async {
        let node = Node::builder().start().unwrap();
        let mut runtime = runtime(&node).await;
        let mut count = async || {
            let answer = runtime
                .list_pod_sandbox(cri::ListPodSandboxRequest::default())
                .await
                .unwrap();
            answer.into_inner().items.len()
        };
        assert_eq!(count().await, 0);
        let id = node.world(|world| world.add_pod(Pod::new("n", "a")));
        assert_eq!(count().await, 1);
        self::runtime(&node)
            .await
            .remove_pod_sandbox(cri::RemovePodSandboxRequest { pod_sandbox_id: id })
            .await
            .unwrap();
        assert_eq!(count().await, 0);
    })
    .await;
}
