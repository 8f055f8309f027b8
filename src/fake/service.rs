//! One request from path to answer: recorded, judged by the rules, else answered from the world.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Frame, Incoming};
use prost::Message;
use tokio::sync::{broadcast, mpsc};
use tonic::Status;

use super::calls::{Call, Calls};
use super::grpc::{self, Body, BoxError};
use super::rpc::{self, Reply};
use super::rules::{Answer, Rules};
use super::script;
use super::world::{CriPlugin, Kind, World};
use crate::cri;

/// No honest request is larger.
const REQUEST_LIMIT: usize = 64 << 20;

/// What answers on all connections.
pub(super) struct Service {
    pub(super) calls: Calls,
    pub(super) rules: Rules,
    pub(super) services: Services,
    state: Mutex<State>,
}

/// The world, and its list answers ready to be sent until it changes.
struct State {
    world: World,
    lists: Vec<(String, Bytes, Bytes)>,
}

/// Which services are served.
#[derive(Debug, Clone)]
pub(super) struct Services {
    pub(super) v1: bool,
    pub(super) v1alpha2: bool,
    pub(super) image: bool,
    pub(super) streaming_lists: bool,
    pub(super) native: bool,
    pub(super) only: Option<BTreeSet<String>>,
}

/// What a call does to its whole connection.
#[derive(Debug)]
pub(super) enum Control {
    /// Close it.
    Close,
    /// Write these bytes past HTTP/2 and close it.
    Raw(Bytes),
}

/// The connection that a request came on.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) control: mpsc::UnboundedSender<Control>,
}

/// Every RPC of `proto/`, as its path without the leading slash.
static KNOWN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let files = prost_types::FileDescriptorSet::decode(cri::DESCRIPTORS)
        .unwrap_or_default()
        .file;
    let mut known = BTreeSet::new();
    for file in &files {
        for service in &file.service {
            for method in &service.method {
                known.insert(format!(
                    "{}.{}/{}",
                    file.package(),
                    service.name(),
                    method.name()
                ));
            }
        }
    }
    known
});

impl Service {
    pub(super) fn new(world: World, services: Services, rules: Rules) -> Self {
        let state = Mutex::new(State {
            world,
            lists: Vec::new(),
        });
        Self {
            calls: Calls::new(),
            rules,
            services,
            state,
        }
    }

    /// Looks at the world or changes it.
    pub(super) fn world<R>(&self, with: impl FnOnce(&mut World) -> R) -> R {
        let mut state = self.state();
        state.lists.clear();
        with(&mut state.world)
    }

    /// Answers one request; an error is a reset of its stream.
    pub(super) async fn serve(
        self: Arc<Self>,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, BoxError> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let message = Limited::new(body, REQUEST_LIMIT)
            .collect()
            .await
            .map(|body| grpc::unframe(body.to_bytes()))?;
        let (bytes, malformed) = match message {
            Ok(bytes) => (bytes, None),
            Err(status) => (Bytes::new(), Some(status)),
        };
        let (service, rpc) = split(&path);
        let canonical = canonical(service);
        let asked = self
            .services
            .only
            .as_ref()
            .is_none_or(|only| only.contains(rpc));
        let expected =
            malformed.is_none() && asked && KNOWN.contains(&format!("{canonical}/{rpc}"));
        self.calls.record(Call {
            path: path.clone(),
            headers: head.headers.clone(),
            request: bytes.clone(),
            after: std::time::Duration::ZERO,
            connection: connection.number,
            expected,
        });
        if let Some(status) = malformed {
            return Ok(grpc::status(&status));
        }
        if !asked {
            return Ok(grpc::status(&Status::unimplemented(format!(
                "unexpected call of {rpc}"
            ))));
        }

        let verdict = self.rules.judge(&path);
        if !verdict.delay.is_zero() {
            tokio::time::sleep(verdict.delay).await;
        }
        if let Some(mut gate) = verdict.gate {
            // A gate whose holder is gone is open.
            let _ = gate.wait_for(|open| *open).await;
        }
        let rewrite = match verdict.answer {
            None => None,
            Some(Answer::Rewritten(rewrite)) => Some(rewrite),
            Some(answer) => return script::play(answer, &connection).await,
        };
        let namespace = head.headers.get("containerd-namespace");
        let namespace = namespace.and_then(|value| value.to_str().ok());
        let reply = self.truth(service, rpc, namespace, bytes);
        Ok(match (reply, rewrite) {
            (Err(status), _) => grpc::status(&status),
            (Ok(Reply::Messages(messages)), None) => grpc::messages(messages),
            (Ok(Reply::Messages(messages)), Some(rewrite)) => grpc::messages(
                messages
                    .iter()
                    .map(|message| rewrite.apply(message))
                    .collect(),
            ),
            (Ok(Reply::Events(receiver)), _) => grpc::streaming(events(receiver)),
        })
    }

