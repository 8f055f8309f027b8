//! From the URL of Exec, Attach or PortForward to bytes in and out.
//!
//! A runtime answers these calls with a URL of its streaming server, good for one use. Behind it are several channels
//! in one connection, in one of two dialects: WebSocket with a channel byte before each message ([`channel`]), or
//! SPDY/3.1 ([`spdy`]). Both are a [`Wire`] here: numbered lanes, whatever is below. [`remote`] is the conversation of
//! `exec` and `attach`, [`port_forward`] that of one forwarded connection, [`terminal`] the user's side of a tty.
//!
//! Which dialect: the WebSocket of the runtimes in the field (containerd 1.6 to 2.x, CRI-O, cri-dockerd) speaks
//! `v4.channel.k8s.io`, which cannot say that the input has ended; `v5` can. Where the end of input has to arrive, `v5`
//! alone is offered, and SPDY is taken when that is refused. Where there is no input, WebSocket has its channel all the
//! same, and containerd (1.6 to 2.x) takes it for an input that has ended: see [`Input`]. A refusal costs the URL: the
//! next attempt asks for another.
//!
//! This room copies bytes. It writes no words and does not know what a command line is.

pub mod channel;
pub mod dial;
pub mod keys;
pub mod log;
pub mod port_forward;
pub mod remote;
pub mod spdy;
pub mod status;
pub mod terminal;
mod upgrade;
pub mod url;

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;

pub use channel::Protocol;
pub use dial::{Dialer, Tls};
pub use url::Target;

/// Why a stream did not come about, or ended early: one variant a step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime gave a URL that leads nowhere.
    #[error("the runtime's streaming URL cannot be used")]
    Url(#[from] url::Error),
    /// A file for TLS cannot be used.
    #[error("cannot use `{path}`: {reason}")]
    TlsFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The streaming server does not accept the connection.
    #[error("cannot connect to the runtime's streaming server at `{address}`")]
    Connect {
        /// Host and port, or a socket.
        address: String,
        /// What connect() said.
        #[source]
        source: io::Error,
    },
    /// TLS with the streaming server failed.
    #[error("no TLS with the runtime's streaming server at `{address}`")]
    Handshake {
        /// Host and port.
        address: String,
        /// What rustls said.
        #[source]
        source: io::Error,
    },
    /// Connecting or upgrading took too long.
    #[error("the runtime's streaming server at `{address}` did not answer within {deadline:?}")]
    Deadline {
        /// Host and port, or a socket.
        address: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// The server answered, but does not want to speak this dialect, or no longer knows the URL.
    #[error("the runtime's streaming server refused {offered}: {code} {said}")]
    Refused {
        /// What was offered.
        offered: String,
        /// The HTTP status.
        code: u16,
        /// The beginning of what it said, or the name of the status.
        said: String,
    },
    /// The answer to the upgrade is not one.
    #[error("the runtime's streaming server did not switch to {offered}: {reason}")]
    Upgrade {
        /// What was offered.
        offered: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The connection ended before the conversation did.
    #[error("the connection to the runtime was lost")]
    Lost(#[source] Option<io::Error>),
    /// The outputs ended and the input is not taken any more, but how the command ended is not told.
    #[error(
        "the command's output has ended and nobody takes its input any more, but the runtime does not tell how it ended"
    )]
    Untold,
    /// What arrived is not the protocol that was agreed on.
    #[error("the runtime's streaming server does not keep to the protocol: {0}")]
    Garbled(String),
    /// The local input cannot be read.
    #[error("cannot read the input")]
    Input(#[source] io::Error),
    /// The local output cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// The terminal cannot be put into raw mode, or asked.
    #[error("cannot control the terminal")]
    Terminal(#[source] io::Error),
    /// The runtime could not reach the port.
    #[error("{0}")]
    Port(String),
}

impl Error {
    /// Whether another dialect may be welcome where this one was not.
    fn is_refusal(&self) -> bool {
        matches!(self, Error::Refused { .. } | Error::Upgrade { .. })
    }
}

/// Which dialect to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The first that is accepted and carries what has to be carried.
    Auto,
    /// WebSocket only.
    WebSocket,
    /// SPDY/3.1 only.
    Spdy,
}

/// The dialect that was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// WebSocket with this sub-protocol.
    WebSocket(Protocol),
    /// SPDY/3.1.
    Spdy,
}

impl Spoken {
    /// Whether one lane can be ended while the others go on.
    pub fn ends_lanes(self) -> bool {
        !matches!(self, Spoken::WebSocket(Protocol::V4))
    }
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spoken::WebSocket(protocol) => write!(f, "WebSocket {}", protocol.name()),
            Spoken::Spdy => f.write_str(spdy::NAME),
        }
    }
}

/// One of the channels of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The channel byte in WebSocket, and its name here.
    pub number: u8,
    /// The headers by which a SPDY server tells the streams apart.
    pub headers: Vec<(&'static str, String)>,
}

/// What a conversation needs of its wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// All lanes, also those on which only the server speaks.
    pub lanes: Vec<Lane>,
    /// The name of the conversation in SPDY's upgrade.
    pub spdy_protocol: &'static str,
    /// The newest protocol that a WebSocket server may know for it, first.
    pub protocols: &'static [Protocol],
    /// What the server has to understand of our input.
    pub input: Input,
}

