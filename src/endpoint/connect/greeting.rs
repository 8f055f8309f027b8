//! What a peer says first, overheard on the way to hyper: the beginning of an HTTP/2 connection, or something else.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// How much is kept, in bytes: enough for a status line.
const KEPT: usize = 64;

/// The first bytes that a peer sent, and whether it has hung up. Cheap to clone; shared with the connection.
#[derive(Debug, Clone, Default)]
pub struct Greeting(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    ended: bool,
}

impl Greeting {
    /// The first bytes, at most 64.
    pub fn bytes(&self) -> Vec<u8> {
        self.heard().bytes.clone()
    }

    /// Whether the peer has closed or reset the connection.
    pub fn ended(&self) -> bool {
        self.heard().ended
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose first incoming bytes are noted.
pub(super) struct Overheard {
    stream: UnixStream,
    greeting: Greeting,
    enough: bool,
}

impl Overheard {
    pub(super) fn new(stream: UnixStream, greeting: Greeting) -> Self {
        Self {
            stream,
            greeting,
            enough: false,
        }
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Poll::Ready(outcome) = &polled else {
            return polled;
        };
        let new = buffer.filled().get(before..).unwrap_or_default();
        let ended = outcome.is_err() || (new.is_empty() && buffer.remaining() > 0);
        if !self.enough || ended {
            let mut heard = self.greeting.heard();
            let room = KEPT.saturating_sub(heard.bytes.len());
            heard.bytes.extend(new.iter().take(room));
            heard.ended |= ended;
            let enough = heard.bytes.len() >= KEPT;
            drop(heard);
            self.enough = enough;
        }
        polled
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
