//! What containerd tells about itself on the CRI socket: plugins with the errors of their start, deprecated features in
//! use, namespaces, and, in a deep look, the task of every container.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use super::cri::{Asked, answer_of, at_most, image_status, words};
use super::{Look, milliseconds};
use crate::client::containerd::CRI_NAMESPACE;
use crate::client::{self, Client, Error, Kind};
use crate::cri::containerd::services::introspection::v1 as introspection;
use crate::endpoint::report::Verdict;
use crate::facts::containerd::{Deprecation, Namespace, Plugin, Server};
use crate::facts::cri::{Answer, Call, Inspected};
use crate::facts::{Containerd, Fact, Facts, Source};

/// Few enough to be counted one after the other.
const MOST_NAMESPACES: usize = 16;
/// The label of images that were converted from schema 1 when they were pulled.
const CONVERTED: &str = "io.containerd.image/converted-docker-schema1";
/// So many tasks that do not answer tell enough.
const MOST_HUNG: usize = 3;
/// How many tasks are asked for at the same time.
const AT_ONCE: usize = 2;

/// Asks the daemon behind a runtime that serves, if it is a containerd, and for the sandbox image of any runtime.
pub(super) async fn look(asked: &mut Asked<'_>, client: &Client, facts: &mut Facts) {
    let name = facts
        .cri
        .version
        .value()
        .map(|version| version.name.as_str());
    if name == Some("containerd") {
        facts.containerd = introspect(asked, client).await;
    } else {
        let other = || format!("the runtime is {}", name.unwrap_or("not known"));
        facts.containerd = Containerd {
            plugins: Fact::absent(other()),
            server: Fact::absent(other()),
            namespaces: Fact::absent(other()),
            schema1: Fact::absent(other()),
        };
    }
    let sandbox = sandbox_image(facts).map(str::to_owned);
    facts.cri.sandbox_image = match sandbox {
        Some(name) => image_status(asked, client, &name).await,
        None => Fact::unknown("the runtime does not tell its sandbox image"),
    };
}

/// The sandbox image that the runtime tells, which containerd does up to 1.7 only.
fn sandbox_image(facts: &Facts) -> Option<&str> {
    let status = facts.cri.status.value()?;
    status
        .info("config", "/sandboxImage")?
        .as_str()
        .filter(|name| !name.is_empty())
}

async fn introspect(asked: &mut Asked<'_>, client: &Client) -> Containerd {
    let daemon = client.containerd();
    let plugins = one(
        asked,
        "Introspection.Plugins",
        daemon.plugins(),
        |plugins| plugins.into_iter().map(plugin).collect(),
    )
    .await;
    let server = one(asked, "Introspection.Server", daemon.server(), server).await;
    let names = one(asked, "Namespaces.List", daemon.namespaces(), |names| names).await;
    let namespaces = match names {
        Fact::Known { value, source } => {
            let mut found = Vec::new();
            for name in value.into_iter().take(MOST_NAMESPACES) {
                // CRI has listed its own already.
                let images = if name == CRI_NAMESPACE {
                    0
                } else {
                    let images = one(asked, "Images.List", daemon.images(&name), |images| {
                        images.len()
                    })
                    .await;
                    images.value().copied().unwrap_or(0)
                };
                found.push(Namespace { name, images });
            }
            Fact::known(found, source)
        }
        Fact::Absent { what } => Fact::absent(what),
        Fact::Unknown { reason } => Fact::unknown(reason),
    };
    let schema1 = one(
        asked,
        "Images.List",
        daemon.images(CRI_NAMESPACE),
        |images| {
            let converted = images
                .into_iter()
                .filter(|image| image.labels.contains_key(CONVERTED));
            converted.map(|image| image.name).collect()
        },
    )
    .await;
    Containerd {
        plugins,
        server,
        namespaces,
        schema1,
    }
}

/// Makes one call and records it.
async fn one<A, T>(
    asked: &mut Asked<'_>,
    rpc: &'static str,
    call: impl Future<Output = Result<A, Error>>,
    make: impl FnOnce(A) -> T,
) -> Fact<T> {
    if let Err(reason) = asked.may_ask() {
        return Fact::unknown(reason);
    }
    let began = Instant::now();
    let answer = tokio::time::timeout_at(asked.until(), call).await;
    let ms = milliseconds(began.elapsed());
    let (fact, answer, error) = match answer {
        Err(_) => {
            let reason = "there was no time left to wait for the answer".to_owned();
            (Fact::unknown(reason.clone()), Answer::Error, Some(reason))
        }
        Ok(Err(error)) => (
            Fact::unknown(error.to_string()),
            answer_of(&error),
            words(&error),
        ),
        Ok(Ok(answer)) => (
            Fact::known(make(answer), Source::rpc(rpc)),
            Answer::Ok,
            None,
        ),
    };
    asked.record(Call {
        rpc: rpc.to_owned(),
        answer,
        ms,
        bytes: 0,
        error,
    });
    fact
}

