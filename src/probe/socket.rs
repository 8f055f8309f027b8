//! Triage of one endpoint: from a path to a verdict, within one deadline, without harm.
//!
//! The steps go from cheap to telling: what is at the path; who holds the socket (read from /proc before anything is
//! sent, because connecting wakes a socket-activated service); connect(); CRI's `Version` in v1, then in v1alpha2; and
//! where CRI is not served, containerd's own list of plugins. The first step that fails is the verdict, and nothing is
//! asked of a daemon after it has not answered once.
//!
//! What is not done here: deciding which endpoint is taken (see [`discovery`](super::discovery)) and showing it.

mod advice;
pub mod holder;
pub mod host;
pub mod peer;
mod permission;
mod plugins;
pub mod units;

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use crate::client::{self, Api, Client, Kind};
use crate::cri;
use crate::endpoint::report::{Process, Runtime, Verdict};
use crate::endpoint::{Endpoint, connect};
use holder::Reach;
use host::Host;
use peer::Peer;

/// How much is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What is needed to talk to a runtime: the process behind one that serves is not looked up.
    Quick,
    /// Everything.
    Full,
}

/// How an endpoint is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The time for everything together.
    pub deadline: Duration,
    /// Whether a socket-activated service may be woken.
    pub wake: bool,
    /// How much is found out.
    pub effort: Effort,
}

/// What one endpoint turned out to be.
#[derive(Debug)]
pub struct Triage {
    /// The verdict.
    pub verdict: Verdict,
    /// Who answered.
    pub runtime: Option<Runtime>,
    /// How long the `Version` call took that was answered.
    pub latency: Option<Duration>,
    /// Who holds the socket.
    pub process: Option<Process>,
    /// What was seen, in one sentence.
    pub detail: String,
    /// The daemon's own words, verbatim.
    pub runtime_says: Option<String>,
    /// What to do, in one sentence.
    pub advice: Option<String>,
    /// The connection, where CRI answers.
    pub live: Option<Live>,
}

/// A connection over which CRI has answered.
#[derive(Debug)]
pub struct Live {
    /// The connection.
    pub connection: connect::Connection,
    /// The version of CRI that is spoken.
    pub api: Api,
}

impl Triage {
    fn new(verdict: Verdict, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict,
            runtime: None,
            latency: None,
            process: None,
            detail: detail.into(),
            runtime_says: None,
            advice: Some(advice.into()),
            live: None,
        }
    }

    fn of(mut self, process: Option<Process>) -> Self {
        self.process = process;
        self
    }
}

/// Examines an endpoint. It always ends by the deadline, with a verdict.
pub async fn triage(endpoint: &Endpoint, host: &Host, options: &Options) -> Triage {
    let path = endpoint.path();
    let called = &host.inside(path);
    if let Some(found) = look(path, called) {
        return found;
    }
    if !options.wake
        && let Some(found) = dormant(path, host, options.effort)
    {
        return found;
    }
    let until = Instant::now() + options.deadline;
    let stream = match timeout_at(until, connect::open(endpoint)).await {
        Err(_) => return backlog_full(path, called, host, options),
        Ok(Err(error)) => return unconnected(path, called, &error),
        Ok(Ok(stream)) => stream,
    };
    let behind = Behind {
        host,
        path,
        called,
        peer: peer_of(&stream),
        effort: options.effort,
    };
    let connection = match timeout_at(until, connect::over(stream)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) => return not_grpc(Peer::Closes, endpoint, until, &behind).await,
        Err(_) => return silent(&behind, Silence::Preface, options.deadline),
    };
    for api in [Api::V1, Api::V1alpha2] {
        let began = Instant::now();
        let answer = match timeout_at(until, version(endpoint, &connection, api, options)).await {
            Ok(answer) => answer,
            Err(_) => Err(client::Error::Deadline {
                rpc: "Version",
                endpoint: endpoint.clone(),
                deadline: options.deadline,
            }),
        };
        let latency = began.elapsed();
        let error = match answer {
            Ok(answer) => return serving(api, &answer, latency, connection, &behind),
            Err(error) => error,
        };
        let greeting = connection.greeting();
        let said = peer::recognise(&greeting.bytes(), greeting.ended());
        match error.kind() {
            Some(Kind::Deadline) if matches!(error, client::Error::Deadline { .. }) => {
                return match said {
                    Peer::Http2 => silent(&behind, Silence::Answer, options.deadline),
                    Peer::Silent if permission::is_ttrpc(path) => named(&Peer::Silent, &behind),
                    Peer::Silent => silent(&behind, Silence::Preface, options.deadline),
                    said => named(&said, &behind),
                };
            }
            // Whatever was made of its answer, a peer that did not begin with HTTP/2 is something else.
            _ if said != Peer::Http2 => return not_grpc(said, endpoint, until, &behind).await,
            // Go's servers name the service, others only say UNIMPLEMENTED: every server of CRI has `Version`.
            Some(Kind::UnknownService | Kind::UnknownMethod) => {}
            Some(Kind::Broken) => {
                let why = match &error {
                    client::Error::Status { message, .. } => message.clone(),
                    other => other.to_string(),
                };
                return broken(&why, &behind);
            }
            _ => return failed(&error, &behind),
        }
    }
    without_cri(endpoint, &connection, until, &behind, options).await
}

