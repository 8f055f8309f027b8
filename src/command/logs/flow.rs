//! Several logs become one: by time as far as they are there, as they come after that.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::lane::{Lane, Line};
use super::sink::Sink;
use crate::client::Client;
use crate::command::session::Session;
use crate::cri;
use crate::error::{Error, Exit};
use crate::model::{Container, ContainerState, Listing};
use crate::stream::log::{self, Batch, Log, Options, Place, State, Watch};

/// How often it is asked whether the containers still run.
const ASKING: Duration = Duration::from_secs(1);

/// A log that is being read.
#[derive(Debug)]
pub struct Reader {
    id: String,
    label: Option<String>,
    place: Place,
    options: Options,
    /// Not there as long as the container was not started.
    log: Option<Log>,
    lanes: [Lane; 2],
    lines: VecDeque<Line>,
    state: At,
    unreadable: u64,
}

/// How far a log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// There may be more at once.
    More,
    /// Everything that is there was read.
    Idle,
    /// The same, and the container has ended: what is there by now is all.
    Ending,
    /// Nothing comes any more.
    End,
}

impl Reader {
    /// Opens the log of a container; `is_to_come`: it need not be there yet.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn open(
        place: Place,
        options: Options,
        label: Option<String>,
        container: &Container,
        is_to_come: bool,
    ) -> Result<Self, log::Error> {
        let mut reader = Self {
            id: container.id.clone(),
            label,
            place,
            options,
            log: None,
            lanes: [Lane::default(), Lane::default()],
            lines: VecDeque::new(),
            state: At::More,
            unreadable: 0,
        };
        reader.appear(is_to_come).await?;
        Ok(reader)
    }

    /// Opens the log if it is there by now.
    async fn appear(&mut self, is_to_come: bool) -> Result<(), log::Error> {
        match Log::open(self.place.clone(), self.options.clone()).await {
            Ok(log) => {
                self.log = Some(log);
                Ok(())
            }
            Err(error) if is_to_come && error.is_absent() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads up to a chunk.
    async fn read(&mut self, session: &Session) -> Result<(), Error> {
        if self.log.is_none() {
            self.appear(true).await?;
        }
        let is_ending = self.state == At::Ending;
        let Some(log) = &mut self.log else {
            self.state = if is_ending { At::End } else { At::Idle };
            return Ok(());
        };
        let Batch {
            pieces,
            state,
            troubles,
        } = log.read().await?;
        self.state = match state {
            State::More if is_ending => At::Ending,
            State::More => At::More,
            State::Idle if is_ending => At::End,
            State::Idle => At::Idle,
            State::Over => At::End,
        };
        let counts = log.counts();
        self.take(pieces);
        for trouble in troubles {
            session.output.warning(trouble);
        }
        if self.state != At::More {
            self.judge(counts, session)?;
        }
        if self.state == At::End {
            self.finish().await?;
        }
        Ok(())
    }

    /// A log of which nothing can be read is an error; lines that cannot be are told.
    fn judge(&mut self, counts: (u64, u64), session: &Session) -> Result<(), Error> {
        let (readable, unreadable) = counts;
        let path = self.place.path.display();
        if readable == 0 && unreadable > 0 {
            return Err(Error::failure(format!(
                "`{path}` is written neither in CRI's format nor in Docker's json-file"
            )));
        }
        if unreadable > self.unreadable {
            session.output.warning(format!(
                "{path}: lines in no known format were left out: {}",
                unreadable - self.unreadable
            ));
            self.unreadable = unreadable;
        }
        Ok(())
    }

    fn take(&mut self, pieces: Vec<log::Piece>) {
        for piece in pieces {
            let lane = &mut self.lanes[piece.output.index()];
            self.lines.extend(lane.push(piece));
        }
    }

    /// Gives what is held of lines that have not ended.
    async fn finish(&mut self) -> Result<(), Error> {
        self.state = At::End;
        if let Some(log) = &mut self.log {
            let batch = log.finish().await?;
            self.take(batch.pieces);
            self.log = None;
        }
        for (output, lane) in self.lanes.iter_mut().enumerate() {
            self.lines.extend(lane.finish(output));
        }
        Ok(())
    }

    fn is_hungry(&self) -> bool {
        self.lines.is_empty() && matches!(self.state, At::More | At::Ending)
    }
}

/// Logs on their way to the user.
#[derive(Debug)]
pub struct Flow<'s> {
    /// Where words go.
    pub session: &'s Session,
    /// Who knows whether containers still run.
    pub client: &'s Client,
    /// The logs.
    pub readers: Vec<Reader>,
    /// Where lines go.
    pub sink: Sink,
    /// What tells of changes.
    pub watch: Watch,
    /// Whether to go on with what comes.
    pub follow: bool,
    /// What was written later is not wanted, in nanoseconds since 1970.
    pub until: Option<i64>,
}

