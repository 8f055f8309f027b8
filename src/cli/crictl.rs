//! Standing in for crictl: what is said to it is turned into ours, run, and ended as crictl ends.

use std::ffi::OsString;

use super::{parse, run};
use crate::dialect::{self, Dialect, Turned};
use crate::error::{Error, Exit};
use crate::render::output::{Manner, Output};

/// Runs what is said to crictl, without its name.
pub(super) fn stand_in(said: &[OsString], output: Output) -> Exit {
    let manner = Manner::Logrus;
    let output = Output { manner, ..output };
    let (arguments, command) = match dialect::turn(said) {
        Turned::Run { arguments, command } => (arguments, command),
        Turned::Say(said) => {
            // Stdout may be closed: then nobody wants to read it.
            let _ = output.data(said.stdout.as_bytes());
            match said.error {
                Some(error) if said.bare => output.bare(&error),
                Some(error) => output.error(&Error::failure(error)),
                None => {}
            }
            return said.exit;
        }
    };
    let exit = match parse(&arguments) {
        Ok(cli) => run(&cli, command, Dialect::Crictl, output, None),
        // What only our parser knows to be wrong, such as an expression that is none.
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            let message = line.strip_prefix("error: ").unwrap_or(line);
            output.error(&Error::failure(message));
            Exit::Failure
        }
    };
    Dialect::Crictl.exit(command, exit)
}