/// What is at the path, if it is not a socket.
fn look(path: &Path, called: &Path) -> Option<Triage> {
    let link = match fs::symlink_metadata(path) {
        Ok(link) => link,
        Err(error) => return Some(unseen(path, called, &error)),
    };
    let found = if link.file_type().is_symlink() {
        match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Some(denied(path));
            }
            Err(error) => {
                let target = fs::read_link(path).unwrap_or_default();
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "which does not exist".to_owned(),
                    _ => format!("which cannot be followed ({error})"),
                };
                return Some(Triage::new(
                    Verdict::Absent,
                    format!("a symbolic link to {}, {why}", target.display()),
                    format!(
                        "remove the link or point it at a socket; if its runtime is to run here, {}",
                        advice::start(called)
                    ),
                ));
            }
        }
    } else {
        link
    };
    let kind = found.file_type();
    let what = if kind.is_socket() {
        return None;
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "a regular file"
    };
    let advice = if kind.is_dir() {
        // What a container engine makes of a missing source of a bind mount.
        "give the path of the socket itself; if this path was mounted into a container, the socket did not exist then"
    } else {
        "give the path of a socket, or remove what is there and restart the runtime"
    };
    Some(Triage::new(
        Verdict::NotSocket,
        format!("this is {what}, not a socket"),
        advice,
    ))
}

/// The path does not lead anywhere.
fn unseen(path: &Path, called: &Path, error: &io::Error) -> Triage {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return denied(path);
    }
    // The first part of the path that is missing tells a runtime that is not installed from one that is down.
    let missing = path
        .ancestors()
        .skip(1)
        .take_while(|directory| fs::symlink_metadata(directory).is_err())
        .last();
    let detail = match (error.kind(), missing) {
        (io::ErrorKind::NotFound, Some(directory)) => {
            format!(
                "there is no such file: the directory {} does not exist",
                directory.display()
            )
        }
        (io::ErrorKind::NotFound, None) => "there is no such file".to_owned(),
        (io::ErrorKind::NotADirectory, _) => {
            let file = path
                .ancestors()
                .skip(1)
                .find(|part| fs::metadata(part).is_ok_and(|found| !found.is_dir()));
            let file = file.unwrap_or(path).display();
            format!("there is no such file: {file} is not a directory")
        }
        _ => format!("there is no such file ({error})"),
    };
    Triage::new(Verdict::Absent, detail, advice::absent(called))
}

fn denied(path: &Path) -> Triage {
    let permission::Obstacle { detail, advice } = permission::explain(path);
    Triage::new(Verdict::Denied, detail, advice)
}

