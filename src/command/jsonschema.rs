//! `jsonschema` below `run`, `runp`, `create` and `pull`: the schema of the files that they read.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::render::structured;
use crate::wire::{self, Typed};

/// Below `runp` and `pull`, which read a pod's configuration.
#[derive(Debug, Subcommand)]
pub enum PodSchema {
    /// Print the JSON schema of a pod's configuration
    #[command(visible_alias = "js")]
    Jsonschema,
}

/// Below `run` and `create`, which read both.
#[derive(Debug, Subcommand)]
pub enum EitherSchema {
    /// Print the JSON schema of a pod's or a container's configuration
    #[command(visible_alias = "js")]
    Jsonschema(Which),
}

/// Whose schema.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Which {
    /// The pod's
    #[arg(short, long)]
    pod: bool,
    /// The container's
    #[arg(short, long)]
    container: bool,
}

impl PodSchema {
    /// Prints it.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn run(&self, session: &Session) -> Result<Exit, Error> {
        print(session, wire::schema(cri::PodSandboxConfig::TYPE))
    }
}

impl EitherSchema {
    /// Prints it, or both.
    ///
    /// # Errors
    /// Stdout cannot be written.
    pub fn run(&self, session: &Session) -> Result<Exit, Error> {
        let Self::Jsonschema(which) = self;
        if which.pod {
            print(session, wire::schema(cri::PodSandboxConfig::TYPE))?;
        }
        if which.container {
            print(session, wire::schema(cri::ContainerConfig::TYPE))?;
        }
        Ok(Exit::Success)
    }
}

fn print(session: &Session, schema: Value) -> Result<Exit, Error> {
    let text = structured::document(structured::Format::Json, &schema)?;
    session.output.data(&text)?;
    Ok(Exit::Success)
}
