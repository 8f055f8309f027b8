//! Standing in for crictl: its ways of writing arguments turned into ours, its help and its words for misuse.
//!
//! Entered by the name of the program (`ln -s criscope crictl`) or by the first argument (`criscope crictl …`). Followed
//! is crictl 1.36, whose command line is made with urfave/cli v2: long flags with one dash or two, options only in front
//! of operands, most misuse answered with help on stdout and success. `docs/crictl.md` lists what is kept and what is
//! put right.
//!
//! This room knows nothing of clap, runtimes or terminals: arguments in, arguments or texts out. The commands
//! themselves see only a [`Dialect`].

mod arguments;
mod completion;
mod doing;
mod help;
mod rules;
mod turn;
mod words;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::error::Exit;

pub use turn::{Said, Turned, turn};

/// The release of crictl that is stood in for. Scripts compare it with what they need.
pub const VERSION: &str = "v1.36.0";

/// As whom the program is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// By its own name.
    #[default]
    Own,
    /// As crictl: its words, its silence, its exit codes.
    Crictl,
}

impl Dialect {
    /// Whether it stands in for crictl.
    pub fn is_crictl(self) -> bool {
        self == Dialect::Crictl
    }

    /// The exit code that crictl's `command` would have: 0 and 1, and the code of a command in a container, which crictl
    /// loses.
    pub fn exit(self, command: &str, exit: Exit) -> Exit {
        // What goes on until somebody stops it.
        let is_endless = matches!(command, "logs" | "stats" | "statsp" | "metricsp");
        match (self, exit) {
            (Dialect::Own, exit) => exit,
            (Dialect::Crictl, Exit::Success | Exit::Remote(_)) => exit,
            (Dialect::Crictl, Exit::Interrupted | Exit::Terminated) if is_endless => Exit::Success,
            (Dialect::Crictl, _) => Exit::Failure,
        }
    }

    /// The help of a command, where crictl answers with it.
    pub fn help(self, command: &str) -> Option<String> {
        match self {
            Dialect::Own => None,
            Dialect::Crictl => words::command(command).map(help::of_command),
        }
    }

    /// A completion script for `shell`, which is `bash`, `zsh` or `fish`.
    pub fn completion(self, shell: &str) -> Option<String> {
        match self {
            Dialect::Own => None,
            Dialect::Crictl => completion::script(shell),
        }
    }
}

/// What is said to crictl, without its name: `None` if the program is called by its own name.
pub fn said_to_crictl(arguments: &[OsString]) -> Option<&[OsString]> {
    let (program, rest) = arguments.split_first()?;
    if Path::new(program).file_name() == Some(OsStr::new("crictl")) {
        return Some(rest);
    }
    match rest.split_first() {
        Some((first, rest)) if first == "crictl" => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crictl_is_known_by_its_name() {
        #[track_caller]
        fn case(arguments: &[&str], expected: Option<&[&str]>) {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            let expected: Option<Vec<OsString>> =
                expected.map(|rest| rest.iter().map(OsString::from).collect());
            assert_eq!(
                said_to_crictl(&arguments),
                expected.as_deref(),
                "{arguments:?}"
            );
        }
        case(&["crictl", "ps"], Some(&["ps"]));
        case(&["/usr/local/bin/crictl"], Some(&[]));
        case(&["criscope", "crictl", "ps", "-a"], Some(&["ps", "-a"]));
        case(&["criscope", "ps"], None);
        case(&["/opt/crictl/criscope", "ps"], None);
        case(&["criscope", "inspect", "crictl"], None);
        case(&["criscope"], None);
        case(&[], None);
    }

    #[test]
    fn crictl_ends_with_0_or_1_or_the_code_of_a_command() {
        let exit = |command, exit| Dialect::Crictl.exit(command, exit);
        assert_eq!(exit("ps", Exit::Undetermined), Exit::Failure);
        assert_eq!(exit("ps", Exit::Usage), Exit::Failure);
        assert_eq!(exit("events", Exit::Interrupted), Exit::Failure);
        assert_eq!(exit("logs", Exit::Interrupted), Exit::Success);
        assert_eq!(exit("exec", Exit::Remote(7)), Exit::Remote(7));
        let own = Dialect::Own.exit("ps", Exit::Undetermined);
        assert_eq!(own, Exit::Undetermined);
    }
}
