//! What the runtime answers over CRI: a few calls, cheap ones first, every one recorded.
//!
//! A runtime that lets a call hang is sick, and is asked nothing more.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Depth, Look, containerd, milliseconds};
use crate::client::{self, Client, Error, Kind, Reply};
use crate::cri as proto;
use crate::facts::cri::{
    Answer, Call, CgroupDriver, Condition, Container, FsUsage, Handler, Image, List, Pod,
    RuntimeConfig, Status, Version,
};
use crate::facts::{Fact, Facts, Source};
use crate::model::{self, Listing, Row};
use crate::probe::discovery::Discovery;

/// No value of the verbose information is so long; what is longer is not kept.
const LONGEST_INFO: usize = 1 << 20;

/// Why something is not known after a quick run.
const NOT_QUICK: &str = "not asked by a quick run";

/// Everything that is asked over the connection of one endpoint.
pub(super) async fn look(
    look: &Look,
    until: Instant,
    discovery: Option<Discovery>,
    facts: &mut Facts,
) {
    let Some(discovery) = discovery else {
        facts.endpoints = Fact::absent("no system runs here");
        gone(facts);
        return;
    };
    let source = Source::socket("discovery");
    facts.endpoints = Fact::known(discovery.endpoints.clone(), source);
    let options = client::Options {
        deadline: look.deadline,
        fall_back: true,
    };
    let failed = discovery.failure();
    match discovery.into_client(options) {
        Some(client) => {
            let mut asked = Asked::new(&client, until);
            asked.everything(look.depth, facts).await;
            facts.calls.append(&mut asked.calls);
        }
        None => {
            let reason = match &failed {
                Some(failure) => format!("no runtime answers: {}", failure.detail),
                None => "no runtime answers".to_owned(),
            };
            unknown(facts, &reason);
            containerd::without_cri(look, facts).await;
        }
    }
}

/// A host that does not run answers nothing.
fn gone(facts: &mut Facts) {
    fn dead<T>() -> Fact<T> {
        Fact::absent("no system runs here")
    }
    facts.cri = crate::facts::Cri {
        version: dead(),
        status: dead(),
        runtime_config: dead(),
        pods: dead(),
        containers: dead(),
        images: dead(),
        image_fs: dead(),
        sandbox_image: dead(),
        inspected: dead(),
    };
    facts.containerd = crate::facts::Containerd {
        plugins: dead(),
        server: dead(),
        namespaces: dead(),
        schema1: dead(),
    };
}

/// Says of everything that is asked over CRI why it is not known.
fn unknown(facts: &mut Facts, reason: &str) {
    fn why<T>(reason: &str) -> Fact<T> {
        Fact::unknown(reason)
    }
    facts.cri = crate::facts::Cri {
        version: why(reason),
        status: why(reason),
        runtime_config: why(reason),
        pods: why(reason),
        containers: why(reason),
        images: why(reason),
        image_fs: why(reason),
        sandbox_image: why(reason),
        inspected: why(reason),
    };
}

/// A client, and what became of asking it.
pub(super) struct Asked<'c> {
    client: &'c Client,
    until: Instant,
    pub(super) calls: Vec<Call>,
    /// The call that hung, after which nothing more is asked.
    hung: Option<String>,
}

impl<'c> Asked<'c> {
    pub(super) fn new(client: &'c Client, until: Instant) -> Self {
        Self {
            client,
            until,
            calls: Vec::new(),
            hung: None,
        }
    }