    /// What the world answers.
    fn truth(
        &self,
        service: &str,
        rpc: &str,
        namespace: Option<&str>,
        request: Bytes,
    ) -> Result<Reply, Status> {
        let mut state = self.state();
        let state = &mut *state;
        let unknown_service = || Err(Status::unimplemented(format!("unknown service {service}")));
        let world = &mut state.world;
        if service.starts_with("containerd.") {
            if !self.services.native || world.runtime.kind != Kind::Containerd {
                return unknown_service();
            }
            state.lists.clear();
            return super::containerd::answer(&mut state.world, service, rpc, namespace, &request)
                .unwrap_or_else(|| {
                    Err(Status::unimplemented(format!(
                        "unknown method {rpc} for service {service}"
                    )))
                });
        }
        let served = world.cri == CriPlugin::Loaded
            && match service {
                "runtime.v1.RuntimeService" => self.services.v1,
                "runtime.v1.ImageService" => self.services.v1 && self.services.image,
                "runtime.v1alpha2.RuntimeService" => self.services.v1alpha2,
                "runtime.v1alpha2.ImageService" => self.services.v1alpha2 && self.services.image,
                _ => false,
            };
        if !served {
            return unknown_service();
        }
        let streamed = rpc.starts_with("Stream");
        if !KNOWN.contains(&format!("{}/{rpc}", canonical(service)))
            || (streamed && !self.services.streaming_lists)
            || !world.runtime.serves(rpc)
        {
            return Err(world.runtime.unimplemented(service, rpc));
        }

        // Lists are encoded once and sent until something changes: 100,000 containers are 100 MB.
        let list = matches!(rpc, "ListPodSandbox" | "ListContainers" | "ListImages");
        if list
            && let Some((.., ready)) = state
                .lists
                .iter()
                .find(|(name, asked, _)| name == rpc && *asked == request)
        {
            return Ok(Reply::Messages(vec![ready.clone()]));
        }
        if changes(rpc) {
            state.lists.clear();
        }
        let reply = match state.world.crowded_list(rpc, &request) {
            Some(Ok(messages)) => Some(Ok(Reply::Messages(messages))),
            Some(Err(error)) => Some(Err(Status::internal(error.to_string()))),
            None => rpc::answer(&mut state.world, rpc, &request),
        };
        let reply = match reply {
            Some(reply) => reply?,
            None => return Err(state.world.runtime.unimplemented(service, rpc)),
        };
        match reply {
            Reply::Messages(messages) if list => {
                state.lists.extend(
                    messages
                        .first()
                        .map(|ready| (rpc.to_owned(), request, ready.clone())),
                );
                Ok(Reply::Messages(messages))
            }
            Reply::Messages(messages) if rpc == "Version" && service.contains("v1alpha2") => Ok(
                Reply::Messages(messages.iter().map(older_version).collect()),
            ),
            other => Ok(other),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an RPC can change what lists say.
fn changes(rpc: &str) -> bool {
    ["Run", "Stop", "Remove", "Create", "Start", "Pull", "Update"]
        .iter()
        .any(|verb| rpc.starts_with(verb))
}

/// v1alpha2 names itself in `Version`.
fn older_version(message: &Bytes) -> Bytes {
    let mut version = cri::VersionResponse::decode(message.clone()).unwrap_or_default();
    "v1alpha2".clone_into(&mut version.runtime_api_version);
    version.encode_to_vec().into()
}

/// v1alpha2 has the messages of v1.
fn canonical(service: &str) -> String {
    service.replace("runtime.v1alpha2.", "runtime.v1.")
}

fn split(path: &str) -> (&str, &str) {
    path.trim_start_matches('/')
        .split_once('/')
        .unwrap_or((path, ""))
}

/// Events as they happen. A listener that is too slow loses some, as with containerd.
fn events(
    receiver: broadcast::Receiver<cri::ContainerEventResponse>,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>> {
    stream::unfold(receiver, |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(event) => {
                    return Some((
                        Ok(Frame::data(grpc::frame(&event.encode_to_vec()))),
                        receiver,
                    ));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
    .chain(stream::once(async { Ok(grpc::end(&grpc::ok())) }))
}
