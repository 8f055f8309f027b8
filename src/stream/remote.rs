//! The conversation of Exec and Attach: input, output, errors, the size of the terminal, and how it ended.
//!
//! containerd (1.6 to 2.1) copies the input into a pipe of which it holds the other end itself, and says how a command
//! ended only when that copy has ended: a command that ends before it has read much of its input is never told of. What
//! it does tell is that the outputs have ended; see [`UNTOLD`].

use std::cell::Cell;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::Signal;

use super::keys::Watch;
use super::status::{self, Outcome};
use super::terminal::Size;
use super::{Error, Incoming, Input, Lane, Needs, Protocol, Sender, Wire, terminal};

/// The channels, as Kubernetes numbers them.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;

/// The conversation as SPDY servers name it: the newest that they know.
const SPDY_PROTOCOL: &str = "v4.channel.k8s.io";

/// How much is read of the input at once, in bytes.
const CHUNK: usize = 32 << 10;

/// How long the server may take to close after it has said how the command ended: all output is there by then.
const CLOSING: Duration = Duration::from_secs(2);

/// How long nothing of the input may be taken once all output has ended, before the command is given up: a command that
/// closes its outputs and goes on reading takes some in this time.
const UNTOLD: Duration = Duration::from_secs(5);

/// What this conversation needs, with or without input and terminal.
pub fn needs(stdin: bool, tty: bool) -> Needs {
    let lane = |number, name: &str| Lane {
        number,
        headers: vec![("streamtype", name.to_owned())],
    };
    let mut lanes = vec![lane(STATUS, "error")];
    if stdin {
        lanes.push(lane(STDIN, "stdin"));
    }
    lanes.push(lane(STDOUT, "stdout"));
    // A terminal has one output.
    lanes.push(if tty {
        lane(RESIZE, "resize")
    } else {
        lane(STDERR, "stderr")
    });
    Needs {
        lanes,
        spdy_protocol: SPDY_PROTOCOL,
        protocols: &[Protocol::V5, Protocol::V4],
        // With a terminal, the end of input is a key.
        input: if stdin && !tty {
            Input::Ends
        } else {
            Input::Any
        },
    }
}

/// The local side.
#[derive(Debug)]
pub struct Local<I, O, E> {
    /// What is typed or piped in.
    pub stdin: Option<I>,
    /// Where the output goes.
    pub stdout: O,
    /// Where the errors go.
    pub stderr: E,
    /// The user's terminal, if there is one.
    pub terminal: Option<Terminal>,
}

/// What a terminal adds to a conversation.
#[derive(Debug)]
pub struct Terminal {
    /// Tells of changes.
    pub resizes: Signal,
    /// Looks for the keys that detach.
    pub keys: Watch,
}

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The server said so.
    Remote(Outcome),
    /// The user typed the keys that detach.
    Detached,
}

/// Holds the conversation until one side ends it.
///
/// # Errors
/// [`Error::Lost`] and [`Error::Garbled`] before the server said how it ended; [`Error::Output`], [`Error::Input`].
pub async fn converse<I, O, E>(wire: Wire, local: Local<I, O, E>) -> Result<Ended, Error>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let Wire {
        mut sender,
        mut receiver,
        ..
    } = wire;
    let Local {
        stdin,
        mut stdout,
        mut stderr,
        terminal,
    } = local;
    // It has no errors of its own.
    let is_terminal = terminal.is_some();
    let taken = Taken::default();
    let speaking = speak(&mut sender, stdin, terminal, &taken);
    let listening = async {
        let mut said = Vec::new();
        let (mut stdout_ended, mut stderr_ended) = (false, is_terminal);
        loop {
            // Once it is known how it ended, only the closing is waited for, and not for ever.
            let next = if said.is_empty() && stdout_ended && stderr_ended {
                let before = taken.count();
                match tokio::time::timeout(UNTOLD, receiver.next()).await {
                    Ok(next) => next,
                    Err(_) if taken.is_stuck_since(before) => return Err(Error::Untold),
                    Err(_) => continue,
                }
            } else if said.is_empty() {
                receiver.next().await
            } else {
                match tokio::time::timeout(CLOSING, receiver.next()).await {
                    Ok(next) => next,
                    Err(_) => Ok(Incoming::Closed),
                }
            };
            match next {
                Ok(Incoming::Data(STDOUT, bytes)) => {
                    stdout.write_all(&bytes).await.map_err(Error::Output)?;
                }
                Ok(Incoming::Data(STDERR, bytes)) => {
                    stderr.write_all(&bytes).await.map_err(Error::Output)?;
                }
                Ok(Incoming::Data(STATUS, bytes)) => {
                    if said.len() + bytes.len() > status::LARGEST {
                        return Err(Error::Garbled("a status without end".to_owned()));
                    }
                    said.extend_from_slice(&bytes);
                }
                Ok(Incoming::End(STDOUT)) => stdout_ended = true,
                Ok(Incoming::End(STDERR)) => stderr_ended = true,
                Ok(Incoming::Data(..) | Incoming::End(_)) => {}
                Ok(Incoming::Closed) if said.is_empty() => return Err(Error::Lost(None)),
                Err(error) if said.is_empty() => return Err(error),
                Ok(Incoming::Closed) | Err(_) => break,
            }
        }
        stdout.flush().await.map_err(Error::Output)?;
        stderr.flush().await.map_err(Error::Output)?;
        Ok(Ended::Remote(status::read(&said)))
    };
    tokio::pin!(speaking, listening);
    tokio::select! {
        biased;
        ended = &mut listening => ended,
        spoken = &mut speaking => match spoken {
            Ok(Spoken::Detached) => Ok(Ended::Detached),
            Ok(Spoken::Everything) => listening.await,
            // The server may have closed because all is over: what it said before decides.
            Err(Error::Lost(_)) => listening.await,
            Err(error) => Err(error),
        },
    }
}

