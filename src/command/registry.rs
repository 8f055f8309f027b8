//! `criscope registry …`: what the node's registry configuration really means.

pub mod convert;
mod given;
pub mod lint;
pub mod probe;
pub mod route;

use clap::{Args, Subcommand};

use super::session::Session;
use crate::error::{Error, Exit};

const EXAMPLES: &str = "\
Examples:
  criscope registry lint                        what is wrong in the files of this node
  criscope registry route nginx:1.25            which endpoints are asked, in order, and why
  criscope registry probe nginx:1.25            what each of them really answers
  criscope registry convert --diff              mirrors of config.toml as hosts.toml";

/// Arguments of `registry`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Registry {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with the configuration
    Lint(Box<lint::Lint>),
    /// Write the configuration in its newer form: mirrors, daemon.json or registries.yaml as hosts.toml
    Convert(Box<convert::Convert>),
    /// Show which endpoints the runtime asks for an image, in which order, and why
    Route(Box<route::Route>),
    /// Ask every endpoint as the runtime would, and foretell the pull
    Probe(Box<probe::Probe>),
}

/// Runs `criscope registry …`.
///
/// # Errors
/// Whatever the sub-command fails with.
pub async fn run(args: &Registry, session: &Session) -> Result<Exit, Error> {
    match &args.command {
        Command::Convert(args) => convert::run(args, session).await,
        Command::Lint(args) => lint::run(args, session).await,
        Command::Route(args) => route::run(args, session).await,
        Command::Probe(args) => probe::run(args, session).await,
    }
}
