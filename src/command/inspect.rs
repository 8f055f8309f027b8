//! `criscope inspect`, `inspectp` and `inspecti`: everything the runtime knows about containers, pods and images.
//!
//! One status RPC an object. What is inspected is named, or chosen by the filters of the list. An object that is not
//! there does not hide the others: they are shown, and the exit code is 1.

use std::collections::BTreeMap;
use std::future::Future;

use clap::Args;
use serde_json::Value;

use super::args::{DocumentFormat, TemplateText};
use super::select::find::Found;
use super::session::Session;
use crate::client::Reply;
use crate::error::{Error, Exit};
use crate::render::list::Block;
use crate::render::structured;

mod container;
mod image;
mod pod;

pub use container::{Inspect, run as run_container};
pub use image::{InspectImage, run as run_image};
pub use pod::{InspectPod, run as run_pod};

/// Flags of all three.
#[derive(Debug, Args)]
pub struct Shown {
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
    /// Leave out the runtime's own information
    #[arg(short, long)]
    quiet: bool,
}

/// One inspected object: the document for programs, the block for people.
struct Inspected {
    document: Value,
    block: Block,
}

/// Inspects the objects `ids` one after the other and shows what came. One that could not be found is a failure in its
/// place.
async fn show<F>(
    session: &Session,
    shown: &Shown,
    ids: Vec<Result<String, Error>>,
    look: impl Fn(String) -> F,
) -> Result<Exit, Error>
where
    F: Future<Output = Result<Inspected, Error>>,
{
    let asked = ids.len();
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for id in ids {
        let inspected = match id {
            Ok(id) => look(id).await,
            Err(error) => Err(error),
        };
        match inspected {
            Ok(inspected) => found.push(inspected),
            // Without a runtime there is no point in asking for the next.
            Err(error) if error.exit() == Exit::Undetermined => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    if !found.is_empty() {
        let bytes = match shown.output.structured() {
            Some(structured::Format::Ndjson) => {
                let lines: Result<Vec<Vec<u8>>, _> = found
                    .iter()
                    .map(|inspected| {
                        structured::document(structured::Format::Ndjson, &inspected.document)
                    })
                    .collect();
                lines?.concat()
            }
            Some(format) => structured::of_runtime(format, &together(asked, found))?,
            None if shown.output == DocumentFormat::GoTemplate => {
                shown.template.render(&together(asked, found))?
            }
            None => {
                let blocks: Vec<String> = found
                    .into_iter()
                    .map(|inspected| inspected.block.finish())
                    .collect();
                let between = if session.dialect.is_crictl() {
                    ""
                } else {
                    "\n"
                };
                blocks.join(between).into_bytes()
            }
        };
        session.output.data(&bytes)?;
    }
    match failures.pop() {
        None => Ok(Exit::Success),
        Some(last) => {
            for error in &failures {
                session.output.error(error);
            }
            Err(last)
        }
    }
}

/// The documents as one. The shape follows the question: an array for several, also when only one was found.
fn together(asked: usize, mut found: Vec<Inspected>) -> Value {
    match (asked, found.len()) {
        (1, 1) => found.remove(0).document,
        _ => Value::Array(
            found
                .into_iter()
                .map(|inspected| inspected.document)
                .collect(),
        ),
    }
}

/// The runtime's own information at the end of a block, as Go prints a map: scripts look into it.
fn add_info(block: &mut Block, shown: &Shown, info: &BTreeMap<String, String>) {
    if !shown.quiet {
        let pairs: Vec<String> = info
            .iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect();
        block.line("Info", &format!("map[{}]", pairs.join(" ")));
    }
}

/// The ids of what is to be inspected. What no list has is still asked for: the runtime has the last word on what exists.
fn ids<T>(found: Vec<Found<T>>, id: impl Fn(T) -> String) -> Vec<Result<String, Error>> {
    let id = |found: Found<T>| match found {
        Ok(found) => Ok(id(found)),
        Err(unfound) if unfound.candidates.is_empty() => Ok(unfound.typed),
        Err(unfound) => Err(unfound.into()),
    };
    found.into_iter().map(id).collect()
}

/// The status part of a status reply, undecoded: its field 1.
fn status_of<T>(reply: &Reply<T>) -> Result<&[u8], Error> {
    match crate::wire::elements(reply.bytes(), 1).last() {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(malformed)) => Err(structured::Error::from(malformed).into()),
        None => Err(Error::failure("the runtime answered without a status")),
    }
}

/// Nothing was named, and the filters let nothing through: a failure, but none for crictl.
fn nothing(session: &Session, what: &str, command: &str) -> Result<Exit, Error> {
    let Some(help) = session.dialect.help(command) else {
        return Err(
            Error::failure(format!("no {what} is named, and no {what} matches"))
                .hint("`criscope ps -a` and `criscope pods` list what is there"),
        );
    };
    session.output.error(&Error::failure(
        "No IDs provided or nothing found per filter",
    ));
    session.output.data(help.as_bytes())?;
    Ok(Exit::Success)
}