/// What the far side has taken of the input: read by the half that listens.
#[derive(Debug, Default)]
struct Taken {
    chunks: Cell<u64>,
    waits: Cell<bool>,
}

impl Taken {
    /// How much was taken, for [`Taken::is_stuck_since`].
    fn count(&self) -> u64 {
        self.chunks.get()
    }

    /// Whether some of the input waits to be taken, and none was since.
    fn is_stuck_since(&self, count: u64) -> bool {
        self.waits.get() && self.chunks.get() == count
    }

    /// Notes how long the input has to wait.
    async fn note<T>(&self, sending: impl Future<Output = T>) -> T {
        self.waits.set(true);
        let sent = sending.await;
        self.waits.set(false);
        self.chunks.set(self.chunks.get().wrapping_add(1));
        sent
    }
}

/// Why our half fell silent.
enum Spoken {
    Everything,
    Detached,
}

/// Our half: input and sizes out, pings answered.
async fn speak<I: AsyncRead + Unpin>(
    sender: &mut Sender,
    mut stdin: Option<I>,
    mut terminal: Option<Terminal>,
    taken: &Taken,
) -> Result<Spoken, Error> {
    if terminal.is_some() {
        send_size(sender).await?;
    }
    let mut chunk = vec![0; CHUNK];
    let mut through = Vec::new();
    loop {
        tokio::select! {
            read = read(&mut stdin, &mut chunk) => {
                let count = read.map_err(Error::Input)?;
                if count == 0 {
                    stdin = None;
                    // A terminal that is gone: the command learns of it when the connection ends. To end the lane here
                    // would cost what it still has to say.
                    if terminal.is_none() {
                        sender.end(STDIN).await?;
                    }
                    continue;
                }
                let Some(terminal) = &mut terminal else {
                    taken.note(sender.send(STDIN, &chunk[..count])).await?;
                    continue;
                };
                through.clear();
                let detach = terminal.keys.typed(&chunk[..count], &mut through);
                if !through.is_empty() {
                    taken.note(sender.send(STDIN, &through)).await?;
                }
                if detach {
                    return Ok(Spoken::Detached);
                }
            }
            () = resized(&mut terminal) => send_size(sender).await?,
            ping = sender.asked() => sender.answer(ping).await?,
        }
        if stdin.is_none() && terminal.is_none() && matches!(sender, Sender::WebSocket(_)) {
            return Ok(Spoken::Everything);
        }
    }
}

async fn read<I: AsyncRead + Unpin>(
    stdin: &mut Option<I>,
    chunk: &mut [u8],
) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.read(chunk).await,
        None => std::future::pending().await,
    }
}

async fn resized(terminal: &mut Option<Terminal>) {
    match terminal {
        Some(terminal) => {
            terminal.resizes.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn send_size(sender: &mut Sender) -> Result<(), Error> {
    let Some(size) = terminal::size() else {
        return Ok(());
    };
    let Size { width, height } = size;
    let message = format!("{{\"Width\":{width},\"Height\":{height}}}");
    sender.send(RESIZE, message.as_bytes()).await
}
