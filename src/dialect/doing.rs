//! What crictl says that it was doing, in front of what went wrong: scripts and test suites look for these words.

use super::Dialect;
use crate::error::Reach;

impl Dialect {
    /// In front of whatever a command as a whole failed with. `None` where crictl adds nothing: it had no connection, or
    /// several steps can fail and the command itself says which.
    pub fn doing_all(self, command: &str, reach: Reach) -> Option<String> {
        let doing = match (self, reach) {
            (Dialect::Own, _) | (_, Reach::Connection) => return None,
            (Dialect::Crictl, Reach::Ours) => of_work(command).to_owned(),
            (Dialect::Crictl, Reach::Runtime) => of_work(command).to_owned() + of_call(command),
        };
        let doing = doing.strip_suffix(": ")?;
        Some(doing.to_owned())
    }

    /// In front of what the runtime refused for `id`, one of many containers or pods that a command acts on one after
    /// the other. `None` where crictl adds nothing, or several steps can fail and the command itself says which.
    pub fn doing(self, act: &str, object: &str, id: &str) -> Option<String> {
        if self == Dialect::Own {
            return None;
        }
        Some(match (act, object) {
            ("start", "container") => format!("starting the container {id:?}"),
            ("stop", "container") => format!("stopping the container {id:?}"),
            ("stop", "pod") => format!("stopping the pod sandbox {id:?}"),
            ("update", "container") => format!("updating container resources for {id:?}"),
            ("checkpoint", "container") => format!("checkpointing the container {id:?} failed"),
            _ => return None,
        })
    }
}

/// In front of whatever a command fails with once it talks to the runtime.
pub(super) fn of_work(command: &str) -> &'static str {
    match command {
        "events" => "getting container events: ",
        "images" => "listing images: ",
        "imagefsinfo" => "image filesystem info request: ",
        "info" => "getting status of runtime: ",
        "inspect" => "get the status of containers: ",
        "inspectp" => "get the status of pod sandboxes: ",
        "metricdescs" => "get metric descriptors: ",
        "metricsp" => "get pod metrics: ",
        "pods" => "listing pod sandboxes: ",
        "port-forward" => "port forward: ",
        "ps" => "listing containers: ",
        "run" => "running container: ",
        "runtime-config" => "get runtime config: ",
        "stats" => "get container stats: ",
        "statsp" => "get pod stats: ",
        "update-runtime-config" => "update runtime config: ",
        "version" => "getting the runtime version: ",
        "attach" => "attaching running container failed: ",
        _ => "",
    }
}

/// In front of what the runtime refused, behind [`of_work`].
pub(super) fn of_call(command: &str) -> &'static str {
    match command {
        "inspect" => "get container status: ",
        "inspectp" => "get pod sandbox status: ",
        "metricdescs" => "list metric descriptors: ",
        "metricsp" => "list pod sandbox metrics: ",
        "pods" => "list pod sandboxes: call list sandboxes RPC: ",
        "ps" => "list containers: call list containers RPC: ",
        "runtime-config" => "call RuntimeConfig RPC: ",
        "statsp" => "list pod sandbox stats: ",
        _ => "",
    }
}

/// In front of what the filters of a list cannot be.
pub(super) fn of_filter(command: &str) -> &'static str {
    match command {
        "ps" => "listing containers: list containers: ",
        "exec" | "inspect" => "listing containers: ",
        "pods" => "listing pod sandboxes: list pod sandboxes: ",
        "inspectp" => "listing pod sandboxes: ",
        "images" | "inspecti" => "listing images: filter images: ",
        _ => "",
    }
}
