//! What every command is given: the settings, one lazy client, the output, the clock.

use std::future::Future;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::args::{ListOutput, Watch};
use crate::client::{Client, Options};
use crate::endpoint::Endpoint;
use crate::error::{Error, Exit};
use crate::model::{Listing, Row};
use crate::render::list::{self, Cells, Column};
use crate::render::output::Output;
use crate::render::structured;
use crate::settings::Settings;

/// One run of criscope.
#[derive(Debug)]
pub struct Session {
    /// What was set, and where.
    pub settings: Settings,
    /// Where words go.
    pub output: Output,
    /// The whole command line, for completion scripts and documentation.
    pub parser: fn() -> clap::Command,
    client: OnceCell<Client>,
}

impl Session {
    /// A session; nothing is opened yet.
    pub fn new(settings: Settings, output: Output, parser: fn() -> clap::Command) -> Self {
        Self {
            settings,
            output,
            parser,
            client: OnceCell::new(),
        }
    }

    /// Now, in nanoseconds since 1970.
    pub fn now(&self) -> i64 {
        i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
    }

    /// The client of the node's runtime, connected at the first use.
    ///
    /// # Errors
    /// No runtime was found, or the named one cannot be reached.
    pub async fn client(&self) -> Result<&Client, Error> {
        self.client.get_or_try_init(|| self.connect(true)).await
    }

    /// The same for a command that changes the node: it does not speak `v1alpha2`, which nobody tests any more.
    ///
    /// # Errors
    /// As [`Session::client`].
    pub async fn client_that_acts(&self) -> Result<&Client, Error> {
        self.client.get_or_try_init(|| self.connect(false)).await
    }

    async fn connect(&self, fall_back: bool) -> Result<Client, Error> {
        let options = Options {
            deadline: self.settings.timeout,
            fall_back,
        };
        let image = match &self.settings.image_endpoint {
            Some(setting) => Some(self.parse(&setting.value, "image", &setting.origin)?),
            None => None,
        };
        let Some(setting) = &self.settings.runtime_endpoint else {
            return Err(Error::undetermined("no runtime endpoint is set"));
        };
        let endpoint = self.parse(&setting.value, "runtime", &setting.origin)?;
        Ok(Client::connect(&endpoint, image.as_ref(), options).await?)
    }

    fn parse(
        &self,
        text: &str,
        which: &str,
        origin: &crate::settings::Origin,
    ) -> Result<Endpoint, Error> {
        text.parse::<Endpoint>().map_err(|error| {
            Error::from(error)
                .while_doing(format!("the {which} endpoint in {origin} is not usable"))
        })
    }

    /// Shows a list: the same five ways for all of them.
    ///
    /// # Errors
    /// Stdout is closed or full, or an element cannot be written.
    pub fn list<R: Row>(
        &self,
        listing: &Listing<R>,
        how: &ListOutput,
        columns: &[&Column<R>],
        block: impl Fn(&R, &Cells) -> String,
    ) -> Result<Vec<u8>, Error> {
        if listing.unreadable > 0 {
            self.output.warning(format!(
                "{} of {} {} could not be read and are left out",
                listing.unreadable,
                listing.unreadable + listing.items.len(),
                R::PLURAL
            ));
        }
        let cells = Cells {
            now: self.now(),
            full_ids: how.no_trunc,
        };
        if let Some(format) = how.output.structured() {
            let elements = listing.items.iter().map(|item| &*item.bytes);
            return Ok(structured::list::<R>(format, elements)?);
        }
        if how.quiet {
            let mut text = String::new();
            for row in listing.rows() {
                text.push_str(&crate::render::sanitize::line(row.id()));
                text.push('\n');
            }
            return Ok(text.into_bytes());
        }
        if how.verbose {
            let blocks: Vec<String> = listing
                .rows()
                .map(|row| block(row, &cells) + "\n")
                .collect();
            return Ok(blocks.concat().into_bytes());
        }
        Ok(list::table(columns, listing.rows(), &cells).into_bytes())
    }

    /// Shows what `look` returns: once, or again and again with `--watch`.
    ///
    /// # Errors
    /// What `look` fails with, or stdout.
    pub async fn show<F>(&self, watch: &Watch, look: impl Fn() -> F) -> Result<Exit, Error>
    where
        F: Future<Output = Result<Vec<u8>, Error>>,
    {
        if !watch.watch {
            self.output.data(&look().await?)?;
            return Ok(Exit::Success);
        }
        loop {
            self.output.redraw(&look().await?)?;
            tokio::time::sleep(watch.interval.max(Duration::from_millis(100))).await;
        }
    }
}