    /// Asks what a look of this depth needs.
    async fn everything(&mut self, depth: Depth, facts: &mut Facts) {
        let client = self.client;
        facts.cri.version = match self
            .call("Version", client.version(proto::VersionRequest::default()))
            .await
        {
            Ok(answer) => known("Version", version(answer.message, client.api().name())),
            Err(reason) => Fact::unknown(reason),
        };
        let status = client.status(proto::StatusRequest { verbose: true });
        facts.cri.status = match self.call("Status", status).await {
            Ok(answer) => known("Status", status_of(answer.message)),
            Err(reason) => Fact::unknown(reason),
        };
        let (pods, containers) = self
            .both(
                (
                    "ListPodSandbox",
                    client.list_pod_sandbox(proto::ListPodSandboxRequest::default()),
                ),
                (
                    "ListContainers",
                    client.list_containers(proto::ListContainersRequest::default()),
                ),
            )
            .await;
        facts.cri.pods = listing("ListPodSandbox", pods, |pod: model::PodSandbox| Pod {
            name: pod.name().to_owned(),
            namespace: pod.namespace().to_owned(),
            uid: pod.uid().to_owned(),
            attempt: pod.metadata.as_ref().map_or(0, |metadata| metadata.attempt),
            ready: pod.state == model::PodSandboxState::Ready,
            created_at: pod.created_at,
            handler: pod.runtime_handler,
            id: pod.id,
        });
        facts.cri.containers = listing("ListContainers", containers, container);
        let (images, image_fs) = self
            .both(
                (
                    "ListImages",
                    client.list_images(proto::ListImagesRequest::default()),
                ),
                (
                    "ImageFsInfo",
                    client.image_fs_info(proto::ImageFsInfoRequest::default()),
                ),
            )
            .await;
        facts.cri.images = listing("ListImages", images, image);
        facts.cri.image_fs = match image_fs {
            Ok(answer) => known("ImageFsInfo", usages(answer.message)),
            Err(reason) => Fact::unknown(reason),
        };
        facts.cri.inspected = Fact::unknown("asked by a deep run only");
        let config = client.runtime_config(proto::RuntimeConfigRequest {});
        facts.cri.runtime_config = match self.call("RuntimeConfig", config).await {
            Ok(answer) => known("RuntimeConfig", runtime_config(&answer.message)),
            Err(_)
                if self
                    .calls
                    .last()
                    .is_some_and(|call| call.answer == Answer::Unimplemented) =>
            {
                Fact::absent("the runtime does not know RuntimeConfig")
            }
            Err(reason) => Fact::unknown(reason),
        };
        if depth == Depth::Quick {
            // What is left out on purpose leaves its checks out; it is not something that could not be seen.
            facts.cri.sandbox_image = Fact::absent(NOT_QUICK);
            facts.containerd.plugins = Fact::absent(NOT_QUICK);
            facts.containerd.server = Fact::absent(NOT_QUICK);
            facts.containerd.namespaces = Fact::absent(NOT_QUICK);
            return;
        }
        containerd::look(self, client, facts).await;
        if depth == Depth::Deep {
            containerd::inspect(self, client, facts).await;
        }
    }

    /// Makes a call, unless one hung before.
    pub(super) async fn call<T: prost::Message + Default>(
        &mut self,
        rpc: &'static str,
        call: impl Future<Output = Result<Reply<T>, Error>>,
    ) -> Result<Answered<T>, String> {
        self.may_ask()?;
        let (made, result) = timed(rpc, self.until, call).await;
        self.record(made);
        result
    }

