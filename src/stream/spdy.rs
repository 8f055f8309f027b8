//! The channels of a streaming server over SPDY/3.1: each is a stream, told apart by its headers.
//!
//! What the kubelet and crictl speak by default, and the only dialect of the runtimes in the field in which the end of
//! the input can be told. One connection carries one conversation, so a slow reader holds up nobody else.

pub mod frame;

use bytes::BytesMut;
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::dial::Stream;
use super::{Error, Incoming, Lane, Target, upgrade};
use frame::{Encoder, Frame};

/// The name in `Upgrade`.
pub const NAME: &str = "SPDY/3.1";

/// Names the protocol within, in request and answer.
const PROTOCOL_HEADER: &str = "x-stream-protocol-version";

/// The most bytes in one frame of ours: what Go's side reads at once.
const LARGEST_SENT: usize = 32 << 10;

/// How much is read at once, in bytes.
const READ: usize = 64 << 10;

/// Pings that may wait for an answer; a server that sends more is not waiting for one.
const PINGS: usize = 8;

type Upgrade = TokioIo<Upgraded>;

/// Which stream is which lane.
#[derive(Debug, Clone, Default)]
struct Streams(Vec<(u8, u32)>);

impl Streams {
    fn lane(&self, stream: u32) -> Option<u8> {
        let found = self.0.iter().find(|(_, known)| *known == stream);
        found.map(|(lane, _)| *lane)
    }

    fn stream(&self, lane: u8) -> Option<u32> {
        let found = self.0.iter().find(|(known, _)| *known == lane);
        found.map(|(_, stream)| *stream)
    }
}

/// The half that we write.
#[derive(Debug)]
pub struct Sender {
    io: WriteHalf<Upgrade>,
    streams: Streams,
    pings: mpsc::Receiver<u32>,
    out: BytesMut,
}

/// The half that the server writes.
#[derive(Debug)]
pub struct Receiver {
    io: ReadHalf<Upgrade>,
    streams: Streams,
    pings: mpsc::Sender<u32>,
    arrived: BytesMut,
}

/// Upgrades an open connection and opens a stream for every lane.
///
/// # Errors
/// [`Error::Refused`], [`Error::Upgrade`], [`Error::Lost`].
pub async fn open(
    stream: Stream,
    target: &Target,
    protocol: &str,
    lanes: &[Lane],
) -> Result<(Sender, Receiver), Error> {
    let offered = format!("{NAME} {protocol}");
    let wrong = |reason: String| Error::Upgrade {
        offered: offered.clone(),
        reason,
    };
    let request = http::Request::post(target.path())
        .header(http::header::HOST, target.host())
        .header(http::header::CONNECTION, "Upgrade")
        .header(http::header::UPGRADE, NAME)
        .header(PROTOCOL_HEADER, protocol)
        .header(http::header::CONTENT_LENGTH, 0)
        .body(Empty::new())
        .map_err(|error| wrong(error.to_string()))?;
    let (upgraded, headers) = upgrade::upgrade(stream, request, &offered).await?;
    // A server that does not name the protocol speaks one that is older than all we know.
    match headers.get(PROTOCOL_HEADER) {
        Some(chosen) if chosen == protocol => {}
        Some(chosen) => return Err(wrong(format!("it chose {chosen:?}"))),
        None => return Err(wrong("it chose no protocol".to_owned())),
    }
    let mut encoder = Encoder::default();
    let mut out = BytesMut::new();
    let mut streams = Streams::default();
    // Streams of the client have odd numbers.
    for (lane, stream) in lanes.iter().zip((1..).step_by(2)) {
        let headers: Vec<(&str, &str)> = lane
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        encoder.open(stream, &headers, &mut out);
        streams.0.push((lane.number, stream));
    }
    let (read, mut write) = tokio::io::split(upgraded);
    write.write_all(&out).await.map_err(lost)?;
    write.flush().await.map_err(lost)?;
    out.clear();
    let (asking, asked) = mpsc::channel(PINGS);
    let sender = Sender {
        io: write,
        streams: streams.clone(),
        pings: asked,
        out,
    };
    let receiver = Receiver {
        io: read,
        streams,
        pings: asking,
        arrived: BytesMut::new(),
    };
    Ok((sender, receiver))
}

impl Sender {
    /// Sends bytes on a lane.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn send(&mut self, lane: u8, bytes: &[u8]) -> Result<(), Error> {
        let Some(stream) = self.streams.stream(lane) else {
            return Ok(());
        };
        for part in bytes.chunks(LARGEST_SENT) {
            Encoder::data(stream, part, false, &mut self.out);
            self.write().await?;
        }
        Ok(())
    }

    /// Ends a lane.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn end(&mut self, lane: u8) -> Result<(), Error> {
        let Some(stream) = self.streams.stream(lane) else {
            return Ok(());
        };
        Encoder::data(stream, &[], true, &mut self.out);
        self.write().await
    }

    /// Waits for a ping.
    pub async fn asked(&mut self) -> u32 {
        match self.pings.recv().await {
            Some(ping) => ping,
            // The other half is gone: nobody asks any more.
            None => std::future::pending().await,
        }
    }

    /// Answers it.
    ///
    /// # Errors
    /// [`Error::Lost`].
    pub async fn answer(&mut self, ping: u32) -> Result<(), Error> {
        Encoder::pong(ping, &mut self.out);
        self.write().await
    }

    async fn write(&mut self) -> Result<(), Error> {
        self.io.write_all(&self.out).await.map_err(lost)?;
        self.out.clear();
        self.io.flush().await.map_err(lost)
    }
}

impl Receiver {
    /// The next thing that arrives.
    ///
    /// # Errors
    /// [`Error::Lost`] and [`Error::Garbled`].
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        loop {
            let decoded = frame::decode(&mut self.arrived);
            let Some(frame) = decoded.map_err(|error| Error::Garbled(error.to_string()))? else {
                self.arrived.reserve(READ);
                match self.io.read_buf(&mut self.arrived).await {
                    Ok(0) => return Ok(Incoming::Closed),
                    Ok(_) => continue,
                    Err(error) => return Err(lost(error)),
                }
            };
            if let Some(incoming) = self.understand(frame) {
                return Ok(incoming);
            }
        }
    }

    /// What a frame means for the conversation, if anything. A frame with bytes that is also the last of its stream is
    /// put back as two.
    fn understand(&mut self, frame: Frame) -> Option<Incoming> {
        match frame {
            Frame::Data { stream, fin, bytes } => {
                let lane = self.streams.lane(stream)?;
                if bytes.is_empty() {
                    return fin.then_some(Incoming::End(lane));
                }
                if fin {
                    let rest = self.arrived.split();
                    Encoder::data(stream, &[], true, &mut self.arrived);
                    self.arrived.unsplit(rest);
                }
                Some(Incoming::Data(lane, bytes))
            }
            Frame::Reply { stream, fin: true } | Frame::Reset { stream, .. } => {
                self.streams.lane(stream).map(Incoming::End)
            }
            Frame::Ping(ping) => {
                // Even numbers are the server's questions, odd ones would be answers to ours. Where too many wait, the
                // server is not waiting for an answer.
                if ping % 2 == 0 {
                    let _ = self.pings.try_send(ping);
                }
                None
            }
            Frame::Reply { .. } | Frame::GoAway | Frame::Other(_) => None,
        }
    }
}

fn lost(error: std::io::Error) -> Error {
    Error::Lost(Some(error))
}
