//! Really starts a pod of a runtime handler, and leaves nothing behind: sandbox, container, exec, log, gone again.
//!
//! The only part of an examination that changes a node, so it runs on demand only. It pulls nothing: everything is made of
//! the sandbox image, whose one program says its version when it is asked (`/pause -v`), or of another image that is
//! there. The pod has the labels of criscope and a name of its own; whatever happens, it is removed by its id.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Client, Error, Kind};
use crate::cri;
use crate::facts::smoke::{Doing, End, Step, Trial};

/// How long any one call may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the container that says something may take to end.
const TALK: Duration = Duration::from_secs(10);
/// How many seconds a pod may come late whose call was given up.
const LATE: u32 = 5;
/// The namespace in which its pods are.
const NAMESPACE: &str = "criscope-smoke";

/// Commands of which the first that an image has is used: all end at once and say something.
const COMMANDS: &[&[&str]] = &[&["/pause", "-v"], &["/bin/sh", "-c", "echo smoke"]];

/// What is tried.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The handler; empty for the default one.
    pub handler: String,
    /// An image that is on the node.
    pub image: String,
    /// Whether the pod gets the node's network.
    pub host_network: bool,
    /// The control group below which the pod goes; empty for the runtime's own choice.
    pub cgroup_parent: String,
    /// The root of the daemon's files, where its log files are.
    pub root: PathBuf,
}

/// Tries a handler. `stop` ends it early: what was made is removed all the same.
pub async fn run(client: &Client, plan: &Plan, stop: impl Future<Output = ()>) -> Trial {
    let mut trial = Trial {
        handler: plan.handler.clone(),
        image: plan.image.clone(),
        host_network: plan.host_network,
        ..Trial::default()
    };
    let made = Made::new(client, plan);
    let mut sandbox = None;
    let working = made.everything(&mut trial, &mut sandbox);
    tokio::select! {
        biased;
        () = working => {}
        () = stop => trial.steps.push(Step {
            doing: Doing::Gone,
            ms: 0.0,
            end: End::Untried("interrupted".to_owned()),
        }),
    }
    made.remove(&mut trial, sandbox).await;
    trial
}

/// One pod that is made and removed.
struct Made<'c> {
    client: &'c Client,
    plan: &'c Plan,
    config: cri::PodSandboxConfig,
    /// The directory of its logs, as this process reaches it.
    logs: PathBuf,
}

