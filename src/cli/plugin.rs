//! Running as a plugin of a monitoring system: whatever happens to us has a number and a line there, too.
//!
//! For Nagios everything that is not a verdict about the node is UNKNOWN, 3: misuse, help, the version, an error, a signal,
//! a panic. node-problem-detector reads everything above 1 as unknown.

use std::ffi::OsString;

use crate::error::{Error, Exit};
use crate::render::output::Output;
use crate::render::report::{nagios, npd};
use crate::secret::cover::addresses;

/// Which convention is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    Nagios,
    Npd,
}

impl Plugin {
    /// What the arguments ask for, also where they make no sense otherwise: `-o nagios` in any notation behind a command
    /// that examines, the last one wins.
    pub(super) fn of(arguments: &[OsString]) -> Option<Self> {
        let mut found = None;
        let mut named = false;
        let mut examines = false;
        for argument in arguments.iter().skip(1) {
            let text = argument.to_string_lossy();
            if !examines {
                match text.as_ref() {
                    "check" | "doctor" | "why" | "preflight" => examines = true,
                    // What follows may be anybody's words.
                    "exec" => return None,
                    _ => {}
                }
                continue;
            }
            if text == "--" {
                break;
            }
            let value = if named {
                Some(text.as_ref())
            } else {
                ["--output=", "--format=", "-o="]
                    .iter()
                    .find_map(|flag| text.strip_prefix(flag))
                    .or_else(|| text.strip_prefix("-o").filter(|rest| !rest.is_empty()))
            };
            if let Some(value) = value {
                found = match value {
                    "nagios" => Some(Self::Nagios),
                    "npd" => Some(Self::Npd),
                    _ => None,
                };
            }
            named = !named && matches!(text.as_ref(), "-o" | "--output" | "--format");
        }
        found
    }

    /// The number for everything that is no verdict.
    fn trouble(self) -> Exit {
        Exit::Plugin(match self {
            Self::Nagios => 3,
            Self::Npd => 2,
        })
    }

    /// What the end of a run means to the monitoring system.
    pub(super) fn exit(self, exit: Exit, output: Output) -> Exit {
        if matches!(exit, Exit::Interrupted | Exit::Terminated) {
            self.tell("criscope was told to stop before it was done", output);
        }
        self.number(exit)
    }

    fn number(self, exit: Exit) -> Exit {
        match exit {
            Exit::Plugin(_) => exit,
            _ => self.trouble(),
        }
    }

    fn line(self, text: &str) -> String {
        let text = &addresses(text);
        match self {
            Self::Nagios => nagios::trouble(text),
            Self::Npd => npd::trouble(text),
        }
    }

    /// Says on stdout, where the monitoring system reads, what went wrong.
    pub(super) fn tell(self, text: &str, output: Output) {
        // Nobody may be left to read it.
        let _ = output.data(self.line(text).as_bytes());
    }

    /// The same for an error, with its first cause.
    pub(super) fn tell_error(self, error: &Error, output: Output) {
        let cause = error.causes().first().map(|cause| format!(": {cause}"));
        self.tell(
            &format!("{}{}", error.message(), cause.unwrap_or_default()),
            output,
        );
    }

    /// Ends the process in the monitoring system's way if criscope breaks off.
    pub(super) fn guard(self, output: Output) {
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string);
            let place = place.unwrap_or_default();
            self.tell(
                &format!("criscope broke off, which is a defect of its own ({place})"),
                output,
            );
            // A panic would end the process with a number of its own.
            std::process::exit(self.trouble().code().into());
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn case(line: &str, expected: Option<Plugin>) {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        assert_eq!(Plugin::of(&arguments), expected, "{line}");
    }

    #[test]
    fn every_notation() {
        for line in [
            "criscope check -o nagios",
            "criscope check -onagios --bogus",
            "criscope check -o=nagios",
            "criscope check --output=nagios",
            "criscope check --format nagios --help",
            "criscope check -o json -o nagios",
        ] {
            case(line, Some(Plugin::Nagios));
        }
        case("criscope check -o npd", Some(Plugin::Npd));
        case("criscope check -o nagios -o json", None);
        case("criscope exec x -- -o nagios", None);
        case("criscope check --only nagios", None);
        case("criscope exec x check -o nagios", None);
        case("criscope -o nagios", None);
    }

    #[test]
    fn only_verdicts_have_other_numbers() {
        for exit in [Exit::Success, Exit::Usage, Exit::Failure, Exit::Terminated] {
            assert_eq!(Plugin::Nagios.number(exit).code(), 3);
            assert_eq!(Plugin::Npd.number(exit).code(), 2);
        }
        assert_eq!(Plugin::Nagios.number(Exit::Plugin(1)).code(), 1);
    }
}
