//! What every command is given: the settings, one lazy client, the output, the clock.

use std::future::Future;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, watch};

use super::args::{ListFormat, ListOutput, Watch};
use crate::client::{Client, Options};
use crate::dialect::Dialect;
use crate::endpoint::Endpoint;
use crate::endpoint::discover::{Given, Source};
use crate::error::{Error, Exit, Reach};
use crate::interrupt::{self, Duty};
use crate::model::{Listing, Row};
use crate::probe::discovery::{self, Discovery, Failure, Inputs};
use crate::probe::socket::host::Host;
use crate::probe::socket::{self, Effort};
use crate::render::list::{self, Cells, Column};
use crate::render::output::Output;
use crate::render::structured;
use crate::settings::{Origin, Setting, Settings};
use crate::spans::Trace;

/// One run of criscope.
#[derive(Debug)]
pub struct Session {
    /// What was set, and where.
    pub settings: Settings,
    /// Where words go.
    pub output: Output,
    /// As whom the program is called.
    pub dialect: Dialect,
    /// The whole command line, for completion scripts and documentation.
    pub parser: fn() -> clap::Command,
    /// Where the files of the node are, if they are not those of this machine and no flag says otherwise.
    pub host_root: Option<PathBuf>,
    /// The trace of which calls are a part, if one is kept.
    pub trace: Option<Arc<Trace>>,
    client: OnceCell<Client>,
    interrupted: watch::Sender<bool>,
}

impl Session {
    /// A session; nothing is opened yet.
    pub fn new(
        settings: Settings,
        output: Output,
        dialect: Dialect,
        parser: fn() -> clap::Command,
    ) -> Self {
        Self {
            settings,
            output,
            dialect,
            parser,
            host_root: None,
            trace: None,
            client: OnceCell::new(),
            interrupted: watch::Sender::new(false),
        }
    }

    /// Tells whoever waits for it that the user wants to stop.
    pub fn interrupt(&self) {
        self.interrupted.send_replace(true);
    }

    /// Whether the user wants to stop.
    pub fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    /// Waits until the user wants to stop.
    pub async fn interrupted(&self) {
        let mut interrupted = self.interrupted.subscribe();
        // The sender lives as long as the session: waiting cannot fail.
        let _ = interrupted.wait_for(|interrupted| *interrupted).await;
    }

    /// Takes on a duty: until it is dropped, an interruption does not end the command at once.
    pub fn duty(&self) -> Duty {
        Duty::new()
    }

    /// Whether somebody has taken on a duty.
    pub fn has_duties(&self) -> bool {
        interrupt::has_duties()
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
        self.client
            .get_or_try_init(|| self.connect_patiently(true))
            .await
    }

    /// The same for a command that changes the node: it does not speak `v1alpha2`, which nobody tests any more.
    ///
    /// # Errors
    /// As [`Session::client`].
    pub async fn client_that_acts(&self) -> Result<&Client, Error> {
        self.client
            .get_or_try_init(|| self.connect_patiently(false))
            .await
    }

    /// A client that asks again after a transient failure, and says so.
    async fn connect_patiently(&self, fall_back: bool) -> Result<Client, Error> {
        let output = self.output;
        let client = self.connect(fall_back).await?;
        // crictl does not say that it tries again.
        let tells = !self.dialect.is_crictl();
        Ok(client.retrying(move |retry| {
            if tells {
                output.warning(retry);
            }
        }))
    }

    async fn connect(&self, fall_back: bool) -> Result<Client, Error> {
        let client = self.connect_untraced(fall_back).await?;
        Ok(client.traced(self.trace.clone()))
    }

