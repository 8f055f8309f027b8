//! The log of a container, as the runtime writes it to the node's disk.
//!
//! CRI has no call for logs: a container's status tells the path, and whoever wants to read follows the file through
//! its rotations. [`source`] does that, blocking; [`Log`] is the same for a program that has other things to do, and
//! [`Watch`] tells it when to look again.

mod decode;
mod live;
mod place;
pub mod record;
mod rotation;
mod source;
mod tail;
#[cfg(test)]
mod tests;
mod watch;

use std::io;
use std::path::PathBuf;

pub use decode::{Decoder, Piece};
pub use place::{LinkedAway, Links, Place};
pub use record::Output;
pub use source::{Options, State};
pub use watch::Watch;

use source::Source;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open the log `{path}`")]
    Open {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The disk refused while it was read.
    #[error("cannot read the log `{path}`")]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether there is a link where the log should be, to something else.
    pub fn is_link(&self) -> bool {
        let (Error::Open { source, .. } | Error::Read { source, .. }) = self;
        source
            .get_ref()
            .is_some_and(|error| error.is::<LinkedAway>())
    }

    /// Whether there is no log.
    pub fn is_absent(&self) -> bool {
        let (Error::Open { source, .. } | Error::Read { source, .. }) = self;
        source.kind() == io::ErrorKind::NotFound
    }
}

/// A log that is read without blocking.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    source: Option<Source>,
}

/// What came of a read.
#[derive(Debug)]
pub struct Batch {
    /// Pieces of lines, in the order of the file.
    pub pieces: Vec<Piece>,
    /// How things stand.
    pub state: State,
    /// What could not be read on the way.
    pub troubles: Vec<String>,
}

impl Log {
    /// Opens a log.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub async fn open(place: Place, options: Options) -> Result<Self, Error> {
        let path = place.path.clone();
        match on_a_thread(move || Source::open(place, options)).await {
            Ok(source) => Ok(Self {
                path,
                source: Some(source),
            }),
            Err(source) => Err(Error::Open { path, source }),
        }
    }

    /// Reads what is there, up to a chunk. Not to be called again after it was cancelled.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn read(&mut self) -> Result<Batch, Error> {
        self.with_source(|source, pieces| source.read(pieces)).await
    }

    /// Gives what is held back of lines that have not ended.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub async fn finish(&mut self) -> Result<Batch, Error> {
        self.with_source(|source, pieces| {
            source.finish(pieces);
            Ok(State::Idle)
        })
        .await
    }

    /// Lines that were in a known dialect, and lines that were not.
    pub fn counts(&self) -> (u64, u64) {
        self.source.as_ref().map_or((0, 0), Source::counts)
    }

    async fn with_source(
        &mut self,
        act: impl FnOnce(&mut Source, &mut Vec<Piece>) -> io::Result<State> + Send + 'static,
    ) -> Result<Batch, Error> {
        let Some(mut source) = self.source.take() else {
            return Err(self.unreadable(io::Error::other("a read was cancelled")));
        };
        let work = move || {
            let mut pieces = Vec::new();
            let state = act(&mut source, &mut pieces);
            Ok((source, pieces, state))
        };
        let done = on_a_thread(work).await;
        let (mut source, pieces, state) = done.map_err(|error| self.unreadable(error))?;
        let troubles = std::mem::take(&mut source.troubles);
        self.source = Some(source);
        Ok(Batch {
            pieces,
            state: state.map_err(|error| self.unreadable(error))?,
            troubles,
        })
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::Read {
            path: self.path.clone(),
            source,
        }
    }
}

/// Does something that blocks on the disk. There is no deadline: whoever waits can drop the future.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
