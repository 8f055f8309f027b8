//! `criscope runtime-config`: what kubelet and runtime have to agree on. One RuntimeConfig, since CRI 1.28.

use clap::Args;

use super::args::{DocumentFormat, TemplateText};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::render::structured;
use crate::wire::{self, Typed};

const EXAMPLES: &str = "\
Examples:
  criscope runtime-config            the cgroup driver
  criscope runtime-config -o json    as the runtime sent it";

/// Arguments of `runtime-config`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RuntimeConfig {
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

/// Runs `criscope runtime-config`.
///
/// # Errors
/// The runtime cannot be asked, or does not tell; stdout cannot be written.
pub async fn run(args: &RuntimeConfig, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let reply = client
        .runtime_config(cri::RuntimeConfigRequest::default())
        .await?;
    let document = || {
        let ty = cri::RuntimeConfigResponse::TYPE;
        let value = wire::value(ty, reply.bytes(), wire::Unset::Omit);
        Ok(value.map_err(structured::Error::from)?)
    };
    let bytes = match args.output.write(&args.template, document)? {
        Some(bytes) => bytes,
        None => {
            let answer = client.decode("RuntimeConfig", &reply)?;
            let line = answer.linux.map(|linux| {
                // A driver that CRI does not define is shown by its number.
                let driver = cri::CgroupDriver::try_from(linux.cgroup_driver);
                match driver {
                    Ok(driver) => format!("cgroup driver:   {}\n", driver.as_str_name()),
                    Err(_) => format!("cgroup driver:   {}\n", linux.cgroup_driver),
                }
            });
            line.unwrap_or_default().into_bytes()
        }
    };
    session.output.data(&bytes)?;
    Ok(Exit::Success)
}
