//! What came of really starting a pod: one trial for each runtime handler, only when asked for.

use serde::{Deserialize, Serialize};

/// One trial of a runtime handler.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trial {
    /// The handler; empty for the default one.
    pub handler: String,
    /// The image that the container was made of, which was on the node already.
    pub image: String,
    /// Whether the pod had the node's network, because the runtime says that its own is not ready.
    pub host_network: bool,
    /// What was done, in order; the last one may have failed.
    pub steps: Vec<Step>,
    /// What could not be removed again: kinds and ids.
    pub left: Vec<String>,
}

/// A step of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What was done.
    pub doing: Doing,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// How it ended.
    pub end: End,
}

/// What is done in a trial, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// RunPodSandbox.
    Sandbox,
    /// CreateContainer.
    Container,
    /// StartContainer.
    Start,
    /// ExecSync.
    Exec,
    /// A second container that says something, and its log file.
    Logs,
    /// StopPodSandbox and RemovePodSandbox, and that nothing is left of it.
    Gone,
}

impl Doing {
    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "running a pod sandbox",
            Self::Container => "creating a container",
            Self::Start => "starting the container",
            Self::Exec => "executing a command in it",
            Self::Logs => "reading its log",
            Self::Gone => "removing all of it",
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "how", content = "why")]
pub enum End {
    /// As it should.
    Done,
    /// It could not be tried, which says nothing about the runtime.
    Untried(String),
    /// It failed, in the runtime's words or in ours.
    Failed(String),
}

impl Trial {
    /// The step that failed.
    pub fn failure(&self) -> Option<(&Step, &str)> {
        self.steps.iter().find_map(|step| match &step.end {
            End::Failed(why) => Some((step, why.as_str())),
            _ => None,
        })
    }
}
