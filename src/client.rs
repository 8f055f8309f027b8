//! The client asks: one method per RPC, named after the RPC; deadline, tracing and the older API applied once.
//!
//! `runtime.v1` and `runtime.v1alpha2` have the same messages under another service path (Kubernetes 1.20 to 1.25
//! served both), so one client speaks either. It starts with v1 and, where the runtime does not know that service,
//! falls back and remembers.

pub mod containerd;
mod error;
mod reply;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use tonic::client::Grpc;

use crate::cri;
use crate::endpoint::Endpoint;
use crate::endpoint::connect::{self, Connection, ORIGIN};

pub use error::{Error, Kind};
pub use reply::Reply;

/// A version of the CRI API.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `runtime.v1alpha2`: dockershim, containerd up to 1.5, CRI-O up to 1.22.
    V1alpha2,
    /// `runtime.v1`: everything newer.
    V1,
}

impl Api {
    /// The name as the runtime reports it.
    pub fn name(self) -> &'static str {
        match self {
            Api::V1alpha2 => "v1alpha2",
            Api::V1 => "v1",
        }
    }
}

/// How a client waits and which APIs it may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The deadline of connecting and of every call that has none of its own.
    pub deadline: Duration,
    /// Whether `v1alpha2` is spoken with a runtime that has nothing newer. Commands that change a node do not.
    pub fall_back: bool,
}

/// A service and the connection it is reached by.
#[derive(Debug, Clone)]
struct Service {
    endpoint: Endpoint,
    connection: Connection,
}

/// A client of one runtime: its runtime service and its image service, which nearly always share a connection.
#[derive(Debug)]
pub struct Client {
    runtime: Service,
    image: Service,
    options: Options,
    older: AtomicBool,
}

impl Client {
    /// Connects to a runtime, and to another socket for images where `image` names one.
    ///
    /// # Errors
    /// [`Error::Connect`]. Nothing is asked yet.
    pub async fn connect(
        endpoint: &Endpoint,
        image: Option<&Endpoint>,
        options: Options,
    ) -> Result<Self, Error> {
        let open =
            async |endpoint: &Endpoint| match connect::connect(endpoint, options.deadline).await {
                Ok(connection) => Ok(Service {
                    endpoint: endpoint.clone(),
                    connection,
                }),
                Err(source) => Err(Error::Connect {
                    endpoint: endpoint.clone(),
                    source,
                }),
            };
        let runtime = open(endpoint).await?;
        let image = match image {
            Some(image) if image != endpoint => open(image).await?,
            _ => runtime.clone(),
        };
        Ok(Self {
            runtime,
            image,
            options,
            older: AtomicBool::new(false),
        })
    }

    /// A client over a connection that is already there, speaking `api`.
    pub fn over(endpoint: Endpoint, connection: Connection, api: Api, options: Options) -> Self {
        let service = Service {
            endpoint,
            connection,
        };
        Self {
            image: service.clone(),
            runtime: service,
            options,
            older: AtomicBool::new(api == Api::V1alpha2),
        }
    }

