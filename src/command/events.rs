//! `criscope events`: what happens to containers and pods, as the runtime tells it. GetContainerEvents, since CRI 1.25.
//!
//! When the connection is lost a new one is made, and both are told: events in between are missing, because CRI tells
//! nothing of the past. Filters are applied here.

mod filter;

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;

use super::args::{TemplateText, rendered};
use super::session::Session;
use crate::client::Client;
use crate::cri;
use crate::error::{Error, Exit};
use crate::render::structured;
use crate::template::Template;
use crate::wire::{self, Typed, json};
use filter::Filter;

const EXAMPLES: &str = "\
Examples:
  criscope events                                   one document after the other
  criscope events -o ndjson --type started,stopped  one line an event
  criscope events --namespace kube-system --container etcd";

/// How long to wait before the next attempt to connect; the last one is repeated.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// A stream that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(5);

/// Arguments of `events`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Events {
    /// How to show them
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "json",
        alias = "format"
    )]
    output: EventFormat,
    #[command(flatten)]
    template: TemplateText,
    /// End when the connection is lost
    #[arg(long)]
    no_reconnect: bool,
    #[command(flatten)]
    filter: Filter,
}

/// How an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EventFormat {
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
    /// One line of JSON.
    Ndjson,
    /// What `--template` makes of it.
    GoTemplate,
}

/// Why a stream ended.
enum End {
    /// By the runtime, or because it went away.
    Lost(Error),
    /// For good.
    Failed(Error),
}

/// Runs `criscope events`.
///
/// # Errors
/// The runtime cannot be asked or tells no events, or stdout cannot be written. It ends by itself only with
/// `--no-reconnect`.
pub async fn run(args: &Events, session: &Session) -> Result<Exit, Error> {
    let template = match args.output {
        EventFormat::GoTemplate => Some(args.template.read()?),
        _ => None,
    };
    let mut made: Option<Client> = None;
    let mut attempts = 0;
    loop {
        let client = match &made {
            Some(client) => client,
            None => session.client().await?,
        };
        let began = Instant::now();
        let lost = match args
            .listen(session, client, template.as_ref(), attempts > 0)
            .await
        {
            End::Failed(error) => return Err(error),
            End::Lost(error) => error,
        };
        if args.no_reconnect {
            return Err(lost);
        }
        if began.elapsed() > GOOD {
            attempts = 0;
        }
        if attempts == 0 {
            session.output.warning(format!(
                "the stream of events has ended ({}); connecting again",
                lost.causes().last().map_or(lost.message(), String::as_str)
            ));
        }
        made = Some(again(session, client, &mut attempts).await);
    }
}

/// Connects until it succeeds.
async fn again(session: &Session, client: &Client, attempts: &mut usize) -> Client {
    loop {
        let pause = PAUSES[(*attempts).min(PAUSES.len() - 1)];
        *attempts += 1;
        tokio::time::sleep(pause).await;
        if let Ok(client) = client.connect_again(session.settings.timeout).await {
            return client;
        }
    }
}

impl Events {
    /// Shows events until the stream ends.
    async fn listen(
        &self,
        session: &Session,
        client: &Client,
        template: Option<&Template>,
        is_again: bool,
    ) -> End {
        // The stream says nothing before the first event: this tells whether anybody is there.
        if let Err(error) = client.version(cri::VersionRequest::default()).await {
            let error = Error::from(error);
            return match is_again {
                true => End::Lost(error),
                false => End::Failed(error),
            };
        }
        if is_again {
            session
                .output
                .status("connected again; what happened in between is not told");
        }
        let mut events = std::pin::pin!(client.container_events());
        loop {
            match events.next().await {
                Some(Ok(event)) => {
                    if let Err(error) = self.show(session, template, &event) {
                        return End::Failed(error);
                    }
                }
                Some(Err(error)) => {
                    let error = Error::from(error);
                    return match error.exit() {
                        Exit::Undetermined => End::Lost(error),
                        _ => End::Failed(error),
                    };
                }
                None => {
                    return End::Lost(Error::undetermined(
                        "the runtime ended the stream of events",
                    ));
                }
            }
        }
    }

    fn show(
        &self,
        session: &Session,
        template: Option<&Template>,
        bytes: &Bytes,
    ) -> Result<(), Error> {
        use prost::Message;
        // What cannot be decoded is shown all the same, if no filter would have to judge it.
        match cri::ContainerEventResponse::decode(bytes.clone()) {
            Ok(event) if !self.filter.lets_through(&event) => return Ok(()),
            Err(_) if !self.filter.is_empty() => return Ok(()),
            _ => {}
        }
        let ty = cri::ContainerEventResponse::TYPE;
        let value = || wire::value(ty, bytes, wire::Unset::Omit).map_err(structured::Error::from);
        if let Some(template) = template {
            // Not every event has every field: one that does not fit the template does not end the stream.
            match rendered(template, &value()?) {
                Ok(text) => session.output.data(&text)?,
                Err(error) => session.output.error(&error),
            }
            return Ok(());
        }
        let layout = match self.output {
            EventFormat::Ndjson => json::Layout::Compact,
            EventFormat::Json | EventFormat::GoTemplate => json::Layout::Pretty,
            EventFormat::Yaml => {
                let value = value()?;
                let mut document = b"---\n".to_vec();
                document.extend(structured::of_runtime(structured::Format::Yaml, &value)?);
                return Ok(session.output.data(&document)?);
            }
        };
        let mut text = json::text(ty, bytes, layout).map_err(structured::Error::from)?;
        text.push('\n');
        Ok(session.output.data(text.as_bytes())?)
    }
}