/// A socket that only a supervisor holds.
fn dormant(path: &Path, host: &Host, effort: Effort) -> Option<Triage> {
    let reach = match effort {
        Effort::Quick => Reach::Init,
        Effort::Full => Reach::Everybody,
    };
    let asleep = holder::asleep(host, path, reach)?;
    let process = host.process(asleep.pid);
    let supervisor = process
        .exe
        .as_deref()
        .and_then(|exe| Path::new(exe).file_name()?.to_str())
        .unwrap_or(&asleep.comm);
    let pid = asleep.pid;
    let (detail, advice) = match &asleep.unit {
        Some(unit) => (
            format!(
                "{supervisor} (pid {pid}) holds the socket for {}, and {} is not running; it was not woken",
                unit.socket, unit.service
            ),
            format!(
                "start it with `systemctl start {}`, or ask with `--wake`",
                unit.service
            ),
        ),
        None => (
            format!(
                "only {supervisor} (pid {pid}) holds the socket, to start a service on the first connection; it was \
                 not woken"
            ),
            "start the service behind the socket, or ask with `--wake`".to_owned(),
        ),
    };
    Some(Triage::new(Verdict::Dormant, detail, advice).of(Some(process)))
}

/// connect() failed.
fn unconnected(path: &Path, called: &Path, error: &io::Error) -> Triage {
    match error.kind() {
        io::ErrorKind::NotFound => unseen(path, called, error),
        io::ErrorKind::PermissionDenied => denied(path),
        io::ErrorKind::ConnectionRefused => Triage::new(
            Verdict::Refused,
            "the socket is there but nobody listens: the process that made it is gone",
            format!(
                "{}; a runtime replaces the stale socket when it starts",
                advice::start(called)
            ),
        ),
        // A datagram socket, as /dev/log is.
        _ if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
            Triage::new(
                Verdict::NotGrpc,
                "this is a socket of another type than a stream, so no gRPC server listens there",
                "give the socket of a container runtime",
            )
        }
        _ => Triage::new(
            Verdict::Refused,
            format!("connect() failed: {error}"),
            advice::look_at(called, None),
        ),
    }
}

/// The process at the other end, for the sentences about it.
struct Behind<'a> {
    host: &'a Host,
    path: &'a Path,
    /// The path as it is called on the host.
    called: &'a Path,
    /// Who called listen(), or why that is not known.
    peer: Result<u32, String>,
    effort: Effort,
}

/// Who called listen() on the socket behind a stream, as SO_PEERCRED has it.
fn peer_of(stream: &UnixStream) -> Result<u32, String> {
    match stream.peer_cred().map(|credentials| credentials.pid()) {
        Ok(Some(pid)) if pid > 0 => Ok(pid.unsigned_abs()),
        Ok(_) => Err("the process is outside this PID namespace".to_owned()),
        Err(error) => Err(format!("SO_PEERCRED: {error}")),
    }
}

impl Behind<'_> {
    /// Who holds the socket. Where a supervisor made it, the service that took it over.
    fn process(&self) -> Process {
        let pid = match &self.peer {
            Ok(pid) => *pid,
            Err(why) => {
                return Process {
                    unknown: Some(why.clone()),
                    ..Process::default()
                };
            }
        };
        let gone = self.host.stat(pid).is_none();
        let handed_on = self
            .host
            .comm(pid)
            .is_some_and(|comm| holder::is_supervisor(&comm));
        if (gone || handed_on) && self.effort == Effort::Full {
            let inodes: Vec<u64> = self
                .host
                .listeners(self.path)
                .iter()
                .map(|listener| listener.inode)
                .collect();
            if let Some(pid) = holder::holder(self.host, &inodes) {
                return self.host.process(pid);
            }
        }
        self.host.process(pid)
    }

    /// The state of the process, where it explains silence.
    fn state(&self, process: &Process) -> Option<&'static str> {
        match self.host.stat(process.pid?)?.state {
            'T' => Some("stopped by a signal"),
            't' => Some("stopped by a debugger"),
            'D' => Some("stuck in the kernel, usually on a disk or network file system"),
            'Z' => Some("dead and not yet reaped"),
            _ => None,
        }
    }

    /// The configuration file of a containerd, from its command line.
    fn configuration(&self, process: &Process) -> String {
        let named = process
            .pid
            .filter(|pid| self.host.comm(*pid).as_deref() == Some("containerd"))
            .and_then(|pid| {
                let arguments = self.host.arguments(pid)?;
                let mut arguments = arguments.iter();
                while let Some(argument) = arguments.next() {
                    if let Some(file) = argument
                        .strip_prefix("--config=")
                        .or_else(|| argument.strip_prefix("-c="))
                    {
                        return Some(file.to_owned());
                    }
                    if argument == "--config" || argument == "-c" {
                        return arguments.next().cloned();
                    }
                }
                None
            });
        named.unwrap_or_else(|| "/etc/containerd/config.toml".to_owned())
    }
}

