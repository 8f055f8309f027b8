//! The error as the user meets it: what kind it is, what was being done, why it failed, what can be done about it.
//!
//! Rooms have their own error types; here they become one. A hint is computed from the type, never from the text.

use std::fmt;
use std::process;

use crate::client;
use crate::endpoint::{self, connect};
use crate::probe::discovery;
use crate::render::structured;
use crate::settings;
use crate::stream;

/// How the process ends. Scripts rely on these numbers; see `docs/exit-codes.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; warnings are fine.
    Success,
    /// What was asked for failed, or something is wrong with the node.
    Failure,
    /// The command line cannot be understood.
    Usage,
    /// Nothing could be found out, for example because no runtime answers.
    Undetermined,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// The exit code of a command that was run in a container.
    Remote(u8),
    /// A verdict in the numbers of a monitoring system.
    Plugin(u8),
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Undetermined => 3,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
            Exit::Remote(code) | Exit::Plugin(code) => code,
        }
    }

    /// The worse of two outcomes: a failure beats what could not be determined, and that beats success.
    #[must_use]
    pub fn or_worse(self, other: Exit) -> Exit {
        let badness = |exit: Exit| match exit {
            Exit::Success => 0,
            Exit::Undetermined => 1,
            _ => 2,
        };
        if badness(other) > badness(self) {
            other
        } else {
            self
        }
    }
}

impl From<Exit> for process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What went wrong, in the user's terms.
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    candidates: Vec<String>,
    hints: Vec<String>,
    closed_pipe: bool,
    about_endpoint: bool,
    /// What a runtime said, as we tell it and as crictl does.
    said: Option<Box<(String, String)>>,
    /// How far it came.
    reach: Reach,
}

/// How far a command came before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Nobody was asked, or what was asked was answered.
    #[default]
    Ours,
    /// There was no connection.
    Connection,
    /// A runtime refused.
    Runtime,
}

impl Error {
    /// Something failed.
    pub fn failure(message: impl fmt::Display) -> Self {
        Self::with_exit(Exit::Failure, message)
    }

    /// The user asked for something that makes no sense.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::with_exit(Exit::Usage, message)
    }

    /// It could not be found out.
    pub fn undetermined(message: impl fmt::Display) -> Self {
        Self::with_exit(Exit::Undetermined, message)
    }

    fn with_exit(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            causes: Vec::new(),
            candidates: Vec::new(),
            hints: Vec::new(),
            closed_pipe: false,
            about_endpoint: false,
            said: None,
            reach: Reach::Ours,
        }
    }

    /// Adds what one can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// Adds something that may have been meant.
    #[must_use]
    pub fn candidate(mut self, candidate: impl fmt::Display) -> Self {
        self.candidates.push(candidate.to_string());
        self
    }

    /// Adds a hint where there is one.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<impl fmt::Display>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Adds the cause and its causes.
    #[must_use]
    pub fn because(mut self, cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            let text = error.to_string();
            // Some libraries repeat their source in their own text.
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Lets the process end in another way: `exec` has codes of its own.
    #[must_use]
    pub fn exiting(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Says what was being done, in front of the message.
    #[must_use]
    pub fn while_doing(mut self, doing: impl fmt::Display) -> Self {
        let cause = std::mem::replace(&mut self.message, doing.to_string());
        self.causes.insert(0, cause);
        self
    }

    /// Whether nobody reads stdout any more, which is no error: `criscope ps | head -1`.
    pub fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }

    /// Whether the endpoint did not answer as a runtime does, so that looking at it may tell more.
    pub fn is_about_endpoint(&self) -> bool {
        self.about_endpoint
    }

    /// How far it came.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// How the process ends because of it.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The headline, without causes and hints.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Why, outermost first.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// The headline and the causes in one line, a runtime's own in grpc-go's words.
    pub fn in_one_line(&self) -> String {
        if let (Reach::Connection, Some(said)) = (self.reach, &self.said) {
            // They end with the cause.
            return said.1.clone();
        }
        let mut words = Vec::new();
        for text in std::iter::once(&self.message).chain(&self.causes) {
            words.push(match &self.said {
                Some(said) if said.0 == *text => said.1.as_str(),
                _ => text.as_str(),
            });
        }
        words.join(": ")
    }

    /// What may have been meant, where it was ambiguous.
    pub fn candidates(&self) -> &[String] {
        &self.candidates
    }

    /// What to do.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl From<std::io::Error> for Error {
    /// Writing to stdout failed.
    fn from(error: std::io::Error) -> Self {
        let closed_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self {
            closed_pipe,
            ..Self::failure("cannot write the output").because(&error)
        }
    }
}

impl From<structured::Error> for Error {
    fn from(error: structured::Error) -> Self {
        if let structured::Error::Write(error) = error {
            return Self::from(error);
        }
        let made = Self::failure(&error);
        match std::error::Error::source(&error) {
            Some(source) => made.because(source),
            None => made,
        }
    }
}

impl From<settings::Error> for Error {
    fn from(error: settings::Error) -> Self {
        let made = Self::usage(&error);
        match std::error::Error::source(&error) {
            Some(source) => made.because(source),
            None => made,
        }
    }
}

impl From<endpoint::Error> for Error {
    fn from(error: endpoint::Error) -> Self {
        Self::usage(&error).maybe_hint(error.hint())
    }
}

