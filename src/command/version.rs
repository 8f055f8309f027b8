//! `criscope version`: what the runtime says that it is, and which API it was asked in.
//!
//! One Version RPC.

use clap::Args;

use super::args::{DocumentFormat, TemplateText};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::render::{sanitize, structured};
use crate::wire::{self, Typed};

const EXAMPLES: &str = "\
Examples:
  criscope version             name, version and API of the runtime
  criscope version -o json     the same for programs";

/// Arguments of `version`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Version {
    /// How to show it
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        alias = "format"
    )]
    output: DocumentFormat,
    #[command(flatten)]
    template: TemplateText,
}

/// Runs `criscope version`.
///
/// # Errors
/// The runtime cannot be asked, or leaves a field empty that the kubelet needs.
pub async fn run(args: &Version, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let reply = client.version(cri::VersionRequest::default()).await?;
    let version = client.decode("Version", &reply)?;
    let fields = [
        ("Version", &version.version),
        ("RuntimeName", &version.runtime_name),
        ("RuntimeVersion", &version.runtime_version),
        ("RuntimeApiVersion", &version.runtime_api_version),
    ];
    let missing: Vec<&str> = fields
        .iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        return Err(Error::failure(format!(
            "the runtime left out {}",
            missing.join(", ")
        )));
    }
    let document = || {
        let value = wire::value(cri::VersionResponse::TYPE, reply.bytes(), wire::Unset::Omit);
        Ok(value.map_err(structured::Error::from)?)
    };
    let bytes = match args.output.write(&args.template, document)? {
        Some(bytes) => bytes,
        None => {
            let lines = fields.map(|(name, value)| format!("{name}:  {}\n", sanitize::line(value)));
            lines.concat().into_bytes()
        }
    };
    session.output.data(&bytes)?;
    Ok(Exit::Success)
}