impl Flow<'_> {
    /// Shows everything.
    ///
    /// # Errors
    /// Our own streams cannot be written to. A log that cannot be read is told and decides the exit code.
    pub async fn run(mut self) -> Result<Exit, Error> {
        let mut worst = Exit::Success;
        let mut asked: Option<Instant> = None;
        let mut again: Option<Client> = None;
        let mut is_lost = false;
        loop {
            for reader in &mut self.readers {
                while reader.is_hungry() {
                    if let Err(error) = reader.read(self.session).await {
                        self.sink.flush().await?;
                        self.session.output.error(&error);
                        worst = worst.or_worse(error.exit());
                        reader.log = None;
                        reader.state = At::End;
                    }
                }
            }
            if let Some(place) = self.next() {
                let reader = &mut self.readers[place];
                if let Some(line) = reader.lines.pop_front()
                    && !self
                        .sink
                        .take(&line, reader.label.as_deref(), place)
                        .await?
                {
                    return Ok(worst);
                }
                continue;
            }
            self.sink.flush().await?;
            if self.readers.iter().all(|reader| reader.state == At::End) {
                return Ok(worst);
            }
            if !self.follow || self.until.is_some_and(|until| self.session.now() > until) {
                self.go_on(At::Ending);
                continue;
            }
            if self.sink.is_abandoned() {
                return Ok(worst);
            }
            if asked.is_none_or(|asked| asked.elapsed() >= ASKING) {
                let client = again.as_ref().unwrap_or(self.client);
                match running(client, &self.readers).await {
                    Ok(running) => {
                        is_lost = false;
                        let ended = |reader: &Reader| !running.contains(&reader.id);
                        for reader in self.readers.iter_mut().filter(|reader| ended(reader)) {
                            if reader.state == At::Idle {
                                reader.state = At::Ending;
                            }
                        }
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut is_lost, true) {
                            self.session.output.warning(format!(
                                "the runtime does not tell whether the containers still run ({}); following goes on",
                                error.message()
                            ));
                        }
                        again = client
                            .connect_again(self.session.settings.timeout)
                            .await
                            .ok();
                    }
                }
                asked = Some(Instant::now());
            }
            // What was written before the end of one that has ended is read once more, at once.
            if !self.readers.iter().any(|reader| reader.state == At::Ending) {
                self.watch.changed().await;
            }
            self.go_on(At::More);
        }
    }

    /// The log with the earliest line.
    fn next(&self) -> Option<usize> {
        let first = |(place, reader): (usize, &Reader)| Some((reader.lines.front()?.at, place));
        let next = self.readers.iter().enumerate().filter_map(first).min();
        next.map(|(_, place)| place)
    }

    fn go_on(&mut self, state: At) {
        for reader in &mut self.readers {
            if reader.state == At::Idle {
                reader.state = state;
            }
        }
    }
}

/// The ids of the containers that have not ended.
async fn running(client: &Client, readers: &[Reader]) -> Result<Vec<String>, Error> {
    let id = match readers {
        [one] => one.id.clone(),
        _ => String::new(),
    };
    let request = cri::ListContainersRequest {
        filter: Some(cri::ContainerFilter {
            id,
            ..Default::default()
        }),
    };
    let reply = client.list_containers(request).await?;
    Ok(Listing::<Container>::read(reply.bytes())
        .rows()
        .filter(|container| container.state != ContainerState::Exited)
        .map(|container| container.id.clone())
        .collect())
}
