//! `criscope explain CODE`: what a check looks at, when it fails, why that matters, what to do.

use clap::Args;

use super::session::Session;
use crate::check::scope::Selector;
use crate::check::{self, Profile, Scope};
use crate::error::{Error, Exit};
use crate::render::report::list;

const EXAMPLES: &str = "\
Examples:
  criscope explain containerd-singular-table    one finding
  criscope explain cni                          the checks of an area";

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// The code of a check, or an area to list its checks
    #[arg(value_name = "CODE|AREA")]
    word: String,
}

/// Runs `criscope explain`.
///
/// # Errors
/// There is no such check.
#[expect(clippy::unused_async, reason = "as every command")]
pub async fn run(args: &Explain, session: &Session) -> Result<Exit, Error> {
    let text = match Selector::parse(&args.word) {
        Ok(Selector::Check(code)) => check::find(code).map(list::explain).unwrap_or_default(),
        Ok(area) => list::checks(&Scope {
            only: vec![area],
            ..Scope::of(Profile::Node)
        }),
        Err(error) => {
            let hint = match error.near.as_slice() {
                [] => "`criscope doctor --list-checks --profile node` lists them".to_owned(),
                near => format!(
                    "did you mean `criscope explain {}`?",
                    near.join("` or `criscope explain ")
                ),
            };
            return Err(Error::usage(error).hint(hint));
        }
    };
    session.output.data(text.as_bytes())?;
    Ok(Exit::Success)
}
