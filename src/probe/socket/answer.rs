//! What is made of an answer, or of silence: a verdict with its two sentences.

use std::path::Path;
use std::time::Duration;

use super::behind::Behind;
use super::host::Host;
use super::peer::Peer;
use super::{Effort, Live, Options, Triage, advice, holder, permission, plugins};
use crate::client::{self, Api};
use crate::cri;
use crate::cri::containerd::services::introspection::v1::Plugin;
use crate::endpoint::connect;
use crate::endpoint::report::{Process, Runtime, Verdict};

/// What a daemon has not done in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// Begun HTTP/2.
    Preface,
    /// Answered the call.
    Answer,
}

/// Nobody takes the connection out of the backlog.
pub(super) fn backlog_full(path: &Path, called: &Path, host: &Host, options: &Options) -> Triage {
    let inodes: Vec<u64> = host
        .listeners(path)
        .iter()
        .map(|listener| listener.inode)
        .collect();
    let peer = match options.effort {
        Effort::Full => holder::holder(host, &inodes)
            .ok_or_else(|| "no visible process has the socket open".to_owned()),
        Effort::Quick => Err("not looked for".to_owned()),
    };
    let behind = Behind {
        host,
        path,
        called,
        peer,
        effort: options.effort,
    };
    let process = behind.process();
    let seen = format!(
        "nobody accepts: the backlog of the socket stayed full for {:?}",
        options.deadline
    );
    hung(&behind, process, seen)
}

pub(super) fn silent(behind: &Behind<'_>, silence: Silence, deadline: Duration) -> Triage {
    let seen = match silence {
        Silence::Preface => {
            format!("the connection was made, but no HTTP/2 came within {deadline:?}")
        }
        Silence::Answer => {
            format!("HTTP/2 was set up, but the Version call was not answered within {deadline:?}")
        }
    };
    hung(behind, behind.process(), seen)
}

fn hung(behind: &Behind<'_>, process: Process, seen: String) -> Triage {
    let state = behind.state(&process);
    let detail = match (state, process.pid) {
        (Some(state), Some(pid)) => format!("{seen}; process {pid} is {state}"),
        _ => seen,
    };
    let advice = match (state, process.pid) {
        (Some("stopped by a signal"), Some(pid)) => {
            format!("let it go on with `kill -CONT {pid}`, after finding out who stopped it")
        }
        _ => {
            let restart = match advice::unit(behind.called, Some(&process)) {
                Some(unit) => format!(": `systemctl restart {unit}`"),
                None => String::new(),
            };
            format!(
                "{}, and restart it if it does not recover{restart}",
                advice::look_at(behind.called, Some(&process))
            )
        }
    };
    Triage::new(Verdict::Hung, detail, advice).of(Some(process))
}

pub(super) fn serving(
    api: Api,
    answer: &cri::VersionResponse,
    latency: Duration,
    connection: connect::Connection,
    behind: &Behind<'_>,
) -> Triage {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let runtime = Runtime {
        name: given(&answer.runtime_name),
        version: given(&answer.runtime_version),
        api: Some(api.name().to_owned()),
    };
    let process = match behind.effort {
        Effort::Full => Some(behind.process()),
        Effort::Quick => None,
    };
    let (verdict, advice) = match api {
        Api::V1 => (Verdict::Serving, None),
        Api::V1alpha2 => (
            Verdict::V1alpha2Only,
            Some(
                "upgrade the runtime before the kubelet: from Kubernetes 1.26 on the kubelet needs CRI v1, which \
                 containerd serves from 1.6 on"
                    .to_owned(),
            ),
        ),
    };
    Triage {
        verdict,
        detail: format!("{runtime} serves CRI {}", api.name()),
        runtime: Some(runtime),
        latency: Some(latency),
        process,
        runtime_says: None,
        advice,
        live: Some(Live { connection, api }),
    }
}

/// HTTP/2 that broke off: a runtime that went away, or one that cannot stand the call.
pub(super) fn broken(why: &str, behind: &Behind<'_>) -> Triage {
    let process = behind.process();
    let advice = format!(
        "ask again; if it happens again, {}",
        advice::look_at(behind.called, Some(&process))
    );
    Triage::new(
        Verdict::CriFailed,
        format!("the server speaks HTTP/2, but the connection broke at the Version call: {why}"),
        advice,
    )
    .of(Some(process))
}

