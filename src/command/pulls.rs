//! `criscope pulls`: what is being pulled, how far it is, how fast, and what has stalled. Read-only; containerd only,
//! since no other runtime tells.
//!
//! ```text
//! NAMESPACE   BLOB                     DONE             RATE       STATE
//! k8s.io      layer 4f4fb700ef54461c   12.3MB of 45MB   2.1MB/s    for 6 seconds
//! k8s.io      layer a3ed95caeb02ffe6   1MB of 45MB      0B/s       stalled since 10:04:12, 40 seconds ago
//! ```

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::args::{DocumentFormat, Watch};
use super::session::Session;
use crate::client::Kind;
use crate::error::{Error, Exit};
use crate::probe::pulls::{Looks, Transfer};
use crate::render::documents::{API_VERSION, Documents};
use crate::render::{list, pulls as shown, structured};

const EXAMPLES: &str = "\
Examples:
  criscope pulls            what is being pulled now
  criscope pulls -w         again and again, with rates
  criscope pulls -w -o ndjson   one line a look

Rates are means since the blob began; with -w those since the last look.";

/// Arguments of `pulls`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Pulls {
    /// How to show the list
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
    watch: Watch,
}

/// A look at all pulls, as one line of a stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Look<'t> {
    api_version: &'static str,
    kind: &'static str,
    at: i64,
    pulls: &'t [Transfer],
}

/// Runs `criscope pulls`.
///
/// # Errors
/// The runtime is not containerd, cannot be asked, or stdout cannot be written.
pub async fn run(args: &Pulls, session: &Session) -> Result<Exit, Error> {
    let client = session.client().await?;
    let mut looks = Looks::default();
    loop {
        let transfers = looks
            .look(client, || session.now())
            .await
            .map_err(refused)?;
        let bytes = shown_as(args.output, &transfers, session.now())?;
        if !args.watch.watch {
            session.output.data(&bytes)?;
            return Ok(Exit::Success);
        }
        if args.output == DocumentFormat::Table {
            session.output.redraw(&bytes)?;
        } else {
            session.output.data(&bytes)?;
        }
        tokio::time::sleep(args.watch.interval.max(Duration::from_millis(100))).await;
    }
}

fn shown_as(format: DocumentFormat, transfers: &[Transfer], now: i64) -> Result<Vec<u8>, Error> {
    let documents = Documents {
        kind: "Pulls",
        key: "pulls",
        items: transfers,
        more: &[],
    };
    Ok(match format.structured() {
        None => list::align(&shown::grid(transfers, now)).into_bytes(),
        // A stream of looks: each is a line, also one that saw nothing.
        Some(structured::Format::Ndjson) => structured::document(
            structured::Format::Ndjson,
            &Look {
                api_version: API_VERSION,
                kind: "Pulls",
                at: now,
                pulls: transfers,
            },
        )?,
        Some(format) => documents.shown(Some(format), |_| String::new())?,
    })
}

fn refused(error: crate::client::Error) -> Error {
    let foreign = matches!(
        error.kind(),
        Some(Kind::UnknownService | Kind::UnknownMethod)
    );
    let said = Error::from(error).while_doing("cannot see pulls in flight");
    if foreign {
        said.hint("only containerd tells what it is pulling; this runtime is another one")
    } else {
        said
    }
}
