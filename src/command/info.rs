//! `criscope info`: status, features and configuration of the runtime, as it tells them.
//!
//! One Status RPC, verbose unless `-q`.

use clap::Args;
use serde_json::{Map, Value};

use super::args::{DocumentFormat, TemplateText, Watch};
use super::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::render::list::Block;
use crate::render::{inspection, structured};
use crate::wire::{self, Typed};

const EXAMPLES: &str = "\
Examples:
  criscope info                              the conditions, and what the runtime says of itself
  criscope info -o json | jq .status.conditions
  criscope info -q                           the conditions only";

/// Arguments of `info`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Info {
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
    /// Leave out the runtime's configuration
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    watch: Watch,
}

/// Runs `criscope info`.
///
/// # Errors
/// The runtime cannot be asked, or stdout written.
pub async fn run(args: &Info, session: &Session) -> Result<Exit, Error> {
    session
        .show(&args.watch, async || {
            let client = session.client().await?;
            let reply = client
                .status(cri::StatusRequest {
                    verbose: !args.quiet,
                })
                .await?;
            let status = client.decode("Status", &reply)?;
            let document =
                || Ok(document(reply.bytes(), &status).map_err(structured::Error::from)?);
            match args.output.write(&args.template, document)? {
                Some(bytes) => Ok(bytes),
                None => Ok(block(&status).into_bytes()),
            }
        })
        .await
}

fn document(reply: &[u8], status: &cri::StatusResponse) -> Result<Value, wire::Malformed> {
    let mut document: Map<String, Value> = inspection::entries(&status.info);
    for (number, key) in [(1, "status"), (3, "runtimeHandlers"), (4, "features")] {
        let parts: Vec<&[u8]> = wire::elements(reply, number).collect::<Result<_, _>>()?;
        let value = match (number, parts.as_slice()) {
            (_, []) => continue,
            (1, [.., last]) => wire::value(cri::RuntimeStatus::TYPE, last, wire::Unset::Omit)?,
            (3, handlers) => {
                let handlers = handlers
                    .iter()
                    .map(|bytes| inspection::sparse::<cri::RuntimeHandler>(bytes));
                Value::Array(handlers.collect::<Result<_, _>>()?)
            }
            (_, [.., last]) => inspection::sparse::<cri::RuntimeFeatures>(last)?,
        };
        document.insert(key.to_owned(), value);
    }
    Ok(Value::Object(document))
}

fn block(response: &cri::StatusResponse) -> String {
    let mut block = Block::default();
    for condition in response.status.iter().flat_map(|status| &status.conditions) {
        let words = [
            condition.status.to_string(),
            condition.reason.clone(),
            condition.message.clone(),
        ];
        let words: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|word| !word.is_empty())
            .collect();
        block.line(&condition.r#type, &words.join("  "));
    }
    for handler in &response.runtime_handlers {
        block.line(
            "RuntimeHandler",
            if handler.name.is_empty() {
                "(default)"
            } else {
                &handler.name
            },
        );
    }
    block.finish()
}