fn plugin(plugin: introspection::Plugin) -> Plugin {
    let error = plugin.init_err.map(|status| status.message);
    Plugin {
        // What containerd adds to the error of a plugin that does not want to run here.
        skipped: error
            .as_deref()
            .is_some_and(|error| error.contains("skip plugin")),
        kind: plugin.r#type,
        id: plugin.id,
        exports: plugin.exports.into_iter().collect(),
        error,
    }
}

fn server(answer: introspection::ServerResponse) -> Server {
    Server {
        pid: answer.pid,
        deprecations: answer
            .deprecations
            .into_iter()
            .map(|warning| Deprecation {
                id: warning.id,
                message: warning.message,
                last: warning.last_occurrence.and_then(|time| {
                    let time = jiff::Timestamp::new(time.seconds, time.nanos).ok()?;
                    Some(time.to_string())
                }),
            })
            .collect(),
    }
}

/// Asks a containerd that does not serve CRI what became of its plugins.
pub(super) async fn without_cri(look: &Look, facts: &mut Facts) {
    let nobody = || "no containerd answers".to_owned();
    facts.containerd = Containerd {
        plugins: Fact::unknown(nobody()),
        server: Fact::unknown(nobody()),
        namespaces: Fact::unknown(nobody()),
        schema1: Fact::unknown(nobody()),
    };
    let Some(endpoint) = facts.telling() else {
        return;
    };
    if !matches!(endpoint.verdict, Verdict::CriDisabled | Verdict::CriFailed) {
        return;
    }
    let options = client::Options {
        deadline: look.deadline,
        fall_back: false,
    };
    let Ok(client) = Client::connect(&endpoint.endpoint, None, options).await else {
        return;
    };
    if let Ok(plugins) = client.containerd().plugins().await {
        let plugins = plugins.into_iter().map(plugin).collect();
        facts.containerd.plugins = Fact::known(plugins, Source::rpc("Introspection.Plugins"));
    }
}

/// Asks for the task of every running container. Only this shows a shim that hangs: lists and statuses are answered
/// from the daemon's memory.
pub(super) async fn inspect(asked: &mut Asked<'_>, client: &Client, facts: &mut Facts) {
    const EACH: Duration = Duration::from_secs(3);
    if let Err(reason) = asked.may_ask() {
        facts.cri.inspected = Fact::unknown(reason);
        return;
    }
    let Some(containers) = facts.cri.containers.value() else {
        return;
    };
    let ids: Vec<(String, String)> = containers
        .items
        .iter()
        .filter(|container| container.running)
        .map(|container| (container.id.clone(), container.name.clone()))
        .collect();
    let is_containerd = facts.containerd.plugins.value().is_some();
    let until = asked.until();
    let daemon = client.containerd();
    let ask = |(id, name): (String, String)| {
        let daemon = daemon.clone();
        async move {
            let began = Instant::now();
            let answer = if is_containerd {
                let task = daemon.task(CRI_NAMESPACE, &id);
                tokio::time::timeout_at(at_most(EACH, until), task)
                    .await
                    .map(|answer| answer.map(|task| task.map(|task| task.pid)))
            } else {
                let request = crate::cri::ContainerStatusRequest {
                    container_id: id.clone(),
                    verbose: false,
                };
                let status = client.container_status(request);
                tokio::time::timeout_at(at_most(EACH, until), status)
                    .await
                    .map(|answer| answer.map(|_| None))
            };
            let (hung, error, pid) = match answer {
                Err(_) => (true, None, None),
                Ok(Ok(pid)) => (false, None, pid),
                // It ended in the meantime.
                Ok(Err(error)) if error.kind() == Some(Kind::NotFound) => (false, None, None),
                Ok(Err(error)) if error.kind() == Some(Kind::Deadline) => (true, None, None),
                Ok(Err(error)) => (
                    false,
                    Some(words(&error).unwrap_or_else(|| error.to_string())),
                    None,
                ),
            };
            Inspected {
                id,
                called: name,
                pid,
                ms: milliseconds(began.elapsed()),
                hung,
                error,
            }
        }
    };
    let mut answers = stream::iter(ids).map(ask).buffer_unordered(AT_ONCE);
    let mut found = Vec::new();
    let mut hung = 0;
    while let Some(inspected) = answers.next().await {
        hung += usize::from(inspected.hung);
        found.push(inspected);
        if hung >= MOST_HUNG || Instant::now() >= until {
            break;
        }
    }
    drop(answers);
    facts.cri.inspected = Fact::known(found, Source::rpc("Tasks.Get"));
}