impl From<discovery::Failure> for Error {
    /// No endpoint to talk to.
    fn from(failure: discovery::Failure) -> Self {
        let message = match &failure.endpoint {
            Some(endpoint) => format!("no container runtime answers at `{endpoint}`"),
            None => "no container runtime answers".to_owned(),
        };
        let mut made = Self::undetermined(message).maybe_hint(failure.advice);
        made.causes
            .push(format!("{}: {}", failure.verdict.name(), failure.detail));
        // Some verdicts are explained in the runtime's words already.
        let says = failure.says.filter(|says| !failure.detail.contains(says));
        made.causes.extend(says);
        made
    }
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        let exit = match &error {
            client::Error::Connect { .. } | client::Error::Deadline { .. } => Exit::Undetermined,
            client::Error::Status { kind, .. } => match kind {
                client::Kind::UnknownService | client::Kind::Broken | client::Kind::Unavailable => {
                    Exit::Undetermined
                }
                _ => Exit::Failure,
            },
            client::Error::OnlyOlder { .. } => Exit::Failure,
            client::Error::Decode { .. } | client::Error::Malformed { .. } => Exit::Undetermined,
        };
        let mut made = Self::with_exit(exit, &error);
        made.about_endpoint = exit == Exit::Undetermined;
        made.said = error
            .in_grpc_words()
            .map(|theirs| Box::new((error.to_string(), theirs)));
        made.reach = match &error {
            client::Error::Connect { .. } => Reach::Connection,
            _ => Reach::Runtime,
        };
        let made = match std::error::Error::source(&error) {
            Some(source) => made.because(source),
            None => made,
        };
        made.maybe_hint(hint_of(&error))
    }
}

impl From<stream::log::Error> for Error {
    fn from(error: stream::log::Error) -> Self {
        let (stream::log::Error::Open { source, .. } | stream::log::Error::Read { source, .. }) =
            &error;
        let hint = if error.is_link() {
            Some("`--follow-links` reads it all the same; see first what it leads to")
        } else if error.is_absent() {
            Some(
                "a container that was never started has no log yet; another host's, or one that was removed, is not here",
            )
        } else if source.kind() == std::io::ErrorKind::PermissionDenied {
            Some("run as root: logs are readable to their owner")
        } else {
            None
        };
        Self::failure(&error).because(source).maybe_hint(hint)
    }
}

impl From<stream::Error> for Error {
    fn from(error: stream::Error) -> Self {
        let source = match &error {
            // A pipe that nobody reads any more is no error.
            stream::Error::Output(source) => {
                return Self::from(std::io::Error::from(source.kind()));
            }
            error => std::error::Error::source(error),
        };
        let made = Self::failure(&error);
        let made = match source {
            Some(source) => made.because(source),
            None => made,
        };
        made.maybe_hint(match &error {
            stream::Error::Refused { .. } | stream::Error::Upgrade { .. } => {
                Some("`--transport` takes another way, `--debug` shows what was tried")
            }
            stream::Error::Deadline { .. } => Some("`-t 10s` before the command waits longer"),
            stream::Error::Handshake { .. } => {
                Some("`--tls-ca`, `--tls-sni`, `--tls-cert` and `--tls-key` say whom to trust and who asks")
            }
            stream::Error::Lost(_) => {
                Some("the runtime went away or was restarted; `criscope endpoints` tells whether it is back")
            }
            _ => None,
        })
    }
}

/// What to do about a call that failed.
fn hint_of(error: &client::Error) -> Option<String> {
    match error {
        client::Error::Connect { endpoint, source: connect::Error::Connect(cause) } => match cause.kind() {
            std::io::ErrorKind::NotFound => {
                Some("is the runtime running? `criscope endpoints` lists every known socket".to_owned())
            }
            std::io::ErrorKind::PermissionDenied => Some("run as root, or join the group that owns the socket".to_owned()),
            std::io::ErrorKind::ConnectionRefused => {
                Some(format!("nobody listens at `{}`: the daemon that made the socket is gone", endpoint.path().display()))
            }
            _ => None,
        },
        client::Error::Connect { source: connect::Error::Deadline(_), .. } => {
            Some("the daemon does not accept connections; `-t 10s` waits longer".to_owned())
        }
        client::Error::OnlyOlder { .. } => {
            Some("criscope looks at such a node and pulls images, but does not change its pods: upgrade the runtime first".to_owned())
        }
        client::Error::Deadline { .. } => {
            Some("the runtime is busy or hung; `-t 10s` waits longer, `criscope endpoints` tells which".to_owned())
        }
        client::Error::Status { kind: client::Kind::UnknownService, .. } => {
            Some("`criscope endpoints` tells whether CRI is disabled, failed to load, or never was there".to_owned())
        }
        client::Error::Status { kind: client::Kind::UnknownMethod, .. } => {
            Some("this runtime is older or newer than the call".to_owned())
        }
        client::Error::Status { kind: client::Kind::Broken, .. } => {
            Some("`criscope endpoints` tells what listens there".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_decides() {
        use Exit::{Failure, Success, Undetermined};
        assert_eq!(Success.or_worse(Undetermined), Undetermined);
        assert_eq!(Undetermined.or_worse(Failure), Failure);
        assert_eq!(Failure.or_worse(Success), Failure);
    }
}
