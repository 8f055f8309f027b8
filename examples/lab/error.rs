//! What can go wrong in the lab, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The lab's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a lab, or a package, or a node did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, as it stands behind "cannot".
        doing: String,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// A program ended badly.
    #[error("`{command}` ended with {status}: {said}")]
    Tool {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines it wrote to stderr.
        said: String,
    },
    /// The mirror has no such suite (any more).
    #[error("suite `{suite}` is not on {mirror}: {said}")]
    SuiteGone {
        /// The suite asked for.
        suite: String,
        /// Where it was looked for.
        mirror: String,
        /// apt's own words.
        said: String,
    },
    /// apt knows no mirror of Debian.
    #[error("apt's sources on this machine name no mirror of Debian")]
    NoMirror,
    /// The words on the command line do not go together.
    #[error("{0}")]
    Usage(String),
    /// There is no lab of that name.
    #[error("there is no lab `{0}`")]
    NoLab(String),
    /// The lab needs root: namespaces, mounts, cgroups.
    #[error("the lab starts a real container runtime and has to run as root")]
    NotRoot,
    /// A process of the node did not do its part in time.
    #[error("{what}{}", tail(log))]
    Node {
        /// What did not happen.
        what: String,
        /// Its log, of which the end is shown.
        log: PathBuf,
    },
    /// The node or the keeper answered something else than expected.
    #[error("the {who} says: {said}")]
    Refused {
        /// `keeper` or `node`.
        who: &'static str,
        /// Its own words.
        said: String,
    },
    /// A registry did not take what was pushed.
    #[error("the registry answered {status} to {request}: {body}")]
    Registry {
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The runtime refused a call.
    #[error("the runtime refused to {doing}")]
    Runtime {
        /// What was asked, as it stands behind "to".
        doing: String,
        /// The client's error.
        #[source]
        source: Box<criscope::client::Error>,
    },
    /// A document of the lab could not be read.
    #[error("{what} is not what a lab writes")]
    Document {
        /// Which document.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// What can be done about it, where that is known from the error alone.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::NotRoot => Some("use `sudo`, or try `criscope demo`, which needs no root"),
            Error::SuiteGone { .. } => Some(
                "name a mirror that has it in `CRISCOPE_LAB_MIRROR`; old suites move to Debian's archive",
            ),
            Error::NoMirror => Some("name one in `CRISCOPE_LAB_MIRROR`"),
            Error::NoLab(_) => Some("`lab list` shows the labs that are up"),
            _ => None,
        }
    }
}

/// Says what was being done when the operating system refused.
pub trait Doing<T> {
    /// Adds `doing`, which stands behind "cannot".
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing: doing(),
            source,
        })
    }
}

/// Runs a program to its end; anything but success is an error with the end of its stderr.
pub fn run(command: &mut Command) -> Result<Output> {
    let line = words(command);
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .doing(|| format!("run `{line}`"))?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.is_empty()).collect();
    Err(Error::Tool {
        command: line,
        status: output.status.to_string(),
        said: lines[lines.len().saturating_sub(4)..].join(" / "),
    })
}

fn words(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    // The options that make apt private would drown the rest.
    for argument in command
        .get_args()
        .map(|argument| argument.to_string_lossy())
        .filter(|argument| argument != "-o" && !argument.contains('='))
    {
        line.push(' ');
        line.push_str(&argument);
    }
    line
}

/// The last lines of a log, indented, for an error about the process that wrote it.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let mut said = String::new();
    for line in &lines[lines.len().saturating_sub(8)..] {
        said.push_str("\n    ");
        said.push_str(line);
    }
    said
}