/// What a server has to understand of our input, which decides about the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Nothing: there may be input, but its end says nothing.
    Any,
    /// That it has ended.
    Ends,
    /// That there is none, which is something else than one that has ended.
    Absent,
}

/// What arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Bytes on a lane.
    Data(u8, Bytes),
    /// Nothing more on this lane.
    End(u8),
    /// Nothing more at all.
    Closed,
}

/// One conversation, ready to be had.
#[derive(Debug)]
pub struct Wire {
    /// What was agreed on.
    pub spoken: Spoken,
    /// Our half.
    pub sender: Sender,
    /// The server's half.
    pub receiver: Receiver,
}

/// The half that we write.
#[derive(Debug)]
pub enum Sender {
    /// WebSocket.
    WebSocket(channel::Sender),
    /// SPDY/3.1.
    Spdy(spdy::Sender),
}

impl Sender {
    /// Sends bytes on a lane. Not to be cancelled: half a message would be left on the wire.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn send(&mut self, lane: u8, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Sender::WebSocket(sender) => sender.send(lane, bytes).await,
            Sender::Spdy(sender) => sender.send(lane, bytes).await,
        }
    }

    /// Ends a lane, where the dialect can say so.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn end(&mut self, lane: u8) -> Result<(), Error> {
        match self {
            Sender::WebSocket(sender) => sender.end(lane).await,
            Sender::Spdy(sender) => sender.end(lane).await,
        }
    }

    /// Waits for something that only this half can answer, and may be cancelled while it waits.
    pub async fn asked(&mut self) -> u32 {
        match self {
            // Answered below, while reading.
            Sender::WebSocket(_) => std::future::pending().await,
            Sender::Spdy(sender) => sender.asked().await,
        }
    }

    /// Answers it.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn answer(&mut self, ping: u32) -> Result<(), Error> {
        match self {
            Sender::WebSocket(_) => Ok(()),
            Sender::Spdy(sender) => sender.answer(ping).await,
        }
    }
}

/// The half that the server writes.
#[derive(Debug)]
pub enum Receiver {
    /// WebSocket.
    WebSocket(channel::Receiver),
    /// SPDY/3.1.
    Spdy(spdy::Receiver),
}

impl Receiver {
    /// The next thing that arrives. May be cancelled.
    ///
    /// # Errors
    /// [`Error::Lost`] and [`Error::Garbled`].
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        match self {
            Receiver::WebSocket(receiver) => receiver.next().await,
            Receiver::Spdy(receiver) => receiver.next().await,
        }
    }
}

/// One way to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// WebSocket, without the older protocols where `only_newest`.
    WebSocket {
        only_newest: bool,
    },
    Spdy,
}

/// What is tried, in this order.
fn attempts(transport: Transport, input: Input) -> &'static [Attempt] {
    const ALL: Attempt = Attempt::WebSocket { only_newest: false };
    const NEWEST: Attempt = Attempt::WebSocket { only_newest: true };
    match (transport, input) {
        (Transport::Auto, Input::Any) => &[ALL, Attempt::Spdy],
        (Transport::Auto, Input::Ends) => &[NEWEST, Attempt::Spdy],
        (Transport::Auto, Input::Absent) => &[Attempt::Spdy, ALL],
        (Transport::WebSocket, _) => &[ALL],
        (Transport::Spdy, _) => &[Attempt::Spdy],
    }
}

/// Opens a wire. `ask` gets a fresh URL from the runtime: once, and once more for every refusal.
///
/// # Errors
/// What `ask` says; every [`Error`] up to the upgrade.
pub async fn open<E: From<Error>>(
    transport: Transport,
    needs: &Needs,
    dialer: &Dialer,
    mut ask: impl AsyncFnMut() -> Result<String, E>,
) -> Result<Wire, E> {
    let mut refused = None;
    for attempt in attempts(transport, needs.input) {
        let url = ask().await?;
        match try_one(*attempt, needs, dialer, &url).await {
            Ok(wire) => {
                tracing::debug!(spoken = %wire.spoken, "streaming");
                return Ok(wire);
            }
            Err(error) if error.is_refusal() => {
                tracing::debug!(%error, "refused");
                refused = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(refused.unwrap_or(Error::Lost(None)).into())
}

async fn try_one(
    attempt: Attempt,
    needs: &Needs,
    dialer: &Dialer,
    url: &str,
) -> Result<Wire, Error> {
    let mut target = Target::parse(url)?;
    let stream = dialer.dial(&mut target).await?;
    let opening = async {
        match attempt {
            Attempt::WebSocket { only_newest } => {
                let offered = match needs.protocols {
                    [newest, ..] if only_newest => std::slice::from_ref(newest),
                    all => all,
                };
                let (sender, receiver, protocol) = channel::open(stream, &target, offered).await?;
                Ok(Wire {
                    spoken: Spoken::WebSocket(protocol),
                    sender: Sender::WebSocket(sender),
                    receiver: Receiver::WebSocket(receiver),
                })
            }
            Attempt::Spdy => {
                let (sender, receiver) =
                    spdy::open(stream, &target, needs.spdy_protocol, &needs.lanes).await?;
                Ok(Wire {
                    spoken: Spoken::Spdy,
                    sender: Sender::Spdy(sender),
                    receiver: Receiver::Spdy(receiver),
                })
            }
        }
    };
    match tokio::time::timeout(dialer.deadline(), opening).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Deadline {
            address: target.address(),
            deadline: dialer.deadline(),
        }),
    }
}
