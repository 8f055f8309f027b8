//! The client asks: one method per RPC, named after the RPC; deadline, tracing and the older API applied once.
//!
//! `runtime.v1` and `runtime.v1alpha2` have the same messages under another service path (Kubernetes 1.20 to 1.25
//! served both), so one client speaks either. It starts with v1 and, where the runtime does not know that service,
//! falls back and remembers.

mod call;
pub mod containerd;
mod elements;
mod error;
mod events;
mod reply;
mod retry;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::uri::PathAndQuery;

use crate::cri;
use crate::endpoint::Endpoint;
use crate::endpoint::connect::{self, Connection};
use crate::secret::cover::addresses;
use crate::spans::Trace;
use crate::wire;

pub use elements::Elements;
pub use error::{Error, Kind};
pub use reply::Reply;
pub use retry::Retry;
use retry::{Line, Listener};

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

/// The call that every runtime answers, whatever else it is doing.
const VERSION: Rpc = Rpc {
    service: "RuntimeService",
    name: "Version",
};

/// A service and the connection it is reached by.
#[derive(Debug, Clone)]
struct Service {
    endpoint: Endpoint,
    line: Line,
}

/// A client of one runtime: its runtime service and its image service, which nearly always share a connection.
#[derive(Debug)]
pub struct Client {
    runtime: Service,
    image: Service,
    options: Options,
    older: AtomicBool,
    retries: Option<Listener>,
    trace: Option<Arc<Trace>>,
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
                    line: Line::new(connection),
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
            retries: None,
            trace: None,
        })
    }

    /// A client over a connection that is already there, speaking `api`.
    pub fn over(endpoint: Endpoint, connection: Connection, api: Api, options: Options) -> Self {
        let service = Service {
            endpoint,
            line: Line::new(connection),
        };
        Self {
            image: service.clone(),
            runtime: service,
            options,
            older: AtomicBool::new(api == Api::V1alpha2),
            retries: None,
            trace: None,
        }
    }

    /// The same client, whose calls are part of a trace.
    #[must_use]
    pub fn traced(self, trace: Option<Arc<Trace>>) -> Self {
        Self { trace, ..self }
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
                    line: Line::new(connection),
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
            self.image.line.connection(),
            self.options.deadline,
        )
    }

    /// Makes a call: a framed request, and the bytes of the answer. There is one of it for all RPCs.
    async fn unary(
        &self,
        rpc: &Rpc,
        request: Bytes,
        deadline: Option<Duration>,
    ) -> Result<Bytes, Error> {
        let call = self.patiently(rpc, async || {
            self.negotiated(rpc, async |api| {
                self.call(rpc, api, request.clone(), deadline).await
            })
            .await
        });
        if deadline.is_some() {
            return call.await;
        }
        // What may take for ever is only begun by a runtime that answers at all, and only waited for as long as it does.
        self.answers(self.options.deadline).await?;
        tokio::select! {
            biased;
            answer = call => answer,
            error = self.falls_silent() => Err(error),
        }
    }

    /// Waits until the runtime does not answer any more. A busy one may well be late: `Version` gets ten times the usual
    /// time, and a second chance.
    async fn falls_silent(&self) -> Error {
        let pulse = self.options.deadline * 10;
        loop {
            tokio::time::sleep(pulse).await;
            if self.answers(pulse).await.is_ok() {
                continue;
            }
            // Whatever else is wrong, the call itself finds out.
            if let Err(error @ Error::Deadline { .. }) = self.answers(pulse).await {
                return error;
            }
        }
    }

    /// Makes a call in the API that the runtime speaks, which the first call finds out.
    async fn negotiated<T>(
        &self,
        rpc: &Rpc,
        call: impl AsyncFn(Api) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let api = self.api();
        if api == Api::V1alpha2 && !self.options.fall_back {
            return Err(Error::OnlyOlder {
                rpc: rpc.name,
                endpoint: self.of(rpc).endpoint.clone(),
            });
        }
        let refused = match call(api).await {
            Err(error) if api == Api::V1 && error.kind() == Some(Kind::UnknownService) => error,
            other => return other,
        };
        if !self.options.fall_back {
            return Err(if self.serves_older().await {
                Error::OnlyOlder {
                    rpc: rpc.name,
                    endpoint: self.of(rpc).endpoint.clone(),
                }
            } else {
                refused
            });
        }
        let answer = call(Api::V1alpha2).await;
        match answer {
            // Neither is there: the first refusal is the one people search for.
            Err(error) if error.kind() == Some(Kind::UnknownService) => return Err(refused),
            _ => self.older.store(true, Ordering::Relaxed),
        }
        answer
    }

    /// Makes sure that the runtime answers: `Version` within this time.
    async fn answers(&self, deadline: Duration) -> Result<(), Error> {
        let request = call::framed(&cri::VersionRequest::default());
        self.negotiated(&VERSION, async |api| {
            self.call(&VERSION, api, request.clone(), Some(deadline))
                .await
        })
        .await
        .map(drop)
    }

    /// Whether the runtime would answer in `v1alpha2`, which this client does not speak.
    async fn serves_older(&self) -> bool {
        let request = call::framed(&cri::VersionRequest::default());
        let deadline = Some(self.options.deadline);
        self.call(&VERSION, Api::V1alpha2, request, deadline)
            .await
            .is_ok()
    }

    fn of(&self, rpc: &Rpc) -> &Service {
        match rpc.service {
            "RuntimeService" => &self.runtime,
            _ => &self.image,
        }
    }

    async fn call(
        &self,
        rpc: &Rpc,
        api: Api,
        request: Bytes,
        deadline: Option<Duration>,
    ) -> Result<Bytes, Error> {
        let service = self.of(rpc);
        let began = std::time::Instant::now();
        let patience = call::Patience::new(deadline);
        let span = self.span(rpc, api);
        let outcome = call::unary(
            &service.line.connection(),
            rpc.path(api),
            request,
            span.parent(),
            patience,
        )
        .await;
        span.end(outcome.as_ref().err());
        let took = began.elapsed();
        match outcome {
            Ok(bytes) => {
                // A message of another kind shows when it is decoded; what is no message at all shows here.
                if let Some(Err(source)) = wire::Fields::new(&bytes).find(Result::is_err) {
                    return Err(Error::Malformed {
                        rpc: rpc.name,
                        endpoint: service.endpoint.clone(),
                        source,
                    });
                }
                tracing::debug!(
                    rpc = rpc.name,
                    api = api.name(),
                    bytes = bytes.len(),
                    ?took,
                    "answer"
                );
                Ok(bytes)
            }
            Err(failure) => {
                // A registry's address in the runtime's words may hold a password.
                let failure_text = addresses(&failure.to_string()).into_owned();
                tracing::debug!(
                    rpc = rpc.name,
                    api = api.name(),
                    failure = failure_text,
                    ?took,
                    "no answer"
                );
                Err(Error::from_failure(
                    rpc.name,
                    &service.endpoint,
                    failure,
                    deadline,
                ))
            }
        }
    }

    /// Begins to trace a call, if calls are traced.
    fn span(&self, rpc: &Rpc, api: Api) -> Span<'_> {
        let trace = self.trace.as_deref();
        Span {
            path: trace.map(|_| rpc.path(api)),
            call: trace.map(|trace| (trace, trace.call())),
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

/// A call in the trace of this run; nothing where none is kept.
struct Span<'t> {
    path: Option<PathAndQuery>,
    call: Option<(&'t Trace, crate::spans::Call)>,
}

impl Span<'_> {
    /// What the runtime is told of it.
    fn parent(&self) -> Option<HeaderValue> {
        let (trace, call) = self.call.as_ref()?;
        HeaderValue::try_from(trace.parent(call)).ok()
    }

    /// The call has ended, or failed so.
    fn end(self, failure: Option<&call::Failure>) {
        if let (Some((trace, call)), Some(path)) = (self.call, self.path) {
            let (code, message) = match failure {
                None => (tonic::Code::Ok, String::new()),
                Some(failure) => (failure.code(), addresses(&failure.to_string()).into_owned()),
            };
            trace.end(call, path.path(), code.into(), &message);
        }
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

/// Declares the unary RPCs: a method named after each, and the table of all. `long` marks those whose work can take
/// long, so that the caller says how long it waits: `None` is for ever.
macro_rules! rpcs {
    ($($service:ident { $($method:ident: $name:ident($request:ident) -> $reply:ident $(, $long:ident)?;)* })*) => {
        impl Client {$($(
            rpcs! { @method $service $method $name $request $reply $($long)? }
        )*)*}

        /// Every unary RPC of CRI.
        pub const UNARY: &[Rpc] = &[$($(
            Rpc { service: stringify!($service), name: stringify!($name) },
        )*)*];
    };
    (@method $service:ident $method:ident $name:ident $request:ident $reply:ident) => {
        #[doc = concat!("`", stringify!($service), ".", stringify!($name), "`.")]
        ///
        /// # Errors
        /// See [`Error`]; the deadline is the client's own.
        pub async fn $method(&self, request: cri::$request) -> Result<Reply<cri::$reply>, Error> {
            const RPC: Rpc = Rpc { service: stringify!($service), name: stringify!($name) };
            let deadline = Some(self.options.deadline);
            self.unary(&RPC, call::framed(&request), deadline).await.map(Reply::new)
        }
    };
    (@method $service:ident $method:ident $name:ident $request:ident $reply:ident long) => {
        #[doc = concat!("`", stringify!($service), ".", stringify!($name), "`, which can take long.")]
        ///
        /// # Errors
        /// See [`Error`].
        pub async fn $method(
            &self,
            request: cri::$request,
            deadline: Option<Duration>,
        ) -> Result<Reply<cri::$reply>, Error> {
            const RPC: Rpc = Rpc { service: stringify!($service), name: stringify!($name) };
            self.unary(&RPC, call::framed(&request), deadline).await.map(Reply::new)
        }
    };
}

rpcs! {
    RuntimeService {
        version: Version(VersionRequest) -> VersionResponse;
        run_pod_sandbox: RunPodSandbox(RunPodSandboxRequest) -> RunPodSandboxResponse, long;
        stop_pod_sandbox: StopPodSandbox(StopPodSandboxRequest) -> StopPodSandboxResponse, long;
        remove_pod_sandbox: RemovePodSandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse, long;
        pod_sandbox_status: PodSandboxStatus(PodSandboxStatusRequest) -> PodSandboxStatusResponse;
        list_pod_sandbox: ListPodSandbox(ListPodSandboxRequest) -> ListPodSandboxResponse;
        create_container: CreateContainer(CreateContainerRequest) -> CreateContainerResponse, long;
        start_container: StartContainer(StartContainerRequest) -> StartContainerResponse, long;
        stop_container: StopContainer(StopContainerRequest) -> StopContainerResponse, long;
        remove_container: RemoveContainer(RemoveContainerRequest) -> RemoveContainerResponse, long;
        list_containers: ListContainers(ListContainersRequest) -> ListContainersResponse;
        container_status: ContainerStatus(ContainerStatusRequest) -> ContainerStatusResponse;
        update_container_resources: UpdateContainerResources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse, long;
        reopen_container_log: ReopenContainerLog(ReopenContainerLogRequest) -> ReopenContainerLogResponse;
        exec_sync: ExecSync(ExecSyncRequest) -> ExecSyncResponse, long;
        exec: Exec(ExecRequest) -> ExecResponse;
        attach: Attach(AttachRequest) -> AttachResponse;
        port_forward: PortForward(PortForwardRequest) -> PortForwardResponse;
        container_stats: ContainerStats(ContainerStatsRequest) -> ContainerStatsResponse;
        list_container_stats: ListContainerStats(ListContainerStatsRequest) -> ListContainerStatsResponse;
        pod_sandbox_stats: PodSandboxStats(PodSandboxStatsRequest) -> PodSandboxStatsResponse;
        list_pod_sandbox_stats: ListPodSandboxStats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
        update_runtime_config: UpdateRuntimeConfig(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse;
        status: Status(StatusRequest) -> StatusResponse;
        checkpoint_container: CheckpointContainer(CheckpointContainerRequest) -> CheckpointContainerResponse, long;
        checkpoint_pod: CheckpointPod(CheckpointPodRequest) -> CheckpointPodResponse, long;
        restore_pod: RestorePod(RestorePodRequest) -> RestorePodResponse, long;
        list_metric_descriptors: ListMetricDescriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse;
        list_pod_sandbox_metrics: ListPodSandboxMetrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse;
        runtime_config: RuntimeConfig(RuntimeConfigRequest) -> RuntimeConfigResponse;
        update_pod_sandbox_resources: UpdatePodSandboxResources(UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse, long;
    }
    ImageService {
        list_images: ListImages(ListImagesRequest) -> ListImagesResponse;
        image_status: ImageStatus(ImageStatusRequest) -> ImageStatusResponse;
        pull_image: PullImage(PullImageRequest) -> PullImageResponse, long;
        remove_image: RemoveImage(RemoveImageRequest) -> RemoveImageResponse, long;
        image_fs_info: ImageFsInfo(ImageFsInfoRequest) -> ImageFsInfoResponse;
    }
}