    /// Makes two calls at the same time.
    async fn both<A: prost::Message + Default, B: prost::Message + Default>(
        &mut self,
        first: (&'static str, impl Future<Output = Result<Reply<A>, Error>>),
        second: (&'static str, impl Future<Output = Result<Reply<B>, Error>>),
    ) -> (Result<Answered<A>, String>, Result<Answered<B>, String>) {
        if let Err(reason) = self.may_ask() {
            return (Err(reason.clone()), Err(reason));
        }
        let ((one, a), (other, b)) = tokio::join!(
            timed(first.0, self.until, first.1),
            timed(second.0, self.until, second.1)
        );
        self.record(one);
        self.record(other);
        (a, b)
    }

    /// Records a call that was made elsewhere.
    pub(super) fn record(&mut self, call: Call) {
        if call.answer == Answer::Hung && self.hung.is_none() {
            self.hung = Some(call.rpc.clone());
        }
        self.calls.push(call);
    }

    /// Whether anything may still be asked.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn may_ask(&self) -> Result<(), String> {
        match &self.hung {
            Some(rpc) => Err(format!("not asked, because {rpc} was not answered")),
            None if Instant::now() >= self.until => Err("there was no time left to ask".to_owned()),
            None => Ok(()),
        }
    }

    /// The end of all time.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

/// An answer and what it cost.
pub(super) struct Answered<T> {
    /// The decoded message.
    pub(super) message: T,
    reply: Reply<T>,
    ms: f64,
}

/// Makes a call and says how it went.
async fn timed<T: prost::Message + Default>(
    rpc: &'static str,
    until: Instant,
    call: impl Future<Output = Result<Reply<T>, Error>>,
) -> (Call, Result<Answered<T>, String>) {
    let began = Instant::now();
    let answer = tokio::time::timeout_at(until, call).await;
    let ms = milliseconds(began.elapsed());
    let mut made = Call {
        rpc: rpc.to_owned(),
        answer: Answer::Ok,
        ms,
        bytes: 0,
        error: None,
    };
    let result = match answer {
        // Nobody can say whether it hung: the time was short.
        Err(_) => {
            made.answer = Answer::Error;
            made.error = Some("there was no time left to wait for the answer".to_owned());
            Err(format!(
                "{rpc}: there was no time left to wait for the answer"
            ))
        }
        Ok(Err(error)) => {
            made.answer = answer_of(&error);
            made.error = words(&error);
            Err(error.to_string())
        }
        Ok(Ok(reply)) => {
            made.bytes = reply.bytes().len() as u64;
            match reply.decode() {
                Ok(message) => Ok(Answered { message, reply, ms }),
                Err(error) => {
                    made.answer = Answer::Error;
                    made.error = Some(error.to_string());
                    Err(format!("the answer to {rpc} cannot be decoded: {error}"))
                }
            }
        }
    };
    (made, result)
}

/// How a call ended that has no answer.
pub(super) fn answer_of(error: &Error) -> Answer {
    match error.kind() {
        Some(Kind::UnknownMethod | Kind::UnknownService) => Answer::Unimplemented,
        Some(Kind::Deadline) => Answer::Hung,
        _ => Answer::Error,
    }
}

/// The runtime's own words, if it said any.
pub(super) fn words(error: &Error) -> Option<String> {
    match error {
        Error::Status { message, .. } => Some(message.clone()),
        _ => None,
    }
}

fn known<T>(rpc: &str, value: T) -> Fact<T> {
    Fact::known(value, Source::rpc(rpc))
}

/// The elements of a list answer in the words of facts. One odd element does not spoil the list.
fn listing<T: prost::Message + Default, R: Row, F>(
    rpc: &str,
    answer: Result<Answered<T>, String>,
    make: impl Fn(R) -> F,
) -> Fact<List<F>> {
    match answer {
        Ok(answer) => {
            let listing = Listing::<R>::read(answer.reply.bytes());
            let items = listing
                .items
                .into_iter()
                .map(|item| make(item.row))
                .collect();
            known(
                rpc,
                List {
                    items,
                    bytes: answer.reply.bytes().len() as u64,
                    ms: answer.ms,
                },
            )
        }
        Err(reason) => Fact::unknown(reason),
    }
}

fn version(answer: proto::VersionResponse, api: &str) -> Version {
    Version {
        name: answer.runtime_name,
        version: answer.runtime_version,
        api: api.to_owned(),
    }
}

fn status_of(answer: proto::StatusResponse) -> Status {
    let conditions = answer
        .status
        .into_iter()
        .flat_map(|status| status.conditions);
    Status {
        conditions: conditions
            .map(|condition| Condition {
                kind: condition.r#type,
                status: condition.status,
                reason: condition.reason,
                message: condition.message,
            })
            .collect(),
        handlers: answer
            .runtime_handlers
            .into_iter()
            .map(|handler| Handler {
                user_namespaces: handler.features.map(|features| features.user_namespaces),
                recursive_read_only_mounts: handler
                    .features
                    .map(|features| features.recursive_read_only_mounts),
                name: handler.name,
            })
            .collect(),
        info: answer
            .info
            .into_iter()
            .filter(|(_, text)| text.len() <= LONGEST_INFO)
            .map(|(key, text)| {
                let mut value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                cover(&mut value);
                (key, value)
            })
            .collect(),
    }
}

/// Takes passwords and tokens out of a runtime's configuration.
fn cover(value: &mut Value) {
    const SECRETS: &[&str] = &[
        "password",
        "auth",
        "identitytoken",
        "registrytoken",
        "token",
        "secret",
        "authorization",
    ];
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let secret = SECRETS.contains(&key.to_ascii_lowercase().replace('_', "").as_str());
                match value {
                    Value::String(text) if secret && !text.is_empty() => *text = "***".to_owned(),
                    other => cover(other),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(cover),
        _ => {}
    }
}

fn runtime_config(answer: &proto::RuntimeConfigResponse) -> RuntimeConfig {
    let driver = answer.linux.as_ref().map(|linux| linux.cgroup_driver);
    RuntimeConfig {
        cgroup_driver: driver.and_then(|driver| match proto::CgroupDriver::try_from(driver) {
            Ok(proto::CgroupDriver::Systemd) => Some(CgroupDriver::Systemd),
            Ok(proto::CgroupDriver::Cgroupfs) => Some(CgroupDriver::Cgroupfs),
            Err(_) => None,
        }),
    }
}

fn container(container: model::Container) -> Container {
    Container {
        name: container.name,
        attempt: container.attempt,
        running: container.state == model::ContainerState::Running,
        created_at: container.created_at,
        image: container.image,
        image_ref: container.image_ref,
        pod: container.pod_sandbox_id,
        id: container.id,
    }
}

fn image(image: model::Image) -> Image {
    Image {
        id: image.id,
        tags: image.repo_tags,
        digests: image.repo_digests,
        size: image.size,
        pinned: image.pinned,
    }
}

fn usages(answer: proto::ImageFsInfoResponse) -> Vec<FsUsage> {
    let all = answer
        .image_filesystems
        .into_iter()
        .chain(answer.container_filesystems);
    all.map(|usage| FsUsage {
        mountpoint: usage.fs_id.map(|id| id.mountpoint).unwrap_or_default(),
        used_bytes: usage.used_bytes.map_or(0, |value| value.value),
        inodes_used: usage.inodes_used.map_or(0, |value| value.value),
    })
    .collect()
}

/// Asks for the sandbox image by its name.
pub(super) async fn image_status(
    asked: &mut Asked<'_>,
    client: &Client,
    name: &str,
) -> Fact<Image> {
    let request = proto::ImageStatusRequest {
        image: Some(proto::ImageSpec {
            image: name.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    match asked
        .call("ImageStatus", client.image_status(request))
        .await
    {
        Ok(answer) => match answer.message.image {
            Some(found) => known("ImageStatus", image(model::Image::from(found))),
            None => Fact::absent(format!("the runtime does not have `{name}`")),
        },
        Err(reason) => Fact::unknown(reason),
    }
}

/// How long a call may take at most, if there is so much time left.
pub(super) fn at_most(deadline: Duration, until: Instant) -> Instant {
    (Instant::now() + deadline).min(until)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn passwords_of_registries_are_covered() {
        let mut value = json!({"registry": {"configs": {"r": {"auth": {"username": "u", "password": "p", "identityToken": "t"}}}}});
        cover(&mut value);
        assert_eq!(
            value,
            json!({"registry": {"configs": {"r": {"auth": {"username": "u", "password": "***", "identityToken": "***"}}}}})
        );
    }
}