/// A peer that is no gRPC server.
pub(super) fn named(peer: &Peer, behind: &Behind<'_>) -> Triage {
    let path = behind.path;
    let process = behind.process();
    let advice = match peer {
        Peer::Http(http) if http.engine() == Some("Docker") => {
            "install cri-dockerd, or use the socket of the containerd beneath: \
             unix:///run/containerd/containerd.sock"
                .to_owned()
        }
        Peer::Http(http) if http.engine() == Some("Podman") => {
            "use the socket of CRI-O or containerd: Podman does not serve CRI".to_owned()
        }
        _ if permission::is_ttrpc(path) => format!(
            "this is containerd's socket for shims; leave the `.ttrpc` away: unix://{}",
            path.with_extension("").display()
        ),
        Peer::Closes => format!(
            "ask again in case it was just starting; else {}",
            advice::look_at(behind.called, Some(&process))
        ),
        _ => "give the socket of a container runtime; `criscope endpoints` lists the known ones"
            .to_owned(),
    };
    Triage::new(Verdict::NotGrpc, format!("this is {peer}"), advice).of(Some(process))
}

/// CRI is there and `Version` fails.
pub(super) fn failed(error: &client::Error, behind: &Behind<'_>) -> Triage {
    let process = behind.process();
    let says = match error {
        client::Error::Status { message, .. } => Some(message.clone()),
        _ => None,
    };
    let detail = match error {
        client::Error::Status { .. } => {
            "the runtime answers the Version call with an error".to_owned()
        }
        other => other.to_string(),
    };
    let advice = advice::look_at(behind.called, Some(&process));
    let mut found = Triage::new(Verdict::CriFailed, detail, advice).of(Some(process));
    found.runtime_says = says;
    found
}

/// CRI is not served, and it could not be found out why.
pub(super) fn unexplained(why: &str, behind: &Behind<'_>) -> Triage {
    let process = behind.process();
    Triage::new(
        Verdict::CriDisabled,
        format!("CRI is not served, and the reason is not known: {why}"),
        advice::look_at(behind.called, Some(&process)),
    )
    .of(Some(process))
}

/// A gRPC server of another kind.
pub(super) fn no_runtime(behind: &Behind<'_>) -> Triage {
    Triage::new(
        Verdict::CriDisabled,
        "a gRPC server that knows neither CRI nor containerd's services: not a container runtime",
        "give the socket of a container runtime; `criscope endpoints` lists the known ones",
    )
    .of(Some(behind.process()))
}

/// A containerd that does not serve CRI, by its own list of plugins.
pub(super) fn containerd_without_cri(
    list: &[Plugin],
    version: Option<String>,
    behind: &Behind<'_>,
) -> Triage {
    let process = behind.process();
    let file = behind.configuration(&process);
    let restart = advice::restart(behind.called, Some(&process));
    let mut found = match plugins::cri(list) {
        plugins::Cri::Disabled => {
            let advice = if file.contains("/docker/") {
                "install cri-dockerd, or a containerd of its own: this one belongs to Docker, which starts it without \
                 CRI"
                    .to_owned()
            } else {
                format!(
                    "remove \"cri\" or \"io.containerd.grpc.v1.cri\" from disabled_plugins in {file}, then {restart}"
                )
            };
            Triage::new(
                Verdict::CriDisabled,
                "containerd answers, but its plugin io.containerd.grpc.v1.cri is not loaded",
                advice,
            )
        }
        plugins::Cri::Failed { plugin, says } => {
            let mut found = Triage::new(
                Verdict::CriFailed,
                format!("containerd answers, but its plugin {plugin} failed to start: {says}"),
                format!("put right in {file} what the reason names, then {restart}"),
            );
            found.runtime_says = Some(says);
            found
        }
        plugins::Cri::Loaded => Triage::new(
            Verdict::CriFailed,
            "containerd lists its CRI plugin without an error, but does not serve CRI",
            advice::look_at(behind.called, Some(&process)),
        ),
    };
    found.runtime = Some(Runtime {
        name: Some("containerd".to_owned()),
        version,
        api: None,
    });
    found.of(Some(process))
}