/// What a daemon has not done in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// Begun HTTP/2.
    Preface,
    /// Answered the call.
    Answer,
}

/// Nobody takes the connection out of the backlog.
fn backlog_full(path: &Path, called: &Path, host: &Host, options: &Options) -> Triage {
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

fn silent(behind: &Behind<'_>, silence: Silence, deadline: Duration) -> Triage {
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

/// Asks CRI's `Version`.
async fn version(
    endpoint: &Endpoint,
    connection: &connect::Connection,
    api: Api,
    options: &Options,
) -> Result<cri::VersionResponse, client::Error> {
    let options = client::Options {
        deadline: options.deadline,
        fall_back: false,
    };
    let client = Client::over(endpoint.clone(), connection.clone(), api, options);
    let reply = client.version(cri::VersionRequest::default()).await?;
    client.decode("Version", &reply)
}

fn serving(
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

/// The peer broke off: finds out what it is.
async fn not_grpc(said: Peer, endpoint: &Endpoint, until: Instant, behind: &Behind<'_>) -> Triage {
    let told = match said {
        Peer::Http(_) | Peer::Closes | Peer::Silent => {
            match timeout_at(until, peer::ask(endpoint)).await {
                // Writing may have failed before the end was read: the call has failed, so it is no silence.
                Ok(Peer::Silent | Peer::Closes) | Err(_) if said == Peer::Silent => Peer::Closes,
                Ok(Peer::Silent | Peer::Closes) | Err(_) => said,
                Ok(told) => told,
            }
        }
        told => told,
    };
    match told {
        Peer::Http2 => broken("it closed the first connection", behind),
        told => named(&told, behind),
    }
}

/// HTTP/2 that broke off: a runtime that went away, or one that cannot stand the call.
fn broken(why: &str, behind: &Behind<'_>) -> Triage {
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
fn named(peer: &Peer, behind: &Behind<'_>) -> Triage {
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
fn failed(error: &client::Error, behind: &Behind<'_>) -> Triage {
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

/// A gRPC server that knows neither version of CRI: containerd says why.
async fn without_cri(
    endpoint: &Endpoint,
    connection: &connect::Connection,
    until: Instant,
    behind: &Behind<'_>,
    options: &Options,
) -> Triage {
    let options = client::Options {
        deadline: options.deadline,
        fall_back: false,
    };
    let containerd =
        Client::over(endpoint.clone(), connection.clone(), Api::V1, options).containerd();
    let plugins = match timeout_at(until, containerd.plugins()).await {
        Ok(plugins) => plugins,
        Err(_) => {
            let process = behind.process();
            let advice = advice::look_at(behind.called, Some(&process));
            return Triage::new(
                Verdict::CriDisabled,
                "CRI is not served, and why is not known: the list of plugins did not come in time",
                advice,
            )
            .of(Some(process));
        }
    };
    let process = behind.process();
    let Ok(plugins) = plugins else {
        // An engine's API may be reached over HTTP/2 as well.
        if let Ok(Some(http)) = timeout_at(until, peer::ask_over(connection)).await {
            return named(&Peer::Http(http), behind);
        }
        return Triage::new(
            Verdict::CriDisabled,
            "a gRPC server that knows neither CRI nor containerd's services: not a container runtime",
            "give the socket of a container runtime; `criscope endpoints` lists the known ones",
        )
        .of(Some(process));
    };
    let version = match timeout_at(until, containerd.version()).await {
        Ok(Ok(answer)) => Some(answer.version),
        _ => None,
    };
    let file = behind.configuration(&process);
    let restart = advice::restart(behind.called, Some(&process));
    let mut found = match plugins::cri(&plugins) {
        plugins::Cri::Disabled => {
            let advice = if file.contains("/docker/") {
                "this containerd belongs to Docker, which starts it without CRI: install cri-dockerd, or a containerd \
                 of its own"
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

#[cfg(test)]
mod tests;