    /// The same client with its image service at another socket.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub async fn with_image_endpoint(mut self, image: &Endpoint) -> Result<Self, Error> {
        match connect::connect(image, self.options.deadline).await {
            Ok(connection) => {
                self.image = Service {
                    endpoint: image.clone(),
                    connection,
                };
                Ok(self)
            }
            Err(source) => Err(Error::Connect {
                endpoint: image.clone(),
                source,
            }),
        }
    }

    /// The endpoint of the runtime service.
    pub fn endpoint(&self) -> &Endpoint {
        &self.runtime.endpoint
    }

    /// The endpoint of the image service.
    pub fn image_endpoint(&self) -> &Endpoint {
        &self.image.endpoint
    }

    /// The API spoken: the newer one until the runtime said that it does not know it.
    pub fn api(&self) -> Api {
        if self.older.load(Ordering::Relaxed) {
            Api::V1alpha2
        } else {
            Api::V1
        }
    }

    /// How this client waits.
    pub fn options(&self) -> Options {
        self.options
    }

    /// containerd's own services on the same socket. They answer on containerd only.
    pub fn containerd(&self) -> containerd::Containerd {
        containerd::Containerd::new(
            self.image.endpoint.clone(),
            self.image.connection.clone(),
            self.options.deadline,
        )
    }

    async fn unary<Q, A>(
        &self,
        rpc: &Rpc,
        request: Q,
        deadline: Option<Duration>,
    ) -> Result<Reply<A>, Error>
    where
        Q: prost::Message + Clone + 'static,
    {
        let api = self.api();
        if api == Api::V1 && self.options.fall_back {
            match self.call(rpc, Api::V1, request.clone(), deadline).await {
                Err(Error::Status {
                    kind: Kind::UnknownService,
                    message,
                    endpoint,
                    ..
                }) => {
                    let answer = self.call(rpc, Api::V1alpha2, request, deadline).await;
                    if let Err(Error::Status {
                        kind: Kind::UnknownService,
                        ..
                    }) = answer
                    {
                        // Neither is there: the first refusal is the one people search for.
                        return Err(Error::Status {
                            rpc: rpc.name,
                            endpoint,
                            kind: Kind::UnknownService,
                            message,
                        });
                    }
                    self.older.store(true, Ordering::Relaxed);
                    answer
                }
                other => other,
            }
        } else {
            self.call(rpc, api, request, deadline).await
        }
    }

    async fn call<Q, A>(
        &self,
        rpc: &Rpc,
        api: Api,
        request: Q,
        deadline: Option<Duration>,
    ) -> Result<Reply<A>, Error>
    where
        Q: prost::Message + 'static,
    {
        let service = match rpc.service {
            "RuntimeService" => &self.runtime,
            _ => &self.image,
        };
        let path = rpc.path(api);
        let codec = reply::RawCodec::<Q>::default();
        // A list has no largest size: containerd itself refuses above 16 MiB, CRI-O above 80 MiB.
        let mut grpc = Grpc::with_origin(service.connection.clone(), Uri::from_static(ORIGIN))
            .max_decoding_message_size(usize::MAX);
        let began = std::time::Instant::now();
        let call = async {
            grpc.ready()
                .await
                .map_err(|error| tonic::Status::from_error(Box::new(error)))?;
            grpc.unary(tonic::Request::new(request), path, codec).await
        };
        let outcome = match deadline {
            Some(deadline) => match tokio::time::timeout(deadline, call).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let endpoint = service.endpoint.clone();
                    tracing::debug!(rpc = rpc.name, %endpoint, ?deadline, "no answer");
                    return Err(Error::Deadline {
                        rpc: rpc.name,
                        endpoint,
                        deadline,
                    });
                }
            },
            None => call.await,
        };
        match outcome {
            Ok(response) => {
                let bytes = response.into_inner();
                tracing::debug!(rpc = rpc.name, api = api.name(), bytes = bytes.len(), took = ?began.elapsed(), "answer");
                Ok(Reply::new(bytes))
            }
            Err(status) => {
                tracing::debug!(rpc = rpc.name, api = api.name(), code = ?status.code(), took = ?began.elapsed(), "refused");
                Err(Error::from_status(rpc.name, &service.endpoint, &status))
            }
        }
    }

    /// Decodes an answer, naming who gave it when that fails.
    ///
    /// # Errors
    /// [`Error::Decode`].
    pub fn decode<T: prost::Message + Default>(
        &self,
        rpc: &'static str,
        reply: &Reply<T>,
    ) -> Result<T, Error> {
        reply.decode().map_err(|source| Error::Decode {
            rpc,
            endpoint: self.runtime.endpoint.clone(),
            source,
        })
    }
}

/// The name of an RPC and the service that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rpc {
    /// `RuntimeService` or `ImageService`.
    pub service: &'static str,
    /// The name in the proto.
    pub name: &'static str,
}

impl Rpc {
    fn path(&self, api: Api) -> PathAndQuery {
        let path = format!("/runtime.{}.{}/{}", api.name(), self.service, self.name);
        // Names of services and RPCs are letters and digits.
        PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static("/"))
    }
}

/// Declares the unary RPCs: a method named after each, and the table of all.
macro_rules! rpcs {
    ($($service:ident { $($method:ident: $name:ident($request:ident) -> $reply:ident;)* })*) => {
        impl Client {$($(
            #[doc = concat!("`", stringify!($service), ".", stringify!($name), "`.")]
            ///
            /// # Errors
            /// See [`Error`]; the deadline is the client's own.
            pub async fn $method(&self, request: cri::$request) -> Result<Reply<cri::$reply>, Error> {
                const RPC: Rpc = Rpc { service: stringify!($service), name: stringify!($name) };
                self.unary(&RPC, request, Some(self.options.deadline)).await
            }
        )*)*}

        /// Every unary RPC that the client has a method for.
        pub const UNARY: &[Rpc] = &[$($(
            Rpc { service: stringify!($service), name: stringify!($name) },
        )*)*];
    };
}

