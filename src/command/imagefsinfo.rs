//! `criscope imagefsinfo`: the file systems of images and containers, and how much the runtime uses of them.
//!
//! One ImageFsInfo RPC.

use clap::Args;

use super::args::{DocumentFormat, TemplateText, Watch};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::render::{human, sanitize, structured};
use crate::wire::{self, Typed};

const EXAMPLES: &str = "\
Examples:
  criscope imagefsinfo             as JSON, like crictl
  criscope imagefsinfo -o table    for people";

/// Arguments of `imagefsinfo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImageFsInfo {
    /// How to show it
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "json",
        alias = "format"
    )]
    output: DocumentFormat,
    #[command(flatten)]
    template: TemplateText,
    #[command(flatten)]
    watch: Watch,
}

/// Runs `criscope imagefsinfo`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &ImageFsInfo, session: &Session) -> Result<Exit, Error> {
    session
        .show(&args.watch, async || {
            let client = session.client().await?;
            let reply = client
                .image_fs_info(cri::ImageFsInfoRequest::default())
                .await?;
            let document = || {
                let ty = cri::ImageFsInfoResponse::TYPE;
                let status = wire::value(ty, reply.bytes(), wire::Unset::Omit)
                    .map_err(structured::Error::from)?;
                Ok(serde_json::json!({ "status": status }))
            };
            match args.output.write(&args.template, document)? {
                Some(bytes) => Ok(bytes),
                None => Ok(text(&client.decode("ImageFsInfo", &reply)?).into_bytes()),
            }
        })
        .await
}

fn text(info: &cri::ImageFsInfoResponse) -> String {
    let mut text = String::new();
    for (heading, filesystems) in [
        ("Container Filesystem", &info.container_filesystems),
        ("Image Filesystem", &info.image_filesystems),
    ] {
        text.push_str(heading);
        text.push_str(" \n");
        for (index, usage) in filesystems.iter().enumerate() {
            let mountpoint = usage.fs_id.as_ref().map_or("", |id| &id.mountpoint);
            let value =
                |value: &Option<cri::UInt64Value>| value.as_ref().map_or(0, |value| value.value);
            text.push_str(&format!(
                "TimeStamp[{index}]: {}\nDisk[{index}]: {}\nInodes[{index}]: {}\nMountpoint[{index}]: {}\n",
                usage.timestamp,
                human::size(value(&usage.used_bytes), 4),
                value(&usage.inodes_used),
                sanitize::line(mountpoint),
            ));
        }
    }
    text
}