impl<'c> Made<'c> {
    fn new(client: &'c Client, plan: &'c Plan) -> Self {
        let uid = format!(
            "{}-{}",
            std::process::id(),
            jiff::Timestamp::now().as_nanosecond()
        );
        let name = match plan.handler.as_str() {
            "" => "default".to_owned(),
            handler => handler.to_owned(),
        };
        let directory = format!("/var/log/pods/{NAMESPACE}_{name}_{uid}");
        let mode = if plan.host_network {
            cri::NamespaceMode::Node
        } else {
            cri::NamespaceMode::Pod
        };
        let options = cri::NamespaceOption {
            network: mode.into(),
            pid: cri::NamespaceMode::Container.into(),
            ipc: mode.into(),
            ..Default::default()
        };
        let config = cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name,
                uid,
                namespace: NAMESPACE.to_owned(),
                attempt: 0,
            }),
            log_directory: directory.clone(),
            labels: [(
                "app.kubernetes.io/managed-by".to_owned(),
                "criscope".to_owned(),
            )]
            .into(),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: plan.cgroup_parent.clone(),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(options),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        Self {
            client,
            plan,
            config,
            logs: plan.root.join(directory.trim_start_matches('/')),
        }
    }

    async fn everything(&self, trial: &mut Trial, made: &mut Option<String>) {
        let client = self.client;
        let request = cri::RunPodSandboxRequest {
            config: Some(self.config.clone()),
            runtime_handler: self.plan.handler.clone(),
        };
        let call = async {
            let reply = client.run_pod_sandbox(request, Some(PATIENCE)).await?;
            client.decode("RunPodSandbox", &reply)
        };
        let Some(answer) = step(trial, Doing::Sandbox, call).await else {
            return;
        };
        let pod = answer.pod_sandbox_id;
        *made = Some(pod.clone());
        let Some(container) = step(trial, Doing::Container, self.create(&pod, "smoke", &[])).await
        else {
            return;
        };
        if step(trial, Doing::Start, self.start(&container))
            .await
            .is_none()
        {
            return;
        }
        let began = Instant::now();
        let (end, command) = self.exec(&container).await;
        record(trial, Doing::Exec, began, end);
        if trial.failure().is_some() {
            return;
        }
        let began = Instant::now();
        let end = match command {
            Some(command) => self.log(&pod, command).await,
            None => End::Untried("the image has no program that says something".to_owned()),
        };
        record(trial, Doing::Logs, began, end);
    }

    async fn create(&self, pod: &str, name: &str, command: &[&str]) -> Result<String, Error> {
        let config = cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: name.to_owned(),
                attempt: 0,
            }),
            image: Some(cri::ImageSpec {
                image: self.plan.image.clone(),
                ..Default::default()
            }),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            log_path: format!("{name}.log"),
            linux: Some(cri::LinuxContainerConfig::default()),
            ..Default::default()
        };
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: pod.to_owned(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        // The kubelet makes the directory of the logs; where that is not possible, the container has none.
        if let Err(error) = std::fs::create_dir_all(&self.logs) {
            tracing::debug!(%error, "no directory for logs");
        }
        let reply = self
            .client
            .create_container(request, Some(PATIENCE))
            .await?;
        let answer = self.client.decode("CreateContainer", &reply)?;
        Ok(answer.container_id)
    }

    async fn start(&self, container: &str) -> Result<(), Error> {
        let request = cri::StartContainerRequest {
            container_id: container.to_owned(),
        };
        self.client.start_container(request, Some(PATIENCE)).await?;
        Ok(())
    }

    /// Executes the first command that the image has.
    async fn exec(&self, container: &str) -> (End, Option<&'static [&'static str]>) {
        let mut missing = String::new();
        for &command in COMMANDS {
            let request = cri::ExecSyncRequest {
                container_id: container.to_owned(),
                cmd: command.iter().map(|word| (*word).to_owned()).collect(),
                timeout: i64::try_from(TALK.as_secs()).unwrap_or(10),
            };
            let answer = self.client.exec_sync(request, Some(PATIENCE)).await;
            let answer = answer.and_then(|reply| self.client.decode("ExecSync", &reply));
            match answer {
                Ok(answer) if answer.exit_code == 0 => return (End::Done, Some(command)),
                // Some runtimes say with an exit code that there is no such program.
                Ok(answer) if [126, 127].contains(&answer.exit_code) => {
                    missing = String::from_utf8_lossy(&answer.stderr).into_owned();
                }
                Ok(answer) => {
                    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
                    return (
                        End::Failed(format!(
                            "`{}` ended with {}: {}",
                            command.join(" "),
                            answer.exit_code,
                            said.trim()
                        )),
                        None,
                    );
                }
                Err(error) if no_such_program(&words(&error)) => missing = words(&error),
                Err(error) => return (End::Failed(words(&error)), None),
            }
        }
        tracing::debug!(missing, "no command");
        (
            End::Untried("the image has no program that ends by itself".to_owned()),
            None,
        )
    }

    /// Runs a container that says something and ends, and reads its log.
    async fn log(&self, pod: &str, command: &[&str]) -> End {
        if !self.logs.is_dir() {
            return End::Untried(format!("`{}` cannot be made", self.logs.display()));
        }
        let talking = async {
            let id = self.create(pod, "talk", command).await?;
            self.start(&id).await?;
            Ok::<String, Error>(id)
        };
        let id = match talking.await {
            Ok(id) => id,
            Err(error) => return End::Failed(words(&error)),
        };
        match self.ended(&id).await {
            Ok(0) => {}
            Ok(code) => return End::Failed(format!("the container ended with {code}")),
            Err(why) => return End::Failed(why),
        }
        let path = self.logs.join("talk.log");
        match std::fs::read(&path) {
            Ok(text) if text.is_empty() => End::Failed(format!("`{}` is empty", path.display())),
            Ok(_) => End::Done,
            Err(error) => End::Failed(format!("`{}`: {error}", path.display())),
        }
    }

    /// The exit code of a container, once it has one.
    async fn ended(&self, id: &str) -> Result<i32, String> {
        let until = Instant::now() + TALK;
        let mut pause = Duration::from_millis(20);
        loop {
            let request = cri::ContainerStatusRequest {
                container_id: id.to_owned(),
                verbose: false,
            };
            let answer = self.client.container_status(request).await;
            let answer = answer.and_then(|reply| self.client.decode("ContainerStatus", &reply));
            let status = answer
                .map_err(|error| words(&error))?
                .status
                .unwrap_or_default();
            if status.state == i32::from(cri::ContainerState::ContainerExited) {
                return Ok(status.exit_code);
            }
            if Instant::now() >= until {
                return Err(format!(
                    "the container did not end within {} s",
                    TALK.as_secs()
                ));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Removes the pod, also one whose id nobody was told, and looks whether it is gone.
    async fn remove(&self, trial: &mut Trial, sandbox: Option<String>) {
        let began = Instant::now();
        let mut pods = self.mine().await;
        // A call that was given up may be finished by the runtime all the same.
        let given_up = match trial.failure() {
            Some((step, why)) => step.doing == Doing::Sandbox && why.contains("within"),
            None => sandbox.is_none(),
        };
        for _ in 0..LATE {
            if !given_up || !pods.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            pods = self.mine().await;
        }
        if let Some(pod) = sandbox
            && !pods.contains(&pod)
        {
            pods.push(pod);
        }
        let mut end = End::Done;
        for pod in &pods {
            if let Err(error) = self.take_away(pod).await
                && error.kind() != Some(Kind::NotFound)
            {
                end = End::Failed(words(&error));
            }
        }
        for pod in self.mine().await {
            trial.left.push(format!("pod sandbox {pod}"));
            if end == End::Done {
                end = End::Failed("the pod is still listed".to_owned());
            }
        }
        if self.logs.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.logs)
        {
            trial
                .left
                .push(format!("`{}`: {error}", self.logs.display()));
        }
        if !pods.is_empty() || end != End::Done {
            record(trial, Doing::Gone, began, end);
        }
    }

    async fn take_away(&self, pod: &str) -> Result<(), Error> {
        let request = cri::StopPodSandboxRequest {
            pod_sandbox_id: pod.to_owned(),
        };
        self.client
            .stop_pod_sandbox(request, Some(PATIENCE))
            .await?;
        let request = cri::RemovePodSandboxRequest {
            pod_sandbox_id: pod.to_owned(),
        };
        self.client
            .remove_pod_sandbox(request, Some(PATIENCE))
            .await?;
        Ok(())
    }

    /// The sandboxes of exactly this trial.
    async fn mine(&self) -> Vec<String> {
        let request = cri::ListPodSandboxRequest {
            filter: Some(cri::PodSandboxFilter {
                label_selector: self.config.labels.clone(),
                ..Default::default()
            }),
        };
        let answer = self.client.list_pod_sandbox(request).await;
        let Ok(answer) = answer.and_then(|reply| self.client.decode("ListPodSandbox", &reply))
        else {
            return Vec::new();
        };
        let own = answer
            .items
            .into_iter()
            .filter(|pod| pod.metadata == self.config.metadata);
        own.map(|pod| pod.id).collect()
    }
}

/// Makes a call and records it; `None` if it failed.
async fn step<T>(
    trial: &mut Trial,
    doing: Doing,
    call: impl Future<Output = Result<T, Error>>,
) -> Option<T> {
    let began = Instant::now();
    match call.await {
        Ok(answer) => {
            record(trial, doing, began, End::Done);
            Some(answer)
        }
        Err(error) => {
            record(trial, doing, began, End::Failed(words(&error)));
            None
        }
    }
}

fn record(trial: &mut Trial, doing: Doing, began: Instant, end: End) {
    let ms = (began.elapsed().as_secs_f64() * 100_000.0).round() / 100.0;
    trial.steps.push(Step { doing, ms, end });
}

/// The runtime's own words, else ours.
fn words(error: &Error) -> String {
    match error {
        Error::Status { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

/// Whether a refusal only says that the image does not have the program.
fn no_such_program(words: &str) -> bool {
    [
        "no such file or directory",
        "executable file not found",
        "not found in $PATH",
    ]
    .iter()
    .any(|text| words.contains(text))
}

/// The root of the daemon's files as this process reaches it: that of its mount namespace.
pub fn root_of(facts: &crate::facts::Facts) -> PathBuf {
    let own = std::fs::read_link("/proc/self/ns/mnt")
        .ok()
        .map(|link| link.display().to_string());
    match facts.daemon() {
        Some(daemon) if daemon.mount_namespace.is_some() && daemon.mount_namespace != own => {
            Path::new("/proc").join(daemon.pid.to_string()).join("root")
        }
        _ => facts.host.root.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_the_program_is_no_fault_of_the_runtime() {
        for (words, expected) in [
            (
                "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/pause\": stat /pause: no such file or directory: unknown",
                true,
            ),
            (
                "exec: \"/bin/sh\": executable file not found in $PATH",
                true,
            ),
            ("cannot join cgroup", false),
        ] {
            assert_eq!(no_such_program(words), expected, "{words}");
        }
    }
}