rpcs! {
    RuntimeService {
        version: Version(VersionRequest) -> VersionResponse;
        stop_pod_sandbox: StopPodSandbox(StopPodSandboxRequest) -> StopPodSandboxResponse;
        remove_pod_sandbox: RemovePodSandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse;
        pod_sandbox_status: PodSandboxStatus(PodSandboxStatusRequest) -> PodSandboxStatusResponse;
        list_pod_sandbox: ListPodSandbox(ListPodSandboxRequest) -> ListPodSandboxResponse;
        create_container: CreateContainer(CreateContainerRequest) -> CreateContainerResponse;
        start_container: StartContainer(StartContainerRequest) -> StartContainerResponse;
        remove_container: RemoveContainer(RemoveContainerRequest) -> RemoveContainerResponse;
        list_containers: ListContainers(ListContainersRequest) -> ListContainersResponse;
        container_status: ContainerStatus(ContainerStatusRequest) -> ContainerStatusResponse;
        update_container_resources: UpdateContainerResources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse;
        reopen_container_log: ReopenContainerLog(ReopenContainerLogRequest) -> ReopenContainerLogResponse;
        exec: Exec(ExecRequest) -> ExecResponse;
        attach: Attach(AttachRequest) -> AttachResponse;
        port_forward: PortForward(PortForwardRequest) -> PortForwardResponse;
        container_stats: ContainerStats(ContainerStatsRequest) -> ContainerStatsResponse;
        list_container_stats: ListContainerStats(ListContainerStatsRequest) -> ListContainerStatsResponse;
        pod_sandbox_stats: PodSandboxStats(PodSandboxStatsRequest) -> PodSandboxStatsResponse;
        list_pod_sandbox_stats: ListPodSandboxStats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
        update_runtime_config: UpdateRuntimeConfig(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse;
        status: Status(StatusRequest) -> StatusResponse;
        checkpoint_pod: CheckpointPod(CheckpointPodRequest) -> CheckpointPodResponse;
        restore_pod: RestorePod(RestorePodRequest) -> RestorePodResponse;
        list_metric_descriptors: ListMetricDescriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse;
        list_pod_sandbox_metrics: ListPodSandboxMetrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse;
        runtime_config: RuntimeConfig(RuntimeConfigRequest) -> RuntimeConfigResponse;
        update_pod_sandbox_resources: UpdatePodSandboxResources(UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse;
    }
    ImageService {
        list_images: ListImages(ListImagesRequest) -> ListImagesResponse;
        image_status: ImageStatus(ImageStatusRequest) -> ImageStatusResponse;
        remove_image: RemoveImage(RemoveImageRequest) -> RemoveImageResponse;
        image_fs_info: ImageFsInfo(ImageFsInfoRequest) -> ImageFsInfoResponse;
    }
}

/// The RPCs whose work can take long, so that the caller says how long: `None` waits for ever.
impl Client {
    /// `RuntimeService.RunPodSandbox`, which may pull the pause image and set up the network.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run_pod_sandbox(
        &self,
        request: cri::RunPodSandboxRequest,
        deadline: Option<Duration>,
    ) -> Result<Reply<cri::RunPodSandboxResponse>, Error> {
        self.unary(
            &Rpc {
                service: "RuntimeService",
                name: "RunPodSandbox",
            },
            request,
            deadline,
        )
        .await
    }

    /// `RuntimeService.StopContainer`, which waits for the container's own end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stop_container(
        &self,
        request: cri::StopContainerRequest,
        deadline: Option<Duration>,
    ) -> Result<Reply<cri::StopContainerResponse>, Error> {
        self.unary(
            &Rpc {
                service: "RuntimeService",
                name: "StopContainer",
            },
            request,
            deadline,
        )
        .await
    }

    /// `RuntimeService.ExecSync`, which lasts as long as the command.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec_sync(
        &self,
        request: cri::ExecSyncRequest,
        deadline: Option<Duration>,
    ) -> Result<Reply<cri::ExecSyncResponse>, Error> {
        self.unary(
            &Rpc {
                service: "RuntimeService",
                name: "ExecSync",
            },
            request,
            deadline,
        )
        .await
    }

    /// `RuntimeService.CheckpointContainer`, which writes the container's memory to disk.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn checkpoint_container(
        &self,
        request: cri::CheckpointContainerRequest,
        deadline: Option<Duration>,
    ) -> Result<Reply<cri::CheckpointContainerResponse>, Error> {
        self.unary(
            &Rpc {
                service: "RuntimeService",
                name: "CheckpointContainer",
            },
            request,
            deadline,
        )
        .await
    }

    /// `ImageService.PullImage`, which lasts as long as the download.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pull_image(
        &self,
        request: cri::PullImageRequest,
        deadline: Option<Duration>,
    ) -> Result<Reply<cri::PullImageResponse>, Error> {
        self.unary(
            &Rpc {
                service: "ImageService",
                name: "PullImage",
            },
            request,
            deadline,
        )
        .await
    }
}
