//! What a runtime knows about one pod, container or image that somebody asks about, from the sandbox to the last words of
//! the log.

use serde::{Deserialize, Serialize};

use super::Fact;
use super::cri::Image;

/// A pod, a container or an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// What was typed.
    pub asked: String,
    /// The newest sandbox of the pod; absent for an image.
    pub sandbox: Fact<Sandbox>,
    /// The containers: of a pod the newest of each name, in the order of their creation.
    pub containers: Vec<Member>,
    /// The image, where it is what is asked about.
    pub image: Fact<Image>,
    /// Words of the runtime or the kubelet that the user brought along.
    pub said: Vec<String>,
}

/// A pod sandbox in full.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// `namespace/pod`.
    pub called: String,
    /// The pod's UID.
    pub uid: String,
    /// Whether it is ready.
    pub ready: bool,
    /// How many sandboxes the pod had before.
    pub attempt: u32,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// The addresses that CNI gave it.
    pub addresses: Vec<String>,
    /// Whether it lives in the network of the node.
    pub host_network: bool,
    /// The handler that runs it; empty for the default one.
    pub handler: String,
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// Created, never started.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// The runtime does not know.
    #[default]
    Unknown,
}

/// A container in full.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// `namespace/pod/container`.
    pub called: String,
    /// How many containers of that name the pod had before.
    pub attempt: u32,
    /// What it is doing.
    pub doing: Doing,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// When it was started; 0 for never.
    pub started_at: i64,
    /// The last end of a container of this name: its own, or that of the one before it.
    pub end: Option<End>,
    /// The image as it was asked for.
    pub image: String,
    /// Whether the runtime has the image; absent if it does not.
    pub has_image: Fact<Image>,
    /// Its memory limit in bytes, where the runtime tells.
    pub memory_limit: Option<i64>,
    /// The last lines of the log of the container that ended, else of the one that runs.
    pub log: Fact<LogTail>,
    /// Why nothing more is known.
    pub unanswered: Option<String>,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct End {
    /// The container that ended.
    pub id: String,
    /// Its exit code; above 128 the signal that ended it.
    pub code: i32,
    /// The runtime's word: `Completed`, `Error`, `OOMKilled`, `StartError`.
    pub reason: String,
    /// The runtime's sentence.
    pub message: String,
    /// When it was started, in nanoseconds since 1970; 0 for never.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: i64,
}

/// The end of a log file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTail {
    /// The file, as the node sees it.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The last lines, without time and stream, secrets covered.
    pub lines: Vec<String>,
}

impl End {
    /// The signal that ended it, if one did.
    pub fn signal(&self) -> Option<i32> {
        (129..=128 + 64)
            .contains(&self.code)
            .then(|| self.code - 128)
    }

    /// Whether the kernel ended it for want of memory, in the runtime's words.
    pub fn is_out_of_memory(&self) -> bool {
        self.reason == "OOMKilled"
    }
}