    async fn connect_untraced(&self, fall_back: bool) -> Result<Client, Error> {
        let options = Options {
            deadline: self.settings.timeout,
            fall_back,
        };
        let image = match &self.settings.image_endpoint {
            Some(setting) => Some(endpoint(setting, "image")?),
            None => None,
        };
        if let Some(setting) = &self.settings.runtime_endpoint {
            let runtime = endpoint(setting, "runtime")?;
            // To connect is to wake it, which `endpoints --wake` does on demand.
            if let Some(found) = socket::dormant(&runtime, &Host::new("/")) {
                return Err(Failure::of(&runtime, found).into());
            }
            return Ok(Client::connect(&runtime, image.as_ref(), options).await?);
        }
        let discovery = self.discover(Effort::Quick, false).await?;
        if let Some(notice) = discovery.notice()
            && !self.dialect.is_crictl()
            && (self.output.talks_to_terminal || discovery.is_ambiguous())
        {
            self.output.status(notice);
        }
        // On success crictl's stderr is empty, apart from a complaint that nobody set an endpoint.
        for remark in discovery
            .remarks
            .iter()
            .filter(|_| !self.dialect.is_crictl())
        {
            self.output.warning(remark);
        }
        if let Some(failure) = discovery.failure() {
            return Err(failure.into());
        }
        let client = discovery
            .into_client(options)
            .ok_or_else(|| Error::undetermined("no container runtime answers"))?;
        match image {
            Some(image) => Ok(client.with_image_endpoint(&image).await?),
            None => Ok(client),
        }
    }

    /// The endpoint that was set, if one was.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn given(&self) -> Result<Option<Given>, Error> {
        let Some(setting) = &self.settings.runtime_endpoint else {
            return Ok(None);
        };
        Ok(Some(Given {
            endpoint: endpoint(setting, "runtime")?,
            source: match setting.origin {
                Origin::Flag => Source::Flag,
                Origin::Env(_) => Source::Env,
                Origin::File(_) => Source::Config,
            },
            detail: setting.origin.to_string(),
        }))
    }

    /// Looks at every candidate for the node's runtime.
    ///
    /// # Errors
    /// The endpoint that was set cannot be used.
    pub async fn discover(&self, effort: Effort, wake: bool) -> Result<Discovery, Error> {
        let set = self.given()?;
        let inputs = Inputs {
            set,
            ..Inputs::default()
        };
        let options = socket::Options {
            deadline: self.settings.timeout,
            wake,
            effort,
        };
        Ok(discovery::discover(&inputs, &options).await)
    }

    /// Finds out why the endpoint that was set does not answer, so that the error names the cause. What is not about
    /// the endpoint stays as it is.
    pub async fn explain(&self, error: Error) -> Error {
        if !error.is_about_endpoint() || self.settings.runtime_endpoint.is_none() {
            return error;
        }
        // Scripts know the words of crictl; people are told why beside them.
        if self.dialect.is_crictl() && error.reach() == Reach::Connection {
            return match self
                .discover(Effort::Full, false)
                .await
                .map(|it| it.failure())
            {
                Ok(Some(failure)) => {
                    error.hint(format!("{}: {}", failure.verdict.name(), failure.detail))
                }
                _ => error,
            };
        }
        match self.discover(Effort::Full, false).await {
            Ok(discovery) => match discovery.failure() {
                Some(failure) => failure.into(),
                None => error,
            },
            Err(_) => error,
        }
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
        if how.output == ListFormat::GoTemplate {
            let elements = listing.items.iter().map(|item| &*item.bytes);
            return how.template.render(&structured::list_value::<R>(elements)?);
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

    /// Shows what `look` writes: to stdout as it comes, or with `--watch` again and again.
    ///
    /// # Errors
    /// What `look` fails with, or stdout.
    pub async fn show_as_it_comes(
        &self,
        watch: &Watch,
        look: impl AsyncFn(&mut dyn io::Write) -> Result<(), Error>,
    ) -> Result<Exit, Error> {
        if watch.watch {
            return self
                .show(watch, async || {
                    let mut text = Vec::new();
                    look(&mut text).await?;
                    Ok(text)
                })
                .await;
        }
        let mut stdout = self.output.stdout();
        look(&mut stdout).await?;
        stdout.flush()?;
        Ok(Exit::Success)
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

/// Parses an endpoint that was set, saying where it was set if it is not usable.
fn endpoint(setting: &Setting<String>, which: &str) -> Result<Endpoint, Error> {
    setting.value.parse::<Endpoint>().map_err(|error| {
        Error::from(error).while_doing(format!(
            "the {which} endpoint in {} is not usable",
            setting.origin
        ))
    })
}
